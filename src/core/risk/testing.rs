//! A small account for the tests of risk and reconcile: positions, orders and marks in a session.

use crate::calendar::{Calendar, Session};
use crate::decision::Mark;
use crate::market::Symbol;
use crate::money::{Money, Price, Quantity};
use crate::order::{BrokerPosition, Order, OrderClass, OrderRole, OrderStatus, OrderType, Origin, Side, TimeInForce};
use crate::portfolio::{Position, PositionState};
use crate::strategy::Direction;
use crate::time::{SessionDate, Span, Timestamp};

pub(crate) const LEDGER_ID: &str = "1f3a9c2e";

pub(crate) fn session() -> Session {
    Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap()
}

pub(crate) fn minute(minutes: u32) -> Timestamp {
    session().open.after(Span::minutes(minutes).as_duration())
}

pub(crate) fn origin(job: &str, at: Timestamp) -> Origin {
    Origin { ledger_id: LEDGER_ID.to_owned(), job: job.to_owned(), slot: at }
}

pub(crate) fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

pub(crate) fn cents(cents: i64) -> Price {
    Price::from_cents(cents)
}

pub(crate) fn mark(name: &str, price: i64, at: Timestamp) -> Mark {
    Mark { symbol: symbol(name), price: cents(price), at }
}

/// 100 shares since minute 30, entered at 50.00 with a stop one dollar away and a target two dollars away.
pub(crate) fn position(name: &str, direction: Direction) -> Position {
    let (stop, target) = match direction {
        Direction::Long => (cents(49_00), cents(52_00)),
        Direction::Short => (cents(51_00), cents(48_00)),
    };
    Position {
        symbol: symbol(name),
        direction,
        state: PositionState::Monitoring,
        strategy: Some("opening_range_breakout".to_owned()),
        quantity: Quantity::whole(100),
        quantity_max: Quantity::whole(100),
        entered: Quantity::whole(100),
        entry_value: Money::whole(5_000),
        exit_value: Money::ZERO,
        cost: Money::whole(5_000),
        entry_price: cents(50_00),
        exit_price: None,
        initial_stop: Some(stop),
        stop: Some(stop),
        target: Some(target),
        adjustments: 0,
        best_price: cents(50_00),
        opened_at: minute(30),
        closed_at: None,
        realised: Money::ZERO,
        fees: Money::ZERO,
        exit_reason: None,
    }
}

pub(crate) fn at_broker(position: &Position) -> BrokerPosition {
    BrokerPosition {
        symbol: position.symbol,
        quantity: position.signed_quantity(),
        average_price: position.entry_price,
    }
}

/// The two legs of the bracket that opened `position`, working.
pub(crate) fn legs(position: &Position) -> [Order; 2] {
    let leg = |suffix: &str, role, order_type| Order {
        broker_order_id: format!("{}-{suffix}", position.symbol),
        client_order_id: format!("broker-{}-{suffix}", position.symbol).parse().unwrap(),
        parent: Some(origin("analysis", minute(29)).client_order_id(0)),
        role,
        class: OrderClass::Simple,
        ..order(position, order_type)
    };
    [
        leg("stop", OrderRole::StopLoss, OrderType::Stop { stop: position.stop.unwrap() }),
        leg("target", OrderRole::TakeProfit, OrderType::Limit { limit: position.target.unwrap() }),
    ]
}

/// A working order of ours that would leave `position`.
pub(crate) fn order(position: &Position, order_type: OrderType) -> Order {
    let side = match position.direction {
        Direction::Long => Side::Sell,
        Direction::Short => Side::Buy,
    };
    Order {
        broker_order_id: format!("{}-simple", position.symbol),
        client_order_id: origin("risk-monitor", minute(31)).client_order_id(0),
        parent: None,
        role: OrderRole::Parent,
        symbol: position.symbol,
        side,
        quantity: position.quantity,
        order_type,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Simple,
        status: OrderStatus::New,
        filled: Quantity::ZERO,
        average_price: None,
        reason: None,
        submitted_at: minute(30),
        updated_at: minute(30),
    }
}

/// The entry that opened `position`, still working for another 100 shares.
pub(crate) fn entry(position: &Position) -> Order {
    let class = OrderClass::Bracket { take_profit: position.target.unwrap(), stop_loss: position.stop.unwrap() };
    Order {
        broker_order_id: format!("{}-entry", position.symbol),
        client_order_id: origin("analysis", minute(29)).client_order_id(0),
        side: position.direction.entry_side(),
        quantity: Quantity::whole(200),
        filled: Quantity::whole(100),
        status: OrderStatus::PartiallyFilled,
        class,
        ..order(position, OrderType::Market)
    }
}
