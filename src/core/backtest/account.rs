use std::collections::BTreeMap;
use std::time::Duration;

use crate::calendar::Session;
use crate::decision::EquityPoint;
use crate::exchange::Changes;
use crate::market::{MINUTE, Symbol};
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::portfolio::Position;
use crate::risk::{CheckName, Commitment, Halt, HaltKind, PastTrade, Pause, RiskSettings, TradeRecord, pauses};
use crate::strategy::{Direction, Reason, Wording};
use crate::time::Timestamp;

use super::desk::Desk;
use super::tape::{Complete, Minutes, mark_of};
use super::{Act, ActKind, Outcome, Terms, Trade};

/// The least step of time.
const MILLISECOND: Duration = Duration::from_millis(1);

/// What all symbols share: cash, limits, results.
pub(super) struct Account<'m> {
    pub(super) cash: Money,
    opening_equity: Money,
    peak_equity: Money,
    realised: Money,
    fees: Money,
    /// Latches, as risk knows them.
    halts: Vec<Halt>,
    /// The session's trades since the last safe mode began, and when they were last counted.
    ended: Vec<Ended>,
    ended_looked_at: Timestamp,
    /// Positions that were opened.
    openings: u64,
    /// What the desks hold, in no order: in one piece, since all of it is read whenever the account is valued.
    open: Vec<Held<'m>>,
    /// Where in `open` stands what a desk holds, by the desk's place.
    open_at: Vec<Option<usize>>,
    /// Fills that were booked.
    fills: u64,
    /// How many of them are short.
    shorts: usize,
    /// What the protections look at, and when they did last.
    record: TradeRecord,
    pauses_looked_at: Option<Timestamp>,
    outcome: Outcome,
    /// What an exchange has just done; kept for its memory.
    pub(super) changes: Changes,
    /// What was done, where somebody asks.
    pub(super) journal: Option<Vec<Act>>,
}

/// A trade that has ended. Of those that ended at one instant, the one that was opened first has.
#[derive(Debug, Clone, Copy)]
struct Ended {
    closed_at: Timestamp,
    opening: u64,
    has_lost: bool,
}

/// What a desk holds, and what it takes to value it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'m> {
    /// The desk's.
    place: usize,
    symbol: Symbol,
    direction: Direction,
    quantity: Quantity,
    /// The same, if it is whole shares, as nearly all are: they need no division.
    shares: Option<i64>,
    /// Its worth while no price is known.
    entry_price: Price,
    minutes: Minutes<'m>,
}

impl<'m> Held<'m> {
    pub(super) const fn of(place: usize, position: &Position, minutes: Minutes<'m>) -> Self {
        let Position { symbol, direction, quantity, entry_price, .. } = *position;
        let shares = if quantity.0 % Quantity::UNIT == 0 { Some(quantity.0 / Quantity::UNIT) } else { None };
        Self { place, symbol, direction, quantity, shares, entry_price, minutes }
    }

    /// What it is worth at a price of a share.
    fn worth(&self, price: Price) -> Result<Money, MoneyError> {
        match self.shares {
            Some(shares) => Money(price.0).scaled(shares),
            None => price.times(self.quantity),
        }
    }
}

/// What is held, at prices of one instant.
#[derive(Debug, Clone, Default)]
pub(super) struct Valuation {
    long: Money,
    short: Money,
    pub(super) equity: Money,
    pub(super) positions: Vec<Commitment>,
}

impl Valuation {
    /// Counts what a desk holds, at the close that is known.
    #[inline]
    fn count(
        &mut self,
        held: &Held<'_>,
        close: Option<Price>,
        at: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        let price = match close {
            Some(close) => mark_of(close, at, terms)?,
            None => held.entry_price,
        };
        let value = held.worth(price)?;
        let side = match held.direction {
            Direction::Long => &mut self.long,
            Direction::Short => &mut self.short,
        };
        *side = side.plus(value)?;
        self.positions.push(Commitment { symbol: held.symbol, value });
        Ok(())
    }

    /// The value of all positions, longs and shorts added; saturates.
    pub(super) fn exposure(&self) -> Money {
        Money(self.long.0.saturating_add(self.short.0))
    }
}

/// The account at one instant, for the orders that are sent then.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    at: Timestamp,
    /// The fills that it knows of.
    fills: u64,
    pub(super) valuation: Valuation,
    /// What orders that rest to open positions have set aside.
    pub(super) reserved: Money,
}

impl<'m> Account<'m> {
    pub(super) fn new(cash: Money) -> Self {
        let outcome = Outcome {
            bars: 0,
            trades: Vec::new(),
            left_open: 0,
            left_unmet: 0,
            signals: 0,
            refused_by: BTreeMap::new(),
            expired: 0,
            rejected: 0,
            equity: Vec::new(),
            halts: Vec::new(),
        };
        Self {
            cash,
            opening_equity: cash,
            peak_equity: cash,
            realised: Money::ZERO,
            fees: Money::ZERO,
            halts: Vec::new(),
            ended: Vec::new(),
            ended_looked_at: Timestamp(0),
            openings: 0,
            open: Vec::new(),
            open_at: Vec::new(),
            fills: 0,
            shorts: 0,
            record: TradeRecord::default(),
            pauses_looked_at: None,
            outcome,
            changes: Changes::default(),
            journal: None,
        }
    }

    /// One that keeps what was done.
    pub(super) fn with_journal(cash: Money) -> Self {
        Self { journal: Some(Vec::new()), ..Self::new(cash) }
    }

    /// Whether grounds are put into words: they are a part of what was done.
    pub(super) const fn wording(&self) -> Wording {
        if self.journal.is_some() { Wording::Told } else { Wording::Untold }
    }

    /// Takes down what was done, where somebody asks.
    pub(super) fn note(&mut self, at: Timestamp, symbol: Symbol, kind: impl FnOnce() -> ActKind) {
        if let Some(journal) = &mut self.journal {
            journal.push(Act { at, symbol, kind: kind() });
        }
    }

    /// Begins a session at this equity. A person has resumed from what stopped the one before, but for a drawdown.
    pub(super) fn begin(&mut self, open: Timestamp, equity: Money, risk: &RiskSettings) {
        self.opening_equity = equity;
        self.peak_equity = self.peak_equity.max(equity);
        (self.realised, self.fees, self.ended_looked_at) = (Money::ZERO, Money::ZERO, open);
        self.ended.clear();
        self.halts.retain(|halt| halt.kind == HaltKind::MaxDrawdown);
        self.pause_entries(open, risk);
    }

    pub(super) fn end(&mut self, session: &Session, equity: Money, risk: &RiskSettings) {
        self.catch_up_on_pauses(session.close, risk);
        self.catch_up_on_losses(session.close, risk);
        self.outcome.halts.sort_by_key(|halt| (halt.since, halt.kind));
        self.outcome.equity.push((session.date, equity));
    }

    pub(super) fn finish(mut self, bars: usize) -> Outcome {
        self.outcome.trades.sort_by_cached_key(|trade| (trade.entry_at, trade.symbol));
        Outcome { bars, left_open: self.open.len(), ..self.outcome }
    }

    /// The account at the prices of `at`.
    pub(super) fn value(&self, desks: &[Desk<'m>], at: Timestamp, terms: &Terms<'_>) -> Result<Valuation, MoneyError> {
        let mut valuation = Valuation::default();
        self.value_into(&mut valuation, desks, at, terms)?;
        Ok(valuation)
    }

    fn value_into(
        &self,
        valuation: &mut Valuation,
        desks: &[Desk<'m>],
        at: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        valuation.positions.clear();
        (valuation.long, valuation.short) = (Money::ZERO, Money::ZERO);
        valuation.positions.reserve(self.open.len());
        let mut complete = Complete::at(at);
        for held in &self.open {
            let close = held.minutes.close(&mut complete).or_else(|| desks.get(held.place)?.tape.close_at(at));
            valuation.count(held, close, at, terms)?;
        }
        valuation.equity = self.cash.plus(valuation.long)?.minus(valuation.short)?;
        Ok(())
    }

    /// Values the account at the prices of `at`, with so much set aside for orders that rest.
    pub(super) fn stand(
        &self,
        standing: &mut Standing,
        desks: &[Desk<'m>],
        reserved: Money,
        at: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        (standing.at, standing.fills, standing.reserved) = (at, self.fills, reserved);
        self.value_into(&mut standing.valuation, desks, at, terms)
    }

    /// Whether it still stands so.
    pub(super) fn stands(&self, standing: &Standing, at: Timestamp) -> bool {
        (standing.at, standing.fills) == (at, self.fills)
    }

    /// Counts what a desk has just bought, or sold short.
    pub(super) fn add(&self, standing: &mut Standing, desk: &Desk<'m>, terms: &Terms<'_>) -> Result<(), MoneyError> {
        let Standing { at, fills, valuation, .. } = standing;
        if let Some(position) = &desk.position {
            valuation.count(&desk.held(position), desk.tape.close_at(*at), *at, terms)?;
        }
        valuation.equity = self.cash.plus(valuation.long)?.minus(valuation.short)?;
        *fills = self.fills;
        Ok(())
    }

    /// What new positions may cost; as the exchange reckons.
    pub(super) fn buying_power(&self, standing: &Standing, terms: &Terms<'_>) -> Result<Money, MoneyError> {
        let Standing { valuation, reserved, .. } = standing;
        let granted = valuation.equity.scaled(i64::from(terms.exchange.margin_multiplier))?;
        Ok(granted.minus(valuation.long)?.minus(valuation.short)?.minus(*reserved)?.max(Money::ZERO))
    }

    pub(super) fn equity_point(&self, session: &Session, at: Timestamp, valuation: &Valuation) -> EquityPoint {
        let day = valuation.equity.0.saturating_sub(self.opening_equity.0);
        EquityPoint {
            session: session.date,
            at,
            equity: valuation.equity,
            opening_equity: self.opening_equity,
            exposure: valuation.exposure(),
            realised: self.realised,
            unrealised: Money(day.saturating_sub(self.realised.0).saturating_add(self.fees.0)),
            fees: self.fees,
        }
    }

    /// The latches that hold at `now`.
    pub(super) fn halts_at(&mut self, now: Timestamp, risk: &RiskSettings) -> Vec<Halt> {
        self.catch_up_on_losses(now, risk);
        self.halts.iter().filter(|halt| halt.since <= now && halt.holds_at(now)).cloned().collect()
    }

    /// The pauses of entries that hold at `now`.
    pub(super) fn pauses_at(&mut self, now: Timestamp, risk: &RiskSettings) -> Vec<Pause> {
        self.catch_up_on_pauses(now, risk);
        self.record.pauses.iter().filter(|pause| now < pause.until).cloned().collect()
    }

    /// The results of the latest trades, at most `count`.
    pub(super) fn latest_results(&self, count: u32) -> Vec<Money> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.outcome.trades.iter().rev().take(count).map(|trade| trade.pnl).collect()
    }

    /// Lets entries pause where the trades before `now` say so.
    fn pause_entries(&mut self, now: Timestamp, risk: &RiskSettings) {
        let looks_back = risk.protections.looks_back();
        if looks_back.is_zero() {
            return;
        }
        let from = now.before(looks_back.as_duration());
        self.record.trades.retain(|past| past.closed_at >= from);
        self.record.pauses.retain(|pause| pause.since >= from);
        self.record.trades.sort_by_key(|past| past.closed_at);
        let unseen = self.record.trades.split_off(self.record.trades.partition_point(|past| past.closed_at < now));
        let begun = pauses(&self.record, self.opening_equity, now, &risk.protections);
        self.record.pauses.extend(begun);
        self.record.trades.extend(unseen);
        self.pauses_looked_at = Some(now);
    }

    /// Looks as the live monitor would have done in each minute up to `now`.
    fn catch_up_on_pauses(&mut self, now: Timestamp, risk: &RiskSettings) {
        while let Some(at) = self.pauses_looked_at.and_then(|last| self.next_pause_look(last, risk)) {
            if at > now {
                return;
            }
            self.pause_entries(at, risk);
        }
    }

    /// The next minute at which what is known could make entries pause: a trade is seen for the first time, a pause is over,
    /// or a trade is so long ago that it does not count any more.
    fn next_pause_look(&self, last: Timestamp, risk: &RiskSettings) -> Option<Timestamp> {
        let forgotten = risk.protections.low_profit.within.as_duration();
        let ends = self.record.pauses.iter().map(|pause| pause.until);
        // What fills at the very minute of a look is seen by the next.
        let closes = self.record.trades.iter().map(|trade| trade.closed_at.after(MILLISECOND));
        // A trade counts up to the very instant.
        let forgets = self.record.trades.iter().map(|trade| trade.closed_at.after(forgotten).after(MILLISECOND));
        let minutes = ends.chain(closes).chain(forgets).map(|at| at.ceil_to(MINUTE));
        minutes.filter(|at| *at > last).min()
    }

    /// Whether what is held could reach a limit, were it worth nothing: then it is valued every minute.
    pub(super) fn could_reach_a_limit(&self, risk: &RiskSettings) -> bool {
        // A short position has no price at which it is worth nothing.
        let is_near = || self.is_day_lost(self.cash, risk) || self.is_drawn_down(self.cash, risk);
        !self.open.is_empty() && (self.shorts > 0 || is_near())
    }

    /// Whether the drawdown has reached its limit; [`Self::drawdown`] without its division.
    fn is_drawn_down(&self, equity: Money, risk: &RiskSettings) -> bool {
        let fall = i128::from(self.peak_equity.0) - i128::from(equity.0);
        fall.max(0) * i128::from(Bps::ONE.0) >= i128::from(risk.max_drawdown.0) * i128::from(self.peak_equity.0)
    }

    fn is_day_lost(&self, equity: Money, risk: &RiskSettings) -> bool {
        equity.0.saturating_sub(self.opening_equity.0) <= risk.max_daily_loss.negated().0
    }

    fn drawdown(&self, equity: Money) -> Bps {
        let fall = Money(self.peak_equity.0.saturating_sub(equity.0).max(0));
        fall.ratio_of(self.peak_equity).unwrap_or_default()
    }

    /// Holds the equity against the limits; whether everything is to be closed.
    pub(super) fn watch(&mut self, equity: Money, now: Timestamp, risk: &RiskSettings) -> bool {
        self.peak_equity = self.peak_equity.max(equity);
        if self.is_drawn_down(equity, risk) && !self.holds(HaltKind::MaxDrawdown, now) {
            let drawdown = self.drawdown(equity);
            let reason = format!("equity {equity} is {drawdown} below its peak of {}", self.peak_equity);
            self.halt(HaltKind::MaxDrawdown, reason, now, None);
        }
        if self.holds(HaltKind::EmergencyStop, now) {
            return true;
        }
        let is_lost = self.is_day_lost(equity, risk);
        if is_lost {
            let reason = format!("equity {equity} is {} or more below the open", risk.max_daily_loss);
            self.halt(HaltKind::EmergencyStop, reason, now, None);
        }
        is_lost
    }

    fn holds(&self, kind: HaltKind, now: Timestamp) -> bool {
        self.halts.iter().any(|halt| halt.kind == kind && halt.holds_at(now))
    }

    fn halt(&mut self, kind: HaltKind, reason: String, since: Timestamp, until: Option<Timestamp>) {
        let numbers = vec![Reason::new("opening equity", self.opening_equity)];
        let halt = Halt { kind, reason, numbers, since, until };
        self.halts.push(halt.clone());
        self.outcome.halts.push(halt);
    }

    /// Counts what a fill realised and cost.
    pub(super) fn count(&mut self, cash: Money, realised: Money, fee: Money) -> Result<(), MoneyError> {
        self.cash = self.cash.plus(cash)?;
        self.realised = self.realised.plus(realised)?;
        self.fees = self.fees.plus(fee)?;
        self.fills += 1;
        Ok(())
    }

    /// The places of the desks that hold a position.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.open.iter().map(|held| held.place)
    }

    /// Takes note of what the desk at `place` holds now.
    pub(super) fn hold(&mut self, place: usize, held: Option<Held<'m>>) {
        let is_short = |held: &Held<'_>| held.direction == Direction::Short;
        self.shorts += usize::from(held.as_ref().is_some_and(is_short));
        if self.open_at.len() <= place {
            self.open_at.resize(place + 1, None);
        }
        let before = match (self.open_at[place], held) {
            (Some(there), Some(held)) => Some(std::mem::replace(&mut self.open[there], held)),
            (Some(there), None) => {
                let before = self.open.swap_remove(there);
                if let Some(moved) = self.open.get(there) {
                    self.open_at[moved.place] = Some(there);
                }
                self.open_at[place] = None;
                Some(before)
            }
            (None, Some(held)) => {
                self.open_at[place] = Some(self.open.len());
                self.open.push(held);
                None
            }
            (None, None) => None,
        };
        self.shorts -= usize::from(before.as_ref().is_some_and(is_short));
    }

    /// Takes a closed position, the `opening`-th that was opened, into the results, with the starts of the bars in which
    /// it began and ended.
    pub(super) fn closed(
        &mut self,
        position: Position,
        opening: u64,
        bars: (Timestamp, Timestamp),
        now: Timestamp,
        risk: &RiskSettings,
    ) {
        if !risk.protections.looks_back().is_zero() {
            self.record.trades.extend(PastTrade::of(&position));
        }
        let closed_at = position.closed_at.unwrap_or(now);
        let trade = trade_of(position, bars);
        if risk.safe_mode.after_losses > 0 {
            self.ended.push(Ended { closed_at, opening, has_lost: trade.pnl.is_negative() });
        }
        self.outcome.trades.push(trade);
    }

    /// Counts a position that was opened; the answer is its number.
    pub(super) fn opened(&mut self) -> u64 {
        self.openings += 1;
        self.openings
    }

    /// Begins safe mode after losses in a row, as the live monitor would have done in each minute up to `now`.
    fn catch_up_on_losses(&mut self, now: Timestamp, risk: &RiskSettings) {
        while let Some(at) = self.next_loss_look().filter(|at| *at <= now) {
            self.ended_looked_at = at;
            if self.holds(HaltKind::SafeMode, at) {
                continue;
            }
            self.ended.sort_by_key(|ended| (ended.closed_at, ended.opening));
            let seen = self.ended.partition_point(|ended| ended.closed_at < at);
            let latest = self.ended.iter().take(seen).rev();
            let losses = latest.take_while(|ended| ended.has_lost).count();
            if u32::try_from(losses).is_ok_and(|losses| losses >= risk.safe_mode.after_losses) {
                self.ended.retain(|ended| at < ended.closed_at);
                let until = at.after(risk.safe_mode.cool_down.as_duration());
                self.halt(HaltKind::SafeMode, format!("{losses} losing trades in a row"), at, Some(until));
            }
        }
    }

    /// The next minute at which losses in a row could begin safe mode: a trade is seen for the first time, or safe mode is
    /// over.
    fn next_loss_look(&self) -> Option<Timestamp> {
        let closes = self.ended.iter().map(|ended| ended.closed_at.after(MILLISECOND));
        let ends = self.halts.iter().filter(|halt| halt.kind == HaltKind::SafeMode).filter_map(|halt| halt.until);
        closes.chain(ends).map(|at| at.ceil_to(MINUTE)).filter(|at| *at > self.ended_looked_at).min()
    }

    pub(super) fn reviewed(&mut self, refused_by: Option<CheckName>) {
        self.outcome.signals += 1;
        if let Some(check) = refused_by {
            *self.outcome.refused_by.entry(check).or_default() += 1;
        }
    }

    pub(super) fn rejected(&mut self) {
        self.outcome.rejected += 1;
    }

    pub(super) fn expired(&mut self) {
        self.outcome.expired += 1;
    }

    pub(super) fn left_unmet(&mut self) {
        self.outcome.left_unmet += 1;
    }
}

/// A closed position as a trade, with the starts of the bars in which it began and ended.
fn trade_of(position: Position, (entry_at, exit_at): (Timestamp, Timestamp)) -> Trade {
    Trade {
        symbol: position.symbol,
        direction: position.direction,
        entry_at,
        entry_price: position.entry_price,
        exit_at,
        exit_price: position.exit_price.unwrap_or(position.entry_price),
        quantity: position.entered,
        pnl: position.net(),
        fees: position.fees,
        strategy: position.strategy.unwrap_or_default(),
        exit_reason: position.exit_reason.unwrap_or_default(),
    }
}
