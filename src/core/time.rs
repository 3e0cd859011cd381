//! Instants and session dates.
//!
//! Inside Daybook time is UTC milliseconds. New York time appears in the calendar and in what people
//! read, never in a row.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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
    #[must_use]
    pub fn floor_to(self, step: Duration) -> Self {
        let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        Self(self.0 - self.0.rem_euclid(step_ms))
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
}

impl fmt::Display for SessionDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.format("%Y-%m-%d").to_string())
    }
}

impl FromStr for SessionDate {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(Self)
            .map_err(|_| TimeError { text: text.to_owned(), expected: "a date, such as 2026-11-16" })
    }
}
