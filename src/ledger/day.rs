//! A session as rows: everything that its report is made of.

use daybook_core::calendar::Session;
use daybook_core::money::Money;
use daybook_core::report::{DayCounts, DayFacts, DayLimits, Fault, FaultKind};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, named_params, params};

use super::codec::Text;
use super::{LedgerError, equity, fill, halt, position, run, signal};

const SQL_RUNNING: &str = "
    SELECT (SELECT count(*) FROM broker_order WHERE role = 'parent'),
        (SELECT count(*) FROM position WHERE closed_at_ms IS NULL),
        (SELECT realised_e8 + unrealised_e8 - fees_e8 FROM equity ORDER BY run_id DESC LIMIT 1)";
const SQL_OUTDATED: &str = "
    SELECT session FROM day_report WHERE session >= ?2
        AND (realised_e8, fees_e8) <> (SELECT coalesce(sum(realised_e8), 0), coalesce(sum(fee_e8), 0) FROM fill
            WHERE fill.session = day_report.session AND account = ?1)
        AND NOT EXISTS (SELECT 1 FROM run WHERE finished_at_ms IS NULL AND state IN ('due', 'failed')
            AND kind = 'daily-summary' AND run.session = day_report.session)";
const SQL_SUMMARY: &str = "SELECT name FROM job WHERE kind = 'daily-summary' ORDER BY name LIMIT 1";
const SQL_RUN_FAULTS: &str = "
    SELECT coalesce(ended_at_ms, run_attempt.started_at_ms) AS at_ms, 'failed' AS kind, job, error, 1
    FROM run_attempt JOIN run USING (run_id) WHERE session = :session AND error IS NOT NULL AND state <> 'dead'
    UNION ALL
    SELECT finished_at_ms, state, job, coalesce(reason, state), 1 FROM run
    WHERE session = :session AND state IN ('dead', 'expired')
    UNION ALL
    SELECT from_at_ms, 'missed', job, reason, slots FROM missed_range WHERE from_at_ms < :until AND to_at_ms >= :from
    ORDER BY 1, 3";
const SQL_INTENT_FAULTS: &str = "
    SELECT coalesce(submitted_at_ms, intent.decided_at_ms), intent.symbol, intent.state, outcome FROM intent JOIN run USING (run_id)
    WHERE session = ?1 AND (intent.state IN ('unknown', 'conflict') OR (intent.state = 'abandoned' AND attempts > 0))
    ORDER BY intent_id";
const SQL_EVENT_FAULTS: &str = "
    SELECT at_ms, name, coalesce(symbol, name), message FROM event
    WHERE at_ms >= ?1 AND at_ms < ?2 AND level IN ('warning', 'error') ORDER BY event_id";
const SQL_DELIVERY_FAULTS: &str = "
    SELECT at_ms, channel, last_error, attempts FROM delivery JOIN alert USING (alert_id)
    WHERE at_ms >= ?1 AND at_ms < ?2 AND last_error IS NOT NULL ORDER BY delivery_id";
const SQL_COUNTS: &str = "
    SELECT
        (SELECT count(*) FROM run WHERE session = :session),
        (SELECT count(*) FROM run WHERE session = :session AND state = 'done'),
        (SELECT count(*) FROM intent JOIN run USING (run_id)
            WHERE session = :session AND action IN ('submit', 'close') AND submitted_at_ms IS NOT NULL),
        (SELECT count(*) FROM fill WHERE session = :session AND account = :account)";

/// What the report of a session needs beside the ledger's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayFrame {
    /// When the facts are gathered.
    pub as_of: Timestamp,
    /// The session.
    pub session: Session,
    /// The one after it; `None` where the calendar ends.
    pub next_session: Option<Session>,
    /// The limits in force.
    pub limits: DayLimits,
}

/// Reads everything that the report of a session is made of, from one snapshot.
///
/// A session without figures opened with the last equity that is known.
///
/// # Errors
/// If the ledger cannot be read.
pub fn facts(conn: &Connection, account: &str, frame: DayFrame) -> Result<DayFacts, LedgerError> {
    let DayFrame { as_of, session, next_session, limits } = frame;
    let (from, until) = super::new_york_day(session.date);
    let opening_equity = match equity::opening(conn, session.date)? {
        Some(opening) => opening,
        None => equity::last(conn)?.map_or(Money::ZERO, |point| point.equity),
    };
    let positions = position::closed_in(conn, account, session.date)?
        .into_iter()
        .chain(position::open(conn, account)?)
        .map(|stored| stored.position)
        .filter(|position| position.opened_at < until)
        .collect();
    let booked = fill::session_result(conn, account, session.date)?;
    let reported = equity::day(conn, session.date)?.map(|report| report.pnl);
    Ok(DayFacts {
        as_of,
        next_session,
        opening_equity,
        equity: equity::of_session(conn, session.date)?,
        booked: Some(booked),
        reported,
        positions,
        reviews: signal::reviews(conn, session.date)?,
        candidates: signal::candidates(conn, session.date)?,
        limits,
        halts: halt::between(conn, from, until)?,
        faults: faults(conn, session.date)?,
        counts: counts(conn, account, session.date)?,
        session,
    })
}

/// Asks for the report of each ended session from `since` on that told another result than its executions come to:
/// the broker has shown one late.
///
/// # Errors
/// If the ledger cannot be read or written.
pub(super) fn report_anew(
    tx: &Transaction<'_>,
    account: &str,
    since: SessionDate,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let mut outdated = tx.prepare_cached(SQL_OUTDATED)?;
    let sessions: Vec<Text<SessionDate>> =
        outdated.query_map(params![account, Text(since)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if sessions.is_empty() {
        return Ok(());
    }
    let summary: Option<String> = tx.prepare_cached(SQL_SUMMARY)?.query_row([], |row| row.get(0)).optional()?;
    let Some(summary) = summary else {
        return Ok(());
    };
    for Text(session) in sessions {
        run::add_summary(tx, &summary, session, now)?;
    }
    Ok(())
}

/// What went wrong on a session's date, in order.
///
/// # Errors
/// If the ledger cannot be read.
pub fn faults(conn: &Connection, session: SessionDate) -> Result<Vec<Fault>, LedgerError> {
    let (from, until) = super::new_york_day(session);
    let mut faults = Vec::new();
    let mut runs = conn.prepare_cached(SQL_RUN_FAULTS)?;
    let of_runs =
        runs.query_map(named_params! { ":session": Text(session), ":from": from.0, ":until": until.0 }, |row| {
            let kind = match row.get_ref(1)?.as_str()? {
                "dead" => FaultKind::RunDead,
                "expired" => FaultKind::RunExpired,
                "missed" => FaultKind::RunMissed,
                _ => FaultKind::RunFailed,
            };
            fault(Timestamp(row.get(0)?), kind, row.get(2)?, row.get(3)?, row.get(4)?)
        })?;
    for found in of_runs {
        faults.push(found?);
    }
    let mut intents = conn.prepare_cached(SQL_INTENT_FAULTS)?;
    let of_intents = intents.query_map([Text(session)], |row| {
        let (state, outcome): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let detail = match outcome {
            Some(outcome) => format!("an order is {state}: {outcome}"),
            None => format!("an order is {state}"),
        };
        fault(Timestamp(row.get(0)?), FaultKind::Broker, row.get(1)?, detail, 1)
    })?;
    for found in of_intents {
        faults.push(found?);
    }
    let mut events = conn.prepare_cached(SQL_EVENT_FAULTS)?;
    let of_events = events.query_map(params![from.0, until.0], |row| {
        let kind = kind_of_event(row.get_ref(1)?.as_str()?);
        fault(Timestamp(row.get(0)?), kind, row.get(2)?, row.get(3)?, 1)
    })?;
    for found in of_events {
        faults.push(found?);
    }
    let mut deliveries = conn.prepare_cached(SQL_DELIVERY_FAULTS)?;
    let of_deliveries = deliveries.query_map(params![from.0, until.0], |row| {
        fault(Timestamp(row.get(0)?), FaultKind::Delivery, row.get(1)?, row.get(2)?, row.get(3)?)
    })?;
    for found in of_deliveries {
        faults.push(found?);
    }
    faults.sort_by_key(|fault| fault.at);
    Ok(faults)
}

fn fault(at: Timestamp, kind: FaultKind, subject: String, detail: String, times: u32) -> rusqlite::Result<Fault> {
    Ok(Fault { at, kind, subject, detail, times: times.max(1) })
}

/// What an event named `noun.verb` is a fault of.
fn kind_of_event(name: &str) -> FaultKind {
    match name.split_once('.').map_or(name, |(noun, _)| noun) {
        "feed" | "bar" | "quote" => FaultKind::Feed,
        "broker" | "order" | "intent" | "fill" => FaultKind::Broker,
        "reconcile" | "position" => FaultKind::Reconcile,
        "delivery" | "alert" => FaultKind::Delivery,
        _ => FaultKind::Component,
    }
}

/// How much was done in a session.
///
/// # Errors
/// If the ledger cannot be read.
pub fn counts(conn: &Connection, account: &str, session: SessionDate) -> Result<DayCounts, LedgerError> {
    Ok(conn
        .prepare_cached(SQL_COUNTS)?
        .query_row(named_params! { ":session": Text(session), ":account": account }, |row| {
            Ok(DayCounts { slots: row.get(0)?, runs: row.get(1)?, orders: row.get(2)?, fills: row.get(3)? })
        })?)
}

/// What is shown of a day while it goes by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunningFigures {
    /// Orders sent so far, legs not counted.
    pub orders: u32,
    /// Positions that are open.
    pub open_positions: u32,
    /// The day's result at the last look.
    pub day_pnl: Money,
}

/// The figures right now.
///
/// # Errors
/// If the ledger cannot be read.
pub fn running_figures(conn: &Connection) -> Result<RunningFigures, LedgerError> {
    Ok(conn.prepare_cached(SQL_RUNNING)?.query_row([], |row| {
        Ok(RunningFigures {
            orders: row.get(0)?,
            open_positions: row.get(1)?,
            day_pnl: Money(row.get::<_, Option<i64>>(2)?.unwrap_or_default()),
        })
    })?)
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::{Alert, AlertEvent};
    use daybook_core::audit::{Invariant, audit};
    use daybook_core::calendar::Calendar;
    use daybook_core::decision::{Candidate, Decision, EquityPoint, Review};
    use daybook_core::order::{Fill, Order, OrderStatus};
    use daybook_core::report::DayReport;
    use daybook_core::risk::CheckName;

    use super::*;
    use crate::ledger::check::{AuditFrame, Since, audit_view};
    use crate::ledger::event::{self, Event, EventLevel};
    use crate::ledger::run::RunState;
    use crate::ledger::testing::{OPEN, TestLedger, enter, fill_of, order_of, refused, session, signal, symbol};
    use crate::ledger::{alert, fill, order};

    fn frame() -> DayFrame {
        let calendar = Calendar::xnys();
        DayFrame {
            as_of: Timestamp(OPEN.0 + 7 * 3_600_000),
            session: calendar.session(session()).unwrap(),
            next_session: None,
            limits: DayLimits {
                day_loss: Money::whole(2_000),
                positions: 5,
                position_value: Money::whole(10_000),
                exposure: None,
                adjustments: 3,
            },
        }
    }

    #[test]
    fn a_session_comes_back_as_the_facts_of_its_report() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let point = EquityPoint {
            session: session(),
            at: run.slot,
            equity: Money::whole(100_000),
            opening_equity: Money::whole(100_000),
            exposure: Money::ZERO,
            realised: Money::ZERO,
            unrealised: Money::ZERO,
            fees: Money::ZERO,
        };
        let decision = Decision {
            candidates: Some(vec![Candidate { symbol: symbol("AAPL"), rank: 1, score: 1, factors: vec![] }]),
            reviews: vec![
                Review { signal: signal("MSFT"), verdict: refused(CheckName::Confidence), leg: None },
                ours.review,
            ],
            intents: vec![ours.intent],
            equity: Some(point.clone()),
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
                fill::record(tx, "paper", &[execution], OPEN)?;
                event::record(tx, &Event::new(OPEN, EventLevel::Warning, "feed.stalled", "no bars for 90 s"))?;
                event::record(tx, &Event::new(OPEN, EventLevel::Info, "feed.resumed", "bars again"))?;
                let note = Alert::new(AlertEvent::DayEnded, "The day");
                alert::raise(tx, None, &note, &[alert::Route::every("email")].into(), OPEN)?;
                let sending = alert::claim_due(tx, 9, &[], OPEN)?;
                for delivery in sending {
                    alert::mark_failed(tx, delivery.delivery_id, "no route to host", Timestamp(OPEN.0 + 1))?;
                }
                tx.execute(
                    "UPDATE run SET state = 'dead', finished_at_ms = slot_at_ms, reason = 'died three times'",
                    [],
                )?;
                tx.execute(
                    "INSERT INTO missed_range (job, from_at_ms, to_at_ms, slots, reason, recorded_at_ms)
                     VALUES ('analysis', ?1, ?2, 4, 'not running', ?2)",
                    [OPEN.0 + 600_000, OPEN.0 + 900_000],
                )?;
                Ok(())
            })
            .unwrap();

        let facts = day.ledger.read(|conn| facts(conn, "paper", frame())).unwrap();
        assert_eq!(facts.equity, [point]);
        assert_eq!(facts.reviews.len(), 2);
        assert_eq!(facts.positions.len(), 1);
        assert_eq!(facts.candidates.len(), 1);
        assert_eq!(facts.counts, DayCounts { slots: 1, runs: 0, orders: 0, fills: 1 });
        let faults: Vec<_> =
            facts.faults.iter().map(|fault| (fault.kind, fault.subject.as_str(), fault.times)).collect();
        assert_eq!(
            faults,
            [
                (FaultKind::Feed, "feed.stalled", 1),
                (FaultKind::Delivery, "email", 1),
                (FaultKind::RunDead, "analysis", 1),
                (FaultKind::RunMissed, "analysis", 4),
            ]
        );

        let report = DayReport::build(facts).unwrap();
        let summary = day.run("daily-summary", 400);
        day.decide(&summary, &Decision { day: Some(report.clone()), ..Decision::default() });
        assert_eq!(day.ledger.read(|conn| equity::day(conn, session())).unwrap(), Some(report.clone()));
        assert_eq!(day.ledger.read(|conn| equity::days(conn, session(), session())).unwrap(), [report]);
    }

    /// The sessions that are waiting to be summed up.
    fn due(day: &TestLedger) -> Vec<String> {
        let sql = "SELECT session FROM run WHERE kind = 'daily-summary' AND state = 'due'";
        let read = |conn: &Connection| {
            let mut statement = conn.prepare(sql)?;
            let sessions = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(sessions)
        };
        day.ledger.read(read).unwrap()
    }

    fn days_that_are_no_sums(day: &TestLedger) -> usize {
        let frame = AuditFrame {
            as_of: frame().as_of,
            unprotected_limit: "2m".parse().unwrap(),
            sessions: vec![],
            slots: vec![],
            since: Since::BEGINNING,
        };
        let view = day.ledger.read(|conn| audit_view(conn, "paper", frame)).unwrap();
        audit(&view).iter().filter(|violation| violation.invariant == Invariant::DayIsSum).count()
    }

    #[test]
    fn an_execution_that_comes_after_the_report_has_it_made_anew_once() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        day.decide(&run, &Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() });
        let summed_up = |minute| {
            let report = DayReport::build(day.ledger.read(|conn| facts(conn, "paper", frame())).unwrap()).unwrap();
            let run = day.run("daily-summary", minute);
            day.decide(&run, &Decision { day: Some(report.clone()), ..Decision::default() });
            let ended = move |tx: &Transaction<'_>| run::end(tx, run.run_id, RunState::Canceled, "over", run.slot);
            day.ledger.write_blocking(ended).unwrap();
            report
        };
        let first = summed_up(400);
        assert_eq!((first.fees, due(&day).len()), (Money::ZERO, 0));

        let filled = Order {
            status: OrderStatus::Filled,
            filled: ours.ticket.quantity,
            ..order_of(&ours.ticket, "b-1", run.slot.0)
        };
        for execution in ["x-1", "x-2"] {
            let mut execution = fill_of(&filled, execution);
            execution.fee = Money::whole(1);
            day.ledger.write_blocking(move |tx| fill::record(tx, "paper", &[execution], frame().as_of)).unwrap();
            assert_eq!(due(&day), [session().to_string()], "one run for both executions");
        }
        assert_eq!(days_that_are_no_sums(&day), 0, "it is being corrected");

        day.ledger.write_blocking(|tx| Ok(tx.execute("DELETE FROM run WHERE state = 'due'", [])?)).unwrap();
        assert_eq!(days_that_are_no_sums(&day), 1, "nobody corrects it");
        let second = summed_up(410);
        assert_eq!((second.fees, second.corrects), (Money::whole(2), Some(Money::ZERO)));
        assert_eq!((due(&day).len(), days_that_are_no_sums(&day)), (0, 0));
    }

    #[test]
    fn an_execution_that_is_booked_while_the_day_is_summed_up_has_it_summed_up_again() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        day.decide(&run, &Decision { reviews: vec![ours.review], intents: vec![ours.intent], ..Decision::default() });
        let before = DayReport::build(day.ledger.read(|conn| facts(conn, "paper", frame())).unwrap()).unwrap();
        let summary = day.run("daily-summary", 400);
        let filled = Order {
            status: OrderStatus::Filled,
            filled: ours.ticket.quantity,
            ..order_of(&ours.ticket, "b-1", run.slot.0)
        };
        let execution = Fill { fee: Money::whole(1), ..fill_of(&filled, "x-1") };
        day.ledger.write_blocking(move |tx| fill::record(tx, "paper", &[execution], frame().as_of)).unwrap();
        assert!(due(&day).is_empty(), "there is no report yet");
        day.decide(&summary, &Decision { day: Some(before), ..Decision::default() });
        assert_eq!(due(&day), [session().to_string()]);
    }
}
