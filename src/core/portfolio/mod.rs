//! Fills fold into positions, cash and profit.

mod position;

pub use position::{Position, PositionChange, PositionEvent, PositionState};
