use std::marker::PhantomData;
use std::str::FromStr;

use daybook_core::money::{MoneyError, Price, Quantity};
use daybook_core::time::Timestamp;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::schema::types::ColumnDescriptor;

use super::super::read::{
    RowFault, check_length, instant_of_number, instant_of_text, instant_of_whole, is_minute, is_minute_after,
};
use super::{Fault, Group, names};

/// A column of one physical type, some rows at a time.
pub(super) struct Column<T: DataType> {
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
    pub(super) fn fill(&mut self, rows: usize) -> Result<(), Fault> {
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

    fn get(&self, place: usize) -> Option<&T::T> {
        let is_empty = self.empty.get(place).copied().unwrap_or(false);
        self.values.get(place).filter(|_| !is_empty)
    }

    pub(super) fn at(&self, place: usize) -> Result<&T::T, RowFault> {
        self.get(place).ok_or(RowFault::Empty { column: self.name })
    }
}

/// A column of words.
pub(super) struct Texts(pub(super) Column<ByteArrayType>);

impl Texts {
    pub(super) fn open(group: Group<'_>, name: &'static str) -> Result<Self, Fault> {
        const EXPECTED: &str = "text, such as AAPL";
        match group.column(name, EXPECTED)? {
            (ColumnReader::ByteArrayColumnReader(reader), descriptor) => {
                Ok(Self(Column::new(name, reader, descriptor)))
            }
            (_, descriptor) => Err(of_another_type(name, descriptor, EXPECTED)),
        }
    }

    /// Whether two cells have the same text, or none.
    pub(super) fn are_same(&self, one: usize, other: usize) -> bool {
        let text = |place| self.0.get(place).map(ByteArray::data);
        match (text(one), text(other)) {
            // Those of one entry of a dictionary are at one place.
            (Some(one), Some(other)) => std::ptr::eq(one, other) || one == other,
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    pub(super) fn at(&self, place: usize) -> Result<&str, RowFault> {
        let bytes = self.0.at(place).map(ByteArray::data)?;
        let text = std::str::from_utf8(bytes).map_err(|_| RowFault::NotText { column: self.0.name })?;
        check_length(self.0.name, text)
    }
}

fn of_another_type(column: &'static str, descriptor: &ColumnDescriptor, expected: &'static str) -> Fault {
    Fault::Column { column, found: format!("is of type {:?}", descriptor.physical_type()), expected }
}

/// The column of instants.
pub(super) enum Times {
    /// With the unit that the schema names.
    Unit(Column<Int64Type>, TimeUnit),
    /// Whole numbers whose magnitude tells their unit.
    Number(Column<Int64Type>),
    Text(Texts),
}

impl Times {
    pub(super) fn open(group: Group<'_>) -> Result<Self, Fault> {
        const EXPECTED: &str = "the start of the bar as a timestamp, as text such as 2026-11-16T14:30:00Z, or as a \
                                whole number since 1970";
        let name = if names(group.schema, "ts_utc") { "ts_utc" } else { "ts" };
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

    pub(super) fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        match self {
            Self::Unit(column, _) | Self::Number(column) => column.fill(rows),
            Self::Text(texts) => texts.0.fill(rows),
        }
    }

    /// Puts the instants of all rows at hand into `starts`; `None` if one has to be read by itself.
    pub(super) fn plain_into(&self, starts: &mut Vec<Timestamp>) -> Option<()> {
        const fn whole<const IN_MS: i64>(number: i64) -> Option<Timestamp> {
            if number % IN_MS == 0 { Some(Timestamp(number / IN_MS)) } else { None }
        }
        match self {
            Self::Unit(column, unit) if column.is_full() => match unit {
                TimeUnit::MILLIS => minutes_into(starts, &column.values, whole::<1>),
                TimeUnit::MICROS => minutes_into(starts, &column.values, whole::<1_000>),
                TimeUnit::NANOS => minutes_into(starts, &column.values, whole::<1_000_000>),
            },
            Self::Number(column) if column.is_full() => minutes_into(starts, &column.values, instant_of_whole),
            Self::Unit(..) | Self::Number(_) | Self::Text(_) => None,
        }
    }

    pub(super) fn at(&self, place: usize) -> Result<Timestamp, RowFault> {
        match self {
            Self::Unit(column, unit) => {
                let number = *column.at(place)?;
                let in_ms = in_ms(*unit);
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

/// Puts what the values are into `all`; `None` if one is nothing.
fn all_into<V: Copy, T: Default>(all: &mut Vec<T>, values: &[V], mut of: impl FnMut(V) -> Option<T>) -> Option<()> {
    let mut is_sound = true;
    all.clear();
    // It goes on after one that is nothing: nearly none is, and so their number is known beforehand.
    all.extend(values.iter().map(|value| {
        let one = of(*value);
        is_sound &= one.is_some();
        one.unwrap_or_default()
    }));
    is_sound.then_some(())
}

/// Puts the instants that the values are into `starts`; `None` if one is not the beginning of a minute.
fn minutes_into(starts: &mut Vec<Timestamp>, values: &[i64], of: impl Fn(i64) -> Option<Timestamp>) -> Option<()> {
    let mut before = None;
    all_into(starts, values, |number| {
        let at = of(number)?;
        // Nearly every row is the minute after the one before.
        let is_sound = before.is_some_and(|before| is_minute_after(before, at)) || is_minute(at);
        before = is_sound.then_some(at);
        before
    })
}

/// How many of a unit are a millisecond.
const fn in_ms(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::MILLIS => 1,
        TimeUnit::MICROS => 1_000,
        TimeUnit::NANOS => 1_000_000,
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

/// A number of so many decimal places.
pub(super) trait Figure: Copy + Default + FromStr<Err = MoneyError> {
    const PLACES: u32;
    /// So many of its units.
    fn of_units(units: i64) -> Self;
    /// The nearest one.
    fn of_float(value: f64) -> Result<Self, MoneyError>;
}

impl Figure for Price {
    const PLACES: u32 = 8;
    fn of_units(units: i64) -> Self {
        Self(units)
    }
    fn of_float(value: f64) -> Result<Self, MoneyError> {
        Self::from_f64(value)
    }
}

impl Figure for Quantity {
    const PLACES: u32 = 9;
    fn of_units(units: i64) -> Self {
        Self(units)
    }
    fn of_float(value: f64) -> Result<Self, MoneyError> {
        Self::from_f64(value)
    }
}

/// A column of numbers, read as prices or as quantities.
pub(super) struct Figures<F> {
    numbers: Numbers,
    of: PhantomData<F>,
}

impl<F: Figure> Figures<F> {
    pub(super) fn open(group: Group<'_>, name: &'static str) -> Result<Self, Fault> {
        Ok(Self { numbers: Numbers::open(group, name)?, of: PhantomData })
    }

    pub(super) fn fill(&mut self, rows: usize) -> Result<(), Fault> {
        self.numbers.fill(rows)
    }

    /// Puts the figures of all rows at hand into `figures`; `None` if one has to be read by itself. Those of a column of
    /// doubles or of whole numbers, as nearly all are, need not be asked what they are one by one.
    pub(super) fn plain_into(&self, figures: &mut Vec<F>) -> Option<()> {
        match &self.numbers {
            Numbers::Double(column) if column.is_full() => {
                all_into(figures, &column.values, |value| F::of_float(value).ok())
            }
            Numbers::Long(column, scale) if column.is_full() => {
                match F::PLACES.checked_sub(*scale).and_then(|more| 10_i64.checked_pow(more))? {
                    1 => all_into(figures, &column.values, |value| Some(F::of_units(value))),
                    unit => all_into(figures, &column.values, |value| value.checked_mul(unit).map(F::of_units)),
                }
            }
            Numbers::Double(_)
            | Numbers::Float(_)
            | Numbers::Long(..)
            | Numbers::Int(..)
            | Numbers::Bytes(..)
            | Numbers::Fixed(..) => None,
        }
    }

    pub(super) fn at(&self, place: usize) -> Result<F, RowFault> {
        self.numbers.number(place)
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

    /// The number of a row.
    fn number<F: Figure>(&self, place: usize) -> Result<F, RowFault> {
        let whole = |unscaled: i128, scale: u32| match rescaled(unscaled, scale, F::PLACES) {
            Some(units) => Ok(F::of_units(units)),
            // As text it is told what is wrong with it.
            None => decimal_text(unscaled, scale).parse(),
        };
        let number = match self {
            Self::Double(column) => F::of_float(*column.at(place)?),
            // By way of the shortest decimal, which is what was meant: 12.34 and not 12.34000015.
            Self::Float(column) => F::of_float(column.at(place)?.to_string().parse().unwrap_or(f64::NAN)),
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
pub(super) fn rescaled(unscaled: i128, scale: u32, places: u32) -> Option<i64> {
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
pub(super) fn unscaled(bytes: &[u8]) -> i128 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    if bytes.len() > size_of::<i128>() {
        return i128::MAX;
    }
    bytes.iter().fold(sign, |number, byte| (number << 8) | i128::from(*byte))
}

pub(super) fn decimal_text(unscaled: i128, scale: u32) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let places = usize::try_from(scale).unwrap_or_default();
    let digits = format!("{:0>1$}", unscaled.unsigned_abs(), places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places); // there is one digit more than places
    format!("{sign}{whole}.{fraction}")
}
