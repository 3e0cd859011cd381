//! Whether every share held has one stop behind it, and what is to be done if not.

use super::RiskSettings;
use super::entry::stop_at_most_from;
use super::resting::{InFlight, Resting, is_in_flight};
use crate::money::{Price, Quantity};
use crate::order::{Order, Purpose};
use crate::portfolio::Position;

/// How a position's shares stand to the stops at the broker.
#[derive(Debug)]
pub(crate) enum Protection<'a> {
    /// Each share has a stop, and no stop is without a share.
    Sound,
    /// A stop or an exit is on its way.
    UnderWay,
    /// More is stopped than is held: were all stops to trigger, the position would flip. These stand
    /// alone and can be taken back, until no more is stopped than held.
    Excess(Vec<&'a Order>),
    /// So many shares (negative: of a short position) need a stop here. Where the entry has filled in
    /// part, its own stop waits for the rest: the rest is to be taken back, or both stops would stand.
    Missing { held: Quantity, stop: Price },
    /// No stop can be placed: the price is beyond it, or other orders hold the shares. The position is
    /// to be left.
    Impossible,
}

/// Compares the shares of one of our positions with the stops behind them.
pub(crate) fn protection<'a>(
    position: &Position,
    price: Option<Price>,
    resting: &Resting<'a>,
    in_flight: &[InFlight],
    settings: &RiskSettings,
) -> Protection<'a> {
    let on_its_way = |purpose| is_in_flight(in_flight, position.symbol, purpose);
    let excess = resting.overprotected();
    if excess.is_positive() {
        let under_way = on_its_way(Purpose::CancelEntry);
        return if under_way { Protection::UnderWay } else { Protection::Excess(standing_alone(resting, excess)) };
    }
    let missing = resting.unprotected();
    if missing.is_zero() {
        return Protection::Sound;
    }
    if resting.closing || on_its_way(Purpose::Exit) || on_its_way(Purpose::Protect) {
        return Protection::UnderWay;
    }
    let stop = match position.stop {
        Some(stop) => Ok(stop),
        None => stop_at_most_from(position.entry_price, position.direction, settings),
    };
    let Ok(stop) = stop else { return Protection::Impossible };
    let is_crossed = price.is_some_and(|price| !position.direction.favours(price, stop));
    if is_crossed || resting.unreserved() < missing {
        return Protection::Impossible;
    }
    Protection::Missing { held: if resting.held.is_negative() { missing.negated() } else { missing }, stop }
}

/// Stops without a parent, the latest first, as many as fit into the excess.
fn standing_alone<'a>(resting: &Resting<'a>, mut excess: Quantity) -> Vec<&'a Order> {
    let mut alone: Vec<&Order> = resting.stops.iter().copied().filter(|order| order.parent.is_none()).collect();
    alone.sort_by(|a, b| (b.submitted_at, &b.broker_order_id).cmp(&(a.submitted_at, &a.broker_order_id)));
    alone.retain(|order| {
        let fits = order.remaining() <= excess;
        if fits {
            excess = Quantity(excess.0 - order.remaining().0); // not below zero: just compared
        }
        fits
    });
    alone
}
