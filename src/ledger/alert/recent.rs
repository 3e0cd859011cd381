//! What a channel was sent lately: from it follows what may go out now.

use std::collections::BTreeMap;
use std::time::Duration;

use daybook_core::market::Symbol;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::LedgerError;
use crate::ledger::codec::Text;

// The list of states is the partial index's own condition: with it SQLite uses the index.
const SQL_MESSAGES: &str = "
    SELECT max(went_at_ms) FROM (
        SELECT alert_id, coalesce(batch, delivery_id) AS message, sent_at_ms AS went_at_ms FROM delivery
            WHERE channel = ?1 AND state = 'sent' AND sent_at_ms > ?2
        UNION ALL
        SELECT alert_id, coalesce(batch, delivery_id), ?3 FROM delivery
            WHERE channel = ?1 AND state IN ('pending', 'sending', 'failed') AND state = 'sending')
        JOIN alert USING (alert_id)
    WHERE level <> 'critical' AND event NOT IN ('day.ended', 'week.ended', 'channel.tested') GROUP BY message ORDER BY 1";
const SQL_TOLD: &str = "
    SELECT event, symbol, max(sent.at_ms) FROM (
        SELECT alert_id, sent_at_ms AS at_ms FROM delivery WHERE channel = ?1 AND state = 'sent' AND sent_at_ms > ?2
        UNION ALL
        SELECT alert_id, ?3 FROM delivery
            WHERE channel = ?1 AND state IN ('pending', 'sending', 'failed') AND state = 'sending') AS sent
        JOIN alert USING (alert_id)
    GROUP BY event, symbol";

/// What a channel was sent lately, and what is on its way there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    /// When each message of notes went out, in order.
    pub messages: Vec<Timestamp>,
    /// When each event of each symbol was told last.
    pub told: BTreeMap<(String, Option<Symbol>), Timestamp>,
}

/// What a channel was sent within `span`, and told within `cool_down`.
///
/// # Errors
/// If the ledger cannot be read.
pub fn recent(
    conn: &Connection,
    channel: &str,
    span: Duration,
    cool_down: Duration,
    now: Timestamp,
) -> Result<Recent, LedgerError> {
    let mut select = conn.prepare_cached(SQL_MESSAGES)?;
    let messages = select.query_map(params![channel, now.before(span).0, now.0], |row| row.get(0).map(Timestamp))?;
    let messages = messages.collect::<Result<_, _>>()?;
    let mut select = conn.prepare_cached(SQL_TOLD)?;
    let told = select.query_map(params![channel, now.before(cool_down).0, now.0], |row| {
        let symbol = row.get::<_, Option<Text<Symbol>>>(1)?.map(|text| text.0);
        Ok(((row.get(0)?, symbol), Timestamp(row.get(2)?)))
    })?;
    Ok(Recent { messages, told: told.collect::<Result<_, _>>()? })
}
