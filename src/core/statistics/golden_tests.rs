//! What others say of the same series: quantstats and empyrical (`tests/oracles/stats_golden.py`), and plain arithmetic of luck.

use super::{DatedReturns, Figures, Returns, Trials};
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

/// What `tests/oracles/luck_golden.py` has worked out by other means: exact sums, all signs, Python's normal distribution.
const LUCK_RETURNS: &str = include_str!("../../../tests/oracles/luck_returns.csv");
const LUCK_FIGURES: &str = include_str!("../../../tests/oracles/luck_figures.csv");

fn lucky(wanted: &str) -> Returns {
    let rows = rows(LUCK_RETURNS).filter(|[name, _]| *name == wanted);
    Returns::new(rows.map(|[_, value]| value.parse().unwrap()).collect()).unwrap()
}

/// The series that have a figure, with its value.
fn luck(wanted: &str) -> Vec<(&'static str, f64)> {
    let rows = rows(LUCK_FIGURES).filter(|[_, figure, _]| *figure == wanted);
    rows.map(|[name, _, value]| (name, value.parse().unwrap())).collect()
}

#[test]
fn a_search_is_deflated_as_it_is_by_other_means() {
    let sharpes = luck("daily_sharpe");
    assert_eq!(sharpes.len(), 10);
    let trials = Trials::of(&sharpes.iter().map(|(_, sharpe)| *sharpe).collect::<Vec<_>>());
    let [(_, expected_best)] = luck("expected_best")[..] else { panic!("one threshold for all") };
    assert!(is_near(trials.expected_best(), expected_best), "{} {expected_best}", trials.expected_best());
    let figure = |figure: &str, value: fn(&Returns, Trials) -> Option<f64>| {
        for (name, expected) in luck(figure) {
            let value = value(&lucky(name), trials).unwrap();
            assert!(is_near(value, expected), "{figure} of {name}: {value}, {expected}");
        }
    };
    figure("daily_sharpe", |returns, _| returns.daily_sharpe());
    figure("probabilistic_sharpe", |returns, _| returns.probabilistic_sharpe(0.0));
    figure("deflated_sharpe", Returns::deflated_sharpe);
}

#[test]
fn signs_drawn_at_random_do_as_well_as_often_as_all_of_them_say() {
    let few = luck("sign_test");
    assert_eq!(few.len(), 4);
    for (name, expected) in few {
        // Five deviations of so many draws; the draws are the same each time.
        let value = lucky(name).sign_test(100_000, 1).unwrap();
        assert!((value - expected).abs() < 5.0 * (0.25_f64 / 1e5).sqrt(), "{name}: {value}, {expected}");
    }
}
