//! Plain requests, one after the other, without hyper: read, asked of the service, answered.
//!
//! What is not plain is left for hyper, which knows everything; the answers are the same.

use super::body::{ClientBody, Reply, told};
use super::interim::Interim;
use super::io::{self, Io};
use super::out::{self, Out};
use super::payload::Payload;
use super::plain::{self, FIELDS, Framing, Plain};
use super::state::Half;
use super::sweep::{Order, Registration};
use super::{BoxError, End};
use crate::clock;
use crate::wire::date;
use bytes::Bytes;
use http::{Request, Response, response};
use http_body::{Body, Frame};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// As much as is read at once; a longer head is hyper's.
const READ: usize = 16 * 1024;
/// So many answers are given before other connections get their turn.
const TURN: usize = 32;

thread_local! {
    /// Where requests are read first. Never borrowed across a poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Answers plain requests without the service, where it can. One a connection.
pub trait Known {
    type Body;

    /// At once: appends the answer's head to `head`, perhaps with its body, and gives the body that is not there.
    fn answer(&self, request: &Plain<'_>, head: &mut Vec<u8>) -> Option<Payload>;

    /// Later. What neither can answer is the service's.
    fn ask(&self, _: &Plain<'_>, _: Interim) -> Option<Asking<Self::Body>> {
        None
    }
}

/// An answer that is waited for.
pub type Asking<B> = Pin<Box<dyn Future<Output = Given<B>>>>;

/// What was waited for.
pub enum Given<B> {
    /// A whole head and a whole body, as they are to be written.
    Bytes(Vec<u8>, Payload),
    /// The same in one piece ([`out::room_for_message`]), and how long its head is.
    Message(Vec<u8>, usize),
    Response(Response<B>),
}

/// What a connection has for that.
pub type Shortcut<B> = Rc<dyn Known<Body = B>>;

/// Why the lane was left.
pub(super) enum Left {
    /// What was read of the next request is in [`Io::before`].
    Hyper,
    End(End),
}

/// What a connection is to do next.
enum Next<B> {
    Ask(Asking<B>),
    Serve(Request<()>),
    Leave(Left),
}

struct Lane<'a, B> {
    io: &'a mut Io,
    watch: &'a Registration,
    known: Option<&'a Shortcut<B>>,
    out: Out,
    /// The process ends: what runs is the last.
    draining: bool,
    /// The client has closed its half: what was read is the last.
    finished: bool,
}

/// Serves `io` for as long as its requests are plain. `service` counts its exchanges itself.
pub(super) async fn serve<F, B, E>(
    io: &mut Io,
    watch: &Registration,
    known: Option<&Shortcut<B>>,
    service: impl Fn(Request<ClientBody>) -> F,
) -> Left
where
    F: Future<Output = Result<Response<Reply<B>>, E>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    watch.set_parked(true);
    let mut lane = Lane { io, watch, known, out: Out::default(), draining: false, finished: false };
    let left = loop {
        let served = match poll_fn(|cx| lane.poll_next(cx)).await {
            Next::Ask(asking) => lane.ask(asking).await,
            Next::Serve(request) => {
                let body = ClientBody::none(&lane.io.state);
                lane.exchange(service(request.map(|()| body))).await
            }
            Next::Leave(left) => break left,
        };
        if let Err(end) = served {
            break Left::End(end);
        }
    };
    watch.set_parked(false);
    left
}

impl<B> Lane<'_, B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Waits for a request that the service has to answer; answers those that are known on the way.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<B>> {
        for _ in 0..TURN {
            if let Err(end) = self.heed(cx) {
                return end.into();
            }
            if let Err(e) = ready!(self.out.poll(self.io, cx)) {
                return End::Broken(e.into()).into();
            }
            if self.draining {
                return End::Closed.into();
            }
            if let Some(next) = ready!(self.poll_take(cx)) {
                return Poll::Ready(next);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What was read before, or else what can be read now.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next<B>>> {
        let before = std::mem::take(&mut self.io.before);
        if !before.is_empty() {
            return Poll::Ready(self.take(&before));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            // Read, not only looked for: tokio takes a new socket for readable until a read has found nothing.
            match ready!(Pin::new(&mut self.io.stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => Poll::Ready(self.take(read.filled())),
                _ => Poll::Ready(Some(Next::Leave(Left::End(End::Closed)))),
            }
        })
    }

    /// The requests that `input` begins with: their answers are ready to be written, as far as they are known, or else
    /// what is to be done for the first.
    fn take(&mut self, input: &[u8]) -> Option<Next<B>> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS];
        let Some(plain) = plain::parse(input, self.watch.limits(), &mut slots) else {
            return Some(self.leave_to_hyper(input));
        };
        let rest = &input[plain.head.len()..];
        let (answered, next) = match self.answer(&plain, rest) {
            Some(answered) => (answered, None),
            None => {
                let interim = Interim::of_next(&self.io.state);
                let asking = self.known.and_then(|known| known.ask(&plain, interim));
                match asking.map(Next::Ask).or_else(|| plain.request().map(Next::Serve)) {
                    Some(next) => (0, Some(next)),
                    None => return Some(self.leave_to_hyper(input)),
                }
            }
        };
        self.io.before = Bytes::copy_from_slice(&rest[answered..]);
        next
    }

    /// Has the answer ready to be written, if it is known, and with it those to the requests in `rest` (pipelined, RFC
    /// 9112 section 9.3.2), as long as they are known; how much of `rest` these are.
    fn answer(&mut self, plain: &Plain<'_>, rest: &[u8]) -> Option<usize> {
        let known = self.known?;
        out::with_head(|head| {
            let mut body = known.answer(plain, head)?;
            let mut answered = 0;
            while answered < rest.len() && out::join(head, &mut body) {
                let mut slots = [const { MaybeUninit::uninit() }; FIELDS];
                let Some(plain) = plain::parse(&rest[answered..], self.watch.limits(), &mut slots) else { break };
                let Some(next) = known.answer(&plain, head) else { break };
                answered += plain.head.len();
                body = next;
            }
            self.out.hold(head, body);
            Some(answered)
        })
    }

    fn leave_to_hyper(&mut self, input: &[u8]) -> Next<B> {
        self.io.before = Bytes::copy_from_slice(input);
        Next::Leave(Left::Hyper)
    }

    /// One request to who knows: as [`Lane::exchange`].
    async fn ask(&mut self, asking: Asking<B>) -> Result<(), End> {
        let half = Half::begin(&self.io.state);
        self.io.state.asked();
        let given = self.wait(asking).await?;
        self.io.state.answered();
        match given {
            Given::Response(response) => self.send(response.map(|body| Reply::new(body, half))).await,
            Given::Bytes(mut head, body) => {
                let close = self.is_last();
                if close && head.ends_with(b"\r\n\r\n") {
                    head.truncate(head.len() - 2);
                    head.extend_from_slice(b"connection: close\r\n\r\n");
                }
                self.send_bytes(&mut head, body).await?;
                drop(half);
                self.sent(close)
            }
            Given::Message(mut message, head) => {
                let close = self.is_last();
                if close && let Some(end) = head.checked_sub(2).filter(|end| *end <= message.len()) {
                    message.splice(end..end, *b"connection: close\r\n");
                }
                self.send_bytes(&mut message, Bytes::new().into()).await?;
                out::take_back(message);
                drop(half);
                self.sent(close)
            }
        }
    }

    /// One request: waits for the service's answer and writes it.
    async fn exchange<F, E>(&mut self, answering: F) -> Result<(), End>
    where
        F: Future<Output = Result<Response<Reply<B>>, E>>,
        E: Into<BoxError>,
    {
        let response = self.wait(answering).await?.map_err(|e| End::Broken(e.into()))?;
        self.send(response).await
    }

    /// Waits for an answer, as long as the client does.
    async fn wait<T>(&mut self, answering: impl Future<Output = T>) -> Result<T, End> {
        let mut answering = pin!(answering);
        poll_fn(|cx| {
            self.heed(cx)?;
            match answering.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                Poll::Pending => self.poll_gone(cx).map(|()| Err(gone())),
            }
        })
        .await
    }

    async fn send(&mut self, response: Response<Reply<B>>) -> Result<(), End> {
        let (answer, body) = response.into_parts();
        let close = self.is_last() || plain::says_close(&answer.headers);
        self.write(&answer, body, close).await?;
        self.sent(close)
    }

    async fn send_bytes(&mut self, head: &mut Vec<u8>, mut body: Payload) -> Result<(), End> {
        let mut fresh = true;
        poll_fn(|cx| {
            self.heed(cx)?;
            ready!(self.out.poll_before(self.io, cx)).map_err(|e| End::Broken(e.into()))?;
            if !std::mem::take(&mut fresh) {
                return Poll::Ready(Ok(()));
            }
            let written = self.out.write_all(self.io, cx, head, std::mem::take(&mut body));
            written.map_err(|e| End::Broken(e.into()))
        })
        .await
    }

    /// Whether no request can follow.
    fn is_last(&self) -> bool {
        self.draining || (self.finished && self.io.before.is_empty())
    }

    /// An answer is out.
    fn sent(&self, close: bool) -> Result<(), End> {
        self.io.state.flushed();
        if close { Err(End::Closed) } else { Ok(()) }
    }

    /// Writes an answer, with as much of its body as is there in the same call.
    async fn write(&mut self, answer: &response::Parts, mut body: Reply<B>, close: bool) -> Result<(), End> {
        let framing = Framing::of(answer, &body.size_hint());
        let mut left = Rest::of(framing);
        let mut fresh = true;
        // Why there is no more of it; what came before, the head at least, goes out first.
        let mut broken = None;
        loop {
            let ended = poll_fn(|cx| {
                self.heed(cx)?;
                ready!(self.out.poll_before(self.io, cx)).map_err(|e| End::Broken(e.into()))?;
                if let Some(end) = broken.take() {
                    return Poll::Ready(Err(end));
                }
                if left == Rest::Nothing && !fresh {
                    return Poll::Ready(Ok(true));
                }
                let piece = match left {
                    Rest::Nothing => Some(Piece::End),
                    _ => match poll_piece(&mut body, cx) {
                        Poll::Ready(piece) => Some(piece),
                        Poll::Pending => None,
                    },
                };
                if piece.is_none() && !fresh {
                    return self.poll_gone(cx).map(|()| Err(gone()));
                }
                let is_last = body.is_end_stream();
                out::with_head(|head| {
                    if std::mem::take(&mut fresh) {
                        plain::write_head(answer, framing, close, date(self.watch).as_ref().map(|d| &d[..]), head);
                    }
                    let (data, tail) = left.take(piece, is_last, head).unwrap_or_else(|end| {
                        broken = Some(end);
                        (Bytes::new(), b"")
                    });
                    match self.out.write(self.io, cx, head, data, tail) {
                        Poll::Ready(Err(e)) => Poll::Ready(Err(End::Broken(e.into()))),
                        Poll::Ready(Ok(())) => Poll::Ready(broken.take().map_or(Ok(left == Rest::Nothing), Err)),
                        Poll::Pending => Poll::Pending,
                    }
                })
            });
            if ended.await? {
                return Ok(());
            }
        }
    }

    /// Takes the sweeper's orders.
    fn heed(&mut self, cx: &Context<'_>) -> Result<(), End> {
        self.watch.listen(cx.waker());
        match self.watch.take_order() {
            Order::Drain => self.draining = true,
            Order::IdleTooLong | Order::GiveWay if self.io.state.is_between() => return Err(End::IdleTooLong),
            Order::Stalled if self.io.state.waits_for_peer() => {
                self.io.state.stalls();
                self.io.stream.reset_on_drop();
                return Err(End::Stalled);
            }
            Order::Gone => return Err(gone()),
            _ => {}
        }
        Ok(())
    }

    /// Ready when the client has gone; what it sends meanwhile is kept, up to a bound. One that only says that it sends no more
    /// waits for its answer; that it has gone after all is seen by the sweeper.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.io.before.len() < READ && !self.finished {
            let more = BUFFER.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                match ready!(Pin::new(&mut self.io.stream).poll_read(cx, &mut read)) {
                    Ok(()) => Poll::Ready(Some(Bytes::copy_from_slice(read.filled()))),
                    Err(_) => Poll::Ready(None),
                }
            });
            let Some(more) = ready!(more) else { return Poll::Ready(()) };
            if more.is_empty() {
                self.finished = self.watch.limits().half_close;
                return if self.finished { Poll::Pending } else { Poll::Ready(()) };
            }
            self.io.before = io::join(std::mem::take(&mut self.io.before), more);
        }
        Poll::Pending
    }
}

/// What of an answer's body has not been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Bytes(u64),
    Chunks,
}

/// What a body gave.
enum Piece {
    Data(Bytes),
    End,
    Broken(BoxError),
}

impl Rest {
    fn of(framing: Framing) -> Rest {
        match framing {
            Framing::None | Framing::Sized(0) => Rest::Nothing,
            Framing::Sized(length) => Rest::Bytes(length),
            Framing::Chunked => Rest::Chunks,
        }
    }

    /// What is to be written for `piece` (`None`: it is not there yet), after what is appended to `head`. An error: nothing
    /// but that, and then the end of the connection.
    fn take(&mut self, piece: Option<Piece>, is_last: bool, head: &mut Vec<u8>) -> Result<(Bytes, &'static [u8]), End> {
        let data = match piece {
            None => return Ok((Bytes::new(), b"")),
            Some(Piece::Data(data)) => data,
            Some(Piece::End) => Bytes::new(),
            Some(Piece::Broken(why)) => {
                if let Some(line) = told(&*why).filter(|_| *self == Rest::Chunks) {
                    head.extend_from_slice(line.as_bytes());
                }
                return Err(End::Broken(why));
            }
        };
        match *self {
            Rest::Nothing => Ok((Bytes::new(), b"")),
            Rest::Bytes(left) => {
                let after = left.checked_sub(data.len() as u64).filter(|after| *after == 0 || !data.is_empty());
                let after = after.ok_or_else(|| End::Broken("the answer is not as long as it said".into()))?;
                *self = if after == 0 { Rest::Nothing } else { Rest::Bytes(after) };
                Ok((data, b""))
            }
            Rest::Chunks if data.is_empty() => {
                *self = Rest::Nothing;
                Ok((data, b"0\r\n\r\n"))
            }
            Rest::Chunks => {
                plain::chunk(data.len(), head);
                if is_last {
                    *self = Rest::Nothing;
                    return Ok((data, b"\r\n0\r\n\r\n"));
                }
                Ok((data, b"\r\n"))
            }
        }
    }
}

/// The next piece that is not empty. Trailers are for those who ask for them (RFC 9110 section 6.5.1), which a plain
/// request does not.
fn poll_piece<B>(body: &mut Reply<B>, cx: &mut Context<'_>) -> Poll<Piece>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    loop {
        match ready!(Pin::new(&mut body.body).poll_frame(cx)) {
            None => return Poll::Ready(Piece::End),
            Some(Err(e)) => return Poll::Ready(Piece::Broken(e.into())),
            Some(Ok(frame)) => match frame.into_data().map_err(Frame::into_trailers) {
                Ok(data) if !data.is_empty() => return Poll::Ready(Piece::Data(data)),
                _ => {}
            },
        }
    }
}

fn gone() -> End {
    End::Broken("the client left before it had its answer".into())
}

/// `Date`, where the connection is one that adds it; made once a second.
fn date(watch: &Registration) -> Option<[u8; 29]> {
    thread_local! {
        static LAST: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
    }
    watch.limits().date.then(|| {
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

impl<B> From<End> for Poll<Next<B>> {
    fn from(end: End) -> Poll<Next<B>> {
        Poll::Ready(Next::Leave(Left::End(end)))
    }
}
