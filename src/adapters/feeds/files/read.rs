use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::NaiveDate;
use csv::ByteRecord;
use daybook_core::market::{Bar, BarFault, MINUTE, Symbol, SymbolError};
use daybook_core::money::{MoneyError, Quantity};
use daybook_core::time::Timestamp;

use super::{COLUMNS, Series, compressed};

/// Bad rows kept for the report; the rest are counted. A file of another kind is all bad rows.
const BAD_ROWS_KEPT: usize = 1_000;

/// 2101-01-01T00:00:00Z: no calendar here goes further.
const END_MS: i64 = 4_133_980_800_000;

/// What a file of bars holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarFile {
    /// The good rows.
    pub series: Series,
    /// How many good rows there are.
    pub rows: u64,
    /// The first thousand bad rows, in the order of their lines.
    pub bad_rows: Vec<BadRow>,
    /// How many bad rows there are.
    pub bad_row_count: u64,
}

/// A row that is no bar.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    /// Its line in the file, the header being line 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: RowFault,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowFault {
    /// Another number of fields than the header has.
    #[error("has {found} fields: expected {expected}")]
    Fields { found: usize, expected: usize },
    /// Bytes that are no text.
    #[error("{column} is not text in UTF-8")]
    NotText { column: &'static str },
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
    /// A minute that was there before.
    #[error("{symbol} at {at} is on line {first_line} already")]
    Duplicate { symbol: Symbol, at: Timestamp, first_line: u64 },
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
    /// It says nowhere whose bars they are.
    #[error("{} has no column symbol and its name is no symbol: give the symbol, or name it like SPY.csv", path.display())]
    NoSymbol { path: PathBuf },
}

/// Reads a file of minute bars, plain, gzipped or as zstd.
///
/// Rows may come in any order. A row that is no bar, or repeats a minute, is reported and left out; the
/// others are kept. `symbol` is meant where the file has no such column; without it the file's name up to
/// the first dot counts.
///
/// # Errors
/// [`ReadError`] if the file cannot be read, is not of this format, or has no symbol.
pub fn read_bars(path: &Path, symbol: Option<Symbol>) -> Result<BarFile, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let source = compressed::open(path).map_err(failed)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source);
    let mut record = ByteRecord::new();
    reader.read_byte_record(&mut record).map_err(|error| failed(error.into()))?;
    let columns =
        Columns::of(&record).ok_or_else(|| ReadError::Header { path: path.to_owned(), found: text_of(&record) })?;
    let given = match (columns.symbol, symbol.or_else(|| symbol_of(path))) {
        (true, _) => None,
        (false, Some(symbol)) => Some(symbol),
        (false, None) => return Err(ReadError::NoSymbol { path: path.to_owned() }),
    };

    let mut rows = Rows::default();
    while reader.read_byte_record(&mut record).map_err(|error| failed(error.into()))? {
        let line = record.position().map_or(0, csv::Position::line);
        if let Err(fault) = rows.take(&record, &columns, given, line) {
            rows.reject(line, fault);
        }
    }
    Ok(rows.finish())
}

/// Which of the allowed headers a file has.
struct Columns {
    symbol: bool,
    /// Whether instants are numbers (`ts`) or text (`ts_utc`).
    numeric_time: bool,
}

impl Columns {
    fn of(header: &ByteRecord) -> Option<Self> {
        let names: Option<Vec<String>> = header.iter().map(|name| trimmed(name).map(str::to_ascii_lowercase)).collect();
        let names = names?;
        let symbol = names.first()? == "symbol";
        let (time, prices) = names.get(usize::from(symbol)..)?.split_first()?;
        let numeric_time = time == "ts";
        let known = (numeric_time || time == "ts_utc") && prices == &COLUMNS[2..];
        known.then_some(Self { symbol, numeric_time })
    }

    fn names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        COLUMNS.into_iter().skip(usize::from(!self.symbol))
    }

    fn instant(&self, text: &str) -> Result<Timestamp, RowFault> {
        let at = if self.numeric_time { instant_of_number(text)? } else { instant_of_text(text)? };
        if !(0..END_MS).contains(&at.0) {
            return Err(RowFault::OutOfRange { at });
        }
        if at.floor_to(MINUTE) != at {
            return Err(RowFault::Unaligned { at });
        }
        Ok(at)
    }
}

/// The bars of one symbol with the lines they stand on.
struct Gathered {
    symbol: Symbol,
    bars: Vec<(Bar, u64)>,
    in_order: bool,
}

/// What has been read so far.
#[derive(Default)]
struct Rows {
    gathered: Vec<Gathered>,
    places: HashMap<Symbol, usize>,
    /// The place of the last row's symbol: rows of one symbol mostly follow each other.
    place: usize,
    bad: Vec<BadRow>,
    bad_count: u64,
}

impl Rows {
    /// Reads a row and keeps its bar.
    fn take(
        &mut self,
        record: &ByteRecord,
        columns: &Columns,
        given: Option<Symbol>,
        line: u64,
    ) -> Result<(), RowFault> {
        let wrong_length = || RowFault::Fields { found: record.len(), expected: columns.names().len() };
        if record.len() != columns.names().len() {
            return Err(wrong_length());
        }
        let mut fields = record.iter().zip(columns.names());
        let mut next = || {
            let (bytes, column) = fields.next().ok_or_else(wrong_length)?;
            trimmed(bytes).map(|text| (text, column)).ok_or(RowFault::NotText { column })
        };
        let place = match given {
            Some(symbol) => self.place_of(symbol),
            None => self.place_of_text(next()?.0)?,
        };
        let (start, _) = next()?;
        let bar = Bar {
            start: columns.instant(start)?,
            open: number(next()?)?,
            high: number(next()?)?,
            low: number(next()?)?,
            close: number(next()?)?,
            volume: number::<Quantity>(next()?)?,
        };
        bar.check().map_err(RowFault::Bar)?;
        if let Some(gathered) = self.gathered.get_mut(place) {
            gathered.in_order &= gathered.bars.last().is_none_or(|(last, _)| last.start < bar.start);
            gathered.bars.push((bar, line));
        }
        Ok(())
    }

    fn place_of_text(&mut self, text: &str) -> Result<usize, RowFault> {
        match self.gathered.get(self.place) {
            Some(last) if last.symbol.as_str() == text => Ok(self.place),
            _ => Ok(self.place_of(text.parse().map_err(RowFault::Symbol)?)),
        }
    }

    fn place_of(&mut self, symbol: Symbol) -> usize {
        let gathered = &mut self.gathered;
        self.place = *self.places.entry(symbol).or_insert_with(|| {
            gathered.push(Gathered { symbol, bars: Vec::new(), in_order: true });
            gathered.len() - 1
        });
        self.place
    }

    fn reject(&mut self, line: u64, fault: RowFault) {
        self.bad_count += 1;
        if self.bad.len() < BAD_ROWS_KEPT {
            self.bad.push(BadRow { line, fault });
        }
    }

    fn finish(mut self) -> BarFile {
        let mut file = BarFile::default();
        for Gathered { symbol, mut bars, in_order } in std::mem::take(&mut self.gathered) {
            if !in_order {
                // Stable: of two rows of one minute the earlier line stays first.
                bars.sort_by_key(|(bar, _)| bar.start);
            }
            let mut series: Vec<Bar> = Vec::with_capacity(bars.len());
            let mut first_line = 0;
            for (bar, line) in bars {
                if series.last().is_some_and(|last| last.start == bar.start) {
                    self.reject(line, RowFault::Duplicate { symbol, at: bar.start, first_line });
                } else {
                    first_line = line;
                    series.push(bar);
                }
            }
            file.rows += series.len() as u64;
            if !series.is_empty() {
                file.series.insert(symbol, series);
            }
        }
        self.bad.sort_by_key(|row| row.line);
        file.bad_rows = self.bad;
        file.bad_row_count = self.bad_count;
        file
    }
}

fn number<T: FromStr<Err = MoneyError>>((text, column): (&str, &'static str)) -> Result<T, RowFault> {
    text.parse().map_err(|reason| RowFault::Number { column, reason })
}

/// Reads seconds, milliseconds or nanoseconds since 1970: of the years 1973 to 2286 the magnitude tells.
fn instant_of_number(text: &str) -> Result<Timestamp, RowFault> {
    let expected = "an instant in whole seconds, milliseconds or nanoseconds since 1970";
    let unreadable = || RowFault::Instant { text: text.to_owned(), expected };
    let number: i64 = text.parse().map_err(|_| unreadable())?;
    match number {
        0..100_000_000_000 => Ok(Timestamp(number * 1_000)),
        100_000_000_000..100_000_000_000_000 => Ok(Timestamp(number)),
        // Microseconds are not promised; rounding nanoseconds away would hide a wrong unit.
        100_000_000_000_000_000.. if number % 1_000_000 == 0 => Ok(Timestamp(number / 1_000_000)),
        _ => Err(unreadable()),
    }
}

/// Reads an instant with its zone. `2013-10-04T10:59:00Z`, as nearly all are written, is read in place.
fn instant_of_text(text: &str) -> Result<Timestamp, RowFault> {
    if let Some(at) = plain_utc(text.as_bytes()) {
        return Ok(at);
    }
    Timestamp::from_str(text).map_err(|error| RowFault::Instant { text: error.text, expected: error.expected })
}

/// The instant of `YYYY-MM-DDThh:mm:ssZ` or `YYYY-MM-DD hh:mm:ssZ`; `None` for anything else.
fn plain_utc(text: &[u8]) -> Option<Timestamp> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b' ', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] = *text
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0_u32, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0')))
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)?;
    let at = date.and_hms_opt(number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?)?;
    Some(Timestamp::from_utc(at.and_utc()))
}

fn trimmed(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.trim_ascii()).ok()
}

fn text_of(record: &ByteRecord) -> String {
    let fields: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    fields.join(",")
}

/// The symbol that a file is named after: `SPY.csv.gz` is SPY's.
fn symbol_of(path: &Path) -> Option<Symbol> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
