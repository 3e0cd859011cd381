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
    /// The strategy that opened it; [`ADOPTED`] for one that was taken over, `None` for one that a stranger has opened.
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

/// The strategy's name of a position of ours that no decision of this ledger has opened.
pub const ADOPTED: &str = "adopted";

/// The reason of an exit by the stop where it was put first.
pub const BY_STOP: &str = "stop";

/// The reason of an exit by the stop where it had followed to.
pub const BY_TRAILED_STOP: &str = "trailed stop";

/// An event that a position's state does not admit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position that is {state:?} cannot take {event:?}")]
pub struct PositionStateError {
    /// Where it stood.
    pub state: PositionState,
    /// What was said to happen.
    pub event: PositionEvent,
}

impl PositionState {
    /// The state after `event`. News that comes late, while an exit is under way, changes nothing.
    ///
    /// # Errors
    /// [`PositionStateError`] if the event cannot happen in this state: the decision was made on another
    /// view than the ledger's. A closed position takes nothing.
    pub fn apply(self, event: &PositionEvent) -> Result<Self, PositionStateError> {
        use PositionEvent as E;
        let refuse = || Err(PositionStateError { state: self, event: event.clone() });
        match self {
            Self::Open => match event {
                E::Watched => Ok(Self::Monitoring),
                E::NewBest { .. } => Ok(Self::Open),
                E::ExitBegun { .. } => Ok(Self::Closing),
                E::AdjustBegun { .. } | E::AdjustEnded => refuse(),
            },
            Self::Monitoring => match event {
                E::Watched | E::NewBest { .. } => Ok(Self::Monitoring),
                E::AdjustBegun { .. } => Ok(Self::Adjusting),
                E::ExitBegun { .. } => Ok(Self::Closing),
                E::AdjustEnded => refuse(),
            },
            Self::Adjusting => match event {
                E::Watched | E::NewBest { .. } => Ok(Self::Adjusting),
                E::AdjustEnded => Ok(Self::Monitoring),
                E::ExitBegun { .. } => Ok(Self::Closing),
                E::AdjustBegun { .. } => refuse(),
            },
            Self::Closing => match event {
                E::Watched | E::NewBest { .. } | E::AdjustEnded | E::ExitBegun { .. } => Ok(Self::Closing),
                E::AdjustBegun { .. } => refuse(),
            },
            Self::Closed => match event {
                E::Watched | E::NewBest { .. } | E::AdjustBegun { .. } | E::AdjustEnded | E::ExitBegun { .. } => {
                    refuse()
                }
            },
        }
    }

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Monitoring => "monitoring",
            Self::Adjusting => "adjusting",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl Position {
    /// Whether an order that was not sent from here has opened it: its value and its result count, and what becomes of it
    /// is its owner's to say.
    #[must_use]
    pub const fn is_strangers(&self) -> bool {
        self.strategy.is_none()
    }

    /// The position after a decision's event. The first reason to leave it is kept.
    ///
    /// # Errors
    /// As [`PositionState::apply`].
    pub fn apply(mut self, event: &PositionEvent) -> Result<Self, PositionStateError> {
        self.state = self.state.apply(event)?;
        match event {
            PositionEvent::Watched | PositionEvent::AdjustEnded => {}
            PositionEvent::NewBest { price } => self.best_price = *price,
            PositionEvent::AdjustBegun { stop } => {
                self.stop = Some(*stop);
                self.adjustments = self.adjustments.saturating_add(1);
            }
            PositionEvent::ExitBegun { reason } => {
                self.exit_reason.get_or_insert_with(|| reason.clone());
            }
        }
        Ok(self)
    }

    /// Shares held; negative for a short position.
    #[must_use]
    pub const fn signed_quantity(&self) -> Quantity {
        match self.direction {
            Direction::Long => self.quantity,
            Direction::Short => self.quantity.negated(),
        }
    }

    /// Realised so far, less fees; saturates.
    #[must_use]
    pub const fn net(&self) -> Money {
        Money(self.realised.0.saturating_sub(self.fees.0))
    }

    /// Why its stop is what ends it, if that ends it now.
    #[must_use]
    pub const fn reason_of_stop(&self) -> &'static str {
        if self.adjustments > 0 { BY_TRAILED_STOP } else { BY_STOP }
    }

    /// Whether its stop has ended it, wherever that was by then.
    #[must_use]
    pub fn was_stopped(&self) -> bool {
        self.closed_at.is_some() && matches!(self.exit_reason.as_deref(), Some(BY_STOP | BY_TRAILED_STOP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [PositionState; 5] = [
        PositionState::Open,
        PositionState::Monitoring,
        PositionState::Adjusting,
        PositionState::Closing,
        PositionState::Closed,
    ];

    #[test]
    fn the_life_of_a_position() {
        use PositionState::{Adjusting, Closed, Closing, Monitoring, Open};
        let price = Price::from_cents(10_00);
        // Rows: events. Columns: what they make of open, monitoring, adjusting, closing, closed.
        let table = [
            (PositionEvent::Watched, [Some(Monitoring), Some(Monitoring), Some(Adjusting), Some(Closing), None]),
            (PositionEvent::NewBest { price }, [Some(Open), Some(Monitoring), Some(Adjusting), Some(Closing), None]),
            (PositionEvent::AdjustBegun { stop: price }, [None, Some(Adjusting), None, None, None]),
            (PositionEvent::AdjustEnded, [None, None, Some(Monitoring), Some(Closing), None]),
            (
                PositionEvent::ExitBegun { reason: "max hold".to_owned() },
                [Some(Closing), Some(Closing), Some(Closing), Some(Closing), None],
            ),
        ];
        for (event, expected) in table {
            for (state, expected) in STATES.into_iter().zip(expected) {
                assert_eq!(state.apply(&event).ok(), expected, "{state:?} takes {event:?}");
            }
        }
        assert_eq!(
            Closed.apply(&PositionEvent::Watched).map_err(|error| error.to_string()),
            Err("a position that is Closed cannot take Watched".to_owned())
        );
    }
}
