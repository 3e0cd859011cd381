use super::{DayLevel, MonitorFacts, RiskSettings, SeenMark};
use crate::calendar::{MarketPhase, Session};
use crate::decision::{EquityPoint, Mark};
use crate::market::Symbol;
use crate::money::{Bps, Money, Price};
use crate::portfolio::Position;
use crate::strategy::{Direction, Reason};
use crate::time::{Span, Timestamp};

use super::review::span;

/// How the day stands, and what of it is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayAssessment {
    /// The day's loss against its limit.
    pub level: DayLevel,
    /// The account's figures at the prices believed.
    pub equity: EquityPoint,
    /// The day's result at the prices as they were seen, believed or not.
    pub pnl_as_seen: Money,
    /// Whether every position has a price that is fresh and believed.
    pub is_certain: bool,
    /// The fall from the highest equity.
    pub drawdown: Bps,
    /// Whether the fall is beyond its limit, by prices that are to be trusted.
    pub is_drawdown_breached: bool,
    /// Each position's price, in the order of the facts.
    pub marks: Vec<SeenMark>,
    /// Positions without a fresh price, and for how long.
    pub stale: Vec<(Symbol, Span)>,
}

impl DayAssessment {
    /// The numbers behind the level, as they stand with a halt.
    #[must_use]
    pub fn numbers(&self, settings: &RiskSettings) -> Vec<Reason> {
        vec![
            Reason::new("day P&L", self.equity.day_pnl()),
            Reason::new("limit", settings.max_daily_loss.negated()),
            Reason::new("realised", self.equity.realised),
            Reason::new("unrealised", self.equity.unrealised),
            Reason::new("fees", self.equity.fees),
            Reason::new("equity", self.equity.equity),
            Reason::new("opening equity", self.equity.opening_equity),
            Reason::new("drawdown", self.drawdown),
        ]
    }
}

/// Values the account and holds the day's result against its limit.
///
/// `day P&L = realised + unrealised - fees`, all since the session's open. No limit fires on a price
/// that is stale or too far from the one before, alone. It takes one of:
/// - every price is fresh and believed;
/// - what is certain (realised, fees, and positions with a good price) is beyond the limit by itself;
/// - a second source agrees: the broker's own equity.
///
/// A far price is believed when a second look sees it again, so a real jump fires a minute later. A
/// stale price seen twice is no second look: it stays [`DayLevel::SecondLook`] until it is fresh, and
/// staleness has a limit of its own.
#[must_use]
pub fn assess_day(facts: &MonitorFacts, settings: &RiskSettings) -> DayAssessment {
    let mut totals = Totals::default();
    let mut marks = Vec::with_capacity(facts.positions.len());
    let mut stale = Vec::new();
    let mut is_certain = true;
    let prior_marks = facts.prior.as_ref().map_or(&[][..], |look| &look.marks);
    for position in &facts.positions {
        let before = prior_marks.iter().find(|seen| seen.symbol == position.symbol);
        let mark = facts.marks.iter().find(|mark| mark.symbol == position.symbol);
        let (mut seen, for_so_long) = look_at(position, mark, before, facts, settings);
        seen.beyond_stop = is_beyond_stop(position, seen.trusted);
        let is_good = seen.doubted.is_none() && for_so_long.is_none();
        is_certain &= is_good;
        stale.extend(for_so_long.map(|so_long| (position.symbol, so_long)));
        totals.add(position, &seen, is_good);
        marks.push(seen);
    }

    let closed = i128::from(facts.realised.0) - i128::from(facts.fees.0);
    let pnl = saturate(closed + totals.believed);
    let pnl_as_seen = saturate(closed + totals.as_seen);
    let certain = saturate(closed + totals.certain);
    let equity = EquityPoint {
        session: facts.session.date,
        at: facts.as_of,
        equity: Money(facts.opening_equity.0.saturating_add(pnl.0)),
        opening_equity: facts.opening_equity,
        exposure: saturate(totals.exposure),
        realised: facts.realised,
        unrealised: saturate(totals.believed),
        fees: facts.fees,
    };

    let limit = settings.max_daily_loss.negated();
    let is_beyond = pnl <= limit;
    let may_be_beyond = is_beyond || pnl_as_seen <= limit;
    let broker_agrees =
        facts.broker_equity.is_some_and(|equity| Money(equity.0.saturating_sub(facts.opening_equity.0)) <= limit);
    let level = if is_beyond && (is_certain || certain <= limit) || may_be_beyond && broker_agrees {
        DayLevel::Breach
    } else if may_be_beyond {
        DayLevel::SecondLook
    } else if pnl <= warning_threshold(settings) {
        DayLevel::Warning
    } else {
        DayLevel::Ok
    };

    let drawdown = drawdown(facts.peak_equity, equity.equity);
    let broker_drawdown = facts.broker_equity.map(|equity| self::drawdown(facts.peak_equity, equity));
    let is_drawdown_breached = drawdown >= settings.max_drawdown
        && (is_certain || broker_drawdown.is_some_and(|by_broker| by_broker >= settings.max_drawdown));
    DayAssessment { level, equity, pnl_as_seen, is_certain, drawdown, is_drawdown_breached, marks, stale }
}

/// The day's result at which a person is warned; a limit that cannot be divided warns at the limit.
pub(super) fn warning_threshold(settings: &RiskSettings) -> Money {
    settings.max_daily_loss.portion(settings.warning_at).unwrap_or(settings.max_daily_loss).negated()
}

/// The fall from the peak as a ratio of it; none where there is no peak.
fn drawdown(peak: Money, equity: Money) -> Bps {
    let fall = Money(peak.0.saturating_sub(equity.0).max(0));
    fall.ratio_of(peak).unwrap_or_default()
}

fn saturate(sum: i128) -> Money {
    Money(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
}

/// Unrealised results and exposure, in 10⁻⁸: sums that cannot overflow.
#[derive(Default)]
struct Totals {
    believed: i128,
    as_seen: i128,
    certain: i128,
    exposure: i128,
}

impl Totals {
    fn add(&mut self, position: &Position, seen: &SeenMark, is_good: bool) {
        // Without any price a position counts at its cost.
        let at = |mark: Option<Mark>| mark.map_or(0, |mark| unrealised(position, mark.price));
        let believed = at(seen.trusted);
        self.believed += believed;
        self.as_seen += at(seen.doubted.or(seen.trusted));
        if is_good {
            self.certain += believed;
        }
        let value = seen.trusted.and_then(|mark| mark.price.times(position.quantity).ok()).unwrap_or(position.cost);
        self.exposure += i128::from(value.0);
    }
}

/// What the shares held would earn at `price`; a value that does not fit counts as none.
fn unrealised(position: &Position, price: Price) -> i128 {
    let value = price.times(position.quantity).map_or(i128::from(position.cost.0), |value| i128::from(value.0));
    match position.direction {
        Direction::Long => value - i128::from(position.cost.0),
        Direction::Short => i128::from(position.cost.0) - value,
    }
}

/// What to believe of a position's price, and for how long it has been stale if it is.
fn look_at(
    position: &Position,
    mark: Option<&Mark>,
    before: Option<&SeenMark>,
    facts: &MonitorFacts,
    settings: &RiskSettings,
) -> (SeenMark, Option<Span>) {
    let reference = before.and_then(|seen| seen.trusted);
    let mut seen = SeenMark { symbol: position.symbol, trusted: reference, doubted: None, beyond_stop: false };
    let newer = mark.filter(|mark| mark.price.is_positive() && reference.is_none_or(|last| last.at < mark.at));
    if let Some(mark) = newer {
        let last = reference.map_or(position.entry_price, |last| last.price);
        let is_seen_again = before
            .and_then(|seen| seen.doubted)
            .is_some_and(|doubted| doubted.at < mark.at && is_near(doubted.price, mark.price, settings));
        if is_near(last, mark.price, settings) || is_seen_again {
            seen.trusted = Some(*mark);
        } else {
            seen.doubted = Some(*mark);
        }
    } else if mark.is_some() {
        // The same price again: what was doubted stays doubted until a newer one comes.
        seen.doubted = before.and_then(|seen| seen.doubted);
    }
    let last_at = seen.doubted.or(seen.trusted).map_or(position.opened_at, |mark| mark.at);
    let age = trading_time_since(last_at, facts.as_of, &facts.session);
    (seen, (age > settings.max_mark_age).then_some(age))
}

fn is_near(from: Price, to: Price, settings: &RiskSettings) -> bool {
    let moved = to.minus(from).and_then(|distance| distance.abs().ratio_of(from));
    matches!(moved, Ok(ratio) if ratio <= settings.absurd_move)
}

/// How long the market has traded since `since`; nothing while it does not trade.
fn trading_time_since(since: Timestamp, as_of: Timestamp, session: &Session) -> Span {
    match session.phase_at(as_of) {
        MarketPhase::Trading => span(as_of.since(since.max(session.open))),
        MarketPhase::PreMarket | MarketPhase::PostMarket | MarketPhase::Closed => Span::ZERO,
    }
}

fn is_beyond_stop(position: &Position, mark: Option<Mark>) -> bool {
    match (position.stop, mark) {
        (Some(stop), Some(mark)) => match position.direction {
            Direction::Long => mark.price < stop,
            Direction::Short => mark.price > stop,
        },
        (None, _) | (_, None) => false,
    }
}
