//! Executes one claimed run from its facts to its last effect.

use std::time::Duration;

use anyhow::{Context, bail};
use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::schedule::{JobKind, MissedRange, Retries};

use super::Parts;
use super::bus::Event;
use super::dispatcher::Dispatched;
use super::job::Terms;
use crate::ledger::decision::RunRef;
use crate::ledger::record::Decided;
use crate::ledger::run::{self, ClaimedRun, EndedRun, RunState, Stage};
use crate::ledger::{LedgerError, alert, record};

/// Failed attempts of a run that is tried again after which a person is told.
const TROUBLE_AT: u32 = 3;

/// Executes a run. Whatever happens in it ends in the ledger; an error is only what the ledger itself
/// could not take.
pub async fn execute(parts: &Parts, run: ClaimedRun) -> Result<(), LedgerError> {
    let outcome = match run.stage {
        Stage::Gather => decide_and_commit(parts, &run).await,
        Stage::Dispatch => Ok(Committed { pending: true, summary: String::new() }),
    };
    let (state, summary) = match outcome {
        Ok(committed) if committed.pending => dispatch(parts, &run, committed.summary).await?,
        Ok(committed) => (RunState::Done, committed.summary),
        Err(error) => fail(parts, &run, &error).await?,
    };
    tracing::debug!(run_id = run.run_id, job = %run.job, ?state, %summary, "run.ended");
    let at = parts.sources.clock.wall();
    parts.bus.publish(Event::RunEnded { at, run_id: run.run_id, job: run.job, kind: run.kind, state, summary });
    Ok(())
}

struct Committed {
    pending: bool,
    summary: String,
}

async fn decide_and_commit(parts: &Parts, run: &ClaimedRun) -> anyhow::Result<Committed> {
    let definition = parts.definition(&run.job).with_context(|| format!("job {} is not defined any more", run.job))?;
    let terms = terms(parts, run);
    crash_point!("gather.before");
    let decided = decide(parts, run, terms, definition.timeout.as_duration()).await?;
    crash_point!("decision.before");
    let reference = RunRef {
        run_id: run.run_id,
        job: run.job.clone(),
        slot: run.slot,
        session: run.session,
        account: parts.sources.ledger.meta().account.clone(),
    };
    let (settings_hash, routes) = (parts.config_hash.clone(), parts.routes.clone());
    let now = parts.sources.clock.wall();
    let summary = decided.decision.summary.clone();
    let pending = parts
        .sources
        .ledger
        .write(move |tx| record::commit(tx, &reference, &decided, &settings_hash, &routes, now))
        .await
        .context("committing the decision")?;
    crash_point!("decision.after");
    tracing::debug!(run_id = run.run_id, job = %run.job, "run.decided");
    Ok(Committed { pending, summary })
}

/// The terms of a run, as they were when it was claimed.
pub fn terms(parts: &Parts, run: &ClaimedRun) -> Terms {
    let parameters = parts.definition(&run.job).map(|definition| match definition.kind {
        JobKind::Command => serde_json::json!({
            "command": definition.command,
            "timeout_s": definition.timeout.as_duration().as_secs(),
        }),
        _ => definition.parameters.clone(),
    });
    Terms {
        ledger_id: parts.ledger_id.to_string(),
        job: run.job.clone(),
        slot: run.slot,
        session: run.session.and_then(|date| parts.sources.calendar.session(date)),
        settings: parts.settings.clone(),
        parameters: run.arguments.clone().or(parameters).unwrap_or_default(),
    }
}

/// Gathers and decides in a task of its own, so that a panic ends the run and not the process, and so
/// that a time-out is over only when the task is.
async fn decide(parts: &Parts, run: &ClaimedRun, terms: Terms, timeout: Duration) -> anyhow::Result<Decided> {
    let job = parts.jobs.get(&run.kind).cloned().with_context(|| format!("no job of kind {} is built in", run.kind))?;
    let sources = parts.sources.clone();
    let mut task = tokio::spawn(async move { job.run(&sources, &terms).await });
    let joined = match tokio::time::timeout(timeout, &mut task).await {
        Ok(joined) => joined,
        Err(_) => {
            task.abort();
            // A second attempt never starts while the first lives.
            match task.await {
                Ok(Ok(_)) | Ok(Err(_)) | Err(_) => bail!("timed out after {timeout:?}"),
            }
        }
    };
    match joined {
        Ok(decided) => decided,
        Err(failure) if failure.is_panic() => bail!("panicked: {}", panic_message(failure.into_panic().as_ref())),
        Err(failure) => bail!("was canceled: {failure}"),
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

async fn dispatch(parts: &Parts, run: &ClaimedRun, summary: String) -> Result<(RunState, String), LedgerError> {
    let run_id = run.run_id;
    let dispatched = match parts.dispatcher().dispatch(run_id).await {
        Ok(dispatched) => dispatched,
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::warn!(run_id, job = %run.job, error = %format!("{error:#}"), "dispatch.interrupted");
            Dispatched::Later(parts.sources.clock.wall().after(Duration::from_secs(5)))
        }
    };
    let ledger = &parts.sources.ledger;
    if let Dispatched::Later(at) = dispatched {
        ledger.write(move |tx| run::postpone_dispatch(tx, run_id, at)).await?;
        return Ok((RunState::Decided, summary));
    }
    let ended = match super::chores::perform(parts, run).await {
        Ok(note) => (RunState::Done, note),
        Err(error) => (RunState::Dead, format!("{error:#}")),
    };
    let now = parts.sources.clock.wall();
    let routes = parts.routes.clone();
    let (state, note) = ended;
    let (reason, job) = (note.clone(), run.job.clone());
    crash_point!("finish.before");
    ledger
        .write(move |tx| {
            run::end(tx, run_id, state, &reason, now)?;
            super::news::tell_of_trades(tx, run_id, &job, &routes, now)?;
            if state == RunState::Dead {
                let subject = format!("{job} failed: {reason}");
                alert::raise(tx, Some(run_id), &Alert::new(AlertEvent::JobFailed, subject), &routes, now)?;
            }
            Ok(())
        })
        .await?;
    crash_point!("finish.after");
    Ok((state, if summary.is_empty() { note } else { summary }))
}

async fn fail(parts: &Parts, run: &ClaimedRun, error: &anyhow::Error) -> Result<(RunState, String), LedgerError> {
    let retries = parts.definition(&run.job).map_or(Retries::Times(0), |definition| definition.retries);
    let message = format!("{error:#}");
    tracing::warn!(run_id = run.run_id, job = %run.job, attempt = run.attempt, error = %message, "run.failed");
    let now = parts.sources.clock.wall();
    let (run, routes, text) = (run.clone(), parts.routes.clone(), message.clone());
    let ended = parts
        .sources
        .ledger
        .write(move |tx| {
            let ended = run::fail(tx, &run, retries, &text, now)?;
            match &ended {
                Some(ended) => {
                    alert::raise(tx, Some(ended.run_id), &alert_of_ended(ended), &routes, now)?;
                }
                // It goes on trying; a person is told once that it has trouble.
                None if run.attempt == TROUBLE_AT => {
                    alert::raise(tx, Some(run.run_id), &alert_of_trouble(&run, &text), &routes, now)?;
                }
                None => {}
            }
            Ok(ended)
        })
        .await?;
    Ok((if ended.is_some() { RunState::Dead } else { RunState::Failed }, message))
}

/// What a person is told of a run that keeps failing and is tried again.
fn alert_of_trouble(run: &ClaimedRun, error: &str) -> Alert {
    let subject = format!("{} of {} failed {} times and is tried again", run.job, run.slot, run.attempt);
    Alert::new(AlertEvent::JobTroubled, subject).at_level(level_of(run.kind)).with_body(error)
}

/// How much it matters that a run of a kind is not done.
const fn level_of(kind: JobKind) -> AlertLevel {
    match kind {
        JobKind::MarketCloseFlatten | JobKind::RiskMonitor | JobKind::Reconcile => AlertLevel::Critical,
        JobKind::PremarketScan
        | JobKind::Analysis
        | JobKind::DailySummary
        | JobKind::WeeklySummary
        | JobKind::Housekeeping
        | JobKind::Operator
        | JobKind::Command => AlertLevel::Warning,
    }
}

/// What a person is told of slots that had to run and did not.
pub fn alert_of_lost(job: &str, missed: &MissedRange) -> Alert {
    let MissedRange { from, to, slots, reason } = missed;
    let subject = format!("{job} did not run: {slots} slots from {from} to {to} were missed ({reason})");
    Alert::new(AlertEvent::JobMissed, subject)
}

/// What a person is told of a run that ended without being done.
pub fn alert_of_ended(ended: &EndedRun) -> Alert {
    let event = if ended.state == RunState::Expired { AlertEvent::JobExpired } else { AlertEvent::JobFailed };
    let subject = format!("{} of {}: {}", ended.job, ended.slot, ended.reason);
    Alert::new(event, subject).at_level(level_of(ended.kind))
}
