//! Strategies: features of a symbol in, a signal or the reason for none out.

mod signal;

pub use signal::{Direction, Reason, Signal};
