//! The disk over files of a model: what was not synced is lost, torn or there after a power cut, as it comes.

mod damaged;
mod files;
mod going;
mod large;
mod properties;
mod settling;
mod size;
mod unread;

use super::files::{FileName, Files};
use super::index::Id;
use super::journal::{Frame, SumSeed};
use super::writer::{DiskWriter, Journal};
use super::*;
use crate::config::Admit;
use crate::policy::{LifetimeSource, Marks, Terms};
use crate::store::entry::{Entry, Mark};
use crate::wire::date::Timestamp;
use crate::wire::target::Key;
use bytes::Bytes;
use files::Model;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

const NOW: u64 = 1_700_000_000_000;
const SMALL: u64 = 1 << 20;

/// A node's disk, its writer, and what they work on.
struct Rig {
    files: Arc<Model>,
    disk: Disk,
    writer: DiskWriter<Model>,
    size: u64,
    machine: u64,
    now: u64,
    found: (Option<&'static str>, Option<&'static str>),
    is_broken: bool,
    /// The ticket of who waits next, and of those that do not wait any more.
    next: u64,
    settled: Vec<u64>,
}

impl Rig {
    fn new(size: u64) -> Rig {
        Rig::open(Arc::new(Model::default()), size, 1, NOW)
    }

    fn open(files: Arc<Model>, size: u64, machine: u64, now: u64) -> Rig {
        Rig::try_open(files, size, machine, now, 5).unwrap()
    }

    fn try_open(files: Arc<Model>, size: u64, machine: u64, now: u64, policy: u64) -> std::io::Result<Rig> {
        let plan = DiskPlan { size, max_object: u64::MAX, admit: Admit::Always, writes: 0 };
        let lineage = now ^ machine << 50;
        let opening = Opening { machine, policy, now, lineage, reserve: 4096, room: plan.room() };
        let (writer, _, found) = open(files.clone(), &opening, || ())?;
        let said = (found.doubted, found.emptied);
        let mut disk = Disk::new(plan);
        disk.adopt(found);
        let (found, is_broken, next, settled) = (said, false, 0, Vec::new());
        let mut rig = Rig { files, disk, writer, size, machine, now, found, is_broken, next, settled };
        rig.work();
        let (there, known) = rig.bodies();
        assert_eq!(there, known, "what no record names is removed");
        Ok(rig)
    }

    /// What the next process has before it knows what is there.
    fn unread(&self) -> (DiskWriter<Model>, Recovered, Disk) {
        let plan = DiskPlan { size: self.size, max_object: u64::MAX, admit: Admit::Always, writes: 0 };
        let opening = Opening { machine: 1, policy: 5, now: NOW, lineage: 9, reserve: 4096, room: plan.room() };
        let (writer, _, found) = open(self.files.clone(), &opening, || ()).unwrap();
        (writer, found, Disk::new(plan))
    }

    fn again(self) -> Rig {
        Rig::open(self.files, self.size, self.machine, self.now)
    }

    fn work(&mut self) {
        self.write();
        let done = self.writer.sync();
        self.heed(done);
    }

    /// All but a sync.
    fn write(&mut self) {
        loop {
            let jobs = self.disk.take_jobs();
            for number in self.disk.take_gone() {
                self.files.remove(FileName::Body(number)).unwrap();
            }
            if jobs.is_empty() {
                return;
            }
            let done = self.writer.run(jobs);
            self.heed(done);
        }
    }

    fn heed(&mut self, all: Vec<JobDone>) {
        for done in all {
            self.is_broken |= matches!(done, JobDone::Broken(_));
            self.disk.done(&done, Timestamp(self.now));
            if let JobDone::Settled(ticket) = done {
                self.settled.push(ticket);
            }
        }
    }

    fn settle(&mut self, durable: bool) {
        let ticket = self.ask(durable);
        self.work();
        assert!(self.is_broken || self.settled.contains(&ticket));
    }

    /// To be told when what was taken away is kept.
    fn ask(&mut self, durable: bool) -> u64 {
        self.next += 1;
        self.disk.settle(self.next, durable);
        self.next
    }

    fn put(&mut self, entry: &Arc<Entry>) -> Result<(), Skipped> {
        let hash = hash(entry.key());
        let selecting = (!entry.vary().is_empty()).then(|| entry.selecting());
        let mut before = None;
        if self.disk.outdates(hash, selecting) {
            before = self.disk.forget(hash);
            self.settle(false);
        }
        match entry.body().len() > self.disk.longest() / 2 {
            true => self.put_apart(entry, before),
            false => self.disk.put(hash, entry, before, Timestamp(self.now)),
        }
    }

    fn get(&mut self, url: &str) -> Vec<Entry> {
        self.get_at(hash(url.as_bytes()), url)
    }

    fn get_at(&mut self, hash: u64, url: &str) -> Vec<Entry> {
        let Some(DiskLookup { slot, entries, read: from }) = self.disk.find(hash, url.as_bytes()) else {
            return Vec::new();
        };
        let mut found: Vec<Entry> = entries.iter().map(|entry| copy(entry)).collect();
        if let Some(from) = from {
            let read = |pace| read(&*self.files, self.disk.lineage(), url.as_bytes(), from, pace);
            let found_now = read(ReadPace::AtOnce);
            let waits = found_now.as_ref().is_err_and(Unread::is_only_not_at_once);
            match if waits { read(ReadPace::Waiting) } else { found_now } {
                Ok(more) => {
                    // Who finds the body gone asks the origin, and what is older is not looked at.
                    for read in more {
                        let Some(entry) = self.with_body(hash, read) else { break };
                        found.push(entry);
                    }
                }
                // A record behind one that waits may be gone.
                Err(_) if !found.is_empty() => {}
                Err(_) => self.disk.bad(hash, slot),
            }
        }
        found
    }

    fn finish(mut self) -> Rig {
        self.disk.finish(Timestamp(self.now));
        self.work();
        self
    }
}

fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

fn copy(entry: &Entry) -> Entry {
    let key = Key::parse(std::str::from_utf8(entry.key()).unwrap()).unwrap();
    entry.renewed(&entry.headers(0), entry.terms, entry.mark, &key, entry.selecting())
}

/// A page that says in its body what it is. `variant` 0: the same for all.
fn page(url: &str, variant: u8, version: u64, marks: Marks, size: usize) -> Arc<Entry> {
    let mut headers = HeaderMap::new();
    if variant > 0 {
        headers.insert("vary", "accept-language".parse().unwrap());
    }
    let selecting = if variant > 0 { format!("accept-language:{variant}\n") } else { String::new() };
    let terms = Terms {
        born: Timestamp(NOW),
        received: received(version),
        waited: 0,
        lifetime: 1 << 40,
        fresh_until: Timestamp(NOW + (1 << 40)),
        stale_while_revalidate: 0,
        stale_if_error: 0,
        source: LifetimeSource::MaxAge,
        marks,
    };
    let text = format!("{variant} {version} ");
    let body: Vec<u8> = text.bytes().cycle().take(size.max(text.len())).collect();
    let key = Key::parse(url).unwrap();
    let body = vec![Bytes::from(body)];
    Arc::new(Entry::new(&key, StatusCode::OK, &headers, selecting.as_bytes(), terms, Mark::Anyone, body))
}

fn body(entry: &Entry) -> Vec<u8> {
    entry.body().pieces().concat()
}

/// When a version came: one after the other.
fn received(version: u64) -> Timestamp {
    Timestamp(NOW + version.min(1 << 30))
}

fn url(n: u64) -> String {
    format!("http://a.example/{n}")
}

fn stored(rig: &mut Rig, n: u64) -> Option<(u64, bool)> {
    let found = rig.get(&url(n));
    let entry = found.first()?;
    let text = String::from_utf8(body(entry)).unwrap();
    let version = text.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(body(entry), body(&page(&url(n), 0, version, Marks::NONE, text.len())));
    Some((version, entry.terms.always_validate()))
}

fn put(rig: &mut Rig, n: u64, version: u64) {
    rig.put(&page(&url(n), 0, version, Marks::NONE, 300)).unwrap();
}

#[test]
fn what_was_written_is_there_after_a_kill_and_what_waited_is_not() {
    let mut rig = Rig::new(SMALL);
    (0..100).for_each(|n| put(&mut rig, n, n));
    assert_eq!(stored(&mut rig, 7), Some((7, false)), "from what waits");
    assert_eq!(rig.disk.objects(), 0, "what waits is not counted");
    rig.work();
    put(&mut rig, 100, 100);
    assert_eq!(rig.disk.objects(), 100);
    let mut rig = rig.again();
    assert_eq!((rig.found, rig.disk.objects()), ((None, None), 100));
    (0..100).for_each(|n| assert_eq!(stored(&mut rig, n), Some((n, false))));
    let mut rig = rig.finish().again();
    assert_eq!((rig.found, stored(&mut rig, 99)), ((None, None), Some((99, false))));
}

#[test]
fn what_memory_had_before_something_became_invalid_is_doubtful_though_it_is_written_after_that() {
    let mut rig = Rig::new(SMALL);
    let put = |rig: &mut Rig, n, version, marks| {
        rig.disk.put(hash(url(n).as_bytes()), &page(&url(n), 0, version, marks, 300), None, Timestamp(NOW)).unwrap();
    };
    rig.disk.doubt_all(received(3));
    rig.disk.invalidate_groups(received(5));
    put(&mut rig, 0, 5, Marks::GROUPED);
    put(&mut rig, 1, 6, Marks::GROUPED);
    put(&mut rig, 2, 5, Marks::NONE);
    put(&mut rig, 3, 3, Marks::NONE);
    put(&mut rig, 4, 4, Marks::NONE);
    rig.work();
    for _ in 0..2 {
        let doubtful: Vec<u64> = (0..5).filter(|n| stored(&mut rig, *n).unwrap().1).collect();
        assert_eq!(doubtful, [0, 3]);
        rig = rig.again();
    }
}

#[test]
fn a_url_is_not_answered_with_what_another_one_of_the_same_bits_has_written_or_waiting() {
    let mut rig = Rig::new(SMALL);
    let (hash, key) = (hash(url(1).as_bytes()), url(2));
    // Bits that the index does not keep.
    let other = hash ^ 1 << 40;
    for round in ["it waits", "it is written"] {
        rig.disk.put(hash, &page(&url(1), 0, 1, Marks::NONE, 300), None, Timestamp(NOW)).unwrap();
        for hash in [hash, other] {
            assert!(rig.get_at(hash, &key).is_empty(), "{round}");
        }
        assert_eq!(stored(&mut rig, 1), Some((1, false)), "{round}");
        rig.work();
    }
    // And one that waits before the other.
    rig.disk.put(other, &page(&key, 1, 2, Marks::NONE, 300), None, Timestamp(NOW)).unwrap();
    assert_eq!((rig.get_at(other, &key).len(), stored(&mut rig, 1)), (1, None));
}

#[test]
fn after_a_power_cut_all_is_doubtful_and_what_was_purged_is_gone() {
    let mut rig = Rig::new(SMALL);
    (0..20).for_each(|n| put(&mut rig, n, n));
    rig.work();
    rig.disk.forget(hash(url(3).as_bytes()));
    rig.settle(true);
    let files = rig.files.clone();
    drop(rig);
    files.cut_power(None);
    let mut rig = Rig::open(files, SMALL, 2, NOW);
    assert!(rig.found.0.is_some());
    assert_eq!(stored(&mut rig, 3), None);
    assert!((0..20).filter_map(|n| stored(&mut rig, n)).all(|(_, doubtful)| doubtful));
    // What is stored from now on is not.
    put(&mut rig, 5, 55);
    rig.work();
    let mut rig = rig.again();
    assert_eq!((rig.found.0, stored(&mut rig, 5)), (None, Some((55, false))));
    assert!(stored(&mut rig, 4).is_none_or(|(_, doubtful)| doubtful), "still, after a start in order");
}

#[test]
fn the_oldest_go_and_what_was_used_is_kept() {
    let mut rig = Rig::new(SMALL);
    put(&mut rig, 0, 0);
    rig.work();
    for n in 1..20_000 {
        assert_eq!(stored(&mut rig, 0), Some((0, false)), "{n} came after it");
        put(&mut rig, n, n);
        if n % 7 == 0 {
            rig.disk.go_on(Timestamp(NOW));
            rig.work();
        }
    }
    rig.work();
    assert!(rig.disk.bytes() <= SMALL + SMALL / 4, "{} bytes", rig.disk.bytes());
    assert!(rig.files.bytes() <= SMALL + SMALL / 4, "{} bytes", rig.files.bytes());
    assert_eq!((stored(&mut rig, 1), stored(&mut rig, 19_999)), (None, Some((19_999, false))));
    assert!(rig.disk.counts.rewritten > 0 && rig.disk.counts.bad == 0);
    let objects = rig.disk.objects();
    let mut rig = rig.again();
    assert_eq!((rig.disk.objects(), stored(&mut rig, 0)), (objects, Some((0, false))));
}

#[test]
fn for_a_byte_that_is_stored_less_than_1_3_are_written_where_all_that_goes_was_used() {
    let mut rig = Rig::new(16 * SMALL);
    for n in 0..12_000 {
        rig.put(&page(&url(n), 0, n, Marks::NONE, 3_000)).unwrap();
        rig.disk.used(hash(url(n).as_bytes()));
        if n % 50 == 0 {
            rig.work();
        }
    }
    rig.work();
    let counts = &rig.disk.counts;
    let stored = (counts.written - counts.rewritten) as f64;
    let of_it = counts.written as f64 / stored;
    assert!((1.1..1.26).contains(&of_it), "{of_it:.3}, and what the journal takes: {} bytes", rig.files.bytes());
}

#[test]
fn a_long_journal_is_written_anew_and_says_the_same() {
    let mut rig = Rig::new(16 * SMALL);
    for round in 0..60 {
        (0..1000).for_each(|n| put(&mut rig, n, round));
        rig.work();
    }
    let before = rig.files.length(&|name| matches!(name, FileName::Journal(_)));
    rig.disk.go_on(Timestamp(NOW));
    let mut rounds = 0;
    while rig.disk.is_drafting() {
        // While it is written, things change.
        put(&mut rig, rounds, 100);
        rig.disk.forget(hash(url(500 + rounds).as_bytes()));
        rig.work();
        rig.disk.go_on(Timestamp(NOW));
        rounds += 1;
    }
    rig.work();
    let after = rig.files.length(&|name| matches!(name, FileName::Journal(_)));
    assert!(rounds > 5 && after < before / 10, "{rounds} rounds, {before} -> {after} bytes");
    let mut rig = rig.again();
    assert_eq!((rig.found, rig.disk.objects()), ((None, None), 1000 - rounds as usize));
    for n in 0..1000 {
        let expected = if n < rounds { Some((100, false)) } else { Some((59, false)) };
        let expected = expected.filter(|_| !(500..500 + rounds).contains(&n));
        assert_eq!(stored(&mut rig, n), expected, "{n}");
    }
}

#[test]
fn no_more_of_a_new_journal_waits_than_one_part_of_it() {
    let mut rig = Rig::new(64 * SMALL);
    (0..30_000).for_each(|n| _ = rig.put(&page(&url(n), 0, n, Marks::NONE, 10)));
    rig.work();
    rig.disk.draft_anew();
    let (mut all, mut rounds) = (0, 0);
    while rig.disk.is_drafting() {
        let frames = |job: &DiskJob| match job {
            DiskJob::Draft { frames, .. } => frames.len(),
            _ => 0,
        };
        (0..50).for_each(|_| rig.disk.go_on(Timestamp(NOW)));
        let jobs = rig.disk.take_jobs();
        let waits = jobs.iter().map(frames).sum::<usize>();
        assert!(waits < 10_000, "{waits} frames wait");
        (all, rounds) = (all + waits, rounds + 1);
        for done in rig.writer.run(jobs) {
            rig.disk.done(&done, Timestamp(NOW));
        }
    }
    assert!(all >= 30_000 && rounds > 4, "{all} frames, {rounds} rounds");
    rig.work();
    assert_eq!(rig.again().disk.objects(), 30_000);
}

#[test]
fn a_smaller_disk_keeps_the_newest() {
    let mut rig = Rig::new(4 * SMALL);
    (0..8_000).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let mut rig = Rig::open(rig.files, SMALL, 1, NOW);
    rig.work();
    assert!(rig.files.bytes() <= SMALL + SMALL / 4, "{} bytes", rig.files.bytes());
    assert_eq!((stored(&mut rig, 0), stored(&mut rig, 7_999)), (None, Some((7_999, false))));
}

#[test]
fn without_room_it_makes_do_with_what_there_is() {
    let mut rig = Rig::new(SMALL);
    rig.files.limit(SMALL / 2);
    for n in 0..10_000 {
        let _ = rig.put(&page(&url(n), 0, n, Marks::NONE, 300));
        rig.now += 1_000;
        rig.work();
    }
    assert!(!rig.is_broken);
    let there = (0..10_000).filter(|n| stored(&mut rig, *n).is_some()).count();
    assert!(there > 500, "{there} objects");
    let mut rig = rig.again();
    assert_eq!((0..10_000).filter(|n| stored(&mut rig, *n).is_some()).count(), there);
}

#[test]
fn what_it_has_stays_and_it_is_not_full_where_the_process_may_have_no_more_files() {
    let mut rig = Rig::new(SMALL);
    put(&mut rig, 1, 1);
    rig.work();
    rig.files.lack(true);
    for n in 2..10_000 {
        let _ = rig.put(&page(&url(n), 0, n, Marks::NONE, 300));
        rig.work();
    }
    assert_eq!((rig.is_broken, rig.disk.is_full(), stored(&mut rig, 1)), (false, false, Some((1, false))));
    assert_eq!(stored(&mut rig, 9_999), None, "there was no file for it");
    rig.files.lack(false);
    put(&mut rig, 2, 2);
    rig.work();
    assert_eq!(stored(&mut rig, 2), Some((2, false)));
    let mut rig = rig.again();
    assert_eq!([1, 2, 9_999].map(|n| stored(&mut rig, n).is_some()), [true, true, false]);
}

#[test]
fn variants_lie_one_behind_the_other_and_an_older_one_does_not_come_back() {
    let mut rig = Rig::new(SMALL);
    let of = |variant, version| page(&url(1), variant, version, Marks::NONE, 200);
    for (variant, version) in [(1, 1), (2, 2), (1, 3)] {
        rig.put(&of(variant, version)).unwrap();
    }
    rig.work();
    let mut rig = rig.again();
    let found: Vec<Vec<u8>> = rig.get(&url(1)).iter().map(body).collect();
    assert_eq!(found, [of(1, 3), of(2, 2), of(1, 1)].map(|entry| body(&entry)), "the newest first");
    // Two are put at the same time: the second takes away what the first one's place was.
    let first = rig.disk.forget(hash(url(1).as_bytes()));
    let second = rig.disk.forget(hash(url(1).as_bytes()));
    assert!(second.is_none());
    rig.disk.put(hash(url(1).as_bytes()), &of(1, 4), second, Timestamp(NOW)).unwrap();
    rig.disk.put(hash(url(1).as_bytes()), &of(2, 5), first, Timestamp(NOW)).unwrap();
    rig.work();
    let found: Vec<Vec<u8>> = rig.get(&url(1)).iter().map(body).collect();
    assert_eq!(found, [body(&of(2, 5))], "what lay before may be older than what was there meanwhile");
}
