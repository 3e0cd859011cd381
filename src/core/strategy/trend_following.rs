use serde::{Deserialize, Serialize};

use super::proposal::{self, Frame, Proposer, Setup, ratio, rise, weigh};
use super::terms::{Problems, Terms, terms};
use super::{Direction, Directions, Distance, Reasons, SymbolView};
use crate::indicators::{Adx, Ema, Indicator, Period};
use crate::market::Timeframe;
use crate::money::{Bps, Factor, MoneyError};
use crate::time::Span;

/// Trades in the direction in which the fast average of the closes crosses the slow one, while there is a trend.
///
/// Both averages are exponential. The cross counts for `max_age_bars` bars, while the averages stay crossed, and only
/// if Wilder's ADX says that the price moves one way. Sources: Appel's and others' crossing averages as tested by
/// Brock, Lakonishok and LeBaron, *Simple Technical Trading Rules and the Stochastic Properties of Stock Returns*
/// (Journal of Finance 47, 1992); ADX as a filter: Wilder, *New Concepts in Technical Trading Systems* (1978).
///
/// | part of the confidence | weight | 100 % | 0 % |
/// |---|---|---|---|
/// | ADX | 40 % | 40 and more | 10 and less |
/// | distance of the averages, in ATRs | 30 % | 0.5 and more | 0 |
/// | the close beyond the fast average, in ATRs | 30 % | 0.5 and more | -0.5 and less |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrendFollowing {
    /// Whether it proposes at all.
    pub enabled: bool,
    /// Which trends are followed.
    pub direction: Directions,
    /// The bars it looks at; ATR is theirs, too.
    pub timeframe: Timeframe,
    /// The bars of the fast average.
    pub fast: Period,
    /// The bars of the slow average.
    pub slow: Period,
    /// The bars of the ADX; it is defined after twice as many.
    pub adx_period: Period,
    /// The least ADX, 0 to 100.
    pub min_adx: Factor,
    /// How many bars ago the averages may have crossed; 0: with the last bar.
    pub max_age_bars: u32,
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

impl Default for TrendFollowing {
    fn default() -> Self {
        Self {
            enabled: false,
            direction: Directions::Long,
            timeframe: Timeframe::M5,
            fast: Period::of::<8>(),
            slow: Period::of::<21>(),
            adx_period: Period::of::<14>(),
            min_adx: Factor::whole(20),
            max_age_bars: 3,
            stop: Distance::Atr(Factor::whole(2)),
            target: Distance::Atr(Factor::whole(4)),
            earliest_entry: Span::minutes(30),
            latest_entry: Span::hours(5),
            max_entries: 1,
            valid_for: Span::minutes(5),
        }
    }
}

impl Proposer for TrendFollowing {
    const NAME: &'static str = "trend_following";
    const IDEA: &'static str = "two averages of the close cross while the ADX sees a trend";

    fn terms(&self) -> Terms {
        terms!(self)
    }

    fn check(&self, problems: &mut Problems) {
        problems.require("slow", self.slow > self.fast, self.slow, &format!("more than fast ({})", self.fast));
        let holds = !self.min_adx.is_negative() && self.min_adx < Factor::whole(100);
        problems.require("min_adx", holds, self.min_adx, "0 or more, and below 100");
    }

    fn look(&self, _view: &SymbolView<'_>, frame: &Frame, reasons: &mut Reasons) -> Result<Option<Setup>, MoneyError> {
        let Some((last, averages)) = frame.bars.last().zip(self.averages(frame)) else {
            let have = frame.bars.len();
            reasons.note("bars", format_args!("{have} of {} (at least {})", self.timeframe, self.slow));
            return Ok(None);
        };
        let Averages { fast, slow, crossed } = averages;
        reasons.note("averages", format_args!("{fast:.4} of {}, {slow:.4} of {}", self.fast, self.slow));
        let Some(age) = crossed.filter(|age| *age <= self.max_age_bars) else {
            let most = self.max_age_bars;
            match crossed {
                Some(age) => reasons.note("crossed", format_args!("{age} bars ago (at most {most})")),
                None => reasons.note("crossed", format_args!("never (at most {most})")),
            }
            return Ok(None);
        };
        reasons.note("crossed", format_args!("{age} bars ago"));
        let Some(adx) = Adx::new(self.adx_period).last(frame.candles()) else {
            let least = 2 * self.adx_period.len();
            reasons.note("ADX", format_args!("unknown: {} bars (at least {least})", frame.bars.len()));
            return Ok(None);
        };
        reasons.note("ADX", format_args!("{adx:.2}"));
        if adx < self.min_adx.to_f64() {
            reasons.note("least ADX", self.min_adx);
            return Ok(None);
        }
        let Some(atr) = proposal::average_range(&frame.bars)?.filter(|atr| atr.is_positive()) else {
            proposal::unknown_atr(self.timeframe, reasons);
            return Ok(None);
        };
        let (direction, sign) = if fast > slow { (Direction::Long, 1.0) } else { (Direction::Short, -1.0) };
        let in_atr = |distance: f64| ratio(sign * distance / atr.to_f64());
        let parts = [
            ("confidence in trend", 40, rise(ratio(adx / 100.0), Bps(1_000), Bps(4_000))),
            ("confidence in averages", 30, rise(in_atr(fast - slow), Bps::ZERO, Bps(5_000))),
            ("confidence in close", 30, rise(in_atr(last.close.to_f64() - fast), Bps(-5_000), Bps(5_000))),
        ];
        Ok(Some(Setup { direction, confidence: weigh(&parts, reasons), target_limit: None }))
    }
}

/// The averages as the last bar leaves them.
struct Averages {
    fast: f64,
    slow: f64,
    /// How many bars ago they crossed; `None` if they have not since both are defined.
    crossed: Option<u32>,
}

impl TrendFollowing {
    /// The averages at the last bar; `None` with too few bars, or where they are equal.
    fn averages(&self, frame: &Frame) -> Option<Averages> {
        let (mut fast, mut slow) = (Ema::new(self.fast), Ema::new(self.slow));
        let mut now: Option<Averages> = None;
        for close in frame.closes() {
            let values = (fast.update(close), slow.update(close));
            let (Some(fast), Some(slow)) = values else { continue };
            let crossed = match now {
                Some(before) if (before.fast > before.slow) != (fast > slow) => Some(0),
                Some(before) => before.crossed.map(|age| age + 1), // a bar each, and those are in memory
                None => None,
            };
            now = Some(Averages { fast, slow, crossed });
        }
        now.filter(|now| (now.fast - now.slow).abs() > 0.0)
    }
}
