//! What tests share: a market that does as it is told, and whole simulated days.

pub mod market;
pub mod simulation;
