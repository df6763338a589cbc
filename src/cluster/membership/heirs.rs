//! Who takes over what a node is about to give up, and how it is offered to them (docs/link.md, Hand-over at the end).

use super::members::MAX_POINTS;
use crate::clock::tick;
use crate::cluster::link::Link;
use crate::cluster::views::{Node, View};
use crate::config::{self, Address};
use crate::ring::{Hash, Member, Ring};
use crate::store::{Entry, Mark};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What is offered at once: so many entries, and so many bytes of their names.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 128 * 1024;
/// For a batch to be fetched.
const PATIENCE: Duration = Duration::from_secs(10);

/// One stored answer, by what it is asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
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
    pub held: Vec<HeldAnswer>,
}

/// What is answered to that: how many of them are there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    pub adopted: usize,
}

/// `POST /handover`: who takes over from the node that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takers {
    /// The address of the node that gives up, as they are told it.
    pub from: String,
    pub hash: Hash,
    pub points: u32,
    pub members: Vec<Taker>,
}

/// A member of the ring that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taker {
    pub id: String,
    pub weight: u32,
    /// `None`: it gets nothing, because one of the two does not reach the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What is answered to that: so many of so many are there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub handed: usize,
    pub held: usize,
}

/// The ring that follows, with its nodes.
pub struct Heirs {
    ring: Ring,
    /// By the number of the ring's member.
    nodes: Vec<Option<Arc<Node>>>,
}

/// A node that gives up what it holds.
pub struct Giver<'a> {
    pub id: &'a str,
    /// As others reach it.
    pub address: &'a Address,
    pub secrets: &'a config::ClusterConfig,
}

impl Giver<'_> {
    /// Hands over what is held, the best first. Returns when that is done, or when the time is over.
    pub async fn give(&self, heirs: &Heirs, held: Vec<Arc<Entry>>, limit: Duration) -> Given {
        let (begun, mut tasks, mut given) = (tick(), JoinSet::new(), Given { handed: 0, held: 0 });
        for (heir, entries) in heirs.shares(held, self.address) {
            given.held += entries.len();
            tasks.spawn(hand(Link::new(self.secrets), self.id.to_owned(), heir, self.address.to_string(), entries));
        }
        let left = || limit.saturating_sub(tick().since(begun));
        while let Ok(Some(handed)) = timeout(left(), tasks.join_next()).await {
            given.handed += handed.unwrap_or(0);
        }
        given
    }
}

impl Takers {
    /// Who takes over when the node at `from` gives up what it holds.
    pub fn of(view: &View, from: &Node) -> Takers {
        // An address must not be one that means another place where it is read.
        let reach = |node: &Node| {
            from.same_machine && node.same_machine || !from.address.is_local() && !node.address.is_local()
        };
        let taker = |(member, node): (&Member, &Arc<Node>)| Taker {
            id: member.id.clone(),
            weight: member.weight,
            address: (node.is_up() && reach(node)).then(|| node.address.to_string()),
        };
        let members = view.ring.members().iter().zip(&view.nodes).map(taker).collect();
        Takers { from: from.address.to_string(), hash: view.ring.hash(), points: view.ring.points(), members }
    }

    pub fn is_anyone(&self) -> bool {
        self.members.iter().any(|taker| taker.address.is_some())
    }

    /// `None`: no ring is as large.
    pub fn heirs(&self) -> Option<Heirs> {
        let weight: u64 = self.members.iter().map(|taker| u64::from(taker.weight)).sum();
        if weight.saturating_mul(u64::from(self.points)) > MAX_POINTS {
            return None;
        }
        let members = self.members.iter().map(|taker| Member { id: taker.id.clone(), weight: taker.weight });
        let address = |id: &str| self.members.iter().find(|taker| taker.id == id)?.address.as_ref()?.parse().ok();
        Some(Heirs::new(Ring::new(self.hash, self.points, members), address))
    }
}

impl Heirs {
    pub fn new(ring: Ring, address: impl Fn(&str) -> Option<Address>) -> Heirs {
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
    let is_https = |entry: &Arc<Entry>| entry.key().starts_with(b"https://");
    // What came encrypted is named on no link in clear, and the heir asks for it on none. Whether this one is, is known once it
    // was there.
    let may_hear = heir.is_private()
        || entries.iter().any(is_https)
            && matches!(timeout(PATIENCE, link.connect(&heir)).await, Ok(Ok(_)))
            && heir.is_private();
    let named = entries.into_iter().filter(|entry| may_hear || !is_https(entry)).filter_map(|entry| name(&entry));
    let (mut rest, mut done) = (named.peekable(), 0);
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
fn name(entry: &Entry) -> Option<HeldAnswer> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let (url, selecting) = (text(entry.key())?, text(entry.selecting())?);
    Some(HeldAnswer { url, selecting, local: entry.mark == Mark::SameMachine })
}
