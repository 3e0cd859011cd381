//! What people ask for in a chat: how far the service was read, each request, and its answer.
//!
//! An update is taken in the transaction of what follows from it, which also moves the cursor: a process that dies reads
//! it again and takes nothing twice. A service that calls has no cursor: its request is unique by its number and the
//! instant at which it was written. An answer stands in the ledger until its service has it.

use std::time::Duration;

use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::LedgerError;
use super::codec::Json;

/// The characters of a request that are kept.
const TEXT_MAX: usize = 500;
/// Telegram numbers updates anew, by chance, once there was none for a week, and keeps them for a day: a cursor that
/// has stood for longer than this says nothing about what comes.
const CURSOR_AGE_MAX: Duration = Duration::from_secs(6 * 24 * 60 * 60);
/// Answers that are looked at at once.
const UNANSWERED_MAX: u32 = 50;

const SQL_CURSOR: &str = "SELECT number FROM chat_cursor WHERE channel = ?1 AND moved_at_ms > ?2";
const SQL_ADVANCE: &str = "
    INSERT INTO chat_cursor (channel, number, moved_at_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (channel) DO UPDATE SET number = excluded.number, moved_at_ms = excluded.moved_at_ms";
const SQL_INSERT: &str = "
    INSERT INTO chat_request (channel, number, written_at_ms, taken_at_ms, chat, sender, text, outcome, wanted, code,
        confirms, command_id, answer)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const SQL_COUNT: &str = "
    SELECT count(*) FROM chat_request WHERE channel = ?1 AND taken_at_ms > ?2 AND sender = ?3 AND outcome <> 'stranger'";
const SQL_COUNT_STRANGERS: &str = "
    SELECT count(*) FROM chat_request WHERE channel = ?1 AND taken_at_ms > ?2 AND outcome = 'stranger'";
const SQL_WAITING: &str = "
    SELECT chat_request_id, wanted FROM chat_request AS asked
    WHERE channel = ?1 AND taken_at_ms > ?2 AND chat = ?3 AND sender = ?4 AND code = ?5
      AND NOT EXISTS (SELECT 1 FROM chat_request WHERE confirms = asked.chat_request_id)
    ORDER BY chat_request_id DESC LIMIT 1";
const SQL_UNANSWERED: &str = "
    SELECT chat_request_id, chat, sender, taken_at_ms, command_id, answer FROM chat_request
    WHERE channel = ?1 AND taken_at_ms > ?2 AND answered_at_ms IS NULL AND outcome NOT IN ('stranger', 'crowded')
    ORDER BY taken_at_ms, chat_request_id LIMIT ?3";
const SQL_UNANSWERED_ONE: &str = "
    SELECT chat_request_id, chat, sender, taken_at_ms, command_id, answer FROM chat_request
    WHERE chat_request_id = ?1 AND answered_at_ms IS NULL AND outcome NOT IN ('stranger', 'crowded')";
const SQL_IS_TAKEN: &str = "SELECT 1 FROM chat_request WHERE channel = ?1 AND number = ?2 AND written_at_ms = ?3";
const SQL_ANSWERED: &str =
    "UPDATE chat_request SET answer = ?2, answered_at_ms = ?3, answer_error = ?4 WHERE chat_request_id = ?1";

/// What somebody wrote, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRequest<'a> {
    /// The channel's name in the configuration.
    pub channel: &'a str,
    /// The service's own number.
    pub number: i64,
    /// When it was written, by the service's clock.
    pub written_at: Timestamp,
    /// In which chat.
    pub chat: &'a str,
    /// By whom.
    pub sender: &'a str,
    /// What.
    pub text: &'a str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nothing: nobody listens to its sender. Its text is not kept.
    Stranger,
    /// Nothing: there were too many, and its sender was told so before.
    Crowded,
    /// A question was answered.
    Answered(String),
    /// What was asked for is not done, and why.
    Refused(String),
    /// A command waits for a yes that names the code.
    Asked {
        /// The command.
        wanted: serde_json::Value,
        /// The code.
        code: String,
        /// What the sender is told.
        answer: String,
    },
    /// A command was passed on; its end is the answer.
    PassedOn {
        /// Its row.
        command_id: i64,
        /// The request that this one says yes to.
        confirms: Option<i64>,
    },
}

/// A command that waits for a yes.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The request that asked for it.
    pub chat_request_id: i64,
    /// The command.
    pub wanted: serde_json::Value,
}

/// A request whose sender has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// Its row.
    pub chat_request_id: i64,
    /// Where the answer goes.
    pub chat: String,
    /// Whom it is for.
    pub sender: String,
    /// When the request was taken.
    pub taken_at: Timestamp,
    /// What to say.
    pub reply: Reply,
}

/// What a sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These words.
    Text(String),
    /// What became of a command.
    Command(i64),
}

/// The number after which a service is read on; `None`: from the oldest update that it has.
///
/// # Errors
/// If the ledger cannot be read.
pub fn cursor(conn: &Connection, channel: &str, now: Timestamp) -> Result<Option<i64>, LedgerError> {
    let since = now.before(CURSOR_AGE_MAX);
    Ok(conn.prepare_cached(SQL_CURSOR)?.query_row(params![channel, since.0], |row| row.get(0)).optional()?)
}

/// Moves the cursor to an update that is about to be taken; `false` if it was taken before.
///
/// # Errors
/// If the ledger cannot be written.
pub fn advance(tx: &Transaction<'_>, channel: &str, number: i64, now: Timestamp) -> Result<bool, LedgerError> {
    if cursor(tx, channel, now)?.is_some_and(|taken| number <= taken) {
        return Ok(false);
    }
    tx.prepare_cached(SQL_ADVANCE)?.execute(params![channel, number, now.0])?;
    Ok(true)
}

/// Records a request, and names its row.
///
/// # Errors
/// If the ledger cannot be written, or says that what it confirms was confirmed before.
pub fn record(tx: &Transaction<'_>, request: &NewRequest<'_>, now: Timestamp) -> Result<i64, LedgerError> {
    let NewRequest { channel, number, written_at, chat, sender, text, outcome } = request;
    let (word, asked, passed_on, answer) = match outcome {
        Outcome::Stranger => ("stranger", None, None, None),
        Outcome::Crowded => ("crowded", None, None, None),
        Outcome::Answered(answer) => ("answered", None, None, Some(answer)),
        Outcome::Refused(answer) => ("refused", None, None, Some(answer)),
        Outcome::Asked { wanted, code, answer } => ("asked", Some((Json(wanted), code)), None, Some(answer)),
        Outcome::PassedOn { command_id, confirms } => ("passed_on", None, Some((*command_id, *confirms)), None),
    };
    let (wanted, code) = asked.unzip();
    let (command_id, confirms) = passed_on.unzip();
    let kept = if *outcome == Outcome::Stranger { 0 } else { TEXT_MAX };
    let text: String = text.chars().take(kept).collect();
    tx.prepare_cached(SQL_INSERT)?.execute(params![
        channel,
        number,
        written_at.0,
        now.0,
        chat,
        sender,
        text,
        word,
        wanted,
        code,
        confirms.flatten(),
        command_id,
        answer
    ])?;
    Ok(tx.last_insert_rowid())
}

/// How many requests of a sender were taken since an instant, strangers' none.
///
/// # Errors
/// If the ledger cannot be read.
pub fn count_of(conn: &Connection, channel: &str, sender: &str, since: Timestamp) -> Result<u32, LedgerError> {
    Ok(conn.prepare_cached(SQL_COUNT)?.query_row(params![channel, since.0, sender], |row| row.get(0))?)
}

/// How many requests of strangers were recorded since an instant.
///
/// # Errors
/// If the ledger cannot be read.
pub fn count_of_strangers(conn: &Connection, channel: &str, since: Timestamp) -> Result<u32, LedgerError> {
    Ok(conn.prepare_cached(SQL_COUNT_STRANGERS)?.query_row(params![channel, since.0], |row| row.get(0))?)
}

/// The command that a sender has asked for in a chat since an instant, under a code, and nobody has said yes to.
///
/// # Errors
/// If the ledger cannot be read.
pub fn waiting(
    conn: &Connection,
    yes: &NewRequest<'_>,
    code: &str,
    since: Timestamp,
) -> Result<Option<Waiting>, LedgerError> {
    let key = params![yes.channel, since.0, yes.chat, yes.sender, code];
    let found = conn
        .prepare_cached(SQL_WAITING)?
        .query_row(key, |row| Ok(Waiting { chat_request_id: row.get(0)?, wanted: row.get::<_, Json<_>>(1)?.0 }));
    Ok(found.optional()?)
}

/// The requests since an instant whose senders have no answer yet, the oldest first; at most 50.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unanswered(conn: &Connection, channel: &str, since: Timestamp) -> Result<Vec<Unanswered>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_UNANSWERED)?;
    let rows = select.query_map(params![channel, since.0, UNANSWERED_MAX], read_unanswered)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A request, as long as its sender has no answer.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unanswered_one(conn: &Connection, chat_request_id: i64) -> Result<Option<Unanswered>, LedgerError> {
    Ok(conn.prepare_cached(SQL_UNANSWERED_ONE)?.query_row([chat_request_id], read_unanswered).optional()?)
}

fn read_unanswered(row: &Row<'_>) -> rusqlite::Result<Unanswered> {
    let reply = match row.get::<_, Option<i64>>(4)? {
        Some(command_id) => Reply::Command(command_id),
        None => Reply::Text(row.get(5)?),
    };
    let (chat_request_id, chat, sender, taken_at) = (row.get(0)?, row.get(1)?, row.get(2)?, Timestamp(row.get(3)?));
    Ok(Unanswered { chat_request_id, chat, sender, taken_at, reply })
}

/// Whether a request was taken before, of a service whose numbers do not ascend.
///
/// # Errors
/// If the ledger cannot be read.
pub fn is_taken(conn: &Connection, channel: &str, number: i64, written_at: Timestamp) -> Result<bool, LedgerError> {
    let found = conn.prepare_cached(SQL_IS_TAKEN)?.query_row(params![channel, number, written_at.0], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// Notes the answer that a service took, or why it will never take it.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is no such request.
pub fn mark_answered(
    tx: &Transaction<'_>,
    chat_request_id: i64,
    answer: &str,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    match tx.prepare_cached(SQL_ANSWERED)?.execute(params![chat_request_id, answer, now.0, error])? {
        0 => Err(LedgerError::NoSuchRow { what: "chat request", key: chat_request_id.to_string() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::command::{self, NewCommand};
    use crate::ledger::testing::TestLedger;

    const NOW: Timestamp = Timestamp(1_794_848_400_000);

    fn request(number: i64, outcome: Outcome) -> NewRequest<'static> {
        let (chat, sender) = ("42", "42");
        NewRequest { channel: "telegram", number, written_at: NOW, chat, sender, text: "/close all", outcome }
    }

    fn record_it(day: &TestLedger, request: NewRequest<'static>) -> Result<i64, LedgerError> {
        day.ledger.write_blocking(move |tx| record(tx, &request, NOW))
    }

    fn passed_on(day: &TestLedger, nonce: &str, confirms: Option<i64>) -> Outcome {
        let new = NewCommand {
            nonce: nonce.to_owned(),
            name: "halt".to_owned(),
            arguments: serde_json::json!({}),
            requested_by: "telegram:42".to_owned(),
        };
        let command_id = day.ledger.write_blocking(move |tx| Ok(command::enqueue(tx, &new, NOW)?.command_id)).unwrap();
        Outcome::PassedOn { command_id, confirms }
    }

    #[test]
    fn an_update_is_taken_once_and_numbers_may_begin_anew_after_a_week() {
        let day = TestLedger::new();
        let advance =
            |number, at: Timestamp| day.ledger.write_blocking(move |tx| advance(tx, "telegram", number, at)).unwrap();
        let cursor = |at| day.ledger.read(|conn| cursor(conn, "telegram", at)).unwrap();
        assert_eq!(cursor(NOW), None);
        assert!(advance(870_001, NOW) && !advance(870_001, NOW) && !advance(869_000, NOW));
        assert!(advance(870_005, NOW), "what a person may not see has numbers, too");
        assert_eq!(cursor(NOW), Some(870_005));
        let later = NOW.after(Duration::from_secs(7 * 24 * 60 * 60));
        assert_eq!(cursor(later), None);
        assert!(advance(12, later) && !advance(12, later));
        assert_eq!(cursor(later), Some(12));
    }

    #[test]
    fn what_waits_is_confirmed_once_by_whom_it_waits_for() {
        let day = TestLedger::new();
        let asked = || Outcome::Asked {
            wanted: serde_json::json!({"trade": {"close": {"symbol": null}}}),
            code: "4711".to_owned(),
            answer: "/yes 4711".to_owned(),
        };
        record_it(&day, request(1, asked())).unwrap();
        let find = |yes: NewRequest<'_>, code: &str, since: Timestamp| {
            day.ledger.read(|conn| waiting(conn, &yes, code, since)).unwrap()
        };
        let yes = || request(2, Outcome::Crowded);
        let since = NOW.before(Duration::from_secs(60));
        let found = find(yes(), "4711", since).unwrap();
        assert_eq!(found.wanted, serde_json::json!({"trade": {"close": {"symbol": null}}}));
        assert_eq!(find(yes(), "4712", since), None);
        assert_eq!(find(yes(), "4711", NOW), None, "too late");
        assert_eq!(find(NewRequest { sender: "43", ..yes() }, "4711", since), None);
        assert_eq!(find(NewRequest { chat: "-100", ..yes() }, "4711", since), None);
        let confirms = Some(found.chat_request_id);
        record_it(&day, request(3, passed_on(&day, "n1", confirms))).unwrap();
        assert_eq!(find(yes(), "4711", since), None);
        let twice = record_it(&day, request(4, passed_on(&day, "n2", confirms)));
        assert!(format!("{twice:?}").contains("UNIQUE"), "the file itself refuses: {twice:?}");
    }

    #[test]
    fn an_answer_waits_until_its_service_has_it() {
        let day = TestLedger::new();
        record_it(&day, request(1, Outcome::Stranger)).unwrap();
        record_it(&day, request(2, Outcome::Crowded)).unwrap();
        record_it(&day, request(3, Outcome::Answered("flat".to_owned()))).unwrap();
        record_it(&day, request(4, passed_on(&day, "n1", None))).unwrap();
        let unanswered =
            || day.ledger.read(|conn| unanswered(conn, "telegram", NOW.before(Duration::from_secs(600)))).unwrap();
        let (first, second) = (unanswered().remove(0), unanswered().remove(1));
        assert_eq!((first.reply, unanswered().len()), (Reply::Text("flat".to_owned()), 2));
        assert_eq!(second.reply, Reply::Command(1));
        for (id, error) in [(first.chat_request_id, None), (second.chat_request_id, Some("403 Forbidden"))] {
            day.ledger.write_blocking(move |tx| mark_answered(tx, id, "said", error, NOW)).unwrap();
        }
        assert_eq!(unanswered(), []);
        let kept = day.ledger.query("SELECT text FROM chat_request WHERE outcome = 'stranger'").unwrap().rows;
        assert!(!format!("{kept:?}").contains("close"), "a stranger fills no ledger: {kept:?}");
        let counted = |sender: &str| day.ledger.read(|conn| count_of(conn, "telegram", sender, Timestamp(0))).unwrap();
        assert_eq!((counted("42"), counted("43")), (3, 0));
        assert_eq!(day.ledger.read(|conn| count_of_strangers(conn, "telegram", Timestamp(0))).unwrap(), 1);
    }

    #[test]
    fn a_request_of_a_service_that_calls_is_taken_once_in_any_order() {
        let day = TestLedger::new();
        let is_taken = |number, at| day.ledger.read(|conn| is_taken(conn, "telegram", number, at)).unwrap();
        assert!(!is_taken(7, NOW));
        let id = record_it(&day, request(7, Outcome::Answered("flat".to_owned()))).unwrap();
        assert!(is_taken(7, NOW) && !is_taken(6, NOW) && !is_taken(7, Timestamp(NOW.0 + 1)));
        let twice = record_it(&day, request(7, Outcome::Crowded));
        assert!(format!("{twice:?}").contains("UNIQUE"), "the file itself refuses: {twice:?}");
        let one = || day.ledger.read(|conn| unanswered_one(conn, id)).unwrap();
        assert_eq!(
            one().map(|request| (request.sender, request.reply)),
            Some(("42".to_owned(), Reply::Text("flat".to_owned())))
        );
        day.ledger.write_blocking(move |tx| mark_answered(tx, id, "flat", None, NOW)).unwrap();
        assert_eq!(one(), None);
        let plan = day.plan(SQL_IS_TAKEN).join(", ");
        assert!(!plan.contains("SCAN"), "{plan}");
    }

    #[test]
    fn what_every_request_asks_is_found_by_an_index() {
        let day = TestLedger::new();
        for sql in [SQL_COUNT, SQL_COUNT_STRANGERS, SQL_UNANSWERED, SQL_WAITING] {
            let plan = day.plan(sql).join(", ");
            assert!(!plan.contains("SCAN") && plan.contains("INDEX chat_request_"), "{plan}");
        }
    }
}
