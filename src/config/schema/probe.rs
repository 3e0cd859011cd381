//! Asks a type what it reads.
//!
//! A type that implements `Deserialize` says what it wants in the calls it makes: a struct with these fields, an enum
//! with these words, a list. The probe walks one way into the type at a time and notes what is asked for at its end.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The deepest way into a type: the settings have five levels.
const DEPTH_MAX: usize = 12;

/// What a type reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Bool,
    Integer {
        min: i128,
        max: i128,
    },
    Number,
    Text,
    Secret,
    Percentage,
    Span,
    Decimal,
    /// A word of an enum that stands alone.
    Unit,
    Optional(Box<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>),
    Struct(Vec<(&'static str, Shape)>),
    /// One of an enum's words, with its content.
    Choice(Vec<(&'static str, Shape)>),
    /// Anything, as far as can be told.
    Any,
}

impl Shape {
    /// Whether it is a secret, set or not.
    pub(super) fn is_secret(&self) -> bool {
        match self {
            Self::Secret => true,
            Self::Optional(inner) => inner.is_secret(),
            _ => false,
        }
    }
}

/// What `T` reads.
pub(super) fn shape_of<T: DeserializeOwned>() -> Shape {
    shape_at(&|probe| T::deserialize(probe).err(), &mut Vec::new())
}

/// One step into a type.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Field(&'static str),
    Word(&'static str),
    Inside,
}

/// What a type asked for at the end of the way.
enum Asked {
    Leaf(Shape),
    Inside(fn(Box<Shape>) -> Shape),
    Fields(&'static [&'static str]),
    Words(&'static [&'static str]),
}

fn shape_at(ask: &dyn Fn(Probe<'_>) -> Option<Stop>, way: &mut Vec<Turn>) -> Shape {
    let asked = RefCell::new(None);
    // What was asked for is noted on the way; the answer is always to stop.
    let _ = ask(Probe { way, asked: &asked, name: "" });
    let mut follow = |turn| {
        way.push(turn);
        let shape = if way.len() > DEPTH_MAX { Shape::Any } else { shape_at(ask, way) };
        way.pop();
        shape
    };
    match asked.into_inner() {
        None => Shape::Any,
        Some(Asked::Leaf(shape)) => shape,
        Some(Asked::Inside(around)) => around(Box::new(follow(Turn::Inside))),
        Some(Asked::Fields(names)) => {
            Shape::Struct(names.iter().map(|name| (*name, follow(Turn::Field(name)))).collect())
        }
        Some(Asked::Words(names)) => {
            Shape::Choice(names.iter().map(|name| (*name, follow(Turn::Word(name)))).collect())
        }
    }
}

/// The end of every walk.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the probe has seen enough")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Stands in the place of a document.
#[derive(Clone, Copy)]
struct Probe<'a> {
    /// The rest of the way.
    way: &'a [Turn],
    asked: &'a RefCell<Option<Asked>>,
    /// The name of the type that is asked, where it is known.
    name: &'static str,
}

impl<'a> Probe<'a> {
    /// Notes what is asked for, where the way ends; the way's next turn and what is behind it, where it goes on.
    fn step(self, asked: Asked) -> Result<(Turn, Self), Stop> {
        match self.way {
            [] => {
                self.asked.borrow_mut().get_or_insert(asked);
                Err(Stop)
            }
            [turn, rest @ ..] => Ok((*turn, Self { way: rest, ..self })),
        }
    }

    fn leaf<T>(self, shape: Shape) -> Result<T, Stop> {
        self.step(Asked::Leaf(shape)).and(Err(Stop))
    }

    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Whether the type that is asked, or that it holds, has this name.
    fn is(self, name: &str) -> bool {
        let name_of = self.name.trim_end_matches('>').split('<').next_back().unwrap_or_default();
        name_of.rsplit("::").next() == Some(name)
    }

    fn text(self) -> Shape {
        if self.name.contains("SecretBox<") {
            Shape::Secret
        } else if self.is("Bps") {
            Shape::Percentage
        } else if self.is("Span") {
            Shape::Span
        } else {
            Shape::Text
        }
    }
}

macro_rules! integers {
    ($($method:ident $type:ty),+) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            self.leaf(Shape::Integer { min: i128::from(<$type>::MIN), max: i128::from(<$type>::MAX) })
        }
    )+};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let expected = (&visitor as &dyn de::Expected).to_string();
        self.leaf(if expected.contains("decimal") { Shape::Decimal } else { Shape::Any })
    }

    fn deserialize_bool<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.leaf(Shape::Bool)
    }

    integers! {
        deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32, deserialize_i64 i64,
        deserialize_u8 u8, deserialize_u16 u16, deserialize_u32 u32, deserialize_u64 u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.leaf(Shape::Number)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.leaf(Shape::Number)
    }

    fn deserialize_str<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.leaf(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.leaf(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (_, inside) = self.step(Asked::Inside(Shape::Optional))?;
        visitor.visit_some(inside)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (_, inside) = self.step(Asked::Inside(Shape::List))?;
        visitor.visit_seq(Once { key: None, inside: Some(inside) })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (_, inside) = self.step(Asked::Inside(Shape::Map))?;
        visitor.visit_map(Once { key: Some("KEY"), inside: Some(inside) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.step(Asked::Fields(fields))? {
            (Turn::Field(name), inside) => visitor.visit_map(Once { key: Some(name), inside: Some(inside) }),
            (Turn::Word(_) | Turn::Inside, _) => Err(Stop),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.step(Asked::Words(words))? {
            (Turn::Word(word), inside) => visitor.visit_enum(Word { word, inside }),
            (Turn::Field(_) | Turn::Inside, _) => Err(Stop),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// A mapping or a list of one value.
struct Once<'a> {
    key: Option<&'static str>,
    inside: Option<Probe<'a>>,
}

impl<'de> MapAccess<'de> for Once<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
        self.key.take().map(|key| seed.deserialize(StrDeserializer::<Stop>::new(key))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let inside = self.inside.take().ok_or(Stop)?;
        seed.deserialize(inside.named(std::any::type_name::<S::Value>()))
    }
}

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
        let Some(inside) = self.inside.take() else { return Ok(None) };
        seed.deserialize(inside.named(std::any::type_name::<S::Value>())).map(Some)
    }
}

/// A word of an enum and its content.
struct Word<'a> {
    word: &'static str,
    inside: Probe<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Word<'a> {
    type Error = Stop;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Stop> {
        Ok((seed.deserialize(StrDeserializer::<Stop>::new(self.word))?, Content(self.inside)))
    }
}

struct Content<'a>(Probe<'a>);

impl<'de> de::VariantAccess<'de> for Content<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        self.0.leaf(Shape::Unit)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(self.0.named(std::any::type_name::<S::Value>()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Stop> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use daybook_core::money::{Bps, Money};
    use daybook_core::time::Span;
    use secrecy::SecretString;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Sample {
        on: bool,
        count: u8,
        loss: Money,
        share: Option<Bps>,
        every: Vec<Span>,
        #[serde(skip_serializing)]
        key: Option<SecretString>,
        names: BTreeMap<String, String>,
        feed: Feed,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Feed {
        #[default]
        Simulated,
        Files(Vec<String>),
        Ranged {
            from: u32,
        },
    }

    #[test]
    fn a_type_says_what_it_reads() {
        let list = |shape| Shape::List(Box::new(shape));
        let optional = |shape| Shape::Optional(Box::new(shape));
        let expected = Shape::Struct(vec![
            ("on", Shape::Bool),
            ("count", Shape::Integer { min: 0, max: 255 }),
            ("loss", Shape::Decimal),
            ("share", optional(Shape::Percentage)),
            ("every", list(Shape::Span)),
            ("key", optional(Shape::Secret)),
            ("names", Shape::Map(Box::new(Shape::Text))),
            (
                "feed",
                Shape::Choice(vec![
                    ("simulated", Shape::Unit),
                    ("files", list(Shape::Text)),
                    ("ranged", Shape::Struct(vec![("from", Shape::Integer { min: 0, max: i128::from(u32::MAX) })])),
                ]),
            ),
        ]);
        assert_eq!(shape_of::<Sample>(), expected);
        assert_eq!(Sample::default().key.map(|_| ()), None);
    }
}
