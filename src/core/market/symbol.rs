use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest symbol, in characters: option symbols (OCC, 21) are not traded here; the longest
/// share and pair symbols in use have 12.
const LENGTH_MAX: usize = 15;

/// A traded instrument's name, such as `AAPL` or `BRK.B`: 1 to 15 of `A-Z 0-9 . - /`, copied freely.
///
/// Zeros follow the characters, and how many they are stands last: compared as one number, symbols are in the order of
/// their text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol([u8; LENGTH_MAX + 1]);

/// Text that is no symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a symbol: expected 1 to 15 of A-Z, 0-9, '.', '-' and '/', such as AAPL or BRK.B")]
pub struct SymbolError {
    /// What was read, or its beginning.
    pub text: String,
}

/// Characters of what was read that an error repeats.
const SHOWN_MAX: usize = 60;

impl SymbolError {
    fn of(input: &str) -> Self {
        let cut = input.char_indices().nth(SHOWN_MAX).and_then(|(end, _)| input.get(..end));
        Self { text: cut.map_or_else(|| input.to_owned(), |cut| format!("{cut}…")) }
    }
}

impl Symbol {
    /// The symbol's characters, each of one byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let Self([text @ .., length]) = self;
        &text[..usize::from(*length)] // no longer than the text
    }

    /// The symbol's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;
    /// Reads a symbol; lower case is accepted and raised.
    fn from_str(input: &str) -> Result<Self, SymbolError> {
        let error = || SymbolError::of(input);
        if input.is_empty() || input.len() > LENGTH_MAX {
            return Err(error());
        }
        let mut symbol = Self([0; LENGTH_MAX + 1]);
        let Self([text @ .., length]) = &mut symbol;
        for (slot, byte) in text.iter_mut().zip(input.bytes()) {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/')) {
                return Err(error());
            }
            *slot = byte.to_ascii_uppercase();
        }
        *length = u8::try_from(input.len()).map_err(|_| error())?;
        Ok(symbol)
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
