//! All figures of a series at once.

use serde::Serialize;

use super::DatedReturns;
use crate::time::SessionDate;

/// How the figures are meant, as they are printed beside them.
pub const CONVENTIONS: &str = "252 days a year, risk-free rate 0, sample deviation (n - 1), returns compounded; var_95 and cvar_95 of a \
                               normal distribution (as quantstats), the historical ones of the days themselves (as empyrical)";

/// A series of daily returns in figures. Ratios are plain numbers: 0.01 is one percent, losses and drawdowns are below zero.
///
/// Each is the method of the same name of [`Returns`](super::Returns), where its formula and source stand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// The first day; `None` without one.
    pub from: Option<SessionDate>,
    /// The last day.
    pub to: Option<SessionDate>,
    /// How many days there are.
    pub days: usize,
    /// All returns compounded.
    pub total_return: Option<f64>,
    /// The compound annual growth rate.
    pub cagr: Option<f64>,
    /// The Sharpe ratio.
    pub sharpe: Option<f64>,
    /// The Sortino ratio.
    pub sortino: Option<f64>,
    /// The Calmar ratio.
    pub calmar: Option<f64>,
    /// The deepest drawdown.
    pub max_drawdown: Option<f64>,
    /// The annual deviation.
    pub volatility: Option<f64>,
    /// Days that earned, of those that earned or lost.
    pub win_rate: Option<f64>,
    /// What was earned over what was lost.
    pub profit_factor: Option<f64>,
    /// Value at risk of a normal distribution.
    pub var_95: Option<f64>,
    /// Expected shortfall of a normal distribution.
    pub cvar_95: Option<f64>,
    /// Value at risk of the days themselves.
    pub var_95_historical: Option<f64>,
    /// The mean of the worst twentieth of the days.
    pub cvar_95_historical: Option<f64>,
    /// The best day.
    pub best_day: Option<f64>,
    /// The worst day.
    pub worst_day: Option<f64>,
    /// The skewness.
    pub skew: Option<f64>,
    /// The excess kurtosis.
    pub kurtosis: Option<f64>,
    /// The ulcer index.
    pub ulcer_index: Option<f64>,
}

impl Figures {
    /// Of a series.
    #[must_use]
    pub fn of(series: &DatedReturns) -> Self {
        let returns = series.returns();
        let moments = returns.moments();
        Self {
            from: series.dates().first().copied(),
            to: series.dates().last().copied(),
            days: returns.values().len(),
            total_return: returns.total(),
            cagr: returns.cagr(),
            sharpe: returns.sharpe(),
            sortino: returns.sortino(),
            calmar: returns.calmar(),
            max_drawdown: returns.max_drawdown(),
            volatility: returns.volatility(),
            win_rate: returns.win_rate(),
            profit_factor: returns.profit_factor(),
            var_95: returns.var_95(),
            cvar_95: returns.cvar_95(),
            var_95_historical: returns.var_95_historical(),
            cvar_95_historical: returns.cvar_95_historical(),
            best_day: returns.best_day(),
            worst_day: returns.worst_day(),
            skew: moments.skew(),
            kurtosis: moments.excess_kurtosis(),
            ulcer_index: returns.ulcer_index(),
        }
    }
}
