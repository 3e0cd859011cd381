//! Everything is closed at the same time, and one symbol that fails does not keep the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::engine::Execution;
use daybook::engine::broker_link::{BrokerLink, LinkError};
use daybook::engine::dispatcher::Dispatcher;
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::engine::job::{AnyJob, Job, Sources, Terms};
use daybook::ports::{Broker, BrokerError, FillPage};
use daybook_core::decision::Decision;
use daybook_core::market::Symbol;
use daybook_core::money::{Price, Quantity};
use daybook_core::order::{
    Account, Action, BrokerPosition, ClientOrderId, Intent, Order, OrderRole, OrderStatus, OrderTicket, OrderType,
    Purpose,
};
use daybook_core::risk::Approved;
use daybook_core::schedule::{JobDefinition, JobFile, JobKind};
use serde_json::json;
use tokio::sync::{Barrier, Notify};
use tokio_util::sync::CancellationToken;

use crate::support::market::{ScriptedMarket, new_york};
use crate::support::simulation::{rows, wire};

/// As many as are held in the figure for the emergency stop.
const POSITIONS: usize = 20;

fn symbol(n: usize) -> Symbol {
    format!("S{n}").parse().unwrap()
}

/// A job that closes every position.
struct CloseAll;

#[async_trait]
impl Job for CloseAll {
    type Facts = ();

    async fn gather(&self, _: &Sources, _: &Terms) -> anyhow::Result<()> {
        Ok(())
    }

    fn decide(&self, (): &(), terms: &Terms) -> anyhow::Result<Decision> {
        let close = |(leg, n)| Intent {
            leg,
            purpose: Purpose::Exit,
            action: Action::Close {
                symbol: symbol(n),
                client_order_id: terms.origin().client_order_id(leg),
                quantity: None,
            },
            valid_until: None,
            reason: "a test".to_owned(),
        };
        Ok(Decision { intents: (0..).zip(0..POSITIONS).map(close).collect(), ..Decision::default() })
    }
}

/// A broker that takes no order before all of them have come. One of its symbols may be unreachable.
struct Gate {
    is_open: AtomicBool,
    unreachable: Option<Symbol>,
    all_here: Barrier,
    /// Whether it trades before the open and after the close.
    has_extended_hours: bool,
    /// The types of the orders that were sent for them.
    for_extended_hours: Mutex<Vec<OrderType>>,
}

impl Gate {
    fn busy() -> BrokerError {
        BrokerError::Retryable { broker: "gate".to_owned(), reason: "busy".to_owned() }
    }
}

#[async_trait]
impl Broker for Gate {
    fn name(&self) -> &str {
        "gate"
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        Err(Self::busy())
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let held = |n| BrokerPosition {
            symbol: symbol(n),
            quantity: Quantity::whole(10),
            average_price: Price::from_cents(10_000),
        };
        Ok((0..POSITIONS).map(held).collect())
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        Ok(Vec::new())
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        let unreachable = self.unreachable.is_some_and(|_| id.as_str().ends_with("-0-0"));
        if unreachable || !self.is_open.load(Ordering::SeqCst) { Err(Self::busy()) } else { Ok(Vec::new()) }
    }

    async fn orders(&self, _: &[String]) -> Result<Vec<Order>, BrokerError> {
        Ok(Vec::new())
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.all_here.wait().await;
        let ticket = ticket.get();
        Ok(vec![Order {
            broker_order_id: format!("order-{}", ticket.symbol),
            client_order_id: ticket.client_order_id.clone(),
            parent: None,
            role: OrderRole::Parent,
            symbol: ticket.symbol,
            side: ticket.side,
            quantity: ticket.quantity,
            order_type: ticket.order_type,
            time_in_force: ticket.time_in_force,
            class: ticket.class,
            status: OrderStatus::New,
            filled: Quantity::ZERO,
            average_price: None,
            reason: None,
            submitted_at: new_york("2026-11-16", "09:45"),
            updated_at: new_york("2026-11-16", "09:45"),
        }])
    }

    fn trades_extended_hours(&self) -> bool {
        self.has_extended_hours
    }

    async fn submit_for_extended_hours(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.for_extended_hours.lock().unwrap().push(ticket.get().order_type);
        self.submit(ticket).await
    }

    async fn cancel(&self, _: &str) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn replace_stop(&self, _: &str, _: Price) -> Result<Order, BrokerError> {
        Err(Self::busy())
    }

    async fn fills(&self, _: Option<&str>) -> Result<FillPage, BrokerError> {
        Ok(FillPage { fills: Vec::new(), cursor: String::new(), more: false })
    }
}

/// What came of the closes.
struct Closed {
    dispatched: Result<(), LinkError>,
    /// Intents by their state.
    states: Vec<String>,
    for_extended_hours: Vec<OrderType>,
    /// The alerts that an order waits for the open.
    parked: Vec<String>,
}

/// Decides the closes while the broker is busy, opens it, and dispatches them.
async fn closed(unreachable: Option<Symbol>) -> Closed {
    closed_at("09:31", false, unreachable).await
}

/// The same at some time of the day, at a broker with extended hours or without.
async fn closed_at(wall: &str, has_extended_hours: bool, unreachable: Option<Symbol>) -> Closed {
    let folder = tempfile::tempdir().unwrap();
    let wired = wire(&folder.path().join("day.db"), "2026-11-16", "2026-11-16").await;
    let expected = POSITIONS - usize::from(unreachable.is_some());
    let gate = Arc::new(Gate {
        is_open: AtomicBool::new(false),
        unreachable,
        all_here: Barrier::new(expected),
        has_extended_hours,
        for_extended_hours: Mutex::default(),
    });
    let market = ScriptedMarket::default();
    for n in 0..POSITIONS {
        market.price(symbol(n).as_str(), new_york("2026-11-16", "16:55"), 10_000);
    }
    let mut parts = (*wired.parts).clone();
    let (ledger, clock) = (parts.sources.ledger.clone(), parts.sources.clock.clone());
    parts.sources.feed = Arc::new(market);
    parts.sources.broker = BrokerLink::new(gate.clone(), ledger.clone(), clock, Arc::default());
    let file = json!({"kind": "command", "command": ["true"], "schedule": {"at": "open"}, "window": "1h"});
    let definition = serde_json::from_value::<JobFile>(file).unwrap().into_definition("close-all").unwrap();
    let definitions: Arc<[JobDefinition]> = Arc::new([definition]);
    (parts.definitions, parts.claimed) = (definitions.clone(), definitions);
    parts.jobs = Arc::new([(JobKind::Command, Arc::new(CloseAll) as Arc<dyn AnyJob>)].into());
    let limits = Limits {
        stop: CancellationToken::new(),
        until: Some(new_york("2026-11-16", "09:31")),
        drain: Duration::from_secs(1),
        on_turn: Arc::new(|| {}),
        jobs: None,
        stuck_after: Duration::from_secs(1),
    };
    let (sources, routes) = (parts.sources.clone(), parts.routes.clone());
    let mut driver = Driver::new(Arc::new(parts), limits, Arc::new(Notify::new()));
    driver.boot().await.unwrap();
    assert_eq!(driver.run().await.unwrap(), Ended::Finished);
    assert_eq!(rows(&ledger, "SELECT count(*) FROM intent WHERE state = 'acked'"), ["0"]);

    gate.is_open.store(true, Ordering::SeqCst);
    let run_id = rows(&ledger, "SELECT run_id FROM run WHERE job = 'close-all'")[0].parse().unwrap();
    sources.clock.sleep_until(new_york("2026-11-16", wall)).await;
    let dispatcher = Dispatcher::new(sources, routes, Execution::Concurrent);
    let dispatched = tokio::time::timeout(Duration::from_secs(20), dispatcher.dispatch(run_id)).await;
    let dispatched = dispatched.expect("no order waits for another's answer").map(drop);
    let for_extended_hours = gate.for_extended_hours.lock().unwrap().clone();
    Closed {
        dispatched,
        states: rows(&ledger, "SELECT state, count(*) FROM intent GROUP BY state ORDER BY 1"),
        for_extended_hours,
        parked: rows(&ledger, "SELECT subject FROM v_alert WHERE event = 'order.parked'"),
    }
}

#[tokio::test]
async fn twenty_positions_are_closed_at_the_same_time() {
    let Closed { dispatched, states, for_extended_hours, parked } = closed(None).await;
    assert!(dispatched.is_ok(), "{dispatched:?}");
    assert_eq!((states, for_extended_hours.len(), parked.len()), (vec!["acked|20".to_owned()], 0, 0));
}

#[tokio::test]
async fn after_the_close_positions_are_left_at_a_limit_that_the_other_side_takes() {
    let Closed { states, for_extended_hours, parked, .. } = closed_at("17:00", true, None).await;
    assert_eq!((states, parked.len()), (vec!["acked|20".to_owned()], 0));
    assert_eq!(for_extended_hours, [OrderType::Limit { limit: Price::from_cents(9_800) }; POSITIONS]);
}

#[tokio::test]
async fn where_nothing_trades_a_person_is_told_that_the_order_waits_for_the_open() {
    for (wall, has_extended_hours) in [("17:00", false), ("21:00", true)] {
        let Closed { states, for_extended_hours, parked, .. } = closed_at(wall, has_extended_hours, None).await;
        assert_eq!((states, for_extended_hours.len(), parked.len()), (vec!["acked|20".to_owned()], 0, POSITIONS));
        assert!(parked[0].contains("10 shares waits for 2026-11-17 09:30:00"), "{}", parked[0]);
    }
}

#[tokio::test]
async fn a_symbol_that_cannot_be_reached_keeps_no_other_from_being_closed() {
    let Closed { dispatched, states, .. } = closed(Some(symbol(0))).await;
    assert!(matches!(dispatched, Err(LinkError::Broker(_))), "{dispatched:?}");
    assert_eq!(states, ["acked|19", "submitting|1"]);
}
