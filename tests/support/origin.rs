//! An HTTP/1.1 origin on a port of its own that does what its routes say and remembers what it was asked.

use super::exchange::Exchange;
use super::head::Head;
use super::wire::Wire;
use super::{PATIENCE, until_true};
use rustls::ServerConfig;
use std::io::{self, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

type Handler = Arc<dyn Fn(&mut Exchange) -> io::Result<()> + Send + Sync>;

/// The origin. A panic in one of its handlers fails the test when it is dropped.
pub struct Origin {
    pub address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    routes: Mutex<Vec<(String, Handler)>>,
    heads: Mutex<Vec<Head>>,
    panics: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Handshakes that went on with an earlier one, and those that came to nothing.
    resumed: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Origin {
    pub fn start() -> Origin {
        Origin::at(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// On another address of this machine.
    pub fn at(ip: IpAddr) -> Origin {
        Origin::launch(ip, None)
    }

    /// With TLS.
    pub fn secure(config: ServerConfig) -> Origin {
        Origin::secure_at(IpAddr::V4(Ipv4Addr::LOCALHOST), config)
    }

    pub fn secure_at(ip: IpAddr, config: ServerConfig) -> Origin {
        Origin::launch(ip, Some(Arc::new(config)))
    }

    fn launch(ip: IpAddr, tls: Option<Arc<ServerConfig>>) -> Origin {
        super::many_files();
        let listener = listen(ip).expect("the origin listens");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let for_accept = shared.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        thread::spawn(move || accept(listener, tls, for_accept));
        Origin { address, scheme, shared }
    }

    /// Answers requests for this path (`*` at its end: all that begin so) by this handler. A later route wins.
    pub fn on(&self, path: &str, handler: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static) {
        self.shared.routes.lock().unwrap().push((path.to_owned(), Arc::new(handler)));
    }

    /// The URL of a path here.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Heads of all requests with this target, in order; with `*` at the end, all that begin so.
    pub fn heads(&self, path: &str) -> Vec<Head> {
        let heads = self.shared.heads.lock().unwrap();
        heads.iter().filter(|head| covers(path, head.word(1))).cloned().collect()
    }

    /// How often this target was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.heads(path).len()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many TLS handshakes went on with an earlier one.
    pub fn resumed(&self) -> usize {
        self.shared.resumed.load(Ordering::Relaxed)
    }

    /// How many came to nothing.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Waits until a target was asked for so many times.
    pub fn until_asked(&self, path: &str, times: usize) {
        until_true(&format!("{path} was asked for {times} times"), PATIENCE, || self.count(path) >= times);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let panics = std::mem::take(&mut *self.shared.panics.lock().unwrap());
        if !panics.is_empty() && !thread::panicking() {
            panic!("the origin panicked: {}", panics.join("; "));
        }
    }
}

/// Holds handlers back until the test opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open; an error (which ends the exchange) when that takes longer than any client or test waits for
    /// anything.
    pub fn wait(&self) -> io::Result<()> {
        let open = self.0.0.lock().unwrap();
        let (open, _) = self.0.1.wait_timeout_while(open, 6 * PATIENCE, |open| !*open).unwrap();
        if *open { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

/// The backlog of `std` is too short for a thousand connections at once: a dropped SYN costs a second.
fn listen(ip: IpAddr) -> io::Result<TcpListener> {
    let address = SocketAddr::new(ip, 0);
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (tls, shared) = (tls.clone(), shared.clone());
        let serve = move || drop(converse(stream, tls, &shared));
        thread::Builder::new().stack_size(256 * 1024).spawn(serve).expect("a thread for a connection");
    }
}

fn converse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let wire = match tls {
        None => Wire::Plain(stream),
        Some(config) => {
            Wire::accept(&config, stream).inspect_err(|_| _ = shared.refused.fetch_add(1, Ordering::Relaxed))?
        }
    };
    shared.resumed.fetch_add(usize::from(wire.is_resumed()), Ordering::Relaxed);
    let mut reader = BufReader::with_capacity(64 * 1024, wire);
    while let Some(mut exchange) = Exchange::next(reader)? {
        shared.heads.lock().unwrap().push(exchange.head.clone());
        answer(&mut exchange, shared)?;
        match exchange.finish()? {
            Some(next) => reader = next,
            None => break,
        }
    }
    Ok(())
}

fn answer(exchange: &mut Exchange, shared: &Shared) -> io::Result<()> {
    let Some(handler) = route(exchange.target(), shared) else {
        return exchange.reply(404, "Cache-Control: no-store\r\n", "no such page");
    };
    catch_unwind(AssertUnwindSafe(|| handler(exchange))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        shared.panics.lock().unwrap().push(text.unwrap_or_default());
        Err(io::ErrorKind::Other.into())
    })
}

fn route(target: &str, shared: &Shared) -> Option<Handler> {
    let path = target.split('?').next().unwrap_or("");
    let routes = shared.routes.lock().unwrap();
    routes.iter().rev().find(|(pattern, _)| covers(pattern, path)).map(|(_, handler)| handler.clone())
}

fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}
