//! A body on its way into a file of the disk, while it is fetched.

use super::disk::Tier;
use super::disk_bodies::{BodyJob, BodyProgress};
use super::far::{BodyAccess, DiskBody, DiskBodyReader};
use crate::account;
use crate::policy::Terms;
use crate::store::disk::{BodyFile, Skipped};
use crate::store::{Entry, FarBody};
use crate::wire::target::Key;
use bytes::Bytes;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A disk that is further behind is not waited for; nor is one that is behind with half of what may be in flight, over all bodies.
const BEHIND: u64 = 16 * 1024 * 1024;
/// What memory has is not given it faster than so.
const CALM: u64 = 4 * 1024 * 1024;
const SOON: Duration = Duration::from_millis(1);
/// By so many bytes more is counted of one whose length is not known, when it grows.
const STEP: u64 = 16 * 1024 * 1024;

/// What is written of it. What it has been given and no record names when this is dropped is removed.
pub struct Spill {
    tier: Rc<Tier>,
    file: BodyFile,
    progress: Arc<BodyProgress>,
    access: Weak<BodyAccess>,
    given: Cell<u64>,
    counted: Cell<u64>,
    is_over: Cell<bool>,
    is_kept: Cell<bool>,
    /// A record names it, with less.
    was_there: bool,
}

impl fmt::Debug for Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spill").field(&self.file).finish()
    }
}

impl Spill {
    /// `bytes`: as many are known to come.
    pub fn begin(tier: &Rc<Tier>, key: &Key, terms: &Terms, bytes: u64) -> Result<Spill, Skipped> {
        let (file, access) = tier.begin_body(key, terms, bytes)?;
        let progress = Arc::<BodyProgress>::default();
        tier.tell_bodies(BodyJob::Begin(file, bytes, progress.clone()));
        Ok(Spill::new(tier, file, progress, &access, bytes, false))
    }

    /// Goes on with the begin of a body that a stored part has, until it is whole. `None`: it has none, or somebody does that already.
    pub fn resume(tier: &Rc<Tier>, key: &Key, part: &Entry, whole: u64) -> Option<Spill> {
        let number = part.far().filter(|_| part.part().is_some_and(|part| part.at.start == 0))?.number();
        let (file, access) = tier.resume_body(key, number, whole)?;
        let progress = Arc::new(BodyProgress::from(file.length));
        tier.tell_bodies(BodyJob::Resume(file, progress.clone()));
        Some(Spill::new(tier, file, progress, &access, whole, true))
    }

    fn new(
        tier: &Rc<Tier>,
        file: BodyFile,
        progress: Arc<BodyProgress>,
        access: &Arc<BodyAccess>,
        bytes: u64,
        was_there: bool,
    ) -> Spill {
        Spill {
            tier: tier.clone(),
            file,
            given: Cell::new(progress.readable()),
            progress,
            access: Arc::downgrade(access),
            counted: Cell::new(bytes),
            is_over: Cell::new(false),
            is_kept: Cell::new(false),
            was_there,
        }
    }

    /// The next piece. It is not written where this is given up: the disk fails, is too slow, or has no room for more.
    pub fn write(&self, piece: &Bytes) {
        if self.is_over.get() {
            return;
        }
        let given = self.given.get() + piece.len() as u64;
        self.given.set(given);
        let is_behind = self.behind() > BEHIND || self.tier.bodies_behind() > account::limit() / 2;
        if is_behind {
            self.tier.bodies_wait();
        }
        if is_behind || self.has_failed() || !self.has_room(given) {
            return self.give_up();
        }
        self.tier.write_body(self.file.number, &self.progress, piece);
    }

    /// For so many bytes of it.
    fn has_room(&self, bytes: u64) -> bool {
        let number = self.file.number;
        let counts = |counted| self.tier.grow_body(number, counted).then(|| self.counted.set(counted)).is_some();
        bytes <= self.counted.get() || counts(bytes + STEP) || counts(bytes)
    }

    /// What has been written can still be read.
    pub fn give_up(&self) {
        self.is_over.set(true);
        self.progress.give_up();
    }

    /// Whether what comes is still written.
    pub fn is_alive(&self) -> bool {
        !self.is_over.get() && !self.has_failed()
    }

    fn has_failed(&self) -> bool {
        let has_failed = self.progress.has_failed() || self.access.strong_count() == 0;
        if has_failed && let Some(cause) = self.progress.why() {
            self.tier.body_failed(self.file.number, &cause);
        }
        has_failed
    }

    /// Until less of it waits than who is in no hurry has wait.
    pub async fn until_less_waits(&self) {
        while self.is_alive() && self.behind() > CALM {
            sleep(SOON).await;
        }
    }

    fn behind(&self) -> u64 {
        self.given.get().saturating_sub(self.readable())
    }

    /// Bytes from its begin that can be read from the file.
    pub fn readable(&self) -> u64 {
        self.progress.readable()
    }

    pub fn reader(&self) -> Box<DiskBodyReader> {
        Box::new(DiskBodyReader::of_coming(self.file.with_length(self.readable()), self.access.clone()))
    }

    /// Waits until all of it is written, for as long as the disk may take for what it is behind; whether it is.
    pub async fn finish(&self, limit: Duration) -> bool {
        if !self.is_alive() {
            return false;
        }
        self.tier.tell_bodies(BodyJob::Finish(self.file.number));
        let whole = timeout(limit, self.progress.until_whole()).await.unwrap_or(false);
        match whole {
            true => self.tier.bodies_are_written(),
            false => {
                if !self.has_failed() {
                    self.tier.bodies_wait();
                }
                self.give_up();
            }
        }
        whole && self.access.strong_count() > 0
    }

    /// A record names its begin.
    pub fn is_resumed(&self) -> bool {
        self.was_there
    }

    pub fn number(&self) -> u64 {
        self.file.number
    }

    /// The body, which is whole now. `None`: the disk is gone.
    pub fn body(&self) -> Option<Arc<dyn FarBody>> {
        self.body_of(self.file.with_length(self.readable()))
    }

    /// What of it can be gone on with.
    pub fn begin_of_body(&self) -> Option<Arc<dyn FarBody>> {
        self.body_of(self.file.with_length(self.readable()).in_whole_blocks())
    }

    fn body_of(&self, file: BodyFile) -> Option<Arc<dyn FarBody>> {
        Some(Arc::new(DiskBody::new(file, &self.access.upgrade()?)))
    }

    /// A record names it: it stays.
    pub fn keep(&self) {
        self.is_kept.set(true);
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.progress.give_up();
        // Numbers of a disk that has been given up since may be another's.
        if self.is_kept.get() || self.access.strong_count() == 0 {
            return;
        }
        match self.was_there {
            true => self.tier.leave_body(self.file.number),
            false => self.tier.drop_body(self.file.number),
        }
    }
}
