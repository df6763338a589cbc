//! Stored parts of one representation: joined where they touch (RFC 9111 section 3.4), and not too many.

use super::entry::Entry;
use crate::policy::{self, Part};
use crate::wire::head_limits::HeadLimits;
use crate::wire::target::Key;
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;

/// Disjoint parts of one representation that are kept.
const MOST: usize = 8;

/// A new part together with the stored ones that touch it, whose fields the new one's update; the whole when that is all.
/// Not where their heads together are too long.
pub fn joined(new: Arc<Entry>, stored: &[Arc<Entry>], limits: HeadLimits) -> Arc<Entry> {
    let mut joined = new;
    let mut others: Vec<&Arc<Entry>> = stored.iter().collect();
    // What has grown may touch one that it did not touch before.
    while let Some((n, both)) = others.iter().enumerate().find_map(|(n, old)| Some((n, join(&joined, old, limits)?))) {
        others.swap_remove(n);
        joined = Arc::new(both);
    }
    joined
}

fn join(new: &Entry, old: &Entry, limits: HeadLimits) -> Option<Entry> {
    let (ours, theirs) = (new.part()?, old.part()?);
    if new.body().is_far() || old.body().is_far() {
        return None;
    }
    let both = ours.joined(theirs).filter(|both| both != ours && are_alike(new, old))?;
    let key = Key::parse(std::str::from_utf8(new.key()).ok()?).ok()?;
    let body = match ours.at.start <= theirs.at.start {
        true => concatenated(new, ours, old, theirs),
        false => concatenated(old, theirs, new, ours),
    };
    let status = if both.is_whole() { StatusCode::OK } else { new.status };
    let (mut headers, newer) = (old.headers(0), new.headers(0));
    policy::parts::combine(&mut headers, &newer, new.terms.received);
    if !limits.allow(&headers) {
        return None;
    }
    let entry = Entry::new(&key, status, &headers, new.selecting(), new.terms, new.mark, body);
    Some(if both.is_whole() { entry } else { entry.part_of_whole(both) })
}

/// The bytes of the first, then what the second has beyond them.
fn concatenated(first: &Entry, at: &Part, second: &Entry, then: &Part) -> Vec<Bytes> {
    let mut body = first.body().pieces();
    let mut next = at.at.end.saturating_sub(then.at.start);
    loop {
        let piece = second.body().piece(next);
        if piece.is_empty() {
            return body;
        }
        next += piece.len() as u64;
        body.push(piece);
    }
}

/// Whether a new response of a variant leaves no use for a stored one. A whole leaves none for anything; a part does
/// not for what it covers, and for parts that it cannot be combined with.
pub fn replaces(new: &Entry, old: &Entry) -> bool {
    match (new.part(), old.part()) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(new_part), Some(old_part)) => {
            !are_alike(new, old) || new_part.joined(old_part).as_ref() == Some(new_part)
        }
    }
}

/// Makes room for a part among others of its variant.
pub fn thin(new: &Entry, kept: &mut Vec<Arc<Entry>>) {
    let is_part = |e: &Entry| new.part().is_some() && e.part().is_some() && is_same_variant(new, e);
    while kept.iter().filter(|e| is_part(e)).count() >= MOST {
        let oldest = (0..kept.len()).filter(|&i| is_part(&kept[i])).min_by_key(|&i| kept[i].used());
        oldest.map(|i| kept.swap_remove(i));
    }
}

fn are_alike(a: &Entry, b: &Entry) -> bool {
    is_same_variant(a, b) && policy::parts::same(a, b)
}

pub(super) fn is_same_variant(a: &Entry, b: &Entry) -> bool {
    a.vary() == b.vary() && a.selecting() == b.selecting() && a.mark == b.mark
}
