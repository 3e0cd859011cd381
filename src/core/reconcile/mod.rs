//! The ledger's view and the broker's view, compared; and what makes them agree.
//!
//! Two pure steps. [`compare`] names what differs, [`reconcile`] decides what is done about it. What they
//! promise, whatever the views:
//!
//! 1. Every open order at the broker is in the ledger afterwards, a stranger's too.
//! 2. A stranger's order is never canceled, and a stranger's position never sold.
//! 3. A position that differs is acted on only if two looks in a row saw the same difference, and then
//!    by the policy; until then it is only noted.
//! 4. An intent whose order has ended is over; an intent whose order turned up is acknowledged.
//! 5. Every share of ours has a stop, or a stop or an exit is decided or on its way, in every symbol in
//!    which the views agree.
//! 6. A working exit of ours without a position is taken back.
//! 7. Nothing here opens a position at the broker.
//! 8. Reconciling again, once the repairs are made, finds nothing.
//!
//! Nothing is overwritten silently: a position is corrected by booking an execution, which stands in
//! the ledger for ever, with an alert.

mod compare;
mod repair;

use serde::{Deserialize, Serialize};

use crate::calendar::Session;
use crate::decision::Mark;
use crate::market::Symbol;
use crate::money::Quantity;
use crate::order::{BrokerPosition, ClientOrderId, Fill, IntentEvent, IntentState, Order, Origin};
use crate::portfolio::Position;
use crate::risk::{Halt, InFlight};
use crate::time::Timestamp;

pub use compare::{Finding, compare};
pub use repair::reconcile;

/// A change of the ledger's rows that makes them agree with the broker. Doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Writes an order as the broker shows it: one that the ledger did not know, or whose row is older.
    Record(Order),
    /// Moves an intent on, because of what the broker shows of its order.
    Settle { client_order_id: ClientOrderId, event: IntentEvent },
    /// Books an execution that never was, so that the fold of the fills gives the broker's position.
    Correct(Fill),
}

/// A position in which the ledger and the broker differ. A fill under way looks like one for an
/// instant, so it is acted on when two looks in a row agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The symbol.
    pub symbol: Symbol,
    /// The ledger's shares; negative for a short position.
    pub ledger: Quantity,
    /// The broker's shares.
    pub broker: Quantity,
}

/// What is done about a position in which the views differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferencePolicy {
    /// The ledger takes over what the broker shows, and watches it from then on.
    Adopt,
    /// The ledger takes it over and closes it.
    Close,
    /// Entries stop until a person has looked.
    #[default]
    Halt,
}

/// How the views are brought together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcileSettings {
    /// What is done about a position in which they differ: `adopt`, `close` or `halt`.
    pub on_difference: DifferencePolicy,
}

impl ReconcileSettings {
    /// Sets the policy back to what it was where another lets positions be that stopped entries before, and names it.
    pub fn hold_loosened(&self, after: &mut Self) -> Option<&'static str> {
        let loosens = self.on_difference == DifferencePolicy::Halt && after.on_difference != DifferencePolicy::Halt;
        loosens.then(|| {
            after.on_difference = self.on_difference;
            "on_difference"
        })
    }
}

/// An intent of the ledger that may still have something to do with the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIntent {
    /// The key of its order.
    pub client_order_id: ClientOrderId,
    /// Where it stands.
    pub state: IntentState,
}

/// Both views. The broker's fills are in the ledger already: they are recorded at each look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileFacts {
    /// Where the decision is made.
    pub origin: Origin,
    /// When the broker was looked at.
    pub as_of: Timestamp,
    /// The session under way; outside of one, the latest.
    pub session: Session,
    /// The ledger's positions that are not closed.
    pub positions: Vec<Position>,
    /// The ledger's orders that are not terminal, and those that `open_orders` and `looked_up` name.
    pub orders: Vec<Order>,
    /// The intents that send an order and are not terminal; abandoned ones of the last day too, since an
    /// order may turn up late.
    pub intents: Vec<KnownIntent>,
    /// Intents that are committed and not settled.
    pub in_flight: Vec<InFlight>,
    /// What the broker holds.
    pub broker_positions: Vec<BrokerPosition>,
    /// The broker's orders that are not terminal.
    pub open_orders: Vec<Order>,
    /// What the broker answered about orders that the ledger holds for open and the broker does not
    /// show as open, and about the keys of `intents`.
    pub looked_up: Vec<Order>,
    /// The latest price of each symbol held in either view.
    pub marks: Vec<Mark>,
    /// Latches in force.
    pub halts: Vec<Halt>,
    /// What the last reconcile found, and when; `None` before the first.
    pub prior: Option<PriorReconcile>,
}

/// What the last reconcile found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorReconcile {
    /// When it looked at the broker.
    pub at: Timestamp,
    /// The differences that it noted.
    pub differences: Vec<Difference>,
}

#[cfg(test)]
mod tests;
