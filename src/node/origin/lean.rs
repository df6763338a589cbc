//! A lean HTTP/1.1 client for GETs that are passed on: the request is one write, the answer one read into a buffer that the
//! whole thread shares, and its head is parsed once. No task, no channel, no map of fields.

use super::{IDLE_PER_ORIGIN, OriginBody, Origins, Pool, Reply};
use crate::clock::{Tick, tick};
use crate::net::listen::Stream;
use crate::net::rules::Reach;
use crate::net::serve::BoxError as BodyError;
use crate::node::counters::add;
use crate::wire::answer::content::{Content, Piece};
use crate::wire::answer::decode::{self, Bounds, Ends, Head};
use crate::wire::fault::{Fault, Kind};
use crate::wire::target::Key;
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::Frame;
use hyper::ext::ReasonPhrase;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind::WouldBlock;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

/// As much as is read at once.
const READ: usize = 64 * 1024;

thread_local! {
    /// Where answers are read first. Never borrowed across a poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// An open connection.
pub struct Link {
    stream: Stream,
    reach: Reach,
    /// When its last request was sent, or its last interim response came.
    since: Tick,
    /// Something has come since.
    heard: bool,
    /// Goes off now and then, when it may be too late; so a request costs no timer.
    alarm: Pin<Box<Sleep>>,
}

/// A connection in use. Dropped, it is closed.
struct Lease {
    pool: Rc<Pool>,
    link: Link,
    reused: bool,
    _permit: OwnedSemaphorePermit,
}

/// What is asked.
pub struct Question<'a> {
    pub pool: &'a Rc<Pool>,
    /// The whole URL: the text of its key.
    pub url: &'a [u8],
    pub same_machine: bool,
    /// The head of the request, as it is sent.
    pub head: &'a [u8],
    /// What interim responses are for.
    pub interim: &'a dyn Fn(Head),
    /// Makes a message of an answer that came as a whole, or leaves it.
    pub message: &'a dyn Fn(&Head<&[u8]>, Reach, &[u8]) -> Option<Message>,
}

/// A message, and how long its head is.
pub type Message = (Vec<u8>, usize);

/// What came of it.
pub enum Heard {
    /// By [`Question::message`].
    Message(Message),
    Told(Box<Told>),
}

/// What the origin answered: the head, and what came along with it.
pub struct Told {
    pub head: Box<Head>,
    pub reach: Reach,
    early: Bytes,
    lease: Lease,
}

impl Origins {
    /// The pool of an origin that was asked before, by its authority as keys write it.
    pub fn known(&self, authority: &[u8]) -> Option<Rc<Pool>> {
        self.table.pools.borrow().get(std::str::from_utf8(authority).ok()?).cloned()
    }

    /// Sends a request and waits for the head of the answer. As [`Origins::exchange`].
    pub async fn ask(&self, question: &Question<'_>) -> Result<Heard, Fault> {
        let lease = match self.spare(question) {
            Some(lease) => lease,
            None => Box::pin(self.open(question, false)).await?,
        };
        let reused = lease.reused;
        match self.told(lease, question).await {
            Err(fault) if reused && fault.kind == Kind::ConnectionTerminated => {
                let lease = Box::pin(self.open(question, true)).await?;
                self.told(lease, question).await
            }
            result => result,
        }
    }

    /// A connection that is there.
    fn spare(&self, question: &Question<'_>) -> Option<Lease> {
        let pool = question.pool;
        let permit = pool.permits.clone().try_acquire_owned().ok()?;
        let link = self.pop(question)?;
        Some(Lease { pool: pool.clone(), link, reused: true, _permit: permit })
    }

    fn pop(&self, question: &Question<'_>) -> Option<Link> {
        let mut spare = question.pool.spare.borrow_mut();
        loop {
            let allowed = |link: &Link| self.dialer.allowed(link.reach, question.same_machine);
            let at = spare.iter().rposition(allowed)?;
            let mut link = spare.swap_remove(at);
            question.pool.now_idle(-1);
            if link.is_quiet() {
                return Some(link);
            }
        }
    }

    async fn open(&self, question: &Question<'_>, new: bool) -> Result<Lease, Fault> {
        let pool = question.pool.clone();
        let permit = self.permit(&pool).await?;
        if let Some(link) = if new { None } else { self.pop(question) } {
            return Ok(Lease { pool, link, reused: true, _permit: permit });
        }
        let dialed = self.dial(&url(question.url)?, question.same_machine).await?;
        let alarm = Box::pin(sleep(self.limits.first_byte));
        let link = Link { stream: dialed.stream, reach: dialed.reach, since: tick(), heard: false, alarm };
        Ok(Lease { pool, link, reused: false, _permit: permit })
    }

    async fn told(&self, lease: Lease, question: &Question<'_>) -> Result<Heard, Fault> {
        add(&self.counters.origin_requests, 1);
        let (mut lease, mut sent, mut early) = (Some(lease), 0, Bytes::new());
        poll_fn(|cx| {
            // Taken with the answer.
            let Some(Lease { link, .. }) = &mut lease else { return Poll::Pending };
            if sent == 0 {
                (link.since, link.heard) = (tick(), false);
            }
            ready!(self.poll_send(link, cx, question.head, &mut sent))?;
            let heard = match ready!(self.poll_head(link, cx, &mut early, question))? {
                Next::Head(head) => {
                    let (early, reach) = (std::mem::take(&mut early), link.reach);
                    lease.take().map(|lease| Heard::Told(Box::new(Told { head, reach, early, lease })))
                }
                Next::Message(message, keep) => {
                    lease.take().filter(|_| keep).into_iter().for_each(Lease::give_back);
                    Some(Heard::Message(message))
                }
            };
            heard.map_or(Poll::Pending, |heard| Poll::Ready(Ok(heard)))
        })
        .await
    }

    fn poll_send(
        &self,
        link: &mut Link,
        cx: &mut Context<'_>,
        head: &[u8],
        sent: &mut usize,
    ) -> Poll<Result<(), Fault>> {
        while *sent < head.len() {
            match Pin::new(&mut link.stream).poll_write(cx, &head[*sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.blame(Kind::ConnectionTerminated))),
                Poll::Ready(Ok(n)) => *sent += n,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(self.blame(Kind::ConnectionTerminated).because(e))),
                Poll::Pending => return self.poll_late(link, cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads heads until one that is final. `early` has what was read of it before, and afterwards what came after it.
    fn poll_head(
        &self,
        link: &mut Link,
        cx: &mut Context<'_>,
        early: &mut Bytes,
        question: &Question<'_>,
    ) -> Poll<Result<Next, Fault>> {
        loop {
            while !early.is_empty()
                && let Some((head, length)) =
                    decode::head(early, self.bounds(), false).map_err(|why| self.unread(why))?
            {
                drop(early.split_to(length));
                if !is_interim(head.status) {
                    return Poll::Ready(Ok(Next::Head(Box::new(head))));
                }
                // It is at work (RFC 9110 section 15.2): its time begins anew.
                link.since = tick();
                (question.interim)(head);
            }
            let at_once = |link: &Link, read: &[u8]| self.at_once(link, read, question);
            match link.poll_more(cx, early, at_once) {
                Poll::Ready(Ok(More::Message(message, keep))) => return Poll::Ready(Ok(Next::Message(message, keep))),
                Poll::Ready(Ok(More::Read)) => {}
                Poll::Ready(Ok(More::End)) => return Poll::Ready(Err(self.blame(link.end()))),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(self.blame(link.end()).because(e))),
                Poll::Pending => return self.poll_late(link, cx),
            }
        }
    }

    /// The message that is made of an answer that was read as a whole, and whether its connection may serve another request.
    fn at_once(&self, link: &Link, read: &[u8], question: &Question<'_>) -> Option<(Message, bool)> {
        // What is wrong with it is found where it is read again.
        let (head, length) = decode::seen(read, self.bounds(), false).ok()??;
        let Ends::After(size) = head.ends else { return None };
        let content = &read[length..];
        let size = usize::try_from(size).ok().filter(|size| *size <= content.len())?;
        let message = (question.message)(&head, link.reach, &content[..size])?;
        add(&self.counters.bytes_from_origin, size as u64);
        Some((message, head.keep && !head.challenges && content.len() == size))
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { bytes: self.limits.head.max(8192), fields: self.limits.fields }
    }

    fn poll_late<T>(&self, link: &mut Link, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        link.poll_late(cx, self.limits.first_byte).map(|()| Err(self.blame(Kind::HttpResponseTimeout)))
    }

    /// What was sent cannot be read.
    pub(super) fn unread(&self, why: &'static str) -> Fault {
        if why == decode::OTHER_CODING {
            return Fault::origin(Kind::HttpProtocolError, "the origin used a transfer coding that nobody asked for");
        }
        if matches!(why, decode::TOO_LONG | decode::TOO_MANY) {
            self.blame(Kind::HttpResponseHeaderSectionSize);
            return super::too_long().because(why);
        }
        self.blame(Kind::HttpProtocolError).because(why)
    }

    /// The answer as others expect it.
    pub fn reply(&self, told: Told) -> Reply {
        let Told { mut head, reach, early, lease } = told;
        // What follows is another protocol.
        head.keep &= head.status != StatusCode::SWITCHING_PROTOCOLS && !head.challenges;
        let body = Body::new(lease, &head, early, self.limits.head);
        let mut response = Response::new(OriginBody::by_ourselves(self, body));
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        let canonical = head.status.canonical_reason().map(str::as_bytes);
        if canonical != Some(head.fields.reason())
            && let Ok(reason) = ReasonPhrase::try_from(head.fields.reason())
        {
            response.extensions_mut().insert(reason);
        }
        *response.headers_mut() = head.fields.map();
        Reply { response, reach }
    }
}

/// What was read.
enum Next {
    Head(Box<Head>),
    /// The flag: its connection may serve another request.
    Message(Message, bool),
}

enum More {
    Message(Message, bool),
    Read,
    End,
}

/// The key that a URL is the text of.
pub fn url(text: &[u8]) -> Result<Key, Fault> {
    Key::parse(std::str::from_utf8(text).unwrap_or_default())
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

impl Link {
    pub(super) fn since(&self) -> Tick {
        self.since
    }

    /// What it is that it has ended before the whole head came.
    fn end(&self) -> Kind {
        if self.heard { Kind::HttpResponseIncomplete } else { Kind::ConnectionTerminated }
    }

    /// Nothing came, and it was not closed. Costs a system call only where something seems to have.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.try_read(&mut [0]).is_err_and(|e| e.kind() == WouldBlock)
    }

    /// Reads more: a message is made of it where it is read, or else it is kept.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        early: &mut Bytes,
        at_once: impl Fn(&Link, &[u8]) -> Option<(Message, bool)>,
    ) -> Poll<std::io::Result<More>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let more = read.filled();
            self.heard |= !more.is_empty();
            if early.is_empty() {
                if let Some((message, keep)) = at_once(self, more) {
                    return Poll::Ready(Ok(More::Message(message, keep)));
                }
                *early = Bytes::copy_from_slice(more);
            } else {
                let mut longer = BytesMut::from(std::mem::take(early));
                longer.extend_from_slice(more);
                *early = longer.freeze();
            }
            Poll::Ready(Ok(if more.is_empty() { More::End } else { More::Read }))
        })
    }

    /// Ready when so much time has passed since the request was sent.
    fn poll_late(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let Some(left) = limit.checked_sub(tick().since(self.since)).filter(|left| !left.is_zero()) else {
                return Poll::Ready(());
            };
            self.alarm.set(sleep(left));
        }
    }
}

impl Lease {
    fn give_back(self) {
        let mut spare = self.pool.spare.borrow_mut();
        if spare.len() < IDLE_PER_ORIGIN {
            spare.push(self.link);
            drop(spare);
            self.pool.now_idle(1);
        }
    }
}

/// A body that did not come along as a whole. At its end the connection may serve the next request.
pub(super) struct Body {
    lease: Option<Lease>,
    keep: bool,
    content: Content,
    /// Read, but not decoded.
    input: Bytes,
    buffer: BytesMut,
}

impl Body {
    fn new(lease: Lease, head: &Head, input: Bytes, trailers: usize) -> Body {
        let content = Content::new(head.ends, trailers);
        let mut body = Body { lease: Some(lease), keep: head.keep, content, input, buffer: BytesMut::new() };
        body.heed_end();
        body
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let piece = self.content.step(&mut self.input)?;
            self.heed_end();
            return Poll::Ready(match piece {
                Piece::Data(data) => Some(Ok(Frame::data(data))),
                Piece::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
                Piece::End => None,
                Piece::More if ready!(self.poll_more(cx))? => continue,
                Piece::More if matches!(self.content, Content::UntilClose) => {
                    self.content = Content::Over;
                    None
                }
                Piece::More => Some(Err("the origin closed the connection within its answer".into())),
            });
        }
    }

    /// Reads more; false: the connection has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(false)) };
        let want = self.content.length().and_then(|left| usize::try_from(left).ok());
        self.buffer.reserve(want.map_or(READ, |left| left.clamp(1, READ)));
        // The future of `read_buf` keeps no state between polls: it may be made anew for each.
        let read = ready!(pin!(lease.link.stream.read_buf(&mut self.buffer)).poll(cx))?;
        self.input = self.buffer.split().freeze();
        Poll::Ready(Ok(read > 0))
    }

    /// At the end of the body the connection goes back to its pool, unless something is left over on it.
    fn heed_end(&mut self) {
        if !self.content.is_over() {
            return;
        }
        let clean = self.keep && self.input.is_empty();
        if let Some(lease) = self.lease.take().filter(|_| clean) {
            lease.give_back();
        }
    }

    pub(super) fn close(&mut self) {
        self.lease = None;
    }

    pub(super) fn is_over(&self) -> bool {
        self.content.is_over()
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.content.length()
    }
}
