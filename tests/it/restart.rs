//! The process is killed or told to stop at any instant and started again: the day comes out the same.
//!
//! `DAYBOOK_LONG=1` does it far more often.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use daybook::ledger::Ledger;
use rusqlite::{Connection, OpenFlags};

use crate::support::drawn;
use crate::support::simulation::{FINISHED, SYMBOLS, finished, open, rows};

/// Runs of a session, from the first of the night to the last: kills are spread over them.
const RUNS: i64 = 600;

/// Starts the session on `ledger`, or goes on with it.
fn start(ledger: &Path) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("scheduler"))
        .args(["--simulate", "2026-11-16", "--speed", "max", "--exit-when-done", "--ledger"])
        .arg(ledger)
        .current_dir(ledger.parent().unwrap())
        .env_clear()
        .env("DAYBOOK__MARKET__SIMULATED__SYMBOLS", SYMBOLS)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) {
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Runs that the ledger holds, as far as it is there yet. The look leaves the file as it is.
fn runs(ledger: &Path) -> i64 {
    let look = || {
        let conn = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.query_row("SELECT count(*) FROM run", [], |row| row.get(0))
    };
    look().unwrap_or(0)
}

/// Ends the process by a signal once the ledger holds so many runs; whether it was alive until then.
fn end_at(mut child: Child, ledger: &Path, run: i64, signal: i32) -> bool {
    while runs(ledger) < run {
        if child.try_wait().unwrap().is_some() {
            finish(child);
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap();
    true
}

/// What people were told, and on which channels.
fn told(ledger: &Ledger) -> Vec<String> {
    rows(ledger, "SELECT at_utc, level, event, subject, sent_on FROM v_alert ORDER BY 1, 3, 4")
}

/// Has the program check the ledger: the file, and every invariant of its rows.
fn checks(ledger: &Path) {
    let check = Command::new(assert_cmd::cargo::cargo_bin!("trade"))
        .args(["ledger", "check", "--ledger"])
        .arg(ledger)
        .current_dir(ledger.parent().unwrap())
        .env_clear()
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn a_day_that_is_killed_and_started_again_is_the_day_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    finish(start(&whole));
    let whole = open(&whole);
    let (days, kills) = if std::env::var_os("DAYBOOK_LONG").is_some() { (20, 12) } else { (1, 3) };
    for seed in 0..days {
        let path = folder.path().join(format!("killed-{seed}.db"));
        let mut draw = drawn(seed);
        let mut at: Vec<i64> = (0..kills).map(|_| draw(RUNS)).collect();
        at.sort_unstable();
        let mut killed = 0;
        for (run, signal) in at.iter().zip([libc::SIGKILL, libc::SIGTERM].into_iter().cycle()) {
            killed += u64::from(end_at(start(&path), &path, *run, signal));
        }
        finish(start(&path));
        assert_eq!(killed, kills, "seed {seed}: a signal after the end ends nothing");
        let ledger = open(&path);
        for view in FINISHED {
            assert_eq!(finished(&ledger, view), finished(&whole, view), "{view}, seed {seed}, killed at runs {at:?}");
        }
        assert_eq!(told(&ledger), told(&whole), "seed {seed}, killed at runs {at:?}");
        let lives = rows(&ledger, "SELECT count(*) FROM run WHERE trigger = 'boot'");
        assert!(lives[0].parse::<u64>().unwrap() > 1, "seed {seed}: it was started again");
        let lost = "SELECT job, slot_at_ms FROM run WHERE state IN ('dead', 'expired')";
        assert_eq!(rows(&ledger, lost), Vec::<String>::new(), "seed {seed}");
        checks(&path);
    }
}
