//! `trade indicators` and `trade patterns`: what a file of bars says, bar by bar.

use std::path::PathBuf;

use clap::Args;
use daybook_core::calendar::Calendar;
use daybook_core::indicators::{Candle, Column as Indicator, Hours, Indicator as _, SessionPlace};
use daybook_core::market::{Bar, Symbol, adjust};
use daybook_core::patterns::{CandlePatterns, Pattern};

use super::Context;
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg};
use crate::adapters::feeds::files::read_bars;

/// What `trade indicators` shows where nothing is named.
const DEFAULT_COLUMNS: [&str; 6] = ["SMA_20", "EMA_12", "RSI_14", "ATR_14", "MACD_12_26_9", "VWAP_SESSION"];

/// Bad rows that an error names.
const BAD_ROWS_NAMED: usize = 3;

/// Columns of text in a terminal that the names of all indicators are broken at.
const HELP_WIDTH: usize = 100;

/// What stands below the help: the name of every indicator, for there is no other way to guess them.
pub fn columns_help() -> String {
    let mut text = String::from(
        "Examples:
  trade indicators SPY.csv
  trade indicators bars.csv --symbol AAPL --columns SMA_20,BB_UPPER_20_2,ADX_14 --format csv

Columns, with their usual parameters (docs/indicators.md has formulas, warm-up and sources):",
    );
    let mut width = HELP_WIDTH;
    for name in Indicator::FORMS {
        if width + name.len() >= HELP_WIDTH {
            text.push_str("\n ");
            width = 1;
        }
        text.push(' ');
        text.push_str(name);
        width += name.len() + 1;
    }
    text
}

/// A series in a file.
#[derive(Debug, Args)]
struct SeriesArg {
    /// Bars: CSV (plain, .gz or .zst), Parquet, or the folder of a store, whose splits and dividends are taken out
    file: PathBuf,
    /// Whose bars, where the file has several symbols
    #[arg(long)]
    symbol: Option<Symbol>,
    #[command(flatten)]
    format: FormatArg,
}

/// Which indicators of which bars are shown.
#[derive(Debug, Args)]
pub struct IndicatorsCommand {
    #[command(flatten)]
    series: SeriesArg,
    /// The indicators, such as SMA_20,MACD_12_26_9: all names are below [default: a selection]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    columns: Vec<String>,
}

/// The patterns of which bars are shown.
#[derive(Debug, Args)]
pub struct PatternsCommand {
    #[command(flatten)]
    series: SeriesArg,
}

impl IndicatorsCommand {
    /// Prints a row a bar: its number, its start, and the value of each indicator; nothing while undefined.
    ///
    /// # Errors
    /// If the file cannot be used, or a name is no indicator's.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let names: Vec<&str> = match self.columns.as_slice() {
            [] => DEFAULT_COLUMNS.to_vec(),
            named => named.iter().map(String::as_str).collect(),
        };
        let indicators: Result<Vec<Indicator>, _> = names.iter().map(|name| name.trim().parse()).collect();
        let mut indicators = indicators.map_err(|error| CommandError::Usage(error.to_string()))?;
        let calendar = context.configuration()?.settings.calendar();
        let bars = self.series.read(&calendar)?;
        let columns = indicators.iter().map(|indicator| indicator.name().to_owned()).collect();
        let rows = bars.iter().enumerate().map(|(number, bar)| {
            let place = place(&calendar, number.checked_sub(1).and_then(|at| bars.get(at)), bar);
            let candle = Candle::from(bar);
            let values = indicators.iter_mut().map(|indicator| Cell::real_if(indicator.update(&candle, place)));
            row(number, bar, values.collect())
        });
        context.output.rows(heading(columns), rows, self.series.format)
    }
}

impl PatternsCommand {
    /// Prints a row a bar: its number, its start, and the value of each pattern.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn run(&self, context: &Context) -> anyhow::Result<()> {
        let bars = self.series.read(&context.configuration()?.settings.calendar())?;
        let mut patterns = CandlePatterns::new();
        let columns = Pattern::ALL.iter().map(|pattern| pattern.name().to_owned()).collect();
        let rows = bars.iter().enumerate().map(|(number, bar)| {
            let values = patterns.update(Candle::from(bar)).into_iter().flatten();
            row(number, bar, values.map(Cell::count).collect())
        });
        context.output.rows(heading(columns), rows, self.series.format)
    }
}

fn heading(names: Vec<String>) -> Vec<Column> {
    let mut columns = vec![Column::number("i", "I"), Column::text("ts_utc", "START")];
    columns.extend(names.into_iter().map(|name| Column::number(name.clone(), name)));
    columns
}

fn row(number: usize, bar: &Bar, values: Vec<Cell>) -> Vec<Cell> {
    let mut cells = vec![Cell::count(number), Cell::time(bar.start)];
    cells.extend(values);
    cells
}

/// Where a bar stands after the one before it. A session begins with its date, and again with its regular hours.
fn place(calendar: &Calendar, before: Option<&Bar>, bar: &Bar) -> SessionPlace {
    let date = bar.start.date_in(calendar.zone());
    let day = calendar.session(date);
    let within = day.is_some_and(|day| day.open <= bar.start && bar.start < day.close);
    let begins = before.is_none_or(|before| {
        let opens_between = day.is_some_and(|day| before.start < day.open && day.open <= bar.start);
        opens_between || before.start.date_in(calendar.zone()) != date
    });
    SessionPlace { begins, hours: if within { Hours::Regular } else { Hours::Extended } }
}

impl SeriesArg {
    /// Reads the one series that is meant. A bad row is an error: a bar that is missing would be missed in every
    /// value after it. Bars of several sessions are in the shares of the last one.
    fn read(&self, calendar: &Calendar) -> anyhow::Result<Vec<Bar>> {
        let path = self.file.display();
        let read = read_bars(&self.file, self.symbol).map_err(|error| unreadable(&error))?;
        if read.bad_row_count > 0 {
            let named: Vec<String> = read.bad_rows.iter().take(BAD_ROWS_NAMED).map(ToString::to_string).collect();
            let message = format!("{path} has {} bad rows: {}", read.bad_row_count, named.join("; "));
            return Err(CommandError::Usage(message).into());
        }
        let mut series = read.series;
        let known: Vec<String> = series.keys().map(ToString::to_string).collect();
        let bars = match self.symbol {
            Some(symbol) => series.remove_entry(&symbol),
            None if series.len() > 1 => None,
            None => series.pop_first(),
        };
        if bars.is_none() && series.is_empty() {
            return Ok(Vec::new());
        }
        let (symbol, mut bars) = bars.ok_or_else(|| {
            let (first, last) = (known.first().cloned().unwrap_or_default(), known.last().cloned().unwrap_or_default());
            let expected = "name one of them with --symbol";
            CommandError::Usage(format!("{path} has bars of {} symbols, {first} to {last}: {expected}", known.len()))
        })?;
        adjust(&mut bars, read.actions.of(symbol), calendar)?;
        Ok(bars)
    }
}

fn unreadable(error: &dyn std::error::Error) -> CommandError {
    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    CommandError::Usage(format!("{error}{cause}"))
}

#[cfg(test)]
mod tests {
    use daybook_core::money::{Price, Quantity};
    use daybook_core::time::Timestamp;

    use super::*;

    #[test]
    fn the_help_names_every_indicator_in_lines_that_fit() {
        let help = columns_help();
        let words: Vec<&str> = help.split_whitespace().collect();
        assert!(Indicator::FORMS.iter().all(|form| words.contains(form)), "{help}");
        assert!(help.lines().all(|line| line.len() <= HELP_WIDTH), "{help}");
    }

    #[test]
    fn a_session_begins_with_its_date_and_with_its_open() {
        let calendar = Calendar::xnys();
        let bar = |at: &str| {
            let (start, price): (Timestamp, _) = (at.parse().unwrap(), Price::from_cents(1_00));
            Bar { start, open: price, high: price, low: price, close: price, volume: Quantity::ZERO }
        };
        let bars = [
            ("2026-11-16T13:00:00Z", true, Hours::Extended),
            ("2026-11-16T14:29:00Z", false, Hours::Extended),
            ("2026-11-16T14:31:00Z", true, Hours::Regular),
            ("2026-11-16T20:59:00Z", false, Hours::Regular),
            ("2026-11-16T21:00:00Z", false, Hours::Extended),
            ("2026-11-17T14:30:00Z", true, Hours::Regular),
            ("2026-11-21T15:00:00Z", true, Hours::Extended),
        ];
        let mut before = None;
        for (at, begins, hours) in bars {
            let bar = bar(at);
            assert_eq!(place(&calendar, before.as_ref(), &bar), SessionPlace { begins, hours }, "{at}");
            before = Some(bar);
        }
    }
}
