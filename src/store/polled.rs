//! PURE. Bodies as they are polled: at once where they lie in memory, and by and by where they do not. Whoever sends one need not
//! know which it is.

use super::entry::Entry;
use super::far::{FarGone, FarReader};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What is to be sent of the body of an entry.
pub struct StoredBody {
    entry: Arc<Entry>,
    at: u64,
    end: u64,
    far: Option<Box<dyn FarReader>>,
}

impl StoredBody {
    pub fn new(entry: &Arc<Entry>, part: Range<u64>) -> StoredBody {
        let far = entry.far().map(|far| far.reader());
        StoredBody { entry: entry.clone(), at: part.start, end: part.end, far }
    }

    pub fn whole(entry: &Arc<Entry>) -> StoredBody {
        StoredBody::new(entry, 0..entry.body().len())
    }

    /// Bytes that are still to come.
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Whether it may end before its end.
    pub fn may_break(&self) -> bool {
        self.far.is_some()
    }

    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FarGone>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let mut piece = match &mut self.far {
            None => self.entry.body().piece(self.at),
            Some(far) => match far.poll_piece(self.at, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(piece)) => piece,
                Poll::Ready(Err(gone)) => {
                    self.at = self.end;
                    return Poll::Ready(Some(Err(gone)));
                }
            },
        };
        piece.truncate(usize::try_from(self.left()).unwrap_or(usize::MAX));
        self.at += piece.len() as u64;
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}
