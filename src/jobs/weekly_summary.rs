//! Sums up an ended week, and has it mailed.
//!
//! Gathers: the reports of its sessions, its entries with the prices that their signals saw, the versions of the
//! configuration, how much was watched. Decides: [`WeekReport::build`]. The mail is rendered from the decision when it
//! is sent.

use anyhow::Context;
use async_trait::async_trait;
use daybook_core::calendar::Calendar;
use daybook_core::decision::Decision;
use daybook_core::report::{ConfigChange, WeekFacts, WeekReport};
use daybook_core::time::{SessionDate, Timestamp};

use crate::config::changes;
use crate::engine::job::{Job, Sources, Terms};
use crate::ledger::settings::ConfigVersion;
use crate::ledger::week::{self, WeekRows};
use crate::ledger::{Ledger, LedgerError};

/// The job of kind `weekly-summary`.
#[derive(Debug)]
pub struct WeeklySummary;

#[async_trait]
impl Job for WeeklySummary {
    type Facts = WeekFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<WeekFacts> {
        let session = terms.session()?;
        Ok(facts(&sources.ledger, &sources.calendar, session.date, sources.clock.wall())?)
    }

    fn decide(&self, facts: &WeekFacts, _terms: &Terms) -> anyhow::Result<Decision> {
        let report = WeekReport::build(facts.clone()).context("adding up the week")?;
        let report = report.context("no session of the week has a report yet")?;
        let alert = report.alert();
        Ok(Decision { summary: alert.subject.clone(), alerts: vec![alert], week: Some(report), ..Decision::default() })
    }
}

/// Everything that the report of a date's week is made of, as the ledger has it now.
///
/// # Errors
/// If the ledger cannot be read.
pub fn facts(
    ledger: &Ledger,
    calendar: &Calendar,
    date: SessionDate,
    now: Timestamp,
) -> Result<WeekFacts, LedgerError> {
    let WeekRows { days, entries, versions, watch } =
        ledger.read(|conn| week::rows(conn, &ledger.meta().account, date))?;
    Ok(WeekFacts {
        as_of: now,
        unreported: WeekReport::unreported(&days, date, calendar),
        days,
        entries,
        // The first version of all changes nothing.
        changes: versions.iter().filter_map(|(before, version)| Some(change(before.as_ref()?, version))).collect(),
        watch,
    })
}

fn change(before: &ConfigVersion, version: &ConfigVersion) -> ConfigChange {
    // What another version of the program has written may not be comparable: that it came into force is told anyway.
    let told = changes(&before.body, &version.body).unwrap_or_default();
    ConfigChange {
        version: version.config_version_id,
        at: version.recorded_at,
        what: told.iter().map(ToString::to_string).collect(),
        note: version.note.clone(),
    }
}
