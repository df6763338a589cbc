//! A node's body that did not come along with its head: streamed with back-pressure; it owns the connection.

use super::broken::LinkError;
use super::conn::NodeConn;
use super::control::Phase;
use super::pool::InFlight;
use super::process::NodeProcess;
use crate::net::http1::{READ, Upload, room_for};
use crate::net::listen::Stream;
use crate::net::pipe::{PassError, PassedOn};
use crate::net::serve::Passing;
use crate::wire::answer::content::{Bad, Content, Piece};
use crate::wire::answer::decode::Head;
use crate::wire::fault::{Blame, Kind, Whose};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// As much is read at a time: each piece costs us and the client a system call, and both a wait for the core. Of more the allocator
/// would make a map of its own, whose pages cost more than that. For a client that has left the last one
/// lying no more than [`READ`] is.
const MOST: usize = 120 * 1024;
/// Fewer bytes are read: that costs less than two more system calls.
const PASSED: u64 = 16 * 1024;
/// A client has left an answer lying when so many sweeps have passed, so for one [`TICK`](super::shared::TICK) at least: a
/// single one may come in the moment between two reads. No node cuts a client for less.
const LYING: u32 = 2;
/// A node has cut a reader that is too slow for its memory.
const UNTAKEN: Blame = Blame { whose: Whose::Client, kind: Kind::ConnectionWriteTimeout };

/// See the module. At its end the connection goes back to its pool; dropped before, the connection is closed.
pub struct LinkBody {
    conn: Option<NodeConn>,
    keep: bool,
    content: Content,
    /// Read, but not decoded.
    input: Bytes,
    buf: BytesMut,
    /// A request body that is still on its way: who answers early may do so while it reads on.
    upload: Option<Box<Upload>>,
    process: NodeProcess,
    /// The client has left it lying for a while, and nobody has had to wait for the node for long since.
    is_untaken: bool,
    /// It cannot pass by: it has to be read.
    is_read: bool,
    /// The connection is lost, and whose fault that was is being found out.
    looking: Option<Pin<Box<dyn Future<Output = LinkError>>>>,
    _load: InFlight,
}

impl LinkBody {
    pub fn new(conn: NodeConn, head: &Head, input: Bytes, upload: Option<Box<Upload>>, load: InFlight) -> LinkBody {
        let trailers = conn.slot.pool().shared.limits.head as usize;
        let content = Content::of_link(head.ends, head.told_length, trailers);
        conn.link.control.enter(Phase::Resting);
        let process = NodeProcess::of(&conn.slot.pool().node);
        let (conn, keep, buf) = (Some(conn), head.keep, BytesMut::new());
        LinkBody {
            conn,
            keep,
            content,
            input,
            buf,
            upload,
            process,
            is_untaken: false,
            is_read: false,
            looking: None,
            _load: load,
        }
    }

    /// The next piece, trailers, or `None` at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, LinkError>>> {
        let broken = match &mut self.looking {
            Some(looking) => ready!(looking.as_mut().poll(cx)),
            None => match ready!(self.poll_piece(cx)) {
                Ok(frame) => return Poll::Ready(frame.map(Ok)),
                Err(broken) => ready!(self.poll_whose(broken, cx)),
            },
        };
        self.looking = None;
        Poll::Ready(Some(Err(broken)))
    }

    /// Moves what comes next to a client without a copy, where nobody needs it here.
    pub fn poll_pass(&mut self, to: &Stream, cx: &mut Context<'_>) -> Poll<Result<Passing, LinkError>> {
        let is_free = self.input.is_empty() && self.upload.is_none() && self.looking.is_none() && !self.is_read;
        let left = self.content.plain().filter(|left| *left >= PASSED && is_free);
        let (Some(left), Some(conn)) = (left, &mut self.conn) else { return Poll::Ready(Ok(Passing::Polled)) };
        let most = most(conn, &mut self.is_untaken);
        let most = usize::try_from(left).map_or(most, |left| left.min(most));
        let Poll::Ready(passed) = conn.poll_pass(cx, to, (most, left > most as u64)) else {
            owes(conn, Phase::Body);
            return Poll::Pending;
        };
        Poll::Ready(match passed? {
            Ok(PassedOn { sent, left, is_unable }) if sent > 0 || !left.is_empty() => {
                moved(conn, &mut self.is_untaken);
                self.content.went_by(sent as u64);
                self.input = left;
                if self.content.is_over() {
                    self.finish();
                }
                self.is_read = is_unable;
                Ok(if sent > 0 { Passing::Sent(sent) } else { Passing::Polled })
            }
            // Who reads it finds the same.
            Ok(_) | Err(PassError::Unread) => {
                self.is_read = true;
                Ok(Passing::Polled)
            }
            Err(PassError::To(e)) => Ok(Passing::Failed(e)),
            Err(PassError::Lost(e)) => Err(conn.died(Some(e), false)),
        })
    }

    /// Whose fault it is that there is no more. A node whose link is full cannot say that it has cut its client for that; it
    /// looks as if it had broken off by itself. How much was still on its way says nothing: a reset loses it.
    fn poll_whose(&mut self, broken: LinkError, cx: &mut Context<'_>) -> Poll<LinkError> {
        self.content = Content::Over;
        let shared = self.conn.take().map(|conn| conn.slot.pool().shared.clone());
        match (broken, shared) {
            (lost @ LinkError::Died { .. }, Some(shared)) if self.is_untaken => {
                let process = self.process.clone();
                let look = async move { if process.has_gone(&shared).await { lost } else { LinkError::Told(UNTAKEN) } };
                self.looking.insert(Box::pin(look)).as_mut().poll(cx)
            }
            (broken, _) => Poll::Ready(broken),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, LinkError>> {
        loop {
            let piece = self.content.step(&mut self.input).map_err(|bad| match bad {
                Bad::Malformed(why) => LinkError::Protocol(why),
                Bad::Told(blame) => LinkError::Told(blame),
            })?;
            // The end may be known now: the connection need not wait for another poll, which nobody makes for what is whole.
            if self.content.is_over() {
                self.finish();
            }
            return Poll::Ready(Ok(match piece {
                Piece::Data(data) => Some(Frame::data(data)),
                Piece::Trailers(trailers) => Some(Frame::trailers(trailers)),
                Piece::End => None,
                Piece::More if ready!(self.poll_read(cx))? => continue,
                Piece::More => {
                    self.finish();
                    None
                }
            }));
        }
    }

    /// Reads more; false at the end of a body that ends with its connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, LinkError>> {
        let Some(conn) = &mut self.conn else { return Poll::Ready(Ok(false)) };
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(done) = conn.poll_upload(cx, upload)
        {
            done?;
            self.keep &= upload.is_done();
            self.upload = None;
        }
        let room = room_for(self.content.length(), most(conn, &mut self.is_untaken));
        match conn.poll_piece(cx, &mut self.buf, room) {
            Poll::Pending => {
                owes(conn, if self.upload.is_some() { Phase::Sending } else { Phase::Body });
                Poll::Pending
            }
            Poll::Ready(Ok(0)) if matches!(self.content, Content::UntilClose) => Poll::Ready(Ok(false)),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(conn.died(None, false))),
            Poll::Ready(Ok(_)) => {
                moved(conn, &mut self.is_untaken);
                self.input = self.buf.split().freeze();
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
        }
    }

    /// The whole body was read: the connection serves the next request, unless something is left over on it.
    fn finish(&mut self) {
        self.content = Content::Over;
        let clean = self.keep && self.input.is_empty() && self.upload.is_none();
        if let Some(conn) = self.conn.take()
            && clean
        {
            conn.give_back();
        }
    }

    /// Nothing more of the content is to come, whatever ends it.
    pub fn has_all(&self) -> bool {
        self.content.length() == Some(0)
    }

    pub fn is_end(&self) -> bool {
        self.content.is_over()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.content.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// How much is moved at a time, for a client that has left the last lying or has not.
fn most(conn: &NodeConn, is_untaken: &mut bool) -> usize {
    let control = &conn.link.control;
    let lain = if control.phase() == Phase::Resting { control.ticks() } else { 0 };
    *is_untaken |= lain >= LYING;
    if lain > 0 { READ } else { MOST }
}

/// Somebody waits for the node.
fn owes(conn: &NodeConn, phase: Phase) {
    if conn.link.control.phase() != phase {
        conn.link.control.enter(phase);
    }
}

/// A piece has come.
fn moved(conn: &NodeConn, is_untaken: &mut bool) {
    // Not for what the network alone takes to bring what was sent before.
    if conn.link.control.phase() != Phase::Resting && conn.link.control.ticks() > 0 {
        *is_untaken = false;
    }
    conn.link.control.enter(Phase::Resting);
}
