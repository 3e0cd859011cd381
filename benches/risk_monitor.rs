//! A run of the risk monitor, from gathered facts to the decision. Promised: 50 positions under 100 µs.

use daybook_core::calendar::Calendar;
use daybook_core::decision::Mark;
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{
    BrokerPosition, Fill, Order, OrderClass, OrderRole, OrderStatus, OrderType, Origin, TimeInForce,
};
use daybook_core::portfolio::{EntryPlan, FillOrigin, book};
use daybook_core::risk::{MonitorFacts, RiskSettings, monitor};
use daybook_core::strategy::Direction;
use daybook_core::time::{SessionDate, Span};
use divan::Bencher;

fn main() {
    divan::main();
}

/// An account an hour into a session: each position is long 100 shares at 50.00, with its bracket's legs
/// at the broker, a fresh price, and a look of a minute before.
fn facts(positions: usize) -> MonitorFacts {
    let session = Calendar::xnys().session(SessionDate::of(2026, 11, 16).expect("a date")).expect("a session");
    let as_of = session.open.after(Span::hours(1).as_duration());
    let before = as_of.before(Span::minutes(30).as_duration());
    let origin = Origin { ledger_id: "1f3a9c2e".to_owned(), job: "risk-monitor".to_owned(), slot: as_of };
    let mut facts = MonitorFacts {
        origin: origin.clone(),
        as_of,
        session,
        halts: vec![],
        opening_equity: Money::whole(500_000),
        peak_equity: Money::whole(500_000),
        realised: Money::ZERO,
        fees: Money::ZERO,
        broker_equity: Some(Money::whole(500_000)),
        positions: vec![],
        broker_positions: vec![],
        open_orders: vec![],
        in_flight: vec![],
        marks: vec![],
        prior: None,
        warned: false,
        flatten_begun: false,
        closed_trades: vec![],
        last_safe_mode: None,
        failures_in_a_row: 0,
    };
    let (stop, target) = (Price::from_cents(49_00), Price::from_cents(52_00));
    for leg in 0..positions {
        let symbol: Symbol = format!("S{leg:03}").parse().expect("a symbol");
        let quantity = Quantity::whole(100);
        let parent = origin.client_order_id(u32::try_from(leg).expect("a few positions"));
        let side = Direction::Long.entry_side();
        let fill = Fill {
            execution_id: format!("x{leg}"),
            broker_order_id: format!("entry-{leg}"),
            client_order_id: parent.clone(),
            symbol,
            side,
            quantity,
            price: Price::from_cents(50_00),
            fee: Money::ZERO,
            at: before,
        };
        let plan = EntryPlan { strategy: "opening_range_breakout".to_owned(), stop, target };
        let booked = book(None, &fill, &FillOrigin { role: OrderRole::Parent, plan: Some(plan) }).expect("it fits");
        facts.positions.extend(booked.open);
        facts.broker_positions.push(BrokerPosition { symbol, quantity, average_price: fill.price });
        for (role, order_type) in [
            (OrderRole::StopLoss, OrderType::Stop { stop }),
            (OrderRole::TakeProfit, OrderType::Limit { limit: target }),
        ] {
            facts.open_orders.push(Order {
                broker_order_id: format!("{role:?}-{leg}"),
                client_order_id: parent.clone(),
                parent: Some(parent.clone()),
                role,
                symbol,
                side: side.opposite(),
                quantity,
                order_type,
                time_in_force: TimeInForce::Day,
                class: OrderClass::Simple,
                status: OrderStatus::New,
                filled: Quantity::ZERO,
                average_price: None,
                reason: None,
                submitted_at: before,
                updated_at: before,
            });
        }
        let at = as_of.before(Span::minutes(1).as_duration());
        facts.marks.push(Mark { symbol, price: Price::from_cents(50_10), at });
    }
    facts.prior = monitor(&facts, &RiskSettings::default()).look;
    facts
}

#[divan::bench(args = [1, 5, 50])]
fn decides(bencher: Bencher<'_, '_>, positions: usize) {
    let (facts, settings) = (facts(positions), RiskSettings::default());
    bencher.bench_local(|| monitor(divan::black_box(&facts), &settings));
}
