//! The gateway's frames: a length, a message's number, and fields as protocol buffers write them.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What is added to a message's number where its fields are protocol buffers.
const PROTOBUF: i32 = 200;

/// Fields on their way out.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(mut self, tag: u64, bytes: &[u8]) -> Self {
        self.varint(tag << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn int(mut self, tag: u64, value: i64) -> Self {
        self.varint(tag << 3);
        self.varint(value as u64);
        self
    }

    pub fn double(mut self, tag: u64, value: f64) -> Self {
        self.varint(tag << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn some_double(self, tag: u64, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.double(tag, value),
            None => self,
        }
    }

    pub fn text(self, tag: u64, text: impl ToString) -> Self {
        self.bytes(tag, text.to_string().as_bytes())
    }

    pub fn message(self, tag: u64, message: &Self) -> Self {
        self.bytes(tag, &message.0)
    }

    /// The frame of a message of this number.
    pub fn frame(&self, number: i32) -> Vec<u8> {
        let mut payload = (number + PROTOBUF).to_be_bytes().to_vec();
        payload.extend_from_slice(&self.0);
        framed(&payload)
    }
}

/// Bytes behind their length.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

/// Reads what a frame holds; `None` at the end of the connection.
pub async fn payload(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u32().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        length => length?,
    };
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Some(payload))
}

/// Fields that came in.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(u64, Value)>);

#[derive(Debug, Clone)]
enum Value {
    Int(u64),
    Double(f64),
    Bytes(Vec<u8>),
}

impl Fields {
    /// A request: its number and its fields.
    pub fn request(payload: &[u8]) -> (i32, Self) {
        let number = i32::from_be_bytes(payload[..4].try_into().unwrap()) - PROTOBUF;
        (number, Self::of(&payload[4..]))
    }

    fn of(mut bytes: &[u8]) -> Self {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let (byte, rest) = bytes.split_first().unwrap();
                *bytes = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Int(varint(&mut bytes)),
                1 => {
                    let (double, rest) = bytes.split_at(8);
                    bytes = rest;
                    Value::Double(f64::from_le_bytes(double.try_into().unwrap()))
                }
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    let (taken, rest) = bytes.split_at(length);
                    bytes = rest;
                    Value::Bytes(taken.to_vec())
                }
                other => panic!("a field of wire type {other}"),
            };
            fields.push((key >> 3, value));
        }
        Self(fields)
    }

    fn field(&self, tag: u64) -> Option<&Value> {
        self.0.iter().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    pub fn int(&self, tag: u64) -> Option<i64> {
        match self.field(tag)? {
            Value::Int(value) => Some(*value as i64),
            other => panic!("field {tag} is {other:?}"),
        }
    }

    pub fn number(&self, tag: u64) -> i32 {
        self.int(tag).map_or(0, |value| i32::try_from(value).unwrap())
    }

    pub fn double(&self, tag: u64) -> Option<f64> {
        match self.field(tag)? {
            Value::Double(value) => Some(*value),
            other => panic!("field {tag} is {other:?}"),
        }
    }

    pub fn text(&self, tag: u64) -> String {
        match self.field(tag) {
            Some(Value::Bytes(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
            Some(other) => panic!("field {tag} is {other:?}"),
            None => String::new(),
        }
    }

    pub fn message(&self, tag: u64) -> Self {
        match self.field(tag) {
            Some(Value::Bytes(bytes)) => Self::of(bytes),
            Some(other) => panic!("field {tag} is {other:?}"),
            None => Self::default(),
        }
    }
}
