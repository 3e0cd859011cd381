use crate::calendar::Session;
use crate::exchange::{Exchange, ExchangeState, MarketEvent, Reach, Terms as OrderTerms};
use crate::market::{Bar, BarColumns, MINUTE, Quote, Symbol};
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::order::{ClientOrderId, Fill, Order, OrderClass, OrderRole, OrderTicket, OrderType};
use crate::portfolio::{Effect, EntryPlan, FillOrigin, Position, PositionEvent, PositionState, book};
use crate::risk::{exit_ticket, protection_ticket, trailed_stop};
use crate::strategy::{Direction, Signal};
use crate::time::Timestamp;

use super::account::{Account, Held};
use super::tape::Tape;
use super::{Exits, Fills, Terms};

/// The reason of an exit because the session ends.
pub(super) const MARKET_CLOSE: &str = "market close";

/// Days of a year, by the convention of the money market.
const BORROW_DAYS: i64 = 360;

/// One symbol: its bars, its orders, its position.
pub(super) struct Desk<'m> {
    place: usize,
    pub(super) symbol: Symbol,
    pub(super) tape: Tape<'m>,
    exchange: Exchange,
    /// The place behind the last bar that the exchange was told of.
    met: usize,
    /// Whether the exchange was told of this session's open.
    is_open: bool,
    pub(super) position: Option<Position>,
    /// What the last entry was decided with.
    plan: Option<EntryPlan>,
    /// The start of the bar in which the position was opened, and its number among all.
    entry_at: Timestamp,
    opening: u64,
    pub(super) on_its_way: Option<OnItsWay>,
    pub(super) entries_today: u32,
    /// The last minute at which the position was worth less than its stop lets it.
    beyond_stop_at: Option<Timestamp>,
    /// The first minute at which the stop may follow: the risk monitor sees a position, and each move of a stop, once
    /// before it moves the stop again.
    follows_from: Timestamp,
    /// When it is looked at next.
    pub(super) wake_at: Option<Timestamp>,
    /// What the strategies will propose then.
    pub(super) proposed: Vec<Signal>,
}

/// What has been decided and has not reached the exchange yet.
pub(super) struct OnItsWay {
    pub(super) due: Timestamp,
    pub(super) errand: Errand,
}

/// What is done at the exchange.
pub(super) enum Errand {
    /// An entry, until when it may be sent, and what it was decided with.
    Enter { ticket: OrderTicket, valid_until: Timestamp, plan: EntryPlan },
    /// All that is held is sold, or bought back.
    Exit,
    /// What is still to be entered is taken back, and a stop is put behind what is held.
    Protect { stop: Price },
}

/// What is to be done about a position without being due.
pub(super) enum Watch {
    Nothing,
    /// It is left, for this reason.
    Leave(&'static str),
    /// Its entry is taken back, and what is held gets this stop.
    Protect {
        stop: Price,
    },
}

impl<'m> Desk<'m> {
    pub(super) fn new(place: usize, symbol: Symbol, bars: &'m BarColumns, terms: &Terms<'m>) -> Self {
        let settings = terms.exchange;
        let state = ExchangeState::new(settings.starting_cash, false);
        Self {
            place,
            symbol,
            tape: Tape::new(bars, terms.actions.of(symbol)),
            exchange: Exchange::new(settings.clone(), state),
            met: 0,
            is_open: false,
            position: None,
            plan: None,
            entry_at: Timestamp::default(),
            opening: 0,
            on_its_way: None,
            entries_today: 0,
            beyond_stop_at: None,
            follows_from: Timestamp::default(),
            wake_at: None,
            proposed: Vec::new(),
        }
    }

    /// Finds the session's bars. A position that the exchange did not let go before is left at the open.
    pub(super) fn begin(&mut self, session: &Session, account: &mut Account<'m>) -> Result<(), MoneyError> {
        self.tape.begin(session)?;
        self.met = self.tape.day.regular.start;
        (self.entries_today, self.is_open, self.wake_at, self.on_its_way) = (0, false, None, None);
        self.proposed.clear();
        if let Some(position) = &self.position {
            account.hold(self.place, Some(self.held(position)));
            self.on_its_way = Some(OnItsWay { due: session.open, errand: Errand::Exit });
        }
        Ok(())
    }

    /// Ends the session: day orders expire.
    pub(super) fn end(&mut self, session: &Session) -> Result<(), MoneyError> {
        if self.is_open {
            self.exchange.apply(&MarketEvent::SessionClose { at: session.close })?;
        }
        self.tape.end(session);
        Ok(())
    }

    /// What it takes to value its position.
    pub(super) const fn held(&self, position: &Position) -> Held<'m> {
        Held::of(self.place, position, self.tape.minutes())
    }

    /// What an order that rests to open a position has set aside.
    pub(super) fn reserved(&self) -> Result<Money, MoneyError> {
        if self.position.is_some() || !self.is_open {
            return Ok(Money::ZERO);
        }
        self.exchange.figures(&Default::default()).map(|figures| figures.reserved)
    }

    /// Whether the exchange holds an order that may still do something.
    pub(super) fn has_orders(&self) -> bool {
        self.exchange.state().orders.iter().any(|book| !book.order.status.is_terminal())
    }

    /// Whether nothing is held, and an entry is on its way or rests.
    pub(super) fn is_entering(&self) -> bool {
        let is_coming = matches!(&self.on_its_way, Some(OnItsWay { errand: Errand::Enter { .. }, .. }));
        self.position.is_none() && (is_coming || self.has_orders())
    }

    /// The value of the entry that is on its way or rests.
    pub(super) fn working_entry(&self) -> Option<Money> {
        if let Some(OnItsWay { errand: Errand::Enter { ticket, .. }, .. }) = &self.on_its_way {
            return Some(match ticket.order_type {
                OrderType::Limit { limit } => limit.times(ticket.quantity).unwrap_or(Money::MAX),
                _ => Money::ZERO, // as an order's own that has no price
            });
        }
        let mut orders = self.exchange.state().orders.iter().map(|book| &book.order);
        orders
            .find(|order| order.role == OrderRole::Parent && !order.status.is_terminal())
            .map(|order| order.notional())
    }

    /// Whether nothing is held or ordered: only then could a signal lead to an entry.
    pub(super) fn is_idle(&self) -> bool {
        self.position.is_none() && self.on_its_way.is_none() && !self.has_orders()
    }

    /// Whether a position is to be left and no order does it.
    pub(super) fn is_stuck(&self) -> bool {
        let is_closing = self.position.as_ref().is_some_and(|position| position.state == PositionState::Closing);
        is_closing && self.on_its_way.is_none() && !self.has_orders()
    }

    /// The prices that its orders feel.
    pub(super) fn reach(&self) -> Result<Reach, MoneyError> {
        self.exchange.reach(self.symbol)
    }

    /// Lets the exchange know that the session is open.
    fn open(&mut self) -> Result<(), MoneyError> {
        if !self.is_open {
            self.is_open = true;
            self.exchange.apply(&MarketEvent::SessionOpen { at: self.tape.day.open })?;
        }
        Ok(())
    }

    /// Lets the orders meet the last bar that is complete at `now`. Those before it were left out: no order feels them.
    pub(super) fn meet(
        &mut self,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        let known = self.tape.known_until(now);
        if known == self.met {
            return Ok(());
        }
        self.met = known;
        let Some(bar) = self.tape.bars.get(known - 1) else { return Ok(()) }; // it is behind the session's first
        self.open()?;
        let end = bar.minute_end();
        self.exchange.apply(&MarketEvent::BarRange { symbol: self.symbol, bar, end })?;
        self.book(bar.start, end, account, terms)
    }

    /// Books what the exchange has executed in the bar that began at `bar_start`.
    fn book(
        &mut self,
        bar_start: Timestamp,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        let mut changes = std::mem::take(&mut account.changes);
        self.exchange.take_changes_into(&mut changes);
        for execution in changes.executions.drain(..) {
            let order = self.exchange.state().orders.get(execution.order);
            let stops =
                order.is_some_and(|book| !book.opens && matches!(book.order.order_type, OrderType::Stop { .. }));
            let role =
                if stops { OrderRole::StopLoss } else { order.map_or(OrderRole::Parent, |book| book.order.role) };
            let plan = order.filter(|book| book.opens).and_then(|_| self.plan.clone());
            self.book_fill(
                &execution.fill,
                &FillOrigin { role, plan, is_ours: true },
                (bar_start, now),
                account,
                terms,
            )?;
        }
        account.changes = changes;
        Ok(())
    }

    fn book_fill(
        &mut self,
        fill: &Fill,
        origin: &FillOrigin,
        (bar_start, now): (Timestamp, Timestamp),
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        let booked = book(self.position.take(), fill, origin)?;
        let mut realised = booked.effects.iter().map(|effect| match effect {
            Effect::Reduced { realised } | Effect::Closed { realised } => *realised,
            Effect::Opened | Effect::Added => Money::ZERO,
        });
        account.count(booked.cash, realised.try_fold(Money::ZERO, Money::plus)?, fill.fee)?;
        if let Some(mut position) = booked.closed {
            let borrow = borrow_cost(&position, terms.backtest.borrow_rate)?;
            account.count(borrow.negated(), Money::ZERO, borrow)?;
            position.fees = position.fees.plus(borrow)?;
            account.closed(position, self.opening, (self.entry_at, bar_start), now, terms.risk);
            self.exchange.retire_settled();
        }
        if booked.effects.contains(&Effect::Opened) {
            (self.entry_at, self.opening) = (bar_start, account.opened());
            self.follows_from = Timestamp(fill.at.0 + 1).ceil_to(MINUTE).after(MINUTE);
        }
        self.position = booked.open;
        account.hold(self.place, self.position.as_ref().map(|position| self.held(position)));
        Ok(())
    }

    /// Sends an entry; whether the exchange took it. `buying_power` is what it may cost.
    pub(super) fn enter(
        &mut self,
        ticket: &OrderTicket,
        plan: EntryPlan,
        buying_power: Money,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<bool, MoneyError> {
        self.exchange.grant(buying_power);
        self.plan = Some(plan);
        let ticket = match terms.backtest.exits {
            Exits::Resting => ticket.clone(),
            Exits::OnClose => OrderTicket { class: OrderClass::Simple, ..ticket.clone() },
        };
        self.submit(&ticket, now, account, terms)
    }

    fn submit(
        &mut self,
        ticket: &OrderTicket,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<bool, MoneyError> {
        self.open()?;
        let quote = self.tape.quote_at(now, terms)?;
        let is_taken = self.exchange.accept(ticket, OrderTerms::default(), now, quote.as_ref()).is_ok();
        self.book(now.before(MINUTE), now, account, terms)?;
        Ok(is_taken)
    }

    /// Cancels what rests and leaves what is held at the market; whether the exchange took it.
    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<bool, MoneyError> {
        self.reduce(None, now, account, terms)
    }

    /// Takes back what is still to be entered, and puts a stop behind what is held; whether the exchange took it.
    pub(super) fn protect(
        &mut self,
        stop: Price,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<bool, MoneyError> {
        self.reduce(Some(stop), now, account, terms)
    }

    /// Takes back what rests, and sends what leaves the position: at the market, or at a stop.
    fn reduce(
        &mut self,
        stop: Option<Price>,
        now: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<bool, MoneyError> {
        self.cancel_orders(now);
        let Some(position) = &self.position else { return Ok(true) };
        let held = position.signed_quantity();
        let id = |purpose| ClientOrderId::derive("backtest", purpose, now, 0, 0);
        let ticket = match stop {
            None => exit_ticket(self.symbol, held, id("exit")),
            Some(stop) => protection_ticket(self.symbol, held, stop, id("protect")),
        };
        self.submit(&ticket, now, account, terms)
    }

    /// Leaves at the close what is held, at the last price that is known: as if somebody still made that price.
    pub(super) fn leave_at_last_price(
        &mut self,
        close: Timestamp,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        self.on_its_way = None;
        let is_taken = self.leave(close, account, terms)?;
        let (Some(_), Some(price)) = (&self.position, self.tape.close_at(close)) else { return Ok(()) };
        if !is_taken {
            account.rejected();
            return Ok(());
        }
        let start = close.before(MINUTE);
        // Any part of that is enough for every position.
        let volume = Quantity(i64::MAX);
        let bar = Bar { start, open: price, high: price, low: price, close: price, volume };
        let half_spread = if terms.backtest.fills == Fills::NextOpen { Bps::ZERO } else { terms.half_spread };
        let quote = Quote::after_minute(&bar, half_spread)?;
        self.exchange.apply(&MarketEvent::Quote { symbol: self.symbol, quote })?;
        account.left_unmet();
        self.book(start, close, account, terms)
    }

    /// Cancels every order that rests.
    pub(super) fn cancel_orders(&mut self, now: Timestamp) {
        let next = |exchange: &Exchange| {
            let mut orders = exchange.state().orders.iter().map(|book| &book.order);
            orders.find(|order| !order.status.is_terminal()).map(|order| order.broker_order_id.clone())
        };
        while let Some(id) = next(&self.exchange) {
            if self.exchange.cancel(&id, now).is_err() {
                break; // it was just found to be open, so this does not happen
            }
        }
    }

    /// Why the position is to be left after the bar that closed at `close`, if it is.
    pub(super) fn exit_reason(
        &self,
        close: Price,
        now: Timestamp,
        flatten_at: Timestamp,
        terms: &Terms<'_>,
    ) -> Option<&'static str> {
        let position = self.position.as_ref().filter(|position| position.state != PositionState::Closing)?;
        if let Some((stop, target)) = exits_on_close(position, terms) {
            let worse = |than: Price| !position.direction.favours(close, than);
            if worse(stop) {
                return Some(position.reason_of_stop());
            }
            if close == target || !worse(target) {
                return Some("target");
            }
        }
        if now >= flatten_at {
            return Some(MARKET_CLOSE);
        }
        (now.since(position.opened_at) >= terms.risk.max_hold.as_duration()).then_some("max hold")
    }

    /// What the risk monitor would do of its own accord about a position that rests at the exchange with too few stops
    /// behind it, or whose stop has not worked: an entry that has filled in part has no stop before it has filled wholly.
    pub(super) fn watch(&mut self, mark: Option<Price>, now: Timestamp, terms: &Terms<'_>) -> Watch {
        let was_beyond = self.beyond_stop_at.take().is_some_and(|at| now <= at.after(MINUTE));
        let position = self.position.as_ref().filter(|position| position.state != PositionState::Closing);
        let Some((position, stop)) = position.and_then(|position| Some((position, position.stop?))) else {
            return Watch::Nothing;
        };
        if terms.backtest.exits == Exits::OnClose || self.on_its_way.is_some() {
            return Watch::Nothing;
        }
        let is_beyond = mark.is_some_and(|mark| mark != stop && !position.direction.favours(mark, stop));
        self.beyond_stop_at = is_beyond.then_some(now);
        if is_beyond && was_beyond {
            Watch::Leave("stop did not work")
        } else if self.is_stopped(position) {
            Watch::Nothing
        } else if mark.is_some_and(|mark| !position.direction.favours(mark, stop)) {
            Watch::Leave("unprotected")
        } else {
            Watch::Protect { stop }
        }
    }

    /// Whether the next minute asks for something, even if nothing trades in it.
    pub(super) fn is_in_doubt(&self, terms: &Terms<'_>) -> bool {
        let held = self.position.as_ref().filter(|position| position.state != PositionState::Closing);
        let rests = terms.backtest.exits == Exits::Resting;
        held.is_some_and(|position| rests && (self.beyond_stop_at.is_some() || !self.is_stopped(position)))
    }

    /// Notes that a stop is put behind a position which had none: if it had not been seen before, it is with that stop.
    pub(super) fn is_seen_anew(&mut self, now: Timestamp) {
        if now <= self.follows_from {
            self.follows_from = now.after(MINUTE * 2);
        }
    }

    /// The minute from which on the stop may follow, if it has to wait for it.
    pub(super) fn follows_at(&self, now: Timestamp, terms: &Terms<'_>) -> Option<Timestamp> {
        let position = self.position.as_ref()?;
        let follows = terms.risk.trailing.break_even_after.is_positive();
        let is_free = position.adjustments < terms.risk.max_adjustments;
        (follows && is_free && now < self.follows_from).then_some(self.follows_from)
    }

    /// Whether each share of the position has a stop behind it.
    fn is_stopped(&self, position: &Position) -> bool {
        let stopped: i128 = stops(&self.exchange).map(|order| i128::from(order.remaining().0)).sum();
        stopped >= i128::from(position.quantity.0)
    }

    /// Notes that the position is being left.
    pub(super) fn begin_exit(&mut self, reason: &str) {
        let event = PositionEvent::ExitBegun { reason: reason.to_owned() };
        // Every state of an open position takes it.
        self.position = self.position.take().and_then(|position| position.apply(&event).ok());
    }

    /// Moves the stop of a position that earns; to where, if it moved.
    pub(super) fn follow(&mut self, mark: Price, now: Timestamp, terms: &Terms<'_>) -> Option<Price> {
        let position = self.position.as_mut()?;
        if position.state == PositionState::Closing || position.adjustments >= terms.risk.max_adjustments {
            return None;
        }
        if position.direction.favours(mark, position.best_price) {
            position.best_price = mark;
        }
        if now < self.follows_from {
            return None;
        }
        let stop = trailed_stop(position, mark, &terms.risk.trailing)?;
        if terms.backtest.exits == Exits::Resting {
            let resting = stops(&self.exchange).next().map(|order| order.broker_order_id.clone());
            self.exchange.replace_stop(&resting?, stop, now).ok()?;
        }
        position.stop = Some(stop);
        position.adjustments += 1;
        self.follows_from = now.after(MINUTE * 2);
        Some(stop)
    }

    /// The closes that the position is waiting for, beside what rests at the exchange.
    pub(super) fn awaited_closes(&self, terms: &Terms<'_>) -> Result<Reach, MoneyError> {
        let Some(position) = self.position.as_ref().filter(|position| position.state != PositionState::Closing) else {
            return Ok(Reach::NOTHING);
        };
        // What a position is valued at may be the middle of a quote, which is less than a tick from the close.
        let nearly = |price: Price| -> Result<Reach, MoneyError> {
            Ok(match position.direction {
                Direction::Long => Reach { high: price.minus(price.tick())?, ..Reach::NOTHING },
                Direction::Short => Reach { low: price.plus(price.tick())?, ..Reach::NOTHING },
            })
        };
        let mut awaited = match (exits_on_close(position, terms), position.direction) {
            (Some((stop, target)), Direction::Long) => Reach { low: stop, high: target },
            (Some((stop, target)), Direction::Short) => Reach { low: target, high: stop },
            (None, _) => Reach::NOTHING,
        };
        let trailing = &terms.risk.trailing;
        let follows = trailing.break_even_after.is_positive() && position.adjustments < terms.risk.max_adjustments;
        if let Some(initial) = position.initial_stop.filter(|_| follows) {
            let gain = position.entry_price.minus(initial)?.multiplied(trailing.break_even_after)?;
            let level = position.entry_price.plus(gain)?;
            // Beyond it the stop may have to follow at any bar: as long as an entry fills there is none to move.
            let is_beyond = !position.direction.favours(level, position.best_price);
            awaited = awaited.or(if is_beyond { Reach::EVERYTHING } else { nearly(level)? });
        }
        Ok(awaited)
    }
}

/// The stops that work.
fn stops(exchange: &Exchange) -> impl Iterator<Item = &Order> {
    let working = exchange.state().orders.iter().filter(|book| book.is_working());
    working.map(|book| &book.order).filter(|order| matches!(order.order_type, OrderType::Stop { .. }))
}

/// Stop and target of a position that is left on closes.
fn exits_on_close(position: &Position, terms: &Terms<'_>) -> Option<(Price, Price)> {
    match terms.backtest.exits {
        Exits::Resting => None,
        Exits::OnClose => position.stop.zip(position.target),
    }
}

/// What the shares of a short position cost to borrow for its session.
fn borrow_cost(position: &Position, rate: Bps) -> Result<Money, MoneyError> {
    match position.direction {
        Direction::Long => Ok(Money::ZERO),
        Direction::Short => Ok(Money(position.entry_value.portion(rate)?.0 / BORROW_DAYS)),
    }
}
