//! Decides recorded runs again and compares.

use std::sync::Arc;

use anyhow::Context;
use daybook_core::calendar::Calendar;
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;

use super::JobTable;
use super::job::Terms;
use crate::config::Settings;
use crate::ledger::record::{self, BarsRead, RecordedRun};
use crate::ledger::{Ledger, script, settings as versions};

/// A run whose recorded decision does not follow from its recorded facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its row.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// When it was due.
    pub slot: Timestamp,
    /// What differs.
    pub what: String,
}

/// What came of deciding again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Runs that were decided again.
    pub runs: u64,
    /// Runs whose record has been pruned: they cannot be decided again.
    pub pruned: u64,
    /// Those that came out otherwise.
    pub differences: Vec<Difference>,
}

/// Decides every recorded run again, or those of one session.
///
/// # Errors
/// If the ledger cannot be read. A run that cannot be decided again is a difference, not an error.
pub fn verify(
    ledger: &Ledger,
    jobs: &JobTable,
    calendar: &Calendar,
    session: Option<SessionDate>,
    mut progress: impl FnMut(u64, u64),
) -> anyhow::Result<Verified> {
    let ledger_id = &ledger.meta().ledger_id;
    let ids = ledger.read(|conn| record::decided_runs(conn, session))?;
    let total = ids.len() as u64;
    let mut verified = Verified::default();
    let mut settings: Option<(String, Arc<Settings>)> = None;
    let mut bars = BarsRead::default();
    for (done, run_id) in (0..).zip(ids) {
        progress(done, total);
        let Some(recorded) = ledger.read(|conn| record::recorded(conn, run_id, &mut bars))? else {
            verified.pruned += 1;
            continue;
        };
        let hash = recorded.settings_hash.clone();
        if settings.as_ref().is_none_or(|(known, _)| *known != hash) {
            let read = Arc::new(settings_of(ledger, &hash)?);
            settings = Some((hash, read));
        }
        let Some((_, settings)) = &settings else { continue };
        verified.runs += 1;
        if let Err(error) = decide_again(jobs, calendar, ledger_id, settings.clone(), &recorded) {
            verified.differences.push(Difference {
                run_id,
                job: recorded.job.clone(),
                slot: recorded.slot,
                what: format!("{error:#}"),
            });
        }
    }
    Ok(verified)
}

/// The settings that a run was decided under, with the scripts as they were.
///
/// # Errors
/// If they are not recorded, or are not such as this program reads.
pub fn settings_of(ledger: &Ledger, hash: &str) -> anyhow::Result<Settings> {
    let version = ledger.read(|conn| versions::by_hash(conn, hash))?;
    let version = version.with_context(|| format!("configuration version {hash} is not recorded"))?;
    let mut settings: Settings = serde_json::from_str(&version.body)
        .with_context(|| format!("configuration version {hash} is not one that this program reads"))?;
    for (name, settings) in &mut settings.strategies.scripts {
        let Some(sha256) = &settings.sha256 else { continue };
        let text = ledger.read(|conn| script::text(conn, sha256))?;
        settings.text = text.with_context(|| format!("the script {sha256} of the strategy {name} is not recorded"))?;
    }
    Ok(settings)
}

/// The terms of a recorded run.
#[must_use]
pub fn terms_of(recorded: &RecordedRun, ledger_id: &str, calendar: &Calendar, settings: Arc<Settings>) -> Terms {
    Terms {
        ledger_id: ledger_id.to_owned(),
        job: recorded.job.clone(),
        slot: recorded.slot,
        session: recorded.session.and_then(|date| calendar.session(date)),
        settings,
        parameters: recorded.parameters.clone(),
    }
}

fn decide_again(
    jobs: &JobTable,
    calendar: &Calendar,
    ledger_id: &str,
    settings: Arc<Settings>,
    recorded: &RecordedRun,
) -> anyhow::Result<()> {
    let job = jobs.get(&recorded.kind).with_context(|| format!("no job of kind {} is built in", recorded.kind))?;
    let terms = terms_of(recorded, ledger_id, calendar, settings);
    let again = serde_json::to_string(&job.decide_again(&recorded.facts, recorded.bars.clone(), &terms)?)?;
    if again == recorded.decision {
        return Ok(());
    }
    let at = again.bytes().zip(recorded.decision.bytes()).take_while(|(left, right)| left == right).count();
    let around = |text: &str| text.chars().skip(at.saturating_sub(40)).take(100).collect::<String>();
    anyhow::bail!("recorded ...{}... but decided ...{}...", around(&recorded.decision), around(&again))
}
