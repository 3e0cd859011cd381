//! A process that does one thing and ends: `trade job run`, a line of a crontab.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook_core::schedule::{JobKind, Pace, next_slot_after};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::drive::STUCK_AFTER;
use super::{Ground, WiringError, live_ground, reload, wire};
use crate::config::Configuration;
use crate::engine::Execution;
use crate::engine::commands::Command;
use crate::engine::driver::{Driver, Limits};
use crate::ledger::command::{self, CommandState};
use crate::ledger::run_facts::{self, RunOutcome};
use crate::ledger::{Connection, LedgerError, approval, resolved};

/// What a process is started for that does one thing and ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Errand {
    /// Carries out a command, and the run that comes of it.
    Command(Command),
    /// Runs a job's slots that are due and not done, as a scheduler would now: the same call twice does
    /// nothing more. A slot that is near is waited for, and so is another process that does the like.
    Due { job: String },
}

/// How near a slot has to be for [`Errand::Due`] to wait for it.
const LEAD: Duration = Duration::from_secs(10);

/// How long [`Errand::Due`] waits for the ledger, and then for what has to wait within: lines of a crontab
/// fire together, and none may keep the others out.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does one thing on the path of the scheduler, where no scheduler holds the ledger: takes the lock and the
/// lease, reconciles, and runs it. The answer is what came of it.
///
/// # Errors
/// If the ledger is held by another process, if the command is refused ([`WiringError::Refused`]), or what the ledger
/// could not take.
pub async fn once(
    configuration: &Configuration,
    path: &Path,
    errand: Errand,
    requested_by: &str,
) -> anyhow::Result<Vec<RunOutcome>> {
    let path = &resolved(path);
    let mut ground = live_ground(configuration)?;
    let (job, is_due) = match &errand {
        Errand::Due { job } => (job.clone(), true),
        Errand::Command(asked) => (asked.job().to_owned(), false),
    };
    // What other jobs have left behind stays for the process that runs them.
    ground.claimed.retain(|definition| {
        definition.name == job || definition.runs_at_boot() || definition.kind == JobKind::Operator
    });
    for definition in &mut ground.claimed {
        definition.enabled &= is_due && definition.name == job;
    }
    ground.execution = Execution::InTurn;
    if is_due {
        ground.patience = PATIENCE;
        await_near_slot(&ground).await;
    }
    let wired = wire(configuration, path, ground).await?;
    let parts = wired.parts.clone();
    let ledger = parts.sources.ledger.clone();
    let limits = Limits {
        stop: CancellationToken::new(),
        until: None,
        drain: parts.settings.scheduler.drain_timeout.as_duration(),
        on_turn: Arc::new(|| {}),
        jobs: None,
        stuck_after: STUCK_AFTER,
    };
    let now = parts.sources.clock.wall();
    let command_id = match &errand {
        Errand::Command(asked) => {
            let new = asked.clone().into_new(requested_by)?;
            Some(ledger.write(move |tx| Ok(command::enqueue(tx, &new, now)?.command_id)).await?)
        }
        Errand::Due { .. } => None,
    };
    let driver = Driver::new(parts.clone(), limits, Arc::new(Notify::new()));
    let mut driver = driver.reloading(reload::reload(wired.standing.clone(), None));
    driver.boot().await?;
    let clock = parts.sources.clock.clone();
    let leave_at = clock.wall().after(PATIENCE);
    driver
        .run_until(|ledger| {
            let Some(next) = ledger.read(|conn| run_facts::next_attempt(conn, &job))? else { return Ok(true) };
            if ledger.read(|conn| waits_for_a_person(conn, &job))? {
                return Ok(true);
            }
            let now = clock.wall();
            // What has to wait is left to the next call: other jobs need the ledger, too.
            Ok(is_due && (next > now.after(LEAD) || now >= leave_at))
        })
        .await?;
    if let Some(command_id) = command_id {
        let done = ledger.read(|conn| command::get(conn, command_id))?;
        if done.state == CommandState::Refused {
            return Err(WiringError::Refused(done.result.unwrap_or_default()).into());
        }
    }
    ledger.read(|conn| run_facts::claimed_under(conn, &job, parts.epoch)).map_err(Into::into)
}

/// Whether a person's answer is all that the job's runs wait for: another call brings it.
fn waits_for_a_person(conn: &Connection, job: &str) -> Result<bool, LedgerError> {
    for run in run_facts::unfinished(conn)?.iter().filter(|run| run.job == job) {
        if !approval::is_all_that_is_left(conn, run.run_id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits for a slot that is near: what fires on the full minute is early for a slot five seconds after it.
async fn await_near_slot(ground: &Ground) {
    let now = ground.clock.wall();
    let planned = ground.claimed.iter().filter(|definition| definition.enabled);
    let next = planned.flat_map(|definition| {
        // The pace in force stands in the ledger, which is not open yet; a slot that is none does no harm.
        [Pace::Fast, Pace::Normal, Pace::Slow]
            .into_iter()
            .filter_map(|pace| next_slot_after(&definition.schedule, &ground.calendar, pace, now))
    });
    if let Some(at) = next.map(|slot| slot.at).min().filter(|at| *at <= now.after(LEAD)) {
        ground.clock.sleep_until(at).await;
    }
}
