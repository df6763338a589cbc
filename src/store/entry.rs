//! One stored response in one allocation: key, variant, fields and (up to 1 MiB) body, back to back.
//!
//! A `HeaderMap` alone costs more memory than a small body; here a field costs two or three bytes and its value.

use super::names;
use crate::policy::{Fields, Part, Terms};
use crate::wire::target::Key;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bodies up to this many bytes are copied to sit behind their head; larger ones keep the pieces they arrived in.
const TOGETHER: usize = 1024 * 1024;
/// Up to so many bytes a body is copied for whoever sends it: to share it costs an allocation, for as long as it is stored.
const COPIED: usize = 2048;
/// What an entry costs besides its bytes: this struct, its `Arc`, and moka's bookkeeping for it.
const OVERHEAD: usize = 432;

/// Who may be answered with an entry (DESIGN: Privilege).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Anyone,
    /// It came from an address that only clients on the same machine may reach.
    SameMachine,
}

impl Mark {
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
    /// Where key, `Vary`, selecting fields and head end in `blob`; the body follows.
    ends: [u32; 4],
    fields: u16,
    blob: Bytes,
    /// The pieces of a body that is not in `blob`.
    pieces: Box<[Bytes]>,
    /// What the body is of the whole, where it is not all of it.
    part: Option<Box<Part>>,
}

/// The body of an entry, to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a>(&'a Entry);

impl Entry {
    /// `selecting` is [`crate::policy::variants::selecting`]'s value for the request that this answered.
    pub fn new(
        key: &Key,
        status: StatusCode,
        headers: &HeaderMap,
        selecting: &[u8],
        terms: Terms,
        mark: Mark,
        body: Vec<Bytes>,
    ) -> Entry {
        let size: usize = body.iter().map(Bytes::len).sum();
        let together = size <= TOGETHER;
        let mut head = Vec::with_capacity(head_bound(key, headers, selecting));
        head.extend_from_slice(key.as_str().as_bytes());
        let key_end = head.len();
        join_lines(headers, &http::header::VARY, &mut head);
        let vary_end = head.len();
        head.extend_from_slice(selecting);
        let selecting_end = head.len();
        let fields = encode(headers, &mut head);
        let head_end = head.len();
        // Exact: what would be cut off is a hole between entries that nothing fits into.
        let mut blob = Vec::with_capacity(head_end + if together { size } else { 0 });
        blob.extend_from_slice(&head);
        let pieces = if together {
            body.iter().for_each(|piece| blob.extend_from_slice(piece));
            Box::default()
        } else {
            body.into_boxed_slice()
        };
        Entry {
            terms,
            status,
            mark,
            used: AtomicU32::new((terms.received.seconds() & u64::from(u32::MAX)) as u32),
            ends: [key_end, vary_end, selecting_end, head_end].map(|end| end as u32),
            fields,
            blob: Bytes::from(blob.into_boxed_slice()),
            pieces,
            part: None,
        }
    }

    /// The same, as a part of a whole (206).
    pub fn part_of_whole(mut self, part: Part) -> Entry {
        self.part = Some(Box::new(part));
        self
    }

    /// The same, with a body that lies elsewhere and stays there.
    pub fn with_body_at(mut self, body: Bytes) -> Entry {
        self.blob.truncate(self.ends[3] as usize);
        self.pieces = Box::new([body]);
        self
    }

    /// The same body under new fields and terms (after a 304), which came from where `mark` says. The body is copied
    /// when it is small.
    pub fn renewed(&self, headers: &HeaderMap, terms: Terms, mark: Mark, key: &Key, selecting: &[u8]) -> Entry {
        let mark = self.mark.and(mark);
        let entry = Entry::new(key, self.status, headers, selecting, terms, mark, self.body().pieces());
        Entry { part: self.part.clone(), ..entry }
    }

    pub fn key(&self) -> &[u8] {
        &self.blob[..self.ends[0] as usize]
    }
    /// All lines of `Vary`, joined by commas; empty when there is none.
    pub fn vary(&self) -> &[u8] {
        &self.blob[self.ends[0] as usize..self.ends[1] as usize]
    }
    pub fn selecting(&self) -> &[u8] {
        &self.blob[self.ends[1] as usize..self.ends[2] as usize]
    }
    pub fn part(&self) -> Option<&Part> {
        self.part.as_deref()
    }
    pub fn body(&self) -> Body<'_> {
        Body(self)
    }
    /// Bytes of memory that it takes, as the store counts them.
    pub fn weight(&self) -> u32 {
        let pieces: usize = self.pieces.iter().map(|p| p.len() + size_of::<Bytes>()).sum();
        u32::try_from(self.blob.len() + pieces + OVERHEAD).unwrap_or(u32::MAX)
    }
    /// Its fields, with room for `more`. Values are slices of the entry, not copies.
    pub fn headers(&self, more: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(usize::from(self.fields) + more);
        for line in self.lines() {
            let name = match names::name(line.code) {
                Some(name) => name.clone(),
                None => match HeaderName::from_bytes(line.name) {
                    Ok(name) => name,
                    Err(_) => continue,
                },
            };
            if let Ok(value) = HeaderValue::from_maybe_shared(self.blob.slice(line.value)) {
                headers.append(name, value);
            }
        }
        headers
    }
    /// Appends its fields as they stand in a head, but for those in `except`.
    pub fn write_fields(&self, except: &[HeaderName], out: &mut Vec<u8>) {
        for line in self.lines() {
            let name = names::name(line.code).map_or(line.name, |name| name.as_str().as_bytes());
            if except.iter().any(|skipped| skipped.as_str().as_bytes() == name) {
                continue;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(&self.blob[line.value]);
            out.extend_from_slice(b"\r\n");
        }
    }
    pub fn touch(&self, seconds: u64) {
        self.used.store((seconds & u64::from(u32::MAX)) as u32, Ordering::Relaxed);
    }
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
    fn lines(&self) -> Lines<'_> {
        Lines { blob: &self.blob, at: self.ends[2] as usize, end: self.ends[3] as usize }
    }
}

impl Fields for Entry {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        let code = names::code(name);
        let mut lines = self.lines();
        let line = lines.find(|l| l.code == code && (code != 0 || l.name == name.as_str().as_bytes()))?;
        Some(&self.blob[line.value])
    }
}

impl<'a> Body<'a> {
    pub fn len(&self) -> u64 {
        self.0.pieces.iter().map(|p| p.len() as u64).sum::<u64>() + self.in_blob() as u64
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What stands at `at`, as far as it lies in one piece; empty at the end.
    pub fn piece(&self, at: u64) -> Bytes {
        let entry = self.0;
        if entry.pieces.is_empty() {
            let start = (entry.ends[3] as usize).saturating_add(usize::try_from(at).unwrap_or(usize::MAX));
            return self.share(start.min(entry.blob.len()));
        }
        let mut before = 0u64;
        for piece in &entry.pieces {
            let end = before + piece.len() as u64;
            if at < end {
                return piece.slice((at - before) as usize..);
            }
            before = end;
        }
        Bytes::new()
    }
    /// All of it, in one piece or several.
    pub fn pieces(&self) -> Vec<Bytes> {
        self.whole().map_or_else(|| self.0.pieces.to_vec(), |whole| vec![whole])
    }
    /// The whole body, when it lies in one piece.
    pub fn whole(&self) -> Option<Bytes> {
        match &*self.0.pieces {
            [] => Some(self.share(self.0.ends[3] as usize)),
            [whole] => Some(whole.clone()),
            _ => None,
        }
    }
    /// The whole body, where it is so small that it is best copied.
    pub fn small(self) -> Option<&'a [u8]> {
        let body = &self.0.blob[self.0.ends[3] as usize..];
        (self.0.pieces.is_empty() && body.len() <= COPIED).then_some(body)
    }
    /// The blob from `start` on.
    fn share(&self, start: usize) -> Bytes {
        let blob = &self.0.blob;
        if blob.len() - start > COPIED { blob.slice(start..) } else { Bytes::copy_from_slice(&blob[start..]) }
    }
    fn in_blob(&self) -> usize {
        self.0.blob.len() - self.0.ends[3] as usize
    }
}

/// A field line in a blob: code (and name when the code is 0), then the value.
struct Line<'a> {
    code: u8,
    name: &'a [u8],
    value: std::ops::Range<usize>,
}

struct Lines<'a> {
    blob: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;
    fn next(&mut self) -> Option<Line<'a>> {
        if self.at >= self.end {
            return None;
        }
        let code = self.blob[self.at];
        self.at += 1;
        let mut name: &[u8] = &[];
        if code == 0 {
            let len = self.length();
            name = &self.blob[self.at..self.at + len];
            self.at += len;
        }
        let len = self.length();
        let value = self.at..self.at + len;
        self.at += len;
        Some(Line { code, name, value })
    }
}

impl Lines<'_> {
    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn length(&mut self) -> usize {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.blob[self.at];
            self.at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        length
    }
}

/// Writes the field lines, of any length.
fn encode(headers: &HeaderMap, blob: &mut Vec<u8>) -> u16 {
    let mut count = 0u16;
    for (name, value) in headers {
        let code = names::code(name);
        blob.push(code);
        if code == 0 {
            put_length(name.as_str().len(), blob);
            blob.extend_from_slice(name.as_str().as_bytes());
        }
        put_length(value.len(), blob);
        blob.extend_from_slice(value.as_bytes());
        count = count.saturating_add(1);
    }
    count
}

fn put_length(mut length: usize, blob: &mut Vec<u8>) {
    while length >= 0x80 {
        blob.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    blob.push(length as u8);
}

fn join_lines(headers: &HeaderMap, name: &HeaderName, blob: &mut Vec<u8>) {
    for (i, value) in headers.get_all(name).iter().enumerate() {
        if i > 0 {
            blob.push(b',');
        }
        blob.extend_from_slice(value.as_bytes());
    }
}

fn head_bound(key: &Key, headers: &HeaderMap, selecting: &[u8]) -> usize {
    let fields: usize = headers.iter().map(|(n, v)| 7 + n.as_str().len() + v.len()).sum();
    let vary: usize = headers.get_all(http::header::VARY).iter().map(|v| v.len() + 1).sum();
    key.as_str().len() + fields + vary + selecting.len()
}
