//! Every pattern on every candle equals what TA-Lib says; `tests/oracles/talib_golden.py` wrote the file.

use super::{CandlePatterns, Pattern};
use crate::indicators::{Candle, Indicator};

const GOLDEN: &str = include_str!("../../../tests/oracles/talib_patterns.csv");

/// The hits of a pattern: the candle's index and the value.
type Hits = Vec<(u32, i16)>;

/// The hits of each pattern, in the order of [`Pattern::ALL`]; candles are in cents.
fn hits(candles: &[[i64; 4]]) -> Vec<Hits> {
    let mut hits = vec![Hits::new(); Pattern::ALL.len()];
    let mut patterns = CandlePatterns::new();
    for (at, candle) in candles.iter().enumerate() {
        let [open, high, low, close] = candle.map(|cents| cents as f64 / 100.0);
        let values = patterns.update(Candle { open, high, low, close, volume: 0.0 }).unwrap();
        for (hits, value) in hits.iter_mut().zip(values) {
            if value != 0 {
                hits.push((u32::try_from(at).unwrap(), value));
            }
        }
    }
    hits
}

fn fnv1a(hits: &Hits) -> u64 {
    let bytes = hits.iter().flat_map(|(at, value)| at.to_le_bytes().into_iter().chain(value.to_le_bytes()));
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The generator's bars in cents: `generated` in the script.
fn generated(seed: u64, step: i64, count: usize) -> Vec<[i64; 4]> {
    let mut state = seed;
    let mut draw = |below: i64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11).cast_signed() % below
    };
    let mut close = 5000;
    let mut next = || {
        let open = close + if draw(2) == 0 { draw(2 * step + 1) - step } else { 0 };
        let reach = if draw(5) == 0 { 4 * step } else { step };
        close = open + draw(2 * reach + 1) - reach;
        if close <= 1000 || close >= 50_000 {
            close = 5000;
        }
        let high = open.max(close) + if draw(5) < 3 { draw(step + 1) } else { 0 };
        let low = open.min(close) - if draw(5) < 3 { draw(step + 1) } else { 0 };
        [open, high, low, close]
    };
    (0..count).map(|_| next()).collect()
}

fn fields(line: &str) -> (&str, Vec<&str>) {
    let (kind, rest) = line.split_once(',').unwrap();
    (kind, rest.split(',').collect())
}

#[test]
fn generated_candles_have_the_hits_of_talib() {
    let (mut found, mut place, mut series) = (Vec::new(), 0, 0);
    for line in GOLDEN.lines() {
        match fields(line) {
            ("generated", parameters) => {
                let number = |at: usize| parameters[at].parse::<u64>().unwrap();
                let (step, count) = (number(1).cast_signed(), usize::try_from(number(2)).unwrap());
                found = hits(&generated(number(0), step, count));
                (place, series) = (0, series + 1);
            }
            ("hits", expected) => {
                let ours = &found[place];
                assert_eq!(Pattern::ALL[place].name(), expected[0]);
                let text = format!("{},{:016x}", ours.len(), fnv1a(ours));
                assert_eq!(text, expected[1..].join(","), "{} in series {series}", expected[0]);
                place += 1;
            }
            _ => {}
        }
    }
    assert_eq!((series, place), (6, Pattern::ALL.len()));
}

#[test]
fn planted_patterns_are_found_as_talib_finds_them() {
    let of = |wanted: &'static str| GOLDEN.lines().map(fields).filter(move |(kind, _)| *kind == wanted);
    let candles: Vec<[i64; 4]> =
        of("candle").map(|(_, prices)| std::array::from_fn(|at| prices[at].parse().unwrap())).collect();
    let ours: Vec<String> = Pattern::ALL
        .iter()
        .zip(hits(&candles))
        .flat_map(|(pattern, hits)| hits.into_iter().map(|(at, value)| format!("{},{at},{value}", pattern.name())))
        .collect();
    let expected: Vec<String> = of("hit").map(|(_, hit)| hit.join(",")).collect();
    assert_eq!(ours, expected);
    for rare in ["CDLCONCEALBABYSWALL", "CDLMATHOLD", "CDL3STARSINSOUTH", "CDLBREAKAWAY", "CDLRISEFALL3METHODS"] {
        assert!(expected.iter().any(|hit| hit.starts_with(rare)), "{rare} is not planted");
    }
}

#[test]
fn the_names_are_in_order() {
    assert!(Pattern::ALL.windows(2).all(|pair| pair[0].name() < pair[1].name()));
    assert!(Pattern::ALL.iter().enumerate().all(|(place, pattern)| *pattern as usize == place));
}

#[test]
fn nonsense_is_no_pattern_and_no_panic() {
    let mut patterns = CandlePatterns::new();
    for price in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, f64::MAX, f64::MIN_POSITIVE] {
        for _ in 0..20 {
            patterns.update(Candle { open: price, high: price, low: -price, close: price, volume: price });
        }
    }
}
