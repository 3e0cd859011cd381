//! What a person is told.

mod catalogue;
mod routing;

pub use catalogue::AlertEvent;
pub use routing::{AlertRule, QuietHours, ruled};

use serde::{Deserialize, Serialize};

use crate::market::Symbol;

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// Worth knowing.
    Info,
    /// Look at it today.
    Warning,
    /// Act now.
    Critical,
}

impl AlertLevel {
    /// `info`, `warning` or `critical`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that a person is told; it is committed with the decision that raised it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alert {
    /// How much it matters.
    pub level: AlertLevel,
    /// What happened: the name of an [`AlertEvent`]. In a ledger it may be one that this version does not know.
    pub event: String,
    /// What it concerns, if it is about one symbol.
    pub symbol: Option<Symbol>,
    /// One line that reads well alone.
    pub subject: String,
    /// The rest, in plain text; may be empty.
    pub body: String,
}

/// What needs nobody any more on a channel on which it was told: somebody has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The alert's event.
    pub event: String,
    /// The key under which the channel was told of it.
    pub key: String,
}

impl Alert {
    /// An alert of its event's usual level, without a symbol or a body.
    #[must_use]
    pub fn new(event: AlertEvent, subject: impl Into<String>) -> Self {
        let event_name = event.as_str().to_owned();
        Self { level: event.level(), event: event_name, symbol: None, subject: subject.into(), body: String::new() }
    }

    /// The same alert, which matters more or less than its event usually does.
    #[must_use]
    pub const fn at_level(mut self, level: AlertLevel) -> Self {
        self.level = level;
        self
    }

    /// The same alert about `symbol`.
    #[must_use]
    pub fn about(mut self, symbol: Symbol) -> Self {
        self.symbol = Some(symbol);
        self
    }

    /// The same alert with more to read.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
}
