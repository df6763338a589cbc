//! The life of one connection: requests are read one after the other, asked of the service, and answered.

use super::answer::{Piece, Rest};
use super::body::{ClientBody, Counted, Reply};
use super::head::{self, Head, Plain, Read, Refusal, Says, Shape};
use super::interim::Interim;
use super::io::{self, Io, Upgrade};
use super::manners::{Standing, settle};
use super::out::{self, Out};
use super::payload::Payload;
use super::state::{Half, Phase};
use super::sweep::{Order, Registration, Sweeper};
use super::{BoxError, End, words};
use crate::clock;
use crate::net::listen::Stream;
use crate::wire::date;
use crate::wire::fault::Fault;
use bytes::Bytes;
use http::{Request, Response, response};
use http_body::Body;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

/// As much as is read at once.
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

/// How a connection is left.
enum Left {
    /// Between two messages, or with an answer that says so.
    Closed,
    IdleTooLong,
    Stalled,
    Refused(Fault),
    Broken(BoxError),
    /// In the middle of an answer that its end would be the end of.
    CutOff(BoxError),
    /// To whoever speaks another protocol on it.
    Taken(oneshot::Sender<(Stream, Bytes)>),
}

/// What a connection is to do next.
enum Next<B> {
    Ask(Asking<B>),
    Serve(Box<(Request<()>, Says)>),
    Leave(Left),
}

/// Serves `stream` until it ends. Needs neither the service nor the bodies to be Send, but a thread that does nothing
/// else meanwhile: spawn it locally, or use [`super::Connections`].
pub async fn connection<S, F, B, E>(stream: Stream, service: S, sweeper: &Sweeper, known: Option<Shortcut<B>>) -> End
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Counted + Unpin + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    let watch = sweeper.register(&stream);
    let state = watch.state().clone();
    let io = Rc::new(RefCell::new(Io { stream, state, before: Bytes::new() }));
    let (out, partial) = (Out::default(), Vec::new());
    let mut conn = Conn { io, watch: &watch, known: known.as_ref(), out, partial, draining: false, finished: false };
    let left = loop {
        let served = match poll_fn(|cx| conn.poll_next(cx)).await {
            Next::Ask(asking) => conn.ask(asking).await,
            Next::Serve(asked) => conn.exchange(&service, *asked).await,
            Next::Leave(left) => break left,
        };
        if let Err(left) = served {
            break left;
        }
    };
    let io = conn.io;
    end(left, io, &watch).await
}

/// What is left to be done with a connection. Whoever still reads the body of its last request reads no more.
async fn end(left: Left, io: Rc<RefCell<Io>>, watch: &Registration) -> End {
    let Ok(io) = Rc::try_unwrap(io).map(RefCell::into_inner) else {
        return End::Broken("a body is read while its connection ends".into());
    };
    let Io { stream, state, before } = io;
    match left {
        Left::Closed if state.is_uploading() || state.has_unread_body() => {
            words::hear_out(stream, watch.limits()).await
        }
        Left::Closed if state.has_said_last() => words::linger(stream).await,
        Left::Closed => {}
        Left::IdleTooLong => return End::IdleTooLong,
        Left::Stalled => {
            stream.reset_on_drop();
            return End::Stalled;
        }
        Left::Refused(fault) => {
            // The answer may take its time to arrive; nobody else is refused for what is not needed any more.
            drop(before);
            state.drops_head();
            words::speak(stream, &fault).await;
            return End::Refused(fault);
        }
        Left::Broken(why) => return End::Broken(why),
        Left::CutOff(why) => {
            words::cut_off(stream).await;
            return End::Broken(why);
        }
        Left::Taken(offer) => {
            state.becomes_tunnel();
            // Nobody may want it any more.
            _ = offer.send((stream, before));
            return End::Upgraded;
        }
    }
    End::Closed
}

struct Conn<'a, B> {
    io: Rc<RefCell<Io>>,
    watch: &'a Registration,
    known: Option<&'a Shortcut<B>>,
    out: Out,
    /// What has come of a head that is not complete.
    partial: Vec<u8>,
    /// The process ends: what runs is the last.
    draining: bool,
    /// The client has closed its half: what was read is the last.
    finished: bool,
}

impl<B> Conn<'_, B>
where
    B: Body<Data = Bytes> + Counted + Unpin,
    B::Error: Into<BoxError>,
{
    /// Waits for a request that the service has to answer; answers those that are known on the way.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<B>> {
        for _ in 0..TURN {
            if let Err(left) = self.heed(cx) {
                return left.into();
            }
            if let Err(e) = ready!(self.out.poll(&mut self.io.borrow_mut(), cx)) {
                return Left::Broken(e.into()).into();
            }
            if self.draining {
                return Left::Closed.into();
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
        let before = std::mem::take(&mut self.io.borrow_mut().before);
        if !before.is_empty() {
            return Poll::Ready(self.take(&before));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            // Read, not only looked for: tokio takes a new socket for readable until a read has found nothing.
            let polled = Pin::new(&mut self.io.borrow_mut().stream).poll_read(cx, &mut read);
            match ready!(polled) {
                Ok(()) if !read.filled().is_empty() => Poll::Ready(self.take(read.filled())),
                _ if self.partial.is_empty() => Left::Closed.into_next(),
                _ => Left::Broken("the client closed the connection within the head of a request".into()).into_next(),
            }
        })
    }

    /// The requests that `input` begins with, or goes on with: their answers are ready to be written, as far as they are
    /// known, or else what is to be done for the first.
    fn take(&mut self, input: &[u8]) -> Option<Next<B>> {
        if self.partial.is_empty() {
            return self.take_all(input);
        }
        let longer = self.partial.len() + input.len();
        self.partial.extend_from_slice(input);
        // Nothing else ends a head, or a line.
        if !input.contains(&b'\n') && longer < self.watch.limits().head {
            self.watch.state().received(input.len());
            return None;
        }
        let whole = std::mem::take(&mut self.partial);
        self.take_all(&whole)
    }

    fn take_all(&mut self, input: &[u8]) -> Option<Next<B>> {
        let limits = self.watch.limits();
        let (mut slots, mut more) = (head::slots(), Vec::new());
        let head = match head::read(input, limits, &mut slots) {
            Read::TooFewSlots => {
                more.resize_with(limits.fields, MaybeUninit::uninit);
                head::read(input, limits, &mut more)
            }
            read => read,
        };
        match head {
            Read::Head(head) => {
                self.watch.state().head_is_complete();
                self.next(&head, &input[head.bytes.len()..]).unwrap_or_else(|why| Some(self.refuse(why, input)))
            }
            Read::Partial => {
                self.watch.state().received(input.len());
                self.partial.extend_from_slice(input);
                None
            }
            Read::TooFewSlots => Some(self.refuse(Refusal::TooManyFields, input)),
            Read::Refused(why) => Some(self.refuse(why, input)),
        }
    }

    fn refuse(&self, why: Refusal, unread: &[u8]) -> Next<B> {
        Next::Leave(Left::Refused(words::refusal(why, unread, self.watch.limits())))
    }

    /// `rest`: what came behind the head.
    fn next(&mut self, head: &Head<'_>, rest: &[u8]) -> Result<Option<Next<B>>, Refusal> {
        let plain = head.plain();
        if let Some(answered) = plain.as_ref().and_then(|plain| self.answer(plain, rest)) {
            self.io.borrow_mut().before = Bytes::copy_from_slice(&rest[answered..]);
            return Ok(None);
        }
        let asking = plain.and_then(|plain| self.known?.ask(&plain, Interim::of_next(self.watch.state())));
        let next = match asking {
            Some(asking) => Next::Ask(asking),
            None => Next::Serve(Box::new((head.request()?, head.says))),
        };
        self.io.borrow_mut().before = Bytes::copy_from_slice(rest);
        Ok(Some(next))
    }

    /// Has the answer ready to be written, if it is known, and with it those to the requests in `rest` (pipelined, RFC
    /// 9112 section 9.3.2), as long as they are known; how much of `rest` these are.
    fn answer(&mut self, plain: &Plain<'_>, rest: &[u8]) -> Option<usize> {
        let known = self.known?;
        out::with_head(|head| {
            let mut body = known.answer(plain, head)?;
            let mut answered = 0;
            while answered < rest.len() && out::join(head, &mut body) {
                let mut slots = head::slots();
                let Read::Head(next) = head::read(&rest[answered..], self.watch.limits(), &mut slots) else { break };
                let Some(known) = next.plain().and_then(|plain| known.answer(&plain, head)) else { break };
                answered += next.bytes.len();
                body = known;
            }
            self.out.hold(head, body);
            Some(answered)
        })
    }

    /// One request to who knows: as [`Conn::exchange`].
    async fn ask(&mut self, asking: Asking<B>) -> Result<(), Left> {
        let half = Half::begin(self.watch.state());
        self.watch.state().asked();
        let given = self.wait(asking).await?;
        self.watch.state().answered();
        match given {
            Given::Response(response) => {
                let response = response.map(|body| Reply::new(body, half));
                self.send(response, &Says::default(), None).await
            }
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

    /// One request: counted from the call of the service until both bodies are done with.
    async fn exchange<S, F, E>(&mut self, service: &S, (request, says): (Request<()>, Says)) -> Result<(), Left>
    where
        S: Fn(Request<ClientBody>) -> F,
        F: Future<Output = Result<Response<B>, E>>,
        E: Into<BoxError>,
    {
        let state = self.watch.state().clone();
        let mut body = ClientBody::new(&says, &self.io, &state, self.watch.limits().head);
        let mut offer = None;
        if says.connect || says.upgrade {
            let (sender, upgrade) = Upgrade::offer();
            (offer, body) = (Some(sender), body.with_upgrade(upgrade));
        }
        let half = Half::begin(&state);
        state.asked();
        // Boxed, because a future that holds another is moved with it, and copied with it.
        let answering = Box::pin(service(request.map(|()| body)));
        let response = self.wait(answering).await?.map_err(|e| Left::Broken(e.into()))?;
        state.answered();
        self.send(response.map(|body| Reply::new(body, half)), &says, offer).await?;
        // It was answered early, and somebody reads on.
        poll_fn(|cx| match self.heed(cx) {
            Ok(()) if state.uploads() => {
                state.listen(cx.waker());
                Poll::Pending
            }
            heeded => Poll::Ready(heeded),
        })
        .await
    }

    /// Waits for an answer, as long as the client does.
    async fn wait<T>(&mut self, answering: impl Future<Output = T>) -> Result<T, Left> {
        let mut answering = pin!(answering);
        poll_fn(|cx| {
            self.heed(cx)?;
            if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            self.watch.state().listen(cx.waker());
            if let Poll::Ready(Err(e)) = self.io.borrow_mut().poll_rest(cx) {
                return Poll::Ready(Err(Left::Broken(e.into())));
            }
            self.poll_gone(cx).map(|()| Err(gone()))
        })
        .await
    }

    async fn send(
        &mut self,
        response: Response<Reply<B>>,
        says: &Says,
        offer: Option<oneshot::Sender<(Stream, Bytes)>>,
    ) -> Result<(), Left> {
        let (answer, body) = response.into_parts();
        let state = self.watch.state();
        if head::says_close(&answer.headers) {
            state.said_last();
        }
        let standing = Standing { is_last: self.is_last(), is_uploading: state.is_uploading() };
        let shape = settle(&answer, &body.body.size_hint(), says, standing);
        self.write(&answer, body, shape, says).await?;
        if let (true, Some(offer)) = (shape.hands_over, offer) {
            self.watch.state().flushed();
            return Err(Left::Taken(offer));
        }
        self.sent(shape.close)
    }

    async fn send_bytes(&mut self, head: &mut Vec<u8>, mut body: Payload) -> Result<(), Left> {
        let mut fresh = true;
        poll_fn(|cx| {
            self.heed(cx)?;
            let io = &mut *self.io.borrow_mut();
            ready!(self.out.poll_before(io, cx)).map_err(|e| Left::Broken(e.into()))?;
            if !std::mem::take(&mut fresh) {
                return Poll::Ready(Ok(()));
            }
            self.out.write_all(io, cx, head, std::mem::take(&mut body)).map_err(|e| Left::Broken(e.into()))
        })
        .await
    }

    /// Whether no request can follow.
    fn is_last(&self) -> bool {
        self.draining || (self.finished && self.io.borrow().before.is_empty())
    }

    /// An answer is out.
    fn sent(&self, close: bool) -> Result<(), Left> {
        self.watch.state().flushed();
        if close { Err(Left::Closed) } else { Ok(()) }
    }

    /// Writes an answer, with as much of its body as is there in the same call.
    async fn write(
        &mut self,
        answer: &response::Parts,
        mut body: Reply<B>,
        shape: Shape,
        says: &Says,
    ) -> Result<(), Left> {
        let mut left = Rest::of(shape.framing);
        let mut fresh = true;
        // Why there is no more of it; what came before, the head at least, goes out first.
        let mut broken = None;
        loop {
            let ended = poll_fn(|cx| {
                self.heed(cx)?;
                ready!(self.out.poll_before(&mut self.io.borrow_mut(), cx)).map_err(|e| Left::Broken(e.into()))?;
                if let Some(why) = broken.take() {
                    return Poll::Ready(Err(cut(shape, why)));
                }
                if left == Rest::Nothing && !fresh {
                    return Poll::Ready(Ok(true));
                }
                let piece = match left {
                    Rest::Nothing => Some(Piece::End),
                    _ => match Piece::poll(&mut body.body, says.trailers, cx) {
                        Poll::Ready(piece) => Some(piece),
                        Poll::Pending => None,
                    },
                };
                if piece.is_none() && !fresh {
                    return self.poll_gone(cx).map(|()| Err(gone()));
                }
                let is_last = body.body.is_end_stream();
                out::with_head(|head| {
                    if std::mem::take(&mut fresh) {
                        head::write_head(answer, shape, date(self.watch).as_ref().map(|d| &d[..]), head);
                    }
                    let (data, tail) = left.take(piece, is_last, head).unwrap_or_else(|why| {
                        broken = Some(why);
                        (Bytes::new(), b"")
                    });
                    match self.out.write(&mut self.io.borrow_mut(), cx, head, data, tail) {
                        Poll::Ready(Err(e)) => Poll::Ready(Err(Left::Broken(e.into()))),
                        Poll::Ready(Ok(())) => match broken.take() {
                            Some(why) => Poll::Ready(Err(cut(shape, why))),
                            None => Poll::Ready(Ok(left == Rest::Nothing)),
                        },
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
    fn heed(&mut self, cx: &Context<'_>) -> Result<(), Left> {
        self.watch.listen(cx.waker());
        let state = self.watch.state();
        match self.watch.take_order() {
            Order::Drain => self.draining = true,
            Order::IdleTooLong if state.is_between() => return Err(Left::IdleTooLong),
            Order::GiveWay if matches!(state.phase(), Phase::Idle | Phase::Head) && state.is_flushed() => {
                return Err(Left::IdleTooLong);
            }
            // Only where no answer is left half written, after which another would be taken for its rest.
            Order::HeadTooSlow if state.phase() == Phase::Head && self.out.is_empty() => {
                return Err(Left::Refused(words::too_slow(self.watch.limits())));
            }
            Order::Stalled if state.waits_for_peer() => {
                state.stalls();
                return Err(Left::Stalled);
            }
            Order::Gone => return Err(gone()),
            _ => {}
        }
        Ok(())
    }

    /// Ready when the client has gone; what it sends meanwhile is kept, up to a bound. One that only says that it sends no more
    /// waits for its answer; that it has gone after all is seen by the sweeper. The body of a request is for whoever reads that.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut io = self.io.borrow_mut();
        while io.before.len() < READ && !self.finished && !self.watch.state().is_uploading() {
            let more = BUFFER.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                match ready!(Pin::new(&mut io.stream).poll_read(cx, &mut read)) {
                    Ok(()) => Poll::Ready(Some(Bytes::copy_from_slice(read.filled()))),
                    Err(_) => Poll::Ready(None),
                }
            });
            let Some(more) = ready!(more) else { return Poll::Ready(()) };
            if more.is_empty() {
                self.finished = self.watch.limits().half_close;
                return if self.finished { Poll::Pending } else { Poll::Ready(()) };
            }
            io.before = io::join(std::mem::take(&mut io.before), more);
        }
        Poll::Pending
    }
}

/// An answer breaks off.
fn cut(shape: Shape, why: BoxError) -> Left {
    if shape.framing == head::Framing::UntilClose { Left::CutOff(why) } else { Left::Broken(why) }
}

fn gone() -> Left {
    Left::Broken("the client left before it had its answer".into())
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

impl Left {
    fn into_next<B>(self) -> Poll<Option<Next<B>>> {
        Poll::Ready(Some(Next::Leave(self)))
    }
}

impl<B> From<Left> for Poll<Next<B>> {
    fn from(left: Left) -> Poll<Next<B>> {
        Poll::Ready(Next::Leave(left))
    }
}
