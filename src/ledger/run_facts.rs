//! What the runs so far tell: how they ended, how late they were, what is accounted for.

use std::collections::BTreeMap;

use daybook_core::schedule::JobKind;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Json, Text, Word};
use super::run::RunState;

/// Runs looked at for failures in a row.
const FAILURES_LOOKED_AT: u32 = 100;

const SQL_FLATTEN_BEGUN: &str =
    "SELECT EXISTS (SELECT 1 FROM run WHERE kind = ?1 AND session = ?2 AND decided_at_ms IS NOT NULL)";
const SQL_DECIDED_COUNT: &str = "
    SELECT count(*) FROM (SELECT 1 FROM run WHERE kind = ?1 AND decided_at_ms IS NOT NULL LIMIT ?2)";
const SQL_LAST_ENDS: &str = "
    SELECT state FROM run WHERE finished_at_ms IS NOT NULL AND state IN ('done', 'dead') AND trigger <> 'manual'
    ORDER BY run_id DESC LIMIT ?1";
const SQL_ENDS_SINCE: &str = "
    SELECT count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state IN ('dead', 'expired'))
    FROM run WHERE finished_at_ms >= ?1";
const SQL_UNFINISHED: &str =
    "SELECT run_id, job, slot_at_ms, state, summary, reason FROM run WHERE finished_at_ms IS NULL ORDER BY run_id";
const SQL_OVERDUE: &str = "
    SELECT EXISTS (SELECT 1 FROM run INDEXED BY run_open WHERE slot_at_ms < ?2 AND kind = ?1 AND finished_at_ms IS NULL)";
const SQL_LAST_RUN: &str = "SELECT coalesce(max(run_id), 0) FROM run";
const SQL_LATENESS_SINCE: &str = "
    SELECT lateness_us FROM run WHERE finished_at_ms >= ?1 AND trigger = 'schedule' AND attempt = 1
    ORDER BY lateness_us";
const SQL_OUTCOME: &str = "SELECT job, slot_at_ms, state, summary, reason FROM run WHERE run_id = ?1";
const SQL_CLAIMED_UNDER: &str =
    "SELECT run_id FROM run WHERE job = ?1 AND epoch = ?2 AND trigger <> 'boot' ORDER BY run_id";
const SQL_NEXT_ATTEMPT: &str = "
    SELECT min(CASE state WHEN 'claimed' THEN slot_at_ms ELSE not_before_ms END) FROM run
    INDEXED BY run_open WHERE job = ?1 AND finished_at_ms IS NULL";
const SQL_ACCOUNTED: &str = "
    SELECT name, definition, paused, max(first_at_ms, coalesce(defined_at_ms + 1, first_at_ms)), horizon_at_ms FROM job JOIN (
        SELECT job, min(at_ms) AS first_at_ms FROM (
            SELECT job, slot_at_ms AS at_ms FROM run WHERE trigger = 'schedule'
            UNION ALL SELECT job, from_at_ms FROM missed_range) GROUP BY job) ON job = name";

/// Where a run stands, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunOutcome {
    /// Its row.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// When it was due.
    pub slot: Timestamp,
    /// Where it stands.
    pub state: RunState,
    /// What it decided, in one line.
    pub summary: Option<String>,
    /// Why it ended as it did, or why its last attempt failed.
    pub reason: Option<String>,
}

/// Where a run stands.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number.
pub fn outcome(conn: &Connection, run_id: i64) -> Result<RunOutcome, LedgerError> {
    conn.prepare_cached(SQL_OUTCOME)?
        .query_row([run_id], |row| {
            Ok(RunOutcome {
                run_id,
                job: row.get(0)?,
                slot: Timestamp(row.get(1)?),
                state: row.get::<_, Word<RunState>>(2)?.0,
                summary: row.get(3)?,
                reason: row.get(4)?,
            })
        })
        .optional()?
        .ok_or_else(|| LedgerError::NoSuchRow { what: "run", key: run_id.to_string() })
}

/// Runs that have no end, in the order in which they were written.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unfinished(conn: &Connection) -> Result<Vec<RunOutcome>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_UNFINISHED)?;
    let runs = statement.query_map([], |row| {
        Ok(RunOutcome {
            run_id: row.get(0)?,
            job: row.get(1)?,
            slot: Timestamp(row.get(2)?),
            state: row.get::<_, Word<RunState>>(3)?.0,
            summary: row.get(4)?,
            reason: row.get(5)?,
        })
    })?;
    Ok(runs.collect::<Result<_, _>>()?)
}

/// The number of the last run that was written: how many there are.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_run_id(conn: &Connection) -> Result<i64, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST_RUN)?.query_row([], |row| row.get(0))?)
}

/// The runs of a job that were claimed under a lease, in order; a boot's own run is none of them.
///
/// # Errors
/// If the ledger cannot be read.
pub fn claimed_under(conn: &Connection, job: &str, epoch: i64) -> Result<Vec<RunOutcome>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_CLAIMED_UNDER)?;
    let ids: Vec<i64> = statement.query_map(params![job, epoch], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.into_iter().map(|run_id| outcome(conn, run_id)).collect()
}

/// From when on a run of the job that has no end yet may go on; `None` if there is none.
///
/// # Errors
/// If the ledger cannot be read.
pub fn next_attempt(conn: &Connection, job: &str) -> Result<Option<Timestamp>, LedgerError> {
    let at: Option<i64> = conn.prepare_cached(SQL_NEXT_ATTEMPT)?.query_row([job], |row| row.get(0))?;
    Ok(at.map(Timestamp))
}

/// Whether a run of a kind that was due before an instant has not ended.
///
/// # Errors
/// If the ledger cannot be read.
pub fn is_overdue(conn: &Connection, kind: JobKind, before: Timestamp) -> Result<bool, LedgerError> {
    Ok(conn.prepare_cached(SQL_OVERDUE)?.query_row(params![Word(kind), before.0], |row| row.get(0))?)
}

/// Whether the flatten of a session has decided: from then on nothing opens a position in it.
///
/// # Errors
/// If the ledger cannot be read.
pub fn flatten_begun(conn: &Connection, session: SessionDate) -> Result<bool, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_FLATTEN_BEGUN)?;
    Ok(statement.query_row(params![Word(JobKind::MarketCloseFlatten), Text(session)], |row| row.get(0))?)
}

/// How many runs of a kind have decided, over the ledger's life; counted up to `limit`.
///
/// # Errors
/// If the ledger cannot be read.
pub fn decided_count(conn: &Connection, kind: JobKind, limit: u32) -> Result<u32, LedgerError> {
    Ok(conn.prepare_cached(SQL_DECIDED_COUNT)?.query_row(params![Word(kind), limit], |row| row.get(0))?)
}

/// How many runs of scheduled jobs have died in a row, up to now.
///
/// # Errors
/// If the ledger cannot be read.
pub fn failures_in_a_row(conn: &Connection) -> Result<u32, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_LAST_ENDS)?;
    let mut rows = statement.query([FAILURES_LOOKED_AT])?;
    let mut failures = 0;
    while let Some(row) = rows.next()? {
        match row.get::<_, Word<RunState>>(0)?.0 {
            RunState::Dead => failures += 1,
            _ => break,
        }
    }
    Ok(failures)
}

/// What a heartbeat tells of the runs since an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunFigures {
    /// Runs that ended done.
    pub done: u32,
    /// Runs that ended dead or expired.
    pub failed: u32,
    /// The median of how late runs started, in microseconds.
    pub lateness_p50_us: Option<i64>,
    /// The 99th percentile of it.
    pub lateness_p99_us: Option<i64>,
}

/// The figures of runs that ended since an instant.
///
/// # Errors
/// If the ledger cannot be read.
pub fn figures_since(conn: &Connection, since: Timestamp) -> Result<RunFigures, LedgerError> {
    let (done, failed) =
        conn.prepare_cached(SQL_ENDS_SINCE)?.query_row([since.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut statement = conn.prepare_cached(SQL_LATENESS_SINCE)?;
    let lateness: Vec<i64> = statement.query_map([since.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let percentile =
        |percent: usize| lateness.get((lateness.len() * percent / 100).min(lateness.len().saturating_sub(1)));
    Ok(RunFigures { done, failed, lateness_p50_us: percentile(50).copied(), lateness_p99_us: percentile(99).copied() })
}

/// The span of a job's slots that the ledger accounts for.
#[derive(Debug, Clone, PartialEq)]
pub struct Accounted {
    /// Its definition, as it was last in force.
    pub definition: serde_json::Value,
    /// Whether it is paused: what it missed is written when it is planned again.
    pub paused: bool,
    /// The first slot that is accounted for; the span begins right before it.
    pub from: Timestamp,
    /// The instant up to which slots are accounted for.
    pub horizon: Timestamp,
}

/// The span of each job that has slots, by the job's name.
///
/// # Errors
/// If the ledger cannot be read.
pub fn accounted(conn: &Connection) -> Result<BTreeMap<String, Accounted>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_ACCOUNTED)?;
    let spans = statement.query_map([], |row| {
        let span = Accounted {
            definition: row.get::<_, Json<_>>(1)?.0,
            paused: row.get(2)?,
            from: Timestamp(row.get::<_, i64>(3)?.saturating_sub(1)),
            horizon: Timestamp(row.get(4)?),
        };
        Ok((row.get(0)?, span))
    })?;
    Ok(spans.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn what_every_minute_asks_is_found_by_an_index() {
        let day = TestLedger::new();
        let planned = |sql: &str| day.plan(sql).join(", ");
        assert_eq!(
            planned(SQL_FLATTEN_BEGUN),
            "SCAN CONSTANT ROW, SCALAR SUBQUERY 1, SEARCH run USING INDEX run_session (session=? AND kind=?)"
        );
        assert_eq!(planned(SQL_NEXT_ATTEMPT), "SEARCH run USING INDEX run_open");
        assert_eq!(planned(SQL_ENDS_SINCE), "SEARCH run USING INDEX run_finished (finished_at_ms>?)");
        assert!(planned(SQL_LATENESS_SINCE).starts_with("SEARCH run USING INDEX run_finished (finished_at_ms>?)"));
    }

    #[test]
    fn a_run_is_overdue_that_was_due_long_since_and_has_not_ended() {
        let day = TestLedger::new();
        let run = day.run("risk-monitor", 30);
        let overdue =
            |kind, before: i64| day.ledger.read(|conn| is_overdue(conn, kind, Timestamp(run.slot.0 + before))).unwrap();
        assert_eq!((overdue(JobKind::RiskMonitor, 0), overdue(JobKind::RiskMonitor, 1)), (false, true));
        assert!(!overdue(JobKind::DailySummary, 1), "of another job");
        let run_id = run.run_id;
        day.ledger
            .write_blocking(move |tx| {
                let end = "UPDATE run SET state = 'expired', finished_at_ms = slot_at_ms WHERE run_id = ?1";
                tx.execute(end, [run_id])?;
                Ok(())
            })
            .unwrap();
        assert!(!overdue(JobKind::RiskMonitor, 1), "it has ended");
    }
}
