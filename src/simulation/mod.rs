//! A seeded trading life with faults: the whole program, on a simulated clock, market, broker and channel, with
//! everything going wrong that a seed draws; and an audit after every turn.
//!
//! - `plan`: which sessions, and which faults at which instants; all of it follows from the seed;
//! - `world`: what is outside of the process and goes on when the process ends, and the process's lives in it;
//! - `watch`: the audit, which shares no code with what it audits, and the comparison with the broker's own record;
//! - `shrink`: the shortest life that still fails;
//! - `drill`: the emergency stop, the flatten and kills, on a person's own configuration.
//!
//! The same seed is the same life, call by call: a failure is replayed by its command.

mod drill;
mod job;
mod plan;
mod shrink;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daybook_core::calendar::Calendar;
use daybook_core::time::SessionDate;
use serde::Serialize;

pub use drill::{DrillError, Trial, drill};
pub use plan::{Fault, FaultId, PlanError, Profile};
pub use watch::Failure;

use self::plan::Plan;
use crate::adapters::clocks::SystemClock;
use crate::config::Configuration;
use crate::ports::Clock;

/// Is told of each session that begins.
pub type OnDay = Arc<dyn Fn(SessionDate) + Send + Sync>;

/// What is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// What everything is drawn from.
    pub seed: u64,
    /// How many sessions.
    pub days: usize,
    /// What may go wrong.
    pub profile: Profile,
    /// The first session, or the first after this date; `None`: drawn, so that clock changes and half days occur.
    pub from: Option<SessionDate>,
    /// The faults that are left in; `None`: all that were drawn.
    pub only: Option<Vec<FaultId>>,
}

impl Life {
    /// The command that lives this life again.
    #[must_use]
    pub fn command(&self, symbols: u32) -> String {
        let Self { seed, days, profile, from, only } = self;
        let from = from.map_or_else(String::new, |date| format!(" --from {date}"));
        let only = only.as_ref().map_or_else(String::new, |ids| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            if ids.is_empty() { " --only none".to_owned() } else { format!(" --only {}", ids.join(",")) }
        });
        format!(
            "trade simulate --seed {seed} --days {days} --faults {}{from}{only} --symbols {symbols}",
            profile.as_str()
        )
    }
}

/// What a life came to, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Sessions that were lived through.
    pub sessions: u64,
    /// Runs of jobs.
    pub runs: u64,
    /// How often the process died and was started again.
    pub crashes: u64,
    /// How often it ended itself, because its ledger could not be written, and was started again.
    pub restarts: u64,
    /// Orders at the broker, without their legs.
    pub orders: u64,
    /// Executions.
    pub fills: u64,
    /// Positions that were closed.
    pub trades: u64,
    /// Messages to people.
    pub messages: u64,
    /// Audits, the whole ones and the partial ones.
    pub audits: u64,
    /// Faults that struck, by their names.
    pub faults: BTreeMap<String, u64>,
}

impl Figures {
    /// Adds those of another life.
    pub fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.orders += other.orders;
        self.fills += other.fills;
        self.trades += other.trades;
        self.messages += other.messages;
        self.audits += other.audits;
        for (name, count) in &other.faults {
            *self.faults.entry(name.clone()).or_default() += count;
        }
    }
}

/// What became of a life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// In figures.
    pub figures: Figures,
    /// The first promise that was broken.
    pub failure: Option<Failure>,
    /// The faults that were planned, in words, by their names.
    pub faults: Vec<String>,
    /// How long it took.
    #[serde(skip)]
    pub took: Duration,
}

/// A failing life, made as short as it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The shortest life that fails in the same way.
    pub life: Life,
    /// What becomes of it.
    pub outcome: Outcome,
    /// How many lives were tried.
    pub tried: usize,
}

/// Lives a life in `folder`, which must be empty; `day` is told of each session that begins.
///
/// # Errors
/// [`PlanError`] if there are no such sessions or faults; also if the folder cannot be used.
pub fn live(configuration: &Configuration, life: &Life, folder: &Path, day: &OnDay) -> anyhow::Result<Outcome> {
    let calendar = configuration.settings.calendar();
    let plan = Plan::draw(life, &calendar)?;
    lived(configuration, &plan, folder, day)
}

fn lived(configuration: &Configuration, plan: &Plan, folder: &Path, day: &OnDay) -> anyhow::Result<Outcome> {
    let clock = SystemClock::new();
    let world::Lived { figures, failure, .. } = world::live(configuration, plan, folder, day)?;
    let faults = plan.faults.iter().map(ToString::to_string).collect();
    Ok(Outcome { figures, failure, faults, took: clock.monotonic() })
}

/// Makes a failing life shorter for as long as it fails in the same way: fewer sessions, then fewer faults. Each try
/// has a folder of its own below `folder`.
///
/// # Errors
/// If a folder cannot be made or removed.
pub fn shrink(
    configuration: &Configuration,
    life: &Life,
    failed: &Outcome,
    folder: &Path,
    tried: &dyn Fn(usize),
) -> anyhow::Result<Shrunk> {
    let calendar: Calendar = configuration.settings.calendar();
    shrink::shrink(configuration, &calendar, life, failed, folder, tried)
}

/// The ledger of a life that was lived in `folder`.
#[must_use]
pub fn ledger_in(folder: &Path) -> PathBuf {
    folder.join(world::LEDGER)
}
