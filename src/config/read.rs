//! Reads a typed value out of a tree, and goes on after a mistake.
//!
//! serde stops at the first error. Here the faulty value is noted, taken out of the tree, and the
//! rest is read again: a person sees everything that is wrong at once.

use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{Node, Step, Value, of_the_strongest_layer, path_text};
use super::problem::{Origin, Problem, alternatives, suggestion, variable_of};
use super::reference::may_be_secret;
use crate::adapters::Veiled;

/// Most problems that are counted in one document: to find each, all of it is read again.
const PROBLEMS_MAX: usize = 1_000;

/// What is expected of values whose types say it in words that are not ours.
const EXPECTED: [(&str, &str); 5] = [
    ("notifications.quiet_hours.from", "a wall time such as 22:00, or null"),
    ("notifications.quiet_hours.until", "a wall time such as 07:00, or null"),
    ("notifications.quiet_hours.zone", "a time zone such as America/New_York or UTC"),
    ("risk.entry_order", "market, or {limit: {offset: 0.1%}}"),
    (
        "risk.sizing",
        "risk_per_trade, {fixed: 100}, {equity: 5%}, {volatility: 0.5%} or {kelly: {fraction: 25%, cap: 1%, trades: 50}}",
    ),
];

/// Sections that other programs have, and where what they say stands here.
const ELSEWHERE: [(&str, &str); 9] = [
    ("broker", "who holds the account is said by execution.broker, and its terms by execution.paper, alpaca or ibkr"),
    ("data", "where bars and quotes come from is said by market.feed, and the rest by market, alpaca or ibkr"),
    ("feed", "where bars and quotes come from is said by market.feed"),
    (
        "news",
        "what news count for is said by scan.news_weight, analysis.news_half_life and strategies.composite.news_weight",
    ),
    ("schedule", "when something happens is said by the files of the jobs; docs/configuration.md, \"When it works\""),
    ("session", "when something happens is said by the files of the jobs, and who begins it by session_mode"),
    ("strategy", "strategies stand in strategies, by their names"),
    (
        "symbols",
        "the symbols to scan are said by alpaca.symbols; those of files and of the simulated market are all scanned",
    ),
    ("universe", "the symbols to scan are said by alpaca.symbols, and which of them are let through by scan"),
];

/// The longest piece of a wrong value that a message repeats, in characters.
const SHOWN_MAX: usize = 60;

/// Reads a `T` and tells everything that is wrong. What is wrong has been taken out of the tree;
/// without it there may be no `T`.
///
/// `keys` are the paths of all keys there are: a key in the wrong section is told where it belongs.
pub(super) fn read<T: DeserializeOwned>(root: &mut Node, keys: &[String]) -> (Option<T>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut removed: Vec<Vec<Step>> = Vec::new();
    while removed.len() < PROBLEMS_MAX {
        match T::deserialize(Reader { node: root }) {
            Ok(value) => return (Some(value), problems),
            Err(fault) => {
                let path: Vec<Step> = fault.path.iter().rev().cloned().collect();
                // What is wrong around a value that was taken out may come of that.
                if !removed.iter().any(|inner| inner.starts_with(&path)) {
                    problems.push(fault.kind.describe(root, &path, keys));
                }
                if root.remove(&path).is_none() {
                    break;
                }
                removed.push(path);
            }
        }
    }
    if removed.len() == PROBLEMS_MAX {
        let message = "more may be wrong than was counted; mend what is told first".to_owned();
        problems.push(Problem { origin: root.origin.clone(), key: String::new(), message });
    }
    (None, problems)
}

/// A mistake and the way to it, from the inside out.
#[derive(Debug)]
struct Fault {
    path: Vec<Step>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The message of a type that reads itself.
    Told(String),
    Wrong {
        found: String,
        expected: String,
    },
    UnknownKey {
        known: &'static [&'static str],
    },
    UnknownWord {
        word: String,
        known: &'static [&'static str],
    },
    Absent {
        key: &'static str,
    },
}

impl Kind {
    fn describe(&self, root: &Node, path: &[Step], keys: &[String]) -> Problem {
        let origin = match self {
            Self::UnknownKey { .. } => root.key_origin(path),
            _ => root.origin_near(path),
        };
        let expected_here = EXPECTED.iter().find(|(key, _)| *key == path_text(path)).map(|(_, expected)| *expected);
        let message = match self {
            Self::Told(_) | Self::Wrong { .. } if expected_here.is_some() => {
                let found = root.at(path).map_or_else(|| "nothing".to_owned(), |node| Reader { node }.found());
                format!("found {found}; expected {}", expected_here.unwrap_or_default())
            }
            Self::Told(message) => message.clone(),
            Self::Wrong { found, expected } => format!("found {found}; expected {expected}"),
            Self::UnknownKey { known } => unknown_key(origin, path, known, keys),
            Self::UnknownWord { word, known } => {
                let meant = suggestion(word, known.iter().copied())
                    .map_or(String::new(), |word| format!("; did you mean \"{word}\"?"));
                format!("unknown word \"{}\"; expected {}{meant}", shortened(word), alternatives(known))
            }
            Self::Absent { key } => format!("the key \"{key}\" is missing; add it"),
        };
        let message = match root.at(path).map(|node| &node.value) {
            // What was cut is not found by who looks for the whole value.
            Some(Value::Scalar { text, told: Some(told), .. }) if may_be_secret(text) => {
                message.replace(&shortened(text), &shortened(told))
            }
            _ => message,
        };
        Problem { origin: origin.clone(), key: path_text(path), message }
    }
}

fn unknown_key(origin: &Origin, path: &[Step], known: &[&str], keys: &[String]) -> String {
    let Some((Step::Key(word), around)) = path.split_last() else {
        return "unknown key; remove it".to_owned();
    };
    let around = path_text(around);
    let prefix = if around.is_empty() { String::new() } else { format!("{around}.") };
    if let Some((_, told)) = ELSEWHERE.iter().find(|(section, _)| around.is_empty() && section == word) {
        return format!("unknown key; {told}");
    }
    // Far from where it stands only the very word is meant.
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let is_meant = |key: &&String| key.rsplit('.').next().is_some_and(|last| plain(last) == plain(word));
    let elsewhere = || keys.iter().find(is_meant).cloned();
    let name = |key: &str| match origin {
        Origin::Environment { .. } => variable_of(key),
        _ => key.strip_prefix(&prefix).unwrap_or(key).to_owned(),
    };
    let meant = suggestion(word, known.iter().copied()).map(|key| format!("{prefix}{key}")).or_else(elsewhere);
    match meant {
        Some(key) => format!("unknown key; did you mean \"{}\"?", name(&key)),
        None => format!("unknown key; expected {}; remove or correct it", alternatives(known)),
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self { path: Vec::new(), kind }
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Told(message.to_string()))
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Kind::Wrong { found: named(found), expected: expected.to_string() })
    }
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(Kind::Wrong { found: format!("{length} values"), expected: expected.to_string() })
    }
    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey { known })
    }
    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord { word: word.to_owned(), known })
    }
    fn missing_field(key: &'static str) -> Self {
        Self::new(Kind::Absent { key })
    }
}

fn named(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(value) => value.to_string(),
        de::Unexpected::Unsigned(value) => value.to_string(),
        de::Unexpected::Signed(value) => value.to_string(),
        de::Unexpected::Float(value) => value.to_string(),
        de::Unexpected::Str(text) => format!("\"{}\"", shortened(text)),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// Offers a value of the tree to serde.
struct Reader<'a> {
    node: &'a Node,
}

impl Reader<'_> {
    fn found(&self) -> String {
        match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar { text, told: Some(told), .. } if may_be_secret(text) => format!("\"{}\"", shortened(told)),
            Value::Scalar { text, quoted: false, .. } if text.is_empty() => "nothing".to_owned(),
            Value::Scalar { text, quoted: true, .. } => format!("\"{}\"", shortened(text)),
            Value::Scalar { text, quoted: false, .. } => shortened(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    fn wrong(&self, expected: impl Into<String>) -> Fault {
        Fault::new(Kind::Wrong { found: self.found(), expected: expected.into() })
    }

    /// What is wrong with a scalar that should be a number or a boolean; quotes make text of it.
    fn wrong_plain(&self, expected: impl fmt::Display) -> Fault {
        let quotes = matches!(self.node.value, Value::Scalar { quoted: true, .. });
        self.wrong(format!("{expected}{}", if quotes { ", without quotes" } else { "" }))
    }

    /// The text of a scalar without quotes, which alone can be a number or a boolean.
    fn plain(&self) -> Option<&str> {
        match &self.node.value {
            Value::Scalar { text, quoted: false, .. } => Some(text),
            _ => None,
        }
    }
}

/// A plain scalar as a float: only what begins like a number, and is finite.
fn float(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['-', '+', '.']);
    let number: f64 = text.parse().ok()?;
    (digits.starts_with(|c: char| c.is_ascii_digit()) && number.is_finite()).then_some(number)
}

/// Whether a float holds every digit that was typed: 15 always fit.
fn fits_a_float(text: &str) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() <= 15
}

macro_rules! read_integer {
    ($($method:ident $visit:ident $type:ty),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.plain().map(str::parse::<$type>) {
                Some(Ok(value)) => visitor.$visit(value),
                _ => Err(self.wrong_plain(format_args!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX))),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Scalar { text, quoted: true, .. } => visitor.visit_str(text),
            Value::Scalar { text, quoted: false, .. } => {
                if let Ok(value) = text.parse::<bool>() {
                    visitor.visit_bool(value)
                } else if let Ok(value) = text.parse::<i64>() {
                    visitor.visit_i64(value)
                } else if let Some(value) = float(text).filter(|_| fits_a_float(text)) {
                    visitor.visit_f64(value)
                } else {
                    visitor.visit_str(text)
                }
            }
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.plain().map(str::parse) {
            Some(Ok(value)) => visitor.visit_bool(value),
            _ => Err(self.wrong_plain("true or false")),
        }
    }

    read_integer! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.plain().and_then(float) {
            Some(value) => visitor.visit_f64(value),
            None => Err(self.wrong_plain("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Scalar { text, .. } => visitor.visit_str(text),
            _ => Err(self.wrong((&visitor as &dyn de::Expected).to_string().replace("a string", "text"))),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            // A variable that is set to nothing.
            Value::Scalar { text, quoted: false, .. } if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Scalar { text, told: Some(told), .. } if name == Veiled::NAME => {
                visitor.visit_seq(SeqDeserializer::<_, Fault>::new([text.as_str(), told.as_str()].into_iter()))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items { rest: items.iter() }),
            _ => Err(self.wrong("a list, such as [A, B]")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
            // A section whose keys are all commented out.
            Value::Null => visitor.visit_map(Entries { rest: [].iter(), value: None }),
            _ => Err(self.wrong("a mapping of keys to values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Scalar { .. } => visitor.visit_enum(Word { reader: self }),
            Value::Map(entries) => match of_the_strongest_layer(entries) {
                [entry] => visitor.visit_enum(Variant { key: &entry.key, node: &entry.node }),
                _ => Err(self.wrong(format!("a mapping with exactly one of {}", alternatives(variants)))),
            },
            Value::Null | Value::List(_) => Err(self.wrong(alternatives(variants))),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, (usize, Node)>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((index, node)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(Reader { node }).map(Some).map_err(|fault| fault.within(Step::Item(*index)))
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, super::node::Entry>,
    value: Option<&'a super::node::Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(entry);
        let key = seed.deserialize(StrDeserializer::<Fault>::new(&entry.key));
        key.map(Some).map_err(|fault| fault.within(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let entry = self.value.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let value = seed.deserialize(Reader { node: &entry.node });
        value.map_err(|fault| fault.within(Step::Key(entry.key.clone())))
    }
}

/// A word that stands alone: a variant without content.
struct Word<'a> {
    reader: Reader<'a>,
}

impl<'de, 'a> de::EnumAccess<'de> for Word<'a> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let Value::Scalar { text, .. } = &self.reader.node.value else { return Err(self.reader.wrong("a word")) };
        Ok((seed.deserialize(StrDeserializer::<Fault>::new(text))?, self))
    }
}

impl Word<'_> {
    fn without_content(&self, content: &str) -> Fault {
        let word = self.reader.found();
        self.reader.wrong(format!("it with its content, such as {{{word}: {content}}}"))
    }
}

impl<'de> de::VariantAccess<'de> for Word<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Fault> {
        Err(self.without_content("..."))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(self.without_content("[...]"))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        let fields: Vec<String> = fields.iter().map(|field| format!("{field}: ...")).collect();
        Err(self.without_content(&format!("{{{}}}", fields.join(", "))))
    }
}

/// `{name: content}`, as an enum's variant with content is written.
struct Variant<'a> {
    key: &'a str,
    node: &'a Node,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Fault;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Fault> {
        let within = |fault: Fault| fault.within(Step::Key(self.key.to_owned()));
        let variant = seed.deserialize(StrDeserializer::<Fault>::new(self.key)).map_err(within)?;
        Ok((variant, Content { key: self.key, node: self.node }))
    }
}

struct Content<'a> {
    key: &'a str,
    node: &'a Node,
}

impl Content<'_> {
    fn within(&self, fault: Fault) -> Fault {
        fault.within(Step::Key(self.key.to_owned()))
    }
}

impl<'de> de::VariantAccess<'de> for Content<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.node.value {
            Value::Null => Ok(()),
            _ => Err(self.within(Reader { node: self.node }.wrong("nothing after this word"))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(Reader { node: self.node }).map_err(|fault| self.within(fault))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Reader { node: self.node }.deserialize_seq(visitor).map_err(|fault| self.within(fault))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        Reader { node: self.node }.deserialize_map(visitor).map_err(|fault| self.within(fault))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use daybook_core::market::Symbol;
    use daybook_core::money::{Bps, Money};
    use daybook_core::time::Span;
    use serde::Deserialize;

    use super::super::yaml;
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: String,
        count: u8,
        ratio: f64,
        on: bool,
        loss: Money,
        share: Bps,
        every: Option<Span>,
        symbols: Vec<Symbol>,
        feed: Feed,
        inner: Inner,
        table: BTreeMap<String, i64>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        max_daily_loss: Money,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Feed {
        #[default]
        Simulated,
        Files(Vec<String>),
        Ranged {
            from: u32,
        },
    }

    fn sample(source: &str) -> (Option<Sample>, Vec<String>) {
        let mut root =
            yaml::parse(source, &Arc::from(Path::new("t.yaml"))).unwrap_or_else(|problems| panic!("{problems:?}")).root;
        let (sample, problems) = read(&mut root, &["inner.max_daily_loss".to_owned()]);
        (sample, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let (read, problems) = sample(
            "name: 007\ncount: 5\nratio: 1e-3\non: true\nloss: 12345678901.12345678\nshare: 2.5%\nevery: 90s\n\
             symbols: [aapl, TRUE]\nfeed: {files: [a, b]}\ninner:\ntable: {x: -1}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let expected = Sample {
            name: "007".to_owned(),
            count: 5,
            ratio: 1e-3,
            on: true,
            loss: Money(1_234_567_890_112_345_678),
            share: Bps(250),
            every: Some(Span::seconds(90)),
            symbols: vec!["AAPL".parse().unwrap(), "TRUE".parse().unwrap()],
            feed: Feed::Files(vec!["a".to_owned(), "b".to_owned()]),
            inner: Inner::default(),
            table: BTreeMap::from([("x".to_owned(), -1)]),
        };
        assert_eq!(read, Some(expected));
        assert_eq!(sample("feed: {ranged: {from: 3}}").0.map(|sample| sample.feed), Some(Feed::Ranged { from: 3 }));
        assert_eq!(sample("every: ~").0.map(|sample| sample.every), Some(None));
    }

    #[test]
    fn everything_wrong_is_told_at_once_and_the_rest_is_read() {
        let (read, problems) = sample(
            "nmae: x\ncount: 300\nratio: .inf\non: yes\nloss: 1.123456789\nshare: 2\nevery: 90\nsymbols: [A, B C, 'D!', E]\n\
             feed: simulatd\ninner: {max_daily_los: 5, other: 1}\ntable: {x: y}\nmax_daily_loss: 3\nname: [1]\n",
        );
        let expected = [
            "t.yaml:1:1: nmae: unknown key; did you mean \"name\"?",
            "t.yaml:2:8: count: found 300; expected a whole number from 0 to 255",
            "t.yaml:3:8: ratio: found .inf; expected a number",
            "t.yaml:4:5: on: found yes; expected true or false",
            "t.yaml:5:7: loss: \"1.123456789\" is no amount of money: expected a decimal with at most 8 places, such as 12.34",
            "t.yaml:6:8: share: \"2\" is no percentage: expected a number with its sign and at most 2 places, such as 2%; write 2%",
            "t.yaml:7:8: every: \"90\" is not a length of time: expected whole numbers with d, h, m, s or ms, longest first, such as 90s, 5m, 1h30m or 7d; write 90s for seconds, 90m for minutes",
            "t.yaml:8:14: symbols[1]: \"B C\" is not a symbol: expected 1 to 15 of A-Z, 0-9, '.', '-' and '/', such as AAPL or BRK.B",
            "t.yaml:8:19: symbols[2]: \"D!\" is not a symbol: expected 1 to 15 of A-Z, 0-9, '.', '-' and '/', such as AAPL or BRK.B",
            "t.yaml:9:7: feed: unknown word \"simulatd\"; expected simulated, files or ranged; did you mean \"simulated\"?",
            "t.yaml:10:9: inner.max_daily_los: unknown key; did you mean \"max_daily_loss\"?",
            "t.yaml:10:27: inner.other: unknown key; expected max_daily_loss; remove or correct it",
            "t.yaml:11:12: table.x: found y; expected a whole number from -9223372036854775808 to 9223372036854775807",
            "t.yaml:12:1: max_daily_loss: unknown key; did you mean \"inner.max_daily_loss\"?",
            "t.yaml:13:7: name: found a list; expected text",
        ];
        assert_eq!(problems, expected);
        assert_eq!(read.map(|sample| sample.symbols.len()), Some(2));
    }

    #[test]
    fn a_word_without_its_content_and_the_section_of_another_program_are_told_with_what_is_meant() {
        let told = |source: &str| sample(source).1.concat();
        assert_eq!(
            told("feed: ranged"),
            "t.yaml:1:7: feed: found ranged; expected it with its content, such as {ranged: {from: ...}}"
        );
        assert!(told("broker: paper").contains("unknown key; who holds the account is said by execution.broker"));
        assert!(!told("schedule: {}").contains("did you mean") && !told("max_dailyloss: 1").contains("inner."));
    }

    #[test]
    fn a_thousand_mistakes_are_counted() {
        let many = |count: usize| (0..count).map(|i| format!("wrong{i}: 1\n")).collect::<String>();
        assert_eq!(sample(&many(900)).1.len(), 900);
        let (read, problems) = sample(&many(1_200));
        assert!(read.is_none() && problems.len() == 1_001 && problems[1_000].contains("more may be wrong"));
    }

    #[test]
    fn a_document_of_the_wrong_shape_is_told_once() {
        assert_eq!(
            sample("[1, 2]"),
            (None, vec!["t.yaml:1:1: found a list; expected a mapping of keys to values".to_owned()])
        );
        assert_eq!(sample("inner: 5").1, ["t.yaml:1:8: inner: found 5; expected a mapping of keys to values"]);
        assert_eq!(sample("symbols: A").1, ["t.yaml:1:10: symbols: found A; expected a list, such as [A, B]"]);
        assert_eq!(
            sample("feed: {files: [a], ranged: {}}").1,
            ["t.yaml:1:7: feed: found a mapping; expected a mapping with exactly one of simulated, files or ranged"]
        );
        assert_eq!(sample("feed: {ranged: {}}").1, ["t.yaml:1:16: feed.ranged: the key \"from\" is missing; add it"]);
    }
}
