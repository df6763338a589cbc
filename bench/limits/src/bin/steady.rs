//! Asks at a fixed rate, whether the last answers have come or not, and measures from when a request was due: a server
//! that stalls for a second delays all that was due in it, and each counts. It spins, for a sleep is too coarse.

use limits::answer::length;
use limits::client::watched;
use limits::latency::{Latencies, slot};
use limits::serve::argument;
use mio::net::TcpStream;
use mio::{Events, Poll};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const USAGE: &str =
    "steady --proxy HOST:PORT --origin HOST:PORT --kind c/k1 --urls N --connections N --rate N --seconds N [--new N --from N]
  prints: requests/s, errors, and what was due but never answered; then a line for each slot of 25 ms: its number, and
  nanoseconds:count of the latencies of what was answered in it
  --new N: one request in N is for a URL that nobody has asked for before, numbered --from on; how long those take is not
  counted";

/// How long answers are waited for when nothing is due any more.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    let mut load = Load::new()?;
    let started = Instant::now();
    let due_in_all = (load.rate * load.seconds) as u64;
    let end = started + Duration::from_secs_f64(load.seconds) + GRACE;
    let mut events = Events::with_capacity(1024);
    while load.answered() < due_in_all && Instant::now() < end {
        load.turn();
        load.ask(started, due_in_all)?;
        load.poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            load.read(event.token().0, event.is_read_closed())?;
        }
    }
    load.report(due_in_all, started.elapsed().min(Duration::from_secs_f64(load.seconds)));
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// When the request that it carries was due.
    due: Option<Instant>,
    /// It is for a URL that is new.
    new: bool,
    head: Vec<u8>,
    body_left: usize,
}

struct Load {
    poll: Poll,
    proxy: SocketAddr,
    /// Up to the number of the URL, what follows it, and the request under way.
    request: [String; 2],
    written: Vec<u8>,
    urls: u64,
    one_new_in: u64,
    next_new: u64,
    rate: f64,
    seconds: f64,
    connections: Vec<Connection>,
    free: Vec<usize>,
    asked: u64,
    random: u64,
    /// Of slots, and the one that it is now.
    latencies: Vec<(u64, Latencies)>,
    answered: u64,
    errors: u64,
    buffer: Vec<u8>,
}

fn number(name: &str) -> f64 {
    argument(name, USAGE).parse().unwrap_or_else(|_| panic!("{name} needs a number"))
}

impl Load {
    fn new() -> io::Result<Self> {
        let (origin, kind) = (argument("--origin", USAGE), argument("--kind", USAGE));
        let before = format!("GET http://{origin}/{kind}/");
        let after = format!(" HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: steady\r\n\r\n");
        let proxy = argument("--proxy", USAGE).parse().map_err(io::Error::other)?;
        let new = std::env::args().any(|word| word == "--new");
        let mut load = Self {
            poll: Poll::new()?,
            proxy,
            request: [before, after],
            written: Vec::new(),
            urls: number("--urls") as u64,
            one_new_in: if new { number("--new") as u64 } else { u64::MAX },
            next_new: if new { number("--from") as u64 } else { 0 },
            rate: number("--rate"),
            seconds: number("--seconds"),
            connections: Vec::new(),
            free: Vec::new(),
            asked: 0,
            random: 42,
            latencies: vec![(slot(), Latencies::default())],
            answered: 0,
            errors: 0,
            buffer: vec![0; 1 << 17],
        };
        for index in 0..number("--connections") as usize {
            let connection = load.connect(index)?;
            load.connections.push(connection);
            load.free.push(index);
        }
        Ok(load)
    }

    fn connect(&self, index: usize) -> io::Result<Connection> {
        let stream = std::net::TcpStream::connect(self.proxy)?;
        stream.set_nodelay(true)?;
        let stream = watched(stream, self.poll.registry(), index)?;
        Ok(Connection { stream, due: None, new: false, head: Vec::new(), body_left: 0 })
    }

    fn answered(&self) -> u64 {
        self.answered + self.errors
    }

    /// What is answered from now on may belong to another slot.
    fn turn(&mut self) {
        let now = slot();
        if self.latencies.last().is_none_or(|(slot, _)| *slot != now) {
            self.latencies.push((now, Latencies::default()));
        }
    }

    /// Sends what is due, as far as connections are free.
    fn ask(&mut self, started: Instant, due_in_all: u64) -> io::Result<()> {
        let due_by_now = (started.elapsed().as_secs_f64() * self.rate) as u64;
        while self.asked < due_by_now.min(due_in_all) {
            let Some(index) = self.free.pop() else { return Ok(()) };
            let due = started + Duration::from_secs_f64(self.asked as f64 / self.rate);
            self.asked += 1;
            let new = self.asked.is_multiple_of(self.one_new_in);
            let url = if new { self.next_new } else { self.pick() };
            self.next_new += u64::from(new);
            self.written.clear();
            write!(self.written, "{}{url}{}", self.request[0], self.request[1])?;
            let connection = &mut self.connections[index];
            (connection.due, connection.new) = (Some(due), new);
            if connection.stream.write_all(&self.written).is_err() {
                self.fail(index)?;
            }
        }
        Ok(())
    }

    fn pick(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % self.urls + 1
    }

    fn read(&mut self, index: usize, ends: bool) -> io::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => return self.fail(index),
                Ok(length) => match connection.take(&self.buffer[..length]) {
                    Some(Answer::Good(due)) => {
                        self.answered += 1;
                        if !connection.new
                            && let Some((_, latencies)) = self.latencies.last_mut()
                        {
                            latencies.add(due.elapsed());
                        }
                        self.free.push(index);
                        // The next answer makes a new event; the end of the stream may be in this one.
                        if !ends {
                            return Ok(());
                        }
                    }
                    Some(Answer::Bad) => return self.fail(index),
                    None => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return self.fail(index),
            }
        }
    }

    /// Only a request that was asked counts; either way there is a new connection in place of the broken one.
    fn fail(&mut self, index: usize) -> io::Result<()> {
        let busy = self.connections[index].due.is_some();
        self.connections[index] = self.connect(index)?;
        if busy {
            self.errors += 1;
            self.free.push(index);
        }
        Ok(())
    }

    fn report(&self, due: u64, elapsed: Duration) {
        let rate = self.answered as f64 / elapsed.as_secs_f64();
        let unanswered = due - self.answered().min(due);
        println!("{rate:.0} {} {unanswered}", self.errors);
        for (slot, latencies) in &self.latencies {
            let buckets: String = latencies.buckets().map(|(most, count)| format!(" {most}:{count}")).collect();
            println!("{slot}{buckets}");
        }
    }
}

enum Answer {
    Good(Instant),
    Bad,
}

impl Connection {
    /// Bytes of an answer; something when they end it.
    fn take(&mut self, bytes: &[u8]) -> Option<Answer> {
        if self.due.is_none() {
            return Some(Answer::Bad);
        }
        if self.body_left > 0 {
            return self.body(bytes.len());
        }
        self.head.extend_from_slice(bytes);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let Ok(parsed) = response.parse(&self.head) else { return Some(Answer::Bad) };
        let httparse::Status::Complete(end) = parsed else { return None };
        let Some(length) = length(&response) else { return Some(Answer::Bad) };
        let read = self.head.len() - end;
        self.head.clear();
        self.body_left = length;
        self.body(read)
    }

    fn body(&mut self, read: usize) -> Option<Answer> {
        if read > self.body_left {
            return Some(Answer::Bad);
        }
        self.body_left -= read;
        if self.body_left > 0 {
            return None;
        }
        self.due.take().map(Answer::Good)
    }
}
