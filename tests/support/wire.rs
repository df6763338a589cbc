//! One end of a connection of a test: plain, or with TLS on it.

use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// See the module.
pub enum Wire {
    Plain(TcpStream),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// The handshake of a server.
    pub fn accept(config: &Arc<ServerConfig>, mut socket: TcpStream) -> io::Result<Wire> {
        let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Wire::Server(Box::new(StreamOwned::new(tls, socket))))
    }

    /// The handshake of a client that wants `host`, and whose hello comes in pieces of so many bytes.
    pub fn connect(config: &Arc<ClientConfig>, host: &str, mut socket: TcpStream, piece: usize) -> io::Result<Wire> {
        let name = host.to_owned().try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut hello = Vec::new();
        tls.write_tls(&mut hello)?;
        for piece in hello.chunks(piece) {
            socket.write_all(piece)?;
        }
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Wire::Client(Box::new(StreamOwned::new(tls, socket))))
    }

    /// Whether its handshake went on with an earlier one.
    pub fn is_resumed(&self) -> bool {
        let kind = match self {
            Wire::Plain(_) => None,
            Wire::Server(tls) => tls.conn.handshake_kind(),
            Wire::Client(tls) => tls.conn.handshake_kind(),
        };
        kind == Some(HandshakeKind::Resumed)
    }

    /// What the other end has shown, as DER: the first.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        let shown = match self {
            Wire::Plain(_) => None,
            Wire::Server(tls) => tls.conn.peer_certificates(),
            Wire::Client(tls) => tls.conn.peer_certificates(),
        };
        shown.and_then(|shown| Some(shown.first()?.to_vec()))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Server(tls) => &tls.sock,
            Wire::Client(tls) => &tls.sock,
        }
    }

    /// Says in TLS that nothing more will be sent; nothing where it is plain.
    pub fn say_goodbye(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(_) => return Ok(()),
            Wire::Server(tls) => tls.conn.send_close_notify(),
            Wire::Client(tls) => tls.conn.send_close_notify(),
        }
        self.flush()
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buf),
            Wire::Server(tls) => tls.read(buf),
            Wire::Client(tls) => tls.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(buf),
            Wire::Server(tls) => tls.write(buf),
            Wire::Client(tls) => tls.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write_vectored(bufs),
            Wire::Server(tls) => tls.write_vectored(bufs),
            Wire::Client(tls) => tls.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Server(tls) => tls.flush(),
            Wire::Client(tls) => tls.flush(),
        }
    }
}
