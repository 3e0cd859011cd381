use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::strategy::Reason;
use crate::time::Timestamp;

/// How far the clock may be set back without a halt, [`HaltKind::ClockStep`].
pub const STEP_BACK_MAX: Duration = Duration::from_secs(60);

/// Why new entries are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltKind {
    /// The day's loss reached its limit: everything is closed, and a person must resume.
    EmergencyStop,
    /// The account fell too far from its peak: a person must resume.
    MaxDrawdown,
    /// A person asked for it.
    Manual,
    /// The broker holds an order of ours under other terms, or a position that the ledger cannot explain.
    Conflict,
    /// Prices have been stale for too long.
    StaleMarks,
    /// The wall clock went back.
    ClockStep,
    /// The softer latch: entries stop until its cool-down is over.
    SafeMode,
}

impl HaltKind {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmergencyStop => "emergency_stop",
            Self::MaxDrawdown => "max_drawdown",
            Self::Manual => "manual",
            Self::Conflict => "conflict",
            Self::StaleMarks => "stale_marks",
            Self::ClockStep => "clock_step",
            Self::SafeMode => "safe_mode",
        }
    }
}

/// A latch that stops new entries. It stands in the ledger until it is cleared or its time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Why.
    pub kind: HaltKind,
    /// Why, in words.
    pub reason: String,
    /// The numbers behind it.
    pub numbers: Vec<Reason>,
    /// When it was set.
    pub since: Timestamp,
    /// When it ends by itself; `None`: when a person resumes.
    pub until: Option<Timestamp>,
}

impl Halt {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
