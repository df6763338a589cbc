//! Answers given before hyper sees the request: between two messages, when nothing of ours is left to be written, the
//! socket is nobody's, and a request that is known by its bytes can be answered with bytes.

use super::state::State;
use crate::net::listen::Stream;
use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much as is read at once; a longer head goes to hyper in pieces.
const READ: usize = 16 * 1024;
/// So many answers are given before other connections get their turn.
const TURN: usize = 32;

thread_local! {
    /// Where requests are read first. Never borrowed across a poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Knows answers by the bytes of a request.
pub trait Known: Send + Sync {
    /// Answers the request that `input` begins with, if it is whole and this is one that can be answered so: appends the
    /// answer's head to `head`. Everything else is hyper's.
    fn answer(&self, input: &[u8], same_machine: bool, head: &mut Vec<u8>) -> Option<Answer>;
}

/// What [`Known::answer`] gives besides the head.
pub struct Answer {
    /// How many bytes the request was long.
    pub taken: usize,
    pub body: Bytes,
}

/// What knows answers, and whether the client is on this machine.
pub type ShortcutTo = (Arc<dyn Known>, bool);

pub(super) struct Shortcut {
    known: Arc<dyn Known>,
    same_machine: bool,
    /// What is yet to be written of the last answer.
    head: Bytes,
    body: Bytes,
}

impl Shortcut {
    pub(super) fn new(known: Arc<dyn Known>, same_machine: bool) -> Shortcut {
        Shortcut { known, same_machine, head: Bytes::new(), body: Bytes::new() }
    }

    /// Answers requests for as long as it knows them. Ready when hyper has to go on: `before` then holds what was read.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        state: &State,
        before: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(stream, state, cx))?;
        if !state.is_between() {
            return Poll::Ready(Ok(()));
        }
        if !before.is_empty() {
            let input = std::mem::take(before);
            if ready!(self.poll_answer(&input, stream, state, cx, before))? == Left::Hyper {
                return Poll::Ready(Ok(()));
            }
        }
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..TURN {
                let mut read = ReadBuf::new(buffer);
                ready!(AsyncRead::poll_read(Pin::new(&mut *stream), cx, &mut read))?;
                let filled = read.filled();
                let left = ready!(self.poll_answer(filled, stream, state, cx, before))?;
                // The end of the connection is hyper's to see: it reads it again.
                if filled.is_empty() || left == Left::Hyper {
                    return Poll::Ready(Ok(()));
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// All requests in `input`, one after the other.
    fn poll_answer(
        &mut self,
        mut input: &[u8],
        stream: &mut Stream,
        state: &State,
        cx: &mut Context<'_>,
        before: &mut Bytes,
    ) -> Poll<io::Result<Left>> {
        HEAD.with_borrow_mut(|head| {
            while !input.is_empty() {
                head.clear();
                let Some(answer) = self.known.answer(input, self.same_machine, head) else {
                    *before = Bytes::copy_from_slice(input);
                    return Poll::Ready(Ok(Left::Hyper));
                };
                state.answered_shortly();
                input = &input[answer.taken..];
                if !self.write_now(stream, cx, head, answer.body)? {
                    // The peer takes no more: what it has asked for meanwhile waits.
                    *before = Bytes::copy_from_slice(input);
                    state.write_pending();
                    return Poll::Pending;
                }
            }
            Poll::Ready(Ok(Left::Nothing))
        })
    }

    /// Writes an answer; what does not fit is kept. Whether all of it went out.
    fn write_now(&mut self, stream: &mut Stream, cx: &mut Context<'_>, head: &[u8], body: Bytes) -> io::Result<bool> {
        let slices = [IoSlice::new(head), IoSlice::new(&body)];
        let written = match AsyncWrite::poll_write_vectored(Pin::new(&mut *stream), cx, &slices) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        if written == head.len() + body.len() {
            return Ok(true);
        }
        self.head = Bytes::copy_from_slice(head.get(written..).unwrap_or_default());
        self.body = body.slice(written.saturating_sub(head.len())..);
        // Registers for the moment when there is room.
        match self.poll_rest(stream, cx) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes what is left of the last answer.
    pub(super) fn poll_write_out(
        &mut self,
        stream: &mut Stream,
        state: &State,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() && self.body.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let before = self.head.len() + self.body.len();
        let rest = self.poll_rest(stream, cx);
        if rest.is_ready() || self.head.len() + self.body.len() < before {
            state.written();
            state.answered_shortly();
        }
        if rest.is_pending() {
            state.write_pending();
        }
        rest
    }

    fn poll_rest(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.is_empty() || !self.body.is_empty() {
            let slices = [IoSlice::new(&self.head), IoSlice::new(&self.body)];
            let written = ready!(AsyncWrite::poll_write_vectored(Pin::new(&mut *stream), cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            self.body.advance(written - of_head);
        }
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    /// Where heads are written first. Never borrowed across a poll.
    static HEAD: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(1024));
}

/// What is left of what was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// A request that hyper has to answer.
    Hyper,
}

impl fmt::Debug for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shortcut").field("left", &(self.head.len() + self.body.len())).finish()
    }
}
