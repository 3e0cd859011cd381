//! The figures as a person reads them: the same on a terminal and on a page.

use std::time::Duration;

use super::{Figures, TradeFigures};
use crate::money::Money;
use crate::report::words::{held, signed_dollars};

/// A figure that is not defined.
const UNDEFINED: &str = "-";

/// `12.34 %`, `-3.10 %`.
#[must_use]
pub fn percent(ratio: f64) -> String {
    format!("{} %", number(ratio * 100.0))
}

/// `1.23`, `-0.40`; never a sign before nothing.
#[must_use]
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".to_owned() } else { text }
}

fn percent_if(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| UNDEFINED.to_owned(), percent)
}

fn number_if(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), number)
}

fn dollars_if(amount: Option<f64>) -> String {
    let amount = amount.and_then(|amount| Money::from_f64(amount).ok());
    amount.map_or_else(|| UNDEFINED.to_owned(), signed_dollars)
}

impl Figures {
    /// Each figure with its name, the ones that are asked for first at the front.
    #[must_use]
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Total return", percent_if(self.total_return)),
            ("Growth a year (CAGR)", percent_if(self.cagr)),
            ("Sharpe", number_if(self.sharpe)),
            ("Sortino", number_if(self.sortino)),
            ("Calmar", number_if(self.calmar)),
            ("Max drawdown", percent_if(self.max_drawdown)),
            ("Volatility a year", percent_if(self.volatility)),
            ("Ulcer index", number_if(self.ulcer_index.map(|index| index * 100.0))),
            ("Days won", percent_if(self.win_rate)),
            ("Profit factor", number_if(self.profit_factor)),
            ("Best day", percent_if(self.best_day)),
            ("Worst day", percent_if(self.worst_day)),
            ("VaR 95 %, normal", percent_if(self.var_95)),
            ("CVaR 95 %, normal", percent_if(self.cvar_95)),
            ("VaR 95 %, historical", percent_if(self.var_95_historical)),
            ("CVaR 95 %, historical", percent_if(self.cvar_95_historical)),
            ("Skew", number_if(self.skew)),
            ("Excess kurtosis", number_if(self.kurtosis)),
        ]
    }
}

impl TradeFigures {
    /// Each figure with its name.
    #[must_use]
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let duration = self.average_held_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        vec![
            ("Trades", self.count.to_string()),
            ("Trades won", percent_if(self.win_rate)),
            ("Result", signed_dollars(self.pnl)),
            ("Profit factor", number_if(self.profit_factor)),
            ("Average trade", dollars_if(self.expectancy)),
            ("Average winner", dollars_if(self.average_win)),
            ("Average loser", dollars_if(self.average_loss)),
            ("Payoff ratio", number_if(self.payoff_ratio)),
            ("Best trade", self.best.map_or_else(|| UNDEFINED.to_owned(), signed_dollars)),
            ("Worst trade", self.worst.map_or_else(|| UNDEFINED.to_owned(), signed_dollars)),
            ("Losses in a row", self.losses_in_a_row.to_string()),
            ("Average time held", duration.map_or_else(|| UNDEFINED.to_owned(), held)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_reads_as_percent() {
        assert_eq!([percent(0.12345), percent(-0.031), percent(-0.000_01)], ["12.35 %", "-3.10 %", "0.00 %"]);
    }

    #[test]
    fn what_is_not_defined_is_a_dash() {
        let none = TradeFigures::of(&[]).unwrap().in_words();
        assert!(none.contains(&("Trades", "0".to_owned())) && none.contains(&("Average trade", "-".to_owned())));
    }
}
