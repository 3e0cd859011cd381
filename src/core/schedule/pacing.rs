use serde::Serialize;

use super::{Pace, Schedule, Slot, next_slot_after};
use crate::calendar::Calendar;
use crate::time::Timestamp;

/// How often a job looks at the market at present: at the pace that the market asks for, or backed off from it for
/// the rest of a session because nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pacing {
    /// What the market asks for.
    pub market: Pace,
    /// Until when the job is backed off: the close of the session in which it was.
    pub backed_off_until: Option<Timestamp>,
}

impl Pacing {
    /// The pace of the slots after `from`, as it is seen at `now`.
    ///
    /// Backed off, a job still looks once more in its session: where none of its slots at the slow pace is left
    /// before the close (on a half day, or late in a full one) it goes on at the market's pace. Once the session is
    /// over nothing of it is left, so that the next one begins at the market's pace.
    #[must_use]
    pub fn in_force(&self, schedule: &Schedule, calendar: &Calendar, from: Timestamp, now: Timestamp) -> Pace {
        match self.backed_off_until {
            Some(until) if from.max(now) < until => {
                let slow = next_slot_after(schedule, calendar, Pace::Slow, from);
                if slow.is_some_and(|slot| slot.at < until) { Pace::Slow } else { self.market }
            }
            Some(_) | None => self.market,
        }
    }

    /// The next slot after an instant; `None` where the calendar ends before it.
    #[must_use]
    pub fn next_slot_after(&self, schedule: &Schedule, calendar: &Calendar, from: Timestamp) -> Option<Slot> {
        next_slot_after(schedule, calendar, self.in_force(schedule, calendar, from, from), from)
    }

    /// The slots after an instant, strictly increasing, as they come if no further look changes the pace.
    pub fn slots_after<'a>(
        self,
        schedule: &'a Schedule,
        calendar: &'a Calendar,
        from: Timestamp,
    ) -> impl Iterator<Item = Slot> + 'a {
        let next = move |from| self.next_slot_after(schedule, calendar, from);
        std::iter::successors(next(from), move |slot| next(slot.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn adaptive() -> Schedule {
        let json = r#"{"adaptive": {"fast": "15m", "normal": "30m", "slow": "4h", "delay": "5s"}}"#;
        serde_json::from_str(json).unwrap()
    }

    /// The next slots, New York's winter time of day, of a job that was backed off in a session with this close.
    fn next(market: Pace, close: &str, from: &str, count: usize) -> Vec<String> {
        let pacing = Pacing { market, backed_off_until: Some(at(close)) };
        let (schedule, calendar) = (adaptive(), Calendar::xnys());
        let slots = pacing.slots_after(&schedule, &calendar, at(from)).take(count);
        slots.map(|slot| slot.at.in_zone(calendar.zone()).format("%d %H:%M").to_string()).collect()
    }

    #[test]
    fn a_job_that_is_backed_off_looks_once_more_and_begins_anew_in_the_next_session() {
        let close = "2026-11-16T21:00:00Z";
        let morning = next(Pace::Normal, close, "2026-11-16T16:00:05Z", 7);
        assert_eq!(morning, ["16 13:30", "16 14:00", "16 14:30", "16 15:00", "16 15:30", "17 10:00", "17 10:30"]);
        let late = next(Pace::Fast, close, "2026-11-16T20:15:05Z", 4);
        assert_eq!(late, ["16 15:30", "16 15:45", "17 09:45", "17 10:00"], "no slot at the slow pace is left");
        let quiet = next(Pace::Slow, close, "2026-11-16T16:00:05Z", 2);
        assert_eq!(quiet, ["16 13:30", "17 13:30"]);
        let half_day = next(Pace::Normal, "2026-11-27T18:00:00Z", "2026-11-27T16:00:05Z", 3);
        assert_eq!(half_day, ["27 11:30", "27 12:00", "27 12:30"], "a half day is shorter than the slow interval");
    }

    #[test]
    fn what_was_due_while_nobody_was_there_is_told_by_the_pace_of_now() {
        let (schedule, calendar) = (adaptive(), Calendar::xnys());
        let pacing = Pacing { market: Pace::Fast, backed_off_until: Some(at("2026-11-16T21:00:00Z")) };
        let (from, soon, tomorrow) =
            (at("2026-11-16T16:00:05Z"), at("2026-11-16T17:00:00Z"), at("2026-11-17T16:00:00Z"));
        assert_eq!(pacing.in_force(&schedule, &calendar, from, soon), Pace::Slow);
        assert_eq!(pacing.in_force(&schedule, &calendar, from, tomorrow), Pace::Fast);
        assert_eq!(Pacing::default().in_force(&schedule, &calendar, from, soon), Pace::Normal);
    }

    proptest! {
        /// Whatever happens right after a look, the next one comes within the slow interval or at the market's pace.
        #[test]
        fn backing_off_never_costs_more_than_the_slow_interval(
            minute in 0_i64..390,
            slow_minutes in 31_i64..500,
            pace in prop::sample::select(vec![Pace::Fast, Pace::Normal]),
        ) {
            let json = format!(r#"{{"adaptive": {{"fast": "15m", "normal": "30m", "slow": "{slow_minutes}m"}}}}"#);
            let (schedule, calendar) = (serde_json::from_str(&json).unwrap(), Calendar::xnys());
            let from = Timestamp(at("2026-11-16T14:30:00Z").0 + minute * 60_000);
            let pacing = Pacing { market: pace, backed_off_until: Some(at("2026-11-16T21:00:00Z")) };
            let found = pacing.next_slot_after(&schedule, &calendar, from).unwrap().at;
            let own = next_slot_after(&schedule, &calendar, pace, from).unwrap().at;
            prop_assert!(found == own || found.since(from).as_secs() <= slow_minutes.unsigned_abs() * 60);
            prop_assert!(found.date_in(calendar.zone()) <= own.date_in(calendar.zone()), "no session is left out");
        }
    }
}
