use crate::market::Bar;
use crate::money::Price;

/// The simple moving average: the mean of the last `period` values, from index `period - 1` on.
///
/// ```
/// # use daybook_core::analysis::sma;
/// assert_eq!(sma(&[1.0, 2.0, 6.0, 4.0], 3), [None, None, Some(3.0), Some(4.0)]);
/// ```
#[must_use]
pub fn sma(values: &[f64], period: usize) -> Vec<Option<f64>> {
    let mut averages = vec![None; values.len()];
    if period == 0 {
        return averages;
    }
    // Each window is summed anew: a running sum would carry the rounding of all that went before.
    for (window, average) in values.windows(period).zip(averages.iter_mut().skip(period - 1)) {
        *average = Some(mean(window));
    }
    averages
}

/// The true range: the greatest of high less low, and the distances of high and low from the close before.
///
/// The first bar has no close before it and no true range. Source: Wilder, *New Concepts in Technical
/// Trading Systems* (1978); TA-Lib's `TRANGE`.
#[must_use]
pub fn true_range(bars: &[Bar]) -> Vec<Option<f64>> {
    let ranges = bars.windows(2).map(|pair| match pair {
        [before, bar] => {
            let (high, low, close) = (bar.high.to_f64(), bar.low.to_f64(), before.close.to_f64());
            Some((high - low).max((high - close).abs()).max((low - close).abs()))
        }
        _ => None,
    });
    bars.first().map(|_| None).into_iter().chain(ranges).collect()
}

/// Wilder's average true range, defined from index `period` on.
///
/// The first value is the mean of the true ranges 1 to `period`; after it
/// `ATR = (ATR before × (period - 1) + TR) / period`. Source: Wilder (1978); the seeding is that of TA-Lib's `ATR`.
#[must_use]
pub fn atr(bars: &[Bar], period: usize) -> Vec<Option<f64>> {
    let mut averages = vec![None; bars.len()];
    // The first bar has none, so the place of a range here is one less than its bar's.
    let ranges: Vec<f64> = true_range(bars).into_iter().flatten().collect();
    let Some(seed) = ranges.get(..period).filter(|_| period > 0).map(mean) else { return averages };
    let mut average = seed;
    let mut later = ranges.iter().skip(period);
    for slot in averages.iter_mut().skip(period) {
        *slot = Some(average);
        if let Some(range) = later.next() {
            average = (average * (period as f64 - 1.0) + range) / period as f64;
        }
    }
    averages
}

/// The last value of [`atr`] as a price; `None` with `period` bars or fewer.
#[must_use]
pub fn latest_atr(bars: &[Bar], period: usize) -> Option<Price> {
    atr(bars, period).last().copied().flatten().and_then(|value| Price::from_f64(value).ok())
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Quantity;
    use crate::time::Timestamp;

    fn bars(high_low_close: &[(i64, i64, i64)]) -> Vec<Bar> {
        high_low_close
            .iter()
            .map(|&(high, low, close)| Bar {
                start: Timestamp(0),
                open: Price::from_cents(low),
                high: Price::from_cents(high),
                low: Price::from_cents(low),
                close: Price::from_cents(close),
                volume: Quantity::ZERO,
            })
            .collect()
    }

    fn close_to(values: &[Option<f64>], expected: &[Option<f64>]) {
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            match (value, expected) {
                (Some(value), Some(expected)) => assert!((value - expected).abs() < 1e-9, "{value} is not {expected}"),
                (value, expected) => assert_eq!(value, expected),
            }
        }
    }

    #[test]
    fn the_true_range_spans_the_gap() {
        // Within the day; a gap up; a gap down.
        let bars = bars(&[(1_000, 900, 950), (980, 930, 940), (1_100, 1_050, 1_080), (900, 880, 890)]);
        close_to(&true_range(&bars), &[None, Some(0.5), Some(1.6), Some(2.0)]);
        assert!(true_range(&[]).is_empty());
    }

    #[test]
    fn the_average_true_range_is_seeded_by_a_mean_and_then_smoothed() {
        let bars = bars(&[(1_000, 900, 950), (980, 930, 940), (1_100, 1_050, 1_080), (900, 880, 890), (900, 880, 890)]);
        let seed = (0.5 + 1.6) / 2.0;
        let second = (seed + 2.0) / 2.0;
        close_to(&atr(&bars, 2), &[None, None, Some(seed), Some(second), Some((second + 0.2) / 2.0)]);
        close_to(&atr(&bars, 1), &[None, Some(0.5), Some(1.6), Some(2.0), Some(0.2)]);
        close_to(&atr(&bars, 4), &[None, None, None, None, Some((0.5 + 1.6 + 2.0 + 0.2) / 4.0)]);
        assert_eq!(latest_atr(&bars, 5), None);
        assert_eq!(latest_atr(&bars, 1), Some(Price::from_cents(20)));
    }

    #[test]
    fn a_period_of_zero_is_undefined() {
        assert_eq!(sma(&[1.0], 0), [None]);
        assert_eq!(atr(&bars(&[(2, 1, 1), (2, 1, 1)]), 0), [None, None]);
    }
}
