//! Tasks that everything hangs on: one that panics has logged why, and begins again.

use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between a panic and the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs what `begin` makes until it ends by itself, or is aborted. Must be called inside a runtime.
pub fn keep<F>(name: &'static str, mut begin: impl FnMut() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            let mut inner = Inner(tokio::spawn(begin()));
            match (&mut inner.0).await {
                Err(end) if end.is_panic() => {
                    tracing::error!("{name} has panicked, a fault of ringhold: it begins again")
                }
                _ => return,
            }
            sleep(PAUSE).await;
        }
    })
}

/// Ends with whoever waits for it.
struct Inner(JoinHandle<()>);

impl Drop for Inner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test(flavor = "current_thread")]
    async fn what_panics_begins_again_until_it_ends_by_itself() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let task = keep("a test", move || {
            let nth = count.fetch_add(1, Ordering::Relaxed);
            async move { assert!(nth >= 2, "not yet") }
        });
        task.await.unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_aborted_task_takes_with_it_what_it_runs() {
        let (held, mut released) = oneshot::channel::<()>();
        let mut held = Some(held);
        let task = keep("a test", move || {
            let held = held.take();
            async move {
                let _held = held;
                std::future::pending::<()>().await;
            }
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!((&mut released).await.is_err(), "it is dropped");
    }
}
