use serde::{Deserialize, Serialize};

use super::proposal::{self, Frame, Proposer, Setup, ratio, rise, volume_part, weigh};
use super::terms::{Problems, Terms, terms};
use super::{Direction, Directions, Distance, Reasons, SymbolView};
use crate::indicators::{Indicator, Period, Rsi, Sma};
use crate::market::Timeframe;
use crate::money::{Bps, Factor, MoneyError};
use crate::time::Span;

/// Buys what has fallen fast within a rise, and sells what has risen fast within a fall.
///
/// Long: the RSI is at `oversold` or below while the close is above its longer average; short: the RSI is at
/// `overbought` or above while the close is below it. Source: Connors and Alvarez, *Short Term Trading Strategies
/// That Work* (2008), whose RSI(2) below 10 above the 200-day average this is, on bars of the session; the RSI is
/// Wilder's (*New Concepts in Technical Trading Systems*, 1978).
///
/// | part of the confidence | weight | 100 % | 0 % |
/// |---|---|---|---|
/// | the RSI beyond its threshold, as a share of what is left there | 50 % | 75 % and more | -50 % |
/// | the close beyond the average, in ATRs | 30 % | 2 and more | 0 |
/// | relative volume | 20 % | 1.5 and more | 0.5 and less (unknown counts 40 %) |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RsiMeanReversion {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// Which reversions are traded.
    pub direction: Directions,
    /// The bars it looks at; ATR is theirs, too.
    pub timeframe: Timeframe,
    /// The bars of the RSI.
    pub rsi_period: Period,
    /// The highest RSI to buy at, 0 to 100.
    pub oversold: Factor,
    /// The lowest RSI to sell short at, 0 to 100.
    pub overbought: Factor,
    /// The bars of the average that tells rise from fall.
    pub trend_bars: Period,
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

impl Default for RsiMeanReversion {
    fn default() -> Self {
        Self {
            enabled: false,
            direction: Directions::Long,
            timeframe: Timeframe::M5,
            rsi_period: Period::of::<2>(),
            oversold: Factor::whole(10),
            overbought: Factor::whole(90),
            trend_bars: Period::of::<30>(),
            stop: Distance::Atr(Factor::whole(2)),
            target: Distance::Atr(Factor::whole(2)),
            earliest_entry: Span::minutes(30),
            latest_entry: Span::hours(5),
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Proposer for RsiMeanReversion {
    const NAME: &'static str = "rsi_mean_reversion";
    const IDEA: &'static str = "a fast fall within a rise, or a fast rise within a fall, by the RSI";

    fn terms(&self) -> Terms {
        terms!(self)
    }

    fn check(&self, problems: &mut Problems) {
        let (low, high, full) = (self.oversold, self.overbought, Factor::whole(100));
        problems.require("oversold", low.is_positive() && low < full, low, "more than 0, and below 100");
        let expected = format!("more than oversold ({low}), and below 100");
        problems.require("overbought", high > low && high < full, high, &expected);
    }

    fn look(&self, view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError> {
        let (mut rsi, mut average) = (Rsi::new(self.rsi_period), Sma::new(self.trend_bars));
        let mut now = None;
        for close in frame.closes() {
            let values = (rsi.update(close), average.update(close));
            now = values.0.zip(values.1).map(|(rsi, average)| (close, rsi, average));
        }
        let Some((close, rsi, average)) = now else {
            let least = self.trend_bars.len().max(self.rsi_period.len() + 1);
            let have = frame.bars.len();
            reasons.note("bars", format_args!("{have} of {} (at least {least})", self.timeframe));
            return Ok(None);
        };
        let (oversold, overbought) = (self.oversold.to_f64(), self.overbought.to_f64());
        reasons.note("RSI", format_args!("{rsi:.2} of {}", self.rsi_period));
        let (direction, depth, sign) = if rsi <= oversold {
            (Direction::Long, (oversold - rsi) / oversold, 1.0)
        } else if rsi >= overbought {
            (Direction::Short, (rsi - overbought) / (100.0 - overbought), -1.0)
        } else {
            let limits = format_args!("at most {} or at least {}", self.oversold, self.overbought);
            reasons.note("RSI wanted", limits);
            return Ok(None);
        };
        let beyond = sign * (close - average);
        reasons.note("average", format_args!("{average:.4} of {}, close {close:.4}", self.trend_bars));
        if beyond <= 0.0 {
            reasons.note("trend", format_args!("against a {} position", direction.as_str()));
            return Ok(None);
        }
        let Some(atr) = proposal::average_range(&frame.bars)?.filter(|atr| atr.is_positive()) else {
            proposal::unknown_atr(self.timeframe, reasons);
            return Ok(None);
        };
        let parts = [
            ("confidence in RSI", 50, rise(ratio(depth), Bps(-5_000), Bps(7_500))),
            ("confidence in trend", 30, rise(ratio(beyond / atr.to_f64()), Bps::ZERO, Bps(20_000))),
            ("confidence in volume", 20, volume_part(view, Bps(15_000))),
        ];
        Ok(Some(Setup { direction, confidence: weigh(&parts, reasons), target_limit: None }))
    }
}
