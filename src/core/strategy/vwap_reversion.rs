use serde::{Deserialize, Serialize};

use super::proposal::{self, Frame, Proposer, Setup, plateau, ratio, rise, weigh};
use super::terms::{Problems, Terms, terms};
use super::{Direction, Directions, Distance, Reasons, SymbolView};
use crate::indicators::Candle;
use crate::market::Timeframe;
use crate::money::{Bps, Factor, MoneyError, Price};
use crate::time::Span;

/// Trades back to the session's volume-weighted average price once the price is far from it and turns.
///
/// Far is measured in volume-weighted standard deviations of the bars' typical prices since the open. The last
/// bar must close nearer to the average than the one before. The target is never beyond the average. Sources:
/// reversion to a mean within bands of deviations: Bollinger, *Bollinger on Bollinger Bands* (2001), and Chan,
/// *Algorithmic Trading* (2013), chapter 3; the average price that institutions are measured by: Berkowitz, Logue
/// and Noser, *The Total Cost of Transactions on the NYSE* (Journal of Finance 43, 1988).
///
/// | part of the confidence | weight | 100 % | 0 % |
/// |---|---|---|---|
/// | distance from the average, in deviations | 40 % | 2 to 3 | 1 and less, 5 and more |
/// | what the last bar turned back, in ATRs | 30 % | 0.5 and more | 0 |
/// | calm: how far the average itself moved over the second half of the bars, in deviations | 30 % | 0 | 1 and more |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VwapReversion {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// Which reversions are traded: long is from below the average.
    pub direction: Directions,
    /// The bars it looks at; ATR is theirs, too.
    pub timeframe: Timeframe,
    /// The bars that must be there: an average of a few is none to return to.
    pub min_bars: u32,
    /// The least distance from the average, in standard deviations.
    pub deviations: Factor,
    /// The greatest distance: further away it is no excursion any more.
    pub max_deviations: Factor,
    /// Where the loss is taken, from the entry.
    pub stop: Distance,
    /// Where the profit is taken, from the entry; at the average if that is nearer.
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

impl Default for VwapReversion {
    fn default() -> Self {
        Self {
            enabled: false,
            direction: Directions::Long,
            timeframe: Timeframe::M5,
            min_bars: 12,
            deviations: Factor::whole(2),
            max_deviations: Factor::whole(4),
            stop: Distance::Atr(Factor::whole(2)),
            target: Distance::Atr(Factor::whole(3)),
            earliest_entry: Span::hours(1),
            latest_entry: Span::hours(5),
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Proposer for VwapReversion {
    const NAME: &'static str = "vwap_reversion";
    const IDEA: &'static str = "the way back to the session's average price, once the price is far from it and turns";

    fn terms(&self) -> Terms {
        terms!(self)
    }

    fn check(&self, problems: &mut Problems) {
        problems.require("min_bars", self.min_bars >= 3, self.min_bars, "at least 3");
        let (least, most) = (self.deviations, self.max_deviations);
        problems.require("deviations", least.is_positive(), least, "more than 0");
        problems.require("max_deviations", most > least, most, &format!("more than deviations ({least})"));
    }

    fn look(&self, _view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError> {
        let have = u32::try_from(frame.bars.len()).unwrap_or(u32::MAX);
        let (true, [.., before, last]) = (have >= self.min_bars, frame.bars.as_slice()) else {
            reasons.note("bars", format_args!("{have} of {} (at least {})", self.timeframe, self.min_bars));
            return Ok(None);
        };
        let (before, last) = (before.close.to_f64(), last.close.to_f64());
        let mut anchored = Anchored::default();
        let mut half_way = anchored.mean;
        for (place, candle) in frame.candles().enumerate() {
            if place == frame.bars.len() / 2 {
                half_way = anchored.mean;
            }
            anchored.take(&candle);
        }
        let (vwap, deviation) = (anchored.mean, anchored.deviation());
        let distance = last - vwap;
        let away = distance.abs() / deviation;
        if !away.is_finite() {
            reasons.note("deviation", "none: the price has not moved");
            return Ok(None);
        }
        reasons.note("VWAP", format_args!("{vwap:.4}, deviation {deviation:.4}"));
        reasons.note("distance", format_args!("{away:.2} deviations"));
        if away < self.deviations.to_f64() || away > self.max_deviations.to_f64() {
            let limits = format_args!("{} to {} deviations", self.deviations, self.max_deviations);
            reasons.note("distance wanted", limits);
            return Ok(None);
        }
        let (direction, sign) = if distance < 0.0 { (Direction::Long, 1.0) } else { (Direction::Short, -1.0) };
        let turned = sign * (last - before);
        reasons.note("turned", format_args!("{turned:.4}"));
        if turned <= 0.0 {
            reasons.note("turn wanted", "a close nearer to the average than the one before");
            return Ok(None);
        }
        let Some(atr) = proposal::average_range(&frame.bars)?.filter(|atr| atr.is_positive()) else {
            proposal::unknown_atr(self.timeframe, reasons);
            return Ok(None);
        };
        let moved = ratio((vwap - half_way).abs() / deviation);
        let parts = [
            ("confidence in distance", 40, plateau(ratio(away), [10_000, 20_000, 30_000, 50_000])),
            ("confidence in turn", 30, rise(ratio(turned / atr.to_f64()), Bps::ZERO, Bps(5_000))),
            ("confidence in calm", 30, Bps(Bps::ONE.0 - rise(moved, Bps::ZERO, Bps::ONE).0)),
        ];
        let confidence = weigh(&parts, reasons);
        Ok(Some(Setup { direction, confidence, target_limit: Some(Price::from_f64(vwap)?) }))
    }
}

/// The volume-weighted mean and variance of typical prices, one by one.
///
/// Source: West, *Updating Mean and Variance Estimates: An Improved Method* (Communications of the ACM 22, 1979).
#[derive(Debug, Clone, Copy, Default)]
struct Anchored {
    shares: f64,
    mean: f64,
    squares: f64,
}

impl Anchored {
    fn take(&mut self, candle: &Candle) {
        if candle.volume <= 0.0 {
            return;
        }
        let (price, shares) = (candle.typical(), self.shares + candle.volume);
        let distance = price - self.mean;
        self.mean += distance * candle.volume / shares;
        self.squares += candle.volume * distance * (price - self.mean);
        self.shares = shares;
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.shares).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_weighted_by_volume() {
        let candle = |price: f64, volume| Candle { open: price, high: price, low: price, close: price, volume };
        let mut anchored = Anchored::default();
        for (price, volume) in [(10.0, 100.0), (99.0, 0.0), (13.0, 200.0)] {
            anchored.take(&candle(price, volume));
        }
        // (100 × 10 + 200 × 13) / 300 = 12; (100 × 2² + 200 × 1²) / 300 = 2
        assert_eq!(anchored.mean, 12.0);
        assert!((anchored.deviation() - 2.0_f64.sqrt()).abs() < 1e-12);
    }
}
