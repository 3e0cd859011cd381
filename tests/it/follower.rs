//! A fill is in the ledger when it happens: the broker hints, and the ledger looks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::ports::{Broker, BrokerError, FillPage};
use daybook_core::calendar::Calendar;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{Account, BrokerPosition, ClientOrderId, Fill, Order, OrderTicket, Side};
use daybook_core::risk::Approved;
use tokio::sync::Notify;

use crate::support::followed::Followed;
use crate::support::market::new_york;

/// A broker that hints when it is told to, and does nothing else but show its fills.
#[derive(Default)]
struct Teller {
    fills: Mutex<Vec<Fill>>,
    hint: Notify,
    /// It can be heard; otherwise every connection comes to nothing.
    well: bool,
    /// It says no to whoever wants to listen.
    refuses: bool,
    /// It does not answer at all.
    is_away: bool,
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
        if self.is_away {
            return Err(BrokerError::Retryable { broker: "teller".to_owned(), reason: "nobody is there".to_owned() });
        }
        Ok(Account {
            account_id: "teller".to_owned(),
            cash: Money::ZERO,
            equity: Money::ZERO,
            last_equity: Money::ZERO,
            buying_power: Money::ZERO,
            blocked: false,
        })
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_brings_the_fill_into_the_ledger_and_so_does_a_new_connection() {
    let teller = Arc::new(Teller { well: true, ..Teller::default() });
    let followed = Followed::start(teller.clone());
    followed.until("v_alert WHERE event = 'broker.disagrees'", 1).await;
    for (n, execution) in ["first", "second", "third"].iter().enumerate() {
        // The first hint is the last one of its connection; the fills are taken all the same.
        teller.trades(execution);
        teller.hint.notify_one();
        followed.until("v_fill", i64::try_from(n).unwrap() + 1).await;
    }
    followed.stop().await;
    assert_eq!(teller.connections.load(Ordering::SeqCst), 2);
    assert_eq!(teller.comparisons.load(Ordering::SeqCst), 1, "once a day");
}

/// Listens in vain until a person is told so, and then twenty times more: what they were told.
async fn told_of(teller: Teller, event: &str) -> Vec<String> {
    let teller = Arc::new(teller);
    let followed = Followed::start(teller.clone());
    followed.until(&format!("v_alert WHERE event = '{event}'"), 1).await;
    let reached = teller.connections.load(Ordering::SeqCst);
    let more = async {
        while teller.connections.load(Ordering::SeqCst) < reached + 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), more).await.expect("it is tried again");
    let told = followed.alerts();
    followed.stop().await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_once_that_there_are_no_hints() {
    let told = told_of(Teller::default(), "broker.hints_lost").await;
    assert!(told.len() == 1 && told[0].ends_with("teller: it hung up"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_once_that_the_broker_is_away() {
    let told = told_of(Teller { is_away: true, ..Teller::default() }, "broker.unreachable").await;
    assert!(told.len() == 1 && told[0].ends_with("teller: nobody is there"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_once_that_the_broker_refuses() {
    let told = told_of(Teller { refuses: true, ..Teller::default() }, "broker.refuses").await;
    assert!(told.len() == 1 && told[0].ends_with("teller refuses: the key is refused"), "{told:?}");
}
