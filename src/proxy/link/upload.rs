//! A request body on its way to a node: pumped beside the reading of the answer.

use super::Broken;
use super::conn::Conn;
use crate::wire::hop;
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// The client's body.
pub type Source = Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>>>>;

/// See the module.
pub struct Upload {
    source: Source,
    chunked: bool,
    /// What is written next, in order: chunk head, data, line end (or trailers).
    head: BytesMut,
    data: Bytes,
    tail: &'static [u8],
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was taken from the source: the request may still be sent elsewhere.
    Untouched,
    Running,
    /// Everything was taken from the source, the rest is being written.
    Last,
    Done,
    /// The node reads no more. It may have answered all the same.
    GivenUp,
}

impl Upload {
    pub fn new(source: Source, chunked: bool) -> Upload {
        let (head, data) = (BytesMut::new(), Bytes::new());
        Upload { source, chunked, head, data, tail: b"", state: State::Untouched }
    }
    pub fn is_untouched(&self) -> bool {
        self.state == State::Untouched
    }
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Moves what can be moved. Ready when all is written, or the node takes no more; an error is the client's.
    pub fn poll(&mut self, conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !matches!(self.state, State::Done | State::GivenUp) {
            if self.is_written() {
                if self.state == State::Last {
                    self.state = State::Done;
                    break;
                }
                match self.source.as_mut().poll_frame(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => self.end(None),
                    Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(Broken::Client(e.to_string()))),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => self.piece(data),
                        Err(frame) => self.end(frame.into_trailers().ok()),
                    },
                }
            } else {
                let parts = [IoSlice::new(&self.head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                match Pin::new(&mut conn.link.stream).poll_write_vectored(cx, &parts) {
                    Poll::Pending => return conn.pending(cx),
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => self.state = State::GivenUp,
                    Poll::Ready(Ok(n)) => {
                        conn.link.control.touch();
                        self.written(n);
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_written(&self) -> bool {
        self.head.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    fn written(&mut self, n: usize) {
        let head = n.min(self.head.len());
        self.head.advance(head);
        let data = (n - head).min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[(n - head - data).min(self.tail.len())..];
    }

    fn piece(&mut self, data: Bytes) {
        self.state = State::Running;
        // An empty chunk would be the end.
        if data.is_empty() {
            return;
        }
        if self.chunked {
            self.head.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            self.tail = b"\r\n";
        }
        self.data = data;
    }

    fn end(&mut self, mut trailers: Option<HeaderMap>) {
        self.state = State::Last;
        trailers.iter_mut().for_each(hop::strip_trailers);
        if self.chunked {
            self.head.extend_from_slice(b"0\r\n");
            for (name, value) in trailers.iter().flatten() {
                for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                    self.head.extend_from_slice(part);
                }
            }
            self.tail = b"\r\n";
        }
    }
}
