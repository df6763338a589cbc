//! The bodies that pass through a node.

use super::fill::Reader;
use super::origin::OriginBody;
use crate::store::Entry;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::error::Error;
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
    /// Of a fill that is running.
    Filling(Reader),
    /// Straight from the origin.
    Through(OriginBody),
}

impl NodeBody {
    pub fn text(text: impl Into<Bytes>) -> NodeBody {
        NodeBody::Whole(Some(text.into()))
    }
    /// The whole body of an entry.
    pub fn of(entry: &Arc<Entry>) -> NodeBody {
        match entry.body().whole() {
            Some(bytes) => NodeBody::Whole(Some(bytes)),
            None => NodeBody::Stored { at: 0, end: entry.body().len(), entry: entry.clone() },
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
            NodeBody::Filling(reader) => reader.poll_frame(cx),
            NodeBody::Through(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            NodeBody::Empty => true,
            NodeBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            NodeBody::Stored { at, end, .. } => at >= end,
            NodeBody::Filling(reader) => reader.is_end_stream(),
            NodeBody::Through(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            NodeBody::Empty => SizeHint::with_exact(0),
            NodeBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            NodeBody::Stored { at, end, .. } => SizeHint::with_exact(end.saturating_sub(*at)),
            NodeBody::Filling(reader) => reader.length().map_or_else(SizeHint::default, SizeHint::with_exact),
            NodeBody::Through(body) => body.size_hint(),
        }
    }
}

fn next_piece(entry: &Entry, at: &mut u64, end: u64) -> Option<Bytes> {
    let left = usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX);
    let mut piece = entry.body().piece(*at);
    piece.truncate(left);
    *at += piece.len() as u64;
    (!piece.is_empty()).then_some(piece)
}
