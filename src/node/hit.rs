//! A fresh hit, answered as the request is read.

use super::Node;
use super::caller::Standing;
use super::counters::add;
use crate::clock;
use crate::net::serve::{Head, Payload};
use crate::policy::{self, Marks};
use crate::store::{Entry, Mark, Shelf};
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use crate::wire::link;
use crate::wire::status::CacheStatus;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::sync::Arc;

/// What a look into the store found.
pub enum Look {
    /// Appended; so long is its head, and this is its body.
    Hit(usize, Payload),
    /// Something is stored, or more is to be understood.
    Ask,
    /// Nothing is stored under this hash.
    Absent(u64),
}

/// Answers a request that a fresh response answers which is whole and varies by nothing.
pub fn look(node: &Node, request: &Head<'_>, standing: Standing, out: &mut Vec<u8>) -> Look {
    let hash = xxhash_rust::xxh3::xxh3_64(request.target());
    // Only a target that is its own key is found so.
    let Some(shelf) = node.store.at(hash, request.target()) else { return Look::Absent(hash) };
    let Some(wanted) = wanted(request, standing) else { return Look::Ask };
    match plain(shelf).and_then(|entry| answer(node, request, &wanted, &entry, out)) {
        Some((head, body)) => Look::Hit(head, body),
        None => Look::Ask,
    }
}

/// A response that is the only one, whole, and varies by nothing.
fn plain(shelf: Shelf) -> Option<Arc<Entry>> {
    let Shelf::One(entry) = shelf else { return None };
    let is_plain =
        entry.vary().is_empty() && entry.part().is_none() && matches!(entry.status.as_u16(), 200 | 203 | 404 | 410);
    is_plain.then_some(entry)
}

fn answer(
    node: &Node,
    request: &Head<'_>,
    wanted: &Wanted<'_>,
    entry: &Arc<Entry>,
    out: &mut Vec<u8>,
) -> Option<(usize, Payload)> {
    let now = clock::now();
    if !is_fresh(node, entry, now) || (entry.mark == Mark::SameMachine && !wanted.same_machine) {
        return None;
    }
    let bodiless = *request.method() == Method::HEAD;
    let small = entry.body().small().filter(|_| wanted.tag.is_none() && !bodiless);
    let body = match wanted.tag {
        None if small.is_some() || bodiless => Bytes::new(),
        None => entry.body().whole()?,
        // RFC 9110 sections 13.1.2 and 13.2.1: it is the same, however it is compared, and a success.
        Some(tag) if entry.status.is_success() && policy::parts::strong(&**entry) == Some(tag) => Bytes::new(),
        Some(_) => return None,
    };
    let start = out.len();
    write(node, entry, wanted.tag.map_or(Some(entry.body().len()), |_| None), now, out);
    let head = out.len() - start;
    out.extend_from_slice(small.unwrap_or_default());
    entry.touch(now.seconds());
    add(&node.counters.requests, 1);
    add(&node.counters.hits, 1);
    Some((head, body.into()))
}

fn is_fresh(node: &Node, entry: &Entry, now: Timestamp) -> bool {
    now < entry.terms.fresh_until && !entry.terms.marks.has(Marks::GROUPED) && !node.may_have_missed(entry)
}

/// `length` of the body; `None`: 304.
fn write(node: &Node, entry: &Entry, length: Option<u64>, now: Timestamp, head: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    let status = length.map_or(StatusCode::NOT_MODIFIED, |_| entry.status);
    put(&[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", status.canonical_reason().unwrap_or("").as_bytes()]);
    put(&[b"\r\n"]);
    if let Some(length) = length {
        put(&[b"content-length: ", number.format(length).as_bytes(), b"\r\n"]);
    }
    put(&[b"age: ", number.format(entry.terms.age(now)).as_bytes(), b"\r\n"]);
    if entry.mark == Mark::SameMachine {
        put(&[link::REACH.as_str().as_bytes(), b": ", link::LOCAL.as_bytes(), b"\r\n"]);
    }
    let without_body = if length.is_some() { Traits::NONE } else { Traits::NOT_IN_304 };
    entry.write_fields(Traits::ANEW.and(without_body), head);
    head.extend_from_slice(&node.hit);
    head.extend_from_slice(number.format(entry.terms.ttl(now)).as_bytes());
    head.extend_from_slice(b"\r\n\r\n");
}

/// The beginning of the `Cache-Status` line of a hit, up to its number of seconds.
pub fn cache_status(id: &str) -> Box<[u8]> {
    let status = CacheStatus { hit: true, ..CacheStatus::default() }.to_value(id);
    [b"cache-status: ", status.as_bytes(), b"; ttl="].concat().into()
}

/// What a front asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    /// Its client is on this machine.
    same_machine: bool,
    /// Only whether it is still what this `ETag` stands for.
    tag: Option<&'a [u8]>,
}

/// `None`: it is not a front that asks, or more is to be understood.
fn wanted<'a>(request: &Head<'a>, standing: Standing) -> Option<Wanted<'a>> {
    if !request.is_alone() || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let (mut said, mut tag) = (None, None);
    for (id, _, value) in request.lines().filter(|(id, ..)| id.is(Traits::BEARS.and(Traits::LINK))) {
        match id {
            // The first counts, as everywhere.
            FieldId::LinkClient => said = said.or(Some(value == link::LOCAL.as_bytes())),
            // Another node is told more than a front, and what is pinned is one client's.
            FieldId::LinkPinned | FieldId::LinkAsker => return None,
            FieldId::IfNoneMatch if tag.is_none() => tag = Some(value),
            FieldId::Via => {}
            // A fresh hit meets it (RFC 9111 section 5.2.1.7).
            FieldId::CacheControl if value.eq_ignore_ascii_case(b"only-if-cached") => {}
            _ if id.is(Traits::LINK) => {}
            _ => return None,
        }
    }
    Some(Wanted { same_machine: is_for_this_machine(said, standing)?, tag })
}

/// `said`: whether `Ringhold-Client` was `local`, where it was there.
pub fn is_for_this_machine(said: Option<bool>, standing: Standing) -> Option<bool> {
    match standing {
        Standing::SameMachine => said,
        Standing::Front => said.map(|_| false),
        Standing::Stranger => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::serve::with_head;

    fn seen(standing: Standing, fields: &[(&str, &str)]) -> Option<(bool, Option<Vec<u8>>)> {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        with_head(&format!("GET http://a/ HTTP/1.1\r\n{lines}\r\n"), |head| {
            wanted(head, standing).map(|wanted| (wanted.same_machine, wanted.tag.map(<[u8]>::to_vec)))
        })
    }

    #[test]
    fn only_a_trusted_front_with_a_plain_request_is_answered_so() {
        use Standing::{Front, SameMachine, Stranger};
        let local = ("Ringhold-Client", "local");
        let remote = ("ringhold-client", "remote");
        for (standing, fields, expected) in [
            (SameMachine, vec![local], Some(true)),
            (SameMachine, vec![remote], Some(false)),
            (SameMachine, vec![remote, local], Some(false)),
            (Front, vec![local], Some(false)),
            (Stranger, vec![local], None),
            (SameMachine, vec![], None),
            (SameMachine, vec![local, ("via", "1.1 front"), ("accept", "*/*")], Some(true)),
            (SameMachine, vec![local, ("range", "bytes=0-1")], None),
            (SameMachine, vec![local, ("Ringhold-Pinned", "yes")], None),
            (SameMachine, vec![local, ("Content-Length", "1")], None),
            (SameMachine, vec![local, ("cache-control", "no-cache")], None),
            (SameMachine, vec![local, ("cache-control", "only-if-cached")], Some(true)),
            (SameMachine, vec![local, ("cache-control", "only-if-cached, no-cache")], None),
        ] {
            assert_eq!(seen(standing, &fields), expected.map(|local| (local, None)), "{standing:?} {fields:?}");
        }
    }

    #[test]
    fn one_condition_is_understood() {
        let (local, tag) = (("ringhold-client", "local"), ("If-None-Match", "\"a\""));
        assert_eq!(seen(Standing::SameMachine, &[local, tag]), Some((true, Some(b"\"a\"".to_vec()))));
        assert_eq!(seen(Standing::SameMachine, &[local, tag, tag]), None);
        assert_eq!(seen(Standing::SameMachine, &[local, tag, ("if-modified-since", "x")]), None);
    }
}
