//! Large bodies, of which the kernel hands on the pages, be they the front's own or what a node sends: every client gets every byte.

use crate::support::*;
use std::io::Read;
use std::net::TcpStream;
use std::time::Instant;

const FIELDS: &str = "Cache-Control: max-age=3600\r\nETag: \"one\"\r\n";

/// A hot copy in the front, and an origin with a page of so many bytes at each path.
fn started(pages: &'static [(&str, u64)]) -> (Origin, Cluster) {
    started_with("128MiB", pages)
}

fn started_with(hot: &str, pages: &'static [(&str, u64)]) -> (Origin, Cluster) {
    let (origin, cluster) = (Origin::start(), Setup::default().set("hot", "memory", hot).start());
    for (path, length) in pages {
        origin.on(path, |x| x.reply(200, FIELDS, noise::Noise::bytes(*length, *length)));
    }
    (origin, cluster)
}

fn hot_hits(cluster: &Cluster) -> u64 {
    cluster.metric("ringhold_front_hot_hits_total")
}

/// Asks until each page comes from the hot copy.
fn heat(cluster: &Cluster, urls: &[String]) {
    for url in urls {
        until_true("the page has a hot copy", PATIENCE, || {
            let before = hot_hits(cluster);
            cluster.get(url);
            hot_hits(cluster) > before
        });
    }
}

/// Bytes of memory in the front's maps that nobody can write to and that are of no file.
fn lasting(cluster: &Cluster) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", cluster.pid())).expect("the front runs");
    let words = maps.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = words.filter(|words| words.len() == 5 && words[1] == "r--p" && words[4] == "0");
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    ours.map(|words| words[0].split_once('-').map_or(0, |(from, to)| number(to) - number(from))).sum()
}

fn assert_exact(answer: &Response, length: u64) {
    assert_eq!(answer.status, 200);
    assert!(answer.body == noise::Noise::bytes(length, length), "{} bytes of {length}", answer.body.len());
}

const OF_ALL_SIZES: &[(&str, u64)] =
    &[("/100k", 100 << 10), ("/1m", 1 << 20), ("/15k", 15 << 10), ("/1k", 1 << 10), ("/40k", (40 << 10) + 1)];

#[test]
fn a_large_hot_page_is_exact_however_it_is_asked_for() {
    let (origin, cluster) = started(OF_ALL_SIZES);
    heat(&cluster, &["/100k", "/1m"].map(|path| origin.url(path)));
    are_exact_however_they_are_asked_for(&origin, &cluster);
}

#[test]
fn a_large_relayed_page_is_exact_however_it_is_asked_for() {
    let (origin, cluster) = started_with("0", OF_ALL_SIZES);
    ["/100k", "/1m"].iter().for_each(|path| store(&cluster, &origin.url(path)));
    are_exact_however_they_are_asked_for(&origin, &cluster);
}

/// Asks until a node has it.
fn store(cluster: &Cluster, url: &str) {
    until_true("it is stored", PATIENCE, || cluster.get(url).is_hit());
}

fn are_exact_however_they_are_asked_for(origin: &Origin, cluster: &Cluster) {
    let urls = ["/100k", "/1m"].map(|path| origin.url(path));
    let mut client = cluster.connect();
    for (url, length) in urls.iter().zip([100 << 10, 1 << 20]) {
        let whole = noise::Noise::bytes(length, length);
        assert_exact(&client.get(url), length);
        let part = client.ask("GET", url, "Range: bytes=5000-69999\r\n", b"");
        assert!((part.status, &part.body[..]) == (206, &whole[5000..70_000]));
        let head = client.ask("HEAD", url, "", b"");
        assert_eq!((head.status, head.body.len(), head.get("content-length")), (200, 0, Some(length.to_string())));
        assert_eq!(client.ask("GET", url, "If-None-Match: \"one\"\r\n", b"").status, 304);
        let mut old = cluster.connect();
        old.send(format!("GET {url} HTTP/1.0\r\nHost: x\r\n\r\n")).unwrap();
        assert_exact(&old.response("GET").unwrap(), length);
        let mut last = cluster.connect();
        assert_exact(&last.ask("GET", url, "Connection: close\r\n", b""), length);
        assert!(last.closes_within(PATIENCE));
    }
    assert_exact(&client.get(&origin.url("/15k")), 15 << 10);
    assert_eq!(origin.count("*"), 3, "one request a page");
}

#[test]
fn pipelined_requests_for_large_and_small_hot_pages_are_answered_in_order() {
    let (origin, cluster) = started(OF_ALL_SIZES);
    heat(&cluster, &["/100k", "/1m"].map(|path| origin.url(path)));
    cluster.get(&origin.url("/1k"));
    are_answered_in_order(&origin, &cluster);
}

#[test]
fn pipelined_requests_for_large_and_small_relayed_pages_are_answered_in_order() {
    let (origin, cluster) = started_with("0", OF_ALL_SIZES);
    OF_ALL_SIZES.iter().for_each(|(path, _)| store(&cluster, &origin.url(path)));
    are_answered_in_order(&origin, &cluster);
}

fn are_answered_in_order(origin: &Origin, cluster: &Cluster) {
    let pages = [("/1k", 1 << 10), ("/100k", 100 << 10), ("/1k", 1 << 10), ("/1m", 1 << 20), ("/40k", (40 << 10) + 1)];
    let mut client = cluster.connect();
    let requests = pages.iter().cycle().take(40);
    let one = |(path, _): &(&str, u64)| format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", origin.url(path));
    client.send(requests.clone().map(one).collect::<String>()).unwrap();
    for (_, length) in requests {
        assert_exact(&client.response("GET").unwrap(), *length);
    }
}

/// A client whose socket holds little, which has asked and read the first bytes.
fn slow(cluster: &Cluster, url: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&cluster.proxy.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut client, format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    client.read_exact(&mut [0; 10]).unwrap();
    client
}

/// The rest of its answer: the end of the head, and the body.
fn rest(client: &mut TcpStream, length: u64) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 3000]);
    loop {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if end.is_some_and(|end| all.len() >= end + length as usize) {
            return all.split_off(end.unwrap());
        }
        let n = client.read(&mut piece).unwrap();
        assert!(n > 0, "the connection stays open");
        all.extend_from_slice(&piece[..n]);
    }
}

#[test]
fn a_slow_reader_gets_every_byte_of_what_is_purged_and_replaced_meanwhile() {
    let (origin, cluster) = started(&[("/1m", 1 << 20)]);
    let url = origin.url("/1m");
    heat(&cluster, std::slice::from_ref(&url));
    let mut readers: Vec<TcpStream> = (0..4).map(|_| slow(&cluster, &url)).collect();
    assert!(lasting(&cluster) >= 1 << 20);
    origin.on("/1m", |x| x.reply(200, "Cache-Control: max-age=3600\r\nETag: \"two\"\r\n", vec![b'x'; 1 << 20]));
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
    until_true("the new page has a hot copy", PATIENCE, || {
        let before = hot_hits(&cluster);
        assert!(cluster.get(&url).body == vec![b'x'; 1 << 20], "nobody gets the old page after the purge");
        hot_hits(&cluster) > before
    });
    for reader in &mut readers {
        assert!(rest(reader, 1 << 20) == noise::Noise::bytes(1 << 20, 1 << 20), "as it was when it was asked for");
    }
    drop(readers);
    until_true("the old page's memory is free", PATIENCE, || {
        cluster.get(&url); // the copies are tidied up beside requests
        lasting(&cluster) < 2 << 20
    });
}

#[test]
fn what_a_node_sends_reaches_slow_quick_and_leaving_clients_alike() {
    let (origin, cluster) = started_with("0", OF_ALL_SIZES);
    let url = origin.url("/1m");
    store(&cluster, &url);
    let mut readers: Vec<TcpStream> = (0..8).map(|_| slow(&cluster, &url)).collect();
    let leaving: Vec<TcpStream> = (0..8).map(|_| slow(&cluster, &url)).collect();
    // Others of the same front and node get theirs, on connections that were used before.
    let mut quick = cluster.connect();
    (0..4).for_each(|_| assert_exact(&quick.get(&url), 1 << 20));
    drop(leaving);
    (0..4).for_each(|_| assert_exact(&quick.get(&url), 1 << 20));
    origin.on("/1m", |x| x.reply(200, "Cache-Control: max-age=3600\r\nETag: \"two\"\r\n", vec![b'x'; 1 << 20]));
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
    assert!(quick.get(&url).body == vec![b'x'; 1 << 20], "nobody gets the old page after the purge");
    for reader in &mut readers {
        assert!(rest(reader, 1 << 20) == noise::Noise::bytes(1 << 20, 1 << 20), "as it was when it was asked for");
    }
}

#[test]
fn clients_that_leave_midway_hold_nothing() {
    let (origin, cluster) = started(&[("/1m", 1 << 20)]);
    let url = origin.url("/1m");
    heat(&cluster, std::slice::from_ref(&url));
    let leaving: Vec<TcpStream> = (0..8).map(|_| slow(&cluster, &url)).collect();
    drop(leaving);
    assert_exact(&cluster.get(&url), 1 << 20);
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
    origin.on("/other", |x| x.reply(200, FIELDS, "small"));
    until_true("its memory is free", PATIENCE, || {
        cluster.get(&origin.url("/other")); // the copies are tidied up beside requests
        lasting(&cluster) < 1 << 20
    });
    assert_exact(&cluster.get(&url), 1 << 20);
}

#[test]
fn a_copy_that_its_node_confirms_goes_on() {
    let (origin, cluster) = started(&[("/100k", 100 << 10)]);
    let url = origin.url("/100k");
    heat(&cluster, std::slice::from_ref(&url));
    let began = Instant::now();
    while began.elapsed().as_millis() < 3200 {
        let answer = cluster.get(&url);
        assert!(answer.is_hit(), "{}", answer.cache_status());
        assert_exact(&answer, 100 << 10);
    }
    assert_eq!(origin.count("/100k"), 1);
}
