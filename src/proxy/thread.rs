//! The thread of a worker: it serves the connections that it is given, and drains.

use super::metrics::FrontCounters;
use super::service::{self, FrontService};
use super::worker::{Client, ClientPlace, Start, Worker, sweep, watch_health, watch_views};
use crate::alloc;
use crate::net::listen::{Detached, Peer};
use crate::net::serve::{ByRequest, Waited};
use crate::net::shares::ClientId;
use crate::net::trust;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::{io, thread};
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};

/// A connection on its way from the acceptor to its worker.
pub struct Arrival {
    pub stream: Detached,
    pub peer: Peer,
    pub place: ClientPlace,
}

/// What the acceptor asks of a worker.
pub enum Errand {
    Serve(Arrival),
    /// How the connection of this client (or of all) has waited that is the next to give way.
    LongestIdle(Option<ClientId>, oneshot::Sender<Option<Waited>>),
    CloseLongestIdle(Option<ClientId>),
}

/// A worker as the acceptor sees it.
pub struct Handle {
    pub arrivals: mpsc::UnboundedSender<Errand>,
    pub load: Arc<AtomicUsize>,
    pub counters: Arc<FrontCounters>,
    /// Resolves when it has drained.
    pub done: oneshot::Receiver<()>,
}

/// Starts the thread of a worker.
pub fn spawn(index: usize, start: Start) -> io::Result<Handle> {
    let (arrivals, queue) = mpsc::unbounded_channel();
    let (finished, done) = oneshot::channel();
    let (load, counters) = (Arc::new(AtomicUsize::new(0)), Arc::new(FrontCounters::default()));
    let of_worker = counters.clone();
    // The runtime does not leave its thread, and so cannot be made here.
    let (started, has_started) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        alloc::on_this_thread();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => return drop(started.send(Err(e))),
        };
        let _ = started.send(Ok(()));
        runtime.block_on(run(start, of_worker, queue));
        let _ = finished.send(());
    })?;
    has_started.recv().map_err(io::Error::other)??;
    Ok(Handle { arrivals, load, counters, done })
}

/// Serves what arrives until the acceptor is gone, then drains.
async fn run(start: Start, counters: Arc<FrontCounters>, mut queue: mpsc::UnboundedReceiver<Errand>) {
    let drain = start.config.timeouts.drain;
    let worker = Worker::new(start, counters);
    tokio::task::spawn_local(watch_health(worker.clone()));
    tokio::task::spawn_local(watch_views(worker.clone()));
    tokio::task::spawn_local(sweep(worker.clone()));
    while let Some(errand) = queue.recv().await {
        match errand {
            Errand::Serve(arrival) => take(&worker, arrival),
            Errand::LongestIdle(of, tell) => _ = tell.send(worker.connections.longest_idle(of)),
            Errand::CloseLongestIdle(of) => _ = worker.connections.close_longest_idle(of),
        }
    }
    let late = worker.connections.drained(drain).await;
    if late > 0 {
        tracing::warn!("{late} connections were cut off after {drain:?} of draining");
    }
}

fn take(worker: &Rc<Worker>, arrival: Arrival) {
    let Arrival { stream, peer, place } = arrival;
    let stream = match stream.attach() {
        Ok(stream) => stream,
        Err(e) => return tracing::warn!("cannot take a connection: {e}"),
    };
    worker.shared.counters.connections.add(1);
    worker.shared.counters.connections_open.add(1);
    let client = Rc::new(Client::new(worker.clone(), peer, place));
    if !trust::may_use_proxy(peer, &worker.config.access) {
        let turn_away = move |request| service::turn_away(client.clone(), request);
        worker.connections.serve(stream, ByRequest(turn_away));
        return;
    }
    worker.connections.serve(stream, FrontService(client));
}
