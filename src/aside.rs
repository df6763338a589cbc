//! What blocks, on a thread of its own. tokio's pool panics where the system has no thread left.

use std::io;
use std::thread;
use tokio::sync::oneshot;

/// Runs `work`, which goes on where nobody waits for it any more. Errors: no thread can be had, which is nobody else's fault.
pub async fn aside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || drop(tell.send(work())))?;
    told.await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_blocks_holds_up_nobody_else() {
        let (let_go, gate) = std::sync::mpsc::channel::<u8>();
        let (got, ()) = tokio::join!(aside("test", move || gate.recv()), async { let_go.send(7).unwrap() });
        assert_eq!(got.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn work_that_breaks_off_is_an_error() {
        assert!(aside("test", || assert!(std::env::args().count() == 0, "on purpose")).await.is_err());
    }
}
