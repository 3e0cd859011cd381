//! A fill is in the ledger when it happens: the broker hints, and the ledger looks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::engine::broker_link::BrokerLink;
use daybook::engine::follower;
use daybook::engine::job::Sources;
use daybook::ledger::query::Cell;
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook::ports::{Broker, BrokerError, FillPage};
use daybook_core::calendar::Calendar;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Fill, Order, OrderTicket, Side};
use daybook_core::risk::Approved;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::market::{ScriptedMarket, new_york};

/// A broker that hints when it is told to, and does nothing else but show its fills.
#[derive(Default)]
struct Teller {
    fills: Mutex<Vec<Fill>>,
    hint: Notify,
    /// It can be heard; otherwise every connection comes to nothing.
    well: bool,
    /// It says no to whoever wants to listen.
    refuses: bool,
    connections: AtomicU32,
    comparisons: AtomicU32,
}

impl Teller {
    fn trades(&self, execution: &str) {
        let fill = Fill {
            execution_id: execution.to_owned(),
            broker_order_id: "order".to_owned(),
            client_order_id: "order".parse().unwrap(),
            symbol: "AAPL".parse().unwrap(),
            side: Side::Buy,
            quantity: Quantity::whole(1),
            price: Price::from_cents(10_000),
            fee: Money::ZERO,
            at: new_york("2026-11-16", "10:00"),
        };
        self.fills.lock().unwrap().push(fill);
    }
}

#[async_trait]
impl Broker for Teller {
    fn name(&self) -> &str {
        "teller"
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn orders_by_client_id(&self, _: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn orders(&self, _: &[String]) -> Result<Vec<Order>, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn submit(&self, _: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn cancel(&self, _: &str) -> Result<(), BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn replace_stop(&self, _: &str, _: Price) -> Result<Order, BrokerError> {
        unreachable!("a hint is followed by fills alone")
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        let all = self.fills.lock().unwrap();
        let from = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        Ok(FillPage { fills: all[from..].to_vec(), cursor: all.len().to_string(), more: false })
    }

    async fn listen(&self, happened: &Notify) -> Result<(), BrokerError> {
        if self.refuses {
            self.connections.fetch_add(1, Ordering::SeqCst);
            return Err(BrokerError::Rejected { broker: "teller".to_owned(), reason: "the key is refused".to_owned() });
        }
        let connections = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        // The first connection of one that is well breaks after its first hint.
        if self.well {
            happened.notify_one();
            self.hint.notified().await;
            happened.notify_one();
            if connections > 1 {
                loop {
                    self.hint.notified().await;
                    happened.notify_one();
                }
            }
        }
        Err(BrokerError::Retryable { broker: "teller".to_owned(), reason: "it hung up".to_owned() })
    }

    async fn disagreements(&self, _: &Calendar) -> Result<Vec<String>, BrokerError> {
        self.comparisons.fetch_add(1, Ordering::SeqCst);
        Ok(vec!["its clock stands still".to_owned()])
    }
}

/// A follower at work on a ledger of its own.
struct Followed {
    ledger: Ledger,
    teller: Arc<Teller>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Followed {
    fn start(teller: Teller) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = new_york("2026-11-16", "10:00");
        let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "follower", start);
        let ledger = Ledger::open(&folder.path().join("day.db"), &OpenOptions::create_or_open(new)).unwrap();
        let (teller, clock) = (Arc::new(teller), Arc::new(SimulatedClock::new(start, Speed::Max)));
        let sources = Sources {
            bars: Arc::default(),
            broker: BrokerLink::new(teller.clone(), ledger.clone(), clock.clone(), Arc::default()),
            ledger: ledger.clone(),
            feed: Arc::new(ScriptedMarket::default()),
            calendar: Arc::new(Calendar::xnys()),
            clock,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(follower::run(move || (sources.clone(), Arc::default()), stop.clone()));
        Self { ledger, teller, stop, task, _folder: folder }
    }

    fn count(&self, what: &str) -> i64 {
        match self.ledger.query(&format!("SELECT count(*) FROM {what}")).unwrap().rows[0][0] {
            Cell::Integer(count) => count,
            ref other => panic!("{other:?}"),
        }
    }

    /// Waits until so many rows are there.
    async fn until(&self, what: &str, count: i64) {
        let looked = async {
            while self.count(what) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looked)
            .await
            .unwrap_or_else(|_| panic!("{what}: {}", self.count(what)));
        assert_eq!(self.count(what), count);
    }

    async fn stop(self) -> Arc<Teller> {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.teller
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_brings_the_fill_into_the_ledger_and_so_does_a_new_connection() {
    let followed = Followed::start(Teller { well: true, ..Teller::default() });
    followed.until("v_alert WHERE event = 'broker.disagrees'", 1).await;
    for (n, execution) in ["first", "second", "third"].iter().enumerate() {
        // The first hint is the last one of its connection; the fills are taken all the same.
        followed.teller.trades(execution);
        followed.teller.hint.notify_one();
        followed.until("v_fill", i64::try_from(n).unwrap() + 1).await;
    }
    let teller = followed.stop().await;
    assert_eq!(teller.connections.load(Ordering::SeqCst), 2);
    assert_eq!(teller.comparisons.load(Ordering::SeqCst), 1, "once a day");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_once_that_there_are_no_hints() {
    let followed = Followed::start(Teller::default());
    followed.until("v_alert WHERE event = 'broker.hints_lost'", 1).await;
    let reached = followed.teller.connections.load(Ordering::SeqCst);
    let more = async {
        while followed.teller.connections.load(Ordering::SeqCst) < reached + 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), more).await.expect("it is tried again");
    assert_eq!(followed.count("v_alert"), 1);
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_once_that_the_broker_refuses() {
    let followed = Followed::start(Teller { refuses: true, ..Teller::default() });
    followed.until("v_alert WHERE event = 'broker.refuses'", 1).await;
    let more = async {
        while followed.teller.connections.load(Ordering::SeqCst) < 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), more).await.expect("it goes on trying");
    assert_eq!(followed.count("v_alert WHERE event = 'broker.refuses'"), 1);
    followed.stop().await;
}
