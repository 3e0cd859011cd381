use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::LedgerKind;

/// What can go wrong with a ledger. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no file.
    #[error("there is no ledger at {}: start `scheduler` to make one, or name another file with --ledger", path.display())]
    NotFound { path: PathBuf },
    /// The folder of the file is missing.
    #[error("the folder {} does not exist, so no ledger can be kept in it: make it, or name another file with --ledger", folder.display())]
    MissingFolder { folder: PathBuf },
    /// The file is something else.
    #[error("{} is not a Daybook ledger ({what}): it was not touched; name the right file with --ledger", path.display())]
    NotALedger { path: PathBuf, what: &'static str },
    /// The file holds a simulation where a live ledger is wanted, or the like.
    #[error("{} is the ledger of a {}, not of a {}: name another file with --ledger", path.display(), found.described(), wanted.described())]
    OtherKind { path: PathBuf, found: LedgerKind, wanted: LedgerKind },
    /// A newer program has written it.
    #[error("{} has schema version {found}, and this program knows versions up to {known}: run the newer program, or restore a backup made before the upgrade", path.display())]
    NewerVersion { path: PathBuf, found: u32, known: u32 },
    /// Another process holds the lock.
    #[error("another process ({holder}) holds the ledger {}: stop it first, or name another file with --ledger", path.display())]
    AlreadyHeld { path: PathBuf, holder: String },
    /// The file was removed, or replaced, under a process that had it open.
    #[error(
        "the ledger {} was removed or replaced while it was in use; it is kept as {}: start the scheduler again if that is its place, or put it back with `trade ledger restore`",
        path.display(), kept.display()
    )]
    TakenAway { path: PathBuf, kept: PathBuf },
    /// A later holder has taken the lease: this one must stop.
    #[error(
        "the ledger was taken over (epoch {found}, this process holds {held}): this process must stop; start it again if the other one is gone"
    )]
    LeaseLost { held: i64, found: i64 },
    /// No room is left; nothing of the transaction was written.
    #[error(
        "no room is left for the ledger: free some space on its disk; the transaction was not written, all earlier ones stand"
    )]
    DiskFull,
    /// The file or its folder cannot be written.
    #[error("{} cannot be written: give its owner write permission on it and its folder, run as that owner, or move it to a file system that is not mounted read-only", path.display())]
    ReadOnly { path: PathBuf },
    /// SQLite found the file damaged.
    #[error(
        "the ledger is damaged ({detail}): stop the scheduler, keep the file, and run `trade ledger restore` with the last good backup"
    )]
    Corrupt { detail: String },
    /// Another process kept the write lock for longer than the time-out.
    #[error("the ledger was busy for five seconds: another process keeps a transaction open; close it and try again")]
    Busy,
    /// The file system said no.
    #[error("{operation} {} failed", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// The schema could not be brought up to date; the file is as it was.
    #[error("the schema of {} could not be brought up to date; the file is as it was before", path.display())]
    Migration { path: PathBuf, source: Box<refinery::Error> },
    /// SQLite refused a statement: a broken constraint or a mistake of ours.
    #[error("the ledger refused a statement")]
    Sql(#[source] rusqlite::Error),
    /// A value could not be turned into JSON, or back.
    #[error("a value does not fit its stored form")]
    Json(#[from] serde_json::Error),
    /// A row that was asked for by its key is not there.
    #[error("there is no {what} {key} in the ledger")]
    NoSuchRow { what: &'static str, key: String },
    /// A row cannot change as asked.
    #[error("{what} {key}: {reason}")]
    Refused { what: &'static str, key: String, reason: String },
    /// A closure panicked inside a transaction, which was rolled back.
    #[error("a transaction panicked and was rolled back: {message}")]
    Panicked { message: String },
    /// The writer thread has ended.
    #[error("the ledger is closed")]
    Closed,
    /// The operating system gave no randomness for a new ledger's identity.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

impl LedgerError {
    /// What SQLite says of a file that is there and cannot be opened: its log or its index cannot be made beside it,
    /// as on a file system that is mounted read-only.
    pub(super) fn at_opening(self, path: &Path) -> Self {
        match &self {
            Self::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
                Self::ReadOnly { path: path.to_owned() }
            }
            _ => self,
        }
    }

    /// Names what the file system said about `path`.
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path: path.to_owned() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::IsADirectory => Self::NotALedger { path: path.to_owned(), what: "it is a folder" },
            _ => Self::Io { operation, path: path.to_owned(), source },
        }
    }

    /// Names a refinery error by the SQLite error inside it, where there is one.
    pub(super) fn migration(path: &Path, error: refinery::Error) -> Self {
        if let refinery::error::Kind::Connection(_, source) = error.kind()
            && let Some(code) = source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code)
        {
            match code {
                ErrorCode::DiskFull => return Self::DiskFull,
                ErrorCode::ReadOnly => return Self::ReadOnly { path: path.to_owned() },
                ErrorCode::DatabaseBusy => return Self::Busy,
                _ => {}
            }
        }
        Self::Migration { path: path.to_owned(), source: Box::new(error) }
    }
}

impl From<rusqlite::Error> for LedgerError {
    /// Gives SQLite's condition its name. The message of a constraint names its table and column.
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { detail: error.to_string() },
            _ => Self::Sql(error),
        }
    }
}
