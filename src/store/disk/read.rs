//! Reading what lies on disk: the records of a URL, the newest of each variant.

use super::apart::{BodyFile, Unread};
use super::files::{FileName, Files, SHORT};
use super::place::IndexSlot;
use super::record::{BadRecord, DiskRecord, Previous};
use crate::account::{AccountKind, Hold};
use crate::store::entry::Entry;
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// So many records of one URL are read.
const MOST: usize = 16;
/// And behind the newest no more bytes than this.
const BYTES: u64 = 16 * 1024 * 1024;
/// A record of no more bytes is read into memory that is there, and what is kept of it is copied: so it takes no more than that.
const COPIED: usize = SHORT as usize;

thread_local! {
    /// Where such records are read. Never borrowed but for that.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was read of a record.
#[derive(Debug)]
pub struct ReadRecord {
    pub entry: Entry,
    /// The file that has its body, which the entry does not have then.
    pub file: Option<BodyFile>,
}

impl ReadRecord {
    fn of(
        record: &DiskRecord,
        doubtful: bool,
        lineage: u64,
        held: Option<(&Bytes, &Arc<Hold>)>,
    ) -> Result<ReadRecord, BadRecord> {
        let entry = record.entry(doubtful, held)?;
        let file = record.apart.map(|(number, length)| BodyFile::new(number, length, record.hash, lineage));
        Ok(ReadRecord { entry, file })
    }
}

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPace {
    /// As long as the device takes.
    Waiting,
    /// It is there, in the system's memory, or [`io::ErrorKind::WouldBlock`] says that it is not.
    AtOnce,
}

impl ReadPace {
    /// Whether a record there may be read so: of long ones the copy and the sums alone would hold up others.
    pub fn suits(self, slot: IndexSlot) -> bool {
        self == ReadPace::Waiting || slot.length() <= COPIED as u64
    }
}

/// What lies there under this key, the newest first; empty where another URL has the place. What is behind the newest may be
/// gone by now.
pub fn read(
    files: &impl Files,
    lineage: u64,
    key: &[u8],
    from: Previous,
    pace: ReadPace,
) -> Result<Vec<ReadRecord>, Unread> {
    let (mut found, mut next, mut doubtful) = (Vec::new(), Some(from), false);
    let mut left = BYTES + from.slot.length();
    while let Some(Previous { segment, slot }) = next.filter(|next| found.len() < MOST && next.slot.length() <= left) {
        left -= slot.length();
        doubtful |= slot.has(IndexSlot::DOUBTFUL);
        let one = with_record(files, (segment, slot), lineage, pace, |record, held| match record.key() == key {
            true => Ok(Some((ReadRecord::of(record, doubtful, lineage, held)?, record.previous))),
            false => Ok(None),
        });
        match one {
            Ok(Some((entry, previous))) => {
                found.push(entry);
                next = previous;
            }
            Ok(None) => break,
            Err(why) if found.is_empty() || why.is_only_not_at_once() => return Err(why),
            Err(_) => break,
        }
    }
    Ok(found)
}

/// Whatever URL it is of, with all sums compared.
pub fn entry_at(files: &impl Files, lineage: u64, segment: u64, slot: IndexSlot) -> Result<ReadRecord, Unread> {
    with_record(files, (segment, slot), lineage, ReadPace::Waiting, |record, held| {
        ReadRecord::of(record, false, lineage, held)
    })
}

/// What is made of a record, whose head is believed; with the bytes that it lies in, where those may be kept.
fn with_record<T>(
    files: &impl Files,
    (segment, slot): (u64, IndexSlot),
    lineage: u64,
    pace: ReadPace,
    make: impl FnOnce(&DiskRecord, Option<(&Bytes, &Arc<Hold>)>) -> Result<T, BadRecord>,
) -> Result<T, Unread> {
    let (name, at) = (FileName::Segment(segment), slot.at());
    let length = usize::try_from(slot.length()).unwrap_or(usize::MAX);
    if !pace.suits(slot) {
        return Err(Unread::System(io::ErrorKind::WouldBlock.into()));
    }
    if length > COPIED {
        let hold = Hold::new(AccountKind::Readers);
        let bytes = hold.follow(files.read_new(name, at, slot.length()).map_err(Unread::System)?);
        let record = DiskRecord::read(&bytes, lineage).map_err(Unread::Bad)?;
        return make(&record, Some((&bytes, &hold))).map_err(Unread::Bad);
    }
    ROOM.with_borrow_mut(|room| {
        room.resize(COPIED, 0);
        let into = &mut room[..length];
        let read = match pace {
            ReadPace::Waiting => files.read(name, at, into),
            ReadPace::AtOnce => files.read_at_once(name, at, into),
        };
        let read = read.map_err(Unread::System)?;
        let record = DiskRecord::read(&room[..read], lineage).map_err(Unread::Bad)?;
        make(&record, None).map_err(Unread::Bad)
    })
}
