//! What the file is: its identity, its kind, and where a simulated clock stands.

use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use super::codec::Word;
use super::open::NewLedger;

const SQL_GET: &str = "SELECT value FROM meta WHERE key = ?1";
const SQL_INSERT: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
const SQL_SET: &str =
    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value
    WHERE value <> excluded.value";

/// Whose days a ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    /// The system clock's: every commit is synced to the disk.
    Live,
    /// A simulated clock's, on a simulated market.
    Simulation,
    /// A simulated clock's, on recorded bars.
    Replay,
}

impl LedgerKind {
    pub(super) const fn described(self) -> &'static str {
        match self {
            Self::Live => "live account",
            Self::Simulation => "simulation",
            Self::Replay => "replay",
        }
    }
}

/// What is fixed about a ledger when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// Eight hexadecimal digits: part of every order's name.
    pub ledger_id: String,
    /// Whose days it holds.
    pub kind: LedgerKind,
    /// The account it keeps.
    pub account: String,
    /// What a simulation or a replay was started with: the same arguments may go on with the file.
    pub arguments: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

fn get(conn: &Connection, key: &str) -> Result<Option<String>, LedgerError> {
    Ok(conn.prepare_cached(SQL_GET)?.query_row([key], |row| row.get(0)).optional()?)
}

/// Reads what the file is; `None` if its making was interrupted.
pub(super) fn load(conn: &Connection) -> Result<Option<Meta>, LedgerError> {
    let Some(ledger_id) = get(conn, "ledger_id")? else { return Ok(None) };
    let kind: Word<LedgerKind> = conn.prepare_cached(SQL_GET)?.query_row(["kind"], |row| row.get(0))?;
    let account = conn.prepare_cached(SQL_GET)?.query_row(["account"], |row| row.get(0))?;
    let created_at: String = conn.prepare_cached(SQL_GET)?.query_row(["created_at_ms"], |row| row.get(0))?;
    Ok(Some(Meta {
        ledger_id,
        kind: kind.0,
        account,
        arguments: get(conn, "arguments")?,
        created_at: Timestamp(integer("created_at_ms", &created_at)?),
    }))
}

/// Writes the identity of a new ledger.
pub(super) fn create(tx: &Transaction<'_>, new: &NewLedger) -> Result<(), LedgerError> {
    let mut insert = tx.prepare_cached(SQL_INSERT)?;
    insert.execute(params!["ledger_id", new.ledger_id])?;
    insert.execute(params!["kind", Word(new.kind)])?;
    insert.execute(params!["account", new.account])?;
    insert.execute(params!["created_at_ms", new.created_at.0.to_string()])?;
    if let Some(arguments) = &new.arguments {
        insert.execute(params!["arguments", arguments])?;
    }
    Ok(())
}

/// The ledger's identity, part of every order's name.
pub(super) fn ledger_id(conn: &Connection) -> Result<String, LedgerError> {
    let detail = "meta.ledger_id is missing".to_owned();
    get(conn, "ledger_id")?.ok_or(LedgerError::Corrupt { detail })
}

/// Where the simulated clock stands; `None` in a live ledger, and before its first step.
///
/// # Errors
/// If the ledger cannot be read.
pub fn simulated_now(conn: &Connection) -> Result<Option<Timestamp>, LedgerError> {
    get(conn, "simulated_now_ms")?.map(|text| integer("simulated_now_ms", &text).map(Timestamp)).transpose()
}

/// Records where the simulated clock stands, so that a killed simulation goes on from there.
///
/// # Errors
/// If the ledger cannot be written.
pub fn set_simulated_now(tx: &Transaction<'_>, now: Timestamp) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_SET)?.execute(params!["simulated_now_ms", now.0.to_string()])?;
    Ok(())
}

fn integer(key: &'static str, text: &str) -> Result<i64, LedgerError> {
    text.parse().map_err(|_| LedgerError::Corrupt { detail: format!("meta.{key} is \"{text}\", not an integer") })
}
