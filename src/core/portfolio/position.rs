use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::money::{Money, Price, Quantity};
use crate::strategy::Direction;
use crate::time::Timestamp;

/// Where a position stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionState {
    /// A fill opened it; no monitor has looked at it yet.
    Open,
    /// The risk monitor watches it, and its stop rests at the broker.
    Monitoring,
    /// Its stop is being moved.
    Adjusting,
    /// An exit was decided.
    Closing,
    /// Nothing is left of it.
    Closed,
}

/// What a decision does to a position's life. Openings and closings are not among them: those are
/// fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionEvent {
    /// The monitor has seen it protected.
    Watched,
    /// The monitor has seen a better price than ever before.
    NewBest { price: Price },
    /// Its stop is to be moved to `stop`; counts against the number of adjustments allowed.
    AdjustBegun { stop: Price },
    /// The broker's order shows the moved stop.
    AdjustEnded,
    /// An exit was decided, for this reason.
    ExitBegun { reason: String },
}

/// A decision's change to the open position of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionChange {
    /// The symbol; an account has at most one open position in it.
    pub symbol: Symbol,
    /// What changes.
    pub event: PositionEvent,
}

/// A position from its opening fill to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The symbol.
    pub symbol: Symbol,
    /// Which way it earns.
    pub direction: Direction,
    /// Where it stands.
    pub state: PositionState,
    /// The strategy that opened it; `None` for a position that was not opened by a decision of ours.
    pub strategy: Option<String>,
    /// Shares held now; never negative.
    pub quantity: Quantity,
    /// The most shares held at once.
    pub quantity_max: Quantity,
    /// All shares that ever entered; those that left are `entered` less `quantity`.
    pub entered: Quantity,
    /// What the shares that entered were worth at their prices.
    pub entry_value: Money,
    /// What the shares that left were worth at their prices.
    pub exit_value: Money,
    /// The part of `entry_value` that belongs to the shares held now, by average cost.
    pub cost: Money,
    /// The average price of the shares that entered.
    pub entry_price: Price,
    /// The average price of the shares that left; `None` before the first.
    pub exit_price: Option<Price>,
    /// The stop it was opened with; its distance from the entry is what the position risked, its R.
    pub initial_stop: Option<Price>,
    /// The stop in force, as decided.
    pub stop: Option<Price>,
    /// The target in force, as decided.
    pub target: Option<Price>,
    /// How often its stop was moved.
    pub adjustments: u32,
    /// The best price seen since it was opened: the highest mark for a long, the lowest for a short.
    pub best_price: Price,
    /// When its first fill traded.
    pub opened_at: Timestamp,
    /// When its last fill traded; set if and only if it is closed.
    pub closed_at: Option<Timestamp>,
    /// Realised by the shares that left, before fees.
    pub realised: Money,
    /// Fees of all its fills.
    pub fees: Money,
    /// Why it was left, once that was decided.
    pub exit_reason: Option<String>,
}
