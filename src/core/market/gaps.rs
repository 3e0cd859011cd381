use serde::Serialize;

use super::MINUTE;
use crate::calendar::Calendar;
use crate::time::{SessionDate, Timestamp};

/// What is missing of a symbol's regular hours between its first bar and its last.
///
/// A minute without a bar may be one without a trade: who trades seldom has many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// Sessions without a single bar.
    pub sessions: usize,
    /// The first of them.
    pub first_session: Option<SessionDate>,
    /// Minutes without a bar in the other sessions.
    pub minutes: usize,
    /// The most of them in a row.
    pub longest_minutes: usize,
    /// Where those begin.
    pub longest_from: Option<Timestamp>,
}

impl Gaps {
    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.sessions == 0 && self.minutes == 0
    }

    fn note(&mut self, from: Timestamp, until: Timestamp) {
        let minutes = minutes(from, until);
        self.minutes += minutes;
        if minutes > self.longest_minutes {
            (self.longest_minutes, self.longest_from) = (minutes, Some(from));
        }
    }
}

/// Finds what is missing, by the starts of minute bars in order.
#[must_use]
pub fn gaps(starts: &[Timestamp], calendar: &Calendar) -> Gaps {
    let mut gaps = Gaps::default();
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return gaps };
    let end = last.after(MINUTE);
    let mut rest = starts;
    for session in calendar.sessions(first.date_in(calendar.zone()), last.date_in(calendar.zone())) {
        let (open, close) = (session.open.max(*first), session.close.min(end));
        if open >= close {
            continue;
        }
        let (begin, over) = (begin_of(rest, open), begin_of(rest, close));
        let there = rest.get(begin..over).unwrap_or_default();
        rest = rest.get(over..).unwrap_or_default();
        if there.is_empty() {
            gaps.sessions += 1;
            gaps.first_session.get_or_insert(session.date);
        } else if there.len() < minutes(open, close) {
            let mut next = open;
            for start in there {
                gaps.note(next, *start);
                next = start.after(MINUTE);
            }
            gaps.note(next, close);
        }
    }
    gaps
}

fn begin_of(starts: &[Timestamp], at: Timestamp) -> usize {
    starts.partition_point(|start| *start < at)
}

/// Whole minutes from one instant to a later one.
fn minutes(from: Timestamp, until: Timestamp) -> usize {
    usize::try_from(until.since(from).as_secs() / MINUTE.as_secs()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The starts of all minutes of a span, but for those that are left out.
    fn minutes_of(from: &str, until: &str, left_out: &[&str]) -> Vec<Timestamp> {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let left_out: Vec<Timestamp> = left_out.iter().map(|text| at(text)).collect();
        let all = (at(from).0..at(until).0).step_by(60_000).map(Timestamp);
        all.filter(|start| !left_out.contains(start)).collect()
    }

    #[test]
    fn whole_sessions_have_no_gaps_and_nights_and_weekends_are_none() {
        // A Friday, the Monday after it, and the half day after Thanksgiving on its own.
        let mut starts = minutes_of("2026-11-13T14:30:00Z", "2026-11-13T21:00:00Z", &[]);
        starts.extend(minutes_of("2026-11-16T14:30:00Z", "2026-11-16T21:00:00Z", &[]));
        assert_eq!(gaps(&starts, &Calendar::xnys()), Gaps::default());
        let half_day = minutes_of("2026-11-27T14:30:00Z", "2026-11-27T18:00:00Z", &[]);
        assert!(gaps(&half_day, &Calendar::xnys()).is_none());
        assert!(gaps(&[], &Calendar::xnys()).is_none());
        // Before the first bar and after the last nothing is missing; outside regular hours neither.
        let part = minutes_of("2026-11-16T13:00:00Z", "2026-11-16T15:00:00Z", &["2026-11-16T13:30:00Z"]);
        assert!(gaps(&part, &Calendar::xnys()).is_none());
    }

    #[test]
    fn missing_minutes_and_sessions_are_told_apart() {
        let left_out = ["2026-11-13T14:31:00Z", "2026-11-13T15:00:00Z", "2026-11-13T15:01:00Z"];
        let mut starts = minutes_of("2026-11-13T14:30:00Z", "2026-11-13T21:00:00Z", &left_out);
        starts.extend(minutes_of("2026-11-18T14:40:00Z", "2026-11-18T15:00:00Z", &[]));
        let found = gaps(&starts, &Calendar::xnys());
        let expected = Gaps {
            sessions: 2,
            first_session: SessionDate::of(2026, 11, 16),
            minutes: 3 + 10,
            longest_minutes: 10,
            longest_from: Some("2026-11-18T14:30:00Z".parse().unwrap()),
        };
        assert_eq!(found, expected);
        assert_eq!(gaps(&starts, &Calendar::always_open()).sessions, 4);
    }
}
