//! The life of one connection: requests are read one after the other, asked of the service, and answered.

mod sending;

use super::body::{Carrier, ServerReply};
use super::end::ConnEnd;
use super::head::{self, HeadRefusal, Read};
use super::held::{self, WaitingHead};
use super::io::{self, Io};
use super::left::Left;
use super::manners::{self, ConnStanding};
use super::out::{self, Unsent};
use super::payload::Payload;
use super::says::Says;
use super::service::{Finish, Finished, Offer, Service, ServiceRequest, ServiceStep};
use super::state::{Half, ServerPhase};
use super::sweep::{Order, SweepPlace, Sweeper};
use super::words;
use crate::net::listen::Stream;
use crate::wire::field::FieldId;
use bytes::Bytes;
use std::cell::{OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// As much as is read at once.
const READ: usize = 16 * 1024;
/// More bytes of empty lines are not skipped before a request (RFC 9112 section 2.2: one line, at least).
const BLANK: usize = 64;
/// So many answers are given before other connections get their turn.
const TURN: usize = 32;

const IN_HEAD: &str = "the client closed the connection within the head of a request";

thread_local! {
    /// Where requests are read first. Never borrowed across a poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// What a connection is to do next.
enum Next<B> {
    /// With what its head takes while it waits.
    Finish(Finish<B>, Says, (Option<Offer>, Option<WaitingHead>)),
    Leave(Left),
}

/// Serves `stream` until it ends. Needs neither the service nor the bodies to be Send, but a thread that does nothing
/// else meanwhile: spawn it locally, or use [`super::Connections`].
pub async fn connection<S: Service>(stream: Stream, service: &S, sweeper: &Sweeper) -> ConnEnd {
    let watch = sweeper.register(&stream);
    let state = watch.state().clone();
    let io = Rc::new(RefCell::new(Io { stream, state, before: Bytes::new() }));
    let mut conn = ServerConn {
        io,
        watch: &watch,
        service,
        out: Unsent::default(),
        partial: Vec::new(),
        blank: 0,
        pending: None,
        draining: false,
        finished: false,
        closing: false,
        passes: OnceCell::new(),
    };
    let left = loop {
        let finished = match poll_fn(|cx| conn.poll_next(cx)).await {
            Next::Finish(finish, says, with) => conn.exchange(finish, says, with).await,
            Next::Leave(left) => break left,
        };
        if let Err(left) = finished {
            break left;
        }
    };
    if !conn.partial.is_empty() || matches!(left, Left::Refused(_)) {
        service.heard();
    }
    if let Left::Refused(fault) = &left {
        service.refused(fault);
    }
    let io = conn.io.clone();
    // With what it holds: last words may take their time.
    drop(conn);
    left.end(io, &watch).await
}

struct ServerConn<'a, S: Service> {
    io: Rc<RefCell<Io>>,
    watch: &'a SweepPlace,
    service: &'a S,
    out: Unsent,
    /// What has come of a head that is not complete.
    partial: Vec<u8>,
    /// Bytes of empty lines since the last request.
    blank: usize,
    /// What is next when all answers before it are written.
    pending: Option<Next<S::Body>>,
    /// The process ends: what runs is the last.
    draining: bool,
    /// The client has closed its half: what was read is the last.
    finished: bool,
    /// The last answer has said so.
    closing: bool,
    /// Whether bodies may go to the client without a copy; asked for the first.
    passes: OnceCell<bool>,
}

impl<S: Service> ServerConn<'_, S> {
    /// Waits for a request that the service has to answer; answers those that are known on the way.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<S::Body>> {
        for _ in 0..TURN {
            if let Err(left) = self.heed(cx) {
                return left.into();
            }
            if let Err(e) = ready!(self.out.poll(&mut self.io.borrow_mut(), cx)) {
                return Left::Broken(e.into()).into();
            }
            if let Some(next) = self.pending.take() {
                return Poll::Ready(next);
            }
            let is_over = self.draining && !self.watch.bides();
            if is_over || self.closing || self.service.poll_over(cx).is_ready() {
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
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next<S::Body>>> {
        if !self.io.borrow().before.is_empty() {
            let before = std::mem::take(&mut self.io.borrow_mut().before);
            return Poll::Ready(self.take(cx, &before));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            // Read, not only looked for: tokio takes a new socket for readable until a read has found nothing.
            let polled = Pin::new(&mut self.io.borrow_mut().stream).poll_read(cx, &mut read);
            match ready!(polled) {
                Ok(()) if !read.filled().is_empty() => Poll::Ready(self.take(cx, read.filled())),
                _ if self.partial.is_empty() => Poll::Ready(Some(Next::Leave(Left::Closed))),
                _ => Poll::Ready(Some(Next::Leave(Left::Broken(IN_HEAD.into())))),
            }
        })
    }

    /// The requests that `input` begins with, or goes on with: their answers are on their way, as far as they are known, or
    /// else what is to be done for the first.
    fn take(&mut self, cx: &mut Context<'_>, input: &[u8]) -> Option<Next<S::Body>> {
        if self.partial.is_empty() {
            return self.take_all(cx, input, input.len());
        }
        let longer = self.partial.len() + input.len();
        self.partial.extend_from_slice(input);
        // Nothing else ends a head, or a line.
        if !input.contains(&b'\n') && longer < self.watch.limits().head {
            return self.goes_on(input.len());
        }
        let whole = std::mem::take(&mut self.partial);
        self.take_all(cx, &whole, input.len())
    }

    /// Requests that need no waiting are answered together (pipelined, RFC 9112 section 9.3.2), up to the first that does.
    /// `fresh`: so much of the input has just come.
    fn take_all(&mut self, cx: &mut Context<'_>, input: &[u8], fresh: usize) -> Option<Next<S::Body>> {
        // Empty lines before a request line are none of it (RFC 9112 section 2.2).
        let start = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.blank += start;
        if self.blank > BLANK {
            let why = HeadRefusal::Malformed("too many empty lines stand before it");
            let fault = words::refusal(why, input, self.watch.limits());
            return Some(Next::Leave(Left::Refused(fault)));
        }
        if start == input.len() {
            return None;
        }
        self.blank = 0;
        out::with_head(|out| {
            let (mut used, mut body, mut next) = (start, Payload::default(), None);
            while used == start || (used < input.len() && out::join(out, &mut body)) {
                let rest = &input[used..];
                let step = self.first(rest, out);
                match step {
                    // What comes behind others is looked at again when these are answered.
                    First::Partial | First::Refused(_) if used > start => break,
                    First::Partial => {
                        self.partial.extend_from_slice(rest);
                        return self.goes_on(fresh);
                    }
                    First::Refused(why) => {
                        let fault = words::refusal(why, rest, self.watch.limits());
                        return Some(Next::Leave(Left::Refused(fault)));
                    }
                    First::Answered(length, rest_of_it) => (used, body) = (used + length, rest_of_it),
                    First::Waits(length, waits) => (used, next) = (used + length, Some(waits)),
                }
                if self.closing || next.is_some() {
                    break;
                }
            }
            let io = &mut *self.io.borrow_mut();
            if used < input.len() {
                io.before = Bytes::copy_from_slice(&input[used..]);
            }
            if out.is_empty() && body.is_empty() {
                return next;
            }
            self.pending = next;
            match self.out.write_all(io, cx, out, body) {
                Poll::Ready(Err(e)) => Some(Next::Leave(Left::Broken(e.into()))),
                Poll::Ready(Ok(())) | Poll::Pending => None,
            }
        })
    }

    /// Of a head that is not complete so much more has come.
    fn goes_on(&self, fresh: usize) -> Option<Next<S::Body>> {
        self.watch.state().received(fresh);
        let fault = || words::refusal(HeadRefusal::NoRoom, &[], self.watch.limits());
        let is_of_crowd = || self.watch.is_of_crowd();
        held::has_no_room_for_heads(is_of_crowd).then(|| Next::Leave(Left::Refused(fault())))
    }

    /// The request that `input` begins with.
    fn first(&mut self, input: &[u8], out: &mut Vec<u8>) -> First<S::Body> {
        let limits = self.watch.limits();
        let (mut slots, mut ids) = head::slots();
        let (mut more_slots, mut more_ids) = (Vec::new(), Vec::new());
        let read = match head::read(input, limits, &mut slots, &mut ids) {
            Read::TooFewSlots => {
                more_slots.resize_with(limits.fields, MaybeUninit::uninit);
                more_ids.resize(limits.fields, FieldId::Other);
                head::read(input, limits, &mut more_slots, &mut more_ids)
            }
            read => read,
        };
        let head = match read {
            Read::Head(head) => head,
            Read::Partial => return First::Partial,
            Read::TooFewSlots => return First::Refused(HeadRefusal::TooManyFields),
            Read::Refused(why) => return First::Refused(why),
        };
        self.watch.state().asks();
        self.watch.state().head_is_complete();
        let (length, start) = (head.bytes().len(), out.len());
        let Ok(room) = held::wait(self.watch.source(), length, limits.copies) else {
            return First::Refused(HeadRefusal::NoRoom);
        };
        let asked = ServiceRequest::new(&head, Carrier::Connection(&self.io), self.watch.state(), limits);
        match self.service.begin(&asked, out) {
            ServiceStep::Answer(head, body) => {
                // What came behind it is still in the input.
                let is_last = self.draining || (self.finished && input.len() == length);
                self.closing = manners::ends(&asked.says, ConnStanding { is_last, ..self.standing() });
                manners::say(&asked.says, self.closing, start + head, out);
                First::Answered(length, body)
            }
            ServiceStep::Finish(finish) => {
                First::Waits(length, Next::Finish(finish, asked.says, (asked.take_offer(), room)))
            }
            ServiceStep::Refuse(why) => First::Refused(why),
        }
    }

    /// One answer that is waited for: its exchange is counted until both bodies are done with.
    async fn exchange(
        &mut self,
        finish: Finish<S::Body>,
        says: Says,
        (offer, room): (Option<Offer>, Option<WaitingHead>),
    ) -> Result<(), Left> {
        let state = self.watch.state().clone();
        let half = Half::begin(&state);
        state.asked();
        let given = self.wait(finish).await?;
        state.answered();
        drop(room);
        let close = match given {
            Finished::Response(response) => {
                self.send(response.map(|body| ServerReply::new(body, half)), &says, offer).await?
            }
            Finished::Bytes(mut head, body) => {
                let close = manners::ends(&says, self.standing());
                let end = head.len();
                manners::say(&says, close, end, &mut head);
                self.send_bytes(&mut head, body).await?;
                drop(half);
                close
            }
            Finished::Message(mut message, head) => {
                let close = manners::ends(&says, self.standing());
                manners::say(&says, close, head, &mut message);
                self.send_bytes(&mut message, Bytes::new().into()).await?;
                out::take_back(message);
                drop(half);
                close
            }
        };
        state.flushed();
        // It was answered early, and somebody reads on.
        poll_fn(|cx| match self.heed(cx) {
            Ok(()) if state.uploads() => {
                state.listen(cx.waker());
                Poll::Pending
            }
            heeded => Poll::Ready(heeded),
        })
        .await?;
        if close { Err(Left::Closed) } else { Ok(()) }
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
            self.poll_gone(cx).map(|()| Err(Left::gone()))
        })
        .await
    }

    fn standing(&self) -> ConnStanding {
        let is_last = self.draining || (self.finished && self.io.borrow().before.is_empty());
        ConnStanding { is_last, is_uploading: self.watch.state().is_uploading() }
    }

    /// Takes the sweeper's orders.
    fn heed(&mut self, cx: &Context<'_>) -> Result<(), Left> {
        self.watch.listen(cx.waker());
        let state = self.watch.state();
        match self.watch.take_order() {
            Order::Drain => self.draining = true,
            // What was answered at once may still be on its way.
            Order::IdleTooLong | Order::GiveWay if !self.out.is_empty() || self.pending.is_some() => {}
            Order::IdleTooLong if state.is_between() => return Err(Left::IdleTooLong),
            Order::GiveWay if matches!(state.phase(), ServerPhase::Idle | ServerPhase::Head) && state.is_flushed() => {
                return Err(Left::IdleTooLong);
            }
            // Only where no answer is left half written, after which another would be taken for its rest.
            Order::HeadTooSlow if state.phase() == ServerPhase::Head && self.out.is_empty() => {
                return Err(Left::Refused(words::too_slow(self.watch.limits())));
            }
            Order::Stalled if state.waits_for_peer() => {
                state.stalls();
                return Err(Left::Stalled);
            }
            Order::Gone => return Err(Left::gone()),
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

/// What the request at the beginning of some input came to; how long its head is.
enum First<B> {
    Partial,
    Refused(HeadRefusal),
    /// With what of its body is still to be written.
    Answered(usize, Payload),
    Waits(usize, Next<B>),
}

impl<B> From<Left> for Poll<Next<B>> {
    fn from(left: Left) -> Poll<Next<B>> {
        Poll::Ready(Next::Leave(left))
    }
}
