//! Just enough of the ZIP format to read small archives, which is how LEAN keeps its bars.
//!
//! The list of an archive's files stands at its end; each is stored as it is or deflated, and checked against its sum.
//! Source: PKWARE, *.ZIP File Format Specification* (APPNOTE). Encryption and the 64-bit extension are left out.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

/// How an archive begins that holds at least one file.
pub(super) const MAGIC: [u8; 4] = *b"PK\x03\x04";

const LOCAL_HEADER: u32 = 0x0403_4b50;
const LOCAL_HEADER_BYTES: usize = 30;
const DIRECTORY_HEADER: u32 = 0x0201_4b50;
const DIRECTORY_HEADER_BYTES: usize = 46;
const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;

/// The longest comment behind the list.
const COMMENT_BYTES_MAX: usize = 65_535;

/// The largest file that is unpacked: a day of one symbol's minutes has less than a hundredth of it.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file in an archive.
pub(super) struct Entry {
    pub(super) name: String,
    is_encrypted: bool,
    method: u16,
    sum: u32,
    packed: u64,
    length: u64,
    header_at: u64,
}

/// The files of an archive.
pub(super) fn entries(archive: &mut (impl Read + Seek)) -> io::Result<Vec<Entry>> {
    let size = archive.seek(SeekFrom::End(0))?;
    let tail = size.min((COMMENT_BYTES_MAX + END_BYTES) as u64);
    archive.seek(SeekFrom::Start(size - tail))?;
    let mut end = Vec::new();
    archive.take(tail).read_to_end(&mut end)?;
    let at = end.windows(4).rposition(|window| window == END.to_le_bytes());
    let end = at.and_then(|at| end.get(at..)).ok_or_else(|| damaged("it has no list of its files"))?;
    let (count, bytes, start) = (u16_at(end, 10)?, u32_at(end, 12)?, u32_at(end, 16)?);
    archive.seek(SeekFrom::Start(start.into()))?;
    let mut list = Vec::new();
    archive.take(bytes.into()).read_to_end(&mut list)?;
    let (mut entries, mut rest) = (Vec::with_capacity(count.into()), list.as_slice());
    for _ in 0..count {
        if u32_at(rest, 0)? != DIRECTORY_HEADER {
            return Err(damaged("its list of files is cut short"));
        }
        let name = usize::from(u16_at(rest, 28)?);
        let after = DIRECTORY_HEADER_BYTES + name + usize::from(u16_at(rest, 30)?) + usize::from(u16_at(rest, 32)?);
        let name = rest.get(DIRECTORY_HEADER_BYTES..DIRECTORY_HEADER_BYTES + name).ok_or_else(cut_short)?;
        entries.push(Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            is_encrypted: u16_at(rest, 8)? & 1 == 1,
            method: u16_at(rest, 10)?,
            sum: u32_at(rest, 16)?,
            packed: u32_at(rest, 20)?.into(),
            length: u32_at(rest, 24)?.into(),
            header_at: u32_at(rest, 42)?.into(),
        });
        rest = rest.get(after..).ok_or_else(cut_short)?;
    }
    Ok(entries)
}

/// The bytes of a file of the archive.
pub(super) fn unpack(archive: &mut (impl Read + Seek), entry: &Entry) -> io::Result<Vec<u8>> {
    if entry.is_encrypted {
        return Err(damaged("it is encrypted: expected an archive without a password"));
    }
    if entry.length > FILE_BYTES_MAX {
        return Err(damaged("a file of it is larger than 64 MiB: expected a day of minutes in each"));
    }
    archive.seek(SeekFrom::Start(entry.header_at))?;
    let mut header = [0; LOCAL_HEADER_BYTES];
    archive.read_exact(&mut header)?;
    if u32_at(&header, 0)? != LOCAL_HEADER {
        return Err(cut_short());
    }
    let skipped = i64::from(u16_at(&header, 26)?) + i64::from(u16_at(&header, 28)?);
    archive.seek(SeekFrom::Current(skipped))?;
    let packed = archive.take(entry.packed);
    let mut bytes = Vec::new();
    // One byte more than was said shows that more would come.
    match entry.method {
        0 => packed.take(entry.length + 1).read_to_end(&mut bytes)?,
        8 => DeflateDecoder::new(packed).take(entry.length + 1).read_to_end(&mut bytes)?,
        _ => return Err(damaged("a file of it is packed in an unknown way: expected stored or deflated ones")),
    };
    let mut sum = Crc::new();
    sum.update(&bytes);
    if bytes.len() as u64 != entry.length || sum.sum() != entry.sum {
        return Err(damaged("a file of it does not have the length and the sum that its list says"));
    }
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut_short)?;
    Ok(u16::from_le_bytes(*part))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut_short)?;
    Ok(u32::from_le_bytes(*part))
}

fn cut_short() -> io::Error {
    damaged("it is cut short")
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the zip archive cannot be used: {reason}"))
}
