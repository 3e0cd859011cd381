//! The clocks: the system's, and one that is told what time it is.
//!
//! Nothing else in Daybook reads a time (clippy's `disallowed-methods` holds that), so a replayed day
//! is the live program under [`SimulatedClock`].

mod simulated;
mod system;

pub use simulated::{SimulatedClock, Speed, SpeedError};
pub use system::SystemClock;
