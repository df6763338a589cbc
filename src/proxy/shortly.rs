//! A plain request relayed from bytes to bytes: its field lines go to the node, and the node's to the client, without a
//! map of either. The steps are those of [`super::service`], which takes over where an answer is not as plain.

use super::copied::Watch;
use super::link::{self, Answer, Content as Body, Framing, Said, verbatim};
use super::outcome::{Cache, End, Record, Source, Verdict};
use super::reply::Reply;
use super::worker::Client;
use super::{access, own, relay, service};
use crate::net::serve::{Given, Interim, Plain};
use crate::wire::target::Key;
use bytes::Bytes;
use http::{Method, Version};
use std::rc::Rc;

/// A plain request on its way.
pub struct Shortly {
    client: Rc<Client>,
    key: Key,
    /// The field lines for the node.
    lines: Vec<u8>,
    watch: Watch,
    /// Something in it could change the answer.
    special: bool,
    /// The whole head, where a copy may be made of the answer.
    head: Bytes,
    interim: Interim,
    record: Option<Record>,
}

impl Shortly {
    /// `None`: it goes the long way. `special`: something in it could change the answer.
    pub fn of(client: Rc<Client>, request: &Plain<'_>, special: bool, interim: Interim) -> Option<Shortly> {
        let worker = &client.worker;
        if !worker.only_counts() {
            return None;
        }
        access::admit(client.peer, &worker.config.access).ok()?;
        let key = Key::read(request.target).ok()?;
        if key.scheme() != "http" || own::whose(&key, &worker.front) != own::Whose::Other {
            return None;
        }
        let watch = if special { Watch::Aside } else { Watch::since(&client, &key)? };
        let head = match watch {
            Watch::Aside => Bytes::new(),
            Watch::Since(_) => Bytes::copy_from_slice(request.head),
        };
        let mut lines = Vec::with_capacity(request.head.len());
        request.fields.iter().for_each(|field| Said::line(field.name, field.value, &mut lines));
        let record = Some(Record::new(worker.shared.clone(), None));
        Some(Shortly { client, key, lines, watch, special, head, interim, record })
    }

    /// Asks the node that owns its key.
    pub async fn relay(mut self) -> Given<Reply> {
        let client = &self.client;
        let asked = link::Request {
            interim: Some(&self.interim),
            method: &Method::GET,
            key: &self.key,
            said: Said::Lines(&self.lines),
            version: Version::HTTP_11,
            local: client.peer.same_machine,
            te_trailers: false,
            upgrade: None,
            framing: Framing::None,
            expect: false,
            forwarded_for: client.forwarded_for(),
            peer: None,
            held: false,
        };
        let place = relay::asked(&client.worker, &asked);
        let held = if self.special { None } else { relay::held(&client.worker, &asked, place).await };
        let answered = match held {
            Some(held) => Ok(held),
            // Boxed, because a future is as large as the largest that it may wait for.
            None => Box::pin(relay::relay(&client.worker, &asked, &mut None, place)).await,
        };
        let (answer, pool) = match answered {
            Ok(answered) => answered,
            Err(fault) => return Given::Response(service::fault(client, &fault, false, self.record.take())),
        };
        let request = || Plain::parts(&self.head);
        let capture = self.watch.capture(client, &self.key, request, &answer, &pool);
        let via = client.worker.shared.via(answer.head.version);
        // A small body is written together with its head.
        let room = answer.small_body().map_or(0, Bytes::len);
        match (&answer, verbatim(answer.head.status, &answer.head.fields, via, room)) {
            (Answer { head, content: Body::Full(body) }, Some(bytes)) => {
                if let Some(mut capture) = capture {
                    capture.pieces.push(body.clone());
                    capture.finish();
                }
                let cache = Cache::said(head.fields.verdict());
                if cache == Cache::Hit {
                    client.worker.held.note(self.key.hash());
                }
                if let Some(mut record) = self.record.take() {
                    record.decide(Verdict { status: head.status, source: Source::Node, cache });
                    record.sent(body.len());
                    record.end(End::Complete);
                }
                Given::Bytes(bytes, body.clone())
            }
            _ => Given::Response(service::deliver(client, answer, &pool, None, capture, &mut self.record)),
        }
    }
}
