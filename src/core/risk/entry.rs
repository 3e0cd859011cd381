use super::review::surest_first;
use super::{EntryOrder, RiskFacts, RiskSettings, review};
use crate::decision::Review;
use crate::market::Symbol;
use crate::money::{Bps, MoneyError, Price, Quantity};
use crate::order::{
    Action, ClientOrderId, Intent, OrderClass, OrderTicket, OrderType, Origin, Purpose, Side, TimeInForce,
};
use crate::strategy::{Direction, Signal, Wording};

/// What a run does with its signals: risk's answers, and an intent for each that was approved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// The surest signal first.
    pub reviews: Vec<Review>,
    /// The entries, in the same order.
    pub intents: Vec<Intent>,
}

/// Reviews a run's signals and turns the approved ones into bracket orders, legs numbered from
/// `first_leg`. What the checks measured stands in the verdicts where it is told.
///
/// # Errors
/// If the prices of an approved order cannot be computed.
pub fn enter(
    mut signals: Vec<Signal>,
    facts: &RiskFacts,
    settings: &RiskSettings,
    origin: &Origin,
    first_leg: u32,
    wording: Wording,
) -> Result<Entries, MoneyError> {
    signals.sort_by(surest_first);
    let verdicts = review(&signals, facts, settings, wording);
    let count = signals.len();
    let mut entries = Entries { reviews: Vec::with_capacity(count), intents: Vec::with_capacity(count) };
    let mut next_leg = first_leg;
    for (signal, verdict) in signals.into_iter().zip(verdicts) {
        let mut leg = None;
        if let Some(quantity) = verdict.quantity {
            let ticket = entry_ticket(&signal, quantity, origin.client_order_id(next_leg), settings)?;
            entries.intents.push(Intent {
                leg: next_leg,
                purpose: Purpose::Enter,
                action: Action::Submit(ticket),
                valid_until: Some(signal.valid_until.min(facts.session.close)),
                reason: signal.strategy.clone(),
            });
            leg = Some(next_leg);
            next_leg += 1; // bounded by `execute_top_n`
        }
        entries.reviews.push(Review { signal, verdict, leg });
    }
    Ok(entries)
}

/// The order that enters on a signal: a day bracket whose stop and target rest at the broker.
///
/// # Errors
/// On overflow of a price.
pub fn entry_ticket(
    signal: &Signal,
    quantity: Quantity,
    client_order_id: ClientOrderId,
    settings: &RiskSettings,
) -> Result<OrderTicket, MoneyError> {
    let order_type = match settings.entry_order {
        EntryOrder::Market => OrderType::Market,
        EntryOrder::Limit { offset } => OrderType::Limit {
            limit: match signal.direction {
                Direction::Long => signal.entry.moved_by(offset)?.round_to_tick_up(),
                Direction::Short => signal.entry.moved_by(Bps(-offset.0))?.round_to_tick_down(),
            },
        },
    };
    Ok(OrderTicket {
        client_order_id,
        symbol: signal.symbol,
        side: signal.direction.entry_side(),
        quantity,
        order_type,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Bracket { take_profit: signal.target, stop_loss: protective_stop(signal, settings)? },
    })
}

/// The stop that an entry on this signal gets: the signal's own, or `stop_loss` from the entry if that
/// is nearer. Rounded to a tick toward the entry, so that no more is at risk than was sized for.
///
/// # Errors
/// On overflow of a price.
pub fn protective_stop(signal: &Signal, settings: &RiskSettings) -> Result<Price, MoneyError> {
    let cap = stop_at_most_from(signal.entry, signal.direction, settings)?;
    Ok(match signal.direction {
        Direction::Long => signal.stop.round_to_tick_up().max(cap),
        Direction::Short => signal.stop.round_to_tick_down().min(cap),
    })
}

/// The stop `stop_loss` away from an entry, rounded to a tick toward it.
pub(super) fn stop_at_most_from(
    entry: Price,
    direction: Direction,
    settings: &RiskSettings,
) -> Result<Price, MoneyError> {
    Ok(match direction {
        Direction::Long => entry.moved_by(Bps(-settings.stop_loss.0))?.round_to_tick_up(),
        Direction::Short => entry.moved_by(settings.stop_loss)?.round_to_tick_down(),
    })
}

/// The order that leaves a position of `held` shares (negative: short) at the market.
#[must_use]
pub fn exit_ticket(symbol: Symbol, held: Quantity, client_order_id: ClientOrderId) -> OrderTicket {
    reducing_ticket(symbol, held, OrderType::Market, TimeInForce::Day, client_order_id)
}

/// The order that leaves a position of `held` shares (negative: short) at a limit or better.
#[must_use]
pub fn exit_ticket_at(limit: Price, symbol: Symbol, held: Quantity, client_order_id: ClientOrderId) -> OrderTicket {
    reducing_ticket(symbol, held, OrderType::Limit { limit }, TimeInForce::Day, client_order_id)
}

/// The order that puts a stop behind `held` shares (negative: short). It rests until it is canceled:
/// a position that outlives its session stays protected.
#[must_use]
pub fn protection_ticket(symbol: Symbol, held: Quantity, stop: Price, client_order_id: ClientOrderId) -> OrderTicket {
    reducing_ticket(symbol, held, OrderType::Stop { stop }, TimeInForce::Gtc, client_order_id)
}

fn reducing_ticket(
    symbol: Symbol,
    held: Quantity,
    order_type: OrderType,
    time_in_force: TimeInForce,
    client_order_id: ClientOrderId,
) -> OrderTicket {
    let side = if held.is_negative() { Side::Buy } else { Side::Sell };
    OrderTicket {
        client_order_id,
        symbol,
        side,
        quantity: held.abs(),
        order_type,
        time_in_force,
        class: OrderClass::Simple,
    }
}
