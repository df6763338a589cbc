//! Binding. A port in use is one clear sentence, never hidden by SO_REUSEPORT.

use super::alive::watch_peer;
use super::descriptors;
pub use super::stream::{Detached, Stream};
use crate::config::Address;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

/// Connections that wait to be accepted; the kernel takes `net.core.somaxconn` (4096) where that is less.
const BACKLOG: i32 = 4096;
/// Unsent bytes that the kernel keeps for a connection: little enough that a slow reader is seen to make progress
/// long before `client_silence`, and enough for a quick one.
const UNSENT: u32 = 128 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A bound TCP or Unix listener.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
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
    pub fn bind(address: &Address) -> Result<Listener> {
        Listener::bind_for(address, "--listen")
    }
    /// The same; `option` is what the cure tells the user to change.
    pub fn bind_for(address: &Address, option: &str) -> Result<Listener> {
        match address {
            Address::Tcp(text) => bind_tcp(text),
            Address::Unix(path) => bind_unix(path),
        }
        .map_err(|e| Error::new(e.kind(), cure(address, &e, option)))
    }
    /// The same for an IPv6 address that is to take no IPv4 connections.
    pub fn bind_v6_for(address: SocketAddr, option: &str) -> Result<Listener> {
        let named = Address::Tcp(address.to_string());
        bind_tcp_at(address, true).map_err(|e| Error::new(e.kind(), cure(&named, &e, option)))
    }
    /// The bound address, with the real port.
    pub fn address(&self) -> Address {
        match self {
            Listener::Tcp(l) => Address::Tcp(l.local_addr().map(|a| a.to_string()).unwrap_or_default()),
            Listener::Unix(l) => {
                let bound = l.local_addr().ok();
                Address::Unix(bound.and_then(|a| a.as_pathname().map(Path::to_owned)).unwrap_or_default())
            }
        }
    }
    /// What is accepted from now on breaks soon after its other end has gone without a word.
    pub fn watch_peers(&self) -> Result<()> {
        match self {
            Listener::Tcp(listener) => watch_peer(listener),
            // Of a process on this machine the kernel knows.
            Listener::Unix(_) => Ok(()),
        }
    }
    #[cfg(test)]
    pub async fn accept(&self) -> (Stream, Peer) {
        self.accept_with(async || false).await
    }
    /// The next connection (TCP_NODELAY set). Retries by itself with back-off on EMFILE and the like; cancel safe. `relieve`
    /// makes room where we have no file left for a connection, if it can.
    pub async fn accept_with(&self, relieve: impl AsyncFn() -> bool) -> (Stream, Peer) {
        let mut pause = ACCEPT_PAUSE;
        loop {
            match self.accept_once().await {
                Ok(accepted) => return accepted,
                Err(e) if descriptors::is_our_lack(&e) && relieve().await => {
                    tokio::time::sleep(descriptors::PAUSE).await;
                }
                // The client was gone before we came: the next one is no worse for it.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                // Out of descriptors or memory: the connection stays in the queue, so asking again at once would spin.
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept a connection, trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }

    async fn accept_once(&self) -> Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(l) => {
                let (stream, addr) = l.accept().await?;
                // Only a peer that is not on loopback costs the question what it connected to.
                let same_machine = is_loopback(addr.ip())
                    || stream.local_addr().is_ok_and(|local| local.ip().to_canonical() == addr.ip().to_canonical());
                Ok((Stream::Tcp(stream), Peer { addr: Some(addr), same_machine }))
            }
            Listener::Unix(l) => {
                let (stream, _) = l.accept().await?;
                Ok((Stream::Unix(stream), Peer { addr: None, same_machine: true }))
            }
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn bind_tcp(text: &str) -> Result<Listener> {
    let mut last = Error::new(ErrorKind::NotFound, "the name has no address");
    for address in text.to_socket_addrs()? {
        match bind_tcp_at(address, false) {
            Ok(listener) => return Ok(listener),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn bind_tcp_at(address: SocketAddr, only_v6: bool) -> Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    // Accepted connections inherit these.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    if is_loopback(address.ip()) {
        // Nothing is lost or late there, and what paces itself (BBR) waits for nothing. Every Linux has this one.
        let _ = socket.set_tcp_congestion(b"reno");
    }
    socket.listen(BACKLOG)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
}

fn bind_unix(path: &Path) -> Result<Listener> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    if let Err(e) = socket.bind(&address) {
        if e.kind() != ErrorKind::AddrInUse || answers(path, &address)? {
            return Err(e);
        }
        std::fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    // Nobody can connect before `listen`, so there is no moment with wider permissions.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Unix(UnixListener::from_std(socket.into())?))
}

/// Whether somebody listens at `path`, or something is there that is not ours to remove.
fn answers(path: &Path, address: &SockAddr) -> Result<bool> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(true);
    }
    // Non-blocking: a full backlog is an answer too.
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    Ok(!matches!(probe.connect(address), Err(e) if e.kind() == ErrorKind::ConnectionRefused))
}

fn cure(address: &Address, error: &Error, option: &str) -> String {
    match (error.kind(), address) {
        (ErrorKind::AddrInUse, _) => {
            format!("{address} is in use: stop the program that listens there or choose another with {option}")
        }
        (ErrorKind::AddrNotAvailable, _) => {
            format!("{address} is not an address of this machine: choose one that is with {option}")
        }
        (ErrorKind::PermissionDenied, Address::Tcp(_)) => {
            format!("{address} may not be bound by this user: choose a port above 1023 with {option}")
        }
        (ErrorKind::PermissionDenied, Address::Unix(_)) => {
            format!("{address} may not be created by this user: choose another directory with {option}")
        }
        (ErrorKind::NotFound, Address::Unix(_)) => {
            format!("{address} cannot be created: make its directory or choose another with {option}")
        }
        _ => format!("{address} cannot be bound ({error}): choose another with {option}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    fn any_port() -> Address {
        Address::Tcp("127.0.0.1:0".into())
    }

    #[tokio::test]
    async fn the_bound_address_has_the_real_port_and_accepts() {
        let listener = Listener::bind(&any_port()).unwrap();
        let Address::Tcp(address) = listener.address() else { panic!("not TCP") };
        let mut client = TcpStream::connect(&address).await.unwrap();
        let (mut stream, peer) = listener.accept().await;
        assert!(peer.same_machine);
        assert_eq!(peer.addr, Some(client.local_addr().unwrap()));
        let Stream::Tcp(tcp) = &stream else { panic!("not TCP") };
        assert!(tcp.nodelay().unwrap(), "inherited from the listener");
        let socket = socket2::SockRef::from(tcp);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
        assert!(socket.tcp_congestion().unwrap().starts_with(b"reno"), "on loopback");
        client.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }

    #[tokio::test]
    async fn a_port_in_use_is_one_sentence_with_the_cure() {
        let first = Listener::bind(&any_port()).unwrap();
        let error = Listener::bind(&first.address()).unwrap_err();
        let expected = format!(
            "{} is in use: stop the program that listens there or choose another with --listen",
            first.address()
        );
        assert_eq!(error.to_string(), expected);
        let error = Listener::bind_for(&first.address(), "--admin").unwrap_err();
        assert!(error.to_string().ends_with("choose another with --admin"));
    }

    #[tokio::test]
    async fn every_address_of_both_families_can_be_listened_on() {
        let four = Listener::bind(&Address::Tcp("0.0.0.0:0".into())).unwrap();
        let port = four.address().port().unwrap();
        match Listener::bind_v6_for(format!("[::]:{port}").parse().unwrap(), "--listen") {
            Ok(six) => assert_eq!(six.address().port(), Some(port)),
            Err(e) => assert!(!e.to_string().contains("in use"), "no IPv6 here: {e}"),
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_said_to_be_one() {
        let error = Listener::bind(&Address::Tcp("192.0.2.1:0".into())).unwrap_err();
        assert!(error.to_string().starts_with("192.0.2.1:0 is not an address of this machine"), "{error}");
    }

    #[tokio::test]
    async fn a_unix_socket_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n1.sock");
        let listener = Listener::bind(&Address::Unix(path.clone())).unwrap();
        assert_eq!(listener.address(), Address::Unix(path.clone()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let _client = UnixStream::connect(&path).await.unwrap();
        let (_, peer) = listener.accept().await;
        assert_eq!(peer, Peer { addr: None, same_machine: true });
    }

    #[tokio::test]
    async fn a_unix_socket_that_is_told_to_holds_more_for_the_other_end() {
        let held = |told: Option<usize>| {
            let (near, _far) = UnixStream::pair().unwrap();
            let stream = Stream::Unix(near);
            told.iter().for_each(|bytes| stream.hold_more(*bytes));
            let Stream::Unix(near) = &stream else { panic!("not a Unix socket") };
            std::iter::from_fn(|| near.try_write(&[0; 16 * 1024]).ok()).sum::<usize>()
        };
        let (before, after) = (held(None), held(Some(256 * 1024)));
        assert!(after >= 256 * 1024 && after > before, "{before} and {after} bytes");
    }

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::Unix(dir.path().join("n1.sock"));
        drop(Listener::bind(&address).unwrap());
        let second = Listener::bind(&address).expect("nobody answers on the file of the first");
        let error = Listener::bind(&address).unwrap_err();
        assert!(error.to_string().contains("is in use"), "{error}");
        drop(second);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        Listener::bind(&Address::Unix(path.clone())).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }

    #[tokio::test]
    async fn a_missing_directory_is_named() {
        let error = Listener::bind(&Address::Unix("/nonexistent/n1.sock".into())).unwrap_err();
        assert!(error.to_string().contains("make its directory"), "{error}");
    }

    #[test]
    fn a_mapped_loopback_address_is_loopback() {
        for (ip, expected) in [("127.0.0.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("192.0.2.1", false)] {
            assert_eq!(is_loopback(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
