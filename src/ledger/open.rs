use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daybook_core::time::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sha2::{Digest, Sha256};

use super::file::{Found, beside, check_has_one_name, has_log, look, private_file};
use super::meta::{self, LedgerKind, Meta};
use super::migrate::{KNOWN_VERSION, migrate_to, schema_version};
use super::{LedgerError, LedgerLock};

/// `PRAGMA application_id` of a ledger ("DBK1"); V1 sets it.
const APPLICATION_ID: i64 = 1_145_195_313;
/// How long a transaction waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer, in KiB: enough for a day's pages, small enough for an idle process.
const WRITER_CACHE_KIB: i64 = 2_000;
/// Page cache of a reader, in KiB.
const READER_CACHE_KIB: i64 = 500;
/// Prepared statements that a connection keeps: more than there are, since a list that is one too short for a
/// minute's statements keeps none of them.
const STATEMENTS_KEPT_MAX: usize = 256;
/// The size up to which a start checks the whole file, in bytes: a tenth of a second's work.
const CHECKED_WHOLE_MAX: i64 = 32 * 1024 * 1024;
/// The tables that orders, positions and limits follow from. None of them grows with every minute.
const TRADED_BY: [&str; 12] = [
    "meta",
    "lease",
    "config_version",
    "command",
    "job",
    "intent",
    "broker_order",
    "position",
    "fill",
    "fill_cursor",
    "session_equity",
    "halt",
];
/// What the write-ahead log is cut back to after a checkpoint, in bytes.
const WAL_KEPT_MAX: i64 = 16 * 1024 * 1024;
/// Pages in the write-ahead log at which a simulation copies them to the file: four times SQLite's own
/// measure, since nobody waits for its disk.
const SIMULATED_CHECKPOINT: i64 = 4_000;

/// What a ledger is made as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLedger {
    /// Eight hexadecimal digits.
    pub ledger_id: String,
    /// Whose days it will hold.
    pub kind: LedgerKind,
    /// The account it will keep.
    pub account: String,
    /// What a simulation or a replay was started with.
    pub arguments: Option<String>,
    /// When it is made.
    pub created_at: Timestamp,
}

impl NewLedger {
    /// A live ledger with an identity drawn at random.
    ///
    /// # Errors
    /// If the operating system has no randomness.
    pub fn live(account: &str, created_at: Timestamp) -> Result<Self, LedgerError> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(LedgerError::Random)?;
        Ok(Self {
            ledger_id: hex(&bytes),
            kind: LedgerKind::Live,
            account: account.to_owned(),
            arguments: None,
            created_at,
        })
    }

    /// The ledger of a simulation or a replay. Its identity follows from `arguments`: the same run
    /// twice gives the same order names.
    #[must_use]
    pub fn simulated(kind: LedgerKind, account: &str, arguments: &str, created_at: Timestamp) -> Self {
        let digest = Sha256::digest(arguments);
        Self {
            ledger_id: hex(&digest).chars().take(8).collect(),
            kind,
            account: account.to_owned(),
            arguments: Some(arguments.to_owned()),
            created_at,
        }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// How a ledger is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// What to make where there is no file; `None`: the file must exist. An existing file must be of
    /// this kind.
    pub create: Option<NewLedger>,
    /// Whether SQLite checks the file first (its `quick_check`), as a scheduler's start does: all of a small one,
    /// and of a large one what orders, positions and limits follow from. The night's check is of all of it.
    pub quick_check: bool,
    /// Whether one connection does everything, on its callers' threads: for a process in which one thing
    /// happens at a time. Otherwise writes have a thread of their own.
    pub in_turn: bool,
}

impl OpenOptions {
    /// Opens a file that must exist, of whatever kind, without checking all of it: for commands.
    #[must_use]
    pub fn existing() -> Self {
        Self::default()
    }

    /// Opens or makes a file of this kind and checks all of it: for a scheduler.
    #[must_use]
    pub const fn create_or_open(new: NewLedger) -> Self {
        Self { create: Some(new), quick_check: true, in_turn: false }
    }

    /// The same, in turn if it is so: for a process in which one thing happens at a time.
    #[must_use]
    pub fn in_turn_if(self, in_turn: bool) -> Self {
        Self { in_turn, ..self }
    }
}

/// Opens the connection that will write: the file is there, is ours, is sound and is up to date.
pub(super) fn open_checked(
    path: &Path,
    options: &OpenOptions,
    lock: Option<&LedgerLock>,
) -> Result<(Connection, Meta), LedgerError> {
    match (look(path)?, &options.create) {
        (Found::Nothing, None) => return Err(LedgerError::NotFound { path: path.to_owned() }),
        (Found::Empty, None) => {
            return Err(LedgerError::NotALedger { path: path.to_owned(), what: "it is empty" });
        }
        (Found::Nothing | Found::Empty, Some(_)) if has_log(path) => {
            return Err(LedgerError::Refused {
                what: "ledger",
                key: path.display().to_string(),
                reason: "the file is gone, and what was written last is still beside it, in its -wal: put the file back, or a \
                         backup with `trade ledger restore`"
                    .to_owned(),
            });
        }
        (Found::Nothing, Some(_)) => {
            private_file()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|source| LedgerError::io("making", path, source))?;
        }
        (Found::Empty | Found::Sqlite, Some(_)) | (Found::Sqlite, None) => {}
    }
    if options.create.is_some() {
        check_has_one_name(path)?;
    }
    let mut conn = connect(path)?;
    check_is_ours(&conn, path)?;
    configure_writer(&conn, path)?;
    if options.quick_check {
        check_at_start(&conn)?;
    }
    prepare(&mut conn, path, options, lock)?;
    let meta = meta::load(&conn)?
        .ok_or_else(|| LedgerError::NotALedger { path: path.to_owned(), what: "its making was interrupted" })?;
    if let Some(new) = &options.create
        && new.kind != meta.kind
    {
        return Err(LedgerError::OtherKind { path: path.to_owned(), found: meta.kind, wanted: new.kind });
    }
    conn.pragma_update(None, "synchronous", synchronous(meta.kind))?;
    if meta.kind != LedgerKind::Live {
        conn.pragma_update_and_check(None, "wal_autocheckpoint", SIMULATED_CHECKPOINT, |_| Ok(()))?;
    }
    Ok((conn, meta))
}

/// Brings the schema up to date and writes a new file's identity, under the lock.
fn prepare(
    conn: &mut Connection,
    path: &Path,
    options: &OpenOptions,
    lock: Option<&LedgerLock>,
) -> Result<(), LedgerError> {
    let complete = |conn: &Connection| -> Result<bool, LedgerError> {
        Ok(schema_version(conn)? == KNOWN_VERSION && meta::load(conn)?.is_some())
    };
    if complete(conn)? {
        return Ok(());
    }
    let _held = match lock {
        Some(_) => None,
        None => Some(LedgerLock::acquire(path)?),
    };
    // Read again under the lock: another process may just have done it.
    let version = schema_version(conn)?;
    if version > 0 && version < KNOWN_VERSION {
        back_up_before_migration(conn, path, version)?;
    }
    crash_point!("migrate.before");
    migrate_to(conn, path, KNOWN_VERSION)?;
    crash_point!("migrate.after");
    if let Some(new) = &options.create
        && meta::load(conn)?.is_none()
    {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        meta::create(&tx, new)?;
        crash_point!("identity.before");
        tx.commit()?;
        crash_point!("identity.after");
    }
    Ok(())
}

/// A connection that reads only.
pub(super) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let conn = connect(path)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
    // A plan that leans on a bound value (a partial index does) would be made anew at every execution.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(conn)
}

pub(super) fn check_is_ours(conn: &Connection, path: &Path) -> Result<(), LedgerError> {
    let not_ours = |what| LedgerError::NotALedger { path: path.to_owned(), what };
    let application_id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(|error| {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => not_ours("it is not an SQLite file"),
            _ => error.into(),
        }
    })?;
    if application_id == APPLICATION_ID {
        let found = schema_version(conn)?;
        if found > KNOWN_VERSION {
            return Err(LedgerError::NewerVersion { path: path.to_owned(), found, known: KNOWN_VERSION });
        }
        return Ok(());
    }
    // A file whose making was interrupted may hold the migrations' own table, and nothing else.
    let tables: i64 = conn.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> 'refinery_schema_history'",
        [],
        |row| row.get(0),
    )?;
    if application_id == 0 && tables == 0 { Ok(()) } else { Err(not_ours("it is another program's database")) }
}

fn configure_writer(conn: &Connection, path: &Path) -> Result<(), LedgerError> {
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(|error| {
            match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
                    LedgerError::ReadOnly { path: path.to_owned() }
                }
                _ => error.into(),
            }
        })?;
    if mode != "wal" {
        return Err(LedgerError::Refused {
            what: "ledger",
            key: path.display().to_string(),
            reason: format!(
                "its file system keeps it from using a write-ahead log (journal mode {mode}): put it on a local disk"
            ),
        });
    }
    conn.pragma_update(None, "synchronous", synchronous(LedgerKind::Live))?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_MAX, |_| Ok(()))?;
    Ok(())
}

/// With `NORMAL` a power cut may lose the last commits, and no kill test would show it.
const fn synchronous(kind: LedgerKind) -> &'static str {
    match kind {
        LedgerKind::Live => "FULL",
        LedgerKind::Simulation | LedgerKind::Replay => "NORMAL",
    }
}

/// Checks as much of the file as a start has time for. That the end of the file is missing SQLite itself notices.
fn check_at_start(conn: &Connection) -> Result<(), LedgerError> {
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page_size: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    if pages.saturating_mul(page_size) <= CHECKED_WHOLE_MAX || schema_version(conn)? == 0 {
        return quick_check(conn);
    }
    for table in TRADED_BY {
        let found: String = conn.query_row(&format!("PRAGMA quick_check({table})"), [], |row| row.get(0))?;
        if found != "ok" {
            return Err(LedgerError::Corrupt { detail: found });
        }
    }
    Ok(())
}

/// Runs SQLite's check of the file's structure.
pub(super) fn quick_check(conn: &Connection) -> Result<(), LedgerError> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(LedgerError::Corrupt { detail: found }) }
}

/// Copies the file before its schema changes. A copy that an earlier try made is replaced.
fn back_up_before_migration(conn: &Connection, path: &Path, version: u32) -> Result<PathBuf, LedgerError> {
    let copy = beside(path, &format!("V{version}.backup"));
    match fs::remove_file(&copy) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(LedgerError::io("replacing", &copy, error)),
    }
    super::backup::copy_to(conn, &copy)?;
    tracing::info!(event = "ledger.backed_up", path = %copy.display(), version, "the ledger was copied before its schema changes");
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::testing::{TestLedger, new_simulation};

    fn create() -> OpenOptions {
        OpenOptions::create_or_open(new_simulation())
    }

    fn pragma(ledger: &Ledger, name: &'static str) -> i64 {
        ledger.write_blocking(move |tx| Ok(tx.pragma_query_value(None, name, |row| row.get(0))?)).unwrap()
    }

    #[test]
    fn a_live_ledger_syncs_every_commit_and_a_simulation_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let new = NewLedger::live("paper", Timestamp(5)).unwrap();
        let path = folder.path().join("live.db");
        let live = Ledger::open(&path, &OpenOptions::create_or_open(new.clone())).unwrap();
        const FULL: i64 = 2;
        const NORMAL: i64 = 1;
        assert_eq!(pragma(&live, "synchronous"), FULL);
        assert_eq!(pragma(&live, "foreign_keys"), 1);
        assert_eq!(pragma(&live, "busy_timeout"), 5_000);
        let mode: String =
            live.write_blocking(|tx| Ok(tx.pragma_query_value(None, "journal_mode", |row| row.get(0))?)).unwrap();
        assert_eq!(mode, "wal");
        drop(live);
        let again = Ledger::open(&path, &OpenOptions::existing()).unwrap();
        assert_eq!(pragma(&again, "synchronous"), FULL);
        assert_eq!(again.meta().ledger_id, new.ledger_id);
        assert_eq!(pragma(&TestLedger::new().ledger, "synchronous"), NORMAL);
    }

    #[test]
    fn sqlite_is_new_enough() {
        // Versions before 3.51.3 can corrupt a database when the write-ahead log is reset.
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_any_of_its_files() {
        use std::os::unix::fs::PermissionsExt;
        let day = TestLedger::new();
        let lock = LedgerLock::acquire(day.path()).unwrap();
        day.ledger.write_blocking(|tx| meta::set_simulated_now(tx, Timestamp(7))).unwrap();
        let mut names = Vec::new();
        for entry in fs::read_dir(day.folder()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", entry.path().display());
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["day.db", "day.db-shm", "day.db-wal", "day.db.lock"]);
        drop(lock);
    }

    #[test]
    fn what_is_no_ledger_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let open = |path: &Path| Ledger::open(path, &create()).unwrap_err();

        assert!(matches!(Ledger::open(&path("none.db"), &OpenOptions::existing()), Err(LedgerError::NotFound { .. })));
        assert!(!path("none.db").exists());
        assert!(matches!(open(&path("missing/day.db")), LedgerError::MissingFolder { .. }));
        assert!(matches!(open(folder.path()), LedgerError::NotALedger { what: "it is a folder", .. }));

        fs::write(path("text.db"), "symbol,ts_utc,open\n").unwrap();
        assert!(matches!(open(&path("text.db")), LedgerError::NotALedger { what: "it is not an SQLite file", .. }));
        assert_eq!(fs::read_to_string(path("text.db")).unwrap(), "symbol,ts_utc,open\n");

        let other = Connection::open(path("other.db")).unwrap();
        other.execute_batch("CREATE TABLE song (title TEXT); PRAGMA user_version = 3").unwrap();
        drop(other);
        let bytes = fs::read(path("other.db")).unwrap();
        let refused = open(&path("other.db"));
        assert!(
            matches!(refused, LedgerError::NotALedger { what: "it is another program's database", .. }),
            "{refused}"
        );
        assert_eq!(fs::read(path("other.db")).unwrap(), bytes);

        fs::write(path("readonly.db"), b"SQLite format 3\0").unwrap();
        let mut permissions = fs::metadata(path("readonly.db")).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path("readonly.db"), permissions).unwrap();
        assert!(matches!(open(&path("readonly.db")), LedgerError::ReadOnly { .. }));
    }

    #[test]
    fn a_newer_ledger_is_refused_with_both_versions() {
        let day = TestLedger::new();
        day.ledger
            .write_blocking(|tx| {
                tx.execute(
                    "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                     VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')",
                    [],
                )?;
                Ok(())
            })
            .unwrap();
        let refused = Ledger::open(day.path(), &OpenOptions::existing()).unwrap_err();
        assert!(matches!(refused, LedgerError::NewerVersion { found: 99, known: KNOWN_VERSION, .. }), "{refused}");
    }

    #[test]
    fn a_simulation_is_not_opened_as_a_live_ledger() {
        let day = TestLedger::new();
        let live = OpenOptions::create_or_open(NewLedger::live("paper", Timestamp(5)).unwrap());
        let refused = Ledger::open(day.path(), &live).unwrap_err();
        let expected = "is the ledger of a simulation, not of a live account: name another file with --ledger";
        assert!(refused.to_string().ends_with(expected), "{refused}");
    }

    #[test]
    fn a_making_that_was_interrupted_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.db");
        // Killed before SQLite wrote a byte.
        fs::write(&path, "").unwrap();
        drop(Ledger::open(&path, &create()).unwrap());
        // Killed between the migrations and the identity.
        let path = folder.path().join("later.db");
        let mut conn = Connection::open(&path).unwrap();
        migrate_to(&mut conn, &path, KNOWN_VERSION).unwrap();
        drop(conn);
        let refused = Ledger::open(&path, &OpenOptions::existing()).unwrap_err();
        assert!(matches!(refused, LedgerError::NotALedger { what: "its making was interrupted", .. }), "{refused}");
        assert_eq!(Ledger::open(&path, &create()).unwrap().meta().ledger_id, new_simulation().ledger_id);
    }

    #[test]
    fn an_old_ledger_is_copied_before_its_schema_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.db");
        let mut conn = Connection::open(&path).unwrap();
        migrate_to(&mut conn, &path, 1).unwrap();
        let tx = conn.transaction().unwrap();
        meta::create(&tx, &new_simulation()).unwrap();
        tx.commit().unwrap();
        drop(conn);

        let other_scheduler = LedgerLock::acquire(&path).unwrap();
        let refused = Ledger::open(&path, &OpenOptions::existing()).unwrap_err();
        assert!(matches!(refused, LedgerError::AlreadyHeld { .. }), "{refused}");
        drop(other_scheduler);

        let ledger = Ledger::open(&path, &OpenOptions::existing()).unwrap();
        assert_eq!(ledger.read(schema_version).unwrap(), KNOWN_VERSION);
        let copy = Connection::open(folder.path().join("day.db.V1.backup")).unwrap();
        assert_eq!(schema_version(&copy).unwrap(), 1);
        assert_eq!(meta::load(&copy).unwrap().unwrap().ledger_id, new_simulation().ledger_id);
    }

    #[test]
    fn a_large_ledger_is_checked_where_it_matters() {
        let day = TestLedger::new();
        day.ledger
            .write_blocking(|tx| {
                tx.execute_batch(
                    "INSERT INTO event (at_ms, level, name, message)
                     SELECT value, 'info', 'test.made', hex(zeroblob(1000)) FROM (
                         WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 20000) SELECT value FROM n);",
                )?;
                Ok(())
            })
            .unwrap();
        let (path, _folder) = day.close();
        let root = |table: &str| -> i64 {
            let conn = Connection::open(&path).unwrap();
            let page: i64 = conn
                .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
                .unwrap();
            (page - 1) * 4096
        };
        let (event, halt) = (root("event_at"), root("halt"));
        assert!(i64::try_from(fs::metadata(&path).unwrap().len()).unwrap() > CHECKED_WHOLE_MAX);
        let damage = |at: i64| {
            let mut bytes = fs::read(&path).unwrap();
            let at = usize::try_from(at).unwrap();
            bytes[at..at + 8].copy_from_slice(b"nonsense");
            fs::write(&path, bytes).unwrap();
        };
        let open = || Ledger::open(&path, &OpenOptions::create_or_open(new_simulation()));
        damage(event);
        assert!(open().is_ok(), "the night's check finds it");
        damage(halt);
        assert!(matches!(open(), Err(LedgerError::Corrupt { .. })));
    }

    #[test]
    fn the_identity_of_a_simulation_follows_from_its_arguments() {
        let same = NewLedger::simulated(LedgerKind::Simulation, "paper", "seed 1", Timestamp(9));
        assert_eq!(same.ledger_id, new_simulation().ledger_id);
        assert_eq!(same.ledger_id.len(), 8);
        let other = NewLedger::simulated(LedgerKind::Simulation, "paper", "seed 2", Timestamp(9));
        assert_ne!(same.ledger_id, other.ledger_id);
        assert_ne!(
            NewLedger::live("a", Timestamp(1)).unwrap().ledger_id,
            NewLedger::live("a", Timestamp(1)).unwrap().ledger_id
        );
    }
}
