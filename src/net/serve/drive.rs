//! The life of one connection: waiting, hyper, parked, hyper again, and its end.

use super::body::{ClientBody, Reply, told};
use super::io::{self, Io};
use super::lane::{self, Left, Shortcut};
use super::manners::{After, Manners};
use super::opening::Opening;
use super::state::{Half, Phase, State};
use super::sweep::{Order, Registration, Sweeper};
use super::{BoxError, End, plain, words};
use crate::net::listen::Stream;
use bytes::Bytes;
use http::header::CONNECTION;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Connection, UpgradeableConnection};
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::OnUpgrade;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// What one life of hyper on the connection came to.
enum Life {
    /// It waits for the next request.
    Idle,
    Ended(hyper::Result<()>),
    Ordered(Order),
}

/// Serves `stream` until it ends. Needs neither the service nor the bodies to be Send, but a thread that does nothing
/// else meanwhile: spawn it locally, or use [`Connections`]. Upgrades work by `hyper::upgrade::on` and [`upgraded`].
pub async fn connection<S, F, B, E>(stream: Stream, service: S, sweeper: &Sweeper, known: Option<Shortcut<B>>) -> End
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    let watch = sweeper.register(&stream);
    let state = watch.state().clone();
    let service = |request: Request<ClientBody>| exchange(&service, request, &state);
    let open = io::Open::new(&state, &stream);
    let mut io = Io { stream, state: state.clone(), before: Bytes::new(), opening: Opening::default(), _open: open };
    loop {
        // hyper and its buffers exist only for as long as there is something to do for it.
        if let Left::End(end) = lane::serve(&mut io, &watch, known.as_ref(), service).await {
            if matches!(end, End::Closed) && state.has_said_last() {
                words::linger(io.stream).await;
            }
            return end;
        }
        let (last, after) = (Cell::new(false), Cell::new(After::Open));
        let offered = Cell::new(None);
        let service = service_fn(|mut request: Request<Incoming>| {
            last.set(request.version() < Version::HTTP_11 || request.headers().contains_key(CONNECTION));
            request.extensions_mut().insert(state.take_noted());
            offered.set(request.extensions().get::<OnUpgrade>().cloned());
            let asked = Manners::of(&request);
            let answering = service(request.map(|body| ClientBody::new(body, &state)));
            let (last, after, state) = (&last, &after, &state);
            async move {
                let mut response = answering.await?;
                after.set(asked.settle(&mut response, state));
                last.set(last.get() || after.get() != After::Open);
                Ok::<_, E>(response)
            }
        });
        io.opening = Opening::default();
        let mut conn = sweeper.builder().serve_connection(io, service).with_upgrades();
        let life = live(&mut conn, &watch, &last).await;
        let Some(parts) = conn.into_parts() else {
            // hyper hands over the connection of a CONNECT or an Upgrade at its end, also where it was refused.
            if after.get() != After::Open
                && let Some(offered) = offered.take()
                && let Ok(Ok((stream, _))) = offered.await.map(io::upgraded)
            {
                words::hear_out(stream, watch.limits()).await;
                return End::Closed;
            }
            state.becomes_tunnel();
            return End::Upgraded;
        };
        match life {
            Life::Idle => io = Io { before: io::join(parts.read_buf, parts.io.before), ..parts.io },
            Life::Ordered(order) => {
                drop(parts.read_buf);
                return cut(parts.io, order, &watch).await;
            }
            Life::Ended(Err(e)) if !e.is_parse() => {
                return break_off(parts.io, e, after.get() == After::CloseDelimits).await;
            }
            Life::Ended(outcome) => return close(parts.io, outcome, &parts.read_buf, &watch).await,
        }
    }
}

/// One request: counted from the call of the service until both bodies are done with.
fn exchange<S, F, B, E>(
    service: &S,
    request: Request<ClientBody>,
    state: &Arc<State>,
) -> impl Future<Output = Result<Response<Reply<B>>, E>> + use<S, F, B, E>
where
    S: Fn(Request<ClientBody>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
{
    let half = Half::begin(state);
    state.asked();
    // Boxed, because a future that holds another is moved with it, and copied with it.
    let answer = Box::pin(service(request));
    async move {
        let response = answer.await?;
        half.state().answered();
        if plain::says_close(response.headers()) {
            half.state().said_last();
        }
        Ok(response.map(|body| Reply::new(body, half)))
    }
}

/// Lets hyper run until it is done, has nothing to do, or is ordered to end. `last`: its connection ends with the request
/// that it has.
async fn live<S, B>(conn: &mut UpgradeableConnection<Io, S>, watch: &Registration, last: &Cell<bool>) -> Life
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
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
            Order::Park if is_idle(watch.state()) => Poll::Ready(Life::Idle),
            order if stands(order, watch.state()) => {
                if order == Order::Stalled {
                    watch.state().stalls();
                }
                Poll::Ready(Life::Ordered(order))
            }
            _ if is_idle(watch.state()) && !last.get() => Poll::Ready(Life::Idle),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Between two messages: what is left of the last one would be taken for the next.
fn is_idle(state: &State) -> bool {
    state.is_between() && !state.has_unread_body()
}

/// An order counts only if what it was given for has not passed meanwhile.
fn stands(order: Order, state: &State) -> bool {
    match order {
        Order::None | Order::Drain | Order::Park => false,
        Order::IdleTooLong => state.phase() == Phase::Idle,
        Order::GiveWay => matches!(state.phase(), Phase::Idle | Phase::Head) && state.is_flushed(),
        Order::HeadTooSlow => state.phase() == Phase::Head,
        Order::Stalled => state.waits_for_peer(),
        Order::Gone => state.phase() == Phase::Busy,
    }
}

/// Ends a connection whose time is over.
async fn cut(mut io: Io, order: Order, watch: &Registration) -> End {
    match order {
        // Only where no answer is left half written, after which another would be taken for its rest.
        Order::HeadTooSlow if io.state.is_flushed() => {
            // The answer may take its time to arrive; nobody else is refused for what is not needed any more.
            io.before = Bytes::new();
            io.state.drops_head();
            let fault = words::too_slow(watch.limits());
            words::speak(io.stream, &fault).await;
            End::Refused(fault)
        }
        Order::Stalled => {
            io.stream.reset_on_drop();
            End::Stalled
        }
        Order::Gone => End::Broken("the client left before it had its answer".into()),
        _ => End::IdleTooLong,
    }
}

/// Within an answer, of which everything that came is written. `until_close`: the end of the connection would be its end.
async fn break_off(io: Io, error: hyper::Error, until_close: bool) -> End {
    if let Some(line) = told(&error) {
        words::tell(io.stream, &line).await;
    } else if until_close {
        words::cut_off(io.stream).await;
    }
    End::Broken(error.into())
}

/// After hyper is done.
async fn close(io: Io, outcome: hyper::Result<()>, unread: &[u8], watch: &Registration) -> End {
    match outcome {
        Err(e) if e.is_parse() && io.state.is_refusing() => {
            let fault = words::refusal(io.state.refused(), &e, unread, watch.limits());
            words::speak(io.stream, &fault).await;
            End::Refused(fault)
        }
        Err(e) => End::Broken(e.into()),
        Ok(()) if io.state.has_unread_body() => {
            words::hear_out(io.stream, watch.limits()).await;
            End::Closed
        }
        Ok(()) if io.state.has_said_last() => {
            words::linger(io.stream).await;
            End::Closed
        }
        Ok(()) => End::Closed,
    }
}
