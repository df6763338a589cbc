//! A worker: one thread, one runtime, its own pools. A connection stays on the worker that it was given to.

use super::access;
use super::accesslog::LogSink;
use super::front::Front;
use super::held::RecentHits;
use super::hot::Hot;
use super::https::inside::Inside;
use super::https::interception::{Greeted, Interception};
use super::link::{Endings, NodePool, Shared, Swept, TICK, Ties};
use super::metrics::FrontCounters;
use crate::cluster::views::{Membership, Report, View};
use crate::config::Config;
use crate::net::descriptors::Lack;
use crate::net::dial::Dialer;
use crate::net::drain::Shutdown;
use crate::net::listen::Peer;
use crate::net::serve::{Connections, ServerLimits, Sweeper};
use crate::net::shares::{ClientId, Seat};
use crate::ring::HotKeys;
use crate::wire::fault::Fault;
use crate::wire::link as wire_link;
use crate::wire::target::Key;
use crate::{account, alloc, clock};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every so many [`TICK`]s what is no hot copy any more is dropped.
const TIDY: u32 = 10;

/// What a worker works with. Everything in it belongs to its thread.
pub struct Worker {
    pub config: Arc<Config>,
    pub front: Arc<Front>,
    pub shared: Rc<Shared>,
    pub dialer: Dialer,
    pub connections: Connections,
    pub shutdown: Shutdown,
    pub hot: Option<Arc<Hot>>,
    /// `None`: no https is answered for.
    pub https: Option<Arc<Interception>>,
    pub(super) log: Option<Rc<LogSink>>,
    membership: Membership,
    views: RefCell<tokio::sync::watch::Receiver<Arc<View>>>,
    routing: RefCell<Rc<Routing>>,
    /// What nodes answered with small hits lately.
    pub held: RecentHits,
    /// What they answered with other than a hit: whatever hot copy there was is gone, and not looked for.
    pub unlikely: RecentHits,
    /// Of connections inside the TLS of hosts.
    insides: Endings,
    /// `None`: switched off.
    hot_keys: Option<RefCell<HotKeys>>,
    /// Of nodes that have left the view, while requests run there.
    retired: RefCell<Vec<Rc<NodePool>>>,
}

/// A view, and the pool of each of its nodes.
pub struct Routing {
    pub view: Arc<View>,
    pub pools: Vec<Rc<NodePool>>,
}

/// What a connection occupies until its last request or tunnel has ended.
pub struct ClientPlace {
    pub _seat: Seat,
    pub load: Arc<AtomicUsize>,
}

/// A connected client.
pub struct Client {
    pub worker: Rc<Worker>,
    pub peer: Peer,
    /// Its own connections to nodes.
    pub ties: Ties,
    /// Whose share of what is limited it takes from.
    pub source: ClientId,
    /// What nodes are told of it ([`wire_link::client_line`]).
    pub said: Rc<[u8]>,
    /// As the log shows it, where there is one.
    pub(super) shown: Option<Arc<str>>,
    /// The host that it speaks TLS with, as it believes.
    pub inside: Option<Inside>,
    /// In that.
    pub greeted: Option<Greeted>,
    place: Occupied,
}

/// By whom a place is occupied.
enum Occupied {
    Itself(#[expect(dead_code, reason = "given up with it")] ClientPlace),
    /// The connection that it goes on with.
    Outer(#[expect(dead_code, reason = "given up with it")] Rc<Client>),
}

/// What every worker is given.
#[derive(Clone)]
pub struct Start {
    pub config: Arc<Config>,
    pub front: Arc<Front>,
    pub membership: Membership,
    pub log: Option<LogSink>,
    pub hot: Option<Arc<Hot>>,
    pub https: Option<Arc<Interception>>,
    pub shutdown: Shutdown,
}

/// As soon as a node is not up, what waits for it goes elsewhere.
pub async fn watch_health(worker: Rc<Worker>) {
    let mut health = worker.membership.health.clone();
    while health.changed().await.is_ok() {
        worker.for_each_pool(|pool| {
            if !pool.node.is_up() {
                pool.abandon();
            }
        });
    }
}

/// What is asked inside the TLS of hosts is asked of nobody who could be heard: when a node joins that could, the connections
/// end, and the next ones are tunnels.
pub async fn watch_views(worker: Rc<Worker>) {
    let mut views = worker.membership.views.clone();
    while views.changed().await.is_ok() {
        if !views.borrow_and_update().takes_https() {
            worker.insides.come();
        }
    }
}

pub async fn sweep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut count, mut trim) = (0, alloc::Trim::default());
    loop {
        ticks.tick().await;
        count += 1;
        worker.hot.iter().for_each(|hot| hot.turn(clock::tick()));
        if count % TIDY == 0 {
            worker.hot.iter().for_each(|hot| hot.tidy());
            trim.look(account::freed());
        }
        worker.for_each_pool(|pool| {
            if pool.sweep() == Swept::Suspect {
                worker.report(Report::Suspect(pool.node.clone()));
            }
        });
        if let Some(keys) = &worker.hot_keys {
            keys.borrow_mut().advance(clock::tick().0);
        }
        worker.retired.borrow_mut().retain(|pool| !pool.is_empty());
    }
}

impl Worker {
    pub fn new(start: Start, counters: Arc<FrontCounters>) -> Rc<Worker> {
        let Start { config, front, membership, log, hot, https, shutdown } = start;
        let shared = Shared::new(&config, counters, front.via.clone());
        let mut views = membership.views.clone();
        let view = views.borrow_and_update().clone();
        let routing = Routing::new(view, &shared, &[]);
        let sweeper = Sweeper::start(ServerLimits::of(&config), shutdown.clone());
        let worker = Rc::new(Worker {
            dialer: Dialer::new(&config),
            connections: Connections::new(sweeper),
            held: RecentHits::default(),
            unlikely: RecentHits::default(),
            insides: Endings::default(),
            hot_keys: config.ring.hot_keys.then(|| RefCell::new(HotKeys::new(routing.pools.len()))),
            routing: RefCell::new(Rc::new(routing)),
            views: RefCell::new(views),
            retired: RefCell::default(),
            config,
            front,
            shared,
            shutdown,
            hot,
            https,
            log: log.map(Rc::new),
            membership,
        });
        let relieving = Rc::downgrade(&worker);
        let relieve = move |lack| relieving.upgrade().is_some_and(|worker| worker.relieve(lack));
        worker.dialer.relief().set(relieve.clone());
        worker.shared.relief.set(relieve);
        worker
    }

    /// What is idle is closed, connections to nodes first; those of clients only where that gives back what is lacking.
    fn relieve(&self, lack: Lack) -> bool {
        let longest = RefCell::new(None);
        self.for_each_pool(|pool| {
            let mut longest = longest.borrow_mut();
            let most = longest.as_ref().map(|(ticks, _)| *ticks);
            if let Some(ticks) = pool.longest_idle().filter(|ticks| most.is_none_or(|most| *ticks > most)) {
                *longest = Some((ticks, pool.clone()));
            }
        });
        match longest.into_inner() {
            Some((_, pool)) => pool.close_longest_idle(),
            None => return lack.is_of_clients() && self.connections.close_longest_idle(None),
        }
        true
    }

    /// The current view with its pools.
    pub fn routing(&self) -> Rc<Routing> {
        let mut views = self.views.borrow_mut();
        if views.has_changed().unwrap_or(false) {
            let view = views.borrow_and_update().clone();
            self.install(view);
        }
        self.routing.borrow().clone()
    }

    fn install(&self, view: Arc<View>) {
        if let Some(keys) = &self.hot_keys {
            *keys.borrow_mut() = HotKeys::new(view.nodes.len());
        }
        let mut routing = self.routing.borrow_mut();
        let next = Routing::new(view, &self.shared, &routing.pools);
        for pool in routing.pools.iter().filter(|pool| !next.pools.iter().any(|kept| Rc::ptr_eq(kept, pool))) {
            pool.retire();
            self.retired.borrow_mut().push(pool.clone());
        }
        *routing = Rc::new(next);
    }

    /// One more request for the key at this position: how many there were lately, where that makes it hot.
    pub fn heat(&self, position: u64) -> Option<u32> {
        self.hot_keys.as_ref()?.borrow_mut().note(position)
    }

    fn for_each_pool(&self, look: impl Fn(&Rc<NodePool>)) {
        let routing = self.routing();
        let retired = self.retired.borrow().clone();
        routing.pools.iter().chain(&retired).for_each(look);
    }

    /// Tells the control plane something, if it has room for it.
    pub fn report(&self, report: Report) {
        if !self.membership.reports.send(report) {
            self.shared.counters.reports_lost.add(1);
        }
    }
}

impl Routing {
    /// Pools of nodes that stay are kept; but where nothing is said in clear any more, what was opened before is not used.
    fn new(view: Arc<View>, shared: &Rc<Shared>, known: &[Rc<NodePool>]) -> Routing {
        let pool = |node: &Arc<_>| {
            let is_as_now =
                |pool: &&Rc<NodePool>| Arc::ptr_eq(&pool.node, node) && pool.is_private == node.is_private();
            let kept = known.iter().find(is_as_now).cloned();
            kept.unwrap_or_else(|| NodePool::new(node.clone(), shared.clone()))
        };
        let pools = view.nodes.iter().map(pool).collect();
        Routing { view, pools }
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Client {
    pub fn new(worker: Rc<Worker>, peer: Peer, place: ClientPlace) -> Client {
        let shown = peer.addr.filter(|_| worker.log.is_some()).map(|addr| LogSink::client(addr.ip()));
        let (ties, source, place) = (Ties::default(), ClientId::of(&peer), Occupied::Itself(place));
        let said = wire_link::client_line(peer.same_machine, source.called()).into();
        Client { worker, peer, ties, source, said, shown, inside: None, greeted: None, place }
    }

    /// The same client, as what it says inside the TLS with a host.
    pub fn within(outer: Rc<Client>, inside: Inside, greeted: Greeted) -> Client {
        let (worker, peer, source, shown) = (outer.worker.clone(), outer.peer, outer.source, outer.shown.clone());
        let said = outer.said.clone();
        let (ties, inside, place) = (Ties::default(), Some(inside), Occupied::Outer(outer));
        worker.insides.add(ties.ending());
        // They could be when the handshake began.
        if !worker.routing().view.takes_https() {
            ties.ending().come();
        }
        Client { worker, peer, ties, source, said, shown, inside, greeted: Some(greeted), place }
    }

    /// What a request is answered that nodes may not be asked ([`View::may_carry`]). Inside the TLS of a host its connection
    /// ends with that.
    pub fn in_clear(&self) -> Fault {
        if self.inside.is_none() {
            return access::in_clear();
        }
        self.ties.ending().come();
        access::in_clear_inside()
    }

    /// A host has not proved who it is: new tunnels to it are passed on for a while, so that clients see that themselves, and one
    /// who is inside its TLS as answered here comes back by such.
    pub fn distrust(&self, key: &Key) {
        if let Some(https) = &self.worker.https {
            https.distrust(&key.host().to_string(), key.port(), self.source);
        }
        if self.inside.is_some() {
            self.ties.ending().come();
        }
    }

    /// What `X-Forwarded-For` is to say.
    pub fn forwarded_for(&self) -> Option<IpAddr> {
        self.peer.addr.map(|addr| addr.ip()).filter(|_| self.worker.config.access.forwarded_for)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if matches!(self.place, Occupied::Itself(_)) {
            self.worker.shared.counters.connections_open.sub(1);
        }
    }
}
