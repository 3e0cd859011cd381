//! What the program itself lived through: starts, stops, clock steps, parts that failed.

use daybook_core::market::Symbol;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use super::codec::{Json, Text, Word};

const SQL_INSERT: &str = "
    INSERT INTO event (at_ms, name, level, run_id, symbol, message, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const SQL_BETWEEN: &str = "
    SELECT event_id, at_ms, name, level, run_id, symbol, message, data FROM event
    WHERE at_ms >= ?1 AND at_ms < ?2 ORDER BY event_id";
const SQL_LAST_FAULTS: &str = "
    SELECT event_id, at_ms, name, level, run_id, symbol, message, data FROM event
    WHERE level IN ('warning', 'error') ORDER BY event_id DESC LIMIT ?1";
const SQL_RESTORED: &str = "SELECT at_ms FROM event WHERE name = 'ledger.restored' AND at_ms >= ?1 ORDER BY at_ms";
// What happened before a restore is understood by it for as long as the rows are there.
const SQL_PRUNE: &str = "DELETE FROM event WHERE at_ms < ?1 AND name <> 'ledger.restored'";

/// The name of the event that a restore leaves in the ledger that it puts in place.
pub const RESTORED: &str = "ledger.restored";

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventLevel {
    /// For whoever looks for a mistake.
    Debug,
    /// The ordinary course.
    Info,
    /// Something went wrong, and was borne.
    Warning,
    /// A person must act.
    Error,
}

impl EventLevel {
    /// `debug`, `info`, `warning` or `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that happened to the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What, as `noun.verb`: `scheduler.started`.
    pub name: String,
    /// How much it matters.
    pub level: EventLevel,
    /// The run that it belongs to.
    pub run_id: Option<i64>,
    /// The symbol that it is about.
    pub symbol: Option<Symbol>,
    /// One line that reads well alone.
    pub message: String,
    /// Its figures.
    pub data: Option<serde_json::Value>,
}

impl Event {
    /// An event about the program as a whole.
    #[must_use]
    pub fn new(at: Timestamp, level: EventLevel, name: &str, message: impl Into<String>) -> Self {
        Self { at, name: name.to_owned(), level, run_id: None, symbol: None, message: message.into(), data: None }
    }

    /// The same event with its figures.
    #[must_use]
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.data = Some(data);
        self
    }
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Its row.
    pub event_id: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        event_id: row.get(0)?,
        event: Event {
            at: Timestamp(row.get(1)?),
            name: row.get(2)?,
            level: row.get::<_, Word<_>>(3)?.0,
            run_id: row.get(4)?,
            symbol: row.get::<_, Option<Text<_>>>(5)?.map(|text| text.0),
            message: row.get(6)?,
            data: row.get::<_, Option<Json<_>>>(7)?.map(|json| json.0),
        },
    })
}

/// Writes an event; the answer is its number.
///
/// # Errors
/// If the ledger cannot be written, or the name is not `noun.verb`.
pub fn record(tx: &Transaction<'_>, event: &Event) -> Result<i64, LedgerError> {
    let mut insert = tx.prepare_cached(SQL_INSERT)?;
    Ok(insert.insert(params![
        event.at.0,
        event.name,
        Word(event.level),
        event.run_id,
        event.symbol.map(Text),
        event.message,
        event.data.as_ref().map(Json)
    ])?)
}

/// The events in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn between(conn: &Connection, from: Timestamp, until: Timestamp) -> Result<Vec<StoredEvent>, LedgerError> {
    Ok(conn.prepare_cached(SQL_BETWEEN)?.query_map([from.0, until.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The last `limit` warnings and errors, newest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_faults(conn: &Connection, limit: u32) -> Result<Vec<StoredEvent>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST_FAULTS)?.query_map([limit], from_row)?.collect::<Result<_, _>>()?)
}

/// When backups were put in the ledger's place, from an instant on.
///
/// # Errors
/// If the ledger cannot be read.
pub fn restores(conn: &Connection, from: Timestamp) -> Result<Vec<Timestamp>, LedgerError> {
    let at = |row: &Row<'_>| row.get(0).map(Timestamp);
    Ok(conn.prepare_cached(SQL_RESTORED)?.query_map([from.0], at)?.collect::<Result<_, _>>()?)
}

/// Removes the events before an instant; the answer is how many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn prune(tx: &Transaction<'_>, before: Timestamp) -> Result<usize, LedgerError> {
    Ok(tx.prepare_cached(SQL_PRUNE)?.execute([before.0])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn events_come_back_as_they_were_written() {
        let day = TestLedger::new();
        let started = Event::new(Timestamp(5), EventLevel::Info, "scheduler.started", "started");
        let stepped = Event {
            symbol: Some("AAPL".parse().unwrap()),
            ..Event::new(Timestamp(9), EventLevel::Warning, "clock.stepped", "the clock went back by 61 s")
                .with_data(serde_json::json!({"step_ms": -61_000}))
        };
        let written = [started.clone(), stepped.clone()];
        day.ledger.write_blocking(move |tx| written.iter().try_for_each(|event| record(tx, event).map(drop))).unwrap();
        let read = day.ledger.read(|conn| between(conn, Timestamp(5), Timestamp(10))).unwrap();
        assert_eq!(read.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), [started, stepped.clone()]);
        assert_eq!(day.ledger.read(|conn| last_faults(conn, 5)).unwrap()[0].event, stepped);
        assert_eq!(day.ledger.write_blocking(|tx| prune(tx, Timestamp(9))).unwrap(), 1);
        assert_eq!(day.ledger.read(|conn| between(conn, Timestamp(0), Timestamp(10))).unwrap().len(), 1);
    }

    #[test]
    fn a_name_without_a_verb_is_refused() {
        let day = TestLedger::new();
        let event = Event::new(Timestamp(5), EventLevel::Info, "started", "started");
        assert!(matches!(day.ledger.write_blocking(move |tx| record(tx, &event)), Err(LedgerError::Sql(_))));
    }
}
