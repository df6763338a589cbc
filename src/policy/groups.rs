//! Cache groups (RFC 9875): responses of one origin that an unsafe request makes invalid together.
//!
//! No index from a group to its responses is kept: what is remembered is when a group was invalidated, and a response
//! that names the group and came before is not reused without validation.

use super::invalidate::is_unsafe;
use super::structured;
use crate::wire::date::Timestamp;
use crate::wire::field::FieldId;
use crate::wire::target::Key;
use crate::wire::view::{FieldView, ResponseView};
use http::Method;
use std::cmp::Ordering;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many members of a field are read; RFC 9875 section 2 asks for 32.
const MOST: usize = 128;

/// The groups that an answer to an unsafe method makes invalid (RFC 9875 section 3); none on an error answer, as for URLs.
pub fn invalidated(method: &Method, res: &(impl ResponseView + ?Sized)) -> Vec<String> {
    match is_unsafe(method, res.status()) {
        true => members(res.fields(), FieldId::CacheGroupInvalidation),
        false => Vec::new(),
    }
}

/// The strings of a list; none where the field is no list of strings, which is then ignored (RFC 9651 section 4.2).
fn members(fields: &(impl FieldView + ?Sized), id: FieldId) -> Vec<String> {
    let lines: Vec<&[u8]> = fields.all(id).collect();
    let mut members = structured::strings(&lines.join(&b", "[..])).unwrap_or_default();
    members.truncate(MOST);
    members
}

/// When which groups were invalidated. Bounded: what does not fit makes all grouped responses doubtful, once.
#[derive(Debug)]
pub struct Groups {
    /// By the hash of origin and group; two that share a hash cost a validation.
    times: HashMap<u64, Timestamp>,
    most: usize,
    /// Nothing that names a group and came until then is reused without validation.
    all_until: Option<Timestamp>,
}

impl Groups {
    /// Remembers at most so many.
    pub fn new(most: usize) -> Groups {
        Groups { times: HashMap::new(), most: most.max(1), all_until: None }
    }

    /// These groups of `of`'s origin became invalid.
    pub fn invalidate(&mut self, of: &Key, names: &[String], now: Timestamp) {
        for name in names {
            let hash = hash(of, name);
            if self.times.len() >= self.most && !self.times.contains_key(&hash) {
                self.times.clear();
                self.all_until = Some(now);
            }
            self.times.insert(hash, now);
        }
    }

    /// Whether one of the groups of a stored response was invalidated since it was received.
    pub fn outdate(&self, key: &Key, fields: &(impl FieldView + ?Sized), received: Timestamp) -> bool {
        if self.all_until.is_some_and(|until| received <= until) {
            return true;
        }
        let is_later = |name: &String| self.times.get(&hash(key, name)).is_some_and(|time| received <= *time);
        !self.times.is_empty() && members(fields, FieldId::CacheGroups).iter().any(is_later)
    }
}

/// Groups of one origin by their hashes, in order: whether two of these have one in common is asked without a look at any
/// field. At most [`MOST`] of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(Box<[u64]>);

impl Named {
    /// Those that a response to `key` is in.
    pub fn of(key: &Key, fields: &(impl FieldView + ?Sized)) -> Named {
        Named::new(key, &members(fields, FieldId::CacheGroups))
    }

    /// Those of the origin of `of` with these names.
    pub fn new(of: &Key, names: &[String]) -> Named {
        let mut hashes: Vec<u64> = names.iter().map(|name| hash(of, name)).collect();
        hashes.sort_unstable();
        Named(hashes.into())
    }

    /// Whether one group is in both.
    pub fn meets(&self, other: &Named) -> bool {
        let (mut one, mut two) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (one.peek(), two.peek()) {
            match a.cmp(b) {
                Ordering::Equal => return true,
                Ordering::Less => drop(one.next()),
                Ordering::Greater => drop(two.next()),
            }
        }
        false
    }
}

/// Groups are the same when their origins and all their characters are (RFC 9875 section 2.1).
fn hash(of: &Key, name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), of.origin_hash())
}
