//! Accepts on every listen address and hands each connection to the worker that has the fewest.

use super::thread::{Arrival, Errand, Handle};
use super::worker::ClientPlace;
use crate::net::drain::Shutdown;
use crate::net::listen::{Listener, Peer, Stream};
use crate::net::serve::{Waited, refuse};
use crate::net::shares::{ClientId, Seat, Seats, Taken};
use crate::wire::fault::{Fault, Kind};
use http::StatusCode;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// So long a connection that was told to give way may take.
const GIVING_WAY: Duration = Duration::from_millis(200);
/// So often room is made for one connection.
const TRIES: usize = 8;
/// So many are told at one time that there is no room for them; who comes beyond that is told by the end of the connection.
const REFUSED: usize = 64;

thread_local! {
    static REFUSING: Cell<usize> = const { Cell::new(0) };
}

/// Accepts until `shutdown`. Where the limit is reached, the connection that has been idle for longest gives way to who
/// comes; where none is idle, who comes waits, and all others in the kernel's queue.
pub async fn run(listener: Listener, workers: Rc<Vec<Handle>>, seats: Seats, mut shutdown: Shutdown) {
    loop {
        let next = async {
            let (stream, peer) = listener.accept_with(async || close_longest_idle(&workers, None).await).await;
            let seat = seat(&workers, &seats, ClientId::of(&peer)).await;
            (stream, peer, seat)
        };
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            (stream, peer, seat) = next => match seat {
                Some(seat) => hand_over(&workers, stream, peer, seat),
                None => {
                    // This thread alone writes it, in the counters of one of the workers.
                    if let Some(worker) = workers.first() {
                        worker.counters.connections_refused.add(1);
                    }
                    turn_away(stream, &peer);
                }
            },
        }
    }
}

/// `None`: the client has its share, and all of that does something.
async fn seat(workers: &[Handle], seats: &Seats, source: ClientId) -> Option<Seat> {
    for _ in 0..TRIES {
        let taken = match seats.take(source) {
            Ok(seat) => return Some(seat),
            Err(taken) => taken,
        };
        let of = (taken == Taken::ByItself).then_some(source);
        match close_longest_idle(workers, of).await {
            true => _ = timeout(GIVING_WAY, seats.freed()).await,
            false if taken == Taken::ByItself => return None,
            false => seats.freed().await,
        }
    }
    seats.take(source).ok()
}

/// Of this client's, or of all. False: none is idle.
async fn close_longest_idle(workers: &[Handle], of: Option<ClientId>) -> bool {
    let mut longest: Option<(Waited, &Handle)> = None;
    for worker in workers {
        let (tell, told) = oneshot::channel();
        _ = worker.arrivals.send(Errand::LongestIdle(of, tell));
        if let Ok(Some(idle)) = told.await
            && longest.is_none_or(|(most, _)| idle > most)
        {
            longest = Some((idle, worker));
        }
    }
    longest.is_some_and(|(_, worker)| worker.arrivals.send(Errand::CloseLongestIdle(of)).is_ok())
}

fn hand_over(workers: &[Handle], stream: Stream, peer: Peer, seat: Seat) {
    let Some(worker) = workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else { return };
    match stream.detach() {
        Ok(stream) => {
            worker.load.fetch_add(1, Ordering::Relaxed);
            let place = ClientPlace { _seat: seat, load: worker.load.clone() };
            // A worker ends only after the acceptor has.
            let _ = worker.arrivals.send(Errand::Serve(Arrival { stream, peer, place }));
        }
        Err(e) => tracing::warn!("cannot hand over a connection: {e}"),
    }
}

/// 503.
fn turn_away(stream: Stream, peer: &Peer) {
    tracing::debug!(peer = ?peer.addr, "refused a connection: this client has its share of limits.connections");
    if REFUSING.get() >= REFUSED {
        return;
    }
    REFUSING.set(REFUSING.get() + 1);
    tokio::task::spawn_local(async move {
        let detail = "this client has its share of the proxy's connections, and all of them are busy: close some, or \
                      raise limits.connections";
        refuse(stream, &Fault::us(StatusCode::SERVICE_UNAVAILABLE, Kind::ConnectionLimitReached, detail)).await;
        REFUSING.set(REFUSING.get() - 1);
    });
}
