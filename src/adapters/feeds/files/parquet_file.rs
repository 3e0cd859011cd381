//! Bars in Parquet files: the same columns as in a CSV file, found by name, in any order.
//!
//! Columns are read one by one, with the lowest reader of the `parquet` crate: rows and Arrow's arrays would be made
//! only to be taken apart again.
//!
//! | column | types |
//! |---|---|
//! | `symbol` | text |
//! | `ts_utc`, `ts` | a timestamp of any unit; text with a zone; a whole number since 1970, whose magnitude tells its unit |
//! | the others | double, float, a whole number, a decimal |
//!
//! A timestamp that says of no zone what it is in is taken to be in UTC, as the columns' names promise.

mod columns;

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use daybook_core::market::{Bar, BarColumns, Symbol};
use daybook_core::money::{Price, Quantity};
use parquet::basic::Compression;
use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::read::{BarFile, ColumnSeries, Counted, ReadError, RowFault, Rows, check_instant, symbol_of};
use columns::{Figures, Texts, Times};

/// How a Parquet file begins.
pub(super) const MAGIC: [u8; 4] = *b"PAR1";

/// Rows that are taken apart at once: all that is between the file and the series stays in the processor's cache.
const ROWS: usize = 2 * 1024;

/// Why a column cannot be read.
enum Fault {
    Damaged { column: Option<&'static str>, source: ParquetError },
    Column { column: &'static str, found: String, expected: &'static str },
}

impl Fault {
    fn at(self, path: &Path) -> ReadError {
        let path = path.to_owned();
        match self {
            Self::Damaged { column, source } => ReadError::Parquet { path, column, source },
            Self::Column { column, found, expected } => ReadError::Column { path, column, found, expected },
        }
    }
}

/// Reads a file of minute bars.
pub(super) fn read(path: &Path, file: File, symbol: Option<Symbol>) -> Result<BarFile<ColumnSeries>, ReadError> {
    let reader = reader_of(path, file)?;
    let given = match (names(schema_of(&reader), "symbol"), symbol.or_else(|| symbol_of(path))) {
        (true, _) => None,
        (false, Some(symbol)) => Some(symbol),
        (false, None) => return Err(ReadError::NoSymbol { path: path.to_owned() }),
    };
    read_groups(path, &reader, given)
}

/// Reads a file all of whose rows are known to be the symbol's, whatever its column says.
pub(super) fn read_as(path: &Path, file: File, symbol: Symbol) -> Result<BarFile<ColumnSeries>, ReadError> {
    read_groups(path, &reader_of(path, file)?, Some(symbol))
}

fn reader_of(path: &Path, file: File) -> Result<SerializedFileReader<File>, ReadError> {
    SerializedFileReader::new(file).map_err(|source| Fault::Damaged { column: None, source }.at(path))
}

fn schema_of(reader: &SerializedFileReader<File>) -> &SchemaDescriptor {
    reader.metadata().file_metadata().schema_descr()
}

fn read_groups(
    path: &Path,
    reader: &SerializedFileReader<File>,
    given: Option<Symbol>,
) -> Result<BarFile<ColumnSeries>, ReadError> {
    let mut rows = Rows::counted_in(Counted::Rows);
    let mut row = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|source| Fault::Damaged { column: None, source }.at(path))?;
        let group = Group { group: group.as_ref(), schema: schema_of(reader) };
        group.read(given, &mut rows, &mut row).map_err(|fault| fault.at(path))?;
    }
    Ok(rows.finish())
}

/// A column by its name, whatever the case of its letters, and its place.
fn find<'s>(schema: &'s SchemaDescriptor, name: &str) -> Option<(usize, &'s ColumnDescriptor)> {
    let mut columns = schema.columns().iter().map(|column| &**column).enumerate();
    columns.find(|(_, column)| column.name().eq_ignore_ascii_case(name))
}

/// Whether a field of the table is called so, though it may be a group or a list of other fields.
fn names(schema: &SchemaDescriptor, name: &str) -> bool {
    schema.root_schema().get_fields().iter().any(|field| field.name().eq_ignore_ascii_case(name))
}

/// A row group, while its columns are opened.
#[derive(Clone, Copy)]
struct Group<'g> {
    group: &'g dyn RowGroupReader,
    schema: &'g SchemaDescriptor,
}

impl<'g> Group<'g> {
    fn read(self, given: Option<Symbol>, rows: &mut Rows, row: &mut u64) -> Result<(), Fault> {
        let mut cells = Cells::open(self, given)?;
        let mut left = usize::try_from(self.group.metadata().num_rows()).unwrap_or_default();
        if let Some(symbol) = given {
            let place = rows.place_of(symbol);
            rows.reserve(place, left);
        }
        while left > 0 {
            let count = left.min(ROWS);
            left -= count;
            cells.fill(count)?;
            match cells.plain_bars(count) {
                Some(bars) => {
                    cells.take_runs(&bars, rows, *row);
                    cells.spare = bars;
                }
                None => (0..count).for_each(|place| cells.take(place, rows, *row)),
            }
            *row += count as u64;
        }
        Ok(())
    }

    /// A column that can be read, and what the schema says of it.
    fn column(self, name: &'static str, expected: &'static str) -> Result<(ColumnReader, &'g ColumnDescriptor), Fault> {
        let other = |found: String, expected| Fault::Column { column: name, found, expected };
        let (place, descriptor) = find(self.schema, name).ok_or_else(|| {
            let found = if names(self.schema, name) { "is nested, with columns within it" } else { "is missing" };
            other(found.to_owned(), expected)
        })?;
        if descriptor.max_rep_level() > 0 {
            return Err(other("is a list".to_owned(), expected));
        }
        let chunk = self.group.metadata().column(place);
        // The reader of the crate panics on them.
        let starts_at = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        if starts_at.is_negative() || chunk.compressed_size().is_negative() {
            let source = ParquetError::General("its place in the file is below zero".to_owned());
            return Err(Fault::Damaged { column: Some(name), source });
        }
        let compression = chunk.compression();
        if !matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)) {
            let text = compression.to_string();
            let codec = text.split_once('(').map_or(text.as_str(), |(codec, _level)| codec);
            return Err(other(format!("is compressed with {codec}"), "snappy, zstd, or no compression"));
        }
        let reader = self.group.get_column_reader(place);
        let reader = reader.map_err(|source| Fault::Damaged { column: Some(name), source })?;
        Ok((reader, descriptor))
    }
}

/// The cells of some rows.
struct Cells {
    symbols: Symbols,
    times: Times,
    open: Figures<Price>,
    high: Figures<Price>,
    low: Figures<Price>,
    close: Figures<Price>,
    volume: Figures<Quantity>,
    /// Bars of earlier rows, for their memory.
    spare: BarColumns,
}

impl Cells {
    fn open(group: Group<'_>, given: Option<Symbol>) -> Result<Self, Fault> {
        Ok(Self {
            symbols: match given {
                Some(symbol) => Symbols::Given(symbol),
                None => Symbols::Column(Box::new(Texts::open(group, "symbol")?)),
            },
            times: Times::open(group)?,
            open: Figures::open(group, "open")?,
            high: Figures::open(group, "high")?,
            low: Figures::open(group, "low")?,
            close: Figures::open(group, "close")?,
            volume: Figures::open(group, "volume")?,
            spare: BarColumns::default(),
        })
    }

    /// Reads the next rows.
    fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        self.symbols.fill(rows)?;
        self.times.fill(rows)?;
        for prices in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            prices.fill(rows)?;
        }
        self.volume.fill(rows)
    }

    /// The bars of these rows, if each is written as nearly all are and is a bar.
    fn plain_bars(&mut self, rows: usize) -> Option<BarColumns> {
        let (mut starts, mut prices, mut volumes) = std::mem::take(&mut self.spare).into_columns();
        self.times.plain_into(&mut starts)?;
        for (column, prices) in [&self.open, &self.high, &self.low, &self.close].into_iter().zip(&mut prices) {
            column.plain_into(prices)?;
        }
        self.volume.plain_into(&mut volumes)?;
        let bars = BarColumns::of(starts, prices, volumes)?;
        (bars.len() == rows && bars.are_sound()).then_some(bars)
    }

    /// Takes bars of sound rows in runs of one symbol, each in the order of time.
    fn take_runs(&self, bars: &BarColumns, rows: &mut Rows, before: u64) {
        let mut first = 0;
        for (end, [earlier, later]) in (1..).zip(bars.starts().array_windows()) {
            if later <= earlier || !self.symbols.are_same(end - 1, end) {
                self.take_run(first..end, bars, rows, before);
                first = end;
            }
        }
        self.take_run(first..bars.len(), bars, rows, before);
    }

    fn take_run(&self, run: Range<usize>, bars: &BarColumns, rows: &mut Rows, before: u64) {
        rows.begin_row();
        match self.symbols.at(run.start, rows) {
            Ok(series) => rows.append(series, bars, run.clone(), before + 1 + run.start as u64),
            // Each of its rows has the same fault.
            Err(_) => run.for_each(|place| self.take(place, rows, before)),
        }
    }

    /// Takes one row, whatever is in it; so many rows of the file were before these.
    fn take(&self, place: usize, rows: &mut Rows, before: u64) {
        let row = before + 1 + place as u64;
        rows.begin_row();
        let bar = || -> Result<Bar, RowFault> {
            let bar = Bar {
                start: check_instant(self.times.at(place)?)?,
                open: self.open.at(place)?,
                high: self.high.at(place)?,
                low: self.low.at(place)?,
                close: self.close.at(place)?,
                volume: self.volume.at(place)?,
            };
            bar.check().map(|()| bar).map_err(RowFault::Bar)
        };
        match self.symbols.at(place, rows).and_then(|series| Ok((series, bar()?))) {
            Ok((series, bar)) => rows.push(series, &bar, row),
            Err(fault) => rows.reject(row, fault),
        }
    }
}

/// Whose bars they are.
enum Symbols {
    /// All of one symbol.
    Given(Symbol),
    /// Each of the symbol in its row.
    Column(Box<Texts>),
}

impl Symbols {
    fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Column(texts) => texts.0.fill(rows),
        }
    }

    /// Whether two rows are of one symbol.
    fn are_same(&self, one: usize, other: usize) -> bool {
        match self {
            Self::Given(_) => true,
            Self::Column(texts) => texts.are_same(one, other),
        }
    }

    /// The place among `rows` of the series that a row belongs to.
    fn at(&self, place: usize, rows: &mut Rows) -> Result<usize, RowFault> {
        match self {
            Self::Given(symbol) => Ok(rows.place_of(*symbol)),
            Self::Column(texts) => match rows.place_of_last(texts.0.at(place)?.data()) {
                Some(series) => Ok(series),
                None => rows.place_of_text(texts.at(place)?),
            },
        }
    }
}

#[cfg(test)]
mod tests;
