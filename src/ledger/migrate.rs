//! The schema's versions. A migration is immutable once landed: a test holds its hash.
//!
//! All migrations that a file lacks are applied in one transaction: a process killed between two of
//! them leaves the file as it was.

use std::path::Path;

use refinery::{Migration, Runner};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::LedgerError;

/// Every migration, in order: its name and its SQL.
const MIGRATIONS: [(&str, &str); 16] = [
    ("V1__ledger", include_str!("../../migrations/V1__ledger.sql")),
    ("V2__job", include_str!("../../migrations/V2__job.sql")),
    ("V3__market", include_str!("../../migrations/V3__market.sql")),
    ("V4__trading", include_str!("../../migrations/V4__trading.sql")),
    ("V5__alert", include_str!("../../migrations/V5__alert.sql")),
    ("V6__views", include_str!("../../migrations/V6__views.sql")),
    ("V7__refold", include_str!("../../migrations/V7__refold.sql")),
    ("V8__run_indexes", include_str!("../../migrations/V8__run_indexes.sql")),
    ("V9__config", include_str!("../../migrations/V9__config.sql")),
    ("V10__approval", include_str!("../../migrations/V10__approval.sql")),
    ("V11__alert_handling", include_str!("../../migrations/V11__alert_handling.sql")),
    ("V12__pause", include_str!("../../migrations/V12__pause.sql")),
    ("V13__chat", include_str!("../../migrations/V13__chat.sql")),
    ("V14__script", include_str!("../../migrations/V14__script.sql")),
    ("V15__regime", include_str!("../../migrations/V15__regime.sql")),
    ("V16__model", include_str!("../../migrations/V16__model.sql")),
];

/// The newest schema version that this program knows.
pub(super) const KNOWN_VERSION: u32 = MIGRATIONS.len() as u32;

const SQL_HAS_HISTORY: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
const SQL_VERSION: &str = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";

/// The schema version of a file; 0 where no migration has been applied.
///
/// # Errors
/// If the ledger cannot be read.
pub fn schema_version(conn: &Connection) -> Result<u32, LedgerError> {
    if conn.query_row(SQL_HAS_HISTORY, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    Ok(conn.query_row(SQL_VERSION, [], |row| row.get(0))?)
}

/// Applies the migrations up to `version` that the file lacks, all in one transaction.
pub(super) fn migrate_to(conn: &mut Connection, path: &Path, version: u32) -> Result<(), LedgerError> {
    let migrations = MIGRATIONS
        .iter()
        .take(version as usize)
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| LedgerError::migration(path, error))?;
    conn.set_transaction_behavior(TransactionBehavior::Immediate);
    #[cfg(feature = "crash-points")]
    conn.commit_hook(Some(|| {
        crash_point!("migrate.commit");
        false // the commit goes on
    }))?;
    Runner::new(&migrations).set_grouped(true).run(conn).map_err(|error| LedgerError::migration(path, error))?;
    #[cfg(feature = "crash-points")]
    conn.commit_hook(None::<fn() -> bool>)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::ledger::open::hex;

    /// A landed migration never changes: files in use were made by it. A new idea is a new file.
    const LANDED: [(&str, &str); MIGRATIONS.len()] = [
        ("V1__ledger", "81c56f6692287f01495d4496b8fbb7c9751f6ff70435c59c3a487dfa52f33853"),
        ("V2__job", "276bd74ffe50715d41ac6a51e3e2d9313efa3b2898b62ce2db4f27b8ca242b94"),
        ("V3__market", "a69aaa7c5eee95197d83be6e95eeb50cb72e71903b72c6fb2dc069b24657a7ec"),
        ("V4__trading", "a45d97123c38484c054d1b5cac970a25512c21e2a98f65e1f290191cdc2d7b6f"),
        ("V5__alert", "f7a61b0eb757d13c65560ebae78e7e8d0074ef321a7e1aecab504e8fa05a9a55"),
        ("V6__views", "73dedc16773f93c38b45fb3402505288dbbf3755a353debd23b56b6a303dc8b1"),
        ("V7__refold", "e54b245b8fd4b297ca56841ee60b82ddc75407d93012efd67ea3507a5d45554d"),
        ("V8__run_indexes", "0e9fc15f0604ddda16e5f245680f66a7bc58e47327d26192d8c0690374004e8e"),
        ("V9__config", "520e478812fc5628354ef4f3d63852526817b035687778bef1847e6e0528eb93"),
        ("V10__approval", "7b8823890b0d2e73742e00876ec2d71d8e9bfd2ee16ee4722e18ea49ef83de8d"),
        ("V11__alert_handling", "3d834bac818affe687a67bcc073911b7ef31a318c22bba25b16da915bfe208f0"),
        ("V12__pause", "188fb22cc97369a775840a46b052f9ae44de8385b4adfc1aa495df8fb525cb76"),
        ("V13__chat", "a7767e19c784d4778d7052c4f38c94eca3cf7996e014cd5c6bea4ca5d4123535"),
        ("V14__script", "f9dbb8703ea14a632636afbc041879f3e94de3f3ca5e934213e8ccfa21cbaef3"),
        ("V15__regime", "59c4fd6ab53b90b510b77bc446fec6aa0a10c4579a864f8647723a7258e251f9"),
        ("V16__model", "38ed5d43e94234d54f51827e7e590dc441977bc70d259cd18cfd7efa225640f5"),
    ];

    #[test]
    fn landed_migrations_do_not_change() {
        let found = MIGRATIONS.map(|(name, sql)| (name, hex(&Sha256::digest(sql))));
        for ((name, hash), landed) in found.iter().zip(LANDED) {
            assert_eq!((*name, hash.as_str()), landed, "a landed migration is immutable: add a new one");
        }
    }

    #[test]
    fn every_migration_in_the_folder_is_known() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
        let number = |name: &String| name[1..].split("__").next().and_then(|number| number.parse::<u32>().ok());
        files.sort_by_key(number);
        assert_eq!(files, MIGRATIONS.map(|(name, _)| name));
    }

    #[test]
    fn a_migration_killed_half_way_is_run_again_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.db");
        let mut conn = Connection::open(&path).unwrap();
        // What a killed process leaves: refinery's own table (it commits that first), and a rolled back
        // transaction in which some of the migrations had run.
        migrate_to(&mut conn, &path, 0).unwrap();
        let tx = conn.transaction().unwrap();
        tx.execute_batch(MIGRATIONS[0].1).unwrap();
        drop(tx);
        assert_eq!(schema_version(&conn).unwrap(), 0);
        migrate_to(&mut conn, &path, KNOWN_VERSION).unwrap();
        assert_eq!(schema_version(&conn).unwrap(), KNOWN_VERSION);
        migrate_to(&mut conn, &path, KNOWN_VERSION).unwrap();
    }

    #[test]
    fn each_migration_keeps_the_rows_that_are_there() {
        const RUN: &str = "
            INSERT INTO run (run_id, job, kind, slot_at_ms, session, trigger, state, not_before_ms, due_at_ms)
            VALUES (1, 'analysis', 'analysis', 1, '2026-11-16', 'schedule', 'due', 1, 1)";
        const BAR: &str = "INSERT INTO bar VALUES ('AAPL', 60000, 10, 12, 9, 11, 5, 'test')";
        const EQUITY: &str = "INSERT INTO equity VALUES (1, '2026-11-16', 1794839400000, 100, 90, 0, 10, 0, 0)";
        const ALERT: &str = "
            INSERT INTO alert (run_id, at_ms, level, event, subject, body) VALUES (1, 1, 'info', 'day.ended', 's', 'b')";
        let rows_of_version = [
            ("meta", "INSERT INTO meta VALUES ('ledger_id', '0123abcd')"),
            ("run", RUN),
            ("bar", BAR),
            ("equity", EQUITY),
            ("alert", ALERT),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.db");
        let mut conn = Connection::open(&path).unwrap();
        let mut filled: Vec<&str> = Vec::new();
        for version in 1..=KNOWN_VERSION {
            migrate_to(&mut conn, &path, version).unwrap();
            assert_eq!(schema_version(&conn).unwrap(), version);
            for table in &filled {
                let rows: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
                assert_eq!(rows, 1, "{table} after V{version}");
            }
            if let Some((table, insert)) = rows_of_version.get(version as usize - 1) {
                conn.execute_batch(insert).unwrap();
                filled.push(table);
            }
        }
        let told: String = conn.query_row("SELECT subject FROM v_alert", [], |row| row.get(0)).unwrap();
        assert_eq!(told, "s");
    }

    #[test]
    fn every_table_is_strict() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate_to(&mut conn, Path::new("memory"), KNOWN_VERSION).unwrap();
        let loose: Vec<String> = conn
            .prepare(
                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0
                      AND name NOT IN ('sqlite_schema', 'refinery_schema_history')",
            )
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(loose, Vec::<String>::new());
    }
}
