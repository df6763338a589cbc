//! New connections to a TLS server, as fast as it makes them: a handshake, one request, and the next connection once that is
//! answered. Nothing lingers: a connection that was answered is reset, or ports would run out.

use limits::client::{number, watched};
use limits::head::Head;
use limits::latency::Latencies;
use limits::serve::{argument, given};
use limits::tls::{Way, config, opened};
use mio::net::TcpStream;
use mio::{Events, Poll};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

const USAGE: &str =
    "handshakes --proxy HOST:PORT --origin HOST:PORT --path /c/k1/1 --connections N --seconds N [--tls tunnel]
    [--resume yes] [--new N]
  --tls tunnel: through a tunnel of the proxy, else to the host itself, which is at --proxy
  --resume yes: each of the connections goes on with the session of the one before it
  --new N: each to a host of its own below that of --origin, numbered N on, from which nothing is wanted: only-if-cached, 504
  prints: RESULT, then handshakes whose request was answered, microseconds taken, how many went on with a session, errors, and
  microseconds p50 and p99 from the first byte to the last";

fn main() -> io::Result<()> {
    let mut load = Load::new()?;
    let started = Instant::now();
    let length = Duration::from_secs_f64(number("--seconds", USAGE));
    let mut events = Events::with_capacity(1024);
    while started.elapsed() < length {
        load.poll.poll(&mut events, Some(length.saturating_sub(started.elapsed())))?;
        for event in &events {
            load.go_on(event.token().0)?;
        }
    }
    println!(
        "RESULT {} {} {} {} {} {}",
        load.latencies.count(),
        started.elapsed().as_micros(),
        load.resumed,
        load.errors,
        load.latencies.quantile(0.5).as_micros(),
        load.latencies.quantile(0.99).as_micros(),
    );
    Ok(())
}

struct Load {
    poll: Poll,
    way: Way,
    path: String,
    /// The number of the next host, where each is new.
    new: Option<u64>,
    /// Of each connection, so that none takes the sessions of others.
    configs: Vec<Arc<ClientConfig>>,
    visits: Vec<Visit>,
    latencies: Latencies,
    resumed: u64,
    errors: u64,
}

/// One connection.
struct Visit {
    stream: TcpStream,
    way: Way,
    began: Instant,
    tls: Option<ClientConnection>,
    /// What was said in clear, and then inside.
    said: Vec<u8>,
    /// The server has nothing to add.
    ended: bool,
}

impl Load {
    fn new() -> io::Result<Load> {
        let resumes = given("--resume").is_some();
        let connections = 0..number("--connections", USAGE) as usize;
        let configs: Result<Vec<_>, _> = connections.clone().map(|_| config(resumes).map(Arc::new)).collect();
        let mut load = Load {
            poll: Poll::new()?,
            way: Way::from_arguments(USAGE)?,
            path: argument("--path", USAGE),
            new: given("--new").map(|_| number("--new", USAGE) as u64),
            configs: configs.map_err(io::Error::other)?,
            visits: Vec::new(),
            latencies: Latencies::default(),
            resumed: 0,
            errors: 0,
        };
        for index in connections {
            let visit = load.visit(index)?;
            load.visits.push(visit);
        }
        Ok(load)
    }

    /// A new connection in that place.
    fn visit(&mut self, index: usize) -> io::Result<Visit> {
        let mut way = self.way.clone();
        if let Some(number) = &mut self.new {
            way.host = format!("n{number}.{}", way.host);
            *number += 1;
        }
        let began = Instant::now();
        let stream = watched(way.connect()?, self.poll.registry(), index)?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let mut visit = Visit { stream, way, began, tls: None, said: Vec::new(), ended: false };
        if visit.way.tunnel {
            visit.stream.write_all(visit.way.tunnel_request().as_bytes())?;
        } else {
            visit.tls = Some(self.asks(&visit.way, index)?);
            visit.flush()?;
        }
        Ok(visit)
    }

    /// Will say hello, and the request as soon as the handshake is done.
    fn asks(&self, way: &Way, index: usize) -> io::Result<ClientConnection> {
        let mut tls = ClientConnection::new(self.configs[index].clone(), way.name()?).map_err(io::Error::other)?;
        let (path, host) = (&self.path, &way.host);
        let condition = if self.new.is_some() { "Cache-Control: only-if-cached\r\n" } else { "" };
        write!(tls.writer(), "GET {path} HTTP/1.1\r\nHost: {host}\r\n{condition}User-Agent: handshakes\r\n\r\n")?;
        Ok(tls)
    }

    fn go_on(&mut self, index: usize) -> io::Result<()> {
        let is_answered = match self.visits[index].read() {
            Ok(None) => false,
            Ok(Some(Said::Tunnel)) => {
                let asks = self.asks(&self.visits[index].way, index)?;
                self.visits[index].tls = Some(asks);
                match self.visits[index].flush() {
                    Ok(()) => false,
                    Err(e) => return self.renew(index, Some(e)),
                }
            }
            Ok(Some(Said::Head)) => match self.visits[index].is_answered(self.new.is_some()) {
                Ok(false) if self.visits[index].ended => {
                    return self.renew(index, Some(ErrorKind::UnexpectedEof.into()));
                }
                Ok(is_answered) => is_answered,
                Err(e) => return self.renew(index, Some(e)),
            },
            Err(e) => return self.renew(index, Some(e)),
        };
        if is_answered {
            let visit = &self.visits[index];
            let kind = visit.tls.as_ref().and_then(|tls| tls.handshake_kind());
            self.resumed += u64::from(kind == Some(HandshakeKind::Resumed));
            self.latencies.add(visit.began.elapsed());
            self.renew(index, None)?;
        }
        Ok(())
    }

    fn renew(&mut self, index: usize, error: Option<io::Error>) -> io::Result<()> {
        if let Some(error) = error {
            // The first few say what is wrong.
            if self.errors < 5 {
                eprintln!("{}: {error}", self.visits[index].way.host);
            }
            self.errors += 1;
        }
        self.visits[index] = self.visit(index)?;
        Ok(())
    }
}

/// What has more to it now.
enum Said {
    Tunnel,
    Head,
}

impl Visit {
    fn flush(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// All that has come; `None`: nothing to act on.
    fn read(&mut self) -> io::Result<Option<Said>> {
        let Some(tls) = &mut self.tls else { return self.read_tunnel() };
        loop {
            match tls.read_tls(&mut self.stream) {
                // A server may close behind its answer.
                Ok(0) if self.ended || self.said.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(_) => tls.process_new_packets().map_err(io::Error::other)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            };
            let mut text = [0; 4096];
            while let Ok(length @ 1..) = tls.reader().read(&mut text) {
                self.said.extend_from_slice(&text[..length]);
            }
        }
        self.flush()?;
        Ok((!self.said.is_empty()).then_some(Said::Head))
    }

    /// A proxy says nothing behind its agreement before it has heard a hello.
    fn read_tunnel(&mut self) -> io::Result<Option<Said>> {
        let mut text = [0; 4096];
        let length = match self.stream.read(&mut text) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        };
        self.said.extend_from_slice(&text[..length]);
        if !self.said.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        opened(&self.said)?;
        self.said.clear();
        Ok(Some(Said::Tunnel))
    }

    /// Of a new host 504 is the answer.
    fn is_answered(&self, is_new: bool) -> io::Result<bool> {
        if is_new {
            return match self.said.get(8..12) {
                Some(b" 504") | None => Ok(self.said.windows(4).any(|end| end == b"\r\n\r\n")),
                Some(_) => Err(ErrorKind::InvalidData.into()),
            };
        }
        match Head::of(&self.said) {
            Head::Partial => Ok(false),
            Head::Good { end, length } => Ok(self.said.len() >= end + length),
            Head::Bad => Err(ErrorKind::InvalidData.into()),
        }
    }
}
