//! Work for a client that goes on when that one has left.

use super::interim::Interim;
use std::future::Future;
use std::pin::{Pin, pin};
use tokio::sync::oneshot;

/// What is to be run on the same thread.
pub type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Runs `work` by `spawn`, to its end also where nobody waits for it any more: what the client asked for may have been done, and
/// has its effect. Not where the client left within its request, which comes to nothing. `None`: a bug of ours has ended it.
pub async fn outlive<T: 'static>(
    client: Interim,
    work: impl Future<Output = T> + 'static,
    spawn: impl FnOnce(Work),
) -> Option<T> {
    let (mut tell, told) = oneshot::channel();
    spawn(Box::pin(async move {
        let mut work = pin!(work);
        let done = tokio::select! {
            biased;
            done = &mut work => Some(done),
            () = tell.closed() => None,
        };
        match done {
            // Nobody may want it any more.
            Some(done) => drop(tell.send(done)),
            None if client.has_sent_all() => drop(work.await),
            None => {}
        }
    }));
    told.await.ok()
}
