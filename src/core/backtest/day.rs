use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::calendar::Session;
use crate::decision::Mark;
use crate::market::{Bar, MINUTE, Symbol};
use crate::money::{Money, MoneyError, Price};
use crate::order::{Action, OrderClass, OrderTicket, Origin};
use crate::portfolio::{EntryPlan, PositionState};
use crate::risk::{Commitment, Entries, RiskFacts, SymbolFacts, approve_entry, enter};
use crate::strategy::Signal;
use crate::time::Timestamp;

use super::account::{Account, Standing, Valuation};
use super::desk::{Desk, Errand, MARKET_CLOSE, OnItsWay, Watch};
use super::look::Looks;
use super::{ActKind, BacktestError, Pace, Terms};

/// One session of all symbols.
pub(super) struct Day<'r, 'm> {
    session: Session,
    /// When positions are left, and after which none is opened.
    flatten_at: Timestamp,
    terms: &'r Terms<'r>,
    looks: Looks<'r>,
    pace: Pace,
    account: &'r mut Account<'m>,
    desks: &'r mut [Desk<'m>],
    /// Each desk's next instant. One that its desk does not know any more is void.
    agenda: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The desks whose entries may be on their way, or rest at the exchange.
    entering: Vec<usize>,
    /// How the account stood when it was last looked at to send an entry.
    standing: Standing,
    /// The symbols that signals of this instant speak of, and their desks; in order.
    proposing: Vec<(Symbol, usize)>,
    /// The bars that a view shows; kept for its memory.
    shown: Vec<Bar>,
}

impl<'r, 'm> Day<'r, 'm> {
    pub(super) fn new(
        session: Session,
        terms: &'r Terms<'r>,
        pace: Pace,
        account: &'r mut Account<'m>,
        desks: &'r mut [Desk<'m>],
        bars_end: Timestamp,
    ) -> Self {
        let flatten_at = session.close.before(terms.backtest.flatten.as_duration());
        let known_until = bars_end.min(session.close);
        let looks = Looks { session, flatten_at, known_until, terms, wording: account.wording() };
        let (agenda, standing) = (BinaryHeap::new(), Standing::default());
        let (entering, proposing, shown) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, flatten_at, terms, looks, pace, account, desks, agenda, entering, standing, proposing, shown }
    }

    /// Lives the session from its open to its close, or to the end of all bars in the middle of it.
    pub(super) fn live(mut self) -> Result<(), BacktestError> {
        let open = self.session.open;
        let equity = self.valuation(open)?.equity;
        self.account.begin(open, equity, self.terms.risk);
        // All of them, before anything is done: none waits for the memory of another's bars.
        for desk in self.desks.iter_mut() {
            let symbol = desk.symbol;
            let begun = desk.begin(&self.session, self.account);
            begun.map_err(|source| BacktestError { symbol, at: open, source })?;
        }
        for place in 0..self.desks.len() {
            self.run_errand(place, open).map_err(|source| self.error(place, open, source))?;
            self.plan_next(place, open)?;
        }
        let (mut now, mut due) = (open, Vec::new());
        while let Some(next) = self.next_instant(now) {
            now = next;
            self.take_due(now, &mut due);
            self.live_instant(now, &mut due)?;
        }
        if self.looks.known_until > self.flatten_at {
            self.leave_the_rest()?;
        }
        let equity = self.valuation(self.session.close)?.equity;
        self.account.end(&self.session, equity, self.terms.risk);
        for desk in self.desks.iter_mut() {
            let symbol = desk.symbol;
            let failed = |source| BacktestError { symbol, at: self.session.close, source };
            desk.end(&self.session).map_err(failed)?;
        }
        Ok(())
    }

    /// Leaves at its last price what no bar came for any more.
    fn leave_the_rest(&mut self) -> Result<(), BacktestError> {
        let now = self.session.close;
        for place in self.account.places().collect::<Vec<_>>() {
            let Some(desk) = self.desks.get_mut(place) else { continue };
            let symbol = desk.symbol;
            if desk.position.as_ref().is_some_and(|position| position.state != PositionState::Closing) {
                desk.begin_exit(MARKET_CLOSE);
                self.account.note(now, symbol, || ActKind::Left(MARKET_CLOSE.to_owned()));
            }
            let left = desk.leave_at_last_price(now, self.account, self.terms);
            left.map_err(|source| BacktestError { symbol, at: now, source })?;
        }
        Ok(())
    }

    fn error(&self, place: usize, at: Timestamp, source: MoneyError) -> BacktestError {
        // The place is that of a desk: all of them come from the list of desks.
        let symbol = self.desks.get(place).map(|desk| desk.symbol).unwrap_or_else(|| unreachable!("a desk's place"));
        BacktestError { symbol, at, source }
    }

    fn valuation(&self, at: Timestamp) -> Result<Valuation, BacktestError> {
        let valuation = self.account.value(self.desks, at, self.terms);
        valuation.map_err(|source| self.error(self.account.places().next().unwrap_or(0), at, source))
    }

    /// The next instant at which something may happen: a desk's, or the next minute while a limit is near.
    fn next_instant(&self, now: Timestamp) -> Option<Timestamp> {
        let minute = Some(now.after(MINUTE)).filter(|minute| *minute <= self.session.close);
        let is_watched = self.pace == Pace::EveryBar || self.account.could_reach_a_limit(self.terms.risk);
        let planned = self.agenda.peek().map(|Reverse((at, _))| *at);
        minute.filter(|_| is_watched).or(planned)
    }

    /// Takes the desks whose turn it is from the agenda.
    fn take_due(&mut self, now: Timestamp, due: &mut Vec<usize>) {
        due.clear();
        while let Some(Reverse((at, place))) = self.agenda.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.agenda.pop();
            // One whose instant was planned again, and came out the same, stands there twice.
            let is_there = due.last() == Some(&place);
            if !is_there && self.desks.get(place).is_some_and(|desk| desk.wake_at == Some(at)) {
                due.push(place);
            }
        }
    }

    fn live_instant(&mut self, now: Timestamp, due: &mut Vec<usize>) -> Result<(), BacktestError> {
        self.meet_bars(now, due)?;
        if self.account.could_reach_a_limit(self.terms.risk) {
            let equity = self.valuation(now)?.equity;
            if self.account.watch(equity, now, self.terms.risk) {
                self.close_everything(now, due)?;
            }
        }
        for place in due.iter().copied() {
            self.manage(place, now).map_err(|source| self.error(place, now, source))?;
        }
        let signals = self.look(now, due)?;
        if !signals.is_empty() {
            self.trade(signals, now)?;
        }
        for place in due.iter().copied() {
            self.plan_next(place, now)?;
        }
        Ok(())
    }

    /// Lets the orders of the desks meet what has traded by now.
    fn meet_bars(&mut self, now: Timestamp, due: &[usize]) -> Result<(), BacktestError> {
        for desk in due.iter().copied() {
            let Some(desk) = self.desks.get_mut(desk) else { continue };
            let symbol = desk.symbol;
            let failed = |source| BacktestError { symbol, at: now, source };
            desk.meet(now, self.account, self.terms).map_err(failed)?;
        }
        Ok(())
    }

    /// The emergency stop: every position is left, every order canceled.
    fn close_everything(&mut self, now: Timestamp, due: &mut Vec<usize>) -> Result<(), BacktestError> {
        let concerned = self.account.places().chain(self.entering.iter().copied());
        let mut others: Vec<usize> = concerned.filter(|place| !due.contains(place)).collect();
        others.sort_unstable();
        others.dedup();
        self.meet_bars(now, &others)?;
        due.extend(others);
        due.sort_unstable();
        for place in due.iter().copied() {
            let Some(desk) = self.desks.get_mut(place) else { continue };
            match &desk.position {
                Some(position) if position.state == PositionState::Closing => {}
                Some(_) => {
                    desk.begin_exit("emergency stop");
                    self.account.note(now, desk.symbol, || ActKind::Left("emergency stop".to_owned()));
                    self.send(place, Errand::Exit, now).map_err(|source| self.error(place, now, source))?;
                }
                None => desk.cancel_orders(now),
            }
        }
        Ok(())
    }

    /// Does to a desk's orders and position what the time and the last close ask for.
    fn manage(&mut self, place: usize, now: Timestamp) -> Result<(), MoneyError> {
        self.run_errand(place, now)?;
        let Some(desk) = self.desks.get_mut(place) else { return Ok(()) };
        // A minute without a bar is lived at the price before: what is due by time is due all the same.
        let known = desk.tape.day.regular.start..desk.tape.known_until(now);
        let Some(close) = desk.tape.bars.closes().get(known).and_then(<[Price]>::last).copied() else { return Ok(()) };
        if let Some(reason) = desk.exit_reason(close, now, self.flatten_at, self.terms) {
            desk.begin_exit(reason);
            self.account.note(now, desk.symbol, || ActKind::Left(reason.to_owned()));
            return self.send(place, Errand::Exit, now);
        }
        if desk.is_stuck() {
            return self.send(place, Errand::Exit, now);
        }
        if desk.position.is_some() {
            let mark = desk.tape.mark_at(now, self.terms)?;
            match desk.watch(mark, now, self.terms) {
                Watch::Nothing => {}
                Watch::Leave(reason) => {
                    desk.begin_exit(reason);
                    self.account.note(now, desk.symbol, || ActKind::Left(reason.to_owned()));
                    return self.send(place, Errand::Exit, now);
                }
                Watch::Protect { stop } => {
                    desk.is_seen_anew(now);
                    self.account.note(now, desk.symbol, || ActKind::StopMoved(stop));
                    return self.send(place, Errand::Protect { stop }, now);
                }
            }
            if let Some(stop) = mark.and_then(|mark| desk.follow(mark, now, self.terms)) {
                self.account.note(now, desk.symbol, || ActKind::StopMoved(stop));
            }
        } else if now >= self.flatten_at {
            desk.on_its_way = None;
            desk.cancel_orders(now);
        }
        Ok(())
    }

    /// Has an errand done: at once, or when it arrives.
    fn send(&mut self, place: usize, errand: Errand, now: Timestamp) -> Result<(), MoneyError> {
        let due = now.after(MINUTE * self.terms.backtest.latency_bars);
        if let Some(desk) = self.desks.get_mut(place) {
            desk.on_its_way = Some(OnItsWay { due, errand });
        }
        self.run_errand(place, now)
    }

    /// Does at the exchange what has arrived there by now.
    fn run_errand(&mut self, place: usize, now: Timestamp) -> Result<(), MoneyError> {
        let Some(desk) = self.desks.get_mut(place) else { return Ok(()) };
        let Some(arrived) = desk.on_its_way.take_if(|on_its_way| on_its_way.due <= now) else { return Ok(()) };
        let is_taken = match arrived.errand {
            Errand::Exit => desk.leave(now, self.account, self.terms)?,
            Errand::Protect { stop } => desk.protect(stop, now, self.account, self.terms)?,
            Errand::Enter { valid_until, .. } if valid_until < now || now >= self.flatten_at => {
                self.account.expired();
                true
            }
            Errand::Enter { ticket, plan, .. } => {
                if !self.account.stands(&self.standing, now) {
                    self.value(now)?;
                }
                self.enter(place, &ticket, plan, now)?
            }
        };
        if !is_taken {
            self.account.rejected();
        }
        Ok(())
    }

    /// Sends an entry; whether the exchange took it.
    fn enter(
        &mut self,
        place: usize,
        ticket: &OrderTicket,
        plan: EntryPlan,
        now: Timestamp,
    ) -> Result<bool, MoneyError> {
        let buying_power = self.account.buying_power(&self.standing, self.terms)?;
        let Some(desk) = self.desks.get_mut(place) else { return Ok(true) };
        let is_taken = desk.enter(ticket, plan, buying_power, now, self.account, self.terms)?;
        if desk.position.is_some() {
            self.account.add(&mut self.standing, desk, self.terms)?;
        } else if is_taken {
            if !self.entering.contains(&place) {
                self.entering.push(place);
            }
            self.standing.reserved = self.standing.reserved.plus(desk.reserved()?)?;
        }
        Ok(is_taken)
    }

    /// Looks at how the account stands now.
    fn value(&mut self, now: Timestamp) -> Result<(), MoneyError> {
        let reserved = self.reserved()?;
        self.account.stand(&mut self.standing, self.desks, reserved, now, self.terms)
    }

    /// What orders that rest to open positions have set aside.
    fn reserved(&mut self) -> Result<Money, MoneyError> {
        let desks = &*self.desks;
        self.entering.retain(|place| desks.get(*place).is_some_and(Desk::is_entering));
        let waiting = self.entering.iter().filter_map(|place| desks.get(*place));
        waiting.map(Desk::reserved).try_fold(Money::ZERO, |sum, reserved| sum.plus(reserved?))
    }

    /// What the strategies propose at the desks whose bars have just ended.
    fn look(&mut self, now: Timestamp, due: &[usize]) -> Result<Vec<Signal>, BacktestError> {
        let (mut signals, most) = (Vec::new(), self.terms.risk.max_entries);
        self.proposing.clear();
        for place in due.iter().copied() {
            let Some(desk) = self.desks.get_mut(place) else { continue };
            let symbol = desk.symbol;
            match self.pace {
                Pace::EveryBar => {
                    let asked = self.looks.at(now, desk, &mut self.shown);
                    asked.map_err(|source| BacktestError { symbol, at: now, source })?;
                }
                Pace::Skipping if desk.wake_at != Some(now) => continue,
                // They were asked when this look was planned, unless something else was waited for that has ended now.
                Pace::Skipping if desk.proposed.is_empty() && desk.is_idle() && desk.entries_today < most => {
                    let asked = self.looks.at(now, desk, &mut self.shown);
                    asked.map_err(|source| BacktestError { symbol, at: now, source })?;
                }
                Pace::Skipping => {}
            }
            self.proposing.extend(desk.proposed.iter().map(|_| (symbol, place)));
            signals.append(&mut desk.proposed);
        }
        Ok(signals)
    }

    /// Has risk review the signals, and sends what it approves.
    fn trade(&mut self, signals: Vec<Signal>, now: Timestamp) -> Result<(), BacktestError> {
        let first = self.proposing.first().map_or(0, |(_, place)| *place);
        self.value(now).map_err(|source| self.error(first, now, source))?;
        let wording = self.account.wording();
        let origin = Origin { ledger_id: "backtest".to_owned(), job: "enter".to_owned(), slot: now };
        let facts = self.risk_facts(now).map_err(|source| self.error(first, now, source))?;
        let entries = enter(signals, &facts, self.terms.risk, &origin, 0, wording);
        let Entries { reviews, intents } = entries.map_err(|source| self.error(first, now, source))?;
        self.standing.valuation.positions = facts.positions;
        for review in reviews {
            self.account.reviewed(review.verdict.refused_by);
            self.account.note(now, review.signal.symbol, || ActKind::Reviewed(Box::new(review.clone())));
            let intent = review.leg.and_then(|leg| intents.iter().find(|intent| intent.leg == leg));
            let Some((intent, place)) = intent.zip(self.place_of(review.signal.symbol)) else { continue };
            let Action::Submit(ticket) = &intent.action else { continue };
            let OrderClass::Bracket { stop_loss, take_profit } = ticket.class else { continue };
            let Ok(approved) = approve_entry(ticket.clone(), &review.verdict) else {
                self.account.rejected();
                continue;
            };
            let plan = EntryPlan { strategy: review.signal.strategy, stop: stop_loss, target: take_profit };
            let valid_until = intent.valid_until.unwrap_or(self.session.close);
            if let Some(desk) = self.desks.get_mut(place) {
                desk.entries_today += 1;
            }
            self.entering.push(place);
            let errand = Errand::Enter { ticket: approved.get().clone(), valid_until, plan };
            self.send(place, errand, now).map_err(|source| self.error(place, now, source))?;
        }
        Ok(())
    }

    fn place_of(&self, symbol: Symbol) -> Option<usize> {
        let found = self.proposing.binary_search_by_key(&symbol, |(symbol, _)| *symbol).ok();
        found.and_then(|found| self.proposing.get(found)).map(|(_, place)| *place)
    }

    /// What risk knows of the account and of the symbols that signals speak of.
    fn risk_facts(&mut self, now: Timestamp) -> Result<RiskFacts, MoneyError> {
        let buying_power = self.account.buying_power(&self.standing, self.terms)?;
        let equity = self.account.equity_point(&self.session, now, &self.standing.valuation);
        let working = self.entering.iter().filter_map(|place| self.desks.get(*place));
        let working = working.filter_map(|desk| Some(Commitment { symbol: desk.symbol, value: desk.working_entry()? }));
        let (mut entered_today, mut symbols) = (Vec::new(), Vec::new());
        // Several strategies may speak of one.
        let mut places: Vec<usize> = self.proposing.iter().map(|(_, place)| *place).collect();
        places.dedup();
        for desk in places.into_iter().filter_map(|place| self.desks.get(place)) {
            entered_today.extend((0..desk.entries_today).map(|_| desk.symbol));
            let known = desk.tape.known_until(now);
            let at = known.checked_sub(1).and_then(|last| desk.tape.end_of(last)).unwrap_or(now);
            let mark = desk.tape.mark_at(now, self.terms)?.map(|price| Mark { symbol: desk.symbol, price, at });
            let bars = known - desk.tape.day.regular.start;
            symbols.push(SymbolFacts {
                symbol: desk.symbol,
                mark,
                bars: u32::try_from(bars).unwrap_or(u32::MAX),
                daily_atr: desk.tape.daily_atr(),
            });
        }
        let pauses = self.account.pauses_at(now, self.terms.risk);
        Ok(RiskFacts {
            as_of: now,
            session: self.session,
            halts: self.account.halts_at(now, self.terms.risk),
            pauses,
            equity,
            buying_power,
            working_entries: working.collect(),
            positions: std::mem::take(&mut self.standing.valuation.positions),
            entered_today,
            symbols,
            // What has to warm up is an installation; a back-test has none.
            analysis_cycles: u32::MAX,
            latest_results: self.account.latest_results(self.terms.risk.sizing.looks_at_trades()),
        })
    }

    /// Puts the desk's next instant into the agenda.
    fn plan_next(&mut self, place: usize, now: Timestamp) -> Result<(), BacktestError> {
        let next = self.next_wake(place, now).map_err(|source| self.error(place, now, source))?;
        let Some(desk) = self.desks.get_mut(place) else { return Ok(()) };
        desk.wake_at = next.filter(|at| *at <= self.looks.known_until);
        if let Some(at) = desk.wake_at {
            self.agenda.push(Reverse((at, place)));
        }
        Ok(())
    }

    /// The first minute behind `now` at whose end something may happen at a desk.
    fn next_wake(&mut self, place: usize, now: Timestamp) -> Result<Option<Timestamp>, MoneyError> {
        let Some(desk) = self.desks.get_mut(place) else { return Ok(None) };
        desk.proposed.clear();
        let (minute, end) = (now.after(MINUTE), desk.tape.day.regular.end);
        if desk.tape.day.regular.is_empty() {
            return Ok(None);
        }
        if self.pace == Pace::EveryBar || desk.is_stuck() || desk.is_in_doubt(self.terms) {
            return Ok(Some(minute));
        }
        if desk.is_idle() {
            let is_done = desk.entries_today >= self.terms.risk.max_entries;
            return if is_done { Ok(None) } else { self.looks.first(desk, now, &mut self.shown) };
        }
        let held = desk.position.as_ref().filter(|position| position.state != PositionState::Closing);
        let max_hold = held.map(|position| position.opened_at.after(self.terms.risk.max_hold.as_duration()));
        let arrival = desk.on_its_way.as_ref().map(|on_its_way| on_its_way.due);
        let times = [Some(self.flatten_at), max_hold, arrival, desk.follows_at(now, self.terms)];
        let by_time = times.into_iter().flatten().map(|at| at.ceil_to(MINUTE).max(minute)).min().unwrap_or(minute);
        let rest = desk.tape.known_until(now)..end;
        let before = rest.start..desk.tape.first_ending(by_time, rest);
        let touched = desk.tape.first_felt(before.clone(), desk.reach()?);
        let closed = desk.tape.first_close(before, desk.awaited_closes(self.terms)?);
        let first = [touched, closed].into_iter().flatten().min();
        Ok(Some(first.and_then(|bar| desk.tape.end_of(bar)).unwrap_or(by_time)))
    }
}
