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

mod backup;
mod codec;
mod error;
mod handle;
pub mod lease;
mod lock;
pub mod meta;
mod migrate;
mod open;
mod writer;

pub use error::LedgerError;
pub use handle::Ledger;
pub use lease::Lease;
pub use lock::LedgerLock;
pub use meta::{LedgerKind, Meta};
pub use migrate::schema_version;
pub use open::{NewLedger, OpenOptions};
pub use rusqlite::{Connection, Transaction};

#[cfg(test)]
pub(crate) mod testing;
