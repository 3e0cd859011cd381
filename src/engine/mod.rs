//! Runs jobs: plans their slots, claims their runs, commits their decisions, sends their effects.
//!
//! ```text
//! planner: what is due?  ──►  runner: gather ─► decide ─► commit  ──►  dispatcher: send, by key
//!        ledger::run::look                          one transaction             ledger::trading
//! ```
//!
//! The ledger decides what is due; the [`driver`] only looks, at the latest once a second. A run takes
//! no hints from a former life of the process, so a restart and an ordinary minute are one path.

pub mod audit;
pub mod broker_link;
pub mod bus;
pub mod chat;
mod chores;
pub mod commands;
pub mod dispatcher;
pub mod driver;
pub mod follower;
pub mod health;
pub mod job;
pub mod models;
mod news;
pub mod reload;
mod runner;
pub mod supervisor;
pub mod verify;
pub mod waker;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use daybook_core::schedule::{JobDefinition, JobKind};

use self::bus::Bus;
use self::dispatcher::Dispatcher;
use self::job::{AnyJob, Sources};
use self::supervisor::Failures;
use crate::config::Settings;
use crate::ledger::alert::Routes;
use crate::outbox::Outbox;

/// The decisions of every kind of job.
pub type JobTable = BTreeMap<JobKind, Arc<dyn AnyJob>>;

/// How runs are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// Each in a task of its own, beside the others: on the system's clock.
    Concurrent,
    /// One after another, in the order in which they were claimed: on a simulated clock, where it
    /// makes two runs of the same days the same.
    InTurn,
}

/// Everything that the engine is made of; the binaries put it together.
#[derive(Clone)]
pub struct Parts {
    /// Where facts come from.
    pub sources: Sources,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// Their hash, which every run carries.
    pub config_hash: Arc<str>,
    /// The jobs in force.
    pub definitions: Arc<[JobDefinition]>,
    /// Those whose runs this process claims, and plans where they are enabled here: all of them, except
    /// in a process that does one thing.
    pub claimed: Arc<[JobDefinition]>,
    /// What each kind of job does.
    pub jobs: Arc<JobTable>,
    /// The ledger's identity.
    pub ledger_id: Arc<str>,
    /// The lease under which this process writes.
    pub epoch: i64,
    /// The channels that are told, and of what.
    pub routes: Arc<Routes>,
    /// Sends what stands in the outbox.
    pub outbox: Arc<Outbox>,
    /// The folder for copies of the ledger.
    pub backups: Arc<Path>,
    /// Where it says what happens.
    pub bus: Bus,
    /// Which of the tasks beside the driver have failed for good.
    pub failures: Failures,
    /// After how many deaths of the process in a slot the slot is given up; `None`: never, where nobody but a
    /// person starts the process again, and the same days must come out the same.
    pub crash_attempts_max: Option<u32>,
    /// How runs are executed.
    pub execution: Execution,
    /// Whether the clock is a simulated one: then its position is a row, and nothing of the machine is,
    /// so that the same days twice are the same rows.
    pub simulated: bool,
}

impl Parts {
    fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(self.sources.clone(), self.routes.clone(), self.execution)
    }

    fn definition(&self, job: &str) -> Option<&JobDefinition> {
        self.definitions.iter().find(|definition| definition.name == job)
    }
}
