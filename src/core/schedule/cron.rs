//! Cron expressions on a wall clock.
//!
//! croner reads the expression and says which minutes, hours and days it names. It is not asked for
//! occurrences: times are walked on the wall calendar, day by day, and each becomes an instant by
//! [`Timestamp::from_wall`]. So a time that the clocks skip runs once, later by the width of the gap,
//! and a time that they show twice runs once, the first time.

use std::collections::BTreeSet;
use std::fmt;
use std::iter::Peekable;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{GapInfo, Tz};
use croner::parser::{CronParser, Seconds, Year};
use croner::time::Weekday;

use super::{ScheduleError, Slot};
use crate::calendar::Calendar;
use crate::time::{SessionDate, Timestamp};

/// How far ahead a next day is looked for: the longest that a February 29th on a given weekday can
/// be away (across 2100, which is no leap year), in days.
const LOOK_AHEAD_DAYS: u64 = 40 * 366;

/// A day of every kind lies in these 28 years: leap years and weekdays repeat after them.
const SAMPLE_YEARS: std::ops::Range<i32> = 2000..2028;

/// The longest change of clocks on record is a day; looking back two more hours is enough to stand before it.
const BEFORE_ANY_CHANGE: std::time::Duration = std::time::Duration::from_secs(26 * 3600);

/// A cron expression of five fields in a zone.
///
/// Where day of month and weekday are both given, a day that matches either is meant, as in every
/// cron.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    expression: String,
    tz: Option<Tz>,
    days: CronDays,
    pattern: Box<croner::Cron>,
    /// The minutes of a day on which it falls, counted from midnight.
    minutes: Vec<u32>,
}

/// On which days a cron expression counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronDays {
    /// On all that it names.
    Always,
    /// On those that are session dates in the exchange's zone.
    Sessions,
}

impl Cron {
    /// Reads an expression; without a zone it is the exchange's.
    ///
    /// # Errors
    /// If it has not five fields that read, or names a day that never comes (February 30th).
    pub fn new(expression: &str, tz: Option<Tz>, days: CronDays) -> Result<Self, ScheduleError> {
        let unreadable = |reason: String| ScheduleError::Cron { expression: expression.to_owned(), reason };
        let fields = expression.split_whitespace().count();
        if fields != 5 {
            return Err(unreadable(format!("it has {fields} fields, not five")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(expression).map_err(|error| unreadable(error.to_string()))?;
        let named = |hour: u32, minute: u32| {
            let pattern = &pattern.pattern;
            pattern.hour_match(hour).unwrap_or(false) && pattern.minute_match(minute).unwrap_or(false)
        };
        let minutes = (0..24 * 60).filter(|minute| named(minute / 60, minute % 60)).collect();
        let cron = Self { expression: expression.to_owned(), tz, days, pattern: Box::new(pattern), minutes };
        let mut sample = SAMPLE_YEARS
            .filter_map(|year| NaiveDate::from_ymd_opt(year, 1, 1))
            .flat_map(|first| first.iter_days().take_while(move |date| date.year() == first.year()));
        if !sample.any(|date| cron.falls_on(date)) {
            return Err(unreadable("it names a day that never comes".to_owned()));
        }
        Ok(cron)
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone that it names, if it names one.
    #[must_use]
    pub const fn tz(&self) -> Option<Tz> {
        self.tz
    }

    /// On which days it counts.
    #[must_use]
    pub const fn days(&self) -> CronDays {
        self.days
    }

    fn falls_on(&self, date: NaiveDate) -> bool {
        let weekday = Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
        let pattern = &self.pattern.pattern;
        pattern.month_match(date.month()).unwrap_or(false)
            && pattern.day_match(date.year(), date.month(), date.day(), weekday).unwrap_or(false)
    }

    /// The slots after an instant, in order.
    pub(super) fn slots_after<'a>(
        &'a self,
        calendar: &'a Calendar,
        from: Timestamp,
    ) -> impl Iterator<Item = Slot> + 'a {
        let zone = self.tz.unwrap_or_else(|| calendar.zone());
        let start = first_wall(from, zone);
        let last = start.date().checked_add_days(Days::new(LOOK_AHEAD_DAYS)).unwrap_or(NaiveDate::MAX);
        let walls = start
            .date()
            .iter_days()
            .take_while(move |date| *date <= last)
            .filter(move |date| self.falls_on(*date) && self.may_count(*date, calendar))
            .flat_map(|date| self.minutes.iter().filter_map(move |minute| wall(date, *minute)))
            .filter(move |wall| *wall >= start);
        Instants { walls: walls.peekable(), zone, waiting: BTreeSet::new() }
            .filter(move |at| *at > from)
            .map(|at| Slot { at, session: session_on(calendar, at) })
            .filter(|slot| self.days == CronDays::Always || slot.session.is_some())
    }

    /// Whether a wall date can lie on a session date, which is in another zone, perhaps.
    fn may_count(&self, date: NaiveDate, calendar: &Calendar) -> bool {
        let date = SessionDate(date);
        self.days == CronDays::Always || (-1..=1).any(|days| calendar.session(date.plus_days(days)).is_some())
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cron")
            .field("expression", &self.expression)
            .field("tz", &self.tz)
            .field("days", &self.days)
            .finish_non_exhaustive()
    }
}

/// The date of the session on whose date, in the exchange's zone, an instant falls.
pub(super) fn session_on(calendar: &Calendar, at: Timestamp) -> Option<SessionDate> {
    calendar.session(at.date_in(calendar.zone())).map(|session| session.date)
}

fn wall(date: NaiveDate, minute: u32) -> Option<NaiveDateTime> {
    NaiveTime::from_num_seconds_from_midnight_opt(minute * 60, 0).map(|time| date.and_time(time))
}

/// A wall time from which on all those lie that become instants after `from`: what the clocks show,
/// or, for a day after they skipped ahead, what they would show without it, as skipped times run then.
fn first_wall(from: Timestamp, zone: Tz) -> NaiveDateTime {
    let utc = from.to_utc().naive_utc();
    let offset_s = |at: Timestamp| zone.offset_from_utc_datetime(&at.to_utc().naive_utc()).fix().local_minus_utc();
    let behind_s = offset_s(from).min(offset_s(from.before(BEFORE_ANY_CHANGE)));
    utc.checked_add_signed(TimeDelta::seconds(i64::from(behind_s))).unwrap_or(utc)
}

/// Turns wall times in order into instants in order, each once.
struct Instants<W: Iterator<Item = NaiveDateTime>> {
    walls: Peekable<W>,
    zone: Tz,
    /// Instants of skipped wall times, among which later wall times may fall.
    waiting: BTreeSet<Timestamp>,
}

impl<W: Iterator<Item = NaiveDateTime>> Iterator for Instants<W> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        loop {
            let later = self.walls.peek().map(|wall| earliest_from(*wall, self.zone));
            if self.waiting.first().is_some_and(|first| later.is_none_or(|later| *first < later)) {
                return self.waiting.pop_first();
            }
            self.waiting.insert(Timestamp::from_wall(self.walls.next()?, self.zone));
        }
    }
}

/// The earliest instant that this wall time or a later one can become.
fn earliest_from(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    match GapInfo::new(&wall, &zone).and_then(|gap| gap.end) {
        Some(end) => Timestamp::from_utc(end.to_utc()),
        None => Timestamp::from_wall(wall, zone),
    }
}
