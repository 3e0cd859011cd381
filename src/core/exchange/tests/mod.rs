//! The engine's behaviour, told as small days at a desk.

mod account;
mod fills;
mod groups;
mod venue;

use super::*;
use crate::market::{Bar, Quote};
use crate::money::Bps;
use crate::order::{ClientOrderId, Order, OrderClass, OrderTicket, OrderType, Side, TimeInForce};

pub(super) const fn cents(cents: i64) -> Price {
    Price::from_cents(cents)
}

/// The start of minute `n`.
pub(super) const fn minute(n: i64) -> Timestamp {
    Timestamp(n * 60_000)
}

/// So many seconds into minute `n`.
pub(super) const fn second(n: i64, seconds: i64) -> Timestamp {
    Timestamp(n * 60_000 + seconds * 1_000)
}

/// The last millisecond of minute `n`.
pub(super) const fn inside(n: i64) -> Timestamp {
    Timestamp((n + 1) * 60_000 - 1)
}

pub(super) fn ticket(id: &str, side: Side, shares: i64, order_type: OrderType) -> OrderTicket {
    OrderTicket {
        client_order_id: id.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        quantity: Quantity::whole(shares),
        order_type,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Simple,
    }
}

pub(super) fn bracket(id: &str, shares: i64, order_type: OrderType, stop: i64, target: i64) -> OrderTicket {
    OrderTicket {
        class: OrderClass::Bracket { take_profit: cents(target), stop_loss: cents(stop) },
        ..ticket(id, Side::Buy, shares, order_type)
    }
}

pub(super) const fn limit(price: i64) -> OrderType {
    OrderType::Limit { limit: cents(price) }
}

pub(super) const fn stop(price: i64) -> OrderType {
    OrderType::Stop { stop: cents(price) }
}

/// No slippage, no commission, no bound.
pub(super) fn plain() -> ExchangeSettings {
    ExchangeSettings { slippage: Bps::ZERO, ..ExchangeSettings::default() }
}

/// An exchange during regular hours, and one symbol.
pub(super) struct Desk {
    pub exchange: Exchange,
    pub fills: Vec<Fill>,
}

impl Desk {
    pub fn new(settings: ExchangeSettings) -> Self {
        let state = ExchangeState::new(settings.starting_cash, true);
        Self { exchange: Exchange::new(settings, state), fills: Vec::new() }
    }

    pub fn collect(&mut self) -> Changes {
        let changes = self.exchange.take_changes();
        self.fills.extend(changes.executions.iter().map(|execution| execution.fill.clone()));
        changes
    }

    pub fn event(&mut self, event: &MarketEvent) {
        self.exchange.apply(event).unwrap();
        self.collect();
    }

    /// A complete bar of minute `n`, prices in cents.
    pub fn bar(&mut self, n: i64, open: i64, high: i64, low: i64, close: i64) {
        self.bar_of(n, open, high, low, close, 1_000_000);
    }

    pub fn bar_of(&mut self, n: i64, open: i64, high: i64, low: i64, close: i64, volume: i64) {
        let bar = Bar {
            start: minute(n),
            open: cents(open),
            high: cents(high),
            low: cents(low),
            close: cents(close),
            volume: Quantity::whole(volume),
        };
        self.event(&MarketEvent::BarRange { symbol: "AAPL".parse().unwrap(), bar, end: minute(n + 1) });
    }

    pub fn submit(&mut self, ticket: &OrderTicket, now: Timestamp) -> Result<Vec<Order>, Refusal> {
        let orders = self.exchange.submit(ticket, now, None);
        self.collect();
        orders
    }

    pub fn submit_on(&mut self, ticket: &OrderTicket, now: Timestamp, quote: Quote) -> Result<Vec<Order>, Refusal> {
        let orders = self.exchange.submit(ticket, now, Some(&quote));
        self.collect();
        orders
    }

    /// Buys shares at the open of a flat bar in minute `n`.
    pub fn holds(&mut self, shares: i64, n: i64, price: i64) {
        self.submit(&ticket(&format!("buy-{n}"), Side::Buy, shares, limit(price)), minute(n)).unwrap();
        self.bar(n, price, price, price, price);
        self.fills.clear();
    }

    pub fn order(&self, number: i64) -> &Order {
        &self.exchange.state().orders.get(OrderNumber(number)).unwrap().order
    }

    pub fn status(&self, number: i64) -> OrderStatus {
        self.order(number).status
    }

    pub fn held(&self) -> Quantity {
        self.exchange.state().held("AAPL".parse().unwrap())
    }

    /// Each fill as side, shares, cents and instant.
    pub fn told(&self) -> Vec<(Side, i64, i64, Timestamp)> {
        let shares = |quantity: Quantity| quantity.0 / Quantity::UNIT;
        let in_cents = |price: Price| price.0 / 1_000_000;
        self.fills.iter().map(|fill| (fill.side, shares(fill.quantity), in_cents(fill.price), fill.at)).collect()
    }
}

pub(super) fn quote(at: Timestamp, bid: i64, ask: i64) -> Quote {
    Quote { at, bid: cents(bid), ask: cents(ask), bid_size: Quantity::whole(100), ask_size: Quantity::whole(100) }
}

pub(super) fn id(text: &str) -> ClientOrderId {
    text.parse().unwrap()
}
