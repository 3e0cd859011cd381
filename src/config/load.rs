//! From files, environment and command line to one checked configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daybook_core::schedule::JobDefinition;
use serde_json::Value as Json;

use super::files::{profile_file, read_text, text_of};
use super::jobs::load_jobs;
use super::named::{problems_of_files, remarks_of_files};
use super::node::{Node, Step, Value, path_steps, path_text};
use super::problem::{ConfigError, Origin, Problem, VARIABLE_PREFIX, suggestion, variable_of};
use super::read::read;
use super::reference::{Environment, HEADERS, Veils, interpolate, resolve_headers, resolve_secrets};
use super::scripts::read_scripts;
use super::settings::{SECRETS, Settings, SettingsVersion};
use super::yaml::{self, Document};
use crate::scripting;

/// The file that is read if none is named, where it is there.
pub const DEFAULT_FILE: &str = "config/daybook.yaml";

/// The variable that names a profile where the command line does not.
pub const PROFILE_VARIABLE: &str = "DAYBOOK_PROFILE";

/// The option that sets any key.
const SETTING_OPTION: &str = "--setting";

/// Where a configuration is read from, the weakest first: built-in defaults, the file, a profile, the
/// environment, options of the command line.
#[derive(Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    /// What stands in the place of the file's content.
    content: Option<Vec<u8>>,
    profile: Option<String>,
    environment: Environment,
    options: Vec<OptionValue>,
}

/// What an option says of a key.
#[derive(Clone)]
struct OptionValue {
    option: String,
    key: String,
    value: Given,
}

#[derive(Clone)]
enum Given {
    /// As it was typed; one that begins with `[` or `{` is YAML.
    Text(String),
    /// Text and nothing else, whatever it begins with.
    Word(String),
    List(Vec<String>),
}

impl Sources {
    /// The file that was named, or [`DEFAULT_FILE`] if it is there; and the environment, which overrides
    /// the file (`DAYBOOK__RISK__MAX_DAILY_LOSS=1500`), is what the file refers to, and may name a profile.
    #[must_use]
    pub fn new(file: Option<PathBuf>, environment: Environment) -> Self {
        let profile = environment.get(PROFILE_VARIABLE).filter(|name| !name.is_empty());
        Self { file, content: None, profile, environment, options: Vec::new() }
    }

    /// The same sources with a content in the place of the file's: is it right, before it is written?
    #[must_use]
    pub fn with_content(mut self, name: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.file = Some(name.into());
        self.content = Some(content.into());
        self
    }

    /// The environment and the command line alone.
    fn without_files(&self) -> Self {
        let file = self.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        Self { profile: None, ..self.clone() }.with_content(file, *b"{}")
    }

    /// The same sources and a profile over the file: `profiles/NAME.yaml` beside it. `None` leaves the one that the
    /// environment names.
    #[must_use]
    pub fn with_profile(mut self, name: Option<String>) -> Self {
        self.profile = name.or(self.profile);
        self
    }

    /// The same sources and an option of the command line that sets one key.
    #[must_use]
    pub fn with_option(mut self, option: &str, key: &str, value: impl Into<String>) -> Self {
        self.options.push(OptionValue {
            option: option.to_owned(),
            key: key.to_owned(),
            value: Given::Word(value.into()),
        });
        self
    }

    /// The same sources and an option of the command line that sets a list.
    #[must_use]
    pub fn with_list_option(mut self, option: &str, key: &str, values: Vec<String>) -> Self {
        self.options.push(OptionValue { option: option.to_owned(), key: key.to_owned(), value: Given::List(values) });
        self
    }

    /// The same sources and what `--setting KEY=VALUE` says, each over the one before it.
    #[must_use]
    pub fn with_settings(self, settings: &[Setting]) -> Self {
        self.with_settings_of(SETTING_OPTION, settings)
    }

    /// The same sources and what another option says that takes keys and values.
    #[must_use]
    pub fn with_settings_of(mut self, name: &str, settings: &[Setting]) -> Self {
        let option = |Setting { key, value }: &Setting| OptionValue {
            option: format!("{name} {key}"),
            key: key.clone(),
            value: Given::Text(value.clone()),
        };
        self.options.extend(settings.iter().map(option));
        self
    }
}

/// A key and its value as they are typed: `risk.max_daily_loss=1500`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    key: String,
    value: String,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.split('.').any(str::is_empty) => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected KEY=VALUE, such as risk.max_daily_loss=1500".to_owned()),
        }
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
    /// The profile that was laid over the file.
    pub profile: Option<PathBuf>,
    /// What the ledger keeps of the settings.
    pub version: SettingsVersion,
    /// What is not wrong, and may not be meant.
    pub remarks: Vec<Problem>,
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

/// Reads, layers and checks a configuration: a function of the files, the environment and the options alone.
///
/// # Errors
/// [`ConfigError::Missing`] for a file that was named and is not there, [`ConfigError::UnknownProfile`] likewise,
/// [`ConfigError::Unreadable`] for one that cannot be read, and [`ConfigError::Invalid`] with everything that is wrong.
pub fn load(sources: &Sources) -> Result<Configuration, ConfigError> {
    let Layered { file, profile, root, problems, veils } = layers(sources)?;
    let Read { mut settings, mut root, mut problems, veils } = decode(root, problems, &sources.environment, veils);
    problems.extend(read_scripts(&mut settings.strategies, file.as_deref(), &root));
    problems.extend(problems_of_files(&settings, &root));
    let jobs_folder = jobs_folder(&settings, &root).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    problems.sort_by_key(|problem| problem.origin.place());
    let strategies = scripting::names(&settings.strategies);
    let jobs = match load_jobs(jobs_folder, &sources.environment, &settings.calendar(), &strategies) {
        Err(ConfigError::Invalid { problems: more }) => {
            problems.extend(more);
            Vec::new()
        }
        other => other?,
    };
    if !problems.is_empty() {
        let problems = problems.into_iter().map(|problem| veils.over(problem)).collect();
        return Err(ConfigError::Invalid { problems });
    }
    let version = settings.version().map_err(|error| {
        invalid(Problem { origin: Origin::Default, key: String::new(), message: format!("cannot be kept: {error}") })
    })?;
    let mut remarks = remarks(&sources.environment, &known_keys());
    remarks.extend(remarks_of_files(&settings, &root));
    Ok(Configuration { settings, jobs, file, profile, version, remarks, origins: origins(&mut root) })
}

/// As [`load`], or what of the configuration can be used, and why not all of it can: for who has to look or to intervene
/// now. What is wrong has its default, what is in no file that can be read likewise, and there are no jobs.
///
/// # Errors
/// If a file was named that is not there, or nothing can be made of the settings.
pub fn load_usable(sources: &Sources) -> Result<(Configuration, Option<ConfigError>), ConfigError> {
    let error = match load(sources) {
        Ok(configuration) => return Ok((configuration, None)),
        Err(error @ (ConfigError::Invalid { .. } | ConfigError::Unreadable { .. })) => error,
        Err(error) => return Err(error),
    };
    let Ok(Layered { file, profile, root, veils, .. }) = layers(sources).or_else(|_| layers(&sources.without_files()))
    else {
        return Err(error);
    };
    let Read { settings, mut root, .. } = decode(root, Vec::new(), &sources.environment, veils);
    match settings.version() {
        Ok(version) => {
            let origins = origins(&mut root);
            let (jobs, remarks) = (Vec::new(), Vec::new());
            Ok((Configuration { settings, jobs, file, profile, version, remarks, origins }, Some(error)))
        }
        Err(_) => Err(error),
    }
}

/// All layers as one tree.
struct Layered {
    file: Option<PathBuf>,
    profile: Option<PathBuf>,
    root: Node,
    problems: Vec<Problem>,
    veils: Veils,
}

/// Lays the sources over one another.
fn layers(sources: &Sources) -> Result<Layered, ConfigError> {
    let file = match &sources.file {
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let beside = file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let profile = sources.profile.as_deref().map(|name| profile_file(name, beside)).transpose()?;
    let (mut root, mut problems) = (Node::empty(), Vec::new());
    // Files that are no YAML are told together: neither hides the other.
    let mut unread = Vec::new();
    for path in file.iter().chain(&profile) {
        let text = match &sources.content {
            Some(content) if Some(path) == file.as_ref() => text_of(content.clone(), path)?,
            _ => read_text(path)?,
        };
        match yaml::parse(&text, &Arc::from(path.as_path())) {
            Ok(Document { root: above, problems: more }) => {
                // Nothing is laid over what is no mapping: reading reports it.
                if matches!(root.value, Value::Map(_)) {
                    root.overlay(above);
                }
                problems.extend(more);
            }
            Err(more) => unread.extend(more),
        }
    }
    if !unread.is_empty() {
        unread.extend(problems);
        return Err(ConfigError::Invalid { problems: unread });
    }
    let environment = &sources.environment;
    let mut veils = Veils::default();
    problems.extend(interpolate(&mut root, environment, &SECRETS, &mut veils));
    problems.extend(overlay_environment(&mut root, environment));
    problems.extend(overlay_options(&mut root, &sources.options));
    Ok(Layered { file, profile, root, problems, veils })
}

/// Settings that were read out of a tree, and everything that is wrong with it.
struct Read {
    settings: Settings,
    /// The tree without what was wrong.
    root: Node,
    problems: Vec<Problem>,
    veils: Veils,
}

/// Reads the settings out of a tree, and holds their values against one another.
fn decode(mut root: Node, mut problems: Vec<Problem>, environment: &Environment, mut veils: Veils) -> Read {
    problems.extend(resolve_secrets(&mut root, environment, &SECRETS));
    problems.extend(resolve_headers(&mut root, environment, &mut veils));
    let keys = known_keys();
    let (settings, faults) = read::<Settings>(&mut root, &keys);
    problems.extend(faults);
    let settings = settings.unwrap_or_default();
    let senseless = settings
        .problems()
        .into_iter()
        .filter(|(key, message)| !problems.iter().any(|unread| may_come_of(key, message, &unread.key, &root, &keys)));
    let senseless: Vec<Problem> = senseless
        .map(|(key, message)| {
            let path = path_steps(&key);
            let origin = origin_of(&root, &path).clone();
            Problem { origin, key, message }
        })
        .collect();
    problems.extend(senseless);
    Read { settings, root, problems, veils }
}

/// Where what is wrong with a key stands: at the key, or around it; where nothing of its section is said, at the word
/// that chose the section.
fn origin_of<'a>(root: &'a Node, path: &[Step]) -> &'a Origin {
    let stands = |path: &[Step]| path.get(..1).is_some_and(|section| root.at(section).is_some());
    if stands(path) {
        return root.origin_near(path);
    }
    let section = path.first().map_or("", |step| match step {
        Step::Key(key) => key.as_str(),
        Step::Item(_) => "",
    });
    let chosen_by = |key: &str| {
        let node = root.at(&path_steps(key))?;
        matches!(&node.value, Value::Scalar { text, .. } if text == section).then_some(&node.origin)
    };
    CHOOSERS.iter().find_map(|key| chosen_by(key)).unwrap_or(&Origin::Default)
}

/// Keys whose words are names of sections.
const CHOOSERS: [&str; 2] = ["execution.broker", "market.feed"];

/// What is not wrong, and may not be meant: variables that nothing reads.
fn remarks(environment: &Environment, keys: &[String]) -> Vec<Problem> {
    let plain = |name: &str| name.to_uppercase().replace("__", "_");
    let of_others = |name: &str| {
        name.starts_with(VARIABLE_PREFIX)
            || KNOWN_VARIABLES.contains(&name)
            || FOREIGN_VARIABLES.iter().any(|prefix| name.starts_with(prefix))
    };
    let variables = environment.with_prefix(NAMES_OF_OURS).map(|(name, _)| name).filter(|name| !of_others(name));
    variables
        .map(|name| {
            let meant = keys.iter().map(|key| variable_of(key)).find(|variable| plain(variable) == plain(name));
            let meant = meant.or_else(|| {
                // What they all begin with tells nothing.
                let own = |name: &'static str| name.strip_prefix(NAMES_OF_OURS).unwrap_or(name);
                let word = name.strip_prefix(NAMES_OF_OURS).unwrap_or(name);
                suggestion(word, KNOWN_VARIABLES.map(own)).map(|meant| format!("{NAMES_OF_OURS}{meant}"))
            });
            let meant = meant.map_or_else(
                || "; expected DAYBOOK__SECTION__KEY, with two underscores".to_owned(),
                |meant| format!("; did you mean \"{meant}\"?"),
            );
            let origin = Origin::Environment { variable: name.into() };
            Problem { origin, key: String::new(), message: format!("nothing reads this variable{meant}") }
        })
        .collect()
}

/// What the names of this program's variables begin with.
const NAMES_OF_OURS: &str = "DAYBOOK_";

/// Variables that the program reads, or gives the programs that it runs.
const KNOWN_VARIABLES: [&str; 6] =
    [PROFILE_VARIABLE, "DAYBOOK_KEY", "DAYBOOK_LEVEL", "DAYBOOK_EVENT", "DAYBOOK_SYMBOL", "DAYBOOK_ATTEMPT"];

/// What names of others begin with: tests that kill the process, and Kubernetes, which tells of a service of this name.
const FOREIGN_VARIABLES: [&str; 3] = ["DAYBOOK_CRASH", "DAYBOOK_SERVICE_", "DAYBOOK_PORT"];

/// The settings of one document, as if it were the configuration.
#[cfg(test)]
pub(super) fn check_document(document: Document, environment: &Environment) -> Result<Settings, Vec<Problem>> {
    let Document { mut root, mut problems } = document;
    let mut veils = Veils::default();
    problems.extend(interpolate(&mut root, environment, &SECRETS, &mut veils));
    let Read { settings, problems, .. } = decode(root, problems, environment, veils);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Whether what is said of `key` may come of another key that could not be read and stands at its default: it is that
/// key, the message speaks of it, or that key is unknown and may be meant to be this one.
fn may_come_of(key: &str, message: &str, unread: &str, root: &Node, keys: &[String]) -> bool {
    // Of headers any number may be wrong: none has a default that could be wrong in the place of another.
    if unread.is_empty() || unread.starts_with(HEADERS) {
        return false;
    }
    let (section, word) = unread.rsplit_once('.').unwrap_or(("", unread));
    let word = word.split('[').next().unwrap_or_default();
    let is_part = key.starts_with(unread) || unread.starts_with(key);
    let speaks_of = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|said| said == word);
    let is_unknown = !keys.iter().any(|known| known == unread);
    let may_be_meant = is_unknown && key.starts_with(section) && root.at(&path_steps(key)).is_none();
    is_part || speaks_of || may_be_meant
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

fn invalid(problem: Problem) -> ConfigError {
    ConfigError::Invalid { problems: vec![problem] }
}

/// Lays `DAYBOOK__SECTION__KEY` over the tree.
fn overlay_environment(root: &mut Node, environment: &Environment) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (variable, value) in environment.with_prefix(VARIABLE_PREFIX) {
        let origin = Origin::Environment { variable: variable.into() };
        let key = variable.trim_start_matches(VARIABLE_PREFIX).to_lowercase().replace("__", ".");
        let node = if key.split('.').any(str::is_empty) {
            Err("expected a key after each `__`, such as DAYBOOK__RISK__MAX_DAILY_LOSS".to_owned())
        } else {
            let text = value.to_str().ok_or_else(|| "the value is not UTF-8; correct it".to_owned());
            text.and_then(|text| typed(text, &key, &origin))
        };
        match node {
            Ok(node) => root.set(&path_steps(&key), node),
            Err(message) => problems.push(Problem { origin, key, message }),
        }
    }
    problems
}

/// Lays the options of the command line over the tree.
fn overlay_options(root: &mut Node, options: &[OptionValue]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for OptionValue { option, key, value } in options {
        let origin = Origin::CommandLine { option: option.as_str().into() };
        let node = match value {
            Given::Text(text) => typed(text, key, &origin),
            Given::Word(text) => Ok(Node::text(text, origin.clone())),
            Given::List(texts) => Ok(Node::list(texts, &origin)),
        };
        match node {
            Ok(node) => root.set(&path_steps(key), node),
            Err(message) => problems.push(Problem { origin, key: key.clone(), message }),
        }
    }
    problems
}

/// A value as it is typed outside of files: one that begins with `[` or `{` is YAML, any other is taken as it stands,
/// and so is a secret.
fn typed(text: &str, key: &str, origin: &Origin) -> Result<Node, String> {
    if !text.starts_with(['[', '{']) || SECRETS.contains(&key) {
        return Ok(Node::text(text, origin.clone()));
    }
    let told = |problems: Vec<Problem>| problems.into_iter().next().map_or_else(String::new, |problem| problem.message);
    match yaml::parse(text, &Arc::from(Path::new(key))) {
        Ok(Document { root, problems }) if problems.is_empty() => Ok(root.with_origin(origin)),
        Ok(Document { problems, .. }) | Err(problems) => Err(told(problems)),
    }
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
