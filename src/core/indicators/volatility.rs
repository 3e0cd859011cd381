//! How far prices range.

use super::average::Seeded;
use super::window::{RollingSum, Window};
use super::{Candle, Indicator, Period, is_zero};

/// The true range: high less low, or the distance of either from the close before, whichever is greatest.
///
/// The first bar has no close before it and no true range. Source: Wilder, *New Concepts in Technical Trading
/// Systems* (1978); TA-Lib's `TRANGE`.
#[derive(Debug, Clone, Default)]
pub struct TrueRange {
    close_before: Option<f64>,
}

impl Indicator for TrueRange {
    type Input = Candle;
    type Output = f64;

    #[inline]
    fn update(&mut self, candle: Candle) -> Option<f64> {
        self.close_before.replace(candle.close).map(|before| candle.true_range(before))
    }
}

/// Wilder's average true range: `(ATR before × (period - 1) + TR) / period`, seeded with the mean of the first
/// `period` true ranges.
///
/// Source: Wilder (1978); TA-Lib's `ATR`. First defined with bar `period + 1`.
#[derive(Debug, Clone)]
pub struct Atr {
    range: TrueRange,
    average: Seeded,
}

impl Atr {
    /// Smoothed over `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { range: TrueRange::default(), average: Seeded::new(period) }
    }
}

impl Indicator for Atr {
    type Input = Candle;
    type Output = f64;

    #[inline]
    fn update(&mut self, candle: Candle) -> Option<f64> {
        let range = self.range.update(candle)?;
        self.average.update_wilder(range)
    }
}

/// The average true range in percent of the close.
///
/// Source: TA-Lib's `NATR`.
#[derive(Debug, Clone)]
pub struct Natr {
    average: Atr,
    is_smoothed: bool,
}

impl Natr {
    /// Smoothed over `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { average: Atr::new(period), is_smoothed: period > Period::of::<1>() }
    }
}

impl Indicator for Natr {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let average = self.average.update(candle)?;
        Some(match self.is_smoothed {
            true if is_zero(candle.close) => 0.0,
            true => average / candle.close * 100.0,
            false => average,
        })
    }
}

/// The population standard deviation of the last values.
///
/// Source: TA-Lib's `STDDEV`.
#[derive(Debug, Clone)]
pub struct StdDev(Variance);

impl StdDev {
    /// Of the last `period` values.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self(Variance::new(period))
    }
}

impl Indicator for StdDev {
    type Input = f64;
    type Output = f64;

    #[inline]
    fn update(&mut self, value: f64) -> Option<f64> {
        self.0.update(value).map(|(_, deviation)| deviation)
    }
}

/// The mean and the standard deviation of the last values.
///
/// Deviations are counted from a centre near the mean, one added and one taken off at a time. Sums that are kept so
/// hold the rounding of all that they held; after a spike that is all that is left of them. So they are taken anew
/// once a period, and whenever what is left is little beside what was there: that is seldom, and an update costs
/// the same on average however long the period is.
#[derive(Debug, Clone)]
pub(super) struct Variance {
    window: Window,
    period: f64,
    sum: f64,
    centre: f64,
    /// The sum of the deviations from the centre.
    deviations: f64,
    /// The sum of their squares.
    squares: f64,
    /// The greatest that the squares have been since they were taken anew.
    squares_max: f64,
}

/// The least that may be left of the squares: ten digits are exact then, after the rounding of a period.
const SQUARES_LEFT_MIN: f64 = 1e-3;

impl Variance {
    pub(super) fn new(period: Period) -> Self {
        Self {
            window: Window::new(period),
            period: period.as_f64(),
            sum: 0.0,
            centre: 0.0,
            deviations: 0.0,
            squares: 0.0,
            squares_max: 0.0,
        }
    }

    #[inline]
    pub(super) fn update(&mut self, value: f64) -> Option<(f64, f64)> {
        let deviation = value - self.centre;
        self.deviations += deviation;
        self.squares += deviation * deviation;
        self.squares_max = self.squares_max.max(self.squares);
        if let Some(oldest) = self.window.push(value) {
            self.sum -= oldest;
            let deviation = oldest - self.centre;
            self.deviations -= deviation;
            self.squares -= deviation * deviation;
        }
        self.sum += value;
        if !self.window.is_full() {
            return None;
        }
        let mean = self.sum / self.period;
        let mut squares = self.about_the_mean();
        // Also where they are no numbers.
        let enough = squares > SQUARES_LEFT_MIN * self.squares_max;
        if !enough || self.window.in_order().is_some() {
            self.take_anew(mean);
            squares = self.about_the_mean();
        }
        Some((mean, (squares / self.period).max(0.0).sqrt()))
    }

    /// The squares of the deviations from the mean, wherever the centre is.
    #[inline]
    fn about_the_mean(&self) -> f64 {
        self.squares - self.deviations * self.deviations / self.period
    }

    /// Counts the window's deviations from a new centre.
    fn take_anew(&mut self, centre: f64) {
        let deviations = self.window.places().iter().map(|value| value - centre);
        self.deviations = deviations.clone().sum();
        self.squares = deviations.map(|deviation| deviation * deviation).sum();
        (self.centre, self.squares_max) = (centre, self.squares);
    }
}

/// The sample standard deviation of the last logarithmic returns, close to close, per bar.
///
/// Times the root of the bars in a year it is the annual volatility.
#[derive(Debug, Clone)]
pub struct CloseToClose {
    close_before: Option<f64>,
    sum: RollingSum,
    squares: RollingSum,
}

impl CloseToClose {
    /// Of the last `period` returns; `None` for one, which has no sample deviation.
    #[must_use]
    pub fn new(period: Period) -> Option<Self> {
        let sums = || RollingSum::new(period);
        (period > Period::of::<1>()).then(|| Self { close_before: None, sum: sums(), squares: sums() })
    }
}

impl Indicator for CloseToClose {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, close: f64) -> Option<f64> {
        let change = (close / self.close_before.replace(close)?).ln();
        let (sum, squares) = (self.sum.update(change), self.squares.update(change * change));
        let (sum, squares, count) = (sum?, squares?, self.sum.period().as_f64());
        Some(((squares - sum * sum / count) / (count - 1.0)).max(0.0).sqrt())
    }
}

/// Parkinson's volatility per bar, from highs and lows: `√(mean of ln(high / low)² / (4 ln 2))`.
///
/// Source: Parkinson, *The Extreme Value Method for Estimating the Variance of the Rate of Return* (1980). It
/// counts nothing that happens between bars.
#[derive(Debug, Clone)]
pub struct Parkinson(RollingSum);

impl Parkinson {
    /// Of the last `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self(RollingSum::new(period))
    }
}

impl Indicator for Parkinson {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let range = (candle.high / candle.low).ln();
        let sum = self.0.update(range * range)?;
        Some((sum / self.0.period().as_f64() / (4.0 * std::f64::consts::LN_2)).max(0.0).sqrt())
    }
}

/// Garman's and Klass's volatility per bar: `√(mean of ln(high / low)² / 2 - (2 ln 2 - 1) ln(close / open)²)`.
///
/// Source: Garman and Klass, *On the Estimation of Security Price Volatilities from Historical Data* (1980).
#[derive(Debug, Clone)]
pub struct GarmanKlass(RollingSum);

impl GarmanKlass {
    /// Of the last `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self(RollingSum::new(period))
    }
}

impl Indicator for GarmanKlass {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let (range, body) = ((candle.high / candle.low).ln(), (candle.close / candle.open).ln());
        let sum = self.0.update(0.5 * range * range - (2.0 * std::f64::consts::LN_2 - 1.0) * body * body)?;
        Some((sum / self.0.period().as_f64()).max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As TA-Lib's `NATR` of one bar, which is its `TRANGE`.
    #[test]
    fn over_one_bar_the_normalised_range_is_the_range() {
        let bar = |low: f64, high: f64, close: f64| Candle { open: low, high, low, close, volume: 1.0 };
        let mut natr = Natr::new(Period::of::<1>());
        assert_eq!((natr.update(bar(9.0, 11.0, 10.0)), natr.update(bar(10.5, 12.0, 11.0))), (None, Some(2.0)));
    }

    #[test]
    fn a_deviation_is_exact_after_a_spike_and_where_prices_hardly_move() {
        let mut values: Vec<f64> = (0..300).map(|i| 100.0 + f64::from(i * i % 7) * 1e-6).collect();
        (values[40], values[150], values[151]) = (1e9, -1e12, 3e5);
        let deviations = StdDev::new(Period::of::<20>()).batch(&values);
        for (window, deviation) in values.windows(20).zip(&deviations[19..]) {
            let mean = window.iter().sum::<f64>() / 20.0;
            let expected = (window.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20.0).sqrt();
            let deviation = deviation.unwrap();
            assert!((deviation - expected).abs() <= 1e-9 * expected.max(1e-6), "{deviation} is not {expected}");
        }
    }

    #[test]
    fn range_volatilities_follow_their_formulas() {
        let candle = Candle { open: 100.0, high: 102.0, low: 99.0, close: 101.0, volume: 0.0 };
        let (range, body) = ((102.0_f64 / 99.0).ln(), (101.0_f64 / 100.0).ln());
        let period = Period::of::<3>();
        let [parkinson, garman_klass] =
            [Parkinson::new(period).last([candle; 5]).unwrap(), GarmanKlass::new(period).last([candle; 5]).unwrap()];
        assert!((parkinson - (range * range / (4.0 * 2.0_f64.ln())).sqrt()).abs() < 1e-12);
        let expected = 0.5 * range * range - (2.0 * 2.0_f64.ln() - 1.0) * body * body;
        assert!((garman_klass - expected.sqrt()).abs() < 1e-12);
        assert_eq!(Parkinson::new(period).last([candle; 2]), None);
    }

    #[test]
    fn close_to_close_is_the_sample_deviation_of_log_returns() {
        let closes = [100.0, 101.0, 99.0, 100.5];
        let returns: Vec<f64> = closes.windows(2).map(|pair| f64::ln(pair[1] / pair[0])).collect();
        let mean = returns.iter().sum::<f64>() / 3.0;
        let expected = (returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        let volatility = CloseToClose::new(Period::of::<3>()).unwrap().batch(&closes);
        assert_eq!(volatility[..3], [None, None, None]);
        assert!((volatility[3].unwrap() - expected).abs() < 1e-12);
        assert_eq!(CloseToClose::new(Period::of::<2>()).unwrap().last([5.0; 4]), Some(0.0));
        assert!(CloseToClose::new(Period::of::<1>()).is_none());
    }
}
