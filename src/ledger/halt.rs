//! Latches that stop new entries. They survive restarts, and one of a kind is in force at a time.

use daybook_core::report::DayHalt;
use daybook_core::risk::{Halt, HaltKind};
use daybook_core::time::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use super::LedgerError;
use super::codec::{Json, Word};

/// Who clears a latch whose time is over.
const ITS_TIME: &str = "its time";

const SQL_INSERT: &str = "
    INSERT INTO halt (kind, reason, numbers, set_at_ms, set_by_run, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (kind) WHERE cleared_at_ms IS NULL DO NOTHING";
const SQL_END_EXPIRED: &str = "
    UPDATE halt SET cleared_at_ms = until_ms, cleared_by = ?2 WHERE cleared_at_ms IS NULL AND until_ms <= ?1";
const SQL_IN_FORCE: &str = "
    SELECT kind, reason, numbers, set_at_ms, until_ms FROM halt
    WHERE cleared_at_ms IS NULL AND (until_ms IS NULL OR until_ms > ?1) ORDER BY halt_id";
const SQL_CLEAR: &str = "
    UPDATE halt SET cleared_at_ms = ?2, cleared_by = ?3, clear_reason = ?4 WHERE kind = ?1 AND cleared_at_ms IS NULL";
const SQL_CLEAR_ALL: &str =
    "UPDATE halt SET cleared_at_ms = ?1, cleared_by = ?2, clear_reason = ?3 WHERE cleared_at_ms IS NULL";
const SQL_STANDING: &str =
    "SELECT kind, reason, numbers, set_at_ms, until_ms FROM halt WHERE cleared_at_ms IS NULL ORDER BY halt_id";
const SQL_BETWEEN: &str = "
    SELECT kind, reason, numbers, set_at_ms, until_ms,
        CASE WHEN cleared_at_ms IS NULL AND until_ms <= ?2 THEN until_ms ELSE cleared_at_ms END, cleared_by FROM halt
    WHERE set_at_ms < ?2 AND coalesce(cleared_at_ms, until_ms, ?2) >= ?1 ORDER BY set_at_ms, halt_id";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Halt> {
    Ok(Halt {
        kind: row.get::<_, Word<_>>(0)?.0,
        reason: row.get(1)?,
        numbers: row.get::<_, Json<_>>(2)?.0,
        since: Timestamp(row.get(3)?),
        until: row.get::<_, Option<i64>>(4)?.map(Timestamp),
    })
}

/// Sets a latch, by a run's decision or (without one) by a person. One of its kind that is in force is
/// left as it is, and the answer is `false`.
///
/// # Errors
/// If the ledger cannot be written.
pub fn set(tx: &Transaction<'_>, halt: &Halt, set_by_run: Option<i64>) -> Result<bool, LedgerError> {
    tx.prepare_cached(SQL_END_EXPIRED)?.execute(params![halt.since.0, ITS_TIME])?;
    let rows = tx.prepare_cached(SQL_INSERT)?.execute(params![
        Word(halt.kind),
        halt.reason,
        Json(&halt.numbers),
        halt.since.0,
        set_by_run,
        halt.until.map(|until| until.0)
    ])?;
    Ok(rows == 1)
}

/// Clears the latch of a kind; `false` if there was none.
///
/// # Errors
/// If the ledger cannot be written.
pub fn clear(
    tx: &Transaction<'_>,
    kind: HaltKind,
    cleared_by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    tx.prepare_cached(SQL_END_EXPIRED)?.execute(params![now.0, ITS_TIME])?;
    Ok(tx.prepare_cached(SQL_CLEAR)?.execute(params![Word(kind), now.0, cleared_by, reason])? > 0)
}

/// Clears every latch, because a person says so; the answer is how many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn clear_all(
    tx: &Transaction<'_>,
    cleared_by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<usize, LedgerError> {
    tx.prepare_cached(SQL_END_EXPIRED)?.execute(params![now.0, ITS_TIME])?;
    Ok(tx.prepare_cached(SQL_CLEAR_ALL)?.execute(params![now.0, cleared_by, reason])?)
}

/// The latches that nobody has cleared, those whose time is over included.
///
/// # Errors
/// If the ledger cannot be read.
pub fn standing(conn: &Connection) -> Result<Vec<Halt>, LedgerError> {
    Ok(conn.prepare_cached(SQL_STANDING)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

/// The latches in force at `now`, in the order in which they were set.
///
/// # Errors
/// If the ledger cannot be read.
pub fn in_force(conn: &Connection, now: Timestamp) -> Result<Vec<Halt>, LedgerError> {
    Ok(conn.prepare_cached(SQL_IN_FORCE)?.query_map([now.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The latches that held at some time in `[from, until)`, in the order in which they were set.
///
/// # Errors
/// If the ledger cannot be read.
pub fn between(conn: &Connection, from: Timestamp, until: Timestamp) -> Result<Vec<DayHalt>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_BETWEEN)?;
    let halts = select.query_map([from.0, until.0], |row| {
        Ok(DayHalt {
            halt: from_row(row)?,
            cleared_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            cleared_by: row.get(6)?,
        })
    })?;
    Ok(halts.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    fn halt(kind: HaltKind, since: i64, until: Option<i64>) -> Halt {
        Halt {
            kind,
            reason: format!("set at {since}"),
            numbers: vec![],
            since: Timestamp(since),
            until: until.map(Timestamp),
        }
    }

    #[test]
    fn a_latch_is_left_as_it_is_until_it_is_cleared() {
        let day = TestLedger::new();
        let set_it = |halt: Halt| day.ledger.write_blocking(move |tx| set(tx, &halt, None)).unwrap();
        assert!(set_it(halt(HaltKind::EmergencyStop, 1, None)));
        assert!(!set_it(halt(HaltKind::EmergencyStop, 2, None)));
        assert!(set_it(halt(HaltKind::Manual, 3, None)));
        let held = day.ledger.read(|conn| in_force(conn, Timestamp(9))).unwrap();
        assert_eq!(held, [halt(HaltKind::EmergencyStop, 1, None), halt(HaltKind::Manual, 3, None)]);
        let clear_it = |at| {
            day.ledger
                .write_blocking(move |tx| clear(tx, HaltKind::EmergencyStop, "owner", Some("seen"), Timestamp(at)))
        };
        assert!(clear_it(10).unwrap());
        assert!(!clear_it(11).unwrap());
        assert_eq!(day.ledger.read(|conn| in_force(conn, Timestamp(12))).unwrap().len(), 1);
        assert!(set_it(halt(HaltKind::EmergencyStop, 13, None)));
        let day_halts = day.ledger.read(|conn| between(conn, Timestamp(11), Timestamp(20))).unwrap();
        assert_eq!(day_halts.iter().map(|day| day.halt.since.0).collect::<Vec<_>>(), [3, 13]);
    }

    #[test]
    fn a_soft_latch_ends_by_itself_and_may_be_set_again() {
        let day = TestLedger::new();
        let set_it = |halt: Halt| day.ledger.write_blocking(move |tx| set(tx, &halt, None)).unwrap();
        assert!(set_it(halt(HaltKind::SafeMode, 1, Some(5))));
        assert_eq!(day.ledger.read(|conn| in_force(conn, Timestamp(4))).unwrap().len(), 1);
        assert!(day.ledger.read(|conn| in_force(conn, Timestamp(5))).unwrap().is_empty());
        assert!(set_it(halt(HaltKind::SafeMode, 6, Some(9))));
        let day_halts = day.ledger.read(|conn| between(conn, Timestamp(0), Timestamp(20))).unwrap();
        assert_eq!(day_halts[0].cleared_at, Some(Timestamp(5)));
        assert_eq!(day_halts[0].cleared_by.as_deref(), Some(ITS_TIME));
        assert_eq!(day_halts[1].cleared_at, Some(Timestamp(9)));
    }
}
