//! The outbox: what people are told, and each channel's delivery of it.
//!
//! A delivery is claimed before it is tried. A process that dies in between leaves it `sending`; the
//! next one puts it back, its attempts counted, and the message says that it may be a repetition.

mod acknowledgement;
mod recent;
mod routes;
mod turn;
mod wait;

pub use acknowledgement::{Acknowledged, acknowledge, end_escalations, escalate, settled_by, unacknowledged};
pub use recent::{Recent, recent};
pub use routes::{Besides, Route, Routes};
pub use turn::in_turn;
pub use wait::{Lost, MUTE_MAX, lost, mute, muted, release, unmute};

use std::cmp::Reverse;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel};
use daybook_core::time::{Span, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use super::codec::{Json, Text, Word};

const SQL_INSERT: &str = "
    INSERT INTO alert (run_id, at_ms, level, event, symbol, subject, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const SQL_INSERT_DELIVERY: &str = "
    INSERT INTO delivery (alert_id, channel, not_before_ms, message_id)
    SELECT ?1, ?2, ?3, 'dbk-' || value || '-' || ?1 || '-' || ?2 FROM meta WHERE key = 'ledger_id'";
// The list of states in front is the partial index's own condition: with it SQLite uses the index.
const SQL_CLAIM: &str = "
    UPDATE delivery SET state = 'sending', attempts = attempts + 1 WHERE delivery_id IN (
        SELECT delivery_id FROM delivery JOIN alert USING (alert_id)
        WHERE state IN ('pending', 'sending', 'failed') AND state <> 'sending' AND not_before_ms <= ?1
            AND channel NOT IN (SELECT value FROM json_each(?3))
        ORDER BY level = 'critical' DESC, level = 'warning' DESC, not_before_ms, delivery_id LIMIT ?2)
    RETURNING delivery_id";
const SQL_GET: &str = "
    SELECT delivery_id, channel, state, attempts, not_before_ms, message_id, last_error, sent_at_ms, receipt, batch,
        alert_id, run_id, at_ms, level, event, symbol, subject, body
    FROM delivery JOIN alert USING (alert_id) WHERE delivery_id = ?1";
const SQL_LIST: &str = "
    SELECT delivery_id, channel, state, attempts, not_before_ms, message_id, last_error, sent_at_ms, receipt, batch,
        alert_id, run_id, at_ms, level, event, symbol, subject, body
    FROM delivery JOIN alert USING (alert_id)
    WHERE (?2 IS NULL OR channel = ?2) AND (?3 IS NULL OR state = ?3) ORDER BY delivery_id DESC LIMIT ?1";
const SQL_NEXT_AT: &str = "
    SELECT min(at_ms) FROM (
        SELECT min(not_before_ms) AS at_ms FROM delivery
            WHERE state IN ('pending', 'sending', 'failed') AND state <> 'sending'
                AND channel NOT IN (SELECT value FROM json_each(?1))
        UNION ALL SELECT min(due_at_ms) FROM escalation WHERE state = 'waiting')";
const SQL_SENT: &str = "
    UPDATE delivery SET state = 'sent', sent_at_ms = ?2, receipt = ?3, last_error = NULL
    WHERE delivery_id = ?1 AND state = 'sending'";
const SQL_FAILED: &str = "
    UPDATE delivery SET state = 'failed', last_error = ?2, not_before_ms = ?3
    WHERE delivery_id = ?1 AND state = 'sending'";
const SQL_DEAD: &str =
    "UPDATE delivery SET state = 'dead', last_error = ?2 WHERE delivery_id = ?1 AND state = 'sending'";
const SQL_RELEASE: &str = "
    UPDATE delivery SET state = 'pending' WHERE state IN ('pending', 'sending', 'failed') AND state = 'sending'";
const SQL_RETRY: &str = "
    UPDATE delivery SET state = 'pending', not_before_ms = ?2, batch = NULL
    WHERE delivery_id = ?1 AND state IN ('failed', 'dead')";
const SQL_CLAIM_NOTES: &str = "
    UPDATE delivery SET state = 'sending', attempts = attempts + 1 WHERE delivery_id IN (
        SELECT delivery_id FROM delivery INDEXED BY delivery_open JOIN alert USING (alert_id)
        WHERE state IN ('pending', 'sending', 'failed') AND state <> 'sending' AND not_before_ms <= ?1 AND channel = ?2
            AND batch IS NULL AND level <> 'critical' AND event NOT IN ('day.ended', 'week.ended', 'channel.tested')
        ORDER BY delivery_id LIMIT ?3)
    RETURNING delivery_id";
const SQL_CLAIM_BATCH: &str = "
    UPDATE delivery SET state = 'sending', attempts = attempts + 1
    WHERE batch = ?1 AND state IN ('pending', 'failed') RETURNING delivery_id";
const SQL_SET_BATCH: &str = "UPDATE delivery SET batch = ?2 WHERE delivery_id = ?1 AND state = 'sending'";
const SQL_POSTPONE: &str = "
    UPDATE delivery SET state = 'pending', attempts = attempts - 1, not_before_ms = ?2
    WHERE delivery_id = ?1 AND state = 'sending'";
const SQL_FALL_BACK: &str = "
    INSERT INTO delivery (alert_id, channel, not_before_ms, message_id)
    SELECT ?1, ?2, ?3, 'dbk-' || value || '-' || ?1 || '-' || ?2 FROM meta WHERE key = 'ledger_id'
    ON CONFLICT DO NOTHING";
const SQL_LAST: &str = "
    SELECT alert_id, run_id, at_ms, level, event, symbol, subject, body FROM alert ORDER BY alert_id DESC LIMIT ?1";

/// An alert as it was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredAlert {
    /// Its row.
    pub alert_id: i64,
    /// The run that raised it; `None`: the program itself.
    pub run_id: Option<i64>,
    /// When.
    pub at: Timestamp,
    /// What a person is told.
    #[serde(flatten)]
    pub alert: Alert,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its first attempt, or for another after a restart.
    Pending,
    /// It is being tried.
    Sending,
    /// The service has it.
    Sent,
    /// The last attempt failed; it is tried again.
    Failed,
    /// It was given up; `trade notify retry` revives it.
    Dead,
}

impl DeliveryState {
    /// `pending`, `sending`, `sent`, `failed` or `dead`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

/// A channel's delivery of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Its row.
    pub delivery_id: i64,
    /// What is delivered.
    pub alert: StoredAlert,
    /// On which channel.
    pub channel: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// When it may be tried next.
    pub not_before: Timestamp,
    /// The same for every attempt: what a receiver may deduplicate by.
    pub message_id: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the service took it.
    pub sent_at: Option<Timestamp>,
    /// The service's own word.
    pub receipt: Option<String>,
    /// The first delivery of the message that it went out in, once it was tried as one: it stays in it.
    pub batch: Option<i64>,
}

impl Delivery {
    /// Whether it may wait, and go out together with others: neither is so for what is critical, for a digest, and for a
    /// test, for whose arrival a person waits.
    #[must_use]
    pub fn is_note(&self) -> bool {
        is_note(&self.alert.alert)
    }

    /// Whether it is a test, which a person has asked for.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.alert.alert.event == AlertEvent::ChannelTested.as_str()
    }

    /// Whether it waited longer for its first attempt than notes wait for others: through quiet hours, or because there
    /// were too many.
    #[must_use]
    pub fn was_held_back(&self) -> bool {
        self.attempts <= 1 && self.is_note() && self.not_before.since(self.alert.at) > GATHER_MAX.as_duration()
    }
}

/// The longest that a note waits for others; the configuration allows no more.
pub const GATHER_MAX: Span = Span::minutes(1);

fn is_note(alert: &Alert) -> bool {
    let stands_alone = |event: AlertEvent| event.is_digest() || event == AlertEvent::ChannelTested;
    alert.level < AlertLevel::Critical && !AlertEvent::named(&alert.event).is_some_and(stands_alone)
}

fn alert_at(row: &Row<'_>, first: usize) -> rusqlite::Result<StoredAlert> {
    Ok(StoredAlert {
        alert_id: row.get(first)?,
        run_id: row.get(first + 1)?,
        at: Timestamp(row.get(first + 2)?),
        alert: Alert {
            level: row.get::<_, Word<_>>(first + 3)?.0,
            event: row.get(first + 4)?,
            symbol: row.get::<_, Option<Text<_>>>(first + 5)?.map(|text| text.0),
            subject: row.get(first + 6)?,
            body: row.get(first + 7)?,
        },
    })
}

fn delivery_from_row(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        delivery_id: row.get(0)?,
        channel: row.get(1)?,
        state: row.get::<_, Word<_>>(2)?.0,
        attempts: row.get(3)?,
        not_before: Timestamp(row.get(4)?),
        message_id: row.get(5)?,
        last_error: row.get(6)?,
        sent_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        receipt: row.get(8)?,
        batch: row.get(9)?,
        alert: alert_at(row, 10)?,
    })
}

/// Commits an alert and its delivery on each channel that takes it; the answer is its number.
///
/// # Errors
/// If the ledger cannot be written, or the event is not `noun.verb`.
pub fn raise(
    tx: &Transaction<'_>,
    run_id: Option<i64>,
    alert: &Alert,
    routes: &Routes,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let alert_id = tx.prepare_cached(SQL_INSERT)?.insert(params![
        run_id,
        now.0,
        Word(alert.level),
        alert.event,
        alert.symbol.map(Text),
        alert.subject,
        alert.body
    ])?;
    let mut insert = tx.prepare_cached(SQL_INSERT_DELIVERY)?;
    for route in routes.told(alert, now) {
        insert.execute(params![alert_id, route.channel, route.not_before(alert, now).0])?;
    }
    acknowledgement::follow(tx, alert_id, alert, routes.escalate_after, now)?;
    Ok(alert_id)
}

/// Commits an alert, unless it is routine, stands in the ledger anyway, and no channel takes it.
///
/// # Errors
/// As [`raise`].
pub fn raise_if_wanted(
    tx: &Transaction<'_>,
    run_id: Option<i64>,
    alert: &Alert,
    routes: &Routes,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let is_routine = AlertEvent::named(&alert.event).is_some_and(AlertEvent::is_routine);
    if !is_routine || routes.told(alert, now).next().is_some() {
        raise(tx, run_id, alert, routes, now)?;
    }
    Ok(())
}

/// Claims what is due on channels that are not busy, the critical first, at most `limit` deliveries. Each must be ended
/// by [`mark_sent`], [`mark_failed`] or [`mark_dead`].
///
/// # Errors
/// If the ledger cannot be written.
pub fn claim_due(
    tx: &Transaction<'_>,
    limit: u32,
    busy: &[String],
    now: Timestamp,
) -> Result<Vec<Delivery>, LedgerError> {
    let mut claim = tx.prepare_cached(SQL_CLAIM)?;
    let claimed: Vec<i64> =
        claim.query_map(params![now.0, limit, Json(busy)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut due = claimed.into_iter().map(|delivery_id| get(tx, delivery_id)).collect::<Result<Vec<_>, _>>()?;
    due.sort_by_key(|delivery| (Reverse(delivery.alert.alert.level), delivery.not_before, delivery.delivery_id));
    Ok(due)
}

/// Claims a channel's notes that are due by `until` and were not tried yet, at most `limit`: they go out with one that
/// is due now.
///
/// # Errors
/// If the ledger cannot be written.
pub fn claim_notes(
    tx: &Transaction<'_>,
    channel: &str,
    limit: u32,
    until: Timestamp,
) -> Result<Vec<Delivery>, LedgerError> {
    let mut claim = tx.prepare_cached(SQL_CLAIM_NOTES)?;
    let claimed: Vec<i64> =
        claim.query_map(params![until.0, channel, limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    claimed.into_iter().map(|delivery_id| get(tx, delivery_id)).collect()
}

/// Claims the rest of a message that was tried before: it goes out again as it was.
///
/// # Errors
/// If the ledger cannot be written.
pub fn claim_batch(tx: &Transaction<'_>, batch: i64) -> Result<Vec<Delivery>, LedgerError> {
    let mut claim = tx.prepare_cached(SQL_CLAIM_BATCH)?;
    let claimed: Vec<i64> = claim.query_map([batch], |row| row.get(0))?.collect::<Result<_, _>>()?;
    claimed.into_iter().map(|delivery_id| get(tx, delivery_id)).collect()
}

/// Notes which message a claimed delivery goes out in, from now on.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if it is not under way.
pub fn set_batch(tx: &Transaction<'_>, delivery_id: i64, batch: i64) -> Result<(), LedgerError> {
    changed(delivery_id, tx.prepare_cached(SQL_SET_BATCH)?.execute(params![delivery_id, batch])?)
}

/// Puts a claimed delivery back, untried, until `not_before`.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if it is not under way.
pub fn postpone(tx: &Transaction<'_>, delivery_id: i64, not_before: Timestamp) -> Result<(), LedgerError> {
    changed(delivery_id, tx.prepare_cached(SQL_POSTPONE)?.execute(params![delivery_id, not_before.0])?)
}

/// Has another channel deliver an alert, too, unless it does already.
///
/// # Errors
/// If the ledger cannot be written.
pub fn fall_back(tx: &Transaction<'_>, alert_id: i64, channel: &str, now: Timestamp) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_FALL_BACK)?.execute(params![alert_id, channel, now.0])?;
    Ok(())
}

/// When the next delivery on a channel that is not busy is due, or the next escalation; `None` if nothing waits.
///
/// # Errors
/// If the ledger cannot be read.
pub fn next_due_at(conn: &Connection, busy: &[String]) -> Result<Option<Timestamp>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_NEXT_AT)?;
    Ok(select.query_row([Json(busy)], |row| row.get::<_, Option<i64>>(0))?.map(Timestamp))
}

/// Ends a delivery that the service took.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if it is not under way.
pub fn mark_sent(tx: &Transaction<'_>, delivery_id: i64, receipt: &str, now: Timestamp) -> Result<(), LedgerError> {
    changed(delivery_id, tx.prepare_cached(SQL_SENT)?.execute(params![delivery_id, now.0, receipt])?)
}

/// Notes that an attempt failed and when the next may begin.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if it is not under way.
pub fn mark_failed(
    tx: &Transaction<'_>,
    delivery_id: i64,
    error: &str,
    not_before: Timestamp,
) -> Result<(), LedgerError> {
    changed(delivery_id, tx.prepare_cached(SQL_FAILED)?.execute(params![delivery_id, error, not_before.0])?)
}

/// Gives a delivery up.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if it is not under way.
pub fn mark_dead(tx: &Transaction<'_>, delivery_id: i64, error: &str) -> Result<(), LedgerError> {
    changed(delivery_id, tx.prepare_cached(SQL_DEAD)?.execute(params![delivery_id, error])?)
}

fn changed(delivery_id: i64, rows: usize) -> Result<(), LedgerError> {
    match rows {
        0 => Err(LedgerError::NoSuchRow { what: "delivery under way", key: delivery_id.to_string() }),
        _ => Ok(()),
    }
}

/// Puts back what a former process left under way; the answer is how many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn release_sending(tx: &Transaction<'_>) -> Result<usize, LedgerError> {
    Ok(tx.prepare_cached(SQL_RELEASE)?.execute([])?)
}

/// Tries a delivery again that failed or was given up.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number, [`LedgerError::Refused`] if it needs no
/// retry.
pub fn retry(tx: &Transaction<'_>, delivery_id: i64, now: Timestamp) -> Result<(), LedgerError> {
    let delivery = get(tx, delivery_id)?;
    match tx.prepare_cached(SQL_RETRY)?.execute(params![delivery_id, now.0])? {
        0 => Err(LedgerError::Refused {
            what: "delivery",
            key: delivery_id.to_string(),
            reason: format!("it is {}: only what failed or is dead is tried again", delivery.state.as_str()),
        }),
        _ => wait::unmute(tx, &delivery.channel, now),
    }
}

/// One delivery.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number.
pub fn get(conn: &Connection, delivery_id: i64) -> Result<Delivery, LedgerError> {
    conn.prepare_cached(SQL_GET)?
        .query_row([delivery_id], delivery_from_row)
        .optional()?
        .ok_or_else(|| LedgerError::NoSuchRow { what: "delivery", key: delivery_id.to_string() })
}

/// The last `limit` deliveries, newest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn deliveries(conn: &Connection, limit: u32) -> Result<Vec<Delivery>, LedgerError> {
    deliveries_of(conn, &Chosen::default(), limit)
}

/// Which deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Those of one channel; `None`: of any.
    pub channel: Option<String>,
    /// Those that stand so; `None`: wherever they stand.
    pub state: Option<DeliveryState>,
}

/// The last `limit` of the chosen deliveries, newest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn deliveries_of(conn: &Connection, chosen: &Chosen, limit: u32) -> Result<Vec<Delivery>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_LIST)?;
    let rows = select.query_map(params![limit, chosen.channel, chosen.state.map(Word)], delivery_from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Tries all deliveries again that were given up, those of one channel or of any; the answer is which.
///
/// # Errors
/// As [`retry`].
pub fn retry_dead(tx: &Transaction<'_>, channel: Option<&str>, now: Timestamp) -> Result<Vec<i64>, LedgerError> {
    let chosen = Chosen { channel: channel.map(str::to_owned), state: Some(DeliveryState::Dead) };
    let mut dead: Vec<i64> =
        deliveries_of(tx, &chosen, u32::MAX)?.into_iter().map(|delivery| delivery.delivery_id).collect();
    dead.sort_unstable();
    dead.iter().try_for_each(|delivery_id| retry(tx, *delivery_id, now))?;
    Ok(dead)
}

/// The last `limit` alerts, newest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last(conn: &Connection, limit: u32) -> Result<Vec<StoredAlert>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_LAST)?;
    Ok(select.query_map([limit], |row| alert_at(row, 0))?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    fn raise_two(day: &TestLedger) {
        day.ledger
            .write_blocking(|tx| {
                let channels = Routes::from([Route::every("email"), Route::every("file")]);
                let note = Alert::new(AlertEvent::DayEnded, "A quiet day").with_body("Nothing happened.");
                raise(tx, None, &note, &channels, Timestamp(10))?;
                let stop = Alert::new(AlertEvent::RiskBreached, "Stopped").about("AAPL".parse().unwrap());
                raise(tx, None, &stop, &channels.without("file"), Timestamp(11))
            })
            .unwrap();
    }

    fn claim(day: &TestLedger, limit: u32, now: i64) -> Vec<Delivery> {
        day.ledger.write_blocking(move |tx| claim_due(tx, limit, &[], Timestamp(now))).unwrap()
    }

    #[test]
    fn what_is_due_is_claimed_once_the_critical_first() {
        let day = TestLedger::new();
        raise_two(&day);
        assert_eq!(day.ledger.read(|conn| next_due_at(conn, &[])).unwrap(), Some(Timestamp(10)));
        assert!(claim(&day, 10, 9).is_empty());
        let busy = ["email".to_owned()];
        assert_eq!(day.ledger.write_blocking(move |tx| claim_due(tx, 9, &busy, Timestamp(9))).unwrap(), []);
        let first = claim(&day, 1, 11);
        assert_eq!(first[0].alert.alert.subject, "Stopped");
        assert_eq!(first[0].message_id, format!("dbk-{}-2-email", day.ledger.meta().ledger_id));
        let rest = claim(&day, 10, 11);
        assert_eq!(
            rest.iter().map(|due| (due.channel.as_str(), due.attempts)).collect::<Vec<_>>(),
            [("email", 1), ("file", 1)]
        );
        assert!(claim(&day, 10, 11).is_empty());
        assert_eq!(day.ledger.read(|conn| next_due_at(conn, &[])).unwrap(), None);
    }

    #[test]
    fn a_delivery_fails_is_tried_again_dies_and_is_revived() {
        let day = TestLedger::new();
        raise_two(&day);
        let id = claim(&day, 1, 11)[0].delivery_id;
        day.ledger.write_blocking(move |tx| mark_failed(tx, id, "no route", Timestamp(100))).unwrap();
        let others: Vec<i64> = claim(&day, 10, 99).iter().map(|due| due.delivery_id).collect();
        assert!(!others.contains(&id));
        let again = claim(&day, 10, 100);
        assert_eq!((again[0].delivery_id, again[0].attempts), (id, 2));
        day.ledger.write_blocking(move |tx| mark_dead(tx, id, "no such user")).unwrap();
        assert!(claim(&day, 10, 1_000).is_empty());
        day.ledger.write_blocking(move |tx| retry(tx, id, Timestamp(200))).unwrap();
        assert_eq!(claim(&day, 10, 200)[0].attempts, 3);
        day.ledger.write_blocking(move |tx| mark_sent(tx, id, "250 queued", Timestamp(201))).unwrap();
        let sent = day.ledger.read(|conn| get(conn, id)).unwrap();
        assert_eq!(
            (sent.state, sent.receipt.as_deref(), sent.last_error),
            (DeliveryState::Sent, Some("250 queued"), None)
        );
        let refused = day.ledger.write_blocking(move |tx| retry(tx, id, Timestamp(300))).unwrap_err();
        assert!(refused.to_string().contains("it is sent"), "{refused}");
    }

    #[test]
    fn what_a_dead_process_was_sending_is_put_back_with_its_attempts() {
        let day = TestLedger::new();
        raise_two(&day);
        claim(&day, 10, 11);
        assert_eq!(day.ledger.write_blocking(release_sending).unwrap(), 3);
        let again = claim(&day, 10, 11);
        assert_eq!(again.iter().map(|due| due.attempts).collect::<Vec<_>>(), [2, 2, 2]);
    }

    #[test]
    fn a_batch_is_claimed_as_a_whole_and_left_by_what_is_revived() {
        let day = TestLedger::new();
        raise_two(&day);
        let ids: Vec<i64> = claim(&day, 10, 11).iter().map(|due| due.delivery_id).collect();
        let batch = ids[0];
        let all = ids.clone();
        day.ledger
            .write_blocking(move |tx| {
                all.iter().try_for_each(|id| set_batch(tx, *id, batch))?;
                all.iter().try_for_each(|id| mark_failed(tx, *id, "busy", Timestamp(20)))
            })
            .unwrap();
        assert_eq!(claim(&day, 1, 20).len(), 1);
        let rest = day.ledger.write_blocking(move |tx| claim_batch(tx, batch)).unwrap();
        assert_eq!(rest.len(), ids.len() - 1);
        let id = rest[0].delivery_id;
        day.ledger.write_blocking(move |tx| mark_dead(tx, id, "gone")).unwrap();
        day.ledger.write_blocking(move |tx| retry(tx, id, Timestamp(30))).unwrap();
        assert_eq!(day.ledger.read(|conn| get(conn, id)).unwrap().batch, None);
    }

    #[test]
    fn all_that_is_dead_is_revived_of_one_channel_or_of_any() {
        let day = TestLedger::new();
        raise_two(&day);
        let ids: Vec<i64> = claim(&day, 10, 11).iter().map(|due| due.delivery_id).collect();
        let lose = |ids: Vec<i64>| {
            day.ledger.write_blocking(move |tx| ids.iter().try_for_each(|id| mark_dead(tx, *id, "gone"))).unwrap();
        };
        let revived = |channel: Option<&'static str>| {
            day.ledger.write_blocking(move |tx| retry_dead(tx, channel, Timestamp(20))).unwrap()
        };
        let count = |channel: Option<&str>, state| {
            let chosen = Chosen { channel: channel.map(str::to_owned), state };
            day.ledger.read(|conn| deliveries_of(conn, &chosen, 9)).unwrap().len()
        };
        lose(ids);
        assert_eq!((count(None, Some(DeliveryState::Dead)), count(Some("file"), None), count(None, None)), (3, 1, 3));
        assert_eq!((revived(Some("email")).len(), revived(Some("slack")).len()), (2, 0));
        assert_eq!((revived(None).len(), revived(None).len()), (1, 0));
    }

    #[test]
    fn a_claim_of_a_burst_reads_none_that_were_sent() {
        let planned = TestLedger::new().plan(SQL_CLAIM_NOTES).join(", ");
        assert!(planned.contains("SEARCH delivery USING INDEX delivery_open (not_before_ms<?)"), "{planned}");
    }
}
