//! What was looked at and proposed: scans with their candidates, signals with risk's answers.

use daybook_core::decision::{Candidate, Review};
use daybook_core::market::Symbol;
use daybook_core::money::{Bps, Price};
use daybook_core::report::DatedReview;
use daybook_core::strategy::Signal;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, Row, Transaction, params};

use super::LedgerError;
use super::codec::{Json, Text, Word};
use super::decision::RunRef;
use super::intent::verdict_at;

const SQL_INSERT_SCAN: &str = "INSERT INTO scan (run_id, session, at_ms) VALUES (?1, ?2, ?3)";
const SQL_INSERT_CANDIDATE: &str = "
    INSERT INTO candidate (scan_id, rank, symbol, score, factors) VALUES (?1, ?2, ?3, ?4, ?5)";
const SQL_CANDIDATES: &str = "
    SELECT symbol, rank, score, factors FROM candidate
    WHERE scan_id = (SELECT max(scan_id) FROM scan WHERE session = ?1) ORDER BY rank";
const SQL_INSERT_SIGNAL: &str = "
    INSERT INTO signal (run_id, ordinal, session, at_ms, symbol, strategy, direction, entry_e8, stop_e8, target_e8,
        confidence_bps, reasons, valid_until_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const SQL_INSERT_VERDICT: &str = "
    INSERT INTO verdict (signal_id, quantity_e9, refused_by, checks, leg) VALUES (?1, ?2, ?3, ?4, ?5)";
const SQL_REVIEWS: &str = "
    SELECT at_ms, symbol, strategy, direction, entry_e8, stop_e8, target_e8, confidence_bps, reasons, valid_until_ms, leg,
        quantity_e9, refused_by, checks
    FROM signal JOIN verdict USING (signal_id) WHERE session = ?1 ORDER BY signal_id";

/// Writes a scan's choice; it replaces the session's earlier ones.
pub(super) fn insert_scan(
    tx: &Transaction<'_>,
    run: &RunRef,
    candidates: &[Candidate],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let scan_id = tx.prepare_cached(SQL_INSERT_SCAN)?.insert(params![run.run_id, run.session.map(Text), now.0])?;
    let mut insert = tx.prepare_cached(SQL_INSERT_CANDIDATE)?;
    for candidate in candidates {
        insert.execute(params![
            scan_id,
            candidate.rank,
            candidate.symbol.as_str(),
            candidate.score,
            Json(&candidate.factors)
        ])?;
    }
    Ok(())
}

/// The choice of a session's last scan, best first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn candidates(conn: &Connection, session: SessionDate) -> Result<Vec<Candidate>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_CANDIDATES)?;
    let candidates = select.query_map([Text(session)], |row| {
        Ok(Candidate {
            symbol: row.get::<_, Text<_>>(0)?.0,
            rank: row.get(1)?,
            score: row.get(2)?,
            factors: row.get::<_, Json<_>>(3)?.0,
        })
    })?;
    Ok(candidates.collect::<Result<_, _>>()?)
}

/// Writes a signal with risk's answer; the answer is the signal's row.
pub(super) fn insert_review(
    tx: &Transaction<'_>,
    run: &RunRef,
    ordinal: u32,
    review: &Review,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let Review { signal, verdict, leg } = review;
    let signal_id = tx.prepare_cached(SQL_INSERT_SIGNAL)?.insert(params![
        run.run_id,
        ordinal,
        run.session.map(Text),
        now.0,
        signal.symbol.as_str(),
        signal.strategy,
        signal.direction.as_str(),
        signal.entry.0,
        signal.stop.0,
        signal.target.0,
        signal.confidence.0,
        Json(&signal.reasons),
        signal.valid_until.0
    ])?;
    tx.prepare_cached(SQL_INSERT_VERDICT)?.execute(params![
        signal_id,
        verdict.quantity.map(|quantity| quantity.0),
        verdict.refused_by.map(Word),
        Json(&verdict.checks),
        leg
    ])?;
    Ok(signal_id)
}

/// The signal in ten columns from `first` on, time of the proposal left out.
pub(super) fn signal_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Signal> {
    Ok(Signal {
        symbol: row.get::<_, Text<Symbol>>(first)?.0,
        strategy: row.get(first + 1)?,
        direction: row.get::<_, Word<_>>(first + 2)?.0,
        entry: Price(row.get(first + 3)?),
        stop: Price(row.get(first + 4)?),
        target: Price(row.get(first + 5)?),
        confidence: Bps(row.get(first + 6)?),
        reasons: row.get::<_, Json<_>>(first + 7)?.0,
        valid_until: Timestamp(row.get(first + 8)?),
    })
}

/// Every signal of a session with risk's answer, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn reviews(conn: &Connection, session: SessionDate) -> Result<Vec<DatedReview>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_REVIEWS)?;
    let mut rows = select.query([Text(session)])?;
    let mut reviews = Vec::new();
    while let Some(row) = rows.next()? {
        // A signal's row without a verdict does not exist: both are written in one transaction.
        let Some(verdict) = verdict_at(row, 11)? else { continue };
        let review = Review { signal: signal_at(row, 1)?, verdict, leg: row.get(10)? };
        reviews.push(DatedReview { at: Timestamp(row.get(0)?), review });
    }
    Ok(reviews)
}
