//! The node's disk: its threads, what waits for them, and how it fares. A disk that is full, slow, failing or not there at
//! all costs hits, and never a request.

mod bodies;
mod life;
mod said;

use super::counters::add;
use super::disk_bodies::BodyJob;
use super::disk_threads::{News, ReadAnswer, Readers, Told, machine, start};
use super::disk_trouble::{DiskTrouble, Lateness};
use super::far::{BodyAccess, BodyNews, DiskBody, ReadLimits};
use super::random::random;
use crate::clock::{self, tick};
use crate::config::{Config, size};
use crate::lack::is_our_lack;
use crate::store::Entry;
use crate::store::disk::{
    Disk, DiskLookup, DiskPlan, ForgottenUrl, IndexSlot, JobDone, Opening, Previous, Recovered, Skipped, Unread,
};
use crate::wire::date::Timestamp;
use crate::wire::target::Key;
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(250);
/// Of the time that there is for the end this part is for what waits to be written then.
const LAST: u32 = 4;
/// While a new journal is written, a part of it is due so often.
const PART: Duration = Duration::from_millis(2);
/// Between two notes of the time in the journal.
const NOTE: u64 = 60_000;
/// So many wait at most until what they took away is written.
const TICKETS: usize = 16_384;
/// What came from a disk with a time that is yet to come, in milliseconds, is not believed.
const AHEAD: u64 = 2_000;

/// How it fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskState {
    /// There is no folder for it.
    Off,
    Reading,
    On,
    /// There was no room for a segment; what is there is read.
    Full,
    /// Left alone, for a while.
    Failed,
}

/// See the module. One thread has it; it has threads of its own.
pub struct Tier {
    plan: DiskPlan,
    folder: PathBuf,
    id: String,
    limit: Duration,
    /// `timeouts.disk_body`.
    patience: Duration,
    policy: u64,
    /// Of this boot of the machine.
    machine: u64,
    /// When this process began: what came before may have been outdated by who stood in for this node since.
    started: Timestamp,
    disk: RefCell<Disk>,
    state: Cell<DiskState>,
    writer: RefCell<Option<Sender<Told>>>,
    readers: RefCell<Option<Readers>>,
    /// To bodies that lie in files of their own.
    access: RefCell<Option<Arc<BodyAccess>>>,
    news: RefCell<Option<mpsc::UnboundedReceiver<News>>>,
    /// What has to be in the journal before somebody is answered: how much was noted, and how much is there.
    noted: Cell<u64>,
    kept: Cell<u64>,
    tickets: RefCell<HashMap<u64, (u64, oneshot::Sender<()>)>>,
    next: Cell<u64>,
    reading: RefCell<HashMap<u64, Rc<Notify>>>,
    ended: Notify,
    /// Its state has changed.
    changed: Notify,
    /// The folder says that it is not to be believed: whatever is missed now, the next process validates all that lies there.
    distrusted: RefCell<Arc<AtomicBool>>,
    /// See [`Tier::lineage`].
    lineage: Cell<u64>,
    /// When the folder was opened, or was tried to be.
    begun: Cell<Timestamp>,
    trouble: DiskTrouble,
    /// When all that lay there was last found not to be believed, and why.
    doubted: Cell<Option<(Timestamp, &'static str)>>,
    counts: DiskCounts,
}

#[derive(Default)]
struct DiskCounts {
    hits: Cell<u64>,
    reads: Cell<u64>,
    /// That a thread had to wait for.
    waited: Cell<u64>,
    late: Cell<u64>,
    busy: Cell<u64>,
    errors: Cell<u64>,
    /// Files and memory of our own.
    lack: Cell<u64>,
    recovery: Cell<u64>,
}

impl Tier {
    /// `None`: the node has no disk. What is there is read from now on, by other threads.
    pub fn start(config: &Config, id: &str) -> Option<Tier> {
        let wanted = &config.disk;
        let plan =
            DiskPlan { size: wanted.size, max_object: wanted.max_object, admit: wanted.admit, writes: wanted.writes };
        if plan.size == 0 {
            return None;
        }
        // What was opened for everyone, and is no longer, must not be answered to everyone.
        let rules = format!("{} {:?} {:?}", crate::policy::VERSION, config.cache.targeted, config.access.open);
        let tier = Tier {
            folder: wanted.path.join(id),
            id: id.to_owned(),
            limit: config.timeouts.disk,
            patience: config.timeouts.disk_body,
            policy: xxhash_rust::xxh3::xxh3_64(rules.as_bytes()),
            machine: machine(),
            started: clock::now(),
            disk: RefCell::new(Disk::new(plan.clone())),
            plan,
            state: Cell::new(DiskState::Off),
            writer: RefCell::default(),
            readers: RefCell::default(),
            access: RefCell::default(),
            news: RefCell::default(),
            noted: Cell::default(),
            kept: Cell::default(),
            tickets: RefCell::default(),
            next: Cell::default(),
            reading: RefCell::default(),
            ended: Notify::new(),
            changed: Notify::new(),
            distrusted: RefCell::default(),
            lineage: Cell::default(),
            begun: Cell::new(clock::now()),
            trouble: DiskTrouble::default(),
            doubted: Cell::default(),
            counts: DiskCounts::default(),
        };
        tier.begin();
        Some(tier)
    }

    fn send(&self) {
        let mut disk = self.disk.borrow_mut();
        if !disk.is_read() {
            return;
        }
        let jobs = disk.take_jobs();
        disk.take_gone().into_iter().for_each(|number| self.tell_bodies(BodyJob::Remove(number)));
        if let Some(writer) = self.writer.borrow().as_ref().filter(|_| !jobs.is_empty()) {
            // A writer that has ended is seen by who listens.
            let _ = writer.send(jobs);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Disk)) {
        change(&mut self.disk.borrow_mut());
        self.noted.set(self.noted.get() + 1);
        self.send();
    }

    /// Of the memory that it stands for: while this is the same, what the process before had is had still. 0: not known yet. One
    /// that fails, or cannot be had now, may be back later with all that it had.
    pub fn lineage(&self) -> u64 {
        self.lineage.get()
    }

    pub fn has(&self, key: &Key) -> bool {
        matches!(self.state.get(), DiskState::On | DiskState::Full) && self.disk.borrow().has(key.hash())
    }

    /// Whether this came from an earlier process of this node.
    pub fn is_of_before(&self, entry: &Entry) -> bool {
        entry.terms.received < self.started
    }

    /// See [`Disk::outdates`].
    pub fn outdates(&self, key: &Key, selecting: Option<&[u8]>) -> bool {
        self.disk.borrow().outdates(key.hash(), selecting)
    }

    /// The URL has nothing on disk any more, or another version; to be waited for by [`Tier::settled`].
    pub fn forget(&self, key: &Key) -> Option<ForgottenUrl> {
        let (hash, mut before) = (key.hash(), None);
        let has_nothing = self.disk.borrow().is_read() && !self.disk.borrow().has(hash);
        match has_nothing {
            true => self.disk.borrow_mut().outdate(hash),
            false => self.note(|disk| before = disk.forget(hash)),
        }
        before
    }

    /// Memory has another answer now. `selecting`: as [`Disk::outdates`] takes it.
    pub fn replace(&self, key: &Key, selecting: Option<&[u8]>) -> Option<ForgottenUrl> {
        if self.outdates(key, selecting) {
            return self.forget(key);
        }
        self.disk.borrow_mut().outdate(key.hash());
        None
    }

    /// Writes what memory has; `before` is what was forgotten for it.
    pub fn put(&self, key: &Key, entry: &Arc<Entry>, before: Option<ForgottenUrl>) {
        if entry.may_lie_on_disk() && self.try_put(key.hash(), entry, before) == Err(Skipped::First) {
            entry.wait_to_come_again();
        }
    }

    /// The same where memory has no room for it.
    pub fn put_only(&self, key: &Key, entry: &Arc<Entry>, before: Option<ForgottenUrl>) {
        if entry.may_lie_on_disk() {
            let _ = self.disk.borrow_mut().put_only(key.hash(), entry, before, clock::now());
            self.send();
        }
    }

    /// It is answered with from memory once more, so it did not come for once alone.
    pub fn put_again(&self, entry: &Arc<Entry>) {
        if self.try_put(Key::hash_of(entry.key()), entry, None) == Err(Skipped::First) {
            entry.wait_to_come_again();
        }
    }

    fn try_put(&self, hash: u64, entry: &Arc<Entry>, before: Option<ForgottenUrl>) -> Result<(), Skipped> {
        let put = self.disk.borrow_mut().put(hash, entry, before, clock::now());
        self.send();
        put
    }

    pub fn doubt_all(&self) {
        self.doubted.replace(Some((clock::now(), "this node was away, or was not told of something")));
        self.note(|disk| disk.doubt_all(clock::now()));
    }

    pub fn invalidate_groups(&self) {
        self.note(|disk| disk.invalidate_groups(clock::now()));
    }

    /// Waits until what was taken away outlives this process, or (`durable`) a power cut; false where it may not.
    pub async fn settled(&self, durable: bool) -> bool {
        self.settled_within(durable, self.limit).await
    }

    async fn settled_within(&self, durable: bool, limit: Duration) -> bool {
        let noted = self.noted.get();
        // What the next process validates anyway need not be written. A purge is not done by that.
        let is_kept = || !durable && (self.distrusted.borrow().load(Ordering::Acquire) || self.kept.get() >= noted);
        let is_read = || self.disk.borrow().is_read();
        if is_kept() || !self.until(limit, || is_kept() || is_read()).await || is_kept() {
            return is_kept();
        }
        if self.tickets.borrow().len() >= TICKETS {
            add(&self.counts.busy, 1);
            return false;
        }
        let (ticket, (waits, told)) = (self.next.get(), oneshot::channel());
        self.next.set(ticket + 1);
        self.tickets.borrow_mut().insert(ticket, (noted, waits));
        self.disk.borrow_mut().settle(ticket, durable);
        self.send();
        let kept = timeout(limit, told).await;
        if kept.is_err() {
            self.tickets.borrow_mut().remove(&ticket);
            self.late(&self.trouble.writes, "its journal is not written in time");
        }
        matches!(kept, Ok(Ok(())))
    }

    /// Waits for something that may come with another state; false where it did not in time, or there is no disk now.
    async fn until(&self, time: Duration, is_so: impl Fn() -> bool) -> bool {
        let waits = async {
            loop {
                let changed = self.changed.notified();
                if matches!(self.state.get(), DiskState::Off | DiskState::Failed) {
                    return false;
                }
                if is_so() {
                    return true;
                }
                changed.await;
            }
        };
        timeout(time, waits).await.unwrap_or(false)
    }

    fn late(&self, lateness: &Lateness, what: &str) {
        add(&self.counts.late, 1);
        if lateness.late(clock::now(), self.limit) {
            self.fail(what);
        }
    }

    /// Whether somebody reads this URL already: waits for that then.
    pub async fn joins(&self, key: &Key) -> bool {
        let reading = self.reading.borrow().get(&key.hash()).cloned();
        let Some(reading) = reading else { return false };
        let _ = timeout(self.limit, reading.notified()).await;
        true
    }

    /// What lies there, the newest variant first. Others wait for it until what is given back is dropped.
    pub async fn read(self: &Rc<Tier>, key: &Key) -> Option<(Vec<Arc<Entry>>, DiskReading)> {
        let hash = key.hash();
        let DiskLookup { slot, entries, read } = self.disk.borrow_mut().find(hash, key.as_str().as_bytes())?;
        let reading = DiskReading::begin(self, hash);
        let mut found = entries;
        let mut lies = read.filter(|_| found.iter().all(|entry| !entry.vary().is_empty()));
        while let Some(from) = lies.take() {
            let lineage = self.disk.borrow().lineage();
            let at_once = self.readers.borrow().as_ref()?.at_once(lineage, key.as_str().as_bytes(), from);
            let answer = match at_once {
                Some(answer) => Some(answer),
                None => self.waited_for(lineage, key, from).await?,
            };
            add(&self.counts.reads, u64::from(answer.is_some()));
            if let Some(Err(why)) = &answer
                && found.is_empty()
            {
                lies = self.disk.borrow().moved(hash, slot, from, why.is_gone());
            }
            match answer {
                _ if lies.is_some() => {}
                Some(Ok(more)) => {
                    found.extend(more.into_iter().filter_map(|read| self.with_body(read)).map(Arc::new));
                }
                Some(Err(Unread::Bad(why))) => {
                    tracing::debug!("disk: {why:?} where {} was to be", key.as_str());
                    self.bad(hash, slot, &found);
                }
                Some(Err(Unread::System(cause))) => {
                    // Its segment may have gone meanwhile.
                    if cause.kind() != io::ErrorKind::NotFound {
                        self.failed(&cause);
                    }
                    if !is_our_lack(&cause) {
                        self.bad(hash, slot, &found);
                    }
                }
                None => {}
            }
        }
        if !self.disk.borrow().is_current(hash, slot) {
            return None;
        }
        let latest = clock::now().0 + AHEAD;
        found.retain(|entry| entry.terms.received.0 <= latest);
        Some((found, reading))
    }

    /// What a thread that may wait for the device reads; in it `None` where that was not back in time. `None`: nobody was asked.
    async fn waited_for(&self, lineage: u64, key: &Key, from: Previous) -> Option<Option<ReadAnswer>> {
        let begun = tick();
        let asker = self.readers.borrow().as_ref()?.asker();
        let asked = timeout(self.limit, asker.ask(lineage, key.as_str().as_bytes().into(), from)).await;
        let Ok(asked) = asked else {
            self.late(&self.trouble.reads, "reads are not back in time");
            return None;
        };
        let Some(told) = asked else {
            add(&self.counts.busy, 1);
            return None;
        };
        add(&self.counts.waited, 1);
        match timeout(self.limit.saturating_sub(tick().since(begun)), told).await {
            Ok(Ok(answer)) => {
                if answer.is_ok() {
                    self.trouble.reads.in_time();
                }
                return Some(Some(answer));
            }
            Ok(Err(_)) => {}
            Err(_) => self.late(&self.trouble.reads, "reads are not back in time"),
        }
        Some(None)
    }

    /// What lies behind that which is not written yet may be gone.
    fn bad(&self, hash: u64, slot: IndexSlot, found: &[Arc<Entry>]) {
        if !found.is_empty() {
            return;
        }
        self.disk.borrow_mut().bad(hash, slot);
        self.send();
    }

    pub fn count_hit(&self) {
        add(&self.counts.hits, 1);
    }

    /// Writes what memory alone has, as far as there is time, and then that all is in order.
    pub async fn finish(&self, all: impl Iterator<Item = Arc<Entry>>, time: Duration) {
        let begun = tick();
        let left = || time.saturating_sub(tick().since(begun));
        let flush = async {
            // The variants of a URL come one after the other.
            let mut of = None;
            for entry in all.filter(|entry| entry.may_lie_on_disk()) {
                let hash = Key::hash_of(entry.key());
                let was_there = of.filter(|(last, _)| *last == hash).map(|(_, was_there)| was_there);
                let was_there = was_there.unwrap_or_else(|| self.disk.borrow().has(hash));
                of = Some((hash, was_there));
                let selecting = (!entry.vary().is_empty()).then(|| entry.selecting());
                if was_there && self.disk.borrow().outdates(hash, selecting) {
                    continue;
                }
                while self.try_put(hash, &entry, None) == Err(Skipped::Behind) {
                    if !self.settled_within(false, left()).await {
                        return;
                    }
                    sleep(PART).await;
                }
            }
        };
        // What was told while the journal is still read is to be written too.
        if !self.until(left(), || self.disk.borrow().is_read()).await {
            return;
        }
        self.disk.borrow_mut().ends();
        // What it has put by then is to be written as well.
        let _ = timeout(left() - left() / LAST, flush).await;
        self.disk.borrow_mut().finish(clock::now());
        self.send();
        if timeout(left().max(self.limit).max(LOOK), self.ended.notified()).await.is_err() {
            tracing::warn!("disk: {} did not end in order", self.folder.display());
        }
    }

    pub fn metrics(&self, all: &mut Map<String, Value>) {
        let disk = self.disk.borrow();
        let counts = &self.counts;
        let mut put = |name: &str, value: u64| _ = all.insert(format!("disk_{name}"), value.into());
        put("state", self.state.get() as u64);
        put("bytes", disk.bytes());
        put("behind_bytes", disk.behind() + self.bodies_behind());
        put("bodies", disk.large().0 as u64);
        put("body_bytes", disk.large().1);
        put("objects", disk.objects() as u64);
        put("hits", counts.hits.get());
        put("reads", counts.reads.get());
        put("not_cached_reads", counts.waited.get());
        put("written_bytes", disk.counts.written);
        put("rewritten_bytes", disk.counts.rewritten);
        put("bad_records", disk.counts.bad);
        put("syncs", disk.counts.syncs);
        put("errors_system", counts.errors.get());
        put("errors_lack", counts.lack.get());
        put("errors_late", counts.late.get());
        put("errors_busy", counts.busy.get());
        put("recovery_milliseconds", counts.recovery.get());
        for ((_, why), count) in Skipped::ALL.iter().zip(disk.counts.skipped) {
            put(&format!("skipped_{why}"), count);
        }
    }
}

/// A read that others wait for.
pub struct DiskReading(Rc<Tier>, u64);

impl DiskReading {
    fn begin(disk: &Rc<Tier>, hash: u64) -> DiskReading {
        disk.reading.borrow_mut().insert(hash, Rc::default());
        DiskReading(disk.clone(), hash)
    }
}

impl Drop for DiskReading {
    fn drop(&mut self) {
        let waited_for = self.0.reading.borrow_mut().remove(&self.1);
        waited_for.iter().for_each(|waited_for| waited_for.notify_waiters());
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
