//! One connection to a server, and one exchange on it.

use super::upload::Upload;
use crate::clock::{Tick, tick};
use crate::net::listen::Stream;
use crate::net::pipe::{PassError, PassedOn};
use crate::net::rules::Reach;
use crate::net::serve::BoxError;
use crate::wire::answer::decode::{self, Bounds, Head};
use crate::wire::fault::Fault;
use crate::wire::length::BodyLength;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// As much as is read at once, where nothing says how much there is.
pub const READ: usize = 64 * 1024;
/// How long who seems to be late is looked at once more: it may be we who were not there to hear it.
const ONCE_MORE: Duration = Duration::from_millis(1);

thread_local! {
    /// Where answers are read first. Never borrowed across a poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// All that is asked of a stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// An open connection. Dropped, it is closed.
pub struct Conn<S = Stream> {
    stream: S,
    reach: Reach,
    born: Tick,
    /// When its exchange last moved, or it was last used.
    since: Tick,
    /// How much of the head of the request is written.
    sent: usize,
    /// Something of the answer has come.
    heard: bool,
    /// As much is read together with the head of an answer.
    ahead: usize,
    /// Interim responses that came before it, and bytes of them.
    interim: (usize, usize),
    /// Whoever seems to be late has been looked at once more.
    looked_again: bool,
    /// Read, and not used.
    early: Bytes,
    /// Goes off now and then, when it may be too late; so a request costs no timer.
    alarm: Option<Pin<Box<Sleep>>>,
    /// When it does.
    due: u64,
}

/// What is asked.
pub struct Question<'a> {
    /// The head of the request, as it is sent.
    pub head: &'a [u8],
    /// It is HEAD: whatever the answer says, it has no body.
    pub bodiless: bool,
    /// It may be sent once more (RFC 9110 section 9.2.2), as far as its method goes.
    pub idempotent: bool,
    /// What interim responses are for, but for the `100 Continue` that a body has waited for.
    pub interim: &'a dyn Fn(Head),
    /// Makes a message of an answer that came as a whole, or leaves it.
    pub message: Option<&'a dyn Fn(&Head<&[u8]>, Reach, &[u8]) -> Option<Message>>,
}

/// A message, and how long its head is.
pub type Message = (Vec<u8>, usize);

/// How long who owes something may be silent, and how large a head may be.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    pub bounds: Bounds,
    /// The server, with the head of its answer or an interim response, once it has all of the request.
    pub answer: Duration,
    /// The server, while it takes nothing of the request's body.
    pub take: Duration,
    /// Who sends that body.
    pub give: Duration,
    /// The server, within the body of its answer.
    pub silence: Duration,
    /// Interim responses before one answer, and bytes of them: each gives the server its time anew, and nobody has to take
    /// them.
    pub interim: (usize, usize),
}

/// Who is to move next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owes {
    /// The server has all of the request.
    Answer,
    /// The server is to take the next piece of the request's body.
    Taking,
    /// Who sends the request is to send that.
    Giving,
}

/// Why an exchange came to nothing.
#[derive(Debug)]
pub enum ExchangeError {
    /// All connections are in use, and the queue is full, or the wait in it was too long.
    Full,
    /// No connection came about.
    Unconnected(Fault),
    /// The connection ended before the whole head was there; `heard`: within it.
    Ended { heard: bool, source: Option<io::Error> },
    /// What came cannot be read.
    Unread(&'static str),
    /// Who was silent for too long.
    Late(Owes),
    /// The request's own body came to no end.
    Upload(BoxError),
}

/// What was read.
#[allow(clippy::large_enum_variant)] // nearly always the large one, and looked at at once
pub enum NextRead {
    Head(Head),
    /// The flag: its connection may serve another request.
    Message(Message, bool),
}

impl ClientLimits {
    /// For who keeps the time elsewhere.
    pub const fn of(bounds: Bounds) -> ClientLimits {
        let [answer, take, give, silence] = [Duration::MAX; 4];
        ClientLimits { bounds, answer, take, give, silence, interim: (usize::MAX, usize::MAX) }
    }
}

impl<S> Conn<S> {
    /// Which has just been opened.
    pub fn new(stream: S, reach: Reach) -> Conn<S> {
        let (since, early, alarm) = (tick(), Bytes::new(), None);
        let (interim, looked_again) = Default::default();
        Conn {
            stream,
            reach,
            born: since,
            since,
            sent: 0,
            heard: false,
            ahead: READ,
            interim,
            looked_again,
            early,
            alarm,
            due: u64::MAX,
        }
    }

    /// Who may see what comes from there.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// When it was last used.
    pub(super) fn since(&self) -> Tick {
        self.since
    }

    /// For how long it has been open.
    pub(super) fn age(&self, now: Tick) -> Duration {
        now.since(self.born)
    }

    /// Something moves: whoever owes the next step has time from now on.
    pub(super) fn moved(&mut self) {
        (self.since, self.looked_again) = (tick(), false);
    }

    /// What was read and not used.
    pub fn early(&mut self) -> &mut Bytes {
        &mut self.early
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// For another protocol.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    /// Ready when nothing has moved for so long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        if end(self.since, limit) < self.due {
            self.set_alarm(limit);
        }
        while let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(cx));
            if tick().since(self.since) < limit {
                self.set_alarm(limit);
            } else if std::mem::replace(&mut self.looked_again, true) {
                return Poll::Ready(());
            } else {
                alarm.set(sleep(ONCE_MORE));
            }
        }
        Poll::Pending
    }

    fn set_alarm(&mut self, limit: Duration) {
        self.due = end(self.since, limit);
        let left = sleep(limit.saturating_sub(tick().since(self.since)));
        match &mut self.alarm {
            Some(alarm) => alarm.set(left),
            None => self.alarm = Some(Box::pin(left)),
        }
    }
}

fn end(since: Tick, limit: Duration) -> u64 {
    since.0.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

impl<S: ByteStream> Conn<S> {
    /// Nothing came, and it was not closed. Costs a system call only where something seems to have.
    pub fn is_quiet(&mut self) -> bool {
        self.poll_disturbed(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Itself, where it is.
    pub(super) fn if_quiet(mut self) -> Option<Self> {
        self.is_quiet().then_some(self)
    }

    /// Ready when something has come that nobody asked for, or it was closed: then it is of no more use.
    pub fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut [0])).map(drop)
    }

    /// The next exchange begins.
    pub fn begin(&mut self) {
        (self.sent, self.heard, self.interim, self.ahead) = (0, false, (0, 0), READ);
    }

    /// No more than so many bytes, [`READ`] at most, are read together with the head of the next answer.
    pub fn read_ahead(&mut self, bytes: usize) {
        self.ahead = bytes.min(READ);
    }

    /// Sends a request and its body, as far as the server takes that, and reads heads until one that is final. What was read
    /// behind that is kept.
    pub fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        question: &Question<'_>,
        limits: &ClientLimits,
        upload: &mut Option<Box<Upload>>,
    ) -> Poll<Result<NextRead, ExchangeError>> {
        if self.poll_send(cx, question.head)?.is_pending() {
            return self.poll_broken(cx, Owes::Answer, limits);
        }
        loop {
            let (mut owes, mut broken) = (Owes::Answer, None);
            if let Some(upload) = upload {
                let before = upload.moves();
                match upload.poll(&mut self.stream, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(why)) => broken = Some(ExchangeError::Upload(why)),
                    Poll::Pending => owes = if upload.waits_for_source() { Owes::Giving } else { Owes::Taking },
                }
                if upload.moves() != before {
                    self.moved();
                }
            }
            let before = upload.as_ref().map(|upload| upload.moves());
            let read = self.poll_head(cx, question, limits, upload.as_deref_mut());
            return match (read, broken) {
                (Poll::Ready(Ok(next)), _) => Poll::Ready(Ok(next)),
                (_, Some(broken)) | (Poll::Ready(Err(broken)), None) => Poll::Ready(Err(broken)),
                // The server wants it now.
                (Poll::Pending, None) if upload.as_ref().map(|upload| upload.moves()) != before => continue,
                (Poll::Pending, None) => self.poll_broken(cx, owes, limits),
            };
        }
    }

    /// Sends the rest of a head.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Poll<Result<(), ExchangeError>> {
        while self.sent < head.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &head[self.sent..]));
            self.sent += match written {
                Ok(0) => return Poll::Ready(Err(self.ended(None))),
                Ok(n) => n,
                Err(e) => return Poll::Ready(Err(self.ended(Some(e)))),
            };
        }
        Poll::Ready(Ok(()))
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        question: &Question<'_>,
        limits: &ClientLimits,
        mut upload: Option<&mut Upload>,
    ) -> Poll<Result<NextRead, ExchangeError>> {
        loop {
            while !self.early.is_empty()
                && let Some((head, length)) =
                    decode::head(&self.early, limits.bounds, question.bodiless).map_err(ExchangeError::Unread)?
            {
                drop(self.early.split_to(length));
                if !head.is_interim() {
                    return Poll::Ready(Ok(NextRead::Head(head)));
                }
                self.interim = (self.interim.0 + 1, self.interim.1 + length);
                if self.interim.0 > limits.interim.0 || self.interim.1 > limits.interim.1 {
                    return Poll::Ready(Err(ExchangeError::Unread("more interim responses than anybody needs")));
                }
                // It is at work (RFC 9110 section 15.2): its time begins anew.
                self.moved();
                match &mut upload {
                    Some(upload) if upload.is_held_back() && head.status == StatusCode::CONTINUE => upload.go_on(),
                    _ => (question.interim)(head),
                }
            }
            match ready!(self.poll_more(cx, self.ahead, |reach, read| at_once(question, limits, reach, read))) {
                Ok(More::Message(message, keep)) => return Poll::Ready(Ok(NextRead::Message(message, keep))),
                Ok(More::Read) => {}
                Ok(More::End) => return Poll::Ready(Err(self.ended(None))),
                Err(e) => return Poll::Ready(Err(self.ended(Some(e)))),
            }
        }
    }

    /// Reads more of a head: a message is made of it where it is read, or else it is kept.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        at_once: impl Fn(Reach, &[u8]) -> Option<(Message, bool)>,
    ) -> Poll<io::Result<More>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..room]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let more = read.filled();
            self.heard |= !more.is_empty();
            if self.early.is_empty() {
                if let Some((message, keep)) = at_once(self.reach, more) {
                    return Poll::Ready(Ok(More::Message(message, keep)));
                }
                self.early = Bytes::copy_from_slice(more);
            } else {
                let mut longer = BytesMut::from(std::mem::take(&mut self.early));
                longer.extend_from_slice(more);
                self.early = longer.freeze();
            }
            Poll::Ready(Ok(if more.is_empty() { More::End } else { More::Read }))
        })
    }

    /// Reads what comes behind what was read; false: the connection has ended.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.poll_more(cx, READ, |_, _| None).map_ok(|more| !matches!(more, More::End))
    }

    fn ended(&self, source: Option<io::Error>) -> ExchangeError {
        ExchangeError::Ended { heard: self.heard, source }
    }

    fn poll_broken<T>(
        &mut self,
        cx: &mut Context<'_>,
        owes: Owes,
        limits: &ClientLimits,
    ) -> Poll<Result<T, ExchangeError>> {
        let limit = match owes {
            Owes::Answer => limits.answer,
            Owes::Taking => limits.take,
            Owes::Giving => limits.give,
        };
        self.poll_late(cx, limit).map(|()| Err(ExchangeError::Late(owes)))
    }

    /// Moves what can be moved of a request's body, beside the reading of the answer's.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>, upload: &mut Upload) -> Poll<Result<(), BoxError>> {
        upload.poll(&mut self.stream, cx)
    }

    /// Reads a piece of a body into `buffer`, of `room` bytes at most; 0 bytes: the connection has ended.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut, room: usize) -> Poll<io::Result<usize>> {
        buffer.reserve(room);
        // The future of `read_buf` keeps no state between polls: it may be made anew for each.
        pin!(self.stream.read_buf(buffer)).poll(cx)
    }
}

impl Conn {
    /// Moves up to `most` bytes of a body to a client, without a copy; see [`Stream::poll_pass`].
    pub fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        to: &Stream,
        most: usize,
        more: bool,
    ) -> Poll<Result<PassedOn, PassError>> {
        self.stream.poll_pass(cx, to, most, more)
    }
}

/// For a piece of a body of which so many bytes are left, where that is known.
pub fn room_for(left: Option<u64>, most: usize) -> usize {
    left.and_then(|left| usize::try_from(left).ok()).map_or(most, |left| left.clamp(1, most))
}

enum More {
    Message(Message, bool),
    Read,
    End,
}

/// The message that is made of an answer that was read as a whole, and whether its connection may serve another request.
fn at_once(question: &Question<'_>, limits: &ClientLimits, reach: Reach, read: &[u8]) -> Option<(Message, bool)> {
    question.message?;
    // What is wrong with it is found where it is read again.
    let (head, length) = decode::seen(read, limits.bounds, question.bodiless).ok()??;
    let BodyLength::Sized(size) = head.ends else { return None };
    let content = &read[length..];
    let size = usize::try_from(size).ok().filter(|size| *size <= content.len())?;
    let message = question.message?(&head, reach, &content[..size])?;
    Some((message, head.keep && !head.challenges && content.len() == size))
}
