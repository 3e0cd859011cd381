//! Checks a whole ledger: SQLite's own checks, and every invariant that its rows must keep.

use std::collections::BTreeMap;

use daybook_core::audit::{ExpectedSlot, Violation, audit};
use daybook_core::calendar::{Calendar, Session};
use daybook_core::schedule::{JobDefinition, Pace, slots};
use daybook_core::time::{Span, Timestamp};
use serde::Serialize;

use crate::ledger::check::{self, AuditFrame, FileCheck, RepeatedView, Since};
use crate::ledger::{Ledger, LedgerError, run_facts};

/// How long filled shares may lie without a stop: one period of the monitor, and half of one for what it
/// decides to reach the broker.
const UNPROTECTED_LIMIT: Span = Span::seconds(90);

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// Damage of the file.
    pub file: FileCheck,
    /// Invariants that the rows break.
    pub violations: Vec<Violation>,
}

impl Audit {
    /// Everything that is wrong, a line each; empty for a sound ledger.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        self.file.findings().cloned().chain(self.violations.iter().map(ToString::to_string)).collect()
    }
}

/// Checks the ledger's file and its rows.
///
/// # Errors
/// If the ledger cannot be read.
pub fn audit_ledger(
    ledger: &Ledger,
    definitions: &[JobDefinition],
    calendar: &Calendar,
    as_of: Timestamp,
) -> Result<Audit, LedgerError> {
    let file = ledger.read(check::check_file)?;
    Ok(Audit { file, violations: audit_rows(ledger, definitions, calendar, as_of)? })
}

/// Checks the ledger's rows, and trusts the file.
///
/// # Errors
/// If the ledger cannot be read.
pub fn audit_rows(
    ledger: &Ledger,
    definitions: &[JobDefinition],
    calendar: &Calendar,
    as_of: Timestamp,
) -> Result<Vec<Violation>, LedgerError> {
    let meta = ledger.meta();
    let (first, last) = (meta.created_at.date_in(calendar.zone()), as_of.date_in(calendar.zone()));
    let sessions = calendar.sessions(first, last).filter(|session| session.pre_open <= as_of).collect();
    ledger.read(|conn| {
        let slots = expected_slots(&run_facts::accounted(conn)?, definitions, calendar);
        let since = Since::BEGINNING;
        let frame = AuditFrame { as_of, unprotected_limit: UNPROTECTED_LIMIT, sessions, slots, since };
        Ok(audit(&check::audit_view(conn, &meta.account, frame)?))
    })
}

/// Checks the rows of a part of the ledger, again and again: what happened since, in the sessions that the caller names.
///
/// # Errors
/// If the ledger cannot be read.
pub fn audit_part(
    ledger: &Ledger,
    seen: &mut RepeatedView,
    sessions: Vec<Session>,
    since: Since,
    as_of: Timestamp,
) -> Result<Vec<Violation>, LedgerError> {
    let frame = AuditFrame { as_of, unprotected_limit: UNPROTECTED_LIMIT, sessions, slots: Vec::new(), since };
    ledger.read(|conn| Ok(audit(seen.look(conn, &ledger.meta().account, frame)?)))
}

/// The slots that the schedules name in the span that each job is accounted for. A job that follows the
/// market's pace is left out: its slots follow from decisions, not from its file; so is one whose file has
/// changed since.
fn expected_slots(
    accounted: &BTreeMap<String, run_facts::Accounted>,
    definitions: &[JobDefinition],
    calendar: &Calendar,
) -> Vec<ExpectedSlot> {
    let mut expected = Vec::new();
    for job in definitions.iter().filter(|job| job.enabled && !job.follows_the_pace()) {
        let Some(span) = accounted.get(&job.name) else { continue };
        let unchanged = serde_json::to_value(job).is_ok_and(|definition| definition == span.definition);
        if unchanged && !span.paused {
            let due = slots(&job.schedule, calendar, Pace::default(), span.from, span.horizon);
            expected.extend(due.into_iter().map(|slot| ExpectedSlot { job: job.name.clone(), slot: slot.at }));
        }
    }
    expected
}
