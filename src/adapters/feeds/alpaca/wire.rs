//! The documents of Alpaca's market data. Prices are numbers here, and become exact ones at once.

use std::collections::HashMap;

use daybook_core::market::{Bar, Quote};
use daybook_core::money::{MoneyError, Price, Quantity};
use daybook_core::time::Timestamp;
use serde::Deserialize;

/// A page of bars by symbol.
#[derive(Debug, Deserialize)]
pub(super) struct WireBars {
    #[serde(default)]
    pub bars: Option<HashMap<String, Vec<WireBar>>>,
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// A bar; `t` is its beginning.
#[derive(Debug, Deserialize)]
pub(super) struct WireBar {
    t: Timestamp,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    v: f64,
}

impl WireBar {
    pub(super) fn bar(&self) -> Result<Bar, MoneyError> {
        Ok(Bar {
            start: self.t,
            open: Price::from_f64(self.o)?,
            high: Price::from_f64(self.h)?,
            low: Price::from_f64(self.l)?,
            close: Price::from_f64(self.c)?,
            volume: Quantity::from_f64(self.v)?,
        })
    }
}

/// The latest quote of each symbol.
#[derive(Debug, Deserialize)]
pub(super) struct WireLatest {
    #[serde(default)]
    pub quotes: Option<HashMap<String, WireQuote>>,
}

/// Quotes by symbol.
#[derive(Debug, Deserialize)]
pub(super) struct WireQuotes {
    #[serde(default)]
    pub quotes: Option<HashMap<String, Vec<WireQuote>>>,
}

/// A quote; a price of zero is none.
#[derive(Debug, Deserialize)]
pub(super) struct WireQuote {
    t: Timestamp,
    bp: f64,
    bs: f64,
    ap: f64,
    #[serde(rename = "as")]
    ask_size: f64,
}

impl WireQuote {
    /// The quote in our words; `None` where one side is missing.
    pub(super) fn quote(&self) -> Result<Option<Quote>, MoneyError> {
        let (bid, ask) = (Price::from_f64(self.bp)?, Price::from_f64(self.ap)?);
        let sizes = (Quantity::from_f64(self.bs)?, Quantity::from_f64(self.ask_size)?);
        let quote = Quote { at: self.t, bid, ask, bid_size: sizes.0, ask_size: sizes.1 };
        Ok((bid.is_positive() && ask.is_positive()).then_some(quote))
    }
}

/// A page of news.
#[derive(Debug, Deserialize)]
pub(super) struct WireNews {
    #[serde(default)]
    pub news: Option<Vec<WireNewsItem>>,
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// An item of news.
#[derive(Debug, Deserialize)]
pub(super) struct WireNewsItem {
    pub id: u64,
    pub headline: String,
    pub created_at: Timestamp,
}
