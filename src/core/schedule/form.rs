//! The forms of a schedule, as they are written.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::cron::{Cron, CronDays};
use super::{Pace, ScheduleError};
use crate::time::Span;

/// The shortest interval between slots: the planner's own.
const INTERVAL_MIN: Span = Span::seconds(1);
/// Market data comes in bars of a minute.
const BAR_MIN: Span = Span::minutes(1);
/// The longest interval, and the farthest from its session that a slot may lie.
const INTERVAL_MAX: Span = Span::days(1);

/// When a job is due: one form or several. A slot that two forms share is one slot.
///
/// As text: one form (`{at: close-10m}`) or a list of forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    forms: Vec<Form>,
}

impl Schedule {
    /// A schedule of several forms; `None` without any.
    #[must_use]
    pub fn new(forms: Vec<Form>) -> Option<Self> {
        (!forms.is_empty()).then_some(Self { forms })
    }

    /// The schedule of a job that runs only when it is asked to.
    #[must_use]
    pub const fn never() -> Self {
        Self { forms: Vec::new() }
    }

    /// Its forms, in the order in which they stand.
    #[must_use]
    pub fn forms(&self) -> &[Form] {
        &self.forms
    }
}

/// One way to say when a job is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenForm", into = "WrittenForm")]
pub enum Form {
    /// `at: close-10m`.
    At(At),
    /// `every: 60s, during: regular`.
    Every(Every),
    /// `bar: 5m, delay: 5s`.
    Bar(BarClose),
    /// `adaptive: {fast: 15m, normal: 30m, slow: 4h, delay: 5s}`.
    Adaptive(Adaptive),
    /// `cron: "30 8 * * MON-FRI", tz: America/New_York, on: sessions`.
    Cron(Cron),
}

/// Once a session, at a distance from one of its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The point.
    pub anchor: Anchor,
    /// The distance in milliseconds; negative before the point.
    pub offset_ms: i64,
    /// In which sessions.
    pub days: AtDays,
}

/// A point of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The pre-market begins.
    PreOpen,
    /// Regular trading begins.
    Open,
    /// Regular trading ends.
    Close,
    /// The post-market ends.
    PostClose,
}

/// In which sessions an `at` has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDays {
    /// In every one.
    Sessions,
    /// In the last of each week (Monday to Sunday), which is a Thursday before a Good Friday.
    LastOfWeek,
}

/// Again and again while a part of the session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    /// From one slot to the next; the first is where the part begins.
    pub interval: Span,
    /// The part; its end has no slot.
    pub during: During,
}

/// A part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum During {
    /// From open to close.
    #[default]
    Regular,
    /// From the beginning of the pre-market to the end of the post-market.
    Extended,
    /// From the beginning of the pre-market to the open.
    PreMarket,
    /// From the close to the end of the post-market.
    PostMarket,
    /// At all times, sessions or not; counted from 1970-01-01T00:00:00Z.
    Always,
}

/// After each complete bar of the regular session. Bars are counted from the open, and the close
/// completes the last one, whatever its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarClose {
    /// A bar's length.
    pub bar: Span,
    /// From the bar's end to the slot: data arrives late.
    pub delay: Span,
}

/// On a grid counted from the open, as wide as the pace in force asks for; the open and the close
/// have no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// The interval in a volatile market.
    pub fast: Span,
    /// In an ordinary one.
    pub normal: Span,
    /// In a quiet one.
    pub slow: Span,
    /// From the grid to the slot: data arrives late.
    #[serde(default)]
    pub delay: Span,
}

impl Adaptive {
    /// The interval at a pace.
    #[must_use]
    pub const fn interval(&self, pace: Pace) -> Span {
        match pace {
            Pace::Fast => self.fast,
            Pace::Normal => self.normal,
            Pace::Slow => self.slow,
        }
    }
}

impl Anchor {
    const ALL: [Self; 4] = [Self::PreOpen, Self::Open, Self::Close, Self::PostClose];

    const fn as_str(self) -> &'static str {
        match self {
            Self::PreOpen => "pre_open",
            Self::Open => "open",
            Self::Close => "close",
            Self::PostClose => "post_close",
        }
    }
}

impl FromStr for At {
    type Err = ScheduleError;

    /// Reads `close`, `open+5m` or `close-10m`, for every session.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let unreadable = || ScheduleError::Anchor { text: text.to_owned() };
        let (name, offset) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
        let anchor = Anchor::ALL.into_iter().find(|anchor| anchor.as_str() == name).ok_or_else(unreadable)?;
        let (sign, length) = match (offset.strip_prefix('+'), offset.strip_prefix('-')) {
            (Some(length), _) => (1, length),
            (_, Some(length)) => (-1, length),
            (None, None) => (1, "0s"),
        };
        let length: Span = length.parse().map_err(|_| unreadable())?;
        check("at", length, Span::ZERO..=INTERVAL_MAX, "at most a day from the session's point, such as close-10m")?;
        Ok(Self { anchor, offset_ms: sign * millis(length), days: AtDays::Sessions })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchor = self.anchor.as_str();
        let sign = match self.offset_ms {
            0 => return f.write_str(anchor),
            1.. => '+',
            _ => '-',
        };
        write!(f, "{anchor}{sign}{}", Span::millis(self.offset_ms.unsigned_abs()))
    }
}

/// A span in an instant's unit.
pub(super) fn millis(span: Span) -> i64 {
    // A span is at most a hundred years, which fit by far.
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn check(
    key: &'static str,
    found: Span,
    range: std::ops::RangeInclusive<Span>,
    expected: &'static str,
) -> Result<Span, ScheduleError> {
    if range.contains(&found) { Ok(found) } else { Err(ScheduleError::OutOfRange { key, found, expected }) }
}

/// A form as its keys stand in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    during: Option<During>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bar: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive: Option<Adaptive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tz: Option<Tz>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<On>,
}

/// The words after `on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum On {
    Sessions,
    LastOfWeek,
    Always,
}

impl WrittenForm {
    /// The name of the one form whose key stands there.
    fn form(&self) -> Result<&'static str, ScheduleError> {
        let keys = [
            ("at", self.at.is_some()),
            ("every", self.every.is_some()),
            ("bar", self.bar.is_some()),
            ("adaptive", self.adaptive.is_some()),
            ("cron", self.cron.is_some()),
        ];
        let written: Vec<&str> = keys.iter().filter(|(_, written)| *written).map(|(key, _)| *key).collect();
        match written.as_slice() {
            [form] => Ok(form),
            [] => Err(ScheduleError::NotOneForm { found: "a schedule without a form".to_owned() }),
            several => Err(ScheduleError::NotOneForm { found: format!("`{}` together", several.join("` and `")) }),
        }
    }

    /// Refuses a key that another form takes.
    fn refuse_misplaced(&self, form: &'static str) -> Result<(), ScheduleError> {
        let companions: [(&'static str, bool, &[&str], &'static str); 4] = [
            ("during", self.during.is_some(), &["every"], "with `every`, such as `every: 60s, during: extended`"),
            ("delay", self.delay.is_some(), &["bar"], "with `bar` or inside `adaptive`, such as `bar: 5m, delay: 5s`"),
            ("tz", self.tz.is_some(), &["cron"], "with `cron`, such as `cron: \"0 8 * * *\", tz: America/New_York`"),
            ("on", self.on.is_some(), &["at", "cron"], "with `at` or `cron`, such as `at: close+1h, on: last_of_week`"),
        ];
        let misplaced = companions.iter().find(|(_, written, forms, _)| *written && !forms.contains(&form));
        misplaced.map_or(Ok(()), |(key, _, _, expected)| Err(ScheduleError::Misplaced { key, form, expected }))
    }
}

impl TryFrom<WrittenForm> for Form {
    type Error = ScheduleError;

    fn try_from(written: WrittenForm) -> Result<Self, ScheduleError> {
        let form = written.form()?;
        written.refuse_misplaced(form)?;
        let WrittenForm { at, every, during, bar, delay, adaptive, cron, tz, on } = written;
        if let Some(text) = at {
            let days = match on {
                None | Some(On::Sessions) => AtDays::Sessions,
                Some(On::LastOfWeek) => AtDays::LastOfWeek,
                Some(On::Always) => {
                    let expected = "`sessions` or `last_of_week`, as a point of a session exists only in one";
                    return Err(ScheduleError::Misplaced { key: "on: always", form, expected });
                }
            };
            return Ok(Self::At(At { days, ..text.parse()? }));
        }
        if let Some(interval) = every {
            check("every", interval, INTERVAL_MIN..=INTERVAL_MAX, "1s to 1d, such as 60s")?;
            return Ok(Self::Every(Every { interval, during: during.unwrap_or_default() }));
        }
        if let Some(bar) = bar {
            let delay = delay.unwrap_or_default();
            check("bar", bar, BAR_MIN..=INTERVAL_MAX, "1m to 1d, such as 5m")?;
            if bar.as_millis() % BAR_MIN.as_millis() != 0 {
                return Err(ScheduleError::OutOfRange {
                    key: "bar",
                    found: bar,
                    expected: "whole minutes, such as 5m",
                });
            }
            check("delay", delay, Span::ZERO..=bar, "at most the length of the bar, such as 5s")?;
            return Ok(Self::Bar(BarClose { bar, delay }));
        }
        if let Some(adaptive) = adaptive {
            let Adaptive { fast, normal, slow, delay } = adaptive;
            check("adaptive.fast", fast, BAR_MIN..=INTERVAL_MAX, "1m to 1d, such as 15m")?;
            check("adaptive.slow", slow, BAR_MIN..=INTERVAL_MAX, "1m to 1d, such as 4h")?;
            if !(fast <= normal && normal <= slow) {
                return Err(ScheduleError::Unordered { fast, normal, slow });
            }
            check("adaptive.delay", delay, Span::ZERO..=fast, "at most the fast interval, such as 5s")?;
            return Ok(Self::Adaptive(adaptive));
        }
        let days = match on {
            None | Some(On::Always) => CronDays::Always,
            Some(On::Sessions) => CronDays::Sessions,
            Some(On::LastOfWeek) => {
                let expected = "with `at`, such as `at: close+1h, on: last_of_week`";
                return Err(ScheduleError::Misplaced { key: "on: last_of_week", form, expected });
            }
        };
        Cron::new(&cron.unwrap_or_default(), tz, days).map(Self::Cron)
    }
}

impl From<Form> for WrittenForm {
    fn from(form: Form) -> Self {
        match form {
            Form::At(at) => {
                let on = (at.days == AtDays::LastOfWeek).then_some(On::LastOfWeek);
                Self { at: Some(at.to_string()), on, ..Self::default() }
            }
            Form::Every(Every { interval, during }) => {
                Self { every: Some(interval), during: Some(during), ..Self::default() }
            }
            Form::Bar(BarClose { bar, delay }) => Self { bar: Some(bar), delay: Some(delay), ..Self::default() },
            Form::Adaptive(adaptive) => Self { adaptive: Some(adaptive), ..Self::default() },
            Form::Cron(cron) => {
                let on = match cron.days() {
                    CronDays::Always => On::Always,
                    CronDays::Sessions => On::Sessions,
                };
                Self { cron: Some(cron.expression().to_owned()), tz: cron.tz(), on: Some(on), ..Self::default() }
            }
        }
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.forms.as_slice() {
            [form] => form.serialize(serializer),
            forms => forms.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;
        impl<'de> de::Visitor<'de> for OneOrList {
            type Value = Schedule;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a schedule such as `at: close-10m`, or a list of schedules")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
                Form::deserialize(MapAccessDeserializer::new(map)).map(|form| Schedule { forms: vec![form] })
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Schedule, A::Error> {
                let forms = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Schedule::new(forms).ok_or_else(|| de::Error::invalid_length(0, &"at least one schedule"))
            }
        }
        deserializer.deserialize_any(OneOrList)
    }
}
