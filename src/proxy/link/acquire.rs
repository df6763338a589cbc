//! A connection for a request: from the pool, new, or from whoever is done first.

use super::Broken;
use super::conn::{Conn, Link};
use super::pool::{Grant, Pool, Slot};
use crate::config::Address;
use crate::net::listen::Stream;
use crate::net::prove;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind::TimedOut};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Any: the request may be sent again when the connection turns out to be dead.
    Any,
    /// One that was looked at and found alive: the request must not be sent twice.
    Alive,
    /// A new one: a pooled one has just turned out to be dead.
    New,
}

/// Waits for a connection. Cancel safe.
pub async fn acquire(pool: &Rc<Pool>, want: Want) -> Result<Conn, Broken> {
    if want != Want::New {
        while let Some(mut conn) = pool.pop_idle() {
            if want == Want::Any || !conn.is_stale() {
                pool.shared.counters.link_reused.add(1);
                return Ok(conn);
            }
        }
    }
    match pool.take_slot() {
        Some(slot) => Box::pin(open(slot)).await,
        None => Box::pin(queue(pool)).await,
    }
}

async fn queue(pool: &Rc<Pool>) -> Result<Conn, Broken> {
    let place = pool.enqueue().ok_or(Broken::Full)?;
    match timeout(pool.shared.timeouts.queue, place).await {
        Ok(Ok(Grant::Conn(conn))) => Ok(conn),
        Ok(Ok(Grant::Slot(slot))) => open(slot).await,
        // The sender is dropped only when the node is given up.
        Ok(Err(_)) => Err(Broken::Abandoned),
        Err(_) => Err(Broken::Full),
    }
}

async fn open(mut slot: Slot) -> Result<Conn, Broken> {
    let pool = slot.pool().clone();
    let control = slot.opening();
    let mut connecting = pin!(timeout(pool.shared.timeouts.connect, connect(&pool)));
    // Not `Abandoned`: of the request, not a byte was sent.
    let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        _ if control.is_abandoned() => Poll::Ready(Err(io::Error::new(TimedOut, "it went silent"))),
        Poll::Ready(done) => Poll::Ready(done.unwrap_or_else(|_| Err(TimedOut.into()))),
        Poll::Pending => {
            control.wait(cx);
            Poll::Pending
        }
    });
    let stream = connected.await.map_err(Broken::Unreachable)?;
    pool.shared.counters.link_opened.add(1);
    Ok(slot.connected(Link { stream, control }))
}

async fn connect(pool: &Pool) -> io::Result<Stream> {
    match &pool.node.address {
        Address::Tcp(address) => Ok(Stream::Tcp(prove::connect(address, &pool.node.id, &pool.shared.cluster).await?)),
        Address::Unix(path) => loop {
            match UnixStream::connect(path).await {
                // Its backlog is full. There is no event for that: look again, as long as the node is thought alive.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && pool.node.is_up() => {
                    sleep(Duration::from_millis(2)).await;
                }
                result => return Ok(Stream::Unix(result?)),
            }
        },
    }
}
