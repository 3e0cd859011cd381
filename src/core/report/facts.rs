use serde::{Deserialize, Serialize};

use crate::calendar::Session;
use crate::decision::{Candidate, EquityPoint, Review};
use crate::money::Money;
use crate::portfolio::Position;
use crate::risk::Halt;
use crate::time::Timestamp;

/// Everything that the report of a session is made of, as plain rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayFacts {
    /// When the facts were gathered.
    pub as_of: Timestamp,
    /// The session they are about.
    pub session: Session,
    /// The one after it; `None` where the calendar ends.
    pub next_session: Option<Session>,
    /// Equity at the session's open.
    pub opening_equity: Money,
    /// The account's figures through the session, in order; the last are the closing ones.
    pub equity: Vec<EquityPoint>,
    /// What the session's executions come to by now; `None` in facts of a program that did not gather it.
    #[serde(default)]
    pub booked: Option<SessionResult>,
    /// The result that an earlier report of the session told; `None` for its first one.
    #[serde(default)]
    pub reported: Option<Money>,
    /// Positions that were closed in the session, and those that are open at `as_of`.
    pub positions: Vec<Position>,
    /// Every signal of the session with risk's answer, in order.
    pub reviews: Vec<DatedReview>,
    /// The last scan's choice, best first.
    pub candidates: Vec<Candidate>,
    /// The limits in force.
    pub limits: DayLimits,
    /// Latches that held at some time of the session, in the order in which they were set.
    pub halts: Vec<DayHalt>,
    /// What went wrong, in order.
    pub faults: Vec<Fault>,
    /// How much was done.
    pub counts: DayCounts,
}

/// What a session has brought by its executions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionResult {
    /// Realised, before fees.
    pub realised: Money,
    /// Commission and fees.
    pub fees: Money,
}

/// A signal with risk's answer, and when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedReview {
    /// When the run decided.
    pub at: Timestamp,
    /// The signal and the answer.
    pub review: Review,
}

/// The limits that a day is held against; none is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayLimits {
    /// The most that a day may lose.
    pub day_loss: Money,
    /// The most positions at once.
    pub positions: u32,
    /// The most that one position may be worth when it is opened.
    pub position_value: Money,
    /// The most that all positions together may be worth; `None` without such a limit.
    pub exposure: Option<Money>,
    /// How often one position's stop may be moved.
    pub adjustments: u32,
}

/// A latch that held in the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayHalt {
    /// What was set, why and when.
    pub halt: Halt,
    /// When it was cleared, if it was.
    pub cleared_at: Option<Timestamp>,
    /// Who or what cleared it.
    pub cleared_by: Option<String>,
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A run failed and was, or will be, tried again.
    RunFailed,
    /// A run was given up.
    RunDead,
    /// A slot's window ended before it could run.
    RunExpired,
    /// Slots passed while nothing was there to run them.
    RunMissed,
    /// The feed failed or was late.
    Feed,
    /// The broker failed, or an order's outcome was unknown for a time.
    Broker,
    /// The ledger and the broker did not agree.
    Reconcile,
    /// A part of the process had to be started again.
    Component,
    /// A message could not be delivered.
    Delivery,
}

impl FaultKind {
    /// What a person calls it: `run failed`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::RunFailed => "run failed",
            Self::RunDead => "run given up",
            Self::RunExpired => "run expired",
            Self::RunMissed => "slots missed",
            Self::Feed => "feed",
            Self::Broker => "broker",
            Self::Reconcile => "reconcile",
            Self::Component => "component",
            Self::Delivery => "delivery",
        }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it happened first.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: FaultKind,
    /// The job, symbol or part that it concerns: `analysis`, `AAPL`.
    pub subject: String,
    /// What happened, in one line.
    pub detail: String,
    /// How often; at least 1.
    pub times: u32,
}

/// How much was done in a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCounts {
    /// Slots that were due.
    pub slots: u32,
    /// Runs that finished.
    pub runs: u32,
    /// Orders sent.
    pub orders: u32,
    /// Executions.
    pub fills: u32,
}
