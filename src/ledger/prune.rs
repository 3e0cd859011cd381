//! What may be forgotten: the records of old runs and old events. Orders, fills, signals, decisions about
//! positions, and days are kept for ever.

use daybook_core::time::Timestamp;
use rusqlite::Transaction;
use serde::Serialize;

use super::{LedgerError, event};

const SQL_RECORDS: &str = "
    DELETE FROM run_record WHERE run_id IN (SELECT run_id FROM run WHERE finished_at_ms < ?1)
        AND run_id NOT IN (SELECT max(run_id) FROM run JOIN run_record USING (run_id) GROUP BY kind)";
const SQL_RUN_BARS: &str = "
    DELETE FROM run_bar WHERE run_id IN (SELECT run_id FROM run WHERE finished_at_ms < ?1)
        AND run_id NOT IN (SELECT run_id FROM run_record)";
const SQL_ATTEMPTS: &str = "DELETE FROM run_attempt WHERE run_id IN (SELECT run_id FROM run WHERE finished_at_ms < ?1)";

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Records of runs: facts with decisions.
    pub records: usize,
    /// Events.
    pub events: usize,
}

/// Removes the records of runs that ended before an instant, and the events before it. The last record
/// of each kind of job stays: the next run compares with it.
///
/// # Errors
/// If the ledger cannot be written.
pub fn prune(tx: &Transaction<'_>, before: Timestamp) -> Result<Pruned, LedgerError> {
    let records = tx.execute(SQL_RECORDS, [before.0])?;
    tx.execute(SQL_RUN_BARS, [before.0])?;
    tx.execute(SQL_ATTEMPTS, [before.0])?;
    Ok(Pruned { records, events: event::prune(tx, before)? })
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::Decision;

    use super::*;
    use crate::ledger::decision::last_of_kind;
    use crate::ledger::testing::{OPEN, TestLedger};

    #[test]
    fn old_records_go_and_the_last_of_each_kind_stays() {
        let day = TestLedger::new();
        for minute in 1..=3 {
            let run = day.run("risk-monitor", minute);
            day.record(&run, &Decision::default());
        }
        day.ledger
            .write_blocking(|tx| {
                tx.execute(
                    "UPDATE run SET state = 'done', decided_at_ms = slot_at_ms, finished_at_ms = slot_at_ms",
                    [],
                )?;
                Ok(())
            })
            .unwrap();
        let later = Timestamp(OPEN.0 + 3_600_000);
        let pruned = day.ledger.write_blocking(move |tx| prune(tx, later)).unwrap();
        assert_eq!(pruned, Pruned { records: 2, events: 0 });
        let last = day.ledger.read(|conn| last_of_kind(conn, "risk-monitor")).unwrap().unwrap();
        assert_eq!(last.at, Timestamp(OPEN.0 + 3 * 60_000));
    }
}
