//! Who reads a fill's body, each at its own pace.

use super::*;
use crate::node::far::{DiskBodyReader, blame_of};
use std::ops::Range;

/// Reads a fill's body as it arrives; from the entry once that is there, and from the file of the disk what is kept no longer.
pub struct Reader {
    ticket: Ticket,
    hold: Arc<Hold>,
    number: u32,
    /// Index into the pieces, while they stand from the first byte, for who reads from there.
    piece: u32,
    at: u64,
    length: Option<u64>,
    over: bool,
    /// What few readers need.
    aside: Option<Box<ReaderAside>>,
}

#[derive(Default)]
struct ReaderAside {
    /// Of a part: where it ends.
    end: Option<u64>,
    file: Option<Box<DiskBodyReader>>,
}

/// Of one that does not read whole pieces from the first.
const ASTRAY: u32 = u32::MAX;

impl Reader {
    pub(super) fn new(ticket: Ticket, hold: Arc<Hold>, number: usize, length: Option<u64>) -> Reader {
        Reader { ticket, hold, number: number as u32, piece: 0, at: 0, length, over: false, aside: None }
    }
    /// Of a part of it alone.
    pub fn part(mut self, part: Range<u64>) -> Reader {
        (self.at, self.length, self.piece) = (part.start, Some(part.end), ASTRAY);
        self.aside.get_or_insert_default().end = Some(part.end);
        self.ticket.0.flow.borrow_mut().positions[self.number as usize] = Some(part.start);
        self
    }
    pub fn fate(&self) -> Fate {
        self.ticket.0.fate()
    }
    /// Keeps the fill alive until its body has ended, without reading it; whether it was whole.
    pub async fn follow_to_the_end(mut self) -> bool {
        loop {
            match poll_fn(|cx| self.poll_frame(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
                None => return true,
            }
        }
    }
    /// What counts the pieces that it reads.
    pub fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }
    pub fn length(&self) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(self.at))
    }
    pub fn is_end_stream(&self) -> bool {
        self.over || self.length == Some(self.at)
    }
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let end = self.aside.as_ref().and_then(|aside| aside.end);
        if end.is_some_and(|end| self.at >= end) {
            self.over = true;
            return Poll::Ready(None);
        }
        let fill = &self.ticket.0;
        let mut flow = fill.flow.borrow_mut();
        let piece = match flow.piece(self.at, &mut self.piece) {
            None if self.at < flow.readable() => {
                let aside = self.aside.get_or_insert_default();
                match flow.poll_file(self.at, &mut aside.file, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(piece)) => {
                        self.piece = ASTRAY;
                        Some(piece)
                    }
                    Poll::Ready(Err(gone)) => {
                        self.over = true;
                        return Poll::Ready(Some(Err(blame_of(gone).into())));
                    }
                }
            }
            piece => piece,
        };
        if let Some(mut piece) = piece {
            let left = end.map_or(u64::MAX, |end| end - self.at);
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            self.at += piece.len() as u64;
            flow.positions[self.number as usize] = Some(self.at);
            if flow.end.is_some() && fill.fate() == Fate::Forget {
                flow.let_go_behind_all();
            }
            if let Some(pump) = flow.pump.take() {
                pump.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &flow.end {
            _ if self.at < flow.base => {
                self.over = true;
                let (reader, at, base) = (self.number, self.at, flow.base);
                tracing::debug!(url = %fill.key, reader, at, base, "cut off: too far behind the other readers");
                // Too far behind the other readers of a body that is too large to keep.
                Poll::Ready(Some(Err(Blame::new(Whose::Client, Kind::ConnectionWriteTimeout).into())))
            }
            None => {
                flow.readers.push(cx.waker().clone());
                Poll::Pending
            }
            Some(FillEnd::Complete(_, trailers)) => {
                self.over = true;
                Poll::Ready(trailers.clone().map(|t| Ok(Frame::trailers(t))))
            }
            Some(FillEnd::Broken(blame)) => {
                let blame = *blame;
                self.over = true;
                Poll::Ready(Some(Err(blame.into())))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut flow = self.ticket.0.flow.borrow_mut();
        flow.positions[self.number as usize] = None;
        // At once: or another reader would be cut for what this one held.
        if self.ticket.0.fate() == Fate::Forget {
            flow.let_go_behind_all();
        }
        if let Some(pump) = flow.pump.take() {
            pump.wake();
        }
    }
}
