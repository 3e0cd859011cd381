//! Invariants 5 to 7 and 11 to 14: orders, fills, signals, intents and halts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, IntentAction, IntentRow, Invariant, LedgerView, OrderRow, shares};
use crate::order::{IntentState, OrderRole, OrderStatus};
use crate::schedule::JobKind;
use crate::time::Timestamp;

pub(super) fn check(view: &LedgerView, findings: &mut Findings) {
    one_order_per_key(view, findings);
    fills_unique(view, findings);
    orders_filled(view, findings);
    signals_reviewed(view, findings);
    intents_agree(view, findings);
    no_late_entry(view, findings);
    no_entry_under_halt(view, findings);
}

/// Orders that were sent, by their key: no legs, and not the successors that a broker makes of them.
fn sent_orders(view: &LedgerView) -> BTreeMap<&str, Vec<&OrderRow>> {
    let mut by_key: BTreeMap<&str, Vec<&OrderRow>> = BTreeMap::new();
    let sent = view.orders.iter().filter(|row| row.order.role == OrderRole::Parent && row.order.parent.is_none());
    for row in sent {
        by_key.entry(row.order.client_order_id.as_str()).or_default().push(row);
    }
    by_key
}

fn one_order_per_key(view: &LedgerView, findings: &mut Findings) {
    for (key, rows) in sent_orders(view) {
        let standing = rows.iter().filter(|row| row.order.status != OrderStatus::Replaced).count();
        if standing > 1 {
            findings.add(Invariant::OneOrderPerKey, key, format!("{standing} orders carry this client order id"));
        }
    }
    let mut keys = BTreeSet::new();
    for intent in &view.intents {
        if let Some(key) = &intent.client_order_id
            && !keys.insert(key)
        {
            findings.add(Invariant::OneOrderPerKey, at(intent), format!("another intent has the key {key}"));
        }
    }
}

fn fills_unique(view: &LedgerView, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for row in &view.fills {
        if !seen.insert(&row.fill.execution_id) {
            let at = format!("fill {}", row.fill.execution_id);
            findings.add(Invariant::FillsUnique, at, "booked more than once".to_owned());
        }
    }
}

fn orders_filled(view: &LedgerView, findings: &mut Findings) {
    let mut filled: BTreeMap<&str, i128> = BTreeMap::new();
    for row in &view.fills {
        *filled.entry(&row.fill.broker_order_id).or_default() += i128::from(row.fill.quantity.0);
    }
    for row in &view.orders {
        let order = &row.order;
        let sum = filled.get(order.broker_order_id.as_str()).copied().unwrap_or_default();
        if sum != i128::from(order.filled.0) || order.filled > order.quantity {
            findings.add(
                Invariant::OrderFilled,
                format!("order {}", order.broker_order_id),
                format!("{} of {} shares filled, its fills add up to {}", order.filled, order.quantity, shares(sum)),
            );
        }
    }
}

fn signals_reviewed(view: &LedgerView, findings: &mut Findings) {
    for row in view.signals.iter().filter(|row| row.verdict.is_none()) {
        let found = format!("the signal on {} has no verdict", row.symbol);
        findings.add(Invariant::SignalReviewed, format!("signal {}", row.signal_id), found);
    }
    let signals: BTreeMap<i64, _> = view.signals.iter().map(|row| (row.signal_id, row)).collect();
    for intent in view.intents.iter().filter(|intent| intent.purpose.opens()) {
        let verdict = intent.signal_id.and_then(|id| signals.get(&id)).and_then(|row| row.verdict);
        let approved = verdict.and_then(|verdict| verdict.approved);
        let is_within = matches!((approved, intent.quantity), (Some(approved), Some(sent)) if sent <= approved);
        if !is_within {
            let found = format!(
                "enters {} shares of {}; approved: {}",
                intent.quantity.map_or_else(|| "?".to_owned(), |quantity| quantity.to_string()),
                intent.symbol,
                approved.map_or_else(|| "nothing".to_owned(), |quantity| quantity.to_string())
            );
            findings.add(Invariant::SignalReviewed, at(intent), found);
        }
    }
}

fn intents_agree(view: &LedgerView, findings: &mut Findings) {
    let orders = sent_orders(view);
    for intent in &view.intents {
        let rows = intent.client_order_id.as_deref().and_then(|key| orders.get(key));
        // An order that was replaced has not ended: its successor goes on under the same key or another.
        let order = rows.and_then(|rows| rows.iter().find(|row| row.order.status != OrderStatus::Replaced));
        let problem = match (intent.state, order) {
            (IntentState::Pending | IntentState::Abandoned, Some(row)) => {
                Some(format!("it was not sent, but the broker has its order {}", row.order.broker_order_id))
            }
            (IntentState::Acked, None) if intent.action == IntentAction::Submit => {
                Some("the broker is said to have its order, but there is none".to_owned())
            }
            (IntentState::Terminal, Some(row)) if !row.order.status.is_terminal() => {
                Some(format!("its order is {}", row.order.status.as_str()))
            }
            (IntentState::Acked, Some(row)) if row.order.status.is_terminal() && is_old(row, view.as_of) => {
                Some(format!("its order is {} and it is not over", row.order.status.as_str()))
            }
            (
                IntentState::Pending
                | IntentState::Submitting
                | IntentState::Unknown
                | IntentState::Acked
                | IntentState::Terminal
                | IntentState::Abandoned
                | IntentState::Conflict,
                _,
            ) => None,
        };
        if let Some(found) = problem {
            findings.add(Invariant::IntentAgrees, at(intent), format!("it is {}: {found}", intent.state.as_str()));
        }
        let was_sent = intent.submitted_at.is_some();
        let should_be = match intent.state {
            IntentState::Pending => Some(false),
            IntentState::Submitting | IntentState::Unknown | IntentState::Acked | IntentState::Conflict => Some(true),
            // Refused, or overtaken before it was sent; looked up in vain after it was.
            IntentState::Terminal | IntentState::Abandoned => None,
        };
        if should_be.is_some_and(|expected| expected != was_sent) {
            let found = format!("it is {}, but sent: {was_sent}", intent.state.as_str());
            findings.add(Invariant::IntentAgrees, at(intent), found);
        }
    }
}

/// Whether an order has ended long enough ago for a reconcile to have seen it: an hour, twelve of its periods.
fn is_old(row: &OrderRow, as_of: Timestamp) -> bool {
    as_of.since(row.order.updated_at) > std::time::Duration::from_secs(3_600)
}

fn no_late_entry(view: &LedgerView, findings: &mut Findings) {
    for intent in view.intents.iter().filter(|intent| intent.purpose.opens()) {
        let Some(sent) = intent.submitted_at else { continue };
        if let Some(valid_until) = intent.valid_until
            && sent > valid_until
        {
            let found = format!("sent at {sent}, but valid until {valid_until}");
            findings.add(Invariant::NoLateEntry, at(intent), found);
        }
        let session = view.sessions.iter().find(|session| session.contains(sent));
        let flatten = session.and_then(|session| {
            let flattens = view
                .runs
                .iter()
                .filter(|run| run.kind == JobKind::MarketCloseFlatten && run.session == Some(session.date));
            flattens.filter_map(|run| run.decided_at).min()
        });
        if let Some(begun) = flatten
            && sent > begun
        {
            findings.add(
                Invariant::NoLateEntry,
                at(intent),
                format!("sent at {sent}, after the flatten decided at {begun}"),
            );
        }
    }
}

fn no_entry_under_halt(view: &LedgerView, findings: &mut Findings) {
    for intent in view.intents.iter().filter(|intent| intent.purpose.opens()) {
        let decided = intent.decided_at;
        let standing = view.halts.iter().find(|halt| {
            halt.since < decided
                && halt.until.is_none_or(|until| decided < until)
                && halt.cleared_at.is_none_or(|cleared| decided < cleared)
        });
        if let Some(halt) = standing {
            let found = format!("decided at {decided}, while {} stood since {}", halt.kind.as_str(), halt.since);
            findings.add(Invariant::NoEntryUnderHalt, at(intent), found);
        }
    }
}

fn at(intent: &IntentRow) -> String {
    format!("intent {}", intent.intent_id)
}
