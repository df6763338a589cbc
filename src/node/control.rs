//! Origin-form on a node's port: what fronts ask of it (docs/link.md).

use super::CacheNode;
use super::adopt::{self, BODY_LIMIT};
use super::answer::{self, json};
use super::body::NodeBody;
use super::counters::add;
use super::explain;
use super::from_disk;
use crate::account::{self, AccountKind};
use crate::clock;
use crate::net::serve::ClientBody;
use crate::store::Entry;
use crate::wire::https::rules;
use crate::wire::link;
use crate::wire::target::Key;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// For peers that are trusted. `vouched`: nobody but a front or node of ours can be at the other end.
pub async fn serve(node: &Rc<CacheNode>, request: Request<ClientBody>, vouched: bool) -> Response<NodeBody> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz") => {
            let mut health = health(node);
            if request.headers().contains_key(link::PADDING) {
                health["padding"] = "-".repeat(link::PADDED).into();
            }
            json(StatusCode::OK, &health)
        }
        (&Method::GET, "/metrics") => json(StatusCode::OK, &metrics(node)),
        (&Method::GET, "/cache") => with_key(&request, |key| stored(node, key)),
        (&Method::GET, "/explain") => explain(node, &request).await,
        (&Method::DELETE, "/cache") => match key_of(&request) {
            Ok(key) => purge(node, &key).await,
            Err((status, why)) => answer::text(status, why),
        },
        (&Method::POST, "/invalidate") => invalidate(node, request).await,
        // Whom it names is believed what he answers.
        (&Method::POST, "/adopt") if vouched => adopt::serve(node, request).await,
        (&Method::POST, "/handover") if vouched => adopt::hand_over(node, request).await,
        (&Method::POST, "/revalidate") => {
            node.doubt_all();
            // With ZooKeeper the next process doubts all by itself.
            let kept = node.until_kept().await || node.config.zookeeper.is_some();
            let status = if kept { StatusCode::OK } else { StatusCode::ACCEPTED };
            json(status, &json!({"revalidating": true, "kept": kept}))
        }
        _ => answer::text(
            StatusCode::NOT_FOUND,
            "this is a ringhold cache node: ask it with an absolute URL, as a proxy\n",
        ),
    }
}

fn health(node: &CacheNode) -> Value {
    let mut health = json!({"id": node.id, "boot": node.boot, "version": env!("CARGO_PKG_VERSION")});
    health["https_rules"] = rules::digest().into();
    if node.config.cluster.secret.is_some() {
        health["tls"] = true.into();
    }
    // With ZooKeeper a node doubts all that it has before it registers: it stands for nothing that was.
    if let Some(disk) = node.disk.as_ref().filter(|_| node.config.zookeeper.is_none()) {
        health["lineage"] = disk.lineage().into();
    }
    health
}

fn metrics(node: &CacheNode) -> Value {
    let mut all: Map<String, Value> = node.counters.all().into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
    let (entries, bytes) = node.store.size();
    all.insert("entries".into(), entries.into());
    all.insert("bytes".into(), bytes.into());
    node.disk.iter().for_each(|disk| disk.metrics(&mut all));
    all.insert("fills".into(), node.fills.count().into());
    all.insert("in_flight".into(), account::held(AccountKind::Fills).into());
    all.insert("readers_cut".into(), account::cut().into());
    let held = [
        ("store", bytes),
        ("fills", account::held(AccountKind::Fills)),
        ("readers", account::held(AccountKind::Readers)),
    ];
    held.into_iter()
        .chain(crate::net::serve::held())
        .chain([("tls", crate::net::tls::held())])
        .for_each(|(kind, bytes)| _ = all.insert(format!("held_{kind}"), bytes.into()));
    Value::Object(all)
}

fn stored(node: &CacheNode, key: &Key) -> Response<NodeBody> {
    let Some(shelf) = node.store.get(key) else {
        return json(StatusCode::NOT_FOUND, &json!({"key": key.as_str(), "entries": []}));
    };
    let entries: Vec<Value> = shelf.entries().iter().map(|e| describe(e)).collect();
    json(StatusCode::OK, &json!({"key": key.as_str(), "entries": entries}))
}

async fn explain(node: &Rc<CacheNode>, request: &Request<ClientBody>) -> Response<NodeBody> {
    let mut asked = None;
    let read = with_key(request, |key| {
        asked = explain::question(key, request.uri().query().unwrap_or(""));
        answer::text(StatusCode::BAD_REQUEST, "a header is name:value\n")
    });
    let Some(ask) = asked else { return read };
    let held = node.lookup(&ask);
    let disk = node.disk.as_ref().map(|disk| disk.said_of(&ask.key, held.as_deref()));
    let brought = from_disk::where_missing(node, &ask, held.is_none()).await;
    json(StatusCode::OK, &explain::answer(node, &ask, brought, disk))
}

fn describe(entry: &Entry) -> Value {
    let now = clock::now();
    let (age, lifetime) = (entry.terms.age(now), entry.terms.lifetime / 1000);
    json!({
        "status": entry.status.as_u16(),
        "size": entry.body().len(),
        "age": age,
        "lifetime": lifetime,
        "ttl": lifetime as i64 - age as i64,
        "vary": String::from_utf8_lossy(entry.vary()),
    })
}

/// It outlives a power cut, or is not said to be done. `purged`: there was something.
async fn purge(node: &CacheNode, key: &Key) -> Response<NodeBody> {
    let purged = node.invalidate(key);
    add(&node.counters.purged, u64::from(purged));
    match &node.disk {
        Some(disk) if !disk.settled(true).await => {
            let why = "purged, but not from what the disk may bring back at the next start: it cannot be written now";
            json(StatusCode::SERVICE_UNAVAILABLE, &json!({"purged": purged, "why": why}))
        }
        _ => json(StatusCode::OK, &json!({"purged": purged})),
    }
}

async fn invalidate(node: &CacheNode, request: Request<ClientBody>) -> Response<NodeBody> {
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the list of URLs could not be read\n");
    };
    let Ok(told) = serde_json::from_slice::<Vec<NodeNews>>(&body.to_bytes()) else {
        return answer::text(StatusCode::BAD_REQUEST, "a JSON array of URLs and groups is expected\n");
    };
    let count = told.iter().filter(|told| told.is_heeded(node)).count();
    // With ZooKeeper the next process doubts all by itself.
    let kept = node.until_kept().await || node.config.zookeeper.is_some();
    if told.iter().any(|told| matches!(told, NodeNews::Groups { .. })) {
        node.later().await;
    }
    let status = if kept { StatusCode::OK } else { StatusCode::ACCEPTED };
    json(status, &json!({"invalidated": count, "kept": kept}))
}

/// What became invalid through another node.
#[derive(Deserialize)]
#[serde(untagged)]
enum NodeNews {
    Url(String),
    Groups { origin: String, groups: Vec<String> },
    Renewed { renewed: String },
}

impl NodeNews {
    /// Whether there was, or may have been, something to forget.
    fn is_heeded(&self, node: &CacheNode) -> bool {
        match self {
            NodeNews::Url(url) => Key::parse(url).is_ok_and(|key| node.invalidate(&key)),
            NodeNews::Renewed { renewed } => Key::parse(renewed).is_ok_and(|key| node.has_older(&key)),
            NodeNews::Groups { origin, groups } => {
                Key::parse(origin).map(|of| node.invalidate_groups(&of, groups)).is_ok()
            }
        }
    }
}

fn with_key(request: &Request<ClientBody>, then: impl FnOnce(&Key) -> Response<NodeBody>) -> Response<NodeBody> {
    key_of(request).map_or_else(|(status, why)| answer::text(status, why), |key| then(&key))
}

fn key_of(request: &Request<ClientBody>) -> Result<Key, (StatusCode, String)> {
    let query = request.uri().query().unwrap_or("");
    let url = query.split('&').find_map(|pair| pair.strip_prefix("url=")).map(crate::wire::percent::decode);
    match url.as_deref().map(Key::parse) {
        Some(Ok(key)) => Ok(key),
        Some(Err(fault)) => Err((fault.status, format!("{}\n", fault.detail))),
        None => Err((StatusCode::BAD_REQUEST, "the query needs url=…\n".to_owned())),
    }
}
