//! Answers: from an entry, from a fill, from the origin, and our own errors.

use super::CacheNode;
use super::ask::{Ask, Asker};
use super::begun::{self, Else};
use super::body::{NodeBody, respond};
use super::collapse::{Collapsed, Got};
use super::counters::add;
use super::fill::Sharing;
use super::fill::{Fate, FillHead, Reader};
use super::origin::OriginBody;
use super::ranged;
use super::settled::Confirmed;
use super::settled::{self, Unstored};
use super::withdrawn::Withdrawal;
use crate::clock;
use crate::net::rules::Reach;
use crate::policy::{self, Marks};
use crate::store::{Entry, Mark};
use crate::wire::date::Timestamp;
use crate::wire::fault::{Fault, Kind};
use crate::wire::field::Traits;
use crate::wire::status::{CacheStatus, Fwd, proxy_status};
use crate::wire::{link, view};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use serde::Serialize;
use std::rc::Rc;
use std::sync::Arc;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What a content-addressed store has said to the URL of whoever gets what another has fetched.
const ALLOWED: &str = "its store let this client have it";
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// From the store: whole, a 304 to the client's own condition, or without body for HEAD.
pub fn stored(
    node: &CacheNode,
    ask: &Ask,
    entry: &Arc<Entry>,
    status: &CacheStatus,
    now: Timestamp,
) -> Response<NodeBody> {
    let mut headers = entry.headers(4);
    headers.insert(header::AGE, HeaderValue::from(entry.terms.age(now)));
    headers.append(CACHE_STATUS, status.to_value(&node.id));
    mark(&mut headers, ask, entry.mark);
    if settled::stored(entry).is_not_modified(&ask.head.headers, now) {
        return not_modified(headers);
    }
    if let Some(part) = entry.part() {
        return ranged::of_part(entry, part, headers, &ask.head, now);
    }
    let wanted = policy::ranges::of(&ask.head, &settled::stored(entry), entry.body().len(), now);
    let mut headers = match ranged::answer(entry, headers, wanted) {
        Ok(response) => return response,
        Err(headers) => headers,
    };
    let body = if ask.head.method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(entry.body().len()));
        NodeBody::Empty
    } else {
        NodeBody::of(entry)
    };
    respond(entry.status, headers, body)
}

/// What a 304 confirmed; to its own requester also what is for that one alone.
pub fn confirmed(node: &CacheNode, ask: &Ask, confirmed: Confirmed, fwd: Fwd, shared: Collapsed) -> Response<NodeBody> {
    let Confirmed { entry, withheld, kept, fwd_status } = confirmed;
    let detail = match kept {
        Sharing::Alone(why) => Some(why.reason().into()),
        _ if entry.terms.marks.has(Marks::ADDRESSED) => Some(ALLOWED.into()),
        Sharing::Stored | Sharing::Outdated => None,
    };
    let (stored, collapsed) = (kept == Sharing::Stored, shared == Collapsed::Collapsed);
    let status = CacheStatus { fwd: Some(fwd), fwd_status, stored, collapsed, detail, ..CacheStatus::default() };
    let mut response = self::stored(node, ask, &entry, &status, clock::now());
    // Takes the place of stored fields with those names.
    response.headers_mut().extend(withheld);
    response
}

/// The response that a fill reads, from its first byte.
pub fn filling(
    node: &CacheNode,
    ask: &Ask,
    head: &Rc<FillHead>,
    reader: Reader,
    fwd: Fwd,
    shared: Collapsed,
) -> Response<NodeBody> {
    let mut headers = head.headers.clone();
    match shared {
        Collapsed::Own => headers.extend(head.withheld.clone()),
        Collapsed::Collapsed => {
            headers.insert(header::AGE, HeaderValue::from(head.terms.age(clock::now())));
        }
    }
    let stored = reader.fate() == Fate::Store;
    let collapsed = shared == Collapsed::Collapsed;
    let detail = match &head.peer {
        Some(id) => Some(format!("PEER-{id}").into()),
        None => (collapsed && head.terms.marks.has(Marks::ADDRESSED)).then(|| ALLOWED.into()),
    };
    let status = CacheStatus { fwd: Some(fwd), stored, collapsed, detail, ..CacheStatus::default() };
    headers.append(CACHE_STATUS, status.to_value(&node.id));
    mark(&mut headers, ask, head.mark);
    let mut response = respond(head.status, headers, NodeBody::Filling(reader));
    if let Some(reason) = &head.reason {
        response.extensions_mut().insert(ReasonPhrase::clone(reason));
    }
    response
}

/// The origin's response, for one requester.
pub fn through(
    node: &CacheNode,
    ask: &Ask,
    response: Response<OriginBody>,
    reach: Reach,
    fwd: Fwd,
    why: Unstored,
) -> Response<NodeBody> {
    let mut response = response.map(NodeBody::Through);
    response.headers_mut().append(CACHE_STATUS, not_stored(node, fwd, why));
    mark(response.headers_mut(), ask, settled::mark(reach));
    response
}

/// What `Cache-Status` says of an answer that is not stored: one of a few texts, each made once.
pub fn not_stored(node: &CacheNode, fwd: Fwd, why: Unstored) -> HeaderValue {
    let mut made = node.not_stored.borrow_mut();
    if let Some((.., value)) = made.iter().find(|(f, w, _)| (*f, *w) == (fwd, why)) {
        return value.clone();
    }
    let detail = Some(why.reason().into()).filter(|_| why != Unstored::NotForUs);
    let status = CacheStatus { fwd: Some(fwd), detail, ..CacheStatus::default() };
    let value = status.to_value(&node.id);
    made.push((fwd, why, value.clone()));
    value
}

/// 504 for `only-if-cached` (RFC 9111 section 5.2.1.7).
pub fn only_if_cached(node: &CacheNode) -> Response<NodeBody> {
    let mut response =
        text(StatusCode::GATEWAY_TIMEOUT, "nothing usable is stored, and only-if-cached was asked for\n");
    let status = CacheStatus { fwd: Some(Fwd::Request), ..CacheStatus::default() };
    response.headers_mut().append(CACHE_STATUS, status.to_value(&node.id));
    response
}

/// To a front that asked in the owner's place, of which nothing is to be had: it asks the owner itself.
pub fn ask_the_owner() -> Response<NodeBody> {
    let headers = HeaderMap::from_iter([(link::OWNER, HeaderValue::from_static(link::ASK))]);
    respond(StatusCode::GATEWAY_TIMEOUT, headers, NodeBody::Empty)
}

/// An error that we make: one sentence, and `Proxy-Status`.
pub fn fault(node: &CacheNode, fault: &Fault) -> Response<NodeBody> {
    tracing::debug!(node = %node.id, kind = fault.kind.token(), %fault, "answered with an error");
    let mut response = text(fault.status, format!("ringhold: {}\n", fault.detail));
    response.headers_mut().append(PROXY_STATUS, proxy_status(&node.id, fault));
    if fault.kind == Kind::ConnectionLimitReached {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The same for a front, which is told whose fault it was.
pub fn fault_to_front(node: &CacheNode, fault: &Fault) -> Response<NodeBody> {
    let mut response = self::fault(node, fault);
    begun::mark(fault.blame(), response.headers_mut());
    response
}

pub fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<NodeBody> {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    respond(status, headers, NodeBody::text(text))
}

/// Only a front is told who may see the answer; it keeps that mark on its hot copy.
fn mark(headers: &mut HeaderMap, ask: &Ask, mark: Mark) {
    if mark == Mark::SameMachine && ask.asker == Asker::Front {
        headers.insert(link::REACH, HeaderValue::from_static(link::LOCAL));
    }
}

/// Without the fields that describe a body (RFC 9110 section 15.4.5).
fn not_modified(mut headers: HeaderMap) -> Response<NodeBody> {
    view::remove_any(&mut headers, Traits::NOT_IN_304);
    respond(StatusCode::NOT_MODIFIED, headers, NodeBody::Empty)
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Response<NodeBody> {
    let mut response = text(status, serde_json::to_string(value).unwrap_or_default());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer to a front (`told`) or another, as far as it is known when its head goes out.
pub async fn begun(
    node: &CacheNode,
    answered: Result<Response<NodeBody>, Fault>,
    told: bool,
    otherwise: Else,
) -> Response<NodeBody> {
    let mut answered = answered;
    let withdrawal = answered.as_mut().ok().and_then(|answer| answer.extensions_mut().remove::<Withdrawal>());
    let answered = match answered {
        Ok(response) if response.body().may_break() => {
            begun::begin(&node.id, response, told, node.config.timeouts.small_body, otherwise).await
        }
        answered => answered,
    };
    if let (Some(withdrawal), Ok(answer)) = (withdrawal, &answered)
        && !answer.body().has_broken_off()
    {
        Box::pin(withdrawal.carry_out(node)).await;
    }
    answered.unwrap_or_else(|fault| match told {
        true => fault_to_front(node, &fault),
        false => self::fault(node, &fault),
    })
}

/// What a request got of the origin. `None`: look into the store again.
pub fn got(node: &CacheNode, ask: &Ask, got: Got, fwd: Fwd) -> Option<Response<NodeBody>> {
    Some(match got {
        Got::Filling(head, reader, shared) => {
            // What another node had was counted when it answered.
            if shared == Collapsed::Collapsed || head.peer.is_none() {
                count(node, shared);
            }
            filling(node, ask, &head, reader, fwd, shared)
        }
        Got::Validated(confirmed, shared) => {
            add(&node.counters.validated, 1);
            self::confirmed(node, ask, confirmed, fwd, shared)
        }
        Got::Through(response, reach, why) => {
            add(&node.counters.forwarded, 1);
            through(node, ask, response, reach, fwd, why)
        }
        Got::Owners => ask_the_owner(),
        Got::Again | Got::Released | Got::Erring(_) => return None,
    })
}

fn count(node: &CacheNode, shared: Collapsed) {
    match shared {
        Collapsed::Own => add(&node.counters.forwarded, 1),
        Collapsed::Collapsed => add(&node.counters.collapsed, 1),
    }
}
