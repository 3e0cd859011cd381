//! The paper exchange: the matching engine behind Alpaca's HTTP and websocket API.
//!
//! What trades is [`daybook_core::exchange`]; this module gives it accounts that are known by their keys,
//! a market, a clock, a file, and the words of Alpaca's API, so that any client of Alpaca can trade
//! against it, offline and always in the same way.
//!
//! - `venue`: the accounts (`desk`) and the market on one clock, behind one lock. Every call first lets happen
//!   what has happened in the meantime.
//! - `store`: the file. A change is made in memory under the lock and handed to one writer, which puts all
//!   changes that wait into one transaction. An order is answered, and told on streams, after that
//!   transaction is on the disk: many requests share one sync.
//! - `request`, `wire`: what clients send and get, as the contract of the API has it.
//! - `trading`, `data`, `streams`: the endpoints. `admin`: steering the market, the clock and faults, for
//!   callers on this machine only.
//!
//! Ids are not looked up but read: an order's UUID holds its account and its number.

mod admin;
mod clock;
mod data;
mod desk;
mod faults;
mod market;
mod msgpack;
mod problem;
mod request;
mod server;
mod store;
mod streams;
mod trading;
mod venue;
mod views;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use daybook_core::calendar::Calendar;
use daybook_core::money::{Bps, Money};

use crate::ports::MarketFeed;

pub use clock::ClockMode;
pub use server::{Server, serve};
pub use store::StoreError;

/// An account's key and secret, as a client sends them in its headers.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `APCA-API-KEY-ID`.
    pub key: String,
    /// `APCA-API-SECRET-KEY`.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.key)
    }
}

/// What an exchange is made of.
pub struct PaperExchangeSettings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The file of its accounts, orders and executions; made if it is not there.
    pub file: PathBuf,
    /// Who may trade; each key is an account of its own.
    pub accounts: Vec<Credentials>,
    /// The cash of a new account.
    pub cash: Money,
    /// Where prices come from.
    pub feed: Arc<dyn MarketFeed>,
    /// When there is trading.
    pub calendar: Calendar,
    /// What time it is.
    pub clock: ClockMode,
    /// How orders fill.
    pub fills: FillRules,
}

/// How well and how far orders fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillRules {
    /// By how much market and stop orders fill worse than the price they meet.
    pub slippage: Bps,
    /// The part of a bar's volume that an account's orders may take; what is left of them waits.
    pub participation: Bps,
}

impl Default for FillRules {
    /// As the service's own paper trading has it: no slippage, and all of what there is.
    fn default() -> Self {
        Self { slippage: Bps::ZERO, participation: Bps::ONE }
    }
}

/// Why an exchange cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PaperExchangeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: name another with --listen, or end the program that holds it")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// No account or two of one key.
    #[error("{0}")]
    Accounts(String),
    /// The file cannot be used.
    #[error("the exchange's file cannot be used")]
    Store(#[from] StoreError),
    /// The feed does not say what trades.
    #[error("the market does not say what trades")]
    Feed(#[from] crate::ports::FeedError),
}
