use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::MINUTE;

/// How long a bar is. As text: `1m`, `5m`, `15m`, `30m`, `1h`, `4h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeframe {
    /// One minute.
    M1,
    /// Five minutes.
    M5,
    /// Fifteen minutes.
    M15,
    /// Thirty minutes.
    M30,
    /// One hour.
    H1,
    /// Four hours.
    H4,
    /// One session, whatever its length.
    D1,
}

/// Text that is no timeframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a timeframe: expected one of 1m, 5m, 15m, 30m, 1h, 4h, 1d")]
pub struct TimeframeError {
    /// What was read.
    pub text: String,
}

impl Timeframe {
    /// Every timeframe, shortest first.
    pub const ALL: [Self; 7] = [Self::M1, Self::M5, Self::M15, Self::M30, Self::H1, Self::H4, Self::D1];

    /// The length of its buckets; `None` for the session, whose length is the calendar's to say.
    #[must_use]
    pub const fn length(self) -> Option<Duration> {
        let minutes = match self {
            Self::M1 => 1,
            Self::M5 => 5,
            Self::M15 => 15,
            Self::M30 => 30,
            Self::H1 => 60,
            Self::H4 => 240,
            Self::D1 => return None,
        };
        Some(Duration::from_secs(minutes * MINUTE.as_secs()))
    }

    /// `5m` and the like.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "1m",
            Self::M5 => "5m",
            Self::M15 => "15m",
            Self::M30 => "30m",
            Self::H1 => "1h",
            Self::H4 => "4h",
            Self::D1 => "1d",
        }
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Timeframe {
    type Err = TimeframeError;
    fn from_str(text: &str) -> Result<Self, TimeframeError> {
        let known = Self::ALL.into_iter().find(|timeframe| timeframe.as_str() == text);
        known.ok_or_else(|| TimeframeError { text: text.to_owned() })
    }
}

impl Serialize for Timeframe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Timeframe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back() {
        for timeframe in Timeframe::ALL {
            assert_eq!(timeframe.to_string().parse(), Ok(timeframe));
        }
        let error = "2h".parse::<Timeframe>().map_err(|e| e.to_string());
        assert_eq!(error, Err("\"2h\" is not a timeframe: expected one of 1m, 5m, 15m, 30m, 1h, 4h, 1d".to_owned()));
    }
}
