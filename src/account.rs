//! One account of the memory that this process holds for others, by kind, and of who holds it.
//!
//! What is stored (in a node), or a hot copy (in the front), is counted by its cache. Everything else of bodies is counted
//! here, by allocation, not by reader: a thousand readers of one body hold it once. [`Hold`] follows the bytes of one body
//! from the first that came to the last reader's last, through the store or past it.

use crate::clock::{Tick, tick};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Pieces of fewer bytes are counted without being followed: what a reader keeps of them is less than what that costs.
const LEAST: usize = 2048;
/// What a piece costs besides its bytes: its owner, its place here and in a body.
const OVERHEAD: u64 = 192;
/// And one that is not followed.
const OVERHEAD_SMALL: u64 = 2 * size_of::<Bytes>() as u64;

/// Bodies on their way (in the front: copies in the making), and what readers alone hold.
static HELD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// Of both together.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Bytes that were let go since the process began.
static FREED: AtomicU64 = AtomicU64::new(0);
/// Readers that were cut because they were too slow.
static CUT: AtomicU64 = AtomicU64::new(0);
static PRESSED: Notify = Notify::const_new();
/// Since when more has been held than may be ([`Tick`]); 0: it is not.
static OVER_SINCE: AtomicU64 = AtomicU64::new(0);
static ROOM: Notify = Notify::const_new();
static OVER: Notify = Notify::const_new();
/// Followed pieces by their addresses.
static PIECES: Mutex<BTreeMap<usize, (usize, Arc<Hold>)>> = Mutex::new(BTreeMap::new());

/// Whose bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// On their way into a store.
    Fills = 0,
    /// In no store: held for their readers alone.
    Readers = 1,
}

/// What a body's bytes count as, and how many there are.
#[derive(Debug)]
pub struct Hold(Mutex<AccountState>);

#[derive(Debug)]
struct AccountState {
    /// What they count as while they are in no store.
    kind: AccountKind,
    /// How many stored entries are made of them.
    stored: u32,
    bytes: u64,
}

/// Sets how many bytes may be held of both kinds together.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Relaxed);
}

pub fn limit() -> u64 {
    LIMIT.load(Relaxed)
}

/// Bytes that are held now.
pub fn held(kind: AccountKind) -> u64 {
    HELD[kind as usize].load(Relaxed)
}

/// Whether more is held than may be.
pub fn is_over() -> bool {
    held(AccountKind::Fills) + held(AccountKind::Readers) > limit()
}

/// Whether more than half of that is: nothing is fetched then before somebody wants it.
pub fn is_tight() -> bool {
    held(AccountKind::Fills) + held(AccountKind::Readers) > limit() / 2
}

/// For how long that has been so without a break.
pub fn over_for(now: Tick) -> Duration {
    match OVER_SINCE.load(Relaxed) {
        0 => Duration::ZERO,
        since => now.since(Tick(since)),
    }
}

/// Waits until no more is held than may be, for so long at most.
pub async fn room(most: Duration) {
    let until = async {
        loop {
            // Made before the check, so that a notification between the two is not lost.
            let changed = ROOM.notified();
            if !is_over() {
                return;
            }
            changed.await;
        }
    };
    let _ = tokio::time::timeout(most, until).await;
}

/// Waits until more is held than may be.
pub async fn over() {
    loop {
        // As in `room`.
        let changed = OVER.notified();
        if is_over() {
            return;
        }
        changed.await;
    }
}

fn note_whether_over() {
    let noted = OVER_SINCE.load(Relaxed) > 0;
    match is_over() {
        true if !noted => {
            OVER_SINCE.store(tick().0.max(1), Relaxed);
            OVER.notify_waiters();
        }
        false if noted => {
            OVER_SINCE.store(0, Relaxed);
            ROOM.notify_waiters();
        }
        _ => {}
    }
    if readers_have_too_much() {
        press();
    }
}

/// Bytes a second of who has brought so many in this time. Who has just begun counts as quick.
pub fn pace(bytes: u64, time: Duration) -> u64 {
    const AT_FIRST: (u64, u64) = (64 * 1024, 100);
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    bytes.saturating_add(AT_FIRST.0).saturating_mul(1000) / milliseconds.saturating_add(AT_FIRST.1)
}

/// Whether it is the readers that hold too much: more than their half, when all hold more than they may.
pub fn readers_have_too_much() -> bool {
    is_over() && held(AccountKind::Readers) > limit() / 2
}

/// So many bytes that are counted elsewhere were let go.
pub fn count_freed(bytes: u64) {
    FREED.fetch_add(bytes, Relaxed);
}

/// Bytes that were let go since the process began.
pub fn freed() -> u64 {
    FREED.load(Relaxed)
}

pub fn cut() -> u64 {
    CUT.load(Relaxed)
}

/// A reader was cut.
pub fn count_cut() {
    CUT.fetch_add(1, Relaxed);
}

/// Wakes those who make room.
pub fn press() {
    PRESSED.notify_waiters();
}

/// Waits for [`press`].
pub async fn pressed() {
    PRESSED.notified().await;
}

/// Whether what lies at this address is held for readers alone.
pub fn is_for_readers(address: usize) -> bool {
    let pieces = pieces();
    let piece = pieces.range(..=address).next_back();
    piece.is_some_and(|(start, (length, hold))| address - start < *length && hold.is_for_readers())
}

/// Whether what lies at this address is counted here.
pub fn follows(address: usize) -> bool {
    let pieces = pieces();
    pieces.range(..=address).next_back().is_some_and(|(start, (length, _))| address - start < *length)
}

fn pieces() -> MutexGuard<'static, BTreeMap<usize, (usize, Arc<Hold>)>> {
    PIECES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hold {
    /// Of a body of which nothing is there yet.
    pub fn new(kind: AccountKind) -> Arc<Hold> {
        Arc::new(Hold(Mutex::new(AccountState { kind, stored: 0, bytes: 0 })))
    }

    /// `data`, counted until the last of its readers has let it go.
    pub fn follow(self: &Arc<Hold>, data: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        let (start, length) = (data.as_ref().as_ptr() as usize, data.as_ref().len());
        if length == 0 {
            return Bytes::new();
        }
        self.add(length as u64 + OVERHEAD);
        pieces().insert(start, (length, self.clone()));
        Bytes::from_owner(Followed { data, start, length, hold: self.clone() })
    }

    /// A piece of a body: small ones are only counted, until [`Hold::drop_piece`].
    pub fn piece(self: &Arc<Hold>, piece: Bytes) -> Bytes {
        if piece.len() >= LEAST {
            return self.follow(piece);
        }
        self.add(piece.len() as u64 + OVERHEAD_SMALL);
        piece
    }

    /// A piece leaves the body; what is followed counts until its readers have let it go too.
    pub fn drop_piece(&self, piece: &Bytes) {
        if piece.len() < LEAST {
            self.take(piece.len() as u64 + OVERHEAD_SMALL);
        }
    }

    /// A piece leaves a body that goes on. Who reads it may have it still, and nobody else: then it counts in `readers`.
    pub fn leave_piece(&self, piece: &Bytes, readers: &Arc<Hold>) {
        self.drop_piece(piece);
        // The last that has it may let it go meanwhile, on another thread.
        let mut pieces = pieces();
        if let Some((length, hold)) = pieces.get_mut(&(piece.as_ptr() as usize))
            && std::ptr::eq(&**hold, self)
        {
            let bytes = *length as u64 + OVERHEAD;
            *hold = readers.clone();
            self.recount(|state| state.bytes = state.bytes.saturating_sub(bytes));
            readers.recount(|state| state.bytes += bytes);
        }
        drop(pieces);
        note_whether_over();
    }

    /// An entry that is made of it is put into a store.
    pub fn enter_store(&self) {
        self.change(|state| state.stored += 1);
    }

    /// Such an entry has left it.
    pub fn leave_store(&self) {
        self.change(|state| {
            state.stored = state.stored.saturating_sub(1);
            state.kind = AccountKind::Readers;
        });
    }

    /// It will not be stored, whatever else comes of it.
    pub fn give_up(&self) {
        self.change(|state| state.kind = AccountKind::Readers);
    }

    /// Bytes that are held of it, in a store or not.
    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Whether there is something of it, and only its readers have it.
    pub fn is_for_readers(&self) -> bool {
        let state = self.state();
        state.stored == 0 && state.kind == AccountKind::Readers && state.bytes > 0
    }

    fn add(&self, bytes: u64) {
        self.change(|state| state.bytes += bytes);
    }

    fn take(&self, bytes: u64) {
        self.change(|state| state.bytes = state.bytes.saturating_sub(bytes));
        FREED.fetch_add(bytes, Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, AccountState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut AccountState)) {
        self.recount(change);
        note_whether_over();
    }

    /// Counts what it was no more, and what it is.
    fn recount(&self, change: impl FnOnce(&mut AccountState)) {
        let mut state = self.state();
        state.count(u64::wrapping_neg);
        change(&mut state);
        state.count(|bytes| bytes);
    }
}

impl AccountState {
    fn count(&self, signed: fn(u64) -> u64) {
        if self.stored == 0 {
            HELD[self.kind as usize].fetch_add(signed(self.bytes), Relaxed);
        }
    }
}

/// The owner of followed bytes.
struct Followed<T> {
    data: T,
    start: usize,
    length: usize,
    hold: Arc<Hold>,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Followed<T> {
    fn as_ref(&self) -> &[u8] {
        self.data.as_ref()
    }
}

impl<T> Drop for Followed<T> {
    fn drop(&mut self) {
        // It may have left the body that it came with.
        let counted = pieces().remove(&self.start);
        let hold = counted.as_ref().map_or(&self.hold, |(_, hold)| hold);
        hold.take(self.length as u64 + OVERHEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account is the process's, and other tests hold bytes too: so it is looked at through one hold.
    #[test]
    fn bytes_count_until_their_last_reader_has_let_them_go() {
        let hold = Hold::new(AccountKind::Fills);
        let piece = hold.piece(Bytes::from(vec![1; 10_000]));
        let slice = piece.slice(5000..);
        let address = slice.as_ptr() as usize;
        assert_eq!(hold.bytes(), 10_000 + OVERHEAD);
        assert!(!is_for_readers(address), "it is on its way");
        hold.enter_store();
        hold.enter_store();
        hold.leave_store();
        assert!(!is_for_readers(address), "one entry that is made of it is stored");
        hold.leave_store();
        assert!(is_for_readers(address) && is_for_readers(piece.as_ptr() as usize));
        drop(piece);
        assert_eq!(hold.bytes(), 10_000 + OVERHEAD);
        drop(slice);
        assert_eq!((hold.bytes(), is_for_readers(address)), (0, false));
    }

    #[test]
    fn a_piece_that_its_body_has_let_go_is_held_for_its_readers() {
        let (hold, readers) = (Hold::new(AccountKind::Fills), Hold::new(AccountKind::Readers));
        let pieces: Vec<_> = (0..2).map(|_| hold.piece(Bytes::from(vec![1; 10_000]))).collect();
        let in_hand = pieces[0].slice(5000..);
        let address = in_hand.as_ptr() as usize;
        assert!(!is_for_readers(address), "the body has it too");
        pieces.iter().for_each(|piece| hold.leave_piece(piece, &readers));
        drop(pieces);
        assert_eq!((hold.bytes(), readers.bytes()), (0, 10_000 + OVERHEAD), "nobody has the other one");
        assert!(is_for_readers(address));
        drop(in_hand);
        assert_eq!(readers.bytes(), 0);
    }

    #[test]
    fn small_pieces_count_while_their_body_has_them() {
        let hold = Hold::new(AccountKind::Fills);
        let piece = hold.piece(Bytes::from(vec![1; 10]));
        assert_eq!(hold.bytes(), 10 + OVERHEAD_SMALL);
        hold.drop_piece(&piece);
        assert_eq!(hold.bytes(), 0);
    }
}
