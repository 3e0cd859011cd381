//! The program's phase: every change is a row, and the last row is the phase in force.

use daybook_core::phase::Phase;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::Word;

const SQL_INSERT: &str = "INSERT INTO phase_change (at_ms, from_phase, to_phase, reason) VALUES (?1, ?2, ?3, ?4)";
const SQL_LAST: &str = "
    SELECT at_ms, from_phase, to_phase, reason FROM phase_change ORDER BY phase_change_id DESC LIMIT 1";
const SQL_BETWEEN: &str = "
    SELECT at_ms, from_phase, to_phase, reason FROM phase_change WHERE at_ms >= ?1 AND at_ms < ?2
    ORDER BY phase_change_id";

/// A change of the phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseChange {
    /// When.
    pub at: Timestamp,
    /// The phase before; `None` for the first change of all.
    pub from: Option<Phase>,
    /// The phase after.
    pub to: Phase,
    /// Why.
    pub reason: String,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<PhaseChange> {
    Ok(PhaseChange {
        at: Timestamp(row.get(0)?),
        from: row.get::<_, Option<Word<_>>>(1)?.map(|word| word.0),
        to: row.get::<_, Word<_>>(2)?.0,
        reason: row.get(3)?,
    })
}

/// Changes the phase; `None` if it is the one in force.
///
/// # Errors
/// If the ledger cannot be written.
pub fn change(
    tx: &Transaction<'_>,
    to: Phase,
    reason: &str,
    now: Timestamp,
) -> Result<Option<PhaseChange>, LedgerError> {
    let from = current(tx)?.map(|change| change.to);
    if from == Some(to) {
        return Ok(None);
    }
    tx.prepare_cached(SQL_INSERT)?.execute(params![now.0, from.map(Word), Word(to), reason])?;
    Ok(Some(PhaseChange { at: now, from, to, reason: reason.to_owned() }))
}

/// The last change: the phase in force, since when and why.
///
/// # Errors
/// If the ledger cannot be read.
pub fn current(conn: &Connection) -> Result<Option<PhaseChange>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST)?.query_row([], from_row).optional()?)
}

/// The changes in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn between(conn: &Connection, from: Timestamp, until: Timestamp) -> Result<Vec<PhaseChange>, LedgerError> {
    Ok(conn.prepare_cached(SQL_BETWEEN)?.query_map([from.0, until.0], from_row)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn only_changes_are_rows() {
        let day = TestLedger::new();
        assert_eq!(day.ledger.read(current).unwrap(), None);
        for (at, to) in [(1, Phase::Stopped), (2, Phase::PreMarket), (3, Phase::PreMarket), (4, Phase::SafeMode)] {
            day.ledger.write_blocking(move |tx| change(tx, to, "test", Timestamp(at))).unwrap();
        }
        let changes = day.ledger.read(|conn| between(conn, Timestamp(0), Timestamp(9))).unwrap();
        let arcs: Vec<_> = changes.iter().map(|change| (change.at.0, change.from, change.to)).collect();
        assert_eq!(
            arcs,
            [
                (1, None, Phase::Stopped),
                (2, Some(Phase::Stopped), Phase::PreMarket),
                (4, Some(Phase::PreMarket), Phase::SafeMode)
            ]
        );
        assert_eq!(day.ledger.read(current).unwrap().as_ref(), changes.last());
    }
}
