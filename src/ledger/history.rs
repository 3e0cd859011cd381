//! Jobs and their runs, as a person looks back at them.

use std::collections::BTreeMap;

use daybook_core::schedule::{JobKind, Pacing};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Json, Text, Word};

const SQL_JOBS: &str = "SELECT name, paused, pace, horizon_at_ms, backed_off_until_ms FROM job";
const SQL_RUNS: &str = "
    SELECT run_id, job, kind, slot_at_ms, session, trigger, state, attempt, started_at_ms, lateness_us, decided_at_ms,
        finished_at_ms, reason, summary
    FROM run WHERE ?1 IS NULL OR job = ?1 ORDER BY slot_at_ms DESC, run_id DESC LIMIT ?2";
const SQL_RUNS_OF_KIND: &str = "
    SELECT run_id, job, kind, slot_at_ms, session, trigger, state, attempt, started_at_ms, lateness_us, decided_at_ms,
        finished_at_ms, reason, summary
    FROM run WHERE kind = ?1 AND slot_at_ms >= ?2 AND slot_at_ms < ?3 ORDER BY slot_at_ms, run_id";
const SQL_LAST_SESSION: &str = "SELECT max(session) FROM run WHERE kind = ?1 AND decided_at_ms IS NOT NULL";
const SQL_LAST_RUN_OF: &str = "
    SELECT max(run_id) FROM run WHERE kind = ?1 AND session = ?2 AND decided_at_ms IS NOT NULL";
const SQL_LAST_RUN: &str = "
    SELECT run_id, job, kind, slot_at_ms, session, trigger, state, attempt, started_at_ms, lateness_us, decided_at_ms,
        finished_at_ms, reason, summary
    FROM run WHERE job = ?1 ORDER BY slot_at_ms DESC LIMIT 1";
const SQL_RUN: &str = "
    SELECT run_id, job, kind, slot_at_ms, session, trigger, state, attempt, started_at_ms, lateness_us, decided_at_ms,
        finished_at_ms, reason, summary
    FROM run WHERE run_id = ?1";
const SQL_ATTEMPTS: &str = "
    SELECT attempt, started_at_ms, ended_at_ms, error FROM run_attempt WHERE run_id = ?1
    UNION ALL
    SELECT attempt, started_at_ms, finished_at_ms, CASE state WHEN 'dead' THEN reason END FROM run
    WHERE run_id = ?1 AND started_at_ms IS NOT NULL
        AND attempt NOT IN (SELECT attempt FROM run_attempt WHERE run_id = ?1)
    ORDER BY attempt";
const SQL_RECORD: &str = "
    SELECT parameters, facts, decision, settings_hash, decision_sha256 FROM run_record WHERE run_id = ?1";

/// What the ledger knows of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct JobState {
    /// Whether a person has paused it.
    pub paused: bool,
    /// How often it looks at the market, if it is adaptive.
    pub pacing: Pacing,
    /// Up to where its slots are accounted for.
    pub horizon: Timestamp,
}

/// A run, from its slot to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Its row.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// The job's kind.
    pub kind: String,
    /// When it was due.
    pub slot: Timestamp,
    /// The session it served.
    pub session: Option<SessionDate>,
    /// What called for it: `schedule`, `boot` or `manual`.
    pub trigger: String,
    /// Where it stands.
    pub state: String,
    /// How often it was begun.
    pub attempt: u32,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// The beginning of the last attempt against the slot, in microseconds.
    pub lateness_us: Option<i64>,
    /// When its decision was committed.
    pub decided_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it ended as it did, or why its last attempt failed.
    pub reason: Option<String>,
    /// What it decided, in one line.
    pub summary: Option<String>,
}

/// One attempt at a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The facts and the decision of a run, as they were recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordRow {
    /// What the run was given.
    pub parameters: serde_json::Value,
    /// What it knew.
    pub facts: serde_json::Value,
    /// What it decided.
    pub decision: serde_json::Value,
    /// The version of the settings it decided under.
    pub settings_hash: String,
    /// A fingerprint of the decision.
    pub decision_sha256: String,
}

fn run_from_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let instant = |column| row.get::<_, Option<i64>>(column).map(|at_ms| at_ms.map(Timestamp));
    Ok(RunRow {
        run_id: row.get(0)?,
        job: row.get(1)?,
        kind: row.get(2)?,
        slot: Timestamp(row.get(3)?),
        session: row.get::<_, Option<Text<_>>>(4)?.map(|text| text.0),
        trigger: row.get(5)?,
        state: row.get(6)?,
        attempt: row.get(7)?,
        started_at: instant(8)?,
        lateness_us: row.get(9)?,
        decided_at: instant(10)?,
        finished_at: instant(11)?,
        reason: row.get(12)?,
        summary: row.get(13)?,
    })
}

/// What is known of each job, by its name.
///
/// # Errors
/// If the ledger cannot be read.
pub fn jobs(conn: &Connection) -> Result<BTreeMap<String, JobState>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_JOBS)?;
    let states = select.query_map([], |row| {
        let backed_off_until = row.get::<_, Option<i64>>(4)?.map(Timestamp);
        let pacing = Pacing { market: row.get::<_, Word<_>>(2)?.0, backed_off_until };
        let state = JobState { paused: row.get(1)?, pacing, horizon: Timestamp(row.get(3)?) };
        Ok((row.get(0)?, state))
    })?;
    Ok(states.collect::<Result<_, _>>()?)
}

/// The last `limit` runs, of one job or of all, newest slot first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn runs(conn: &Connection, job: Option<&str>, limit: u32) -> Result<Vec<RunRow>, LedgerError> {
    Ok(conn.prepare_cached(SQL_RUNS)?.query_map(params![job, limit], run_from_row)?.collect::<Result<_, _>>()?)
}

/// The runs of a kind of job whose slots are in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn runs_of_kind(
    conn: &Connection,
    kind: JobKind,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<RunRow>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_RUNS_OF_KIND)?;
    Ok(select.query_map(params![kind.as_str(), from.0, until.0], run_from_row)?.collect::<Result<_, _>>()?)
}

/// The last session that a kind of job has decided for.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_session(conn: &Connection, kind: JobKind) -> Result<Option<SessionDate>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_LAST_SESSION)?;
    Ok(select.query_row([kind.as_str()], |row| row.get::<_, Option<Text<_>>>(0))?.map(|text| text.0))
}

/// The number of the last run that a kind of job has decided for a session.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_run_of(conn: &Connection, kind: JobKind, session: SessionDate) -> Result<Option<i64>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_LAST_RUN_OF)?;
    Ok(select.query_row(params![kind.as_str(), Text(session)], |row| row.get(0))?)
}

/// The run of a job's newest slot.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_run(conn: &Connection, job: &str) -> Result<Option<RunRow>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST_RUN)?.query_row([job], run_from_row).optional()?)
}

/// One run.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number.
pub fn run(conn: &Connection, run_id: i64) -> Result<RunRow, LedgerError> {
    let found = conn.prepare_cached(SQL_RUN)?.query_row([run_id], run_from_row).optional()?;
    found.ok_or_else(|| LedgerError::NoSuchRow { what: "run", key: run_id.to_string() })
}

/// The attempts at a run, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn attempts(conn: &Connection, run_id: i64) -> Result<Vec<AttemptRow>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_ATTEMPTS)?;
    let attempts = select.query_map([run_id], |row| {
        Ok(AttemptRow {
            attempt: row.get(0)?,
            started_at: Timestamp(row.get(1)?),
            ended_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            error: row.get(3)?,
        })
    })?;
    Ok(attempts.collect::<Result<_, _>>()?)
}

/// What a run knew and decided; `None` before it has decided, and after its record was pruned.
///
/// # Errors
/// If the ledger cannot be read.
pub fn record(conn: &Connection, run_id: i64) -> Result<Option<RecordRow>, LedgerError> {
    let found = conn.prepare_cached(SQL_RECORD)?.query_row([run_id], |row| {
        Ok(RecordRow {
            parameters: row.get::<_, Json<_>>(0)?.0,
            facts: row.get::<_, Json<_>>(1)?.0,
            decision: row.get::<_, Json<_>>(2)?.0,
            settings_hash: row.get(3)?,
            decision_sha256: row.get(4)?,
        })
    });
    Ok(found.optional()?)
}

#[cfg(test)]
mod tests {
    use daybook_core::schedule::Pace;

    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn runs_are_found_by_job_and_by_number() {
        let day = TestLedger::new();
        day.ledger
            .write_blocking(|tx| {
                tx.execute_batch(
                    "INSERT INTO job (name, kind, definition, paused, horizon_at_ms, pace, updated_at_ms)
                     VALUES ('analysis', 'analysis', '{}', 1, 60000, 'fast', 0);
                     INSERT INTO run (run_id, job, kind, slot_at_ms, session, trigger, state, attempt, not_before_ms,
                         due_at_ms, started_at_ms, lateness_us, decided_at_ms, finished_at_ms, summary)
                     VALUES (1, 'analysis', 'analysis', 60000, '2026-11-16', 'schedule', 'done', 2, 60000,
                         60000, 60001, 1500, 60002, 60003, '2 signals'),
                         (2, 'reconcile', 'reconcile', 70000, NULL, 'boot', 'due', 0, 70000,
                         70000, NULL, NULL, NULL, NULL, NULL);
                     INSERT INTO run_attempt (run_id, attempt, started_at_ms, ended_at_ms, error)
                     VALUES (1, 1, 60000, 60000, 'the feed was silent');
                     INSERT INTO run_record (run_id, parameters, facts, decision, settings_hash, decision_sha256)
                     VALUES (1, '{}', '{\"as_of\": 1}', '{\"summary\": \"2 signals\"}', 'abc', 'def');",
                )?;
                Ok(())
            })
            .unwrap();
        let read = |job: Option<&str>| {
            let found = day.ledger.read(|conn| runs(conn, job, 10)).unwrap();
            found.iter().map(|run| run.run_id).collect::<Vec<_>>()
        };
        assert_eq!((read(None), read(Some("analysis")), read(Some("none"))), (vec![2, 1], vec![1], vec![]));

        let analyses =
            |until| day.ledger.read(|conn| runs_of_kind(conn, JobKind::Analysis, Timestamp(0), until)).unwrap();
        assert_eq!((analyses(Timestamp(60_000)).len(), analyses(Timestamp(60_001)).len()), (0, 1));
        let last = |kind| day.ledger.read(|conn| last_session(conn, kind)).unwrap();
        assert_eq!((last(JobKind::Analysis), last(JobKind::Reconcile)), (SessionDate::of(2026, 11, 16), None));
        let session = SessionDate::of(2026, 11, 16).unwrap();
        let last_of = |kind| day.ledger.read(|conn| last_run_of(conn, kind, session)).unwrap();
        assert_eq!((last_of(JobKind::Analysis), last_of(JobKind::Reconcile)), (Some(1), None));
        let one = day.ledger.read(|conn| run(conn, 1)).unwrap();
        assert_eq!((one.attempt, one.lateness_us, one.summary.as_deref()), (2, Some(1_500), Some("2 signals")));
        assert_eq!(day.ledger.read(|conn| last_run(conn, "analysis")).unwrap(), Some(one));
        let attempts = day.ledger.read(|conn| attempts(conn, 1)).unwrap();
        assert_eq!(attempts[0].error.as_deref(), Some("the feed was silent"));
        assert_eq!(attempts[1].ended_at, Some(Timestamp(60_003)));
        let record = day.ledger.read(|conn| record(conn, 1)).unwrap().unwrap();
        assert_eq!(record.facts["as_of"], 1);
        let states = day.ledger.read(jobs).unwrap();
        let pacing = Pacing { market: Pace::Fast, backed_off_until: None };
        let expected = JobState { paused: true, pacing, horizon: Timestamp(60_000) };
        assert_eq!(states, BTreeMap::from([("analysis".to_owned(), expected)]));

        let missing = day.ledger.read(|conn| run(conn, 9)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no run 9 in the ledger");
    }
}
