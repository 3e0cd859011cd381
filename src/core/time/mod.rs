//! Instants and session dates.
//!
//! Inside Daybook time is UTC milliseconds. New York time appears in the calendar and in what people
//! read, never in a row. Lengths of time that people write are [`Span`]s.

mod span;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{
    DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, SecondsFormat, TimeDelta, TimeZone, Utc,
    Weekday,
};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use span::{Span, SpanError};

/// An instant: milliseconds since 1970-01-01T00:00:00Z. As text it is RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// Text that is no instant or no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct TimeError {
    /// What was read.
    pub text: String,
    /// What was expected, with an example.
    pub expected: &'static str,
}

impl Timestamp {
    /// The instant of a UTC date and time.
    #[must_use]
    pub fn from_utc(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_millis())
    }

    /// This instant as chrono's UTC type; instants beyond year 262,000 become the epoch.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// This instant on the wall clock of `zone`.
    #[must_use]
    pub fn in_zone(self, zone: Tz) -> DateTime<Tz> {
        zone.from_utc_datetime(&self.to_utc().naive_utc())
    }

    /// The instant at which the clocks of `zone` show `wall`.
    ///
    /// A time that they skip in spring is moved forward by the width of the gap; of a time that they
    /// show twice in autumn it is the first.
    ///
    /// ```
    /// # use daybook_core::time::Timestamp;
    /// # use chrono_tz::America::New_York;
    /// let at = |wall: &str| Timestamp::from_wall(wall.parse().unwrap(), New_York).in_zone(New_York).to_string();
    /// assert_eq!(at("2026-03-08T02:30:00"), "2026-03-08 03:30:00 EDT");
    /// assert_eq!(at("2026-11-01T01:30:00"), "2026-11-01 01:30:00 EDT");
    /// ```
    #[must_use]
    pub fn from_wall(wall: NaiveDateTime, zone: Tz) -> Self {
        let offset = match zone.offset_from_local_datetime(&wall) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => Some(offset),
            MappedLocalTime::None => GapInfo::new(&wall, &zone).and_then(|gap| gap.begin).map(|(_, before)| before),
        };
        // A gap without a beginning would be one before the zone's first entry: none exists.
        let offset_s = offset.map_or(0, |offset| offset.fix().local_minus_utc());
        Self(wall.and_utc().timestamp_millis() - i64::from(offset_s) * 1000)
    }

    /// The date on the wall calendar of `zone` at this instant.
    #[must_use]
    pub fn date_in(self, zone: Tz) -> SessionDate {
        SessionDate(self.in_zone(zone).date_naive())
    }

    /// A later instant; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// An earlier instant; saturates.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The start of the `step` (from the epoch) that holds this instant.
    #[inline]
    #[must_use]
    pub fn floor_to(self, step: Duration) -> Self {
        // In 64 bits, as long as they do: minutes of many bars are told by this.
        let step_ms = step.as_secs().saturating_mul(1_000).saturating_add(u64::from(step.subsec_millis()));
        let step_ms = i64::try_from(step_ms).unwrap_or(i64::MAX).max(1);
        Self(self.0 - self.0.rem_euclid(step_ms))
    }

    /// The first multiple of `step` at or after it, counted from 1970.
    #[must_use]
    pub fn ceil_to(self, step: Duration) -> Self {
        let floor = self.floor_to(step);
        if floor < self { floor.after(step) } else { floor }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = if self.0 % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
        f.pad(&self.to_utc().to_rfc3339_opts(precision, true))
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        DateTime::parse_from_rfc3339(text).map(|instant| Self::from_utc(instant.with_timezone(&Utc))).map_err(|_| {
            TimeError { text: text.to_owned(), expected: "an instant with its zone, such as 2026-11-16T14:30:00Z" }
        })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The date of an exchange's session, in the exchange's own zone. As text: `2026-11-16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionDate(pub NaiveDate);

impl SessionDate {
    /// A date; `None` where the calendar has none (February 30th).
    #[must_use]
    pub fn of(year: i32, month: u32, day: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, day).map(Self)
    }

    /// The date so many days later, or earlier where negative; stops at chrono's first and last date.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        let shifted = TimeDelta::try_days(days).and_then(|delta| self.0.checked_add_signed(delta));
        Self(shifted.unwrap_or(if days < 0 { NaiveDate::MIN } else { NaiveDate::MAX }))
    }

    /// The day of the week.
    #[must_use]
    pub fn weekday(self) -> Weekday {
        self.0.weekday()
    }
}

impl fmt::Display for SessionDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for SessionDate {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        stored_date(text)
            .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())
            .map(Self)
            .ok_or_else(|| TimeError { text: text.to_owned(), expected: "a date, such as 2026-11-16" })
    }
}

/// A date in the one form in which it is stored; chrono's parser, which knows more, takes ten times as long.
fn stored_date(text: &str) -> Option<NaiveDate> {
    let number = |from: usize, to: usize| {
        let digits = text.as_bytes().get(from..to)?;
        digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    };
    let is_dashed = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if !is_dashed {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 7)?, number(8, 10)?)
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America::New_York, Australia::Lord_Howe, Pacific::Apia};

    use super::*;

    fn wall(text: &str, zone: Tz) -> String {
        Timestamp::from_wall(text.parse().unwrap(), zone).to_string()
    }

    #[test]
    fn a_date_reads_as_chrono_reads_it() {
        let texts = [
            "2026-11-16",
            "2024-02-29",
            "2026-02-29",
            "2026-13-01",
            "2026-1-5",
            "0001-01-01",
            "12026-11-16",
            "-001-01-01",
            "2026/11/16",
            "2026-11-1x",
            "202\u{e9}-11-16",
            "+026-11-16",
            "",
        ];
        for text in texts {
            let read: Option<SessionDate> = text.parse().ok();
            assert_eq!(read, NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(SessionDate), "{text}");
        }
        let first = NaiveDate::from_ymd_opt(1990, 1, 1).unwrap();
        for date in first.iter_days().take(20_000).map(SessionDate) {
            assert_eq!(date.to_string().parse(), Ok(date));
            assert_eq!(date.to_string(), date.0.format("%Y-%m-%d").to_string());
        }
    }

    #[test]
    fn a_wall_time_is_one_instant() {
        assert_eq!(wall("2026-01-15T09:30:00", New_York), "2026-01-15T14:30:00Z");
        assert_eq!(wall("2026-07-15T09:30:00", New_York), "2026-07-15T13:30:00Z");
    }

    #[test]
    fn a_skipped_wall_time_moves_forward_by_the_gap() {
        assert_eq!(wall("2026-03-08T01:59:59", New_York), "2026-03-08T06:59:59Z");
        assert_eq!(wall("2026-03-08T02:00:00", New_York), "2026-03-08T07:00:00Z");
        assert_eq!(wall("2026-03-08T02:30:00", New_York), "2026-03-08T07:30:00Z");
        assert_eq!(wall("2026-03-08T03:30:00", New_York), "2026-03-08T07:30:00Z");
        // Half an hour in Lord Howe; a whole day in Samoa, which left out 2011-12-30.
        assert_eq!(wall("2026-10-04T02:15:00", Lord_Howe), wall("2026-10-04T02:45:00", Lord_Howe));
        assert_eq!(wall("2011-12-30T12:00:00", Apia), wall("2011-12-31T12:00:00", Apia));
    }

    #[test]
    fn of_a_repeated_wall_time_the_first_counts() {
        assert_eq!(wall("2026-11-01T00:59:00", New_York), "2026-11-01T04:59:00Z");
        assert_eq!(wall("2026-11-01T01:30:00", New_York), "2026-11-01T05:30:00Z");
        assert_eq!(wall("2026-11-01T02:00:00", New_York), "2026-11-01T07:00:00Z");
    }

    #[test]
    fn dates_are_counted_in_days() {
        let date: SessionDate = "2026-02-28".parse().unwrap();
        assert_eq!(date.plus_days(1).to_string(), "2026-03-01");
        assert_eq!(date.plus_days(-59).to_string(), "2025-12-31");
        assert_eq!(date.plus_days(i64::MIN).0, NaiveDate::MIN);
        assert_eq!(date.weekday(), Weekday::Sat);
    }

    #[test]
    fn the_date_is_the_one_on_the_wall() {
        let late: Timestamp = "2026-11-17T04:59:59Z".parse().unwrap();
        assert_eq!(late.date_in(New_York).to_string(), "2026-11-16");
        assert_eq!(late.date_in(Tz::UTC).to_string(), "2026-11-17");
    }
}
