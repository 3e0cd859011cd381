//! Intents: effects that were committed before they are tried.

use std::collections::BTreeSet;

use daybook_core::market::Symbol;
use daybook_core::order::{Action, ClientOrderId, Intent, IntentEvent, IntentState};
use daybook_core::risk::Verdict;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Json, Text, Word};
use super::decision::RunRef;

const SQL_INSERT: &str = "
    INSERT INTO intent (run_id, leg, purpose, action, client_order_id, broker_order_id, symbol, side, quantity_e9, terms,
        reason, signal_id, decided_at_ms, valid_until_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
/// The columns of a [`StoredIntent`], in the order in which [`from_row`] reads them.
macro_rules! select_intent {
    ($rest:literal) => {
        concat!(
            "SELECT intent_id, intent.run_id, run.job, run.slot_at_ms, run.session, intent.leg, purpose, terms, intent.reason,
                intent.signal_id, intent.decided_at_ms, valid_until_ms, intent.state, attempts, submitted_at_ms, settled_at_ms, outcome,
                verdict.quantity_e9, verdict.refused_by, verdict.checks
             FROM intent JOIN run USING (run_id) LEFT JOIN verdict USING (signal_id) ",
            $rest
        )
    };
}
const SQL_GET: &str = select_intent!("WHERE intent_id = ?1");
const SQL_OF_RUN: &str = select_intent!("WHERE intent.run_id = ?1 ORDER BY intent.leg");
const SQL_BY_CLIENT_ID: &str = select_intent!("WHERE client_order_id = ?1");
// The list of states in front is the partial index's own condition: with it SQLite uses the index.
const SQL_OPEN: &str =
    select_intent!("WHERE intent.state IN ('pending', 'submitting', 'unknown', 'acked') ORDER BY intent_id");
const SQL_ABANDONED: &str =
    select_intent!("WHERE intent.state = 'abandoned' AND intent.decided_at_ms >= ?1 ORDER BY intent_id");
const SQL_UNSETTLED: &str = select_intent!(
    "WHERE intent.state IN ('pending', 'submitting', 'unknown', 'acked') AND intent.state <> 'acked' ORDER BY intent_id"
);
const SQL_OF_SYMBOL: &str = select_intent!(
    "WHERE intent.symbol = ?1 AND intent.decided_at_ms >= ?2 AND intent.decided_at_ms < ?3 ORDER BY intent_id"
);
const SQL_STATE: &str = "SELECT state FROM intent WHERE intent_id = ?1";
const SQL_MOVE: &str = "
    UPDATE intent SET state = :state, outcome = coalesce(:outcome, outcome), attempts = attempts + :sent,
        submitted_at_ms = CASE WHEN :state IN ('pending', 'abandoned') THEN submitted_at_ms
                               ELSE coalesce(submitted_at_ms, :now) END,
        settled_at_ms = CASE WHEN :settled THEN coalesce(settled_at_ms, :now) END
    WHERE intent_id = :intent_id";
const SQL_ID_BY_CLIENT_ID: &str = "SELECT intent_id FROM intent WHERE client_order_id = ?1";
const SQL_PLANNED_IDS: &str = "SELECT client_order_id FROM intent WHERE client_order_id IS NOT NULL";
const SQL_SYMBOLS_ENTERED: &str = "
    WITH entry AS (
        SELECT intent.symbol, count(*) AS entries FROM intent JOIN run USING (run_id)
            WHERE run.session = ?1 AND purpose = 'enter' AND (intent.state <> 'abandoned' OR EXISTS (
                SELECT 1 FROM approval WHERE approval.intent_id = intent.intent_id AND answer = 'rejected'))
            GROUP BY intent.symbol
        UNION ALL SELECT symbol, count(*) FROM position WHERE session = ?1 GROUP BY symbol
    )
    SELECT symbol, max(entries) FROM entry GROUP BY symbol ORDER BY symbol";

/// An intent with its place and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredIntent {
    /// Its row.
    pub intent_id: i64,
    /// The run that decided it.
    pub run_id: i64,
    /// The run's job.
    pub job: String,
    /// The run's slot.
    pub slot: Timestamp,
    /// The run's session.
    pub session: Option<SessionDate>,
    /// What is wanted.
    #[serde(flatten)]
    pub intent: Intent,
    /// The signal it came from.
    pub signal_id: Option<i64>,
    /// Risk's answer to that signal: an entry is reviewed against it again before it is sent.
    pub verdict: Option<Verdict>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Where it stands.
    pub state: IntentState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was sent first.
    pub submitted_at: Option<Timestamp>,
    /// When nothing was left to do for the dispatcher.
    pub settled_at: Option<Timestamp>,
    /// What the broker or the dispatcher said.
    pub outcome: Option<String>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredIntent> {
    Ok(StoredIntent {
        intent_id: row.get(0)?,
        run_id: row.get(1)?,
        job: row.get(2)?,
        slot: Timestamp(row.get(3)?),
        session: row.get::<_, Option<Text<_>>>(4)?.map(|text| text.0),
        intent: Intent {
            leg: row.get(5)?,
            purpose: row.get::<_, Word<_>>(6)?.0,
            action: row.get::<_, Json<_>>(7)?.0,
            reason: row.get(8)?,
            valid_until: row.get::<_, Option<i64>>(11)?.map(Timestamp),
        },
        signal_id: row.get(9)?,
        decided_at: Timestamp(row.get(10)?),
        state: row.get::<_, Word<_>>(12)?.0,
        attempts: row.get(13)?,
        submitted_at: row.get::<_, Option<i64>>(14)?.map(Timestamp),
        settled_at: row.get::<_, Option<i64>>(15)?.map(Timestamp),
        outcome: row.get(16)?,
        verdict: verdict_at(row, 17)?,
    })
}

/// The verdict in three columns from `first` on (size, refusing check, checks); `None` where a left
/// join found none.
pub(super) fn verdict_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Verdict>> {
    let Some(checks) = row.get::<_, Option<Json<_>>>(first + 2)? else { return Ok(None) };
    Ok(Some(Verdict {
        quantity: row.get::<_, Option<i64>>(first)?.map(daybook_core::money::Quantity),
        refused_by: row.get::<_, Option<Word<_>>>(first + 1)?.map(|word| word.0),
        checks: checks.0,
    }))
}

/// The part of an action that has columns of its own.
struct ActionColumns<'a> {
    action: &'static str,
    client_order_id: Option<&'a str>,
    broker_order_id: Option<&'a str>,
    side: Option<&'static str>,
    quantity_e9: Option<i64>,
}

fn columns(action: &Action) -> ActionColumns<'_> {
    let none =
        ActionColumns { action: "", client_order_id: None, broker_order_id: None, side: None, quantity_e9: None };
    match action {
        Action::Submit(ticket) => ActionColumns {
            action: "submit",
            client_order_id: Some(ticket.client_order_id.as_str()),
            side: Some(ticket.side.as_str()),
            quantity_e9: Some(ticket.quantity.0),
            ..none
        },
        Action::Cancel { broker_order_id, .. } => {
            ActionColumns { action: "cancel", broker_order_id: Some(broker_order_id), ..none }
        }
        Action::ReplaceStop { broker_order_id, .. } => {
            ActionColumns { action: "replace_stop", broker_order_id: Some(broker_order_id), ..none }
        }
        Action::Close { client_order_id, .. } => {
            ActionColumns { action: "close", client_order_id: Some(client_order_id.as_str()), ..none }
        }
    }
}

/// Writes an intent of a decision; the answer is its row.
pub(super) fn insert(
    tx: &Transaction<'_>,
    run: &RunRef,
    intent: &Intent,
    signal_id: Option<i64>,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let columns = columns(&intent.action);
    Ok(tx.prepare_cached(SQL_INSERT)?.insert(params![
        run.run_id,
        intent.leg,
        Word(intent.purpose),
        columns.action,
        columns.client_order_id,
        columns.broker_order_id,
        Text(intent.action.symbol()),
        columns.side,
        columns.quantity_e9,
        Json(&intent.action),
        intent.reason,
        signal_id,
        now.0,
        intent.valid_until.map(|until| until.0),
    ])?)
}

/// One intent.
///
/// # Errors
/// [`LedgerError::NoSuchRow`] if there is none of this number.
pub fn get(conn: &Connection, intent_id: i64) -> Result<StoredIntent, LedgerError> {
    conn.prepare_cached(SQL_GET)?.query_row([intent_id], from_row).optional()?.ok_or_else(|| missing(intent_id))
}

fn missing(intent_id: i64) -> LedgerError {
    LedgerError::NoSuchRow { what: "intent", key: intent_id.to_string() }
}

/// The intents of a run, by leg.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_run(conn: &Connection, run_id: i64) -> Result<Vec<StoredIntent>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OF_RUN)?.query_map([run_id], from_row)?.collect::<Result<_, _>>()?)
}

/// The intents on a symbol that were decided in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_symbol(
    conn: &Connection,
    symbol: Symbol,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<StoredIntent>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_OF_SYMBOL)?;
    Ok(select.query_map(params![symbol.as_str(), from.0, until.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The names of all orders that were ever to be sent, each in its first revision.
///
/// # Errors
/// If the ledger cannot be read.
pub fn planned_ids(conn: &Connection) -> Result<BTreeSet<ClientOrderId>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_PLANNED_IDS)?;
    Ok(select.query_map([], |row| Ok(row.get::<_, Text<_>>(0)?.0))?.collect::<Result<_, _>>()?)
}

/// The intent whose order carries this name.
///
/// # Errors
/// If the ledger cannot be read.
pub fn by_client_order_id(conn: &Connection, id: &ClientOrderId) -> Result<Option<StoredIntent>, LedgerError> {
    Ok(conn.prepare_cached(SQL_BY_CLIENT_ID)?.query_row([id.as_str()], from_row).optional()?)
}

/// The intents with which the dispatcher still has work, what reduces risk first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unsettled(conn: &Connection) -> Result<Vec<StoredIntent>, LedgerError> {
    let mut intents: Vec<StoredIntent> =
        conn.prepare_cached(SQL_UNSETTLED)?.query_map([], from_row)?.collect::<Result<_, _>>()?;
    intents.sort_by_key(|stored| (stored.intent.purpose, stored.intent_id));
    Ok(intents)
}

/// The intents whose story is not over: unsettled ones, and those whose order lives at the broker.
///
/// # Errors
/// If the ledger cannot be read.
pub fn open(conn: &Connection) -> Result<Vec<StoredIntent>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OPEN)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

/// The intents that may still have something to do with the broker: those that are not terminal, and those
/// abandoned since an instant, whose order may turn up late.
///
/// # Errors
/// If the ledger cannot be read.
pub fn open_or_abandoned_since(conn: &Connection, since: Timestamp) -> Result<Vec<StoredIntent>, LedgerError> {
    let mut intents = open(conn)?;
    let mut select = conn.prepare_cached(SQL_ABANDONED)?;
    intents.extend(select.query_map([since.0], from_row)?.collect::<Result<Vec<_>, _>>()?);
    Ok(intents)
}

/// The symbols that were entered in a session, are about to be, or that a person has refused: one entry a symbol and day.
///
/// # Errors
/// If the ledger cannot be read.
pub fn symbols_entered(conn: &Connection, session: SessionDate) -> Result<Vec<Symbol>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_SYMBOLS_ENTERED)?;
    let entries = select.query_map([Text(session)], |row| Ok((row.get::<_, Text<Symbol>>(0)?.0, row.get(1)?)))?;
    let mut symbols = Vec::new();
    for entry in entries {
        let (symbol, times): (Symbol, u32) = entry?;
        symbols.extend((0..times).map(|_| symbol));
    }
    Ok(symbols)
}

/// Moves an intent on, and answers its new state. `outcome` is what the broker or the dispatcher said.
///
/// # Errors
/// [`LedgerError::Refused`] if the event cannot happen in the intent's state: nothing may be sent on
/// such a view; [`LedgerError::NoSuchRow`] if there is no such intent.
pub fn apply(
    tx: &Transaction<'_>,
    intent_id: i64,
    event: IntentEvent,
    outcome: Option<&str>,
    now: Timestamp,
) -> Result<IntentState, LedgerError> {
    let before: IntentState = tx
        .prepare_cached(SQL_STATE)?
        .query_row([intent_id], |row| Ok(row.get::<_, Word<_>>(0)?.0))
        .optional()?
        .ok_or_else(|| missing(intent_id))?;
    let state = before.apply(event).map_err(|error| LedgerError::Refused {
        what: "intent",
        key: intent_id.to_string(),
        reason: error.to_string(),
    })?;
    tx.prepare_cached(SQL_MOVE)?.execute(rusqlite::named_params! {
        ":state": state.as_str(),
        ":outcome": outcome,
        ":sent": event == IntentEvent::Sending,
        ":settled": state.is_settled(),
        ":now": now.0,
        ":intent_id": intent_id,
    })?;
    Ok(state)
}

/// The intent whose order carries this name, by its row.
pub(super) fn id_of(conn: &Connection, client_order_id: &ClientOrderId) -> Result<Option<i64>, LedgerError> {
    Ok(conn.prepare_cached(SQL_ID_BY_CLIENT_ID)?.query_row([client_order_id.as_str()], |row| row.get(0)).optional()?)
}
