mod fault;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use csv::ByteRecord;
use daybook_core::analysis::brief;
use daybook_core::market::{Bar, BarColumns, CorporateActions, Symbol};
use daybook_core::money::{MoneyError, Price, Quantity};
use daybook_core::time::Timestamp;

use super::actions::{ActionFile, ActionRows};
use super::plain::{Fields, Instants, whole};
use super::{COLUMNS, Series, compressed, lean, parquet_file, store, zip};

pub use fault::{BadRow, Counted, ReadError, RowFault, Unordered};

/// How much of a file is looked at at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// The longest line of text: a row of bars has a hundred bytes. A file without line ends is not read into memory.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The longest cell that can be anything; of a longer one the beginning is told, as of a header.
pub(super) const CELL_BYTES_MAX: usize = 100;

/// Bad rows kept for the report; the rest are counted. A file of another kind is all bad rows.
const BAD_ROWS_KEPT: usize = 1_000;

/// With it some programs begin a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// 2101-01-01T00:00:00Z: no calendar here goes further.
const END_MS: i64 = 4_133_980_800_000;

const MINUTE_MS: i64 = 60_000;

/// Bars by symbol, each field in a column of its own.
pub type ColumnSeries = BTreeMap<Symbol, BarColumns>;

/// What a file of bars holds, the bars in the form `S`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarFile<S = Series> {
    /// The good rows.
    pub series: S,
    /// The splits and dividends that the file tells of.
    pub actions: CorporateActions,
    /// How many good rows there are.
    pub rows: u64,
    /// The first thousand bad rows, in the order of their lines.
    pub bad_rows: Vec<BadRow>,
    /// How many bad rows there are.
    pub bad_row_count: u64,
    /// The symbols whose rows are not in the order of time; the series are.
    pub unordered: Vec<Unordered>,
}

/// Reads a file of minute bars: CSV, plain, gzipped or as zstd; Parquet; LEAN's zip archive of a day; or a whole
/// [store](super::BarStore). A CSV file may have corporate actions instead, which its first line tells.
///
/// Rows may come in any order. A row that is no bar, or repeats a minute, is reported and left out; the
/// others are kept. `symbol` is meant where the file has no such column; without it the file's name up to
/// the first dot counts.
///
/// # Errors
/// [`ReadError`] if the file cannot be read, is not of this format, or has no symbol.
pub fn read_bars(path: &Path, symbol: Option<Symbol>) -> Result<BarFile, ReadError> {
    let BarFile { series, actions, rows, bad_rows, bad_row_count, unordered } = read_columns(path, symbol)?;
    let series = series.into_iter().map(|(symbol, bars)| (symbol, bars.bars(0..bars.len()).collect())).collect();
    Ok(BarFile { series, actions, rows, bad_rows, bad_row_count, unordered })
}

/// As [`read_bars`], the bars in columns.
///
/// # Errors
/// As [`read_bars`].
pub fn read_columns(path: &Path, symbol: Option<Symbol>) -> Result<BarFile<ColumnSeries>, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    if path.is_dir() {
        return store::read_folder(path);
    }
    let mut file = BufReader::with_capacity(compressed::BUFFER_BYTES, File::open(path).map_err(failed)?);
    match file.fill_buf().map_err(failed)?.first_chunk().copied() {
        Some(parquet_file::MAGIC) => return parquet_file::read(path, file.into_inner(), symbol),
        Some(zip::MAGIC) => return lean::read(path, file.into_inner()),
        Some(_) | None => {}
    }
    let mut lines = Lines::new(compressed::unpacked(file).map_err(failed)?);
    let mut record = ByteRecord::new();
    if lines.is_utf_16().map_err(failed)? {
        return Err(ReadError::Encoding { path: path.to_owned() });
    }
    if let Some((_, line)) = lines.next().map_err(failed)? {
        if line.contains(&0) {
            return Err(ReadError::Encoding { path: path.to_owned() });
        }
        if line.contains(&b'\r') {
            return Err(ReadError::LineEnds { path: path.to_owned() });
        }
        take_apart(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line), &mut record).map_err(failed)?;
    }
    if let Some(format) = ActionFile::of(&record) {
        let given = symbol.or_else(|| symbol_of(path));
        if format == ActionFile::Factors && given.is_none() {
            return Err(ReadError::NoSymbol { path: path.to_owned() });
        }
        return read_actions(&mut lines, record, ActionRows::new(format, given), format).map_err(failed);
    }
    let columns =
        Columns::of(&record).ok_or_else(|| ReadError::Header { path: path.to_owned(), found: text_of(&record) })?;
    let given = match (columns.symbol, symbol.or_else(|| symbol_of(path))) {
        (true, _) => None,
        (false, Some(symbol)) => Some(symbol),
        (false, None) => return Err(ReadError::NoSymbol { path: path.to_owned() }),
    };

    let mut rows = Rows::default();
    while let Some((number, line)) = lines.next().map_err(failed)? {
        if rows.take_plain(line, &columns, given, number).is_none() {
            let is_one = !line.contains(&b'\r');
            take_apart(line, &mut record).map_err(failed)?;
            let taken = if is_one { rows.take(&record, &columns, given, number) } else { Err(RowFault::LineEnd) };
            if let Err(fault) = taken {
                rows.reject(number, fault);
            }
        }
    }
    Ok(rows.finish())
}

/// Reads a file of corporate actions whose first line was read already.
fn read_actions<R: io::Read>(
    lines: &mut Lines<R>,
    mut record: ByteRecord,
    mut rows: ActionRows,
    format: ActionFile,
) -> io::Result<BarFile<ColumnSeries>> {
    let mut file = BarFile::default();
    let mut number = 1;
    let mut is_row = format == ActionFile::Factors;
    loop {
        if is_row {
            match rows.take(&record) {
                Ok(()) => file.rows += 1,
                Err((symbol, fault)) => {
                    file.bad_row_count += 1;
                    if file.bad_rows.len() < BAD_ROWS_KEPT {
                        let (counted, fault) = (Counted::Lines, RowFault::Action(fault));
                        file.bad_rows.push(BadRow { line: number, counted, symbol, fault });
                    }
                }
            }
        }
        let Some((next, line)) = lines.next()? else { break };
        take_apart(line, &mut record)?;
        (number, is_row) = (next, true);
    }
    file.actions = rows.actions;
    Ok(file)
}

/// The lines of a file that are not empty, with their numbers from 1.
struct Lines<R> {
    source: BufReader<R>,
    /// A line that reaches beyond what is in the buffer.
    torn: Vec<u8>,
    number: u64,
    /// How much of the buffer the last line has taken.
    taken: usize,
}

impl<R: io::Read> Lines<R> {
    fn new(source: R) -> Self {
        Self { source: BufReader::with_capacity(BUFFER_BYTES, source), torn: Vec::new(), number: 0, taken: 0 }
    }

    /// Whether it begins as text in UTF-16 does.
    fn is_utf_16(&mut self) -> io::Result<bool> {
        let start = self.source.fill_buf()?;
        Ok(start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]))
    }

    /// The next line without its end.
    ///
    /// # Errors
    /// If the file cannot be read, or the line is longer than any row.
    fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            self.source.consume(std::mem::take(&mut self.taken));
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            let found = memchr::memchr(b'\n', buffer);
            let is_empty = match found {
                Some(length) => {
                    self.taken = length + 1;
                    buffer.get(..length).is_none_or(|line| line.trim_ascii_end().is_empty())
                }
                None => {
                    self.torn.clear();
                    let most = LINE_BYTES_MAX as u64 + 1;
                    self.source.by_ref().take(most).read_until(b'\n', &mut self.torn)?;
                    self.torn.trim_ascii_end().is_empty()
                }
            };
            let length = found.unwrap_or_else(|| self.torn.strip_suffix(b"\n").unwrap_or(&self.torn).len());
            if length > LINE_BYTES_MAX {
                let told = format!("line {} is longer than {LINE_BYTES_MAX} bytes: expected rows of bars", self.number);
                return Err(io::Error::new(io::ErrorKind::InvalidData, told));
            }
            if !is_empty {
                let line = match found {
                    Some(length) => self.source.buffer().get(..length).unwrap_or_default(),
                    None => self.torn.as_slice(),
                };
                return Ok(Some((self.number, line.trim_ascii_end())));
            }
        }
    }
}

/// Takes a line apart into its fields, quoted ones too.
fn take_apart(line: &[u8], record: &mut ByteRecord) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line);
    reader.read_byte_record(record)?;
    Ok(())
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
        check_instant(if self.numeric_time { instant_of_number(text)? } else { instant_of_text(text)? })
    }
}

/// The bars of one symbol with the lines they stand on.
struct Gathered {
    symbol: Symbol,
    bars: BarColumns,
    /// Where bars stand whose lines do not follow those of the bars before: their place, and the first line.
    runs: Vec<(usize, u64)>,
    next_line: u64,
    in_order: bool,
    /// Rows that are earlier than the one before them, and the line of the first.
    late: u64,
    first_late: u64,
}

impl Gathered {
    fn push(&mut self, bar: &Bar, line: u64) {
        if let Some(last) = self.bars.starts().last().filter(|last| **last >= bar.start) {
            self.in_order = false;
            if *last > bar.start {
                self.first_late = if self.late == 0 { line } else { self.first_late };
                self.late += 1; // at most one for each row
            }
        }
        self.note_line(line);
        self.bars.push(bar);
        self.next_line += 1;
    }

    /// Keeps the bars in `places`, which are in order; the first of them stands on `line`.
    fn append(&mut self, bars: &BarColumns, places: Range<usize>, line: u64) {
        let first = bars.get(places.start).filter(|_| !places.is_empty());
        let Some(first) = first else { return };
        // The first one tells whether it comes late.
        self.push(&first, line);
        let (rest, before) = (places.start + 1..places.end, self.bars.len());
        self.bars.append(bars, rest);
        self.next_line += (self.bars.len() - before) as u64;
    }

    fn note_line(&mut self, line: u64) {
        if self.next_line != line {
            self.runs.push((self.bars.len(), line));
            self.next_line = line;
        }
    }

    /// The line of each bar.
    fn lines(&self) -> impl Iterator<Item = u64> {
        let ends = self.runs.iter().skip(1).map(|(place, _)| *place).chain([self.bars.len()]);
        self.runs.iter().zip(ends).flat_map(|((place, line), end)| (*line..).take(end - place))
    }
}

/// What has been read so far.
#[derive(Default)]
pub(super) struct Rows {
    gathered: Vec<Gathered>,
    places: HashMap<Symbol, usize>,
    /// The place of the last row's symbol: rows of one symbol mostly follow each other.
    place: usize,
    /// The symbol of the row that is read now, once it is known.
    symbol: Option<Symbol>,
    instants: Instants,
    bad: Vec<BadRow>,
    bad_count: u64,
    counted: Counted,
}

impl Rows {
    /// None so far, of a file whose places are counted so.
    pub(super) fn counted_in(counted: Counted) -> Self {
        Self { counted, ..Self::default() }
    }

    /// Keeps the bar of a row that is written as nearly all are; `None` for any other, and for one that is no bar.
    fn take_plain(&mut self, line: &[u8], columns: &Columns, given: Option<Symbol>, number: u64) -> Option<()> {
        let mut fields = Fields::new(line);
        let place = match given {
            Some(symbol) => self.place_of(symbol),
            None => self.place_of_bytes(fields.text()?)?,
        };
        let time = fields.text()?;
        let start = if columns.numeric_time { instant_of_whole(whole(time)?)? } else { self.instants.utc(time)? };
        let bar = fields.bar(Some(start).filter(|start| is_minute(*start))?)?;
        bar.check().ok()?;
        self.push(place, &bar, number);
        Some(())
    }

    fn place_of_bytes(&mut self, text: &[u8]) -> Option<usize> {
        match self.place_of_last(text) {
            Some(place) => Some(place),
            None => Some(self.place_of(std::str::from_utf8(text).ok()?.parse().ok()?)),
        }
    }

    /// Reads a row and keeps its bar.
    fn take(
        &mut self,
        record: &ByteRecord,
        columns: &Columns,
        given: Option<Symbol>,
        line: u64,
    ) -> Result<(), RowFault> {
        self.begin_row();
        let wrong_length = || RowFault::Fields { found: record.len(), expected: columns.names().len() };
        if record.len() != columns.names().len() {
            return Err(wrong_length());
        }
        let mut fields = record.iter().zip(columns.names());
        let mut next = || {
            let (bytes, column) = fields.next().ok_or_else(wrong_length)?;
            let text = trimmed(bytes).ok_or(RowFault::NotText { column })?;
            check_length(column, text).map(|text| (text, column))
        };
        let place = match given {
            Some(symbol) => self.place_of(symbol),
            None => self.place_of_text(next()?.0)?,
        };
        let (start, _) = next()?;
        let bar = Bar {
            start: columns.instant(start)?,
            open: number(next()?, Price::from_f64)?,
            high: number(next()?, Price::from_f64)?,
            low: number(next()?, Price::from_f64)?,
            close: number(next()?, Price::from_f64)?,
            volume: number(next()?, Quantity::from_f64)?,
        };
        bar.check().map_err(RowFault::Bar)?;
        self.push(place, &bar, line);
        Ok(())
    }

    /// Takes note that another row is read.
    pub(super) const fn begin_row(&mut self) {
        self.symbol = None;
    }

    /// Keeps a bar of the symbol at `place`.
    pub(super) fn push(&mut self, place: usize, bar: &Bar, line: u64) {
        if let Some(gathered) = self.gathered.get_mut(place) {
            gathered.push(bar, line);
        }
    }

    /// Keeps bars of the symbol at `place`, those in `places` of `bars`, which are in order; the first stands on `line`.
    pub(super) fn append(&mut self, place: usize, bars: &BarColumns, places: Range<usize>, line: u64) {
        if let Some(gathered) = self.gathered.get_mut(place) {
            gathered.append(bars, places, line);
        }
    }

    /// Makes room for so many more bars of the symbol at `place`.
    pub(super) fn reserve(&mut self, place: usize, more: usize) {
        if let Some(gathered) = self.gathered.get_mut(place) {
            gathered.bars.reserve(more);
        }
    }

    /// The place of the last row's symbol, if this is its text.
    pub(super) fn place_of_last(&mut self, text: &[u8]) -> Option<usize> {
        let last = self.gathered.get(self.place).filter(|last| last.symbol.as_bytes() == text)?;
        self.symbol = Some(last.symbol);
        Some(self.place)
    }

    pub(super) fn place_of_text(&mut self, text: &str) -> Result<usize, RowFault> {
        match self.place_of_last(text.as_bytes()) {
            Some(place) => Ok(place),
            None => Ok(self.place_of(text.parse().map_err(RowFault::Symbol)?)),
        }
    }

    pub(super) fn place_of(&mut self, symbol: Symbol) -> usize {
        self.symbol = Some(symbol);
        if self.gathered.get(self.place).is_some_and(|last| last.symbol == symbol) {
            return self.place;
        }
        let gathered = &mut self.gathered;
        self.place = *self.places.entry(symbol).or_insert_with(|| {
            gathered.push(Gathered {
                symbol,
                bars: BarColumns::default(),
                runs: Vec::new(),
                next_line: 0,
                in_order: true,
                late: 0,
                first_late: 0,
            });
            gathered.len() - 1
        });
        self.place
    }

    /// Leaves the row that is read now out.
    pub(super) fn reject(&mut self, line: u64, fault: RowFault) {
        self.keep_bad(BadRow { line, counted: self.counted, symbol: self.symbol, fault });
    }

    fn keep_bad(&mut self, row: BadRow) {
        self.bad_count += 1;
        if self.bad.len() < BAD_ROWS_KEPT {
            self.bad.push(row);
        }
    }

    pub(super) fn finish(mut self) -> BarFile<ColumnSeries> {
        let mut file: BarFile<ColumnSeries> = BarFile::default();
        for gathered in std::mem::take(&mut self.gathered) {
            let symbol = gathered.symbol;
            if gathered.late > 0 {
                let (rows, first_line, counted) = (gathered.late, gathered.first_late, self.counted);
                file.unordered.push(Unordered { symbol, rows, first_line, counted });
            }
            let bars = if gathered.in_order { gathered.bars } else { self.ordered(&gathered) };
            file.rows += bars.len() as u64;
            if !bars.is_empty() {
                file.series.insert(symbol, bars);
            }
        }
        self.bad.sort_by_key(|row| row.line);
        file.bad_rows = self.bad;
        file.bad_row_count = self.bad_count;
        file
    }

    /// The bars by their instants; those that repeat one are rejected.
    fn ordered(&mut self, gathered: &Gathered) -> BarColumns {
        let Gathered { symbol, bars, .. } = gathered;
        let mut rows: Vec<(Bar, u64)> = bars.bars(0..bars.len()).zip(gathered.lines()).collect();
        // Stable: of two rows of one minute the earlier line stays first.
        rows.sort_by_key(|(bar, _)| bar.start);
        let mut ordered = BarColumns::default();
        let mut first_line = 0;
        for (bar, line) in rows {
            if ordered.starts().last() == Some(&bar.start) {
                let counted = self.counted;
                let fault = RowFault::Duplicate { at: bar.start, counted, first_line };
                self.keep_bad(BadRow { line, counted, symbol: Some(*symbol), fault });
            } else {
                first_line = line;
                ordered.push(&bar);
            }
        }
        ordered
    }
}

/// Whether a minute of these times begins at `at`.
#[inline]
pub(super) fn is_minute(at: Timestamp) -> bool {
    (0..END_MS).contains(&at.0) && at.0 % MINUTE_MS == 0
}

/// Whether `at` is the minute after one of these times.
#[inline]
pub(super) fn is_minute_after(before: Timestamp, at: Timestamp) -> bool {
    at.0 < END_MS && before.0.checked_add(MINUTE_MS) == Some(at.0)
}

/// The instant, if a minute of these times begins with it.
pub(super) fn check_instant(at: Timestamp) -> Result<Timestamp, RowFault> {
    if !(0..END_MS).contains(&at.0) {
        return Err(RowFault::OutOfRange { at });
    }
    if is_minute(at) { Ok(at) } else { Err(RowFault::Unaligned { at }) }
}

/// The text of a cell, if it can be one.
pub(super) fn check_length<'t>(column: &'static str, text: &'t str) -> Result<&'t str, RowFault> {
    match text.len() {
        0..=CELL_BYTES_MAX => Ok(text),
        length => Err(RowFault::Long { column, start: beginning_of(text), length }),
    }
}

/// As much of a text as is told, without what a terminal may take for a command.
pub(super) fn beginning_of(text: &str) -> String {
    brief(text, CELL_BYTES_MAX)
}

/// A decimal. One that a program has written which counts in floats, such as 101.23000000000002 or 1e2, is rounded to
/// the nearest unit, as a double of a Parquet file is.
fn number<T: FromStr<Err = MoneyError>>(
    (text, column): (&str, &'static str),
    rounded: fn(f64) -> Result<T, MoneyError>,
) -> Result<T, RowFault> {
    let is_numeric = || text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse()
        .or_else(|reason| match text.parse() {
            Ok(float) if is_numeric() => rounded(float),
            _ => Err(reason),
        })
        .map_err(|reason| RowFault::Number { column, reason })
}

pub(super) fn instant_of_number(text: &str) -> Result<Timestamp, RowFault> {
    let expected = "an instant in whole seconds, milliseconds or nanoseconds since 1970";
    let unreadable = || RowFault::Instant { text: text.to_owned(), expected };
    text.parse().ok().and_then(instant_of_whole).ok_or_else(unreadable)
}

/// The instant of seconds, milliseconds or nanoseconds since 1970: of the years 1973 to 2286 the magnitude tells.
pub(super) const fn instant_of_whole(number: i64) -> Option<Timestamp> {
    match number {
        0..100_000_000_000 => Some(Timestamp(number * 1_000)),
        100_000_000_000..100_000_000_000_000 => Some(Timestamp(number)),
        // Microseconds are not promised; rounding nanoseconds away would hide a wrong unit.
        100_000_000_000_000_000.. if number % 1_000_000 == 0 => Some(Timestamp(number / 1_000_000)),
        _ => None,
    }
}

/// Reads an instant with its zone.
pub(super) fn instant_of_text(text: &str) -> Result<Timestamp, RowFault> {
    Timestamp::from_str(text).map_err(|error| RowFault::Instant { text: error.text, expected: error.expected })
}

fn trimmed(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.trim_ascii()).ok()
}

fn text_of(record: &ByteRecord) -> String {
    let fields: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    beginning_of(&fields.join(","))
}

/// The symbol that a file is named after: `SPY.csv.gz` is SPY's.
pub(super) fn symbol_of(path: &Path) -> Option<Symbol> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
