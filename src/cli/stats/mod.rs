//! `trade report stats`: what a series of daily returns, and a list of trades, come to, in figures and as a page.

mod files;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use daybook_core::statistics::{CONVENTIONS, ClosedTrade, DatedReturns, Figures, TradeFigures};
use serde::Serialize;

pub use self::files::FileError;

use super::Context;
use super::output::{Paint, pairs, say};
use crate::adapters::feeds::files::Series;
use crate::tear_sheet::{TearSheet, Trade};
use crate::wiring;

/// `trade report stats`.
#[derive(Debug, Args)]
pub struct StatsCommand {
    /// A CSV file with the columns date and return, or date and equity
    #[arg(value_name = "FILE")]
    series: PathBuf,
    /// The trades behind it: a CSV file as `trade backtest --trades` writes it
    #[arg(long, value_name = "FILE")]
    trades: Option<PathBuf>,
    /// Writes a tear sheet as well: one page for a browser, which loads nothing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The tear sheet's heading [default: the name of FILE]
    #[arg(long, value_name = "TEXT", requires = "html")]
    title: Option<String>,
    /// Bars on which the tear sheet shows the trades (CSV, also .gz and .zst)
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "trades", requires = "html")]
    bars: Vec<PathBuf>,
}

/// Everything that is printed.
#[derive(Serialize)]
struct Stats {
    #[serde(flatten)]
    figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    trades: Option<TradeFigures>,
    conventions: &'static str,
}

impl StatsCommand {
    /// Prints the figures of a series, and writes its tear sheet where one is wanted.
    ///
    /// # Errors
    /// If a file is unusable, or the page cannot be written.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let series = files::read_series(&self.series)?;
        let trades = self.trades.as_deref().map(files::read_trades).transpose()?;
        let stats = Stats {
            figures: Figures::of(&series),
            trades: trades.as_deref().map(figures_of).transpose()?,
            conventions: CONVENTIONS,
        };
        if let Some(path) = &self.html {
            let bars = wiring::read_history(&self.bars, false)?.series;
            self.write(path, &series, trades.as_deref().unwrap_or_default(), &bars)?;
        }
        context.output.document(&stats, Stats::text)
    }

    fn write(&self, path: &Path, series: &DatedReturns, trades: &[Trade], bars: &Series) -> anyhow::Result<()> {
        let name = || self.series.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let title = &self.title.clone().unwrap_or_else(name);
        let page = TearSheet { title, series, trades, bars }.page()?;
        std::fs::write(path, page).with_context(|| format!("writing {}", path.display()))?;
        say(&format!("tear sheet: {}", path.display()));
        Ok(())
    }
}

fn figures_of(trades: &[Trade]) -> anyhow::Result<TradeFigures> {
    let closed: Vec<ClosedTrade> = trades.iter().map(Trade::closed).collect();
    Ok(TradeFigures::of(&closed)?)
}

impl Stats {
    fn text(&self, paint: Paint) -> String {
        let Self { figures, trades, conventions } = self;
        let span = figures.from.zip(figures.to).map_or_else(String::new, |(from, to)| format!(", {from} to {to}"));
        let mut text = format!("{}\n", paint.bold(&format!("{} days{span}", figures.days)));
        text.push_str(&pairs(&figures.in_words()));
        if let Some(trades) = trades {
            text.push_str(&format!("\n{}\n{}", paint.bold("Trades"), pairs(&trades.in_words())));
        }
        text.push_str(&paint.dim(&format!("\n{conventions}\n")));
        text
    }
}
