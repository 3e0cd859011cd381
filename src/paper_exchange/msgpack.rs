//! MessagePack, as far as the streams speak it: what JSON can hold, and instants.
//!
//! Source of the format: the specification at github.com/msgpack/msgpack.

use chrono::DateTime;
use serde_json::{Map, Number, Value};

/// The extension type of an instant.
const TIMESTAMP: u8 = 0xff;

/// How deep a message may be nested.
const DEPTH_MAX: u32 = 16;

/// A value's bytes. Text under `t`, `created_at` and `updated_at` is an instant and becomes one.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, value);
    out
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Number(number) => put_number(out, number),
        Value::String(text) => put_text(out, text),
        Value::Array(items) => {
            out.push(0xdd);
            put_length(out, items.len());
            items.iter().for_each(|item| put(out, item));
        }
        Value::Object(fields) => {
            out.push(0xdf);
            put_length(out, fields.len());
            for (name, value) in fields {
                put_text(out, name);
                match (name.as_str(), value) {
                    ("t" | "created_at" | "updated_at", Value::String(text)) => put_instant(out, text),
                    _ => put(out, value),
                }
            }
        }
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(value) = number.as_i64() {
        out.push(0xd3);
        out.extend(value.to_be_bytes());
    } else if let Some(value) = number.as_u64() {
        out.push(0xcf);
        out.extend(value.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(0xdb);
    put_length(out, text.len());
    out.extend(text.as_bytes());
}

fn put_instant(out: &mut Vec<u8>, text: &str) {
    let Ok(instant) = DateTime::parse_from_rfc3339(text) else { return put_text(out, text) };
    out.extend([0xc7, 12, TIMESTAMP]);
    out.extend(instant.timestamp_subsec_nanos().to_be_bytes());
    out.extend(instant.timestamp().to_be_bytes());
}

/// Reads one value; `None` for what is cut short or no JSON could hold.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    take(&mut rest, 0)
}

fn take(rest: &mut &[u8], depth: u32) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let [head] = take_bytes::<1>(rest)?;
    Some(match head {
        0x00..=0x7f => head.into(),
        0x80..=0x8f => take_map(rest, usize::from(head & 0x0f), depth)?,
        0x90..=0x9f => take_array(rest, usize::from(head & 0x0f), depth)?,
        0xa0..=0xbf => take_text(rest, usize::from(head & 0x1f))?,
        0xc0 => Value::Null,
        0xc2 => false.into(),
        0xc3 => true.into(),
        0xca => f32::from_be_bytes(take_bytes(rest)?).into(),
        0xcb => f64::from_be_bytes(take_bytes(rest)?).into(),
        0xcc | 0xd9 | 0xc4 => {
            let value = u8::from_be_bytes(take_bytes(rest)?);
            if head == 0xcc { value.into() } else { take_text(rest, usize::from(value))? }
        }
        0xcd | 0xda | 0xc5 => {
            let value = u16::from_be_bytes(take_bytes(rest)?);
            if head == 0xcd { value.into() } else { take_text(rest, usize::from(value))? }
        }
        0xce | 0xdb | 0xc6 => {
            let value = u32::from_be_bytes(take_bytes(rest)?);
            if head == 0xce { value.into() } else { take_text(rest, usize::try_from(value).ok()?)? }
        }
        0xcf => u64::from_be_bytes(take_bytes(rest)?).into(),
        0xd0 => i8::from_be_bytes(take_bytes(rest)?).into(),
        0xd1 => i16::from_be_bytes(take_bytes(rest)?).into(),
        0xd2 => i32::from_be_bytes(take_bytes(rest)?).into(),
        0xd3 => i64::from_be_bytes(take_bytes(rest)?).into(),
        0xdc => {
            let length = u16::from_be_bytes(take_bytes(rest)?);
            take_array(rest, usize::from(length), depth)?
        }
        0xdd => {
            let length = u32::from_be_bytes(take_bytes(rest)?);
            take_array(rest, usize::try_from(length).ok()?, depth)?
        }
        0xde => {
            let length = u16::from_be_bytes(take_bytes(rest)?);
            take_map(rest, usize::from(length), depth)?
        }
        0xdf => {
            let length = u32::from_be_bytes(take_bytes(rest)?);
            take_map(rest, usize::try_from(length).ok()?, depth)?
        }
        0xe0..=0xff => i8::from_be_bytes([head]).into(),
        0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return None,
    })
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_bytes<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take_slice(rest, N)?.try_into().ok()
}

fn take_text(rest: &mut &[u8], length: usize) -> Option<Value> {
    Some(std::str::from_utf8(take_slice(rest, length)?).ok()?.into())
}

fn take_array(rest: &mut &[u8], length: usize, depth: u32) -> Option<Value> {
    // Not sized by what the sender claims: it ends with the bytes.
    let mut items = Vec::new();
    for _ in 0..length {
        items.push(take(rest, depth + 1)?);
    }
    Some(Value::Array(items))
}

fn take_map(rest: &mut &[u8], length: usize, depth: u32) -> Option<Value> {
    let mut fields = Map::new();
    for _ in 0..length {
        let Value::String(name) = take(rest, depth + 1)? else { return None };
        fields.insert(name, take(rest, depth + 1)?);
    }
    Some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let value =
            json!([{"T": "b", "S": "AAPL", "o": 1.5, "v": 12, "n": -3, "big": u64::MAX, "c": [null, true, false]}]);
        assert_eq!(decode(&encode(&value)), Some(value));
    }

    #[test]
    fn the_short_forms_of_clients_are_read() {
        // {"action": "auth", "n": -1, "l": [1, 300]}
        let bytes = b"\x83\xa6action\xa4auth\xa1n\xff\xa1l\x92\x01\xcd\x01\x2c";
        assert_eq!(decode(bytes), Some(json!({"action": "auth", "n": -1, "l": [1, 300]})));
    }

    #[test]
    fn an_instant_is_an_extension() {
        let bytes = encode(&json!({"t": "1970-01-01T00:00:01.5Z"}));
        let expected = b"\xdf\0\0\0\x01\xdb\0\0\0\x01t\xc7\x0c\xff\x1d\xcd\x65\0\0\0\0\0\0\0\0\x01";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_cut_short_or_too_deep_is_refused() {
        let whole = encode(&json!({"a": ["text", 1.0]}));
        for end in 0..whole.len() {
            assert_eq!(decode(whole.get(..end).unwrap()), None, "{end}");
        }
        assert_eq!(decode(&[0x91; 100]), None);
        assert_eq!(decode(b"\xdd\xff\xff\xff\xff"), None);
    }
}
