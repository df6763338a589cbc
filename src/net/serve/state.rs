//! What a connection is doing, shared by its socket, its messages, its task and the sweeper.

use super::held::{self, HeadBytes};
use crate::account::{self, Hold};
use crate::clock::{Tick, tick};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Bytes of interim responses that wait for the client, about.
pub(super) const MEANWHILE: usize = 64 * 1024;

/// One thread uses it. The atomics (plain loads and stores in machine code) are there because what hyper's client calls for
/// interim responses has to be Send.
#[derive(Debug, Default)]
pub(super) struct ConnState {
    /// Halves of exchanges under way: a request body that is not read to its end, an answer that is not written out.
    halves: AtomicU8,
    /// Bytes of a head have come and the service has not been called.
    head: AtomicBool,
    /// The socket belongs to a tunnel now.
    tunnel: AtomicBool,
    /// Something of a request has come on it, now or before.
    has_asked: AtomicBool,
    /// Something has moved since the sweeper last looked.
    moved: AtomicBool,
    /// Of our answers, bytes may not be written.
    unflushed: AtomicBool,
    /// A write has been pending since the last one that moved something.
    write_waits: AtomicBool,
    /// Where the bytes lie that the peer does not take, and how many there are; 0: it takes all.
    waits_at: AtomicUsize,
    waiting: AtomicUsize,
    /// Since when ([`Tick`]) it has taken nothing, while a write is pending.
    waits_since: AtomicU64,
    /// What counts the body that it is sent, where that is known.
    reads: Mutex<Option<Arc<Hold>>>,
    /// The service waits for a piece of the request body.
    body_waits: AtomicBool,
    /// A request body was given up before its end.
    unread: AtomicBool,
    /// The service has said of an answer that it is the last one.
    last: AtomicBool,
    /// The body of the request is not read to its end.
    uploading: AtomicBool,
    /// A request body is under way, and somebody reads it.
    uploads: AtomicBool,
    /// What has come of a head that is not complete.
    head_bytes: HeadBytes,
    /// Since when ([`Tick`]) fields on a connection of HTTP/2 have not ended; 0: none are under way.
    fields_since: AtomicU64,
    /// It waits for the socket, which others use too, and not for its peer alone.
    in_line: AtomicBool,
    /// What a connection of HTTP/2 takes besides.
    beside: AtomicUsize,
    /// What its answer holds while the peer does not take it.
    answer_bytes: AtomicUsize,
    /// How many exchanges have begun, and whether the answer of the last one has.
    exchanges: AtomicU32,
    answered: AtomicBool,
    /// Interim responses that are to be written before anything else.
    rest: Mutex<Vec<u8>>,
    has_rest: AtomicBool,
    /// The task of the connection.
    driver: Mutex<Option<Waker>>,
    stalled: AtomicBool,
}

/// What the sweeper measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerPhase {
    /// No byte of the next request yet.
    Idle,
    /// Some bytes; the service is not called yet.
    Head,
    /// From the call of the service to the end of both bodies.
    Busy,
    /// Out of our hands.
    Tunnel,
}

impl ConnState {
    /// The number of the exchange that has just begun.
    pub(super) fn exchange(&self) -> u32 {
        self.exchanges.load(Relaxed)
    }

    /// Whether nothing has been answered since this exchange began.
    fn is_silent(&self, exchange: u32) -> bool {
        self.exchange() == exchange
            && self.phase() == ServerPhase::Busy
            && self.is_flushed()
            && !self.answered.load(Relaxed)
    }

    /// Has `message` written before anything else, where this exchange is not answered yet.
    pub(super) fn say_meanwhile(&self, exchange: u32, message: impl FnOnce() -> Vec<u8>) {
        if !self.is_silent(exchange) {
            return;
        }
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        // Who takes none of them waits for the answer alone.
        if rest.len() < MEANWHILE {
            rest.extend_from_slice(&message());
            self.has_rest.store(true, Relaxed);
            self.wake();
        }
    }

    /// Who is to be woken when there is something to be done.
    pub(super) fn listen(&self, driver: &Waker) {
        let mut known = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| known.will_wake(driver)) {
            *known = Some(driver.clone());
        }
    }

    fn wake(&self) {
        if let Some(driver) = &*self.driver.lock().unwrap_or_else(PoisonError::into_inner) {
            driver.wake_by_ref();
        }
    }

    /// What must be written before anything else.
    pub(super) fn rest(&self) -> Option<MutexGuard<'_, Vec<u8>>> {
        self.has_rest.load(Relaxed).then(|| self.rest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn no_rest(&self) {
        self.has_rest.store(false, Relaxed);
    }

    pub(super) fn phase(&self) -> ServerPhase {
        if self.tunnel.load(Relaxed) {
            ServerPhase::Tunnel
        } else if self.halves.load(Relaxed) > 0 {
            ServerPhase::Busy
        } else if self.head.load(Relaxed) {
            ServerPhase::Head
        } else {
            ServerPhase::Idle
        }
    }

    /// So many bytes came from the socket.
    pub(super) fn received(&self, bytes: usize) {
        match self.phase() {
            ServerPhase::Idle => {
                self.head.store(true, Relaxed);
                self.asks();
                self.moved.store(true, Relaxed);
                self.head_bytes.add(bytes);
            }
            ServerPhase::Head => self.head_bytes.add(bytes),
            ServerPhase::Busy | ServerPhase::Tunnel => {}
        }
    }

    pub(super) fn asks(&self) {
        self.has_asked.store(true, Relaxed);
    }

    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Relaxed)
    }

    pub(super) fn set_uploads(&self, uploads: bool) {
        self.uploads.store(uploads, Relaxed);
    }

    pub(super) fn uploads(&self) -> bool {
        self.uploads.load(Relaxed)
    }

    /// Between two messages, with nothing of ours left to be written.
    pub(super) fn is_between(&self) -> bool {
        self.phase() == ServerPhase::Idle && self.is_flushed()
    }

    /// Whether something of a head that is not complete is held.
    pub(super) fn has_head(&self) -> bool {
        self.head_bytes() > 0
    }

    pub(super) fn head_bytes(&self) -> u64 {
        self.head_bytes.get()
    }

    /// The head that has begun is complete.
    pub(super) fn head_is_complete(&self) {
        if self.head.load(Relaxed) {
            self.head.store(false, Relaxed);
            self.head_bytes.clear();
            self.moved.store(true, Relaxed);
        }
    }

    /// So many bytes came on a connection of HTTP/2, and end within fields, whatever its streams do.
    pub(super) fn fields_go_on(&self, bytes: usize) {
        if self.fields_since.load(Relaxed) == 0 {
            self.fields_since.store(tick().0.max(1), Relaxed);
            self.progress();
        }
        self.head.store(true, Relaxed);
        self.head_bytes.add(bytes);
    }

    pub(super) fn fields_end(&self) {
        self.fields_since.store(0, Relaxed);
        self.head_is_complete();
    }

    /// Since when they go on.
    pub(super) fn fields_since(&self) -> Option<Tick> {
        Some(self.fields_since.load(Relaxed)).filter(|since| *since > 0).map(Tick)
    }

    /// The head that has begun is refused, and what came of it dropped.
    pub(super) fn drops_head(&self) {
        self.head_bytes.give_back();
    }

    /// The socket has no room for `bytes`, or for more than a part of them.
    pub(super) fn write_pending(&self, bytes: &[u8]) {
        self.all_pending(bytes, bytes.len());
    }

    /// The same where so many wait with them.
    pub(super) fn all_pending(&self, bytes: &[u8], all: usize) {
        if !self.write_waits.load(Relaxed) {
            self.write_waits.store(true, Relaxed);
            self.waits_since.store(tick().0, Relaxed);
        }
        self.waits_at.store(bytes.as_ptr() as usize, Relaxed);
        self.waiting.store(all, Relaxed);
    }

    /// The same of a stream, whatever it has waited for.
    pub(super) fn took(&self) {
        self.set_in_line(false);
        self.written();
    }

    /// Whether it waits for others of its connection, too.
    pub(super) fn set_in_line(&self, in_line: bool) {
        self.in_line.store(in_line, Relaxed);
    }

    pub(super) fn is_in_line(&self) -> bool {
        self.in_line.load(Relaxed)
    }

    pub(super) fn set_answer_bytes(&self, bytes: usize) {
        self.answer_bytes.store(bytes, Relaxed);
    }

    /// What its answer holds while the peer does not take it, as the account has it.
    pub(super) fn answer_bytes(&self) -> usize {
        self.answer_bytes.load(Relaxed)
    }

    /// The peer has taken something.
    pub(super) fn written(&self) {
        self.write_waits.store(false, Relaxed);
        self.progress();
    }

    pub(super) fn flushed(&self) {
        self.unflushed.store(false, Relaxed);
    }

    /// The peer has kept us waiting for too long: what runs is not brought to its end.
    pub(super) fn stalls(&self) {
        self.stalled.store(true, Relaxed);
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// As a connection of HTTP/2 it has had so many streams at once.
    pub(super) fn has_had(&self, streams: usize) {
        self.beside.store(held::of_http2(streams), Relaxed);
    }

    /// What it takes besides a connection of HTTP/1.1.
    pub(super) fn beside(&self) -> usize {
        self.beside.load(Relaxed)
    }

    /// Bytes that are kept here for a peer that does not take them, if the account does not follow them.
    pub(super) fn waiting(&self) -> usize {
        let counts = self.write_waits() && self.answer_bytes() == 0 && !account::follows(self.waits_at.load(Relaxed));
        if counts { held::of_answer(self.waiting.load(Relaxed)) } else { 0 }
    }

    /// It is sent a body that this counts.
    pub(super) fn set_reads(&self, hold: Option<&Arc<Hold>>) {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner) = hold.cloned();
    }

    /// For how long its peer has taken nothing, where it waits for it with bytes that are in no store.
    pub(super) fn stuck_for(&self, now: Tick) -> Option<Duration> {
        if !self.write_waits() {
            return None;
        }
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let is_for_readers = reads.as_ref().is_some_and(|hold| hold.is_for_readers())
            || account::is_for_readers(self.waits_at.load(Relaxed));
        is_for_readers.then(|| self.waits_for(now))
    }

    /// For how long its peer has taken nothing, while a write waits.
    pub(super) fn waits_for(&self, now: Tick) -> Duration {
        if self.write_waits() { now.since(Tick(self.waits_since.load(Relaxed))) } else { Duration::ZERO }
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

    /// Nobody reads the body any more: `unread`, though it has not come to its end.
    pub(super) fn body_ended(&self, unread: bool) {
        self.set_uploads(false);
        match unread {
            true => self.unread.store(true, Relaxed),
            false => self.set_uploading(false),
        }
        self.wake();
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
        if self.phase() != ServerPhase::Head {
            self.moved.store(true, Relaxed);
        }
    }
}

/// One half of an exchange, from the call of the service until it is dropped.
#[derive(Debug)]
pub(super) struct Half(Arc<ConnState>);

impl Half {
    pub(super) fn begin(state: &Arc<ConnState>) -> Half {
        state.head.store(false, Relaxed);
        state.head_bytes.clear();
        Half::beside(state)
    }
    /// The head of another may be coming.
    pub(super) fn beside(state: &Arc<ConnState>) -> Half {
        state.halves.store(state.halves.load(Relaxed) + 1, Relaxed);
        state.asks();
        state.moved.store(true, Relaxed);
        Half(state.clone())
    }
    pub(super) fn state(&self) -> &ConnState {
        &self.0
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let state = &self.0;
        state.moved.store(true, Relaxed);
        state.halves.store(state.halves.load(Relaxed).saturating_sub(1), Relaxed);
    }
}
