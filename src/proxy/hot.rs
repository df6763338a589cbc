//! The front's own copy of what everyone asks for, shared by its workers.
//!
//! It answers only what the policy answers as a fresh hit. A copy stands for a second at most; towards the end of that the
//! node is asked again for one request, which is served like the others. If none came then, the first that comes later
//! waits for the node, and the others are still served, until the copy is two seconds old at most. What passes here and
//! makes a URL invalid removes its copy at once; what passes through another front is heard of from the node, when it is
//! asked again.

use super::making::{AllMaking, Making};
use crate::account::{AccountKind, Hold};
use crate::clock::{self, Tick, tick};
use crate::config::{Config, Eviction};
use crate::net::lasting::Lasting;
use crate::net::serve::Payload;
use crate::policy::{self, Groups, Marks, Rules};
use crate::recent::Recent;
use crate::store::{Bounded, Entry, Mark, Shelf, Weigh};
use crate::wire::date::Timestamp;
use crate::wire::field::FieldId;
use crate::wire::status;
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use crate::wire::written::{field, status_line};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode, request, response};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// After this many milliseconds somebody waits for the node's word on a copy.
const STANDS: u64 = 1000;
/// Milliseconds before, at least: what is asked for often is asked of the node again without anybody waiting.
const AHEAD: u64 = STANDS / 10;
/// Up to so many more: what was copied in one moment is not all asked for again in one moment.
const SPREAD: u64 = STANDS / 5;
/// And serves nobody any more after this many, unless the node has confirmed it by then.
const ENDS: u64 = 2 * STANDS;
/// What became invalid through another front is served no longer than this.
pub const RUNS_OUT: Duration = Duration::from_millis(ENDS);
/// Who changes something through another front waits for so long until this one has heard: if it has stood still for longer, its
/// copies may be of before.
const STOOD_STILL: Duration = Duration::from_millis(500);
/// If for so long, nobody may wait for it any more (`LEAVE` in `cluster/invalidation/queues.rs`), until the others have found out
/// that it is back.
const WAS_AWAY: Duration = Duration::from_secs(1);
/// That takes them a try of a second, a pause of half of one and another try at most.
const RESTS: u64 = 2500;
/// Bodies up to this many bytes, or a 64th of the memory.
const LARGEST: u64 = 1024 * 1024;
/// Places in the record of what was hit lately.
const SEEN: usize = 8192;
/// What was not let in is tried again at one of so many hits: until then it is passed on as it comes, which costs less.
const TRIED: u32 = 8;
/// How many invalidated groups are remembered one by one.
const GROUPS: usize = 4096;
/// How the fixed part of a head ends, without the name of the node.
const SAID: &[u8] = status::HIT.as_bytes();

/// See the module.
pub struct Hot {
    copies: Bounded<Arc<Copy>>,
    making: AllMaking,
    rules: Rules,
    largest: u64,
    /// Grows with every removal: what was fetched before is not kept after.
    generation: AtomicU64,
    /// When some worker had its turn last; the end of time: none had yet.
    turn: AtomicU64,
    /// What was asked before is not copied, and no copy of it is served.
    from: AtomicU64,
    /// Groups that became invalid.
    groups: RwLock<Groups>,
    /// What was hit lately: a copy is made at the second hit.
    seen: Recent,
    /// What was not let in when it was tried last.
    refused: Recent,
    /// Hits of such.
    hits: AtomicU32,
    via: HeaderValue,
}

/// A response, ready to be sent.
pub struct Copy {
    shelf: Shelf,
    /// A body that is sent without a copy, which is the entry's.
    lasting: Option<Lasting>,
    /// Who answered with it.
    pub node: Box<str>,
    /// Status line and fields up to what changes with time, where the body lies in one piece.
    pub head: Option<Bytes>,
    /// When the node is to be asked again.
    again: AtomicU64,
    /// From when on nobody is served without.
    ends: u64,
}

/// What a look found.
pub enum Found {
    Copy,
    /// This request is the one that asks the node again.
    AskAgain(Arc<Copy>),
    Nothing,
}

/// The state of the copies when a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    generation: u64,
    pub at: Tick,
    /// The same by the clock: nothing that the node says of its age was true before.
    pub asked: Timestamp,
}

/// A response on its way to the client that is to be copied.
pub struct CopyCandidate {
    /// Of its request: what the node answers may be outdated from then on, however long its body takes.
    pub since: Generation,
    pub key: Key,
    pub request: request::Parts,
    pub response: response::Parts,
    pub node: Box<str>,
    pub local: bool,
    /// The seconds of freshness that the node gave it.
    pub ttl: u64,
}

/// What a copy's body is made of.
enum HotBody {
    In(Vec<Bytes>),
    /// It lies elsewhere already.
    At(Lasting, Arc<Hold>),
}

impl Hot {
    /// `None`: switched off.
    pub fn new(config: &Config, via: HeaderValue) -> Option<Arc<Hot>> {
        let memory = config.hot.memory;
        (memory > 0).then(|| {
            Arc::new(Hot {
                copies: Bounded::new(memory, Eviction::TinyLfu),
                making: AllMaking::default(),
                rules: Rules::new(&config.cache.targeted),
                largest: LARGEST.min(memory / 64),
                generation: AtomicU64::new(0),
                turn: AtomicU64::new(u64::MAX),
                from: AtomicU64::new(0),
                groups: RwLock::new(Groups::new(GROUPS)),
                seen: Recent::new(SEEN),
                refused: Recent::new(SEEN),
                hits: AtomicU32::new(0),
                via,
            })
        })
    }

    pub fn since(&self) -> Generation {
        let at = tick();
        self.look_back(at);
        Generation { generation: self.generation(), at, asked: clock::time(at) }
    }

    /// Some worker has its turn, which it has many times a second.
    pub fn turn(&self, now: Tick) {
        self.look_back(now);
        self.turn.store(now.0, Release);
    }

    /// After this process had stood still: others may have changed something meanwhile, and did not wait for it to hear.
    fn look_back(&self, now: Tick) {
        let stood_still = now.since(Tick(self.turn.load(Acquire)));
        if stood_still >= STOOD_STILL {
            let rest = if stood_still >= WAS_AWAY { RESTS } else { 0 };
            self.from.fetch_max(now.0 + rest, Relaxed);
            // Whoever sees this sees that.
            self.turn.store(now.0, Release);
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// The copy under exactly this URL, as long as nobody has to wait for the node.
    pub fn standing(&self, hash: u64, url: &[u8], now: Tick) -> Option<Arc<Copy>> {
        let copy = self.copies.get(hash).filter(|copy| copy.stands_alone(now) && copy.entry().key() == url);
        copy.filter(|copy| !self.is_outdated(copy))
    }

    /// The copy under exactly this URL, while it stands.
    pub fn find(&self, hash: u64, url: &[u8]) -> Found {
        match self.copies.get(hash).filter(|copy| copy.entry().key() == url) {
            None => Found::Nothing,
            Some(copy) if self.is_outdated(&copy) => Found::Nothing,
            Some(copy) if copy.stands(tick()) => Found::Copy,
            Some(copy) => Found::AskAgain(copy),
        }
    }

    /// Drops what is no copy any more, and will be none: see [`Bounded::tidy`].
    pub fn tidy(&self) {
        self.copies.tidy();
        self.making.tidy(tick(), ENDS);
    }

    /// A body of which a copy is to be made passes, and was asked for then.
    pub fn making(&self, since: Tick) -> Arc<Making> {
        self.making.begin(since)
    }

    /// Bytes that the copies take.
    pub fn size(&self) -> u64 {
        self.copies.size().1
    }

    /// A URL may have changed: purged, made invalid, or answered anew.
    pub fn forget(&self, key: &Key) {
        self.generation.fetch_add(1, Relaxed);
        self.copies.remove(key.hash());
    }

    /// Groups of `of`'s origin became invalid (RFC 9875).
    pub fn forget_groups(&self, of: &Key, names: &[String], now: Timestamp) {
        if !names.is_empty() {
            self.generation.fetch_add(1, Relaxed);
            self.groups.write().unwrap_or_else(PoisonError::into_inner).invalidate(of, names, now);
        }
    }

    fn is_outdated(&self, copy: &Copy) -> bool {
        if copy.ends - ENDS < self.from.load(Relaxed) {
            return true;
        }
        let entry = copy.entry();
        let outdate = |key: Key| {
            let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
            groups.outdate(&key, &**entry, entry.terms.received)
        };
        entry.terms.marks.has(Marks::GROUPED) && entry.url().is_none_or(outdate)
    }

    /// What the node answered with other than a hit is no longer what the copy says.
    pub fn outdated(&self, key: &Key) {
        if self.copies.remove(key.hash()).is_some() {
            self.generation.fetch_add(1, Relaxed);
        }
    }

    /// Whether a hit of this URL is worth copying: it was hit lately, and its body is not too large.
    pub fn wants(&self, key: &Key, length: Option<u64>) -> bool {
        if length.is_none_or(|length| length > self.largest) {
            return false;
        }
        let hash = key.hash();
        self.seen.note(hash) && (!self.refused.has(hash) || self.hits.fetch_add(1, Relaxed).is_multiple_of(TRIED))
    }

    /// Keeps a copy, if the policy says that it is fresh and nothing was made invalid meanwhile.
    pub fn keep(&self, candidate: CopyCandidate, body: Vec<Bytes>, now: Timestamp) {
        let (generation, hash) = (candidate.since.generation, candidate.key.hash());
        let hold = Hold::new(AccountKind::Readers);
        let made = || match Lasting::copy_of(&body, &hold) {
            Some(lasting) => HotBody::At(lasting, hold),
            None => HotBody::In(body),
        };
        if let Some(copy) = self.copy(candidate, made, now) {
            self.insert(generation, hash, copy);
        }
    }

    /// Keeps `copy` for longer, under the fields of the 304 with which its node confirmed it (RFC 9111 section 4.3.4).
    pub fn renew(&self, mut candidate: CopyCandidate, copy: &Copy, now: Timestamp) -> Option<Arc<Copy>> {
        let (generation, hash) = (candidate.since.generation, candidate.key.hash());
        let (body, hold) = (copy.lasting.clone()?, copy.entry().hold()?.clone());
        // Fetched anew meanwhile: there are origins that give another body the tag of the one before.
        if candidate.response.headers.get(header::DATE).map(HeaderValue::as_bytes) != copy.entry().first(FieldId::Date)
        {
            return None;
        }
        let mut headers = copy.entry().headers(3);
        policy::parts::combine(&mut headers, &candidate.response.headers, clock::moment(now));
        (candidate.response.status, candidate.response.headers) = (copy.entry().status, headers);
        let copy = self.copy(candidate, || HotBody::At(body, hold), now)?;
        self.insert(generation, hash, copy.clone());
        Some(copy)
    }

    /// A copy, if the policy says that it is fresh.
    fn copy(&self, candidate: CopyCandidate, body: impl FnOnce() -> HotBody, now: Timestamp) -> Option<Arc<Copy>> {
        let CopyCandidate { since, key, request, mut response, node, local, ttl } = candidate;
        let Generation { at: Tick(made), asked, .. } = since;
        // It would be kept beyond the time after which nobody has to hear of a purge any more, or is of before.
        if tick().0 >= made + ENDS || made < self.from.load(Relaxed) {
            return None;
        }
        let terms =
            policy::storable(&self.rules, &request, &response, asked, clock::moment(asked)).ok()?.as_told(asked, ttl);
        let selecting = policy::variants::selecting(&response.headers, &request.headers)?;
        if !terms.is_reusable(now) {
            return None;
        }
        // It says how the node answered just then; ours takes its place. What other caches said stays.
        status::drop_last_line(&mut response.headers);
        response.headers.remove(header::AGE);
        let new = |body| Entry::new(&key, response.status, &response.headers, &selecting, terms, Mark::of(local), body);
        let (entry, lasting) = match body() {
            HotBody::In(pieces) => (new(pieces), None),
            HotBody::At(lasting, hold) => (new(Vec::new()).with_body_at(lasting.bytes().clone(), hold), Some(lasting)),
        };
        let head = self.head(&entry, &node, &response.headers);
        let (again, ends) = (AtomicU64::new(made + due_after(key.hash(), made)), made + ENDS);
        Some(Arc::new(Copy { shelf: Shelf::One(Arc::new(entry)), lasting, node, head, again, ends }))
    }

    /// If nothing was made invalid meanwhile.
    fn insert(&self, generation: u64, hash: u64, copy: Arc<Copy>) {
        if generation == self.generation() {
            match self.copies.insert(hash, copy) {
                true => self.refused.forget(hash),
                false => _ = self.refused.note(hash),
            }
            // Made invalid by another thread between the look and the insertion: whoever comes second takes it out.
            if generation != self.generation() {
                self.copies.remove(hash);
            }
        }
    }

    fn head(&self, entry: &Entry, node: &str, headers: &HeaderMap) -> Option<Bytes> {
        entry.body().whole()?;
        let mut head = Vec::with_capacity(512);
        status_line(&mut head, entry.status, None);
        for (name, value) in headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
            field(&mut head, name.as_str().as_bytes(), value.as_bytes());
        }
        field(&mut head, b"via", self.via.as_bytes());
        field(&mut head, b"content-length", entry.body().len().to_string().as_bytes());
        // What follows is written for each answer: the rest of Cache-Status, and Age.
        head.extend_from_slice(&status::hit_line(node));
        Some(head.into_boxed_slice().into())
    }
}

impl Copy {
    /// Whether a request selects it (RFC 9111 section 4.1), and its client may have it.
    pub fn is_for(&self, request: &(impl FieldView + ?Sized), same_machine: bool) -> bool {
        self.shelf.select(request, same_machine).is_some()
    }
    pub fn entry(&self) -> &Arc<Entry> {
        &self.shelf.entries()[0]
    }
    /// Appends its head, while it is fresh, and a small body; how long the head is, and a body that is not small. `bodiless`:
    /// the request was HEAD.
    pub fn write(&self, now: Timestamp, bodiless: bool, head: &mut Vec<u8>) -> Option<(usize, Payload)> {
        let (entry, fixed, start) = (self.entry(), self.head.as_ref()?, head.len());
        if !entry.terms.is_reusable(now) {
            return None;
        }
        let small = entry.body().small().filter(|_| !bodiless);
        let body = if small.is_some() || bodiless { Bytes::new() } else { entry.body().whole()? };
        head.extend_from_slice(fixed);
        head.extend_from_slice(itoa::Buffer::new().format(entry.terms.ttl(now)).as_bytes());
        head.extend_from_slice(b"\r\nage: ");
        head.extend_from_slice(itoa::Buffer::new().format(entry.terms.age(now)).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        let length = head.len() - start;
        head.extend_from_slice(small.unwrap_or_default());
        let lasting = self.lasting.clone().filter(|_| !bodiless);
        Some((length, lasting.map_or(Payload::Bytes(body), Payload::Lasting)))
    }
    /// What a head that it has written says of the cache.
    pub fn said<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        let fixed = self.head.as_ref().map_or(0, |fixed| fixed.len());
        let seconds = head.get(fixed..).unwrap_or_default();
        let digits = seconds.iter().take_while(|byte| byte.is_ascii_digit()).count();
        head.get(fixed.saturating_sub(SAID.len())..fixed + digits).unwrap_or_default()
    }
    /// The strong validator by which a node can say that it is still the same, where that is worth asking: what is small
    /// comes at once, and costs less.
    pub fn tag(&self) -> Option<&[u8]> {
        self.lasting.as_ref().filter(|_| self.entry().status.is_success())?;
        policy::parts::strong(&**self.entry())
    }
    /// Nobody has to wait for the node's word.
    fn stands_alone(&self, now: Tick) -> bool {
        now.0 < self.ends - STANDS || !self.is_due(now)
    }
    /// The node is to be asked again, and nobody does yet.
    pub fn is_due(&self, now: Tick) -> bool {
        now.0 >= self.again.load(Relaxed)
    }
    /// Of those that come when it is due, this one asks the node.
    pub fn takes_turn(&self, now: Tick) -> bool {
        let again = self.again.load(Relaxed);
        now.0 >= again && self.again.compare_exchange(again, self.ends, Relaxed, Relaxed).is_ok()
    }
    /// Whoever does not ask goes on until it ends. Here who asks waits, so nobody does before he has to.
    fn stands(&self, now: Tick) -> bool {
        now.0 < self.ends && (self.stands_alone(now) || !self.takes_turn(now))
    }
}

impl Weigh for Arc<Copy> {
    fn holds(&self) -> impl Iterator<Item = &Arc<Hold>> {
        self.shelf.holds()
    }
    fn weight(&self) -> u32 {
        let pages = self.lasting.as_ref().map_or(0, |_| Lasting::overhead(self.entry().body().len()));
        let own = self.head.as_ref().map_or(0, Bytes::len) + self.node.len() + pages + 160;
        self.shelf.weight().saturating_add(u32::try_from(own).unwrap_or(u32::MAX))
    }
}

/// After how many milliseconds the node is asked again of a copy made at `made`: differs from URL to URL and from time to
/// time.
fn due_after(hash: u64, made: u64) -> u64 {
    // Fibonacci hashing: the upper bits of the product are spread evenly (Knuth, TAOCP 3, section 6.4).
    let spread = (hash ^ made).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    STANDS - AHEAD - spread % (SPREAD + 1)
}

/// Which answers are worth a copy at all.
pub fn is_copyable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 301 | 308 | 404 | 410)
}

#[cfg(test)]
#[path = "hot_tests.rs"]
mod tests;
