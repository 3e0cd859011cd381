use std::ops::Range;

use crate::analysis::{latest_atr, relative_volume};
use crate::calendar::Session;
use crate::exchange::{Exchange, ExchangeState, MarketEvent, Reach, Terms as OrderTerms};
use crate::indicators::Period;
use crate::market::{Adjustments, Bar, BarColumns, CorporateAction, MINUTE, Quote, Symbol};
use crate::money::{Bps, Money, MoneyError, Price, Quantity};
use crate::order::{Fill, OrderClass, OrderRole, OrderTicket, OrderType, Origin};
use crate::portfolio::{Effect, EntryPlan, FillOrigin, Position, PositionEvent, PositionState, book};
use crate::risk::{exit_ticket, trailed_stop};
use crate::strategy::{Direction, Signal};
use crate::time::{SessionDate, Timestamp};

use super::account::{Account, Held, trade_of};
use super::{Exits, Fills, Terms};

/// As the analysis of a live day has it: sessions that the average true range is measured over, and one more.
const DAILY_BARS: usize = 15;
const ATR_SESSIONS: Period = Period::of::<14>();

/// Sessions whose volume by the same time of day is the usual one, likewise.
const USUAL_SESSIONS: usize = 5;

/// Days of a year, by the convention of the money market.
const BORROW_DAYS: i64 = 360;

/// One symbol: its bars, its orders, its position.
pub(super) struct Desk<'m> {
    place: usize,
    pub(super) symbol: Symbol,
    pub(super) bars: &'m BarColumns,
    pub(super) day: Places,
    exchange: Exchange,
    /// Whether the exchange was told of this session's open.
    is_open: bool,
    pub(super) position: Option<Position>,
    /// What the last entry was decided with.
    plan: Option<EntryPlan>,
    /// The start of the bar in which the position was opened.
    entry_at: Timestamp,
    pub(super) on_its_way: Option<OnItsWay>,
    pub(super) entries_today: u32,
    /// When it is looked at next.
    pub(super) wake_at: Option<Timestamp>,
    /// What the strategies will propose then.
    pub(super) proposed: Vec<Signal>,
    past: Vec<PastSession>,
    /// What is still to be done to the shares.
    actions: &'m [CorporateAction],
    /// What puts earlier sessions into the shares of this one.
    adjustments: Adjustments,
    /// What the sessions before say, once it was asked for in this one.
    daily: Option<Daily>,
}

/// What is known of a symbol before its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Daily {
    pub(super) previous_close: Option<Price>,
    pub(super) atr: Option<Price>,
}

/// Where the bars of a session stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The first of extended hours.
    pub(super) first: usize,
    /// Those of regular hours.
    pub(super) regular: Range<usize>,
    open: Timestamp,
    /// Whether no minute is missing.
    is_whole: bool,
}

/// The closes of a session that misses no minute, one after the other; of another one, none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Minutes<'m> {
    open: Timestamp,
    closes: &'m [Price],
}

impl Minutes<'_> {
    /// The last close of the session that is known at `at`; `None` before the first.
    pub(super) fn close_at(self, at: Timestamp) -> Option<Price> {
        let complete = usize::try_from((at.0 - self.open.0) / 60_000).ok()?;
        self.closes.get(complete.min(self.closes.len()).checked_sub(1)?).copied()
    }
}

/// A session that is over.
struct PastSession {
    date: SessionDate,
    open: Timestamp,
    regular: Range<usize>,
    is_whole: bool,
    /// All of it, once it was asked for.
    bar: Option<Bar>,
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
}

impl<'m> Desk<'m> {
    pub(super) fn new(place: usize, symbol: Symbol, bars: &'m BarColumns, terms: &Terms<'m>) -> Self {
        let settings = terms.exchange;
        let state = ExchangeState::new(settings.starting_cash, false);
        Self {
            place,
            symbol,
            bars,
            day: Places::default(),
            exchange: Exchange::new(settings.clone(), state),
            is_open: false,
            position: None,
            plan: None,
            entry_at: Timestamp::default(),
            on_its_way: None,
            entries_today: 0,
            wake_at: None,
            proposed: Vec::new(),
            past: Vec::new(),
            actions: terms.actions.of(symbol),
            adjustments: Adjustments::default(),
            daily: None,
        }
    }

    /// Finds the session's bars. A position that could not be left before is left at the open.
    pub(super) fn begin(&mut self, session: &Session, account: &mut Account<'m>) -> Result<(), MoneyError> {
        let after = self.day.regular.end;
        let first = self.bars.place_of(session.pre_open, after);
        let open = self.bars.place_of(session.open, first);
        let close = self.bars.place_of(session.close, open);
        let minutes = session.close.since(session.open).as_secs() / MINUTE.as_secs();
        let is_whole = u64::try_from(close - open) == Ok(minutes);
        self.day = Places { first, regular: open..close, open: session.open, is_whole };
        (self.entries_today, self.is_open, self.wake_at, self.on_its_way) = (0, false, None, None);
        self.daily = None;
        self.proposed.clear();
        if let Some(position) = &self.position {
            account.hold(self.place, Some(Held::of(position, self.minutes())));
            self.on_its_way = Some(OnItsWay { due: session.open, errand: Errand::Exit });
        }
        self.begin_actions(session.date)
    }

    /// Takes up what is done to the shares with this session.
    fn begin_actions(&mut self, date: SessionDate) -> Result<(), MoneyError> {
        let (now, later) = self.actions.split_at(self.actions.partition_point(|action| action.ex_date <= date));
        let traded = self.past.iter().rev().find(|past| !past.regular.is_empty());
        let close = traded.and_then(|past| self.bars.closes().get(past.regular.end - 1)).copied(); // it is not empty
        for action in now {
            self.adjustments.add(*action, || close)?;
        }
        self.actions = later;
        Ok(())
    }

    /// Ends the session: day orders expire.
    pub(super) fn end(&mut self, session: &Session) -> Result<(), MoneyError> {
        if self.is_open {
            self.exchange.apply(&MarketEvent::SessionClose { at: session.close })?;
        }
        let Places { regular, is_whole, .. } = self.day.clone();
        self.past.push(PastSession { date: session.date, open: session.open, regular, is_whole, bar: None });
        Ok(())
    }

    /// The place of the bar that is complete at `at`, if one ends then.
    pub(super) fn place_ending(&self, at: Timestamp) -> Option<usize> {
        let place = self.place_known_at(at)?;
        (self.end_of(place)? == at).then_some(place)
    }

    /// When the bar at a place is complete.
    pub(super) fn end_of(&self, place: usize) -> Option<Timestamp> {
        let minutes = place.checked_sub(self.day.regular.start).filter(|_| self.day.is_whole);
        match minutes.and_then(|minutes| i64::try_from(minutes).ok()) {
            Some(minutes) if place < self.day.regular.end => Some(Timestamp(self.day.open.0 + (minutes + 1) * 60_000)),
            Some(_) | None => Some(self.bars.starts().get(place)?.after(MINUTE)),
        }
    }

    /// The place of the last bar that is complete at `at`, of whatever session.
    fn place_known_at(&self, at: Timestamp) -> Option<usize> {
        if self.day.is_whole && at > self.day.open {
            let minutes = usize::try_from((at.0 - self.day.open.0) / 60_000).ok()?;
            return Some((self.day.regular.start + minutes).min(self.day.regular.end) - 1); // a whole day has a first minute
        }
        let begun = Timestamp(at.before(MINUTE).0.saturating_add(1));
        self.bars.place_of(begun, 0).checked_sub(1)
    }

    /// The session's closes, if it misses no minute.
    pub(super) fn minutes(&self) -> Minutes<'m> {
        let closes = self.bars.closes().get(self.day.regular.clone()).filter(|_| self.day.is_whole);
        Minutes { open: self.day.open, closes: closes.unwrap_or_default() }
    }

    /// The last close that is known at `at`, of whatever session.
    pub(super) fn close_at(&self, at: Timestamp) -> Option<Price> {
        self.place_known_at(at).and_then(|place| self.bars.closes().get(place)).copied()
    }

    /// What a share is worth at `at`.
    pub(super) fn mark_at(&self, at: Timestamp, terms: &Terms<'_>) -> Result<Option<Price>, MoneyError> {
        self.close_at(at).map(|close| mark_of(close, at, terms)).transpose()
    }

    /// The quote that the last bar makes, where orders meet one.
    pub(super) fn quote_at(&self, at: Timestamp, terms: &Terms<'_>) -> Result<Option<Quote>, MoneyError> {
        if terms.backtest.fills == Fills::NextOpen {
            return Ok(None);
        }
        let bar = self.place_known_at(at).and_then(|place| self.bars.get(place));
        bar.map(|bar| Quote::after_minute(&bar, terms.half_spread)).transpose()
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

    /// The value of the entry that rests.
    pub(super) fn working_entry(&self) -> Option<Money> {
        let mut orders = self.exchange.state().orders.iter().map(|book| &book.order);
        orders
            .find(|order| order.role == OrderRole::Parent && !order.status.is_terminal())
            .map(|order| order.notional())
    }

    /// Whether nothing is held, ordered or entered today: only then could a signal lead to an entry.
    pub(super) fn is_idle(&self) -> bool {
        self.position.is_none() && self.entries_today == 0 && self.on_its_way.is_none() && !self.has_orders()
    }

    /// Whether nothing is held or ordered, and nothing will be in this session.
    pub(super) fn is_done(&self) -> bool {
        self.position.is_none() && self.entries_today > 0 && self.on_its_way.is_none() && !self.has_orders()
    }

    /// Whether a position is to be left and no order does it.
    pub(super) fn is_stuck(&self) -> bool {
        let is_closing = self.position.as_ref().is_some_and(|position| position.state == PositionState::Closing);
        is_closing && self.on_its_way.is_none() && !self.has_orders()
    }

    /// The first of `bars` that ends at `at` or later; their end if none does.
    pub(super) fn first_ending(&self, at: Timestamp, bars: Range<usize>) -> usize {
        let start = at.before(MINUTE);
        if self.day.is_whole && start >= self.day.open {
            let minutes = usize::try_from((start.0 - self.day.open.0 + 59_999) / 60_000).unwrap_or(usize::MAX);
            return self.day.regular.start.saturating_add(minutes).clamp(bars.start, bars.end);
        }
        self.bars.place_of(start, bars.start).min(bars.end)
    }

    /// The first of `bars` whose range is felt.
    pub(super) fn first_felt(&self, bars: Range<usize>, reach: Reach) -> Option<usize> {
        if reach == Reach::NOTHING {
            return None;
        }
        let lows = self.bars.lows().get(bars.clone()).unwrap_or_default();
        let highs = self.bars.highs().get(bars.clone()).unwrap_or_default();
        let found = lows.iter().zip(highs).position(|(low, high)| reach.feels(*low, *high));
        found.map(|place| bars.start + place)
    }

    /// The first of `bars` whose close is felt.
    pub(super) fn first_close(&self, bars: Range<usize>, reach: Reach) -> Option<usize> {
        if reach == Reach::NOTHING {
            return None;
        }
        let closes = self.bars.closes().get(bars.clone()).unwrap_or_default();
        closes.iter().position(|close| reach.feels(*close, *close)).map(|place| bars.start + place)
    }

    /// The prices that its orders feel.
    pub(super) fn reach(&self) -> Result<Reach, MoneyError> {
        self.exchange.reach(self.symbol)
    }

    /// Lets the exchange know that the session is open.
    fn open(&mut self) -> Result<(), MoneyError> {
        if !self.is_open {
            self.is_open = true;
            self.exchange.apply(&MarketEvent::SessionOpen { at: self.day.open })?;
        }
        Ok(())
    }

    /// Lets the orders meet a bar.
    pub(super) fn meet(
        &mut self,
        place: usize,
        account: &mut Account<'m>,
        terms: &Terms<'_>,
    ) -> Result<(), MoneyError> {
        let Some(bar) = self.bars.get(place) else { return Ok(()) };
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
        for execution in self.exchange.take_changes().executions {
            let order = self.exchange.state().orders.get(execution.order);
            let role = order.map_or(OrderRole::Parent, |book| book.order.role);
            let plan = order.filter(|book| book.opens).and_then(|_| self.plan.clone());
            self.book_fill(
                &execution.fill,
                &FillOrigin { role, plan, is_ours: true },
                (bar_start, now),
                account,
                terms,
            )?;
        }
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
            account.closed(trade_of(position, self.entry_at, bar_start), now, terms.risk);
            self.exchange.retire_settled();
        }
        if booked.effects.contains(&Effect::Opened) {
            self.entry_at = bar_start;
        }
        self.position = booked.open;
        account.hold(self.place, self.position.as_ref().map(|position| Held::of(position, self.minutes())));
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
        let quote = self.quote_at(now, terms)?;
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
        self.cancel_orders(now);
        let Some(position) = &self.position else { return Ok(true) };
        let origin = Origin { ledger_id: "backtest".to_owned(), job: "exit".to_owned(), slot: now };
        let ticket = exit_ticket(self.symbol, position.signed_quantity(), origin.client_order_id(0));
        self.submit(&ticket, now, account, terms)
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
                return Some(if position.adjustments > 0 { "trailed stop" } else { "stop" });
            }
            if close == target || !worse(target) {
                return Some("target");
            }
        }
        if now >= flatten_at {
            return Some("market close");
        }
        (now.since(position.opened_at) >= terms.risk.max_hold.as_duration()).then_some("max hold")
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
        let stop = trailed_stop(position, mark, &terms.risk.trailing)?;
        if terms.backtest.exits == Exits::Resting {
            let rests = |order_type| matches!(order_type, OrderType::Stop { .. });
            let mut orders = self.exchange.state().orders.iter().filter(|book| book.is_working());
            let resting =
                orders.find(|book| rests(book.order.order_type)).map(|book| book.order.broker_order_id.clone());
            self.exchange.replace_stop(&resting?, stop, now).ok()?;
        }
        position.stop = Some(stop);
        position.adjustments += 1;
        Some(stop)
    }

    /// The average true range of the sessions before, once a strategy has looked.
    pub(super) fn daily_atr(&self) -> Option<Price> {
        self.daily.and_then(|daily| daily.atr)
    }

    /// The close before the session, and the average true range of the sessions before.
    pub(super) fn daily(&mut self) -> Result<Daily, MoneyError> {
        if let Some(daily) = self.daily {
            return Ok(daily);
        }
        let traded = |past: &&PastSession| !past.regular.is_empty();
        let last = self.past.iter().rev().find(traded);
        let close = last.and_then(|past| Some((past.date, *self.bars.closes().get(past.regular.end.checked_sub(1)?)?)));
        let adjusted = |(date, close)| self.adjustments.since(date)?.price(close);
        let previous_close = close.map(adjusted).transpose()?;
        // Fewer sessions have no average, and none of them has to be taken together.
        let is_enough = self.past.iter().filter(traded).nth(DAILY_BARS - 1).is_some();
        let daily = Daily { previous_close, atr: if is_enough { self.atr()? } else { None } };
        self.daily = Some(daily);
        Ok(daily)
    }

    fn atr(&mut self) -> Result<Option<Price>, MoneyError> {
        let mut bars = Vec::with_capacity(DAILY_BARS);
        for past in self.past.iter_mut().rev().filter(|past| !past.regular.is_empty()).take(DAILY_BARS) {
            if past.bar.is_none() {
                past.bar = self.bars.as_one(past.regular.clone())?;
            }
            let adjustment = self.adjustments.since(past.date)?;
            bars.extend(past.bar.map(|bar| adjustment.bar(bar)).transpose()?);
        }
        bars.reverse();
        Ok(latest_atr(&bars, ATR_SESSIONS))
    }

    /// The volume so far against the mean of earlier sessions by the same time of day.
    pub(super) fn relative_volume(&self, at: Timestamp) -> Result<Option<Bps>, MoneyError> {
        let elapsed = at.since(self.day.open);
        let minutes = usize::try_from(elapsed.as_secs().div_ceil(MINUTE.as_secs())).unwrap_or(usize::MAX);
        let traded = |regular: &Range<usize>, is_whole: bool, open: Timestamp| {
            let end = match is_whole {
                true => regular.start.saturating_add(minutes),
                false => self.bars.place_of(open.after(elapsed), regular.start),
            };
            let volumes = self.bars.volumes().get(regular.start..end.min(regular.end)).unwrap_or_default();
            volumes.iter().copied().try_fold(Quantity::ZERO, Quantity::plus)
        };
        let recent = self.past.iter().rev().take(USUAL_SESSIONS).filter(|past| !past.regular.is_empty());
        let adjusted = |past: &PastSession| {
            let adjustment = self.adjustments.since(past.date)?;
            adjustment.volume(traded(&past.regular, past.is_whole, past.open)?)
        };
        let earlier: Result<Vec<Quantity>, MoneyError> = recent.map(adjusted).collect();
        Ok(relative_volume(traded(&self.day.regular, self.day.is_whole, self.day.open)?, &earlier?))
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

/// What a share is worth at `at`, after this close.
pub(super) fn mark_of(close: Price, at: Timestamp, terms: &Terms<'_>) -> Result<Price, MoneyError> {
    if terms.backtest.fills == Fills::NextOpen || terms.half_spread == Bps::ZERO {
        return Ok(close);
    }
    let bar = Bar { start: at, open: close, high: close, low: close, close, volume: Quantity::ZERO };
    Quote::after_minute(&bar, terms.half_spread)?.midpoint()
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
