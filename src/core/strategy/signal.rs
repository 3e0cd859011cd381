use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::money::{Bps, Price};
use crate::order::Side;
use crate::time::Timestamp;

/// Which way a position earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// When the price rises.
    Long,
    /// When the price falls.
    Short,
}

impl Direction {
    /// The side that opens it.
    #[must_use]
    pub const fn entry_side(self) -> Side {
        match self {
            Self::Long => Side::Buy,
            Self::Short => Side::Sell,
        }
    }

    /// Whether `price` is better than `than` for a position of this direction.
    #[must_use]
    pub fn favours(self, price: Price, than: Price) -> bool {
        match self {
            Self::Long => price > than,
            Self::Short => price < than,
        }
    }

    /// `long` or `short`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }
}

/// One ground of a decision, as a person reads it: a measure and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What was measured: `range high`.
    pub measure: Cow<'static, str>,
    /// Its number, with the unit: `12.34`, `2.1 x`.
    pub value: String,
}

impl Reason {
    /// A measure and its number.
    #[must_use]
    pub fn new(measure: impl Into<Cow<'static, str>>, value: impl Display) -> Self {
        // Room for as much as most have.
        let mut text = String::with_capacity(32);
        // A string takes whatever is written to it.
        let _ = write!(text, "{value}");
        Self { measure: measure.into(), value: text }
    }
}

/// Whether the grounds of a decision are put into words. What is decided is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// They are: the ledger keeps them, and somebody may ask why.
    Told,
    /// They are not: nobody will ask, as in a back-test.
    Untold,
}

/// The grounds of an answer, noted as they are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons {
    wording: Wording,
    noted: Vec<Reason>,
}

impl Reasons {
    /// No grounds yet.
    #[must_use]
    pub const fn new(wording: Wording) -> Self {
        Self { wording, noted: Vec::new() }
    }

    /// Notes a measure and its number; they become text only where they are told.
    pub fn note(&mut self, measure: impl Into<Cow<'static, str>>, value: impl Display) {
        if self.wording == Wording::Told {
            if self.noted.is_empty() {
                self.noted.reserve(16); // few have more
            }
            self.noted.push(Reason::new(measure, value));
        }
    }

    /// What was noted so far; nothing is left.
    #[must_use]
    pub fn take(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.noted)
    }
}

/// A strategy's proposal to open a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// What to trade.
    pub symbol: Symbol,
    /// The strategy's name in the configuration.
    pub strategy: String,
    /// Which way.
    pub direction: Direction,
    /// The price the proposal was made at.
    pub entry: Price,
    /// Where the loss is taken.
    pub stop: Price,
    /// Where the profit is taken.
    pub target: Price,
    /// How sure the strategy is: 0 % to 100 %.
    pub confidence: Bps,
    /// Its grounds, with numbers.
    pub reasons: Vec<Reason>,
    /// After this instant it must not be traded on.
    pub valid_until: Timestamp,
}
