use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::Problem;
use super::features::ScanFeatures;
use crate::decision::Candidate;
use crate::market::Symbol;
use crate::money::{Bps, Money, Price};
use crate::strategy::Reason;

/// Past this a factor no longer adds to the score: one absurd print must not outweigh all else.
const FACTOR_MAX: i64 = 10 * Bps::ONE.0;

/// News items past this number no longer add to the score.
const NEWS_MAX: u32 = 3;

/// A spread from which on it no longer adds to the score.
const SPREAD_WIDE: i64 = 100;

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
    /// The widest spread, as a share of the price; a symbol without a quote passes. `None`: any.
    pub spread_max: Option<Bps>,
    /// The least trend in the gap's direction, in average true ranges: less than zero is against it. `None`: any.
    pub trend_min: Option<Bps>,
    /// The least sum of candlestick patterns in the gap's direction, 100 % being one. `None`: any.
    pub pattern_min: Option<Bps>,
    /// The weight of the gap, measured in average true ranges.
    pub gap_weight: u32,
    /// The weight of the relative volume.
    pub relative_volume_weight: u32,
    /// The weight of the range, measured in average true ranges.
    pub range_weight: u32,
    /// The weight of each news item, up to three.
    pub news_weight: u32,
    /// The weight of a narrow spread: in full where there is none, nothing from 1 % on.
    pub spread_weight: u32,
    /// The weight of a trend in the gap's direction, measured in average true ranges.
    pub trend_weight: u32,
    /// The weight of each candlestick pattern in the gap's direction.
    pub pattern_weight: u32,
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
            spread_max: None,
            trend_min: None,
            pattern_min: None,
            gap_weight: 3,
            relative_volume_weight: 2,
            range_weight: 2,
            news_weight: 1,
            spread_weight: 0,
            trend_weight: 0,
            pattern_weight: 0,
        }
    }
}

impl ScanSettings {
    /// Whether a symbol's quote says anything here.
    #[must_use]
    pub const fn wants_quotes(&self) -> bool {
        self.spread_max.is_some() || self.spread_weight > 0
    }

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
        if let Some(spread) = self.spread_max.filter(|spread| *spread <= Bps::ZERO) {
            problems.push(("spread_max", format!("is {spread}: expected more than 0%, such as 0.5%, or null for any")));
        }
        let weights = [self.gap_weight, self.relative_volume_weight, self.range_weight, self.news_weight];
        let more = [self.spread_weight, self.trend_weight, self.pattern_weight];
        if weights.iter().chain(&more).all(|weight| *weight == 0) {
            problems.push(("gap_weight", "is 0 as all weights are: expected at least one above zero".to_owned()));
        }
        problems
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
    /// Bid and ask too far apart.
    #[serde(default)]
    pub spread: u32,
    /// Too little of a trend, or one against the gap.
    #[serde(default)]
    pub trend: u32,
    /// Too few candlestick patterns, or some against the gap.
    #[serde(default)]
    pub pattern: u32,
}

impl Rejections {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        let measured = self.price + self.dollar_volume + self.gap + self.relative_volume + self.range;
        measured + self.spread + self.trend + self.pattern
    }
}

impl Rejections {
    /// The measure and the limit of the filter that has counted a symbol.
    fn ground(&self, symbol: &ScanFeatures, settings: &ScanSettings) -> Reason {
        let least = |measure: &'static str, value: String, limit: String| {
            Reason::new(measure, format!("{value} (least {limit})"))
        };
        if self.price > 0 {
            Reason::new("price", format!("{} (limits {} to {})", symbol.last, settings.price_min, settings.price_max))
        } else if self.dollar_volume > 0 {
            least("dollar volume", symbol.dollar_volume.to_string(), settings.dollar_volume_min.to_string())
        } else if self.gap > 0 {
            least("gap", symbol.gap.to_string(), settings.gap_min.to_string())
        } else if self.relative_volume > 0 {
            let ratio = symbol.relative_volume.unwrap_or(Bps::ZERO);
            least("relative volume", ratio.to_string(), settings.relative_volume_min.to_string())
        } else if self.range > 0 {
            least("range in ATR", symbol.range_in_atr().to_string(), settings.range_min.to_string())
        } else if self.spread > 0 {
            let (spread, most) = (symbol.spread.unwrap_or_default(), settings.spread_max.unwrap_or_default());
            Reason::new("spread", format!("{spread} (most {most})"))
        } else if self.trend > 0 {
            let trend = symbol.with_the_gap(symbol.trend);
            least("trend with the gap", trend.to_string(), settings.trend_min.unwrap_or_default().to_string())
        } else {
            let pattern = symbol.with_the_gap(symbol.pattern);
            least("patterns with the gap", pattern.to_string(), settings.pattern_min.unwrap_or_default().to_string())
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
    } else if settings.spread_max.zip(symbol.spread).is_some_and(|(most, spread)| spread > most) {
        Some(&mut rejected.spread)
    } else if settings.trend_min.is_some_and(|least| symbol.with_the_gap(symbol.trend) < least) {
        Some(&mut rejected.trend)
    } else if settings.pattern_min.is_some_and(|least| symbol.with_the_gap(symbol.pattern) < least) {
        Some(&mut rejected.pattern)
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
        (
            settings.spread_weight,
            symbol.spread.map_or(0, |spread| (SPREAD_WIDE - spread.0) * (Bps::ONE.0 / SPREAD_WIDE)),
        ),
        (settings.trend_weight, symbol.with_the_gap(symbol.trend).0),
        (settings.pattern_weight, symbol.with_the_gap(symbol.pattern).0),
    ];
    // Seven terms below 2³² × 10⁵ cannot overflow.
    factors.iter().map(|(weight, factor)| i64::from(*weight) * (*factor).clamp(0, FACTOR_MAX)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::features::{ScanInput, Unmeasured};
    use super::*;
    use crate::calendar::{Calendar, Session};
    use crate::market::{Bar, Quote};
    use crate::money::Quantity;
    use crate::time::{SessionDate, Timestamp};

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
            opened: None,
            gap: Bps(200),
            relative_volume: Some(Bps(12_000)),
            range: Price::from_cents(50),
            atr: Price::from_cents(1_00),
            dollar_volume: Money::whole(50_000_000),
            news: 1,
            spread: Some(Bps(20)),
            trend: Bps(15_000),
            pattern: Bps(-10_000),
        }
    }

    fn session() -> Session {
        Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap()
    }

    #[test]
    fn after_the_open_the_day_is_measured_by_what_it_has_traded() {
        let daily: Vec<Bar> = (0..20).map(|day| bar(day, 49_00, 51_00, 50_00, 1_000_000)).collect();
        let minute = |minutes: i64, cents: i64, shares: i64| Bar {
            start: Timestamp(session().open.0 + 60_000 * minutes),
            ..bar(0, cents, cents, cents, shares)
        };
        // It opened 2 % up and has fallen since; what traded before the open does not count, nor the minute under way.
        let today =
            [minute(-30, 52_00, 9_000_000), minute(0, 51_00, 300_000), minute(64, 48_00, 218_000), minute(65, 1, 1)];
        let as_of = Timestamp(session().open.0 + 65 * 60_000);
        let (symbol, last, session) = ("AAPL".parse().unwrap(), Price::from_cents(48_00), session());
        let input = ScanInput { symbol, last, quote: None, daily: &daily, today: &today, session, as_of, news: 0 };
        let measured = ScanFeatures::measure(&input).unwrap();
        assert_eq!((measured.opened, measured.gap), (Some(Price::from_cents(51_00)), Bps(200)));
        assert_eq!(measured.gap_in_atr(), Bps(5_000));
        // 518,000 shares, where 259,259 of a million are usual after a sixth of the session.
        assert_eq!(measured.relative_volume, Some(Bps(19_980)));
        let before = ScanInput { as_of: session.open, ..input };
        let measured = ScanFeatures::measure(&before).unwrap();
        assert_eq!((measured.opened, measured.gap, measured.relative_volume), (None, Bps(-400), Some(Bps(10_000))));
    }

    #[test]
    fn features_are_measured_from_bars() {
        let daily: Vec<Bar> = (0..20).map(|day| bar(day, 49_00, 51_00, 50_00, 1_000_000)).collect();
        let today = [bar(20, 50_50, 51_00, 51_00, 500), bar(20, 50_80, 51_40, 51_00, 500)];
        let symbol = "AAPL".parse().unwrap();
        let (session, last) = (session(), Price::from_cents(51_00));
        let as_of = session.open;
        let input = ScanInput { symbol, last, quote: None, daily: &daily, today: &today, session, as_of, news: 2 };
        let measured = ScanFeatures::measure(&input).unwrap();
        let expected = ScanFeatures {
            symbol,
            last: Price::from_cents(51_00),
            previous_close: Price::from_cents(50_00),
            opened: None,
            gap: Bps(200),
            relative_volume: Some(Bps(10_000)),
            range: Price::from_cents(90),
            atr: Price::from_cents(2_00),
            dollar_volume: Money::whole(50_000_000),
            news: 2,
            spread: None,
            trend: Bps::ZERO,
            pattern: Bps::ZERO,
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
        let each =
            Rejections { price: 1, dollar_volume: 1, gap: 1, relative_volume: 1, range: 1, ..Rejections::default() };
        assert_eq!((result.rejected, result.passed, result.rejected.total()), (each, 2, 5));
        let kept: Vec<String> = result.candidates.iter().map(|c| c.symbol.to_string()).collect();
        assert_eq!(kept, ["F", "G"]);
    }

    #[test]
    fn spread_trend_and_patterns_are_measured() {
        // Three black crows: each opens within the body before, and closes low.
        let mut daily: Vec<Bar> = (0..17).map(|day| bar(day, 49_90, 51_00, 50_00 + day, 1_000_000)).collect();
        let crow = |day: i64, open: i64, close: i64| {
            let bar = bar(day, close, open, close, 1_000_000);
            Bar { open: Price::from_cents(open), ..bar }
        };
        daily.extend([crow(17, 50_10, 48_00), crow(18, 49_00, 46_50), crow(19, 47_50, 45_00)]);
        let size = Quantity::whole(100);
        let quote = |bid: i64, ask: i64| {
            let (bid, ask) = (Price::from_cents(bid), Price::from_cents(ask));
            Some(Quote { at: Timestamp(0), bid, ask, bid_size: size, ask_size: size })
        };
        let symbol = "AAPL".parse().unwrap();
        let (last, today) = (Price::from_cents(44_00), &[]);
        let (session, as_of) = (session(), session().open);
        let quote_now = quote(43_90, 44_10);
        let input = ScanInput { symbol, last, quote: quote_now, daily: &daily, today, session, as_of, news: 0 };
        let measured = ScanFeatures::measure(&input).unwrap();
        assert_eq!(measured.spread, Some(Bps(45)), "20 cents of 44 dollars");
        assert!(measured.trend < Bps(-20_000), "{}", measured.trend);
        assert!(measured.pattern <= Bps(-10_000), "{}", measured.pattern);
        assert_eq!(measured.with_the_gap(measured.trend).0, -measured.trend.0, "the gap is one down");
        for unusable in [None, quote(44_10, 43_90), quote(0, 44_00)] {
            assert_eq!(ScanFeatures::measure(&ScanInput { quote: unusable, ..input }).unwrap().spread, None);
        }
        let factors = measured.candidate(1, 0).factors;
        let names: Vec<&str> = factors.iter().map(|factor| &*factor.measure).collect();
        assert_eq!(names[7..], ["spread", "trend in ATR", "patterns"]);
        assert_eq!(factors[0], Reason::new("price", "44.00"), "the price by which it has passed can be seen");
    }

    #[test]
    fn what_has_a_direction_counts_with_the_gap() {
        let settings = ScanSettings {
            spread_max: Some(Bps(50)),
            trend_min: Some(Bps(-5_000)),
            pattern_min: Some(Bps(-10_000)),
            gap_weight: 0,
            relative_volume_weight: 0,
            range_weight: 0,
            news_weight: 0,
            spread_weight: 1,
            trend_weight: 10,
            pattern_weight: 100,
            ..ScanSettings::default()
        };
        assert_eq!((settings.problems(), settings.wants_quotes()), (Vec::new(), true));
        let down = ScanFeatures { gap: Bps(-200), ..features("DOWN") };
        // 20 bps of 100 leave 80 %; 1.5 ATR with the gap; one pattern, against the gap up and with the gap down.
        assert_eq!(score(&features("UP"), &settings), 8_000 + 150_000);
        assert_eq!(score(&ScanFeatures { trend: Bps(0), ..down.clone() }, &settings), 8_000 + 1_000_000);
        assert_eq!(score(&ScanFeatures { spread: Some(Bps(150)), trend: Bps(0), ..features("WIDE") }, &settings), 0);
        let wide = ScanFeatures { spread: Some(Bps(51)), ..features("WIDE") };
        let unknown = ScanFeatures { spread: None, ..features("UNKNOWN") };
        let bearish = ScanFeatures { pattern: Bps(-20_000), ..features("BEARISH") };
        let all = [wide, unknown, bearish, down];
        let result = scan(&all, &settings);
        let each = Rejections { spread: 1, trend: 1, pattern: 1, ..Rejections::default() };
        assert_eq!((result.rejected, result.passed), (each, 1));
        let last = |symbol: &str| {
            let grounds = why_not(&all, &settings, symbol.parse().unwrap()).unwrap();
            grounds.last().map(|ground| format!("{} {}", ground.measure, ground.value)).unwrap()
        };
        assert_eq!(last("WIDE"), "spread 0.51% (most 0.5%)");
        assert_eq!(last("DOWN"), "trend with the gap -150% (least -50%)");
        assert_eq!(last("BEARISH"), "patterns with the gap -200% (least -100%)");
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
