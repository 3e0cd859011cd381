use chrono::{Datelike, Days};
use serde::{Deserialize, Serialize};

use super::figures::{nearest_ratio, thinned, total};
use super::{CurvePoint, DayReport, Fault, RangeSummary, words};
use crate::alert::{Alert, AlertEvent, AlertLevel};
use crate::calendar::Calendar;
use crate::market::Symbol;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::strategy::Direction;
use crate::time::{SessionDate, Timestamp};

/// The event of the alert that a week's report raises; its mail is the whole digest.
pub const WEEK_ENDED: &str = AlertEvent::WeekEnded.as_str();

/// Points of a week's curve: more than a mail's width shows.
const CURVE_POINTS_MAX: usize = 400;

/// A strategy's name where a trade was no decision of ours.
const NOT_OURS: &str = "not ours";

/// Everything that a week's report is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeekFacts {
    /// When they were gathered.
    pub as_of: Timestamp,
    /// The reports of its sessions, in their order.
    pub days: Vec<DayReport>,
    /// The days of the trading week that have no report.
    pub unreported: Vec<UnreportedDay>,
    /// Entries that the broker filled, in the order of their signals.
    pub entries: Vec<FilledEntry>,
    /// Versions of the configuration that came into force, in their order.
    pub changes: Vec<ConfigChange>,
    /// How much of it was watched.
    pub watch: Watch,
}

/// An entry that was filled, and the price that its signal saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilledEntry {
    /// The symbol.
    pub symbol: Symbol,
    /// Which way it earns.
    pub direction: Direction,
    /// The price in the signal.
    pub seen: Price,
    /// The average price of its fills.
    pub paid: Price,
    /// The shares that were filled.
    pub quantity: Quantity,
}

/// A version of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Its number.
    pub version: i64,
    /// When it came into force.
    pub at: Timestamp,
    /// What it changed, a line each: `risk.max_positions 5 -> 8`.
    pub what: Vec<String>,
    /// The note that stands with it.
    pub note: Option<String>,
}

/// How much of the sessions the risk monitor has watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Looks that were due.
    pub due: u32,
    /// Looks that were made.
    pub done: u32,
    /// Starts of the process.
    pub starts: u32,
}

impl Watch {
    /// The looks that were made, of those that were due; `None` if none was.
    #[must_use]
    pub fn share(&self) -> Option<Bps> {
        // Down, so that a look that is missing shows.
        let due = i64::from(self.due);
        (Bps::ONE.0 * i64::from(self.done)).checked_div(due).map(Bps)
    }
}

/// What entries cost against the prices that their signals saw. An amount above zero was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slippage {
    /// Entries that were filled.
    pub entries: u32,
    /// What all of them cost.
    pub cost: Money,
    /// The same, of what the shares were worth at the signals' prices.
    pub average: Bps,
    /// The entry that cost most of its price, and how much of it.
    pub worst: (Symbol, Bps),
}

impl Slippage {
    /// Adds up entries; `None` without one.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if a sum of amounts does not fit.
    pub fn of(entries: &[FilledEntry]) -> Result<Option<Self>, MoneyError> {
        let (mut cost, mut value, mut worst) = (Money::ZERO, Money::ZERO, None::<(Symbol, Bps)>);
        for entry in entries {
            let higher = entry.paid.minus(entry.seen)?;
            let worse = if entry.direction == Direction::Long { higher } else { higher.negated() };
            cost = cost.plus(worse.times(entry.quantity)?)?;
            value = value.plus(entry.seen.times(entry.quantity)?)?;
            let share = nearest_ratio(Money(worse.0), Money(entry.seen.0)).unwrap_or_default();
            if worst.is_none_or(|(_, most)| share > most) {
                worst = Some((entry.symbol, share));
            }
        }
        Ok(worst.map(|worst| Self {
            entries: count(entries.len()),
            cost,
            average: nearest_ratio(cost, value).unwrap_or_default(),
            worst,
        }))
    }
}

/// The sessions of a calendar week: what they come to, by day and by strategy, what entries cost, what was changed, and
/// what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeekReport {
    /// When its facts were gathered.
    pub as_of: Timestamp,
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
    /// The equity through its sessions; at most 400 points, with every extreme kept.
    pub curve: Vec<CurvePoint>,
    /// What entries cost; `None` if none was filled.
    pub slippage: Option<Slippage>,
    /// Versions of the configuration that came into force.
    pub changes: Vec<ConfigChange>,
    /// How much of it was watched.
    pub watch: Watch,
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

    /// The days of a date's trading week that have no report among `days`: sessions, and weekdays without one.
    #[must_use]
    pub fn unreported(days: &[DayReport], date: SessionDate, calendar: &Calendar) -> Vec<UnreportedDay> {
        let (monday, sunday) = Self::bounds(date);
        let without = |date: &SessionDate| days.iter().all(|day| day.session != *date);
        let sessions = calendar.sessions(monday, sunday).map(|session| session.date).filter(without);
        let sessions = sessions.map(|date| UnreportedDay { date, closed_for: None });
        let closed = calendar.closed(monday, sunday).into_iter().filter(|(date, _)| without(date));
        let closed = closed.map(|(date, name)| UnreportedDay { date, closed_for: Some(name.to_owned()) });
        let mut all: Vec<UnreportedDay> = sessions.chain(closed).collect();
        all.sort_by_key(|day| day.date);
        all
    }

    /// Sums a week up; `None` where no session of it has a report.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if a sum of amounts does not fit.
    pub fn build(facts: WeekFacts) -> Result<Option<Self>, MoneyError> {
        let WeekFacts { as_of, days, unreported, entries, changes, watch } = facts;
        let Some(first) = days.first() else { return Ok(None) };
        Ok(Some(Self {
            as_of,
            monday: Self::bounds(first.session).0,
            summary: RangeSummary::build(&days)?,
            unreported,
            strategies: strategies(&days)?,
            faults: super::day::merged(days.iter().flat_map(|day| day.faults.iter().cloned()).collect()),
            curve: thinned(days.iter().flat_map(|day| day.curve.iter().copied()).collect(), CURVE_POINTS_MAX),
            slippage: Slippage::of(&entries)?,
            changes,
            watch,
        }))
    }

    /// The session that ended it.
    #[must_use]
    pub fn last_session(&self) -> SessionDate {
        self.summary.sessions.last().map_or(self.monday, |day| day.session)
    }

    /// What a person is told at the end of the week: the event is [`WEEK_ENDED`]. What needs a person was told on its
    /// day.
    #[must_use]
    pub fn alert(&self) -> Alert {
        let level = if self.faults.is_empty() { AlertLevel::Info } else { AlertLevel::Warning };
        Alert::new(AlertEvent::WeekEnded, words::week_subject(self))
            .at_level(level)
            .with_body(words::week_verdict(self))
    }
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

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
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

    fn entry(name: &str, direction: Direction, seen: i64, paid: i64, shares: i64) -> FilledEntry {
        let (symbol, quantity) = (name.parse().unwrap(), Quantity::whole(shares));
        FilledEntry { symbol, direction, seen: Price::from_cents(seen), paid: Price::from_cents(paid), quantity }
    }

    #[test]
    fn what_entries_cost_is_measured_the_way_they_earn() {
        let entries = [
            entry("AAPL", Direction::Long, 10_000, 10_010, 100), // ten cents too much: 10 dollars
            entry("MSFT", Direction::Short, 20_000, 19_960, 50), // sold forty cents too low: 20 dollars
            entry("IBM", Direction::Long, 10_000, 9_995, 100),   // five cents better: 5 dollars back
        ];
        let slippage = Slippage::of(&entries).unwrap().unwrap();
        assert_eq!((slippage.entries, slippage.cost), (3, Money::whole(25)));
        assert_eq!(slippage.average, Bps(8), "25 of 30,000 dollars");
        assert_eq!(slippage.worst, ("MSFT".parse().unwrap(), Bps(20)));
        assert_eq!(Slippage::of(&[]), Ok(None));
        let better = Slippage::of(&entries[2..]).unwrap().unwrap();
        assert_eq!((better.cost, better.worst.1), (Money::whole(-5), Bps(-5)));
    }

    #[test]
    fn a_look_that_is_missing_shows_in_the_share_that_was_watched() {
        let share = |due, done| Watch { due, done, starts: 1 }.share();
        assert_eq!(share(1_950, 1_950), Some(Bps(10_000)));
        assert_eq!(share(1_950_000, 1_949_999), Some(Bps(9_999)));
        assert_eq!((share(4, 1), share(0, 0)), (Some(Bps(2_500)), None));
    }

    #[test]
    fn a_week_without_a_report_is_none_and_says_which_days_it_had() {
        let (thanksgiving, calendar) = ("2026-11-26".parse().unwrap(), Calendar::xnys());
        let unreported = WeekReport::unreported(&[], thanksgiving, &calendar);
        let closed: Vec<_> = unreported.iter().filter_map(|day| day.closed_for.as_deref()).collect();
        assert_eq!((unreported.len(), closed), (5, vec!["Thanksgiving Day"]));
        let (as_of, watch) = (Timestamp(0), Watch::default());
        let (days, entries, changes) = (Vec::new(), Vec::new(), Vec::new());
        assert_eq!(WeekReport::build(WeekFacts { as_of, days, unreported, entries, changes, watch }), Ok(None));
    }
}
