use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::indicators::{Atr, Candle, GarmanKlass, Indicator, Parkinson, Period};
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
    Atr::new(period).last(candles.iter().copied()).and_then(|value| Price::from_f64(value).ok())
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

/// What a volatility is estimated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolatilityMeasure {
    /// The changes from close to close: [`realised_volatility`].
    #[default]
    Close,
    /// Highs and lows: [`Parkinson`].
    Parkinson,
    /// All four prices: [`GarmanKlass`].
    GarmanKlass,
}

impl VolatilityMeasure {
    /// `close`, `parkinson` or `garman_klass`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Parkinson => "parkinson",
            Self::GarmanKlass => "garman_klass",
        }
    }

    /// The volatility of bars of one session, annualised: 0.2 is 20 % a year. `None` where it is not defined.
    ///
    /// The two range estimators give a variance a bar; its sum over the time that the bars span is scaled as that of
    /// [`realised_volatility`], so that a missing bar counts as time without movement here, too. They see nothing that
    /// happens between two bars, and they take logarithms, whose last digit may differ between machines.
    #[must_use]
    pub fn annualised(self, bars: &[Bar], interval: Duration) -> Option<f64> {
        match self {
            Self::Close => realised_volatility(bars, interval),
            Self::Parkinson => range_volatility(bars, interval, Parkinson::new),
            Self::GarmanKlass => range_volatility(bars, interval, GarmanKlass::new),
        }
    }
}

/// The annualised volatility by an estimator that needs each bar alone.
fn range_volatility<I>(bars: &[Bar], interval: Duration, estimator: impl FnOnce(Period) -> I) -> Option<f64>
where
    I: Indicator<Input = Candle, Output = f64>,
{
    let (first, last) = (bars.first()?, bars.last()?);
    // Such a price has no logarithm.
    if bars.iter().any(|bar| bar.low <= Price::ZERO || bar.open <= Price::ZERO) {
        return None;
    }
    let count = u16::try_from(bars.len()).ok()?;
    let minutes = (last.start.since(first.start) + interval).as_secs_f64() / MINUTE.as_secs_f64();
    let candles: Vec<Candle> = bars.iter().map(Candle::from).collect();
    let deviation = estimator(Period::try_from(bars.len()).ok()?).last(candles.iter().copied())?;
    let variance = deviation * deviation * f64::from(count);
    let volatility = (variance / minutes * SESSION_MINUTES * SESSIONS_PER_YEAR).sqrt();
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

    /// Bars from 99 to 102, 100 at the open and 101 at the close, at these places.
    fn ranges(places: &[i64]) -> Vec<Bar> {
        let price = Price::from_cents;
        let bar = |place: &i64| Bar {
            start: Timestamp(place * 300_000),
            open: price(10_000),
            high: price(10_200),
            low: price(9_900),
            close: price(10_100),
            volume: Quantity::ZERO,
        };
        places.iter().map(bar).collect()
    }

    #[test]
    fn a_range_a_bar_is_scaled_to_the_bars_of_a_year() {
        let (range, body) = ((102.0_f64 / 99.0).ln(), (101.0_f64 / 100.0).ln());
        let bars_a_year = 78.0 * 252.0;
        let parkinson = (range * range / (4.0 * 2.0_f64.ln()) * bars_a_year).sqrt();
        let garman_klass = ((0.5 * range * range - (2.0 * 2.0_f64.ln() - 1.0) * body * body) * bars_a_year).sqrt();
        for (measure, expected) in
            [(VolatilityMeasure::Parkinson, parkinson), (VolatilityMeasure::GarmanKlass, garman_klass)]
        {
            let found = measure.annualised(&ranges(&[0, 1, 2]), FIVE_MINUTES).unwrap();
            assert!((found - expected).abs() < 1e-9 * expected, "{measure:?}: {found} is not {expected}");
            let with_a_gap = measure.annualised(&ranges(&[0, 1, 5]), FIVE_MINUTES).unwrap();
            assert!((with_a_gap - expected / 2.0_f64.sqrt()).abs() < 1e-9 * expected, "{measure:?}: three bars in six");
        }
    }

    #[test]
    fn a_measure_is_undefined_rather_than_infinite() {
        for measure in [VolatilityMeasure::Close, VolatilityMeasure::Parkinson, VolatilityMeasure::GarmanKlass] {
            assert_eq!(measure.annualised(&[], FIVE_MINUTES), None, "{measure:?}");
            assert_eq!(measure.annualised(&bars(&[(0, 0), (1, 10_000)]), FIVE_MINUTES), None, "{measure:?}");
            assert_eq!(measure.annualised(&bars(&[(0, 10_000), (1, 10_000)]), FIVE_MINUTES), Some(0.0), "{measure:?}");
            let word = serde_json::to_value(measure).unwrap();
            assert_eq!(word, measure.as_str());
        }
    }
}
