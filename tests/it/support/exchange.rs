//! The books of a paper exchange, read over its own API.

use std::sync::Arc;

use daybook::adapters::alpaca::AlpacaSettings;
use daybook::adapters::brokers::alpaca::AlpacaBroker;
use daybook::adapters::clocks::SystemClock;
use daybook::ports::Broker;
use daybook_core::order::{BrokerPosition, ClientOrderId, Fill, OrderStatus};
use daybook_core::time::Span;
use secrecy::SecretString;
use serde_json::Value;

/// The key of the account.
pub const KEY: &str = "PK1";
/// Its secret.
pub const SECRET: &str = "hush";

/// Everything that a broker knows.
pub struct Record {
    pub orders: Vec<Listed>,
    pub fills: Vec<Fill>,
    pub held: Vec<BrokerPosition>,
}

/// An order in a broker's books.
#[derive(Debug, Clone)]
pub struct Listed {
    pub name: ClientOrderId,
    pub is_leg: bool,
    /// Whether it could open a position.
    pub is_entry: bool,
    pub status: OrderStatus,
}

/// What a process has to know to trade there.
pub fn environment(address: &str) -> [(&'static str, String); 5] {
    [
        ("DAYBOOK__EXECUTION__BROKER", "alpaca".to_owned()),
        ("DAYBOOK__ALPACA__TRADING_URL", format!("http://{address}")),
        ("DAYBOOK__ALPACA__KEY_ID", KEY.to_owned()),
        ("DAYBOOK__ALPACA__SECRET_KEY", SECRET.to_owned()),
        ("DAYBOOK__ALPACA__REQUESTS_PER_MINUTE", "1000000".to_owned()),
    ]
}

/// The adapter, for a look from outside.
pub fn broker(address: &str) -> AlpacaBroker {
    let settings = AlpacaSettings {
        trading_url: format!("http://{address}").into(),
        key_id: Some(SecretString::from(KEY)),
        secret_key: Some(SecretString::from(SECRET)),
        requests_per_minute: 1_000_000,
        timeout: Span::seconds(20),
        ..AlpacaSettings::default()
    };
    AlpacaBroker::new(&settings, Arc::new(SystemClock::new())).unwrap()
}

/// Reads the books.
pub async fn record(address: &str) -> Record {
    let broker = broker(address);
    let mut fills: Vec<Fill> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = broker.fills(cursor.as_deref()).await.unwrap();
        fills.extend(page.fills);
        cursor = Some(page.cursor);
        if !page.more {
            break;
        }
    }
    Record { orders: orders(address).await, fills, held: broker.positions().await.unwrap() }
}

/// Every order with its legs, but for those that were replaced.
async fn orders(address: &str) -> Vec<Listed> {
    let http = reqwest::Client::new();
    let mut listed = Vec::new();
    let mut last: Option<String> = None;
    loop {
        let page = "status=all&nested=true&direction=asc&limit=500";
        let after = last.as_ref().map(|last| format!("&after_order_id={last}")).unwrap_or_default();
        let request = http.get(format!("http://{address}/v2/orders?{page}{after}"));
        let answer = request.header("APCA-API-KEY-ID", KEY).header("APCA-API-SECRET-KEY", SECRET).send().await.unwrap();
        let heads: Vec<Value> = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let Some(head) = heads.last() else { return listed };
        last = head["id"].as_str().map(str::to_owned);
        for head in &heads {
            let legs = head["legs"].as_array().into_iter().flatten();
            listed.push(of(head, false));
            listed.extend(legs.map(|leg| of(leg, true)).filter(|leg| leg.status != OrderStatus::Replaced));
        }
    }
}

fn of(order: &Value, is_leg: bool) -> Listed {
    Listed {
        name: order["client_order_id"].as_str().unwrap().parse().unwrap(),
        is_leg,
        is_entry: !is_leg && order["order_class"] == "bracket",
        status: serde_json::from_value(order["status"].clone()).unwrap(),
    }
}
