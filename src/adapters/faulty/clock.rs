use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::time::Timestamp;

use super::{Spell, Struck};
use crate::ports::Clock;

/// A step of the wall clock: for as long as the spell holds it is off by so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How far ahead of the time it is, in milliseconds; negative: behind it.
    pub by_ms: i64,
}

/// A wall clock that is stepped, forwards and backwards; its monotonic side goes on.
pub struct FaultyClock {
    inner: Arc<dyn Clock>,
    steps: Vec<Spell<Step>>,
    struck: Struck,
}

impl FaultyClock {
    /// A clock that is off during these spells.
    #[must_use]
    pub fn new(inner: Arc<dyn Clock>, steps: Vec<Spell<Step>>, struck: Struck) -> Self {
        Self { inner, steps, struck }
    }

    /// How far the clock is off at an instant.
    fn off_ms(&self, now: Timestamp) -> i64 {
        let holding = self.steps.iter().filter(|step| step.holds_at(now));
        holding.map(|step| step.fault.by_ms).sum()
    }

    /// The next instant at which it is stepped, or set right.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.steps.iter().flat_map(|step| [step.from, step.until]).filter(|at| *at > now).min()
    }
}

#[async_trait]
impl Clock for FaultyClock {
    fn wall(&self) -> Timestamp {
        let now = self.inner.wall();
        for step in self.steps.iter().filter(|step| step.holds_at(now)) {
            self.struck.note(step.number);
        }
        Timestamp(now.0 + self.off_ms(now))
    }

    fn wall_us(&self) -> i64 {
        self.inner.wall_us() + self.off_ms(self.inner.wall()) * 1_000
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    async fn sleep_until(&self, instant: Timestamp) {
        loop {
            let now = self.inner.wall();
            let target = Timestamp(instant.0.saturating_sub(self.off_ms(now)));
            match self.next_change(now).filter(|change| *change < target) {
                Some(change) => self.inner.sleep_until(change).await,
                None => return self.inner.sleep_until(target).await,
            }
            // Set ahead, it shows the instant already.
            if self.wall() >= instant {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::clocks::{SimulatedClock, Speed};

    #[tokio::test]
    async fn a_sleep_ends_when_the_stepped_clock_shows_its_instant() {
        // From, until and size of the step; the instant that is slept for; the true time at which it ends.
        let table = [
            (10_000, 20_000, 5_000, 12_000, 10_000),
            (10_000, 20_000, 5_000, 16_000, 11_000),
            (10_000, 20_000, -5_000, 12_000, 17_000),
            (10_000, 12_000, -5_000, 14_000, 14_000),
            (10_000, 20_000, 5_000, 9_000, 9_000),
        ];
        for (from, until, by_ms, slept_for, ends) in table {
            let inner: Arc<dyn Clock> = Arc::new(SimulatedClock::new(Timestamp(0), Speed::Max));
            let (from, until, fault) = (Timestamp(from), Timestamp(until), Step { by_ms });
            let steps = vec![Spell { number: 0, from, until, fault }];
            let clock = FaultyClock::new(inner.clone(), steps, Struck::default());
            clock.sleep_until(Timestamp(slept_for)).await;
            assert_eq!(inner.wall(), Timestamp(ends), "slept for {slept_for} with a step of {by_ms}");
            assert!(clock.wall() >= Timestamp(slept_for));
        }
    }
}
