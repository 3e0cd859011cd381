//! What trials came to, and what that is worth.

use daybook_core::money::Money;
use daybook_core::optimize::{Fold, Windows, walk_forward};
use daybook_core::report::words::dollars;
use daybook_core::statistics::{DatedReturns, Figures, Returns, Trials};
use daybook_core::time::SessionDate;
use serde::{Serialize, Serializer};

use super::Measure;
use crate::cli::output::{Cell, Column, Table};

/// One back-test of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number in the space that is searched.
    pub number: usize,
    /// The values of the keys.
    pub values: Vec<String>,
    /// Positions that were opened and closed.
    pub trades: usize,
    /// Those that earned.
    pub won: usize,
    /// What they earned, less fees.
    pub pnl: Money,
    /// The fees.
    pub fees: Money,
    /// The return of each session.
    pub returns: Returns,
}

/// A whole search, of which a machine may have a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What its trials follow from, as one word: bars, settings, keys and their values, and the draw.
    pub id: String,
    /// How many trials it has.
    pub trials: usize,
}

/// A search that is over, or a share of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The keys that were searched.
    pub keys: Vec<String>,
    /// The sessions, which are those of every trial.
    pub sessions: Vec<SessionDate>,
    /// What they are of.
    pub whole: Whole,
    /// The trials, by their number.
    pub trials: Vec<Trial>,
}

/// A trial with what it is worth.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub trial: usize,
    #[serde(serialize_with = "as_map")]
    settings: Vec<(String, String)>,
    trades: usize,
    won: usize,
    pnl: Money,
    fees: Money,
    pub total_return: Option<f64>,
    pub sharpe: Option<f64>,
    pub sortino: Option<f64>,
    pub calmar: Option<f64>,
    pub max_drawdown: Option<f64>,
    pub profit_factor: Option<f64>,
    /// How often chance alone, on the same sessions, does as well.
    pub sign_test: Option<f64>,
    /// How probable it is that there is more to it than to the best of so many trials.
    pub deflated_sharpe: Option<f64>,
}

impl Verdict {
    /// What it is worth in numbers, from the total return to the deflated Sharpe ratio.
    pub const fn figures(&self) -> [Option<f64>; 8] {
        let Self { total_return, sharpe, sortino, calmar, max_drawdown, .. } = *self;
        let Self { profit_factor, sign_test, deflated_sharpe, .. } = *self;
        [total_return, sharpe, sortino, calmar, max_drawdown, profit_factor, sign_test, deflated_sharpe]
    }
}

/// A choice on past sessions and what it earned afterwards.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    train_from: SessionDate,
    train_to: SessionDate,
    test_from: SessionDate,
    test_to: SessionDate,
    trial: usize,
    #[serde(serialize_with = "as_map")]
    settings: Vec<(String, String)>,
    /// The measure on the sessions that were looked at.
    in_sample: f64,
    /// The same on those after them; `None` where it is not defined for so few.
    out_of_sample: Option<f64>,
    /// What the choice earned.
    earned: Option<f64>,
}

/// A walk through the sessions.
#[derive(Debug, Clone, Serialize)]
pub struct Walk {
    /// Each choice.
    pub steps: Vec<Step>,
    /// What all choices earned, one after the other.
    pub figures: Option<Figures>,
}

/// Keys and values as one object, in the order of the keys.
fn as_map<S: Serializer>(settings: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(settings.iter().map(|(key, value)| (key, value)))
}

impl Results {
    /// Judges every trial, the best first.
    ///
    /// `draws` are those of the sign test, seeded by the trial's number, so that shares give the same figures as the whole.
    #[must_use]
    pub fn verdicts(&self, measure: Measure, draws: u32) -> Vec<Verdict> {
        let sharpes: Vec<f64> = self.trials.iter().filter_map(|trial| trial.returns.daily_sharpe()).collect();
        let luck = Trials::of(&sharpes);
        let mut judged: Vec<(Option<f64>, Verdict)> =
            self.trials.iter().map(|trial| (measure.of(&trial.returns), self.verdict(trial, luck, draws))).collect();
        let order = |value: &Option<f64>| value.unwrap_or(f64::NEG_INFINITY);
        judged.sort_by(|a, b| order(&b.0).total_cmp(&order(&a.0)));
        judged.into_iter().map(|(_, verdict)| verdict).collect()
    }

    fn verdict(&self, trial: &Trial, luck: Trials, draws: u32) -> Verdict {
        let returns = &trial.returns;
        Verdict {
            trial: trial.number,
            settings: self.settings(trial),
            trades: trial.trades,
            won: trial.won,
            pnl: trial.pnl,
            fees: trial.fees,
            total_return: returns.total(),
            sharpe: returns.sharpe(),
            sortino: returns.sortino(),
            calmar: returns.calmar(),
            max_drawdown: returns.max_drawdown(),
            profit_factor: returns.profit_factor(),
            sign_test: returns.sign_test(draws, trial.number as u64),
            deflated_sharpe: returns.deflated_sharpe(luck),
        }
    }

    fn settings(&self, trial: &Trial) -> Vec<(String, String)> {
        self.keys.iter().cloned().zip(trial.values.iter().cloned()).collect()
    }

    /// Chooses by `measure` on past sessions, again and again, and adds up what the choices earned on the next ones.
    #[must_use]
    pub fn walk(&self, windows: Windows, measure: Measure) -> Walk {
        let trials: Vec<&[f64]> = self.trials.iter().map(|trial| trial.returns.values()).collect();
        let score = |returns: &[f64]| Returns::new(returns.to_vec()).ok().and_then(|returns| measure.of(&returns));
        let folds = walk_forward(&trials, windows, score);
        let held: Vec<(SessionDate, f64)> = folds
            .iter()
            .flat_map(|fold| fold.test.clone().map(move |session| (session, fold.chosen)))
            .filter_map(|(session, chosen)| Some((*self.sessions.get(session)?, *trials.get(chosen)?.get(session)?)))
            .collect();
        let (dates, values) = held.into_iter().unzip();
        let series = Returns::new(values).ok().and_then(|returns| DatedReturns::new(dates, returns).ok());
        Walk {
            steps: folds.iter().filter_map(|fold| self.step(fold, measure)).collect(),
            figures: series.filter(|series| !series.dates().is_empty()).map(|series| Figures::of(&series)),
        }
    }

    fn step(&self, fold: &Fold, measure: Measure) -> Option<Step> {
        let trial = self.trials.get(fold.chosen)?;
        let (train, test) = (self.sessions.get(fold.train.clone())?, self.sessions.get(fold.test.clone())?);
        let held = Returns::new(trial.returns.values().get(fold.test.clone())?.to_vec()).ok()?;
        Some(Step {
            train_from: *train.first()?,
            train_to: *train.last()?,
            test_from: *test.first()?,
            test_to: *test.last()?,
            trial: trial.number,
            settings: self.settings(trial),
            in_sample: fold.score,
            out_of_sample: measure.of(&held),
            earned: held.total(),
        })
    }
}

/// The first `top` verdicts as a table.
pub fn table(keys: &[String], verdicts: &[Verdict], top: usize) -> Table {
    let number = |name: &'static str, title: &'static str| Column::number(name, title);
    let mut columns = vec![number("trial", "TRIAL")];
    columns.extend(keys.iter().map(|key| Column::text(key.clone(), key.to_uppercase())));
    columns.extend([number("trades", "TRADES"), number("pnl", "P&L"), number("total_return", "RETURN %")]);
    columns.extend([number("sharpe", "SHARPE"), number("max_drawdown", "DRAWDOWN %")]);
    columns.extend([number("sign_test", "CHANCE"), number("deflated_sharpe", "DEFLATED")]);
    let mut table = Table::new(columns, "no trials");
    for verdict in verdicts.iter().take(top) {
        let real = |value: Option<f64>, scale: f64, decimals: usize| {
            Cell::real_if(value)
                .shown_as(value.map_or_else(|| "-".to_owned(), |value| format!("{:.decimals$}", value * scale)))
        };
        let mut row = vec![Cell::count(verdict.trial)];
        row.extend(verdict.settings.iter().map(|(_, value)| Cell::text(value)));
        row.extend([
            Cell::count(verdict.trades),
            Cell::text(dollars(verdict.pnl)),
            real(verdict.total_return, 100.0, 2),
        ]);
        row.extend([real(verdict.sharpe, 1.0, 2), real(verdict.max_drawdown, 100.0, 2)]);
        row.extend([real(verdict.sign_test, 1.0, 3), real(verdict.deflated_sharpe, 1.0, 3)]);
        table.push(row);
    }
    table
}

/// The steps of a walk as a table.
pub fn steps(walk: &Walk) -> Table {
    let columns = vec![
        Column::text("chosen_on", "CHOSEN ON"),
        Column::text("held_on", "HELD ON"),
        Column::number("trial", "TRIAL"),
        Column::text("settings", "SETTINGS"),
        Column::number("in_sample", "BEFORE"),
        Column::number("out_of_sample", "AFTER"),
        Column::number("earned", "EARNED %"),
    ];
    let mut table = Table::new(columns, "too few sessions for a walk");
    for step in &walk.steps {
        let settings: Vec<String> = step.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let shown = |value: Option<f64>, scale: f64| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}", value * scale))
        };
        table.push(vec![
            Cell::text(format!("{} to {}", step.train_from, step.train_to)),
            Cell::text(format!("{} to {}", step.test_from, step.test_to)),
            Cell::count(step.trial),
            Cell::text(settings.join(" ")),
            Cell::text(shown(Some(step.in_sample), 1.0)),
            Cell::text(shown(step.out_of_sample, 1.0)),
            Cell::text(shown(step.earned, 100.0)),
        ]);
    }
    table
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Trials of these numbers, of a search of so many; the later, the worse.
    pub fn results(numbers: impl Iterator<Item = usize>, of: usize) -> Results {
        let sessions: Vec<SessionDate> =
            (0..6).map(|day| "2026-11-02".parse::<SessionDate>().unwrap().plus_days(day)).collect();
        let trial = |number: usize| Trial {
            number,
            values: vec![number.to_string(), "{percent: 2%, of: entry}".to_owned()],
            trades: 4,
            won: number,
            pnl: Money::whole(10),
            fees: Money::ZERO,
            returns: Returns::new((0..6).map(|day| 0.001 * f64::from(day % 3) - 0.0004 * number as f64).collect())
                .unwrap(),
        };
        let whole = Whole { id: "5eed".to_owned(), trials: of };
        let keys = vec!["minutes".to_owned(), "stop".to_owned()];
        Results { keys, sessions, whole, trials: numbers.map(trial).collect() }
    }

    #[test]
    fn the_best_stands_first_and_says_how_lucky_it_is() {
        let verdicts = results(0..5, 5).verdicts(Measure::Sharpe, 1_000);
        assert_eq!(verdicts.iter().map(|verdict| verdict.trial).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let best = &verdicts[0];
        assert!(best.sign_test.is_some_and(|p| p < 0.1), "{best:?}");
        assert!(best.deflated_sharpe < results(0..1, 1).verdicts(Measure::Sharpe, 1_000)[0].deflated_sharpe);
    }

    #[test]
    fn a_walk_holds_what_was_best_before() {
        let walk = results(0..3, 3).walk("3/2".parse().unwrap(), Measure::Sharpe);
        assert_eq!(walk.steps.iter().map(|step| step.trial).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(walk.figures.map(|figures| figures.days), Some(3));
        assert!(results(0..3, 3).walk("6/2".parse().unwrap(), Measure::Sharpe).figures.is_none());
    }
}
