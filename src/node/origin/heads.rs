//! An origin's connection as hyper's client sees it: with heads that are read as [`decode`] reads them. There is one reading of
//! an answer, whichever client asked.

use crate::net::listen::Stream;
use crate::wire::answer::decode::{self, Bounds};
use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::fmt;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// As much as is read of a head at once.
const READ: usize = 16 * 1024;

/// What is read next. One thread uses it; hyper wants the connection to be Send.
#[derive(Clone, Debug, Default)]
pub struct Awaited(Arc<AtomicU8>, Arc<AtomicBool>);

const NOTHING: u8 = 0;
const HEAD: u8 = 1;
/// The answer to a HEAD request.
const BODILESS: u8 = 2;

impl Awaited {
    /// A request is sent: what comes next is the head of its answer.
    pub fn head(&self, bodiless: bool) {
        self.0.store(if bodiless { BODILESS } else { HEAD }, Relaxed);
        self.1.store(false, Relaxed);
    }

    /// Whether anything of it has come: only where nothing has may a request be repeated (RFC 9112 section 9.3.1).
    pub fn has_heard(&self) -> bool {
        self.1.load(Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Heads {
    stream: Stream,
    awaited: Awaited,
    bounds: Bounds,
    /// What there is of a head.
    head: BytesMut,
    /// What may be read as it is.
    ready: Bytes,
}

/// A head that cannot be read, and why.
#[derive(Clone, Copy, Debug)]
pub struct Unread(pub &'static str);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unread {}

impl Unread {
    /// Where it is what caused an error of hyper's.
    pub fn cause(error: &hyper::Error) -> Option<Unread> {
        let io = std::error::Error::source(error)?.downcast_ref::<Error>()?;
        io.get_ref()?.downcast_ref::<Unread>().copied()
    }
}

impl Heads {
    pub fn new(stream: Stream, awaited: Awaited, bounds: Bounds) -> Heads {
        Heads { stream, awaited, bounds, head: BytesMut::new(), ready: Bytes::new() }
    }

    /// Reads more of a head.
    fn poll_head(&mut self, cx: &mut Context<'_>, bodiless: bool) -> Poll<Result<()>> {
        let mut piece = [0; READ];
        let mut buf = ReadBuf::new(&mut piece);
        ready!(AsyncRead::poll_read(Pin::new(&mut self.stream), cx, &mut buf))?;
        let ended = buf.filled().is_empty();
        if !ended {
            self.awaited.1.store(true, Relaxed);
        }
        self.head.extend_from_slice(buf.filled());
        self.read_head(bodiless)?;
        if ended && self.ready.is_empty() {
            // hyper knows what to say of a connection that ends within a head.
            self.awaited.0.store(NOTHING, Relaxed);
            self.ready = self.head.split().freeze();
        }
        Poll::Ready(Ok(()))
    }

    /// Lets pass what there is up to the end of a final head, and what follows it.
    fn read_head(&mut self, bodiless: bool) -> Result<()> {
        let mut passed = BytesMut::new();
        while !self.head.is_empty() {
            let read = decode::canonical(&self.head, self.bounds, bodiless);
            let read = read.map_err(|why| Error::new(ErrorKind::InvalidData, Unread(why)))?;
            let Some((text, length, interim)) = read else { break };
            let as_it_came = self.head.split_to(length);
            passed.extend_from_slice(text.as_deref().unwrap_or(&as_it_came));
            if !interim {
                self.awaited.0.store(NOTHING, Relaxed);
                passed.unsplit(self.head.split());
            }
        }
        self.ready = passed.freeze();
        Ok(())
    }
}

impl Read for Heads {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.ready.is_empty() {
                let n = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.ready[..n]);
                this.ready.advance(n);
                return Poll::Ready(Ok(()));
            }
            let bodiless = match this.awaited.0.load(Relaxed) {
                NOTHING => return Read::poll_read(Pin::new(&mut this.stream), cx, buf),
                awaited => awaited == BODILESS,
            };
            ready!(this.poll_head(cx, bodiless))?;
            if this.ready.is_empty() && this.awaited.0.load(Relaxed) == NOTHING {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Write for Heads {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Write::poll_write(Pin::new(&mut self.get_mut().stream), cx, buf)
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        Write::poll_write_vectored(Pin::new(&mut self.get_mut().stream), cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(&self.stream)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Write::poll_flush(Pin::new(&mut self.get_mut().stream), cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Write::poll_shutdown(Pin::new(&mut self.get_mut().stream), cx)
    }
}
