//! Work that a decision wants outside the broker and the ledger's rows.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use daybook_core::decision::Chore;
use daybook_core::time::Timestamp;
use tokio::process::Command;

use super::Parts;
use super::audit::audit_ledger;
use crate::config::{Environment, Veiled};
use crate::ledger::run::ClaimedRun;
use crate::ledger::{Ledger, prune, record};

/// What is kept of a program's output: enough to see what it said last.
const OUTPUT_TAIL: usize = 2_000;

/// Performs the chores of a decided run; the answer is a line for a person.
///
/// # Errors
/// The first chore that failed, by name.
pub async fn perform(parts: &Parts, run: &ClaimedRun) -> anyhow::Result<String> {
    let run_id = run.run_id;
    let chores = parts.sources.ledger.read(|conn| record::chores(conn, run_id))?;
    let mut notes = Vec::new();
    for chore in &chores {
        notes.push(one(parts, chore).await?);
    }
    Ok(notes.join("; "))
}

async fn one(parts: &Parts, chore: &Chore) -> anyhow::Result<String> {
    let ledger = &parts.sources.ledger;
    match chore {
        Chore::Backup { keep } => {
            let now = parts.sources.clock.wall();
            let copy = back_up(ledger, &parts.backups, now, *keep).context("backup")?;
            Ok(format!("copied to {}", copy.display()))
        }
        Chore::Check => {
            let (calendar, now) = (&parts.sources.calendar, parts.sources.clock.wall());
            let findings = audit_ledger(ledger, &parts.definitions, calendar, now).context("check")?.findings();
            match findings.first() {
                None => Ok("checked".to_owned()),
                Some(first) => bail!("check: {} findings, the first: {first}", findings.len()),
            }
        }
        Chore::Prune { before } => {
            let before = *before;
            let pruned = ledger.write(move |tx| prune::prune(tx, before)).await.context("prune")?;
            Ok(format!("pruned {} records and {} events", pruned.records, pruned.events))
        }
        Chore::Command { program, arguments, timeout_s } => {
            command(program, arguments, Duration::from_secs(u64::from(*timeout_s))).await
        }
    }
}

/// Runs a person's own program: its exit code decides, and the end of its output is the note.
///
/// References to the environment are filled in here, so that no row of the ledger has their values.
async fn command(program: &str, arguments: &[String], timeout: Duration) -> anyhow::Result<String> {
    let environment = Environment::of_process();
    let filled = |text: &str| environment.filled(text).map_err(anyhow::Error::msg);
    let words: Vec<Veiled> = arguments.iter().map(|argument| filled(argument)).collect::<Result<_, _>>()?;
    let child = Command::new(filled(program)?.value())
        .args(words.iter().map(Veiled::value))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let output = tokio::time::timeout(timeout, child.wait_with_output())
        .await
        .with_context(|| format!("{program} did not end within {timeout:?} and was killed"))?
        .with_context(|| format!("awaiting {program}"))?;
    let said = if output.status.success() { &output.stdout } else { &output.stderr };
    // As a whole, before it is cut: half a secret is one, too.
    let said = words.iter().fold(String::from_utf8_lossy(said).into_owned(), |said, word| word.veil(&said));
    let tail = said.char_indices().map(|(at, _)| at).find(|at| said.len() - at <= OUTPUT_TAIL);
    let said = said.get(tail.unwrap_or(said.len())..).unwrap_or_default().trim().to_owned();
    if !output.status.success() {
        bail!("{program} ended with {}: {said}", output.status);
    }
    Ok(said)
}

/// Copies the ledger into `folder` under the date of the copy, and removes the oldest copies beyond `keep`.
/// A copy of the same date is replaced: the chore may be repeated.
fn back_up(ledger: &Ledger, folder: &Path, now: Timestamp, keep: u32) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let stem = ledger.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let copy = folder.join(format!("{stem}-{}.db", now.to_utc().format("%Y-%m-%d")));
    match std::fs::remove_file(&copy) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("replacing {}", copy.display())),
    }
    crash_point!("backup.before");
    ledger.back_up(&copy)?;
    crash_point!("backup.after");
    let mut copies: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(&format!("{stem}-")) && name.ends_with(".db")
        })
        .collect();
    copies.sort();
    let kept = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    for old in copies.iter().rev().skip(kept) {
        std::fs::remove_file(old).with_context(|| format!("removing {}", old.display()))?;
    }
    Ok(copy)
}
