//! Times as a person types and reads them: New York's, where no zone is given.

use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, Weekday};
use chrono_tz::{America::New_York, Tz};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::report::words::instant;
use daybook_core::time::{SessionDate, Timestamp};

use super::exit::CommandError;
use super::output::say;

/// The zone of what people read and type.
pub const ZONE: Tz = New_York;

/// How a time without a zone may be written.
const WALL_FORMS: [&str; 4] = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];

/// The time of day on the wall clock of `zone`: `09:35 EST`.
#[must_use]
pub fn time_of_day(at: Timestamp, zone: Tz) -> String {
    at.in_zone(zone).format("%H:%M %Z").to_string()
}

/// An instant that a person typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    at: Timestamp,
    /// Whether no zone was given.
    is_wall: bool,
}

impl Moment {
    /// The instant. A time that was typed without a zone is echoed, so that nobody is off by hours.
    #[must_use]
    pub fn echoed(self) -> Timestamp {
        if self.is_wall {
            say(&format!("{} = {}", instant(self.at), self.at));
        }
        self.at
    }
}

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self { at, is_wall: false });
        }
        let wall = WALL_FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let wall = wall.ok_or_else(|| {
            "expected a New York time such as 2026-11-16T09:35, or one with its zone such as 2026-11-16T14:35:00Z"
                .to_owned()
        })?;
        Ok(Self { at: Timestamp::from_wall(wall, ZONE), is_wall: true })
    }
}

/// Local midnight at the beginning of a date.
#[must_use]
pub fn midnight(date: SessionDate, zone: Tz) -> Timestamp {
    Timestamp::from_wall(date.0.and_time(chrono::NaiveTime::MIN), zone)
}

/// The session of a date.
///
/// # Errors
/// On a day without one: says why there is none, and which sessions are nearest.
pub fn session_of(calendar: &Calendar, date: SessionDate) -> Result<Session, CommandError> {
    calendar.session(date).ok_or_else(|| CommandError::Usage(no_session(calendar, date)))
}

/// Why a date has no session, and which are nearest.
#[must_use]
pub fn no_session(calendar: &Calendar, date: SessionDate) -> String {
    let name = calendar.name();
    if !calendar.knows(date) {
        return out_of_range(calendar, date);
    }
    let reason = calendar
        .closed(date, date)
        .first()
        .map_or_else(|| format!("a {}", weekday(date.weekday())), |(_, holiday)| (*holiday).to_owned());
    let nearest: Vec<String> = [calendar.session_before(date), calendar.session_after(date)]
        .into_iter()
        .flatten()
        .map(|session| session.date.to_string())
        .collect();
    format!("{date} is no session of {name} ({reason}); the nearest: {}", nearest.join(" and "))
}

/// Says which dates the calendar knows.
#[must_use]
pub fn out_of_range(calendar: &Calendar, date: SessionDate) -> String {
    let (first, last) = (calendar.first_date(), calendar.last_date());
    format!("{date} is outside the years that the calendar {} knows: expected {first} to {last}", calendar.name())
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

/// A date as it is typed, for clap: the message says what was expected.
///
/// # Errors
/// If the text is no date.
pub fn date(text: &str) -> Result<SessionDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map(SessionDate)
        .map_err(|_| "expected a date such as 2026-11-16".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        text.parse::<Moment>().map(|moment| moment.at.to_string()).unwrap_or_else(|error| error)
    }

    #[test]
    fn a_time_without_a_zone_is_new_yorks() {
        for wall in ["2026-11-16T09:35", "2026-11-16 09:35", "2026-11-16T09:35:00", "2026-11-16 09:35:00"] {
            assert_eq!(at(wall), "2026-11-16T14:35:00Z");
        }
        assert_eq!(at("2026-07-16T09:35"), "2026-07-16T13:35:00Z");
        assert_eq!(at("2026-11-16T14:35:00Z"), "2026-11-16T14:35:00Z");
        assert_eq!(at("2026-11-16T09:35:00-05:00"), "2026-11-16T14:35:00Z");
        assert!(at("9:35").starts_with("expected a New York time such as"));
    }

    #[test]
    fn a_day_without_a_session_says_why_and_what_is_near() {
        let calendar = Calendar::xnys();
        let table = [
            (
                "2026-11-26",
                "2026-11-26 is no session of XNYS (Thanksgiving Day); the nearest: 2026-11-25 and 2026-11-27",
            ),
            ("2026-11-28", "2026-11-28 is no session of XNYS (a Saturday); the nearest: 2026-11-27 and 2026-11-30"),
            (
                "2031-01-02",
                "2031-01-02 is outside the years that the calendar XNYS knows: expected 1990-01-01 to 2030-12-31",
            ),
        ];
        for (text, expected) in table {
            let refused = session_of(&calendar, date(text).unwrap()).unwrap_err();
            assert_eq!(refused, CommandError::Usage(expected.to_owned()));
        }
        assert!(session_of(&calendar, date("2026-11-27").unwrap()).is_ok());
    }
}
