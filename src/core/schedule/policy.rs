//! What becomes of a slot that is late, repeated or failed.

use std::fmt;
use std::str::FromStr;

use serde::de::value::SeqAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Pace, Schedule, Slot, next_slot_after};
use crate::calendar::Calendar;
use crate::time::{Span, Timestamp};

/// Until when a slot's run may start if nothing else says so: a day later. It stands in where the
/// calendar or the schedule ends before the limit does.
const WITHOUT_AN_END: Span = Span::days(1);

/// What happens to a slot while an earlier run of the job is still at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// It waits, and it alone: a newer one takes its place.
    QueueOne,
}

/// Which slots run that came due while nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Each that is still in its window, up to a hundred; no thought is given to the others.
    None,
    /// The newest, if it is still in its window.
    Latest,
    /// The newest so many, those that are still in their windows.
    All(u32),
    /// The newest, if it is still in its window; its loss is a fault that a person is told of.
    MustRun,
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Latest => f.pad("latest"),
            Self::All(slots) => write!(f, "all: {slots}"),
            Self::MustRun => f.pad("must_run"),
        }
    }
}

/// How often a failed run is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// So many times.
    Times(u32),
    /// For so long after the slot.
    For(Span),
    /// As long as its window lasts.
    UntilExpired,
}

/// Until when a slot's run may start: the earliest of its limits.
///
/// As text: one limit (`15m`, `until_close`) or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    limits: Vec<Limit>,
}

/// An end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So long after the slot.
    After(Span),
    /// The first open at or after the slot.
    UntilOpen,
    /// The first close at or after the slot.
    UntilClose,
    /// The schedule's next slot.
    UntilNextSlot,
}

impl Window {
    /// A window that ends with this limit.
    #[must_use]
    pub fn until(limit: Limit) -> Self {
        Self { limits: vec![limit] }
    }

    /// The same window, which ends with this limit too, if that is earlier.
    #[must_use]
    pub fn or_until(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The instant from which on a slot's run must not start any more.
    #[must_use]
    pub fn expires_at(&self, slot: Slot, schedule: &Schedule, calendar: &Calendar, pace: Pace) -> Timestamp {
        // At or after: just before it, and then the first one after that.
        let before = Timestamp(slot.at.0.saturating_sub(1));
        let ends = self.limits.iter().filter_map(|limit| match limit {
            Limit::After(span) => Some(slot.at.after(span.as_duration())),
            Limit::UntilOpen => calendar.next_open(before),
            Limit::UntilClose => calendar.next_close(before),
            Limit::UntilNextSlot => next_slot_after(schedule, calendar, pace, slot.at).map(|next| next.at),
        });
        ends.min().unwrap_or_else(|| slot.at.after(WITHOUT_AN_END.as_duration()))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(f),
            Self::UntilOpen => f.pad("until_open"),
            Self::UntilClose => f.pad("until_close"),
            Self::UntilNextSlot => f.pad("until_next_slot"),
        }
    }
}

/// What a limit may be, for people.
const LIMITS: &str = "a length of time such as 15m, or until_open, until_close or until_next_slot";

/// Text that is no limit of a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no end of a window: expected {LIMITS}")]
pub struct LimitError {
    text: String,
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        match text {
            "until_open" => Ok(Self::UntilOpen),
            "until_close" => Ok(Self::UntilClose),
            "until_next_slot" => Ok(Self::UntilNextSlot),
            _ => text.parse().map(Self::After).map_err(|_| LimitError { text: text.to_owned() }),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.limits.as_slice() {
            [limit] => limit.serialize(serializer),
            limits => limits.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;
        impl<'de> de::Visitor<'de> for OneOrList {
            type Value = Window;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{LIMITS}; or a list of these")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Window, E> {
                text.parse().map(Window::until).map_err(E::custom)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Window, A::Error> {
                let limits: Vec<Limit> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                if limits.is_empty() {
                    return Err(de::Error::invalid_length(0, &"at least one end of the window"));
                }
                Ok(Window { limits })
            }
        }
        deserializer.deserialize_any(OneOrList)
    }
}

impl Serialize for Retries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Times(times) => serializer.serialize_u32(*times),
            Self::For(span) => span.serialize(serializer),
            Self::UntilExpired => serializer.serialize_str("until_expired"),
        }
    }
}

impl<'de> Deserialize<'de> for Retries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrWord;
        impl de::Visitor<'_> for NumberOrWord {
            type Value = Retries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of retries such as 5, a length of time such as 24h, or until_expired")
            }
            fn visit_u64<E: de::Error>(self, times: u64) -> Result<Retries, E> {
                let unexpected = || E::invalid_value(de::Unexpected::Unsigned(times), &self);
                u32::try_from(times).map(Retries::Times).map_err(|_| unexpected())
            }
            fn visit_i64<E: de::Error>(self, times: i64) -> Result<Retries, E> {
                let unexpected = || E::invalid_value(de::Unexpected::Signed(times), &self);
                u32::try_from(times).map(Retries::Times).map_err(|_| unexpected())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Retries, E> {
                let unexpected = || E::invalid_value(de::Unexpected::Str(text), &self);
                if text == "until_expired" {
                    return Ok(Retries::UntilExpired);
                }
                text.parse().map(Retries::For).map_err(|_| unexpected())
            }
        }
        deserializer.deserialize_any(NumberOrWord)
    }
}
