//! Hits by their bytes: a plain GET of what is stored, fresh and varies by nothing is answered as it is read.
//!
//! Whatever is not as plain as can be goes the long way ([`super::service`]), which knows everything: the answers are the
//! same.

use super::body::NodeBody;
use super::caller::{Caller, Standing};
use super::counters::add;
use super::{Node, answer};
use crate::clock;
use crate::net::serve::{Known, Payload, Plain};
use crate::policy::{self, Marks};
use crate::store::{Entry, Mark, Shelf};
use crate::wire::date::Timestamp;
use crate::wire::link;
use crate::wire::status::CacheStatus;
use bytes::Bytes;
use http::StatusCode;
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, HeaderName, IF_NONE_MATCH};
use std::rc::Rc;
use std::sync::Arc;

/// Written anew for each answer.
const OURS: [HeaderName; 2] = [AGE, CONTENT_LENGTH];

/// What is needed to answer a front so; one a connection.
pub struct Quick {
    pub node: Rc<Node>,
    pub caller: Rc<Caller>,
}

impl Known for Quick {
    type Body = NodeBody;

    fn answer(&self, request: &Plain<'_>, head: &mut Vec<u8>) -> Option<Payload> {
        let Asked { same_machine, tag } = asked(request.fields, self.caller.standing())?;
        let entry = self.stored(request.target)?;
        let now = clock::now();
        if !self.is_fresh(&entry, now) || (entry.mark == Mark::SameMachine && !same_machine) {
            return None;
        }
        let body = match tag {
            None => entry.body().whole()?,
            // RFC 9110 sections 13.1.2 and 13.2.1: it is the same, however it is compared, and a success.
            Some(tag) if entry.status.is_success() && policy::strong(&*entry) == Some(tag) => Bytes::new(),
            Some(_) => return None,
        };
        self.write(&entry, tag.map_or(Some(body.len()), |_| None), now, head);
        entry.touch(now.seconds());
        add(&self.node.counters.requests, 1);
        add(&self.node.counters.hits, 1);
        Some(body.into())
    }
}

impl Quick {
    /// Only a target that is its own key, and a response that is whole and the only one: the rest goes the long way.
    fn stored(&self, target: &[u8]) -> Option<Arc<Entry>> {
        let Shelf::One(entry) = self.node.store.at(xxhash_rust::xxh3::xxh3_64(target), target)? else { return None };
        let is_plain =
            entry.vary().is_empty() && entry.part().is_none() && matches!(entry.status.as_u16(), 200 | 203 | 404 | 410);
        is_plain.then_some(entry)
    }

    fn is_fresh(&self, entry: &Entry, now: Timestamp) -> bool {
        now < entry.terms.fresh_until && !entry.terms.marks.has(Marks::GROUPED) && !self.node.may_have_missed(entry)
    }

    /// `length` of the body; `None`: 304.
    fn write(&self, entry: &Entry, length: Option<usize>, now: Timestamp, head: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
        let status = length.map_or(StatusCode::NOT_MODIFIED, |_| entry.status);
        put(&[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", status.canonical_reason().unwrap_or("").as_bytes()]);
        put(&[b"\r\n"]);
        if let Some(length) = length {
            put(&[b"content-length: ", number.format(length).as_bytes(), b"\r\n"]);
        }
        put(&[b"age: ", number.format(policy::age(&entry.terms, now)).as_bytes(), b"\r\n"]);
        if entry.mark == Mark::SameMachine {
            put(&[link::REACH.as_str().as_bytes(), b": ", link::LOCAL.as_bytes(), b"\r\n"]);
        }
        entry.write_fields(if length.is_some() { &OURS } else { &answer::OF_THE_BODY }, head);
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
        } else if tag.is_none() && field.name.eq_ignore_ascii_case(IF_NONE_MATCH.as_str()) {
            tag = Some(field.value);
        } else if policy::bears_on_fresh(field.name) && !field.name.eq_ignore_ascii_case("via") && !is_held_only(field)
        {
            return None;
        }
    }
    let same_machine = match standing {
        Standing::SameMachine => said?,
        Standing::Front => said.map(|_| false)?,
        Standing::Stranger => return None,
    };
    Some(Asked { same_machine, tag })
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
