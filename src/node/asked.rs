//! The answer to another node (docs/link.md, Peer ask): what is stored and fresh, or a fill that is under way, or 504. No
//! other node is asked; the origin only where this node is the owner and is asked to renew for both.

use super::CacheNode;
use super::answer;
use super::ask::Ask;
use super::body::NodeBody;
use super::collapse::{Collapsed, Got, join_or_lead};
use super::counters::add;
use super::fill::Sharing;
use super::fill::{Fate, Fill, FillHead, FillStage, Reader};
use super::fitting::{fits, is_fresh, is_shared, may_fit};
use super::from_disk;
use super::peer::SIGN;
use super::refresh;
use super::settled::Confirmed;
use super::withdrawn;
use crate::clock;
use crate::policy::variants::Selection;
use crate::policy::{self, Decision, Terms};
use crate::store::Shelf;
use crate::wire::link;
use crate::wire::status::{CacheStatus, Fwd};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

pub async fn serve(node: &Rc<CacheNode>, ask: &Rc<Ask>) -> Response<NodeBody> {
    // Whoever asks that node has not been let have it by the store.
    if ask.key.is_addressed() {
        return nothing(node, false);
    }
    node.lent.note(ask.key.hash());
    let brought = from_disk::where_missing(node, ask, node.lookup(ask).is_none()).await;
    let found = match stored(node, ask, brought.as_ref()) {
        Some(response) => Some(response),
        None => match under_way(node, ask) {
            Some(fill) => joined(node, ask, &fill).await,
            None if policy::requests::may_ask_peer(&ask.head) => renewed(node, ask).await,
            None => None,
        },
    };
    add(&node.counters.peer_answers, u64::from(found.is_some()));
    found.unwrap_or_else(|| nothing(node, node.uncacheable.holds(&ask.key)))
}

/// `brought`: what was read from disk for it.
fn stored(node: &CacheNode, ask: &Ask, brought: Option<&Shelf>) -> Option<Response<NodeBody>> {
    let entry = brought.and_then(|shelf| node.selected(ask, shelf)).or_else(|| node.lookup(ask))?;
    let now = clock::now();
    let Decision::Serve { ttl } = node.decide(ask, Some(&entry), None, now) else { return None };
    node.touch(&entry, now);
    let status = CacheStatus { hit: true, ttl: Some(ttl), ..CacheStatus::default() };
    Some(aged(answer::stored(node, ask, &entry, &status, now), &entry.terms))
}

/// Says how old it is to the millisecond.
fn aged(mut response: Response<NodeBody>, terms: &Terms) -> Response<NodeBody> {
    response.headers_mut().insert(link::AGE, HeaderValue::from(clock::now().millis_since(terms.born)));
    response
}

/// What the origin says, for this node and the one that asks. Not where a fill of this node waits for another, which may be
/// that one; nor where nothing would be shared.
async fn renewed(node: &Rc<CacheNode>, ask: &Rc<Ask>) -> Option<Response<NodeBody>> {
    let waits_itself = node.fills.of(&ask.key).iter().any(|fill| fill.asks_peer());
    if waits_itself || node.uncacheable.holds(&ask.key) {
        return None;
    }
    let stale = node.lookup(ask);
    // It was tried in vain just now: who asks this node itself may get what is stale.
    if refresh::rests(node, ask, stale.as_deref()) {
        return None;
    }
    let Ok(got) = saying_so(ask, Box::pin(join_or_lead(node, ask, stale.clone()))).await? else {
        refresh::failed(node, ask, stale.as_deref());
        return None;
    };
    match got {
        Got::Filling(head, reader, _) if reader.fate() == Fate::Store => {
            let response = answer::filling(node, ask, &head, reader, Fwd::Miss, Collapsed::Collapsed);
            Some(aged(response, &head.terms))
        }
        Got::Validated(Confirmed { entry, kept: Sharing::Stored, .. }, _) => {
            let status = CacheStatus { collapsed: true, fwd: Some(Fwd::Stale), ..CacheStatus::default() };
            Some(aged(answer::stored(node, ask, &entry, &status, clock::now()), &entry.terms))
        }
        Got::Through(response, ..) if response.status().is_server_error() => {
            refresh::failed(node, ask, stale.as_deref());
            None
        }
        Got::Erring(_) => {
            refresh::failed(node, ask, stale.as_deref());
            None
        }
        Got::Through(response, ..) => {
            withdrawn::by_what_nobody_reads(node, response).await;
            None
        }
        _ => None,
    }
}

/// Waits, and says so all the while: whoever asks waits only as long as it hears of us.
async fn saying_so<T>(ask: &Ask, work: impl Future<Output = T>) -> Option<T> {
    let signs = async {
        loop {
            if let Some(interim) = &ask.interim {
                interim.send(StatusCode::PROCESSING, &HeaderMap::new());
            }
            sleep(SIGN).await;
        }
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = signs => None,
    }
}

/// A fill that the request may read along. Not one that asks another node itself: two that ask each other would wait in
/// vain.
fn under_way(node: &CacheNode, ask: &Ask) -> Option<Rc<Fill>> {
    let wanted = Selection::of(&ask.head.headers);
    let limit = patience(node);
    let joinable = |fill: &Rc<Fill>| match fill.stage() {
        FillStage::Asking => !fill.asks_peer() && fill.age() < limit && may_fit(fill, &wanted),
        FillStage::Streaming(head) => !fill.is_quiet(limit) && fits(&head, &wanted) && is_fresh(&head, ask),
        _ => false,
    };
    if ask.head.method != Method::GET {
        return None;
    }
    node.fills.of(&ask.key).into_iter().find(|fill| is_shared(fill, ask) && joinable(fill))
}

/// Waits for the head.
async fn joined(node: &CacheNode, ask: &Ask, fill: &Rc<Fill>) -> Option<Response<NodeBody>> {
    let _ticket = fill.ticket();
    // The one who asks may ask the origin itself, as others here have done by now.
    let outcome = timeout(patience(node), saying_so(ask, fill.outcome()));
    let (head, reader) = match outcome.await.ok()?? {
        FillStage::Streaming(head) => readable(fill, head, ask)?,
        FillStage::Validated(..) => return stored(node, ask, None),
        _ => return None,
    };
    Some(aged(answer::filling(node, ask, &head, reader, Fwd::Miss, Collapsed::Collapsed), &head.terms))
}

/// How old a fill may be that has no answer yet: older, the origin is not only slow.
fn patience(node: &CacheNode) -> Duration {
    5 * node.config.timeouts.collapse
}

fn readable(fill: &Rc<Fill>, head: Rc<FillHead>, ask: &Ask) -> Option<(Rc<FillHead>, Reader)> {
    let fits = fits(&head, &Selection::of(&ask.head.headers)) && !head.terms.is_for_each();
    let is_wanted = fill.fate() == Fate::Store && fits;
    let reader = fill.reader(&head).filter(|_| is_wanted)?;
    Some((head, reader))
}

/// Without a body, so that the connection is free again at once. `passes`: nothing of the URL is stored here.
fn nothing(node: &CacheNode, passes: bool) -> Response<NodeBody> {
    let mut response = answer::only_if_cached(node);
    *response.body_mut() = NodeBody::Empty;
    if passes {
        response.headers_mut().insert(link::OWNER, HeaderValue::from_static(link::PASSES));
    }
    response
}
