//! Checks of the whole ledger: SQLite's own, and the rows that `core::audit` holds against its invariants.

use daybook_core::audit::{
    DayRow, ExpectedSlot, FillRow, HaltRow, IntentAction, IntentRow, JobRow, LedgerView, MissedRow, OrderEventRow,
    OrderRow, PositionRow, RunRow, SignalRow, VerdictRow,
};
use daybook_core::calendar::Session;
use daybook_core::money::{Money, Quantity};
use daybook_core::time::{Span, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::codec::{Text, Word};
use super::{LedgerError, equity, event, fill, order, position};

/// Findings of SQLite's check that are told; a file with more is beyond a list.
const FINDINGS_MAX: i64 = 100;

const SQL_JOBS: &str = "SELECT name, horizon_at_ms FROM job";
const SQL_RUNS: &str = "
    SELECT run_id, job, kind, slot_at_ms, trigger = 'schedule', session,
        state IN ('done', 'dead', 'skipped', 'expired', 'canceled'), epoch, decided_at_ms, finished_at_ms FROM run
    WHERE run_id > ?2 OR (run_id < 0 AND slot_at_ms >= ?1) OR (kind = 'market-close-flatten' AND slot_at_ms >= ?1)";
const SQL_MISSED: &str = "SELECT job, from_at_ms, to_at_ms FROM missed_range WHERE to_at_ms >= ?1";
const SQL_SIGNALS: &str = "
    SELECT signal_id, symbol, verdict.signal_id IS NOT NULL, iif(verdict.refused_by IS NULL, verdict.quantity_e9, NULL)
    FROM signal LEFT JOIN verdict USING (signal_id) WHERE at_ms >= ?1";
const SQL_INTENTS: &str = "
    SELECT intent_id, purpose, action, client_order_id, symbol, quantity_e9, signal_id, decided_at_ms, valid_until_ms,
        submitted_at_ms, state FROM intent WHERE decided_at_ms >= ?1";
const SQL_ORDER_EVENTS: &str =
    "SELECT broker_order_id, status, filled_e9, at_ms FROM broker_order_event WHERE account = ?1 AND at_ms >= ?2";
const SQL_DAYS: &str = "
    SELECT session, opening_equity_e8, closing_equity_e8, realised_e8, unrealised_e8, fees_e8 FROM day_report
    WHERE at_ms >= ?1 AND session NOT IN (SELECT session FROM run
        WHERE finished_at_ms IS NULL AND kind = 'daily-summary' AND session IS NOT NULL)";
/// What moves with every row that [`Traded`] is of: an order, a fill and a position each write an event of their own, and
/// a process that opens a ledger which was restored takes the lease anew.
const SQL_TRADED_MARK: &str = "
    SELECT (SELECT max(epoch) FROM lease), (SELECT max(signal_id) FROM signal), (SELECT max(signal_id) FROM verdict),
        (SELECT max(broker_order_event_id) FROM broker_order_event), (SELECT max(fill_id) FROM fill),
        (SELECT max(position_event_id) FROM position_event),
        (SELECT group_concat(intent_id || state || attempts) FROM intent WHERE decided_at_ms >= ?1)";
const SQL_HALTS: &str = "SELECT kind, set_at_ms, until_ms, cleared_at_ms FROM halt";

/// What SQLite found wrong with the file; empty for a sound one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// Damage of pages, indexes and constraints, in SQLite's words.
    pub integrity: Vec<String>,
    /// Rows that refer to rows that are not there.
    pub foreign_keys: Vec<String>,
}

impl FileCheck {
    /// Everything that was found, a line each.
    pub fn findings(&self) -> impl Iterator<Item = &String> {
        self.integrity.iter().chain(&self.foreign_keys)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.integrity.is_empty() && self.foreign_keys.is_empty()
    }
}

/// Runs SQLite's full check and looks for broken references.
///
/// # Errors
/// If the file is too damaged to be checked.
pub fn check_file(conn: &Connection) -> Result<FileCheck, LedgerError> {
    let mut integrity = conn
        .prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    integrity.retain(|finding| finding != "ok");
    let foreign_keys = conn
        .prepare("PRAGMA foreign_key_check")?
        .query_map([], |row| {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            let row = row.get::<_, Option<i64>>(1)?.map_or_else(|| "a row".to_owned(), |id| format!("row {id}"));
            Ok(format!("{table}: {row} refers to a {parent} that is not there"))
        })?
        .collect::<Result<_, _>>()?;
    Ok(FileCheck { integrity, foreign_keys })
}

/// What the rows of a ledger are held against, beside themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFrame {
    /// When the rows are read.
    pub as_of: Timestamp,
    /// How long shares may lie without a stop.
    pub unprotected_limit: Span,
    /// The sessions that the rows cover.
    pub sessions: Vec<Session>,
    /// Slots that the schedules name up to each job's horizon; empty where the definitions have changed.
    pub slots: Vec<ExpectedSlot>,
    /// Which rows are read.
    pub since: Since,
}

/// From where on an audit reads rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Rows of what was traded from here on; the account was flat then.
    pub at: Timestamp,
    /// Runs, and figures of runs, after this one.
    pub run_id: i64,
}

impl Since {
    /// Everything.
    pub const BEGINNING: Self = Self { at: Timestamp(i64::MIN), run_id: i64::MIN };
}

/// Every row that the audit reads.
///
/// # Errors
/// If the ledger cannot be read.
pub fn audit_view(conn: &Connection, account: &str, frame: AuditFrame) -> Result<LedgerView, LedgerError> {
    let traded = Traded::read(conn, account, frame.since)?;
    view_with(conn, frame, traded)
}

/// Every row that an audit reads which is made again and again: what was decided and traded is read again only after
/// something of it has changed.
#[derive(Default)]
pub struct RepeatedView {
    mark: Option<(Since, TradedMark)>,
    view: Option<LedgerView>,
}

/// See [`SQL_TRADED_MARK`].
type TradedMark = ([Option<i64>; 6], Option<String>);

impl RepeatedView {
    /// The rows as they are now.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn look(&mut self, conn: &Connection, account: &str, frame: AuditFrame) -> Result<&LedgerView, LedgerError> {
        let since = Since { run_id: 0, ..frame.since };
        let mark = conn.prepare_cached(SQL_TRADED_MARK)?.query_row([since.at.0], |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?], row.get(6)?))
        })?;
        let mark = Some((since, mark));
        let traded = match self.view.take() {
            Some(view) if self.mark == mark => Traded::of(view),
            Some(_) | None => Traded::read(conn, account, since)?,
        };
        self.mark = mark;
        Ok(self.view.insert(view_with(conn, frame, traded)?))
    }
}

/// The rows of what was decided and traded, and when a backup was put in their place.
struct Traded {
    signals: Vec<SignalRow>,
    intents: Vec<IntentRow>,
    orders: Vec<OrderRow>,
    order_events: Vec<OrderEventRow>,
    fills: Vec<FillRow>,
    positions: Vec<PositionRow>,
    restores: Vec<Timestamp>,
}

impl Traded {
    fn of(view: LedgerView) -> Self {
        let LedgerView { signals, intents, orders, order_events, fills, positions, restores, .. } = view;
        Self { signals, intents, orders, order_events, fills, positions, restores }
    }

    fn read(conn: &Connection, account: &str, since: Since) -> Result<Self, LedgerError> {
        let fills = fill::traded_since(conn, account, since.at)?.into_iter();
        let positions = position::opened_since(conn, account, since.at)?.into_iter();
        Ok(Self {
            signals: rows(conn, SQL_SIGNALS, [since.at.0], |row| {
                let verdict = VerdictRow { approved: row.get::<_, Option<i64>>(3)?.map(Quantity) };
                let is_reviewed: bool = row.get(2)?;
                Ok(SignalRow {
                    signal_id: row.get(0)?,
                    symbol: row.get::<_, Text<_>>(1)?.0,
                    verdict: is_reviewed.then_some(verdict),
                })
            })?,
            intents: rows(conn, SQL_INTENTS, [since.at.0], intent)?,
            orders: order::submitted_since(conn, account, since.at)?
                .into_iter()
                .map(|stored| OrderRow { order: stored.order, intent_id: stored.intent_id })
                .collect(),
            order_events: rows(conn, SQL_ORDER_EVENTS, params![account, since.at.0], |row| {
                Ok(OrderEventRow {
                    broker_order_id: row.get(0)?,
                    status: row.get::<_, Word<_>>(1)?.0,
                    filled: Quantity(row.get(2)?),
                    at: Timestamp(row.get(3)?),
                })
            })?,
            fills: fills
                .map(|stored| FillRow { fill: stored.fill, realised: stored.realised, session: stored.session })
                .collect(),
            positions: positions
                .map(|stored| PositionRow { position_id: stored.position_id, position: stored.position })
                .collect(),
            restores: event::restores(conn, since.at)?,
        })
    }
}

fn view_with(conn: &Connection, frame: AuditFrame, traded: Traded) -> Result<LedgerView, LedgerError> {
    let AuditFrame { as_of, unprotected_limit, sessions, slots, since } = frame;
    let Traded { signals, intents, orders, order_events, fills, positions, restores } = traded;
    let from = [since.at.0];
    Ok(LedgerView {
        as_of,
        unprotected_limit,
        sessions,
        slots,
        jobs: rows(conn, SQL_JOBS, [], |row| Ok(JobRow { name: row.get(0)?, horizon: Timestamp(row.get(1)?) }))?,
        runs: rows(conn, SQL_RUNS, [since.at.0, since.run_id], run)?,
        missed: rows(conn, SQL_MISSED, from, |row| {
            Ok(MissedRow { job: row.get(0)?, from: Timestamp(row.get(1)?), to: Timestamp(row.get(2)?) })
        })?,
        signals,
        intents,
        orders,
        order_events,
        fills,
        positions,
        equity: equity::after_run(conn, since.run_id)?,
        days: rows(conn, SQL_DAYS, from, |row| {
            Ok(DayRow {
                session: row.get::<_, Text<_>>(0)?.0,
                opening_equity: Money(row.get(1)?),
                closing_equity: Money(row.get(2)?),
                realised: Money(row.get(3)?),
                unrealised: Money(row.get(4)?),
                fees: Money(row.get(5)?),
            })
        })?,
        restores,
        halts: rows(conn, SQL_HALTS, [], |row| {
            Ok(HaltRow {
                kind: row.get::<_, Word<_>>(0)?.0,
                since: Timestamp(row.get(1)?),
                until: instant(row, 2)?,
                cleared_at: instant(row, 3)?,
            })
        })?,
    })
}

fn rows<T, P: rusqlite::Params>(
    conn: &Connection,
    sql: &str,
    params: P,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LedgerError> {
    Ok(conn.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        run_id: row.get(0)?,
        job: row.get(1)?,
        kind: row.get::<_, Word<_>>(2)?.0,
        slot: Timestamp(row.get(3)?),
        is_scheduled: row.get(4)?,
        session: row.get::<_, Option<Text<_>>>(5)?.map(|text| text.0),
        is_final: row.get(6)?,
        epoch: row.get(7)?,
        decided_at: instant(row, 8)?,
        finished_at: instant(row, 9)?,
    })
}

fn intent(row: &Row<'_>) -> rusqlite::Result<IntentRow> {
    Ok(IntentRow {
        intent_id: row.get(0)?,
        purpose: row.get::<_, Word<_>>(1)?.0,
        action: row.get::<_, Word<IntentAction>>(2)?.0,
        client_order_id: row.get(3)?,
        symbol: row.get::<_, Text<_>>(4)?.0,
        quantity: row.get::<_, Option<i64>>(5)?.map(Quantity),
        signal_id: row.get(6)?,
        decided_at: Timestamp(row.get(7)?),
        valid_until: instant(row, 8)?,
        submitted_at: instant(row, 9)?,
        state: row.get::<_, Word<_>>(10)?.0,
    })
}

#[cfg(test)]
mod tests {
    use daybook_core::audit::{Invariant, audit};
    use daybook_core::decision::Decision;
    use daybook_core::order::{IntentEvent, Order, OrderStatus};

    use super::*;
    use crate::ledger::intent;
    use crate::ledger::testing::{OPEN, TestLedger, enter, fill_of, order_of};

    fn frame() -> AuditFrame {
        AuditFrame {
            as_of: Timestamp(OPEN.0 + 7 * 3_600_000),
            unprotected_limit: "2m".parse().unwrap(),
            sessions: vec![],
            slots: vec![],
            since: Since::BEGINNING,
        }
    }

    #[test]
    fn a_sound_file_has_no_findings() {
        let day = TestLedger::new();
        assert!(day.ledger.read(check_file).unwrap().is_sound());
    }

    #[test]
    fn a_broken_reference_is_found() {
        let day = TestLedger::new();
        let (path, _folder) = day.close();
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF; INSERT INTO equity VALUES (99, '2026-11-16', 1, 1, 1, 0, 0, 0, 0)",
        )
        .unwrap();
        let found = check_file(&conn).unwrap();
        assert_eq!(found.foreign_keys, ["equity: row 99 refers to a run that is not there"]);
    }

    #[test]
    fn the_rows_reach_the_audit() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        day.decide(&run, &Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() });
        let filled = Order {
            status: OrderStatus::Filled,
            filled: ours.ticket.quantity,
            ..order_of(&ours.ticket, "b-1", run.slot.0 + 10)
        };
        let fill = fill_of(&filled, "x-1");
        day.ledger
            .write_blocking(move |tx| {
                order::record(tx, "paper", &[filled], OPEN)?;
                fill::record(tx, "paper", &[fill], OPEN)
            })
            .unwrap();
        let view = day.ledger.read(|conn| audit_view(conn, "paper", frame())).unwrap();
        let counts = (view.runs.len(), view.signals.len(), view.intents.len(), view.orders.len());
        assert_eq!(counts, (1, 1, 1, 1));
        assert_eq!((view.order_events.len(), view.fills.len(), view.positions.len()), (1, 1, 1));

        // The order is at the broker, and the intent says that it was never sent: invariant 12.
        let broken: Vec<_> = audit(&view).into_iter().map(|violation| violation.invariant).collect();
        assert!(broken.contains(&Invariant::IntentAgrees), "{broken:?}");
        assert!(!broken.contains(&Invariant::PositionIsFold), "{broken:?}");
    }

    #[test]
    fn what_has_changed_is_read_again() {
        let day = TestLedger::new();
        let mut seen = RepeatedView::default();
        let mut look = |what: &str| {
            day.ledger
                .read(|conn| {
                    let anew = audit_view(conn, "paper", frame())?;
                    assert_eq!(seen.look(conn, "paper", frame())?, &anew, "{what}");
                    Ok((anew.intents.len(), anew.orders.len(), anew.fills.len()))
                })
                .unwrap()
        };
        assert_eq!(look("nothing yet"), (0, 0, 0));
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        day.decide(&run, &Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() });
        assert_eq!(look("an intent"), (1, 0, 0));
        let id = day.ledger.read(|conn| intent::of_run(conn, run.run_id)).unwrap()[0].intent_id;
        let sent = move |tx: &rusqlite::Transaction<'_>| intent::apply(tx, id, IntentEvent::Sending, None, OPEN);
        day.ledger.write_blocking(sent).unwrap();
        assert_eq!(look("the intent is sent"), (1, 0, 0));
        let order = order_of(&ours.ticket, "b-1", run.slot.0 + 10);
        let working = order.clone();
        day.ledger.write_blocking(move |tx| order::record(tx, "paper", &[working], OPEN)).unwrap();
        assert_eq!(look("an order"), (1, 1, 0));
        let filled = Order { status: OrderStatus::Filled, filled: ours.ticket.quantity, ..order };
        let fill = fill_of(&filled, "x-1");
        day.ledger.write_blocking(move |tx| order::record(tx, "paper", &[filled], OPEN)).unwrap();
        assert_eq!(look("the order fills"), (1, 1, 0));
        day.ledger.write_blocking(move |tx| fill::record(tx, "paper", &[fill], OPEN)).unwrap();
        assert_eq!(look("its fill is there"), (1, 1, 1));
    }
}
