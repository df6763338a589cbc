//! Accepts on every listen address and hands each connection to the worker that has the fewest.

use super::worker::{Arrival, Handle, Place};
use crate::net::drain::Shutdown;
use crate::net::listen::{Listener, Peer, Stream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Accepts until `shutdown`. Beyond the limit connections wait in the kernel's queue.
pub async fn run(listener: Listener, workers: Rc<Vec<Handle>>, permits: Arc<Semaphore>, mut shutdown: Shutdown) {
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            (permit, (stream, peer)) = next => match permit {
                Ok(permit) => hand_over(&workers, stream, peer, permit),
                // The semaphore is never closed.
                Err(_) => return,
            },
        }
    }
}

fn hand_over(workers: &[Handle], stream: Stream, peer: Peer, permit: OwnedSemaphorePermit) {
    let Some(worker) = workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else { return };
    match stream.detach() {
        Ok(stream) => {
            worker.load.fetch_add(1, Ordering::Relaxed);
            let place = Place { _permit: permit, load: worker.load.clone() };
            // A worker ends only after the acceptor has.
            let _ = worker.arrivals.send(Arrival { stream, peer, place });
        }
        Err(e) => tracing::warn!("cannot hand over a connection: {e}"),
    }
}
