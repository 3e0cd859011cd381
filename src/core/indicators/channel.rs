//! Bands about a price, and levels drawn from the session before.

use super::volatility::Variance;
use super::window::{End, Extreme};
use super::{Atr, Candle, Ema, Indicator, Period};

/// A band: its middle and its edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The upper edge.
    pub upper: f64,
    /// The middle.
    pub middle: f64,
    /// The lower edge.
    pub lower: f64,
}

/// Bollinger's bands: the simple average, and standard deviations above and below it.
///
/// Source: Bollinger, *Bollinger on Bollinger Bands* (2001); TA-Lib's `BBANDS` with a simple average.
#[derive(Debug, Clone)]
pub struct Bollinger {
    variance: Variance,
    deviations: f64,
}

impl Bollinger {
    /// `deviations` population standard deviations of the last `period` values to each side.
    #[must_use]
    pub fn new(period: Period, deviations: f64) -> Self {
        Self { variance: Variance::new(period), deviations }
    }
}

impl Indicator for Bollinger {
    type Input = f64;
    type Output = Band;

    #[inline]
    fn update(&mut self, value: f64) -> Option<Band> {
        let (middle, deviation) = self.variance.update(value)?;
        let width = deviation * self.deviations;
        Some(Band { upper: middle + width, middle, lower: middle - width })
    }
}

/// Donchian's channel: the highest high and the lowest low of the last bars, the present one included.
///
/// Source: Donchian's four-week rule (1960).
#[derive(Debug, Clone)]
pub struct Donchian {
    highest: Extreme,
    lowest: Extreme,
}

impl Donchian {
    /// Of the last `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { highest: Extreme::new(End::Highest, period), lowest: Extreme::new(End::Lowest, period) }
    }
}

impl Indicator for Donchian {
    type Input = Candle;
    type Output = Band;

    fn update(&mut self, candle: Candle) -> Option<Band> {
        let (highest, lowest) = (self.highest.update(candle.high), self.lowest.update(candle.low));
        let ((upper, _), (lower, _)) = (highest?, lowest?);
        Some(Band { upper, middle: f64::midpoint(upper, lower), lower })
    }
}

/// Keltner's channel: the exponential average of the close, and average true ranges above and below it.
///
/// Source: Keltner (1960) in Raschke's form. Defined once both averages are.
#[derive(Debug, Clone)]
pub struct Keltner {
    middle: Ema,
    range: Atr,
    factor: f64,
}

impl Keltner {
    /// `factor` average true ranges to each side, both averages over `period`: usually 2 and 20.
    #[must_use]
    pub fn new(period: Period, factor: f64) -> Self {
        Self { middle: Ema::new(period), range: Atr::new(period), factor }
    }
}

impl Indicator for Keltner {
    type Input = Candle;
    type Output = Band;

    fn update(&mut self, candle: Candle) -> Option<Band> {
        let (middle, range) = (self.middle.update(candle.close), self.range.update(candle));
        let (middle, width) = (middle?, range? * self.factor);
        Some(Band { upper: middle + width, middle, lower: middle - width })
    }
}

/// The floor traders' pivot levels of a session, from the bar of the session before.
///
/// `pivot = (high + low + close) / 3`; the first levels mirror it about high and low, the second lie a range
/// from it, the third a range beyond the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pivots {
    /// The pivot itself.
    pub pivot: f64,
    /// The levels above, nearest first.
    pub resistance: [f64; 3],
    /// The levels below, nearest first.
    pub support: [f64; 3],
}

impl Pivots {
    /// The levels that follow from a session's bar.
    ///
    /// ```
    /// use daybook_core::indicators::{Candle, Pivots};
    ///
    /// let yesterday = Candle { open: 10.0, high: 12.0, low: 9.0, close: 12.0, volume: 0.0 };
    /// let levels = Pivots::after(&yesterday);
    /// assert_eq!(levels.pivot, 11.0);
    /// assert_eq!(levels.resistance, [13.0, 14.0, 16.0]);
    /// assert_eq!(levels.support, [10.0, 8.0, 7.0]);
    /// ```
    #[must_use]
    pub fn after(session: &Candle) -> Self {
        let (pivot, range) = (session.typical(), session.high - session.low);
        let (above, below) = (2.0 * pivot - session.low, 2.0 * pivot - session.high);
        Self {
            pivot,
            resistance: [above, pivot + range, above + range],
            support: [below, pivot - range, below - range],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(high: f64, low: f64, close: f64) -> Candle {
        Candle { open: close, high, low, close, volume: 0.0 }
    }

    #[test]
    fn donchian_holds_the_extremes() {
        let bars = [candle(5.0, 3.0, 4.0), candle(7.0, 4.0, 5.0), candle(6.0, 2.0, 3.0), candle(4.0, 3.0, 4.0)];
        let channel = Donchian::new(Period::of::<3>()).batch(&bars);
        let band = |upper, middle, lower| Some(Band { upper, middle, lower });
        assert_eq!(channel, [None, None, band(7.0, 4.5, 2.0), band(7.0, 4.5, 2.0)]);
    }

    #[test]
    fn keltner_is_an_average_and_ranges() {
        let bars = [candle(11.0, 9.0, 10.0); 6];
        let channel = Keltner::new(Period::of::<4>(), 2.0).batch(&bars);
        assert_eq!(channel[3], None, "the range wants a bar more than the average");
        assert_eq!(channel[4], Some(Band { upper: 14.0, middle: 10.0, lower: 6.0 }));
    }
}
