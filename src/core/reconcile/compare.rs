use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Difference, ReconcileFacts};
use crate::market::Symbol;
use crate::money::Quantity;
use crate::order::{ClientOrderId, IntentEvent, IntentState, Order, OrderRole, OrderStatus};

/// Something in which the views differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The broker's order is not in the ledger, or is further than its row.
    Unrecorded { order: Order },
    /// An order of ours is open that no intent of the ledger stands behind: the ledger was restored from a
    /// copy, or lost rows.
    Unintended { broker_order_id: String, symbol: Symbol },
    /// An order that was not sent from this ledger.
    Stranger { broker_order_id: String, symbol: Symbol },
    /// An intent has to move on, because of its order.
    Unsettled { client_order_id: ClientOrderId, event: IntentEvent },
    /// A position differs; `seen_before`: the last look saw the same.
    Differs { difference: Difference, seen_before: bool },
}

/// Names what differs between the views, orders first, then intents, then positions by symbol.
///
/// Orders of ours without an intent, and strangers', are named once: by the first look after they
/// were sent.
#[must_use]
pub fn compare(facts: &ReconcileFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    compare_orders(facts, &mut findings);
    compare_intents(facts, &mut findings);
    compare_positions(facts, &mut findings);
    findings
}

/// The broker's orders, each once: what was asked for by name came later than the list.
fn broker_orders(facts: &ReconcileFacts) -> BTreeMap<&str, &Order> {
    let named = facts.open_orders.iter().chain(&facts.looked_up);
    let mut orders: BTreeMap<&str, &Order> = BTreeMap::new();
    for order in named {
        let known = orders.entry(&order.broker_order_id).or_insert(order);
        if known.updated_at <= order.updated_at {
            *known = order;
        }
    }
    orders
}

fn compare_orders(facts: &ReconcileFacts, findings: &mut Vec<Finding>) {
    let rows: BTreeMap<&str, &Order> = facts.orders.iter().map(|row| (row.broker_order_id.as_str(), row)).collect();
    let intended: BTreeSet<&ClientOrderId> = facts.intents.iter().map(|intent| &intent.client_order_id).collect();
    for (broker_order_id, order) in broker_orders(facts) {
        let row = rows.get(broker_order_id).copied();
        // An answer that is older than the row is a late one.
        if row.is_none_or(|row| row != order && row.updated_at <= order.updated_at) {
            findings.push(Finding::Unrecorded { order: order.clone() });
        }
        let is_new = facts.prior.as_ref().is_none_or(|prior| prior.at <= order.submitted_at);
        let stands_alone = order.role == OrderRole::Parent && order.parent.is_none();
        if !is_new || !stands_alone || order.status.is_terminal() {
            continue;
        }
        let (broker_order_id, symbol) = (broker_order_id.to_owned(), order.symbol);
        if !order.is_of(&facts.origin.ledger_id) {
            findings.push(Finding::Stranger { broker_order_id, symbol });
        } else if !intended.contains(&order.client_order_id) {
            findings.push(Finding::Unintended { broker_order_id, symbol });
        }
    }
}

fn compare_intents(facts: &ReconcileFacts, findings: &mut Vec<Finding>) {
    let orders = broker_orders(facts);
    // An order that was replaced has not ended: its successor goes on under the same key or another.
    let in_force = |order: &&&Order| order.role == OrderRole::Parent && order.status != OrderStatus::Replaced;
    let by_key: BTreeMap<&ClientOrderId, &Order> =
        orders.values().filter(in_force).map(|order| (&order.client_order_id, *order)).collect();
    for intent in &facts.intents {
        let Some(order) = by_key.get(&intent.client_order_id) else { continue };
        let has_ended = order.status.is_terminal();
        let mut move_on = |event| {
            findings.push(Finding::Unsettled { client_order_id: intent.client_order_id.clone(), event });
        };
        match intent.state {
            IntentState::Acked | IntentState::Submitting | IntentState::Unknown if has_ended => {
                move_on(IntentEvent::Ended);
            }
            IntentState::Submitting | IntentState::Unknown => move_on(IntentEvent::Acknowledged),
            IntentState::Abandoned => {
                // It was accepted late, after it had been given up.
                move_on(IntentEvent::Acknowledged);
                if has_ended {
                    move_on(IntentEvent::Ended);
                }
            }
            // What is acknowledged and works is as it should be; what is pending, the dispatcher is to
            // send, and its key tells it that it was sent already; a conflict is a person's to settle.
            IntentState::Acked | IntentState::Pending | IntentState::Terminal | IntentState::Conflict => {}
        }
    }
}

fn compare_positions(facts: &ReconcileFacts, findings: &mut Vec<Finding>) {
    let mut shares: BTreeMap<Symbol, (Quantity, Quantity)> = BTreeMap::new();
    for position in &facts.positions {
        shares.entry(position.symbol).or_default().0 = position.signed_quantity();
    }
    for position in &facts.broker_positions {
        shares.entry(position.symbol).or_default().1 = position.quantity;
    }
    for (symbol, (ledger, broker)) in shares {
        if ledger != broker {
            let difference = Difference { symbol, ledger, broker };
            let seen_before = facts.prior.as_ref().is_some_and(|prior| prior.differences.contains(&difference));
            findings.push(Finding::Differs { difference, seen_before });
        }
    }
}
