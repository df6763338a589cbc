//! A queue for each who is to be told of what became invalid, so that one who does not answer holds up nobody else. What
//! comes while one is told is told to it together afterwards.

use super::broadcast::{self, FrontListener, Hearing};
use crate::clock::{Tick, tick};
use crate::cluster::health::monitor::Health;
use crate::cluster::views::{Node, Outdated, UntilTold};
use crate::config::ClusterConfig as Secrets;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Invalidations that wait to be told; when there are more, nodes are asked to validate everything instead.
pub const QUEUE: usize = 1024;

/// So many are told in one request: those that came while the ones before were told.
pub const BATCH: usize = 256;
/// And so many bytes of URLs, before the last: a node reads four times as much (`BODY_LIMIT`), and one answer names three
/// URLs at most, each made of parts of two heads.
const BYTES: usize = 256 * 1024;
/// After so long without an answer nobody waits for a front: what it had copied before serves nobody any more.
const LEAVE: Duration = Duration::from_secs(2);
/// Between two tries while somebody waits.
const PAUSE: Duration = Duration::from_millis(100);
/// And while nobody does: it may be there and never answer as it should.
const KNOCK: Duration = Duration::from_millis(500);

/// What became invalid by an answer through the node `by`, which knows it already.
#[derive(Debug)]
pub struct Invalid {
    pub what: Vec<Outdated>,
    pub by: String,
    /// Dropped when every node that is up, and every other front, has been told, or is doubted: somebody's answer waits.
    pub told: UntilTold,
}

/// What one of them is to be told. Dropped when it was, or is doubted.
pub struct Item {
    pub what: Arc<[Outdated]>,
    /// Until then; whoever waits for that is not held up for longer.
    pub due: Tick,
    /// Dropped with the last of those that are told the same.
    pub _told: Arc<UntilTold>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.what.iter().map(Outdated::bytes).sum()
    }
}

/// Waits for an item, and takes those that are there behind it. `false`: there will be none.
async fn next(items: &mut mpsc::Receiver<Item>, batch: &mut Vec<Item>) -> bool {
    batch.clear();
    let Some(first) = items.recv().await else { return false };
    let mut bytes = first.bytes();
    batch.push(first);
    while batch.len() < BATCH && bytes < BYTES {
        let Ok(item) = items.try_recv() else { break };
        bytes += item.bytes();
        batch.push(item);
    }
    true
}

/// By what they are told apart with.
pub struct QueuedLines<T>(HashMap<String, (T, mpsc::Sender<Item>)>);

impl<T> Default for QueuedLines<T> {
    fn default() -> QueuedLines<T> {
        QueuedLines(HashMap::new())
    }
}

impl<T> QueuedLines<T> {
    /// Forgets all others; what they are still to be told is told.
    fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|id, _| is_there(id));
    }

    /// False where its queue is full. `is_same`: whether the one that is known is this one; else `begin` makes a new queue.
    fn put(
        &mut self,
        id: &str,
        item: Item,
        is_same: impl Fn(&T) -> bool,
        begin: impl FnOnce(mpsc::Receiver<Item>) -> T,
    ) -> bool {
        if let Some((_, queue)) = self.0.get(id).filter(|(one, _)| is_same(one)) {
            return queue.try_send(item).is_ok();
        }
        let (queue, items) = mpsc::channel(QUEUE);
        let sent = queue.try_send(item).is_ok();
        self.0.insert(id.to_owned(), (begin(items), queue));
        sent
    }
}

impl QueuedLines<Arc<Node>> {
    pub fn keep_nodes(&mut self, nodes: &[Arc<Node>]) {
        self.keep(|id| nodes.iter().any(|node| node.id == id));
    }

    pub fn tell(&mut self, health: &Arc<Health>, node: &Arc<Node>, item: Item) {
        let begin = |items| {
            tokio::spawn(tell_node(items, health.clone(), node.clone()));
            node.clone()
        };
        let what = item.what.clone();
        if !self.put(&node.id, item, |known| Arc::ptr_eq(known, node), begin) {
            health.missed(node, Some(&[what]));
        }
    }
}

impl QueuedLines<FrontListener> {
    pub fn keep_fronts(&mut self, listeners: &[FrontListener]) {
        self.keep(|id| listeners.iter().any(|listener| listener.id == id));
    }

    /// A front that cannot be told has copies that run out.
    pub fn tell(&mut self, teller: &Teller, listener: &FrontListener, item: Item) {
        let begin = |items| {
            tokio::spawn(tell_front(items, teller.clone(), listener.clone()));
            listener.clone()
        };
        self.put(&listener.id, item, |known| known == listener, begin);
    }
}

/// With what fronts are told.
#[derive(Clone)]
pub struct Teller {
    pub health: Arc<Health>,
    pub secrets: Secrets,
}

async fn tell_node(mut items: mpsc::Receiver<Item>, health: Arc<Health>, node: Arc<Node>) {
    let mut batch = Vec::new();
    while next(&mut items, &mut batch).await {
        let due = batch.iter().map(|item| item.due.0).min().unwrap_or_default();
        let left = Duration::from_millis(due.saturating_sub(tick().0));
        match said(batch.iter().map(|item| &*item.what)) {
            Some(_) if left.is_zero() || !node.is_up() => health.missed(&node, Some(&whats(&batch))),
            Some(body) => {
                let asked = health.link().call(&node, Method::POST, "/invalidate", Some(body), left).await;
                match asked {
                    Ok((StatusCode::ACCEPTED, _)) => health.unkept(&node),
                    Ok((status, _)) if status.is_success() => {}
                    Ok((status, _)) => not_told(&health, &node, &batch, &format!("status {status}")),
                    Err(trouble) => not_told(&health, &node, &batch, &trouble.to_string()),
                }
            }
            None => {}
        }
        batch.clear();
    }
}

/// A front that does not answer is told again and again, and whoever waits for that waits, until what it had copied before
/// has run out. From then on nobody waits for it, and it is asked whether it is back.
async fn tell_front(mut items: mpsc::Receiver<Item>, teller: Teller, listener: FrontListener) {
    let mut batch: Vec<Item> = Vec::new();
    while next(&mut items, &mut batch).await {
        let what: Vec<Outdated> = batch.iter().flat_map(|item| &*item.what).cloned().collect();
        let begun = tick();
        while let Err(why) = teller.tell(&listener, &what).await {
            if tick().since(begun) >= LEAVE {
                batch.clear();
                let id = &listener.id;
                tracing::warn!("front {id} may give what was changed through others for 2 s, until it answers: {why}");
                if !is_back(&mut items, &teller, &listener).await {
                    return;
                }
                tracing::info!("front {id} answers again");
                break;
            }
            sleep(PAUSE).await;
        }
        batch.clear();
    }
}

/// Waits until a front answers, and lets go meanwhile whoever waits for it. `false`: nobody is to tell it anything any more.
async fn is_back(items: &mut mpsc::Receiver<Item>, teller: &Teller, listener: &FrontListener) -> bool {
    let answers = async {
        while teller.tell(listener, &[]).await.is_err() {
            sleep(KNOCK).await;
        }
    };
    tokio::pin!(answers);
    loop {
        tokio::select! {
            biased;
            () = &mut answers => return true,
            item = items.recv() => if item.is_none() { return false },
        }
    }
}

impl Teller {
    /// The reason where it may have copies and has not heard.
    async fn tell(&self, listener: &FrontListener, what: &[Outdated]) -> Result<(), String> {
        match broadcast::one(&self.health, &self.secrets, listener, what.to_vec()).await {
            Hearing::Missed(why) => Err(why),
            Hearing::Told | Hearing::Apart | Hearing::Refused(_) | Hearing::Ended => Ok(()),
        }
    }
}

pub(super) fn said<'a>(batch: impl Iterator<Item = &'a [Outdated]>) -> Option<Bytes> {
    let what: Vec<&Outdated> = batch.flatten().collect();
    (!what.is_empty()).then(|| serde_json::to_vec(&what).unwrap_or_default().into())
}

fn whats(batch: &[Item]) -> Vec<Arc<[Outdated]>> {
    batch.iter().map(|item| item.what.clone()).collect()
}

fn not_told(health: &Health, node: &Arc<Node>, batch: &[Item], why: &str) {
    tracing::warn!(
        node = node.id,
        "node was not told of an invalidation, it will validate everything, or catch up as a new process: {why}"
    );
    health.missed(node, Some(&whats(batch)));
}
