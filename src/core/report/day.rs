use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::figures::{max_drawdown, most_at_once, nearest_ratio, thinned, total};
use super::words;
use super::{DatedReview, DayCounts, DayFacts, DayHalt, DayLimits, Fault, SessionResult};
use crate::alert::{Alert, AlertEvent, AlertLevel};
use crate::calendar::{Session, SessionKind};
use crate::decision::{Candidate, EquityPoint};
use crate::market::Symbol;
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::portfolio::Position;
use crate::risk::{CheckName, HaltKind};
use crate::strategy::Direction;
use crate::time::{SessionDate, Timestamp};

/// The event of the alert that a day's report raises; its mail is the whole digest.
pub const DAY_ENDED: &str = AlertEvent::DayEnded.as_str();

/// A point a minute of a full session fits; a picture of a mail's width shows no more.
const CURVE_POINTS_MAX: usize = 400;

/// An ended session in figures: what the digest, `v_day` and `trade report day` show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayReport {
    /// The session.
    pub session: SessionDate,
    /// Full or early.
    pub kind: SessionKind,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it closed.
    pub closed_at: Timestamp,
    /// When the figures were gathered.
    pub as_of: Timestamp,
    /// Equity at the open.
    pub opening_equity: Money,
    /// Equity after the close.
    pub closing_equity: Money,
    /// Realised in the session, before fees.
    pub realised: Money,
    /// Not yet realised; zero when the day ended flat.
    pub unrealised: Money,
    /// Commission and fees.
    pub fees: Money,
    /// The day's result: realised and unrealised, less fees.
    pub pnl: Money,
    /// The day's result as a ratio of the equity at the open.
    pub pnl_ratio: Bps,
    /// What the report that this one takes the place of told as the day's result, where it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<Money>,
    /// The change in equity that trading does not explain (a deposit, a dividend, a difference
    /// between ledger and broker); zero on an ordinary day.
    pub unexplained: Money,
    /// The deepest fall of the equity from its highest point of the day; zero or more.
    pub max_drawdown: Money,
    /// The same as a ratio of that highest point.
    pub max_drawdown_ratio: Bps,
    /// The equity through the session; at most 400 points, with every extreme kept.
    pub curve: Vec<CurvePoint>,
    /// The trades that ended in the session, in the order of their exits.
    pub trades: Vec<DayTrade>,
    /// Trades that earned, of all trades; `None` without a trade.
    pub win_rate: Option<Bps>,
    /// What the winners earned, as a ratio of what the losers lost (100 % is one to one); `None`
    /// without a loser.
    pub profit_factor: Option<Bps>,
    /// What was still held at the end: nothing, on a day as it should be.
    pub open_positions: Vec<OpenPosition>,
    /// Signals that risk let through.
    pub taken: Vec<TakenSignal>,
    /// Signals that risk refused, each with the check that did and its numbers.
    pub refused: Vec<Refusal>,
    /// What the scan chose, best first.
    pub candidates: Vec<Candidate>,
    /// How far each limit was used.
    pub limits: Vec<LimitUse>,
    /// Latches that held.
    pub halts: Vec<DayHalt>,
    /// What went wrong; the same thing twice is one entry with its count.
    pub faults: Vec<Fault>,
    /// How much was done.
    pub counts: DayCounts,
    /// The next session; `None` where the calendar ends.
    pub next_session: Option<Session>,
}

/// The equity at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// When.
    pub at: Timestamp,
    /// How much.
    pub equity: Money,
}

/// A position that was opened and closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTrade {
    /// The symbol.
    pub symbol: Symbol,
    /// Which way it earned.
    pub direction: Direction,
    /// Who opened it; `None` if it was not a decision of ours.
    pub strategy: Option<String>,
    /// The most shares held.
    pub quantity: Quantity,
    /// The average price in.
    pub entry_price: Price,
    /// When its first fill traded.
    pub entered_at: Timestamp,
    /// The average price out.
    pub exit_price: Price,
    /// When its last fill traded.
    pub exited_at: Timestamp,
    /// Realised, less the fees of all its fills.
    pub pnl: Money,
    /// Fees of all its fills.
    pub fees: Money,
    /// The result in units of what was at risk between entry and first stop (100 % is 1 R); `None`
    /// where no stop is known.
    pub r_multiple: Option<Bps>,
    /// Why it was left, if that is known.
    pub exit_reason: Option<String>,
}

impl DayTrade {
    /// How long it was held.
    #[must_use]
    pub fn held(&self) -> Duration {
        self.exited_at.since(self.entered_at)
    }
}

/// A position that the session's end found open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPosition {
    /// The symbol.
    pub symbol: Symbol,
    /// Which way it earns.
    pub direction: Direction,
    /// Shares held.
    pub quantity: Quantity,
    /// The average price in.
    pub entry_price: Price,
    /// When its first fill traded.
    pub entered_at: Timestamp,
    /// The stop in force, if there is one.
    pub stop: Option<Price>,
}

/// A signal that risk let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenSignal {
    /// When.
    pub at: Timestamp,
    /// The symbol.
    pub symbol: Symbol,
    /// Which way.
    pub direction: Direction,
    /// Who proposed it.
    pub strategy: String,
    /// How sure it was.
    pub confidence: Bps,
    /// The shares it was allowed.
    pub quantity: Quantity,
}

/// A signal that risk refused, as often as the same check refused the same proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When first.
    pub at: Timestamp,
    /// The symbol.
    pub symbol: Symbol,
    /// Which way.
    pub direction: Direction,
    /// Who proposed it.
    pub strategy: String,
    /// The check that refused it.
    pub check: CheckName,
    /// What was measured, the first time.
    pub value: String,
    /// What it was held against.
    pub limit: String,
    /// How often.
    pub times: u32,
}

/// A limit of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// What the day was down at its worst.
    DayLoss,
    /// Positions at once.
    Positions,
    /// The value of the largest position.
    PositionValue,
    /// The value of all positions together.
    Exposure,
    /// Adjustments of the most adjusted position.
    Adjustments,
}

impl Limit {
    /// What a person calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::DayLoss => "day loss",
            Self::Positions => "positions at once",
            Self::PositionValue => "largest position",
            Self::Exposure => "exposure",
            Self::Adjustments => "stop adjustments",
        }
    }
}

/// A measured amount or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// An amount.
    Money(Money),
    /// A number of things.
    Count(u32),
}

/// How far a limit was used at the day's worst instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    /// Which.
    pub limit: Limit,
    /// What was used.
    pub used: Figure,
    /// What was allowed.
    pub allowed: Figure,
    /// Used, of allowed.
    pub share: Bps,
}

impl LimitUse {
    fn of_money(limit: Limit, used: Money, allowed: Money) -> Self {
        let share = nearest_ratio(used, allowed).unwrap_or(if used.is_positive() { Bps::ONE } else { Bps::ZERO });
        Self { limit, used: Figure::Money(used), allowed: Figure::Money(allowed), share }
    }

    fn of_count(limit: Limit, used: u32, allowed: u32) -> Self {
        let share = nearest_ratio(Money(used.into()), Money(allowed.into()));
        let share = share.unwrap_or(if used > 0 { Bps::ONE } else { Bps::ZERO });
        Self { limit, used: Figure::Count(used), allowed: Figure::Count(allowed), share }
    }

    /// Whether nothing is left of it. A position is sized to fill its cap, so its value has to pass it.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        match self.limit {
            Limit::PositionValue => self.share > Bps::ONE,
            Limit::DayLoss | Limit::Positions | Limit::Exposure | Limit::Adjustments => self.share >= Bps::ONE,
        }
    }
}

impl DayReport {
    /// Works out a session's figures from its rows.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] if a sum of amounts does not fit.
    pub fn build(facts: DayFacts) -> Result<Self, MoneyError> {
        let DayFacts {
            as_of,
            session,
            next_session,
            opening_equity,
            equity,
            booked,
            reported,
            positions,
            reviews,
            candidates,
            limits,
            halts,
            faults,
            counts,
        } = facts;
        let figures = closing(opening_equity, equity.last(), booked, &positions)?;
        let Closing { realised, unrealised, fees, equity: closing_equity } = figures;
        let pnl = realised.plus(unrealised)?.minus(fees)?;
        let (max_drawdown, max_drawdown_ratio) =
            max_drawdown(std::iter::once(opening_equity).chain(equity.iter().map(|point| point.equity)))?;

        let mut trades =
            positions.iter().filter_map(|position| trade(position).transpose()).collect::<Result<Vec<_>, _>>()?;
        trades.sort_by_key(|trade| (trade.exited_at, trade.symbol));
        let wins = trades.iter().filter(|trade| trade.pnl.is_positive());
        let won = total(wins.clone().map(|trade| trade.pnl))?;
        let lost = total(trades.iter().filter(|trade| trade.pnl.is_negative()).map(|trade| trade.pnl))?;

        Ok(Self {
            session: session.date,
            kind: session.kind,
            opened_at: session.open,
            closed_at: session.close,
            as_of,
            opening_equity,
            closing_equity,
            realised,
            unrealised,
            fees,
            pnl,
            pnl_ratio: nearest_ratio(pnl, opening_equity).unwrap_or_default(),
            corrects: reported.filter(|told| *told != pnl),
            unexplained: closing_equity.minus(opening_equity)?.minus(pnl)?,
            max_drawdown,
            max_drawdown_ratio,
            win_rate: nearest_ratio(count(wins.count()), count(trades.len())),
            profit_factor: nearest_ratio(won, lost.negated()),
            open_positions: positions.iter().filter_map(open_position).collect(),
            taken: reviews.iter().filter_map(taken).collect(),
            refused: refused(&reviews),
            limits: limit_uses(&limits, &equity, &positions)?,
            curve: thinned(
                equity.iter().map(|point| CurvePoint { at: point.at, equity: point.equity }).collect(),
                CURVE_POINTS_MAX,
            ),
            trades,
            candidates,
            halts,
            faults: merged(faults),
            counts,
            next_session,
        })
    }

    /// Whether nothing was held at the end.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.open_positions.is_empty()
    }

    /// What a person is told at the end of the day: the event is [`DAY_ENDED`].
    ///
    /// A stop that nobody has lifted and a position left open need a person, a fault a look.
    #[must_use]
    pub fn alert(&self) -> Alert {
        let stopped = self.halts.iter().any(|latch| match latch.halt.kind {
            HaltKind::EmergencyStop | HaltKind::MaxDrawdown | HaltKind::Conflict => latch.cleared_at.is_none(),
            HaltKind::Manual | HaltKind::StaleMarks | HaltKind::ClockStep | HaltKind::SafeMode => false,
        });
        let level = if stopped || !self.is_flat() {
            AlertLevel::Critical
        } else if self.faults.is_empty() {
            AlertLevel::Info
        } else {
            AlertLevel::Warning
        };
        Alert::new(AlertEvent::DayEnded, words::subject(self)).at_level(level).with_body(words::verdict(self))
    }

    /// Signals refused, repetitions counted.
    #[must_use]
    pub fn refusals(&self) -> u32 {
        self.refused.iter().fold(0, |sum, refusal| sum.saturating_add(refusal.times))
    }
}

/// The figures that a session ended with.
struct Closing {
    realised: Money,
    unrealised: Money,
    fees: Money,
    equity: Money,
}

/// Those of the session's last point, unless an execution became known after it: then what is booked counts.
fn closing(
    opening_equity: Money,
    last: Option<&EquityPoint>,
    booked: Option<SessionResult>,
    positions: &[Position],
) -> Result<Closing, MoneyError> {
    let seen = last.map(|point| SessionResult { realised: point.realised, fees: point.fees }).unwrap_or_default();
    let SessionResult { realised, fees } = booked.unwrap_or(seen);
    let is_open = positions.iter().any(|position| position.closed_at.is_none());
    let unrealised = match last {
        Some(point) if is_open || seen == (SessionResult { realised, fees }) => point.unrealised,
        _ => Money::ZERO,
    };
    let equity = match last {
        Some(point) if seen == (SessionResult { realised, fees }) => point.equity,
        _ => opening_equity.plus(realised)?.plus(unrealised)?.minus(fees)?,
    };
    Ok(Closing { realised, unrealised, fees, equity })
}

/// A number of things as if it were an amount, for a ratio of two numbers.
fn count(things: usize) -> Money {
    Money(i64::try_from(things).unwrap_or(i64::MAX))
}

fn trade(position: &Position) -> Result<Option<DayTrade>, MoneyError> {
    let (Some(exited_at), Some(exit_price)) = (position.closed_at, position.exit_price) else {
        return Ok(None);
    };
    let pnl = position.realised.minus(position.fees)?;
    let at_risk = match position.initial_stop {
        Some(stop) => Some(position.entry_price.minus(stop)?.abs().times(position.quantity_max)?),
        None => None,
    };
    Ok(Some(DayTrade {
        symbol: position.symbol,
        direction: position.direction,
        strategy: position.strategy.clone(),
        quantity: position.quantity_max,
        entry_price: position.entry_price,
        entered_at: position.opened_at,
        exit_price,
        exited_at,
        pnl,
        fees: position.fees,
        r_multiple: at_risk.and_then(|at_risk| nearest_ratio(pnl, at_risk)),
        exit_reason: position.exit_reason.clone(),
    }))
}

fn open_position(position: &Position) -> Option<OpenPosition> {
    position.closed_at.is_none().then_some(OpenPosition {
        symbol: position.symbol,
        direction: position.direction,
        quantity: position.quantity,
        entry_price: position.entry_price,
        entered_at: position.opened_at,
        stop: position.stop,
    })
}

fn taken(dated: &DatedReview) -> Option<TakenSignal> {
    let signal = &dated.review.signal;
    let quantity = dated.review.verdict.quantity?;
    Some(TakenSignal {
        at: dated.at,
        symbol: signal.symbol,
        direction: signal.direction,
        strategy: signal.strategy.clone(),
        confidence: signal.confidence,
        quantity,
    })
}

fn refused(reviews: &[DatedReview]) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = Vec::new();
    for DatedReview { at, review } in reviews {
        let Some(name) = review.verdict.refused_by else { continue };
        let signal = &review.signal;
        let same = refusals.iter_mut().find(|refusal| {
            refusal.symbol == signal.symbol
                && refusal.direction == signal.direction
                && refusal.strategy == signal.strategy
                && refusal.check == name
        });
        if let Some(refusal) = same {
            refusal.times = refusal.times.saturating_add(1);
            continue;
        }
        let check = review.verdict.checks.iter().find(|check| check.name == name && !check.passed);
        refusals.push(Refusal {
            at: *at,
            symbol: signal.symbol,
            direction: signal.direction,
            strategy: signal.strategy.clone(),
            check: name,
            value: check.map(|check| check.value.clone()).unwrap_or_default(),
            limit: check.map(|check| check.limit.clone()).unwrap_or_default(),
            times: 1,
        });
    }
    refusals
}

fn limit_uses(limits: &DayLimits, equity: &[EquityPoint], positions: &[Position]) -> Result<Vec<LimitUse>, MoneyError> {
    let worst = equity.iter().map(EquityPoint::day_pnl).min().unwrap_or_default().min(Money::ZERO).negated();
    let exposure = equity.iter().map(|point| point.exposure).max().unwrap_or_default();
    let mut largest = Money::ZERO;
    for position in positions {
        largest = largest.max(position.entry_price.times(position.quantity_max)?);
    }
    let adjustments = positions.iter().map(|position| position.adjustments).max().unwrap_or(0);
    let mut uses = vec![
        LimitUse::of_money(Limit::DayLoss, worst, limits.day_loss),
        LimitUse::of_count(Limit::Positions, most_at_once(positions), limits.positions),
        LimitUse::of_money(Limit::PositionValue, largest, limits.position_value),
    ];
    uses.extend(limits.exposure.map(|allowed| LimitUse::of_money(Limit::Exposure, exposure, allowed)));
    uses.push(LimitUse::of_count(Limit::Adjustments, adjustments, limits.adjustments));
    Ok(uses)
}

/// Counts the same fault of the same thing once, at its first time.
pub(super) fn merged(faults: Vec<Fault>) -> Vec<Fault> {
    let mut kept: Vec<Fault> = Vec::new();
    for fault in faults {
        let same = kept
            .iter_mut()
            .find(|other| other.kind == fault.kind && other.subject == fault.subject && other.detail == fault.detail);
        match same {
            Some(other) => other.times = other.times.saturating_add(fault.times),
            None => kept.push(fault),
        }
    }
    kept
}

#[cfg(test)]
mod tests;
