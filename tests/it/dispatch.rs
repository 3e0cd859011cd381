//! Everything is closed at the same time, and one symbol that fails does not keep the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::alpaca::AlpacaSettings;
use daybook::adapters::brokers::alpaca::AlpacaBroker;
use daybook::adapters::faulty::{BrokerFault, FaultyBroker, Spell, Struck};
use daybook::engine::Execution;
use daybook::engine::broker_link::{BrokerLink, LinkError};
use daybook::engine::dispatcher::Dispatcher;
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::engine::job::{AnyJob, Job, Sources, Terms};
use daybook::ledger::Ledger;
use daybook::ledger::alert::Routes;
use daybook::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, serve};
use daybook::ports::{Broker, BrokerError, Clock, FillPage, MarketFeed};
use daybook::wiring::Wired;
use daybook_core::calendar::Calendar;
use daybook_core::decision::Decision;
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{
    Account, Action, BrokerPosition, ClientOrderId, Intent, Order, OrderRole, OrderStatus, OrderTicket, OrderType,
    Purpose,
};
use daybook_core::risk::Approved;
use daybook_core::schedule::{JobDefinition, JobFile, JobKind};
use daybook_core::time::Span;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Barrier, Notify};
use tokio_util::sync::CancellationToken;

use crate::support::counted::Counted;
use crate::support::exchange::{KEY, SECRET};
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
        if unreachable { Err(Self::busy()) } else { Ok(Vec::new()) }
    }

    async fn orders(&self, _: &[String]) -> Result<Vec<Order>, BrokerError> {
        Ok(Vec::new())
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        if !self.is_open.load(Ordering::SeqCst) {
            return Err(Self::busy());
        }
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
    let decided = Decided::of(Arc::new(market), |_, _| gate.clone()).await;
    gate.is_open.store(true, Ordering::SeqCst);
    let dispatched = decided.dispatch_at(wall).await;
    let for_extended_hours = gate.for_extended_hours.lock().unwrap().clone();
    Closed {
        dispatched,
        states: decided.states(),
        for_extended_hours,
        parked: rows(&decided.sources.ledger, "SELECT subject FROM v_alert WHERE event = 'order.parked'"),
    }
}

/// A day on which the closes are decided, and none of them is sent: the broker was away.
struct Decided {
    sources: Sources,
    routes: Arc<Routes>,
    run_id: i64,
    _lock: Wired,
    _folder: TempDir,
}

impl Decided {
    /// Decides at a broker that is made from the ledger and the clock, and that answers nothing before 09:32.
    async fn of(market: Arc<dyn MarketFeed>, broker: impl FnOnce(&Ledger, Arc<dyn Clock>) -> Arc<dyn Broker>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wired = wire(&folder.path().join("day.db"), "2026-11-16", "2026-11-16").await;
        let mut parts = (*wired.parts).clone();
        let (ledger, clock) = (parts.sources.ledger.clone(), parts.sources.clock.clone());
        parts.sources.feed = market;
        let broker = broker(&ledger, clock.clone());
        parts.sources.broker = BrokerLink::new(broker, ledger.clone(), clock, Arc::default());
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
        let run_id = rows(&ledger, "SELECT run_id FROM run WHERE job = 'close-all'")[0].parse().unwrap();
        Self { sources, routes, run_id, _lock: wired, _folder: folder }
    }

    /// Sends them, all at the same time.
    async fn dispatch_at(&self, wall: &str) -> Result<(), LinkError> {
        self.sources.clock.sleep_until(new_york("2026-11-16", wall)).await;
        let dispatcher = Dispatcher::new(self.sources.clone(), self.routes.clone(), Execution::Concurrent);
        let dispatched = tokio::time::timeout(Duration::from_secs(20), dispatcher.dispatch(self.run_id)).await;
        dispatched.expect("no order waits for another's answer").map(drop)
    }

    /// Intents by their state.
    fn states(&self) -> Vec<String> {
        rows(&self.sources.ledger, "SELECT state, count(*) FROM intent GROUP BY state ORDER BY 1")
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

/// The issue's own figure: an exchange that takes 100 ms for each answer, an account that may send 200 requests a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_positions_at_an_exchange_are_closed_once_within_the_requests_of_a_minute() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let market = Arc::new(ScriptedMarket::default());
    let server = serve(PaperExchangeSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        file: folder.path().join("exchange.db"),
        accounts: vec![Credentials { key: KEY.to_owned(), secret: SECRET.to_owned() }],
        cash: Money::whole(1_000_000),
        feed: market.clone(),
        calendar: Calendar::xnys(),
        clock: ClockMode::Stepped { from: new_york("2026-11-16", "09:45") },
        fills: FillRules::default(),
    });
    let server = server.await.unwrap();
    let line = Counted::before(server.address()).await;
    let settings = AlpacaSettings {
        trading_url: format!("http://{}", line.address).into(),
        key_id: Some(SecretString::from(KEY)),
        secret_key: Some(SecretString::from(SECRET)),
        timeout: Span::seconds(20),
        ..AlpacaSettings::default()
    };
    assert_eq!(settings.requests_per_minute, 200);

    let mut exchange = None;
    let decided = Decided::of(market, |_, clock| {
        let broker = Arc::new(AlpacaBroker::new(&settings, clock.clone()).unwrap());
        exchange = Some(broker.clone());
        let (from, until) = (new_york("2026-11-16", "00:00"), new_york("2026-11-16", "09:32"));
        let away = Spell { number: 0, from, until, fault: BrokerFault::Down };
        Arc::new(FaultyBroker::new(broker, clock, vec![away], Struck::default()))
    });
    let decided = decided.await;
    let exchange = exchange.unwrap();
    let ledger_id = decided.sources.ledger.meta().ledger_id.clone();
    let http = reqwest::Client::new();
    let post = async |path: &str, document: Value| {
        let request = http.post(format!("http://{}/{path}", server.address())).body(document.to_string());
        let request = request.header("APCA-API-KEY-ID", KEY).header("APCA-API-SECRET-KEY", SECRET);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    };
    for n in 0..POSITIONS {
        post("admin/price", json!({"symbol": symbol(n), "price": "100"})).await;
        let bracket = json!({
            "symbol": symbol(n), "qty": 10, "side": "buy", "type": "market", "time_in_force": "day",
            "order_class": "bracket", "take_profit": {"limit_price": 120}, "stop_loss": {"stop_price": 90},
            "client_order_id": format!("dbk-{ledger_id}-breakout-watch-1794840605000-{n}-0"),
        });
        post("v2/orders", bracket).await;
    }
    post("admin/fault", json!({"kind": "latency", "ms": 100})).await;
    assert_eq!(line.requests(), 0, "nobody has asked before");
    // What the run that decides looks at, which is how the legs of the brackets are known.
    exchange.account().await.unwrap();
    assert_eq!((exchange.positions().await.unwrap().len(), exchange.open_orders().await.unwrap().len()), (20, 40));
    decided.dispatch_at("09:45").await.unwrap();
    assert_eq!(decided.states(), ["terminal|20"], "they fill at once");
    let requests = line.requests();
    println!("{requests} requests for {POSITIONS} positions");
    assert!((POSITIONS * 4..=200).contains(&requests), "{requests} requests");
    assert_eq!(exchange.positions().await.unwrap(), []);
    assert_eq!(exchange.open_orders().await.unwrap(), []);
    let fills = exchange.fills(None).await.unwrap().fills;
    let mut sold: Vec<Symbol> =
        fills.iter().filter(|fill| fill.side == daybook_core::order::Side::Sell).map(|fill| fill.symbol).collect();
    sold.sort();
    sold.dedup();
    assert_eq!((fills.len(), sold.len()), (2 * POSITIONS, POSITIONS), "each is sold once");
}
