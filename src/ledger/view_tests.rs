//! The views are a promise: their columns, dollars and New York's times.

use chrono::Offset;
use chrono_tz::America::New_York;
use daybook_core::decision::{Decision, EquityPoint, Review};
use daybook_core::money::{Money, Price};
use daybook_core::order::{Order, OrderClass, OrderRole, OrderStatus, OrderType, Side};
use daybook_core::risk::CheckName;
use daybook_core::time::Timestamp;

use super::query::Cell;
use super::testing::{OPEN, TestLedger, enter, fill_of, order_of, refused, session, signal};
use super::{fill, order};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn the_columns_are_as_promised() {
    let day = TestLedger::new();
    let promised = [
        (
            "v_trade",
            "trade_id session account symbol direction strategy quantity entry_at_utc entry_at_ny entry_price exit_at_utc \
             exit_at_ny exit_price gross_pnl fees pnl pnl_pct r_multiple minutes_held adjustments exit_reason",
        ),
        (
            "v_day",
            "session ended opening_equity closing_equity realised unrealised fees pnl pnl_pct max_drawdown trades wins losses \
             fills signals refused",
        ),
        (
            "v_position",
            "position_id session account symbol direction state strategy quantity quantity_max entry_price cost stop target \
             best_price exit_price realised fees adjustments opened_at_utc opened_at_ny closed_at_utc closed_at_ny exit_reason",
        ),
        (
            "v_order",
            "session account broker_order_id client_order_id parent_client_order_id role symbol side order_type quantity \
             limit_price stop_price trail trail_pct class take_profit stop_loss time_in_force status filled average_price reason \
             submitted_at_utc submitted_at_ny updated_at_utc updated_at_ny intent_id purpose decided_by run_id \
             config_version",
        ),
        (
            "v_fill",
            "fill_id session account execution_id symbol side quantity price value fee realised at_utc at_ny order_role \
             broker_order_id client_order_id position_id",
        ),
        (
            "v_signal",
            "signal_id session at_utc at_ny job symbol strategy direction entry stop target confidence_pct valid_until_utc \
             valid_until_ny approved quantity refused_by refused_value refused_limit reasons checks run_id intent_id \
             intent_state client_order_id",
        ),
        (
            "v_run",
            "run_id job kind slot_at_utc slot_at_ny session trigger state attempts crash_attempts lateness_ms started_at_utc \
             started_at_ny decided_at_utc decided_at_ny finished_at_utc finished_at_ny duration_ms summary reason config_hash",
        ),
        (
            "v_alert",
            "alert_id at_utc at_ny level event symbol subject body run_id sent_on waiting_on dead_on acknowledged_at_utc acknowledged_at_ny acknowledged_by",
        ),
        ("v_equity", "session at_utc at_ny equity opening_equity exposure realised unrealised fees day_pnl run_id"),
        (
            "v_regime",
            "run_id job session at_utc at_ny regime pace measure volatility_pct symbols volatile_from_pct quiet_to_pct \
             observations unchanged_looks",
        ),
    ];
    for (view, columns) in promised {
        let answer = day.ledger.query(&format!("SELECT * FROM {view}")).unwrap();
        assert_eq!(answer.columns, columns.split_whitespace().collect::<Vec<_>>(), "{view}");
    }
}

#[test]
fn new_york_s_offset_is_right_in_every_hour() {
    let day = TestLedger::new();
    let rows = day.ledger.query("SELECT from_at_ms, offset_ms FROM new_york_offset ORDER BY from_at_ms").unwrap().rows;
    let changes: Vec<(i64, i64)> = rows
        .iter()
        .map(|row| match row.as_slice() {
            [Cell::Integer(from), Cell::Integer(offset)] => (*from, *offset),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(changes.len(), 1 + 2 * 130);
    // Every hour of 1970 to 2037 (where the zone database's own table ends), against the zone database.
    let mut at = 0;
    for window in changes.windows(2) {
        let [(_, offset), (until, _)] = window else { panic!("{window:?}") };
        while at < *until && at < 2_145_916_800_000 {
            let expected = Timestamp(at).in_zone(New_York).offset().fix().local_minus_utc();
            assert_eq!(*offset, i64::from(expected) * 1000, "at {}", Timestamp(at));
            at += HOUR_MS;
        }
    }
    assert!(at >= 2_145_916_800_000);
}

#[test]
fn times_are_right_on_both_sides_of_a_change() {
    let day = TestLedger::new();
    let instants = [
        ("2026-03-08T06:59:59Z", "2026-03-08 01:59:59"),
        ("2026-03-08T07:00:00Z", "2026-03-08 03:00:00"),
        ("2026-11-01T05:30:00Z", "2026-11-01 01:30:00"),
        ("2026-11-01T06:30:00Z", "2026-11-01 01:30:00"),
        ("1990-04-01T07:00:00Z", "1990-04-01 03:00:00"),
        ("2030-11-03T06:00:00Z", "2030-11-03 01:00:00"),
    ];
    for (instant, _) in instants {
        let at: Timestamp = instant.parse().unwrap();
        day.ledger
            .write_blocking(move |tx| {
                tx.execute(
                    "INSERT INTO alert (at_ms, level, event, subject, body) VALUES (?1, 'info', 'test.told', '', '')",
                    [at.0],
                )?;
                Ok(())
            })
            .unwrap();
    }
    let answer = day.ledger.query("SELECT at_utc, at_ny FROM v_alert ORDER BY alert_id").unwrap();
    let expected: Vec<_> =
        instants.iter().map(|(utc, ny)| vec![Cell::Text((*utc).to_owned()), Cell::Text((*ny).to_owned())]).collect();
    assert_eq!(answer.rows, expected);
}

/// One line a row, as a person sees it.
fn lines(day: &TestLedger, sql: &str) -> Vec<String> {
    let answer = day.ledger.query(sql).unwrap();
    answer.rows.iter().map(|row| row.iter().map(Cell::to_string).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn a_day_reads_in_dollars_and_new_york_time() {
    let day = TestLedger::new();
    let run = day.run("analysis", 5);
    let ours = enter(&day, &run, 0, "AAPL", 100);
    let point = EquityPoint {
        session: session(),
        at: run.slot,
        equity: Money::whole(100_297),
        opening_equity: Money::whole(100_000),
        exposure: Money::ZERO,
        realised: Money::whole(298),
        unrealised: Money::ZERO,
        fees: Money::whole(1),
    };
    let decision = Decision {
        reviews: vec![
            Review { signal: signal("MSFT"), verdict: refused(CheckName::Confidence), leg: None },
            ours.review,
        ],
        intents: vec![ours.intent],
        equity: Some(point),
        ..Decision::default()
    };
    day.decide(&run, &decision);
    let entry = Order {
        status: OrderStatus::Filled,
        filled: ours.ticket.quantity,
        average_price: Some(Price::from_cents(10_002)),
        ..order_of(&ours.ticket, "b-1", run.slot.0)
    };
    let target = Order {
        broker_order_id: "b-2".to_owned(),
        client_order_id: "leg-2".parse().unwrap(),
        parent: Some(entry.client_order_id.clone()),
        role: OrderRole::TakeProfit,
        side: Side::Sell,
        order_type: OrderType::Limit { limit: Price::from_cents(10_300) },
        class: OrderClass::Simple,
        average_price: Some(Price::from_cents(10_300)),
        submitted_at: Timestamp(run.slot.0 + HOUR_MS),
        ..entry.clone()
    };
    let fills = [fill_of(&entry, "x-1"), fill_of(&target, "x-2")];
    day.ledger
        .write_blocking(move |tx| {
            order::record(tx, "paper", &[entry, target], OPEN)?;
            fill::record(tx, "paper", &fills, OPEN)
        })
        .unwrap();

    assert_eq!(
        lines(&day, "SELECT session, symbol, quantity, entry_at_utc, entry_at_ny, entry_price, exit_at_ny, exit_price, gross_pnl,
            fees, pnl, pnl_pct, r_multiple, minutes_held, exit_reason FROM v_trade"),
        ["2026-11-16|AAPL|100|2026-11-16T14:35:01Z|2026-11-16 09:35:01|100.02|2026-11-16 10:35:01|103|298|1|297|2.9694|1.4703|60|target"]
    );
    assert_eq!(
        lines(
            &day,
            "SELECT session, ended, opening_equity, closing_equity, pnl, pnl_pct, trades, wins, fills, signals, refused
            FROM v_day"
        ),
        ["2026-11-16|0|100000|100297|297|0.297|1|1|2|2|1"]
    );
    assert_eq!(
        lines(
            &day,
            "SELECT symbol, approved, refused_by, refused_value, refused_limit, confidence_pct, intent_state FROM v_signal"
        ),
        ["MSFT|0|confidence|55%|60%|70|", "AAPL|1||||70|pending"]
    );
    assert_eq!(
        lines(
            &day,
            "SELECT session, role, side, order_type, limit_price, status, filled, average_price, purpose, decided_by FROM v_order"
        ),
        [
            "2026-11-16|parent|buy|market||filled|100|100.02|enter|orb",
            "2026-11-16|take_profit|sell|limit|103|filled|100|103|enter|orb"
        ]
    );
    assert_eq!(
        lines(&day, "SELECT execution_id, side, quantity, price, value, fee, realised, order_role FROM v_fill"),
        ["x-1|buy|100|100.02|10002|0.5|0|parent", "x-2|sell|100|103|10300|0.5|298|take_profit"]
    );
    assert_eq!(lines(&day, "SELECT equity, day_pnl FROM v_equity"), ["100297|297"]);
    assert_eq!(
        lines(&day, "SELECT job, slot_at_utc, slot_at_ny, session, state FROM v_run"),
        ["analysis|2026-11-16T14:35:00Z|2026-11-16 09:35:00|2026-11-16|claimed"]
    );
}

#[test]
fn the_questions_of_the_documentation_have_answers() {
    let day = TestLedger::new();
    let page = include_str!("../../docs/ledger.md");
    let questions: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(sql, _)| sql).collect();
    assert_eq!(questions.len(), 10);
    for sql in questions {
        assert!(day.ledger.query(sql).is_ok_and(|answer| answer.columns.len() > 2), "{sql}");
    }
}
