//! A life of the program in this process: the real engine, ledger and paper broker on a simulated clock, with what a
//! test wants between them.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use daybook::adapters::brokers::paper::{Durability, PaperBroker};
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::adapters::feeds::simulated::SimulatedMarket;
use daybook::config::{self, Configuration, Environment, Sources as ConfigSources};
use daybook::engine::audit::audit_ledger;
use daybook::engine::broker_link::BrokerLink;
use daybook::engine::bus::Bus;
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::engine::job::Sources;
use daybook::engine::supervisor::Failures;
use daybook::engine::{Execution, Parts};
use daybook::jobs;
use daybook::ledger::settings::{self, NewConfigVersion};
use daybook::ledger::{Gate, Ledger, LedgerError, LedgerKind, LedgerLock, NewLedger, OpenOptions, meta};
use daybook::outbox::{Outbox, Policy};
use daybook::ports::{Broker, Clock};
use daybook_core::schedule::JobDefinition;
use daybook_core::time::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::market::new_york;
use crate::repository;

/// The ledger's file in the folder of a life.
pub const LEDGER: &str = "day.db";

static CONFIGURATION: LazyLock<Configuration> = LazyLock::new(|| {
    let file = repository::root().join("tests/it/support/busy_day.yaml");
    let jobs = repository::root().join("jobs").display().to_string();
    config::load(&ConfigSources::new(Some(file), Environment::default()).with_option("--jobs", "jobs_dir", jobs))
        .unwrap()
});

/// One market for all lives: it keeps what it has made up.
static MARKET: LazyLock<Arc<SimulatedMarket>> = LazyLock::new(|| {
    let settings = &CONFIGURATION.settings;
    Arc::new(SimulatedMarket::new(&settings.market.simulated, settings.calendar()))
});

/// An instant of the day that is lived, in New York.
pub fn at(wall: &str) -> Timestamp {
    new_york("2026-11-16", wall)
}

/// A process that has started, and not booted yet.
pub struct Process {
    parts: Parts,
    _lock: LedgerLock,
}

impl Process {
    /// Starts a process on the live ledger and the account in `folder`, or makes them. It goes on where the ledger's
    /// clock stands. `between` stands before the broker, `gate` before the ledger.
    pub async fn start(
        folder: &Path,
        account: Durability,
        gate: Option<Arc<dyn Gate>>,
        between: impl FnOnce(Arc<dyn Broker>, Arc<dyn Clock>) -> Arc<dyn Broker>,
    ) -> Self {
        let settings = Arc::new(CONFIGURATION.settings.clone());
        let path = folder.join(LEDGER);
        let new = NewLedger {
            ledger_id: "0da1b00c".to_owned(),
            kind: LedgerKind::Live,
            account: settings.account.name.clone(),
            arguments: None,
            created_at: at("00:00"),
        };
        let lock = LedgerLock::acquire(&path).unwrap();
        let opened = Ledger::open_locked(&lock, &OpenOptions::create_or_open(new).in_turn_if(true)).unwrap();
        let reached = opened.read(meta::simulated_now).unwrap().unwrap_or_else(|| at("00:00"));
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(reached, Speed::Max));
        let behind = match gate {
            Some(gate) => opened.behind(gate),
            None => opened,
        };
        let ledger = behind.take_lease(&lock, "a test", reached).await.unwrap();
        let config_hash = CONFIGURATION.version.hash.clone();
        let version = NewConfigVersion {
            hash: config_hash.clone(),
            body: CONFIGURATION.version.body.clone(),
            origin: "a test".to_owned(),
            note: None,
            scripts: Vec::new(),
        };
        ledger.write(move |tx| settings::record(tx, &version, reached)).await.unwrap();
        let (feed, calendar) = (MARKET.clone(), settings.calendar());
        let paper = account_in(&folder.join("broker.db"), account, clock.clone());
        let broker = between(Arc::new(paper), clock.clone());
        let parts = Parts {
            ledger_id: ledger.meta().ledger_id.as_str().into(),
            epoch: ledger.epoch().unwrap(),
            outbox: Arc::new(Outbox::new(ledger.clone(), clock.clone(), Vec::new(), Policy::default())),
            sources: Sources {
                bars: Arc::default(),
                broker: BrokerLink::new(broker, ledger.clone(), clock.clone(), Arc::default()),
                ledger,
                feed,
                models: Arc::default(),
                calendar: Arc::new(calendar),
                clock,
            },
            settings,
            config_hash: config_hash.into(),
            definitions: jobs_in_force(),
            claimed: jobs_in_force(),
            jobs: Arc::new(jobs::table()),
            routes: Arc::default(),
            backups: folder.join("backups").into(),
            bus: Bus::default(),
            failures: Failures::default(),
            crash_attempts_max: None,
            execution: Execution::InTurn,
            simulated: true,
        };
        Self { parts, _lock: lock }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.parts.sources.ledger
    }

    /// Lives the day to its end.
    pub async fn run(&self) -> Result<Ended, LedgerError> {
        let limits = Limits {
            stop: CancellationToken::new(),
            until: Some(new_york("2026-11-17", "00:00")),
            drain: Duration::from_secs(1),
            on_turn: Arc::new(|| {}),
            jobs: None,
            stuck_after: Duration::from_secs(1),
        };
        let mut driver = Driver::new(Arc::new(self.parts.clone()), limits, Arc::new(Notify::new()));
        driver.boot().await?;
        driver.run().await
    }

    /// What the file and the rows of the ledger hold against the promises, as `trade ledger check` tells it.
    pub fn findings(&self) -> Vec<String> {
        let Sources { ledger, calendar, clock, .. } = &self.parts.sources;
        audit_ledger(ledger, &self.parts.definitions, calendar, clock.wall()).unwrap().findings()
    }
}

/// The account in a file, at a broker who sees the market of that day.
pub fn account_in(file: &Path, durability: Durability, clock: Arc<dyn Clock>) -> PaperBroker {
    let settings = &CONFIGURATION.settings;
    let exchange = settings.execution.paper.clone();
    PaperBroker::open(file, durability, exchange, MARKET.clone(), clock, settings.calendar()).unwrap()
}

fn jobs_in_force() -> Arc<[JobDefinition]> {
    CONFIGURATION.jobs.iter().cloned().chain([JobDefinition::operator()]).collect()
}
