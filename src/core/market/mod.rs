//! What a market says: symbols, bars, quotes, and how bars aggregate.

mod symbol;

use serde::{Deserialize, Serialize};

use crate::money::{MoneyError, Price, Quantity};
use crate::time::Timestamp;

pub use symbol::{Symbol, SymbolError};

/// One interval of trading; a missing minute is a minute without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// The instant at which the interval begins.
    pub start: Timestamp,
    /// The first trade's price.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The last trade's price.
    pub close: Price,
    /// Shares traded.
    pub volume: Quantity,
}

/// The best bid and offer at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// When it was valid.
    pub at: Timestamp,
    /// The best price to sell at.
    pub bid: Price,
    /// The best price to buy at.
    pub ask: Price,
    /// Shares wanted at the bid.
    pub bid_size: Quantity,
    /// Shares offered at the ask.
    pub ask_size: Quantity,
}

impl Quote {
    /// The middle of bid and ask, rounded down to 10⁻⁸.
    ///
    /// # Errors
    /// On overflow.
    pub fn midpoint(&self) -> Result<Price, MoneyError> {
        self.bid.plus(self.ask).map(|sum| Price(sum.0.div_euclid(2)))
    }
}
