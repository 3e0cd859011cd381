//! The New York Stock Exchange, 1990 to 2030.
//!
//! Sources: NYSE Rule 51 and 7.2, the exchange's yearly notices of holidays and early closings, its
//! list "Special Closings" since 1885; checked session by session against exchange_calendars 4.13.2
//! (see `golden/`).
//!
//! These are the hours that the exchange announced beforehand. What cut into a running day is left
//! out, as no schedule could have known it: the delayed openings of 1990-12-27 (transformer fire),
//! 1995-12-18 (computers) and 2002-09-11 (memorial, to noon), the blizzards of 1994-02-11 (closed
//! 14:30) and 1996-01-08 (11:00 to 14:00), the circuit breaker of 1997-10-27 (closed 15:30), the
//! failed feed of 2005-06-01 (closed 15:56), and minutes of silence at the open. The calendar above
//! leaves them out too.

use chrono::Weekday::{Fri, Mon, Thu, Tue, Wed};
use chrono_tz::America::New_York;

use super::rules::{Day, Definition, Effect, Hours, Observed, OneOff, Rule, WallTime};

/// The early close since 1993.
const ONE_PM: Effect = Effect::ClosesAt(WallTime::at(13, 0));
/// The early close until 1992.
const TWO_PM: Effect = Effect::ClosesAt(WallTime::at(14, 0));

const FIRST_YEAR: i32 = 1990;
const LAST_YEAR: i32 = 2030;

pub(super) static XNYS: Definition = Definition {
    name: "XNYS",
    zone: New_York,
    years: FIRST_YEAR..=LAST_YEAR,
    weekdays: &[Mon, Tue, Wed, Thu, Fri],
    hours: Hours {
        pre_open: WallTime::at(4, 0),
        open: WallTime::at(9, 30),
        close: WallTime::at(16, 0),
        post_close: WallTime::at(20, 0),
        early_post_close: WallTime::at(17, 0),
    },
    rules: &[
        // Holidays.
        Rule {
            name: "New Year's Day",
            years: FIRST_YEAR..=LAST_YEAR,
            // Not on the Friday before: the exchange does not close at the end of a year's books.
            day: Day::Fixed { month: 1, day: 1, observed: Observed::SundayOnMonday },
            effect: Effect::Closed,
        },
        Rule {
            name: "Martin Luther King Jr. Day",
            years: 1998..=LAST_YEAR,
            day: Day::Nth { month: 1, weekday: Mon, nth: 3, plus_days: 0 },
            effect: Effect::Closed,
        },
        Rule {
            name: "Washington's Birthday",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Nth { month: 2, weekday: Mon, nth: 3, plus_days: 0 },
            effect: Effect::Closed,
        },
        Rule {
            name: "Good Friday",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Easter { plus_days: -2 },
            effect: Effect::Closed,
        },
        Rule {
            name: "Memorial Day",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Last { month: 5, weekday: Mon },
            effect: Effect::Closed,
        },
        Rule {
            name: "Juneteenth National Independence Day",
            years: 2022..=LAST_YEAR,
            day: Day::Fixed { month: 6, day: 19, observed: Observed::NearestWeekday },
            effect: Effect::Closed,
        },
        Rule {
            name: "Independence Day",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Fixed { month: 7, day: 4, observed: Observed::NearestWeekday },
            effect: Effect::Closed,
        },
        Rule {
            name: "Labor Day",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Nth { month: 9, weekday: Mon, nth: 1, plus_days: 0 },
            effect: Effect::Closed,
        },
        Rule {
            name: "Thanksgiving Day",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Nth { month: 11, weekday: Thu, nth: 4, plus_days: 0 },
            effect: Effect::Closed,
        },
        Rule {
            name: "Christmas Day",
            years: FIRST_YEAR..=LAST_YEAR,
            day: Day::Fixed { month: 12, day: 25, observed: Observed::NearestWeekday },
            effect: Effect::Closed,
        },
        // Early closes. Where the day itself is a holiday's observance, the closure wins.
        Rule {
            name: "Day before Independence Day",
            years: 1995..=2012,
            day: Day::Only { month: 7, day: 3, weekdays: &[Mon, Tue, Thu] },
            effect: ONE_PM,
        },
        Rule {
            // A holiday on a Thursday made the Friday after it short; since 2013 the Wednesday before.
            name: "Day after Independence Day",
            years: 1995..=2012,
            day: Day::Only { month: 7, day: 5, weekdays: &[Fri] },
            effect: ONE_PM,
        },
        Rule {
            name: "Day before Independence Day",
            years: 2013..=LAST_YEAR,
            day: Day::Only { month: 7, day: 3, weekdays: &[Mon, Tue, Wed, Thu] },
            effect: ONE_PM,
        },
        Rule {
            name: "Day after Thanksgiving",
            years: 1992..=1992,
            day: Day::Nth { month: 11, weekday: Thu, nth: 4, plus_days: 1 },
            effect: TWO_PM,
        },
        Rule {
            name: "Day after Thanksgiving",
            years: 1993..=LAST_YEAR,
            day: Day::Nth { month: 11, weekday: Thu, nth: 4, plus_days: 1 },
            effect: ONE_PM,
        },
        Rule {
            name: "Christmas Eve",
            years: FIRST_YEAR..=1992,
            day: Day::Only { month: 12, day: 24, weekdays: &[Mon, Tue, Wed, Thu] },
            effect: TWO_PM,
        },
        Rule {
            name: "Christmas Eve",
            years: 1993..=LAST_YEAR,
            day: Day::Only { month: 12, day: 24, weekdays: &[Mon, Tue, Wed, Thu] },
            effect: ONE_PM,
        },
    ],
    one_offs: &[
        OneOff { name: "Mourning for President Nixon", date: (1994, 4, 27), effect: Effect::Closed },
        OneOff { name: "Day after Christmas", date: (1997, 12, 26), effect: ONE_PM },
        OneOff { name: "Eve of the year 2000", date: (1999, 12, 31), effect: ONE_PM },
        OneOff { name: "Attacks of September 11", date: (2001, 9, 11), effect: Effect::Closed },
        OneOff { name: "Attacks of September 11", date: (2001, 9, 12), effect: Effect::Closed },
        OneOff { name: "Attacks of September 11", date: (2001, 9, 13), effect: Effect::Closed },
        OneOff { name: "Attacks of September 11", date: (2001, 9, 14), effect: Effect::Closed },
        OneOff { name: "Day after Christmas", date: (2003, 12, 26), effect: ONE_PM },
        OneOff { name: "Mourning for President Reagan", date: (2004, 6, 11), effect: Effect::Closed },
        OneOff { name: "Mourning for President Ford", date: (2007, 1, 2), effect: Effect::Closed },
        OneOff { name: "Hurricane Sandy", date: (2012, 10, 29), effect: Effect::Closed },
        OneOff { name: "Hurricane Sandy", date: (2012, 10, 30), effect: Effect::Closed },
        OneOff { name: "Mourning for President G. H. W. Bush", date: (2018, 12, 5), effect: Effect::Closed },
        OneOff { name: "Mourning for President Carter", date: (2025, 1, 9), effect: Effect::Closed },
    ],
};
