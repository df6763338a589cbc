//! The socket of a server connection, with what was read of it and not yet used.

use super::state::ConnState;
use crate::net::listen::Stream;
use bytes::Bytes;
use std::io::Result;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;

/// Shared by the connection, which writes, and the body of its request, which reads. Never borrowed across a poll.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) stream: Stream,
    pub(super) state: Arc<ConnState>,
    /// Read already.
    pub(super) before: Bytes,
}

/// A connection that is to speak another protocol, with what was read of that already: once the answer that says so is
/// written. Never, where another answer is.
#[derive(Debug)]
pub struct Upgrade(oneshot::Receiver<(Stream, Bytes)>);

impl Upgrade {
    pub(super) fn offer() -> (oneshot::Sender<(Stream, Bytes)>, Upgrade) {
        let (offer, taken) = oneshot::channel();
        (offer, Upgrade(taken))
    }

    /// `None`: it went on as it was, or has ended.
    pub async fn taken(self) -> Option<(Stream, Bytes)> {
        self.0.await.ok()
    }
}

/// `a` then `b`; copies only in the rare case that there are two.
pub(super) fn join(a: Bytes, b: Bytes) -> Bytes {
    match (a.is_empty(), b.is_empty()) {
        (_, true) => a,
        (true, _) => b,
        _ => [a, b].concat().into(),
    }
}

impl Io {
    /// Writes the interim responses that wait.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(mut rest) = self.state.rest() {
            while !rest.is_empty() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &rest))?;
                rest.drain(..written);
            }
            self.state.no_rest();
        }
        Poll::Ready(Ok(()))
    }
}
