//! A node's body that did not come along with its head: streamed with back-pressure; it owns the connection.

use super::chunked::{Chunked, Step};
use super::conn::Conn;
use super::control::Phase;
use super::decode::{Ends, Head};
use super::{Broken, InFlight, READ, Upload};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use std::task::{Context, Poll};

const OTHER_LENGTH: &str = "a body that is not as long as it said";

/// See the module. At its end the connection goes back to its pool; dropped before, the connection is closed.
pub struct Body {
    conn: Option<Conn>,
    keep: bool,
    coding: Coding,
    /// What is left of a body that comes in chunks, where the node has told how long it is.
    left: Option<u64>,
    /// Read, but not decoded.
    input: Bytes,
    buf: BytesMut,
    /// A request body that is still on its way: who answers early may do so while it reads on.
    upload: Option<Upload>,
    _load: InFlight,
}

enum Coding {
    Left(u64),
    Chunked(Box<Chunked>),
    Closed,
    Done,
}

/// What one look at the input came to.
enum Next {
    Frame(Frame<Bytes>),
    More,
    End,
}

impl Body {
    pub fn new(conn: Conn, head: &Head, input: Bytes, upload: Option<Upload>, load: InFlight) -> Body {
        let (keep, left) = (head.keep, head.told_length);
        let coding = match head.ends {
            Ends::None => Coding::Done,
            Ends::After(n) => Coding::Left(n),
            Ends::Chunked => Coding::Chunked(Box::new(Chunked::of_link(conn.slot.pool().shared.limits.head as usize))),
            Ends::Closed => Coding::Closed,
        };
        conn.link.control.enter(Phase::Resting);
        Body { conn: Some(conn), keep, coding, left, input, buf: BytesMut::new(), upload, _load: load }
    }

    /// The next piece, trailers, or `None` at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match self.next() {
                Ok(Next::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Next::End) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(Next::More) => match self.poll_read(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => {
                        self.finish();
                        return Poll::Ready(None);
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Some(Err(self.fail(e)))),
                },
                Err(e) => return Poll::Ready(Some(Err(self.fail(e)))),
            }
        }
    }

    /// Decodes from the input.
    fn next(&mut self) -> Result<Next, Broken> {
        match &mut self.coding {
            Coding::Done | Coding::Left(0) => Ok(Next::End),
            Coding::Chunked(chunked) => match chunked.step(&mut self.input).map_err(Broken::Protocol)? {
                Step::More => Ok(Next::More),
                Step::Data(data) => {
                    if let Some(left) = &mut self.left {
                        *left = left.checked_sub(data.len() as u64).ok_or(Broken::Protocol(OTHER_LENGTH))?;
                        // As below: nobody may ask for the end of what is whole by its length.
                        if *left == 0 && matches!(chunked.step(&mut self.input), Ok(Step::End(_))) {
                            self.finish();
                        }
                    }
                    Ok(Next::Frame(Frame::data(data)))
                }
                Step::End(_) if self.left.is_some_and(|left| left > 0) => Err(Broken::Protocol(OTHER_LENGTH)),
                Step::End(trailers) => {
                    self.coding = Coding::Done;
                    Ok(trailers.map_or(Next::End, |trailers| Next::Frame(Frame::trailers(trailers))))
                }
                Step::Broken(blame) => Err(Broken::Told(blame)),
            },
            _ if self.input.is_empty() => Ok(Next::More),
            Coding::Closed => Ok(Next::Frame(Frame::data(std::mem::take(&mut self.input)))),
            Coding::Left(left) => {
                let take = usize::try_from(*left).map_or(self.input.len(), |left| left.min(self.input.len()));
                *left -= take as u64;
                let data = self.input.split_to(take);
                // The end is known now: the connection need not wait for another poll, which hyper does not make.
                if *left == 0 {
                    self.finish();
                }
                Ok(Next::Frame(Frame::data(data)))
            }
        }
    }

    /// Reads more; false at the end of a body that ends with its connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        let Some(conn) = &mut self.conn else { return Poll::Ready(Ok(false)) };
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(done) = upload.poll(conn, cx)
        {
            done?;
            self.keep &= upload.is_done();
            self.upload = None;
        }
        self.buf.reserve(READ);
        match conn.poll_piece(cx, &mut self.buf) {
            Poll::Pending => {
                let phase = if self.upload.is_some() { Phase::Sending } else { Phase::Body };
                if conn.link.control.phase() != phase {
                    conn.link.control.enter(phase);
                }
                Poll::Pending
            }
            Poll::Ready(Ok(0)) if matches!(self.coding, Coding::Closed) => Poll::Ready(Ok(false)),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(conn.died(None, false))),
            Poll::Ready(Ok(_)) => {
                conn.link.control.enter(Phase::Resting);
                self.input = self.buf.split().freeze();
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
        }
    }

    /// The whole body was read: the connection serves the next request, unless something is left over on it.
    fn finish(&mut self) {
        self.coding = Coding::Done;
        let clean = self.keep && self.input.is_empty() && self.upload.is_none();
        if let Some(conn) = self.conn.take()
            && clean
        {
            conn.give_back();
        }
    }

    fn fail(&mut self, e: Broken) -> Broken {
        self.coding = Coding::Done;
        self.conn = None;
        e
    }

    /// Nothing more of the content is to come, whatever ends it.
    pub fn has_all(&self) -> bool {
        self.left == Some(0) || matches!(self.coding, Coding::Done | Coding::Left(0))
    }

    pub fn is_end(&self) -> bool {
        matches!(self.coding, Coding::Done)
    }

    pub fn size_hint(&self) -> SizeHint {
        match self.coding {
            Coding::Left(left) => SizeHint::with_exact(left),
            Coding::Done => SizeHint::with_exact(0),
            Coding::Chunked(_) => self.left.map_or_else(SizeHint::new, SizeHint::with_exact),
            Coding::Closed => SizeHint::new(),
        }
    }
}
