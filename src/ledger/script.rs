//! Strategies that are scripts: their texts by hash, and the faults that have stopped them.

use daybook_core::strategy::ScriptFault;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Json, Text};

const SQL_RECORD: &str = "INSERT INTO script (sha256, text, recorded_at_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const SQL_TEXT: &str = "SELECT text FROM script WHERE sha256 = ?1";
const SQL_INSERT_FAULT: &str = "
    INSERT INTO script_fault (strategy, sha256, params, symbol, message, run_id, at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
const SQL_FAULTS: &str = "
    SELECT strategy, sha256, params, symbol, message, at_ms FROM script_fault ORDER BY script_fault_id";

/// A script's text, by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptText {
    /// The SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// The text.
    pub text: String,
}

/// A fault as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredFault {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub fault: ScriptFault,
}

/// Keeps a text; one that is kept already stays as it is.
pub(super) fn record(tx: &Transaction<'_>, script: &ScriptText, now: Timestamp) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_RECORD)?.execute(params![script.sha256, script.text, now.0])?;
    Ok(())
}

/// The text of a hash; `None` if it was never in force.
///
/// # Errors
/// If the ledger cannot be read.
pub fn text(conn: &Connection, sha256: &str) -> Result<Option<String>, LedgerError> {
    Ok(conn.prepare_cached(SQL_TEXT)?.query_row([sha256], |row| row.get(0)).optional()?)
}

/// Records that a script has failed. It fails once: the second of two runs beside one another changes nothing.
pub(super) fn insert_fault(
    tx: &Transaction<'_>,
    fault: &ScriptFault,
    run_id: i64,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let ScriptFault { strategy, sha256, params, symbol, message } = fault;
    tx.prepare_cached(SQL_INSERT_FAULT)?.execute(params![
        strategy,
        sha256,
        Json(params),
        Text(symbol),
        message,
        run_id,
        now.0
    ])?;
    Ok(())
}

/// Every fault so far, in order; [`ScriptFault::concerns`] tells which are of a script as it is now.
///
/// # Errors
/// If the ledger cannot be read.
pub fn faults(conn: &Connection) -> Result<Vec<StoredFault>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_FAULTS)?;
    let faults = select.query_map([], |row| {
        let fault = ScriptFault {
            strategy: row.get(0)?,
            sha256: row.get(1)?,
            params: row.get::<_, Json<_>>(2)?.0,
            symbol: row.get::<_, Text<_>>(3)?.0,
            message: row.get(4)?,
        };
        Ok(StoredFault { at: Timestamp(row.get(5)?), fault })
    })?;
    Ok(faults.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use daybook_core::strategy::Param;

    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn a_text_is_kept_once_and_a_fault_is_told_once() {
        let day = TestLedger::new();
        let run = day.run("analysis", 0).run_id;
        let kept = |text: &str| ScriptText { sha256: "a".repeat(64), text: text.to_owned() };
        let fault = ScriptFault {
            strategy: "mine".to_owned(),
            sha256: "a".repeat(64),
            params: BTreeMap::from([("closes".to_owned(), Param::Integer(2))]),
            symbol: "AAPL".parse().unwrap(),
            message: "my.lua:3: broken".to_owned(),
        };
        for (words, at) in [("first", 1), ("second", 2)] {
            let (script, fault) = (kept(words), fault.clone());
            day.ledger
                .write_blocking(move |tx| {
                    record(tx, &script, Timestamp(at))?;
                    insert_fault(tx, &fault, run, Timestamp(at))
                })
                .unwrap();
        }
        assert_eq!(day.ledger.read(|conn| text(conn, &"a".repeat(64))).unwrap().as_deref(), Some("first"));
        assert_eq!(day.ledger.read(|conn| text(conn, "b")).unwrap(), None);
        assert_eq!(day.ledger.read(faults).unwrap(), [StoredFault { at: Timestamp(1), fault }]);
    }
}
