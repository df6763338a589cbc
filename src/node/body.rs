//! The bodies that pass through a node.

use super::begun::Begun;
use super::fill::Reader;
use super::origin::OriginBody;
use crate::account::Hold;
use crate::net::serve::Counted;
use crate::store::Entry;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::error::Error;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Ends a transfer so that the receiver sees it broken.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The body of an answer.
pub enum NodeBody {
    Empty,
    /// Taken when sent.
    Whole(Option<Bytes>),
    /// Of an entry, from a position to an end.
    Stored {
        entry: Arc<Entry>,
        at: u64,
        end: u64,
    },
    /// Parts of an entry and what frames them.
    Pieces(VecDeque<Piece>),
    /// Of a fill that is running.
    Filling(Reader),
    /// Straight from the origin.
    Through(OriginBody),
    /// Of these two, what has been begun.
    Begun(Begun),
}

/// A part of a body in several parts.
pub enum Piece {
    Text(Bytes),
    Of(Arc<Entry>, Range<u64>),
}

impl NodeBody {
    pub fn text(text: impl Into<Bytes>) -> NodeBody {
        NodeBody::Whole(Some(text.into()))
    }
    /// Whether it may end before its end.
    pub fn may_break(&self) -> bool {
        matches!(self, NodeBody::Filling(_) | NodeBody::Through(_))
    }
    /// The whole body of an entry.
    pub fn of(entry: &Arc<Entry>) -> NodeBody {
        match entry.body().whole() {
            Some(bytes) => NodeBody::Whole(Some(bytes)),
            None => NodeBody::Stored { at: 0, end: entry.body().len(), entry: entry.clone() },
        }
    }
}

impl Counted for NodeBody {
    /// Of a fill: its pieces may be too small to be followed one by one.
    fn hold(&self) -> Option<&Arc<Hold>> {
        match self {
            NodeBody::Filling(reader) => Some(reader.hold()),
            NodeBody::Begun(begun) => begun.rest()?.hold(),
            _ => None,
        }
    }
}

impl Body for NodeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            NodeBody::Empty => Poll::Ready(None),
            NodeBody::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            NodeBody::Stored { entry, at, end } => Poll::Ready(next_piece(entry, at, *end).map(|b| Ok(Frame::data(b)))),
            NodeBody::Pieces(pieces) => Poll::Ready(next_of(pieces).map(|b| Ok(Frame::data(b)))),
            NodeBody::Filling(reader) => reader.poll_frame(cx),
            NodeBody::Through(body) => Pin::new(body).poll_frame(cx),
            NodeBody::Begun(begun) => begun.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            NodeBody::Empty => true,
            NodeBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            NodeBody::Stored { at, end, .. } => at >= end,
            NodeBody::Pieces(pieces) => pieces.is_empty(),
            NodeBody::Filling(reader) => reader.is_end_stream(),
            NodeBody::Through(body) => body.is_end_stream(),
            NodeBody::Begun(begun) => begun.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            NodeBody::Empty => SizeHint::with_exact(0),
            NodeBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            NodeBody::Stored { at, end, .. } => SizeHint::with_exact(end.saturating_sub(*at)),
            NodeBody::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(Piece::len).sum()),
            NodeBody::Filling(reader) => reader.length().map_or_else(SizeHint::default, SizeHint::with_exact),
            NodeBody::Through(body) => body.size_hint(),
            NodeBody::Begun(begun) => begun.size_hint(),
        }
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Of(_, part) => part.end.saturating_sub(part.start),
        }
    }
}

fn next_of(pieces: &mut VecDeque<Piece>) -> Option<Bytes> {
    match pieces.front_mut()? {
        Piece::Of(entry, part) if part.start < part.end => {
            let piece = next_piece(entry, &mut part.start, part.end);
            if part.start >= part.end {
                pieces.pop_front();
            }
            piece
        }
        _ => match pieces.pop_front() {
            Some(Piece::Text(text)) => Some(text),
            _ => next_of(pieces),
        },
    }
}

fn next_piece(entry: &Entry, at: &mut u64, end: u64) -> Option<Bytes> {
    let left = usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX);
    let mut piece = entry.body().piece(*at);
    piece.truncate(left);
    *at += piece.len() as u64;
    (!piece.is_empty()).then_some(piece)
}
