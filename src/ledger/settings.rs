//! The versions of the settings: what was in force when, and what waits to be.

use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Json, Text};
use super::script::{self, ScriptText};

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

const SQL_BETWEEN: &str = "
    SELECT config_version_id, hash, body, origin, note, recorded_at_ms FROM config_version
    WHERE recorded_at_ms >= ?1 AND recorded_at_ms < ?2 ORDER BY config_version_id";
const SQL_BEFORE: &str = "
    SELECT config_version_id, hash, body, origin, note, recorded_at_ms FROM config_version
    WHERE config_version_id < ?1 ORDER BY config_version_id DESC LIMIT 1";
const SQL_WAITING: &str =
    "SELECT hash, limits, session, confirmed_by, recorded_at_ms FROM config_waiting WHERE one = 1";
const SQL_SET_WAITING: &str = "
    INSERT INTO config_waiting (one, hash, limits, session, recorded_at_ms) VALUES (1, ?1, ?2, ?3, ?4)
    ON CONFLICT (one) DO UPDATE SET hash = excluded.hash, limits = excluded.limits, session = excluded.session,
        confirmed_by = NULL, recorded_at_ms = excluded.recorded_at_ms";
const SQL_CONFIRM_WAITING: &str = "UPDATE config_waiting SET confirmed_by = ?2 WHERE hash = ?1";
const SQL_CLEAR_WAITING: &str = "DELETE FROM config_waiting";

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
    /// The scripts that they name by their hashes.
    pub scripts: Vec<ScriptText>,
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

/// Settings that wait: they loosen limits, and were read while the market was open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingConfig {
    /// The hash by which a version of them would be named.
    pub hash: String,
    /// The keys of the limits that wait; all else is in force.
    pub limits: Vec<String>,
    /// The session in which they were read.
    pub session: SessionDate,
    /// The person who wants them at once.
    pub confirmed_by: Option<String>,
    /// When they were read.
    pub recorded_at: Timestamp,
}

/// What waits; `None` if nothing does.
///
/// # Errors
/// If the ledger cannot be read.
pub fn waiting(conn: &Connection) -> Result<Option<WaitingConfig>, LedgerError> {
    let row = conn.prepare_cached(SQL_WAITING)?.query_row([], |row| {
        Ok(WaitingConfig {
            hash: row.get(0)?,
            limits: row.get::<_, Json<_>>(1)?.0,
            session: row.get::<_, Text<_>>(2)?.0,
            confirmed_by: row.get(3)?,
            recorded_at: Timestamp(row.get(4)?),
        })
    });
    Ok(row.optional()?)
}

/// Has settings wait in the place of those that did. The same that wait already are left as they are, and the answer is
/// `false`.
///
/// # Errors
/// If the ledger cannot be written.
pub fn set_waiting(
    tx: &Transaction<'_>,
    hash: &str,
    limits: &[String],
    session: SessionDate,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    if waiting(tx)?.is_some_and(|waiting| waiting.hash == hash) {
        return Ok(false);
    }
    tx.prepare_cached(SQL_SET_WAITING)?.execute(params![hash, Json(limits), Text(session), now.0])?;
    Ok(true)
}

/// Records that a person wants the settings of this hash at once; `false` if others wait, or none.
///
/// # Errors
/// If the ledger cannot be written.
pub fn confirm_waiting(tx: &Transaction<'_>, hash: &str, confirmed_by: &str) -> Result<bool, LedgerError> {
    Ok(tx.prepare_cached(SQL_CONFIRM_WAITING)?.execute(params![hash, confirmed_by])? == 1)
}

/// Has nothing wait any more; `false` if nothing did.
///
/// # Errors
/// If the ledger cannot be written.
pub fn clear_waiting(tx: &Transaction<'_>) -> Result<bool, LedgerError> {
    Ok(tx.prepare_cached(SQL_CLEAR_WAITING)?.execute([])? == 1)
}

/// Records settings as those in force, and answers their version. The same settings as the last are no
/// new version; the same as those of an earlier one are, and its note says so.
///
/// # Errors
/// If the ledger cannot be written.
pub fn record(tx: &Transaction<'_>, new: &NewConfigVersion, now: Timestamp) -> Result<i64, LedgerError> {
    if let Some(last) = latest(tx)?
        && last.hash == new.hash
    {
        return Ok(last.config_version_id);
    }
    for script in &new.scripts {
        script::record(tx, script, now)?;
    }
    let earlier = by_hash(tx, &new.hash)?.map(|earlier| format!("as version {} was", earlier.config_version_id));
    let note = new.note.clone().or(earlier);
    Ok(tx.prepare_cached(SQL_INSERT)?.insert(params![new.hash, new.body, new.origin, note, now.0])?)
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

/// The versions that were recorded in `[from, until)`, in their order, each after the one before it.
///
/// # Errors
/// If the ledger cannot be read.
pub fn between(
    conn: &Connection,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Option<ConfigVersion>, ConfigVersion)>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_BETWEEN)?;
    let versions = select.query_map(params![from.0, until.0], from_row)?.collect::<Result<Vec<_>, _>>()?;
    let mut before = match versions.first() {
        Some(first) => conn.prepare_cached(SQL_BEFORE)?.query_row([first.config_version_id], from_row).optional()?,
        None => None,
    };
    Ok(versions.into_iter().map(|version| (before.replace(version.clone()), version)).collect())
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
            scripts: Vec::new(),
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
        assert_eq!(listed[0].note.as_deref(), Some("as version 1 was"));
        assert_eq!(listed[1].note, None);
        assert_eq!(day.ledger.read(|conn| get(conn, 2)).unwrap().body, "body of b");
        let missing = day.ledger.read(|conn| get(conn, 9)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no version of the settings 9 in the ledger");
    }

    #[test]
    fn what_waits_is_one_and_is_confirmed_by_its_hash() {
        let day = TestLedger::new();
        let session = SessionDate::of(2026, 11, 16).unwrap();
        let limits = ["max_positions".to_owned()];
        day.ledger
            .write_blocking(move |tx| {
                assert_eq!(waiting(tx)?, None);
                assert!(set_waiting(tx, "a", &limits, session, Timestamp(1))?);
                assert!(!set_waiting(tx, "a", &limits, session, Timestamp(2))?, "it waits already");
                assert!(!confirm_waiting(tx, "b", "owner")?);
                assert!(confirm_waiting(tx, "a", "owner")?);
                let found = waiting(tx)?.unwrap();
                assert_eq!((found.recorded_at, found.confirmed_by.as_deref()), (Timestamp(1), Some("owner")));
                assert!(set_waiting(tx, "b", &limits, session, Timestamp(3))?);
                assert_eq!(waiting(tx)?.unwrap().confirmed_by, None, "another is not confirmed with it");
                assert!(clear_waiting(tx)? && !clear_waiting(tx)?);
                Ok(())
            })
            .unwrap();
    }
}
