//! `trade` as a person and a script meet it: exit codes, standard output, standard error.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use daybook::ledger::{Ledger, LedgerKind, LedgerLock, NewLedger, OpenOptions};
use daybook_core::time::Timestamp;
use tempfile::TempDir;

/// A folder of its own, in which `trade` runs.
pub struct Desk {
    folder: TempDir,
}

/// How a command ended, and what it said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Desk {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("trade"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command
    }

    pub fn trade(&self, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        Said {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let said = self.trade(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err))
    }
}

const BARS: &str = "symbol,ts_utc,open,high,low,close,volume
AIG,2013-10-07T13:30:00Z,48.90,48.95,48.80,48.85,1200
AIG,2013-10-07T13:31:00Z,48.85,48.80,48.90,48.85,900
AIG,2013-10-07T13:32:00Z,48.85,48.90,48.80,48.90,300
";

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_meant() {
    let desk = Desk::new();
    let unknown = desk.trade(&["calender"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("'calendar'"), "{}", unknown.err);
    let swapped = desk.trade(&["calendar", "sessions", "--from", "2026-02-01", "--to", "2026-01-01"]);
    assert_eq!((swapped.code, swapped.out.as_str()), (2, ""));
    assert_eq!(swapped.err, "error: --to 2026-01-01 is before --from 2026-02-01: swap them\n");
}

#[test]
fn the_configuration_is_checked_with_line_and_column() {
    let desk = Desk::new();
    assert_eq!(desk.trade(&["config", "check"]).code, 0);
    desk.write("bad.yaml", "risk:\n  max_dayly_loss: 100\n");
    let bad = desk.trade(&["config", "check", "--config", "bad.yaml"]);
    assert_eq!((bad.code, bad.out.as_str()), (2, ""));
    assert!(bad.err.contains("bad.yaml:2:3:") && bad.err.contains("did you mean \"max_daily_loss\"?"), "{}", bad.err);
    let problems = &desk.json(&["config", "check", "--config", "bad.yaml"])["problems"];
    assert_eq!(problems[0]["at"], "bad.yaml:2:3");
    assert_eq!(desk.trade(&["config", "check", "--config", "none.yaml"]).code, 2);
}

#[test]
fn init_writes_a_configuration_that_is_right_and_changes_no_file() {
    let desk = Desk::new();
    assert_eq!(desk.trade(&["init"]).code, 0);
    assert_eq!(desk.trade(&["config", "check", "--config", "config/daybook.yaml"]).code, 0);
    desk.write("config/daybook.yaml", "account: {name: mine}\n");
    let again = desk.json(&["init"]);
    assert!(again.as_array().unwrap().iter().all(|file| file["written"] == false), "{again}");
    assert_eq!(desk.json(&["config", "show"]).as_array().unwrap()[0]["value"], "mine");
}

#[test]
fn bad_rows_are_named_the_others_kept_and_the_import_fails_unless_they_are_expected() {
    let desk = Desk::new();
    desk.write("bars.csv", BARS);
    let import = ["bars", "import", "bars.csv", "--ledger", "day.db"];
    let first = desk.trade(&import);
    assert_eq!(first.code, 1);
    assert!(first.out.contains("line 3: AIG: high 48.80 is below low 48.90"), "{}", first.out);
    assert!(first.err.contains("1 bad row was left out"), "{}", first.err);
    let again = desk.json(&[&import[..], &["--skip-bad"]].concat());
    assert_eq!((&again["new"], &again["repeated"]), (&0.into(), &2.into()));
    assert_eq!(desk.trade(&[&import[..], &["--skip-bad"]].concat()).code, 0);

    let exported = desk.trade(&["bars", "export", "--ledger", "day.db"]);
    let good: String = BARS.lines().filter(|line| !line.contains("13:31")).map(|line| format!("{line}\n")).collect();
    assert_eq!((exported.code, exported.out), (0, good));
    let shown = desk.json(&["bars", "show", "aig", "--ledger", "day.db"]);
    assert_eq!(shown[1]["close"], "48.90");
    let listed = desk.json(&["bars", "list", "--store", "bars"]);
    assert_eq!(
        (&listed[0]["symbol"], &listed[0]["where"], &listed[0]["bars"]),
        (&"AIG".into(), &"store".into(), &2.into())
    );
    assert!(desk.path().join("bars/AIG/2013.parquet").exists());
    assert!(!desk.path().join("day.db").exists());
}

#[test]
fn a_split_is_imported_beside_the_bars_and_does_not_look_like_a_crash() {
    let desk = Desk::new();
    let bars = "symbol,ts_utc,open,high,low,close,volume
AAPL,2014-06-06T19:58:00Z,649.90,651.00,645.50,646.10,100
AAPL,2014-06-06T19:59:00Z,646.10,646.20,645.50,645.61,100
AAPL,2014-06-09T13:30:00Z,92.70,92.80,92.20,92.30,700
AAPL,2014-06-10T13:30:00Z,94.70,94.80,94.20,94.30,700
";
    desk.write("minutes.csv", bars);
    desk.write("actions.csv", "symbol,ex_date,action,value\nAAPL,2014-06-09,split,7:1\n");
    let import = |file| desk.trade(&["bars", "import", file, "--ledger", "day.db"]);
    let told = import("minutes.csv");
    let jump =
        "AAPL 2014-06-09: 645.61 to 92.70: looks like a 7:1 split: if it is one, import AAPL,2014-06-09,split,7:1";
    assert!(told.code == 0 && told.out.contains(jump), "{}", told.out);
    let check = ["bars", "check", "--ledger", "day.db", "--json"];
    let found = desk.trade(&check);
    assert_eq!(found.code, 1);
    let findings: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!((&findings[0]["session"], &findings[0]["fault"]["untold"]), (&"2014-06-09".into(), &"7:1".into()));

    let told = import("actions.csv");
    assert!(told.code == 0 && told.out.contains("1 new split or dividend, 0 were there already"), "{}", told.out);
    assert_eq!(desk.trade(&check).code, 0);
    let listed = desk.trade(&["bars", "actions", "--ledger", "day.db", "--format", "csv"]);
    assert_eq!(listed.out, "symbol,ex_date,action,value\nAAPL,2014-06-09,split,7:1\n");
    // What is stored is what was traded.
    let export = |more: &[&str]| desk.trade(&[&["bars", "export", "--ledger", "day.db"], more].concat()).out;
    assert_eq!(export(&[]), bars);
    let adjusted = export(&["--adjusted"]);
    assert!(adjusted.contains("AAPL,2014-06-06T19:59:00Z,92.30,92.31428571,92.21428571,92.23,700\n"), "{adjusted}");
    assert!(adjusted.contains("AAPL,2014-06-09T13:30:00Z,92.70,92.80,92.20,92.30,700\n"), "{adjusted}");
    // A true range of a minute across the split is one of the new shares.
    let ranges = desk.trade(&["indicators", "bars", "--columns", "TRANGE", "--format", "csv"]);
    assert!(ranges.out.contains("2,2014-06-09T13:30:00Z,0.6\n") || ranges.out.contains(",0.599999"), "{}", ranges.out);

    desk.write("other.csv", "symbol,ex_date,action,value\nAAPL,2014-06-09,split,6:1\nAAPL,2014-06-10,split,2:1\n");
    let other = import("other.csv");
    assert_eq!(other.code, 1);
    assert!(other.out.contains("AAPL 2014-06-09: stored 7:1 split, offered 6:1 split"), "{}", other.out);
    let found = desk.trade(&["bars", "check", "--ledger", "day.db"]);
    assert!(found.out.contains("the 2:1 split is not in these bars"), "{}", found.out);
}

#[test]
fn a_files_bars_are_shown_as_indicators_and_patterns() {
    let desk = Desk::new();
    let bars = "ts_utc,open,high,low,close,volume
2013-10-07T13:30:00Z,48.90,48.95,48.80,48.85,1200
2013-10-07T13:31:00Z,48.85,48.85,48.75,48.75,900
2013-10-07T13:32:00Z,48.70,48.95,48.70,48.95,300
";
    desk.write("AIG.csv", bars);
    let columns = ["--columns", "SMA_2,TRANGE,OBV", "--format", "csv"];
    let shown = desk.trade(&[&["indicators", "AIG.csv"], &columns[..]].concat());
    let expected = "i,ts_utc,SMA_2,TRANGE,OBV
0,2013-10-07T13:30:00Z,,,1200.0
1,2013-10-07T13:31:00Z,48.8,0.10000000000000142,300.0
2,2013-10-07T13:32:00Z,48.849999999999994,0.25,600.0
";
    assert_eq!((shown.code, shown.out.as_str(), shown.err.as_str()), (0, expected, ""));
    let patterns = desk.json(&["patterns", "AIG.csv"]);
    assert_eq!((&patterns[2]["CDLENGULFING"], &patterns[1]["CDLENGULFING"]), (&100.into(), &0.into()));

    let unknown = desk.trade(&["indicators", "AIG.csv", "--columns", "SMA"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    assert!(unknown.err.contains("expected a form such as SMA_20"), "{}", unknown.err);
    desk.write("bars.csv", BARS);
    assert!(desk.trade(&["patterns", "bars.csv"]).err.contains("line 3: AIG: high 48.80 is below low 48.90"));
    desk.write(
        "two.csv",
        &BARS.replace("13:31:00Z,48.85,48.80,48.90", "13:31:00Z,48.85,48.90,48.80").replacen("AIG", "SPY", 1),
    );
    let several = desk.trade(&["patterns", "two.csv"]);
    assert!(several.err.contains("has bars of 2 symbols, AIG to SPY: name one of them"), "{}", several.err);
    assert_eq!(desk.json(&["patterns", "two.csv", "--symbol", "AIG"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_wrong_file_leaves_no_store_behind() {
    let desk = Desk::new();
    desk.write("swapped.csv", "symbol,ts_utc,open,low,high,close,volume\n");
    desk.write("bars.csv", BARS);
    let refused = desk.trade(&["bars", "import", "bars.csv", "swapped.csv", "--ledger", "day.db"]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("swapped.csv:1: the columns are"), "{}", refused.err);
    assert!(!desk.path().join("bars").exists());
}

#[test]
fn a_missing_or_foreign_ledger_is_named_and_left_alone() {
    let desk = Desk::new();
    let missing = desk.trade(&["status", "--ledger", "none.db"]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("there is no ledger at none.db"), "{}", missing.err);
    assert!(!desk.path().join("none.db").exists());
    desk.write("notes.txt", "not a database");
    let foreign = desk.trade(&["status", "--ledger", "notes.txt"]);
    assert_eq!(foreign.code, 2);
    assert!(foreign.err.contains("is not a Daybook ledger"), "{}", foreign.err);
    assert_eq!(std::fs::read_to_string(desk.path().join("notes.txt")).unwrap(), "not a database");
}

#[test]
fn an_unknown_job_is_answered_with_the_one_that_was_meant() {
    let desk = Desk::new();
    let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "cli", Timestamp(0));
    Ledger::open(&desk.path().join("day.db"), &OpenOptions::create_or_open(new)).unwrap();
    let unknown = desk.trade(&["job", "history", "analisys", "--ledger", "day.db"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("did you mean \"analysis\"?"), "{}", unknown.err);
}

#[test]
fn slots_of_a_half_day_keep_their_distance_from_its_close() {
    let desk = Desk::new();
    let slots = desk.json(&["calendar", "slots", "2026-11-27"]);
    let flatten: Vec<&serde_json::Value> =
        slots.as_array().unwrap().iter().filter(|slot| slot["job"] == "market-close-flatten").collect();
    assert_eq!(flatten.len(), 1);
    assert_eq!(flatten[0]["slot_utc"], "2026-11-27T17:50:00Z");
    let holiday = desk.trade(&["calendar", "slots", "2026-11-26", "--format", "csv"]);
    assert_eq!(holiday.code, 0);
    assert!(holiday.err.contains("2026-11-26 is no session of XNYS (Thanksgiving Day)"), "{}", holiday.err);
    assert!(!holiday.out.contains("analysis"), "{}", holiday.out);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let desk = Desk::new();
    let arguments = ["calendar", "sessions", "--from", "1990-01-01", "--to", "2030-12-31", "--format", "csv"];
    let mut child = desk.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.trade(&["completions", shell]);
        assert_eq!(script.code, 0);
        assert!(script.out.contains("calendar") && script.out.contains("status"), "{shell}");
    }
    let pages = desk.json(&["man", "man1"]);
    assert!(pages.as_array().unwrap().contains(&"trade-calendar-sessions.1".into()), "{pages}");
}

#[test]
fn what_is_asked_for_is_done_here_where_no_scheduler_runs() {
    let desk = Desk::new();
    assert_eq!(desk.trade(&["halt"]).code, 2, "a ledger is not made by a slip in its name");
    let ran = desk.json(&["job", "run", "reconcile"]);
    assert_eq!((&ran["scheduler"], &ran["runs"][0]["state"]), (&serde_json::Value::Null, &"done".into()));

    assert_eq!(desk.trade(&["halt", "--reason", "lunch"]).code, 0);
    let halted = desk.json(&["status"]);
    assert_eq!((&halted["halts"][0]["kind"], &halted["halts"][0]["reason"]), (&"manual".into(), &"lunch".into()));
    assert_eq!(desk.trade(&["resume"]).code, 0);
    let again = desk.trade(&["resume"]);
    assert_eq!((again.code, again.err.as_str()), (3, "error: refused: nothing is halted\n"));

    assert_eq!(desk.trade(&["job", "pause", "analysis"]).code, 0);
    let jobs = desk.json(&["job", "list"]);
    assert_eq!((&jobs[0]["job"], &jobs[0]["state"]), (&"analysis".into(), &"paused".into()));

    let unconfirmed = desk.trade(&["stop-everything"]);
    assert_eq!(unconfirmed.code, 2);
    assert!(unconfirmed.err.contains("add --yes"), "{}", unconfirmed.err);
    assert_eq!(desk.trade(&["stop-everything", "--yes"]).code, 0);
    assert_eq!(desk.json(&["status"])["halts"][0]["kind"], "emergency_stop");
    let nothing = desk.trade(&["close", "AAPL"]);
    assert_eq!(nothing.code, 0);
    assert!(nothing.out.contains("done: nothing to close: there is no position in AAPL"), "{}", nothing.out);

    assert_eq!(desk.trade(&["verify"]).code, 0);
    assert_eq!(desk.trade(&["ledger", "check"]).code, 0);
}

/// A market that never closes, so that a person can trade whenever the test runs.
const ROUND_THE_CLOCK: &str = "exchange_calendar: 24/7
market: {simulated: {symbols: 5}}
risk: {min_session_left: 0s}
";

/// A symbol of that market.
const SYMBOL: &str = "ABDN";

impl Desk {
    /// A desk in that market, with a ledger.
    fn round_the_clock(more: &str) -> Self {
        let desk = Self::new();
        desk.write("config/daybook.yaml", &format!("{ROUND_THE_CLOCK}{more}"));
        assert_eq!(desk.trade(&["job", "run", "reconcile"]).code, 0);
        desk
    }
}

#[test]
fn a_person_buys_and_sells_where_no_scheduler_runs() {
    let desk = Desk::round_the_clock("");
    for wrong in [
        &["buy", SYMBOL][..],
        &["buy", SYMBOL, "0"],
        &["buy", SYMBOL, "10", "--notional", "100"],
        &["buy", SYMBOL, "10", "--stop", "12.345"],
        &["sell", SYMBOL, "10", "--limit", "0"],
    ] {
        assert_eq!(desk.trade(wrong).code, 2, "{wrong:?}");
    }
    let bought = desk.trade(&["buy", SYMBOL, "3"]);
    assert_eq!(bought.code, 0, "{}{}", bought.out, bought.err);
    assert!(bought.out.contains("ok  buying power") && bought.out.contains("take-profit"), "{}", bought.out);
    let again = desk.trade(&["buy", SYMBOL, "3"]);
    assert_eq!(again.code, 3, "{}", again.out);
    assert!(
        again.out.contains("NO  symbol already traded") && again.err.contains("one entry a symbol"),
        "{}",
        again.err
    );
    let part = desk.json(&["sell", SYMBOL, "1"]);
    assert_eq!(part["runs"][0]["intents"].as_array().unwrap().len(), 2, "{part}");
    assert_eq!(desk.trade(&["sell", SYMBOL, "9"]).code, 3);
    assert_eq!(desk.trade(&["halt"]).code, 0);
    let unknown = desk.trade(&["buy", "NOSUCH", "3"]);
    assert!(unknown.code == 3 && unknown.err.contains("no price of NOSUCH"), "{}", unknown.err);
    assert_eq!(desk.trade(&["close", SYMBOL]).code, 0);
    assert_eq!(desk.trade(&["job", "run", "reconcile"]).code, 0);
    assert_eq!(desk.json(&["positions"])[0]["state"], "closed");
    assert_eq!(desk.trade(&["verify"]).code, 0);
    assert_eq!(desk.trade(&["ledger", "check"]).code, 0);
}

#[test]
fn an_order_above_its_size_ends_with_0_and_waits() {
    let desk = Desk::round_the_clock("execution: {approval_above: 1}\n");
    let asked = desk.json(&["buy", SYMBOL, "3"]);
    assert_eq!(
        (&asked["runs"][0]["state"], &asked["runs"][0]["waits_for_approval"]),
        (&"decided".into(), &true.into())
    );
    assert_eq!(desk.trade(&["approve", SYMBOL]).code, 0);
    assert_eq!(desk.json(&["orders"]).as_array().unwrap().len(), 3);
}

#[test]
fn who_comes_second_to_a_ledger_is_turned_away_with_4() {
    let desk = Desk::new();
    assert_eq!(desk.trade(&["job", "run", "reconcile"]).code, 0);
    assert_eq!(desk.trade(&["ledger", "backup", "copy.db"]).code, 0);
    let lock = LedgerLock::acquire(&desk.path().join("data/ledger.db")).unwrap();
    let refused = desk.trade(&["ledger", "restore", "copy.db"]);
    assert_eq!(refused.code, 4);
    assert!(refused.err.contains(&format!("process {}", std::process::id())), "{}", refused.err);
    let status = desk.json(&["status"]);
    assert_eq!(status["scheduler"], format!("process {}", std::process::id()));
    drop(lock);
    assert_eq!(desk.trade(&["ledger", "restore", "copy.db"]).code, 0);
}

#[test]
fn the_scheduler_does_what_trade_asks_for() {
    let desk = Desk::round_the_clock("");
    let mut scheduler = Command::new(assert_cmd::cargo::cargo_bin!("scheduler"))
        .current_dir(desk.path())
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(scheduler.stderr.take().unwrap()).lines();
    log.find(|line| line.as_ref().unwrap().contains("scheduler.ready")).unwrap().unwrap();

    let ran = desk.json(&["job", "run", "reconcile"]);
    assert_eq!(ran["scheduler"], format!("process {}", scheduler.id()));
    assert_eq!(ran["runs"][0]["state"], "done");
    let bought = desk.json(&["buy", SYMBOL, "3"]);
    assert_eq!((&bought["scheduler"], &bought["runs"][0]["state"]), (&ran["scheduler"], &"done".into()), "{bought}");
    assert_eq!(desk.trade(&["halt"]).code, 0);
    assert_eq!(desk.json(&["status"])["halts"][0]["kind"], "manual");
    let halted = desk.trade(&["sell", SYMBOL, "3", "--short", "--limit", "1"]);
    assert_eq!(halted.code, 3, "{}", halted.err);
    assert_eq!(desk.trade(&["sell", SYMBOL, "3"]).code, 0);

    let stopped = Command::new("kill").args(["-TERM", &scheduler.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    log.for_each(|line| drop(line.unwrap())); // until the process closes it
    assert_eq!(scheduler.wait().unwrap().code(), Some(0));
}

#[test]
fn a_replayed_day_answers_every_question() {
    let desk = Desk::new();
    let good: String = BARS.lines().filter(|line| !line.contains("13:31")).map(|line| format!("{line}\n")).collect();
    desk.write("bars.csv", &good);
    let weekend = desk.trade(&["replay", "--from", "2013-10-05", "--to", "2013-10-06", "--bars", "bars.csv"]);
    assert_eq!(weekend.code, 2);
    assert!(weekend.err.contains("holds no session of XNYS"), "{}", weekend.err);

    let replay = ["replay", "--from", "2013-10-07", "--to", "2013-10-07", "--bars", "bars.csv", "--ledger", "day.db"];
    let replayed = desk.json(&replay);
    assert_eq!((&replayed["ledger"], &replayed["days"][0]["session"]), (&"day.db".into(), &"2013-10-07".into()));
    assert_eq!(desk.trade(&replay).code, 3, "the ledger holds these sessions already");

    let of_day = |arguments: &[&str]| desk.json(&[arguments, &["--ledger", "day.db"]].concat());
    assert_eq!(of_day(&["status"])["ledger"]["kind"], "replay");
    assert_eq!(of_day(&["report", "day"])["session"], "2013-10-07");
    let week = of_day(&["report", "week"]);
    assert_eq!(
        (&week["monday"], &week["summary"]["sessions"][0]["session"]),
        (&"2013-10-07".into(), &"2013-10-07".into())
    );
    assert_eq!(week["unreported"].as_array().unwrap().len(), 4);
    let other = desk.trade(&["report", "week", "2013-10-14", "--ledger", "day.db"]);
    assert_eq!((other.code, other.out.as_str()), (2, ""));
    assert!(other.err.contains("no session from 2013-10-14 to 2013-10-20 has a report"), "{}", other.err);
    assert_eq!(of_day(&["verify", "--session", "2013-10-07"])["differences"], serde_json::json!([]));
    assert!(of_day(&["runs"]).as_array().unwrap().len() > 100);
    assert_eq!(of_day(&["why", "AIG"])["symbol"], "AIG");
    assert_eq!(of_day(&["ledger", "query", "SELECT count(*) AS days FROM v_day"])[0]["days"], 1);
    assert_eq!(of_day(&["notify", "list"])[0]["state"], "sent");
    for view in ["positions", "orders", "fills", "signals", "alerts"] {
        assert!(of_day(&[view, "--all"]).is_array(), "{view}");
    }
    let no_session = desk.trade(&["orders", "--session", "2013-10-06", "--ledger", "day.db"]);
    assert_eq!(no_session.code, 2);
    assert!(no_session.err.contains("(a Sunday); the nearest: 2013-10-04 and 2013-10-07"), "{}", no_session.err);
    let wrong = desk.trade(&["ledger", "query", "SELECT profit FROM v_day", "--ledger", "day.db"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("no such column: profit"), "{}", wrong.err);
    assert_eq!(desk.trade(&["halt", "--ledger", "day.db"]).code, 2, "a replay is not operated");
}

#[test]
fn a_series_of_returns_is_told_in_figures() {
    let desk = Desk::new();
    desk.write("returns.csv", "date,return\n2026-01-02,0.01\n2026-01-05,-0.01\n2026-01-06,0.02\n2026-01-07,0\n");
    desk.write("equity.csv", "date,equity\n2026-01-02,100\n2026-01-05,125\n2026-01-06,100\n");
    desk.write(
        "trades.csv",
        "symbol,entry_ts_utc,entry_price,exit_ts_utc,exit_price,quantity,pnl,exit_reason
AAPL,2026-01-05T14:50:00Z,200,2026-01-05T15:50:00Z,203,10,30,target
AAPL,2026-01-06T14:50:00Z,200,2026-01-06T15:00:00Z,199,10,-10,stop
",
    );
    let stats = desk.json(&["report", "stats", "returns.csv"]);
    let promised = "total_return cagr sharpe sortino calmar max_drawdown volatility win_rate profit_factor var_95 cvar_95 \
                    best_day worst_day skew kurtosis ulcer_index";
    for key in promised.split_whitespace() {
        assert!(stats[key].is_f64(), "{key}: {stats}");
    }
    assert!((stats["sharpe"].as_f64().unwrap() - 6.148_170_459_575_76).abs() < 1e-9, "{stats}");
    assert!(stats["conventions"].as_str().unwrap().contains("252 days"));
    assert_eq!((&stats["days"], &stats["trades"]), (&4.into(), &serde_json::Value::Null));

    let with_trades = desk.json(&["report", "stats", "equity.csv", "--trades", "trades.csv"]);
    assert_eq!(with_trades["total_return"], 0.0);
    assert_eq!((&with_trades["trades"]["count"], &with_trades["trades"]["profit_factor"]), (&2.into(), &3.0.into()));
    let text = desk.trade(&["report", "stats", "returns.csv"]);
    assert!(
        text.out.contains("Sharpe") && text.out.contains("6.15") && text.out.contains("252 days a year"),
        "{}",
        text.out
    );

    desk.write("bars.csv", &BARS.replace("AIG", "AAPL").replace("48.80,48.90,48.85,900", "48.90,48.80,48.85,900"));
    let files =
        ["report", "stats", "equity.csv", "--trades", "trades.csv", "--bars", "bars.csv", "--html", "sheet.html"];
    let written = desk.trade(&[&files[..], &["--title", "<i>mine</i>", "--json"]].concat());
    assert_eq!((written.code, written.err.as_str()), (0, "tear sheet: sheet.html\n"));
    let html = std::fs::read_to_string(desk.path().join("sheet.html")).unwrap();
    assert!(html.contains("&lt;i&gt;mine") && !html.contains("<i>") && html.contains("<svg"));

    desk.write("bad.csv", "date,return\n2026-01-02,one\n");
    let bad = desk.trade(&["report", "stats", "bad.csv", "--json"]);
    assert_eq!((bad.code, bad.out.as_str()), (2, ""));
    assert_eq!(bad.err, "error: bad.csv:2: return: \"one\" is not a number: expected one such as 0.0123\n");
    assert_eq!(desk.trade(&["report", "stats", "none.csv"]).code, 2);
}

/// A quarter of an hour between 99.80 and 100.20, then a close above it, and a rise to the target of 101.00.
fn breakout_bars() -> String {
    let minute = |place: i64, [open, high, low, close]: [&str; 4]| {
        let start = daybook_core::time::Timestamp(1_381_152_600_000 + 60_000 * place);
        format!("AIG,{start},{open},{high},{low},{close},1000\n")
    };
    let quiet = (0..15).map(|place| minute(place, ["100", "100.20", "99.80", "100"]));
    let moves = [["100.20", "100.30", "100.20", "100.30"], ["100.31", "100.40", "100.31", "100.40"]];
    let rise = (15..).zip(moves).map(|(place, prices)| minute(place, prices));
    let target = minute(17, ["100.40", "101.20", "100.40", "101.10"]);
    let rows: String = quiet.chain(rise).chain([target]).collect();
    format!("symbol,ts_utc,open,high,low,close,volume\n{rows}")
}

#[test]
fn a_back_test_writes_its_trades_and_tells_what_they_came_to() {
    let desk = Desk::new();
    desk.write("bars.csv", &breakout_bars());
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/orb-bracket.yaml");
    let backtest = ["backtest", "--config", config, "--bars", "bars.csv", "--trades", "trades.csv"];
    let told = desk.json(&backtest);
    assert_eq!((&told["bars"], &told["trades"], &told["pnl"]), (&18.into(), &1.into(), &69.0.into()));
    for figure in ["load_cpu_s", "engine_cpu_s", "peak_rss_mib"] {
        assert!(told[figure].is_number(), "{figure}");
    }
    let trades = std::fs::read_to_string(desk.path().join("trades.csv")).unwrap();
    assert_eq!(
        trades,
        "symbol,entry_ts_utc,entry_price,exit_ts_utc,exit_price,quantity,pnl,exit_reason\n\
         AIG,2013-10-07T13:46:00Z,100.31,2013-10-07T13:47:00Z,101.00,100,69.00,target\n"
    );

    let set = |setting: &str| desk.json(&[backtest.as_slice(), &["--set", setting]].concat());
    assert_eq!(set("backtest.fills=last_close")["pnl"], 70.0);
    assert_eq!(set("strategies.opening_range_breakout.target={range: 1}")["pnl"], 29.0);
    let twice = "confirmation={closes: 2, timeframe: 1m}";
    let strategy = ["--strategy", "opening_range_breakout", "--set", twice];
    assert_eq!(desk.json(&[backtest.as_slice(), &strategy].concat())["pnl"], 60.0);

    let checked = &desk.json(&[backtest.as_slice(), &["--check-look-ahead=1"]].concat())["look_ahead"];
    assert_eq!(*checked, serde_json::json!({"decisions": 1, "cuts": 1, "of": 2, "peeks": []}));
    let told = desk.trade(&[&backtest[..5], &["--check-look-ahead"]].concat());
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.ends_with("1 decision: the same with the future cut off at each of 2 instants\n"), "{}", told.out);
    assert_eq!(desk.trade(&[&backtest[..5], &["--check-look-ahead=0"]].concat()).code, 2);

    let text = desk.trade(&backtest[..5]).out;
    assert!(text.contains("18 bars of 1 symbol in 1 session") && text.contains("$69.00 after $0.00 of fees"), "{text}");
    let unknown = desk.trade(&[backtest.as_slice(), &["--strategy", "orb"]].concat());
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("there is no strategy orb: expected one of"), "{}", unknown.err);
    desk.write("bars.csv", BARS);
    let bad = desk.trade(&backtest);
    assert_eq!(bad.code, 2);
    assert!(
        bad.err.contains("bars.csv has 1 bad rows, the first on line 3: AIG: high 48.80 is below low 48.90"),
        "{}",
        bad.err
    );
}
