//! Wakes a driver that has not turned for long, in two independent ways.
//!
//! The driver's own sleep is exact; this is its safety net: each second it is looked whether the driver turns, and one
//! that does is left asleep. tokio-cron-scheduler gives the first pulse
//! and no more: its jobs keep the UTC offset of their creation, fire twice after a change of the
//! offset, and stop for ever after a long stall, so it is asked for one job, every second, in UTC. The
//! second pulse is a plain interval, which also notices when the first falls silent and builds it anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use crate::ports::Clock;

const PULSE: Duration = Duration::from_secs(1);

/// Silence of the first pulse after which it is built anew.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A driver that has turned since then is left asleep: it sleeps for a second at most.
const TURNED_WITHIN: Duration = Duration::from_millis(1_500);

/// When the driver has turned last, by the clock that never goes back.
#[derive(Debug, Default)]
pub struct Turned(AtomicU64);

impl Turned {
    /// Notes a turn.
    pub fn note(&self, now: Duration) {
        self.0.store(millis(now), Ordering::Relaxed);
    }

    fn wakes(&self, nudge: &Notify, now: Duration) {
        if millis(now).saturating_sub(self.0.load(Ordering::Relaxed)) > millis(TURNED_WITHIN) {
            nudge.notify_one();
        }
    }
}

/// Pulses until it is told to stop.
pub async fn run(
    nudge: Arc<Notify>,
    turned: Arc<Turned>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let last_ms = Arc::new(AtomicU64::new(millis(clock.monotonic())));
    let mut scheduler = start(nudge.clone(), turned.clone(), clock.clone(), last_ms.clone()).await?;
    let mut pulses = interval(PULSE);
    pulses.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                return scheduler.shutdown().await.context("stopping the pulse");
            }
            _ = pulses.tick() => turned.wakes(&nudge, clock.monotonic()),
        }
        let silence = Duration::from_millis(millis(clock.monotonic()).saturating_sub(last_ms.load(Ordering::Relaxed)));
        if silence > SILENCE_MAX {
            tracing::warn!(silence_ms = millis(silence), "pulse.lost");
            if let Err(error) = scheduler.shutdown().await {
                tracing::warn!(%error, "pulse.unstoppable");
            }
            last_ms.store(millis(clock.monotonic()), Ordering::Relaxed);
            scheduler = start(nudge.clone(), turned.clone(), clock.clone(), last_ms.clone()).await?;
        }
    }
}

async fn start(
    nudge: Arc<Notify>,
    turned: Arc<Turned>,
    clock: Arc<dyn Clock>,
    last_ms: Arc<AtomicU64>,
) -> anyhow::Result<JobScheduler> {
    let scheduler = JobScheduler::new().await.context("building the pulse")?;
    let pulse = Job::new("* * * * * *", move |_, _| {
        let now = clock.monotonic();
        last_ms.store(millis(now), Ordering::Relaxed);
        turned.wakes(&nudge, now);
    })
    .context("building the pulse's job")?;
    scheduler.add(pulse).await.context("adding the pulse's job")?;
    scheduler.start().await.context("starting the pulse")?;
    Ok(scheduler)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn only_a_driver_that_has_not_turned_for_long_is_woken() {
        let (nudge, turned) = (Notify::new(), Turned::default());
        let is_woken = || pin!(nudge.notified()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(());
        let second = Duration::from_secs(1);
        turned.note(second * 60);
        turned.wakes(&nudge, second * 61);
        assert!(!is_woken());
        turned.wakes(&nudge, second * 62);
        assert!(is_woken());
        turned.note(second * 62);
        turned.wakes(&nudge, second * 63);
        assert!(!is_woken());
    }
}
