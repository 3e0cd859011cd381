use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Text that may refer to something secret: `X-Key: ${API_KEY}`.
///
/// The program uses its value. What is told, stored and compared is the text as it was written, with its references:
/// there is no `Display`, and `Debug` and `Serialize` give that text. Read from what was stored, the references are all
/// there is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Veiled {
    value: String,
    told: String,
}

impl Veiled {
    /// By this name a deserializer that knows both offers the two of them: the value, then the text that is told.
    pub const NAME: &'static str = "daybook::Veiled";

    /// A value, and what may be told of it.
    pub fn new(value: impl Into<String>, told: impl Into<String>) -> Self {
        Self { value: value.into(), told: told.into() }
    }

    /// What is used. It may be a secret.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What may be told of it.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Whether something stands behind references, and must not be told.
    #[must_use]
    pub fn is_veiled(&self) -> bool {
        self.value != self.told
    }

    /// A text of another's, without this value.
    #[must_use]
    pub fn veil(&self, text: &str) -> String {
        if self.is_veiled() && !self.value.is_empty() { text.replace(&self.value, &self.told) } else { text.to_owned() }
    }
}

/// Text without a reference.
impl<T: Into<String>> From<T> for Veiled {
    fn from(text: T) -> Self {
        let value = text.into();
        Self { told: value.clone(), value }
    }
}

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.told, f)
    }
}

impl Serialize for Veiled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.told)
    }
}

impl<'de> Deserialize<'de> for Veiled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = Veiled;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Veiled, D::Error> {
                String::deserialize(deserializer).map(Veiled::from)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut both: A) -> Result<Veiled, A::Error> {
                match (both.next_element()?, both.next_element()?) {
                    (Some(value), Some(told)) => Ok(Veiled { value, told }),
                    _ => Err(A::Error::custom("a value was offered without what may be told of it")),
                }
            }
        }
        deserializer.deserialize_newtype_struct(Self::NAME, Both)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::SeqDeserializer;

    use super::*;

    #[test]
    fn a_value_stands_in_nothing_that_is_told() {
        let both = SeqDeserializer::<_, serde::de::value::Error>::new(["Key: hunter2", "Key: ${KEY}"].into_iter());
        let veiled = Veiled::deserialize(Offered(both)).unwrap();
        assert_eq!((veiled.value(), veiled.told(), veiled.is_veiled()), ("Key: hunter2", "Key: ${KEY}", true));
        assert_eq!(format!("{veiled:?}"), "\"Key: ${KEY}\"");
        assert_eq!(serde_json::to_string(&veiled).unwrap(), "\"Key: ${KEY}\"");
        assert_eq!(veiled.veil("refused: Key: hunter2"), "refused: Key: ${KEY}");
        let stored: Veiled = serde_json::from_str("\"Key: ${KEY}\"").unwrap();
        assert_eq!((stored.value(), stored.told()), ("Key: ${KEY}", "Key: ${KEY}"));
    }

    /// Offers both, as the reader of the configuration does.
    struct Offered<D>(D);

    impl<'de, D: Deserializer<'de>> Deserializer<'de> for Offered<D> {
        type Error = D::Error;
        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_seq(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }
}
