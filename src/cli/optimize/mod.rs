//! `trade optimize`: many settings of a strategy over the same bars, and how much of the best is luck.

mod results;
mod search;
mod share;

use clap::{Args, Subcommand, ValueEnum};
use daybook_core::statistics::Returns;

pub use self::share::ShareError;

use self::search::Search;
use super::Context;

/// `trade optimize ...`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct OptimizeCommand {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    search: Search,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes the shares of a search together, and judges them as one
    #[command(after_help = "Examples:
  trade optimize merge shares/*.csv --out all.csv --walk-forward 60/20
  trade optimize merge shares/*.parquet --out all.parquet")]
    Merge(search::Merge),
}

impl OptimizeCommand {
    /// Searches, or takes shares together.
    ///
    /// # Errors
    /// If a file, a setting or an amount is unusable.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        match &self.command {
            Some(Command::Merge(merge)) => merge.run(context),
            None => self.search.run(context),
        }
    }
}

/// What trials are judged by; the higher the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Measure {
    /// The Sharpe ratio of the sessions.
    #[default]
    Sharpe,
    /// The Sortino ratio.
    Sortino,
    /// The growth rate over the deepest drawdown.
    Calmar,
    /// All sessions compounded.
    TotalReturn,
}

impl Measure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sharpe => "sharpe",
            Self::Sortino => "sortino",
            Self::Calmar => "calmar",
            Self::TotalReturn => "total_return",
        }
    }

    fn of(self, returns: &Returns) -> Option<f64> {
        match self {
            Self::Sharpe => returns.sharpe(),
            Self::Sortino => returns.sortino(),
            Self::Calmar => returns.calmar(),
            Self::TotalReturn => returns.total(),
        }
    }
}
