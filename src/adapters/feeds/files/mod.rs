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
use daybook_core::time::Timestamp;

pub use actions::{ACTION_COLUMNS, ActionFault, write_actions};
pub use feed::{BarsFeed, BarsFeedSettings};
pub use read::{BadRow, BarFile, ColumnSeries, Counted, ReadError, RowFault, Unordered, read_bars, read_columns};
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

impl History<ColumnSeries> {
    /// Adds what another file holds. A minute that both have alike is there once.
    ///
    /// # Errors
    /// [`Conflict`] if they do not have it alike; what was there stays.
    pub fn add(&mut self, series: ColumnSeries, actions: CorporateActions) -> Result<(), Conflict> {
        for (symbol, bars) in series {
            let known = self.series.entry(symbol).or_default();
            if let Some(at) = known.first_conflict(&bars) {
                return Err(Conflict { symbol, at });
            }
            known.merge(bars);
        }
        self.actions.merge(actions);
        Ok(())
    }

    /// The same, bar by bar.
    #[must_use]
    pub fn into_bars(self) -> History {
        let Self { series, actions } = self;
        let series = series.into_iter().map(|(symbol, bars)| (symbol, bars.bars(0..bars.len()).collect())).collect();
        History { series, actions }
    }
}

/// A minute that two files do not have alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has another bar of {symbol} at {at} than a file before it: leave one of the files out")]
pub struct Conflict {
    /// Whose bar.
    pub symbol: Symbol,
    /// Its start.
    pub at: Timestamp,
}

/// The columns of a bar file, in order. `symbol` may be absent, and `ts` may stand in place of `ts_utc`.
pub const COLUMNS: [&str; 7] = ["symbol", "ts_utc", "open", "high", "low", "close", "volume"];
