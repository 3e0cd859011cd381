//! `trade bars`: minute bars in and out of the ledger.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use daybook_core::market::{Bar, Symbol, Timeframe, aggregate};
use daybook_core::report::words::counted;
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Paint, Table, progress, stream};
use super::time::{date, midnight, session_of};
use crate::adapters::feeds::files::{BadRow, Series, merge, read_bars, write_bars, write_header};
use crate::ledger::bar::{self, BarSeries};
use crate::ledger::{Ledger, NewLedger, OpenOptions};

/// Where bars that a person imported come from, as the ledger says it.
const SOURCE: &str = "import";

/// Bad rows named one by one; the rest are counted, and JSON has more of them.
const BAD_ROWS_SHOWN: usize = 20;

/// `trade bars ...`.
#[derive(Debug, Subcommand)]
pub enum BarsCommand {
    /// Imports minute bars from CSV files, plain, .gz or .zst, or from Parquet
    ///
    /// Columns: symbol,ts_utc,open,high,low,close,volume, where ts_utc is the start of the bar. `symbol` may
    /// be absent: then --symbol or the file's name is meant. `ts` (seconds, milliseconds or nanoseconds
    /// since 1970) may stand in place of ts_utc.
    ///
    /// A bad row is reported with its line and what is wrong; the good rows are kept. The command then ends
    /// with 1, unless --skip-bad says that bad rows are expected. A bar that is in the ledger already stays
    /// as it is: runs have been decided on it.
    #[command(after_help = "Examples:
  trade bars import us_minute_2013-10.csv
  trade bars import --symbol SPY minutes.csv.gz --skip-bad")]
    Import(Import),
    /// The symbols that have bars, with how many and from when to when
    List(FormatArg),
    /// The bars of a symbol in one session
    #[command(after_help = "Examples:
  trade bars show AAPL
  trade bars show AAPL --session 2026-11-16 --timeframe 15m")]
    Show(Show),
    /// Writes bars as CSV, in the form that `import` reads
    #[command(after_help = "Examples:
  trade bars export > bars.csv
  trade bars export AAPL MSFT --from 2026-11-16 --to 2026-11-20 --out week.csv")]
    Export(Export),
}

/// What is imported.
#[derive(Debug, Args)]
pub struct Import {
    /// CSV or Parquet files of minute bars
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose bars they are, for files without the column `symbol`
    #[arg(long)]
    symbol: Option<Symbol>,
    /// Leave bad rows out and end with 0
    #[arg(long)]
    skip_bad: bool,
}

/// Which bars are shown.
#[derive(Debug, Args)]
pub struct Show {
    /// The symbol
    symbol: Symbol,
    /// The session [default: that of the symbol's last bar]
    #[arg(long, value_name = "DATE", value_parser = date)]
    session: Option<SessionDate>,
    /// Taken together: 1m (with the hours before the open and after the close), 5m, 15m, 30m, 1h, 4h or 1d
    #[arg(long, value_name = "LENGTH", default_value = "1m")]
    timeframe: Timeframe,
    #[command(flatten)]
    format: FormatArg,
}

/// Which bars are written, and where.
#[derive(Debug, Args)]
pub struct Export {
    /// Whose bars [default: all]
    #[arg(value_name = "SYMBOL")]
    symbols: Vec<Symbol>,
    /// The first date in New York
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<SessionDate>,
    /// The last date in New York
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<SessionDate>,
    /// A new file for them [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl BarsCommand {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If a file or the ledger is unusable, or a row was bad and that was not expected.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Import(import) => import.run(context),
            Self::List(format) => context.output.table(&series_table(&context.ledger()?.read(bar::series)?), format),
            Self::Show(show) => show.run(context),
            Self::Export(export) => export.run(context),
        }
    }
}

/// What an import did.
#[derive(Debug, Default, Serialize)]
struct Imported {
    ledger: String,
    symbols: usize,
    new: usize,
    repeated: usize,
    /// Bars that differ from those recorded before, which stay.
    different: Vec<String>,
    files: Vec<ImportedFile>,
}

#[derive(Debug, Serialize)]
struct ImportedFile {
    file: String,
    rows: u64,
    bad_row_count: u64,
    bad_rows: Vec<ImportedBadRow>,
}

#[derive(Debug, Serialize)]
struct ImportedBadRow {
    line: u64,
    reason: String,
}

impl Import {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let (series, files) = read_all(&self.files, self.symbol)?;
        let settings = context.configuration()?.settings;
        let new = NewLedger::live(&settings.account.name, context.now())?;
        let path = &settings.ledger.path;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        }
        let options = if path.exists() { OpenOptions::existing() } else { OpenOptions::create_or_open(new) };
        let ledger = Ledger::open(path, &options)?;
        let imported = Imported { ledger: path.display().to_string(), files, ..record(&ledger, series)? };
        context.output.document(&imported, |imported, paint| imported.text(paint))?;
        imported.fault(self.skip_bad).map_or(Ok(()), |fault| Err(fault.into()))
    }
}

/// Reads every file before anything is written: a wrong file leaves the ledger as it was.
fn read_all(paths: &[PathBuf], symbol: Option<Symbol>) -> Result<(Series, Vec<ImportedFile>), CommandError> {
    let bar = progress(paths.len() as u64, "reading");
    let mut series = Series::new();
    let mut files = Vec::new();
    for path in paths {
        let read = read_bars(path, symbol).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            CommandError::Usage(format!("{error}{cause}"))
        })?;
        let bad_rows = read
            .bad_rows
            .iter()
            .map(|BadRow { line, fault, .. }| ImportedBadRow { line: *line, reason: fault.to_string() });
        files.push(ImportedFile {
            file: path.display().to_string(),
            rows: read.rows,
            bad_row_count: read.bad_row_count,
            bad_rows: bad_rows.collect(),
        });
        merge(&mut series, read.series);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((series, files))
}

/// Records bars, each symbol's in one transaction.
fn record(ledger: &Ledger, series: Series) -> anyhow::Result<Imported> {
    let mut imported = Imported { symbols: series.len(), ..Imported::default() };
    for (symbol, bars) in series {
        let inserted = ledger.write_blocking(move |tx| bar::insert_new(tx, SOURCE, symbol, &bars))?;
        imported.new += inserted.new;
        imported.repeated += inserted.repeated;
        imported.different.extend(inserted.conflicts.iter().map(|conflict| {
            let (kept, offered) = (conflict.kept, conflict.offered);
            format!("{symbol} {}: recorded {}, offered {}", kept.start, prices(&kept), prices(&offered))
        }));
    }
    Ok(imported)
}

fn prices(bar: &Bar) -> String {
    format!("{}/{}/{}/{} x {}", bar.open, bar.high, bar.low, bar.close, bar.volume)
}

impl Imported {
    /// What keeps the import from being a full success.
    fn fault(&self, skip_bad: bool) -> Option<CommandError> {
        let bad: u64 = self.files.iter().map(|file| file.bad_row_count).sum();
        let different = self.different.len();
        let mut faults = Vec::new();
        if bad > 0 {
            faults.push(if bad == 1 {
                "1 bad row was left out".to_owned()
            } else {
                format!("{bad} bad rows were left out")
            });
        }
        if different > 0 {
            let bars = counted(different, "bar differs", "bars differ");
            faults.push(format!("{bars} from what was recorded before, which stays"));
        }
        let told = format!("{}; the rest is imported (--skip-bad accepts that)", faults.join(", and "));
        (!skip_bad && !faults.is_empty()).then_some(CommandError::Failed(told))
    }

    fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        for ImportedFile { file, rows, bad_row_count, bad_rows } in &self.files {
            text.push_str(&format!("{file}: {rows} good rows, {bad_row_count} bad\n"));
            for ImportedBadRow { line, reason } in bad_rows.iter().take(BAD_ROWS_SHOWN) {
                text.push_str(&format!("  {} {reason}\n", paint.yellow(&format!("line {line}:"))));
            }
            if let Some(more) = bad_row_count.checked_sub(BAD_ROWS_SHOWN as u64).filter(|more| *more > 0) {
                text.push_str(&format!("  and {more} more; --json has more of them\n"));
            }
        }
        for different in self.different.iter().take(BAD_ROWS_SHOWN) {
            text.push_str(&format!("  {} {different}\n", paint.yellow("differs:")));
        }
        let Self { ledger, symbols, new, repeated, .. } = self;
        let symbols = counted(*symbols, "symbol", "symbols");
        text.push_str(&format!("{ledger}: {new} new bars of {symbols}, {repeated} were there already\n"));
        text
    }
}

fn series_table(series: &[BarSeries]) -> Table {
    let columns = vec![
        Column::text("symbol", "SYMBOL"),
        Column::number("bars", "BARS"),
        Column::text("first_utc", "FIRST"),
        Column::text("last_utc", "LAST"),
    ];
    let mut table = Table::new(columns, "no bars: `trade bars import FILE` brings some in");
    for BarSeries { symbol, bars, first, last } in series {
        table.push(vec![Cell::text(symbol), Cell::count(*bars), Cell::time(*first), Cell::time(*last)]);
    }
    table
}

impl Show {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let calendar = context.configuration()?.settings.calendar();
        let ledger = context.ledger()?;
        let symbol = self.symbol;
        let last = ledger.read(|conn| bar::last(conn, symbol))?;
        let last = last.ok_or_else(|| {
            CommandError::Usage(format!("there are no bars of {symbol}: `trade bars list` shows whose there are"))
        })?;
        let session = session_of(&calendar, self.session.unwrap_or_else(|| last.start.date_in(calendar.zone())))?;
        let minutes = ledger.read(|conn| bar::range(conn, symbol, session.pre_open, session.post_close))?;
        let bars = match self.timeframe {
            Timeframe::M1 => minutes,
            longer => aggregate(&minutes, &session, longer)?.iter().map(|bucket| bucket.bar).collect(),
        };
        let nothing = format!("no bars of {symbol} in the session of {}", session.date);
        context.output.table(&bar_table(symbol, &bars, nothing), self.format)
    }
}

fn bar_table(symbol: Symbol, bars: &[Bar], nothing: String) -> Table {
    let mut table = Table::new(bar_columns(), nothing);
    bars.iter().for_each(|bar| table.push(bar_row(symbol, bar)));
    table
}

fn bar_columns() -> Vec<Column> {
    let number = |name: &'static str| Column::number(name, name.to_uppercase());
    vec![
        Column::text("symbol", "SYMBOL"),
        Column::text("ts_utc", "START"),
        number("open"),
        number("high"),
        number("low"),
        number("close"),
        number("volume"),
    ]
}

fn bar_row(symbol: Symbol, bar: &Bar) -> Vec<Cell> {
    let Bar { start, open, high, low, close, volume } = bar;
    vec![
        Cell::text(symbol),
        Cell::time(*start),
        Cell::text(open),
        Cell::text(high),
        Cell::text(low),
        Cell::text(close),
        Cell::text(volume),
    ]
}

impl Export {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let zone = context.configuration()?.settings.calendar().zone();
        let from = self.from.map_or(Timestamp(i64::MIN), |date| midnight(date, zone));
        let until = self.to.map_or(Timestamp(i64::MAX), |date| midnight(date.plus_days(1), zone));
        let ledger = context.ledger()?;
        let known: Vec<Symbol> = ledger.read(bar::series)?.iter().map(|series| series.symbol).collect();
        if let Some(unknown) = self.symbols.iter().find(|symbol| !known.contains(symbol)) {
            let message = format!("there are no bars of {unknown}: `trade bars list` shows whose there are");
            return Err(CommandError::Usage(message).into());
        }
        let symbols = if self.symbols.is_empty() { &known } else { &self.symbols };
        match &self.out {
            Some(path) => {
                let mut out = BufWriter::new(create_new(path)?);
                let written = write(&mut out, &ledger, symbols, from, until)?;
                out.flush()?;
                let done = BTreeMap::from([("bars", written.to_string()), ("file", path.display().to_string())]);
                context.output.document(&done, |_, _| format!("{}: {written} bars\n", path.display()))
            }
            None if context.output.is_json() => {
                let mut table = Table::new(bar_columns(), "");
                for symbol in symbols {
                    let bars = ledger.read(|conn| bar::range(conn, *symbol, from, until))?;
                    bars.iter().for_each(|bar| table.push(bar_row(*symbol, bar)));
                }
                context.output.json(&table)
            }
            None => {
                let mut out = stream();
                write(&mut out, &ledger, symbols, from, until)?;
                Ok(out.flush()?)
            }
        }
    }
}

/// A new file; an existing one is somebody's.
fn create_new(path: &Path) -> anyhow::Result<File> {
    File::create_new(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CommandError::Usage(format!("{} is there already: name another file", path.display())).into()
        }
        _ => anyhow::Error::new(error).context(format!("writing {}", path.display())),
    })
}

/// Writes bars, symbol by symbol; the answer is how many.
fn write(
    out: &mut impl Write,
    ledger: &Ledger,
    symbols: &[Symbol],
    from: Timestamp,
    until: Timestamp,
) -> anyhow::Result<usize> {
    write_header(out)?;
    let mut written = 0;
    for symbol in symbols {
        let bars = ledger.read(|conn| bar::range(conn, *symbol, from, until))?;
        write_bars(out, *symbol, &bars)?;
        written += bars.len();
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bad_row_count: u64) -> ImportedFile {
        ImportedFile {
            file: "bars.csv".to_owned(),
            rows: 390,
            bad_row_count,
            bad_rows: (0..bad_row_count)
                .map(|i| ImportedBadRow { line: i + 2, reason: "high 9.90 is below low 10.10".to_owned() })
                .collect(),
        }
    }

    #[test]
    fn bad_rows_are_told_and_fail_the_import_unless_they_are_expected() {
        let imported = Imported {
            ledger: "data/ledger.db".to_owned(),
            symbols: 1,
            new: 380,
            repeated: 9,
            different: vec!["AIG 2013-10-04T10:59:00Z: recorded 1/1/1/1 x 3, offered 1/2/1/1 x 3".to_owned()],
            files: vec![file(2), file(22)],
        };
        insta::assert_snapshot!(imported.text(Paint::PLAIN));
        let expected = "24 bad rows were left out, and 1 bar differs from what was recorded before, which stays; the rest \
            is imported (--skip-bad accepts that)";
        assert_eq!(imported.fault(false), Some(CommandError::Failed(expected.to_owned())));
        assert_eq!(imported.fault(true), None);
        assert_eq!(Imported { files: vec![file(0)], ..Imported::default() }.fault(false), None);
    }
}
