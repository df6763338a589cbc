//! A node as a front sees it, and the marks that it bears from view to view.

use super::able::AbleNodes;
use super::latency::Gauge;
use crate::config::Address;
use crate::wire::link;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A point on the steady clock, in milliseconds.
pub type Millis = u64;

/// A node as the front sees it. The same `Arc` lives on from view to view while id and address stay.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub address: Address,
    /// Of the address, where that has one and not a name.
    pub ip: Option<IpAddr>,
    /// As in the newest view's ring.
    weight: AtomicU32,
    /// Runs on this machine: Unix socket or loopback address.
    pub same_machine: bool,
    /// Requests are sent there. False: refused, dead or silent, passed over.
    up: AtomicBool,
    /// It has proved itself inside TLS: no connection to it is in clear any more.
    encrypted: AtomicBool,
    /// It does with https URLs what this process does ([`crate::wire::https::rules`]), as far as it has said.
    agreed: AtomicBool,
    /// It may hold what has been purged or made invalid, until it has been told to validate.
    doubtful: AtomicBool,
    /// It has been away, not long ago: whoever stood in for it holds what it lacks.
    returned: AtomicBool,
    /// Since this was last asked, a request.
    answered: AtomicBool,
    /// As other nodes are told of it; `None` where its address cannot stand in a field.
    pub introduction: Option<Box<str>>,
    /// What the process behind the address holds, 0 before it has said so: its boot id or, with a disk, that one's lineage.
    pub memory: AtomicU64,
    /// The boot id of the process behind the address, 0 before it has said so.
    boot: AtomicU64,
    /// Requests under way from this front.
    pub load: AtomicU32,
    /// Whether it is slow on what it holds. To be told what it may be sent by [`Node::allow`].
    pub pace: Gauge,
    /// Whether it answers for what it owns, see [`Node::answers`], and when it last began to and ceased to.
    answers: AtomicBool,
    began: AtomicU64,
    ceased: AtomicU64,
}

impl Node {
    pub fn new(id: String, address: Address, weight: u32, same_machine: bool) -> Node {
        let introduction = link::introduction(&id, &address.to_string());
        Node {
            id,
            ip: address.ip(),
            address,
            introduction,
            weight: AtomicU32::new(weight),
            same_machine,
            up: AtomicBool::new(false),
            encrypted: AtomicBool::new(false),
            agreed: AtomicBool::new(true),
            doubtful: AtomicBool::new(false),
            returned: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            memory: AtomicU64::new(0),
            boot: AtomicU64::new(0),
            load: AtomicU32::new(0),
            pace: Gauge::default(),
            answers: AtomicBool::new(false),
            began: AtomicU64::new(0),
            ceased: AtomicU64::new(0),
        }
    }
    /// The same as one that this process has spoken TLS with before, if it has.
    pub(in crate::cluster) fn known(mut self, able: &AbleNodes) -> Node {
        self.encrypted = AtomicBool::new(able.has(&self.id));
        self
    }
    /// What is said there is heard by nobody else, on each connection that is opened from now on.
    pub fn is_private(&self) -> bool {
        self.address.is_private() || self.encrypted.load(Ordering::Acquire)
    }
    pub fn set_encrypted(&self) {
        self.encrypted.store(true, Ordering::Release);
    }
    pub fn is_agreed(&self) -> bool {
        self.agreed.load(Ordering::Acquire)
    }
    pub fn set_agreed(&self, agreed: bool) {
        self.agreed.store(agreed, Ordering::Release);
    }
    /// Told by whoever publishes a view in which it changed.
    pub(in crate::cluster) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }
    pub fn boot(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }
    pub(in crate::cluster) fn set_boot(&self, boot: u64) {
        self.boot.store(boot, Ordering::Relaxed);
    }
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }
    pub fn set_doubtful(&self, doubtful: bool, now: Millis) {
        self.doubtful.store(doubtful, Ordering::Release);
        self.turn(now);
    }
    /// So many requests may be sent there until it is judged again; `None`: all that it owns.
    pub fn allow(&self, requests: Option<u32>, now: Millis) {
        self.pace.allow(requests);
        self.turn(now);
    }
    /// It is asked first for what it owns: it is up, neither slow nor in doubt. While it is not, others answer in its place, and may
    /// get something newer than what it holds.
    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Acquire)
    }
    /// Since when it has done so, or did until it ceased to.
    pub fn began(&self) -> Millis {
        self.began.load(Ordering::Relaxed)
    }
    /// When it last ceased to.
    pub fn ceased(&self) -> Millis {
        self.ceased.load(Ordering::Relaxed)
    }

    /// Notes whether that has changed. Two who find at one moment that it has note the same time.
    fn turn(&self, now: Millis) {
        let answers = self.is_up() && !self.is_doubtful() && !self.pace.is_slow();
        if self.answers() != answers {
            let moment = if answers { &self.began } else { &self.ceased };
            moment.store(now, Ordering::Relaxed);
            self.answers.store(answers, Ordering::Release);
        }
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
    pub fn set_up(&self, up: bool, now: Millis) -> bool {
        let changed = self.up.swap(up, Ordering::AcqRel) != up;
        self.turn(now);
        changed
    }
}
