//! The socket under hyper: notes what moves, and holds back the bare answers that hyper gives to what it cannot parse.

use super::opening::Opening;
use super::state::State;
use crate::net::listen::Stream;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::upgrade::Upgraded;
use std::io::{IoSlice, Result};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// As much as is read of such a head at once.
const OPENING: usize = 4096;

/// What a server connection runs on; inside `Upgraded` after an upgrade, see [`upgraded`].
#[derive(Debug)]
pub struct Io {
    pub(super) stream: Stream,
    pub(super) state: Arc<State>,
    /// Read already, in an earlier life of the connection.
    pub(super) before: Bytes,
    /// Of the head that hyper reads first.
    pub(super) opening: Opening,
    pub(super) _open: Open,
}

/// The socket is known to the state until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<State>);

impl Open {
    pub(super) fn new(state: &Arc<State>, stream: &Stream) -> Open {
        state.set_socket(Some(stream.as_fd()));
        Open(state.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set_socket(None);
    }
}

/// Takes the connection out of hyper's box again, with what was read beyond the head. Fails when it is not one of ours.
pub fn upgraded(upgraded: Upgraded) -> std::result::Result<(Stream, Bytes), Upgraded> {
    let parts = upgraded.downcast::<Io>()?;
    let (read, io) = (parts.read_buf, parts.io);
    Ok((io.stream, join(read, io.before)))
}

/// `a` then `b`; copies only in the rare case that there are two.
pub(super) fn join(a: Bytes, b: Bytes) -> Bytes {
    match (a.is_empty(), b.is_empty()) {
        (_, true) => a,
        (true, _) => b,
        _ => [a, b].concat().into(),
    }
}

impl Io {
    /// `bytes`: the largest piece of what was to be written.
    fn note(&self, outcome: &Poll<Result<usize>>, bytes: &[u8]) {
        match outcome {
            Poll::Ready(written) => self.state.written(*written.as_ref().unwrap_or(&0)),
            Poll::Pending => self.state.write_pending(bytes),
        }
    }

    /// Writes what is left of an interim response.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(mut rest) = self.state.rest() {
            while !rest.is_empty() {
                let written = ready!(Write::poll_write(Pin::new(&mut self.stream), cx, &rest))?;
                rest.drain(..written);
            }
            self.state.no_rest();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a piece of the head that hyper reads first. False: the connection has ended.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let mut piece = std::mem::take(&mut self.before);
        if piece.is_empty() {
            let mut space = [0; OPENING];
            let mut buf = ReadBuf::new(&mut space);
            ready!(AsyncRead::poll_read(Pin::new(&mut self.stream), cx, &mut buf))?;
            piece = Bytes::copy_from_slice(buf.filled());
        }
        let mut out = Vec::with_capacity(piece.len() + 16);
        self.opening.take(&piece, &mut out);
        self.before = out.into();
        if self.opening.is_over() {
            self.state.note(self.opening.noted);
        }
        Poll::Ready(Ok(!piece.is_empty()))
    }

    /// Swallows an answer of hyper's own: the driver gives a better one.
    fn hold_back(&self, start: &[u8], len: usize) -> Poll<Result<usize>> {
        // `HTTP/1.1 400 …`
        let status = start.get(9..12).and_then(|s| std::str::from_utf8(s).ok()).and_then(|s| s.parse().ok());
        self.state.refuse(status.unwrap_or(400));
        Poll::Ready(Ok(len))
    }
}

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if !this.opening.is_over() && !ready!(this.poll_opening(cx))? {
            return Poll::Ready(Ok(()));
        }
        if !this.before.is_empty() {
            let piece = this.before.split_to(this.before.len().min(buf.remaining()));
            buf.put_slice(&piece);
            this.state.received(piece.len());
            return Poll::Ready(Ok(()));
        }
        let read = ready!(this.stream.poll_read_into(cx, &mut buf))?;
        this.state.received(read);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.state.is_refusing() {
            return this.hold_back(buf, buf.len());
        }
        ready!(this.poll_rest(cx))?;
        let outcome = Write::poll_write(Pin::new(&mut this.stream), cx, buf);
        this.note(&outcome, buf);
        outcome
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.state.is_refusing() {
            let start = bufs.first().map_or(&[][..], |b| b);
            return this.hold_back(start, bufs.iter().map(|b| b.len()).sum());
        }
        ready!(this.poll_rest(cx))?;
        let outcome = Write::poll_write_vectored(Pin::new(&mut this.stream), cx, bufs);
        let largest = bufs.iter().max_by_key(|b| b.len()).filter(|_| outcome.is_pending());
        this.note(&outcome, largest.map_or(&[], |b| b));
        outcome
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // hyper calls this when its own buffer is empty, and only then.
        self.state.flushed();
        Write::poll_flush(Pin::new(&mut self.get_mut().stream), cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.state.refused().is_some() {
            // Our answer has yet to go out.
            return Poll::Ready(Ok(()));
        }
        Write::poll_shutdown(Pin::new(&mut self.get_mut().stream), cx)
    }
}
