//! One fetch that several requests share: from the question to the last byte.
//!
//! ```text
//!            304: Validated   not storable: Released   failed: Failed, Erring   nobody left: Gone
//! Asking ──┬──────┴────────────────┴────────────────────────┴──────────────┘
//!          └─> Streaming ──> Complete (stored)  or  Broken
//! ```
//! A node has one thread, so state changes need no lock: what is checked and then done without an `await` between is one step.

mod apart;
mod reader;

use super::flow::{FillEnd, FillFlow};
use super::spill::Spill;
use crate::account::{self, Hold};
use crate::clock::{Tick, tick};
use crate::net::serve::BoxError;
use crate::policy::groups::Named;
use crate::policy::{NotStored, Terms};
use crate::store::{Entry, EntryContent, Mark};
use crate::wire::date::Timestamp;
use crate::wire::fault::{Blame, Fault, Kind, Whose};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use hyper::ext::ReasonPhrase;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use reader::Reader;

/// A fill with this much left, or less, goes on when its last reader has gone.
const NEARLY_DONE: u64 = 256 * 1024;
/// A body that has not moved for a shorter time is on its way, however short `timeouts.collapse` is.
const QUIET: Duration = Duration::from_millis(250);
/// How far the fetch of a body that cannot be stored after all runs ahead of its slowest reader, while no other waits.
const WINDOW: u64 = 1024 * 1024;

/// The head of a response that is being stored.
#[derive(Debug)]
pub struct FillHead {
    pub status: StatusCode,
    /// Where it is not the usual one; it is not stored.
    pub reason: Option<Box<ReasonPhrase>>,
    /// As they will be stored.
    pub headers: HeaderMap,
    /// What only the request that fetched it is answered with, besides.
    pub withheld: HeaderMap,
    pub terms: Terms,
    /// When it was asked for.
    pub sent: Timestamp,
    /// The cache groups that it is in.
    pub groups: Named,
    pub mark: Mark,
    /// [`crate::policy::variants::selecting`]'s value for the leader's request.
    pub selecting: Box<[u8]>,
    /// Of the body that readers get.
    pub length: Option<u64>,
    /// A stored part that the body is completed with.
    pub seed: Option<Box<Seed>>,
    /// The other node that it comes from.
    pub peer: Option<Box<str>>,
    /// A later question was answered with something else while this was on its way ([`super::concurrent`]).
    pub outdone: bool,
}

/// The part of a whole that need not be fetched (RFC 9111 section 3.4).
#[derive(Debug)]
pub struct Seed {
    pub entry: Arc<Entry>,
    pub place: PartPlace,
    /// Where the part lies in a file of the disk: what is fetched is written behind it.
    pub spill: Option<Rc<Spill>>,
}

/// Where a stored part stands: before what is fetched, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartPlace {
    Before,
    Behind,
}

/// How far a fill has come; what waiters learn.
#[derive(Clone)]
pub enum FillStage {
    /// No answer yet: wait.
    Asking,
    /// The answer may be stored: read along, from its first byte.
    Streaming(Rc<FillHead>),
    /// The stored entry was confirmed by a 304, which they may have too.
    Validated(Arc<Entry>, Sharing),
    /// The origin answered with an error, in whose place what is stored may be answered.
    Erring(StatusCode),
    /// The answer may not be stored: fetch alone, at once.
    Released,
    /// The owner has to be asked, by the front.
    Owners,
    /// The fetch failed: so does everyone who waited for it.
    Failed(Rc<Fault>),
    /// Its leader vanished: look again.
    Gone,
}

/// Who may read along, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It will be stored when it is whole.
    Store,
    /// Whoever reads it may read on; it is neither stored nor joined: it was purged, or outgrew the cache.
    Forget,
}

/// What is known of a `Vary` before the answer is there: its value, and the leader's selecting fields under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presumed {
    pub vary: Box<[u8]>,
    pub selecting: Box<[u8]>,
}

/// A shared fetch.
pub struct Fill {
    /// The key's text.
    pub key: Box<str>,
    /// Only clients that are alike in this share a fill (README, Safe by default).
    pub same_machine: bool,
    /// It takes what the owner lends, and nothing else.
    pub lent: bool,
    /// Where the `Vary` of this URL is known: who would select another variant need not wait.
    pub presumed: Option<Presumed>,
    stage: RefCell<FillStage>,
    settled: Notify,
    fate: Cell<Fate>,
    /// It was asked for in a way that is one request's own: nobody joins it.
    apart: Cell<bool>,
    asks_peer: Cell<bool>,
    /// The disk does not take its body into a file.
    was_refused: Cell<bool>,
    flow: RefCell<FillFlow>,
    interested: Cell<usize>,
    task: RefCell<Option<AbortHandle>>,
    began: Tick,
    /// When the head or the last piece of the body came.
    moved: Cell<Tick>,
}

impl Fill {
    pub fn new(key: &str, same_machine: bool, lent: bool, presumed: Option<Presumed>) -> Rc<Fill> {
        let now = tick();
        Rc::new(Fill {
            key: key.into(),
            same_machine,
            lent,
            presumed,
            stage: RefCell::new(FillStage::Asking),
            settled: Notify::new(),
            fate: Cell::new(Fate::Store),
            apart: Cell::new(false),
            asks_peer: Cell::new(false),
            was_refused: Cell::new(false),
            flow: RefCell::new(FillFlow::new()),
            interested: Cell::new(0),
            task: RefCell::new(None),
            began: now,
            moved: Cell::new(now),
        })
    }

    pub fn age(&self) -> Duration {
        tick().since(self.began)
    }
    /// Nothing more of its body has come for so long.
    pub fn is_quiet(&self, limit: Duration) -> bool {
        self.flow.borrow().end.is_none() && tick().since(self.moved.get()) >= limit.max(QUIET)
    }
    pub fn stage(&self) -> FillStage {
        self.stage.borrow().clone()
    }
    pub fn fate(&self) -> Fate {
        self.fate.get()
    }
    pub fn set_fate(&self, fate: Fate) {
        self.fate.set(fate);
        if fate == Fate::Forget {
            let mut flow = self.flow.borrow_mut();
            // Where nobody reads yet, somebody is about to, from the first byte.
            if let Some(slowest) = flow.positions.iter().flatten().min().copied() {
                flow.let_go(slowest);
            }
            flow.hold.give_up();
        }
    }
    /// Bytes that are held of it.
    pub fn held(&self) -> u64 {
        self.flow.borrow().hold.bytes()
    }
    /// What it has brought in a second, about; who has just begun is not taken for slow.
    pub fn pace(&self, now: Tick) -> u64 {
        account::pace(self.received(), now.since(self.began))
    }
    pub fn is_apart(&self) -> bool {
        self.apart.get()
    }
    pub fn set_apart(&self, apart: bool) {
        self.apart.set(apart);
    }
    /// It waits for another node, not for the origin.
    pub fn asks_peer(&self) -> bool {
        self.asks_peer.get()
    }
    pub fn set_asks_peer(&self, asks: bool) {
        self.asks_peer.set(asks);
    }
    pub fn run_by(&self, task: AbortHandle) {
        *self.task.borrow_mut() = Some(task);
    }
    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.flow.borrow().received
    }
    pub fn is_asking(&self) -> bool {
        matches!(*self.stage.borrow(), FillStage::Asking)
    }

    /// Leaves `Asking`, once.
    pub fn settle(&self, stage: FillStage) {
        if self.is_asking() {
            *self.stage.borrow_mut() = stage;
            self.moved.set(tick());
            self.settled.notify_waiters();
        }
    }

    /// Waits until it is no longer `Asking`.
    pub async fn outcome(&self) -> FillStage {
        loop {
            // Made before the check, so that a notification between the two is not lost.
            let settled = self.settled.notified();
            if !self.is_asking() {
                return self.stage();
            }
            settled.await;
        }
    }

    /// Adds to the body and wakes its readers.
    pub fn push(&self, piece: Bytes) {
        let mut flow = self.flow.borrow_mut();
        flow.received += piece.len() as u64;
        self.moved.set(tick());
        let piece = flow.hold.piece(piece);
        if let Some(spill) = &flow.spill {
            spill.write(&piece);
        }
        flow.pieces.push_back(piece);
        flow.wake();
    }

    /// The body is whole. `entry` is what was made of it; readers go on from there, and the pieces are let go.
    pub fn complete(&self, entry: Option<Arc<Entry>>, trailers: Option<HeaderMap>) {
        let mut flow = self.flow.borrow_mut();
        if entry.is_some() {
            flow.clear();
        }
        flow.hold.give_up();
        flow.end = Some(FillEnd::Complete(entry, trailers));
        flow.wake();
    }

    /// The body broke off: every reader sees a broken transfer.
    pub fn broken(&self, blame: Blame) {
        let mut flow = self.flow.borrow_mut();
        if flow.end.is_none() {
            flow.hold.give_up();
            flow.end = Some(FillEnd::Broken(blame));
            flow.wake();
        }
    }

    /// Whether its body came to its end.
    pub fn is_whole(&self) -> bool {
        matches!(self.flow.borrow().end, Some(FillEnd::Complete(..)))
    }

    /// The pieces of a whole body, for the entry.
    pub fn pieces(&self) -> EntryContent<'static> {
        let flow = self.flow.borrow();
        EntryContent::held(flow.pieces.iter().cloned().collect(), flow.hold.clone())
    }

    /// Waits until there is room for more. A fill that will be stored has room always (it is bounded by `max_object` and
    /// `in_flight`). One that will not be goes at the pace of its readers: while one of them has read all there is, the
    /// others may lag by `lag` bytes and are cut off beyond, so that who dawdles harms nobody. When much is held, it has no
    /// room for what nobody waits for; who is cut when it is too much is decided over all readers, by the sweep.
    pub fn poll_room(&self, lag: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.fate.get() == Fate::Store {
            return Poll::Ready(());
        }
        let mut flow = self.flow.borrow_mut();
        if flow.is_spilled() {
            return Poll::Ready(());
        }
        let starving = flow.positions.iter().flatten().any(|&at| at == flow.received);
        let slowest = flow.positions.iter().flatten().min().copied().unwrap_or(flow.received);
        let kept_from = if starving { slowest.max(flow.received.saturating_sub(lag)) } else { slowest };
        if kept_from > slowest && flow.base <= slowest {
            tracing::debug!(url = %self.key, positions = ?flow.positions, received = flow.received, "who is too far behind is cut");
        }
        flow.let_go(kept_from);
        let window = if account::is_tight() { 0 } else { WINDOW };
        if starving || flow.received - flow.base <= window {
            return Poll::Ready(());
        }
        flow.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Says that somebody waits for this fill, until the ticket is dropped.
    pub fn ticket(self: &Rc<Fill>) -> Ticket {
        self.interested.set(self.interested.get() + 1);
        Ticket(self.clone())
    }

    /// A reader from the first byte. `None` when the beginning is no longer there.
    pub fn reader(self: &Rc<Fill>, head: &FillHead) -> Option<Reader> {
        let mut flow = self.flow.borrow_mut();
        if flow.base > 0 && !flow.is_spilled() {
            return None;
        }
        let free = flow.positions.iter().position(Option::is_none);
        let number = free.unwrap_or(flow.positions.len());
        match free {
            Some(i) => flow.positions[i] = Some(0),
            None => flow.positions.push(Some(0)),
        }
        let hold = flow.hold.clone();
        drop(flow);
        Some(Reader::new(self.ticket(), hold, number, head.length))
    }

    /// Nobody waits any more: go on only when nearly done.
    fn deserted(&self) {
        let stop = match &*self.stage.borrow() {
            FillStage::Asking => true,
            FillStage::Streaming(head) => {
                let flow = self.flow.borrow();
                let left = head.length.map(|length| length.saturating_sub(flow.received));
                flow.end.is_none() && (self.fate.get() == Fate::Forget || left.is_none_or(|left| left > NEARLY_DONE))
            }
            _ => false,
        };
        if stop && let Some(task) = self.task.borrow_mut().take() {
            task.abort();
        }
    }
}

/// Somebody's interest in a fill.
pub struct Ticket(Rc<Fill>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let left = self.0.interested.get() - 1;
        self.0.interested.set(left);
        if left == 0 {
            self.0.deserted();
        }
    }
}

/// The same fault for one more waiter.
pub fn same(fault: &Fault) -> Fault {
    Fault { whose: fault.whose, kind: fault.kind, status: fault.status, detail: fault.detail.clone(), source: None }
}

/// What a waiter is told when a fill's own task failed.
pub fn vanished() -> Fault {
    Fault {
        whose: Whose::Us,
        kind: Kind::ProxyInternalError,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        detail: "the fetch ended without an answer; try again".into(),
        source: None,
    }
}

/// Whether others may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It took the place of the old one.
    Stored,
    /// That one was purged or made invalid meanwhile, and the 304 may be older than what was changed: it serves who
    /// waited for it, and nobody later.
    Outdated,
    /// The 304 may not be stored, so it is for its requester alone.
    Alone(NotStored),
}
