//! The way from what a strategy sees to its signal, which is the same for all of them.

use super::entries::{Exits, Found, known_entry_price};
use super::terms::{Problems, Terms};
use super::{Direction, Directions, Reasons, Signal, Strategy, SymbolView};
use crate::indicators::Candle;
use crate::market::{Bar, Timeframe, aggregate_complete};
use crate::money::{Bps, MoneyError, Price};

/// Bars that the average range of a session is taken over, at most and at least: Wilder's 14, and
/// what the first quarter of an hour has in 5-minute bars.
const ATR_BARS: (usize, usize) = (14, 3);

/// The complete bars of a timeframe, of the session so far.
#[derive(Debug)]
pub(super) struct Frame {
    /// In exact prices.
    pub(super) bars: Vec<Bar>,
}

impl Frame {
    /// The bars that were complete at the view's instant.
    pub(super) fn of(view: &SymbolView<'_>, timeframe: Timeframe) -> Result<Self, MoneyError> {
        Ok(Self { bars: complete_bars(view, timeframe)? })
    }

    /// The closes, as indicators take them.
    pub(super) fn closes(&self) -> impl Iterator<Item = f64> {
        self.bars.iter().map(|bar| bar.close.to_f64())
    }

    /// The bars, as indicators take them.
    pub(super) fn candles(&self) -> impl Iterator<Item = Candle> {
        self.bars.iter().map(Candle::from)
    }
}

/// What a strategy has found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    /// Which way.
    pub(super) direction: Direction,
    /// How sure it is.
    pub(super) confidence: Bps,
    /// A price beyond which no profit is to be hoped for; the target is there if it would be further.
    pub(super) target_limit: Option<Price>,
}

/// A strategy that looks for a setup in the bars of one timeframe, and has [`Terms`]: what is its own. When it may
/// enter, the price, the stop and the target are the same for all of them.
pub(super) trait Proposer: Send + Sync {
    /// Its name in the configuration.
    const NAME: &'static str;
    /// What it trades, in a few words.
    const IDEA: &'static str;
    /// The settings that it shares with others.
    fn terms(&self) -> Terms;
    /// Adds what is wrong with the settings of its own.
    fn check(&self, problems: &mut Problems);
    /// Whether it looks at what the news say.
    fn wants_news(&self) -> bool {
        false
    }
    /// Whether it looks at what a model says.
    fn wants_model(&self) -> bool {
        false
    }
    /// What it looks for; the reasons tell what was measured until the answer was clear.
    fn look(&self, view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError>;
}

impl<P: Proposer> Strategy for P {
    fn name(&self) -> &str {
        P::NAME
    }

    fn idea(&self) -> &str {
        P::IDEA
    }

    fn is_enabled(&self) -> bool {
        self.terms().enabled
    }

    fn directions(&self) -> Directions {
        self.terms().entries.direction
    }

    fn max_entries(&self) -> u32 {
        self.terms().entries.most
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.terms().problems();
        self.check(&mut problems);
        problems.0
    }

    fn wants_news(&self) -> bool {
        Proposer::wants_news(self)
    }

    fn wants_model(&self) -> bool {
        Proposer::wants_model(self)
    }

    fn propose(&self, view: &SymbolView<'_>, reasons: &mut Reasons) -> Option<Signal> {
        find(self, view, reasons).unwrap_or_else(|error| {
            reasons.note("arithmetic", error);
            None
        })
    }
}

fn find<P: Proposer>(strategy: &P, view: &SymbolView<'_>, reasons: &mut Reasons) -> Result<Option<Signal>, MoneyError> {
    let terms = strategy.terms();
    if !terms.entries.are_open(view, reasons) {
        return Ok(None);
    }
    let frame = Frame::of(view, terms.timeframe)?;
    let Some(Setup { direction, confidence, target_limit }) = strategy.look(view, &frame, reasons)? else {
        return Ok(None);
    };
    if !terms.entries.allow(direction, reasons) {
        return Ok(None);
    }
    let Some(entry) = known_entry_price(view, direction, reasons) else { return Ok(None) };
    reasons.note("entry", entry);
    let atr = average_range(&frame.bars)?;
    let (Some(risked), Some(hoped)) = (terms.stop.at(entry, None, atr)?, terms.target.at(entry, None, atr)?) else {
        unknown_atr(terms.timeframe, reasons);
        return Ok(None);
    };
    if let Some(atr) = atr {
        reasons.note("ATR", format_args!("{atr} ({})", terms.timeframe));
    }
    let hoped = match target_limit {
        Some(limit) => hoped.min(match direction {
            Direction::Long => limit.minus(entry)?,
            Direction::Short => entry.minus(limit)?,
        }),
        None => hoped,
    };
    let Some(exits) = Exits::at(entry, direction, risked, hoped, reasons)? else { return Ok(None) };
    let found = Found { strategy: P::NAME, direction, entry, exits, confidence };
    Ok(Some(terms.entries.signal(view, found, reasons)))
}

/// Notes that there were too few bars for an average range.
pub(super) fn unknown_atr(timeframe: Timeframe, reasons: &mut Reasons) {
    reasons.note("ATR", format_args!("unknown: too few bars of {timeframe}"));
}

/// Notes the relative volume.
pub(super) fn note_volume(volume: Option<Bps>, reasons: &mut Reasons) {
    match volume {
        Some(ratio) => reasons.note("relative volume", ratio),
        None => reasons.note("relative volume", "unknown"),
    }
}

/// The bars of a timeframe that were complete at the view's instant, of the session so far.
///
/// # Errors
/// If a volume overflows.
pub fn complete_bars(view: &SymbolView<'_>, timeframe: Timeframe) -> Result<Vec<Bar>, MoneyError> {
    aggregate_complete(view.regular_bars(), &view.session, timeframe, view.as_of)
}

/// The mean true range of the session's last bars, rounded down; `None` with too few.
///
/// A session has no 14 bars of five minutes in its first hour, so fewer do; the first bar's range is
/// its own, since the night's gap is no part of what a position in the session lives through.
///
/// # Errors
/// If the range does not fit a price.
pub fn average_range(bars: &[Bar]) -> Result<Option<Price>, MoneyError> {
    let (most, least) = ATR_BARS;
    if bars.len() < least {
        return Ok(None);
    }
    let first = bars.len().saturating_sub(most);
    let before = first.checked_sub(1).and_then(|place| bars.get(place));
    let counted = bars.get(first..).unwrap_or_default();
    let closes = std::iter::once(before.map(|bar| bar.close)).chain(counted.iter().map(|bar| Some(bar.close)));
    let sum: i128 = counted
        .iter()
        .zip(closes)
        .map(|(bar, before)| {
            let high = before.map_or(bar.high, |close| close.max(bar.high));
            let low = before.map_or(bar.low, |close| close.min(bar.low));
            i128::from(high.0) - i128::from(low.0)
        })
        .sum();
    let mean = sum / i128::try_from(counted.len()).unwrap_or(1);
    let too_wide = MoneyError::Overflow { operation: "an average range" };
    i64::try_from(mean).map(|mean| Some(Price(mean))).map_err(|_| too_wide)
}

/// The weighted sum of the parts of a confidence, each with what is noted of it and its weight in percent.
pub(super) fn weigh(parts: &[(&'static str, i64, Bps)], reasons: &mut Reasons) -> Bps {
    let mut sum = 0;
    for (name, weight, part) in parts {
        reasons.note(*name, format_args!("{part} of {weight}%"));
        sum += weight * part.0;
    }
    Bps(sum / 100)
}

/// 0 % up to `from`, 100 % from `to` on, linear between them; rounded down to a basis point.
pub(super) fn rise(value: Bps, from: Bps, to: Bps) -> Bps {
    let (value, from, to) = (i128::from(value.0), i128::from(from.0), i128::from(to.0));
    let whole = i128::from(Bps::ONE.0);
    let risen = (value.clamp(from, to) - from) * whole / (to - from).max(1);
    i64::try_from(risen).map_or(Bps::ONE, Bps)
}

/// 0 % outside, 100 % between the inner two corners, linear at the flanks. Corners are basis points.
pub(super) fn plateau(value: Bps, [low, full_from, full_to, high]: [i64; 4]) -> Bps {
    let falling = Bps(Bps::ONE.0 - rise(value, Bps(full_to), Bps(high)).0);
    rise(value, Bps(low), Bps(full_from)).min(falling)
}

/// The part of a confidence that the relative volume makes: 0 % at half the usual, 100 % at `full`; unknown is 40 %.
pub(super) fn volume_part(view: &SymbolView<'_>, full: Bps) -> Bps {
    view.relative_volume.map_or(Bps(4_000), |ratio| rise(ratio, Bps(5_000), full))
}

/// A ratio of floats as basis points; what is not finite counts as nothing.
pub(super) fn ratio(value: f64) -> Bps {
    Bps::from_f64(value).unwrap_or(Bps::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Quantity;
    use crate::time::Timestamp;

    #[test]
    fn the_ramps_are_linear_between_their_corners() {
        let corners = [0, 2_500, 7_500, 15_000];
        let table = [
            (-1, 0),
            (0, 0),
            (1_250, 5_000),
            (2_500, 10_000),
            (7_500, 10_000),
            (11_250, 5_000),
            (15_000, 0),
            (i64::MAX, 0),
        ];
        for (value, expected) in table {
            assert_eq!(plateau(Bps(value), corners), Bps(expected), "{value}");
        }
        assert_eq!(rise(Bps(i64::MIN), Bps(-50), Bps(50)), Bps::ZERO);
        assert_eq!(rise(Bps(0), Bps(-50), Bps(50)), Bps(5_000));
        assert_eq!(ratio(f64::NAN), Bps::ZERO);
    }

    #[test]
    fn the_average_range_counts_the_last_fourteen_and_the_close_before_them() {
        let bar = |low, high, close| Bar {
            start: Timestamp(0),
            open: Price::from_cents(close),
            high: Price::from_cents(high),
            low: Price::from_cents(low),
            close: Price::from_cents(close),
            volume: Quantity::whole(1),
        };
        let calm = bar(10_00, 10_10, 10_00);
        assert_eq!(average_range(&[calm; 2]), Ok(None));
        assert_eq!(average_range(&[calm; 3]), Ok(Some(Price::from_cents(10))));
        // The close before the fourteen lies 1.40 above the first of them: its range is 1.50.
        let mut bars = vec![bar(11_00, 11_50, 11_50)];
        bars.extend([calm; 14]);
        assert_eq!(average_range(&bars), Ok(Some(Price::from_cents(10 + 10))));
        bars.push(calm);
        assert_eq!(average_range(&bars), Ok(Some(Price::from_cents(10))));
    }
}
