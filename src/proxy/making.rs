//! Bodies of which hot copies are made while they pass. They are counted, and given up when they take too long or too much.

use crate::account::{self, AccountKind, Hold};
use crate::clock::Tick;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The pieces of one body so far; `None`: it was given up.
pub struct Making {
    hold: Arc<Hold>,
    pieces: Mutex<Option<Vec<Bytes>>>,
    since: Tick,
}

/// All that are under way.
#[derive(Default)]
pub struct AllMaking(Mutex<Vec<Weak<Making>>>);

impl Making {
    /// One more piece; gives the body up when all that are under way have half of what may be held.
    pub fn push(&self, piece: &Bytes) {
        if account::held(AccountKind::Fills) + piece.len() as u64 > account::limit() / 2 {
            return self.give_up();
        }
        if let Some(pieces) = &mut *self.pieces.lock().unwrap_or_else(PoisonError::into_inner) {
            pieces.push(self.hold.piece(piece.clone()));
        }
    }

    /// All of it, if it was not given up.
    pub fn pieces(&self) -> Option<Vec<Bytes>> {
        self.take()
    }

    fn give_up(&self) {
        self.take();
    }

    fn take(&self) -> Option<Vec<Bytes>> {
        let taken = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.iter().flatten().for_each(|piece| self.hold.drop_piece(piece));
        taken
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl AllMaking {
    pub fn begin(&self, since: Tick) -> Arc<Making> {
        let (hold, pieces) = (Hold::new(AccountKind::Fills), Mutex::new(Some(Vec::new())));
        let making = Arc::new(Making { hold, pieces, since });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&making));
        making
    }

    /// Gives up what began so many milliseconds ago: a copy would not be kept any more.
    pub fn tidy(&self, now: Tick, most: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|making| {
            let Some(making) = making.upgrade() else { return false };
            let goes_on = now.0 < making.since.0 + most;
            if !goes_on {
                making.give_up();
            }
            goes_on
        });
    }
}
