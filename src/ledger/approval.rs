//! Entries that wait for a person, and the answers.

use daybook_core::order::{IntentEvent, IntentState};
use daybook_core::risk::ApprovalRequest;
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::codec::Word;
use super::intent::{self, StoredIntent};
use super::{LedgerError, run};

const SQL_ASK: &str = "
    INSERT INTO approval (intent_id, reason, asked_at_ms)
    SELECT intent_id, ?3, ?4 FROM intent WHERE run_id = ?1 AND leg = ?2";
const SQL_GET: &str = "SELECT intent_id, reason, asked_at_ms, answer, answered_at_ms, answered_by, note FROM approval WHERE intent_id = ?1";
const SQL_WAITING: &str = "
    SELECT approval.intent_id, approval.reason, asked_at_ms, answer, answered_at_ms, answered_by, note
    FROM approval JOIN intent USING (intent_id)
    WHERE answer IS NULL AND intent.state = 'pending' AND (intent.valid_until_ms IS NULL OR intent.valid_until_ms > ?1)
    ORDER BY approval.intent_id";
const SQL_ANSWER: &str = "
    UPDATE approval SET answer = ?2, answered_at_ms = ?3, answered_by = ?4, note = ?5
    WHERE intent_id = ?1 AND answer IS NULL";

/// What a person says to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is sent.
    Approved,
    /// It is not, and the symbol is not entered in this session any more.
    Rejected,
}

/// An entry that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// The intent that waits.
    pub intent_id: i64,
    /// Why it waits.
    pub reason: String,
    /// Since when.
    pub asked_at: Timestamp,
    /// What a person said; `None`: nothing yet, or nothing before it expired.
    pub answer: Option<Answer>,
    /// When.
    pub answered_at: Option<Timestamp>,
    /// Who.
    pub answered_by: Option<String>,
    /// In what words.
    pub note: Option<String>,
}

/// An entry that waits for a person now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// What was asked.
    pub approval: Approval,
    /// What would be sent.
    pub intent: StoredIntent,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Approval> {
    Ok(Approval {
        intent_id: row.get(0)?,
        reason: row.get(1)?,
        asked_at: Timestamp(row.get(2)?),
        answer: row.get::<_, Option<Word<_>>>(3)?.map(|word| word.0),
        answered_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        answered_by: row.get(5)?,
        note: row.get(6)?,
    })
}

/// Writes that an intent of a run waits for a person.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if the run has no such intent.
pub(super) fn ask(
    tx: &Transaction<'_>,
    run_id: i64,
    request: &ApprovalRequest,
    now: Timestamp,
) -> Result<(), LedgerError> {
    match tx.prepare_cached(SQL_ASK)?.execute(params![run_id, request.leg, request.reason, now.0])? {
        0 => Err(LedgerError::NoSuchRow { what: "intent to approve", key: format!("{run_id}, leg {}", request.leg) }),
        _ => Ok(()),
    }
}

/// What was asked and said of an intent; `None` for one that waits for nobody.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_intent(conn: &Connection, intent_id: i64) -> Result<Option<Approval>, LedgerError> {
    Ok(conn.prepare_cached(SQL_GET)?.query_row([intent_id], from_row).optional()?)
}

/// Whether an intent may not be sent yet, because a person has not said yes.
///
/// # Errors
/// If the ledger cannot be read.
pub fn is_awaited(conn: &Connection, intent_id: i64) -> Result<bool, LedgerError> {
    Ok(of_intent(conn, intent_id)?.is_some_and(|asked| asked.answer != Some(Answer::Approved)))
}

/// Whether a run that has decided waits for a person's answer, and for nothing else.
///
/// # Errors
/// If the ledger cannot be read.
pub fn is_all_that_is_left(conn: &Connection, run_id: i64) -> Result<bool, LedgerError> {
    let mut left = intent::of_run(conn, run_id)?;
    left.retain(|stored| !stored.state.is_settled());
    for stored in &left {
        if !is_awaited(conn, stored.intent_id)? {
            return Ok(false);
        }
    }
    Ok(!left.is_empty())
}

/// The entries that wait for a person and are still worth an answer, the oldest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn waiting(conn: &Connection, now: Timestamp) -> Result<Vec<Waiting>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_WAITING)?;
    let asked: Vec<Approval> = select.query_map([now.0], from_row)?.collect::<Result<_, _>>()?;
    asked.into_iter().map(|approval| Ok(Waiting { intent: intent::get(conn, approval.intent_id)?, approval })).collect()
}

/// Writes what a person says to an entry that waits. Approved, its run is dispatched at once; rejected, it is abandoned.
///
/// # Errors
/// [`LedgerError::Refused`] if it does not wait any more.
pub fn answer(
    tx: &Transaction<'_>,
    waiting: &Waiting,
    answer: Answer,
    by: &str,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let Waiting { approval: Approval { intent_id, .. }, intent: stored } = waiting;
    let changed = tx.prepare_cached(SQL_ANSWER)?.execute(params![intent_id, Word(answer), now.0, by, note])?;
    if changed == 0 || stored.state != IntentState::Pending {
        let reason = "it does not wait for a person any more".to_owned();
        return Err(LedgerError::Refused { what: "intent", key: intent_id.to_string(), reason });
    }
    match answer {
        Answer::Approved => run::postpone_dispatch(tx, stored.run_id, now),
        Answer::Rejected => {
            let outcome = note.map_or_else(|| format!("{by} said no"), |note| format!("{by} said no: {note}"));
            intent::apply(tx, *intent_id, IntentEvent::Expired, Some(&outcome), now)?;
            run::postpone_dispatch(tx, stored.run_id, now)
        }
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::Decision;

    use super::*;
    use crate::ledger::testing::{TestLedger, enter, session, symbol};

    /// A ledger with one entry that waits.
    fn asked() -> (TestLedger, StoredIntent) {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let decision = Decision {
            reviews: vec![ours.review],
            intents: vec![ours.intent],
            approvals: vec![ApprovalRequest { leg: 0, reason: "the session is supervised".to_owned() }],
            ..Decision::default()
        };
        let written = day.decide(&run, &decision);
        let stored = written.intents[0].clone();
        (day, stored)
    }

    #[test]
    fn an_entry_waits_until_a_person_answers_or_its_time_is_over() {
        let (day, stored) = asked();
        let id = stored.intent_id;
        let until = stored.intent.valid_until.unwrap();
        let at = Timestamp(until.0 - 1);
        let waiting_at = |now| day.ledger.read(|conn| waiting(conn, now)).unwrap();
        assert_eq!(waiting_at(at).len(), 1);
        assert_eq!(waiting_at(until), []);
        assert!(day.ledger.read(|conn| is_awaited(conn, id)).unwrap());

        let sent = day.ledger.write_blocking(move |tx| intent::apply(tx, id, IntentEvent::Sending, None, at));
        assert!(format!("{sent:?}").contains("waits for a person"), "the file itself refuses: {sent:?}");

        let asked = waiting_at(at).remove(0);
        let again = asked.clone();
        day.ledger.write_blocking(move |tx| answer(tx, &asked, Answer::Approved, "owner", None, at)).unwrap();
        assert!(!day.ledger.read(|conn| is_awaited(conn, id)).unwrap());
        assert_eq!(waiting_at(at), []);
        let twice = day.ledger.write_blocking(move |tx| answer(tx, &again, Answer::Rejected, "owner", None, at));
        assert!(matches!(twice, Err(LedgerError::Refused { .. })), "an answer is given once");
        let sent = day.ledger.write_blocking(move |tx| intent::apply(tx, id, IntentEvent::Sending, None, at));
        assert_eq!(sent.unwrap(), IntentState::Submitting);
    }

    #[test]
    fn a_no_holds_for_the_session() {
        let (day, stored) = asked();
        let asked = day.ledger.read(|conn| waiting(conn, Timestamp(0))).unwrap().remove(0);
        day.ledger
            .write_blocking(move |tx| answer(tx, &asked, Answer::Rejected, "owner", Some("earnings"), Timestamp(1)))
            .unwrap();
        let after = day.ledger.read(|conn| intent::get(conn, stored.intent_id)).unwrap();
        assert_eq!((after.state, after.outcome.as_deref()), (IntentState::Abandoned, Some("owner said no: earnings")));
        let entered = day.ledger.read(|conn| intent::symbols_entered(conn, session())).unwrap();
        assert_eq!(entered, [symbol("AAPL")], "the symbol is not proposed again");
    }

    #[test]
    fn what_reduces_risk_cannot_wait() {
        let (day, stored) = asked();
        let exit = day.ledger.write_blocking(move |tx| {
            tx.execute("UPDATE intent SET purpose = 'exit' WHERE intent_id = ?1", [stored.intent_id])?;
            tx.execute("DELETE FROM approval", [])?;
            ask(tx, stored.run_id, &ApprovalRequest { leg: 0, reason: "x".to_owned() }, Timestamp(1))
        });
        assert!(format!("{exit:?}").contains("only an entry waits"), "{exit:?}");
    }
}
