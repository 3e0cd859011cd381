use crate::money::{Money, Price, Quantity};
use crate::order::{ClientOrderId, Order, OrderClass, OrderStatus, OrderTicket, OrderType, TimeInForce, Trail};
use crate::time::Timestamp;

use super::acceptance::check_prices;
use super::{BookOrder, ChangeRefusal, Exchange, Refusal};

/// What is to be different about an order; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Shares in all, what has filled included.
    pub quantity: Option<Quantity>,
    /// The limit price.
    pub limit: Option<Price>,
    /// The stop price.
    pub stop: Option<Price>,
    /// How far a trailing stop follows, in its own kind.
    pub trail: Option<Trail>,
    /// How long it rests.
    pub time_in_force: Option<TimeInForce>,
    /// The new order's id; the exchange makes one otherwise.
    pub client_order_id: Option<ClientOrderId>,
}

impl Amendment {
    fn order_type(&self, order_type: OrderType) -> OrderType {
        match order_type {
            OrderType::Market => OrderType::Market,
            OrderType::Limit { limit } => OrderType::Limit { limit: self.limit.unwrap_or(limit) },
            OrderType::Stop { stop } => OrderType::Stop { stop: self.stop.unwrap_or(stop) },
            OrderType::StopLimit { stop, limit } => {
                OrderType::StopLimit { stop: self.stop.unwrap_or(stop), limit: self.limit.unwrap_or(limit) }
            }
            OrderType::TrailingStop { trail } => OrderType::TrailingStop { trail: self.trail.unwrap_or(trail) },
        }
    }
}

impl Exchange {
    /// Replaces an order that works, or a leg that waits, by one with other terms; the answer is the new
    /// order, in the same group. What has filled stays with the old one.
    ///
    /// # Errors
    /// [`Refusal::Change`] if there is no such order or it can not be changed now; else why the new
    /// terms are refused. Nothing is changed then.
    pub fn amend(&mut self, broker_order_id: &str, amendment: &Amendment, now: Timestamp) -> Result<Order, Refusal> {
        let (old_number, old) = self.find(broker_order_id)?;
        let (id, status) = (broker_order_id.to_owned(), old.order.status);
        if status.is_terminal() {
            return Err(ChangeRefusal::Ended { broker_order_id: id, status }.into());
        }
        if matches!(status, OrderStatus::Accepted | OrderStatus::PendingCancel) {
            return Err(ChangeRefusal::NotWorking { broker_order_id: id, status }.into());
        }
        let total = amendment.quantity.unwrap_or(old.order.quantity);
        let (order_type, quantity) = (amendment.order_type(old.order.order_type), total.minus(old.order.filled)?);
        let time_in_force = amendment.time_in_force.unwrap_or(old.order.time_in_force);
        let same = order_type == old.order.order_type && time_in_force == old.order.time_in_force;
        if same && total == old.order.quantity && amendment.client_order_id.is_none() {
            return Err(ChangeRefusal::Unchanged { broker_order_id: id }.into());
        }
        if !quantity.is_positive() {
            return Err(Refusal::QuantityNotPositive { quantity });
        }
        let client_order_id = amendment.client_order_id.clone();
        if let Some(client_order_id) = client_order_id.as_ref().filter(|id| self.knows(id)) {
            return Err(Refusal::DuplicateId { client_order_id: client_order_id.clone() });
        }
        check_prices(&OrderTicket {
            client_order_id: old.order.client_order_id.clone(),
            symbol: old.order.symbol,
            side: old.order.side,
            quantity,
            order_type,
            time_in_force,
            class: OrderClass::Simple,
        })?;
        let reserve_price = match order_type {
            OrderType::Limit { limit } | OrderType::StopLimit { limit, .. } => limit,
            OrderType::Stop { stop } => stop,
            OrderType::Market | OrderType::TrailingStop { .. } => old.reserve_price,
        };
        self.check_cover(old, reserve_price, quantity)?;
        let new = old.clone();
        let number = self.next_number();
        let new = BookOrder {
            number,
            order: Order {
                broker_order_id: number.id(),
                client_order_id: client_order_id.unwrap_or_else(|| ClientOrderId::of_exchange(number.0)),
                quantity,
                filled: Quantity::ZERO,
                average_price: None,
                order_type,
                time_in_force,
                status: if status == OrderStatus::Held { OrderStatus::Held } else { OrderStatus::New },
                submitted_at: now,
                updated_at: now,
                ..new.order
            },
            working_since: new.working_since.map(|_| now),
            reserve_price,
            filled_value: Money::ZERO,
            fees: Money::ZERO,
            ..new
        };
        let order = new.order.clone();
        self.insert(new);
        self.end(old_number, now, OrderStatus::Replaced, &format!("replaced by {number}"));
        Ok(order)
    }

    /// Whether the account can pay for the new terms, or has the shares.
    fn check_cover(&self, old: &BookOrder, reserve_price: Price, quantity: Quantity) -> Result<(), Refusal> {
        let remaining = old.order.remaining();
        if old.opens {
            let cost = reserve_price.times(quantity)?;
            let set_aside = old.reserve_price.times(remaining)?;
            let buying_power = self.figures(&std::collections::BTreeMap::new())?.buying_power.plus(set_aside)?;
            if cost > buying_power {
                return Err(Refusal::InsufficientBuyingPower { cost, buying_power });
            }
        } else if quantity > remaining && old.order.status != OrderStatus::Held {
            let (symbol, side) = (old.order.symbol, old.order.side);
            let held = self.state.held(symbol).abs();
            let held_for_orders = self.state.held_for_orders(symbol, side)?;
            if quantity > held.minus(held_for_orders)?.plus(remaining)? {
                return Err(Refusal::InsufficientShares { symbol, requested: quantity, held, held_for_orders });
            }
        }
        Ok(())
    }

    /// Whether an order in memory has this id.
    fn knows(&self, id: &ClientOrderId) -> bool {
        self.state.orders.iter().any(|book| book.order.client_order_id == *id)
    }
}
