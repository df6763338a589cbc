//! Asks a proxy for a part of the order in which a set of URLs is asked for, as fast as it answers: each of the connections
//! takes the next one when it is free. Or for each of the set once.

use limits::answer;
use limits::client;
use limits::latency::Latencies;
use limits::serve::{argument, given, on_one_thread};
use limits::web::{Order, Sizes};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const USAGE: &str =
    "replay --proxy HOST:PORT --origin HOST:PORT --objects N --skip N --requests N --connections N --seconds N
    [--sizes log-uniform] [--each yes]
  prints: requests that were answered as they should be, the bytes of their bodies, others, seconds, and microseconds p50 and
  p99
  ends after --seconds at the latest";

struct Replay {
    proxy: String,
    origin: String,
    order: RefCell<Box<dyn Iterator<Item = u64>>>,
    sizes: Sizes,
    end: Instant,
    latencies: RefCell<Latencies>,
    answered: Cell<u64>,
    bytes: Cell<u64>,
    errors: Cell<u64>,
}

fn number(name: &str) -> u64 {
    client::number(name, USAGE) as u64
}

fn main() -> io::Result<()> {
    let objects = number("--objects");
    let mut order: Box<dyn Iterator<Item = u64>> = match given("--each") {
        Some(_) => Box::new(1..=objects),
        None => Box::new(Order::new(objects)),
    };
    // Before the time counts.
    order.by_ref().take(number("--skip") as usize).for_each(drop);
    let order = order.take(number("--requests") as usize);
    let started = Instant::now();
    let replay = Rc::new(Replay {
        proxy: argument("--proxy", USAGE),
        origin: argument("--origin", USAGE),
        order: RefCell::new(Box::new(order)),
        sizes: Sizes::from_arguments(),
        latencies: RefCell::default(),
        end: started + Duration::from_secs(number("--seconds")),
        answered: Cell::new(0),
        bytes: Cell::new(0),
        errors: Cell::new(0),
    });
    let all = replay.clone();
    on_one_thread(async move {
        let tasks: Vec<_> =
            (0..number("--connections")).map(|_| tokio::task::spawn_local(all.clone().connection())).collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    })?;
    let (answered, bytes, errors) = (replay.answered.get(), replay.bytes.get(), replay.errors.get());
    let latencies = replay.latencies.borrow();
    let [p50, p99] = [0.5, 0.99].map(|part| latencies.quantile(part).as_micros());
    println!("{answered} {bytes} {errors} {:.3} {p50} {p99}", started.elapsed().as_secs_f64());
    Ok(())
}

impl Replay {
    fn next(&self) -> Option<u64> {
        if Instant::now() < self.end { self.order.borrow_mut().next() } else { None }
    }

    /// Asks until there is nothing left to ask for; a broken connection is replaced.
    async fn connection(self: Rc<Self>) {
        let (mut stream, mut buffer) = (None, vec![0; 1 << 18]);
        while let Some(number) = self.next() {
            let asked = Instant::now();
            match self.ask(&mut stream, &mut buffer, number).await {
                Ok(size) => {
                    self.latencies.borrow_mut().add(asked.elapsed());
                    self.answered.set(self.answered.get() + 1);
                    self.bytes.set(self.bytes.get() + size as u64);
                }
                Err(error) => {
                    // The first few say what is wrong.
                    if self.errors.get() < 5 {
                        eprintln!("/z/{number}: {error}");
                    }
                    self.errors.set(self.errors.get() + 1);
                    stream = None;
                }
            }
        }
    }

    async fn ask(&self, stream: &mut Option<TcpStream>, buffer: &mut [u8], number: u64) -> io::Result<usize> {
        if stream.is_none() {
            let fresh = TcpStream::connect(&self.proxy).await?;
            fresh.set_nodelay(true)?;
            *stream = Some(fresh);
        }
        let Some(stream) = stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let origin = &self.origin;
        let request =
            format!("GET http://{origin}/z/{number} HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: replay\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let size = body(stream, buffer).await?;
        if size == self.sizes.size(number) { Ok(size) } else { Err(io::Error::other("of another size")) }
    }
}

/// Reads an answer to its end; the size of the body.
async fn body(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    let (head, size) = loop {
        filled += more(stream, &mut buffer[filled..]).await?;
        if let Some(found) = head(&buffer[..filled])? {
            break found;
        }
    };
    let mut read = filled - head;
    while read < size {
        read += more(stream, buffer).await?;
    }
    if read == size { Ok(size) } else { Err(io::Error::other("more than a body")) }
}

async fn more(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}

/// The lengths of the head of a 200 and of its body, once the head is whole.
fn head(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let size =
        answer::length(&response).ok_or_else(|| io::Error::other(format!("{:?} or no length", response.code)))?;
    Ok(Some((head, size)))
}
