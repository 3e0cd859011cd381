//! The figures of the paper exchange and of the adapter that trades there, measured over loopback on the real programs:
//! `cargo bench --bench exchange`.
//!
//! The exchange runs as a process of its own on one core, where `taskset` is there to hold it to one. What else the
//! machine does counts against what is measured.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use daybook::adapters::alpaca::AlpacaSettings;
use daybook::adapters::brokers::alpaca::AlpacaBroker;
use daybook::adapters::clocks::{SimulatedClock, Speed, SystemClock};
use daybook::engine::broker_link::BrokerLink;
use daybook::ledger::{Ledger, LedgerKind, NewLedger, OpenOptions};
use daybook::ports::{Broker, BrokerError, Clock, FillPage};
use daybook_core::money::{Price, Quantity};
use daybook_core::order::{
    Account, BrokerPosition, ClientOrderId, Order, OrderClass, OrderTicket, OrderType, Side, TimeInForce,
};
use daybook_core::risk::{Approved, approve_exit};
use daybook_core::time::{Span, Timestamp};
use futures_util::{SinkExt, StreamExt};
use rusqlite::{Connection, OpenFlags};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

const TRADE: &str = env!("CARGO_BIN_EXE_trade");
const SCHEDULER: &str = env!("CARGO_BIN_EXE_scheduler");
const KEY: &str = "PKBENCH";
const SECRET: &str = "hush";

/// Monday, ten o'clock in New York.
const START: &str = "2026-11-16T10:00";

/// Orders that rest while others are sent.
const OPEN: usize = 1_000;

/// Where an order to buy rests and where it fills at once, in dollars: the price is 100.
const RESTS_AT: u32 = 50;
const FILLS_AT: u32 = 100;

/// Orders that are sent and timed, each of which fills: those that rest stay as many.
const SENT: usize = 10_000;

/// Connections that send them.
const CONNECTIONS: usize = 8;

/// Orders that fill at one price: an event each.
const EVENTS: usize = 10_000;

/// Calls of the adapter that are timed.
const CALLS: usize = 1_000;

/// Positions that the emergency stop closes.
const POSITIONS: usize = 20;

/// What is measured, and the promise.
struct Figure {
    what: &'static str,
    measured: f64,
    unit: &'static str,
    promised: Promise,
}

enum Promise {
    Over(f64),
    Under(f64),
}

impl Figure {
    fn holds(&self) -> bool {
        match self.promised {
            Promise::Over(least) => self.measured > least,
            Promise::Under(most) => self.measured < most,
        }
    }
}

fn main() -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) if runtime.block_on(measure()) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: starting a runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints one figure after the other; whether all of them hold.
async fn measure() -> bool {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut all_hold = tell(round_trips().await);
    all_hold &= tell(stream().await.map(|figure| vec![figure]));
    all_hold &= tell(intent_to_socket().await.map(|figure| vec![figure]));
    all_hold &= tell(fill_to_commit().await.map(|figure| vec![figure]));
    all_hold & tell(emergency_stop().await.map(|figure| vec![figure]))
}

/// Prints what was measured; whether it holds.
fn tell(measured: anyhow::Result<Vec<Figure>>) -> bool {
    let figures = match measured {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("error: {error:#}");
            return false;
        }
    };
    for figure in &figures {
        let Figure { what, measured, unit, promised } = figure;
        let (word, bound) = match promised {
            Promise::Over(least) => ("over", least),
            Promise::Under(most) => ("under", most),
        };
        let verdict = if figure.holds() { "holds" } else { "does not hold" };
        println!("{what:<62} {measured:>10.2} {unit:<3} ({word} {bound} {unit}: {verdict})");
    }
    figures.iter().all(Figure::holds)
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An exchange as a process of its own, in a folder of its own.
struct Exchange {
    address: String,
    http: reqwest::Client,
    process: Process,
    folder: tempfile::TempDir,
}

impl Exchange {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let on_one_core = Command::new("taskset").arg("--version").output().is_ok_and(|output| output.status.success());
        let mut command = if on_one_core { Command::new("taskset") } else { Command::new(TRADE) };
        if on_one_core {
            command.args(["-c", "0", TRADE]);
        }
        command
            .args([
                "paper",
                "serve",
                "--clock",
                "stepped",
                "--start",
                START,
                "--listen",
                &address,
                "--cash",
                "100000000",
            ])
            .args(["--file", "exchange.db", "--key", &format!("{KEY}:{SECRET}")])
            .current_dir(folder.path())
            .stdout(Stdio::null());
        let process = Process(command.spawn().context("starting the exchange")?);
        let exchange = Self { address, http: reqwest::Client::new(), process, folder };
        for _ in 0..200 {
            if exchange.admin("price", &json!({"symbol": "AAPL", "price": "100"})).await.is_ok() {
                return Ok(exchange);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the exchange does not answer")
    }

    async fn call(&self, method: reqwest::Method, path: &str, document: &Value) -> anyhow::Result<Value> {
        let request = self.http.request(method, format!("http://{}/{path}", self.address));
        let request = request.header("APCA-API-KEY-ID", KEY).header("APCA-API-SECRET-KEY", SECRET);
        let answer = request.body(document.to_string()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path} {document}: {status} {text}");
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    async fn admin(&self, what: &str, document: &Value) -> anyhow::Result<Value> {
        self.call(reqwest::Method::POST, &format!("admin/{what}"), document).await
    }

    async fn order(&self, order: &Value) -> anyhow::Result<Value> {
        self.call(reqwest::Method::POST, "v2/orders", order).await
    }

    /// Sends `count` orders to buy on all connections; how long each took, in milliseconds.
    async fn send(&self, count: usize, limit: u32) -> anyhow::Result<Vec<f64>> {
        let clock = SystemClock::new();
        let order = json!({
            "symbol": "AAPL", "qty": 1, "side": "buy", "type": "limit", "limit_price": limit, "time_in_force": "gtc",
        });
        let one = |_| async {
            let from = clock.monotonic();
            self.order(&order).await?;
            anyhow::Ok(milliseconds(clock.monotonic().saturating_sub(from)))
        };
        let sent: Vec<_> = futures_util::stream::iter(0..count).map(one).buffer_unordered(CONNECTIONS).collect().await;
        sent.into_iter().collect()
    }

    /// CPU time of the exchange so far, in seconds.
    fn cpu(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.0.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).context("reading /proc");
        // utime and stime, in ticks of Linux's hundredth of a second.
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    fn settings(&self) -> AlpacaSettings {
        AlpacaSettings { trading_url: format!("http://{}", self.address).into(), ..settings() }
    }
}

fn settings() -> AlpacaSettings {
    AlpacaSettings {
        key_id: Some(SecretString::from(KEY)),
        secret_key: Some(SecretString::from(SECRET)),
        requests_per_minute: 1_000_000,
        timeout: Span::seconds(10),
        ..AlpacaSettings::default()
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The value that so many of a hundred are not above.
fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

async fn round_trips() -> anyhow::Result<Vec<Figure>> {
    let exchange = Exchange::start().await?;
    exchange.send(OPEN, RESTS_AT).await?;
    let clock = SystemClock::new();
    let (from, cpu) = (clock.monotonic(), exchange.cpu()?);
    let times = exchange.send(SENT, FILLS_AT).await?;
    let took = clock.monotonic().saturating_sub(from).as_secs_f64();
    let cpu = exchange.cpu()? - cpu;
    Ok(vec![
        Figure {
            what: "exchange: order round trips a second, 1,000 orders open",
            measured: SENT as f64 / took,
            unit: "/s",
            promised: Promise::Over(2_000.0),
        },
        Figure {
            what: "exchange: the same for each second of its own CPU",
            measured: SENT as f64 / cpu,
            unit: "/s",
            promised: Promise::Over(2_000.0),
        },
        Figure {
            what: "exchange: 99 of 100 round trips",
            measured: percentile(times, 99),
            unit: "ms",
            promised: Promise::Under(5.0),
        },
    ])
}

async fn stream() -> anyhow::Result<Figure> {
    let exchange = Exchange::start().await?;
    exchange.send(EVENTS, RESTS_AT).await?;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/stream", exchange.address)).await?;
    for wish in [
        json!({"action": "auth", "key": KEY, "secret": SECRET}),
        json!({"action": "listen", "data": {"streams": ["trade_updates"]}}),
    ] {
        socket.send(Message::text(wish.to_string())).await?;
        socket.next().await.context("the stream has ended")??;
    }
    let clock = SystemClock::new();
    let from = clock.monotonic();
    let listening = async {
        for _ in 0..EVENTS {
            socket.next().await.context("the stream has ended")??;
        }
        anyhow::Ok(clock.monotonic().saturating_sub(from).as_secs_f64())
    };
    // One price fills all of them: what is timed is its commit, too.
    let price = json!({"symbol": "AAPL", "price": "50"});
    let (took, priced) = tokio::join!(listening, exchange.admin("price", &price));
    priced?;
    Ok(Figure {
        what: "exchange: events of orders on one stream",
        measured: EVENTS as f64 / took?,
        unit: "/s",
        promised: Promise::Over(20_000.0),
    })
}

/// From the call that sends an order to its bytes at the other end of the socket.
async fn intent_to_socket() -> anyhow::Result<Figure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let settings = AlpacaSettings { trading_url: format!("http://{}", listener.local_addr()?).into(), ..settings() };
    let clock = Arc::new(SystemClock::new());
    let broker = AlpacaBroker::new(&settings, clock.clone())?;
    let answer = json!({
        "id": "0f1e2d3c-0000-4000-8000-000000000001", "client_order_id": "x", "symbol": "AAPL", "qty": "10",
        "filled_qty": "0", "order_class": "", "type": "market", "side": "sell", "time_in_force": "day",
        "status": "new", "created_at": "2026-11-16T15:00:00Z", "submitted_at": "2026-11-16T15:00:00Z",
    })
    .to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let reading = clock.clone();
    tokio::spawn(async move {
        // The client opens another connection whenever it likes.
        while let Ok((mut socket, _)) = listener.accept().await {
            let (arrived, reading, answer) = (arrived.clone(), reading.clone(), answer.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while socket.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    if !is_whole(&request) {
                        continue;
                    }
                    request.clear();
                    if arrived.send(reading.monotonic()).is_err() || socket.write_all(answer.as_bytes()).await.is_err()
                    {
                        break;
                    }
                }
            });
        }
    });
    let quantity = Quantity::whole(10);
    let ticket = OrderTicket {
        client_order_id: "x".parse()?,
        symbol: "AAPL".parse()?,
        side: Side::Sell,
        quantity,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Simple,
    };
    let order = approve_exit(ticket, quantity)?;
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let from = clock.monotonic();
        broker.submit(&order).await?;
        let arrived = arrivals.recv().await.context("nothing has arrived")?;
        times.push(arrived.saturating_sub(from).as_secs_f64() * 1e6);
        while arrivals.try_recv().is_ok() {}
    }
    Ok(Figure {
        what: "adapter: from a committed intent to bytes on the socket, median",
        measured: percentile(times, 50),
        unit: "µs",
        promised: Promise::Under(200.0),
    })
}

/// Whether a request has come with all of its body, which is a JSON document here.
fn is_whole(request: &[u8]) -> bool {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n");
    head.is_some_and(|end| serde_json::from_slice::<Value>(&request[end + 4..]).is_ok())
}

/// From the hint that something has filled to the fill in a ledger that does not wait for the disk.
async fn fill_to_commit() -> anyhow::Result<Figure> {
    let exchange = Exchange::start().await?;
    let start: Timestamp = "2026-11-16T15:00:00Z".parse()?;
    let new = NewLedger::simulated(LedgerKind::Simulation, "bench", "bench", start);
    let ledger = Ledger::open(&exchange.folder.path().join("bench.db"), &OpenOptions::create_or_open(new))?;
    let simulated = Arc::new(SimulatedClock::new(start, Speed::Max));
    let broker = Arc::new(AlpacaBroker::new(&exchange.settings(), simulated.clone())?);
    let counting = Arc::new(Timed { broker, clock: SystemClock::new(), spent: std::sync::Mutex::default() });
    let link = BrokerLink::new(counting.clone(), ledger, simulated, Arc::default());
    let clock = SystemClock::new();
    let mut times = Vec::new();
    for _ in 0..CALLS / 5 {
        let order = json!({"symbol": "AAPL", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"});
        exchange.order(&order).await?;
        let from = clock.monotonic();
        link.take_fills().await?;
        let there = counting.spent.lock().map(|mut spent| std::mem::take(&mut *spent)).unwrap_or_default();
        times.push(milliseconds(clock.monotonic().saturating_sub(from).saturating_sub(there)));
    }
    Ok(Figure {
        what: "adapter: from a fill that was read to its commit, without the sync, median",
        measured: percentile(times, 50),
        unit: "ms",
        promised: Promise::Under(1.0),
    })
}

/// A broker that tells how long reading its fills took: the exchange's time is not the adapter's.
struct Timed {
    broker: Arc<AlpacaBroker>,
    clock: SystemClock,
    spent: std::sync::Mutex<Duration>,
}

#[async_trait]
impl Broker for Timed {
    fn name(&self) -> &str {
        self.broker.name()
    }

    async fn account(&self) -> Result<Account, BrokerError> {
        self.broker.account().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.broker.positions().await
    }

    async fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.broker.open_orders().await
    }

    async fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, BrokerError> {
        self.broker.orders_by_client_id(id).await
    }

    async fn orders(&self, ids: &[String]) -> Result<Vec<Order>, BrokerError> {
        self.broker.orders(ids).await
    }

    async fn submit(&self, ticket: &Approved<OrderTicket>) -> Result<Vec<Order>, BrokerError> {
        self.broker.submit(ticket).await
    }

    async fn cancel(&self, id: &str) -> Result<(), BrokerError> {
        self.broker.cancel(id).await
    }

    async fn replace_stop(&self, id: &str, stop: Price) -> Result<Order, BrokerError> {
        self.broker.replace_stop(id, stop).await
    }

    async fn fills(&self, cursor: Option<&str>) -> Result<FillPage, BrokerError> {
        let from = self.clock.monotonic();
        let page = self.broker.fills(cursor).await;
        if let Ok(mut spent) = self.spent.lock() {
            *spent += self.clock.monotonic().saturating_sub(from);
        }
        page
    }
}

/// Twenty positions with their brackets, an exchange that takes 100 ms for each answer, and a scheduler that may send
/// 200 requests a minute: from `trade stop-everything` to nothing held.
async fn emergency_stop() -> anyhow::Result<Figure> {
    let exchange = Exchange::start().await?;
    let folder = exchange.folder.path();
    let environment = [
        ("DAYBOOK__EXECUTION__BROKER", "alpaca".to_owned()),
        ("DAYBOOK__ALPACA__TRADING_URL", format!("http://{}", exchange.address)),
        ("DAYBOOK__ALPACA__KEY_ID", KEY.to_owned()),
        ("DAYBOOK__ALPACA__SECRET_KEY", SECRET.to_owned()),
        ("DAYBOOK__LOGGING__LEVEL", "error".to_owned()),
        // On whatever day it is measured: outside of a session closes wait for the open.
        ("DAYBOOK__EXCHANGE_CALENDAR", "24/7".to_owned()),
    ];
    let scheduler = Command::new(SCHEDULER)
        .args(["--ledger", "live.db"])
        .current_dir(folder)
        .envs(environment.clone())
        .stdout(Stdio::null())
        .spawn();
    let _scheduler = Process(scheduler.context("starting the scheduler")?);
    let ledger_id = ledger_id(&folder.join("live.db")).await?;
    for n in 0..POSITIONS {
        let symbol = format!("S{}", char::from(b'A' + u8::try_from(n)?));
        exchange.admin("price", &json!({"symbol": symbol, "price": "100"})).await?;
        let bracket = json!({
            "symbol": symbol, "qty": 10, "side": "buy", "type": "market", "time_in_force": "day",
            "order_class": "bracket", "take_profit": {"limit_price": 120}, "stop_loss": {"stop_price": 90},
            "client_order_id": format!("dbk-{ledger_id}-breakout-watch-1794840605000-{n}-0"),
        });
        exchange.order(&bracket).await?;
    }
    exchange.admin("fault", &json!({"kind": "latency", "ms": 100})).await?;
    let clock = SystemClock::new();
    let from = clock.monotonic();
    let asked = Command::new(TRADE)
        .args(["stop-everything", "--yes", "--ledger", "live.db"])
        .current_dir(folder)
        .envs(environment)
        .stdout(Stdio::null())
        .spawn();
    let _asked = Process(asked.context("asking for the stop")?);
    for _ in 0..300 {
        let held = exchange.call(reqwest::Method::GET, "v2/positions", &Value::Null).await?;
        if held.as_array().is_some_and(Vec::is_empty) {
            return Ok(Figure {
                what: "emergency stop: 20 positions, 100 ms an answer, until flat",
                measured: clock.monotonic().saturating_sub(from).as_secs_f64(),
                unit: "s",
                promised: Promise::Under(2.0),
            });
        }
    }
    anyhow::bail!("positions are still held")
}

/// The ledger's id, once the scheduler has made it.
async fn ledger_id(path: &Path) -> anyhow::Result<String> {
    for _ in 0..200 {
        let id = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|conn| {
            conn.query_row("SELECT value FROM meta WHERE key = 'ledger_id'", [], |row| row.get::<_, String>(0))
        });
        if let Ok(id) = id {
            return Ok(id);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the scheduler makes no ledger")
}
