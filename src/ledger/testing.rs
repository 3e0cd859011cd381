//! Ledgers for tests: real files in a folder that goes away.

use std::path::{Path, PathBuf};

use daybook_core::time::Timestamp;
use tempfile::TempDir;

use super::{Ledger, LedgerKind, NewLedger, OpenOptions};

/// A fresh ledger of a simulation, removed when dropped.
pub(crate) struct TestLedger {
    pub(crate) ledger: Ledger,
    folder: TempDir,
}

impl TestLedger {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger =
            Ledger::open(&folder.path().join("day.db"), &OpenOptions::create_or_open(new_simulation())).unwrap();
        Self { ledger, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.ledger.path()
    }

    /// Closes the ledger; its files stay until the folder is dropped.
    pub(crate) fn close(self) -> (PathBuf, TempDir) {
        (self.ledger.path().to_owned(), self.folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) fn new_simulation() -> NewLedger {
    NewLedger::simulated(LedgerKind::Simulation, "paper", "seed 1", Timestamp(1_000))
}
