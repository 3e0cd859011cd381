//! Ledgers for tests: real files in a folder that goes away, and things to put into them.

use std::path::{Path, PathBuf};

use daybook_core::decision::{Decision, Review};
use daybook_core::market::Symbol;
use daybook_core::money::{Bps, Money, Price, Quantity};
use daybook_core::order::{
    Action, ClientOrderId, Fill, Intent, Order, OrderClass, OrderRole, OrderStatus, OrderTicket, OrderType, Purpose,
    Side, TimeInForce,
};
use daybook_core::risk::{Check, CheckName, Verdict};
use daybook_core::strategy::{Direction, Reason, Signal};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::params;
use tempfile::TempDir;

use super::alert::{Route, Routes};
use super::codec::{Json, Text};
use super::decision::{RunRef, Written, write_decision};
use super::{Ledger, LedgerKind, NewLedger, OpenOptions};

/// 2026-11-16, a Monday, at the open.
pub(crate) const OPEN: Timestamp = Timestamp(1_794_839_400_000);

/// A fresh ledger of a simulation, removed when dropped.
pub(crate) struct TestLedger {
    pub(crate) ledger: Ledger,
    folder: TempDir,
}

impl TestLedger {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger =
            Ledger::open(&folder.path().join("day.db"), &OpenOptions::create_or_open(new_simulation())).unwrap();
        Self { ledger, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.ledger.path()
    }

    /// The same, in turn: as a simulated clock has it.
    pub(crate) fn in_turn() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::create_or_open(new_simulation()).in_turn_if(true);
        Self { ledger: Ledger::open(&folder.path().join("day.db"), &options).unwrap(), folder }
    }

    /// How SQLite finds the rows of a statement, a line a table.
    pub(crate) fn plan(&self, sql: &str) -> Vec<String> {
        self.ledger
            .read(|conn| {
                let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                // Without the values: the plan leans on none.
                let (mut rows, mut lines) = (statement.raw_query(), Vec::new());
                while let Some(row) = rows.next()? {
                    lines.push(row.get(3)?);
                }
                Ok(lines)
            })
            .unwrap()
    }

    /// A claimed run of `job` (also its kind), `minute` minutes after the open.
    pub(crate) fn run(&self, job: &str, minute: i64) -> RunRef {
        let slot = Timestamp(OPEN.0 + minute * 60_000);
        let name = job.to_owned();
        let run_id = self
            .ledger
            .write_blocking(move |tx| {
                tx.execute(
                    "INSERT INTO job (name, kind, definition, horizon_at_ms, updated_at_ms) VALUES (?1, ?1, '{}', 0, 0)
                     ON CONFLICT DO NOTHING",
                    [&name],
                )?;
                tx.execute(
                    "INSERT INTO run (job, kind, slot_at_ms, session, trigger, state, not_before_ms, due_at_ms)
                     VALUES (?1, ?1, ?2, ?3, 'schedule', 'claimed', ?2, ?2)",
                    params![name, slot.0, Text(session())],
                )?;
                Ok(tx.last_insert_rowid())
            })
            .unwrap();
        RunRef { run_id, job: job.to_owned(), slot, session: Some(session()), account: "paper".to_owned() }
    }

    /// Commits a decision at the run's slot, for the channels `email` and `file`.
    pub(crate) fn decide(&self, run: &RunRef, decision: &Decision) -> Written {
        let (run, decision) = (run.clone(), decision.clone());
        let channels = Routes::from([Route::every("email"), Route::every("file")]);
        self.ledger.write_blocking(move |tx| write_decision(tx, &run, &decision, &channels, run.slot)).unwrap()
    }

    /// Records a decision with its run.
    pub(crate) fn record(&self, run: &RunRef, decision: &Decision) {
        let (run_id, decision) = (run.run_id, decision.clone());
        self.ledger
            .write_blocking(move |tx| {
                tx.execute(
                    "INSERT INTO run_record (run_id, parameters, facts, decision, settings_hash, decision_sha256)
                     VALUES (?1, '{}', '{}', ?2, '', '')",
                    params![run_id, Json(&decision)],
                )?;
                tx.execute("UPDATE run SET state = 'decided', decided_at_ms = slot_at_ms WHERE run_id = ?1", [run_id])?;
                Ok(())
            })
            .unwrap();
    }

    /// Closes the ledger; its files stay until the folder is dropped.
    pub(crate) fn close(self) -> (PathBuf, TempDir) {
        (self.ledger.path().to_owned(), self.folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) fn new_simulation() -> NewLedger {
    NewLedger::simulated(LedgerKind::Simulation, "paper", "seed 1", Timestamp(1_000))
}

pub(crate) fn session() -> SessionDate {
    SessionDate::of(2026, 11, 16).unwrap()
}

pub(crate) fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

pub(crate) fn signal(name: &str) -> Signal {
    Signal {
        symbol: symbol(name),
        strategy: "orb".to_owned(),
        direction: Direction::Long,
        entry: Price::from_cents(10_000),
        stop: Price::from_cents(98_00),
        target: Price::from_cents(10_300),
        confidence: Bps(7_000),
        reasons: vec![Reason::new("range high", "99.80")],
        valid_until: Timestamp(OPEN.0 + 3_600_000),
    }
}

pub(crate) fn refused(by: CheckName) -> Verdict {
    let check = Check { name: by, passed: false, value: "55%".to_owned(), limit: "60%".to_owned() };
    Verdict { quantity: None, refused_by: Some(by), checks: vec![check] }
}

/// An entry: the signal with its verdict, the intent, and the ticket in it.
pub(crate) struct Entry {
    pub(crate) review: Review,
    pub(crate) intent: Intent,
    pub(crate) ticket: OrderTicket,
}

/// An approved entry of `shares` with a bracket around it.
pub(crate) fn enter(day: &TestLedger, run: &RunRef, leg: u32, name: &str, shares: i64) -> Entry {
    let signal = signal(name);
    let ticket = OrderTicket {
        client_order_id: ClientOrderId::derive(&day.ledger.meta().ledger_id, &run.job, run.slot, leg, 0),
        symbol: signal.symbol,
        side: Side::Buy,
        quantity: Quantity::whole(shares),
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        class: OrderClass::Bracket { take_profit: signal.target, stop_loss: signal.stop },
    };
    let intent = Intent {
        leg,
        purpose: Purpose::Enter,
        action: Action::Submit(ticket.clone()),
        valid_until: Some(signal.valid_until),
        reason: "orb".to_owned(),
    };
    let verdict = Verdict { quantity: Some(Quantity::whole(shares)), refused_by: None, checks: vec![] };
    Entry { review: Review { signal, verdict, leg: Some(leg) }, intent, ticket }
}

/// The order of a ticket, just accepted at `at`.
pub(crate) fn order_of(ticket: &OrderTicket, broker_order_id: &str, at: i64) -> Order {
    Order {
        broker_order_id: broker_order_id.to_owned(),
        client_order_id: ticket.client_order_id.clone(),
        parent: None,
        role: OrderRole::Parent,
        symbol: ticket.symbol,
        side: ticket.side,
        quantity: ticket.quantity,
        order_type: ticket.order_type,
        time_in_force: ticket.time_in_force,
        class: ticket.class,
        status: OrderStatus::New,
        filled: Quantity::ZERO,
        average_price: None,
        reason: None,
        submitted_at: Timestamp(at),
        updated_at: Timestamp(at),
    }
}

/// The execution of all that an order has filled, a second after it was submitted.
pub(crate) fn fill_of(order: &Order, execution_id: &str) -> Fill {
    Fill {
        execution_id: execution_id.to_owned(),
        broker_order_id: order.broker_order_id.clone(),
        client_order_id: order.client_order_id.clone(),
        symbol: order.symbol,
        side: order.side,
        quantity: order.filled,
        price: order.average_price.unwrap_or(Price::from_cents(10_000)),
        fee: Money(50_000_000),
        at: Timestamp(order.submitted_at.0 + 1_000),
    }
}
