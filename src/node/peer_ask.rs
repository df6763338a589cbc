//! Asking another node before the origin (docs/link.md, Peer ask), or the owner in whose place this node is asked: whom, when,
//! and what its answer is good for.

use super::CacheNode;
use super::answered::Answered;
use super::ask::Ask;
use super::counters::add;
use super::fill::{Fill, FillHead};
use super::line::PeerLink;
use super::peer::{PeerBody, RemotePeer};
use crate::clock::{self, Tick, tick};
use crate::net::http1::{self, Answer, Question};
use crate::net::rules::Reach;
use crate::policy::{self, Shown};
use crate::store::Entry;
use crate::wire::date::Timestamp;
use crate::wire::fault::Whose;
use crate::wire::field::FieldId;
use crate::wire::length::BodyLength;
use crate::wire::tenure::Tenure;
use crate::wire::view::FieldView;
use crate::wire::{link, status};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What came of it.
#[allow(clippy::large_enum_variant)] // mostly the large one, and looked at at once
pub enum PeerSaid {
    /// To be stored here as an origin's answer is.
    Has(FillHead, PeerBody),
    /// It is the owner, and stores nothing of it.
    Passes,
    /// It has nothing of it.
    Lacks,
    /// No answer, or one that is of no use.
    Nothing,
}

/// What the named node has of what is asked for, or fetches where it is the owner.
/// `stale`: what is stored here, and to be validated.
pub async fn ask(node: &CacheNode, ask: &Ask, stale: Option<&Arc<Entry>>, fill: &Fill) -> PeerSaid {
    let Some(peer) = ask.peer.as_ref().filter(|_| policy::requests::may_ask_peer(&ask.head)) else {
        return PeerSaid::Nothing;
    };
    let barred = node.peers.barred(&ask.key);
    if barred.is_some() && !peer.owns {
        return PeerSaid::Nothing;
    }
    let Some(line) = node.peers.line(peer) else { return PeerSaid::Nothing };
    add(&node.counters.peer_asks, 1);
    fill.set_asks_peer(true);
    let (sent, asked, fetching) = (clock::now(), tick(), node.concurrent.begin(&ask.key));
    let answer = answer(node, ask, peer, &line).await;
    fill.set_asks_peer(false);
    let Some(answer) = answer else {
        tracing::debug!(peer = &*peer.id, "no answer to the question for {}", ask.key.as_str());
        line.failed(tick());
        add(&node.counters.peer_failures, 1);
        return PeerSaid::Nothing;
    };
    line.answered();
    let (response, ends) = answer.into_response(Whose::Peer);
    if peer.owns && response.headers().get(link::OWNER).is_some_and(|said| said == link::PASSES) {
        return PeerSaid::Passes;
    }
    let is_stored = || status::last_member(response.headers()).is_some_and(status::is_from_cache);
    // It may also hold an origin's 504.
    if response.status() == StatusCode::GATEWAY_TIMEOUT && !is_stored() {
        return PeerSaid::Lacks;
    }
    let age = age(&response);
    let (parts, body) = response.into_parts();
    let outdone = fetching.answered(|| Shown::of(&node.rules.of(&ask.key), &ask.head, &parts));
    let response = Response::from_parts(parts, body);
    // What it fetched before something became invalid here may be what it has not been told of yet.
    let is_later = |since: Tick| age.is_some_and(|age| asked.0.saturating_sub(age) > since.0);
    if !barred.is_none_or(is_later) {
        return PeerSaid::Nothing;
    }
    let Some((mut head, body)) = useful(node, ask, response, ends, sent) else { return PeerSaid::Nothing };
    // No later than there: or this one's would seem to be fresh when that one has a newer one.
    if let Some(age) = age {
        head.terms = head.terms.born_at(Timestamp(sent.0.saturating_sub(age)));
    }
    // It may have stood in for this one once before, and have that still.
    if !peer.owns && stale.is_some_and(|stale| is_older(&head, stale)) {
        return PeerSaid::Nothing;
    }
    if peer.owns {
        head.terms = head.terms.lent();
    }
    head.peer = Some(peer.id.clone());
    head.outdone = outdone;
    add(&node.counters.peer_hits, 1);
    PeerSaid::Has(head, body)
}

/// Whether it is another answer, and was generated before what is stored here. The same one is told a little older with each hop.
fn is_older(head: &FillHead, stored: &Entry) -> bool {
    const HOPS: u64 = 250;
    let value = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let is_same = value(header::DATE) == stored.first(FieldId::Date)
        && value(header::ETAG) == stored.first(FieldId::Etag)
        && stored.terms.born.millis_since(head.terms.born) <= HOPS;
    head.terms.born < stored.terms.born && !is_same
}

/// In milliseconds, as the other node says.
fn age<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(link::AGE)?.to_str().ok()?.parse().ok()
}

/// The answer, when it comes in time.
async fn answer(node: &CacheNode, ask: &Ask, peer: &RemotePeer, line: &PeerLink) -> Option<Answer> {
    let (limits, heard, head) = (node.peers.limits(), Cell::new(0), question(node, ask, peer));
    let question =
        Question { head: &head, bodiless: false, idempotent: true, interim: &|_| heard.set(tick().0), message: None };
    let exchanged = line.exchange(&question);
    // Where nobody waits, a busy node has more time. So has an owner, who is asked by the front otherwise.
    let first = if ask.background || peer.owns { limits.sign.max(limits.answer) } else { limits.answer };
    timeout(limits.first_byte, hearing(exchanged, &heard, first, limits.sign)).await.ok().flatten()
}

/// `None` when there is neither an answer nor a sign of it for too long, or the exchange failed.
async fn hearing<T, E>(
    exchanged: impl Future<Output = Result<T, E>>,
    heard: &Cell<u64>,
    first: Duration,
    sign: Duration,
) -> Option<T> {
    let mut exchanged = std::pin::pin!(exchanged);
    let mut wait = first;
    loop {
        if let Ok(done) = timeout(wait, exchanged.as_mut()).await {
            return done.ok();
        }
        let silent = tick().since(Tick(heard.get()));
        wait = sign.checked_sub(silent).filter(|left| !left.is_zero())?;
    }
}

fn question(node: &CacheNode, ask: &Ask, peer: &RemotePeer) -> Vec<u8> {
    let mut headers: HeaderMap = ask.head.headers.clone();
    if !peer.owns {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("only-if-cached"));
    }
    if let Ok(host) = HeaderValue::from_str(ask.key.authority()) {
        headers.insert(header::HOST, host);
    }
    // The other node believes `local` only from its own machine, so nothing leaves it that is not for others.
    let said = link::client_said(ask.same_machine, ask.of.called());
    if let Ok(said) = HeaderValue::from_bytes(&said) {
        headers.insert(link::CLIENT, said);
    }
    if let Ok(id) = HeaderValue::from_str(&node.id) {
        headers.insert(link::ASKER, id);
    }
    let theirs = if peer.owns { ask.tenure.own } else { ask.tenure.peer };
    if theirs != u64::MAX {
        let theirs = theirs.saturating_add(clock::now().millis_since(ask.came));
        let lent = if peer.owns { u64::MAX } else { theirs };
        let mut said = Vec::new();
        Tenure { own: theirs, lent, ..Tenure::ANY }.write(&mut said);
        HeaderValue::from_bytes(&said).into_iter().for_each(|said| _ = headers.insert(link::OWNER, said));
    }
    http1::head(&Method::GET, ask.key.url(), &headers, None)
}

/// A fresh hit or a fill that is read along, where it may be stored here too; whatever else came is dropped.
fn useful(
    node: &CacheNode,
    ask: &Ask,
    response: Response<PeerBody>,
    ends: BodyLength,
    sent: Timestamp,
) -> Option<(FillHead, PeerBody)> {
    if !status::last_member(response.headers()).is_some_and(status::is_from_cache) {
        return None;
    }
    let local = response.headers().get(link::REACH).is_some_and(|said| link::is_reach_local(said.as_bytes()));
    let reach = if local { Reach::SameMachine } else { Reach::Anyone };
    // A node says how long its bodies are: one that ends with its connection is one that was cut off.
    let answered = Answered::new(response, ends, reach, sent);
    let mut answered = Some(answered).filter(|answered| !answered.ends_with_connection())?;
    // Its verdict was for this one exchange; what caches before it have said stays.
    status::drop_last_line(&mut answered.head.headers);
    let head = answered.storable_head(node, ask).ok()?;
    Some((head, answered.body))
}
