use serde::{Deserialize, Serialize};

use super::entries::{Exits, Found, entries, known_entry_price};
use super::proposal::{average_range, complete_bars, note_volume, plateau, rise, unknown_atr, weigh};
use super::terms::Problems;
use super::{Direction, Directions, Distance, NextLook, Reasons, Signal, Strategy, SymbolView};
use crate::analysis::{OpeningRange, gap};
use crate::market::{Bar, Timeframe, aggregate};
use crate::money::{Bps, Factor, MoneyError, Price};
use crate::time::Span;

/// Trades in the direction in which the price leaves the range of the session's first minutes.
///
/// The breakout level is the range's edge and a buffer beyond it. It is confirmed by closes beyond the
/// level in a row; the entry itself must be beyond it too, and not so far that the move is over.
///
/// The confidence is a weighted sum of five parts, each from 0 % to 100 %, all named in the reasons:
///
/// | part | weight | 100 % | 0 % |
/// |---|---|---|---|
/// | distance beyond the level, in ranges | 25 % | 0.25 to 0.75 | 0, or 1.5 and more |
/// | relative volume | 30 % | 2 and more | 0.5 and less (unknown counts 40 %) |
/// | the range's width, in daily ATRs | 20 % | 0.2 to 0.6 | 0.05 and less, 1.2 and more |
/// | gap since the previous close, in the direction | 10 % | 0.5 % and more | -0.5 % and less |
/// | persistence: minutes that closed beyond the level since the first that did | 15 % | all | half and less |
///
/// Between these a part is linear. Where the daily ATR is unknown the width is taken in percent of
/// the price: 100 % from 0.3 % to 1.5 %, 0 % at 0.05 % and at 4 %. The width's part is multiplied by the
/// share of the range's minutes in which anything traded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpeningRangeBreakout {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// The length of the opening range, from the session's open.
    pub range_minutes: u32,
    /// Which breakouts are traded.
    pub direction: Directions,
    /// What confirms a breakout.
    pub confirmation: Confirmation,
    /// How far beyond the range the breakout level lies.
    pub buffer: Distance,
    /// The furthest beyond the level that an entry may be, in ranges.
    pub max_extension: Factor,
    /// Where the loss is taken, from the entry.
    pub stop: Distance,
    /// Where a stop between two ticks is put.
    pub stop_rounding: StopRounding,
    /// Whether the stop is at the range's other side, where that is nearer.
    pub stop_within_range: bool,
    /// Where the profit is taken.
    pub target: Distance,
    /// What the target is measured from.
    pub target_from: Anchor,
    /// The bars whose average true range `{atr: ...}` refers to: those of the session so far, or `1d`
    /// for the sessions before.
    pub atr_timeframe: Timeframe,
    /// The earliest entry, from the session's open.
    pub earliest_entry: Span,
    /// The latest entry, from the session's open.
    pub latest_entry: Span,
    /// The least volume, as a multiple of what is usual by this time of day; zero: any, and unknown.
    pub min_relative_volume: Factor,
    /// How often a symbol is entered in a session.
    pub max_entries: u32,
    /// How long a signal may be traded on.
    pub valid_for: Span,
}

/// Where a price between two ticks is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopRounding {
    /// On the tick nearer to the entry: no more is risked than was measured.
    #[default]
    TowardEntry,
    /// On the tick further from it: a stop is hit no sooner than was measured.
    AwayFromEntry,
}

/// What a distance is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// The price of the entry.
    #[default]
    Entry,
    /// The breakout level.
    Level,
}

/// What confirms a breakout: so many closes beyond the level, one after the other, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Confirmation {
    /// How many.
    pub closes: u32,
    /// Of which bars.
    pub timeframe: Timeframe,
}

impl Default for Confirmation {
    fn default() -> Self {
        Self { closes: 2, timeframe: Timeframe::M1 }
    }
}

impl Default for OpeningRangeBreakout {
    fn default() -> Self {
        Self {
            enabled: true,
            range_minutes: 15,
            direction: Directions::Long,
            confirmation: Confirmation::default(),
            buffer: Distance::Range(Factor(500)),
            max_extension: Factor::whole(1),
            stop: Distance::Atr(Factor::whole(2)),
            stop_rounding: StopRounding::default(),
            stop_within_range: false,
            target: Distance::Atr(Factor::whole(3)),
            target_from: Anchor::default(),
            atr_timeframe: Timeframe::M5,
            earliest_entry: Span::minutes(15),
            latest_entry: Span::hours(3),
            min_relative_volume: Factor::ZERO,
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Strategy for OpeningRangeBreakout {
    fn name(&self) -> &str {
        "opening_range_breakout"
    }

    fn idea(&self) -> &str {
        "the price leaves the range of the session's first minutes"
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn directions(&self) -> Directions {
        self.direction
    }

    fn max_entries(&self) -> u32 {
        self.max_entries
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Problems::default();
        for (key, count) in [("range_minutes", self.range_minutes), ("confirmation.closes", self.confirmation.closes)] {
            problems.require(key, count > 0, count, "at least 1");
        }
        for (key, distance) in [("stop", self.stop), ("target", self.target)] {
            problems.require(key, distance.sign() > 0, distance, "a distance above zero, such as {atr: 2}");
        }
        problems.require(
            "stop",
            !self.stop.is_wider_than(self.target),
            self.stop,
            &format!("at most target ({}): less can be earned than lost", self.target),
        );
        problems.require("buffer", self.buffer.sign() >= 0, self.buffer, "a distance of zero or more");
        let extension = self.max_extension;
        problems.require("max_extension", extension.is_positive(), extension, "more than 0");
        let volume = self.min_relative_volume;
        problems.require("min_relative_volume", !volume.is_negative(), volume, "0 or more");
        problems.require(
            "earliest_entry",
            self.earliest_entry.as_millis() >= u64::from(self.range_minutes) * 60_000,
            self.earliest_entry,
            "range_minutes or later: the range must be complete",
        );
        entries!(self).check(&mut problems);
        let closes_in_session = self.confirmation.timeframe != Timeframe::D1;
        problems.require(
            "confirmation.timeframe",
            closes_in_session,
            self.confirmation.timeframe,
            "bars of the session, such as 1m or 5m",
        );
        problems.0
    }

    fn propose(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> Option<Signal> {
        self.find(view, reasons).unwrap_or_else(|error| {
            reasons.note("arithmetic", error);
            None
        })
    }

    fn next_look(&self, view: &SymbolView<'_>) -> NextLook {
        // What cannot be computed now may be later.
        self.earliest_look(view).unwrap_or(NextLook::Now)
    }
}

/// A breakout that was confirmed.
struct Breakout {
    direction: Direction,
    level: Price,
}

impl Breakout {
    /// How far `price` is beyond the level; negative on the near side.
    fn beyond(&self, price: Price) -> Result<Price, MoneyError> {
        match self.direction {
            Direction::Long => price.minus(self.level),
            Direction::Short => self.level.minus(price),
        }
    }
}

impl OpeningRangeBreakout {
    /// The signal, or none; the reasons tell what was measured until then.
    fn find(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> Result<Option<Signal>, MoneyError> {
        let entries = entries!(self);
        if !entries.are_open(view, reasons) {
            return Ok(None);
        }
        let bars = view.regular_bars();
        let length = Span::minutes(self.range_minutes).as_duration();
        let Some(range) = OpeningRange::of(bars, &view.session, length)?.filter(|range| range.is_complete(view.as_of))
        else {
            reasons.note("opening range", "no complete range traded");
            return Ok(None);
        };
        let width = range.width();
        reasons.note("opening range", format_args!("{} to {}, {} minutes", range.low, range.high, range.minutes));
        if !width.is_positive() {
            reasons.note("range width", width);
            return Ok(None);
        }
        let atr = match self.atr_timeframe {
            Timeframe::D1 => view.daily_atr,
            within_session => average_range(&complete_bars(view, within_session)?)?,
        };
        let Some(buffer) = self.buffer.at(range.high, Some(width), atr)? else {
            unknown_atr(self.atr_timeframe, reasons);
            return Ok(None);
        };
        let (above, below) = (range.high.plus(buffer)?, range.low.minus(buffer)?);
        let Some(breakout) = self.confirmed(view, &range, above, below)? else {
            let Confirmation { closes, timeframe } = self.confirmation;
            let wanted = format_args!("no {closes} closes of {timeframe} above {above} or below {below}");
            match view.last_price() {
                Some(last) => reasons.note("breakout", format_args!("{wanted}, last {last}")),
                None => reasons.note("breakout", format_args!("{wanted}, last none")),
            }
            return Ok(None);
        };
        let direction = breakout.direction;
        let Confirmation { closes, timeframe } = self.confirmation;
        reasons.note("breakout", format_args!("{closes} closes of {timeframe} beyond {}", breakout.level));
        if !entries.allow(direction, reasons) {
            return Ok(None);
        }
        let volume = view.relative_volume;
        note_volume(volume, reasons);
        if self.min_relative_volume.is_positive() {
            // Both are 10^-4: a multiple of 1.5 is 15,000 basis points.
            let least = Bps(self.min_relative_volume.0);
            if volume.is_none_or(|ratio| ratio < least) {
                reasons.note("least relative volume", least);
                return Ok(None);
            }
        }

        let Some(entry) = known_entry_price(view, direction, reasons) else { return Ok(None) };
        let beyond = breakout.beyond(entry)?;
        reasons.note("entry", format_args!("{entry}, {beyond} beyond the level"));
        if !beyond.is_positive() || beyond > width.multiplied(self.max_extension)? {
            let most = self.max_extension;
            reasons.note("distance", format_args!("expected above 0 and at most {most} ranges of {width}"));
            return Ok(None);
        }
        let width = Some(width);
        let (Some(risked), Some(hoped)) = (self.stop.at(entry, width, atr)?, self.target.at(entry, width, atr)?) else {
            unknown_atr(self.atr_timeframe, reasons);
            return Ok(None);
        };
        if let Some(atr) = atr {
            reasons.note("ATR", format_args!("{atr} ({})", self.atr_timeframe));
        }
        let (stop, target) = self.exits(&breakout, &range, entry, risked, hoped)?;
        let Some(exits) = Exits::around(entry, direction, stop, target, reasons) else { return Ok(None) };

        let confidence = confidence(
            &Grounds { view, range: &range, breakout: &breakout, beyond, bars },
            self.range_minutes,
            reasons,
        )?;
        let found = Found { strategy: self.name(), direction, entry, exits, confidence };
        Ok(Some(entries.signal(view, found, reasons)))
    }

    /// Stop and target. The target is rounded toward the entry: no more is hoped for than was measured.
    fn exits(
        &self,
        breakout: &Breakout,
        range: &OpeningRange,
        entry: Price,
        risked: Price,
        hoped: Price,
    ) -> Result<(Price, Price), MoneyError> {
        let anchor = match self.target_from {
            Anchor::Entry => entry,
            Anchor::Level => breakout.level,
        };
        let is_rounded_up = match (breakout.direction, self.stop_rounding) {
            (Direction::Long, StopRounding::TowardEntry) | (Direction::Short, StopRounding::AwayFromEntry) => true,
            (Direction::Long, StopRounding::AwayFromEntry) | (Direction::Short, StopRounding::TowardEntry) => false,
        };
        let round = |price: Price| if is_rounded_up { price.round_to_tick_up() } else { price.round_to_tick_down() };
        Ok(match breakout.direction {
            Direction::Long => {
                let stop = round(entry.minus(risked)?);
                let stop = if self.stop_within_range { stop.max(round(range.low)) } else { stop };
                (stop, anchor.plus(hoped)?.round_to_tick_down())
            }
            Direction::Short => {
                let stop = round(entry.plus(risked)?);
                let stop = if self.stop_within_range { stop.min(round(range.high)) } else { stop };
                (stop, anchor.minus(hoped)?.round_to_tick_up())
            }
        })
    }

    /// As [`Strategy::next_look`].
    fn earliest_look(&self, view: &SymbolView<'_>) -> Result<NextLook, MoneyError> {
        let in_time = entries!(self).next_look(view);
        if in_time != NextLook::Now {
            return Ok(in_time);
        }
        let bars = view.regular_bars();
        let Some(range) = OpeningRange::of(bars, &view.session, Span::minutes(self.range_minutes).as_duration())?
        else {
            return Ok(NextLook::NextSession);
        };
        if !range.is_complete(view.as_of) {
            return Ok(NextLook::From(range.end));
        }
        if !range.width().is_positive() {
            return Ok(NextLook::NextSession);
        }
        if self.confirmation.timeframe != Timeframe::M1 {
            return Ok(NextLook::Now);
        }
        // A level that moves with an average range is beyond the range's edge at least.
        let buffer = self.buffer.at(range.high, Some(range.width()), None)?.unwrap_or_default();
        let (above, below) = (range.high.plus(buffer)?, range.low.minus(buffer)?);
        let above = self.direction.allow(Direction::Long).then_some(above);
        let below = self.direction.allow(Direction::Short).then_some(below);
        let is_beyond =
            |close: Price| above.is_some_and(|above| close > above) || below.is_some_and(|below| close < below);
        let closed_beyond = bars.last().is_some_and(|bar| bar.start >= range.end && is_beyond(bar.close));
        Ok(if closed_beyond { NextLook::Now } else { NextLook::CloseBeyond { above, below } })
    }

    /// The breakout that the last closes confirm, if they all lie beyond one level.
    fn confirmed(
        &self,
        view: &SymbolView<'_>,
        range: &OpeningRange,
        above: Price,
        below: Price,
    ) -> Result<Option<Breakout>, MoneyError> {
        let wanted = usize::try_from(self.confirmation.closes).unwrap_or(usize::MAX);
        let bars = view.regular_bars();
        // As many bars as these buckets hold at most, the one under way and a torn one included.
        let length = self.confirmation.timeframe.length().map_or(u64::MAX, |length| length.as_secs() / 60);
        let minutes = usize::try_from(length).unwrap_or(usize::MAX);
        let concerned = bars.len().saturating_sub(wanted.saturating_add(2).saturating_mul(minutes));
        let bars = bars.get(concerned..).unwrap_or_default();
        let buckets = aggregate(bars, &view.session, self.confirmation.timeframe)?;
        let last: Vec<Price> = buckets
            .iter()
            .rev()
            .filter(|bucket| bucket.is_complete(view.as_of))
            .take_while(|bucket| bucket.bar.start >= range.end)
            .map(|bucket| bucket.bar.close)
            .take(wanted)
            .collect();
        Ok(if last.len() < wanted {
            None
        } else if last.iter().all(|close| *close > above) {
            Some(Breakout { direction: Direction::Long, level: above })
        } else if last.iter().all(|close| *close < below) {
            Some(Breakout { direction: Direction::Short, level: below })
        } else {
            None
        })
    }
}

/// What the confidence is measured on.
struct Grounds<'a> {
    view: &'a SymbolView<'a>,
    range: &'a OpeningRange,
    breakout: &'a Breakout,
    beyond: Price,
    bars: &'a [Bar],
}

/// The confidence formula; see [`OpeningRangeBreakout`].
fn confidence(grounds: &Grounds<'_>, range_minutes: u32, reasons: &mut Reasons) -> Result<Bps, MoneyError> {
    let parts = [
        ("confidence in distance", 25, distance_part(grounds)?),
        (
            "confidence in volume",
            30,
            grounds.view.relative_volume.map_or(Bps(4_000), |ratio| rise(ratio, Bps(5_000), Bps(20_000))),
        ),
        ("confidence in range", 20, range_part(grounds, range_minutes)?),
        ("confidence in gap", 10, gap_part(grounds)),
        ("confidence in persistence", 15, persistence_part(grounds)),
    ];
    Ok(weigh(&parts, reasons))
}

fn distance_part(grounds: &Grounds<'_>) -> Result<Bps, MoneyError> {
    let ranges = grounds.beyond.ratio_of(grounds.range.width())?;
    Ok(plateau(ranges, [0, 2_500, 7_500, 15_000]))
}

fn range_part(grounds: &Grounds<'_>, range_minutes: u32) -> Result<Bps, MoneyError> {
    let width = grounds.range.width();
    let part = match grounds.view.daily_atr {
        Some(atr) if atr.is_positive() => plateau(width.ratio_of(atr)?, [500, 2_000, 6_000, 12_000]),
        Some(_) | None => plateau(width.ratio_of(grounds.range.high)?, [5, 30, 150, 400]),
    };
    let traded = i64::from(grounds.range.minutes.min(range_minutes));
    Ok(Bps(part.0 * traded / i64::from(range_minutes.max(1))))
}

fn gap_part(grounds: &Grounds<'_>) -> Bps {
    let open = grounds.bars.first().map(|bar| bar.open);
    let gap = grounds.view.previous_close.zip(open).and_then(|(close, open)| gap(close, open)).unwrap_or_default();
    let aligned = match grounds.breakout.direction {
        Direction::Long => gap,
        Direction::Short => Bps(gap.0.saturating_neg()),
    };
    rise(aligned, Bps(-50), Bps(50))
}

fn persistence_part(grounds: &Grounds<'_>) -> Bps {
    let Breakout { direction, level } = *grounds.breakout;
    let is_beyond = |bar: &&Bar| direction.favours(bar.close, level);
    let after = grounds.bars.partition_point(|bar| bar.start < grounds.range.end);
    let since_first = grounds.bars.iter().skip(after).skip_while(|bar| !is_beyond(bar));
    let (all, beyond) = since_first.fold((0, 0), |(all, beyond), bar| (all + 1, beyond + i64::from(is_beyond(&bar))));
    if all == 0 { Bps::ZERO } else { rise(Bps(beyond * Bps::ONE.0 / all), Bps(5_000), Bps::ONE) }
}

#[cfg(test)]
#[path = "opening_range_tests.rs"]
mod tests;
