//! Drives one server connection: hyper, with the time limits and the error answers that hyper lacks.

mod body;
mod connections;
mod io;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod words;

pub use body::ClientBody;
pub use connections::Connections;
pub use io::{Io, upgraded};
pub use sweep::Sweeper;

use crate::config::Config;
use crate::net::listen::Stream;
use crate::wire::fault::Fault;
use body::Reply;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http1::{Builder, Connection, UpgradeableConnection};
use hyper::service::{HttpService, service_fn};
use state::{Half, Phase, State};
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use sweep::{Order, Registration};

/// What hyper may read ahead or gather to write, at least (it asks for no less than 8 KiB).
const BUFFER_MIN: usize = 64 * 1024;

/// What a peer may take of us. Kept to within one sweep (half a second, or a quarter of the shortest limit).
#[derive(Clone, Debug)]
pub struct Limits {
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// A request head that is not complete after this is answered with 408.
    pub header: Duration,
    /// A body, either way, that waits for the peer for so long is broken off. `None` on the link: the front keeps its
    /// clients to the limit, and must not be taken for slow when one of them is.
    pub stall: Option<Duration>,
    /// Bytes of a head.
    pub head: usize,
    /// Fields of a head.
    pub fields: usize,
    /// Whether `Date` is added where the service sets none.
    pub date: bool,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// By either side, between two messages.
    Closed,
    /// It lives on as a tunnel.
    Upgraded,
    /// In the middle of a message.
    Broken(hyper::Error),
    /// With an answer of ours to something that never became a request.
    Refused(Fault),
    IdleTooLong,
    /// The peer took or sent nothing for the whole of `Limits::stall`.
    Stalled,
}

/// What one life of hyper on the connection came to.
enum Life {
    Ended(hyper::Result<()>),
    Ordered(Order),
}

/// Serves `stream` until it ends. Needs neither the service nor the bodies to be Send, but a thread that does nothing
/// else meanwhile: spawn it locally, or use [`Connections`]. Upgrades work by `hyper::upgrade::on` and [`upgraded`].
pub async fn connection<S, F, B, E>(stream: Stream, service: S, sweeper: &Sweeper) -> End
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let watch = sweeper.register(&stream);
    let state = watch.state().clone();
    let service = |request: Request<hyper::body::Incoming>| exchange(&service, request, &state);
    let mut io = Io { stream, state: state.clone(), before: Bytes::new() };
    loop {
        // hyper's buffers exist only while there is something to do.
        if let Some(end) = first_byte(&io, &watch).await {
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
    request: Request<hyper::body::Incoming>,
    state: &Arc<State>,
) -> impl Future<Output = Result<Response<Reply<B>>, E>> + use<S, F, B, E>
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
{
    let half = Half::begin(state);
    let answer = service(request.map(|body| ClientBody::new(body, state)));
    async move {
        let response = answer.await?;
        half.state().answered();
        Ok(response.map(|body| Reply { body, _half: half }))
    }
}

/// Waits for the first byte of a request. An end when there will be none.
async fn first_byte(io: &Io, watch: &Registration) -> Option<End> {
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
        // An error of the socket is for hyper to find.
        io.stream.poll_read_ready(cx).map(|_| None)
    })
    .await;
    watch.set_parked(false);
    end
}

/// Lets hyper run until it is done or ordered to end.
async fn live<S, B>(conn: &mut UpgradeableConnection<Io, S>, watch: &Registration) -> Life
where
    S: HttpService<hyper::body::Incoming, ResBody = B>,
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

impl Limits {
    /// For clients.
    pub fn of(config: &Config) -> Limits {
        Limits {
            idle: config.timeouts.idle,
            header: config.timeouts.header,
            stall: Some(config.timeouts.body_stall),
            head: config.limits.head.try_into().unwrap_or(usize::MAX),
            fields: config.limits.fields,
            date: true,
        }
    }
    /// For a front on the link.
    pub fn of_link(config: &Config) -> Limits {
        Limits { stall: None, ..Limits::of(config) }
    }
    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        // The sweeper keeps the time. No `pipeline_flush`: with it hyper buffers a body without bound.
        builder.header_read_timeout(None).auto_date_header(self.date).max_headers(self.fields);
        builder.max_header_size(self.head).max_buf_size(self.head.max(BUFFER_MIN));
        builder
    }
    fn sweep(&self) -> Duration {
        let shortest = self.idle.min(self.header).min(self.stall.unwrap_or(Duration::MAX));
        shortest / 4
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("closed"),
            End::Upgraded => f.write_str("upgraded"),
            End::Broken(e) => write!(f, "broken: {e}"),
            End::Refused(fault) => write!(f, "refused with {}: {fault}", fault.status.as_u16()),
            End::IdleTooLong => f.write_str("idle for too long"),
            End::Stalled => f.write_str("the peer stalled"),
        }
    }
}
