use serde::{Deserialize, Serialize};

use super::DayReport;
use super::figures::{max_drawdown, nearest_ratio, total};
use crate::calendar::SessionKind;
use crate::money::{Bps, Money, MoneyError};
use crate::time::SessionDate;

/// Several sessions in one table: a line for each, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSummary {
    /// One line a session, in their order.
    pub sessions: Vec<SessionLine>,
    /// Equity at the first open.
    pub opening_equity: Money,
    /// Equity after the last close.
    pub closing_equity: Money,
    /// The results of all days added.
    pub pnl: Money,
    /// The same as a ratio of the equity at the first open.
    pub pnl_ratio: Bps,
    /// Fees of all days.
    pub fees: Money,
    /// Trades of all days.
    pub trades: u32,
    /// Trades that earned, of all trades; `None` without a trade.
    pub win_rate: Option<Bps>,
    /// What the winners earned, as a ratio of what the losers lost; `None` without a loser.
    pub profit_factor: Option<Bps>,
    /// The deepest fall of the equity from its highest point, across the sessions.
    pub max_drawdown: Money,
    /// The same as a ratio of that highest point.
    pub max_drawdown_ratio: Bps,
    /// The session with the lowest result, and the result; `None` without a session.
    pub worst_day: Option<(SessionDate, Money)>,
    /// The session with the highest result, and the result; `None` without a session.
    pub best_day: Option<(SessionDate, Money)>,
}

/// One session of a [`RangeSummary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// The session.
    pub session: SessionDate,
    /// Full or early.
    pub kind: SessionKind,
    /// The day's result.
    pub pnl: Money,
    /// The day's result as a ratio of the equity at its open.
    pub pnl_ratio: Bps,
    /// Trades that ended in it.
    pub trades: u32,
    /// Trades that earned, of all trades; `None` without a trade.
    pub win_rate: Option<Bps>,
    /// The deepest fall within the day.
    pub max_drawdown: Money,
    /// Signals refused.
    pub refused: u32,
    /// Latches that held.
    pub halts: u32,
    /// Things that went wrong.
    pub faults: u32,
    /// Whether nothing was held at the end.
    pub flat: bool,
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}

impl SessionLine {
    fn of(day: &DayReport) -> Self {
        Self {
            session: day.session,
            kind: day.kind,
            pnl: day.pnl,
            pnl_ratio: day.pnl_ratio,
            trades: count(day.trades.len()),
            win_rate: day.win_rate,
            max_drawdown: day.max_drawdown,
            refused: day.refusals(),
            halts: count(day.halts.len()),
            faults: day.faults.iter().fold(0, |sum, fault| sum.saturating_add(fault.times)),
            flat: day.is_flat(),
        }
    }
}

impl RangeSummary {
    /// Sums up `days`, which stand in the order of their sessions.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if a sum of amounts does not fit.
    pub fn build(days: &[DayReport]) -> Result<Self, MoneyError> {
        let opening_equity = days.first().map_or(Money::ZERO, |day| day.opening_equity);
        let closing_equity = days.last().map_or(Money::ZERO, |day| day.closing_equity);
        let pnl = total(days.iter().map(|day| day.pnl))?;
        let trades = days.iter().flat_map(|day| &day.trades);
        let wins = trades.clone().filter(|trade| trade.pnl.is_positive());
        let won = total(wins.clone().map(|trade| trade.pnl))?;
        let lost = total(trades.clone().filter(|trade| trade.pnl.is_negative()).map(|trade| trade.pnl))?;
        let (trade_count, win_count) = (count(trades.count()), count(wins.count()));
        let curve = days.iter().flat_map(|day| {
            std::iter::once(day.opening_equity)
                .chain(day.curve.iter().map(|point| point.equity))
                .chain(std::iter::once(day.closing_equity))
        });
        let (max_drawdown, max_drawdown_ratio) = max_drawdown(curve)?;
        Ok(Self {
            sessions: days.iter().map(SessionLine::of).collect(),
            opening_equity,
            closing_equity,
            pnl,
            pnl_ratio: nearest_ratio(pnl, opening_equity).unwrap_or_default(),
            fees: total(days.iter().map(|day| day.fees))?,
            trades: trade_count,
            win_rate: nearest_ratio(Money(win_count.into()), Money(trade_count.into())),
            profit_factor: nearest_ratio(won, lost.negated()),
            max_drawdown,
            max_drawdown_ratio,
            worst_day: days.iter().map(|day| (day.session, day.pnl)).min_by_key(|(session, pnl)| (*pnl, *session)),
            best_day: days.iter().map(|day| (day.session, day.pnl)).max_by_key(|(session, pnl)| (*pnl, *session)),
        })
    }
}
