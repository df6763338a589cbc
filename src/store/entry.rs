//! One stored response in one allocation: key, variant, fields and (up to 1 MiB) body, back to back.
//!
//! A `HeaderMap` alone costs more memory than a small body; here a field costs two or three bytes and its value, or no
//! value where many have the same.

mod body;

use super::far::FarBody;
use super::values;
use crate::account::{AccountKind, Hold};
use crate::policy::{Part, Terms};
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use crate::wire::written;
use body::{EntryBody, blocks};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Bodies up to this many bytes are copied to sit behind their head; larger ones keep the pieces they arrived in.
const TOGETHER: usize = 1024 * 1024;
/// Up to so many bytes a body is copied for whoever sends it: to share it costs an allocation, for as long as it is stored.
const COPIED: usize = 2048;
/// What an entry costs besides its bytes: this struct, its `Arc`, and moka's bookkeeping for it.
const OVERHEAD: usize = 464;
/// And each piece of a body that is counted by itself.
const OF_PIECE: usize = 192;
/// Smaller pieces of a body, on average, are put together.
const SMALL_PIECE: usize = 4096;

/// Who may be answered with an entry (README, Safe by default).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Anyone,
    /// It came from an address that only clients on the same machine may reach.
    SameMachine,
}

impl Mark {
    /// `local`: only this machine reaches where it came from.
    pub fn of(local: bool) -> Mark {
        if local { Mark::SameMachine } else { Mark::Anyone }
    }
    /// Whether a client may be answered with it.
    pub fn allows(self, same_machine: bool) -> bool {
        same_machine || self == Mark::Anyone
    }
    /// Who may be answered with something that came from both.
    pub fn and(self, other: Mark) -> Mark {
        match (self, other) {
            (Mark::Anyone, Mark::Anyone) => Mark::Anyone,
            _ => Mark::SameMachine,
        }
    }
}

/// A stored response.
#[derive(Debug)]
pub struct Entry {
    pub terms: Terms,
    pub status: StatusCode,
    pub mark: Mark,
    /// When it was last served, in seconds of the steady clock: the least recently used variant gives way.
    used: AtomicU32,
    /// The disk takes it when it is asked for again.
    waits_to_come_again: AtomicBool,
    /// Where the body begins in `blob`. Before it stand key, `Vary` and selecting fields, each behind its length, and the
    /// field lines.
    body_at: u32,
    fields: u16,
    blob: Bytes,
    rare: Option<Box<Rare>>,
}

/// What few entries have.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// The pieces of a body that is not in `blob`.
    pieces: Box<[Bytes]>,
    /// What counts the bytes of a body that readers share.
    hold: Option<Arc<Hold>>,
    /// What the body is of the whole, where it is not all of it.
    part: Option<Part>,
    /// A body that is not in memory.
    far: Option<Arc<dyn FarBody>>,
}

const _: () = assert!(size_of::<Entry>() <= 104, "with its counts, an `Arc` of it takes 128 bytes of the heap");

/// What the body of a new entry is made of.
pub struct EntryContent<'a> {
    pieces: Vec<Bytes>,
    /// What counts them already.
    hold: Option<Arc<Hold>>,
    /// What stands before them, and is lent.
    lent: &'a [u8],
}

impl EntryContent<'_> {
    /// Pieces that are counted by `hold`.
    pub fn held(pieces: Vec<Bytes>, hold: Arc<Hold>) -> Self {
        EntryContent { pieces, hold: Some(hold), lent: &[] }
    }
}

impl From<Vec<Bytes>> for EntryContent<'_> {
    fn from(pieces: Vec<Bytes>) -> Self {
        EntryContent { pieces, hold: None, lent: &[] }
    }
}

impl<'a> From<&'a [u8]> for EntryContent<'a> {
    fn from(lent: &'a [u8]) -> Self {
        EntryContent { pieces: Vec::new(), hold: None, lent }
    }
}

impl Entry {
    /// `selecting` is [`crate::policy::variants::selecting`]'s value for the request that this answered.
    pub fn new<'a>(
        key: &Key,
        status: StatusCode,
        headers: &HeaderMap,
        selecting: &[u8],
        terms: Terms,
        mark: Mark,
        body: impl Into<EntryContent<'a>>,
    ) -> Entry {
        let EntryContent { pieces: mut body, hold, lent } = body.into();
        let size = lent.len() + body.iter().map(Bytes::len).sum::<usize>();
        let together = size <= TOGETHER;
        if !together && !lent.is_empty() {
            body.insert(0, Bytes::copy_from_slice(lent));
        }
        let mut head = Vec::with_capacity(head_bound(key, headers, selecting));
        put(key.as_str().as_bytes(), &mut head);
        put(&joined_lines(headers, &http::header::VARY), &mut head);
        put(selecting, &mut head);
        let fields = encode(headers, &mut head);
        let body_at = head.len();
        // Exact: what would be cut off is a hole between entries that nothing fits into.
        let mut blob = Vec::with_capacity(body_at + if together { size } else { 0 });
        blob.extend_from_slice(&head);
        if together {
            blob.extend_from_slice(lent);
            body.iter().for_each(|piece| blob.extend_from_slice(piece));
        }
        let blob = blob.into_boxed_slice();
        let are_small = size / body.len().max(1) < SMALL_PIECE;
        // Pieces that small are not followed one by one: a reader that waits with one of them is found by what counts the body.
        let counts =
            |hold: Option<Arc<Hold>>| hold.filter(|_| are_small).unwrap_or_else(|| Hold::new(AccountKind::Readers));
        let (blob, rare) = match (together, hold) {
            // Readers are given a copy: nothing of it outlives it for long.
            (true, _) if size <= COPIED => (Bytes::from(blob), None),
            (true, hold) => {
                let hold = counts(hold);
                (hold.follow(blob), Some(Rare { hold: Some(hold), ..Rare::default() }))
            }
            (false, Some(hold)) if !are_small => {
                (blob.into(), Some(Rare { pieces: body.into_boxed_slice(), hold: Some(hold), ..Rare::default() }))
            }
            (false, hold) => {
                let hold = counts(hold);
                let pieces = blocks(&body, size, &hold);
                (blob.into(), Some(Rare { pieces, hold: Some(hold), ..Rare::default() }))
            }
        };
        Entry {
            terms,
            status,
            mark,
            used: AtomicU32::new((terms.received.seconds() & u64::from(u32::MAX)) as u32),
            waits_to_come_again: AtomicBool::new(false),
            body_at: body_at as u32,
            fields,
            blob,
            rare: rare.map(Box::new),
        }
    }

    /// At least as many bytes as an entry with these fields takes besides its body.
    pub fn bytes_besides_body(key: &Key, headers: &HeaderMap) -> u64 {
        (head_bound(key, headers, b"") + OVERHEAD) as u64
    }

    /// The same, as a part of a whole (206).
    pub fn part_of_whole(mut self, part: Part) -> Entry {
        self.rare.get_or_insert_default().part = Some(part);
        self
    }

    /// The same, with a body that lies elsewhere, is counted there, and stays there.
    pub fn with_body_at(mut self, body: Bytes, hold: Arc<Hold>) -> Entry {
        self.blob.truncate(self.body_at as usize);
        let rare = self.rare.get_or_insert_default();
        (rare.pieces, rare.hold) = (Box::new([body]), Some(hold));
        self
    }

    /// The same, as if it had come then.
    pub fn received_at(&self, received: Timestamp) -> Entry {
        Entry {
            terms: Terms { received, ..self.terms },
            status: self.status,
            mark: self.mark,
            used: AtomicU32::new(self.used()),
            waits_to_come_again: AtomicBool::new(self.waits_to_come_again.load(Ordering::Relaxed)),
            body_at: self.body_at,
            fields: self.fields,
            blob: self.blob.clone(),
            rare: self.rare.clone(),
        }
    }

    /// The same, with a body that is not in memory.
    pub fn with_far(mut self, far: Arc<dyn FarBody>) -> Entry {
        self.rare.get_or_insert_default().far = Some(far);
        self
    }

    /// Its body, where that is not in memory.
    pub fn far(&self) -> Option<&Arc<dyn FarBody>> {
        self.rare.as_ref()?.far.as_ref()
    }

    /// What counts its body, where that may outlive it.
    pub fn hold(&self) -> Option<&Arc<Hold>> {
        self.rare.as_ref()?.hold.as_ref()
    }

    /// The same body under new fields and terms (after a 304), which came from where `mark` says. The body is copied
    /// when it is small.
    pub fn renewed(&self, headers: &HeaderMap, terms: Terms, mark: Mark, key: &Key, selecting: &[u8]) -> Entry {
        let mark = self.mark.and(mark);
        let hold = self.hold().filter(|_| !self.pieces().is_empty()).cloned();
        let body = EntryContent { pieces: self.body().pieces(), hold, lent: &[] };
        let mut entry = Entry::new(key, self.status, headers, selecting, terms, mark, body);
        if let Some(Rare { part, far, .. }) =
            self.rare.as_deref().filter(|rare| rare.part.is_some() || rare.far.is_some())
        {
            let rare = entry.rare.get_or_insert_default();
            (rare.part, rare.far) = (part.clone(), far.clone());
        }
        entry
    }

    pub fn key(&self) -> &[u8] {
        &self.blob[self.section(0)]
    }
    /// All lines of `Vary`, joined by commas; empty when there is none.
    pub fn vary(&self) -> &[u8] {
        &self.blob[self.section(1)]
    }
    pub fn selecting(&self) -> &[u8] {
        &self.blob[self.section(2)]
    }
    pub fn part(&self) -> Option<&Part> {
        self.rare.as_ref()?.part.as_ref()
    }
    /// Everyone may have it: nothing else is ever written to a disk.
    pub fn may_lie_on_disk(&self) -> bool {
        self.mark == Mark::Anyone
    }
    pub fn body(&self) -> EntryBody<'_> {
        EntryBody(self)
    }
    /// The URL that it is of.
    pub fn url(&self) -> Option<Key> {
        Key::parse(std::str::from_utf8(self.key()).ok()?).ok()
    }
    /// Bytes of memory that it takes, as the store counts them.
    pub fn weight(&self) -> u32 {
        let pieces: usize = self.pieces().iter().map(|p| p.len() + OF_PIECE).sum();
        let rare = self.rare.as_ref().map_or(0, |_| OF_PIECE);
        u32::try_from(self.blob.len() + pieces + rare + OVERHEAD).unwrap_or(u32::MAX)
    }
    /// Its fields, with room for `more`. Values are slices of the entry, not copies.
    pub fn headers(&self, more: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(usize::from(self.fields) + more);
        for line in self.lines() {
            let name = match line.id {
                FieldId::Other => match HeaderName::from_bytes(line.name) {
                    Ok(name) => name,
                    Err(_) => continue,
                },
                id => id.header().clone(),
            };
            let value = match line.value {
                FieldValue::Here(at) => self.blob.slice(at),
                FieldValue::Kept(value) => value.clone(),
            };
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                headers.append(name, value);
            }
        }
        headers
    }
    /// Appends its fields as they stand in a head, but for those of these traits.
    pub fn write_fields(&self, except: Traits, out: &mut Vec<u8>) {
        for line in self.lines().filter(|line| !line.id.is(except)) {
            written::field(out, line.name(), line.value.of(&self.blob));
        }
    }
    pub fn touch(&self, seconds: u64) {
        self.used.store((seconds & u64::from(u32::MAX)) as u32, Ordering::Relaxed);
    }
    /// It has not come often enough for the disk: that is asked once more when this is asked for again.
    pub fn wait_to_come_again(&self) {
        self.waits_to_come_again.store(true, Ordering::Relaxed);
    }
    /// Whether it did, which is told once.
    pub fn waited_to_come_again(&self) -> bool {
        self.waits_to_come_again.load(Ordering::Relaxed) && self.waits_to_come_again.swap(false, Ordering::Relaxed)
    }
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
    fn lines(&self) -> FieldLines<'_> {
        FieldLines { blob: &self.blob, at: self.section(2).end, end: self.body_at as usize }
    }
    /// Where key, `Vary` and selecting fields lie.
    fn section(&self, index: usize) -> Range<usize> {
        let mut at = 0;
        for _ in 0..index {
            at += length(&self.blob, &mut at);
        }
        let length = length(&self.blob, &mut at);
        at..at + length
    }
    /// Whether its body lies behind its head.
    fn is_together(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.pieces.is_empty() && rare.far.is_none())
    }
    fn pieces(&self) -> &[Bytes] {
        self.rare.as_ref().map_or(&[], |rare| &rare.pieces)
    }
}

impl FieldView for Entry {
    fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        self.lines().filter(move |line| line.id == id).map(|line| line.value.of(&self.blob))
    }

    fn named<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_str().as_bytes();
        let id = code_of(name);
        let is_it = move |line: &FieldLine<'_>| line.id == id && (id != FieldId::Other || line.name == name);
        self.lines().filter(is_it).map(|line| line.value.of(&self.blob))
    }

    fn ids(&self) -> impl Iterator<Item = FieldId> {
        self.lines().map(|line| if line.id == FieldId::Other { FieldId::of(line.name) } else { line.id })
    }
}

/// A field line in a blob: [`FieldId::code`] of its name (and the name where it has no other), then the value; or its
/// number when the code's highest bit is set.
struct FieldLine<'a> {
    id: FieldId,
    /// Where that is [`FieldId::Other`].
    name: &'a [u8],
    value: FieldValue,
}

impl<'a> FieldLine<'a> {
    fn name(&self) -> &'a [u8] {
        if self.id == FieldId::Other { self.name } else { self.id.name().as_bytes() }
    }
}

enum FieldValue {
    Here(Range<usize>),
    Kept(&'static Bytes),
}

impl FieldValue {
    fn of(self, blob: &[u8]) -> &[u8] {
        match self {
            FieldValue::Here(at) => &blob[at],
            FieldValue::Kept(value) => value,
        }
    }
}

/// Of a code: the value's number follows.
const KEPT: u8 = 0x80;
const _: () = assert!(FieldId::CODES <= KEPT as usize);

/// By which id a field with this name is stored: a name that is known only by its beginning is written out.
fn code_of(name: &[u8]) -> FieldId {
    let id = FieldId::of(name);
    if id.stands_for_many() { FieldId::Other } else { id }
}

struct FieldLines<'a> {
    blob: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = FieldLine<'a>;
    fn next(&mut self) -> Option<FieldLine<'a>> {
        if self.at >= self.end {
            return None;
        }
        let code = self.blob[self.at];
        self.at += 1;
        let id = FieldId::of_code(code & !KEPT);
        if code & KEPT != 0 {
            let number = u16::from_le_bytes([self.blob[self.at], self.blob[self.at + 1]]);
            self.at += 2;
            return Some(FieldLine { id, name: &[], value: FieldValue::Kept(values::value(number)) });
        }
        let name = if id == FieldId::Other { self.sized() } else { 0..0 };
        Some(FieldLine { id, name: &self.blob[name], value: FieldValue::Here(self.sized()) })
    }
}

impl FieldLines<'_> {
    /// What stands behind its length.
    fn sized(&mut self) -> Range<usize> {
        let length = length(self.blob, &mut self.at);
        self.at += length;
        self.at - length..self.at
    }
}

/// The length that stands at `at`: seven bits a byte, the lowest first; the highest bit says that more follow.
fn length(blob: &[u8], at: &mut usize) -> usize {
    let mut length = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = blob[*at];
        *at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    length
}

/// Writes the field lines, of any length.
fn encode(headers: &HeaderMap, blob: &mut Vec<u8>) -> u16 {
    let mut count = 0u16;
    for (name, value) in headers {
        let id = code_of(name.as_str().as_bytes());
        count = count.saturating_add(1);
        if id.is(Traits::REPEATS)
            && let Some(number) = values::number(value.as_bytes())
        {
            blob.push(id.code() | KEPT);
            blob.extend_from_slice(&number.to_le_bytes());
            continue;
        }
        blob.push(id.code());
        if id == FieldId::Other {
            put(name.as_str().as_bytes(), blob);
        }
        put(value.as_bytes(), blob);
    }
    count
}

/// Writes bytes behind their length.
fn put(bytes: &[u8], blob: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        blob.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    blob.push(length as u8);
    blob.extend_from_slice(bytes);
}

fn joined_lines(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..])
}

fn head_bound(key: &Key, headers: &HeaderMap, selecting: &[u8]) -> usize {
    let fields: usize = headers.iter().map(|(n, v)| 7 + n.as_str().len() + v.len()).sum();
    let vary: usize = headers.get_all(http::header::VARY).iter().map(|v| v.len() + 1).sum();
    key.as_str().len() + fields + vary + selecting.len() + 3 * 5
}
