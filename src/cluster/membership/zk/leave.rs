//! The end of a node that others can take over from: it is taken off the ring, and whoever owns its keys then fetches
//! what it holds (docs/link.md, Hand-over at the end). It goes on answering all the while.

use super::client::{Kind, Session, Trouble};
use super::record::{self, FrontRecord, Records, Registration, RingDoc, written};
use super::register::Station;
use crate::clock::tick;
use crate::cluster::link::Link;
use crate::cluster::views::Node;
use crate::config::Address;
use crate::ring::Ring;
use crate::store::{Entry, Mark};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Between two looks at the records.
const LOOK: Duration = Duration::from_millis(50);
/// How much longer than a session it may take until the ring follows: then another front leads.
const SLACK: Duration = Duration::from_secs(2);
/// All fronts have applied the ring by then.
const APPLIED: Duration = Duration::from_secs(1);
/// What is offered at once: so many entries, and so many bytes of their names.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 128 * 1024;
/// For a batch to be fetched.
const PATIENCE: Duration = Duration::from_secs(10);

/// One stored answer, by what it is asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub url: String,
    /// The fields that select it: `name:value` lines; a name alone is a field that the request had not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selecting: String,
    /// It is for clients on its machine only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

/// `POST /adopt`: what the node at `address` is about to give up, the most recently used first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopt {
    pub id: String,
    pub address: String,
    pub held: Vec<Held>,
}

/// What is answered to that: how many of them are there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    pub adopted: usize,
}

/// Who takes over.
struct Heirs {
    ring: Ring,
    /// By the number of the ring's member.
    nodes: Vec<Option<Arc<Node>>>,
}

/// Hands over what `held` names, the best first. Returns when that is done, when nobody is there to take it, or when the
/// time is over.
pub async fn leave(session: &Session, station: &Station, held: impl Fn() -> Vec<Arc<Entry>>) {
    let (begun, limit) = (tick(), station.drain.mul_f32(0.9));
    let heirs = match timeout(limit.min(station.settings.session + SLACK), heirs(session, station)).await {
        Ok(Ok(Some(heirs))) => heirs,
        Ok(Ok(None)) => return,
        Ok(Err(trouble)) => return tracing::warn!(node = station.id, "nothing is handed over: {trouble}"),
        Err(_) => return tracing::warn!(node = station.id, "nothing is handed over: the ring has not followed"),
    };
    let (mut tasks, mut all, mut done) = (JoinSet::new(), 0, 0);
    for (heir, entries) in heirs.shares(held(), &station.registration.address) {
        all += entries.len();
        tasks.spawn(hand(Link::new(&station.cluster), station.id.clone(), heir, station.own_address(), entries));
    }
    let left = || limit.saturating_sub(tick().since(begun));
    while let Ok(Some(handed)) = timeout(left(), tasks.join_next()).await {
        done += handed.unwrap_or(0);
    }
    tracing::info!(node = station.id, "handed over {done} of {all} stored answers in {:?}", tick().since(begun));
}

/// Says that this node leaves, and waits until the ring is without it. `None`: nobody takes over.
async fn heirs(session: &Session, station: &Station) -> Result<Option<Heirs>, Trouble> {
    loop {
        match says_so(session, station).await {
            // Its connection is looked for.
            Err(Trouble::Unknown(_)) => sleep(LOOK).await,
            done => return done,
        }
    }
}

async fn says_so(session: &Session, station: &Station) -> Result<Option<Heirs>, Trouble> {
    let leaving = Registration { leaving: true, ..station.registration.clone() };
    session.update(Kind::Nodes, &station.id, &written(&leaving)).await?;
    loop {
        let nodes: Records<Registration> = record::read(&session.all(Kind::Nodes).await?).0;
        let stays = |(id, node): (&String, &Registration)| *id != station.id && !node.leaving;
        if !nodes.iter().any(stays) || session.ids(Kind::Fronts).await?.is_empty() {
            return Ok(None);
        }
        let doc = session.ring().await?.and_then(|(data, _)| RingDoc::read(&data));
        // Nor with others that leave at the same time.
        let leaves = |id: &str| id == station.id || nodes.get(id).is_some_and(|node| node.leaving);
        if let Some(doc) = doc.filter(|doc| !doc.members.iter().any(|member| leaves(&member.id))) {
            let _ = timeout(APPLIED, applied(session, doc.epoch)).await;
            return Ok(Some(Heirs::new(&doc, &nodes)));
        }
        sleep(LOOK).await;
    }
}

/// Waits until every front routes by this ring.
async fn applied(session: &Session, epoch: u64) -> Result<(), Trouble> {
    loop {
        let fronts: Records<FrontRecord> = record::read(&session.all(Kind::Fronts).await?).0;
        if fronts.values().all(|front| front.epoch >= epoch) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

impl Heirs {
    fn new(doc: &RingDoc, nodes: &Records<Registration>) -> Heirs {
        let ring = doc.ring();
        let placed = |id: &str| doc.members.iter().find(|member| member.id == id).map(|member| &member.address);
        let address = |id: &str| nodes.get(id).map(|node| &node.address).or_else(|| placed(id)).cloned();
        let node = |id: &str| Some(Arc::new(Node::new(id.to_owned(), address(id)?, 1, false)));
        let nodes = ring.members().iter().map(|member| node(&member.id)).collect();
        Heirs { ring, nodes }
    }

    /// What each of them gets, in the order that it came in.
    fn shares(&self, entries: Vec<Arc<Entry>>, own: &Address) -> Vec<(Arc<Node>, Vec<Arc<Entry>>)> {
        let mut shares: Vec<_> = self.nodes.iter().map(|node| node.clone().map(|node| (node, Vec::new()))).collect();
        for entry in entries {
            let owner = std::str::from_utf8(entry.key()).ok().and_then(|key| self.ring.owner(self.ring.position(key)));
            let Some(Some((node, share))) = owner.and_then(|owner| shares.get_mut(owner)) else { continue };
            let address = &node.address;
            // What only this machine may have is for a node on this machine.
            if entry.mark == Mark::Anyone || address.host() == own.host() || (address.is_local() && own.is_local()) {
                share.push(entry);
            }
        }
        shares.into_iter().flatten().filter(|(_, share)| !share.is_empty()).collect()
    }
}

/// Has one of them fetch its share; how much of it is there then.
async fn hand(link: Link, id: String, heir: Arc<Node>, own: String, entries: Vec<Arc<Entry>>) -> usize {
    let (mut rest, mut done) = (entries.into_iter().filter_map(|entry| name(&entry)).peekable(), 0);
    while rest.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(held) = rest.next()
        {
            bytes += held.url.len() + held.selecting.len();
            batch.push(held);
        }
        let body = serde_json::to_vec(&Adopt { id: id.clone(), address: own.clone(), held: batch }).unwrap_or_default();
        match link.call(&heir, Method::POST, "/adopt", Some(Bytes::from(body)), PATIENCE).await {
            Ok((StatusCode::OK, answer)) => {
                done += serde_json::from_slice::<Adopted>(&answer).map_or(0, |answer| answer.adopted);
            }
            Ok((status, _)) => {
                tracing::warn!(node = id, heir = heir.id, %status, "what is held here is not taken over there");
                return done;
            }
            Err(trouble) => {
                tracing::warn!(node = id, heir = heir.id, "what is held here is not taken over there: {trouble}");
                return done;
            }
        }
    }
    done
}

/// `None`: it can't be written down.
fn name(entry: &Entry) -> Option<Held> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let (url, selecting) = (text(entry.key())?, text(entry.selecting())?);
    Some(Held { url, selecting, local: entry.mark == Mark::SameMachine })
}
