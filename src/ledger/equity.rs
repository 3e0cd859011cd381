//! The account's figures through a session, and the figures of ended sessions.

use daybook_core::decision::EquityPoint;
use daybook_core::money::Money;
use daybook_core::report::DayReport;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::LedgerError;
use super::codec::{Json, Text};

const SQL_INSERT: &str = "
    INSERT INTO equity (run_id, session, at_ms, equity_e8, opening_equity_e8, exposure_e8, realised_e8, unrealised_e8, fees_e8)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const SQL_INSERT_OPENING: &str = "
    INSERT INTO session_equity (session, opening_equity_e8, at_ms, run_id) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (session) DO NOTHING";
const SQL_OPENING: &str = "SELECT opening_equity_e8 FROM session_equity WHERE session = ?1";
const SQL_OF_SESSION: &str = "
    SELECT session, at_ms, equity_e8, opening_equity_e8, exposure_e8, realised_e8, unrealised_e8, fees_e8 FROM equity
    WHERE session = ?1 ORDER BY at_ms, run_id";
const SQL_AFTER_RUN: &str = "
    SELECT session, at_ms, equity_e8, opening_equity_e8, exposure_e8, realised_e8, unrealised_e8, fees_e8 FROM equity
    WHERE run_id > ?1 ORDER BY run_id";
const SQL_LAST: &str = "
    SELECT session, at_ms, equity_e8, opening_equity_e8, exposure_e8, realised_e8, unrealised_e8, fees_e8 FROM equity
    ORDER BY session DESC, at_ms DESC, run_id DESC LIMIT 1";
const SQL_PEAK: &str = "SELECT max(equity_e8) FROM equity";
const SQL_WARN: &str = "
    INSERT INTO day_warning (session, run_id, at_ms, day_pnl_e8) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (session) DO NOTHING";
const SQL_WARNED_AT: &str = "SELECT at_ms FROM day_warning WHERE session = ?1";
const SQL_INSERT_DAY: &str = "
    INSERT INTO day_report (session, run_id, at_ms, opening_equity_e8, closing_equity_e8, realised_e8, unrealised_e8,
        fees_e8, pnl_e8, max_drawdown_e8, report)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (session) DO UPDATE SET run_id = excluded.run_id, at_ms = excluded.at_ms,
        opening_equity_e8 = excluded.opening_equity_e8, closing_equity_e8 = excluded.closing_equity_e8,
        realised_e8 = excluded.realised_e8, unrealised_e8 = excluded.unrealised_e8, fees_e8 = excluded.fees_e8,
        pnl_e8 = excluded.pnl_e8, max_drawdown_e8 = excluded.max_drawdown_e8, report = excluded.report";
const SQL_DAY: &str = "SELECT report FROM day_report WHERE session = ?1";
const SQL_DAY_OF_RUN: &str = "SELECT report FROM day_report JOIN run USING (session) WHERE run.run_id = ?1";
const SQL_DAYS: &str = "SELECT report FROM day_report WHERE session >= ?1 AND session <= ?2 ORDER BY session";

fn from_row(row: &Row<'_>) -> rusqlite::Result<EquityPoint> {
    Ok(EquityPoint {
        session: row.get::<_, Text<_>>(0)?.0,
        at: Timestamp(row.get(1)?),
        equity: Money(row.get(2)?),
        opening_equity: Money(row.get(3)?),
        exposure: Money(row.get(4)?),
        realised: Money(row.get(5)?),
        unrealised: Money(row.get(6)?),
        fees: Money(row.get(7)?),
    })
}

/// Writes the account's figures of a run. A session's first point fixes its opening equity for good.
pub(super) fn insert(tx: &Transaction<'_>, run_id: i64, point: &EquityPoint) -> Result<(), LedgerError> {
    let session = Text(point.session);
    tx.prepare_cached(SQL_INSERT_OPENING)?.execute(params![session, point.opening_equity.0, point.at.0, run_id])?;
    tx.prepare_cached(SQL_INSERT)?.execute(params![
        run_id,
        session,
        point.at.0,
        point.equity.0,
        point.opening_equity.0,
        point.exposure.0,
        point.realised.0,
        point.unrealised.0,
        point.fees.0
    ])?;
    Ok(())
}

/// Equity at a session's open, as it was fixed; `None` before the session's first figures.
///
/// # Errors
/// If the ledger cannot be read.
pub fn opening(conn: &Connection, session: SessionDate) -> Result<Option<Money>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OPENING)?.query_row([Text(session)], |row| row.get(0).map(Money)).optional()?)
}

/// The figures of a session, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_session(conn: &Connection, session: SessionDate) -> Result<Vec<EquityPoint>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OF_SESSION)?.query_map([Text(session)], from_row)?.collect::<Result<_, _>>()?)
}

/// The figures of the runs after one, in their order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn after_run(conn: &Connection, run_id: i64) -> Result<Vec<EquityPoint>, LedgerError> {
    Ok(conn.prepare_cached(SQL_AFTER_RUN)?.query_map([run_id], from_row)?.collect::<Result<_, _>>()?)
}

/// The last figures of all.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last(conn: &Connection) -> Result<Option<EquityPoint>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST)?.query_row([], from_row).optional()?)
}

/// The highest equity ever seen: what a drawdown is measured from.
///
/// # Errors
/// If the ledger cannot be read.
pub fn peak(conn: &Connection) -> Result<Option<Money>, LedgerError> {
    Ok(conn.prepare_cached(SQL_PEAK)?.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(Money))
}

/// Latches that a session's loss went beyond its warning.
pub(super) fn warn(
    tx: &Transaction<'_>,
    run_id: i64,
    session: SessionDate,
    day_pnl: Option<Money>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_WARN)?.execute(params![Text(session), run_id, now.0, day_pnl.map(|pnl| pnl.0)])?;
    Ok(())
}

/// When the session's loss went beyond its warning first; `None` if it has not.
///
/// # Errors
/// If the ledger cannot be read.
pub fn warned_at(conn: &Connection, session: SessionDate) -> Result<Option<Timestamp>, LedgerError> {
    Ok(conn.prepare_cached(SQL_WARNED_AT)?.query_row([Text(session)], |row| row.get(0).map(Timestamp)).optional()?)
}

/// Writes the figures of an ended session; a report made again replaces the first.
pub(super) fn insert_day(
    tx: &Transaction<'_>,
    run_id: i64,
    report: &DayReport,
    now: Timestamp,
) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_INSERT_DAY)?.execute(params![
        Text(report.session),
        run_id,
        now.0,
        report.opening_equity.0,
        report.closing_equity.0,
        report.realised.0,
        report.unrealised.0,
        report.fees.0,
        report.pnl.0,
        report.max_drawdown.0,
        Json(report)
    ])?;
    Ok(())
}

/// The figures of an ended session.
///
/// # Errors
/// If the ledger cannot be read.
pub fn day(conn: &Connection, session: SessionDate) -> Result<Option<DayReport>, LedgerError> {
    Ok(conn.prepare_cached(SQL_DAY)?.query_row([Text(session)], |row| Ok(row.get::<_, Json<_>>(0)?.0)).optional()?)
}

/// The figures of the session that a run belongs to, as they stand now.
///
/// # Errors
/// If the ledger cannot be read.
pub fn day_of_run(conn: &Connection, run_id: i64) -> Result<Option<DayReport>, LedgerError> {
    Ok(conn.prepare_cached(SQL_DAY_OF_RUN)?.query_row([run_id], |row| Ok(row.get::<_, Json<_>>(0)?.0)).optional()?)
}

/// The figures of the sessions from `first` to `last`, both included, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn days(conn: &Connection, first: SessionDate, last: SessionDate) -> Result<Vec<DayReport>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_DAYS)?;
    let days = select.query_map([Text(first), Text(last)], |row| Ok(row.get::<_, Json<_>>(0)?.0))?;
    Ok(days.collect::<Result<_, _>>()?)
}
