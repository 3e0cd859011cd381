use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::super::read_bars;
use super::columns::{decimal_text, rescaled, unscaled};
use super::*;

/// The cells of a column: `None` is an empty one.
enum Cells {
    Long(Vec<Option<i64>>),
    Int(Vec<Option<i32>>),
    Double(Vec<Option<f64>>),
    Float(Vec<Option<f32>>),
    Text(Vec<Option<&'static str>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Fixed(Vec<Option<Vec<u8>>>),
}

fn longs(cells: &[i64]) -> Cells {
    Cells::Long(cells.iter().copied().map(Some).collect())
}

fn doubles(cells: &[f64]) -> Cells {
    Cells::Double(cells.iter().copied().map(Some).collect())
}

fn texts(cells: &[&'static str]) -> Cells {
    Cells::Text(cells.iter().copied().map(Some).collect())
}

/// A Parquet file of these columns, each with its line of the schema.
fn file(columns: &[(&str, Cells)], compression: Compression) -> Vec<u8> {
    let lines: String = columns.iter().map(|(line, _)| format!("{line}; ")).collect();
    let schema = Arc::new(parse_message_type(&format!("message bars {{ {lines} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (line, cells) in columns {
        let mut column = group.next_column().unwrap().unwrap();
        macro_rules! write {
            ($type:ty, $cells:expr, $value:expr) => {{
                let levels: Vec<i16> = $cells.iter().map(|cell| i16::from(cell.is_some())).collect();
                let levels = line.starts_with("optional").then_some(levels.as_slice());
                let values: Vec<_> = $cells.iter().flatten().cloned().map($value).collect();
                column.typed::<$type>().write_batch(&values, levels, None).unwrap();
            }};
        }
        match cells {
            Cells::Long(cells) => write!(Int64Type, cells, |cell| cell),
            Cells::Int(cells) => write!(Int32Type, cells, |cell| cell),
            Cells::Double(cells) => write!(DoubleType, cells, |cell| cell),
            Cells::Float(cells) => write!(FloatType, cells, |cell| cell),
            Cells::Text(cells) => write!(ByteArrayType, cells, |cell: &str| ByteArray::from(cell)),
            Cells::Bytes(cells) => write!(ByteArrayType, cells, |cell: Vec<u8>| ByteArray::from(cell)),
            Cells::Fixed(cells) => {
                write!(FixedLenByteArrayType, cells, |cell: Vec<u8>| FixedLenByteArray::from(cell));
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// Two minutes of SPY with these instants, and with these columns in place of those of the same name.
fn two_minutes(instants: (&'static str, Cells), others: Vec<(&'static str, Cells)>) -> Vec<u8> {
    let name = |line: &str| line.split_whitespace().nth(2).unwrap().to_owned();
    let mut columns = vec![
        ("required double volume", doubles(&[96_071.0, 0.0])),
        ("required binary symbol (STRING)", texts(&["SPY", "SPY"])),
        instants,
        ("required double open", doubles(&[117.44, 117.5])),
        ("required double high", doubles(&[117.67, 117.5])),
        ("required double low", doubles(&[117.41, 117.5])),
        ("required double close", doubles(&[117.61, 117.5])),
    ];
    for other in others {
        columns.retain(|column| name(column.0) != name(other.0));
        columns.push(other);
    }
    file(&columns, Compression::SNAPPY)
}

fn in_seconds() -> (&'static str, Cells) {
    ("required int64 ts", longs(&[1_380_893_400, 1_380_893_460]))
}

fn read_named(name: &str, bytes: &[u8]) -> Result<BarFile, ReadError> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read_bars(&path, None)
}

fn read_bytes(bytes: &[u8]) -> Result<BarFile, ReadError> {
    read_named("a.parquet", bytes)
}

/// The same two minutes as they are read from CSV.
fn expected() -> BarFile {
    let csv = "ts,open,high,low,close,volume\n1380893400,117.44,117.67,117.41,117.61,96071\n\
               1380893460,117.5,117.5,117.5,117.5,0\n";
    read_named("spy.csv", csv.as_bytes()).unwrap()
}

/// The message without the folder of the file.
fn told(error: &ReadError) -> String {
    let text = error.to_string();
    text.get(text.find("a.parquet").unwrap()..).unwrap().to_owned()
}

#[test]
fn instants_of_every_unit_are_the_same_minutes() {
    let whole = |scale: i64| longs(&[1_380_893_400 * scale, 1_380_893_460 * scale]);
    let forms = [
        ("required int64 ts", whole(1)),
        ("required int64 ts", whole(1_000)),
        ("required int64 ts", whole(1_000_000_000)),
        ("required int64 TS_UTC (TIMESTAMP(MILLIS,true))", whole(1_000)),
        ("required int64 ts_utc (TIMESTAMP(MICROS,true))", whole(1_000_000)),
        ("optional int64 ts_utc (TIMESTAMP(NANOS,true))", whole(1_000_000_000)),
        ("optional int64 ts (TIMESTAMP(NANOS,false))", whole(1_000_000_000)),
        ("required int64 ts (TIMESTAMP_MILLIS)", whole(1_000)),
        ("required int64 ts (TIMESTAMP_MICROS)", whole(1_000_000)),
        ("required binary ts_utc (STRING)", texts(&["2013-10-04T13:30:00Z", "2013-10-04T09:31:00-04:00"])),
    ];
    for (line, cells) in forms {
        assert_eq!(read_bytes(&two_minutes((line, cells), vec![])).unwrap(), expected(), "{line}");
    }
}

#[test]
fn numbers_of_every_type_are_the_same_amounts() {
    let bytes = |number: i128, length: usize| Some(number.to_be_bytes()[16 - length..].to_vec());
    let forms = [
        ("required float open", Cells::Float(vec![Some(117.44), Some(117.5)])),
        ("optional double open", doubles(&[117.44, 117.5])),
        ("required int32 open (DECIMAL(9,2))", Cells::Int(vec![Some(11_744), Some(11_750)])),
        ("required int64 open (DECIMAL(18,8))", longs(&[11_744_000_000, 11_750_000_000])),
        ("required binary open (DECIMAL(20,4))", Cells::Bytes(vec![bytes(1_174_400, 3), bytes(1_175_000, 5)])),
        (
            "required fixed_len_byte_array(16) open (DECIMAL(38,12))",
            Cells::Fixed(vec![bytes(117_440_000_000_000, 16), bytes(117_500_000_000_000, 16)]),
        ),
        ("required int32 volume", Cells::Int(vec![Some(96_071), Some(0)])),
        ("required int64 volume", longs(&[96_071, 0])),
        ("required int64 volume (DECIMAL(18,9))", longs(&[96_071_000_000_000, 0])),
    ];
    for (line, cells) in forms {
        let read = read_bytes(&two_minutes(in_seconds(), vec![(line, cells)])).unwrap();
        assert_eq!(read, expected(), "{line}");
    }
}

#[test]
fn a_bad_cell_is_a_bad_row_and_the_others_are_kept() {
    let cases = [
        (("optional double open", Cells::Double(vec![None, Some(117.5)])), "open is empty: expected a value"),
        (
            ("optional binary symbol (STRING)", Cells::Text(vec![None, Some("SPY")])),
            "symbol is empty: expected a value",
        ),
        (("optional int64 ts", Cells::Long(vec![None, Some(1_380_893_460)])), "ts is empty: expected a value"),
        (("required double open", doubles(&[f64::NAN, 117.5])), "open: NaN is no price"),
        (("required int64 volume", longs(&[i64::MAX, 0])), "volume: \"9223372036854775807.\" is too large"),
        (
            ("required int64 open (DECIMAL(18,9))", longs(&[117_440_000_001, 117_500_000_000])),
            "open: \"117.440000001\" is no price: expected a decimal with at most 8 places",
        ),
        (("required int64 volume (DECIMAL(9,3))", longs(&[-1, 0])), "volume is -0.001: expected zero or more"),
        (("required int64 ts", longs(&[1_380_893_401, 1_380_893_460])), "2013-10-04T13:30:01Z is not the start"),
        (("required int64 ts", longs(&[1_380_893_460, 1_380_893_460])), "2013-10-04T13:31:00Z is on row 1"),
        (
            ("required int64 ts (TIMESTAMP(MICROS,true))", longs(&[1_380_893_400_000_001, 1_380_893_460_000_000])),
            "\"1380893400000001\" is not an instant in whole milliseconds",
        ),
        (
            ("required binary symbol", Cells::Bytes(vec![Some(vec![0xff]), Some(b"SPY".to_vec())])),
            "symbol is not text in UTF-8",
        ),
    ];
    for (column, fault) in cases {
        let file = read_bytes(&two_minutes(in_seconds(), vec![column])).unwrap();
        assert_eq!((file.rows, file.bad_row_count), (1, 1), "{fault}");
        let told = file.bad_rows.first().map(|row| row.fault.to_string()).unwrap();
        assert!(told.starts_with(fault), "{told}: expected {fault}");
        assert!(file.bad_rows.first().is_some_and(|row| row.to_string().starts_with("row ")), "{fault}");
    }
}

#[test]
fn a_column_with_columns_within_it_is_told_as_nested() {
    let schema = "message bars { required group symbol { required binary name (STRING); } \
                  required group open (LIST) { repeated group list { required double element; } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("SPY")], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[1.0], Some(&[1]), Some(&[0])).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    let bytes = writer.into_inner().unwrap();
    let error = read_bytes(&bytes).unwrap_err();
    let expected = "a.parquet: column symbol is nested, with columns within it: expected text, such as AAPL";
    assert_eq!(told(&error), expected);
}

#[test]
fn a_column_that_cannot_be_read_is_named_with_what_was_expected() {
    let of = |others| read_bytes(&two_minutes(in_seconds(), others)).unwrap_err();
    let missing =
        file(&[("required int64 ts", longs(&[])), ("required double open", doubles(&[]))], Compression::SNAPPY);
    let missing = read_bars_of_spy(&missing).unwrap_err();
    assert!(missing.contains("column high is missing: expected a number"), "{missing}");
    let cases = [
        (
            of(vec![("required double ts", doubles(&[1.0, 2.0]))]),
            "a.parquet: column ts is of type DOUBLE: expected the start of the bar as a timestamp, as text such as \
             2026-11-16T14:30:00Z, or as a whole number since 1970",
        ),
        (
            of(vec![("required binary close (STRING)", texts(&["117.61", "117.5"]))]),
            "a.parquet: column close is of type BYTE_ARRAY: expected a number: double, float, whole or decimal",
        ),
        (
            of(vec![("required int64 symbol", longs(&[1, 2]))]),
            "a.parquet: column symbol is of type INT64: expected text, such as AAPL",
        ),
        (
            read_bytes(&file(&[("required binary symbol (STRING)", texts(&["SPY"]))], Compression::SNAPPY))
                .unwrap_err(),
            "a.parquet: column ts is missing: expected the start of the bar as a timestamp, as text such as \
             2026-11-16T14:30:00Z, or as a whole number since 1970",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(told(&error), expected);
    }
}

/// What is wrong with a file of SPY alone.
fn read_bars_of_spy(bytes: &[u8]) -> Result<BarFile, String> {
    read_named("spy.parquet", bytes).map_err(|error| error.to_string())
}

#[test]
fn what_pyarrow_writes_is_read() {
    assert_eq!(read_bytes(include_bytes!("golden/pyarrow.parquet")).unwrap(), expected());
    assert_eq!(read_bytes(include_bytes!("golden/decimals.parquet")).unwrap(), expected());
    let error = read_bytes(include_bytes!("golden/gzip.parquet")).unwrap_err();
    let found = "a.parquet: column symbol is compressed with GZIP: expected snappy, zstd, or no compression";
    assert_eq!(told(&error), found);
}

#[test]
fn a_file_cut_short_anywhere_is_an_error_that_names_it() {
    let whole = two_minutes(in_seconds(), vec![]);
    for length in MAGIC.len()..whole.len() {
        let error = read_bytes(&whole[..length]).unwrap_err();
        let expected = "a.parquet cannot be read as Parquet: it is damaged or cut short, expected a whole file";
        assert_eq!(told(&error), expected, "{length} bytes");
    }
    let mut damaged = whole.clone();
    let pages = &mut damaged[MAGIC.len()..60];
    pages.reverse();
    let error = read_bytes(&damaged).unwrap_err();
    let expected =
        "a.parquet cannot be read as Parquet in column symbol: it is damaged or cut short, expected a whole file";
    assert_eq!(told(&error), expected);
}

#[test]
fn a_file_without_a_column_symbol_is_of_the_symbol_in_its_name() {
    let all = [
        in_seconds(),
        ("required double open", doubles(&[117.44, 117.5])),
        ("required double high", doubles(&[117.67, 117.5])),
        ("required double low", doubles(&[117.41, 117.5])),
        ("required double close", doubles(&[117.61, 117.5])),
        ("required double volume", doubles(&[96_071.0, 0.0])),
    ];
    let bytes = file(&all, Compression::UNCOMPRESSED);
    assert_eq!(read_named("SPY.parquet", &bytes).unwrap(), expected());
    assert!(matches!(read_named("my bars.parquet", &bytes), Err(ReadError::NoSymbol { .. })));
}

#[test]
fn decimals_are_exact_or_none() {
    assert_eq!(rescaled(11_744, 2, 8), Some(11_744_000_000));
    assert_eq!(rescaled(1_174_400_000_000, 10, 8), Some(11_744_000_000));
    assert_eq!(rescaled(1, 9, 8), None);
    assert_eq!(rescaled(i128::MAX, 0, 8), None);
    assert_eq!(rescaled(1, 60, 8), None);
    assert_eq!((unscaled(&[]), unscaled(&[0xff]), unscaled(&[0x01, 0x00])), (0, -1, 256));
    assert_eq!(
        (decimal_text(-1, 3), decimal_text(12_345, 2), decimal_text(7, 0)),
        ("-0.001".into(), "123.45".into(), "7.".into())
    );
}
