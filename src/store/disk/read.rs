//! Reading what lies on disk: the records of a URL, the newest of each variant.

use super::apart::{BodyFile, Unread};
use super::files::{FileName, Files};
use super::place::IndexSlot;
use super::record::{DiskRecord, Previous};
use crate::store::entry::Entry;
use bytes::Bytes;
use std::io;

/// So many records of one URL are read.
const MOST: usize = 16;
/// And behind the newest no more bytes than this.
const BYTES: u64 = 16 * 1024 * 1024;

/// What was read of a record.
#[derive(Debug)]
pub struct ReadRecord {
    pub entry: Entry,
    /// The file that has its body, which the entry does not have then.
    pub file: Option<BodyFile>,
}

impl ReadRecord {
    fn of(record: &DiskRecord, doubtful: bool, lineage: u64) -> Result<ReadRecord, Unread> {
        let entry = record.entry(doubtful).map_err(Unread::Bad)?;
        let file = record.apart.map(|(number, length)| BodyFile::new(number, length, record.hash, lineage));
        Ok(ReadRecord { entry, file })
    }
}

/// What lies there under this key, the newest first; empty where another URL has the place. What is behind the newest may be
/// gone by now.
pub fn read(files: &impl Files, lineage: u64, key: &[u8], from: Previous) -> Result<Vec<ReadRecord>, Unread> {
    let (mut found, mut next, mut doubtful) = (Vec::new(), Some(from), false);
    let mut left = BYTES + from.slot.length();
    while let Some(Previous { segment, slot }) = next.filter(|next| found.len() < MOST && next.slot.length() <= left) {
        left -= slot.length();
        doubtful |= slot.has(IndexSlot::DOUBTFUL);
        match one(files, lineage, key, (segment, slot), doubtful) {
            Ok(Some((entry, previous))) => {
                found.push(entry);
                next = previous;
            }
            Ok(None) => break,
            Err(why) if found.is_empty() => return Err(why),
            Err(_) => break,
        }
    }
    Ok(found)
}

fn one(
    files: &impl Files,
    lineage: u64,
    key: &[u8],
    (segment, slot): (u64, IndexSlot),
    doubtful: bool,
) -> Result<Option<(ReadRecord, Option<Previous>)>, Unread> {
    let bytes = bytes_at(files, segment, slot).map_err(Unread::System)?;
    let record = DiskRecord::read(&bytes, lineage).map_err(Unread::Bad)?;
    if record.key() != key {
        return Ok(None);
    }
    Ok(Some((ReadRecord::of(&record, doubtful, lineage)?, record.previous)))
}

/// Whatever URL it is of, with all sums compared.
pub fn entry_at(files: &impl Files, lineage: u64, segment: u64, slot: IndexSlot) -> Result<ReadRecord, Unread> {
    let bytes = bytes_at(files, segment, slot).map_err(Unread::System)?;
    ReadRecord::of(&DiskRecord::read(&bytes, lineage).map_err(Unread::Bad)?, false, lineage)
}

fn bytes_at(files: &impl Files, segment: u64, slot: IndexSlot) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(slot.length()).unwrap_or(0)];
    let read = files.read(FileName::Segment(segment), slot.at(), &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes.into())
}
