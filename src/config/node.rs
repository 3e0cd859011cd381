//! Settings as a tree in which every value knows where it stands.
//!
//! Scalars stay text until a type asks for them: `TRUE` is a fine symbol, `007` a fine name, and a
//! value from the environment reads like one from the file.

use super::problem::Origin;

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
    /// A scalar as it was written; quoted, it is text and no number. `told` is what it was before values took the place
    /// of its references, and all that may be told where those can be secrets.
    Scalar { text: String, quoted: bool, told: Option<String> },
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
        Self { value: Value::Scalar { text: text.into(), quoted: false, told: None }, origin }
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
        if let (Value::Map(entries), Step::Key(key)) = (&mut self.value, step) {
            let mut entry = taken_out(entries, key).unwrap_or_else(|| Entry {
                key: key.clone(),
                key_origin: node.origin.clone(),
                node: Self { value: Value::Null, origin: node.origin.clone() },
            });
            if rest.is_empty() {
                entry.key_origin = node.origin.clone();
            }
            entry.node.set(rest, node);
            entries.push(entry);
        }
    }

    /// Lays the values of a stronger layer over these: mappings key by key, anything else as a whole. A section
    /// that the stronger layer names and leaves empty stays as it is.
    pub(super) fn overlay(&mut self, stronger: Self) {
        match (&mut self.value, stronger.value) {
            (Value::Map(entries), Value::Map(over)) => {
                for mut above in over {
                    if let Some(mut below) = taken_out(entries, &above.key) {
                        below.node.overlay(above.node);
                        above.node = below.node;
                    }
                    entries.push(above);
                }
            }
            (Value::Map(_), Value::Null) => {}
            (_, value) => *self = Self { value, origin: stronger.origin },
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

/// Takes an entry out of a mapping, to be put back behind the others: they stand in the order of their layers.
fn taken_out(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let place = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(place))
}

/// The entries of the strongest layer among a mapping's: where one of several keys is chosen, a stronger layer chooses
/// anew.
pub(super) fn of_the_strongest_layer(entries: &[Entry]) -> &[Entry] {
    let Some(last) = entries.last() else { return entries };
    let weaker = entries.iter().rposition(|entry| !entry.key_origin.is_of_the_layer_of(&last.key_origin));
    entries.get(weaker.map_or(0, |place| place + 1)..).unwrap_or(entries)
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::yaml;
    use super::*;

    fn parse(source: &str) -> Node {
        parsed(source, "t.yaml")
    }

    fn parsed(source: &str, file: &str) -> Node {
        yaml::parse(source, &Arc::from(Path::new(file))).unwrap_or_else(|problems| panic!("{problems:?}")).root
    }

    /// The tree as one line, with places: `a@1:1=5@1:4`; text that was quoted is shown quoted.
    pub(in super::super) fn shown(node: &Node) -> String {
        let place = |origin: &Origin| origin.to_string().trim_start_matches("t.yaml:").to_owned();
        let inner = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar { text, quoted: true, .. } => format!("{text:?}"),
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
    fn a_value_is_set_in_the_place_of_another_with_the_mappings_that_lead_to_it() {
        let mut root = parse("a: {b: 1, c: {x: 2}}\nd: 5\n");
        let option = Origin::CommandLine { option: "--o".into() };
        for (key, text) in [("a.b", "7"), ("a.c", "8"), ("e.f", "9"), ("d.no.mapping", "10")] {
            root.set(&path_steps(key), Node::text(text, option.clone()));
        }
        assert_eq!(
            shown(&root),
            "{a@1:1={b@option --o=7@option --o c@option --o=8@option --o} e@option --o={f@option --o=9@option --o} d@2:1=5@2:4}"
        );
    }

    #[test]
    fn a_stronger_layer_is_laid_over_key_by_key() {
        let mut root = parse("a: {b: 1, c: [1, 2]}\nd: {x: 5}\n");
        root.overlay(parsed("a: {c: [3], e: 4}\nd:\nf: 6\n", "p"));
        assert_eq!(
            shown(&root),
            "{a@p:1:1={b@1:5=1@1:8 c@p:1:5=[3@p:1:9]@p:1:8 e@p:1:13=4@p:1:16} d@p:2:1={x@2:5=5@2:8} f@p:3:1=6@p:3:4}"
        );
    }

    #[test]
    fn of_several_choices_the_strongest_layer_s_are_left() {
        let mut root = parse("{atr: 2, range: 1}");
        let chosen = |root: &Node| match &root.value {
            Value::Map(entries) => of_the_strongest_layer(entries).iter().map(|entry| entry.key.clone()).collect(),
            _ => Vec::new(),
        };
        assert_eq!(chosen(&root), ["atr", "range"], "in one file both stand: a person is asked which");
        root.overlay(parsed("percent: 1%", "p"));
        assert_eq!(chosen(&root), ["percent"]);
        root.set(&path_steps("atr"), Node::text("3", Origin::Environment { variable: "V".into() }));
        assert_eq!(chosen(&root), ["atr"]);
    }
}
