//! What was decided, done in order: records into segments, then the frames that name them into the journal. Nothing else
//! writes to the folder. It waits for the system as long as that takes, so it has a thread of its own.

use super::bodies::BodyPlace;
use super::files::{FileName, Files};
use super::index::Id;
use super::journal::{self, Frame, SumSeed};
use super::mark::FolderMark;
use super::place::IndexSlot;
use super::record::{self, DiskRecord};
use crate::lack::is_our_lack;
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Records that lie side by side are written together, so many bytes at a time.
const TOGETHER: usize = 1024 * 1024;

/// Something to be done.
#[derive(Debug)]
pub enum DiskJob {
    Note(Frame),
    /// A segment of so many bytes, begun at this time (milliseconds since 1970).
    Begin(u64, u64, u64),
    Store(StoreJob),
    /// A record is written once more, elsewhere.
    Move {
        id: Id,
        from: (u64, IndexSlot),
        to: (u64, IndexSlot),
        body: Option<BodyPlace>,
    },
    Drop(u64),
    /// Of a journal that is to take the place of this one. What else is noted meanwhile goes into both. `first`: it is begun.
    Draft {
        frames: Vec<Frame>,
        first: bool,
    },
    Replace,
    /// To be told when all before this is written; `durable`: when it outlives a power cut ([`DiskWriter::sync`]).
    Settle {
        ticket: u64,
        durable: bool,
    },
    /// What was told while the journal was read is written: from now on the folder may be believed.
    Trust,
    /// Nothing comes after this: all that is there may be believed at the next start.
    Finish,
}

/// A record to be written.
#[derive(Debug)]
pub struct StoreJob {
    pub id: Id,
    pub segment: u64,
    pub slot: IndexSlot,
    /// Of the key.
    pub hash: u64,
    pub head: Vec<u8>,
    pub body: Vec<Bytes>,
    /// Where it has been written into one.
    pub file: Option<BodyPlace>,
}

/// What came of it.
#[derive(Debug)]
pub enum JobDone {
    /// And takes about so many bytes.
    Stored(IndexSlot, u64),
    /// It could not be written.
    Lost(Id, IndexSlot),
    Failed(io::Error),
    /// There was no room for a segment.
    NoRoom(u64),
    /// Nor was one begun that there may be room for.
    NotBegun(u64),
    Settled(u64),
    /// The journal was synced, for all that waited for it.
    Synced,
    /// A part of a draft, or it could not be.
    Drafted,
    /// So long the journal is now.
    Journal(u64),
    /// The journal could not be written: nothing that is there may be believed any more.
    Broken(io::Error),
    /// By [`DiskJob::Finish`].
    Finished,
}

/// The journal that is written, or a draft of the next.
#[derive(Debug)]
pub struct Journal {
    name: FileName,
    seed: SumSeed,
    end: u64,
    frames: Vec<u8>,
}

impl Journal {
    pub fn new(name: FileName, seed: SumSeed, end: u64) -> Journal {
        Journal { name, seed, end, frames: Vec::new() }
    }

    /// An empty one.
    pub fn begin(files: &impl Files, name: FileName, seed: SumSeed, reserve: u64) -> io::Result<Journal> {
        files.create(name, reserve)?;
        files.write(name, 0, &journal::header(seed))?;
        Ok(Journal::new(name, seed, journal::HEADER as u64))
    }

    pub fn name(&self) -> FileName {
        self.name
    }

    /// Its length in bytes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that were noted and are not written.
    pub fn unwritten(&self) -> usize {
        self.frames.len()
    }

    pub fn note(&mut self, frame: Frame) {
        journal::write(frame, self.seed, self.end + self.frames.len() as u64, &mut self.frames);
    }

    pub fn flush(&mut self, files: &impl Files) -> io::Result<()> {
        if !self.frames.is_empty() {
            files.write(self.name, self.end, &self.frames)?;
            self.end += self.frames.len() as u64;
            self.frames.clear();
        }
        Ok(())
    }

    /// Takes the place of the one before it, which is `old`.
    pub fn replace(mut self, files: &impl Files, old: Option<FileName>) -> io::Result<Journal> {
        self.flush(files)?;
        files.sync(self.name)?;
        let name = FileName::Journal(self.seed.number);
        files.rename(self.name, name)?;
        files.sync_folder()?;
        if let Some(old) = old {
            files.remove(old)?;
        }
        Ok(Journal { name, ..self })
    }
}

/// See the module.
#[derive(Debug)]
pub struct DiskWriter<F: Files> {
    files: Arc<F>,
    journal: Journal,
    draft: Option<Journal>,
    reserve: u64,
    /// Records that lie side by side, from this place on.
    buffer: Vec<u8>,
    begins: (u64, u64),
    waiting: Vec<(Id, IndexSlot)>,
    /// Tickets of those that wait until what is noted is written, and until it is synced.
    unwritten: Vec<u64>,
    unsynced: Vec<u64>,
    /// Files that those name.
    named: Vec<BodyPlace>,
    done: Vec<JobDone>,
    is_broken: bool,
    mark: Arc<FolderMark<F>>,
}

impl<F: Files> DiskWriter<F> {
    pub fn new(files: Arc<F>, journal: Journal, reserve: u64, mark: Arc<FolderMark<F>>) -> DiskWriter<F> {
        let (draft, buffer, begins, waiting, named, unwritten, unsynced, done, is_broken) = Default::default();
        DiskWriter {
            files,
            journal,
            draft,
            reserve,
            buffer,
            begins,
            waiting,
            named,
            unwritten,
            unsynced,
            done,
            is_broken,
            mark,
        }
    }

    /// Does all of them; what came of it. What is to outlive a power cut has to be synced then, which takes as long for one as
    /// for all that wait.
    pub fn run(&mut self, jobs: impl IntoIterator<Item = DiskJob>) -> Vec<JobDone> {
        let before = self.journal.end;
        for job in jobs {
            if self.is_broken {
                break;
            }
            if let Err(cause) = self.job(job) {
                self.fail(cause);
            }
        }
        if !self.is_broken
            && let Err(cause) = self.flush()
        {
            self.fail(cause);
        }
        if self.journal.end != before {
            self.done.push(JobDone::Journal(self.journal.end));
        }
        std::mem::take(&mut self.done)
    }

    pub fn owes_a_sync(&self) -> bool {
        !self.unsynced.is_empty() && !self.is_broken
    }

    /// What came of a sync, where somebody waits for one.
    pub fn sync(&mut self) -> Vec<JobDone> {
        if self.owes_a_sync()
            && let Err(cause) = self.sync_journal()
        {
            self.fail(cause);
        }
        std::mem::take(&mut self.done)
    }

    fn sync_journal(&mut self) -> io::Result<()> {
        self.files.sync(self.journal.name)?;
        self.done.push(JobDone::Synced);
        self.done.extend(self.unsynced.drain(..).map(JobDone::Settled));
        Ok(())
    }

    /// Errors are of the journal.
    fn job(&mut self, job: DiskJob) -> io::Result<()> {
        match job {
            DiskJob::Note(frame) => self.note(frame),
            DiskJob::Begin(number, length, at) => match self.files.create(FileName::Segment(number), length) {
                Ok(()) => self.note(Frame::Segment(number, length, at)),
                Err(cause) if is_full(&cause) => self.done.push(JobDone::NoRoom(number)),
                Err(cause) if is_our_lack(&cause) => {
                    self.done.extend([JobDone::Failed(cause), JobDone::NotBegun(number)]);
                }
                Err(cause) => self.done.extend([JobDone::Failed(cause), JobDone::NoRoom(number)]),
            },
            DiskJob::Store(store) => self.store(store),
            DiskJob::Move { id, from, to, body } => self.again(id, from, to, body),
            DiskJob::Drop(number) => {
                self.note(Frame::SegmentGone(number));
                self.flush()?;
                if let Err(cause) = self.files.remove(FileName::Segment(number)) {
                    self.done.push(JobDone::Failed(cause));
                }
            }
            DiskJob::Draft { frames, first } => {
                self.draft(frames, first);
                self.done.push(JobDone::Drafted);
            }
            DiskJob::Replace => self.replace(),
            DiskJob::Settle { ticket, durable } => {
                if durable { &mut self.unsynced } else { &mut self.unwritten }.push(ticket);
            }
            DiskJob::Trust => {
                self.flush()?;
                self.mark.trust()?;
            }
            DiskJob::Finish => {
                self.flush()?;
                self.sync_journal()?;
                self.mark.clear()?;
                self.done.push(JobDone::Finished);
            }
        }
        Ok(())
    }

    /// A record that was put before and is not written yet must not be named after what takes it away.
    fn note(&mut self, frame: Frame) {
        self.write_records();
        self.journal.note(frame);
        self.draft.iter_mut().for_each(|draft| draft.note(frame));
    }

    fn store(&mut self, StoreJob { id, segment, slot, hash, head, body, file }: StoreJob) {
        let start = self.place(segment, slot.at());
        self.buffer.extend_from_slice(&head);
        record::write_body(&body, hash, &mut self.buffer);
        debug_assert!((self.buffer.len() - start) as u64 <= slot.length());
        self.waiting.push((id, slot));
        self.named.extend(file);
    }

    fn again(&mut self, id: Id, (segment, slot): (u64, IndexSlot), to: (u64, IndexSlot), body: Option<BodyPlace>) {
        let read = self.files.read_new(FileName::Segment(segment), slot.at(), slot.length());
        // Sums go with it, and are checked by whoever reads it.
        let (bytes, lineage) = (read.unwrap_or_default(), self.journal.seed.lineage);
        let whole = DiskRecord::read(bytes.as_ref(), lineage).ok().filter(|record| Id::of(record.hash) == id);
        match whole {
            Some(record) => {
                self.place(to.0, to.1.at());
                self.buffer.extend_from_slice(record.whole());
                self.waiting.push((id, to.1));
                self.named.extend(body);
            }
            None => self.done.push(JobDone::Lost(id, to.1)),
        }
    }

    /// Makes the buffer end where this place begins.
    fn place(&mut self, segment: u64, at: u64) -> usize {
        let (own, begins) = self.begins;
        let padding =
            at.checked_sub(begins + self.buffer.len() as u64).filter(|_| own == segment && !self.waiting.is_empty());
        match padding.filter(|padding| *padding < TOGETHER as u64 && self.buffer.len() < TOGETHER) {
            Some(padding) => self.buffer.resize(self.buffer.len() + padding as usize, 0),
            None => {
                self.write_records();
                self.begins = (segment, at);
            }
        }
        self.buffer.len()
    }

    fn write_records(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (segment, at) = self.begins;
        let written = self.files.write(FileName::Segment(segment), at, &self.buffer);
        let (waiting, named) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.named));
        match written {
            Ok(()) => {
                for body in named {
                    self.journal.note(Frame::Body(body));
                    self.draft.iter_mut().for_each(|draft| draft.note(Frame::Body(body)));
                }
                let each = self.buffer.len() as u64 / waiting.len() as u64;
                for (id, slot) in waiting {
                    self.journal.note(Frame::Stored(id, slot));
                    self.draft.iter_mut().for_each(|draft| draft.note(Frame::Stored(id, slot)));
                    self.done.push(JobDone::Stored(slot, each));
                }
            }
            Err(cause) => {
                self.done.extend(waiting.into_iter().map(|(id, slot)| JobDone::Lost(id, slot)));
                // A segment that found no room has been told of.
                self.done.extend((cause.kind() != io::ErrorKind::NotFound).then_some(JobDone::Failed(cause)));
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(TOGETHER);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_records();
        self.journal.flush(&*self.files)?;
        self.done.extend(self.unwritten.drain(..).map(JobDone::Settled));
        let Some(draft) = &mut self.draft else { return Ok(()) };
        if let Err(cause) = draft.flush(&*self.files) {
            self.give_up(cause);
        }
        Ok(())
    }

    /// One that could not be begun, or was given up, is not gone on with.
    fn draft(&mut self, frames: Vec<Frame>, first: bool) {
        self.write_records();
        if first {
            let seed = SumSeed { number: self.journal.seed.number.saturating_add(1), ..self.journal.seed };
            match Journal::begin(&*self.files, FileName::Draft(seed.number), seed, self.reserve) {
                Ok(draft) => self.draft = Some(draft),
                Err(cause) => return self.done.push(JobDone::Failed(cause)),
            }
        }
        let Some(draft) = &mut self.draft else { return };
        frames.into_iter().for_each(|frame| draft.note(frame));
        if let Err(cause) = draft.flush(&*self.files) {
            self.give_up(cause);
        }
    }

    fn replace(&mut self) {
        self.write_records();
        let Some(draft) = self.draft.take() else { return };
        match draft.replace(&*self.files, Some(self.journal.name)) {
            Ok(journal) => self.journal = journal,
            // Which of the two counts is not known: the new one may be there already, and will not be written any more.
            Err(cause) => self.fail(cause),
        }
    }

    /// The journal stays as it is.
    fn give_up(&mut self, cause: io::Error) {
        if let Some(draft) = self.draft.take() {
            let _ = self.files.remove(draft.name);
        }
        self.done.push(JobDone::Failed(cause));
    }

    /// A failed write or sync of the journal: what was to be taken away may come back, so nothing of it is believed again.
    fn fail(&mut self, cause: io::Error) {
        self.is_broken = true;
        let _ = self.mark.distrust();
        self.done.push(JobDone::Broken(cause));
    }
}

pub fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
