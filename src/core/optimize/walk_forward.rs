//! What a choice made on past sessions earned on the next ones.

use std::ops::Range;
use std::str::FromStr;

/// How many sessions a choice looks back on, and on how many it then holds: `60/20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    train: usize,
    test: usize,
}

/// Text that is no pair of windows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no walk: expected sessions to choose on and sessions to hold on, such as 60/20")]
pub struct WindowsError(String);

impl FromStr for Windows {
    type Err = WindowsError;
    fn from_str(text: &str) -> Result<Self, WindowsError> {
        let error = || WindowsError(text.to_owned());
        let (train, test) = text.split_once('/').ok_or_else(error)?;
        let (train, test) = (train.trim().parse().map_err(|_| error())?, test.trim().parse().map_err(|_| error())?);
        // A ratio of mean and deviation needs two sessions.
        if train < 2 || test == 0 { Err(error()) } else { Ok(Self { train, test }) }
    }
}

/// One step of the walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// The sessions that were looked at.
    pub train: Range<usize>,
    /// The ones after them, on which the choice held.
    pub test: Range<usize>,
    /// The place of the trial that was chosen.
    pub chosen: usize,
    /// Its score on the sessions that were looked at.
    pub score: f64,
}

/// Walks through the sessions: on each `train` of them the trial with the best score is chosen, and holds for the next `test`.
///
/// `trials` has the returns of every trial, session by session, all of the same length; `score` judges a stretch of them, the
/// higher the better, `None` where it cannot. The last stretch may be shorter. Of equal scores the first trial's counts. A step on
/// which no trial has a score is left out. Source: Pardo (1992), walk-forward analysis with a rolling window.
///
/// ```
/// use daybook_core::optimize::walk_forward;
///
/// let trials = [&[0.02, 0.01, -0.01, -0.02][..], &[0.0, 0.01, 0.01, 0.02][..]];
/// let folds = walk_forward(&trials, "2/1".parse()?, |returns| Some(returns.iter().sum()));
/// assert_eq!(folds.iter().map(|fold| fold.chosen).collect::<Vec<_>>(), [0, 1]);
/// # Ok::<(), daybook_core::optimize::WindowsError>(())
/// ```
pub fn walk_forward(trials: &[&[f64]], windows: Windows, score: impl Fn(&[f64]) -> Option<f64>) -> Vec<Fold> {
    let Windows { train, test } = windows;
    let sessions = trials.iter().map(|returns| returns.len()).min().unwrap_or(0);
    let steps = (train..sessions).step_by(test);
    let fold = |from: usize| {
        let looked_at = from - train..from;
        let scored = trials.iter().enumerate().filter_map(|(place, returns)| {
            Some((place, score(returns.get(looked_at.clone())?).filter(|score| !score.is_nan())?))
        });
        let (chosen, score) = scored.reduce(|best, other| if other.1 > best.1 { other } else { best })?;
        Some(Fold { train: looked_at, test: from..(from + test).min(sessions), chosen, score })
    };
    steps.filter_map(fold).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(text: &str) -> Windows {
        text.parse().unwrap()
    }

    #[test]
    fn the_choice_knows_the_past_alone() {
        // The first trial is good until the fourth session, the second one after it.
        let trials = [&[0.1, 0.1, 0.1, 0.1, -0.1, -0.1, -0.1][..], &[0.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1][..]];
        let folds = walk_forward(&trials, windows("3/2"), |returns| Some(returns.iter().sum()));
        let told: Vec<_> = folds.iter().map(|fold| (fold.train.clone(), fold.test.clone(), fold.chosen)).collect();
        assert_eq!(told, [(0..3, 3..5, 0), (2..5, 5..7, 0)]);
    }

    #[test]
    fn too_few_sessions_are_no_walk_and_no_score_is_no_step() {
        let trials = [&[0.1, 0.1, 0.1][..]];
        assert_eq!(walk_forward(&trials, windows("3/1"), |_| Some(1.0)), []);
        assert_eq!(walk_forward(&trials, windows("2/1"), |_| None), []);
        assert_eq!(walk_forward(&[], windows("2/1"), |_| Some(1.0)), []);
    }

    #[test]
    fn windows_are_two_numbers_of_sessions() {
        for text in ["60", "1/20", "60/0", "a/b"] {
            assert!(text.parse::<Windows>().is_err(), "{text}");
        }
    }

    proptest! {
        /// Whatever happens from the first session that is held on, the choice for it was the same.
        #[test]
        fn no_choice_knows_a_session_that_it_is_held_on(
            trials in prop::collection::vec(prop::collection::vec(-0.1_f64..0.1, 30), 1..6),
            train in 2_usize..12,
            test in 1_usize..12,
            noise in -0.1_f64..0.1,
        ) {
            let walk = |trials: &[Vec<f64>]| {
                let trials: Vec<&[f64]> = trials.iter().map(Vec::as_slice).collect();
                walk_forward(&trials, Windows { train, test }, |returns| Some(returns.iter().sum()))
            };
            for (step, fold) in walk(&trials).into_iter().enumerate() {
                let mut otherwise = trials.clone();
                for returns in &mut otherwise {
                    returns[fold.test.start..].fill(noise);
                }
                prop_assert_eq!(&walk(&otherwise)[step], &fold);
            }
        }

        #[test]
        fn every_session_after_the_first_window_is_held_once(sessions in 0_usize..90, train in 2_usize..20, test in 1_usize..20) {
            let returns = vec![0.01; sessions];
            let folds = walk_forward(&[&returns], Windows { train, test }, |_| Some(0.0));
            let held: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
            prop_assert_eq!(held, (train.min(sessions)..sessions).collect::<Vec<_>>());
            prop_assert!(folds.iter().all(|fold| fold.train.end == fold.test.start && fold.train.len() == train));
        }
    }
}
