//! What people are told in a chat.

use std::fmt::Write as _;
use std::time::Duration;

use daybook_core::money::Money;
use daybook_core::report::words;
use daybook_core::time::Timestamp;
use rusqlite::Connection;

use crate::ledger::chat::{Reply, Unanswered};
use crate::ledger::command::{self, CommandState};
use crate::ledger::{LedgerError, approval, equity, halt, intent, phase, position, run_facts};

/// How long a command may take before its sender is told that it is under way.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// Positions that an answer names; the largest answer stays within what a service takes.
const LISTED_MAX: usize = 30;

/// What there is to be asked for, as it is written in a chat.
pub(super) fn help(prefix: &str) -> String {
    format!(
        "{prefix}status - how it stands\n\
         {prefix}positions - what is held\n\
         {prefix}halt REASON - no new entries\n\
         {prefix}resume REASON - entries again\n\
         {prefix}close SYMBOL or {prefix}close all\n\
         What moves money or opens entries is asked for again."
    )
}

/// The answer to a request; `None` as long as there is none.
pub(super) fn of(conn: &Connection, request: &Unanswered, now: Timestamp) -> Result<Option<String>, LedgerError> {
    let command_id = match &request.reply {
        Reply::Text(text) => return Ok(Some(text.clone())),
        Reply::Command(command_id) => *command_id,
    };
    let under_way = || {
        let told = "it is under way, and stands in the ledger: status and positions tell how it goes on";
        (now.since(request.taken_at) > ENDED_WITHIN).then(|| told.to_owned())
    };
    Ok(end_of(conn, command_id)?.or_else(under_way))
}

/// What a command came to; `None` as long as it has no end.
fn end_of(conn: &Connection, command_id: i64) -> Result<Option<String>, LedgerError> {
    let command = command::get(conn, command_id)?;
    let result = command.result.unwrap_or_default();
    match command.state {
        CommandState::Pending | CommandState::Taken => Ok(None),
        CommandState::Refused => Ok(Some(format!("refused: {result}"))),
        CommandState::Failed => Ok(Some(format!("failed: {result}"))),
        CommandState::Done => {
            let result: serde_json::Value = serde_json::from_str(&result)?;
            match (result["run_id"].as_i64(), result["message"].as_str()) {
                (Some(run_id), _) => end_of_run(conn, run_id),
                (None, message) => Ok(Some(message.unwrap_or("done").to_owned())),
            }
        }
    }
}

fn end_of_run(conn: &Connection, run_id: i64) -> Result<Option<String>, LedgerError> {
    let run = run_facts::outcome(conn, run_id)?;
    if !run.state.is_final() {
        return Ok(None);
    }
    let told = run.reason.or(run.summary).unwrap_or_default();
    let mut text = format!("{}: {told}", run.state.as_str());
    for stored in intent::of_run(conn, run_id)?.iter().take(LISTED_MAX) {
        let outcome = stored.outcome.as_ref().map_or(String::new(), |outcome| format!(", {outcome}"));
        let _ = write!(text, "\n{}: {}{outcome}", stored.intent.action.symbol(), stored.state.as_str());
    }
    Ok(Some(text))
}

/// How it stands, in some lines.
pub(super) fn status(conn: &Connection, account: &str, loss_max: Money, now: Timestamp) -> Result<String, LedgerError> {
    let mut text = match phase::current(conn)? {
        Some(change) => format!("{} since {}: {}\n", change.to, words::instant(change.at), change.reason),
        None => "nothing has run yet\n".to_owned(),
    };
    for halt in halt::in_force(conn, now)? {
        let _ = writeln!(text, "entries are stopped: {}", halt.reason);
    }
    if let Some(point) = equity::last(conn)? {
        let (pnl, at) = (words::signed_dollars(point.day_pnl()), words::instant(point.at));
        let _ = writeln!(text, "day: {pnl}, limit {}, as of {at}", words::dollars(loss_max.negated()));
    }
    let waiting = approval::waiting(conn, now)?.len();
    if waiting > 0 {
        let _ = writeln!(text, "{} for a person", words::counted(waiting, "entry waits", "entries wait"));
    }
    let held = position::open(conn, account)?.len();
    let _ = write!(text, "{} held", words::counted(held, "position", "positions"));
    Ok(text)
}

/// What is held, a line each.
pub(super) fn positions(conn: &Connection, account: &str) -> Result<String, LedgerError> {
    let open = position::open(conn, account)?;
    if open.is_empty() {
        return Ok("nothing is held".to_owned());
    }
    let mut lines: Vec<String> = open
        .iter()
        .take(LISTED_MAX)
        .map(|stored| {
            let held = &stored.position;
            let stop = held.stop.map_or(String::new(), |stop| format!(", stop {}", words::price(stop)));
            let (shares, entry) = (words::shares(held.quantity), words::price(held.entry_price));
            format!("{}: {} {shares} at {entry}{stop}", held.symbol, held.direction.as_str())
        })
        .collect();
    if open.len() > LISTED_MAX {
        lines.push(format!("and {} more: trade positions", open.len() - LISTED_MAX));
    }
    Ok(lines.join("\n"))
}
