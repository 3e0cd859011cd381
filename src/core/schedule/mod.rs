//! When jobs are due: the language of `jobs/*.yaml`, its slots, and the planner.
//!
//! A [`Schedule`] is one form or several: `at: close-10m`, `every: 60s`, `bar: 5m`, `adaptive: {...}`,
//! `cron: "30 8 * * MON-FRI"`. A **slot** is an instant at which a job is due, and the slots of any
//! range are a pure function of schedule, calendar and pace: [`slots`]. Ranges may be split anywhere:
//! the slots of `(a, c]` are those of `(a, b]` and then those of `(b, c]`.
//!
//! [`plan`] says which slots of the time since the last look become runs, and which were missed and
//! why. It accounts for every slot, once, and its horizon never goes back. An outage of a week is one
//! range, whatever number of slots lay in it: forms yield arithmetic progressions, not slots, so
//! counting them costs no memory.

mod cron;
mod error;
mod form;
mod job;
mod pacing;
mod plan;
mod policy;
mod series;

use serde::{Deserialize, Serialize};

pub use cron::{Cron, CronDays};
pub use error::{DefinitionError, ScheduleError};
pub use form::{Adaptive, Anchor, At, AtDays, BarClose, During, Every, Form, Schedule};
pub use job::{JobDefinition, JobFile, JobKind};
pub use pacing::Pacing;
pub use plan::{MissedRange, MissedReason, Plan, PlanInput, PlannedSlot, plan};
pub use policy::{CatchUp, Limit, Overlap, Retries, Window};
pub use series::{Slot, next_slot_after, slots, slots_after};

/// How often an adaptive job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// In a volatile market.
    Fast,
    /// In an ordinary one.
    #[default]
    Normal,
    /// In a quiet one.
    Slow,
}

impl Pace {
    /// `fast`, `normal` or `slow`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Normal => "normal",
            Self::Slow => "slow",
        }
    }
}

#[cfg(test)]
mod tests;
