//! Where bars, quotes and news come from.
//!
//! [`simulated`] makes them up from a seed, [`files`] reads them from CSV, [`alpaca`] asks for them. All answer
//! a question about an instant with what was known at that instant, so a job cannot look ahead by mistake.

pub mod alpaca;
pub mod files;
pub mod simulated;
