//! The body of a fill on its way: the pieces that have come and are kept, and where each reader is.

use super::far::DiskBodyReader;
use super::spill::Spill;
use crate::account::{AccountKind, Hold};
use crate::store::{Entry, FarGone, FarReader};
use crate::wire::fault::Blame;
use bytes::Bytes;
use http::HeaderMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

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
    /// And those that were let go, while who reads them has them.
    left: Arc<Hold>,
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
    /// The file of the disk that it is written to.
    pub spill: Option<Rc<Spill>>,
    /// It is more than memory keeps.
    pub is_large: bool,
}

impl FillFlow {
    pub fn new() -> FillFlow {
        FillFlow {
            pieces: VecDeque::new(),
            hold: Hold::new(AccountKind::Fills),
            left: Hold::new(AccountKind::Readers),
            base: 0,
            received: 0,
            end: None,
            readers: Vec::new(),
            positions: Vec::new(),
            pump: None,
            spill: None,
            is_large: false,
        }
    }
    /// Readers have the entry in their place.
    pub fn clear(&mut self) {
        let FillFlow { pieces, hold, .. } = self;
        pieces.drain(..).for_each(|piece| hold.drop_piece(&piece));
        pieces.shrink_to_fit();
    }
    /// What stands at `at`: from the entry when there is one, else from the pieces. `index` is where the reader was among them.
    pub fn piece(&self, at: u64, index: &mut u32) -> Option<Bytes> {
        if let Some(FillEnd::Complete(Some(entry), _)) = &self.end {
            return Some(entry.body().piece(at)).filter(|piece| !piece.is_empty());
        }
        if self.base == 0 && *index < u32::MAX {
            // Readers take whole pieces, so while none has been let go the position is the boundary before `index`.
            let piece = self.pieces.get(*index as usize)?.clone();
            *index += 1;
            return Some(piece);
        }
        // Most are near the end.
        let mut start = self.received;
        for piece in self.pieces.iter().rev() {
            start -= piece.len() as u64;
            if start <= at {
                return Some(piece.slice((at - start) as usize..)).filter(|piece| !piece.is_empty());
            }
        }
        None
    }
    /// Whether all that comes is written to a file.
    pub fn is_spilled(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.is_alive())
    }
    /// Bytes from the begin that the file has.
    pub fn readable(&self) -> u64 {
        self.spill.as_ref().map_or(0, |spill| spill.readable())
    }
    /// What stands at `at` in the file.
    pub fn poll_file(
        &self,
        at: u64,
        file: &mut Option<Box<DiskBodyReader>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, FarGone>> {
        let Some(spill) = &self.spill else { return Poll::Ready(Err(FarGone::Lost)) };
        let reader = file.get_or_insert_with(|| spill.reader());
        reader.is_longer(spill.readable());
        reader.poll_piece(at, cx)
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
            self.hold.leave_piece(first, &self.left);
            self.pieces.pop_front();
        }
    }
    /// What nobody needs any more who reads it: of what is in a file, of what is stored nowhere, and of what has ended.
    pub fn let_go_of_needless(&mut self, is_forgotten: bool) {
        if self.is_large {
            self.let_go(self.readable());
        }
        // Where nobody reads yet, somebody is about to, from the first byte.
        if self.end.is_some() || is_forgotten && self.positions.iter().flatten().next().is_some() {
            self.let_go_behind_all();
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
