//! NTLM and Negotiate authenticate a connection: what the origin then says on it is for one client alone.

use super::one_node;
use crate::support::client::host_of;
use crate::support::exchange::Exchange;
use crate::support::standalone::Standalone;
use crate::support::{Connection, PATIENCE, Response, Setup, Wire, until_true};
use rustix::process::Signal;
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// An origin that knows its users by their connections.
struct Server {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    /// Connections that there were.
    made: Arc<AtomicUsize>,
    /// Requests for what is never answered.
    slow: Arc<AtomicUsize>,
}

impl Server {
    fn start(scheme: &'static str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (open, made, slow) = Default::default();
        let server = Server { address: listener.local_addr().unwrap(), open, made, slow };
        let (open, made, slow) = (server.open.clone(), server.made.clone(), server.slow.clone());
        thread::spawn(move || {
            for (id, stream) in listener.incoming().enumerate() {
                let (open, slow) = (open.clone(), slow.clone());
                open.fetch_add(1, Ordering::SeqCst);
                made.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let _ = converse(stream.unwrap(), id, scheme, &slow);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn converse(stream: TcpStream, id: usize, scheme: &str, slow: &AtomicUsize) -> io::Result<()> {
    let mut reader = BufReader::new(Wire::Plain(stream));
    let (mut challenged, mut user) = (false, None::<String>);
    while let Some(mut x) = Exchange::next(reader)? {
        x.body(|_| {})?;
        let said = x.head.get("authorization").unwrap_or_default();
        let word = |n: usize| said.split(' ').nth(n).unwrap_or("").to_owned();
        if word(1) == "one" {
            challenged = true;
        } else if word(1) == "three" && challenged {
            user = Some(word(2));
        }
        let target = x.target().to_owned();
        if target == "/mute" && word(1) != "one" {
            break;
        }
        if target == "/slow" {
            slow.fetch_add(1, Ordering::SeqCst);
            return x.until_closed();
        }
        let closing = if target == "/bye" { "Connection: close\r\n" } else { "" };
        match &user {
            Some(user) if target == "/bye" => x.reply(200, closing, format!("{user} {target}"))?,
            Some(user) => {
                x.reply(200, "Cache-Control: public, max-age=60\r\nETag: \"a\"\r\n", format!("{user} {target}"))?
            }
            None if challenged => x.reply(401, &format!("{closing}WWW-Authenticate: {scheme} two{id}\r\n"), "go on")?,
            None => x.reply(401, &format!("Cache-Control: no-store\r\nWWW-Authenticate: {scheme}\r\n"), "who?")?,
        }
        if target == "/bye" || target == "/quit" {
            x.hang_up();
        }
        match x.finish()? {
            Some(next) => reader = next,
            None => break,
        }
    }
    Ok(())
}

/// Goes through the handshake as browsers do.
fn log_in(client: &mut Connection, url: &str, scheme: &str, user: &str) {
    let answer = client.get(url);
    assert_eq!((answer.status, answer.get("www-authenticate").as_deref()), (401, Some(scheme)));
    let answer = client.ask("GET", url, &format!("Authorization: {scheme} one\r\n"), b"");
    assert!(answer.get("www-authenticate").unwrap().starts_with(&format!("{scheme} two")), "{:?}", answer.head);
    let answer = client.ask("GET", url, &format!("Authorization: {scheme} three {user}\r\n"), b"");
    assert_eq!((answer.status, answer.text().starts_with(user)), (200, true), "{:?} {}", answer.head, answer.text());
}

/// `connect` goes to a front, or to a node itself.
fn check(connect: impl Fn() -> Connection, scheme: &'static str) {
    let server = Server::start(scheme);
    let stranger = |path: &str| connect().get(&server.url(path)).status;
    let (mut alice, mut bob) = (connect(), connect());
    // So that the node knows it as not storable: the short ways must know as well.
    (0..3).for_each(|_| assert_eq!(bob.get(&server.url("/a")).status, 401));
    log_in(&mut alice, &server.url("/a"), scheme, "alice");
    log_in(&mut bob, &server.url("/b"), scheme, "bob");
    for round in 0..3 {
        for path in ["/a", "/b", "/c", "/d", "/e"] {
            assert_eq!(alice.get(&server.url(path)).text(), format!("alice {path}"), "{round}");
            assert_eq!(bob.get(&server.url(path)).text(), format!("bob {path}"), "{round}");
            let posted = alice.ask("POST", &server.url(path), "", b"form");
            assert_eq!(posted.text(), format!("alice {path}"), "{round}");
            assert_eq!(stranger(path), 401, "a stranger gets nobody's page");
        }
    }
    // A connection that is used plainly and otherwise.
    let answer = alice.ask("GET", &server.url("/a"), "TE: trailers\r\nConnection: TE\r\nRange: bytes=0-3\r\n", b"");
    assert!(answer.text().starts_with("alic"), "{}", answer.text());
    drop((alice, bob));
    until_true("the connections of those who left are closed", PATIENCE, || {
        (0..20).all(|_| stranger("/a") == 401) && server.open.load(Ordering::SeqCst) <= 1
    });
}

#[test]
fn a_connection_that_authenticates_belongs_to_one_client() {
    for scheme in ["NTLM", "Negotiate"] {
        let cluster = one_node();
        check(|| cluster.connect(), scheme);
    }
}

#[test]
fn it_does_so_whatever_node_owns_a_page_and_with_hot_copies() {
    let cluster = Setup::default().set("hot", "memory", "16MiB").start();
    check(|| cluster.connect(), "NTLM");
}

#[test]
fn it_does_so_for_who_asks_a_node_itself_and_over_tcp() {
    let node = Standalone::start("n1", &Setup::default());
    check(|| Connection::to(node.address), "NTLM");
    let cluster = Setup::default().nodes(0).node_at("n1", &node.address.to_string()).start();
    check(|| cluster.connect(), "Negotiate");
}

#[test]
fn a_client_hears_that_what_it_has_logged_in_on_has_ended() {
    let (server, cluster) = (Server::start("NTLM"), one_node());
    let mut alice = cluster.connect();
    log_in(&mut alice, &server.url("/a"), "NTLM", "alice");
    let answer = alice.get(&server.url("/bye"));
    assert_eq!(answer.text(), "alice /bye");
    assert!(answer.head.lists("connection", "close"), "{:?}", answer.head);
    assert!(alice.closes_within(PATIENCE));
    until_true("its connection is closed", PATIENCE, || server.open.load(Ordering::SeqCst) == 0);
}

/// As [`Connection::ask`] in a version of HTTP, on a connection that is to be kept.
fn get(client: &mut Connection, version: &str, url: &str, fields: &str) -> Response {
    let keep = if version == "1.0" { "Connection: keep-alive\r\n" } else { "" };
    let host = host_of(url);
    client.send(format!("GET {url} HTTP/{version}\r\nHost: {host}\r\n{keep}{fields}\r\n")).unwrap();
    client.response("GET").unwrap_or_else(|e| panic!("{url} in {version}: {e}"))
}

fn one(scheme: &str) -> String {
    format!("Authorization: {scheme} one\r\n")
}

fn three(scheme: &str) -> String {
    format!("Authorization: {scheme} three alice\r\n")
}

/// The origin ends a connection that somebody has begun to log in on, or has logged in on: the client's ends with it, so that
/// what comes next on it is said to nobody else. `connect` goes to a front, or to a node itself.
fn ends_with_the_origins(connect: impl Fn() -> Connection, version: &str) {
    for logged_in in [false, true] {
        for path in ["/quit", "/bye", "/mute"] {
            let (server, mut alice) = (Server::start("NTLM"), connect());
            let case = format!("{path} in {version}, logged in: {logged_in}");
            assert_eq!(get(&mut alice, version, &server.url("/a"), "").status, 401);
            let first = if logged_in || path == "/mute" { "/a" } else { path };
            let answer = get(&mut alice, version, &server.url(first), &one("NTLM"));
            assert!(answer.get("www-authenticate").unwrap().starts_with("NTLM two"), "{case}: {:?}", answer.head);
            let mut last = answer;
            if logged_in {
                assert_eq!(get(&mut alice, version, &server.url("/a"), &three("NTLM")).status, 200, "{case}");
                last = get(&mut alice, version, &server.url(path), "");
            } else if path == "/mute" {
                last = get(&mut alice, version, &server.url(path), &three("NTLM"));
            }
            if path == "/mute" {
                assert_eq!(
                    (last.status, last.has_error("connection_terminated")),
                    (502, true),
                    "{case}: {:?}",
                    last.head
                );
            }
            assert!(path == "/quit" || last.head.lists("connection", "close"), "{case}: {:?}", last.head);
            assert!(alice.closes_within(PATIENCE), "{case}");
            assert_eq!(server.made.load(Ordering::SeqCst), 2, "{case}: no other connection is asked instead");
        }
    }
}

#[test]
fn a_client_goes_with_the_origins_connection_that_it_has_logged_in_on() {
    let cluster = one_node();
    for version in ["1.1", "1.0"] {
        ends_with_the_origins(|| cluster.connect(), version);
    }
}

#[test]
fn a_client_of_a_node_itself_and_one_over_tcp_go_with_the_origins_connection_too() {
    let node = Standalone::start("n1", &Setup::default());
    ends_with_the_origins(|| Connection::to(node.address), "1.1");
    let cluster = Setup::default().nodes(0).node_at("n1", &node.address.to_string()).start();
    ends_with_the_origins(|| cluster.connect(), "1.1");
}

#[test]
fn a_client_goes_with_the_node_that_it_has_logged_in_over() {
    let (server, cluster) = (Server::start("NTLM"), Setup::default().start());
    for version in ["1.1", "1.0"] {
        for begun in [&one("NTLM")[..], &three("NTLM")] {
            until_true("all nodes are up", PATIENCE, || cluster.metric("ringhold_node_up") == 3);
            let mut alice = cluster.connect();
            assert_eq!(get(&mut alice, version, &server.url("/a"), "").status, 401);
            let mut answer = get(&mut alice, version, &server.url("/a"), &one("NTLM"));
            if begun != one("NTLM") {
                answer = get(&mut alice, version, &server.url("/a"), begun);
            }
            cluster.signal_node(&answer.node(), Signal::KILL);
            assert!(alice.closes_within(PATIENCE), "{version} {begun}");
        }
    }
}

#[test]
fn a_node_that_dies_while_a_client_waits_that_has_logged_in_over_it_is_not_replaced_by_another() {
    let (server, cluster) = (Server::start("NTLM"), Setup::default().start());
    for version in ["1.1", "1.0"] {
        until_true("all nodes are up", PATIENCE, || cluster.metric("ringhold_node_up") == 3);
        let mut alice = cluster.connect();
        assert_eq!(get(&mut alice, version, &server.url("/a"), "").status, 401);
        get(&mut alice, version, &server.url("/a"), &one("NTLM"));
        let node = get(&mut alice, version, &server.url("/a"), &three("NTLM")).node();
        let made = server.made.load(Ordering::SeqCst);
        let (url, asked) = (server.url("/slow"), server.slow.load(Ordering::SeqCst));
        let keep = if version == "1.0" { "Connection: keep-alive\r\n" } else { "" };
        alice.send(format!("GET {url} HTTP/{version}\r\nHost: {}\r\n{keep}\r\n", host_of(&url))).unwrap();
        until_true("the origin is asked", PATIENCE, || server.slow.load(Ordering::SeqCst) > asked);
        cluster.signal_node(&node, Signal::KILL);
        let answer = alice.response("GET").unwrap();
        assert_eq!((answer.status, answer.has_error("connection_terminated")), (502, true), "{:?}", answer.head);
        assert!(answer.head.lists("connection", "close"), "{:?}", answer.head);
        assert!(alice.closes_within(PATIENCE));
        assert_eq!(server.made.load(Ordering::SeqCst), made, "nobody else is asked");
    }
}

#[test]
fn a_client_that_logs_in_at_more_origins_than_are_kept_begins_anew() {
    let (servers, cluster) = ((0..9).map(|_| Server::start("NTLM")).collect::<Vec<_>>(), one_node());
    let mut alice = cluster.connect();
    for server in &servers[..8] {
        log_in(&mut alice, &server.url("/a"), "NTLM", "alice");
    }
    assert_eq!(alice.get(&servers[0].url("/a")).text(), "alice /a");
    let answer = alice.ask("GET", &servers[8].url("/a"), &one("NTLM"), b"");
    assert!(answer.head.lists("connection", "close"), "the first is not kept any more: {:?}", answer.head);
    assert!(alice.closes_within(PATIENCE));
}

#[test]
fn silent_connections_that_are_logged_in_count_for_their_clients_share() {
    for limit in ["node_connections", "origin_connections"] {
        let setup = Setup::default().nodes(1).set("proxy", "workers", 1).set("limits", limit, 8);
        let (server, cluster) = (Server::start("NTLM"), setup.start());
        let from = |last: u8| Connection::from([127, 0, 0, last].into(), cluster.proxy);
        let url = server.url("/a");
        let mut other = from(9);
        log_in(&mut other, &url, "NTLM", "bob");
        let mut clients: Vec<_> = (0..20)
            .map(|_| {
                let mut alice = from(8);
                log_in(&mut alice, &url, "NTLM", "alice");
                alice
            })
            .collect();
        assert_eq!(other.get(&url).text(), "bob /a", "{limit}: who has one keeps it");
        let mut late = from(10);
        log_in(&mut late, &url, "NTLM", "carol");
        // Those in use beside the silent ones, and one of everyone's.
        until_true("the oldest have given way", PATIENCE, || server.open.load(Ordering::SeqCst) <= 10);
        let first = clients.remove(0).closes_within(PATIENCE);
        assert!(first, "{limit}: whose has been silent for longest goes with it");
        let last = clients.last_mut().unwrap();
        assert_eq!(last.get(&url).text(), "alice /a", "{limit}: the last is kept");
    }
}
