//! Where a price stands within its recent range.

use super::window::{End, Extreme, RollingSum, Window};
use super::{Candle, Indicator, Period, Rsi, Sma, are_one, is_zero};

/// The periods of [`Stochastic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StochasticPeriods {
    /// Bars of the range: usually 14.
    pub range: Period,
    /// Of the average that makes %K slow: usually 3.
    pub slow_k: Period,
    /// Of the average that %D is of %K: usually 3.
    pub d: Period,
}

/// %K and %D, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StochasticValue {
    /// Where the close stands in the range.
    pub k: f64,
    /// The average of %K.
    pub d: f64,
}

/// The slow stochastic: %K is averaged, and %D is the average of that.
///
/// Source: Lane (1984); TA-Lib's `STOCH` with simple averages.
#[derive(Debug, Clone)]
pub struct Stochastic {
    raw: RangePosition,
    slow_k: Sma,
    d: Sma,
}

impl Stochastic {
    /// With these periods.
    #[must_use]
    pub fn new(periods: StochasticPeriods) -> Self {
        Self { raw: RangePosition::new(periods.range), slow_k: Sma::new(periods.slow_k), d: Sma::new(periods.d) }
    }
}

impl Indicator for Stochastic {
    type Input = Candle;
    type Output = StochasticValue;

    fn update(&mut self, candle: Candle) -> Option<StochasticValue> {
        let k = self.slow_k.update(self.raw.update(candle.high, candle.low, candle.close)?)?;
        Some(StochasticValue { k, d: self.d.update(k)? })
    }
}

/// The fast stochastic: %K as it is, and its average.
///
/// Source: Lane (1984); TA-Lib's `STOCHF` with a simple average.
#[derive(Debug, Clone)]
pub struct FastStochastic {
    raw: RangePosition,
    d: Sma,
}

impl FastStochastic {
    /// The range of `range` bars, and %D over `d` values of %K.
    #[must_use]
    pub fn new(range: Period, d: Period) -> Self {
        Self { raw: RangePosition::new(range), d: Sma::new(d) }
    }

    fn update_with(&mut self, high: f64, low: f64, close: f64) -> Option<StochasticValue> {
        let k = self.raw.update(high, low, close)?;
        Some(StochasticValue { k, d: self.d.update(k)? })
    }
}

impl Indicator for FastStochastic {
    type Input = Candle;
    type Output = StochasticValue;

    fn update(&mut self, candle: Candle) -> Option<StochasticValue> {
        self.update_with(candle.high, candle.low, candle.close)
    }
}

/// The fast stochastic of the relative strength index.
///
/// Source: Chande and Kroll (1994); TA-Lib's `STOCHRSI`.
#[derive(Debug, Clone)]
pub struct StochRsi {
    rsi: Rsi,
    stochastic: FastStochastic,
}

impl StochRsi {
    /// The index over `rsi` changes, and the stochastic that is taken of it.
    #[must_use]
    pub const fn new(rsi: Rsi, stochastic: FastStochastic) -> Self {
        Self { rsi, stochastic }
    }
}

impl Indicator for StochRsi {
    type Input = f64;
    type Output = StochasticValue;

    fn update(&mut self, value: f64) -> Option<StochasticValue> {
        let strength = self.rsi.update(value)?;
        self.stochastic.update_with(strength, strength, strength)
    }
}

/// A close's place between the lowest low, 0, and the highest high, 100; 0 where they are one.
#[derive(Debug, Clone)]
struct RangePosition {
    highest: Extreme,
    lowest: Extreme,
}

impl RangePosition {
    fn new(period: Period) -> Self {
        Self { highest: Extreme::new(End::Highest, period), lowest: Extreme::new(End::Lowest, period) }
    }

    fn update(&mut self, high: f64, low: f64, close: f64) -> Option<f64> {
        let (highest, lowest) = (self.highest.update(high), self.lowest.update(low));
        let ((highest, _), (lowest, _)) = (highest?, lowest?);
        let range = highest - lowest;
        Some(if are_one(highest, lowest) { 0.0 } else { (close - lowest) / (range / 100.0) })
    }
}

/// Williams' %R: how far the close is below the highest high, in percent of the range; 0 to -100.
///
/// Source: Williams (1973); TA-Lib's `WILLR`. 0 where the range is.
#[derive(Debug, Clone)]
pub struct WilliamsR {
    highest: Extreme,
    lowest: Extreme,
}

impl WilliamsR {
    /// Within the range of `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { highest: Extreme::new(End::Highest, period), lowest: Extreme::new(End::Lowest, period) }
    }
}

impl Indicator for WilliamsR {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let (highest, lowest) = (self.highest.update(candle.high), self.lowest.update(candle.low));
        let ((highest, _), (lowest, _)) = (highest?, lowest?);
        let range = highest - lowest;
        Some(if are_one(highest, lowest) { 0.0 } else { (highest - candle.close) / (range / -100.0) })
    }
}

/// The commodity channel index: the typical price's distance from its mean, in 0.015 mean deviations.
///
/// Source: Lambert, *Commodity Channel Index* (1980); TA-Lib's `CCI`.
#[derive(Debug, Clone)]
pub struct Cci(Window);

impl Cci {
    /// Over `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self(Window::new(period))
    }
}

impl Indicator for Cci {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let typical = candle.typical();
        self.0.push(typical);
        if !self.0.is_full() {
            return None;
        }
        let values = self.0.places();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = values.iter().map(|value| (value - mean).abs()).sum::<f64>();
        Some(if are_one(typical, mean) { 0.0 } else { (typical - mean) / (0.015 * (deviation / count)) })
    }
}

/// The ultimate oscillator: buying pressure over true range, of three lengths weighted 4, 2 and 1; 0 to 100.
///
/// Source: Williams, *The Ultimate Oscillator* (1985); TA-Lib's `ULTOSC`.
#[derive(Debug, Clone)]
pub struct Ultosc {
    close_before: Option<f64>,
    /// Pressure and range, from the shortest period to the longest.
    sums: [(RollingSum, RollingSum); 3],
}

impl Ultosc {
    /// Over these three periods, usually 7, 14 and 28; the shortest counts most.
    #[must_use]
    pub fn new(mut periods: [Period; 3]) -> Self {
        periods.sort_unstable();
        Self { close_before: None, sums: periods.map(|period| (RollingSum::new(period), RollingSum::new(period))) }
    }
}

impl Indicator for Ultosc {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let before = self.close_before.replace(candle.close)?;
        let pressure = candle.close - candle.low.min(before);
        let range = candle.true_range(before);
        let mut total = Some(0.0);
        for ((pressures, ranges), weight) in self.sums.iter_mut().zip([4.0, 2.0, 1.0]) {
            let (pressures, ranges) = (pressures.update(pressure), ranges.update(range));
            total = total.zip(pressures.zip(ranges)).map(|(total, (pressures, ranges))| {
                if is_zero(ranges) { total } else { total + weight * (pressures / ranges) }
            });
        }
        total.map(|total| 100.0 * (total / 7.0))
    }
}
