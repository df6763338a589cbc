//! What an answer does to other copies: what an unsafe method made invalid, and what has a newer answer.

use super::link::{NodeAnswer, NodePool};
use super::worker::Client;
use crate::clock;
use crate::cluster::views::{Outdated, Report};
use crate::policy;
use crate::wire::status;
use crate::wire::target::Key;
use http::{Method, Response};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// So long an answer that invalidates waits for the other nodes to know.
const UNTIL_TOLD: Duration = Duration::from_millis(500);

/// RFC 9111 section 4.4: other nodes own what `Location` names, or hold copies from a time when they stood in for the
/// owner. The client has its answer when they know, so that it cannot then get what it has just changed.
pub async fn invalidate(client: &Client, method: &Method, key: &Key, answer: &NodeAnswer, pool: &NodePool) {
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.headers) = (answer.head.status, answer.head.fields.map());
    let keys = policy::invalidates(method, key, &parts);
    let groups = policy::groups::invalidated(method, &parts);
    forget(client, key, &keys, &groups);
    let mut what: Vec<Outdated> = keys.iter().map(|key| Outdated::Url(key.as_str().to_owned())).collect();
    if !groups.is_empty() {
        let (origin, groups) = (format!("{}://{}", key.scheme(), key.authority()), groups.clone());
        what.push(Outdated::Groups { origin, groups });
    }
    // Also where one node has the whole ring: one that is off it, and drains, is asked by that one.
    if what.is_empty() {
        return;
    }
    tell(client, what, pool).await;
    // Meanwhile another node may have answered with what it held.
    forget(client, key, &keys, &groups);
}

/// A reload, or another request that went to the owner alone, has got a newer answer than others may hold who are asked in
/// the owner's place. The client has it when they have dropped theirs, so that nobody who comes after it gets an older one.
pub async fn renewed(client: &Client, key: &Key, answer: &NodeAnswer, pool: &NodePool) {
    if !answer.head.fields.verdict().is_some_and(status::is_stored) {
        return;
    }
    forget(client, key, std::slice::from_ref(key), &[]);
    // One that is still coming is not yet what the owner answers others with.
    if answer.small_body().is_some() && client.worker.front.doubled.has(key.hash()) {
        let what = vec![Outdated::Renewed { renewed: key.as_str().to_owned() }];
        Box::pin(tell(client, what, pool)).await;
        // Meanwhile another node may have answered with what it held.
        forget(client, key, std::slice::from_ref(key), &[]);
    }
}

/// Tells the other nodes and fronts, and waits until they know.
async fn tell(client: &Client, what: Vec<Outdated>, pool: &NodePool) {
    let (told, done) = oneshot::channel();
    client.worker.report(Report::Invalidated { what, by: pool.node.clone(), told });
    // Ended by the sender being dropped, or not: a node that does not answer holds up nobody for long.
    _ = timeout(UNTIL_TOLD, done).await;
}

/// Drops the front's own copies.
fn forget(client: &Client, of: &Key, keys: &[Key], groups: &[String]) {
    if let Some(hot) = &client.worker.hot {
        keys.iter().for_each(|key| hot.forget(key));
        hot.forget_groups(of, groups, clock::now());
    }
}
