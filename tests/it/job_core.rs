//! The life of a slot: planned, claimed once, tried again, ended with a reason.
//!
//! The ledger and the planner are real; a test is the process that looks, decides, fails or dies.

use std::time::Duration;

use daybook::ledger::alert::Routes;
use daybook::ledger::decision::RunRef;
use daybook::ledger::record::{self, Decided};
use daybook::ledger::run::{self, ClaimedRun, EndedRun, Look, LookInput, RunState, Trigger};
use daybook::ledger::{Ledger, LedgerError, LedgerKind, NewLedger, OpenOptions, fill};
use daybook_core::calendar::Calendar;
use daybook_core::decision::{Decision, PaceChoice};
use daybook_core::market::BarSet;
use daybook_core::money::{Money, Quantity};
use daybook_core::order::{Fill, Side};
use daybook_core::schedule::{JobDefinition, JobFile, MissedReason, Pace, Slot};
use daybook_core::time::{SessionDate, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::market::{cents, new_york};

const MONDAY: &str = "2026-11-16";

/// An instant of that Monday in New York.
fn at(wall: &str) -> Timestamp {
    new_york(MONDAY, wall)
}

/// A ledger, and the jobs of the process that works on it.
struct Desk {
    ledger: Ledger,
    jobs: Vec<JobDefinition>,
    calendar: Calendar,
    live: Vec<i64>,
    _folder: TempDir,
}

impl Desk {
    /// A ledger that is new at `wall`, with one job of each file.
    fn open<const N: usize>(wall: &str, files: [(&str, Value); N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new = NewLedger::simulated(LedgerKind::Simulation, "paper", "test", at(wall));
        let ledger = Ledger::open(&folder.path().join("ledger.db"), &OpenOptions::create_or_open(new)).unwrap();
        let jobs: Vec<JobDefinition> = files.into_iter().map(|(name, file)| definition(name, file)).collect();
        let (known, now) = (jobs.clone(), at(wall));
        ledger.write_blocking(move |tx| run::sync_jobs(tx, &known, now)).unwrap();
        Self { ledger, jobs, calendar: Calendar::xnys(), live: Vec::new(), _folder: folder }
    }

    fn job(&self, name: &str) -> JobDefinition {
        self.jobs.iter().find(|job| job.name == name).unwrap().clone()
    }

    /// Looks at what is due; what is claimed lives in this process from then on.
    fn look(&mut self, now: Timestamp) -> Look {
        let (jobs, calendar, live) = (self.jobs.clone(), self.calendar.clone(), self.live.clone());
        let looked = self.ledger.write_blocking(move |tx| {
            let input = LookInput {
                now,
                beyond_now_us: 0,
                jobs: &jobs,
                calendar: &calendar,
                live: &live,
                epoch: 1,
                config_hash: "test",
            };
            run::look(tx, &input)
        });
        let look = looked.unwrap();
        self.live.extend(look.claimed.iter().map(|run| run.run_id));
        look
    }

    /// The run that a look claims: there must be one.
    fn claim(&mut self, now: Timestamp) -> ClaimedRun {
        self.look(now).claimed.expect("a run that may start")
    }

    /// Looks as a process does in one turn: until nothing more may start. Names and slots of what it claims.
    fn claim_all(&mut self, now: Timestamp) -> Vec<String> {
        std::iter::from_fn(|| self.look(now).claimed).map(|run| shown(&run.job, run.slot)).collect()
    }

    fn decides(&mut self, run: &ClaimedRun, now: Timestamp) -> Result<bool, LedgerError> {
        self.commits(run, Decision { summary: "nothing to do".to_owned(), ..Decision::default() }, now)
    }

    fn commits(&mut self, run: &ClaimedRun, decision: Decision, now: Timestamp) -> Result<bool, LedgerError> {
        let reference = RunRef {
            run_id: run.run_id,
            job: run.job.clone(),
            slot: run.slot,
            session: run.session,
            account: "paper".to_owned(),
        };
        let decided = Decided {
            parameters: json!({}),
            facts: "{}".to_owned(),
            feed: "test".to_owned(),
            bars: BarSet::new(),
            decision,
        };
        let outcome =
            self.ledger.write_blocking(move |tx| record::commit(tx, &reference, &decided, "", &Routes::default(), now));
        self.live.retain(|live| *live != run.run_id);
        outcome
    }

    /// The run's attempt fails; the answer is its end, if no attempt follows.
    fn fails(&mut self, run: &ClaimedRun, now: Timestamp) -> Option<EndedRun> {
        let (failed, retries) = (run.clone(), self.job(&run.job).retries);
        self.live.retain(|live| *live != run.run_id);
        self.ledger.write_blocking(move |tx| run::fail(tx, &failed, retries, "no answer", now)).unwrap()
    }

    /// The process dies, and another takes over.
    fn dies(&mut self, now: Timestamp) -> Vec<EndedRun> {
        self.live.clear();
        self.ledger.write_blocking(move |tx| run::recover(tx, Some(run::CRASH_ATTEMPTS_MAX), now)).unwrap()
    }

    fn pauses(&self, job: &'static str, paused: bool, now: Timestamp) -> bool {
        self.ledger.write_blocking(move |tx| run::set_paused(tx, job, paused, now)).unwrap()
    }

    /// A run that no schedule asked for.
    fn adds(&self, job: &str, trigger: Trigger, now: Timestamp) -> i64 {
        let job = self.job(job);
        let session = self.calendar.session_date_at(now);
        self.ledger.write_blocking(move |tx| run::add_run(tx, &job, trigger, session, None, now)).unwrap()
    }

    /// A run as the slot `slot`, or the state of the run that is there.
    fn adds_as_slot(&self, job: &str, slot: Timestamp, now: Timestamp) -> Result<i64, RunState> {
        let job = self.job(job);
        let slot = Slot { at: slot, session: self.calendar.session_date_at(slot) };
        self.ledger.write_blocking(move |tx| run::add_as_slot(tx, &job, slot, now)).unwrap()
    }

    /// Every run, a line each: job, slot in New York, state.
    fn runs(&self) -> Vec<String> {
        self.rows("SELECT job || ' ' || substr(slot_at_ny, 12) || ' ' || state FROM v_run ORDER BY slot_at_utc, run_id")
    }

    /// The first column of a question's answer.
    fn rows(&self, sql: &str) -> Vec<String> {
        self.ledger.query(sql).unwrap().rows.iter().map(|row| row[0].to_string()).collect()
    }

    fn reason(&self, run_id: i64) -> String {
        self.rows(&format!("SELECT reason FROM run WHERE run_id = {run_id}")).concat()
    }
}

fn definition(name: &str, file: Value) -> JobDefinition {
    serde_json::from_value::<JobFile>(file).unwrap().into_definition(name).unwrap()
}

fn shown(job: &str, slot: Timestamp) -> String {
    format!("{job} {}", slot.in_zone(Calendar::xnys().zone()).format("%H:%M:%S"))
}

/// A job that is due every five minutes of the session; `policy` says how it is treated.
fn five_minutes(policy: Value) -> Value {
    let mut file = json!({
        "kind": "command", "command": ["true"], "schedule": {"every": "5m"}, "window": "1h", "catch_up": "latest",
    });
    file.as_object_mut().unwrap().extend(policy.as_object().cloned().unwrap());
    file
}

#[test]
fn a_slot_is_claimed_once_and_done_once() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({})))]);
    let before = desk.look(at("09:29:59"));
    assert_eq!((before.claimed, before.next_at), (None, Some(at("09:30"))));
    let run = desk.claim(at("09:30"));
    assert_eq!((run.slot, run.session), (at("09:30"), Some(SessionDate::of(2026, 11, 16).unwrap())));
    assert_eq!(run.attempt, 1);
    let meanwhile = desk.look(at("09:30:01"));
    assert_eq!((meanwhile.claimed, meanwhile.next_at), (None, Some(at("09:35"))));
    assert!(!desk.decides(&run, at("09:30:02")).unwrap(), "nothing is left to dispatch");
    assert_eq!(desk.claim_all(at("09:30:03")), Vec::<String>::new());
    assert_eq!(desk.runs(), ["tidy 09:30:00 done"]);
}

#[test]
fn a_slot_that_meets_a_live_run_is_skipped_or_waits() {
    for (overlap, at_once, in_the_end) in [
        ("skip", ["09:30:00 claimed", "09:35:00 skipped"], ["09:30:00 done", "09:35:00 skipped", "09:40:00 skipped"]),
        ("queue_one", ["09:30:00 claimed", "09:35:00 due"], ["09:30:00 done", "09:35:00 skipped", "09:40:00 claimed"]),
    ] {
        let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({"overlap": overlap})))]);
        let run = desk.claim(at("09:30"));
        assert_eq!(desk.claim_all(at("09:35")), Vec::<String>::new(), "{overlap}");
        assert_eq!(desk.runs(), at_once.map(|line| format!("tidy {line}")), "{overlap}");
        assert_eq!(desk.claim_all(at("09:40")), Vec::<String>::new(), "{overlap}");
        desk.decides(&run, at("09:41")).unwrap();
        desk.claim_all(at("09:41"));
        assert_eq!(desk.runs(), in_the_end.map(|line| format!("tidy {line}")), "{overlap}");
    }
}

#[test]
fn a_failed_run_is_tried_again_with_growing_pauses_and_then_dead() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({"retries": 3, "overlap": "queue_one"})))]);
    let mut now = at("09:30");
    for (attempt, bound_ms) in [(1, 1_000), (2, 2_000), (3, 4_000)] {
        let run = desk.claim(now);
        assert_eq!(run.attempt, attempt);
        assert_eq!(desk.fails(&run, now), None);
        let look = desk.look(now);
        assert_eq!(look.claimed, None);
        let next = look.next_at.unwrap();
        let pause = next.since(now).as_millis();
        assert!((bound_ms / 4..=bound_ms).contains(&pause), "{pause} ms after attempt {attempt}");
        assert_eq!(desk.look(next.before(Duration::from_millis(1))).claimed, None);
        now = next;
    }
    let run = desk.claim(now);
    let ended = desk.fails(&run, now).expect("no attempt follows");
    assert_eq!((ended.state, ended.reason.as_str()), (RunState::Dead, "failed 4 times; the last time: no answer"));
    assert_eq!(desk.runs(), ["tidy 09:30:00 dead"]);
    assert_eq!(
        desk.rows("SELECT count(*) FROM run_attempt WHERE error = 'no answer' AND ended_at_ms IS NOT NULL"),
        ["4"]
    );
}

#[test]
fn retries_end_with_their_number_their_time_or_the_window() {
    let attempts = |retries: Value| {
        let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({"retries": retries, "window": "150s"})))]);
        let mut now = at("09:30");
        let mut attempts = 0;
        while now < at("09:33") {
            let look = desk.look(now);
            if let Some(run) = look.claimed {
                attempts = run.attempt;
                desk.fails(&run, now);
            }
            now = now.after(Duration::from_secs(1));
        }
        (attempts, desk.runs(), desk.rows("SELECT reason FROM run"))
    };
    assert_eq!(attempts(json!(0)), (1, vec!["tidy 09:30:00 dead".to_owned()], vec!["no answer".to_owned()]));
    let (within_a_time, runs, _) = attempts(json!("20s"));
    assert!((3..=12).contains(&within_a_time), "{within_a_time} attempts in 20 s");
    assert_eq!(runs, ["tidy 09:30:00 dead"]);
    let (while_it_may, runs, reasons) = attempts(json!("until_expired"));
    assert!(while_it_may > within_a_time);
    assert_eq!(runs, ["tidy 09:30:00 expired"]);
    assert!(reasons[0].ends_with("the last attempt failed: no answer"), "{reasons:?}");
}

#[test]
fn a_slot_in_which_the_process_dies_three_times_is_dead_and_the_flatten_is_not() {
    let flatten = json!({"kind": "market-close-flatten", "schedule": {"at": "close-10m"}});
    let poison = json!({"kind": "command", "command": ["true"], "schedule": {"at": "close-10m"}, "window": "1h"});
    let mut desk = Desk::open("15:00", [("flatten", flatten), ("poison", poison)]);
    for death in 1..=4 {
        let now = at("15:50").after(Duration::from_secs(death));
        let claimed = desk.claim_all(now);
        let expected: &[&str] =
            if death <= 3 { &["flatten 15:50:00", "poison 15:50:00"] } else { &["flatten 15:50:00"] };
        assert_eq!(claimed, expected, "life {death}");
        let dead = desk.dies(now);
        assert_eq!(dead.len(), usize::from(death == 3), "life {death}: {dead:?}");
        for ended in dead {
            assert_eq!((ended.job.as_str(), ended.state), ("poison", RunState::Dead));
            assert_eq!(ended.reason, "the process died 3 times while it ran");
        }
    }
    let run = desk.claim(at("15:51"));
    assert_eq!((run.job.as_str(), run.attempt), ("flatten", 5));
}

#[test]
fn without_a_limit_no_slot_is_given_up() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({"window": "1h"})))]);
    for death in 0..9 {
        let now = at("09:30").after(Duration::from_secs(death));
        assert_eq!(desk.claim(now).run_id, 1);
        assert_eq!(desk.ledger.write_blocking(move |tx| run::recover(tx, None, now)).unwrap(), []);
        desk.live.clear();
    }
}

#[test]
fn however_often_the_process_was_started_runs_have_the_same_numbers() {
    let desk = Desk::open("09:00", [("tidy", five_minutes(json!({})))]);
    let boots = [1, 2, 3].map(|ms| desk.adds("tidy", Trigger::Boot, at("09:29").after(Duration::from_millis(ms))));
    assert_eq!(boots, [-1, -2, -3]);
    assert_eq!(desk.adds("tidy", Trigger::Manual, at("09:29")), 1);
    assert_eq!(desk.adds("tidy", Trigger::Boot, at("09:30:01")), -4);
    assert_eq!(desk.adds("tidy", Trigger::Manual, at("09:30:02")), 2);
}

#[test]
fn an_attempt_that_failed_is_no_death_of_the_process() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({"retries": 10})))]);
    let mut now = at("09:30");
    for _ in 0..4 {
        let run = desk.claim(now);
        desk.fails(&run, now);
        now = now.after(Duration::from_secs(15));
    }
    desk.claim(now);
    assert_eq!(desk.dies(now), []);
    assert_eq!(desk.runs(), ["tidy 09:30:00 due"]);
}

#[test]
fn a_run_that_could_not_start_in_its_window_is_expired() {
    let flatten = json!({"kind": "market-close-flatten", "schedule": {"at": "close-10m"}});
    let mut desk = Desk::open("15:00", [("flatten", flatten)]);
    let run = desk.claim(at("15:50"));
    assert_eq!(desk.fails(&run, at("15:59:59")), None);
    let late = desk.look(at("16:00"));
    assert_eq!(late.claimed, None);
    assert_eq!((late.ended[0].run_id, late.ended[0].state), (run.run_id, RunState::Expired));
    assert!(desk.reason(run.run_id).contains("its window ended"), "{}", desk.reason(run.run_id));
    assert!(desk.look(at("16:00:01")).ended.is_empty(), "it is told once");
}

#[test]
fn a_slot_that_nobody_was_there_for_is_missed_and_its_loss_told_if_it_had_to_run() {
    let flatten = json!({"kind": "market-close-flatten", "schedule": {"at": "close-10m"}});
    let mut desk = Desk::open("15:00", [("flatten", flatten), ("tidy", five_minutes(json!({"window": "1m"})))]);
    let look = desk.look(at("16:30"));
    let lost: Vec<_> = look.lost.iter().map(|(job, missed)| (job.as_str(), missed.slots, missed.reason)).collect();
    assert_eq!((look.claimed, lost), (None, vec![("flatten", 1, MissedReason::Expired)]));
    assert_eq!(desk.runs(), Vec::<String>::new());
    let missed = desk.rows("SELECT job || ' ' || slots || ' ' || reason FROM missed_range ORDER BY job");
    assert_eq!(missed, ["flatten 1 expired", "tidy 11 expired"]);
}

#[test]
fn a_clock_that_is_set_back_replays_nothing() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({})))]);
    for wall in ["09:30", "09:35"] {
        let run = desk.claim(at(wall));
        desk.decides(&run, at(wall)).unwrap();
    }
    for wall in ["09:31", "09:29", "09:34:59", "09:35"] {
        assert_eq!(desk.claim_all(at(wall)), Vec::<String>::new(), "set back to {wall}");
    }
    assert_eq!(desk.runs(), ["tidy 09:30:00 done", "tidy 09:35:00 done"]);
    assert_eq!(desk.rows("SELECT count(*) FROM missed_range"), ["0"]);
    assert_eq!(desk.claim_all(at("09:40")), ["tidy 09:40:00"]);
}

#[test]
fn an_outage_of_a_week_is_one_row_a_job() {
    let minute = json!({
        "kind": "command", "command": ["true"], "schedule": {"every": "60s", "during": "always"}, "window": "60s",
    });
    let summary = json!({"kind": "daily-summary", "schedule": {"at": "close+15m"}, "catch_up": {"all": 3}});
    let mut desk = Desk::open("16:30", [("minute", minute), ("summary", summary)]);
    let back = new_york("2026-11-23", "16:30:10");
    assert_eq!(desk.claim_all(back).len(), 2, "one of each job");
    assert_eq!(
        desk.rows("SELECT job || ' ' || slots || ' ' || reason FROM missed_range ORDER BY job"),
        ["minute 10079 expired", "summary 2 over_limit"]
    );
    let sessions = desk.rows("SELECT session || ' ' || state FROM run WHERE job = 'summary' ORDER BY slot_at_ms");
    assert_eq!(sessions, ["2026-11-19 claimed", "2026-11-20 due", "2026-11-23 due"]);
}

#[test]
fn a_paused_job_is_not_planned_and_what_it_missed_is_told_afterwards() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({})))]);
    assert!(desk.pauses("tidy", true, at("09:20")));
    assert!(!desk.pauses("tidy", true, at("09:20")), "it is paused already");
    for wall in ["09:30", "09:35", "09:40"] {
        assert_eq!(desk.claim_all(at(wall)), Vec::<String>::new());
    }
    assert_eq!(desk.runs(), Vec::<String>::new());
    assert!(desk.pauses("tidy", false, at("09:41")));
    assert_eq!(desk.claim_all(at("09:41")), ["tidy 09:40:00"]);
    assert_eq!(desk.rows("SELECT slots || ' ' || reason FROM missed_range"), ["2 superseded"]);
}

#[test]
fn what_could_add_to_the_risk_waits_for_the_reconcile_of_the_boot() {
    let mut desk = Desk::open(
        "09:29",
        [
            ("analysis", json!({"kind": "analysis", "schedule": {"every": "5m"}})),
            ("monitor", json!({"kind": "risk-monitor", "schedule": {"every": "60s"}})),
            ("reconcile", json!({"kind": "reconcile", "schedule": {"at": "close"}, "window": "1h"})),
        ],
    );
    let boot = desk.adds("reconcile", Trigger::Boot, at("09:30"));
    let first = desk.claim(at("09:30"));
    assert_eq!(first.run_id, boot, "it comes before everything else");
    assert_eq!(desk.claim_all(at("09:30")), ["monitor 09:30:00"], "the monitor can only reduce the risk");
    desk.fails(&first, at("09:30:01"));
    assert_eq!(desk.claim_all(at("09:30:01")), Vec::<String>::new(), "it has not succeeded");
    let again = desk.claim(at("09:30:05"));
    assert_eq!((again.run_id, again.attempt), (boot, 2));
    desk.decides(&again, at("09:30:06")).unwrap();
    assert_eq!(desk.claim_all(at("09:30:06")), ["analysis 09:30:00"]);
}

#[test]
fn a_reconcile_of_the_boot_that_keeps_failing_is_overtaken_by_a_later_one() {
    let mut desk = Desk::open(
        "09:29",
        [
            ("analysis", json!({"kind": "analysis", "schedule": {"every": "10m"}, "window": "10m"})),
            ("reconcile", json!({"kind": "reconcile", "schedule": {"every": "5m"}})),
        ],
    );
    let boot = desk.adds("reconcile", Trigger::Boot, at("09:31"));
    let first = desk.claim(at("09:31"));
    assert_eq!(first.run_id, boot);
    desk.fails(&first, at("09:34:59"));
    let again = desk.claim(at("09:35"));
    assert_eq!((again.run_id, again.attempt), (boot, 2), "it is tried first");
    desk.fails(&again, at("09:35"));
    let scheduled = desk.claim(at("09:35"));
    assert_eq!(shown(&scheduled.job, scheduled.slot), "reconcile 09:35:00");
    assert_eq!(desk.claim_all(at("09:35")), Vec::<String>::new());
    desk.decides(&scheduled, at("09:35:01")).unwrap();
    assert_eq!(desk.claim_all(at("09:35:01")), ["analysis 09:30:00"]);
    assert_eq!(desk.reason(boot), "a later run of the job was done");
}

#[test]
fn a_decision_is_committed_once_by_whichever_process() {
    let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({})))]);
    let thought_dead = desk.claim(at("09:30"));
    desk.dies(at("09:31"));
    let refused = |outcome: Result<bool, LedgerError>| match outcome {
        Err(LedgerError::Refused { what, reason, .. }) => (what, reason),
        other => panic!("{other:?}"),
    };
    let not_claimed = ("run", "it is not claimed any more".to_owned());
    assert_eq!(refused(desk.decides(&thought_dead, at("09:31"))), not_claimed);
    let run = desk.claim(at("09:32"));
    assert_eq!(run.run_id, thought_dead.run_id);
    desk.decides(&run, at("09:32")).unwrap();
    for late in [&thought_dead, &run] {
        assert_eq!(refused(desk.decides(late, at("09:33"))), not_claimed);
    }
    assert_eq!(desk.rows("SELECT count(*) FROM run_record"), ["1"]);
    assert_eq!(desk.runs(), ["tidy 09:30:00 done"]);
}

#[test]
fn a_person_can_run_a_slot_that_has_no_run_and_no_other() {
    let mut desk = Desk::open("09:32", [("tidy", five_minutes(json!({})))]);
    let run = desk.claim(at("09:35"));
    assert_eq!(desk.adds_as_slot("tidy", at("09:35"), at("09:36")), Err(RunState::Claimed));
    desk.decides(&run, at("09:36")).unwrap();
    assert_eq!(desk.adds_as_slot("tidy", at("09:35"), at("09:36")), Err(RunState::Done));
    let earlier = desk.adds_as_slot("tidy", at("09:30"), at("09:36")).unwrap();
    let run = desk.claim(at("09:36"));
    assert_eq!((run.run_id, run.slot), (earlier, at("09:30")));
    desk.decides(&run, at("09:36")).unwrap();
    assert_eq!(desk.runs(), ["tidy 09:30:00 done", "tidy 09:35:00 done"]);
}

#[test]
fn what_a_person_asked_for_is_not_superseded() {
    for overlap in ["skip", "queue_one"] {
        let mut desk = Desk::open("09:00", [("tidy", five_minutes(json!({"overlap": overlap})))]);
        let scheduled = desk.claim(at("09:30"));
        let asked_for = desk.adds("tidy", Trigger::Manual, at("09:31"));
        let again = desk.adds("tidy", Trigger::Manual, at("09:31"));
        assert_ne!(asked_for, again, "each is a slot of its own");
        assert_eq!(desk.claim_all(at("09:32")), Vec::<String>::new(), "one run of a job lives at a time");
        desk.decides(&scheduled, at("09:34")).unwrap();
        for run_id in [asked_for, again] {
            let run = desk.claim(at("11:00"));
            assert_eq!(run.run_id, run_id, "{overlap}: newer slots are due, and no window has ended");
            desk.decides(&run, at("11:00")).unwrap();
        }
        assert_eq!(desk.claim_all(at("11:00")), ["tidy 11:00:00"], "{overlap}");
    }
}

#[test]
fn an_open_position_is_watched_each_minute_at_all_hours() {
    let monitor = json!({"kind": "risk-monitor", "schedule": {"every": "60s"}});
    let mut desk = Desk::open("18:00", [("monitor", monitor)]);
    assert_eq!(desk.claim_all(at("18:00:30")), Vec::<String>::new());
    assert_eq!(desk.look(at("18:00:30")).next_at, Some(new_york("2026-11-17", "09:30")));
    let trade = |id: &str, side: Side, wall: &str| Fill {
        execution_id: id.to_owned(),
        broker_order_id: id.to_owned(),
        client_order_id: id.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        quantity: Quantity::whole(10),
        price: cents(10_000),
        fee: Money::ZERO,
        at: at(wall),
    };
    let records = |desk: &Desk, fill: Fill| {
        let now = fill.at;
        desk.ledger.write_blocking(move |tx| fill::record(tx, "paper", &[fill], now)).unwrap();
    };
    records(&desk, trade("in", Side::Buy, "18:01:20"));
    for (wall, slot) in [("18:01:30", "18:01"), ("18:02", "18:02"), ("18:03:59", "18:03"), ("20:30", "20:30")] {
        let run = desk.claim(at(wall));
        assert_eq!(run.slot, at(slot));
        let look = desk.look(at(wall));
        assert_eq!((look.claimed, look.next_at), (None, Some(at(slot).after(Duration::from_secs(60)))));
        desk.decides(&run, at(wall)).unwrap();
    }
    records(&desk, trade("out", Side::Sell, "20:30:30"));
    assert_eq!(desk.claim_all(at("20:31")), Vec::<String>::new());
    assert_eq!(desk.rows("SELECT count(*) FROM missed_range"), ["0"], "nobody was expected at these hours");
}

#[test]
fn a_job_that_is_backed_off_looks_again_in_its_session_and_begins_the_next_at_the_pace_of_the_market() {
    let adaptive = json!({
        "kind": "analysis",
        "schedule": {"adaptive": {"fast": "15m", "normal": "30m", "slow": "4h", "delay": "5s"}},
        "window": "15m",
    });
    let mut desk = Desk::open("09:00", [("analysis", adaptive)]);
    let backed_off = |desk: &mut Desk, slot: Timestamp| {
        let run = desk.claim(slot);
        assert_eq!(run.slot, slot);
        let pace =
            PaceChoice { pace: Pace::Normal, reasons: vec![], reading: None, backed_off_until: Some(at("16:00")) };
        let now = slot.after(Duration::from_secs(1));
        desk.commits(&run, Decision { pace: Some(pace), ..Decision::default() }, now).unwrap();
        desk.look(now.after(Duration::from_secs(1))).next_at
    };
    assert_eq!(desk.look(at("09:59")).next_at, Some(at("10:00:05")));
    assert_eq!(backed_off(&mut desk, at("10:00:05")), Some(at("13:30:05")));
    assert_eq!(desk.look(at("12:00")).next_at, Some(at("13:30:05")));
    assert_eq!(backed_off(&mut desk, at("13:30:05")), Some(at("14:00:05")), "no slot at the slow pace is left");
    assert_eq!(backed_off(&mut desk, at("14:00:05")), Some(at("14:30:05")));
    for slot in ["14:30:05", "15:00:05", "15:30:05"] {
        backed_off(&mut desk, at(slot));
    }
    let tuesday = |wall| new_york("2026-11-17", wall);
    assert_eq!(desk.look(at("15:59")).next_at, Some(tuesday("10:00:05")));
    assert_eq!(desk.look(tuesday("09:00")).next_at, Some(tuesday("10:00:05")));
    assert_eq!(desk.rows("SELECT count(*) FROM missed_range"), ["0"]);
}
