//! `trade job run NAME --due`: what a line of a crontab does, on the path of the scheduler.

use std::fs;
use std::path::PathBuf;

use daybook::config::{self, Configuration, Environment, Sources};
use daybook::engine::commands::Command;
use daybook::ledger::run::RunState;
use daybook::ledger::run_facts::RunOutcome;
use daybook::wiring::{Errand, once};
use tempfile::TempDir;

/// A folder with a configuration in which one job is due each second, and one hardly ever.
struct Place {
    folder: TempDir,
    configuration: Configuration,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(path("jobs")).unwrap();
        let job = |name: &str, schedule: &str| {
            let text = format!("kind: command\ncommand: [sh, -c, \":\"]\nschedule: {schedule}\n");
            fs::write(path("jobs") + "/" + name + ".yaml", text).unwrap();
        };
        job("every-second", "{every: 1s, during: always}");
        job("new-year", "{cron: \"0 0 1 1 *\"}");
        let text = format!("jobs_dir: {}\nnotifications: {{folder: {}}}\n", path("jobs"), path("mail"));
        fs::write(path("daybook.yaml"), text).unwrap();
        let sources = Sources::new(Some(path("daybook.yaml").into()), Environment::default());
        let configuration = config::load(&sources).unwrap();
        Self { folder, configuration }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    async fn due(&self, job: &str) -> Vec<RunOutcome> {
        self.does(Errand::Due { job: job.to_owned() }).await
    }

    async fn does(&self, errand: Errand) -> Vec<RunOutcome> {
        once(&self.configuration, &self.ledger(), errand, "test").await.unwrap()
    }
}

#[tokio::test]
async fn what_is_not_due_is_not_run() {
    let place = Place::new();
    assert_eq!(place.due("new-year").await, []);
    assert_eq!(place.due("new-year").await, []);
}

#[tokio::test]
async fn a_person_runs_a_job_whether_it_is_due_or_not() {
    let place = Place::new();
    let asked = Command::Run { job: "new-year".to_owned(), as_slot: None, session: None };
    let outcomes = place.does(Errand::Command(asked)).await;
    assert!(matches!(&outcomes[..], [RunOutcome { state: RunState::Done, .. }]), "{outcomes:?}");
}

#[tokio::test]
async fn calls_that_meet_wait_for_each_other_and_no_slot_is_run_twice() {
    let place = Place::new();
    // A job's slots are accounted for from the first call on.
    assert_eq!(place.due("every-second").await, []);
    let (first, second) = tokio::join!(place.due("every-second"), place.due("every-second"));
    let mut slots: Vec<_> = first.iter().chain(&second).map(|run| run.slot).collect();
    assert!(first.iter().chain(&second).all(|run| run.state == RunState::Done), "{first:?} {second:?}");
    assert!(!slots.is_empty());
    let count = slots.len();
    slots.sort();
    slots.dedup();
    assert_eq!(slots.len(), count, "{first:?} {second:?}");
}
