use proptest::prelude::*;

use super::*;
use crate::decision::EquityPoint;
use crate::money::{Money, Price, Quantity};
use crate::order::{Fill, IntentState, Order, OrderRole, OrderStatus, Purpose, Side};
use crate::portfolio::{Book, FillOrigin, Position, sort_fills};
use crate::risk::HaltKind;
use crate::risk::testing::{cents, entry, legs, minute, position, session, symbol};
use crate::schedule::JobKind;
use crate::strategy::Direction;
use crate::time::Span;

fn run(run_id: i64, kind: JobKind, at: Timestamp) -> RunRow {
    RunRow {
        run_id,
        job: kind.as_str().to_owned(),
        kind,
        slot: at,
        is_scheduled: true,
        session: Some(session().date),
        is_final: true,
        epoch: Some(1),
        decided_at: Some(at),
        finished_at: Some(at),
    }
}

fn fill_of(order: &Order, execution: &str, price: i64, at: Timestamp) -> Fill {
    Fill {
        execution_id: execution.to_owned(),
        broker_order_id: order.broker_order_id.clone(),
        client_order_id: order.client_order_id.clone(),
        symbol: order.symbol,
        side: order.side,
        quantity: order.quantity,
        price: cents(price),
        fee: Money::whole(1),
        at,
    }
}

fn event(order: &Order, status: OrderStatus, at: Timestamp) -> OrderEventRow {
    let filled = if status == OrderStatus::Filled { order.quantity } else { Quantity::ZERO };
    OrderEventRow { broker_order_id: order.broker_order_id.clone(), status, filled, at }
}

/// A day on which 100 shares were bought at minute 30 for 50.00 and sold by their stop at minute 90 for 49.00.
fn day() -> LedgerView {
    let plan = position("AAPL", Direction::Long);
    let hundred = Quantity::whole(100);
    let entry = Order { quantity: hundred, filled: hundred, status: OrderStatus::Filled, ..entry(&plan) };
    let [stop, target] = legs(&plan);
    let stop = Order { status: OrderStatus::Filled, filled: hundred, ..stop };
    let target = Order { status: OrderStatus::Canceled, ..target };
    let fills = [fill_of(&entry, "x1", 50_00, minute(30)), fill_of(&stop, "x2", 49_00, minute(90))];
    let mut book = Book::default();
    for fill in &fills {
        book.apply(fill, &FillOrigin::UNPLANNED).unwrap();
    }
    let verdict = VerdictRow { approved: Some(hundred) };
    let money = Money::whole;
    LedgerView {
        as_of: session().post_close,
        unprotected_limit: Span::seconds(90),
        sessions: vec![session()],
        jobs: vec![
            JobRow { name: "analysis".to_owned(), horizon: minute(380) },
            JobRow { name: "market-close-flatten".to_owned(), horizon: minute(380) },
        ],
        runs: vec![run(1, JobKind::Analysis, minute(29)), run(2, JobKind::MarketCloseFlatten, minute(380))],
        missed: vec![MissedRow { job: "analysis".to_owned(), from: minute(40), to: minute(60) }],
        slots: [29, 40, 55].map(|at| ExpectedSlot { job: "analysis".to_owned(), slot: minute(at) }).to_vec(),
        signals: vec![SignalRow { signal_id: 1, symbol: symbol("AAPL"), verdict: Some(verdict) }],
        intents: vec![IntentRow {
            intent_id: 1,
            purpose: Purpose::Enter,
            action: IntentAction::Submit,
            client_order_id: Some(entry.client_order_id.as_str().to_owned()),
            symbol: symbol("AAPL"),
            quantity: Some(hundred),
            signal_id: Some(1),
            decided_at: minute(29),
            valid_until: Some(minute(35)),
            submitted_at: Some(minute(30)),
            state: IntentState::Terminal,
        }],
        order_events: vec![
            event(&entry, OrderStatus::Filled, minute(30)),
            event(&stop, OrderStatus::Held, minute(29)),
            event(&stop, OrderStatus::New, minute(30)),
            event(&stop, OrderStatus::Filled, minute(90)),
        ],
        orders: [(entry, Some(1)), (stop, Some(1)), (target, Some(1))]
            .map(|(order, intent_id)| OrderRow { order, intent_id })
            .to_vec(),
        fills: fills
            .into_iter()
            .zip([0, -100])
            .map(|(fill, realised)| FillRow { fill, realised: money(realised), session: session().date })
            .collect(),
        positions: book.closed.into_iter().map(|position| PositionRow { position_id: 1, position }).collect(),
        equity: vec![EquityPoint {
            session: session().date,
            at: minute(100),
            equity: money(99_898),
            opening_equity: money(100_000),
            exposure: Money::ZERO,
            realised: money(-100),
            unrealised: Money::ZERO,
            fees: money(2),
        }],
        days: vec![DayRow {
            session: session().date,
            opening_equity: money(100_000),
            closing_equity: money(99_898),
            realised: money(-100),
            unrealised: Money::ZERO,
            fees: money(2),
        }],
        restores: Vec::new(),
        halts: vec![],
    }
}

#[test]
fn a_sound_day_keeps_every_promise() {
    assert_eq!(audit(&day()), vec![]);
}

#[test]
fn each_broken_promise_is_found_by_its_name() {
    type Harm = fn(&mut LedgerView);
    let harms: [(Invariant, Harm, &str); 31] = [
        (
            Invariant::OneRunPerSlot,
            |view| view.runs.push(RunRow { run_id: 3, ..view.runs[0].clone() }),
            "run 3: analysis has the slot 2026-11-16T14:59:00Z of run 1 too",
        ),
        (Invariant::RunHasItsTimes, |view| view.runs[0].finished_at = None, "run 1: final: true, but finished: never"),
        (
            Invariant::RunHasItsTimes,
            |view| view.runs[0].finished_at = Some(minute(28)),
            "run 1: finished at 2026-11-16T14:58:00Z, before it decided at 2026-11-16T14:59:00Z",
        ),
        (
            Invariant::SlotsAccounted,
            |view| view.jobs[0].horizon = minute(28),
            "run 1: slot 2026-11-16T14:59:00Z lies beyond the horizon 2026-11-16T14:58:00Z of analysis",
        ),
        (Invariant::SlotsAccounted, |view| view.jobs.truncate(1), "run 2: there is no job market-close-flatten"),
        (
            Invariant::SlotsAccounted,
            |view| view.missed.clear(),
            "analysis 2026-11-16T15:10:00Z: no run and no missed range holds this slot",
        ),
        (
            Invariant::EpochNeverFalls,
            |view| view.runs[0].epoch = Some(2),
            "run 2: decided at 2026-11-16T20:50:00Z under epoch 1, after epoch 2 had decided",
        ),
        (
            Invariant::OneOrderPerKey,
            |view| {
                let mut twin = view.orders[0].clone();
                twin.order.broker_order_id = "twin".to_owned();
                twin.order.filled = Quantity::ZERO;
                view.orders.push(twin);
            },
            "dbk-1f3a9c2e-analysis-1794841140000-0-0: 2 orders carry this client order id",
        ),
        (
            Invariant::OneOrderPerKey,
            |view| {
                let twin = IntentRow { intent_id: 2, ..view.intents[0].clone() };
                view.intents.push(twin);
            },
            "intent 2: another intent has the key dbk-1f3a9c2e-analysis-1794841140000-0-0",
        ),
        (
            Invariant::FillsUnique,
            |view| view.fills[1].fill.execution_id = "x1".to_owned(),
            "fill x1: booked more than once",
        ),
        (
            Invariant::OrderFilled,
            |view| view.orders[0].order.filled = Quantity::whole(99),
            "order AAPL-entry: 99 of 100 shares filled, its fills add up to 100",
        ),
        (
            Invariant::OrderFilled,
            |view| view.orders[0].order.quantity = Quantity::whole(99),
            "order AAPL-entry: 100 of 99 shares filled, its fills add up to 100",
        ),
        (
            Invariant::PositionIsFold,
            |view| view.positions.push(PositionRow { position_id: 2, position: position("AAPL", Direction::Short) }),
            "AAPL: positions hold -100, the fills add up to 0",
        ),
        (
            Invariant::PositionIsFold,
            |view| view.positions.push(PositionRow { position_id: 2, position: position("IBM", Direction::Long) }),
            "IBM: positions hold 100, the fills add up to 0",
        ),
        (
            Invariant::PositionIsFold,
            |view| view.positions.clear(),
            "AAPL: 0 positions are closed, the fills came back to zero 1 times",
        ),
        (
            Invariant::PositionIsFold,
            |view| view.positions[0].position.closed_at = Some(minute(91)),
            "AAPL: closed: 2026-11-16T16:01:00Z, its last fill traded at 2026-11-16T16:00:00Z",
        ),
        (
            Invariant::RealisedIsFold,
            |view| view.positions[0].position.realised = Money::whole(-99),
            "AAPL: the position closed at 2026-11-16T16:00:00Z realised -99.00, its fills -100.00",
        ),
        (
            Invariant::DayIsSum,
            |view| view.fills[1].realised = Money::whole(-101),
            "2026-11-16: realised is -100.00, the session's fills add up to -101.00",
        ),
        (
            Invariant::DayIsSum,
            |view| view.days[0].closing_equity = Money::whole(99_900),
            "2026-11-16: equity went from 100000.00 to 99900.00, but realised -100.00 and unrealised 0.00 less fees 2.00 is another result",
        ),
        (
            Invariant::DayIsSum,
            |view| view.equity[0].equity = Money::whole(1),
            "equity at 2026-11-16T16:10:00Z: 1.00 is not what it opened with (100000.00) and the day's result",
        ),
        (
            Invariant::SignalReviewed,
            |view| view.signals[0].verdict = None,
            "signal 1: the signal on AAPL has no verdict",
        ),
        (
            Invariant::SignalReviewed,
            |view| view.intents[0].quantity = Some(Quantity::whole(101)),
            "intent 1: enters 101 shares of AAPL; approved: 100",
        ),
        (
            Invariant::SignalReviewed,
            |view| view.intents[0].signal_id = None,
            "intent 1: enters 100 shares of AAPL; approved: nothing",
        ),
        (
            Invariant::IntentAgrees,
            |view| view.intents[0].state = IntentState::Abandoned,
            "intent 1: it is abandoned: it was not sent, but the broker has its order AAPL-entry",
        ),
        (
            Invariant::IntentAgrees,
            |view| view.intents[0].state = IntentState::Acked,
            "intent 1: it is acked: its order is filled and it is not over",
        ),
        (
            Invariant::IntentAgrees,
            |view| view.orders[0].order.status = OrderStatus::New,
            "intent 1: it is terminal: its order is new",
        ),
        (
            Invariant::NoLateEntry,
            |view| view.intents[0].valid_until = Some(minute(29)),
            "intent 1: sent at 2026-11-16T15:00:00Z, but valid until 2026-11-16T14:59:00Z",
        ),
        (
            Invariant::NoLateEntry,
            |view| view.runs[1].decided_at = Some(minute(29)),
            "intent 1: sent at 2026-11-16T15:00:00Z, after the flatten decided at 2026-11-16T14:59:00Z",
        ),
        (
            Invariant::NoEntryUnderHalt,
            |view| {
                view.halts.push(HaltRow {
                    kind: HaltKind::Manual,
                    since: minute(20),
                    until: None,
                    cleared_at: Some(minute(30)),
                });
            },
            "intent 1: decided at 2026-11-16T14:59:00Z, while manual stood since 2026-11-16T14:50:00Z",
        ),
        (
            Invariant::Protected,
            |view| view.order_events[2].at = minute(32),
            "AAPL: shares lay without a stop from 2026-11-16T15:00:00Z to 2026-11-16T15:02:00Z, 120 s of trading (limit 1m30s)",
        ),
        (
            Invariant::FlatByClose,
            |view| view.sessions[0].close = minute(60),
            "2026-11-16 AAPL: 100 shares were held at the close",
        ),
    ];
    for (invariant, harm, message) in harms {
        let mut view = day();
        harm(&mut view);
        let violations = audit(&view);
        let found: Vec<String> =
            violations.iter().map(|violation| format!("{}: {}", violation.at, violation.found)).collect();
        assert!(violations.iter().any(|violation| violation.invariant == invariant), "{invariant:?}: {found:?}");
        assert!(found.iter().any(|found| found == message), "{message}\n{found:#?}");
    }
}

#[test]
fn a_violation_names_its_promise_by_number() {
    let mut view = day();
    view.signals[0].verdict = None;
    view.intents.clear();
    view.orders.clear();
    assert_eq!(
        audit(&view)[0].to_string(),
        "invariant 11 (SignalReviewed), signal 1: the signal on AAPL has no verdict"
    );
}

#[test]
fn what_is_being_sold_needs_no_stop() {
    let mut view = day();
    // The stop is canceled at minute 60 and the close fills at 90: bare for half an hour, but on its way out.
    view.order_events[3] =
        OrderEventRow { status: OrderStatus::Canceled, at: minute(60), ..view.order_events[3].clone() };
    let bare = |view: &LedgerView| audit(view).iter().any(|found| found.invariant == Invariant::Protected);
    assert!(bare(&view));
    view.intents.push(IntentRow {
        intent_id: 2,
        purpose: Purpose::Exit,
        action: IntentAction::Close,
        client_order_id: None,
        decided_at: minute(59),
        state: IntentState::Acked,
        ..view.intents[0].clone()
    });
    assert!(!bare(&view));
}

#[test]
fn what_a_restored_backup_was_not_there_to_see_is_no_finding() {
    let mut view = day();
    // All that is told of the stop is how it ended: the ledger of minute 29 was put back at minute 95, and asked at 96.
    view.order_events.retain(|event| event.broker_order_id != view.orders[1].order.broker_order_id);
    view.order_events.push(event(&view.orders[1].order, OrderStatus::Filled, minute(90)));
    let bare = |view: &LedgerView| audit(view).iter().any(|found| found.invariant == Invariant::Protected);
    assert!(bare(&view));
    view.restores = vec![minute(95)];
    view.runs.push(run(3, JobKind::Reconcile, minute(96)));
    assert!(!bare(&view));
    // A restore explains nothing that was decided under its own eyes.
    view.runs.push(run(4, JobKind::RiskMonitor, minute(60)));
    assert!(bare(&view));
}

#[test]
fn a_stop_that_its_target_made_smaller_protected_all_before() {
    let mut view = day();
    // 40 of the 100 shares leave at the target at minute 60; from then on the broker shows a stop of 60.
    let (part, rest) = (Quantity::whole(40), Quantity::whole(60));
    for order in view.orders.iter_mut().map(|row| &mut row.order) {
        match order.role {
            OrderRole::Parent => {}
            OrderRole::StopLoss => (order.quantity, order.filled, order.updated_at) = (rest, rest, minute(90)),
            OrderRole::TakeProfit => order.filled = part,
        }
    }
    let target = view.orders.iter().find(|row| row.order.role == OrderRole::TakeProfit).unwrap();
    let at_target = Fill { quantity: part, ..fill_of(&target.order, "x3", 53_00, minute(60)) };
    view.fills[1].fill.quantity = rest;
    view.fills.push(FillRow { fill: at_target, ..view.fills[1].clone() });
    view.order_events[3].filled = rest;
    let bare = |view: &LedgerView| audit(view).iter().any(|found| found.invariant == Invariant::Protected);
    assert!(!bare(&view));
    // Had another order sold them, the stop would have been as small before, and 40 shares bare.
    view.fills[2].fill.broker_order_id = "another".to_owned();
    assert!(bare(&view));
}

#[test]
fn nights_do_not_count_as_time_without_a_stop() {
    let mut view = day();
    view.order_events.truncate(1);
    let close = session().close;
    for row in &mut view.fills {
        row.fill.at = if row.fill.side == Side::Buy {
            close.before(std::time::Duration::from_secs(60))
        } else {
            session().post_close
        };
    }
    assert!(audit(&view).iter().all(|found| found.invariant != Invariant::Protected));
}

fn any_fills() -> impl Strategy<Value = Vec<Fill>> {
    let one = (0..2_usize, any::<bool>(), 1..300_000_000_000_i64, 1..20_000_000_000_i64, 0..300_u32);
    prop::collection::vec(one, 0..30).prop_map(|rows| {
        let sample = fill_of(&entry(&position("AAPL", Direction::Long)), "x", 1, minute(0));
        let rows = rows.into_iter().zip(0..);
        rows.map(|((name, buys, quantity, price, at), n)| Fill {
            execution_id: format!("x{n:03}"),
            broker_order_id: format!("o{n}"),
            symbol: [symbol("A"), symbol("B")][name],
            side: if buys { Side::Buy } else { Side::Sell },
            quantity: Quantity(quantity),
            price: Price(price),
            at: minute(at),
            ..sample.clone()
        })
        .collect()
    })
}

/// The positions that the portfolio folds out of the fills.
fn folded(mut fills: Vec<Fill>) -> Vec<Position> {
    sort_fills(&mut fills);
    let mut book = Book::default();
    for fill in &fills {
        book.apply(fill, &FillOrigin::UNPLANNED).unwrap();
    }
    book.closed.into_iter().chain(book.open.into_values()).collect()
}

fn about_positions(fills: &[Fill], positions: Vec<Position>) -> Vec<Violation> {
    let rows = fills.iter().map(|fill| FillRow { fill: fill.clone(), realised: Money::ZERO, session: session().date });
    let mut view = LedgerView { fills: rows.collect(), positions: vec![], ..day() };
    view.positions =
        (0..).zip(positions).map(|(position_id, position)| PositionRow { position_id, position }).collect();
    let concerns = [Invariant::PositionIsFold, Invariant::RealisedIsFold, Invariant::FillsUnique];
    audit(&view).into_iter().filter(|violation| concerns.contains(&violation.invariant)).collect()
}

proptest! {
    #[test]
    fn the_portfolios_fold_and_the_audits_sums_agree(fills in any_fills()) {
        prop_assert_eq!(about_positions(&fills, folded(fills.clone())), vec![]);
    }

    #[test]
    fn a_fill_that_was_lost_or_doubled_is_noticed(fills in any_fills(), place in any::<prop::sample::Index>()) {
        prop_assume!(!fills.is_empty());
        let positions = folded(fills.clone());
        let place = place.index(fills.len());
        let lost: Vec<Fill> = fills.iter().enumerate().filter(|(n, _)| *n != place).map(|(_, fill)| fill.clone()).collect();
        prop_assert!(!about_positions(&lost, positions.clone()).is_empty());
        let mut doubled = fills.clone();
        doubled.push(fills[place].clone());
        prop_assert!(!about_positions(&doubled, positions).is_empty());
    }
}

#[test]
fn time_that_was_lived_twice_says_nothing_of_epochs() {
    // The second decision was made under the earlier epoch; the first one after the clock had been set back.
    let mut view = day();
    view.runs[0].epoch = Some(2);
    let falls = |view: &LedgerView| audit(view).iter().any(|found| found.invariant == Invariant::EpochNeverFalls);
    assert!(falls(&view));
    let decided = |run: usize| view.runs[run].decided_at.unwrap();
    let (since, until) = (minute(0).min(decided(0)), decided(1));
    let step = HaltRow { kind: HaltKind::ClockStep, since, until: Some(until), cleared_at: None };
    view.halts.push(HaltRow { until: Some(since), ..step });
    assert!(falls(&view), "it was another step");
    view.halts.push(step);
    assert!(!falls(&view));
}
