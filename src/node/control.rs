//! Origin-form on a node's port: what fronts ask of it (docs/link.md).

use super::Node;
use super::answer;
use super::body::NodeBody;
use super::counters::add;
use crate::clock;
use crate::net::serve::ClientBody;
use crate::policy;
use crate::store::Entry;
use crate::wire::target::Key;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// A batch of invalidations is at most this large.
const BODY_LIMIT: usize = 1024 * 1024;

/// For peers that are trusted.
pub async fn serve(node: &Rc<Node>, request: Request<ClientBody>) -> Response<NodeBody> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz") => json(StatusCode::OK, &health(node)),
        (&Method::GET, "/metrics") => json(StatusCode::OK, &metrics(node)),
        (&Method::GET, "/cache") => with_key(&request, |key| stored(node, key)),
        (&Method::DELETE, "/cache") => with_key(&request, |key| purge(node, key)),
        (&Method::POST, "/invalidate") => invalidate(node, request).await,
        (&Method::POST, "/revalidate") => {
            node.doubt_all();
            json(StatusCode::OK, &json!({"revalidating": true}))
        }
        _ => answer::text(
            StatusCode::NOT_FOUND,
            "this is a ringhold cache node: ask it with an absolute URL, as a proxy\n",
        ),
    }
}

fn health(node: &Node) -> Value {
    json!({"id": node.id, "boot": node.boot, "version": env!("CARGO_PKG_VERSION")})
}

fn metrics(node: &Node) -> Value {
    let mut all: Map<String, Value> = node.counters.all().into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
    let (entries, bytes) = node.store.size();
    all.insert("entries".into(), entries.into());
    all.insert("bytes".into(), bytes.into());
    all.insert("fills".into(), node.fills.count().into());
    all.insert("in_flight".into(), node.in_flight.get().into());
    Value::Object(all)
}

fn stored(node: &Node, key: &Key) -> Response<NodeBody> {
    let Some(shelf) = node.store.get(key) else {
        return json(StatusCode::NOT_FOUND, &json!({"key": key.as_str(), "entries": []}));
    };
    let entries: Vec<Value> = shelf.entries().iter().map(|e| describe(e)).collect();
    json(StatusCode::OK, &json!({"key": key.as_str(), "entries": entries}))
}

fn describe(entry: &Entry) -> Value {
    let now = clock::now();
    let (age, lifetime) = (policy::age(&entry.terms, now), entry.terms.lifetime / 1000);
    json!({
        "status": entry.status.as_u16(),
        "size": entry.body().len(),
        "age": age,
        "lifetime": lifetime,
        "ttl": lifetime as i64 - age as i64,
        "vary": String::from_utf8_lossy(entry.vary()),
    })
}

fn purge(node: &Node, key: &Key) -> Response<NodeBody> {
    let purged = node.invalidate(key);
    add(&node.counters.purged, u64::from(purged));
    json(StatusCode::OK, &json!({"purged": purged}))
}

async fn invalidate(node: &Node, request: Request<ClientBody>) -> Response<NodeBody> {
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the list of URLs could not be read\n");
    };
    let Ok(urls) = serde_json::from_slice::<Vec<String>>(&body.to_bytes()) else {
        return answer::text(StatusCode::BAD_REQUEST, "a JSON array of URLs is expected\n");
    };
    let keys = urls.iter().filter_map(|url| Key::parse(url).ok());
    let count = keys.map(|key| node.invalidate(&key)).filter(|done| *done).count();
    json(StatusCode::OK, &json!({"invalidated": count}))
}

fn with_key(request: &Request<ClientBody>, then: impl FnOnce(&Key) -> Response<NodeBody>) -> Response<NodeBody> {
    let query = request.uri().query().unwrap_or("");
    let url = query.split('&').find_map(|pair| pair.strip_prefix("url=")).map(crate::wire::percent::decode);
    match url.as_deref().map(Key::parse) {
        Some(Ok(key)) => then(&key),
        Some(Err(fault)) => answer::text(fault.status, format!("{}\n", fault.detail)),
        None => answer::text(StatusCode::BAD_REQUEST, "the query needs url=…\n"),
    }
}

pub fn json(status: StatusCode, value: &Value) -> Response<NodeBody> {
    let mut response = answer::text(status, value.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
