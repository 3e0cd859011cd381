//! The bars of one symbol as the sessions see them, one after the other.

use std::ops::Range;

use crate::analysis::{latest_atr, relative_volume};
use crate::calendar::Session;
use crate::exchange::Reach;
use crate::indicators::Period;
use crate::market::{Adjustments, Bar, BarColumns, CorporateAction, MINUTE, Quote};
use crate::money::{Bps, MoneyError, Price, Quantity};
use crate::time::{SessionDate, Timestamp};

use super::{Fills, Terms};

/// As the analysis of a live day has it: sessions that the average true range is measured over, and one more.
const DAILY_BARS: usize = 15;
const ATR_SESSIONS: Period = Period::of::<14>();

/// Sessions whose volume by the same time of day is the usual one, likewise.
const USUAL_SESSIONS: usize = 5;

/// A symbol's bars: where those of this session stand, and what is known from those before it.
pub(super) struct Tape<'m> {
    pub(super) bars: &'m BarColumns,
    pub(super) day: Places,
    minutes: Minutes<'m>,
    past: Vec<PastSession>,
    /// What is still to be done to the shares.
    actions: &'m [CorporateAction],
    /// What puts earlier sessions into the shares of this one.
    adjustments: Adjustments,
    /// What the sessions before say, once it was asked for in this one.
    daily: Option<Daily>,
}

/// What is known of a symbol before its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Daily {
    pub(super) previous_close: Option<Price>,
    pub(super) atr: Option<Price>,
}

/// Where the bars of a session stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The first of extended hours.
    pub(super) first: usize,
    /// Those of regular hours.
    pub(super) regular: Range<usize>,
    pub(super) open: Timestamp,
    /// Whether no minute is missing.
    is_whole: bool,
}

/// The closes of a session that misses no minute, one after the other; of another one, none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Minutes<'m> {
    open: Timestamp,
    closes: &'m [Price],
}

impl Minutes<'_> {
    /// The last close of the session that is known at an instant; `None` before the first.
    #[inline]
    pub(super) fn close(&self, complete: &mut Complete) -> Option<Price> {
        let minutes = complete.since(self.open)?;
        self.closes.get(minutes.min(self.closes.len()).checked_sub(1)?).copied()
    }
}

/// How many minutes of a session are complete at an instant. All that is held asks of the same one.
pub(super) struct Complete {
    at: Timestamp,
    open: Timestamp,
    minutes: Option<usize>,
}

impl Complete {
    pub(super) const fn at(at: Timestamp) -> Self {
        Self { at, open: at, minutes: Some(0) }
    }

    #[inline]
    fn since(&mut self, open: Timestamp) -> Option<usize> {
        if self.open != open {
            self.open = open;
            self.minutes = usize::try_from((self.at.0 - open.0) / 60_000).ok();
        }
        self.minutes
    }
}

/// A session that is over.
struct PastSession {
    date: SessionDate,
    open: Timestamp,
    regular: Range<usize>,
    is_whole: bool,
    /// All of it, once it was asked for.
    bar: Option<Bar>,
}

impl<'m> Tape<'m> {
    pub(super) fn new(bars: &'m BarColumns, actions: &'m [CorporateAction]) -> Self {
        let (day, minutes) = (Places::default(), Minutes::default());
        Self { bars, day, minutes, past: Vec::new(), actions, adjustments: Adjustments::default(), daily: None }
    }

    /// Finds the session's bars.
    pub(super) fn begin(&mut self, session: &Session) -> Result<(), MoneyError> {
        let after = self.day.regular.end;
        let first = self.bars.place_of(session.pre_open, after);
        let open = self.bars.place_of(session.open, first);
        let close = self.bars.place_of(session.close, open);
        let minutes = session.close.since(session.open).as_secs() / MINUTE.as_secs();
        let is_whole = u64::try_from(close - open) == Ok(minutes);
        self.day = Places { first, regular: open..close, open: session.open, is_whole };
        let closes = self.bars.closes().get(open..close).filter(|_| is_whole);
        self.minutes = Minutes { open: session.open, closes: closes.unwrap_or_default() };
        self.daily = None;
        self.begin_actions(session.date)
    }

    /// Ends the session: what was traded in it is the past of the next.
    pub(super) fn end(&mut self, session: &Session) {
        let Places { regular, is_whole, .. } = self.day.clone();
        self.past.push(PastSession { date: session.date, open: session.open, regular, is_whole, bar: None });
    }

    /// Takes up what is done to the shares with this session.
    fn begin_actions(&mut self, date: SessionDate) -> Result<(), MoneyError> {
        let (now, later) = self.actions.split_at(self.actions.partition_point(|action| action.ex_date <= date));
        let traded = self.past.iter().rev().find(|past| !past.regular.is_empty());
        let close = traded.and_then(|past| self.bars.closes().get(past.regular.end - 1)).copied(); // it is not empty
        for action in now {
            self.adjustments.add(*action, || close)?;
        }
        self.actions = later;
        Ok(())
    }

    /// The place behind the session's bars of regular hours that are complete at `at`.
    pub(super) fn known_until(&self, at: Timestamp) -> usize {
        let Range { start, end } = self.day.regular;
        self.place_known_at(at).map_or(start, |last| last + 1).clamp(start, end)
    }

    /// When the bar at a place is complete.
    pub(super) fn end_of(&self, place: usize) -> Option<Timestamp> {
        let minutes = place.checked_sub(self.day.regular.start).filter(|_| self.day.is_whole);
        match minutes.and_then(|minutes| i64::try_from(minutes).ok()) {
            Some(minutes) if place < self.day.regular.end => Some(Timestamp(self.day.open.0 + (minutes + 1) * 60_000)),
            Some(_) | None => Some(self.bars.starts().get(place)?.after(MINUTE)),
        }
    }

    /// The place of the last bar that is complete at `at`, of whatever session.
    fn place_known_at(&self, at: Timestamp) -> Option<usize> {
        if self.day.is_whole && at > self.day.open {
            let minutes = usize::try_from((at.0 - self.day.open.0) / 60_000).ok()?;
            return Some((self.day.regular.start + minutes).min(self.day.regular.end) - 1); // a whole day has a first minute
        }
        let begun = Timestamp(at.before(MINUTE).0.saturating_add(1));
        self.bars.place_of(begun, 0).checked_sub(1)
    }

    /// The session's closes, if it misses no minute.
    pub(super) const fn minutes(&self) -> Minutes<'m> {
        self.minutes
    }

    /// The last close that is known at `at`, of whatever session.
    pub(super) fn close_at(&self, at: Timestamp) -> Option<Price> {
        self.place_known_at(at).and_then(|place| self.bars.closes().get(place)).copied()
    }

    /// What a share is worth at `at`.
    pub(super) fn mark_at(&self, at: Timestamp, terms: &Terms<'_>) -> Result<Option<Price>, MoneyError> {
        self.close_at(at).map(|close| mark_of(close, at, terms)).transpose()
    }

    /// The quote that the last bar makes, where orders meet one.
    pub(super) fn quote_at(&self, at: Timestamp, terms: &Terms<'_>) -> Result<Option<Quote>, MoneyError> {
        if terms.backtest.fills == Fills::NextOpen {
            return Ok(None);
        }
        let bar = self.place_known_at(at).and_then(|place| self.bars.get(place));
        bar.map(|bar| Quote::after_minute(&bar, terms.half_spread)).transpose()
    }

    /// The first of `bars` that ends at `at` or later; their end if none does.
    pub(super) fn first_ending(&self, at: Timestamp, bars: Range<usize>) -> usize {
        let start = at.before(MINUTE);
        if self.day.is_whole && start >= self.day.open {
            let minutes = usize::try_from((start.0 - self.day.open.0 + 59_999) / 60_000).unwrap_or(usize::MAX);
            return self.day.regular.start.saturating_add(minutes).clamp(bars.start, bars.end);
        }
        self.bars.place_of(start, bars.start).min(bars.end)
    }

    /// The first of `bars` whose range is felt.
    pub(super) fn first_felt(&self, bars: Range<usize>, reach: Reach) -> Option<usize> {
        if reach == Reach::NOTHING {
            return None;
        }
        let lows = self.bars.lows().get(bars.clone()).unwrap_or_default();
        let highs = self.bars.highs().get(bars.clone()).unwrap_or_default();
        first_outside(lows, highs, reach).map(|place| bars.start + place)
    }

    /// The first of `bars` whose close is felt.
    pub(super) fn first_close(&self, bars: Range<usize>, reach: Reach) -> Option<usize> {
        if reach == Reach::NOTHING {
            return None;
        }
        let closes = self.bars.closes().get(bars.clone()).unwrap_or_default();
        first_outside(closes, closes, reach).map(|place| bars.start + place)
    }

    /// The average true range of the sessions before, once a strategy has looked.
    pub(super) fn daily_atr(&self) -> Option<Price> {
        self.daily.and_then(|daily| daily.atr)
    }

    /// The close before the session, and the average true range of the sessions before.
    pub(super) fn daily(&mut self) -> Result<Daily, MoneyError> {
        if let Some(daily) = self.daily {
            return Ok(daily);
        }
        let traded = |past: &&PastSession| !past.regular.is_empty();
        let last = self.past.iter().rev().find(traded);
        let close = last.and_then(|past| Some((past.date, *self.bars.closes().get(past.regular.end.checked_sub(1)?)?)));
        let adjusted = |(date, close)| self.adjustments.since(date)?.price(close);
        let previous_close = close.map(adjusted).transpose()?;
        // Fewer sessions have no average, and none of them has to be taken together.
        let is_enough = self.past.iter().filter(traded).nth(DAILY_BARS - 1).is_some();
        let daily = Daily { previous_close, atr: if is_enough { self.atr()? } else { None } };
        self.daily = Some(daily);
        Ok(daily)
    }

    fn atr(&mut self) -> Result<Option<Price>, MoneyError> {
        let mut bars = Vec::with_capacity(DAILY_BARS);
        for past in self.past.iter_mut().rev().filter(|past| !past.regular.is_empty()).take(DAILY_BARS) {
            if past.bar.is_none() {
                past.bar = self.bars.as_one(past.regular.clone())?;
            }
            let adjustment = self.adjustments.since(past.date)?;
            bars.extend(past.bar.map(|bar| adjustment.bar(bar)).transpose()?);
        }
        bars.reverse();
        Ok(latest_atr(&bars, ATR_SESSIONS))
    }

    /// The volume so far against the mean of earlier sessions by the same time of day.
    pub(super) fn relative_volume(&self, at: Timestamp) -> Result<Option<Bps>, MoneyError> {
        let elapsed = at.since(self.day.open);
        let minutes = usize::try_from(elapsed.as_secs().div_ceil(MINUTE.as_secs())).unwrap_or(usize::MAX);
        let traded = |regular: &Range<usize>, is_whole: bool, open: Timestamp| {
            let end = match is_whole {
                true => regular.start.saturating_add(minutes),
                false => self.bars.place_of(open.after(elapsed), regular.start),
            };
            self.bars.volume_in(regular.start..end.min(regular.end))
        };
        let recent = self.past.iter().rev().take(USUAL_SESSIONS).filter(|past| !past.regular.is_empty());
        let adjusted = |past: &PastSession| {
            let adjustment = self.adjustments.since(past.date)?;
            adjustment.volume(traded(&past.regular, past.is_whole, past.open)?)
        };
        let earlier: Result<Vec<Quantity>, MoneyError> = recent.map(adjusted).collect();
        Ok(relative_volume(traded(&self.day.regular, self.day.is_whole, self.day.open)?, &earlier?))
    }
}

/// The first place whose range is felt. Nearly none is, so some are asked together, without a branch between them.
fn first_outside(lows: &[Price], highs: &[Price], reach: Reach) -> Option<usize> {
    const TOGETHER: usize = 8;
    let feels = |(low, high): (&Price, &Price)| reach.feels(*low, *high);
    let quiet = lows
        .chunks_exact(TOGETHER)
        .zip(highs.chunks_exact(TOGETHER))
        .take_while(|(lows, highs)| !lows.iter().zip(*highs).fold(false, |felt, bar| felt | feels(bar)));
    let from = quiet.count() * TOGETHER;
    let rest = lows.iter().zip(highs).skip(from).position(feels);
    rest.map(|place| from + place)
}

/// What a share is worth at `at`, after this close.
#[inline]
pub(super) fn mark_of(close: Price, at: Timestamp, terms: &Terms<'_>) -> Result<Price, MoneyError> {
    if terms.backtest.fills == Fills::NextOpen || terms.half_spread == Bps::ZERO {
        return Ok(close);
    }
    midpoint_after(close, at, terms)
}

/// Apart, so that a close alone costs no more than it must.
#[inline(never)]
fn midpoint_after(close: Price, at: Timestamp, terms: &Terms<'_>) -> Result<Price, MoneyError> {
    let bar = Bar { start: at, open: close, high: close, low: close, close, volume: Quantity::ZERO };
    Quote::after_minute(&bar, terms.half_spread)?.midpoint()
}
