//! What a person buys and sells: on their own grounds, and through the gate that every signal passes.

use serde::{Deserialize, Serialize};

use super::entry::stop_at_most_from;
use super::plan::STOP_VALID_FOR;
use super::review::review_asked;
use super::{
    ApprovalRequest, RiskFacts, RiskSettings, SessionMode, Verdict, approval_alert, approvals, entry_ticket,
    protection_ticket, protective_stop,
};
use crate::calendar::MarketPhase;
use crate::decision::{Decision, Review};
use crate::market::Symbol;
use crate::money::{Bps, Factor, Money, MoneyError, Price, Quantity};
use crate::order::{Action, Intent, OrderClass, OrderTicket, OrderType, Origin, Purpose, Side};
use crate::portfolio::{Position, PositionChange, PositionEvent, PositionState};
use crate::report::words;
use crate::strategy::{Direction, Reason, Signal};
use crate::time::Span;

/// The strategy's name of what a person trades.
pub const BY_HAND: &str = "by_hand";

/// How long an entry may wait to be sent, be it for the broker or for another person's yes. After that the price that
/// was looked at is another.
const VALID_FOR: Span = Span::minutes(15);

/// How far the target is where none is named, in distances of the stop: the owner's 3 average true ranges to 2.
const REWARD: Factor = Factor(15_000);

/// An order that a person gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOrder {
    /// What is traded.
    pub symbol: Symbol,
    /// Which way. It leaves a position that is held the other way, and enters one where none is.
    pub side: Side,
    /// How much.
    pub size: HandSize,
    /// Whether a sale of what is not held sells short.
    #[serde(default)]
    pub short: bool,
    /// The worst price of an entry; `None`: as `entry_order` of the settings says.
    #[serde(default)]
    pub limit: Option<Price>,
    /// Where an entry's loss is taken; `None`: as far away as the settings allow.
    #[serde(default)]
    pub stop: Option<Price>,
    /// Where its profit is taken; `None`: one and a half times as far as the stop.
    #[serde(default)]
    pub target: Option<Price>,
}

/// How much a person trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandSize {
    /// So many shares.
    Shares(Quantity),
    /// As many whole lots as this amount buys.
    Worth(Money),
}

/// What an order by hand is held against.
#[derive(Debug, Clone, Copy)]
pub struct HandFacts<'a> {
    /// The shares that the broker holds of the symbol; negative for a short position.
    pub held: Quantity,
    /// The ledger's position in it.
    pub recorded: Option<&'a Position>,
    /// What the gate knows; it has the symbol's price.
    pub risk: &'a RiskFacts,
    /// The value from which on an entry waits for a second person.
    pub approval_above: Option<Money>,
}

/// Decides what becomes of an order by hand: an entry with its stop and its target, or the end of a position or of a part
/// of it. Whatever it is not is said in `refused` of the decision; the checks of an entry stand in its review.
///
/// # Errors
/// On overflow of a price.
pub fn trade_by_hand(
    order: &HandOrder,
    facts: &HandFacts<'_>,
    settings: &RiskSettings,
    origin: &Origin,
) -> Result<Decision, MoneyError> {
    let HandOrder { symbol, side, short, .. } = *order;
    let mark = facts.risk.symbols.iter().find(|known| known.symbol == symbol).and_then(|known| known.mark);
    let price = order.limit.or(mark.map(|mark| mark.price)).filter(|price| price.is_positive());
    let shares = match (order.size, price) {
        (HandSize::Shares(shares), _) => shares,
        (HandSize::Worth(amount), Some(price)) => amount.shares_at(price)?.floor_to_lot(settings.lot_size),
        (HandSize::Worth(_), None) => return Ok(refused(no_price(symbol))),
    };
    let direction = match side {
        Side::Sell if facts.held.is_positive() => return leave(order, shares, facts, settings, origin),
        Side::Buy if facts.held.is_negative() => return leave(order, shares, facts, settings, origin),
        Side::Sell if !short => {
            return Ok(refused(format!("no shares of {symbol} are held: --short sells what is not")));
        }
        Side::Sell => Direction::Short,
        Side::Buy => Direction::Long,
    };
    match price {
        Some(price) => enter(order, direction, price, shares, facts, settings, origin),
        None => Ok(refused(no_price(symbol))),
    }
}

fn no_price(symbol: Symbol) -> String {
    format!("there is no price of {symbol}: does the market's feed know the symbol?")
}

fn refused(why: String) -> Decision {
    Decision { summary: format!("refused: {why}"), refused: Some(why), ..Decision::default() }
}

/// Leaves a position or a part of it. The rest is given its stop again, which the exit has to take away first.
fn leave(
    order: &HandOrder,
    shares: Quantity,
    facts: &HandFacts<'_>,
    settings: &RiskSettings,
    origin: &Origin,
) -> Result<Decision, MoneyError> {
    let HandOrder { symbol, side, .. } = *order;
    if order.limit.is_some() || order.stop.is_some() || order.target.is_some() {
        let why = "--limit, --stop and --target are for an entry: what is held is left at the market, for while it waited \
                   at a price it would have no stop";
        return Ok(refused(why.to_owned()));
    }
    let held = facts.held.abs();
    if !shares.is_positive() {
        return Ok(refused("that is less than one share".to_owned()));
    }
    if shares > held {
        let (held, shares) = (words::shares(held), words::shares(shares));
        return Ok(refused(format!(
            "{held} shares of {symbol} are held, not {shares}: `trade close {symbol}` leaves them all"
        )));
    }
    let rest = facts.held.plus(side.signed(shares))?;
    let reason = match side {
        Side::Sell => "sold by hand",
        Side::Buy => "bought back by hand",
    };
    let part = (!rest.is_zero()).then_some(shares);
    let action = Action::Close { symbol, client_order_id: origin.client_order_id(0), quantity: part };
    let mut decision = Decision {
        summary: format!("{} {} {symbol} of {}", side.as_str(), words::shares(shares), words::shares(held)),
        intents: vec![Intent { leg: 0, purpose: Purpose::Exit, action, valid_until: None, reason: reason.to_owned() }],
        ..Decision::default()
    };
    let ours = facts.recorded.filter(|position| !position.is_strangers());
    let Some(position) = ours.filter(|position| position.state != PositionState::Closing) else { return Ok(decision) };
    if part.is_none() {
        let event = PositionEvent::ExitBegun { reason: reason.to_owned() };
        decision.positions.push(PositionChange { symbol, event });
        return Ok(decision);
    }
    let stop = match position.stop {
        Some(stop) => stop,
        None => stop_at_most_from(position.entry_price, position.direction, settings)?,
    };
    decision.summary.push_str(&format!("; the rest has its stop at {} and no target", words::price(stop)));
    decision.intents.push(Intent {
        leg: 1,
        purpose: Purpose::Protect,
        action: Action::Submit(protection_ticket(symbol, rest, stop, origin.client_order_id(1))),
        valid_until: Some(facts.risk.as_of.after(STOP_VALID_FOR.as_duration())),
        reason: "stop of the rest".to_owned(),
    });
    Ok(decision)
}

/// Enters a position, if the gate lets it pass.
fn enter(
    order: &HandOrder,
    direction: Direction,
    price: Price,
    shares: Quantity,
    facts: &HandFacts<'_>,
    settings: &RiskSettings,
    origin: &Origin,
) -> Result<Decision, MoneyError> {
    let risk = facts.risk;
    let signal = signal(order, direction, price, shares, risk, settings)?;
    let verdict = review_asked(&signal, shares, risk, settings);
    let Some(quantity) = verdict.quantity else {
        let reviews = vec![Review { signal, verdict: verdict.clone(), leg: None }];
        return Ok(Decision { reviews, ..refused(why_not(&verdict, risk)) });
    };
    let mut ticket = entry_ticket(&signal, quantity, origin.client_order_id(0), settings)?;
    if let Some(limit) = order.limit {
        ticket.order_type = OrderType::Limit { limit };
    }
    let mut decision = Decision { summary: entry_words(order, &ticket, settings), ..Decision::default() };
    decision.intents.push(Intent {
        leg: 0,
        purpose: Purpose::Enter,
        valid_until: Some(signal.valid_until.min(risk.session.close)),
        action: Action::Submit(ticket),
        reason: BY_HAND.to_owned(),
    });
    decision.reviews.push(Review { signal, verdict, leg: Some(0) });
    // Whoever gives the order has said yes to it; above the size it takes a second word.
    decision.approvals = approvals(&decision.reviews, SessionMode::Autonomous, facts.approval_above);
    let told = |asked: &ApprovalRequest| approval_alert(asked, &decision.intents);
    decision.alerts = decision.approvals.iter().filter_map(told).collect();
    Ok(decision)
}

fn signal(
    order: &HandOrder,
    direction: Direction,
    price: Price,
    shares: Quantity,
    risk: &RiskFacts,
    settings: &RiskSettings,
) -> Result<Signal, MoneyError> {
    let stop = match order.stop {
        Some(stop) => stop,
        None => stop_at_most_from(price, direction, settings)?,
    };
    let asked = [("limit", order.limit), ("stop", order.stop), ("target", order.target)];
    let named = asked.into_iter().filter_map(|(what, at)| Some(Reason::new(what, words::price(at?))));
    let shares = Reason::new("shares", words::shares(shares));
    let mut signal = Signal {
        symbol: order.symbol,
        strategy: BY_HAND.to_owned(),
        direction,
        entry: price,
        stop,
        target: order.target.unwrap_or(price),
        confidence: Bps::ONE,
        reasons: std::iter::once(shares).chain(named).collect(),
        valid_until: risk.as_of.after(VALID_FOR.as_duration()),
    };
    if order.target.is_none() {
        let reward = price.minus(protective_stop(&signal, settings)?)?.abs().multiplied(REWARD)?;
        signal.target = match direction {
            Direction::Long => price.plus(reward)?.round_to_tick_up(),
            Direction::Short => price.minus(reward)?.round_to_tick_down(),
        };
    }
    Ok(signal)
}

/// `buy 10 AAPL at the market, stop 98.00, target 103.00`.
fn entry_words(order: &HandOrder, ticket: &OrderTicket, settings: &RiskSettings) -> String {
    let OrderTicket { symbol, side, quantity, order_type, class, .. } = ticket;
    let how = match order_type {
        OrderType::Limit { limit } => format!("at {} or better", words::price(*limit)),
        OrderType::Market | OrderType::Stop { .. } | OrderType::StopLimit { .. } | OrderType::TrailingStop { .. } => {
            "at the market".to_owned()
        }
    };
    let mut text = format!("{} {} {symbol} {how}", side.as_str(), words::shares(*quantity));
    if let OrderClass::Bracket { take_profit, stop_loss } = class {
        text.push_str(&format!(", stop {}, target {}", words::price(*stop_loss), words::price(*take_profit)));
        if order.stop.is_some_and(|asked| asked != *stop_loss) {
            text.push_str(&format!(" (risk.stop_loss allows no stop further than {} away)", settings.stop_loss));
        }
    }
    text
}

/// Why the gate does not let it pass, with the numbers.
fn why_not(verdict: &Verdict, risk: &RiskFacts) -> String {
    let session = &risk.session;
    if session.phase_at(risk.as_of) != MarketPhase::Trading {
        let (open, close) = (words::instant(session.open), words::clock(session.close));
        return format!(
            "the market is closed: the session is from {open} to {close}, and nothing is entered outside of it"
        );
    }
    let failed = verdict.checks.iter().filter(|check| !check.passed);
    let lines: Vec<String> =
        failed.map(|check| format!("{}: {}, against {}", words::check(check.name), check.value, check.limit)).collect();
    lines.join("; ")
}

#[cfg(test)]
#[path = "by_hand_tests.rs"]
mod tests;
