//! An independent checker: does this ledger keep its promises?
//!
//! [`audit()`] takes plain rows and shares no code with what wrote them: it adds up fills by itself,
//! rather than folding them with the portfolio, so that an error there is seen here. Each promise is an
//! [`Invariant`] with a number. The rows are those of the tables named at their types; a view may cover
//! the whole ledger or some sessions of it, as long as it has every row of what it covers.
//!
//! What holds between rows of one table is also a constraint of the schema where SQL can say it; it is
//! checked here again, because a view may come from an export or from a file that was repaired.

mod money;
mod orders;
mod protection;
mod runs;
mod view;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::money::{Money, Quantity};
use crate::time::Timestamp;

pub use view::{
    DayRow, ExpectedSlot, FillRow, HaltRow, IntentAction, IntentRow, JobRow, LedgerView, MissedRow, OrderEventRow,
    OrderRow, PositionRow, RunRow, SignalRow, VerdictRow,
};

/// A promise of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// 1. A slot of a job has at most one run.
    OneRunPerSlot,
    /// 2. A run is over if and only if it has an end; what decided has decided before it ended.
    RunHasItsTimes,
    /// 3. No scheduled run lies beyond its job's horizon, and every slot up to it has a run or lies in a missed range.
    SlotsAccounted,
    /// 4. A later decision was never made under an earlier epoch.
    EpochNeverFalls,
    /// 5. A client order id names at most one order.
    OneOrderPerKey,
    /// 6. An execution is booked once.
    FillsUnique,
    /// 7. What an order has filled is the sum of its fills.
    OrderFilled,
    /// 8. A position's shares are the sum of its symbol's fills, and at most one is open in a symbol.
    PositionIsFold,
    /// 9. What a closed position realised is what its fills received less what they paid.
    RealisedIsFold,
    /// 10. A day's figures are the sums of its fills; equity is what it opened with and the day's result.
    DayIsSum,
    /// 11. Every signal has a verdict, and an entry has an approved signal of at least its size.
    SignalReviewed,
    /// 12. An intent's state agrees with its order.
    IntentAgrees,
    /// 13. Nothing that opens a position was sent after its time, or in a session whose flatten had decided.
    NoLateEntry,
    /// 14. Nothing that opens a position was decided while a halt stood.
    NoEntryUnderHalt,
    /// 15. Shares never lay without a stop for longer than a monitor's period, unless they were being sold.
    Protected,
    /// 16. A session that is over ended flat.
    FlatByClose,
}

impl Invariant {
    /// Its number, as the documentation counts.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::OneRunPerSlot => 1,
            Self::RunHasItsTimes => 2,
            Self::SlotsAccounted => 3,
            Self::EpochNeverFalls => 4,
            Self::OneOrderPerKey => 5,
            Self::FillsUnique => 6,
            Self::OrderFilled => 7,
            Self::PositionIsFold => 8,
            Self::RealisedIsFold => 9,
            Self::DayIsSum => 10,
            Self::SignalReviewed => 11,
            Self::IntentAgrees => 12,
            Self::NoLateEntry => 13,
            Self::NoEntryUnderHalt => 14,
            Self::Protected => 15,
            Self::FlatByClose => 16,
        }
    }
}

/// A promise that is broken, and by which rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What it was found at: `fill x000012`, `AAPL`, `run 17`.
    pub at: String,
    /// What is there, and what was expected.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({:?}), {}: {}", self.invariant.number(), self.invariant, self.at, self.found)
    }
}

/// Collects violations.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, invariant: Invariant, at: impl fmt::Display, found: String) {
        self.0.push(Violation { invariant, at: at.to_string(), found });
    }
}

/// An instant that may not have come.
fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

/// A sum of 10⁻⁹ shares, for people.
fn shares(sum: i128) -> String {
    i64::try_from(sum).map_or_else(|_| format!("{sum} x 10^-9"), |sum| Quantity(sum).to_string())
}

/// A sum of 10⁻⁸ of the currency, for people.
fn amount(sum: i128) -> String {
    i64::try_from(sum).map_or_else(|_| format!("{sum} x 10^-8"), |sum| Money(sum).to_string())
}

/// Checks every invariant and names each violation, in the order of the invariants' numbers.
#[must_use]
pub fn audit(view: &LedgerView) -> Vec<Violation> {
    let mut findings = Findings::default();
    runs::check(view, &mut findings);
    orders::check(view, &mut findings);
    money::check(view, &mut findings);
    protection::check(view, &mut findings);
    findings.0.sort_by_key(|violation| violation.invariant);
    findings.0
}

#[cfg(test)]
mod tests;
