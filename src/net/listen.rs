//! Binding. A port in use is one clear sentence, never hidden by SO_REUSEPORT.

use crate::config::Address;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A bound TCP or Unix listener.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection, either kind. Implements tokio's AsyncRead and AsyncWrite (with real vectored writes).
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `None` on a Unix socket.
    pub addr: Option<SocketAddr>,
    /// The peer runs on this machine: Unix socket, loopback, or its address is the one that it connected to.
    pub same_machine: bool,
}

impl Listener {
    /// Binds (`port 0` works). Must be called inside a runtime. Errors name the address and the cure.
    pub fn bind(address: &Address) -> std::io::Result<Listener> {
        let _ = address;
        todo!()
    }
    /// The bound address, with the real port.
    pub fn address(&self) -> Address {
        todo!()
    }
    /// The next connection (TCP_NODELAY set). Retries by itself with back-off on EMFILE and the like; cancel safe.
    pub async fn accept(&self) -> (Stream, Peer) {
        todo!()
    }
}
