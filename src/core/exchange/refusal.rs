use crate::market::Symbol;
use crate::money::{Money, MoneyError, Price, Quantity};
use crate::order::{ClientOrderId, OrderStatus, OrderType, Side, Trail};

/// Why an order is not taken. A refused order leaves nothing behind, and its id stays free.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The id was used before; it is never free again.
    #[error("client order id {client_order_id} exists")]
    DuplicateId { client_order_id: ClientOrderId },
    /// The id is one of those that the exchange makes itself.
    #[error("client order id {client_order_id} is of the kind that the exchange makes for legs")]
    ReservedId { client_order_id: ClientOrderId },
    /// Nothing or less than nothing is ordered.
    #[error("quantity {quantity} is not above 0")]
    QuantityNotPositive { quantity: Quantity },
    /// Fractions trade as simple day orders only.
    #[error("quantity {quantity} is fractional: expected whole shares, or a simple day order without a trail")]
    Fractional { quantity: Quantity },
    /// A price of zero or less.
    #[error("{field} {price} is not above 0")]
    PriceNotPositive { field: &'static str, price: Price },
    /// A price between two ticks (SEC Rule 612).
    #[error("{field} {price} is not a multiple of {tick}")]
    SubPenny { field: &'static str, price: Price, tick: Price },
    /// A trail that is no distance, or that reaches below zero.
    #[error("a trail of {trail:?} is not a distance above 0 and below the price")]
    TrailOutOfRange { trail: Trail },
    /// A bracket's entry trades at the market or at a limit.
    #[error("a bracket's entry is a market or a limit order, not {order_type:?}")]
    BracketEntry { order_type: OrderType },
    /// A bracket opens; it does not leave a position.
    #[error("a bracket opens a position, and {held} {symbol} are held the other way")]
    BracketExits { symbol: Symbol, held: Quantity },
    /// A leg would be hit by the price at which the entry trades.
    #[error("{leg} {price} is not at least a tick away from the entry at {base}, on its side of it")]
    LegThroughEntry { leg: &'static str, price: Price, base: Price },
    /// The target does not lie beyond the stop.
    #[error("exits that {} have their target {take_profit} on the wrong side of their stop {stop_loss}", side.as_str())]
    LegsCrossed { side: Side, take_profit: Price, stop_loss: Price },
    /// An OCO pair's own order is the take-profit.
    #[error("an OCO pair's own order is a limit, not {order_type:?}")]
    OcoType { order_type: OrderType },
    /// The stop would be hit by the price that is there.
    #[error("stop {stop} of a {} order is through the market at {market}", side.as_str())]
    StopThroughMarket { side: Side, stop: Price, market: Price },
    /// Fewer shares can be left than are to leave.
    #[error("{requested} {symbol} are more than what is free: {held} are held, {held_for_orders} of them for orders")]
    InsufficientShares { symbol: Symbol, requested: Quantity, held: Quantity, held_for_orders: Quantity },
    /// The account may not sell what it does not hold.
    #[error("{requested} {symbol} are to be sold, none are held, and short selling is off")]
    ShortNotAllowed { symbol: Symbol, requested: Quantity },
    /// The account cannot pay for it.
    #[error("it costs {cost}, buying power is {buying_power}")]
    InsufficientBuyingPower { cost: Money, buying_power: Money },
    /// Its cost cannot be told.
    #[error("no price of {symbol} is known, so its cost cannot be told")]
    NoPrice { symbol: Symbol },
    /// The order that is to be changed cannot be.
    #[error(transparent)]
    Change(#[from] ChangeRefusal),
    /// The numbers are beyond what money can count.
    #[error("the order's amounts cannot be counted")]
    Amount(#[from] MoneyError),
}

/// Why a cancel or a replacement is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// The exchange does not hold such an order.
    #[error("there is no order {broker_order_id}")]
    Unknown { broker_order_id: String },
    /// The order has ended.
    #[error("order {broker_order_id} is {} already", status.as_str())]
    Ended { broker_order_id: String, status: OrderStatus },
    /// Only an order that works, or a leg that waits, has a stop to move.
    #[error("order {broker_order_id} is {}: its stop can be moved once it works", status.as_str())]
    NotWorking { broker_order_id: String, status: OrderStatus },
    /// The new terms are the old ones.
    #[error("order {broker_order_id} has these terms already")]
    Unchanged { broker_order_id: String },
    /// The order has no stop price of its own, or its stop has been hit.
    #[error("order {broker_order_id} has no resting stop price")]
    NoRestingStop { broker_order_id: String },
    /// The new stop is no price that an order may have.
    #[error("stop {stop} is not a price above 0 in multiples of {tick}")]
    StopPrice { stop: Price, tick: Price },
}
