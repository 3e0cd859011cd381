use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ports::Clock;

/// The span that Alpaca counts requests in.
const WINDOW: Duration = Duration::from_secs(60);

/// The part of the budget that only urgent calls may use, as a divisor of the whole: with 200 requests a minute, 50
/// are kept for them.
const RESERVE: usize = 4;

/// The longest pause that a server's headers can impose: its window is a minute, and a wrong clock on
/// either side must not silence the program for longer.
const PAUSE_MAX: Duration = WINDOW;

/// Which calls go first when requests run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Looking at the account, and reducing what it risks.
    Urgent,
    /// Everything else: entries, history, reference data.
    Ordinary,
}

/// The requests that may be sent in any minute, shared by all calls under one key.
///
/// It counts what was sent in the last 60 seconds, so it is exact however the server places its
/// windows, and a burst, such as closing everything, may use the whole minute at once.
pub struct Budget {
    limit: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the requests of the last minute were sent, on the monotonic clock.
    sent: VecDeque<Duration>,
    /// The server wants nothing before this.
    paused_until: Duration,
}

impl Budget {
    /// A budget of so many requests a minute.
    pub fn new(requests_per_minute: u32, clock: Arc<dyn Clock>) -> Self {
        let limit = usize::try_from(requests_per_minute).unwrap_or(usize::MAX).max(1);
        Self { limit, clock, state: Mutex::default() }
    }

    /// Waits until another request may be sent, and counts it.
    pub async fn take(&self, urgency: Urgency) {
        loop {
            let Some(wait) = self.try_take(urgency) else { return };
            tracing::debug!(wait_ms = wait.as_millis(), ?urgency, "request.waits");
            self.clock.sleep_until(self.clock.wall().after(wait.max(Duration::from_millis(1)))).await;
        }
    }

    /// Counts a request that may be sent now; otherwise how long to wait before asking again.
    fn try_take(&self, urgency: Urgency) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if now < state.paused_until {
            return Some(state.paused_until - now);
        }
        while state.sent.front().is_some_and(|sent| now.saturating_sub(*sent) >= WINDOW) {
            state.sent.pop_front();
        }
        let room = match urgency {
            Urgency::Urgent => self.limit,
            Urgency::Ordinary => (self.limit - self.limit / RESERVE).max(1),
        };
        // There is room again once all but `room - 1` of the requests are a minute old.
        let Some(blocking) = state.sent.len().checked_sub(room) else {
            state.sent.push_back(now);
            return None;
        };
        state.sent.get(blocking).map(|sent| (*sent + WINDOW).saturating_sub(now))
    }

    /// The server wants no request for this long.
    pub fn pause(&self, wait: Duration) {
        let until = self.clock.monotonic() + wait.min(PAUSE_MAX);
        let mut state = self.state();
        state.paused_until = state.paused_until.max(until);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change is one push or one assignment: a panic elsewhere leaves nothing half-made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::time::Timestamp;

    use super::*;
    use crate::adapters::clocks::{SimulatedClock, Speed};

    const START: Timestamp = Timestamp(1_794_840_605_000);

    fn budget(limit: u32) -> (Budget, Arc<SimulatedClock>) {
        let clock = Arc::new(SimulatedClock::new(START, Speed::Max));
        (Budget::new(limit, clock.clone()), clock)
    }

    #[tokio::test]
    async fn no_minute_holds_more_than_the_limit() {
        let (budget, clock) = budget(20);
        let mut sent = Vec::new();
        for n in 0..90_u64 {
            budget.take(Urgency::Urgent).await;
            sent.push(clock.wall());
            clock.sleep_until(clock.wall().after(Duration::from_millis(n * 7 % 900))).await;
        }
        for first in &sent {
            let minute = sent.iter().filter(|at| **at >= *first && at.since(*first) < WINDOW);
            assert!(minute.count() <= 20);
        }
        assert!(sent[19].since(START) < Duration::from_secs(20), "a burst may use the whole minute");
    }

    #[tokio::test]
    async fn the_last_quarter_is_kept_for_what_is_urgent() {
        let (budget, clock) = budget(20);
        for _ in 0..15 {
            budget.take(Urgency::Ordinary).await;
        }
        assert_eq!(budget.try_take(Urgency::Ordinary), Some(WINDOW));
        for _ in 0..5 {
            budget.take(Urgency::Urgent).await;
        }
        assert_eq!(clock.wall(), START, "nothing has waited yet");
        budget.take(Urgency::Ordinary).await;
        assert_eq!(clock.wall(), START.after(WINDOW));
    }

    #[tokio::test]
    async fn a_pause_holds_back_even_what_is_urgent_and_is_bounded() {
        let (budget, clock) = budget(20);
        budget.pause(Duration::from_secs(5));
        budget.pause(Duration::from_secs(2));
        budget.take(Urgency::Urgent).await;
        assert_eq!(clock.wall(), START.after(Duration::from_secs(5)));
        budget.pause(Duration::from_secs(86_400));
        budget.take(Urgency::Urgent).await;
        assert_eq!(clock.wall(), START.after(Duration::from_secs(65)));
    }
}
