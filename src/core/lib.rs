//! The decisions of Daybook.
//!
//! Nothing in this crate performs I/O, reads a clock or draws a random number: every function's
//! answer follows from its arguments alone. That is what makes a recorded day decidable again, and
//! a replayed day the live program under another clock.
//!
//! The way of a decision: [`market`] facts become features, a strategy's signals, risk's verdicts and
//! intents; fills come back and are folded into positions.

pub mod alert;
pub mod market;
pub mod money;
pub mod order;
pub mod time;
