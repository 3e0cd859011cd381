//! `trade report stats`: what a series of daily returns, and a list of trades, come to.

mod files;

use std::path::PathBuf;

use clap::Args;
use daybook_core::statistics::{CONVENTIONS, ClosedTrade, Figures, TradeFigures};
use serde::Serialize;

pub use self::files::FileError;

use self::files::Trade;
use super::Context;
use super::output::{Paint, pairs};

/// `trade report stats`.
#[derive(Debug, Args)]
pub struct StatsCommand {
    /// A CSV file with the columns date and return, or date and equity
    #[arg(value_name = "FILE")]
    series: PathBuf,
    /// The trades behind it: a CSV file as `trade backtest --trades` writes it
    #[arg(long, value_name = "FILE")]
    trades: Option<PathBuf>,
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
    /// Prints the figures of a series.
    ///
    /// # Errors
    /// If a file is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let series = files::read_series(&self.series)?;
        let trades = self.trades.as_deref().map(files::read_trades).transpose()?;
        let stats = Stats {
            figures: Figures::of(&series),
            trades: trades.as_deref().map(figures_of).transpose()?,
            conventions: CONVENTIONS,
        };
        context.output.document(&stats, Stats::text)
    }
}

fn figures_of(trades: &[Trade]) -> anyhow::Result<TradeFigures> {
    let mut trades: Vec<&Trade> = trades.iter().collect();
    trades.sort_by_key(|trade| trade.exited_at);
    let closed: Vec<ClosedTrade> = trades.into_iter().map(Trade::closed).collect();
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
