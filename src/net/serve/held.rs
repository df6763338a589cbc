//! What connections hold besides the bodies that [`crate::account`] follows. Heads are counted as they come in; the rest
//! is summed up by each sweep.

use crate::account::{self, count_freed, press};
use crate::clock::{Tick, tick};
use crate::net::shares::{ClientId, Seat, Seats};
use bytes::Bytes;
use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bytes of heads that are not complete, at most, in a process: when there are more, who began first is turned away.
pub const HEADS: u64 = 8 * 1024 * 1024;
/// Beyond this nobody is waited for: of a client that has most of them, who brings more is turned away at once.
const MOST_HEADS: u64 = HEADS / 4 * 5;
/// Bytes of heads of requests that wait for their answers, at most, in a process; of each there are some copies, more at a node than
/// at a front, so that what a front lets in has room behind it.
const WAITING: usize = 32 * 1024 * 1024;
/// Bytes of answers on streams of HTTP/2 that no client takes, at most, in a process; and when there are more than so many, who
/// has taken nothing for longest is cut.
const ANSWERS: usize = 64 * 1024 * 1024;
const MANY_ANSWERS: u64 = ANSWERS as u64 / 4 * 3;
/// A head of fewer bytes is part of what its connection takes.
const SHORT: usize = 2048;
/// What a connection takes: its task, its place in the sweep, and what it keeps between two requests.
const CONNECTION: u64 = 6 * 1024;
/// What one of HTTP/2 takes besides: the library's buffers and tables; and what that keeps for each stream of those that there were
/// at once, for as long as the connection lasts.
const HTTP2: usize = 12 * 1024;
const STREAM: usize = 1536;
/// What is read ahead of a request body that is under way, about: four pieces that wait to be sent on, each of a buffer of
/// 64 KiB that it keeps as a whole.
const UPLOAD: u64 = 256 * 1024;

/// What is read ahead of an answer: a piece of it keeps the whole buffer.
const ANSWER: usize = 64 * 1024;
/// But smaller ones are copied.
const COPIED: usize = 4096;

static HEADS_HELD: AtomicU64 = AtomicU64::new(0);
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
static UPLOADS: AtomicU64 = AtomicU64::new(0);
/// That serve connections.
static THREADS: AtomicU64 = AtomicU64::new(0);

/// With their copies.
static WAITING_HELD: AtomicU64 = AtomicU64::new(0);
static WAITING_HEADS: LazyLock<Seats> = LazyLock::new(|| Seats::new(WAITING));

static ANSWERS_HELD: AtomicU64 = AtomicU64::new(0);
static ANSWERS_WAITING: LazyLock<Seats> = LazyLock::new(|| Seats::new(ANSWERS));
/// Since when there are too many ([`Tick`]); 0: there are not.
static ANSWERS_OVER_SINCE: AtomicU64 = AtomicU64::new(0);

/// Bytes by kind, in this process.
pub fn by_kind() -> [(&'static str, u64); 5] {
    [
        ("answers", ANSWERS_HELD.load(Relaxed)),
        ("waiting", WAITING_HELD.load(Relaxed)),
        ("connections", CONNECTIONS.load(Relaxed)),
        ("heads", HEADS_HELD.load(Relaxed)),
        ("uploads", UPLOADS.load(Relaxed)),
    ]
}

/// What a connection of HTTP/2 takes besides, that has had so many streams at once.
pub(super) fn of_http2(streams: usize) -> usize {
    HTTP2 + streams * STREAM
}

/// What an answer takes of which so many bytes wait for the peer.
pub(super) fn of_answer(waiting: usize) -> usize {
    if waiting > COPIED { waiting.max(ANSWER) } else { waiting }
}

/// What a piece of an answer takes that is kept in hand for who does not take it. A short one is copied, so that it is that
/// alone which is kept; nothing where its bytes are another's in the account.
pub(super) fn piece_in_hand(piece: &mut Bytes) -> usize {
    match piece.len() {
        0 => 0,
        _ if account::follows(piece.as_ptr() as usize) => 0,
        short if short <= ANSWER / 2 => {
            *piece = Bytes::copy_from_slice(piece);
            short
        }
        long => long.max(ANSWER),
    }
}

pub(super) fn heads_are_too_much() -> bool {
    HEADS_HELD.load(Relaxed) > HEADS
}

/// Whether who brings more of one is turned away at once. `is_of_crowd`: its client has most of them; of all others there is
/// room for as much again.
pub(super) fn has_no_room_for_heads(is_of_crowd: impl FnOnce() -> bool) -> bool {
    let held = HEADS_HELD.load(Relaxed);
    held > 2 * HEADS || held > MOST_HEADS && is_of_crowd()
}

/// A head that waits for its answer, in the account until dropped.
pub(super) struct WaitingHead {
    _seat: Seat,
    bytes: u64,
}

/// Room for a head of so many bytes, of which there will be so many copies; `Err`: there is none, or its client has its share.
/// `None`: it needs none.
pub(super) fn wait(of: ClientId, length: usize, copies: usize) -> Result<Option<WaitingHead>, ()> {
    if length < SHORT {
        return Ok(None);
    }
    let _seat = WAITING_HEADS.take_many(of, length).map_err(drop)?;
    let bytes = length.saturating_mul(copies) as u64;
    WAITING_HELD.fetch_add(bytes, Relaxed);
    Ok(Some(WaitingHead { _seat, bytes }))
}

impl Drop for WaitingHead {
    fn drop(&mut self) {
        WAITING_HELD.fetch_sub(self.bytes, Relaxed);
        count_freed(self.bytes);
    }
}

/// An answer that waits for its client, in the account until dropped.
pub(super) struct WaitingAnswer {
    _seat: Seat,
    bytes: u64,
}

impl WaitingAnswer {
    /// Of so many bytes, with its stream; `Err`: there is no room, or its client has its share.
    pub(super) fn new(of: ClientId, bytes: usize) -> Result<WaitingAnswer, ()> {
        let bytes = bytes + CONNECTION as usize;
        let _seat = ANSWERS_WAITING.take_many(of, bytes).map_err(drop)?;
        ANSWERS_HELD.fetch_add(bytes as u64, Relaxed);
        note_answers();
        Ok(WaitingAnswer { _seat, bytes: bytes as u64 })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl Drop for WaitingAnswer {
    fn drop(&mut self) {
        ANSWERS_HELD.fetch_sub(self.bytes, Relaxed);
        count_freed(self.bytes);
        note_answers();
    }
}

fn note_answers() {
    match (ANSWERS_HELD.load(Relaxed) > MANY_ANSWERS, ANSWERS_OVER_SINCE.load(Relaxed)) {
        (true, 0) => {
            ANSWERS_OVER_SINCE.store(tick().0.max(1), Relaxed);
            press();
        }
        (true, _) | (false, 0) => {}
        (false, _) => ANSWERS_OVER_SINCE.store(0, Relaxed),
    }
}

/// For how long there have been too many answers that wait; `None`: there are not.
pub(super) fn answers_are_too_much(now: Tick) -> Option<Duration> {
    let since = ANSWERS_OVER_SINCE.load(Relaxed);
    (since > 0).then(|| now.since(Tick(since)))
}

/// Of so many that this thread holds, so many are to go; 0: others hold more than their share.
pub(super) fn answers_to_cut(own: usize) -> usize {
    let own = (own as u64).saturating_sub(share(MANY_ANSWERS));
    own.min(ANSWERS_HELD.load(Relaxed).saturating_sub(MANY_ANSWERS)) as usize
}

/// Whether a thread that holds so many of those bytes is to turn somebody away.
pub(super) fn is_to_refuse(own: u64) -> bool {
    own > share(HEADS)
}

/// What one thread may hold. Where all hold too much one of them holds its share at least, so somebody is turned away; and a thread
/// that holds little turns nobody away for what others hold.
fn share(limit: u64) -> u64 {
    limit / THREADS.load(Relaxed).max(1)
}

/// Bytes of one head that is not complete.
#[derive(Debug, Default)]
pub(super) struct HeadBytes(AtomicU64);

impl HeadBytes {
    pub(super) fn add(&self, bytes: usize) {
        self.0.store(self.0.load(Relaxed) + bytes as u64, Relaxed);
        HEADS_HELD.fetch_add(bytes as u64, Relaxed);
        if heads_are_too_much() {
            press();
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// It is refused, or its connection has ended.
    pub(super) fn give_back(&self) {
        count_freed(self.0.load(Relaxed));
        self.clear();
    }

    /// It is complete.
    pub(super) fn clear(&self) {
        let bytes = self.0.load(Relaxed);
        if bytes > 0 {
            self.0.store(0, Relaxed);
            HEADS_HELD.fetch_sub(bytes, Relaxed);
        }
    }
}

impl Drop for HeadBytes {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What the connections of one thread hold, as its last sweep has found.
pub(super) struct Sums {
    connections: Cell<u64>,
    uploads: Cell<u64>,
}

impl Default for Sums {
    fn default() -> Sums {
        THREADS.fetch_add(1, Relaxed);
        Sums { connections: Cell::new(0), uploads: Cell::new(0) }
    }
}

impl Sums {
    /// `waiting`: bytes of answers that are kept for peers who do not take them, and are not followed by the account; and what
    /// connections of HTTP/2 take besides.
    pub(super) fn set(&self, connections: usize, waiting: usize, uploads: usize) {
        replace(&self.connections, connections as u64 * CONNECTION + waiting as u64, &CONNECTIONS);
        replace(&self.uploads, uploads as u64 * UPLOAD, &UPLOADS);
    }
}

impl Drop for Sums {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Relaxed);
        self.set(0, 0, 0);
    }
}

fn replace(own: &Cell<u64>, now: u64, all: &AtomicU64) {
    let before = own.replace(now);
    all.fetch_add(now.wrapping_sub(before), Relaxed);
    count_freed(before.saturating_sub(now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_holds_is_in_the_sum_until_its_connections_are_gone() {
        let before = CONNECTIONS.load(Relaxed);
        let sums = Sums::default();
        sums.set(3, 100, 1);
        assert!(CONNECTIONS.load(Relaxed) >= before.min(3 * CONNECTION + 100));
        sums.set(1, 0, 0);
        assert_eq!((sums.connections.get(), sums.uploads.get()), (CONNECTION, 0));
    }
}
