//! The process is thought dead, another one takes over, and the old one goes on: it changes nothing any more.
//!
//! The ledger's lock keeps that from happening on one machine. Here it is as if the lock were not one: the disk was
//! moved, or somebody removed the lock's file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::brokers::paper::Durability;
use daybook::engine::driver::Ended;
use daybook::ledger::{Ledger, LedgerError, LedgerLock, OpenOptions};
use daybook::ports::{Broker, BrokerError, Clock, FillPage};
use daybook_core::money::Price;
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Order, OrderTicket};
use daybook_core::risk::Approved;
use tempfile::TempDir;

use crate::support::process::{LEDGER, Process, at};
use crate::support::simulation::rows;

/// Has another process take the ledger.
async fn take_over(folder: &Path) {
    let path = folder.join(LEDGER);
    std::fs::remove_file(folder.join(format!("{LEDGER}.lock"))).unwrap();
    let lock = LedgerLock::acquire(&path).unwrap();
    let ledger = Ledger::open_locked(&lock, &OpenOptions::existing()).unwrap();
    ledger.take_lease(&lock, "another", at("12:00")).await.unwrap();
}

/// What happens while a process sleeps.
#[derive(Clone, Copy)]
enum Sleep {
    /// Another one takes over.
    TakenOver,
    /// Hours pass, and nobody does anything.
    Alone,
}

/// Notes what the broker is asked, and has the process sleep before one of the answers.
struct Line {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    asked: Arc<Mutex<Vec<&'static str>>>,
    /// After how many calls the process sleeps.
    sleeps_at: Option<(usize, Sleep)>,
}

impl Line {
    /// Notes a call, and how the process sleeps in it.
    fn notes(&self, call: &'static str) -> Option<Sleep> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(call);
        self.sleeps_at.filter(|(at, _)| *at == asked.len()).map(|(_, sleep)| sleep)
    }

    async fn sleeps(&self, sleep: Sleep) {
        match sleep {
            Sleep::TakenOver => take_over(&self.folder).await,
            Sleep::Alone => self.clock.sleep_until(self.clock.wall().after(Duration::from_hours(2))).await,
        }
    }

    async fn tells<T>(&self, call: &'static str, answer: impl Future<Output = T>) -> T {
        let sleep = self.notes(call);
        let answer = answer.await;
        if let Some(sleep) = sleep {
            self.sleeps(sleep).await;
        }
        answer
    }
}

#[async_trait]
impl Broker for Line {
    fn name(&self) -> &str {
        self.broker.name()
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.tells("account", self.broker.account()).await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.tells("positions", self.broker.positions()).await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.tells("open_orders", self.broker.open_orders()).await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.tells("orders_by_client_id", self.broker.orders_by_client_id(id)).await
    }

    async fn orders(&self, broker_order_ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.tells("orders", self.broker.orders(broker_order_ids)).await
    }

    /// An order during which the process sleeps does not get through: the process may want to send it again.
    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        if let Some(sleep) = self.notes("submit") {
            self.sleeps(sleep).await;
            return Err(BrokerError::Retryable { broker: self.name().to_owned(), reason: "no line".to_owned() });
        }
        self.broker.submit(ticket).await
    }

    async fn cancel(&self, broker_order_id: &str) -> Result<(), BrokerError> {
        self.tells("cancel", self.broker.cancel(broker_order_id)).await
    }

    async fn replace_stop(&self, broker_order_id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.tells("replace_stop", self.broker.replace_stop(broker_order_id, stop)).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        self.tells("fills", self.broker.fills(cursor)).await
    }
}

fn changes_something(call: &str) -> bool {
    ["submit", "cancel", "replace_stop"].contains(&call)
}

/// A day that was lived.
struct Day {
    process: Process,
    ended: Result<Ended, LedgerError>,
    asked: Vec<&'static str>,
    _folder: TempDir,
}

impl Day {
    async fn live(sleeps_at: Option<(usize, Sleep)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let asked: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let line = |broker, clock| -> Arc<dyn Broker> {
            Arc::new(Line { broker, clock, folder: folder.path().to_owned(), asked: asked.clone(), sleeps_at })
        };
        let process = Process::start(folder.path(), Durability::Kill, None, line).await;
        let ended = process.run().await;
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        Self { process, ended, asked, _folder: folder }
    }
}

#[tokio::test]
async fn a_process_that_another_took_over_from_changes_nothing_at_the_broker() {
    let whole = Day::live(None).await;
    assert_eq!(whole.ended.unwrap(), Ended::Finished);
    // It sleeps before the answer after which it would change something, once for each two calls that follow each other;
    // and in each kind of call that changes something.
    let mut sleeps = BTreeMap::new();
    for (before, calls) in whole.asked.windows(2).enumerate() {
        if changes_something(calls[1]) {
            sleeps.entry((calls[0], calls[1])).or_insert(before + 1);
            sleeps.entry((calls[1], "-")).or_insert(before + 2);
        }
    }
    for calls in [("open_orders", "cancel"), ("positions", "submit"), ("submit", "-"), ("replace_stop", "-")] {
        assert!(sleeps.contains_key(&calls), "{calls:?} does not happen: {sleeps:?}");
    }
    for (calls, at) in sleeps {
        let Day { ended, asked, .. } = Day::live(Some((at, Sleep::TakenOver))).await;
        assert!(matches!(ended, Err(LedgerError::LeaseLost { held: 1, found: 2 })), "{calls:?}: {ended:?}");
        let late: Vec<_> = asked[at..].iter().filter(|call| changes_something(call)).collect();
        assert!(late.is_empty(), "it slept in {calls:?}, and then: {late:?}");
    }
}

#[tokio::test]
async fn an_entry_is_not_sent_after_hours_of_sleep() {
    let whole = Day::live(None).await;
    let first = 1 + whole.asked.iter().position(|call| *call == "submit").unwrap();
    let day = Day::live(Some((first, Sleep::Alone))).await;
    assert_eq!(day.ended.unwrap(), Ended::Finished);
    let entry = "SELECT purpose, state FROM intent WHERE submitted_at_ms IS NOT NULL ORDER BY submitted_at_ms, intent_id LIMIT 1";
    assert_eq!(rows(whole.process.ledger(), entry), ["enter|terminal"]);
    assert_eq!(rows(day.process.ledger(), entry), ["enter|abandoned"]);
    assert_eq!(day.process.findings(), Vec::<String>::new());
}
