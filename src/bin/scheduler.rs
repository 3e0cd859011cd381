//! The long-lived process: it runs trading days until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use daybook::adapters::clocks::Speed;
use daybook::cli::exit;
use daybook::config::{self, Configuration, Environment, Watch};
use daybook::engine::driver::Ended;
use daybook::wiring::{self, Live, Simulation, Wired};
use daybook::{logging, terminal};
use daybook_core::time::SessionDate;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs trading days unattended.
///
/// Live by default: on the system's clock, with the market and the broker of the configuration (without
/// one: the simulated market and the paper broker), until it is told to stop. SIGTERM and SIGINT let what
/// is at work finish, and exit 0. A process that was killed goes on where it was when it is started again.
///
/// The files of the configuration are watched: what changes comes into force between two runs, SIGHUP reads them at
/// once. A wrong one changes nothing, and is told. What loosens a limit of risk while the market is open waits:
/// `trade config apply --confirm`.
#[derive(Debug, Parser)]
#[command(name = "scheduler", version, after_long_help = EXAMPLES)]
struct Arguments {
    /// The configuration file [default: config/daybook.yaml, if it is there]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// The profile that is laid over it: NAME of profiles/NAME.yaml beside it [default: $DAYBOOK_PROFILE]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// One key of the configuration, over all else; may be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    settings: Vec<config::Setting>,
    /// The ledger [default: from the configuration; a simulation writes one of its own]
    #[arg(long, value_name = "PATH")]
    ledger: Option<PathBuf>,
    /// Runs these sessions on a simulated clock: one date, or FROM..TO
    #[arg(long, value_name = "FROM[..TO]")]
    simulate: Option<Dates>,
    /// Simulated seconds a second, or `max`
    #[arg(long, value_name = "N|max", default_value = "max", requires = "simulate")]
    speed: Speed,
    /// The seed of the simulated market
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Minute bars to replay in place of the simulated market (CSV, .gz, .zst, Parquet, or the folder of a store)
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "simulate", conflicts_with = "seed")]
    bars: Vec<PathBuf>,
    /// Leaves out bad rows of the bars instead of refusing them
    #[arg(long, requires = "bars")]
    skip_bad: bool,
    /// Ends when the simulated sessions are over, instead of staying
    #[arg(long, requires = "simulate")]
    exit_when_done: bool,
}

const EXAMPLES: &str = "Examples:
  scheduler
      live: the simulated market, a paper account, the ledger data/ledger.db
  scheduler --simulate 2026-11-16..2026-11-20 --speed max --exit-when-done
      a week in seconds
  scheduler --simulate 2026-11-27 --speed 60
      a half day, a minute a second

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused, 4 another scheduler holds the
ledger, 5 broker or feed not reachable";

/// Threads of the loop, the monitor, the flatten and the outbox; other jobs have threads of their own.
const WORKERS: usize = 2;

/// One date or two.
#[derive(Debug, Clone, Copy)]
struct Dates {
    from: SessionDate,
    to: SessionDate,
}

impl std::str::FromStr for Dates {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let read = |text: &str| text.parse().map_err(|error: daybook_core::time::TimeError| error.to_string());
        let (from, to) = (read(from)?, read(to)?);
        if to < from {
            return Err(format!("{to} is before {from}"));
        }
        Ok(Self { from, to })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    let configuration = config::load(&sources(&arguments))?;
    logging::init(&configuration.settings.logging).map_err(|error| anyhow::anyhow!(error))?;
    for remark in &configuration.remarks {
        tracing::warn!(%remark, "configuration.remark");
    }
    let runtime = match arguments.simulate {
        // On a simulated clock one thing happens at a time.
        Some(_) => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        // Four: a job that blocks its thread keeps none of the others from running.
        None => tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?,
    };
    let outcome = runtime.block_on(run(arguments, configuration));
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: Arguments, configuration: Configuration) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let Some(dates) = arguments.simulate else {
        return live(arguments, configuration, stop).await;
    };
    let bars = match arguments.bars.as_slice() {
        [] => None,
        files => Some(Arc::new(wiring::read_history(files, arguments.skip_bad)?)),
    };
    let simulation = Simulation { from: dates.from, to: dates.to, speed: arguments.speed, bars };
    let path = wiring::simulation_ledger(&configuration, &simulation, arguments.ledger.as_deref())?;
    let wired = wiring::simulated(&configuration, &path, &simulation).await?;
    let ended = terminal::show(&wired, stop.clone()).await?;
    if ended == Ended::Stopped {
        eprintln!("stopped; the same command goes on from here");
        return Ok(());
    }
    print_outcome(&wired, dates)?;
    if !arguments.exit_when_done {
        eprintln!("done; the process stays until it is told to stop (--exit-when-done ends it here)");
        stop.cancelled().await;
    }
    Ok(())
}

/// Readings that wait for the loop: the next change waits in the files.
const READINGS_MAX: usize = 1;

/// Runs the live day. What changes in the configuration's files, or was asked for by SIGHUP, is read again beside it
/// and comes into force between two runs.
async fn live(arguments: Arguments, configuration: Configuration, stop: CancellationToken) -> anyhow::Result<()> {
    let mut asked = signal(SignalKind::hangup())?;
    let path = configuration.settings.ledger.path.clone();
    let wired = wiring::live(&configuration, &path).await?;
    tell_service_manager(sd_notify::NotifyState::Ready);
    tracing::info!(ledger = %path.display(), "scheduler.ready");
    let (read, readings) = mpsc::channel(READINGS_MAX);
    let deliver = move |reading| read.blocking_send(reading).is_ok();
    let clock = wired.parts.sources.clock.clone();
    let watch =
        Watch::start(sources(&arguments), &configuration, clock, deliver).context("watching the configuration")?;
    let live = Live { readings, on_change: Box::new(|settings| logging::set_level(&settings.logging)) };
    let run = wiring::run_live(&wired, stop, Arc::new(tell_watchdog), live);
    tokio::pin!(run);
    loop {
        tokio::select! {
            ended = &mut run => {
                ended?;
                break;
            }
            _ = asked.recv() => watch.read_again(),
        }
    }
    tell_service_manager(sd_notify::NotifyState::Stopping);
    Ok(())
}

fn sources(arguments: &Arguments) -> config::Sources {
    let mut sources = config::Sources::new(arguments.config.clone(), Environment::of_process())
        .with_profile(arguments.profile.clone())
        .with_settings(&arguments.settings);
    if let Some(seed) = arguments.seed {
        sources = sources.with_option("--seed", "market.simulated.seed", seed.to_string());
    }
    // A simulation's settings do not depend on where its ledger is.
    if let Some(ledger) = arguments.ledger.as_ref().filter(|_| arguments.simulate.is_none()) {
        sources = sources.with_option("--ledger", "ledger.path", ledger.to_string_lossy());
    }
    sources
}

fn print_outcome(wired: &Wired, dates: Dates) -> anyhow::Result<()> {
    println!("{}", terminal::summary(&wired.parts.sources.ledger, dates.from, dates.to)?);
    println!("ledger  {}", wired.parts.sources.ledger.path().display());
    for mail in wired.digests().context("listing the mails")? {
        println!("mail    {}", mail.display());
    }
    let path = wired.parts.sources.ledger.path().display();
    println!(
        "\nlook    trade status --ledger {path}\n        trade ledger query \"select * from v_day\" --ledger {path}"
    );
    Ok(())
}

/// SIGTERM and SIGINT ask for a drain; a second one ends the process at once, which is safe, too.
fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for asked in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked > 0 {
                std::process::exit(1);
            }
            tracing::info!("signal.received");
            stop.cancel();
        }
    });
    Ok(())
}

/// Tells systemd that the loop turns.
fn tell_watchdog() {
    tell_service_manager(sd_notify::NotifyState::Watchdog);
}

/// Tells systemd where the process stands; without systemd nobody listens.
fn tell_service_manager(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "service_manager.unreachable");
    }
}
