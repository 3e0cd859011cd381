use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use daybook_core::market::{BarColumns, CorporateActions, Symbol};
use daybook_core::money::{Price, Quantity};
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::super::actions::write_actions;
use super::BarStoreError;

/// The column of instants.
pub(super) const STARTS: &str = "ts_utc";

/// Cells of the symbol's column that are written at once.
const SYMBOLS: usize = 1024;

/// The columns of [`super::super::COLUMNS`], in their order.
const SCHEMA: &str = "
    message bars {
        required binary symbol (STRING);
        required int64 ts_utc (TIMESTAMP(MILLIS,true));
        required int64 open (DECIMAL(18,8));
        required int64 high (DECIMAL(18,8));
        required int64 low (DECIMAL(18,8));
        required int64 close (DECIMAL(18,8));
        required int64 volume (DECIMAL(18,9));
    }";

/// Writes the bars to a file of their own and puts it in the place of the one at `path`.
pub(super) fn replace(path: &Path, symbol: Symbol, bars: &BarColumns) -> Result<(), BarStoreError> {
    replace_with(path, |file| {
        write(file, symbol, bars).map_err(|source| BarStoreError::Write { path: path.to_owned(), source })
    })
}

/// Writes corporate actions to a file of their own and puts it in the place of the one at `path`.
pub(super) fn replace_actions(path: &Path, actions: &CorporateActions) -> Result<(), BarStoreError> {
    replace_with(path, |mut file| {
        let written = write_actions(&mut file, actions);
        written.map(|()| file).map_err(|source| BarStoreError::Io { path: path.to_owned(), source })
    })
}

/// Has a file written beside the one at `path` and puts it in its place: after a kill either is there, whole.
fn replace_with(path: &Path, write: impl FnOnce(File) -> Result<File, BarStoreError>) -> Result<(), BarStoreError> {
    let failed = |source| BarStoreError::Io { path: path.to_owned(), source };
    let partial = path.with_extension("partial");
    let file = write(File::create(&partial).map_err(failed)?)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)?;
    // The new name is on the disk once its folder is.
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write(file: File, symbol: Symbol, bars: &BarColumns) -> Result<File, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties()))?;
    let mut group = writer.next_row_group()?;
    // All are the same: some are enough to write as many as there are bars.
    let symbols = vec![ByteArray::from(symbol.as_str()); bars.len().min(SYMBOLS)];
    write_column(&mut group, |column| {
        let mut written = 0;
        while written < bars.len() {
            let next = symbols.get(..bars.len() - written).unwrap_or(&symbols);
            written += column.typed::<ByteArrayType>().write_batch(next, None, None)?;
        }
        Ok(written)
    })?;
    let starts = bars.starts().iter().map(|start| start.0).collect::<Vec<i64>>();
    write_numbers(&mut group, &starts)?;
    for prices in [bars.opens(), bars.highs(), bars.lows(), bars.closes()] {
        write_numbers(&mut group, &prices.iter().map(|Price(units)| *units).collect::<Vec<i64>>())?;
    }
    write_numbers(&mut group, &bars.volumes().iter().map(|Quantity(units)| *units).collect::<Vec<i64>>())?;
    group.close()?;
    writer.into_inner()
}

/// Instants and volumes as the distances between them, prices as numbers into a list of those that there are: both are
/// a quarter of their size and less, and faster to read than what a general compression makes of them.
fn properties() -> WriterProperties {
    let packed = [STARTS, "volume"].map(|name| ColumnPath::new(vec![name.to_owned()]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    let packed = packed.into_iter().fold(properties, |properties, column| {
        properties
            .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled(column, false)
    });
    packed.build()
}

fn write_numbers(group: &mut SerializedRowGroupWriter<'_, File>, numbers: &[i64]) -> Result<(), ParquetError> {
    write_column(group, |column| column.typed::<Int64Type>().write_batch(numbers, None, None))
}

/// Writes the group's next column.
fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    write: impl FnOnce(&mut SerializedColumnWriter<'_>) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than a bar".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    write(&mut column)?;
    column.close()
}
