//! Splits and dividends in files: `symbol,ex_date,action,value`, and LEAN's factor files.
//!
//! A factor file is named after its symbol and has a row `last date, price factor, split factor, close` for every
//! stretch between two events, each factor being that of all events after it. Source: LEAN's documentation of its
//! data format. An event is what two rows differ by, and stands in the session after the first one's date.

use std::io::{self, Write};

use csv::ByteRecord;
use daybook_core::calendar::Calendar;
use daybook_core::market::{
    ActionAdded, ActionKind, CorporateAction, CorporateActions, SplitRatio, SplitRatioError, Symbol, SymbolError,
};
use daybook_core::money::{MoneyError, Price};
use daybook_core::time::SessionDate;

use super::read::{CELL_BYTES_MAX, beginning_of};

/// The columns of a file of corporate actions, in order.
pub const ACTION_COLUMNS: [&str; 4] = ["symbol", "ex_date", "action", "value"];

/// How far two factors of a factor file may differ though they are the same: it has seven digits.
const SAME_FACTOR: f64 = 2e-6;

/// Dividends of a factor file are rounded to this part of a dollar: its digits tell no finer one.
const MILLS: f64 = 1_000.0;

/// What is wrong with a row of corporate actions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ActionFault {
    /// Another number of fields than a row has.
    #[error("has {found} fields: expected {expected}")]
    Fields { found: usize, expected: &'static str },
    /// More than anything that a row can say.
    #[error("a field is \"{start}\" and so on, {length} bytes: expected at most {CELL_BYTES_MAX}")]
    Long { start: String, length: usize },
    /// No symbol.
    #[error("{0}")]
    Symbol(SymbolError),
    /// No date.
    #[error("ex_date: \"{text}\" is no date: expected one such as {expected}")]
    Date { text: String, expected: &'static str },
    /// Neither a split nor a dividend.
    #[error("action: \"{text}\" is unknown: expected split or dividend")]
    Kind { text: String },
    /// No ratio.
    #[error("value: {0}")]
    Ratio(SplitRatioError),
    /// No amount.
    #[error("value: {0}")]
    Amount(MoneyError),
    /// Not an amount that is paid.
    #[error("value: {amount} is no dividend: expected more than zero")]
    NotPaid { amount: Price },
    /// No number where a factor file has one.
    #[error("{column}: \"{text}\" is no {expected}")]
    Factor { column: &'static str, text: String, expected: &'static str },
    /// Factors that no split makes.
    #[error("split_factor: {before} before {after} is no ratio of a split")]
    NoRatio { before: f64, after: f64 },
    /// Another action of the kind for the date.
    #[error("a {action} on {ex_date} is told already, as {kept}", action = kept.name())]
    Different { ex_date: SessionDate, kept: ActionKind },
}

/// A file of corporate actions, as its first line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActionFile {
    /// Ours, with a header.
    Listed,
    /// LEAN's, without one.
    Factors,
}

impl ActionFile {
    /// Which one a first line belongs to.
    pub(super) fn of(first: &ByteRecord) -> Option<Self> {
        let names = first.iter().map(<[u8]>::trim_ascii);
        if names.eq(ACTION_COLUMNS.map(str::as_bytes)) {
            return Some(Self::Listed);
        }
        let is_date = |field: &[u8]| field.len() == 8 && field.iter().all(u8::is_ascii_digit);
        (matches!(first.len(), 3 | 4) && first.get(0).is_some_and(is_date)).then_some(Self::Factors)
    }
}

/// Reads the rows of a file of corporate actions one after another.
#[derive(Debug)]
pub(super) struct ActionRows {
    format: ActionFile,
    /// Whose a factor file is.
    given: Option<Symbol>,
    before: Option<Factors>,
    pub(super) actions: CorporateActions,
}

/// A row of a factor file.
#[derive(Debug, Clone, Copy)]
struct Factors {
    last: SessionDate,
    price: f64,
    split: f64,
    close: f64,
}

impl ActionRows {
    pub(super) fn new(format: ActionFile, given: Option<Symbol>) -> Self {
        Self { format, given, before: None, actions: CorporateActions::new() }
    }

    /// Takes a row; the symbol that it speaks of, and what is wrong with it.
    pub(super) fn take(&mut self, record: &ByteRecord) -> Result<(), (Option<Symbol>, ActionFault)> {
        let fields: Vec<String> =
            record.iter().map(|field| String::from_utf8_lossy(field.trim_ascii()).into()).collect();
        if let Some(long) = fields.iter().find(|field| field.len() > CELL_BYTES_MAX) {
            return Err((None, ActionFault::Long { start: beginning_of(long), length: long.len() }));
        }
        match self.format {
            ActionFile::Listed => self.listed(&fields),
            ActionFile::Factors => self.factors(&fields).map_err(|fault| (self.given, fault)),
        }
    }

    fn listed(&mut self, fields: &[String]) -> Result<(), (Option<Symbol>, ActionFault)> {
        let [symbol, ex_date, action, value] = fields else {
            return Err((None, ActionFault::Fields { found: fields.len(), expected: "4" }));
        };
        let symbol: Symbol = symbol.parse().map_err(|error| (None, ActionFault::Symbol(error)))?;
        let action = listed_action(ex_date, action, value).map_err(|fault| (Some(symbol), fault))?;
        self.add(symbol, action).map_err(|fault| (Some(symbol), fault))
    }

    fn add(&mut self, symbol: Symbol, action: CorporateAction) -> Result<(), ActionFault> {
        match self.actions.add(symbol, action) {
            ActionAdded::New | ActionAdded::Repeated => Ok(()),
            ActionAdded::Different(kept) => Err(ActionFault::Different { ex_date: action.ex_date, kept: kept.kind }),
        }
    }

    fn factors(&mut self, fields: &[String]) -> Result<(), ActionFault> {
        let row = Factors::of(fields)?;
        let Some((before, symbol)) = self.before.replace(row).zip(self.given) else { return Ok(()) };
        // The calendar ends: what comes after it is no session of ours.
        let Some(ex_date) = Calendar::xnys().session_after(before.last).map(|session| session.date) else {
            return Ok(());
        };
        for kind in before.until(&row)?.into_iter().flatten() {
            self.add(symbol, CorporateAction { ex_date, kind })?;
        }
        Ok(())
    }
}

fn listed_action(ex_date: &str, action: &str, value: &str) -> Result<CorporateAction, ActionFault> {
    let date = ex_date.parse();
    let ex_date = date.map_err(|_| ActionFault::Date { text: ex_date.to_owned(), expected: "2014-06-09" })?;
    let kind = match action.to_ascii_lowercase().as_str() {
        "split" => ActionKind::Split(value.parse().map_err(ActionFault::Ratio)?),
        "dividend" => {
            let amount: Price = value.parse().map_err(ActionFault::Amount)?;
            if !amount.is_positive() {
                return Err(ActionFault::NotPaid { amount });
            }
            ActionKind::Dividend(amount)
        }
        _ => return Err(ActionFault::Kind { text: action.to_owned() }),
    };
    Ok(CorporateAction { ex_date, kind })
}

impl Factors {
    fn of(fields: &[String]) -> Result<Self, ActionFault> {
        let (Some(date), Some(price), Some(split)) = (fields.first(), fields.get(1), fields.get(2)) else {
            return Err(ActionFault::Fields { found: fields.len(), expected: "3 or 4" });
        };
        let day = chrono::NaiveDate::parse_from_str(date, "%Y%m%d").map(SessionDate);
        let positive = |column: &'static str, text: &String| {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
            let expected = "factor above zero";
            number.ok_or_else(|| ActionFault::Factor { column, text: text.clone(), expected })
        };
        let close = fields.get(3).map_or(Ok(0.0), |text| {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
            let expected = "price";
            number.ok_or_else(|| ActionFault::Factor { column: "reference_price", text: text.clone(), expected })
        });
        Ok(Self {
            last: day.map_err(|_| ActionFault::Date { text: date.clone(), expected: "20140606" })?,
            price: positive("price_factor", price)?,
            split: positive("split_factor", split)?,
            close: close?,
        })
    }

    /// What happened between this row and the one after it.
    fn until(&self, after: &Self) -> Result<[Option<ActionKind>; 2], ActionFault> {
        let differs = |ratio: f64| (ratio - 1.0).abs() > SAME_FACTOR;
        let split = differs(after.split / self.split).then(|| {
            let ratio = SplitRatio::nearest(after.split / self.split);
            ratio.ok_or(ActionFault::NoRatio { before: self.split, after: after.split })
        });
        let split = split.transpose()?;
        let kept = self.price / after.price;
        // A dividend is paid for the shares of its ex-date.
        let close = self.close * split.map_or(1.0, SplitRatio::of_price);
        let dividend = (close * (1.0 - kept) * MILLS).round() / MILLS;
        let amount = (differs(kept) && dividend > 0.0).then(|| Price::from_f64(dividend).map_err(ActionFault::Amount));
        Ok([split.map(ActionKind::Split), amount.transpose()?.map(ActionKind::Dividend)])
    }
}

/// Writes corporate actions in the form that is read, with its header.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_actions(out: &mut impl Write, actions: &CorporateActions) -> io::Result<()> {
    writeln!(out, "{}", ACTION_COLUMNS.join(","))?;
    for (symbol, CorporateAction { ex_date, kind }) in actions.iter() {
        let name = kind.name();
        match kind {
            ActionKind::Split(ratio) => writeln!(out, "{symbol},{ex_date},{name},{ratio}")?,
            ActionKind::Dividend(amount) => writeln!(out, "{symbol},{ex_date},{name},{amount}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::{BarFile, read_bars};
    use super::*;

    fn read(name: &str, text: &str) -> (PathBuf, BarFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let file = read_bars(&path, None).unwrap();
        (path, file)
    }

    fn told(actions: &CorporateActions) -> Vec<String> {
        let line = |(symbol, action): (Symbol, CorporateAction)| format!("{symbol} {} {}", action.ex_date, action.kind);
        actions.iter().map(line).collect()
    }

    #[test]
    fn a_file_of_actions_is_known_by_its_header_and_read_back() {
        let text = "symbol,ex_date,action,value\nAAPL,2014-06-09,split,7:1\nAAPL,2014-08-07,dividend,0.47\nC,2011-05-09,split,1:10\n";
        let (_, file) = read("whatever.csv", text);
        let expected = ["AAPL 2014-06-09 7:1 split", "AAPL 2014-08-07 dividend of 0.47", "C 2011-05-09 1:10 split"];
        assert_eq!(told(&file.actions), expected);
        assert_eq!((file.rows, file.bad_row_count, file.series.len()), (3, 0, 0));
        let mut written = Vec::new();
        write_actions(&mut written, &file.actions).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }

    #[test]
    fn each_wrong_row_is_told_with_its_line() {
        let text = "symbol,ex_date,action,value
AAPL,2014-06-09,split,7:1
AAPL,2014-06-09,split,6:1
AAPL,09/06/2014,split,7:1
AAPL,2014-06-10,spinoff,7:1
AAPL,2014-06-10,split,0.142857
AAPL,2014-06-10,dividend,0
AAPL,2014-06-10,dividend,a lot
AAPL,2014-06-10,split
A PL,2014-06-10,split,7:1
";
        let (_, file) = read("actions.csv", text);
        let faults: Vec<String> = file.bad_rows.iter().map(ToString::to_string).collect();
        assert_eq!(told(&file.actions), ["AAPL 2014-06-09 7:1 split"]);
        insta::assert_snapshot!(faults.join("\n"));
    }

    #[test]
    fn a_factor_file_tells_what_its_rows_differ_by() {
        // Apple's rows around its split of 2014, with the dividends before and after it.
        let text = "20130206,0.9375,0.142857,457.35
20140507,0.9566794,0.142857,592.33
20140606,0.9619,0.142857,645.57
20140806,0.9619,1,94.96
20501231,0.9666605,1,0
";
        let (_, file) = read("aapl.csv", text);
        let expected = [
            "AAPL 2013-02-07 dividend of 9.169",
            "AAPL 2014-05-08 dividend of 3.215",
            "AAPL 2014-06-09 7:1 split",
            "AAPL 2014-08-07 dividend of 0.468",
        ];
        assert_eq!(told(&file.actions), expected);
        let (_, wrong) = read("aapl.csv", "20130206,0.9375,0,457.35\n20140507,0.9,x,1\n20140607,1,1\n");
        let faults: Vec<String> = wrong.bad_rows.iter().map(ToString::to_string).collect();
        let expected = [
            "line 1: AAPL: split_factor: \"0\" is no factor above zero",
            "line 2: AAPL: split_factor: \"x\" is no factor above zero",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_factor_file_without_a_symbol_in_its_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path: &Path = &dir.path().join("factors of apple.csv");
        std::fs::write(path, "20130206,0.9375,0.142857,457.35\n").unwrap();
        assert!(read_bars(path, None).unwrap_err().to_string().contains("its name is no symbol"));
        let file = read_bars(path, Some("AAPL".parse().unwrap())).unwrap();
        assert_eq!((file.rows, file.bad_row_count), (1, 0));
    }
}
