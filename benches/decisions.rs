//! How long decisions take, from gathered facts: `cargo bench --bench decisions`.
//!
//! The promise: a risk-monitor run with 50 positions decides in under 100 µs.

use daybook::config::{self, Environment, Sources};
use daybook::ledger::run::{self, LookInput};
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::decision::Mark;
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{
    BrokerPosition, Order, OrderClass, OrderRole, OrderStatus, OrderType, Origin, Side, TimeInForce,
};
use daybook_core::portfolio::{Position, PositionState};
use daybook_core::risk::{MonitorFacts, RiskSettings, monitor};
use daybook_core::schedule::{JobDefinition, Pace, PlanInput, plan};
use daybook_core::strategy::Direction;
use daybook_core::time::{SessionDate, Span, Timestamp};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// The monitor's minute, every position with its bracket's legs at the broker and a fresh mark.
#[divan::bench(args = [0, 5, 50])]
fn risk_monitor(bencher: Bencher, positions: usize) {
    let facts = holding(positions);
    let settings = RiskSettings { max_positions: 50, ..RiskSettings::default() };
    let first = monitor(&facts, &settings);
    // The second look is the ordinary one: it compares with the first.
    let facts = MonitorFacts { as_of: facts.as_of.after(MINUTE), prior: first.look, ..facts };
    bencher.bench(|| monitor(black_box(&facts), black_box(&settings)));
}

/// What the planner works out for the built-in jobs: the minute that has passed, or a week away.
#[divan::bench(args = ["1m", "7d"])]
fn plan_of_the_built_in_jobs(bencher: Bencher, passed: &str) {
    let (jobs, calendar) = (jobs(), Calendar::xnys());
    let now = minute(120);
    let passed: Span = passed.parse().unwrap_or(Span::ZERO);
    bencher.bench(|| {
        for definition in black_box(&jobs) {
            let horizon = now.before(passed.as_duration());
            black_box(plan(&PlanInput { definition, calendar: &calendar, pace: Pace::Normal, horizon, now }));
        }
    });
}

/// One look of the planner at a real ledger, in which nothing is due: what the scheduler does each second.
#[divan::bench]
fn idle_look_at_the_ledger(bencher: Bencher) {
    let (jobs, calendar, folder) = (jobs(), Calendar::xnys(), tempfile::tempdir().unwrap());
    let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "bench", minute(0));
    let ledger = Ledger::open(&folder.path().join("bench.db"), &OpenOptions::create_or_open(new)).unwrap();
    let known = jobs.clone();
    ledger.write_blocking(move |tx| run::sync_jobs(tx, &known, minute(0))).unwrap();
    bencher.bench(|| {
        let (jobs, calendar) = (jobs.clone(), calendar.clone());
        let look = move |tx: &daybook::ledger::Transaction<'_>| {
            let now = minute(0);
            let input = LookInput {
                now,
                beyond_now_us: 0,
                jobs: &jobs,
                calendar: &calendar,
                live: &[],
                epoch: 1,
                config_hash: "bench",
            };
            run::look(tx, &input)
        };
        ledger.write_blocking(look).unwrap()
    });
}

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

fn jobs() -> Vec<JobDefinition> {
    config::load(&Sources::new(None, Environment::default())).unwrap().jobs
}

fn session() -> Session {
    Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap()
}

fn minute(minutes: u32) -> Timestamp {
    session().open.after(MINUTE * minutes)
}

/// An account that is long 100 shares of each of so many symbols.
fn holding(count: usize) -> MonitorFacts {
    let positions: Vec<Position> = (0..count).map(|n| position(format!("S{n:03}").parse().unwrap())).collect();
    let marks =
        positions.iter().map(|held| Mark { symbol: held.symbol, price: Price::from_cents(50_10), at: minute(59) });
    let at_broker = positions.iter().map(|held| BrokerPosition {
        symbol: held.symbol,
        quantity: held.signed_quantity(),
        average_price: held.entry_price,
    });
    MonitorFacts {
        origin: origin("risk-monitor", minute(60)),
        as_of: minute(60),
        session: session(),
        halts: vec![],
        opening_equity: Money::whole(1_000_000),
        peak_equity: Money::whole(1_000_000),
        realised: Money::ZERO,
        fees: Money::ZERO,
        broker_equity: None,
        marks: marks.collect(),
        broker_positions: at_broker.collect(),
        open_orders: positions.iter().flat_map(legs).collect(),
        positions,
        in_flight: vec![],
        prior: None,
        warned: false,
        flatten_begun: false,
        closed_trades: vec![],
        last_safe_mode: None,
        failures_in_a_row: 0,
    }
}

fn origin(job: &str, slot: Timestamp) -> Origin {
    Origin { ledger_id: "1f3a9c2e".to_owned(), job: job.to_owned(), slot }
}

fn position(symbol: Symbol) -> Position {
    Position {
        symbol,
        direction: Direction::Long,
        state: PositionState::Monitoring,
        strategy: Some("opening_range_breakout".to_owned()),
        quantity: Quantity::whole(100),
        quantity_max: Quantity::whole(100),
        entered: Quantity::whole(100),
        entry_value: Money::whole(5_000),
        exit_value: Money::ZERO,
        cost: Money::whole(5_000),
        entry_price: Price::from_cents(50_00),
        exit_price: None,
        initial_stop: Some(Price::from_cents(49_00)),
        stop: Some(Price::from_cents(49_00)),
        target: Some(Price::from_cents(52_00)),
        adjustments: 0,
        best_price: Price::from_cents(50_10),
        opened_at: minute(30),
        closed_at: None,
        realised: Money::ZERO,
        fees: Money::ZERO,
        exit_reason: None,
    }
}

/// The stop and the target that rest at the broker.
fn legs(position: &Position) -> [Order; 2] {
    let leg = |suffix: &str, role, order_type| Order {
        broker_order_id: format!("{}-{suffix}", position.symbol),
        client_order_id: format!("broker-{}-{suffix}", position.symbol).parse().unwrap(),
        parent: Some(origin("analysis", minute(29)).client_order_id(0)),
        role,
        symbol: position.symbol,
        side: Side::Sell,
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
    };
    [
        leg("stop", OrderRole::StopLoss, OrderType::Stop { stop: Price::from_cents(49_00) }),
        leg("target", OrderRole::TakeProfit, OrderType::Limit { limit: Price::from_cents(52_00) }),
    ]
}
