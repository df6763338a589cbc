//! The connections (and tunnels) of one thread: counted, and ended within a time.

use super::conn::connection;
use super::end::ConnEnd;
use super::http2;
use super::service::Service;
use super::sweep::{Sweeper, Waited};
use crate::net::listen::Stream;
use crate::net::shares::ClientId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Runs each connection as a task of its own on this thread, so that a panic ends one connection only. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Rc<Running>);

struct Running {
    sweeper: Sweeper,
    tasks: RefCell<HashMap<u64, AbortHandle>>,
    next: Cell<u64>,
    ended: Notify,
}

/// Takes a task off the list, however it ends.
struct TaskGuard {
    running: Rc<Running>,
    id: u64,
}

impl Connections {
    pub fn new(sweeper: Sweeper) -> Connections {
        let (tasks, next, ended) = Default::default();
        Connections(Rc::new(Running { sweeper, tasks, next, ended }))
    }

    /// See [`Sweeper::longest_idle`].
    pub fn longest_idle(&self, of: Option<ClientId>) -> Option<Waited> {
        self.0.sweeper.longest_idle(of)
    }

    /// See [`Sweeper::close_longest_idle`].
    pub fn close_longest_idle(&self, of: Option<ClientId>) -> bool {
        self.0.sweeper.close_longest_idle(of)
    }

    /// Serves a connection on a task of its own.
    pub fn serve<S: Service + 'static>(&self, stream: Stream, service: S) -> AbortHandle {
        let sweeper = self.0.sweeper.clone();
        self.spawn(served(stream, service, sweeper))
    }

    /// The same for a stream that has to be made first; without one, it has ended.
    pub fn serve_once<S: Service + 'static>(
        &self,
        made: impl Future<Output = io::Result<Stream>> + 'static,
        service: S,
    ) -> AbortHandle {
        let sweeper = self.0.sweeper.clone();
        // Boxed: it is over before the connection begins, which is to carry no room for it.
        let made = Box::pin(made);
        self.spawn(async move {
            match made.await {
                Ok(stream) => served(stream, service, sweeper).await,
                Err(e) => tracing::debug!("a connection ended before its first request: {e}"),
            }
        })
    }

    /// The same by the version of HTTP that its TLS has agreed on.
    pub fn serve_agreed<S: Service + 'static>(&self, stream: Stream, service: S) -> AbortHandle {
        if !stream.is_http2() {
            return self.serve(stream, service);
        }
        let sweeper = self.0.sweeper.clone();
        self.spawn(async move {
            match http2::connection(stream, service, &sweeper).await {
                ConnEnd::Closed => {}
                end => tracing::debug!("a connection of HTTP/2 ended: {end}"),
            }
        })
    }

    /// Runs something else that has to end before the thread does, a tunnel for example.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        let listed = TaskGuard { running: self.0.clone(), id };
        let handle = tokio::task::spawn_local(async move {
            let _listed = listed;
            task.await;
        });
        self.0.tasks.borrow_mut().insert(id, handle.abort_handle());
        handle.abort_handle()
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    /// Waits until all have ended; ends those that have not within `timeout`, and says how many these were.
    pub async fn drained(&self, timeout: Duration) -> usize {
        let _ = tokio::time::timeout(timeout, self.empty()).await;
        let late: Vec<AbortHandle> = self.0.tasks.borrow().values().cloned().collect();
        late.iter().for_each(AbortHandle::abort);
        self.empty().await;
        late.len()
    }

    async fn empty(&self) {
        while self.count() > 0 {
            self.0.ended.notified().await;
        }
    }
}

#[allow(clippy::manual_async_fn)] // which would hold its arguments twice
fn served<S: Service>(stream: Stream, service: S, sweeper: Sweeper) -> impl Future<Output = ()> {
    async move {
        match connection(stream, &service, &sweeper).await {
            ConnEnd::Closed | ConnEnd::Upgraded => {}
            end => tracing::debug!("a connection ended: {end}"),
        }
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.running.tasks.borrow_mut().remove(&self.id);
        if self.running.tasks.borrow().is_empty() {
            self.running.ended.notify_waiters();
            self.running.ended.notify_one();
        }
    }
}
