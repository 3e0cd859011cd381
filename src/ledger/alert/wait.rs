//! Until when a channel is left alone, and until when notes wait.

use std::collections::BTreeMap;
use std::time::Duration;

use daybook_core::alert::AlertLevel;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, Transaction, params};
use serde_json::json;

use super::{LedgerError, Routes, StoredAlert, alert_at};
use crate::ledger::event::{self, Event, EventLevel};

/// The longest that a service is left alone at its own wish: what stands in the outbox must not be stopped for a day.
pub const MUTE_MAX: Duration = Duration::from_secs(60 * 60);

/// The name of the event that a service has asked for a pause.
const MUTED: &str = "channel.muted";

const SQL_MUTED: &str = "
    SELECT data ->> 'channel', data ->> 'until_ms', max(event_id) FROM event
    WHERE at_ms >= ?1 AND name = 'channel.muted' GROUP BY 1";
// The list of states in front is the partial index's own condition: with it SQLite uses the index.
const SQL_UNTRIED: &str = "
    SELECT delivery_id, channel, alert_id, run_id, at_ms, level, event, symbol, subject, body
    FROM delivery INDEXED BY delivery_open JOIN alert USING (alert_id)
    WHERE state IN ('pending', 'sending', 'failed') AND state = 'pending' AND attempts = 0 AND not_before_ms > ?1";
const SQL_MOVE: &str = "UPDATE delivery SET not_before_ms = ?2 WHERE delivery_id = ?1 AND state = 'pending'";
const SQL_LOST: &str = "
    SELECT count(*), count(*) FILTER (WHERE level = 'critical'), count(*) FILTER (WHERE level = 'warning')
    FROM delivery JOIN alert USING (alert_id)
    WHERE channel = ?1 AND state = 'dead' AND event <> 'delivery.dead' AND not_before_ms >= coalesce(
        (SELECT max(sent_at_ms) FROM delivery WHERE channel = ?1 AND state = 'sent'), 0)";

/// Notes that a service wants nothing until an instant, on behalf of all that waits for its channel.
///
/// # Errors
/// If the ledger cannot be written.
pub fn mute(tx: &Transaction<'_>, channel: &str, until: Timestamp, now: Timestamp) -> Result<(), LedgerError> {
    let told = if until > now { "asked to be left alone for a while" } else { "is asked again" };
    let muted = Event::new(now, EventLevel::Info, MUTED, format!("{channel} {told}"));
    event::record(tx, &muted.with_data(json!({ "channel": channel, "until_ms": until.0 })))?;
    Ok(())
}

/// The channels whose services want nothing yet, and until when.
///
/// # Errors
/// If the ledger cannot be read.
pub fn muted(conn: &Connection, now: Timestamp) -> Result<BTreeMap<String, Timestamp>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_MUTED)?;
    let wishes = select.query_map([now.before(MUTE_MAX).0], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
    let wishes: Vec<(String, Timestamp)> = wishes.collect::<Result<_, _>>()?;
    // A clock that was set back leaves nobody silent for longer.
    let at_most = now.after(MUTE_MAX);
    Ok(wishes.into_iter().map(|(name, until)| (name, until.min(at_most))).filter(|(_, until)| *until > now).collect())
}

/// Ends a channel's pause: a person wants it asked again, it has just taken something, or it is another one now.
///
/// # Errors
/// If the ledger cannot be written.
pub fn unmute(tx: &Transaction<'_>, channel: &str, now: Timestamp) -> Result<(), LedgerError> {
    if muted(tx, now)?.contains_key(channel) { mute(tx, channel, now, now) } else { Ok(()) }
}

/// Has what waits untried wait as the routes have it now, and no longer as they had it when it was raised; the answer is
/// how many deliveries are due at another time.
///
/// # Errors
/// If the ledger cannot be written.
pub fn release(tx: &Transaction<'_>, routes: &Routes, now: Timestamp) -> Result<usize, LedgerError> {
    let mut select = tx.prepare_cached(SQL_UNTRIED)?;
    let untried = select.query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?, alert_at(row, 2)?)))?;
    let untried: Vec<(i64, String, StoredAlert)> = untried.collect::<Result<_, _>>()?;
    let mut moved = 0;
    for (delivery_id, channel, stored) in untried {
        if let Some(route) = routes.channels.iter().find(|route| route.channel == channel) {
            let until = route.not_before(&stored.alert, now);
            moved += tx.prepare_cached(SQL_MOVE)?.execute(params![delivery_id, until.0])?;
        }
    }
    Ok(moved)
}

/// What a channel has lost since it delivered something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Deliveries that were given up, but for those of just such news.
    pub count: u32,
    /// The most serious of them.
    pub level: AlertLevel,
}

/// What a channel has lost since it delivered something.
///
/// # Errors
/// If the ledger cannot be read.
pub fn lost(conn: &Connection, channel: &str) -> Result<Lost, LedgerError> {
    Ok(conn.prepare_cached(SQL_LOST)?.query_row([channel], |row| {
        let (critical, warning): (u32, u32) = (row.get(1)?, row.get(2)?);
        let level = match (critical, warning) {
            (1.., _) => AlertLevel::Critical,
            (0, 1..) => AlertLevel::Warning,
            (0, 0) => AlertLevel::Info,
        };
        Ok(Lost { count: row.get(0)?, level })
    })?)
}
