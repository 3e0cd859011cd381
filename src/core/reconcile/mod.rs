//! The ledger's view and the broker's view, compared; and what makes them agree.

use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::money::Quantity;
use crate::order::{ClientOrderId, Fill, IntentEvent, Order};

/// A change of the ledger's rows that makes them agree with the broker. Doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Writes an order as the broker shows it: one of ours that the ledger did not know, or whose row is older.
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
    /// The ledger's shares, with the fills of this run; negative for a short position.
    pub ledger: Quantity,
    /// The broker's shares.
    pub broker: Quantity,
}
