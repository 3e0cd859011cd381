//! The brokers: one on paper, which is an exchange of its own, and Alpaca.

pub mod alpaca;
pub mod paper;
#[cfg(feature = "crash-points")]
pub mod remote;
