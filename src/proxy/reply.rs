//! The body of an answer to a client, which also follows the answer to its end.

use super::hot::{Candidate, Hot};
use super::link;
use super::making::Making;
use super::outcome::End;
use super::record::Record;
use crate::clock;
use crate::net::serve::Counted;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What an answer's body is made of.
pub enum Content {
    Full(Bytes),
    Node(Box<link::Body>),
}

/// See the module.
pub struct Reply {
    content: Content,
    /// `None` for the head of a tunnel, which keeps the record itself.
    record: Option<Record>,
    capture: Option<Box<Capture>>,
}

/// What passes is also kept as a hot copy, once it is whole.
pub struct Capture {
    hot: Arc<Hot>,
    candidate: Candidate,
    making: Arc<Making>,
}

/// The answer broke off: then the connection ends, so that the client sees a broken transfer.
#[derive(Debug)]
pub struct BrokeOff(link::Broken);

impl Content {
    pub fn empty() -> Content {
        Content::Full(Bytes::new())
    }
}

impl Reply {
    pub fn new(content: Content, record: Option<Record>) -> Reply {
        let mut reply = Reply { content, record, capture: None };
        // Nobody may ask for the end of nothing.
        if reply.has_all() {
            reply.end(End::Complete);
        }
        reply
    }

    /// The same, keeping a copy of the body where one is wanted.
    pub fn capturing(content: Content, record: Option<Record>, capture: Option<Box<Capture>>) -> Reply {
        match (capture, &content) {
            (Some(capture), Content::Full(bytes)) => {
                capture.push(bytes);
                capture.finish();
                Reply::new(content, record)
            }
            (Some(capture), Content::Node(_)) => Reply { content, record, capture: Some(capture) },
            (None, _) => Reply::new(content, record),
        }
    }

    fn has_all(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_empty(),
            Content::Node(body) => body.has_all(),
        }
    }

    fn finish_capture(&mut self) {
        if let Some(capture) = self.capture.take() {
            capture.finish();
        }
    }

    fn end(&mut self, end: End) {
        if let Some(record) = &mut self.record {
            record.end(end);
        }
    }

    fn poll_node(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, link::Broken>>> {
        match &mut self.content {
            Content::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Node(body) => body.poll(cx),
        }
    }
}

impl Capture {
    pub fn new(hot: Arc<Hot>, candidate: Candidate) -> Capture {
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

impl Counted for Reply {}

impl Body for Reply {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let frame = match ready!(self.poll_node(cx)) {
            None => {
                self.end(End::Complete);
                self.finish_capture();
                return Poll::Ready(None);
            }
            Some(Err(broken)) => {
                self.end(End::Broke(broken.blame()));
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
            self.end(End::Complete);
        }
        if self.is_end_stream() {
            self.finish_capture();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_empty(),
            Content::Node(body) => body.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Node(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the node {}", self.0)
    }
}

impl std::error::Error for BrokeOff {}
