//! The tear sheet: what daily returns and their trades come to, as one page for a browser.
//!
//! The page stands alone: its pictures are SVG inside it, its colours follow the reader's light or dark theme, and it loads
//! nothing. The figures are those of [`daybook_core::statistics`]; what is drawn is decided here and nowhere else.

mod charts;
mod prices;
mod view;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use daybook_core::market::{Bar, Symbol};
use daybook_core::money::{Money, MoneyError, Price};
use daybook_core::statistics::{ClosedTrade, DatedReturns};
use daybook_core::time::Timestamp;
use minijinja::value::Serde;
use minijinja::{Environment, context};

use self::view::View;
use crate::page;

/// Escaped because of its name's ending.
const TEMPLATE: &str = "tear_sheet.html";

/// What a tear sheet is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct TearSheet<'a> {
    /// What it is of: a file's name, a strategy's.
    pub title: &'a str,
    /// The days.
    pub series: &'a DatedReturns,
    /// The trades behind them, in the order of their exits; may be empty.
    pub trades: &'a [Trade],
    /// Prices on which the trades are shown; may be empty.
    pub bars: &'a BTreeMap<Symbol, Vec<Bar>>,
}

/// A trade from entry to exit.
#[derive(Debug, Clone, PartialEq)]
pub struct Trade {
    /// The symbol.
    pub symbol: Symbol,
    /// When it was entered.
    pub entered_at: Timestamp,
    /// At which price.
    pub entry_price: Price,
    /// When it was left.
    pub exited_at: Timestamp,
    /// At which price.
    pub exit_price: Price,
    /// What it earned.
    pub pnl: Money,
    /// Why it was left.
    pub exit_reason: String,
}

impl Trade {
    /// What is counted of it.
    #[must_use]
    pub fn closed(&self) -> ClosedTrade {
        ClosedTrade { pnl: self.pnl, held: self.exited_at.since(self.entered_at) }
    }
}

/// Why a tear sheet could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TearSheetError {
    /// A sum of results does not fit.
    #[error("the trades' results cannot be added up")]
    Trades(#[from] MoneyError),
    /// The page could not be rendered.
    #[error("the tear sheet cannot be rendered")]
    Page(#[from] minijinja::Error),
}

impl TearSheet<'_> {
    /// Writes the page.
    ///
    /// # Errors
    /// [`TearSheetError`] if the trades' results overflow, or the template fails.
    pub fn page(&self) -> Result<String, TearSheetError> {
        static ENVIRONMENT: LazyLock<Result<Environment<'static>, String>> =
            LazyLock::new(|| environment().map_err(|error| error.to_string()));
        let environment = ENVIRONMENT
            .as_ref()
            .map_err(|reason| minijinja::Error::new(minijinja::ErrorKind::SyntaxError, reason.clone()))?;
        let view = View::of(self)?;
        Ok(environment.get_template(TEMPLATE)?.render(context! { sheet => Serde(view) })?)
    }
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = page::environment()?;
    environment.add_template(TEMPLATE, include_str!("templates/tear_sheet.html"))?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use daybook_core::money::Quantity;
    use daybook_core::statistics::Returns;
    use daybook_core::time::SessionDate;

    use super::*;

    /// Days that are the same every time.
    fn days(count: u32) -> DatedReturns {
        let values = (0..count).map(|day| 0.012 * (f64::from(day) * 1.7).sin() + 0.0006).collect();
        let first: SessionDate = "2024-01-02".parse().unwrap();
        let dates = (0..i64::from(count)).map(|day| first.plus_days(day)).collect();
        DatedReturns::new(dates, Returns::new(values).unwrap()).unwrap()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp(1_794_839_400_000 + minute * 60_000)
    }

    fn trade(reason: &str) -> Trade {
        Trade {
            symbol: "AAPL".parse().unwrap(),
            entered_at: at(10),
            entry_price: Price::from_cents(20_010),
            exited_at: at(40),
            exit_price: Price::from_cents(20_080),
            pnl: Money::whole(70),
            exit_reason: reason.to_owned(),
        }
    }

    fn bars() -> BTreeMap<Symbol, Vec<Bar>> {
        let bar = |minute: i64| {
            let price = Price::from_cents(20_000 + minute * 2);
            Bar { start: at(minute), open: price, high: price, low: price, close: price, volume: Quantity::whole(100) }
        };
        BTreeMap::from([("AAPL".parse().unwrap(), (0..60).map(bar).collect())])
    }

    fn page(title: &str, series: &DatedReturns, trades: &[Trade], bars: &BTreeMap<Symbol, Vec<Bar>>) -> String {
        TearSheet { title, series, trades, bars }.page().unwrap()
    }

    #[test]
    fn it_shows_all_that_there_is_to_see() {
        let html = page("equity.csv", &days(300), &[trade("target")], &bars());
        for part in [
            "Equity",
            "Drawdown",
            "Months",
            "Sharpe ratio of the last 126 days",
            "Days by their return",
            "AAPL",
            "target",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert_eq!(html.matches("<svg").count(), 5);
        assert!(!html.contains("NaN") && !html.contains("inf\"") && !html.contains(">inf<"));
    }

    #[test]
    fn it_loads_nothing_and_runs_nothing() {
        let html = page("equity.csv", &days(300), &[trade("target")], &bars());
        let outside = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("url(http"));
        assert!(!html.contains("<script") && !html.contains("<link") && !html.contains("@import"));
        assert!(html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn what_a_file_says_cannot_become_markup() {
        let hostile = "<img src=x onerror=alert(1)>\"'&";
        let html = page(hostile, &days(30), &[trade(hostile)], &bars());
        assert!(!html.contains("<img"), "{html}");
        assert!(html.contains("&lt;img"));
    }

    #[test]
    fn a_series_of_a_day_is_a_page_too() {
        for count in [1, 2, 5, 25] {
            let html = page("short", &days(count), &[], &BTreeMap::new());
            assert!(!html.contains("NaN") && html.contains("Equity"), "{count} days");
        }
        let still = DatedReturns::new(days(40).dates().to_vec(), Returns::new(vec![0.0; 40]).unwrap()).unwrap();
        assert!(!page("still", &still, &[], &BTreeMap::new()).contains("NaN"));
    }

    #[test]
    fn twenty_years_are_a_page_of_modest_size() {
        let html = page("long", &days(5_040), &vec![trade("target"); 2_000], &bars());
        assert!(html.len() < 1_500_000, "{} bytes", html.len());
    }
}
