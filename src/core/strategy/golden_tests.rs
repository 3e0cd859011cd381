//! What all strategies propose on days that are drawn from a seed, and that none of them looks ahead.

use std::fmt::Write;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::calendar::{Calendar, Session};
use crate::market::Bar;
use crate::money::{Bps, Price, Quantity};
use crate::time::{SessionDate, Timestamp};

/// What the strategies proposed when their rules were last changed on purpose: the first signal of each on each
/// day, that is day, strategy, instant, direction, entry, stop, target, confidence.
const GOLDEN: &str = include_str!("golden/signals.txt");

/// A day of a symbol: what the market showed by its end.
pub(super) struct Day {
    session: Session,
    pub(super) bars: Vec<Bar>,
    previous_close: Price,
    relative_volume: Bps,
    news_score: Option<Bps>,
}

/// Numbers that follow from a seed: Knuth's linear congruential generator (MMIX).
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % limit
    }
}

impl Day {
    /// A walk in whole cents around 80 dollars with a gap, drifts that last an hour, and minutes without a trade.
    pub(super) fn drawn(seed: u64) -> Self {
        let session = Calendar::xnys().session(SessionDate::of(2026, 11, 16).unwrap()).unwrap();
        let mut draws = Draws(seed);
        let previous_close = 8_000;
        let mut close = previous_close + draws.below(1_001) - 500;
        let mut drift = 0;
        let mut bars = Vec::new();
        for minute in -30..390_i64 {
            if minute % 60 == 0 {
                drift = draws.below(13) - 6;
            }
            if draws.below(20) == 0 {
                continue;
            }
            let open = close + draws.below(5) - 2;
            close = open + draws.below(31) - 15 + drift;
            let (high, low) = (open.max(close) + draws.below(6), open.min(close) - draws.below(6));
            let [open, high, low, close] = [open, high, low, close].map(Price::from_cents);
            let volume = Quantity::whole(100 + draws.below(9_000));
            bars.push(Bar { start: Timestamp(session.open.0 + 60_000 * minute), open, high, low, close, volume });
        }
        Self {
            session,
            bars,
            previous_close: Price::from_cents(previous_close),
            relative_volume: Bps(5_000 + draws.below(25_000)),
            news_score: (draws.below(2) == 0).then(|| Bps(draws.below(20_001) - 10_000)),
        }
    }

    /// The same day upside down: what rose falls.
    fn mirrored(mut self) -> Self {
        let flip = |price: Price| Price::from_cents(16_000).minus(price).unwrap();
        for bar in &mut self.bars {
            let Bar { open, high, low, close, .. } = *bar;
            *bar = Bar { open: flip(open), high: flip(low), low: flip(high), close: flip(close), ..*bar };
        }
        self.previous_close = flip(self.previous_close);
        self.news_score = self.news_score.map(|score| Bps(-score.0));
        self
    }

    pub(super) fn minute(&self, minute: i64) -> Timestamp {
        Timestamp(self.session.open.0 + 60_000 * minute)
    }

    pub(super) fn view<'a>(&self, bars: &'a [Bar], as_of: Timestamp) -> SymbolView<'a> {
        SymbolView {
            symbol: "ACME".parse().unwrap(),
            session: self.session,
            as_of,
            bars,
            quote: None,
            previous_close: Some(self.previous_close),
            daily_atr: Some(Price::from_cents(2_00)),
            relative_volume: Some(self.relative_volume),
            news_score: self.news_score,
            model: None,
            entries_today: 0,
        }
    }

    /// The first signal of the day.
    fn first_signal(&self, strategy: &dyn Strategy) -> Option<(i64, Signal)> {
        (1..=390).find_map(|minute| match strategy.evaluate(&self.view(&self.bars, self.minute(minute))) {
            Evaluation::Signal(signal) => Some((minute, signal)),
            Evaluation::None(_) => None,
        })
    }
}

/// Every strategy as it is by default, but in both directions.
pub(super) fn every_strategy() -> Vec<Box<dyn Strategy>> {
    let mut settings = StrategySettings::default();
    for direction in [
        &mut settings.opening_range_breakout.direction,
        &mut settings.vwap_reversion.direction,
        &mut settings.gap_and_go.direction,
        &mut settings.trend_following.direction,
        &mut settings.rsi_mean_reversion.direction,
        &mut settings.donchian_breakout.direction,
        &mut settings.composite.direction,
    ] {
        *direction = Directions::Both;
    }
    StrategySettings::NAMES.iter().map(|name| settings.strategy(name).unwrap()).collect()
}

#[test]
fn the_signals_are_the_golden_ones() {
    let mut found = String::new();
    for seed in 1..=24 {
        let day = Day::drawn(seed);
        for strategy in every_strategy() {
            let Some((minute, signal)) = day.first_signal(strategy.as_ref()) else { continue };
            let Signal { strategy, direction, entry, stop, target, confidence, .. } = signal;
            let direction = direction.as_str();
            writeln!(found, "{seed} {strategy} {minute} {direction} {entry} {stop} {target} {confidence}").unwrap();
        }
    }
    for name in StrategySettings::NAMES {
        for direction in ["long", "short"] {
            let has = |line: &str| line.contains(&format!(" {name} ")) && line.contains(&format!(" {direction} "));
            assert!(found.lines().any(has), "no {direction} signal of {name} in\n{found}");
        }
    }
    assert!(found == GOLDEN, "if this is on purpose, golden/signals.txt is to be\n{found}");
}

/// A strategy that trades both ways treats them alike.
#[test]
fn a_mirrored_day_gives_mirrored_signals() {
    let mut compared = 0;
    for seed in 100..108 {
        let (day, mirrored) = (Day::drawn(seed), Day::drawn(seed).mirrored());
        for strategy in every_strategy() {
            let (Some((at, here)), Some((there_at, there))) =
                (day.first_signal(strategy.as_ref()), mirrored.first_signal(strategy.as_ref()))
            else {
                continue;
            };
            // What is measured in percent is another share of another price, so a few come at another time.
            if at == there_at {
                compared += 1;
                assert_ne!(here.direction, there.direction, "{} of {seed}", strategy.name());
                let sum = here.entry.plus(there.entry).unwrap();
                assert_eq!(sum, Price::from_cents(16_000), "{} of {seed}", strategy.name());
            }
        }
    }
    assert!(compared >= 30, "{compared}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let wrong = [
        (r#"{"vwap_reversion": {"max_deviations": 1}}"#, "vwap_reversion.max_deviations"),
        (r#"{"vwap_reversion": {"stop": {"range": 1}}}"#, "vwap_reversion.stop"),
        (r#"{"gap_and_go": {"min_gap": "0%"}}"#, "gap_and_go.min_gap"),
        (r#"{"gap_and_go": {"opening_minutes": 10}}"#, "gap_and_go.earliest_entry"),
        (r#"{"trend_following": {"slow": 8}}"#, "trend_following.slow"),
        (r#"{"trend_following": {"min_adx": 100}}"#, "trend_following.min_adx"),
        (r#"{"rsi_mean_reversion": {"overbought": 5}}"#, "rsi_mean_reversion.overbought"),
        (r#"{"donchian_breakout": {"timeframe": "1d"}}"#, "donchian_breakout.timeframe"),
        (r#"{"donchian_breakout": {"latest_entry": "1m"}}"#, "donchian_breakout.latest_entry"),
        (r#"{"composite": {"threshold": "0%"}}"#, "composite.threshold"),
        (r#"{"composite": {"technical_weight": 0}}"#, "composite.technical_weight"),
    ];
    for (text, key) in wrong {
        let settings: StrategySettings = serde_json::from_str(text).unwrap();
        let keys: Vec<String> = settings.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [key], "{text}");
    }
    assert!(serde_json::from_str::<StrategySettings>(r#"{"donchian_breakout": {"channel_bars": 0}}"#).is_err());
}

#[test]
fn without_bars_every_strategy_says_so() {
    let day = Day::drawn(1);
    for strategy in every_strategy() {
        let Evaluation::None(reasons) = strategy.evaluate(&day.view(&[], day.minute(90))) else {
            panic!("{} proposes on nothing", strategy.name());
        };
        assert!(!reasons.is_empty(), "{}", strategy.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What comes later changes nothing: with the bars that were complete at an instant the answer is the same,
    /// down to its reasons.
    #[test]
    fn no_strategy_looks_ahead(seed in any::<u64>(), minutes in proptest::collection::vec(1_i64..390, 12)) {
        let day = Day::drawn(seed);
        for minute in minutes {
            // A few seconds into a minute, whose bar is not complete.
            let as_of = Timestamp(day.minute(minute).0 + 5_000);
            let known = day.bars.partition_point(|bar| bar.minute_end() <= as_of);
            for strategy in every_strategy() {
                let with_all = strategy.evaluate(&day.view(&day.bars, as_of));
                let with_known = strategy.evaluate(&day.view(&day.bars[..known], as_of));
                prop_assert_eq!(&with_all, &with_known, "{}", strategy.name());
                // What is put into words changes nothing else.
                let told = match with_all {
                    Evaluation::Signal(signal) => Some(signal),
                    Evaluation::None(_) => None,
                };
                let view = day.view(&day.bars, as_of);
                prop_assert_eq!(&strategy.signal(&view, Wording::Told), &told);
                let silent = told.map(|signal| Signal { reasons: vec![], ..signal });
                prop_assert_eq!(strategy.signal(&view, Wording::Untold), silent);
            }
        }
    }

    /// A signal's prices are in order, whole ticks, and its confidence is a share of the whole.
    #[test]
    fn signals_are_sound(seed in any::<u64>()) {
        let day = Day::drawn(seed);
        for strategy in every_strategy() {
            for minute in (1..=390).step_by(5) {
                let Evaluation::Signal(signal) = strategy.evaluate(&day.view(&day.bars, day.minute(minute))) else { continue };
                let Signal { direction, entry, stop, target, confidence, .. } = &signal;
                prop_assert!(direction.favours(*entry, *stop) && direction.favours(*target, *entry), "{signal:?}");
                prop_assert!([stop, target].iter().all(|price| price.0 % price.tick().0 == 0), "{signal:?}");
                prop_assert!(Bps::ZERO <= *confidence && *confidence <= Bps::ONE, "{signal:?}");
                prop_assert_eq!(&signal.strategy, strategy.name());
            }
        }
    }
}
