use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::super::read_bars;
use super::*;

const NAME: &str = "20131007_spy_minute_trade.csv";

/// 09:30 and 09:31 in New York, and an hour before the open.
const ROWS: &str = "30600000,1680000,1680000,1680000,1680000,50\n\
                    34200000,1682600,1682800,1681900,1682500,96071\n\
                    34260000,1682500,1682500,1682500,1682500,0\n";

/// An archive of these files, deflated or stored.
fn archive(files: &[(&str, &[u8])], is_deflated: bool) -> Vec<u8> {
    let (mut bytes, mut list) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut sum = flate2::Crc::new();
        sum.update(text);
        let mut packed = text.to_vec();
        if is_deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).unwrap();
            packed = encoder.finish().unwrap();
        }
        let size = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
        // The fields that the header of a file and its row in the list have in common.
        let mut common = vec![20, 0, 0, 0, if is_deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(sum.sum().to_le_bytes());
        common.extend([size(packed.len()), size(text.len())].concat());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        let header_at = size(bytes.len());
        bytes.extend([b"PK\x03\x04".as_slice(), &common, name.as_bytes(), &packed].concat());
        list.extend([b"PK\x01\x02\x14\x00".as_slice(), &common, &[0; 10], &header_at, name.as_bytes()].concat());
    }
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    let (start, length) = (u32::try_from(bytes.len()).unwrap(), u32::try_from(list.len()).unwrap());
    bytes.extend(list);
    bytes.extend(
        [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &length.to_le_bytes(), &start.to_le_bytes()].concat(),
    );
    bytes.extend(b"\x07\x00comment");
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<BarFile, ReadError> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("20131007_trade.zip");
    std::fs::write(&path, bytes).unwrap();
    read_bars(&path, None)
}

#[test]
fn a_days_archive_is_read_like_the_same_bars_as_csv() {
    let csv = "symbol,ts_utc,open,high,low,close,volume\nSPY,2013-10-07T12:30:00Z,168,168,168,168,50\n\
               SPY,2013-10-07T13:30:00Z,168.26,168.28,168.19,168.25,96071\n\
               SPY,2013-10-07T13:31:00Z,168.25,168.25,168.25,168.25,0\n";
    let expected = read_bytes(csv.as_bytes()).unwrap();
    for is_deflated in [true, false] {
        assert_eq!(read_bytes(&archive(&[(NAME, ROWS.as_bytes())], is_deflated)).unwrap(), expected);
    }
    let winter = archive(&[("20131104_spy_minute_trade.csv", b"34200000,10000,10000,10000,10000,1\r\n")], true);
    let bars = read_bytes(&winter).unwrap().series;
    assert_eq!(bars.values().next().unwrap()[0].start.to_string(), "2013-11-04T14:30:00Z");
}

#[test]
fn a_bad_row_is_named_and_the_others_are_kept() {
    let rows = "34200000,1,1,1,1\n34200000,132.01,2,1,1,1\nnine,1,1,1,1,1\n34200001,1,1,1,1,1\n34200000,1,1,2,1,1\n\
                34200000,10000,10000,10000,10000,1\n";
    let file = read_bytes(&archive(&[(NAME, rows.as_bytes())], true)).unwrap();
    let told: Vec<String> = file.bad_rows.iter().map(ToString::to_string).collect();
    let expected = [
        "line 1: SPY: has 5 fields: expected 6",
        "line 2: SPY: open: \"132.01\" is no whole number of ten-thousandths of a dollar, as LEAN has the prices of US \
         equities",
        "line 3: SPY: time: \"nine\" is no whole number of milliseconds since midnight in New York",
        "line 4: SPY: 2013-10-07T13:30:00.001Z is not the start of a minute",
        "line 5: SPY: high 0.0001 is below low 0.0002: expected the order open, high, low, close",
    ];
    assert_eq!((told, file.rows), (expected.map(str::to_owned).to_vec(), 1));
}

#[test]
fn other_archives_and_damaged_ones_are_told_apart() {
    let quotes = read_bytes(&archive(&[("20131007_spy_minute_quote.csv", b"1")], true)).unwrap_err().to_string();
    assert!(
        quotes.ends_with(
            "20131007_trade.zip holds 20131007_spy_minute_quote.csv: expected LEAN's minute bars of trades, such as \
             20131007_spy_minute_trade.csv"
        ),
        "{quotes}"
    );
    let whole = archive(&[(NAME, ROWS.as_bytes())], true);
    for length in zip::MAGIC.len()..whole.len() - "\x07\x00comment".len() {
        assert!(matches!(read_bytes(&whole[..length]), Err(ReadError::Io { .. })), "{length} bytes");
    }
    let mut damaged = archive(&[(NAME, ROWS.as_bytes())], false);
    let place = damaged.windows(4).position(|window| window == b"1682").unwrap();
    damaged[place] = b'9';
    let error = read_bytes(&damaged).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.ends_with("does not have the length and the sum that its list says"), "{source}");
}
