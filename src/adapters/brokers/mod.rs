//! The brokers: one on paper, which is an exchange of its own.

pub mod paper;
#[cfg(feature = "crash-points")]
pub mod remote;
