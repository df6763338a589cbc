//! Connections whose other end may be gone without a word: its machine has lost power, or its network. Its kernel is asked
//! while nothing moves; a process that is slow, or stopped, does not matter.

use rustix::net::sockopt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// As long as nothing has moved.
const AFTER: Duration = Duration::from_secs(15);
/// Between two questions.
const EVERY: Duration = Duration::from_secs(5);
/// So many without an answer end it.
const QUESTIONS: u32 = 3;

/// The connection breaks within half a minute after its other end has gone. A listener passes it on to what it accepts.
pub(super) fn watch_peer(socket: &impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(socket, AFTER)?;
    sockopt::set_tcp_keepintvl(socket, EVERY)?;
    sockopt::set_tcp_keepcnt(socket, QUESTIONS)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_a_listener_accepts_is_watched_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        watch_peer(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), AFTER);
        assert_eq!(sockopt::tcp_keepcnt(&accepted).unwrap(), QUESTIONS);
    }
}
