//! Puts the parts together: which ledger, which market, which broker, which channels.
//!
//! The binaries call this module; nothing else names a concrete adapter.

mod api;
mod channels;
mod chat;
mod dead_man;
mod drive;
mod errand;
mod models;
mod paper_account;
mod reload;
mod simulation;

pub use channels::outbox;
pub use drive::{run, run_live};
pub use errand::{Errand, once};
pub use models::models;
pub use reload::Live;
pub use simulation::{Simulation, latest_simulation, simulation_ledger};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use daybook_core::calendar::Calendar;
use daybook_core::schedule::JobDefinition;
use daybook_core::time::{SessionDate, Timestamp};

use self::simulation::{bounds, reached};
use crate::adapters::brokers::alpaca::{AlpacaBroker, SteppedBroker};
#[cfg(feature = "ibkr")]
use crate::adapters::brokers::ibkr::IbkrBroker;
use crate::adapters::clocks::{SimulatedClock, SystemClock};
use crate::adapters::feeds::alpaca::AlpacaFeed;
use crate::adapters::feeds::files::{BadRow, BarsFeed, ColumnSeries, Conflict, History, read_columns};
use crate::adapters::feeds::simulated::SimulatedMarket;
use crate::config::{BrokerKind, Configuration, FeedKind, Settings, changes};
use crate::engine::broker_link::BrokerLink;
use crate::engine::bus::Bus;
use crate::engine::job::Sources;
use crate::engine::models::Models;
use crate::engine::reload::{self as configurations, Standing};
use crate::engine::supervisor::Failures;
use crate::engine::{Execution, JobTable, Parts};
use crate::ledger::alert::{Route, Routes};
use crate::ledger::run::CRASH_ATTEMPTS_MAX;
use crate::ledger::settings as versions;
use crate::ledger::{Gate, Ledger, LedgerError, LedgerKind, LedgerLock, NewLedger, OpenOptions, Transaction, resolved};
use crate::outbox::Outbox;
use crate::ports::{Broker, Channel, Clock, MarketFeed};

/// The ledger's lock and everything that works under it. Dropping it lets another process in.
pub struct Wired {
    /// What the engine is made of.
    pub parts: Arc<Parts>,
    /// The instant at which a simulation ends.
    pub until: Option<Timestamp>,
    /// The folder that every mail is also written to.
    pub mails: PathBuf,
    /// The configuration that it starts under, and what of it waits.
    pub standing: Standing,
    _lock: LedgerLock,
}

impl Wired {
    /// The mails of ended sessions, in the order of their names.
    ///
    /// # Errors
    /// If their folder cannot be read.
    pub fn digests(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut digests: Vec<PathBuf> = match std::fs::read_dir(&self.mails) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        digests.retain(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-daily")));
        digests.sort();
        Ok(digests)
    }
}

/// What one kind of process differs in from another.
struct Ground {
    new: NewLedger,
    clock: Arc<dyn Clock>,
    calendar: Calendar,
    feed: Arc<dyn MarketFeed>,
    models: Models,
    /// The folder that every mail is also written to.
    mails: PathBuf,
    definitions: Vec<JobDefinition>,
    /// The jobs whose runs are claimed; [`Parts::claimed`].
    claimed: Vec<JobDefinition>,
    /// How long another holder of the ledger is waited for.
    patience: Duration,
    execution: Execution,
    /// [`Parts::crash_attempts_max`].
    crash_attempts_max: Option<u32>,
    /// The end of a simulation.
    until: Option<Timestamp>,
    /// What stands in the place of the paper broker, the configured channels, the built-in jobs.
    instead: Instead,
}

/// Parts of a made-up world that stand in the place of those that the configuration names.
#[derive(Default)]
struct Instead {
    broker: Option<Arc<dyn Broker>>,
    channel: Option<Arc<dyn Channel>>,
    jobs: Option<Arc<JobTable>>,
    gate: Option<Arc<dyn Gate>>,
}

/// A world around a process, which goes on when the process ends: a clock, a market, an account, somebody who is
/// told. What is in it may be at fault.
#[derive(Clone)]
pub struct World {
    /// What the process takes for the time.
    pub clock: Arc<dyn Clock>,
    /// What it takes for the market.
    pub feed: Arc<dyn MarketFeed>,
    /// Who holds its account.
    pub broker: Arc<dyn Broker>,
    /// Who is told.
    pub channel: Arc<dyn Channel>,
    /// What its jobs do.
    pub jobs: Arc<JobTable>,
    /// What stands around its commits.
    pub gate: Arc<dyn Gate>,
    /// When it began: a new ledger is made as of then.
    pub began: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// What tells this world from others.
    pub name: String,
}

/// The jobs of a process that runs them all.
fn all_jobs(configuration: &Configuration) -> Vec<JobDefinition> {
    configuration.jobs.iter().cloned().chain([JobDefinition::operator()]).collect()
}

/// Wires a process on the system's clock: the configured feed, the paper broker, the configured channels.
///
/// # Errors
/// If the ledger is held by another process or unusable, or a part cannot be built.
pub async fn live(configuration: &Configuration, path: &Path) -> anyhow::Result<Wired> {
    let path = &resolved(path);
    let ground = live_ground(configuration)?;
    wire(configuration, path, ground).await
}

fn live_ground(configuration: &Configuration) -> anyhow::Result<Ground> {
    let settings = &configuration.settings;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let calendar = settings.calendar();
    Ok(Ground {
        new: NewLedger::live(&settings.account.name, clock.wall())?,
        feed: configured_feed(settings, &calendar, &clock)?,
        models: models(&settings.models, &clock),
        clock,
        calendar,
        mails: settings.notifications.folder.clone(),
        claimed: all_jobs(configuration),
        definitions: all_jobs(configuration),
        patience: Duration::ZERO,
        execution: Execution::Concurrent,
        crash_attempts_max: Some(CRASH_ATTEMPTS_MAX),
        until: None,
        instead: Instead::default(),
    })
}

/// Wires sessions on the simulated clock.
///
/// # Errors
/// As [`live`]; [`WiringError::AlreadyDone`] if the ledger holds these sessions; also if it holds another simulation.
pub async fn simulated(configuration: &Configuration, path: &Path, simulation: &Simulation) -> anyhow::Result<Wired> {
    let path = &resolved(path);
    let settings = &configuration.settings;
    let calendar = settings.calendar();
    let (start, until) = bounds(&calendar, simulation)?;
    let arguments = simulation.arguments(settings);
    let kind = if simulation.bars.is_some() { LedgerKind::Replay } else { LedgerKind::Simulation };
    let reached = reached(path, &arguments)?;
    if reached.is_some_and(|reached| reached >= until) {
        return Err(WiringError::AlreadyDone { path: path.to_owned(), from: simulation.from, to: simulation.to }.into());
    }
    let feed: Arc<dyn MarketFeed> = match &simulation.bars {
        Some(history) => {
            Arc::new(BarsFeed::new(history.clone(), calendar.clone(), settings.market.files.quotes.clone()))
        }
        None => Arc::new(SimulatedMarket::new(&settings.market.simulated, calendar.clone())),
    };
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(reached.unwrap_or(start), simulation.speed));
    let ground = Ground {
        new: NewLedger::simulated(kind, &settings.account.name, &arguments, start),
        models: models::of_simulation(settings, simulation, path, &clock)?,
        clock,
        calendar,
        feed,
        mails: path.with_extension("mail"),
        claimed: all_jobs(configuration),
        definitions: all_jobs(configuration),
        patience: Duration::ZERO,
        execution: Execution::InTurn,
        crash_attempts_max: None,
        until: Some(until),
        instead: Instead::default(),
    };
    wire(configuration, path, ground).await
}

/// Wires a process that lives in a made-up world. The same ledger in the same world goes on.
///
/// # Errors
/// As [`live`].
pub async fn in_world(configuration: &Configuration, path: &Path, world: World) -> anyhow::Result<Wired> {
    let path = &resolved(path);
    let settings = &configuration.settings;
    let World { clock, feed, broker, channel, jobs, gate, began, until, name } = world;
    let instead = Instead { broker: Some(broker), channel: Some(channel), jobs: Some(jobs), gate: Some(gate) };
    let ground = Ground {
        new: NewLedger::simulated(LedgerKind::Simulation, &settings.account.name, &name, began),
        clock,
        calendar: settings.calendar(),
        feed,
        models: Models::default(), // nobody of the real one
        mails: path.with_extension("mail"),
        claimed: all_jobs(configuration),
        definitions: all_jobs(configuration),
        patience: Duration::ZERO,
        execution: Execution::InTurn,
        crash_attempts_max: Some(CRASH_ATTEMPTS_MAX),
        until: Some(until),
        instead,
    };
    wire(configuration, path, ground).await
}

/// How often a lock is looked at that another process holds.
const LOCK_LOOKS: Duration = Duration::from_millis(50);

/// Takes the ledger's lock, and waits so long for another process that holds it.
async fn lock(path: &Path, patience: Duration, clock: &dyn Clock) -> Result<LedgerLock, LedgerError> {
    let until = clock.wall().after(patience);
    loop {
        match LedgerLock::acquire(path) {
            Err(LedgerError::AlreadyHeld { .. }) if clock.wall() < until => {
                clock.sleep_until(clock.wall().after(LOCK_LOOKS)).await;
            }
            taken => return taken,
        }
    }
}

/// Why a process cannot do what it was started for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// The named ledger holds the simulation already, finished.
    #[error(
        "{} holds the sessions {from} to {to} already, finished: name another file with --ledger to run them again",
        path.display()
    )]
    AlreadyDone { path: PathBuf, from: SessionDate, to: SessionDate },
    /// The named ledger holds other days, or the same of another market.
    #[error("{} holds another simulation ({held}): name another file with --ledger", path.display())]
    OtherSimulation { path: PathBuf, held: String },
    /// A date is beyond the calendar.
    #[error("{date} is outside {first} to {last}, which the calendar {calendar} knows")]
    UnknownDate { date: SessionDate, calendar: String, first: SessionDate, last: SessionDate },
    /// There is nothing to run.
    #[error("{from} to {to} holds no session of {calendar}{why}: the next one is {next}")]
    NoSession { from: SessionDate, to: SessionDate, calendar: String, why: String, next: String },
    /// Rows of a file of bars make no sense.
    #[error("{} has {bad} bad rows of {rows}: mend them, or leave them out with --skip-bad\n{first}", path.display())]
    BadRows { path: PathBuf, bad: u64, rows: u64, first: String },
    /// Files of bars contradict one another.
    #[error("{} {conflict}", path.display())]
    Conflict { path: PathBuf, conflict: Conflict },
    /// The ledger knows of orders, and the paper account that took them is gone.
    #[error(
        "the paper account {} is not there, and the ledger {} has traded on it: put the file back beside the ledger, or name \
         another ledger with --ledger",
        file.display(),
        ledger.display()
    )]
    NoPaperAccount { ledger: PathBuf, file: PathBuf },
    /// Another ledger has traded on the paper account.
    #[error(
        "the paper account {} is not that of the ledger {}: it has taken the order {order}. Move the file away, or name \
         another ledger with --ledger",
        file.display(),
        ledger.display()
    )]
    OthersPaperAccount { ledger: PathBuf, file: PathBuf, order: String },
    /// A command was not carried out, and why.
    #[error("refused: {0}")]
    Refused(String),
}

/// The market's data, as the configuration has it.
///
/// # Errors
/// If files of bars cannot be used, or the feed has no key.
pub fn configured_feed(
    settings: &Settings,
    calendar: &Calendar,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn MarketFeed>> {
    Ok(match settings.market.feed {
        FeedKind::Simulated => Arc::new(SimulatedMarket::new(&settings.market.simulated, calendar.clone())),
        FeedKind::Files => {
            let files = &settings.market.files;
            let history = read_history(&files.bars, files.skip_bad)?;
            Arc::new(BarsFeed::new(Arc::new(history), calendar.clone(), files.quotes.clone()))
        }
        FeedKind::Alpaca => {
            let feed = AlpacaFeed::new(&settings.alpaca, calendar.clone(), clock.clone());
            Arc::new(feed.context("market.feed is alpaca")?)
        }
    })
}

async fn wire(configuration: &Configuration, path: &Path, ground: Ground) -> anyhow::Result<Wired> {
    let Ground {
        new,
        clock,
        calendar,
        feed,
        models,
        mails,
        definitions,
        claimed,
        patience,
        execution,
        crash_attempts_max,
        until,
        instead,
    } = ground;
    crash_point!("boot");
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    }
    let simulated = new.kind != LedgerKind::Live;
    crash_point!("lock.before");
    let lock = lock(path, patience, clock.as_ref()).await?;
    crash_point!("lock.after");
    let options = OpenOptions::create_or_open(new).in_turn_if(execution == Execution::InTurn);
    let mut ledger = Ledger::open_locked(&lock, &options)?;
    if let Some(gate) = instead.gate {
        ledger = ledger.behind(gate);
    }
    let holder = format!("pid {}", std::process::id());
    let ledger = ledger.take_lease(&lock, &holder, clock.wall()).await?;
    let epoch = ledger.epoch().unwrap_or_default();
    let now = clock.wall();
    let (channels, routes) = match &instead.channel {
        Some(channel) => (vec![channel.clone()], Routes::from([Route::every(channel.name())])),
        None => channels::configured(&configuration.settings, &calendar, &mails, simulated, &clock)?,
    };
    let routes = Arc::new(routes);
    let (read, sessions, told) = (configuration.clone(), calendar.clone(), routes.clone());
    // In a made-up world the settings are those that it was made with: nobody changes them between two lives.
    let standing = match simulated {
        true => Standing { in_force: ledger.write(move |tx| start_simulated(tx, read, now)).await?, waits: None },
        false => ledger.write(move |tx| configurations::start(tx, read, &sessions, &told, now)).await??,
    };
    let settings = Arc::new(standing.in_force.settings.clone());

    let elsewhere = instead.broker;
    #[cfg(feature = "crash-points")]
    let elsewhere = elsewhere.or(crate::adapters::brokers::remote::RemoteBroker::of_environment(&clock).await?);
    let broker: Arc<dyn Broker> = match (elsewhere, settings.execution.broker) {
        (Some(broker), _) => broker,
        (None, BrokerKind::Alpaca) if !simulated => {
            let broker = AlpacaBroker::new(&settings.alpaca, clock.clone());
            Arc::new(broker.context("execution.broker is alpaca")?)
        }
        // A simulation sends no order over a network; an exchange on this machine goes through its time with it.
        (None, BrokerKind::Alpaca) if settings.alpaca.is_on_this_machine() => {
            let broker = SteppedBroker::new(&settings.alpaca, clock.clone());
            Arc::new(broker.context("execution.broker is alpaca")?)
        }
        (None, BrokerKind::Ibkr) if !simulated => ibkr(&settings, &clock)?,
        (None, BrokerKind::Paper | BrokerKind::Alpaca | BrokerKind::Ibkr) => {
            let exchange = settings.execution.paper.clone();
            Arc::new(paper_account::open(&ledger, exchange, feed.clone(), clock.clone(), calendar.clone()).await?)
        }
    };
    let broker = BrokerLink::new(broker, ledger.clone(), clock.clone(), routes.clone());
    let outbox = Arc::new(Outbox::new(ledger.clone(), clock.clone(), channels, channels::policy(&settings, &routes)));
    let backups = if simulated { path.with_extension("backups") } else { settings.backup_folder() };
    let parts = Parts {
        ledger_id: ledger.meta().ledger_id.as_str().into(),
        sources: Sources {
            ledger,
            broker,
            bars: Arc::default(),
            feed,
            models: Arc::new(models),
            calendar: Arc::new(calendar),
            clock,
        },
        backups: backups.into(),
        config_hash: standing.in_force.version.hash.as_str().into(),
        settings,
        definitions: definitions.into(),
        claimed: claimed.into(),
        jobs: instead.jobs.unwrap_or_else(|| Arc::new(crate::jobs::table())),
        epoch,
        routes,
        outbox,
        bus: Bus::default(),
        failures: Failures::default(),
        crash_attempts_max,
        execution,
        simulated,
    };
    Ok(Wired { parts: Arc::new(parts), until, mails, standing, _lock: lock })
}

/// The account at Interactive Brokers.
#[cfg(feature = "ibkr")]
fn ibkr(settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Broker>> {
    Ok(Arc::new(IbkrBroker::new(&settings.ibkr, clock.clone()).context("execution.broker is ibkr")?))
}

/// The settings say so, too; [`crate::adapters::brokers::ibkr::IbkrSettings::problems`].
#[cfg(not(feature = "ibkr"))]
fn ibkr(_: &Settings, _: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Broker>> {
    anyhow::bail!("execution.broker is ibkr, and this program was built without the feature ibkr")
}

/// Bad rows that are named one by one.
const BAD_ROWS_TOLD: usize = 20;

/// Reads minute bars from files.
///
/// # Errors
/// If a file cannot be read, or holds bad rows that are not to be skipped: all of them are named.
pub fn read_history(files: &[PathBuf], skip_bad: bool) -> anyhow::Result<History> {
    let mut history = History::<ColumnSeries>::default();
    for path in files {
        let file = read_columns(path, None)?;
        if file.bad_row_count > 0 {
            let named = |row: &BadRow| format!("{}:{}: {}", path.display(), row.line, row.fault);
            let told: Vec<String> = file.bad_rows.iter().take(BAD_ROWS_TOLD).map(named).collect();
            if !skip_bad {
                let (bad, rows) = (file.bad_row_count, file.rows);
                let first = told.join("\n");
                return Err(WiringError::BadRows { path: path.clone(), bad, rows, first }.into());
            }
            for row in told {
                tracing::warn!(%row, "row.skipped");
            }
        }
        history
            .add(file.series, file.actions)
            .map_err(|conflict| WiringError::Conflict { path: path.clone(), conflict })?;
    }
    Ok(history.into_bars())
}

/// What a simulation cannot go on with where it changes: its market, its sessions, its account.
const WORLD: [&str; 3] = ["market.", "exchange_calendar", "account."];

/// Records the settings of a made-up world.
fn start_simulated(tx: &Transaction<'_>, read: Configuration, now: Timestamp) -> Result<Configuration, LedgerError> {
    let version = configurations::version_of(&read);
    if let Some(before) = versions::latest(tx)? {
        let changed = changes(&before.body, &version.body)?;
        if let Some(change) = changed.iter().find(|change| WORLD.iter().any(|section| change.key.starts_with(section)))
        {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            return Err(LedgerError::Refused {
                what: "simulation",
                key: change.key.clone(),
                reason: format!(
                    "it began with {} and would go on with {}: the world of a simulation stays as it is. Give it back its value, or \
                     name another file with --ledger",
                    shown(&change.from),
                    shown(&change.to)
                ),
            });
        }
    }
    versions::record(tx, &version, now)?;
    Ok(read)
}
