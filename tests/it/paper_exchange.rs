//! The paper exchange over loopback: what a client of Alpaca meets.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use daybook::adapters::feeds::simulated::{SimulatedMarket, SimulatedMarketSettings};
use daybook::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, Server, serve};
use daybook_core::calendar::Calendar;
use daybook_core::money::Money;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::repository;

/// Monday, 10:00 in New York.
const MONDAY: &str = "2026-11-16T15:00:00Z";

/// A client of an exchange that stands still at [`MONDAY`].
struct Desk {
    server: Server,
    http: reqwest::Client,
    folder: TempDir,
}

fn settings(file: &Path) -> PaperExchangeSettings {
    let credentials = |key: &str| Credentials { key: key.to_owned(), secret: "secret".to_owned() };
    let calendar = Calendar::xnys();
    PaperExchangeSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        file: file.to_owned(),
        accounts: vec![credentials("ONE"), credentials("TWO")],
        cash: Money::whole(100_000),
        feed: Arc::new(SimulatedMarket::new(&SimulatedMarketSettings::default(), calendar.clone())),
        calendar,
        clock: ClockMode::Stepped { from: MONDAY.parse().unwrap() },
        fills: FillRules::default(),
    }
}

impl Desk {
    async fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let server = serve(settings(&folder.path().join("exchange.db"))).await.unwrap();
        let desk = Self { server, http: reqwest::Client::new(), folder };
        desk.price("AAPL", "200").await;
        desk
    }

    async fn restarted(self) -> Self {
        let Self { server, http, folder } = self;
        server.stop().await;
        let server = serve(settings(&folder.path().join("exchange.db"))).await.unwrap();
        Self { server, http, folder }
    }

    async fn call(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.server.address());
        let mut request = self.http.request(method, url);
        request = request.header("APCA-API-KEY-ID", key).header("APCA-API-SECRET-KEY", "secret");
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("ONE", Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn admin(&self, what: &str, body: Value) {
        let (status, answer) = self.call("", Method::POST, &format!("/admin/{what}"), Some(body)).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn price(&self, symbol: &str, price: &str) {
        self.admin("price", json!({ "symbol": symbol, "price": price })).await;
    }

    async fn order(&self, order: Value) -> (u16, Value) {
        self.call("ONE", Method::POST, "/v2/orders", Some(order)).await
    }

    async fn ordered(&self, order: Value) -> Value {
        let (status, order) = self.order(order).await;
        assert_eq!(status, 200, "{order}");
        order
    }

    async fn buys(&self, shares: &str) -> Value {
        let order = self.ordered(market("buy", shares)).await;
        assert_eq!(order["status"], "filled", "{order}");
        order
    }

    async fn by_id(&self, order: &Value) -> Value {
        self.get(&format!("/v2/orders/{}?nested=True", order["id"].as_str().unwrap())).await
    }

    async fn cancel(&self, order: &Value) -> (u16, Value) {
        self.call("ONE", Method::DELETE, &format!("/v2/orders/{}", order["id"].as_str().unwrap()), None).await
    }
}

fn market(side: &str, shares: &str) -> Value {
    json!({ "symbol": "AAPL", "qty": shares, "side": side, "type": "market", "time_in_force": "day" })
}

fn limit(side: &str, shares: u32, price: &str) -> Value {
    json!({ "symbol": "AAPL", "qty": shares, "side": side, "type": "limit", "time_in_force": "gtc", "limit_price": price })
}

fn with(mut order: Value, more: &Value) -> Value {
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    order
}

#[tokio::test]
async fn a_market_order_fills_and_is_seen_everywhere() {
    let desk = Desk::new().await;
    let order = desk.buys("10").await;
    assert_eq!((&order["filled_qty"], &order["filled_avg_price"]), (&json!("10"), &json!("200.00")));
    let position = desk.get("/v2/positions/AAPL").await;
    assert_eq!((&position["qty"], &position["avg_entry_price"]), (&json!("10"), &json!("200.00")));
    let account = desk.get("/v2/account").await;
    assert_eq!((&account["cash"], &account["equity"]), (&json!("98000.00"), &json!("100000.00")));
    let fills = desk.get("/v2/account/activities/FILL").await;
    assert_eq!(
        (&fills[0]["qty"], &fills[0]["order_id"], &fills[0]["type"]),
        (&json!("10"), &order["id"], &json!("fill"))
    );
    assert!(fills[0]["id"].as_str().unwrap().starts_with("20261116100000000::"), "{fills}");
    // The other account knows nothing of it.
    let (_, positions) = desk.call("TWO", Method::GET, "/v2/positions", None).await;
    assert_eq!(positions, json!([]));
}

#[tokio::test]
async fn a_wrong_key_is_unauthorized_and_has_no_code() {
    let desk = Desk::new().await;
    let (status, body) = desk.call("NOBODY", Method::GET, "/v2/account", None).await;
    assert_eq!((status, body), (401, json!({ "message": "unauthorized." })));
}

#[tokio::test]
async fn refusals_have_the_contracts_status_and_code() {
    let desk = Desk::new().await;
    desk.ordered(with(limit("buy", 1, "150"), &json!({ "client_order_id": "mine" }))).await;
    let bracket = json!({ "order_class": "bracket", "take_profit": { "limit_price": "210" }, "stop_loss": { "stop_price": "190" } });
    let cases = [
        (with(limit("buy", 1, "149"), &json!({ "client_order_id": "mine" })), 422, 40_010_001),
        (limit("buy", 1, "190.123"), 422, 42_210_000),
        (limit("buy", 100_000, "190"), 403, 40_310_000),
        (market("sell", "1"), 403, 40_310_000), // a wash trade: a buy rests
        (with(market("buy", "0.5"), &bracket), 422, 42_210_000),
        (with(market("buy", "1"), &json!({ "extended_hours": true })), 422, 42_210_000),
        (with(market("buy", "1"), &json!({ "symbol": "NOSUCH" })), 422, 42_210_000),
        (with(limit("buy", 1, "215"), &bracket), 422, 42_210_000),
        (json!([]), 400, 40_010_000),
    ];
    for (order, status, code) in cases {
        let (found, body) = desk.order(order.clone()).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{order} {body}");
    }
    let (status, body) = desk.call("ONE", Method::GET, "/v2/positions/AAPL", None).await;
    assert_eq!((status, body), (404, json!({ "code": 40_410_000, "message": "position does not exist" })));
}

#[tokio::test]
async fn a_brackets_legs_wait_then_work_and_one_cancels_the_other() {
    let desk = Desk::new().await;
    let order = json!({ "order_class": "bracket", "take_profit": { "limit_price": 210.0 },
        "stop_loss": { "stop_price": 190.0, "limit_price": 189.0 } });
    let order = desk.ordered(with(limit("buy", 5, "195"), &order)).await;
    let statuses = |order: &Value| -> Vec<String> {
        order["legs"].as_array().unwrap().iter().map(|leg| leg["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((&order["status"], statuses(&order)), (&json!("new"), vec!["held".to_owned(), "held".to_owned()]));
    desk.price("AAPL", "195").await;
    let order = desk.by_id(&order).await;
    assert_eq!((&order["status"], statuses(&order)), (&json!("filled"), vec!["new".to_owned(), "new".to_owned()]));
    // The shares are held for the legs.
    let (status, body) = desk.call("ONE", Method::DELETE, "/v2/positions/AAPL", None).await;
    assert_eq!((status, &body["held_for_orders"], &body["available"]), (403, &json!("5"), &json!("0")));
    desk.price("AAPL", "210").await;
    assert_eq!(statuses(&desk.by_id(&order).await), ["filled", "canceled"]);
    assert_eq!(desk.get("/v2/positions").await, json!([]));
}

#[tokio::test]
async fn every_type_and_class_is_taken() {
    let desk = Desk::new().await;
    desk.buys("10").await;
    let trailing = json!({ "symbol": "AAPL", "qty": 2, "side": "sell", "type": "trailing_stop", "time_in_force": "gtc", "trail_percent": 5.0 });
    let trailing = desk.ordered(trailing).await;
    assert_eq!((&trailing["hwm"], &trailing["stop_price"]), (&json!("200.00"), &json!("190.00")));
    let oco = json!({ "symbol": "AAPL", "qty": 3, "side": "sell", "type": "limit", "time_in_force": "gtc", "order_class": "oco",
        "take_profit": { "limit_price": 220 }, "stop_loss": { "stop_price": 180 } });
    let oco = desk.ordered(oco).await;
    assert_eq!((&oco["limit_price"], &oco["legs"][0]["stop_price"]), (&json!("220.00"), &json!("180.00")));
    let oto = with(limit("buy", 1, "199"), &json!({ "order_class": "oto", "stop_loss": { "stop_price": 170 } }));
    let oto = desk.ordered(oto).await;
    let notional =
        json!({ "symbol": "AAPL", "notional": 100.5, "side": "buy", "type": "market", "time_in_force": "day" });
    let notional = desk.ordered(notional).await;
    assert_eq!((&notional["qty"], &notional["filled_qty"]), (&Value::Null, &json!("0.5025")));
    let ioc = desk.ordered(with(limit("buy", 1, "150"), &json!({ "time_in_force": "ioc" }))).await;
    assert_eq!((&ioc["status"], &ioc["time_in_force"]), (&json!("canceled"), &json!("ioc")));
    let stop = json!({ "symbol": "AAPL", "qty": 1, "side": "buy", "type": "stop", "time_in_force": "day", "stop_price": "205" });
    let stop = desk.ordered(stop).await;
    desk.price("AAPL", "199").await;
    let oto = desk.by_id(&oto).await;
    assert_eq!((&oto["status"], &oto["legs"][0]["status"]), (&json!("filled"), &json!("new")));
    desk.price("AAPL", "215").await;
    assert_eq!(desk.by_id(&stop).await["status"], "filled");
    assert_eq!(desk.by_id(&trailing).await["stop_price"], "204.25");
    desk.price("AAPL", "204").await;
    assert_eq!(desk.by_id(&trailing).await["status"], "filled");
    let (status, closed) = desk.call("ONE", Method::DELETE, "/v2/positions?cancel_orders=True", None).await;
    assert_eq!((status, &closed[0]["status"]), (207, &json!(200)), "{closed}");
    assert_eq!(desk.get("/v2/positions").await, json!([]));
    assert_eq!(desk.get("/v2/orders").await, json!([]));
}

#[tokio::test]
async fn a_price_with_a_size_fills_in_part_and_a_cancel_ends_the_rest() {
    let desk = Desk::new().await;
    let order = desk.ordered(limit("buy", 10, "190")).await;
    desk.admin("price", json!({ "symbol": "AAPL", "price": "190", "size": "4" })).await;
    let order = desk.by_id(&order).await;
    assert_eq!((&order["status"], &order["filled_qty"]), (&json!("partially_filled"), &json!("4")));
    assert_eq!(desk.cancel(&order).await.0, 204);
    assert_eq!(desk.cancel(&order).await.0, 204);
    assert_eq!(desk.by_id(&order).await["status"], "canceled");
    assert_eq!(desk.get("/v2/positions/AAPL").await["qty"], "4");
}

#[tokio::test]
async fn a_replacement_is_a_new_order() {
    let desk = Desk::new().await;
    let old = desk.ordered(limit("buy", 10, "190")).await;
    let path = format!("/v2/orders/{}", old["id"].as_str().unwrap());
    let (status, same) = desk.call("ONE", Method::PATCH, &path, Some(json!({ "limit_price": "190" }))).await;
    assert_eq!((status, &same["message"]), (422, &json!("order parameters are not changed")));
    let (status, new) = desk.call("ONE", Method::PATCH, &path, Some(json!({ "limit_price": 191.5, "qty": 8 }))).await;
    assert_eq!((status, &new["replaces"], &new["qty"]), (200, &old["id"], &json!("8")), "{new}");
    let old = desk.by_id(&old).await;
    assert_eq!((&old["status"], &old["replaced_by"]), (&json!("replaced"), &new["id"]));
    assert_eq!(desk.cancel(&old).await.0, 422);
    let exits = json!({ "order_class": "bracket", "take_profit": { "limit_price": "220" }, "stop_loss": { "stop_price": "180" } });
    let bracket = desk.ordered(with(limit("buy", 1, "200"), &exits)).await;
    let path = format!("/v2/orders/{}", bracket["legs"][1]["id"].as_str().unwrap());
    let (status, moved) = desk.call("ONE", Method::PATCH, &path, Some(json!({ "stop_price": "185" }))).await;
    assert_eq!(status, 200, "{moved}");
    let legs = desk.by_id(&bracket).await["legs"].as_array().unwrap().clone();
    let legs: Vec<_> = legs.iter().map(|leg| (leg["status"].clone(), leg["stop_price"].clone())).collect();
    assert_eq!(legs[1..], [(json!("replaced"), json!("180.00")), (json!("new"), json!("185.00"))]);
}

#[tokio::test]
async fn outside_hours_day_orders_are_parked_and_fill_at_the_open() {
    let desk = Desk::new().await;
    desk.admin("clock", json!({ "now": "2026-11-17T12:00:00Z" })).await; // 07:00
    let parked = desk.ordered(market("buy", "1")).await;
    assert_eq!(parked["status"], "accepted");
    let extended = json!({ "time_in_force": "day", "extended_hours": true });
    let early = desk.ordered(with(limit("buy", 1, "201"), &extended)).await;
    assert_eq!(early["status"], "filled");
    desk.admin("clock", json!({ "now": "2026-11-17T14:30:00Z" })).await;
    assert_eq!(desk.by_id(&parked).await["status"], "filled");
    let clock = desk.get("/v2/clock").await;
    assert_eq!((&clock["is_open"], &clock["timestamp"]), (&json!(true), &json!("2026-11-17T09:30:00.000-05:00")));
    let half_day = desk.get("/v2/calendar?start=2026-11-27&end=2026-11-27").await;
    assert_eq!((&half_day[0]["close"], &half_day[0]["session_open"]), (&json!("13:00"), &json!("0400")));
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let desk = Desk::new().await;
    desk.buys("3").await;
    let resting = desk.ordered(with(limit("buy", 1, "150"), &json!({ "client_order_id": "kept" }))).await;
    let (orders, account) = (desk.get("/v2/orders?status=all").await, desk.get("/v2/account").await);
    let desk = desk.restarted().await;
    assert_eq!(desk.get("/v2/orders?status=all").await, orders);
    assert_eq!(desk.get("/v2/account").await, account);
    let (_, twice) = desk.order(with(limit("buy", 1, "150"), &json!({ "client_order_id": "kept" }))).await;
    assert_eq!(twice["code"], 40_010_001);
    assert_eq!(desk.get("/v2/orders:by_client_order_id?client_order_id=kept").await["id"], resting["id"]);
    desk.price("AAPL", "150").await;
    assert_eq!(desk.by_id(&resting).await["status"], "filled");
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(desk.folder.path().join("exchange.db")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    }
}

#[tokio::test]
async fn lists_are_paged_by_the_last_id_and_activities_by_their_cursor() {
    let desk = Desk::new().await;
    for _ in 0..5 {
        desk.buys("1").await;
    }
    let page = desk.get("/v2/orders?status=closed&limit=2").await;
    let last = page[1]["id"].as_str().unwrap();
    let next = desk.get(&format!("/v2/orders?status=closed&limit=10&before_order_id={last}")).await;
    assert_eq!((page.as_array().unwrap().len(), next.as_array().unwrap().len()), (2, 3));
    let page = desk.get("/v2/account/activities/FILL?direction=asc&page_size=3").await;
    let token = page[2]["id"].as_str().unwrap();
    let next = desk.get(&format!("/v2/account/activities/FILL?direction=asc&page_size=3&page_token={token}")).await;
    assert_eq!(next.as_array().unwrap().len(), 2);
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn hear(socket: &mut Socket) -> Value {
    match socket.next().await.unwrap().unwrap() {
        Message::Binary(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn listener(desk: &Desk) -> Socket {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/stream", desk.server.address())).await.unwrap();
    say(&mut socket, json!({ "action": "listen", "data": { "streams": ["trade_updates"] } })).await;
    assert_eq!(hear(&mut socket).await["data"]["status"], "unauthorized");
    say(&mut socket, json!({ "action": "auth", "key": "ONE", "secret": "secret" })).await;
    assert_eq!(hear(&mut socket).await["data"]["status"], "authorized");
    say(&mut socket, json!({ "action": "listen", "data": { "streams": ["trade_updates", "other"] } })).await;
    assert_eq!(hear(&mut socket).await, json!({ "stream": "listening", "data": { "streams": ["trade_updates"] } }));
    socket
}

#[tokio::test]
async fn orders_are_told_as_they_change_and_faults_disturb_that() {
    let desk = Desk::new().await;
    let mut socket = listener(&desk).await;
    let order = desk.ordered(limit("buy", 10, "190")).await;
    let told = hear(&mut socket).await;
    assert_eq!((&told["data"]["event"], &told["data"]["order"]["id"]), (&json!("new"), &order["id"]));
    desk.admin("price", json!({ "symbol": "AAPL", "price": "190", "size": "4" })).await;
    let part = &hear(&mut socket).await["data"];
    assert_eq!(
        (&part["event"], &part["qty"], &part["position_qty"]),
        (&json!("partial_fill"), &json!("4"), &json!("4"))
    );
    desk.admin("fault", json!({ "kind": "duplicate_events", "count": 1 })).await;
    desk.price("AAPL", "189").await;
    let whole = hear(&mut socket).await;
    assert_eq!((&whole["data"]["event"], &whole["data"]["order"]["filled_qty"]), (&json!("fill"), &json!("10")));
    assert_eq!(whole["data"]["order"]["filled_avg_price"], "189.40");
    assert_eq!(hear(&mut socket).await, whole);
    desk.admin("fault", json!({ "kind": "reorder_events", "count": 1 })).await;
    let order = desk.ordered(limit("buy", 1, "100")).await;
    desk.cancel(&order).await;
    assert_eq!(hear(&mut socket).await["data"]["event"], "canceled");
    assert_eq!(hear(&mut socket).await["data"]["event"], "new");
    desk.admin("fault", json!({ "kind": "disconnect" })).await;
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_) | Message::Binary(_)))));
}

#[tokio::test]
async fn an_order_that_fills_as_it_comes_is_told_at_its_price() {
    let desk = Desk::new().await;
    let mut socket = listener(&desk).await;
    desk.price("AAPL", "200").await;
    let order = desk.buys("10").await;
    assert_eq!(hear(&mut socket).await["data"]["order"]["filled_avg_price"], Value::Null);
    let told = &hear(&mut socket).await["data"];
    assert_eq!((&told["event"], &told["price"]), (&json!("fill"), &json!("200.00")));
    for field in ["filled_avg_price", "filled_qty", "status", "type", "qty", "position_intent", "filled_at"] {
        assert_eq!(told["order"][field], order[field], "{field}");
    }
}

#[tokio::test]
async fn the_clock_stays_within_the_calendar() {
    let desk = Desk::new().await;
    for far in [json!({ "advance_s": 1_000_000_000_000_000_000_u64 }), json!({ "now": "2135-11-17T14:31:30Z" })] {
        let (status, answer) = desk.call("", Method::POST, "/admin/clock", Some(far)).await;
        assert_eq!(status, 422, "{answer}");
    }
    assert!(desk.get("/v2/clock").await["next_open"].is_string());
}

#[tokio::test]
async fn requests_meet_the_faults_that_were_asked_for() {
    let desk = Desk::new().await;
    desk.admin("fault", json!({ "kind": "rate_limit", "count": 1, "reset_s": 7 })).await;
    let (status, body) = desk.call("ONE", Method::GET, "/v2/account", None).await;
    assert_eq!((status, &body["code"]), (429, &json!(42_910_000)));
    desk.admin("fault", json!({ "kind": "drop_after_accept", "count": 1, "method": "POST" })).await;
    let url = format!("http://{}/v2/orders", desk.server.address());
    let order = with(limit("buy", 1, "150"), &json!({ "client_order_id": "lost" }));
    let request = desk.http.post(url).header("APCA-API-KEY-ID", "ONE").header("APCA-API-SECRET-KEY", "secret");
    assert!(request.body(order.to_string()).send().await.is_err());
    assert_eq!(desk.get("/v2/orders:by_client_order_id?client_order_id=lost").await["status"], "new");
    desk.admin("fault", json!({ "kind": "server_error", "status": 504, "carried_out": true, "count": 1 })).await;
    assert_eq!(desk.order(limit("buy", 1, "151")).await.0, 504);
    assert_eq!(desk.get("/v2/orders").await.as_array().unwrap().len(), 2);
    let (status, _) = desk.call("", Method::POST, "/admin/fault", Some(json!({ "kind": "earthquake" }))).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn market_data_is_told_by_request_and_by_stream() {
    let desk = Desk::new().await;
    let symbol = desk.get("/v2/assets").await[0]["symbol"].as_str().unwrap().to_owned();
    let bars = desk
        .get(&format!("/v2/stocks/bars?symbols={symbol}&timeframe=5Min&start=2026-11-13T14:30:00Z&end=2026-11-13T15:29:59Z&limit=10"))
        .await;
    assert_eq!(bars["bars"][&symbol].as_array().unwrap().len(), 10);
    let token = bars["next_page_token"].as_str().unwrap();
    let rest = desk
        .get(&format!("/v2/stocks/{symbol}/bars?timeframe=5Min&start=2026-11-13T14:30:00Z&end=2026-11-13T15:29:59Z&limit=10&page_token={token}"))
        .await;
    assert_eq!((rest["bars"].as_array().unwrap().len(), &rest["next_page_token"]), (2, &Value::Null));
    let days =
        desk.get(&format!("/v2/stocks/bars?symbols={symbol}&timeframe=1Day&start=2026-11-09&end=2026-11-14")).await;
    let stamps: Vec<&str> =
        days["bars"][&symbol].as_array().unwrap().iter().map(|bar| bar["t"].as_str().unwrap()).collect();
    assert_eq!((stamps.len(), stamps[0]), (5, "2026-11-09T05:00:00Z"));
    let latest = desk.get("/v2/stocks/quotes/latest?symbols=AAPL,NOSUCH").await;
    assert_eq!((&latest["quotes"]["AAPL"]["ap"], &latest["quotes"]["NOSUCH"]), (&json!(200.0), &Value::Null));
    let snapshot = desk.get(&format!("/v2/stocks/snapshots?symbols={symbol}")).await;
    assert!(snapshot[&symbol]["prevDailyBar"]["c"].is_number(), "{snapshot}");
    let quotes = desk.get(&format!("/v2/stocks/{symbol}/quotes?start=2026-11-16T14:59:00Z&limit=5")).await;
    assert_eq!(quotes["quotes"].as_array().unwrap().len(), 5);
    assert!(desk.get("/v1beta1/news?limit=3").await["news"].is_array());

    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/v2/iex", desk.server.address())).await.unwrap();
    assert_eq!(hear(&mut socket).await, json!([{ "T": "success", "msg": "connected" }]));
    say(&mut socket, json!({ "action": "subscribe", "quotes": ["AAPL"] })).await;
    assert_eq!(hear(&mut socket).await[0]["code"], 401);
    say(&mut socket, json!({ "action": "auth", "key": "ONE", "secret": "secret" })).await;
    assert_eq!(hear(&mut socket).await[0]["msg"], "authenticated");
    say(&mut socket, json!({ "action": "subscribe", "trades": ["AAPL"], "bars": ["AAPL"] })).await;
    assert_eq!(hear(&mut socket).await[0]["trades"], json!(["AAPL"]));
    assert_eq!(hear(&mut socket).await[0]["p"], 200.0);
    desk.price("AAPL", "201").await;
    assert_eq!(hear(&mut socket).await[0]["p"], 201.0);
    desk.admin("clock", json!({ "advance_s": 60 })).await;
    let bar = &hear(&mut socket).await[0];
    assert_eq!(
        (&bar["T"], &bar["o"], &bar["c"], &bar["t"]),
        (&json!("b"), &json!(200.0), &json!(201.0), &json!(MONDAY))
    );
    say(&mut socket, json!({ "action": "subscribe", "statuses": ["AAPL"], "lulds": ["AAPL"] })).await;
    assert_eq!(hear(&mut socket).await[0]["statuses"], json!(["AAPL"]));
    for (halted, code) in [(true, "H"), (false, "T")] {
        desk.admin("halt", json!({ "symbol": "AAPL", "halted": halted })).await;
        let status = &hear(&mut socket).await[0];
        assert_eq!((&status["T"], &status["S"], &status["sc"]), (&json!("s"), &json!("AAPL"), &json!(code)));
    }
    desk.admin("clock", json!({ "advance_s": 60 })).await;
    let bands = &hear(&mut socket).await[0];
    assert_eq!((&bands["T"], &bands["u"], &bands["d"]), (&json!("l"), &json!(211.05), &json!(190.95)));
}

#[tokio::test]
async fn the_official_client_for_python_works_against_it() {
    let python = std::env::var("ALPACA_PY").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import alpaca"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no alpaca-py; name one that has it in ALPACA_PY");
        return;
    }
    let desk = Desk::new().await;
    let script = repository::root().join("tests/alpaca_py/drive.py");
    let url = format!("http://{}", desk.server.address());
    let output = tokio::process::Command::new(python).arg(script).args([&url, "ONE", "secret"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_with_key_and_host() {
    let desk = Desk::new().await;
    let exchange = format!("http://{}", desk.server.address());
    let table = [
        // Nobody listens at port 1.
        ("http://127.0.0.1:1", "ONE", "secret", "cannot be reached"),
        (exchange.as_str(), "ONE", "another", "the key is refused; check alpaca.key_id and alpaca.secret_key"),
        (exchange.as_str(), "ONE", "", "alpaca.secret_key"),
        // The exchange stands still on a Monday, and this machine does not.
        (exchange.as_str(), "ONE", "secret", "Alpaca, paper account"),
        (exchange.as_str(), "ONE", "secret", "Alpaca's: keep it with NTP"),
    ];
    for (url, key, secret, expected) in table {
        let said = tokio::process::Command::new(assert_cmd::cargo::cargo_bin!("trade"))
            .args(["doctor", "--ledger", "l.db"])
            .current_dir(desk.folder.path())
            .envs([("DAYBOOK__EXECUTION__BROKER", "alpaca"), ("DAYBOOK__ALPACA__TRADING_URL", url)])
            .envs([("DAYBOOK__ALPACA__KEY_ID", key), ("DAYBOOK__ALPACA__SECRET_KEY", secret), ("COLUMNS", "400")])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(text.contains(expected), "{expected} is not in\n{text}{}", String::from_utf8_lossy(&said.stderr));
        assert!(!said.status.success(), "{expected}: something is wrong, and the exit code says so");
    }
}
