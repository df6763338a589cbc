//! Who comes in at a node, and for how long who has proved nothing may stay.

use super::CacheNode;
use super::caller::{Caller, StrangersPlace};
use super::service::NodeService;
use super::strangers::{Crowd, Newcomer};
use crate::clock::{Tick, tick};
use crate::net::descriptors;
use crate::net::listen::{Peer, Stream};
use crate::net::serve::Connections;
use crate::net::shares::{ClientId, Seat, Seats};
use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Between two looks whether somebody has given way.
const AGAIN: Duration = Duration::from_millis(50);
/// So often one of those that can be no front gives way to one of the same address: so they do not all go, and come, at one time.
const TURN: Duration = Duration::from_millis(8);
/// So many wait for a place at most. They cost a descriptor, and nothing is read of them.
const WAITING: usize = 1024;

/// The door of a node.
pub struct Door {
    node: Rc<CacheNode>,
    connections: Connections,
    seats: Seats,
    /// Of who has proved nothing so many are served.
    places: usize,
    /// In the order in which they came.
    strangers: RefCell<Vec<Stranger>>,
    /// One has come, or a place is free.
    changed: Rc<Notify>,
}

/// Who has to prove something.
struct Stranger {
    caller: Weak<Caller>,
    of: ClientId,
    connection: AbortHandle,
    came: Tick,
    /// Where it waits for its place.
    waits: Option<oneshot::Sender<StrangersPlace>>,
    served: Option<Tick>,
}

impl Door {
    pub fn new(node: Rc<CacheNode>, connections: Connections) -> Door {
        let most = descriptors::for_fronts();
        let places = (most / 8).clamp(1, 256);
        Door {
            node,
            connections,
            seats: Seats::new(most),
            places,
            strangers: RefCell::default(),
            changed: Rc::default(),
        }
    }

    /// Makes room for a file that we have not: who waits for nothing but a place goes, or what is idle. False: nothing is.
    pub fn relieve(&self) -> bool {
        self.send_away_who_waits()
            || self.node.origins.close_longest_idle()
            || self.connections.close_longest_idle(None)
    }

    /// Waits for room for one more: who waits for a place gives way, or what has been idle for longest.
    pub async fn seat(&self) -> Seat {
        loop {
            // Whoever is a front may have all there are: it keeps its clients to their shares.
            if let Ok(seat) = self.seats.take(ClientId::OURS) {
                return seat;
            }
            if !self.send_away_who_waits() {
                self.connections.close_longest_idle(None);
            }
            _ = timeout(AGAIN, self.seats.freed()).await;
        }
    }

    /// Whether who comes here has to prove that it is a front.
    fn asks(&self, peer: &Peer) -> bool {
        peer.addr.is_some() && self.node.config.cluster.secret.is_some()
    }

    /// Serves who has come. Nobody behind it waits for that: who has to prove something waits for its place beside the others.
    pub fn receive(&self, stream: Stream, peer: Peer, seat: Seat) {
        let caller = Rc::new(Caller::new(peer, self.node.config.cluster.secret.is_some()).with(seat));
        let service = NodeService::new(self.node.clone(), caller.clone());
        if !self.asks(&peer) {
            self.connections.serve(stream, service);
            return;
        }
        let (waits, place) = oneshot::channel();
        let (met, weak) = (caller.clone(), Rc::downgrade(&caller));
        let made = async move {
            met.takes(place.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?);
            met.meet(stream).await
        };
        let connection = self.connections.serve_once(made, service);
        let (of, came) = (ClientId::of(&peer), tick());
        let stranger = Stranger { caller: weak, of, connection, came, waits: Some(waits), served: None };
        self.strangers.borrow_mut().push(stranger);
        self.changed.notify_one();
    }

    fn send_away_who_waits(&self) -> bool {
        self.arrange(|crowd| {
            let waiting = crowd.waiting();
            crowd.cut(waiting.saturating_sub(1));
            Vec::new()
        })
        .1
    }

    /// Has those let in that are chosen; how many wait then, and whether somebody was sent away.
    fn arrange(&self, choose: impl FnOnce(&mut Crowd) -> Vec<usize>) -> (usize, bool) {
        let (mut strangers, now) = (self.strangers.borrow_mut(), tick());
        forget_the_known(&mut strangers);
        let newcomers = strangers.iter().map(|one| one.newcomer(now)).collect();
        let mut crowd = Crowd::new(newcomers, self.places);
        for next in choose(&mut crowd) {
            strangers[next].served = Some(now);
            if let Some(waits) = strangers[next].waits.take() {
                // One that has ended meanwhile gives its place back.
                _ = waits.send(StrangersPlace::new(self.changed.clone()));
            }
        }
        let before = strangers.len();
        crowd.gone().rev().for_each(|at| strangers.remove(at).connection.abort());
        (crowd.waiting(), strangers.len() < before)
    }

    /// How many wait now.
    fn let_in(&self, is_turn: bool) -> usize {
        let choose = |crowd: &mut Crowd| {
            let mut chosen: Vec<usize> = std::iter::from_fn(|| crowd.let_in()).collect();
            if is_turn {
                crowd.turn();
                chosen.extend(crowd.let_in());
            }
            crowd.cut(WAITING);
            chosen
        };
        self.arrange(choose).0
    }

    /// For ever: gives places to those that wait.
    pub async fn usher(&self) {
        loop {
            self.changed.notified().await;
            let mut waiting = self.let_in(false);
            while waiting > 0 {
                let changes = async {
                    loop {
                        self.changed.notified().await;
                        self.let_in(false);
                    }
                };
                _ = timeout(TURN, changes).await;
                waiting = self.let_in(true);
            }
        }
    }

    /// For ever: ends the connections on which nothing has been proved in time, however much was said.
    pub async fn mind(&self) {
        let limit = self.node.config.timeouts.header;
        loop {
            sleep((limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))).await;
            let mut strangers = self.strangers.borrow_mut();
            forget_the_known(&mut strangers);
            let late = strangers.iter().take_while(|one| tick().since(one.came) >= limit).count();
            strangers.drain(..late).for_each(|one| one.connection.abort());
        }
    }
}

impl Stranger {
    fn newcomer(&self, now: Tick) -> Newcomer {
        let has_spoken = self.caller.upgrade().is_some_and(|caller| caller.has_spoken());
        Newcomer { of: self.of, served: self.served.map(|since| now.since(since)), has_spoken }
    }
}

/// Who has gone or has proved itself: what is kept of a connection here would keep its memory.
fn forget_the_known(strangers: &mut Vec<Stranger>) {
    strangers.retain(|one| one.caller.upgrade().is_some_and(|caller| !caller.is_vouched()));
}
