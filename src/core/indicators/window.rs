//! The last values of a series: as they are, as a sum, as their extremes.

use std::collections::VecDeque;

use super::Period;

/// The last values, as many as the period says.
#[derive(Debug, Clone)]
pub(super) struct Window {
    period: Period,
    /// In the order of their places: once full, the oldest is replaced.
    values: Vec<f64>,
    oldest: usize,
}

impl Window {
    pub(super) fn new(period: Period) -> Self {
        Self { period, values: Vec::with_capacity(period.len()), oldest: 0 }
    }

    /// Takes a value; the answer is the one that fell out.
    #[inline]
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        if self.values.len() < self.period.len() {
            self.values.push(value);
            return None;
        }
        let place = self.values.get_mut(self.oldest)?;
        self.oldest += 1;
        if self.oldest == self.period.len() {
            self.oldest = 0;
        }
        Some(std::mem::replace(place, value))
    }

    #[inline]
    pub(super) const fn period(&self) -> Period {
        self.period
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.values.len() == self.period.len()
    }

    /// The values from the oldest to the latest, whenever they stand in that order: once in each period.
    pub(super) fn in_order(&self) -> Option<&[f64]> {
        (self.oldest == 0 && self.is_full()).then_some(&self.values)
    }

    /// The values in the order of their places, which is that of TA-Lib's circular buffers.
    pub(super) fn places(&self) -> &[f64] {
        &self.values
    }
}

/// The sum of the last values.
///
/// One is added and one is taken off at a time, so the rounding of what has gone stays in it: at most a unit
/// in the last place of the greatest sum for each update.
#[derive(Debug, Clone)]
pub(super) struct RollingSum {
    window: Window,
    sum: f64,
}

impl RollingSum {
    pub(super) fn new(period: Period) -> Self {
        Self { window: Window::new(period), sum: 0.0 }
    }

    /// Takes a value; the sum, once the window is full.
    #[inline]
    pub(super) fn update(&mut self, value: f64) -> Option<f64> {
        if let Some(oldest) = self.window.push(value) {
            self.sum -= oldest;
        }
        self.sum += value;
        self.window.is_full().then_some(self.sum)
    }

    pub(super) fn period(&self) -> Period {
        self.window.period
    }

    /// Makes the sum zero: for a window that holds nothing else.
    pub(super) fn clear_rounding(&mut self) {
        self.sum = 0.0;
    }
}

/// Which end of the values an [`Extreme`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Highest,
    Lowest,
}

/// The highest or lowest of the last values, and how long ago it was; of equals the latest.
///
/// The queue holds the values that can still become the extreme, each beyond all that came after it. A value
/// enters and leaves once, so an update is constant on average.
#[derive(Debug, Clone)]
pub(super) struct Extreme {
    end: End,
    period: u64,
    seen: u64,
    contenders: VecDeque<(u64, f64)>,
}

impl Extreme {
    pub(super) fn new(end: End, period: Period) -> Self {
        Self::over(end, u64::from(period.0.get()))
    }

    /// Over the period's values and the one before them.
    pub(super) fn with_one_before(end: End, period: Period) -> Self {
        Self::over(end, u64::from(period.0.get()) + 1)
    }

    fn over(end: End, period: u64) -> Self {
        Self { end, period, seen: 0, contenders: VecDeque::new() }
    }

    /// Takes a value; the extreme and its age in values, once the window is full.
    #[inline]
    pub(super) fn update(&mut self, value: f64) -> Option<(f64, u64)> {
        let beaten = |(_, other): &(u64, f64)| match self.end {
            End::Highest => *other <= value,
            End::Lowest => *other >= value,
        };
        while self.contenders.back().is_some_and(beaten) {
            self.contenders.pop_back();
        }
        self.contenders.push_back((self.seen, value));
        let now = self.seen;
        self.seen += 1;
        if let Some((at, _)) = self.contenders.front()
            && now - at >= self.period
        {
            self.contenders.pop_front();
        }
        let (at, extreme) = *self.contenders.front()?;
        (self.seen >= self.period).then_some((extreme, now - at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn extremes_are_those_of_the_window(values in proptest::collection::vec(0_u8..6, 1..60), period in 1_usize..9) {
            let floats: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let window = Period::try_from(period).unwrap();
            let (mut high, mut low) = (Extreme::new(End::Highest, window), Extreme::new(End::Lowest, window));
            for (at, value) in floats.iter().enumerate() {
                let (highest, lowest) = (high.update(*value), low.update(*value));
                let Some(from) = (at + 1).checked_sub(period) else {
                    prop_assert_eq!((highest, lowest), (None, None));
                    continue;
                };
                let slice = &floats[from..=at];
                let max = slice.iter().copied().fold(f64::MIN, f64::max);
                let min = slice.iter().copied().fold(f64::MAX, f64::min);
                let age = |wanted: f64| slice.iter().rev().position(|value| *value == wanted).unwrap() as u64;
                prop_assert_eq!(highest, Some((max, age(max))));
                prop_assert_eq!(lowest, Some((min, age(min))));
            }
        }

        #[test]
        fn a_rolling_sum_is_the_windows_sum(values in proptest::collection::vec(-1e6..1e6_f64, 1..80), period in 1_usize..12) {
            let mut rolling = RollingSum::new(Period::try_from(period).unwrap());
            for (at, value) in values.iter().enumerate() {
                let expected = (at + 1).checked_sub(period).map(|from| values[from..=at].iter().sum::<f64>());
                match (rolling.update(*value), expected) {
                    (Some(sum), Some(expected)) => prop_assert!((sum - expected).abs() < 1e-6),
                    (sum, expected) => prop_assert_eq!(sum, expected),
                }
            }
        }
    }
}
