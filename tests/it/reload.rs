//! The configuration changes while the scheduler runs: its own process, its own files, the system's clock.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use daybook::adapters::clocks::SystemClock;
use daybook::ports::Clock;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// How long something may take that has to happen: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the ledger is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a change leaves behind, a line a version.
const VERSIONS: &str = "SELECT config_version_id || ' ' || (body ->> '$.risk.max_positions') || ' ' ||
    (body ->> '$.risk.execute_top_n') FROM config_version ORDER BY 1";

const CHANGED: &str = "SELECT subject FROM alert WHERE event = 'configuration.changed' ORDER BY alert_id";
const REFUSED: &str =
    "SELECT subject || ' / ' || body FROM alert WHERE event = 'configuration.refused' ORDER BY alert_id";
const WAITS: &str = "SELECT subject FROM alert WHERE event = 'configuration.waits' ORDER BY alert_id";

/// A folder with a configuration, and the scheduler that runs on it.
struct Place {
    folder: TempDir,
    scheduler: Option<Child>,
}

impl Place {
    /// A market that never closes, so that every instant is in a session; or New York's, on whatever day it is.
    fn new(calendar: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        let place = Self { folder, scheduler: None };
        place.write(calendar, "{}");
        place
    }

    /// A place whose scheduler runs.
    fn running(calendar: &str) -> Self {
        let mut place = Self::new(calendar);
        place.start(&[]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration with this section of risk.
    fn write(&self, calendar: &str, risk: &str) {
        let text = format!(
            "exchange_calendar: {calendar}\njobs_dir: jobs\nledger: {{path: day.db}}\nmarket: {{simulated: {{symbols: 5}}}}\n\
             notifications: {{folder: mail}}\nrisk: {risk}\n"
        );
        fs::write(self.path("daybook.yaml"), text).unwrap();
    }

    fn job(&self, name: &str, text: &str) {
        fs::write(self.path("jobs").join(format!("{name}.yaml")), text).unwrap();
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_clear();
        command.args(["--config", "daybook.yaml"]);
        command
    }

    /// Starts the scheduler, and waits until it has booted.
    fn start(&mut self, variables: &[(&str, &str)]) {
        let lives = self.rows("SELECT epoch FROM lease").pop();
        let mut command = self.command(assert_cmd::cargo::cargo_bin!("scheduler").to_owned());
        command.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        self.scheduler = Some(command.spawn().unwrap());
        let epoch = lives.map_or(1, |epoch| epoch.parse::<i64>().unwrap() + 1);
        self.await_rows(
            &format!("SELECT 1 FROM event WHERE name = 'scheduler.started' AND message = 'epoch {epoch}'"),
            1,
        );
    }

    fn kill(&mut self) {
        let mut child = self.scheduler.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the scheduler has been killed from within.
    fn await_death(&mut self) {
        let status = self.scheduler.take().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }

    fn trade(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = self.command(assert_cmd::cargo::cargo_bin!("trade").to_owned());
        let Output { status, stdout, stderr } = command.args(arguments).output().unwrap();
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (status.code().unwrap(), text)
    }

    /// The rows of a question of one column; none while there is no ledger.
    fn rows(&self, sql: &str) -> Vec<String> {
        let ask = || -> rusqlite::Result<Vec<String>> {
            let conn = Connection::open_with_flags(self.path("day.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let mut statement = conn.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, rusqlite::types::Value>(0))?;
            rows.map(|value| {
                Ok(match value? {
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    rusqlite::types::Value::Text(text) => text,
                    other => format!("{other:?}"),
                })
            })
            .collect()
        };
        ask().unwrap_or_default()
    }

    /// Waits until a question has so many rows, and answers them.
    fn await_rows(&self, sql: &str, rows: usize) -> Vec<String> {
        let clock = SystemClock::new();
        let began = clock.monotonic();
        loop {
            let found = self.rows(sql);
            if found.len() >= rows {
                return found;
            }
            assert!(
                clock.monotonic() - began < PATIENCE,
                "{sql}: {found:?}\nversions {:?}\nevents {:?}",
                self.rows(VERSIONS),
                self.rows("SELECT name || ': ' || message FROM event")
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut child) = self.scheduler.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

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

#[test]
fn a_limit_below_the_loss_that_was_made_stops_at_once() {
    let mut place = Place::new("24/7");
    let wide = "{max_daily_loss: 1000000, max_drawdown: 99%}";
    place.write("24/7", wide);
    place.start(&[]);
    let decided = "SELECT 1 FROM run WHERE kind = 'risk-monitor' AND decided_at_ms IS NOT NULL";
    let (code, said) = place.trade(&["job", "run", "risk-monitor"]);
    assert_eq!(code, 0, "{said}");
    place.kill();
    // Ten shares that were bought far above what they are worth.
    let symbol = place.rows("SELECT symbol FROM bar LIMIT 1").pop();
    let symbol = symbol.unwrap_or_else(|| place.first_symbol());
    let paper = Connection::open(place.path("day.paper.db")).unwrap();
    paper.execute("INSERT INTO position VALUES (?1, 10 * 1000000000, 500000000000)", [&symbol]).unwrap();
    let ledger = Connection::open(place.path("day.db")).unwrap();
    ledger
        .execute(
            "INSERT INTO position (account, session, symbol, direction, state, quantity_e9, quantity_max_e9, entered_e9,
                entry_value_e8, exit_value_e8, cost_e8, entry_price_e8, adjustments, best_price_e8, opened_at_ms,
                realised_e8, fees_e8)
             SELECT 'paper', session, ?1, 'long', 'open', 10000000000, 10000000000, 10000000000, 5000000000000, 0,
                5000000000000, 500000000000, 0, 500000000000, unixepoch() * 1000, 0, 0 FROM session_equity LIMIT 1",
            [&symbol],
        )
        .unwrap();
    drop((paper, ledger));
    place.start(&[]);
    place.await_rows(&format!("{decided} AND epoch = 2"), 1);
    assert_eq!(place.rows("SELECT kind FROM halt WHERE kind = 'emergency_stop'"), Vec::<String>::new());
    place.write("24/7", "{max_daily_loss: 1000, max_drawdown: 99%}");
    place.await_rows("SELECT kind FROM halt WHERE kind = 'emergency_stop'", 1);
    // The change asked for a look of its own, in its own commit; the minute's may have come before it.
    place.await_rows(&format!("{decided} AND epoch = 2 AND trigger = 'manual'"), 1);
}

impl Place {
    /// A symbol of the simulated market.
    fn first_symbol(&self) -> String {
        use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
        use daybook::ports::MarketFeed;
        let settings = SimulatedMarketSettings { symbols: 5, ..SimulatedMarketSettings::default() };
        let market = SimulatedMarket::new(&settings, daybook_core::calendar::Calendar::always_open());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(market.universe()).unwrap()[0].symbol.to_string()
    }
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
