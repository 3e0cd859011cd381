//! Executions: recorded once each, and folded into positions as they are recorded.
//!
//! Positions are the fold of their fills in the order in which those traded, whenever they arrive: one that
//! arrives after a later one of its symbol has the positions folded again.

use daybook_core::market::Symbol;
use daybook_core::money::{Money, Price, Quantity};
use daybook_core::order::{Action, Fill, OrderClass, OrderRole, Purpose};
use daybook_core::portfolio::{Booked, Effect, EntryPlan, FillOrigin, book, sort_fills};
use daybook_core::report::SessionResult;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::codec::{Text, Word};
use super::position::{self, Cause};
use super::{LedgerError, day, intent, meta, refold};

const SQL_INSERT: &str = "
    INSERT INTO fill (account, execution_id, broker_order_id, client_order_id, symbol, side, quantity_e9, price_e8, fee_e8,
        realised_e8, session, at_ms, recorded_at_ms, position_id)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
/// The columns of a [`StoredFill`], in the order in which [`from_row`] reads them.
macro_rules! select_fill {
    ($rest:literal) => {
        concat!(
            "SELECT fill_id, execution_id, broker_order_id, client_order_id, symbol, side, quantity_e9, price_e8, fee_e8, at_ms,
                realised_e8, session, position_id FROM fill ",
            $rest
        )
    };
}
const SQL_KNOWN: &str = select_fill!("WHERE account = ?1 AND execution_id = ?2");
const SQL_OF_SESSION: &str = select_fill!("WHERE account = ?1 AND session = ?2 ORDER BY at_ms, fill_id");
const SQL_OF_ORDER: &str = select_fill!("WHERE account = ?1 AND broker_order_id = ?2 ORDER BY fill_id");
const SQL_ALL: &str = select_fill!("WHERE account = ?1 ORDER BY fill_id");
const SQL_SINCE: &str = select_fill!("WHERE account = ?1 AND at_ms >= ?2 ORDER BY fill_id");
const SQL_OF_SYMBOL: &str =
    select_fill!("WHERE account = ?1 AND symbol = ?2 AND at_ms >= ?3 ORDER BY at_ms, execution_id");
const SQL_IS_LATE: &str = "
    SELECT EXISTS (SELECT 1 FROM fill WHERE account = ?1 AND symbol = ?2 AND at_ms >= ?3
        AND (at_ms > ?3 OR execution_id > ?4))";
const SQL_ROLE: &str = "
    SELECT role, coalesce(parent_client_order_id, client_order_id) FROM broker_order
    WHERE account = ?1 AND broker_order_id = ?2";
const SQL_STRATEGY: &str = "SELECT strategy FROM signal WHERE signal_id = ?1";
const SQL_LEAVES_A_REST: &str = "
    SELECT quantity_e9 > (SELECT sum(fill.quantity_e9) FROM fill
        WHERE fill.account = ?1 AND fill.broker_order_id = ?2 AND (fill.at_ms, fill.execution_id) <= (?3, ?4))
    FROM broker_order WHERE account = ?1 AND broker_order_id = ?2";
const SQL_CURSOR: &str = "SELECT cursor FROM fill_cursor WHERE account = ?1";
const SQL_SET_CURSOR: &str = "
    INSERT INTO fill_cursor (account, cursor, updated_at_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (account) DO UPDATE SET cursor = excluded.cursor, updated_at_ms = excluded.updated_at_ms
    WHERE cursor <> excluded.cursor";
const SQL_RESULT: &str = "
    SELECT coalesce(sum(realised_e8), 0), coalesce(sum(fee_e8), 0) FROM fill WHERE session = ?2 AND account = ?1";

/// An execution with its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredFill {
    /// Its row.
    pub fill_id: i64,
    /// The execution.
    #[serde(flatten)]
    pub fill: Fill,
    /// What it realised, before its fee.
    pub realised: Money,
    /// The date in New York on which it traded.
    pub session: SessionDate,
    /// The position that it opened, added to or reduced last.
    pub position_id: i64,
}

/// What became of executions that were shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FillsRecorded {
    /// Executions that are new, in the order in which they were booked.
    pub new: Vec<Fill>,
    /// Executions that were there already, the same.
    pub repeated: usize,
    /// Executions that were there already under other terms: the first ones stay, and a person must look.
    pub conflicts: Vec<FillConflict>,
}

/// An execution that differs from the one recorded under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillConflict {
    /// What is recorded, and stays.
    pub kept: Fill,
    /// What was shown.
    pub shown: Fill,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredFill> {
    Ok(StoredFill {
        fill_id: row.get(0)?,
        fill: Fill {
            execution_id: row.get(1)?,
            broker_order_id: row.get(2)?,
            client_order_id: row.get::<_, Text<_>>(3)?.0,
            symbol: row.get::<_, Text<_>>(4)?.0,
            side: row.get::<_, Word<_>>(5)?.0,
            quantity: Quantity(row.get(6)?),
            price: Price(row.get(7)?),
            fee: Money(row.get(8)?),
            at: Timestamp(row.get(9)?),
        },
        realised: Money(row.get(10)?),
        session: row.get::<_, Text<_>>(11)?.0,
        position_id: row.get(12)?,
    })
}

/// Records a page of executions and where the next one begins, in one transaction: what is recorded is
/// never read again, and what is not is read again.
///
/// # Errors
/// If the ledger cannot be written, or a sum does not fit.
pub fn record_page(
    tx: &Transaction<'_>,
    account: &str,
    fills: &[Fill],
    cursor: &str,
    now: Timestamp,
) -> Result<FillsRecorded, LedgerError> {
    let recorded = record(tx, account, fills, now)?;
    tx.prepare_cached(SQL_SET_CURSOR)?.execute(params![account, cursor, now.0])?;
    Ok(recorded)
}

/// Records executions that are new and folds them into positions, by time and then by execution id.
/// The orders behind them should be recorded first: a leg's fill says why a position was left.
///
/// # Errors
/// If the ledger cannot be written, or a sum does not fit.
pub fn record(
    tx: &Transaction<'_>,
    account: &str,
    fills: &[Fill],
    now: Timestamp,
) -> Result<FillsRecorded, LedgerError> {
    let mut fills = fills.to_vec();
    sort_fills(&mut fills);
    let mut recorded = FillsRecorded::default();
    for fill in fills {
        let known = tx.prepare_cached(SQL_KNOWN)?.query_row([account, &fill.execution_id], from_row).optional()?;
        match known {
            None => {
                if is_late(tx, account, &fill)? {
                    refold::insert_late(tx, account, &fill, now)?;
                } else {
                    book_and_insert(tx, account, &fill, now)?;
                }
                recorded.new.push(fill);
            }
            Some(known) if known.fill == fill => recorded.repeated += 1,
            Some(known) => recorded.conflicts.push(FillConflict { kept: known.fill, shown: fill }),
        }
    }
    if let Some(first) = recorded.new.first() {
        day::report_anew(tx, account, super::new_york_date(first.at), now)?;
    }
    Ok(recorded)
}

/// Books a new execution on the open position of its symbol and writes both.
fn book_and_insert(tx: &Transaction<'_>, account: &str, fill: &Fill, now: Timestamp) -> Result<(), LedgerError> {
    let before = position::open_of(tx, account, fill.symbol)?;
    let held = before.as_ref().map(|stored| stored.position_id);
    let booked = book(before.map(|stored| stored.position), fill, &origin(tx, account, fill)?).map_err(|error| {
        LedgerError::Refused { what: "execution", key: fill.execution_id.clone(), reason: error.to_string() }
    })?;

    // The position that was held goes first: one of a symbol is open at a time.
    let ended = match (&booked.closed, &booked.open, held) {
        (Some(closed), _, Some(id)) => {
            position::update(tx, id, closed)?;
            Some(id)
        }
        (None, Some(open), Some(id)) => {
            position::update(tx, id, open)?;
            None
        }
        (_, _, None) | (None, None, Some(_)) => None,
    };
    let opened = match &booked.open {
        Some(open) if booked.effects.contains(&Effect::Opened) => Some(position::insert(tx, account, open)?),
        Some(_) | None => None,
    };
    // A fold answers a position that is open, one that is closed, or both.
    let Some(position_id) = opened.or(held) else {
        return Err(LedgerError::Refused {
            what: "execution",
            key: fill.execution_id.clone(),
            reason: "it belongs to no position".to_owned(),
        });
    };
    let fill_id = insert(tx, account, fill, &booked, position_id, now)?;
    note_effects(tx, fill, fill_id, &booked, ended, position_id)
}

/// Whether a later execution of its symbol is booked already.
fn is_late(tx: &Transaction<'_>, account: &str, fill: &Fill) -> Result<bool, LedgerError> {
    let key = params![account, fill.symbol.as_str(), fill.at.0, fill.execution_id];
    Ok(tx.prepare_cached(SQL_IS_LATE)?.query_row(key, |row| row.get(0))?)
}

/// The account's executions in a symbol from an instant on, in the order in which they are booked.
pub(super) fn of_symbol_since(
    conn: &Connection,
    account: &str,
    symbol: Symbol,
    since: Timestamp,
) -> Result<Vec<StoredFill>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_OF_SYMBOL)?;
    let fills = select.query_map(params![account, symbol.as_str(), since.0], from_row)?;
    Ok(fills.collect::<Result<_, _>>()?)
}

/// What is known of the order behind a fill: its role, and the plan of the entry if it enters.
pub(super) fn origin(tx: &Transaction<'_>, account: &str, fill: &Fill) -> Result<FillOrigin, LedgerError> {
    let order = tx
        .prepare_cached(SQL_ROLE)?
        .query_row([account, &fill.broker_order_id], |row| {
            Ok((row.get::<_, Word<OrderRole>>(0)?.0, row.get::<_, Text<_>>(1)?.0))
        })
        .optional()?;
    let (mut role, sent_as) = order.unwrap_or_else(|| (OrderRole::Parent, fill.client_order_id.clone()));
    let plan = match intent::by_client_order_id(tx, &sent_as)? {
        Some(stored) if stored.intent.purpose == Purpose::Enter => match &stored.intent.action {
            Action::Submit(ticket) => match ticket.class {
                OrderClass::Bracket { take_profit, stop_loss } => {
                    let strategy = tx
                        .prepare_cached(SQL_STRATEGY)?
                        .query_row([stored.signal_id], |row| row.get(0))
                        .optional()?
                        .unwrap_or(stored.intent.reason);
                    Some(EntryPlan { strategy, stop: stop_loss, target: take_profit })
                }
                OrderClass::Simple | OrderClass::Oco { .. } => None,
            },
            Action::Cancel { .. } | Action::ReplaceStop { .. } | Action::Close { .. } => None,
        },
        // A stop that was put behind shares without one stands alone, and is one all the same.
        Some(stored) if stored.intent.purpose == Purpose::Protect => {
            role = OrderRole::StopLoss;
            None
        }
        Some(_) | None => None,
    };
    let is_ours = plan.is_some() || sent_as.is_correction() || sent_as.belongs_to(&meta::ledger_id(tx)?);
    Ok(FillOrigin { role, plan, is_ours })
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    account: &str,
    fill: &Fill,
    booked: &Booked,
    position_id: i64,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    Ok(tx.prepare_cached(SQL_INSERT)?.insert(params![
        account,
        fill.execution_id,
        fill.broker_order_id,
        fill.client_order_id.as_str(),
        fill.symbol.as_str(),
        fill.side.as_str(),
        fill.quantity.0,
        fill.price.0,
        fill.fee.0,
        realised_by(booked).0,
        Text(super::new_york_date(fill.at)),
        fill.at.0,
        now.0,
        position_id
    ])?)
}

/// What a fill realised: it reduces or closes at most one position.
pub(super) fn realised_by(booked: &Booked) -> Money {
    let realised = booked.effects.iter().find_map(|effect| match effect {
        Effect::Reduced { realised } | Effect::Closed { realised } => Some(*realised),
        Effect::Opened | Effect::Added => None,
    });
    realised.unwrap_or_default()
}

/// Writes what a fill did to positions: to the one that `ended` with it, and to the one that it opened, added to
/// or reduced.
pub(super) fn note_effects(
    tx: &Transaction<'_>,
    fill: &Fill,
    fill_id: i64,
    booked: &Booked,
    ended: Option<i64>,
    position_id: i64,
) -> Result<(), LedgerError> {
    for effect in &booked.effects {
        let (kind, id, after) = match effect {
            Effect::Opened => ("opened", Some(position_id), &booked.open),
            Effect::Added => ("added", Some(position_id), &booked.open),
            Effect::Reduced { .. } => ("reduced", Some(position_id), &booked.open),
            Effect::Closed { .. } => ("closed", ended, &booked.closed),
        };
        if let (Some(id), Some(after)) = (id, after) {
            let detail = after.exit_reason.as_deref().filter(|_| kind == "closed");
            position::note(tx, id, after, &Cause { at: fill.at, kind, run_id: None, fill_id: Some(fill_id), detail })?;
        }
    }
    Ok(())
}

/// Whether an order was not filled in whole by a recorded execution and those before it; false of an order that was
/// never shown.
///
/// # Errors
/// If the ledger cannot be read.
pub fn leaves_a_rest(conn: &Connection, account: &str, fill: &Fill) -> Result<bool, LedgerError> {
    let key = params![account, fill.broker_order_id, fill.at.0, fill.execution_id];
    let leaves: Option<bool> = conn.prepare_cached(SQL_LEAVES_A_REST)?.query_row(key, |row| row.get(0)).optional()?;
    Ok(leaves.unwrap_or(false))
}

/// Where the next page of executions begins; `None` before the first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn cursor(conn: &Connection, account: &str) -> Result<Option<String>, LedgerError> {
    Ok(conn.prepare_cached(SQL_CURSOR)?.query_row([account], |row| row.get(0)).optional()?)
}

/// The account's executions on a session's date in New York, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_session(conn: &Connection, account: &str, session: SessionDate) -> Result<Vec<StoredFill>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_OF_SESSION)?;
    Ok(select.query_map(params![account, Text(session)], from_row)?.collect::<Result<_, _>>()?)
}

/// The executions of an order, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_order(conn: &Connection, account: &str, broker_order_id: &str) -> Result<Vec<StoredFill>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OF_ORDER)?.query_map([account, broker_order_id], from_row)?.collect::<Result<_, _>>()?)
}

/// Every execution of the account, in the order in which they were booked.
///
/// # Errors
/// If the ledger cannot be read.
pub fn all(conn: &Connection, account: &str) -> Result<Vec<StoredFill>, LedgerError> {
    Ok(conn.prepare_cached(SQL_ALL)?.query_map([account], from_row)?.collect::<Result<_, _>>()?)
}

/// The account's executions from an instant on, in the order in which they were booked.
///
/// # Errors
/// If the ledger cannot be read.
pub fn traded_since(conn: &Connection, account: &str, since: Timestamp) -> Result<Vec<StoredFill>, LedgerError> {
    Ok(conn.prepare_cached(SQL_SINCE)?.query_map(params![account, since.0], from_row)?.collect::<Result<_, _>>()?)
}

/// What a session has brought by its executions.
///
/// # Errors
/// If the ledger cannot be read.
pub fn session_result(conn: &Connection, account: &str, session: SessionDate) -> Result<SessionResult, LedgerError> {
    Ok(conn.prepare_cached(SQL_RESULT)?.query_row(params![account, Text(session)], |row| {
        Ok(SessionResult { realised: Money(row.get(0)?), fees: Money(row.get(1)?) })
    })?)
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::Decision;
    use daybook_core::order::{Order, OrderStatus, OrderType, Side};
    use daybook_core::portfolio::{Book, PositionChange, PositionEvent, PositionState};
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::order;
    use crate::ledger::testing::{OPEN, TestLedger, enter, order_of, session, symbol};

    fn fill(number: u32, order: &str, side: Side, shares: i64, cents: i64) -> Fill {
        Fill {
            execution_id: format!("x-{number:04}"),
            broker_order_id: order.to_owned(),
            client_order_id: format!("c-{order}").parse().unwrap(),
            symbol: symbol("AAPL"),
            side,
            quantity: Quantity::whole(shares),
            price: Price::from_cents(cents),
            fee: Money(1_000_000),
            at: Timestamp(OPEN.0 + i64::from(number) * 1_000),
        }
    }

    fn show(day: &TestLedger, fills: &[Fill], cursor: &str) -> FillsRecorded {
        let (fills, cursor) = (fills.to_vec(), cursor.to_owned());
        day.ledger.write_blocking(move |tx| record_page(tx, "paper", &fills, &cursor, OPEN)).unwrap()
    }

    /// Every row that fills lead to.
    fn rows(day: &TestLedger) -> impl PartialEq + std::fmt::Debug + use<> {
        day.ledger
            .read(|conn| {
                let events: i64 = conn.query_row("SELECT count(*) FROM position_event", [], |row| row.get(0))?;
                Ok((all(conn, "paper")?, position::all(conn, "paper")?, events, cursor(conn, "paper")?))
            })
            .unwrap()
    }

    #[test]
    fn an_entry_and_its_stop_become_a_trade() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        day.decide(&run, &Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() });
        let parent = order_of(&ours.ticket, "b-1", OPEN.0);
        let leg = Order {
            broker_order_id: "b-2".to_owned(),
            client_order_id: "leg-2".parse().unwrap(),
            parent: Some(parent.client_order_id.clone()),
            role: OrderRole::StopLoss,
            side: Side::Sell,
            order_type: OrderType::Stop { stop: Price::from_cents(98_00) },
            class: OrderClass::Simple,
            status: OrderStatus::Held,
            ..parent.clone()
        };
        day.ledger.write_blocking(move |tx| order::record(tx, "paper", &[parent, leg], OPEN)).unwrap();

        let entry = [fill(1, "b-1", Side::Buy, 60, 10_000), fill(2, "b-1", Side::Buy, 40, 10_010)];
        assert_eq!(show(&day, &entry, "p1").new.len(), 2);
        let held = day.ledger.read(|conn| position::open(conn, "paper")).unwrap();
        assert_eq!(held.len(), 1);
        let position = &held[0].position;
        assert_eq!(position.strategy.as_deref(), Some("orb"));
        assert_eq!(position.entry_price, Price::from_cents(10_004));
        assert_eq!((position.stop, position.target), (Some(Price::from_cents(98_00)), Some(Price::from_cents(10_300))));

        let watched = PositionChange { symbol: symbol("AAPL"), event: PositionEvent::Watched };
        let late = PositionChange { symbol: symbol("AAPL"), event: PositionEvent::AdjustEnded };
        let monitor = day.run("risk-monitor", 6);
        day.decide(&monitor, &Decision { positions: vec![watched, late], ..Decision::default() });
        let held = day.ledger.read(|conn| position::open_of(conn, "paper", symbol("AAPL"))).unwrap().unwrap();
        assert_eq!(held.position.state, PositionState::Monitoring);

        show(&day, &[fill(900, "b-2", Side::Sell, 100, 97_99)], "p2");
        let trades = day.ledger.read(|conn| position::closed_in(conn, "paper", session())).unwrap();
        assert_eq!(trades[0].position.exit_reason.as_deref(), Some("stop"));
        let result = day.ledger.read(|conn| session_result(conn, "paper", session())).unwrap();
        assert_eq!(result, SessionResult { realised: Money::whole(-205), fees: Money(3_000_000) });
        assert_eq!(result.realised, trades[0].position.realised);
        let story = day.ledger.read(|conn| position::history(conn, trades[0].position_id)).unwrap();
        let kinds: Vec<_> = story.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["opened", "added", "watched", "closed"]);
        assert_eq!(day.ledger.read(|conn| cursor(conn, "paper")).unwrap().as_deref(), Some("p2"));
    }

    #[test]
    fn a_fill_through_zero_is_a_trade_and_a_new_position() {
        let day = TestLedger::new();
        show(&day, &[fill(1, "b-1", Side::Buy, 10, 10_00), fill(2, "b-2", Side::Sell, 15, 11_00)], "p1");
        let positions = day.ledger.read(|conn| position::all(conn, "paper")).unwrap();
        let states: Vec<_> = positions.iter().map(|stored| (stored.position.state, stored.position.quantity)).collect();
        assert_eq!(states, [(PositionState::Closed, Quantity::ZERO), (PositionState::Open, Quantity::whole(5))]);
        let fills = day.ledger.read(|conn| of_session(conn, "paper", session())).unwrap();
        assert_eq!(fills[1].position_id, positions[1].position_id);
        assert_eq!(fills[1].realised, Money::whole(10));
    }

    #[test]
    fn an_execution_under_other_terms_is_a_conflict_and_changes_nothing() {
        let day = TestLedger::new();
        let first = fill(1, "b-1", Side::Buy, 10, 10_00);
        show(&day, std::slice::from_ref(&first), "p1");
        let other = Fill { quantity: Quantity::whole(11), ..first.clone() };
        let recorded = show(&day, std::slice::from_ref(&other), "p2");
        assert_eq!(recorded.conflicts, [FillConflict { kept: first, shown: other }]);
        let held = day.ledger.read(|conn| position::open(conn, "paper")).unwrap();
        assert_eq!(held[0].position.quantity, Quantity::whole(10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn fills_shown_twice_change_nothing_and_positions_are_their_fold(
            trades in proptest::collection::vec((any::<bool>(), 1_i64..50, 9_00_i64..11_00), 1..20),
            page in 1_usize..7,
        ) {
            let fills: Vec<Fill> = (1..)
                .zip(&trades)
                .map(|(number, (buys, shares, cents))| {
                    fill(number, "b-1", if *buys { Side::Buy } else { Side::Sell }, *shares, *cents)
                })
                .collect();
            let day = TestLedger::new();
            for (number, page) in fills.chunks(page).enumerate() {
                show(&day, page, &format!("p{number}"));
            }
            let once = rows(&day);
            let last = format!("p{}", fills.chunks(page).count() - 1);
            let again = show(&day, &fills, &last);
            prop_assert_eq!(again, FillsRecorded { repeated: fills.len(), ..FillsRecorded::default() });
            prop_assert_eq!(rows(&day), once);

            let mut book = Book::default();
            for fill in &fills {
                book.apply(fill, &FillOrigin::STRANGER).unwrap();
            }
            let stored = day.ledger.read(|conn| position::all(conn, "paper")).unwrap();
            let folded: Vec<_> = book.closed.iter().chain(book.open.values()).collect();
            prop_assert_eq!(stored.iter().map(|stored| &stored.position).collect::<Vec<_>>(), folded);
        }
    }
}
