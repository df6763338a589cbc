//! The other nodes, as this one knows them.

use super::barred::{Barred, origin};
use super::line::PeerLink;
use super::peer::{PeerLimits, RemotePeer, SIGN};
use crate::clock::{Tick, tick};
use crate::config::Config;
use crate::net::http1;
use crate::wire::answer::decode::Bounds;
use crate::wire::head_limits::HeadLimits;
use crate::wire::target::Key;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// So much later than the node that has the origin's word on the other side.
const MARGIN: Duration = Duration::from_secs(1);

/// Other nodes that are known at once; more than any hand-over has.
const LINES: usize = 1024;

/// The other nodes, as this one knows them.
pub struct Peers {
    lines: RefCell<HashMap<RemotePeer, Rc<PeerLink>>>,
    barred: RefCell<Barred>,
    limits: Rc<PeerLimits>,
}

impl Peers {
    pub fn new(config: &Config) -> Peers {
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        let head = limits.of_heads();
        // With room for what a node adds, as in the front.
        let head = HeadLimits { bytes: head.bytes.max(8192), ..head }.on_link();
        let first_byte = timeouts.first_byte;
        let http = http1::ClientLimits {
            bounds: Bounds { bytes: head.bytes, fields: head.fields },
            answer: first_byte,
            take: first_byte,
            give: first_byte,
            // A node that hands over what its own origin sends may be as quiet as that, and says so itself first.
            silence: timeouts.origin_silence + MARGIN,
            // It says again and again that it waits itself, for as long as `answer`.
            interim: (usize::MAX, usize::MAX),
        };
        let limits = PeerLimits {
            cluster: config.cluster.clone(),
            connections: limits.node_connections,
            idle: timeouts.idle / 2,
            http: Rc::new(http),
            answer: timeouts.peer,
            sign: timeouts.probe.max(2 * SIGN),
            first_byte,
        };
        Peers { lines: RefCell::default(), barred: RefCell::default(), limits: Rc::new(limits) }
    }

    pub fn limits(&self) -> &Rc<PeerLimits> {
        &self.limits
    }

    /// A URL became invalid here: other nodes may not know it yet.
    pub fn bar(&self, key: &Key) {
        self.barred.borrow_mut().bar(key.hash(), tick().0);
    }

    /// Something of an origin did.
    pub fn bar_origin(&self, of: &Key) {
        self.barred.borrow_mut().bar(origin(of), tick().0);
    }

    /// When it did, where that is not long ago.
    pub fn barred(&self, key: &Key) -> Option<Tick> {
        let (barred, now) = (self.barred.borrow(), tick().0);
        barred.since(key.hash(), now).max(barred.since(origin(key), now)).map(Tick)
    }

    /// Closes connections that have been idle for too long, and forgets nodes without any.
    pub fn sweep(&self) {
        let now = tick();
        self.lines.borrow_mut().retain(|_, line| line.sweep(now));
    }

    /// It did not answer in time lately.
    pub fn is_left_alone(&self, peer: &RemotePeer) -> bool {
        self.lines.borrow().get(peer).is_some_and(|line| line.is_left_alone(tick()))
    }

    /// `None`: it is left alone for now.
    pub fn line(&self, peer: &RemotePeer) -> Option<Rc<PeerLink>> {
        let mut lines = self.lines.borrow_mut();
        if let Some(line) = lines.get(peer) {
            return Some(line.clone()).filter(|line| !line.is_left_alone(tick()));
        }
        if lines.len() >= LINES {
            return None;
        }
        let line = Rc::new(PeerLink::new(peer.clone(), self.limits.clone()));
        lines.insert(peer.clone(), line.clone());
        Some(line)
    }
}
