use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units of a [`Span`] from the longest to the shortest, with their lengths in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest span, in milliseconds: a hundred years, so that adding one to an instant cannot overflow.
const MILLIS_MAX: u64 = 36_525 * 86_400_000;

/// A length of time as people write it: `90s`, `5m`, `1h30m`, `7d`. A day is 24 hours.
///
/// As text it is in its shortest form, longest unit first: `90s` is written back as `1m30s`.
///
/// ```
/// # use daybook_core::time::Span;
/// let span: Span = "90s".parse().unwrap();
/// assert_eq!(span.as_millis(), 90_000);
/// assert_eq!(span.to_string(), "1m30s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    millis: u64,
}

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It does not read as numbers with units.
    #[error(
        "\"{text}\" is not a length of time: expected whole numbers with d, h, m, s or ms, longest first, such as 90s, 5m, 1h30m or 7d{}",
        with_unit(text)
    )]
    Unreadable {
        /// What was read.
        text: String,
    },
    /// It is longer than a hundred years.
    #[error("\"{text}\" is too long: at most 36525d")]
    TooLong {
        /// What was read.
        text: String,
    },
}

/// What a number without a unit may be meant to be, as a person is told.
fn with_unit(text: &str) -> String {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("; write {text}s for seconds, {text}m for minutes") } else { String::new() }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self { millis: 0 };

    /// So many milliseconds; at most a hundred years.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self { millis: if millis > MILLIS_MAX { MILLIS_MAX } else { millis } }
    }

    /// So many seconds; at most a hundred years.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self::of(seconds, 1_000)
    }

    /// So many minutes; at most a hundred years.
    #[must_use]
    pub const fn minutes(minutes: u32) -> Self {
        Self::of(minutes, 60_000)
    }

    /// So many hours; at most a hundred years.
    #[must_use]
    pub const fn hours(hours: u32) -> Self {
        Self::of(hours, 3_600_000)
    }

    /// So many days; at most a hundred years.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        Self::of(days, 86_400_000)
    }

    const fn of(count: u32, unit_ms: u64) -> Self {
        Self::millis(count as u64 * unit_ms)
    }

    /// Its length in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// Its length as the standard library's type.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.millis == 0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let unreadable = || SpanError::Unreadable { text: text.to_owned() };
        let too_long = || SpanError::TooLong { text: text.to_owned() };
        let (mut rest, mut units, mut millis) = (text, UNITS.as_slice(), 0_u64);
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let place = units.iter().position(|(name, _)| *name == unit).ok_or_else(unreadable)?;
            let [(_, length), shorter @ ..] = &units[place..] else { return Err(unreadable()) };
            if number.is_empty() {
                return Err(unreadable());
            }
            // All are digits, so a failure can only be an overflow.
            let count: u64 = number.parse().map_err(|_| too_long())?;
            millis = count.checked_mul(*length).and_then(|part| millis.checked_add(part)).ok_or_else(too_long)?;
            (rest, units) = (tail, shorter);
        }
        if text.is_empty() {
            return Err(unreadable());
        }
        if millis > MILLIS_MAX {
            return Err(too_long());
        }
        Ok(Self { millis })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.pad("0s");
        }
        let (mut text, mut rest) = (String::new(), self.millis);
        for (unit, length) in UNITS {
            if rest >= length {
                text.push_str(&format!("{}{unit}", rest / length));
                rest %= length;
            }
        }
        f.pad(&text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time with its unit, such as 90s, 5m, 1h30m or 7d")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        // A visitor, so that a bare number is answered with what was expected.
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read_and_written_in_their_shortest_form() {
        for (text, millis, canonical) in [
            ("0s", 0, "0s"),
            ("90s", 90_000, "1m30s"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("24h", 86_400_000, "1d"),
            ("7d", 604_800_000, "7d"),
            ("250ms", 250, "250ms"),
            ("1d1h1m1s1ms", 90_061_001, "1d1h1m1s1ms"),
            ("36525d", MILLIS_MAX, "36525d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.as_millis(), span.to_string().as_str()), (millis, canonical), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "5", "m", "5 m", " 5m", "5m ", "-5m", "+5m", "1.5h", "5min", "30m1h", "1m1m", "5M", "٥m", "1h-"]
        {
            assert!(matches!(text.parse::<Span>(), Err(SpanError::Unreadable { .. })), "{text:?}");
        }
        for text in ["36525d1ms", "99999999999999999999s", "18446744073709551615d"] {
            assert!(matches!(text.parse::<Span>(), Err(SpanError::TooLong { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_bare_number_is_told_what_was_expected() {
        let error = serde_json::from_str::<Span>("60").unwrap_err().to_string();
        assert!(error.contains("a length of time with its unit, such as 90s"), "{error}");
    }

    #[test]
    fn constants_are_capped() {
        assert_eq!(Span::seconds(90).to_string(), "1m30s");
        assert_eq!(Span::minutes(90).to_string(), "1h30m");
        assert_eq!(Span::hours(u32::MAX).to_string(), "36525d");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..=MILLIS_MAX) {
            let span = Span { millis };
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }
}
