//! `trade config history`, `diff`, `apply` and `restore`: which configuration was in force when, what two of them differ
//! in, having one in force that waits, and going back to an earlier one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daybook_core::report::words::counted;
use serde::Serialize;

use super::Context;
use super::ask::{ask, wait};
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Paint, Table};
use crate::config::{Change, Configuration, Settings, SettingsVersion, changes, edited};
use crate::engine::commands::Command;
use crate::ledger::settings::{self as versions, ConfigVersion, WaitingConfig};
use crate::ledger::{Ledger, LedgerError, LedgerLock};

/// Changes that a row of the history names; more are counted.
const NAMED_MAX: usize = 3;

/// How long the scheduler may take to read what was just written.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// How the versions are listed.
#[derive(Debug, Args)]
pub struct HistoryCommand {
    /// The last so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    number: u32,
    #[command(flatten)]
    format: FormatArg,
}

/// Which versions are compared.
#[derive(Debug, Args)]
pub struct DiffCommand {
    /// A version [default: the one in force]
    a: Option<i64>,
    /// Another one [default: the one in force; without A: what the files say now]
    b: Option<i64>,
}

/// How what the files say is brought into force.
#[derive(Debug, Args)]
pub struct ApplyCommand {
    /// Also what loosens a limit of risk while the market is open
    #[arg(long)]
    confirm: bool,
}

/// Which version is restored.
#[derive(Debug, Args)]
pub struct RestoreCommand {
    /// The version, as `trade config history` numbers it
    version: i64,
}

impl HistoryCommand {
    /// Lists the versions, newest first.
    ///
    /// # Errors
    /// If there is no ledger; so for the others below.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let ledger = context.ledger()?;
        // One more, whose successor's changes are told.
        let limit = self.number.saturating_add(1);
        let (listed, waiting) = ledger.read(|conn| Ok((versions::list(conn, limit)?, versions::waiting(conn)?)))?;
        context.output.table(&history(&listed, self.number, waiting.as_ref()), self.format)
    }
}

fn history(listed: &[ConfigVersion], number: u32, waiting: Option<&WaitingConfig>) -> Table {
    let columns = vec![
        Column::number("version", "VERSION"),
        Column::text("at", "IN FORCE SINCE"),
        Column::text("changes", "CHANGES"),
        Column::text("note", "NOTE"),
        Column::text("origin", "ORIGIN"),
        Column::unseen("hash"),
    ];
    let mut table = Table::new(columns, "no version yet: the scheduler records one when it starts");
    if let Some(waiting) = waiting {
        let what = format!("{} loosened while the market was open", waiting.limits.join(", "));
        table.push(vec![
            Cell::empty().shown_as("waits"),
            Cell::time(waiting.recorded_at),
            Cell::text(what),
            Cell::text_if(waiting.confirmed_by.as_ref().map(|person| format!("confirmed by {person}"))),
            Cell::empty(),
            Cell::text(&waiting.hash),
        ]);
    }
    let befores = listed.iter().skip(1).map(Some).chain([None]);
    for (version, before) in listed.iter().zip(befores).take(number as usize) {
        let told = before.map_or_else(
            || if version.config_version_id == 1 { "the first".to_owned() } else { String::new() },
            |before| in_short(&changes(&before.body, &version.body).unwrap_or_default()),
        );
        table.push(vec![
            Cell::count(version.config_version_id),
            Cell::time(version.recorded_at),
            Cell::text(told),
            Cell::text_if(version.note.as_ref()),
            Cell::text(&version.origin),
            Cell::text(&version.hash),
        ]);
    }
    table
}

fn in_short(told: &[Change]) -> String {
    if told.len() > NAMED_MAX {
        return counted(told.len(), "change", "changes");
    }
    told.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What two versions differ in.
#[derive(Debug, Serialize)]
struct Compared {
    from: String,
    to: String,
    changes: Vec<Change>,
}

impl DiffCommand {
    /// Prints what differs, a line a key.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let ledger = context.ledger()?;
        let a = ledger.read(|conn| version(conn, self.a))?;
        let (to, body) = match (self.a, self.b) {
            (None, _) => ("the files".to_owned(), context.configuration()?.version.body),
            (Some(_), b) => {
                let b = ledger.read(|conn| version(conn, b))?;
                (format!("version {}", b.config_version_id), b.body)
            }
        };
        let changes = changes(&a.body, &body).context("comparing versions of another program")?;
        let compared = Compared { from: format!("version {}", a.config_version_id), to, changes };
        context.output.document(&compared, Compared::text)
    }
}

/// A version by its number, or the one in force.
fn version(conn: &crate::ledger::Connection, number: Option<i64>) -> Result<ConfigVersion, LedgerError> {
    match number {
        Some(number) => versions::get(conn, number),
        None => versions::latest(conn)?
            .ok_or(LedgerError::NoSuchRow { what: "version of the settings", key: "in force".to_owned() }),
    }
}

impl Compared {
    fn text(&self, _: Paint) -> String {
        let Self { from, to, changes } = self;
        if changes.is_empty() {
            return format!("{from} and {to} are the same\n");
        }
        let lines: String = changes.iter().map(|change| format!("  {change}\n")).collect();
        format!("{from} -> {to}: {}\n{lines}", counted(changes.len(), "change", "changes"))
    }
}

impl ApplyCommand {
    /// Has what the files say in force, by the scheduler where one runs.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let configuration = context.configuration()?;
        if let Some(ledger) = context.ledger_if_there(&configuration)? {
            if LedgerLock::holder(ledger.path())?.is_some() {
                await_reading(context, &ledger, &configuration.version.hash)?;
            }
        } else {
            let path = configuration.settings.ledger.path.display();
            return Err(CommandError::Usage(format!(
                "there is no ledger {path} yet: the scheduler takes the configuration when it starts"
            ))
            .into());
        }
        let hash = configuration.version.hash.clone();
        ask(context, &configuration, &Command::ApplyConfig { hash, confirm: self.confirm })
    }
}

/// Gives a scheduler that watches the files the time to read them.
fn await_reading(context: &Context, ledger: &Ledger, hash: &str) -> Result<(), LedgerError> {
    wait(context, READ_WITHIN, || {
        ledger.read(|conn| {
            let in_force = versions::latest(conn)?.is_some_and(|version| version.hash == hash);
            let is_known = in_force || versions::waiting(conn)?.is_some_and(|waiting| waiting.hash == hash);
            Ok(is_known.then_some(()))
        })
    })?;
    Ok(())
}

/// What was restored.
#[derive(Debug, Serialize)]
struct Restored {
    file: PathBuf,
    version: i64,
    changes: Vec<Change>,
    /// Who takes the file now; absent: the next start does.
    scheduler: Option<String>,
}

impl RestoreCommand {
    /// Writes into the file what a version said. The scheduler takes it as any change: a new version comes of it.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let configuration = context.configuration()?;
        let wanted = context.ledger()?.read(|conn| versions::get(conn, self.version))?;
        let wanted = Settings::from_version(&wanted.body)
            .with_context(|| format!("version {} is of a program that had other keys", self.version))?
            .version()?;
        let changes = changes(&configuration.version.body, &wanted.body)?;
        let Some(file) = configuration.file.clone() else {
            let message = "there is no file to write it into: make one with `trade init`, or name it with --config";
            return Err(CommandError::Usage(message.to_owned()).into());
        };
        // A link stays one: what it leads to is written.
        let file = file.canonicalize().with_context(|| format!("looking for {}", file.display()))?;
        if !changes.is_empty() {
            replace(context, &file, &configuration, &wanted)?;
        }
        let scheduler = LedgerLock::holder(&configuration.settings.ledger.path)?;
        let restored = Restored { file, version: self.version, changes, scheduler };
        context.output.document(&restored, Restored::text)
    }
}

/// Puts another file in the place of the configuration's, if it says what is wanted.
fn replace(
    context: &Context,
    file: &Path,
    configuration: &Configuration,
    wanted: &SettingsVersion,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let by_hand = |told: &[Change]| {
        let lines: String = told.iter().map(|change| format!("\n  {change}")).collect();
        let message = format!("{} cannot be edited so that it says that: change by hand{lines}", file.display());
        anyhow::Error::from(CommandError::Refused(message))
    };
    let Some(text) = edited(&text, &configuration.version.body, &wanted.body)? else {
        return Err(by_hand(&changes(&configuration.version.body, &wanted.body)?));
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || -> anyhow::Result<()> {
        std::fs::write(&beside, text)?;
        std::fs::set_permissions(&beside, file.metadata()?.permissions())?;
        let read = context.configuration_in(&beside)?;
        if read.version != *wanted {
            return Err(by_hand(&changes(&read.version.body, &wanted.body)?));
        }
        Ok(std::fs::rename(&beside, file)?)
    };
    write().inspect_err(|_| {
        // What went wrong is told; that a file is left beside is the lesser evil.
        let _ = std::fs::remove_file(&beside);
    })
}

impl Restored {
    fn text(&self, _: Paint) -> String {
        let Self { file, version, changes, scheduler } = self;
        let file = file.display();
        if changes.is_empty() {
            return format!("{file} says what version {version} said already\n");
        }
        let lines: String = changes.iter().map(|change| format!("  {change}\n")).collect();
        let next = match scheduler {
            Some(_) => "the scheduler takes it now: `trade config apply` tells whether it did",
            None => "the scheduler takes it when it starts",
        };
        format!("{file} says what version {version} said; {next}\n{lines}")
    }
}
