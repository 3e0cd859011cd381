//! What a market says: symbols, bars, quotes, and how bars aggregate.
//!
//! Everything is made of one-minute bars. A larger frame is a row of [`Bucket`]s anchored at the
//! session's open, and each says how many minutes it holds: a missing minute stays visible. What the
//! data cannot have been is a named fault ([`BarFault`], [`QuoteFault`], [`Stale`]), never a silent fix.
//!
//! Bars stay as they were traded. Splits and dividends are [`CorporateActions`], and who compares sessions sees the
//! earlier ones in the shares of the later: [`Adjustments`]. Within a session there is nothing to adjust.

mod action;
mod adjustment;
mod bar;
mod bucket;
mod columns;
mod gaps;
mod jump;
mod quote;
mod symbol;
mod timeframe;

pub use action::{ActionAdded, ActionKind, CorporateAction, CorporateActions, SplitRatio, SplitRatioError};
pub use adjustment::{Adjustment, Adjustments, adjust, daily};
pub use bar::{Bar, BarFault, BarSet, MINUTE, complete_minutes};
pub use bucket::{Bucket, aggregate, aggregate_complete, session_bar};
pub use columns::BarColumns;
pub use gaps::{Gaps, gaps};
pub use jump::{Jump, JumpFault, jumps, split_like};
pub use quote::{Quote, QuoteFault, Stale, check_age};
pub use symbol::{Symbol, SymbolError};
pub use timeframe::{Timeframe, TimeframeError};
