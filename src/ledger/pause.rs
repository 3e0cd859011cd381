//! Pauses of entries: what the record of trades has forbidden for a time. They survive restarts.

use daybook_core::risk::Pause;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use super::LedgerError;
use super::codec::{Json, Text, Word};

const SQL_INSERT: &str = "
    INSERT INTO pause (kind, symbol, numbers, set_at_ms, set_by_run, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SQL_IN_FORCE: &str = "
    SELECT kind, symbol, numbers, set_at_ms, until_ms FROM pause
    WHERE until_ms > ?1 AND cleared_at_ms IS NULL ORDER BY pause_id";
const SQL_SINCE: &str = "
    SELECT kind, symbol, numbers, set_at_ms, min(until_ms, coalesce(cleared_at_ms, until_ms)) FROM pause
    WHERE set_at_ms >= ?1 ORDER BY pause_id";
const SQL_CLEAR_ALL: &str = "
    UPDATE pause SET cleared_at_ms = ?1, cleared_by = ?2, clear_reason = ?3
    WHERE until_ms > ?1 AND cleared_at_ms IS NULL";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Pause> {
    Ok(Pause {
        kind: row.get::<_, Word<_>>(0)?.0,
        symbol: row.get::<_, Option<Text<_>>>(1)?.map(|text| text.0),
        numbers: row.get::<_, Json<_>>(2)?.0,
        since: Timestamp(row.get(3)?),
        until: Timestamp(row.get(4)?),
    })
}

/// Records a pause that a run has decided.
///
/// # Errors
/// If the ledger cannot be written.
pub fn insert(tx: &Transaction<'_>, pause: &Pause, set_by_run: i64) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_INSERT)?.execute(params![
        Word(pause.kind),
        pause.symbol.map(Text),
        Json(&pause.numbers),
        pause.since.0,
        set_by_run,
        pause.until.0
    ])?;
    Ok(())
}

/// The pauses in force at `now`, in the order in which they began.
///
/// # Errors
/// If the ledger cannot be read.
pub fn in_force(conn: &Connection, now: Timestamp) -> Result<Vec<Pause>, LedgerError> {
    Ok(conn.prepare_cached(SQL_IN_FORCE)?.query_map([now.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The pauses that began at `from` or later; one that a person has ended ends there.
///
/// # Errors
/// If the ledger cannot be read.
pub fn since(conn: &Connection, from: Timestamp) -> Result<Vec<Pause>, LedgerError> {
    Ok(conn.prepare_cached(SQL_SINCE)?.query_map([from.0], from_row)?.collect::<Result<_, _>>()?)
}

/// Ends every pause, because a person says so; the answer is how many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn clear_all(
    tx: &Transaction<'_>,
    cleared_by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<usize, LedgerError> {
    Ok(tx.prepare_cached(SQL_CLEAR_ALL)?.execute(params![now.0, cleared_by, reason])?)
}

#[cfg(test)]
mod tests {
    use daybook_core::risk::PauseKind;
    use daybook_core::strategy::Reason;

    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn a_pause_holds_until_its_time_is_over_or_a_person_ends_it() {
        let day = TestLedger::new();
        let run = day.run("risk-monitor", 0).run_id;
        let pause = |symbol: Option<&str>, since, until| Pause {
            kind: PauseKind::LossCooldown,
            symbol: symbol.map(|name| name.parse().unwrap()),
            numbers: vec![Reason::new("result", "-10.00")],
            since: Timestamp(since),
            until: Timestamp(until),
        };
        let (one, all) = (pause(Some("AAPL"), 10, 20), pause(None, 12, 50));
        for pause in [one.clone(), all.clone()] {
            day.ledger.write_blocking(move |tx| insert(tx, &pause, run)).unwrap();
        }
        let held = |at| day.ledger.read(|conn| in_force(conn, Timestamp(at))).unwrap();
        assert_eq!(held(15), [one.clone(), all.clone()]);
        assert_eq!(held(20), std::slice::from_ref(&all));
        let cleared = day.ledger.write_blocking(|tx| clear_all(tx, "owner", Some("seen"), Timestamp(30))).unwrap();
        assert_eq!((cleared, held(31)), (1, vec![]));
        let begun = day.ledger.read(|conn| since(conn, Timestamp(11))).unwrap();
        assert_eq!(begun, [pause(None, 12, 30)]);
    }
}
