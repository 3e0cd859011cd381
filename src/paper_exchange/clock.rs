use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daybook_core::time::Timestamp;

use crate::adapters::clocks::SystemClock;
use crate::ports::Clock as _;

/// What time it is at the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockMode {
    /// The machine's own time.
    Real,
    /// From an instant on, so many seconds a second.
    Accelerated { from: Timestamp, times: u32 },
    /// It stands still until it is moved by `POST /admin/clock`.
    Stepped { from: Timestamp },
}

impl ClockMode {
    /// Whether somebody looks at the market all the time, so that its quotes fill orders as they come; otherwise its
    /// bars do, once they are complete.
    pub(super) const fn is_watched(self) -> bool {
        match self {
            Self::Real | Self::Accelerated { .. } => true,
            Self::Stepped { .. } => false,
        }
    }
}

/// The exchange's clock. It can be set, forward only.
#[derive(Debug)]
pub(super) struct VenueClock {
    real: SystemClock,
    pace: Mutex<Pace>,
}

/// A line through time: at `since` (monotonic) it was `base`, and so many seconds go by in one.
#[derive(Debug, Clone, Copy)]
struct Pace {
    base: Timestamp,
    since: Duration,
    times: u32,
}

impl VenueClock {
    /// A clock of this mode; one that is simulated goes on at `reached`, if it was further than its start.
    pub(super) fn new(mode: ClockMode, reached: Option<Timestamp>) -> Self {
        let real = SystemClock::new();
        let (base, times) = match mode {
            ClockMode::Real => (real.wall(), 1),
            ClockMode::Accelerated { from, times } => (reached.map_or(from, |reached| reached.max(from)), times),
            ClockMode::Stepped { from } => (reached.map_or(from, |reached| reached.max(from)), 0),
        };
        let pace = Mutex::new(Pace { base, since: real.monotonic(), times });
        Self { real, pace }
    }

    pub(super) fn now(&self) -> Timestamp {
        let pace = *self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.base.after(self.real.monotonic().saturating_sub(pace.since).saturating_mul(pace.times))
    }

    /// Sets the clock; `false` if that would set it back.
    pub(super) fn set(&self, now: Timestamp) -> bool {
        if now < self.now() {
            return false;
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.base = now;
        pace.since = self.real.monotonic();
        true
    }
}
