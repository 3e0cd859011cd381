//! LEAN's minute bars of US equities: a zip archive a symbol and day, `20131007_trade.zip`, with one file in it,
//! `20131007_spy_minute_trade.csv`. A row is `milliseconds since midnight in New York, open, high, low, close,
//! volume`, prices in ten-thousandths of a dollar. Source: LEAN's documentation of its data format.

use std::fs::File;
use std::path::Path;

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::America::New_York;
use daybook_core::market::{Bar, Symbol};
use daybook_core::money::{Price, Quantity};
use daybook_core::time::Timestamp;

use super::read::{BarFile, ColumnSeries, ReadError, RowFault, Rows, check_instant, check_length};
use super::zip;

/// How the name of a file of minute bars ends; before it stand the date and the symbol.
const NAME_END: &str = "_minute_trade.csv";

/// Units of a [`Price`] in LEAN's unit.
const UNIT: i64 = Price::UNIT / 10_000;

/// Fields of a row.
const FIELDS: usize = 6;

/// Reads the minute bars of an archive, whose files say whose they are. Lines count within a file.
pub(super) fn read(path: &Path, mut archive: File) -> Result<BarFile<ColumnSeries>, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let entries = zip::entries(&mut archive).map_err(failed)?;
    let mut rows = Rows::default();
    let mut is_any = false;
    for entry in &entries {
        let Some((date, symbol)) = named(&entry.name) else { continue };
        is_any = true;
        let text = zip::unpack(&mut archive, entry).map_err(failed)?;
        let midnight = Timestamp::from_wall(date.and_time(NaiveTime::MIN), New_York);
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            let line = line.trim_ascii_end();
            if line.is_empty() {
                continue;
            }
            let place = rows.place_of(symbol);
            match bar(line, midnight) {
                Ok(bar) => rows.push(place, &bar, number),
                Err(fault) => rows.reject(number, fault),
            }
        }
    }
    if is_any {
        return Ok(rows.finish());
    }
    let found = entries.first().map_or("no file", |entry| &entry.name).to_owned();
    Err(ReadError::Lean { path: path.to_owned(), found })
}

/// The date and the symbol in the name of a file of minute bars.
fn named(name: &str) -> Option<(NaiveDate, Symbol)> {
    let file = name.rsplit('/').next()?;
    let (date, symbol) = file.strip_suffix(NAME_END)?.split_once('_')?;
    Some((NaiveDate::parse_from_str(date, "%Y%m%d").ok()?, symbol.parse().ok()?))
}

fn bar(line: &[u8], midnight: Timestamp) -> Result<Bar, RowFault> {
    let text = std::str::from_utf8(line).map_err(|_| RowFault::NotText { column: "a line" })?;
    let fields: Vec<&str> = text.split(',').collect();
    let [time, open, high, low, close, volume] = fields[..] else {
        return Err(RowFault::Fields { found: fields.len(), expected: FIELDS });
    };
    for field in &fields {
        check_length("a field", field)?;
    }
    let whole = |column: &'static str, text: &str, expected: &'static str| {
        let whole = || RowFault::Whole { column, text: text.to_owned(), expected };
        text.trim().parse::<i64>().map_err(|_| whole())
    };
    let price = |column: &'static str, text: &str| {
        let units = whole(column, text, "ten-thousandths of a dollar, as LEAN has the prices of US equities")?;
        Price(units).scaled(UNIT).map_err(|reason| RowFault::Number { column, reason })
    };
    let elapsed = whole("time", time, "milliseconds since midnight in New York")?;
    let bar = Bar {
        start: check_instant(Timestamp(midnight.0.saturating_add(elapsed)))?,
        open: price("open", open)?,
        high: price("high", high)?,
        low: price("low", low)?,
        close: price("close", close)?,
        volume: volume.trim().parse::<Quantity>().map_err(|reason| RowFault::Number { column: "volume", reason })?,
    };
    bar.check().map(|()| bar).map_err(RowFault::Bar)
}

#[cfg(test)]
mod tests;
