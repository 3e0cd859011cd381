//! From YAML (or JSON, which is YAML) to a tree.
//!
//! A key that stands twice does not keep the rest from being read: a person is told of everything at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Location, MessageFormatter, Spanned};

use super::node::{Entry, Node, Step, Value, path_text};
use super::problem::{Origin, Problem};

/// The deepest nesting: the documented file has four levels.
const DEPTH_MAX: usize = 16;

/// Most values in a document, aliases counted each time they are used; the documented file has some 150.
const NODES_MAX: usize = 20_000;

/// Lines with a tab that are told one by one: after these a person replaces them all.
const TABS_TOLD: usize = 10;

/// A document as a tree, and what is wrong with it though it could be read.
#[derive(Clone)]
pub(super) struct Document {
    pub(super) root: Node,
    pub(super) problems: Vec<Problem>,
}

/// Reads one document; an empty one is an empty mapping.
///
/// # Errors
/// The first place at which it is not YAML, or more of it than a configuration can need. Of tabs, all of them.
pub(super) fn parse(source: &str, file: &Arc<Path>) -> Result<Document, Vec<Problem>> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: NODES_MAX },
        // Both are seen here, and the second is told with its place.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let mut planter = Planter { source, file, path: Vec::new(), problems: Vec::new() };
    let raw: Option<Spanned<Raw>> = serde_yaml::from_str_with_options(source, options).map_err(|error| {
        let message = explain(&error);
        let tabs = if message.contains("tab") { tabs(source, file) } else { Vec::new() };
        if tabs.is_empty() {
            let origin = error.location().map_or_else(|| planter.at(1, 1), |location| planter.place(location));
            vec![Problem { origin, key: String::new(), message }]
        } else {
            tabs
        }
    })?;
    let mut root = match raw {
        Some(raw) => planter.plant(raw),
        None => Node { value: Value::Null, origin: planter.at(1, 1) },
    };
    if matches!(root.value, Value::Null) {
        root.value = Value::Map(Vec::new());
    }
    Ok(Document { root, problems: planter.problems })
}

/// Every line that is indented with a tab, the most frequent reason why a file is not YAML.
fn tabs(source: &str, file: &Arc<Path>) -> Vec<Problem> {
    let indent = |line: &str| line.find(|c: char| c != ' ').filter(|at| line[*at..].starts_with('\t'));
    (1..)
        .zip(source.lines())
        .filter_map(|(line, text)| Some((line, indent(text)? as u64 + 1)))
        .take(TABS_TOLD)
        .map(|(line, column)| Problem {
            origin: Origin::File { file: Arc::clone(file), line, column },
            key: String::new(),
            message: "the line is indented with a tab; indent with spaces".to_owned(),
        })
        .collect()
}

/// The message of what is not YAML.
fn explain(error: &serde_yaml::Error) -> String {
    use serde_yaml::Error;
    let too_large = || {
        format!("too large once it is unfolded; expected at most {NODES_MAX} values, nested at most {DEPTH_MAX} deep")
    };
    match error.without_snippet() {
        Error::AliasError { error, .. } => explain(error),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; expected one, without `---` in between".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "this alias stands inside of what it stands for; write the value itself".to_owned()
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            too_large()
        }
        other => {
            let text = serde_yaml::UserMessageFormatter.format_message(other).replace(char::is_control, " ");
            if text.contains("recursion limit") {
                return too_large();
            }
            format!("not YAML: {text}; check the indentation (spaces, no tabs), quotes and brackets")
        }
    }
}

/// Makes the tree out of what the parser saw.
struct Planter<'a> {
    source: &'a str,
    file: &'a Arc<Path>,
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl Planter<'_> {
    fn at(&self, line: u64, column: u64) -> Origin {
        Origin::File { file: Arc::clone(self.file), line, column }
    }

    fn place(&self, location: Location) -> Origin {
        self.at(location.line().max(1), location.column().max(1))
    }

    fn plant(&mut self, seen: Spanned<Raw>) -> Node {
        let origin = self.place(seen.referenced);
        let value = match seen.value {
            Raw::Null => Value::Null,
            Raw::Scalar { text, typed } => self.scalar(text, typed, seen.defined),
            Raw::List(items) => {
                let item = |(index, item)| {
                    self.path.push(Step::Item(index));
                    let node = self.plant(item);
                    self.path.pop();
                    (index, node)
                };
                Value::List(items.into_iter().enumerate().map(item).collect())
            }
            Raw::Map(entries) => Value::Map(self.map(entries)),
        };
        Node { value, origin }
    }

    /// A scalar as it was written; the parser has taken `1.10` for a number and would write it otherwise.
    fn scalar(&self, text: String, typed: bool, defined: Location) -> Value {
        let span = defined.span();
        let written = span.byte_offset().zip(span.byte_len()).and_then(|(offset, length)| {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            self.source.get(start..end)
        });
        match written.map(str::trim) {
            // A number by its tag has quotes around it: `!!int "3"`.
            Some(written) if typed && !written.starts_with(['"', '\'']) => {
                Value::Scalar { text: written.to_owned(), quoted: false, told: None }
            }
            written => Value::Scalar { quoted: !typed && written != Some(text.as_str()), text, told: None },
        }
    }

    /// Of two entries with one key the first is kept, and the second told.
    fn map(&mut self, seen: Vec<(Spanned<String>, Spanned<Raw>)>) -> Vec<Entry> {
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        let mut entries = Vec::with_capacity(seen.len());
        for (key, value) in seen {
            let (key_origin, key) = (self.place(key.referenced), key.value);
            self.path.push(Step::Key(key.clone()));
            if let Some(first) = lines.get(&key) {
                let message = format!("this key stands here twice, first on line {first}; keep one of the two");
                self.problems.push(Problem { origin: key_origin, key: path_text(&self.path), message });
            } else {
                if let Origin::File { line, .. } = key_origin {
                    lines.insert(key.clone(), line);
                }
                let node = self.plant(value);
                entries.push(Entry { key, key_origin, node });
            }
            self.path.pop();
        }
        entries
    }
}

/// What the parser saw, before the tree knows its source.
enum Raw {
    Null,
    /// A scalar and, where the parser took it for another type than text, how it would write that.
    Scalar {
        text: String,
        typed: bool,
    },
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Scalar { text: value.to_string(), typed: true })
            }
            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Scalar { text: value.to_string(), typed: true })
            }
            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Scalar { text: value.to_string(), typed: true })
            }
            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Scalar { text: value.to_string(), typed: true })
            }
            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Scalar { text: text.to_owned(), typed: false })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::tests::shown;
    use super::*;

    fn parse(source: &str) -> Result<Node, String> {
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        match super::parse(source, &Arc::from(Path::new("t.yaml"))) {
            Ok(Document { root, problems }) if problems.is_empty() => Ok(root),
            Ok(Document { problems, .. }) | Err(problems) => Err(told(problems)),
        }
    }

    #[test]
    fn scalars_stay_as_they_were_written_and_know_their_places() {
        for (source, tree) in [
            ("a: 5", "{a@1:1=5@1:4}"),
            ("a: 1.10\nb: 0x1F\n", "{a@1:1=1.10@1:4 b@2:1=0x1F@2:4}"),
            ("a: 007\r\nb: TRUE\r\n", "{a@1:1=007@1:4 b@2:1=TRUE@2:4}"),
            ("a: !!int \"3\"", "{a@1:1=3@1:10}"),
            ("a: \"5\"\nb: '5' # five", "{a@1:1=\"5\"@1:4 b@2:1=\"5\"@2:4}"),
            ("a:\nb: ~\n", "{a@1:1=null@1:2 b@2:1=null@2:4}"),
            ("a: {b: [x, 2]}", "{a@1:1={b@1:5=[x@1:9 2@1:12]@1:8}}"),
            ("{\"a\": [1e3, -.5, .nan]}", "{a@1:2=[1e3@1:8 -.5@1:13 .nan@1:18]@1:7}"),
            ("é: ü x # c", "{é@1:1=ü x@1:4}"),
            ("a: &x 7\nb: *x", "{a@1:1=7@1:7 b@2:1=7@2:4}"),
            ("a: |\n  two\n  lines\n", "{a@1:1=\"two\\nlines\\n\"@2:3}"),
            ("", "{}"),
            ("# only a comment\n", "{}"),
            ("\u{feff}a: 5", "{a@1:1=5@1:4}"),
        ] {
            assert_eq!(parse(source).map(|node| shown(&node)), Ok(tree.to_owned()), "{source:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place() {
        let nested = format!("{}{}", "[".repeat(40), "]".repeat(40));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &('b'..='k')
                .map(|c| format!("{c}: &{c} [{}]\n", vec![format!("*{}", char::from(c as u8 - 1)); 9].join(",")))
                .collect::<String>();
        for (source, message) in [
            (
                "a: {b: 2, b: 4}\na: 3\n",
                "t.yaml:1:11: a.b: this key stands here twice, first on line 1; keep one of the two\n\
                 t.yaml:2:1: a: this key stands here twice, first on line 1; keep one of the two",
            ),
            ("a: 1\n---\nb: 2\n", "t.yaml:3:1: a second document begins here"),
            (
                "a:\n\tb: 1\nc:\n  d: 1\n  \te: 2\n",
                "t.yaml:2:1: the line is indented with a tab; indent with spaces\n\
                 t.yaml:5:3: the line is indented with a tab; indent with spaces",
            ),
            ("a: \t[1\n", "t.yaml:"),
            ("a: &a [*a]\n", "t.yaml:1:8: this alias stands inside of what it stands for; write the value itself"),
            ("a: [1, 2\nb: 3\n", "t.yaml:"),
            ("a: 'x\n", "t.yaml:"),
            ("a: *nowhere\n", "t.yaml:1:4: not YAML"),
            ("a: !thing 1\n", "t.yaml:1:"),
            (nested.as_str(), "too large once it is unfolded"),
            (bomb.as_str(), "too large once it is unfolded"),
        ] {
            let problem = parse(source).map(|node| shown(&node)).unwrap_err();
            assert!(problem.contains(message), "{source:?} gave {problem:?}");
        }
    }
}
