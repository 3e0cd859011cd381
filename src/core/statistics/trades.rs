//! What a list of trades comes to.

use std::time::Duration;

use serde::Serialize;

use crate::money::{Money, MoneyError};

/// What a trade left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedTrade {
    /// What it earned, fees taken off.
    pub pnl: Money,
    /// How long it was held.
    pub held: Duration,
}

/// Trades in figures.
///
/// ```
/// use std::time::Duration;
/// use daybook_core::money::Money;
/// use daybook_core::statistics::{ClosedTrade, TradeFigures};
///
/// let results = [300, -100, -50, 200];
/// let trades = results.map(|dollars| ClosedTrade { pnl: Money::whole(dollars), held: Duration::from_secs(600) });
/// let figures = TradeFigures::of(&trades)?;
/// assert_eq!(figures.win_rate, Some(0.5));
/// assert_eq!(figures.profit_factor, Some(500.0 / 150.0));
/// assert_eq!(figures.losses_in_a_row, 2);
/// # Ok::<(), daybook_core::money::MoneyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TradeFigures {
    /// How many.
    pub count: usize,
    /// Those that earned.
    pub winners: usize,
    /// Those that lost.
    pub losers: usize,
    /// Winners of all trades; `None` without a trade.
    pub win_rate: Option<f64>,
    /// What all earned together.
    pub pnl: Money,
    /// What the winners earned, over what the losers lost; `None` without a loser.
    pub profit_factor: Option<f64>,
    /// What the average trade earned, in dollars; `None` without a trade.
    pub expectancy: Option<f64>,
    /// What the average winner earned, in dollars; `None` without one.
    pub average_win: Option<f64>,
    /// What the average loser lost, in dollars, below zero; `None` without one.
    pub average_loss: Option<f64>,
    /// The average winner over the average loser; `None` without either.
    pub payoff_ratio: Option<f64>,
    /// The best result.
    pub best: Option<Money>,
    /// The worst result.
    pub worst: Option<Money>,
    /// The most losers in a row.
    pub losses_in_a_row: usize,
    /// How long the average trade was held, in seconds; `None` without a trade.
    pub average_held_s: Option<f64>,
}

impl TradeFigures {
    /// Of `trades`, in the order of their exits.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if a sum of results does not fit.
    pub fn of(trades: &[ClosedTrade]) -> Result<Self, MoneyError> {
        let sum = |wanted: fn(&Money) -> bool| {
            trades
                .iter()
                .map(|trade| trade.pnl)
                .filter(wanted)
                .try_fold((0_usize, Money::ZERO), |(count, sum), pnl| Ok((count + 1, sum.plus(pnl)?)))
        };
        let (count, pnl) = sum(|_| true)?;
        let (winners, won) = sum(|pnl| pnl.is_positive())?;
        let (losers, lost) = sum(|pnl| pnl.is_negative())?;
        let (average_win, average_loss) = (average(won.to_f64(), winners), average(lost.to_f64(), losers));
        let held: f64 = trades.iter().map(|trade| trade.held.as_secs_f64()).sum();
        Ok(Self {
            count,
            winners,
            losers,
            win_rate: average(winners as f64, count),
            pnl,
            profit_factor: (losers > 0).then(|| won.to_f64() / -lost.to_f64()),
            expectancy: average(pnl.to_f64(), count),
            average_win,
            average_loss,
            payoff_ratio: average_win.zip(average_loss).map(|(win, loss)| win / -loss),
            best: trades.iter().map(|trade| trade.pnl).max(),
            worst: trades.iter().map(|trade| trade.pnl).min(),
            losses_in_a_row: losses_in_a_row(trades),
            average_held_s: average(held, count),
        })
    }
}

fn average(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

fn losses_in_a_row(trades: &[ClosedTrade]) -> usize {
    trades.split(|trade| !trade.pnl.is_negative()).map(<[_]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trades(results: &[i64]) -> Vec<ClosedTrade> {
        results
            .iter()
            .map(|dollars| ClosedTrade { pnl: Money::whole(*dollars), held: Duration::from_secs(60) })
            .collect()
    }

    #[test]
    fn no_trade_is_no_figure() {
        let figures = TradeFigures::of(&[]).unwrap();
        assert_eq!((figures.count, figures.win_rate, figures.profit_factor, figures.best), (0, None, None, None));
    }

    #[test]
    fn a_trade_that_earned_nothing_is_neither_and_ends_a_row_of_losses() {
        let figures = TradeFigures::of(&trades(&[-1, -1, 0, -1, 5])).unwrap();
        assert_eq!((figures.winners, figures.losers, figures.losses_in_a_row), (1, 3, 2));
        assert_eq!((figures.win_rate, figures.payoff_ratio), (Some(0.2), Some(5.0)));
        assert_eq!((figures.pnl, figures.worst), (Money::whole(2), Some(Money::whole(-1))));
    }

    #[test]
    fn results_that_do_not_fit_are_an_error() {
        let most = ClosedTrade { pnl: Money::MAX, held: Duration::ZERO };
        assert!(TradeFigures::of(&[most, most]).is_err());
    }
}
