//! Risk: what may be traded, how much of it, and when everything stops.

mod approved;
mod halt;
mod verdict;

pub use approved::Approved;
pub use halt::{Halt, HaltKind};
pub use verdict::{Check, CheckName, Verdict};
