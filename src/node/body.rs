//! The bodies that pass through a node.

use super::far::blame_of;
use super::fill::Reader;
use super::origin::OriginBody;
use crate::account::Hold;
use crate::net::serve::{AnswerBody, BoxError, ToldFault};
use crate::store::{Entry, FarGone, StoredBody};
use crate::wire::fault::{Blame, Kind, Whose};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// The body of an answer.
pub enum NodeBody {
    Empty,
    /// Taken when sent.
    Whole(Option<Bytes>),
    /// Of an entry, from a position to an end.
    Stored(StoredBody),
    /// Parts of an entry and what frames them.
    Pieces(VecDeque<PartsPiece>),
    /// Of a fill that is running.
    Filling(Reader),
    /// Straight from the origin.
    Through(OriginBody),
    /// Of these two, what has been begun.
    Begun(Begun),
}

/// A part of a body in several parts.
pub enum PartsPiece {
    Text(Bytes),
    Of(StoredBody),
}

impl NodeBody {
    pub fn text(text: impl Into<Bytes>) -> NodeBody {
        NodeBody::Whole(Some(text.into()))
    }
    /// Whether it may end before its end.
    pub fn may_break(&self) -> bool {
        match self {
            NodeBody::Filling(_) | NodeBody::Through(_) => true,
            NodeBody::Stored(body) => body.may_break(),
            NodeBody::Pieces(pieces) => pieces.iter().any(PartsPiece::may_break),
            _ => false,
        }
    }
    /// Whether it is known that it ends before its end.
    pub fn has_broken_off(&self) -> bool {
        matches!(self, NodeBody::Begun(Begun { rest: PartsRest::Broken(_), .. }))
    }
    /// The whole body of an entry.
    pub fn of(entry: &Arc<Entry>) -> NodeBody {
        match entry.body().whole() {
            Some(bytes) => NodeBody::Whole(Some(bytes)),
            None => NodeBody::Stored(StoredBody::whole(entry)),
        }
    }
}

impl AnswerBody for NodeBody {
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
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            NodeBody::Empty => Poll::Ready(None),
            NodeBody::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            NodeBody::Stored(body) => body.poll_piece(cx).map(framed),
            NodeBody::Pieces(pieces) => poll_next(pieces, cx).map(framed),
            NodeBody::Filling(reader) => reader.poll_frame(cx),
            NodeBody::Through(body) => Pin::new(body).poll_frame(cx),
            NodeBody::Begun(begun) => begun.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            NodeBody::Empty => true,
            NodeBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            NodeBody::Stored(body) => body.left() == 0,
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
            NodeBody::Stored(body) => SizeHint::with_exact(body.left()),
            NodeBody::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(PartsPiece::len).sum()),
            NodeBody::Filling(reader) => reader.length().map_or_else(SizeHint::default, SizeHint::with_exact),
            NodeBody::Through(body) => body.size_hint(),
            NodeBody::Begun(begun) => begun.size_hint(),
        }
    }
}

impl PartsPiece {
    fn len(&self) -> u64 {
        match self {
            PartsPiece::Text(text) => text.len() as u64,
            PartsPiece::Of(body) => body.left(),
        }
    }
    fn may_break(&self) -> bool {
        matches!(self, PartsPiece::Of(body) if body.may_break())
    }
}

type StoredPiece = Option<Result<Bytes, FarGone>>;

fn poll_next(pieces: &mut VecDeque<PartsPiece>, cx: &mut Context<'_>) -> Poll<StoredPiece> {
    loop {
        match pieces.front_mut() {
            Some(PartsPiece::Of(body)) if body.left() > 0 => {
                let piece = body.poll_piece(cx);
                if let Poll::Ready(Some(Err(_))) = piece {
                    pieces.clear();
                }
                return piece;
            }
            Some(PartsPiece::Text(text)) => {
                let text = std::mem::take(text);
                pieces.pop_front();
                return Poll::Ready(Some(Ok(text)));
            }
            Some(PartsPiece::Of(_)) => _ = pieces.pop_front(),
            None => return Poll::Ready(None),
        }
    }
}

fn framed(piece: StoredPiece) -> Option<Result<Frame<Bytes>, BoxError>> {
    piece.map(|piece| piece.map(Frame::data).map_err(|gone| blame_of(gone).into()))
}

pub fn respond(status: StatusCode, headers: HeaderMap, body: NodeBody) -> Response<NodeBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body up to this size is waited for (for [`crate::config::Timeouts::small_body`]) before its head is sent.
pub const SMALL: u64 = 16 * 1024;

/// So often others get their turn, among them who reads from the origin, before the head goes without the body.
const TURNS: u32 = 4;

/// A body of which the first pieces are here.
pub struct Begun {
    pub pieces: VecDeque<Frame<Bytes>>,
    /// Bytes of them.
    pub gathered: u64,
    pub rest: PartsRest,
    /// Its length is known; else trailers may follow.
    pub sized: bool,
    /// The front is to be told in the chunks how it ends.
    pub told: bool,
}

/// What is waited for beyond what is there.
#[derive(Clone, Copy, PartialEq)]
pub enum Patience {
    None,
    First,
    All,
}

pub enum PartsRest {
    More(Box<NodeBody>),
    Over,
    Broken(Blame),
}

/// Whose fault it is that a body breaks off.
pub fn blame(error: &BoxError) -> Blame {
    let known = error.downcast_ref::<Blame>().copied();
    known.unwrap_or(Blame::new(Whose::Origin, Kind::HttpResponseIncomplete))
}

impl Begun {
    /// What is still to come of it.
    pub fn rest(&self) -> Option<&NodeBody> {
        match &self.rest {
            PartsRest::More(body) => Some(body),
            _ => None,
        }
    }
    /// Takes what is there; of a small body also what comes soon.
    pub async fn gather(&mut self, patience: Patience, wait: Duration) {
        let mut turns = TURNS;
        let waiting = poll_fn(|cx| {
            if self.poll_gather(cx).is_ready() {
                return Poll::Ready(false);
            }
            if turns == 0 {
                return Poll::Ready(true);
            }
            turns -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        if !waiting.await || patience == Patience::None {
            return;
        }
        let is_enough = |begun: &Begun| patience == Patience::First && !begun.pieces.is_empty();
        let more = poll_fn(|cx| match self.poll_gather(cx) {
            Poll::Pending if !is_enough(self) => Poll::Pending,
            _ => Poll::Ready(()),
        });
        _ = timeout(wait, more).await;
    }

    /// Ready when it has ended, or enough is here.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.gathered < SMALL {
            let PartsRest::More(body) = &mut self.rest else { return Poll::Ready(()) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    self.gathered += frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.pieces.push_back(frame);
                }
                Poll::Ready(Some(Err(error))) => self.rest = PartsRest::Broken(blame(&error)),
                Poll::Ready(None) => self.rest = PartsRest::Over,
            }
        }
        Poll::Ready(())
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.pieces.pop_front() {
            self.gathered -= frame.data_ref().map_or(0, |data| data.len() as u64);
            return Poll::Ready(Some(Ok(frame)));
        }
        let broken = match &mut self.rest {
            PartsRest::Over => return Poll::Ready(None),
            PartsRest::Broken(blame) => *blame,
            PartsRest::More(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => blame(&error),
                other => return other,
            },
        };
        self.rest = PartsRest::Over;
        Poll::Ready(Some(Err(if self.told { ToldFault(broken).into() } else { broken.into() })))
    }

    pub fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
            && match &self.rest {
                PartsRest::Over => true,
                PartsRest::Broken(_) => false,
                PartsRest::More(body) => body.is_end_stream(),
            }
    }

    /// None where the front is told in chunks how it ends.
    pub fn size_hint(&self) -> SizeHint {
        match &self.rest {
            _ if self.told || !self.sized => SizeHint::default(),
            PartsRest::Over => SizeHint::with_exact(self.gathered),
            PartsRest::More(body) => body
                .size_hint()
                .exact()
                .map_or_else(SizeHint::default, |rest| SizeHint::with_exact(self.gathered + rest)),
            PartsRest::Broken(_) => SizeHint::default(),
        }
    }
}
