use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::LedgerError;
use super::file::{beside, check_folder, private_file, resolved};

/// The right to be the one scheduler of a ledger: an operating system's lock on `<ledger>.lock`, held
/// until this value is dropped or the process dies.
///
/// The lock file stays when the lock is gone: removing it would let two processes hold two locks of
/// one name.
#[derive(Debug)]
pub struct LedgerLock {
    ledger: PathBuf,
    _file: File,
}

impl LedgerLock {
    /// Takes the lock of the ledger at `ledger`, which need not exist yet.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyHeld`] if another process has it; [`LedgerError::MissingFolder`] and
    /// [`LedgerError::ReadOnly`] where no lock file can stand.
    pub fn acquire(ledger: &Path) -> Result<Self, LedgerError> {
        let ledger = &resolved(ledger);
        check_folder(ledger)?;
        let path = beside(ledger, "lock");
        let failed = |source| LedgerError::io("opening the lock file", &path, source);
        let mut file =
            private_file().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What the file says is a courtesy of its holder: without it the message is less precise.
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "unnamed".to_owned() } else { holder.trim().to_owned() };
                return Err(LedgerError::AlreadyHeld { path: ledger.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let name = format!("process {}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(name.as_bytes()))
            .map_err(failed)?;
        Ok(Self { ledger: ledger.to_owned(), _file: file })
    }

    /// Who holds the lock of the ledger at `ledger`, by its own word; `None` if nobody does.
    ///
    /// # Errors
    /// If there is a lock file that cannot be read.
    pub fn holder(ledger: &Path) -> Result<Option<String>, LedgerError> {
        let path = beside(&resolved(ledger), "lock");
        let failed = |source| LedgerError::io("reading the lock file", &path, source);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Shared, and let go at once: several may look at the same time.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(failed)?;
                Ok(Some(holder.trim().to_owned()))
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The ledger that is locked.
    #[must_use]
    pub fn ledger(&self) -> &Path {
        &self.ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("day.db");
        let first = LedgerLock::acquire(&ledger).unwrap();
        let refused = LedgerLock::acquire(&ledger).unwrap_err();
        let LedgerError::AlreadyHeld { holder, path } = &refused else { panic!("{refused}") };
        assert_eq!(*holder, format!("process {}", std::process::id()));
        assert_eq!(path, &ledger);
        assert_eq!(LedgerLock::holder(&ledger).unwrap().as_ref(), Some(holder));
        drop(first);
        assert_eq!(LedgerLock::holder(&ledger).unwrap(), None);
        LedgerLock::acquire(&ledger).unwrap();
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = LedgerLock::acquire(&folder.path().join("nowhere").join("day.db")).unwrap_err();
        assert!(matches!(refused, LedgerError::MissingFolder { .. }), "{refused}");
    }
}
