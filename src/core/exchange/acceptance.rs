use std::collections::BTreeMap;
use std::time::Duration;

use crate::market::{Quote, check_age};
use crate::money::{Bps, Money, Price, Quantity};
use crate::order::{
    ClientOrderId, Order, OrderClass, OrderRole, OrderStatus, OrderTicket, OrderType, Side, TimeInForce, Trail,
};
use crate::time::Timestamp;

use super::matching::other_side;
use super::pricing::{reaches, slipped};
use super::{BookOrder, ChangeRefusal, Exchange, OrderNumber, Refusal, Terms, Timing};

/// What the review of a ticket found.
#[derive(Debug, Clone, Copy)]
struct Admission {
    opens: bool,
    reserve_price: Price,
}

/// An order before it has a number.
#[derive(Debug, Clone, Copy)]
struct Draft {
    role: OrderRole,
    side: Side,
    order_type: OrderType,
    class: OrderClass,
    held: bool,
}

impl Exchange {
    /// Takes an order, and fills what the `quote` of this instant fills at once.
    ///
    /// The answer is the order followed by its legs. A quote that is too old still tells what the
    /// order may cost and where its exits may lie, unless a later price is known.
    ///
    /// # Errors
    /// [`Refusal`]: nothing is changed, unless amounts overflow.
    pub fn submit(
        &mut self,
        ticket: &OrderTicket,
        now: Timestamp,
        quote: Option<&Quote>,
    ) -> Result<Vec<Order>, Refusal> {
        self.submit_on(ticket, Terms::default(), now, quote)
    }

    /// Takes an order that asks for more than a ticket can say.
    ///
    /// # Errors
    /// As [`Exchange::submit`].
    pub fn submit_on(
        &mut self,
        ticket: &OrderTicket,
        terms: Terms,
        now: Timestamp,
        quote: Option<&Quote>,
    ) -> Result<Vec<Order>, Refusal> {
        let first = self.accept(ticket, terms, now, quote)?;
        Ok(self.state.group(first).map(|book| book.order.clone()).collect())
    }

    /// Takes an order, and tells the number of it and of nothing else: who asks for more finds it in the state.
    ///
    /// # Errors
    /// As [`Exchange::submit`].
    pub fn accept(
        &mut self,
        ticket: &OrderTicket,
        terms: Terms,
        now: Timestamp,
        quote: Option<&Quote>,
    ) -> Result<OrderNumber, Refusal> {
        let open = self.state.session_open || (self.state.extended_open && terms.extended_hours);
        let age_max = Duration::from_secs(u64::from(self.settings.quote_age_max_s));
        let fresh = quote.filter(|quote| open && quote.check().is_ok() && check_age(quote.at, now, age_max).is_ok());
        let admission = self.admit(ticket, terms, quote, fresh)?;
        let first = self.enter(ticket, terms, admission, now);
        if let Some(quote) = fresh {
            self.mark(ticket.symbol, quote.midpoint()?, quote.at);
            let price = other_side(ticket.side, quote);
            let mut offered = self.offered(ticket.side, quote)?;
            let enough = offered.0.is_none_or(|shares| shares >= ticket.quantity);
            if terms.timing != Timing::FillOrKill || enough {
                self.meet(first, price, now, &mut offered)?;
            }
        }
        let at_once = matches!(terms.timing, Timing::ImmediateOrCancel | Timing::FillOrKill);
        if at_once && self.state.orders.get(first).is_some_and(|book| !book.order.status.is_terminal()) {
            self.end(first, now, OrderStatus::Canceled, "did not fill at once");
        }
        Ok(first)
    }

    /// Cancels an order and its group. Canceling what is canceled changes nothing.
    ///
    /// # Errors
    /// If there is no such order, or it has ended otherwise.
    pub fn cancel(&mut self, broker_order_id: &str, now: Timestamp) -> Result<(), ChangeRefusal> {
        let (number, book) = self.find(broker_order_id)?;
        let (group, status) = (book.group, book.order.status);
        if status.is_terminal() {
            return ChangeRefusal::of_cancel(broker_order_id, status);
        }
        for other in self.numbers_of(group, |book| !book.order.status.is_terminal()) {
            let reason = if other == number { "canceled on request" } else { "canceled with its group" };
            self.end(other, now, OrderStatus::Canceled, reason);
        }
        Ok(())
    }

    /// Replaces a resting stop order by one with another stop price; the answer is the new order, in
    /// the same group and with the first order's id as its parent.
    ///
    /// A stop that is there already is left alone. The new stop counts for all of the bar in
    /// which it was moved.
    ///
    /// # Errors
    /// If there is no such order, it does not rest, or the price is none that an order may have.
    pub fn replace_stop(&mut self, broker_order_id: &str, stop: Price, now: Timestamp) -> Result<Order, ChangeRefusal> {
        let (old_number, old) = self.find(broker_order_id)?;
        let id = || broker_order_id.to_owned();
        let status = old.order.status;
        if status.is_terminal() {
            return Err(ChangeRefusal::Ended { broker_order_id: id(), status });
        }
        if status == OrderStatus::Accepted {
            return Err(ChangeRefusal::NotWorking { broker_order_id: id(), status });
        }
        let order_type = match old.order.order_type {
            OrderType::Stop { .. } if !old.triggered => OrderType::Stop { stop },
            OrderType::StopLimit { limit, .. } if !old.triggered => OrderType::StopLimit { stop, limit },
            OrderType::Market
            | OrderType::Limit { .. }
            | OrderType::Stop { .. }
            | OrderType::StopLimit { .. }
            | OrderType::TrailingStop { .. } => return Err(ChangeRefusal::NoRestingStop { broker_order_id: id() }),
        };
        if !stop.is_positive() || stop.round_to_tick_down() != stop {
            return Err(ChangeRefusal::StopPrice { stop, tick: stop.tick() });
        }
        if order_type == old.order.order_type {
            return Ok(old.order.clone());
        }
        let mut new = old.clone();
        new.number = self.next_number();
        let remaining = new.order.remaining();
        new.order = Order {
            broker_order_id: new.number.id(),
            client_order_id: ClientOrderId::of_exchange(new.number.0),
            parent: new.order.parent.clone().or(Some(new.order.client_order_id)),
            quantity: remaining,
            filled: Quantity::ZERO,
            average_price: None,
            order_type,
            submitted_at: now,
            updated_at: now,
            ..new.order
        };
        new.working_since = new.working_since.map(|_| now);
        let order = new.order.clone();
        let reason = format!("replaced by {}", new.number);
        self.insert(new);
        self.end(old_number, now, OrderStatus::Replaced, &reason);
        Ok(order)
    }

    pub(super) fn find(&self, broker_order_id: &str) -> Result<(OrderNumber, &BookOrder), ChangeRefusal> {
        let unknown = || ChangeRefusal::Unknown { broker_order_id: broker_order_id.to_owned() };
        let number: OrderNumber = broker_order_id.parse().map_err(|_| unknown())?;
        self.state.orders.get(number).map(|book| (number, book)).ok_or_else(unknown)
    }

    pub(super) fn next_number(&mut self) -> OrderNumber {
        self.state.orders_issued += 1;
        OrderNumber(self.state.orders_issued)
    }

    pub(super) fn insert(&mut self, book: BookOrder) {
        self.changes.orders.push(book.number);
        self.state.orders.insert(book);
    }

    /// Puts the orders of a ticket into the book; the answer is the first one's number.
    fn enter(&mut self, ticket: &OrderTicket, terms: Terms, admission: Admission, now: Timestamp) -> OrderNumber {
        let draft = |role, side, order_type, held| Draft { role, side, order_type, class: OrderClass::Simple, held };
        let own = Draft {
            role: OrderRole::Parent,
            side: ticket.side,
            order_type: ticket.order_type,
            class: ticket.class,
            held: false,
        };
        let (exit, drafts) = (ticket.side.opposite(), &mut Vec::with_capacity(3));
        let stop_leg = |stop| match terms.stop_loss_limit {
            Some(limit) => OrderType::StopLimit { stop, limit },
            None => OrderType::Stop { stop },
        };
        match ticket.class {
            OrderClass::Simple => {
                drafts.push(own);
                drafts.extend(terms.then.map(|order_type| draft(exit_role(order_type), exit, order_type, true)));
            }
            OrderClass::Bracket { take_profit, stop_loss } => drafts.extend([
                own,
                draft(OrderRole::TakeProfit, exit, OrderType::Limit { limit: take_profit }, true),
                draft(OrderRole::StopLoss, exit, stop_leg(stop_loss), true),
            ]),
            OrderClass::Oco { stop_loss } => drafts.extend([
                Draft { role: OrderRole::TakeProfit, ..own },
                draft(OrderRole::StopLoss, ticket.side, stop_leg(stop_loss), false),
            ]),
        }
        let open = match terms.timing {
            Timing::AtOpen | Timing::AtClose => false,
            Timing::ImmediateOrCancel | Timing::FillOrKill => true,
            Timing::Resting => self.state.session_open || (self.state.extended_open && terms.extended_hours),
        };
        let first = OrderNumber(self.state.orders_issued + 1);
        for draft in drafts.iter() {
            let number = self.next_number();
            let leads = number == first;
            let (status, working_since) = match (draft.held, open) {
                (true, _) => (OrderStatus::Held, None),
                (false, true) => (OrderStatus::New, Some(now)),
                (false, false) => (OrderStatus::Accepted, None),
            };
            self.insert(BookOrder {
                number,
                group: first,
                order: Order {
                    broker_order_id: number.id(),
                    client_order_id: if leads {
                        ticket.client_order_id.clone()
                    } else {
                        ClientOrderId::of_exchange(number.0)
                    },
                    parent: (!leads).then(|| ticket.client_order_id.clone()),
                    role: draft.role,
                    symbol: ticket.symbol,
                    side: draft.side,
                    quantity: ticket.quantity,
                    order_type: draft.order_type,
                    time_in_force: ticket.time_in_force,
                    class: draft.class,
                    status,
                    filled: Quantity::ZERO,
                    average_price: None,
                    reason: None,
                    submitted_at: now,
                    updated_at: now,
                },
                terms: if leads { terms } else { Terms::default() },
                opens: leads && admission.opens,
                working_since,
                triggered: false,
                best_price: None,
                reserve_price: admission.reserve_price,
                filled_value: Money::ZERO,
                fees: Money::ZERO,
            });
        }
        first
    }

    /// Reviews a ticket; nothing is changed.
    fn admit(
        &self,
        ticket: &OrderTicket,
        terms: Terms,
        quote: Option<&Quote>,
        fresh: Option<&Quote>,
    ) -> Result<Admission, Refusal> {
        let client_order_id = &ticket.client_order_id;
        if client_order_id.is_of_exchange() {
            return Err(Refusal::ReservedId { client_order_id: client_order_id.clone() });
        }
        if self.state.orders.iter().any(|book| book.order.client_order_id == *client_order_id) {
            return Err(Refusal::DuplicateId { client_order_id: client_order_id.clone() });
        }
        check_quantity(ticket)?;
        check_prices(ticket)?;
        if let Some(limit) = terms.stop_loss_limit {
            check_price("stop loss limit", limit)?;
        }
        if let Some(exit) = terms.then {
            check_prices(&OrderTicket { order_type: exit, class: OrderClass::Simple, ..ticket.clone() })?;
        }
        let market = fresh.map(|quote| other_side(ticket.side, quote));
        let known = market.or_else(|| self.last_known(ticket, quote));
        check_class(ticket, known)?;
        if let (Some(stop), Some(market)) = (own_stop(ticket), market)
            && reaches(ticket.side, stop, market)
        {
            return Err(Refusal::StopThroughMarket { side: ticket.side, stop, market });
        }
        let opens = self.check_holding(ticket)?;
        let reserve_price = match ticket.order_type {
            OrderType::Limit { limit } | OrderType::StopLimit { limit, .. } => limit,
            OrderType::Stop { stop } => slipped(ticket.side, stop, self.settings.slippage)?,
            OrderType::Market | OrderType::TrailingStop { .. } => match known {
                Some(price) => slipped(ticket.side, price, self.settings.slippage)?,
                None if opens => return Err(Refusal::NoPrice { symbol: ticket.symbol }),
                None => Price::ZERO,
            },
        };
        if opens {
            let value = reserve_price.times(ticket.quantity)?;
            let cost = value.plus(self.settings.commission(ticket.quantity, value)?)?;
            let buying_power = match self.credit {
                Some(granted) => granted,
                None => self.figures(&BTreeMap::new())?.buying_power,
            };
            if cost > buying_power {
                return Err(Refusal::InsufficientBuyingPower { cost, buying_power });
            }
        }
        Ok(Admission { opens, reserve_price })
    }

    /// The newest price that is known of what the ticket trades: of a quote that is too old to trade on, or of a trade.
    fn last_known(&self, ticket: &OrderTicket, quote: Option<&Quote>) -> Option<Price> {
        let mark = self.state.marks.get(&ticket.symbol);
        let quote = quote.filter(|quote| quote.check().is_ok() && mark.is_none_or(|mark| mark.at <= quote.at));
        quote.map(|quote| other_side(ticket.side, quote)).or(mark.map(|mark| mark.price))
    }

    /// Whether the ticket opens; if it leaves a position, the shares must be free.
    fn check_holding(&self, ticket: &OrderTicket) -> Result<bool, Refusal> {
        let symbol = ticket.symbol;
        let held = self.state.held(symbol);
        let opens = match ticket.side {
            Side::Buy => !held.is_negative(),
            Side::Sell => !held.is_positive(),
        };
        let pair = matches!(ticket.class, OrderClass::Oco { .. });
        if opens && !pair {
            if ticket.side == Side::Sell && !self.settings.allow_short {
                return Err(Refusal::ShortNotAllowed { symbol, requested: ticket.quantity });
            }
            return Ok(true);
        }
        if matches!(ticket.class, OrderClass::Bracket { .. }) {
            return Err(Refusal::BracketExits { symbol, held });
        }
        let held = if opens { Quantity::ZERO } else { held.abs() };
        let held_for_orders = self.state.held_for_orders(symbol, ticket.side)?;
        if ticket.quantity > held.minus(held_for_orders)? {
            return Err(Refusal::InsufficientShares { symbol, requested: ticket.quantity, held, held_for_orders });
        }
        Ok(false)
    }
}

impl ChangeRefusal {
    /// What a cancel of an order that has ended is answered: a canceled one stays canceled.
    ///
    /// # Errors
    /// If it ended otherwise.
    pub fn of_cancel(broker_order_id: &str, status: OrderStatus) -> Result<(), Self> {
        match status {
            OrderStatus::Canceled => Ok(()),
            _ => Err(Self::Ended { broker_order_id: broker_order_id.to_owned(), status }),
        }
    }
}

/// What the one exit of an order is for.
const fn exit_role(order_type: OrderType) -> OrderRole {
    match order_type {
        OrderType::Limit { .. } => OrderRole::TakeProfit,
        OrderType::Market | OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => {
            OrderRole::StopLoss
        }
    }
}

fn check_quantity(ticket: &OrderTicket) -> Result<(), Refusal> {
    let quantity = ticket.quantity;
    if !quantity.is_positive() {
        return Err(Refusal::QuantityNotPositive { quantity });
    }
    let simple = ticket.class == OrderClass::Simple
        && ticket.time_in_force == TimeInForce::Day
        && !matches!(ticket.order_type, OrderType::TrailingStop { .. });
    if !simple && quantity.floor_to_lot(Quantity::whole(1)) != quantity {
        return Err(Refusal::Fractional { quantity });
    }
    Ok(())
}

pub(super) fn check_prices(ticket: &OrderTicket) -> Result<(), Refusal> {
    match ticket.order_type {
        OrderType::Market => {}
        OrderType::Limit { limit } => check_price("limit", limit)?,
        OrderType::Stop { stop } => check_price("stop", stop)?,
        OrderType::StopLimit { stop, limit } => {
            check_price("stop", stop)?;
            check_price("limit", limit)?;
        }
        OrderType::TrailingStop { trail } => {
            let in_range = match trail {
                Trail::Amount(distance) => distance.is_positive(),
                Trail::Ratio(ratio) => Bps::ZERO < ratio && ratio < Bps::ONE,
            };
            if !in_range {
                return Err(Refusal::TrailOutOfRange { trail });
            }
        }
    }
    match ticket.class {
        OrderClass::Simple => Ok(()),
        OrderClass::Bracket { take_profit, stop_loss } => {
            check_price("take profit", take_profit)?;
            check_price("stop loss", stop_loss)
        }
        OrderClass::Oco { stop_loss } => check_price("stop loss", stop_loss),
    }
}

fn check_price(field: &'static str, price: Price) -> Result<(), Refusal> {
    if !price.is_positive() {
        return Err(Refusal::PriceNotPositive { field, price });
    }
    if price.round_to_tick_down() != price {
        return Err(Refusal::SubPenny { field, price, tick: price.tick() });
    }
    Ok(())
}

/// Checks that types and prices of a group fit together; `market` is the price that a market order would meet.
fn check_class(ticket: &OrderTicket, market: Option<Price>) -> Result<(), Refusal> {
    let side = ticket.side;
    match (ticket.class, ticket.order_type) {
        (OrderClass::Simple, _) => Ok(()),
        (OrderClass::Bracket { take_profit, stop_loss }, OrderType::Limit { .. } | OrderType::Market) => {
            check_legs(side.opposite(), take_profit, stop_loss)?;
            let base = match ticket.order_type {
                OrderType::Limit { limit } => Some(limit),
                _ => market,
            };
            let Some(base) = base else { return Ok(()) };
            let (below, above) = match side {
                Side::Buy => (("stop loss", stop_loss), ("take profit", take_profit)),
                Side::Sell => (("take profit", take_profit), ("stop loss", stop_loss)),
            };
            let through = |(leg, price)| Err(Refusal::LegThroughEntry { leg, price, base });
            if below.1 > base.minus(base.tick())? {
                through(below)
            } else if above.1 < base.plus(base.tick())? {
                through(above)
            } else {
                Ok(())
            }
        }
        (OrderClass::Bracket { .. }, order_type) => Err(Refusal::BracketEntry { order_type }),
        (OrderClass::Oco { stop_loss }, OrderType::Limit { limit }) => check_legs(side, limit, stop_loss),
        (OrderClass::Oco { .. }, order_type) => Err(Refusal::OcoType { order_type }),
    }
}

/// Checks that a pair of exits on `side` stands with the target beyond the stop.
fn check_legs(side: Side, take_profit: Price, stop_loss: Price) -> Result<(), Refusal> {
    let apart = match side {
        Side::Sell => stop_loss < take_profit,
        Side::Buy => stop_loss > take_profit,
    };
    if apart { Ok(()) } else { Err(Refusal::LegsCrossed { side, take_profit, stop_loss }) }
}

/// The stop that works from the start, if the ticket has one.
const fn own_stop(ticket: &OrderTicket) -> Option<Price> {
    match (ticket.class, ticket.order_type) {
        (OrderClass::Oco { stop_loss }, _) => Some(stop_loss),
        (_, OrderType::Stop { stop } | OrderType::StopLimit { stop, .. }) => Some(stop),
        (_, OrderType::Market | OrderType::Limit { .. } | OrderType::TrailingStop { .. }) => None,
    }
}
