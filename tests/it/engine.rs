//! What the engine makes of jobs that fail, panic, hang or come right in the end, and of what a person asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use daybook::engine::Parts;
use daybook::engine::commands::{Command, take_all};
use daybook::engine::driver::{Driver, Ended, Limits};
use daybook::engine::job::{AnyJob, Job, Sources, Terms};
use daybook::ledger::command::{self, CommandState};
use daybook_core::decision::Decision;
use daybook_core::schedule::{JobDefinition, JobFile, JobKind};
use daybook_core::time::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::market::new_york;
use crate::support::simulation::{rows, wire};

const MONDAY: &str = "2026-11-16";

/// A job that does what its name says.
#[derive(Default)]
struct Scripted {
    flaky_runs: AtomicU32,
}

#[async_trait]
impl Job for Scripted {
    type Facts = String;

    async fn gather(&self, _sources: &Sources, terms: &Terms) -> anyhow::Result<String> {
        match terms.job.as_str() {
            "fails" => bail!("no answer"),
            "panics" => panic!("upside down"),
            "hangs" => std::future::pending().await,
            "flaky" if self.flaky_runs.fetch_add(1, Ordering::SeqCst) < 2 => bail!("not yet"),
            _ => Ok("well".to_owned()),
        }
    }

    fn decide(&self, facts: &String, _terms: &Terms) -> anyhow::Result<Decision> {
        Ok(Decision { summary: facts.clone(), ..Decision::default() })
    }
}

/// An engine with scripted jobs that are due at the open, and run until a quarter to ten.
struct Engine {
    parts: Arc<Parts>,
    _lock: daybook::wiring::Wired,
    _folder: TempDir,
}

impl Engine {
    async fn run(jobs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wired = wire(&folder.path().join("day.db"), MONDAY, MONDAY).await;
        let mut parts = (*wired.parts).clone();
        let definitions: Arc<[JobDefinition]> = jobs.iter().map(|name| definition(name)).collect();
        (parts.definitions, parts.claimed) = (definitions.clone(), definitions);
        let scripted: Arc<dyn AnyJob> = Arc::new(Scripted::default());
        parts.jobs = Arc::new([(JobKind::Command, scripted)].into());
        let engine = Self { parts: Arc::new(parts), _lock: wired, _folder: folder };
        engine.run_until("09:45").await;
        engine
    }

    async fn run_until(&self, wall: &str) {
        let limits = Limits {
            stop: CancellationToken::new(),
            until: Some(new_york(MONDAY, wall)),
            drain: Duration::from_secs(1),
            on_turn: Arc::new(|| {}),
            jobs: None,
            stuck_after: Duration::from_secs(1),
        };
        let mut driver = Driver::new(self.parts.clone(), limits, Arc::new(Notify::new()));
        driver.boot().await.unwrap();
        assert_eq!(driver.run().await.unwrap(), Ended::Finished);
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.parts.sources.ledger, sql)
    }

    /// Asks for something at a quarter to ten: how the command ended, and the answer.
    async fn asks(&self, asked: Command) -> (CommandState, String) {
        let (new, parts, now) = (asked.into_new("test").unwrap(), self.parts.clone(), new_york(MONDAY, "09:45"));
        let done = self.parts.sources.ledger.write(move |tx| {
            let command_id = command::enqueue(tx, &new, now)?.command_id;
            take_all(tx, &parts, now)?;
            command::get(tx, command_id)
        });
        let done = done.await.unwrap();
        (done.state, done.result.unwrap_or_default())
    }
}

fn definition(name: &str) -> JobDefinition {
    let file = json!({
        "kind": "command", "command": ["true"], "schedule": {"at": "open"}, "window": "1h",
        "retries": if name == "fails" { 4 } else { 2 }, "timeout": "20ms",
    });
    serde_json::from_value::<JobFile>(file).unwrap().into_definition(name).unwrap()
}

#[tokio::test]
async fn a_job_that_goes_wrong_is_tried_again_and_touches_no_other() {
    let engine = Engine::run(&["fails", "flaky", "hangs", "panics", "well"]).await;
    assert_eq!(
        engine.rows("SELECT job, state, attempt, reason FROM run ORDER BY job"),
        [
            "fails|dead|5|failed 5 times; the last time: gathering facts: no answer",
            "flaky|done|3|",
            "hangs|dead|3|failed 3 times; the last time: timed out after 20ms",
            "panics|dead|3|failed 3 times; the last time: panicked: upside down",
            "well|done|1|",
        ]
    );
    let told = engine
        .rows("SELECT event, substr(subject, 1, instr(subject, ' ') - 1), level, sent_on FROM v_alert ORDER BY 2, 1");
    assert_eq!(
        told,
        [
            "job.failed|fails|warning|file",
            "job.troubled|fails|warning|file",
            "job.failed|hangs|warning|file",
            "job.failed|panics|warning|file",
        ]
    );
    let in_order = "SELECT count(*) FROM run_attempt AS one JOIN run_attempt AS next USING (run_id)
        WHERE next.attempt = one.attempt + 1 AND next.started_at_ms <= one.ended_at_ms";
    assert_eq!(engine.rows(in_order), ["0"], "an attempt starts after the one before it has ended");
}

#[tokio::test]
async fn a_slot_that_is_done_is_not_run_again_for_anybody() {
    let engine = Engine::run(&["well"]).await;
    let as_slot = |at: Timestamp| Command::Run { job: "well".to_owned(), as_slot: Some(at), session: None };
    let open = new_york(MONDAY, "09:30");
    for (asked, why) in [
        (as_slot(open), format!("well of {open} is done already")),
        (as_slot(new_york(MONDAY, "09:31")), "is no slot of well".to_owned()),
        (as_slot(new_york(MONDAY, "10:00")), "is in the future".to_owned()),
        (Command::Run { job: "wel".to_owned(), as_slot: None, session: None }, "there is no job wel".to_owned()),
    ] {
        let (state, answer) = engine.asks(asked).await;
        assert_eq!(state, CommandState::Refused);
        assert!(answer.contains(&why), "{answer}");
    }
    let (state, _) = engine.asks(Command::Run { job: "well".to_owned(), as_slot: None, session: None }).await;
    assert_eq!(state, CommandState::Done);
    engine.run_until("09:46").await;
    let runs = engine.rows("SELECT trigger, state, summary FROM run ORDER BY run_id");
    assert_eq!(runs, ["schedule|done|well", "manual|done|well"], "a process that starts again runs nothing twice");
}

#[tokio::test]
async fn a_start_looks_at_what_is_held_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let wired = wire(&folder.path().join("day.db"), MONDAY, MONDAY).await;
    let boots = "SELECT job, state FROM run WHERE trigger = 'boot' ORDER BY run_id DESC";
    let boot = async |simulated: bool| {
        let parts = Parts { simulated, ..(*wired.parts).clone() };
        let (stop, on_turn) = (CancellationToken::new(), Arc::new(|| {}));
        let (drain, stuck_after) = (Duration::from_secs(1), Duration::from_secs(1));
        let limits = Limits { stop, until: None, drain, on_turn, jobs: None, stuck_after };
        Driver::new(Arc::new(parts), limits, Arc::new(Notify::new())).boot().await.unwrap();
        rows(&wired.parts.sources.ledger, boots)
    };
    assert_eq!(boot(false).await, ["reconcile|due"], "nothing is held");
    let position = "INSERT INTO position (account, session, symbol, direction, state, quantity_e9, quantity_max_e9,
            entered_e9, entry_value_e8, exit_value_e8, cost_e8, entry_price_e8, adjustments, best_price_e8, opened_at_ms,
            realised_e8, fees_e8)
        VALUES ('paper', '2026-11-16', 'AAPL', 'long', 'open', 1, 1, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0)";
    wired.parts.sources.ledger.write(|tx| Ok(tx.execute(position, [])?)).await.unwrap();
    assert_eq!(boot(true).await.len(), 2, "on a simulated clock no time has passed");
    assert_eq!(boot(false).await[2..], ["reconcile|due", "risk-monitor|due"]);
}
