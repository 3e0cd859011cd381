//! The versions of the settings: what was in force when.

use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::LedgerError;

const SQL_INSERT: &str = "
    INSERT INTO config_version (hash, body, origin, note, recorded_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
const SQL_LATEST: &str = "
    SELECT config_version_id, hash, body, origin, note, recorded_at_ms FROM config_version
    ORDER BY config_version_id DESC LIMIT 1";
const SQL_GET: &str = "
    SELECT config_version_id, hash, body, origin, note, recorded_at_ms FROM config_version WHERE config_version_id = ?1";
const SQL_BY_HASH: &str = "
    SELECT config_version_id, hash, body, origin, note, recorded_at_ms FROM config_version WHERE hash = ?1
    ORDER BY config_version_id DESC LIMIT 1";
const SQL_LIST: &str = "
    SELECT config_version_id, hash, body, origin, note, recorded_at_ms FROM config_version
    ORDER BY config_version_id DESC LIMIT ?1";

/// Settings about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConfigVersion {
    /// The hash that runs name them by.
    pub hash: String,
    /// The settings as text, secrets left out.
    pub body: String,
    /// Where they came from: a file, a restore.
    pub origin: String,
    /// Why they changed, if somebody said.
    pub note: Option<String>,
}

/// Settings as they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigVersion {
    /// Rises with each change; what `trade config diff` and `restore` take.
    pub config_version_id: i64,
    /// The hash that runs name them by.
    pub hash: String,
    /// The settings as text, secrets left out.
    pub body: String,
    /// Where they came from.
    pub origin: String,
    /// Why they changed, if somebody said.
    pub note: Option<String>,
    /// When they came into force.
    pub recorded_at: Timestamp,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<ConfigVersion> {
    Ok(ConfigVersion {
        config_version_id: row.get(0)?,
        hash: row.get(1)?,
        body: row.get(2)?,
        origin: row.get(3)?,
        note: row.get(4)?,
        recorded_at: Timestamp(row.get(5)?),
    })
}

/// Records settings as those in force, and answers their version. The same settings as the last are no
/// new version.
///
/// # Errors
/// If the ledger cannot be written.
pub fn record(tx: &Transaction<'_>, new: &NewConfigVersion, now: Timestamp) -> Result<i64, LedgerError> {
    if let Some(last) = latest(tx)?
        && last.hash == new.hash
    {
        return Ok(last.config_version_id);
    }
    Ok(tx.prepare_cached(SQL_INSERT)?.insert(params![new.hash, new.body, new.origin, new.note, now.0])?)
}

/// The settings in force; `None` before the first start.
///
/// # Errors
/// If the ledger cannot be read.
pub fn latest(conn: &Connection) -> Result<Option<ConfigVersion>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LATEST)?.query_row([], from_row).optional()?)
}

/// One version.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number.
pub fn get(conn: &Connection, config_version_id: i64) -> Result<ConfigVersion, LedgerError> {
    conn.prepare_cached(SQL_GET)?
        .query_row([config_version_id], from_row)
        .optional()?
        .ok_or_else(|| LedgerError::NoSuchRow { what: "version of the settings", key: config_version_id.to_string() })
}

/// The settings that runs name by this hash.
///
/// # Errors
/// If the ledger cannot be read.
pub fn by_hash(conn: &Connection, hash: &str) -> Result<Option<ConfigVersion>, LedgerError> {
    Ok(conn.prepare_cached(SQL_BY_HASH)?.query_row([hash], from_row).optional()?)
}

/// The last `limit` versions, newest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn list(conn: &Connection, limit: u32) -> Result<Vec<ConfigVersion>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LIST)?.query_map([limit], from_row)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    fn version(hash: &str) -> NewConfigVersion {
        NewConfigVersion {
            hash: hash.to_owned(),
            body: format!("body of {hash}"),
            origin: "config/daybook.yaml".to_owned(),
            note: None,
        }
    }

    #[test]
    fn a_version_is_a_change() {
        let day = TestLedger::new();
        let ids = day
            .ledger
            .write_blocking(|tx| {
                ["a", "a", "b", "a"]
                    .iter()
                    .zip(1..)
                    .map(|(hash, at)| record(tx, &version(hash), Timestamp(at)))
                    .collect::<Result<Vec<_>, _>>()
            })
            .unwrap();
        assert_eq!(ids, [1, 1, 2, 3]);
        let listed = day.ledger.read(|conn| list(conn, 2)).unwrap();
        assert_eq!(listed.iter().map(|version| version.hash.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(day.ledger.read(|conn| by_hash(conn, "a")).unwrap().unwrap().config_version_id, 3);
        assert_eq!(day.ledger.read(|conn| get(conn, 2)).unwrap().body, "body of b");
        let missing = day.ledger.read(|conn| get(conn, 9)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no version of the settings 9 in the ledger");
    }
}
