//! The broker of the killed program: in this process, behind a socket, so that it lives on.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use daybook::adapters::brokers::paper::{Durability, PaperBroker};
use daybook::adapters::brokers::remote::{Answer, Call, Request};
use daybook::adapters::faulty::{BrokerFault, FaultyBroker, Spell, Struck};
use daybook::adapters::feeds::simulated::SimulatedMarket;
use daybook::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, Server, serve};
use daybook::ports::{Broker, BrokerError, Clock};
use daybook_core::money::{Bps, Money};
use daybook_core::order::{Order, OrderClass, OrderStatus, OrderTicket};
use daybook_core::risk::{Approved, Verdict, approve_entry, approve_exit, approve_protection};
use daybook_core::time::Timestamp;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::world::{CONFIGURATION, at};
use crate::support::exchange::{self, Listed, Record};

/// The revision under which the paper broker, which refuses a name that it has, keeps what was taken twice.
const SECOND: u32 = 99;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// One market for all brokers: it keeps what it has made up.
static MARKET: LazyLock<Arc<SimulatedMarket>> = LazyLock::new(|| {
    let settings = &CONFIGURATION.settings;
    Arc::new(SimulatedMarket::new(&settings.market.simulated, settings.calendar()))
});

/// The broker's own clock: its callers move it on, and nobody moves it back.
pub struct HostClock(AtomicI64);

impl HostClock {
    /// A clock that stands at an instant.
    pub const fn at(instant: Timestamp) -> Self {
        Self(AtomicI64::new(instant.0))
    }

    /// Moves it on, if it is not there yet.
    pub fn reach(&self, instant: Timestamp) {
        self.0.fetch_max(instant.0, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for HostClock {
    fn wall(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn wall_us(&self) -> i64 {
        self.wall().0 * 1_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep_until(&self, _instant: Timestamp) {
        unreachable!("a broker waits for nothing")
    }
}

/// What makes a broker hard to deal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is at fault.
    Fault(BrokerFault),
    /// Orders fill bit by bit: entries have a part filled and the rest waiting.
    PartialFills,
    /// It takes an order that it has already: names mean nothing to it.
    TakesTwice,
}

/// A broker that listens, until it is dropped.
pub struct Host {
    line: Arc<Line>,
    listening: JoinHandle<()>,
}

struct Line {
    clock: Arc<HostClock>,
    paper: Arc<PaperBroker>,
    broker: FaultyBroker,
    takes_twice: bool,
}

/// An exchange in this process, whose API the killed program speaks: it lives on, too.
pub struct ExchangeHost(Server);

impl ExchangeHost {
    /// An exchange with its file in `folder`, whose clock is moved by its callers.
    pub fn listen(folder: &Path) -> Self {
        let account = Credentials { key: exchange::KEY.to_owned(), secret: exchange::SECRET.to_owned() };
        let settings = PaperExchangeSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            file: folder.join("exchange.db"),
            accounts: vec![account],
            cash: Money::whole(100_000),
            feed: MARKET.clone(),
            calendar: CONFIGURATION.settings.calendar(),
            clock: ClockMode::Stepped { from: at("00:00") },
            fills: FillRules::default(),
        };
        drop(rustls::crypto::ring::default_provider().install_default());
        Self(RUNTIME.block_on(serve(settings)).unwrap())
    }

    pub fn address(&self) -> String {
        self.0.address().to_string()
    }

    pub fn record(&self) -> Record {
        RUNTIME.block_on(exchange::record(&self.address()))
    }
}

impl Host {
    /// A broker with its account in `folder`, listening in `folder`, that makes this trouble all day.
    pub fn listen(folder: &Path, trouble: Option<Trouble>) -> Self {
        let settings = &CONFIGURATION.settings;
        let clock = Arc::new(HostClock::at(at("00:00")));
        let file = folder.join("broker.db");
        let mut exchange = settings.execution.paper.clone();
        if trouble == Some(Trouble::PartialFills) {
            exchange.participation = Bps(50);
        }
        let paper =
            PaperBroker::open(&file, Durability::Kill, exchange, MARKET.clone(), clock.clone(), settings.calendar());
        let paper = Arc::new(paper.unwrap());
        let spell = |fault| Spell { number: 0, from: at("00:00"), until: at("23:59"), fault };
        let spells = match trouble {
            Some(Trouble::Fault(fault)) => vec![spell(fault)],
            Some(Trouble::PartialFills | Trouble::TakesTwice) | None => Vec::new(),
        };
        let broker = FaultyBroker::new(paper.clone(), clock.clone(), spells, Struck::default());
        let line = Arc::new(Line { clock, paper, broker, takes_twice: trouble == Some(Trouble::TakesTwice) });
        let _in_it = RUNTIME.enter();
        let listener = UnixListener::bind(folder.join("broker")).unwrap();
        let answering = line.clone();
        let listening = RUNTIME.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                RUNTIME.spawn(answer(answering.clone(), stream));
            }
        });
        Self { line, listening }
    }

    /// The broker's own record, whatever its faults are.
    pub fn record(&self) -> Record {
        let paper = &self.line.paper;
        RUNTIME.block_on(async {
            let mut fills = Vec::new();
            let mut cursor: Option<String> = None;
            loop {
                let page = paper.fills(cursor.as_deref()).await.unwrap();
                fills.extend(page.fills);
                cursor = Some(page.cursor);
                if !page.more {
                    break;
                }
            }
            let mut orders = paper.record().await.unwrap();
            for order in
                orders.iter_mut().filter(|order| order.client_order_id.as_str().ends_with(&format!("-{SECOND}")))
            {
                order.client_order_id = order.client_order_id.with_revision(0); // as it was sent
            }
            let listed = |order: &Order| Listed {
                name: order.client_order_id.clone(),
                is_leg: order.parent.is_some(),
                is_entry: matches!(order.class, OrderClass::Bracket { .. }),
                status: order.status,
            };
            orders.retain(|order| order.status != OrderStatus::Replaced);
            let orders = orders.iter().map(listed).collect();
            Record { orders, fills, held: paper.positions().await.unwrap() }
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Answers one caller until it is gone.
async fn answer(line: Arc<Line>, stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    let mut text = String::new();
    // A caller that was killed in the middle of a call does not get its answer.
    while stream.read_line(&mut text).await.is_ok_and(|read| read > 0) {
        let request: Request = serde_json::from_str(&text).unwrap();
        line.clock.reach(request.now);
        let mut answer = serde_json::to_vec(&line.carry_out(request.call).await).unwrap();
        answer.push(b'\n');
        if stream.get_mut().write_all(&answer).await.is_err() {
            return;
        }
        text.clear();
    }
}

impl Line {
    async fn carry_out(&self, call: Call) -> Answer {
        let broker = &self.broker;
        match call {
            Call::Account => said(broker.account().await),
            Call::Positions => said(broker.positions().await),
            Call::OpenOrders => said(broker.open_orders().await),
            Call::OrdersByClientId(id) => said(broker.orders_by_client_id(&id).await),
            Call::Orders(ids) => said(broker.orders(&ids).await),
            Call::Submit(ticket) => {
                let approved = self.approved(ticket.clone()).await?;
                match broker.submit(&approved).await {
                    Err(BrokerError::Duplicate { client_order_id, .. }) if self.takes_twice => {
                        let again = OrderTicket { client_order_id: client_order_id.with_revision(SECOND), ..ticket };
                        said(broker.submit(&self.approved(again).await?).await)
                    }
                    answer => said(answer),
                }
            }
            Call::Cancel(id) => said(broker.cancel(&id).await),
            Call::ReplaceStop { broker_order_id, stop } => said(broker.replace_stop(&broker_order_id, stop).await),
            Call::Fills(cursor) => said(broker.fills(cursor.as_deref()).await),
        }
    }

    /// The approval does not travel: it is made again of what arrived.
    async fn approved(&self, ticket: OrderTicket) -> Result<Approved<OrderTicket>, BrokerError> {
        let held = self.paper.positions().await?.into_iter().find(|held| held.symbol == ticket.symbol);
        let held = held.map(|held| held.quantity).unwrap_or_default();
        let approved = match ticket.class {
            OrderClass::Bracket { .. } => {
                let verdict = Verdict { quantity: Some(ticket.quantity), refused_by: None, checks: Vec::new() };
                approve_entry(ticket, &verdict)
            }
            OrderClass::Simple | OrderClass::Oco { .. } => {
                approve_protection(ticket.clone(), held).or_else(|_| approve_exit(ticket, held))
            }
        };
        approved.map_err(|error| BrokerError::Rejected { broker: "paper".to_owned(), reason: error.to_string() })
    }
}

fn said<T: Serialize>(answer: Result<T, BrokerError>) -> Answer {
    answer.map(|value| serde_json::to_value(value).unwrap())
}
