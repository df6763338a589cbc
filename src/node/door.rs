//! Who comes in at a node, and for how long who has proved nothing may stay.

use super::CacheNode;
use super::caller::Caller;
use crate::clock::{Tick, tick};
use crate::net::descriptors;
use crate::net::listen::Peer;
use crate::net::serve::Connections;
use crate::net::shares::{ClientId, Seat, Seats};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// A front proves itself at once; who has been silent for so long gives way to the next.
const SILENT: Duration = Duration::from_millis(100);
/// Between two looks whether somebody has given way.
const AGAIN: Duration = Duration::from_millis(50);

/// The door of a node.
pub struct Door {
    node: Rc<CacheNode>,
    connections: Connections,
    seats: Seats,
    strangers: Seats,
    /// In the order in which they came.
    unproved: RefCell<VecDeque<Unproved>>,
}

struct Unproved {
    caller: Weak<Caller>,
    connection: AbortHandle,
    since: Tick,
}

impl Door {
    pub fn new(node: Rc<CacheNode>, connections: Connections) -> Door {
        let most = descriptors::for_fronts();
        let strangers = Seats::new((most / 8).clamp(1, 256));
        Door { node, connections, seats: Seats::new(most), strangers, unproved: RefCell::default() }
    }

    /// Makes room for a file that we have not: what is idle goes. False: nothing is.
    pub fn relieve(&self) -> bool {
        self.node.origins.close_longest_idle() || self.connections.close_longest_idle(None)
    }

    /// Waits for room for one more: what has been idle for longest gives way.
    pub async fn seat(&self) -> Seat {
        loop {
            // Whoever is a front may have all there are: it keeps its clients to their shares.
            if let Ok(seat) = self.seats.take(ClientId::OURS) {
                return seat;
            }
            self.connections.close_longest_idle(None);
            _ = timeout(AGAIN, self.seats.freed()).await;
        }
    }

    /// Whether who comes here has to prove that it is a front.
    fn asks(&self, peer: &Peer) -> bool {
        peer.addr.is_some() && self.node.config.cluster.secret.is_some()
    }

    /// Waits for room for one more who has proved nothing. `None`: it need not.
    pub async fn seat_of_stranger(&self, peer: &Peer) -> Option<Seat> {
        if !self.asks(peer) {
            return None;
        }
        loop {
            if let Ok(seat) = self.strangers.take(ClientId::OURS) {
                return Some(seat);
            }
            self.send_one_away();
            _ = timeout(AGAIN, self.strangers.freed()).await;
        }
    }

    /// Who has been silent for longest, and for so long that it can be no front.
    fn send_one_away(&self) {
        let mut unproved = self.unproved.borrow_mut();
        unproved.retain(|one| one.caller.upgrade().is_some_and(|caller| !caller.is_vouched()));
        let is_late = unproved.front().is_some_and(|first| tick().since(first.since) >= SILENT);
        if is_late && let Some(first) = unproved.pop_front() {
            first.connection.abort();
        }
    }

    /// Ends the connection if nothing has been proved on it in time.
    pub fn watch(&self, caller: &Rc<Caller>, connection: AbortHandle) {
        let (caller, limit) = (Rc::downgrade(caller), self.node.config.timeouts.header);
        let one = Unproved { caller: caller.clone(), connection: connection.clone(), since: tick() };
        let mut unproved = self.unproved.borrow_mut();
        unproved.retain(|one| one.caller.upgrade().is_some_and(|caller| !caller.is_vouched()));
        unproved.push_back(one);
        tokio::task::spawn_local(async move {
            sleep(limit).await;
            if caller.upgrade().is_some_and(|caller| !caller.is_vouched()) {
                connection.abort();
            }
        });
    }
}
