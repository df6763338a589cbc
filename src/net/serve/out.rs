//! What is on its way to the peer: written at once where the socket has room, else kept, without a copy of bodies.

use super::io::Io;
use super::limits::ServerLimits;
use super::payload::Payload;
use crate::clock;
use crate::net::pipe::is_unable;
use crate::wire::date;
use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Up to so many bytes are copied together: for the kernel one piece is cheaper than two.
const TOGETHER: usize = 4096;

/// Bodies up to so many bytes are copied behind their heads where several answers are written together.
const SMALL: usize = 16 * 1024;

thread_local! {
    /// Where heads are written first. Never borrowed across a poll.
    static HEAD: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(4096));
    /// Buffers of messages that were written.
    static USED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// So many buffers are kept, of this size: messages that fit cost no allocation.
const KEPT: usize = 64;
const ROOM: usize = 4096;

/// An empty buffer for a message that is to be written; it comes back when it has been.
pub fn room_for_message(bytes: usize) -> Vec<u8> {
    let used = if bytes <= ROOM { USED.with_borrow_mut(Vec::pop) } else { None };
    used.unwrap_or_else(|| Vec::with_capacity(bytes.max(ROOM)))
}

/// A message was written.
pub(super) fn take_back(mut message: Vec<u8>) {
    message.clear();
    USED.with_borrow_mut(|used| {
        if used.len() < KEPT && message.capacity() == ROOM {
            used.push(message);
        }
    });
}

/// So much is gathered of answers that are written together.
const MANY: usize = 64 * 1024;

/// Moves a body behind its head where it is small; `false`: it is not, or enough is there to be written.
pub(super) fn join(head: &mut Vec<u8>, body: &mut Payload) -> bool {
    let bytes = body.bytes();
    if bytes.len() > SMALL || head.len() + bytes.len() > MANY {
        return false;
    }
    head.extend_from_slice(bytes);
    *body = Payload::default();
    true
}

/// What the socket has not taken yet.
#[derive(Default)]
pub(super) struct Unsent {
    head: Bytes,
    body: Payload,
    tail: &'static [u8],
    /// More of the same follows: a packet that is not full waits for it, or for [`Unsent::push`].
    more: bool,
}

/// Lends out the thread's buffer for heads, empty.
pub(super) fn with_head<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    HEAD.with_borrow_mut(|head| {
        head.clear();
        write(head)
    })
}

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty() && self.tail.is_empty()
    }

    /// Writes what can be written of `head`, `body` and `tail` in one call, and keeps the rest. Only when nothing is kept. `more`
    /// of the same follows: at once, or else [`Unsent::push`] does.
    pub(super) fn write(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        head: &mut Vec<u8>,
        (mut body, mut tail): (Bytes, &'static [u8]),
        more: bool,
    ) -> Poll<io::Result<()>> {
        self.more = more;
        if head.len() + body.len() + tail.len() <= TOGETHER {
            head.extend_from_slice(&body);
            head.extend_from_slice(tail);
            (body, tail) = (Bytes::new(), b"");
        }
        let written = match (body.is_empty(), tail.is_empty()) {
            (true, true) if !more => AsyncWrite::poll_write(Pin::new(&mut io.stream), cx, head),
            (_, no_tail) => {
                let slices = [IoSlice::new(head), IoSlice::new(&body), IoSlice::new(tail)];
                io.stream.poll_write_all(cx, &slices[..if no_tail { 2 } else { 3 }], more)
            }
        };
        let written = match written {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        if written > 0 {
            io.state.written();
        }
        if written == head.len() + body.len() + tail.len() {
            return Poll::Ready(Ok(()));
        }
        let of_head = written.min(head.len());
        let of_body = (written - of_head).min(body.len());
        self.head = Bytes::copy_from_slice(&head[of_head..]);
        body.advance(of_body);
        self.body = body.into();
        self.tail = &tail[written - of_head - of_body..];
        // Registers for the moment when there is room.
        self.poll(io, cx)
    }

    /// The same for an answer that is there as a whole.
    pub(super) fn write_all(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        head: &mut Vec<u8>,
        body: Payload,
    ) -> Poll<io::Result<()>> {
        match body {
            Payload::Bytes(body) => self.write(io, cx, head, (body, b""), false),
            Payload::Lasting(_) => {
                self.hold(head, body);
                self.poll(io, cx)
            }
        }
    }

    /// Keeps an answer to be written by [`Unsent::poll`].
    fn hold(&mut self, head: &mut Vec<u8>, mut body: Payload) {
        self.more = false;
        if head.len() + body.len() <= TOGETHER {
            head.extend_from_slice(body.bytes());
            body = Payload::default();
        }
        self.head = Bytes::copy_from_slice(head);
        self.body = body;
    }

    /// Writes what is kept.
    pub(super) fn poll(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = match self.poll_some(io, cx) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    io.state.write_pending(if self.body.is_empty() { &self.head } else { self.body.bytes() });
                    return Poll::Pending;
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(self.head.len());
            let of_body = (written - of_head).min(self.body.len());
            self.head.advance(of_head);
            self.body.advance(of_body);
            self.tail = &self.tail[written - of_head - of_body..];
            io.state.written();
        }
        Poll::Ready(Ok(()))
    }

    /// One call for as much as it takes.
    fn poll_some(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut io.stream);
        if let Payload::Lasting(body) = &self.body
            && !stream.is_plain()
        {
            self.body = body.bytes().clone().into();
        }
        match &self.body {
            // What follows the head comes with the next call, and leaves in the same packets.
            Payload::Lasting(_) if !self.head.is_empty() => stream.poll_write_more(cx, &self.head),
            Payload::Lasting(body) => {
                let sent = ready!(stream.poll_send(cx, body));
                if sent.as_ref().is_err_and(is_unable) {
                    self.body = body.bytes().clone().into();
                    return self.poll_some(io, cx);
                }
                Poll::Ready(sent)
            }
            Payload::Bytes(body) if body.is_empty() && self.tail.is_empty() && !self.more => {
                AsyncWrite::poll_write(stream, cx, &self.head)
            }
            Payload::Bytes(body) => {
                let slices = [&self.head, &body[..], self.tail].map(IoSlice::new);
                stream.get_mut().poll_write_all(cx, &slices, self.more)
            }
        }
    }

    /// Nothing follows for now.
    pub(super) fn push(&mut self, io: &Io) {
        if std::mem::take(&mut self.more) {
            io.stream.push();
        }
    }

    /// The next follows what was written past this, and has more behind it or not.
    pub(super) fn passed(&mut self, more: bool) {
        self.more = more;
    }

    /// What is left of an interim response goes before anything else.
    pub(super) fn poll_before(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(io.poll_rest(cx))?;
        self.poll(io, cx)
    }
}

/// `Date`, where the connection is one that adds it; made once a second.
pub(super) fn date(limits: &ServerLimits) -> Option<[u8; 29]> {
    thread_local! {
        static LAST: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
    }
    limits.date.then(|| {
        let now = clock::wall();
        let (second, text) = LAST.get();
        if second == now.seconds() {
            return text;
        }
        let text = date::format(now);
        LAST.set((now.seconds(), text));
        text
    })
}
