//! Looks at the ledger and at the broker's own record, and names what is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use daybook_core::audit::{Invariant, Violation};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::order::{BrokerPosition, Fill, Order};
use daybook_core::schedule::{JobDefinition, JobKind};
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::OnDay;
use super::plan::Asked;
use super::world::Waking;
use crate::adapters::brokers::paper::PaperBroker;
use crate::engine::Parts;
use crate::engine::audit::{audit_part, audit_rows};
use crate::engine::verify::verify;
use crate::jobs;
use crate::ledger::alert::DeliveryState;
use crate::ledger::check::{self, RepeatedView, Since};
use crate::ledger::command::{self, NewCommand};
use crate::ledger::run::RunState;
use crate::ledger::{Ledger, LedgerError, alert, fill, intent, position, run_facts};
use crate::ports::{Broker, Clock};

/// Runs that are looked at again in each turn: those that may have ended since the last one.
const RUNS_RECENT: i64 = 12;

/// What the ledger may not know yet, because a look at the broker was cut short or failed: after this long it must. Three
/// periods of the reconcile.
const LAG_MAX: Duration = Duration::from_secs(15 * 60);

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When, by the world's own clock.
    pub at: Timestamp,
    /// Which: two failures of one kind are the same to who looks for the shortest life that fails.
    pub kind: String,
    /// What was found, a line each.
    pub found: Vec<String>,
}

/// What is watched, over all lives of the process.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    broker: Arc<PaperBroker>,
    calendar: Calendar,
    sessions: Vec<Session>,
    asked: Option<Asked>,
    waker: Waking,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    audits: u64,
    /// Sessions that were audited whole.
    ended: usize,
    /// The last session that was begun.
    begun: Option<SessionDate>,
    /// What was found and may be a lag: since when.
    lagging: BTreeMap<(Invariant, String), Timestamp>,
    /// When a person asked for something.
    asked_at: Option<Timestamp>,
    failure: Option<Failure>,
    seen: RepeatedView,
}

/// What the broker itself has.
struct Record {
    /// Every order, legs included.
    orders: Vec<Order>,
    fills: Vec<Fill>,
    held: Vec<BrokerPosition>,
}

impl Watch {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        broker: Arc<PaperBroker>,
        calendar: Calendar,
        sessions: Vec<Session>,
        asked: Option<Asked>,
        waker: Waking,
    ) -> Self {
        Self { clock, broker, calendar, sessions, asked, waker, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn audits(&self) -> u64 {
        self.state().audits
    }

    pub(super) fn asked_at(&self) -> Option<Timestamp> {
        self.state().asked_at
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.state().failure.clone()
    }

    /// Notes that a promise was broken; the first one is kept.
    pub(super) fn fail(&self, kind: &str, found: Vec<String>) {
        let failure = Failure { at: self.clock.wall(), kind: kind.to_owned(), found };
        self.state().failure.get_or_insert(failure);
    }

    /// After a turn of the loop: audits what was touched, and the whole once a session is over. A broken promise stops
    /// the process.
    pub(super) fn turn(&self, parts: &Parts, day: &OnDay, stop: &CancellationToken) {
        let (ledger, as_of) = (&parts.sources.ledger, parts.sources.clock.wall());
        let now = self.clock.wall();
        let mut state = self.state();
        if let Some(session) = self.sessions.iter().rev().find(|session| session.pre_open <= now)
            && state.begun != Some(session.date)
        {
            state.begun = Some(session.date);
            day(session.date);
        }
        state.audits += 1;
        let is_over = self.sessions.get(state.ended).is_some_and(|session| session.post_close <= now);
        state.ended += usize::from(is_over);
        drop(state);
        let found = if is_over { self.whole(ledger, &parts.definitions, as_of) } else { self.part(ledger, as_of) };
        let found = found.and_then(|found| self.ask_if_it_is_time(ledger, as_of).map(|()| found));
        match found {
            Ok(None) => {}
            Ok(Some((kind, found))) => self.fail(&kind, found),
            Err(error) => self.fail("ledger", vec![format!("the ledger cannot be read: {error}")]),
        }
        if self.state().failure.is_some() {
            stop.cancel();
        }
    }

    /// Asks for what a person asks for, once it is time and anything is held.
    fn ask_if_it_is_time(&self, ledger: &Ledger, now: Timestamp) -> Result<(), LedgerError> {
        let Some(Asked { command, .. }) = self.asked.as_ref().filter(|asked| now >= asked.from) else { return Ok(()) };
        if self.asked_at().is_some() || ledger.read(|conn| position::open(conn, &ledger.meta().account))?.is_empty() {
            return Ok(());
        }
        let new = NewCommand {
            nonce: "drill".to_owned(),
            name: command.name().to_owned(),
            arguments: serde_json::to_value(command)?,
            requested_by: "drill".to_owned(),
        };
        ledger.write_blocking(move |tx| command::enqueue(tx, &new, now))?;
        self.state().asked_at = Some(now);
        self.waker.wake();
        Ok(())
    }

    /// Audits the session that is on.
    fn part(&self, ledger: &Ledger, as_of: Timestamp) -> Result<Option<(String, Vec<String>)>, LedgerError> {
        let Some(session) = self.sessions.iter().rev().find(|session| session.pre_open <= as_of) else {
            return Ok(None);
        };
        let last = ledger.read(run_facts::last_run_id)?;
        let since = Since { at: session.pre_open, run_id: (last - RUNS_RECENT).max(0) };
        let now = self.clock.wall();
        let mut state = self.state();
        let violations = audit_part(ledger, &mut state.seen, vec![*session], since, as_of)?;
        let mut lagging = BTreeMap::new();
        let mut broken = Vec::new();
        for violation in violations {
            if !may_lag(violation.invariant) {
                broken.push(violation);
                continue;
            }
            let key = (violation.invariant, violation.at.clone());
            let since = state.lagging.get(&key).copied().unwrap_or(now);
            if now.since(since) > LAG_MAX {
                broken.push(violation);
            }
            lagging.insert(key, since);
        }
        state.lagging = lagging;
        Ok(named(&broken))
    }

    /// Audits every row, and compares them with the broker's own record.
    fn whole(
        &self,
        ledger: &Ledger,
        jobs: &[JobDefinition],
        as_of: Timestamp,
    ) -> Result<Option<(String, Vec<String>)>, LedgerError> {
        if let Some(broken) = named(&audit_rows(ledger, jobs, &self.calendar, as_of)?) {
            return Ok(Some(broken));
        }
        let differing = self.compare(ledger)?;
        Ok((!differing.is_empty()).then(|| ("broker's record".to_owned(), differing)))
    }

    /// What the ledger and the broker's own record do not agree on.
    fn compare(&self, ledger: &Ledger) -> Result<Vec<String>, LedgerError> {
        let account = ledger.meta().account.clone();
        let (intents, fills, open) = ledger.read(|conn| {
            let positions = position::open(conn, &account)?;
            Ok((intent::planned_ids(conn)?, fill::all(conn, &account)?, positions))
        })?;
        let mut differing = Vec::new();
        let Some(Record { orders, fills: executions, held }) = self.broker_record() else {
            return Ok(vec!["the broker does not show its record".to_owned()]);
        };
        for order in orders.iter().filter(|order| order.parent.is_none()) {
            let first = order.client_order_id.with_revision(0);
            if !intents.contains(&order.client_order_id) && !intents.contains(&first) {
                differing.push(format!("the broker has the order {}, which nobody planned", order.client_order_id));
            }
        }
        let ours: BTreeMap<&str, &Fill> =
            fills.iter().map(|stored| (stored.fill.execution_id.as_str(), &stored.fill)).collect();
        let theirs: BTreeMap<&str, &Fill> = executions.iter().map(|fill| (fill.execution_id.as_str(), fill)).collect();
        for (id, fill) in &theirs {
            match ours.get(id) {
                Some(ours) if ours == fill => {}
                Some(_) => differing.push(format!("execution {id} has other terms in the ledger")),
                None => differing.push(format!("execution {id} of {} is not in the ledger", fill.symbol)),
            }
        }
        for (id, fill) in ours.iter().filter(|(id, _)| !theirs.contains_key(**id)) {
            differing.push(format!("the ledger has execution {id} of {}, the broker has not", fill.symbol));
        }
        let ours: BTreeMap<_, _> =
            open.iter().map(|stored| (stored.position.symbol, stored.position.signed_quantity())).collect();
        let theirs: BTreeMap<_, _> = held.iter().map(|held| (held.symbol, held.quantity)).collect();
        if ours != theirs {
            differing.push(format!("the ledger holds {ours:?}, the broker {theirs:?}"));
        }
        Ok(differing)
    }

    /// Everything that the broker has: the paper broker answers at once.
    fn broker_record(&self) -> Option<Record> {
        at_once(async {
            let orders = self.broker.record().await.ok()?;
            let mut fills = Vec::new();
            let mut cursor: Option<String> = None;
            loop {
                let page = self.broker.fills(cursor.as_deref()).await.ok()?;
                fills.extend(page.fills);
                cursor = Some(page.cursor);
                if !page.more {
                    break;
                }
            }
            Some(Record { orders, fills, held: self.broker.positions().await.ok()? })
        })?
    }

    /// Orders without their legs, executions: for the figures.
    pub(super) fn traded(&self) -> (u64, u64) {
        let Some(Record { orders, fills, .. }) = self.broker_record() else { return (0, 0) };
        (orders.iter().filter(|order| order.parent.is_none()).count() as u64, fills.len() as u64)
    }

    /// What must hold once everything has come to rest: `taken` are the keys of the messages that a person has.
    pub(super) fn at_rest(
        &self,
        ledger: &Ledger,
        jobs: &[JobDefinition],
        as_of: Timestamp,
        taken: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        // A file that was damaged stays so: once, at the end, is enough.
        let file = ledger.read(check::check_file)?;
        if !file.is_sound() {
            self.fail("file", file.findings().cloned().collect());
        }
        if let Some((kind, found)) = self.whole(ledger, jobs, as_of)? {
            self.fail(&kind, found);
        }
        let mut open = ledger.read(run_facts::unfinished)?;
        // A week of which no session has a report yet is looked at again for as long as one may come.
        let weekly = jobs.iter().find(|job| job.kind == JobKind::WeeklySummary);
        open.retain(|run| run.state != RunState::Failed || weekly.is_none_or(|weekly| weekly.name != run.job));
        if !open.is_empty() {
            let told = |run: &run_facts::RunOutcome| format!("{} of {} is {}", run.job, run.slot, run.state.as_str());
            self.fail("runs without an end", open.iter().map(told).collect());
        }
        let deliveries = ledger.read(|conn| alert::deliveries(conn, u32::MAX))?;
        let lost = deliveries
            .iter()
            .filter(|delivery| delivery.state != DeliveryState::Sent || !taken.contains(&delivery.message_id));
        let lost: Vec<String> =
            lost.map(|delivery| format!("{} ({})", delivery.alert.alert.subject, delivery.state.as_str())).collect();
        if !lost.is_empty() {
            self.fail("messages", lost);
        }
        let verified = verify(ledger, &jobs::table(), &self.calendar, None, |_, _| {})?;
        if !verified.differences.is_empty() {
            let told = verified
                .differences
                .iter()
                .map(|difference| format!("run {} of {}: {}", difference.run_id, difference.job, difference.what));
            self.fail("verify", told.collect());
        }
        Ok(())
    }
}

/// Whether the ledger may break this for a while without anything being wrong: the broker has moved on, and the look
/// that would tell was cut short.
const fn may_lag(invariant: Invariant) -> bool {
    matches!(invariant, Invariant::OrderFilled | Invariant::IntentAgrees | Invariant::Protected)
}

/// What is broken: the first promise, and every finding.
fn named(violations: &[Violation]) -> Option<(String, Vec<String>)> {
    let first = violations.first()?;
    Some((format!("{:?}", first.invariant), violations.iter().map(ToString::to_string).collect()))
}

/// What a call answers that never waits; `None` if it does wait.
fn at_once<T>(call: impl Future<Output = T>) -> Option<T> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
