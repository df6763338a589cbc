//! Where an answer's content comes from.

use crate::net::serve::answer::BodyPiece;
use crate::net::serve::body::ServerReply;
use crate::net::serve::end::BoxError;
use bytes::Bytes;
use http_body::Body;
use std::task::{Context, Poll, ready};

/// See the module. Held to the length that its head says.
pub(super) struct AnswerContent<B> {
    body: ServerReply<B>,
    /// What is to come of it, where its head says.
    left: Option<u64>,
    trailers: bool,
    /// Taken of the body before it could be sent on.
    ahead: Option<BodyPiece>,
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> AnswerContent<B> {
    /// `trailers`: the client wants them.
    pub(super) fn new(body: ServerReply<B>, left: Option<u64>, trailers: bool) -> AnswerContent<B> {
        AnswerContent { body, left, trailers, ahead: None }
    }

    /// The next piece. One that makes it longer or shorter than was said breaks it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<BodyPiece> {
        if let Some(piece) = self.ahead.take() {
            return Poll::Ready(piece);
        }
        let piece = ready!(BodyPiece::poll(&mut self.body.body, self.trailers, cx));
        let Some(left) = &mut self.left else { return Poll::Ready(piece) };
        let after = match &piece {
            BodyPiece::Data(data) => left.checked_sub(data.len() as u64),
            BodyPiece::Trailers(_) | BodyPiece::End => Some(0).filter(|_| *left == 0),
            BodyPiece::Broken(_) => return Poll::Ready(piece),
        };
        match after {
            Some(after) => *left = after,
            None => return Poll::Ready(BodyPiece::Broken("the answer is not as long as it said".into())),
        }
        Poll::Ready(piece)
    }

    /// What has come of it already, which is held wherever it is: here it is seen. How many bytes that is besides the data.
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) -> (usize, Option<&mut Bytes>) {
        if self.ahead.is_none()
            && let Poll::Ready(piece) = self.poll(cx)
        {
            self.ahead = Some(piece);
        }
        match &mut self.ahead {
            Some(BodyPiece::Data(data)) => (0, Some(data)),
            Some(BodyPiece::Trailers(fields)) => (length(fields), None),
            _ => (0, None),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ahead.is_none() && self.left.map_or_else(|| self.body.body.is_end_stream(), |left| left == 0)
    }
}

/// What fields take, about.
pub(super) fn length(fields: &http::HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
