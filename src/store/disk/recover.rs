//! What a folder holds, read from its journal alone: no segment is looked into.

use super::apart::length_of_file;
use super::bodies::Bodies;
use super::files::{FileName, Files};
use super::index::{Id, Index};
use super::journal::{self, Frame, JournalScan, SumSeed};
use super::mark::{Ended, FolderMark};
use super::place::{IndexSlot, UNIT, room};
use super::writer::{DiskWriter, Journal};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// Of a journal, read at a time.
const CHUNK: usize = 1024 * 1024;
/// A clock that was set back by less, in milliseconds, is none that was set back.
const SLACK: u64 = 2_000;

/// What the process knows that opens a folder.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Of this boot of the machine; not 0.
    pub machine: u64,
    /// Of the rules by which answers are judged.
    pub policy: u64,
    /// Milliseconds since 1970.
    pub now: u64,
    /// For a folder that is empty, or is emptied.
    pub lineage: u64,
    /// Room to be taken for a journal, in bytes.
    pub reserve: u64,
    /// Bytes that all segments together may take.
    pub room: u64,
}

/// A segment that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub length: u64,
    /// When it was begun, in milliseconds since 1970.
    pub begun: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Recovered {
    pub index: Index,
    pub segments: BTreeMap<u64, Segment>,
    pub bodies: Bodies,
    /// The segment that is gone on with, and how far it is taken.
    pub active: Option<(u64, u64)>,
    /// The number of the next segment.
    pub next: u64,
    pub lineage: u64,
    /// Bytes of the journal.
    pub journal: u64,
    /// Why nothing of it is reused without validation.
    pub doubted: Option<&'static str>,
    /// Why nothing of what was there is there any more.
    pub emptied: Option<&'static str>,
}

/// What has it, writes to it, and was found in it.
type Opened<F> = (DiskWriter<F>, Arc<FolderMark<F>>, Recovered);

/// Opens a folder. What no frame names is removed. `marked`: called as soon as its mark says that it is not to be believed, as
/// it does until [`super::Disk::adopt`] is written.
pub fn open<F: Files>(files: Arc<F>, opening: &Opening, marked: impl FnOnce()) -> io::Result<Opened<F>> {
    let (mark, ended) = FolderMark::take(files.clone(), opening.machine)?;
    marked();
    let Replayed { mut found, seed, end, damaged, dropped, short } = replayed(&*files, opening)?;
    found.doubted = match ended {
        _ if seed.is_none() => None,
        _ if damaged => Some("its journal is damaged"),
        Ended::PowerCut => Some("the machine or the disk failed while it was in use"),
        _ if seed.is_some_and(|seed| seed.policy != opening.policy) => Some("other rules judged what it holds"),
        _ => found.doubted,
    };
    if found.doubted.is_some() {
        found.index.update(|_, slot| Some(slot.with(IndexSlot::DOUBTFUL)));
    }
    let journal = match seed.filter(|_| found.doubted.is_none()) {
        Some(seed) => {
            let mut journal = Journal::new(FileName::Journal(seed.number), seed, end);
            dropped.into_iter().for_each(|number| journal.note(Frame::SegmentGone(number)));
            journal.flush(&*files)?;
            journal
        }
        None => rewritten(&*files, &found, seed, opening)?,
    };
    tidy(&*files, &found, &journal)?;
    for (number, planned) in short {
        let Some(segment) = found.segments.get_mut(&number) else { continue };
        let name = FileName::Segment(number);
        match found.active {
            // What was taken for it may have been given back since, or be in another copy of the folder alone.
            Some((active, filled)) if active == number => {
                if files.reserve(name, planned).is_err() {
                    (found.active, segment.length) = (None, filled);
                }
            }
            // What cannot be given back is still taken.
            _ => {
                if files.shorten(name).is_err() {
                    segment.length = planned;
                }
            }
        }
    }
    found.journal = journal.end();
    let mark = Arc::new(mark);
    Ok((DiskWriter::new(files, journal, opening.reserve, mark.clone()), mark, found))
}

/// See [`replayed`].
pub struct Replayed {
    pub found: Recovered,
    /// `None`: nothing is known.
    seed: Option<SumSeed>,
    end: u64,
    pub damaged: bool,
    /// Segments that there is no room for any more.
    dropped: Vec<u64>,
    /// And those that are shorter than they were to be, with that.
    short: Vec<(u64, u64)>,
}

/// What the newest journal says, where it ends, and whether it is damaged. Without its header nothing is known: an older one
/// does not have what was taken away since.
pub fn replayed(files: &impl Files, opening: &Opening) -> io::Result<Replayed> {
    let there: BTreeMap<FileName, u64> = files.list()?.into_iter().collect();
    let numbers = |name: &FileName| match name {
        FileName::Segment(number) => Some(*number),
        _ => None,
    };
    let after = there.keys().filter_map(numbers).max().map_or(1, |number| number.saturating_add(1));
    let mut found = Recovered { lineage: opening.lineage, next: after, ..Recovered::default() };
    let newest = there.keys().filter(|name| matches!(name, FileName::Journal(_))).max().copied();
    let nothing =
        |found| Ok(Replayed { found, seed: None, end: 0, damaged: false, dropped: Vec::new(), short: Vec::new() });
    let Some(name) = newest else {
        let was_used = there.keys().any(|name| matches!(name, FileName::Segment(_)));
        found.emptied = was_used.then_some("its journal is gone");
        return nothing(found);
    };
    let mut header = [0; journal::HEADER];
    let length = files.read(name, 0, &mut header)?;
    let Some(seed) = journal::read_header(&header[..length]).filter(|seed| FileName::Journal(seed.number) == name)
    else {
        found.emptied = Some("its journal is of another format, or damaged");
        return nothing(found);
    };
    let mut replay = Replay::default();
    let scan = scan(files, name, seed, |frame| replay.heed(frame))?;
    found.next = found.next.max(replay.next);
    found.lineage = seed.lineage;
    found.segments = replay.segments;
    found.segments.retain(|number, _| there.contains_key(&FileName::Segment(*number)));
    found.index = replay.index;
    found.bodies = replay.bodies;
    let (next, index, segments) = (found.next, &mut found.index, &found.segments);
    found.bodies.retain(|body| {
        let is_whole =
            there.get(&FileName::Body(body.number)).is_some_and(|length| *length >= length_of_file(body.length));
        let slot = index.get(body.id);
        if !is_whole && slot.is_some_and(|slot| slot.place() == body.place) {
            index.remove(body.id);
        }
        is_whole && slot.is_some() && segments.contains_key(&body.segment(next))
    });
    // All but the newest are full, as far as they will ever be; and it is gone on with where it still has room for what it was to be.
    let newest = found.segments.last_key_value().map(|(number, segment)| (*number, segment.length));
    let mut short = Vec::new();
    for (number, segment) in &mut found.segments {
        let filled = there.get(&FileName::Segment(*number)).copied().unwrap_or(0).next_multiple_of(UNIT);
        if filled < segment.length {
            short.push((*number, std::mem::replace(&mut segment.length, filled)));
        }
    }
    let taken = |found: &Recovered| found.segments.values().map(|s| s.length).sum::<u64>() + found.bodies.bytes();
    if let Some((number, whole)) = newest
        && let Some(segment) = found.segments.get_mut(&number)
    {
        let filled = std::mem::replace(&mut segment.length, whole);
        if taken(&found) <= opening.room {
            found.active = Some((number, filled));
        } else if let Some(segment) = found.segments.get_mut(&number) {
            segment.length = filled;
        }
    }
    // It may be smaller than it was: the oldest go, before anything is looked for.
    let mut dropped = Vec::new();
    while taken(&found) > opening.room
        && let Some((number, _)) = found.segments.pop_first()
    {
        found.bodies.retain(|body| body.segment(next) != number);
        dropped.push(number);
    }
    let (segments, active) = (&found.segments, &mut found.active);
    let is_there = |slot: IndexSlot| segments.get(&slot.segment(next)).is_some_and(|s| slot.at() < s.length);
    found.index.update(|_, slot| {
        // After a power cut a file may be shorter than what its journal names.
        if let Some((number, filled)) = active
            && *number == slot.segment(next)
        {
            *filled = (*filled).max(slot.at() + room(slot.length()));
        }
        is_there(slot).then_some(slot)
    });
    // A number that an old record may name has another body never.
    found.bodies.number_from(opening.now);
    if replay.time > opening.now.saturating_add(SLACK) {
        found.doubted = Some("the clock was set back");
    }
    Ok(Replayed { found, seed: Some(seed), end: scan.end(), damaged: scan.damaged, dropped, short })
}

fn scan(files: &impl Files, name: FileName, seed: SumSeed, mut heed: impl FnMut(Frame)) -> io::Result<JournalScan> {
    let (mut scan, mut buffer, mut at) = (JournalScan::new(seed), Vec::new(), journal::HEADER as u64);
    loop {
        let kept = buffer.len();
        buffer.resize(kept + CHUNK, 0);
        let more = files.read(name, at, &mut buffer[kept..])?;
        buffer.truncate(kept + more);
        at += more as u64;
        let last = more < CHUNK;
        let done = scan.read(&buffer, last, &mut heed);
        buffer.drain(..done);
        if last {
            return Ok(scan);
        }
    }
}

/// What the frames of a journal come to.
#[derive(Default)]
struct Replay {
    index: Index,
    segments: BTreeMap<u64, Segment>,
    bodies: Bodies,
    next: u64,
    /// The latest that was noted.
    time: u64,
    /// Those that are in groups and were stored since groups became invalid, if they are still there.
    grouped: Vec<Id>,
    /// Nothing was stored since everything became doubtful.
    all_doubtful: bool,
}

impl Replay {
    fn heed(&mut self, frame: Frame) {
        match frame {
            Frame::Stored(id, slot) => {
                self.index.set(id, slot);
                if slot.has(IndexSlot::GROUPED) {
                    self.grouped.push(id);
                }
                self.all_doubtful = false;
            }
            Frame::Gone(id) => {
                self.index.remove(id);
                self.bodies.forget(id);
            }
            Frame::Grouped => {
                for id in std::mem::take(&mut self.grouped) {
                    let slot = self.index.get(id).filter(|slot| slot.has(IndexSlot::GROUPED));
                    slot.map(|slot| self.index.set(id, slot.with(IndexSlot::DOUBTFUL)));
                }
            }
            Frame::Doubt => {
                if !std::mem::replace(&mut self.all_doubtful, true) {
                    self.index.update(|_, slot| Some(slot.with(IndexSlot::DOUBTFUL)));
                }
            }
            Frame::Segment(number, length, begun) => {
                self.segments.insert(number, Segment { length, begun });
                self.next = self.next.max(number.saturating_add(1));
                self.time = self.time.max(begun);
            }
            Frame::SegmentGone(number) => _ = self.segments.remove(&number),
            Frame::Time(at) => self.time = self.time.max(at),
            Frame::Body(body) => self.bodies.name(body),
        }
    }
}

/// A journal of what is there, in place of one that is not to be believed as it is.
fn rewritten(files: &impl Files, found: &Recovered, old: Option<SumSeed>, opening: &Opening) -> io::Result<Journal> {
    let newest = files.list()?.into_iter().filter_map(|(name, _)| match name {
        FileName::Journal(number) | FileName::Draft(number) => Some(number),
        _ => None,
    });
    let number = newest.max().map_or(1, |number| number.saturating_add(1));
    let seed = SumSeed { number, lineage: found.lineage, policy: opening.policy };
    let mut draft = Journal::begin(files, FileName::Draft(number), seed, opening.reserve)?;
    for (number, Segment { length, begun }) in &found.segments {
        draft.note(Frame::Segment(*number, *length, *begun));
    }
    found.bodies.all().for_each(|body| draft.note(Frame::Body(*body)));
    for (id, slot) in found.index.all() {
        draft.note(Frame::Stored(id, slot));
        if draft.unwritten() > CHUNK {
            draft.flush(files)?;
        }
    }
    draft.replace(files, old.map(|seed| FileName::Journal(seed.number)))
}

/// Removes what is not named.
fn tidy(files: &impl Files, found: &Recovered, journal: &Journal) -> io::Result<()> {
    let bodies: BTreeSet<u64> = found.bodies.all().map(|body| body.number).collect();
    for (name, _) in files.list()? {
        let is_named = match name {
            FileName::Segment(number) => found.segments.contains_key(&number),
            FileName::Body(number) => bodies.contains(&number),
            FileName::Journal(_) | FileName::Draft(_) => name == journal.name(),
            FileName::Mark => true,
        };
        if !is_named {
            files.remove(name)?;
        }
    }
    Ok(())
}
