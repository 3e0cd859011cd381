//! What a person is told.

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// How much it matters.
    pub level: AlertLevel,
    /// What happened, as `noun.verb`: `risk.breached`, `position.closed`.
    pub event: String,
    /// What it concerns, if it is about one symbol.
    pub symbol: Option<Symbol>,
    /// One line that reads well alone.
    pub subject: String,
    /// The rest, in plain text; may be empty.
    pub body: String,
}

impl Alert {
    /// An alert without a symbol or a body.
    #[must_use]
    pub fn new(level: AlertLevel, event: &str, subject: impl Into<String>) -> Self {
        Self { level, event: event.to_owned(), symbol: None, subject: subject.into(), body: String::new() }
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
