//! NTLM and Negotiate authenticate a connection: what the origin then says on it is for one client alone.

use super::one_node;
use crate::support::exchange::Exchange;
use crate::support::standalone::Standalone;
use crate::support::{Connection, PATIENCE, Setup, until_true};
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// An origin that knows its users by their connections.
struct Server {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
}

impl Server {
    fn start(scheme: &'static str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { address: listener.local_addr().unwrap(), open: Arc::default() };
        let open = server.open.clone();
        thread::spawn(move || {
            for (id, stream) in listener.incoming().enumerate() {
                let open = open.clone();
                open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let _ = converse(stream.unwrap(), id, scheme);
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

fn converse(stream: TcpStream, id: usize, scheme: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
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
        match &user {
            Some(user) if target == "/bye" => x.reply(200, "Connection: close\r\n", format!("{user} {target}"))?,
            Some(user) => {
                x.reply(200, "Cache-Control: public, max-age=60\r\nETag: \"a\"\r\n", format!("{user} {target}"))?
            }
            None if challenged => x.reply(401, &format!("WWW-Authenticate: {scheme} two{id}\r\n"), "go on")?,
            None => x.reply(401, &format!("Cache-Control: no-store\r\nWWW-Authenticate: {scheme}\r\n"), "who?")?,
        }
        if target == "/bye" {
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
