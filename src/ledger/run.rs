//! Jobs and their runs: what is due, who has claimed it, what came of it.
//!
//! A run's life: `due -> claimed -> decided -> done`. A run that failed waits as `failed` until it may
//! be claimed again; `dead`, `skipped`, `expired` and `canceled` end it with a reason. Every function
//! on a [`Transaction`] is one step of that life; the planner composes them.

mod planner;

pub use planner::{Look, LookInput, any_open_position, change_jobs, look};

use std::collections::BTreeMap;
use std::time::Duration;

use daybook_core::schedule::{JobDefinition, JobKind, Pacing, PlannedSlot, Retries, Slot};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, Row, Transaction, named_params, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::LedgerError;
use super::codec::{Json, Text, Word};

/// A slot is dead after the process has died this often while running it: a poison slot must not
/// bring the program down for ever. The flatten is exempt: it is tried until its window ends.
pub const CRASH_ATTEMPTS_MAX: u32 = 3;

/// The longest wait between attempts of a run.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What called for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its slot came.
    Schedule,
    /// The process started.
    Boot,
    /// A person asked for it, or an execution that came after the report of its day.
    Manual,
}

/// Where a run stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its slot came; nobody has claimed it.
    Due,
    /// A process gathers its facts and decides.
    Claimed,
    /// It has decided; its intents and chores are not all settled.
    Decided,
    /// All is done.
    Done,
    /// An attempt failed; another follows.
    Failed,
    /// No attempt follows.
    Dead,
    /// It was passed over: an earlier or a newer run of the job was there.
    Skipped,
    /// Its window ended before it could start.
    Expired,
    /// A person took it back.
    Canceled,
}

impl RunState {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Claimed => "claimed",
            Self::Decided => "decided",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Dead | Self::Skipped | Self::Expired | Self::Canceled => true,
            Self::Due | Self::Claimed | Self::Decided | Self::Failed => false,
        }
    }

    /// Whether an attempt may start.
    const fn may_start(self) -> bool {
        match self {
            Self::Due | Self::Failed => true,
            Self::Claimed
            | Self::Decided
            | Self::Done
            | Self::Dead
            | Self::Skipped
            | Self::Expired
            | Self::Canceled => false,
        }
    }
}

/// What is left to do for a claimed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Everything: it has not decided yet.
    Gather,
    /// It has decided; its intents and chores are not all settled.
    Dispatch,
}

/// A run that this process now executes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedRun {
    /// Its row.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// The job's kind.
    pub kind: JobKind,
    /// The instant at which it was due.
    pub slot: Timestamp,
    /// The session it serves.
    pub session: Option<SessionDate>,
    /// What is left to do.
    pub stage: Stage,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What a person asked for, for a manual run.
    pub arguments: Option<serde_json::Value>,
}

/// A run that ended without being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// Its row.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// The job's kind.
    pub kind: JobKind,
    /// The instant at which it was due.
    pub slot: Timestamp,
    /// [`RunState::Dead`] or [`RunState::Expired`].
    pub state: RunState,
    /// Why.
    pub reason: String,
}

const SQL_JOB_STATES: &str = "SELECT horizon_at_ms, pace, paused, name, backed_off_until_ms FROM job";
const SQL_JOB_UPSERT: &str = "
    INSERT INTO job (name, kind, definition, horizon_at_ms, updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, definition = excluded.definition,
        defined_at_ms = excluded.updated_at_ms, updated_at_ms = excluded.updated_at_ms
    WHERE definition <> excluded.definition";
/// Runs count up from 1, and those of boots down from -1: however often the process was started, no other run's
/// number is shifted.
const SQL_INSERT_RUN: &str = "
    INSERT INTO run (run_id, job, kind, slot_at_ms, session, trigger, state, not_before_ms, expires_at_ms, due_at_ms, arguments)
    VALUES (
        CASE :trigger WHEN 'boot' THEN (SELECT min(coalesce(min(run_id), 0), 0) - 1 FROM run)
            ELSE (SELECT max(coalesce(max(run_id), 0), 0) + 1 FROM run) END,
        :job, :kind, :slot, :session, :trigger, 'due', :not_before, :expires, :now, :arguments)
    ON CONFLICT (job, slot_at_ms) DO NOTHING";
const SQL_WAITING: &str = "
    SELECT run_id, job, kind, slot_at_ms, session, trigger, state, attempt, crash_attempts, not_before_ms, expires_at_ms, arguments,
        reason, state = 'decided' AND EXISTS (SELECT 1 FROM intent JOIN approval USING (intent_id)
            WHERE intent.run_id = run.run_id AND intent.state = 'pending' AND answer IS NULL)
    FROM run WHERE finished_at_ms IS NULL ORDER BY slot_at_ms, run_id";
/// An attempt that came to nothing; of the last one the run's own row tells.
const SQL_ATTEMPT: &str = "
    INSERT INTO run_attempt (run_id, attempt, started_at_ms, ended_at_ms, error)
    SELECT run_id, attempt, started_at_ms, ?2, ?3 FROM run WHERE run_id = ?1 AND started_at_ms IS NOT NULL";
const SQL_PAUSE: &str = "UPDATE job SET paused = ?2, updated_at_ms = ?3 WHERE name = ?1 AND paused <> ?2";
const SQL_STATE_OF_SLOT: &str = "SELECT state FROM run WHERE job = ?1 AND slot_at_ms = ?2";
const SQL_TAKE_BACK: &str = "UPDATE run SET state = 'due' WHERE run_id = ?1";
const SQL_END: &str =
    "UPDATE run SET state = ?2, reason = ?3, finished_at_ms = ?4 WHERE run_id = ?1 AND finished_at_ms IS NULL";
const SQL_FAIL: &str = "
    UPDATE run SET state = 'failed', reason = ?2, not_before_ms = ?3, crash_attempts = crash_attempts - 1
    WHERE run_id = ?1 AND state = 'claimed'";

/// Of the last two hundred runs, which were written in the last hours.
const SQL_LATEST_START: &str = "SELECT max(started_at_ms) FROM run WHERE run_id > (SELECT max(run_id) FROM run) - 200";
const SQL_POSTPONE: &str = "UPDATE run SET not_before_ms = ?2 WHERE run_id = ?1 AND state = 'decided'";

/// Writes the jobs in force. A job that is new here is accounted for from `now` on.
///
/// # Errors
/// If the ledger cannot be written.
pub fn sync_jobs(tx: &Transaction<'_>, jobs: &[JobDefinition], now: Timestamp) -> Result<(), LedgerError> {
    let mut upsert = tx.prepare_cached(SQL_JOB_UPSERT)?;
    for job in jobs {
        upsert.execute(params![job.name, Word(job.kind), Json(job), now.0, now.0])?;
    }
    Ok(())
}

/// What the ledger knows of a job.
struct JobState {
    horizon: Timestamp,
    pacing: Pacing,
    paused: bool,
}

/// Of every job, by name.
fn job_states(conn: &Connection) -> Result<BTreeMap<String, JobState>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_JOB_STATES)?;
    let states = statement.query_map([], |row| {
        let backed_off_until = row.get::<_, Option<i64>>(4)?.map(Timestamp);
        let pacing = Pacing { market: row.get::<_, Word<_>>(1)?.0, backed_off_until };
        Ok((row.get(3)?, JobState { horizon: Timestamp(row.get(0)?), pacing, paused: row.get(2)? }))
    })?;
    Ok(states.collect::<Result<_, _>>()?)
}

/// How often a job looks at the market at present.
///
/// # Errors
/// If the ledger cannot be read.
pub fn pacing(conn: &Connection, job: &str) -> Result<Pacing, LedgerError> {
    Ok(job_states(conn)?.get(job).map_or_else(Pacing::default, |state| state.pacing))
}

/// Stops or resumes planning a job; whether that changed anything. While it was paused its slots were
/// not accounted for: the plan after it finds them missed.
///
/// # Errors
/// If the ledger cannot be written.
pub fn set_paused(tx: &Transaction<'_>, job: &str, paused: bool, now: Timestamp) -> Result<bool, LedgerError> {
    Ok(tx.prepare_cached(SQL_PAUSE)?.execute(params![job, paused, now.0])? == 1)
}

/// A run without an end.
struct WaitingRun {
    run_id: i64,
    job: String,
    kind: JobKind,
    slot: Timestamp,
    session: Option<SessionDate>,
    trigger: Trigger,
    state: RunState,
    attempt: u32,
    crash_attempts: u32,
    not_before: Timestamp,
    expires_at: Option<Timestamp>,
    arguments: Option<serde_json::Value>,
    reason: Option<String>,
    /// Whether it has decided, and an entry of it waits for a person.
    awaits_person: bool,
}

impl WaitingRun {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run_id: row.get(0)?,
            job: row.get(1)?,
            kind: row.get::<_, Word<JobKind>>(2)?.0,
            slot: Timestamp(row.get(3)?),
            session: row.get::<_, Option<Text<SessionDate>>>(4)?.map(|text| text.0),
            trigger: row.get::<_, Word<Trigger>>(5)?.0,
            state: row.get::<_, Word<RunState>>(6)?.0,
            attempt: row.get(7)?,
            crash_attempts: row.get(8)?,
            not_before: Timestamp(row.get(9)?),
            expires_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
            arguments: row.get::<_, Option<Json<serde_json::Value>>>(11)?.map(|json| json.0),
            reason: row.get(12)?,
            awaits_person: row.get(13)?,
        })
    }

    fn ended(&self, state: RunState, reason: String) -> EndedRun {
        EndedRun { run_id: self.run_id, job: self.job.clone(), kind: self.kind, slot: self.slot, state, reason }
    }
}

fn waiting_runs(tx: &Transaction<'_>) -> Result<Vec<WaitingRun>, LedgerError> {
    let mut statement = tx.prepare_cached(SQL_WAITING)?;
    let waiting = statement.query_map([], WaitingRun::read)?.collect::<Result<_, _>>()?;
    Ok(waiting)
}

/// A run to be written.
struct NewRun<'a> {
    job: &'a str,
    kind: JobKind,
    slot: Slot,
    not_before: Timestamp,
    expires_at: Option<Timestamp>,
    trigger: Trigger,
    arguments: Option<&'a serde_json::Value>,
}

impl<'a> NewRun<'a> {
    fn planned(job: &'a JobDefinition, slot: &PlannedSlot) -> Self {
        Self {
            job: &job.name,
            kind: job.kind,
            slot: Slot { at: slot.at, session: slot.session },
            not_before: slot.at,
            expires_at: Some(slot.expires_at),
            trigger: Trigger::Schedule,
            arguments: None,
        }
    }
}

/// Writes a run unless its slot has one.
fn insert(tx: &Transaction<'_>, run: &NewRun<'_>, now: Timestamp) -> Result<Option<i64>, LedgerError> {
    let inserted = tx.prepare_cached(SQL_INSERT_RUN)?.execute(named_params! {
        ":job": run.job, ":kind": Word(run.kind), ":slot": run.slot.at.0,
        ":session": run.slot.session.map(Text), ":trigger": Word(run.trigger), ":not_before": run.not_before.0,
        ":expires": run.expires_at.map(|at| at.0), ":now": now.0, ":arguments": run.arguments.map(Json),
    })?;
    Ok((inserted == 1).then(|| tx.last_insert_rowid()))
}

/// Whether anything was ever due in this ledger.
///
/// # Errors
/// If the ledger cannot be read.
pub fn any(conn: &Connection) -> Result<bool, LedgerError> {
    Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM run)", [], |row| row.get(0))?)
}

/// The latest start among the runs that were written last; `None` before the first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn latest_start(conn: &Connection) -> Result<Option<Timestamp>, LedgerError> {
    Ok(conn.query_row(SQL_LATEST_START, [], |row| row.get::<_, Option<i64>>(0))?.map(Timestamp))
}

/// Adds a run that no schedule asked for, as the slot `now` or the first free millisecond after it.
///
/// # Errors
/// If the ledger cannot be written.
pub fn add_run(
    tx: &Transaction<'_>,
    job: &JobDefinition,
    trigger: Trigger,
    session: Option<SessionDate>,
    arguments: Option<&serde_json::Value>,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let slot = Slot { at: now, session };
    let run = NewRun { job: &job.name, kind: job.kind, slot, not_before: now, expires_at: None, trigger, arguments };
    insert_at_first_free(tx, run, now)
}

/// Adds a run that sums a session up anew.
pub(super) fn add_summary(
    tx: &Transaction<'_>,
    job: &str,
    session: SessionDate,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let slot = Slot { at: now, session: Some(session) };
    let (kind, trigger) = (JobKind::DailySummary, Trigger::Manual);
    let run = NewRun { job, kind, slot, not_before: now, expires_at: None, trigger, arguments: None };
    insert_at_first_free(tx, run, now)
}

/// Writes a run as its slot, or as the first free millisecond after it.
fn insert_at_first_free(tx: &Transaction<'_>, mut run: NewRun<'_>, now: Timestamp) -> Result<i64, LedgerError> {
    loop {
        if let Some(run_id) = insert(tx, &run, now)? {
            return Ok(run_id);
        }
        run.slot.at = run.slot.at.after(Duration::from_millis(1));
    }
}

/// Adds a run for a scheduled slot because a person asked for it; if the slot has a run already, the
/// answer is that run's state.
///
/// # Errors
/// If the ledger cannot be written.
pub fn add_as_slot(
    tx: &Transaction<'_>,
    job: &JobDefinition,
    slot: Slot,
    now: Timestamp,
) -> Result<Result<i64, RunState>, LedgerError> {
    let (kind, trigger) = (job.kind, Trigger::Manual);
    let run = NewRun { job: &job.name, kind, slot, not_before: now, expires_at: None, trigger, arguments: None };
    if let Some(run_id) = insert(tx, &run, now)? {
        return Ok(Ok(run_id));
    }
    let state: Word<RunState> =
        tx.prepare_cached(SQL_STATE_OF_SLOT)?.query_row(params![job.name, slot.at.0], |row| row.get(0))?;
    Ok(Err(state.0))
}

/// Ends a run.
///
/// # Errors
/// If the ledger cannot be written.
pub fn end(
    tx: &Transaction<'_>,
    run_id: i64,
    state: RunState,
    reason: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let reason = (!reason.is_empty()).then_some(reason);
    tx.prepare_cached(SQL_END)?.execute(params![run_id, Word(state), reason, now.0])?;
    Ok(())
}

/// Puts a decided run's dispatch off until `at`.
///
/// # Errors
/// If the ledger cannot be written.
pub fn postpone_dispatch(tx: &Transaction<'_>, run_id: i64, at: Timestamp) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_POSTPONE)?.execute(params![run_id, at.0])?;
    Ok(())
}

/// Records that an attempt failed: the run waits for its next attempt, or it is dead and the answer
/// says so.
///
/// # Errors
/// If the ledger cannot be written.
pub fn fail(
    tx: &Transaction<'_>,
    run: &ClaimedRun,
    retries: Retries,
    error: &str,
    now: Timestamp,
) -> Result<Option<EndedRun>, LedgerError> {
    tx.prepare_cached(SQL_ATTEMPT)?.execute(params![run.run_id, now.0, error])?;
    let another = match retries {
        Retries::Times(times) => run.attempt <= times,
        Retries::For(span) => now < run.slot.after(span.as_duration()),
        Retries::UntilExpired => true,
    };
    if another {
        let at = now.after(backoff(run.run_id, run.attempt));
        tx.prepare_cached(SQL_FAIL)?.execute(params![run.run_id, error, at.0])?;
        return Ok(None);
    }
    let reason = match run.attempt {
        1 => error.to_owned(),
        attempts => format!("failed {attempts} times; the last time: {error}"),
    };
    end(tx, run.run_id, RunState::Dead, &reason, now)?;
    Ok(Some(EndedRun {
        run_id: run.run_id,
        job: run.job.clone(),
        kind: run.kind,
        slot: run.slot,
        state: RunState::Dead,
        reason,
    }))
}

/// The wait after an attempt: full jitter over a bound that doubles from a second to a minute, and at
/// least a quarter of it. The jitter follows from the run, so that a simulated day repeats.
fn backoff(run_id: i64, attempt: u32) -> Duration {
    let bound = Duration::from_secs(1 << attempt.saturating_sub(1).min(6)).min(BACKOFF_MAX);
    let digest = Sha256::digest(format!("{run_id}/{attempt}").as_bytes());
    let draw = u32::from(digest[0]);
    bound / 4 + bound * 3 / 4 * draw / u32::from(u8::MAX)
}

/// Cancels what waits for jobs that are no longer defined.
///
/// # Errors
/// If the ledger cannot be written.
pub fn cancel_undefined(tx: &Transaction<'_>, jobs: &[JobDefinition], now: Timestamp) -> Result<(), LedgerError> {
    for run in waiting_runs(tx)?.iter().filter(|run| run.state.may_start()) {
        if jobs.iter().all(|job| job.name != run.job) {
            end(tx, run.run_id, RunState::Canceled, "its job is not defined any more", now)?;
        }
    }
    Ok(())
}

/// Takes back what a dead process had claimed: its runs wait again, or are dead if the process died
/// in them so often; without a limit they never are.
///
/// # Errors
/// If the ledger cannot be written.
pub fn recover(
    tx: &Transaction<'_>,
    crash_attempts_max: Option<u32>,
    now: Timestamp,
) -> Result<Vec<EndedRun>, LedgerError> {
    let mut dead = Vec::new();
    for run in waiting_runs(tx)?.into_iter().filter(|run| run.state == RunState::Claimed) {
        let is_poison = crash_attempts_max.is_some_and(|limit| run.crash_attempts >= limit);
        if is_poison && run.kind != JobKind::MarketCloseFlatten {
            let reason = format!("the process died {} times while it ran", run.crash_attempts);
            end(tx, run.run_id, RunState::Dead, &reason, now)?;
            dead.push(run.ended(RunState::Dead, reason));
        } else {
            let (ended_at, error) = (Option::<i64>::None, Option::<&str>::None);
            tx.prepare_cached(SQL_ATTEMPT)?.execute(params![run.run_id, ended_at, error])?;
            tx.prepare_cached(SQL_TAKE_BACK)?.execute([run.run_id])?;
        }
    }
    Ok(dead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn a_look_reads_no_run_that_is_over() {
        let day = TestLedger::new();
        let planned = |sql: &str| day.plan(sql).join(", ");
        assert_eq!(
            planned(SQL_WAITING),
            "SCAN run USING INDEX run_open, CORRELATED SCALAR SUBQUERY 1, \
             SEARCH intent USING INDEX sqlite_autoindex_intent_3 (run_id=?), \
             SEARCH approval USING INTEGER PRIMARY KEY (rowid=?)"
        );
        for sql in [SQL_END, SQL_FAIL, SQL_POSTPONE, SQL_TAKE_BACK] {
            assert_eq!(planned(sql), "SEARCH run USING INTEGER PRIMARY KEY (rowid=?)", "{sql}");
        }
    }
}
