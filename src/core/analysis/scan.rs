use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::Problem;
use super::session::{gap, ratio, relative_volume};
use crate::decision::Candidate;
use crate::indicators::{Atr, Candle, Indicator, Period, TrueRange};
use crate::market::{Bar, SplitRatio, Symbol, split_like};
use crate::money::{Bps, Money, Price, Quantity};
use crate::strategy::Reason;

/// Sessions in the average true range of the scan: Wilder's own period.
const ATR_SESSIONS: Period = Period::of::<14>();

/// Past this a factor no longer adds to the score: one absurd print must not outweigh all else.
const FACTOR_MAX: i64 = 10 * Bps::ONE.0;

/// News items past this number no longer add to the score.
const NEWS_MAX: u32 = 3;

/// Which symbols a scan lets through, and what it ranks them by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanSettings {
    /// How many candidates are kept, best first.
    pub top: u32,
    /// The lowest price of a candidate, in dollars.
    pub price_min: Price,
    /// The highest price of a candidate, in dollars.
    pub price_max: Price,
    /// The least a candidate trades on an average session, in dollars.
    pub dollar_volume_min: Money,
    /// The least distance from the close before, up or down.
    pub gap_min: Bps,
    /// The least volume, as a share of what is usual; a symbol whose usual volume is unknown passes.
    pub relative_volume_min: Bps,
    /// The least range of the day so far, as a share of the average true range.
    pub range_min: Bps,
    /// The weight of the gap, measured in average true ranges.
    pub gap_weight: u32,
    /// The weight of the relative volume.
    pub relative_volume_weight: u32,
    /// The weight of the range, measured in average true ranges.
    pub range_weight: u32,
    /// The weight of each news item, up to three.
    pub news_weight: u32,
}

impl Default for ScanSettings {
    fn default() -> Self {
        Self {
            top: 10,
            price_min: Price::from_cents(5_00),
            price_max: Price::from_cents(100_000),
            dollar_volume_min: Money::whole(10_000_000),
            gap_min: Bps(10),
            relative_volume_min: Bps(5_000),
            range_min: Bps(500),
            gap_weight: 3,
            relative_volume_weight: 2,
            range_weight: 2,
            news_weight: 1,
        }
    }
}

impl ScanSettings {
    /// What is wrong with the settings, field by field.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.top == 0 {
            problems.push(("top", "is 0: expected at least 1".to_owned()));
        }
        if !self.price_min.is_positive() {
            problems.push(("price_min", format!("is {}: expected a price above zero", self.price_min)));
        }
        if self.price_max < self.price_min {
            let (max, min) = (self.price_max, self.price_min);
            problems.push(("price_max", format!("is {max}: expected at least price_min, {min}")));
        }
        if self.dollar_volume_min.is_negative() {
            problems.push(("dollar_volume_min", format!("is {}: expected zero or more", self.dollar_volume_min)));
        }
        let ratios = [
            ("gap_min", self.gap_min),
            ("relative_volume_min", self.relative_volume_min),
            ("range_min", self.range_min),
        ];
        for (field, ratio) in ratios {
            if ratio < Bps::ZERO {
                problems.push((field, format!("is {ratio}: expected 0% or more")));
            }
        }
        let weights = [self.gap_weight, self.relative_volume_weight, self.range_weight, self.news_weight];
        if weights.iter().all(|weight| *weight == 0) {
            problems.push(("gap_weight", "is 0 as all weights are: expected at least one above zero".to_owned()));
        }
        problems
    }
}

/// What a symbol's features are measured from.
#[derive(Debug, Clone, Copy)]
pub struct ScanInput<'a> {
    /// The symbol.
    pub symbol: Symbol,
    /// Its price now.
    pub last: Price,
    /// Its sessions before today, one bar each, oldest first.
    pub daily: &'a [Bar],
    /// Its minutes of today so far, extended hours included.
    pub today: &'a [Bar],
    /// News items since the close before.
    pub news: u32,
}

/// Why a symbol has no features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// Nothing to compare with.
    #[error("{symbol}: no earlier session is known")]
    NoSessions { symbol: Symbol },
    /// The close before is told in other shares than the price.
    #[error(
        "{symbol}: {last} after a close of {close} looks like a {ratio} split that no corporate action tells of; \
         it is left out until one does"
    )]
    LooksSplit { symbol: Symbol, close: Price, last: Price, ratio: SplitRatio },
    /// Numbers that cannot be computed with.
    #[error("{symbol}: its {figure} is out of bounds")]
    OutOfBounds { symbol: Symbol, figure: &'static str },
}

/// What the scan knows of a symbol: stored with the run as its facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFeatures {
    /// The symbol.
    pub symbol: Symbol,
    /// Its price.
    pub last: Price,
    /// The close of the session before.
    pub previous_close: Price,
    /// The distance of `last` from `previous_close`.
    pub gap: Bps,
    /// The last session's volume against the mean of those before it; `None` if it is the only one.
    pub relative_volume: Option<Bps>,
    /// Highest less lowest price of today so far; zero before the first trade.
    pub range: Price,
    /// The average true range of 14 sessions.
    pub atr: Price,
    /// What an average session trades, in whole dollars.
    pub dollar_volume: Money,
    /// News items since the close before.
    pub news: u32,
}

impl ScanFeatures {
    /// Measures a symbol.
    ///
    /// The average true range is Wilder's over 14 sessions. With fewer sessions it is the mean of the
    /// true ranges there are, the first session counting with its high less low.
    ///
    /// # Errors
    /// [`Unmeasured`] without an earlier session, after what looks like a split, or if a figure overflows.
    pub fn measure(input: &ScanInput<'_>) -> Result<Self, Unmeasured> {
        let ScanInput { symbol, last, daily, today, news } = *input;
        let (Some(first), Some(yesterday)) = (daily.first(), daily.last()) else {
            return Err(Unmeasured::NoSessions { symbol });
        };
        if let Some(ratio) = split_like(yesterday.close, last) {
            return Err(Unmeasured::LooksSplit { symbol, close: yesterday.close, last, ratio });
        }
        let out_of_bounds = |figure| Unmeasured::OutOfBounds { symbol, figure };

        let candles: Vec<Candle> = daily.iter().map(Candle::from).collect();
        let average_range = Atr::new(ATR_SESSIONS).last(&candles).unwrap_or_else(|| {
            let later = TrueRange::default().batch(&candles).into_iter().flatten();
            let ranges: Vec<f64> = std::iter::once(first.high.to_f64() - first.low.to_f64()).chain(later).collect();
            ranges.iter().sum::<f64>() / ranges.len() as f64
        });
        let volumes: Vec<Quantity> = daily.iter().map(|bar| bar.volume).collect();
        let (last_volume, earlier) = volumes.split_last().ok_or(Unmeasured::NoSessions { symbol })?;
        let range = match (today.iter().map(|bar| bar.high).max(), today.iter().map(|bar| bar.low).min()) {
            (Some(high), Some(low)) => high.minus(low).map_err(|_| out_of_bounds("range"))?,
            _ => Price::ZERO,
        };
        Ok(Self {
            symbol,
            last,
            previous_close: yesterday.close,
            gap: gap(yesterday.close, last).ok_or_else(|| out_of_bounds("gap"))?,
            relative_volume: relative_volume(*last_volume, earlier),
            range,
            atr: Price::from_f64(average_range).map_err(|_| out_of_bounds("average true range"))?,
            dollar_volume: average_dollar_volume(daily).ok_or_else(|| out_of_bounds("dollar volume"))?,
            news,
        })
    }

    /// The gap in average true ranges, unsigned; zero where the average is.
    fn gap_in_atr(&self) -> Bps {
        let distance = i128::from(self.last.0) - i128::from(self.previous_close.0);
        ratio(distance.abs(), i128::from(self.atr.0)).unwrap_or(Bps::ZERO)
    }

    /// The range of the day so far in average true ranges; zero where the average is.
    fn range_in_atr(&self) -> Bps {
        ratio(i128::from(self.range.0), i128::from(self.atr.0)).unwrap_or(Bps::ZERO)
    }

    fn candidate(&self, rank: u32, score: i64) -> Candidate {
        let relative_volume = self.relative_volume.map_or_else(|| "unknown".to_owned(), |ratio| ratio.to_string());
        let factors = vec![
            Reason::new("gap", self.gap),
            Reason::new("gap in ATR", self.gap_in_atr()),
            Reason::new("relative volume", relative_volume),
            Reason::new("range in ATR", self.range_in_atr()),
            Reason::new("dollar volume", self.dollar_volume),
            Reason::new("news items", self.news),
        ];
        Candidate { symbol: self.symbol, rank, score, factors }
    }
}

/// How many symbols each filter turned away; a symbol counts at the first that it fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejections {
    /// Too cheap or too dear.
    pub price: u32,
    /// Too little money changes hands.
    pub dollar_volume: u32,
    /// Too near the close before.
    pub gap: u32,
    /// Too little volume.
    pub relative_volume: u32,
    /// Too little movement today.
    pub range: u32,
}

impl Rejections {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.price + self.dollar_volume + self.gap + self.relative_volume + self.range
    }
}

impl Rejections {
    /// The measure and the limit of the filter that has counted a symbol.
    fn ground(&self, symbol: &ScanFeatures, settings: &ScanSettings) -> Reason {
        let least =
            |measure: &str, value: String, limit: String| Reason::new(measure, format!("{value} (least {limit})"));
        if self.price > 0 {
            Reason::new("price", format!("{} (limits {} to {})", symbol.last, settings.price_min, settings.price_max))
        } else if self.dollar_volume > 0 {
            least("dollar volume", symbol.dollar_volume.to_string(), settings.dollar_volume_min.to_string())
        } else if self.gap > 0 {
            least("gap", symbol.gap.to_string(), settings.gap_min.to_string())
        } else if self.relative_volume > 0 {
            let ratio = symbol.relative_volume.unwrap_or(Bps::ZERO);
            least("relative volume", ratio.to_string(), settings.relative_volume_min.to_string())
        } else {
            least("range in ATR", symbol.range_in_atr().to_string(), settings.range_min.to_string())
        }
    }
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanResult {
    /// The best, rank 1 first.
    pub candidates: Vec<Candidate>,
    /// How many passed every filter, those past the top included.
    pub passed: u32,
    /// How many did not, and why.
    pub rejected: Rejections,
}

/// Filters the symbols and ranks those that pass by the weighted sum of their factors.
///
/// The score is an integer and equal scores stand in the order of their symbols: the result does not
/// depend on the order of `features`.
#[must_use]
pub fn scan(features: &[ScanFeatures], settings: &ScanSettings) -> ScanResult {
    let mut rejected = Rejections::default();
    let mut passed: Vec<(i64, &ScanFeatures)> = Vec::new();
    for symbol in features {
        match filter(symbol, settings, &mut rejected) {
            Some(count) => *count += 1,
            None => passed.push((score(symbol, settings), symbol)),
        }
    }
    passed.sort_by_key(|(score, features)| (Reverse(*score), features.symbol));
    let best = passed.iter().zip(1..=settings.top);
    ScanResult {
        candidates: best.map(|((score, features), rank)| features.candidate(rank, *score)).collect(),
        passed: u32::try_from(passed.len()).unwrap_or(u32::MAX),
        rejected,
    }
}

/// Why a symbol is not among the chosen: its factors, and last the filter that turned it away, or its place
/// behind them. `None` if the scan has not measured it, or has chosen it.
#[must_use]
pub fn why_not(features: &[ScanFeatures], settings: &ScanSettings, symbol: Symbol) -> Option<Vec<Reason>> {
    let measured = features.iter().find(|features| features.symbol == symbol)?;
    let mut rejected = Rejections::default();
    let decided = match filter(measured, settings, &mut rejected) {
        Some(count) => {
            *count += 1;
            rejected.ground(measured, settings)
        }
        None => {
            let key = |features: &ScanFeatures| (Reverse(score(features, settings)), features.symbol);
            let passes = |other: &&ScanFeatures| filter(other, settings, &mut rejected).is_none();
            let before = features.iter().filter(passes).filter(|other| key(other) < key(measured)).count();
            let top = settings.top;
            if before < usize::try_from(top).unwrap_or(usize::MAX) {
                return None;
            }
            Reason::new("place", format!("{} (the first {top} are chosen)", before + 1))
        }
    };
    let mut grounds = measured.candidate(0, 0).factors;
    grounds.push(decided);
    Some(grounds)
}

/// The count of the first filter that the symbol fails; `None` if it passes them all.
fn filter<'a>(symbol: &ScanFeatures, settings: &ScanSettings, rejected: &'a mut Rejections) -> Option<&'a mut u32> {
    if symbol.last < settings.price_min || symbol.last > settings.price_max {
        Some(&mut rejected.price)
    } else if symbol.dollar_volume < settings.dollar_volume_min {
        Some(&mut rejected.dollar_volume)
    } else if symbol.gap.0.saturating_abs() < settings.gap_min.0 {
        Some(&mut rejected.gap)
    } else if symbol.relative_volume.is_some_and(|ratio| ratio < settings.relative_volume_min) {
        Some(&mut rejected.relative_volume)
    } else if symbol.range_in_atr() < settings.range_min {
        Some(&mut rejected.range)
    } else {
        None
    }
}

fn score(symbol: &ScanFeatures, settings: &ScanSettings) -> i64 {
    let factors = [
        (settings.gap_weight, symbol.gap_in_atr().0),
        (settings.relative_volume_weight, symbol.relative_volume.unwrap_or(Bps::ZERO).0),
        (settings.range_weight, symbol.range_in_atr().0),
        (settings.news_weight, i64::from(symbol.news.min(NEWS_MAX)) * Bps::ONE.0),
    ];
    // Four terms below 2³² × 10⁵ cannot overflow.
    factors.iter().map(|(weight, factor)| i64::from(*weight) * (*factor).clamp(0, FACTOR_MAX)).sum()
}

/// The mean of close times volume, in whole dollars, rounded down.
fn average_dollar_volume(daily: &[Bar]) -> Option<Money> {
    let mut sum: i128 = 0;
    for bar in daily {
        sum += i128::from(bar.close.times(bar.volume).ok()?.0);
    }
    let mean = sum.checked_div(i128::try_from(daily.len()).ok()?)? / i128::from(Money::UNIT);
    i64::try_from(mean).ok().map(Money::whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn bar(day: i64, low: i64, high: i64, close: i64, shares: i64) -> Bar {
        Bar {
            start: Timestamp(day * 86_400_000),
            open: Price::from_cents(low),
            high: Price::from_cents(high),
            low: Price::from_cents(low),
            close: Price::from_cents(close),
            volume: Quantity::whole(shares),
        }
    }

    fn features(symbol: &str) -> ScanFeatures {
        ScanFeatures {
            symbol: symbol.parse().unwrap(),
            last: Price::from_cents(51_00),
            previous_close: Price::from_cents(50_00),
            gap: Bps(200),
            relative_volume: Some(Bps(12_000)),
            range: Price::from_cents(50),
            atr: Price::from_cents(1_00),
            dollar_volume: Money::whole(50_000_000),
            news: 1,
        }
    }

    #[test]
    fn features_are_measured_from_bars() {
        let daily: Vec<Bar> = (0..20).map(|day| bar(day, 49_00, 51_00, 50_00, 1_000_000)).collect();
        let today = [bar(20, 50_50, 51_00, 51_00, 500), bar(20, 50_80, 51_40, 51_00, 500)];
        let symbol = "AAPL".parse().unwrap();
        let input = ScanInput { symbol, last: Price::from_cents(51_00), daily: &daily, today: &today, news: 2 };
        let measured = ScanFeatures::measure(&input).unwrap();
        let expected = ScanFeatures {
            symbol,
            last: Price::from_cents(51_00),
            previous_close: Price::from_cents(50_00),
            gap: Bps(200),
            relative_volume: Some(Bps(10_000)),
            range: Price::from_cents(90),
            atr: Price::from_cents(2_00),
            dollar_volume: Money::whole(50_000_000),
            news: 2,
        };
        assert_eq!(measured, expected);
        assert_eq!(measured.gap_in_atr(), Bps(5_000));

        let one = ScanInput { daily: &daily[..1], today: &[], ..input };
        let measured = ScanFeatures::measure(&one).unwrap();
        assert_eq!(
            (measured.atr, measured.range, measured.relative_volume),
            (Price::from_cents(2_00), Price::ZERO, None)
        );
        let crash = ScanInput { last: Price::from_cents(7_20), ..input };
        let told = ScanFeatures::measure(&crash).unwrap_err().to_string();
        assert!(told.starts_with("AAPL: 7.20 after a close of 50.00 looks like a 7:1 split"), "{told}");
        let none = ScanInput { daily: &[], ..input };
        assert_eq!(ScanFeatures::measure(&none), Err(Unmeasured::NoSessions { symbol }));
    }

    #[test]
    fn each_filter_counts_what_it_turns_away() {
        let cheap = ScanFeatures { last: Price::from_cents(4_99), ..features("A") };
        let thin = ScanFeatures { dollar_volume: Money::whole(9_999_999), ..features("B") };
        let still = ScanFeatures { gap: Bps(-9), ..features("C") };
        let idle = ScanFeatures { relative_volume: Some(Bps(4_999)), ..features("D") };
        let narrow = ScanFeatures { range: Price::from_cents(4), ..features("E") };
        let unknown = ScanFeatures { relative_volume: None, ..features("G") };
        let down = ScanFeatures { gap: Bps(-10), ..features("F") };
        let result = scan(&[cheap, thin, still, idle, narrow, down, unknown], &ScanSettings::default());
        let each = Rejections { price: 1, dollar_volume: 1, gap: 1, relative_volume: 1, range: 1 };
        assert_eq!((result.rejected, result.passed, result.rejected.total()), (each, 2, 5));
        let kept: Vec<String> = result.candidates.iter().map(|c| c.symbol.to_string()).collect();
        assert_eq!(kept, ["F", "G"]);
    }

    #[test]
    fn the_best_come_first_and_ties_stand_by_symbol() {
        let strong = ScanFeatures { last: Price::from_cents(53_00), gap: Bps(600), ..features("ZZ") };
        let result = scan(
            &[features("B"), strong, features("A"), features("C")],
            &ScanSettings { top: 3, ..Default::default() },
        );
        let order: Vec<(u32, String)> = result.candidates.iter().map(|c| (c.rank, c.symbol.to_string())).collect();
        assert_eq!(order, [(1, "ZZ".to_owned()), (2, "A".to_owned()), (3, "B".to_owned())]);
        // 3 × 3.0 ATR + 2 × 1.2 + 2 × 0.5 ATR + 1 item
        assert_eq!(result.candidates.first().map(|c| c.score), Some(134_000));
        assert_eq!(result.passed, 4);
    }

    #[test]
    fn who_was_not_chosen_hears_why() {
        let settings = ScanSettings { top: 1, ..ScanSettings::default() };
        let chosen = features("AAA");
        let behind = features("BBB");
        let cheap = ScanFeatures { last: Price::from_cents(1), ..features("CCC") };
        let still = ScanFeatures { gap: Bps::ZERO, ..features("DDD") };
        let all = [chosen, behind, cheap, still];
        let why = |symbol: &str| why_not(&all, &settings, symbol.parse().unwrap());
        let last = |symbol: &str| why(symbol).and_then(|grounds| grounds.last().cloned()).unwrap();
        assert_eq!(why("AAA"), None);
        assert_eq!(why("ZZZ"), None);
        assert_eq!(last("BBB"), Reason::new("place", "2 (the first 1 are chosen)"));
        assert_eq!(last("CCC").measure, "price");
        assert_eq!(last("DDD"), Reason::new("gap", format!("0% (least {})", settings.gap_min)));
    }

    #[test]
    fn an_absurd_print_is_capped() {
        let absurd = ScanFeatures { atr: Price(1), relative_volume: Some(Bps(i64::MAX)), ..features("A") };
        let settings = ScanSettings { gap_weight: u32::MAX, ..ScanSettings::default() };
        let expected = i64::from(u32::MAX) * 100_000 + 2 * 100_000 + 2 * 100_000 + 10_000;
        assert_eq!(score(&absurd, &settings), expected);
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(ScanSettings::default().problems().is_empty());
        let wrong =
            ScanSettings { top: 0, price_max: Price::from_cents(1_00), gap_min: Bps(-1), ..ScanSettings::default() };
        let text: Vec<String> = wrong.problems().into_iter().map(|(field, what)| format!("{field} {what}")).collect();
        assert_eq!(
            text,
            [
                "top is 0: expected at least 1",
                "price_max is 1.00: expected at least price_min, 5.00",
                "gap_min is -0.01%: expected 0% or more"
            ]
        );
    }

    proptest! {
        #[test]
        fn the_order_of_the_symbols_does_not_matter(gaps in proptest::collection::vec(0_i64..300, 1..40), turn in 0_usize..40) {
            let mut all: Vec<ScanFeatures> = gaps.iter().enumerate()
                .map(|(i, gap)| ScanFeatures {
                    gap: Bps(*gap),
                    last: Price::from_cents(50_00 + gap / 20),
                    ..features(&format!("S{i}"))
                })
                .collect();
            let before = scan(&all, &ScanSettings::default());
            let turn = turn % all.len();
            all.rotate_left(turn);
            prop_assert_eq!(&scan(&all, &ScanSettings::default()), &before);
            prop_assert_eq!(before.passed + before.rejected.total(), gaps.len() as u32);
        }
    }
}
