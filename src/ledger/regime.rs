//! What the market was like at each look of an analysis, and the pace that came of it.

use std::collections::BTreeMap;

use daybook_core::analysis::{RegimeReading, Thresholds, VolatilityMeasure};
use daybook_core::decision::PaceChoice;
use daybook_core::market::Symbol;
use daybook_core::money::Bps;
use daybook_core::report::words;
use daybook_core::schedule::Pace;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use serde::Serialize;

use super::LedgerError;
use super::codec::{Text, Word};
use super::decision::RunRef;

/// Of every job: what the market is like concerns them all.
const SQL_SET_PACE: &str = "
    UPDATE job SET pace = ?1, pace_since_ms = ?2, updated_at_ms = ?2 WHERE pace <> ?1";
const SQL_BACK_OFF: &str = "
    UPDATE job SET backed_off_until_ms = ?2, updated_at_ms = ?3 WHERE name = ?1 AND backed_off_until_ms IS NOT ?2";
const SQL_COME_BACK: &str = "
    UPDATE job SET backed_off_until_ms = NULL, updated_at_ms = ?1 WHERE backed_off_until_ms IS NOT NULL";
const SQL_INSERT: &str = "
    INSERT INTO regime (run_id, session, at_ms, regime, pace, measure, volatility_bps, symbols, volatile_from_bps,
        quiet_to_bps, observations, unchanged)
    VALUES (:run_id, :session, :at, :regime, :pace, :measure, :volatility, :symbols, :volatile_from, :quiet_to,
        :observations, :unchanged)";
const SQL_LAST_LOOK: &str = "
    SELECT run_id, unchanged FROM run JOIN regime USING (run_id) WHERE run.session = ?1 AND job = ?2
    ORDER BY slot_at_ms DESC, run_id DESC LIMIT 1";
const SQL_SEEN: &str = "SELECT symbol, through_at_ms FROM run_bar WHERE run_id = ?1";
const SQL_VOLATILITIES: &str = "
    SELECT volatility_bps FROM regime
    WHERE measure = ?1 AND session >= ?2 AND session < ?3 AND volatility_bps IS NOT NULL ORDER BY volatility_bps";
const SQL_LAST: &str = "
    SELECT at_ms, pace, regime, measure, volatility_bps, symbols, volatile_from_bps, quiet_to_bps, observations, unchanged
    FROM regime ORDER BY run_id DESC LIMIT 1";
const SQL_OF_RUN: &str = "
    SELECT at_ms, pace, regime, measure, volatility_bps, symbols, volatile_from_bps, quiet_to_bps, observations, unchanged
    FROM regime WHERE run_id = ?1";

/// What a look found the market to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StoredReading {
    /// When.
    pub at: Timestamp,
    /// How often the job looks from then on.
    pub pace: Pace,
    /// What it is like, and by which numbers.
    #[serde(flatten)]
    pub reading: RegimeReading,
}

impl StoredReading {
    /// In words, for people.
    #[must_use]
    pub fn words(&self) -> String {
        words::regime(&self.reading, self.pace)
    }
}

/// A job's last look of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastLook {
    /// The looks in a row, up to this one, that have seen nothing new.
    pub unchanged: u32,
    /// The start of the last bar that it has seen of each symbol.
    pub seen_through: BTreeMap<Symbol, Timestamp>,
}

/// Writes a choice of the pace. The market's pace is that of every job. A job backs off by its own looks, and any look
/// that sees something new brings all of them back.
pub(super) fn write_choice(
    tx: &Transaction<'_>,
    run: &RunRef,
    choice: &PaceChoice,
    now: Timestamp,
) -> Result<(), LedgerError> {
    tx.prepare_cached(SQL_SET_PACE)?.execute(params![Word(choice.market_pace()), now.0])?;
    let until = choice.backed_off_until.map(|until| until.0);
    tx.prepare_cached(SQL_BACK_OFF)?.execute(params![run.job, until, now.0])?;
    let (Some(reading), Some(session)) = (choice.reading, run.session) else { return Ok(()) };
    if reading.unchanged == 0 {
        tx.prepare_cached(SQL_COME_BACK)?.execute([now.0])?;
    }
    tx.prepare_cached(SQL_INSERT)?.execute(named_params! {
        ":run_id": run.run_id, ":session": Text(session), ":at": now.0, ":regime": Word(reading.regime),
        ":pace": Word(choice.pace), ":measure": Word(reading.measure),
        ":volatility": reading.volatility.map(|volatility| volatility.0), ":symbols": reading.symbols,
        ":volatile_from": reading.thresholds.volatile_from.0, ":quiet_to": reading.thresholds.quiet_to.0,
        ":observations": reading.observations, ":unchanged": reading.unchanged,
    })?;
    Ok(())
}

/// A job's last look of a session; of none before the first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_look(conn: &Connection, job: &str, session: SessionDate) -> Result<LastLook, LedgerError> {
    let last = conn
        .prepare_cached(SQL_LAST_LOOK)?
        .query_row(params![Text(session), job], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    let Some((run_id, unchanged)) = last else { return Ok(LastLook::default()) };
    let mut select = conn.prepare_cached(SQL_SEEN)?;
    let seen = select.query_map([run_id], |row| Ok((row.get::<_, Text<_>>(0)?.0, Timestamp(row.get(1)?))))?;
    Ok(LastLook { unchanged, seen_through: seen.collect::<Result<_, _>>()? })
}

/// The volatilities that were measured in the sessions from one up to another, which is left out, in ascending order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn volatilities(
    conn: &Connection,
    measure: VolatilityMeasure,
    from: SessionDate,
    before: SessionDate,
) -> Result<Vec<Bps>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_VOLATILITIES)?;
    let found = select.query_map(params![Word(measure), Text(from), Text(before)], |row| Ok(Bps(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What the last look found; `None` before the first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last(conn: &Connection) -> Result<Option<StoredReading>, LedgerError> {
    Ok(conn.prepare_cached(SQL_LAST)?.query_row([], from_row).optional()?)
}

/// What a run found; `None` where it looked at no market.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_run(conn: &Connection, run_id: i64) -> Result<Option<StoredReading>, LedgerError> {
    Ok(conn.prepare_cached(SQL_OF_RUN)?.query_row([run_id], from_row).optional()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredReading> {
    Ok(StoredReading {
        at: Timestamp(row.get(0)?),
        pace: row.get::<_, Word<_>>(1)?.0,
        reading: RegimeReading {
            regime: row.get::<_, Word<_>>(2)?.0,
            measure: row.get::<_, Word<_>>(3)?.0,
            volatility: row.get::<_, Option<i64>>(4)?.map(Bps),
            symbols: row.get(5)?,
            thresholds: Thresholds { volatile_from: Bps(row.get(6)?), quiet_to: Bps(row.get(7)?) },
            observations: row.get(8)?,
            unchanged: row.get(9)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use daybook_core::analysis::Regime;
    use daybook_core::decision::Decision;
    use daybook_core::schedule::Pacing;

    use super::*;
    use crate::ledger::run;
    use crate::ledger::testing::{TestLedger, session, symbol};

    const CLOSE: Timestamp = Timestamp(1_794_862_800_000);

    /// A choice in a normal market.
    fn choice(volatility: Option<i64>, unchanged: u32, backed_off_until: Option<Timestamp>) -> PaceChoice {
        let reading = RegimeReading {
            regime: Regime::Normal,
            measure: VolatilityMeasure::Close,
            volatility: volatility.map(Bps),
            symbols: u32::from(volatility.is_some()),
            thresholds: Thresholds { volatile_from: Bps(3_000), quiet_to: Bps(1_000) },
            observations: None,
            unchanged,
        };
        let pace = if backed_off_until.is_some() { Pace::Slow } else { Pace::Normal };
        PaceChoice { pace, reasons: vec![], reading: Some(reading), backed_off_until }
    }

    fn decide(day: &TestLedger, run: &RunRef, choice: PaceChoice) {
        day.decide(run, &Decision { pace: Some(choice), ..Decision::default() });
    }

    #[test]
    fn a_look_is_kept_with_the_bars_that_it_has_seen() {
        let day = TestLedger::new();
        let look = || day.ledger.read(|conn| last_look(conn, "analysis", session())).unwrap();
        assert_eq!((look(), day.ledger.read(last).unwrap()), (LastLook::default(), None));
        let first = day.run("analysis", 30);
        decide(&day, &first, choice(Some(1_731), 0, None));
        let run_id = first.run_id;
        day.ledger
            .write_blocking(move |tx| {
                tx.execute("INSERT INTO run_bar VALUES (?1, 'AAPL', 0, 60000, 2)", [run_id])?;
                Ok(())
            })
            .unwrap();
        assert_eq!(look().seen_through, BTreeMap::from([(symbol("AAPL"), Timestamp(60_000))]));
        let second = day.run("analysis", 60);
        decide(&day, &second, choice(None, 1, None));
        decide(&day, &day.run("breakout-watch", 65), choice(Some(900), 7, None));
        assert_eq!(look(), LastLook { unchanged: 1, seen_through: BTreeMap::new() });
        let tomorrow = session().plus_days(1);
        assert_eq!(day.ledger.read(|conn| last_look(conn, "analysis", tomorrow)).unwrap(), LastLook::default());
        let stored = day.ledger.read(|conn| of_run(conn, run_id)).unwrap().unwrap();
        assert_eq!(
            stored.words(),
            "normal: 17.31% a year, the median of 1 symbol (volatile from 30%, quiet up to 10%); pace normal"
        );
        assert_eq!(day.ledger.read(last).unwrap().unwrap().reading.unchanged, 7);
    }

    #[test]
    fn a_history_is_of_the_sessions_before_and_of_one_measure() {
        let day = TestLedger::new();
        for (minute, volatility) in [(5, Some(1_200)), (10, None), (15, Some(900)), (20, Some(1_200))] {
            decide(&day, &day.run("analysis", minute), choice(volatility, 0, None));
        }
        let found = |measure, from: i64, before: i64| {
            let (from, before) = (session().plus_days(from), session().plus_days(before));
            day.ledger.read(|conn| volatilities(conn, measure, from, before)).unwrap()
        };
        assert_eq!(found(VolatilityMeasure::Close, 0, 1), [900, 1_200, 1_200].map(Bps));
        assert_eq!(found(VolatilityMeasure::Close, -20, 0), []);
        assert_eq!(found(VolatilityMeasure::Close, 1, 2), []);
        assert_eq!(found(VolatilityMeasure::Parkinson, 0, 1), []);
        let planned = day.plan(SQL_VOLATILITIES).join(", ");
        assert!(
            planned.starts_with("SEARCH regime USING COVERING INDEX regime_history (measure=? AND session>?"),
            "{planned}"
        );
    }

    #[test]
    fn a_job_backs_off_by_itself_and_whoever_sees_something_new_brings_it_back() {
        let day = TestLedger::new();
        let pacing = |job: &'static str| day.ledger.read(|conn| run::pacing(conn, job)).unwrap();
        let backed_off = Pacing { market: Pace::Normal, backed_off_until: Some(CLOSE) };
        decide(&day, &day.run("breakout-watch", 60), choice(Some(1_500), 2, None));
        decide(&day, &day.run("analysis", 90), choice(Some(1_500), 3, Some(CLOSE)));
        assert_eq!((pacing("analysis"), pacing("breakout-watch")), (backed_off, Pacing::default()));
        decide(&day, &day.run("breakout-watch", 95), choice(Some(1_500), 1, None));
        assert_eq!(pacing("analysis"), backed_off, "that another job has not seen enough says nothing");
        decide(&day, &day.run("breakout-watch", 100), choice(Some(1_500), 0, None));
        assert_eq!(pacing("analysis"), Pacing::default());
        decide(&day, &day.run("analysis", 120), choice(Some(1_500), 3, Some(CLOSE)));
        decide(&day, &day.run("analysis", 150), choice(Some(1_500), 4, None));
        assert_eq!(pacing("analysis"), Pacing::default(), "back_off_after was raised");
    }
}
