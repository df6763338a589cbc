//! Telling all who may hold a copy: what an unsafe method made invalid, and purges. Nodes first, then the other fronts,
//! which could otherwise make a copy of what a node has not forgotten yet.

use super::broadcast::Hearing;
use super::queues::{Invalid, Item, QUEUE, QueuedLines, Teller, said};
use crate::clock::{Tick, tick};
use crate::cluster::ControlPlane;
use crate::cluster::link::{Link, LinkTrouble};
use crate::cluster::views::{Node, Outdated, UntilTold};
use crate::wire::percent;
use crate::wire::target::Key;
use bytes::Bytes;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A node that has not heard by then is doubted: before the client is answered that has changed something, and early enough
/// for the fronts to hear of it too.
const NODES: Duration = Duration::from_millis(350);
const LIMIT: Duration = Duration::from_secs(1);
/// So often at least it is looked which fronts are there.
const LOOK: Duration = Duration::from_secs(10);
/// So many nodes that have left are told at the same time.
const FAREWELLS: usize = 16;

/// Nodes have heard of it, or are doubted.
type Delivered = (Arc<[Outdated]>, UntilTold);

async fn tell_fronts(mut settled: mpsc::Receiver<Delivered>, cluster: Arc<ControlPlane>) {
    let mut lines = QueuedLines::default();
    let teller = Teller { health: cluster.health.clone(), secrets: cluster.config.cluster.clone() };
    loop {
        let next = timeout(LOOK, settled.recv()).await;
        let listeners = cluster.listeners(None);
        // Also where nothing is to be told: who has left is not called any more.
        lines.keep_fronts(&listeners);
        let (what, told) = match next {
            Ok(Some((what, told))) => (what, Arc::new(told)),
            Ok(None) => return,
            Err(_) => continue,
        };
        for listener in &listeners {
            lines.tell(&teller, listener, Item { what: what.clone(), due: tick(), _told: told.clone() });
        }
    }
}

/// Who has left is told as well, if it can be: nobody waits for that, and it validates everything when it comes back.
fn say_goodbye(cluster: &Arc<ControlPlane>, farewells: &Arc<Semaphore>, what: &[Outdated]) {
    for node in cluster.departed() {
        let said = said(std::iter::once(what));
        let (Some(body), Ok(permit)) = (said, farewells.clone().try_acquire_owned()) else { return };
        let health = cluster.health.clone();
        tokio::spawn(async move {
            let _ = health.link().call(&node, Method::POST, "/invalidate", Some(body), LIMIT).await;
            drop(permit);
        });
    }
}

/// Who has purged, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Nodes.
    pub done: Vec<String>,
    /// Nodes that had something stored, as far as they have said so: also one that has purged it, but not for good.
    pub held: Vec<String>,
    /// Other fronts that have dropped their copies.
    pub fronts: Vec<String>,
    /// Nodes and fronts, with the reason. Nodes validate before they reuse anything.
    pub missed: Vec<(String, String)>,
    /// Why it is not known who else there is.
    pub unsure: Option<String>,
    /// Some front was not told: its copies have to run out.
    pub waits: bool,
    /// That somebody missed it could not be written down: a restart of this front forgets it.
    pub forgets: bool,
}

impl Purged {
    fn heard(&mut self, node: &Node, said: &[u8]) {
        self.done.push(node.id.clone());
        self.noted(node, said);
    }

    fn missed(&mut self, node: &Node, why: String, trouble: &LinkTrouble) {
        self.missed.push((node.id.clone(), why));
        if let LinkTrouble::Refused(_, said) = trouble {
            self.noted(node, said);
        }
    }

    fn noted(&mut self, node: &Node, said: &[u8]) {
        let said: Option<serde_json::Value> = serde_json::from_slice(said).ok();
        if said.is_some_and(|said| said["purged"] == true) {
            self.held.push(node.id.clone());
        }
    }
}

impl ControlPlane {
    /// Tells everybody else, each from a queue of its own, until the queue is closed.
    pub(in crate::cluster) async fn invalidate(self: Arc<ControlPlane>, mut queue: mpsc::Receiver<Invalid>) {
        let mut lines = QueuedLines::default();
        let farewells = Arc::new(Semaphore::new(FAREWELLS));
        let (behind, then) = mpsc::channel(QUEUE);
        let (cluster, fronts) = (self.clone(), tell_fronts(then, self));
        let nodes = async move {
            while let Some(Invalid { what, by, told }) = queue.recv().await {
                let (what, nodes): (Arc<[Outdated]>, _) = (what.into(), cluster.to_be_told());
                lines.keep_nodes(&nodes);
                let (settled, all) = oneshot::channel::<()>();
                let (settled, due) =
                    (Arc::new(UntilTold::dropping(settled)), Tick(tick().0 + NODES.as_millis() as u64));
                for node in nodes.iter().filter(|node| node.id != by) {
                    if node.is_up() {
                        lines.tell(&cluster.health, node, Item { what: what.clone(), due, _told: settled.clone() });
                    } else {
                        cluster.health.missed(node, Some(std::slice::from_ref(&what)));
                    }
                }
                drop(settled);
                say_goodbye(&cluster, &farewells, &what);
                let behind = behind.clone();
                tokio::spawn(async move {
                    // Ended by the sender being dropped.
                    _ = all.await;
                    _ = behind.send((what, told)).await;
                });
            }
        };
        tokio::join!(nodes, fronts);
    }

    /// Purges a URL on every node, then in every other front.
    pub async fn purge(&self, key: &Key) -> Purged {
        let unsure = match &self.keeper {
            Some(keeper) => keeper.confirm().await.err(),
            None => None,
        };
        let mut purged = Purged { waits: unsure.is_some(), unsure, ..Purged::default() };
        let path = format!("/cache?url={}", percent::encode(key.as_str()));
        let nodes = self.to_be_told();
        let what: Arc<[Outdated]> = Arc::new([Outdated::Url(key.as_str().to_owned())]);
        self.purge_nodes(&mut purged, nodes.clone(), &path, &what).await;
        // Who came while the others were told may have got it from one of those.
        let newcomers = self.to_be_told().into_iter().filter(|node| !nodes.iter().any(|n| Arc::ptr_eq(n, node)));
        self.purge_nodes(&mut purged, newcomers.collect(), &path, &what).await;
        self.purge_departed(&mut purged, &path).await;
        if !purged.missed.is_empty() || purged.unsure.is_some() {
            purged.forgets = !self.until_kept().await;
        }
        for (id, hearing) in self.tell_fronts(&what).await {
            purged.waits |= matches!(hearing, Hearing::Apart | Hearing::Missed(_) | Hearing::Refused(_));
            match hearing {
                Hearing::Told => purged.fronts.push(id),
                Hearing::Missed(why) | Hearing::Refused(why) => purged.missed.push((id, why)),
                Hearing::Apart | Hearing::Ended => {}
            }
        }
        purged
    }

    async fn purge_nodes(&self, purged: &mut Purged, nodes: Vec<Arc<Node>>, path: &str, what: &Arc<[Outdated]>) {
        for (node, result) in everywhere(self.health.link(), nodes, Method::DELETE, path).await {
            match result {
                Ok(said) => purged.heard(&node, &said),
                Err(trouble) => {
                    self.health.missed(&node, Some(std::slice::from_ref(what)));
                    purged.missed(&node, trouble.to_string(), &trouble);
                }
            }
        }
    }

    /// Where nothing listens any more, nothing is held any more.
    async fn purge_departed(&self, purged: &mut Purged, path: &str) {
        let mut calls = JoinSet::new();
        for node in self.departed() {
            let (health, path) = (self.health.clone(), path.to_owned());
            calls.spawn(async move { (ask(health.link(), &node, Method::DELETE, &path).await, node) });
        }
        for (result, node) in calls.join_all().await {
            match result {
                Ok(said) => purged.heard(&node, &said),
                Err(trouble) if trouble.is_refusal() => {}
                Err(trouble) => purged.missed(&node, format!("it has left: {trouble}"), &trouble),
            }
        }
    }
}

/// One request to each of the nodes that are up, at the same time; in the nodes' order.
pub async fn everywhere(
    link: &Link,
    nodes: Vec<Arc<Node>>,
    method: Method,
    path: &str,
) -> Vec<(Arc<Node>, Result<Bytes, LinkTrouble>)> {
    let mut calls = JoinSet::new();
    for (i, node) in nodes.into_iter().enumerate() {
        let (link, method, path) = (link.clone(), method.clone(), path.to_owned());
        calls.spawn(async move {
            let result = match node.is_up() {
                true => ask(&link, &node, method, &path).await,
                false => Err(LinkTrouble::Odd("it is down".into())),
            };
            (i, node, result)
        });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(i, ..)| *i);
    answers.into_iter().map(|(_, node, result)| (node, result)).collect()
}

async fn ask(link: &Link, node: &Node, method: Method, path: &str) -> Result<Bytes, LinkTrouble> {
    let (status, body) = link.call(node, method, path, None, LIMIT).await?;
    if status.is_success() { Ok(body) } else { Err(LinkTrouble::Refused(status, body)) }
}
