//! What TA-Lib itself says, on wild, flat and gappy series: `tests/oracles/talib_golden.py` wrote the file.

use super::{Candle, Column};

const GOLDEN: &str = include_str!("../../../tests/oracles/talib_indicators.csv");

/// How far a value may be off, in parts of itself.
const TOLERANCE: f64 = 1e-7;

/// And in parts of the price, or of the volume, where a value is a difference of nearly equal numbers.
const TOLERANCE_OF_INPUT: f64 = 1e-10;

struct Row<'a> {
    series: &'a str,
    candle: Candle,
    /// A text for each column, empty where undefined; none in a row that is only fed.
    expected: Vec<&'a str>,
}

fn rows(text: &str) -> (Vec<&str>, Vec<Row<'_>>) {
    let mut lines = text.lines();
    let names = lines.next().unwrap().split(',').skip(6).collect();
    let row = |line| {
        let mut cells = str::split(line, ',');
        let series = cells.next().unwrap();
        let mut number = || cells.next().unwrap().parse::<f64>().unwrap();
        let candle = Candle { open: number(), high: number(), low: number(), close: number(), volume: number() };
        Row { series, candle, expected: cells.collect() }
    };
    (names, lines.map(row).collect())
}

#[test]
fn every_indicator_equals_talib() {
    let (names, rows) = rows(GOLDEN);
    assert!(names.len() > 40 && rows.len() > 1_000, "{} columns, {} rows", names.len(), rows.len());
    let mut wrong = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let mut compared = 0;
        for series in rows.chunk_by(|a, b| a.series == b.series) {
            let mut column: Column = name.parse().unwrap();
            for (at, row) in series.iter().enumerate() {
                let value = column.update(&row.candle, at == 0);
                let Some(text) = row.expected.get(place) else { continue };
                let expected = text.parse::<f64>().ok();
                let equal = match (value, expected) {
                    (None, None) => true,
                    (Some(value), Some(expected)) => {
                        compared += 1;
                        let input = if *name == "ADOSC_3_10" { row.candle.volume } else { row.candle.close };
                        let near = TOLERANCE * expected.abs() + TOLERANCE_OF_INPUT * input.max(row.candle.close);
                        (value - expected).abs() <= near
                    }
                    _ => false,
                };
                if !equal {
                    wrong.push(format!("{name} of {} at {at}: {value:?}, TA-Lib has {expected:?}", row.series));
                }
            }
        }
        assert!(compared > 50, "{name}: only {compared} values");
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn over_one_bar_the_adaptive_average_is_the_value() {
    let values = [1.0, 2.0, 3.0, 2.0, 5.0, 4.0];
    let (one, two): (Column, Column) = ("KAMA_1".parse().unwrap(), "KAMA_2".parse().unwrap());
    let of = |mut column: Column| -> Vec<Option<f64>> {
        let candle = |close: f64| Candle { open: close, high: close, low: close, close, volume: 1.0 };
        values.iter().map(|value| column.update(&candle(*value), false)).collect()
    };
    assert_eq!(of(one), values.map(Some));
    assert_eq!(of(two)[..2], [None, None]);
}

#[test]
fn a_stored_state_goes_on_as_if_it_had_never_stopped() {
    use super::{Adx, Atr, Bollinger, Indicator, Kama, Macd, MacdPeriods, Period, Rsi};
    fn halves<I: Indicator + Clone>(indicator: &I, inputs: &[I::Input]) -> (Vec<String>, Vec<String>)
    where
        I::Output: std::fmt::Debug,
    {
        let text = |outputs: Vec<Option<I::Output>>| outputs.iter().map(|o| format!("{o:?}")).collect::<Vec<_>>();
        let (first, second) = inputs.split_at(inputs.len() / 2);
        let mut fed = indicator.clone();
        let mut pieces: Vec<_> = first.iter().map(|input| fed.update(*input)).collect();
        pieces.extend(fed.clone().batch(second));
        (text(indicator.clone().batch(inputs)), text(pieces))
    }
    let (_, rows) = rows(GOLDEN);
    let candles: Vec<Candle> = rows.iter().map(|row| row.candle).collect();
    let closes: Vec<f64> = candles.iter().map(|candle| candle.close).collect();
    let period = Period::of::<14>();
    for (whole, pieces) in [
        halves(&Rsi::new(period), &closes),
        halves(&Kama::new(period), &closes),
        halves(&Bollinger::new(period, 2.0), &closes),
        halves(&Macd::new(MacdPeriods::default()), &closes),
        halves(&Atr::new(period), &candles),
        halves(&Adx::new(period), &candles),
    ] {
        assert_eq!(whole, pieces);
    }
}
