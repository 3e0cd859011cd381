//! What is told of one condition goes in turn: its end does not overtake its beginning.
//!
//! A service that keeps conditions, a pager, ignores the end of what it has not heard of yet; told of the beginning after
//! it, it would keep that open for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use daybook_core::alert::AlertEvent;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::{Delivery, DeliveryState, LedgerError, mark_sent, postpone, settled_by};
use crate::ledger::codec::Word;

/// When a delivery is looked at again that waits for one which another process sends.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The receipt of a beginning whose end the service has already.
const IS_OVER: &str = "not sent: it was over by then";

// The list of states is the partial index's own condition: with it SQLite uses the index.
const SQL_OPEN: &str = "
    SELECT delivery_id, state, not_before_ms, message_id, alert_id, event
    FROM delivery INDEXED BY delivery_open JOIN alert USING (alert_id)
    WHERE state IN ('pending', 'sending', 'failed') AND channel = ?1 ORDER BY delivery_id";
const SQL_BRING_FORWARD: &str = "
    UPDATE delivery SET not_before_ms = ?2
    WHERE delivery_id = ?1 AND state IN ('pending', 'failed') AND not_before_ms > ?2";
const SQL_SENT_SINCE: &str = "
    SELECT event FROM delivery JOIN alert USING (alert_id)
    WHERE channel = ?1 AND state = 'sent' AND delivery_id > ?2";
const SQL_ACKNOWLEDGEMENT_SENT: &str = "
    SELECT EXISTS (SELECT 1 FROM acknowledgement JOIN delivery ON delivery.alert_id = told_as
        WHERE acknowledgement.alert_id = ?2 AND channel = ?1 AND state = 'sent')";

/// A delivery that has not ended.
struct Open {
    delivery_id: i64,
    state: DeliveryState,
    not_before: Timestamp,
    keys: BTreeSet<String>,
}

/// Of the deliveries that were claimed on a channel, those whose turn it is. One waits while an earlier one of the same
/// condition has not ended, which is then tried at once; a beginning that is over is not sent any more.
///
/// # Errors
/// If the ledger cannot be written.
pub fn in_turn(
    tx: &Transaction<'_>,
    channel: &str,
    claimed: Vec<Delivery>,
    now: Timestamp,
) -> Result<Vec<Delivery>, LedgerError> {
    let open = open(tx, channel)?;
    let of_now: BTreeSet<i64> = claimed.iter().map(|delivery| delivery.delivery_id).collect();
    let mut ready = Vec::new();
    for delivery in claimed {
        let own = keys(tx, channel, delivery.alert.alert_id, &delivery.alert.alert.event, &delivery.message_id)?;
        // It has waited for no other yet: it was raised, and is due since.
        let is_new = delivery.attempts == 1 && delivery.not_before <= delivery.alert.at;
        let before =
            open.iter().filter(|other| other.delivery_id < delivery.delivery_id && !other.keys.is_disjoint(&own));
        let mut free_at = None;
        for other in before {
            let ends_at = match other.state {
                _ if of_now.contains(&other.delivery_id) => now,
                DeliveryState::Sending => now.after(LOOK_AGAIN),
                _ if is_new => {
                    tx.prepare_cached(SQL_BRING_FORWARD)?.execute(params![other.delivery_id, now.0])?;
                    now
                }
                DeliveryState::Pending | DeliveryState::Failed | DeliveryState::Sent | DeliveryState::Dead => {
                    other.not_before.max(now)
                }
            };
            free_at = free_at.max(Some(ends_at));
        }
        match free_at {
            Some(at) if is_new => postpone(tx, delivery.delivery_id, at.max(Timestamp(delivery.alert.at.0 + 1)))?,
            Some(at) => postpone(tx, delivery.delivery_id, at)?,
            None if delivery.attempts > 1 && is_over(tx, &delivery)? => {
                mark_sent(tx, delivery.delivery_id, IS_OVER, now)?
            }
            None => ready.push(delivery),
        }
    }
    Ok(ready)
}

fn open(conn: &Connection, channel: &str) -> Result<Vec<Open>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_OPEN)?;
    let rows = select.query_map([channel], |row| {
        let state = row.get::<_, Word<_>>(1)?.0;
        let alert: (String, i64, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok((Open { delivery_id: row.get(0)?, state, not_before: Timestamp(row.get(2)?), keys: BTreeSet::new() }, alert))
    })?;
    let mut open = Vec::new();
    for row in rows {
        let (delivery, (message_id, alert_id, event)) = row?;
        open.push(Open { keys: keys(conn, channel, alert_id, &event, &message_id)?, ..delivery });
    }
    Ok(open)
}

/// What a delivery is about: the conditions that it begins, ends or acknowledges, and else itself.
fn keys(
    conn: &Connection,
    channel: &str,
    alert_id: i64,
    event: &str,
    message_id: &str,
) -> Result<BTreeSet<String>, LedgerError> {
    let key = |name: &str, own: &str| match AlertEvent::named(name) {
        Some(condition) if condition.is_resolved() => name.to_owned(),
        Some(_) | None => own.to_owned(),
    };
    let mut keys = BTreeSet::from([key(event, message_id)]);
    let named = AlertEvent::named(event);
    keys.extend(named.map_or(&[][..], AlertEvent::resolves).iter().map(|ended| ended.as_str().to_owned()));
    if named == Some(AlertEvent::AlertAcknowledged) {
        keys.extend(settled_by(conn, alert_id, channel)?.iter().map(|settled| key(&settled.event, &settled.key)));
    }
    Ok(keys)
}

/// Whether the service has heard since that it is over: it was given up, and revived by a person.
fn is_over(conn: &Connection, delivery: &Delivery) -> Result<bool, LedgerError> {
    let Some(event) = AlertEvent::named(&delivery.alert.alert.event) else { return Ok(false) };
    if !event.resolves().is_empty() || event == AlertEvent::AlertAcknowledged {
        return Ok(false); // it ends something itself
    }
    if !event.is_resolved() {
        let sent = params![delivery.channel, delivery.alert.alert_id];
        return Ok(conn.prepare_cached(SQL_ACKNOWLEDGEMENT_SENT)?.query_row(sent, |row| row.get(0))?);
    }
    let mut select = conn.prepare_cached(SQL_SENT_SINCE)?;
    let since = select.query_map(params![delivery.channel, delivery.delivery_id], |row| row.get::<_, String>(0))?;
    let since: Vec<String> = since.collect::<Result<_, _>>()?;
    Ok(since.iter().any(|name| AlertEvent::named(name).is_some_and(|later| later.resolves().contains(&event))))
}
