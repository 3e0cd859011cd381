//! Moving averages of one series.

use super::window::{RollingSum, Window};
use super::{Indicator, Period, is_zero};

/// The simple moving average: the mean of the last values.
///
/// Source: TA-Lib's `SMA`. First defined with the `period`-th value.
#[derive(Debug, Clone)]
pub struct Sma(RollingSum);

impl Sma {
    /// Of the last `period` values.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self(RollingSum::new(period))
    }
}

impl Indicator for Sma {
    type Input = f64;
    type Output = f64;

    #[inline]
    fn update(&mut self, value: f64) -> Option<f64> {
        self.0.update(value).map(|sum| sum / self.0.period().as_f64())
    }
}

/// The exponential moving average: `EMA = EMA before + (value - EMA before) × 2 / (period + 1)`.
///
/// Seeded with the mean of the first `period` values. Source: TA-Lib's `EMA`.
#[derive(Debug, Clone)]
pub struct Ema {
    smoothing: f64,
    state: Seeded,
}

impl Ema {
    /// With a smoothing of `2 / (period + 1)`.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { smoothing: 2.0 / (period.as_f64() + 1.0), state: Seeded::new(period) }
    }
}

impl Indicator for Ema {
    type Input = f64;
    type Output = f64;

    #[inline]
    fn update(&mut self, value: f64) -> Option<f64> {
        let smoothing = self.smoothing;
        self.state.update(value, |before| (value - before) * smoothing + before)
    }
}

/// A value that follows from the one before it, the first being the mean of a period.
#[derive(Debug, Clone)]
pub(super) struct Seeded {
    period: Period,
    /// How many inputs the seed still wants.
    wanted: u16,
    /// The sum of the inputs so far, then the value.
    value: f64,
}

impl Seeded {
    pub(super) fn new(period: Period) -> Self {
        Self { period, wanted: period.0.get(), value: 0.0 }
    }

    /// Takes an input: part of the seed, or, once there is a value, what `next` makes of it.
    #[inline]
    pub(super) fn update(&mut self, input: f64, next: impl FnOnce(f64) -> f64) -> Option<f64> {
        if self.wanted == 0 {
            self.value = next(self.value);
            return Some(self.value);
        }
        self.value += input;
        self.wanted -= 1;
        if self.wanted > 0 {
            return None;
        }
        self.value /= self.period.as_f64();
        Some(self.value)
    }

    /// As [`Seeded::update`], with Wilder's smoothing: `(before × (period - 1) + input) / period`.
    #[inline]
    pub(super) fn update_wilder(&mut self, input: f64) -> Option<f64> {
        let period = self.period.as_f64();
        self.update(input, |before| (before * (period - 1.0) + input) / period)
    }
}

/// The weighted moving average: the latest value counts `period` times, the one before it once less, and so on.
///
/// Source: TA-Lib's `WMA`.
#[derive(Debug, Clone)]
pub struct Wma {
    window: Window,
    sum: f64,
    weighted: f64,
    weight: f64,
}

impl Wma {
    /// Of the last `period` values.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { window: Window::new(period), sum: 0.0, weighted: 0.0, weight: 0.0 }
    }
}

impl Indicator for Wma {
    type Input = f64;
    type Output = f64;

    #[inline]
    fn update(&mut self, value: f64) -> Option<f64> {
        match self.window.push(value) {
            // Every value in the window comes to count once less.
            Some(oldest) => {
                self.weighted -= self.sum;
                self.sum += value;
                self.sum -= oldest;
            }
            None => {
                self.weight += 1.0;
                self.sum += value;
            }
        }
        self.weighted += value * self.weight;
        self.window.is_full().then(|| self.weighted / (self.weight * (self.weight + 1.0) / 2.0))
    }
}

/// The double exponential moving average: `2 × EMA - EMA of EMA`.
///
/// Source: Mulloy, *Smoothing Data with Faster Moving Averages* (1994); TA-Lib's `DEMA`.
#[derive(Debug, Clone)]
pub struct Dema([Ema; 2]);

impl Dema {
    /// Of averages over `period`.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self([Ema::new(period), Ema::new(period)])
    }
}

impl Indicator for Dema {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, value: f64) -> Option<f64> {
        let [first, second] = &mut self.0;
        let once = first.update(value)?;
        let twice = second.update(once)?;
        Some(2.0 * once - twice)
    }
}

/// The triple exponential moving average: `3 × EMA - 3 × EMA of EMA + EMA of EMA of EMA`.
///
/// Source: Mulloy (1994); TA-Lib's `TEMA`.
#[derive(Debug, Clone)]
pub struct Tema([Ema; 3]);

impl Tema {
    /// Of averages over `period`.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self([Ema::new(period), Ema::new(period), Ema::new(period)])
    }
}

impl Indicator for Tema {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, value: f64) -> Option<f64> {
        let [first, second, third] = &mut self.0;
        let once = first.update(value)?;
        let twice = second.update(once)?;
        let thrice = third.update(twice)?;
        Some(thrice + (3.0 * once - 3.0 * twice))
    }
}

/// Kaufman's adaptive moving average: an exponential one that is fast where the price moves straight.
///
/// The efficiency ratio, the way from first to last over the sum of the steps, mixes the smoothing of 2 with
/// that of 30 values; its square is the smoothing. Over one step it is the value itself, as in TA-Lib. Source: Kaufman,
/// *Smarter Trading* (1995); TA-Lib's `KAMA`.
#[derive(Debug, Clone)]
pub struct Kama {
    window: Window,
    before: Option<f64>,
    /// The value that fell out of the window last.
    fallen: Option<f64>,
    /// The sum of the steps in the window.
    steps: f64,
    average: f64,
}

impl Kama {
    /// With the efficiency ratio over `period` steps.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { window: Window::new(period), before: None, fallen: None, steps: 0.0, average: 0.0 }
    }
}

impl Indicator for Kama {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, value: f64) -> Option<f64> {
        const SLOWEST: f64 = 2.0 / (30.0 + 1.0);
        const FASTEST: f64 = 2.0 / (2.0 + 1.0);
        if self.window.period().len() == 1 {
            return Some(value);
        }
        let before = self.before.replace(value);
        let oldest = self.window.push(value);
        if let (Some(fallen), Some(oldest)) = (self.fallen, oldest) {
            self.steps -= (fallen - oldest).abs();
        }
        self.steps += before.map_or(0.0, |before| (value - before).abs());
        let first = oldest?;
        let way = value - first;
        if self.fallen.replace(first).is_none() {
            self.average = before.unwrap_or(value);
        }
        let ratio = if self.steps <= way || is_zero(self.steps) { 1.0 } else { (way / self.steps).abs() };
        let smoothing = ratio * (FASTEST - SLOWEST) + SLOWEST;
        self.average += (value - self.average) * (smoothing * smoothing);
        Some(self.average)
    }
}
