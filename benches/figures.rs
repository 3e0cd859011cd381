//! The figures that the README states, measured on the real programs:
//! `cargo bench --bench figures -- [--only WHAT] [--lateness SECONDS]`.
//!
//! WHAT is one of `days`, `idle`, `restart`, `reload`, `lateness` and `silence`; without it all are measured.
//! `--only silence --lateness 3600` is the hour beside a channel that hangs: two schedulers at once, so that whatever
//! else the machine does hits both, one with a receiver that takes each message and never answers, one with a
//! receiver that does. Then the first answers, too, and every message has to arrive.
//!
//! CPU time and resident memory come from Linux's /proc, so that another load on the machine matters
//! little; lateness comes from the ledger, where every run has its own.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use daybook::adapters::clocks::SystemClock;
use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
use daybook::ports::{Clock, MarketFeed};
use daybook_core::calendar::Calendar;
use rusqlite::{Connection, OpenFlags};

const SCHEDULER: &str = env!("CARGO_BIN_EXE_scheduler");

/// How long an idle scheduler is watched.
const IDLE: Duration = Duration::from_secs(60);

/// What a start takes before it is idle: caches are filled, threads are made.
const SETTLING: Duration = Duration::from_secs(5);

/// How long one-second slots run where nothing else is asked for.
const LATENESS: Duration = Duration::from_secs(120);

/// Changes of the configuration, and the time between them: those that follow closely are read together.
const RELOADS: u32 = 200;
const BETWEEN_RELOADS: Duration = Duration::from_millis(250);

/// A job that is due each second and does what every reconcile does.
const EVERY_SECOND: &str = "kind: reconcile\nschedule: {every: 1s, during: always}\n";

/// A message for each run.
const EVERY_RUN_IS_TOLD: &str =
    "notifications: {min_level: info, rules: [{events: [job.started], channels: [webhook], send: true}]}\n";

/// How long everything that waited for a receiver may take once it answers: no wait between two attempts is longer than
/// the outbox's longest, which is 15 minutes.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20 * 60);

/// How often it is looked whether it has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How late each slot was, up to a run.
const SQL_LATENESS: &str = "
    SELECT lateness_ms FROM v_run WHERE job = 'every-second' AND state = 'done' AND trigger = 'schedule'
        AND run_id <= ?1 ORDER BY 1";

/// Messages to the receiver: all, those it has, those that were given up, those tried again, attempts.
const SQL_DELIVERIES: &str = "
    SELECT count(*), count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'dead'),
        count(*) FILTER (WHERE attempts > 1), coalesce(sum(attempts), 0)
    FROM delivery JOIN alert USING (alert_id) WHERE channel = 'webhook' AND run_id <= ?1";

/// Whether the risk of an account was decided on after the one lease that it was made under.
const SQL_DECIDED: &str = "
    SELECT EXISTS (SELECT 1 FROM run WHERE kind = 'risk-monitor' AND epoch > 1 AND decided_at_ms IS NOT NULL)";

/// Ten shares at 50 dollars.
const SQL_POSITION: &str = "
    INSERT INTO position (account, session, symbol, direction, state, quantity_e9, quantity_max_e9, entered_e9,
        entry_value_e8, exit_value_e8, cost_e8, entry_price_e8, adjustments, best_price_e8, opened_at_ms, realised_e8, fees_e8)
    SELECT value, '2026-11-16', ?1, 'long', 'open', 10000000000, 10000000000, 10000000000,
        50000000000, 0, 50000000000, 5000000000, 0, 5000000000, 0, 0, 0 FROM meta WHERE key = 'account'";

/// What is measured, and the promise.
struct Figure {
    what: &'static str,
    promised: f64,
    measured: f64,
    unit: &'static str,
}

fn main() -> ExitCode {
    match measure() {
        Ok(figures) => {
            let holds = |figure: &Figure| figure.measured < figure.promised;
            for figure in &figures {
                let Figure { what, promised, measured, unit } = figure;
                let verdict = if holds(figure) { "holds" } else { "does not hold" };
                println!("{what:<52} {measured:>9.3} {unit:<3} (under {promised} {unit}: {verdict})");
            }
            if figures.iter().all(holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What may be asked for alone.
const PARTS: [&str; 6] = ["days", "idle", "restart", "reload", "lateness", "silence"];

fn measure() -> anyhow::Result<Vec<Figure>> {
    let Asked { only, lateness_for } = asked()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let mut figures = Vec::new();
    for part in PARTS.into_iter().filter(|part| only.as_deref().is_none_or(|only| only == *part)) {
        figures.extend(match part {
            "days" => days(folder)?,
            "idle" => idle(folder)?,
            "restart" => vec![after_a_kill(folder)?],
            "reload" => vec![reload(folder)?],
            "lateness" => lateness(folder, lateness_for)?,
            "silence" => lateness_beside_silence(folder, lateness_for)?,
            _ => bail!("{part} is no part"),
        });
    }
    Ok(figures)
}

/// What is measured, and for how long slots of a second run.
struct Asked {
    /// `None`: everything.
    only: Option<String>,
    lateness_for: Duration,
}

/// Reads the command line; cargo adds `--bench` of its own.
fn asked() -> anyhow::Result<Asked> {
    let mut asked = Asked { only: None, lateness_for: LATENESS };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} has no value"))?;
        match name.as_str() {
            "--lateness" => {
                asked.lateness_for = Duration::from_secs(value.parse().context("--lateness takes seconds")?);
            }
            "--only" if PARTS.contains(&value.as_str()) => asked.only = Some(value),
            "--only" => bail!("--only takes one of {}, found {value}", PARTS.join(", ")),
            _ => bail!("expected --only WHAT or --lateness SECONDS, found {name}"),
        }
    }
    Ok(asked)
}

/// What whole days cost.
fn days(folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut figures = vec![Figure {
        what: "five simulated sessions, 500 symbols, CPU",
        promised: 10.0,
        measured: cpu_of(Command::new(SCHEDULER).current_dir(folder).args([
            "--simulate",
            "2026-11-16..2026-11-20",
            "--speed",
            "max",
            "--exit-when-done",
        ]))?,
        unit: "s",
    }];
    let bars = root.join("../shared/data/us_minute_2013-10.csv");
    if bars.exists() {
        let replay = ["--simulate", "2013-10-07..2013-10-11", "--speed", "max", "--exit-when-done", "--bars"];
        figures.push(Figure {
            what: "five real sessions of four symbols replayed, CPU",
            promised: 2.0,
            measured: cpu_of(Command::new(SCHEDULER).current_dir(folder).args(replay).arg(&bars))?,
            unit: "s",
        });
    }
    Ok(figures)
}

/// The CPU seconds of a program that runs to its end.
fn cpu_of(command: &mut Command) -> anyhow::Result<f64> {
    let before = cpu_of_ended_children()?;
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(cpu_of_ended_children()? - before)
}

/// CPU seconds of all children that have ended: user and system time, fields 16 and 17 of
/// /proc/self/stat, in hundredths of a second (USER_HZ, which is 100 on every architecture that counts).
fn cpu_of_ended_children() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc is needed: this measures on Linux")?;
    // The name of the program, in brackets, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').context("/proc/self/stat")?.1.split_whitespace().collect();
    let ticks =
        |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).context("/proc/self/stat");
    Ok((ticks(16)? + ticks(17)?) / 100.0)
}

/// A scheduler with nothing to do: when it says that it is ready, what it holds, what it burns.
fn idle(folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let socket = UnixDatagram::bind(folder.join("notify"))?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let mut scheduler = Command::new(SCHEDULER);
    scheduler.current_dir(folder).args(["--ledger", "idle.db"]).env("NOTIFY_SOCKET", folder.join("notify"));
    let mut scheduler = Scheduler(scheduler.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let mut told = [0; 256];
    let length = socket.recv(&mut told).context("the scheduler did not say that it is ready")?;
    let ready = clock.monotonic() - begun;
    let told = String::from_utf8_lossy(told.get(..length).unwrap_or_default()).into_owned();
    ensure!(told.starts_with("READY=1"), "the scheduler said {told:?}");
    drop(socket);

    sleep(SETTLING);
    let (before, from) = (scheduler.cpu()?, clock.monotonic());
    sleep(IDLE);
    let share = (scheduler.cpu()? - before) / (clock.monotonic() - from).as_secs_f64();
    let resident = scheduler.resident_mib()?;
    scheduler.stop()?;
    Ok(vec![
        Figure {
            what: "scheduler, from its start to ready",
            promised: 100.0,
            measured: ready.as_secs_f64() * 1e3,
            unit: "ms",
        },
        Figure { what: "scheduler idle, resident", promised: 15.0, measured: resident, unit: "MiB" },
        Figure { what: "scheduler idle, of a core", promised: 0.1, measured: share * 100.0, unit: "%" },
    ])
}

/// How late runs of a job start that is due each second.
fn lateness(folder: &Path, how_long: Duration) -> anyhow::Result<Vec<Figure>> {
    let mut busy = EachSecond::start(folder, "late.db", None)?;
    sleep(SETTLING + how_long);
    let until = busy.last_run()?;
    busy.scheduler.stop()?;
    let late = busy.lateness(until, how_long)?;
    println!("slots of a second: {late}");
    Ok(vec![
        Figure { what: "lateness of one-second slots, median", promised: 1.0, measured: late.of(50), unit: "ms" },
        Figure { what: "lateness of one-second slots, 99 of 100", promised: 5.0, measured: late.of(99), unit: "ms" },
    ])
}

/// The same, twice at once: each run is told to a receiver, and one of the receivers hangs for all that time. Then it
/// answers, and has to be told everything.
fn lateness_beside_silence(folder: &Path, how_long: Duration) -> anyhow::Result<Vec<Figure>> {
    let (silent, answering) = (Receiver::listen(Manner::Hangs)?, Receiver::listen(Manner::Answers)?);
    let mut beside_silent = EachSecond::start(folder, "silence.db", Some(&silent))?;
    let mut beside_answering = EachSecond::start(folder, "answers.db", Some(&answering))?;
    sleep(SETTLING + how_long);
    let (until, until_answered) = (beside_silent.last_run()?, beside_answering.last_run()?);
    let hung = beside_silent.deliveries(until)?;
    ensure!(hung.sent == 0, "the silent receiver was told {} messages", hung.sent);
    println!("while it hung: {} messages, {} attempts, {} given up", hung.all, hung.attempts, hung.dead);

    silent.shared.hangs.store(false, Ordering::Relaxed);
    let clock = SystemClock::new();
    let answers_since = clock.monotonic();
    let told = loop {
        let told = beside_silent.deliveries(until)?;
        if told.sent + told.dead == told.all || clock.monotonic() - answers_since > ARRIVES_WITHIN {
            break told;
        }
        sleep(LOOK_EVERY);
    };
    let took = clock.monotonic() - answers_since;
    beside_silent.scheduler.stop()?;
    beside_answering.scheduler.stop()?;
    let arrived = beside_silent.arrived(until, &silent)?;
    println!(
        "once it answers: {} of {} messages have arrived after {:.1} s, {} of them tried before, {} given up",
        arrived,
        told.all,
        took.as_secs_f64(),
        told.again,
        told.dead
    );
    ensure!(told.all == hung.all, "there were {} messages, and are {}", hung.all, told.all);
    let late = beside_silent.lateness(until, how_long)?;
    let usual = beside_answering.lateness(until_answered, how_long)?;
    println!("beside the receiver that hangs:   {late}\nbeside the receiver that answers: {usual}");
    let lost = told.all - told.dead - arrived;
    let more = |percent| late.of(percent) - usual.of(percent);
    Ok(vec![
        Figure { what: "later beside a receiver that hangs, median", promised: 0.1, measured: more(50), unit: "ms" },
        Figure { what: "later beside a receiver that hangs, 99 of 100", promised: 1.0, measured: more(99), unit: "ms" },
        Figure { what: "messages lost beside it", promised: 1.0, measured: lost as f64, unit: "" },
    ])
}

/// A scheduler with a job that is due each second.
struct EachSecond {
    scheduler: Scheduler,
    ledger: PathBuf,
}

/// How messages to a receiver stand.
struct Deliveries {
    all: i64,
    sent: i64,
    dead: i64,
    again: i64,
    attempts: i64,
}

impl EachSecond {
    /// Starts it; `told` hears of each run.
    fn start(folder: &Path, ledger: &str, told: Option<&Receiver>) -> anyhow::Result<Self> {
        let jobs = folder.join("jobs");
        fs::create_dir_all(&jobs)?;
        fs::write(jobs.join("every-second.yaml"), EVERY_SECOND)?;
        let mut scheduler = Command::new(SCHEDULER);
        scheduler.current_dir(folder).args(["--ledger", ledger]).env("DAYBOOK__JOBS_DIR", &jobs);
        if let Some(receiver) = told {
            fs::write(folder.join("told.yaml"), EVERY_RUN_IS_TOLD)?;
            scheduler.args(["--config", "told.yaml"]);
            scheduler.env("DAYBOOK__NOTIFICATIONS__WEBHOOK__URL", format!("http://{}", receiver.address));
        }
        let scheduler = Scheduler(scheduler.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(Self { scheduler, ledger: folder.join(ledger) })
    }

    fn reader(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open_with_flags(&self.ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
    }

    /// The last run that has ended.
    fn last_run(&self) -> anyhow::Result<i64> {
        Ok(self.reader()?.query_row("SELECT max(run_id) FROM run WHERE state = 'done'", [], |row| row.get(0))?)
    }

    /// How late the slots were up to a run.
    fn lateness(&self, until: i64, how_long: Duration) -> anyhow::Result<Late> {
        let reader = self.reader()?;
        let mut statement = reader.prepare(SQL_LATENESS)?;
        let sorted: Vec<f64> = statement.query_map([until], |row| row.get(0))?.collect::<Result<_, _>>()?;
        ensure!(sorted.len() as u64 >= how_long.as_secs(), "{} slots in {how_long:?}", sorted.len());
        Ok(Late(sorted))
    }

    /// How the messages of runs up to one stand.
    fn deliveries(&self, until: i64) -> anyhow::Result<Deliveries> {
        Ok(self.reader()?.query_row(SQL_DELIVERIES, [until], |row| {
            Ok(Deliveries {
                all: row.get(0)?,
                sent: row.get(1)?,
                dead: row.get(2)?,
                again: row.get(3)?,
                attempts: row.get(4)?,
            })
        })?)
    }

    /// How many of them the receiver has answered, by its own word.
    fn arrived(&self, until: i64, receiver: &Receiver) -> anyhow::Result<i64> {
        let reader = self.reader()?;
        let mut statement = reader.prepare(
            "SELECT message_id FROM delivery JOIN alert USING (alert_id) WHERE channel = 'webhook' AND run_id <= ?1",
        )?;
        let ids: Vec<String> = statement.query_map([until], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let answered = receiver.shared.answered.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ids.iter().filter(|id| answered.contains(*id)).count() as i64)
    }
}

/// How late slots were, in milliseconds, in order.
struct Late(Vec<f64>);

impl Late {
    /// The value that so many of a hundred are not above.
    fn of(&self, percent: usize) -> f64 {
        self.0.get((self.0.len() - 1) * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

impl Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slots, [median, most, longest]) = (self.0.len(), [50, 99, 100].map(|percent| self.of(percent)));
        write!(f, "{slots} slots, late by {median:.3} ms (median), {most:.3} ms (99 of 100), {longest:.3} ms (at most)")
    }
}

/// Whether a receiver answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Answers,
    Hangs,
}

/// A receiver of webhooks.
struct Receiver {
    address: SocketAddr,
    shared: Arc<Received>,
}

#[derive(Default)]
struct Received {
    hangs: AtomicBool,
    /// The ids of those that were answered.
    answered: Mutex<BTreeSet<String>>,
}

impl Receiver {
    fn listen(manner: Manner) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Received { hangs: (manner == Manner::Hangs).into(), ..Received::default() });
        let answering = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = answering.clone();
                // A caller that gives up is the caller's business.
                thread::spawn(move || drop(shared.take(stream)));
            }
        });
        Ok(Self { address, shared })
    }
}

impl Received {
    /// Takes a message, and answers or waits until the caller goes away.
    fn take(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else {
                if line.trim().is_empty() {
                    break;
                }
                continue; // the request's own line
            };
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => value.clone_into(&mut id),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        stream.read_exact(&mut vec![0; length])?;
        if self.hangs.load(Ordering::Relaxed) {
            return stream.read_to_end(&mut Vec::new()).map(drop);
        }
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }
}

/// How long a killed scheduler needs, from its start, until it has decided on the risk of what it holds.
fn after_a_kill(folder: &Path) -> anyhow::Result<Figure> {
    let path = folder.join("large.db");
    let start = || -> anyhow::Result<Scheduler> {
        let mut scheduler = Command::new(SCHEDULER);
        scheduler.current_dir(folder).args(["--ledger", "large.db"]).stdin(Stdio::null()).stderr(Stdio::null());
        Ok(Scheduler(scheduler.spawn()?))
    };
    let mut made = start()?;
    sleep(SETTLING);
    made.stop()?;
    enlarge(&path)?;

    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let scheduler = start()?;
    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    while !reader.query_row(SQL_DECIDED, [], |row| row.get::<_, bool>(0))? {
        ensure!(clock.monotonic() - begun < IDLE, "no risk decision within {IDLE:?}");
        sleep(Duration::from_millis(2));
    }
    let taken = clock.monotonic() - begun;
    drop(scheduler);
    let what = "restart, 50 positions and a 1 GB ledger, to the first risk decision";
    Ok(Figure { what, promised: 1_000.0, measured: taken.as_secs_f64() * 1e3, unit: "ms" })
}

/// How long it takes from the write of a configuration until it is the version in force.
fn reload(folder: &Path) -> anyhow::Result<Figure> {
    let file = folder.join("reload.yaml");
    let write = |top: u32| fs::write(&file, format!("scan: {{top: {top}}}\n"));
    write(1)?;
    let mut scheduler = Command::new(SCHEDULER);
    scheduler.current_dir(folder).args(["--ledger", "reload.db", "--config", "reload.yaml"]);
    let mut scheduler = Scheduler(scheduler.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    sleep(SETTLING);
    let reader = Connection::open_with_flags(folder.join("reload.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut version = reader.prepare("SELECT max(config_version_id) FROM config_version")?;
    let clock = SystemClock::new();
    let mut taken = Vec::new();
    for change in 0..RELOADS {
        sleep(BETWEEN_RELOADS);
        let before: i64 = version.query_row([], |row| row.get(0))?;
        let begun = clock.monotonic();
        write(2 + change % 2)?;
        while version.query_row([], |row| row.get::<_, i64>(0))? == before {
            ensure!(clock.monotonic() - begun < IDLE, "no version within {IDLE:?}");
            sleep(Duration::from_micros(200));
        }
        taken.push((clock.monotonic() - begun).as_secs_f64() * 1e3);
    }
    scheduler.stop()?;
    taken.sort_by(f64::total_cmp);
    let measured = taken.get((taken.len() - 1) * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok(Figure { what: "a changed configuration in force, 99 of 100", promised: 20.0, measured, unit: "ms" })
}

/// Gives an account 50 positions, and its ledger a gigabyte of old records.
fn enlarge(path: &Path) -> anyhow::Result<()> {
    let symbols = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49)";
    let paper = Connection::open(path.with_extension("paper.db"))?;
    let market = SimulatedMarket::new(&SimulatedMarketSettings::default(), Calendar::xnys());
    let universe = tokio::runtime::Builder::new_current_thread().build()?.block_on(market.universe())?;
    let ledger = Connection::open(path)?;
    for known in universe.iter().take(50) {
        paper.execute("INSERT INTO position VALUES (?1, 10 * 1000000000, 5000000000)", [known.symbol.as_str()])?;
        ledger.execute(SQL_POSITION, [known.symbol.as_str()])?;
    }
    ledger.execute_batch(&format!(
        "BEGIN;
        {symbols}, m(j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM m WHERE j < 4999)
        INSERT INTO run (job, kind, slot_at_ms, trigger, state, not_before_ms, due_at_ms, decided_at_ms, finished_at_ms)
        SELECT 'old', 'reconcile', i * 5000 + j, 'schedule', 'done', 0, 0, 1, 1 FROM n, m;
        INSERT INTO run_record SELECT run_id, '{{}}', hex(zeroblob(2000)), '{{}}', '', '' FROM run WHERE job = 'old';
        COMMIT;"
    ))?;
    ensure!(fs::metadata(path)?.len() > 1_000_000_000, "the ledger has only {} bytes", fs::metadata(path)?.len());
    Ok(())
}

/// A scheduler that is not left behind.
struct Scheduler(Child);

impl Scheduler {
    /// CPU seconds so far: the nanoseconds that each thread has been on a core.
    fn cpu(&self) -> anyhow::Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let statistics = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += statistics.split_whitespace().next().context("schedstat")?.parse::<f64>()?;
        }
        Ok(nanoseconds / 1e9)
    }

    fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Asks it to stop, and waits until it has.
    fn stop(&mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").arg(self.0.id().to_string()).status()?.success(), "kill failed");
        let status = self.0.wait()?;
        ensure!(status.success(), "the scheduler ended with {status}");
        Ok(())
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
