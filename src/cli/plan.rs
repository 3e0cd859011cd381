//! What the configured jobs have before them.

use std::collections::BTreeMap;

use daybook_core::calendar::Calendar;
use daybook_core::report::words::instant;
use daybook_core::schedule::{JobDefinition, Pacing, Slot};
use daybook_core::time::Timestamp;

use super::Context;
use super::output::{Cell, Column, Table};
use crate::config::Configuration;
use crate::ledger::LedgerError;
use crate::ledger::history::{self, JobState};

/// The configured jobs, with what the ledger knows of them.
pub struct Planned<'a> {
    jobs: &'a [JobDefinition],
    calendar: Calendar,
    states: BTreeMap<String, JobState>,
}

impl<'a> Planned<'a> {
    /// The jobs of a configuration, and what the ledger that is meant knows of them.
    ///
    /// # Errors
    /// If there is a ledger that cannot be read.
    pub fn of(context: &Context, configuration: &'a Configuration) -> Result<Self, LedgerError> {
        let planned = Self::without_ledger(configuration);
        Ok(match context.ledger_if_there(configuration)? {
            Some(ledger) => Self { states: ledger.read(history::jobs)?, ..planned },
            None => planned,
        })
    }

    /// The jobs of a configuration: none is paused and all have the normal pace.
    #[must_use]
    pub fn without_ledger(configuration: &'a Configuration) -> Self {
        Self { jobs: &configuration.jobs, calendar: configuration.settings.calendar(), states: BTreeMap::new() }
    }

    /// The jobs, in the order of their names.
    #[must_use]
    pub const fn jobs(&self) -> &'a [JobDefinition] {
        self.jobs
    }

    /// Whether a person has paused a job.
    #[must_use]
    pub fn is_paused(&self, job: &str) -> bool {
        self.states.get(job).is_some_and(|state| state.paused)
    }

    /// The next slot of a job, if one will run.
    #[must_use]
    pub fn next_of(&self, job: &JobDefinition, from: Timestamp) -> Option<Timestamp> {
        self.slots_of(job, from).next().filter(|_| !self.is_paused(&job.name)).map(|slot| slot.at)
    }

    /// The slots of one job after an instant.
    fn slots_of<'b>(&'b self, job: &'b JobDefinition, from: Timestamp) -> impl Iterator<Item = Slot> + 'b {
        let pacing = self.states.get(&job.name).map_or_else(Pacing::default, |state| state.pacing);
        pacing.slots_after(&job.schedule, &self.calendar, from).take_while(|_| job.enabled)
    }

    /// The slots of all enabled jobs after an instant, in order; of one instant in the order of urgency.
    pub fn slots_after(&self, from: Timestamp) -> impl Iterator<Item = (Slot, &JobDefinition)> {
        let mut series: Vec<_> = self.jobs.iter().map(|job| (job, self.slots_of(job, from).peekable())).collect();
        series.sort_by_key(|(job, _)| job.kind.urgency());
        std::iter::from_fn(move || {
            let soonest = series.iter_mut().filter_map(|(_, slots)| slots.peek().map(|slot| slot.at)).min()?;
            series.iter_mut().find_map(|(job, slots)| Some((slots.next_if(|slot| slot.at == soonest)?, *job)))
        })
    }
}

/// Slots, one a row.
#[must_use]
pub fn slot_table<'a>(slots: impl Iterator<Item = (Slot, &'a JobDefinition)>) -> Table {
    let columns = vec![
        Column::text("slot_utc", "UTC"),
        Column::text("slot_new_york", "NEW YORK"),
        Column::text("job", "JOB"),
        Column::text("kind", "KIND"),
        Column::text("session", "SESSION"),
    ];
    let mut table = Table::new(columns, "no slot");
    for (slot, job) in slots {
        table.push(vec![
            Cell::time(slot.at).shown_as(slot.at),
            Cell::text(instant(slot.at)),
            Cell::text(&job.name),
            Cell::text(job.kind.as_str()),
            slot.session.map_or_else(Cell::empty, Cell::text),
        ]);
    }
    table
}
