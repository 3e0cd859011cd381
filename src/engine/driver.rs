//! The loop that looks at what is due, and starts it.
//!
//! It sleeps until the next instant at which the ledger can have something to do, at most half a second on
//! the system's clock, and looks again. On a simulated clock the sleep is what moves the time.

mod reload;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::calendar::MarketPhase;
use daybook_core::phase::{Phase, PhaseInputs, phase};
use daybook_core::report::words;
use daybook_core::risk::{Halt, HaltKind, STEP_BACK_MAX};
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bus;
use super::health::{self, Health};
use super::reload::Reload;
use super::runner::{alert_of_ended, alert_of_lost};
use super::{Execution, Parts, commands, news, runner};
use crate::config::Reading;
use crate::ledger::alert::Routes;
use crate::ledger::event::{self, Event, EventLevel};
use crate::ledger::run::{self, ClaimedRun, LookInput, Trigger};
use crate::ledger::{Ledger, LedgerError, Transaction, alert, command, halt, meta, phase as phase_rows};

/// The longest sleep on the system's clock: timers stop while a machine is suspended.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// The same while the market is open: a person who stops everything waits for its end.
const SLEEP_IN_SESSION_MAX: Duration = Duration::from_millis(400);

/// A sleep that lasts so long has lost its timer.
const TIMER_LOST_AFTER: Duration = Duration::from_secs(2);

/// A difference between the wall clock and the monotonic one that is recorded as a step.
const STEP_MIN_MS: i64 = 2_000;

/// What ends the loop, beside an error of the ledger, and who is told that it turns.
#[derive(Clone)]
pub struct Limits {
    /// Asks for a drain: nothing new is claimed, what runs is awaited.
    pub stop: CancellationToken,
    /// The instant at which a simulation is over.
    pub until: Option<Timestamp>,
    /// How long a drain waits for runs.
    pub drain: Duration,
    /// Called in every turn of the loop, unless the threads that run jobs are stuck: the service manager's watchdog
    /// wants to hear of them.
    pub on_turn: Arc<dyn Fn() + Send + Sync>,
    /// The runtime of runs that do more than reduce risk. A job that blocks its threads stops the timers of a runtime, too,
    /// so the loop, the monitor and the flatten have another to themselves. `None`: all run on one.
    pub jobs: Option<Handle>,
    /// How long the threads of a runtime may take no task before they count as stuck.
    pub stuck_after: Duration,
}

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop.
    Stopped,
    /// The simulated clock has come to its end, and nothing is left to do.
    Finished,
}

/// Drives the engine.
pub struct Driver {
    /// What the next run has; runs at work keep what they began with.
    parts: Arc<Parts>,
    /// The same, for tasks beside the driver.
    in_force: watch::Sender<Arc<Parts>>,
    /// Where other configurations come from; `None`: there are none.
    reload: Option<Reload>,
    /// A configuration that was read during the sleep.
    arrived: Option<Reading>,
    /// Why the last configuration was refused: nobody is told twice.
    refused: Option<String>,
    limits: Limits,
    nudge: Arc<Notify>,
    /// Told when a run ends: it may let another of its job start.
    ended: Arc<Notify>,
    live: Arc<Mutex<Vec<i64>>>,
    tasks: TaskTracker,
    /// The first error of a run's task: the ledger could not take its outcome.
    failure: Arc<Mutex<Option<LedgerError>>>,
    health: Health,
    workers: Workers,
    clocks: Option<(Timestamp, Duration)>,
    phase: Option<Phase>,
    next_at: Timestamp,
}

/// Records that the wall clock shows `now` where `expected` was to come; one that was set back far enough stops new
/// entries until it is where it was.
fn note_step(tx: &Transaction<'_>, routes: &Routes, now: Timestamp, expected: Timestamp) -> Result<(), LedgerError> {
    let step_ms = now.0 - expected.0;
    let message = format!("the wall clock stepped by {:.1} s", step_ms as f64 / 1000.0);
    tracing::warn!(step_ms, "clock.stepped");
    event::record(tx, &Event::new(now, EventLevel::Warning, "clock.stepped", message.clone()))?;
    if expected > now.after(STEP_BACK_MAX) {
        let halt = Halt {
            kind: HaltKind::ClockStep,
            reason: message.clone(),
            numbers: Vec::new(),
            since: now,
            until: Some(expected),
        };
        halt::set(tx, &halt, None)?;
        let subject = format!("{message}: no new entries until {}", words::instant(expected));
        alert::raise(tx, None, &Alert::new(AlertEvent::ClockStepped, subject), routes, now)?;
    }
    Ok(())
}

impl Driver {
    /// A driver that a waker may `nudge`.
    pub fn new(parts: Arc<Parts>, limits: Limits, nudge: Arc<Notify>) -> Self {
        Self {
            health: Health::new(&parts),
            workers: Workers::new(&parts, &limits),
            in_force: watch::Sender::new(parts.clone()),
            reload: None,
            arrived: None,
            refused: None,
            parts,
            limits,
            nudge,
            ended: Arc::default(),
            live: Arc::default(),
            tasks: TaskTracker::new(),
            failure: Arc::default(),
            clocks: None,
            phase: None,
            next_at: Timestamp(i64::MIN),
        }
    }

    /// Takes over from a former life of the process: its claimed runs wait again, its runs that decided
    /// go on, a reconcile with the broker comes before everything that could add to the risk, and what is held
    /// is looked at at once.
    pub async fn boot(&self) -> Result<(), LedgerError> {
        let parts = self.parts.clone();
        let now = parts.sources.clock.wall();
        let session = parts.sources.calendar.session_date_at(now);
        parts
            .sources
            .ledger
            .clone()
            .write(move |tx| {
                // The clock may have been set back while nobody watched.
                if let Some(last) = run::latest_start(tx)?
                    && last > now.after(STEP_BACK_MAX)
                {
                    note_step(tx, &parts.routes, now, last)?;
                }
                for ended in run::recover(tx, parts.crash_attempts_max, now)? {
                    alert::raise(tx, Some(ended.run_id), &alert_of_ended(&ended), &parts.routes, now)?;
                }
                alert::release_sending(tx)?;
                run::sync_jobs(tx, &parts.definitions, now)?;
                run::cancel_undefined(tx, &parts.definitions, now)?;
                if let Some(job) = parts.definitions.iter().find(|job| job.runs_at_boot()) {
                    run::add_run(tx, job, Trigger::Boot, session, None, now)?;
                }
                // Time has passed while nobody watched. On a simulated clock none has.
                let monitor = parts.claimed.iter().find(|job| job.kind == JobKind::RiskMonitor && job.enabled);
                if let Some(monitor) = monitor.filter(|_| !parts.simulated)
                    && run::any_open_position(tx)?
                {
                    run::add_run(tx, monitor, Trigger::Boot, session, None, now)?;
                }
                let message = format!("epoch {}", parts.epoch);
                event::record(tx, &Event::new(now, EventLevel::Info, "scheduler.started", message))?;
                crash_point!("recover");
                Ok(())
            })
            .await
    }

    /// Runs until it is told to stop, the simulation is over, or the ledger fails.
    ///
    /// # Errors
    /// What the ledger could not take; [`LedgerError::TakenAway`] if its file is no longer where it was.
    pub async fn run(&mut self) -> Result<Ended, LedgerError> {
        let ended = self.turns().await;
        if !matches!(ended, Err(LedgerError::TakenAway { .. })) {
            // Reads fail before the regular look comes to it, and a process that is told to stop takes the rows with it.
            health::check_ledger(&self.parts, self.parts.sources.clock.wall()).await?;
        }
        ended
    }

    async fn turns(&mut self) -> Result<Ended, LedgerError> {
        loop {
            if self.limits.stop.is_cancelled() {
                self.drain(Ended::Stopped).await?;
                return Ok(Ended::Stopped);
            }
            let now = self.parts.sources.clock.wall();
            self.watch_clock(now).await?;
            self.take_configurations().await?;
            self.turn(now).await?;
            if self.workers.are_well(self.parts.sources.clock.monotonic()) {
                (self.limits.on_turn)();
            }
            if let Some(error) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(error);
            }
            if self.limits.until.is_some_and(|until| now >= until) {
                self.drain(Ended::Finished).await?;
                self.parts.bus.publish(bus::Event::Finished { at: now });
                return Ok(Ended::Finished);
            }
            self.sleep().await;
        }
    }

    /// Runs until `is_done` holds, or nothing is left that could make it so: for a process that does one
    /// thing and ends.
    ///
    /// # Errors
    /// What the ledger could not take.
    pub async fn run_until(
        &mut self,
        is_done: impl Fn(&Ledger) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        loop {
            let now = self.parts.sources.clock.wall();
            self.turn(now).await?;
            self.take_configurations().await?;
            if is_done(&self.parts.sources.ledger)? || self.limits.stop.is_cancelled() {
                return Ok(());
            }
            self.sleep().await;
        }
    }

    /// One turn: everything that is due now.
    async fn turn(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        if now >= self.next_at || self.has_commands()? {
            while let Some(run) = self.look(now).await? {
                match self.parts.execution {
                    // On the heap: a run is deep, and a thread that is not the main one has a small stack.
                    Execution::InTurn => Box::pin(runner::execute(&self.parts, run)).await?,
                    Execution::Concurrent => self.start(run),
                }
            }
        }
        if self.parts.execution == Execution::InTurn {
            // On the system's clock the outbox has a task of its own: a slow channel delays no order.
            let delivered = self.parts.outbox.deliver_due(now).await?;
            if let Some(at) = delivered.next_at {
                self.next_at = self.next_at.min(at);
            }
        }
        self.health.check(&self.parts, now, self.tasks.len()).await
    }

    fn has_commands(&self) -> Result<bool, LedgerError> {
        self.parts.sources.ledger.read(command::is_waiting)
    }

    /// Looks at what is due, in one transaction: commands, slots, ends of windows, the phase, and the
    /// claim of one run.
    async fn look(&mut self, now: Timestamp) -> Result<Option<ClaimedRun>, LedgerError> {
        let parts = self.parts.clone();
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known_phase = self.phase;
        let failed = self.health.failed(now);
        let wall_us = self.parts.sources.clock.wall_us();
        let now = Timestamp(wall_us.div_euclid(1_000));
        // Between 0 and 999 by its definition.
        let beyond_now_us = u32::try_from(wall_us.rem_euclid(1_000)).unwrap_or_default();
        let (look, phase, halted_until) = self
            .parts
            .sources
            .ledger
            .write(move |tx| {
                commands::take_all(tx, &parts, now)?;
                let look = run::look(
                    tx,
                    &LookInput {
                        now,
                        beyond_now_us,
                        jobs: &parts.claimed,
                        calendar: &parts.sources.calendar,
                        live: &live,
                        epoch: parts.epoch,
                        config_hash: &parts.config_hash,
                    },
                )?;
                for ended in &look.ended {
                    alert::raise(tx, Some(ended.run_id), &alert_of_ended(ended), &parts.routes, now)?;
                }
                for (job, missed) in &look.lost {
                    alert::raise(tx, None, &alert_of_lost(job, missed), &parts.routes, now)?;
                }
                let halts = halt::in_force(tx, now)?;
                let market = parts.sources.calendar.phase_at(now);
                let phase = phase(PhaseInputs { market, halted: !halts.is_empty(), failed, stopping: false });
                if known_phase != Some(phase) {
                    let reason = halts.first().map_or_else(|| market.to_string(), |halt| halt.reason.clone());
                    if let Some(change) = phase_rows::change(tx, phase, &reason, now)? {
                        alert::raise_if_wanted(tx, None, &news::alert_of_phase(&change), &parts.routes, now)?;
                    }
                }
                if let Some(run) = &look.claimed {
                    news::tell_of_start(tx, run, &parts.routes, now)?;
                }
                if parts.simulated {
                    meta::set_simulated_now(tx, now)?;
                }
                Ok((look, phase, halts.iter().filter_map(|halt| halt.until).min()))
            })
            .await?;
        self.note_phase(phase, now);
        for ended in &look.ended {
            tracing::warn!(run_id = ended.run_id, job = %ended.job, state = ?ended.state, reason = %ended.reason, "run.ended");
        }
        let boundary = next_boundary(&self.parts, now);
        self.next_at =
            [look.next_at, halted_until, boundary].into_iter().flatten().min().unwrap_or_else(|| now.after(SLEEP_MAX));
        if let Some(run) = &look.claimed {
            self.next_at = self.next_at.min(now);
            tracing::debug!(run_id = run.run_id, job = %run.job, slot = %run.slot, attempt = run.attempt, "run.claimed");
        }
        Ok(look.claimed)
    }

    fn note_phase(&mut self, phase: Phase, at: Timestamp) {
        if let Some(from) = self.phase.replace(phase)
            && from != phase
        {
            tracing::info!(%from, to = %phase, "phase.changed");
            self.parts.bus.publish(bus::Event::PhaseChanged { at, from, to: phase });
        }
    }

    /// Starts a run beside the others.
    fn start(&self, run: ClaimedRun) {
        let (parts, live, failure) = (self.parts.clone(), self.live.clone(), self.failure.clone());
        let ended = self.ended.clone();
        let run_id = run.run_id;
        live.lock().unwrap_or_else(PoisonError::into_inner).push(run_id);
        let apart = self.limits.jobs.as_ref().filter(|_| !run.kind.only_reduces_risk());
        let work = async move {
            let outcome = runner::execute(&parts, run).await;
            live.lock().unwrap_or_else(PoisonError::into_inner).retain(|live| *live != run_id);
            if let Err(error) = outcome {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            ended.notify_one();
        };
        match apart {
            Some(runtime) => self.tasks.spawn_on(work, runtime),
            None => self.tasks.spawn(work),
        };
    }

    async fn sleep(&mut self) {
        let clock = self.parts.sources.clock.clone();
        let now = clock.wall();
        match self.parts.execution {
            Execution::InTurn => {
                let next = self.limits.until.map_or(self.next_at, |until| self.next_at.min(until));
                tokio::select! {
                    () = clock.sleep_until(next.max(now)) => {}
                    () = self.limits.stop.cancelled() => {}
                }
            }
            Execution::Concurrent => {
                let is_open = self.parts.sources.calendar.phase_at(now) == MarketPhase::Trading;
                let look_by = now.after(if is_open { SLEEP_IN_SESSION_MAX } else { SLEEP_MAX });
                let next_at = self.next_at;
                let slept_since = clock.monotonic();
                let sleep = async {
                    // What is due is due to the millisecond; a look is not.
                    if next_at <= look_by {
                        clock.sleep_until(next_at).await;
                    } else {
                        clock.rest_until(look_by).await;
                    }
                };
                let reading = reload::next(self.reload.as_mut().and_then(|reload| reload.readings.as_mut()));
                tokio::pin!(sleep, reading);
                loop {
                    tokio::select! {
                        () = &mut sleep => {}
                        reading = &mut reading => self.arrived = Some(reading),
                        () = self.ended.notified() => self.next_at = self.next_at.min(clock.wall()),
                        () = self.limits.stop.cancelled() => {}
                        // The waker: it matters only where the sleep above has lost its timer.
                        () = self.nudge.notified() => {
                            if clock.monotonic().saturating_sub(slept_since) < TIMER_LOST_AFTER {
                                continue;
                            }
                            tracing::warn!("timer.lost");
                        }
                    }
                    break;
                }
            }
        }
    }

    /// Compares the two clocks: a step of the wall clock is recorded, and a step back far enough stops
    /// new entries until the clock is where it was.
    async fn watch_clock(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let monotonic = self.parts.sources.clock.monotonic();
        let Some((wall_before, monotonic_before)) = self.clocks.replace((now, monotonic)) else { return Ok(()) };
        let expected = wall_before.after(monotonic.saturating_sub(monotonic_before));
        let step_ms = now.0 - expected.0;
        if step_ms.abs() < STEP_MIN_MS {
            return Ok(());
        }
        self.next_at = self.next_at.min(now);
        let routes = self.parts.routes.clone();
        self.parts.sources.ledger.write(move |tx| note_step(tx, &routes, now, expected)).await
    }

    /// Waits for what runs, sends what stands in the outbox once, and records the end.
    async fn drain(&mut self, ended: Ended) -> Result<(), LedgerError> {
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(runs = self.tasks.len(), "drain.timed_out");
        }
        let now = self.parts.sources.clock.wall();
        self.parts.outbox.deliver_due(now).await?;
        self.note_phase(Phase::Stopped, now);
        // A simulation that was stopped goes on at its last look: the slots of the instant that its clock has come to are not
        // written yet. One that is over has its last look at the last slot, and its end later.
        let is_over = self.parts.simulated && ended == Ended::Finished;
        self.parts
            .sources
            .ledger
            .write(move |tx| {
                if is_over {
                    meta::set_simulated_now(tx, now)?;
                }
                phase_rows::change(tx, Phase::Stopped, "the scheduler stopped", now)?;
                event::record(tx, &Event::new(now, EventLevel::Info, "scheduler.stopped", "drained"))?;
                Ok(())
            })
            .await
    }
}

/// Whether the threads that run jobs still take tasks. The loop itself turns on a thread of its own, and would go on saying
/// that all is well while nothing is done.
struct Workers {
    probes: Vec<Probe>,
    stuck_after: Duration,
}

/// Probes in the time after which threads count as stuck: that much of it more it takes at most until they do.
const PROBES: u32 = 4;

/// A task that does nothing, and whether it was done.
struct Probe {
    runtime: Handle,
    sent_at: Duration,
    done: Arc<AtomicBool>,
}

impl Workers {
    /// On a simulated clock runs are awaited by the loop itself: there is nothing to ask.
    fn new(parts: &Parts, limits: &Limits) -> Self {
        let runtimes = match parts.execution {
            Execution::InTurn => Vec::new(),
            Execution::Concurrent => Handle::try_current().into_iter().chain(limits.jobs.clone()).collect(),
        };
        let probe = |runtime| Probe { runtime, sent_at: Duration::ZERO, done: Arc::new(AtomicBool::new(true)) };
        Self { probes: runtimes.into_iter().map(probe).collect(), stuck_after: limits.stuck_after }
    }

    /// Looks at the probes' answers, and sends those that have one on their way again.
    fn are_well(&mut self, now: Duration) -> bool {
        let mut well = true;
        for probe in &mut self.probes {
            if probe.done.load(Ordering::SeqCst) {
                if now.saturating_sub(probe.sent_at) < self.stuck_after / PROBES {
                    continue; // each wakes threads that have nothing else to do
                }
                probe.done.store(false, Ordering::SeqCst);
                probe.sent_at = now;
                let done = probe.done.clone();
                probe.runtime.spawn(async move { done.store(true, Ordering::SeqCst) });
            } else if now.saturating_sub(probe.sent_at) > self.stuck_after {
                tracing::error!(
                    "workers.stuck: jobs block the threads of a runtime; the service manager's watchdog is not told"
                );
                well = false;
            }
        }
        well
    }
}

/// The next instant at which the exchange's phase changes.
fn next_boundary(parts: &Parts, now: Timestamp) -> Option<Timestamp> {
    let calendar = &parts.sources.calendar;
    let today = calendar.session_date_at(now).and_then(|date| calendar.session(date))?;
    [today.pre_open, today.open, today.close, today.post_close].into_iter().find(|at| *at > now)
}
