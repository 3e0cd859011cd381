//! What a series of daily returns, and a list of trades, come to.
//!
//! The figures are those of the field under its names, and the digits those of quantstats and empyrical:
//! `tests/oracles/stats_golden.py` writes what these say, and a test holds us to it. Where the two differ (value at risk), both
//! definitions are here, each with its own name.
//!
//! Conventions: 252 days a year, a risk-free rate of zero, the sample deviation (over `n - 1`), returns compounded. A figure
//! that is not defined for a series (a Sharpe ratio of returns that never vary) is `None`, never infinite.
//!
//! [`Returns`] answers for a series, [`DatedReturns`] for one with its calendar, [`TradeFigures`] for trades; [`Figures`] are all
//! of them at once, as `trade report stats` prints them.

mod dated;
mod drawdown;
mod figures;
mod luck;
mod moments;
pub mod normal;
mod returns;
mod tail;
mod trades;
pub mod words;

#[cfg(test)]
mod golden_tests;

pub use dated::{DateOrder, DatedReturns, MonthReturn};
pub use drawdown::Drawdown;
pub use figures::{CONVENTIONS, Figures};
pub use luck::Trials;
pub use moments::Moments;
pub use returns::{DAYS_PER_YEAR, RETURN_MAX, Returns, ReturnsError};
pub use trades::{ClosedTrade, TradeFigures};
