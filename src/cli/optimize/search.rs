//! The search itself: every trial a whole back-test, on all cores.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use daybook_core::money::Money;
use daybook_core::optimize::{Axis, Shard, Space, Windows};
use daybook_core::report::words::counted;
use daybook_core::statistics::Returns;
use daybook_core::time::SessionDate;
use indicatif::ProgressBar;
use serde::Serialize;

use super::Measure;
use super::results::{Results, Trial, Verdict, Walk, Whole, steps, table};
use crate::adapters::feeds::files::{ColumnSeries, History};
use crate::cli::Context;
use crate::cli::backtest::{Subject, trade};
use crate::cli::exit::CommandError;
use crate::cli::output::{Paint, progress, say};
use crate::config::Settings;
use crate::scripting::strategies;

/// What is searched, and how.
#[derive(Debug, Args)]
pub struct Search {
    #[command(flatten)]
    subject: Subject,
    /// A key of the strategy, or of the configuration by its whole path, and the values that are tried
    #[arg(long, value_name = "KEY=A,B,C", num_args = 1..)]
    grid: Vec<Axis>,
    /// Tries so many combinations, drawn at random, instead of all
    #[arg(long, value_name = "N")]
    random: Option<NonZeroUsize>,
    /// What the draw follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only a share of the trials: the i-th of n
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Trials at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    judgement: Judgement,
}

/// How trials are judged, and what is shown of them.
#[derive(Debug, Args)]
pub struct Judgement {
    /// What the trials are ranked by
    #[arg(long, value_enum, default_value_t)]
    by: Measure,
    /// Chooses on so many sessions, holds for so many, and so on: what a choice would have earned
    #[arg(long, value_name = "SESSIONS/SESSIONS")]
    walk_forward: Option<Windows>,
    /// Draws of the sign test beside each trial
    #[arg(long, value_name = "N", default_value = "1000")]
    draws: NonZeroU32,
    /// Trials that are shown
    #[arg(long, value_name = "N", default_value = "20")]
    top: NonZeroUsize,
    /// A file for all trials: CSV, or Parquet if it is named so (trials.parquet); one of that name is replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Which shares are taken together.
#[derive(Debug, Args)]
pub struct Merge {
    /// The files that `trade optimize --out` wrote, of every share
    #[arg(required = true, value_name = "FILE")]
    shares: Vec<PathBuf>,
    #[command(flatten)]
    judgement: Judgement,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    trials: usize,
    /// Trials of the whole search.
    of: usize,
    sessions: usize,
    by: &'static str,
    /// `None` where there are none, or where shares are taken together.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
    best: Vec<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    walk_forward: Option<Walk>,
}

/// Combinations that the configuration does not accept: they are no trials.
#[derive(Serialize)]
struct Refused {
    combinations: usize,
    /// The first of them, with what is wrong with it.
    such_as: String,
}

impl Merge {
    /// Reads the shares and judges them as one search.
    ///
    /// # Errors
    /// If a file is no share, or they are not of one search.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        self.judgement.tell(context, &Results::read(&self.shares)?, None)
    }
}

impl Judgement {
    fn tell(&self, context: &Context, results: &Results, refused: Option<Refused>) -> anyhow::Result<()> {
        let verdicts = results.verdicts(self.by, self.draws.get());
        if let Some(path) = &self.out {
            results.write(path, &verdicts)?;
            say(&format!("{} in {}", counted(results.trials.len(), "trial", "trials"), path.display()));
        }
        let report = Report {
            trials: results.trials.len(),
            of: results.whole.trials,
            sessions: results.sessions.len(),
            by: self.by.as_str(),
            refused,
            walk_forward: self.walk_forward.map(|windows| results.walk(windows, self.by)),
            best: verdicts.into_iter().take(self.top.get()).collect(),
        };
        context.output.document(&report, |report, paint| report.text(&results.keys, paint))
    }
}

impl Report {
    fn text(&self, keys: &[String], paint: Paint) -> String {
        let Self { trials, of, sessions, by, refused, best, walk_forward } = self;
        let (tried, sessions) = (counted(*trials, "trial", "trials"), counted(*sessions, "session", "sessions"));
        let mut text = format!("{}\n", paint.bold(&format!("{tried} over {sessions}, by {by}")));
        if trials < of {
            text.push_str(&format!(
                "A share of a search of {of}. Its trials are judged among themselves here: `trade optimize merge` judges all.\n"
            ));
        }
        if let Some(Refused { combinations, such_as }) = refused {
            let left_out = counted(*combinations, "combination is", "combinations are");
            text.push_str(&format!("{left_out} left out, for the configuration refuses them: {such_as}\n"));
        }
        text.push('\n');
        text.push_str(&table(keys, best, best.len()).to_text(paint, None));
        text.push_str(&paint.dim(
            "\nCHANCE: how often signs drawn at random do as well. DEFLATED: how probable it is that there is more to\n\
             it than to the best of so many; below 0.95 it is better to believe in luck.\n",
        ));
        if let Some(walk) = walk_forward {
            text.push_str(&format!("\n{}\n\n{}", paint.bold("Walk forward"), steps(walk).to_text(paint, None)));
            text.push_str(
                &paint.dim(&format!("\nBEFORE, AFTER: {by} of the sessions that it was chosen on, and held on.\n")),
            );
            if let Some(figures) = &walk.figures {
                text.push('\n');
                text.push_str(&crate::cli::output::pairs(&figures.in_words()));
            }
        }
        text
    }
}

impl Search {
    /// Runs the trials and judges them.
    ///
    /// # Errors
    /// If a file, a setting or an amount is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let space = Space::new(self.grid.clone()).map_err(|error| CommandError::Usage(error.to_string()))?;
        let base = self.subject.settings(context, &[])?;
        if let Some(out) = &self.judgement.out {
            self.subject.refuse_as_output(out)?;
        }
        let drawn = space.drawn(self.random.map_or(usize::MAX, NonZeroUsize::get), self.seed);
        let (drawn, refused) = self.accepted(context, &space, drawn)?;
        let market = self.subject.market(&base.calendar())?;
        let whole = Whole { id: self.id(&base, &drawn, &market)?, trials: drawn.len() };
        let share = drawn.into_iter().enumerate().filter(|(place, _)| self.shard.has(*place));
        let numbers: Vec<usize> = share.map(|(_, number)| number).collect();
        let (sessions, trials) = self.trials(context, &space, &numbers, &market)?;
        let keys = space.axes().iter().map(|axis| axis.key().to_owned()).collect();
        self.judgement.tell(context, &Results { keys, sessions, whole, trials }, refused)
    }

    /// The combinations that are a configuration, and what is told of the others: of two keys that depend on each
    /// other, some pairs of values are none.
    fn accepted(
        &self,
        context: &Context,
        space: &Space,
        drawn: Vec<usize>,
    ) -> anyhow::Result<(Vec<usize>, Option<Refused>)> {
        let why = |number: usize, settings: &str| {
            let error = self.subject.settings(context, &space.settings(number)).err();
            error.map_or_else(String::new, |error| format!("--grid {settings}: {error:#}"))
        };
        let bar = progress(drawn.len() as u64, "checking");
        let is_accepted = |number: &usize| {
            bar.inc(1);
            self.subject.settings(context, &space.settings(*number)).is_ok()
        };
        let (accepted, refused): (Vec<usize>, Vec<usize>) = drawn.into_iter().partition(is_accepted);
        bar.finish_and_clear();
        let Some(first) = refused.first() else { return Ok((accepted, None)) };
        if accepted.is_empty() {
            return Err(CommandError::Usage(why(*first, &space.settings(*first).join(" "))).into());
        }
        let used: BTreeSet<String> = accepted.iter().flat_map(|number| space.settings(*number)).collect();
        let unused = |number: &usize| {
            space
                .settings(*number)
                .into_iter()
                .find(|setting| !used.contains(setting))
                .map(|setting| (*number, setting))
        };
        // Of all combinations it has none. Of some that were drawn that may be chance.
        if let (None, Some((number, setting))) = (self.random, refused.iter().find_map(unused)) {
            return Err(CommandError::Usage(why(number, &setting)).into());
        }
        let such_as = why(*first, &space.settings(*first).join(" "));
        Ok((accepted, Some(Refused { combinations: refused.len(), such_as })))
    }

    /// What the trials follow from, as one word. It is compared with that of other shares and means nothing else.
    fn id(&self, settings: &Settings, drawn: &[usize], market: &History<ColumnSeries>) -> anyhow::Result<String> {
        let terms = (&settings.strategies, &settings.risk, &settings.backtest, &settings.execution.paper);
        let terms = (terms, &settings.market.files.quotes, &settings.exchange_calendar);
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&terms)?.hash(&mut hasher);
        let axes = self.grid.iter().map(|axis| (axis.key(), axis.values()));
        axes.for_each(|axis| axis.hash(&mut hasher));
        drawn.hash(&mut hasher);
        market.hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()))
    }

    /// Runs the trials of these numbers, each on the core that is free next.
    fn trials(
        &self,
        context: &Context,
        space: &Space,
        numbers: &[usize],
        market: &History<ColumnSeries>,
    ) -> anyhow::Result<(Vec<SessionDate>, Vec<Trial>)> {
        let cores = self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let next = AtomicUsize::new(0);
        let bar = progress(numbers.len() as u64, "trying");
        let work = || self.work(context, space, numbers, market, &next, &bar);
        let ended: Vec<anyhow::Result<Vec<Tried>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..cores.min(numbers.len())).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err(CommandError::Failed("a trial has panicked".to_owned()).into());
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).collect()
        });
        bar.finish_and_clear();
        let mut tried = Vec::with_capacity(numbers.len());
        for worker in ended {
            tried.extend(worker?);
        }
        tried.sort_by_key(|tried| tried.trial.number);
        let sessions = tried.first().map(|tried| tried.sessions.clone()).unwrap_or_default();
        Ok((sessions, tried.into_iter().map(|tried| tried.trial).collect()))
    }

    /// Takes trials until none is left; an error leaves none for the others.
    fn work(
        &self,
        context: &Context,
        space: &Space,
        numbers: &[usize],
        market: &History<ColumnSeries>,
        next: &AtomicUsize,
        bar: &ProgressBar,
    ) -> anyhow::Result<Vec<Tried>> {
        let mut done = Vec::new();
        while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            match self.trial(context, space, *number, market) {
                Ok(tried) => done.push(tried),
                Err(error) => {
                    next.store(numbers.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            bar.inc(1);
        }
        Ok(done)
    }

    fn trial(
        &self,
        context: &Context,
        space: &Space,
        number: usize,
        market: &History<ColumnSeries>,
    ) -> anyhow::Result<Tried> {
        let settings = self.subject.settings(context, &space.settings(number))?;
        let outcome = trade(market, &settings, &strategies(&settings.strategies))?;
        let fees = outcome.trades.iter().fold(0, |sum: i64, trade| sum.saturating_add(trade.fees.0));
        let equity: Vec<f64> = outcome.equity.iter().map(|(_, equity)| equity.to_f64()).collect();
        let trial = Trial {
            number,
            values: space.combination(number).into_iter().map(str::to_owned).collect(),
            trades: outcome.trades.len(),
            won: outcome.trades.iter().filter(|trade| trade.pnl.is_positive()).count(),
            pnl: outcome.pnl(),
            fees: Money(fees),
            returns: session_returns(settings.execution.paper.starting_cash.to_f64(), &equity)?,
        };
        Ok(Tried { sessions: outcome.equity.into_iter().map(|(session, _)| session).collect(), trial })
    }
}

/// A trial with the sessions that it was made on.
struct Tried {
    sessions: Vec<SessionDate>,
    trial: Trial,
}

/// The return of each session, from the equity at its end. An account that has lost everything earns nothing any more.
fn session_returns(opening: f64, equity: &[f64]) -> anyhow::Result<Returns> {
    let step = |before: &mut f64, equity: &f64| {
        let earned = if *before > 0.0 { (equity / *before - 1.0).max(-1.0) } else { 0.0 };
        *before = *equity;
        Some(earned)
    };
    Ok(Returns::new(equity.iter().scan(opening, step).collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_earns_what_its_equity_has_grown() {
        let returns = session_returns(100.0, &[150.0, 75.0, -5.0, 20.0]).unwrap();
        assert_eq!(returns.values(), [0.5, -0.5, -1.0, 0.0]);
    }
}
