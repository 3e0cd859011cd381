//! What a person asks of the scheduler through `trade`: the ledger is the mailbox.

use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use super::codec::{Json, Word};

/// Commands taken at once; the next look takes the rest.
const TAKEN_AT_ONCE_MAX: u32 = 100;

const SQL_ENQUEUE: &str = "
    INSERT INTO command (nonce, name, arguments, requested_by, requested_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (nonce) DO NOTHING";
const SQL_BY_NONCE: &str = "
    SELECT command_id, nonce, name, arguments, requested_by, requested_at_ms, state, result, taken_at_ms, finished_at_ms
    FROM command WHERE nonce = ?1";
const SQL_GET: &str = "
    SELECT command_id, nonce, name, arguments, requested_by, requested_at_ms, state, result, taken_at_ms, finished_at_ms
    FROM command WHERE command_id = ?1";
const SQL_LIST: &str = "
    SELECT command_id, nonce, name, arguments, requested_by, requested_at_ms, state, result, taken_at_ms, finished_at_ms
    FROM command ORDER BY command_id DESC LIMIT ?1";
const SQL_PENDING: &str = "
    SELECT command_id, nonce, name, arguments, requested_by, requested_at_ms, state, result, taken_at_ms, finished_at_ms
    FROM command WHERE state IN ('pending', 'taken') AND state = 'pending' ORDER BY command_id LIMIT ?1";
const SQL_TAKE: &str =
    "UPDATE command SET state = 'taken', taken_at_ms = ?2 WHERE command_id = ?1 AND state = 'pending'";
const SQL_FINISH: &str = "
    UPDATE command SET state = ?2, result = ?3, finished_at_ms = ?4 WHERE command_id = ?1 AND state = 'taken'";
const SQL_RELEASE: &str = "
    UPDATE command SET state = 'pending', taken_at_ms = NULL WHERE state IN ('pending', 'taken') AND state = 'taken'";

/// Something asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewCommand {
    /// The same for every attempt to ask for the same thing.
    pub nonce: String,
    /// What: `halt`, `run`, `close`.
    pub name: String,
    /// With what.
    pub arguments: serde_json::Value,
    /// By whom.
    pub requested_by: String,
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Nobody has seen it.
    Pending,
    /// The scheduler is at it.
    Taken,
    /// It was carried out.
    Done,
    /// It was tried and failed.
    Failed,
    /// It was not carried out, by risk, a halt or its own terms.
    Refused,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandEnd {
    /// It was carried out.
    Done,
    /// It was tried and failed.
    Failed,
    /// It was not carried out, by risk, a halt or its own terms.
    Refused,
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Command {
    /// Its row.
    pub command_id: i64,
    /// What was asked for.
    #[serde(flatten)]
    pub asked: NewCommand,
    /// When.
    pub requested_at: Timestamp,
    /// Where it stands.
    pub state: CommandState,
    /// What came of it, for the person who asked.
    pub result: Option<String>,
    /// When the scheduler took it.
    pub taken_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Command> {
    Ok(Command {
        command_id: row.get(0)?,
        asked: NewCommand {
            nonce: row.get(1)?,
            name: row.get(2)?,
            arguments: row.get::<_, Json<_>>(3)?.0,
            requested_by: row.get(4)?,
        },
        requested_at: Timestamp(row.get(5)?),
        state: row.get::<_, Word<_>>(6)?.0,
        result: row.get(7)?,
        taken_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        finished_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
    })
}

/// Asks for something. Asking again with the same nonce answers the command that is there.
///
/// # Errors
/// [`LedgerError::Refused`] if the nonce was used for something else.
pub fn enqueue(tx: &Transaction<'_>, new: &NewCommand, now: Timestamp) -> Result<Command, LedgerError> {
    tx.prepare_cached(SQL_ENQUEUE)?.execute(params![
        new.nonce,
        new.name,
        Json(&new.arguments),
        new.requested_by,
        now.0
    ])?;
    let command = tx.prepare_cached(SQL_BY_NONCE)?.query_row([&new.nonce], from_row)?;
    if command.asked.name != new.name || command.asked.arguments != new.arguments {
        return Err(LedgerError::Refused {
            what: "command",
            key: new.nonce.clone(),
            reason: format!("its nonce was used for another command (\"{}\"): take a new one", command.asked.name),
        });
    }
    Ok(command)
}

/// One command.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number.
pub fn get(conn: &Connection, command_id: i64) -> Result<Command, LedgerError> {
    conn.prepare_cached(SQL_GET)?
        .query_row([command_id], from_row)
        .optional()?
        .ok_or_else(|| LedgerError::NoSuchRow { what: "command", key: command_id.to_string() })
}

/// The last `limit` commands, newest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn list(conn: &Connection, limit: u32) -> Result<Vec<Command>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LIST)?.query_map([limit], from_row)?.collect::<Result<_, _>>()?)
}

/// Whether a command waits: a cheap look before [`take_pending`].
///
/// # Errors
/// If the ledger cannot be read.
pub fn is_waiting(conn: &Connection) -> Result<bool, LedgerError> {
    Ok(conn.prepare_cached(SQL_PENDING)?.exists([1])?)
}

/// Takes what was asked for, in order; at most 100 at once.
///
/// # Errors
/// If the ledger cannot be written.
pub fn take_pending(tx: &Transaction<'_>, now: Timestamp) -> Result<Vec<Command>, LedgerError> {
    let mut pending: Vec<Command> =
        tx.prepare_cached(SQL_PENDING)?.query_map([TAKEN_AT_ONCE_MAX], from_row)?.collect::<Result<_, _>>()?;
    let mut take = tx.prepare_cached(SQL_TAKE)?;
    for command in &mut pending {
        take.execute(params![command.command_id, now.0])?;
        command.state = CommandState::Taken;
        command.taken_at = Some(now);
    }
    Ok(pending)
}

/// Ends a command that was taken.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if it is not being carried out.
pub fn finish(
    tx: &Transaction<'_>,
    command_id: i64,
    end: CommandEnd,
    result: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    match tx.prepare_cached(SQL_FINISH)?.execute(params![command_id, Word(end), result, now.0])? {
        0 => Err(LedgerError::NoSuchRow { what: "command under way", key: command_id.to_string() }),
        _ => Ok(()),
    }
}

/// Puts back what a former process took and did not finish; the answer is how many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn release_taken(tx: &Transaction<'_>) -> Result<usize, LedgerError> {
    Ok(tx.prepare_cached(SQL_RELEASE)?.execute([])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    fn halt(nonce: &str) -> NewCommand {
        NewCommand {
            nonce: nonce.to_owned(),
            name: "halt".to_owned(),
            arguments: serde_json::json!({"reason": "lunch"}),
            requested_by: "owner".to_owned(),
        }
    }

    #[test]
    fn asking_twice_is_asking_once() {
        let day = TestLedger::new();
        let (first, second, other) = day
            .ledger
            .write_blocking(|tx| {
                let first = enqueue(tx, &halt("n1"), Timestamp(1))?;
                let second = enqueue(tx, &halt("n1"), Timestamp(2))?;
                let other = enqueue(tx, &NewCommand { name: "resume".to_owned(), ..halt("n1") }, Timestamp(3));
                Ok((first, second, other))
            })
            .unwrap();
        assert_eq!(first, second);
        assert!(matches!(other, Err(LedgerError::Refused { .. })));
        assert_eq!(day.ledger.read(|conn| list(conn, 9)).unwrap().len(), 1);
    }

    #[test]
    fn a_command_is_taken_once_and_put_back_by_a_restart() {
        let day = TestLedger::new();
        let id = day.ledger.write_blocking(|tx| Ok(enqueue(tx, &halt("n1"), Timestamp(1))?.command_id)).unwrap();
        assert!(day.ledger.read(is_waiting).unwrap());
        let taken = day.ledger.write_blocking(|tx| take_pending(tx, Timestamp(2))).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0], day.ledger.read(|conn| get(conn, id)).unwrap());
        assert!(day.ledger.write_blocking(|tx| take_pending(tx, Timestamp(3))).unwrap().is_empty());
        assert_eq!(day.ledger.write_blocking(release_taken).unwrap(), 1);
        assert_eq!(day.ledger.write_blocking(|tx| take_pending(tx, Timestamp(4))).unwrap().len(), 1);
        day.ledger.write_blocking(move |tx| finish(tx, id, CommandEnd::Done, "halted", Timestamp(5))).unwrap();
        let done = day.ledger.read(|conn| get(conn, id)).unwrap();
        assert_eq!((done.state, done.result.as_deref()), (CommandState::Done, Some("halted")));
        assert_eq!((done.taken_at, done.finished_at), (Some(Timestamp(4)), Some(Timestamp(5))));
        let twice = day.ledger.write_blocking(move |tx| finish(tx, id, CommandEnd::Done, "again", Timestamp(6)));
        assert!(matches!(twice, Err(LedgerError::NoSuchRow { .. })));
    }
}
