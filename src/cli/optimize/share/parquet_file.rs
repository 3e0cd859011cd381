//! A share as Parquet: the columns of the CSV file, with the sessions and the returns of each trial as lists.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use daybook_core::money::Money;
use daybook_core::statistics::Returns;
use daybook_core::time::SessionDate;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;

use super::{AFTER, FIRST, ShareError};
use crate::cli::optimize::results::{Results, Trial, Verdict, Whole};

/// What such a file begins with.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

/// The columns after those of [`AFTER`].
const LISTS: [&str; 2] = ["sessions", "returns"];

/// Trials in a row group: their returns fit into memory many times over.
const GROUP_TRIALS: usize = 1_000;

/// Writes every trial beside its verdict, both in the order of their numbers.
pub(super) fn write(results: &Results, rows: &[(&Verdict, &Trial)], path: &Path) -> io::Result<()> {
    write_groups(results, rows, File::create(path)?).map_err(io::Error::other)?.sync_all()
}

fn write_groups(results: &Results, rows: &[(&Verdict, &Trial)], file: File) -> Result<File, ParquetError> {
    let kinds: Vec<Kind> = (0..results.keys.len()).map(|key| Kind::of(rows, key)).collect();
    let schema = Arc::new(parse_message_type(&schema(&results.keys, &kinds))?);
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    for rows in rows.chunks(GROUP_TRIALS) {
        let mut group = writer.next_row_group()?;
        write_group(results, rows, &kinds, &mut Columns(&mut group))?;
        group.close()?;
    }
    writer.into_inner()
}

/// What all values of a key are. A share is read back as the text that was given, so only a number that is written as it
/// would be told is one: `5` and `0.25`, but not `05` and `1e3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Real,
    Text,
}

impl Kind {
    fn of(rows: &[(&Verdict, &Trial)], key: usize) -> Self {
        let all = |is: fn(&str) -> bool| rows.iter().all(|(_, trial)| is(value(trial, key)));
        match () {
            () if all(|text| whole(text).is_some_and(|number| number.to_string() == text)) => Self::Whole,
            () if all(|text| real(text).is_some_and(|number| number.to_string() == text)) => Self::Real,
            () => Self::Text,
        }
    }

    const fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Whole => ("int64", ""),
            Self::Real => ("double", ""),
            Self::Text => ("binary", " (STRING)"),
        }
    }
}

fn value(trial: &Trial, key: usize) -> &str {
    trial.values.get(key).map_or("", String::as_str)
}

fn whole(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn schema(keys: &[String], kinds: &[Kind]) -> String {
    let column = |(key, kind): (&String, &Kind)| {
        let (physical, logical) = kind.column();
        format!("required {physical} {key}{logical};\n")
    };
    let keys: String = keys.iter().zip(kinds).map(column).collect();
    let figures: String = AFTER.iter().skip(4).map(|figure| format!("optional double {figure};\n")).collect();
    format!(
        "message trials {{
            required int64 trial;
            required binary search (STRING);
            required int64 of;
            {keys}
            required int64 trades;
            required int64 won;
            required int64 pnl (DECIMAL(18,8));
            required int64 fees (DECIMAL(18,8));
            {figures}
            required group sessions (LIST) {{ repeated group list {{ required int32 element (DATE); }} }}
            required group returns (LIST) {{ repeated group list {{ required double element; }} }}
        }}"
    )
}

fn write_group(
    results: &Results,
    rows: &[(&Verdict, &Trial)],
    kinds: &[Kind],
    columns: &mut Columns<'_, '_>,
) -> Result<(), ParquetError> {
    let Whole { id, trials } = &results.whole;
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let numbers = |of: fn(&Trial) -> usize| rows.iter().map(|(_, trial)| count(of(trial))).collect::<Vec<i64>>();
    let amounts = |of: fn(&Trial) -> Money| rows.iter().map(|(_, trial)| of(trial).0).collect::<Vec<i64>>();
    columns.all::<Int64Type>(&numbers(|trial| trial.number))?;
    columns.all::<ByteArrayType>(&vec![ByteArray::from(id.as_str()); rows.len()])?;
    columns.all::<Int64Type>(&vec![count(*trials); rows.len()])?;
    for (key, kind) in kinds.iter().enumerate() {
        let values = rows.iter().map(|(_, trial)| value(trial, key));
        match kind {
            Kind::Whole => columns.all::<Int64Type>(&values.filter_map(whole).collect::<Vec<_>>())?,
            Kind::Real => columns.all::<DoubleType>(&values.filter_map(real).collect::<Vec<_>>())?,
            Kind::Text => columns.all::<ByteArrayType>(&values.map(ByteArray::from).collect::<Vec<_>>())?,
        }
    }
    columns.all::<Int64Type>(&numbers(|trial| trial.trades))?;
    columns.all::<Int64Type>(&numbers(|trial| trial.won))?;
    columns.all::<Int64Type>(&amounts(|trial| trial.pnl))?;
    columns.all::<Int64Type>(&amounts(|trial| trial.fees))?;
    let figures: Vec<_> = rows.iter().map(|(verdict, _)| verdict.figures()).collect();
    for place in 0..AFTER.len() - 4 {
        let column: Vec<Option<f64>> = figures.iter().map(|figures| figures.get(place).copied().flatten()).collect();
        columns.some(&column)?;
    }
    let days: Vec<i32> = results.sessions.iter().map(|session| session.0.to_epoch_days()).collect();
    columns.lists::<Int32Type>(rows.iter().map(|_| days.as_slice()))?;
    columns.lists::<DoubleType>(rows.iter().map(|(_, trial)| trial.returns.values()))
}

/// The columns of a row group, one after the other.
struct Columns<'a, 'g>(&'a mut SerializedRowGroupWriter<'g, File>);

impl Columns<'_, '_> {
    /// A column with a value in every row.
    fn all<T: DataType>(&mut self, values: &[T::T]) -> Result<(), ParquetError> {
        self.write::<T>(values, None, None)
    }

    /// A column with a number in some rows.
    fn some(&mut self, values: &[Option<f64>]) -> Result<(), ParquetError> {
        let there: Vec<f64> = values.iter().copied().flatten().collect();
        let defined: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        self.write::<DoubleType>(&there, Some(&defined), None)
    }

    /// A column with a list in every row.
    fn lists<'v, T: DataType>(&mut self, lists: impl Iterator<Item = &'v [T::T]>) -> Result<(), ParquetError>
    where
        T::T: 'v,
    {
        let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for list in lists {
            values.extend_from_slice(list);
            // An empty list stands as one place without a value.
            defined.extend(std::iter::repeat_n(i16::from(!list.is_empty()), list.len().max(1)));
            repeated.push(0);
            repeated.extend(std::iter::repeat_n(1, list.len().saturating_sub(1)));
        }
        self.write::<T>(&values, Some(&defined), Some(&repeated))
    }

    fn write<T: DataType>(
        &mut self,
        values: &[T::T],
        defined: Option<&[i16]>,
        repeated: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("the schema has fewer columns than a trial".to_owned());
        let mut column = self.0.next_column()?.ok_or_else(missing)?;
        column.typed::<T>().write_batch(values, defined, repeated)?;
        column.close()
    }
}

/// Reads a share; `None` if it has no trials.
pub(super) fn read(path: &Path, file: File) -> Result<Option<Results>, ShareError> {
    let failed = |source| ShareError::Parquet { path: path.to_owned(), source };
    let columns = || ShareError::Columns { path: path.to_owned() };
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let keys = names.len().checked_sub(FIRST.len() + AFTER.len() + LISTS.len()).ok_or_else(columns)?;
    let after = FIRST.len() + keys;
    let (first, rest) = names.split_at(FIRST.len());
    let (keys, last) = rest.split_at(keys);
    if first != FIRST || last != [&AFTER[..], &LISTS].concat() {
        return Err(columns());
    }
    let mut share: Option<Results> = None;
    for (row, line) in reader.get_row_iter(None).map_err(failed)?.zip(1..) {
        let row = row.map_err(failed)?;
        let cells = Cells { row: &row, after };
        let cell = |place: usize| {
            let column = names.get(place).cloned().unwrap_or_default();
            let text = row.get_column_iter().nth(place).map_or_else(String::new, |(_, field)| field.to_string());
            ShareError::Cell { path: path.to_owned(), line, column, text: text.chars().take(40).collect() }
        };
        let (whole, sessions) = (cells.whole().map_err(cell)?, cells.sessions().map_err(cell)?);
        let trial = cells.trial(sessions.len()).map_err(cell)?;
        let results = share.get_or_insert_with(|| Results {
            keys: keys.to_vec(),
            sessions: sessions.clone(),
            whole: whole.clone(),
            trials: Vec::new(),
        });
        if results.whole != whole {
            return Err(cell(1));
        }
        if results.sessions != sessions {
            return Err(cell(after + AFTER.len()));
        }
        results.trials.push(trial);
    }
    if let Some(share) = &mut share {
        share.trials.sort_by_key(|trial| trial.number);
    }
    Ok(share)
}

/// A row of a share. What is wrong with it is the place of a column.
struct Cells<'a> {
    row: &'a Row,
    /// The place of the first column after the keys.
    after: usize,
}

impl Cells<'_> {
    fn field(&self, place: usize) -> Result<&Field, usize> {
        self.row.get_column_iter().nth(place).map(|(_, field)| field).ok_or(place)
    }

    fn count(&self, place: usize) -> Result<usize, usize> {
        match self.field(place)? {
            Field::Long(number) => usize::try_from(*number).map_err(|_| place),
            _ => Err(place),
        }
    }

    fn text(&self, place: usize) -> Result<String, usize> {
        match self.field(place)? {
            Field::Str(text) => Ok(text.clone()),
            _ => Err(place),
        }
    }

    /// The value of a key, as it was given.
    fn value(&self, place: usize) -> Result<String, usize> {
        match self.field(place)? {
            Field::Long(number) => Ok(number.to_string()),
            Field::Double(number) => Ok(number.to_string()),
            _ => self.text(place),
        }
    }

    fn amount(&self, place: usize) -> Result<Money, usize> {
        match self.field(place)? {
            Field::Decimal(amount) if amount.scale() == 8 => {
                amount.data().try_into().map(i64::from_be_bytes).map(Money).map_err(|_| place)
            }
            _ => Err(place),
        }
    }

    fn list<T>(&self, place: usize, value: impl Fn(&Field) -> Option<T>) -> Result<Vec<T>, usize> {
        match self.field(place)? {
            Field::ListInternal(list) => list.elements().iter().map(value).collect::<Option<_>>().ok_or(place),
            _ => Err(place),
        }
    }

    fn whole(&self) -> Result<Whole, usize> {
        Ok(Whole { id: self.text(1)?, trials: self.count(2)? })
    }

    fn sessions(&self) -> Result<Vec<SessionDate>, usize> {
        self.list(self.after + AFTER.len(), |field| match field {
            Field::Date(days) => NaiveDate::from_epoch_days(*days).map(SessionDate),
            _ => None,
        })
    }

    fn trial(&self, sessions: usize) -> Result<Trial, usize> {
        let after = self.after;
        let last = after + AFTER.len() + 1;
        let returns = self.list(last, |field| match field {
            Field::Double(value) => Some(*value),
            _ => None,
        })?;
        if returns.len() != sessions {
            return Err(last);
        }
        Ok(Trial {
            number: self.count(0)?,
            values: (FIRST.len()..after).map(|place| self.value(place)).collect::<Result<_, _>>()?,
            trades: self.count(after)?,
            won: self.count(after + 1)?,
            pnl: self.amount(after + 2)?,
            fees: self.amount(after + 3)?,
            returns: Returns::new(returns).map_err(|_| last)?,
        })
    }
}
