//! The life of one connection: waiting, hyper, parked, hyper again, and its end.

use super::body::{ClientBody, Reply};
use super::io::{self, Io};
use super::shortcut::{Shortcut, ShortcutTo};
use super::state::{Half, Phase, State};
use super::sweep::{Order, Registration, Sweeper};
use super::{End, words};
use crate::net::listen::Stream;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Connection, UpgradeableConnection};
use hyper::service::{HttpService, service_fn};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Most heads fit.
const FIRST_READ: usize = 4096;

/// What one life of hyper on the connection came to.
enum Life {
    Ended(hyper::Result<()>),
    Ordered(Order),
}

/// Serves `stream` until it ends. Needs neither the service nor the bodies to be Send, but a thread that does nothing
/// else meanwhile: spawn it locally, or use [`Connections`]. Upgrades work by `hyper::upgrade::on` and [`upgraded`].
pub async fn connection<S, F, B, E>(stream: Stream, service: S, sweeper: &Sweeper, shortcut: Option<ShortcutTo>) -> End
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let watch = sweeper.register(&stream);
    let state = watch.state().clone();
    let service = |request: Request<Incoming>| exchange(&service, request, &state);
    let shortcut = shortcut.map(|(known, same_machine)| Shortcut::new(known, same_machine));
    let open = io::Open::new(&state, &stream);
    let mut io = Io { stream, state: state.clone(), before: Bytes::new(), shortcut, _open: open };
    loop {
        // hyper's buffers exist only while there is something to do.
        if let Some(end) = first_bytes(&mut io, &watch).await {
            return end;
        }
        let mut conn = sweeper.builder().serve_connection(io, service_fn(service)).with_upgrades();
        let life = live(&mut conn, &watch).await;
        let Some(parts) = conn.into_parts() else {
            state.becomes_tunnel();
            return End::Upgraded;
        };
        match life {
            Life::Ordered(Order::Park) => io = Io { before: io::join(parts.read_buf, parts.io.before), ..parts.io },
            Life::Ordered(order) => return cut(parts.io, order, &watch).await,
            Life::Ended(outcome) => return close(parts.io, outcome, &parts.read_buf, &watch).await,
        }
    }
}

/// One request: counted from the call of the service until both bodies are done with.
fn exchange<S, F, B, E>(
    service: &S,
    request: Request<Incoming>,
    state: &Arc<State>,
) -> impl Future<Output = Result<Response<Reply<B>>, E>> + use<S, F, B, E>
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
{
    let half = Half::begin(state);
    state.asked();
    let answer = service(request.map(|body| ClientBody::new(body, state)));
    async move {
        let response = answer.await?;
        half.state().answered();
        Ok(response.map(|body| Reply { body, _half: half }))
    }
}

/// Waits for the first bytes of a request. An end when there will be none.
async fn first_bytes(io: &mut Io, watch: &Registration) -> Option<End> {
    if !io.before.is_empty() {
        return None;
    }
    watch.set_parked(true);
    let end = poll_fn(|cx| {
        watch.listen(cx.waker());
        match watch.take_order() {
            Order::Drain => return Poll::Ready(Some(End::Closed)),
            Order::IdleTooLong => return Poll::Ready(Some(End::IdleTooLong)),
            _ => {}
        }
        // Read, not only looked for: tokio takes a new socket for readable until a read has found nothing.
        let mut some = [MaybeUninit::uninit(); FIRST_READ];
        let mut some = ReadBuf::uninit(&mut some);
        let read = ready!(Pin::new(&mut io.stream).poll_read(cx, &mut some));
        io.before = Bytes::copy_from_slice(some.filled());
        Poll::Ready((read.is_err() || io.before.is_empty()).then_some(End::Closed))
    })
    .await;
    watch.set_parked(false);
    end
}

/// Lets hyper run until it is done or ordered to end.
async fn live<S, B>(conn: &mut UpgradeableConnection<Io, S>, watch: &Registration) -> Life
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    UpgradeableConnection<Io, S>: Future<Output = hyper::Result<()>> + Unpin,
    Connection<Io, S>: Unpin,
{
    poll_fn(|cx| {
        watch.listen(cx.waker());
        if let Poll::Ready(outcome) = Pin::new(&mut *conn).poll(cx) {
            return Poll::Ready(Life::Ended(outcome));
        }
        match watch.take_order() {
            Order::Drain => {
                Pin::new(&mut *conn).graceful_shutdown();
                Pin::new(&mut *conn).poll(cx).map(Life::Ended)
            }
            order if stands(order, watch.state()) => Poll::Ready(Life::Ordered(order)),
            _ => Poll::Pending,
        }
    })
    .await
}

/// An order counts only if what it was given for has not passed meanwhile.
fn stands(order: Order, state: &State) -> bool {
    match order {
        Order::None | Order::Drain => false,
        Order::Park => state.phase() == Phase::Idle && state.is_flushed(),
        Order::IdleTooLong => state.phase() == Phase::Idle,
        Order::HeadTooSlow => state.phase() == Phase::Head,
        Order::Stalled => state.waits_for_peer(),
    }
}

/// Ends a connection whose time is over.
async fn cut(io: Io, order: Order, watch: &Registration) -> End {
    match order {
        // Only where no answer is left half written, after which another would be taken for its rest.
        Order::HeadTooSlow if io.state.is_flushed() => {
            let fault = words::too_slow(watch.limits());
            words::speak(io.stream, &fault).await;
            End::Refused(fault)
        }
        Order::Stalled => {
            io.stream.reset_on_drop();
            End::Stalled
        }
        _ => End::IdleTooLong,
    }
}

/// After hyper is done.
async fn close(io: Io, outcome: hyper::Result<()>, unread: &[u8], watch: &Registration) -> End {
    match outcome {
        Err(e) if e.is_parse() && io.state.is_refusing() => {
            let fault = words::refusal(io.state.refused(), &e, unread, watch.limits());
            words::speak(io.stream, &fault).await;
            End::Refused(fault)
        }
        Err(e) => End::Broken(e),
        Ok(()) if io.state.has_unread_body() => {
            words::linger(io.stream).await;
            End::Closed
        }
        Ok(()) => End::Closed,
    }
}
