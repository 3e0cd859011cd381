//! A follower at work: a broker that is listened to, and the ledger that what is heard goes into.

use std::sync::Arc;
use std::time::Duration;

use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::engine::broker_link::BrokerLink;
use daybook::engine::follower;
use daybook::engine::job::Sources;
use daybook::ledger::query::Cell;
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook::ports::Broker;
use daybook_core::calendar::Calendar;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::market::{ScriptedMarket, new_york};
use super::simulation::rows;

/// A follower on a ledger of its own, on Monday at ten. Its waits take no time.
pub struct Followed {
    /// What it is told goes here.
    pub ledger: Ledger,
    /// The way to the broker that jobs take.
    pub link: BrokerLink,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Followed {
    pub fn start(broker: Arc<dyn Broker>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = new_york("2026-11-16", "10:00");
        let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "follower", start);
        let ledger = Ledger::open(&folder.path().join("day.db"), &OpenOptions::create_or_open(new)).unwrap();
        let clock = Arc::new(SimulatedClock::new(start, Speed::Max));
        let link = BrokerLink::new(broker, ledger.clone(), clock.clone(), Arc::default());
        let sources = Sources {
            bars: Arc::default(),
            broker: link.clone(),
            ledger: ledger.clone(),
            feed: Arc::new(ScriptedMarket::default()),
            models: Arc::default(),
            calendar: Arc::new(Calendar::xnys()),
            clock,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(follower::run(move || (sources.clone(), Arc::default()), stop.clone()));
        Self { ledger, link, stop, task, _folder: folder }
    }

    pub fn count(&self, what: &str) -> i64 {
        match self.ledger.query(&format!("SELECT count(*) FROM {what}")).unwrap().rows[0][0] {
            Cell::Integer(count) => count,
            ref other => panic!("{other:?}"),
        }
    }

    /// Waits until so many rows are there.
    pub async fn until(&self, what: &str, count: i64) {
        let looked = async {
            while self.count(what) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looked)
            .await
            .unwrap_or_else(|_| panic!("{what}: {}; there are {:?}", self.count(what), self.alerts()));
        assert_eq!(self.count(what), count);
    }

    /// What people were told: the event, the subject and the rest.
    pub fn alerts(&self) -> Vec<String> {
        rows(&self.ledger, "SELECT event, subject, body FROM alert ORDER BY alert_id")
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}
