use std::io::Write;
use std::path::PathBuf;

use daybook_core::money::Price;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::{Just, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::super::{History, write_bars, write_header};
use super::*;

const HEADER: &str = "symbol,ts_utc,open,high,low,close,volume\n";

fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn read(name: &str, bytes: &[u8]) -> Result<BarFile, ReadError> {
    let (_dir, path) = write(name, bytes);
    read_bars(&path, None)
}

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

fn two_minutes() -> String {
    format!(
        "{HEADER}AIG,2013-10-04T13:30:00Z,49.00,49.10,48.95,49.05,300\nAIG,2013-10-04T13:31:00Z,49.05,49.05,49.05,49.05,100\n"
    )
}

#[test]
fn plain_gzipped_and_zstd_files_read_alike() {
    let text = two_minutes();
    let plain = read("a.csv", text.as_bytes()).unwrap();
    assert_eq!((plain.rows, plain.bad_row_count), (2, 0));
    let bar = plain.series[&symbol("AIG")][0];
    assert_eq!((bar.high, bar.volume), (Price::from_cents(49_10), Quantity::whole(300)));

    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    // In one piece, and in two members or frames with an empty line's worth of text between.
    let (head, tail) = text.split_at(60);
    assert_eq!(read("a.csv.gz", &gzip(&text)).unwrap(), plain);
    assert_eq!(read("a.csv.gz", &[gzip(head), gzip(tail)].concat()).unwrap(), plain);
    assert_eq!(read("a.csv.zst", &zstd(&text)).unwrap(), plain);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3].as_slice();
    assert_eq!(read("a.csv.zst", &[&zstd(head), skippable, &zstd(tail)].concat()).unwrap(), plain);
}

#[test]
fn a_file_cut_short_is_an_error_and_not_a_short_file() {
    let text = two_minutes().repeat(50);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    for bytes in [&gzip[..gzip.len() / 2], &zstd[..zstd.len() / 2]] {
        assert!(matches!(read("a.csv", bytes), Err(ReadError::Io { .. })));
    }
}

#[test]
fn each_bad_row_is_named_by_line_and_reason_and_the_rest_is_kept() {
    let rows = [
        ("A,2013-10-04T13:30:00Z,10,11,9,10.5,100", None),
        ("A,2013-10-04T13:31:00Z,10,11,9,10.5", Some("has 6 fields: expected 7")),
        ("A,2013-10-04T13:31:00Z,0,11,9,10.5,100", Some("A: open is 0.00: expected a price above zero")),
        (
            "A,2013-10-04T13:31:00Z,10,9,11,10.5,100",
            Some("A: high 9.00 is below low 11.00: expected the order open, high, low, close"),
        ),
        (
            "A,2013-10-04T13:31:00Z,12,11,9,10.5,100",
            Some("A: open 12.00 lies outside the range from low 9.00 to high 11.00"),
        ),
        ("A,2013-10-04T13:30:00Z,10,11,9,10.5,100", Some("A: 2013-10-04T13:30:00Z is on line 2 already")),
        ("A,2013-10-04T13:31:30Z,10,11,9,10.5,100", Some("A: 2013-10-04T13:31:30Z is not the start of a minute")),
        (
            "A,1913-10-04T13:31:00Z,10,11,9,10.5,100",
            Some("A: 1913-10-04T13:31:00Z is out of range: expected a year from 1970 to 2100"),
        ),
        (
            "A,2013-02-30T13:31:00Z,10,11,9,10.5,100",
            Some("A: \"2013-02-30T13:31:00Z\" is not an instant with its zone, such as 2026-11-16T14:30:00Z"),
        ),
        (
            "A,2013-10-04T13:31:00Z,ten,11,9,10.5,100",
            Some("A: open: \"ten\" is no price: expected a decimal with at most 8 places, such as 12.34"),
        ),
        ("A,2013-10-04T13:31:00Z,10,11,9,10.5,-1", Some("A: volume is -1: expected zero or more")),
        (
            "A B,2013-10-04T13:31:00Z,10,11,9,10.5,1",
            Some("\"A B\" is not a symbol: expected 1 to 15 of A-Z, 0-9, '.', '-' and '/', such as AAPL or BRK.B"),
        ),
        ("A,2013-10-04T13:31:00Z,1e999,11,9,10.5,1", Some("A: open: inf is no price")),
        (
            "A,2013-10-04T13:31:00Z,nan,11,9,10.5,1",
            Some("A: open: \"nan\" is no price: expected a decimal with at most 8 places, such as 12.34"),
        ),
        (" B , 2013-10-04T09:29:00-04:00, 10 ,11,9,10.5,1", None),
    ];
    let text = rows.iter().fold(HEADER.to_owned(), |text, (row, _)| format!("{text}{row}\n"));
    let file = read("a.csv", text.as_bytes()).unwrap();
    let expected: Vec<String> = rows
        .iter()
        .enumerate()
        .filter_map(|(place, (_, fault))| fault.map(|fault| format!("line {}: {fault}", place + 2)))
        .collect();
    assert_eq!(file.bad_rows.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    assert_eq!((file.rows, file.bad_row_count), (2, 13));
    assert_eq!(file.series[&symbol("B")][0].start.to_string(), "2013-10-04T13:29:00Z");
}

#[test]
fn what_a_program_wrote_that_counts_in_floats_is_rounded_to_the_unit() {
    let row = "A,2013-10-04T13:30:00Z,101.23000000000002,1.02e2,99.99999999999999,1.0125E+2,1e3\n";
    let file = read("a.csv", format!("{HEADER}{row}").as_bytes()).unwrap();
    assert_eq!(file.bad_row_count, 0);
    let bar = file.series[&symbol("A")][0];
    assert_eq!([bar.open, bar.high, bar.low, bar.close], [10_123, 10_200, 10_000, 10_125].map(Price::from_cents));
    assert_eq!(bar.volume, Quantity::whole(1_000));
}

#[test]
fn rows_in_any_order_are_sorted() {
    let text = format!(
        "{HEADER}A,2013-10-04T13:32:00Z,3,3,3,3,1\nB,2013-10-04T13:30:00Z,9,9,9,9,1\nA,2013-10-04T13:30:00Z,1,1,1,1,1\nA,2013-10-04T13:31:00Z,2,2,2,2,1\n"
    );
    let file = read("a.csv", text.as_bytes()).unwrap();
    let opens: Vec<String> = file.series[&symbol("A")].iter().map(|bar| bar.open.to_string()).collect();
    assert_eq!(opens, ["1.00", "2.00", "3.00"]);
    let told: Vec<String> = file.unordered.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["line 4: A: out of order, the first of 1; the bars were sorted"]);
}

#[test]
fn a_wrong_header_says_what_was_expected() {
    let wrong = [
        "symbol,ts_utc,open,low,high,close,volume",
        "ts_utc,symbol,open,high,low,close,volume",
        "symbol,time,open,high,low,close,volume",
        "symbol,ts_utc,open,high,low,close",
        "A,2013-10-04T13:30:00Z,10,11,9,10.5,100",
        "",
    ];
    for header in wrong {
        let error = read("a.csv", format!("{header}\n").as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "a.csv:1: the columns are \"{header}\": expected \"symbol,ts_utc,open,high,low,close,volume\""
            )),
            "{error}"
        );
    }
    assert_eq!(read("a.csv", "\u{feff}Symbol, TS_UTC,Open,High,Low,Close,Volume\r\n".as_bytes()).unwrap().rows, 0);
}

#[test]
fn one_series_needs_no_symbol_column() {
    let text = "ts,open,high,low,close,volume\n1380893400,10,11,9,10,1\n";
    assert_eq!(read("spy.csv.gz", text.as_bytes()).unwrap().series[&symbol("SPY")].len(), 1);
    assert!(matches!(read("my bars.csv", text.as_bytes()), Err(ReadError::NoSymbol { .. })));
    let (_dir, path) = write("my bars.csv", text.as_bytes());
    assert_eq!(read_bars(&path, Some(symbol("IBM"))).unwrap().series[&symbol("IBM")].len(), 1);
}

#[test]
fn the_unit_of_a_numeric_instant_is_told_by_its_magnitude() {
    let table = [
        ("1380893400", Some("2013-10-04T13:30:00Z")),
        ("1380893400000", Some("2013-10-04T13:30:00Z")),
        ("1380893400000000000", Some("2013-10-04T13:30:00Z")),
        ("1380893400000000", None),
        ("1380893400000000001", None),
        ("1380893401", None),
        ("-60", None),
        ("2013-10-04T13:30:00Z", None),
        ("13808934e2", None),
    ];
    for (ts, expected) in table {
        let file = read("spy.csv", format!("ts,open,high,low,close,volume\n{ts},10,11,9,10,1\n").as_bytes()).unwrap();
        let start = file.series.values().flatten().next().map(|bar| bar.start.to_string());
        assert_eq!(start.as_deref(), expected, "{ts}");
        assert_eq!(file.bad_row_count, u64::from(expected.is_none()), "{ts}");
    }
}

#[test]
fn a_file_of_bad_rows_is_counted_to_the_end_and_reported_to_a_bound() {
    let text = format!("{HEADER}{}", "nonsense\n".repeat(1_500));
    let file = read("a.csv", text.as_bytes()).unwrap();
    assert_eq!((file.rows, file.bad_rows.len(), file.bad_row_count), (0, 1_000, 1_500));
    assert!(file.series.is_empty());
}

#[test]
fn a_missing_file_is_named() {
    let error = read_bars(Path::new("/nowhere/bars.csv"), None).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/bars.csv cannot be read");
}

#[test]
fn what_is_written_is_read_back_to_the_byte() {
    let file = read("a.csv", two_minutes().as_bytes()).unwrap();
    let mut written = Vec::new();
    write_header(&mut written).unwrap();
    for (symbol, bars) in &file.series {
        write_bars(&mut written, *symbol, bars).unwrap();
    }
    assert_eq!(String::from_utf8(written).unwrap(), two_minutes());
}

#[test]
fn real_minutes_are_read_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/us_minute_2013-10.csv");
    if !path.exists() {
        return;
    }
    let file = read_bars(&path, None).unwrap();
    let symbols: Vec<String> = file.series.keys().map(ToString::to_string).collect();
    assert_eq!(
        (symbols, file.rows, file.bad_row_count),
        (["AIG", "BAC", "IBM", "SPY"].map(str::to_owned).to_vec(), 13_429, 0)
    );
}

proptest! {
    /// A quoted field is read by the reader that knows all forms: both see the same in every row.
    #[test]
    fn a_row_means_the_same_however_it_is_read(
        rows in proptest::collection::vec(
            (
                prop_oneof![Just("AIG"), Just("aig"), Just("BRK.B"), Just(""), Just("A B")],
                prop_oneof![
                    "2013-1[0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:(00|30)Z",
                    "13808934[0-9]0", "138089[0-9]{4}000000000", "-?[0-9]{1,20}", "[0-9T:Z-]{10,20}",
                ],
                "[0-9]{1,3}(\\.[0-9]{0,9})?",
                "-?[0-9]{1,11}(\\.[0-9]{0,10})?",
                prop_oneof![Just(7_usize), Just(7), Just(6), Just(8)],
            ),
            1..20,
        ),
        is_numeric in any::<bool>(),
    ) {
        let time = if is_numeric { "ts" } else { "ts_utc" };
        let (mut plain, mut quoted) = (String::new(), String::new());
        for text in [&mut plain, &mut quoted] {
            text.push_str(&format!("symbol,{time},open,high,low,close,volume\n"));
        }
        for (symbol, at, price, volume, fields) in rows {
            let all = [symbol, &at, &price, &price, &price, &price, &volume, &price];
            let fields = &all[..fields];
            plain.push_str(&format!("{}\n", fields.join(",")));
            let in_quotes: Vec<String> = fields.iter().map(|field| format!("\"{field}\"")).collect();
            quoted.push_str(&format!("{}\r\n\n", in_quotes.join(",")));
        }
        let lines_in = |file: &BarFile| -> Vec<(u64, String)> {
            file.bad_rows.iter().map(|row| (row.line, row.fault.to_string())).collect()
        };
        let (plain, quoted) = (read("a.csv", plain.as_bytes()).unwrap(), read("a.csv", quoted.as_bytes()).unwrap());
        prop_assert_eq!(&plain.series, &quoted.series);
        // Each row of the second file is followed by an empty line.
        let halved = lines_in(&quoted).into_iter().map(|(line, fault)| {
            let first_line = |text: &str| text.rsplit_once("on line ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
            let fault = first_line(&fault).map_or(fault.clone(), |first| fault.replace(&format!("on line {first} "), &format!("on line {} ", first / 2 + 1)));
            (line / 2 + 1, fault)
        });
        prop_assert_eq!(lines_in(&plain), halved.collect::<Vec<_>>());
    }
}

#[test]
fn lines_are_counted_across_buffers_and_marks_of_their_order_are_passed_over() {
    let rows: String = (0..12_000)
        .map(|place| format!("AIG,{},49.05,49.05,49.05,49.05,100\n", Timestamp(1_380_893_400_000 + 60_000 * place)))
        .collect();
    let file = read("a.csv", format!("\u{feff}{HEADER}{rows}nonsense").as_bytes()).unwrap();
    assert_eq!((file.rows, file.bad_row_count, file.bad_rows[0].line), (12_000, 1, 12_002));
}

#[test]
fn lines_that_end_with_a_carriage_return_alone_are_told_and_not_lost() {
    let old = two_minutes().replace('\n', "\r");
    assert!(matches!(read("bars.csv", old.as_bytes()).unwrap_err(), ReadError::LineEnds { .. }));
    let torn = two_minutes().replacen(",300\n", ",300\r", 1);
    let file = read("bars.csv", torn.as_bytes()).unwrap();
    assert_eq!((file.rows, file.bad_rows[0].line, &file.bad_rows[0].fault), (0, 2, &RowFault::LineEnd));
    assert_eq!(read("bars.csv", two_minutes().replace('\n', "\r\n").as_bytes()).unwrap().rows, 2);
}

#[test]
fn files_that_contradict_one_another_are_told() {
    let columns = |text: &str| {
        let (_dir, path) = write("bars.csv", text.as_bytes());
        read_columns(&path, None).unwrap().series
    };
    let ours = two_minutes();
    let later = ours.lines().nth(2).unwrap();
    let (alike, other) = (format!("{HEADER}{later}\n"), format!("{HEADER}{}\n", later.replace(",100", ",101")));
    let mut history = History::default();
    history.add(columns(&ours), CorporateActions::default()).unwrap();
    history.add(columns(&alike), CorporateActions::default()).unwrap();
    assert_eq!(history.series[&symbol("AIG")].len(), 2);
    let conflict = history.add(columns(&other), CorporateActions::default()).unwrap_err();
    assert_eq!((conflict.symbol, conflict.at.to_string()), (symbol("AIG"), "2013-10-04T13:31:00Z".to_owned()));
}

#[test]
fn a_line_without_an_end_is_not_read_into_memory() {
    let row = "A,2013-10-04T13:30:00Z,10,11,9,10.5,100\n";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(format!("{HEADER}{row}").as_bytes()).unwrap();
    encoder.write_all(&vec![b'0'; 8_000_000]).unwrap();
    // Longer than what is looked at at once, shorter than that, and as long as is just read.
    for bytes in [encoder.finish().unwrap(), format!("{HEADER}{row}{}\n{row}", "0".repeat(70_000)).into_bytes()] {
        let error = read("a.csv.gz", &bytes).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "line 3 is longer than 65536 bytes: expected rows of bars");
    }
    let long = format!("{HEADER}{}\n{row}", "0".repeat(65_536));
    let file = read("a.csv", long.as_bytes()).unwrap();
    assert_eq!((file.rows, file.bad_row_count), (1, 1));
}

#[test]
fn what_is_echoed_is_cut() {
    let long = "X".repeat(5_000);
    let text =
        format!("{HEADER}{long},2013-10-04T13:30:00Z,10,11,9,10.5,100\nA,2013-10-04T13:30:00Z,{long},11,9,10.5,100\n");
    let file = read("a.csv", text.as_bytes()).unwrap();
    let told: Vec<String> = file.bad_rows.iter().map(ToString::to_string).collect();
    let beginning = "X".repeat(90);
    for (told, head) in told.iter().zip(["line 2: symbol is", "line 3: A: open is"]) {
        assert!(told.starts_with(&format!("{head} \"{beginning}")), "{told}");
        assert!(told.ends_with("and so on, 5000 bytes: expected at most 100") && told.len() < 250, "{told}");
    }
    let header = read("a.csv", format!("{long},{long}\n").as_bytes()).unwrap_err().to_string();
    assert!(header.contains(&beginning) && header.len() < 500, "{header}");
    let actions = format!("symbol,ex_date,action,value\nA,{long},split,7:1\n");
    let told = read("a.csv", actions.as_bytes()).unwrap().bad_rows[0].to_string();
    assert!(told.starts_with("line 2: a field is \"X") && told.len() < 250, "{told}");
}

#[test]
fn text_in_utf_16_is_named_and_not_printed() {
    let units = |order: fn(u16) -> [u8; 2]| two_minutes().encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let marked = |mark: [u8; 2], order| [mark.to_vec(), units(order)].concat();
    for bytes in
        [marked([0xff, 0xfe], u16::to_le_bytes), marked([0xfe, 0xff], u16::to_be_bytes), units(u16::to_le_bytes)]
    {
        let error = read("a.csv", &bytes).unwrap_err();
        assert!(matches!(error, ReadError::Encoding { .. }), "{error}");
        assert!(error.to_string().ends_with(":1: is UTF-16, or no text at all; save the file as UTF-8"), "{error}");
    }
}
