//! A folder as people want to know it, while no node has it or beside the one that has. Nothing is changed but by [`wipe`].

use super::apart::{BodyFile, read_apart};
use super::files::{FileName, Files};
use super::index::Id;
use super::mark::{self, Ended};
use super::place::IndexSlot;
use super::read::entry_at;
use super::recover::{Opening, Replayed, replayed};
use std::io;

/// What a folder holds, by its journal.
#[derive(Debug)]
pub struct FolderReport {
    pub urls: u64,
    /// Those that are validated before they are reused.
    pub doubtful: u64,
    pub segments: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// When its oldest segment was begun, in milliseconds since 1970.
    pub oldest: Option<u64>,
    pub ended: Ended,
    pub is_damaged: bool,
    /// Why all of it is dropped at the next start.
    pub emptied: Option<&'static str>,
}

/// How many URLs have a good record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordsReport {
    pub whole: u64,
    pub damaged: u64,
}

pub fn look(files: &impl Files, machine: u64) -> io::Result<FolderReport> {
    let Replayed { found, damaged, .. } = all(files)?;
    let bytes = files.list()?.iter().map(|(_, length)| length).sum();
    Ok(FolderReport {
        urls: found.index.len() as u64,
        doubtful: found.index.all().filter(|(_, slot)| slot.has(IndexSlot::DOUBTFUL)).count() as u64,
        segments: found.segments.len() as u64,
        bytes,
        oldest: found.segments.values().next().map(|segment| segment.begun),
        ended: mark::read(files, machine)?,
        is_damaged: damaged,
        emptied: found.emptied,
    })
}

/// Reads the newest record of each URL, and compares all sums.
pub fn verify(files: &impl Files) -> io::Result<RecordsReport> {
    let found = all(files)?.found;
    let mut report = RecordsReport::default();
    for (id, slot) in found.index.all() {
        let read = entry_at(files, found.lineage, slot.segment(found.next), slot);
        match read
            .is_ok_and(|read| Id::of_key(read.entry.key()) == id && read.file.is_none_or(|file| is_whole(files, file)))
        {
            true => report.whole += 1,
            false => report.damaged += 1,
        }
    }
    Ok(report)
}

/// Reads all of a body that lies in a file of its own.
fn is_whole(files: &impl Files, file: BodyFile) -> bool {
    let Ok(open) = files.open(file.name()) else { return false };
    let mut at = 0;
    while at < file.length {
        match read_apart(files, &open, file, at) {
            Ok(piece) => at += piece.len() as u64,
            Err(_) => return false,
        }
    }
    true
}

/// Removes all that is stored: the journal first, without which nothing of the rest counts.
pub fn wipe(files: &impl Files) -> io::Result<()> {
    let (journals, others): (Vec<FileName>, Vec<FileName>) =
        files.list()?.into_iter().map(|(name, _)| name).partition(|name| matches!(name, FileName::Journal(_)));
    for names in [journals, others] {
        names.into_iter().try_for_each(|name| files.remove(name))?;
        files.sync_folder()?;
    }
    Ok(())
}

fn all(files: &impl Files) -> io::Result<Replayed> {
    let (now, room) = (u64::MAX, u64::MAX);
    replayed(files, &Opening { machine: 0, policy: 0, now, lineage: 0, reserve: 0, room })
}
