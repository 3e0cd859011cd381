//! The broker against a scripted server, with the documents that Alpaca sends.

use daybook_core::money::{Bps, Quantity};
use daybook_core::order::{OrderStatus, OrderTicket, OrderType, Side, TimeInForce, Trail};
use daybook_core::risk::{Verdict, approve_entry, approve_exit, approve_protection};
use daybook_core::time::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::adapters::alpaca::scripted::{Answer, Scripted};
use crate::adapters::clocks::{SimulatedClock, Speed};

const PARENT: &str = "61e69015-8549-4bfd-b9c3-01e75843f47d";
const TARGET: &str = "1a0d0d2f-55f5-4f71-9d8c-2d1d1f0b7a01";
const STOP: &str = "2b1e1e3f-66f6-4f82-8e9d-3e2e2f1c8b02";
const MOVED: &str = "3c2f2f4f-77f7-4f93-9fae-4f3f3f2d9c03";

const fn cents(cents: i64) -> Price {
    Price::from_cents(cents)
}

async fn served(answers: Vec<Answer>) -> (Scripted, AlpacaBroker) {
    let server = Scripted::start(answers).await;
    let broker = broker(server.url(), AlpacaSettings::default());
    (server, broker)
}

fn broker(url: &str, settings: AlpacaSettings) -> AlpacaBroker {
    let clock = Arc::new(SimulatedClock::new(Timestamp(1_794_840_605_000), Speed::Max));
    let key = Some(SecretString::from("PK1"));
    let settings = AlpacaSettings { trading_url: url.into(), key_id: key.clone(), secret_key: key, ..settings };
    AlpacaBroker::new(&settings, clock).unwrap()
}

/// An order as Alpaca shows it, with more fields than anybody reads.
fn order(id: &str, name: &str, changes: Value) -> Value {
    let mut order = json!({
        "id": id, "client_order_id": name, "created_at": "2026-11-16T10:00:05.123456789-05:00",
        "updated_at": "2026-11-16T15:00:06.000000001Z", "submitted_at": "2026-11-16T15:00:05.2Z", "filled_at": null,
        "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415", "symbol": "AAPL", "asset_class": "us_equity",
        "notional": null, "qty": "10", "filled_qty": "0", "filled_avg_price": null, "order_class": "",
        "order_type": "limit", "type": "limit", "side": "buy", "position_intent": "buy_to_open",
        "time_in_force": "day", "limit_price": "150", "stop_price": null, "status": "new", "extended_hours": false,
        "legs": null, "trail_percent": null, "trail_price": null, "hwm": null, "subtag": null, "source": "access_key",
        "replaces": null, "replaced_by": null, "expires_at": "2026-11-16T21:00:00Z"
    });
    for (field, value) in changes.as_object().unwrap() {
        order[field] = value.clone();
    }
    order
}

fn target(changes: Value) -> Value {
    let mut leg = order(
        TARGET,
        "leg-1",
        json!({"side": "sell", "limit_price": "160.00", "order_class": "bracket", "status": "held"}),
    );
    leg.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    leg
}

fn stop(changes: Value) -> Value {
    let mut leg = order(
        STOP,
        "leg-2",
        json!({"side": "sell", "type": "stop", "limit_price": null, "stop_price": "145.5", "order_class": "bracket", "status": "held"}),
    );
    leg.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    leg
}

fn bracket_order(legs: Value) -> Value {
    order(PARENT, "dbk-1", json!({"order_class": "bracket", "status": "pending_new", "legs": legs}))
}

fn ok(body: &Value) -> Answer {
    Answer::json(200, &body.to_string())
}

fn ticket(order_type: OrderType, class: OrderClass) -> OrderTicket {
    OrderTicket {
        client_order_id: "dbk-1".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: if class == OrderClass::Simple { Side::Sell } else { Side::Buy },
        quantity: Quantity::whole(10),
        order_type,
        time_in_force: TimeInForce::Day,
        class,
    }
}

fn entry() -> OrderTicket {
    let class = OrderClass::Bracket { take_profit: cents(16_000), stop_loss: cents(14_550) };
    ticket(OrderType::Limit { limit: cents(15_000) }, class)
}

fn approved(ticket: OrderTicket) -> Approved<OrderTicket> {
    let verdict = Verdict { quantity: Some(ticket.quantity), refused_by: None, checks: Vec::new() };
    let held = ticket.side.opposite().signed(ticket.quantity);
    let entry = approve_entry(ticket.clone(), &verdict);
    entry.or_else(|_| approve_protection(ticket.clone(), held)).or_else(|_| approve_exit(ticket, held)).unwrap()
}

fn body_of(request: &str) -> Value {
    serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

#[tokio::test]
async fn a_bracket_goes_out_whole_and_comes_back_with_its_legs() {
    let answer = bracket_order(json!([stop(json!({})), target(json!({}))]));
    let (server, broker) = served(vec![ok(&answer)]).await;
    let orders = broker.submit(&approved(entry())).await.unwrap();
    assert!(orders[0].has_terms_of(&entry()), "{orders:?}");
    let states: Vec<_> = orders.iter().map(|order| (order.role, order.status)).collect();
    use OrderRole::{Parent, StopLoss, TakeProfit};
    use OrderStatus::{Accepted, Held};
    assert_eq!(states, [(Parent, Accepted), (TakeProfit, Held), (StopLoss, Held)]);
    assert!(orders[1..].iter().all(|leg| leg.parent == Some("dbk-1".parse().unwrap())));
    assert_eq!(orders[0].submitted_at, "2026-11-16T15:00:05.200Z".parse().unwrap());
    let sent = body_of(&server.requests().await[0]);
    assert_eq!(
        sent,
        json!({
            "client_order_id": "dbk-1", "symbol": "AAPL", "qty": "10", "side": "buy", "type": "limit",
            "time_in_force": "day", "limit_price": "150.00", "order_class": "bracket",
            "take_profit": {"limit_price": "160.00"}, "stop_loss": {"stop_price": "145.50"}
        })
    );
}

#[test]
fn every_type_of_exit_has_its_document() {
    let simple = |order_type| serde_json::to_value(NewOrder::of(&ticket(order_type, OrderClass::Simple))).unwrap();
    let trail = |trail| simple(OrderType::TrailingStop { trail });
    let stop_limit = simple(OrderType::StopLimit { stop: cents(9_950), limit: cents(9_940) });
    assert_eq!(simple(OrderType::Market)["type"], "market");
    assert_eq!(simple(OrderType::Market).get("extended_hours"), None);
    let limit = ticket(OrderType::Limit { limit: cents(9_800) }, OrderClass::Simple);
    let late = serde_json::to_value(NewOrder::of(&limit).in_extended_hours()).unwrap();
    assert_eq!((&late["extended_hours"], &late["time_in_force"]), (&json!(true), &json!("day")));
    assert_eq!((&stop_limit["stop_price"], &stop_limit["limit_price"]), (&json!("99.50"), &json!("99.40")));
    assert_eq!(trail(Trail::Amount(cents(80)))["trail_price"], "0.80");
    assert_eq!(trail(Trail::Ratio(Bps(150)))["trail_percent"], "1.5");
    let pair = OrderTicket {
        side: Side::Sell,
        ..ticket(OrderType::Limit { limit: cents(16_000) }, OrderClass::Oco { stop_loss: cents(14_550) })
    };
    let pair = serde_json::to_value(NewOrder::of(&pair)).unwrap();
    assert_eq!((&pair["order_class"], &pair["take_profit"]["limit_price"]), (&json!("oco"), &json!("160.00")));
    assert!(pair.get("limit_price").is_none() && pair["stop_loss"]["stop_price"] == "145.50");
}

#[tokio::test]
async fn what_may_be_done_after_a_failed_order_is_told_by_its_class() {
    let (rejected, unknown, retryable, duplicate) = ("Rejected", "Unknown", "Retryable", "Duplicate");
    let cases = [
        (Answer::json(403, r#"{"code":40310000,"message":"insufficient qty","available":"0"}"#), rejected),
        (
            Answer::json(403, r#"{"code":40310000,"message":"potential wash trade detected","reject_reason":"x"}"#),
            rejected,
        ),
        (Answer::json(422, r#"{"code":42210000,"message":"sub-penny increment"}"#), rejected),
        (Answer::json(422, r#"{"code":40010001,"message":"client_order_id must be unique"}"#), duplicate),
        (Answer::json(400, r#"{"code":40010001,"message":"invalid side"}"#), rejected),
        (Answer::json(401, r#"{"message":"unauthorized."}"#), rejected),
        (Answer::json(429, r#"{"code":42910000,"message":"rate limit exceeded"}"#), retryable),
        (Answer::json(500, r#"{"code":50010000,"message":"internal server error"}"#), unknown),
        (Answer::json(504, "gateway timeout"), unknown),
        (Answer::new(403, &[], "<html>blocked by a proxy</html>"), unknown),
        (Answer::json(200, "{\"id\":\"61e6"), unknown),
        (Answer::json(200, r#"{"id":"61e6"}"#), unknown),
        (Answer::Cut, unknown),
    ];
    for (answer, expected) in cases {
        let (server, broker) = served(vec![answer.clone()]).await;
        let error = broker.submit(&approved(entry())).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{answer:?} became {error:?}");
        assert_eq!(server.requests().await.len(), 1, "nothing is sent twice");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = broker(&format!("http://{closed}"), AlpacaSettings::default()).submit(&approved(entry())).await;
    assert!(matches!(error, Err(BrokerError::Retryable { .. })), "nothing was sent: {error:?}");
}

#[tokio::test]
async fn reading_may_be_repeated_and_absence_is_alpacas_own_word() {
    let id = "dbk-1".parse().unwrap();
    let absent = Answer::json(404, r#"{"code":40410000,"message":"order not found for dbk-1"}"#);
    let (server, broker) = served(vec![absent]).await;
    assert_eq!(broker.orders_by_client_id(&id).await, Ok(Vec::new()));
    assert!(server.asked().await[0].starts_with("GET /v2/orders:by_client_order_id?client_order_id=dbk-1"));
    for answer in [Answer::new(404, &[], "<html>Not Found</html>"), Answer::json(502, "{}"), Answer::Cut] {
        let (_server, broker) = served(vec![answer]).await;
        let error = broker.orders_by_client_id(&id).await.unwrap_err();
        assert!(matches!(error, BrokerError::Retryable { .. }), "an order must not be thought absent: {error:?}");
    }
}

#[tokio::test]
async fn a_stop_that_was_replaced_is_shown_as_the_one_in_force() {
    let replaced = stop(json!({"status": "replaced", "replaced_by": MOVED}));
    let moved =
        stop(json!({"id": MOVED, "client_order_id": "leg-3", "stop_price": "148", "status": "new", "replaces": STOP}));
    let tree = bracket_order(json!([target(json!({"status": "new"})), replaced.clone()]));
    // The look-up by name without legs, the one by id with them, the successor.
    let bare = order(PARENT, "dbk-1", json!({"order_class": "bracket"}));
    let (server, broker) = served(vec![ok(&bare), ok(&tree), ok(&moved), ok(&replaced)]).await;
    let orders = broker.orders_by_client_id(&"dbk-1".parse().unwrap()).await.unwrap();
    assert_eq!(orders[2].broker_order_id, MOVED);
    assert_eq!((orders[2].role, orders[2].order_type), (OrderRole::StopLoss, OrderType::Stop { stop: cents(14_800) }));
    assert!(orders[0].has_terms_of(&entry()), "the terms are those that were sent");
    let before = broker.orders(&[STOP.to_owned(), "../account".to_owned()]).await.unwrap();
    assert_eq!((before.len(), before[0].status, before[0].role), (1, OrderStatus::Replaced, OrderRole::StopLoss));
    assert_eq!(server.asked().await[1], format!("GET /v2/orders/{PARENT}?nested=true"));
}

/// A listing may leave out legs that were replaced: the one that replaced it tells where such a leg belongs.
#[tokio::test]
async fn a_leg_that_was_replaced_is_of_the_group_of_its_successor() {
    let moved = stop(json!({"id": MOVED, "client_order_id": "leg-3", "stop_price": "148", "status": "new"}));
    let tree = bracket_order(json!([target(json!({"status": "new"})), moved]));
    let replaced = stop(json!({"status": "replaced", "replaced_by": MOVED}));
    let (_server, broker) = served(vec![ok(&replaced), ok(&json!([tree]))]).await;
    let orders = broker.orders(&[STOP.to_owned()]).await.unwrap();
    assert_eq!((orders[0].role, orders[0].parent.clone()), (OrderRole::StopLoss, Some("dbk-1".parse().unwrap())));
}

#[tokio::test]
async fn a_stop_is_moved_once_however_often_it_is_asked() {
    let tree = bracket_order(json!([target(json!({"status": "new"})), stop(json!({"status": "new"}))]));
    let current = stop(json!({"status": "new"}));
    let moved =
        stop(json!({"id": MOVED, "client_order_id": "leg-3", "stop_price": "148", "status": "new", "replaces": STOP}));
    let replaced = stop(json!({"status": "replaced", "replaced_by": MOVED}));
    let answers = vec![ok(&current), ok(&json!([tree])), ok(&moved), ok(&replaced), ok(&moved)];
    let (server, broker) = served(answers).await;
    for _ in 0..2 {
        let order = broker.replace_stop(STOP, cents(14_800)).await.unwrap();
        assert_eq!((order.broker_order_id.as_str(), order.role), (MOVED, OrderRole::StopLoss));
        assert_eq!(order.parent, Some("dbk-1".parse().unwrap()));
    }
    let changes: Vec<String> = server.requests().await.into_iter().filter(|asked| !asked.starts_with("GET")).collect();
    assert_eq!(changes.len(), 1, "the second call finds it moved");
    assert!(changes[0].starts_with(&format!("PATCH /v2/orders/{STOP} ")));
    assert_eq!(body_of(&changes[0]), json!({"stop_price": "148.00"}));
}

#[tokio::test]
async fn open_orders_are_told_group_by_group_and_anothers_are_shown() {
    let by_hand = order(
        "9d4f",
        "by hand",
        json!({
            "symbol": "BRK.B", "qty": null, "notional": "500", "type": "market", "limit_price": null,
            "time_in_force": "ioc", "status": "a_new_word"
        }),
    );
    let option = order("8c3e", "o", json!({"symbol": "AAPL261218C00150000", "asset_class": "us_option"}));
    let parent = order(
        PARENT,
        "dbk-1",
        json!({"order_class": "bracket", "status": "partially_filled", "filled_qty": "4",
        "filled_avg_price": "149.12345678901"}),
    );
    let listed = json!([stop(json!({})), by_hand, option, target(json!({})), parent.clone()]);
    let mut tree = parent;
    tree["legs"] = json!([target(json!({})), stop(json!({}))]);
    let (server, broker) = served(vec![ok(&listed), ok(&json!([tree]))]).await;
    let open = broker.open_orders().await.unwrap();
    let ids: Vec<&str> = open.iter().map(|order| order.broker_order_id.as_str()).collect();
    assert_eq!(ids, [PARENT, TARGET, STOP, "9d4f"]);
    assert_eq!(open[0].average_price, Some("149.12345678".parse().unwrap()));
    assert_eq!(open[0].class, entry().class);
    assert_eq!((open[3].symbol.as_str(), open[3].status), ("BRK.B", OrderStatus::New));
    assert_eq!(open[3].unknown_status(), Some("a_new_word"));
    assert_eq!(open[3].client_order_id.as_str(), "9d4f", "a name with a blank is none of ours");
    assert!(server.asked().await[1].contains("status=all&nested=true&symbols=AAPL"));
}

fn activity(id: &str, time: &str, order: &str) -> Value {
    json!({"id": id, "activity_type": "FILL", "transaction_time": time, "type": "fill", "price": "150.01", "qty": "10",
        "side": "buy", "symbol": "AAPL", "leaves_qty": "0", "order_id": order, "cum_qty": "10", "order_status": "filled"})
}

#[tokio::test]
async fn an_execution_that_is_recorded_late_is_told_and_none_twice() {
    let (early, late) = (
        activity("20261116100010000::a", "2026-11-16T15:00:10Z", PARENT),
        activity("20261116100009000::z", "2026-11-16T15:00:09.5Z", PARENT),
    );
    let answers = vec![
        ok(&json!([])),
        ok(&json!([early])),
        ok(&order(PARENT, "dbk-1", json!({}))),
        ok(&json!([late, early])),
        ok(&json!([late, early])),
    ];
    let (server, broker) = served(answers).await;
    let empty = broker.fills(None).await.unwrap();
    assert_eq!((empty.fills.len(), empty.more), (0, false));
    let first = broker.fills(Some(&empty.cursor)).await.unwrap();
    assert_eq!(first.fills[0].client_order_id.as_str(), "dbk-1");
    assert_eq!((first.fills[0].price, first.fills[0].quantity), (cents(15_001), Quantity::whole(10)));
    let second = broker.fills(Some(&first.cursor)).await.unwrap();
    let ids: Vec<&str> = second.fills.iter().map(|fill| fill.execution_id.as_str()).collect();
    assert_eq!(ids, ["20261116100009000::z"]);
    assert_eq!(second.cursor, first.cursor, "the place does not go back");
    assert_eq!(broker.fills(Some(&second.cursor)).await.unwrap().fills, []);
    let asked = server.asked().await;
    assert!(asked[3].contains("direction=asc&page_size=100&after=2026-11-16T14%3A59%3A10Z"), "{asked:?}");
    assert!(matches!(broker.fills(Some("17")).await, Err(BrokerError::Rejected { .. })), "the paper broker's cursor");
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap() {
    let all: Vec<Value> = (0..150_u32)
        .map(|n| activity(&format!("{n:03}::x"), &format!("2026-11-16T15:{:02}:{:02}Z", n / 60, n % 60), PARENT))
        .collect();
    let answers = vec![
        ok(&json!(all[..100])),
        ok(&order(PARENT, "dbk-1", json!({}))),
        ok(&json!(all[40..140])),
        ok(&json!(all[80..])),
    ];
    let (_server, broker) = served(answers).await;
    let mut told = Vec::new();
    let mut cursor = None;
    loop {
        let page = broker.fills(cursor.as_deref()).await.unwrap();
        told.extend(page.fills.into_iter().map(|fill| fill.execution_id));
        if !page.more {
            break;
        }
        cursor = Some(page.cursor);
    }
    assert_eq!(told, all.iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
}

fn account(changes: Value) -> Value {
    let mut account = json!({
        "id": "e6fe16f3", "account_number": "123456789", "status": "ACTIVE", "currency": "USD", "cash": "-23140.2",
        "equity": "103820.563", "last_equity": "103529.240000000001", "buying_power": 262113.63, "multiplier": "4",
        "trading_blocked": false, "account_blocked": false, "trade_suspended_by_user": false, "shorting_enabled": true
    });
    account.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    account
}

#[tokio::test]
async fn the_account_and_what_it_holds_are_read_exactly() {
    let positions = json!([
        {"symbol": "BRK.B", "asset_class": "us_equity", "qty": "5.5", "side": "long", "avg_entry_price": "401.2345678912", "current_price": null},
        {"symbol": "AAPL", "qty": "3", "side": "short", "avg_entry_price": "150"},
        {"symbol": "AAPL261218C00150000", "asset_class": "us_option", "qty": "1", "avg_entry_price": "3"}
    ]);
    let (_server, broker) = served(vec![
        ok(&account(json!({}))),
        ok(&positions),
        ok(&account(json!({"account_blocked": true}))),
        ok(&account(json!({"status": "ACCOUNT_CLOSED"}))),
    ])
    .await;
    let read = broker.account().await.unwrap();
    assert_eq!((read.account_id.as_str(), read.cash, read.blocked), ("123456789", "-23140.2".parse().unwrap(), false));
    assert_eq!((read.buying_power, read.last_equity), ("262113.63".parse().unwrap(), "103529.24".parse().unwrap()));
    let held = broker.positions().await.unwrap();
    assert_eq!(
        held.iter().map(|position| position.quantity).collect::<Vec<_>>(),
        [Quantity(5_500_000_000), Quantity::whole(-3)]
    );
    assert!(broker.account().await.unwrap().blocked && broker.account().await.unwrap().blocked);
}

#[tokio::test]
async fn real_money_is_sent_to_the_named_account_alone() {
    let live = |number: &str| AlpacaSettings {
        environment: Environment::Live,
        live_account: number.to_owned(),
        ..AlpacaSettings::default()
    };
    let server = Scripted::start(vec![ok(&account(json!({})))]).await;
    let refused = broker(server.url(), live("987654321")).submit(&approved(entry())).await;
    assert!(
        matches!(&refused, Err(BrokerError::Rejected { reason, .. }) if reason.contains("123456789")),
        "{refused:?}"
    );
    assert_eq!(server.asked().await, ["GET /v2/account"], "no order was sent");
    let sent = ok(&bracket_order(json!([target(json!({})), stop(json!({}))])));
    let server = Scripted::start(vec![ok(&account(json!({}))), sent.clone(), sent]).await;
    let broker = broker(server.url(), live("123456789"));
    for _ in 0..2 {
        broker.submit(&approved(entry())).await.unwrap();
    }
    assert_eq!(server.asked().await, ["GET /v2/account", "POST /v2/orders", "POST /v2/orders"]);
}

#[tokio::test]
async fn clock_calendar_and_symbols_that_disagree_are_told() {
    let xnys = Calendar::xnys();
    // It is 2026-11-16 14:50:05 in UTC at the broker's own clock.
    let days = |changes: &dyn Fn(String) -> Option<Value>| -> Value {
        let from = daybook_core::time::SessionDate::of(2026, 11, 16).unwrap();
        let sessions = xnys.sessions(from, from.plus_days(60));
        let wall = |at: Timestamp| at.in_zone(xnys.zone()).format("%H:%M").to_string();
        let day = |date: String, open: String, close: String| json!({"date": date, "open": open, "close": close, "session_open": "0400"});
        sessions
            .filter_map(|s| {
                changes(s.date.to_string())
                    .map_or(Some(day(s.date.to_string(), wall(s.open), wall(s.close))), |c| (!c.is_null()).then_some(c))
            })
            .collect()
    };
    let assets = ok(&json!([{"symbol": "AAPL", "tradable": true}, {"symbol": "GME", "tradable": false}]));
    let symbols = ["AAPL", "GME", "NONE"].map(|symbol| symbol.parse().unwrap()).to_vec();
    let run = async |clock: &str, days: Value, symbols: Vec<daybook_core::market::Symbol>| {
        let answers =
            vec![ok(&account(json!({}))), ok(&json!({"timestamp": clock, "is_open": true})), ok(&days), assets.clone()];
        let server = Scripted::start(answers).await;
        let broker = broker(server.url(), AlpacaSettings { symbols, ..AlpacaSettings::default() });
        broker.disagreements(&xnys).await.unwrap()
    };
    assert_eq!(run("2026-11-16T09:50:05.9-05:00", days(&|_| None), vec![]).await, [""; 0], "less than a second");
    let open_friday = |date: String| match date.as_str() {
        "2026-11-27" => Some(json!({"date": "2026-11-27", "open": "09:30", "close": "16:00"})),
        "2026-12-01" => Some(Value::Null),
        _ => None,
    };
    assert_eq!(
        run("2026-11-16T09:50:07.5-05:00", days(&open_friday), symbols).await,
        [
            "this machine's clock is 2.5 s behind Alpaca's: keep it with NTP",
            "2026-11-27 is 09:30 to 16:00 at Alpaca and 09:30 to 13:00 in the calendar XNYS",
            "2026-12-01 is no session at Alpaca and 09:30 to 16:00 in the calendar XNYS",
            "GME cannot be traded at Alpaca now: a halt, or a delisting",
            "NONE is no active share at Alpaca: correct alpaca.symbols",
        ]
    );
}
