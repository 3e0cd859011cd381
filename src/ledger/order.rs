//! Orders as the broker showed them, ours and strangers'.

use daybook_core::money::{Bps, Price, Quantity};
use daybook_core::order::{
    ClientOrderId, IntentEvent, IntentState, Order, OrderClass, OrderRole, OrderStatus, OrderType, Trail,
};
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use serde::Serialize;

use super::codec::{Text, Word};
use super::{LedgerError, intent};

const SQL_KNOWN: &str = "
    SELECT status, filled_e9, average_price_e8, stop_e8, quantity_e9, updated_at_ms FROM broker_order
    WHERE account = ?1 AND broker_order_id = ?2";
const SQL_UPSERT: &str = "
    INSERT INTO broker_order (account, broker_order_id, client_order_id, parent_client_order_id, intent_id, role, symbol,
        side, order_type, limit_e8, stop_e8, trail_e8, trail_bps, class, take_profit_e8, stop_loss_e8, time_in_force,
        quantity_e9, filled_e9, average_price_e8, status, reason, submitted_at_ms, updated_at_ms, first_seen_at_ms)
    VALUES (:account, :broker_order_id, :client_order_id, :parent, :intent_id, :role, :symbol, :side, :order_type, :limit,
        :stop, :trail, :trail_bps, :class, :take_profit, :stop_loss, :time_in_force, :quantity, :filled, :average_price,
        :status, :reason, :submitted_at, :updated_at, :now)
    ON CONFLICT (account, broker_order_id) DO UPDATE SET intent_id = excluded.intent_id, order_type = excluded.order_type,
        limit_e8 = excluded.limit_e8, stop_e8 = excluded.stop_e8, trail_e8 = excluded.trail_e8,
        trail_bps = excluded.trail_bps, class = excluded.class, take_profit_e8 = excluded.take_profit_e8,
        stop_loss_e8 = excluded.stop_loss_e8, quantity_e9 = excluded.quantity_e9, filled_e9 = excluded.filled_e9,
        average_price_e8 = excluded.average_price_e8, status = excluded.status, reason = excluded.reason,
        updated_at_ms = excluded.updated_at_ms";
const SQL_EVENT: &str = "
    INSERT INTO broker_order_event (account, broker_order_id, status, filled_e9, average_price_e8, stop_e8, reason, at_ms,
        recorded_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
/// The columns of a [`StoredOrder`], in the order in which [`from_row`] reads them.
macro_rules! select_order {
    ($rest:literal) => {
        concat!(
            "SELECT broker_order_id, client_order_id, parent_client_order_id, intent_id, role, symbol, side, order_type,
                limit_e8, stop_e8, trail_e8, trail_bps, class, take_profit_e8, stop_loss_e8, time_in_force, quantity_e9,
                filled_e9, average_price_e8, status, reason, submitted_at_ms, updated_at_ms FROM broker_order ",
            $rest
        )
    };
}
const SQL_GET: &str = select_order!("WHERE account = ?1 AND broker_order_id = ?2");
/// By its own index: the account's orders of all years are not looked through each minute.
const SQL_OPEN: &str = select_order!(
    "INDEXED BY broker_order_open WHERE account = ?1 AND status IN ('accepted', 'held', 'new', 'partially_filled', 'pending_cancel')
     ORDER BY submitted_at_ms, broker_order_id"
);
const SQL_SUBMITTED: &str =
    select_order!("WHERE submitted_at_ms >= ?1 AND submitted_at_ms < ?2 ORDER BY submitted_at_ms, broker_order_id");
const SQL_OF_INTENT: &str = select_order!("WHERE intent_id = ?1 ORDER BY submitted_at_ms, broker_order_id");
const SQL_BY_CLIENT_ID: &str = select_order!(
    "WHERE client_order_id = ?1 OR parent_client_order_id = ?1 ORDER BY role <> 'parent', broker_order_id"
);
const SQL_SINCE: &str =
    select_order!("WHERE account = ?1 AND submitted_at_ms >= ?2 ORDER BY submitted_at_ms, broker_order_id");
const SQL_ALL: &str = select_order!("WHERE account = ?1 ORDER BY submitted_at_ms, broker_order_id");
const SQL_HISTORY: &str = "
    SELECT status, filled_e9, average_price_e8, stop_e8, reason, at_ms, recorded_at_ms FROM broker_order_event
    WHERE account = ?1 AND broker_order_id = ?2 ORDER BY broker_order_event_id";

/// An order and the intent it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredOrder {
    /// The intent behind it, or behind its parent; `None`: not decided in this ledger.
    pub intent_id: Option<i64>,
    /// The order as the broker showed it last.
    #[serde(flatten)]
    pub order: Order,
}

/// What became of orders that were shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrdersRecorded {
    /// Orders that the ledger did not have.
    pub new: usize,
    /// Orders that had changed.
    pub changed: usize,
    /// Orders that were as they are in the ledger, or older.
    pub unchanged: usize,
    /// Those that had been working and have ended without being filled.
    pub unfilled: Vec<Order>,
    /// Those that are new or have changed, and stand in a way that this version does not know.
    pub unrecognised: Vec<Order>,
}

/// A change of an order that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderChange {
    /// Where it stood.
    pub status: OrderStatus,
    /// Shares filled by then.
    pub filled: Quantity,
    /// Their average price.
    pub average_price: Option<Price>,
    /// The stop price in force.
    pub stop: Option<Price>,
    /// The broker's words.
    pub reason: Option<String>,
    /// When it happened, by the broker's word.
    pub at: Timestamp,
    /// When the ledger wrote it.
    pub recorded_at: Timestamp,
}

fn price(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Price>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Price))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredOrder> {
    let required = |column: usize| row.get(column).map(Price);
    let order_type = match row.get_ref(7)?.as_str()? {
        "market" => OrderType::Market,
        "limit" => OrderType::Limit { limit: required(8)? },
        "stop" => OrderType::Stop { stop: required(9)? },
        "stop_limit" => OrderType::StopLimit { stop: required(9)?, limit: required(8)? },
        // The table's CHECK leaves one more.
        _ => OrderType::TrailingStop {
            trail: match price(row, 10)? {
                Some(amount) => Trail::Amount(amount),
                None => Trail::Ratio(Bps(row.get(11)?)),
            },
        },
    };
    let class = match row.get_ref(12)?.as_str()? {
        "bracket" => OrderClass::Bracket { take_profit: required(13)?, stop_loss: required(14)? },
        "oco" => OrderClass::Oco { stop_loss: required(14)? },
        _ => OrderClass::Simple,
    };
    Ok(StoredOrder {
        intent_id: row.get(3)?,
        order: Order {
            broker_order_id: row.get(0)?,
            client_order_id: row.get::<_, Text<_>>(1)?.0,
            parent: row.get::<_, Option<Text<_>>>(2)?.map(|text| text.0),
            role: row.get::<_, Word<_>>(4)?.0,
            symbol: row.get::<_, Text<_>>(5)?.0,
            side: row.get::<_, Word<_>>(6)?.0,
            order_type,
            class,
            time_in_force: row.get::<_, Word<_>>(15)?.0,
            quantity: Quantity(row.get(16)?),
            filled: Quantity(row.get(17)?),
            average_price: price(row, 18)?,
            status: row.get::<_, Word<_>>(19)?.0,
            reason: row.get(20)?,
            submitted_at: Timestamp(row.get(21)?),
            updated_at: Timestamp(row.get(22)?),
        },
    })
}

/// The columns that an order's type and class fill.
#[derive(Default)]
struct TermColumns {
    order_type: &'static str,
    limit: Option<i64>,
    stop: Option<i64>,
    trail: Option<i64>,
    trail_bps: Option<i64>,
    class: &'static str,
    take_profit: Option<i64>,
    stop_loss: Option<i64>,
}

fn terms(order: &Order) -> TermColumns {
    let (class, take_profit, stop_loss) = match order.class {
        OrderClass::Simple => ("simple", None, None),
        OrderClass::Bracket { take_profit, stop_loss } => ("bracket", Some(take_profit.0), Some(stop_loss.0)),
        OrderClass::Oco { stop_loss } => ("oco", None, Some(stop_loss.0)),
    };
    let rest = TermColumns { class, take_profit, stop_loss, ..TermColumns::default() };
    match order.order_type {
        OrderType::Market => TermColumns { order_type: "market", ..rest },
        OrderType::Limit { limit } => TermColumns { order_type: "limit", limit: Some(limit.0), ..rest },
        OrderType::Stop { stop } => TermColumns { order_type: "stop", stop: Some(stop.0), ..rest },
        OrderType::StopLimit { stop, limit } => {
            TermColumns { order_type: "stop_limit", stop: Some(stop.0), limit: Some(limit.0), ..rest }
        }
        OrderType::TrailingStop { trail: Trail::Amount(amount) } => {
            TermColumns { order_type: "trailing_stop", trail: Some(amount.0), ..rest }
        }
        OrderType::TrailingStop { trail: Trail::Ratio(ratio) } => {
            TermColumns { order_type: "trailing_stop", trail_bps: Some(ratio.0), ..rest }
        }
    }
}

/// What an order's row says of the things that change.
#[derive(PartialEq, Eq)]
struct Known {
    status: OrderStatus,
    filled: i64,
    average_price: Option<i64>,
    stop: Option<i64>,
    quantity: i64,
}

/// Writes orders as the broker shows them. A report that is older than the row, or that brings an ended
/// order back to life, changes nothing; an end counts whatever time the broker gives it. An acknowledged intent whose order has ended is settled.
///
/// # Errors
/// If the ledger cannot be written.
pub fn record(
    tx: &Transaction<'_>,
    account: &str,
    orders: &[Order],
    now: Timestamp,
) -> Result<OrdersRecorded, LedgerError> {
    let mut recorded = OrdersRecorded::default();
    for order in orders {
        let known = tx
            .prepare_cached(SQL_KNOWN)?
            .query_row(params![account, order.broker_order_id], |row| {
                let known = Known {
                    status: row.get::<_, Word<_>>(0)?.0,
                    filled: row.get(1)?,
                    average_price: row.get(2)?,
                    stop: row.get(3)?,
                    quantity: row.get(4)?,
                };
                Ok((known, Timestamp(row.get(5)?)))
            })
            .optional()?;
        let terms = terms(order);
        let shown = Known {
            status: order.status,
            filled: order.filled.0,
            average_price: order.average_price.map(|price| price.0),
            stop: terms.stop,
            quantity: order.quantity.0,
        };
        match known {
            None => recorded.new += 1,
            Some((known, updated_at)) => {
                let revives = known.status.is_terminal() && !order.status.is_terminal();
                let ends = order.status.is_terminal() && !known.status.is_terminal();
                let is_old = order.updated_at < updated_at && !ends;
                if known == shown || is_old || revives {
                    recorded.unchanged += 1;
                    continue;
                }
                recorded.changed += 1;
                if ends && ends_unfilled(order.status) {
                    recorded.unfilled.push(order.clone());
                }
            }
        }
        if order.unknown_status().is_some() {
            recorded.unrecognised.push(order.clone());
        }
        write(tx, account, order, &terms, now)?;
    }
    Ok(recorded)
}

const fn ends_unfilled(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Rejected)
}

fn write(
    tx: &Transaction<'_>,
    account: &str,
    order: &Order,
    terms: &TermColumns,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let intent_id = intent::id_of(tx, order.parent.as_ref().unwrap_or(&order.client_order_id))?;
    tx.prepare_cached(SQL_UPSERT)?.execute(named_params! {
        ":account": account,
        ":broker_order_id": order.broker_order_id,
        ":client_order_id": order.client_order_id.as_str(),
        ":parent": order.parent.as_ref().map(ClientOrderId::as_str),
        ":intent_id": intent_id,
        ":role": Word(order.role),
        ":symbol": order.symbol.as_str(),
        ":side": order.side.as_str(),
        ":order_type": terms.order_type,
        ":limit": terms.limit,
        ":stop": terms.stop,
        ":trail": terms.trail,
        ":trail_bps": terms.trail_bps,
        ":class": terms.class,
        ":take_profit": terms.take_profit,
        ":stop_loss": terms.stop_loss,
        ":time_in_force": Word(order.time_in_force),
        ":quantity": order.quantity.0,
        ":filled": order.filled.0,
        ":average_price": order.average_price.map(|price| price.0),
        ":status": order.status.as_str(),
        ":reason": order.reason,
        ":submitted_at": order.submitted_at.0,
        ":updated_at": order.updated_at.0,
        ":now": now.0,
    })?;
    tx.prepare_cached(SQL_EVENT)?.execute(params![
        account,
        order.broker_order_id,
        order.status.as_str(),
        order.filled.0,
        order.average_price.map(|price| price.0),
        terms.stop,
        order.reason,
        order.updated_at.0,
        now.0
    ])?;
    if let Some(intent_id) = intent_id
        && order.role == OrderRole::Parent
        && order.status.is_terminal()
        && intent::get(tx, intent_id)?.state == IntentState::Acked
    {
        let outcome = order.reason.as_deref().unwrap_or(order.status.as_str());
        intent::apply(tx, intent_id, IntentEvent::Ended, Some(outcome), now)?;
    }
    Ok(())
}

/// Whether the ledger knows of any order of the account.
///
/// # Errors
/// If the ledger cannot be read.
pub fn any(conn: &Connection, account: &str) -> Result<bool, LedgerError> {
    Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM broker_order WHERE account = ?1)", [account], |row| row.get(0))?)
}

/// One order.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if the account has none of this name.
pub fn get(conn: &Connection, account: &str, broker_order_id: &str) -> Result<StoredOrder, LedgerError> {
    conn.prepare_cached(SQL_GET)?
        .query_row([account, broker_order_id], from_row)
        .optional()?
        .ok_or_else(|| LedgerError::NoSuchRow { what: "order", key: broker_order_id.to_owned() })
}

/// The account's orders that are not terminal, as far as the ledger knows, in the order of their
/// submission.
///
/// # Errors
/// If the ledger cannot be read.
pub fn open(conn: &Connection, account: &str) -> Result<Vec<StoredOrder>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OPEN)?.query_map([account], from_row)?.collect::<Result<_, _>>()?)
}

/// The account's orders that are not terminal, and those of `named`, by the broker's names, that are known.
///
/// # Errors
/// If the ledger cannot be read.
pub fn open_and_named(conn: &Connection, account: &str, named: &[String]) -> Result<Vec<Order>, LedgerError> {
    let mut orders: Vec<Order> = open(conn, account)?.into_iter().map(|stored| stored.order).collect();
    let mut select = conn.prepare_cached(SQL_GET)?;
    for id in named {
        if orders.iter().all(|order| order.broker_order_id != *id) {
            orders.extend(select.query_row([account, id.as_str()], from_row).optional()?.map(|stored| stored.order));
        }
    }
    Ok(orders)
}

/// The orders submitted in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn submitted_between(
    conn: &Connection,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<StoredOrder>, LedgerError> {
    Ok(conn.prepare_cached(SQL_SUBMITTED)?.query_map([from.0, until.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The account's orders submitted from an instant on, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn submitted_since(conn: &Connection, account: &str, since: Timestamp) -> Result<Vec<StoredOrder>, LedgerError> {
    Ok(conn.prepare_cached(SQL_SINCE)?.query_map(params![account, since.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The orders that came of an intent, legs included.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_intent(conn: &Connection, intent_id: i64) -> Result<Vec<StoredOrder>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OF_INTENT)?.query_map([intent_id], from_row)?.collect::<Result<_, _>>()?)
}

/// The order sent under a name, followed by its legs.
///
/// # Errors
/// If the ledger cannot be read.
pub fn by_client_order_id(conn: &Connection, id: &ClientOrderId) -> Result<Vec<StoredOrder>, LedgerError> {
    Ok(conn.prepare_cached(SQL_BY_CLIENT_ID)?.query_map([id.as_str()], from_row)?.collect::<Result<_, _>>()?)
}

/// Every order of the account, in the order of their submission.
///
/// # Errors
/// If the ledger cannot be read.
pub fn all(conn: &Connection, account: &str) -> Result<Vec<StoredOrder>, LedgerError> {
    Ok(conn.prepare_cached(SQL_ALL)?.query_map([account], from_row)?.collect::<Result<_, _>>()?)
}

/// Every change of an order that was seen, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn history(conn: &Connection, account: &str, broker_order_id: &str) -> Result<Vec<OrderChange>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_HISTORY)?;
    let changes = select.query_map([account, broker_order_id], |row| {
        Ok(OrderChange {
            status: row.get::<_, Word<_>>(0)?.0,
            filled: Quantity(row.get(1)?),
            average_price: price(row, 2)?,
            stop: price(row, 3)?,
            reason: row.get(4)?,
            at: Timestamp(row.get(5)?),
            recorded_at: Timestamp(row.get(6)?),
        })
    })?;
    Ok(changes.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::Decision;

    use super::*;
    use crate::ledger::testing::{TestLedger, enter, order_of};

    fn show(day: &TestLedger, order: &Order, at: i64) -> OrdersRecorded {
        let shown = order.clone();
        day.ledger.write_blocking(move |tx| record(tx, "paper", &[shown], Timestamp(at))).unwrap()
    }

    const NEW: OrdersRecorded =
        OrdersRecorded { new: 1, changed: 0, unchanged: 0, unfilled: Vec::new(), unrecognised: Vec::new() };
    const CHANGED: OrdersRecorded =
        OrdersRecorded { new: 0, changed: 1, unchanged: 0, unfilled: Vec::new(), unrecognised: Vec::new() };
    const UNCHANGED: OrdersRecorded =
        OrdersRecorded { new: 0, changed: 0, unchanged: 1, unfilled: Vec::new(), unrecognised: Vec::new() };

    #[test]
    fn an_order_settles_its_intent_when_it_ends() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let mut shown = order_of(&ours.ticket, "b-1", 10);
        let written = day
            .decide(&run, &Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() });
        let id = written.intents[0].intent_id;
        for event in [IntentEvent::Sending, IntentEvent::Acknowledged] {
            day.ledger.write_blocking(move |tx| intent::apply(tx, id, event, None, Timestamp(9))).unwrap();
        }
        assert_eq!(show(&day, &shown, 11), NEW);
        assert_eq!(show(&day, &shown, 12), UNCHANGED);
        let leg = Order {
            broker_order_id: "b-2".to_owned(),
            client_order_id: "leg-2".parse().unwrap(),
            parent: Some(shown.client_order_id.clone()),
            role: OrderRole::StopLoss,
            side: shown.side.opposite(),
            order_type: OrderType::Stop { stop: Price::from_cents(98_00) },
            class: OrderClass::Simple,
            status: OrderStatus::Held,
            ..shown.clone()
        };
        assert_eq!(show(&day, &leg, 12), NEW);
        assert_eq!(day.ledger.read(|conn| intent::get(conn, id)).unwrap().state, IntentState::Acked);

        shown.status = OrderStatus::Filled;
        shown.filled = shown.quantity;
        shown.average_price = Some(Price::from_cents(10_001));
        shown.updated_at = Timestamp(20);
        assert_eq!(show(&day, &shown, 21), CHANGED);
        let settled = day.ledger.read(|conn| intent::get(conn, id)).unwrap();
        assert_eq!((settled.state, settled.outcome.as_deref()), (IntentState::Terminal, Some("filled")));
        let orders = day.ledger.read(|conn| of_intent(conn, id)).unwrap();
        assert_eq!(orders.iter().map(|stored| &stored.order).collect::<Vec<_>>(), [&shown, &leg]);
        assert_eq!(day.ledger.read(|conn| open(conn, "paper")).unwrap()[0].order, leg);
        let history = day.ledger.read(|conn| history(conn, "paper", "b-1")).unwrap();
        assert_eq!(
            history.iter().map(|change| change.status).collect::<Vec<_>>(),
            [OrderStatus::New, OrderStatus::Filled]
        );
    }

    #[test]
    fn old_news_changes_nothing() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let order = order_of(&enter(&day, &run, 0, "AAPL", 100).ticket, "b-1", 10);
        let canceled = Order { status: OrderStatus::Canceled, updated_at: Timestamp(20), ..order.clone() };
        let late = Order { status: OrderStatus::PendingCancel, updated_at: Timestamp(15), ..order.clone() };
        let revived = Order { status: OrderStatus::New, updated_at: Timestamp(25), ..order };
        assert_eq!(show(&day, &canceled, 20), NEW);
        assert_eq!(show(&day, &late, 21), UNCHANGED);
        assert_eq!(show(&day, &revived, 26), UNCHANGED);
        let stored = day.ledger.read(|conn| get(conn, "paper", "b-1")).unwrap();
        assert_eq!((stored.intent_id, stored.order), (None, canceled));
    }

    #[test]
    fn an_end_is_never_old_news() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let order = order_of(&enter(&day, &run, 0, "AAPL", 100).ticket, "b-1", 10);
        let filled =
            Order { status: OrderStatus::Filled, filled: order.quantity, updated_at: Timestamp(9), ..order.clone() };
        assert_eq!(show(&day, &order, 11), NEW);
        assert_eq!(show(&day, &filled, 12), CHANGED);
        assert_eq!(show(&day, &order, 13), UNCHANGED);
        assert_eq!(day.ledger.read(|conn| get(conn, "paper", "b-1")).unwrap().order, filled);
    }

    #[test]
    fn every_type_and_class_comes_back_as_it_was() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let order = order_of(&enter(&day, &run, 0, "AAPL", 100).ticket, "b", 10);
        let price = Price::from_cents;
        let types = [
            OrderType::Market,
            OrderType::Limit { limit: price(10_00) },
            OrderType::Stop { stop: price(9_00) },
            OrderType::StopLimit { stop: price(9_00), limit: price(8_99) },
            OrderType::TrailingStop { trail: Trail::Amount(price(50)) },
            OrderType::TrailingStop { trail: Trail::Ratio(Bps(200)) },
        ];
        let classes = [
            OrderClass::Simple,
            OrderClass::Bracket { take_profit: price(12_00), stop_loss: price(9_00) },
            OrderClass::Oco { stop_loss: price(9_00) },
        ];
        for (number, (order_type, class)) in
            types.into_iter().flat_map(|order_type| classes.map(|class| (order_type, class))).enumerate()
        {
            let id = format!("b-{number}");
            let shown = Order { broker_order_id: id.clone(), order_type, class, ..order.clone() };
            assert_eq!(show(&day, &shown, 11), NEW);
            assert_eq!(day.ledger.read(|conn| get(conn, "paper", &id)).unwrap().order, shown);
        }
        assert_eq!(day.ledger.read(|conn| submitted_between(conn, Timestamp(10), Timestamp(11))).unwrap().len(), 18);
    }

    #[test]
    fn a_look_for_open_orders_reads_no_others() {
        let planned = TestLedger::new().plan(SQL_OPEN).join(", ");
        assert_eq!(
            planned,
            "SEARCH broker_order USING INDEX broker_order_open (account=?), USE TEMP B-TREE FOR ORDER BY"
        );
    }
}
