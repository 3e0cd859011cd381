//! Bars in files, and a feed made of them.
//!
//! The format is one line a minute: `symbol,ts_utc,open,high,low,close,volume`, the instant being the
//! start of the bar. [`read_bars`] reads it plain, gzipped or as zstd, as Parquet with the same columns, and as LEAN
//! has it, and tells a wrong file (an error) from wrong rows (kept apart, with line and reason). [`write_bars`] writes
//! it. A [`BarStore`] keeps many years of many symbols.
//! [`BarsFeed`] answers from bars in memory, wherever they came from.

mod compressed;
mod feed;
mod lean;
mod parquet_file;
mod plain;
mod read;
mod store;
mod write;
mod zip;

use std::collections::BTreeMap;

use daybook_core::market::{Bar, Symbol};

pub use feed::{BarsFeed, BarsFeedSettings};
pub use read::{BadRow, BarFile, ColumnSeries, ReadError, RowFault, Unordered, read_bars, read_columns};
pub use store::{Added, BarStore, BarStoreError, Different, StoredSeries};
pub use write::{write_bars, write_header};

/// Minute bars of each symbol, in order, each minute at most once.
pub type Series = BTreeMap<Symbol, Vec<Bar>>;

/// The columns of a bar file, in order. `symbol` may be absent, and `ts` may stand in place of `ts_utc`.
pub const COLUMNS: [&str; 7] = ["symbol", "ts_utc", "open", "high", "low", "close", "volume"];

/// Adds bars to others. Where both have a minute, the one that was there stays; the answer counts those.
pub fn merge(into: &mut Series, more: Series) -> usize {
    let mut known = 0;
    for (symbol, bars) in more {
        let series = into.entry(symbol).or_default();
        let before = series.len() + bars.len();
        series.extend(bars);
        // Stable: of two bars of one minute the earlier stays first.
        series.sort_by_key(|bar| bar.start);
        series.dedup_by_key(|bar| bar.start);
        known += before - series.len();
    }
    known
}
