//! Watches the account every minute: the day's loss, stops, holding times.
//!
//! Gathers: the broker's account, positions and orders; the ledger's positions, latches and results of
//! the session; a price for each position; what the run before saw. Decides:
//! [`risk::monitor`](daybook_core::risk::monitor()).

use async_trait::async_trait;
use daybook_core::calendar::Session;
use daybook_core::decision::Decision;
use daybook_core::risk::{ClosedTrade, HaltKind, MonitorFacts, PastTrade, ProtectionSettings, TradeRecord, monitor};
use daybook_core::schedule::JobKind;
use daybook_core::time::Timestamp;
use rusqlite::Connection;

use super::account;
use crate::engine::broker_link::BrokerView;
use crate::engine::job::{Job, Sources, Terms};
use crate::ledger::position::{self, StoredPosition};
use crate::ledger::{LedgerError, decision, equity, fill, halt, pause, run_facts};

/// The job of kind `risk-monitor`.
#[derive(Debug)]
pub struct RiskMonitor;

#[async_trait]
impl Job for RiskMonitor {
    type Facts = MonitorFacts;

    async fn gather(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<MonitorFacts> {
        let session = terms.session()?;
        let view = sources.broker.look().await?;
        let mut facts =
            sources.ledger.read(|conn| recorded(conn, &sources.ledger.meta().account, terms, session, &view))?;
        let symbols = facts.positions.iter().map(|position| position.symbol);
        facts.marks = account::marks(sources, symbols, view.as_of).await;
        facts.broker_positions = view.positions;
        facts.open_orders = view.open_orders;
        Ok(facts)
    }

    fn decide(&self, facts: &MonitorFacts, terms: &Terms) -> anyhow::Result<Decision> {
        Ok(monitor(facts, &terms.settings.risk))
    }
}

/// What the ledger knows; the rest is filled in by the caller.
fn recorded(
    conn: &Connection,
    account: &str,
    terms: &Terms,
    session: Session,
    view: &BrokerView,
) -> Result<MonitorFacts, LedgerError> {
    let result = fill::session_result(conn, account, session.date)?;
    // The first run of the session stores the equity that its result is measured from.
    let opening_equity = match equity::opening(conn, session.date)? {
        Some(stored) => stored,
        None => view.account.equity,
    };
    let halts_today = halt::between(conn, session.pre_open, view.as_of)?;
    let last_safe_mode =
        halts_today.iter().filter(|day| day.halt.kind == HaltKind::SafeMode).map(|day| day.halt.since).max();
    let closed = position::closed_in(conn, account, session.date)?;
    Ok(MonitorFacts {
        origin: terms.origin(),
        as_of: view.as_of,
        session,
        halts: halt::standing(conn)?,
        opening_equity,
        peak_equity: equity::peak(conn)?.unwrap_or(opening_equity).max(opening_equity),
        realised: result.realised,
        fees: result.fees,
        broker_equity: Some(view.account.equity),
        positions: account::open_positions(conn, account)?,
        broker_positions: Vec::new(),
        open_orders: Vec::new(),
        in_flight: account::in_flight(conn)?,
        marks: Vec::new(),
        prior: decision::last_of_kind(conn, JobKind::RiskMonitor.as_str())?.and_then(|last| last.decision.look),
        warned: equity::warned_at(conn, session.date)?.is_some(),
        flatten_begun: run_facts::flatten_begun(conn, session.date)?,
        closed_trades: closed
            .iter()
            .filter_map(|StoredPosition { position, .. }| {
                let net = position.realised.minus(position.fees).ok()?;
                position.closed_at.map(|closed_at| ClosedTrade { closed_at, net })
            })
            .collect(),
        last_safe_mode,
        failures_in_a_row: run_facts::failures_in_a_row(conn)?,
        trade_record: trade_record(conn, account, view.as_of, &terms.settings.risk.protections)?,
    })
}

/// The trades and pauses of as long as any protection looks back.
fn trade_record(
    conn: &Connection,
    account: &str,
    now: Timestamp,
    settings: &ProtectionSettings,
) -> Result<TradeRecord, LedgerError> {
    let looks_back = settings.looks_back();
    if looks_back.is_zero() {
        return Ok(TradeRecord::default());
    }
    let from = now.before(looks_back.as_duration());
    let closed = position::closed_since(conn, account, from, now)?;
    Ok(TradeRecord {
        trades: closed.iter().filter_map(|stored| PastTrade::of(&stored.position)).collect(),
        pauses: pause::since(conn, from)?,
    })
}
