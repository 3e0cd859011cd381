//! From files, environment and command line to one checked configuration.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daybook_core::schedule::JobDefinition;
use serde_json::Value as Json;

use super::jobs::load_jobs;
use super::node::{Node, Step, path_steps, path_text};
use super::problem::{ConfigError, Origin, Problem, VARIABLE_PREFIX};
use super::read::read;
use super::reference::{Environment, interpolate, resolve_secrets};
use super::settings::{SECRETS, Settings, SettingsVersion};

/// The file that is read if none is named, where it is there.
pub const DEFAULT_FILE: &str = "config/daybook.yaml";

/// The largest file, in bytes: the documented one has some 15,000.
const FILE_MAX: u64 = 1024 * 1024;

/// Where a configuration is read from, the weakest first: built-in defaults, the file, the
/// environment, options of the command line.
#[derive(Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    environment: Environment,
    options: Vec<OptionValue>,
}

#[derive(Clone)]
struct OptionValue {
    option: &'static str,
    key: &'static str,
    texts: Vec<String>,
    list: bool,
}

impl Sources {
    /// The file that was named, or [`DEFAULT_FILE`] if it is there; and the environment, which overrides
    /// the file (`DAYBOOK__RISK__MAX_DAILY_LOSS=1500`) and is what the file refers to.
    #[must_use]
    pub fn new(file: Option<PathBuf>, environment: Environment) -> Self {
        Self { file, environment, options: Vec::new() }
    }

    /// The same sources and an option of the command line that sets one key.
    #[must_use]
    pub fn with_option(mut self, option: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.options.push(OptionValue { option, key, texts: vec![value.into()], list: false });
        self
    }

    /// The same sources and an option of the command line that sets a list.
    #[must_use]
    pub fn with_list_option(mut self, option: &'static str, key: &'static str, values: Vec<String>) -> Self {
        self.options.push(OptionValue { option, key, texts: values, list: true });
        self
    }
}

/// A configuration that has been checked.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The settings.
    pub settings: Settings,
    /// The jobs, in the order of their names.
    pub jobs: Vec<JobDefinition>,
    /// The file they were read from; `None` where the built-in defaults stand alone.
    pub file: Option<PathBuf>,
    /// What the ledger keeps of the settings.
    pub version: SettingsVersion,
    origins: BTreeMap<String, Origin>,
}

impl Configuration {
    /// Where the value of a key comes from: `risk.max_daily_loss`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Every key with its value and where that comes from, in alphabetical order. Secrets are shown as
    /// set, without their value.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String, Origin)> {
        let mut values = BTreeMap::new();
        leaves(&json(&self.settings), &mut String::new(), &mut |key, value| {
            let shown = match value {
                Json::String(text) => text.clone(),
                Json::Null => String::new(),
                other => other.to_string(),
            };
            values.insert(key.to_owned(), shown);
        });
        for key in SECRETS.iter().filter(|key| self.origins.contains_key(**key)) {
            values.insert((*key).to_owned(), "(secret)".to_owned());
        }
        values.into_iter().map(|(key, value)| (key.clone(), value, self.origin(&key))).collect()
    }
}

/// Reads, layers and checks a configuration.
///
/// # Errors
/// [`ConfigError::Missing`] for a file that was named and is not there, [`ConfigError::Unreadable`] for
/// one that cannot be read, and [`ConfigError::Invalid`] with everything that is wrong.
pub fn load(sources: &Sources) -> Result<Configuration, ConfigError> {
    let (file, mut root) = read_file(sources)?;
    let environment = &sources.environment;
    let mut problems = interpolate(&mut root, environment, &SECRETS);
    problems.extend(overlay_environment(&mut root, environment));
    for option in &sources.options {
        let origin = Origin::CommandLine { option: option.option.into() };
        let node = match option.texts.as_slice() {
            [text] if !option.list => Node::text(text, origin),
            texts => Node::list(texts, &origin),
        };
        root.set(&path_steps(option.key), node);
    }
    problems.extend(resolve_secrets(&mut root, environment, &SECRETS));

    let keys = known_keys();
    let (settings, faults) = read::<Settings>(&mut root, &keys);
    problems.extend(faults);
    let settings = settings.unwrap_or_default();
    let senseless = settings.problems().into_iter().map(|(key, message)| {
        let path = path_steps(&key);
        let section_stands = path.first().is_some_and(|section| root.at(std::slice::from_ref(section)).is_some());
        let origin = if section_stands { root.origin_near(&path).clone() } else { Origin::Default };
        Problem { origin, key, message }
    });
    // A value that was taken out left its default, which may not go with the others of its section.
    let section = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
    let unread: Vec<String> = problems.iter().map(|problem| section(&problem.key)).collect();
    problems.extend(senseless.filter(|problem| !unread.contains(&section(&problem.key))));
    let jobs_folder = jobs_folder(&settings, &root).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    problems.sort_by_key(|problem| problem.origin.place());
    let jobs = match load_jobs(jobs_folder, environment) {
        Err(ConfigError::Invalid { problems: more }) => {
            problems.extend(more);
            Vec::new()
        }
        other => other?,
    };
    if !problems.is_empty() {
        return Err(ConfigError::Invalid { problems });
    }
    let version = settings.version().map_err(|error| {
        invalid(Problem { origin: Origin::Default, key: String::new(), message: format!("cannot be kept: {error}") })
    })?;
    Ok(Configuration { settings, jobs, file, version, origins: origins(&mut root) })
}

/// The folder with the job files. One that was named must be there; without it the built-in jobs stand alone.
fn jobs_folder<'a>(settings: &'a Settings, root: &Node) -> Result<Option<&'a Path>, Problem> {
    let folder = settings.jobs_dir.as_path();
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    match root.at(&path_steps("jobs_dir")) {
        None => Ok(None),
        Some(named) => {
            let message = format!("there is no folder \"{}\"; make it, or remove the key", folder.display());
            Err(Problem { origin: named.origin.clone(), key: "jobs_dir".to_owned(), message })
        }
    }
}

/// Reads the file there is; without one, an empty tree.
fn read_file(sources: &Sources) -> Result<(Option<PathBuf>, Node), ConfigError> {
    let path = match &sources.file {
        Some(path) => path.clone(),
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok((None, Node::empty())),
    };
    let source = read_text(&path)?;
    let root = Node::parse(&source, &Arc::from(path.as_path())).map_err(invalid)?;
    Ok((Some(path), root))
}

fn invalid(problem: Problem) -> ConfigError {
    ConfigError::Invalid { problems: vec![problem] }
}

/// The text of a file that is not too large and is UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
        _ => ConfigError::Unreadable { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let at = |line: u64, column: u64, message: String| {
        invalid(Problem { origin: Origin::File { file: path.into(), line, column }, key: String::new(), message })
    };
    if bytes.len() as u64 > FILE_MAX {
        let message = format!("is larger than {FILE_MAX} bytes; expected a configuration: is this the right file?");
        return Err(at(1, 1, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good =
            String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default());
        let line = good.matches('\n').count() as u64 + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        at(line, column, "is not UTF-8 from here on; save the file as UTF-8".to_owned())
    })
}

/// Lays `DAYBOOK__SECTION__KEY` over the tree. A value that begins with `[` or `{` is YAML, any other is
/// taken as it stands.
fn overlay_environment(root: &mut Node, environment: &Environment) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (variable, value) in environment.with_prefix(VARIABLE_PREFIX) {
        let origin = Origin::Environment { variable: variable.into() };
        let key = variable.trim_start_matches(VARIABLE_PREFIX).to_lowercase().replace("__", ".");
        let mut problem = |message: String| {
            problems.push(Problem { origin: origin.clone(), key: key.clone(), message });
        };
        if key.split('.').any(str::is_empty) {
            problem("expected a key after each `__`, such as DAYBOOK__RISK__MAX_DAILY_LOSS".to_owned());
            continue;
        }
        let Some(text) = value.to_str() else {
            problem("the value is not UTF-8; correct it".to_owned());
            continue;
        };
        let is_secret = SECRETS.contains(&key.as_str());
        let node = if text.starts_with(['[', '{']) && !is_secret {
            match Node::parse(text, &Arc::from(Path::new(variable))) {
                Ok(node) => node.with_origin(&origin),
                Err(told) => {
                    problem(told.message);
                    continue;
                }
            }
        } else {
            Node::text(text, origin.clone())
        };
        root.set(&path_steps(&key), node);
    }
    problems
}

/// The paths of all keys.
pub(super) fn known_keys() -> Vec<String> {
    let mut keys: Vec<String> = SECRETS.iter().map(|key| (*key).to_owned()).collect();
    leaves(&json(&Settings::default()), &mut String::new(), &mut |key, _| keys.push(key.to_owned()));
    keys
}

/// The settings as JSON, without secrets.
fn json(settings: &Settings) -> Json {
    // Settings that were loaded hold text that was UTF-8, numbers, lists and maps: JSON holds them all.
    serde_json::to_value(settings).unwrap_or_default()
}

fn leaves(value: &Json, path: &mut String, visit: &mut impl FnMut(&str, &Json)) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                leaves(inner, path, visit);
                path.truncate(length);
            }
        }
        other => visit(path, other),
    }
}

/// Where each key's value stands; a list counts as one value.
fn origins(root: &mut Node) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    root.for_each_scalar(&mut |path, node| {
        let keys: Vec<Step> = path.iter().take_while(|step| matches!(step, Step::Key(_))).cloned().collect();
        origins.entry(path_text(&keys)).or_insert_with(|| node.origin.clone());
    });
    origins
}
