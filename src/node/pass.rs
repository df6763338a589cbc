//! A request for what is known to be not storable, passed on from bytes to bytes: its field lines go to the origin, and the
//! origin's to the front, without a map of either. Where the answer is not as plain, [`super::exchange`] and the steps after it
//! take over with what has been read: nothing is asked twice, and the answers are the same.

use super::answered::Answered;
use super::ask::{Ask, Asker, is_for_anyone};
use super::begun::Else;
use super::body::NodeBody;
use super::caller::Standing;
use super::counters::add;
use super::forgotten::FetchMoment;
use super::origin::url;
use super::outgoing::pass_on;
use super::settled::{Unstored, mark};
use super::{CacheNode, answer, collapse, fill, hit};
use crate::clock;
use crate::net::http1::{Answer, Exchanged, Message, Pool, Question};
use crate::net::rules::Reach;
use crate::net::serve::{Finished, Interim, RequestHead as Request, ServiceRequest, room_for_message};
use crate::net::shares::ClientId;
use crate::policy;
use crate::store::{Mark, Then};
use crate::wire::answer::decode::Head;
use crate::wire::answer::fields::begin;
use crate::wire::date::Timestamp;
use crate::wire::fault::Fault;
use crate::wire::field::{FieldId, Traits};
use crate::wire::link;
use crate::wire::status::Fwd;
use crate::wire::target::{self, Key, Spelt};
use crate::wire::tenure::Tenure;
use crate::wire::view::FieldView;
use crate::wire::written::{field, put};
use http::{Method, Response, Uri, Version};
use std::cell::RefCell;
use std::rc::Rc;

/// Nothing is stored for it.
const FWD: Fwd = Fwd::UriMiss;

/// A request on its way.
pub struct NodePass {
    node: Rc<CacheNode>,
    pool: Rc<Pool>,
    /// The URL, which is its own key, and the head for the origin.
    text: Box<[u8]>,
    url: usize,
    same_machine: bool,
    of: ClientId,
    /// In the owner's place.
    instead: bool,
    /// Why the last answer was not stored.
    why: Unstored,
    interim: Interim,
}

impl NodePass {
    /// `None`: it goes the long way. Nothing is stored under its URL, and what is not stored of it has this reason. `last`: the
    /// origin that was last asked on this connection.
    pub fn of(
        node: Rc<CacheNode>,
        last: &RefCell<Option<Rc<Pool>>>,
        request: &ServiceRequest<'_>,
        standing: Standing,
        why: Unstored,
    ) -> Option<NodePass> {
        let is_plain = *request.method() == Method::GET && request.version() == Version::HTTP_11;
        if !is_plain || !is_for_anyone(request) || request.takes_trailers() {
            return None;
        }
        // Any other spelling goes the long way.
        let Spelt { root: origin, authority, path } = target::spelt(request.target())?;
        // An origin that is known was once asked by a key, so its authority is as keys write it.
        let pool = last.borrow().clone().filter(|pool| pool.is_of(origin));
        let pool = match pool {
            Some(pool) => pool,
            None => last.borrow_mut().insert(node.origins.known(origin)?).clone(),
        };
        let mut text = Vec::with_capacity(2 * request.target().len() + request.bytes().len());
        text.extend_from_slice(request.target());
        text.extend_from_slice(b"GET ");
        text.extend_from_slice(path);
        text.extend_from_slice(b" HTTP/1.1\r\n");
        let said = lines(request, authority, &mut text)?;
        let same_machine = hit::said(said, standing)?;
        let of = ClientId::told(said.map_or(0, link::client_name));
        text.extend_from_slice(b"\r\n");
        let (text, url, interim) = (text.into_boxed_slice(), request.target().len(), request.interim());
        let instead = request.first(FieldId::LinkOwner).and_then(Tenure::read).is_some_and(|tenure| tenure.only);
        Some(NodePass { node, pool, text, url, same_machine, of, instead, why, interim })
    }

    /// Asks the origin.
    pub async fn relay(self) -> Finished<NodeBody> {
        let node = &self.node;
        add(&node.counters.requests, 1);
        let (began, sent) = (node.begins(), clock::now());
        let question = Question {
            head: &self.text[self.url..],
            bodiless: false,
            idempotent: true,
            interim: &|head: Head| pass_on(&self.interim, head.status, head.fields.map()),
            message: Some(&|head, reach, content| self.message(head, reach, content)),
        };
        match node.origins.pass(&self.pool, &self.text[..self.url], (self.same_machine, self.of), &question).await {
            Ok(Exchanged::Message((message, head))) => Finished::Message(message, head),
            Ok(Exchanged::Answer(answer)) => {
                Finished::Response(answer::begun(node, self.long(*answer, began, sent), true, Else::Nothing).await)
            }
            Err(fault) => Finished::Response(answer::begun(node, Err(fault), true, Else::Nothing).await),
        }
    }

    /// The answer as it is to be written, where it is certainly not to be stored.
    fn message(&self, origins: &Head<&[u8]>, reach: Reach, content: &[u8]) -> Option<Message> {
        let node = &self.node;
        if origins.fields.names_alternative() && super::outgoing::leads_around(&self.text) {
            return None;
        }
        let why = policy::forbidden(&node.rules, origins.status, origins.fields.cache_control()?)?;
        let status = answer::not_stored(node, FWD, Unstored::Policy(why));
        let mut message = room_for_message(128 + origins.fields.len() + status.len() + content.len());
        begin(origins.status, &origins.fields, &mut message)?;
        field(&mut message, b"cache-status", status.as_bytes());
        if mark(reach) == Mark::SameMachine {
            put(&mut message, &[link::REACH_LINE]);
        }
        message.extend_from_slice(b"\r\n");
        let head = message.len();
        message.extend_from_slice(content);
        self.note(Unstored::Policy(why));
        add(&node.counters.forwarded, 1);
        add(&node.counters.bytes_from_origin, content.len() as u64);
        Some((message, head))
    }

    /// Remembered, unless it is the same as before.
    fn note(&self, why: Unstored) {
        if why != self.why
            && let Ok(key) = self.key()
        {
            self.node.uncacheable.note(&key, why, Then::AsBefore);
        }
    }

    /// The rest of the long way.
    fn long(&self, answer: Answer, began: FetchMoment, sent: Timestamp) -> Result<Response<NodeBody>, Fault> {
        let (node, ask) = (&self.node, self.ask()?);
        let reply = node.origins.reply(answer);
        let settled = Answered::new(reply.response, reply.ends, reply.reach, sent).asked_for(&ask)?.plainly(node, &ask);
        let settled = if self.instead { collapse::passed(node, &ask, settled) } else { settled };
        let got = collapse::own(node, &ask, settled, began)?;
        answer::got(node, &ask, got, FWD).ok_or_else(fill::vanished)
    }

    fn key(&self) -> Result<Key, Fault> {
        url(&self.text[..self.url])
    }

    /// What came in as the long way understands it. The head for the origin has all of it but the absolute form.
    fn ask(&self) -> Result<Ask, Fault> {
        let key = self.key()?;
        let mut head = Request::parts(&self.text[self.url..]).ok_or_else(fill::vanished)?;
        head.uri = Uri::try_from(key.url()).unwrap_or_default();
        let interim = Some(self.interim.clone());
        Ok(Ask { interim, of: self.of, ..Ask::new(key, head, Asker::Front, self.same_machine) })
    }
}

/// Appends the lines that go to the origin; what `Ringhold-Client` says, where it is there. `None`: more is to be
/// understood. Who wants credentials or its own `Via` to be heeded is heard by the origin; the answer is not stored anyway.
fn lines<'a>(request: &Request<'a>, authority: &[u8], out: &mut Vec<u8>) -> Option<Option<&'a [u8]>> {
    let (mut said, mut hosts) = (None, 0);
    for (id, name, value) in request.lines() {
        match id {
            // The first counts, as everywhere.
            FieldId::LinkClient => said = said.or(Some(value)),
            FieldId::Host if value != authority => return None,
            FieldId::Host => hosts += 1,
            FieldId::Authorization | FieldId::Via => {}
            _ if id.is(Traits::BEARS) => return None,
            _ => {}
        }
        if !id.is(Traits::HOP.and(Traits::LINK)) {
            line(request.bytes(), name, value, out);
        }
    }
    (hosts == 1).then_some(said)
}

/// Appends a line in its usual form, which is nearly always the form that it has in `head`.
fn line(head: &[u8], name: &str, value: &[u8], out: &mut Vec<u8>) {
    let at = (name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
    let after = at.wrapping_add(name.len() + 2);
    let as_is = head
        .get(at..after.wrapping_add(value.len()))
        .filter(|line| line.get(name.len()..name.len() + 2) == Some(b": ") && line.ends_with(value));
    match as_is {
        Some(line) => out.extend_from_slice(line),
        None => return field(out, name.as_bytes(), value),
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::serve::with_head;
    use crate::wire::link::LOCAL;

    #[test]
    fn the_origin_is_sent_what_is_not_of_a_hop_or_the_link() {
        let host = ("Host", "a");
        for (fields, expected) in [
            (vec![host, ("Ringhold-Client", "local"), ("X", "y")], Some((Some(LOCAL), "Host: a\r\nX: y\r\n"))),
            (
                vec![host, ("Ringhold-Client", "remote"), ("ringhold-client", "local")],
                Some((Some("remote"), "Host: a\r\n")),
            ),
            (vec![host, ("Ringhold-Peer", "n h:1"), ("Keep-Alive", "5")], Some((None, "Host: a\r\n"))),
            (vec![host, ("Connection", "keep-alive"), ("Via", "1.1 f")], Some((None, "Host: a\r\nVia: 1.1 f\r\n"))),
            (vec![host, ("Authorization", "x")], Some((None, "Host: a\r\nAuthorization: x\r\n"))),
            (vec![host, ("If-None-Match", "x")], None),
            (vec![host, ("Range", "bytes=0-")], None),
            (vec![host, ("Cache-Control", "no-cache")], None),
            (vec![host, host], None),
            (vec![("Host", "b")], None),
            (vec![], None),
        ] {
            let text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let got = with_head(&format!("GET http://a/ HTTP/1.1\r\n{text}\r\n"), |request| {
                let mut out = Vec::new();
                let text = |said: &[u8]| String::from_utf8(said.to_vec()).unwrap();
                lines(request, b"a", &mut out).map(|said| (said.map(text), text(&out)))
            });
            let expected =
                expected.map(|(said, lines): (Option<&str>, &str)| (said.map(str::to_owned), lines.to_owned()));
            assert_eq!(got, expected, "{fields:?}");
        }
    }

    #[test]
    fn a_line_goes_on_in_its_usual_form_whatever_it_had() {
        for (text, expected) in [
            ("Accept: a, b", "Accept: a, b\r\n"),
            ("Accept:a", "Accept: a\r\n"),
            ("Accept:  a", "Accept: a\r\n"),
            ("Accept:\ta \t", "Accept: a\r\n"),
            ("Accept:", "Accept: \r\n"),
        ] {
            for end in ["\r\n\r\n", "\n\n"] {
                let head = format!("GET / HTTP/1.1\r\n{text}{end}");
                let mut slots = [httparse::EMPTY_HEADER; 4];
                let mut request = httparse::Request::new(&mut slots);
                assert!(request.parse(head.as_bytes()).unwrap().is_complete());
                let mut out = Vec::new();
                line(head.as_bytes(), request.headers[0].name, request.headers[0].value, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{head:?}");
            }
        }
    }
}
