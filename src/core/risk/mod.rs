//! Risk: what may be traded, how much of it, and when everything stops.

mod approved;
mod halt;
mod look;
mod verdict;

pub use approved::Approved;
pub use halt::{Halt, HaltKind};
pub use look::{DayLevel, Look, SeenMark};
pub use verdict::{Check, CheckName, Verdict};
