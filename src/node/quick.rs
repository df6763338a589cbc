//! Plain requests by their bytes: a GET of what is stored, fresh and varies by nothing is answered as it is read, and one of
//! what is known to be not storable is relayed ([`super::shortly`]).
//!
//! Whatever is not as plain as can be goes the long way ([`super::service`]), which knows everything: the answers are the
//! same.

use super::Node;
use super::body::NodeBody;
use super::caller::{Caller, Standing};
use super::counters::add;
use super::origin::Pool;
use super::shortly::Shortly;
use crate::clock;
use crate::net::serve::{Asking, Interim, Known, Payload, Plain};
use crate::policy::{self, Marks};
use crate::store::{Entry, Mark, Shelf};
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use crate::wire::link;
use crate::wire::status::CacheStatus;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, IF_NONE_MATCH};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// What is needed to answer a front so; one a connection.
pub struct Quick {
    node: Rc<Node>,
    caller: Rc<Caller>,
    /// The hash of the URL of which the last look into the store found nothing.
    absent: Cell<Option<u64>>,
    /// The origin that was last asked.
    last: RefCell<Option<Rc<Pool>>>,
}

impl Known for Quick {
    type Body = NodeBody;

    fn ask(&self, request: &Plain<'_>, interim: Interim) -> Option<Asking<NodeBody>> {
        let hash = xxhash_rust::xxh3::xxh3_64(request.target);
        let node = &self.node;
        let why = node.uncacheable.alone(hash)?;
        if self.absent.take() != Some(hash) && node.store.at(hash, request.target).is_some() {
            return None;
        }
        let shortly = Shortly::of(node.clone(), &self.last, request, self.caller.standing(), why, interim)?;
        Some(Box::pin(shortly.relay()))
    }

    fn answer(&self, request: &Plain<'_>, head: &mut Vec<u8>) -> Option<Payload> {
        self.absent.set(None);
        let Asked { same_machine, tag } = asked(request.fields, self.caller.standing())?;
        let entry = self.stored(request.target)?;
        let now = clock::now();
        if !self.is_fresh(&entry, now) || (entry.mark == Mark::SameMachine && !same_machine) {
            return None;
        }
        let small = entry.body().small().filter(|_| tag.is_none());
        let body = match tag {
            None if small.is_some() => Bytes::new(),
            None => entry.body().whole()?,
            // RFC 9110 sections 13.1.2 and 13.2.1: it is the same, however it is compared, and a success.
            Some(tag) if entry.status.is_success() && policy::parts::strong(&*entry) == Some(tag) => Bytes::new(),
            Some(_) => return None,
        };
        self.write(&entry, tag.map_or(Some(entry.body().len()), |_| None), now, head);
        head.extend_from_slice(small.unwrap_or_default());
        entry.touch(now.seconds());
        add(&self.node.counters.requests, 1);
        add(&self.node.counters.hits, 1);
        Some(body.into())
    }
}

impl Quick {
    pub fn new(node: Rc<Node>, caller: Rc<Caller>) -> Quick {
        Quick { node, caller, absent: Cell::new(None), last: RefCell::default() }
    }

    /// Only a target that is its own key, and a response that is whole and the only one: the rest goes the long way.
    fn stored(&self, target: &[u8]) -> Option<Arc<Entry>> {
        let hash = xxhash_rust::xxh3::xxh3_64(target);
        let shelf = self.node.store.at(hash, target);
        self.absent.set(shelf.is_none().then_some(hash));
        let Shelf::One(entry) = shelf? else { return None };
        let is_plain =
            entry.vary().is_empty() && entry.part().is_none() && matches!(entry.status.as_u16(), 200 | 203 | 404 | 410);
        is_plain.then_some(entry)
    }

    fn is_fresh(&self, entry: &Entry, now: Timestamp) -> bool {
        now < entry.terms.fresh_until && !entry.terms.marks.has(Marks::GROUPED) && !self.node.may_have_missed(entry)
    }

    /// `length` of the body; `None`: 304.
    fn write(&self, entry: &Entry, length: Option<u64>, now: Timestamp, head: &mut Vec<u8>) {
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
        head.extend_from_slice(&self.node.hit);
        head.extend_from_slice(number.format(entry.terms.ttl(now)).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
    }
}

/// The beginning of the `Cache-Status` line of a hit, up to its number of seconds.
pub fn hit(id: &str) -> Box<[u8]> {
    let status = CacheStatus { hit: true, ..CacheStatus::default() }.to_value(id);
    [b"cache-status: ", status.as_bytes(), b"; ttl="].concat().into()
}

/// `only-if-cached`, which a fresh hit meets (RFC 9111 section 5.2.1.7).
fn is_held_only(field: &httparse::Header<'_>) -> bool {
    field.name.eq_ignore_ascii_case(CACHE_CONTROL.as_str()) && field.value.eq_ignore_ascii_case(b"only-if-cached")
}

/// What a front asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    /// Its client is on this machine.
    same_machine: bool,
    /// Only whether it is still what this `ETag` stands for.
    tag: Option<&'a [u8]>,
}

/// `None`: it is not a front that asks, or more is to be understood.
fn asked<'a>(fields: &[httparse::Header<'a>], standing: Standing) -> Option<Asked<'a>> {
    let (mut said, mut tag) = (None, None);
    for field in fields {
        if field.name.eq_ignore_ascii_case(link::CLIENT.as_str()) {
            // The first counts, as everywhere.
            said = said.or(Some(field.value == link::LOCAL.as_bytes()));
        } else if field.name.eq_ignore_ascii_case(link::PINNED.as_str()) {
            return None;
        } else if tag.is_none() && field.name.eq_ignore_ascii_case(IF_NONE_MATCH.as_str()) {
            tag = Some(field.value);
        } else if field.name.eq_ignore_ascii_case(link::ASKER.as_str()) {
            // Another node is told more than a front.
            return None;
        } else if FieldId::has(field.name.as_bytes(), Traits::BEARS)
            && !field.name.eq_ignore_ascii_case("via")
            && !is_held_only(field)
        {
            return None;
        }
    }
    Some(Asked { same_machine: is_for_this_machine(said, standing)?, tag })
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
            (SameMachine, vec![local, ("cache-control", "no-cache")], None),
            (SameMachine, vec![local, ("cache-control", "only-if-cached")], Some(true)),
            (SameMachine, vec![local, ("cache-control", "only-if-cached, no-cache")], None),
        ] {
            let fields: Vec<httparse::Header> =
                fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
            let expected = expected.map(|same_machine| Asked { same_machine, tag: None });
            assert_eq!(asked(&fields, standing), expected, "{standing:?} {fields:?}");
        }
    }

    #[test]
    fn one_condition_is_understood() {
        let field = |name, value: &'static str| httparse::Header { name, value: value.as_bytes() };
        let (local, tag) = (field("ringhold-client", "local"), field("If-None-Match", "\"a\""));
        let expected = Asked { same_machine: true, tag: Some(b"\"a\"") };
        assert_eq!(asked(&[local, tag], Standing::SameMachine), Some(expected));
        assert_eq!(asked(&[local, tag, tag], Standing::SameMachine), None);
        assert_eq!(asked(&[local, tag, field("if-modified-since", "x")], Standing::SameMachine), None);
    }
}
