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

use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use daybook_core::market::{Bar, Symbol};
use daybook_core::money::{MoneyError, Price, Quantity};
use daybook_core::time::Timestamp;
use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::read::{
    BarFile, ColumnSeries, ReadError, RowFault, Rows, check_instant, instant_of_number, instant_of_text,
    instant_of_whole, symbol_of,
};

/// How a Parquet file begins.
pub(super) const MAGIC: [u8; 4] = *b"PAR1";

/// Rows that are taken apart at once.
const ROWS: usize = 8 * 1024;

/// Decimal places of a [`Price`] and of a [`Quantity`].
const PRICE_PLACES: u32 = 8;
const QUANTITY_PLACES: u32 = 9;

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

/// Reads a file of minute bars. Rows count as lines, from 1.
pub(super) fn read(path: &Path, file: File, symbol: Option<Symbol>) -> Result<BarFile<ColumnSeries>, ReadError> {
    let reader = reader_of(path, file)?;
    let given = match (find(schema_of(&reader), "symbol"), symbol.or_else(|| symbol_of(path))) {
        (Some(_), _) => None,
        (None, Some(symbol)) => Some(symbol),
        (None, None) => return Err(ReadError::NoSymbol { path: path.to_owned() }),
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
    let mut rows = Rows::default();
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

/// A row group, while its columns are opened.
#[derive(Clone, Copy)]
struct Group<'g> {
    group: &'g dyn RowGroupReader,
    schema: &'g SchemaDescriptor,
}

impl<'g> Group<'g> {
    fn read(self, given: Option<Symbol>, rows: &mut Rows, row: &mut u64) -> Result<(), Fault> {
        let mut symbols = match given {
            Some(symbol) => Symbols::Given(symbol),
            None => Symbols::Column(Box::new(Texts::open(self, "symbol")?)),
        };
        let mut times = Times::open(self)?;
        let [mut open, mut high, mut low, mut close] = [
            Figures::open(self, "open", PRICE_PLACES)?,
            Figures::open(self, "high", PRICE_PLACES)?,
            Figures::open(self, "low", PRICE_PLACES)?,
            Figures::open(self, "close", PRICE_PLACES)?,
        ];
        let mut volume = Figures::open(self, "volume", QUANTITY_PLACES)?;
        let mut left = usize::try_from(self.group.metadata().num_rows()).unwrap_or_default();
        while left > 0 {
            let count = left.min(ROWS);
            left -= count;
            symbols.fill(count)?;
            times.fill(count)?;
            for column in [&mut open, &mut high, &mut low, &mut close, &mut volume] {
                column.fill(count)?;
            }
            for place in 0..count {
                *row += 1;
                rows.begin_row();
                let bar = || -> Result<Bar, RowFault> {
                    let bar = Bar {
                        start: check_instant(times.at(place)?)?,
                        open: open.price(place)?,
                        high: high.price(place)?,
                        low: low.price(place)?,
                        close: close.price(place)?,
                        volume: volume.quantity(place)?,
                    };
                    bar.check().map(|()| bar).map_err(RowFault::Bar)
                };
                match symbols.at(place, rows).and_then(|series| Ok((series, bar()?))) {
                    Ok((series, bar)) => rows.push(series, &bar, *row),
                    Err(fault) => rows.reject(*row, fault),
                }
            }
        }
        Ok(())
    }

    /// A column that can be read, and what the schema says of it.
    fn column(self, name: &'static str, expected: &'static str) -> Result<(ColumnReader, &'g ColumnDescriptor), Fault> {
        let other = |found: String, expected| Fault::Column { column: name, found, expected };
        let (place, descriptor) = find(self.schema, name).ok_or_else(|| other("is missing".to_owned(), expected))?;
        if descriptor.max_rep_level() > 0 {
            return Err(other("is a list".to_owned(), expected));
        }
        let compression = self.group.metadata().column(place).compression();
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

/// A column of one physical type, some rows at a time.
struct Column<T: DataType> {
    name: &'static str,
    reader: ColumnReaderImpl<T>,
    /// The definition level of a cell that has a value.
    defined: i16,
    values: Vec<T::T>,
    levels: Vec<i16>,
    /// Whether each cell is empty; nothing where none is.
    empty: Vec<bool>,
}

impl<T: DataType> Column<T> {
    fn new(name: &'static str, reader: ColumnReaderImpl<T>, descriptor: &ColumnDescriptor) -> Self {
        let defined = descriptor.max_def_level();
        Self { name, reader, defined, values: Vec::new(), levels: Vec::new(), empty: Vec::new() }
    }

    /// Reads the next rows.
    fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        self.values.clear();
        self.levels.clear();
        self.empty.clear();
        while self.levels.len().max(self.values.len()) < rows {
            let before = self.levels.len().max(self.values.len());
            let read = self.reader.read_records(rows - before, Some(&mut self.levels), None, &mut self.values);
            let (read, _, _) = read.map_err(|source| Fault::Damaged { column: Some(self.name), source })?;
            if read == 0 {
                let found = format!("has {} rows fewer than the file says", rows - before);
                return Err(Fault::Column { column: self.name, found, expected: "a cell in every row" });
            }
        }
        if self.values.len() < rows {
            self.spread();
        }
        Ok(())
    }

    /// Puts the values, which stand close together, into their rows.
    fn spread(&mut self) {
        let mut values = std::mem::take(&mut self.values).into_iter();
        let defined = self.defined;
        self.empty.extend(self.levels.iter().map(|level| *level < defined));
        let in_rows = self.empty.iter().map(|is_empty| if *is_empty { None } else { values.next() });
        self.values = in_rows.map(Option::unwrap_or_default).collect();
    }

    /// Whether every row at hand has a value.
    const fn is_full(&self) -> bool {
        self.empty.is_empty()
    }

    fn at(&self, place: usize) -> Result<&T::T, RowFault> {
        let is_empty = self.empty.get(place).copied().unwrap_or(false);
        self.values.get(place).filter(|_| !is_empty).ok_or(RowFault::Empty { column: self.name })
    }
}

/// A column of words.
struct Texts(Column<ByteArrayType>);

impl Texts {
    fn open(group: Group<'_>, name: &'static str) -> Result<Self, Fault> {
        const EXPECTED: &str = "text, such as AAPL";
        match group.column(name, EXPECTED)? {
            (ColumnReader::ByteArrayColumnReader(reader), descriptor) => {
                Ok(Self(Column::new(name, reader, descriptor)))
            }
            (_, descriptor) => Err(of_another_type(name, descriptor, EXPECTED)),
        }
    }

    fn at(&self, place: usize) -> Result<&str, RowFault> {
        let bytes = self.0.at(place).map(ByteArray::data)?;
        std::str::from_utf8(bytes).map_err(|_| RowFault::NotText { column: self.0.name })
    }
}

fn of_another_type(column: &'static str, descriptor: &ColumnDescriptor, expected: &'static str) -> Fault {
    Fault::Column { column, found: format!("is of type {:?}", descriptor.physical_type()), expected }
}

/// The column of instants.
enum Times {
    /// With the unit that the schema names.
    Unit(Column<Int64Type>, TimeUnit),
    /// Whole numbers whose magnitude tells their unit.
    Number(Column<Int64Type>),
    Text(Texts),
}

impl Times {
    fn open(group: Group<'_>) -> Result<Self, Fault> {
        const EXPECTED: &str = "the start of the bar as a timestamp, as text such as 2026-11-16T14:30:00Z, or as a \
                                whole number since 1970";
        let name = if find(group.schema, "ts_utc").is_some() { "ts_utc" } else { "ts" };
        match group.column(name, EXPECTED)? {
            (ColumnReader::Int64ColumnReader(reader), descriptor) => {
                let column = Column::new(name, reader, descriptor);
                Ok(match unit_of(descriptor) {
                    Some(unit) => Self::Unit(column, unit),
                    None => Self::Number(column),
                })
            }
            (ColumnReader::ByteArrayColumnReader(reader), descriptor) => {
                Ok(Self::Text(Texts(Column::new(name, reader, descriptor))))
            }
            (_, descriptor) => Err(of_another_type(name, descriptor, EXPECTED)),
        }
    }

    fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        match self {
            Self::Unit(column, _) | Self::Number(column) => column.fill(rows),
            Self::Text(texts) => texts.0.fill(rows),
        }
    }

    fn at(&self, place: usize) -> Result<Timestamp, RowFault> {
        match self {
            Self::Unit(column, unit) => {
                let number = *column.at(place)?;
                let in_ms = match unit {
                    TimeUnit::MILLIS => 1,
                    TimeUnit::MICROS => 1_000,
                    TimeUnit::NANOS => 1_000_000,
                };
                let expected = "an instant in whole milliseconds";
                let is_whole = number % in_ms == 0;
                is_whole
                    .then_some(Timestamp(number / in_ms))
                    .ok_or_else(|| RowFault::Instant { text: number.to_string(), expected })
            }
            Self::Number(column) => {
                let number = *column.at(place)?;
                instant_of_whole(number).map_or_else(|| instant_of_number(&number.to_string()), Ok)
            }
            Self::Text(texts) => instant_of_text(texts.at(place)?),
        }
    }
}

/// The unit of a timestamp; older files name it as a converted type alone.
fn unit_of(descriptor: &ColumnDescriptor) -> Option<TimeUnit> {
    match (descriptor.logical_type_ref(), descriptor.converted_type()) {
        (Some(LogicalType::Timestamp(timestamp)), _) => Some(timestamp.unit),
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some(TimeUnit::MILLIS),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some(TimeUnit::MICROS),
        (Some(_) | None, _) => None,
    }
}

/// A column of numbers as units of so many decimal places.
struct Figures {
    numbers: Numbers,
    places: u32,
    /// The units of the rows at hand, if all of them are as nearly all are; else a row's number is read by itself.
    units: Vec<i64>,
}

impl Figures {
    fn open(group: Group<'_>, name: &'static str, places: u32) -> Result<Self, Fault> {
        Ok(Self { numbers: Numbers::open(group, name)?, places, units: Vec::new() })
    }

    fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        self.numbers.fill(rows)?;
        self.units.clear();
        match &self.numbers {
            Numbers::Double(column) if column.is_full() => {
                let of_float = match self.places {
                    PRICE_PLACES => |value: &f64| Price::from_f64(*value).ok().map(|price| price.0),
                    _ => |value: &f64| Quantity::from_f64(*value).ok().map(|quantity| quantity.0),
                };
                self.units.extend(column.values.iter().map_while(of_float));
            }
            Numbers::Long(column, scale) if column.is_full() => {
                let unit = self.places.checked_sub(*scale).and_then(|more| 10_i64.checked_pow(more));
                self.units.extend(column.values.iter().map_while(|value| value.checked_mul(unit?)));
            }
            Numbers::Double(_)
            | Numbers::Float(_)
            | Numbers::Long(..)
            | Numbers::Int(..)
            | Numbers::Bytes(..)
            | Numbers::Fixed(..) => {}
        }
        if self.units.len() < rows {
            self.units.clear();
        }
        Ok(())
    }

    fn price(&self, place: usize) -> Result<Price, RowFault> {
        match self.units.get(place) {
            Some(units) => Ok(Price(*units)),
            None => self.numbers.number(place, self.places, Price, Price::from_f64),
        }
    }

    fn quantity(&self, place: usize) -> Result<Quantity, RowFault> {
        match self.units.get(place) {
            Some(units) => Ok(Quantity(*units)),
            None => self.numbers.number(place, self.places, Quantity, Quantity::from_f64),
        }
    }
}

/// A column of numbers. Whole ones are meant as so many units of 10⁻ˢᶜᵃˡᵉ.
enum Numbers {
    Double(Column<DoubleType>),
    Float(Column<FloatType>),
    Long(Column<Int64Type>, u32),
    Int(Column<Int32Type>, u32),
    Bytes(Column<ByteArrayType>, u32),
    Fixed(Column<FixedLenByteArrayType>, u32),
}

impl Numbers {
    fn open(group: Group<'_>, name: &'static str) -> Result<Self, Fault> {
        const EXPECTED: &str = "a number: double, float, whole or decimal";
        let (reader, descriptor) = group.column(name, EXPECTED)?;
        let decimal = scale_of(descriptor);
        let scale = decimal.unwrap_or(0);
        match (reader, decimal) {
            (ColumnReader::DoubleColumnReader(reader), _) => Ok(Self::Double(Column::new(name, reader, descriptor))),
            (ColumnReader::FloatColumnReader(reader), _) => Ok(Self::Float(Column::new(name, reader, descriptor))),
            (ColumnReader::Int64ColumnReader(reader), _) => {
                Ok(Self::Long(Column::new(name, reader, descriptor), scale))
            }
            (ColumnReader::Int32ColumnReader(reader), _) => Ok(Self::Int(Column::new(name, reader, descriptor), scale)),
            (ColumnReader::ByteArrayColumnReader(reader), Some(scale)) => {
                Ok(Self::Bytes(Column::new(name, reader, descriptor), scale))
            }
            (ColumnReader::FixedLenByteArrayColumnReader(reader), Some(scale)) => {
                Ok(Self::Fixed(Column::new(name, reader, descriptor), scale))
            }
            (
                ColumnReader::BoolColumnReader(_)
                | ColumnReader::Int96ColumnReader(_)
                | ColumnReader::ByteArrayColumnReader(_)
                | ColumnReader::FixedLenByteArrayColumnReader(_),
                _,
            ) => Err(of_another_type(name, descriptor, EXPECTED)),
        }
    }

    fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        match self {
            Self::Double(column) => column.fill(rows),
            Self::Float(column) => column.fill(rows),
            Self::Long(column, _) => column.fill(rows),
            Self::Int(column, _) => column.fill(rows),
            Self::Bytes(column, _) => column.fill(rows),
            Self::Fixed(column, _) => column.fill(rows),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Double(column) => column.name,
            Self::Float(column) => column.name,
            Self::Long(column, _) => column.name,
            Self::Int(column, _) => column.name,
            Self::Bytes(column, _) => column.name,
            Self::Fixed(column, _) => column.name,
        }
    }

    /// The number of a row as a type of so many decimal places: `of_units` makes it of its units.
    fn number<T: FromStr<Err = MoneyError>>(
        &self,
        place: usize,
        places: u32,
        of_units: fn(i64) -> T,
        of_float: fn(f64) -> Result<T, MoneyError>,
    ) -> Result<T, RowFault> {
        let whole = |unscaled: i128, scale: u32| match rescaled(unscaled, scale, places) {
            Some(units) => Ok(of_units(units)),
            // As text it is told what is wrong with it.
            None => decimal_text(unscaled, scale).parse(),
        };
        let number = match self {
            Self::Double(column) => of_float(*column.at(place)?),
            // By way of the shortest decimal, which is what was meant: 12.34 and not 12.34000015.
            Self::Float(column) => of_float(column.at(place)?.to_string().parse().unwrap_or(f64::NAN)),
            Self::Long(column, scale) => whole((*column.at(place)?).into(), *scale),
            Self::Int(column, scale) => whole((*column.at(place)?).into(), *scale),
            Self::Bytes(column, scale) => whole(unscaled(column.at(place)?.data()), *scale),
            Self::Fixed(column, scale) => whole(unscaled(column.at(place)?.data()), *scale),
        };
        number.map_err(|reason| RowFault::Number { column: self.name(), reason })
    }
}

/// The decimal places of a decimal; older files name it as a converted type alone.
fn scale_of(descriptor: &ColumnDescriptor) -> Option<u32> {
    match (descriptor.logical_type_ref(), descriptor.converted_type()) {
        (Some(LogicalType::Decimal(decimal)), _) => u32::try_from(decimal.scale).ok(),
        (None, ConvertedType::DECIMAL) => u32::try_from(descriptor.type_scale()).ok(),
        (Some(_) | None, _) => None,
    }
}

/// A number of 10⁻ˢᶜᵃˡᵉ in units of 10⁻ᵖˡᵃᶜᵉˢ, if it fits them exactly.
fn rescaled(unscaled: i128, scale: u32, places: u32) -> Option<i64> {
    let units = match places.checked_sub(scale) {
        Some(more) => unscaled.checked_mul(10_i128.checked_pow(more)?)?,
        None => {
            let unit = 10_i128.checked_pow(scale - places)?;
            (unscaled % unit == 0).then_some(unscaled / unit)?
        }
    };
    i64::try_from(units).ok()
}

/// The number of the bytes of a decimal, the highest first, in two's complement. One of more than 128 bits, which no
/// price is, becomes the greatest.
fn unscaled(bytes: &[u8]) -> i128 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    if bytes.len() > size_of::<i128>() {
        return i128::MAX;
    }
    bytes.iter().fold(sign, |number, byte| (number << 8) | i128::from(*byte))
}

fn decimal_text(unscaled: i128, scale: u32) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let places = usize::try_from(scale).unwrap_or_default();
    let digits = format!("{:0>1$}", unscaled.unsigned_abs(), places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places); // there is one digit more than places
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests;
