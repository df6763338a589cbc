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
