//! The one file that names moka.

use super::entry::Entry;
use super::shelf::{Shelf, ShelfLimits};
use super::weigh::Weigh;
use crate::config::{self, Eviction};
use crate::wire::target::Key;
use http::HeaderMap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Anything by the hash of its URL, bounded in bytes; many threads may use it.
pub struct Bounded<V: Weigh> {
    cache: Cache<u64, V, BuildHasherDefault<AsIs>>,
    /// What was looked for last and was not there.
    missed: AtomicU64,
    /// Bytes that there is room for.
    memory: u64,
    eviction: Eviction,
}

/// TinyLFU lets in what is asked for more often than all together that would have to make room for it, which a large object
/// hardly ever is. It has to stand up to no more than so many of average size.
const CONTENDERS: u64 = 8;
/// What takes this part of the memory makes its room at once.
const LARGE: u64 = 1024;
/// So many rounds and what was taken out is dropped.
const EPOCHS: usize = 4;

thread_local! {
    /// As what is being inserted on this thread competes for its place; the weigher is called by `insert`, on its thread.
    static COMPETES_AS: Cell<u32> = const { Cell::new(u32::MAX) };
}

impl<V: Weigh> Bounded<V> {
    /// Holds at most `memory` bytes.
    pub fn new(memory: u64, eviction: Eviction) -> Bounded<V> {
        let policy = match eviction {
            Eviction::TinyLfu => EvictionPolicy::tiny_lfu(),
            Eviction::Lru => EvictionPolicy::lru(),
        };
        let cache = Cache::builder()
            .max_capacity(memory)
            .weigher(|_, value: &V| value.weight().min(COMPETES_AS.get()))
            .eviction_policy(policy)
            // Called for whatever an insertion has put in, once, when it is replaced, removed, evicted or not let in.
            .eviction_listener(|_, value: V, _| value.holds().for_each(|hold| hold.leave_store()))
            .build_with_hasher(BuildHasherDefault::default());
        Bounded { cache, missed: AtomicU64::new(0), memory, eviction }
    }
    /// A request looks several times for what is not there, and once for what is there. Each request counts once: or what
    /// comes for the first time would seem to be asked for more often than what is kept, and would take its place.
    pub fn get(&self, hash: u64) -> Option<V> {
        if self.missed.load(Relaxed) == hash && !self.holds(hash) {
            return None;
        }
        let found = self.cache.get(&hash);
        if found.is_none() {
            self.missed.store(hash, Relaxed);
        }
        found
    }
    /// Whether it is there; unlike [`Bounded::get`] this never counts as being asked for.
    pub fn holds(&self, hash: u64) -> bool {
        self.cache.contains_key(&hash)
    }
    /// False: it was not let in, or is gone already.
    pub fn insert(&self, hash: u64, value: V) -> bool {
        // Whoever looks for it from now on is another request, even where it was not let in.
        self.missed.store(0, Relaxed);
        let weight = u64::from(value.weight());
        if weight > self.memory {
            // moka would drop it by and by, and it would be found until then. What it was to replace is outdated.
            self.remove(hash);
            return false;
        }
        let is_let_in = self.is_let_in(hash, &value);
        if is_let_in {
            self.put(hash, value);
        }
        // By itself moka evicts after as many as 64 insertions.
        if weight < self.memory / LARGE {
            return is_let_in;
        }
        self.tidy();
        self.holds(hash)
    }
    fn put(&self, hash: u64, value: V) {
        value.holds().for_each(|hold| hold.enter_store());
        self.cache.insert(hash, value);
    }
    /// Evicts what is too much, and drops what was evicted, replaced or removed: moka leaves that for later work. Each
    /// round lets the epoch, for which what was taken out has to wait, go on by one (crossbeam).
    pub fn tidy(&self) {
        (0..EPOCHS).for_each(|_| self.cache.run_pending_tasks());
    }
    /// Lets a large one compete as one that is smaller; who is in already is not asked again, and takes what it weighs.
    fn is_let_in(&self, hash: u64, value: &V) -> bool {
        let (weight, held) = (u64::from(value.weight()), self.cache.weighted_size());
        let most = CONTENDERS * held / self.cache.entry_count().max(1);
        let competes = self.eviction == Eviction::TinyLfu && held + weight > self.memory && weight <= self.memory;
        if !competes || weight <= most || self.holds(hash) {
            return true;
        }
        COMPETES_AS.set(u32::try_from(most).unwrap_or(u32::MAX).max(1));
        self.put(hash, value.clone());
        COMPETES_AS.set(u32::MAX);
        self.cache.run_pending_tasks();
        self.holds(hash)
    }
    pub fn remove(&self, hash: u64) -> Option<V> {
        if !self.holds(hash) {
            return None;
        }
        // moka counts what a change adds to a weight some time later, and not if the entry is gone by then; but takes all of
        // it off when the entry goes.
        self.cache.run_pending_tasks();
        self.cache.remove(&hash)
    }
    /// All that is there, in no order; nothing of it counts as being asked for.
    pub fn all(&self) -> impl Iterator<Item = V> {
        self.cache.iter().map(|(_, value)| value)
    }
    /// How many there are, and their weight in bytes. Pending work is done first, so the numbers are exact.
    pub fn size(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }
}

/// Stored responses by URL, bounded in bytes. Freshness is decided when an entry is read (RFC 9111 section 4.2), so a
/// stale entry stays for revalidation until it is evicted for room.
pub struct Store {
    cache: Bounded<Shelf>,
    limits: ShelfLimits,
}

impl Store {
    pub fn new(config: &config::CacheConfig, limits: ShelfLimits) -> Store {
        Store { cache: Bounded::new(config.memory, config.eviction), limits }
    }

    /// Of what is kept of one URL.
    pub fn limits(&self) -> ShelfLimits {
        self.limits
    }

    /// What is stored under exactly this URL. The cache is keyed by a 64-bit hash, so the key itself is compared.
    pub fn get(&self, key: &Key) -> Option<Shelf> {
        self.at(key.hash(), key.as_str().as_bytes())
    }

    /// Whether something is stored under its hash; it does not count as being asked for.
    pub fn holds(&self, key: &Key) -> bool {
        self.cache.holds(key.hash())
    }

    /// The same as [`Store::get`] by the parts of a key: its hash and its text.
    pub fn at(&self, hash: u64, key: &[u8]) -> Option<Shelf> {
        let shelf = self.cache.get(hash)?;
        shelf.entries().first().is_some_and(|e| e.key() == key).then_some(shelf)
    }

    /// Whether there is room for a response with these fields and a body of so many bytes, were it the only one.
    pub fn could_hold(&self, key: &Key, fields: &HeaderMap, body: u64) -> bool {
        // Longer than any head: nearly always this is all.
        const AMPLE: u64 = 4 << 20;
        body.saturating_add(AMPLE) <= self.cache.memory
            || body.saturating_add(Entry::bytes_besides_body(key, fields)) <= self.cache.memory
    }

    /// Adds an entry, or puts it in the place of the variant that it replaces. Of variants that have no room beside each
    /// other the new one stays.
    pub fn put(&self, key: &Key, entry: Arc<Entry>) {
        let known = if self.cache.holds(key.hash()) { self.get(key) } else { None };
        let shelf = known.map(|shelf| shelf.with(entry.clone(), self.limits));
        let fits = |shelf: &Shelf| u64::from(shelf.weight()) <= self.cache.memory;
        let shelf = shelf.filter(fits).unwrap_or(Shelf::One(entry));
        self.cache.insert(key.hash(), shelf);
    }

    /// Removes one entry of a URL, if it is still there.
    pub fn take_out(&self, key: &Key, entry: &Arc<Entry>) {
        match self.get(key).map(|shelf| shelf.without(entry)) {
            Some(Some(shelf)) => _ = self.cache.insert(key.hash(), shelf),
            Some(None) => _ = self.cache.remove(key.hash()),
            None => {}
        }
    }

    /// Removes a URL with all its variants; whether there was something.
    pub fn remove(&self, key: &Key) -> bool {
        self.get(key).is_some() && self.cache.remove(key.hash()).is_some()
    }

    /// All entries, in no order.
    pub fn all(&self) -> impl Iterator<Item = Arc<Entry>> {
        self.cache.all().flat_map(|shelf| shelf.entries().to_vec())
    }

    /// See [`Bounded::tidy`].
    pub fn tidy(&self) {
        self.cache.tidy();
    }

    /// How many URLs are stored, and their weight in bytes.
    pub fn size(&self) -> (u64, u64) {
        self.cache.size()
    }
}

/// The URLs whose answers could not be stored lately, and why (`W`).
pub struct Uncacheable<W: Copy + PartialEq + Send + Sync + 'static> {
    urls: Cache<u64, (W, Then), BuildHasherDefault<AsIs>>,
}

/// What follows from an answer that could not be stored for the next requests for its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// They do not wait for each other: nor will their answers be.
    Alone,
    /// Nothing: it was that one request's own doing.
    AsBefore,
}

impl<W: Copy + PartialEq + Send + Sync + 'static> Uncacheable<W> {
    /// Remembers at most `most` URLs, each for `time`.
    pub fn new(most: u64, time: Duration) -> Uncacheable<W> {
        let urls = Cache::builder()
            .max_capacity(most)
            .time_to_live(time)
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(BuildHasherDefault::default());
        Uncacheable { urls }
    }
    pub fn note(&self, key: &Key, why: W, then: Then) {
        let known = self.urls.get(&key.hash());
        let then = if known.is_some_and(|(_, then)| then == Then::Alone) { Then::Alone } else { then };
        // A page that is never storable is asked for often: it costs a look, not a write.
        if known != Some((why, then)) {
            self.urls.insert(key.hash(), (why, then));
        }
    }
    /// Why the last answer was not stored, when that is not long ago.
    pub fn why(&self, key: &Key) -> Option<W> {
        self.urls.get(&key.hash()).map(|(why, _)| why)
    }
    /// The same by the hash of its key, of a URL whose requests do not wait for each other.
    pub fn alone(&self, hash: u64) -> Option<W> {
        self.urls.get(&hash).filter(|(_, then)| *then == Then::Alone).map(|(why, _)| why)
    }
    pub fn forget(&self, key: &Key) {
        self.urls.invalidate(&key.hash());
    }
    /// Whether requests for it do not wait for each other.
    pub fn holds(&self, key: &Key) -> bool {
        self.urls.get(&key.hash()).is_some_and(|(_, then)| then == Then::Alone)
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}
