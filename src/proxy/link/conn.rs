//! One connection to a node.

use super::control::{Control, Phase};
use super::decode::{self, Head};
use super::pool::Slot;
use super::{Broken, Request, Tie};
use crate::net::listen::Stream;
use bytes::{Bytes, BytesMut};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A socket with what the sweep knows of it.
pub struct Link {
    pub stream: Stream,
    pub control: Rc<Control>,
}

/// A connection in use. Dropped, it is closed; [`Conn::give_back`] returns it to its pool.
pub struct Conn {
    pub link: Link,
    pub slot: Slot,
    /// Whose it is, where it is one client's alone.
    pub tie: Option<Rc<Tie>>,
}

impl Conn {
    /// Back to the pool it came from, for the next request; or to whose it is.
    pub fn give_back(mut self) {
        if let Some(tie) = self.tie.take() {
            return tie.put(self);
        }
        let Conn { link, slot, .. } = self;
        slot.give_back(link);
    }

    /// Writes a request head; nearly always one write and no allocation.
    pub async fn send(&mut self, request: &Request<'_>, movable: bool) -> Result<(), Broken> {
        self.link.control.enter(Phase::Head { movable });
        let shared = self.slot.pool().shared.clone();
        let rest = poll_fn(|cx| {
            let mut buf = shared.write.borrow_mut();
            buf.clear();
            request.encode(shared.via(request.version), &mut buf);
            let written = match Pin::new(&mut self.link.stream).poll_write(cx, &buf) {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => 0,
            };
            Poll::Ready(Ok((written < buf.len()).then(|| Bytes::copy_from_slice(&buf[written..]))))
        })
        .await;
        match rest {
            Ok(None) => Ok(()),
            Ok(Some(mut rest)) => poll_fn(|cx| self.poll_send(cx, &mut rest)).await,
            Err(e) => Err(self.died(Some(e), true)),
        }
    }

    /// Writes the rest of a head that did not fit into the socket at once.
    fn poll_send(&mut self, cx: &mut Context<'_>, rest: &mut Bytes) -> Poll<Result<(), Broken>> {
        while !rest.is_empty() {
            match Pin::new(&mut self.link.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.died(None, true))),
                Poll::Ready(Ok(n)) => drop(rest.split_to(n)),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(self.died(Some(e), true))),
                Poll::Pending => return self.pending(cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the next head. `early` has what was read of it before, and afterwards what came after it.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, early: &mut Bytes, bodiless: bool) -> Poll<Result<Head, Broken>> {
        let shared = self.slot.pool().shared.clone();
        let bounds = shared.bounds();
        loop {
            if !early.is_empty()
                && let Some((head, length)) = decode::head(early, bounds, bodiless).map_err(Broken::Protocol)?
            {
                drop(early.split_to(length));
                return Poll::Ready(Ok(head));
            }
            let mut scratch = shared.read.borrow_mut();
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.link.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                    return Poll::Ready(Err(self.died(None, early.is_empty())));
                }
                Poll::Ready(Ok(())) if early.is_empty() => *early = Bytes::copy_from_slice(buf.filled()),
                Poll::Ready(Ok(())) => {
                    let mut longer = BytesMut::from(std::mem::take(early));
                    longer.extend_from_slice(buf.filled());
                    *early = longer.freeze();
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(self.died(Some(e), early.is_empty()))),
                Poll::Pending => return self.pending(cx),
            }
        }
    }

    /// Reads a piece of a body into `buf`; 0 bytes: the connection has ended.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<Result<usize, Broken>> {
        // The future of `read_buf` keeps no state between polls: it may be made anew for each.
        match pin!(self.link.stream.read_buf(buf)).poll(cx) {
            Poll::Ready(Ok(n)) => Poll::Ready(Ok(n)),
            Poll::Ready(Err(e)) => Poll::Ready(Err(self.died(Some(e), false))),
            Poll::Pending => self.pending(cx),
        }
    }

    /// Whether the node has closed it, or sent what nobody asked for. Costs a system call: only for requests that must
    /// not be sent twice.
    pub fn is_stale(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut byte = [0];
        Pin::new(&mut self.link.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready()
    }

    /// Waits for the node, or for the sweep to give it up.
    pub fn pending<T>(&self, cx: &Context<'_>) -> Poll<Result<T, Broken>> {
        if self.link.control.is_abandoned() {
            return Poll::Ready(Err(Broken::Abandoned));
        }
        self.link.control.wait(cx);
        Poll::Pending
    }

    pub fn died(&self, source: Option<io::Error>, silent: bool) -> Broken {
        Broken::Died { silent, source }
    }
}
