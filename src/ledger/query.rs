//! A person's own questions, in SQL, on a connection that can change nothing.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Statement};
use serde::{Serialize, Serializer};

use super::open::open_reader;
use super::{Ledger, LedgerError};

/// Pragmas that tell of the schema and change nothing.
const PRAGMAS_ALLOWED: [&str; 8] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "foreign_key_list",
    "application_id",
    "user_version",
];

const SQL_SCHEMA: &str = "
    SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    ORDER BY type <> 'view', type <> 'table', name";

/// A value as SQLite answers it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl std::fmt::Display for Cell {
    /// Empty for no value, hexadecimal digits for bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.pad(""),
            Self::Integer(value) => f.pad(&value.to_string()),
            Self::Real(value) => f.pad(&value.to_string()),
            Self::Text(value) => f.pad(value),
            Self::Blob(bytes) => f.pad(&super::open::hex(bytes)),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Blob(_) => serializer.collect_str(self),
        }
    }
}

/// The whole answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each with a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

impl Ledger {
    /// Answers a question. For one that may have more rows than memory, see [`Ledger::query_each`].
    ///
    /// # Errors
    /// As [`Ledger::query_each`].
    pub fn query(&self, sql: &str) -> Result<Answer, LedgerError> {
        let mut answer = Answer { columns: Vec::new(), rows: Vec::new() };
        let columns = &mut answer.columns;
        let rows = &mut answer.rows;
        self.query_each(
            sql,
            |names| {
                *columns = names;
                Ok::<_, LedgerError>(())
            },
            |row| {
                rows.push(row);
                Ok(())
            },
        )?;
        Ok(answer)
    }

    /// Answers a question row by row: `columns` gets the names once, `row` each row. There is no limit
    /// to the number of rows.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for a statement that could change something or for more than one;
    /// [`LedgerError::Sql`] with SQLite's own words for one that is wrong; and what the closures return.
    pub fn query_each<E: From<LedgerError>>(
        &self,
        sql: &str,
        columns: impl FnOnce(Vec<String>) -> Result<(), E>,
        row: impl FnMut(Vec<Cell>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut conn = open_reader(self.path())?;
        conn.authorizer(Some(may_read)).map_err(LedgerError::from)?;
        answer_each(&mut prepare(&conn, sql)?, [], columns, row)
    }

    /// The definitions of all views, tables, indexes and triggers, as SQL.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn schema(&self) -> Result<String, LedgerError> {
        self.read(|conn| {
            let mut select = conn.prepare(SQL_SCHEMA)?;
            let parts = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            Ok(parts.into_iter().map(|part| part + ";\n").collect::<Vec<_>>().join("\n"))
        })
    }
}

/// Hands over the columns' names once, and then each row.
pub(super) fn answer_each<E: From<LedgerError>>(
    statement: &mut Statement<'_>,
    params: impl Params,
    columns: impl FnOnce(Vec<String>) -> Result<(), E>,
    mut row: impl FnMut(Vec<Cell>) -> Result<(), E>,
) -> Result<(), E> {
    columns(statement.column_names().map(str::to_owned).collect())?;
    let count = statement.column_count();
    let mut rows = statement.query(params).map_err(LedgerError::from)?;
    while let Some(found) = rows.next().map_err(LedgerError::from)? {
        let cells = (0..count).map(|column| found.get_ref(column).map(cell)).collect::<Result<_, _>>();
        row(cells.map_err(LedgerError::from)?)?;
    }
    Ok(())
}

fn prepare<'a>(conn: &'a Connection, sql: &str) -> Result<Statement<'a>, LedgerError> {
    let refused = |reason: &str| LedgerError::Refused {
        what: "query",
        key: sql.trim().to_owned(),
        reason: format!("{reason}; ask with one SELECT"),
    };
    let statement = conn.prepare(sql).map_err(|error| match (&error, error.sqlite_error_code()) {
        (rusqlite::Error::MultipleStatement, _) => refused("it is more than one statement"),
        (_, Some(rusqlite::ErrorCode::AuthorizationForStatementDenied)) => refused("it could change something"),
        _ => error.into(),
    })?;
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(refused("it asks nothing"));
    }
    Ok(statement)
}

/// What a question may do: read and compute. `readonly()` alone would let `ATTACH` and pragmas pass.
fn may_read(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if function_name != "load_extension" => Authorization::Allow,
        AuthAction::Pragma { pragma_name, .. } if PRAGMAS_ALLOWED.contains(&pragma_name) => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::TestLedger;

    #[test]
    fn a_question_is_answered_with_its_types() {
        let day = TestLedger::new();
        let answer =
            day.ledger.query("SELECT 1 AS one, 2.5 AS half, 'x' AS word, NULL AS blank, x'0aff' AS bytes").unwrap();
        assert_eq!(answer.columns, ["one", "half", "word", "blank", "bytes"]);
        let expected =
            [Cell::Integer(1), Cell::Real(2.5), Cell::Text("x".to_owned()), Cell::Null, Cell::Blob(vec![0x0a, 0xff])];
        assert_eq!(answer.rows, [expected.to_vec()]);
        assert_eq!(serde_json::to_string(&answer.rows[0]).unwrap(), r#"[1,2.5,"x",null,"0aff"]"#);
        assert_eq!(day.ledger.query("SELECT value FROM meta WHERE key = 'kind'").unwrap().rows.len(), 1);
        assert!(!day.ledger.query("PRAGMA table_info(meta)").unwrap().rows.is_empty());
        assert!(day.ledger.query("SELECT * FROM v_day").unwrap().rows.is_empty());
        assert!(day.ledger.query("EXPLAIN QUERY PLAN SELECT * FROM v_run").is_ok());
    }

    #[test]
    fn a_question_changes_nothing() {
        let day = TestLedger::new();
        let before = day.ledger.query("SELECT * FROM meta").unwrap();
        for sql in [
            "DELETE FROM meta",
            "INSERT INTO meta (key, value) VALUES ('arguments', 'x') RETURNING key",
            "PRAGMA query_only = OFF",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "ATTACH 'other.db' AS other",
            "BEGIN IMMEDIATE",
            "VACUUM INTO 'copy.db'",
            "SELECT 1; DELETE FROM meta",
            "",
        ] {
            let refused = day.ledger.query(sql).unwrap_err();
            assert!(matches!(refused, LedgerError::Refused { .. }), "{sql}: {refused:?}");
        }
        assert_eq!(day.ledger.query("SELECT * FROM meta").unwrap(), before);
    }

    #[test]
    fn a_mistake_is_told_in_sqlite_s_words() {
        let day = TestLedger::new();
        let wrong = day.ledger.query("SELECT profit FROM v_day").unwrap_err();
        let source = std::error::Error::source(&wrong).unwrap().to_string();
        assert!(source.contains("no such column: profit"), "{source}");
    }

    #[test]
    fn the_schema_can_be_run_again() {
        let day = TestLedger::new();
        let schema = day.ledger.schema().unwrap();
        assert!(schema.starts_with("CREATE VIEW v_alert"), "{schema}");
        let tables =
            schema.split_inclusive(";\n\n").filter(|part| part.starts_with("CREATE TABLE")).collect::<String>();
        Connection::open_in_memory().unwrap().execute_batch(&tables).unwrap();
    }
}
