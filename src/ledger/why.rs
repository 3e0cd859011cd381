//! Why was it bought, and why not: each time a symbol was considered, with the facts that stand in rows.

use daybook_core::decision::Candidate;
use daybook_core::market::Symbol;
use daybook_core::risk::Verdict;
use daybook_core::strategy::Signal;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::codec::{Json, Text};
use super::fill::StoredFill;
use super::intent::{self, StoredIntent, verdict_at};
use super::order::{OrderChange, StoredOrder};
use super::position::{PositionHistory, StoredPosition};
use super::regime::StoredReading;
use super::signal::signal_at;
use super::{LedgerError, fill, order, position, regime};

const SQL_RUNS: &str = "
    SELECT run_id, job, slot_at_ms, session, state, summary,
        (SELECT max(config_version_id) FROM config_version WHERE hash = config_hash AND recorded_at_ms <= decided_at_ms)
    FROM run WHERE slot_at_ms >= ?2 AND slot_at_ms < ?3 AND (
        EXISTS (SELECT 1 FROM run_bar WHERE run_bar.run_id = run.run_id AND symbol = ?1)
        OR EXISTS (SELECT 1 FROM signal WHERE signal.run_id = run.run_id AND symbol = ?1)
        OR EXISTS (SELECT 1 FROM intent WHERE intent.run_id = run.run_id AND symbol = ?1)
        OR EXISTS (SELECT 1 FROM scan JOIN candidate USING (scan_id) WHERE scan.run_id = run.run_id AND symbol = ?1))
    ORDER BY slot_at_ms, run_id";
const SQL_CANDIDATE: &str = "
    SELECT rank, score, factors FROM scan JOIN candidate USING (scan_id) WHERE run_id = ?1 AND symbol = ?2";
const SQL_SIGNALS: &str = "
    SELECT signal_id, symbol, strategy, direction, entry_e8, stop_e8, target_e8, confidence_bps, reasons, valid_until_ms,
        quantity_e9, refused_by, checks
    FROM signal JOIN verdict USING (signal_id) WHERE run_id = ?1 AND (?2 IS NULL OR symbol = ?2) ORDER BY ordinal";

/// A run that looked at the symbol. Without a candidate, a signal or an intent it saw the symbol's bars
/// and proposed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consideration {
    /// The run.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// Its slot.
    pub slot: Timestamp,
    /// Its session.
    pub session: Option<SessionDate>,
    /// Where the run stands.
    pub state: String,
    /// What the run decided, in one line.
    pub summary: Option<String>,
    /// The version of the configuration that it decided under, where it is known.
    pub config_version: Option<i64>,
    /// What the market was like, where the run looked at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<StoredReading>,
    /// The symbol's place in the scan, with its factors.
    pub candidate: Option<Candidate>,
    /// What was proposed, and what risk said.
    pub signals: Vec<ConsideredSignal>,
    /// What was wanted at the broker, and what came of it.
    pub intents: Vec<ConsideredIntent>,
}

/// A signal with risk's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsideredSignal {
    /// Its row.
    pub signal_id: i64,
    /// What was proposed.
    #[serde(flatten)]
    pub signal: Signal,
    /// Every check with its numbers, and the size or the refusal.
    pub verdict: Verdict,
}

/// An intent with the orders that came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsideredIntent {
    /// The intent.
    #[serde(flatten)]
    pub intent: StoredIntent,
    /// Its orders, legs included.
    pub orders: Vec<ConsideredOrder>,
}

/// An order with its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsideredOrder {
    /// The order as the broker showed it last.
    #[serde(flatten)]
    pub order: StoredOrder,
    /// Every change that was seen.
    pub history: Vec<OrderChange>,
    /// Its executions.
    pub fills: Vec<StoredFill>,
}

/// A position with its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsideredPosition {
    /// The position.
    #[serde(flatten)]
    pub position: StoredPosition,
    /// What happened to it.
    pub history: Vec<PositionHistory>,
}

/// Everything that the ledger knows of a symbol in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The symbol.
    pub symbol: Symbol,
    /// Each time it was considered, in order.
    pub considerations: Vec<Consideration>,
    /// The positions that were held, in order.
    pub positions: Vec<ConsideredPosition>,
}

/// Tells the story of a symbol over the slots in `[from, until)`.
///
/// # Errors
/// If the ledger cannot be read.
pub fn story(
    conn: &Connection,
    account: &str,
    symbol: Symbol,
    from: Timestamp,
    until: Timestamp,
) -> Result<Story, LedgerError> {
    let mut select = conn.prepare_cached(SQL_RUNS)?;
    let mut considerations = select
        .query_map(params![symbol.as_str(), from.0, until.0], |row| {
            Ok(Consideration {
                run_id: row.get(0)?,
                job: row.get(1)?,
                slot: Timestamp(row.get(2)?),
                session: row.get::<_, Option<Text<_>>>(3)?.map(|text| text.0),
                state: row.get(4)?,
                summary: row.get(5)?,
                config_version: row.get(6)?,
                market: None,
                candidate: None,
                signals: Vec::new(),
                intents: Vec::new(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for consideration in &mut considerations {
        consideration.market = regime::of_run(conn, consideration.run_id)?;
        consideration.candidate = candidate(conn, consideration.run_id, symbol)?;
        consideration.signals = signals(conn, consideration.run_id, Some(symbol))?;
        consideration.intents = intents(conn, account, consideration.run_id, symbol)?;
    }
    let positions = position::of_symbol(conn, account, symbol, from, until)?
        .into_iter()
        .map(|stored| {
            let history = position::history(conn, stored.position_id)?;
            Ok(ConsideredPosition { position: stored, history })
        })
        .collect::<Result<_, LedgerError>>()?;
    Ok(Story { symbol, considerations, positions })
}

fn candidate(conn: &Connection, run_id: i64, symbol: Symbol) -> Result<Option<Candidate>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_CANDIDATE)?;
    let mut rows = select.query(params![run_id, symbol.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let factors: Json<_> = row.get(2)?;
    Ok(Some(Candidate { symbol, rank: row.get(0)?, score: row.get(1)?, factors: factors.0 }))
}

/// What was proposed in a run, with risk's answers: all of it, or what is about one symbol.
///
/// # Errors
/// If the ledger cannot be read.
pub fn signals(conn: &Connection, run_id: i64, symbol: Option<Symbol>) -> Result<Vec<ConsideredSignal>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_SIGNALS)?;
    let mut rows = select.query(params![run_id, symbol.as_ref().map(Symbol::as_str)])?;
    let mut signals = Vec::new();
    while let Some(row) = rows.next()? {
        // An inner join: the verdict is there.
        let Some(verdict) = verdict_at(row, 10)? else { continue };
        signals.push(ConsideredSignal { signal_id: row.get(0)?, signal: signal_at(row, 1)?, verdict });
    }
    Ok(signals)
}

fn intents(
    conn: &Connection,
    account: &str,
    run_id: i64,
    symbol: Symbol,
) -> Result<Vec<ConsideredIntent>, LedgerError> {
    intent::of_run(conn, run_id)?
        .into_iter()
        .filter(|stored| stored.intent.action.symbol() == symbol)
        .map(|stored| {
            let orders = order::of_intent(conn, stored.intent_id)?
                .into_iter()
                .map(|stored| {
                    let id = &stored.order.broker_order_id;
                    let history = order::history(conn, account, id)?;
                    let fills = fill::of_order(conn, account, id)?;
                    Ok(ConsideredOrder { history, fills, order: stored })
                })
                .collect::<Result<_, LedgerError>>()?;
            Ok(ConsideredIntent { intent: stored, orders })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::{Decision, Review};
    use daybook_core::order::{Order, OrderStatus};
    use daybook_core::risk::CheckName;

    use super::*;
    use crate::ledger::testing::{OPEN, TestLedger, enter, fill_of, order_of, refused, session, signal, symbol};

    #[test]
    fn a_symbol_s_story_goes_from_the_scan_to_the_fill() {
        let day = TestLedger::new();
        let scan = day.run("premarket-scan", -30);
        let chosen = vec![Candidate { symbol: symbol("AAPL"), rank: 1, score: 5, factors: vec![] }];
        day.decide(&scan, &Decision { candidates: Some(chosen.clone()), ..Decision::default() });
        let early = day.run("analysis", 5);
        let looked_at = early.run_id;
        day.ledger
            .write_blocking(move |tx| {
                tx.execute(
                    "INSERT INTO run_bar (run_id, symbol, from_at_ms, through_at_ms, bars) VALUES (?1, 'AAPL', 0, 0, 5)",
                    [looked_at],
                )?;
                Ok(())
            })
            .unwrap();
        let unsure = day.run("analysis", 10);
        let no = Review { signal: signal("AAPL"), verdict: refused(CheckName::Confidence), leg: None };
        day.decide(&unsure, &Decision { reviews: vec![no.clone()], ..Decision::default() });
        let run = day.run("analysis", 15);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let other = enter(&day, &run, 1, "MSFT", 10);
        let decision = Decision {
            reviews: vec![ours.review, other.review],
            intents: vec![ours.intent.clone(), other.intent],
            ..Decision::default()
        };
        day.decide(&run, &decision);
        let filled = Order {
            status: OrderStatus::Filled,
            filled: ours.ticket.quantity,
            ..order_of(&ours.ticket, "b-1", run.slot.0)
        };
        let execution = fill_of(&filled, "x-1");
        day.ledger
            .write_blocking(move |tx| {
                order::record(tx, "paper", &[filled], OPEN)?;
                fill::record(tx, "paper", &[execution], OPEN)
            })
            .unwrap();

        let (from, until) = crate::ledger::new_york_day(session());
        let told = day.ledger.read(|conn| story(conn, "paper", symbol("AAPL"), from, until)).unwrap();
        let runs: Vec<_> = told.considerations.iter().map(|seen| (seen.job.as_str(), seen.run_id)).collect();
        assert_eq!(
            runs,
            [
                ("premarket-scan", scan.run_id),
                ("analysis", early.run_id),
                ("analysis", unsure.run_id),
                ("analysis", run.run_id)
            ]
        );
        assert_eq!(told.considerations[0].candidate.as_ref(), chosen.first());
        assert!(told.considerations[1].signals.is_empty());
        assert_eq!(told.considerations[2].signals[0].verdict, no.verdict);
        let entry = &told.considerations[3].intents;
        assert_eq!(entry.len(), 1);
        assert_eq!(entry[0].intent.intent, ours.intent);
        assert_eq!(entry[0].orders[0].fills[0].fill.execution_id, "x-1");
        assert_eq!(entry[0].orders[0].history.len(), 1);
        assert_eq!(told.positions[0].history[0].kind, "opened");
        let msft = day.ledger.read(|conn| story(conn, "paper", symbol("MSFT"), from, until)).unwrap();
        assert_eq!(msft.considerations.len(), 1);
        assert!(serde_json::to_string(&told).unwrap().contains("\"execution_id\":\"x-1\""));
    }
}
