//! The back-test: strategy, risk and matching engine over bars, without a ledger, a clock or a broker.
//!
//! It asks the strategies that trade, has their signals reviewed by the risk that reviews them, and sends the orders
//! to the matching engine behind the paper broker. What is its own is who calls whom, and when:
//!
//! 1. A bar ends. Each symbol's orders meet it, and what fills is booked.
//! 2. The account is valued; a limit that is reached stops entries, or closes everything.
//! 3. Positions are left whose time is over, or whose stop or target a close has passed; stops follow.
//! 4. The strategies look at what is known now. Risk reviews the signals of all symbols together.
//! 5. Orders are sent. They meet the next bar, or the quote that the last close makes.
//!
//! A minute without a bar is lived at the price before, as it is in a trading day: the strategies are asked, and what is
//! due by time is due.
//!
//! # Why it is fast
//!
//! Nearly every bar does nothing. So before the bars are walked through it is asked which of them can: the matching
//! engine says which prices its orders feel ([`Exchange::reach`](crate::exchange::Exchange::reach)), a position has its
//! times, and the strategies, who see bars and nothing of the account, are asked ahead of time what they will propose
//! next; [`Strategy::next_look`] says which looks they can do without. Each symbol's next such bar is searched in one
//! column, and stands in the agenda of the day, from which all symbols are taken in the order of time; so risk sees the
//! account as it is at that instant. [`Pace::EveryBar`] leaves nothing out, and asks when it is time: a property holds
//! that the trades are the same.
//!
//! # What is simplified
//!
//! All symbols are candidates: there is no scan. Positions do not outlive their session: one that no bar comes for any
//! more is left at its last price, at the close. An emergency stop lasts for
//! the rest of the session, as if a person resumed before the next one; a drawdown beyond its limit stops entries
//! for good. The account is valued every minute while what it holds could reach a limit, otherwise when something
//! happens.

mod account;
mod day;
mod desk;
mod look;
mod look_ahead;
mod settings;
mod tape;

#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::calendar::{Calendar, Session, SessionKind};
use crate::exchange::ExchangeSettings;
use crate::market::{BarColumns, CorporateActions, MINUTE, Symbol};
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::risk::{CheckName, Halt, RiskSettings};
use crate::strategy::{Direction, Strategy};
use crate::time::{SessionDate, Timestamp};

use account::Account;
use day::Day;
use desk::Desk;

pub use look_ahead::{Act, ActKind, LookAhead, MakeStrategies, Peek};
pub use settings::{BacktestSettings, Exits, Fills};

/// Under what a back-test is made.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// When the market trades.
    pub calendar: &'a Calendar,
    /// What was done to the shares that the bars are of: what a session is measured against is told in its own.
    pub actions: &'a CorporateActions,
    /// How orders are sent and positions left.
    pub backtest: &'a BacktestSettings,
    /// What may be risked.
    pub risk: &'a RiskSettings,
    /// How orders fill and what that costs.
    pub exchange: &'a ExchangeSettings,
    /// The distance of bid and ask from the last close, for orders that meet a quote.
    pub half_spread: Bps,
    /// What proposes.
    pub strategies: &'a [Box<dyn Strategy>],
}

/// Which bars are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Those at which something can happen.
    Skipping,
    /// All of them.
    EveryBar,
}

/// What came of a back-test.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The bars there were.
    pub bars: usize,
    /// Positions that were opened and closed, by entry and symbol.
    pub trades: Vec<Trade>,
    /// Positions that the bars' end left open, in the middle of a session.
    pub left_open: usize,
    /// Positions that no bar came for between the order that was to leave them and the close: they were left at the last
    /// price that was known.
    pub left_unmet: usize,
    /// Signals that risk reviewed.
    pub signals: u64,
    /// Signals that risk refused, by the first check that did.
    pub refused_by: BTreeMap<CheckName, u64>,
    /// Entries whose time was over before they reached the exchange.
    pub expired: u64,
    /// Orders that the exchange refused.
    pub rejected: u64,
    /// The equity at the end of each session.
    pub equity: Vec<(SessionDate, Money)>,
    /// What stopped entries, in order.
    pub halts: Vec<Halt>,
}

impl Outcome {
    /// What the trades earned, less fees; saturates.
    #[must_use]
    pub fn pnl(&self) -> Money {
        Money(self.trades.iter().fold(0, |sum, trade| sum.saturating_add(trade.pnl.0)))
    }

    /// The deepest fall of the sessions' closing equity from the highest before, which is `opening` at first;
    /// saturates.
    #[must_use]
    pub fn max_drawdown(&self, opening: Money) -> Money {
        let deepest = self.equity.iter().fold((opening, Money::ZERO), |(peak, deepest), (_, equity)| {
            let peak = peak.max(*equity);
            (peak, deepest.max(Money(peak.0.saturating_sub(equity.0))))
        });
        deepest.1
    }
}

/// A position from its first share to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// What was traded.
    pub symbol: Symbol,
    /// The strategy behind it.
    pub strategy: String,
    /// Which way it earned.
    pub direction: Direction,
    /// The start of the bar in which its first share was bought, or sold short.
    pub entry_at: Timestamp,
    /// The average price of the shares that entered.
    pub entry_price: Price,
    /// The start of the bar in which its last share left.
    pub exit_at: Timestamp,
    /// The average price of the shares that left.
    pub exit_price: Price,
    /// All shares that entered.
    pub quantity: Quantity,
    /// Realised, less fees.
    pub pnl: Money,
    /// Commission, and what borrowing cost.
    pub fees: Money,
    /// Why it was left: `stop`, `target`, `market close`.
    pub exit_reason: String,
}

/// A sum that does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("an amount of {symbol} at {at} cannot be computed")]
pub struct BacktestError {
    /// The symbol whose turn it was.
    pub symbol: Symbol,
    /// The instant.
    pub at: Timestamp,
    /// Why.
    pub source: MoneyError,
}

/// Trades the strategies over the market's bars.
///
/// # Errors
/// If an amount overflows.
pub fn run(market: &BTreeMap<Symbol, BarColumns>, terms: &Terms<'_>, pace: Pace) -> Result<Outcome, BacktestError> {
    let mut account = Account::new(terms.exchange.starting_cash);
    live(market, terms, pace, None, &mut account)?;
    Ok(account.finish(market.values().map(BarColumns::len).sum()))
}

/// Trades the strategies over the market's bars, and tells everything that was done of its own accord, in order. What the
/// last bars leave is lived `until` then, if they end before.
fn acts(
    market: &BTreeMap<Symbol, BarColumns>,
    terms: &Terms<'_>,
    until: Option<Timestamp>,
) -> Result<Vec<Act>, BacktestError> {
    let mut account = Account::with_journal(terms.exchange.starting_cash);
    live(market, terms, Pace::Skipping, until, &mut account)?;
    Ok(account.journal.unwrap_or_default())
}

fn live<'m>(
    market: &'m BTreeMap<Symbol, BarColumns>,
    terms: &Terms<'m>,
    pace: Pace,
    until: Option<Timestamp>,
    account: &mut Account<'m>,
) -> Result<(), BacktestError> {
    let mut desks: Vec<Desk<'_>> =
        (0..).zip(market).map(|(place, (symbol, bars))| Desk::new(place, *symbol, bars, terms)).collect();
    let ended = market.values().filter_map(|bars| bars.starts().last()).max().map(|last| last.after(MINUTE));
    let ended = ended.max(until);
    for session in sessions(market, terms) {
        Day::new(session, terms, pace, account, &mut desks, ended.unwrap_or(session.close)).live()?;
    }
    Ok(())
}

/// The sessions from the first bar to the last.
fn sessions(market: &BTreeMap<Symbol, BarColumns>, terms: &Terms<'_>) -> Vec<Session> {
    let Terms { calendar, backtest, .. } = *terms;
    let first = market.values().filter_map(|bars| bars.starts().first()).min();
    let last = market.values().filter_map(|bars| bars.starts().last()).max();
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    let sessions = calendar.sessions(first.date_in(calendar.zone()), last.date_in(calendar.zone()));
    sessions.map(|session| if backtest.early_closes { session } else { as_full(session, calendar) }).collect()
}

/// The session as it would be without its early close.
fn as_full(session: Session, calendar: &Calendar) -> Session {
    let before = std::iter::successors(calendar.session_before(session.date), |day| calendar.session_before(day.date));
    match before.into_iter().find(|day| day.kind == SessionKind::Full) {
        Some(full) if session.kind == SessionKind::Early => Session {
            kind: SessionKind::Full,
            close: session.open.after(full.close.since(full.open)),
            post_close: session.open.after(full.post_close.since(full.open)),
            ..session
        },
        Some(_) | None => session,
    }
}
