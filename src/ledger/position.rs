//! Positions: the fold of their fills, and what was decided about them.

use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::portfolio::{Position, PositionChange, PositionEvent};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Text, Word};
use super::decision::RunRef;

const SQL_INSERT: &str = "
    INSERT INTO position (account, session, symbol, direction, state, strategy, quantity_e9, quantity_max_e9, entered_e9,
        entry_value_e8, exit_value_e8, cost_e8, entry_price_e8, exit_price_e8, initial_stop_e8, stop_e8, target_e8,
        adjustments, best_price_e8, opened_at_ms, closed_at_ms, realised_e8, fees_e8, exit_reason)
    VALUES (:account, :session, :symbol, :direction, :state, :strategy, :quantity, :quantity_max, :entered, :entry_value,
        :exit_value, :cost, :entry_price, :exit_price, :initial_stop, :stop, :target, :adjustments, :best_price, :opened_at,
        :closed_at, :realised, :fees, :exit_reason)";
const SQL_UPDATE: &str = "
    UPDATE position SET state = :state, quantity_e9 = :quantity, quantity_max_e9 = :quantity_max, entered_e9 = :entered,
        entry_value_e8 = :entry_value, exit_value_e8 = :exit_value, cost_e8 = :cost, entry_price_e8 = :entry_price,
        exit_price_e8 = :exit_price, stop_e8 = :stop, target_e8 = :target, adjustments = :adjustments,
        best_price_e8 = :best_price, closed_at_ms = :closed_at, realised_e8 = :realised, fees_e8 = :fees,
        exit_reason = :exit_reason
    WHERE position_id = :position_id";
const SQL_REOPEN: &str = "
    UPDATE position SET session = ?2, direction = ?3, strategy = ?4, initial_stop_e8 = ?5, opened_at_ms = ?6
    WHERE position_id = ?1";
const SQL_FORGET_FILLS: &str = "DELETE FROM position_event WHERE position_id = ?1 AND fill_id IS NOT NULL";
const SQL_FORGET_EVENTS: &str = "DELETE FROM position_event WHERE position_id = ?1";
const SQL_FORGET: &str = "DELETE FROM position WHERE position_id = ?1";
const SQL_EVENT: &str = "
    INSERT INTO position_event (position_id, at_ms, kind, run_id, fill_id, state, quantity_e9, stop_e8, detail)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
/// The columns of a [`StoredPosition`], in the order in which [`from_row`] reads them.
macro_rules! select_position {
    ($rest:literal) => {
        concat!(
            "SELECT position_id, session, symbol, direction, state, strategy, quantity_e9, quantity_max_e9, entered_e9,
                entry_value_e8, exit_value_e8, cost_e8, entry_price_e8, exit_price_e8, initial_stop_e8, stop_e8, target_e8,
                adjustments, best_price_e8, opened_at_ms, closed_at_ms, realised_e8, fees_e8, exit_reason FROM position ",
            $rest
        )
    };
}
const SQL_OPEN_OF: &str = select_position!("WHERE account = ?1 AND symbol = ?2 AND closed_at_ms IS NULL");
const SQL_OPEN: &str = select_position!("WHERE account = ?1 AND closed_at_ms IS NULL ORDER BY symbol");
const SQL_CLOSED: &str = select_position!(
    "WHERE account = ?1 AND closed_at_ms >= ?2 AND closed_at_ms < ?3 ORDER BY closed_at_ms, position_id"
);
const SQL_LATEST_RESULTS: &str = "
    SELECT realised_e8 - fees_e8 FROM position WHERE account = ?1 AND closed_at_ms IS NOT NULL
    ORDER BY closed_at_ms DESC, position_id DESC LIMIT ?2";
const SQL_ALL: &str = select_position!("WHERE account = ?1 ORDER BY position_id");
const SQL_OPENED_SINCE: &str = select_position!("WHERE account = ?1 AND opened_at_ms >= ?2 ORDER BY position_id");
const SQL_OF_SYMBOL: &str = select_position!(
    "WHERE account = ?1 AND symbol = ?2 AND opened_at_ms < ?4 AND coalesce(closed_at_ms, ?4) >= ?3 ORDER BY position_id"
);
const SQL_HELD_SINCE: &str = select_position!(
    "WHERE account = ?1 AND symbol = ?2 AND coalesce(closed_at_ms, ?3) >= ?3 ORDER BY opened_at_ms, position_id"
);
const SQL_HISTORY: &str = "
    SELECT at_ms, kind, run_id, fill_id, state, quantity_e9, stop_e8, detail FROM position_event
    WHERE position_id = ?1 ORDER BY at_ms, position_event_id";

const SQL_EFFECTS: &str = "
    SELECT kind, position_id, quantity_e9 FROM position_event
    WHERE fill_id = (SELECT fill_id FROM fill WHERE account = ?1 AND execution_id = ?2) ORDER BY position_event_id";
const SQL_BY_ID: &str = select_position!("WHERE position_id = ?1");

/// What an execution did to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillEffect {
    /// `opened`, `added`, `reduced` or `closed`.
    pub kind: String,
    /// The shares held after it.
    pub quantity: Quantity,
    /// The position as it is now.
    pub position: StoredPosition,
}

/// A position with its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPosition {
    /// Its row.
    pub position_id: i64,
    /// The date in New York on which it was opened.
    pub session: SessionDate,
    /// The position.
    #[serde(flatten)]
    pub position: Position,
}

/// Something that happened to a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PositionHistory {
    /// When.
    pub at: Timestamp,
    /// What: `opened`, `added`, `reduced`, `closed`, `watched`, `adjust_begun`, `adjust_ended`, `exit_begun`.
    pub kind: String,
    /// The run that decided it.
    pub run_id: Option<i64>,
    /// The fill that did it.
    pub fill_id: Option<i64>,
    /// The state after it.
    pub state: String,
    /// The shares held after it.
    pub quantity: Quantity,
    /// The stop in force after it.
    pub stop: Option<Price>,
    /// Why, where something was said.
    pub detail: Option<String>,
}

/// What a [`PositionHistory`] row is made of, besides the position.
pub(super) struct Cause<'a> {
    pub(super) at: Timestamp,
    pub(super) kind: &'a str,
    pub(super) run_id: Option<i64>,
    pub(super) fill_id: Option<i64>,
    pub(super) detail: Option<&'a str>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredPosition> {
    let price = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Price));
    let money = |column: usize| row.get(column).map(Money);
    let quantity = |column: usize| row.get(column).map(Quantity);
    Ok(StoredPosition {
        position_id: row.get(0)?,
        session: row.get::<_, Text<_>>(1)?.0,
        position: Position {
            symbol: row.get::<_, Text<_>>(2)?.0,
            direction: row.get::<_, Word<_>>(3)?.0,
            state: row.get::<_, Word<_>>(4)?.0,
            strategy: row.get(5)?,
            quantity: quantity(6)?,
            quantity_max: quantity(7)?,
            entered: quantity(8)?,
            entry_value: money(9)?,
            exit_value: money(10)?,
            cost: money(11)?,
            entry_price: Price(row.get(12)?),
            exit_price: price(13)?,
            initial_stop: price(14)?,
            stop: price(15)?,
            target: price(16)?,
            adjustments: row.get(17)?,
            best_price: Price(row.get(18)?),
            opened_at: Timestamp(row.get(19)?),
            closed_at: row.get::<_, Option<i64>>(20)?.map(Timestamp),
            realised: money(21)?,
            fees: money(22)?,
            exit_reason: row.get(23)?,
        },
    })
}

/// Writes a position that a fill opened; the answer is its row.
pub(super) fn insert(tx: &Transaction<'_>, account: &str, position: &Position) -> Result<i64, LedgerError> {
    tx.prepare_cached(SQL_INSERT)?.execute(named_params! {
        ":account": account,
        ":session": Text(super::new_york_date(position.opened_at)),
        ":symbol": position.symbol.as_str(),
        ":direction": position.direction.as_str(),
        ":state": position.state.as_str(),
        ":strategy": position.strategy,
        ":quantity": position.quantity.0,
        ":quantity_max": position.quantity_max.0,
        ":entered": position.entered.0,
        ":entry_value": position.entry_value.0,
        ":exit_value": position.exit_value.0,
        ":cost": position.cost.0,
        ":entry_price": position.entry_price.0,
        ":exit_price": position.exit_price.map(|price| price.0),
        ":initial_stop": position.initial_stop.map(|price| price.0),
        ":stop": position.stop.map(|price| price.0),
        ":target": position.target.map(|price| price.0),
        ":adjustments": position.adjustments,
        ":best_price": position.best_price.0,
        ":opened_at": position.opened_at.0,
        ":closed_at": position.closed_at.map(|at| at.0),
        ":realised": position.realised.0,
        ":fees": position.fees.0,
        ":exit_reason": position.exit_reason,
    })?;
    Ok(tx.last_insert_rowid())
}

/// Writes a position that changed.
pub(super) fn update(tx: &Transaction<'_>, position_id: i64, position: &Position) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_UPDATE)?.execute(named_params! {
        ":position_id": position_id,
        ":state": position.state.as_str(),
        ":quantity": position.quantity.0,
        ":quantity_max": position.quantity_max.0,
        ":entered": position.entered.0,
        ":entry_value": position.entry_value.0,
        ":exit_value": position.exit_value.0,
        ":cost": position.cost.0,
        ":entry_price": position.entry_price.0,
        ":exit_price": position.exit_price.map(|price| price.0),
        ":stop": position.stop.map(|price| price.0),
        ":target": position.target.map(|price| price.0),
        ":adjustments": position.adjustments,
        ":best_price": position.best_price.0,
        ":closed_at": position.closed_at.map(|at| at.0),
        ":realised": position.realised.0,
        ":fees": position.fees.0,
        ":exit_reason": position.exit_reason,
    })?;
    Ok(())
}

/// Writes a position that was folded again from other fills, and forgets what fills did to it before.
pub(super) fn rewrite(tx: &Transaction<'_>, position_id: i64, position: &Position) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_REOPEN)?.execute(params![
        position_id,
        Text(super::new_york_date(position.opened_at)),
        position.direction.as_str(),
        position.strategy,
        position.initial_stop.map(|price| price.0),
        position.opened_at.0,
    ])?;
    tx.prepare_cached(SQL_FORGET_FILLS)?.execute([position_id])?;
    update(tx, position_id, position)
}

/// Removes a position that never was: its fills turned out to belong to another.
pub(super) fn forget(tx: &Transaction<'_>, position_id: i64) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_FORGET_EVENTS)?.execute([position_id])?;
    tx.prepare_cached(SQL_FORGET)?.execute([position_id])?;
    Ok(())
}

/// The account's positions in a symbol that were held at `since` or after it, in the order of their opening.
pub(super) fn held_since(
    conn: &Connection,
    account: &str,
    symbol: Symbol,
    since: Timestamp,
) -> Result<Vec<StoredPosition>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_HELD_SINCE)?;
    Ok(select.query_map(params![account, symbol.as_str(), since.0], from_row)?.collect::<Result<_, _>>()?)
}

/// Writes what happened to a position, and how it stands after it.
pub(super) fn note(
    tx: &Transaction<'_>,
    position_id: i64,
    after: &Position,
    cause: &Cause<'_>,
) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_EVENT)?.execute(params![
        position_id,
        cause.at.0,
        cause.kind,
        cause.run_id,
        cause.fill_id,
        after.state.as_str(),
        after.quantity.0,
        after.stop.map(|stop| stop.0),
        cause.detail
    ])?;
    Ok(())
}

/// Applies a decision's change to the open position of a symbol, by the core's state machine. A change
/// that the position does not admit any more (a fill came in between) is left out: the next run sees
/// the position as it is.
pub(super) fn change(
    tx: &Transaction<'_>,
    run: &RunRef,
    change: &PositionChange,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let Some(stored) = open_of(tx, &run.account, change.symbol)? else { return Ok(()) };
    let Ok(after) = stored.position.clone().apply(&change.event) else {
        tracing::warn!(
            event = "position.change_refused",
            run_id = run.run_id,
            symbol = %change.symbol,
            state = stored.position.state.as_str(),
            "a decision's change came too late for the position's state"
        );
        return Ok(());
    };
    if after == stored.position {
        return Ok(());
    }
    update(tx, stored.position_id, &after)?;
    let (kind, detail) = match &change.event {
        PositionEvent::Watched => ("watched", None),
        // A better price every minute is not worth a row every minute.
        PositionEvent::NewBest { .. } => return Ok(()),
        PositionEvent::AdjustBegun { .. } => ("adjust_begun", None),
        PositionEvent::AdjustEnded => ("adjust_ended", None),
        PositionEvent::ExitBegun { reason } => ("exit_begun", Some(reason.as_str())),
    };
    let cause = Cause { at: now, kind, run_id: Some(run.run_id), fill_id: None, detail };
    note(tx, stored.position_id, &after, &cause)
}

/// What a recorded execution did to positions, in order: it closes one and opens another where it turns them.
///
/// # Errors
/// If the ledger cannot be read.
pub fn effects_of(conn: &Connection, account: &str, execution_id: &str) -> Result<Vec<FillEffect>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_EFFECTS)?;
    let noted = select.query_map(params![account, execution_id], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?, Quantity(row.get(2)?)))
    })?;
    let noted: Vec<(String, i64, Quantity)> = noted.collect::<Result<_, _>>()?;
    let mut effects = Vec::with_capacity(noted.len());
    for (kind, position_id, quantity) in noted {
        let position = conn.prepare_cached(SQL_BY_ID)?.query_row([position_id], from_row)?;
        effects.push(FillEffect { kind, quantity, position });
    }
    Ok(effects)
}

/// The account's open position in a symbol.
///
/// # Errors
/// If the ledger cannot be read.
pub fn open_of(conn: &Connection, account: &str, symbol: Symbol) -> Result<Option<StoredPosition>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OPEN_OF)?.query_row([account, symbol.as_str()], from_row).optional()?)
}

/// The account's open positions, by symbol.
///
/// # Errors
/// If the ledger cannot be read.
pub fn open(conn: &Connection, account: &str) -> Result<Vec<StoredPosition>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OPEN)?.query_map([account], from_row)?.collect::<Result<_, _>>()?)
}

/// The account's positions that were closed on a session's date in New York, in the order in which
/// they were: its trades.
///
/// # Errors
/// If the ledger cannot be read.
pub fn closed_in(conn: &Connection, account: &str, session: SessionDate) -> Result<Vec<StoredPosition>, LedgerError> {
    let (from, until) = super::new_york_day(session);
    closed_since(conn, account, from, until)
}

/// The account's positions that were closed in `[from, until)`, in the order in which they were.
///
/// # Errors
/// If the ledger cannot be read.
pub fn closed_since(
    conn: &Connection,
    account: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<StoredPosition>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_CLOSED)?;
    Ok(select.query_map(params![account, from.0, until.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The results of the account's latest closed positions, less fees, the latest first; at most `count`.
///
/// # Errors
/// If the ledger cannot be read.
pub fn latest_results(conn: &Connection, account: &str, count: u32) -> Result<Vec<Money>, LedgerError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut select = conn.prepare_cached(SQL_LATEST_RESULTS)?;
    Ok(select.query_map(params![account, count], |row| row.get(0).map(Money))?.collect::<Result<_, _>>()?)
}

/// The account's positions in a symbol that were held at some time in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_symbol(
    conn: &Connection,
    account: &str,
    symbol: Symbol,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<StoredPosition>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_OF_SYMBOL)?;
    let positions = select.query_map(params![account, symbol.as_str(), from.0, until.0], from_row)?;
    Ok(positions.collect::<Result<_, _>>()?)
}

/// Every position of the account, in the order in which they were opened.
///
/// # Errors
/// If the ledger cannot be read.
pub fn all(conn: &Connection, account: &str) -> Result<Vec<StoredPosition>, LedgerError> {
    Ok(conn.prepare_cached(SQL_ALL)?.query_map([account], from_row)?.collect::<Result<_, _>>()?)
}

/// The account's positions that were opened from an instant on.
///
/// # Errors
/// If the ledger cannot be read.
pub fn opened_since(conn: &Connection, account: &str, since: Timestamp) -> Result<Vec<StoredPosition>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_OPENED_SINCE)?;
    Ok(select.query_map(params![account, since.0], from_row)?.collect::<Result<_, _>>()?)
}

/// What happened to a position, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn history(conn: &Connection, position_id: i64) -> Result<Vec<PositionHistory>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_HISTORY)?;
    let events = select.query_map([position_id], |row| {
        Ok(PositionHistory {
            at: Timestamp(row.get(0)?),
            kind: row.get(1)?,
            run_id: row.get(2)?,
            fill_id: row.get(3)?,
            state: row.get(4)?,
            quantity: Quantity(row.get(5)?),
            stop: row.get::<_, Option<i64>>(6)?.map(Price),
            detail: row.get(7)?,
        })
    })?;
    Ok(events.collect::<Result<_, _>>()?)
}
