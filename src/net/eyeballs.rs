//! Happy eyeballs (RFC 8305): addresses of both families in turn, a new attempt every 250 ms, the first success wins.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// RFC 8305 section 5: the recommended delay between attempts.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

type Attempt = Result<(TcpStream, SocketAddr)>;

/// The first connection that is established (TCP_NODELAY set); the other attempts are cancelled. No time limit.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> Attempt {
    match addresses[..] {
        [only] => attempt(only).await,
        _ => race(interleave(addresses)).await,
    }
}

async fn race(addresses: Vec<SocketAddr>) -> Attempt {
    let mut waiting = VecDeque::from(addresses);
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(next) = waiting.pop_front() {
            attempts.spawn(attempt(next));
        }
        let ended = if waiting.is_empty() {
            attempts.join_next().await
        } else {
            // A failure starts the next attempt at once (section 5); so does the delay.
            match tokio::time::timeout(ATTEMPT_DELAY, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(e))) => failure = Some(worse(failure, e)),
            Some(Err(panic)) => failure = Some(Error::other(panic)),
            None => return Err(failure.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into())),
        }
    }
}

/// What is worth telling: that a server refused says more than that a family has no route.
fn worse(known: Option<Error>, new: Error) -> Error {
    let unroutable = |e: &Error| {
        matches!(e.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable)
    };
    match known {
        Some(known) if unroutable(&new) => known,
        _ => new,
    }
}

async fn attempt(address: SocketAddr) -> Attempt {
    let stream = TcpStream::connect(address).await?;
    // A port of ours that nobody listens on can connect to itself; whoever dials it would talk to an echo.
    if address.ip().is_loopback() && stream.local_addr()? == address {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// RFC 8305 section 4: families alternate, beginning with the one that the system prefers; order within each is kept.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return addresses };
    let (preferred, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut mixed = Vec::new();
    loop {
        match (preferred.next(), other.next()) {
            (None, None) => return mixed,
            (a, b) => mixed.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn refusing() -> SocketAddr {
        listener().await.1
    }

    /// An address that answers no attempt: its backlog is full.
    pub(in crate::net) async fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(s)) = tokio::time::timeout(ATTEMPT_DELAY, TcpStream::connect(address)).await {
            queued.push(s);
        }
        (socket, queued, address)
    }

    #[test]
    fn families_alternate_beginning_with_the_preferred_one() {
        let rows: [(&[&str], &[&str]); 4] = [
            (&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1"], &["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"]),
            (&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "3.3.3.3:1"]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (&[], &[]),
        ];
        for (given, expected) in rows {
            assert_eq!(interleave(addresses(given)), addresses(expected));
        }
    }

    #[tokio::test]
    async fn a_refusal_starts_the_next_attempt_at_once() {
        let (_listener, good) = listener().await;
        let (stream, address) = connect(vec![refusing().await, good]).await.unwrap();
        assert_eq!(address, good);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_silent_address_does_not_hold_up_the_others() {
        let (_socket, _queued, silent) = silent().await;
        let (_listener, good) = listener().await;
        assert_eq!(connect(vec![silent, good]).await.unwrap().1, good);
    }

    #[tokio::test]
    async fn when_all_fail_the_most_telling_error_is_given() {
        let refusing = vec![refusing().await, refusing().await];
        assert_eq!(connect(refusing).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let known = Some(Error::from(ErrorKind::ConnectionRefused));
        assert_eq!(worse(known, ErrorKind::NetworkUnreachable.into()).kind(), ErrorKind::ConnectionRefused);
    }
}
