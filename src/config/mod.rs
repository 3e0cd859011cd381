//! Configuration.

mod node;
mod problem;
mod read;

pub use problem::{ConfigError, Origin, Problem};
