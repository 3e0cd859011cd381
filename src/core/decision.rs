//! A decision: everything that a run's commit writes and its dispatch sends.

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::analysis::{ModelFault, RegimeReading};
use crate::market::Symbol;
use crate::money::{Money, Price};
use crate::order::Intent;
use crate::portfolio::PositionChange;
use crate::reconcile::{Difference, Repair};
use crate::risk::{ApprovalRequest, Halt, HaltKind, Look, Pause, Verdict};
use crate::schedule::Pace;
use crate::strategy::{Reason, ScriptFault, Signal};
use crate::time::{SessionDate, Timestamp};

/// What a job decided for one slot. The same facts give the same decision, byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// One line for a person: `3 candidates of 500 symbols`.
    pub summary: String,
    /// Why what a person asked for is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The symbols a scan chose, best first; they replace the session's earlier ones.
    pub candidates: Option<Vec<Candidate>>,
    /// Each signal with risk's answer.
    pub reviews: Vec<Review>,
    /// What to do at the broker.
    pub intents: Vec<Intent>,
    /// The entries among them that wait for a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRequest>,
    /// Latches to set.
    pub halts: Vec<Halt>,
    /// Latches to clear, because their condition is over.
    pub cleared_halts: Vec<HaltKind>,
    /// Pauses of entries that begin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// Scripts that have failed: they propose nothing more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub script_faults: Vec<ScriptFault>,
    /// Models that gave no score, for the first time in the session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_faults: Vec<ModelFault>,
    /// Changes in the life of positions.
    pub positions: Vec<PositionChange>,
    /// The account's figures at this instant.
    pub equity: Option<EquityPoint>,
    /// What the risk monitor saw, for its next run to compare with.
    pub look: Option<Look>,
    /// What makes the ledger agree with the broker.
    pub repairs: Vec<Repair>,
    /// Positions in which the ledger and the broker differ, for the next reconcile to compare with.
    pub differences: Vec<Difference>,
    /// How often to analyse from now on, and why.
    pub pace: Option<PaceChoice>,
    /// The figures of the ended session, as the digest and `v_day` show them.
    pub day: Option<crate::report::DayReport>,
    /// The figures of the ended week; the week's mail is drawn from them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub week: Option<crate::report::WeekReport>,
    /// What to do outside the broker.
    pub chores: Vec<Chore>,
    /// What a person is told.
    pub alerts: Vec<Alert>,
}

/// Work outside the broker and the ledger's rows. It is done after the commit, and done again if the
/// process dies in the middle: each chore bears that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chore {
    /// Copies the ledger to the backup folder, and removes copies beyond the number to keep.
    Backup { keep: u32 },
    /// Checks the ledger's file and its invariants.
    Check,
    /// Removes the records of runs that ended before this instant and events older than it. Orders,
    /// fills, signals and days are kept for ever.
    Prune { before: Timestamp },
    /// Runs a person's own program, and waits for it.
    Command { program: String, arguments: Vec<String>, timeout_s: u32 },
}

/// A symbol that the scan chose, with what it was ranked by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The symbol.
    pub symbol: Symbol,
    /// 1 is the best.
    pub rank: u32,
    /// What it was ranked by; comparable within one scan only.
    pub score: i64,
    /// The factors, with their numbers.
    pub factors: Vec<Reason>,
}

/// A signal and risk's answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// What a strategy proposed.
    pub signal: Signal,
    /// What risk said.
    pub verdict: Verdict,
    /// The leg of the intent that came of it.
    pub leg: Option<u32>,
}

/// The account at an instant of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquityPoint {
    /// The session it counts to.
    pub session: SessionDate,
    /// When.
    pub at: Timestamp,
    /// Cash and positions at the marks.
    pub equity: Money,
    /// Equity at the session's open; the day's result is measured from it.
    pub opening_equity: Money,
    /// The value of all positions, longs and shorts added.
    pub exposure: Money,
    /// Realised since the open.
    pub realised: Money,
    /// Not yet realised.
    pub unrealised: Money,
    /// Fees since the open.
    pub fees: Money,
}

impl EquityPoint {
    /// The day's result: realised and unrealised, less fees; saturates.
    #[must_use]
    pub fn day_pnl(&self) -> Money {
        Money(self.realised.0.saturating_add(self.unrealised.0).saturating_sub(self.fees.0))
    }
}

/// A pace and the numbers that chose it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceChoice {
    /// Fast, normal or slow: what the market's regime asks for, or slow where nothing changes.
    pub pace: Pace,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What the market is like; absent in decisions of versions that chose the pace alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<RegimeReading>,
    /// Until when the job is backed off from the pace that the regime asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backed_off_until: Option<Timestamp>,
}

impl PaceChoice {
    /// The pace that the market asks for, whether the job is backed off from it or not.
    #[must_use]
    pub fn market_pace(&self) -> Pace {
        self.reading.map_or(self.pace, |reading| reading.regime.pace())
    }
}

/// A price that a position or a signal is valued at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The symbol.
    pub symbol: Symbol,
    /// Its price.
    pub price: Price,
    /// When it was valid.
    pub at: Timestamp,
}
