//! What a person asks for: commands that `trade` writes into the ledger and the holder of the lease takes.
//!
//! Where no scheduler runs, `trade` takes the lease itself and applies the command on the same path.

use daybook_core::alert::{Alert, AlertEvent};
use daybook_core::order::Action;
use daybook_core::report::words;
use daybook_core::risk::{Halt, HaltKind, HandOrder};
use daybook_core::schedule::{JobDefinition, slots};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Parts;
use crate::ledger::approval::{self, Answer, Waiting};
use crate::ledger::command::{self, CommandEnd, NewCommand};
use crate::ledger::intent::StoredIntent;
use crate::ledger::run::{self, Trigger};
use crate::ledger::{LedgerError, alert, halt, pause, settings};

/// The job through which a person trades: it has no schedule, and is built in.
pub const OPERATOR: &str = "operator";

/// A command's name and arguments, as they stand in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Runs a job now, or as the slot that it was due at.
    Run {
        job: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_slot: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionDate>,
    },
    /// Stops planning a job.
    Pause { job: String },
    /// Plans a paused job again, from now on.
    Unpause { job: String },
    /// Stops new entries.
    Halt { reason: String },
    /// Clears every latch.
    Resume { reason: String },
    /// Has a configuration in force, named by its hash; one that loosens a limit while the market is open, only if the
    /// person confirms it.
    ApplyConfig { hash: String, confirm: bool },
    /// Says yes or no to entries that wait for a person: one, by its symbol or the name of its order, or all.
    Answer {
        answer: Answer,
        entry: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Trades, through a run of the operator's job.
    Trade(Trade),
}

impl Command {
    /// The word that stands in the ledger's list of commands.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Pause { .. } => "pause",
            Self::Unpause { .. } => "unpause",
            Self::Halt { .. } => "halt",
            Self::Resume { .. } => "resume",
            Self::ApplyConfig { .. } => "apply_config",
            Self::Answer { .. } => "answer",
            Self::Trade(_) => "trade",
        }
    }

    /// The job that it is about: the one that is run, or the operator's.
    #[must_use]
    pub fn job(&self) -> &str {
        match self {
            Self::Run { job, .. } | Self::Pause { job } | Self::Unpause { job } => job,
            Self::Halt { .. }
            | Self::Resume { .. }
            | Self::ApplyConfig { .. }
            | Self::Answer { .. }
            | Self::Trade(_) => OPERATOR,
        }
    }

    /// The command as it is written into the ledger, under a nonce of its own.
    ///
    /// # Errors
    /// If the operating system has no randomness.
    pub fn into_new(self, requested_by: &str) -> anyhow::Result<NewCommand> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("drawing a nonce: {error}"))?;
        Ok(NewCommand {
            nonce: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            name: self.name().to_owned(),
            arguments: serde_json::to_value(&self)?,
            requested_by: requested_by.to_owned(),
        })
    }
}

/// What a person does at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trade {
    /// Buys or sells: enters a position with its stop and its target, or leaves one or a part of it.
    Order(HandOrder),
    /// Closes the position in a symbol, or every position.
    Close { symbol: Option<daybook_core::market::Symbol> },
    /// Cancels an order by any of its names, or every order.
    Cancel { order: Option<String> },
    /// Halts, cancels and closes everything, and keeps at it until the broker is flat.
    StopEverything { reason: String },
}

/// Takes every pending command, each with its outcome, in this transaction.
pub fn take_all(tx: &Transaction<'_>, parts: &Parts, now: Timestamp) -> Result<(), LedgerError> {
    for pending in command::take_pending(tx, now)? {
        let outcome = match serde_json::from_value::<Command>(pending.asked.arguments) {
            Ok(asked) => apply(tx, parts, &asked, &pending.asked.requested_by, now)?,
            Err(error) => Outcome::Refused(format!("not a command that this version knows: {error}")),
        };
        let (end, result) = match outcome {
            Outcome::Done(answer) => (CommandEnd::Done, answer.to_string()),
            Outcome::Refused(reason) => (CommandEnd::Refused, reason),
        };
        command::finish(tx, pending.command_id, end, &result, now)?;
        crash_point!("command.taken");
    }
    Ok(())
}

/// What came of a command.
enum Outcome {
    /// It was carried out; the answer is JSON for the program that asked.
    Done(serde_json::Value),
    /// It was not, and why.
    Refused(String),
}

fn apply(
    tx: &Transaction<'_>,
    parts: &Parts,
    asked: &Command,
    by: &str,
    now: Timestamp,
) -> Result<Outcome, LedgerError> {
    match asked {
        Command::Run { job, as_slot, session } => match parts.definition(job) {
            Some(definition) => run_job(tx, parts, definition, *as_slot, *session, now),
            None => Ok(Outcome::Refused(format!("there is no job {job}: `trade job list` shows them"))),
        },
        Command::Pause { job }
            if parts.definition(job).is_some_and(|definition| definition.kind.only_reduces_risk()) =>
        {
            let keeps = "keeps what is held safe, and is not paused: `trade halt` stops new entries";
            Ok(Outcome::Refused(format!("{job} {keeps}")))
        }
        Command::Pause { job } => run::set_paused(tx, job, true, now).map(|changed| pausing(job, changed, "is paused")),
        Command::Unpause { job } => {
            run::set_paused(tx, job, false, now).map(|changed| pausing(job, changed, "is planned again"))
        }
        Command::Halt { reason } => {
            let halt =
                Halt { kind: HaltKind::Manual, reason: reason.clone(), numbers: Vec::new(), since: now, until: None };
            halt::set(tx, &halt, None)?;
            let told = Alert::new(AlertEvent::EntriesHalted, format!("{by} has stopped new entries: {reason}"));
            alert::raise(tx, None, &told, &parts.routes, now)?;
            Ok(Outcome::Done(json!({ "message": "new entries are stopped" })))
        }
        Command::Resume { reason } => {
            let cleared = halt::clear_all(tx, by, Some(reason), now)? + pause::clear_all(tx, by, Some(reason), now)?;
            if cleared == 0 {
                return Ok(Outcome::Refused("nothing is halted".to_owned()));
            }
            let cleared = words::counted(cleared, "latch", "latches");
            let subject = format!("{by} has cleared {cleared}, entries are open again: {reason}");
            alert::raise(tx, None, &Alert::new(AlertEvent::EntriesResumed, subject), &parts.routes, now)?;
            Ok(Outcome::Done(json!({ "message": format!("{cleared} cleared: entries are open again") })))
        }
        Command::ApplyConfig { hash, confirm } => apply_config(tx, hash, *confirm, by),
        Command::Answer { answer, entry, reason } => {
            answer_entries(tx, parts, *answer, entry.as_deref(), reason.as_deref(), by, now)
        }
        Command::Trade(trade) => match parts.definition(OPERATOR) {
            Some(definition) => {
                let session = parts.sources.calendar.session_date_at(now);
                let arguments = serde_json::to_value(trade)?;
                let run_id = run::add_run(tx, definition, Trigger::Manual, session, Some(&arguments), now)?;
                Ok(Outcome::Done(json!({ "run_id": run_id })))
            }
            None => Ok(Outcome::Refused("the operator's job is not built in".to_owned())),
        },
    }
}

/// What a person has confirmed comes into force with the driver's next look at what waits.
fn apply_config(tx: &Transaction<'_>, hash: &str, confirm: bool, by: &str) -> Result<Outcome, LedgerError> {
    if let Some(version) = settings::latest(tx)?.filter(|version| version.hash == hash) {
        let message = format!("version {} is in force", version.config_version_id);
        return Ok(Outcome::Done(json!({ "message": message })));
    }
    match settings::waiting(tx)?.filter(|waiting| waiting.hash == hash) {
        Some(_) if confirm => {
            settings::confirm_waiting(tx, hash, by)?;
            Ok(Outcome::Done(json!({ "message": "confirmed" })))
        }
        Some(waiting) => Ok(Outcome::Refused(format!(
            "it loosens {} while the market is open, and waits; --confirm has it in force at once",
            waiting.limits.join(", ")
        ))),
        None => Ok(Outcome::Refused(
            "the scheduler did not take this configuration: `trade alerts` tells why, or it reads other files"
                .to_owned(),
        )),
    }
}

/// Says yes or no to the entries that are meant.
fn answer_entries(
    tx: &Transaction<'_>,
    parts: &Parts,
    answer: Answer,
    entry: Option<&str>,
    reason: Option<&str>,
    by: &str,
    now: Timestamp,
) -> Result<Outcome, LedgerError> {
    let waiting = approval::waiting(tx, now)?;
    let meant: Vec<&Waiting> =
        waiting.iter().filter(|waiting| entry.is_none_or(|name| is_named(waiting, name))).collect();
    if meant.is_empty() {
        let what = entry.map_or_else(|| "no entry".to_owned(), |name| format!("no entry {name}"));
        let others: Vec<String> =
            waiting.iter().map(|waiting| waiting.intent.intent.action.symbol().to_string()).collect();
        let others =
            if others.is_empty() { "nothing waits".to_owned() } else { format!("these wait: {}", others.join(", ")) };
        return Ok(Outcome::Refused(format!("{what} waits for a person ({others})")));
    }
    let word = match answer {
        Answer::Approved => "approved",
        Answer::Rejected => "rejected",
    };
    let mut symbols = Vec::with_capacity(meant.len());
    for waiting in meant {
        let symbol = waiting.intent.intent.action.symbol();
        approval::answer(tx, waiting, answer, by, reason, now)?;
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let told = Alert::new(AlertEvent::ApprovalAnswered, format!("{symbol}: {by} has {word} the entry{reason}"));
        alert::raise(tx, Some(waiting.intent.run_id), &told.about(symbol), &parts.routes, now)?;
        symbols.push(symbol.to_string());
    }
    Ok(Outcome::Done(json!({ "message": format!("{word}: {}", symbols.join(", ")) })))
}

/// Whether a person's word means this entry: its symbol, its order's name, or its number.
fn is_named(waiting: &Waiting, name: &str) -> bool {
    let Waiting { intent: StoredIntent { intent_id, intent, .. }, .. } = waiting;
    let is_order = matches!(&intent.action, Action::Submit(ticket) if ticket.client_order_id.as_str() == name);
    is_order || intent.action.symbol().as_str().eq_ignore_ascii_case(name) || intent_id.to_string() == name
}

fn pausing(job: &str, changed: bool, what: &str) -> Outcome {
    if changed {
        Outcome::Done(json!({ "message": format!("{job} {what}") }))
    } else {
        Outcome::Refused(format!("{job} {what} already, or there is no such job"))
    }
}

fn run_job(
    tx: &Transaction<'_>,
    parts: &Parts,
    definition: &JobDefinition,
    as_slot: Option<Timestamp>,
    session: Option<SessionDate>,
    now: Timestamp,
) -> Result<Outcome, LedgerError> {
    let calendar = &parts.sources.calendar;
    if let Some(date) = session
        && calendar.session(date).is_none()
    {
        return Ok(Outcome::Refused(format!("{date} is no session of {}", calendar.name())));
    }
    let Some(at) = as_slot else {
        let session = session.or_else(|| calendar.session_date_at(now));
        let run_id = run::add_run(tx, definition, Trigger::Manual, session, None, now)?;
        return Ok(Outcome::Done(json!({ "run_id": run_id })));
    };
    if at > now {
        return Ok(Outcome::Refused(format!("{at} is in the future")));
    }
    let before = Timestamp(at.0.saturating_sub(1));
    let pace = run::pacing(tx, &definition.name)?.in_force(&definition.schedule, calendar, before, now);
    let Some(slot) = slots(&definition.schedule, calendar, pace, before, at).into_iter().next() else {
        return Ok(Outcome::Refused(format!(
            "{at} is no slot of {}: `trade calendar slots DATE` shows them",
            definition.name
        )));
    };
    match run::add_as_slot(tx, definition, slot, now)? {
        Ok(run_id) => Ok(Outcome::Done(json!({ "run_id": run_id }))),
        Err(state) => Ok(Outcome::Refused(format!("{} of {at} is {} already", definition.name, state.as_str()))),
    }
}
