//! What tests share: a market that does as it is told.

pub mod market;
