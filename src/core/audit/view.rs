use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::calendar::Session;
use crate::decision::EquityPoint;
use crate::market::Symbol;
use crate::money::{Money, Quantity};
use crate::order::{Fill, IntentState, Order, OrderStatus, Purpose};
use crate::portfolio::Position;
use crate::risk::HaltKind;
use crate::schedule::JobKind;
use crate::time::{SessionDate, Span, Timestamp};

/// The rows of a ledger, as the audit reads them. No order is expected of any of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerView {
    /// When the rows were read.
    pub as_of: Timestamp,
    /// How long shares may lie without a stop: a monitor's period, and what a decision takes to reach the broker.
    pub unprotected_limit: Span,
    /// The sessions that the rows cover.
    pub sessions: Vec<Session>,
    /// Table `job`.
    pub jobs: Vec<JobRow>,
    /// Table `run`.
    pub runs: Vec<RunRow>,
    /// Table `missed_range`.
    pub missed: Vec<MissedRow>,
    /// Slots that the schedules name up to each job's horizon; empty where the definitions have changed since.
    pub slots: Vec<ExpectedSlot>,
    /// Tables `signal` and `verdict`.
    pub signals: Vec<SignalRow>,
    /// Table `intent`.
    pub intents: Vec<IntentRow>,
    /// Table `broker_order`.
    pub orders: Vec<OrderRow>,
    /// Table `broker_order_event`.
    pub order_events: Vec<OrderEventRow>,
    /// Table `fill`.
    pub fills: Vec<FillRow>,
    /// Table `position`.
    pub positions: Vec<PositionRow>,
    /// Table `equity`.
    pub equity: Vec<EquityPoint>,
    /// Table `day_report`.
    pub days: Vec<DayRow>,
    /// Table `halt`.
    pub halts: Vec<HaltRow>,
    /// When backups were put in the ledger's place.
    pub restores: Vec<Timestamp>,
}

impl LedgerView {
    /// Symbols in which a stranger's order has opened a position: its owner's to protect, and to hold over night.
    pub(super) fn strangers(&self) -> BTreeSet<Symbol> {
        let strangers = self.positions.iter().filter(|row| row.position.is_strangers());
        strangers.map(|row| row.position.symbol).collect()
    }

    /// The times that a restored backup knows from the broker alone, which tells of orders as they ended, and not of when they
    /// rested: from the last decision before the restore to the first reconcile after it.
    pub(super) fn unseen(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.restores.iter().map(|&restored| {
            let decided = self.runs.iter().filter_map(|run| run.decided_at).filter(|at| *at < restored).max();
            let reconciles = self.runs.iter().filter(|run| run.kind == JobKind::Reconcile);
            let compared = reconciles.filter_map(|run| run.finished_at).filter(|at| *at >= restored).min();
            (decided.unwrap_or(restored), compared.unwrap_or(self.as_of))
        })
    }
}

/// A job and how far its slots are accounted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// Every slot up to here has a run or lies in a missed range.
    pub horizon: Timestamp,
}

/// A run of a job for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its key.
    pub run_id: i64,
    /// The job.
    pub job: String,
    /// What the job does.
    pub kind: JobKind,
    /// The slot.
    pub slot: Timestamp,
    /// Whether the schedule made it due, rather than a person or the boot.
    pub is_scheduled: bool,
    /// The session it belongs to.
    pub session: Option<SessionDate>,
    /// Whether its state is a final one.
    pub is_final: bool,
    /// The epoch under which it was claimed last.
    pub epoch: Option<i64>,
    /// When it decided.
    pub decided_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// An outage in which slots went by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRow {
    /// The job.
    pub job: String,
    /// The first slot missed.
    pub from: Timestamp,
    /// The last slot missed.
    pub to: Timestamp,
}

/// A slot that a job's schedule names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSlot {
    /// The job.
    pub job: String,
    /// The instant.
    pub slot: Timestamp,
}

/// A signal and the verdict on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalRow {
    /// Its key.
    pub signal_id: i64,
    /// What it is about.
    pub symbol: Symbol,
    /// What risk said; `None` if there is no such row.
    pub verdict: Option<VerdictRow>,
}

/// What of a verdict binds an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRow {
    /// Shares that may be ordered; `None` if the signal was refused.
    pub approved: Option<Quantity>,
}

/// What an intent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentAction {
    /// Sends an order.
    Submit,
    /// Cancels one.
    Cancel,
    /// Moves a stop.
    ReplaceStop,
    /// Closes what is there.
    Close,
}

/// An intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRow {
    /// Its key.
    pub intent_id: i64,
    /// Why it exists.
    pub purpose: Purpose,
    /// What it does.
    pub action: IntentAction,
    /// The key of its order, if it sends one.
    pub client_order_id: Option<String>,
    /// The symbol.
    pub symbol: Symbol,
    /// Shares, for a submitted order.
    pub quantity: Option<Quantity>,
    /// The signal that it enters on.
    pub signal_id: Option<i64>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// After this it must not be sent.
    pub valid_until: Option<Timestamp>,
    /// When it was sent first.
    pub submitted_at: Option<Timestamp>,
    /// Where it stands.
    pub state: IntentState,
}

/// An order as the broker showed it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// The order.
    pub order: Order,
    /// The intent behind it; `None` if it was not decided in this ledger. A leg has its parent's.
    pub intent_id: Option<i64>,
}

/// A change of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEventRow {
    /// Its order.
    pub broker_order_id: String,
    /// Where the order stood from then on.
    pub status: OrderStatus,
    /// Shares filled by then.
    pub filled: Quantity,
    /// When, by the broker's word.
    pub at: Timestamp,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillRow {
    /// What was executed.
    pub fill: Fill,
    /// What it realised, before its fee.
    pub realised: Money,
    /// The session it traded in.
    pub session: SessionDate,
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRow {
    /// Its key.
    pub position_id: i64,
    /// The position.
    pub position: Position,
}

/// An ended session in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// The session.
    pub session: SessionDate,
    /// Equity at its open.
    pub opening_equity: Money,
    /// Equity after its close.
    pub closing_equity: Money,
    /// Realised, before fees.
    pub realised: Money,
    /// Not realised by the end.
    pub unrealised: Money,
    /// Commission and fees.
    pub fees: Money,
}

/// A latch, from when it was set until it was cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltRow {
    /// Why entries were stopped.
    pub kind: HaltKind,
    /// When it was set.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// When it was cleared.
    pub cleared_at: Option<Timestamp>,
}
