//! Exchange sessions: when a market trades, in UTC.
//!
//! A [`Calendar`] is a value. What tells one exchange from another is a [`Definition`]: a zone, the
//! week's trading days, the hours, the rules of the year and the exceptions. `XNYS` is one file of
//! data, the market that never closes another; a third exchange is data too.
//!
//! All instants follow from wall times through [`Timestamp::from_wall`], so sessions are right across
//! changes of the clocks. Outside its known years a calendar answers `None` and does not guess.

mod always_open;
mod rules;
mod xnys;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock, OnceLock};

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::time::{SessionDate, Timestamp};

use rules::Year;
pub use rules::{Day, Definition, Effect, Hours, Observed, OneOff, Rule, WallTime};

/// How long a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    /// The regular close.
    Full,
    /// An early close.
    Early,
}

impl SessionKind {
    /// `full` or `early`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Early => "early",
        }
    }
}

impl fmt::Display for SessionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One day's trading. Each interval includes its beginning and excludes its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// Its date in the exchange's zone.
    pub date: SessionDate,
    /// Whether it closes early.
    pub kind: SessionKind,
    /// The pre-market begins.
    pub pre_open: Timestamp,
    /// Regular trading begins.
    pub open: Timestamp,
    /// Regular trading ends, the post-market begins.
    pub close: Timestamp,
    /// The post-market ends.
    pub post_close: Timestamp,
}

impl Session {
    /// Whether the instant lies in it, pre-market and post-market included.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.pre_open <= at && at < self.post_close
    }

    /// The market's phase at an instant.
    #[must_use]
    pub fn phase_at(&self, at: Timestamp) -> MarketPhase {
        if !self.contains(at) {
            MarketPhase::Closed
        } else if at < self.open {
            MarketPhase::PreMarket
        } else if at < self.close {
            MarketPhase::Trading
        } else {
            MarketPhase::PostMarket
        }
    }
}

/// What the market does at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MarketPhase {
    /// Before the open.
    PreMarket,
    /// Regular trading.
    Trading,
    /// After the close.
    PostMarket,
    /// No session.
    Closed,
}

impl MarketPhase {
    /// `PRE_MARKET`, `TRADING`, `POST_MARKET` or `CLOSED`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreMarket => "PRE_MARKET",
            Self::Trading => "TRADING",
            Self::PostMarket => "POST_MARKET",
            Self::Closed => "CLOSED",
        }
    }
}

impl fmt::Display for MarketPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An exchange's sessions. A clone is a reference to the same calendar.
///
/// ```
/// # use daybook_core::{calendar::Calendar, time::SessionDate};
/// let day_after_thanksgiving = SessionDate::of(2026, 11, 27).unwrap();
/// let session = Calendar::xnys().session(day_after_thanksgiving).unwrap();
/// assert_eq!(session.kind.as_str(), "early");
/// assert_eq!(session.close.to_string(), "2026-11-27T18:00:00Z");
/// ```
#[derive(Clone)]
pub struct Calendar {
    shared: Arc<Shared>,
}

struct Shared {
    definition: &'static Definition,
    /// One place for each of the definition's years, worked out when first asked for.
    years: Box<[OnceLock<Year>]>,
}

impl Calendar {
    /// The New York Stock Exchange, 1990 to 2030.
    #[must_use]
    pub fn xnys() -> Self {
        static SHARED: LazyLock<Calendar> = LazyLock::new(|| Calendar::new(&xnys::XNYS));
        SHARED.clone()
    }

    /// A market that never closes: each UTC day is a session.
    #[must_use]
    pub fn always_open() -> Self {
        static SHARED: LazyLock<Calendar> = LazyLock::new(|| Calendar::new(&always_open::ALWAYS_OPEN));
        SHARED.clone()
    }

    /// The built-in calendar of this name: `XNYS` or `24/7`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "XNYS" => Some(Self::xnys()),
            "24/7" => Some(Self::always_open()),
            _ => None,
        }
    }

    /// The calendar of an exchange's data.
    #[must_use]
    pub fn new(definition: &'static Definition) -> Self {
        let years = definition.years.clone().map(|_| OnceLock::new()).collect();
        Self { shared: Arc::new(Shared { definition, years }) }
    }

    /// The exchange's code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.definition.name
    }

    /// The exchange's zone.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.shared.definition.zone
    }

    /// The first date it knows.
    #[must_use]
    pub fn first_date(&self) -> SessionDate {
        SessionDate::of(*self.shared.definition.years.start(), 1, 1).unwrap_or(SessionDate(NaiveDate::MIN))
    }

    /// The last date it knows.
    #[must_use]
    pub fn last_date(&self) -> SessionDate {
        SessionDate::of(*self.shared.definition.years.end(), 12, 31).unwrap_or(SessionDate(NaiveDate::MAX))
    }

    /// Whether it can tell if a date has a session.
    #[must_use]
    pub fn knows(&self, date: SessionDate) -> bool {
        self.shared.definition.years.contains(&date.0.year())
    }

    /// The session of a date; `None` on a day without one.
    #[must_use]
    pub fn session(&self, date: SessionDate) -> Option<Session> {
        let sessions = &self.year(date.0.year())?.sessions;
        let place = sessions.binary_search_by_key(&date, |session| session.date).ok()?;
        sessions.get(place).copied()
    }

    /// The sessions from a date to another, both included.
    pub fn sessions(&self, from: SessionDate, to: SessionDate) -> impl DoubleEndedIterator<Item = Session> + '_ {
        self.years(from, to).flat_map(move |year| {
            let start = year.sessions.partition_point(|session| session.date < from);
            let end = year.sessions.partition_point(|session| session.date <= to);
            year.sessions.get(start..end).unwrap_or_default().iter().copied()
        })
    }

    /// The days of the trading week that have no session, both dates included, with the holiday's name.
    #[must_use]
    pub fn closed(&self, from: SessionDate, to: SessionDate) -> Vec<(SessionDate, &'static str)> {
        let closed = self.years(from, to).flat_map(|year| year.closed.iter().copied());
        closed.filter(|(date, _)| (from..=to).contains(date)).collect()
    }

    /// The first session after a date.
    #[must_use]
    pub fn session_after(&self, date: SessionDate) -> Option<Session> {
        self.knows(date).then(|| self.sessions(date.plus_days(1), self.last_date()).next())?
    }

    /// The last session before a date.
    #[must_use]
    pub fn session_before(&self, date: SessionDate) -> Option<Session> {
        self.knows(date).then(|| self.sessions(self.first_date(), date.plus_days(-1)).next_back())?
    }

    /// The session in progress at an instant, pre-market and post-market included.
    #[must_use]
    pub fn session_containing(&self, at: Timestamp) -> Option<Session> {
        self.session_not_over_at(at).filter(|session| session.contains(at))
    }

    /// The date of the session in progress at an instant, or else of the next one.
    #[must_use]
    pub fn session_date_at(&self, at: Timestamp) -> Option<SessionDate> {
        self.session_not_over_at(at).map(|session| session.date)
    }

    /// The market's phase at an instant; closed outside the known years.
    #[must_use]
    pub fn phase_at(&self, at: Timestamp) -> MarketPhase {
        self.session_not_over_at(at).map_or(MarketPhase::Closed, |session| session.phase_at(at))
    }

    /// The first open after an instant.
    #[must_use]
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        self.sessions_around(at)?.map(|session| session.open).find(|open| *open > at)
    }

    /// The first close after an instant.
    #[must_use]
    pub fn next_close(&self, at: Timestamp) -> Option<Timestamp> {
        self.sessions_around(at)?.map(|session| session.close).find(|close| *close > at)
    }

    /// The last open at or before an instant.
    #[must_use]
    pub fn previous_open(&self, at: Timestamp) -> Option<Timestamp> {
        self.sessions_back_around(at)?.map(|session| session.open).find(|open| *open <= at)
    }

    /// The last close at or before an instant.
    #[must_use]
    pub fn previous_close(&self, at: Timestamp) -> Option<Timestamp> {
        self.sessions_back_around(at)?.map(|session| session.close).find(|close| *close <= at)
    }

    fn session_not_over_at(&self, at: Timestamp) -> Option<Session> {
        self.sessions_around(at)?.find(|session| session.post_close > at)
    }

    /// The sessions from the day before an instant on: a session may end on the day after its date.
    fn sessions_around(&self, at: Timestamp) -> Option<impl Iterator<Item = Session> + '_> {
        let date = at.date_in(self.zone());
        self.knows(date).then(|| self.sessions(date.plus_days(-1), self.last_date()))
    }

    /// The sessions back from the day after an instant: a session may begin on the day before its date.
    fn sessions_back_around(&self, at: Timestamp) -> Option<impl Iterator<Item = Session> + '_> {
        let date = at.date_in(self.zone());
        self.knows(date).then(|| self.sessions(self.first_date(), date.plus_days(1)).rev())
    }

    fn years(&self, from: SessionDate, to: SessionDate) -> impl DoubleEndedIterator<Item = &Year> {
        let known: &RangeInclusive<i32> = &self.shared.definition.years;
        let (first, last) = (from.0.year().max(*known.start()), to.0.year().min(*known.end()));
        (first..=last).filter_map(|year| self.year(year))
    }

    fn year(&self, year: i32) -> Option<&Year> {
        let place = year.checked_sub(*self.shared.definition.years.start())?;
        let slot = self.shared.years.get(usize::try_from(place).ok()?)?;
        Some(slot.get_or_init(|| self.shared.definition.year(year)))
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.name())
    }
}

#[cfg(test)]
mod tests;
