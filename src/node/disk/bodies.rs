//! What is done with bodies that lie in files of their own.

use super::*;
use crate::node::disk_bodies::BodyProgress;
use crate::policy::Terms;
use crate::store::disk::{BodyFile, ReadRecord, is_full};
use bytes::Bytes;

impl Tier {
    /// Bytes of a record: what is longer has its body in a file of its own.
    pub fn longest(&self) -> u64 {
        self.disk.borrow().longest()
    }

    /// Whether it may keep a body of so many bytes.
    pub fn could_hold(&self, bytes: u64) -> bool {
        matches!(self.state.get(), DiskState::On | DiskState::Full) && self.disk.borrow().could_hold(bytes)
    }

    /// For how long a file may be waited for when all that it is to have has come.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// A file for a body of so many bytes, or of more.
    pub fn begin_body(&self, key: &Key, terms: &Terms, bytes: u64) -> Result<(BodyFile, Arc<BodyAccess>), Skipped> {
        let access = self.access.borrow().clone().ok_or(Skipped::Off)?;
        let begun = self.disk.borrow_mut().begin_body(key.hash(), terms, bytes, clock::now());
        self.send();
        Ok((begun?, access))
    }

    /// The file of a body of which the begin is there, to go on with until it has so many bytes.
    pub fn resume_body(&self, key: &Key, number: u64, whole: u64) -> Option<(BodyFile, Arc<BodyAccess>)> {
        let access = self.access.borrow().clone()?;
        let file = self.disk.borrow_mut().resume_body(key.hash(), number, whole, clock::now());
        self.send();
        Some((file?, access))
    }

    /// It is left as its record names it.
    pub fn leave_body(&self, number: u64) {
        self.disk.borrow_mut().leave_body(number);
        self.tell_bodies(BodyJob::Leave(number));
    }

    pub fn tell_bodies(&self, job: BodyJob) {
        if let Some(readers) = self.readers.borrow().as_ref() {
            readers.bodies().tell(job);
        }
    }

    pub fn write_body(&self, number: u64, progress: &BodyProgress, piece: &Bytes) {
        if let Some(readers) = self.readers.borrow().as_ref() {
            readers.bodies().write(number, progress, piece.clone());
        }
    }

    /// One was given up because it waits to be written: where nothing at all is written, the disk may hang.
    pub fn bodies_wait(&self) {
        let stands = self.readers.borrow().as_ref().map(|readers| readers.bodies().stands_since());
        if stands.is_some_and(|stands| stands > self.limit) {
            self.late(&self.trouble.bodies, "bodies are not written in time");
        }
    }

    pub fn bodies_are_written(&self) {
        self.trouble.bodies.in_time();
    }

    /// Bytes of bodies that wait to be written.
    pub fn bodies_behind(&self) -> u64 {
        self.readers.borrow().as_ref().map_or(0, |readers| readers.bodies().behind())
    }

    /// Whether a record of this URL names this file still.
    pub fn has_body(&self, key: &Key, number: u64) -> bool {
        self.heed_bodies();
        self.send();
        self.disk.borrow().has_body(key.hash(), number)
    }

    /// Changes whenever something is stored, forgotten or replaced under this URL.
    pub fn stamp(&self, key: &Key) -> u32 {
        self.disk.borrow().stamp_of(key.hash())
    }

    /// Whether there is room for one that is longer than was known.
    pub fn grow_body(&self, number: u64, bytes: u64) -> bool {
        let has_room = self.disk.borrow_mut().grow_body(number, bytes);
        self.send();
        has_room
    }

    /// It will not be named by any record.
    pub fn drop_body(&self, number: u64) {
        self.disk.borrow_mut().drop_body(number);
        self.send();
    }

    /// Writes the record of a body that has been written; whether it is kept.
    pub fn put_apart(&self, key: &Key, entry: &Arc<Entry>, file: u64, before: Option<ForgottenUrl>) -> bool {
        let put = self.disk.borrow_mut().put_apart(key.hash(), entry, file, before, clock::now());
        self.send();
        put.is_ok()
    }

    /// It was answered with by what memory has of it.
    pub fn used(&self, key: &Key) {
        self.disk.borrow_mut().used(key.hash());
    }

    /// It could not be read: nobody looks for it there again.
    pub fn body_is_gone(&self, key: &Key, entry: &Entry) {
        self.heed_bodies();
        let number = entry.far().map(|far| far.number());
        number.iter().for_each(|number| self.disk.borrow_mut().lost_body(key.hash(), *number));
        self.send();
    }

    /// An entry as it was read, with the way to its body. `None`: there is none any more.
    pub(super) fn with_body(&self, read: ReadRecord) -> Option<Entry> {
        let ReadRecord { entry, file } = read;
        match file {
            // One of another variant may have gone before its record.
            Some(file) if !self.disk.borrow().has_body(Key::hash_of(entry.key()), file.number) => None,
            Some(file) => Some(entry.with_far(Arc::new(DiskBody::new(file, self.access.borrow().as_ref()?)))),
            None => Some(entry),
        }
    }

    /// A body could not be written.
    pub fn body_failed(&self, number: u64, cause: &std::io::Error) {
        match is_full(cause) {
            true => self.with_room(|disk, now| disk.no_room_for_body(number, now)),
            false => self.failed(cause),
        }
    }

    /// What has come of reading bodies.
    pub(super) fn heed_bodies(&self) {
        let Some((news, reads)) = self.access.borrow().as_ref().map(|access| access.take_news()) else { return };
        add(&self.counts.reads, reads);
        if reads > 0 {
            self.trouble.reads.in_time();
        }
        for news in news {
            match news {
                BodyNews::Late => self.late(&self.trouble.reads, "reads are not back in time"),
                BodyNews::Bad(number) => self.disk.borrow_mut().bad_body(number),
                BodyNews::System(cause) => self.failed(&cause),
            }
        }
    }
}
