//! Happy eyeballs (RFC 8305): addresses of both families in turn, a new attempt every 250 ms, the first success wins.

use super::descriptors::{self, Lack};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// RFC 8305 section 5: the recommended delay between attempts.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The least that the same section allows.
const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(10);

type Attempt = Result<(TcpStream, SocketAddr)>;

/// The first connection that is established (TCP_NODELAY set); the other attempts are cancelled. No time limit.
///
/// `first` is tried first, as the one that answered last. All are tried within half of `limit`, however many there are.
pub(super) async fn connect(addresses: Vec<SocketAddr>, first: Option<SocketAddr>, limit: Duration) -> Attempt {
    match addresses[..] {
        [only] => attempt(only).await,
        _ => {
            let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
            let delay = (limit / 2 / count).clamp(ATTEMPT_DELAY_MIN, ATTEMPT_DELAY);
            let mut order = interleave(addresses);
            if let Some(at) = order.iter().position(|address| Some(*address) == first) {
                order[..=at].rotate_right(1);
            }
            race(order, delay, attempt).await
        }
    }
}

async fn race<A>(addresses: Vec<SocketAddr>, delay: Duration, attempt: impl Fn(SocketAddr) -> A) -> Attempt
where
    A: Future<Output = Attempt> + Send + 'static,
{
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
            match tokio::time::timeout(delay, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            // The others would fail in the same way, and for what is nobody's fault.
            Some(Ok(Err(e))) if is_lacking_everywhere(&e) => return Err(e),
            Some(Ok(Err(e))) => failure = Some(worse(failure, e)),
            Some(Err(panic)) => failure = Some(Error::other(panic)),
            None => return Err(failure.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into())),
        }
    }
}

/// What is worth telling: that a server refused says more than that a family has no route; and of what we lack no server is to be
/// blamed.
fn worse(known: Option<Error>, new: Error) -> Error {
    match known {
        Some(known) if is_unroutable(&new) || descriptors::is_our_lack(&known) => known,
        _ => new,
    }
}

/// Ports are lacking to one address each (a connection is named by both its ends, RFC 9293 section 4).
fn is_lacking_everywhere(e: &Error) -> bool {
    descriptors::lack_of(e).is_some_and(|lack| lack != Lack::Ports)
}

fn is_unroutable(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable)
}

async fn attempt(address: SocketAddr) -> Attempt {
    let stream = TcpStream::connect(address).await.map_err(|e| told_apart(e, address))?;
    // A port of ours that nobody listens on can connect to itself; whoever dials it would talk to an echo.
    if address.ip().is_loopback() && stream.local_addr()? == address {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// Both are one error of the system's; from here on it is that no port is left, and no way to get there is another.
fn told_apart(error: Error, address: SocketAddr) -> Error {
    match error.kind() {
        ErrorKind::AddrNotAvailable if !descriptors::is_our_lack_to(&error, address) => Errno::NETUNREACH.into(),
        _ => error,
    }
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
    use crate::clock::tick;
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(5);

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

    #[tokio::test]
    async fn what_lacks_ports_to_one_address_asks_the_others_and_what_lacks_files_none() {
        let (server, there) = listener().await;
        for (lack, others, connects) in [
            (Errno::ADDRNOTAVAIL, Errno::CONNREFUSED, true),
            (Errno::ADDRNOTAVAIL, Errno::CONNREFUSED, false),
            (Errno::MFILE, Errno::CONNREFUSED, true),
        ] {
            let order = addresses(&["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"]);
            let attempt = move |address: SocketAddr| async move {
                match address.ip().to_string().as_str() {
                    "127.0.0.1" => Err(lack.into()),
                    "127.0.0.3" if connects => Ok((TcpStream::connect(there).await?, address)),
                    _ => Err(others.into()),
                }
            };
            let raced = race(order, LIMIT, attempt).await;
            let expected = (lack == Errno::ADDRNOTAVAIL && connects).then_some("127.0.0.3".to_owned());
            match raced {
                Ok((_, address)) => assert_eq!(Some(address.ip().to_string()), expected),
                Err(e) => assert_eq!((Errno::from_io_error(&e), None), (Some(lack), expected), "our lack is told"),
            }
        }
        drop(server);
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
        let (stream, address) = connect(vec![refusing().await, good], None, LIMIT).await.unwrap();
        assert_eq!(address, good);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_silent_address_does_not_hold_up_the_others() {
        let (_socket, _queued, silent) = silent().await;
        let (_listener, good) = listener().await;
        assert_eq!(connect(vec![silent, good], None, LIMIT).await.unwrap().1, good);
    }

    #[tokio::test]
    async fn however_many_are_silent_all_are_tried_in_time_and_who_answered_last_is_tried_first() {
        let (_socket, _queued, silent) = silent().await;
        let (_listener, good) = listener().await;
        let many = || [vec![silent; 40], vec![good]].concat();
        let begun = tick();
        assert_eq!(connect(many(), None, LIMIT / 4).await.unwrap().1, good);
        assert!(tick().since(begun) < LIMIT / 4, "{:?}", tick().since(begun));
        let begun = tick();
        assert_eq!(connect(many(), Some(good), LIMIT).await.unwrap().1, good);
        assert!(tick().since(begun) < ATTEMPT_DELAY, "{:?}", tick().since(begun));
    }

    #[tokio::test]
    async fn when_all_fail_the_most_telling_error_is_given() {
        let refusing = vec![refusing().await, refusing().await];
        assert_eq!(connect(refusing, None, LIMIT).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let known = Some(Error::from(ErrorKind::ConnectionRefused));
        assert_eq!(worse(known, ErrorKind::NetworkUnreachable.into()).kind(), ErrorKind::ConnectionRefused);
    }
}
