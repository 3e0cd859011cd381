use serde::{Deserialize, Serialize};

use super::proposal::{self, Frame, Proposer, Setup, plateau, ratio, rise, volume_part, weigh};
use super::terms::{Problems, Terms, terms};
use super::{Direction, Directions, Distance, Reasons, SymbolView};
use crate::analysis::gap;
use crate::market::{Bar, Timeframe, complete_minutes};
use crate::money::{Bps, Factor, MoneyError, Price};
use crate::time::Span;

/// Trades on in the direction of a gap once the price leaves what it has traded at before and just after the open.
///
/// The gap is from the close before to the session's first price. The level is the extreme, on the gap's side, of
/// the minutes before the open and of the first `opening_minutes`; the last bar must close beyond it, and the gap
/// must not have been filled since the open. Sources: Aziz, *How to Day Trade for a Living* (2016), "stocks in
/// play"; that prices go on in the direction of a gap that day: Plastun, Sibande, Gupta and Wohar, *Price Gap Anomaly
/// in the US Stock Market: The Whole Story* (North American Journal of Economics and Finance 52, 2020).
///
/// | part of the confidence | weight | 100 % | 0 % |
/// |---|---|---|---|
/// | the gap | 25 % | 3 % to 10 % | 1 % and less, 25 % and more |
/// | relative volume | 35 % | 3 and more | 0.5 and less (unknown counts 40 %) |
/// | distance of the close beyond the level, in ATRs | 20 % | 0.25 to 2 | 0, or 5 and more |
/// | the share of the gap that was never given back | 20 % | all | none |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GapAndGo {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// Which gaps are traded: long is a gap up.
    pub direction: Directions,
    /// The bars whose close leaves the level; ATR is theirs, too.
    pub timeframe: Timeframe,
    /// The least gap, up or down.
    pub min_gap: Bps,
    /// The greatest gap: beyond it it is other news.
    pub max_gap: Bps,
    /// The minutes after the open that belong to the level.
    pub opening_minutes: u32,
    /// The least volume, as a multiple of what is usual by this time of day; zero: any, and unknown.
    pub min_relative_volume: Factor,
    /// Where the loss is taken, from the entry.
    pub stop: Distance,
    /// Where the profit is taken, from the entry.
    pub target: Distance,
    /// The earliest entry, from the session's open.
    pub earliest_entry: Span,
    /// The latest entry, from the session's open.
    pub latest_entry: Span,
    /// How often a symbol is entered in a session.
    pub max_entries: u32,
    /// How long a signal may be traded on.
    pub valid_for: Span,
}

impl Default for GapAndGo {
    fn default() -> Self {
        Self {
            enabled: false,
            direction: Directions::Long,
            timeframe: Timeframe::M1,
            min_gap: Bps(200),
            max_gap: Bps(2_000),
            opening_minutes: 5,
            min_relative_volume: Factor(15_000),
            stop: Distance::Atr(Factor::whole(4)),
            target: Distance::Atr(Factor::whole(8)),
            earliest_entry: Span::minutes(5),
            latest_entry: Span::hours(2),
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Proposer for GapAndGo {
    const NAME: &'static str = "gap_and_go";
    const IDEA: &'static str = "a gap at the open that goes on, with volume";

    fn terms(&self) -> Terms {
        terms!(self)
    }

    fn check(&self, problems: &mut Problems) {
        let (least, most) = (self.min_gap, self.max_gap);
        problems.require("min_gap", least > Bps::ZERO, least, "more than 0%, such as 2%");
        problems.require("max_gap", most > least, most, &format!("more than min_gap ({least})"));
        problems.require("opening_minutes", self.opening_minutes > 0, self.opening_minutes, "at least 1");
        let volume = self.min_relative_volume;
        problems.require("min_relative_volume", !volume.is_negative(), volume, "0 or more");
        problems.require(
            "earliest_entry",
            self.earliest_entry >= Span::minutes(self.opening_minutes),
            self.earliest_entry,
            "opening_minutes or later: the level must be complete",
        );
    }

    fn look(&self, view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError> {
        let minutes = view.regular_bars();
        let opening_end = view.session.open.after(Span::minutes(self.opening_minutes).as_duration());
        let opening = complete_minutes(view.bars, view.session.open, opening_end.min(view.as_of));
        let (Some(previous_close), Some(first)) = (view.previous_close, opening.first()) else {
            reasons.note("gap", "unknown: no close before, or no price in the first minutes");
            return Ok(None);
        };
        let size = gap(previous_close, first.open).unwrap_or_default();
        reasons.note("gap", format_args!("{size}, {previous_close} to {}", first.open));
        if size.0.abs() < self.min_gap.0 || size.0.abs() > self.max_gap.0 {
            reasons.note("gap wanted", format_args!("{} to {}, up or down", self.min_gap, self.max_gap));
            return Ok(None);
        }
        let direction = if size > Bps::ZERO { Direction::Long } else { Direction::Short };
        let volume = view.relative_volume;
        proposal::note_volume(volume, reasons);
        // Both are 10^-4: a multiple of 1.5 is 15,000 basis points.
        let least = Bps(self.min_relative_volume.0);
        if least > Bps::ZERO && volume.is_none_or(|ratio| ratio < least) {
            reasons.note("least relative volume", least);
            return Ok(None);
        }
        let before_level = view.premarket_bars().iter().chain(opening);
        let (Some(level), Some(deepest), Some(last)) =
            (furthest(direction, before_level), furthest(opposite(direction), minutes.iter()), frame.bars.last())
        else {
            reasons.note("bars", format_args!("none of {}", self.timeframe));
            return Ok(None);
        };
        let beyond = match direction {
            Direction::Long => last.close.minus(level)?,
            Direction::Short => level.minus(last.close)?,
        };
        reasons.note("level", format_args!("{level}, close {}", last.close));
        if !beyond.is_positive() || last.start < opening_end {
            reasons.note("breakout", "no close beyond the level");
            return Ok(None);
        }
        if !direction.favours(deepest, previous_close) {
            reasons.note("gap filled", format_args!("at {deepest}"));
            return Ok(None);
        }
        let Some(atr) = proposal::average_range(&frame.bars)?.filter(|atr| atr.is_positive()) else {
            proposal::unknown_atr(self.timeframe, reasons);
            return Ok(None);
        };
        let parts = [
            ("confidence in gap", 25, plateau(Bps(size.0.abs()), [100, 300, 1_000, 2_500])),
            ("confidence in volume", 35, volume_part(view, Bps(30_000))),
            ("confidence in distance", 20, plateau(beyond.ratio_of(atr)?, [0, 2_500, 20_000, 50_000])),
            ("confidence in gap kept", 20, rise(kept(previous_close, first.open, deepest), Bps::ZERO, Bps::ONE)),
        ];
        Ok(Some(Setup { direction, confidence: weigh(&parts, reasons), target_limit: None }))
    }
}

/// The furthest price that the bars traded at in a direction.
fn furthest<'a>(direction: Direction, bars: impl Iterator<Item = &'a Bar>) -> Option<Price> {
    match direction {
        Direction::Long => bars.map(|bar| bar.high).max(),
        Direction::Short => bars.map(|bar| bar.low).min(),
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Long => Direction::Short,
        Direction::Short => Direction::Long,
    }
}

/// The share of a gap that the deepest price since then has left open.
fn kept(previous_close: Price, open: Price, deepest: Price) -> Bps {
    let from = previous_close.to_f64();
    ratio((deepest.to_f64() - from) / (open.to_f64() - from))
}
