//! Volume, and prices weighed by it.

use super::window::RollingSum;
use super::{Candle, Indicator, Period, Sma, are_one, is_zero};

/// On-balance volume: each bar's volume is added where the close rises and taken off where it falls.
///
/// Begins with the first bar's volume. Source: Granville (1963); TA-Lib's `OBV`.
#[derive(Debug, Clone, Default)]
pub struct Obv {
    close_before: Option<f64>,
    balance: f64,
}

impl Indicator for Obv {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        match self.close_before.replace(candle.close) {
            Some(before) if candle.close < before => self.balance -= candle.volume,
            Some(before) if candle.close > before => self.balance += candle.volume,
            Some(_) => {}
            None => self.balance = candle.volume,
        }
        Some(self.balance)
    }
}

/// The accumulation/distribution line: volume weighed by where the close stands in the bar, -1 to 1.
///
/// Source: Chaikin (1966); TA-Lib's `AD`.
#[derive(Debug, Clone, Default)]
pub struct AccumulationDistribution {
    line: f64,
}

impl Indicator for AccumulationDistribution {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let Candle { high, low, close, volume, .. } = candle;
        let range = high - low;
        if range > 0.0 {
            self.line += ((close - low) - (high - close)) / range * volume;
        }
        Some(self.line)
    }
}

/// Chaikin's oscillator: a fast exponential average of the accumulation/distribution line less a slow one.
///
/// Both averages begin with the line's first value. Source: TA-Lib's `ADOSC`.
#[derive(Debug, Clone)]
pub struct ChaikinOscillator {
    line: AccumulationDistribution,
    fast: f64,
    slow: f64,
    averages: Option<(f64, f64)>,
    wanted: u16,
}

impl ChaikinOscillator {
    /// Of the averages over `[fast, slow]`: usually 3 and 10.
    #[must_use]
    pub fn new([fast, slow]: [Period; 2]) -> Self {
        let smoothing = |period: Period| 2.0 / (period.as_f64() + 1.0);
        Self {
            line: AccumulationDistribution::default(),
            fast: smoothing(fast),
            slow: smoothing(slow),
            averages: None,
            wanted: fast.max(slow).0.get() - 1,
        }
    }
}

impl Indicator for ChaikinOscillator {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let line = self.line.update(candle)?;
        let next = |smoothing: f64, before: f64| smoothing * line + (1.0 - smoothing) * before;
        let averages =
            self.averages.map_or((line, line), |(fast, slow)| (next(self.fast, fast), next(self.slow, slow)));
        self.averages = Some(averages);
        if self.wanted > 0 {
            self.wanted -= 1;
            return None;
        }
        Some(averages.0 - averages.1)
    }
}

/// The money flow index: the share of the dollars that traded at rising typical prices, 0 to 100.
///
/// 0 where none flowed in the whole period. Source: Quong and Soudack (1989); TA-Lib's `MFI`.
#[derive(Debug, Clone)]
pub struct Mfi {
    typical_before: Option<f64>,
    rising: RollingSum,
    falling: RollingSum,
    /// How many bars in a row nothing has flowed, at most the period.
    still: u16,
}

impl Mfi {
    /// Over `period` changes.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { typical_before: None, rising: RollingSum::new(period), falling: RollingSum::new(period), still: 0 }
    }
}

impl Indicator for Mfi {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let typical = candle.typical();
        let before = self.typical_before.replace(typical)?;
        let flow = if are_one(typical, before) { 0.0 } else { typical * candle.volume };
        let falls = typical < before;
        let rising = self.rising.update(if falls { 0.0 } else { flow });
        let falling = self.falling.update(if falls { flow } else { 0.0 });
        let period = self.rising.period().0.get();
        self.still = if flow == 0.0 { self.still.saturating_add(1).min(period) } else { 0 };
        let (rising, falling) = (rising?, falling?);
        if self.still == period {
            // What is left in the sums is rounding: it is nobody's flow, and would be in every sum after it.
            self.rising.clear_rounding();
            self.falling.clear_rounding();
            return Some(0.0);
        }
        let both = rising + falling;
        Some(if both > 0.0 { 100.0 * (rising.clamp(0.0, both) / both) } else { 0.0 })
    }
}

/// The volume-weighted average price since the beginning, or since [`Vwap::restart`]; `None` while nothing traded.
///
/// Each bar counts with its typical price, `(high + low + close) / 3`, as is usual where single trades are not at
/// hand.
#[derive(Debug, Clone, Default)]
pub struct Vwap {
    value: f64,
    shares: f64,
}

impl Vwap {
    /// Begins anew, as a session does.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

impl Indicator for Vwap {
    type Input = Candle;
    type Output = f64;

    #[inline]
    fn update(&mut self, candle: Candle) -> Option<f64> {
        self.value += candle.typical() * candle.volume;
        self.shares += candle.volume;
        (self.shares > 0.0).then(|| self.value / self.shares)
    }
}

/// The volume-weighted average price of the last bars; `None` where none of them traded.
#[derive(Debug, Clone)]
pub struct RollingVwap {
    value: RollingSum,
    shares: RollingSum,
}

impl RollingVwap {
    /// Of the last `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { value: RollingSum::new(period), shares: RollingSum::new(period) }
    }
}

impl Indicator for RollingVwap {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let value = self.value.update(candle.typical() * candle.volume);
        let shares = self.shares.update(candle.volume);
        let (value, shares) = (value?, shares?);
        (!is_zero(shares)).then(|| value / shares)
    }
}

/// A bar's volume against the mean of the `period` bars before it; `None` where those traded nothing.
///
/// Over the bars of one day it compares neighbours. To compare a time of day with itself on earlier days, see
/// [`relative_volume`](crate::analysis::relative_volume).
#[derive(Debug, Clone)]
pub struct RelativeVolume {
    average: Sma,
    usual: Option<f64>,
}

impl RelativeVolume {
    /// Against the `period` bars before.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { average: Sma::new(period), usual: None }
    }
}

impl Indicator for RelativeVolume {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, volume: f64) -> Option<f64> {
        let usual = std::mem::replace(&mut self.usual, self.average.update(volume))?;
        (!is_zero(usual)).then(|| volume / usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(price: f64, volume: f64) -> Candle {
        Candle { open: price, high: price, low: price, close: price, volume }
    }

    #[test]
    fn averages_are_weighed_by_volume() {
        let bars = [candle(10.0, 0.0), candle(10.0, 100.0), candle(13.0, 200.0), candle(20.0, 0.0), candle(20.0, 0.0)];
        let cumulative = Vwap::default().batch(&bars);
        assert_eq!(cumulative, [None, Some(10.0), Some(12.0), Some(12.0), Some(12.0)]);
        let rolling = RollingVwap::new(Period::of::<2>()).batch(&bars);
        assert_eq!(rolling, [None, Some(10.0), Some(12.0), Some(13.0), None]);
        let mut session = Vwap::default();
        session.update(candle(10.0, 100.0));
        session.restart();
        assert_eq!(session.update(candle(30.0, 1.0)), Some(30.0));
    }

    #[test]
    fn the_money_flow_index_does_not_depend_on_the_size_of_the_flow() {
        let prices = [10.0, 11.0, 12.0, 11.0, 12.0, 12.0, 12.0, 12.0, 13.0];
        let index = |volume: f64| Mfi::new(Period::of::<3>()).batch(&prices.map(|price| candle(price, volume)));
        let (usual, least) = (index(1000.0), index(1e-9));
        assert!((usual[3].unwrap() - 100.0 * 23.0 / 34.0).abs() < 1e-9, "{usual:?}");
        assert_eq!(usual[7..], [Some(0.0), Some(100.0)], "nothing flows, and what is left of sums is no flow");
        for (usual, least) in usual.iter().zip(&least) {
            let both = usual.zip(*least);
            assert!(both.map_or(usual == least, |(usual, least)| (usual - least).abs() < 1e-9), "{usual:?} {least:?}");
        }
    }

    #[test]
    fn relative_volume_leaves_its_own_bar_out() {
        let ratios = RelativeVolume::new(Period::of::<2>()).batch(&[100.0, 300.0, 400.0, 0.0, 0.0, 0.0, 5.0]);
        assert_eq!(ratios, [None, None, Some(2.0), Some(0.0), Some(0.0), None, None]);
    }
}
