use serde::{Deserialize, Serialize};

use crate::money::Quantity;

/// The name of a pre-trade check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// No latch is set.
    Halted,
    /// The trades so far have not made entries pause.
    Protections,
    /// The day's loss is inside its limit.
    DayLoss,
    /// Fewer positions than allowed.
    Positions,
    /// The position's value is inside its cap.
    PositionValue,
    /// All positions' value is inside its cap.
    Exposure,
    /// The account can pay for it.
    BuyingPower,
    /// The price is positive, and stop and target stand on their sides of it.
    PriceSanity,
    /// The price is fresh.
    PriceAge,
    /// No position, order or earlier entry in the symbol today.
    DuplicateSymbol,
    /// Enough of the session is left.
    SessionTime,
    /// The signal is sure enough.
    Confidence,
    /// The signal is still valid.
    Validity,
    /// Enough bars and analysis cycles were seen.
    WarmUp,
    /// The risk budget buys at least one lot.
    Size,
    /// Only the best of a run are traded.
    Rank,
}

/// One check and its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: CheckName,
    /// Whether the signal passed it.
    pub passed: bool,
    /// What was measured, as a person reads it.
    pub value: String,
    /// What it was held against.
    pub limit: String,
}

/// Risk's answer to a signal: the size it may have, or the check that refuses it. Every check that
/// was made is there, with its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The shares that may be traded; `None` when refused.
    pub quantity: Option<Quantity>,
    /// The first check that failed; `None` when approved.
    pub refused_by: Option<CheckName>,
    /// All checks, in the order in which they were made.
    pub checks: Vec<Check>,
}
