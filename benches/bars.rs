//! How long bars take to read: `cargo bench --bench bars`.

use daybook::adapters::feeds::files::{BarStore, ColumnSeries};
use daybook_core::calendar::Calendar;
use daybook_core::market::{Bar, BarColumns, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::{SessionDate, Timestamp};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// The minutes of a symbol's year, from a store. Promised: under 5 ms.
#[divan::bench]
fn year_of_a_symbol(bencher: Bencher) {
    let (folder, symbol) = (tempfile::tempdir().unwrap(), "SPY".parse::<Symbol>().unwrap());
    let (store, bars) = (BarStore::at(folder.path().join("bars")), year());
    store.add(&ColumnSeries::from([(symbol, bars.clone())])).unwrap();
    assert_eq!(store.read(symbol).unwrap(), bars);
    bencher.counter(ItemsCount::new(bars.len())).bench_local(|| store.read(symbol).unwrap());
}

/// The regular hours of 2024, a walk in whole cents, the same on every run.
fn year() -> BarColumns {
    let mut state = 20_241_122_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).unwrap()
    };
    let mut close = 40_000;
    let (first, last) = (SessionDate::of(2024, 1, 1).unwrap(), SessionDate::of(2024, 12, 31).unwrap());
    let calendar = Calendar::xnys();
    let minutes = calendar.sessions(first, last).flat_map(|session| {
        let starts = std::iter::successors(Some(session.open), |start| Some(Timestamp(start.0 + 60_000)));
        starts.take_while(move |start| *start < session.close)
    });
    let bars = minutes.map(|start| {
        let open = close + draw(5) - 2;
        close = (open + draw(41) - 20).max(100);
        let (high, low) = (open.max(close) + draw(16), open.min(close) - draw(16));
        let [open, high, low, close] = [open, high, low, close].map(Price::from_cents);
        Bar { start, open, high, low, close, volume: Quantity::whole(100 + draw(90_000)) }
    });
    bars.collect()
}
