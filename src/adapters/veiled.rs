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

    /// A text of another's, without this value and without what stands for each of its references: a program repeats
    /// what it likes of an argument.
    #[must_use]
    pub fn veil(&self, text: &str) -> String {
        if !self.is_veiled() {
            return text.to_owned();
        }
        let mut hidden = self.references();
        hidden.push((&self.value, &self.told));
        hidden.retain(|(value, _)| value.chars().nth(SECRET_MIN - 1).is_some());
        // The longest first: one may be a part of another.
        hidden.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        hidden.iter().fold(text.to_owned(), |text, (value, told)| text.replace(value, told))
    }

    /// What stands for each reference of the text that is told.
    fn references(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        let (mut told, mut value) = (self.told.as_str(), self.value.as_str());
        while let Some((before, after)) = told.split_once("${") {
            if let Some(literal) = before.strip_suffix('$') {
                // Two characters that are no reference.
                let Some(rest) = value.strip_prefix(literal).and_then(|rest| rest.strip_prefix("${")) else { break };
                (told, value) = (after, rest);
                continue;
            }
            let (Some(end), Some(rest)) = (after.find('}'), value.strip_prefix(before)) else { break };
            let (name, next) = (&told[before.len()..before.len() + 2 + end + 1], &after[end + 1..]);
            // Up to what is written behind it, or to the end.
            let literal = next.split("${").next().unwrap_or_default().trim_end_matches('$');
            let stands = match literal {
                "" if next.is_empty() => rest.len(),
                "" => break, // two in a row: only both together are known
                literal if literal.len() == next.len() => rest.len().saturating_sub(literal.len()),
                literal => rest.find(literal).unwrap_or(rest.len()),
            };
            found.push((rest.get(..stands).unwrap_or(rest), name));
            (told, value) = (next, rest.get(stands..).unwrap_or_default());
        }
        found
    }
}

/// The shortest value that is taken for a secret, in characters: shorter ones are words and numbers.
const SECRET_MIN: usize = 6;

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

    #[test]
    fn what_stands_for_a_reference_is_hidden_wherever_a_program_repeats_it() {
        let table = [
            ("Key: hunter2", "Key: ${KEY}", "bad key hunter2", "bad key ${KEY}"),
            ("user:hunter2@host", "user:${KEY}@host", "{\"key\": \"hunter2\"}", "{\"key\": \"${KEY}\"}"),
            ("alice1 and hunter2.", "${NAME} and ${KEY}.", "hunter2, alice1", "${KEY}, ${NAME}"),
            ("${x} hunter2", "$${x} ${KEY}", "hunter2", "${KEY}"),
            ("alice1hunter2", "${NAME}${KEY}", "alice1hunter2!", "${NAME}${KEY}!"),
            ("-n 3", "-n ${COUNT}", "3 of 30", "3 of 30"),
            ("plain", "plain", "plain", "plain"),
        ];
        for (value, told, said, expected) in table {
            assert_eq!(Veiled::new(value, told).veil(said), expected, "{told}");
        }
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
