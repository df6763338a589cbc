//! A client on a raw socket: what it sends is what was written, and what it got is what came.

use super::PATIENCE;
use super::framing::{Framing, Trailers};
use super::head::{self, Head, cut};
use super::wire::Wire;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A connection to the proxy (or to anything else).
pub struct Connection {
    reader: BufReader<Wire>,
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Trailers,
    pub framing: Framing,
    /// Statuses of the interim answers before it.
    pub interim: Vec<u16>,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Connection {
        Connection::try_to(address).expect("the proxy accepts connections")
    }

    pub fn try_to(address: SocketAddr) -> io::Result<Connection> {
        super::many_files();
        Connection::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// By another address of this machine, which makes it another client's.
    pub fn from(ip: IpAddr, address: SocketAddr) -> Connection {
        super::many_files();
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
        let socket = socket.expect("a socket can be made");
        socket.bind(&SocketAddr::new(ip, 0).into()).expect("the address is one of this machine");
        socket.connect_timeout(&address.into(), PATIENCE).expect("the proxy accepts connections");
        Connection::over(socket.into()).expect("a socket has time limits")
    }

    fn over(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(2 * PATIENCE))?;
        stream.set_write_timeout(Some(2 * PATIENCE))?;
        Ok(Connection { reader: BufReader::with_capacity(16 * 1024, Wire::Plain(stream)) })
    }

    /// From now on a read that takes longer fails.
    pub fn patience(&mut self, limit: Duration) {
        self.stream().set_read_timeout(Some(limit)).expect("a time limit can be set");
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref().socket()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a request in absolute form. `fields` are lines that end with CRLF; `Host` is added.
    pub fn request(&mut self, method: &str, url: &str, fields: &str, body: &[u8]) -> io::Result<()> {
        let mut message = format!("{method} {url} HTTP/1.1\r\nHost: {}\r\n{fields}", host_of(url));
        if !body.is_empty() {
            message += &format!("Content-Length: {}\r\n", body.len());
        }
        message += "\r\n";
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.send(message)
    }

    /// Sends a request in origin form, as servers are asked; all fields but the length are given.
    pub fn origin_form(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> io::Result<()> {
        let mut message = format!("{method} {path} HTTP/1.1\r\n{fields}").into_bytes();
        if !body.is_empty() {
            message.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body);
        self.send(message)
    }

    /// The same connection with TLS on it, which is to be with `host`.
    pub fn secure(self, config: &Arc<ClientConfig>, host: &str) -> io::Result<Connection> {
        self.secure_in_pieces(config, host, usize::MAX)
    }

    /// The same with a hello in pieces of so many bytes.
    pub fn secure_in_pieces(self, config: &Arc<ClientConfig>, host: &str, piece: usize) -> io::Result<Connection> {
        let socket = self.stream().try_clone()?;
        Ok(Connection { reader: BufReader::with_capacity(16 * 1024, Wire::connect(config, host, socket, piece)?) })
    }

    /// What is under it, where it is a client's TLS and nothing was read ahead.
    pub fn into_tls(self) -> (ClientConnection, TcpStream) {
        match self.reader.into_inner() {
            Wire::Client(tls) => {
                let tls = *tls;
                (tls.conn, tls.sock)
            }
            Wire::Plain(_) | Wire::Server(_) => panic!("it is no client's TLS"),
        }
    }

    pub fn wire(&self) -> &Wire {
        self.reader.get_ref()
    }

    /// The next head; an error when the connection ended instead.
    pub fn head(&mut self) -> io::Result<Head> {
        Head::read(&mut self.reader)?.ok_or_else(cut)
    }

    /// The next final head, and the statuses of interim ones (101 is final here).
    pub fn final_head(&mut self) -> io::Result<(Head, Vec<u16>)> {
        let mut interim = Vec::new();
        loop {
            let head = self.head()?;
            match status_of(&head) {
                100 | 102..=199 => interim.push(status_of(&head)),
                _ => return Ok((head, interim)),
            }
        }
    }

    /// The answer to a request of this method. A body that ends too early is an error.
    pub fn response(&mut self, method: &str) -> io::Result<Response> {
        let (head, interim) = self.final_head()?;
        let mut body = Vec::new();
        let (framing, trailers) = self.body(method, &head, |piece| body.extend_from_slice(piece))?;
        Ok(Response { status: status_of(&head), head, body, trailers, framing, interim })
    }

    /// The body that belongs to a head.
    pub fn body(&mut self, method: &str, head: &Head, sink: impl FnMut(&[u8])) -> io::Result<(Framing, Trailers)> {
        let framing = Framing::of_response(method, status_of(head), head);
        Ok((framing, framing.read(&mut self.reader, sink)?))
    }

    /// Sends a request and waits for its answer.
    pub fn try_ask(&mut self, method: &str, url: &str, fields: &str, body: &[u8]) -> io::Result<Response> {
        self.request(method, url, fields, body)?;
        self.response(method)
    }

    /// The same where failing is failing the test.
    pub fn ask(&mut self, method: &str, url: &str, fields: &str, body: &[u8]) -> Response {
        self.try_ask(method, url, fields, body).unwrap_or_else(|e| panic!("{method} {url}: {e}"))
    }

    pub fn get(&mut self, url: &str) -> Response {
        self.ask("GET", url, "", b"")
    }

    /// The next bytes, at most as many as the buffer holds; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }

    pub fn read_exact(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Waits for the other end to close; whatever still comes is dropped. False when it stays open for too long.
    pub fn closes_within(&mut self, limit: Duration) -> bool {
        self.patience(limit);
        match self.read_to_end() {
            Ok(_) => true,
            Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&self) {
        self.stream().shutdown(Shutdown::Write).expect("half of a connection can be closed");
    }
}

impl Response {
    pub fn get(&self, name: &str) -> Option<String> {
        self.head.get(name)
    }

    pub fn text(&self) -> String {
        head::latin1(&self.body)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }

    /// The last member of `Cache-Status`, which is ours; empty when there is none.
    pub fn cache_status(&self) -> String {
        self.head.members("cache-status").pop().unwrap_or_default()
    }

    /// The node that answered, by `Cache-Status`.
    pub fn node(&self) -> String {
        node_of(&self.head)
    }

    pub fn is_hit(&self) -> bool {
        self.cache_status().split(';').any(|part| part.trim() == "hit")
    }

    /// Whether `Proxy-Status` gives this error.
    pub fn has_error(&self, token: &str) -> bool {
        let wanted = format!("error={token}");
        self.head.members("proxy-status").iter().any(|m| m.split(';').any(|part| part.trim() == wanted))
    }
}

pub fn status_of(head: &Head) -> u16 {
    head.word(1).parse().unwrap_or_else(|_| panic!("no status line: {}", head.line))
}

/// The node that answered, by `Cache-Status`.
pub fn node_of(head: &Head) -> String {
    let ours = head.members("cache-status").pop().unwrap_or_default();
    ours.split(';').next().unwrap_or("").trim().trim_matches('"').to_owned()
}

/// The authority of a URL.
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or("")
}
