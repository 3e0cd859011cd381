//! `trade bars`: minute bars in and out of the store.
//!
//! What is shown are the bars of the store and those that the ledger has recorded; of a minute that both have, the
//! ledger's: runs were decided on it.

mod actions;
mod check;
mod import;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, BarColumns, Symbol, Timeframe, adjust, aggregate, daily};
use daybook_core::time::{SessionDate, Timestamp};

pub use self::check::SymbolJump;
use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Table, stream};
use super::time::{date, midnight, session_of};
use crate::adapters::feeds::files::{BarStore, StoredSeries, write_bars, write_header};
use crate::config::Settings;
use crate::ledger::bar::{self, BarSeries};
use crate::ledger::{Ledger, LedgerError};

/// The folder of the store beside the ledger.
const STORE: &str = "bars";

/// The sessions of a symbol's bars, each as one bar.
///
/// # Errors
/// If the shares of one are too many.
pub fn days_of(
    symbol: Symbol,
    bars: &BarColumns,
    calendar: &Calendar,
) -> Result<Vec<(SessionDate, Bar)>, CommandError> {
    daily(bars, calendar).map_err(|error| {
        let most = "expected at most 9,223,372,036 shares in a session";
        CommandError::Usage(format!("the bars of {symbol} cannot be taken together: {error}; {most}"))
    })
}

/// `trade bars ...`.
#[derive(Debug, Subcommand)]
pub enum BarsCommand {
    /// Imports minute bars from CSV (plain, .gz, .zst), Parquet, or LEAN's zip archives into the store, and splits and
    /// dividends from CSV or LEAN's factor files
    ///
    /// Columns: symbol,ts_utc,open,high,low,close,volume, where ts_utc is the start of the bar. `symbol` may
    /// be absent: then --symbol or the file's name is meant. `ts` (seconds, milliseconds or nanoseconds
    /// since 1970) may stand in place of ts_utc. An archive of LEAN's is a symbol's minutes of a day.
    ///
    /// Columns of splits and dividends: symbol,ex_date,action,value, such as AAPL,2014-06-09,split,7:1 and
    /// AAPL,2014-08-07,dividend,0.47. Bars stay as they were traded; who compares sessions sees them adjusted.
    ///
    /// A bad row is reported with its line, its symbol and what is wrong; the good rows are kept. The command
    /// then ends with 1, unless --skip-bad says that bad rows are expected. A bar that is stored already stays
    /// as it is, so an import can be repeated. Rows out of order are sorted, and told, as is what is missing
    /// of regular hours.
    #[command(after_help = "Examples:
  trade bars import us_minute_2013-10.csv
  trade bars import --symbol SPY minutes.csv.gz --skip-bad
  trade bars import data/equity/usa/minute/spy/*_trade.zip data/equity/usa/factor_files/spy.csv
  trade backtest --bars data/bars")]
    Import(import::Import),
    /// The symbols that have bars, with how many and from when to when
    List(List),
    /// The splits and dividends that are stored
    Actions(actions::Actions),
    /// Looks for splits that no row tells of, and for rows whose split is not in the bars; ends with 1 if there are any
    Check(check::Check),
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

/// Where bars are stored.
#[derive(Debug, Args)]
pub struct StoreArg {
    /// The folder of the bars [default: bars, beside the ledger]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreArg {
    fn open(&self, settings: &Settings) -> BarStore {
        let beside = || settings.ledger.path.with_file_name(STORE);
        BarStore::at(self.store.clone().unwrap_or_else(beside))
    }
}

/// Which symbols are listed, and how.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    format: FormatArg,
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
    /// In the shares of the symbol's last bar: later splits and dividends taken out
    #[arg(long)]
    adjusted: bool,
    #[command(flatten)]
    store: StoreArg,
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
    /// In the shares of each symbol's last bar: splits and dividends taken out
    #[arg(long)]
    adjusted: bool,
    #[command(flatten)]
    store: StoreArg,
}

impl BarsCommand {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If a file, the store or the ledger is unusable, or a row was bad and that was not expected.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Import(import) => import.run(context),
            Self::List(list) => list.run(context),
            Self::Actions(actions) => actions.run(context),
            Self::Check(check) => check.run(context),
            Self::Show(show) => show.run(context),
            Self::Export(export) => export.run(context),
        }
    }
}

/// The bars that there are.
struct Known {
    store: BarStore,
    ledger: Option<Ledger>,
}

impl Known {
    fn open(store: &StoreArg, context: &Context) -> anyhow::Result<Self> {
        let store = store.open(&context.configuration()?.settings);
        let ledger = match context.ledger() {
            Ok(ledger) => Some(ledger),
            Err(error) => match error.downcast_ref() {
                Some(LedgerError::NotFound { .. } | LedgerError::MissingFolder { .. }) => None,
                Some(_) | None => return Err(error),
            },
        };
        Ok(Self { store, ledger })
    }

    fn recorded(&self) -> anyhow::Result<Vec<BarSeries>> {
        Ok(self.ledger.as_ref().map(|ledger| ledger.read(bar::series)).transpose()?.unwrap_or_default())
    }

    fn symbols(&self) -> anyhow::Result<BTreeSet<Symbol>> {
        let recorded = self.recorded()?.into_iter().map(|series| series.symbol);
        Ok(recorded.chain(self.store.symbols()?).collect())
    }

    /// The bars of a symbol that start in `[from, until)`, in order.
    fn range(&self, symbol: Symbol, from: Timestamp, until: Timestamp) -> anyhow::Result<Vec<Bar>> {
        let stored = self.store.range(symbol, from, until)?;
        let Some(ledger) = &self.ledger else { return Ok(stored) };
        let mut bars = ledger.read(|conn| bar::range(conn, symbol, from, until))?;
        bars.extend(stored);
        // Stable: of two bars of one minute the ledger's stays first.
        bars.sort_by_key(|bar| bar.start);
        bars.dedup_by_key(|bar| bar.start);
        Ok(bars)
    }

    /// The bars of a symbol that start in `[from, until)`, as they were traded or, with a calendar, in the shares of the
    /// symbol's last bar.
    fn seen(
        &self,
        symbol: Symbol,
        (from, until): (Timestamp, Timestamp),
        adjusted: Option<&Calendar>,
    ) -> anyhow::Result<Vec<Bar>> {
        let Some(calendar) = adjusted else { return self.range(symbol, from, until) };
        let mut bars = self.range(symbol, Timestamp(i64::MIN), Timestamp(i64::MAX))?;
        adjust(&mut bars, self.store.actions()?.of(symbol), calendar)?;
        bars.retain(|bar| from <= bar.start && bar.start < until);
        Ok(bars)
    }

    /// The start of the symbol's last bar.
    fn last(&self, symbol: Symbol) -> anyhow::Result<Option<Timestamp>> {
        let stored = self.store.last(symbol)?;
        let recorded = self.ledger.as_ref().map(|ledger| ledger.read(|conn| bar::last(conn, symbol))).transpose()?;
        Ok(stored.max(recorded.flatten().map(|bar| bar.start)))
    }
}

impl List {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let known = Known::open(&self.store, context)?;
        let columns = vec![
            Column::text("symbol", "SYMBOL"),
            Column::text("where", "WHERE"),
            Column::number("bars", "BARS"),
            Column::text("first_utc", "FIRST"),
            Column::text("last_utc", "LAST"),
        ];
        let mut table = Table::new(columns, "no bars: `trade bars import FILE` brings some in");
        let recorded = known.recorded()?.into_iter().map(|series| ("ledger", series));
        let stored = known
            .store
            .series()?
            .into_iter()
            .map(|StoredSeries { symbol, bars, first, last }| ("store", BarSeries { symbol, bars, first, last }));
        let mut all: Vec<(&str, BarSeries)> = recorded.chain(stored).collect();
        all.sort_by_key(|(place, series)| (series.symbol, *place));
        for (place, BarSeries { symbol, bars, first, last }) in all {
            let (first, last) = (Cell::time(first), Cell::time(last));
            table.push(vec![Cell::text(symbol), Cell::text(place), Cell::count(bars), first, last]);
        }
        context.output.table(&table, self.format)
    }
}

impl Show {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let calendar = context.configuration()?.settings.calendar();
        let known = Known::open(&self.store, context)?;
        let symbol = self.symbol;
        let last = known.last(symbol)?.ok_or_else(|| unknown(symbol))?;
        let session = session_of(&calendar, self.session.unwrap_or_else(|| last.date_in(calendar.zone())))?;
        let adjusted = self.adjusted.then_some(&calendar);
        let minutes = known.seen(symbol, (session.pre_open, session.post_close), adjusted)?;
        let bars = match self.timeframe {
            Timeframe::M1 => minutes,
            longer => aggregate(&minutes, &session, longer)?.iter().map(|bucket| bucket.bar).collect(),
        };
        let nothing = format!("no bars of {symbol} in the session of {}", session.date);
        context.output.table(&bar_table(symbol, &bars, nothing), self.format)
    }
}

fn unknown(symbol: Symbol) -> CommandError {
    CommandError::Usage(format!("there are no bars of {symbol}: `trade bars list` shows whose there are"))
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
        let calendar = context.configuration()?.settings.calendar();
        let zone = calendar.zone();
        let from = self.from.map_or(Timestamp(i64::MIN), |date| midnight(date, zone));
        let until = self.to.map_or(Timestamp(i64::MAX), |date| midnight(date.plus_days(1), zone));
        let known = Known::open(&self.store, context)?;
        let adjusted = self.adjusted.then_some(&calendar);
        let bars_of = |symbol| known.seen(symbol, (from, until), adjusted);
        let all = known.symbols()?;
        if let Some(symbol) = self.symbols.iter().find(|symbol| !all.contains(symbol)) {
            return Err(unknown(*symbol).into());
        }
        let symbols = if self.symbols.is_empty() { all.into_iter().collect() } else { self.symbols.clone() };
        match &self.out {
            Some(path) => {
                let mut out = BufWriter::new(create_new(path)?);
                let written = write(&mut out, &symbols, bars_of)?;
                out.flush()?;
                let done = BTreeMap::from([("bars", written.to_string()), ("file", path.display().to_string())]);
                context.output.document(&done, |_, _| format!("{}: {written} bars\n", path.display()))
            }
            None if context.output.is_json() => {
                let mut table = Table::new(bar_columns(), "");
                for symbol in &symbols {
                    let bars = bars_of(*symbol)?;
                    bars.iter().for_each(|bar| table.push(bar_row(*symbol, bar)));
                }
                context.output.json(&table)
            }
            None => {
                let mut out = stream();
                write(&mut out, &symbols, bars_of)?;
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
    symbols: &[Symbol],
    bars_of: impl Fn(Symbol) -> anyhow::Result<Vec<Bar>>,
) -> anyhow::Result<usize> {
    write_header(out)?;
    let mut written = 0;
    for symbol in symbols {
        let bars = bars_of(*symbol)?;
        write_bars(out, *symbol, &bars)?;
        written += bars.len();
    }
    Ok(written)
}
