//! Who comes in at a node, and for how long who has proved nothing may stay.

use super::CacheNode;
use super::caller::Caller;
use crate::clock::{Tick, tick};
use crate::net::descriptors;
use crate::net::listen::Peer;
use crate::net::serve::Connections;
use crate::net::shares::{self, ClientId, Seat, Seats};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// A front speaks at once; who has said nothing for so long gives way to the next.
const SILENT: Duration = Duration::from_millis(100);
/// The same of who has said something: the next word of a front that is far away comes as late as that.
const SPOKEN: Duration = Duration::from_secs(2);
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
    of: ClientId,
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

    /// Of those of the address that has most here, who has been silent for longest, and for so long that it can be no front.
    fn send_one_away(&self) {
        let mut unproved = self.unproved.borrow_mut();
        forget_the_known(&mut unproved);
        let held: Vec<ClientId> = unproved.iter().map(|one| one.of).collect();
        let Some(of) = shares::has_most(&held) else { return };
        let now = tick();
        let late = unproved.iter().enumerate().filter(|(_, one)| one.of == of).filter_map(|(at, one)| {
            let (heard, has_spoken) = one.caller.upgrade()?.heard();
            let silent = now.since(heard);
            (silent >= if has_spoken { SPOKEN } else { SILENT }).then_some((at, silent))
        });
        let latest = late.max_by_key(|(_, silent)| *silent);
        if let Some(one) = latest.and_then(|(at, _)| unproved.remove(at)) {
            one.connection.abort();
        }
    }

    /// Notes who has come and has to prove something.
    pub fn watch(&self, caller: &Rc<Caller>, peer: &Peer, connection: AbortHandle) {
        let mut unproved = self.unproved.borrow_mut();
        forget_the_known(&mut unproved);
        let of = ClientId::of(peer);
        unproved.push_back(Unproved { caller: Rc::downgrade(caller), of, connection, since: tick() });
    }

    /// For ever: ends the connections on which nothing has been proved in time.
    pub async fn mind(&self) {
        let limit = self.node.config.timeouts.header;
        loop {
            sleep((limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))).await;
            let mut unproved = self.unproved.borrow_mut();
            forget_the_known(&mut unproved);
            let late = unproved.iter().take_while(|one| tick().since(one.since) >= limit).count();
            unproved.drain(..late).for_each(|one| one.connection.abort());
        }
    }
}

/// Who has gone or has proved itself: what is kept of a connection here would keep its memory.
fn forget_the_known(unproved: &mut VecDeque<Unproved>) {
    unproved.retain(|one| one.caller.upgrade().is_some_and(|caller| !caller.is_vouched()));
}
