//! Critical alerts wait for a person to take note of them; where nobody does in time, others are told.
//!
//! That an alert waits is a row of its own transaction, and so is each end of the waiting: a process that dies
//! forgets nothing, and tells nobody twice.

use std::collections::BTreeSet;
use std::time::Duration;

use daybook_core::alert::{Alert, AlertEvent, AlertLevel, Settled};
use daybook_core::report::words;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::{LedgerError, Routes, StoredAlert, alert_at, raise};

const SQL_OF: &str = "SELECT level, subject FROM alert WHERE alert_id = ?1";
const SQL_ACKNOWLEDGED: &str = "SELECT at_ms, by FROM acknowledgement WHERE alert_id = ?1";
const SQL_ACKNOWLEDGE: &str =
    "INSERT INTO acknowledgement (alert_id, at_ms, by, note, told_as) VALUES (?1, ?2, ?3, ?4, ?5)";
const SQL_END: &str = "UPDATE escalation SET state = ?2 WHERE alert_id = ?1 AND state = 'waiting'";
const SQL_END_EVENT: &str = "
    UPDATE escalation SET state = 'over' WHERE state = 'waiting'
        AND alert_id IN (SELECT alert_id FROM alert WHERE event = ?1 AND level = 'critical')";
const SQL_END_ALL: &str = "UPDATE escalation SET state = 'over' WHERE state = 'waiting'";
const SQL_WAIT: &str = "INSERT INTO escalation (alert_id, due_at_ms) VALUES (?1, ?2)";
const SQL_OVERDUE: &str = "
    SELECT alert_id, run_id, at_ms, level, event, symbol, subject, body FROM escalation JOIN alert USING (alert_id)
    WHERE state = 'waiting' AND due_at_ms <= ?1 ORDER BY alert_id";
const SQL_TOLD: &str = "UPDATE escalation SET state = 'told', told_as = ?2 WHERE alert_id = ?1 AND state = 'waiting'";
const SQL_OPEN: &str = "
    SELECT alert_id, run_id, at_ms, level, event, symbol, subject, body FROM alert
    WHERE level = 'critical' AND NOT EXISTS (SELECT 1 FROM acknowledgement WHERE acknowledgement.alert_id = alert.alert_id)
    ORDER BY alert_id";
const SQL_TOLD_AS: &str = "
    SELECT told_as FROM escalation WHERE alert_id = ?1 AND told_as IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM acknowledgement WHERE acknowledgement.alert_id = told_as)";
const SQL_SETTLED: &str = "
    SELECT event, message_id FROM acknowledgement
        JOIN alert ON alert.alert_id = acknowledgement.alert_id
        JOIN delivery ON delivery.alert_id = acknowledgement.alert_id AND channel = ?2
    WHERE told_as = ?1 ORDER BY acknowledgement.alert_id";

/// Alerts that an alert of them names.
const LISTED_MAX: usize = 20;

/// An alert of which a person took note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// The alert.
    pub alert_id: i64,
    /// What it said.
    pub subject: String,
}

/// Critical alerts that nobody has acknowledged, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unacknowledged(conn: &Connection) -> Result<Vec<StoredAlert>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OPEN)?.query_map([], |row| alert_at(row, 0))?.collect::<Result<_, _>>()?)
}

/// Writes that a person has taken note of alerts, all of them or none, and tells of it: nobody else is told of them
/// any more, and pagers have them settled.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if one is not there, [`LedgerError::Refused`] if it needs no acknowledgement or has one.
pub fn acknowledge(
    tx: &Transaction<'_>,
    alerts: &[i64],
    by: &str,
    note: Option<&str>,
    routes: &Routes,
    now: Timestamp,
) -> Result<Vec<Acknowledged>, LedgerError> {
    let mut acknowledged = Vec::new();
    // With an alert goes the one that told others of it.
    let mut all: BTreeSet<i64> = alerts.iter().copied().collect();
    for alert_id in alerts {
        all.extend(tx.prepare_cached(SQL_TOLD_AS)?.query_row([alert_id], |row| row.get::<_, i64>(0)).optional()?);
    }
    for alert_id in &all {
        let subject = subject_of_open(tx, *alert_id)?;
        acknowledged.push(Acknowledged { alert_id: *alert_id, subject });
    }
    let Some(first) = acknowledged.first() else { return Ok(acknowledged) };
    let subject = match acknowledged.len() {
        1 => format!("{by} has taken note: {}", first.subject),
        many => format!("{by} has taken note of {many} critical alerts"),
    };
    let listed = acknowledged.iter().take(LISTED_MAX).map(|taken| format!("{}  {}", taken.alert_id, taken.subject));
    let body: Vec<String> = note.map(str::to_owned).into_iter().chain(listed).collect();
    let told = Alert::new(AlertEvent::AlertAcknowledged, subject).with_body(body.join("\n"));
    let told_as = raise(tx, None, &told, routes, now)?;
    for taken in &acknowledged {
        tx.prepare_cached(SQL_ACKNOWLEDGE)?.execute(params![taken.alert_id, now.0, by, note, told_as])?;
        tx.prepare_cached(SQL_END)?.execute(params![taken.alert_id, "acknowledged"])?;
    }
    Ok(acknowledged)
}

/// What an alert says that waits for an acknowledgement.
fn subject_of_open(tx: &Transaction<'_>, alert_id: i64) -> Result<String, LedgerError> {
    let key = alert_id.to_string();
    let found = tx
        .prepare_cached(SQL_OF)?
        .query_row([alert_id], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
        .optional()?;
    let Some((level, subject)) = found else { return Err(LedgerError::NoSuchRow { what: "alert", key }) };
    if level != AlertLevel::Critical.as_str() {
        let reason = format!("it is {level}: only what is critical waits for an acknowledgement");
        return Err(LedgerError::Refused { what: "alert", key, reason });
    }
    let known = tx
        .prepare_cached(SQL_ACKNOWLEDGED)?
        .query_row([alert_id], |row| Ok((Timestamp(row.get(0)?), row.get::<_, String>(1)?)))
        .optional()?;
    match known {
        None => Ok(subject),
        Some((at, by)) => {
            let reason = format!("{by} acknowledged it at {}", words::instant(at));
            Err(LedgerError::Refused { what: "alert", key, reason })
        }
    }
}

/// Notes that an alert waits for an acknowledgement if it is of that kind, and ends the waiting of what it resolves.
pub(super) fn follow(
    tx: &Transaction<'_>,
    alert_id: i64,
    alert: &Alert,
    escalate_after: Option<Duration>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let event = AlertEvent::named(&alert.event);
    for over in event.map_or(&[][..], AlertEvent::resolves) {
        tx.prepare_cached(SQL_END_EVENT)?.execute([over.as_str()])?;
    }
    match escalate_after {
        // That nobody listens is told once.
        Some(after) if alert.level == AlertLevel::Critical && event != Some(AlertEvent::AlertUnacknowledged) => {
            tx.prepare_cached(SQL_WAIT)?.execute(params![alert_id, now.after(after).0])?;
        }
        Some(_) | None => {}
    }
    Ok(())
}

/// Tells `routes` of the critical alerts that nobody has acknowledged by now; the answer is how many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn escalate(tx: &Transaction<'_>, routes: &Routes, now: Timestamp) -> Result<usize, LedgerError> {
    let overdue: Vec<StoredAlert> =
        tx.prepare_cached(SQL_OVERDUE)?.query_map([now.0], |row| alert_at(row, 0))?.collect::<Result<_, _>>()?;
    let Some(first) = overdue.first() else { return Ok(0) };
    let since = words::instant(first.at);
    let subject = match overdue.len() {
        1 => format!("nobody has acknowledged since {since}: {}", first.alert.subject),
        many => format!("nobody has acknowledged {many} critical alerts, the first of {since}"),
    };
    let listed = overdue.iter().take(LISTED_MAX).map(|stored| format!("{}  {}", stored.alert_id, stored.alert.subject));
    let body = listed.collect::<Vec<_>>().join("\n");
    let told = Alert::new(AlertEvent::AlertUnacknowledged, subject).with_body(body);
    let told_as = raise(tx, None, &told, routes, now)?;
    for stored in &overdue {
        tx.prepare_cached(SQL_TOLD)?.execute(params![stored.alert_id, told_as])?;
    }
    Ok(overdue.len())
}

/// Ends the waiting of every alert: there is nobody to be told any more.
///
/// # Errors
/// If the ledger cannot be written.
pub fn end_escalations(tx: &Transaction<'_>) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_END_ALL)?.execute([])?;
    Ok(())
}

/// What the acknowledgement that an alert tells of settles on a channel.
///
/// # Errors
/// If the ledger cannot be read.
pub fn settled_by(conn: &Connection, alert_id: i64, channel: &str) -> Result<Vec<Settled>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_SETTLED)?;
    let settled =
        select.query_map(params![alert_id, channel], |row| Ok(Settled { event: row.get(0)?, key: row.get(1)? }))?;
    Ok(settled.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::{Route, next_due_at};
    use super::*;
    use crate::ledger::testing::TestLedger;

    const AFTER: Duration = Duration::from_secs(600);

    fn raised(day: &TestLedger, event: AlertEvent, at: i64) -> i64 {
        let routes = Routes { escalate_after: Some(AFTER), ..Routes::from([Route::every("pagerduty")]) };
        day.ledger
            .write_blocking(move |tx| raise(tx, None, &Alert::new(event, event.as_str()), &routes, Timestamp(at)))
            .unwrap()
    }

    fn escalated(day: &TestLedger, at: i64) -> usize {
        let routes = Routes::from([Route::every("telegram")]);
        day.ledger.write_blocking(move |tx| escalate(tx, &routes, Timestamp(at))).unwrap()
    }

    fn taken(day: &TestLedger, alerts: &[i64], at: i64) -> Result<Vec<Acknowledged>, LedgerError> {
        let (alerts, routes) = (alerts.to_vec(), Routes::from([Route::pager("pagerduty", AlertLevel::Critical)]));
        day.ledger.write_blocking(move |tx| acknowledge(tx, &alerts, "ada", Some("on it"), &routes, Timestamp(at)))
    }

    #[test]
    fn what_nobody_acknowledges_is_told_once_to_others() {
        let day = TestLedger::new();
        raised(&day, AlertEvent::RiskBreached, 0);
        raised(&day, AlertEvent::OrderFilled, 0);
        assert_eq!(escalated(&day, 599_999), 0);
        assert_eq!((escalated(&day, 600_000), escalated(&day, 700_000)), (1, 0));
        let told = day.ledger.read(|conn| super::super::last(conn, 1)).unwrap().remove(0);
        assert_eq!((told.alert.event.as_str(), told.alert.level), ("alert.unacknowledged", AlertLevel::Critical));
        assert!(told.alert.subject.ends_with(": risk.breached"), "{}", told.alert.subject);
        assert_eq!(taken(&day, &[1], 800_000).unwrap().len(), 2, "and that nobody did");
    }

    #[test]
    fn the_next_instant_is_that_of_an_escalation_too() {
        let day = TestLedger::new();
        let routes = Routes { escalate_after: Some(AFTER), ..Routes::default() };
        let told = Alert::new(AlertEvent::RiskBreached, "stop");
        day.ledger.write_blocking(move |tx| raise(tx, None, &told, &routes, Timestamp(5))).unwrap();
        assert_eq!(day.ledger.read(|conn| next_due_at(conn, &[])).unwrap(), Some(Timestamp(600_005)));
        escalated(&day, 600_005);
        assert_eq!(day.ledger.read(|conn| next_due_at(conn, &[])).unwrap(), Some(Timestamp(600_005)), "its delivery");
    }

    #[test]
    fn where_nobody_is_to_be_told_any_more_nothing_waits() {
        let day = TestLedger::new();
        let routes = Routes { escalate_after: Some(AFTER), ..Routes::default() };
        let told = Alert::new(AlertEvent::RiskBreached, "stop");
        day.ledger.write_blocking(move |tx| raise(tx, None, &told, &routes, Timestamp(5))).unwrap();
        day.ledger.write_blocking(end_escalations).unwrap();
        assert_eq!(day.ledger.read(|conn| next_due_at(conn, &[])).unwrap(), None);
    }

    #[test]
    fn what_is_acknowledged_or_over_is_told_to_nobody() {
        let day = TestLedger::new();
        let stop = raised(&day, AlertEvent::RiskBreached, 0);
        raised(&day, AlertEvent::MarksStale, 0);
        assert_eq!(day.ledger.read(unacknowledged).unwrap().len(), 2);
        assert_eq!(taken(&day, &[stop], 10).unwrap()[0].subject, "risk.breached");
        raised(&day, AlertEvent::MarksFresh, 20);
        assert_eq!(escalated(&day, 700_000), 0);
        assert_eq!(day.ledger.read(unacknowledged).unwrap().len(), 1);
    }

    #[test]
    fn a_pager_is_told_what_the_acknowledgement_settles() {
        let day = TestLedger::new();
        let stop = raised(&day, AlertEvent::RiskBreached, 0);
        taken(&day, &[stop], 10).unwrap();
        let told = day.ledger.read(|conn| super::super::last(conn, 1)).unwrap().remove(0);
        let settled = day.ledger.read(|conn| settled_by(conn, told.alert_id, "pagerduty")).unwrap();
        let key = format!("dbk-{}-{stop}-pagerduty", day.ledger.meta().ledger_id);
        assert_eq!(settled, [Settled { event: "risk.breached".to_owned(), key }]);
        assert_eq!(day.ledger.read(|conn| settled_by(conn, told.alert_id, "slack")).unwrap(), []);
    }

    #[test]
    fn only_what_waits_is_acknowledged_and_all_of_it_or_none() {
        let day = TestLedger::new();
        let (stop, fill) = (raised(&day, AlertEvent::RiskBreached, 0), raised(&day, AlertEvent::OrderFilled, 0));
        assert!(taken(&day, &[99], 1).unwrap_err().to_string().contains("99"));
        assert!(taken(&day, &[stop, fill], 1).unwrap_err().to_string().contains("it is info"));
        taken(&day, &[stop], 2).unwrap();
        let again = taken(&day, &[stop], 3).unwrap_err().to_string();
        assert!(again.contains("ada acknowledged it at"), "{again}");
    }
}
