//! The broker Interactive Brokers, by way of its gateway (or Trader Workstation), which runs beside this process and
//! holds the login.
//!
//! The gateway knows no key under which an order is sent once, so the order's reference is it: every order carries
//! the client order id that the ledger had committed before, with its part in the group (`terms`). Nothing else has
//! to survive a kill: which orders were sent is read from the gateway when a connection begins, by their references;
//! the numbers of new orders go on after the highest that the gateway names or shows.
//!
//! A `session` lasts from a handshake to the end of its connection and is never mended: the next call begins another
//! one, by the same way as a process that has just started. What the gateway says of its own accord (`answers`)
//! settles whether an order was taken; every fact is asked for. No call is repeated here.

#[cfg(feature = "ibkr")]
mod answers;
#[cfg(feature = "ibkr")]
mod broker;
#[cfg(feature = "ibkr")]
mod fills;
#[cfg(feature = "ibkr")]
mod inspect;
#[cfg(feature = "ibkr")]
mod listing;
#[cfg(feature = "ibkr")]
mod session;
mod settings;
#[cfg(feature = "ibkr")]
mod terms;

#[cfg(feature = "ibkr")]
pub use broker::IbkrBroker;
#[cfg(feature = "ibkr")]
pub use inspect::Inspection;
pub use settings::IbkrSettings;

#[cfg(feature = "ibkr")]
use crate::ports::BrokerError;

/// The broker's name, for people.
#[cfg(feature = "ibkr")]
const NAME: &str = "ibkr";

#[cfg(feature = "ibkr")]
fn rejected(reason: impl Into<String>) -> BrokerError {
    BrokerError::Rejected { broker: NAME.to_owned(), reason: reason.into() }
}

#[cfg(feature = "ibkr")]
fn retryable(reason: impl Into<String>) -> BrokerError {
    BrokerError::Retryable { broker: NAME.to_owned(), reason: reason.into() }
}

#[cfg(feature = "ibkr")]
fn unknown(reason: impl Into<String>) -> BrokerError {
    BrokerError::Unknown { broker: NAME.to_owned(), reason: reason.into() }
}
