//! What a connection is doing, shared by its socket, its messages, its driver and the sweeper.

use super::held::HeadBytes;
use super::opening::Noted;
use crate::account;
use crate::clock::{Tick, tick};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// One thread uses it. The atomics (plain loads and stores in machine code) are there because hyper wants the socket
/// of an upgrade to be Send.
#[derive(Debug)]
pub(super) struct State {
    /// Halves of exchanges under way: a request body that is not read to its end, an answer that is not written out.
    halves: AtomicU8,
    /// Bytes of a head have come and the service has not been called.
    head: AtomicBool,
    /// The socket belongs to a tunnel now.
    tunnel: AtomicBool,
    /// Something has moved since the sweeper last looked.
    moved: AtomicBool,
    /// Of our answers, bytes may still be in hyper's buffer.
    unflushed: AtomicBool,
    /// A write has been pending since the last one that moved something.
    write_waits: AtomicBool,
    /// Where the bytes lie that the peer does not take, and how many there are; 0: it takes all.
    waits_at: AtomicUsize,
    waiting: AtomicUsize,
    /// Since when ([`Tick`], never 0) there has always been something that it had not taken, and what it took since.
    slow_since: AtomicU64,
    taken: AtomicU64,
    /// The service waits for a piece of the request body.
    body_waits: AtomicBool,
    /// A request body was given up before its end.
    unread: AtomicBool,
    /// The service has said of an answer that it is the last one.
    last: AtomicBool,
    /// The body of the request is not read to its end.
    uploading: AtomicBool,
    /// See [`Noted`].
    pathless: AtomicBool,
    two_ends: AtomicBool,
    /// A request body is under way, and somebody reads it.
    uploads: AtomicBool,
    /// What has come of a head that is not complete.
    head_bytes: HeadBytes,
    /// How many exchanges have begun, and whether the answer of the last one has.
    exchanges: AtomicU32,
    answered: AtomicBool,
    /// The socket, while it is ours: -1 before and after.
    socket: AtomicI32,
    /// The rest of an interim response that the socket had no room for.
    rest: Mutex<Vec<u8>>,
    has_rest: AtomicBool,
    /// Who waits until hyper has written everything that it was given.
    unwritten: Mutex<Option<Waker>>,
    waits_unwritten: AtomicBool,
    stalled: AtomicBool,
    /// The status of an answer that hyper wrote on its own and that was held back; 0: none.
    refused: AtomicU16,
}

/// What the sweeper measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No byte of the next request yet.
    Idle,
    /// Some bytes; the service is not called yet.
    Head,
    /// From the call of the service to the end of both bodies.
    Busy,
    /// Out of our hands.
    Tunnel,
}

impl Default for State {
    fn default() -> State {
        State {
            socket: AtomicI32::new(-1),
            halves: AtomicU8::default(),
            head: AtomicBool::default(),
            tunnel: AtomicBool::default(),
            moved: AtomicBool::default(),
            unflushed: AtomicBool::default(),
            write_waits: AtomicBool::default(),
            waits_at: AtomicUsize::default(),
            waiting: AtomicUsize::default(),
            slow_since: AtomicU64::default(),
            taken: AtomicU64::default(),
            body_waits: AtomicBool::default(),
            unread: AtomicBool::default(),
            last: AtomicBool::default(),
            uploading: AtomicBool::default(),
            pathless: AtomicBool::default(),
            two_ends: AtomicBool::default(),
            uploads: AtomicBool::default(),
            head_bytes: HeadBytes::default(),
            exchanges: AtomicU32::default(),
            answered: AtomicBool::default(),
            rest: Mutex::default(),
            has_rest: AtomicBool::default(),
            unwritten: Mutex::default(),
            waits_unwritten: AtomicBool::default(),
            stalled: AtomicBool::default(),
            refused: AtomicU16::default(),
        }
    }
}

impl State {
    /// The connection has this socket from now on; `None`: it has no more.
    pub(super) fn set_socket(&self, socket: Option<BorrowedFd<'_>>) {
        self.socket.store(socket.map_or(-1, |s| s.as_raw_fd()), Relaxed);
    }

    /// The number of the exchange that has just begun.
    pub(super) fn exchange(&self) -> u32 {
        self.exchanges.load(Relaxed)
    }

    /// Whether nothing has been written, or is left to be, since this exchange began.
    pub(super) fn is_silent(&self, exchange: u32) -> bool {
        self.exchange() == exchange
            && self.phase() == Phase::Busy
            && self.is_flushed()
            && !self.answered.load(Relaxed)
            && !self.has_rest.load(Relaxed)
    }

    /// Writes to the socket, if there is one; what `write` could not is kept for [`State::take_rest`].
    pub(super) fn with_socket(&self, write: impl FnOnce(BorrowedFd<'_>) -> Option<Vec<u8>>) {
        let socket = self.socket.load(Relaxed);
        if socket < 0 {
            return;
        }
        // SAFETY: it is set while the connection holds the socket open, and cleared before that ends, on one thread.
        let rest = write(unsafe { BorrowedFd::borrow_raw(socket) });
        if let Some(rest) = rest {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
            self.has_rest.store(true, Relaxed);
        }
    }

    /// What must be written before anything else.
    pub(super) fn rest(&self) -> Option<MutexGuard<'_, Vec<u8>>> {
        self.has_rest.load(Relaxed).then(|| self.rest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn no_rest(&self) {
        self.has_rest.store(false, Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        if self.tunnel.load(Relaxed) {
            Phase::Tunnel
        } else if self.halves.load(Relaxed) > 0 {
            Phase::Busy
        } else if self.head.load(Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// So many bytes came from the socket.
    pub(super) fn received(&self, bytes: usize) {
        match self.phase() {
            Phase::Idle => {
                self.head.store(true, Relaxed);
                self.moved.store(true, Relaxed);
                self.head_bytes.add(bytes);
            }
            Phase::Head => self.head_bytes.add(bytes),
            Phase::Busy | Phase::Tunnel => {}
        }
    }

    pub(super) fn set_uploads(&self, uploads: bool) {
        self.uploads.store(uploads, Relaxed);
    }

    pub(super) fn uploads(&self) -> bool {
        self.uploads.load(Relaxed)
    }

    /// Between two messages, with nothing of ours left to be written.
    pub(super) fn is_between(&self) -> bool {
        self.phase() == Phase::Idle && self.is_flushed()
    }

    /// Whether what hyper writes now is an answer of its own: none of ours is under way or left over.
    pub(super) fn is_refusing(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Head) && !self.unflushed.load(Relaxed)
    }

    pub(super) fn refuse(&self, status: u16) {
        if self.refused.load(Relaxed) == 0 {
            self.refused.store(status.max(1), Relaxed);
        }
    }

    pub(super) fn refused(&self) -> Option<u16> {
        Some(self.refused.load(Relaxed)).filter(|status| *status != 0)
    }

    /// Whether something of a head that is not complete is held.
    pub(super) fn has_head(&self) -> bool {
        !self.head_bytes.is_empty()
    }

    /// The head that has begun is refused, and what came of it dropped.
    pub(super) fn drops_head(&self) {
        self.head_bytes.give_back();
    }

    /// The socket has no room for `bytes`, or for more than a part of them.
    pub(super) fn write_pending(&self, bytes: &[u8]) {
        self.write_waits.store(true, Relaxed);
        self.waits_at.store(bytes.as_ptr() as usize, Relaxed);
        self.waiting.store(bytes.len(), Relaxed);
        if self.slow_since.load(Relaxed) == 0 {
            self.taken.store(0, Relaxed);
            self.slow_since.store(tick().0.max(1), Relaxed);
        }
    }

    pub(super) fn written(&self, bytes: usize) {
        self.write_waits.store(false, Relaxed);
        self.taken.store(self.taken.load(Relaxed) + bytes as u64, Relaxed);
        self.progress();
    }

    /// Nothing is left for the peer to take.
    pub(super) fn all_taken(&self) {
        self.slow_since.store(0, Relaxed);
        self.waiting.store(0, Relaxed);
    }

    pub(super) fn flushed(&self) {
        self.unflushed.store(false, Relaxed);
        self.all_taken();
        if self.waits_unwritten.load(Relaxed) {
            self.waits_unwritten.store(false, Relaxed);
            if let Some(waker) = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).take() {
                waker.wake();
            }
        }
    }

    /// Wakes when everything that hyper was given so far is written.
    pub(super) fn want_written(&self, waker: &Waker) {
        *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.waits_unwritten.store(true, Relaxed);
    }

    /// The peer has kept us waiting for too long: what runs is not brought to its end.
    pub(super) fn stalls(&self) {
        self.stalled.store(true, Relaxed);
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    pub(super) fn wants_written(&self) -> bool {
        self.waits_unwritten.load(Relaxed)
    }

    /// Bytes that are kept here for a peer that does not take them, if the account does not follow them.
    pub(super) fn waiting(&self) -> usize {
        let counts = self.write_waits() && !account::follows(self.waits_at.load(Relaxed));
        if counts { self.waiting.load(Relaxed) } else { 0 }
    }

    /// How fast its peer is, in bytes a second, where it waits for it with bytes that are in no store.
    pub(super) fn pace_of_reader(&self, now: Tick) -> Option<u64> {
        if !self.write_waits() || !account::is_for_readers(self.waits_at.load(Relaxed)) {
            return None;
        }
        let since = Tick(self.slow_since.load(Relaxed));
        Some(account::pace(self.taken.load(Relaxed), now.since(since)))
    }

    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed.load(Relaxed)
    }

    /// The service is called for a request.
    pub(super) fn asked(&self) {
        self.exchanges.store(self.exchange().wrapping_add(1), Relaxed);
        self.answered.store(false, Relaxed);
    }

    /// The service has answered: what is written from now on is ours.
    pub(super) fn answered(&self) {
        self.unflushed.store(true, Relaxed);
        self.answered.store(true, Relaxed);
        self.progress();
    }

    /// The answer to the request that it has, has begun.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    pub(super) fn body_pending(&self) {
        self.body_waits.store(true, Relaxed);
    }

    pub(super) fn body_moved(&self) {
        self.body_waits.store(false, Relaxed);
        self.progress();
    }

    pub(super) fn body_given_up(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Whether the client may still be sending a body that nobody reads.
    pub(super) fn has_unread_body(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// The service has answered that it closes, whatever the client has sent behind this request.
    pub(super) fn said_last(&self) {
        self.last.store(true, Relaxed);
    }

    pub(super) fn has_said_last(&self) -> bool {
        self.last.load(Relaxed)
    }

    pub(super) fn set_uploading(&self, uploading: bool) {
        self.uploading.store(uploading, Relaxed);
    }

    /// Whether the client has not sent all of its request, or nobody has read it.
    pub(super) fn is_uploading(&self) -> bool {
        self.uploading.load(Relaxed)
    }

    /// Of the head that has been read.
    pub(super) fn note(&self, noted: Noted) {
        self.pathless.store(noted.pathless, Relaxed);
        self.two_ends.store(noted.two_ends, Relaxed);
    }

    pub(super) fn take_noted(&self) -> Noted {
        Noted { pathless: self.pathless.swap(false, Relaxed), two_ends: self.two_ends.swap(false, Relaxed) }
    }

    pub(super) fn becomes_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    pub(super) fn write_waits(&self) -> bool {
        self.write_waits.load(Relaxed)
    }

    /// Whether we wait for the peer in the middle of a message.
    pub(super) fn waits_for_peer(&self) -> bool {
        self.write_waits.load(Relaxed) || self.body_waits.load(Relaxed)
    }

    /// Whether something moved since the last call.
    pub(super) fn take_moved(&self) -> bool {
        let moved = self.moved.load(Relaxed);
        if moved {
            self.moved.store(false, Relaxed);
        }
        moved
    }

    /// A head that trickles in makes no progress that would buy it time.
    fn progress(&self) {
        if self.phase() != Phase::Head {
            self.moved.store(true, Relaxed);
        }
    }
}

/// One half of an exchange, from the call of the service until it is dropped.
#[derive(Debug)]
pub(super) struct Half(Arc<State>);

impl Half {
    pub(super) fn begin(state: &Arc<State>) -> Half {
        state.halves.store(state.halves.load(Relaxed) + 1, Relaxed);
        state.head.store(false, Relaxed);
        state.head_bytes.clear();
        state.moved.store(true, Relaxed);
        Half(state.clone())
    }
    pub(super) fn state(&self) -> &State {
        &self.0
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let state = &self.0;
        // The end of the answer may be in hyper's buffer still.
        state.unflushed.store(true, Relaxed);
        state.moved.store(true, Relaxed);
        state.halves.store(state.halves.load(Relaxed).saturating_sub(1), Relaxed);
    }
}
