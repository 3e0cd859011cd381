use serde::{Deserialize, Serialize};

use crate::decision::Mark;
use crate::market::Symbol;
use crate::time::Timestamp;

/// How the day's loss stands against its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayLevel {
    /// Inside the limit.
    #[default]
    Ok,
    /// Beyond the warning.
    Warning,
    /// Beyond the limit, but by prices that are not to be trusted yet: another look decides.
    SecondLook,
    /// Beyond the limit.
    Breach,
}

/// What a run of the risk monitor saw; the next run compares with it.
///
/// It stands in the decision, so it survives a restart, and a run needs no memory of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// How the day stood.
    pub level: DayLevel,
    /// Whether the broker showed a position, or an order that could open one.
    pub exposed: bool,
    /// The price of each position.
    pub marks: Vec<SeenMark>,
}

/// What one look made of a position's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMark {
    /// The symbol.
    pub symbol: Symbol,
    /// The last price that was believed.
    pub trusted: Option<Mark>,
    /// A later one that was not, because it was too far from the one before.
    pub doubted: Option<Mark>,
    /// Whether the believed price was beyond the position's stop, which had not worked.
    pub beyond_stop: bool,
}
