//! How fast a price moves: differences, ratios and their averages.

use super::average::Seeded;
use super::window::Window;
use super::{Ema, Indicator, Period};

/// A price against the one `period` values before.
///
/// Source: TA-Lib's `MOM`, `ROC` and `ROCP`. A ratio to a price of zero is zero.
#[derive(Debug, Clone)]
pub struct Momentum {
    window: Window,
    measure: Measure,
}

#[derive(Debug, Clone, Copy)]
enum Measure {
    Difference,
    Percent,
    Ratio,
}

impl Momentum {
    /// The difference: `value - value before`.
    #[must_use]
    pub fn difference(period: Period) -> Self {
        Self { window: Window::new(period), measure: Measure::Difference }
    }

    /// The rate of change in percent: `(value / value before - 1) × 100`.
    #[must_use]
    pub fn percent(period: Period) -> Self {
        Self { window: Window::new(period), measure: Measure::Percent }
    }

    /// The rate of change as a ratio: `(value - value before) / value before`.
    #[must_use]
    pub fn ratio(period: Period) -> Self {
        Self { window: Window::new(period), measure: Measure::Ratio }
    }
}

impl Indicator for Momentum {
    type Input = f64;
    type Output = f64;

    #[inline]
    fn update(&mut self, value: f64) -> Option<f64> {
        let before = self.window.push(value)?;
        Some(match self.measure {
            Measure::Difference => value - before,
            Measure::Percent | Measure::Ratio if before == 0.0 => 0.0,
            Measure::Percent => (value / before - 1.0) * 100.0,
            Measure::Ratio => (value - before) / before,
        })
    }
}

/// Wilder's relative strength index: `100 × gains / (gains + losses)`, each smoothed by Wilder; 0 without either.
///
/// Source: Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib's `RSI`. First defined with the
/// value after `period` changes.
#[derive(Debug, Clone)]
pub struct Rsi {
    before: Option<f64>,
    gain: Seeded,
    loss: Seeded,
}

impl Rsi {
    /// Over `period` changes.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { before: None, gain: Seeded::new(period), loss: Seeded::new(period) }
    }
}

impl Indicator for Rsi {
    type Input = f64;
    type Output = f64;

    #[inline]
    fn update(&mut self, value: f64) -> Option<f64> {
        let change = value - self.before.replace(value)?;
        let gain = self.gain.update_wilder(change.max(0.0));
        let loss = self.loss.update_wilder((-change).max(0.0));
        let (gain, loss) = (gain?, loss?);
        let both = gain + loss;
        Some(if both == 0.0 { 0.0 } else { 100.0 * (gain / both) })
    }
}

/// The periods of [`Macd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacdPeriods {
    /// Of the fast average: usually 12.
    pub fast: Period,
    /// Of the slow average: usually 26.
    pub slow: Period,
    /// Of the signal line: usually 9.
    pub signal: Period,
}

impl Default for MacdPeriods {
    fn default() -> Self {
        Self { fast: Period::of::<12>(), slow: Period::of::<26>(), signal: Period::of::<9>() }
    }
}

/// What [`Macd`] gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacdValue {
    /// The fast average less the slow one.
    pub macd: f64,
    /// Its exponential average.
    pub signal: f64,
    /// The first less the second.
    pub histogram: f64,
}

/// The moving average convergence divergence: a fast exponential average less a slow one.
///
/// Both averages are seeded so that they begin with the same value, the `slow`-th; all three lines begin
/// with the signal. Source: Appel (1979); TA-Lib's `MACD`.
#[derive(Debug, Clone)]
pub struct Macd {
    /// Values that the slow average counts and the fast one does not.
    head_start: u16,
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

impl Macd {
    /// With these periods; a slow one that is the shorter is taken as the fast one.
    #[must_use]
    pub fn new(periods: MacdPeriods) -> Self {
        let (fast, slow) = (periods.fast.min(periods.slow), periods.fast.max(periods.slow));
        Self {
            head_start: slow.0.get() - fast.0.get(),
            fast: Ema::new(fast),
            slow: Ema::new(slow),
            signal: Ema::new(periods.signal),
        }
    }
}

impl Indicator for Macd {
    type Input = f64;
    type Output = MacdValue;

    #[inline]
    fn update(&mut self, value: f64) -> Option<MacdValue> {
        let slow = self.slow.update(value);
        if self.head_start > 0 {
            self.head_start -= 1;
            return None;
        }
        let macd = self.fast.update(value)? - slow?;
        let signal = self.signal.update(macd)?;
        Some(MacdValue { macd, signal, histogram: macd - signal })
    }
}

/// The change, in percent, of a price that was exponentially averaged three times.
///
/// Source: Hutson (1983); TA-Lib's `TRIX`.
#[derive(Debug, Clone)]
pub struct Trix {
    averages: [Ema; 3],
    change: Momentum,
}

impl Trix {
    /// Of averages over `period`.
    #[must_use]
    pub fn new(period: Period) -> Self {
        let average = Ema::new(period);
        Self { averages: [average.clone(), average.clone(), average], change: Momentum::percent(Period::of::<1>()) }
    }
}

impl Indicator for Trix {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, value: f64) -> Option<f64> {
        let smooth = self.averages.iter_mut().try_fold(value, |value, average| average.update(value))?;
        self.change.update(smooth)
    }
}
