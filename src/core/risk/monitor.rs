use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::day::{assess_day, warning_threshold};
use super::plan::Plan;
use super::protection::{Protection, protection};
use super::resting::{InFlight, Resting, by_symbol, is_in_flight, stop_price};
use super::{
    DayAssessment, DayLevel, Halt, HaltKind, Look, RiskSettings, SeenMark, TradeRecord, TrailingSettings, pauses,
};
use crate::alert::{Alert, AlertEvent, AlertLevel};
use crate::calendar::{MarketPhase, Session};
use crate::decision::{Decision, Mark};
use crate::market::Symbol;
use crate::money::{Money, Price};
use crate::order::{BrokerPosition, Order, Origin, Purpose};
use crate::portfolio::{Position, PositionEvent, PositionState};
use crate::report::words;
use crate::strategy::{Direction, Reason};
use crate::time::{Span, Timestamp};

/// What the risk monitor knows. Everything is read again for each run; nothing is remembered between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorFacts {
    /// Where the decision is made.
    pub origin: Origin,
    /// When the facts were gathered.
    pub as_of: Timestamp,
    /// The session under way; outside of one, the latest.
    pub session: Session,
    /// Latches that stand in the ledger, those whose time is over included until they are cleared.
    pub halts: Vec<Halt>,
    /// Equity at the session's open.
    pub opening_equity: Money,
    /// The highest equity that the ledger holds.
    pub peak_equity: Money,
    /// Realised since the open, before fees.
    pub realised: Money,
    /// Fees since the open.
    pub fees: Money,
    /// The account's equity by the broker's own marks: the second source.
    pub broker_equity: Option<Money>,
    /// The ledger's positions that are not closed.
    pub positions: Vec<Position>,
    /// What the broker holds.
    pub broker_positions: Vec<BrokerPosition>,
    /// The broker's orders that are not terminal.
    pub open_orders: Vec<Order>,
    /// Intents that are committed and not settled.
    pub in_flight: Vec<InFlight>,
    /// The latest price of each position: a quote's middle, or the last trade.
    pub marks: Vec<Mark>,
    /// What the monitor's previous run saw.
    pub prior: Option<Look>,
    /// Whether the loss warning was given this session.
    pub warned: bool,
    /// Whether the session's flatten has decided.
    pub flatten_begun: bool,
    /// The session's closed trades, in the order in which they closed.
    pub closed_trades: Vec<ClosedTrade>,
    /// When safe mode last began this session, whether it still holds or not.
    pub last_safe_mode: Option<Timestamp>,
    /// Runs of jobs that failed in a row, up to now.
    pub failures_in_a_row: u32,
    /// The trades that the protections look at.
    #[serde(default)]
    pub trade_record: TradeRecord,
}

/// How a trade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedTrade {
    /// When its last share left.
    pub closed_at: Timestamp,
    /// Realised, less fees.
    pub net: Money,
}

/// Decides what the risk monitor does this minute.
///
/// In this order, each position getting at most one answer:
/// 1. While the emergency stop holds: everything that the broker shows is closed, and every order that
///    could open a position is taken back, again each minute until nothing is left.
/// 2. After the flatten has begun: what is left of our positions is closed again.
/// 3. An exit that was decided and has no effect yet is decided again; a position is left that was held for
///    too long, or whose price stood beyond its stop in two looks.
/// 4. Every share held has a stop behind it, or gets one, or the position is left.
/// 5. A stop follows a position that earns.
/// 6. Exits of ours that no position is left for are taken back.
///
/// Orders are sent in trading hours only, except for stops, which rest.
#[must_use]
pub fn monitor(facts: &MonitorFacts, settings: &RiskSettings) -> Decision {
    let day = assess_day(facts, settings);
    let at_broker = by_symbol(&facts.broker_positions, &facts.open_orders, &facts.origin.ledger_id);
    let mut run = Run { facts, settings, day: &day, plan: Plan::default() };

    let is_stopping = run.latch_day_loss();
    run.latch_drawdown();
    run.latch_stale_marks();
    run.safe_mode();
    run.pause_entries();
    let is_exposed = at_broker.values().any(Resting::is_exposed);
    if is_stopping {
        run.close_everything(&at_broker, is_exposed);
    } else {
        let nothing = Resting::default();
        for (position, seen) in facts.positions.iter().zip(&day.marks) {
            run.watch(position, seen, at_broker.get(&position.symbol).unwrap_or(&nothing));
        }
        for (symbol, resting) in &at_broker {
            run.cancel_orphans(*symbol, resting);
        }
    }

    let mut plan = run.plan;
    plan.decision.summary = summary(facts, &day, settings, plan.intents());
    plan.decision.look =
        Some(Look { at: facts.as_of, level: day.level, exposed: is_exposed, marks: day.marks.clone() });
    plan.decision.equity = Some(day.equity);
    plan.finish(&facts.origin)
}

fn summary(facts: &MonitorFacts, day: &DayAssessment, settings: &RiskSettings, intents: usize) -> String {
    let held = match facts.positions.len() {
        0 => "flat".to_owned(),
        1 => "1 position".to_owned(),
        count => format!("{count} positions"),
    };
    let pnl = day.equity.day_pnl();
    let limit = settings.max_daily_loss.negated();
    let doubt = if day.is_certain { "" } else { ", some prices in doubt" };
    match intents {
        0 => format!("{held}, day P&L {pnl} (limit {limit}){doubt}"),
        1 => format!("{held}, day P&L {pnl} (limit {limit}){doubt}; 1 intent"),
        count => format!("{held}, day P&L {pnl} (limit {limit}){doubt}; {count} intents"),
    }
}

/// One run of the monitor.
struct Run<'a> {
    facts: &'a MonitorFacts,
    settings: &'a RiskSettings,
    day: &'a DayAssessment,
    plan: Plan,
}

impl Run<'_> {
    fn holds(&self, kind: HaltKind) -> bool {
        self.facts.halts.iter().any(|halt| halt.kind == kind && halt.holds_at(self.facts.as_of))
    }

    fn latch(&mut self, kind: HaltKind, reason: String, numbers: Vec<Reason>, until: Option<Timestamp>) {
        self.plan.decision.halts.push(Halt { kind, reason, numbers, since: self.facts.as_of, until });
    }

    fn trades_now(&self) -> bool {
        self.facts.session.phase_at(self.facts.as_of) == MarketPhase::Trading
    }

    /// Sets the emergency stop on a breach, warns before it; the answer is whether the stop holds now.
    fn latch_day_loss(&mut self) -> bool {
        if self.holds(HaltKind::EmergencyStop) {
            return true;
        }
        let pnl = self.day.equity.day_pnl();
        let limit = self.settings.max_daily_loss.negated();
        if self.day.level == DayLevel::Breach {
            let reason = format!("day P&L {pnl} is beyond the limit of {limit}");
            let subject =
                format!("EMERGENCY STOP: {reason}. Everything is being closed; entries stop until `trade resume`");
            self.latch(HaltKind::EmergencyStop, reason, self.day.numbers(self.settings), None);
            self.plan.tell(AlertEvent::RiskBreached, subject);
            return true;
        }
        let looked_before = self.facts.prior.as_ref().is_some_and(|look| look.level == DayLevel::SecondLook);
        if self.day.level == DayLevel::SecondLook && !looked_before {
            let seen = self.day.pnl_as_seen.min(pnl);
            let subject = format!(
                "day P&L may be {seen}, beyond the limit of {limit}, but prices are stale or far off: looking again"
            );
            self.plan.tell(AlertEvent::RiskSecondLook, subject);
        }
        let threshold = warning_threshold(self.settings);
        if pnl <= threshold && !self.facts.warned {
            let subject = format!("day P&L {pnl} is beyond the warning at {threshold} (limit {limit})");
            self.plan.tell(AlertEvent::RiskWarned, subject);
        }
        false
    }

    fn latch_drawdown(&mut self) {
        if !self.day.is_drawdown_breached || self.holds(HaltKind::MaxDrawdown) {
            return;
        }
        let equity = self.day.equity.equity;
        let reason = format!(
            "equity {equity} is {} below its peak of {}, beyond the limit of {}",
            self.day.drawdown, self.facts.peak_equity, self.settings.max_drawdown
        );
        let subject = format!("{reason}. Entries stop until `trade resume`");
        self.latch(HaltKind::MaxDrawdown, reason, self.day.numbers(self.settings), None);
        self.plan.tell(AlertEvent::RiskDrawdown, subject);
    }

    fn latch_stale_marks(&mut self) {
        let longest = self.day.stale.iter().map(|(_, so_long)| *so_long).max().unwrap_or(Span::ZERO);
        let limit = self.settings.stale_marks_limit;
        let is_latched = self.holds(HaltKind::StaleMarks);
        if longest > limit && !is_latched {
            let numbers: Vec<Reason> =
                self.day.stale.iter().map(|(symbol, so_long)| Reason::new(symbol.to_string(), so_long)).collect();
            let reason =
                format!("{} positions without a fresh price, one for {longest} (limit {limit})", numbers.len());
            let subject = format!("{reason}: the loss is not known. Entries stop until prices are fresh");
            self.latch(HaltKind::StaleMarks, reason, numbers, None);
            self.plan.tell(AlertEvent::MarksStale, subject);
        } else if is_latched && self.day.stale.is_empty() {
            self.plan.decision.cleared_halts.push(HaltKind::StaleMarks);
            self.plan.tell(AlertEvent::MarksFresh, "prices are fresh again: entries may go on".to_owned());
        }
    }

    /// Begins safe mode after losses or failures in a row, and ends it when its cool-down is over.
    fn safe_mode(&mut self) {
        let now = self.facts.as_of;
        let standing = self.facts.halts.iter().find(|halt| halt.kind == HaltKind::SafeMode);
        if standing.is_some_and(|halt| halt.holds_at(now)) {
            return;
        }
        if standing.is_some() {
            self.plan.decision.cleared_halts.push(HaltKind::SafeMode);
            self.plan.tell(AlertEvent::SafeModeEnded, "safe mode is over: entries may go on".to_owned());
        }
        let settings = &self.settings.safe_mode;
        let since = self.facts.last_safe_mode;
        let fresh = self.facts.closed_trades.iter().filter(|trade| since.is_none_or(|since| since < trade.closed_at));
        let losses = fresh.rev().take_while(|trade| trade.net.is_negative()).count();
        let failures = self.facts.failures_in_a_row;
        let by_losses =
            settings.after_losses > 0 && losses >= usize::try_from(settings.after_losses).unwrap_or(usize::MAX);
        // Failures go on while the cause does; a safe mode that just ended must not begin again at once.
        let by_failures = settings.after_failures > 0 && failures >= settings.after_failures && standing.is_none();
        let reason = if by_losses {
            format!("{losses} losing trades in a row (limit {})", settings.after_losses)
        } else if by_failures {
            format!("{failures} failed runs in a row (limit {})", settings.after_failures)
        } else {
            return;
        };
        let until = now.after(settings.cool_down.as_duration());
        let numbers = vec![Reason::new("losses in a row", losses), Reason::new("failures in a row", failures)];
        self.plan.tell(
            AlertEvent::SafeModeBegun,
            format!("safe mode: {reason}. Entries stop until {}", words::instant(until)),
        );
        self.latch(HaltKind::SafeMode, reason, numbers, Some(until));
    }

    /// Lets entries pause where the trades so far say so.
    fn pause_entries(&mut self) {
        let Self { facts, settings, .. } = *self;
        for pause in pauses(&facts.trade_record, facts.opening_equity, facts.as_of, &settings.protections) {
            let subject = format!("{}. No entries until {}", pause.words(), words::instant(pause.until));
            match pause.symbol {
                Some(symbol) => self.plan.tell_of(symbol, AlertEvent::EntriesPaused, subject),
                None => self.plan.tell(AlertEvent::EntriesPaused, subject),
            }
            self.plan.decision.pauses.push(pause);
        }
    }

    /// Closes what the broker shows until it shows nothing, and says how far it is.
    fn close_everything(&mut self, at_broker: &BTreeMap<Symbol, Resting<'_>>, is_exposed: bool) {
        let was_exposed = self.facts.prior.as_ref().is_some_and(|look| look.exposed);
        if !is_exposed {
            if was_exposed && self.holds(HaltKind::EmergencyStop) {
                let subject =
                    "emergency stop: the broker shows no position and no order that could open one".to_owned();
                self.plan.tell(AlertEvent::RiskFlat, subject);
            }
            return;
        }
        let before = self.plan.intents();
        let mut held = 0;
        for (symbol, resting) in at_broker {
            if resting.held.is_zero() {
                if !is_in_flight(&self.facts.in_flight, *symbol, Purpose::CancelEntry) {
                    for orders in [&resting.entries, &resting.foreign_entries, &resting.orphans] {
                        self.plan.cancel_all(*symbol, orders, "emergency stop");
                    }
                }
            } else {
                held += 1;
                self.leave(*symbol, resting, "emergency stop");
            }
        }
        for position in self.facts.positions.iter().filter(|position| position.state != PositionState::Closing) {
            self.plan.change(position.symbol, PositionEvent::ExitBegun { reason: "emergency stop".to_owned() });
        }
        if self.holds(HaltKind::EmergencyStop) {
            let again = self.plan.intents() - before; // intents are only added
            let subject = format!(
                "emergency stop: the broker still shows {held} positions; {again} closes or cancels sent again"
            );
            self.plan.tell(AlertEvent::RiskClosing, subject);
        }
    }

    fn cancel_entries(&mut self, symbol: Symbol, resting: &Resting<'_>, reason: &str) {
        if is_in_flight(&self.facts.in_flight, symbol, Purpose::CancelEntry) {
            return;
        }
        self.plan.cancel_all(symbol, &resting.entries, reason);
    }

    /// Takes back exits of ours that no position is left for: they would open one. While the ledger still
    /// has the position, or has it already, a fill is under way and they may be its stops.
    fn cancel_orphans(&mut self, symbol: Symbol, resting: &Resting<'_>) {
        let is_changing = resting.held.is_zero() && self.facts.positions.iter().any(|held| held.symbol == symbol);
        if !is_changing && !is_in_flight(&self.facts.in_flight, symbol, Purpose::CancelEntry) {
            self.plan.cancel_all(symbol, &resting.orphans, "no position is left for it");
        }
    }

    /// Closes the symbol's position unless a close is on its way or working; whether it did.
    fn leave(&mut self, symbol: Symbol, resting: &Resting<'_>, reason: &str) -> bool {
        let is_leaving = resting.closing || is_in_flight(&self.facts.in_flight, symbol, Purpose::Exit);
        if is_leaving || !self.trades_now() {
            return false;
        }
        self.plan.close(symbol, reason, self.facts.session.close);
        true
    }

    /// What is to be done about one of our positions.
    fn watch(&mut self, position: &Position, seen: &SeenMark, resting: &Resting<'_>) {
        if position.is_strangers() {
            return; // it counts, and is left alone
        }
        let is_ours = match position.direction {
            Direction::Long => resting.held.is_positive(),
            Direction::Short => resting.held.is_negative(),
        };
        if !is_ours {
            return; // a fill is under way, or the views differ: that is reconcile's to say
        }
        // Outside trading hours nothing can be sold, but a stop can rest for the open.
        if let Some(reason) = self.exit_reason(position, seen).filter(|_| self.trades_now()) {
            self.exit(position, resting, &reason);
            return;
        }
        let is_protected = self.protect(position, seen, resting);
        let Some(mark) = seen.trusted.filter(|_| seen.doubted.is_none()) else { return };
        if position.direction.favours(mark.price, position.best_price) {
            self.plan.change(position.symbol, PositionEvent::NewBest { price: mark.price });
        }
        if !is_protected {
            return;
        }
        match position.state {
            PositionState::Open => self.plan.change(position.symbol, PositionEvent::Watched),
            PositionState::Monitoring => self.follow(position, mark.price, resting),
            PositionState::Adjusting => self.finish_adjusting(position, mark.price, resting),
            PositionState::Closing | PositionState::Closed => {}
        }
    }

    fn exit_reason(&self, position: &Position, seen: &SeenMark) -> Option<String> {
        let held_for = self.facts.as_of.since(position.opened_at);
        if position.state == PositionState::Closing {
            return Some(position.exit_reason.clone().unwrap_or_else(|| "exit".to_owned()));
        }
        if self.facts.flatten_begun {
            return Some("market close".to_owned());
        }
        if held_for >= self.settings.max_hold.as_duration() {
            return Some("max hold".to_owned());
        }
        let was_beyond =
            self.facts.prior.as_ref().is_some_and(|look| {
                look.marks.iter().any(|before| before.symbol == position.symbol && before.beyond_stop)
            });
        (seen.beyond_stop && was_beyond && seen.doubted.is_none()).then(|| "stop did not work".to_owned())
    }

    fn exit(&mut self, position: &Position, resting: &Resting<'_>, reason: &str) {
        if !self.leave(position.symbol, resting, reason) {
            return;
        }
        let (symbol, quantity) = (position.symbol, position.quantity);
        let (level, again) = match position.state {
            PositionState::Closing => (AlertLevel::Warning, " again"),
            PositionState::Open | PositionState::Monitoring | PositionState::Adjusting | PositionState::Closed => {
                self.plan.change(symbol, PositionEvent::ExitBegun { reason: reason.to_owned() });
                (AlertLevel::Info, "")
            }
        };
        let subject = format!("{symbol}: closing {quantity} shares {}{again}: {reason}", position.direction.as_str());
        self.plan.raise(Alert::new(AlertEvent::PositionExit, subject).about(symbol).at_level(level));
    }

    /// Sees to it that every share has one stop behind it; whether that is so already.
    fn protect(&mut self, position: &Position, seen: &SeenMark, resting: &Resting<'_>) -> bool {
        let symbol = position.symbol;
        let price = seen.trusted.map(|mark| mark.price);
        match protection(position, price, resting, &self.facts.in_flight, self.settings) {
            Protection::Sound => return true,
            Protection::UnderWay => {}
            Protection::Excess(stops) => self.plan.cancel_all(symbol, &stops, "more stopped than held"),
            Protection::Missing { held, stop } => {
                self.plan.place_stop(symbol, held, stop, self.facts.as_of);
                self.cancel_entries(symbol, resting, "filled in part, its stop waits");
            }
            Protection::Impossible => self.exit(position, resting, "unprotected"),
        }
        false
    }

    /// Moves the stop of a position that earns.
    fn follow(&mut self, position: &Position, mark: Price, resting: &Resting<'_>) {
        let is_allowed = position.adjustments < self.settings.max_adjustments
            && self.trades_now()
            && !is_in_flight(&self.facts.in_flight, position.symbol, Purpose::Adjust);
        let Some(stop) = trailed_stop(position, mark, &self.settings.trailing).filter(|_| is_allowed) else { return };
        self.plan.change(position.symbol, PositionEvent::AdjustBegun { stop });
        self.move_stops(position.symbol, stop, resting);
    }

    /// Notes that the broker shows the moved stop, or moves it again.
    fn finish_adjusting(&mut self, position: &Position, mark: Price, resting: &Resting<'_>) {
        let Some(stop) = position.stop else { return };
        if resting.stops.iter().all(|order| stop_price(order).is_none_or(|resting| resting == stop)) {
            self.plan.change(position.symbol, PositionEvent::AdjustEnded);
            return;
        }
        let is_possible = position.direction.favours(mark, stop)
            && self.trades_now()
            && !is_in_flight(&self.facts.in_flight, position.symbol, Purpose::Adjust);
        if is_possible {
            self.move_stops(position.symbol, stop, resting);
        }
    }

    fn move_stops(&mut self, symbol: Symbol, stop: Price, resting: &Resting<'_>) {
        for order in &resting.stops {
            if stop_price(order).is_some_and(|resting| resting != stop) {
                self.plan.move_stop(symbol, &order.broker_order_id, stop, self.facts.as_of);
            }
        }
    }
}

/// Where the stop of a position should stand now, if that is worth a move.
///
/// With R, the distance of the entry to the first stop: once the best price is `break_even_after` x R
/// beyond the entry, the stop stands at the entry or `distance` x R behind the best price, whichever
/// is nearer to it. Moves of less than `step` x R, and stops that would trade at once, are left out.
pub(crate) fn trailed_stop(position: &Position, mark: Price, settings: &TrailingSettings) -> Option<Price> {
    if settings.break_even_after.is_zero() {
        return None;
    }
    let (entry, initial, current) = (position.entry_price, position.initial_stop?, position.stop?);
    // Everything is measured upward from the entry in the position's favour.
    let gain = |price: Price| match position.direction {
        Direction::Long => price.minus(entry).ok(),
        Direction::Short => entry.minus(price).ok(),
    };
    let risked = gain(initial)?.negated();
    let best = gain(mark)?.max(gain(position.best_price)?);
    if !risked.is_positive() || best < risked.multiplied(settings.break_even_after).ok()? {
        return None;
    }
    let behind_best = best.minus(risked.multiplied(settings.distance).ok()?).ok()?.max(Price::ZERO);
    let stop = match position.direction {
        Direction::Long => entry.plus(behind_best).ok()?.round_to_tick_down(),
        Direction::Short => entry.minus(behind_best).ok()?.round_to_tick_up(),
    };
    let moved = gain(stop)?.minus(gain(current)?).ok()?;
    let is_worth_it = moved >= risked.multiplied(settings.step).ok()?;
    (is_worth_it && position.direction.favours(mark, stop)).then_some(stop)
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
