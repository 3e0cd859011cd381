//! Daybook runs a trading day unattended, and keeps every fact, decision, order and fill in one
//! SQLite ledger.
//!
//! Start with `src/ARCHITECTURE.md`: it shows the way of the data and what each module is for.

#[macro_use]
mod crash;

pub mod adapters;
pub mod api;
pub mod cli;
pub mod config;
pub mod digest;
pub mod engine;
pub mod jobs;
pub mod ledger;
pub mod logging;
pub mod outbox;
pub mod page;
pub mod paper_exchange;
pub mod ports;
pub mod process;
pub mod scripting;
pub mod simulation;
pub mod tear_sheet;
pub mod terminal;
pub mod wiring;
