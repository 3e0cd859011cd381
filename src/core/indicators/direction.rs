//! Wilder's directional movement, and Aroon: which way, and how decidedly.

use super::window::{End, Extreme, Window};
use super::{Candle, Indicator, Period, is_zero};

/// Smoothed directional movements and true range, from which everything here follows.
///
/// A bar moves up by what its high exceeds the one before, down by what its low undercuts it, and counts only
/// for the greater. The first `period - 1` bars are summed; then each sum loses a `period`-th and gains the new.
#[derive(Debug, Clone)]
struct Movement {
    period: Period,
    before: Option<Candle>,
    summed: u16,
    plus: f64,
    minus: f64,
    range: f64,
}

impl Movement {
    fn new(period: Period) -> Self {
        Self { period, before: None, summed: 0, plus: 0.0, minus: 0.0, range: 0.0 }
    }

    /// Takes a bar; whether the sums are smoothed now.
    #[inline]
    fn update(&mut self, candle: Candle) -> bool {
        let Some(before) = self.before.replace(candle) else { return false };
        let (up, down) = (candle.high - before.high, before.low - candle.low);
        let smoothed = self.summed + 1 == self.period.0.get();
        if smoothed {
            let period = self.period.as_f64();
            self.plus -= self.plus / period;
            self.minus -= self.minus / period;
            self.range -= self.range / period;
        } else {
            self.summed += 1;
        }
        if down > 0.0 && up < down {
            self.minus += down;
        } else if up > 0.0 && up > down {
            self.plus += up;
        }
        self.range += candle.true_range(before.close);
        smoothed
    }

    /// A movement in percent of the range; `None` where that is zero.
    ///
    /// Zero itself, as in TA-Lib 0.8: in a long flat stretch movements and range fade alike, and what one is of the
    /// other stays as it was.
    #[inline]
    fn percent(&self, movement: f64) -> Option<f64> {
        (self.range != 0.0).then(|| 100.0 * (movement / self.range))
    }

    /// The directional index; `None` where nothing moved.
    #[inline]
    fn index(&self) -> Option<f64> {
        let (plus, minus) = (self.percent(self.plus)?, self.percent(self.minus)?);
        let both = minus + plus;
        (!is_zero(both)).then(|| 100.0 * ((minus - plus).abs() / both))
    }
}

/// A directional indicator, +DI or -DI: the share of the range that went that way, 0 to 100.
///
/// Over one bar nothing is smoothed, and TA-Lib gives the share itself, 0 to 1: so do we. Source: Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib's `PLUS_DI` and `MINUS_DI`.
#[derive(Debug, Clone)]
pub struct Di {
    movement: Movement,
    up: bool,
}

impl Di {
    /// +DI, over `period` bars.
    #[must_use]
    pub fn plus(period: Period) -> Self {
        Self { movement: Movement::new(period), up: true }
    }

    /// -DI, over `period` bars.
    #[must_use]
    pub fn minus(period: Period) -> Self {
        Self { movement: Movement::new(period), up: false }
    }
}

impl Indicator for Di {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let smoothed = self.movement.update(candle);
        let movement = if self.up { self.movement.plus } else { self.movement.minus };
        let share = self.movement.percent(movement).unwrap_or(0.0);
        smoothed.then_some(if self.movement.period == Period::of::<1>() { share / 100.0 } else { share })
    }
}

/// The directional index: how far +DI and -DI are apart, in percent of their sum; where nothing moves, as before.
///
/// Source: Wilder (1978); TA-Lib's `DX`.
#[derive(Debug, Clone)]
pub struct Dx {
    movement: Movement,
    index: f64,
}

impl Dx {
    /// Over `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { movement: Movement::new(period), index: 0.0 }
    }
}

impl Indicator for Dx {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        if !self.movement.update(candle) {
            return None;
        }
        self.index = self.movement.index().unwrap_or(self.index);
        Some(self.index)
    }
}

/// The average directional index: Wilder's average of DX, seeded with the mean of its first `period` values.
///
/// Source: Wilder (1978); TA-Lib's `ADX`. First defined with bar `2 × period`.
#[derive(Debug, Clone)]
pub struct Adx {
    movement: Movement,
    /// Values of DX that the seed still wants.
    wanted: u16,
    /// The sum of the seed, then the average.
    average: f64,
}

impl Adx {
    /// Over `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { movement: Movement::new(period), wanted: period.0.get(), average: 0.0 }
    }
}

impl Indicator for Adx {
    type Input = Candle;
    type Output = f64;

    #[inline]
    fn update(&mut self, candle: Candle) -> Option<f64> {
        if !self.movement.update(candle) {
            return None;
        }
        let (index, period) = (self.movement.index(), self.movement.period.as_f64());
        if self.wanted == 0 {
            if let Some(index) = index {
                self.average = (self.average * (period - 1.0) + index) / period;
            }
            return Some(self.average);
        }
        self.average += index.unwrap_or(0.0);
        self.wanted -= 1;
        if self.wanted > 0 {
            return None;
        }
        self.average /= period;
        Some(self.average)
    }
}

/// The average directional index rating: the mean of ADX now and `period - 1` bars before.
///
/// Source: Wilder (1978); TA-Lib's `ADXR`.
#[derive(Debug, Clone)]
pub struct Adxr {
    adx: Adx,
    window: Window,
}

impl Adxr {
    /// Over `period` bars.
    #[must_use]
    pub fn new(period: Period) -> Self {
        let before = Period::try_from(period.len() - 1).unwrap_or(Period::of::<1>());
        Self { adx: Adx::new(period), window: Window::new(before) }
    }
}

impl Indicator for Adxr {
    type Input = Candle;
    type Output = f64;

    fn update(&mut self, candle: Candle) -> Option<f64> {
        let now = self.adx.update(candle)?;
        self.window.push(now).map(|before| (now + before) / 2.0)
    }
}

/// What [`Aroon`] gives, each 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AroonValue {
    /// 100 where the lowest low is the latest bar's.
    pub down: f64,
    /// 100 where the highest high is the latest bar's.
    pub up: f64,
}

/// Aroon: how lately the highest high and the lowest low of the last `period + 1` bars were.
///
/// Source: Chande (1995); TA-Lib's `AROON`.
#[derive(Debug, Clone)]
pub struct Aroon {
    period: f64,
    highest: Extreme,
    lowest: Extreme,
}

impl Aroon {
    /// Over `period` bars back from the present one.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self {
            period: period.as_f64(),
            highest: Extreme::with_one_before(End::Highest, period),
            lowest: Extreme::with_one_before(End::Lowest, period),
        }
    }
}

impl Indicator for Aroon {
    type Input = Candle;
    type Output = AroonValue;

    fn update(&mut self, candle: Candle) -> Option<AroonValue> {
        let (highest, lowest) = (self.highest.update(candle.high), self.lowest.update(candle.low));
        let score = |age: u64| 100.0 / self.period * (self.period - age as f64);
        highest.zip(lowest).map(|((_, up), (_, down))| AroonValue { down: score(down), up: score(up) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(high: f64, low: f64) -> Candle {
        Candle { open: low, high, low, close: low, volume: 0.0 }
    }

    #[test]
    fn a_flat_stretch_keeps_the_indicators_as_they_were() {
        for price in [0.0001, 100.0, 500_000.0] {
            let step = price / 100.0;
            let (mut plus, mut minus) = (Di::plus(Period::of::<14>()), Di::minus(Period::of::<14>()));
            let moves = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0, 9.0, 7.0, 9.0, 3.0];
            let bars = moves.map(|by| candle(price + by * step, price + by * step - step));
            let last = bars[bars.len() - 1];
            let before = bars.map(|bar| (plus.update(bar), minus.update(bar)))[bars.len() - 1];
            let flat = Candle { close: last.close, high: last.close, low: last.close, ..last };
            let _ = (plus.update(flat), minus.update(flat));
            let settled = (plus.update(flat).unwrap(), minus.update(flat).unwrap());
            assert!(before.0.unwrap() > 0.0 && settled.0 > 0.0 && settled.1 > 0.0, "{before:?} {settled:?}");
            for _ in 0..1000 {
                let now = (plus.update(flat).unwrap(), minus.update(flat).unwrap());
                assert!((now.0 - settled.0).abs() < 1e-9 && (now.1 - settled.1).abs() < 1e-9, "{now:?} {settled:?}");
            }
        }
    }

    #[test]
    fn over_one_bar_it_is_the_share_itself() {
        let shares = Di::plus(Period::of::<1>()).batch(&[candle(11.0, 10.0), candle(12.0, 10.0), candle(12.0, 10.0)]);
        assert_eq!(shares, [None, Some(0.5), Some(0.0)]);
        assert_eq!(Di::plus(Period::of::<14>()).last([candle(1.0, 1.0); 40]), Some(0.0), "nothing has ever moved");
    }
}
