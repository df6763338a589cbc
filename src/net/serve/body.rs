//! The two bodies of an exchange, noting when they begin, wait, move and end.

use super::end::BoxError;
use super::interim::Interim;
use super::io::{Io, Upgrade};
use super::says::Says;
use super::state::{ConnState, Half};
use super::streamed::StreamContent;
use crate::account::Hold;
use crate::net::listen::Stream;
use crate::wire::answer::content::{Content, Piece};
use crate::wire::fault::Blame;
use crate::wire::length::BodyLength;
use crate::wire::link;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;

/// As much as is read at once.
const READ: usize = 64 * 1024;

/// A request body as the service gets it. Read from the connection by whoever polls it, and by nobody else until it is read to
/// its end.
#[derive(Debug)]
pub struct ClientBody {
    /// `None`: there is none, or it has come to its end.
    source: Option<BodySource>,
    interim: Interim,
    upgrade: Option<Upgrade>,
}

/// What a request comes by.
#[derive(Clone, Copy)]
pub(super) enum Carrier<'a> {
    /// A connection of HTTP/1.
    Connection(&'a Rc<RefCell<Io>>),
    /// A stream of HTTP/2, and its content.
    Stream(&'a Cell<Option<StreamContent>>),
}

#[derive(Debug)]
struct BodySource {
    half: Half,
    /// The client waits for `100 Continue` (RFC 9110 section 10.1.1).
    expects: bool,
    content: BodyContent,
}

#[derive(Debug)]
enum BodyContent {
    Connection(ConnContent),
    Stream(Box<StreamContent>),
}

/// Content that is read from a connection.
#[derive(Debug)]
struct ConnContent {
    /// Gone when the connection is.
    io: Weak<RefCell<Io>>,
    content: Content,
    buffer: BytesMut,
}

/// Of the exchange that is about to begin.
impl ClientBody {
    pub(super) fn new(says: &Says, carrier: Carrier<'_>, state: &Arc<ConnState>, limit: usize) -> ClientBody {
        let content = match carrier {
            _ if says.content == BodyLength::None => None,
            Carrier::Connection(io) => Some(BodyContent::Connection(ConnContent {
                io: Rc::downgrade(io),
                content: Content::new(says.content, limit),
                buffer: BytesMut::new(),
            })),
            Carrier::Stream(stream) => stream.take().map(|mut stream| {
                stream.set_length(says.content);
                BodyContent::Stream(Box::new(stream))
            }),
        };
        let half = || Half::begin(state);
        let source = content.map(|content| BodySource { half: half(), expects: says.expects, content });
        state.set_uploading(source.is_some());
        state.set_uploads(source.is_some());
        ClientBody { source, interim: Interim::of_next(state, says), upgrade: None }
    }

    pub(super) fn with_upgrade(mut self, upgrade: Upgrade) -> ClientBody {
        self.upgrade = Some(upgrade);
        self
    }

    /// Whether the client waits for `100 Continue` before it sends it (RFC 9110 section 10.1.1): the first poll that finds none
    /// of it asks for it.
    pub fn expects(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.expects)
    }

    /// What sends interim responses to this request.
    pub fn interim(&self) -> Interim {
        self.interim.clone()
    }

    /// The connection, where it may be taken for another protocol: CONNECT, and requests with `Upgrade`.
    pub fn take_upgrade(&mut self) -> Option<Upgrade> {
        self.upgrade.take()
    }
}

impl BodySource {
    fn poll_frame(&mut self, interim: &Interim, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let expects = &mut self.expects;
        let mut asks = || {
            if std::mem::take(expects) {
                interim.go_on();
            }
        };
        match &mut self.content {
            BodyContent::Connection(content) => content.poll_frame(asks, cx),
            BodyContent::Stream(content) => {
                let polled = content.poll_frame(cx);
                if polled.is_pending() {
                    asks();
                }
                polled
            }
        }
    }

    fn is_over(&self) -> bool {
        match &self.content {
            BodyContent::Connection(content) => content.content.is_over(),
            BodyContent::Stream(content) => content.is_over(),
        }
    }

    /// What is to come.
    fn length(&self) -> Option<u64> {
        match &self.content {
            BodyContent::Connection(content) => content.content.length(),
            BodyContent::Stream(content) => content.length(),
        }
    }
}

impl ConnContent {
    /// `asks`: more has to be read than has come.
    fn poll_frame(
        &mut self,
        mut asks: impl FnMut(),
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(io) = self.io.upgrade() else { return Poll::Ready(Some(Err("the client has left".into()))) };
            let mut io = io.borrow_mut();
            match self.content.step(&mut io.before) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(why) => return Poll::Ready(Some(Err(why.into()))),
            }
            asks();
            self.buffer.reserve(self.content.length().map_or(READ, |left| left.clamp(1, READ as u64) as usize));
            // The future of `read_buf` keeps no state between polls: it may be made anew for each.
            let read = ready!(pin!(io.stream.read_buf(&mut self.buffer)).poll(cx))?;
            if read == 0 {
                return Poll::Ready(Some(Err("the client closed the connection within its request".into())));
            }
            io.before = self.buffer.split().freeze();
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(source) = &mut this.source else { return Poll::Ready(None) };
        let polled = source.poll_frame(&this.interim, cx);
        let state = source.half.state();
        match &polled {
            Poll::Pending => state.body_pending(),
            Poll::Ready(frame) => {
                state.body_moved();
                let failed = matches!(frame, Some(Err(_)));
                if failed || source.is_over() {
                    state.body_ended(failed);
                    this.source = None;
                }
            }
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }
    fn size_hint(&self) -> SizeHint {
        let length = self.source.as_ref().map_or(Some(0), BodySource::length);
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            source.half.state().body_moved();
            source.half.state().body_ended(true);
        }
    }
}

/// A body's error that the chunks themselves are to tell, in a line in place of the next one ([`link::broken`]).
#[derive(Debug)]
pub struct ToldFault(pub Blame);

impl fmt::Display for ToldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ToldFault {}

/// That line, where an error is one or comes of one.
pub(super) fn told(error: &(dyn Error + 'static)) -> Option<String> {
    let told = error.downcast_ref::<ToldFault>().or_else(|| error.source()?.downcast_ref());
    told.map(|ToldFault(blame)| link::broken(*blame))
}

/// What else there is to an answer's body than its frames.
pub trait AnswerBody {
    /// Moves some of what is its next to a client's connection that has room, without a copy: how much, unless it has to be
    /// polled.
    fn poll_pass(&mut self, _to: &Stream, _cx: &mut Context<'_>) -> Poll<Result<Passing, BoxError>> {
        Poll::Ready(Ok(Passing::Polled))
    }

    /// What counts it, where its pieces do not all tell by where they lie ([`crate::account::is_for_readers`]).
    fn hold(&self) -> Option<&Arc<Hold>> {
        None
    }
}

/// What became of a body's next.
pub enum Passing {
    /// So many bytes of it are on their way to the client.
    Sent(usize),
    /// It has to be polled.
    Polled,
    /// The client's connection failed.
    Failed(io::Error),
}

impl AnswerBody for Full<Bytes> {}

/// An answer's body; the exchange lasts until it is dropped.
#[derive(Debug)]
pub(super) struct ServerReply<B> {
    pub(super) body: B,
    half: Half,
    counted: bool,
}

impl<B: AnswerBody> ServerReply<B> {
    pub(super) fn new(body: B, half: Half) -> ServerReply<B> {
        let counted = body.hold().inspect(|hold| half.state().set_reads(Some(hold))).is_some();
        ServerReply { body, half, counted }
    }
}

impl<B> Drop for ServerReply<B> {
    fn drop(&mut self) {
        if self.counted {
            self.half.state().set_reads(None);
        }
    }
}
