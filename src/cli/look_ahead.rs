//! `trade backtest --check-look-ahead`: the same back-test with the future cut off, on all cores.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use daybook_core::backtest::{Act, ActKind, LookAhead, Peek};
use daybook_core::calendar::Calendar;
use daybook_core::report::words::{counted, instant};
use daybook_core::time::Timestamp;
use indicatif::ProgressBar;
use serde::Serialize;

use super::backtest::terms;
use super::exit::CommandError;
use super::output::{Paint, progress};
use crate::adapters::feeds::files::{ColumnSeries, History};
use crate::config::Settings;
use crate::scripting::strategies;

/// Instants at which the future is cut off, unless a person wants another number: each is a whole back-test.
pub const CUTS: &str = "1000";

/// Peeks that are told on a terminal.
const SHOWN: usize = 5;

/// What a check has found.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What was decided with all bars known: entries and refusals, exits, stops that were moved.
    decisions: usize,
    /// Instants at which the future was cut off.
    cuts: usize,
    /// Instants at which it could have been.
    of: usize,
    /// Where something else was decided.
    peeks: Vec<Peek>,
}

/// What every core needs.
struct Work<'a> {
    check: &'a LookAhead,
    market: &'a History<ColumnSeries>,
    settings: &'a Settings,
    calendar: &'a Calendar,
    /// The latest first: then the bars are only ever cut.
    cuts: Vec<Timestamp>,
    next: AtomicUsize,
    bar: ProgressBar,
}

impl Checked {
    /// Decides again with the future cut off, at `cuts` instants at the most.
    ///
    /// # Errors
    /// If an amount overflows.
    pub fn of(market: &History<ColumnSeries>, settings: &Settings, cuts: NonZeroUsize) -> anyhow::Result<Self> {
        let calendar = settings.calendar();
        let make = |_: &ColumnSeries| strategies(&settings.strategies);
        let check = LookAhead::of(&market.series, &terms(settings, &calendar, &market.actions, &[]), &make)?;
        let of = check.cuts().len();
        let thinned = check.cuts().iter().rev().step_by(of.div_ceil(cuts.get()).max(1));
        let cuts: Vec<Timestamp> = thinned.copied().collect();
        let bar = progress(cuts.len() as u64, "deciding again");
        let work = Work { check: &check, market, settings, calendar: &calendar, cuts, next: AtomicUsize::new(0), bar };
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let found: Vec<anyhow::Result<Vec<Peek>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..cores.min(work.cuts.len())).map(|_| scope.spawn(|| work.peeks())).collect();
            let panicked = |_| Err(CommandError::Failed("a check has panicked".to_owned()).into());
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).collect()
        });
        work.bar.finish_and_clear();
        let mut peeks = found.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
        peeks.sort_by_key(|peek| peek.cut);
        Ok(Self { decisions: check.acts().len(), cuts: work.cuts.len(), of, peeks })
    }

    /// Nothing, if nothing looked ahead.
    ///
    /// # Errors
    /// If something did.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let cuts = counted(self.peeks.len(), "instant", "instants");
        match self.peeks.len() {
            0 => Ok(()),
            _ => Err(CommandError::Failed(format!("something looks ahead: other decisions at {cuts}")).into()),
        }
    }

    /// The check as a person reads it.
    pub fn text(&self, paint: Paint) -> String {
        let Self { decisions, cuts, of, peeks } = self;
        let instants = counted(*cuts, "instant", "instants");
        let among = if cuts < of { format!(" of {of}") } else { String::new() };
        let decisions = counted(*decisions, "decision", "decisions");
        if peeks.is_empty() {
            return format!("{decisions}: the same with the future cut off at each of {instants}{among}\n");
        }
        let mut text = paint.red(&format!("decisions looked ahead: others at {} of {instants}\n", peeks.len()));
        let told = |act: &Option<Act>| act.as_ref().map_or_else(|| "nothing".to_owned(), words);
        for Peek { cut, with_the_future, without } in peeks.iter().take(SHOWN) {
            let (with, without) = (told(with_the_future), told(without));
            text.push_str(&format!("{}  with what came: {with}; without: {without}\n", instant(*cut)));
        }
        text
    }
}

impl Work<'_> {
    /// Takes instants until none is left.
    fn peeks(&self) -> anyhow::Result<Vec<Peek>> {
        let make = |_: &ColumnSeries| strategies(&self.settings.strategies);
        let terms = terms(self.settings, self.calendar, &self.market.actions, &[]);
        let (mut known, mut peeks) = (self.market.series.clone(), Vec::new());
        while let Some(cut) = self.cuts.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            peeks.extend(self.check.at(*cut, &mut known, &terms, &make)?);
            self.bar.inc(1);
        }
        Ok(peeks)
    }
}

/// `AIG 2013-10-07 09:50:00 EDT opening_range_breakout long, 100 shares`.
fn words(act: &Act) -> String {
    let Act { at, symbol, kind } = act;
    let what = match kind {
        ActKind::Reviewed(review) => {
            let signal = &review.signal;
            let shares =
                review.verdict.quantity.map_or_else(|| "refused".to_owned(), |shares| format!("{shares} shares"));
            format!("{} {}, {shares}", signal.strategy, signal.direction.as_str())
        }
        ActKind::Left(reason) => format!("left ({reason})"),
        ActKind::StopMoved(to) => format!("stop moved to {to}"),
    };
    format!("{symbol} {} {what}", instant(*at))
}
