//! Models that are asked: how often in a session, who gave no score, and what was answered in earlier runs.

use std::collections::{BTreeMap, BTreeSet};

use daybook_core::analysis::{ModelAnswer, ModelFault};
use daybook_core::market::Symbol;
use daybook_core::schedule::JobKind;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, Transaction, params};

use super::LedgerError;
use super::codec::{Json, Text, Word};
use super::decision::RunRef;

const SQL_CALLS: &str = "SELECT coalesce(sum(calls), 0) FROM model_call WHERE session = ?1";
const SQL_RESERVE: &str = "
    INSERT INTO model_call (session, job, slot_at_ms, calls) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET calls = calls + excluded.calls";
const SQL_RETURN: &str =
    "UPDATE model_call SET calls = max(calls - ?4, 0) WHERE session = ?1 AND job = ?2 AND slot_at_ms = ?3";
const SQL_INSERT_FAULT: &str = "
    INSERT INTO model_fault (session, model, reason, run_id, at_ms) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
const SQL_FAULTY: &str = "SELECT model FROM model_fault WHERE session = ?1";
const SQL_ANSWERS: &str = "
    SELECT run.job, run.slot_at_ms, record.facts -> '$.models' FROM run JOIN run_record AS record USING (run_id)
    WHERE kind = ?1 AND session BETWEEN ?2 AND ?3 AND record.facts -> '$.models' IS NOT NULL";

/// The run that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The session that it serves.
    pub session: SessionDate,
    /// Its job.
    pub job: String,
    /// When it was due.
    pub slot: Timestamp,
}

/// Counts the calls that a run is about to make, as many of those wanted as the session's limit leaves; the answer is how
/// many.
///
/// # Errors
/// If the ledger cannot be written.
pub fn reserve(tx: &Transaction<'_>, asker: &Asker, wanted: u32, per_session: u32) -> Result<u32, LedgerError> {
    let Asker { session, job, slot } = asker;
    let spent: i64 = tx.prepare_cached(SQL_CALLS)?.query_row([Text(session)], |row| row.get(0))?;
    let left = per_session.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX));
    let granted = wanted.min(left);
    if granted > 0 {
        tx.prepare_cached(SQL_RESERVE)?.execute(params![Text(session), job, slot.0, granted])?;
    }
    Ok(granted)
}

/// Takes off calls that were counted and not made.
///
/// # Errors
/// If the ledger cannot be written.
pub fn give_back(tx: &Transaction<'_>, asker: &Asker, unused: u32) -> Result<(), LedgerError> {
    let Asker { session, job, slot } = asker;
    tx.prepare_cached(SQL_RETURN)?.execute(params![Text(session), job, slot.0, unused])?;
    Ok(())
}

/// Records a fault; the first of a model in a session stays.
pub(super) fn insert_fault(
    tx: &Transaction<'_>,
    run: &RunRef,
    fault: &ModelFault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let ModelFault { model, reason } = fault;
    let session = run.session.map(Text);
    tx.prepare_cached(SQL_INSERT_FAULT)?.execute(params![session, model, reason, run.run_id, now.0])?;
    Ok(())
}

/// The models of whose faults a person was told in a session.
///
/// # Errors
/// If the ledger cannot be read.
pub fn faulty(conn: &Connection, session: SessionDate) -> Result<BTreeSet<String>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_FAULTY)?;
    Ok(select.query_map([Text(session)], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// What was answered in runs of some sessions, by job, slot and symbol.
pub type RecordedAnswers = BTreeMap<(String, Timestamp), BTreeMap<Symbol, ModelAnswer>>;

/// What was answered in the runs from one session to another.
///
/// # Errors
/// If the ledger cannot be read.
pub fn answers(conn: &Connection, from: SessionDate, to: SessionDate) -> Result<RecordedAnswers, LedgerError> {
    let mut select = conn.prepare_cached(SQL_ANSWERS)?;
    let answers = select.query_map(params![Word(JobKind::Analysis), Text(from), Text(to)], |row| {
        Ok(((row.get(0)?, Timestamp(row.get(1)?)), row.get::<_, Json<_>>(2)?.0))
    })?;
    Ok(answers.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::Decision;

    use super::*;
    use crate::ledger::testing::{OPEN, TestLedger, session};

    fn asker(minute: i64) -> Asker {
        let slot = Timestamp(OPEN.0 + 60_000 * minute);
        Asker { session: session(), job: "analysis".to_owned(), slot }
    }

    #[test]
    fn a_session_s_calls_are_counted_whoever_makes_them() {
        let day = TestLedger::new();
        let reserved = |minute: i64, wanted: u32| {
            day.ledger.write_blocking(move |tx| reserve(tx, &asker(minute), wanted, 10)).unwrap()
        };
        assert_eq!(reserved(0, 6), 6);
        assert_eq!(reserved(0, 3), 3, "the same slot again, after a failure");
        assert_eq!(reserved(30, 6), 1);
        assert_eq!(reserved(60, 6), 0);
        day.ledger.write_blocking(|tx| give_back(tx, &asker(0), 4)).unwrap();
        assert_eq!(reserved(60, 6), 4);
        let tomorrow = Asker { session: session().plus_days(1), ..asker(0) };
        assert_eq!(day.ledger.write_blocking(move |tx| reserve(tx, &tomorrow, 6, 10)).unwrap(), 6);
    }

    #[test]
    fn the_first_fault_of_a_session_stays() {
        let day = TestLedger::new();
        for (minute, reason) in [(0, "first"), (30, "second")] {
            let faults = vec![ModelFault::new("mine", reason)];
            day.decide(&day.run("analysis", minute), &Decision { model_faults: faults, ..Decision::default() });
        }
        let names = |date| day.ledger.read(|conn| faulty(conn, date)).unwrap();
        assert_eq!(names(session()), BTreeSet::from(["mine".to_owned()]));
        assert!(names(session().plus_days(1)).is_empty());
        let kept = day.ledger.query("SELECT reason FROM model_fault").unwrap();
        assert_eq!(kept.rows.len(), 1);
        assert_eq!(kept.rows[0][0].to_string(), "first");
    }

    #[test]
    fn answers_are_found_by_run_and_symbol() {
        let day = TestLedger::new();
        let run = day.run("analysis", 30);
        day.record(&run, &Decision::default());
        let found = || day.ledger.read(|conn| answers(conn, session(), session())).unwrap();
        assert!(found().is_empty(), "facts of a run that asked nobody");
        let facts = r#"UPDATE run_record SET facts = '{"models":{"AAPL":{"none":{"reason":"late"}}}}'"#;
        day.ledger.write_blocking(move |tx| Ok(tx.execute(facts, [])?)).unwrap();
        let of_run = &found()[&("analysis".to_owned(), run.slot)];
        assert_eq!(of_run[&"AAPL".parse().unwrap()], ModelAnswer::none("late"));
        let before = session().plus_days(-1);
        assert!(day.ledger.read(|conn| answers(conn, before, before)).unwrap().is_empty());
    }
}
