//! Which slots become runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::job::CATCH_UP_MAX;
use super::series::Backlog;
use super::{CatchUp, JobDefinition, Pace, Slot, next_slot_after};
use crate::calendar::Calendar;
use crate::time::{SessionDate, Timestamp};

/// What the planner looks at.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The job.
    pub definition: &'a JobDefinition,
    /// The exchange's sessions.
    pub calendar: &'a Calendar,
    /// How often adaptive jobs run at present.
    pub pace: Pace,
    /// Up to where the job's slots are accounted for.
    pub horizon: Timestamp,
    /// The present instant.
    pub now: Timestamp,
}

/// What becomes of the slots in `(horizon, now]`. Those in `due` and those counted by `missed` are all
/// of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The slots that become runs, in order.
    pub due: Vec<PlannedSlot>,
    /// The slots that do not; all of them are older than those that are due.
    pub missed: Option<MissedRange>,
    /// Up to where slots are accounted for now; never before the horizon that was given.
    pub horizon: Timestamp,
    /// When to look again: the first slot after the horizon.
    pub next_slot: Option<Timestamp>,
}

/// A slot that becomes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSlot {
    /// The instant at which it is due.
    pub at: Timestamp,
    /// The session that it belongs to.
    pub session: Option<SessionDate>,
    /// From this instant on it must not start any more.
    pub expires_at: Timestamp,
}

/// Slots that nobody ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRange {
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub to: Timestamp,
    /// How many they are.
    pub slots: u64,
    /// Why the last of them did not run.
    pub reason: MissedReason,
}

/// Why a slot did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedReason {
    /// Its window was over.
    Expired,
    /// The job runs the newest slot only, and a newer one was due.
    Superseded,
    /// More slots were due than are caught up.
    OverLimit,
}

impl MissedReason {
    /// `expired`, `superseded` or `over_limit`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::OverLimit => "over_limit",
        }
    }
}

impl fmt::Display for MissedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl CatchUp {
    /// The most slots that become runs, and why older ones do not.
    fn bound(self) -> (usize, MissedReason) {
        let many = |slots: u32| (usize::try_from(slots).unwrap_or(usize::MAX), MissedReason::OverLimit);
        match self {
            Self::Latest | Self::MustRun => (1, MissedReason::Superseded),
            Self::All(slots) => many(slots),
            Self::None => many(CATCH_UP_MAX),
        }
    }
}

/// Accounts for the slots in `(horizon, now]` of one job.
///
/// The newest slots that are still in their windows become runs, as many as the job catches up; what
/// lies before them is one missed range. Windows end in the order of their slots, so there is nothing
/// in between. A job that is not enabled has no slots. A clock that was set back leaves the horizon
/// where it is, and nothing is due until the clock has passed it again.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let PlanInput { definition, calendar, pace, horizon, now } = *input;
    let schedule = &definition.schedule;
    let reached = horizon.max(now);
    if !definition.enabled {
        return Plan { due: Vec::new(), missed: None, horizon: reached, next_slot: None };
    }
    let next_slot = next_slot_after(schedule, calendar, pace, horizon).map(|slot| slot.at);
    if next_slot.is_none_or(|next| next > now) {
        return Plan { due: Vec::new(), missed: None, horizon: reached, next_slot };
    }
    let (due_max, beyond) = definition.catch_up.bound();
    // One more than can be due: the newest missed slot ends the range.
    let backlog = Backlog::of(schedule, calendar, pace, (horizon, now), due_max.saturating_add(1));
    let in_window = |slot: &Slot| {
        let expires_at = definition.window.expires_at(*slot, schedule, calendar, pace);
        (expires_at > now).then_some(PlannedSlot { at: slot.at, session: slot.session, expires_at })
    };
    let mut due: Vec<PlannedSlot> = backlog.newest.iter().rev().take(due_max).map_while(in_window).collect();
    due.reverse();

    let mut before_due = backlog.newest.iter().rev().skip(due.len());
    let missed = backlog.first.zip(before_due.next()).map(|(from, newest)| MissedRange {
        from,
        to: newest.at,
        slots: backlog.count - due.len() as u64,
        reason: if in_window(newest).is_some() { beyond } else { MissedReason::Expired },
    });
    let next_slot = next_slot_after(schedule, calendar, pace, reached).map(|slot| slot.at);
    Plan { due, missed, horizon: reached, next_slot }
}
