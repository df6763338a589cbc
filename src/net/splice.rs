//! Copies both ways between two connections, each direction with its own end (half-close).

use crate::net::drain::Shutdown;
use crate::net::stream::{Closed, Stream, closed};
use bytes::{Buf, Bytes, BytesMut};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::sleep;

const PIECE: usize = 32 * 1024;
/// A tunnel in which nothing moves for so long is closed when the process is to end.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

pub struct TunnelLimits {
    /// Nothing moves for so long (at least; less than twice that): closed.
    pub idle: Duration,
    pub shutdown: Shutdown,
}

/// Bytes, from the first to the second connection and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub up: u64,
    pub down: u64,
}

/// A connection that tells more of its end than that nothing comes any more.
pub trait Line: AsyncRead + AsyncWrite + Unpin {
    /// The other end reads no more either.
    fn is_lost(&self) -> bool;
}

impl Line for Stream {
    fn is_lost(&self) -> bool {
        closed(self.as_fd()) == Closed::All
    }
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides have said all.
    Closed,
    /// By the first of the two, or by the second.
    Broken(TunnelSide),
    Idle,
}

/// Which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelSide {
    First,
    Second,
}

/// Which connection failed, of that which is read and that which is written to.
enum Failed {
    Reading,
    Writing,
}

/// One direction.
struct Direction {
    waiting: Bytes,
    buf: BytesMut,
    state: FlowState,
    moved: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum FlowState {
    Open,
    /// The reader has come to its end, the writer is still to be told.
    Ending,
    Ended,
}

/// Copies until both directions have ended, one breaks, or nothing moves. The two `Bytes` were read already, each from
/// the connection before it.
pub async fn splice<A, B>(
    a: &mut A,
    from_a: Bytes,
    b: &mut B,
    from_b: Bytes,
    limits: TunnelLimits,
) -> (Moved, TunnelEnd)
where
    A: Line,
    B: Line,
{
    let (mut up, mut down) = (Direction::new(from_a), Direction::new(from_b));
    let mut watch = pin!(watch(limits.idle));
    let mut shutdown = limits.shutdown;
    let mut begun = pin!(async move { shutdown.begun().await });
    let (mut seen, mut draining) = (0, false);
    let end = poll_fn(|cx| {
        let there = up.poll(cx, a, b, down.state == FlowState::Ended);
        let back = down.poll(cx, b, a, up.state == FlowState::Ended);
        match (there, back) {
            (Poll::Ready(Err(Failed::Reading)), _) | (_, Poll::Ready(Err(Failed::Writing))) => {
                return Poll::Ready(TunnelEnd::Broken(TunnelSide::First));
            }
            (Poll::Ready(Err(Failed::Writing)), _) | (_, Poll::Ready(Err(Failed::Reading))) => {
                return Poll::Ready(TunnelEnd::Broken(TunnelSide::Second));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(TunnelEnd::Closed),
            _ => {}
        }
        if !draining && begun.as_mut().poll(cx).is_ready() {
            draining = true;
            watch.set(self::watch(DRAIN_IDLE));
        }
        // One timer a tunnel, which looks whether anything has moved since it was set, and is not touched otherwise.
        while watch.as_mut().poll(cx).is_ready() {
            if seen == up.moved + down.moved {
                return Poll::Ready(TunnelEnd::Idle);
            }
            seen = up.moved + down.moved;
            watch.set(self::watch(if draining { DRAIN_IDLE } else { limits.idle }));
        }
        Poll::Pending
    })
    .await;
    (Moved { up: up.moved, down: down.moved }, end)
}

async fn watch(time: Duration) {
    sleep(time).await;
}

impl Direction {
    fn new(waiting: Bytes) -> Direction {
        Direction { waiting, buf: BytesMut::new(), state: FlowState::Open, moved: 0 }
    }

    /// Ready when the reader has ended and the writer knows. `told`: the reader has been told that nothing comes to it any more;
    /// one that listens no more before that has not ended in order. A socket of TCP says so by a reset, a Unix socket only here.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W, told: bool) -> Poll<Result<(), Failed>>
    where
        R: Line,
        W: AsyncWrite + Unpin,
    {
        while self.state != FlowState::Ended {
            while !self.waiting.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.waiting));
                let n = written.ok().filter(|n| *n > 0).ok_or(Failed::Writing)?;
                self.waiting.advance(n);
                self.moved += n as u64;
            }
            if self.state == FlowState::Ending {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| Failed::Writing)?;
                self.state = FlowState::Ended;
                break;
            }
            if ready!(self.poll_read(cx, from)).map_err(|_| Failed::Reading)? == 0 {
                if !told && from.is_lost() {
                    return Poll::Ready(Err(Failed::Reading));
                }
                self.state = FlowState::Ending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, from: &mut R) -> Poll<io::Result<usize>> {
        self.buf.reserve(PIECE);
        // The future of `read_buf` keeps no state between polls.
        let read = pin!(from.read_buf(&mut self.buf)).poll(cx);
        match read {
            Poll::Ready(Ok(n)) => {
                self.waiting = self.buf.split().freeze();
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => {
                // An idle tunnel costs no buffers.
                self.buf = BytesMut::new();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, DuplexStream};
    use tokio::net::UnixStream;

    impl Line for DuplexStream {
        fn is_lost(&self) -> bool {
            false
        }
    }

    fn limits(idle: Duration) -> (crate::net::drain::Trigger, TunnelLimits) {
        let (trigger, shutdown) = Shutdown::channel();
        (trigger, TunnelLimits { idle, shutdown })
    }

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let (mut client, mut near) = tokio::io::duplex(64);
        let (mut origin, mut far) = tokio::io::duplex(64);
        let (_trigger, limits) = limits(Duration::from_secs(60));
        let copy = splice(&mut near, Bytes::from_static(b"ahead "), &mut far, Bytes::new(), limits);
        let talk = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = String::new();
            origin.read_to_string(&mut question).await.unwrap();
            assert_eq!(question, "ahead question", "the origin sees the end of the question");
            origin.write_all(b"an answer after the half-close").await.unwrap();
            drop(origin);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let ((moved, end), answer) = tokio::join!(copy, talk);
        assert_eq!(answer, "an answer after the half-close");
        assert_eq!((moved, end), (Moved { up: 14, down: 30 }, TunnelEnd::Closed));
    }

    #[tokio::test]
    async fn who_listens_no_more_before_he_was_told_the_end_has_broken_it() {
        // (the first to end, whether he still listens, how the tunnel ends)
        for (first, listens, expected) in [
            (TunnelSide::First, true, TunnelEnd::Closed),
            (TunnelSide::Second, true, TunnelEnd::Closed),
            (TunnelSide::First, false, TunnelEnd::Broken(TunnelSide::First)),
            (TunnelSide::Second, false, TunnelEnd::Broken(TunnelSide::Second)),
        ] {
            let (client, near) = UnixStream::pair().unwrap();
            let (origin, far) = UnixStream::pair().unwrap();
            let (_trigger, limits) = limits(Duration::from_secs(60));
            let copy = async move {
                let (mut near, mut far) = (Stream::Unix(near), Stream::Unix(far));
                splice(&mut near, Bytes::new(), &mut far, Bytes::new(), limits).await
            };
            let talk = async {
                let (mut one, mut other) = if first == TunnelSide::First { (client, origin) } else { (origin, client) };
                if listens {
                    one.shutdown().await.unwrap();
                } else {
                    drop(one);
                }
                assert_eq!(other.read(&mut [0; 8]).await.unwrap_or(0), 0);
                drop(other);
            };
            let ((_, end), ()) = tokio::join!(copy, talk);
            assert_eq!(end, expected, "{first:?} {listens}");
        }
    }

    #[tokio::test]
    async fn a_tunnel_in_which_nothing_moves_is_closed() {
        let (_client, mut near) = tokio::io::duplex(64);
        let (_origin, mut far) = tokio::io::duplex(64);
        let (_trigger, limits) = limits(Duration::from_millis(20));
        let (moved, end) = splice(&mut near, Bytes::new(), &mut far, Bytes::new(), limits).await;
        assert_eq!((moved, end), (Moved::default(), TunnelEnd::Idle));
    }

    #[tokio::test]
    async fn an_idle_tunnel_does_not_hold_up_the_end_of_the_process() {
        let (_client, mut near) = tokio::io::duplex(64);
        let (_origin, mut far) = tokio::io::duplex(64);
        let (trigger, limits) = limits(Duration::from_secs(1_000_000));
        trigger.begin();
        let (_, end) = splice(&mut near, Bytes::new(), &mut far, Bytes::new(), limits).await;
        assert_eq!(end, TunnelEnd::Idle);
    }
}
