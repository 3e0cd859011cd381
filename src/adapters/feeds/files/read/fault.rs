//! What is wrong with a file of bars, or with one of its rows.

use std::path::PathBuf;
use std::{fmt, io};

use daybook_core::market::{BarFault, Symbol, SymbolError};
use daybook_core::money::MoneyError;
use daybook_core::time::Timestamp;
use parquet::errors::ParquetError;
use serde::Serialize;

use super::CELL_BYTES_MAX;
use crate::adapters::feeds::files::COLUMNS;
use crate::adapters::feeds::files::actions::ActionFault;

/// What the places in a file are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counted {
    /// Lines of text, the header being line 1.
    #[default]
    Lines,
    /// Rows of a table, from 1.
    Rows,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines => "line",
            Self::Rows => "row",
        })
    }
}

/// Rows of a symbol that come after later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unordered {
    /// The symbol.
    pub symbol: Symbol,
    /// How many rows are earlier than the row before them.
    pub rows: u64,
    /// The line of the first of them.
    pub first_line: u64,
    /// What lines are in this file.
    #[serde(skip)]
    pub counted: Counted,
}

impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, rows, first_line, counted } = self;
        write!(f, "{counted} {first_line}: {symbol}: out of order, the first of {rows}; the bars were sorted")
    }
}

/// A row that is no bar.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    /// Its line in the file.
    pub line: u64,
    /// What lines are in this file.
    pub counted: Counted,
    /// Whose bar it would be, if that can be read.
    pub symbol: Option<Symbol>,
    /// What is wrong with it.
    pub fault: RowFault,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, counted, symbol, fault } = self;
        match symbol {
            Some(symbol) => write!(f, "{counted} {line}: {symbol}: {fault}"),
            None => write!(f, "{counted} {line}: {fault}"),
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowFault {
    /// Another number of fields than the header has.
    #[error("has {found} fields: expected {expected}")]
    Fields { found: usize, expected: usize },
    /// A line end of another age within it.
    #[error("ends with a carriage return alone: expected a line feed at the end of each line")]
    LineEnd,
    /// A cell without a value.
    #[error("{column} is empty: expected a value")]
    Empty { column: &'static str },
    /// Bytes that are no text.
    #[error("{column} is not text in UTF-8")]
    NotText { column: &'static str },
    /// More than anything that a row can say.
    #[error("{column} is \"{start}\" and so on, {length} bytes: expected at most {}", CELL_BYTES_MAX)]
    Long { column: &'static str, start: String, length: usize },
    /// No symbol.
    #[error("{0}")]
    Symbol(SymbolError),
    /// No instant.
    #[error("\"{text}\" is not {expected}")]
    Instant { text: String, expected: &'static str },
    /// An instant of another age.
    #[error("{at} is out of range: expected a year from 1970 to 2100")]
    OutOfRange { at: Timestamp },
    /// Within a minute.
    #[error("{at} is not the start of a minute")]
    Unaligned { at: Timestamp },
    /// No number.
    #[error("{column}: {reason}")]
    Number { column: &'static str, reason: MoneyError },
    /// A bar that no trading makes.
    #[error("{0}")]
    Bar(BarFault),
    /// A number that is not whole where one is expected.
    #[error("{column}: \"{text}\" is no whole number of {expected}")]
    Whole { column: &'static str, text: String, expected: &'static str },
    /// A minute that was there before.
    #[error("{at} is on {counted} {first_line} already")]
    Duplicate { at: Timestamp, counted: Counted, first_line: u64 },
    /// No corporate action.
    #[error("{0}")]
    Action(ActionFault),
}

/// Why a file could not be read as bars.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened or unpacked.
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Its first line is not the header.
    #[error(
        "{}:1: the columns are \"{found}\": expected \"{}\", in this order; symbol may be absent, and ts \
         (seconds, milliseconds or nanoseconds since 1970) may stand in place of ts_utc",
        path.display(),
        COLUMNS.join(",")
    )]
    Header { path: PathBuf, found: String },
    /// Its text is in another encoding.
    #[error("{}:1: is UTF-16, or no text at all; save the file as UTF-8", path.display())]
    Encoding { path: PathBuf },
    /// Its lines end with a carriage return alone.
    #[error(
        "{}:1: its lines end with a carriage return alone: expected a line feed at the end of each, as \
         `tr '\\r' '\\n'` makes it",
        path.display()
    )]
    LineEnds { path: PathBuf },
    /// It is no sound Parquet file, though it begins like one; `column` is where that was seen.
    #[error(
        "{} cannot be read as Parquet{}: it is damaged or cut short, expected a whole file",
        path.display(),
        column.map_or(String::new(), |column| format!(" in column {column}"))
    )]
    Parquet { path: PathBuf, column: Option<&'static str>, source: ParquetError },
    /// A column of a Parquet file is missing or of another type.
    #[error("{}: column {column} {found}: expected {expected}", path.display())]
    Column { path: PathBuf, column: &'static str, found: String, expected: &'static str },
    /// An archive of something else.
    #[error(
        "{} holds {found}: expected LEAN's minute bars of trades, such as 20131007_spy_minute_trade.csv",
        path.display()
    )]
    Lean { path: PathBuf, found: String },
    /// A folder that is no store of bars.
    #[error(
        "{} is a folder without bars: expected files such as AAPL/2026.parquet, as `trade bars import` writes them",
        path.display()
    )]
    NoStore { path: PathBuf },
    /// It says nowhere whose bars they are.
    #[error("{} has no column symbol and its name is no symbol: give the symbol, or name it like SPY.csv", path.display())]
    NoSymbol { path: PathBuf },
}
