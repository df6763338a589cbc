//! What is stored under a URL, what a request would get now, and why: for people (docs/link.md).

use super::CacheNode;
use super::ask::{Ask, Asker};
use super::settled::stored;
use crate::clock;
use crate::policy::{self, Decision, Stored};
use crate::store::{Entry, Mark, Shelf};
use crate::wire::date::Timestamp;
use crate::wire::field::FieldId;
use crate::wire::status::Fwd;
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use crate::wire::{hop, percent};
use http::header::HeaderName;
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use std::sync::Arc;

const AWAY: &str =
    "this node was away and may have missed an invalidation, so it validates what it held (RFC 9111 section 4.4)";
const GROUP: &str = "a group that its Cache-Groups names was invalidated (RFC 9875 section 3)";
const OTHER_VARIANT: &str =
    "what is stored answered other values of the fields that its Vary names (RFC 9111 section 4.1)";
const OTHER_PART: &str = "a part of it is stored, which does not cover what is asked for (RFC 9111 section 3.3)";
const REST_ONLY: &str = "a part of it is stored, and only the rest is fetched (RFC 9111 section 3.4)";

/// The GET that the query's `header=name:value` describe, as a client on this machine would send it; `None` where one
/// is no field.
pub fn question(key: &Key, query: &str) -> Option<Ask> {
    let mut headers = HeaderMap::new();
    for field in query.split('&').filter_map(|pair| pair.strip_prefix("header=")) {
        let field = percent::decode(field);
        let (name, value) = field.split_once(':')?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value.trim().parse().ok()?);
    }
    let (mut head, ()) = Request::get(key.as_str()).body(()).ok()?.into_parts();
    let hop = hop::strip(&mut headers);
    hop::strip_link(&mut headers);
    head.headers = headers;
    Some(Ask { hop, ..Ask::new(key.clone(), head, Asker::Front, true) })
}

/// `brought`: what was read from disk for it; `disk`: where it lay there before that.
pub fn answer(node: &CacheNode, ask: &Ask, brought: Option<Shelf>, disk: Option<Value>) -> Value {
    let now = clock::now();
    let from_disk = brought.is_some();
    let shelf = brought.or_else(|| node.store.get(&ask.key));
    let selected = shelf.as_ref().and_then(|shelf| node.selected(ask, shelf));
    let entries = shelf.as_ref().map_or(&[][..], |shelf| shelf.entries());
    let entries: Vec<Value> = entries.iter().map(|entry| describe(entry, selected.as_ref(), now)).collect();
    json!({
        "key": ask.key.as_str(),
        "node": node.id,
        "stored": entries,
        "in_memory": !from_disk && !entries.is_empty(),
        "on_disk": node.on_disk(&ask.key),
        "disk": disk,
        "answer": verdict(node, ask, shelf.as_ref(), selected.as_deref(), now),
        "not_stored": node.uncacheable.why(&ask.key).map(|why| why.reason()),
        "remedy": node.uncacheable.why(&ask.key).and_then(|why| why.remedy()),
        "being_fetched": node.fills.runs(&ask.key),
    })
}

fn describe(entry: &Arc<Entry>, selected: Option<&Arc<Entry>>, now: Timestamp) -> Value {
    let terms = &entry.terms;
    let text = |name| entry.first(name).map(|value| String::from_utf8_lossy(value).into_owned());
    json!({
        "selected": selected.is_some_and(|selected| Arc::ptr_eq(selected, entry)),
        "status": entry.status.as_u16(),
        "size": entry.body().len(),
        "part": entry.part().map(|part| json!({"from": part.at.start, "to": part.at.end, "of": part.whole})),
        "age": terms.age(now),
        "lifetime": terms.lifetime / 1000,
        "lifetime_from": terms.source.name(),
        "ttl": terms.ttl(now),
        "stale_while_revalidate": terms.stale_while_revalidate,
        "stale_if_error": terms.stale_if_error,
        "says": terms.marks.names().collect::<Vec<_>>(),
        "etag": text(FieldId::Etag),
        "last_modified": text(FieldId::LastModified),
        "vary": Some(String::from_utf8_lossy(entry.vary())).filter(|vary| !vary.is_empty()),
        "selected_by": selected_by(entry),
        "for": if entry.mark == Mark::Anyone { "anyone" } else { "clients on this machine" },
    })
}

/// The values of the request's fields that select it, as `name: value` or `no name`; as far as it has a `Vary`.
fn selected_by(entry: &Entry) -> Vec<String> {
    let text = String::from_utf8_lossy(entry.selecting()).into_owned();
    let field = |line: &str| match line.split_once(':') {
        Some((name, value)) => format!("{name}: {value}"),
        None => format!("no {line}"),
    };
    text.lines().map(field).collect()
}

/// As the spine decides, with the sentence that belongs to it.
fn verdict(node: &CacheNode, ask: &Ask, shelf: Option<&Shelf>, entry: Option<&Entry>, now: Timestamp) -> Value {
    let decision = node.decide(ask, entry, shelf, now);
    let terms = entry.map(|entry| node.terms(ask, entry));
    let seen = entry.zip(terms.as_ref()).map(|(entry, terms)| Stored { terms, ..stored(entry) });
    let why = policy::explain(&ask.head, seen, now);
    match decision {
        Decision::Serve { ttl } => served("hit", entry, ask, ttl, why, now),
        Decision::ServeStale { ttl } => served("hit, and validated meanwhile", entry, ask, ttl, why, now),
        Decision::OnlyIfCached => json!({"does": "504", "status": 504, "why": why}),
        Decision::Validate { fwd, ttl } => {
            let why = match entry {
                Some(entry) if node.may_have_missed(entry) => AWAY,
                Some(entry) if node.is_outdated(&ask.key, entry) => GROUP,
                _ => why,
            };
            json!({"does": "validate", "fwd": fwd.token(), "ttl": ttl, "why": why})
        }
        Decision::Forward { fwd } => match node.begun(ask, shelf, now) {
            Some(_) => json!({"does": "forward", "fwd": Fwd::Partial.token(), "why": REST_ONLY}),
            None if fwd == Fwd::Partial => json!({"does": "forward", "fwd": fwd.token(), "why": OTHER_PART}),
            None if fwd == Fwd::VaryMiss => json!({"does": "forward", "fwd": fwd.token(), "why": OTHER_VARIANT}),
            None => json!({"does": "forward", "fwd": fwd.token(), "why": why}),
        },
    }
}

fn served(does: &str, entry: Option<&Entry>, ask: &Ask, ttl: i64, why: &str, now: Timestamp) -> Value {
    let confirmed = entry.is_some_and(|entry| stored(entry).is_not_modified(&ask.head.headers, now));
    let status = if confirmed { Some(304) } else { entry.map(|entry| entry.status.as_u16()) };
    json!({"does": does, "status": status, "ttl": ttl, "why": why})
}
