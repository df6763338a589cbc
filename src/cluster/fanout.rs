//! Telling the other nodes: what an unsafe method made invalid, and purges.

use super::health::Health;
use super::link::{self, Link, Trouble};
use super::view::Node;
use bytes::Bytes;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Invalidations that wait to be told; when there are more, nodes are asked to validate everything instead.
pub const QUEUE: usize = 1024;
/// So many are told in one request: those that came while the ones before were told.
const BATCH: usize = 256;
const LIMIT: Duration = Duration::from_secs(1);

/// URLs that became invalid by an answer through the node `by`, which knows it already.
#[derive(Debug)]
pub struct Invalid {
    pub urls: Vec<String>,
    pub by: String,
    /// Dropped when every node that is up has been told: somebody's answer waits for that.
    pub told: oneshot::Sender<()>,
}

/// Tells every other node, in batches, until the queue is closed.
pub async fn invalidate(mut queue: mpsc::Receiver<Invalid>, health: Arc<Health>, nodes: impl Fn() -> Vec<Arc<Node>>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let mut told = JoinSet::new();
        for node in nodes() {
            let urls: Vec<&String> = batch.iter().filter(|i| i.by != node.id).flat_map(|i| &i.urls).collect();
            if !urls.is_empty() {
                let body = serde_json::to_vec(&urls).unwrap_or_default();
                told.spawn(tell(health.clone(), node, body.into()));
            }
        }
        told.join_all().await;
        batch.clear();
    }
}

async fn tell(health: Arc<Health>, node: Arc<Node>, body: Bytes) {
    if !node.is_up() {
        return health.missed(&node);
    }
    match health.link().call(&node.address, Method::POST, "/invalidate", Some(body), LIMIT).await {
        Ok((status, _)) if status.is_success() => {}
        Ok((status, _)) => not_told(&health, &node, &format!("status {status}")),
        Err(trouble) => not_told(&health, &node, &trouble.to_string()),
    }
}

fn not_told(health: &Health, node: &Arc<Node>, why: &str) {
    tracing::warn!(node = node.id, "node was not told of an invalidation, it will validate everything: {why}");
    health.missed(node);
}

/// Who has purged, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub done: Vec<String>,
    /// With the reason. They validate before they reuse anything.
    pub missed: Vec<(String, String)>,
}

/// Purges a URL on all these nodes.
pub async fn purge(health: &Arc<Health>, nodes: Vec<Arc<Node>>, url: &str) -> Purged {
    let path = format!("/cache?url={}", link::encode(url));
    let mut purged = Purged::default();
    for (node, result) in everywhere(health.link(), nodes, Method::DELETE, &path).await {
        match result {
            Ok(_) => purged.done.push(node.id.clone()),
            Err(trouble) => {
                health.missed(&node);
                purged.missed.push((node.id.clone(), trouble.to_string()));
            }
        }
    }
    purged
}

/// One request to each of the nodes that are up, at the same time; in the nodes' order.
pub async fn everywhere(
    link: &Link,
    nodes: Vec<Arc<Node>>,
    method: Method,
    path: &str,
) -> Vec<(Arc<Node>, Result<Bytes, Trouble>)> {
    let mut calls = JoinSet::new();
    for (i, node) in nodes.into_iter().enumerate() {
        let (link, method, path) = (link.clone(), method.clone(), path.to_owned());
        calls.spawn(async move {
            let result = ask(&link, &node, method, &path).await;
            (i, node, result)
        });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(i, ..)| *i);
    answers.into_iter().map(|(_, node, result)| (node, result)).collect()
}

async fn ask(link: &Link, node: &Node, method: Method, path: &str) -> Result<Bytes, Trouble> {
    if !node.is_up() {
        return Err(Trouble::Odd("it is down".into()));
    }
    let (status, body) = link.call(&node.address, method, path, None, LIMIT).await?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(Trouble::Odd(format!("it answered with status {}", status.as_u16())))
    }
}
