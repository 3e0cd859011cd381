//! A world whose clock and broker outlive the ledger, and the processes that work on it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use daybook::adapters::brokers::paper::{Durability, PaperBroker};
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::adapters::faulty::{BrokerFault, FaultyBroker, Spell, Struck};
use daybook::adapters::feeds::simulated::SimulatedMarket;
use daybook::config::Configuration;
use daybook::engine::commands::Command;
use daybook::engine::driver::Ended;
use daybook::jobs;
use daybook::ledger::{Gate, LedgerError, command};
use daybook::ports::{Broker, Channel, ChannelError, Clock, Message};
use daybook::wiring::{self, Wired, World};
use daybook_core::order::Order;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::market::new_york;
use super::simulation::{configuration, open};

/// The session that the world lives.
pub const MONDAY: &str = "2026-11-16";

/// What is outside of the process on a Monday.
pub struct Outside {
    pub ledger: PathBuf,
    pub broker: Arc<PaperBroker>,
    pub clock: Arc<SimulatedClock>,
    configuration: Configuration,
    spells: Vec<Spell<BrokerFault>>,
    _folder: TempDir,
}

struct Open;

#[async_trait]
impl Gate for Open {
    async fn enter(&self) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn leave(&self) {}
}

struct Nobody;

#[async_trait]
impl Channel for Nobody {
    fn name(&self) -> &str {
        "nobody"
    }
    async fn deliver(&self, _message: &Message) -> Result<String, ChannelError> {
        Ok("heard".to_owned())
    }
}

impl Outside {
    /// A world in which nothing is at fault.
    pub fn new() -> Self {
        Self::with(vec![])
    }

    /// A world whose broker is at fault during these spells.
    pub fn with(spells: Vec<Spell<BrokerFault>>) -> Self {
        Self { spells, ..Self::configured(configuration(&[])) }
    }

    /// A world in which nothing is at fault, and a process that begins under this configuration.
    pub fn configured(configuration: Configuration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("day.db");
        let clock = Arc::new(SimulatedClock::new(new_york(MONDAY, "00:00"), Speed::Max));
        let settings = &configuration.settings;
        let paper = PaperBroker::open(
            &folder.path().join("broker.db"),
            Durability::Kill,
            settings.execution.paper.clone(),
            Arc::new(SimulatedMarket::new(&settings.market.simulated, settings.calendar())),
            clock.clone(),
            settings.calendar(),
        );
        let broker = Arc::new(paper.unwrap());
        Self { ledger, clock, broker, configuration, spells: Vec::new(), _folder: folder }
    }

    /// A process takes up the ledger, and works on it until an instant.
    pub async fn live_until(&self, wall: &str) {
        let broker = FaultyBroker::new(self.broker.clone(), self.clock.clone(), self.spells.clone(), Struck::default());
        let wired = self.process(Arc::new(broker), self.clock.clone(), wall).await;
        let ended = wiring::run(&wired, CancellationToken::new(), Arc::new(|| {})).await.unwrap();
        assert_eq!(ended, Ended::Finished);
    }

    /// A process that has taken up the ledger, and sees the broker and the clock as it is given them.
    pub async fn process(&self, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>, until: &str) -> Wired {
        let settings = &self.configuration.settings;
        let world = World {
            clock,
            feed: Arc::new(SimulatedMarket::new(&settings.market.simulated, settings.calendar())),
            broker,
            channel: Arc::new(Nobody),
            jobs: Arc::new(jobs::table()),
            gate: Arc::new(Open),
            began: new_york(MONDAY, "00:00"),
            until: new_york(MONDAY, until),
            name: "outside".to_owned(),
        };
        wiring::in_world(&self.configuration, &self.ledger, world).await.unwrap()
    }

    /// The orders that were sent, without their legs.
    pub async fn sent(&self) -> Vec<Order> {
        self.broker.record().await.unwrap().into_iter().filter(|order| order.parent.is_none()).collect()
    }

    /// Leaves a person's command in the ledger.
    pub fn ask(&self, asked: Command) {
        let (ledger, now) = (open(&self.ledger), self.clock.wall());
        let new = asked.into_new("test").unwrap();
        ledger.write_blocking(move |tx| command::enqueue(tx, &new, now)).unwrap();
    }
}
