use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::time::Timestamp;

use super::SystemClock;
use crate::ports::Clock;

/// How fast simulated time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speed {
    /// As fast as the work is done: no sleep takes any time.
    #[default]
    Max,
    /// So many simulated seconds in a second.
    Times(NonZeroU32),
}

/// Text that is no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a speed: expected \"max\", or simulated seconds a second as a whole number above 0, such as 60"
)]
pub struct SpeedError {
    /// What was read.
    pub text: String,
}

impl FromStr for Speed {
    type Err = SpeedError;
    fn from_str(text: &str) -> Result<Self, SpeedError> {
        match text {
            "max" => Ok(Self::Max),
            number => number.parse().map(Self::Times).map_err(|_| SpeedError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.pad("max"),
            Self::Times(factor) => f.pad(&factor.to_string()),
        }
    }
}

/// A clock that stands still until somebody sleeps on it; the sleep moves it.
///
/// The driver is its one sleeper. Should another sleep beside it, the time of both is the later one:
/// this clock never goes back.
#[derive(Debug)]
pub struct SimulatedClock {
    started: Timestamp,
    now_ms: AtomicI64,
    speed: Speed,
    real: SystemClock,
}

impl SimulatedClock {
    /// A clock that shows `start`, and whose pace is measured from now on.
    #[must_use]
    pub fn new(start: Timestamp, speed: Speed) -> Self {
        Self { started: start, now_ms: AtomicI64::new(start.0), speed, real: SystemClock::new() }
    }
}

#[async_trait]
impl Clock for SimulatedClock {
    fn wall(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn wall_us(&self) -> i64 {
        self.wall().0.saturating_mul(1_000)
    }

    fn monotonic(&self) -> Duration {
        self.wall().since(self.started)
    }

    async fn sleep_until(&self, instant: Timestamp) {
        match self.speed {
            Speed::Max => tokio::task::yield_now().await,
            Speed::Times(factor) => {
                // Measured from the start, so that rounding and slow work do not add up.
                let due = instant.since(self.started) / factor.get();
                tokio::time::sleep(due.saturating_sub(self.real.monotonic())).await;
            }
        }
        self.now_ms.fetch_max(instant.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_763_985_600_000);

    #[tokio::test]
    async fn a_sleep_at_full_speed_moves_the_clock_and_takes_no_time() {
        let clock = SimulatedClock::new(NOON, Speed::Max);
        let day = Duration::from_secs(86_400);
        clock.sleep_until(NOON.after(day)).await;
        assert_eq!(clock.wall(), NOON.after(day));
        assert_eq!(clock.monotonic(), day);
    }

    #[tokio::test]
    async fn the_clock_never_goes_back() {
        let clock = SimulatedClock::new(NOON, Speed::Max);
        clock.sleep_until(NOON.after(Duration::from_secs(60))).await;
        clock.sleep_until(NOON).await;
        assert_eq!(clock.wall(), NOON.after(Duration::from_secs(60)));
    }

    #[tokio::test]
    async fn a_pace_is_kept_against_the_real_clock() {
        let clock = SimulatedClock::new(NOON, "1000".parse().unwrap());
        clock.sleep_until(NOON.after(Duration::from_secs(20))).await;
        assert!(clock.real.monotonic() >= Duration::from_millis(20));
        assert_eq!(clock.wall(), NOON.after(Duration::from_secs(20)));
    }

    #[test]
    fn speeds_are_max_or_a_whole_number() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60".parse::<Speed>().map(|speed| speed.to_string()), Ok("60".to_owned()));
        for text in ["0", "-1", "fast", "", "1.5", "99999999999"] {
            assert!(text.parse::<Speed>().is_err(), "{text:?}");
        }
    }
}
