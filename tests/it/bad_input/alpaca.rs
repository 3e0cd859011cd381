//! Alpaca, or what answers in its place.

use std::sync::Arc;
use std::time::Duration;

use daybook::adapters::alpaca::AlpacaSettings;
use daybook::adapters::brokers::alpaca::AlpacaBroker;
use daybook::adapters::clocks::{SimulatedClock, Speed};
use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
use daybook::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, Server, serve};
use daybook_core::calendar::Calendar;
use daybook_core::money::Money;
use daybook_core::time::{Span, Timestamp};
use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::is_told;
use crate::support::followed::Followed;
use crate::support::market::new_york;

/// An account as Alpaca shows it, with a field that nobody knows.
const ACCOUNT: &str = r#"{"id":"e6fe16f3","account_number":"1","status":"ACTIVE","cash":"1","equity":"1","last_equity":"1",
    "buying_power":"1","shares_of_the_moon":"7"}"#;

/// An order that is in a state which nobody knows.
const FROZEN: &str = r#"[{"id":"61e69015","client_order_id":"by-hand","symbol":"AAPL","qty":"10","filled_qty":"0",
    "order_class":"","type":"limit","limit_price":"150","side":"buy","time_in_force":"day","status":"frozen",
    "submitted_at":"2026-11-16T15:00:05Z","mood":"good"}]"#;

fn start() -> Timestamp {
    new_york("2026-11-16", "10:00")
}

fn broker(url: &str, secret: &str, ahead: Duration) -> Arc<AlpacaBroker> {
    let settings = AlpacaSettings {
        trading_url: url.into(),
        key_id: Some(SecretString::from("PK1")),
        secret_key: Some(SecretString::from(secret)),
        requests_per_minute: 1_000_000,
        timeout: Span::seconds(20),
        ..AlpacaSettings::default()
    };
    let clock = Arc::new(SimulatedClock::new(start().after(ahead), Speed::Max));
    Arc::new(AlpacaBroker::new(&settings, clock).unwrap())
}

fn well(url: &str) -> Arc<AlpacaBroker> {
    broker(url, "hush", Duration::ZERO)
}

/// Our own exchange, whose clock stands at ten on Monday.
async fn exchange(folder: &TempDir, calendar: Calendar) -> (Server, String) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let server = serve(PaperExchangeSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        file: folder.path().join(format!("{}.db", calendar.name().replace('/', "-"))),
        accounts: vec![Credentials { key: "PK1".to_owned(), secret: "hush".to_owned() }],
        cash: Money::whole(100_000),
        feed: Arc::new(SimulatedMarket::new(&SimulatedMarketSettings::default(), Calendar::xnys())),
        calendar,
        clock: ClockMode::Stepped { from: start() },
        fills: FillRules::default(),
    });
    let server = server.await.unwrap();
    let url = format!("http://{}", server.address());
    (server, url)
}

/// A server that answers a path with a status and a body. With a `frame` it lets whoever listens sign in, says that, and
/// hangs up; without, it answers the stream's path like any other.
async fn fake(answer: fn(&str) -> (u16, &'static str), frame: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_one(stream, answer, frame));
        }
    });
    url
}

/// One connection; who hangs up in the midst of it is gone.
async fn serve_one(mut stream: TcpStream, answer: fn(&str) -> (u16, &'static str), frame: Option<&'static str>) {
    let mut head = [0; 64];
    let Ok(length) = stream.peek(&mut head).await else { return };
    let begins = String::from_utf8_lossy(&head[..length]).into_owned();
    let path = begins.split(' ').nth(1).unwrap_or_default();
    if let Some(frame) = frame.filter(|_| path == "/stream") {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        for said in [
            json!({"stream": "authorization", "data": {"status": "authorized"}}),
            json!({"stream": "listening", "data": {"streams": ["trade_updates"]}}),
        ] {
            socket.next().await;
            drop(socket.send(Message::text(said.to_string())).await);
        }
        drop(socket.send(Message::text(frame)).await);
        return;
    }
    let (status, body) = answer(path);
    let mut asked = vec![0; 16_384];
    drop(stream.read(&mut asked).await);
    let length = body.len();
    let said = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    drop(stream.write_all(said.as_bytes()).await);
}

fn account_alone(path: &str) -> (u16, &'static str) {
    if path == "/v2/account" { (200, ACCOUNT) } else { (200, "[]") }
}

fn frozen_order(path: &str) -> (u16, &'static str) {
    if path.starts_with("/v2/orders?") { (200, FROZEN) } else { account_alone(path) }
}

/// What the doctor would print.
async fn inspected(broker: &AlpacaBroker) -> String {
    match broker.inspect(&Calendar::xnys()).await {
        Ok(found) => found.remarks.join("\n"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_alpaca_has_a_name_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (_xnys, url) = exchange(&folder, Calendar::xnys()).await;
    let (_other, round_the_clock) = exchange(&folder, Calendar::always_open()).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let page = fake(|_| (200, "<html>Welcome</html>"), None).await;
    let proxy = fake(|_| (403, "<html>Blocked</html>"), None).await;
    let half = fake(|_| (200, "{\"id\":\"e6fe16f3\",\"cash\":"), None).await;
    let poor = fake(|_| (200, "{\"id\":\"e6fe16f3\"}"), None).await;
    let behind = Duration::from_millis(2_500);
    let rows = [
        (
            "a wrong key",
            broker(&url, "wrong", Duration::ZERO),
            "broker.refuses",
            vec!["refuses the key"],
            "the key is refused",
        ),
        (
            "a wrong host",
            well(&format!("http://{closed}")),
            "broker.unreachable",
            vec!["cannot be reached"],
            "cannot be reached",
        ),
        (
            "a page",
            well(&page),
            "broker.unreachable",
            vec!["answered 200 with what is no answer", "<html>"],
            "no answer",
        ),
        ("a proxy", well(&proxy), "broker.unreachable", vec!["answered 403 with what is no answer"], "answered 403"),
        ("half a document", well(&half), "broker.unreachable", vec!["what is no answer", "EOF"], "no answer"),
        ("a field is missing", well(&poor), "broker.unreachable", vec!["missing field `cash`"], "missing field `cash`"),
        ("clocks", broker(&url, "hush", behind), "broker.disagrees", vec!["2.5 s ahead of Alpaca's"], "2.5 s ahead"),
        ("calendars", well(&round_the_clock), "broker.disagrees", vec!["in the calendar XNYS"], "in the calendar XNYS"),
    ];
    for (what, broker, event, words, doctor) in rows {
        let found = inspected(&broker).await;
        assert!(found.contains(doctor), "{what}: {found}");
        is_told(what, Followed::start(broker), event, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_blocked_is_told_and_trades_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, url) = exchange(&folder, Calendar::xnys()).await;
    let http = reqwest::Client::new();
    let patch = http.patch(format!("{url}/v2/account/configurations"));
    let patch = patch.header("APCA-API-KEY-ID", "PK1").header("APCA-API-SECRET-KEY", "hush");
    let answer = patch.body(json!({"suspend_trade": true}).to_string()).send().await.unwrap();
    assert!(answer.status().is_success());
    let broker = well(&url);
    assert!(inspected(&broker).await.contains("trading is suspended"));
    is_told("a block", Followed::start(broker), "broker.disagrees", &["trading is suspended"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_broken_frames_is_told_and_read_all_the_same() {
    let broker = well(&fake(account_alone, Some("{\"stre")).await);
    is_told("a frame", Followed::start(broker), "broker.hints_lost", &["a frame cannot be read"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_nobody_knows_counts_as_working_and_is_told_once() {
    let followed = Followed::start(well(&fake(frozen_order, None).await));
    for _ in 0..3 {
        let view = followed.link.look().await.unwrap();
        assert_eq!((view.open_orders.len(), view.open_orders[0].unknown_status()), (1, Some("frozen")));
    }
    is_told("a word", followed, "order.unrecognised", &["AAPL", "61e69015", "\"frozen\""]).await;
}
