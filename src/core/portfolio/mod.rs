//! Fills fold into positions, cash and profit.
//!
//! A fill is a fact; everything else here follows from the fills in their order, so it can be derived
//! again and compared. [`book()`] is one step of the fold, [`Book`] the account that it leads to. A
//! closed [`Position`] is a trade.

mod book;
mod position;

pub use book::{Book, Booked, Effect, EntryPlan, FillOrigin, book, sort_fills};
pub use position::{ADOPTED, Position, PositionChange, PositionEvent, PositionState, PositionStateError};
