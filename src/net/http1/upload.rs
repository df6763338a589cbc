//! A request's body on its way to a server: pumped beside the reading of the answer.

use crate::net::serve::BoxError;
use crate::wire::{hop, written};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

/// Where it comes from.
pub type UploadSource = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

/// See the module.
pub struct Upload {
    source: UploadSource,
    chunked: bool,
    gate: Gate,
    /// What is written next, in order: chunk head (of the last one, all), data, line end.
    head: Vec<u8>,
    data: Bytes,
    tail: &'static [u8],
    state: UploadState,
    moves: u32,
}

/// Holds it back until the server says `100 Continue`, or has been silent for a while (RFC 9110 section 10.1.1). Until then
/// its source is not polled, so that nobody asks who sends it for more either.
enum Gate {
    Open,
    /// The wait begins with the first poll.
    Closed(Duration),
    Waiting(Pin<Box<Sleep>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadState {
    /// Nothing was taken from the source: the request may still be sent elsewhere.
    Untouched,
    Running,
    /// Everything was taken from the source, the rest is being written.
    Last,
    Done,
    /// The server reads no more. It may have answered all the same.
    GivenUp,
}

impl Upload {
    pub fn new(source: UploadSource, chunked: bool) -> Upload {
        let (head, data) = (Vec::new(), Bytes::new());
        Upload { source, chunked, gate: Gate::Open, head, data, tail: b"", state: UploadState::Untouched, moves: 0 }
    }
    /// For a server that was asked to say whether it wants it.
    pub fn hold_back(&mut self, wait: Duration) {
        self.gate = Gate::Closed(wait);
    }
    /// How long it is, where that is known.
    pub fn length(&self) -> Option<u64> {
        self.source.size_hint().exact()
    }
    pub fn is_untouched(&self) -> bool {
        self.state == UploadState::Untouched
    }
    pub fn is_done(&self) -> bool {
        self.state == UploadState::Done
    }
    /// Nothing more of it is to be written, whether that is all of it or not.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, UploadState::Done | UploadState::GivenUp)
    }
    pub fn is_held_back(&self) -> bool {
        !matches!(self.gate, Gate::Open)
    }
    /// The server wants it.
    pub fn go_on(&mut self) {
        self.gate = Gate::Open;
        self.moves = self.moves.wrapping_add(1);
    }
    /// Another number whenever something has moved.
    pub fn moves(&self) -> u32 {
        self.moves
    }
    /// It waits for who sends it, not for the server.
    pub fn waits_for_source(&self) -> bool {
        !self.is_held_back() && !self.has_ended() && self.is_written()
    }

    /// Moves what can be moved. Ready when all is written, or the server takes no more; an error is that of its source.
    pub fn poll(&mut self, stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.poll_gate(cx));
        while !self.has_ended() {
            if self.is_written() {
                if self.state == UploadState::Last {
                    self.state = UploadState::Done;
                    break;
                }
                let frame = ready!(self.source.as_mut().poll_frame(cx)).transpose()?;
                self.moves = self.moves.wrapping_add(1);
                match frame.map(http_body::Frame::into_data) {
                    None => self.end(None),
                    Some(Ok(data)) => self.piece(data),
                    Some(Err(frame)) => self.end(frame.into_trailers().ok()),
                }
            } else {
                let parts = [IoSlice::new(&self.head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                match ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &parts)) {
                    Ok(0) | Err(_) => self.state = UploadState::GivenUp,
                    Ok(n) => self.written(n),
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Gate::Closed(wait) = self.gate {
            self.gate = Gate::Waiting(Box::pin(sleep(wait)));
        }
        if let Gate::Waiting(wait) = &mut self.gate {
            ready!(wait.as_mut().poll(cx));
            self.go_on();
        }
        Poll::Ready(())
    }

    fn is_written(&self) -> bool {
        self.head.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    fn written(&mut self, n: usize) {
        let head = n.min(self.head.len());
        self.head.drain(..head);
        let data = (n - head).min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[(n - head - data).min(self.tail.len())..];
        self.moves = self.moves.wrapping_add(1);
    }

    fn piece(&mut self, data: Bytes) {
        self.state = UploadState::Running;
        // An empty chunk would be the end.
        if data.is_empty() {
            return;
        }
        if self.chunked {
            written::chunk(data.len(), &mut self.head);
            self.tail = b"\r\n";
        }
        self.data = data;
    }

    fn end(&mut self, mut trailers: Option<HeaderMap>) {
        self.state = UploadState::Last;
        trailers.iter_mut().for_each(hop::strip_trailers);
        if self.chunked {
            written::last_chunk(trailers.as_ref(), &mut self.head);
        }
    }
}
