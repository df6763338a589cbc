//! A cable that can be cut: a TCP relay whose two directions can each be silenced. Connections stay, as they do when a
//! network is partitioned; what was on its way arrives when the cable is whole again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Nothing gets to the server.
    there: AtomicBool,
    /// Nothing gets back from it.
    back: AtomicBool,
    /// So many milliseconds later everything gets back.
    late: AtomicU64,
    over: AtomicBool,
    /// What has gone either way, where it is recorded.
    tape: Option<Mutex<Vec<u8>>>,
}

impl Relay {
    /// To any one of these servers for each connection, in turn.
    pub fn to(servers: &str) -> Relay {
        Relay::from("127.0.0.1:0", servers)
    }

    /// The same on an address of its own.
    pub fn from(listen: &str, servers: &str) -> Relay {
        Relay::start(listen, servers, State::default())
    }

    /// The same, and whoever listens on the way writes everything down.
    pub fn recording(servers: &str) -> Relay {
        Relay::start("127.0.0.1:0", servers, State { tape: Some(Mutex::default()), ..State::default() })
    }

    /// What was written down so far.
    pub fn tape(&self) -> Vec<u8> {
        self.state.tape.as_ref().map_or_else(Vec::new, |tape| tape.lock().unwrap().clone())
    }

    fn start(listen: &str, servers: &str, state: State) -> Relay {
        let servers: Vec<SocketAddr> = servers.split(',').map(|s| s.parse().unwrap()).collect();
        let listener = TcpListener::bind(listen).unwrap_or_else(|e| panic!("{listen}: {e}"));
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(state));
        let shared = state.clone();
        thread::spawn(move || {
            for (i, client) in listener.incoming().flatten().enumerate() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(servers[i % servers.len()]) {
                    join(client, server, &shared);
                }
            }
        });
        Relay { address, state }
    }

    pub fn cut(&self, there: bool, back: bool) {
        self.state.there.store(there, Ordering::Relaxed);
        self.state.back.store(back, Ordering::Relaxed);
    }

    /// Everything that comes back comes so much later from now on.
    pub fn delay(&self, by: Duration) {
        self.state.late.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn mend(&self) {
        self.cut(false, false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn join(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    }
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let (a, b) = (state.clone(), state.clone());
    thread::spawn(move || pump(from, to, &a, |s| &s.there, |_| 0));
    thread::spawn(move || pump(server, client, &b, |s| &s.back, |s| s.late.load(Ordering::Relaxed)));
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    state: &State,
    cut: fn(&State) -> &AtomicBool,
    late: fn(&State) -> u64,
) {
    let mut buffer = [0; 16 * 1024];
    while !state.over.load(Ordering::Relaxed) {
        if cut(state).load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                if let Some(tape) = &state.tape {
                    tape.lock().unwrap().extend_from_slice(&buffer[..n]);
                }
                thread::sleep(Duration::from_millis(late(state)));
                while cut(state).load(Ordering::Relaxed) && !state.over.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
