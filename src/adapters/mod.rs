//! What we do not control, behind the traits of [`crate::ports`]: each folder holds the
//! implementations of one port.

pub mod alpaca;
pub mod brokers;
pub mod channels;
pub mod clocks;
pub mod dead_man;
mod environment;
pub mod faulty;
pub mod feeds;
mod group;
pub mod models;
mod program;
mod veiled;

pub use environment::Environment;
pub use veiled::Veiled;
