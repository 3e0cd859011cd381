//! The configuration changes while the scheduler runs: its own process, its own files, the system's clock.

use std::fs;
use std::process::Stdio;

use rusqlite::{Connection, params};

use crate::support::place::{LOOK_EVERY, Place};

/// What a change leaves behind, a line a version.
const VERSIONS: &str = "SELECT config_version_id || ' ' || (body ->> '$.risk.max_positions') || ' ' ||
    (body ->> '$.risk.execute_top_n') FROM config_version ORDER BY 1";

const CHANGED: &str = "SELECT subject FROM alert WHERE event = 'configuration.changed' ORDER BY alert_id";
const REFUSED: &str =
    "SELECT subject || ' / ' || body FROM alert WHERE event = 'configuration.refused' ORDER BY alert_id";
const WAITS: &str = "SELECT subject FROM alert WHERE event = 'configuration.waits' ORDER BY alert_id";

#[test]
fn a_change_is_in_force_without_a_restart_and_the_next_run_decides_under_it() {
    let place = Place::running("XNYS");
    place.write("XNYS", "{max_positions: 3}");
    assert_eq!(place.await_rows(VERSIONS, 2), ["1 5 3", "2 3 3"]);
    assert_eq!(place.await_rows(CHANGED, 1), ["the configuration is version 2 now: risk.max_positions 5 -> 3"]);
    let (code, said) = place.trade(&["job", "run", "reconcile"]);
    assert_eq!(code, 0, "{said}");
    let under = "SELECT (SELECT max(config_version_id) FROM config_version WHERE hash = config_hash) || ' ' || epoch
        FROM run WHERE job = 'reconcile' AND trigger = 'manual' AND state = 'done'";
    assert_eq!(place.await_rows(under, 1), ["2 1"], "the same process, under the new version");

    let (code, listed) = place.trade(&["config", "history", "--format", "csv"]);
    assert_eq!(code, 0, "{listed}");
    assert!(listed.lines().nth(1).unwrap().contains("risk.max_positions 5 -> 3"), "{listed}");
    let (_, differs) = place.trade(&["config", "diff", "1", "2"]);
    assert_eq!(differs, "version 1 -> version 2: 1 change\n  risk.max_positions 5 -> 3\n");
    assert_eq!(place.trade(&["config", "diff"]).1, "version 2 and the files are the same\n");
    place.write("XNYS", "{}");
    place.await_rows(VERSIONS, 3);
    assert_eq!(place.rows("SELECT note FROM config_version WHERE config_version_id = 3"), ["as version 1 was"]);
}

#[test]
fn what_is_wrong_or_fixed_changes_nothing_and_is_told_once() {
    let place = Place::running("XNYS");
    place.write("XNYS", "{max_positions: 0}");
    let refused = place.await_rows(REFUSED, 1);
    assert!(refused[0].contains("daybook.yaml:6") && refused[0].contains("max_positions"), "{refused:?}");
    place.write("24/7", "{max_positions: 4}");
    let refused = place.await_rows(REFUSED, 2);
    assert!(
        refused[1].contains("exchange_calendar XNYS -> 24/7 cannot change while the scheduler runs"),
        "{refused:?}"
    );
    assert!(place.trade(&["config", "apply"]).1.contains("did not take this configuration"));
    place.write("XNYS", "{max_positions: 4}");
    assert_eq!(place.await_rows(VERSIONS, 2), ["1 5 3", "2 4 3"]);
    assert_eq!(place.rows(REFUSED).len(), 2);
    let (code, said) = place.trade(&["config", "apply"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_is_tightened_holds_at_once_and_what_is_loosened_waits_for_a_person() {
    let mut place = Place::running("24/7");
    place.write("24/7", "{max_positions: 8, execute_top_n: 1}");
    assert_eq!(place.await_rows(VERSIONS, 2), ["1 5 3", "2 5 1"]);
    let waits = "what loosens a limit while the market is open waits for the next session: risk.max_positions 5 -> 8";
    assert_eq!(place.await_rows(WAITS, 1), [waits]);
    let (code, said) = place.trade(&["config", "apply"]);
    assert!(code == 3 && said.contains("risk.max_positions") && said.contains("--confirm"), "{code}: {said}");

    place.kill();
    place.start(&[]);
    assert_eq!(place.rows(VERSIONS).len(), 2, "a start is no way around it");
    let (code, said) = place.trade(&["config", "apply", "--confirm"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(place.await_rows(VERSIONS, 3)[2], "3 8 1");
    assert!(place.rows("SELECT note FROM config_version WHERE config_version_id = 3")[0].starts_with("confirmed by "));
    assert_eq!(place.rows(WAITS).len(), 1);
    assert_eq!(place.rows("SELECT hash FROM config_waiting"), Vec::<String>::new());
}

#[test]
fn what_waits_is_taken_back_with_the_file_and_confirmed_where_no_scheduler_runs() {
    let mut place = Place::running("24/7");
    place.write("24/7", "{max_positions: 8}");
    place.await_rows(WAITS, 1);
    place.write("24/7", "{}");
    place.await_rows("SELECT 1 FROM event WHERE name = 'configuration.withdrawn'", 1);
    assert_eq!(place.rows(VERSIONS), ["1 5 3"]);
    place.kill();
    place.write("24/7", "{max_positions: 9}");
    let (code, said) = place.trade(&["config", "apply"]);
    assert_eq!(code, 3, "{said}");
    let (code, said) = place.trade(&["config", "apply", "--confirm"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(place.rows(VERSIONS), ["1 5 3", "2 9 3"]);
}

#[test]
fn a_kill_between_the_file_and_the_version_converges() {
    for point in ["configuration.before", "configuration.recorded", "configuration.after"] {
        let mut place = Place::new("XNYS");
        place.start(&[("DAYBOOK_CRASH", &format!("{point}:1"))]);
        place.write("XNYS", "{max_positions: 3}");
        place.await_death();
        place.start(&[]);
        assert_eq!(place.await_rows(VERSIONS, 2), ["1 5 3", "2 3 3"], "{point}");
        assert_eq!(place.rows(CHANGED).len(), 1, "{point}");
    }
}

#[test]
fn a_job_at_work_goes_on_under_the_version_it_began_with() {
    let place = Place::new("XNYS");
    let wait = "kind: command\ncommand: [sh, -c, 'touch begun; while [ ! -e go ]; do sleep 0.05; done']\nschedule: {cron: '0 0 1 1 *'}\n";
    place.job("waits", wait);
    place.job("other", "kind: command\ncommand: [sh, -c, ':']\nschedule: {cron: '0 0 1 1 *'}\n");
    let mut place = place;
    place.start(&[]);
    let mut asked = place.command(assert_cmd::cargo::cargo_bin!("trade").to_owned());
    let mut asked = asked.args(["job", "run", "waits"]).stdout(Stdio::null()).spawn().unwrap();
    while !place.path("begun").exists() {
        std::thread::sleep(LOOK_EVERY);
    }
    // Its own file goes, too: it is at work, and stays until it is done.
    fs::remove_file(place.path("jobs/waits.yaml")).unwrap();
    place.write("XNYS", "{max_positions: 3}");
    place.await_rows("SELECT 1 FROM config_version WHERE body ->> '$.risk.max_positions' = 3", 1);
    let (code, said) = place.trade(&["job", "run", "other"]);
    assert_eq!(code, 0, "{said}");
    let gone =
        "SELECT body FROM alert WHERE event = 'configuration.changed' AND body LIKE '%jobs/waits is gone: command%'";
    place.await_rows(gone, 1);
    fs::write(place.path("go"), "").unwrap();
    assert!(asked.wait().unwrap().success());
    let ends = "SELECT job || ' ' || state || ' ' || (SELECT max(config_version_id) FROM config_version
        WHERE hash = config_hash) || ' ' || attempt FROM run WHERE trigger = 'manual' AND kind = 'command' ORDER BY run_id";
    assert_eq!(place.await_rows(ends, 2), ["waits done 1 1", "other done 2 1"]);
}

/// Limits that a loss of tens of thousands does not reach.
const WIDE: &str = "max_daily_loss: 1000000, max_drawdown: 99%";

/// The risk monitor has decided.
const DECIDED: &str = "SELECT 1 FROM run WHERE kind = 'risk-monitor' AND decided_at_ms IS NOT NULL";

/// Far above what a share of the simulated market is worth.
const DEAR_E8: i64 = 500_000_000_000;

/// The emergency stop.
const STOPPED: &str = "SELECT kind FROM halt WHERE kind = 'emergency_stop' AND cleared_at_ms IS NULL";

/// A place under wide limits that holds ten shares which were bought at this price; nothing runs.
fn holding_from(price_e8: i64) -> Place {
    let mut place = Place::new("24/7");
    place.write("24/7", &format!("{{{WIDE}}}"));
    place.start(&[]);
    let (code, said) = place.trade(&["job", "run", "risk-monitor"]);
    assert_eq!(code, 0, "{said}");
    place.kill();
    let symbol = place.rows("SELECT symbol FROM bar LIMIT 1").pop().unwrap_or_else(first_symbol);
    let paper = Connection::open(place.path("day.paper.db")).unwrap();
    paper.execute("INSERT INTO position VALUES (?1, 10 * 1000000000, ?2)", params![symbol, price_e8]).unwrap();
    let ledger = Connection::open(place.path("day.db")).unwrap();
    ledger
        .execute(
            "INSERT INTO position (account, session, symbol, direction, state, quantity_e9, quantity_max_e9, entered_e9,
                entry_value_e8, exit_value_e8, cost_e8, entry_price_e8, adjustments, best_price_e8, opened_at_ms,
                realised_e8, fees_e8)
             SELECT 'paper', session, ?1, 'long', 'open', 10000000000, 10000000000, 10000000000, 10 * ?2, 0,
                10 * ?2, ?2, 0, ?2, unixepoch() * 1000, 0, 0 FROM session_equity LIMIT 1",
            params![symbol, price_e8],
        )
        .unwrap();
    place
}

#[test]
fn a_limit_below_the_loss_that_was_made_stops_at_once() {
    let mut place = holding_from(DEAR_E8);
    place.start(&[]);
    place.await_rows(&format!("{DECIDED} AND epoch = 2"), 1);
    assert_eq!(place.rows(STOPPED), Vec::<String>::new());
    place.write("24/7", "{max_daily_loss: 1000, max_drawdown: 99%}");
    // So far from what was paid a price is believed when the next minute's look finds another like it.
    place.await_rows(STOPPED, 1);
    // The change asked for a look of its own, in its own commit; the minute's may have come before it.
    place.await_rows(&format!("{DECIDED} AND epoch = 2 AND trigger = 'manual'"), 1);
}

/// A symbol of the simulated market.
fn first_symbol() -> String {
    use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
    use daybook::ports::MarketFeed;
    let settings = SimulatedMarketSettings { symbols: 5, ..SimulatedMarketSettings::default() };
    let market = SimulatedMarket::new(&settings, daybook_core::calendar::Calendar::always_open());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(market.universe()).unwrap()[0].symbol.to_string()
}

#[test]
fn a_signal_reads_the_files_and_leaves_the_process_alone() {
    let place = Place::running("XNYS");
    let pid = place.scheduler.as_ref().unwrap().id();
    for positions in [4, 3] {
        place.write("XNYS", &format!("{{max_positions: {positions}}}"));
        // SAFETY: the call takes plain numbers; the process is a child of this one that has not been waited for.
        unsafe { libc::kill(libc::pid_t::try_from(pid).unwrap(), libc::SIGHUP) };
    }
    place.await_rows("SELECT 1 FROM config_version WHERE body ->> '$.risk.max_positions' = 3", 1);
    assert_eq!(place.rows("SELECT epoch FROM lease"), ["1"]);
    assert_eq!(place.rows("SELECT 1 FROM event WHERE name = 'scheduler.stopped'"), Vec::<String>::new());
}

#[test]
fn an_earlier_version_comes_back_as_a_new_one() {
    let place = Place::running("XNYS");
    let file = "# mine\nexchange_calendar: XNYS\njobs_dir: jobs\nledger: {path: day.db}\nmarket:\n  simulated:\n    symbols: 5\n\
        notifications:\n  folder: mail\nrisk:\n  max_positions: 4   # few\n";
    fs::write(place.path("daybook.yaml"), file).unwrap();
    place.await_rows(VERSIONS, 2);
    let (code, said) = place.trade(&["config", "restore", "1"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("risk.max_positions 4 -> 5"), "{said}");
    assert_eq!(place.await_rows(VERSIONS, 3), ["1 5 3", "2 4 3", "3 5 3"]);
    assert_eq!(place.rows("SELECT note FROM config_version WHERE config_version_id = 3"), ["as version 1 was"]);
    let restored = fs::read_to_string(place.path("daybook.yaml")).unwrap();
    assert_eq!(restored, file.replace("max_positions: 4   # few", "max_positions: 5   # few"));
    assert!(place.trade(&["config", "restore", "9"]).1.contains("there is no version of the settings 9"));
}
