//! The decisions of Daybook.
//!
//! Nothing in this crate performs I/O, reads a clock or draws a random number: every function's
//! answer follows from its arguments alone. That is what makes a recorded day decidable again, and
//! a replayed day the live program under another clock.
//!
//! The way of a decision: [`market`] facts become features, a [`strategy`]'s signals, [`risk`]'s verdicts and
//! [`order`] intents; fills come back and [`portfolio`] folds them into positions.

pub mod alert;
pub mod analysis;
pub mod audit;
pub mod backtest;
pub mod calendar;
pub mod decision;
pub mod exchange;
pub mod indicators;
pub mod market;
pub mod money;
pub mod optimize;
pub mod order;
pub mod patterns;
pub mod phase;
pub mod portfolio;
pub mod reconcile;
pub mod report;
pub mod risk;
pub mod schedule;
pub mod statistics;
pub mod strategy;
pub mod time;
