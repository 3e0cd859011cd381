use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::resting::{InFlight, Resting, by_symbol, is_in_flight};
use crate::alert::AlertEvent;
use crate::calendar::{MarketPhase, Session};
use crate::decision::Decision;
use crate::order::{BrokerPosition, Order, Origin, Purpose};
use crate::portfolio::{Position, PositionEvent, PositionState};
use crate::time::Timestamp;

/// What the flatten knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlattenFacts {
    /// Where the decision is made.
    pub origin: Origin,
    /// When the facts were gathered.
    pub as_of: Timestamp,
    /// The session that is to end flat.
    pub session: Session,
    /// The ledger's positions that are not closed.
    pub positions: Vec<Position>,
    /// What the broker holds.
    pub broker_positions: Vec<BrokerPosition>,
    /// The broker's orders that are not terminal.
    pub open_orders: Vec<Order>,
    /// Intents that are committed and not settled.
    pub in_flight: Vec<InFlight>,
}

/// Decides how to leave the session flat: takes back every order of ours that could open a position,
/// and closes every position we hold.
///
/// A position that a stranger's order has opened, or that the ledger does not know, is not ours to sell: it is
/// reported. What is on its way already is not decided again.
#[must_use]
pub fn flatten(facts: &FlattenFacts) -> Decision {
    let at_broker = by_symbol(&facts.broker_positions, &facts.open_orders, &facts.origin.ledger_id);
    let ours: Vec<&Position> = facts.positions.iter().filter(|position| !position.is_strangers()).collect();
    let mut plan = Plan::default();
    if facts.session.phase_at(facts.as_of) != MarketPhase::Trading {
        plan.decision.summary = format!("the session of {} is over: nothing can be closed", facts.session.date);
        if !ours.is_empty() {
            let subject = format!(
                "{} positions are still open after the close of {}: look at the broker",
                ours.len(),
                facts.session.date
            );
            plan.tell(AlertEvent::FlattenLate, subject);
        }
        return plan.finish(&facts.origin);
    }

    let mut closes = 0;
    let nothing = Resting::default();
    for position in &ours {
        let resting = at_broker.get(&position.symbol).unwrap_or(&nothing);
        // Also where the broker shows nothing yet: a fill may be under way, and a close looks again.
        if resting.closing || is_in_flight(&facts.in_flight, position.symbol, Purpose::Exit) {
            continue;
        }
        closes += 1;
        plan.close(position.symbol, "market close", facts.session.close);
        if position.state != PositionState::Closing {
            plan.change(position.symbol, PositionEvent::ExitBegun { reason: "market close".to_owned() });
        }
    }
    let mut cancels = 0;
    for (symbol, resting) in &at_broker {
        let is_held_by_us = ours.iter().any(|position| position.symbol == *symbol);
        if !is_held_by_us && !resting.held.is_zero() {
            let subject = format!(
                "{symbol}: the broker holds {} shares that were not traded from here; left alone",
                resting.held
            );
            plan.tell_of(*symbol, AlertEvent::FlattenStranger, subject);
        }
        // The close of a position takes back its symbol's orders by itself.
        if is_held_by_us || is_in_flight(&facts.in_flight, *symbol, Purpose::CancelEntry) {
            continue;
        }
        for order in resting.entries.iter().chain(&resting.orphans) {
            cancels += 1;
            plan.cancel(*symbol, &order.broker_order_id, "market close");
        }
    }
    plan.decision.summary = match (closes, cancels) {
        (0, 0) if ours.is_empty() => "flat already".to_owned(),
        (closes, cancels) => format!("{closes} positions closed, {cancels} entries taken back"),
    };
    plan.finish(&facts.origin)
}

#[cfg(test)]
#[path = "flatten_tests.rs"]
mod tests;
