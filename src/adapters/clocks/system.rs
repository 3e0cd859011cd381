use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use daybook_core::time::Timestamp;

use crate::ports::Clock;

/// The longest sleep before the wall clock is looked at again: it may have been stepped, and Linux
/// timers stand still while the machine is suspended.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The end of a sleep that a thread's own timer does. The runtime's timers round up to a
/// millisecond, twice (its wheel and `epoll_wait`); a sleeping thread wakes within some 0.1 ms.
const LAST_STRETCH: Duration = Duration::from_millis(3);

/// The machine's own clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::monotonic`] begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since 1970; zero on a machine whose clock stands before it.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    fn since_epoch() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::default().after(Self::since_epoch())
    }

    fn wall_us(&self) -> i64 {
        i64::try_from(Self::since_epoch().as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep_until(&self, instant: Timestamp) {
        let target = instant.since(Timestamp::default());
        loop {
            let remaining = target.saturating_sub(Self::since_epoch());
            if remaining.is_zero() {
                return;
            }
            if remaining > LAST_STRETCH {
                tokio::time::sleep((remaining - LAST_STRETCH).min(LOOK_AGAIN)).await;
                continue;
            }
            // Looked at again in the thread, which takes a while to begin.
            let sleep = move || std::thread::sleep(target.saturating_sub(Self::since_epoch()));
            if tokio::task::spawn_blocking(sleep).await.is_err() {
                // The runtime is shutting down and starts no thread any more.
                tokio::time::sleep(remaining).await;
            }
        }
    }

    /// Without a thread for the last stretch.
    async fn rest_until(&self, instant: Timestamp) {
        let target = instant.since(Timestamp::default());
        loop {
            let remaining = target.saturating_sub(Self::since_epoch());
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining.min(LOOK_AGAIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn neither_a_sleep_nor_a_rest_ends_before_its_instant() {
        let clock = SystemClock::new();
        for milliseconds in [1, 2, 3, 4, 7, 12] {
            let instant = clock.wall().after(Duration::from_millis(milliseconds));
            clock.sleep_until(instant).await;
            assert!(clock.wall() >= instant, "woke before {instant}");
            let instant = clock.wall().after(Duration::from_millis(milliseconds));
            clock.rest_until(instant).await;
            assert!(clock.wall() >= instant, "rested until before {instant}");
        }
    }

    #[tokio::test]
    async fn the_best_of_a_few_sleeps_ends_within_the_millisecond() {
        let clock = SystemClock::new();
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let instant = clock.wall().after(Duration::from_millis(6));
            clock.sleep_until(instant).await;
            best = best.min(SystemClock::since_epoch() - instant.since(Timestamp::default()));
        }
        assert!(best < Duration::from_millis(1), "the best of 20 sleeps ended {best:?} late");
    }

    #[tokio::test]
    async fn an_instant_that_has_passed_is_not_waited_for() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        clock.sleep_until(Timestamp::default()).await;
        clock.sleep_until(Timestamp(i64::MIN)).await;
        assert!(clock.monotonic() - before < Duration::from_secs(1));
    }
}
