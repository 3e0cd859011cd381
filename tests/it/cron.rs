//! `cron/` names real jobs, and fires when they are due.
//!
//! What fires too often does no harm: `trade job run NAME --due` runs what is due and not done. What
//! fires too seldom loses a slot, so every slot of a whole year, with its half days and clock changes,
//! is held against each of the three: crontab, systemd timers, Kubernetes CronJobs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daybook::config::{self, Environment, Sources};
use daybook_core::calendar::Calendar;
use daybook_core::schedule::{CatchUp, JobDefinition, Pace, Schedule, slots};
use daybook_core::time::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::repository;

/// How long `--due` waits for a slot that is near, and so how early it may be fired.
const LEAD: Duration = Duration::from_secs(10);

/// From this length of a window on, a firing that was missed is worth making up for at once.
const PERSISTENT_FROM: Duration = Duration::from_secs(12 * 3600);

const ZONE: &str = "America/New_York";

/// When each job is fired.
type Firings = BTreeMap<String, Schedule>;

#[test]
fn crontab_timers_and_cron_jobs_name_the_jobs_that_are_built_in() {
    let built_in: Vec<String> = jobs().into_iter().map(|job| job.name).collect();
    for (source, firings) in sources() {
        assert_eq!(firings.keys().cloned().collect::<Vec<_>>(), built_in, "{source}");
    }
}

#[test]
fn crontab_timers_and_cron_jobs_fire_at_the_same_instants() {
    let [(_, first), others @ ..] = sources();
    for (job, schedule) in &first {
        for (source, other) in &others {
            assert_eq!(instants(&other[job], Pace::Normal), instants(schedule, Pace::Normal), "{source}: {job}");
        }
    }
}

#[test]
fn every_slot_of_a_year_is_fired_for_in_time() {
    let firings = crontab();
    for job in jobs() {
        let fired = instants(&firings[&job.name], Pace::Normal);
        for pace in [Pace::Fast, Pace::Normal, Pace::Slow] {
            for slot in instants(&job.schedule, pace) {
                let in_time = fired.range(slot.before(LEAD)..=slot).next().is_some();
                assert!(in_time, "{}: nothing fires for the slot at {slot}", job.name);
            }
        }
    }
}

#[test]
fn nothing_fires_on_weekdays_that_never_have_a_slot() {
    let calendar = Calendar::xnys();
    let weekdays = |instants: &BTreeSet<Timestamp>| -> BTreeSet<u32> {
        instants.iter().map(|at| at.date_in(calendar.zone()).weekday().num_days_from_monday()).collect()
    };
    let firings = crontab();
    for job in jobs() {
        let fired = weekdays(&instants(&firings[&job.name], Pace::Normal));
        assert_eq!(fired, weekdays(&instants(&job.schedule, Pace::Normal)), "{}", job.name);
    }
}

#[test]
fn timers_are_punctual_and_make_up_for_what_may_wait() {
    for job in jobs() {
        let unit = timer(&job.name);
        assert_eq!(unit.one("Timer", "AccuracySec"), "1s", "{}: the default is a minute", job.name);
        let wanted = job.catch_up == CatchUp::MustRun || shortest_window(&job) >= PERSISTENT_FROM;
        assert_eq!(unit.values("Timer", "Persistent"), if wanted { vec!["true"] } else { vec![] }, "{}", job.name);
    }
}

#[test]
fn a_service_for_one_job_is_as_confined_as_the_scheduler_and_outlasts_every_timeout() {
    let scheduler = Unit::read("cron/systemd/daybook.service");
    let job = Unit::read("cron/systemd/daybook-job@.service");
    let own = ["Type", "ExecStart", "ExecReload", "WatchdogSec", "Restart", "RestartSec", "RestartPreventExitStatus"];
    let own = own.iter().chain(&["TimeoutStopSec", "TimeoutStartSec", "KillMode", "OOMPolicy"]);
    let confined = |unit: &Unit| -> Vec<(String, String)> {
        let of_service =
            unit.lines.iter().filter(|(section, key, _)| section == "Service" && own.clone().all(|own| own != key));
        of_service.map(|(_, key, value)| (key.clone(), value.clone())).collect()
    };
    assert_eq!(confined(&job), confined(&scheduler));
    assert_eq!(job.one("Service", "ExecStart").split(' ').skip(3).collect::<Vec<_>>(), ["job", "run", "%i", "--due"]);
    assert_eq!(job.one("Service", "TimeoutStartSec"), "35min");
    assert!(longest_timeout() < Duration::from_secs(35 * 60));
}

#[test]
fn the_scheduler_service_is_watched_and_given_time_to_drain() {
    let unit = Unit::read("cron/systemd/daybook.service");
    assert_eq!(unit.one("Service", "Type"), "notify");
    assert_eq!(unit.one("Service", "Restart"), "on-failure");
    assert_eq!(unit.one("Service", "WatchdogSec"), "30s");
    assert_eq!(unit.one("Service", "TimeoutStopSec"), "60s");
    assert!(configuration().settings.scheduler.drain_timeout.as_duration() < Duration::from_secs(60));
}

#[test]
fn cron_jobs_never_overlap_and_start_within_the_window_or_not_at_all() {
    let jobs: BTreeMap<String, JobDefinition> = jobs().into_iter().map(|job| (job.name.clone(), job)).collect();
    for item in cron_job_list() {
        let name = &item.metadata.name;
        let template = &item.spec.job_template.spec;
        let job = &jobs[&template.template.metadata.labels["job"]];
        assert_eq!(*name, format!("daybook-{}", job.name));
        assert_eq!(item.spec.concurrency_policy, "Forbid", "{name}");
        let deadline = Duration::from_secs(item.spec.starting_deadline_seconds);
        // The controller looks every ten seconds.
        assert!((Duration::from_secs(10)..=shortest_window(job)).contains(&deadline), "{name}: {deadline:?}");
        assert_eq!(template.backoff_limit, 0, "{name}: the next firing is the retry");
        assert!(Duration::from_secs(template.active_deadline_seconds) > longest_timeout(), "{name}");
        let containers = &template.template.spec.containers;
        let [container] = containers.as_slice() else { panic!("{name} has {} containers", containers.len()) };
        assert_eq!(container.command[3..], ["job", "run", "$(JOB)", "--due"], "{name}");
    }
}

/// The built-in jobs that run.
fn jobs() -> Vec<JobDefinition> {
    configuration().jobs.into_iter().filter(|job| job.enabled).collect()
}

fn configuration() -> config::Configuration {
    let file = repository::root().join(config::DEFAULT_FILE);
    config::load(&Sources::new(Some(file), Environment::default())).unwrap()
}

/// The slots of 2026: ten holidays, two half days, both clock changes.
fn instants(schedule: &Schedule, pace: Pace) -> BTreeSet<Timestamp> {
    let (from, to) = ("2026-01-01T05:00:00Z".parse().unwrap(), "2027-01-01T05:00:00Z".parse().unwrap());
    slots(schedule, &Calendar::xnys(), pace, from, to).into_iter().map(|slot| slot.at).collect()
}

fn shortest_window(job: &JobDefinition) -> Duration {
    let calendar = Calendar::xnys();
    let (from, to) = ("2026-11-23T00:00:00Z".parse().unwrap(), "2026-11-28T00:00:00Z".parse().unwrap());
    let slots = slots(&job.schedule, &calendar, Pace::Fast, from, to);
    let windows =
        slots.iter().map(|slot| job.window.expires_at(*slot, &job.schedule, &calendar, Pace::Fast).since(slot.at));
    windows.min().unwrap()
}

fn longest_timeout() -> Duration {
    jobs().iter().map(|job| job.timeout.as_duration()).max().unwrap()
}

fn sources() -> [(&'static str, Firings); 3] {
    [("crontab", crontab()), ("systemd", timers()), ("kubernetes", cron_jobs())]
}

fn cron(expression: &str, zone: &str) -> Schedule {
    serde_json::from_value(json!({ "cron": expression, "tz": zone }))
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn crontab() -> Firings {
    let text = repository::read("cron/crontab");
    assert!(text.contains(&format!("\nCRON_TZ={ZONE}\n")));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#') && !line.contains('='));
    let firings: Vec<(String, Schedule)> = lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (when, command) = words.split_at(5);
            let ["cd", "/var/lib/daybook", "&&", "trade", "job", "run", job, "--due"] = command else {
                panic!("not a run of a job: {line}")
            };
            ((*job).to_owned(), cron(&when.join(" "), ZONE))
        })
        .collect();
    let count = firings.len();
    let firings: Firings = firings.into_iter().collect();
    assert_eq!(firings.len(), count, "a job has more than one line");
    firings
}

fn timers() -> Firings {
    let names = repository::files("cron/systemd", ".timer").into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        name.strip_prefix("daybook-job@").unwrap().to_owned()
    });
    names
        .map(|job| {
            let (expression, zone) = cron_of_calendar(timer(&job).one("Timer", "OnCalendar"));
            (job, cron(&expression, &zone))
        })
        .collect()
}

fn timer(job: &str) -> Unit {
    Unit::read(&format!("cron/systemd/daybook-job@{job}.timer"))
}

/// A calendar event of systemd as a cron expression and its zone: `Mon..Fri *-*-* 04..19:00/5:00 ZONE`.
fn cron_of_calendar(event: &str) -> (String, String) {
    let words: Vec<&str> = event.split(' ').collect();
    let (weekdays, time, zone) = match words.as_slice() {
        ["Mon..Fri", "*-*-*", time, zone] => ("1-5", time, zone),
        ["Thu,Fri", "*-*-*", time, zone] => ("4,5", time, zone),
        ["*-*-*", time, zone] => ("*", time, zone),
        _ => panic!("{event}"),
    };
    let [hours, minutes, "00"] = time.split(':').collect::<Vec<_>>()[..] else { panic!("{event}") };
    (format!("{} {} * * {weekdays}", cron_field(minutes, 59), cron_field(hours, 23)), (*zone).to_owned())
}

fn cron_field(field: &str, last: u32) -> String {
    let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{field}"));
    let parts = field.split(',').map(|part| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(number(step))));
        let range = match (range.split_once(".."), step) {
            _ if range == "*" => range.to_owned(),
            (Some((from, to)), _) => format!("{}-{}", number(from), number(to)),
            // From here to the end, in steps.
            (None, Some(_)) => format!("{}-{last}", number(range)),
            (None, None) => number(range).to_string(),
        };
        step.map_or(range.clone(), |step| format!("{range}/{step}"))
    });
    parts.collect::<Vec<_>>().join(",")
}

#[test]
fn calendar_events_are_read_as_systemd_reads_them() {
    for (event, expression) in [
        ("Mon..Fri *-*-* 04..19:00/5,29:00 UTC", "0-59/5,29 4-19 * * 1-5"),
        ("*-*-* 02,03:15:00 UTC", "15 2,3 * * *"),
        ("Mon..Fri *-*-* 09..15:*:00 UTC", "* 9-15 * * 1-5"),
        ("Mon..Fri *-*-* 12,15:50..59/3:00 UTC", "50-59/3 12,15 * * 1-5"),
    ] {
        assert_eq!(cron_of_calendar(event), (expression.to_owned(), "UTC".to_owned()));
    }
}

/// A unit file of systemd: section, key and value of each line.
struct Unit {
    lines: Vec<(String, String, String)>,
}

impl Unit {
    fn read(path: &str) -> Self {
        let (mut section, mut lines) = (String::new(), Vec::new());
        for line in repository::read(path).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name.to_owned();
            } else {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: {line}"));
                lines.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
        Self { lines }
    }

    fn values(&self, section: &str, key: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(in_section, of_key, _)| in_section == section && of_key == key);
        lines.map(|(_, _, value)| value.as_str()).collect()
    }

    fn one(&self, section: &str, key: &str) -> &str {
        let [value] = self.values(section, key)[..] else { panic!("[{section}] {key} stands there not once") };
        value
    }
}

fn cron_jobs() -> Firings {
    let items = cron_job_list().into_iter();
    items
        .map(|item| {
            let job = item.spec.job_template.spec.template.metadata.labels["job"].clone();
            (job, cron(&item.spec.schedule, &item.spec.time_zone))
        })
        .collect()
}

fn cron_job_list() -> Vec<CronJob> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<CronJob>,
    }
    let list: List = serde_yaml::from_str(&repository::read("cron/kubernetes/cronjobs.yaml")).unwrap();
    list.items
}

#[derive(Deserialize)]
struct CronJob {
    metadata: Metadata,
    spec: CronJobSpec,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec {
    schedule: String,
    time_zone: String,
    concurrency_policy: String,
    starting_deadline_seconds: u64,
    job_template: JobTemplate,
}

#[derive(Deserialize)]
struct JobTemplate {
    spec: JobSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSpec {
    backoff_limit: u32,
    active_deadline_seconds: u64,
    template: PodTemplate,
}

#[derive(Deserialize)]
struct PodTemplate {
    metadata: Metadata,
    spec: PodSpec,
}

#[derive(Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    command: Vec<String>,
}
