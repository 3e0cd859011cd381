//! Jobs and their runs: what is due, who has claimed it, what came of it.
//!
//! A run's life: `due -> claimed -> decided -> done`. A run that failed waits as `failed` until it may
//! be claimed again; `dead`, `skipped`, `expired` and `canceled` end it with a reason. Every function
//! on a [`Transaction`] is one step of that life; the planner composes them.

use std::collections::BTreeMap;
use std::time::Duration;

use daybook_core::calendar::Calendar;
use daybook_core::schedule::{
    CatchUp, JobDefinition, JobKind, MissedRange, Overlap, Pace, PlanInput, PlannedSlot, Retries, Slot, plan,
};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, Row, Transaction, named_params, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::LedgerError;
use super::codec::{Json, Text, Word};

/// A slot is dead after the process has died this often while running it: a poison slot must not
/// bring the program down for ever. The flatten is exempt: it is tried until its window ends.
pub const CRASH_ATTEMPTS_MAX: u32 = 3;

/// How often the monitor looks while a position is open, whatever its schedule says.
const WATCH_EVERY: Duration = Duration::from_secs(60);

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
    /// A person asked for it.
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

/// What a look of the planner found.
#[derive(Debug, Default)]
pub struct Look {
    /// Runs that expired or died in this look, for an alert each.
    pub ended: Vec<EndedRun>,
    /// Slots of jobs that must run and were missed, for an alert each.
    pub lost: Vec<(String, MissedRange)>,
    /// The run to execute now.
    pub claimed: Option<ClaimedRun>,
    /// When the next slot is due or the next waiting run may be claimed, whichever is first.
    pub next_at: Option<Timestamp>,
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

/// What a look of the planner needs to know.
pub struct LookInput<'a> {
    /// The instant of the look.
    pub now: Timestamp,
    /// Microseconds by which the wall clock is past `now`, which is in whole milliseconds.
    pub beyond_now_us: u32,
    /// The jobs in force.
    pub jobs: &'a [JobDefinition],
    /// The exchange's sessions.
    pub calendar: &'a Calendar,
    /// Runs that live in this process.
    pub live: &'a [i64],
    /// The lease under which runs are claimed.
    pub epoch: i64,
    /// The version of the settings in force.
    pub config_hash: &'a str,
}

const SQL_JOB_STATES: &str = "SELECT horizon_at_ms, pace, paused, name FROM job";
const SQL_JOB_UPSERT: &str = "
    INSERT INTO job (name, kind, definition, horizon_at_ms, updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, definition = excluded.definition,
        defined_at_ms = excluded.updated_at_ms, updated_at_ms = excluded.updated_at_ms
    WHERE definition <> excluded.definition";
const SQL_HORIZON: &str =
    "UPDATE job SET horizon_at_ms = ?2, updated_at_ms = ?3 WHERE name = ?1 AND horizon_at_ms < ?2";
/// Runs count up from 1, and those of boots down from -1: however often the process was started, no other run's
/// number is shifted.
const SQL_INSERT_RUN: &str = "
    INSERT INTO run (run_id, job, kind, slot_at_ms, session, trigger, state, not_before_ms, expires_at_ms, due_at_ms, arguments)
    VALUES (
        CASE :trigger WHEN 'boot' THEN (SELECT min(coalesce(min(run_id), 0), 0) - 1 FROM run)
            ELSE (SELECT max(coalesce(max(run_id), 0), 0) + 1 FROM run) END,
        :job, :kind, :slot, :session, :trigger, 'due', :not_before, :expires, :now, :arguments)
    ON CONFLICT (job, slot_at_ms) DO NOTHING";
const SQL_INSERT_MISSED: &str = "
    INSERT INTO missed_range (job, from_at_ms, to_at_ms, slots, reason, recorded_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SQL_WAITING: &str = "
    SELECT run_id, job, kind, slot_at_ms, session, trigger, state, attempt, crash_attempts, not_before_ms, expires_at_ms, arguments,
        reason, state = 'decided' AND EXISTS (SELECT 1 FROM intent JOIN approval USING (intent_id)
            WHERE intent.run_id = run.run_id AND intent.state = 'pending' AND answer IS NULL)
    FROM run WHERE finished_at_ms IS NULL ORDER BY slot_at_ms, run_id";
const SQL_CLAIM: &str = "
    UPDATE run SET state = 'claimed', attempt = attempt + 1, crash_attempts = crash_attempts + 1, epoch = :epoch,
        config_hash = :config_hash, started_at_ms = :now, lateness_us = :lateness_us
    WHERE run_id = :run_id AND state IN ('due', 'failed')";
/// An attempt that came to nothing; of the last one the run's own row tells.
const SQL_ATTEMPT: &str = "
    INSERT INTO run_attempt (run_id, attempt, started_at_ms, ended_at_ms, error)
    SELECT run_id, attempt, started_at_ms, ?2, ?3 FROM run WHERE run_id = ?1 AND started_at_ms IS NOT NULL";
const SQL_PAUSE: &str = "UPDATE job SET paused = ?2, updated_at_ms = ?3 WHERE name = ?1 AND paused <> ?2";
const SQL_STATE_OF_SLOT: &str = "SELECT state FROM run WHERE job = ?1 AND slot_at_ms = ?2";
const SQL_LATER_IS_DONE: &str =
    "SELECT EXISTS (SELECT 1 FROM run WHERE job = ?1 AND slot_at_ms > ?2 AND state = 'done')";
const SQL_ANY_OPEN_POSITION: &str = "SELECT EXISTS (SELECT 1 FROM position WHERE closed_at_ms IS NULL)";
const SQL_TAKE_BACK: &str = "UPDATE run SET state = 'due' WHERE run_id = ?1";
const SQL_END: &str =
    "UPDATE run SET state = ?2, reason = ?3, finished_at_ms = ?4 WHERE run_id = ?1 AND finished_at_ms IS NULL";
const SQL_FAIL: &str = "
    UPDATE run SET state = 'failed', reason = ?2, not_before_ms = ?3, crash_attempts = crash_attempts - 1
    WHERE run_id = ?1 AND state = 'claimed'";

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
    pace: Pace,
    paused: bool,
}

/// Of every job, by name.
fn job_states(conn: &Connection) -> Result<BTreeMap<String, JobState>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_JOB_STATES)?;
    let states = statement.query_map([], |row| {
        let pace: Word<Pace> = row.get(1)?;
        Ok((row.get(3)?, JobState { horizon: Timestamp(row.get(0)?), pace: pace.0, paused: row.get(2)? }))
    })?;
    Ok(states.collect::<Result<_, _>>()?)
}

/// How often an adaptive job runs at present.
///
/// # Errors
/// If the ledger cannot be read.
pub fn pace(conn: &Connection, job: &str) -> Result<Pace, LedgerError> {
    Ok(job_states(conn)?.get(job).map_or_else(Pace::default, |state| state.pace))
}

/// Stops or resumes planning a job; whether that changed anything. While it was paused its slots were
/// not accounted for: the plan after it finds them missed.
///
/// # Errors
/// If the ledger cannot be written.
pub fn set_paused(tx: &Transaction<'_>, job: &str, paused: bool, now: Timestamp) -> Result<bool, LedgerError> {
    Ok(tx.prepare_cached(SQL_PAUSE)?.execute(params![job, paused, now.0])? == 1)
}

/// Plans, ends what is over, and claims the most urgent run that may start.
///
/// One run is claimed at a time, right before it starts: if the process dies, only runs that had
/// really started are charged with it.
///
/// # Errors
/// If the ledger cannot be read or written.
pub fn look(tx: &Transaction<'_>, input: &LookInput<'_>) -> Result<Look, LedgerError> {
    let mut found = plan_jobs(tx, input)?;
    crash_point!("plan");
    let waiting = without_overtaken_boots(tx, waiting_runs(tx)?, input.now)?;
    let reconciling = waiting.iter().any(|run| run.trigger == Trigger::Boot);
    let mut claimable: Vec<&WaitingRun> = Vec::new();
    let ours =
        |run: &&WaitingRun| input.jobs.iter().any(|job| job.name == run.job) && !input.live.contains(&run.run_id);
    for run in waiting.iter().filter(ours) {
        if run.state.may_start()
            && let Some(expires_at) = run.expires_at
        {
            if expires_at <= input.now {
                let reason = match &run.reason {
                    Some(reason) => format!("its window ended at {expires_at}; the last attempt failed: {reason}"),
                    None => format!("its window ended at {expires_at}"),
                };
                end(tx, run.run_id, RunState::Expired, &reason, input.now)?;
                found.ended.push(run.ended(RunState::Expired, reason));
                continue;
            }
            soonest(&mut found.next_at, Some(expires_at));
        }
        match overlapping(run, &waiting, input.jobs) {
            Some(Overlapping::Skip(reason)) => end(tx, run.run_id, RunState::Skipped, reason, input.now)?,
            Some(Overlapping::Wait) => {}
            None if run.state == RunState::Claimed => {}
            None if reconciling && run.trigger != Trigger::Boot && !run.kind.only_reduces_risk() => {}
            None if run.not_before > input.now => soonest(&mut found.next_at, Some(run.not_before)),
            None => claimable.push(run),
        }
    }
    claimable.sort_by_key(|run| {
        (run.trigger != Trigger::Boot, run.state != RunState::Decided, run.kind.urgency(), run.slot, run.run_id)
    });
    if let Some(run) = claimable.first() {
        found.claimed = Some(claim(tx, run, input)?);
        crash_point!("claim");
    }
    Ok(found)
}

/// Writes the slots that came due, of every job that is planned.
fn plan_jobs(tx: &Transaction<'_>, input: &LookInput<'_>) -> Result<Look, LedgerError> {
    let mut found = Look::default();
    let states = job_states(tx)?;
    for job in input.jobs.iter().filter(|job| job.enabled) {
        if let Some(state) = states.get(&job.name)
            && !state.paused
        {
            let (next_at, missed) = plan_job(tx, input, job, state)?;
            soonest(&mut found.next_at, next_at);
            if let Some(missed) = missed.filter(|_| job.catch_up == CatchUp::MustRun) {
                found.lost.push((job.name.clone(), missed));
            }
        }
    }
    Ok(found)
}

/// Puts other jobs in the place of those of `input`: slots up to now are those of the old schedules, slots after it
/// those of the new ones. What waits for a job that is gone is canceled. The answer is what of the old jobs has to be
/// told and the names of jobs that are gone and still have a run at work.
///
/// # Errors
/// If the ledger cannot be read or written.
pub fn change_jobs(
    tx: &Transaction<'_>,
    input: &LookInput<'_>,
    jobs: &[JobDefinition],
) -> Result<(Look, Vec<String>), LedgerError> {
    let found = plan_jobs(tx, input)?;
    let mut horizon = tx.prepare_cached(SQL_HORIZON)?;
    for job in jobs.iter().filter(|job| !input.jobs.contains(job)) {
        horizon.execute(params![job.name, input.now.0, input.now.0])?;
    }
    sync_jobs(tx, jobs, input.now)?;
    cancel_undefined(tx, jobs, input.now)?;
    let is_gone = |run: &WaitingRun| jobs.iter().all(|job| job.name != run.job);
    let gone = waiting_runs(tx)?.into_iter().filter(is_gone).map(|run| run.job).collect();
    Ok((found, gone))
}

/// Ends a boot's run that keeps failing once a later run of its job is done: what it was for has been achieved, and what
/// waits for it goes on. The answer is the runs that are left.
fn without_overtaken_boots(
    tx: &Transaction<'_>,
    waiting: Vec<WaitingRun>,
    now: Timestamp,
) -> Result<Vec<WaitingRun>, LedgerError> {
    let mut left = Vec::with_capacity(waiting.len());
    for run in waiting {
        let may_be_overtaken = run.trigger == Trigger::Boot && run.state == RunState::Failed;
        if may_be_overtaken
            && tx.prepare_cached(SQL_LATER_IS_DONE)?.query_row(params![run.job, run.slot.0], |row| row.get(0))?
        {
            end(tx, run.run_id, RunState::Skipped, "a later run of the job was done", now)?;
        } else {
            left.push(run);
        }
    }
    Ok(left)
}

/// The earlier of two instants, where there are any.
fn soonest(next: &mut Option<Timestamp>, at: Option<Timestamp>) {
    *next = match (*next, at) {
        (Some(known), Some(at)) => Some(known.min(at)),
        (known, at) => known.or(at),
    };
}

/// Writes the slots of a job that came due, and answers when its next one does and what was missed.
fn plan_job(
    tx: &Transaction<'_>,
    input: &LookInput<'_>,
    job: &JobDefinition,
    state: &JobState,
) -> Result<(Option<Timestamp>, Option<MissedRange>), LedgerError> {
    let planned = plan(&PlanInput {
        definition: job,
        calendar: input.calendar,
        pace: state.pace,
        horizon: state.horizon,
        now: input.now,
    });
    for slot in &planned.due {
        insert(tx, &NewRun::planned(job, slot), input.now)?;
    }
    if let Some(missed) = &planned.missed {
        insert_missed(tx, &job.name, missed, input.now)?;
    }
    // A change of the pace changes a job's slots from then on: what lies before it is accounted for.
    let moves = !planned.due.is_empty() || planned.missed.is_some() || job.follows_the_pace();
    if planned.horizon > state.horizon && moves {
        tx.prepare_cached(SQL_HORIZON)?.execute(params![job.name, planned.horizon.0, input.now.0])?;
    }
    let mut next = planned.next_slot;
    if job.kind == JobKind::RiskMonitor && any_open_position(tx)? {
        // While anything is open it is watched every minute, also outside the hours of the schedule.
        let minute = input.now.floor_to(WATCH_EVERY);
        if minute > state.horizon {
            let slot = PlannedSlot {
                at: minute,
                session: input.calendar.session_date_at(input.now),
                expires_at: minute.after(WATCH_EVERY),
            };
            insert(tx, &NewRun::planned(job, &slot), input.now)?;
            let horizon = minute.max(planned.horizon.min(input.now));
            tx.prepare_cached(SQL_HORIZON)?.execute(params![job.name, horizon.0, input.now.0])?;
        }
        soonest(&mut next, Some(minute.after(WATCH_EVERY)));
    }
    Ok((next, planned.missed))
}

/// What an earlier or a newer run of the same job means for a run that may start.
enum Overlapping {
    Skip(&'static str),
    Wait,
}

fn overlapping(run: &WaitingRun, waiting: &[WaitingRun], jobs: &[JobDefinition]) -> Option<Overlapping> {
    if !run.state.may_start() {
        return None;
    }
    let job = jobs.iter().find(|job| job.name == run.job)?;
    let others = || waiting.iter().filter(|other| other.job == run.job && other.run_id != run.run_id);
    // A run whose entry waits for a person is at no work: the next ones look at the market meanwhile.
    let started = others().any(|other| !other.state.may_start() && !other.awaits_person);
    let asked_for = run.trigger != Trigger::Schedule;
    match job.overlap {
        Overlap::Skip if started && !asked_for => {
            Some(Overlapping::Skip("an earlier run of the job was still at work"))
        }
        _ if started => Some(Overlapping::Wait),
        _ if asked_for || matches!(job.catch_up, CatchUp::All(_) | CatchUp::None) => None,
        Overlap::QueueOne | Overlap::Skip => others()
            .any(|other| other.slot > run.slot && other.trigger == Trigger::Schedule)
            .then_some(Overlapping::Skip("a newer slot of the job was due")),
    }
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

/// Whether the ledger holds a position that is open.
///
/// # Errors
/// If the ledger cannot be read.
pub fn any_open_position(tx: &Transaction<'_>) -> Result<bool, LedgerError> {
    Ok(tx.prepare_cached(SQL_ANY_OPEN_POSITION)?.query_row([], |row| row.get(0))?)
}

fn claim(tx: &Transaction<'_>, run: &WaitingRun, input: &LookInput<'_>) -> Result<ClaimedRun, LedgerError> {
    let mut attempt = run.attempt;
    let stage = match run.state {
        RunState::Decided => Stage::Dispatch,
        _ => {
            attempt += 1;
            tx.prepare_cached(SQL_CLAIM)?.execute(named_params! {
                ":run_id": run.run_id, ":epoch": input.epoch, ":config_hash": input.config_hash, ":now": input.now.0,
                ":lateness_us": lateness_us(run, input),
            })?;
            Stage::Gather
        }
    };
    Ok(ClaimedRun {
        run_id: run.run_id,
        job: run.job.clone(),
        kind: run.kind,
        slot: run.slot,
        session: run.session,
        stage,
        attempt,
        arguments: run.arguments.clone(),
    })
}

/// How long after its slot a run starts, in microseconds: the whole milliseconds by the wall clock, and
/// what the look has measured beyond its own instant.
fn lateness_us(run: &WaitingRun, input: &LookInput<'_>) -> i64 {
    input.now.0.saturating_sub(run.slot.0).saturating_mul(1_000).saturating_add(i64::from(input.beyond_now_us))
}

/// A run to be written.
struct NewRun<'a> {
    job: &'a JobDefinition,
    slot: Slot,
    not_before: Timestamp,
    expires_at: Option<Timestamp>,
    trigger: Trigger,
    arguments: Option<&'a serde_json::Value>,
}

impl<'a> NewRun<'a> {
    fn planned(job: &'a JobDefinition, slot: &PlannedSlot) -> Self {
        Self {
            job,
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
        ":job": run.job.name, ":kind": Word(run.job.kind), ":slot": run.slot.at.0,
        ":session": run.slot.session.map(Text), ":trigger": Word(run.trigger), ":not_before": run.not_before.0,
        ":expires": run.expires_at.map(|at| at.0), ":now": now.0, ":arguments": run.arguments.map(Json),
    })?;
    Ok((inserted == 1).then(|| tx.last_insert_rowid()))
}

fn insert_missed(tx: &Transaction<'_>, job: &str, missed: &MissedRange, now: Timestamp) -> Result<(), LedgerError> {
    let slots = i64::try_from(missed.slots).unwrap_or(i64::MAX);
    tx.prepare_cached(SQL_INSERT_MISSED)?.execute(params![
        job,
        missed.from.0,
        missed.to.0,
        slots,
        missed.reason.as_str(),
        now.0
    ])?;
    Ok(())
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
    let mut at = now;
    loop {
        let slot = Slot { at, session };
        let run = NewRun { job, slot, not_before: now, expires_at: None, trigger, arguments };
        if let Some(run_id) = insert(tx, &run, now)? {
            return Ok(run_id);
        }
        at = at.after(Duration::from_millis(1));
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
    let run = NewRun { job, slot, not_before: now, expires_at: None, trigger: Trigger::Manual, arguments: None };
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
        assert_eq!(
            planned(SQL_ANY_OPEN_POSITION),
            "SCAN CONSTANT ROW, SCALAR SUBQUERY 1, SCAN position USING INDEX position_one_open"
        );
        for sql in [SQL_CLAIM, SQL_END, SQL_FAIL, SQL_POSTPONE, SQL_TAKE_BACK] {
            assert_eq!(planned(sql), "SEARCH run USING INTEGER PRIMARY KEY (rowid=?)", "{sql}");
        }
    }
}
