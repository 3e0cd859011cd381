//! The paper account's file: every SQL statement of the paper broker stands here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daybook_core::exchange::{
    BookOrder, Changes, ExchangeState, Execution, ExecutionNumber, Holding, LastPrice, OrderNumber, Terms,
};
use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{ClientOrderId, Fill, Order};
use daybook_core::time::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};

use super::{Durability, PaperError, codec};

/// `PRAGMA application_id` of a paper account ("DBKP").
const APPLICATION_ID: i64 = 0x4442_4b50;
/// `PRAGMA user_version` of the schema in `schema.sql`.
const SCHEMA_VERSION: i64 = 1;
/// How long a transaction waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Fills in one page: what a broker's API gives at most (Alpaca's `page_size`).
const FILL_PAGE_MAX: u16 = 100;

const SCHEMA: &str = include_str!("schema.sql");
const CREATE_ACCOUNT: &str = "
    INSERT INTO account (id, account_id, created_at_ms, starting_cash_e8, cash_e8, last_equity_e8, session_open,
                         orders_issued, executions_issued, advanced_at_ms)
    VALUES (1, :account_id, :created_at_ms, :cash_e8, :cash_e8, :last_equity_e8, :session_open, 0, 0, :created_at_ms)";
const LOAD_ACCOUNT: &str = "
    SELECT account_id, cash_e8, last_equity_e8, session_open, orders_issued, executions_issued, advanced_at_ms
    FROM account WHERE id = 1";
const SAVE_ACCOUNT: &str = "
    UPDATE account SET cash_e8 = :cash_e8, last_equity_e8 = :last_equity_e8, session_open = :session_open,
        orders_issued = :orders_issued, executions_issued = :executions_issued, advanced_at_ms = :advanced_at_ms
    WHERE id = 1";
const LOAD_POSITIONS: &str = "SELECT symbol, quantity_e9, average_price_e8 FROM position";
const SAVE_POSITION: &str = "
    INSERT INTO position (symbol, quantity_e9, average_price_e8) VALUES (?1, ?2, ?3)
    ON CONFLICT (symbol) DO UPDATE SET quantity_e9 = excluded.quantity_e9, average_price_e8 = excluded.average_price_e8";
const DROP_POSITION: &str = "DELETE FROM position WHERE symbol = ?1";
const LOAD_TAPE: &str = "SELECT symbol, bars_from_at_ms, price_e8, price_at_ms FROM tape";
const SAVE_TAPE: &str = "
    INSERT INTO tape (symbol, bars_from_at_ms, price_e8, price_at_ms) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (symbol) DO UPDATE SET bars_from_at_ms = excluded.bars_from_at_ms, price_e8 = excluded.price_e8,
                                       price_at_ms = excluded.price_at_ms";
const SAVE_ORDER: &str = "
    INSERT INTO book_order (number, group_number, client_order_id, parent, role, symbol, side, quantity_e9, type,
        limit_e8, stop_e8, trail_e8, trail_bps, time_in_force, class, take_profit_e8, stop_loss_e8, status, filled_e9,
        filled_value_e8, fees_e8, average_price_e8, reason, opens, working_since_at_ms, triggered, best_price_e8,
        reserve_price_e8, submitted_at_ms, updated_at_ms)
    VALUES (:number, :group_number, :client_order_id, :parent, :role, :symbol, :side, :quantity_e9, :type,
        :limit_e8, :stop_e8, :trail_e8, :trail_bps, :time_in_force, :class, :take_profit_e8, :stop_loss_e8, :status,
        :filled_e9, :filled_value_e8, :fees_e8, :average_price_e8, :reason, :opens, :working_since_at_ms, :triggered,
        :best_price_e8, :reserve_price_e8, :submitted_at_ms, :updated_at_ms)
    ON CONFLICT (number) DO UPDATE SET quantity_e9 = excluded.quantity_e9, status = excluded.status,
        filled_e9 = excluded.filled_e9, filled_value_e8 = excluded.filled_value_e8, fees_e8 = excluded.fees_e8,
        average_price_e8 = excluded.average_price_e8, reason = excluded.reason,
        working_since_at_ms = excluded.working_since_at_ms, triggered = excluded.triggered,
        best_price_e8 = excluded.best_price_e8, updated_at_ms = excluded.updated_at_ms";
const SAVE_EXECUTION: &str = "
    INSERT INTO execution (number, order_number, quantity_e9, price_e8, fee_e8, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const ORDER_COLUMNS: &str = "
    SELECT number, group_number, client_order_id, parent, role, symbol, side, quantity_e9, limit_e8, stop_e8, trail_e8,
        trail_bps, time_in_force, take_profit_e8, stop_loss_e8, status, filled_e9, filled_value_e8, fees_e8,
        average_price_e8, reason, opens, working_since_at_ms, triggered, best_price_e8, reserve_price_e8,
        submitted_at_ms, updated_at_ms
    FROM book_order";
const OF_OPEN_GROUPS: &str = "
    WHERE group_number IN (SELECT group_number FROM book_order
                           WHERE status IN ('accepted', 'held', 'new', 'partially_filled', 'pending_cancel'))
    ORDER BY number";
const OF_ALL: &str = "ORDER BY number";
const OF_NUMBER: &str = "WHERE number = ?1";
/// The order of this client id; and where it leads its group, what follows: a leg whose stop was moved
/// is represented by its replacement.
const OF_CLIENT_ID: &str = "
    WHERE client_order_id = ?1
       OR (status <> 'replaced' AND group_number = (SELECT number FROM book_order
                                                    WHERE client_order_id = ?1 AND number = group_number))
    ORDER BY number";
const KNOWS_CLIENT_ID: &str = "SELECT EXISTS (SELECT 1 FROM book_order WHERE client_order_id = ?1)";
/// Names of a ledger's orders begin with `?1`, and `?2` is what comes right after all of those.
const OF_ANOTHER: &str = "
    SELECT client_order_id FROM book_order WHERE role = 'parent' AND (client_order_id < ?1 OR client_order_id >= ?2) LIMIT 1";
const FILLS_AFTER: &str = "
    SELECT e.number, e.quantity_e9, e.price_e8, e.fee_e8, e.at_ms, o.number, o.client_order_id, o.symbol, o.side
    FROM execution e JOIN book_order o ON o.number = e.order_number
    WHERE e.number > ?1 ORDER BY e.number LIMIT ?2";

/// An account as it stands in its file.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub account_id: String,
    pub state: ExchangeState,
    pub progress: Progress,
}

/// How far the market was followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything that was known by this instant has happened.
    pub advanced_to: Timestamp,
    /// For each symbol, the start of the first bar that was not seen yet.
    pub bars_from: BTreeMap<Symbol, Timestamp>,
}

/// A page of fills.
#[derive(Debug)]
pub(super) struct Page {
    pub fills: Vec<Fill>,
    pub last: ExecutionNumber,
    pub more: bool,
}

/// The file of one account.
#[derive(Debug)]
pub(super) struct Store {
    conn: Connection,
    path: PathBuf,
    /// What SQLite counts of other connections' commits, as of the last load.
    seen: i64,
}

impl Store {
    /// Opens the file, or makes it as `new` has it.
    pub(super) fn open(path: &Path, durability: Durability, new: impl FnOnce() -> Stored) -> Result<Self, PaperError> {
        let failed = |doing| move |source| PaperError::Sqlite { doing, path: path.to_owned(), source };
        make_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags).map_err(failed("opening"))?;
        conn.busy_timeout(BUSY_TIMEOUT).map_err(failed("opening"))?;
        conn.set_prepared_statement_cache_capacity(32);
        let found = check_is_ours(&conn, path)?;
        configure(&conn, durability).map_err(failed("configuring"))?;
        if !found {
            create(&mut conn, &new()).map_err(failed("making"))?;
        }
        Ok(Self { conn, path: path.to_owned(), seen: 0 })
    }

    /// Reads the account: its orders as far as their groups are open.
    pub(super) fn load(&mut self) -> Result<Stored, PaperError> {
        self.seen = self.data_version()?;
        self.doing("reading", load)
    }

    /// Whether another connection has written since the last load.
    pub(super) fn is_overtaken(&self) -> Result<bool, PaperError> {
        Ok(self.data_version()? != self.seen)
    }

    /// Writes what has changed, in one transaction.
    pub(super) fn save(
        &mut self,
        state: &ExchangeState,
        changes: &Changes,
        progress: &Progress,
    ) -> Result<(), PaperError> {
        let (path, seen) = (&self.path, self.seen);
        let failed = |source| PaperError::Sqlite { doing: "writing", path: path.clone(), source };
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if data_version(&tx).map_err(failed)? != seen {
            return Err(PaperError::Overtaken { path: path.clone() });
        }
        write(&tx, state, changes, progress).map_err(failed)?;
        tx.commit().map_err(|source| PaperError::Commit { path: path.clone(), source })
    }

    /// The order with this number, settled or not.
    pub(super) fn order(&self, number: OrderNumber) -> Result<Option<Order>, PaperError> {
        self.doing("reading", |conn| {
            let mut statement = conn.prepare_cached(&format!("{ORDER_COLUMNS} {OF_NUMBER}"))?;
            statement.query_row([number.0], book_order).optional().map(|book| book.map(|book| book.order))
        })
    }

    /// The order sent under this id, and its legs.
    pub(super) fn orders_by_client_id(&self, id: &ClientOrderId) -> Result<Vec<Order>, PaperError> {
        self.doing("reading", |conn| {
            let mut statement = conn.prepare_cached(&format!("{ORDER_COLUMNS} {OF_CLIENT_ID}"))?;
            let orders = statement.query_map([id.as_str()], book_order)?;
            orders.map(|book| book.map(|book| book.order)).collect()
        })
    }

    /// Every order that was ever taken, in order.
    pub(super) fn orders(&self) -> Result<Vec<Order>, PaperError> {
        self.doing("reading", |conn| {
            let mut statement = conn.prepare_cached(&format!("{ORDER_COLUMNS} {OF_ALL}"))?;
            let orders = statement.query_map([], book_order)?;
            orders.map(|book| book.map(|book| book.order)).collect()
        })
    }

    /// Whether this id was ever used.
    pub(super) fn knows_client_id(&self, id: &ClientOrderId) -> Result<bool, PaperError> {
        self.doing("reading", |conn| conn.prepare_cached(KNOWS_CLIENT_ID)?.query_row([id.as_str()], |row| row.get(0)))
    }

    /// The name of an order that did not come from the ledger `ledger_id`.
    pub(super) fn order_of_another(&self, ledger_id: &str) -> Result<Option<String>, PaperError> {
        let (first, beyond) = (format!("dbk-{ledger_id}-"), format!("dbk-{ledger_id}."));
        self.doing("reading", |conn| {
            conn.prepare_cached(OF_ANOTHER)?.query_row([&first, &beyond], |row| row.get(0)).optional()
        })
    }

    /// The executions after `after`, a page of them.
    pub(super) fn fills(&self, after: ExecutionNumber) -> Result<Page, PaperError> {
        self.doing("reading", |conn| {
            let mut statement = conn.prepare_cached(FILLS_AFTER)?;
            let rows = statement.query_map(params![after.0, FILL_PAGE_MAX + 1], execution)?;
            let mut executions = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = executions.len() > usize::from(FILL_PAGE_MAX);
            executions.truncate(usize::from(FILL_PAGE_MAX));
            let last = executions.last().map_or(after, |execution| execution.number);
            Ok(Page { fills: executions.into_iter().map(|execution| execution.fill).collect(), last, more })
        })
    }

    fn data_version(&self) -> Result<i64, PaperError> {
        self.doing("reading", data_version)
    }

    fn doing<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PaperError> {
        work(&self.conn).map_err(|source| PaperError::Sqlite { doing, path: self.path.clone(), source })
    }
}

/// Makes the file if there is none, so that only its owner may read it.
fn make_private(path: &Path) -> Result<(), PaperError> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.write(true).create(true).truncate(false).open(path);
    made.map(drop).map_err(|source| PaperError::Make { path: path.to_owned(), source })
}

/// Whether the account is there; not, if the file is empty.
fn check_is_ours(conn: &Connection, path: &Path) -> Result<bool, PaperError> {
    let not_ours = |what| PaperError::NotAnAccount { path: path.to_owned(), what };
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => not_ours("it is not an SQLite file"),
        _ => PaperError::Sqlite { doing: "reading", path: path.to_owned(), source },
    };
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID {
        return if version > SCHEMA_VERSION {
            Err(PaperError::Newer { path: path.to_owned(), found: version, known: SCHEMA_VERSION })
        } else {
            Ok(true)
        };
    }
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if application == 0 && tables == 0 { Ok(false) } else { Err(not_ours("it is another program's database")) }
}

fn configure(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let synchronous = match durability {
        Durability::PowerCut => "FULL",
        Durability::Kill => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?; // plans are made once
    conn.pragma_update(None, "trusted_schema", false)
}

fn create(conn: &mut Connection, new: &Stored) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let made: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if made > 0 {
        // Another process was faster.
        return tx.rollback();
    }
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.execute(
        CREATE_ACCOUNT,
        named_params! {
            ":account_id": new.account_id,
            ":created_at_ms": new.progress.advanced_to.0,
            ":cash_e8": new.state.cash.0,
            ":last_equity_e8": new.state.last_equity.0,
            ":session_open": new.state.session_open,
        },
    )?;
    tx.commit()
}

fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn load(conn: &Connection) -> rusqlite::Result<Stored> {
    let mut stored = conn.query_row(LOAD_ACCOUNT, [], |row| {
        let mut state = ExchangeState::new(Money(row.get("cash_e8")?), row.get("session_open")?);
        state.last_equity = Money(row.get("last_equity_e8")?);
        state.orders_issued = row.get("orders_issued")?;
        state.executions_issued = row.get("executions_issued")?;
        let advanced_to = Timestamp(row.get("advanced_at_ms")?);
        let progress = Progress { advanced_to, bars_from: BTreeMap::new() };
        Ok(Stored { account_id: row.get("account_id")?, state, progress })
    })?;
    let mut positions = conn.prepare(LOAD_POSITIONS)?;
    let mut rows = positions.query([])?;
    while let Some(row) = rows.next()? {
        let holding =
            Holding { quantity: Quantity(row.get("quantity_e9")?), average_price: Price(row.get("average_price_e8")?) };
        stored.state.holdings.insert(symbol(row)?, holding);
    }
    let mut tape = conn.prepare(LOAD_TAPE)?;
    let mut rows = tape.query([])?;
    while let Some(row) = rows.next()? {
        let symbol = symbol(row)?;
        stored.progress.bars_from.insert(symbol, Timestamp(row.get("bars_from_at_ms")?));
        if let (Some(price), Some(at)) = (row.get("price_e8")?, row.get("price_at_ms")?) {
            stored.state.marks.insert(symbol, LastPrice { price: Price(price), at: Timestamp(at) });
        }
    }
    let mut orders = conn.prepare(&format!("{ORDER_COLUMNS} {OF_OPEN_GROUPS}"))?;
    for book in orders.query_map([], book_order)? {
        stored.state.orders.insert(book?);
    }
    let Stored { state, progress, .. } = &mut stored;
    progress.bars_from.retain(|symbol, _| state.matters(*symbol));
    Ok(stored)
}

fn write(tx: &Transaction<'_>, state: &ExchangeState, changes: &Changes, progress: &Progress) -> rusqlite::Result<()> {
    tx.prepare_cached(SAVE_ACCOUNT)?.execute(named_params! {
        ":cash_e8": state.cash.0,
        ":last_equity_e8": state.last_equity.0,
        ":session_open": state.session_open,
        ":orders_issued": state.orders_issued,
        ":executions_issued": state.executions_issued,
        ":advanced_at_ms": progress.advanced_to.0,
    })?;
    let mut symbols: BTreeSet<Symbol> = state.symbols();
    for book in changes.orders.iter().filter_map(|number| state.orders.get(*number)) {
        symbols.insert(book.order.symbol);
        save_order(tx, book)?;
    }
    for symbol in &changes.holdings {
        match state.holdings.get(symbol) {
            Some(holding) => tx.prepare_cached(SAVE_POSITION)?.execute(params![
                symbol.as_str(),
                holding.quantity.0,
                holding.average_price.0
            ])?,
            None => tx.prepare_cached(DROP_POSITION)?.execute([symbol.as_str()])?,
        };
    }
    for symbol in symbols {
        let Some(bars_from) = progress.bars_from.get(&symbol) else { continue };
        let mark = state.marks.get(&symbol);
        tx.prepare_cached(SAVE_TAPE)?.execute(params![
            symbol.as_str(),
            bars_from.0,
            mark.map(|mark| mark.price.0),
            mark.map(|mark| mark.at.0)
        ])?;
    }
    for Execution { number, order, fill } in &changes.executions {
        let columns = params![number.0, order.0, fill.quantity.0, fill.price.0, fill.fee.0, fill.at.0];
        tx.prepare_cached(SAVE_EXECUTION)?.execute(columns)?;
    }
    Ok(())
}

fn save_order(tx: &Transaction<'_>, book: &BookOrder) -> rusqlite::Result<()> {
    let order = &book.order;
    let of_type = codec::TypeColumns::of(order.order_type);
    let (take_profit, stop_loss) = codec::class_columns(order.class);
    tx.prepare_cached(SAVE_ORDER)?.execute(named_params! {
        ":number": book.number.0,
        ":group_number": book.group.0,
        ":client_order_id": order.client_order_id.as_str(),
        ":parent": order.parent.as_ref().map(ClientOrderId::as_str),
        ":role": codec::role_word(order.role),
        ":symbol": order.symbol.as_str(),
        ":side": order.side.as_str(),
        ":quantity_e9": order.quantity.0,
        ":type": codec::type_word(order.order_type),
        ":limit_e8": of_type.limit_e8,
        ":stop_e8": of_type.stop_e8,
        ":trail_e8": of_type.trail_e8,
        ":trail_bps": of_type.trail_bps,
        ":time_in_force": codec::time_in_force_word(order.time_in_force),
        ":class": codec::class_word(order.class),
        ":take_profit_e8": take_profit,
        ":stop_loss_e8": stop_loss,
        ":status": order.status.as_str(),
        ":filled_e9": order.filled.0,
        ":filled_value_e8": book.filled_value.0,
        ":fees_e8": book.fees.0,
        ":average_price_e8": order.average_price.map(|price| price.0),
        ":reason": order.reason,
        ":opens": book.opens,
        ":working_since_at_ms": book.working_since.map(|at| at.0),
        ":triggered": book.triggered,
        ":best_price_e8": book.best_price.map(|price| price.0),
        ":reserve_price_e8": book.reserve_price.0,
        ":submitted_at_ms": order.submitted_at.0,
        ":updated_at_ms": order.updated_at.0,
    })?;
    Ok(())
}

fn symbol(row: &Row<'_>) -> rusqlite::Result<Symbol> {
    row.get::<_, String>("symbol")?.parse().map_err(codec::unreadable)
}

fn word<T>(row: &Row<'_>, column: &str, read: fn(&str) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    read(row.get_ref(column)?.as_str()?)
}

fn client_order_id(text: String) -> rusqlite::Result<ClientOrderId> {
    text.parse().map_err(codec::unreadable)
}

fn book_order(row: &Row<'_>) -> rusqlite::Result<BookOrder> {
    let number = OrderNumber(row.get("number")?);
    let of_type = codec::TypeColumns {
        limit_e8: row.get("limit_e8")?,
        stop_e8: row.get("stop_e8")?,
        trail_e8: row.get("trail_e8")?,
        trail_bps: row.get("trail_bps")?,
    };
    let order = Order {
        broker_order_id: number.to_string(),
        client_order_id: client_order_id(row.get("client_order_id")?)?,
        parent: row.get::<_, Option<String>>("parent")?.map(client_order_id).transpose()?,
        role: word(row, "role", codec::role)?,
        symbol: symbol(row)?,
        side: word(row, "side", codec::side)?,
        quantity: Quantity(row.get("quantity_e9")?),
        order_type: of_type.order_type(),
        time_in_force: word(row, "time_in_force", codec::time_in_force)?,
        class: codec::class(row.get("take_profit_e8")?, row.get("stop_loss_e8")?),
        status: word(row, "status", codec::status)?,
        filled: Quantity(row.get("filled_e9")?),
        average_price: row.get::<_, Option<i64>>("average_price_e8")?.map(Price),
        reason: row.get("reason")?,
        submitted_at: Timestamp(row.get("submitted_at_ms")?),
        updated_at: Timestamp(row.get("updated_at_ms")?),
    };
    Ok(BookOrder {
        number,
        group: OrderNumber(row.get("group_number")?),
        order,
        terms: Terms::default(), // a ticket has no others
        opens: row.get("opens")?,
        working_since: row.get::<_, Option<i64>>("working_since_at_ms")?.map(Timestamp),
        triggered: row.get("triggered")?,
        best_price: row.get::<_, Option<i64>>("best_price_e8")?.map(Price),
        reserve_price: Price(row.get("reserve_price_e8")?),
        filled_value: Money(row.get("filled_value_e8")?),
        fees: Money(row.get("fees_e8")?),
    })
}

fn execution(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let number = ExecutionNumber(row.get(0)?);
    let order = OrderNumber(row.get(5)?);
    let fill = Fill {
        execution_id: number.to_string(),
        broker_order_id: order.to_string(),
        client_order_id: client_order_id(row.get(6)?)?,
        symbol: symbol(row)?,
        side: word(row, "side", codec::side)?,
        quantity: Quantity(row.get(1)?),
        price: Price(row.get(2)?),
        fee: Money(row.get(3)?),
        at: Timestamp(row.get(4)?),
    };
    Ok(Execution { number, order, fill })
}
