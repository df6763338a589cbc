//! Something that listens at a node's address and passes on to another node whatever it is asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

pub struct Impostor {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    over: AtomicBool,
}

impl Impostor {
    /// `says`: what it writes in place of another text, of the same length, in what comes back.
    pub fn before(node: SocketAddr, says: Option<(&'static str, &'static str)>) -> Impostor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::new(Shared::default()));
        let of_thread = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.over.load(Ordering::Relaxed) {
                    return;
                }
                of_thread.connections.fetch_add(1, Ordering::Relaxed);
                let Ok(node) = TcpStream::connect(node) else { continue };
                let (from, to) = (client.try_clone().unwrap(), node.try_clone().unwrap());
                thread::spawn(move || pass(from, to, None));
                thread::spawn(move || pass(node, client, says));
            }
        });
        Impostor { address, shared }
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, says: Option<(&str, &str)>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let mut piece = buffer[..n].to_vec();
        if let Some((is, becomes)) = says {
            for at in 0..(n + 1).saturating_sub(is.len()) {
                if piece[at..].starts_with(is.as_bytes()) {
                    piece[at..at + is.len()].copy_from_slice(becomes.as_bytes());
                }
            }
        }
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
