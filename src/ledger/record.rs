//! What runs decided, and on which facts: the record from which they can be decided again.

use std::collections::BTreeMap;
use std::time::Duration;

use daybook_core::decision::{Chore, Decision};
use daybook_core::market::{Bar, BarSet, Symbol};
use daybook_core::schedule::JobKind;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use super::alert::Routes;
use super::codec::{Json, Text, Word};
use super::decision::{RunRef, write_decision};
use super::open::hex;
use super::run::{self, RunState};
use super::{LedgerError, bar};

const SQL_DECIDED: &str = "
    UPDATE run SET state = 'decided', decided_at_ms = ?2, summary = ?3, reason = NULL
    WHERE run_id = ?1 AND state = 'claimed'";
const SQL_RECORD: &str = "
    INSERT INTO run_record (run_id, parameters, facts, decision, settings_hash, decision_sha256)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SQL_RUN_BAR: &str = "
    INSERT INTO run_bar (run_id, symbol, from_at_ms, through_at_ms, bars) VALUES (?1, ?2, ?3, ?4, ?5)";
const SQL_DECISION: &str = "SELECT decision FROM run_record WHERE run_id = ?1";
const SQL_REFUSED: &str = "SELECT decision ->> '$.refused' FROM run_record WHERE run_id = ?1";
const SQL_DECIDED_RUNS: &str = "
    SELECT run_id FROM run WHERE decided_at_ms IS NOT NULL AND (?1 IS NULL OR session = ?1)
    ORDER BY slot_at_ms, run_id";
const SQL_RECORDED: &str = "
    SELECT run.job, run.kind, run.slot_at_ms, run.session, record.parameters, record.facts, record.decision,
        record.settings_hash
    FROM run_record AS record JOIN run USING (run_id) WHERE run_id = ?1";
const SQL_RUN_BARS: &str = "SELECT symbol, from_at_ms, through_at_ms, bars FROM run_bar WHERE run_id = ?1";

/// A run's facts and what was decided on them, ready to be committed.
#[derive(Debug)]
pub struct Decided {
    /// The parameters that the run was given.
    pub parameters: serde_json::Value,
    /// The facts, as JSON.
    pub facts: String,
    /// The feed that the bars came from.
    pub feed: String,
    /// The bars among them.
    pub bars: BarSet,
    /// The decision.
    pub decision: Decision,
}

/// Commits what a run decided: its facts, its decision and everything that follows from it.
///
/// Answers whether anything is left to dispatch; if not, the run is done with this very commit.
///
/// # Errors
/// [`LedgerError::Refused`] if the run is no longer claimed: another process has taken over.
pub fn commit(
    tx: &Transaction<'_>,
    run: &RunRef,
    decided: &Decided,
    settings_hash: &str,
    routes: &Routes,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let Decided { parameters, facts, feed, bars, decision } = decided;
    let changed = tx.prepare_cached(SQL_DECIDED)?.execute(params![run.run_id, now.0, decision.summary])?;
    if changed != 1 {
        let reason = "it is not claimed any more".to_owned();
        return Err(LedgerError::Refused { what: "run", key: run.run_id.to_string(), reason });
    }
    record_bars(tx, run.run_id, feed, bars)?;
    let json = serde_json::to_string(decision)?;
    let digest = hex(&Sha256::digest(json.as_bytes()));
    tx.prepare_cached(SQL_RECORD)?.execute(params![
        run.run_id,
        Json(parameters),
        facts,
        json,
        settings_hash,
        digest
    ])?;
    let written = write_decision(tx, run, decision, routes, now)?;
    let pending = !written.intents.is_empty() || !decision.chores.is_empty();
    if !pending {
        run::end(tx, run.run_id, RunState::Done, "", now)?;
    }
    Ok(pending)
}

/// Bars are rows of their own and never change, so a run refers to them by their range. Only those after
/// the last recorded one are new: a gatherer asks its feed for no others.
fn record_bars(tx: &Transaction<'_>, run_id: i64, source: &str, set: &BarSet) -> Result<(), LedgerError> {
    for (symbol, series) in set {
        let (Some(first), Some(last)) = (series.first(), series.last()) else { continue };
        let known = bar::last(tx, *symbol)?;
        let new = series.partition_point(|bar| known.is_some_and(|known| bar.start <= known.start));
        bar::insert_new(tx, source, *symbol, &series[new..])?;
        let count = i64::try_from(series.len()).unwrap_or(i64::MAX);
        tx.prepare_cached(SQL_RUN_BAR)?.execute(params![run_id, Text(symbol), first.start.0, last.start.0, count])?;
    }
    Ok(())
}

/// The chores of a decided run.
///
/// # Errors
/// If the ledger cannot be read.
pub fn chores(conn: &Connection, run_id: i64) -> Result<Vec<Chore>, LedgerError> {
    let decision: Option<Json<Decision>> =
        conn.prepare_cached(SQL_DECISION)?.query_row([run_id], |row| row.get(0)).optional()?;
    Ok(decision.map(|json| json.0.chores).unwrap_or_default())
}

/// Why a run does not do what a person asked for; `None` where it does, or has no record.
///
/// # Errors
/// If the ledger cannot be read.
pub fn refused(conn: &Connection, run_id: i64) -> Result<Option<String>, LedgerError> {
    Ok(conn.prepare_cached(SQL_REFUSED)?.query_row([run_id], |row| row.get(0)).optional()?.flatten())
}

/// The runs that have decided, in the order in which they came due; all, or those of one session.
///
/// # Errors
/// If the ledger cannot be read.
pub fn decided_runs(conn: &Connection, session: Option<SessionDate>) -> Result<Vec<i64>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_DECIDED_RUNS)?;
    let runs = statement.query_map([session.map(Text)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(runs)
}

/// A run's record, with the bars that it referred to.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRun {
    /// Its job.
    pub job: String,
    /// The job's kind.
    pub kind: JobKind,
    /// When it was due.
    pub slot: Timestamp,
    /// The session that it served.
    pub session: Option<SessionDate>,
    /// The parameters that it ran with.
    pub parameters: serde_json::Value,
    /// Its facts, as JSON.
    pub facts: String,
    /// Its decision, as JSON.
    pub decision: String,
    /// The version of the settings that it ran with.
    pub settings_hash: String,
    /// The bars among its facts.
    pub bars: BarSet,
}

/// Bars that runs referred to, kept for the runs after them: the runs of a session refer to the same bars, and to
/// more of them each time.
#[derive(Debug, Default)]
pub struct BarsRead(BTreeMap<Symbol, Vec<Bar>>);

/// How far beyond a run's last bar bars are read.
const READ_AHEAD: Duration = Duration::from_secs(86_400);

impl BarsRead {
    /// A symbol's bars that start between two instants, both included.
    fn range(
        &mut self,
        conn: &Connection,
        symbol: Symbol,
        from: Timestamp,
        through: Timestamp,
    ) -> Result<Vec<Bar>, LedgerError> {
        let known = self.0.entry(symbol).or_default();
        let covers = |bars: &[Bar]| {
            bars.first().is_some_and(|first| first.start <= from)
                && bars.last().is_some_and(|last| through <= last.start)
        };
        if !covers(known) {
            *known = bar::range(conn, symbol, from, through.after(READ_AHEAD))?;
        }
        let first = known.partition_point(|bar| bar.start < from);
        let end = known.partition_point(|bar| bar.start <= through);
        Ok(known[first..end].to_vec())
    }
}

/// Reads a run's record; `None` if it has been pruned.
///
/// # Errors
/// If the ledger cannot be read, or if bars that the run referred to are not as they were.
pub fn recorded(conn: &Connection, run_id: i64, read: &mut BarsRead) -> Result<Option<RecordedRun>, LedgerError> {
    let mut statement = conn.prepare_cached(SQL_RECORDED)?;
    let recorded = statement
        .query_row([run_id], |row| {
            Ok(RecordedRun {
                job: row.get(0)?,
                kind: row.get::<_, Word<JobKind>>(1)?.0,
                slot: Timestamp(row.get(2)?),
                session: row.get::<_, Option<Text<SessionDate>>>(3)?.map(|text| text.0),
                parameters: row.get::<_, Json<serde_json::Value>>(4)?.0,
                facts: row.get(5)?,
                decision: row.get(6)?,
                settings_hash: row.get(7)?,
                bars: BarSet::new(),
            })
        })
        .optional()?;
    let Some(mut recorded) = recorded else { return Ok(None) };
    let mut statement = conn.prepare_cached(SQL_RUN_BARS)?;
    let mut rows = statement.query([run_id])?;
    while let Some(row) = rows.next()? {
        let symbol = row.get::<_, Text<Symbol>>(0)?.0;
        let series = read.range(conn, symbol, Timestamp(row.get(1)?), Timestamp(row.get(2)?))?;
        let count: i64 = row.get(3)?;
        if i64::try_from(series.len()) != Ok(count) {
            let reason = format!("it referred to {count} bars of {symbol}, and {} are there now", series.len());
            return Err(LedgerError::Refused { what: "run", key: run_id.to_string(), reason });
        }
        recorded.bars.insert(symbol, series);
    }
    Ok(Some(recorded))
}
