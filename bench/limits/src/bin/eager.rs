//! Asks again as soon as an answer has come, on each connection. Heads are read and checked; bodies are counted in the
//! kernel and thrown away there (MSG_TRUNC), for a load that copies large bodies is the limit before the server is. Of TLS
//! they are not decrypted.

use limits::client::{Asker, number, watched};
use limits::head::Head;
use limits::latency::Latencies;
use limits::serve::given;
use limits::tls::{Opener, Sealer, config};
use mio::net::TcpStream;
use mio::{Events, Poll};
use rustls::ClientConfig;
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USAGE: &str =
    "eager --proxy HOST:PORT --origin HOST:PORT --kind c/k1 --urls N --connections N --seconds N [--tls direct|tunnel]
  --tls: to the host of --origin itself, which is at --proxy, or through a tunnel of that proxy
  prints: RESULT, then requests answered, microseconds taken, bytes, errors, and microseconds p50 and p99";

/// MSG_TRUNC: what is read of a TCP socket is taken out of its queue and not copied.
const DISCARD: i32 = 0x20;
/// A head and a small body come with one read.
const HEAD: usize = 4096;
/// As much of TLS is read at once.
const RECORDS: usize = 256 << 10;
/// As much of a body as is thrown away at once; the room for it is never written to.
const PIECE: usize = 1 << 20;
/// What has not been answered for so long at the end is an error.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let mut load = Load::new()?;
    let started = Instant::now();
    let length = Duration::from_secs_f64(number("--seconds", USAGE));
    for index in 0..load.connections.len() {
        load.ask(index)?;
    }
    let mut events = Events::with_capacity(1024);
    while started.elapsed() < length {
        load.poll.poll(&mut events, Some(length.saturating_sub(started.elapsed())))?;
        for event in &events {
            load.read(event.token().0)?;
        }
    }
    load.report(started.elapsed());
    Ok(())
}

struct Connection {
    stream: TcpStream,
    asked: Instant,
    wire: Wire,
}

enum Wire {
    Plain { head: Vec<u8>, body_left: usize },
    Sealed(Box<Sealed>),
}

struct Sealed {
    sealer: Sealer,
    opener: Opener,
    record: Vec<u8>,
}

struct Load {
    poll: Poll,
    asker: Asker,
    tls: Option<Arc<ClientConfig>>,
    connections: Vec<Connection>,
    latencies: Latencies,
    bytes: u64,
    errors: u64,
    buffer: Vec<u8>,
    nowhere: Vec<MaybeUninit<u8>>,
}

/// What a read gave.
enum Step {
    /// The answer is whole.
    Answered,
    /// There may be more to read.
    More,
    Drained,
}

impl Load {
    fn new() -> io::Result<Self> {
        let tls = given("--tls").map(|_| config(false)).transpose().map_err(io::Error::other)?;
        let mut load = Self {
            poll: Poll::new()?,
            asker: Asker::from_arguments("eager", USAGE, tls.is_some())?,
            buffer: vec![0; if tls.is_some() { RECORDS } else { HEAD }],
            tls: tls.map(Arc::new),
            connections: Vec::new(),
            latencies: Latencies::default(),
            bytes: 0,
            errors: 0,
            nowhere: vec![MaybeUninit::uninit(); PIECE],
        };
        for index in 0..number("--connections", USAGE) as usize {
            let connection = load.connect(index)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    fn connect(&self, index: usize) -> io::Result<Connection> {
        let way = self.asker.way();
        let (stream, wire) = match &self.tls {
            None => (way.connect()?, Wire::Plain { head: Vec::new(), body_left: 0 }),
            Some(config) => {
                let (stream, sealer, opener) = way.sealed(config.clone())?;
                (stream, Wire::Sealed(Box::new(Sealed { sealer, opener, record: Vec::new() })))
            }
        };
        let stream = watched(stream, self.poll.registry(), index)?;
        Ok(Connection { stream, asked: Instant::now(), wire })
    }

    fn ask(&mut self, index: usize) -> io::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            connection.asked = Instant::now();
            match connection.ask(self.asker.pick()) {
                Ok(()) => return Ok(()),
                Err(_) => self.renew(index)?,
            }
        }
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            match connection.step(&mut self.buffer, &mut self.nowhere, &mut self.bytes) {
                Ok(Step::More) => {}
                Ok(Step::Drained) => return Ok(()),
                // Nothing else is in the socket: one request is under way on each.
                Ok(Step::Answered) => {
                    self.latencies.add(connection.asked.elapsed());
                    return self.ask(index);
                }
                Err(_) => {
                    self.renew(index)?;
                    return self.ask(index);
                }
            }
        }
    }

    fn renew(&mut self, index: usize) -> io::Result<()> {
        self.errors += 1;
        self.connections[index] = self.connect(index)?;
        Ok(())
    }

    fn report(&self, elapsed: Duration) {
        let stalled = self.connections.iter().filter(|connection| connection.asked.elapsed() > PATIENCE).count();
        println!(
            "RESULT {} {} {} {} {} {}",
            self.latencies.count(),
            elapsed.as_micros(),
            self.bytes,
            self.errors + stalled as u64,
            self.latencies.quantile(0.5).as_micros(),
            self.latencies.quantile(0.99).as_micros(),
        );
    }
}

impl Connection {
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain { .. } => self.stream.write_all(request),
            Wire::Sealed(sealed) => {
                sealed.sealer.seal(request, &mut sealed.record)?;
                self.stream.write_all(&sealed.record)
            }
        }
    }

    fn step(&mut self, buffer: &mut [u8], nowhere: &mut [MaybeUninit<u8>], bytes: &mut u64) -> io::Result<Step> {
        let came = match &self.wire {
            Wire::Plain { body_left, .. } if *body_left > 0 => {
                let most = (*body_left).min(PIECE);
                SockRef::from(&self.stream).recv_with_flags(&mut nowhere[..most], DISCARD)
            }
            _ => self.stream.read(buffer),
        };
        let read = match came {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Drained),
            Err(error) => return Err(error),
        };
        *bytes += read as u64;
        let answered = match &mut self.wire {
            Wire::Plain { head, body_left: body_left @ 0 } => take(head, body_left, &buffer[..read])?,
            Wire::Plain { body_left, .. } => body(body_left, read)?,
            Wire::Sealed(sealed) => sealed.opener.take(&buffer[..read])?,
        };
        Ok(if answered { Step::Answered } else { Step::More })
    }
}

/// More of a head, and of the body behind it; whether the answer is whole.
fn take(head: &mut Vec<u8>, body_left: &mut usize, bytes: &[u8]) -> io::Result<bool> {
    head.extend_from_slice(bytes);
    match Head::of(head) {
        Head::Bad => Err(ErrorKind::InvalidData.into()),
        Head::Partial => Ok(false),
        Head::Good { end, length } => {
            let read = head.len() - end;
            head.clear();
            *body_left = length;
            body(body_left, read)
        }
    }
}

fn body(body_left: &mut usize, read: usize) -> io::Result<bool> {
    *body_left = body_left.checked_sub(read).ok_or(ErrorKind::InvalidData)?;
    Ok(*body_left == 0)
}
