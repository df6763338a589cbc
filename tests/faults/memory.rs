//! Memory: every byte that is held for somebody is counted, and bounded.

use crate::support::*;
use process::private;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const MIB: u64 = 1 << 20;
pub const FRESH: &str = "Cache-Control: max-age=3600\r\n";

/// One node of 16 MiB, with 32 MiB for what is on its way or read outside the store.
fn small() -> Setup {
    let setup = Setup::default().nodes(1).set("cache", "memory", "16MiB").set("cache", "in_flight", "32MiB");
    setup.set("cache", "max_object", "16MiB").set("cache", "eviction", "lru")
}

/// What a node of [`small`] may take over its idle memory.
const ALLOWED: u64 = (16 + 32) * MIB * 115 / 100 + 16 * MIB;

/// A client that has asked and takes nothing.
pub fn asks_and_waits(cluster: &Cluster, url: &str) -> TcpStream {
    asks_with(cluster, url, "1.1", "")
}

/// A counter of the node; 0 while nothing is told of it.
pub fn counted(cluster: &Cluster, name: &str) -> u64 {
    let metrics = cluster.manage("GET", "/metrics", "").text();
    let line = metrics.lines().find(|line| line.starts_with(&format!("ringhold_node_{name}_total{{")));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
}

fn asks_with(cluster: &Cluster, url: &str, version: &str, fields: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&cluster.proxy.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut client, format!("GET {url} HTTP/{version}\r\nHost: x\r\n{fields}\r\n").as_bytes())
        .unwrap();
    client
}

fn large(x: &mut Exchange, length: u64) -> std::io::Result<()> {
    x.begin_sized(FRESH, length)?;
    x.noise(1, length)
}

/// Chunks until `length` bytes are sent or nobody wants more.
fn chunks(x: &mut Exchange, length: u64) -> std::io::Result<()> {
    x.begin_chunked(FRESH)?;
    (0..length >> 16).try_for_each(|_| x.chunk([7; 1 << 16]))?;
    x.end_chunked("")
}

/// The most that a process has taken over what it took before.
struct Growth {
    pid: u32,
    idle: u64,
    most: u64,
}

impl Growth {
    fn of(pid: u32) -> Growth {
        Growth { pid, idle: private(pid), most: 0 }
    }
    fn look(&mut self) -> u64 {
        let now = private(self.pid).saturating_sub(self.idle);
        self.most = self.most.max(now);
        now
    }
    fn assert_most(&self, allowed: u64) {
        assert!(self.most <= allowed, "{} MiB over idle, {} allowed", self.most / MIB, allowed / MIB);
    }
    fn falls_to(&mut self, allowed: u64) {
        until_true("memory has fallen", Duration::from_secs(10), || self.look() <= allowed);
    }
}

#[test]
fn readers_that_take_nothing_of_what_was_evicted_hold_no_more_than_in_flight_allows() {
    let (origin, cluster) = (Origin::start(), small().start());
    origin.on("/*", |x| large(x, 15 * MIB));
    cluster.get(&origin.url("/warm"));
    let mut growth = Growth::of(cluster.node("n1").pid);
    let mut readers = Vec::new();
    for n in 1..=12 {
        // By connections that live on, and by those that end with the answer.
        let (version, fields) = [("1.1", ""), ("1.0", ""), ("1.1", "Connection: close\r\n")][n as usize % 3];
        readers.push(asks_with(&cluster, &origin.url(&format!("/{n}")), version, fields));
        until_true("it is stored", PATIENCE, || counted(&cluster, "stored") > n);
        growth.look();
    }
    until_true("who is too much has been cut", PATIENCE, || growth.look() <= ALLOWED);
    growth.assert_most(ALLOWED);
    assert!(counted(&cluster, "readers_cut") > 0, "they were told apart from those who are quick");
    assert_eq!(cluster.get(&origin.url("/13")).body.len() as u64, 15 * MIB, "who takes what is sent gets all");
    drop(readers);
    for n in 1..=13 {
        cluster.manage("DELETE", &format!("/v1/cache?url={}", origin.url(&format!("/{n}"))), "");
    }
    cluster.manage("DELETE", &format!("/v1/cache?url={}", origin.url("/warm")), "");
    growth.falls_to(8 * MIB);
}

#[test]
fn slow_and_quick_readers_of_bodies_that_are_too_large_to_store_share_one_budget() {
    let (origin, cluster) = (Origin::start(), small().start());
    origin.on("/*", |x| chunks(x, 40 * MIB));
    let mut growth = Growth::of(cluster.node("n1").pid);
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    for n in 0..6 {
        let url = origin.url(&format!("/{n}"));
        slow.push(asks_and_waits(&cluster, &url));
        origin.until_asked(&format!("/{n}"), 1);
        let mut client = cluster.connect();
        client.request("GET", &url, "", b"").unwrap();
        quick.push(std::thread::spawn(move || client.response("GET").map(|whole| whole.body.len() as u64)));
    }
    until_true("the quick ones have it all", 3 * PATIENCE, || {
        growth.look();
        quick.iter().all(|reader| reader.is_finished())
    });
    growth.assert_most(ALLOWED);
    for reader in quick {
        assert_eq!(reader.join().unwrap().unwrap(), 40 * MIB);
    }
    drop(slow);
    growth.falls_to(8 * MIB);
}

#[test]
fn readers_that_take_nothing_of_what_comes_in_small_pieces_hold_no_more_than_in_flight_allows() {
    for length in [3000, 700] {
        let setup = small().set("cache", "memory", "8MiB").set("cache", "in_flight", "8MiB");
        let (origin, cluster) = (Origin::start(), setup.set("cache", "max_object", "8MiB").start());
        origin.on("/*", move |x| {
            x.begin_chunked(FRESH)?;
            (0..2 * MIB / length).try_for_each(|n| x.chunk(vec![n as u8; length as usize]))?;
            x.end_chunked("")
        });
        cluster.get(&origin.url("/warm"));
        let mut growth = Growth::of(cluster.node("n1").pid);
        let readers: Vec<_> = (0..120).map(|n| asks_and_waits(&cluster, &origin.url(&format!("/{n}")))).collect();
        (0..120).for_each(|n| origin.until_asked(&format!("/{n}"), 1));
        for n in 0..20 {
            let quick = cluster.get(&origin.url(&format!("/quick/{n}"))).body;
            assert_eq!(quick.len() as u64, 2 * MIB / length * length, "who takes what is sent gets all");
            growth.look();
            let readers = told_of(&cluster, "n1", "readers");
            assert!(readers <= 8 * MIB * 115 / 100, "readers hold {} KiB", readers >> 10);
        }
        // 120 connections to an origin have buffers too.
        growth.assert_most((8 + 8) * MIB * 115 / 100 + 24 * MIB);
        eprintln!("{} MiB at most, {} cut", growth.most / MIB, counted(&cluster, "readers_cut"));
        drop(readers);
    }
}

#[test]
fn what_is_announced_and_does_not_come_keeps_nobody_from_storing() {
    let (origin, cluster) = (Origin::start(), small().start());
    let trickle = |x: &mut Exchange| {
        x.begin_sized(FRESH, 14 * MIB)?;
        x.drip(&[1; 200], 200, Duration::from_secs(100))
    };
    (1..=4).for_each(|n| origin.on(&format!("/slow/{n}"), trickle));
    origin.on("/page", |x| large(x, MIB));
    let readers: Vec<_> = (1..=4).map(|n| asks_and_waits(&cluster, &origin.url(&format!("/slow/{n}")))).collect();
    until_true("they are under way", PATIENCE, || cluster.metric("ringhold_node_fills") == 4);
    let first = cluster.get(&origin.url("/page"));
    assert!(first.cache_status().contains("stored"), "{}", first.cache_status());
    assert!(cluster.get(&origin.url("/page")).is_hit());
    drop(readers);
}

#[test]
fn bodies_without_an_end_that_stop_short_of_the_limit_keep_nobody_from_storing() {
    let (origin, cluster) = (Origin::start(), small().start());
    let (gate, held) = (Gate::default(), Gate::default());
    let (wait, _keep) = (gate.clone(), held);
    origin.on("/endless/*", move |x| {
        x.begin_chunked(FRESH)?;
        (0..15 * 16).try_for_each(|_| x.chunk([7; 1 << 16]))?;
        wait.wait()
    });
    origin.on("/page", |x| large(x, 4 * MIB));
    let mut readers = Vec::new();
    for n in 1..=4 {
        let mut client = cluster.connect();
        client.request("GET", &origin.url(&format!("/endless/{n}")), "", b"").unwrap();
        readers.push(std::thread::spawn(move || client.response("GET").is_err()));
    }
    until_true("all that they send has come", PATIENCE, || counted(&cluster, "bytes_from_origin") >= 60 * MIB);
    let first = cluster.get(&origin.url("/page"));
    assert!(first.cache_status().contains("stored"), "{}", first.cache_status());
    assert!(cluster.get(&origin.url("/page")).is_hit(), "a share is left for others");
    gate.open();
    readers.into_iter().for_each(|reader| assert!(reader.join().unwrap(), "an end that never came is no end"));
}

#[test]
fn a_request_with_as_many_fields_as_the_front_accepts_is_accepted_by_the_node() {
    let setup = Setup::default().nodes(1).set("access", "forwarded_for", true);
    let (origin, cluster) = (Origin::start(), setup.start());
    origin.on("/*", |x| x.reply(200, FRESH, "page"));
    // `Host` is one more.
    for count in [60, 64, 90, 95, 97, 98, 99] {
        let fields: String = (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect();
        let answer = cluster.ask("GET", &origin.url(&format!("/{count}")), &fields, b"");
        assert_eq!(answer.status, 200, "{count} fields: {}", answer.text());
        let posted = cluster.ask("POST", &origin.url("/post"), &fields[..fields.len() - 8 * 2], b"x");
        assert!(posted.status == 200 || count == 99, "a POST with {count}: {}", posted.text());
    }
    let long = format!("X-Long: {}\r\n", "x".repeat(65_536 - 400));
    assert_eq!(cluster.ask("GET", &origin.url("/long"), &long, b"").status, 200, "the bytes of a head likewise");
}

#[test]
fn what_was_purged_evicted_or_refused_is_given_back_without_another_request() {
    for eviction in ["tiny_lfu", "lru"] {
        let setup = Setup::default().nodes(1).set("cache", "memory", "32MiB").set("cache", "eviction", eviction);
        let (origin, cluster) = (Origin::start(), setup.start());
        let lengths = [3 << 10, 40 << 10, 300 << 10, 2 << 20];
        for length in lengths {
            origin.on(&format!("/{length}/*"), move |x| large(x, length));
        }
        cluster.get(&origin.url("/3072/warm"));
        let mut growth = Growth::of(cluster.node("n1").pid);
        let paths = lengths.iter().flat_map(|length| (0..40).map(move |n| format!("/{length}/{n}")));
        let urls: Vec<String> = paths.map(|path| origin.url(&path)).collect();
        let mut client = cluster.connect();
        urls.iter().for_each(|url| assert_eq!(client.get(url).status, 200));
        growth.falls_to(32 * MIB * 115 / 100 + 4 * MIB);
        for url in &urls {
            assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
        }
        growth.falls_to(4 * MIB);
    }
}

#[test]
fn versions_of_a_hot_page_that_only_slow_readers_have_are_bounded_in_the_front() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("hot", "memory", "64MiB").start());
    origin.on("/page", |x| large(x, MIB));
    let url = origin.url("/page");
    let mut growth = Growth::of(cluster.pid());
    let mut readers = Vec::new();
    for _ in 0..40 {
        until_true("the page has a hot copy", PATIENCE, || {
            let before = cluster.metric("ringhold_front_hot_hits_total");
            cluster.get(&url);
            cluster.metric("ringhold_front_hot_hits_total") > before
        });
        let mut reader = asks_with(&cluster, &url, ["1.1", "1.0"][readers.len() % 2], "");
        reader.read_exact(&mut [0; 10]).unwrap();
        readers.push(reader);
        cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "");
        growth.look();
    }
    // A quarter of the hot copies' memory for what only readers have.
    until_true("who is too much has been cut", PATIENCE, || growth.look() <= (16 + 16) * MIB);
    assert!(cluster.metric("ringhold_front_readers_cut_total") > 0);
    drop(readers);
    growth.falls_to(8 * MIB);
}

#[test]
fn what_idle_connections_took_is_given_back_when_they_have_left() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/*", |x| x.reply(200, FRESH, "page"));
    let url = origin.url("/page");
    cluster.get(&url);
    let mut front = Growth::of(cluster.pid());
    let mut clients: Vec<_> = (0..1500).map(|_| cluster.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get(&url).status, 200));
    until_true("they are in the account", PATIENCE, || told(&cluster, "front") >= 1500 * 4096);
    front.look();
    drop(clients);
    front.falls_to(3 * MIB);
    eprintln!("{} KiB at most", front.most >> 10);
}

/// `ringhold_held_bytes` of a process: the sum over all kinds.
fn told(cluster: &Cluster, process: &str) -> u64 {
    told_of(cluster, process, "")
}

/// The same of the kinds that begin so.
pub fn told_of(cluster: &Cluster, process: &str, kind: &str) -> u64 {
    let metrics = cluster.manage("GET", "/metrics", "").text();
    let of_process = format!("ringhold_held_bytes{{process=\"{process}\",kind=\"{kind}");
    let lines = metrics.lines().filter(|line| line.starts_with(&of_process));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

fn assert_told(cluster: &Cluster, process: &str, growth: &mut Growth, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (told, taken) = (told(cluster, process), growth.look());
        if told.abs_diff(taken) <= taken * 15 / 100 + 16 * MIB {
            return eprintln!("{process}, {when}: {} MiB told, {} MiB taken", told / MIB, taken / MIB);
        }
        let late = Instant::now() > deadline;
        assert!(!late, "{process}, {when}: {} MiB told, {} MiB taken", told / MIB, taken / MIB);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_account_of_each_process_is_what_it_has_taken_whoever_it_is_held_for() {
    let setup =
        small().set("cache", "memory", "64MiB").set("cache", "in_flight", "96MiB").set("hot", "memory", "64MiB");
    let (origin, cluster) = (Origin::start(), setup.start());
    let mut node = Growth::of(cluster.node("n1").pid);
    let mut front = Growth::of(cluster.pid());
    let mut both = |when: &str| {
        assert_told(&cluster, "n1", &mut node, when);
        assert_told(&cluster, "front", &mut front, when);
    };
    origin.on("/large/*", |x| large(x, 15 * MIB));
    origin.on("/small/*", |x| x.reply(200, FRESH, "x".repeat(1000)));
    origin.on("/hot/*", |x| large(x, 512 << 10));
    origin.on("/endless/*", |x| chunks(x, 200 * MIB));
    let gate = Gate::default();
    let wait = gate.clone();
    origin.on("/half/*", move |x| {
        x.begin_sized(FRESH, 15 * MIB)?;
        x.noise(1, 10 * MIB)?;
        wait.wait()
    });
    both("idle");
    let mut client = cluster.connect();
    (0..4000).for_each(|n| assert_eq!(client.get(&origin.url(&format!("/small/{n}"))).status, 200));
    both("stored");
    (0..80).for_each(|n| (0..3).for_each(|_| _ = client.get(&origin.url(&format!("/hot/{n}")))));
    both("hot copies");
    let readers: Vec<_> = (0..8).map(|n| asks_and_waits(&cluster, &origin.url(&format!("/large/{n}")))).collect();
    (0..8).for_each(|n| origin.until_asked(&format!("/large/{n}"), 1));
    both("readers of what was evicted");
    let halves: Vec<_> = (0..4).map(|n| asks_and_waits(&cluster, &origin.url(&format!("/half/{n}")))).collect();
    (0..4).for_each(|n| origin.until_asked(&format!("/half/{n}"), 1));
    both("fills");
    let lags: Vec<_> = (0..4).map(|n| asks_and_waits(&cluster, &origin.url(&format!("/endless/{n}")))).collect();
    both("slow readers of what is too large");
    let idle: Vec<_> = (0..400).map(|_| cluster.connect()).collect();
    let heads: Vec<_> = (0..200)
        .map(|_| {
            let mut waiting = cluster.connect();
            waiting.send(format!("GET http://x/ HTTP/1.1\r\nX: {}", "x".repeat(60_000))).unwrap();
            waiting
        })
        .collect();
    both("connections and heads");
    let answers = Gate::default();
    let until = answers.clone();
    origin.on("/late*", move |x| until.wait().and_then(|()| x.reply_empty(204, "")));
    let waiting = waiting_heads(&cluster, &origin.url("/late"), 150);
    until_true("heads that wait are told", PATIENCE, || {
        told_of(&cluster, "front", "waiting") > 150 * 2 * 60_000 && told_of(&cluster, "n1", "waiting") > 50 * 3 * 60_000
    });
    both("heads that wait");
    answers.open();
    drop(waiting);
    until_true("no head waits", PATIENCE, || told_of(&cluster, "front", "waiting") == 0);
    origin.on("/through", |x| {
        x.begin_sized("Cache-Control: no-store\r\n", 15 * MIB)?;
        x.noise(1, 15 * MIB)
    });
    let through: Vec<_> = (0..100).map(|_| asks_and_waits(&cluster, &origin.url("/through"))).collect();
    origin.until_asked("/through", 1);
    both("slow readers of what passes through");
    let uploads = Gate::default();
    let until = uploads.clone();
    origin.on("/upload", move |_| until.wait());
    let sending: Vec<_> = (0..100)
        .map(|_| {
            let mut sender = cluster.connect();
            let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", origin.url("/upload"));
            sender.send(head).unwrap();
            sender.stream().set_nonblocking(true).unwrap();
            while sender.send([b'x'; 1 << 14]).is_ok() {}
            sender
        })
        .collect();
    origin.until_asked("/upload", 1);
    both("uploads that nobody reads");
    uploads.open();
    drop((readers, halves, lags, idle, heads, through, sending));
    gate.open();
    both("after all have left");
}

/// Clients with heads of 60 KB that are complete.
fn waiting_heads(cluster: &Cluster, url: &str, many: usize) -> Vec<Connection> {
    let field = format!("X: {}\r\n", "x".repeat(60_000));
    let asks = |n| {
        let mut client = cluster.connect();
        client.request("GET", &format!("{url}/{n}"), &field, b"").unwrap();
        client
    };
    (0..many).map(asks).collect()
}

#[test]
fn heads_that_are_not_complete_are_bounded_at_once() {
    let cluster = Setup::default().nodes(1).start();
    let head = format!("GET http://x/ HTTP/1.1\r\nX: {}", "x".repeat(60_000));
    let mut most = 0;
    let _heads: Vec<_> = (0..600)
        .map(|n| {
            let mut client = cluster.connect();
            // It may be turned away meanwhile.
            let _ = client.send(&head);
            if n % 20 == 0 {
                most = most.max(told_of(&cluster, "front", "heads"));
            }
            client
        })
        .collect();
    assert!(most > 4 * MIB && most <= 11 * MIB, "{} KiB", most >> 10);
}
