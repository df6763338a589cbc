//! The body of a fill on its way: the pieces that have come and are kept, and where each reader is.

use crate::account::{self, Hold};
use crate::store::Entry;
use crate::wire::fault::Blame;
use bytes::Bytes;
use http::HeaderMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

/// How a body ended.
pub enum FillEnd {
    /// The readers go on with the entry.
    Complete(Option<Arc<Entry>>, Option<HeaderMap>),
    Broken(Blame),
}

/// The body on its way.
pub struct FillFlow {
    pub pieces: VecDeque<Bytes>,
    /// Counts them.
    pub hold: Arc<Hold>,
    /// Position of the first byte in `pieces`.
    pub base: u64,
    /// Bytes received so far.
    pub received: u64,
    pub end: Option<FillEnd>,
    pub readers: Vec<Waker>,
    /// Where each reader is, by its number.
    pub positions: Vec<Option<u64>>,
    /// The pump, when it waits for room.
    pub pump: Option<Waker>,
}

impl FillFlow {
    pub fn new() -> FillFlow {
        FillFlow {
            pieces: VecDeque::new(),
            hold: Hold::new(account::AccountKind::Fills),
            base: 0,
            received: 0,
            end: None,
            readers: Vec::new(),
            positions: Vec::new(),
            pump: None,
        }
    }
    /// Readers have the entry in their place.
    pub fn clear(&mut self) {
        let FillFlow { pieces, hold, .. } = self;
        pieces.drain(..).for_each(|piece| hold.drop_piece(&piece));
        pieces.shrink_to_fit();
    }
    /// What stands at `at`: from the entry when there is one, else from the pieces. `index` is where the reader was among them.
    pub fn piece(&self, at: u64, index: &mut usize) -> Option<Bytes> {
        if let Some(FillEnd::Complete(Some(entry), _)) = &self.end {
            return Some(entry.body().piece(at)).filter(|piece| !piece.is_empty());
        }
        if self.base == 0 {
            // Readers take whole pieces, so while none has been let go the position is the boundary before `index`.
            let piece = self.pieces.get(*index)?.clone();
            *index += 1;
            return Some(piece);
        }
        let mut start = self.base;
        for piece in &self.pieces {
            if start == at {
                return Some(piece.clone());
            }
            start += piece.len() as u64;
        }
        None
    }
    pub fn wake(&mut self) {
        self.readers.drain(..).for_each(Waker::wake);
    }
    /// Drops the pieces that end at or before `until`.
    pub fn let_go(&mut self, until: u64) {
        while let Some(first) = self.pieces.front()
            && self.base + first.len() as u64 <= until
        {
            self.base += first.len() as u64;
            self.hold.drop_piece(first);
            self.pieces.pop_front();
        }
    }
    /// What all have read of a body that is stored nowhere.
    pub fn let_go_behind_all(&mut self) {
        let slowest = self.positions.iter().flatten().min().copied();
        self.let_go(slowest.unwrap_or(self.received));
    }
}

impl Drop for FillFlow {
    fn drop(&mut self) {
        self.clear();
    }
}
