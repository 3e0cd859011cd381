use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::time::Timestamp;

/// Alpaca's bound, the tightest of the brokers in use that accept free text.
const LENGTH_MAX: usize = 128;

/// What the numbers and dashes of a derived id take at most.
const DERIVED_NUMBERS: usize = "dbk----".len() + "-9223372036854775808".len() + 2 * "4294967295".len();

/// How the ids begin that an exchange makes.
const OF_EXCHANGE: &str = "exchange-";

/// How the id of a correction begins.
const CORRECTION: &str = "correction-";

/// The name under which an order is sent, and under which a broker refuses it a second time. Whatever speaks of the
/// order carries it: a clone shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientOrderId(Arc<str>);

/// Text that is no client order id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a client order id: expected 1 to 128 printable ASCII characters without spaces")]
pub struct ClientOrderIdError {
    /// What was read.
    pub text: String,
}

impl ClientOrderId {
    /// Derives the id of an order from where it was decided, and from nothing else.
    ///
    /// Symbol and quantity are left out on purpose: if a restored ledger decides differently for the
    /// same slot, the broker must refuse the second order, not fill both.
    ///
    /// ```
    /// use daybook_core::{order::ClientOrderId, time::Timestamp};
    /// let slot: Timestamp = "2026-11-16T14:50:05Z".parse().unwrap();
    /// let id = ClientOrderId::derive("1f3a9c2e", "analysis", slot, 0, 0);
    /// assert_eq!(id.as_str(), "dbk-1f3a9c2e-analysis-1794840605000-0-0");
    /// ```
    #[must_use]
    pub fn derive(ledger_id: &str, job: &str, slot: Timestamp, leg: u32, revision: u32) -> Self {
        let mut id = String::with_capacity(ledger_id.len() + job.len() + DERIVED_NUMBERS);
        for text in ["dbk-", ledger_id, "-", job, "-"] {
            id.push_str(text);
        }
        let mut digits = itoa::Buffer::new();
        id.push_str(digits.format(slot.0));
        for number in [leg, revision] {
            id.push('-');
            id.push_str(digits.format(number));
        }
        Self(id.into())
    }

    /// The id that an exchange makes of a number, for what nobody sent under an id: `exchange-000001`.
    pub(crate) fn of_exchange(number: i64) -> Self {
        Self(numbered(OF_EXCHANGE, number).into())
    }

    /// Whether it is, or looks like, an id that an exchange makes.
    pub(crate) fn is_of_exchange(&self) -> bool {
        self.0.starts_with(OF_EXCHANGE)
    }

    /// The id under which a correction is booked: an execution of no order, that makes the fold of the
    /// fills agree with the broker.
    #[must_use]
    pub fn correction(slot: Timestamp, symbol: Symbol) -> Self {
        Self(format!("{CORRECTION}{}-{symbol}", slot.0).into())
    }

    /// Whether it is the id of a correction.
    #[must_use]
    pub fn is_correction(&self) -> bool {
        self.0.starts_with(CORRECTION)
    }

    /// Whether an order under this id was sent from the ledger `ledger_id`: it is ours, not a stranger's.
    #[must_use]
    pub fn belongs_to(&self, ledger_id: &str) -> bool {
        let ours = self.0.strip_prefix("dbk-").and_then(|rest| rest.strip_prefix(ledger_id));
        ours.is_some_and(|rest| rest.starts_with('-'))
    }

    /// The id of a later attempt of the same leg: a broker never takes an id twice, not even that of an
    /// order that came to nothing.
    ///
    /// ```
    /// use daybook_core::{order::ClientOrderId, time::Timestamp};
    /// let first = ClientOrderId::derive("1f3a9c2e", "risk-monitor", Timestamp(60_000), 2, 0);
    /// assert_eq!(first.with_revision(1), ClientOrderId::derive("1f3a9c2e", "risk-monitor", Timestamp(60_000), 2, 1));
    /// ```
    #[must_use]
    pub fn with_revision(&self, revision: u32) -> Self {
        let leg = self.0.rsplit_once('-').map_or(self.as_str(), |(leg, _)| leg);
        Self(format!("{leg}-{revision}").into())
    }

    /// The id's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A number of at least six digits behind its prefix. Each order and each execution has one: it is made in one
/// piece.
pub(crate) fn numbered(prefix: &str, number: i64) -> String {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number);
    let mut text = String::with_capacity(16);
    text.push_str(prefix);
    if number >= 0 {
        text.push_str("000000".get(digits.len()..).unwrap_or_default());
    }
    text.push_str(digits);
    text
}

/// Where a decision is made: the names of its orders follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The ledger that the decision is committed to.
    pub ledger_id: String,
    /// The job that decides.
    pub job: String,
    /// The slot it decides for.
    pub slot: Timestamp,
}

impl Origin {
    /// The id of the order of a leg, in its first revision.
    #[must_use]
    pub fn client_order_id(&self, leg: u32) -> ClientOrderId {
        ClientOrderId::derive(&self.ledger_id, &self.job, self.slot, leg, 0)
    }
}

impl FromStr for ClientOrderId {
    type Err = ClientOrderIdError;
    fn from_str(text: &str) -> Result<Self, ClientOrderIdError> {
        if text.is_empty() || text.len() > LENGTH_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientOrderIdError { text: text.to_owned() });
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ClientOrderId {
    type Error = ClientOrderIdError;
    fn try_from(text: String) -> Result<Self, ClientOrderIdError> {
        text.parse()
    }
}

impl From<ClientOrderId> for String {
    fn from(id: ClientOrderId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
