//! A tunnel: bytes both ways, with half-close, until both ends are done or nothing moves any more.

use crate::clock::{Tick, tick};
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

/// One direction's buffer.
const BUFFER: usize = 16 * 1024;

/// Copies both ways. The end of one direction is passed on as the end of writing; the other goes on. Ends when both are done, one
/// fails, or nothing has moved either way for `idle`. Returns the bytes copied (a to b, b to a).
pub async fn both<A, B>(a: A, b: B, idle: Duration) -> (u64, u64)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut a_in, mut a_out) = split(a);
    let (mut b_in, mut b_out) = split(b);
    let moved = Cell::new(tick());
    let (there, back) = (Cell::new(0), Cell::new(0));
    {
        let both = async {
            tokio::try_join!(copy(&mut a_in, &mut b_out, &moved, &there), copy(&mut b_in, &mut a_out, &moved, &back))
        };
        let mut both = std::pin::pin!(both);
        let mut wait = idle;
        while timeout(wait, both.as_mut()).await.is_err() {
            let quiet = tick().since(moved.get());
            match idle.checked_sub(quiet).filter(|left| !left.is_zero()) {
                Some(left) => wait = left,
                None => break,
            }
        }
    }
    (there.get(), back.get())
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Cell<Tick>,
    count: &Cell<u64>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await?;
        moved.set(tick());
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..n]).await?;
        to.flush().await?;
        moved.set(tick());
        count.set(count.get() + n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_one_direction_leaves_the_other_open() {
        let (mut client, a) = tokio::io::duplex(64);
        let (b, mut server) = tokio::io::duplex(64);
        let tunnel = both(a, b, Duration::from_secs(5));
        let talk = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = String::new();
            server.read_to_string(&mut question).await.unwrap();
            server.write_all(b"answer").await.unwrap();
            drop(server);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            (question, answer)
        };
        let (copied, (question, answer)) = tokio::join!(tunnel, talk);
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
        assert_eq!(copied, (8, 6));
    }

    #[tokio::test]
    async fn a_tunnel_in_which_nothing_moves_ends() {
        let (_client, a) = tokio::io::duplex(64);
        let (b, _server) = tokio::io::duplex(64);
        assert_eq!(both(a, b, Duration::from_millis(20)).await, (0, 0));
    }
}
