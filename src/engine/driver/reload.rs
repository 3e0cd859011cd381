//! The driver takes another configuration: between two claims, in one transaction.

use std::sync::Arc;

use daybook_core::schedule::JobKind;
use tokio::sync::{mpsc, watch};

use super::Driver;
use crate::config::{Cause, Configuration, Reading};
use crate::engine::Parts;
use crate::engine::reload::{self, Admitted, Prepared, Refresh, Reload, Standing};
use crate::engine::runner::alert_of_lost;
use crate::ledger::event::{self, Event, EventLevel};
use crate::ledger::run::{self, LookInput, Trigger};
use crate::ledger::{LedgerError, alert, settings as versions};
use crate::ports::with_causes;

impl Driver {
    /// The same driver, which takes other configurations while it runs.
    #[must_use]
    pub fn reloading(mut self, reload: Reload) -> Self {
        self.reload = Some(reload);
        self
    }

    /// The parts in force, for tasks beside the driver.
    #[must_use]
    pub fn in_force(&self) -> watch::Receiver<Arc<Parts>> {
        self.in_force.subscribe()
    }

    /// Takes what was read since, and what has waited long enough.
    pub(super) async fn take_configurations(&mut self) -> Result<(), LedgerError> {
        while let Some(reading) = self.next_reading() {
            Box::pin(self.take(reading)).await?;
        }
        self.release().await
    }

    fn next_reading(&mut self) -> Option<Reading> {
        self.arrived.take().or_else(|| self.reload.as_mut()?.readings.as_mut()?.try_recv().ok())
    }

    async fn take(&mut self, reading: Reading) -> Result<(), LedgerError> {
        let Some(Standing { in_force, waits }) = self.reload.as_ref().map(|reload| &reload.standing) else {
            return Ok(());
        };
        let refresh = match reading.cause {
            Cause::File => Refresh::Changed,
            Cause::Asked => Refresh::Secrets,
        };
        let read = match reading.read {
            Ok(read) => read,
            Err(error) => return self.refuse(&with_causes(&error), reading.cause).await,
        };
        let is_same = |other: &Configuration| other.version == read.version && other.jobs == read.jobs;
        if waits.as_ref().is_some_and(is_same) {
            if reading.cause == Cause::Asked {
                tracing::info!("configuration.unchanged: nothing has changed since it was read; a part of it waits");
            }
            return Ok(());
        }
        if is_same(in_force) {
            return self.stay(read, refresh).await;
        }
        let told = reload::differences(in_force, &read)?;
        if let Some(reason) = reload::fixed(&told) {
            return self.refuse(&reason, reading.cause).await;
        }
        let now = self.parts.sources.clock.wall();
        let session = reload::open_session(&self.parts.sources.calendar, now);
        let waiting = self.parts.sources.ledger.read(versions::waiting)?;
        match reload::admit(Some(&in_force.settings), read, waiting.as_ref(), session) {
            Ok(admitted) => self.activate(admitted, refresh, reading.cause).await,
            Err(error) => self.refuse(&with_causes(&error), reading.cause).await,
        }
    }

    /// Brings what waits into force once it may be.
    async fn release(&mut self) -> Result<(), LedgerError> {
        let Some(standing) = self.reload.as_ref().map(|reload| &reload.standing).filter(|it| it.waits.is_some()) else {
            return Ok(());
        };
        let session = reload::open_session(&self.parts.sources.calendar, self.parts.sources.clock.wall());
        match self.parts.sources.ledger.read(|conn| reload::due(conn, standing, session))? {
            // It happens once in a while: what it holds is no part of every turn.
            Some(admitted) => Box::pin(self.activate(admitted, Refresh::Changed, Cause::File)).await,
            None => Ok(()),
        }
    }

    /// What was read is what is in force, but for its secrets, which no version has: nothing waits any more.
    async fn stay(&mut self, read: Configuration, refresh: Refresh) -> Result<(), LedgerError> {
        self.refused = None;
        let Some(reload) = &mut self.reload else { return Ok(()) };
        if reload.standing.waits.take().is_some() {
            let now = self.parts.sources.clock.wall();
            let withdrawn = Event::new(now, EventLevel::Info, "configuration.withdrawn", "what waited was taken back");
            self.parts
                .sources
                .ledger
                .write(move |tx| {
                    versions::clear_waiting(tx)?;
                    event::record(tx, &withdrawn)?;
                    Ok(())
                })
                .await?;
        }
        if refresh == Refresh::Changed {
            return Ok(());
        }
        tracing::info!("configuration.unchanged: nothing has changed; secrets are read again");
        match (reload.prepare)(&self.parts, &read, refresh) {
            Ok(prepared) => {
                reload.standing.in_force = read;
                self.swap(prepared, &[]);
                Ok(())
            }
            Err(error) => self.refuse(&format!("{error:#}"), Cause::Asked).await,
        }
    }

    /// Brings a configuration into force: the transaction first, then the parts of the next run.
    async fn activate(&mut self, admitted: Admitted, refresh: Refresh, cause: Cause) -> Result<(), LedgerError> {
        let Some(reload) = &self.reload else { return Ok(()) };
        let told = reload::differences(&reload.standing.in_force, &admitted.now)?;
        let prepared = match (reload.prepare)(&self.parts, &admitted.now, refresh) {
            Ok(prepared) => prepared,
            Err(error) => return self.refuse(&format!("{error:#}"), cause).await,
        };
        let now = self.parts.sources.clock.wall();
        let (old, new) = (self.parts.clone(), prepared.parts.clone());
        let session = new.sources.calendar.session_date_at(now);
        let is_open = reload::open_session(&new.sources.calendar, now).is_some();
        let standing = Standing {
            in_force: admitted.now.clone(),
            waits: admitted.waits.as_ref().map(|waits| waits.whole.clone()),
        };
        let outbox = self.parts.outbox.clone();
        let held = outbox.hold().await;
        crash_point!("configuration.before");
        let still_at_work = self
            .parts
            .sources
            .ledger
            .write(move |tx| {
                reload::record(tx, &admitted, &told, &new.routes, now)?;
                let mut still_at_work = Vec::new();
                if old.claimed != new.claimed {
                    let input = LookInput {
                        now,
                        beyond_now_us: 0,
                        jobs: &old.claimed,
                        calendar: &old.sources.calendar,
                        live: &[],
                        epoch: old.epoch,
                        config_hash: &old.config_hash,
                    };
                    let (found, gone) = run::change_jobs(tx, &input, &new.claimed)?;
                    for (job, missed) in &found.lost {
                        alert::raise(tx, None, &alert_of_lost(job, missed), &new.routes, now)?;
                    }
                    still_at_work = gone;
                }
                let is_of_risk = told.iter().any(|change| change.key.starts_with("risk."));
                let monitor = new.claimed.iter().find(|job| job.kind == JobKind::RiskMonitor && job.enabled);
                if let Some(monitor) = monitor.filter(|_| is_of_risk)
                    && (is_open || run::any_open_position(tx)?)
                {
                    // A limit that is below what was lost already stops now, and not at the next minute.
                    run::add_run(tx, monitor, Trigger::Manual, session, None, now)?;
                }
                crash_point!("configuration.recorded");
                Ok(still_at_work)
            })
            .await?;
        crash_point!("configuration.after");
        self.refused = None;
        tracing::info!(version = %standing.in_force.version.hash, "configuration.changed");
        if standing.waits.is_some() {
            tracing::warn!("configuration.waits");
        }
        if let Some(reload) = &mut self.reload {
            reload.standing = standing;
        }
        self.swap(prepared, &still_at_work);
        drop(held);
        self.next_at = self.next_at.min(now);
        self.parts.outbox.nudge();
        Ok(())
    }

    /// Puts other parts in the place of those in force. Runs that are at work keep the parts that they began with; a job
    /// that is gone stays defined, without slots, for what it has decided and not sent yet.
    fn swap(&mut self, prepared: Prepared, still_at_work: &[String]) {
        let Prepared { mut parts, channels } = prepared;
        if !still_at_work.is_empty() {
            let gone = self.parts.definitions.iter().filter(|job| still_at_work.contains(&job.name)).cloned();
            let gone: Vec<_> = gone
                .map(|mut job| {
                    job.enabled = false;
                    job
                })
                .collect();
            parts.definitions = parts.definitions.iter().chain(&gone).cloned().collect();
            parts.claimed = parts.claimed.iter().chain(&gone).cloned().collect();
        }
        if let Some((channels, policy)) = channels {
            parts.outbox.change(channels, policy);
        }
        self.limits.drain = parts.settings.scheduler.drain_timeout.as_duration();
        self.parts = Arc::new(parts);
        self.in_force.send_replace(self.parts.clone());
    }

    /// Tells a person, once, that what was read does not come into force.
    async fn refuse(&mut self, reason: &str, cause: Cause) -> Result<(), LedgerError> {
        if cause == Cause::File && self.refused.as_deref() == Some(reason) {
            return Ok(());
        }
        tracing::error!(error = reason, "configuration.refused");
        self.refused = Some(reason.to_owned());
        let (now, routes, reason) = (self.parts.sources.clock.wall(), self.parts.routes.clone(), reason.to_owned());
        self.parts.sources.ledger.write(move |tx| reload::record_refusal(tx, &reason, &routes, now)).await
    }
}

/// Waits for the next reading; for ever where none comes.
pub(super) async fn next(readings: Option<&mut mpsc::Receiver<Reading>>) -> Reading {
    match readings {
        Some(readings) => match readings.recv().await {
            Some(reading) => reading,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
