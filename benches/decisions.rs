//! How long decisions take, from gathered facts: `cargo bench --bench decisions`.

use daybook::config::{self, Environment, Sources};
use daybook::ledger::run::{self, LookInput};
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook::scripting::Script;
use daybook_core::calendar::{Calendar, Session};
use daybook_core::decision::Mark;
use daybook_core::market::{Bar, Symbol};
use daybook_core::money::{Bps, Money, Price, Quantity};
use daybook_core::order::{
    BrokerPosition, Fill, Order, OrderClass, OrderRole, OrderStatus, OrderType, Origin, TimeInForce,
};
use daybook_core::portfolio::{EntryPlan, FillOrigin, book};
use daybook_core::risk::{MonitorFacts, RiskSettings, TradeRecord, monitor};
use daybook_core::schedule::{JobDefinition, Pace, PlanInput, plan};
use daybook_core::strategy::{Direction, ScriptSettings, Strategy as _, SymbolView, Wording};
use daybook_core::time::{SessionDate, Span, Timestamp};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// A run of the risk monitor. Promised: 50 positions under 100 µs.
#[divan::bench(args = [0, 5, 50])]
fn risk_monitor(bencher: Bencher, positions: usize) {
    let (facts, settings) = (holding(positions), RiskSettings::default());
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

/// The documented configuration and the built-in jobs, from their files to checked settings. Promised: under 5 ms.
#[divan::bench]
fn configuration_from_its_files(bencher: Bencher) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/daybook.yaml");
    let variables = [("DAYBOOK__RISK__MAX_DAILY_LOSS", "1500"), ("DAYBOOK_PROFILE", "cautious")];
    let sources = Sources::new(Some(file.into()), variables.into_iter().collect());
    bencher.bench(|| config::load(black_box(&sources)).unwrap());
}

/// A look of the example script (`config/strategies/opening_range.lua`) at one symbol's bar close, two hours into the
/// session, with its grounds: one that finds nothing, as nearly all do, and one that finds a breakout and weighs it.
/// Promised: under 20 µs.
#[divan::bench(args = ["nothing", "breakout"])]
fn script_at_a_bar_close(bencher: Bencher, found: &str) {
    let settings = ScriptSettings {
        script: "opening_range.lua".to_owned(),
        text: include_str!("../config/strategies/opening_range.lua").to_owned(),
        ..ScriptSettings::default()
    };
    let script = Script::new("opening_range", settings);
    let bars: Vec<Bar> = (0..120).map(|at| bar(at, found == "breakout")).collect();
    let view = SymbolView {
        symbol: "AAPL".parse().unwrap(),
        session: session(),
        as_of: minute(120),
        bars: &bars,
        quote: None,
        previous_close: Some(Price::from_cents(99_00)),
        daily_atr: Some(Price::from_cents(1_50)),
        relative_volume: Some(Bps(12_500)),
        news_score: None,
        model: None,
        entries_today: 0,
    };
    assert_eq!(script.signal(&view, Wording::Told).is_some(), found == "breakout");
    bencher.bench(|| script.signal(black_box(&view), Wording::Told));
    assert_eq!(script.fault(), None);
}

/// A minute of a range of 40 cents, which the last ten minutes leave if they are to.
fn bar(at: u32, breaks_out: bool) -> Bar {
    let cents = if breaks_out && at >= 110 { 10_030 } else { 10_000 + i64::from(at % 5) * 10 - 20 };
    let close = Price::from_cents(cents);
    Bar { start: minute(at), open: close, high: close, low: close, close, volume: Quantity::whole(1_000) }
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

/// An account an hour into a session: each position is long 100 shares at 50.00, with its bracket's legs
/// at the broker, a fresh price, and a look of a minute before.
fn holding(positions: usize) -> MonitorFacts {
    let (as_of, entered) = (minute(60), minute(30));
    let origin = Origin { ledger_id: "1f3a9c2e".to_owned(), job: "risk-monitor".to_owned(), slot: as_of };
    let mut facts = MonitorFacts {
        origin: origin.clone(),
        as_of,
        session: session(),
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
        trade_record: TradeRecord::default(),
    };
    let (stop, target, quantity) = (Price::from_cents(49_00), Price::from_cents(52_00), Quantity::whole(100));
    for n in 0..positions {
        let symbol: Symbol = format!("S{n:03}").parse().unwrap();
        let parent = origin.client_order_id(u32::try_from(n).unwrap());
        let side = Direction::Long.entry_side();
        let fill = Fill {
            execution_id: format!("x{n}"),
            broker_order_id: format!("entry-{n}"),
            client_order_id: parent.clone(),
            symbol,
            side,
            quantity,
            price: Price::from_cents(50_00),
            fee: Money::ZERO,
            at: entered,
        };
        let plan = EntryPlan { strategy: "opening_range_breakout".to_owned(), stop, target };
        let booked =
            book(None, &fill, &FillOrigin { role: OrderRole::Parent, plan: Some(plan), is_ours: true }).unwrap();
        facts.positions.extend(booked.open);
        facts.broker_positions.push(BrokerPosition { symbol, quantity, average_price: fill.price });
        for (role, order_type) in [
            (OrderRole::StopLoss, OrderType::Stop { stop }),
            (OrderRole::TakeProfit, OrderType::Limit { limit: target }),
        ] {
            facts.open_orders.push(Order {
                broker_order_id: format!("{role:?}-{n}"),
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
                submitted_at: entered,
                updated_at: entered,
            });
        }
        facts.marks.push(Mark { symbol, price: Price::from_cents(50_10), at: minute(59) });
    }
    facts.prior = monitor(&facts, &RiskSettings::default()).look;
    facts
}
