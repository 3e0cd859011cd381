//! One-minute bars: immutable facts that runs refer to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use daybook_core::market::{Bar, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::Text;

const SQL_INSERT: &str = "
    INSERT INTO bar (symbol, start_at_ms, open_e8, high_e8, low_e8, close_e8, volume_e9, source)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (symbol, start_at_ms) DO NOTHING";
const SQL_AT: &str = "
    SELECT start_at_ms, open_e8, high_e8, low_e8, close_e8, volume_e9 FROM bar WHERE symbol = ?1 AND start_at_ms = ?2";
const SQL_RANGE: &str = "
    SELECT start_at_ms, open_e8, high_e8, low_e8, close_e8, volume_e9 FROM bar
    WHERE symbol = ?1 AND start_at_ms >= ?2 AND start_at_ms < ?3 ORDER BY start_at_ms";
const SQL_LAST: &str = "
    SELECT start_at_ms, open_e8, high_e8, low_e8, close_e8, volume_e9 FROM bar
    WHERE symbol = ?1 ORDER BY start_at_ms DESC LIMIT 1";
const SQL_SERIES: &str = "
    SELECT symbol, count(*), min(start_at_ms), max(start_at_ms) FROM bar GROUP BY symbol ORDER BY symbol";

/// What became of bars that were offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BarsInserted {
    /// Bars that are new.
    pub new: usize,
    /// Bars that were there already, the same.
    pub repeated: usize,
    /// Bars that were there already, otherwise: the first ones stay.
    pub conflicts: Vec<BarConflict>,
}

/// A bar that differs from the one recorded before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarConflict {
    /// The symbol.
    pub symbol: Symbol,
    /// What is recorded, and stays.
    pub kept: Bar,
    /// What was offered.
    pub offered: Bar,
}

/// What is recorded of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BarSeries {
    /// The symbol.
    pub symbol: Symbol,
    /// How many bars.
    pub bars: i64,
    /// The start of the first.
    pub first: Timestamp,
    /// The start of the last.
    pub last: Timestamp,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Bar> {
    Ok(Bar {
        start: Timestamp(row.get(0)?),
        open: Price(row.get(1)?),
        high: Price(row.get(2)?),
        low: Price(row.get(3)?),
        close: Price(row.get(4)?),
        volume: Quantity(row.get(5)?),
    })
}

/// Records the bars that are not there yet. What is there never changes.
///
/// # Errors
/// If a bar contradicts itself (a high below its low), or the ledger cannot be written.
pub fn insert_new(
    tx: &Transaction<'_>,
    source: &str,
    symbol: Symbol,
    bars: &[Bar],
) -> Result<BarsInserted, LedgerError> {
    let mut insert = tx.prepare_cached(SQL_INSERT)?;
    let mut at = tx.prepare_cached(SQL_AT)?;
    let mut inserted = BarsInserted::default();
    for bar in bars {
        let rows = insert.execute(params![
            symbol.as_str(),
            bar.start.0,
            bar.open.0,
            bar.high.0,
            bar.low.0,
            bar.close.0,
            bar.volume.0,
            source
        ])?;
        if rows == 1 {
            inserted.new += 1;
            continue;
        }
        let kept = at.query_row(params![symbol.as_str(), bar.start.0], from_row)?;
        if kept == *bar {
            inserted.repeated += 1;
        } else {
            inserted.conflicts.push(BarConflict { symbol, kept, offered: *bar });
        }
    }
    Ok(inserted)
}

/// The symbol's bars that start in `[from, until)`, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn range(conn: &Connection, symbol: Symbol, from: Timestamp, until: Timestamp) -> Result<Vec<Bar>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_RANGE)?;
    Ok(select.query_map(params![symbol.as_str(), from.0, until.0], from_row)?.collect::<Result<_, _>>()?)
}

/// The bars of the latest span that was asked for, as far as they were read.
///
/// What is recorded never changes, and later bars are recorded later: each is read once.
#[derive(Debug, Default)]
pub struct RecentBars(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    from: Timestamp,
    series: BTreeMap<Symbol, Vec<Bar>>,
}

impl RecentBars {
    /// The same as [`range`].
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn range(
        &self,
        conn: &Connection,
        symbol: Symbol,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Bar>, LedgerError> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.from != from {
            *recent = Recent { from, series: BTreeMap::new() };
        }
        let series = recent.series.entry(symbol).or_default();
        let next = series.last().map_or(from, Bar::minute_end);
        if next < until {
            series.extend(range(conn, symbol, next, until)?);
        }
        Ok(series[..series.partition_point(|bar| bar.start < until)].to_vec())
    }
}

/// The symbol's last bar.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last(conn: &Connection, symbol: Symbol) -> Result<Option<Bar>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST)?.query_row([symbol.as_str()], from_row).optional()?)
}

/// What is recorded, by symbol.
///
/// # Errors
/// If the ledger cannot be read.
pub fn series(conn: &Connection) -> Result<Vec<BarSeries>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_SERIES)?;
    let series = select.query_map([], |row| {
        Ok(BarSeries {
            symbol: row.get::<_, Text<_>>(0)?.0,
            bars: row.get(1)?,
            first: Timestamp(row.get(2)?),
            last: Timestamp(row.get(3)?),
        })
    })?;
    Ok(series.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn recent_bars_are_those_of_the_range() {
        let ledger = TestLedger::new();
        let symbol: Symbol = "ABC".parse().unwrap();
        let recent = RecentBars::default();
        let at = |minute: i64| Timestamp(minute * 60_000);
        for through in [0, 3, 3, 7, 8] {
            let bars: Vec<Bar> = (0..through).map(|minute| bar(minute, 100 + minute)).collect();
            ledger.ledger.write_blocking(move |tx| insert_new(tx, "test", symbol, &bars)).unwrap();
            for (from, until) in [(0, 9), (0, 2), (0, 9), (2, 9), (2, 5)] {
                let read = |conn: &Connection| {
                    let recent = recent.range(conn, symbol, at(from), at(until))?;
                    Ok((recent, range(conn, symbol, at(from), at(until))?))
                };
                let (recent, ranged) = ledger.ledger.read(read).unwrap();
                assert_eq!(recent, ranged, "{through} bars, {from} to {until}");
            }
        }
    }

    fn bar(minute: i64, close: i64) -> Bar {
        Bar {
            start: Timestamp(minute * 60_000),
            open: Price::from_cents(10_00),
            high: Price::from_cents(close.max(10_00)),
            low: Price::from_cents(close.min(10_00)),
            close: Price::from_cents(close),
            volume: Quantity::whole(100),
        }
    }

    #[test]
    fn bars_are_recorded_once_and_a_correction_is_a_conflict() {
        let day = TestLedger::new();
        let aapl: Symbol = "AAPL".parse().unwrap();
        let insert = move |bars: Vec<Bar>| day_insert(&day, aapl, bars);
        fn day_insert(day: &TestLedger, symbol: Symbol, bars: Vec<Bar>) -> (BarsInserted, Vec<Bar>, Vec<BarSeries>) {
            let inserted = day.ledger.write_blocking(move |tx| insert_new(tx, "test", symbol, &bars)).unwrap();
            let all = day.ledger.read(|conn| range(conn, symbol, Timestamp(0), Timestamp(i64::MAX))).unwrap();
            (inserted, all, day.ledger.read(series).unwrap())
        }
        let (first, ..) = insert(vec![bar(2, 11_00), bar(1, 9_00)]);
        assert_eq!(first, BarsInserted { new: 2, ..BarsInserted::default() });
        let (again, all, series) = insert(vec![bar(1, 9_00), bar(2, 12_00), bar(3, 10_00)]);
        assert_eq!((again.new, again.repeated), (1, 1));
        assert_eq!(again.conflicts, [BarConflict { symbol: aapl, kept: bar(2, 11_00), offered: bar(2, 12_00) }]);
        assert_eq!(all, [bar(1, 9_00), bar(2, 11_00), bar(3, 10_00)]);
        assert_eq!(series, [BarSeries { symbol: aapl, bars: 3, first: Timestamp(60_000), last: Timestamp(180_000) }]);
    }

    #[test]
    fn a_bar_neither_changes_nor_contradicts_itself() {
        let day = TestLedger::new();
        let aapl: Symbol = "AAPL".parse().unwrap();
        day.ledger.write_blocking(move |tx| insert_new(tx, "test", aapl, &[bar(1, 9_00)])).unwrap();
        let changed = day.ledger.write_blocking(|tx| Ok(tx.execute("UPDATE bar SET volume_e9 = 0", [])?)).unwrap_err();
        assert!(std::error::Error::source(&changed).unwrap().to_string().contains("a bar never changes"));
        let upside_down = Bar { high: Price::from_cents(8_00), ..bar(2, 9_00) };
        let refused = day.ledger.write_blocking(move |tx| insert_new(tx, "test", aapl, &[upside_down]));
        assert!(matches!(refused, Err(LedgerError::Sql(_))));
        assert_eq!(day.ledger.read(|conn| last(conn, aapl)).unwrap(), Some(bar(1, 9_00)));
    }
}
