//! An answer of the origin, or of another node, and whether it may be stored.

use super::Node;
use super::ask::Ask;
use super::fill::Head;
use super::origin::{OriginBody, Reply};
use super::settled::{Settled, Why, mark};
use super::source::Source;
use super::upload::{Progress, Upload};
use crate::clock;
use crate::net::rules::Reach;
use crate::policy::{self, NotStored};
use crate::wire::answer::decode::is_coding;
use crate::wire::date::{Moment, Timestamp};
use crate::wire::fault::{Fault, Kind};
use crate::wire::field::FieldId;
use crate::wire::{hop, list};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, response};
use http_body::Body;
use hyper::ext::ReasonPhrase;

/// The protocols that a 101 names.
#[derive(Clone, Debug)]
pub struct SwitchesTo(pub Vec<Vec<u8>>);

/// An answer of the origin (or of another node), without fields of its connection.
pub struct Answered<B = OriginBody> {
    pub head: response::Parts,
    pub body: B,
    framing: Framing,
    pub reach: Reach,
    pub sent: Timestamp,
    pub received: Moment,
}

impl Answered {
    pub async fn to(node: &Node, ask: &Ask, request: Request<Upload>, progress: Progress) -> Result<Answered, Fault> {
        let sent = clock::now();
        let pins = ask.pins.as_ref();
        let Reply { response, reach } =
            node.origins.exchange(&ask.key, ask.same_machine, request, &progress, pins).await?;
        Answered::new(response, reach, sent)?.asked_for(ask)
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
    pub fn through(self, why: Why) -> Settled {
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

impl<B: Body> Answered<B> {
    /// It has just been received.
    pub fn new(response: Response<B>, reach: Reach, sent: Timestamp) -> Result<Answered<B>, Fault> {
        let received = clock::moment(clock::now());
        let (mut head, body) = response.into_parts();
        let framing = framing(&head, &body)?;
        one_length(&mut head.headers)?;
        if framing == Framing::Chunked {
            head.headers.remove(header::CONTENT_LENGTH); // RFC 9112 section 6.3
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let protocols = list::members(&head.headers, FieldId::Upgrade).map(<[u8]>::to_vec).collect();
            head.extensions.insert(SwitchesTo(protocols));
        }
        hop::strip(&mut head.headers);
        hop::strip_link(&mut head.headers);
        Ok(Answered { head, body, framing, reach, sent, received })
    }

    /// Whether its body is whole where its connection ends, if that ends in order.
    pub fn ends_with_connection(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    /// The head as it will be stored, which takes the fields; or, with all of them left, the reason why it will not be.
    pub fn storable_head(&mut self, node: &Node, ask: &Ask) -> Result<Head, Why> {
        let stored = policy::storable(&node.rules, &ask.head, &self.head, self.sent, self.received);
        let terms = stored.map_err(Why::Policy)?;
        too_much(node, self.framing).map_or(Ok(()), Err)?;
        if !node.store.could_hold(&ask.key, &self.head.headers, self.framing.length().unwrap_or(0)) {
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
        let (status, mark, length) = (self.head.status, mark(self.reach), self.framing.length());
        let reason = self.head.extensions.remove::<ReasonPhrase>().map(Box::new);
        Ok(Head { status, reason, headers, withheld, terms, mark, selecting, length, seed: None, peer: None })
    }
}

/// How the length of an answer's body is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Sized(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    fn length(self) -> Option<u64> {
        match self {
            Framing::Sized(n) => Some(n),
            _ => None,
        }
    }
}

fn framing(head: &response::Parts, body: &impl Body) -> Result<Framing, Fault> {
    let codings: Vec<&[u8]> = list::members(&head.headers, FieldId::TransferEncoding).collect();
    match codings[..] {
        [] => Ok(body.size_hint().exact().map_or(Framing::UntilClose, Framing::Sized)),
        [only] if only.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        // We did not ask for any other (TE), so it can't be undone here.
        _ if codings.iter().any(|coding| is_coding(coding)) => {
            Err(refused("the origin used a transfer coding that nobody asked for"))
        }
        // Noise: nothing was done to the body, which ends with the connection (RFC 9112 section 6.3).
        _ if head.headers.contains_key(header::CONTENT_LENGTH) => {
            Err(refused("the origin named a transfer coding that does not exist, and a length"))
        }
        _ => Ok(Framing::UntilClose),
    }
}

/// Also where there is no content, and whoever reads the answer for us has not looked: the next recipient may (RFC 9110
/// section 8.6).
fn one_length(headers: &mut HeaderMap) -> Result<(), Fault> {
    let mut lengths = list::members(headers, FieldId::ContentLength);
    let Some(first) = lengths.next() else { return Ok(()) };
    let is_number =
        first.iter().all(u8::is_ascii_digit) && std::str::from_utf8(first).is_ok_and(|n| n.parse::<u64>().is_ok());
    let others = lengths.map(|length| length == first).collect::<Vec<_>>();
    if !is_number || others.contains(&false) {
        return Err(refused("the origin said two lengths of its answer, or one that is no number"));
    }
    if !others.is_empty()
        && let Ok(one) = HeaderValue::from_bytes(first)
    {
        headers.insert(header::CONTENT_LENGTH, one);
    }
    Ok(())
}

fn refused(detail: &'static str) -> Fault {
    Fault::origin(Kind::HttpProtocolError, detail)
}

fn too_much(node: &Node, framing: Framing) -> Option<Why> {
    match framing {
        Framing::Sized(n) if n > node.config.cache.max_object => Some(Why::TooLarge),
        // It could be held only in place of all others, or not at all.
        Framing::Sized(n) if n > node.config.cache.in_flight => Some(Why::Busy),
        _ => None,
    }
}
