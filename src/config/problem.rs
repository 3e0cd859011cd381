//! What is wrong with a configuration, told so that a person can mend it.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of an overriding environment variable begins with.
pub(super) const VARIABLE_PREFIX: &str = "DAYBOOK__";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A file; line and column count from 1, the column in characters.
    File {
        /// The file, as it was named.
        file: Arc<Path>,
        /// Its line.
        line: u64,
        /// The character in the line.
        column: u64,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: Arc<str>,
    },
    /// An option of the command line.
    CommandLine {
        /// The option: `--ledger`.
        option: Arc<str>,
    },
}

impl Origin {
    /// The order in which problems are told: those of files by their places, then the others.
    pub(super) fn place(&self) -> (u8, Option<Arc<Path>>, u64, u64) {
        match self {
            Self::File { file, line, column } => (0, Some(Arc::clone(file)), *line, *column),
            Self::Environment { .. } => (1, None, 0, 0),
            Self::CommandLine { .. } => (2, None, 0, 0),
            Self::Default => (3, None, 0, 0),
        }
    }

    /// Whether both stand in one layer: in the same file, or both in the environment, or both on the command line.
    pub(super) fn is_of_the_layer_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { file, .. }, Self::File { file: other, .. }) => file == other,
            (Self::Default, Self::Default)
            | (Self::Environment { .. }, Self::Environment { .. })
            | (Self::CommandLine { .. }, Self::CommandLine { .. }) => true,
            (Self::Default | Self::File { .. } | Self::Environment { .. } | Self::CommandLine { .. }, _) => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine { option } => write!(f, "option {option}"),
        }
    }
}

/// One thing that is wrong: where, which key, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value stands.
    pub origin: Origin,
    /// The path of the key, such as `risk.max_daily_loss`; empty where the whole document is meant.
    pub key: String,
    /// What is wrong, what was expected, what to do.
    pub message: String,
}

/// The longest message, in characters: a value that it repeats may be as long as the file.
const MESSAGE_MAX: usize = 600;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, message } = self;
        write!(f, "{origin}: ")?;
        if !key.is_empty() {
            write!(f, "{}: ", cut(key, KEY_MAX))?;
        }
        f.write_str(&cut(message, MESSAGE_MAX))
    }
}

/// Most problems that are told at once; after these a person starts to mend.
const TOLD_MAX: usize = 50;

/// The longest path of a key that is told, in characters.
const KEY_MAX: usize = 120;

/// A text of at most `most` characters: the middle of a longer one is left out.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= most {
        return Cow::Borrowed(text);
    }
    let beginning: String = text.chars().take(most / 2).collect();
    let end: String = text.chars().skip(length - most / 2).collect();
    Cow::Owned(format!("{beginning} ... {end}"))
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file was named that is not there.
    #[error("{}: there is no such file; name another, or write one with `trade init`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A profile was named that is not there.
    #[error("there is no profile \"{name}\" in {}; {}", folder.display(), profiles_there(name, known))]
    UnknownProfile {
        /// The name.
        name: String,
        /// Where profiles are.
        folder: PathBuf,
        /// Those that are there.
        known: Vec<String>,
    },
    /// A file or folder that cannot be read.
    #[error("{}: cannot be read; check that it is a file and that this user may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written; check the folder, its permissions and the space left", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Everything that is wrong with it, in the order of the files.
    #[error("{}", all(problems))]
    Invalid {
        /// At least one.
        problems: Vec<Problem>,
    },
}

fn profiles_there(name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("make {name}.yaml there, with the keys that differ from the file's");
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let meant = suggestion(name, known.iter().copied());
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
    format!("expected {}{meant}", alternatives(&known))
}

fn all(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    if let Some(more @ 1..) = problems.len().checked_sub(TOLD_MAX) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// The word of `known` that `word` was probably meant to be.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let meant = plain(word);
    // Every third letter may be wrong: `max_daly_los` still finds `max_daily_loss`, `foo` finds nothing.
    let tolerated = (meant.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&meant, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Words as a sentence lists them: `a, b or c`.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [word] => (*word).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

/// The environment variable that overrides a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_the_word() {
        let known = ["max_daily_loss", "max_positions", "execute_top_n", "feed"];
        for (word, found) in [
            ("max_dayly_loss", Some("max_daily_loss")),
            ("max-daily-loss", Some("max_daily_loss")),
            ("MAX_POSITION", Some("max_positions")),
            ("fede", Some("feed")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(suggestion(word, known), found, "{word}");
        }
    }

    #[test]
    fn so_many_are_told_and_the_others_counted() {
        let problem = |line| Problem {
            origin: Origin::File { file: Path::new("t.yaml").into(), line, column: 1 },
            key: "a".to_owned(),
            message: "is wrong".to_owned(),
        };
        let told = |count| ConfigError::Invalid { problems: (1..=count).map(problem).collect() }.to_string();
        assert_eq!(told(50).lines().last(), Some("t.yaml:50:1: a: is wrong"));
        assert_eq!((told(900).lines().count(), told(900).lines().last()), (51, Some("and 850 more")));
    }

    #[test]
    fn alternatives_read_as_a_sentence() {
        assert_eq!(alternatives(&["a"]), "a");
        assert_eq!(alternatives(&["a", "b", "c"]), "a, b or c");
    }
}
