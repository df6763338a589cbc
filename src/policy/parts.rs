//! Stored parts (206): what one holds, what it answers, and what completes it (section 3.3, 3.4; RFC 9110 section 14).

use super::freshness;
use super::ranges::{self, Ranged};
use super::terms::Stored;
use crate::wire::date::{Moment, Timestamp};
use crate::wire::field::{FieldId, Traits};
use crate::wire::list;
use crate::wire::view::{FieldView, RequestView, ResponseView};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::ops::Range;

/// Which bytes of a whole are stored. Never empty, and never all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub at: Range<u64>,
    /// The length of the whole.
    pub whole: u64,
}

impl Part {
    /// What a 206 with `length` bytes of content holds. `None` where its `Content-Range` does not say so, or says
    /// otherwise. One that says that it goes to the end does: where its content is shorter than its `Content-Range`,
    /// the whole is. But not where it then would be the whole itself: of that the rest is missing.
    pub fn of(fields: &(impl FieldView + ?Sized), length: u64) -> Option<Part> {
        let (first, last, whole) = content_range(fields)?;
        let end = first.checked_add(length)?;
        let said = last.checked_add(1)?;
        let whole = match end == said {
            true => whole,
            false if end < said && said == whole && first > 0 => end,
            false => return None,
        };
        (length > 0 && end <= whole).then_some(Part { at: first..end, whole })
    }

    /// The `Range` that asks for what is missing, where that is in one piece.
    pub fn missing(&self) -> Option<Range<u64>> {
        match (self.at.start, self.at.end) {
            (0, end) if end < self.whole => Some(end..self.whole),
            (start, end) if start > 0 && end == self.whole => Some(0..start),
            _ => None,
        }
    }

    /// Both in one, where they touch or overlap.
    pub fn joined(&self, other: &Part) -> Option<Part> {
        let touch = self.at.start <= other.at.end && other.at.start <= self.at.end;
        let at = self.at.start.min(other.at.start)..self.at.end.max(other.at.end);
        (touch && self.whole == other.whole).then_some(Part { at, whole: self.whole })
    }

    pub fn is_whole(&self) -> bool {
        self.at == (0..self.whole)
    }
}

/// What is to be fetched to complete a stored part: in one piece, and only where a strong validator can tell whether it
/// fits (section 3.4). Of a part without any, whose origin may well answer with the whole, it may be tried: once.
pub fn rest(stored: &Stored<'_, impl FieldView + ?Sized>, part: &Part) -> Option<Range<u64>> {
    let has = |id| stored.fields.has(id);
    let never_fits = strong(stored.fields).is_none() && (has(FieldId::Etag) || has(FieldId::LastModified));
    part.missing().filter(|_| !never_fits)
}

/// Whether a 206 may be stored as a part: it answers one range, and says which.
pub(super) fn is_one(req: &(impl RequestView + ?Sized), res: &(impl ResponseView + ?Sized)) -> bool {
    req.method() == Method::GET && req.fields().has(FieldId::Range) && content_range(res.fields()).is_some()
}

/// The bytes (of the whole) of a stored part that answer a request; `None` where it does not.
pub fn wanted(
    req: &(impl RequestView + ?Sized),
    stored: &Stored<'_, impl FieldView + ?Sized>,
    part: &Part,
    now: Timestamp,
) -> Option<Range<u64>> {
    match ranges::wanted(req, stored, part.whole, now) {
        Ranged::Part(range) if part.at.start <= range.start && range.end <= part.at.end => Some(range),
        _ => None,
    }
}

/// Puts the `Range` that completes a part on a request, with `If-Range` where there is something to say.
pub fn completion(stored: &Stored<'_, impl FieldView + ?Sized>, missing: &Range<u64>, whole: u64, req: &mut HeaderMap) {
    let range = match missing.end == whole {
        true => format!("bytes={}-", missing.start),
        false => format!("bytes={}-{}", missing.start, missing.end.saturating_sub(1)),
    };
    if let Ok(range) = HeaderValue::try_from(range) {
        req.insert(header::RANGE, range);
    }
    if let Some(Ok(tag)) = strong(stored.fields).map(HeaderValue::from_bytes) {
        req.insert(header::IF_RANGE, tag);
    }
}

/// Whether a 206 brings exactly what a stored part misses, of the same representation: only a strong validator says so
/// (section 3.4).
pub fn completes(
    stored: &Stored<'_, impl FieldView + ?Sized>,
    missing: &Range<u64>,
    whole: u64,
    res: &(impl ResponseView + ?Sized),
) -> bool {
    let all = (missing.start, missing.end.saturating_sub(1), whole);
    res.status() == StatusCode::PARTIAL_CONTENT
        && content_range(res.fields()) == Some(all)
        && same(stored.fields, res.fields())
}

/// Whether two responses have the same strong validator, so that their parts may be combined (section 3.4).
pub fn same(a: &(impl FieldView + ?Sized), b: &(impl FieldView + ?Sized)) -> bool {
    strong(a).is_some_and(|tag| strong(b) == Some(tag))
}

/// An `ETag` that stands for exactly these bytes (RFC 9110 section 8.8.1).
pub fn strong(fields: &(impl FieldView + ?Sized)) -> Option<&[u8]> {
    fields.first(FieldId::Etag).filter(|tag| tag.starts_with(b"\""))
}

/// `bytes first-last/whole` as numbers (RFC 9110 section 14.4): `None` where it is anything else, is not valid, or the
/// length of the whole is not known.
fn content_range(fields: &(impl FieldView + ?Sized)) -> Option<(u64, u64, u64)> {
    let mut lines = fields.all(FieldId::ContentRange);
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let text = std::str::from_utf8(list::trim(line)).ok()?;
    let (unit, rest) = text.split_once(' ')?;
    let (range, whole) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, whole) = (number(first)?, number(last)?, number(whole)?);
    (unit.eq_ignore_ascii_case("bytes") && first <= last && last < whole).then_some((first, last, whole))
}

/// The length of the whole, as a 206 says it.
pub(super) fn whole(fields: &(impl FieldView + ?Sized)) -> Option<u64> {
    content_range(fields).map(|(.., whole)| whole)
}

/// Digits only, and no more than can be counted.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// Updates stored fields from a 304, or from another part of the same representation (sections 3.2 and 3.4): every field
/// takes the place of all lines of that name, new ones too; except those that describe the stored bytes, among them an
/// `ETag`: a 304 confirmed the one that we asked with.
pub fn combine(stored: &mut HeaderMap, fresh: &HeaderMap, received: impl Into<Moment>) {
    let received = received.into();
    for name in fresh.keys().filter(|name| !FieldId::has(name.as_str().as_bytes(), Traits::CONTENT)) {
        if *name == header::ETAG && stored.contains_key(header::ETAG) {
            continue;
        }
        stored.remove(name);
        for value in fresh.get_all(name) {
            stored.append(name, value.clone());
        }
    }
    // Without a date of its own it is as old as its arrival (RFC 9110 section 6.6.1), not as the stored response.
    if freshness::date(fresh, FieldId::Date, received).is_none() {
        stored.remove(header::DATE);
        freshness::ensure_date(stored, received);
    }
}
