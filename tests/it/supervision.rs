//! Jobs that panic, never return or block their threads, beside those that get a position out: on the system's clock,
//! where runs are tasks of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use daybook::config::{self, Environment, Sources};
use daybook::engine::JobTable;
use daybook::engine::bus::Event;
use daybook::engine::commands::Command;
use daybook::engine::driver::{Driver, Limits};
use daybook::engine::job::{AnyJob, Job, Sources as Facts, Terms};
use daybook::ledger::command;
use daybook::ledger::run::RunState;
use daybook::wiring::{self, Wired};
use daybook_core::decision::Decision;
use daybook_core::schedule::{JobDefinition, JobFile, JobKind};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A door that jobs wait at with their whole thread.
#[derive(Default)]
struct Door {
    is_open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicU32,
}

impl Door {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.opened.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }
}

/// A job that does what its name says.
struct Scripted(Arc<Door>);

#[async_trait]
impl Job for Scripted {
    type Facts = String;

    async fn gather(&self, _sources: &Facts, terms: &Terms) -> anyhow::Result<String> {
        match terms.job.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-') {
            "panics" => std::panic::resume_unwind(Box::new("upside down")),
            "never-returns" => std::future::pending().await,
            "blocks" => self.0.wait(),
            _ => {}
        }
        Ok("well".to_owned())
    }

    fn decide(&self, facts: &String, _terms: &Terms) -> anyhow::Result<Decision> {
        Ok(Decision { summary: facts.clone(), ..Decision::default() })
    }
}

/// A live process with scripted jobs.
struct Process {
    wired: Wired,
    door: Arc<Door>,
    turns: Arc<AtomicU32>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Process {
    async fn with(jobs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.yaml");
        std::fs::write(&file, format!("notifications: {{folder: {}}}\n", folder.path().join("mail").display()))
            .unwrap();
        let configuration = config::load(&Sources::new(Some(file), Environment::default())).unwrap();
        let ledger: PathBuf = folder.path().join("ledger.db");
        let mut wired = wiring::live(&configuration, &ledger).await.unwrap();
        let mut parts = (*wired.parts).clone();
        let definitions: Arc<[JobDefinition]> = jobs.iter().map(|(name, kind)| definition(name, kind)).collect();
        (parts.definitions, parts.claimed) = (definitions.clone(), definitions);
        let door = Arc::new(Door::default());
        let scripted: Arc<dyn AnyJob> = Arc::new(Scripted(door.clone()));
        let table: JobTable = JobKind::ALL.into_iter().map(|kind| (kind, scripted.clone())).collect::<BTreeMap<_, _>>();
        parts.jobs = Arc::new(table);
        wired.parts = Arc::new(parts);
        let turns = Arc::default();
        Self { wired, door, turns, stop: CancellationToken::new(), _folder: folder }
    }

    /// Asks for a run of each of these jobs.
    async fn ask(&self, jobs: &[&str]) {
        let parts = &self.wired.parts;
        let now = parts.sources.clock.wall();
        for job in jobs {
            let asked = Command::Run { job: (*job).to_owned(), as_slot: None, session: None };
            let new = asked.into_new("test").unwrap();
            parts.sources.ledger.write(move |tx| command::enqueue(tx, &new, now)).await.unwrap();
        }
    }

    /// Waits until so many jobs wait at the door.
    async fn blocked(&self, jobs: u32) {
        while self.door.waiting.load(Ordering::SeqCst) < jobs {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts the loop on this test's thread, with a runtime for `jobs` that do more than reduce risk.
    async fn run(&self, jobs: Option<Handle>, stuck_after: Duration) {
        let turns = self.turns.clone();
        let limits = Limits {
            stop: self.stop.clone(),
            until: None,
            drain: Duration::from_secs(10),
            on_turn: Arc::new(move || {
                turns.fetch_add(1, Ordering::SeqCst);
            }),
            jobs,
            stuck_after,
        };
        let mut driver = Driver::new(self.wired.parts.clone(), limits, Arc::new(Notify::new()));
        driver.boot().await.unwrap();
        driver.run().await.unwrap();
    }

    /// Hears of runs that end from now on, until these have ended; the answer is how.
    fn ends_of<'a>(&self, jobs: &'a [&'a str]) -> impl Future<Output = BTreeMap<String, RunState>> + use<'a> {
        let mut events = self.wired.parts.bus.subscribe();
        async move {
            let mut ends = BTreeMap::new();
            while !jobs.iter().all(|job| ends.contains_key(*job)) {
                if let Ok(Event::RunEnded { job, state, .. }) = events.recv().await {
                    ends.insert(job, state);
                }
            }
            ends
        }
    }
}

fn definition(name: &str, kind: &str) -> JobDefinition {
    let file = json!({
        "kind": kind, "schedule": {"cron": "0 0 1 1 *"}, "retries": if kind == "market-close-flatten" { json!("until_expired") } else { json!(0) },
        "timeout": if name == "never-returns" { "50ms" } else { "1m" },
    });
    serde_json::from_value::<JobFile>(file).unwrap().into_definition(name).unwrap()
}

/// A runtime, as the scheduler has two.
fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

#[test]
fn jobs_that_block_every_thread_keep_neither_the_monitor_nor_the_flatten_waiting() {
    let (main, others) = (runtime(2), runtime(2));
    let handle = others.handle().clone();
    main.block_on(async {
        let jobs = [
            ("blocks-1", "analysis"),
            ("blocks-2", "analysis"),
            ("blocks-3", "premarket-scan"),
            ("panics", "risk-monitor"),
            ("watches", "risk-monitor"),
            ("flattens", "market-close-flatten"),
            ("reconciles", "reconcile"),
        ];
        let process = Process::with(&jobs).await;
        process.ask(&["blocks-1", "blocks-2", "blocks-3"]).await;
        let driven = async {
            tokio::join!(process.run(Some(handle), Duration::from_secs(60)), async {
                process.blocked(2).await;
                let told = process.ends_of(&["watches", "flattens", "panics", "reconciles"]);
                process.ask(&["watches", "flattens", "panics", "reconciles"]).await;
                let ends = told.await;
                assert_eq!(process.door.waiting.load(Ordering::SeqCst), 2, "both threads are blocked still");
                assert_eq!(ends["watches"], RunState::Done);
                assert_eq!(ends["flattens"], RunState::Done);
                assert_eq!(ends["reconciles"], RunState::Done);
                assert_eq!(ends["panics"], RunState::Dead);
                let unblocked = process.ends_of(&["blocks-1", "blocks-2", "blocks-3"]);
                process.door.open();
                unblocked.await;
                process.stop.cancel();
            });
        };
        driven.await;
    });
    others.shutdown_background();
}

#[test]
fn a_job_that_never_returns_ends_by_its_timeout_and_the_others_go_on() {
    runtime(2).block_on(async {
        let jobs = [("never-returns", "analysis"), ("panics", "premarket-scan"), ("well", "daily-summary")];
        let process = Process::with(&jobs).await;
        let told = process.ends_of(&["never-returns", "panics", "well"]);
        process.ask(&["never-returns", "panics", "well"]).await;
        let (_, ends) = tokio::join!(process.run(None, Duration::from_secs(60)), async {
            let ends = told.await;
            process.stop.cancel();
            ends
        });
        assert_eq!(ends["never-returns"], RunState::Dead);
        assert_eq!(ends["panics"], RunState::Dead);
        assert_eq!(ends["well"], RunState::Done);
    });
}

#[test]
fn the_watchdog_hears_nothing_while_the_threads_are_stuck() {
    let (main, others) = (runtime(2), runtime(1));
    let handle = others.handle().clone();
    main.block_on(async {
        let process = Process::with(&[("blocks", "analysis")]).await;
        process.ask(&["blocks"]).await;
        let is_over = AtomicBool::new(false);
        tokio::join!(
            async {
                process.run(Some(handle), Duration::from_millis(100)).await;
                is_over.store(true, Ordering::SeqCst);
            },
            async {
                let heard = || process.turns.load(Ordering::SeqCst);
                // The loop turns once a second.
                let turned = |times: u32| {
                    let process = &process;
                    async move {
                        for _ in 0..times {
                            tokio::time::sleep(Duration::from_millis(1_050)).await;
                        }
                        process.turns.load(Ordering::SeqCst)
                    }
                };
                process.blocked(1).await;
                turned(2).await;
                let before = heard();
                assert_eq!(turned(2).await, before, "the one thread of jobs is blocked");
                process.door.open();
                let after = turned(2).await;
                assert!(after > before, "well again: {before} turns, then {after}");
                process.stop.cancel();
            }
        );
        assert!(is_over.load(Ordering::SeqCst));
    });
    others.shutdown_background();
}
