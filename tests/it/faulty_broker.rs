//! What each fault of a broker does, and that it is over when its spell is.

use std::sync::Arc;
use std::time::Duration;

use daybook::adapters::brokers::paper::{Durability, PaperBroker};
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::adapters::faulty::{BrokerFault, FaultyBroker, Spell, Struck};
use daybook::ports::{Broker, BrokerError, Clock};
use daybook_core::calendar::Calendar;
use daybook_core::exchange::ExchangeSettings;
use daybook_core::money::Quantity;
use daybook_core::order::{Order, OrderClass, OrderStatus, OrderTicket, OrderType, Side, TimeInForce};
use daybook_core::risk::{Approved, Verdict, approve_entry};
use daybook_core::time::Timestamp;
use tempfile::TempDir;

use crate::support::market::{ScriptedMarket, cents, new_york};

fn at(wall: &str) -> Timestamp {
    new_york("2026-11-16", wall)
}

/// A broker that is at fault from 10:00 to 10:05; the clock shows 10:00.
struct Venue {
    broker: FaultyBroker,
    market: Arc<ScriptedMarket>,
    clock: Arc<SimulatedClock>,
    struck: Struck,
    _folder: TempDir,
}

impl Venue {
    fn with(fault: BrokerFault) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let market = Arc::new(ScriptedMarket::default());
        market.minute("AAPL", at("09:59"), [10_000; 4]);
        let clock = Arc::new(SimulatedClock::new(at("10:00"), Speed::Max));
        let (path, settings) = (folder.path().join("paper.db"), ExchangeSettings::default());
        let paper =
            PaperBroker::open(&path, Durability::Kill, settings, market.clone(), clock.clone(), Calendar::xnys());
        let struck = Struck::default();
        let spells = vec![Spell { number: 0, from: at("10:00"), until: at("10:05"), fault }];
        let broker = FaultyBroker::new(Arc::new(paper.unwrap()), clock.clone(), spells, struck.clone());
        Self { broker, market, clock, struck, _folder: folder }
    }

    async fn wait_until(&self, wall: &str) {
        self.clock.sleep_until(at(wall)).await;
    }

    /// Sends a bracket that buys at 100.00 or better.
    async fn send(&self, name: &str) -> Result<Vec<Order>, BrokerError> {
        self.broker.submit(&entry(name)).await
    }

    async fn found(&self, name: &str) -> usize {
        self.broker.orders_by_client_id(&name.parse().unwrap()).await.unwrap().len()
    }

    /// The executions told after a cursor, by their ids.
    async fn told(&self, cursor: &str) -> Vec<String> {
        let page = self.broker.fills(Some(cursor)).await.unwrap();
        page.fills.into_iter().map(|fill| fill.execution_id).collect()
    }

    /// Two orders, filled by the minute that begins at 10:01; the answer is the cursor before them.
    async fn two_fills(&self) -> String {
        let before = self.broker.fills(None).await.unwrap().cursor;
        for name in ["a", "b"] {
            self.send(name).await.unwrap();
        }
        self.market.minute("AAPL", at("10:01"), [10_000, 10_000, 9_990, 10_000]);
        self.wait_until("10:02").await;
        before
    }
}

/// A bracket that buys at 99.95 or better, reviewed.
pub fn entry(name: &str) -> Approved<OrderTicket> {
    let ticket = OrderTicket {
        client_order_id: name.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        quantity: Quantity::whole(10),
        order_type: OrderType::Limit { limit: cents(9_995) },
        time_in_force: TimeInForce::Day,
        class: OrderClass::Bracket { take_profit: cents(10_200), stop_loss: cents(9_900) },
    };
    let verdict = Verdict { quantity: Some(ticket.quantity), refused_by: None, checks: Vec::new() };
    approve_entry(ticket, &verdict).unwrap()
}

const fn is_unknown<T>(answer: &Result<T, BrokerError>) -> bool {
    matches!(answer, Err(BrokerError::Unknown { .. }))
}

const fn is_retryable<T>(answer: &Result<T, BrokerError>) -> bool {
    matches!(answer, Err(BrokerError::Retryable { .. }))
}

#[tokio::test]
async fn what_is_down_or_overrun_does_nothing_until_the_spell_is_over() {
    for (fault, of_an_order) in [(BrokerFault::Down, is_unknown as fn(&_) -> bool), (BrokerFault::Busy, is_retryable)] {
        let venue = Venue::with(fault);
        let sent = venue.send("a").await;
        assert!(of_an_order(&sent), "{fault:?}: {sent:?}");
        assert!(is_retryable(&venue.broker.positions().await) && is_retryable(&venue.broker.fills(None).await));
        venue.wait_until("10:05").await;
        assert_eq!(venue.found("a").await, 0, "{fault:?}");
        assert_eq!(venue.send("a").await.unwrap().len(), 3);
        assert_eq!(venue.struck.numbers().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_of_something_that_was_done() {
    let venue = Venue::with(BrokerFault::AnswerLost);
    assert!(is_unknown(&venue.send("a").await));
    assert_eq!(venue.found("a").await, 3);
    let duplicate = venue.send("a").await;
    assert!(matches!(duplicate, Err(BrokerError::Duplicate { .. })), "{duplicate:?}");
    let parent = venue.broker.open_orders().await.unwrap()[0].broker_order_id.clone();
    assert!(is_unknown(&venue.broker.cancel(&parent).await));
    assert_eq!(venue.broker.open_orders().await.unwrap(), []);
}

#[tokio::test]
async fn an_order_is_accepted_late_and_once() {
    let venue = Venue::with(BrokerFault::AcceptsLate { by: Duration::from_secs(20) });
    assert!(is_unknown(&venue.send("a").await) && is_unknown(&venue.send("a").await));
    assert_eq!(venue.found("a").await, 0);
    venue.wait_until("10:00:20").await;
    assert_eq!(venue.found("a").await, 3, "the order and its legs, once");
}

#[tokio::test]
async fn a_forgetful_broker_still_refuses_the_same_name_twice() {
    let venue = Venue::with(BrokerFault::Forgetful);
    venue.send("a").await.unwrap();
    assert_eq!(venue.found("a").await, 0);
    assert!(matches!(venue.send("a").await, Err(BrokerError::Duplicate { .. })));
    assert_eq!(venue.broker.open_orders().await.unwrap().len(), 3);
    venue.wait_until("10:05").await;
    assert_eq!(venue.found("a").await, 3);
}

#[tokio::test]
async fn an_order_fills_while_its_cancel_is_on_its_way() {
    let venue = Venue::with(BrokerFault::CancelsLate { by: Duration::from_secs(90) });
    let order = venue.send("a").await.unwrap().remove(0);
    venue.broker.cancel(&order.broker_order_id).await.unwrap();
    venue.market.minute("AAPL", at("10:00"), [10_000, 10_000, 9_990, 10_000]);
    venue.wait_until("10:03").await;
    let ended = venue.broker.orders(&[order.broker_order_id]).await.unwrap().remove(0);
    assert_eq!((ended.status, ended.filled), (OrderStatus::Filled, Quantity::whole(10)));
}

#[tokio::test]
async fn fills_are_told_twice_late_and_out_of_order_and_none_is_lost() {
    let venue = Venue::with(BrokerFault::FillsTwice);
    let before = venue.two_fills().await;
    let twice = venue.told(&before).await;
    assert_eq!((twice.len(), &twice[0], &twice[2]), (4, &twice[1], &twice[3]));
    let last = venue.broker.fills(Some(&before)).await.unwrap().cursor;
    assert_eq!(venue.told(&last).await.len(), 2, "again, though nothing is new");

    let venue = Venue::with(BrokerFault::FillsLate);
    let before = venue.two_fills().await;
    assert_eq!(venue.told(&before).await, Vec::<String>::new());
    assert_eq!(venue.broker.positions().await.unwrap().len(), 1, "what is held shows them");
    venue.wait_until("10:05").await;
    let all = venue.told(&before).await;
    assert_eq!(all.len(), 2);

    let venue = Venue::with(BrokerFault::FillsUnordered);
    let before = venue.two_fills().await;
    let page = venue.broker.fills(Some(&before)).await.unwrap();
    assert_eq!((page.fills.len(), &page.fills[0].execution_id, &page.cursor), (1, &all[1], &before));
    assert_eq!(venue.told(&page.cursor).await, all, "and then all of them");
}
