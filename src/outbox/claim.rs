//! What is sent now, as which messages: one transaction decides it.
//!
//! A process that dies after it leaves messages that go out again as they were, under the same keys.

use std::collections::{BTreeMap, BTreeSet};

use daybook_core::alert::AlertLevel;
use daybook_core::time::Timestamp;
use rusqlite::Transaction;

use super::pacing::{self, HOUR};
use super::{Policy, Setup};
use crate::ledger::LedgerError;
use crate::ledger::alert::{self, Delivery, Recent};

/// Deliveries that are claimed at once.
const BATCH_MAX: u32 = 64;
/// Notes that go out as one message at most. What a burst leaves over would wait until its event has cooled down, so this is
/// far more than a bad day has.
const GROUP_MAX: u32 = 10_000;

/// The messages of each channel, each of one delivery or many.
pub(super) type Messages = BTreeMap<String, Vec<Vec<Delivery>>>;

/// Tells others of what nobody has acknowledged, claims what is due on channels that are not `busy`, and makes messages
/// of it. On chats notes that wait go with those that are due, and what is too much is put back; on pagers the end of a
/// condition waits for its beginning, and on a channel whose service wants nothing for a while everything does.
pub(super) fn claim(
    tx: &Transaction<'_>,
    setup: &Setup,
    busy: &[String],
    now: Timestamp,
) -> Result<Messages, LedgerError> {
    let Setup { chats, pagers, policy, .. } = setup;
    match &policy.escalation {
        Some(others) => {
            alert::escalate(tx, others, now)?;
        }
        // Alerts that wait since a configuration that named somebody.
        None => alert::end_escalations(tx)?,
    }
    // As it was before: what this claims is not on its way yet.
    let mut recent = BTreeMap::new();
    for chat in chats {
        recent.insert(chat.as_str(), alert::recent(tx, chat, HOUR, policy.pace.cool_down, now)?);
    }
    let mut by_channel: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
    for delivery in alert::claim_due(tx, BATCH_MAX, busy, now)? {
        by_channel.entry(delivery.channel.clone()).or_default().push(delivery);
    }
    let muted = alert::muted(tx, now)?;
    let mut messages = Messages::new();
    for (channel, mut due) in by_channel {
        if let Some(until) = muted.get(&channel) {
            due = leave_alone(tx, due, *until, setup.fallback_of(&channel).as_deref(), now)?;
        }
        if pagers.contains(&channel) {
            due = alert::in_turn(tx, &channel, due, now)?;
        }
        if due.is_empty() {
            continue;
        }
        let of_channel = match recent.get(channel.as_str()) {
            Some(recent) => of_chat(tx, &channel, due, recent, policy, now)?,
            None => due.into_iter().map(|delivery| vec![delivery]).collect(),
        };
        messages.insert(channel, of_channel);
    }
    Ok(messages)
}

/// Puts back what a service does not want yet; what is critical goes to the fallback meanwhile, and is tried all the same
/// where there is none. A test stays: it is to show what the service says.
pub(super) fn leave_alone(
    tx: &Transaction<'_>,
    due: Vec<Delivery>,
    until: Timestamp,
    fallback: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Delivery>, LedgerError> {
    let is_critical = |delivery: &Delivery| delivery.alert.alert.level == AlertLevel::Critical;
    // Each by itself waits as long as the service wishes, once it was tried.
    let goes = |delivery: &Delivery| {
        delivery.is_test() || (fallback.is_none() && is_critical(delivery) && delivery.attempts <= 1)
    };
    let (going, others): (Vec<_>, Vec<_>) = due.into_iter().partition(goes);
    for delivery in others {
        alert::postpone(tx, delivery.delivery_id, until)?;
        if let Some(fallback) = fallback.filter(|_| is_critical(&delivery)) {
            alert::fall_back(tx, delivery.alert.alert_id, fallback, now)?;
        }
    }
    Ok(going)
}

fn of_chat(
    tx: &Transaction<'_>,
    chat: &str,
    due: Vec<Delivery>,
    recent: &Recent,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<Vec<Delivery>>, LedgerError> {
    let (mut notes, others): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|delivery| delivery.is_note() && delivery.batch.is_none());
    let (again, alone): (Vec<_>, Vec<_>) = others.into_iter().partition(|delivery| delivery.batch.is_some());
    let mut messages: Vec<Vec<Delivery>> = alone.into_iter().map(|delivery| vec![delivery]).collect();
    let batches: BTreeSet<i64> = again.iter().filter_map(|delivery| delivery.batch).collect();
    for batch in batches {
        let mut message = alert::claim_batch(tx, batch)?;
        message.extend(again.iter().filter(|delivery| delivery.batch == Some(batch)).cloned());
        message.sort_by_key(|delivery| delivery.delivery_id);
        messages.push(message);
    }
    if notes.is_empty() {
        return Ok(messages);
    }
    notes.extend(alert::claim_notes(tx, chat, GROUP_MAX, now.after(policy.gather()))?);
    let admitted = pacing::admit(policy.pace, notes, recent, now);
    if !admitted.later.is_empty() {
        tracing::info!(channel = chat, notes = admitted.later.len(), "delivery.held_back");
    }
    for (note, until) in &admitted.later {
        alert::postpone(tx, note.delivery_id, *until)?;
    }
    let first = admitted.now.first().map(|note| note.delivery_id);
    for note in &admitted.now {
        let batch = first.filter(|_| admitted.is_one_message).unwrap_or(note.delivery_id);
        alert::set_batch(tx, note.delivery_id, batch)?;
    }
    if admitted.is_one_message {
        messages.push(admitted.now);
    } else {
        messages.extend(admitted.now.into_iter().map(|note| vec![note]));
    }
    Ok(messages)
}
