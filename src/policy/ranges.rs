//! Ranges of a stored whole (RFC 9110 section 14): which parts answer a request, and what frames them.

use super::terms::Stored;
use crate::wire::date::{self, Timestamp};
use crate::wire::field::FieldId;
use crate::wire::list;
use crate::wire::view::{FieldView, RequestView};
use http::{Method, StatusCode};
use std::ops::Range;

/// A `Range` of more is ignored (RFC 9110 sections 14.2 and 17.15). Who updates a file by what has changed asks for hundreds.
const MOST_RANGES: usize = 512;

/// What answers a request that may have a `Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// The whole: there is no `Range`, or it does not count.
    Whole,
    /// 206 with one `Content-Range`.
    Part(Range<u64>),
    /// 206 as `multipart/byteranges`; in the order in which they were asked for.
    Parts(Vec<Range<u64>>),
    /// 416: none can be satisfied.
    Refused,
}

/// Which parts of a stored whole of `length` bytes a request wants; to be asked after
/// [`Stored::is_not_modified`] (RFC 9110 section 13.2.2).
pub fn of(
    req: &(impl RequestView + ?Sized),
    stored: &Stored<'_, impl FieldView + ?Sized>,
    length: u64,
    now: Timestamp,
) -> Ranged {
    match stored.status {
        StatusCode::OK => wanted(req, stored, length, now),
        _ => Ranged::Whole, // section 14.2
    }
}

/// The same, whatever its status.
pub(super) fn wanted(
    req: &(impl RequestView + ?Sized),
    stored: &Stored<'_, impl FieldView + ?Sized>,
    length: u64,
    now: Timestamp,
) -> Ranged {
    if !req.fields().has(FieldId::Range) {
        return Ranged::Whole;
    }
    let mut lines = req.fields().all(FieldId::Range);
    let (Some(range), None) = (lines.next(), lines.next()) else { return Ranged::Whole };
    if req.method() != Method::GET {
        return Ranged::Whole; // section 14.2
    }
    if !if_range(req.fields(), stored, now) {
        return Ranged::Whole; // section 13.1.5
    }
    let (unit, set) = match range.iter().position(|&b| b == b'=') {
        Some(at) => (&range[..at], &range[at + 1..]),
        None => return Ranged::Whole,
    };
    match unit.eq_ignore_ascii_case(b"bytes") {
        true => satisfy(set, length),
        false => Ranged::Whole, // section 14.1: an unknown unit
    }
}

/// Whether a `Range` counts under the request's `If-Range`: strong comparison only (RFC 9110 section 13.1.5).
fn if_range(req: &(impl FieldView + ?Sized), stored: &Stored<'_, impl FieldView + ?Sized>, now: Timestamp) -> bool {
    let mut lines = req.all(FieldId::IfRange);
    let value = match (lines.next(), lines.next()) {
        (None, _) => return true,
        (Some(value), None) => list::trim(value),
        _ => return false,
    };
    if value.contains(&b'"') {
        return value.first() == Some(&b'"') && stored.fields.first(FieldId::Etag) == Some(value);
    }
    let read = |id| stored.fields.first(id).and_then(|field| date::parse(field, now));
    let (Some(wanted), Some(modified)) = (date::parse(value, now), read(FieldId::LastModified)) else { return false };
    // A date is a strong validator only when a second had passed since (section 8.8.2.2).
    let settled = read(FieldId::Date).is_some_and(|date| date.millis_since(modified) >= 1000);
    wanted == modified && settled
}

enum RangeSpec {
    Satisfiable(Range<u64>),
    Beyond,
}

fn satisfy(set: &[u8], length: u64) -> Ranged {
    if list::split(set).next().is_none() || list::split(set).nth(MOST_RANGES).is_some() {
        return Ranged::Whole; // section 14.1.1: a set has at least one
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    for spec in list::split(set) {
        match spec_of(spec, length) {
            None => return Ranged::Whole, // section 14.2: not valid
            Some(RangeSpec::Beyond) => {}
            Some(RangeSpec::Satisfiable(part)) => add(&mut parts, part),
        }
    }
    match parts.len() {
        0 => Ranged::Refused,
        1 => Ranged::Part(parts.swap_remove(0)),
        _ => Ranged::Parts(parts),
    }
}

/// Those that overlap are one, in the place of the first (RFC 9110 section 15.3.7.2).
fn add(parts: &mut Vec<Range<u64>>, mut new: Range<u64>) {
    let overlap = |a: &Range<u64>, b: &Range<u64>| a.start < b.end && b.start < a.end;
    let Some(first) = parts.iter().position(|part| overlap(part, &new)) else { return parts.push(new) };
    // What it grows by may meet others.
    while let Some(at) = parts.iter().position(|part| overlap(part, &new)) {
        let other = parts.remove(at);
        new = new.start.min(other.start)..new.end.max(other.end);
    }
    parts.insert(first.min(parts.len()), new);
}

/// One of `first-last`, `first-`, `-suffix` (RFC 9110 section 14.1.2). `None`: not valid.
fn spec_of(spec: &[u8], length: u64) -> Option<RangeSpec> {
    let at = spec.iter().position(|&b| b == b'-')?;
    let part = match (&spec[..at], &spec[at + 1..]) {
        (b"", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, b"") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if part.start < part.end { RangeSpec::Satisfiable(part) } else { RangeSpec::Beyond })
}

/// Digits only; more than can be counted is the most that can.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0u64, |sum, b| sum.saturating_mul(10).saturating_add(u64::from(b - b'0'))))
}

/// The value of `Content-Range` of a part; of a 416 where there is none (RFC 9110 section 14.4).
pub fn content_range(part: Option<&Range<u64>>, length: u64) -> String {
    match part {
        Some(part) => format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1)),
        None => format!("bytes */{length}"),
    }
}

/// The frame of `multipart/byteranges` (RFC 9110 section 14.6): what stands before each part, and at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    pub heads: Vec<String>,
    pub tail: String,
    /// Of the whole body: frame and parts.
    pub content_length: u64,
}

/// Frames parts. `boundary` must not occur in the content: long and random.
pub fn multipart(parts: &[Range<u64>], length: u64, content_type: Option<&str>, boundary: &str) -> Multipart {
    let kind = content_type.map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
    let head = |(n, part): (usize, &Range<u64>)| {
        let start = if n == 0 { "" } else { "\r\n" };
        format!("{start}--{boundary}\r\n{kind}Content-Range: {}\r\n\r\n", content_range(Some(part), length))
    };
    let heads: Vec<String> = parts.iter().enumerate().map(head).collect();
    let tail = format!("\r\n--{boundary}--\r\n");
    let framed: usize = heads.iter().map(String::len).sum::<usize>() + tail.len();
    let content: u64 = parts.iter().map(|part| part.end.saturating_sub(part.start)).sum();
    Multipart { heads, tail, content_length: content + framed as u64 }
}
