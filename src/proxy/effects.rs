//! What an answer does to other copies: what an unsafe method made invalid, and what has a newer answer.

use super::link::{NodeAnswer, NodePool};
use super::renewing::Renewal;
use super::worker::{Client, Worker};
use crate::clock;
use crate::cluster::views::{Node, Outdated, Report, UntilTold};
use crate::policy;
use crate::wire::link::OwnerWord;
use crate::wire::status;
use crate::wire::target::Key;
use http::{Method, Response};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// So long an answer that invalidates waits for the other nodes to know.
const UNTIL_TOLD: Duration = Duration::from_millis(500);

/// RFC 9111 section 4.4: other nodes own what `Location` names, or hold copies from a time when they stood in for the
/// owner. The client has its answer when they know, so that it cannot then get what it has just changed.
pub async fn invalidate(
    client: &Client,
    method: &Method,
    key: &Key,
    answer: &NodeAnswer,
    pool: &NodePool,
    renewal: Option<Renewal>,
) {
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
    let others = keys.iter().map(|key| Renewal::of(&client.worker.front.renewing, key.hash()));
    let renewals = others.chain(renewal).collect();
    tell(client, what, pool, renewals).await;
    // Meanwhile another node may have answered with what it held.
    forget(client, key, &keys, &groups);
}

/// A reload, or another request that went to the owner alone, has got a newer answer than others may hold who are asked in
/// the owner's place. The client has it when they have dropped theirs, so that nobody who comes after it gets an older one. What is
/// still coming is not yet what the owner answers others with: of that they are told at its end, when what is answered here is dropped.
pub async fn renewed(
    client: &Client,
    key: &Key,
    answer: &NodeAnswer,
    pool: &NodePool,
    renewal: Renewal,
) -> Option<Unfinished> {
    // The owner has asked, and may have forgotten what it had where it has nothing new.
    if answer.head.fields.verdict().is_none_or(status::is_from_cache) {
        return None;
    }
    forget(client, key, std::slice::from_ref(key), &[]);
    if answer.head.owner != Some(OwnerWord::Lent) && !client.worker.front.doubled.may_have_had(key.hash()) {
        return None;
    }
    if answer.small_body().is_none() && answer.head.fields.verdict().is_some_and(status::is_stored) {
        let (worker, by) = (client.worker.clone(), pool.node.clone());
        return Some(Unfinished { worker, key: key.clone(), by, renewal: Some(renewal) });
    }
    Box::pin(tell_newer(client, key, pool, renewal)).await;
    None
}

/// A node has answered in place of one that is up, whose connections were lost: where it has asked the origin, what that one has
/// may be older, and it is asked again for the next. What is still coming is told of at once as well: nobody who has it
/// will answer others with it.
pub async fn stood_in(client: &Client, key: &Key, answer: &NodeAnswer, pool: &NodePool, renewal: Renewal) {
    // An error takes the place of nothing that is stored (RFC 9111 section 4.3.3).
    if !answer.head.status.is_server_error() && answer.head.fields.verdict().is_some_and(status::is_new) {
        tell_newer(client, key, pool, renewal).await;
    }
}

async fn tell_newer(client: &Client, key: &Key, pool: &NodePool, renewal: Renewal) {
    tell(client, vec![newer(key)], pool, vec![renewal]).await;
    // Meanwhile another node may have answered with what it held.
    forget(client, key, std::slice::from_ref(key), &[]);
}

fn newer(key: &Key) -> Outdated {
    Outdated::Renewed { renewed: key.as_str().to_owned() }
}

/// A newer answer that is still coming. The others are told when this is dropped.
pub struct Unfinished {
    worker: Rc<Worker>,
    key: Key,
    by: Arc<Node>,
    renewal: Option<Renewal>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.worker.hot.iter().for_each(|hot| hot.forget(&self.key));
        let told = UntilTold::dropping(self.renewal.take());
        self.worker.report(Report::Invalidated { what: vec![newer(&self.key)], by: self.by.clone(), told });
    }
}

/// Tells the other nodes and fronts, and waits until they know.
async fn tell(client: &Client, what: Vec<Outdated>, pool: &NodePool, renewals: Vec<Renewal>) {
    let (told, done) = oneshot::channel::<()>();
    let told = UntilTold::dropping((renewals, told));
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
