//! Sends what was decided, each intent once.
//!
//! An intent is committed as `submitting` before its order is sent. Whatever happens after that, the
//! broker is asked for the order's name before it is sent again, so a second order cannot come of it.

mod close;

use std::sync::Arc;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::market::Symbol;
use daybook_core::money::Quantity;
use daybook_core::order::{Action, IntentEvent, IntentState, Order, OrderTicket, Purpose};
use daybook_core::risk::{ApprovalError, Approved, Halt, HaltKind, approve_entry, approve_exit, approve_protection};
use daybook_core::time::Timestamp;
use futures_util::stream::{self, StreamExt};
use rusqlite::Connection;

use super::Execution;
use super::broker_link::LinkError;
use super::job::Sources;
use super::news;
use crate::crash::is_sabotaged;
use crate::ledger::alert::{self, Routes};
use crate::ledger::intent::{self, StoredIntent};
use crate::ledger::{LedgerError, approval, halt, order, pause, run_facts};
use crate::ports::{Broker, BrokerError};

/// Times an order is tried in one go while the broker says that nothing happened; the run is looked
/// at again later.
const TRIES_MAX: u32 = 4;

/// The first wait between tries; it doubles.
const TRY_WAIT: Duration = Duration::from_millis(250);

/// Looks for a cancel to be confirmed before a close is put off to the next dispatch.
const CANCEL_LOOKS_MAX: u32 = 20;

/// Intents of one purpose that are sent at the same time: an emergency stop closes everything, and each close takes
/// half a dozen calls after one another.
const AT_ONCE_MAX: usize = 32;

/// When an unsettled run is dispatched again.
const LATER: Duration = Duration::from_secs(5);

/// What became of a run's intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatched {
    /// Every intent is settled.
    All,
    /// Some wait for the broker: dispatch again at this instant.
    Later(Timestamp),
}

/// What became of one intent in this dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Settled,
    Waits,
}

/// Sends intents and records what the broker answers.
#[derive(Clone)]
pub struct Dispatcher {
    sources: Sources,
    routes: Arc<Routes>,
    /// Intents of one purpose that are on their way at the same time.
    at_once: usize,
}

impl Dispatcher {
    /// A dispatcher for the broker of `sources`.
    pub fn new(sources: Sources, routes: Arc<Routes>, execution: Execution) -> Self {
        let at_once = match execution {
            Execution::Concurrent => AT_ONCE_MAX,
            Execution::InTurn => 1,
        };
        Self { sources, routes, at_once }
    }

    /// Dispatches a run's unsettled intents, those that reduce risk first. One that fails does not keep the others
    /// of its purpose from being sent.
    pub async fn dispatch(&self, run_id: i64) -> Result<Dispatched, LinkError> {
        let mut intents = self.sources.ledger.read(|conn| intent::of_run(conn, run_id))?;
        intents.retain(|stored| !stored.state.is_settled());
        intents.sort_by_key(|stored| (stored.intent.purpose, stored.intent.leg));
        let mut waits = false;
        for of_one_purpose in intents.chunk_by(|a, b| a.intent.purpose == b.intent.purpose) {
            let sent: Vec<_> = of_one_purpose.iter().map(|stored| self.dispatch_intent(stored)).collect();
            let progress: Vec<_> = stream::iter(sent).buffer_unordered(self.at_once).collect().await;
            for progress in progress {
                waits |= progress? == Progress::Waits;
            }
        }
        Ok(if waits { Dispatched::Later(self.sources.clock.wall().after(LATER)) } else { Dispatched::All })
    }

    async fn dispatch_intent(&self, stored: &StoredIntent) -> Result<Progress, LinkError> {
        match &stored.intent.action {
            Action::Submit(ticket) => self.submit(stored, ticket).await,
            Action::Cancel { broker_order_id, .. } => self.cancel(stored, broker_order_id).await,
            Action::ReplaceStop { broker_order_id, stop, .. } => {
                if self.begin(stored).await? == IntentState::Abandoned {
                    return Ok(Progress::Settled);
                }
                crash_point!("replace.before");
                let answer = self.broker_to_change()?.replace_stop(broker_order_id, *stop).await;
                crash_point!("replace.after");
                match answer {
                    // Moving a stop to where it is already is what a second attempt does: harmless.
                    Ok(order) => self.settle(stored, IntentEvent::Ended, None, vec![order]).await,
                    Err(error) => self.after_error(stored, error).await,
                }
            }
            Action::Close { symbol, client_order_id, quantity } => {
                // The longest of them: on the heap, the others stay small on the stack.
                Box::pin(self.close(stored, *symbol, client_order_id, *quantity)).await
            }
        }
    }

    fn account(&self) -> String {
        self.sources.ledger.meta().account.clone()
    }

    fn broker(&self) -> &dyn Broker {
        self.sources.broker.broker().as_ref()
    }

    /// The broker, for a call that changes something there: only while the lease is ours. A process that was stopped and
    /// thought dead goes on wherever it stood, and what it was about to send is another's to send by now. Between this
    /// look and the call it can still be stopped; there the order's name keeps it from being a second one.
    fn broker_to_change(&self) -> Result<&dyn Broker, LedgerError> {
        self.sources.ledger.verify_lease()?;
        Ok(self.broker())
    }

    /// Commits that the intent is about to be sent, or that it is too late for it. One that waits for a person stays as it
    /// is.
    async fn begin(&self, stored: &StoredIntent) -> Result<IntentState, LedgerError> {
        let (intent_id, routes) = (stored.intent_id, self.routes.clone());
        let now = self.sources.clock.wall();
        crash_point!("submitting.before");
        self.sources
            .ledger
            .write(move |tx| {
                let stored = intent::get(tx, intent_id)?;
                if stored.state == IntentState::Abandoned {
                    return Ok(IntentState::Abandoned); // a person has said no meanwhile
                }
                let awaited = stored.state == IntentState::Pending && approval::is_awaited(tx, intent_id)?;
                match too_late(tx, &stored, now)? {
                    Some(why) if stored.state == IntentState::Pending => {
                        if awaited {
                            alert::raise(tx, Some(stored.run_id), &alert_of_silence(&stored, &why), &routes, now)?;
                        }
                        intent::apply(tx, intent_id, IntentEvent::Expired, Some(&why), now)
                    }
                    _ if awaited => Ok(IntentState::Pending),
                    _ => intent::apply(tx, intent_id, IntentEvent::Sending, None, now),
                }
            })
            .await
    }

    async fn settle(
        &self,
        stored: &StoredIntent,
        event: IntentEvent,
        outcome: Option<String>,
        orders: Vec<Order>,
    ) -> Result<Progress, LinkError> {
        let alert = news::alert_of_intent(stored, event, outcome.as_deref());
        self.settle_and_tell(stored, event, outcome, orders, alert).await
    }

    async fn settle_and_tell(
        &self,
        stored: &StoredIntent,
        event: IntentEvent,
        outcome: Option<String>,
        orders: Vec<Order>,
        alert: Option<Alert>,
    ) -> Result<Progress, LinkError> {
        let intent_id = stored.intent_id;
        let now = self.sources.clock.wall();
        let routes = self.routes.clone();
        let (account, run_id) = (self.account(), stored.run_id);
        crash_point!("answer.before");
        let state = self
            .sources
            .ledger
            .write(move |tx| {
                let state = intent::apply(tx, intent_id, event, outcome.as_deref(), now)?;
                let recorded = order::record(tx, &account, &orders, now)?;
                news::tell_of_orders(tx, &recorded, &routes, now)?;
                if let Some(alert) = alert {
                    alert::raise_if_wanted(tx, Some(run_id), &alert, &routes, now)?;
                }
                if event == IntentEvent::TermsDiffer {
                    let reason = outcome.unwrap_or_else(|| "the broker holds our order under other terms".to_owned());
                    let halt = Halt { kind: HaltKind::Conflict, reason, numbers: Vec::new(), since: now, until: None };
                    halt::set(tx, &halt, Some(run_id))?;
                }
                Ok(state)
            })
            .await?;
        crash_point!("answer.after");
        Ok(if state.is_settled() { Progress::Settled } else { Progress::Waits })
    }

    /// What an error of the broker means for the intent. Only an unknown outcome changes its state
    /// without settling it.
    async fn after_error(&self, stored: &StoredIntent, error: BrokerError) -> Result<Progress, LinkError> {
        match error {
            BrokerError::Rejected { reason, .. } => {
                self.settle(stored, IntentEvent::Refused, Some(reason), Vec::new()).await
            }
            BrokerError::Unknown { reason, .. } => {
                self.settle(stored, IntentEvent::AnswerLost, Some(reason), Vec::new()).await
            }
            BrokerError::Retryable { reason, .. } => {
                tracing::warn!(intent_id = stored.intent_id, %reason, "intent.waits");
                Ok(Progress::Waits)
            }
            BrokerError::Duplicate { client_order_id, .. } => {
                tracing::warn!(intent_id = stored.intent_id, %client_order_id, "intent.duplicate");
                Ok(Progress::Waits)
            }
        }
    }

    async fn submit(&self, stored: &StoredIntent, ticket: &OrderTicket) -> Result<Progress, LinkError> {
        let fresh = (is_sabotaged("fresh-id") && stored.state != IntentState::Pending)
            .then(|| OrderTicket { client_order_id: ticket.client_order_id.with_revision(9), ..ticket.clone() });
        let ticket = fresh.as_ref().unwrap_or(ticket);
        if stored.state != IntentState::Pending {
            match self.look_up(stored, ticket).await? {
                LookUp::Found(progress) => return Ok(progress),
                LookUp::Absent => {}
            }
        }
        let approved = match self.approve(stored, ticket).await? {
            Ok(approved) => approved,
            Err(error) => return self.settle_unapproved(stored, &error.to_string()).await,
        };
        match self.begin(stored).await? {
            IntentState::Abandoned => Ok(Progress::Settled),
            IntentState::Pending => Ok(Progress::Waits),
            IntentState::Submitting
            | IntentState::Unknown
            | IntentState::Acked
            | IntentState::Terminal
            | IntentState::Conflict => self.send(stored, &approved).await,
        }
    }

    /// Has risk review the order again: an entry against its stored verdict, everything else against
    /// what the account holds now.
    async fn approve(
        &self,
        stored: &StoredIntent,
        ticket: &OrderTicket,
    ) -> Result<Result<Approved<OrderTicket>, ApprovalError>, LinkError> {
        let ticket = ticket.clone();
        Ok(match (stored.intent.purpose, &stored.verdict) {
            (Purpose::Enter, Some(verdict)) => approve_entry(ticket, verdict),
            (Purpose::Enter, None) => Err(ApprovalError::Refused { check: None }),
            (Purpose::Protect, _) => {
                let held = self.held(ticket.symbol).await?;
                approve_protection(ticket, held)
            }
            (Purpose::Exit | Purpose::CancelEntry | Purpose::Adjust, _) => {
                let held = self.held(ticket.symbol).await?;
                approve_exit(ticket, held)
            }
        })
    }

    /// What the account holds of a symbol now; negative for a short position.
    async fn held(&self, symbol: Symbol) -> Result<Quantity, LinkError> {
        let positions = self.broker().positions().await?;
        let held = positions.iter().find(|position| position.symbol == symbol);
        Ok(held.map_or(Quantity::ZERO, |position| position.quantity))
    }

    /// An order that risk's stored verdict does not cover is never sent; it was pending until now.
    async fn settle_unapproved(&self, stored: &StoredIntent, why: &str) -> Result<Progress, LinkError> {
        let event =
            if stored.state == IntentState::Pending { IntentEvent::Expired } else { IntentEvent::AbsentTooLate };
        self.settle(stored, event, Some(why.to_owned()), Vec::new()).await
    }

    async fn send(&self, stored: &StoredIntent, approved: &Approved<OrderTicket>) -> Result<Progress, LinkError> {
        let mut wait = TRY_WAIT;
        for attempt in 1..=TRIES_MAX {
            crash_point!("submit.before");
            // Time has passed since it was allowed: between two tries, or while the process was stopped.
            let now = self.sources.clock.wall();
            if let Some(why) = self.sources.ledger.read(|conn| too_late(conn, stored, now))? {
                tracing::warn!(intent_id = stored.intent_id, %why, "order.late");
                return Ok(Progress::Waits); // the next dispatch looks for it, and abandons it
            }
            let answer = self.broker_to_change()?.submit(approved).await;
            crash_point!("submit.after");
            match answer {
                Ok(orders) => return self.settle(stored, IntentEvent::Acknowledged, None, orders).await,
                Err(BrokerError::Retryable { reason, .. }) if attempt < TRIES_MAX => {
                    tracing::warn!(intent_id = stored.intent_id, attempt, %reason, "order.retried");
                    let clock = &self.sources.clock;
                    clock.sleep_until(clock.wall().after(wait)).await;
                    wait *= 2;
                }
                Err(BrokerError::Duplicate { .. }) => {
                    return match self.look_up(stored, approved.get()).await? {
                        LookUp::Found(progress) => Ok(progress),
                        LookUp::Absent => Ok(Progress::Waits),
                    };
                }
                Err(error) => return self.after_error(stored, error).await,
            }
        }
        Ok(Progress::Waits)
    }

    /// Asks the broker whether it has the order, and takes over what it shows.
    async fn look_up(&self, stored: &StoredIntent, ticket: &OrderTicket) -> Result<LookUp, LinkError> {
        if is_sabotaged("no-look-up") {
            return Ok(LookUp::Absent);
        }
        crash_point!("look-up.before");
        let orders = self.broker().orders_by_client_id(&ticket.client_order_id).await?;
        crash_point!("look-up.after");
        let Some(parent) = orders.first() else {
            let now = self.sources.clock.wall();
            let Some(why) = self.sources.ledger.read(|conn| too_late(conn, stored, now))? else {
                return Ok(LookUp::Absent);
            };
            // The first answer may have come before a slow accept: the second look settles it.
            let event = match stored.state {
                IntentState::Unknown => IntentEvent::AbsentTooLate,
                _ => IntentEvent::AnswerLost,
            };
            return Ok(LookUp::Found(self.settle(stored, event, Some(why), Vec::new()).await?));
        };
        let same = parent.has_terms_of(ticket);
        let event = if same { IntentEvent::Acknowledged } else { IntentEvent::TermsDiffer };
        let outcome = (!same).then(|| {
            let OrderTicket { side, quantity, symbol, .. } = ticket;
            let (found_side, found) = (parent.side.as_str(), parent.quantity);
            format!("sent {} {quantity} {symbol}, found {found_side} {found} {}", side.as_str(), parent.symbol)
        });
        Ok(LookUp::Found(self.settle(stored, event, outcome, orders).await?))
    }

    async fn cancel(&self, stored: &StoredIntent, broker_order_id: &str) -> Result<Progress, LinkError> {
        if self.begin(stored).await? == IntentState::Abandoned {
            return Ok(Progress::Settled);
        }
        crash_point!("cancel.before");
        let answer = self.broker_to_change()?.cancel(broker_order_id).await;
        crash_point!("cancel.sent");
        match answer {
            Ok(()) => {
                let orders = self.canceled(broker_order_id).await?;
                self.settle(stored, IntentEvent::Ended, None, orders).await
            }
            // It ended in another way before the cancel arrived: there is nothing left to cancel.
            Err(BrokerError::Rejected { reason, .. }) => {
                let orders = self.broker().orders(&[broker_order_id.to_owned()]).await?;
                self.settle(stored, IntentEvent::Ended, Some(reason), orders).await
            }
            Err(error) => self.after_error(stored, error).await,
        }
    }

    /// The order once its cancel is confirmed, or as it stands when that takes too long. What is dispatched next may be
    /// the stop for the shares of an entry that filled in part, and while the entry works a broker refuses an order against it.
    async fn canceled(&self, broker_order_id: &str) -> Result<Vec<Order>, LinkError> {
        let (clock, id) = (&self.sources.clock, [broker_order_id.to_owned()]);
        for _ in 1..CANCEL_LOOKS_MAX {
            let orders = self.broker().orders(&id).await?;
            if orders.iter().all(|order| order.status.is_terminal()) {
                return Ok(orders);
            }
            clock.sleep_until(clock.wall().after(TRY_WAIT)).await;
        }
        Ok(self.broker().orders(&id).await?)
    }

    async fn record(&self, orders: Vec<Order>) -> Result<(), LedgerError> {
        let now = self.sources.clock.wall();
        let account = self.account();
        self.sources.ledger.write(move |tx| order::record(tx, &account, &orders, now)).await?;
        Ok(())
    }
}

/// What a person is told of an entry to which they said nothing while it waited.
fn alert_of_silence(stored: &StoredIntent, why: &str) -> Alert {
    let symbol = stored.intent.action.symbol();
    let subject = format!("{symbol}: nobody approved the entry ({}): it was not sent", stored.intent.reason);
    Alert::new(AlertEvent::ApprovalExpired, subject).about(symbol).with_body(why)
}

/// What a look-up of an order's name came to.
enum LookUp {
    /// The intent's state follows from what was found, or from its absence.
    Found(Progress),
    /// The broker does not know the order, and it may still be sent.
    Absent,
}

/// Why an intent must not be sent any more, if so: its time is over, or it would open a position while
/// a latch holds or after the session's flatten has begun.
fn too_late(conn: &Connection, stored: &StoredIntent, now: Timestamp) -> Result<Option<String>, LedgerError> {
    if let Some(until) = stored.intent.valid_until.filter(|until| *until <= now) {
        return Ok(Some(format!("it was valid until {until}")));
    }
    if !stored.intent.purpose.opens() {
        return Ok(None);
    }
    if is_sabotaged("no-latch") {
        return Ok(None);
    }
    if let Some(halt) = halt::in_force(conn, now)?.first() {
        return Ok(Some(format!("entries are halted: {}", halt.reason)));
    }
    let symbol = stored.intent.action.symbol();
    if let Some(pause) = pause::in_force(conn, now)?.iter().find(|pause| pause.stops(symbol, now)) {
        return Ok(Some(format!("entries pause, {}", pause.words())));
    }
    if let Some(session) = stored.session
        && run_facts::flatten_begun(conn, session)?
    {
        return Ok(Some("the session's flatten has begun".to_owned()));
    }
    Ok(None)
}
