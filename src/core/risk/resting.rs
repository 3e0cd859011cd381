//! What stands at the broker, sorted by symbol: shares held, the stops behind them, exits and entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::money::{Price, Quantity};
use crate::order::{BrokerPosition, Order, OrderClass, OrderRole, OrderStatus, OrderType, Purpose, Side};

/// An intent that is on its way: committed, and not yet known to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// The symbol it acts on.
    pub symbol: Symbol,
    /// What it is for.
    pub purpose: Purpose,
}

/// One symbol at the broker.
#[derive(Debug, Default)]
pub(crate) struct Resting<'a> {
    /// Shares held; negative for a short position.
    pub(crate) held: Quantity,
    /// Stops of ours that work behind the shares held.
    pub(crate) stops: Vec<&'a Order>,
    /// Shares with a stop behind them, a stranger's too.
    pub(crate) stopped: Quantity,
    /// Shares that take-profit orders reserve.
    pub(crate) reserved_by_limits: Quantity,
    /// Whether an order that leaves the position is working.
    pub(crate) closing: bool,
    /// Orders of ours that could open a position or add to it.
    pub(crate) entries: Vec<&'a Order>,
    /// A stranger's orders that could.
    pub(crate) foreign_entries: Vec<&'a Order>,
    /// Working exits of ours that no position is left for. Entries of ours are brackets, so a simple
    /// order of ours that would add is one of these.
    pub(crate) orphans: Vec<&'a Order>,
}

impl Resting<'_> {
    /// Shares held without a stop behind them.
    pub(crate) fn unprotected(&self) -> Quantity {
        Quantity(self.held.0.saturating_abs().saturating_sub(self.stopped.0).max(0))
    }

    /// Shares that more stops stand behind than are held: were all to trigger, the position would flip.
    pub(crate) fn overprotected(&self) -> Quantity {
        Quantity(self.stopped.0.saturating_sub(self.held.0.saturating_abs()).max(0))
    }

    /// Shares that no working order reserves: what a further order may sell. A take-profit and its
    /// stop reserve the same shares.
    pub(crate) fn unreserved(&self) -> Quantity {
        let reserved = self.stopped.max(self.reserved_by_limits);
        Quantity(self.held.0.saturating_abs().saturating_sub(reserved.0).max(0))
    }

    /// Whether the broker holds shares, or an order that could buy or sell short.
    pub(crate) fn is_exposed(&self) -> bool {
        let could_open = [&self.entries, &self.foreign_entries, &self.orphans];
        !self.held.is_zero() || could_open.iter().any(|orders| !orders.is_empty())
    }

    fn sort_in<'a>(resting: &mut Resting<'a>, order: &'a Order, ledger_id: &str) {
        let is_ours = order.is_of(ledger_id);
        let leaves = match order.side {
            Side::Sell => resting.held.is_positive(),
            Side::Buy => resting.held.is_negative(),
        };
        if !leaves {
            let is_bracket = matches!(order.class, OrderClass::Bracket { .. });
            match order.role {
                OrderRole::Parent if order.status == OrderStatus::PendingCancel => {}
                OrderRole::Parent if !is_ours => resting.foreign_entries.push(order),
                OrderRole::Parent if is_bracket => resting.entries.push(order),
                // A leg that is held waits for its parent's fill, and dies with it.
                OrderRole::Parent | OrderRole::TakeProfit | OrderRole::StopLoss => {
                    if is_ours && works(order.status) {
                        resting.orphans.push(order);
                    }
                }
            }
            return;
        }
        if !works(order.status) {
            return;
        }
        let remaining = order.remaining();
        match (order.order_type, order.role, order.class) {
            (OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. }, _, _) => {
                resting.stopped = Quantity(resting.stopped.0.saturating_add(remaining.0));
                if is_ours {
                    resting.stops.push(order);
                }
            }
            (OrderType::Limit { .. }, OrderRole::Parent, OrderClass::Oco { .. })
            | (OrderType::Limit { .. }, OrderRole::TakeProfit | OrderRole::StopLoss, _) => {
                resting.reserved_by_limits = Quantity(resting.reserved_by_limits.0.saturating_add(remaining.0));
            }
            (OrderType::Market | OrderType::Limit { .. }, _, _) => resting.closing = true,
        }
    }
}

/// Whether an order can trade now: a leg that waits for its parent, or an order under cancel, protects nobody.
const fn works(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Accepted | OrderStatus::New | OrderStatus::PartiallyFilled => true,
        OrderStatus::Held
        | OrderStatus::PendingCancel
        | OrderStatus::Filled
        | OrderStatus::Canceled
        | OrderStatus::Expired
        | OrderStatus::Rejected
        | OrderStatus::Replaced => false,
    }
}

/// The price of a resting stop; `None` for one that trails, and for what is no stop.
pub(crate) const fn stop_price(order: &Order) -> Option<Price> {
    match order.order_type {
        OrderType::Stop { stop } | OrderType::StopLimit { stop, .. } => Some(stop),
        OrderType::Market | OrderType::Limit { .. } | OrderType::TrailingStop { .. } => None,
    }
}

/// Sorts positions and open orders by symbol, orders of the ledger `ledger_id` from strangers'. Orders
/// that are terminal are left out.
pub(crate) fn by_symbol<'a>(
    positions: &[BrokerPosition],
    orders: &'a [Order],
    ledger_id: &str,
) -> BTreeMap<Symbol, Resting<'a>> {
    let mut symbols: BTreeMap<Symbol, Resting<'a>> = BTreeMap::new();
    for position in positions.iter().filter(|position| !position.quantity.is_zero()) {
        symbols.entry(position.symbol).or_default().held = position.quantity;
    }
    for order in orders.iter().filter(|order| !order.status.is_terminal()) {
        Resting::sort_in(symbols.entry(order.symbol).or_default(), order, ledger_id);
    }
    symbols
}

/// Whether an intent of this purpose is on its way for the symbol.
pub(crate) fn is_in_flight(in_flight: &[InFlight], symbol: Symbol, purpose: Purpose) -> bool {
    in_flight.iter().any(|intent| intent.symbol == symbol && intent.purpose == purpose)
}
