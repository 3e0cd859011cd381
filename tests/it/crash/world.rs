//! A day of the program, killed and started again, and what must be true of it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use daybook::config::{self, Configuration, Environment, Sources};
use daybook::engine::audit::audit_ledger;
use daybook::engine::commands::Command as Asked;
use daybook::engine::verify::verify;
use daybook::jobs;
use daybook::ledger::alert::{self, DeliveryState};
use daybook::ledger::command::{self, NewCommand};
use daybook::ledger::{Ledger, fill, intent, position, run_facts};
use daybook_core::order::Fill;
use daybook_core::schedule::JobDefinition;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::host::{ExchangeHost, Host, Trouble};
use crate::repository;
use crate::support::exchange::{self, Record};
use crate::support::market::new_york;
use crate::support::simulation::{FINISHED, open, rows};

const DAY: &str = "2026-11-16";

/// The configuration of the killed program, read as it reads it.
pub static CONFIGURATION: LazyLock<Configuration> = LazyLock::new(|| {
    let file = repository::root().join("tests/it/crash/daybook.yaml");
    let jobs = repository::root().join("tests/it/crash/jobs");
    let sources = Sources::new(Some(file), Environment::default());
    config::load(&sources.with_option("--jobs", "jobs_dir", jobs.display().to_string())).unwrap()
});

/// An instant of the day, in New York.
pub fn at(wall: &str) -> Timestamp {
    new_york(DAY, wall)
}

/// Where and at which pass the process is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The point; `*` is any.
    pub point: String,
    /// From 1, counted in each life anew.
    pub pass: u64,
}

impl Kill {
    pub fn at(point: &str, pass: u64) -> Self {
        Self { point: point.to_owned(), pass }
    }
}

impl Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.point, self.pass)
    }
}

/// How a life of the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed,
    Finished,
}

/// Who holds the account.
enum Keeper {
    /// A broker behind a socket, and the trouble that it makes.
    Broker(Host, Option<Trouble>),
    /// An exchange behind Alpaca's API.
    Exchange(ExchangeHost),
}

impl Keeper {
    fn listen(folder: &Path, account: Account) -> Self {
        match account {
            Account::Broker(trouble) => Self::Broker(Host::listen(folder, trouble), trouble),
            Account::Exchange => Self::Exchange(ExchangeHost::listen(folder)),
        }
    }

    const fn account(&self) -> Account {
        match self {
            Self::Broker(_, trouble) => Account::Broker(*trouble),
            Self::Exchange(_) => Account::Exchange,
        }
    }
}

/// Where the account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// At a broker that makes this trouble.
    Broker(Option<Trouble>),
    /// At our own exchange, by the adapter for Alpaca.
    Exchange,
}

/// A ledger, a broker and the mails: what is left when the process is not there.
pub struct World {
    folder: TempDir,
    keeper: Keeper,
    /// The first day that is lived, and the last.
    days: (&'static str, &'static str),
    /// What the process is told besides, in its environment.
    told: Vec<(&'static str, String)>,
    /// What is broken in the program.
    sabotage: Option<&'static str>,
    /// The lease's epoch as it was seen last.
    epoch: i64,
}

impl World {
    /// Nothing yet but a broker without orders.
    pub fn new(account: Account) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::listen(folder.path(), account);
        Self { folder, keeper, days: (DAY, DAY), told: Vec::new(), sabotage: None, epoch: 0 }
    }

    /// The same, in which other days are lived.
    pub fn living(self, from: &'static str, to: &'static str) -> Self {
        Self { days: (from, to), ..self }
    }

    /// The same, whose process has these variables in its environment.
    pub fn told(self, told: Vec<(&'static str, String)>) -> Self {
        Self { told, ..self }
    }

    /// The same, with something broken in the program.
    pub fn sabotaged(self, sabotage: Option<&'static str>) -> Self {
        Self { sabotage, ..self }
    }

    /// Another world in which everything is as it is in this one. The broker must have no call on its way.
    pub fn fork(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path());
        let keeper = Keeper::listen(folder.path(), self.keeper.account());
        let (days, told, sabotage, epoch) = (self.days, self.told.clone(), self.sabotage, self.epoch);
        Self { folder, keeper, days, told, sabotage, epoch }
    }

    pub fn ledger_path(&self) -> PathBuf {
        self.folder.path().join("day.db")
    }

    pub fn ledger(&self) -> Ledger {
        open(&self.ledger_path())
    }

    pub fn record(&self) -> Record {
        match &self.keeper {
            Keeper::Broker(host, _) => host.record(),
            Keeper::Exchange(exchange) => exchange.record(),
        }
    }

    /// Writes a command into the ledger, as `trade` does.
    pub fn ask(&self, asked: &Asked) {
        let new = NewCommand {
            nonce: asked.name().to_owned(),
            name: asked.name().to_owned(),
            arguments: serde_json::to_value(asked).unwrap(),
            requested_by: "a test".to_owned(),
        };
        self.ledger().write_blocking(move |tx| command::enqueue(tx, &new, at("00:00"))).unwrap();
    }

    /// Starts the process.
    pub fn start(&self, variables: &[(&str, String)]) -> Child {
        let file = repository::root().join("tests/it/crash/daybook.yaml");
        let jobs = repository::root().join("tests/it/crash/jobs");
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("scheduler"));
        let days = format!("{}..{}", self.days.0, self.days.1);
        command
            .args(["--simulate", &days, "--speed", "max", "--exit-when-done", "--ledger", "day.db", "--config"])
            .arg(file)
            .current_dir(self.folder.path())
            .env_clear()
            .env("DAYBOOK__JOBS_DIR", jobs)
            .envs(self.told.iter().map(|(name, value)| (name, value)))
            .envs(self.sabotage.map(|way| ("DAYBOOK_SABOTAGE", way)))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        match &self.keeper {
            Keeper::Broker(..) => command.env("DAYBOOK_CRASH_BROKER", self.folder.path().join("broker")),
            Keeper::Exchange(there) => command.envs(exchange::environment(&there.address())),
        };
        command.spawn().unwrap()
    }

    /// One life of the process.
    pub fn life(&mut self, kill: Option<&Kill>) -> Result<End, String> {
        let variables: Vec<_> = kill.map(|kill| ("DAYBOOK_CRASH", kill.to_string())).into_iter().collect();
        let ended = self.start(&variables).wait_with_output().unwrap();
        let end = match ended.status.signal() {
            Some(libc::SIGKILL) => End::Killed,
            _ if ended.status.success() => End::Finished,
            _ => return Err(format!("the process failed: {}", String::from_utf8_lossy(&ended.stderr))),
        };
        let epoch = epoch(&self.ledger_path());
        if epoch < self.epoch {
            return Err(format!("the epoch fell from {} to {epoch}", self.epoch));
        }
        self.epoch = epoch;
        Ok(end)
    }

    /// Takes the process's lock away, as a disk does that is moved to another machine.
    pub fn remove_lock(&self) {
        std::fs::remove_file(self.folder.path().join("day.db.lock")).unwrap();
    }

    /// A whole life, with a line in `log` for each pass of a point.
    pub fn logged_life(&self) -> Vec<String> {
        let log = self.folder.path().join("passes");
        let ended = self.start(&[("DAYBOOK_CRASH_LOG", log.display().to_string())]).wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect()
    }

    /// Lives the day once, with `look` at the first pass of each point: the process stands still there, and its
    /// files are what a kill would leave.
    pub fn walk(&self, mut look: impl FnMut(&str)) {
        let log = self.folder.path().join("passes");
        let walked =
            self.start(&[("DAYBOOK_CRASH", "each:stop".to_owned()), ("DAYBOOK_CRASH_LOG", log.display().to_string())]);
        while is_stopped(&walked) {
            look(std::fs::read_to_string(&log).unwrap().lines().last().unwrap());
            wake(&walked);
        }
        assert!(walked.wait_with_output().unwrap().status.success());
    }

    /// What the next life begins with: every row of the ledger and of the broker, every mail, every backup's name.
    /// The program draws nothing and its clock is simulated: lives that begin with the same are the same.
    pub fn state(&self) -> State {
        let mut digest = Sha256::new();
        for file in ["day.db", "broker.db", "exchange.db"] {
            add_rows(&mut digest, &self.folder.path().join(file));
        }
        let mails = self.folder.path().join("day.mail");
        for name in names(&mails) {
            digest.update(&name);
            digest.update(std::fs::read(mails.join(&name)).unwrap());
        }
        for name in names(&self.folder.path().join("day.backups")) {
            digest.update(&name);
        }
        digest.finalize().into()
    }

    /// The rows of the finished day, view by view.
    pub fn rows(&self) -> Rows {
        let ledger = self.ledger();
        FINISHED.iter().map(|view| (*view, finished(&ledger, view))).collect()
    }

    /// What is wrong with the finished day, a line each.
    pub fn findings(&self) -> Vec<String> {
        findings(&self.ledger(), &self.record(), new_york(self.days.1, "23:59"))
    }
}

/// What is wrong with days that have ended, a line each.
pub fn findings(ledger: &Ledger, record: &Record, end: Timestamp) -> Vec<String> {
    let calendar = CONFIGURATION.settings.calendar();
    let jobs: Vec<JobDefinition> = CONFIGURATION.jobs.iter().cloned().chain([JobDefinition::operator()]).collect();
    let mut found = audit_ledger(ledger, &jobs, &calendar, end).unwrap().findings();
    found.extend(differences(ledger, record));
    let open = ledger.read(run_facts::unfinished).unwrap();
    found.extend(open.iter().map(|run| format!("{} of {} is {}", run.job, run.slot, run.state.as_str())));
    let deliveries = ledger.read(|conn| alert::deliveries(conn, u32::MAX)).unwrap();
    let unsent = deliveries.iter().filter(|delivery| delivery.state != DeliveryState::Sent);
    found.extend(unsent.map(|delivery| format!("nobody was told: {}", delivery.alert.alert.subject)));
    let verified = verify(ledger, &jobs::table(), &calendar, None, |_, _| {}).unwrap();
    found.extend(verified.differences.iter().map(|it| format!("run {} of {}: {}", it.run_id, it.job, it.what)));
    found
}

/// Waits until the process stops itself or ends, and tells whether it has stopped. What ended is still to be waited for.
pub fn is_stopped(child: &Child) -> bool {
    // SAFETY: an all-zero siginfo_t is a value of it; the call writes into it and takes plain numbers beside it.
    let (waited, told) = unsafe {
        let mut told: libc::siginfo_t = std::mem::zeroed();
        let which = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
        (libc::waitid(libc::P_PID, child.id(), &raw mut told, which), told)
    };
    assert_eq!(waited, 0);
    told.si_code == libc::CLD_STOPPED
}

/// Lets a process go on that has stopped.
pub fn wake(child: &Child) {
    // SAFETY: the call takes plain numbers; the process is a child of this one that has not been waited for.
    unsafe { libc::kill(libc::pid_t::try_from(child.id()).unwrap(), libc::SIGCONT) };
}

/// A digest of all that a life begins with.
pub type State = [u8; 32];

/// The rows of the views that tell of a day.
pub type Rows = BTreeMap<&'static str, Vec<String>>;

/// The rows of a view, with the slots of runs for their numbers: a process that is started again looks at the broker
/// and finds what is held up to a minute earlier, and then watches it from that minute on.
fn finished(ledger: &Ledger, view: &str) -> Vec<String> {
    let columns = ledger.query(&format!("SELECT * FROM {view} LIMIT 0")).unwrap().columns;
    let (of_run, kept): (Vec<_>, Vec<_>) = columns.into_iter().partition(|column| column == "run_id");
    let kept: Vec<String> = kept.into_iter().map(|column| format!("v.{column}")).collect();
    let kept = kept.join(", ");
    if of_run.is_empty() {
        return rows(ledger, &format!("SELECT {kept} FROM {view} AS v"));
    }
    rows(ledger, &format!("SELECT {kept}, run.job, run.slot_at_ms FROM {view} AS v LEFT JOIN run USING (run_id)"))
}

/// The first row of a view in which two days differ.
pub fn first_difference(whole: &Rows, killed: &Rows) -> Option<String> {
    FINISHED.iter().find_map(|view| {
        let (whole, killed) = (&whole[view], &killed[view]);
        let at = (0..whole.len().max(killed.len())).find(|at| whole.get(*at) != killed.get(*at))?;
        Some(format!("{view}, row {at}: expected {:?}, found {:?}", whole.get(at), killed.get(at)))
    })
}

/// What the ledger and the broker's own record do not agree on, and what no broker should have at the end of a day.
fn differences(ledger: &Ledger, record: &Record) -> Vec<String> {
    let account = ledger.meta().account.clone();
    let (planned, fills, held) = ledger
        .read(|conn| Ok((intent::planned_ids(conn)?, fill::all(conn, &account)?, position::open(conn, &account)?)))
        .unwrap();
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for order in &record.orders {
        let id = &order.name;
        if !order.is_leg && !planned.contains(id) && !planned.contains(&id.with_revision(0)) {
            found.push(format!("the broker has the order {id}, which nobody planned"));
        }
        if !names.insert(id) {
            found.push(format!("the broker has two orders {id}"));
        }
        if !order.status.is_terminal() {
            found.push(format!("the order {id} works at the end of the day"));
        }
    }
    let ours: BTreeMap<&str, &Fill> = fills.iter().map(|it| (it.fill.execution_id.as_str(), &it.fill)).collect();
    let theirs: BTreeMap<&str, &Fill> = record.fills.iter().map(|it| (it.execution_id.as_str(), it)).collect();
    if ours != theirs {
        found.push(format!("the ledger has the fills {:?}, the broker {:?}", ours.keys(), theirs.keys()));
    }
    if !held.is_empty() || !record.held.is_empty() {
        found.push(format!("held at the end of the day: {held:?}, by the broker's word {:?}", record.held));
    }
    found
}

/// The epoch of the lease; 0 before the first. The look leaves the file as the killed process left it.
fn epoch(ledger: &Path) -> i64 {
    let look = || {
        let conn = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.query_row("SELECT epoch FROM lease", [], |row| row.get(0))
    };
    look().unwrap_or(0)
}

/// The names in a folder, in order; none where it is not there.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Adds every row of a database, without the number of the process and the machine's time of a migration, on which
/// nothing depends; nothing of a file that is not there, or not yet a database.
fn add_rows(digest: &mut Sha256, file: &Path) {
    let Ok(conn) = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return };
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let Ok(mut tables) = conn.prepare(tables) else { return };
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        digest.update(&table);
        let mut rows = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let matters = |column: &usize| !matches!(rows.column_name(*column).unwrap(), "holder" | "applied_on");
        let columns: Vec<usize> = (0..rows.column_count()).filter(matters).collect();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for &column in &columns {
                digest.update(format!("{:?}", row.get_ref(column).unwrap()));
            }
        }
    }
}

/// Copies a folder. An index of a write-ahead log is left out, as a machine that was switched off has none; so are
/// sockets.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_file() && !entry.path().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
