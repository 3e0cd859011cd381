//! Indicators: one value in, at most one value out, in constant time.
//!
//! An indicator is a small machine with one method, [`Indicator::update`]; it answers `None` until it has
//! seen enough. A batch is the same machine over a slice, so the two cannot differ: a live session, a
//! back-test and a scan see the same digits. [`Column`] gives each of them the name under which `trade
//! indicators` prints it.
//!
//! Where TA-Lib has the function, definition, seed and warm-up are TA-Lib's; sums are added and taken off in
//! its order as well, because a flat stretch of prices turns another order's rounding into another answer.
//! `tests/oracles/talib_golden.py` writes what TA-Lib itself says, and a test holds us to it.
//!
//! An update costs the same however long the series is. Windows of extremes and standard deviations are amortised;
//! [`Cci`] looks at its whole window, for a mean deviation has no shorter way, and [`SessionProfile`] at its session's
//! levels.
//!
//! Values are `f64`, here and in statistics only. What leads to an order leaves through the one checked
//! conversion, [`Price::from_f64`](crate::money::Price::from_f64).

mod average;
mod channel;
mod column;
mod direction;
mod momentum;
mod oscillator;
mod profile;
mod session;
mod trend;
mod volatility;
mod volume;
mod window;

#[cfg(test)]
mod golden_tests;

use std::fmt;
use std::num::NonZero;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use average::{Dema, Ema, Kama, Sma, Tema, Wma};
pub use channel::{Band, Bollinger, Donchian, Keltner, Pivots};
pub use column::{Column, ColumnError};
pub use direction::{Adx, Adxr, Aroon, AroonValue, Di, Dx};
pub use momentum::{Macd, MacdPeriods, MacdValue, Momentum, Rsi, Trix};
pub use oscillator::{
    Cci, FastStochastic, StochRsi, Stochastic, StochasticPeriods, StochasticValue, Ultosc, WilliamsR,
};
pub use profile::{ValueArea, VolumeProfile};
pub use session::{
    Hours, OpeningBars, PlacedCandle, SessionGap, SessionPivots, SessionPlace, SessionProfile, SessionVwap,
};
pub use trend::{LinearRegressionSlope, ParabolicSar, Supertrend, SupertrendValue};
pub use volatility::{Atr, CloseToClose, GarmanKlass, Natr, Parkinson, StdDev, TrueRange};
pub use volume::{AccumulationDistribution, ChaikinOscillator, Mfi, Obv, RelativeVolume, RollingVwap, Vwap};

use crate::market::Bar;

/// A machine that turns a series into another, value by value.
///
/// ```
/// use daybook_core::indicators::{Indicator, Period, Sma};
///
/// let mut average = Sma::new(Period::of::<3>());
/// assert_eq!(average.update(1.0), None);
/// assert_eq!(average.update(2.0), None);
/// assert_eq!(average.update(6.0), Some(3.0));
/// // A batch is the same, over a slice.
/// let averages = Sma::new(Period::of::<3>()).batch(&[1.0, 2.0, 6.0, 4.0]);
/// assert_eq!(averages, [None, None, Some(3.0), Some(4.0)]);
/// ```
pub trait Indicator {
    /// What it takes: a value, or a bar's [`Candle`].
    type Input: Copy;
    /// What it gives: a value, or several that belong together.
    type Output;

    /// Takes the next input; `None` while too few have been seen.
    fn update(&mut self, input: Self::Input) -> Option<Self::Output>;

    /// The outputs for a whole series, one an input.
    fn batch(mut self, inputs: &[Self::Input]) -> Vec<Option<Self::Output>>
    where
        Self: Sized,
    {
        inputs.iter().map(|input| self.update(*input)).collect()
    }

    /// The output for the last input of a series.
    fn last(mut self, inputs: impl IntoIterator<Item = Self::Input>) -> Option<Self::Output>
    where
        Self: Sized,
    {
        inputs.into_iter().fold(None, |_, input| self.update(input))
    }
}

/// How many values an indicator looks over: 1 to 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(NonZero<u16>);

/// A period that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a period of {0}: expected 1 to 65535")]
pub struct PeriodError(pub usize);

impl Period {
    /// A period that the source text states; zero does not compile.
    #[must_use]
    pub const fn of<const N: u16>() -> Self {
        const { assert!(N > 0, "a period is at least 1") };
        match NonZero::new(N) {
            Some(period) => Self(period),
            None => Self(NonZero::<u16>::MIN), // the assertion above has failed to compile
        }
    }

    pub(crate) const fn len(self) -> usize {
        self.0.get() as usize // widening
    }

    fn as_f64(self) -> f64 {
        f64::from(self.0.get())
    }
}

impl TryFrom<usize> for Period {
    type Error = PeriodError;
    fn try_from(value: usize) -> Result<Self, PeriodError> {
        u16::try_from(value).ok().and_then(NonZero::new).map(Self).ok_or(PeriodError(value))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0.get())
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(usize::from(u16::deserialize(deserializer)?)).map_err(de::Error::custom)
    }
}

/// A bar's prices and volume as floats: what indicators and patterns look at.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Candle {
    /// The first price.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The last price.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
}

impl Candle {
    /// The mean of high, low and close.
    #[must_use]
    pub fn typical(&self) -> f64 {
        (self.high + self.low + self.close) / 3.0
    }

    /// Wilder's true range after the close before: high less low, or the distance of either from that close.
    #[must_use]
    pub fn true_range(&self, close_before: f64) -> f64 {
        (self.high - self.low).max((self.high - close_before).abs()).max((self.low - close_before).abs())
    }
}

impl From<&Bar> for Candle {
    fn from(bar: &Bar) -> Self {
        Self {
            open: bar.open.to_f64(),
            high: bar.high.to_f64(),
            low: bar.low.to_f64(),
            close: bar.close.to_f64(),
            volume: bar.volume.to_f64(),
        }
    }
}

/// Below this a divisor counts as zero, as in TA-Lib.
const EPSILON: f64 = 1e-14;

fn is_zero(value: f64) -> bool {
    value.abs() < EPSILON
}

/// Whether two values are equal but for the rounding of how they came about, as TA-Lib sees it.
fn are_one(a: f64, b: f64) -> bool {
    (a - b).abs() <= EPSILON * (a.abs() + b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_within_its_bounds() {
        assert_eq!(Period::try_from(20), Ok(Period::of::<20>()));
        for wrong in [0, 65_536, usize::MAX] {
            assert_eq!(Period::try_from(wrong), Err(PeriodError(wrong)));
        }
        assert_eq!(PeriodError(0).to_string(), "a period of 0: expected 1 to 65535");
        assert_eq!(serde_json::from_str::<Period>("20").unwrap(), Period::of::<20>());
        assert_eq!(serde_json::to_string(&Period::of::<20>()).unwrap(), "20");
        assert!(serde_json::from_str::<Period>("0").is_err());
    }

    #[test]
    fn the_true_range_spans_a_gap() {
        let candle = Candle { open: 10.0, high: 11.0, low: 9.0, close: 10.0, volume: 0.0 };
        for (before, range) in [(10.0, 2.0), (8.0, 3.0), (12.5, 3.5)] {
            assert_eq!(candle.true_range(before), range);
        }
    }
}
