//! The slots of a schedule.

use std::collections::VecDeque;
use std::iter::Peekable;

use chrono::{Datelike, NaiveTime};
use serde::{Deserialize, Serialize};

use super::Pace;
use super::form::{Adaptive, Anchor, At, AtDays, BarClose, During, Every, Form, Schedule, millis};
use crate::calendar::{Calendar, Session};
use crate::time::{SessionDate, Timestamp};

/// An instant at which a job is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The instant.
    pub at: Timestamp,
    /// The session that it belongs to: the one whose point it is relative to, or else the one on
    /// whose date it falls, if there is one.
    pub session: Option<SessionDate>,
}

/// The slots in `(from, to]`, strictly increasing.
///
/// ```
/// # use daybook_core::{calendar::Calendar, schedule::{Pace, Schedule, slots}};
/// let flatten: Schedule = serde_json::from_str(r#"{"at": "close-10m"}"#).unwrap();
/// let (from, to) = ("2026-11-25T00:00:00Z".parse().unwrap(), "2026-11-28T00:00:00Z".parse().unwrap());
/// let due: Vec<String> =
///     slots(&flatten, &Calendar::xnys(), Pace::Normal, from, to).iter().map(|slot| slot.at.to_string()).collect();
/// // Wednesday in full, no session on Thanksgiving, and a half day after it.
/// assert_eq!(due, ["2026-11-25T20:50:00Z", "2026-11-27T17:50:00Z"]);
/// ```
#[must_use]
pub fn slots(schedule: &Schedule, calendar: &Calendar, pace: Pace, from: Timestamp, to: Timestamp) -> Vec<Slot> {
    slots_after(schedule, calendar, pace, from).take_while(|slot| slot.at <= to).collect()
}

/// The first slot after an instant; `None` where the calendar ends before it.
#[must_use]
pub fn next_slot_after(schedule: &Schedule, calendar: &Calendar, pace: Pace, from: Timestamp) -> Option<Slot> {
    if let [form] = schedule.forms() {
        // It is asked of every job in every look of the planner, and nearly every schedule has one form.
        let next = form.series_after(calendar, pace, from).next()?;
        return Some(Slot { at: next.first, session: next.session });
    }
    slots_after(schedule, calendar, pace, from).next()
}

/// The slots after an instant, strictly increasing, worked out one by one.
pub fn slots_after<'a>(
    schedule: &'a Schedule,
    calendar: &'a Calendar,
    pace: Pace,
    from: Timestamp,
) -> impl Iterator<Item = Slot> + 'a {
    let forms = schedule.forms().iter();
    Merged { forms: forms.map(|form| slots_of(form, calendar, pace, from).peekable()).collect() }
}

type Slots<'a> = Box<dyn Iterator<Item = Slot> + 'a>;

fn slots_of<'a>(form: &'a Form, calendar: &'a Calendar, pace: Pace, from: Timestamp) -> Slots<'a> {
    Box::new(form.series_after(calendar, pace, from).flat_map(Series::slots))
}

/// The slots of several forms in order. Of equal instants the first form's counts, with the session
/// that any of them knows.
struct Merged<'a> {
    forms: Vec<Peekable<Slots<'a>>>,
}

impl Iterator for Merged<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        let at = self.forms.iter_mut().filter_map(|form| form.peek().map(|slot| slot.at)).min()?;
        let mut session = None;
        for form in &mut self.forms {
            if let Some(slot) = form.next_if(|slot| slot.at == at) {
                session = session.or(slot.session);
            }
        }
        Some(Slot { at, session })
    }
}

/// An arithmetic progression of slots of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Series {
    first: Timestamp,
    /// At least 1.
    step_ms: i64,
    /// At least 1.
    count: i64,
    session: Option<SessionDate>,
}

impl Series {
    fn one(slot: Slot) -> Self {
        Self { first: slot.at, step_ms: 1, count: 1, session: slot.session }
    }

    /// `first`, `first + step`, ... before `end`.
    fn until(first: Timestamp, step_ms: i64, end: Timestamp, session: Option<SessionDate>) -> Option<Self> {
        let length = end.0.saturating_sub(first.0);
        (length > 0).then(|| Self { first, step_ms, count: (length - 1) / step_ms + 1, session })
    }

    /// What of it lies in `(from, to]`.
    fn clip(self, from: Timestamp, to: Timestamp) -> Option<Self> {
        // How many lie at or before an instant.
        let up_to = |at: Timestamp| match at.0.saturating_sub(self.first.0) {
            passed @ 0.. => (passed / self.step_ms + 1).min(self.count),
            _ => 0,
        };
        let (skipped, kept) = (up_to(from), up_to(to));
        (kept > skipped).then(|| Self {
            first: Timestamp(self.first.0 + skipped * self.step_ms),
            count: kept - skipped,
            ..self
        })
    }

    fn slots(self) -> impl DoubleEndedIterator<Item = Slot> {
        (0..self.count).map(move |k| Slot { at: Timestamp(self.first.0 + k * self.step_ms), session: self.session })
    }
}

type AllSeries<'a> = Box<dyn Iterator<Item = Series> + 'a>;

impl Form {
    /// The slots after an instant, as progressions: each begins after the last one ended.
    fn series_after<'a>(&'a self, calendar: &'a Calendar, pace: Pace, from: Timestamp) -> AllSeries<'a> {
        let sessions = sessions_around(calendar, from);
        let all: AllSeries<'a> = match self {
            Self::At(at) => {
                Box::new(sessions.filter(|session| at.falls_on(session, calendar)).map(|session| at.series(&session)))
            }
            Self::Every(Every { interval, during: During::Always }) => always(calendar, millis(*interval), from),
            Self::Every(every) => Box::new(sessions.filter_map(|session| every.series(&session))),
            Self::Bar(bar) => Box::new(sessions.flat_map(|session| bar.series(&session))),
            Self::Adaptive(adaptive) => Box::new(sessions.filter_map(move |session| adaptive.series(&session, pace))),
            Self::Cron(cron) => Box::new(cron.slots_after(calendar, from).map(Series::one)),
        };
        Box::new(all.filter_map(move |series| series.clip(from, Timestamp(i64::MAX))))
    }
}

/// The sessions that can have a slot after an instant: a slot lies at most a day, and a session's
/// point at most another, from the session's date.
fn sessions_around(calendar: &Calendar, from: Timestamp) -> impl Iterator<Item = Session> + '_ {
    calendar.sessions(from.date_in(calendar.zone()).plus_days(-3), calendar.last_date())
}

impl At {
    fn falls_on(&self, session: &Session, calendar: &Calendar) -> bool {
        match self.days {
            AtDays::Sessions => true,
            AtDays::LastOfWeek => calendar
                .session_after(session.date)
                .is_some_and(|next| next.date.0.iso_week() != session.date.0.iso_week()),
        }
    }

    fn series(&self, session: &Session) -> Series {
        let point = match self.anchor {
            Anchor::PreOpen => session.pre_open,
            Anchor::Open => session.open,
            Anchor::Close => session.close,
            Anchor::PostClose => session.post_close,
        };
        Series::one(Slot { at: Timestamp(point.0.saturating_add(self.offset_ms)), session: Some(session.date) })
    }
}

impl Every {
    fn series(&self, session: &Session) -> Option<Series> {
        let (begin, end) = match self.during {
            During::Regular => (session.open, session.close),
            During::Extended => (session.pre_open, session.post_close),
            During::PreMarket => (session.pre_open, session.open),
            During::PostMarket => (session.close, session.post_close),
            During::Always => return None,
        };
        Series::until(begin, millis(self.interval), end, Some(session.date))
    }
}

/// The multiples of an interval, one progression for each date of the exchange.
fn always(calendar: &Calendar, step_ms: i64, from: Timestamp) -> AllSeries<'_> {
    let zone = calendar.zone();
    let days = from.date_in(zone).0.iter_days();
    Box::new(days.filter_map(move |day| {
        let midnight = |date: SessionDate| Timestamp::from_wall(date.0.and_time(NaiveTime::MIN), zone);
        let (begin, end) = (midnight(SessionDate(day)), midnight(SessionDate(day).plus_days(1)));
        let first = Timestamp(begin.0 + (-begin.0).rem_euclid(step_ms));
        Series::until(first, step_ms, end, calendar.session(SessionDate(day)).map(|session| session.date))
    }))
}

impl BarClose {
    fn series(&self, session: &Session) -> impl Iterator<Item = Series> + use<> {
        let (bar, date) = (millis(self.bar), Some(session.date));
        let late = |at: Timestamp| at.after(self.delay.as_duration());
        let before_close = Series::until(late(Timestamp(session.open.0 + bar)), bar, late(session.close), date);
        before_close.into_iter().chain([Series::one(Slot { at: late(session.close), session: date })])
    }
}

impl Adaptive {
    fn series(&self, session: &Session, pace: Pace) -> Option<Series> {
        let interval = millis(self.interval(pace));
        let late = |at: Timestamp| at.after(self.delay.as_duration());
        Series::until(late(Timestamp(session.open.0 + interval)), interval, late(session.close), Some(session.date))
    }
}

/// The slots of a range, counted, and its newest ones in full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    /// How many slots there are.
    pub count: u64,
    /// The oldest.
    pub first: Option<Timestamp>,
    /// The newest ones, in order.
    pub newest: Vec<Slot>,
}

impl Backlog {
    /// Counts the slots in `(from, to]` and keeps the newest of them. The memory it needs depends on
    /// `keep` alone.
    pub fn of(
        schedule: &Schedule,
        calendar: &Calendar,
        pace: Pace,
        (from, to): (Timestamp, Timestamp),
        keep: usize,
    ) -> Self {
        if let [form] = schedule.forms() {
            return Self::of_form(form, calendar, pace, (from, to), keep);
        }
        // Forms may share slots, so several are walked slot by slot.
        let (mut count, mut first, mut newest) = (0, None, VecDeque::with_capacity(keep + 1));
        for slot in slots_after(schedule, calendar, pace, from).take_while(|slot| slot.at <= to) {
            count += 1;
            first = first.or(Some(slot.at));
            newest.push_back(slot);
            if newest.len() > keep {
                newest.pop_front();
            }
        }
        Self { count, first, newest: newest.into() }
    }

    fn of_form(form: &Form, calendar: &Calendar, pace: Pace, (from, to): (Timestamp, Timestamp), keep: usize) -> Self {
        let (mut count, mut first, mut tail, mut in_tail) = (0, None, VecDeque::new(), 0);
        let all = form.series_after(calendar, pace, from).map_while(|series| series.clip(from, to));
        for series in all {
            let length = series.count.unsigned_abs();
            count += length;
            first = first.or(Some(series.first));
            tail.push_back(series);
            in_tail += length;
            // The oldest progression goes once the younger ones suffice.
            while let Some(oldest) = tail.front().map(|oldest: &Series| oldest.count.unsigned_abs())
                && in_tail - oldest >= keep as u64
            {
                tail.pop_front();
                in_tail -= oldest;
            }
        }
        let mut newest: Vec<Slot> = tail.into_iter().rev().flat_map(|series| series.slots().rev()).take(keep).collect();
        newest.reverse();
        Self { count, first, newest }
    }
}
