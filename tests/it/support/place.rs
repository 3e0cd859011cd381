//! The scheduler as a process of its own, in a folder of its own, on the system's clock.

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
const PATIENCE: Duration = Duration::from_secs(150);

/// How often the ledger is looked at meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A folder with a configuration, and the scheduler that runs on it.
pub struct Place {
    folder: TempDir,
    pub scheduler: Option<Child>,
}

impl Place {
    /// A market that never closes, so that every instant is in a session; or New York's, on whatever day it is.
    pub fn new(calendar: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        let place = Self { folder, scheduler: None };
        place.write(calendar, "{}");
        place
    }

    /// A place whose scheduler runs.
    pub fn running(calendar: &str) -> Self {
        let mut place = Self::new(calendar);
        place.start(&[]);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration with this section of risk.
    pub fn write(&self, calendar: &str, risk: &str) {
        let text = format!(
            "exchange_calendar: {calendar}\njobs_dir: jobs\nledger: {{path: day.db}}\nmarket: {{simulated: {{symbols: 5}}}}\n\
             notifications: {{folder: mail}}\nrisk: {risk}\n"
        );
        fs::write(self.path("daybook.yaml"), text).unwrap();
    }

    pub fn job(&self, name: &str, text: &str) {
        fs::write(self.path("jobs").join(format!("{name}.yaml")), text).unwrap();
    }

    pub fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_clear();
        command.args(["--config", "daybook.yaml"]);
        command
    }

    /// Starts the scheduler, and waits until it has booted.
    pub fn start(&mut self, variables: &[(&str, &str)]) {
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

    pub fn kill(&mut self) {
        let mut child = self.scheduler.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the scheduler has been killed from within.
    pub fn await_death(&mut self) {
        let status = self.scheduler.take().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }

    pub fn trade(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = self.command(assert_cmd::cargo::cargo_bin!("trade").to_owned());
        let Output { status, stdout, stderr } = command.args(arguments).output().unwrap();
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (status.code().unwrap(), text)
    }

    /// The rows of a question of one column; none while there is no ledger.
    pub fn rows(&self, sql: &str) -> Vec<String> {
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
    pub fn await_rows(&self, sql: &str, rows: usize) -> Vec<String> {
        let clock = SystemClock::new();
        let began = clock.monotonic();
        loop {
            let found = self.rows(sql);
            if found.len() >= rows {
                return found;
            }
            assert!(
                clock.monotonic() - began < PATIENCE,
                "{sql}: {found:?}\nevents {:?}",
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
