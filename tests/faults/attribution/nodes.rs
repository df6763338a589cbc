//! Rows of the node: one that does as it is told beside one that is real.

use super::setup;
use super::table::{Row, Scene, Seen, Walk, path};
use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, Exchange, Origin, PATIENCE, Setup, client, until_true};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A node that answers probes, and requests as `act` does, which is told how often it was asked before.
pub struct Fake {
    pub node: Origin,
    /// Probes are answered no more.
    silent: Arc<AtomicBool>,
    /// And then their connections closed.
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    pub fn start() -> Fake {
        let node = Origin::start();
        let (silent, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (quiet, ended) = (silent.clone(), over.clone());
        node.on("/*", |x| x.reply(200, "", "{}"));
        node.on("/healthz", move |x| {
            if quiet.load(Ordering::Relaxed) {
                return x.until_closed();
            }
            if ended.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            x.reply(200, "Content-Type: application/json\r\n", r#"{"id":"f1","boot":1,"version":"0.1.0"}"#)
        });
        Fake { node, silent, over, asked: Arc::default() }
    }

    pub fn address(&self) -> String {
        self.node.address.to_string()
    }

    /// From now on.
    pub fn does(&self, act: impl Fn(&mut Exchange, usize) -> io::Result<()> + Send + Sync + 'static) {
        self.asked.store(0, Ordering::Relaxed);
        let asked = self.asked.clone();
        self.node.on("http://*", move |x| {
            x.whole_body()?;
            act(x, asked.fetch_add(1, Ordering::Relaxed))
        });
    }

    /// Nothing listens there any more.
    fn ends(self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Asks the origin, as a node would.
pub fn asks_origin(x: &Exchange) {
    let url = x.target().to_owned();
    let mut origin = Connection::to(client::host_of(&url).parse().unwrap());
    let path = &url["http://".len() + client::host_of(&url).len()..];
    let length = if super::table::body(x.method()).is_empty() { "" } else { "Content-Length: 0\r\n" };
    let head = format!("{} {path} HTTP/1.1\r\nHost: o\r\n{length}Connection: close\r\n\r\n", x.method());
    origin.send(head).unwrap();
    origin.final_head().unwrap();
}

const ANSWER: &str = "Cache-Status: f1; fwd=uri-miss\r\nCache-Control: no-store\r\n";

fn answers(x: &mut Exchange) -> io::Result<()> {
    asks_origin(x);
    x.reply(200, ANSWER, "answer")
}

fn begins(length: usize, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{ANSWER}Content-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}

/// A front with this node and another, and a URL that this one owns.
struct Pair {
    cluster: Cluster,
    origin: Origin,
}

impl Pair {
    fn start(fake: &Fake, real: Option<&Standalone>, probe: &str) -> Pair {
        let front = setup().nodes(0).set("log", "access", "json").set("timeouts", "first_byte", "3s");
        let front = front.set("timeouts", "probe", probe).set("timeouts", "connect", "2s");
        let front = front.node_at("f1", &fake.address());
        let front = real.into_iter().fold(front, |front, real| front.node_at("r2", &real.address.to_string()));
        let (cluster, origin) = (front.start(), Origin::start());
        origin.on("/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "origin"));
        let nodes = 1 + real.into_iter().count() as u64;
        until_true("all are up", PATIENCE, || cluster.metric("ringhold_node_up") == nodes);
        Pair { cluster, origin }
    }

    fn ask(&self, row: &Row, method: &str) -> Seen {
        let path = owned_by(&self.cluster, &self.origin, "f1");
        Scene { cluster: &self.cluster, origin: &self.origin }.ask(row, method, &path)
    }
}

/// A new path whose URL this node owns.
pub fn owned_by(cluster: &Cluster, origin: &Origin, id: &str) -> String {
    let is_owned = |path: &String| {
        let asked = cluster.manage("GET", &format!("/v1/ring/owner?url={}", origin.url(path)), "").json();
        asked["owner"] == id
    };
    std::iter::repeat_with(path).find(is_owned).unwrap()
}

#[test]
fn the_rows_of_the_node() {
    let walk = Walk::of("node");
    let real = Standalone::start("r2", &setup());
    for when in ["refuses", "refuses, and so do all others"] {
        walk.each(when, |row, method| {
            let fake = Fake::start();
            let pair = Pair::start(&fake, Some(&real).filter(|_| when == "refuses"), "10s");
            fake.ends();
            pair.ask(row, method)
        });
    }
    for when in ["goes silent before its head", "goes silent before its head, and nobody may repeat it"] {
        walk.each(when, |row, method| {
            let fake = Fake::start();
            let pair = Pair::start(&fake, Some(&real), "600ms");
            let silent = fake.silent.clone();
            fake.does(move |x, _| {
                asks_origin(x);
                silent.store(true, Ordering::Relaxed);
                x.until_closed()
            });
            pair.ask(row, method)
        });
    }
    let fake = Fake::start();
    let pair = Pair::start(&fake, Some(&real), "10s");
    // The first time; then it answers.
    let once = |act: fn(&mut Exchange) -> io::Result<()>| {
        fake.does(move |x, before| match before {
            0 => {
                asks_origin(x);
                x.hang_up();
                act(x)
            }
            _ => answers(x),
        });
    };
    let lost: [(&str, fn(&mut Exchange) -> io::Result<()>); 6] = [
        ("a connection is lost before the head", |_| Ok(())),
        ("a connection is lost before the head", |x| x.reset()),
        ("a connection is lost within the head", |x| x.raw("HTTP/1.1 200 OK\r\nContent-Le")),
        ("its head is nonsense", |x| x.raw("HELLO world\r\n\r\n")),
        ("a connection is lost within a small body", |x| x.raw(begins(1000, &[b'x'; 500]))),
        ("a connection is lost within a small body", |x| x.raw(begins(1000, b""))),
    ];
    for (when, act) in lost {
        for when in [when.to_owned(), format!("{when}, and nobody may repeat it")] {
            walk.each(&when, |row, method| {
                once(act);
                pair.ask(row, method)
            });
        }
    }
    walk.each("loses every connection before the head", |row, method| {
        fake.does(|x, _| {
            asks_origin(x);
            x.hang_up();
            Ok(())
        });
        pair.ask(row, method)
    });
    walk.each("a connection is lost within the body", |row, method| {
        once(|x| x.raw(begins(100_000, &[b'x'; 50_000])));
        pair.ask(row, method)
    });
    walk.each("closes the connection after the body", |row, method| {
        once(|x| x.reply(200, ANSWER, "answer"));
        pair.ask(row, method)
    });
    walk.done();
}

/// A node that hands over: `act` is what it does when another asks it.
pub fn handing_over(act: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static) -> (Fake, Cluster, Origin) {
    let fake = Fake::start();
    fake.does(move |x, _| match x.head.has("ringhold-asker") {
        true => {
            x.hang_up();
            act(x)
        }
        false => answers(x),
    });
    let front: Setup = setup().nodes(0).set("log", "access", "json").node_at("f1", &fake.address());
    let front = front.set("timeouts", "peer", "2s");
    let (cluster, origin) = (front.start(), Origin::start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "origin"));
    cluster.manage("POST", "/v1/nodes", r#"{"id":"n4","spawn":true}"#);
    until_true("both are up", PATIENCE, || cluster.metric("ringhold_node_up") == 2);
    (fake, cluster, origin)
}
