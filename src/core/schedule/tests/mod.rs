//! Schedules are held against walks that know nothing of them: minute by minute, over half days and
//! over the days on which the clocks change.

mod language;
mod planning;
mod walks;

use chrono::Weekday;
use chrono_tz::Tz;

use super::*;
use crate::calendar::{Calendar, Definition, Effect, Hours, OneOff, WallTime};
use crate::time::{SessionDate, Timestamp};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn date(text: &str) -> SessionDate {
    text.parse().unwrap()
}

fn schedule(json: &str) -> Schedule {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn job(json: &str) -> JobDefinition {
    let file: JobFile = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    file.into_definition("a-job").unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Trades around the clock of New York, weekends included: its sessions of the days on which the clocks change
/// have 23 and 25 hours. One of them closes at noon.
static ROUND_THE_CLOCK: Definition = Definition {
    name: "CLOCK",
    zone: Tz::America__New_York,
    years: 2020..=2030,
    weekdays: &[Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun],
    hours: Hours {
        pre_open: WallTime::at(0, 0),
        open: WallTime::at(1, 30),
        close: WallTime::at(23, 0),
        post_close: WallTime::at(24, 0),
        early_post_close: WallTime::at(24, 0),
    },
    rules: &[],
    one_offs: &[OneOff { name: "Noon", date: (2026, 3, 9), effect: Effect::ClosesAt(WallTime::at(12, 7)) }],
};

fn calendars() -> [Calendar; 3] {
    [Calendar::xnys(), Calendar::always_open(), Calendar::new(&ROUND_THE_CLOCK)]
}
