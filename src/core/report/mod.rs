//! The figures of a day, and of several.
//!
//! What happened in a session is many rows; what a person wants in the evening is a page. [`DayFacts`]
//! are the rows as the ledger gives them, [`DayReport::build`] works out the figures, and everything
//! that shows a day (the mail, `v_day`, the table at the end of a simulation) shows this one value:
//! it is stored, so that all of them agree for ever.
//!
//! Amounts are exact. Ratios are basis points, rounded to the nearest.

mod day;
mod facts;
mod figures;
mod range;
mod week;
pub mod words;

pub use day::{
    CurvePoint, DAY_ENDED, DayReport, DayTrade, Figure, Limit, LimitUse, OpenPosition, Refusal, TakenSignal,
};
pub use facts::{DatedReview, DayCounts, DayFacts, DayHalt, DayLimits, Fault, FaultKind, SessionResult};
pub use range::{RangeSummary, SessionLine};
pub use week::{
    ConfigChange, FilledEntry, Slippage, StrategyLine, UnreportedDay, WEEK_ENDED, Watch, WeekFacts, WeekReport,
};
