//! The view that workers route by: immutable but for the health marks and load counts of its nodes.

use super::handover::{Handover, Millis};
use super::latency::Gauge;
use crate::config::Address;
use crate::ring::Ring;
use crate::wire::link;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use tokio::sync::oneshot;

/// A numbered ring with its nodes. `nodes[i]` is `ring.members()[i]`.
#[derive(Debug)]
pub struct View {
    /// Grows with every change of members; persistent.
    pub epoch: u64,
    pub ring: Arc<Ring>,
    pub nodes: Vec<Arc<Node>>,
    /// Those of the cluster's nodes that are not on the ring: they drain.
    pub beside: Vec<Arc<Node>>,
    /// Who owned what before. `None`: the last change was long ago.
    pub handover: Option<Handover>,
}

impl View {
    pub fn new(epoch: u64, ring: Ring, nodes: Vec<Arc<Node>>) -> View {
        View { epoch, ring: Arc::new(ring), nodes, beside: Vec::new(), handover: None }
    }

    /// With those of `all` that are not on its ring.
    pub fn beside(mut self, all: impl Iterator<Item = Arc<Node>>) -> View {
        self.beside = all.filter(|node| self.ring.index_of(&node.id).is_none()).collect();
        self
    }

    /// As the view that follows `old`, whose owners are asked first for `time` from now on.
    pub fn after(mut self, old: &View, now: Millis, time: Millis) -> View {
        let known = |id: &str| self.node(id).or_else(|| old.node(id));
        let mut handover = old.handover.clone().unwrap_or_default().seated(known);
        if self.epoch != old.epoch && self.ring.digest() != old.ring.digest() {
            handover.begin(old.ring.clone(), known, now.saturating_add(time));
        }
        self.handover = handover.at(now, time);
        self
    }

    /// The same without what has ended by now. `None`: nothing has.
    pub fn without_ended(&self, now: Millis, time: Millis) -> Option<View> {
        let ends = self.handover.as_ref()?.next_end()?;
        (ends <= now).then(|| View {
            epoch: self.epoch,
            ring: self.ring.clone(),
            nodes: self.nodes.clone(),
            beside: self.beside.clone(),
            handover: self.handover.as_ref().and_then(|handover| handover.at(now, time)),
        })
    }

    pub fn node(&self, id: &str) -> Option<Arc<Node>> {
        self.nodes.get(self.ring.index_of(id)?).cloned()
    }
}

/// A node as the front sees it. The same `Arc` lives on from view to view while id and address stay.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub address: Address,
    /// As in the newest view's ring.
    weight: AtomicU32,
    /// Runs on this machine: Unix socket or loopback address.
    pub same_machine: bool,
    /// Requests are sent there. False: refused, dead or silent, passed over.
    up: AtomicBool,
    /// It may hold what has been purged or made invalid, until it has been told to validate.
    doubtful: AtomicBool,
    /// It has been away, not long ago: whoever stood in for it holds what it lacks.
    returned: AtomicBool,
    /// Since this was last asked, a request.
    answered: AtomicBool,
    /// As other nodes are told of it; `None` where its address cannot stand in a field.
    pub introduction: Option<Box<str>>,
    /// Boot id of the process behind the address, 0 before the first answer.
    pub boot: AtomicU64,
    /// Requests under way from this front.
    pub load: AtomicU32,
    /// Whether it is slow on what it holds.
    pub pace: Gauge,
}

impl Node {
    pub fn new(id: String, address: Address, weight: u32, same_machine: bool) -> Node {
        let introduction = link::introduction(&id, &address.to_string());
        Node {
            id,
            address,
            introduction,
            weight: AtomicU32::new(weight),
            same_machine,
            up: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            returned: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            boot: AtomicU64::new(0),
            load: AtomicU32::new(0),
            pace: Gauge::default(),
        }
    }
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }
    /// Told by whoever publishes a view in which it changed.
    pub(in crate::cluster) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }
    pub fn set_doubtful(&self, doubtful: bool) {
        self.doubtful.store(doubtful, Ordering::Release);
    }
    pub fn has_returned(&self) -> bool {
        self.returned.load(Ordering::Relaxed)
    }
    pub fn set_returned(&self, returned: bool) {
        self.returned.store(returned, Ordering::Relaxed);
    }
    /// It has answered a request, with whatever.
    pub fn note_answer(&self) {
        // Nearly always it is known, and then all workers only read.
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
    }
    /// Whether it has answered a request since this was asked last.
    pub(in crate::cluster) fn has_answered_meanwhile(&self) -> bool {
        self.answered.swap(false, Ordering::Relaxed)
    }
    /// Returns whether this changed it.
    pub fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::AcqRel) != up
    }
}

/// What a worker needs of the control plane. Cheap to clone; nothing here blocks.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The current view. A worker keeps an `Arc` of it and looks again only when `has_changed`.
    pub views: tokio::sync::watch::Receiver<Arc<View>>,
    /// Grows whenever some node's `up` changes: then requests that wait on a node that is not up go elsewhere.
    pub health: tokio::sync::watch::Receiver<u64>,
    /// Bounded: count what does not fit.
    pub reports: super::report::Reports,
}

/// What a worker tells the control plane.
#[derive(Debug)]
pub enum Report {
    /// A connection was refused: the worker has already called `set_up(false)`; probe it at once.
    Refused(Arc<Node>),
    /// A request has waited for some time, or a connection was lost: probe it at once, out of turn.
    Suspect(Arc<Node>),
    /// An answer through `by` to an unsafe method made these invalid: tell the other nodes. `told` is dropped when
    /// that has been done.
    Invalidated { what: Vec<Outdated>, by: Arc<Node>, told: oneshot::Sender<()> },
}

/// What became invalid, as `POST /invalidate` says it (docs/link.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outdated {
    Url(String),
    /// Groups (RFC 9875) of an origin.
    Groups {
        origin: String,
        groups: Vec<String>,
    },
    /// Somebody has got a newer answer, so that other copies are not to be used any more; the owner's is.
    Renewed {
        renewed: String,
    },
}
