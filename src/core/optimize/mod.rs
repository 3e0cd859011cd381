//! The search for settings: which are tried, which of them are whose share, and what a choice among them would have been worth.
//!
//! A [`Space`] is every combination of the values of some keys; a grid search tries all of them, a random search a seeded draw.
//! Each trial leaves the returns of its sessions behind. [`walk_forward`] chooses among the trials on past sessions alone,
//! and says what the choice earned on the next ones; how much of a best result is luck, [`Trials`](crate::statistics::Trials) and
//! [`Returns::sign_test`](crate::statistics::Returns::sign_test) say.

mod space;
mod walk_forward;

pub use space::{Axis, Shard, ShardError, Space, SpaceError};
pub use walk_forward::{Fold, Windows, WindowsError, walk_forward};
