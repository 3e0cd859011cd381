//! Orders, executions and ids in the API's words. Decimals are strings.

use std::borrow::Cow;

use chrono::SecondsFormat;
use daybook_core::exchange::{BookOrder, Execution, ExecutionNumber, OrderNumber, Timing};
use daybook_core::market::Symbol;
use daybook_core::money::{Bps, Money, Price, Quantity};
use daybook_core::order::{ClientOrderId, OrderStatus, OrderType, Side, TimeInForce, Trail};
use daybook_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::store::Record;
use super::venue::PENDING_CANCEL;

/// The middle of an order's UUID.
const ORDER: &str = "-0de0-4000-8000-";
/// The middle of an execution's UUID.
const EXECUTION: &str = "-e8ec-4000-8000-";

pub(super) fn account_id(account: u32) -> String {
    format!("{account:08x}-acc0-4000-8000-000000000000")
}

pub(super) fn order_id(account: u32, number: OrderNumber) -> String {
    format!("{account:08x}{ORDER}{:012x}", number.0)
}

pub(super) fn execution_id(account: u32, number: ExecutionNumber) -> String {
    format!("{account:08x}{EXECUTION}{:012x}", number.0)
}

/// The number in an order's UUID, if it is one of this account.
pub(super) fn order_number(account: u32, id: &str) -> Option<OrderNumber> {
    let digits = id.strip_prefix(&format!("{account:08x}{ORDER}"))?;
    (digits.len() == 12).then(|| i64::from_str_radix(digits, 16).ok().map(OrderNumber))?
}

/// The number in an execution's UUID, if it is one of this account.
pub(super) fn execution_number(account: u32, id: &str) -> Option<ExecutionNumber> {
    let digits = id.strip_prefix(&format!("{account:08x}{EXECUTION}"))?;
    (digits.len() == 12).then(|| i64::from_str_radix(digits, 16).ok().map(ExecutionNumber))?
}

/// An asset's UUID: the symbol's own characters.
pub(super) fn asset_id(symbol: Symbol) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut hex = String::with_capacity(36);
    for place in 0..16 {
        if matches!(place, 4 | 6 | 8 | 10) {
            hex.push('-');
        }
        let byte = symbol.as_bytes().get(place).copied().unwrap_or_default();
        hex.push(DIGITS[usize::from(byte >> 4)]);
        hex.push(DIGITS[usize::from(byte & 15)]);
    }
    hex
}

/// The symbol that is meant by a symbol or an asset's UUID.
pub(super) fn symbol_of(text: &str) -> Option<Symbol> {
    if text.len() != 36 {
        return text.parse().ok();
    }
    let hex: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let bytes = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    std::str::from_utf8(&bytes).ok()?.trim_end_matches('\0').parse().ok()
}

/// An order as the API has it: some thousands a second are written.
#[derive(Debug, Serialize)]
pub(super) struct OrderDocument {
    id: String,
    client_order_id: ClientOrderId,
    created_at: Timestamp,
    updated_at: Timestamp,
    submitted_at: Timestamp,
    filled_at: Option<Timestamp>,
    expired_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    canceled_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    replaced_at: Option<Timestamp>,
    replaced_by: Option<String>,
    replaces: Option<String>,
    asset_id: String,
    symbol: Symbol,
    asset_class: &'static str,
    notional: Option<Money>,
    qty: Option<Quantity>,
    filled_qty: Quantity,
    filled_avg_price: Option<Price>,
    order_class: String,
    order_type: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    side: &'static str,
    position_intent: Cow<'static, str>,
    time_in_force: &'static str,
    limit_price: Option<Price>,
    stop_price: Option<Price>,
    status: &'static str,
    extended_hours: bool,
    legs: Option<Vec<Self>>,
    trail_percent: Option<String>,
    trail_price: Option<Price>,
    hwm: Option<Price>,
    subtag: Option<String>,
    source: Option<String>,
}

impl OrderDocument {
    /// An order, with its legs where they are asked for.
    pub(super) fn of(account: u32, record: &Record, legs: Option<Vec<Self>>) -> Self {
        let Record { book, note } = record;
        let order = &book.order;
        let prices = Prices::of(book);
        let ended_as = |status: OrderStatus| (order.status == status).then_some(order.updated_at);
        let leaving = note.cancel_at.is_some() && !order.status.is_terminal();
        let intent = match (order.side, book.opens) {
            (Side::Buy, true) => "buy_to_open",
            (Side::Buy, false) => "buy_to_close",
            (Side::Sell, true) => "sell_to_open",
            (Side::Sell, false) => "sell_to_close",
        };
        Self {
            id: order_id(account, book.number),
            client_order_id: order.client_order_id.clone(),
            created_at: order.submitted_at,
            updated_at: order.updated_at,
            submitted_at: order.submitted_at,
            filled_at: ended_as(OrderStatus::Filled),
            expired_at: ended_as(OrderStatus::Expired),
            expires_at: None,
            canceled_at: ended_as(OrderStatus::Canceled),
            failed_at: ended_as(OrderStatus::Rejected),
            replaced_at: ended_as(OrderStatus::Replaced),
            replaced_by: note.replaced_by.map(|number| order_id(account, number)),
            replaces: note.replaces.map(|number| order_id(account, number)),
            asset_id: asset_id(order.symbol),
            symbol: order.symbol,
            asset_class: "us_equity",
            notional: note.notional,
            qty: note.notional.is_none().then_some(order.quantity),
            filled_qty: order.filled,
            filled_avg_price: order.average_price,
            order_class: note.class.clone(),
            order_type: prices.word,
            kind: prices.word,
            side: order.side.as_str(),
            position_intent: note.position_intent.clone().map_or(Cow::Borrowed(intent), Cow::Owned),
            time_in_force: time_in_force(book),
            limit_price: prices.limit,
            stop_price: prices.stop,
            status: if leaving { PENDING_CANCEL } else { order.status.as_str() },
            extended_hours: book.terms.extended_hours,
            legs,
            trail_percent: prices.trail_percent.map(|ratio| ratio.to_string().trim_end_matches('%').to_owned()),
            trail_price: prices.trail_price,
            hwm: prices.best,
            subtag: None,
            source: None,
        }
    }
}

const fn time_in_force(book: &BookOrder) -> &'static str {
    match (book.terms.timing, book.order.time_in_force) {
        (Timing::Resting, TimeInForce::Day) => "day",
        (Timing::Resting, TimeInForce::Gtc) => "gtc",
        (Timing::ImmediateOrCancel, _) => "ioc",
        (Timing::FillOrKill, _) => "fok",
        (Timing::AtOpen, _) => "opg",
        (Timing::AtClose, _) => "cls",
    }
}

/// An order's type and prices as fields.
#[derive(Debug, Default)]
struct Prices {
    word: &'static str,
    limit: Option<Price>,
    stop: Option<Price>,
    trail_price: Option<Price>,
    trail_percent: Option<Bps>,
    best: Option<Price>,
}

impl Prices {
    fn of(book: &BookOrder) -> Self {
        match book.order.order_type {
            OrderType::Market => Self { word: "market", ..Self::default() },
            OrderType::Limit { limit } => Self { word: "limit", limit: Some(limit), ..Self::default() },
            OrderType::Stop { stop } => Self { word: "stop", stop: Some(stop), ..Self::default() },
            OrderType::StopLimit { stop, limit } => {
                Self { word: "stop_limit", limit: Some(limit), stop: Some(stop), ..Self::default() }
            }
            OrderType::TrailingStop { trail } => {
                let (trail_price, trail_percent) = match trail {
                    Trail::Amount(distance) => (Some(distance), None),
                    Trail::Ratio(ratio) => (None, Some(ratio)),
                };
                let stop = book.stop_level().ok().flatten();
                Self {
                    word: "trailing_stop",
                    stop,
                    trail_price,
                    trail_percent,
                    best: book.best_price,
                    ..Self::default()
                }
            }
        }
    }
}

/// Whether an order is shown below another one.
pub(super) const fn is_leg(record: &Record) -> bool {
    record.book.order.parent.is_some()
}

/// An execution as a row of the account's activities.
pub(super) fn activity(account: u32, execution: &Execution, cumulated: CumulativeFill) -> Value {
    let fill = &execution.fill;
    let status = if cumulated.left.is_positive() { "partially_filled" } else { "filled" };
    json!({
        "id": activity_id(account, execution),
        "account_id": account_id(account),
        "activity_type": "FILL",
        "transaction_time": fill.at.to_string(),
        "type": if cumulated.left.is_positive() { "partial_fill" } else { "fill" },
        "price": fill.price.to_string(),
        "qty": fill.quantity.to_string(),
        "cum_qty": cumulated.filled.to_string(),
        "leaves_qty": cumulated.left.to_string(),
        "side": fill.side.as_str(),
        "symbol": fill.symbol.as_str(),
        "order_id": order_id(account, execution.order),
        "order_status": status,
    })
}

/// What an order had filled after an execution, and what was left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CumulativeFill {
    pub filled: Quantity,
    pub left: Quantity,
}

/// An activity's id: New York's time, and the execution's UUID.
pub(super) fn activity_id(account: u32, execution: &Execution) -> String {
    let at = execution.fill.at.in_zone(chrono_tz::America::New_York).format("%Y%m%d%H%M%S%3f");
    format!("{at}::{}", execution_id(account, execution.number))
}

/// An instant on New York's clocks.
pub(super) fn new_york(at: Timestamp) -> String {
    at.in_zone(chrono_tz::America::New_York).to_rfc3339_opts(SecondsFormat::Millis, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        let number = OrderNumber(48);
        assert_eq!(order_id(1, number), "00000001-0de0-4000-8000-000000000030");
        assert_eq!(order_number(1, &order_id(1, number)), Some(number));
        assert_eq!(order_number(2, &order_id(1, number)), None);
        let symbol: Symbol = "BRK.B".parse().unwrap();
        assert_eq!(symbol_of(&asset_id(symbol)), Some(symbol));
        assert_eq!(symbol_of("BRK.B"), Some(symbol));
        assert_eq!(symbol_of("00000000-0000-0000-0000-000000000000"), None);
    }
}
