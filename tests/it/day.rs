//! Whole days: the simulated market, the paper broker, every job, and what they leave behind.

use daybook::engine::audit::audit_ledger;
use daybook::engine::verify::verify;

use daybook::adapters::faulty::{BrokerFault, Spell};
use daybook_core::calendar::Calendar;

use crate::support::market::new_york;
use crate::support::outside::{MONDAY, Outside};
use crate::support::simulation::{Days, FINISHED, finished, open, rows};

/// Two days, the first a Sunday on which New York's clocks go back at 06:00 UTC.
const CLOCK_CHANGE: (&str, &str) = ("2026-11-01", "2026-11-02");

#[tokio::test]
async fn a_session_after_the_clock_change_ends_flat_and_sound_and_is_the_same_twice() {
    let (from, to) = CLOCK_CHANGE;
    let day = Days::run(from, to).await;
    ends_flat(&day).await;
    is_sound(&day);
    slots_are_at_new_yorks_time(&day);
    let again = Days::run(from, to).await;
    for view in FINISHED {
        let rows = finished(day.ledger(), view);
        assert!(!rows.is_empty(), "a day without a row in {view} shows nothing");
        assert_eq!(finished(again.ledger(), view), rows, "{view}");
    }
    let runs = "SELECT run_id, job, slot_at_ms, state, attempt, summary FROM run ORDER BY run_id";
    assert_eq!(again.rows(runs), day.rows(runs));
}

/// The ledger and the broker agree that nothing is held and nothing works, and everybody was told.
async fn ends_flat(day: &Days) {
    let broker = day.wired.parts.sources.broker.broker();
    assert_eq!(broker.positions().await.unwrap(), []);
    assert_eq!(broker.open_orders().await.unwrap(), []);
    assert_eq!(day.rows("SELECT symbol, state FROM position WHERE state <> 'closed'"), Vec::<String>::new());
    assert_eq!(day.rows("SELECT state, count(*) > 0 FROM delivery GROUP BY state"), ["sent|1"]);
    assert_eq!(day.wired.digests().unwrap().len(), 2, "the digest as mail and as page");
}

/// Every invariant holds, and every decision follows from its facts.
fn is_sound(day: &Days) {
    let parts = &day.wired.parts;
    let (calendar, now) = (&parts.sources.calendar, parts.sources.clock.wall());
    let audit = audit_ledger(day.ledger(), &parts.definitions, calendar, now).unwrap();
    assert_eq!(audit.findings(), Vec::<String>::new());
    let verified = verify(day.ledger(), &parts.jobs, calendar, None, |_, _| {}).unwrap();
    assert_eq!((verified.differences, verified.pruned), (Vec::new(), 0));
    assert!(verified.runs > 390, "{} runs: the monitor alone has one a minute", verified.runs);
}

fn slots_are_at_new_yorks_time(day: &Days) {
    let slots = |job: &str| {
        day.rows(&format!(
            "SELECT slot_at_utc, substr(slot_at_ny, 12, 5), state FROM v_run
             WHERE job = '{job}' AND trigger = 'schedule' ORDER BY slot_at_utc"
        ))
    };
    assert_eq!(slots("housekeeping"), ["2026-11-01T07:15:00Z|02:15|done", "2026-11-02T07:15:00Z|02:15|done"]);
    assert_eq!(slots("premarket-scan").first().unwrap(), "2026-11-02T13:00:00Z|08:00|done");
    let monitor = slots("risk-monitor");
    assert_eq!(monitor.first().unwrap(), "2026-11-02T14:30:00Z|09:30|done");
    assert_eq!(monitor.last().unwrap(), "2026-11-02T20:59:00Z|15:59|done");
    assert_eq!(monitor.len(), 390);
    assert_eq!(slots("breakout-watch").first().unwrap(), "2026-11-02T14:35:05Z|09:35|done");
    assert_eq!(slots("market-close-flatten"), ["2026-11-02T20:50:00Z|15:50|done"]);
    assert_eq!(slots("daily-summary"), ["2026-11-02T21:15:00Z|16:15|done"]);
}

#[tokio::test]
async fn a_half_day_is_left_ten_minutes_before_its_own_close() {
    let day = Days::run("2026-11-27", "2026-11-27").await;
    ends_flat(&day).await;
    is_sound(&day);
    let flatten =
        "SELECT slot_at_ny, state, decided_at_ms - slot_at_ms < 60000 FROM v_run JOIN run USING (run_id, state)
        WHERE v_run.kind = 'market-close-flatten'";
    assert_eq!(day.rows(flatten), ["2026-11-27 12:50:00|done|1"]);
    let late = "SELECT symbol, opened_at_ny, closed_at_ny FROM v_position
        WHERE opened_at_ny >= '2026-11-27 12:50' OR closed_at_ny >= '2026-11-27 12:52'";
    assert_eq!(day.rows(late), Vec::<String>::new());
    let left = day.rows("SELECT count(*) > 0 FROM v_position WHERE closed_at_ny >= '2026-11-27 12:50'");
    assert_eq!(left, ["1"], "a day on which nothing is left to close shows nothing");
    let after_the_close = "SELECT count(*) FROM v_run WHERE kind = 'risk-monitor' AND slot_at_ny >= '2026-11-27 13:00'";
    assert_eq!(day.rows(after_the_close), ["0"]);
}

#[tokio::test]
async fn a_fill_that_is_told_after_the_report_has_the_day_reported_anew() {
    let fault = BrokerFault::FillsLate;
    let (from, until) = (new_york(MONDAY, "12:57"), new_york(MONDAY, "16:40"));
    let outside = Outside::with(vec![Spell { number: 0, from, until, fault }]);
    outside.live_until("18:00").await;
    let ledger = open(&outside.ledger);
    let summaries =
        "SELECT trigger, state FROM run WHERE kind = 'daily-summary' AND session = '2026-11-16' ORDER BY slot_at_ms";
    assert_eq!(rows(&ledger, summaries), ["schedule|done", "manual|done"]);
    assert_eq!(
        rows(&ledger, "SELECT subject FROM alert WHERE event = 'day.ended' ORDER BY alert_id"),
        [
            "Daybook 2026-11-16: -$662.05 (-0.66 %), 5 trades, 1 POSITION OPEN",
            "Daybook 2026-11-16: corrected, -$607.38 (-0.61 %), 6 trades, flat",
        ]
    );
    let audit = audit_ledger(&ledger, &[], &Calendar::xnys(), new_york(MONDAY, "18:00")).unwrap();
    assert_eq!(audit.findings(), Vec::<String>::new());

    let punctual = Outside::new();
    punctual.live_until("18:00").await;
    let result = "SELECT realised, fees, pnl, trades FROM v_day";
    assert_eq!(rows(&ledger, result), rows(&open(&punctual.ledger), result), "the day as it was");
}
