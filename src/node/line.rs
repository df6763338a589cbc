//! The connections to one other node, and one exchange on one of them.

use super::peer::{PeerLimits, RemotePeer};
use crate::clock::Tick;
use crate::net::http1::{self, Answer, Conn, ConnWant, ExchangeError, Exchanged, Pool, Question, Room};
use crate::net::rules::Reach;
use crate::net::shares::ClientId;
use crate::net::{descriptors, prove};
use crate::wire::fault::{Fault, Kind};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub struct PeerLink {
    peer: RemotePeer,
    limits: Rc<PeerLimits>,
    pool: Rc<Pool>,
    backoff: Cell<PeerBackoff>,
    /// We had no file for a connection, which says nothing of the node.
    lacking: Cell<bool>,
}

/// For how long a node that did not answer is left alone: briefly at first, which a moment of much work costs little, and
/// ever longer, up to a second, while it goes on.
#[derive(Clone, Copy, Debug, Default)]
struct PeerBackoff {
    until: u64,
    failures: u32,
}

const FIRST: u64 = 50;
const LONGEST: u64 = 1000;

impl PeerBackoff {
    /// What fails while it is left alone was asked before, and fails for the same reason.
    fn failed(self, now: Tick) -> PeerBackoff {
        if self.lasts(now) {
            return self;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        PeerBackoff { until: now.0.saturating_add(pause), failures: self.failures.saturating_add(1) }
    }

    fn lasts(self, now: Tick) -> bool {
        now.0 < self.until
    }
}

impl PeerLink {
    pub fn new(peer: RemotePeer, limits: Rc<PeerLimits>) -> PeerLink {
        // Who finds all of them in use asks the origin.
        let (connections, idle) = (limits.connections, limits.idle);
        let room = Room { connections, queue: 0, queue_time: Duration::ZERO, idle, age: Duration::MAX };
        let pool = Rc::new(Pool::new(&peer.id, room, limits.http.clone()));
        PeerLink { peer, limits, pool, backoff: Cell::default(), lacking: Cell::default() }
    }

    pub fn is_left_alone(&self, now: Tick) -> bool {
        self.backoff.get().lasts(now)
    }

    /// It was refused, or silent for too long.
    pub fn failed(&self, now: Tick) {
        if self.lacking.take() {
            return;
        }
        self.backoff.set(self.backoff.get().failed(now));
        self.pool.clear();
    }

    /// It answered.
    pub fn answered(&self) {
        self.backoff.take();
    }

    /// Closes what was idle for too long; whether there is a reason to remember this node.
    pub fn sweep(&self, now: Tick) -> bool {
        self.pool.sweep() > 0 || Rc::strong_count(&self.pool) > 1 || self.is_left_alone(now)
    }

    /// Sends a request (absolute-form, without a body) and waits for the head of the answer. Dropping it closes the connection.
    pub async fn exchange(&self, question: &Question<'_>) -> Result<Answer, ExchangeError> {
        let want = ConnWant { pool: &self.pool, of: ClientId::OURS, pins: None, same_machine: true };
        match http1::ask(&want, question, None, async |_| self.open().await).await? {
            Exchanged::Answer(answer) => Ok(*answer),
            Exchanged::Message(_) => Err(ExchangeError::Unread("no message was to be made of it")),
        }
    }

    async fn open(&self) -> Result<Conn, ExchangeError> {
        let RemotePeer { address, id, .. } = &self.peer;
        match prove::reach(address, id, &self.limits.cluster, || true).await {
            Ok(stream) if self.peer.privately && !stream.is_private() => {
                let what = "the other node does not speak TLS, and https is asked for on no connection in clear";
                Err(ExchangeError::Unconnected(Fault::node(Kind::ConnectionRefused, what)))
            }
            Ok(stream) => Ok(Conn::new(stream, Reach::Anyone)),
            Err(e) => {
                self.lacking.set(descriptors::is_our_lack(&e));
                let fault = Fault::node(Kind::ConnectionRefused, "no connection to the other node");
                Err(ExchangeError::Unconnected(fault.because(e)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_goes_on_failing_is_left_alone_for_ever_longer_up_to_a_second() {
        let mut backoff = PeerBackoff::default();
        let mut now = 7;
        for pause in [50, 100, 200, 400, 800, 1000, 1000] {
            assert!(!backoff.lasts(Tick(now)));
            backoff = backoff.failed(Tick(now));
            // A second question that was under way as well.
            backoff = backoff.failed(Tick(now + 1));
            assert!(backoff.lasts(Tick(now + pause - 1)) && !backoff.lasts(Tick(now + pause)), "{pause}");
            now += pause;
        }
    }
}
