//! Copies of the ledger while it is in use, and the way back.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use daybook_core::time::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::event::{self, Event, EventLevel};
use super::file::{beside, check_folder, look_is_sqlite, private_file, suffixed};
use super::open::{check_is_ours, quick_check};
use super::{Ledger, LedgerError, LedgerLock, Meta, meta};

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the restored ledger is.
    pub meta: Meta,
    /// Where the file that was there before is kept; `None` if there was none.
    pub replaced: Option<PathBuf>,
}

impl Ledger {
    /// Copies the ledger, as of one instant, to a new file that only its owner may read, and checks the
    /// copy. Others go on reading and writing meanwhile.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] if a file is there already; otherwise what keeps the copy from being
    /// made, and then no file is left.
    pub fn back_up(&self, target: &Path) -> Result<(), LedgerError> {
        self.read(|conn| copy_to(conn, target))
    }

    /// Writes the ledger, whose file was taken away while it was open, to where it stood; beside it if something else stands
    /// there. The answer is where it is. This handle still writes to the file that has no name: the process must end.
    ///
    /// # Errors
    /// What keeps the copy from being made.
    pub async fn put_back(&self, now: Timestamp) -> Result<PathBuf, LedgerError> {
        let path = self.path().to_owned();
        let copy = beside(&path, &format!("rescued-{}", now.0));
        let target = copy.clone();
        // The writing connection has the file open; one for reading might find another under its name.
        self.on_writer(move |conn| copy_to(conn, &target)).await?;
        if path.exists() {
            return Ok(copy);
        }
        // A log that was left behind belongs to the file that is gone.
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&suffixed(&path, suffix))?;
        }
        fs::rename(&copy, &path).map_err(|source| LedgerError::io("putting back", &path, source))?;
        sync_folder(&path)?;
        Ok(path)
    }
}

/// Copies the database behind `conn` to a new file that only its owner may read, and checks the copy.
pub(super) fn copy_to(conn: &Connection, target: &Path) -> Result<(), LedgerError> {
    check_folder(target)?;
    if target.exists() {
        return Err(LedgerError::Refused {
            what: "backup",
            key: target.display().to_string(),
            reason: "a file of this name is there already: name another one, or remove it first".to_owned(),
        });
    }
    // Half a copy is worse than none: it has the name only when it is whole.
    let part = beside(target, "part");
    remove_if_there(&part)?;
    let making = |source| LedgerError::io("making the backup", target, source);
    private_file().write(true).create_new(true).open(&part).map_err(making)?;
    let copied = fill(conn, &part).and_then(|()| fs::rename(&part, target).map_err(making));
    if copied.is_err() {
        // What keeps it from being removed is not the error to tell.
        let _ = fs::remove_file(&part);
    }
    copied
}

/// Copies all pages in one step: in a write-ahead log a reader keeps its snapshot and blocks nobody,
/// while a copy in several steps starts again with each commit in between.
fn fill(conn: &Connection, target: &Path) -> Result<(), LedgerError> {
    const ALL_PAGES: i32 = -1;
    let mut copy = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let step = Backup::new(conn, &mut copy)?.step(ALL_PAGES)?;
    crash_point!("backup.copied");
    match step {
        StepResult::Done => {
            // What the tables demand of a row held when it was written: a copy can only be wrong in its pages.
            copy.pragma_update(None, "ignore_check_constraints", true)?;
            quick_check(&copy)
        }
        // Only a lock on the source keeps one step from copying everything.
        _ => Err(LedgerError::Busy),
    }
}

/// Puts a backup in the ledger's place. The backup must be a sound ledger of a version that this
/// program knows; the file that is replaced is kept beside it. The restored ledger's schema is brought
/// up to date when it is opened.
///
/// # Errors
/// What keeps the backup from being a ledger: [`LedgerError::NotFound`], [`LedgerError::NotALedger`],
/// [`LedgerError::NewerVersion`], [`LedgerError::Corrupt`]; and what keeps files from being written. The
/// ledger in place is untouched then.
pub fn restore(held: &LedgerLock, backup: &Path, now: Timestamp) -> Result<Restored, LedgerError> {
    let ledger = held.ledger();
    if !look_is_sqlite(backup)? {
        return Err(LedgerError::NotFound { path: backup.to_owned() });
    }
    let source = Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_is_ours(&source, backup)?;
    quick_check(&source)?;
    let meta = meta::load(&source)?
        .ok_or_else(|| LedgerError::NotALedger { path: backup.to_owned(), what: "its making was interrupted" })?;

    let incoming = beside(ledger, "restoring");
    remove_if_there(&incoming)?;
    copy_to(&source, &incoming)?;
    note_restore(&incoming, backup, now)?;
    let renaming = |source| LedgerError::io("restoring", ledger, source);
    let kept = beside(ledger, &format!("replaced-{}", now.0));
    let replaced = ledger.exists().then(|| kept.clone());
    // The log and its index belong to the file: without them its last commits are lost, and what a restore that was
    // interrupted left of them must not meet another file.
    for suffix in ["", "-wal", "-shm"] {
        match fs::rename(suffixed(ledger, suffix), suffixed(&kept, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(renaming(error)),
        }
    }
    fs::rename(&incoming, ledger).map_err(renaming)?;
    sync_folder(ledger)?;
    Ok(Restored { meta, replaced })
}

/// Leaves a word in the restored ledger: what happened between the backup and now is known from the broker alone.
fn note_restore(incoming: &Path, backup: &Path, now: Timestamp) -> Result<(), LedgerError> {
    let mut conn = Connection::open_with_flags(incoming, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let tx = conn.transaction()?;
    let message = format!("{} was put in the ledger's place", backup.display());
    event::record(&tx, &Event::new(now, EventLevel::Info, event::RESTORED, message))?;
    tx.commit()?;
    conn.close().map_err(|(_, error)| error.into())
}

fn remove_if_there(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LedgerError::io("replacing", path, error)),
    }
}

/// Makes the renames in a file's folder durable.
fn sync_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| LedgerError::io("syncing", folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{OPEN, TestLedger};
    use crate::ledger::{OpenOptions, meta};

    fn stand_at(ledger: &Ledger, now: i64) {
        ledger.write_blocking(move |tx| meta::set_simulated_now(tx, Timestamp(now))).unwrap();
    }

    fn stands_at(path: &Path) -> Option<Timestamp> {
        Ledger::open(path, &OpenOptions::existing()).unwrap().read(meta::simulated_now).unwrap()
    }

    #[test]
    fn a_backup_is_the_ledger_as_it_was() {
        let day = TestLedger::new();
        let copy = day.folder().join("copy.db");
        stand_at(&day.ledger, 1);
        day.ledger.back_up(&copy).unwrap();
        stand_at(&day.ledger, 2);
        assert_eq!(stands_at(&copy), Some(Timestamp(1)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let again = day.ledger.back_up(&copy).unwrap_err();
        assert!(again.to_string().contains("a file of this name is there already"), "{again}");
        let nowhere = day.ledger.back_up(&day.folder().join("missing").join("copy.db")).unwrap_err();
        assert!(matches!(nowhere, LedgerError::MissingFolder { .. }), "{nowhere}");
    }

    #[test]
    fn a_restore_keeps_what_it_replaces() {
        let day = TestLedger::new();
        let copy = day.folder().join("copy.db");
        stand_at(&day.ledger, 1);
        day.ledger.back_up(&copy).unwrap();
        stand_at(&day.ledger, 2);
        let (path, folder) = day.close();
        let lock = LedgerLock::acquire(&path).unwrap();
        let restored = restore(&lock, &copy, OPEN).unwrap();
        assert_eq!(stands_at(&path), Some(Timestamp(1)));
        let replaced = restored.replaced.unwrap();
        assert_eq!(replaced, folder.path().join(format!("day.db.replaced-{}", OPEN.0)));
        assert_eq!(stands_at(&replaced), Some(Timestamp(2)));
        assert_eq!(stands_at(&copy), Some(Timestamp(1)));
    }

    #[test]
    fn what_is_no_ledger_is_not_restored() {
        let day = TestLedger::new();
        stand_at(&day.ledger, 1);
        let (path, folder) = day.close();
        let lock = LedgerLock::acquire(&path).unwrap();
        let text = folder.path().join("notes.txt");
        fs::write(&text, "not a database").unwrap();
        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE song (title TEXT)").unwrap();
        for file in [&text, &other] {
            assert!(matches!(restore(&lock, file, OPEN), Err(LedgerError::NotALedger { .. })), "{}", file.display());
        }
        let missing = folder.path().join("missing.db");
        assert!(matches!(restore(&lock, &missing, OPEN), Err(LedgerError::NotFound { .. })));
        assert_eq!(stands_at(&path), Some(Timestamp(1)));
    }
}
