//! The body of an answer to a client, which also follows the answer to its end.

use super::hot::{CopyCandidate, Hot};
use super::link;
use super::making::Making;
use super::outcome::AnswerEnd;
use super::record::Record;
use crate::clock;
use crate::net::listen::Stream;
use crate::net::serve::{AnswerBody, BoxError, Passing};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What an answer's body is made of.
pub enum ReplyContent {
    Full(Bytes),
    Node(Box<link::LinkBody>),
}

/// See the module.
pub struct Reply {
    content: ReplyContent,
    /// `None` for the head of a tunnel, which keeps the record itself.
    record: Option<Record>,
    capture: Option<Box<Capture>>,
}

/// What passes is also kept as a hot copy, once it is whole.
pub struct Capture {
    hot: Arc<Hot>,
    candidate: CopyCandidate,
    making: Arc<Making>,
}

/// The answer broke off: then the connection ends, so that the client sees a broken transfer.
#[derive(Debug)]
pub struct BrokeOff(link::LinkError);

impl ReplyContent {
    pub fn empty() -> ReplyContent {
        ReplyContent::Full(Bytes::new())
    }
}

impl Reply {
    pub fn new(content: ReplyContent, record: Option<Record>) -> Reply {
        let mut reply = Reply { content, record, capture: None };
        // Nobody may ask for the end of nothing.
        if reply.has_all() {
            reply.end(AnswerEnd::Complete);
        }
        reply
    }

    /// The same, keeping a copy of the body where one is wanted.
    pub fn capturing(content: ReplyContent, record: Option<Record>, capture: Option<Box<Capture>>) -> Reply {
        match (capture, &content) {
            (Some(capture), ReplyContent::Full(bytes)) => {
                capture.push(bytes);
                capture.finish();
                Reply::new(content, record)
            }
            (Some(capture), ReplyContent::Node(_)) => Reply { content, record, capture: Some(capture) },
            (None, _) => Reply::new(content, record),
        }
    }

    fn has_all(&self) -> bool {
        match &self.content {
            ReplyContent::Full(bytes) => bytes.is_empty(),
            ReplyContent::Node(body) => body.has_all(),
        }
    }

    fn finish_capture(&mut self) {
        if let Some(capture) = self.capture.take() {
            capture.finish();
        }
    }

    fn end(&mut self, end: AnswerEnd) {
        if let Some(record) = &mut self.record {
            record.end(end);
        }
    }

    fn poll_node(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, link::LinkError>>> {
        match &mut self.content {
            ReplyContent::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            ReplyContent::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            ReplyContent::Node(body) => body.poll(cx),
        }
    }
}

impl Capture {
    pub fn new(hot: Arc<Hot>, candidate: CopyCandidate) -> Capture {
        let making = hot.making(candidate.since.at);
        Capture { hot, candidate, making }
    }
    /// A piece of the body.
    pub fn push(&self, piece: &Bytes) {
        self.making.push(piece);
    }
    /// Keeps the copy, of which nothing is missing.
    pub fn finish(self: Box<Capture>) {
        let Capture { hot, candidate, making } = *self;
        if let Some(pieces) = making.pieces() {
            hot.keep(candidate, pieces, clock::now());
        }
    }
}

impl AnswerBody for Reply {
    fn poll_pass(&mut self, to: &Stream, cx: &mut Context<'_>) -> Poll<Result<Passing, BoxError>> {
        let (ReplyContent::Node(body), None) = (&mut self.content, &self.capture) else {
            return Poll::Ready(Ok(Passing::Polled));
        };
        let passed = ready!(body.poll_pass(to, cx));
        Poll::Ready(match passed {
            Ok(passed) => {
                if let (Some(record), Passing::Sent(sent)) = (&mut self.record, &passed) {
                    record.sent(*sent);
                }
                if self.has_all() {
                    self.end(AnswerEnd::Complete);
                }
                Ok(passed)
            }
            Err(broken) => {
                self.end(AnswerEnd::Broke(broken.blame()));
                Err(BrokeOff(broken).into())
            }
        })
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let frame = match ready!(self.poll_node(cx)) {
            None => {
                self.end(AnswerEnd::Complete);
                self.finish_capture();
                return Poll::Ready(None);
            }
            Some(Err(broken)) => {
                self.end(AnswerEnd::Broke(broken.blame()));
                return Poll::Ready(Some(Err(BrokeOff(broken))));
            }
            Some(Ok(frame)) => frame,
        };
        if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
            record.sent(data.len());
        }
        if let (Some(capture), Some(data)) = (&mut self.capture, frame.data_ref()) {
            capture.push(data);
        }
        // A client that has got all it was promised may leave at once.
        if self.has_all() {
            self.end(AnswerEnd::Complete);
        }
        if self.is_end_stream() {
            self.finish_capture();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            ReplyContent::Full(bytes) => bytes.is_empty(),
            ReplyContent::Node(body) => body.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            ReplyContent::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ReplyContent::Node(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the node {}", self.0)
    }
}

impl std::error::Error for BrokeOff {}
