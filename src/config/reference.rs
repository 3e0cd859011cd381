//! What a file leaves to its surroundings: `${NAME}` in any scalar, and the secrets.
//!
//! A secret never stands in the file: it is an environment variable (`${SMTP_PASSWORD}`), a file
//! (`{file: /run/secrets/smtp}`, or the key with `_file` appended), or a credential that systemd has
//! loaded for the service (`{credential: smtp}`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::node::{Entry, Node, Step, Value, path_steps, path_text};
use super::problem::{Origin, Problem};
use crate::adapters::Veiled;

/// The largest file that holds a secret, in bytes: a key with its chain of certificates fits.
const SECRET_FILE_MAX: u64 = 64 * 1024;

/// Where systemd puts the credentials of a service (`LoadCredential=`).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// What a secret may be, for people.
const REFERENCES: &str = "a reference such as ${SMTP_PASSWORD}, {file: /run/secrets/smtp} or {credential: smtp}";

/// The variables that a configuration may refer to and be overridden by.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// Those of this process. A name that is not UTF-8 cannot be referred to and is left out.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    /// The names and values that begin with a prefix.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a OsStr)> {
        self.variables
            .range(prefix.to_owned()..)
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_os_str()))
    }

    /// The text of a variable that is set, and is UTF-8.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).and_then(|value| value.to_str()).map(str::to_owned)
    }

    /// A text with the environment's values in the place of each `${NAME}`, which may be told without them.
    ///
    /// # Errors
    /// The reference that fails, and why.
    pub fn filled(&self, text: &str) -> Result<Veiled, String> {
        let value = expanded(text, self, &mut Veils::default())?;
        Ok(Veiled::new(value, text))
    }

    /// The variable's text, or what is wrong with it.
    fn text(&self, name: &str) -> Result<&str, String> {
        let value = self.variables.get(name).ok_or_else(|| {
            format!("the environment variable {name} is not set; set it, or remove the reference to it")
        })?;
        value.to_str().ok_or_else(|| format!("the environment variable {name} is not UTF-8; correct it"))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

/// The shortest value that is kept out of what is told of mistakes, in characters: shorter ones are words and numbers.
const SECRET_MIN: usize = 6;

/// Whether a value that came by a reference may be a secret.
pub(super) fn may_be_secret(value: &str) -> bool {
    value.chars().nth(SECRET_MIN - 1).is_some()
}

/// Values that came by references, each with its reference: what is told of a mistake does not repeat them.
#[derive(Debug, Default)]
pub(super) struct Veils(BTreeMap<String, String>);

impl Veils {
    /// The same problem, told without the values.
    pub(super) fn over(&self, problem: Problem) -> Problem {
        // The longest first: one value may be a part of another.
        let mut values: Vec<_> = self.0.iter().collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let veiled = |text: String| values.iter().fold(text, |text, (value, told)| text.replace(*value, told));
        Problem { message: veiled(problem.message), ..problem }
    }

    fn add(&mut self, name: &str, value: &str) {
        if may_be_secret(value) {
            let told = format!("${{{name}}}");
            self.0.insert(value.escape_debug().to_string(), told.clone());
            self.0.insert(value.to_owned(), told);
        }
    }
}

/// Puts the environment's values in the place of each `${NAME}`; `$${` stands for `${`. Secrets are
/// left to [`resolve_secrets`]. A scalar whose reference fails is reported and taken out.
pub(super) fn interpolate(
    root: &mut Node,
    environment: &Environment,
    secrets: &[&str],
    veils: &mut Veils,
) -> Vec<Problem> {
    let mut failed: Vec<(Vec<Step>, Problem)> = Vec::new();
    root.for_each_scalar(&mut |path, node| {
        let key = path_text(path);
        let Value::Scalar { text, told, .. } = &mut node.value else { return };
        if secrets.contains(&key.as_str()) || !text.contains("${") {
            return;
        }
        match expanded(text, environment, veils) {
            Ok(expanded) => *told = Some(std::mem::replace(text, expanded)),
            Err(message) => failed.push((path.to_vec(), Problem { origin: node.origin.clone(), key, message })),
        }
    });
    failed
        .into_iter()
        .map(|(path, problem)| {
            root.remove(&path);
            problem
        })
        .collect()
}

fn expanded(text: &str, environment: &Environment, veils: &mut Veils) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        let name = after.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let name = name.ok_or_else(|| {
            "`${` begins no reference; expected ${NAME} with a name of A-Z, 0-9 and '_', or $${ for the two characters"
                .to_owned()
        })?;
        out.push_str(before);
        let value = environment.text(name)?;
        veils.add(name, value);
        out.push_str(value);
        rest = after.get(name.len() + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(letters) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// The section whose values are secrets within text: `Bearer ${TOKEN}`.
pub(super) const HEADERS: &str = "notifications.webhook.headers";

/// Sees to it that each header's value is given by reference. One that is not is reported and taken out.
pub(super) fn resolve_headers(root: &mut Node, environment: &Environment, veils: &mut Veils) -> Vec<Problem> {
    let mut problems = Vec::new();
    let section = path_steps(HEADERS);
    let names: Vec<String> = match root.at(&section).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => return problems,
    };
    for name in names {
        // A header's name may have a dot, which ends no key here.
        let path: Vec<Step> = section.iter().cloned().chain([Step::Key(name)]).collect();
        let Some(mut node) = root.remove(&path) else { continue };
        let wrong = |place: &str| {
            format!(
                "a header's value may be a secret, and does not stand {place}; expected text with a reference, such as \
                 Bearer ${{TOKEN}}"
            )
        };
        let resolved = match (&mut node.value, &node.origin) {
            (Value::Scalar { told: Some(_), .. }, _) => Ok(()),
            (Value::Scalar { .. }, Origin::File { .. }) => Err(wrong("in the file")),
            (Value::Scalar { text, told, .. }, Origin::CommandLine { .. }) if text.contains("${") => {
                expanded(text, environment, veils).map(|value| *told = Some(std::mem::replace(text, value)))
            }
            (Value::Scalar { .. }, Origin::CommandLine { .. }) => Err(wrong("on the command line")),
            (Value::Scalar { told, .. }, Origin::Environment { variable }) => {
                *told = Some(format!("${{{variable}}}"));
                Ok(())
            }
            // What is no text the reader tells.
            (Value::Scalar { .. } | Value::Null | Value::List(_) | Value::Map(_), _) => Ok(()),
        };
        match resolved {
            Ok(()) => root.set(&path, node),
            Err(message) => problems.push(Problem { origin: node.origin, key: path_text(&path), message }),
        }
    }
    problems
}

/// Puts each secret's value in the place of its reference. One that fails is reported and taken out.
pub(super) fn resolve_secrets(root: &mut Node, environment: &Environment, secrets: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for key in secrets {
        let path = path_steps(key);
        let path_of_file = path_steps(&format!("{key}_file"));
        let by_file = root.remove(&path_of_file);
        let direct = root.remove(&path);
        let (reference, resolved) = match (direct, by_file) {
            (None, None) => continue,
            (Some(_), Some(by_file)) => {
                let message = "the secret is given by this key and by the one without `_file`; keep one of the two";
                let origin = by_file.origin;
                problems.push(Problem { origin, key: format!("{key}_file"), message: message.to_owned() });
                continue;
            }
            (None, Some(by_file)) => {
                let resolved = match &by_file.value {
                    Value::Scalar { text, .. } => from_file(Path::new(text)),
                    _ => Err("expected the path of a file, such as /run/secrets/smtp".to_owned()),
                };
                (by_file, resolved)
            }
            (Some(direct), None) => {
                let resolved = resolve(&direct, environment);
                (direct, resolved)
            }
        };
        match resolved {
            Ok(Some(secret)) => {
                let value = Value::Scalar { text: secret, quoted: true, told: None };
                root.set(&path, Node { value, origin: reference.origin });
            }
            Ok(None) => {}
            Err(message) => problems.push(Problem { origin: reference.origin, key: (*key).to_owned(), message }),
        }
    }
    problems
}

/// The secret that a value refers to; `None` where there is no value. No message repeats the value.
fn resolve(reference: &Node, environment: &Environment) -> Result<Option<String>, String> {
    match &reference.value {
        Value::Null => Ok(None),
        Value::Scalar { text, .. } if text.is_empty() => Ok(None),
        Value::Scalar { text, .. } => {
            let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|name| is_name(name));
            match (name, &reference.origin) {
                (Some(name), _) => environment.text(name).map(|secret| Some(secret.to_owned())),
                (None, Origin::File { .. }) => Err(format!(
                    "a secret does not stand in the file; expected {REFERENCES}; if this one was real, replace it where it is used"
                )),
                (None, Origin::CommandLine { .. }) => Err(format!(
                    "a secret does not stand on the command line, where every process can read it; expected {REFERENCES}"
                )),
                (None, Origin::Environment { .. } | Origin::Default) => Ok(Some(text.clone())),
            }
        }
        Value::Map(entries) => match entries.as_slice() {
            [Entry { key, node: Node { value: Value::Scalar { text, .. }, .. }, .. }] => match key.as_str() {
                "file" => from_file(Path::new(text)),
                "credential" => from_file(&credential(text, environment)?),
                _ => Err(format!("\"{key}\" is no kind of reference; expected {REFERENCES}")),
            },
            _ => Err(format!("expected {REFERENCES}")),
        },
        Value::List(_) => Err(format!("found a list; expected {REFERENCES}")),
    }
}

fn credential(name: &str, environment: &Environment) -> Result<PathBuf, String> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err("expected the name of a credential, such as smtp, without '/'".to_owned());
    }
    let folder = environment.text(CREDENTIALS_DIRECTORY).map_err(|_| {
        format!(
            "there are no credentials here; expected a systemd service with `LoadCredential={name}:/path/of/the/file`"
        )
    })?;
    Ok(Path::new(folder).join(name))
}

fn from_file(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error: std::io::Error| {
        format!("{}: cannot be read ({error}); check the path and that this user may read it", path.display())
    };
    // To open a pipe waits for who writes into it, for ever if nobody does.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{}: is no regular file; expected one that holds the secret alone", path.display()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SECRET_FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_FILE_MAX {
        return Err(format!("{}: is larger than {SECRET_FILE_MAX} bytes; expected the secret alone", path.display()));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{}: is not UTF-8; expected text", path.display()))?;
    // An editor ends the file with a line break, which is no part of the secret.
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if secret.is_empty() {
        return Err(format!("{}: is empty; expected the secret", path.display()));
    }
    Ok(Some(secret.to_owned()))
}
