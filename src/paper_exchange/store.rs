//! The exchange's file, and the one thread that writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use daybook_core::exchange::{BookOrder, Execution, Holding, OrderNumber};
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::market::Tick;
use super::views::Configuration;

/// "DbkX": tells the file from other SQLite files.
const APPLICATION_ID: i64 = 0x4462_6b58;
const SCHEMA_VERSION: i64 = 1;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most changes that share one transaction: a thousand take some milliseconds.
const GROUP_MAX: usize = 1_000;

/// The log is folded into the file once nothing was written for so long: a write that comes then waits for its syncs.
const QUIET: Duration = Duration::from_millis(200);

/// Pages of a log that is folded in even while others write: 64 MB.
const LOG_PAGES_MAX: i64 = 16_000;

const SCHEMA: &str = "
    CREATE TABLE venue (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        advanced_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE account (
        number INTEGER PRIMARY KEY,
        api_key TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL
    ) STRICT;
    CREATE TABLE book_order (
        account INTEGER NOT NULL REFERENCES account (number),
        number INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (account, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE execution (
        account INTEGER NOT NULL REFERENCES account (number),
        number INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (account, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE position (
        account INTEGER NOT NULL REFERENCES account (number),
        symbol TEXT NOT NULL,
        quantity_e9 INTEGER NOT NULL CHECK (quantity_e9 <> 0),
        average_price_e8 INTEGER NOT NULL,
        PRIMARY KEY (account, symbol)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE equity (
        account INTEGER NOT NULL REFERENCES account (number),
        at_ms INTEGER NOT NULL,
        equity_e8 INTEGER NOT NULL,
        PRIMARY KEY (account, at_ms)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE set_price (
        id INTEGER PRIMARY KEY,
        symbol TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        price_e8 INTEGER NOT NULL,
        size_e9 INTEGER
    ) STRICT;";

/// What came after the first schema; an older program does without.
const SCHEMA_SINCE: &str = "CREATE TABLE IF NOT EXISTS halt (symbol TEXT PRIMARY KEY) STRICT;";

const SAVE_VENUE: &str = "INSERT INTO venue (id, advanced_at_ms) VALUES (1, ?1)
    ON CONFLICT (id) DO UPDATE SET advanced_at_ms = excluded.advanced_at_ms";
const LOAD_VENUE: &str = "SELECT advanced_at_ms FROM venue WHERE id = 1";
const SAVE_ACCOUNT: &str = "INSERT INTO account (number, api_key, document) VALUES (?1, ?2, ?3)
    ON CONFLICT (number) DO UPDATE SET document = excluded.document";
const LOAD_ACCOUNTS: &str = "SELECT number, api_key, document FROM account ORDER BY number";
const SAVE_ORDER: &str = "INSERT INTO book_order (account, number, document) VALUES (?1, ?2, ?3)
    ON CONFLICT (account, number) DO UPDATE SET document = excluded.document";
const LOAD_ORDERS: &str = "SELECT document FROM book_order WHERE account = ?1 ORDER BY number";
const SAVE_EXECUTION: &str = "INSERT INTO execution (account, number, document) VALUES (?1, ?2, ?3)";
const LOAD_EXECUTIONS: &str = "SELECT document FROM execution WHERE account = ?1 ORDER BY number";
const SAVE_POSITION: &str =
    "INSERT INTO position (account, symbol, quantity_e9, average_price_e8) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (account, symbol) DO UPDATE
    SET quantity_e9 = excluded.quantity_e9, average_price_e8 = excluded.average_price_e8";
const DROP_POSITION: &str = "DELETE FROM position WHERE account = ?1 AND symbol = ?2";
const LOAD_POSITIONS: &str = "SELECT symbol, quantity_e9, average_price_e8 FROM position WHERE account = ?1";
const SAVE_EQUITY: &str = "INSERT INTO equity (account, at_ms, equity_e8) VALUES (?1, ?2, ?3)
    ON CONFLICT (account, at_ms) DO UPDATE SET equity_e8 = excluded.equity_e8";
const LOAD_EQUITY: &str = "SELECT at_ms, equity_e8 FROM equity WHERE account = ?1 ORDER BY at_ms";
const SAVE_PRICE: &str = "INSERT INTO set_price (symbol, at_ms, price_e8, size_e9) VALUES (?1, ?2, ?3, ?4)";
const LOAD_PRICES: &str = "SELECT symbol, at_ms, price_e8, size_e9 FROM set_price ORDER BY id";
const SAVE_HALT: &str = "INSERT INTO halt (symbol) VALUES (?1) ON CONFLICT (symbol) DO NOTHING";
const DROP_HALT: &str = "DELETE FROM halt WHERE symbol = ?1";
const LOAD_HALTS: &str = "SELECT symbol FROM halt ORDER BY symbol";
const CLEAR: &str = "DELETE FROM execution; DELETE FROM book_order; DELETE FROM position; DELETE FROM equity;
    DELETE FROM set_price; DELETE FROM halt; DELETE FROM account;";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made.
    #[error("cannot make {}", path.display())]
    Make { path: PathBuf, source: std::io::Error },
    /// The file is something else.
    #[error("{} is not the file of a paper exchange: name another with --file", path.display())]
    NotOurs { path: PathBuf },
    /// A later Daybook has written it.
    #[error("{} has schema {found}, this program knows {SCHEMA_VERSION}: use the newer program", path.display())]
    Newer { path: PathBuf, found: i64 },
    /// SQLite refuses.
    #[error("{doing} {} failed", path.display())]
    Sqlite { doing: &'static str, path: PathBuf, source: rusqlite::Error },
    /// The writer cannot be started.
    #[error("the thread that writes {} cannot be started", path.display())]
    Thread { path: PathBuf, source: std::io::Error },
}

/// An order as it is stored: the engine's, and what only the API knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub book: BookOrder,
    pub note: Note,
}

/// How an order was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// `simple`, `bracket`, `oco` or `oto`.
    pub class: String,
    /// The amount that was ordered, in place of a quantity.
    pub notional: Option<Money>,
    pub position_intent: Option<String>,
    pub replaces: Option<OrderNumber>,
    pub replaced_by: Option<OrderNumber>,
    /// When a cancel that was accepted takes effect.
    #[serde(default)]
    pub cancel_at: Option<Timestamp>,
}

/// An account's own figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccountRow {
    pub created_at: Timestamp,
    pub starting_cash: Money,
    pub cash: Money,
    pub last_equity: Money,
    pub session_open: bool,
    pub extended_open: bool,
    pub orders_issued: i64,
    pub executions_issued: i64,
    pub configuration: Configuration,
}

/// An account as it stands in the file.
#[derive(Debug)]
pub(super) struct StoredAccount {
    pub number: u32,
    pub key: String,
    pub row: AccountRow,
    pub orders: Vec<Record>,
    pub executions: Vec<Execution>,
    pub holdings: BTreeMap<Symbol, Holding>,
    pub equity: Vec<(Timestamp, Money)>,
}

impl StoredAccount {
    /// The symbols that it holds or has open orders in.
    pub(super) fn symbols(&self) -> BTreeSet<Symbol> {
        let open = self.orders.iter().map(|record| &record.book.order).filter(|order| !order.status.is_terminal());
        open.map(|order| order.symbol).chain(self.holdings.keys().copied()).collect()
    }
}

/// Everything that stands in the file.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub advanced_to: Option<Timestamp>,
    pub accounts: Vec<StoredAccount>,
    pub prices: Vec<(Symbol, Tick)>,
    pub halted: BTreeSet<Symbol>,
}

/// One change of the file.
#[derive(Debug)]
pub(super) enum Row {
    Venue {
        advanced_to: Timestamp,
    },
    Account {
        number: u32,
        key: String,
        row: Box<AccountRow>,
    },
    Order {
        account: u32,
        record: Box<Record>,
    },
    Execution {
        account: u32,
        execution: Box<Execution>,
    },
    Position {
        account: u32,
        symbol: Symbol,
        holding: Option<Holding>,
    },
    Equity {
        account: u32,
        at: Timestamp,
        equity: Money,
    },
    Price {
        symbol: Symbol,
        tick: Tick,
    },
    Halt {
        symbol: Symbol,
        halted: bool,
    },
    /// Everything is gone.
    Clear,
}

/// Changes that belong together, and what is told once they are on the disk.
pub(super) struct Batch {
    pub rows: Vec<Row>,
    pub then: Box<dyn FnOnce() + Send>,
    pub written: oneshot::Sender<()>,
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Batch>);

impl Writer {
    /// Hands a batch over. The answer comes once it is on the disk; an error, if it never will be.
    pub(super) fn write(&self, rows: Vec<Row>, then: Box<dyn FnOnce() + Send>) -> oneshot::Receiver<()> {
        let (written, receiver) = oneshot::channel();
        // A writer that has given up drops the batch, and with it the sender: the receiver tells.
        let _ = self.0.send(Batch { rows, then, written });
        receiver
    }
}

/// Opens the file, or makes it; reads what is there, and starts the writer.
pub(super) fn open(path: &Path) -> Result<(Stored, Writer, JoinHandle<()>), StoreError> {
    let failed = |doing| move |source| StoreError::Sqlite { doing, path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| StoreError::Make { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(failed("opening"))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(failed("opening"))?;
    let found = check(&conn, path)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failed("configuring"))?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(failed("configuring"))?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES_MAX, |_| Ok(()))
        .map_err(failed("configuring"))?;
    conn.pragma_update(None, "foreign_keys", true).map_err(failed("configuring"))?;
    if !found {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("making"))?;
        tx.execute_batch(SCHEMA).map_err(failed("making"))?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed("making"))?;
        tx.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed("making"))?;
        tx.commit().map_err(failed("making"))?;
    }
    conn.execute_batch(SCHEMA_SINCE).map_err(failed("making"))?;
    let stored = load(&conn).map_err(failed("reading"))?;
    let (sender, receiver) = mpsc::channel();
    let writer = std::thread::Builder::new().name("exchange-writer".to_owned());
    let name = path.to_owned();
    let writing = writer
        .spawn(move || write_batches(&mut conn, &receiver, &name))
        .map_err(|source| StoreError::Thread { path: path.to_owned(), source })?;
    Ok((stored, Writer(sender), writing))
}

/// Whether the exchange is there; not, if the file is empty.
fn check(conn: &Connection, path: &Path) -> Result<bool, StoreError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotOurs { path: path.to_owned() },
        _ => StoreError::Sqlite { doing: "reading", path: path.to_owned(), source },
    };
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID {
        return if version > SCHEMA_VERSION {
            Err(StoreError::Newer { path: path.to_owned(), found: version })
        } else {
            Ok(true)
        };
    }
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if application == 0 && tables == 0 { Ok(false) } else { Err(StoreError::NotOurs { path: path.to_owned() }) }
}

/// Writes what waits, all of it in one transaction, until nobody can send any more.
///
/// After an error nothing more is written, and every batch is dropped: its requests are answered with 500,
/// and after a restart the exchange goes on from what it had acknowledged.
fn write_batches(conn: &mut Connection, receiver: &mpsc::Receiver<Batch>, path: &Path) {
    while let Some(first) = next_batch(conn, receiver) {
        let mut batches = vec![first];
        batches.extend(std::iter::from_fn(|| receiver.try_recv().ok()).take(GROUP_MAX));
        if let Err(error) = write_group(conn, &batches) {
            tracing::error!(path = %path.display(), %error, "exchange.unwritable: stop it, make room, start it again");
            return;
        }
        for batch in batches {
            (batch.then)();
            // Who asked may have hung up.
            let _ = batch.written.send(());
        }
    }
}

/// The next batch. While none comes, the log is folded into the file.
fn next_batch(conn: &Connection, receiver: &mpsc::Receiver<Batch>) -> Option<Batch> {
    match receiver.recv_timeout(QUIET) {
        Ok(batch) => Some(batch),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            // Where it fails nothing is lost: the log stays, and grows.
            if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                tracing::warn!(%error, "exchange.log_kept");
            }
            receiver.recv().ok()
        }
    }
}

fn write_group(conn: &mut Connection, batches: &[Batch]) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in batches.iter().flat_map(|batch| &batch.rows) {
        write_row(&tx, row)?;
    }
    tx.commit()
}

fn document(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn write_row(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    match row {
        Row::Venue { advanced_to } => tx.prepare_cached(SAVE_VENUE)?.execute([advanced_to.0])?,
        Row::Account { number, key, row } => {
            tx.prepare_cached(SAVE_ACCOUNT)?.execute(params![number, key, document(row)?])?
        }
        Row::Order { account, record } => {
            tx.prepare_cached(SAVE_ORDER)?.execute(params![account, record.book.number.0, document(record)?])?
        }
        Row::Execution { account, execution } => {
            tx.prepare_cached(SAVE_EXECUTION)?.execute(params![account, execution.number.0, document(execution)?])?
        }
        Row::Position { account, symbol, holding: Some(holding) } => tx
            .prepare_cached(SAVE_POSITION)?
            .execute(params![account, symbol.as_str(), holding.quantity.0, holding.average_price.0])?,
        Row::Position { account, symbol, holding: None } => {
            tx.prepare_cached(DROP_POSITION)?.execute(params![account, symbol.as_str()])?
        }
        Row::Equity { account, at, equity } => {
            tx.prepare_cached(SAVE_EQUITY)?.execute(params![account, at.0, equity.0])?
        }
        Row::Price { symbol, tick } => tx.prepare_cached(SAVE_PRICE)?.execute(params![
            symbol.as_str(),
            tick.at.0,
            tick.price.0,
            tick.size.map(|size| size.0)
        ])?,
        Row::Halt { symbol, halted } => {
            tx.prepare_cached(if *halted { SAVE_HALT } else { DROP_HALT })?.execute([symbol.as_str()])?
        }
        Row::Clear => {
            tx.execute_batch(CLEAR)?;
            0
        }
    };
    Ok(())
}

fn load(conn: &Connection) -> rusqlite::Result<Stored> {
    let advanced_to = conn.query_row(LOAD_VENUE, [], |row| row.get(0)).optional()?.map(Timestamp);
    let mut accounts = Vec::new();
    let mut statement = conn.prepare(LOAD_ACCOUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let mut positions = conn.prepare(LOAD_POSITIONS)?;
        let holdings = positions.query_map([number], |row| {
            let holding = Holding { quantity: Quantity(row.get(1)?), average_price: Price(row.get(2)?) };
            Ok((symbol(&row.get::<_, String>(0)?)?, holding))
        })?;
        let mut equity = conn.prepare(LOAD_EQUITY)?;
        let equity = equity.query_map([number], |row| Ok((Timestamp(row.get(0)?), Money(row.get(1)?))))?;
        accounts.push(StoredAccount {
            number,
            key: row.get(1)?,
            row: read(&row.get::<_, String>(2)?)?,
            orders: documents(conn, LOAD_ORDERS, number)?,
            executions: documents(conn, LOAD_EXECUTIONS, number)?,
            holdings: holdings.collect::<rusqlite::Result<_>>()?,
            equity: equity.collect::<rusqlite::Result<_>>()?,
        });
    }
    let mut prices = conn.prepare(LOAD_PRICES)?;
    let prices = prices.query_map([], |row| {
        let tick = Tick {
            at: Timestamp(row.get(1)?),
            price: Price(row.get(2)?),
            size: row.get::<_, Option<i64>>(3)?.map(Quantity),
        };
        Ok((symbol(&row.get::<_, String>(0)?)?, tick))
    })?;
    let mut halts = conn.prepare(LOAD_HALTS)?;
    let halted = halts.query_map([], |row| symbol(&row.get::<_, String>(0)?))?;
    let halted = halted.collect::<rusqlite::Result<_>>()?;
    Ok(Stored { advanced_to, accounts, prices: prices.collect::<rusqlite::Result<_>>()?, halted })
}

fn documents<T: for<'de> Deserialize<'de>>(conn: &Connection, sql: &str, account: u32) -> rusqlite::Result<Vec<T>> {
    let mut statement = conn.prepare(sql)?;
    let texts = statement.query_map([account], |row| row.get::<_, String>(0))?;
    texts.map(|text| read(&text?)).collect()
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(unreadable)
}

fn symbol(text: &str) -> rusqlite::Result<Symbol> {
    text.parse().map_err(unreadable)
}
