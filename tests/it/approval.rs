//! A supervised session: entries wait for a person, and nothing else does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook::engine::audit::audit_ledger;
use daybook::engine::commands::{Command, take_all};
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::engine::verify::verify;
use daybook::ledger::approval::{self, Answer};
use daybook::ledger::command::{self, CommandState};
use daybook::wiring::Wired;
use daybook_core::time::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::market::new_york;
use crate::support::simulation::{rows, wire_with};

const MONDAY: &str = "2026-11-16";

/// Starts a process on the ledger and ends it at an instant: whatever waits is a row, or it is lost.
async fn live_until(wired: &Wired, until: Timestamp) {
    let limits = Limits {
        stop: CancellationToken::new(),
        until: Some(until),
        drain: Duration::from_secs(1),
        on_turn: Arc::new(|| {}),
        jobs: None,
        stuck_after: Duration::from_secs(1),
    };
    let mut driver = Driver::new(wired.parts.clone(), limits, Arc::new(Notify::new()));
    driver.boot().await.unwrap();
    assert_eq!(driver.run().await.unwrap(), Ended::Finished);
}

/// The symbols that wait, by the ledger's clock.
fn waiting(wired: &Wired) -> Vec<String> {
    let now = wired.parts.sources.clock.wall();
    let waiting = wired.parts.sources.ledger.read(|conn| approval::waiting(conn, now)).unwrap();
    waiting.iter().map(|waiting| waiting.intent.intent.action.symbol().to_string()).collect()
}

/// Says yes or no, as `trade approve` and `trade reject` do: how the command ended, and the answer.
async fn says(wired: &Wired, answer: Answer, entry: &str) -> (CommandState, String) {
    let asked = Command::Answer { answer, entry: Some(entry.to_owned()), reason: Some("looked at it".to_owned()) };
    let (new, parts) = (asked.into_new("owner").unwrap(), wired.parts.clone());
    let now = parts.sources.clock.wall();
    let ledger = parts.sources.ledger.clone();
    let done = ledger.write(move |tx| {
        let command_id = command::enqueue(tx, &new, now)?.command_id;
        take_all(tx, &parts, now)?;
        command::get(tx, command_id)
    });
    let done = done.await.unwrap();
    (done.state, done.result.unwrap_or_default())
}

async fn supervised(path: &Path, settings: &[&str]) -> Wired {
    wire_with(path, MONDAY, MONDAY, settings).await
}

#[tokio::test]
async fn entries_wait_for_a_person_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let wired = supervised(&folder.path().join("day.db"), &["session_mode=supervised"]).await;
    let ledger = wired.parts.sources.ledger.clone();
    let (state, told) = says(&wired, Answer::Approved, "AAPL").await;
    assert_eq!((state, told.as_str()), (CommandState::Refused, "no entry AAPL waits for a person (nothing waits)"));

    // Each look is another life of the process. Of what waits, the first is sent, the second is not, and to the rest
    // nobody says anything.
    let (mut yes, mut no) = (None, None);
    for minutes in (0..170).step_by(5) {
        let (hour, minute) = ((9 * 60 + 46 + minutes) / 60, (9 * 60 + 46 + minutes) % 60);
        live_until(&wired, new_york(MONDAY, &format!("{hour:02}:{minute:02}"))).await;
        let unsent =
            "SELECT count(*) FROM intent WHERE purpose = 'enter' AND state = 'pending' AND submitted_at_ms IS NULL";
        assert_eq!(rows(&ledger, unsent), [waiting(&wired).len().to_string()]);
        for symbol in waiting(&wired) {
            let answer = if yes.is_none() {
                yes = Some(symbol.clone());
                Answer::Approved
            } else if no.is_none() {
                no = Some(symbol.clone());
                Answer::Rejected
            } else {
                continue;
            };
            let (state, told) = says(&wired, answer, &symbol.to_lowercase()).await;
            assert_eq!(state, CommandState::Done, "{told}");
            let (state, _) = says(&wired, answer, &symbol).await;
            assert_eq!(state, CommandState::Refused, "it is answered once");
        }
    }
    live_until(&wired, wired.until.unwrap()).await;

    let (yes, no) = (yes.expect("something was proposed"), no.expect("and more"));
    let sent =
        "SELECT symbol, answered_by, submitted_at_ms >= answered_at_ms FROM intent JOIN approval USING (intent_id)
        WHERE submitted_at_ms IS NOT NULL";
    assert_eq!(rows(&ledger, sent), [format!("{yes}|owner|1")], "what a person approved was sent, and after that");
    let entries = "SELECT DISTINCT symbol FROM v_order WHERE purpose = 'enter' AND role = 'parent'";
    assert_eq!(rows(&ledger, entries), [yes.as_str()]);
    assert_eq!(rows(&ledger, "SELECT symbol, state FROM position"), [format!("{yes}|closed")]);
    let refused = format!("SELECT count(*), min(outcome) FROM intent WHERE symbol = '{no}' AND purpose = 'enter'");
    assert_eq!(rows(&ledger, &refused), ["1|owner said no: looked at it"], "a no holds for the session");
    let silent =
        "SELECT count(*) > 0, min(state), max(state) FROM intent JOIN approval USING (intent_id) WHERE answer IS NULL";
    assert_eq!(rows(&ledger, silent), ["1|abandoned|abandoned"]);
    let waited = "SELECT count(*) FROM approval JOIN intent USING (intent_id) WHERE purpose <> 'enter'";
    assert_eq!(rows(&ledger, waited), ["0"], "an exit never waits");
    let skipped = "SELECT count(*) FROM run WHERE kind = 'analysis' AND state = 'skipped'";
    assert_eq!(rows(&ledger, skipped), ["0"], "the next analysis does not wait for the person");
    let told =
        rows(&ledger, "SELECT event, count(*) > 0 FROM alert WHERE event GLOB 'approval.*' GROUP BY 1 ORDER BY 1");
    assert_eq!(told, ["approval.answered|1", "approval.asked|1", "approval.expired|1"]);

    let (calendar, now) = (&wired.parts.sources.calendar, wired.parts.sources.clock.wall());
    let audit = audit_ledger(&ledger, &wired.parts.definitions, calendar, now).unwrap();
    assert_eq!(audit.findings(), Vec::<String>::new());
    let verified = verify(&ledger, &wired.parts.jobs, calendar, None, |_, _| {}).unwrap();
    assert_eq!(verified.differences, Vec::new());
}

#[tokio::test]
async fn an_entry_above_its_size_waits_in_an_autonomous_session() {
    let folder = tempfile::tempdir().unwrap();
    let wired = supervised(&folder.path().join("day.db"), &["execution.approval_above=9980"]).await;
    let ledger = wired.parts.sources.ledger.clone();
    live_until(&wired, wired.until.unwrap()).await;
    // The price of the signal: the order is at the market.
    let entries = "SELECT approval.intent_id IS NOT NULL, intent.state <> 'abandoned',
            quantity_e9 / 1e9 * (entry_e8 / 1e8) > 9980, count(*) > 0
        FROM intent JOIN signal USING (signal_id) LEFT JOIN approval USING (intent_id)
        WHERE purpose = 'enter' GROUP BY 1, 2, 3 ORDER BY 1";
    assert_eq!(
        rows(&ledger, entries),
        ["0|1|0|1", "1|0|1|1"],
        "small ones were sent, large ones waited until they expired"
    );
}
