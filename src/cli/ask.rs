//! How `trade` gets something done: by the scheduler that holds the ledger, or on its path where none does.

use std::path::Path;
use std::time::Duration;

use daybook_core::order::{IntentState, Purpose};
use daybook_core::report::words::instant;
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{Paint, say};
use crate::config::Configuration;
use crate::engine::commands::{Command, OPERATOR, Trade};
use crate::ledger::approval::{self, Answer};
use crate::ledger::command::{self, CommandState};
use crate::ledger::intent::{self, StoredIntent};
use crate::ledger::run::RunState;
use crate::ledger::run_facts::{self, RunOutcome};
use crate::ledger::why::{self as considered, ConsideredSignal};
use crate::ledger::{Connection, Ledger, LedgerError, OpenOptions, order, record, settings as versions};
use crate::ports::Clock;
use crate::wiring::{self, Errand};

/// How often the ledger is looked at for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the scheduler may take to take a command: it looks once a second.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// How long a run that a command called for may take before the person is told to look for themselves.
const ENDED_WITHIN: Duration = Duration::from_secs(300);
/// What came of asking.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// Who holds the ledger and did it; absent where `trade` did it itself.
    pub scheduler: Option<String>,
    /// What was done, for a person.
    pub message: String,
    /// The runs that came of it.
    pub runs: Vec<AskedRun>,
}

/// A run that was asked for, with what it wanted at the broker.
#[derive(Debug, Serialize)]
pub struct AskedRun {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: RunOutcome,
    /// Why it has not come to what was asked for: the rules, or the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether it waits for another person's yes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_approval: bool,
    /// What was proposed, with each check that risk made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<ConsideredSignal>,
    /// What it wanted, and what came of it.
    pub intents: Vec<StoredIntent>,
}

/// Has a command carried out, prints what came of it, and fails if that is not what was wanted.
///
/// # Errors
/// [`CommandError::Refused`] if it was refused, [`CommandError::Failed`] if a run of it failed or has no end
/// yet, and what keeps the ledger from being used.
pub fn ask(context: &Context, configuration: &Configuration, asked: &Command) -> anyhow::Result<()> {
    let path = &configuration.settings.ledger.path;
    let by = requested_by();
    let errand = Errand::Command(asked.clone());
    let done = match context.block_on(wiring::once(configuration, path, errand, &by))? {
        Ok(outcomes) => done_here(path, asked, outcomes)?,
        Err(error) => match held_by(&error) {
            Some(holder) => done_by_scheduler(context, path, asked, &by, holder)?,
            None => return Err(error),
        },
    };
    print(context, &done)
}

/// Has the scheduler that holds the ledger carry a command out, and prints what came of it.
///
/// # Errors
/// As [`ask`].
pub fn ask_scheduler(context: &Context, path: &Path, asked: &Command, holder: String) -> anyhow::Result<()> {
    print(context, &done_by_scheduler(context, path, asked, &requested_by(), holder)?)
}

/// Runs what is due of a job and not done, as one line of a crontab does.
///
/// # Errors
/// As [`ask`]; [`LedgerError::AlreadyHeld`] if another process holds the ledger for too long.
pub fn run_due(context: &Context, configuration: &Configuration, job: &str) -> anyhow::Result<()> {
    let path = &configuration.settings.ledger.path;
    let errand = Errand::Due { job: job.to_owned() };
    let outcomes = context.block_on(wiring::once(configuration, path, errand, &requested_by()))??;
    let message =
        if outcomes.is_empty() { format!("nothing of {job} was due") } else { format!("{job} ran what was due") };
    print(context, &with_intents(path, Asked { scheduler: None, message, runs: Vec::new() }, outcomes)?)
}

/// Who holds the ledger, if that is what went wrong.
fn held_by(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| match cause.downcast_ref::<LedgerError>() {
        Some(LedgerError::AlreadyHeld { holder, .. }) => Some(holder.clone()),
        _ => None,
    })
}

/// The person's name on this machine, as the ledger keeps it.
pub(super) fn requested_by() -> String {
    let name =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    name.unwrap_or_else(|| "operator".to_owned())
}

fn done_here(path: &Path, asked: &Command, outcomes: Vec<RunOutcome>) -> anyhow::Result<Asked> {
    with_intents(path, Asked { scheduler: None, message: done_words(asked), runs: Vec::new() }, outcomes)
}

fn with_intents(path: &Path, asked: Asked, outcomes: Vec<RunOutcome>) -> anyhow::Result<Asked> {
    let ledger = Ledger::open(path, &OpenOptions::existing())?;
    let runs = outcomes.into_iter().map(|outcome| ledger.read(|conn| asked_run(conn, outcome)));
    let runs: Vec<AskedRun> = runs.collect::<Result<_, LedgerError>>()?;
    let message = if runs.iter().any(|run| run.refused.is_some()) {
        "nothing came of it".to_owned()
    } else if runs.iter().any(|run| run.waits_for_approval) {
        "it waits for another person's yes: `trade approve` sends it, `trade status` shows it".to_owned()
    } else {
        asked.message
    };
    Ok(Asked { message, runs, ..asked })
}

fn asked_run(conn: &Connection, outcome: RunOutcome) -> Result<AskedRun, LedgerError> {
    let run_id = outcome.run_id;
    let intents = intent::of_run(conn, run_id)?;
    let mut refused = record::refused(conn, run_id)?;
    for stored in intents.iter().filter(|stored| stored.intent.purpose == Purpose::Enter) {
        let why = stored.outcome.as_deref().unwrap_or("no reason given");
        match stored.state {
            IntentState::Abandoned => refused = Some(format!("it was not sent: {why}")),
            // What the broker has taken is a row.
            IntentState::Terminal if order::of_intent(conn, stored.intent_id)?.is_empty() => {
                refused = Some(format!("the broker refuses it: {why}"));
            }
            IntentState::Conflict => refused = Some(format!("the broker holds it under other terms: {why}")),
            IntentState::Pending
            | IntentState::Submitting
            | IntentState::Unknown
            | IntentState::Acked
            | IntentState::Terminal => {}
        }
    }
    let waits_for_approval = is_waiting(conn, &outcome)?;
    Ok(AskedRun { refused, waits_for_approval, signals: considered::signals(conn, run_id, None)?, intents, outcome })
}

/// Whether a run waits for a person's answer, and for nothing else.
fn is_waiting(conn: &Connection, outcome: &RunOutcome) -> Result<bool, LedgerError> {
    Ok(outcome.state == RunState::Decided && approval::is_all_that_is_left(conn, outcome.run_id)?)
}

/// Writes the command into the ledger, and waits until the scheduler has carried it out.
fn done_by_scheduler(
    context: &Context,
    path: &Path,
    asked: &Command,
    by: &str,
    holder: String,
) -> anyhow::Result<Asked> {
    let ledger = Ledger::open(path, &OpenOptions::existing())?;
    let new = asked.clone().into_new(by)?;
    let now = context.now();
    let command_id = ledger.write_blocking(move |tx| Ok(command::enqueue(tx, &new, now)?.command_id))?;
    let taken = wait(context, TAKEN_WITHIN, || {
        let command = ledger.read(|conn| command::get(conn, command_id))?;
        Ok(matches!(command.state, CommandState::Done | CommandState::Failed | CommandState::Refused)
            .then_some(command))
    })?;
    let Some(command) = taken else {
        let told = format!(
            "the scheduler ({holder}) has not taken command {command_id} in {} s; it stays in the ledger and is taken \
             when the scheduler looks: is that process well?",
            TAKEN_WITHIN.as_secs()
        );
        return Err(CommandError::Failed(told).into());
    };
    let result = command.result.unwrap_or_default();
    match command.state {
        CommandState::Refused => return Err(CommandError::Refused(format!("refused: {result}")).into()),
        CommandState::Failed => return Err(CommandError::Failed(result).into()),
        CommandState::Done | CommandState::Pending | CommandState::Taken => {}
    }
    if let Command::ApplyConfig { hash, .. } = asked {
        // What is confirmed comes into force with the scheduler's next look.
        let in_force =
            |conn: &Connection| Ok(versions::latest(conn)?.filter(|version| version.hash == *hash).map(drop));
        if wait(context, TAKEN_WITHIN, || ledger.read(in_force))?.is_none() {
            let told = "it did not come into force: `trade config history` shows what is and what waits".to_owned();
            return Err(CommandError::Failed(told).into());
        }
    }
    let asked = Asked { scheduler: Some(holder), message: done_words(asked), runs: Vec::new() };
    let Some(run_id) = run_of(&result) else { return Ok(asked) };
    if !context.output.is_json() {
        say(&format!("run {run_id} is with the scheduler"));
    }
    let ended = wait(context, ENDED_WITHIN, || {
        ledger.read(|conn| {
            let outcome = run_facts::outcome(conn, run_id)?;
            Ok((outcome.state.is_final() || is_waiting(conn, &outcome)?).then_some(outcome))
        })
    })?;
    let outcome = match ended {
        Some(outcome) => outcome,
        None => ledger.read(|conn| run_facts::outcome(conn, run_id))?,
    };
    with_intents(path, asked, vec![outcome])
}

/// The run that a command has called for, from its result.
fn run_of(result: &str) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(result).ok()?.get("run_id")?.as_i64()
}

/// Looks again and again until there is an answer or the time is over.
pub(super) fn wait<T>(
    context: &Context,
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>, LedgerError>,
) -> Result<Option<T>, LedgerError> {
    let began = context.clock.monotonic();
    loop {
        if let Some(answer) = look()? {
            return Ok(Some(answer));
        }
        if context.clock.monotonic().saturating_sub(began) >= within {
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What was done, as a person reads it.
fn done_words(asked: &Command) -> String {
    match asked {
        Command::Run { job, as_slot: Some(slot), .. } => format!("ran {job} as its slot of {}", instant(*slot)),
        Command::Run { job, .. } => format!("ran {job}"),
        Command::Pause { job } => format!("{job} is paused: none of its slots runs until `trade job resume {job}`"),
        Command::Unpause { job } => format!("{job} runs again from its next slot on"),
        Command::Halt { .. } => {
            "halted: nothing is entered until `trade resume`; what is open is still watched".to_owned()
        }
        Command::Resume { .. } => "resumed: the latches are cleared, and entries are open again".to_owned(),
        Command::ApplyConfig { .. } => "the configuration is in force, for every run from the next on".to_owned(),
        Command::Answer { answer: Answer::Approved, .. } => {
            "approved: the scheduler sends it at once; `trade orders` shows it".to_owned()
        }
        Command::Answer { answer: Answer::Rejected, .. } => {
            "rejected: it is not sent, and its symbol is not entered in this session".to_owned()
        }
        Command::Trade(Trade::Order(_)) => "asked risk, and the broker".to_owned(),
        Command::Trade(Trade::Close { .. } | Trade::Cancel { .. } | Trade::StopEverything { .. }) => {
            "asked the broker".to_owned()
        }
    }
}

fn print(context: &Context, asked: &Asked) -> anyhow::Result<()> {
    context.output.document(asked, Asked::text)?;
    asked.fault().map_or(Ok(()), |fault| Err(fault.into()))
}

impl Asked {
    fn text(&self, paint: Paint) -> String {
        let mut text = format!("{}\n", self.message);
        for AskedRun { outcome, signals, intents, .. } in &self.runs {
            let RunOutcome { run_id, job, state, summary, reason, .. } = outcome;
            let told = reason.as_deref().or(summary.as_deref()).unwrap_or_default();
            let state = match state {
                RunState::Done => paint.green(state.as_str()),
                RunState::Due
                | RunState::Claimed
                | RunState::Decided
                | RunState::Failed
                | RunState::Dead
                | RunState::Skipped
                | RunState::Expired
                | RunState::Canceled => paint.red(state.as_str()),
            };
            text.push_str(&format!("  run {run_id} of {job}: {state}: {told}\n"));
            for ConsideredSignal { verdict, .. } in signals.iter().filter(|_| job == OPERATOR) {
                for line in super::why::check_lines(&verdict.checks, paint) {
                    text.push_str(&format!("    {line}\n"));
                }
            }
            for StoredIntent { intent, state, outcome, .. } in intents {
                let outcome = outcome.as_ref().map_or(String::new(), |outcome| format!(", {outcome}"));
                let (symbol, what) = (intent.action.symbol(), super::why::action_words(&intent.action));
                text.push_str(&format!("    {symbol}: {what} ({}{outcome})\n", state.as_str()));
            }
        }
        text
    }

    /// The first run that did not end as it should.
    fn fault(&self) -> Option<CommandError> {
        self.runs.iter().find_map(|AskedRun { outcome, refused, waits_for_approval, .. }| {
            let RunOutcome { run_id, job, state, .. } = outcome;
            if let Some(why) = refused {
                return Some(CommandError::Refused(format!("refused: {why}")));
            }
            match state {
                RunState::Decided if *waits_for_approval => None,
                RunState::Done => None,
                RunState::Skipped | RunState::Expired | RunState::Canceled | RunState::Dead => {
                    Some(CommandError::Failed(format!("run {run_id} of {job} ended as {}", state.as_str())))
                }
                RunState::Due | RunState::Claimed | RunState::Decided | RunState::Failed => Some(CommandError::Failed(
                    format!("run {run_id} of {job} has no end yet: `trade job show {run_id}` tells how it goes on"),
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::time::Timestamp;

    use super::*;

    fn outcome(state: RunState) -> Asked {
        let outcome = RunOutcome {
            run_id: 7,
            job: "operator".to_owned(),
            slot: Timestamp(0),
            state,
            summary: Some("close 2 positions".to_owned()),
            reason: None,
        };
        Asked {
            scheduler: None,
            message: "asked the broker".to_owned(),
            runs: vec![AskedRun {
                outcome,
                refused: None,
                waits_for_approval: false,
                signals: Vec::new(),
                intents: Vec::new(),
            }],
        }
    }

    #[test]
    fn what_is_refused_ends_with_its_own_code_and_what_waits_is_no_failure() {
        let mut refused = outcome(RunState::Done);
        refused.runs[0].refused = Some("halted: manual: lunch, against no halt".to_owned());
        let expected = CommandError::Refused("refused: halted: manual: lunch, against no halt".to_owned());
        assert_eq!(refused.fault(), Some(expected));
        let mut waits = outcome(RunState::Decided);
        assert!(matches!(waits.fault(), Some(CommandError::Failed(_))));
        waits.runs[0].waits_for_approval = true;
        assert_eq!(waits.fault(), None);
    }

    #[test]
    fn what_was_done_is_told_and_what_was_not_is_a_failure() {
        let done = outcome(RunState::Done);
        assert_eq!(done.text(Paint::PLAIN), "asked the broker\n  run 7 of operator: done: close 2 positions\n");
        assert_eq!(done.fault(), None);
        let expired = outcome(RunState::Expired).fault();
        assert_eq!(expired, Some(CommandError::Failed("run 7 of operator ended as expired".to_owned())));
        let waiting = outcome(RunState::Failed).fault().unwrap().to_string();
        assert!(waiting.ends_with("`trade job show 7` tells how it goes on"), "{waiting}");
    }

    #[test]
    fn the_run_of_a_command_is_in_its_result() {
        assert_eq!(run_of(r#"{"run_id": 12}"#), Some(12));
        assert_eq!(run_of(r#"{"message": "new entries are stopped"}"#), None);
        assert_eq!(run_of("there is no job x"), None);
    }
}
