//! What a market says: symbols, bars, quotes, and how bars aggregate.
//!
//! Everything is made of one-minute bars. A larger frame is a row of [`Bucket`]s anchored at the
//! session's open, and each says how many minutes it holds: a missing minute stays visible. What the
//! data cannot have been is a named fault ([`BarFault`], [`QuoteFault`], [`Stale`]), never a silent fix.

mod bar;
mod bucket;
mod columns;
mod gaps;
mod quote;
mod symbol;
mod timeframe;

pub use bar::{Bar, BarFault, BarSet, MINUTE, complete_minutes};
pub use bucket::{Bucket, aggregate, session_bar};
pub use columns::BarColumns;
pub use gaps::{Gaps, gaps};
pub use quote::{Quote, QuoteFault, Stale, check_age};
pub use symbol::{Symbol, SymbolError};
pub use timeframe::{Timeframe, TimeframeError};
