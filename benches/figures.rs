//! The figures that the README states, measured on the real programs:
//! `cargo bench --bench figures -- [--lateness SECONDS]`.
//!
//! CPU time and resident memory come from Linux's /proc, so that another load on the machine matters
//! little; lateness comes from the ledger, where every run has its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use daybook::adapters::clocks::SystemClock;
use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
use daybook::ports::{Clock, MarketFeed};
use daybook_core::calendar::Calendar;
use rusqlite::{Connection, OpenFlags};

const SCHEDULER: &str = env!("CARGO_BIN_EXE_scheduler");
const TRADE: &str = env!("CARGO_BIN_EXE_trade");

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

fn measure() -> anyhow::Result<Vec<Figure>> {
    let lateness_for = lateness_argument()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
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
    figures.extend(idle(folder)?);
    figures.push(after_a_kill(folder)?);
    figures.push(reload(folder)?);
    figures.extend(lateness(folder, lateness_for)?);
    figures.extend(lateness_beside_silence(folder, lateness_for)?);
    Ok(figures)
}

/// How long the slots of a second run, from the command line; cargo adds `--bench` of its own.
fn lateness_argument() -> anyhow::Result<Duration> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(LATENESS),
        ["--lateness", seconds] => Ok(Duration::from_secs(seconds.parse().context("--lateness takes seconds")?)),
        _ => bail!("expected --lateness SECONDS, found {arguments:?}"),
    }
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
fn idle(folder: &Path) -> anyhow::Result<[Figure; 3]> {
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
    Ok([
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
fn lateness(folder: &Path, how_long: Duration) -> anyhow::Result<[Figure; 2]> {
    let [median, most] = lateness_beside(folder, "late.db", &[], how_long)?;
    Ok([
        Figure { what: "lateness of one-second slots, median", promised: 1.0, measured: median, unit: "ms" },
        Figure { what: "lateness of one-second slots, 99 of 100", promised: 5.0, measured: most, unit: "ms" },
    ])
}

/// The same, told to a receiver that takes each message and never answers.
fn lateness_beside_silence(folder: &Path, how_long: Duration) -> anyhow::Result<[Figure; 2]> {
    let receiver = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", receiver.local_addr()?);
    thread::spawn(move || {
        let mut taken: Vec<TcpStream> = Vec::new();
        taken.extend(receiver.incoming().flatten());
    });
    fs::write(folder.join("silence.yaml"), EVERY_RUN_IS_TOLD)?;
    let to_receiver = format!("notifications.webhook.url={url}");
    let told = ["--config", "silence.yaml", "--setting", to_receiver.as_str()];
    let [median, most] = lateness_beside(folder, "silence.db", &told, how_long)?;
    let ledger = Connection::open_with_flags(folder.join("silence.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let (waiting, others): (i64, i64) = ledger.query_row(
        "SELECT count(*) FILTER (WHERE state <> 'sent'), count(*) FILTER (WHERE state = 'sent') FROM delivery
            WHERE channel = 'webhook'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    ensure!(waiting > 0 && others == 0, "{waiting} messages wait for the receiver, and {others} were taken");
    Ok([
        Figure { what: "the same beside a receiver that hangs, median", promised: 1.0, measured: median, unit: "ms" },
        Figure { what: "the same beside a receiver that hangs, 99 of 100", promised: 5.0, measured: most, unit: "ms" },
    ])
}

/// The median and the value that 99 of 100 are not above, in milliseconds.
fn lateness_beside(folder: &Path, ledger: &str, arguments: &[&str], how_long: Duration) -> anyhow::Result<[f64; 2]> {
    let jobs = folder.join("jobs");
    fs::create_dir_all(&jobs)?;
    fs::write(jobs.join("every-second.yaml"), EVERY_SECOND)?;
    let mut scheduler = Command::new(SCHEDULER);
    scheduler.current_dir(folder).args(["--ledger", ledger]).env("DAYBOOK__JOBS_DIR", &jobs);
    scheduler.args(arguments);
    let mut scheduler = Scheduler(scheduler.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    sleep(SETTLING + how_long);
    scheduler.stop()?;
    let sql = "SELECT lateness_ms FROM v_run WHERE job = 'every-second' AND state = 'done' AND trigger = 'schedule' ORDER BY 1";
    let answer = Command::new(TRADE)
        .current_dir(folder)
        .args(["ledger", "query", sql, "--ledger", ledger, "--format", "csv"])
        .output()?;
    ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let answer = String::from_utf8(answer.stdout)?;
    let sorted: Vec<f64> = answer.lines().skip(1).map(str::parse).collect::<Result<_, _>>().context("lateness")?;
    ensure!(sorted.len() as u64 >= how_long.as_secs(), "{} slots in {how_long:?}", sorted.len());
    let quantile = |percent: usize| sorted.get((sorted.len() - 1) * percent / 100).copied().unwrap_or(f64::NAN);
    Ok([quantile(50), quantile(99)])
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
