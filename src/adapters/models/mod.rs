//! Models that are asked what they make of a symbol: programs on this machine. Services that are asked over a network
//! come with the live feeds.

mod command;

pub use command::{CommandScorer, ScorerSettings};
