//! PURE. The list of members: the file's nodes and what the admin API changed, and the view that they make.

use super::spec::MAX_ADDED;
use super::state::Delta;
use crate::cluster::views::{AbleNodes, Node, View};
use crate::config::{self, Address, MAX_WEIGHT, NodePlace};
use crate::ring::{Hash, Member, Ring};
use std::collections::BTreeMap;
use std::fmt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a change was not made.
#[derive(Debug)]
pub enum ChangeError {
    Refused(ChangeRefusal),
    /// It could not be saved.
    NotSaved {
        file: String,
        error: String,
    },
    /// Where changes are kept cannot be reached; a sentence that says what became of this one.
    Unavailable(String),
}

impl From<ChangeRefusal> for ChangeError {
    fn from(refusal: ChangeRefusal) -> ChangeError {
        ChangeError::Refused(refusal)
    }
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Refused(refusal) => refusal.fmt(f),
            ChangeError::NotSaved { file, error } => {
                write!(f, "{file}: {error}: nothing was changed; make the file writable, or set [state] path")
            }
            ChangeError::Unavailable(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ChangeError {}

/// The members at one moment. A change makes a new value, so that it can be saved before it is true.
#[derive(Clone, Debug)]
pub struct Members {
    hash: Hash,
    points: u32,
    /// Where spawned nodes have their sockets; `None`: this front spawns none.
    sockets: Option<PathBuf>,
    file: Vec<config::NodeConfig>,
    delta: Delta,
    seats: BTreeMap<String, MemberSeat>,
    able: AbleNodes,
}

/// A node's place in the cluster.
#[derive(Clone, Debug)]
pub struct MemberSeat {
    pub spec: config::NodeConfig,
    pub state: MemberState,
    pub node: Arc<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// On the ring.
    Active,
    /// Off the ring by `drain`, until it is resumed or removed.
    Draining,
    /// Removed; stays until its requests are done.
    Leaving,
}

impl MemberState {
    /// As the admin API writes it.
    pub fn name(self) -> &'static str {
        match self {
            MemberState::Active => "active",
            MemberState::Draining | MemberState::Leaving => "draining",
        }
    }
}

/// A ring of more points takes too long to build and too much memory; the file is held to the same.
pub const MAX_POINTS: u64 = 1 << 22;

/// What may be done to the list.
#[derive(Clone, Debug)]
pub enum Change {
    Add(config::NodeConfig),
    Weight(String, u32),
    Drain(String),
    Resume(String),
    /// Off the ring and out of the state file; [`Change::Forget`] ends it.
    Remove(String),
    Forget(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Add(node) => write!(f, "node {} is added", node.id),
            Change::Weight(id, weight) => write!(f, "node {id} has the weight {weight}"),
            Change::Drain(id) => write!(f, "node {id} drains: its keys go to the next owners"),
            Change::Resume(id) => write!(f, "node {id} has its keys again"),
            Change::Remove(id) => write!(f, "node {id} is removed: its keys go to the next owners"),
            Change::Forget(id) => write!(f, "node {id} is forgotten"),
        }
    }
}

/// Why a change is refused; each says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefusal {
    Unknown(String),
    Duplicate(String),
    AddressTaken {
        address: String,
        by: String,
    },
    Leaving(String),
    CannotSpawn(String),
    /// The specification itself is wrong; a sentence that names the cure.
    Bad(String),
    Weight {
        id: String,
        weight: u32,
    },
    TooManyPoints {
        most: u64,
    },
    /// No more are spawned on this machine.
    TooManySpawned {
        most: usize,
    },
}

impl Members {
    /// `file` are the nodes of the configuration; `delta` is what was saved.
    pub fn new(
        ring: &config::RingConfig,
        file: &[config::NodeConfig],
        delta: Delta,
        sockets: Option<&Path>,
    ) -> Members {
        let mut members = Members {
            hash: ring.hash,
            points: ring.points,
            sockets: sockets.map(Path::to_owned),
            file: file.to_vec(),
            delta: delta.without_leftovers(file),
            seats: BTreeMap::new(),
            able: AbleNodes::default(),
        };
        for spec in members.delta.apply(file) {
            let state =
                if members.delta.draining.contains(&spec.id) { MemberState::Draining } else { MemberState::Active };
            // A front that spawns nothing has no way to the nodes that the file marks `spawn`.
            if let Some(node) = members.node_of(&spec) {
                members.seats.insert(spec.id.clone(), MemberSeat { spec, state, node });
            }
        }
        members
    }

    /// Which of those that come later are known to speak TLS.
    pub fn knowing(self, able: AbleNodes) -> Members {
        Members { able, ..self }
    }

    /// What is to be saved.
    pub fn delta(&self) -> &Delta {
        &self.delta
    }

    pub fn seats(&self) -> impl Iterator<Item = &MemberSeat> {
        self.seats.values()
    }

    pub fn seat(&self, id: &str) -> Option<&MemberSeat> {
        self.seats.get(id)
    }

    /// The first of `n1`, `n2`… that nobody has.
    pub fn free_id(&self) -> String {
        let taken = |id: &String| self.seats.contains_key(id) || self.file.iter().any(|n| n.id == *id);
        (1u64..).map(|i| format!("n{i}")).find(|id| !taken(id)).unwrap_or_default()
    }

    /// The ring of the active members with their nodes.
    pub fn view(&self) -> View {
        let ring = Ring::new(self.hash, self.points, self.active());
        let nodes: Vec<Arc<Node>> =
            ring.members().iter().filter_map(|m| self.seats.get(&m.id)).map(|seat| seat.node.clone()).collect();
        let all = self.seats.values().map(|seat| seat.node.clone());
        View::new(self.delta.epoch, ring, nodes).beside(all)
    }

    /// At start: a ring other than the saved one has an epoch of its own.
    pub fn settle_epoch(&mut self, digest: u64) {
        let digest = format!("{digest:016x}");
        if self.delta.digest != digest {
            self.delta.epoch += 1;
            self.delta.digest = digest;
        }
    }

    /// The members after `change`. The epoch grows when the ring does change.
    pub fn with(&self, change: Change) -> Result<Members, ChangeRefusal> {
        let mut next = self.clone();
        match change {
            Change::Add(spec) => next.add(spec)?,
            Change::Weight(id, weight) => next.set_weight(&id, weight)?,
            Change::Drain(id) => next.set_state(&id, MemberState::Draining)?,
            Change::Resume(id) => next.set_state(&id, MemberState::Active)?,
            Change::Remove(id) => next.remove(&id)?,
            Change::Forget(id) => drop(next.seats.remove(&id)),
        }
        if next.active().ne(self.active()) {
            let weights: u64 = next.active().map(|m| u64::from(m.weight)).sum();
            if weights * u64::from(next.points) > MAX_POINTS {
                return Err(ChangeRefusal::TooManyPoints { most: MAX_POINTS });
            }
            next.delta.epoch += 1;
            next.delta.digest = format!("{:016x}", next.view().ring.digest());
        }
        Ok(next)
    }

    /// The changes that lead back to the file's nodes. Who is to come comes before anybody goes, but for what stands in
    /// another's place.
    pub fn way_back(&self) -> Vec<Change> {
        let (mut come, mut go) = (Vec::new(), Vec::new());
        for node in self.file.iter().filter(|node| self.node_of(node).is_some()) {
            match self.seats.get(&node.id) {
                Some(seat) if seat.state != MemberState::Leaving && seat.spec.place == node.place => {
                    if seat.spec.weight != node.weight {
                        come.push(Change::Weight(node.id.clone(), node.weight));
                    }
                    if seat.state == MemberState::Draining {
                        come.push(Change::Resume(node.id.clone()));
                    }
                }
                Some(seat) => {
                    if seat.state != MemberState::Leaving {
                        go.push(Change::Remove(node.id.clone()));
                    }
                    go.push(Change::Add(node.clone()));
                }
                None => come.push(Change::Add(node.clone())),
            }
        }
        let named = |id: &str| self.file.iter().any(|node| node.id == id);
        let others = self.seats.values().filter(|seat| seat.state != MemberState::Leaving && !named(&seat.spec.id));
        go.extend(others.map(|seat| Change::Remove(seat.spec.id.clone())));
        come.into_iter().chain(go).collect()
    }

    fn active(&self) -> impl Iterator<Item = Member> {
        let active = self.seats.values().filter(|seat| seat.state == MemberState::Active);
        active.map(|seat| Member { id: seat.spec.id.clone(), weight: seat.spec.weight })
    }

    fn add(&mut self, spec: config::NodeConfig) -> Result<(), ChangeRefusal> {
        match self.seats.get(&spec.id) {
            Some(seat) if seat.state == MemberState::Leaving => return Err(ChangeRefusal::Leaving(spec.id)),
            Some(_) => return Err(ChangeRefusal::Duplicate(spec.id)),
            None => {}
        }
        let in_file = |id: &str| self.file.iter().any(|node| node.id == id && node.place == NodePlace::Spawn);
        let is_added = |node: &config::NodeConfig| node.place == NodePlace::Spawn && !in_file(&node.id);
        if is_added(&spec) && self.seats.values().filter(|seat| is_added(&seat.spec)).count() >= MAX_ADDED {
            return Err(ChangeRefusal::TooManySpawned { most: MAX_ADDED });
        }
        let node = self.node_of(&spec).ok_or_else(|| ChangeRefusal::CannotSpawn(spec.id.clone()))?;
        if let Some(other) = self.seats.values().find(|seat| seat.node.address == node.address) {
            return Err(ChangeRefusal::AddressTaken { address: node.address.to_string(), by: other.spec.id.clone() });
        }
        self.delta.add(&spec, &self.file);
        self.seats.insert(spec.id.clone(), MemberSeat { spec, state: MemberState::Active, node });
        Ok(())
    }

    fn set_weight(&mut self, id: &str, weight: u32) -> Result<(), ChangeRefusal> {
        if !(1..=MAX_WEIGHT).contains(&weight) {
            return Err(ChangeRefusal::Weight { id: id.to_owned(), weight });
        }
        self.seated(id)?.spec.weight = weight;
        self.delta.set_weight(id, weight, &self.file);
        Ok(())
    }

    fn set_state(&mut self, id: &str, state: MemberState) -> Result<(), ChangeRefusal> {
        self.seated(id)?.state = state;
        match state {
            MemberState::Active => self.delta.draining.remove(id),
            MemberState::Draining | MemberState::Leaving => self.delta.draining.insert(id.to_owned()),
        };
        Ok(())
    }

    fn remove(&mut self, id: &str) -> Result<(), ChangeRefusal> {
        self.seated(id)?.state = MemberState::Leaving;
        self.delta.remove(id, &self.file);
        Ok(())
    }

    fn seated(&mut self, id: &str) -> Result<&mut MemberSeat, ChangeRefusal> {
        match self.seats.get_mut(id) {
            Some(seat) if seat.state == MemberState::Leaving => Err(ChangeRefusal::Leaving(id.to_owned())),
            Some(seat) => Ok(seat),
            None => Err(ChangeRefusal::Unknown(id.to_owned())),
        }
    }

    fn node_of(&self, spec: &config::NodeConfig) -> Option<Arc<Node>> {
        let address = match &spec.place {
            NodePlace::At(address) => address.clone(),
            NodePlace::Spawn => Address::Unix(socket_path(self.sockets.as_deref()?, &spec.id)),
        };
        let same_machine = address.is_local();
        Some(Arc::new(Node::new(spec.id.clone(), address, spec.weight, same_machine).known(&self.able)))
    }
}

/// A socket's name may have 107 bytes on Linux, 103 elsewhere: a long id is replaced by its hash.
fn socket_path(dir: &Path, id: &str) -> PathBuf {
    let path = dir.join(format!("{id}.sock"));
    if path.as_os_str().len() < 100 {
        return path;
    }
    dir.join(format!("{:016x}.sock", xxhash_rust::xxh3::xxh3_64(id.as_bytes())))
}

impl fmt::Display for ChangeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeRefusal::Unknown(id) => {
                write!(f, "there is no node `{id}`: `ringhold nodes list` shows those that there are")
            }
            ChangeRefusal::Duplicate(id) => {
                write!(f, "there is a node `{id}` already: choose another id, or remove it first")
            }
            ChangeRefusal::AddressTaken { address, by } => {
                write!(f, "node `{by}` has the address {address} already: give this node one of its own")
            }
            ChangeRefusal::Leaving(id) => write!(f, "node `{id}` is being removed: wait until it is gone"),
            ChangeRefusal::CannotSpawn(id) => {
                write!(
                    f,
                    "this front runs no nodes itself, so it cannot spawn `{id}`: give an address, or use `ringhold serve`"
                )
            }
            ChangeRefusal::Bad(what) => f.write_str(what),
            ChangeRefusal::Weight { id, weight } => {
                write!(f, "node `{id}`: {weight} is not a weight; write 1 to {MAX_WEIGHT}")
            }
            ChangeRefusal::TooManySpawned { most } => write!(
                f,
                "{most} nodes run here besides those that the file names, and no more are added: write them into the file as \
                 [[nodes]]"
            ),
            ChangeRefusal::TooManyPoints { most } => {
                write!(f, "the ring would have more than {most} points; lower the weights, or [ring] points")
            }
        }
    }
}

impl std::error::Error for ChangeRefusal {}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
