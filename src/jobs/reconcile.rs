//! Compares the ledger with the broker, and makes them agree.
//!
//! Gathers: both views; what the broker says of orders that it no longer shows as open, and of intents
//! that have not ended; a price for each symbol held. Decides:
//! [`reconcile`](daybook_core::reconcile::reconcile()).

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use daybook_core::decision::Decision;
use daybook_core::order::{Action, ClientOrderId, IntentState, Order};
use daybook_core::reconcile::{KnownIntent, PriorReconcile, ReconcileFacts, reconcile};
use daybook_core::schedule::JobKind;

use super::account;
use crate::crash::is_sabotaged;
use crate::engine::job::{Job, Sources, Terms};
use crate::ledger::intent::{self, StoredIntent};
use crate::ledger::{decision, halt, order};

/// How long an abandoned intent is still looked up: an order may turn up late, but not on another day.
const ABANDONED_FOR: Duration = Duration::from_secs(86_400);

/// The job of kind `reconcile`.
#[derive(Debug)]
pub struct Reconcile;

#[async_trait]
impl Job for Reconcile {
    type Facts = ReconcileFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<ReconcileFacts> {
        let account = sources.ledger.meta().account.clone();
        let view = sources.broker.look().await?;
        let (positions, known, open) = sources.ledger.read(|conn| {
            let since = view.as_of.before(ABANDONED_FOR);
            Ok((
                account::open_positions(conn, &account)?,
                intent::open_or_abandoned_since(conn, since)?,
                order::open(conn, &account)?,
            ))
        })?;
        let known = if is_sabotaged("no-look-up") { Vec::new() } else { known };
        let broker = sources.broker.broker();
        let mut looked_up: Vec<Order> = Vec::new();
        for stored in known.iter().filter(|stored| stored.state != IntentState::Acked) {
            if let Some(id) = order_id(stored) {
                looked_up.extend(broker.orders_by_client_id(id).await?);
            }
        }
        let gone: Vec<String> = open
            .iter()
            .map(|stored| &stored.order.broker_order_id)
            .filter(|id| view.open_orders.iter().all(|shown| shown.broker_order_id != **id))
            .cloned()
            .collect();
        looked_up.extend(broker.orders(&gone).await?);

        let held = view.positions.iter().map(|held| held.symbol).chain(positions.iter().map(|held| held.symbol));
        let mut symbols: Vec<_> = held.collect();
        symbols.sort();
        symbols.dedup();
        let marks = account::marks(sources, symbols.into_iter(), view.as_of).await;
        let session = sources
            .calendar
            .session_containing(view.as_of)
            .or_else(|| sources.calendar.session_before(view.as_of.date_in(sources.calendar.zone())))
            .with_context(|| format!("the calendar knows no session up to {}", view.as_of))?;
        let shown = view.open_orders.iter().chain(&looked_up);
        let ids: Vec<String> = shown.map(|shown| shown.broker_order_id.clone()).collect();
        Ok(sources.ledger.read(|conn| {
            let prior = decision::last_of_kind(conn, JobKind::Reconcile.as_str())?;
            Ok(ReconcileFacts {
                origin: terms.origin(),
                as_of: view.as_of,
                session,
                orders: order::open_and_named(conn, &account, &ids)?,
                intents: known.iter().filter_map(known_intent).collect(),
                in_flight: account::in_flight(conn)?,
                halts: halt::in_force(conn, view.as_of)?,
                prior: prior.map(|last| PriorReconcile { at: last.at, differences: last.decision.differences }),
                positions,
                broker_positions: view.positions,
                open_orders: view.open_orders,
                looked_up,
                marks,
            })
        })?)
    }

    fn decide(&self, facts: &ReconcileFacts, terms: &Terms) -> anyhow::Result<Decision> {
        Ok(reconcile(facts, &terms.settings.reconcile, &terms.settings.risk))
    }
}

/// The name of the order that an intent sends, if it sends one.
fn order_id(stored: &StoredIntent) -> Option<&ClientOrderId> {
    match &stored.intent.action {
        Action::Submit(ticket) => Some(&ticket.client_order_id),
        Action::Close { client_order_id, .. } => Some(client_order_id),
        Action::Cancel { .. } | Action::ReplaceStop { .. } => None,
    }
}

fn known_intent(stored: &StoredIntent) -> Option<KnownIntent> {
    order_id(stored).map(|id| KnownIntent { client_order_id: id.clone(), state: stored.state })
}
