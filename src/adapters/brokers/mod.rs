//! The brokers: one on paper, which is an exchange of its own, Alpaca, and Interactive Brokers.

pub mod alpaca;
mod cursor;
pub mod ibkr;
mod joined;
pub mod paper;
#[cfg(feature = "crash-points")]
pub mod remote;
