//! Another configuration while the program runs: what of it comes into force, when, and what is told of it.
//!
//! ```text
//! files ──► watch: read, checked ──► admit: what may be now, what waits ──► one transaction ──► the next run
//!           config::Watch            pure, below                            version, alert      driver
//! ```
//!
//! The driver takes a configuration between two claims, so a run has one from its start to its end. What is tightened is
//! in force at once. What loosens a limit while the market is open waits for the next session or for a person. A
//! start is no way around it: what is read then is admitted by the same rule.

use std::sync::Arc;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::calendar::{Calendar, MarketPhase};
use daybook_core::report::words::counted;
use daybook_core::risk::{Loosening, hold_loosened};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::Transaction;
use tokio::sync::mpsc;

use super::Parts;
use crate::config::{Change, Configuration, Reading, Settings, changes, job_changes};
use crate::ledger::alert::{self, Routes};
use crate::ledger::event::{self, Event, EventLevel};
use crate::ledger::script::ScriptText;
use crate::ledger::settings::{self as versions, NewConfigVersion, WaitingConfig};
use crate::ledger::{Connection, LedgerError};
use crate::outbox::Policy;
use crate::ports::Channel;

/// Changes that the subject of an alert names; more are in its body.
const NAMED_MAX: usize = 2;

/// What a driver needs to take other configurations while it runs.
pub struct Reload {
    /// What was read; `None` in a process that does one thing and ends.
    pub readings: Option<mpsc::Receiver<Reading>>,
    /// Builds what follows from a configuration.
    pub prepare: Prepare,
    /// What is in force, and what waits.
    pub standing: Standing,
}

/// Builds the parts that follow from another configuration, from those in force.
pub type Prepare = Box<dyn Fn(&Parts, &Configuration, Refresh) -> anyhow::Result<Prepared> + Send + Sync>;

/// Whether secrets may have changed, which no version shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Only what the settings show is built anew.
    Changed,
    /// What uses secrets is built anew, too.
    Secrets,
}

/// What follows from a configuration.
pub struct Prepared {
    /// What the engine is made of from the next run on.
    pub parts: Parts,
    /// The channels, where they are others now, and what the outbox does besides sending.
    pub channels: Option<(Vec<Arc<dyn Channel>>, Policy)>,
}

/// The configuration in force, and the one that waits.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What runs decide under.
    pub in_force: Configuration,
    /// All of what was read last, where limits that it loosens wait.
    pub waits: Option<Configuration>,
}

/// What becomes of a configuration that was read.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// What comes into force: all of it, or all but the limits that wait.
    pub now: Configuration,
    /// What waits, and in which session it was read.
    pub waits: Option<Waits>,
}

/// Limits that wait.
#[derive(Debug, Clone)]
pub struct Waits {
    /// The configuration with them.
    pub whole: Configuration,
    /// Their keys.
    pub limits: Vec<String>,
    /// The session that they wait for the end of.
    pub session: SessionDate,
}

/// Why a configuration cannot come into force.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// What it tightens does not go together with what was, and what it loosens would have to wait.
    #[error(
        "it loosens {} and tightens other limits, and the one does not hold without the other: {why}; change them one \
         after the other, or after the session", limits.join(", ")
    )]
    Entangled {
        /// The keys that would have to wait.
        limits: Vec<String>,
        /// What is wrong with the rest.
        why: String,
    },
    /// The settings cannot be kept.
    #[error("the settings cannot be kept")]
    Unkeepable(#[from] serde_json::Error),
}

/// The session whose regular hours an instant lies in: then what loosens a limit waits.
#[must_use]
pub fn open_session(calendar: &Calendar, now: Timestamp) -> Option<SessionDate> {
    calendar.session_containing(now).filter(|session| session.phase_at(now) == MarketPhase::Trading).map(|it| it.date)
}

/// Splits a configuration into what may come into force now and what waits. `before` is in force; `None` before the first
/// start. `waiting` is what the ledger has waiting, and `session` the one that is open.
///
/// # Errors
/// If it cannot be split.
pub fn admit(
    before: Option<&Settings>,
    read: Configuration,
    waiting: Option<&WaitingConfig>,
    session: Option<SessionDate>,
) -> Result<Admitted, AdmissionError> {
    let Some(before) = before else { return Ok(Admitted { now: read, waits: None }) };
    let since = waiting.filter(|waiting| waiting.hash == read.version.hash);
    let waits_in = match since {
        Some(waiting) if waiting.confirmed_by.is_some() => None,
        Some(waiting) => match before.risk.loosening {
            Loosening::Confirm => Some(waiting.session),
            Loosening::NextSession => Some(waiting.session).filter(|since| session == Some(*since)),
        },
        None => session,
    };
    let mut now = read.clone();
    let held = hold_loosened(&before.risk, &mut now.settings.risk);
    let policy = before.reconcile.hold_loosened(&mut now.settings.reconcile);
    let mut limits: Vec<String> = held.into_iter().map(|key| format!("risk.{key}")).collect();
    limits.extend(policy.map(|key| format!("reconcile.{key}")));
    let Some(session) = waits_in.filter(|_| !limits.is_empty()) else { return Ok(Admitted { now: read, waits: None }) };
    if let Some((key, why)) = now.settings.risk.problems().into_iter().next() {
        return Err(AdmissionError::Entangled { limits, why: format!("risk.{key} {why}") });
    }
    now.version = now.settings.version()?;
    Ok(Admitted { now, waits: Some(Waits { whole: read, limits, session }) })
}

/// Admits and records the configuration that a process starts with.
///
/// # Errors
/// If the ledger cannot be written, or the configuration cannot come into force.
pub fn start(
    tx: &Transaction<'_>,
    read: Configuration,
    calendar: &Calendar,
    routes: &Routes,
    now: Timestamp,
) -> Result<Result<Standing, AdmissionError>, LedgerError> {
    let before = versions::latest(tx)?;
    // A version that this program does not read is of another one: nothing can be compared.
    let settings = before.as_ref().and_then(|before| Settings::from_version(&before.body).ok());
    let waiting = versions::waiting(tx)?;
    let admitted = match admit(settings.as_ref(), read, waiting.as_ref(), open_session(calendar, now)) {
        Ok(admitted) => admitted,
        Err(error) => return Ok(Err(error)),
    };
    let told = match &before {
        Some(before) => changes(&before.body, &admitted.now.version.body).unwrap_or_default(),
        None => Vec::new(),
    };
    record(tx, &admitted, &told, routes, now)?;
    Ok(Ok(Standing { in_force: admitted.now, waits: admitted.waits.map(|waits| waits.whole) }))
}

/// What the ledger keeps of a configuration.
#[must_use]
pub fn version_of(configuration: &Configuration) -> NewConfigVersion {
    let Configuration { settings, version, file, .. } = configuration;
    let read = settings.strategies.scripts.values();
    let scripts =
        read.filter_map(|script| Some(ScriptText { sha256: script.sha256.clone()?, text: script.text.clone() }));
    NewConfigVersion {
        hash: version.hash.clone(),
        body: version.body.clone(),
        origin: file.as_ref().map_or_else(|| "built in".to_owned(), |file| file.display().to_string()),
        note: None,
        scripts: scripts.collect(),
    }
}

/// Records what came into force, what waits, and tells of both.
///
/// # Errors
/// If the ledger cannot be written.
pub fn record(
    tx: &Transaction<'_>,
    admitted: &Admitted,
    told: &[Change],
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let mut new = version_of(&admitted.now);
    new.note = versions::waiting(tx)?
        .filter(|waiting| waiting.hash == new.hash)
        .and_then(|waiting| waiting.confirmed_by)
        .map(|person| format!("confirmed by {person}"));
    let number = versions::record(tx, &new, now)?;
    if !told.is_empty() {
        let subject = format!("the configuration is version {number} now: {}", in_short(told));
        event::record(tx, &Event::new(now, EventLevel::Info, "configuration.changed", subject.clone()))?;
        let alert = Alert::new(AlertEvent::ConfigurationChanged, subject).with_body(lines(told));
        alert::raise(tx, None, &alert, routes, now)?;
    }
    match &admitted.waits {
        Some(waits) => {
            if versions::set_waiting(tx, &waits.whole.version.hash, &waits.limits, waits.session, now)? {
                tell_waits(tx, &admitted.now, waits, routes, now)?;
            }
        }
        None => {
            versions::clear_waiting(tx)?;
        }
    }
    Ok(())
}

fn tell_waits(
    tx: &Transaction<'_>,
    in_force: &Configuration,
    waits: &Waits,
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let told = changes(&in_force.version.body, &waits.whole.version.body)?;
    let until = match in_force.settings.risk.loosening {
        Loosening::NextSession => "the next session",
        Loosening::Confirm => "a person to confirm it",
    };
    let subject = format!("what loosens a limit while the market is open waits for {until}: {}", in_short(&told));
    event::record(tx, &Event::new(now, EventLevel::Info, "configuration.waits", subject.clone()))?;
    let alert = Alert::new(AlertEvent::ConfigurationWaits, subject).with_body(lines(&told));
    alert::raise(tx, None, &alert, routes, now)?;
    Ok(())
}

/// Tells that what was read does not come into force.
///
/// # Errors
/// If the ledger cannot be written.
pub fn record_refusal(tx: &Transaction<'_>, reason: &str, routes: &Routes, now: Timestamp) -> Result<(), LedgerError> {
    let problems = reason.lines().count();
    let first = reason.lines().next().unwrap_or_default();
    let subject = match problems {
        0 | 1 => format!("the configuration stays as it was: {first}"),
        _ => format!("the configuration stays as it was: {}", counted(problems, "thing is wrong", "things are wrong")),
    };
    event::record(tx, &Event::new(now, EventLevel::Warning, "configuration.refused", subject.clone()))?;
    let alert = Alert::new(AlertEvent::ConfigurationRefused, subject).with_body(reason);
    alert::raise(tx, None, &alert, routes, now)?;
    Ok(())
}

/// Everything that two configurations differ in: settings, then jobs.
///
/// # Errors
/// If one of them is not what the ledger keeps of settings.
pub fn differences(before: &Configuration, after: &Configuration) -> Result<Vec<Change>, serde_json::Error> {
    let mut told = changes(&before.version.body, &after.version.body)?;
    told.extend(job_changes(&before.jobs, &after.jobs));
    Ok(told)
}

/// What of these changes cannot come into force while the process runs, a line each; `None` if all can.
#[must_use]
pub fn fixed(told: &[Change]) -> Option<String> {
    let fixed: Vec<String> = told
        .iter()
        .filter_map(|change| {
            Some(format!("{change} cannot change while the scheduler runs: {}", change.fixed_because()?))
        })
        .collect();
    (!fixed.is_empty()).then(|| format!("{}; restart it, or take the change back", fixed.join("\n")))
}

/// What waits, if it may come into force now: another session has begun or the market is closed, or a person has
/// confirmed it.
///
/// # Errors
/// If the ledger cannot be read.
pub fn due(
    conn: &Connection,
    standing: &Standing,
    session: Option<SessionDate>,
) -> Result<Option<Admitted>, LedgerError> {
    let Some(whole) = &standing.waits else { return Ok(None) };
    let waiting = versions::waiting(conn)?;
    let admitted = admit(Some(&standing.in_force.settings), whole.clone(), waiting.as_ref(), session);
    Ok(admitted.ok().filter(|admitted| admitted.waits.is_none()))
}

fn in_short(told: &[Change]) -> String {
    if told.len() > NAMED_MAX {
        return counted(told.len(), "change", "changes");
    }
    told.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn lines(told: &[Change]) -> String {
    told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
