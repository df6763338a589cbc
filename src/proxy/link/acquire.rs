//! A connection for a request: from the pool, new, or from whoever is done first.

use super::broken::LinkError;
use super::conn::NodeConn;
use super::kept::KeptConn;
use super::pool::{Grant, NodePool, Slot};
use crate::net::descriptors::{self, Lack};
use crate::net::http1;
use crate::net::listen::Stream;
use crate::net::prove;
use crate::net::rules::Reach;
use crate::net::shares::ClientId;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind::TimedOut};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
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
pub async fn acquire(pool: &Rc<NodePool>, want: Want, of: ClientId) -> Result<NodeConn, LinkError> {
    let conn = if pool.has_share(of) { find(pool, want, of).await? } else { Box::pin(queue(pool, of)).await? };
    conn.link.control.set_owner(of);
    Ok(conn)
}

async fn find(pool: &Rc<NodePool>, want: Want, of: ClientId) -> Result<NodeConn, LinkError> {
    if want != Want::New {
        while let Some((mut link, slot)) = pool.pop_idle() {
            if want == Want::Any || !link.is_stale() {
                pool.shared.counters.link_reused.add(1);
                return Ok(NodeConn::new(link, slot));
            }
        }
    }
    match pool.take_slot() {
        Some(slot) => Box::pin(open(slot, of)).await,
        None => Box::pin(queue(pool, of)).await,
    }
}

async fn queue(pool: &Rc<NodePool>, of: ClientId) -> Result<NodeConn, LinkError> {
    let place = pool.enqueue(of).ok_or(LinkError::Full)?;
    match timeout(pool.shared.timeouts.queue, place).await {
        Ok(Ok(Grant::Link(link, slot))) => Ok(NodeConn::new(link, slot)),
        Ok(Ok(Grant::Slot(slot))) => open(slot, of).await,
        // The sender is dropped only when the node is given up.
        Ok(Err(_)) => Err(LinkError::Abandoned),
        Err(_) => Err(LinkError::Full),
    }
}

async fn open(mut slot: Slot, of: ClientId) -> Result<NodeConn, LinkError> {
    let pool = slot.pool().clone();
    let control = slot.opening();
    control.set_owner(of);
    let lacking = Cell::new(None);
    let mut connecting = pin!(timeout(pool.shared.timeouts.connect, relieved(&pool, &lacking)));
    // Not `Abandoned`: of the request, not a byte was sent.
    let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        _ if control.is_abandoned() => Poll::Ready(Err(io::Error::new(TimedOut, "it went silent"))),
        Poll::Ready(done) => Poll::Ready(done.unwrap_or_else(|_| Err(TimedOut.into()))),
        Poll::Pending => {
            control.wait(cx);
            Poll::Pending
        }
    });
    let stream =
        connected.await.map_err(|e| lacking.get().map_or_else(|| LinkError::Unreachable(e), LinkError::Lacking))?;
    pool.shared.counters.link_opened.add(1);
    Ok(NodeConn::new(KeptConn { http: http1::Conn::new(stream, Reach::Anyone), control }, slot))
}

/// Connects as soon as we have what that takes; `lacking` says what we have not.
async fn relieved(pool: &NodePool, lacking: &Cell<Option<Lack>>) -> io::Result<Stream> {
    let node = &pool.node;
    loop {
        match prove::reach(&node.address, &node.id, &pool.shared.cluster, || node.is_up()).await {
            Err(e) if let Some(lack) = descriptors::lack_of(&e) => {
                lacking.set(Some(lack));
                pool.shared.relief.give(lack);
                sleep(descriptors::PAUSE).await;
            }
            result => {
                lacking.set(None);
                return result;
            }
        }
    }
}
