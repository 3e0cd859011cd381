//! Risk: what may be traded, how much of it, and when everything stops.
//!
//! Three questions, each a pure function of facts and [`RiskSettings`]:
//!
//! - Before a trade: [`review()`] holds a run's signals against the limits, one by one, the surest
//!   first. Every check it makes is in the [`Verdict`] with its numbers. [`enter`] turns what was
//!   approved into bracket orders. What a person buys goes the same way: [`trade_by_hand()`].
//! - Every minute: [`monitor()`] values what is held, compares the day's loss with its limit, and sees to it
//!   that every share has a stop behind it. What it decides is level-triggered: it follows from what
//!   the broker shows now, so an effect that was lost is decided again.
//!   The trades so far may make entries pause, in a symbol or in all: [`pauses()`].
//! - At the end of the session: [`flatten()`] leaves every position.
//!
//! Nothing reaches a broker but as [`Approved`], and only the `approve_*` functions make one.

mod approval;
mod approved;
mod by_hand;
mod day;
mod entry;
mod flatten;
mod halt;
mod leaving;
mod look;
mod loosening;
mod monitor;
mod pause;
pub(crate) mod plan;
pub(crate) mod protection;
mod protection_settings;
pub(crate) mod resting;
mod review;
mod settings;
mod sizing;
#[cfg(test)]
pub(crate) mod testing;
mod verdict;

pub use approval::{ApprovalRequest, SessionMode, approval_alert, approvals};
pub use approved::{ApprovalError, Approved, approve_entry, approve_exit, approve_protection};
pub use by_hand::{BY_HAND, HandFacts, HandOrder, HandSize, trade_by_hand};
pub use day::{DayAssessment, assess_day};
pub use entry::{Entries, enter, entry_ticket, exit_ticket, exit_ticket_at, protection_ticket, protective_stop};
pub use flatten::{FlattenFacts, flatten};
pub use halt::{Halt, HaltKind, STEP_BACK_MAX};
pub use leaving::WayOut;
pub use look::{DayLevel, Look, SeenMark};
pub use loosening::{Loosening, hold_loosened};
pub(crate) use monitor::trailed_stop;
pub use monitor::{ClosedTrade, MonitorFacts, monitor};
pub use pause::{PastTrade, Pause, PauseKind, TradeRecord, pauses};
pub use protection_settings::{DrawdownPause, LossPause, LowProfitPause, ProtectionSettings, StopPause};
pub use resting::InFlight;
pub use review::{Commitment, RiskFacts, SymbolFacts, review};
pub use settings::{EntryOrder, RiskSettings, SafeModeSettings, TrailingSettings};
pub use sizing::{KellySettings, Sizing};
pub use verdict::{Check, CheckName, Verdict};
