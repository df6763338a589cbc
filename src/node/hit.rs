//! A fresh hit, answered as the request is read.

use super::CacheNode;
use super::ask::{Asker, is_for_anyone, who};
use super::caller::Standing;
use super::counters::add;
use super::settled::stored;
use crate::clock;
use crate::net::serve::{Payload, RequestHead};
use crate::policy::{self, Decision};
use crate::store::{Entry, Mark, Shelf};
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use crate::wire::link;
use crate::wire::target::Key;
use crate::wire::tenure::Tenure;
use crate::wire::view::FieldView;
use crate::wire::written::{field, put, status_line};
use bytes::Bytes;
use http::{Method, StatusCode};

/// What a look into the store found.
pub enum Look {
    /// Appended; so long is its head, and this is its body.
    Hit(usize, Payload),
    /// Something is stored, or more is to be understood.
    Ask,
    /// Nothing is stored under this hash.
    Absent(u64),
}

/// Answers a request that what is stored and fresh answers, as a whole or by saying that it has not changed.
pub fn look(node: &CacheNode, request: &RequestHead<'_>, standing: Standing, out: &mut Vec<u8>) -> Look {
    let hash = Key::hash_of(request.target());
    // Only a target that is its own key is found so.
    let Some(shelf) = node.store.at(hash, request.target()) else { return Look::Absent(hash) };
    let hit = is_for_this_machine(request, standing).and_then(|local| answer(node, request, local, &shelf, out));
    hit.map_or(Look::Ask, |(head, body)| Look::Hit(head, body))
}

fn answer(
    node: &CacheNode,
    request: &RequestHead<'_>,
    same_machine: bool,
    shelf: &Shelf,
    out: &mut Vec<u8>,
) -> Option<(usize, Payload)> {
    let now = clock::now();
    let entry = shelf.select(request, same_machine)?;
    // In the owner's place nothing will do but what that one answers with too; and what another has answered in this one's place
    // may be newer.
    let tenure = request.first(FieldId::LinkOwner).and_then(Tenure::read);
    if tenure.is_some_and(|tenure| !entry.terms.is_within(tenure, now)) {
        return None;
    }
    if node.may_be_in_doubt(entry) || request.first(FieldId::Range).is_some() {
        return None;
    }
    let ttl = match policy::decide(request, Some(stored(entry)), now) {
        Decision::Serve { ttl } => ttl,
        _ => return None,
    };
    let unchanged = request.has_any(Traits::CONDITION) && stored(entry).is_not_modified(request, now);
    let bodiless = unchanged || *request.method() == Method::HEAD;
    let small = entry.body().small().filter(|_| !bodiless);
    let body = if small.is_some() || bodiless { Bytes::new() } else { entry.body().whole()? };
    let start = out.len();
    write(node, entry, (!unchanged).then(|| entry.body().len()), (now, ttl), out);
    let head = out.len() - start;
    out.extend_from_slice(small.unwrap_or_default());
    node.touch(entry, now);
    add(&node.counters.requests, 1);
    add(&node.counters.hits, 1);
    Some((head, body.into()))
}

/// `length` of the body; `None`: 304.
fn write(node: &CacheNode, entry: &Entry, length: Option<u64>, (now, ttl): (Timestamp, i64), head: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let status = length.map_or(StatusCode::NOT_MODIFIED, |_| entry.status);
    status_line(head, status, None);
    // RFC 9110 section 8.6: not beside a 204.
    if let Some(length) = length.filter(|_| status != StatusCode::NO_CONTENT) {
        field(head, b"content-length", number.format(length).as_bytes());
    }
    field(head, b"age", number.format(entry.terms.age(now)).as_bytes());
    if entry.mark == Mark::SameMachine {
        put(head, &[link::REACH_LINE]);
    }
    let without_body = if length.is_some() { Traits::NONE } else { Traits::NOT_IN_304 };
    entry.write_fields(Traits::ANEW.and(without_body), head);
    put(head, &[&node.hit, number.format(ttl).as_bytes(), b"\r\n\r\n"]);
}

/// Whether the client of the front that asks is on this machine. `None`: it is not a front that asks, or the answer is not
/// for everyone whom it may be for.
fn is_for_this_machine(request: &RequestHead<'_>, standing: Standing) -> Option<bool> {
    if !is_for_anyone(request) {
        return None;
    }
    said(request.first(FieldId::LinkClient), standing)
}

/// By what `Ringhold-Client` says first, where it is there.
pub fn said(client: Option<&[u8]>, standing: Standing) -> Option<bool> {
    match who(client, standing) {
        (Asker::Front, same_machine) => Some(same_machine),
        (Asker::Client, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::serve::with_head;

    #[test]
    fn only_a_trusted_front_is_answered_so() {
        use Standing::{Front, SameMachine, Stranger};
        let (local, remote) = ("Ringhold-Client: local\r\n", "ringhold-client: remote\r\n");
        for (standing, fields, expected) in [
            (SameMachine, local.to_owned(), Some(true)),
            (SameMachine, remote.to_owned(), Some(false)),
            (SameMachine, format!("{remote}{local}"), Some(false)),
            (Front, local.to_owned(), Some(false)),
            (Stranger, local.to_owned(), None),
            (SameMachine, String::new(), None),
            (SameMachine, format!("{local}Via: 1.1 front\r\nAccept: */*\r\n"), Some(true)),
            (SameMachine, format!("{local}Ringhold-Pinned: yes\r\n"), None),
            (SameMachine, format!("{local}Ringhold-Asker: n2\r\n"), None),
            (SameMachine, format!("{local}Content-Length: 1\r\n"), None),
            (SameMachine, format!("{local}Authorization: Basic eA==\r\n"), Some(true)),
            (SameMachine, format!("{local}Authorization: NTLM eA==\r\n"), None),
        ] {
            let got = with_head(&format!("GET http://a/ HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), |head| {
                is_for_this_machine(head, standing)
            });
            assert_eq!(got, expected, "{standing:?} {fields:?}");
        }
    }
}
