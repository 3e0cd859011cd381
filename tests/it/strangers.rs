//! The account's owner trades in it by hand, at our own exchange: it is shown, counted, and left alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daybook::adapters::clocks::Speed;
use daybook::adapters::feeds::simulated::SimulatedMarket;
use daybook::config::{self, Configuration, Environment, Sources};
use daybook::engine::audit::audit_ledger;
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, Server, serve};
use daybook::wiring::{self, Simulation, Wired};
use daybook_core::market::Symbol;
use daybook_core::money::Money;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::exchange::{KEY, SECRET, environment};
use crate::support::market::new_york;
use crate::support::simulation::{SYMBOLS, rows};

const MONDAY: &str = "2026-11-16";

/// A scheduler on its simulated clock whose account is at our exchange, and the owner beside it.
struct Shared {
    wired: Wired,
    server: Server,
    http: reqwest::Client,
    symbols: Vec<Symbol>,
    _folder: TempDir,
}

impl Shared {
    async fn open(settings: &[&str]) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let local = configuration(&[], settings);
        let feed = Arc::new(SimulatedMarket::new(&local.settings.market.simulated, local.settings.calendar()));
        let server = serve(PaperExchangeSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            file: folder.path().join("exchange.db"),
            accounts: vec![Credentials { key: KEY.to_owned(), secret: SECRET.to_owned() }],
            cash: Money::whole(100_000),
            feed,
            calendar: local.settings.calendar(),
            clock: ClockMode::Stepped { from: new_york(MONDAY, "00:00") },
            fills: FillRules::default(),
        });
        let server = server.await.unwrap();
        let at_exchange = configuration(&environment(&server.address().to_string()), settings);
        let (from, to) = (MONDAY.parse().unwrap(), MONDAY.parse().unwrap());
        let simulation = Simulation { from, to, speed: Speed::Max, bars: None };
        let wired = wiring::simulated(&at_exchange, &folder.path().join("day.db"), &simulation).await.unwrap();
        let universe = wired.parts.sources.feed.universe().await.unwrap();
        let symbols = universe.iter().map(|info| info.symbol).collect();
        Self { wired, server, http: reqwest::Client::new(), symbols, _folder: folder }
    }

    async fn until(&self, wall: &str) {
        let limits = Limits {
            stop: CancellationToken::new(),
            until: Some(new_york(MONDAY, wall)),
            drain: Duration::from_secs(1),
            on_turn: Arc::new(|| {}),
            jobs: None,
            stuck_after: Duration::from_secs(1),
        };
        let mut driver = Driver::new(self.wired.parts.clone(), limits, Arc::new(Notify::new()));
        driver.boot().await.unwrap();
        assert_eq!(driver.run().await.unwrap(), Ended::Finished);
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.wired.parts.sources.ledger, sql)
    }

    /// What the owner's own program asks the exchange for.
    async fn owner(&self, method: reqwest::Method, path: &str, document: &Value) -> Value {
        let request = self.http.request(method, format!("http://{}/v2/{path}", self.server.address()));
        let request = request.header("APCA-API-KEY-ID", KEY).header("APCA-API-SECRET-KEY", SECRET);
        let answer = request.body(document.to_string()).send().await.unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path} {document}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    async fn buys(&self, symbol: Symbol, shares: u32, limit: Option<&str>) -> String {
        let order = json!({
            "symbol": symbol.as_str(), "qty": shares, "side": "buy", "time_in_force": "gtc",
            "type": if limit.is_some() { "limit" } else { "market" }, "limit_price": limit,
        });
        self.owner(reqwest::Method::POST, "orders", &order).await["id"].as_str().unwrap().to_owned()
    }

    /// What the exchange holds: symbol and shares.
    async fn held(&self) -> Vec<(String, String)> {
        let held = self.owner(reqwest::Method::GET, "positions", &Value::Null).await;
        let of = |held: &Value, field: &str| held[field].as_str().unwrap().to_owned();
        held.as_array().unwrap().iter().map(|held| (of(held, "symbol"), of(held, "qty"))).collect()
    }
}

/// The documented configuration with a small market, these variables and these keys.
fn configuration(variables: &[(&'static str, String)], settings: &[&str]) -> Configuration {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/daybook.yaml"));
    let settings: Vec<_> = settings.iter().map(|text| text.parse().unwrap()).collect();
    let environment: Environment = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let sources = Sources::new(Some(file), environment).with_option("--symbols", "market.simulated.symbols", SYMBOLS);
    config::load(&sources.with_settings(&settings)).unwrap()
}

/// What our own orders did in a symbol; strangers' have no intent.
const OURS: &str = "SELECT count(*) FROM intent WHERE symbol = ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_owner_trades_is_shown_and_counted_and_left_alone() {
    let shared = Shared::open(&["risk.max_positions=2", "risk.warm_up_cycles=0", "risk.max_hold=30m"]).await;
    let (held, wished) = (shared.symbols[0], shared.symbols[1]);
    shared.until("09:40").await;
    shared.buys(held, 10, None).await;
    let resting = shared.buys(wished, 10, Some("0.50")).await;
    shared.until("17:00").await;

    assert_eq!(
        shared.held().await,
        [(held.to_string(), "10".to_owned())],
        "what is ours is flat, and what is not is there"
    );
    let order = shared.owner(reqwest::Method::GET, &format!("orders/{resting}"), &Value::Null).await;
    assert_eq!(order["status"], "new", "nobody took it back");
    for symbol in [held, wished] {
        assert_eq!(shared.rows(&format!("{OURS}'{symbol}'")), ["0"], "{symbol}");
    }
    let position =
        "SELECT symbol, quantity_e9 / 1000000000, strategy, stop_e8 FROM position WHERE closed_at_ms IS NULL";
    assert_eq!(shared.rows(position), [format!("{held}|10||")]);
    let shown = format!("SELECT symbol, status, intent_id FROM broker_order WHERE symbol = '{wished}'");
    assert_eq!(shared.rows(&shown), [format!("{wished}|new|")]);
    let told = "SELECT DISTINCT event, symbol FROM alert WHERE event GLOB '*.stranger' ORDER BY 1, 2";
    assert_eq!(shared.rows(told), [format!("flatten.stranger|{held}"), format!("order.stranger|{wished}")]);

    // Both places are taken, so that no signal is let in; and the owner's result is the day's.
    let places = "SELECT DISTINCT quantity_e9, refused_by FROM verdict ORDER BY 1";
    let verdicts = shared.rows(places);
    assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.starts_with('|')), "{verdicts:?}");
    let full = "SELECT count(*) > 0 FROM verdict, json_each(checks) WHERE value ->> 'name' = 'positions'
        AND value ->> 'value' = '2 held or ordered' AND NOT value ->> 'passed'";
    assert_eq!(shared.rows(full), ["1"]);
    let counted = "SELECT count(*) > 0 FROM equity WHERE exposure_e8 > 0 AND unrealised_e8 <> 0";
    assert_eq!(shared.rows(counted), ["1"]);

    let parts = &shared.wired.parts;
    let now = parts.sources.clock.wall();
    let audit = audit_ledger(&parts.sources.ledger, &parts.definitions, &parts.sources.calendar, now).unwrap();
    assert_eq!(audit.findings(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emergency_stop_closes_what_the_owner_has_bought_too() {
    // A loss of some cents is the limit: the owner's position alone makes it.
    let shared = Shared::open(&["risk.max_daily_loss=0.05", "risk.warm_up_cycles=100000"]).await;
    shared.until("09:40").await;
    shared.buys(shared.symbols[0], 100, None).await;
    shared.buys(shared.symbols[2], 100, None).await;
    shared.until("15:00").await;
    let breached = "SELECT count(*) FROM alert WHERE event = 'risk.breached'";
    assert_eq!(shared.rows(breached), ["1"]);
    assert_eq!(shared.held().await, []);
}
