//! The planner's look: which slots came due, what of the waiting is over, which run starts now.

use std::time::Duration;

use daybook_core::calendar::Calendar;
use daybook_core::schedule::{CatchUp, JobDefinition, JobKind, MissedRange, Overlap, PlanInput, PlannedSlot, plan};
use daybook_core::time::Timestamp;
use rusqlite::{Transaction, named_params, params};

use super::{
    ClaimedRun, EndedRun, JobState, NewRun, RunState, Stage, Trigger, WaitingRun, cancel_undefined, end, insert,
    job_states, sync_jobs, waiting_runs,
};
use crate::ledger::LedgerError;

/// How often the monitor looks while a position is open, whatever its schedule says.
const WATCH_EVERY: Duration = Duration::from_secs(60);

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

const SQL_HORIZON: &str =
    "UPDATE job SET horizon_at_ms = ?2, updated_at_ms = ?3 WHERE name = ?1 AND horizon_at_ms < ?2";
const SQL_INSERT_MISSED: &str = "
    INSERT INTO missed_range (job, from_at_ms, to_at_ms, slots, reason, recorded_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SQL_CLAIM: &str = "
    UPDATE run SET state = 'claimed', attempt = attempt + 1, crash_attempts = crash_attempts + 1, epoch = :epoch,
        config_hash = :config_hash, started_at_ms = :now, lateness_us = :lateness_us
    WHERE run_id = :run_id AND state IN ('due', 'failed')";
const SQL_LATER_IS_DONE: &str =
    "SELECT EXISTS (SELECT 1 FROM run WHERE job = ?1 AND slot_at_ms > ?2 AND state = 'done')";
const SQL_ANY_OPEN_POSITION: &str = "SELECT EXISTS (SELECT 1 FROM position WHERE closed_at_ms IS NULL)";

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
    let JobState { horizon, pacing, .. } = *state;
    let pace = pacing.in_force(&job.schedule, input.calendar, horizon, input.now);
    let planned = plan(&PlanInput { definition: job, calendar: input.calendar, pace, horizon, now: input.now });
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
    if pacing.backed_off_until.is_some() {
        // The slot that was just planned may have been the last one at the slow pace.
        let then = pacing.next_slot_after(&job.schedule, input.calendar, planned.horizon);
        next = then.map(|slot| slot.at);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn a_look_for_positions_reads_only_the_open_ones() {
        let planned = TestLedger::new().plan(SQL_ANY_OPEN_POSITION).join(", ");
        assert_eq!(planned, "SCAN CONSTANT ROW, SCALAR SUBQUERY 1, SCAN position USING INDEX position_one_open");
    }

    #[test]
    fn a_claim_finds_its_run_by_its_number() {
        let planned = TestLedger::new().plan(SQL_CLAIM).join(", ");
        assert_eq!(planned, "SEARCH run USING INTEGER PRIMARY KEY (rowid=?)");
    }
}
