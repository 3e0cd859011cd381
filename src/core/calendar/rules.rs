//! How an exchange's year follows from its data.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;

use super::{Session, SessionKind};
use crate::time::{SessionDate, Timestamp};

/// Everything that tells one exchange's calendar from another's.
#[derive(Debug)]
pub struct Definition {
    /// Its code, such as `XNYS` (ISO 10383).
    pub name: &'static str,
    /// Where its wall clock hangs.
    pub zone: Tz,
    /// The years for which the rules below hold.
    pub years: RangeInclusive<i32>,
    /// The days of the week that have sessions.
    pub weekdays: &'static [Weekday],
    /// The hours of a day without exceptions.
    pub hours: Hours,
    /// What happens every year.
    pub rules: &'static [Rule],
    /// What happened once.
    pub one_offs: &'static [OneOff],
}

/// The hours of a session on the exchange's wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Hours {
    /// The beginning of the pre-market.
    pub pre_open: WallTime,
    /// The beginning of regular trading.
    pub open: WallTime,
    /// The end of regular trading.
    pub close: WallTime,
    /// The end of the post-market.
    pub post_close: WallTime,
    /// The end of the post-market on a day that closes early.
    pub early_post_close: WallTime,
}

/// A wall time counted in minutes from the midnight that begins the session's date: negative on the
/// evening before, 1,440 at the midnight that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(i32);

impl WallTime {
    /// So many hours and minutes after midnight.
    #[must_use]
    pub const fn at(hour: i32, minute: i32) -> Self {
        Self(hour * 60 + minute)
    }

    fn on(self, date: NaiveDate, zone: Tz) -> Timestamp {
        let midnight = date.and_time(NaiveTime::MIN);
        Timestamp::from_wall(midnight + TimeDelta::minutes(i64::from(self.0)), zone)
    }
}

/// What a holiday or an exception does to a day. Of several, a closure wins.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// There is no session.
    Closed,
    /// Regular trading ends at this time instead.
    ClosesAt(WallTime),
    /// Regular trading begins at this time instead.
    OpensAt(WallTime),
}

/// A day that comes every year.
#[derive(Debug)]
pub struct Rule {
    /// What people call it.
    pub name: &'static str,
    /// The years in which it is kept.
    pub years: RangeInclusive<i32>,
    /// Which day it is.
    pub day: Day,
    /// What it does.
    pub effect: Effect,
}

/// A date that happened once.
#[derive(Debug)]
pub struct OneOff {
    /// What people call it.
    pub name: &'static str,
    /// Year, month and day.
    pub date: (i32, u32, u32),
    /// What it does.
    pub effect: Effect,
}

/// How a year's day is found.
#[derive(Debug)]
pub enum Day {
    /// A day of a month, and what happens when it falls on a weekend.
    Fixed { month: u32, day: u32, observed: Observed },
    /// A day of a month, in the years in which it falls on one of these weekdays.
    Only { month: u32, day: u32, weekdays: &'static [Weekday] },
    /// The n-th such weekday of a month, and so many days after it.
    Nth { month: u32, weekday: Weekday, nth: u8, plus_days: i64 },
    /// The last such weekday of a month.
    Last { month: u32, weekday: Weekday },
    /// So many days after Easter Sunday.
    Easter { plus_days: i64 },
}

/// When a holiday of fixed date is kept.
#[derive(Debug, Clone, Copy)]
pub enum Observed {
    /// On Monday when it falls on a Sunday; not at all when it falls on a Saturday.
    SundayOnMonday,
    /// On Friday when it falls on a Saturday, on Monday when it falls on a Sunday.
    NearestWeekday,
}

impl Day {
    /// The day in a year, if the year has one.
    fn in_year(&self, year: i32) -> Option<NaiveDate> {
        match *self {
            Self::Fixed { month, day, observed } => {
                let date = NaiveDate::from_ymd_opt(year, month, day)?;
                match (date.weekday(), observed) {
                    (Weekday::Sat, Observed::NearestWeekday) => date.pred_opt(),
                    (Weekday::Sun, Observed::NearestWeekday | Observed::SundayOnMonday) => date.succ_opt(),
                    _ => Some(date),
                }
            }
            Self::Only { month, day, weekdays } => {
                NaiveDate::from_ymd_opt(year, month, day).filter(|date| weekdays.contains(&date.weekday()))
            }
            Self::Nth { month, weekday, nth, plus_days } => {
                NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth).map(|date| plus(date, plus_days))
            }
            Self::Last { month, weekday } => NaiveDate::from_weekday_of_month_opt(year, month, weekday, 5)
                .or_else(|| NaiveDate::from_weekday_of_month_opt(year, month, weekday, 4)),
            Self::Easter { plus_days } => easter(year).map(|date| plus(date, plus_days)),
        }
    }
}

fn plus(date: NaiveDate, days: i64) -> NaiveDate {
    SessionDate(date).plus_days(days).0
}

/// Easter Sunday of the Gregorian calendar, by the algorithm of Meeus, Jones and Butcher
/// (Meeus, *Astronomical Algorithms*, chapter 8).
fn easter(year: i32) -> Option<NaiveDate> {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let h = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    NaiveDate::from_ymd_opt(year, u32::try_from(n / 31).ok()?, u32::try_from(n % 31 + 1).ok()?)
}

/// A year worked out.
#[derive(Debug)]
pub(super) struct Year {
    /// Its sessions, by date.
    pub sessions: Vec<Session>,
    /// Its days of the trading week that have no session, by date, with the reason.
    pub closed: Vec<(SessionDate, &'static str)>,
}

/// What rules and one-offs make of a date.
#[derive(Default)]
struct Exception {
    closed: Option<&'static str>,
    open: Option<WallTime>,
    close: Option<WallTime>,
}

impl Definition {
    /// Works out a year.
    pub(super) fn year(&self, year: i32) -> Year {
        let exceptions = self.exceptions(year);
        let mut worked_out = Year { sessions: Vec::new(), closed: Vec::new() };
        let first = NaiveDate::from_ymd_opt(year, 1, 1);
        let days = first.into_iter().flat_map(|first| first.iter_days().take_while(|date| date.year() == year));
        for date in days.filter(|date| self.weekdays.contains(&date.weekday())) {
            match exceptions.get(&date) {
                Some(Exception { closed: Some(name), .. }) => worked_out.closed.push((SessionDate(date), name)),
                Some(exception) => worked_out.sessions.push(self.session(date, exception)),
                None => worked_out.sessions.push(self.session(date, &Exception::default())),
            }
        }
        worked_out
    }

    fn exceptions(&self, year: i32) -> BTreeMap<NaiveDate, Exception> {
        // A neighbouring year's holiday may be kept in this one (a New Year's Day on December 31st).
        let kept = |rule: &'static Rule| {
            (year - 1..=year + 1)
                .filter(|nominal| rule.years.contains(nominal))
                .filter_map(|nominal| rule.day.in_year(nominal))
                .map(|date| (date, rule.name, rule.effect))
        };
        let once = |one_off: &'static OneOff| {
            let (year, month, day) = one_off.date;
            NaiveDate::from_ymd_opt(year, month, day).map(|date| (date, one_off.name, one_off.effect))
        };
        let all = self.rules.iter().flat_map(kept).chain(self.one_offs.iter().filter_map(once));
        let mut exceptions: BTreeMap<NaiveDate, Exception> = BTreeMap::new();
        for (date, name, effect) in all.filter(|(date, ..)| date.year() == year) {
            let exception = exceptions.entry(date).or_default();
            match effect {
                Effect::Closed => exception.closed = Some(name),
                Effect::OpensAt(time) => exception.open = Some(time),
                Effect::ClosesAt(time) => exception.close = Some(time),
            }
        }
        exceptions
    }

    fn session(&self, date: NaiveDate, exception: &Exception) -> Session {
        let close = exception.close.unwrap_or(self.hours.close);
        let (kind, post_close) = if close < self.hours.close {
            (SessionKind::Early, self.hours.early_post_close)
        } else {
            (SessionKind::Full, self.hours.post_close)
        };
        let at = |time: WallTime| time.on(date, self.zone);
        Session {
            date: SessionDate(date),
            kind,
            pre_open: at(self.hours.pre_open),
            open: at(exception.open.unwrap_or(self.hours.open)),
            close: at(close),
            post_close: at(post_close),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn easter_is_where_the_almanac_has_it() {
        // The extremes of the range and the years around them.
        for day in [
            "1818-03-22",
            "1943-04-25",
            "1990-04-15",
            "2000-04-23",
            "2008-03-23",
            "2011-04-24",
            "2026-04-05",
            "2030-04-21",
        ] {
            assert_eq!(easter(date(day).year()), Some(date(day)));
        }
    }

    #[test]
    fn holidays_move_off_the_weekend_by_their_rule() {
        let nearest = Day::Fixed { month: 7, day: 4, observed: Observed::NearestWeekday };
        assert_eq!(nearest.in_year(2020), Some(date("2020-07-03")));
        assert_eq!(nearest.in_year(2021), Some(date("2021-07-05")));
        assert_eq!(nearest.in_year(2024), Some(date("2024-07-04")));
        let monday = Day::Fixed { month: 1, day: 1, observed: Observed::SundayOnMonday };
        assert_eq!(monday.in_year(2022), Some(date("2022-01-01")), "a Saturday: nothing is closed for it");
        assert_eq!(monday.in_year(2023), Some(date("2023-01-02")));
    }

    #[test]
    fn weekdays_of_a_month_are_counted() {
        assert_eq!(Day::Last { month: 5, weekday: Weekday::Mon }.in_year(2026), Some(date("2026-05-25")));
        assert_eq!(Day::Last { month: 5, weekday: Weekday::Mon }.in_year(2027), Some(date("2027-05-31")));
        let day_after = Day::Nth { month: 11, weekday: Weekday::Thu, nth: 4, plus_days: 1 };
        assert_eq!(day_after.in_year(2026), Some(date("2026-11-27")));
        let christmas_eve = Day::Only { month: 12, day: 24, weekdays: &[Weekday::Thu] };
        assert_eq!(christmas_eve.in_year(2026), Some(date("2026-12-24")));
        assert_eq!(christmas_eve.in_year(2027), None);
    }
}
