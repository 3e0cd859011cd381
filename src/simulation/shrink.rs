//! The shortest life that still fails.

use std::path::Path;
use std::sync::Arc;

use daybook_core::calendar::Calendar;

use super::plan::Plan;
use super::{FaultId, Life, Outcome, Shrunk, lived};
use crate::config::Configuration;

/// Lives that are tried at most: a failure that needs many faults at once is shown with those that are left then.
const TRIES_MAX: usize = 60;

/// Tries lives, each in a folder of its own.
struct Trial<'a> {
    configuration: &'a Configuration,
    calendar: &'a Calendar,
    folder: &'a Path,
    told: &'a dyn Fn(usize),
    /// How the life failed: another failure is another matter.
    kind: String,
    tried: usize,
    best: (Life, Outcome),
}

impl Trial<'_> {
    /// Lives a shorter life, and keeps it if it fails in the same way.
    fn keeps(&mut self, life: Life) -> anyhow::Result<bool> {
        if self.tried == TRIES_MAX {
            return Ok(false);
        }
        self.tried += 1;
        (self.told)(self.tried);
        let folder = self.folder.join(format!("try-{}", self.tried));
        let plan = Plan::draw(&life, self.calendar)?;
        let outcome = lived(self.configuration, &plan, &folder, &(Arc::new(|_| {}) as super::OnDay))?;
        std::fs::remove_dir_all(&folder)?;
        let fails = outcome.failure.as_ref().is_some_and(|failure| failure.kind == self.kind);
        if fails {
            self.best = (life, outcome);
        }
        Ok(fails)
    }

    fn faults(&self) -> anyhow::Result<Vec<FaultId>> {
        Ok(Plan::draw(&self.best.0, self.calendar)?.faults.iter().map(|fault| fault.id).collect())
    }

    /// A life of the sessions from one place of the best one's to another.
    fn of_sessions(&self, from: usize, count: usize) -> anyhow::Result<Life> {
        let (life, _) = &self.best;
        let plan = Plan::draw(life, self.calendar)?;
        let kept: Vec<_> = plan.sessions.iter().skip(from).take(count).map(|session| session.date).collect();
        let only =
            life.only.as_ref().map(|only| only.iter().filter(|id| kept.contains(&id.session)).copied().collect());
        Ok(Life { days: kept.len(), from: kept.first().copied(), only, ..life.clone() })
    }
}

pub(super) fn shrink(
    configuration: &Configuration,
    calendar: &Calendar,
    life: &Life,
    failed: &Outcome,
    folder: &Path,
    told: &dyn Fn(usize),
) -> anyhow::Result<Shrunk> {
    let kind = failed.failure.as_ref().map_or_else(String::new, |failure| failure.kind.clone());
    let best = (life.clone(), failed.clone());
    let mut trial = Trial { configuration, calendar, folder, told, kind, tried: 0, best };
    fewer_sessions(&mut trial)?;
    fewer_faults(&mut trial)?;
    // Without the faults fewer sessions may do.
    fewer_sessions(&mut trial)?;
    let Trial { best: (life, outcome), tried, .. } = trial;
    Ok(Shrunk { life, outcome, tried })
}

/// Leaves out the sessions after the failure, and then as many before it as it goes.
fn fewer_sessions(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    let (life, outcome) = &trial.best;
    let plan = Plan::draw(life, trial.calendar)?;
    let failed_at = outcome.failure.as_ref().map(|failure| failure.at);
    let needed =
        plan.sessions.iter().filter(|session| failed_at.is_none_or(|at| session.pre_open <= at)).count().max(1);
    if needed < life.days {
        let shorter = trial.of_sessions(0, needed)?;
        trial.keeps(shorter)?;
    }
    // The last one alone is the likeliest; then half of what is left, and half of that.
    let mut skipped = trial.best.0.days.saturating_sub(1);
    while skipped > 0 {
        let days = trial.best.0.days;
        let later = trial.of_sessions(skipped, days - skipped)?;
        if trial.keeps(later)? {
            skipped = trial.best.0.days.saturating_sub(1);
        } else {
            skipped /= 2;
        }
    }
    Ok(())
}

/// Leaves out faults: all of them, then halves, then smaller and smaller parts (delta debugging, Zeller 1999).
fn fewer_faults(trial: &mut Trial<'_>) -> anyhow::Result<()> {
    let none = Life { only: Some(Vec::new()), ..trial.best.0.clone() };
    if trial.faults()?.is_empty() || trial.keeps(none)? {
        return Ok(());
    }
    let mut parts = 2;
    loop {
        let faults = trial.faults()?;
        if faults.len() < 2 {
            return Ok(());
        }
        parts = parts.min(faults.len());
        let size = faults.len().div_ceil(parts);
        let mut shorter = false;
        for number in 0..parts {
            let without: Vec<FaultId> =
                faults.iter().enumerate().filter(|(place, _)| place / size != number).map(|(_, id)| *id).collect();
            if without.len() < faults.len() && trial.keeps(Life { only: Some(without), ..trial.best.0.clone() })? {
                shorter = true;
                break;
            }
        }
        match shorter {
            true => parts = parts.saturating_sub(1).max(2),
            false if parts == faults.len() => return Ok(()),
            false => parts *= 2,
        }
    }
}
