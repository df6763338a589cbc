//! Connections that are kept for the next request: a bounded pool for each server.

use super::conn::{ByteStream, ClientLimits, Conn, ExchangeError};
use super::pins::{Pinned, Pins};
use super::places::{ServerPlace, ServerPlaces};
use crate::clock::tick;
use crate::net::listen::Stream;
use crate::net::rules::Reach;
use crate::net::shares::ClientId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::time::timeout;

/// Idle connections that are kept to one server.
const IDLE: usize = 64;

/// What one server is given.
#[derive(Clone, Debug)]
pub struct Room {
    /// Connections that are in use at once.
    pub connections: usize,
    /// So many wait for one.
    pub queue: usize,
    /// For so long.
    pub queue_time: Duration,
    /// Idle connections are closed after so long.
    pub idle: Duration,
    /// And those that are older than this when they could be used again: by then the server's name may mean another.
    pub age: Duration,
}

/// All of a kind: a pool for each scheme and authority, and what is idle in all of them.
pub struct Pools<S = Stream> {
    pools: RefCell<HashMap<Box<str>, Rc<Pool<S>>>>,
    idle: Cell<usize>,
    /// So many at most: servers come and go, and each leaves one.
    most: usize,
    room: Room,
    limits: Rc<ClientLimits>,
}

/// Connections to one server. Each that is in use has a place; one that is idle needs none, because a new one is opened only
/// when none is idle.
pub struct Pool<S = Stream> {
    name: Box<str>,
    idle: RefCell<Vec<Conn<S>>>,
    places: Rc<ServerPlaces>,
    room: Room,
    limits: Rc<ClientLimits>,
    all: Weak<Pools<S>>,
}

/// A connection in use. Dropped, it is closed.
pub struct Lease<S = Stream> {
    pub(super) conn: Conn<S>,
    pool: Rc<Pool<S>>,
    /// It has served a request before.
    pub(super) reused: bool,
    /// Whom it belongs to, where it is one client's alone; from the first answer on.
    pins: Option<Rc<Pins<S>>>,
    pinned: Option<Pinned<S>>,
    _place: ServerPlace,
}

impl<S: ByteStream> Pools<S> {
    pub fn new(most: usize, room: Room, limits: ClientLimits) -> Rc<Pools<S>> {
        let (pools, idle) = Default::default();
        Rc::new(Pools { pools, idle, most, room, limits: Rc::new(limits) })
    }

    /// The pool of a server, by its scheme and authority as keys write them.
    pub fn get(self: &Rc<Self>, name: &str) -> Rc<Pool<S>> {
        if let Some(pool) = self.pools.borrow().get(name) {
            return pool.clone();
        }
        let all = Rc::downgrade(self);
        let pool = Rc::new(Pool { all, ..Pool::new(name, self.room.clone(), self.limits.clone()) });
        self.pools.borrow_mut().insert(name.into(), pool.clone());
        pool
    }

    /// The same, where it was asked before.
    pub fn known(&self, name: &[u8]) -> Option<Rc<Pool<S>>> {
        self.pools.borrow().get(std::str::from_utf8(name).ok()?).cloned()
    }

    /// Closes connections that have been idle for too long, and forgets servers without any.
    pub fn sweep(&self) {
        let mut left = 0;
        self.pools.borrow_mut().retain(|_, pool| {
            let idle = pool.sweep();
            left += idle;
            Rc::strong_count(pool) > 1 || idle > 0
        });
        self.idle.set(left);
    }

    /// One more connection is idle, or one less. Not while a pool's list is borrowed.
    fn now_idle(&self, change: isize) {
        self.idle.set(self.idle.get().saturating_add_signed(change));
        if self.idle.get() > self.most {
            self.close_longest_idle(self.most / 8 + 1);
        }
    }

    /// Closes so many at least, where there are so many; a few at a time, because all pools are looked at for it. Forgets
    /// the pools that have none left and are not in use. False: none is idle.
    pub fn close_longest_idle(&self, least: usize) -> bool {
        let mut pools = self.pools.borrow_mut();
        let ages = |pool: &Rc<Pool<S>>| pool.idle.borrow().iter().map(|conn| conn.since().0).collect::<Vec<_>>();
        let mut ages: Vec<u64> = pools.values().flat_map(ages).collect();
        let Some(last) = ages.len().min(least).checked_sub(1) else { return false };
        let (_, &mut until, _) = ages.select_nth_unstable(last);
        let mut left = 0;
        pools.retain(|_, pool| {
            let mut idle = pool.idle.borrow_mut();
            idle.retain(|conn| conn.since().0 > until);
            left += idle.len();
            Rc::strong_count(pool) > 1 || !idle.is_empty()
        });
        self.idle.set(left);
        left < ages.len()
    }
}

impl<S: ByteStream> Pool<S> {
    /// For itself.
    pub fn new(name: &str, room: Room, limits: Rc<ClientLimits>) -> Pool<S> {
        let (idle, places) = (RefCell::default(), ServerPlaces::new(room.connections, room.queue));
        Pool { name: name.into(), idle, places, room, limits, all: Weak::new() }
    }

    /// Whether it is that of this server.
    pub fn is_of(&self, name: &[u8]) -> bool {
        self.name.as_bytes() == name
    }

    /// Closes what is idle.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Closes what was idle for too long, or is too old, and what was closed at the other end; how many are left.
    pub fn sweep(&self) -> usize {
        let (mut idle, now) = (self.idle.borrow_mut(), tick());
        let is_young = |conn: &Conn<S>| now.since(conn.since()) < self.room.idle && conn.age(now) < self.room.age;
        idle.retain_mut(|conn| is_young(conn) && conn.is_quiet());
        idle.len()
    }

    /// A connection that is there, and may be used at once. `of`: whose share it takes from. `pins`: only one of theirs will do.
    pub(super) fn kept(
        self: &Rc<Self>,
        of: ClientId,
        pins: Option<&Rc<Pins<S>>>,
        allowed: impl Fn(Reach) -> bool,
    ) -> Result<Option<Lease<S>>, ExchangeError> {
        let Some(place) = self.places.take(of) else { return Ok(None) };
        Ok(self.take(pins, allowed)?.map(|conn| self.lease(conn, true, pins, place)))
    }

    /// The same, as soon as there may be one more, or else a new one. `new`: a kept one has just turned out to be dead.
    pub(super) async fn open(
        self: &Rc<Self>,
        of: ClientId,
        pins: Option<&Rc<Pins<S>>>,
        new: bool,
        allowed: impl Fn(Reach) -> bool,
        dial: impl AsyncFnOnce() -> Result<Conn<S>, ExchangeError>,
    ) -> Result<Lease<S>, ExchangeError> {
        let place = self.place(of).await?;
        if let Some(conn) = if new { None } else { self.take(pins, allowed)? } {
            return Ok(self.lease(conn, true, pins, place));
        }
        Ok(self.lease((dial().await?, None), false, pins, place))
    }

    fn lease(
        self: &Rc<Self>,
        (conn, pinned): (Conn<S>, Option<Pinned<S>>),
        reused: bool,
        pins: Option<&Rc<Pins<S>>>,
        place: ServerPlace,
    ) -> Lease<S> {
        Lease { conn, pool: self.clone(), reused, pins: pins.cloned(), pinned, _place: place }
    }

    /// What comes on a quiet one, or that it was closed, is found out here.
    fn take(&self, pins: Option<&Rc<Pins<S>>>, allowed: impl Fn(Reach) -> bool) -> TakenConn<S> {
        if let Some(pins) = pins {
            return Ok(pins.take(&self.name, allowed)?.map(|(conn, pinned)| (conn, Some(pinned))));
        }
        loop {
            let mut idle = self.idle.borrow_mut();
            let Some(at) = idle.iter().rposition(|conn| allowed(conn.reach())) else { return Ok(None) };
            let mut conn = idle.swap_remove(at);
            drop(idle);
            self.now_idle(-1);
            if conn.is_quiet() {
                return Ok(Some((conn, None)));
            }
        }
    }

    fn now_idle(&self, change: isize) {
        if let Some(all) = self.all.upgrade() {
            all.now_idle(change);
        }
    }

    async fn place(&self, of: ClientId) -> Result<ServerPlace, ExchangeError> {
        if let Some(place) = self.places.take(of) {
            return Ok(place);
        }
        let place = self.places.wait(of).ok_or(ExchangeError::Full)?;
        match timeout(self.room.queue_time, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(ExchangeError::Full),
        }
    }
}

impl<S: ByteStream> Lease<S> {
    pub(super) fn limits(&self) -> &ClientLimits {
        &self.pool.limits
    }

    pub(super) fn parts(&mut self) -> (&mut Conn<S>, &ClientLimits) {
        (&mut self.conn, &self.pool.limits)
    }

    /// It has answered: where it is one client's alone, that one has it from now on. `keep`: for more than this answer. The
    /// flag says whether it is.
    pub(super) fn pin(&mut self, keep: bool) -> bool {
        let Some(pins) = &self.pins else { return false };
        let pinned = self.pinned.take().unwrap_or_else(|| pins.hold(&self.pool.name));
        self.pinned = Some(pinned).filter(|_| keep);
        true
    }

    /// For the next request.
    pub(super) fn give_back(self) {
        let Lease { pool, mut conn, pins, pinned, .. } = self;
        conn.moved();
        if let Some(pinned) = pinned {
            return pinned.put(&pool.name, conn);
        }
        // For one client, that has it no more.
        if pins.is_some() {
            return;
        }
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < IDLE && conn.age(conn.since()) < pool.room.age {
            idle.push(conn);
            drop(idle);
            pool.now_idle(1);
        }
    }
}

/// With whom it belongs to, where it is one client's alone. `None`: there is none.
type TakenConn<S> = Result<Option<(Conn<S>, Option<Pinned<S>>)>, ExchangeError>;
