//! What the programs that make the load share: what they ask, and where.

use crate::serve::argument;
use crate::tls::Way;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io;

/// Absolute-form requests, as a client with `http_proxy` set sends them; inside TLS those that the host itself gets.
pub struct Asker {
    way: Way,
    requests: Vec<String>,
    random: u64,
}

impl Asker {
    /// From `--proxy`, `--origin`, `--kind` and `--urls`; `inside_tls`: what is asked for inside.
    pub fn from_arguments(program: &str, usage: &str, inside_tls: bool) -> io::Result<Self> {
        let (way, kind) = (Way::from_arguments(usage)?, argument("--kind", usage));
        let host = &way.host;
        let root = if inside_tls { String::new() } else { format!("http://{host}") };
        let request =
            |url| format!("GET {root}/{kind}/{url} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {program}\r\n\r\n");
        let requests = (1..=number("--urls", usage) as usize).map(request).collect();
        Ok(Self { way, requests, random: 42 })
    }

    pub fn way(&self) -> &Way {
        &self.way
    }

    /// A request for any of the URLs.
    pub fn pick(&mut self) -> &[u8] {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.requests[(self.random % self.requests.len() as u64) as usize].as_bytes()
    }
}

/// Nothing that is done to the stream blocks from now on; readable, it is told of by that number.
pub fn watched(stream: std::net::TcpStream, registry: &Registry, index: usize) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(&mut stream, Token(index), Interest::READABLE)?;
    Ok(stream)
}

pub fn number(name: &str, usage: &str) -> f64 {
    argument(name, usage).parse().unwrap_or_else(|_| panic!("{name} needs a number"))
}
