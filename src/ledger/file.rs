//! The ledger as a file, before SQLite looks at it: what stands at its path, and what belongs beside it.

use std::fs::{self, OpenOptions as FileOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::LedgerError;

/// The first bytes of every SQLite file.
const SQLITE_HEADER: &[u8; 16] = b"SQLite format 3\0";
/// Symbolic links that are followed one after another: what Linux does, too.
const LINKS_MAX: usize = 40;

/// A file's path with more at its end.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `<ledger>.<suffix>`: where what belongs to a ledger stands beside it.
pub(super) fn beside(ledger: &Path, suffix: &str) -> PathBuf {
    suffixed(ledger, &format!(".{suffix}"))
}

/// Options of a file that only its owner may read, whatever the process's mask.
pub(super) fn private_file() -> FileOptions {
    let mut options = FileOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Fails unless the folder that `path` stands in exists.
pub(super) fn check_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if folder.is_dir() { Ok(()) } else { Err(LedgerError::MissingFolder { folder: folder.to_owned() }) }
}

/// What stands at a path before SQLite looks at it.
pub(super) enum Found {
    Nothing,
    /// A file without a byte: what an interrupted start leaves.
    Empty,
    Sqlite,
}

/// Looks at the file itself. SQLite would take text for an encrypted database, and would make what is
/// not there.
pub(super) fn look(path: &Path) -> Result<Found, LedgerError> {
    check_folder(path)?;
    let reading = |source| LedgerError::io("reading", path, source);
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(reading(error)),
    };
    let metadata = file.metadata().map_err(reading)?;
    if metadata.is_dir() {
        return Err(LedgerError::NotALedger { path: path.to_owned(), what: "it is a folder" });
    }
    if metadata.permissions().readonly() {
        return Err(LedgerError::ReadOnly { path: path.to_owned() });
    }
    let mut head = Vec::with_capacity(SQLITE_HEADER.len());
    file.take(SQLITE_HEADER.len() as u64).read_to_end(&mut head).map_err(reading)?;
    if head.is_empty() {
        return Ok(Found::Empty);
    }
    if head != SQLITE_HEADER {
        return Err(LedgerError::NotALedger { path: path.to_owned(), what: "it is not an SQLite file" });
    }
    Ok(Found::Sqlite)
}

/// Whether a write-ahead log with something in it stands beside the file.
pub(super) fn has_log(path: &Path) -> bool {
    fs::metadata(suffixed(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Fails where the file has a second name: under each of them another process would find its own lock and its own log.
pub(super) fn check_has_one_name(path: &Path) -> Result<(), LedgerError> {
    #[cfg(unix)]
    {
        let names = fs::metadata(path).map_or(1, |file| std::os::unix::fs::MetadataExt::nlink(&file));
        if names > 1 {
            return Err(LedgerError::Refused {
                what: "ledger",
                key: path.display().to_string(),
                reason: format!(
                    "the file has {names} names (hard links), and two programs could work on it: copy it with `trade ledger backup` instead"
                ),
            });
        }
    }
    Ok(())
}

/// The file that a path leads to where it is a symbolic link, whether the file is there yet or not: what belongs to a
/// ledger stands beside the file itself, under its own name.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    let mut file = path.to_owned();
    for _ in 0..LINKS_MAX {
        match (fs::read_link(&file), file.parent()) {
            (Ok(target), Some(folder)) => file = folder.join(target),
            (Ok(target), None) => file = target,
            (Err(_), _) => break,
        }
    }
    file
}

/// What makes a file this one, whatever it is called: its device and its number there. `None` where the system does not tell.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Whether there is an SQLite file; anything else that is there is an error.
pub(super) fn look_is_sqlite(path: &Path) -> Result<bool, LedgerError> {
    match look(path)? {
        Found::Sqlite => Ok(true),
        Found::Nothing => Ok(false),
        Found::Empty => Err(LedgerError::NotALedger { path: path.to_owned(), what: "it is empty" }),
    }
}
