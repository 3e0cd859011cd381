//! Orders as a broker knows them, and intents: orders committed to the ledger before they are sent.

mod id;
mod intent;

use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::money::{Bps, Money, Price, Quantity};
use crate::time::Timestamp;

pub(crate) use id::numbered;
pub use id::{ClientOrderId, ClientOrderIdError, Origin};
pub use intent::{Action, Intent, IntentEvent, IntentState, IntentStateError, Purpose};

/// Which way an order trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Adds shares.
    Buy,
    /// Removes shares.
    Sell,
}

impl Side {
    /// The other way.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// `quantity` with this side's sign: positive for a buy.
    #[must_use]
    pub const fn signed(self, quantity: Quantity) -> Quantity {
        match self {
            Self::Buy => quantity,
            Self::Sell => quantity.negated(),
        }
    }

    /// `buy` or `sell`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// How far a trailing stop follows the best price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trail {
    /// By a distance in price.
    Amount(Price),
    /// By a ratio of the best price.
    Ratio(Bps),
}

/// When and at what price an order may trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    /// At once, at the market.
    Market,
    /// At `limit` or better.
    Limit { limit: Price },
    /// At the market once `stop` has traded.
    Stop { stop: Price },
    /// At `limit` or better once `stop` has traded.
    StopLimit { stop: Price, limit: Price },
    /// A stop that follows the best price since it was accepted.
    TrailingStop { trail: Trail },
}

/// How long an order rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// Until the close of the session.
    Day,
    /// Until it is canceled.
    Gtc,
}

/// How an order hangs together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderClass {
    /// It stands alone.
    Simple,
    /// An entry whose fill activates a take-profit and a stop-loss, each canceling the other.
    Bracket { take_profit: Price, stop_loss: Price },
    /// A pair of exits for a position that is there already, each canceling the other. The ticket's
    /// own type is the take-profit's limit.
    Oco { stop_loss: Price },
}

/// The terms of an order: what is sent to a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTicket {
    /// Our name for it: the key under which it is sent once.
    pub client_order_id: ClientOrderId,
    /// What is traded.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How many shares; above zero.
    pub quantity: Quantity,
    /// At what price.
    pub order_type: OrderType,
    /// How long.
    pub time_in_force: TimeInForce,
    /// With which legs.
    pub class: OrderClass,
}

/// What an order is within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderRole {
    /// A simple order, or a bracket's entry.
    Parent,
    /// The limit leg that takes the profit.
    TakeProfit,
    /// The stop leg that bounds the loss.
    StopLoss,
}

/// Where an order stands at its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Taken, not yet working (the market is closed, or it is being routed).
    Accepted,
    /// A leg that waits for its parent's fill.
    Held,
    /// Working.
    New,
    /// Working, with a part filled.
    PartiallyFilled,
    /// A cancel is on its way.
    PendingCancel,
    /// Wholly filled.
    Filled,
    /// Ended by a cancel; a part may have filled before.
    Canceled,
    /// Ended by its time in force.
    Expired,
    /// Refused by the broker or the exchange.
    Rejected,
    /// Superseded by an order with other terms.
    Replaced,
}

impl OrderStatus {
    /// Whether nothing more can happen to the order.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Filled | Self::Canceled | Self::Expired | Self::Rejected | Self::Replaced => true,
            Self::Accepted | Self::Held | Self::New | Self::PartiallyFilled | Self::PendingCancel => false,
        }
    }

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::New => "new",
            Self::PartiallyFilled => "partially_filled",
            Self::PendingCancel => "pending_cancel",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Replaced => "replaced",
        }
    }
}

/// An order as its broker reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The broker's own name for it; unique in the account.
    pub broker_order_id: String,
    /// The name it was sent under; a leg carries a name that its broker made.
    pub client_order_id: ClientOrderId,
    /// The parent's client order id, for a leg.
    pub parent: Option<ClientOrderId>,
    /// What it is within its group.
    pub role: OrderRole,
    /// What is traded.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How many shares in all.
    pub quantity: Quantity,
    /// At what price; a replaced stop shows its present price.
    pub order_type: OrderType,
    /// How long.
    pub time_in_force: TimeInForce,
    /// With which legs (for a parent).
    pub class: OrderClass,
    /// Where it stands.
    pub status: OrderStatus,
    /// Shares filled so far.
    pub filled: Quantity,
    /// The average price of what filled.
    pub average_price: Option<Price>,
    /// Why it was rejected, canceled or expired, in the broker's words.
    pub reason: Option<String>,
    /// When the broker took it.
    pub submitted_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How the reason of an order begins whose status is a word that this version does not know.
const STATUS_UNKNOWN: &str = "its status is unknown to this version: ";

impl Order {
    /// What an adapter gives as the reason of an order whose status it does not know. Such an order counts as working: it is
    /// looked at again until it says otherwise.
    ///
    /// ```
    /// use daybook_core::order::Order;
    /// assert_eq!(Order::reason_of_unknown_status("frozen"), "its status is unknown to this version: frozen");
    /// ```
    #[must_use]
    pub fn reason_of_unknown_status(word: &str) -> String {
        format!("{STATUS_UNKNOWN}{word}")
    }

    /// The broker's word for the order's status, if it is one that this version does not know.
    #[must_use]
    pub fn unknown_status(&self) -> Option<&str> {
        self.reason.as_deref()?.strip_prefix(STATUS_UNKNOWN)
    }

    /// Shares that may still fill.
    #[must_use]
    pub fn remaining(&self) -> Quantity {
        self.quantity.minus(self.filled).unwrap_or_default()
    }

    /// What the shares that may still fill cost at the order's own price; nothing for an order that has
    /// none. Saturates.
    #[must_use]
    pub fn notional(&self) -> Money {
        let price = match self.order_type {
            OrderType::Limit { limit } | OrderType::StopLimit { limit, .. } => limit,
            OrderType::Stop { stop } => stop,
            OrderType::Market | OrderType::TrailingStop { .. } => return Money::ZERO,
        };
        price.times(self.remaining()).unwrap_or(Money::MAX)
    }

    /// Whether the order, or the parent that it is a leg of, was sent from the ledger `ledger_id`.
    #[must_use]
    pub fn is_of(&self, ledger_id: &str) -> bool {
        self.parent.as_ref().unwrap_or(&self.client_order_id).belongs_to(ledger_id)
    }

    /// Whether the order carries the same terms as `ticket`.
    #[must_use]
    pub fn has_terms_of(&self, ticket: &OrderTicket) -> bool {
        self.symbol == ticket.symbol
            && self.side == ticket.side
            && self.quantity == ticket.quantity
            && self.order_type == ticket.order_type
            && self.time_in_force == ticket.time_in_force
            && self.class == ticket.class
    }
}

/// One execution. Facts are append-only: a correction is another execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The broker's name for the execution; unique in the account.
    pub execution_id: String,
    /// The order that filled, by the broker's name.
    pub broker_order_id: String,
    /// The order that filled, by the name it was sent under.
    pub client_order_id: ClientOrderId,
    /// What was traded.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// Shares; above zero.
    pub quantity: Quantity,
    /// The price of one.
    pub price: Price,
    /// Commission and fees; positive is a cost.
    pub fee: Money,
    /// When it traded.
    pub at: Timestamp,
}

/// What an account holds of one symbol, by its broker's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerPosition {
    /// The symbol.
    pub symbol: Symbol,
    /// Shares; negative for a short position.
    pub quantity: Quantity,
    /// The average price at which they were opened.
    pub average_price: Price,
}

/// An account's figures, by its broker's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account's name at the broker.
    pub account_id: String,
    /// Cash; negative on margin.
    pub cash: Money,
    /// Cash and the positions' value at the broker's marks.
    pub equity: Money,
    /// Equity at the previous session's close.
    pub last_equity: Money,
    /// What new positions may cost.
    pub buying_power: Money,
    /// Whether the broker has blocked trading.
    pub blocked: bool,
}
