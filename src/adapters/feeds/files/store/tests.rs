use daybook_core::money::{Price, Quantity};
use proptest::prelude::*;

use super::super::{read_bars, read_columns};
use super::*;

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

fn bar(start: &str, units: i64) -> Bar {
    let price = Price(units);
    Bar { start: start.parse().unwrap(), open: price, high: price, low: price, close: price, volume: Quantity(units) }
}

fn series(name: &str, bars: &[Bar]) -> ColumnSeries {
    ColumnSeries::from([(symbol(name), bars.iter().copied().collect())])
}

fn store() -> (tempfile::TempDir, BarStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = BarStore::at(dir.path().join("bars"));
    (dir, store)
}

fn files(store: &BarStore) -> Vec<String> {
    let mut files: Vec<String> = walk(store.root()).iter().map(|path| path.display().to_string()).collect();
    files.sort();
    files
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = names_in(folder).unwrap().into_iter().map(|name| folder.join(name));
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn bars_are_kept_by_symbol_and_year_and_read_back_exactly() {
    let (_dir, store) = store();
    assert_eq!(store.symbols().unwrap(), []);
    let bars = [
        bar("2013-12-31T23:59:00Z", 1),
        bar("2014-01-01T00:00:00Z", i64::MAX),
        bar("2014-01-01T00:01:00Z", 12_345_678_901),
    ];
    let added = store.add(&series("SPY", &bars)).unwrap();
    assert_eq!(added, Added { new: 3, ..Added::default() });
    let names: Vec<String> = files(&store).iter().map(|file| file.rsplit("bars/").next().unwrap().to_owned()).collect();
    assert_eq!(names, [".lock", "SPY/2013.parquet", "SPY/2014.parquet"]);
    assert_eq!(store.read(symbol("SPY")).unwrap(), bars.iter().copied().collect());
    assert_eq!(store.range(symbol("SPY"), bars[1].start, bars[2].start).unwrap(), bars[1..2]);
    assert_eq!(store.range(symbol("SPY"), Timestamp(i64::MIN), Timestamp(i64::MAX)).unwrap(), bars);
    assert_eq!(store.read(symbol("AIG")).unwrap(), BarColumns::default());
    let expected = StoredSeries { symbol: symbol("SPY"), bars: 3, first: bars[0].start, last: bars[2].start };
    assert_eq!(store.series().unwrap(), [expected]);
    // A file of it is a file of bars like any other, and so is the folder.
    assert_eq!(read_bars(&store.root().join("SPY/2014.parquet"), None).unwrap().series[&symbol("SPY")], bars[1..]);
    assert_eq!(read_columns(store.root(), None).unwrap().series, series("SPY", &bars));
}

#[test]
fn what_is_there_stays_and_an_import_can_be_repeated() {
    let (_dir, store) = store();
    let (first, second, third) =
        (bar("2013-10-04T13:30:00Z", 100), bar("2013-10-04T13:31:00Z", 200), bar("2013-10-04T13:32:00Z", 300));
    store.add(&series("SPY", &[first, third])).unwrap();
    let path = store.root().join("SPY/2013.parquet");
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before = written(&path);
    let again = store.add(&series("SPY", &[first, third])).unwrap();
    assert_eq!(again, Added { repeated: 2, ..Added::default() });
    assert_eq!(written(&path), before, "nothing new, nothing written");

    let other = Bar { volume: Quantity(1), ..first };
    let mixed = store.add(&series("SPY", &[other, second])).unwrap();
    let different = vec![Different { symbol: symbol("SPY"), kept: first, offered: other }];
    assert_eq!(mixed, Added { new: 1, repeated: 0, different });
    assert_eq!(store.read(symbol("SPY")).unwrap(), [first, second, third].into_iter().collect());
}

#[test]
fn a_kill_in_the_middle_of_a_write_loses_nothing() {
    let (_dir, store) = store();
    let (first, second) = (bar("2013-10-04T13:30:00Z", 100), bar("2013-10-04T13:31:00Z", 200));
    store.add(&series("SPY", &[first])).unwrap();
    // What a kill leaves behind: half of the new file, under its other name.
    let partial = store.root().join("SPY/2013.partial");
    fs::write(&partial, b"PAR1 half").unwrap();
    assert_eq!(store.read(symbol("SPY")).unwrap(), [first].into_iter().collect());
    assert_eq!(store.series().unwrap()[0].bars, 1);
    store.add(&series("SPY", &[first, second])).unwrap();
    assert_eq!(store.read(symbol("SPY")).unwrap(), [first, second].into_iter().collect());
    assert!(!partial.exists());
    // A write that cannot be done leaves the old file.
    fs::create_dir(&partial).unwrap();
    let third = bar("2013-10-04T13:32:00Z", 300);
    assert!(matches!(store.add(&series("SPY", &[third])), Err(BarStoreError::Io { .. })));
    assert_eq!(store.read(symbol("SPY")).unwrap(), [first, second].into_iter().collect());
}

#[test]
fn one_adds_at_a_time() {
    let (_dir, store) = store();
    let lock = store.lock().unwrap();
    let refused = store.add(&series("SPY", &[])).unwrap_err();
    assert!(matches!(refused, BarStoreError::Locked { .. }), "{refused}");
    drop(lock);
    store.add(&series("SPY", &[])).unwrap();
}

#[test]
fn a_symbol_stays_within_the_folder() {
    for (name, folder) in [("BTC/USD", "BTC%2FUSD"), ("..", "%2E."), (".", "%2E"), ("BRK.B", "BRK.B"), ("A", "A")] {
        assert_eq!(folder_of(symbol(name)), folder, "{name}");
        assert_eq!(symbol_of(folder), Some(symbol(name)), "{name}");
    }
    for folder in [".", "..", "spy", "%41", "notes", ".lock", "A B"] {
        assert_eq!(symbol_of(folder), None, "{folder}");
    }
    let (_dir, store) = store();
    let bars = [bar("2013-10-04T13:30:00Z", 100)];
    for name in ["..", "BTC/USD"] {
        store.add(&series(name, &bars)).unwrap();
        assert_eq!(store.read(symbol(name)).unwrap().len(), 1);
    }
    assert_eq!(store.symbols().unwrap(), [symbol(".."), symbol("BTC/USD")]);
}

#[test]
fn a_folder_without_bars_and_a_damaged_file_are_named() {
    let (_dir, store) = store();
    fs::create_dir_all(store.root()).unwrap();
    let empty = read_columns(store.root(), None).unwrap_err().to_string();
    assert!(empty.contains("is a folder without bars: expected files such as AAPL/2026.parquet"), "{empty}");
    store.add(&series("SPY", &[bar("2013-10-04T13:30:00Z", 100)])).unwrap();
    let path = store.root().join("SPY/2013.parquet");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let damaged = store.read(symbol("SPY")).unwrap_err().to_string();
    assert!(damaged.contains("SPY/2013.parquet cannot be read as Parquet"), "{damaged}");
    let damaged = read_columns(store.root(), None).unwrap_err().to_string();
    assert!(damaged.contains("SPY/2013.parquet cannot be read as Parquet"), "{damaged}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// In whatever pieces bars are added, what is stored is the first of each minute.
    #[test]
    fn the_order_of_pieces_is_that_of_what_stays(
        pieces in proptest::collection::vec(proptest::collection::btree_map(0_i64..600, 1_i64..5, 0..20), 1..5),
    ) {
        let (_dir, store) = store();
        let mut expected = BTreeMap::new();
        // Around a new year, ten hours a step.
        let start = |step: i64| Timestamp(1_388_400_000_000 + step * 36_000_000);
        for piece in &pieces {
            let bars: Vec<Bar> = piece.iter().map(|(step, units)| Bar { start: start(*step), ..bar("2014-01-01T00:00:00Z", *units) }).collect();
            let added = store.add(&series("SPY", &bars)).unwrap();
            let mut new = 0;
            for bar in bars {
                expected.entry(bar.start).or_insert_with(|| { new += 1; bar });
            }
            prop_assert_eq!((added.new, added.new + added.repeated + added.different.len()), (new, piece.len()));
        }
        prop_assert_eq!(store.read(symbol("SPY")).unwrap(), expected.into_values().collect::<BarColumns>());
    }
}
