//! Copies of the ledger while it is in use.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::LedgerError;
use super::open::private_file;

/// Pages copied at a time; between two steps others may write.
const PAGES_PER_STEP: i32 = 1_000;
/// The pause between two steps.
const STEP_PAUSE: Duration = Duration::from_millis(1);

/// Copies the database behind `conn` to a new file that only its owner may read.
pub(super) fn copy_to(conn: &Connection, target: &Path) -> Result<(), LedgerError> {
    private_file()
        .write(true)
        .create_new(true)
        .open(target)
        .map_err(|source| LedgerError::io("making the backup", target, source))?;
    let mut copy = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Backup::new(conn, &mut copy)?.run_to_completion(PAGES_PER_STEP, STEP_PAUSE, None)?;
    Ok(())
}
