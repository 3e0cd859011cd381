//! What the market is like: kept with each look, held against its own history, and decided again.

use std::sync::Arc;

use daybook::engine::driver::Ended;
use daybook::engine::verify::verify;
use daybook::ledger::Ledger;
use daybook::wiring::{self, Wired};
use daybook_core::decision::Decision;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::backtest::bars;
use crate::cli::Desk;
use crate::support::simulation::{Days, rows, wire_with};

/// What a look has said of the market since looks are kept.
const NEW_REASONS: [&str; 2] = ["the market is", "looks in a row that saw nothing new"];

fn ledger(wired: &Wired) -> &Ledger {
    &wired.parts.sources.ledger
}

/// How many runs can be decided again, all of them as they were.
fn verified(wired: &Wired) -> u64 {
    let parts = &wired.parts;
    let verified = verify(ledger(wired), &parts.jobs, &parts.sources.calendar, None, |_, _| {}).unwrap();
    assert_eq!(verified.differences, []);
    verified.runs
}

#[tokio::test]
async fn the_measurements_of_one_session_are_the_thresholds_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        "analysis.regime.thresholds=percentiles",
        "analysis.regime.percentiles.observations_min=20",
        "analysis.regime.measure=parkinson",
    ];
    let wired = wire_with(&folder.path().join("day.db"), "2026-11-27", "2026-11-30", &settings).await;
    let ended = wiring::run(&wired, CancellationToken::new(), Arc::new(|| {})).await.unwrap();
    assert_eq!(ended, Ended::Finished);
    let asked = |sql: &str| rows(ledger(&wired), sql);

    let first = "SELECT count(*) > 20, count(observations), min(volatile_from_pct) >= 27, max(unchanged_looks)
        FROM v_regime WHERE session = '2026-11-27' AND measure = 'parkinson' AND symbols > 0";
    assert_eq!(asked(first), ["1|0|1|0"], "nothing was measured before: the levels hold");
    // The nearest ranks, and the margin by which a regime is left.
    let second = "
        WITH measured AS (SELECT volatility_pct AS v, row_number() OVER (ORDER BY volatility_pct) AS place, count(*) OVER () AS n
            FROM v_regime WHERE session = '2026-11-27' AND volatility_pct IS NOT NULL),
        rank AS (SELECT max(n) AS n, max(v) FILTER (WHERE place = (n * 80 + 99) / 100) AS high,
            max(v) FILTER (WHERE place = (n * 20 + 99) / 100) AS low FROM measured)
        SELECT count(*) > 40, min(observations = n), max(observations = n),
            sum(abs(volatile_from_pct - high) > 0.006 AND abs(volatile_from_pct - 0.9 * high) > 0.011),
            sum(abs(quiet_to_pct - low) > 0.006 AND abs(quiet_to_pct - 1.1 * low) > 0.011)
        FROM v_regime, rank WHERE session = '2026-11-30'";
    assert_eq!(asked(second), ["1|1|1|0|0"]);
    let told = "SELECT count(*) = (SELECT count(*) FROM v_regime WHERE session = '2026-11-30')
        FROM run_record JOIN run USING (run_id) WHERE session = '2026-11-30'
        AND decision LIKE '%percentiles 80 and 20 of % measurements in 20 sessions%'";
    assert_eq!(asked(told), ["1"]);
    assert!(verified(&wired) > 500);
}

/// Every candidate is watched, nothing is proposed, and the market is always a normal one.
const WATCHING: &str = "
scan: {dollar_volume_min: 0, gap_min: 0%, relative_volume_min: 0%, range_min: 0%}
strategies: {opening_range_breakout: {enabled: false}}
analysis: {regime: {volatile_above: 1000%, quiet_below: 0.01%}}
";

/// The looks of the adaptive job on a day on which nothing trades from one instant to another: when, the pace from then
/// on, and how many in a row had seen nothing new.
fn looks_around_a_halt(date: &str, from_utc: &str, to_utc: &str) -> Vec<String> {
    let desk = Desk::new();
    desk.write("daybook.yaml", WATCHING);
    let halted = |row: &&str| {
        let at = row.split(',').nth(1).unwrap();
        (format!("{date}T{from_utc}").as_str()..format!("{date}T{to_utc}").as_str()).contains(&at)
    };
    desk.write(
        "bars.csv",
        &bars(0).lines().filter(|row| !halted(row)).map(|row| format!("{row}\n")).collect::<String>(),
    );
    let replay = ["replay", "--from", date, "--to", date, "--config", "daybook.yaml", "--bars", "bars.csv"];
    let replay = desk.trade(&[&replay[..], &["--ledger", "day.db"]].concat());
    assert_eq!(replay.code, 0, "{}", replay.err);
    let sql = "SELECT substr(slot_at_ny, 12, 5) || ' ' || pace || ' ' || unchanged_looks AS look
        FROM v_regime JOIN v_run USING (run_id) WHERE v_run.job = 'analysis' ORDER BY slot_at_ny";
    let looks = desk.trade(&["ledger", "query", sql, "--ledger", "day.db", "--format", "csv"]).out;
    looks.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_market_that_stands_still_is_looked_at_less_until_its_first_new_bar() {
    let to_eleven = ["10:00 normal 0", "10:30 normal 0", "11:00 normal 0"];
    let halted = [&to_eleven[..], &["11:30 normal 1", "12:00 normal 2", "12:30 slow 3"]].concat();
    let looks = looks_around_a_halt("2026-11-23", "16:00", "18:10");
    assert_eq!(looks[..8], [&halted[..], &["13:30 normal 0", "14:00 normal 0"]].concat());
    // It is over five minutes after the pace was backed off: the watch of the five-minute bars has seen that.
    let looks = looks_around_a_halt("2026-11-23", "16:00", "17:35");
    assert_eq!(looks[..8], [&halted[..], &["13:00 normal 0", "13:30 normal 0"]].concat());
    // A half day has no slot at the slow pace: none is left out.
    let looks = looks_around_a_halt("2026-11-27", "15:30", "18:00");
    assert_eq!(looks[2..], ["11:00 normal 1", "11:30 normal 2", "12:00 slow 3", "12:30 slow 4"]);
}

#[tokio::test]
async fn what_a_version_recorded_that_kept_no_looks_is_decided_again_as_it_was() {
    let day = Days::run("2026-11-27", "2026-11-27").await;
    let runs = verified(&day.wired);
    let older = ledger(&day.wired).write_blocking(|tx| {
        let mut select = tx.prepare(
            "SELECT run_id, facts, decision FROM run_record JOIN run USING (run_id) WHERE kind = 'analysis'",
        )?;
        let records = select
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let mut rewritten = 0;
        for (run_id, facts, decision) in records {
            let (facts, decision) = (older_facts(&facts), older_decision(&decision));
            let update = "UPDATE run_record SET facts = ?2, decision = ?3 WHERE run_id = ?1";
            rewritten += tx.execute(update, (run_id, facts, decision))?;
        }
        Ok(rewritten)
    });
    assert!(older.unwrap() > 40);
    assert_eq!(verified(&day.wired), runs);
}

fn older_facts(facts: &str) -> String {
    let mut facts: Value = serde_json::from_str(facts).unwrap();
    facts.as_object_mut().unwrap().remove("past").expect("the looks before");
    for symbol in facts["symbols"].as_array_mut().unwrap() {
        symbol.as_object_mut().unwrap().remove("seen_through");
    }
    facts.to_string()
}

fn older_decision(decision: &str) -> String {
    let mut decision: Decision = serde_json::from_str(decision).unwrap();
    let pace = decision.pace.as_mut().unwrap();
    assert!(pace.reading.take().is_some());
    pace.reasons.retain(|reason| !NEW_REASONS.contains(&&*reason.measure));
    serde_json::to_string(&decision).unwrap()
}
