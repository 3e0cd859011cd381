//! Invariants 1 to 4: slots, runs and epochs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Invariant, LedgerView, RunRow, instant};
use crate::risk::{HaltKind, STEP_BACK_MAX};
use crate::time::Timestamp;

pub(super) fn check(view: &LedgerView, findings: &mut Findings) {
    one_run_per_slot(view, findings);
    runs_have_their_times(view, findings);
    slots_accounted(view, findings);
    epoch_never_falls(view, findings);
}

fn one_run_per_slot(view: &LedgerView, findings: &mut Findings) {
    let mut seen: BTreeMap<(&str, Timestamp), i64> = BTreeMap::new();
    for run in &view.runs {
        if let Some(other) = seen.insert((&run.job, run.slot), run.run_id) {
            let found = format!("{} has the slot {} of run {other} too", run.job, run.slot);
            findings.add(Invariant::OneRunPerSlot, at(run), found);
        }
    }
}

fn runs_have_their_times(view: &LedgerView, findings: &mut Findings) {
    for run in &view.runs {
        if run.is_final != run.finished_at.is_some() {
            let found = format!("final: {}, but finished: {}", run.is_final, instant(run.finished_at));
            findings.add(Invariant::RunHasItsTimes, at(run), found);
        }
        if let (Some(decided), Some(finished)) = (run.decided_at, run.finished_at)
            && finished < decided
        {
            findings.add(
                Invariant::RunHasItsTimes,
                at(run),
                format!("finished at {finished}, before it decided at {decided}"),
            );
        }
    }
}

fn slots_accounted(view: &LedgerView, findings: &mut Findings) {
    let horizons: BTreeMap<&str, Timestamp> = view.jobs.iter().map(|job| (job.name.as_str(), job.horizon)).collect();
    for run in view.runs.iter().filter(|run| run.is_scheduled) {
        match horizons.get(run.job.as_str()) {
            Some(horizon) if run.slot <= *horizon => {}
            Some(horizon) => findings.add(
                Invariant::SlotsAccounted,
                at(run),
                format!("slot {} lies beyond the horizon {horizon} of {}", run.slot, run.job),
            ),
            None => findings.add(Invariant::SlotsAccounted, at(run), format!("there is no job {}", run.job)),
        }
    }
    let runs: BTreeSet<(&str, Timestamp)> = view.runs.iter().map(|run| (run.job.as_str(), run.slot)).collect();
    for expected in &view.slots {
        let is_up_to_horizon = horizons.get(expected.job.as_str()).is_some_and(|horizon| expected.slot <= *horizon);
        let was_missed = || {
            view.missed
                .iter()
                .any(|gap| gap.job == expected.job && gap.from <= expected.slot && expected.slot <= gap.to)
        };
        if is_up_to_horizon && !runs.contains(&(expected.job.as_str(), expected.slot)) && !was_missed() {
            let found = "no run and no missed range holds this slot".to_owned();
            findings.add(Invariant::SlotsAccounted, format!("{} {}", expected.job, expected.slot), found);
        }
    }
}

fn epoch_never_falls(view: &LedgerView, findings: &mut Findings) {
    // Run ids are given in the order in which rows were written, but slots are decided in another; the
    // instant of the decision is the order that counts. A clock that went back makes no violation: of
    // two runs that decided at one instant either may be first, and time that was lived twice says nothing.
    let mut decided: Vec<(Timestamp, i64, &RunRow)> =
        view.runs.iter().filter_map(|run| Some((run.decided_at?, run.epoch?, run))).collect();
    decided.sort_by_key(|(decided_at, epoch, run)| (*decided_at, *epoch, run.run_id));
    let lived_twice = |at: Timestamp| {
        let steps = view.halts.iter().filter(|halt| halt.kind == HaltKind::ClockStep);
        steps.into_iter().any(|halt| halt.since <= at && halt.until.is_some_and(|until| at <= until))
    };
    let (mut highest, mut since) = (i64::MIN, Timestamp(i64::MIN));
    for (decided_at, epoch, run) in decided {
        if epoch > highest {
            (highest, since) = (epoch, decided_at);
        }
        if epoch < highest && decided_at > since.after(STEP_BACK_MAX) && !lived_twice(decided_at) {
            findings.add(
                Invariant::EpochNeverFalls,
                at(run),
                format!("decided at {decided_at} under epoch {epoch}, after epoch {highest} had decided"),
            );
        }
    }
}

fn at(run: &RunRow) -> String {
    format!("run {}", run.run_id)
}
