//! The same contract through Alpaca's API: our adapter on one side, the paper exchange on the other, a socket between;
//! and what only a wire can do to an order.

use daybook::adapters::alpaca::AlpacaSettings;
use daybook::adapters::brokers::alpaca::AlpacaBroker;
use daybook::adapters::clocks::SystemClock;
use daybook::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, Server, serve};
use daybook_core::money::Money;
use daybook_core::time::{SessionDate, Span};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;

/// The symbols that the contract trades in.
const SYMBOLS: [&str; 3] = ["AAPL", "MSFT", "BRK.B"];

/// The paper exchange on a port of its own, and the adapter that trades there.
pub struct ExchangeVenue {
    server: Option<Server>,
    broker: AlpacaBroker,
    http: reqwest::Client,
    market: Arc<ScriptedMarket>,
    fills: FillRules,
    start: Timestamp,
    folder: TempDir,
}

impl ExchangeVenue {
    async fn serve(folder: &TempDir, market: Arc<ScriptedMarket>, fills: FillRules, from: Timestamp) -> Server {
        drop(rustls::crypto::ring::default_provider().install_default());
        let settings = PaperExchangeSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            file: folder.path().join("exchange.db"),
            accounts: vec![Credentials { key: "PK1".to_owned(), secret: "hush".to_owned() }],
            cash: Money::whole(100_000),
            feed: market,
            calendar: Calendar::xnys(),
            clock: ClockMode::Stepped { from },
            fills,
        };
        serve(settings).await.unwrap()
    }

    fn broker_at(server: &Server) -> AlpacaBroker {
        let settings = AlpacaSettings {
            trading_url: format!("http://{}", server.address()).into(),
            key_id: Some(SecretString::from("PK1")),
            secret_key: Some(SecretString::from("hush")),
            requests_per_minute: 1_000_000,
            timeout: Span::seconds(20),
            ..AlpacaSettings::default()
        };
        AlpacaBroker::new(&settings, Arc::new(SystemClock::new())).unwrap()
    }

    /// What another program of the account's owner asks for.
    async fn call(&self, method: Method, path: &str, document: &Value) {
        let address = self.server.as_ref().expect("it runs").address();
        let request = self.http.request(method, format!("http://{address}/{path}"));
        let request = request.header("APCA-API-KEY-ID", "PK1").header("APCA-API-SECRET-KEY", "hush");
        let answer = request.body(document.to_string()).send().await.unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path} {document}: {said}");
    }

    /// Steers the exchange.
    async fn admin(&self, path: &str, document: Value) {
        self.call(Method::POST, &format!("admin/{path}"), &document).await;
    }
}

impl Venue for ExchangeVenue {
    async fn open(settings: ExchangeSettings, start: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let market = Arc::new(ScriptedMarket::default());
        for symbol in SYMBOLS {
            market.day(symbol, SessionDate::of(2026, 11, 13).unwrap(), [10_000; 4]);
        }
        // Without a bound a bar fills any order; here it fills as many shares as it has, which are plenty.
        let bound = Some(settings.participation).filter(|bound| *bound != Bps::ZERO);
        let fills = FillRules { slippage: settings.slippage, participation: bound.unwrap_or(Bps::ONE) };
        let server = Self::serve(&folder, market.clone(), fills, start).await;
        let broker = Self::broker_at(&server);
        let http = reqwest::Client::new();
        let venue = Self { server: Some(server), broker, http, market, fills, start, folder };
        let multiplier = settings.margin_multiplier.to_string();
        let rules = json!({"no_shorting": !settings.allow_short, "max_margin_multiplier": multiplier});
        venue.call(Method::PATCH, "v2/account/configurations", &rules).await;
        venue
    }

    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn market(&self) -> &ScriptedMarket {
        &self.market
    }

    async fn wait_until(&self, instant: Timestamp) {
        self.admin("clock", json!({"now": instant.to_string()})).await;
    }

    async fn restart(&mut self) {
        self.server.take().expect("it runs").stop().await;
        let server = Self::serve(&self.folder, self.market.clone(), self.fills, self.start).await;
        self.broker = Self::broker_at(&server);
        self.server = Some(server);
    }

    async fn by_hand(&self, ticket: &OrderTicket) {
        let OrderType::Limit { limit } = ticket.order_type else { panic!("the tests send limits") };
        let order = json!({
            "symbol": ticket.symbol.as_str(), "qty": ticket.quantity.to_string(), "side": ticket.side.as_str(),
            "type": "limit", "limit_price": limit.to_string(), "time_in_force": "day",
        });
        self.call(Method::POST, "v2/orders", &order).await;
    }

    fn says(words: &'static str) -> &'static str {
        match words {
            "10 are held" => "insufficient qty",
            "short selling is off" => "not allowed to short",
            "bracket opens" => "must be entry orders",
            "multiple of" => "sub-penny",
            "a tick away" => "base_price",
            "through the market" => "below the market price",
            words => words,
        }
    }
}

/// A venue on Monday at ten.
async fn open() -> ExchangeVenue {
    monday(exact(), "10:00").await
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_found_and_never_sent_twice() {
    for fault in [
        json!({"kind": "drop_after_accept", "count": 1, "method": "POST"}),
        json!({"kind": "server_error", "status": 504, "carried_out": true, "count": 1, "method": "POST"}),
    ] {
        let venue = open().await;
        venue.admin("fault", fault).await;
        let sent = bracket("a", 10, limit(9_900), 9_800, 10_200);
        let lost = send(&venue, &sent).await;
        assert!(matches!(lost, Err(BrokerError::Unknown { .. })), "{lost:?}");
        let found = venue.broker().orders_by_client_id(&id("a")).await.unwrap();
        assert!(found.len() == 3 && found[0].has_terms_of(&sent), "{found:?}");
        assert!(matches!(send(&venue, &sent).await, Err(BrokerError::Duplicate { .. })));
    }
}

#[tokio::test]
async fn an_order_that_was_held_back_may_be_sent_again() {
    let venue = open().await;
    venue.admin("fault", json!({"kind": "rate_limit", "count": 1, "method": "POST"})).await;
    let sent = bracket("a", 10, limit(9_900), 9_800, 10_200);
    let busy = send(&venue, &sent).await;
    assert!(matches!(busy, Err(BrokerError::Retryable { .. })), "{busy:?}");
    assert_eq!(venue.broker().orders_by_client_id(&id("a")).await.unwrap(), []);
    assert_eq!(send(&venue, &sent).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_stop_whose_move_is_lost_is_found_where_it_should_be() {
    let venue = open().await;
    let orders = send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    venue.admin("fault", json!({"kind": "drop_after_accept", "count": 1, "method": "PATCH"})).await;
    let lost = venue.broker().replace_stop(&orders[2].broker_order_id, cents(9_950)).await;
    assert!(matches!(lost, Err(BrokerError::Unknown { .. })), "{lost:?}");
    let again = venue.broker().replace_stop(&orders[2].broker_order_id, cents(9_950)).await.unwrap();
    assert_eq!((again.order_type, again.parent), (stop(9_950), Some(id("a"))));
    assert_eq!(venue.broker().open_orders().await.unwrap().len(), 2, "it was moved once");
}

#[tokio::test]
async fn a_cancel_whose_answer_is_lost_may_be_repeated() {
    let venue = open().await;
    let orders = send(&venue, &bracket("a", 10, limit(9_900), 9_800, 10_200)).await.unwrap();
    venue.admin("fault", json!({"kind": "drop_after_accept", "count": 1, "method": "DELETE"})).await;
    let lost = venue.broker().cancel(&orders[0].broker_order_id).await;
    assert!(matches!(lost, Err(BrokerError::Unknown { .. })), "{lost:?}");
    venue.broker().cancel(&orders[0].broker_order_id).await.unwrap();
    assert_eq!(venue.broker().open_orders().await.unwrap(), []);
}

/// The exchange cancels a second late: what a dispatcher has to wait for, and what may happen meanwhile.
#[tokio::test]
async fn a_cancel_is_seen_under_way_and_may_come_too_late() {
    let venue = open().await;
    for (name, low, expected) in [("quiet", 9_950, OrderStatus::Canceled), ("hit", 9_890, OrderStatus::Filled)] {
        let orders = send(&venue, &bracket(name, 10, limit(9_900), 9_800, 10_200)).await.unwrap();
        let start = fills(&venue).await.len();
        venue.admin("fault", json!({"kind": "cancels_late", "seconds": 70, "count": 1})).await;
        venue.broker().cancel(&orders[0].broker_order_id).await.unwrap();
        assert_eq!(states(&venue, name).await[0].1, OrderStatus::PendingCancel);
        let leaving = venue.broker().open_orders().await.unwrap();
        assert!(leaving.iter().any(|order| order.client_order_id == id(name)), "it is open until it is canceled");
        let minute = if name == "quiet" { "10:00" } else { "10:02" };
        venue.market().minute("AAPL", at(minute), [10_000, 10_000, low, 9_950]);
        venue.wait_until(at(minute).after(MINUTE * 2)).await;
        assert_eq!(states(&venue, name).await[0].1, expected, "{name}");
        assert_eq!(fills(&venue).await.len() - start, usize::from(expected == OrderStatus::Filled));
    }
}

#[tokio::test]
async fn a_position_is_left_after_the_close_by_a_limit() {
    let venue = open().await;
    holds(&venue, 10, "10:02").await;
    venue.wait_until(at("17:00")).await;
    venue.market().price("AAPL", at("17:00"), 9_950);
    venue.wait_until(at("17:00:10")).await;
    assert!(venue.broker().trades_extended_hours());
    let sent = approved(&sell("exit", 10, limit(9_751)));
    let orders = venue.broker().submit_for_extended_hours(&sent).await.unwrap();
    assert_eq!((orders[0].status, held(&venue).await), (OrderStatus::Filled, 0));
    assert_eq!(told(&venue).await[1..], [(Side::Sell, 10, cents(9_950))]);
    // What is no limit waits for the open.
    let parked = send(&venue, &bracket("parked", 1, limit(9_900), 9_800, 10_200)).await.unwrap();
    assert_eq!(parked[0].status, OrderStatus::Accepted);
}

#[tokio::test]
async fn nothing_trades_in_a_symbol_that_is_halted() {
    let mut venue = open().await;
    venue.admin("halt", json!({"symbol": "AAPL", "halted": true})).await;
    send(&venue, &bracket("a", 10, limit(10_000), 9_900, 10_200)).await.unwrap();
    venue.market().minute("AAPL", at("10:00"), [10_000; 4]);
    venue.wait_until(at("10:01")).await;
    venue.restart().await;
    venue.market().minute("AAPL", at("10:01"), [10_000; 4]);
    venue.wait_until(at("10:02")).await;
    assert_eq!((held(&venue).await, states(&venue, "a").await[0].1), (0, OrderStatus::New));
    venue.admin("halt", json!({"symbol": "AAPL", "halted": false})).await;
    venue.market().minute("AAPL", at("10:02"), [9_950; 4]);
    venue.wait_until(at("10:03")).await;
    assert_eq!(told(&venue).await, [(Side::Buy, 10, cents(9_950))]);
}

/// Waits for a ring. It comes from another task, by a socket.
async fn rung(rings: &tokio::sync::Notify) {
    tokio::time::timeout(std::time::Duration::from_secs(20), rings.notified()).await.expect("a ring");
}

#[tokio::test]
async fn what_fills_while_nobody_listens_is_read_when_somebody_does_again() {
    let tenth = ExchangeSettings { participation: Bps(1_000), ..exact() };
    let venue: ExchangeVenue = monday(tenth, "10:00").await;
    let (listening, rings) = (ExchangeVenue::broker_at(venue.server.as_ref().unwrap()), tokio::sync::Notify::new());
    let filled = async |volume: i64, minute: u32| {
        let start = at("10:00").after(MINUTE * minute);
        venue.market().minute_of("AAPL", start, [10_000; 4], Quantity::whole(volume));
        venue.wait_until(start.after(MINUTE)).await;
    };
    let story = async {
        rung(&rings).await;
        send(&venue, &bracket("a", 20, limit(10_000), 9_900, 10_200)).await.unwrap();
        rung(&rings).await;
        filled(50, 0).await;
        rung(&rings).await;
        let page = venue.broker().fills(None).await.unwrap();
        venue.admin("fault", json!({"kind": "disconnect"})).await;
        page
    };
    let (ended, page) = tokio::join!(listening.listen(&rings), story);
    assert!(matches!(ended, Err(BrokerError::Retryable { .. })), "{ended:?}");
    filled(70, 1).await;
    tokio::select! {
        ended = listening.listen(&rings) => panic!("{ended:?}"),
        () = rung(&rings) => {}
    }
    let after = venue.broker().fills(Some(&page.cursor)).await.unwrap().fills;
    let after: Vec<_> = after.iter().map(|fill| fill.quantity).collect();
    assert_eq!((page.fills[0].quantity, after), (Quantity::whole(5), vec![Quantity::whole(7)]));
}
