//! An answer of the origin, or of another node, and whether it may be stored.

use super::CacheNode;
use super::ask::Ask;
use super::fill::FillHead;
use super::large;
use super::origin::{OriginBody, OriginReply, OriginRequest};
use super::outgoing::{leads_around, pass_on};
use super::settled::{Settled, Unstored, mark};
use super::source::FillSource;
use crate::clock;
use crate::net::http1::Upload;
use crate::net::rules::Reach;
use crate::policy::groups::Named;
use crate::policy::{self, NotStored, Shown};
use crate::store::Entry;
use crate::wire::answer::decode;
use crate::wire::date::{Moment, Timestamp};
use crate::wire::fault::{Fault, Kind};
use crate::wire::field::FieldId;
use crate::wire::length::BodyLength;
use crate::wire::{hop, list};
use http::{HeaderMap, Method, Response, StatusCode, header, response};
use hyper::ext::ReasonPhrase;
use std::sync::Arc;

/// The protocols that a 101 names.
#[derive(Clone, Debug)]
pub struct SwitchesTo(pub Vec<Vec<u8>>);

/// An answer of the origin (or of another node), without fields of its connection.
pub struct Answered<B = OriginBody> {
    pub head: response::Parts,
    pub body: B,
    ends: BodyLength,
    pub reach: Reach,
    pub sent: Timestamp,
    pub received: Moment,
    /// As [`FillHead::outdone`].
    pub outdone: bool,
}

impl Answered {
    pub async fn to(
        node: &CacheNode,
        ask: &Ask,
        headers: &HeaderMap,
        upload: Option<Box<Upload>>,
    ) -> Result<Answered, Fault> {
        let (sent, fetching) = (clock::now(), node.concurrent.begin(&ask.key));
        // They say that the origin is at work, and go on to the client (RFC 9110 section 15.2), except for the `100 Continue`
        // that a body waits for: the client's own is sent when that is asked for.
        let interim = |head: decode::Head| {
            if let Some(interim) = &ask.interim {
                pass_on(interim, head.status, head.fields.map());
            }
        };
        let request = OriginRequest {
            key: &ask.key,
            method: &ask.head.method,
            pathless: ask.pathless,
            headers,
            same_machine: ask.same_machine,
            of: ask.of,
            pins: ask.pins.as_ref(),
        };
        let OriginReply { response, ends, reach } = node.origins.exchange(&request, upload, &interim).await?;
        let answered = Answered::new(response, ends, reach, sent).asked_for(ask)?;
        let shows = || Shown::of(&node.rules.of(&ask.key), &ask.head, &answered.head);
        let outdone = ask.pins.is_none() && fetching.answered_by_origin(&node.fills, sent, shows);
        Ok(Answered { outdone, ..answered })
    }

    /// Not where it switches to a protocol that nobody asked for. Nor with what leads around us.
    pub fn asked_for(mut self, ask: &Ask) -> Result<Answered, Fault> {
        if leads_around(ask.key.url().as_bytes()) {
            self.head.headers.remove(header::ALT_SVC);
        }
        if self.head.status == StatusCode::SWITCHING_PROTOCOLS && ask.hop.upgrade.is_none() {
            return Err(Fault::origin(
                Kind::HttpUpgradeFailed,
                "the origin switched to a protocol that nobody asked for",
            ));
        }
        Ok(self)
    }

    /// What it means where nothing was to be validated.
    pub fn plainly(self, node: &CacheNode, ask: &Ask) -> Settled {
        match self.head.status {
            StatusCode::NOT_MODIFIED => self.through(Unstored::NotForUs),
            _ => self.settle(node, ask),
        }
    }

    /// For its requester alone.
    pub fn through(self, why: Unstored) -> Settled {
        Settled::Through(Response::from_parts(self.head, self.body), self.reach, why)
    }

    /// To be stored, or the reason why not.
    pub fn settle(mut self, node: &CacheNode, ask: &Ask) -> Settled {
        if ask.pins.is_some() {
            return self.through(Unstored::Pinned);
        }
        if ask.has_content && ask.head.method == Method::GET {
            return self.through(Unstored::Policy(NotStored::RequestContent));
        }
        match self.storable_head(node, ask) {
            Ok(head) => Settled::Store(head, FillSource::Origin(self.body)),
            Err(why) => self.through(why),
        }
    }
}

impl<B> Answered<B> {
    /// It has just been received.
    pub fn new(response: Response<B>, ends: BodyLength, reach: Reach, sent: Timestamp) -> Answered<B> {
        let received = clock::moment(clock::now());
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let protocols = list::members(&head.headers, FieldId::Upgrade).map(<[u8]>::to_vec).collect();
            head.extensions.insert(SwitchesTo(protocols));
        }
        hop::strip(&mut head.headers);
        hop::strip_link(&mut head.headers);
        Answered { head, body, ends, reach, sent, received, outdone: false }
    }

    fn length(&self) -> Option<u64> {
        match self.ends {
            BodyLength::None => Some(0),
            BodyLength::Sized(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        }
    }

    /// Whether its body is whole where its connection ends, if that ends in order.
    pub fn ends_with_connection(&self) -> bool {
        self.ends == BodyLength::UntilClose
    }

    /// The head as it will be stored, which takes the fields; or, with all of them left, the reason why it will not be.
    pub fn storable_head(&mut self, node: &CacheNode, ask: &Ask) -> Result<FillHead, Unstored> {
        let stored = policy::storable(&node.rules.of(&ask.key), &ask.head, &self.head, self.sent, self.received);
        let (terms, length) = (stored.map_err(Unstored::Policy)?, self.length());
        if self.head.status.is_server_error() && self.would_hide(node, ask) {
            return Err(Unstored::Failed);
        }
        if ask.is_secure() {
            policy::cookies::allow(&ask.head, &terms).map_err(Unstored::Policy)?;
        }
        let on_disk = |bytes| large::could_hold(node, self.head.status, mark(self.reach), bytes);
        if let Some(why) = too_much(node, length).filter(|_| !length.is_some_and(on_disk)) {
            return Err(why);
        }
        let in_memory = length.filter(|length| *length <= node.config.cache.max_object).unwrap_or(0);
        if !node.store.could_hold(&ask.key, &self.head.headers, in_memory) && !on_disk(in_memory) {
            return Err(Unstored::TooLarge);
        }
        // One that ends in order is whole (RFC 9112 section 8), but so it seems where an origin fails without a reset.
        let is_plain = ask.head.method == Method::GET && self.head.status == StatusCode::OK;
        if self.ends_with_connection() && !(is_plain && terms.source.is_explicit()) {
            return Err(Unstored::NoLength);
        }
        let selecting = policy::variants::selecting(&self.head.headers, &ask.head.headers);
        let selecting = selecting.ok_or(Unstored::Policy(NotStored::VaryStar))?;
        let groups = Named::of(&ask.key, &self.head.headers);
        let mut headers = std::mem::take(&mut self.head.headers);
        let mut withheld = policy::storable_fields(&mut headers, self.received);
        if ask.is_secure() {
            withheld.extend(policy::cookies::withhold(&mut headers));
        }
        let (status, mark) = (self.head.status, mark(self.reach));
        let reason = self.head.extensions.remove::<ReasonPhrase>().map(Box::new);
        Ok(FillHead {
            status,
            reason,
            headers,
            withheld,
            terms,
            sent: self.sent,
            groups,
            mark,
            selecting,
            length,
            seed: None,
            peer: None,
            outdone: self.outdone,
        })
    }

    /// Whether something is stored that outlasts this error and would not be found any more if that were stored too, whether
    /// the request was for it or not: parts as well, and all variants where it does not say that it is one.
    fn would_hide(&self, node: &CacheNode, ask: &Ask) -> bool {
        let Some(shelf) = node.store.get(&ask.key) else { return false };
        let outlasts = |entry: &Arc<Entry>| policy::outlasts(&node.terms(ask, entry), self.head.status, clock::now());
        match self.head.headers.contains_key(header::VARY) {
            true => shelf.matching(&ask.head.headers, true).any(outlasts),
            false => shelf.entries().iter().any(outlasts),
        }
    }
}

fn too_much(node: &CacheNode, length: Option<u64>) -> Option<Unstored> {
    match length {
        Some(n) if n > node.config.cache.max_object => Some(Unstored::TooLarge),
        // It could be held only in place of all others, or not at all.
        Some(n) if n > node.config.cache.in_flight => Some(Unstored::Busy),
        _ => None,
    }
}
