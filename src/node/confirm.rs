//! What a 304, or the answer to a HEAD, makes of what is stored (RFC 9111 sections 4.3.4 and 4.3.5).

use super::CacheNode;
use super::answered::Answered;
use super::ask::Ask;
use super::counters::add;
use super::fill::{Fate, Sharing};
use super::outdone;
use super::settled::{Confirmed, Unstored, mark};
use crate::policy::{self, Freshened, HeadEffect, NotStored, Terms};
use crate::store::{Entry, Then};
use crate::wire::fault::{Fault, Kind};
use http::{HeaderMap, header};
use std::borrow::Cow;
use std::sync::Arc;

/// By a 304 to our own condition.
pub fn by(node: &CacheNode, ask: &Ask, entry: &Entry, answered: &Answered, fate: Fate) -> Result<Confirmed, Fault> {
    let (sent, received) = (answered.sent, answered.received);
    // What it confirms has been replaced, by an answer that came first.
    if let Some(entry) = outdone::by_stored(node, ask, Some(entry), (sent, sent)) {
        return Ok(Confirmed { entry, withheld: HeaderMap::new(), kept: Sharing::Stored, fwd_status: Some(304) });
    }
    let (fields, cookies) = to_store(ask, &answered.head.headers);
    let mut headers = entry.headers(fields.len());
    let Freshened { terms, born, mut withheld } =
        policy::freshen(&node.rules.of(&ask.key), &ask.head, entry.status, &mut headers, &fields, sent, received);
    withheld.extend(cookies);
    if !node.origins.allows(&headers) {
        node.drop_stored(&ask.key);
        return Err(too_long());
    }
    let (terms, kept) = match terms {
        Ok(terms) if fate == Fate::Store => (terms, Sharing::Stored),
        Ok(terms) => (terms, Sharing::Outdated),
        Err(why) => (Terms { born, received: received.at, waited: 0, ..entry.terms }, Sharing::Alone(why)),
    };
    // `Vary` may have changed.
    let selecting = policy::variants::selecting(&headers, &ask.head.headers).unwrap_or_default();
    let entry_now = Arc::new(entry.renewed(&headers, terms, mark(answered.reach), &ask.key, &selecting));
    match kept {
        Sharing::Stored => {
            freshen_alike(node, ask, entry, answered);
            node.renew(&ask.key, entry, &entry_now);
            node.uncacheable.forget(&ask.key);
        }
        Sharing::Alone(why) if !why.is_the_requests() => drop_stored(node, ask, why),
        // What is stored stays as it was: it was the request that forbade it.
        Sharing::Alone(_) | Sharing::Outdated => {}
    }
    Ok(Confirmed { entry: entry_now, withheld, kept, fwd_status: Some(304) })
}

/// Of https without cookies, and those: they are for whose request was sent.
fn to_store<'a>(ask: &Ask, headers: &'a HeaderMap) -> (Cow<'a, HeaderMap>, HeaderMap) {
    if !ask.is_secure() || !headers.contains_key(header::SET_COOKIE) {
        return (Cow::Borrowed(headers), HeaderMap::new());
    }
    let mut left = headers.clone();
    let cookies = policy::cookies::withhold(&mut left);
    (Cow::Owned(left), cookies)
}

fn drop_stored(node: &CacheNode, ask: &Ask, why: NotStored) {
    node.drop_stored(&ask.key);
    // Another node may have it still, and does not know that it must not.
    node.peers.bar(&ask.key);
    // Before anybody who waits is released: they must not queue up behind a new leader.
    node.uncacheable.note(&ask.key, Unstored::Policy(why), Then::Alone);
    add(&node.counters.invalidated, 1);
}

fn too_long() -> Fault {
    Fault::origin(
        Kind::HttpResponseHeaderSectionSize,
        "with what the origin's 304 adds, the head of the stored answer is longer than limits.head allows",
    )
}

/// A 304 with a strong validator freshens all that have it and that the request could have selected (RFC 9111 section
/// 4.3.4): variants of one representation, and its parts.
fn freshen_alike(node: &CacheNode, ask: &Ask, validated: &Entry, answered: &Answered) {
    let (sent, received) = (answered.sent, answered.received);
    let (fields, _) = to_store(ask, &answered.head.headers);
    let Some(shelf) = node.store.get(&ask.key) else { return };
    let others = shelf.matching(&ask.head.headers, ask.same_machine);
    for other in others.filter(|other| !std::ptr::eq(&***other, validated) && policy::parts::same(&*fields, &***other))
    {
        let mut headers = other.headers(fields.len());
        let all =
            policy::freshen(&node.rules.of(&ask.key), &ask.head, other.status, &mut headers, &fields, sent, received);
        let selecting = policy::variants::selecting(&headers, &ask.head.headers);
        if let (Ok(terms), Some(selecting), true) = (all.terms, selecting, node.origins.allows(&headers)) {
            let renewed = other.renewed(&headers, terms, mark(answered.reach), &ask.key, &selecting);
            node.renew(&ask.key, other, &Arc::new(renewed));
        }
    }
}

/// What the answer to a HEAD says about the stored answer to a GET (RFC 9111 section 4.3.5). `stale`: what it was to validate.
pub fn heed(node: &CacheNode, ask: &Ask, stale: Option<&Arc<Entry>>, answered: &Answered, fate: Fate) {
    let Some(entry) = node.lookup(ask).or_else(|| stale.cloned()) else {
        // What is on disk alone was not read for it: whether it still holds is not known.
        if node.on_disk(&ask.key) {
            node.drop_stored(&ask.key);
        }
        return;
    };
    let Answered { head, sent, received, .. } = answered;
    let mut without_cookies;
    let head = match to_store(ask, &head.headers).0 {
        Cow::Borrowed(_) => head,
        Cow::Owned(headers) => {
            without_cookies = head.clone();
            without_cookies.headers = headers;
            &without_cookies
        }
    };
    let mut headers = entry.headers(head.headers.len());
    let was = (entry.status, entry.body().len());
    match policy::after_head(&node.rules.of(&ask.key), &ask.head, was, &mut headers, head, *sent, *received) {
        HeadEffect::Freshened(terms) if fate == Fate::Store && node.origins.allows(&headers) => {
            let selecting = policy::variants::selecting(&headers, &ask.head.headers).unwrap_or_default();
            let renewed = entry.renewed(&headers, terms, mark(answered.reach), &ask.key, &selecting);
            node.renew(&ask.key, &entry, &Arc::new(renewed));
        }
        HeadEffect::Invalidated => {
            node.invalidate(&ask.key);
        }
        HeadEffect::Freshened(_) | HeadEffect::None => {}
    }
}
