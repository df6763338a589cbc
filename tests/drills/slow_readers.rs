//! Readers that read nothing, or slowly, of bodies that are held for them.

use crate::support::*;
use noise::{Digester, Noise};
use process::private;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const FRESH: &str = "Cache-Control: max-age=3600\r\n";
const HOT: u64 = 16 * MIB;
const CONFIGURED: u64 = (16 + 32) * MIB;

/// What a process may take: what it was told to, 15 % and 16 MiB.
fn allowed(configured: u64) -> u64 {
    configured * 115 / 100 + 16 * MIB
}

struct Watched {
    name: String,
    pid: u32,
    idle: u64,
    allowed: u64,
    most: u64,
}

impl Watched {
    fn look(&mut self) {
        let now = private(self.pid);
        self.most = self.most.max(now);
        let Watched { name, allowed, .. } = self;
        assert!(now <= *allowed, "{name} has taken {} MiB, {} are allowed", now / MIB, *allowed / MIB);
    }
}

fn all(cluster: &Cluster) -> Vec<Watched> {
    let front = Watched { name: "front".to_owned(), pid: cluster.pid(), idle: 0, allowed: allowed(HOT), most: 0 };
    let node =
        |n: process::NodeProcess| Watched { name: n.id, pid: n.pid, idle: 0, allowed: allowed(CONFIGURED), most: 0 };
    let mut all: Vec<_> = std::iter::once(front).chain(cluster.nodes().into_iter().map(node)).collect();
    all.iter_mut().for_each(|process| process.idle = private(process.pid));
    all
}

/// How many answers all nodes have stored, of which something is told now.
fn counted(cluster: &Cluster) -> u64 {
    let metrics = cluster.manage("GET", "/metrics", "").text();
    let lines = metrics.lines().filter(|line| line.starts_with("ringhold_node_stored_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// A client that has asked and takes nothing.
fn client(cluster: &Cluster, url: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&cluster.proxy.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.write_all(format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    client
}

fn digest(body: &[u8]) -> String {
    let mut digester = Digester::default();
    digester.take(body);
    digester.hex()
}

#[test]
fn readers_that_read_nothing_never_take_a_process_over_what_it_was_told() {
    let (silent, pairs) = drill((12, 4), (40, 20));
    let setup = Setup::default().unhurried().set("cache", "memory", "16MiB").set("cache", "in_flight", "32MiB");
    let setup = setup.set("cache", "max_object", "16MiB").set("hot", "memory", HOT as i64).nodes(drill(1, 3));
    let (origin, cluster) = (Origin::start(), setup.start());
    origin.on("/stored/*", |x| {
        x.begin_sized(FRESH, 15 * MIB)?;
        x.noise(1, 15 * MIB)
    });
    origin.on("/large/*", |x| {
        x.begin_chunked(FRESH)?;
        let mut noise = Noise::new(7, 40 * MIB);
        while let Some(block) = noise.next_block() {
            x.chunk(block)?;
        }
        x.end_chunked("")
    });
    cluster.get(&origin.url("/none"));
    let mut processes = all(&cluster);
    let mut readers = Vec::new();
    for n in 0..silent {
        readers.push(client(&cluster, &origin.url(&format!("/stored/{n}"))));
        until_true("it is stored", PATIENCE, || {
            processes.iter_mut().for_each(Watched::look);
            counted(&cluster) > n
        });
    }
    let mut quick = Vec::new();
    for n in 0..pairs {
        let url = origin.url(&format!("/large/{n}"));
        readers.push(client(&cluster, &url));
        origin.until_asked(&format!("/large/{n}"), 1);
        let mut other = cluster.connect();
        other.request("GET", &url, "", b"").unwrap();
        quick.push(std::thread::spawn(move || other.response("GET").map(|whole| digest(&whole.body))));
    }
    until_true("the quick ones have it all", 6 * PATIENCE, || {
        processes.iter_mut().for_each(Watched::look);
        quick.iter().all(|reader| reader.is_finished())
    });
    let all = noise::sha256_of(7, 40 * MIB);
    for reader in quick {
        assert_eq!(reader.join().unwrap().unwrap(), all, "who takes what is sent gets all");
    }
    drop(readers);
    for n in 0..silent {
        cluster.manage("DELETE", &format!("/v1/cache?url={}", origin.url(&format!("/stored/{n}"))), "");
    }
    for process in &mut processes {
        // 6 MiB: what threads keep of small blocks, and the tables of a process that has served.
        let least = process.idle * 110 / 100 + 6 * MIB;
        until_true(&format!("{} is back to idle", process.name), Duration::from_secs(10), || {
            private(process.pid) <= least
        });
        eprintln!("{}: {} MiB idle, {} MiB at most", process.name, process.idle / MIB, process.most / MIB);
    }
}
