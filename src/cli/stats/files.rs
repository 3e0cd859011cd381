//! The files that `trade report stats` reads.

use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use csv::StringRecord;
use daybook_core::market::SymbolError;
use daybook_core::money::{Money, MoneyError, Price};
use daybook_core::statistics::{DateOrder, DatedReturns, Returns, ReturnsError};
use daybook_core::time::{SessionDate, TimeError, Timestamp};

use crate::tear_sheet::Trade;

/// What a byte-order mark is read as.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened, or is no text.
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: csv::Error },
    /// A column is not there, or there are two that mean the same.
    #[error("{}:1: the columns are \"{found}\": expected {expected}", path.display())]
    Columns { path: PathBuf, found: String, expected: &'static str },
    /// A row is wrong.
    #[error("{}:{line}: {fault}", path.display())]
    Row { path: PathBuf, line: u64, fault: Fault },
    /// There are too few rows to say anything.
    #[error("{} has {rows} rows: expected at least {expected}", path.display())]
    TooShort { path: PathBuf, rows: usize, expected: usize },
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No date.
    #[error("\"{0}\" is not a date: expected one such as 2026-11-16")]
    Date(String),
    /// No number.
    #[error("{column}: \"{text}\" is not a number: expected one such as {example}")]
    Number { column: &'static str, text: String, example: &'static str },
    /// A number that is no return and no equity.
    #[error("{0}")]
    Return(#[from] ReturnsError),
    /// A date out of its order.
    #[error("{0}")]
    Order(#[from] DateOrder),
    /// No instant.
    #[error("{column}: {source}")]
    Instant { column: &'static str, source: TimeError },
    /// No symbol.
    #[error("{0}")]
    Symbol(#[from] SymbolError),
    /// No price or amount.
    #[error("{column}: {source}")]
    Amount { column: &'static str, source: MoneyError },
    /// A price at which nothing trades.
    #[error("{column}: {price} is no price: expected more than 0")]
    Price { column: &'static str, price: Price },
    /// A trade that ended before it began.
    #[error("the trade ends at {exit} before it begins at {entry}")]
    Backwards { entry: Timestamp, exit: Timestamp },
}

/// A file with its header read.
struct Table<'a> {
    path: &'a Path,
    reader: csv::Reader<File>,
    names: Vec<String>,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path) -> Result<Self, FileError> {
        let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(unreadable)?;
        let header = reader.headers().map_err(unreadable)?;
        let names = header.iter().map(|name| name.trim_start_matches(BYTE_ORDER_MARK).to_ascii_lowercase()).collect();
        Ok(Self { path, reader, names })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    fn expected(&self, expected: &'static str) -> FileError {
        FileError::Columns { path: self.path.to_owned(), found: self.names.join(","), expected }
    }

    /// Reads every row with its line.
    fn rows<T>(&mut self, mut read: impl FnMut(&StringRecord) -> Result<T, Fault>) -> Result<Vec<(T, u64)>, FileError> {
        let mut record = StringRecord::new();
        let mut rows = Vec::new();
        let unreadable = |source| FileError::Unreadable { path: self.path.to_owned(), source };
        while self.reader.read_record(&mut record).map_err(unreadable)? {
            let line = record.position().map_or(0, csv::Position::line);
            let row = read(&record).map_err(|fault| FileError::Row { path: self.path.to_owned(), line, fault })?;
            rows.push((row, line));
        }
        Ok(rows)
    }
}

/// Reads daily returns: `date,return`, or `date,equity`, of which the first row is where the returns begin from.
///
/// Other columns are left alone. A first return that is empty, as pandas writes it, is left out.
///
/// # Errors
/// [`FileError`] with the line, if the file is not like that.
pub fn read_series(path: &Path) -> Result<DatedReturns, FileError> {
    const EXPECTED: &str = "date and either return or equity";
    let mut table = Table::open(path)?;
    let (date, value, column) = match (table.column("date"), table.column("return"), table.column("equity")) {
        (Some(date), Some(value), None) => (date, value, "return"),
        (Some(date), None, Some(value)) => (date, value, "equity"),
        _ => return Err(table.expected(EXPECTED)),
    };
    let mut rows = table.rows(|record| {
        let (date, text) = (record.get(date).unwrap_or_default(), record.get(value).unwrap_or_default());
        Ok((date_of(date)?, number(column, text)?))
    })?;
    if rows.first().is_some_and(|((_, value), _)| value.is_none()) && column == "return" {
        rows.remove(0);
    }
    let row = |line, fault| FileError::Row { path: path.to_owned(), line, fault };
    let line_at = |place: usize| rows.get(place).map_or(0, |(_, line)| *line);
    let mut values = Vec::with_capacity(rows.len());
    for ((_, value), line) in &rows {
        let missing = || Fault::Number { column, text: String::new(), example: EXAMPLE };
        values.push(value.ok_or_else(|| row(*line, missing()))?);
    }
    let is_equity = column == "equity";
    let returns = if is_equity { Returns::of_equity(&values) } else { Returns::new(values) };
    let returns = returns.map_err(|error| row(line_at(error.place()), error.into()))?;
    let first = usize::from(is_equity);
    if rows.len() < first + 1 {
        return Err(FileError::TooShort { path: path.to_owned(), rows: rows.len(), expected: first + 1 });
    }
    // Also of an equity's first row: a date that comes too late there is out of order like any other.
    if let Some(place) = rows.windows(2).position(|pair| pair[1].0.0 <= pair[0].0.0) {
        let ((before, _), _) = rows[place]; // `position` has found a pair there
        let ((date, _), line) = rows[place + 1];
        return Err(row(line, DateOrder::Order { place: place + 1, date, before }.into()));
    }
    let dates = rows.iter().skip(first).map(|((date, _), _)| *date).collect();
    DatedReturns::new(dates, returns).map_err(|order| row(0, order.into()))
}

const EXAMPLE: &str = "0.0123";

/// A date, also of an instant: `2026-11-16`, `2026-11-16 00:00:00`.
fn date_of(text: &str) -> Result<SessionDate, Fault> {
    let date = text.split(['T', ' ']).next().unwrap_or_default();
    NaiveDate::parse_from_str(date, "%Y-%m-%d").map(SessionDate).map_err(|_| Fault::Date(text.to_owned()))
}

/// A number; `None` of an empty cell.
fn number(column: &'static str, text: &str) -> Result<Option<f64>, Fault> {
    if text.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Fault::Number { column, text: text.to_owned(), example: EXAMPLE })
}

/// Reads trades, and puts them in the order of their exits.
///
/// # Errors
/// [`FileError`] with the line, if the file is not as `trade backtest --trades` writes it.
pub fn read_trades(path: &Path) -> Result<Vec<Trade>, FileError> {
    const EXPECTED: &str = "symbol,entry_ts_utc,entry_price,exit_ts_utc,exit_price,quantity,pnl,exit_reason; quantity and exit_reason may be absent";
    const NEEDED: [&str; 6] = ["symbol", "entry_ts_utc", "entry_price", "exit_ts_utc", "exit_price", "pnl"];
    let mut table = Table::open(path)?;
    let places: Option<Vec<usize>> = NEEDED.iter().map(|name| table.column(name)).collect();
    let places: Option<[usize; 6]> = places.and_then(|places| places.try_into().ok());
    let Some([symbol, entered_at, entry_price, exited_at, exit_price, pnl]) = places else {
        return Err(table.expected(EXPECTED));
    };
    let reason = table.column("exit_reason");
    let trades = table.rows(|record| {
        let cell = |place| record.get(place).unwrap_or_default();
        let instant = |column, place| cell(place).parse().map_err(|source| Fault::Instant { column, source });
        let price = |column, place| cell(place).parse().map_err(|source| Fault::Amount { column, source });
        let trade = Trade {
            symbol: cell(symbol).parse()?,
            entered_at: instant("entry_ts_utc", entered_at)?,
            entry_price: price("entry_price", entry_price)?,
            exited_at: instant("exit_ts_utc", exited_at)?,
            exit_price: price("exit_price", exit_price)?,
            pnl: amount("pnl", cell(pnl))?,
            exit_reason: reason.map(cell).unwrap_or_default().to_owned(),
        };
        for (column, price) in [("entry_price", trade.entry_price), ("exit_price", trade.exit_price)] {
            if !price.is_positive() {
                return Err(Fault::Price { column, price });
            }
        }
        if trade.exited_at < trade.entered_at {
            return Err(Fault::Backwards { entry: trade.entered_at, exit: trade.exited_at });
        }
        Ok(trade)
    })?;
    let mut trades: Vec<Trade> = trades.into_iter().map(|(trade, _)| trade).collect();
    trades.sort_by_key(|trade| trade.exited_at);
    Ok(trades)
}

/// An amount; one with more digits than money has, as other programs write it, is rounded.
fn amount(column: &'static str, text: &str) -> Result<Money, Fault> {
    let rounded = || text.parse().ok().and_then(|value: f64| Money::from_f64(value).ok());
    text.parse().or_else(|source| rounded().ok_or(Fault::Amount { column, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn refused(text: &str) -> String {
        let file = file(text);
        let message = read_series(file.path()).unwrap_err().to_string();
        message.replace(&file.path().display().to_string(), "FILE")
    }

    #[test]
    fn returns_and_equity_are_read_whatever_stands_beside_them() {
        let returns = file("\u{feff}Date, Return\r\n2026-01-02,\r\n2026-01-05,0.5\r\n2026-01-06,-0.5\r\n");
        let equity = file("equity,note,date\n100,a,2026-01-02 00:00:00\n150,b,2026-01-05T21:00:00Z\n75,c,2026-01-06\n");
        let read = read_series(returns.path()).unwrap();
        assert_eq!(read.returns().values(), [0.5, -0.5]);
        assert_eq!(read, read_series(equity.path()).unwrap());
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let table = [
            ("day,return\n", "FILE:1: the columns are \"day,return\": expected date and either return or equity"),
            (
                "date,return,equity\n",
                "FILE:1: the columns are \"date,return,equity\": expected date and either return or equity",
            ),
            ("date,return\n01/05/2026,0.1\n", "FILE:2: \"01/05/2026\" is not a date: expected one such as 2026-11-16"),
            (
                "date,return\n2026-01-05,0.1\n2026-01-06,\n",
                "FILE:3: return: \"\" is not a number: expected one such as 0.0123",
            ),
            (
                "date,return\n2026-01-05,0.1\n2026-01-06,-1.5\n",
                "FILE:3: a return of -1.5: expected a ratio from -1 to 1000, such as 0.01 for one percent",
            ),
            (
                "date,equity\n2026-01-05,100\n2026-01-06,0\n",
                "FILE:3: an equity of 0: expected a finite amount above zero",
            ),
            (
                "date,return\n2026-01-06,0.1\n2026-01-05,0\n",
                "FILE:3: 2026-01-05 does not come after 2026-01-06: expected each date once, the oldest first",
            ),
            ("date,equity\n2026-01-06,100\n", "FILE has 1 rows: expected at least 2"),
        ];
        for (text, expected) in table {
            assert_eq!(refused(text), expected);
        }
    }

    #[test]
    fn trades_are_read_with_digits_that_other_programs_write() {
        let trades = file(
            "symbol,entry_ts_utc,entry_price,exit_ts_utc,exit_price,quantity,pnl,exit_reason\n\
             AAPL,2026-01-05T14:50:00Z,200.5,2026-01-05T15:50:00Z,201.25,10,7.499999999999,target\n",
        );
        let read = read_trades(trades.path()).unwrap();
        assert_eq!((read[0].pnl.to_string(), read[0].exit_reason.as_str()), ("7.50".to_owned(), "target"));
        assert_eq!(read[0].closed().held.as_secs(), 3_600);
        let backwards = file(
            "symbol,entry_ts_utc,entry_price,exit_ts_utc,exit_price,pnl\nAAPL,2026-01-05T15:50:00Z,1,2026-01-05T14:50:00Z,1,0\n",
        );
        let message = read_trades(backwards.path()).unwrap_err().to_string();
        assert!(
            message.ends_with(":2: the trade ends at 2026-01-05T14:50:00Z before it begins at 2026-01-05T15:50:00Z")
        );
    }
}
