use std::io;
use std::path::PathBuf;

/// Why a paper account cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// The file cannot be made.
    #[error("cannot make the paper account {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    /// The file is something else.
    #[error("{} is not a paper account: {what}; name another file", path.display())]
    NotAnAccount { path: PathBuf, what: &'static str },
    /// A later Daybook has written it.
    #[error("the paper account {} has schema {found}, this program knows {known}: use the newer program", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// The file system or SQLite says no.
    #[error("{doing} the paper account {}", path.display())]
    Sqlite { doing: &'static str, path: PathBuf, source: rusqlite::Error },
    /// A commit was cut short: it may have been made, or not.
    #[error("committing to the paper account {}", path.display())]
    Commit { path: PathBuf, source: rusqlite::Error },
    /// Another process has written to the account meanwhile.
    #[error("another process has just traded on the paper account {}", path.display())]
    Overtaken { path: PathBuf },
}
