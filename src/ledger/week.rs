//! A week as rows: its sessions' reports, what its entries cost, what was changed, how much was watched.

use daybook_core::market::Symbol;
use daybook_core::money::{Price, Quantity};
use daybook_core::report::{DayReport, FilledEntry, Watch, WeekReport};
use daybook_core::schedule::JobKind;
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::codec::{Json, Text, Word};
use super::settings::{self, ConfigVersion};
use super::{LedgerError, equity};

const SQL_ENTRIES: &str = "
    SELECT signal.symbol, direction, entry_e8, average_price_e8, filled_e9
    FROM signal JOIN intent USING (signal_id) JOIN broker_order ON broker_order.client_order_id = intent.client_order_id
    WHERE session >= ?2 AND session <= ?3 AND broker_order.account = ?1 AND role = 'parent' AND filled_e9 > 0
      AND average_price_e8 IS NOT NULL
    ORDER BY signal_id";
const SQL_WATCH: &str = "
    WITH look (state, decided) AS (
        SELECT state, decided_at_ms IS NOT NULL FROM run
        WHERE kind = :kind AND session >= :first AND session <= :last AND trigger = 'schedule')
    SELECT (SELECT count(*) FROM look)
            + (SELECT coalesce(sum(slots), 0) FROM missed_range JOIN job ON job.name = missed_range.job
               WHERE job.kind = :kind AND from_at_ms >= :from AND from_at_ms < :until),
        (SELECT count(*) FROM look WHERE decided),
        (SELECT count(*) FROM event WHERE name = 'scheduler.started' AND at_ms >= :from AND at_ms < :until)";
const SQL_OF_RUN: &str = "SELECT decision -> '$.week' FROM run_record WHERE run_id = ?1";

/// A week's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct WeekRows {
    /// The reports of its sessions, in their order.
    pub days: Vec<DayReport>,
    /// Entries that were filled.
    pub entries: Vec<FilledEntry>,
    /// Versions of the configuration that came into force in it, each after the one that was in force before; `None`
    /// before the first of all.
    pub versions: Vec<(Option<ConfigVersion>, ConfigVersion)>,
    /// How much of it was watched.
    pub watch: Watch,
}

/// Reads a date's week from one snapshot.
///
/// # Errors
/// If the ledger cannot be read.
pub fn rows(conn: &Connection, account: &str, date: SessionDate) -> Result<WeekRows, LedgerError> {
    let (monday, sunday) = WeekReport::bounds(date);
    let ((from, _), (_, until)) = (super::new_york_day(monday), super::new_york_day(sunday));
    Ok(WeekRows {
        days: equity::days(conn, monday, sunday)?,
        entries: entries(conn, account, monday, sunday)?,
        versions: settings::between(conn, from, until)?,
        watch: watch(conn, (monday, sunday), (from, until))?,
    })
}

fn entries(
    conn: &Connection,
    account: &str,
    first: SessionDate,
    last: SessionDate,
) -> Result<Vec<FilledEntry>, LedgerError> {
    let mut select = conn.prepare_cached(SQL_ENTRIES)?;
    let entries = select.query_map(params![account, Text(first), Text(last)], |row| {
        Ok(FilledEntry {
            symbol: row.get::<_, Text<Symbol>>(0)?.0,
            direction: row.get::<_, Word<_>>(1)?.0,
            seen: Price(row.get(2)?),
            paid: Price(row.get(3)?),
            quantity: Quantity(row.get(4)?),
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

fn watch(
    conn: &Connection,
    (first, last): (SessionDate, SessionDate),
    (from, until): (Timestamp, Timestamp),
) -> Result<Watch, LedgerError> {
    let key = named_params! {
        ":kind": Word(JobKind::RiskMonitor),
        ":first": Text(first),
        ":last": Text(last),
        ":from": from.0,
        ":until": until.0,
    };
    let watched = conn
        .prepare_cached(SQL_WATCH)?
        .query_row(key, |row| Ok(Watch { due: row.get(0)?, done: row.get(1)?, starts: row.get(2)? }))?;
    Ok(watched)
}

/// The report that a run has decided on; `None` if it has not, or its record was pruned.
///
/// # Errors
/// If the ledger cannot be read.
pub fn of_run(conn: &Connection, run_id: i64) -> Result<Option<WeekReport>, LedgerError> {
    let found = conn.prepare_cached(SQL_OF_RUN)?.query_row([run_id], |row| row.get::<_, Option<Json<_>>>(0));
    Ok(found.optional()?.flatten().map(|week| week.0))
}

#[cfg(test)]
mod tests {
    use daybook_core::decision::Decision;
    use daybook_core::strategy::Direction;

    use super::*;
    use crate::ledger::order;
    use crate::ledger::settings::NewConfigVersion;
    use crate::ledger::testing::{OPEN, TestLedger, enter, order_of, session, symbol};

    #[test]
    fn entries_versions_and_looks_of_a_week_are_found_and_no_others() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let entry = enter(&day, &run, 0, "AAPL", 100);
        let (ticket, review, intent) = (entry.ticket, entry.review, entry.intent);
        day.decide(&run, &Decision { reviews: vec![review], intents: vec![intent], ..Decision::default() });
        let mut bought = order_of(&ticket, "b-1", OPEN.0);
        (bought.filled, bought.average_price) = (ticket.quantity, Some(Price::from_cents(10_003)));
        for (hash, at) in
            [("last week", OPEN.0 - 8 * 86_400_000), ("this week", OPEN.0), ("next week", OPEN.0 + 8 * 86_400_000)]
        {
            let (hash, body, origin) = (hash.to_owned(), "{}".to_owned(), "a test".to_owned());
            let version = NewConfigVersion { hash, body, origin, note: None, scripts: Vec::new() };
            day.ledger.write_blocking(move |tx| settings::record(tx, &version, Timestamp(at))).unwrap();
        }
        for minute in 0..3 {
            day.run("risk-monitor", minute);
        }
        day.ledger
            .write_blocking(move |tx| {
                order::record(tx, "paper", &[bought], OPEN)?;
                tx.execute(
                    "UPDATE run SET decided_at_ms = slot_at_ms WHERE kind = 'risk-monitor' AND slot_at_ms > ?1",
                    [OPEN.0],
                )?;
                tx.execute(
                    "INSERT INTO missed_range (job, from_at_ms, to_at_ms, slots, reason, recorded_at_ms)
                     VALUES ('risk-monitor', ?1, ?1 + 60000, 2, 'down', 0)",
                    [OPEN.0 + 3_600_000],
                )?;
                Ok(())
            })
            .unwrap();
        let rows = day.ledger.read(|conn| rows(conn, "paper", session())).unwrap();
        let expected = FilledEntry {
            symbol: symbol("AAPL"),
            direction: Direction::Long,
            seen: Price::from_cents(10_000),
            paid: Price::from_cents(10_003),
            quantity: Quantity::whole(100),
        };
        assert_eq!((rows.days, rows.entries), (vec![], vec![expected]));
        let versions: Vec<_> = rows
            .versions
            .iter()
            .map(|(before, version)| (before.as_ref().map(|before| before.hash.as_str()), version.hash.as_str()))
            .collect();
        assert_eq!(versions, [(Some("last week"), "this week")]);
        assert_eq!(rows.watch, Watch { due: 5, done: 2, starts: 0 });
    }
}
