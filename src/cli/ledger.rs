//! `trade ledger`: questions in SQL, checks, copies and the way back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{self, Column, FormatArg, Paint, Table, progress};
use crate::engine::audit::{Audit, audit_ledger};
use crate::ledger::query::{Answer, Cell};
use crate::ledger::view::{Rows, View};
use crate::ledger::{Ledger, LedgerError, LedgerLock, backup};

/// `trade ledger ...`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Answers a question in SQL; it cannot change anything
    ///
    /// The views are the promise: v_trade, v_day, v_position, v_order, v_fill, v_signal, v_run, v_alert, v_equity and
    /// v_regime, in dollars and with both UTC and New York time.
    #[command(after_help = "Examples:
  trade ledger query \"select * from v_day\"
  trade ledger query \"select symbol, sum(pnl) from v_trade group by 1 order by 2\" --format csv")]
    Query(Query),
    /// Prints the definitions of all views, tables and indexes, as SQL
    Schema,
    /// Checks the file, its references, and every invariant of its rows; ends with 1 if something is wrong
    Check,
    /// Copies the ledger, as of this instant, to a new file; the scheduler may run meanwhile
    Backup(FileArg),
    /// Puts a backup in the ledger's place; the file that was there is kept beside it
    #[command(after_help = "Examples:
  trade ledger restore data/backups/ledger-2026-11-16.db

The scheduler must be stopped. When it starts again it reconciles with the broker before it trades.")]
    Restore(FileArg),
    /// Writes every view as a CSV file into a folder
    Export(FolderArg),
}

/// A question.
#[derive(Debug, Args)]
pub struct Query {
    /// One SELECT
    sql: String,
    #[command(flatten)]
    format: FormatArg,
}

/// A file.
#[derive(Debug, Args)]
pub struct FileArg {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A folder.
#[derive(Debug, Args)]
pub struct FolderArg {
    /// The folder; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl LedgerCommand {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If the ledger is unusable or unsound, or a file cannot be written.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Query(Query { sql, format }) => {
                let answer = context.ledger()?.query(&sql).map_err(asked_wrongly)?;
                context.output.table(&table(&answer), format)
            }
            Self::Schema => {
                let schema = context.ledger()?.schema()?;
                context.output.document(&Schema { schema: &schema }, |schema, _| schema.schema.to_owned())
            }
            Self::Check => check(context),
            Self::Backup(FileArg { file }) => {
                let ledger = context.ledger()?;
                ledger.back_up(&file)?;
                let copy = Copied { from: shown(ledger.path()), to: shown(&file), replaced: None };
                context.output.document(&copy, |copy, _| format!("copied {} to {}\n", copy.from, copy.to))
            }
            Self::Restore(FileArg { file }) => restore(context, &file),
            Self::Export(FolderArg { folder }) => export(context, &folder),
        }
    }
}

/// A question that SQLite or the ledger does not accept is the person's to mend.
fn asked_wrongly(error: LedgerError) -> anyhow::Error {
    match error {
        LedgerError::Sql(cause) => CommandError::Usage(format!(
            "{cause}: `trade ledger schema` shows what there is, and the views are the place to start"
        ))
        .into(),
        LedgerError::Refused { reason, .. } => CommandError::Usage(format!("the query is refused: {reason}")).into(),
        other => other.into(),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// An answer as a table. A column stands to the right if it holds numbers and nothing else.
#[must_use]
pub fn table(answer: &Answer) -> Table {
    let is_numeric = |place: usize| {
        let mut values = answer.rows.iter().filter_map(|row| row.get(place));
        values.all(|value| matches!(value, Cell::Null | Cell::Integer(_) | Cell::Real(_)))
    };
    let columns = answer.columns.iter().enumerate().map(|(place, name)| {
        if is_numeric(place) {
            Column::number(name.clone(), name.clone())
        } else {
            Column::text(name.clone(), name.clone())
        }
    });
    let mut table = Table::new(columns.collect(), "no rows");
    answer.rows.iter().for_each(|row| table.push(row.iter().map(output::Cell::value).collect()));
    table
}

#[derive(Serialize)]
struct Schema<'a> {
    schema: &'a str,
}

/// A copy that was made.
#[derive(Serialize)]
struct Copied {
    from: String,
    to: String,
    /// Where the file is that was in the place before.
    replaced: Option<String>,
}

fn check(context: &Context) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let ledger = context.ledger()?;
    let as_of = context.now_in(&configuration)?;
    let audit = audit_ledger(&ledger, &configuration.jobs, &configuration.settings.calendar(), as_of)?;
    let findings = audit.findings().len();
    context.output.document(&audit, |audit, paint| check_text(ledger.path(), audit, paint))?;
    if findings == 0 {
        return Ok(());
    }
    let told = format!(
        "{} is not sound ({findings} findings): keep it, and restore the last good backup",
        shown(ledger.path())
    );
    Err(CommandError::Failed(told).into())
}

fn check_text(path: &Path, audit: &Audit, paint: Paint) -> String {
    let findings = audit.findings();
    if findings.is_empty() {
        return format!("{} {}: file, references and invariants\n", paint.green("sound:"), path.display());
    }
    findings.iter().map(|finding| format!("{} {finding}\n", paint.red("wrong:"))).collect()
}

fn restore(context: &Context, file: &Path) -> anyhow::Result<()> {
    let path = context.configuration()?.settings.ledger.path;
    let lock = LedgerLock::acquire(&path)?;
    let restored = backup::restore(&lock, file, context.now())?;
    let copy = Copied { from: shown(file), to: shown(&path), replaced: restored.replaced.as_deref().map(shown) };
    context.output.document(&copy, |copy, _| {
        let kept = copy.replaced.as_ref().map_or(String::new(), |kept| format!("; the file before is kept as {kept}"));
        format!("restored {} from {}{kept}\n", copy.to, copy.from)
    })
}

/// A view that was written.
#[derive(Serialize)]
struct Exported {
    view: &'static str,
    file: String,
    rows: u64,
}

fn export(context: &Context, folder: &Path) -> anyhow::Result<()> {
    let ledger = context.ledger()?;
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let bar = progress(View::ALL.len() as u64, "writing");
    let mut exported = Vec::new();
    for view in View::ALL {
        let file = folder.join(format!("{}.csv", view.name()));
        let rows = export_view(&ledger, view, &file).with_context(|| format!("writing {}", file.display()))?;
        exported.push(Exported { view: view.name(), file: shown(&file), rows });
        bar.inc(1);
    }
    bar.finish_and_clear();
    context.output.document(&exported, |exported, _| {
        exported.iter().map(|Exported { file, rows, .. }| format!("{file}: {rows} rows\n")).collect()
    })
}

fn export_view(ledger: &Ledger, view: View, file: &Path) -> anyhow::Result<u64> {
    let writer = std::cell::RefCell::new(csv::Writer::from_path(file)?);
    let mut rows = 0;
    ledger.view_each::<anyhow::Error>(
        view,
        Rows::All,
        |columns| Ok(writer.borrow_mut().write_record(columns)?),
        |row| {
            rows += 1;
            Ok(writer.borrow_mut().write_record(row.iter().map(Cell::to_string))?)
        },
    )?;
    writer.into_inner().flush()?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn an_answer_is_shown_with_its_own_names() {
        let day = TestLedger::new();
        let answer = day.ledger.query("SELECT 'AAPL' AS symbol, 12.5 AS pnl, NULL AS note").unwrap();
        assert_eq!(
            table(&answer).to_text(Paint::PLAIN, None),
            "symbol   pnl  note\n───────────────────\nAAPL    12.5\n"
        );
        assert_eq!(serde_json::to_string(&table(&answer)).unwrap(), r#"[{"symbol":"AAPL","pnl":12.5,"note":null}]"#);
    }

    #[test]
    fn a_wrong_question_is_the_askers_to_mend() {
        let day = TestLedger::new();
        for (sql, told) in
            [("SELECT profit FROM v_day", "no such column"), ("DELETE FROM fill", "could change something")]
        {
            let error = asked_wrongly(day.ledger.query(sql).unwrap_err());
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(crate::cli::exit::of(&error), crate::cli::exit::Exit::Usage);
        }
    }

    #[test]
    fn a_view_is_written_with_its_header() {
        let day = TestLedger::new();
        day.run("analysis", 5);
        let file = day.folder().join("v_run.csv");
        assert_eq!(export_view(&day.ledger, View::Run, &file).unwrap(), 1);
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("run_id,job,kind,slot_at_utc,") && text.lines().count() == 2, "{text}");
    }
}
