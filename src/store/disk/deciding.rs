//! PURE. What is on disk and what is to become of it: decided here, on the node's thread and without waiting; done by
//! [`super::writer`], in the order in which it was decided.
//!
//! A URL has one slot: the place of its newest record, which names the one of another variant before it. As soon as memory
//! has another version of a URL, or none, its slot is dead, and the journal says so before a client has its answer.

mod invalid;
mod large;
mod segments;
mod told;

use super::admit::{AdmissionGate, Offered, Skipped};
use super::apart::BodyFile;
use super::bodies::{Bodies, BodyPlace};
use super::going::GoingSegment;
use super::index::{Id, Index};
use super::journal::Frame;
use super::notes::{Counts, DiskAccount, DiskLookup, ForgottenUrl, Meanwhile, Pending, SkippedLately};
use super::place::{IndexSlot, room};
use super::plan::DiskPlan;
use super::record::{Previous, RecordHead};
use super::recover::{Recovered, Segment};
use super::writer::{DiskJob, JobDone, StoreJob};
use crate::policy::{Marks, Terms};
use crate::store::entry::Entry;
use crate::wire::date::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Of a segment that goes, at most this part is written again, of what was used most: for four bytes that are stored five are
/// written then, and what the journal, paddings and whole pages add leaves it below 1.3.
const SECOND_CHANCE: u64 = 5;
/// So many bytes may wait to be written.
const BEHIND: u64 = 8 * 1024 * 1024;
const FRAME: u64 = 24;
/// A journal is written anew when it is so many times as long as it has to be, and not short.
const JOURNAL_GROWS: u64 = 2;
/// A record may be so many times as long as the longest body that is in one.
const RECORD: u64 = 2;
/// So many parts of the index are drafted at a time, or fewer with so many frames.
const PARTS: usize = 32;
const FRAMES: usize = 8_192;
/// Segments that find no room until that is so: more than one may be on its way.
const REFUSED: u32 = 2;
/// A disk without room is tried again after so long, in milliseconds.
const TRY_AGAIN: u64 = 60_000;
/// Places in which changes of URLs are counted.
const STAMPS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Disk {
    plan: DiskPlan,
    gate: AdmissionGate,
    index: Index,
    segments: BTreeMap<u64, Segment>,
    bodies: Bodies,
    /// The segment that is written, and how far it is taken.
    active: Option<(u64, u64)>,
    next: u64,
    going: Option<GoingSegment>,
    /// As [`Recovered::lineage`].
    lineage: u64,
    pending: HashMap<u64, Pending>,
    /// Bytes that wait to be written.
    behind: u64,
    jobs: Vec<DiskJob>,
    meanwhile: Option<Meanwhile>,
    /// When all was last doubted, and when groups last became invalid, since the start: what memory has of before is written as
    /// what was there.
    doubted: Option<Timestamp>,
    grouped: Option<Timestamp>,
    /// Bytes of the journal, and the part of the index that is drafted next, when the one before is written.
    journal: u64,
    drafting: Option<usize>,
    draft_waits: bool,
    /// There was no room for a segment, at this time; 0: there was.
    full_since: u64,
    /// So many segments found no room since one did.
    refused: u32,
    /// The most that all segments together may take; less than planned where there was no room for that.
    room: u64,
    /// Counts what is forgotten and put, of URLs that share a place here.
    stamps: Box<[u32]>,
    lately: SkippedLately,
    pub counts: Counts,
}

impl Disk {
    /// One whose journal is still read: [`Disk::adopt`].
    pub fn new(plan: DiskPlan) -> Disk {
        let gate = AdmissionGate::new(plan.admit, plan.writes, plan.objects());
        let room = plan.room();
        Disk {
            plan,
            gate,
            index: Index::default(),
            segments: BTreeMap::new(),
            bodies: Bodies::default(),
            active: None,
            next: 0,
            going: None,
            lineage: 0,
            pending: HashMap::new(),
            behind: 0,
            jobs: Vec::new(),
            meanwhile: Some(Meanwhile::default()),
            doubted: None,
            grouped: None,
            journal: 0,
            drafting: None,
            draft_waits: false,
            full_since: 0,
            refused: 0,
            room,
            stamps: vec![0; STAMPS].into(),
            lately: SkippedLately::default(),
            counts: Counts::default(),
        }
    }

    /// What was found in the folder, but for what has been taken away since.
    pub fn adopt(&mut self, found: Recovered) {
        let Some(meanwhile) = self.meanwhile.take() else { return };
        let Recovered { index, segments, bodies, active, next, lineage, journal, .. } = found;
        (self.index, self.segments, self.next, self.lineage, self.journal) = (index, segments, next, lineage, journal);
        (self.bodies, self.active) = (bodies, active);
        for id in meanwhile.gone {
            if self.index.remove(id).is_some() {
                self.bodies.loosen(id);
                self.jobs.push(DiskJob::Note(Frame::Gone(id)));
            }
        }
        if meanwhile.doubt {
            self.index.update(|_, slot| Some(slot.with(IndexSlot::DOUBTFUL)));
            self.jobs.push(DiskJob::Note(Frame::Doubt));
        } else if meanwhile.grouped {
            self.index.update(|_, slot| {
                Some(if slot.has(IndexSlot::GROUPED) { slot.with(IndexSlot::DOUBTFUL) } else { slot })
            });
            self.jobs.push(DiskJob::Note(Frame::Grouped));
        }
        self.jobs.push(DiskJob::Trust);
    }

    /// Left alone until the folder is read again. What was told and not written is not known any more, so then all is doubtful;
    /// what was counted, and what the gate remembers, stays.
    pub fn leave(&mut self) {
        let left = std::mem::replace(self, Disk::new(self.plan.clone()));
        let meanwhile = left.meanwhile.unwrap_or(Meanwhile { doubt: true, ..Meanwhile::default() });
        (self.gate, self.counts, self.stamps) = (left.gate, left.counts, left.stamps);
        (self.doubted, self.grouped) = (left.doubted, left.grouped);
        self.meanwhile = Some(meanwhile);
        // What a URL had before is not what is found there then.
        self.stamps.iter_mut().for_each(|stamp| *stamp = stamp.wrapping_add(1));
    }

    /// Whether it knows what it has.
    pub fn is_read(&self) -> bool {
        self.meanwhile.is_none()
    }

    /// Whether there is less room than was planned.
    pub fn is_full(&self) -> bool {
        self.full_since > 0 || self.room < self.plan.room()
    }

    pub fn lineage(&self) -> u64 {
        self.lineage
    }

    /// What is to be done by the writer, in this order.
    pub fn take_jobs(&mut self) -> Vec<DiskJob> {
        std::mem::take(&mut self.jobs)
    }

    pub fn has(&self, hash: u64) -> bool {
        self.index.get(Id::of(hash)).is_some()
    }

    /// Where the records of a URL are. It counts as used. Another URL with the same bits of its hash may have the place: of what is
    /// not written yet the key is compared here, of all else where it is read.
    pub fn find(&mut self, hash: u64, key: &[u8]) -> Option<DiskLookup> {
        let slot = self.index.get(Id::of(hash))?;
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        let mut next = Some(Previous { segment: slot.segment(self.next), slot });
        while let Some(pending) = next.and_then(|next| self.pending.get(&next.slot.place())) {
            match pending {
                Pending::Entry(entry, _) if entry.key() != key => next = None,
                Pending::Entry(entry, previous) => {
                    entries.push(entry.clone());
                    next = *previous;
                }
                Pending::Moved(from) => {
                    next = Some(*from);
                    break;
                }
            }
        }
        if entries.is_empty() && next.is_none() {
            return None;
        }
        self.index.used(Id::of(hash));
        Some(DiskLookup { slot, entries, read: next })
    }

    /// Whether what was looked up is still what there is, or is just being written once more.
    pub fn is_current(&self, hash: u64, slot: IndexSlot) -> bool {
        let is_that = |now: IndexSlot| now.place() == slot.place();
        self.index.get(Id::of(hash)).is_some_and(|now| match self.pending.get(&now.place()) {
            Some(Pending::Moved(from)) => is_that(now) || is_that(from.slot),
            _ => is_that(now),
        })
    }

    /// Where a record lies that was looked up when it was being written once more, and was not found where it lay before. `None`: it
    /// is not that. `is_gone`: that segment is, which goes when all of it is written; that may not have been heard of yet.
    pub fn moved(&self, hash: u64, slot: IndexSlot, from: Previous, is_gone: bool) -> Option<Previous> {
        let now = self.index.get(Id::of(hash)).filter(|now| now.place() == slot.place())?;
        let is_written = is_gone || !self.pending.contains_key(&now.place());
        let there = Previous { segment: now.segment(self.next), slot: now };
        (is_written && there.slot.place() != from.slot.place()).then_some(there)
    }

    /// What was to be read there could not be, or is not what it was to be.
    pub fn bad(&mut self, hash: u64, slot: IndexSlot) {
        if self.is_current(hash, slot) {
            self.counts.bad += 1;
            self.forget(hash);
        }
    }

    /// Writes what memory has, in place of what was forgotten for it. `before`: what [`Disk::forget`] said.
    pub fn put(
        &mut self,
        hash: u64,
        entry: &Arc<Entry>,
        before: Option<ForgottenUrl>,
        now: Timestamp,
    ) -> Result<(), Skipped> {
        self.note(hash, |disk| disk.try_put((hash, entry), None, false, before, now))
    }

    /// The same where memory has no room for it.
    pub fn put_only(
        &mut self,
        hash: u64,
        entry: &Arc<Entry>,
        before: Option<ForgottenUrl>,
        now: Timestamp,
    ) -> Result<(), Skipped> {
        self.note(hash, |disk| disk.try_put((hash, entry), None, true, before, now))
    }

    /// The same where its body has been written into the file of this number.
    pub fn put_apart(
        &mut self,
        hash: u64,
        entry: &Arc<Entry>,
        file: u64,
        before: Option<ForgottenUrl>,
        now: Timestamp,
    ) -> Result<(), Skipped> {
        self.note(hash, |disk| disk.try_put((hash, entry), Some(file), false, before, now))
    }

    /// Notes why something is not written.
    fn note<T>(&mut self, hash: u64, work: impl FnOnce(&mut Disk) -> Result<T, Skipped>) -> Result<T, Skipped> {
        let done = work(self);
        self.lately.note(Id::of(hash), done.as_ref().err().copied());
        done.inspect_err(|why| self.counts.skipped[*why as usize] += 1)
    }

    fn may_write(&self, now: Timestamp) -> bool {
        self.is_read() && (self.full_since == 0 || now.0 >= self.full_since.saturating_add(TRY_AGAIN))
    }

    /// `file`: its body has been written into this one, where that is not the one that it names. `only`: memory does not have it.
    fn try_put(
        &mut self,
        (hash, entry): (u64, &Arc<Entry>),
        file: Option<u64>,
        only: bool,
        before: Option<ForgottenUrl>,
        now: Timestamp,
    ) -> Result<(), Skipped> {
        let (id, file) = (Id::of(hash), file.or_else(|| entry.far().map(|far| far.number())));
        if !self.may_write(now) || file.is_some_and(|number| !self.bodies.may_be_named(id, number)) {
            return Err(Skipped::Off);
        }
        let stamp = self.stamp(id);
        let before = match before {
            // What has been there since may be a newer one of what lies before: then nothing before counts.
            Some(before) => Some(before.slot).filter(|_| before.stamp.wrapping_add(1) == stamp),
            None => self.index.get(id),
        };
        let is_beside_others = !entry.vary().is_empty() || entry.part().is_some();
        let previous = before.filter(|_| is_beside_others).and_then(|slot| self.before(slot));
        let head = RecordHead::of(entry, hash, self.lineage, previous, file).ok_or(Skipped::Off)?;
        let length = head.length();
        if head.body > self.plan.max_object || room(length) > RECORD * self.plan.longest() {
            return Err(Skipped::TooLarge);
        }
        if self.behind > 0 && self.behind + length > BEHIND {
            return Err(Skipped::Behind);
        }
        // A file was judged when it was begun.
        if file.is_none_or(|number| !self.bodies.is_written(number)) {
            let offered = if only { Offered::Only } else { Offered::Record(&entry.terms) };
            self.gate.judge(hash, offered, length, self.turns_over(now), now)?;
        }
        let (segment, slot) = self.place(length, now).ok_or(Skipped::Off)?;
        let is_grouped =
            entry.terms.marks.has(Marks::GROUPED) || previous.is_some_and(|p| p.slot.has(IndexSlot::GROUPED));
        let slot = if is_grouped { slot.with(IndexSlot::GROUPED) } else { slot };
        let slot = if self.may_be_outdated(&entry.terms) { slot.with(IndexSlot::DOUBTFUL) } else { slot };
        let own = if entry.vary().is_empty() { 0 } else { IndexSlot::of_variant(entry.selecting()) };
        let slot = slot.with(own | previous.map_or(0, |previous| previous.slot.variants()));
        self.index.set(id, slot);
        self.pending.insert(slot.place(), Pending::Entry(entry.clone(), previous));
        self.behind += slot.length();
        if previous.is_none() {
            self.bodies.loosen(id);
        }
        let (place, length, begun) = (slot.place(), entry.body().len(), now.0);
        let file = file.map(|number| BodyPlace { id, number, place, length, begun });
        file.iter().for_each(|file| self.bodies.name(*file));
        let body = if file.is_some() { Vec::new() } else { entry.body().pieces() };
        self.jobs.push(DiskJob::Store(StoreJob { id, segment, slot, hash, head: head.bytes, body, file }));
        Ok(())
    }

    /// Where a slot's record lies now, as the next one names it.
    fn before(&self, slot: IndexSlot) -> Option<Previous> {
        let previous = match self.pending.get(&slot.place()) {
            Some(Pending::Moved(from)) => *from,
            _ => Previous { segment: slot.segment(self.next), slot },
        };
        self.segments.contains_key(&previous.segment).then_some(())?;
        // Of which group it is does not stand in the slot.
        let doubtful = slot.has(IndexSlot::DOUBTFUL) || (slot.has(IndexSlot::GROUPED) && self.grouped.is_some());
        let slot = previous.slot.without(IndexSlot::DOUBTFUL);
        Some(Previous { slot: slot.with(if doubtful { IndexSlot::DOUBTFUL } else { 0 }), ..previous })
    }

    /// What came of a job.
    pub fn done(&mut self, done: &JobDone, now: Timestamp) {
        match done {
            JobDone::Stored(slot, bytes) => {
                (self.full_since, self.refused) = (0, 0);
                self.settled(*slot);
                self.counts.written += bytes;
            }
            JobDone::Lost(id, slot) => {
                self.settled(*slot);
                self.bodies.at(*id, slot.place()).iter().for_each(|body| self.bodies.drop(body.number));
                // Nothing in the journal names it.
                if self.index.get(*id).is_some_and(|current| current.place() == slot.place()) {
                    self.index.remove(*id);
                }
            }
            JobDone::NoRoom(number) => self.no_room(*number, now),
            JobDone::NotBegun(number) => self.not_begun(*number),
            JobDone::Journal(bytes) => self.journal = *bytes,
            JobDone::Drafted => self.draft_waits = false,
            JobDone::Synced => self.counts.syncs += 1,
            JobDone::Failed(_) | JobDone::Settled(_) | JobDone::Broken(_) | JobDone::Finished => {}
        }
    }

    fn settled(&mut self, slot: IndexSlot) {
        if let Some(Pending::Entry(..)) = self.pending.remove(&slot.place()) {
            self.behind = self.behind.saturating_sub(slot.length());
        }
    }

    /// Notes the time, and goes on with a new journal where the old one has grown too long. To be called every now and then.
    pub fn go_on(&mut self, now: Timestamp) {
        if !self.is_read() {
            return;
        }
        self.bodies.tidy(now);
        if self.drafting.is_none()
            && !self.draft_waits
            && self.journal > self.plan.short() + JOURNAL_GROWS * self.next_journal()
        {
            self.draft_anew();
        }
        let Some(first) = self.drafting.filter(|_| !self.draft_waits) else { return };
        let (mut part, mut frames) = (first, Vec::new());
        while part < first + PARTS
            && frames.len() < FRAMES
            && let Some(slots) = self.index.part(part)
        {
            // What waits to be written is noted when it is.
            let written = slots.filter(|(_, slot)| !self.pending.contains_key(&slot.place()));
            for (id, slot) in written {
                let bodies = self.bodies.of(id).filter(|body| !self.pending.contains_key(&body.place));
                frames.extend(bodies.map(|body| Frame::Body(*body)));
                frames.push(Frame::Stored(id, slot));
            }
            part += 1;
        }
        self.jobs.push(DiskJob::Draft { frames, first: false });
        (self.drafting, self.draft_waits) = (Some(part), true);
        if self.index.part(part).is_none() {
            self.drafting = None;
            if self.grouped.is_some() {
                self.jobs.push(DiskJob::Note(Frame::Grouped));
            }
            self.jobs.push(DiskJob::Note(Frame::Time(now.0)));
            self.jobs.push(DiskJob::Replace);
        }
    }

    /// Bytes of a journal that says what there is.
    fn next_journal(&self) -> u64 {
        (self.index.len() + self.segments.len() + 2 * self.bodies.count() + 1) as u64 * FRAME
    }

    /// Begins a new journal; it is gone on with by [`Disk::go_on`].
    pub fn draft_anew(&mut self) {
        (self.drafting, self.draft_waits) = (Some(0), true);
        let segments = self.segments.iter().map(|(number, s)| Frame::Segment(*number, s.length, s.begun));
        self.jobs.push(DiskJob::Draft { frames: segments.collect(), first: true });
    }

    /// Whether a new journal is on its way.
    pub fn is_drafting(&self) -> bool {
        self.drafting.is_some()
    }

    pub fn note_time(&mut self, now: Timestamp) {
        self.jobs.push(DiskJob::Note(Frame::Time(now.0)));
    }

    /// Of one that is read.
    pub fn settle(&mut self, ticket: u64, durable: bool) {
        self.jobs.push(DiskJob::Settle { ticket, durable });
    }

    /// What memory has is put once more from now on, and then all is finished.
    pub fn ends(&mut self) {
        self.gate.ends();
    }

    pub fn finish(&mut self, now: Timestamp) {
        self.note_time(now);
        self.jobs.push(DiskJob::Finish);
    }
}
