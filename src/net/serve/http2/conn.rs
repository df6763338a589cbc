//! The life of one connection: each request on a stream and a task of its own, and what holds for all of them.

use super::exchange::{StreamEnd, exchange};
use super::inlet::Inlet;
use super::outlet::Outlet;
use crate::net::listen::Stream;
use crate::net::serve::end::ConnEnd;
use crate::net::serve::head::HeadRefusal;
use crate::net::serve::held;
use crate::net::serve::limits::ServerLimits;
use crate::net::serve::service::Service;
use crate::net::serve::state::{ConnState, Half};
use crate::net::serve::sweep::{Order, SweepPlace, Sweeper};
use crate::net::serve::words;
use crate::wire::fault::Fault;
use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;

/// So much of a request's content a client may send ahead, and of all on a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const WINDOW: u32 = 1024 * 1024;
/// So much of one answer waits in the library; all of them together wait for less ([`Outlet`]).
const SEND: usize = 64 * 1024;
/// So many streams may end by errors of the client's that it has to be told.
const ERRORS: usize = 256;
/// So many more requests than were answered may be given up, for each that may run.
const GIVEN_UP: usize = 2;

/// Serves `stream` until it ends, as [`crate::net::serve::Connections`] has it.
pub async fn connection<S: Service + 'static>(stream: Stream, service: S, sweeper: &Sweeper) -> ConnEnd {
    let watch = sweeper.register(&stream);
    // Both boxed, so that a connection that is idle carries no room for the handshake, nor for itself where it is moved.
    let outlet = Outlet::new(watch.state().clone());
    let conn = match Box::pin(shake_hands(stream, &watch, &outlet, &service)).await {
        Ok(conn) => conn,
        Err(end) => return end,
    };
    let (service, streams) = (Rc::new(service), JoinSet::new());
    watch.state().has_had(0);
    let mut http2 = Http2Conn {
        conn,
        watch: &watch,
        outlet,
        service,
        streams,
        busy: None,
        most: 0,
        given_up: 0,
        cut: 0,
        last: false,
        end: None,
    };
    poll_fn(|cx| http2.poll(cx)).await
}

/// Up to the client's preface.
async fn shake_hands(
    stream: Stream,
    watch: &SweepPlace,
    outlet: &Rc<Outlet>,
    service: &impl Service,
) -> Result<Box<Library>, ConnEnd> {
    let heard = Rc::new(Cell::new(false));
    let (state, inlet) = (watch.state().clone(), Inlet::new(watch.limits().streams));
    let socket = WatchedStream { stream, state, inlet, outlet: outlet.clone(), heard: heard.clone() };
    let mut shaking = pin!(builder(watch.limits()).handshake::<_, Bytes>(socket));
    let shaken = poll_fn(|cx| {
        watch.listen(cx.waker());
        match watch.take_order() {
            Order::IdleTooLong | Order::GiveWay => Poll::Ready(Err(ConnEnd::IdleTooLong)),
            Order::HeadTooSlow => Poll::Ready(Err(ConnEnd::Refused(words::too_slow(watch.limits())))),
            Order::Stalled => Poll::Ready(Err(ConnEnd::Stalled)),
            Order::Gone => Poll::Ready(Err(ConnEnd::Closed)),
            Order::None | Order::Drain => shaking.as_mut().poll(cx).map_err(|e| ConnEnd::Broken(e.into())),
        }
    });
    let shaken = shaken.await;
    if heard.get() {
        service.heard();
    }
    shaken.map(Box::new)
}

/// What keeps the protocol.
type Library = Connection<WatchedStream, Bytes>;

fn builder(limits: &ServerLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(limits.streams as u32)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND)
        .max_pending_accept_reset_streams(limits.streams)
        .max_local_error_reset_streams(Some(ERRORS));
    builder
}

struct Http2Conn<'a, S> {
    conn: Box<Library>,
    watch: &'a SweepPlace,
    /// Its streams' way to the socket.
    outlet: Rc<Outlet>,
    service: Rc<S>,
    streams: JoinSet<StreamEnd>,
    /// While there are streams.
    busy: Option<Half>,
    /// So many there were at once, at most.
    most: usize,
    /// So many more requests than were answered their client has given up.
    given_up: usize,
    /// So many were cut for their memory.
    cut: usize,
    /// The client was told that there is no next request.
    last: bool,
    /// What it was ended for.
    end: Option<ConnEnd>,
}

impl<S: Service + 'static> Http2Conn<'_, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnEnd> {
        if let Some(end) = self.heed(cx) {
            return Poll::Ready(end);
        }
        let polled = self.poll_library(cx);
        self.outlet.flushed();
        self.bound_heads(cx);
        // Who takes nothing is not waited for to hear of it.
        if matches!(self.end, Some(ConnEnd::Stalled)) && self.watch.state().write_waits() {
            return Poll::Ready(self.ended(None));
        }
        polled
    }

    /// Has the library read and write, and begins what is asked.
    fn poll_library(&mut self, cx: &mut Context<'_>) -> Poll<ConnEnd> {
        loop {
            self.reap(cx);
            if self.streams.len() >= self.watch.limits().streams {
                // Read on for what there is; the next request waits.
                return self.conn.poll_closed(cx).map(|closed| self.ended(closed.err()));
            }
            match self.conn.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(self.ended(None)),
                Poll::Ready(Some(Err(e))) => return Poll::Ready(self.ended(Some(e))),
                Poll::Ready(Some(Ok(asked))) => {
                    let state = self.watch.state();
                    let (place, service) = (self.watch.beside(), self.service.clone());
                    self.busy.get_or_insert_with(|| Half::beside(state));
                    self.streams.spawn_local(exchange(asked, service, place, self.outlet.clone()));
                    if self.streams.len() > self.most {
                        self.most = self.streams.len();
                        state.has_had(self.most);
                    }
                }
            }
        }
    }

    /// Who has most of what heads hold that do not end may bring no more of them.
    fn bound_heads(&mut self, cx: &Context<'_>) {
        if self.watch.state().has_head() && held::has_no_room_for_heads(|| self.watch.is_of_crowd()) {
            let fault = words::refusal(HeadRefusal::NoRoom, &[], self.watch.limits());
            self.refuse(fault);
            cx.waker().wake_by_ref();
        }
    }

    /// Takes what has ended.
    fn reap(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.streams.poll_join_next(cx) {
            self.given_up = match ended {
                Ok(StreamEnd::GivenUp) => self.given_up + 1,
                Ok(StreamEnd::Answered | StreamEnd::Cut) | Err(_) => self.given_up.saturating_sub(1),
            };
            self.cut += usize::from(matches!(ended, Ok(StreamEnd::Cut)));
        }
        if self.streams.is_empty() {
            self.busy = None;
        }
        if self.given_up > GIVEN_UP * self.watch.limits().streams {
            self.end(Reason::ENHANCE_YOUR_CALM, ConnEnd::Broken("the client gives up what it has asked".into()));
        }
        // What the library keeps of streams goes with the connection alone.
        if self.cut >= self.watch.limits().streams {
            match self.streams.is_empty() {
                true => self.end(Reason::ENHANCE_YOUR_CALM, ConnEnd::Stalled),
                false => self.leave(),
            }
        }
    }

    /// Takes the sweeper's orders.
    fn heed(&mut self, cx: &mut Context<'_>) -> Option<ConnEnd> {
        self.watch.listen(cx.waker());
        let state = self.watch.state();
        let is_over = !self.last && self.service.poll_over(cx).is_ready();
        match self.watch.take_order() {
            // Told once already, and deaf since.
            Order::IdleTooLong | Order::GiveWay | Order::HeadTooSlow if self.end.is_some() => return self.end.take(),
            Order::IdleTooLong | Order::GiveWay if self.busy.is_none() => {
                self.end(Reason::NO_ERROR, ConnEnd::IdleTooLong);
            }
            Order::HeadTooSlow if state.has_head() => self.refuse(words::too_slow(self.watch.limits())),
            Order::Stalled if state.waits_for_peer() => {
                self.watch.stalls();
                return Some(ConnEnd::Stalled);
            }
            Order::Gone => return Some(ConnEnd::Broken("the client left before it had its answers".into())),
            Order::Drain => self.leave(),
            _ if is_over => self.leave(),
            _ => {}
        }
        None
    }

    /// What runs is brought to its end, and nothing else begun.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.last, true) {
            self.conn.graceful_shutdown();
        }
    }

    /// Fields that do not end are given up, and all that goes on beside them: nothing else can come on this connection.
    fn refuse(&mut self, fault: Fault) {
        self.watch.state().drops_head();
        if self.end.is_none() {
            self.service.refused(&fault);
            self.end(Reason::ENHANCE_YOUR_CALM, ConnEnd::Refused(fault));
        }
    }

    /// The client is told why, and nothing more.
    fn end(&mut self, reason: Reason, end: ConnEnd) {
        if self.end.is_none() {
            (self.end, self.last) = (Some(end), true);
            self.conn.abrupt_shutdown(reason);
        }
    }

    fn ended(&mut self, error: Option<h2::Error>) -> ConnEnd {
        let broken = |e: h2::Error| ConnEnd::Broken(e.into());
        self.end.take().unwrap_or_else(|| error.map_or(ConnEnd::Closed, broken))
    }
}

/// The socket, for the library; the sweeper sees how it goes.
struct WatchedStream {
    stream: Stream,
    state: Arc<ConnState>,
    inlet: Inlet,
    outlet: Rc<Outlet>,
    /// Anything at all.
    heard: Rc<Cell<bool>>,
}

impl WatchedStream {
    /// What was read. So much of it goes on as it is.
    fn saw(&mut self, read: &[u8]) -> usize {
        self.heard.set(true);
        let passed = self.inlet.read(read);
        match self.inlet.is_in_fields() {
            true => self.state.fields_go_on(read.len()),
            false => self.state.fields_end(),
        }
        passed
    }

    fn wrote(&self, buf: &[u8], written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.outlet.wrote(bytes);
        }
        match &written {
            Poll::Pending => self.state.all_pending(buf, buf.len().max(self.outlet.waiting())),
            // Else it is no progress of a message: an idle client may be pinging.
            Poll::Ready(_) if self.state.write_waits() => self.state.written(),
            Poll::Ready(_) => {}
        }
        written
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let waiting = this.inlet.waiting(buf.remaining());
            if !waiting.is_empty() {
                buf.put_slice(&waiting);
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() {
                this.inlet.ends();
                buf.put_slice(&this.inlet.waiting(buf.remaining()));
                return Poll::Ready(Ok(()));
            }
            let passed = this.saw(read);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(buf, written)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| buf), written)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
