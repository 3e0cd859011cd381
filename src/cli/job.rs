//! `trade job`: what is scheduled, what ran, and what a person wants to run, pause or resume.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use daybook_core::report::words::instant;
use daybook_core::schedule::{Form, JobDefinition, Schedule};
use daybook_core::time::{SessionDate, Timestamp};
use serde::Serialize;

use super::Context;
use super::ask::{ask, run_due};
use super::exit::CommandError;
use super::output::{Cell, Column, FormatArg, Paint, Table, pairs};
use super::plan::{Planned, slot_table};
use super::time::{Moment, date, session_of};
use crate::config::{Configuration, suggestion};
use crate::engine::commands::Command;
use crate::ledger::history::{self, AttemptRow, RecordRow, RunRow};
use crate::ledger::intent::{self, StoredIntent};

/// `trade job ...`.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Every job: its schedule, whether it is on, its last run and its next slot
    List(FormatArg),
    /// The next slots, of all jobs in the order in which they are due
    #[command(after_help = "Examples:
  trade job next
  trade job next -n 50 --format csv")]
    Next(Next),
    /// The last runs, of one job or of all
    #[command(after_help = "Examples:
  trade job history
  trade job history analysis -n 100")]
    History(History),
    /// One run: its attempts, what it knew, what it decided, and what came of that
    #[command(after_help = "Examples:
  trade job show 812
  trade job show 812 --json | jq .record.facts")]
    Show(Show),
    /// Runs a job now, once: by the scheduler if one runs, or else here and on the same path
    ///
    /// A run by hand is a slot of its own: it is not caught up, and risk and halts hold for it as for any other.
    /// --as-slot takes the place of a scheduled slot instead, so that it cannot be done twice. --due is for
    /// crontabs: it runs what is due and not done, and does nothing if that is nothing.
    #[command(after_help = "Examples:
  trade job run reconcile
  trade job run daily-summary --session 2026-11-16
  trade job run analysis --as-slot 2026-11-16T10:00:05
  trade job run risk-monitor --due")]
    Run(Run),
    /// Stops a job: none of its slots runs until it is resumed
    Pause(Name),
    /// Lets a paused job run again, from its next slot on
    Resume(Name),
}

/// A job's name.
#[derive(Debug, Args)]
pub struct Name {
    /// The job
    #[arg(value_name = "NAME")]
    job: String,
}

/// What is run, and as what.
#[derive(Debug, Args)]
pub struct Run {
    /// The job
    #[arg(value_name = "NAME")]
    job: String,
    /// As this scheduled slot: New York time, or with a zone
    #[arg(long, value_name = "TIME")]
    as_slot: Option<Moment>,
    /// For this session [default: the one in progress, or the next]
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with = "as_slot")]
    session: Option<SessionDate>,
    /// Only what is due and not done
    #[arg(long, conflicts_with_all = ["as_slot", "session"])]
    due: bool,
}

/// How many slots.
#[derive(Debug, Args)]
pub struct Next {
    /// How many
    #[arg(short, default_value_t = 10, value_name = "N")]
    number: usize,
    #[command(flatten)]
    format: FormatArg,
}

/// Which runs.
#[derive(Debug, Args)]
pub struct History {
    /// The job [default: all]
    #[arg(value_name = "NAME")]
    job: Option<String>,
    /// How many at most
    #[arg(short, default_value_t = 20, value_name = "N")]
    number: u32,
    #[command(flatten)]
    format: FormatArg,
}

/// Which run.
#[derive(Debug, Args)]
pub struct Show {
    /// Its number, as `trade job history` shows it
    #[arg(value_name = "RUN")]
    run_id: i64,
    /// Also everything that it knew
    #[arg(long)]
    facts: bool,
}

impl JobCommand {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If there is no such job or run, or the configuration or the ledger is unusable.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List(format) => list(context, format),
            Self::Next(Next { number, format }) => {
                let configuration = context.configuration()?;
                let planned = Planned::of(context, &configuration)?;
                let now = context.now_in(&configuration)?;
                context.output.table(&slot_table(planned.slots_after(now).take(number)), format)
            }
            Self::History(History { job, number, format }) => {
                let runs = context.ledger()?.read(|conn| history::runs(conn, job.as_deref(), number))?;
                if let Some(job) = job.as_deref().filter(|_| runs.is_empty()) {
                    find(&context.configuration()?, job)?;
                }
                context.output.table(&run_table(&runs), format)
            }
            Self::Show(Show { run_id, facts }) => {
                let told = context.ledger()?.read(|conn| {
                    Ok(Told {
                        run: history::run(conn, run_id)?,
                        attempts: history::attempts(conn, run_id)?,
                        intents: intent::of_run(conn, run_id)?,
                        record: history::record(conn, run_id)?,
                    })
                })?;
                context.output.document(&told, |told, paint| told.text(facts, paint))
            }
            Self::Run(run) => run.run(context),
            Self::Pause(Name { job }) => with_job(context, job, |job| Command::Pause { job }),
            Self::Resume(Name { job }) => with_job(context, job, |job| Command::Unpause { job }),
        }
    }
}

impl Run {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let configuration = context.configuration()?;
        find(&configuration, &self.job)?;
        if let Some(date) = self.session {
            session_of(&configuration.settings.calendar(), date)?;
        }
        context.begin_logging(&configuration)?;
        if self.due {
            return run_due(context, &configuration, &self.job);
        }
        let as_slot = self.as_slot.map(Moment::echoed);
        ask(context, &configuration, &Command::Run { job: self.job, as_slot, session: self.session })
    }
}

/// Asks for something about a configured job.
fn with_job(context: &Context, job: String, command: impl FnOnce(String) -> Command) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    find(&configuration, &job)?;
    ask(context, &configuration, &command(job))
}

/// The configured job of a name.
///
/// # Errors
/// If there is none: says which was probably meant.
pub fn find<'a>(configuration: &'a Configuration, name: &str) -> Result<&'a JobDefinition, CommandError> {
    configuration.jobs.iter().find(|job| job.name == name).ok_or_else(|| {
        let names = configuration.jobs.iter().map(|job| job.name.as_str());
        let meant = suggestion(name, names).map_or(String::new(), |meant| format!("did you mean \"{meant}\"? "));
        CommandError::Usage(format!("there is no job \"{name}\": {meant}`trade job list` shows them all"))
    })
}

fn list(context: &Context, format: FormatArg) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let planned = Planned::of(context, &configuration)?;
    let now = context.now_in(&configuration)?;
    let ledger = context.ledger_if_there(&configuration)?;
    let columns = vec![
        Column::text("job", "JOB"),
        Column::unseen("kind"),
        Column::text("state", "STATE"),
        Column::text("schedule", "SCHEDULE"),
        Column::text("next_slot", "NEXT SLOT"),
        Column::text("last_slot", "LAST SLOT"),
        Column::text("last_state", "ENDED"),
    ];
    let mut table = Table::new(columns, "no jobs");
    for job in &configuration.jobs {
        let last = match &ledger {
            Some(ledger) => ledger.read(|conn| history::last_run(conn, &job.name))?,
            None => None,
        };
        let state = if !job.enabled {
            "off"
        } else if planned.is_paused(&job.name) {
            "paused"
        } else {
            "on"
        };
        table.push(vec![
            Cell::text(&job.name),
            Cell::text(job.kind.as_str()),
            Cell::text(state),
            Cell::text(schedule_words(&job.schedule)),
            Cell::time_short(planned.next_of(job, now)),
            Cell::time_short(last.as_ref().map(|run| run.slot)),
            Cell::text_if(last.as_ref().map(|run| &run.state)),
        ]);
    }
    context.output.table(&table, format)
}

/// A schedule as its file says it: `at: close-10m`.
fn schedule_words(schedule: &Schedule) -> String {
    let forms: Vec<String> = schedule.forms().iter().map(form_words).collect();
    forms.join("; ")
}

fn form_words(form: &Form) -> String {
    // A form is written as a map of words; what goes first is the key that names it.
    let Ok(serde_json::Value::Object(mut keys)) = serde_json::to_value(form) else { return String::new() };
    let named = ["at", "every", "bar", "adaptive", "cron"].into_iter().find_map(|name| keys.remove_entry(name));
    let word = |(key, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => format!("{key}: {text}"),
        other => format!("{key}: {}", other.to_string().replace('"', "").replace(':', ": ").replace(',', ", ")),
    };
    named.into_iter().chain(keys).map(word).collect::<Vec<_>>().join(", ")
}

/// Runs, one a row.
#[must_use]
pub fn run_table(runs: &[RunRow]) -> Table {
    let columns = vec![
        Column::number("run_id", "RUN"),
        Column::text("job", "JOB"),
        Column::unseen("kind"),
        Column::text("slot_utc", "SLOT"),
        Column::unseen("session"),
        Column::unseen("trigger"),
        Column::text("state", "STATE"),
        Column::number("attempt", "TRIES"),
        Column::unseen("started_utc"),
        Column::unseen("lateness_us"),
        Column::unseen("decided_utc"),
        Column::unseen("finished_utc"),
        Column::unseen("reason"),
        Column::text("summary", "SUMMARY"),
    ];
    let mut table = Table::new(columns, "no runs yet");
    for run in runs {
        let told = run.reason.as_deref().or(run.summary.as_deref()).unwrap_or_default();
        table.push(vec![
            Cell::count(run.run_id),
            Cell::text(&run.job),
            Cell::text(&run.kind),
            Cell::time(run.slot),
            Cell::text_if(run.session),
            Cell::text(&run.trigger),
            Cell::text(&run.state),
            Cell::count(run.attempt),
            Cell::time_if(run.started_at),
            run.lateness_us.map_or_else(Cell::empty, Cell::count),
            Cell::time_if(run.decided_at),
            Cell::time_if(run.finished_at),
            Cell::text_if(run.reason.as_ref()),
            Cell::text_if(run.summary.as_ref()).shown_as(told),
        ]);
    }
    table
}

/// Everything about one run.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    run: RunRow,
    attempts: Vec<AttemptRow>,
    intents: Vec<StoredIntent>,
    /// Absent before the run has decided, and after its record was pruned.
    record: Option<RecordRow>,
}

impl Told {
    fn text(&self, with_facts: bool, paint: Paint) -> String {
        let run = &self.run;
        let mut text = format!("{}\n", paint.bold(&format!("run {}: {}, {}", run.run_id, run.job, run.state)));
        let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), instant);
        let lateness = run.lateness_us.map(|us| format!(", {}.{:03} ms after its slot", us / 1000, us.abs() % 1000));
        let words = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        text.push_str(&pairs(&[
            ("slot", format!("{} ({}), by {}", instant(run.slot), run.slot, run.trigger)),
            ("session", run.session.as_ref().map_or_else(|| "-".to_owned(), SessionDate::to_string)),
            ("started", format!("{}{}", at(run.started_at), lateness.unwrap_or_default())),
            ("decided", at(run.decided_at)),
            ("ended", at(run.finished_at)),
            ("summary", words(&run.summary)),
            ("reason", words(&run.reason)),
        ]));
        for AttemptRow { attempt, started_at, error, .. } in &self.attempts {
            let ended =
                error.as_deref().map_or_else(|| "ended well or is at work".to_owned(), |e| format!("failed: {e}"));
            // Writing to a `String` cannot fail; so below.
            let _ = writeln!(text, "\nattempt {attempt}, {}: {ended}", instant(*started_at));
        }
        for StoredIntent { intent, state, outcome, .. } in &self.intents {
            let outcome = outcome.as_ref().map_or(String::new(), |outcome| format!(": {outcome}"));
            let _ = writeln!(text, "\nintent {}: {} ({state:?}{outcome})", intent.leg, intent.reason);
        }
        match &self.record {
            Some(record) => {
                let _ = writeln!(text, "\ndecided under settings {}", record.settings_hash);
                text.push_str(&block("decision", &record.decision));
                if with_facts {
                    text.push_str(&block("facts", &record.facts));
                } else {
                    text.push_str("\n--facts also shows what it knew\n");
                }
            }
            None => text.push_str("\nno record: it has not decided, or its record was pruned\n"),
        }
        text
    }
}

/// JSON under a heading.
fn block(heading: &str, value: &serde_json::Value) -> String {
    format!("\n{heading}\n{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunRow {
        RunRow {
            run_id: 812,
            job: "analysis".to_owned(),
            kind: "analysis".to_owned(),
            slot: "2026-11-16T14:45:05Z".parse().unwrap(),
            session: "2026-11-16".parse().ok(),
            trigger: "schedule".to_owned(),
            state: "done".to_owned(),
            attempt: 2,
            started_at: "2026-11-16T14:45:06Z".parse().ok(),
            lateness_us: Some(1_004_210),
            decided_at: "2026-11-16T14:45:06.120Z".parse().ok(),
            finished_at: "2026-11-16T14:45:07Z".parse().ok(),
            reason: None,
            summary: Some("1 signal: AAPL long taken".to_owned()),
        }
    }

    #[test]
    fn a_run_is_told_from_slot_to_end() {
        let told = Told {
            run: run(),
            attempts: vec![AttemptRow {
                attempt: 1,
                started_at: "2026-11-16T14:45:05Z".parse().unwrap(),
                ended_at: None,
                error: Some("gathering facts: the feed was silent".to_owned()),
            }],
            intents: Vec::new(),
            record: Some(RecordRow {
                parameters: serde_json::json!({}),
                facts: serde_json::json!({"as_of": "2026-11-16T14:45:06Z"}),
                decision: serde_json::json!({"summary": "1 signal: AAPL long taken"}),
                settings_hash: "4184113b76ad".to_owned(),
                decision_sha256: "00".to_owned(),
            }),
        };
        insta::assert_snapshot!(told.text(true, Paint::PLAIN));
    }

    #[test]
    fn runs_fit_a_line_each() {
        insta::assert_snapshot!(run_table(&[run()]).to_text(Paint::PLAIN, Some(100)));
    }

    #[test]
    fn a_schedule_reads_as_its_file_does() {
        let words = |json: &str| schedule_words(&serde_json::from_str(json).unwrap());
        assert_eq!(words(r#"{"at": "close-10m"}"#), "at: close-10m");
        assert_eq!(words(r#"{"every": "60s"}"#), "every: 1m, during: regular");
        assert_eq!(
            words(r#"[{"at": "open+5m"}, {"adaptive": {"fast": "15m", "normal": "30m", "slow": "4h"}}]"#),
            "at: open+5m; adaptive: {delay: 0s, fast: 15m, normal: 30m, slow: 4h}"
        );
    }

    #[test]
    fn an_unknown_job_is_answered_with_the_one_that_was_meant() {
        let configuration = crate::config::load(&crate::config::Sources::default()).unwrap();
        assert_eq!(find(&configuration, "analysis").unwrap().name, "analysis");
        let refused = find(&configuration, "analisys").unwrap_err().to_string();
        assert_eq!(refused, "there is no job \"analisys\": did you mean \"analysis\"? `trade job list` shows them all");
    }
}
