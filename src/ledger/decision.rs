//! A decision becomes a fact: everything it says is written in the transaction that ends its run's
//! thinking, or none of it is.

use daybook_core::decision::Decision;
use daybook_core::reconcile::{Difference, Repair};
use daybook_core::risk::{DayLevel, Look};
use daybook_core::time::{SessionDate, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Deserialize;

use super::alert::Routes;
use super::codec::Json;
use super::intent::StoredIntent;
use super::{
    LedgerError, alert, approval, day, equity, fill, halt, intent, model, order, pause, position, regime, script,
    signal,
};

const SQL_LAST: &str = "
    SELECT decided_at_ms, decision FROM run JOIN run_record USING (run_id) WHERE kind = ?1 ORDER BY slot_at_ms DESC LIMIT 1";

/// The run that a decision belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRef {
    /// Its row.
    pub run_id: i64,
    /// Its job.
    pub job: String,
    /// Its slot.
    pub slot: Timestamp,
    /// The session it serves.
    pub session: Option<SessionDate>,
    /// The account it decides for.
    pub account: String,
}

/// What a decision left to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Its intents, by leg.
    pub intents: Vec<StoredIntent>,
    /// How many alerts were raised.
    pub alerts: usize,
}

/// Writes a decision: candidates, signals with verdicts, intents, latches, changes of positions, repairs,
/// figures, the pace, and each alert with a delivery on every channel of `routes` that takes it.
///
/// # Errors
/// If the ledger cannot be written, or the decision contradicts itself (two intents of one leg).
pub fn write_decision(
    tx: &Transaction<'_>,
    run: &RunRef,
    decision: &Decision,
    routes: &Routes,
    now: Timestamp,
) -> Result<Written, LedgerError> {
    if let Some(candidates) = &decision.candidates {
        signal::insert_scan(tx, run, candidates, now)?;
    }
    let mut signal_of_leg = Vec::new();
    for (ordinal, review) in (0..).zip(&decision.reviews) {
        let signal_id = signal::insert_review(tx, run, ordinal, review, now)?;
        signal_of_leg.extend(review.leg.map(|leg| (leg, signal_id)));
    }
    for wanted in &decision.intents {
        let signal_id = signal_of_leg.iter().find(|(leg, _)| *leg == wanted.leg).map(|(_, signal_id)| *signal_id);
        intent::insert(tx, run, wanted, signal_id, now)?;
    }
    for request in &decision.approvals {
        approval::ask(tx, run.run_id, request, now)?;
    }
    for kind in &decision.cleared_halts {
        halt::clear(tx, *kind, &run.job, None, now)?;
    }
    for latch in &decision.halts {
        halt::set(tx, latch, Some(run.run_id))?;
    }
    for pause in &decision.pauses {
        pause::insert(tx, pause, run.run_id)?;
    }
    for fault in &decision.script_faults {
        script::insert_fault(tx, fault, run.run_id, now)?;
    }
    for fault in &decision.model_faults {
        model::insert_fault(tx, run, fault, now)?;
    }
    for repair in &decision.repairs {
        mend(tx, run, repair, now)?;
    }
    for change in &decision.positions {
        position::change(tx, run, change, now)?;
    }
    if let Some(point) = &decision.equity {
        equity::insert(tx, run.run_id, point)?;
    }
    if let (Some(look), Some(session)) = (&decision.look, run.session)
        && look.level >= DayLevel::Warning
    {
        let day_pnl = decision.equity.as_ref().map(|point| point.day_pnl());
        equity::warn(tx, run.run_id, session, day_pnl, now)?;
    }
    if let Some(choice) = &decision.pace {
        regime::write_choice(tx, run, choice, now)?;
    }
    if let Some(report) = &decision.day {
        equity::insert_day(tx, run.run_id, report, now)?;
        // An execution may have been booked since the facts were gathered.
        day::report_anew(tx, &run.account, report.session, now)?;
    }
    for told in &decision.alerts {
        alert::raise(tx, Some(run.run_id), told, routes, now)?;
    }
    Ok(Written { intents: intent::of_run(tx, run.run_id)?, alerts: decision.alerts.len() })
}

/// Makes the ledger agree with the broker. Doing it twice is doing it once.
fn mend(tx: &Transaction<'_>, run: &RunRef, repair: &Repair, now: Timestamp) -> Result<(), LedgerError> {
    match repair {
        Repair::Record(shown) => {
            order::record(tx, &run.account, std::slice::from_ref(shown), now)?;
        }
        Repair::Settle { client_order_id, event } => {
            // The dispatcher may have moved it on since the facts were gathered: then there is nothing to mend.
            if let Some(stored) = intent::by_client_order_id(tx, client_order_id)?
                && stored.state.apply(*event).is_ok()
            {
                intent::apply(tx, stored.intent_id, *event, Some("settled by reconcile"), now)?;
            }
        }
        Repair::Correct(correction) => {
            fill::record(tx, &run.account, std::slice::from_ref(correction), now)?;
        }
    }
    Ok(())
}

/// A decision that was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct LastDecision {
    /// When it was committed.
    pub at: Timestamp,
    /// What is left of it.
    pub decision: Remembered,
}

/// What a decision leaves for the next one of its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Remembered {
    /// What the risk monitor saw.
    pub look: Option<Look>,
    /// Where the ledger and the broker differed.
    pub differences: Vec<Difference>,
}

/// The last decision of a kind of job, for its next run to compare with; `None` before the first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn last_of_kind(conn: &Connection, kind: &str) -> Result<Option<LastDecision>, LedgerError> {
    let last = conn.prepare_cached(SQL_LAST)?.query_row([kind], |row| {
        Ok(LastDecision { at: Timestamp(row.get(0)?), decision: row.get::<_, Json<_>>(1)?.0 })
    });
    Ok(last.optional()?)
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::{Alert, AlertEvent};
    use daybook_core::decision::{Candidate, EquityPoint, PaceChoice, Review};
    use daybook_core::money::Money;
    use daybook_core::order::{Action, IntentEvent, IntentState, Purpose};
    use daybook_core::risk::{CheckName, Halt, HaltKind, Look};
    use daybook_core::schedule::Pace;
    use daybook_core::strategy::Reason;

    use super::*;
    use crate::ledger::testing::{TestLedger, enter, refused, session, signal, symbol};

    fn point(at: i64, equity: i64) -> EquityPoint {
        EquityPoint {
            session: session(),
            at: Timestamp(at),
            equity: Money::whole(equity),
            opening_equity: Money::whole(100_000),
            exposure: Money::ZERO,
            realised: Money::whole(equity - 100_000),
            unrealised: Money::ZERO,
            fees: Money::ZERO,
        }
    }

    #[test]
    fn everything_a_decision_says_is_a_row() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let decision = Decision {
            candidates: Some(vec![Candidate {
                symbol: symbol("AAPL"),
                rank: 1,
                score: 7,
                factors: vec![Reason::new("gap", "2.1%")],
            }]),
            reviews: vec![
                Review { signal: signal("MSFT"), verdict: refused(CheckName::Confidence), leg: None },
                ours.review.clone(),
            ],
            intents: vec![ours.intent.clone()],
            equity: Some(point(9, 98_000)),
            look: Some(Look { level: DayLevel::Warning, ..Look::default() }),
            pace: Some(PaceChoice { pace: Pace::Fast, reasons: vec![], reading: None, backed_off_until: None }),
            halts: vec![Halt {
                kind: HaltKind::SafeMode,
                reason: "two losses".to_owned(),
                numbers: vec![],
                since: Timestamp(9),
                until: Some(Timestamp(99)),
            }],
            alerts: vec![Alert::new(AlertEvent::RiskWarned, "Down 2,000 USD")],
            ..Decision::default()
        };
        let written = day.decide(&run, &decision);
        assert_eq!(written.alerts, 1);
        assert_eq!(written.intents.len(), 1);
        let stored = &written.intents[0];
        assert_eq!(stored.intent, ours.intent);
        assert_eq!(stored.verdict.as_ref(), Some(&ours.review.verdict));
        assert_eq!(
            (stored.state, stored.job.as_str(), stored.session),
            (IntentState::Pending, "analysis", Some(session()))
        );

        let read = &day.ledger;
        assert_eq!(
            read.read(|conn| signal::candidates(conn, session())).unwrap(),
            decision.candidates.clone().unwrap()
        );
        let reviews = read.read(|conn| signal::reviews(conn, session())).unwrap();
        assert_eq!(reviews.into_iter().map(|dated| dated.review).collect::<Vec<_>>(), decision.reviews);
        assert_eq!(read.read(|conn| equity::of_session(conn, session())).unwrap(), [point(9, 98_000)]);
        assert_eq!(read.read(|conn| equity::opening(conn, session())).unwrap(), Some(Money::whole(100_000)));
        assert_eq!(read.read(|conn| equity::warned_at(conn, session())).unwrap(), Some(run.slot));
        assert_eq!(read.read(|conn| halt::in_force(conn, Timestamp(50))).unwrap(), decision.halts);
        assert_eq!(read.read(|conn| alert::last(conn, 5)).unwrap()[0].alert, decision.alerts[0]);
        assert_eq!(read.read(|conn| alert::deliveries(conn, 5)).unwrap().len(), 2);
        assert_eq!(read.read(|conn| intent::symbols_entered(conn, session())).unwrap(), [symbol("AAPL")]);
        let pace: String = read
            .read(|conn| Ok(conn.query_row("SELECT pace FROM job WHERE name = 'analysis'", [], |row| row.get(0))?))
            .unwrap();
        assert_eq!(pace, "fast");
    }

    #[test]
    fn a_decision_that_contradicts_itself_leaves_nothing() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let decision = Decision {
            reviews: vec![Review { leg: None, ..ours.review }],
            intents: vec![ours.intent.clone(), ours.intent],
            ..Decision::default()
        };
        let answer =
            day.ledger.write_blocking(move |tx| write_decision(tx, &run, &decision, &Routes::default(), Timestamp(1)));
        assert!(matches!(answer, Err(LedgerError::Sql(_))));
        assert!(day.ledger.read(|conn| signal::reviews(conn, session())).unwrap().is_empty());
    }

    #[test]
    fn a_later_scan_replaces_the_session_s_choice() {
        let day = TestLedger::new();
        let scan = |names: &[&str]| Decision {
            candidates: Some(
                (1..)
                    .zip(names)
                    .map(|(rank, name)| Candidate { symbol: symbol(name), rank, score: 0, factors: vec![] })
                    .collect(),
            ),
            ..Decision::default()
        };
        day.decide(&day.run("premarket-scan", 1), &scan(&["AAPL", "MSFT"]));
        day.decide(&day.run("premarket-scan", 2), &scan(&["NVDA"]));
        let chosen = day.ledger.read(|conn| signal::candidates(conn, session())).unwrap();
        assert_eq!(chosen.iter().map(|candidate| candidate.symbol).collect::<Vec<_>>(), [symbol("NVDA")]);
        day.decide(&day.run("premarket-scan", 3), &scan(&[]));
        assert!(day.ledger.read(|conn| signal::candidates(conn, session())).unwrap().is_empty());
    }

    #[test]
    fn an_intent_moves_by_the_core_s_rules_only() {
        let day = TestLedger::new();
        let run = day.run("analysis", 5);
        let ours = enter(&day, &run, 0, "AAPL", 100);
        let cancel = daybook_core::order::Intent {
            leg: 1,
            purpose: Purpose::CancelEntry,
            action: Action::Cancel { symbol: symbol("MSFT"), broker_order_id: "b-7".to_owned() },
            valid_until: None,
            reason: "flatten".to_owned(),
        };
        let decision =
            Decision { reviews: vec![ours.review], intents: vec![ours.intent, cancel], ..Decision::default() };
        let written = day.decide(&run, &decision);
        let waiting = day.ledger.read(intent::unsettled).unwrap();
        assert_eq!(
            waiting.iter().map(|stored| stored.intent.leg).collect::<Vec<_>>(),
            [1, 0],
            "what reduces risk is first"
        );
        let id = written.intents[0].intent_id;
        let apply = |event, outcome: Option<&'static str>, at| {
            day.ledger.write_blocking(move |tx| intent::apply(tx, id, event, outcome, Timestamp(at)))
        };
        assert!(matches!(apply(IntentEvent::Acknowledged, None, 1), Err(LedgerError::Refused { .. })));
        assert_eq!(apply(IntentEvent::Sending, None, 2).unwrap(), IntentState::Submitting);
        assert_eq!(apply(IntentEvent::AnswerLost, Some("timed out"), 3).unwrap(), IntentState::Unknown);
        assert_eq!(apply(IntentEvent::Sending, None, 4).unwrap(), IntentState::Submitting);
        assert_eq!(apply(IntentEvent::Acknowledged, None, 5).unwrap(), IntentState::Acked);
        let stored = day.ledger.read(|conn| intent::get(conn, id)).unwrap();
        assert_eq!(
            (stored.attempts, stored.submitted_at, stored.settled_at),
            (2, Some(Timestamp(2)), Some(Timestamp(5)))
        );
        assert_eq!(stored.outcome.as_deref(), Some("timed out"));
        assert_eq!(day.ledger.read(intent::open).unwrap().len(), 2);
        assert_eq!(day.ledger.read(intent::unsettled).unwrap().len(), 1);
    }

    #[test]
    fn the_last_decision_of_a_kind_is_found() {
        let day = TestLedger::new();
        assert_eq!(day.ledger.read(|conn| last_of_kind(conn, "risk-monitor")).unwrap(), None);
        for (minute, level) in [(1, DayLevel::Ok), (2, DayLevel::Breach)] {
            let look = Look { level, ..Look::default() };
            day.record(&day.run("risk-monitor", minute), &Decision { look: Some(look), ..Decision::default() });
        }
        let last = day.ledger.read(|conn| last_of_kind(conn, "risk-monitor")).unwrap().unwrap();
        assert_eq!(last.decision.look.unwrap().level, DayLevel::Breach);
    }
}
