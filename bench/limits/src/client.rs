//! What the programs that make the load share: what they ask, where, and what counts as an answer to it.

use crate::answer::length;
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

/// What an answer is so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    Partial,
    /// Where the head ends, and how long the body is.
    Good {
        end: usize,
        length: usize,
    },
    /// Not a 200 with a length: not what was asked for.
    Bad,
}

impl Head {
    pub fn of(bytes: &[u8]) -> Head {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(bytes) {
            Ok(httparse::Status::Partial) => Head::Partial,
            Ok(httparse::Status::Complete(end)) => {
                length(&response).map_or(Head::Bad, |length| Head::Good { end, length })
            }
            Err(_) => Head::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_with_a_length_is_an_answer() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Head::Good { end: 38, length: 3 }),
            ("HTTP/1.1 200 OK\r\nContent-Le", Head::Partial),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", Head::Bad),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Head::Bad),
            ("nonsense\r\n\r\n", Head::Bad),
        ] {
            assert_eq!(Head::of(text.as_bytes()), expected, "{text:?}");
        }
    }
}
