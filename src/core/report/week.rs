use chrono::{Datelike, Days};
use serde::{Deserialize, Serialize};

use super::figures::{nearest_ratio, total};
use super::{DayReport, Fault, RangeSummary};
use crate::calendar::Calendar;
use crate::money::{Bps, Money, MoneyError};
use crate::time::SessionDate;

/// A strategy's name where a trade was no decision of ours.
const NOT_OURS: &str = "not ours";

/// The sessions of a calendar week: what they come to, by day and by strategy, and what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeekReport {
    /// Its Monday.
    pub monday: SessionDate,
    /// A line for each session that has a report, and their sum.
    pub summary: RangeSummary,
    /// The other days of the trading week, in order.
    pub unreported: Vec<UnreportedDay>,
    /// What each strategy earned, the best first.
    pub strategies: Vec<StrategyLine>,
    /// Things that went wrong; the same thing on several days is one entry with its count.
    pub faults: Vec<Fault>,
}

/// A day of the trading week that has no report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreportedDay {
    /// The day.
    pub date: SessionDate,
    /// Why there was no session; `None` for a session that is still to come, or that nobody summed up.
    pub closed_for: Option<String>,
}

/// What a strategy did in a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyLine {
    /// Its name.
    pub strategy: String,
    /// Trades that ended.
    pub trades: u32,
    /// Trades that earned, of all trades.
    pub win_rate: Option<Bps>,
    /// What they earned, less fees.
    pub pnl: Money,
    /// What the average trade earned in units of what was at risk; `None` where no stop is known.
    pub r_multiple: Option<Bps>,
    /// Signals that risk let through.
    pub taken: u32,
    /// Signals that risk refused.
    pub refused: u32,
}

impl WeekReport {
    /// The Monday and the Sunday of a date's week.
    #[must_use]
    pub fn bounds(date: SessionDate) -> (SessionDate, SessionDate) {
        let since_monday = u64::from(date.0.weekday().num_days_from_monday());
        let monday = SessionDate(date.0.checked_sub_days(Days::new(since_monday)).unwrap_or(date.0));
        (monday, monday.plus_days(6))
    }

    /// Sums up the reports of a week's sessions, which stand in their order; `None` without one.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if a sum of amounts does not fit.
    pub fn build(days: &[DayReport], calendar: &Calendar) -> Result<Option<Self>, MoneyError> {
        let Some(first) = days.first() else { return Ok(None) };
        Ok(Some(Self {
            monday: Self::bounds(first.session).0,
            summary: RangeSummary::build(days)?,
            unreported: unreported(days, Self::bounds(first.session), calendar),
            strategies: strategies(days)?,
            faults: super::day::merged(days.iter().flat_map(|day| day.faults.iter().cloned()).collect()),
        }))
    }
}

fn unreported(days: &[DayReport], week: (SessionDate, SessionDate), calendar: &Calendar) -> Vec<UnreportedDay> {
    let (monday, sunday) = week;
    let without = |date: &SessionDate| days.iter().all(|day| day.session != *date);
    let sessions = calendar.sessions(monday, sunday).map(|session| session.date).filter(without);
    let sessions = sessions.map(|date| UnreportedDay { date, closed_for: None });
    let closed = calendar.closed(monday, sunday).into_iter().filter(|(date, _)| without(date));
    let closed = closed.map(|(date, name)| UnreportedDay { date, closed_for: Some(name.to_owned()) });
    let mut all: Vec<UnreportedDay> = sessions.chain(closed).collect();
    all.sort_by_key(|day| day.date);
    all
}

fn strategies(days: &[DayReport]) -> Result<Vec<StrategyLine>, MoneyError> {
    let of_trades = days.iter().flat_map(|day| &day.trades).map(|trade| trade.strategy.as_deref().unwrap_or(NOT_OURS));
    let of_taken = days.iter().flat_map(|day| &day.taken).map(|signal| signal.strategy.as_str());
    let of_refused = days.iter().flat_map(|day| &day.refused).map(|refusal| refusal.strategy.as_str());
    let mut names: Vec<&str> = of_trades.chain(of_taken).chain(of_refused).collect();
    names.sort_unstable();
    names.dedup();
    let mut lines = names.into_iter().map(|name| line(name, days)).collect::<Result<Vec<_>, _>>()?;
    lines.sort_by_key(|line| std::cmp::Reverse(line.pnl));
    Ok(lines)
}

fn line(name: &str, days: &[DayReport]) -> Result<StrategyLine, MoneyError> {
    let is_its = |strategy: Option<&str>| strategy.unwrap_or(NOT_OURS) == name;
    let trades = days.iter().flat_map(|day| &day.trades).filter(|trade| is_its(trade.strategy.as_deref()));
    let number = trades.clone().count();
    let won = trades.clone().filter(|trade| trade.pnl.is_positive()).count();
    let multiples: Vec<i64> = trades.clone().filter_map(|trade| Some(trade.r_multiple?.0)).collect();
    let sum = multiples.iter().fold(0, |sum: i64, multiple| sum.saturating_add(*multiple));
    let taken = days.iter().flat_map(|day| &day.taken).filter(|signal| signal.strategy == name).count();
    let refused = days.iter().flat_map(|day| &day.refused).filter(|refusal| refusal.strategy == name);
    let count = |things: usize| u32::try_from(things).unwrap_or(u32::MAX);
    let amount = |things: usize| Money(count(things).into());
    Ok(StrategyLine {
        strategy: name.to_owned(),
        trades: count(number),
        win_rate: nearest_ratio(amount(won), amount(number)),
        pnl: total(trades.map(|trade| trade.pnl))?,
        r_multiple: i64::try_from(multiples.len()).ok().and_then(|number| sum.checked_div(number)).map(Bps),
        taken: count(taken),
        refused: refused.fold(0, |sum: u32, refusal| sum.saturating_add(refusal.times)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_from_monday_to_sunday() {
        let bounds = |date: &str| WeekReport::bounds(date.parse().unwrap());
        let week = ("2026-11-16".parse().unwrap(), "2026-11-22".parse().unwrap());
        for date in ["2026-11-16", "2026-11-20", "2026-11-22"] {
            assert_eq!(bounds(date), week);
        }
        assert_ne!(bounds("2026-11-23"), week);
    }

    #[test]
    fn the_clocks_may_change_on_its_sunday() {
        // New York's clocks went back on 2026-11-01, and forward on 2026-03-08.
        for (sunday, monday) in [("2026-11-01", "2026-10-26"), ("2026-03-08", "2026-03-02")] {
            assert_eq!(WeekReport::bounds(sunday.parse().unwrap()), (monday.parse().unwrap(), sunday.parse().unwrap()));
        }
    }

    #[test]
    fn a_week_without_a_session_is_none() {
        assert_eq!(WeekReport::build(&[], &Calendar::xnys()), Ok(None));
    }
}
