//! The ledger: one SQLite file in which every fact, decision, order and fill is a row.
//!
//! - [`Ledger`] is a handle: [`write`](Ledger::write) runs one `BEGIN IMMEDIATE` transaction on the one
//!   writer thread, [`read`](Ledger::read) one snapshot on a connection that cannot write.
//! - Each file beside this one is one aggregate: its SQL, as named constants, and the functions on a
//!   [`Transaction`] or a [`Connection`] that run it. No SQL stands anywhere else in the program.
//! - [`LedgerLock`] keeps a second scheduler out, and the lease's epoch stops one that was thought dead.
//!
//! A commit is one sync of the write-ahead log (`synchronous=FULL`); a simulation, whose ledger can be
//! made again, syncs at checkpoints only.

pub mod alert;
pub mod approval;
pub mod backup;
pub mod bar;
pub mod chat;
pub mod check;
mod codec;
pub mod command;
pub mod day;
pub mod decision;
pub mod equity;
mod error;
pub mod event;
mod file;
pub mod fill;
pub mod halt;
mod handle;
pub mod history;
pub mod intent;
pub mod lease;
mod lock;
pub mod meta;
mod migrate;
pub mod model;
mod open;
pub mod order;
pub mod pause;
pub mod phase;
pub mod position;
pub mod prune;
pub mod query;
pub mod record;
mod refold;
pub mod regime;
pub mod run;
pub mod run_facts;
pub mod script;
pub mod settings;
pub mod signal;
pub mod view;
pub mod week;
pub mod why;
mod writer;

use daybook_core::time::{SessionDate, Timestamp};

pub use error::LedgerError;
pub use file::resolved;
pub use handle::{Gate, Ledger};
pub use lease::Lease;
pub use lock::LedgerLock;
pub use meta::{LedgerKind, Meta};
pub use migrate::schema_version;
pub use open::{NewLedger, OpenOptions};
pub use rusqlite::{Connection, Transaction};

/// The date in New York at an instant: the session that a fill or a position belongs to.
fn new_york_date(at: Timestamp) -> SessionDate {
    at.date_in(chrono_tz::America::New_York)
}

/// The instants at which a date begins and ends in New York.
fn new_york_day(date: SessionDate) -> (Timestamp, Timestamp) {
    let midnight = |date: SessionDate| Timestamp::from_wall(date.0.into(), chrono_tz::America::New_York);
    (midnight(date), midnight(date.plus_days(1)))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod view_tests;
