//! Keeps the tasks alive that work beside the driver.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::report::words;
use daybook_core::time::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::config::RestartSettings;
use crate::ledger::alert;
use crate::ledger::event::{self, Event, EventLevel};

/// How a part that failed is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RestartPolicy {
    /// Restarts in a row before the part counts as failed.
    restarts_max: u32,
    /// The wait before the first restart; it doubles.
    backoff: Duration,
    /// The longest wait before a restart.
    backoff_max: Duration,
    /// How long a failed part is left alone before it is tried again.
    cool_down: Duration,
}

impl RestartPolicy {
    fn of(settings: &RestartSettings) -> Self {
        Self {
            restarts_max: settings.max,
            backoff: settings.backoff_first.as_duration(),
            backoff_max: settings.backoff_max.as_duration(),
            cool_down: settings.cool_down.as_duration(),
        }
    }
}

/// Whether some part has failed for good, and until when.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<AtomicI64>);

impl Failures {
    /// Whether a part is in its cool-down at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        now.0 < self.0.load(Ordering::Relaxed)
    }

    fn hold_until(&self, until: Timestamp) {
        self.0.fetch_max(until.0, Ordering::Relaxed);
    }
}

/// Runs a part until `stop`, and starts it again when it fails or panics: with exponential backoff, and
/// after too many failures in a row, with a cool-down, the phase `ERROR` and an alert. A part that held
/// out for a cool-down counts its failures anew.
pub async fn supervise<F, T>(
    name: &'static str,
    in_force: watch::Receiver<Arc<Parts>>,
    stop: CancellationToken,
    mut start: F,
) where
    F: FnMut() -> T,
    T: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut in_a_row = 0_u32;
    while !stop.is_cancelled() {
        let started = in_force.borrow().sources.clock.monotonic();
        let why = match tokio::spawn(start()).await {
            Ok(Ok(())) if stop.is_cancelled() => return,
            Ok(Ok(())) => "ended without being asked to".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(failure) => failure.to_string(),
        };
        let parts = in_force.borrow().clone();
        let policy = RestartPolicy::of(&parts.settings.scheduler.restarts);
        if parts.sources.clock.monotonic().saturating_sub(started) > policy.cool_down {
            in_a_row = 0;
        }
        in_a_row += 1;
        let given_up = in_a_row > policy.restarts_max;
        let wait = if given_up {
            in_a_row = 0;
            policy.cool_down
        } else {
            policy.backoff.saturating_mul(1 << (in_a_row - 1).min(10)).min(policy.backoff_max)
        };
        tracing::warn!(part = name, failures = in_a_row, error = %why, wait_ms = wait.as_millis(), "part.failed");
        let until = parts.sources.clock.wall().after(wait);
        if given_up {
            parts.failures.hold_until(until);
        }
        record(&parts, name, &why, given_up, until).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn record(parts: &Parts, name: &'static str, why: &str, given_up: bool, until: Timestamp) {
    let now = parts.sources.clock.wall();
    let message = format!("{name}: {why}");
    let routes = parts.routes.clone();
    let recorded = parts
        .sources
        .ledger
        .write(move |tx| {
            event::record(tx, &Event::new(now, EventLevel::Warning, "part.failed", message.clone()))?;
            if given_up {
                let subject = format!("{name} failed too often and is tried again at {}", words::instant(until));
                let alert = Alert::new(AlertEvent::PartFailed, subject).with_body(message);
                alert::raise(tx, None, &alert, &routes, now)?;
            }
            Ok(())
        })
        .await;
    if let Err(error) = recorded {
        tracing::error!(part = name, %error, "part.unrecorded");
    }
}
