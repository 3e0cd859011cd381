use std::time::Duration;

use crate::indicators::{Atr, Candle, Indicator, Period};
use crate::market::{Bar, MINUTE};
use crate::money::Price;

/// Trading days in a year, the convention for annualising.
pub const SESSIONS_PER_YEAR: f64 = 252.0;

/// Minutes of a regular session, the convention for annualising.
pub const SESSION_MINUTES: f64 = 390.0;

/// The average true range at the last bar, as a price; `None` with `period` bars or fewer.
#[must_use]
pub fn latest_atr(bars: &[Bar], period: Period) -> Option<Price> {
    let candles: Vec<Candle> = bars.iter().map(Candle::from).collect();
    Atr::new(period).last(&candles).and_then(|value| Price::from_f64(value).ok())
}

/// The realised volatility of bars of one session, annualised: 0.2 is 20 % a year. `None` with fewer
/// than two bars.
///
/// The sum of the squared close-to-close returns over the time they span, with mean zero (Andersen and
/// Bollerslev, *Answering the Skeptics*, 1998), scaled to 252 sessions of 390 minutes. Returns are
/// simple ones: over five minutes they differ from logarithmic ones by less than a part in a hundred.
/// Nothing happens between sessions here: the overnight gap is no part of it. A missing bar counts as
/// time without movement, its return falls to the next bar.
#[must_use]
pub fn realised_volatility(bars: &[Bar], interval: Duration) -> Option<f64> {
    let (first, last) = (bars.first()?, bars.last()?);
    let interval_minutes = interval.as_secs_f64() / MINUTE.as_secs_f64();
    let minutes = last.start.since(first.start).as_secs_f64() / MINUTE.as_secs_f64();
    if minutes < interval_minutes || interval.is_zero() {
        return None;
    }
    let mut squares = 0.0;
    for pair in bars.windows(2) {
        if let [before, bar] = pair {
            let change = bar.close.to_f64() / before.close.to_f64() - 1.0;
            squares += change * change;
        }
    }
    let volatility = (squares / minutes * SESSION_MINUTES * SESSIONS_PER_YEAR).sqrt();
    volatility.is_finite().then_some(volatility)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Quantity;
    use crate::time::Timestamp;

    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    fn bars(closes: &[(i64, i64)]) -> Vec<Bar> {
        closes
            .iter()
            .map(|&(place, cents)| {
                let price = Price::from_cents(cents);
                let start = Timestamp(place * 300_000);
                Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::ZERO }
            })
            .collect()
    }

    #[test]
    fn the_average_true_range_leaves_as_a_price() {
        let bars = bars(&[(0, 10_00), (1, 10_50), (2, 9_00)]);
        assert_eq!(latest_atr(&bars, Period::of::<3>()), None);
        assert_eq!(latest_atr(&bars, Period::of::<2>()), Some(Price::from_cents(1_00)));
        assert_eq!(latest_atr(&bars, Period::of::<1>()), Some(Price::from_cents(1_50)));
    }

    #[test]
    fn one_percent_every_five_minutes_is_a_hundred_and_forty_percent_a_year() {
        let moves = bars(&[(0, 10_000), (1, 10_100), (2, 9_999)]);
        // 0.01 × √(78 × 252)
        let volatility = realised_volatility(&moves, FIVE_MINUTES).unwrap();
        assert!((volatility - 1.402_0).abs() < 1e-4, "{volatility}");
    }

    #[test]
    fn a_missing_bar_is_time_without_movement() {
        let gap = realised_volatility(&bars(&[(0, 10_000), (4, 10_100)]), FIVE_MINUTES).unwrap();
        let one = realised_volatility(&bars(&[(0, 10_000), (1, 10_100)]), FIVE_MINUTES).unwrap();
        assert!((gap - one / 2.0).abs() < 1e-12);
    }

    #[test]
    fn it_is_undefined_without_a_return_and_never_infinite() {
        assert_eq!(realised_volatility(&[], FIVE_MINUTES), None);
        assert_eq!(realised_volatility(&bars(&[(0, 10_000)]), FIVE_MINUTES), None);
        assert_eq!(realised_volatility(&bars(&[(0, 0), (1, 10_000)]), FIVE_MINUTES), None);
        assert_eq!(realised_volatility(&bars(&[(0, 10_000), (1, 10_000)]), FIVE_MINUTES), Some(0.0));
    }
}
