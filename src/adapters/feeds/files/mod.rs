//! Bars in files, and a feed made of them.
//!
//! The format is one line a minute: `symbol,ts_utc,open,high,low,close,volume`, the instant being the
//! start of the bar. [`read_bars`] reads it plain, gzipped or as zstd, as Parquet with the same columns, and as LEAN
//! has it, and tells a wrong file (an error) from wrong rows (kept apart, with line and reason). [`write_bars`] writes
//! it. A [`BarStore`] keeps many years of many symbols. Splits and dividends come in files, too, and stay beside the bars:
//! a [`History`] is both.
//! [`BarsFeed`] answers from bars in memory, wherever they came from.

mod actions;
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

use daybook_core::market::{Bar, CorporateActions, Symbol};

pub use actions::{ACTION_COLUMNS, ActionFault, write_actions};
pub use feed::{BarsFeed, BarsFeedSettings};
pub use read::{BadRow, BarFile, ColumnSeries, ReadError, RowFault, Unordered, read_bars, read_columns};
pub use store::{ActionsAdded, Added, BarStore, BarStoreError, Different, DifferentAction, StoredSeries};
pub use write::{write_bars, write_header};

/// Minute bars of each symbol, in order, each minute at most once.
pub type Series = BTreeMap<Symbol, Vec<Bar>>;

/// Minute bars as they were traded, in the form `S`, and what was done to their shares meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Hash)]
pub struct History<S = Series> {
    /// The bars.
    pub series: S,
    /// Splits and dividends.
    pub actions: CorporateActions,
}

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
