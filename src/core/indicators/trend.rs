//! Lines that follow a trend: the parabolic stop and reverse, the supertrend, the regression's slope.

use super::window::Window;
use super::{Atr, Candle, Indicator, Period};

/// Wilder's parabolic stop and reverse: a stop that follows the price, ever faster, until it is hit.
///
/// Each new extreme adds the acceleration to the factor, up to its maximum. The first direction is that of the
/// second bar against the first. Source: Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib's
/// `SAR`.
#[derive(Debug, Clone)]
pub struct ParabolicSar {
    acceleration: f64,
    acceleration_max: f64,
    before: Option<Candle>,
    trend: Option<Trend>,
}

/// The direction that the stop is in.
#[derive(Debug, Clone, Copy)]
struct Trend {
    rising: bool,
    /// The stop for the next bar.
    stop: f64,
    extreme: f64,
    factor: f64,
}

impl ParabolicSar {
    /// The usual one: 0.02 a step, 0.2 at most.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_acceleration(0.02, 0.2)
    }

    /// With another acceleration and its maximum; one above the maximum counts as the maximum.
    #[must_use]
    pub const fn with_acceleration(step: f64, max: f64) -> Self {
        Self { acceleration: step.min(max), acceleration_max: max, before: None, trend: None }
    }

    /// The trend that the first two bars begin: down only if the second reaches further down than up.
    fn first_trend(&self, first: Candle, second: Candle) -> Trend {
        let (up, down) = (second.high - first.high, first.low - second.low);
        let rising = !(down > 0.0 && up < down);
        let (stop, extreme) = if rising { (first.low, second.high) } else { (first.high, second.low) };
        Trend { rising, stop, extreme, factor: self.acceleration }
    }
}

impl Default for ParabolicSar {
    fn default() -> Self {
        Self::new()
    }
}

impl Indicator for ParabolicSar {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let first = self.before.replace(candle)?;
        // The first step has no bar before the one that gave the direction: that one counts twice.
        let (mut trend, before) = match self.trend {
            Some(trend) => (trend, first),
            None => (self.first_trend(first, candle), candle),
        };
        let (high, low) = (candle.high.max(before.high), candle.low.min(before.low));
        let beyond = |stop: f64, rising: bool| if rising { stop.min(low) } else { stop.max(high) };
        let hit = if trend.rising { candle.low <= trend.stop } else { candle.high >= trend.stop };
        let stop = if hit {
            let rising = !trend.rising;
            let stop = beyond(trend.extreme, rising);
            let extreme = if rising { candle.high } else { candle.low };
            trend = Trend { rising, stop, extreme, factor: self.acceleration };
            stop
        } else {
            let further = if trend.rising { candle.high > trend.extreme } else { candle.low < trend.extreme };
            if further {
                trend.extreme = if trend.rising { candle.high } else { candle.low };
                trend.factor = (trend.factor + self.acceleration).min(self.acceleration_max);
            }
            trend.stop
        };
        let next = stop + trend.factor * (trend.extreme - stop);
        trend.stop = beyond(next, trend.rising);
        self.trend = Some(trend);
        Some(stop)
    }
}

/// What [`Supertrend`] gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SupertrendValue {
    /// The line: below the price while it rises, above it while it falls.
    pub line: f64,
    /// Whether the trend rises.
    pub rising: bool,
}

/// The supertrend: a band of average true ranges about the bar's middle, which never gives way while its trend lasts.
///
/// The trend turns when a close crosses the line, and begins as falling. Source: Seban's definition as charting
/// platforms publish it; the average true range is [`Atr`]'s.
#[derive(Debug, Clone)]
pub struct Supertrend {
    atr: Atr,
    factor: f64,
    close_before: f64,
    bands: Option<Bands>,
}

#[derive(Debug, Clone, Copy)]
struct Bands {
    upper: f64,
    lower: f64,
    rising: bool,
}

impl Supertrend {
    /// With a band of `factor` average true ranges over `period` bars: usually 3 of 10.
    #[must_use]
    pub fn new(period: Period, factor: f64) -> Self {
        Self { atr: Atr::new(period), factor, close_before: 0.0, bands: None }
    }
}

impl Indicator for Supertrend {
    type Input = Candle;
    type Output = SupertrendValue;

    fn update(&mut self, candle: Candle) -> Option<SupertrendValue> {
        let close_before = std::mem::replace(&mut self.close_before, candle.close);
        let width = self.factor * self.atr.update(candle)?;
        let middle = f64::midpoint(candle.high, candle.low);
        let (mut upper, mut lower, mut rising) = (middle + width, middle - width, false);
        if let Some(before) = self.bands {
            if close_before <= before.upper {
                upper = upper.min(before.upper);
            }
            if close_before >= before.lower {
                lower = lower.max(before.lower);
            }
            rising = if before.rising { candle.close >= lower } else { candle.close > upper };
        }
        self.bands = Some(Bands { upper, lower, rising });
        Some(SupertrendValue { line: if rising { lower } else { upper }, rising })
    }
}

/// The slope of the straight line through the last values, by least squares, per bar.
///
/// Source: TA-Lib's `LINEARREG_SLOPE`. One is its own line: a period of 1 has the slope 0.
#[derive(Debug, Clone)]
pub struct LinearRegressionSlope {
    window: Window,
    period: f64,
    sum: f64,
    /// Each value times how many bars ago it was.
    aged: f64,
}

impl LinearRegressionSlope {
    /// Through the last `period` values.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { window: Window::new(period), period: period.as_f64(), sum: 0.0, aged: 0.0 }
    }
}

impl Indicator for LinearRegressionSlope {
    type Input = f64;
    type Output = f64;

    fn update(&mut self, value: f64) -> Option<f64> {
        self.aged += self.sum;
        if let Some(oldest) = self.window.push(value) {
            self.aged -= oldest * self.period;
            self.sum -= oldest;
        }
        self.sum += value;
        if !self.window.is_full() {
            return None;
        }
        // Once a period the sums are taken anew: a slope is a difference of great numbers, and drifts with them.
        if let Some(values) = self.window.in_order() {
            self.sum = values.iter().sum();
            self.aged = values.iter().rev().enumerate().map(|(age, value)| age as f64 * value).sum();
        }
        let n = self.period;
        let ages = n * (n - 1.0) / 2.0;
        let squares = n * (n - 1.0) * (2.0 * n - 1.0) / 6.0;
        let divisor = ages * ages - n * squares;
        Some(if divisor == 0.0 { 0.0 } else { (n * self.aged - ages * self.sum) / divisor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(high: f64, low: f64, close: f64) -> Candle {
        Candle { open: close, high, low, close, volume: 0.0 }
    }

    #[test]
    fn the_supertrend_turns_when_a_close_crosses_its_line() {
        let flat = [candle(11.0, 9.0, 10.0); 3];
        let mut trend = Supertrend::new(Period::of::<2>(), 1.0);
        let first = flat.iter().filter_map(|bar| trend.update(*bar)).last();
        assert_eq!(first, Some(SupertrendValue { line: 12.0, rising: false }));
        // A close above 12 turns it; the lower band was at 8 and only rises from there.
        let up = trend.update(candle(14.0, 10.0, 13.0)).unwrap();
        assert!(up.rising && up.line >= 8.0 && up.line < 13.0, "{up:?}");
        let kept = trend.update(candle(13.0, 12.5, 12.8)).unwrap();
        assert!(kept.rising && kept.line >= up.line, "{kept:?}");
        let down = trend.update(candle(12.0, 5.0, 5.0)).unwrap();
        assert!(!down.rising && down.line > 5.0, "{down:?}");
    }

    #[test]
    fn the_slope_of_a_straight_line_is_its_own() {
        let line: Vec<f64> = (0..30).map(|x| 3.0 + 0.25 * f64::from(x)).collect();
        let slopes = LinearRegressionSlope::new(Period::of::<5>()).batch(&line);
        assert!(slopes[4..].iter().all(|slope| (slope.unwrap() - 0.25).abs() < 1e-12));
        assert_eq!(LinearRegressionSlope::new(Period::of::<1>()).last(line.iter().copied()), Some(0.0));
    }
}
