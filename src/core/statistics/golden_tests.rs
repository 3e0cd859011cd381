//! What quantstats and empyrical themselves say: `tests/oracles/stats_golden.py` wrote the files.

use super::{DatedReturns, Figures, Returns};
use crate::time::SessionDate;

const RETURNS: &str = include_str!("../../../tests/oracles/stats_returns.csv");
const FIGURES: &str = include_str!("../../../tests/oracles/stats_figures.csv");
const ROLLING: &str = include_str!("../../../tests/oracles/stats_rolling.csv");

/// How far a figure may be off, in parts of itself.
const TOLERANCE: f64 = 1e-9;

fn rows<const N: usize>(text: &str) -> impl Iterator<Item = [&str; N]> {
    text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>().try_into().unwrap())
}

fn series(wanted: &str) -> DatedReturns {
    let values: Vec<f64> =
        rows(RETURNS).filter(|[name, _]| *name == wanted).map(|[_, value]| value.parse().unwrap()).collect();
    let first: SessionDate = "2020-01-02".parse().unwrap();
    let dates = (0..).map(|day| first.plus_days(day)).take(values.len()).collect();
    DatedReturns::new(dates, Returns::new(values).unwrap()).unwrap()
}

fn is_near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= TOLERANCE * expected.abs().max(1e-3)
}

#[test]
fn every_figure_equals_quantstats_and_empyrical() {
    let (mut compared, mut wrong) = (0, Vec::new());
    let rows: Vec<[&str; 4]> = rows(FIGURES).collect();
    for group in rows.chunk_by(|a, b| a[0] == b[0]) {
        let figures = serde_json::to_value(Figures::of(&series(group[0][0]))).unwrap();
        for [name, figure, source, expected] in group {
            let expected: f64 = expected.parse().unwrap();
            compared += 1;
            if !figures[figure].as_f64().is_some_and(|value| is_near(value, expected)) {
                wrong.push(format!("{figure} of {name}: {}, {source} has {expected}", figures[figure]));
            }
        }
    }
    assert!(compared > 180, "only {compared} figures");
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_rolling_ratio_equals_that_of_pandas() {
    let ours = series("ordinary").returns().rolling_sharpe(20);
    let theirs: Vec<Option<f64>> = rows(ROLLING).map(|[_, value]| value.parse().ok()).collect();
    assert_eq!(ours.len(), theirs.len());
    for (day, pair) in ours.into_iter().zip(theirs).enumerate() {
        assert!(matches!(pair, (None, None)) || matches!(pair, (Some(a), Some(b)) if is_near(a, b)), "{day}: {pair:?}");
    }
}

#[test]
fn figures_that_are_not_defined_are_null_in_json() {
    let nothing = DatedReturns::new(Vec::new(), Returns::new(Vec::new()).unwrap()).unwrap();
    let figures = serde_json::to_value(Figures::of(&nothing)).unwrap();
    assert!(figures.as_object().unwrap().values().all(|value| value.is_null() || *value == 0), "{figures}");
}
