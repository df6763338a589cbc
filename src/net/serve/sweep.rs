//! One timer a thread: walks all connections and wakes those whose time is over. A request costs no timer and no look
//! at the clock; the price is that limits are kept to within one sweep.

use super::held::{self, Sums};
use super::limits::ServerLimits;
use super::state::{ConnState, ServerPhase};
use crate::account;
use crate::clock::{Tick, tick};
use crate::net::drain::Shutdown;
use crate::net::listen::Stream;
use crate::net::shares::ClientId;
use crate::net::stream::{Closed, closed, untaken};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// So long who has closed its half may hear nothing in the middle of an answer.
const QUIET: Duration = Duration::from_secs(5);
const SWEEP_MIN: Duration = Duration::from_millis(5);
const SWEEP_MAX: Duration = Duration::from_millis(500);
/// A head that takes longer may give way to another client.
const HEAD: Duration = Duration::from_secs(1);
/// The first request of who has come within this time is on its way, a few round trips off where the client is far: nobody can
/// tell it from one that will not ask. It gives way after all others, as an end would take the place of its answer.
const NEW: Duration = Duration::from_secs(1);
/// So many are looked at for one that has not asked just now.
const LOOKS: usize = 8;
/// Nobody is cut who has taken something within this time, unless it is for so long that too much is held.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two looks at who is slow, meanwhile.
const LOOK: Duration = Duration::from_millis(10);
/// So many turns of all tasks a connection that was cut has to end, before another one is.
const TURNS: usize = 64;

/// Keeps the time of all connections of a thread that share the same limits. Cheap to clone.
#[derive(Clone)]
pub struct Sweeper(Rc<SweepCounts>);

struct SweepCounts {
    limits: ServerLimits,
    entries: RefCell<Vec<Rc<SweepEntry>>>,
    draining: Cell<bool>,
    sums: Sums,
}

/// How a connection has waited: the greatest is the first to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waited {
    /// It has asked before, or would have by now ([`NEW`]).
    is_known: bool,
    long: Duration,
}

/// The least is the first to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GivesWay {
    Idle,
    LateHead,
    New,
}

/// What a connection has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    None,
    /// The process ends: finish what runs.
    Drain,
    IdleTooLong,
    /// Others need the place: to end, if nothing but waiting for the peer is lost by it.
    GiveWay,
    HeadTooSlow,
    Stalled,
    /// The peer has reset the connection, or has closed its half and nothing has gone to it for a while.
    Gone,
}

pub(super) struct SweepEntry {
    pub(super) state: Arc<ConnState>,
    /// The connection, where this is one of its streams.
    conn: Option<Rc<SweepEntry>>,
    listed: Cell<bool>,
    /// Open for as long as the entry is listed; after that nobody asks.
    socket: RawFd,
    source: ClientId,
    /// What the peer had not taken when a write was seen to wait.
    untaken: Cell<usize>,
    index: Cell<usize>,
    came: Tick,
    since: Cell<Tick>,
    order: Cell<Order>,
    /// The process ends, and it may still be asked for something.
    bides: Cell<bool>,
    waker: RefCell<Waker>,
}

/// A connection's place in the sweep, until dropped.
pub(super) struct SweepPlace {
    swept: Rc<SweepCounts>,
    entry: Rc<SweepEntry>,
}

impl Sweeper {
    /// Starts sweeping, on this thread (inside a `LocalSet` or local runtime), for as long as a handle or connection
    /// lives. When `shutdown` begins, all its connections are told.
    pub fn start(limits: ServerLimits, shutdown: Shutdown) -> Sweeper {
        let draining = Cell::new(shutdown.has_begun());
        let swept = Rc::new(SweepCounts { limits, entries: RefCell::default(), draining, sums: Sums::default() });
        tokio::task::spawn_local(run(Rc::downgrade(&swept), shutdown));
        Sweeper(swept)
    }
    /// How the connection has waited that is the next to give way: of this client, or of all.
    pub fn longest_idle(&self, of: Option<ClientId>) -> Option<Waited> {
        let now = tick();
        let found = self.0.longest_idle(of, now);
        found.map(|entry| Waited { is_known: !entry.is_new(now), long: now.since(entry.since.get()) })
    }
    /// Tells that connection to end. False: none waits.
    pub fn close_longest_idle(&self, of: Option<ClientId>) -> bool {
        let found = self.0.longest_idle(of, tick());
        found.inspect(|entry| entry.give(Order::GiveWay)).is_some()
    }
    pub(super) fn register(&self, stream: &Stream) -> SweepPlace {
        let (socket, source) = (stream.as_fd().as_raw_fd(), stream.peer().map_or(ClientId::OURS, ClientId::at));
        SweepPlace::new(&self.0, None, socket, source)
    }
}

impl SweepPlace {
    fn new(swept: &Rc<SweepCounts>, conn: Option<Rc<SweepEntry>>, socket: RawFd, source: ClientId) -> SweepPlace {
        let (mut entries, now) = (swept.entries.borrow_mut(), tick());
        let order = if swept.draining.get() { Order::Drain } else { Order::None };
        let entry = Rc::new(SweepEntry {
            state: Arc::default(),
            conn,
            listed: Cell::new(true),
            socket,
            source,
            untaken: Cell::new(0),
            index: Cell::new(entries.len()),
            came: now,
            since: Cell::new(now),
            order: Cell::new(order),
            bides: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        });
        entries.push(entry.clone());
        SweepPlace { swept: swept.clone(), entry }
    }
    /// Of one of its streams: it is kept to the same limits by itself.
    pub(super) fn beside(&self) -> SweepPlace {
        SweepPlace::new(&self.swept, Some(self.entry.clone()), self.entry.socket, self.entry.source)
    }
    /// The peer has kept it waiting for too long, and so all of its streams.
    pub(super) fn stalls(&self) {
        let entries = self.swept.entries.borrow();
        let is_of_it = |entry: &&Rc<SweepEntry>| entry.conn.as_ref().is_some_and(|conn| Rc::ptr_eq(conn, &self.entry));
        entries.iter().filter(is_of_it).for_each(|entry| entry.state.stalls());
        self.entry.state.stalls();
    }
}

async fn run(swept: Weak<SweepCounts>, mut shutdown: Shutdown) {
    let Some(period) = swept.upgrade().map(|s| s.limits.sweep()) else { return };
    let mut timer = tokio::time::interval(period.clamp(SWEEP_MIN, SWEEP_MAX));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut presses = false;
    loop {
        let draining = match swept.upgrade() {
            Some(swept) => swept.draining.get(),
            None => return,
        };
        tokio::select! {
            _ = timer.tick() => if let Some(swept) = swept.upgrade() { swept.sweep(tick()) },
            () = account::pressed(), if !presses => {}
            () = tokio::time::sleep(LOOK), if presses => {}
            () = shutdown.begun(), if !draining => if let Some(swept) = swept.upgrade() { swept.drain() },
        }
        presses = relieve(&swept).await;
    }
}

/// While more is held than may be, the slowest of those is cut who hold what is in no store (docs/caching.md). Whether to
/// look again soon.
async fn relieve(swept: &Weak<SweepCounts>) -> bool {
    while held::heads_are_too_much() {
        let Some(refused) = swept.upgrade().and_then(|swept| swept.refuse_slowest_head()) else { break };
        let_go(|| refused.upgrade().is_none_or(|entry| !entry.state.has_head())).await;
    }
    let mut looks_again = false;
    while let Some(over) = held::answers_are_too_much(tick()) {
        let patience = PATIENCE.saturating_sub(over);
        let cut = swept.upgrade().map(|swept| swept.cut_slowest_answers(tick(), patience));
        let Some(Cut::Some(last)) = cut else {
            looks_again = matches!(cut, Some(Cut::Later));
            break;
        };
        let_go(|| last.strong_count() == 0).await;
    }
    while account::readers_have_too_much() {
        let now = tick();
        // Whoever is quick takes in that time what others would be cut for: nothing more is fetched meanwhile. Other
        // threads look for the slowest too, and all of them find it sooner than one that is less slow.
        let patience = PATIENCE.saturating_sub(account::over_for(now));
        let Some(cut) = swept.upgrade().and_then(|swept| swept.cut_slowest(now, patience)) else { return true };
        let_go(|| cut.strong_count() == 0).await;
    }
    looks_again
}

/// Its own task lets go of what it holds; nobody else is cut for that.
async fn let_go(is_done: impl Fn() -> bool) {
    for _ in 0..TURNS {
        if is_done() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

impl SweepCounts {
    /// Cuts who has taken nothing for longest, where that is longer than `patience`; `None`: there is nobody.
    fn cut_slowest(&self, now: Tick, patience: Duration) -> Option<Weak<SweepEntry>> {
        let entries = self.entries.borrow();
        let uncut = entries.iter().filter(|entry| entry.order.get() != Order::Stalled);
        let stuck = uncut.filter_map(|entry| Some((entry.state.stuck_for(now)?.min(entry.waits_for(now)), entry)));
        let readers: Vec<_> = stuck.filter(|(stuck, _)| *stuck >= patience).collect();
        let crowd = crowd(readers.iter().map(|(_, entry)| (entry.source, 1)));
        let slowest = readers.iter().max_by_key(|(stuck, entry)| (entry.is_of(crowd), *stuck));
        slowest.map(|(stuck, entry)| {
            account::count_cut();
            let (of, held) = (readers.len(), account::held(account::AccountKind::Readers));
            tracing::debug!(?stuck, ?patience, of, held, "cut off: a slow reader of what is in no store");
            entry.give(Order::Stalled);
            Rc::downgrade(entry)
        })
    }
    /// Cuts those whose clients have taken nothing of their answers for longest, where that is longer than `patience`, first of the
    /// client that holds more than half of it.
    fn cut_slowest_answers(&self, now: Tick, patience: Duration) -> Cut {
        let entries = self.entries.borrow();
        let held = |entry: &Rc<SweepEntry>| entry.state.answer_bytes();
        let uncut = entries.iter().filter(|entry| held(entry) > 0 && entry.order.get() != Order::Stalled);
        let mut waiting: Vec<_> = uncut.map(|entry| (entry.waits_for(now), entry)).collect();
        let mut to_cut = held::answers_to_cut(waiting.iter().map(|(_, entry)| held(entry)).sum());
        if to_cut == 0 {
            return Cut::None;
        }
        let crowd = crowd(waiting.iter().map(|(_, entry)| (entry.source, held(entry))));
        waiting.retain(|(waits, _)| *waits >= patience);
        waiting.sort_by_key(|(waits, entry)| (entry.is_of(crowd), *waits));
        let (mut last, of) = (None, waiting.len());
        while let Some((waits, entry)) = waiting.pop().filter(|_| to_cut > 0) {
            account::count_cut();
            tracing::debug!(?waits, of, "cut off: an answer that its client does not take");
            entry.give(Order::Stalled);
            to_cut = to_cut.saturating_sub(held(entry));
            last = Some(Rc::downgrade(entry));
        }
        last.map_or(Cut::Later, Cut::Some)
    }
    fn sweep(&self, now: Tick) {
        for entry in self.entries.borrow().iter() {
            let order = entry.judge(now, &self.limits);
            if order != Order::None {
                entry.give(order);
            }
        }
        self.sum_up();
    }
    fn sum_up(&self) {
        let entries = self.entries.borrow();
        let waiting = entries.iter().map(|entry| entry.state.waiting() + entry.state.beside()).sum();
        // Of an answer that waits its stream is part.
        let alone = entries.iter().filter(|entry| entry.state.answer_bytes() == 0).count();
        let uploads = entries.iter().filter(|entry| entry.state.uploads()).count();
        self.sums.set(alone, waiting, uploads);
    }
    /// Turns away who began a head first: who that is; `None`: there is nobody, or it is for another thread to do.
    fn refuse_slowest_head(&self) -> Option<Weak<SweepEntry>> {
        let entries = self.entries.borrow();
        if !held::is_to_refuse(entries.iter().map(|entry| entry.state.head_bytes()).sum()) {
            return None;
        }
        let waiting = entries.iter().filter(|entry| entry.is_in_head() && entry.state.has_head());
        let uncut: Vec<_> = waiting.filter(|entry| entry.order.get() != Order::HeadTooSlow).collect();
        let crowd = crowd(uncut.iter().map(|entry| (entry.source, 1)));
        let began = |entry: &SweepEntry| entry.state.fields_since().unwrap_or(entry.since.get()).0;
        let first = uncut.iter().min_by_key(|entry| (!entry.is_of(crowd), began(entry)));
        first.map(|entry| {
            entry.give(Order::HeadTooSlow);
            Rc::downgrade(entry)
        })
    }
    /// The one that has been idle for longest, or else has taken longest over a head.
    fn longest_idle(&self, of: Option<ClientId>, now: Tick) -> Option<Rc<SweepEntry>> {
        let entries = self.entries.borrow();
        for _ in 0..LOOKS {
            let asked = entries.iter().filter(|entry| of.is_none_or(|of| entry.source == of));
            let waiting = asked.filter_map(|entry| Some((entry.patience(now)?, entry)));
            let (_, found) = waiting.min_by_key(|(rank, _)| *rank)?;
            if !found.has_asked() {
                return Some(found.clone());
            }
            found.since.set(now);
        }
        None
    }
    fn drain(&self) {
        self.draining.set(true);
        let now = tick();
        for entry in self.entries.borrow().iter() {
            if entry.state.take_moved() {
                entry.since.set(now);
            }
            entry.bides.set(now.since(entry.since.get()) < self.limits.farewell);
            entry.give(Order::Drain);
        }
    }
}

/// What became of those that were to be cut.
enum Cut {
    /// This was the last of them.
    Some(Weak<SweepEntry>),
    /// Nobody is slow enough yet.
    Later,
    /// It is for another thread to do.
    None,
}

/// The client that has more than half of all. What is our own is no crowd.
fn crowd(held: impl Iterator<Item = (ClientId, usize)>) -> Option<ClientId> {
    let (mut all, mut of_clients) = (0, HashMap::<ClientId, usize>::new());
    for (client, own) in held {
        all += own;
        *of_clients.entry(client).or_default() += own;
    }
    of_clients.into_iter().find(|(client, own)| *own > all / 2 && *client != ClientId::OURS).map(|(client, _)| client)
}

impl SweepEntry {
    fn is_of(&self, client: Option<ClientId>) -> bool {
        client == Some(self.source)
    }
    /// Some of a head has come, and not all.
    fn is_in_head(&self) -> bool {
        self.state.phase() == ServerPhase::Head || self.state.fields_since().is_some()
    }
    /// For how long its peer has taken nothing; what waits in line behind others is taken as slowly as its connection.
    fn waits_for(&self, now: Tick) -> Duration {
        let own = self.state.waits_for(now);
        let of_conn = self.conn.as_ref().filter(|_| self.state.is_in_line());
        of_conn.map_or(own, |conn| own.min(conn.state.waits_for(now)))
    }
    fn judge(&self, now: Tick, limits: &ServerLimits) -> Order {
        if self.state.fields_since().is_some_and(|since| now.since(since) >= limits.header) {
            return Order::HeadTooSlow;
        }
        if self.state.take_moved() {
            self.since.set(now);
            return Order::None;
        }
        let age = now.since(self.since.get());
        if self.state.waits_for_peer() {
            // Of the socket its connection sees that.
            if self.state.is_in_line() && self.conn.is_some() {
                return Order::None;
            }
            if self.takes_slowly() {
                self.since.set(now);
                return Order::None;
            }
            return if limits.stall.is_some_and(|limit| age >= limit) { Order::Stalled } else { Order::None };
        }
        match self.state.phase() {
            ServerPhase::Idle if age >= limits.idle || (self.bides.get() && age >= limits.farewell) => {
                Order::IdleTooLong
            }
            ServerPhase::Head if age >= limits.header => Order::HeadTooSlow,
            // Of a stream, its connection sees that.
            ServerPhase::Busy if self.conn.is_none() && limits.half_close && self.is_gone(age) => Order::Gone,
            _ => Order::None,
        }
    }
    /// The least is the first to give way; `None`: it does something.
    fn patience(&self, now: Tick) -> Option<(GivesWay, u64)> {
        if self.state.take_moved() {
            self.since.set(now);
        }
        let since = self.since.get();
        let turn = match self.state.phase() {
            ServerPhase::Idle if self.state.is_flushed() && !self.state.write_waits() => {
                if self.is_new(now) {
                    GivesWay::New
                } else {
                    GivesWay::Idle
                }
            }
            ServerPhase::Head if now.since(since) >= HEAD => GivesWay::LateHead,
            _ => return None,
        };
        (self.order.get() != Order::GiveWay).then_some((turn, since.0))
    }
    /// Its first request may be on its way.
    fn is_new(&self, now: Tick) -> bool {
        !self.state.has_asked() && now.since(self.came) < NEW
    }
    /// Its next request has arrived and is about to be read.
    fn has_asked(&self) -> bool {
        // SAFETY: the connection takes its entry off the list before its socket is closed or handed to anyone.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        self.state.phase() == ServerPhase::Idle && rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0)
    }
    /// A peer that closes all looks like one that closes its half until something is sent to it: then it resets the
    /// connection. While it waits for an answer to begin it is given the doubt; in a stream that is quiet, for a moment.
    fn is_gone(&self, quiet: Duration) -> bool {
        // SAFETY: the connection takes its entry off the list before its socket is closed or handed to anyone.
        let end = closed(unsafe { BorrowedFd::borrow_raw(self.socket) });
        match end {
            Closed::Not => false,
            Closed::Half => self.state.has_answered() && quiet >= QUIET,
            Closed::All => true,
        }
    }
    /// A socket becomes writable only when much of its queue is gone; a slow reader is heard by the queue alone.
    fn takes_slowly(&self) -> bool {
        // A stream may wait for its client's window, whatever the socket takes of others.
        let is_waiting = |entry: &SweepEntry| entry.listed.get() && entry.state.write_waits();
        if !is_waiting(self) || !self.conn.as_deref().is_none_or(is_waiting) {
            return false;
        }
        // SAFETY: the connection takes its entry off the list before its socket is closed or handed to anyone.
        let left = untaken(unsafe { BorrowedFd::borrow_raw(self.socket) });
        self.untaken.replace(left) > left
    }
    fn give(&self, order: Order) {
        self.order.set(order);
        self.waker.borrow().wake_by_ref();
    }
}

impl SweepPlace {
    pub(super) fn state(&self) -> &Arc<ConnState> {
        &self.entry.state
    }
    pub(super) fn source(&self) -> ClientId {
        self.entry.source
    }
    pub(super) fn limits(&self) -> &ServerLimits {
        &self.swept.limits
    }
    /// Whether this thread holds its share of the heads that are not complete, and most of those are of this client.
    pub(super) fn is_of_crowd(&self) -> bool {
        let entries = self.swept.entries.borrow();
        held::is_to_refuse(entries.iter().map(|entry| entry.state.head_bytes()).sum())
            && self
                .entry
                .is_of(crowd(entries.iter().filter(|entry| entry.state.has_head()).map(|entry| (entry.source, 1))))
    }
    /// Whether it may be asked once more, though the process ends.
    pub(super) fn bides(&self) -> bool {
        self.entry.bides.get()
    }
    /// Who is to be woken for an order.
    pub(super) fn listen(&self, waker: &Waker) {
        let mut known = self.entry.waker.borrow_mut();
        if !known.will_wake(waker) {
            known.clone_from(waker);
        }
    }
    pub(super) fn take_order(&self) -> Order {
        self.entry.order.replace(Order::None)
    }
}

impl Drop for SweepPlace {
    fn drop(&mut self) {
        self.entry.listed.set(false);
        let mut entries = self.swept.entries.borrow_mut();
        let index = self.entry.index.get();
        entries.swap_remove(index);
        if let Some(moved) = entries.get(index) {
            moved.index.set(index);
        }
    }
}
