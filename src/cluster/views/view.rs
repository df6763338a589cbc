//! The view that workers route by: immutable but for the health marks and load counts of its nodes.

use super::handover::Handover;
use super::node::{Millis, Node};
use super::report::Reports;
use crate::ring::Ring;
use crate::wire::target::Key;
use std::sync::Arc;
use tokio::sync::watch;

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
    /// When the ring was last changed. 0: it is the first.
    pub since: Millis,
    is_private: bool,
    /// When it was made, all of its nodes did with https URLs what this process does.
    is_agreed: bool,
}

impl View {
    pub fn new(epoch: u64, ring: Ring, nodes: Vec<Arc<Node>>) -> View {
        let (is_private, is_agreed) = (are_private(&nodes), are_agreed(&nodes));
        View { epoch, ring: Arc::new(ring), nodes, beside: Vec::new(), handover: None, since: 0, is_private, is_agreed }
    }

    /// With those of `all` that are not on its ring.
    pub fn beside(mut self, all: impl Iterator<Item = Arc<Node>>) -> View {
        self.beside = all.filter(|node| self.ring.index_of(&node.id).is_none()).collect();
        self.is_private &= are_private(&self.beside);
        self.is_agreed &= are_agreed(&self.beside);
        self
    }

    /// As the view that follows `old`, whose owners are asked first for `time` from now on.
    pub fn after(mut self, old: &View, now: Millis, time: Millis) -> View {
        let known = |id: &str| self.node(id).or_else(|| old.node(id));
        let mut handover = old.handover.clone().unwrap_or_default().seated(known);
        let changes = self.epoch != old.epoch && self.ring.digest() != old.ring.digest();
        if changes {
            handover.begin(old.ring.clone(), known, now, now.saturating_add(time));
        }
        self.since = if changes { now } else { old.since };
        self.handover = handover.at(now, time);
        self
    }

    /// The same without what has ended by now, and with what its nodes have shown since. `None`: it is as it was.
    pub fn renewed(&self, now: Millis, time: Millis) -> Option<View> {
        let has_ended = || self.handover.as_ref().and_then(Handover::next_end).is_some_and(|ends| ends <= now);
        (has_ended() || self.is_outdated()).then(|| View {
            epoch: self.epoch,
            ring: self.ring.clone(),
            nodes: self.nodes.clone(),
            beside: self.beside.clone(),
            handover: self.handover.as_ref().and_then(|handover| handover.at(now, time)),
            since: self.since,
            is_private: self.is_private || self.can_be_private(),
            is_agreed: self.can_be_agreed(),
        })
    }

    /// Whether the https of listed hosts can be answered: what is said to its nodes is heard by nobody else ([`Node::is_private`]),
    /// and they have the same rules for it ([`Node::is_agreed`]). It stays what it was when the view was made: so whoever keeps
    /// connections for a view knows that these were opened later.
    pub fn takes_https(&self) -> bool {
        self.is_private && self.is_agreed
    }

    /// Its nodes have been found to be otherwise since.
    pub fn is_outdated(&self) -> bool {
        self.can_be_private() || self.can_be_agreed() != self.is_agreed
    }

    fn can_be_private(&self) -> bool {
        !self.is_private && are_private(&self.nodes) && are_private(&self.beside)
    }

    fn can_be_agreed(&self) -> bool {
        are_agreed(&self.nodes) && are_agreed(&self.beside)
    }

    /// Whether they may be asked for a key: https is for those that nobody else hears. To be asked of the view that they are
    /// taken from, with no waiting in between.
    pub fn may_carry(&self, key: &Key) -> bool {
        self.is_private || key.scheme() != "https"
    }

    pub fn node(&self, id: &str) -> Option<Arc<Node>> {
        self.nodes.get(self.ring.index_of(id)?).cloned()
    }
}

fn are_private(nodes: &[Arc<Node>]) -> bool {
    nodes.iter().all(|node| node.is_private())
}

fn are_agreed(nodes: &[Arc<Node>]) -> bool {
    nodes.iter().all(|node| node.is_agreed())
}

/// What a worker needs of the control plane. Cheap to clone; nothing here blocks.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The current view. A worker keeps an `Arc` of it and looks again only when `has_changed`.
    pub views: watch::Receiver<Arc<View>>,
    /// Grows whenever some node's `up` changes: then requests that wait on a node that is not up go elsewhere.
    pub health: watch::Receiver<u64>,
    /// Bounded: count what does not fit.
    pub reports: Reports,
}
