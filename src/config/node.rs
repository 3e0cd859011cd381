//! A YAML document as a tree in which every value knows where it stands.
//!
//! Scalars stay text until a type asks for them: `TRUE` is a fine symbol, `007` a fine name, and a
//! value from the environment reads like one from the file.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Location, MessageFormatter, Spanned};

use super::problem::{Origin, Problem};

/// The deepest nesting: the documented file has four levels.
const DEPTH_MAX: usize = 16;

/// Most values in a document, aliases counted each time they are used; the documented file has some 150.
const NODES_MAX: usize = 20_000;

/// A value and where it stands. It may hold a secret, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar as it was written; quoted, it is text and no number.
    Scalar { text: String, quoted: bool },
    /// A list. An item keeps its number when others are taken out.
    List(Vec<(usize, Node)>),
    /// A mapping, in the order of the document.
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

/// One step on the way from the root to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// A path as people write it: `market.files.bars[2]`.
pub(super) fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// The steps of a path without items: `risk.max_daily_loss`.
pub(super) fn path_steps(key: &str) -> Vec<Step> {
    key.split('.').map(|part| Step::Key(part.to_owned())).collect()
}

impl Node {
    pub(super) fn empty() -> Self {
        Self { value: Value::Map(Vec::new()), origin: Origin::Default }
    }

    pub(super) fn text(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: Value::Scalar { text: text.into(), quoted: false }, origin }
    }

    pub(super) fn list(texts: &[String], origin: &Origin) -> Self {
        let item = |(index, text): (usize, &String)| (index, Self::text(text, origin.clone()));
        Self { value: Value::List(texts.iter().enumerate().map(item).collect()), origin: origin.clone() }
    }

    /// The same values, all of which stand in one place.
    pub(super) fn with_origin(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        match &mut self.value {
            Value::Null | Value::Scalar { .. } => {}
            Value::List(items) => items.iter_mut().for_each(|(_, node)| *node = node.clone().with_origin(origin)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.key_origin = origin.clone();
                    entry.node = entry.node.clone().with_origin(origin);
                }
            }
        }
        self
    }

    /// Reads one YAML document; an empty one is an empty mapping.
    ///
    /// # Errors
    /// The first place at which it is not YAML, or more of it than a configuration can need.
    pub(super) fn parse(source: &str, file: &Arc<Path>) -> Result<Self, Problem> {
        let place = |location: Location| Origin::File {
            file: Arc::clone(file),
            line: location.line().max(1),
            column: location.column().max(1),
        };
        let options = serde_yaml::options! {
            budget: serde_yaml::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX },
            alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: NODES_MAX },
            duplicate_keys: DuplicateKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            non_finite_float_policy: NonFiniteFloatPolicy::AsString,
            with_snippet: false,
        };
        let raw: Option<Spanned<Raw>> = serde_yaml::from_str_with_options(source, options).map_err(|error| {
            let (key, message) = explain(&error);
            Problem { origin: error.location().map_or(Origin::Default, place), key, message }
        })?;
        let mut root = match raw {
            Some(raw) => raw.value.into_node(raw.referenced, raw.defined, source, &place),
            None => Self { value: Value::Null, origin: Origin::File { file: Arc::clone(file), line: 1, column: 1 } },
        };
        if matches!(root.value, Value::Null) {
            root.value = Value::Map(Vec::new());
        }
        Ok(root)
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node)
            }
            (Value::List(items), Step::Item(index)) => {
                items.iter().find(|(number, _)| number == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            (Value::List(items), Step::Item(index)) => {
                items.iter_mut().find(|(number, _)| number == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// The value at a path.
    pub(super) fn at(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| node.child(step))
    }

    /// Where the value at a path stands; for one that is absent, the nearest value around it.
    pub(super) fn origin_near(&self, path: &[Step]) -> &Origin {
        let mut node = self;
        for step in path {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        &node.origin
    }

    /// Where the key at the end of a path stands, or the value if it is an item.
    pub(super) fn key_origin(&self, path: &[Step]) -> &Origin {
        if let Some((Step::Key(key), around)) = path.split_last()
            && let Some(Value::Map(entries)) = self.at(around).map(|node| &node.value)
            && let Some(entry) = entries.iter().find(|entry| entry.key == *key)
        {
            return &entry.key_origin;
        }
        self.origin_near(path)
    }

    /// Takes the value at a path out; `None` if there is none, and for the root.
    pub(super) fn remove(&mut self, path: &[Step]) -> Option<Self> {
        let (last, around) = path.split_last()?;
        let parent = around.iter().try_fold(self, |node, step| node.child_mut(step))?;
        match (&mut parent.value, last) {
            (Value::Map(entries), Step::Key(key)) => {
                let place = entries.iter().position(|entry| entry.key == *key)?;
                Some(entries.remove(place).node)
            }
            (Value::List(items), Step::Item(index)) => {
                let place = items.iter().position(|(number, _)| number == index)?;
                Some(items.remove(place).1)
            }
            _ => None,
        }
    }

    /// Puts a value at a path of keys, in the place of the one that is there, with the mappings that
    /// lead to it.
    ///
    /// A value on the way that is no mapping stays as it is: reading reports it.
    pub(super) fn set(&mut self, path: &[Step], node: Self) {
        let Some((step, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if matches!(self.value, Value::Null) {
            self.value = Value::Map(Vec::new());
        }
        if self.child(step).is_none()
            && let (Value::Map(entries), Step::Key(key)) = (&mut self.value, step)
        {
            let (key, key_origin, origin) = (key.clone(), node.origin.clone(), node.origin.clone());
            entries.push(Entry { key, key_origin, node: Self { value: Value::Null, origin } });
        }
        if let Some(child) = self.child_mut(step) {
            child.set(rest, node);
        }
    }

    /// Visits every scalar with its path.
    pub(super) fn for_each_scalar(&mut self, visit: &mut impl FnMut(&[Step], &mut Self)) {
        self.walk(&mut Vec::new(), visit);
    }

    fn walk(&mut self, path: &mut Vec<Step>, visit: &mut impl FnMut(&[Step], &mut Self)) {
        match &mut self.value {
            Value::Null => {}
            Value::Scalar { .. } => visit(path, self),
            Value::List(items) => {
                for (index, node) in items {
                    path.push(Step::Item(*index));
                    node.walk(path, visit);
                    path.pop();
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    path.push(Step::Key(entry.key.clone()));
                    entry.node.walk(path, visit);
                    path.pop();
                }
            }
        }
    }
}

/// The key, if the parser knows it, and the message of what is not YAML.
fn explain(error: &serde_yaml::Error) -> (String, String) {
    use serde_yaml::Error;
    match error.without_snippet() {
        Error::AliasError { error, .. } => explain(error),
        Error::DuplicateMappingKey { key, .. } => {
            (key.clone().unwrap_or_default(), "this key stands here twice; keep one of the two".to_owned())
        }
        Error::MultipleDocuments { .. } => {
            (String::new(), "a second document begins here; expected one, without `---` in between".to_owned())
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            let message = format!(
                "too large once it is unfolded; expected at most {NODES_MAX} values, nested at most {DEPTH_MAX} deep"
            );
            (String::new(), message)
        }
        other => {
            let text = serde_yaml::UserMessageFormatter.format_message(other).replace(char::is_control, " ");
            (String::new(), format!("not YAML: {text}; check the indentation (spaces, no tabs), quotes and brackets"))
        }
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

impl Raw {
    fn into_node(
        self,
        referenced: Location,
        defined: Location,
        source: &str,
        place: &impl Fn(Location) -> Origin,
    ) -> Node {
        let value = match self {
            Self::Null => Value::Null,
            Self::Scalar { text, typed } => {
                let span = defined.span();
                let written = span.byte_offset().zip(span.byte_len()).and_then(|(offset, length)| {
                    let start = usize::try_from(offset).ok()?;
                    let end = start.checked_add(usize::try_from(length).ok()?)?;
                    source.get(start..end)
                });
                match written.map(str::trim) {
                    Some(written) if typed => Value::Scalar { text: written.to_owned(), quoted: false },
                    written => Value::Scalar { quoted: !typed && written != Some(text.as_str()), text },
                }
            }
            Self::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| item.value.into_node(item.referenced, item.defined, source, place))
                    .enumerate()
                    .collect(),
            ),
            Self::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, item)| Entry {
                        key: key.value,
                        key_origin: place(key.referenced),
                        node: item.value.into_node(item.referenced, item.defined, source, place),
                    })
                    .collect(),
            ),
        };
        Node { value, origin: place(referenced) }
    }
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
    use super::*;

    fn parse(source: &str) -> Result<Node, String> {
        Node::parse(source, &Arc::from(Path::new("t.yaml"))).map_err(|problem| problem.to_string())
    }

    /// The tree as one line, with places: `a@1:1=5@1:4`; text that was quoted is shown quoted.
    fn shown(node: &Node) -> String {
        let place = |origin: &Origin| origin.to_string().trim_start_matches("t.yaml:").to_owned();
        let inner = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar { text, quoted: true } => format!("{text:?}"),
            Value::Scalar { text, .. } => text.clone(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|(_, item)| shown(item)).collect::<Vec<_>>().join(" "))
            }
            Value::Map(entries) => {
                let entry =
                    |entry: &Entry| format!("{}@{}={}", entry.key, place(&entry.key_origin), shown(&entry.node));
                return format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "));
            }
        };
        format!("{inner}@{}", place(&node.origin))
    }

    #[test]
    fn scalars_stay_as_they_were_written_and_know_their_places() {
        for (source, tree) in [
            ("a: 5", "{a@1:1=5@1:4}"),
            ("a: 1.10\nb: 0x1F\n", "{a@1:1=1.10@1:4 b@2:1=0x1F@2:4}"),
            ("a: 007\r\nb: TRUE\r\n", "{a@1:1=007@1:4 b@2:1=TRUE@2:4}"),
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
            ("a: 1\nb: 2\na: 3\n", "t.yaml:3:1: a: this key stands here twice; keep one of the two"),
            ("a: 1\n---\nb: 2\n", "t.yaml:3:1: a second document begins here"),
            ("a:\n\tb: 1\n", "t.yaml:2:"),
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

    #[test]
    fn a_value_is_set_in_the_place_of_another_with_the_mappings_that_lead_to_it() {
        let mut root = parse("a: {b: 1, c: {x: 2}}\nd: 5\n").unwrap();
        let option = Origin::CommandLine { option: "--o".into() };
        for (key, text) in [("a.b", "7"), ("a.c", "8"), ("e.f", "9"), ("d.no.mapping", "10")] {
            root.set(&path_steps(key), Node::text(text, option.clone()));
        }
        assert_eq!(
            shown(&root),
            "{a@1:1={b@1:5=7@option --o c@1:11=8@option --o} d@2:1=5@2:4 e@option --o={f@option --o=9@option --o}}"
        );
    }
}
