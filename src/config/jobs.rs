//! Job files: the built-in ones, those that replace them, and those that a person adds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daybook_core::calendar::Calendar;
use daybook_core::schedule::{Anchor, At, Form, JobDefinition, JobFile, JobKind};
use daybook_core::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::checks::full_session;
use super::files::read_text;
use super::node::{Node, Step, Value, path_steps};
use super::parameters::{AnalysisParameters, HousekeepingParameters, NoParameters, ScanParameters};
use super::problem::{ConfigError, Origin, Problem, alternatives, suggestion};
use super::read::read;
use super::reference::{Environment, Veils, interpolate};
use super::yaml::{self, Document};

/// The files that are built in, by name.
pub(super) const BUILT_IN: [(&str, &str); 10] = [
    ("analysis", include_str!("../../jobs/analysis.yaml")),
    ("breakout-watch", include_str!("../../jobs/breakout-watch.yaml")),
    ("daily-summary", include_str!("../../jobs/daily-summary.yaml")),
    ("example-command", include_str!("../../jobs/example-command.yaml")),
    ("housekeeping", include_str!("../../jobs/housekeeping.yaml")),
    ("market-close-flatten", include_str!("../../jobs/market-close-flatten.yaml")),
    ("premarket-scan", include_str!("../../jobs/premarket-scan.yaml")),
    ("reconcile", include_str!("../../jobs/reconcile.yaml")),
    ("risk-monitor", include_str!("../../jobs/risk-monitor.yaml")),
    ("weekly-summary", include_str!("../../jobs/weekly-summary.yaml")),
];

/// Most files in a folder: each may have a slot a second.
const FILES_MAX: usize = 200;

/// Reads every job, in the order of their names: the built-in ones, with the folder's files over them.
///
/// # Errors
/// [`ConfigError::Unreadable`] for a folder that cannot be read, and [`ConfigError::Invalid`] with
/// everything that is wrong in all files.
pub(super) fn load_jobs(
    folder: Option<&Path>,
    environment: &Environment,
    calendar: &Calendar,
    strategies: &[&str],
) -> Result<Vec<JobDefinition>, ConfigError> {
    let mut files: BTreeMap<String, (PathBuf, String)> = BUILT_IN
        .iter()
        .map(|(name, text)| {
            ((*name).to_owned(), (PathBuf::from(format!("built-in jobs/{name}.yaml")), (*text).to_owned()))
        })
        .collect();
    let mut problems = Vec::new();
    if let Some(folder) = folder {
        let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in files_of(folder)? {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(other) = named.get(&name) {
                let message = format!("is a second file of the job \"{name}\", beside {}; keep one", other.display());
                problems.push(at_the_beginning(&path, message));
                continue;
            }
            match read_text(&path) {
                Ok(text) => {
                    files.insert(name.clone(), (path.clone(), text));
                }
                Err(ConfigError::Invalid { problems: told }) => problems.extend(told),
                Err(ConfigError::Unreadable { source, .. }) => {
                    let message = format!("cannot be read ({source}); check that it is a file and its permissions");
                    problems.push(at_the_beginning(&path, message));
                }
                Err(other) => return Err(other),
            }
            named.insert(name, path);
        }
    }
    let mut jobs = Vec::new();
    for (name, (path, text)) in &files {
        match read_job(name, path, text, environment, calendar, strategies) {
            Ok(job) => jobs.push(job),
            Err(told) => problems.extend(told),
        }
    }
    if problems.is_empty() { Ok(jobs) } else { Err(ConfigError::Invalid { problems }) }
}

/// The YAML files of a folder, sorted; editors' hidden files are left out.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source: std::io::Error| ConfigError::Unreadable { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden {
            paths.push(path);
        }
    }
    if paths.len() > FILES_MAX {
        let message =
            format!("holds {} files; expected at most {FILES_MAX} jobs: is this the right folder?", paths.len());
        return Err(ConfigError::Invalid { problems: vec![at_the_beginning(folder, message)] });
    }
    paths.sort();
    Ok(paths)
}

fn at_the_beginning(path: &Path, message: String) -> Problem {
    Problem { origin: Origin::File { file: path.into(), line: 1, column: 1 }, key: String::new(), message }
}

/// Reads and checks one job.
pub(super) fn read_job(
    name: &str,
    path: &Path,
    text: &str,
    environment: &Environment,
    calendar: &Calendar,
    strategies: &[&str],
) -> Result<JobDefinition, Vec<Problem>> {
    let Document { mut root, mut problems } = yaml::parse(text, &Arc::from(path))?;
    let mut veils = Veils::default();
    problems.extend(interpolate(&mut root, environment, &[], &mut veils));
    // A command may hold secrets: it stays as it was written until it is run.
    root.for_each_scalar(&mut |path, node| {
        if let (Some(Step::Key(key)), Value::Scalar { text, told, .. }) = (path.first(), &mut node.value)
            && key == "command"
            && let Some(told) = told.take()
        {
            *text = told;
        }
    });
    if name == JobKind::Operator.as_str() {
        let message = "this name is taken by the built-in job that trades for a person; rename the file".to_owned();
        problems.push(at_the_beginning(path, message));
    }
    problems.extend(parameter_problems(&root, strategies));
    let (file, faults) = read::<JobFile>(&mut root, &[]);
    problems.extend(faults);
    let definition = file.map(|file| file.into_definition(name));
    if let Some(Err(error)) = &definition {
        let message = format!("is {}; expected {}", error.found, error.expected);
        problems.push(match error.key {
            "name" => at_the_beginning(path, format!("the file's name, which is the job's, {message}")),
            key => problem_at(&root, key, message),
        });
    }
    if let Some(Ok(job)) = &definition
        && let Some(message) = outside_the_session(job, calendar)
    {
        problems.push(problem_at(&root, "schedule", message));
    }
    match definition {
        Some(Ok(job)) if problems.is_empty() => Ok(job),
        _ => {
            problems.sort_by_key(|problem| problem.origin.place());
            Err(problems.into_iter().map(|problem| veils.over(problem)).collect())
        }
    }
}

/// What is wrong with the schedule of a job that works while the market is open, if it is due at another time.
fn outside_the_session(job: &JobDefinition, calendar: &Calendar) -> Option<String> {
    if !matches!(job.kind, JobKind::Analysis | JobKind::MarketCloseFlatten) {
        return None;
    }
    let session = full_session(calendar)?;
    let instant = |at: &At| {
        let anchor = match at.anchor {
            Anchor::PreOpen => session.pre_open,
            Anchor::Open => session.open,
            Anchor::Close => session.close,
            Anchor::PostClose => session.post_close,
        };
        Timestamp(anchor.0.saturating_add(at.offset_ms))
    };
    let outside = job.schedule.forms().iter().find_map(|form| match form {
        Form::At(at) => Some(instant(at)).filter(|at| *at < session.open || session.close <= *at),
        Form::Every(_) | Form::Bar(_) | Form::Adaptive(_) | Form::Cron(_) => None,
    })?;
    let clock = |at: Timestamp| at.in_zone(calendar.zone()).format("%H:%M").to_string();
    let (kind, outside, open, close) = (job.kind, clock(outside), clock(session.open), clock(session.close));
    Some(format!("is due at {outside}: expected a time from {open} to before {close} for {kind}, such as close-10m"))
}

fn problem_at(root: &Node, key: &str, message: String) -> Problem {
    Problem { origin: root.origin_near(&path_steps(key)).clone(), key: key.to_owned(), message }
}

/// What is wrong with the parameters, if the kind of job says what they may be.
fn parameter_problems(root: &Node, strategies: &[&str]) -> Vec<Problem> {
    /// A job's file, of which all else is left.
    #[derive(Deserialize)]
    struct OfKind {
        kind: JobKind,
    }
    let (Some(OfKind { kind }), _) = read(&mut root.clone(), &[]) else { return Vec::new() };
    match kind {
        JobKind::PremarketScan => {
            let (scan, mut problems) = parameters::<ScanParameters>(root);
            if scan.top == Some(0) {
                problems.push(problem_at(root, "parameters.top", "is 0; expected at least 1, or null".to_owned()));
            }
            problems
        }
        JobKind::Analysis => {
            let (analysis, mut problems) = parameters::<AnalysisParameters>(root);
            for strategy in &analysis.strategies {
                if strategies.contains(&strategy.as_str()) {
                    continue;
                }
                let meant = suggestion(strategy, strategies.iter().copied())
                    .map_or(String::new(), |word| format!("; did you mean \"{word}\"?"));
                let expected = alternatives(strategies);
                let message = format!("unknown strategy \"{strategy}\"; expected {expected}{meant}");
                problems.push(problem_at(root, "parameters.strategies", message));
            }
            problems
        }
        JobKind::Housekeeping => {
            let (housekeeping, mut problems) = parameters::<HousekeepingParameters>(root);
            if housekeeping.keep_records_days == 0 {
                let message = "is 0; expected at least 1 day".to_owned();
                problems.push(problem_at(root, "parameters.keep_records_days", message));
            }
            problems
        }
        JobKind::Reconcile
        | JobKind::RiskMonitor
        | JobKind::MarketCloseFlatten
        | JobKind::DailySummary
        | JobKind::WeeklySummary
        | JobKind::Command
        | JobKind::Operator => parameters::<NoParameters>(root).1,
    }
}

fn parameters<P: DeserializeOwned + Default>(root: &Node) -> (P, Vec<Problem>) {
    /// A job's file, of which all else is left.
    #[derive(Deserialize)]
    #[serde(bound = "P: DeserializeOwned + Default")]
    struct WithParameters<P> {
        #[serde(default)]
        parameters: P,
    }
    let (with, problems) = read::<WithParameters<P>>(&mut root.clone(), &[]);
    (with.map(|with| with.parameters).unwrap_or_default(), problems)
}

#[cfg(test)]
mod tests {
    use daybook_core::strategy::StrategySettings;

    use daybook_core::schedule::{CatchUp, Retries};
    use daybook_core::time::Span;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn load(files: &[(&str, &str)]) -> Result<Vec<JobDefinition>, Vec<String>> {
        let folder = folder(files);
        load_jobs(Some(folder.path()), &Environment::default(), &Calendar::xnys(), StrategySettings::NAMES).map_err(
            |error| {
                error
                    .to_string()
                    .replace(&format!("{}/", folder.path().display()), "")
                    .lines()
                    .map(str::to_owned)
                    .collect()
            },
        )
    }

    #[test]
    fn a_command_keeps_its_references_until_it_is_run() {
        let text =
            "kind: command\ncommand: [curl, -H, 'X-Key: ${KEY}', '$${x}']\nschedule: {every: 1h}\ntimeout: ${FOR}\n";
        let folder = folder(&[("mine.yaml", text)]);
        let environment: Environment = [("KEY", "hunter2"), ("FOR", "5m")].into_iter().collect();
        let load =
            |environment| load_jobs(Some(folder.path()), environment, &Calendar::xnys(), StrategySettings::NAMES);
        let jobs = load(&environment).unwrap_or_else(|error| panic!("{error}"));
        let mine = jobs.iter().find(|job| job.name == "mine").unwrap();
        assert_eq!(mine.command, ["curl", "-H", "X-Key: ${KEY}", "$${x}"]);
        assert_eq!(mine.timeout, Span::minutes(5));
        let filled = |text: &str| environment.filled(text).map(|filled| filled.value().to_owned());
        assert_eq!(
            (filled(&mine.command[2]).unwrap(), filled("$${x}").unwrap()),
            ("X-Key: hunter2".to_owned(), "${x}".to_owned())
        );
        assert!(load(&Environment::default()).unwrap_err().to_string().contains("KEY is not set"));
    }

    #[test]
    fn the_built_in_files_are_sound_and_spell_out_what_their_kind_has() {
        let jobs = load_jobs(None, &Environment::default(), &Calendar::xnys(), StrategySettings::NAMES)
            .unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, BUILT_IN.map(|(name, _)| name));
        for job in &jobs {
            assert_eq!(job.enabled, job.kind != JobKind::Command, "{}", job.name);
            let (_, text) = BUILT_IN.iter().find(|(name, _)| *name == job.name).unwrap();
            for key in ["kind", "schedule", "timeout", "retries", "overlap", "catch_up", "window", "enabled"] {
                assert!(text.lines().any(|line| line.starts_with(&format!("{key}:"))), "{} leaves out {key}", job.name);
            }
        }
        let summary = jobs.iter().find(|job| job.kind == JobKind::DailySummary).unwrap();
        assert_eq!((summary.catch_up, summary.retries), (CatchUp::All(5), Retries::For(Span::hours(24))));
    }

    #[test]
    fn a_file_replaces_the_built_in_job_of_its_name_or_adds_one() {
        let jobs = load(&[
            ("risk-monitor.yaml", "kind: risk-monitor\nschedule: {every: 30s}\n"),
            ("noon-scan.yml", "kind: premarket-scan\nschedule: {at: open+150m}\nwindow: 1h\nparameters: {top: 3}\n"),
            ("README.md", "no job"),
            (".#noon-scan.yaml", "an editor's"),
        ])
        .unwrap();
        assert_eq!(jobs.len(), BUILT_IN.len() + 1);
        let monitor = jobs.iter().find(|job| job.name == "risk-monitor").unwrap();
        assert_eq!(serde_json::to_string(&monitor.schedule).unwrap(), r#"{"every":"30s","during":"regular"}"#);
        assert_eq!(monitor.timeout, Span::seconds(30), "what is left out is as the kind has it");
        let noon = jobs.iter().find(|job| job.name == "noon-scan").unwrap();
        assert_eq!(noon.parameters, serde_json::json!({"top": 3}));
    }

    #[test]
    fn everything_wrong_in_all_files_is_told() {
        let problems = load(&[
            ("a.yaml", "kind: analisys\nschedule: {at: close-10m}\n"),
            ("b.yaml", "kind: analysis\nschedul: {at: close-10m}\ntimeout: 60\n"),
            ("c.yaml", "kind: analysis\nschedule: {at: noon}\nparameters: {strategies: [opening_range], x: 1}\n"),
            ("d.yaml", "kind: reconcile\nschedule: {every: 5m, delay: 1s}\nparameters: {top: 1}\n"),
            ("e.yaml", "kind: market-close-flatten\nschedule: {at: close-10m}\ncatch_up: latest\n"),
            ("f.yaml", "kind: command\nschedule: {at: close}\n"),
            ("Big Job.yaml", "kind: reconcile\nschedule: {every: 5m}\n"),
            (
                "g.yaml",
                "kind: premarket-scan\nschedule: [{at: open-1h}, {every: 0s}]\nparameters: {top: 0}\noverlap: skipp\n",
            ),
            ("h.yaml", "kind: housekeeping\nschedule: {cron: '15 25 * * *'}\nparameters: {keep_records_days: 0}\n"),
            ("i.yaml", ""),
            ("operator.yaml", "kind: reconcile\nschedule: {every: 5m}\n"),
            ("j.yaml", "kind: reconcile\nschedule: {every: 5m}\n"),
            ("j.yml", "kind: reconcile\nschedule: {every: 5m}\n"),
            ("l.yaml", "kind: market-close-flatten\nschedule: {at: close+5m}\n"),
            ("m.yaml", "kind: analysis\nschedule: {at: open+8h}\n"),
            ("k.yaml", "kind: reconcile\nschedule: {every: 5m}\nretries: often\nwindow: soon\ncatch_up: {all: 0}\n"),
        ])
        .unwrap_err();
        insta::assert_snapshot!(problems.join("\n"));
    }
}
