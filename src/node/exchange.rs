//! One question to the origin, and what its answer means for the cache.

use super::Node;
use super::ask::{Ask, Asker};
use super::complete;
use super::confirm::{self, Confirmed};
use super::fill::Head;
use super::forgotten::Since;
use super::origin::{OriginBody, OriginRequest, Reply};
use super::source::Source;
use crate::clock;
use crate::net::http1::Upload;
use crate::net::rules::Reach;
use crate::net::serve::{ClientBody, Interim};
use crate::policy::{self, Failure, NotStored, Stored};
use crate::store::{Entry, Mark};
use crate::wire::answer::decode;
use crate::wire::date::{Moment, Timestamp};
use crate::wire::fault::{Fault, Kind};
use crate::wire::field::FieldId;
use crate::wire::length::BodyLength;
use crate::wire::{hop, list, via};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, response};
use http_body::Body;
use hyper::ext::ReasonPhrase;
use std::sync::Arc;

/// What an answer means.
pub enum Settled {
    /// A 304 confirmed what was stored.
    Validated(Confirmed),
    /// It may be stored: read it through a fill.
    Store(Head, Source),
    /// It is for its requester alone.
    Through(Response<OriginBody>, Reach, Why),
}

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Policy(NotStored),
    /// Longer than `cache.max_object`, or than there is room at all.
    TooLarge,
    /// `cache.in_flight` is used up.
    Busy,
    /// Delimited by the end of the connection, and without a word of the origin that it may be reused.
    NoLength,
    /// A 304 to the client's own condition, or a 101.
    NotForUs,
    /// An error, in whose place what is stored may be answered (RFC 5861 section 4).
    Failed,
    /// It came on a connection that has logged in (NTLM, Negotiate).
    Pinned,
}

impl Why {
    pub fn reason(self) -> &'static str {
        match self {
            Why::Policy(not_stored) => not_stored.reason(),
            Why::TooLarge => "longer than cache.max_object, or than cache.memory or cache.in_flight allow",
            Why::Busy => "cache.in_flight is used up",
            Why::NoLength => "ends with its connection, and does not say how long it is fresh (RFC 9112 section 8)",
            Why::NotForUs => "answers the client's own condition",
            Why::Pinned => "the connection has logged in (NTLM, Negotiate): what comes on it is for one client",
            Why::Failed => "an error, in whose place what is stored may be answered (RFC 5861 section 4)",
        }
    }

    /// What can be done to have it stored, if anything.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Why::Policy(not_stored) => not_stored.remedy(),
            Why::TooLarge => Some("raise cache.max_object, and cache.memory and cache.in_flight where they are less"),
            Why::Busy => Some("raise cache.in_flight"),
            Why::NoLength => Some("send a Content-Length, or the body in chunks; or max-age with a number of seconds"),
            Why::NotForUs | Why::Failed | Why::Pinned => None,
        }
    }
}

/// Asks the origin. `stale` is to be validated (its validators then stand in place of the client's conditions) or, where
/// it is a part, to be completed. `began`: when that was looked up; what became invalid since is not stored again.
pub async fn exchange(
    node: &Node,
    ask: &Ask,
    body: Option<ClientBody>,
    stale: Option<&Arc<Entry>>,
    began: Since,
) -> Result<Settled, Fault> {
    let completes = ask.wants_the_whole() && !ask.background;
    let part = stale.and_then(|entry| Some((entry, entry.part().filter(|_| completes)?)));
    if let Some(settled) = match part {
        Some((entry, part)) => complete::exchange(node, ask, entry, part).await?,
        None => None,
    } {
        return Ok(settled);
    }
    let (mut headers, upload) = outgoing(node, ask, body);
    let stale = stale.filter(|_| part.is_none());
    let validating = stale.filter(|entry| stored(entry).validation(&mut headers));
    let answered = Answered::to(node, ask, &headers, upload).await?;
    if ask.head.method == Method::HEAD && ask.pins.is_none() {
        confirm::heed(node, ask, &answered, node.fate(began, &ask.key));
    }
    if answered.head.status == StatusCode::NOT_MODIFIED
        && let Some(entry) = validating
    {
        let confirmed = confirm::by(node, ask, entry, &answered, node.fate(began, &ask.key));
        return confirmed.map(Settled::Validated);
    }
    Ok(match stale.is_some_and(|entry| stands_in(node, ask, entry, answered.head.status)) {
        true => answered.through(Why::Failed),
        false => answered.plainly(node, ask),
    })
}

/// Whether a stored response is kept in place of an error of the origin, even of one that may be stored: where it may
/// answer instead (RFC 5861 section 4), and where nobody waits for what is to renew it (RFC 9111 section 4.3.3).
fn stands_in(node: &Node, ask: &Ask, entry: &Entry, status: StatusCode) -> bool {
    let terms = || node.terms(&ask.key, entry);
    let allowed = || policy::stale_if_error(&ask.head, &terms(), Failure::Status(status), clock::now()).is_some();
    status.is_server_error() && (ask.background || allowed())
}

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
}

impl Answered {
    pub async fn to(
        node: &Node,
        ask: &Ask,
        headers: &HeaderMap,
        upload: Option<Box<Upload>>,
    ) -> Result<Answered, Fault> {
        let sent = clock::now();
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
            pins: ask.pins.as_ref(),
        };
        let Reply { response, ends, reach } = node.origins.exchange(&request, upload, &interim).await?;
        Answered::new(response, ends, reach, sent).asked_for(ask)
    }

    /// Not where it switches to a protocol that nobody asked for.
    pub fn asked_for(self, ask: &Ask) -> Result<Answered, Fault> {
        if self.head.status == StatusCode::SWITCHING_PROTOCOLS && ask.hop.upgrade.is_none() {
            return Err(Fault::origin(
                Kind::HttpUpgradeFailed,
                "the origin switched to a protocol that nobody asked for",
            ));
        }
        Ok(self)
    }

    /// What it means where nothing was to be validated.
    pub fn plainly(self, node: &Node, ask: &Ask) -> Settled {
        match self.head.status {
            StatusCode::NOT_MODIFIED => self.through(Why::NotForUs),
            _ => self.settle(node, ask),
        }
    }

    /// For its requester alone.
    fn through(self, why: Why) -> Settled {
        Settled::Through(Response::from_parts(self.head, self.body), self.reach, why)
    }

    /// To be stored, or the reason why not.
    pub fn settle(mut self, node: &Node, ask: &Ask) -> Settled {
        if ask.pins.is_some() {
            return self.through(Why::Pinned);
        }
        if ask.has_content && ask.head.method == Method::GET {
            return self.through(Why::Policy(NotStored::RequestContent));
        }
        match self.storable_head(node, ask) {
            Ok(head) => Settled::Store(head, Source::Origin(self.body)),
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
        Answered { head, body, ends, reach, sent, received }
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
    pub fn storable_head(&mut self, node: &Node, ask: &Ask) -> Result<Head, Why> {
        let stored = policy::storable(&node.rules, &ask.head, &self.head, self.sent, self.received);
        let (terms, length) = (stored.map_err(Why::Policy)?, self.length());
        too_much(node, length).map_or(Ok(()), Err)?;
        if !node.store.could_hold(&ask.key, &self.head.headers, length.unwrap_or(0)) {
            return Err(Why::TooLarge);
        }
        // One that ends in order is whole (RFC 9112 section 8), but so it seems where an origin fails without a reset.
        let is_plain = ask.head.method == Method::GET && self.head.status == StatusCode::OK;
        if self.ends_with_connection() && !(is_plain && terms.source.is_explicit()) {
            return Err(Why::NoLength);
        }
        let selecting = policy::variants::selecting(&self.head.headers, &ask.head.headers);
        let selecting = selecting.ok_or(Why::Policy(NotStored::VaryStar))?;
        let mut headers = std::mem::take(&mut self.head.headers);
        let withheld = policy::storable_fields(&mut headers, self.received);
        let (status, mark) = (self.head.status, mark(self.reach));
        let reason = self.head.extensions.remove::<ReasonPhrase>().map(Box::new);
        Ok(Head { status, reason, headers, withheld, terms, mark, selecting, length, seed: None, peer: None })
    }
}

/// An entry as the policy sees it.
pub fn stored(entry: &Entry) -> Stored<'_, Entry> {
    Stored { terms: &entry.terms, status: entry.status, fields: entry }
}

/// Who may be answered with what came from there.
pub fn mark(reach: Reach) -> Mark {
    match reach {
        Reach::Anyone => Mark::Anyone,
        _ => Mark::SameMachine,
    }
}

/// The fields of a request to the origin, and its body.
pub fn outgoing(node: &Node, ask: &Ask, body: Option<ClientBody>) -> (HeaderMap, Option<Box<Upload>>) {
    let upload = body.map(|body| {
        let chunked = body.size_hint().exact().is_none();
        let mut upload = Box::new(Upload::new(Box::pin(body), chunked));
        if list::has_token(&ask.head.headers, FieldId::Expect, "100-continue") {
            upload.hold_back(node.config.timeouts.expect_continue);
        }
        upload
    });
    (outgoing_fields(node, ask), upload)
}

pub fn pass_on(interim: &Interim, status: StatusCode, mut headers: HeaderMap) {
    hop::strip(&mut headers);
    hop::strip_link(&mut headers);
    interim.send(status, &headers);
}

fn outgoing_fields(node: &Node, ask: &Ask) -> HeaderMap {
    let mut headers = ask.head.headers.clone();
    let authority = ask.key.authority();
    if headers.get(header::HOST).is_none_or(|host| host.as_bytes() != authority.as_bytes())
        && let Ok(host) = HeaderValue::from_str(authority)
    {
        headers.insert(header::HOST, host);
    }
    if ask.asker == Asker::Client {
        via::append(&mut headers, ask.head.version, &node.pseudonym);
    }
    if ask.hop.te_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.append(header::CONNECTION, HeaderValue::from_static("TE"));
    }
    if let Some(upgrade) = &ask.hop.upgrade {
        headers.insert(header::UPGRADE, upgrade.clone());
        headers.append(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    headers
}

fn too_much(node: &Node, length: Option<u64>) -> Option<Why> {
    match length {
        Some(n) if n > node.config.cache.max_object => Some(Why::TooLarge),
        // It could be held only in place of all others, or not at all.
        Some(n) if n > node.config.cache.in_flight => Some(Why::Busy),
        _ => None,
    }
}
