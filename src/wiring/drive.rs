//! The driver at work, and everything that works beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Live, Wired, api, chat, dead_man, reload};
use crate::engine::driver::{Driver, Ended, Limits};
use crate::engine::supervisor::supervise;
use crate::engine::waker::Turned;
use crate::engine::{Execution, follower, waker};

/// Runs until the simulation is over or `stop` is asked for.
///
/// # Errors
/// What the ledger could not take.
pub async fn run(
    wired: &Wired,
    stop: CancellationToken,
    on_turn: Arc<dyn Fn() + Send + Sync>,
) -> anyhow::Result<Ended> {
    drive(wired, stop, on_turn, None).await
}

/// Runs until `stop` is asked for, and takes other configurations meanwhile.
///
/// # Errors
/// What the ledger could not take.
pub async fn run_live(
    wired: &Wired,
    stop: CancellationToken,
    on_turn: Arc<dyn Fn() + Send + Sync>,
    live: Live,
) -> anyhow::Result<Ended> {
    drive(wired, stop, on_turn, Some(live)).await
}

async fn drive(
    wired: &Wired,
    stop: CancellationToken,
    on_turn: Arc<dyn Fn() + Send + Sync>,
    live: Option<Live>,
) -> anyhow::Result<Ended> {
    let parts = wired.parts.clone();
    let nudge = Arc::new(Notify::new());
    let drain = parts.settings.scheduler.drain_timeout.as_duration();
    let apart = match parts.execution {
        Execution::Concurrent => Some(JobRuntime::start()?),
        Execution::InTurn => None,
    };
    let jobs = apart.as_ref().and_then(JobRuntime::handle);
    let turned = Arc::new(Turned::default());
    let (noted, clock) = (turned.clone(), parts.sources.clock.clone());
    let on_turn = Arc::new(move || {
        noted.note(clock.monotonic());
        on_turn();
    });
    let limits = Limits { stop: stop.clone(), until: wired.until, drain, on_turn, jobs, stuck_after: STUCK_AFTER };
    let mut driver = Driver::new(parts.clone(), limits, nudge.clone());
    let in_force = driver.in_force();
    let mut tasks = Vec::new();
    if let Some(Live { readings, on_change }) = live {
        driver = driver.reloading(reload::reload(wired.standing.clone(), Some(readings)));
        tasks.push(tokio::spawn(reload::follow(in_force.clone(), on_change)));
    }
    driver.boot().await?;
    let beside = CancellationToken::new();
    if parts.execution == Execution::Concurrent {
        let clock = parts.sources.clock.clone();
        let (wake, stop_waker) = (nudge.clone(), beside.clone());
        tasks.push(tokio::spawn(supervise("waker", in_force.clone(), beside.clone(), move || {
            waker::run(wake.clone(), turned.clone(), clock.clone(), stop_waker.clone())
        })));
        let (follows, stop_follower) = (in_force.clone(), beside.clone());
        tasks.push(tokio::spawn(supervise("follower", in_force.clone(), beside.clone(), move || {
            let follows = follows.clone();
            let present = move || {
                let parts = follows.borrow();
                (parts.sources.clone(), parts.routes.clone())
            };
            follower::run(present, stop_follower.clone())
        })));
        if !parts.simulated {
            let (chats, stop_chat) = (in_force.clone(), beside.clone());
            tasks.push(tokio::spawn(supervise("chat", in_force.clone(), beside.clone(), move || {
                chat::run(chats.clone(), stop_chat.clone())
            })));
            let (asked, stop_api) = (in_force.clone(), beside.clone());
            tasks.push(tokio::spawn(supervise("api", in_force.clone(), beside.clone(), move || {
                api::run(asked.clone(), stop_api.clone())
            })));
        }
        let (outbox, stop_outbox) = (parts.outbox.clone(), beside.clone());
        tasks.push(tokio::spawn(supervise("outbox", in_force.clone(), beside.clone(), move || {
            let (outbox, stop) = (outbox.clone(), stop_outbox.clone());
            async move { Ok(outbox.run(stop).await?) }
        })));
    }
    if !parts.simulated {
        tasks.push(tokio::spawn(dead_man::ping_with_heartbeats(in_force, parts.bus.subscribe(), beside.clone())));
    }
    let ended = driver.run().await;
    drop(driver);
    beside.cancel();
    for task in tasks {
        // A task that panicked has said so through its supervisor.
        drop(tokio::time::timeout(Duration::from_secs(5), task).await);
    }
    Ok(ended?)
}

/// How long jobs may block the threads of a runtime before the service manager's watchdog hears nothing any more.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(20);

/// Threads of the runs that do more than reduce risk.
const JOB_THREADS: usize = 2;

/// The runtime of the runs that do more than reduce risk: whatever blocks its threads, the loop, the monitor and the
/// flatten go on beside it.
struct JobRuntime(Option<tokio::runtime::Runtime>);

impl JobRuntime {
    fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(JOB_THREADS)
            .thread_name("jobs")
            .enable_all()
            .build()
            .context("starting the runtime of jobs")?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> Option<tokio::runtime::Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for JobRuntime {
    /// A runtime must not wait for its tasks in a task of another: they were awaited by the drain, or are left.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
