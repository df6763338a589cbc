//! Whose fault it was: what an origin does wrong is the origin's, wherever in the message it happens.

#[path = "attribution/clients.rs"]
mod clients;
#[path = "attribution/fronts.rs"]
mod fronts;
#[path = "attribution/names.rs"]
mod names;
#[path = "attribution/nodes.rs"]
mod nodes;
#[path = "attribution/others.rs"]
mod others;
#[path = "attribution/ours.rs"]
mod ours;
#[path = "attribution/peers.rs"]
mod peers;
#[path = "attribution/rebooted.rs"]
mod rebooted;
#[path = "attribution/rows.rs"]
mod rows;
#[path = "attribution/slow.rs"]
mod slow;
#[path = "attribution/table.rs"]
mod table;

use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, Exchange, Gate, Origin, PATIENCE, Setup, client, until, until_true};
use rows::{Expect, ROWS, Row};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use table::{Scene, Walk};

/// How the request comes, and with it by which routes it goes through the front and the node.
struct Mode {
    name: &'static str,
    method: &'static str,
    fields: &'static str,
    body: &'static [u8],
    version: &'static str,
    /// What an earlier request for the same URL was answered with.
    before: Option<&'static str>,
}

const PLAIN: Mode = Mode { name: "plain", method: "GET", fields: "", body: b"", version: "1.1", before: None };
const MODES: &[Mode] = &[
    PLAIN,
    Mode { name: "no-store", before: Some("Cache-Control: no-store\r\n"), ..PLAIN },
    Mode { name: "validated", before: Some("Cache-Control: no-cache\r\nETag: \"1\"\r\n"), ..PLAIN },
    Mode { name: "closing", fields: "Connection: close\r\n", ..PLAIN },
    Mode { name: "trailers", fields: "TE: trailers\r\nConnection: TE\r\n", ..PLAIN },
    Mode { name: "range", fields: "Range: bytes=0-99999\r\n", ..PLAIN },
    Mode { name: "old", version: "1.0", ..PLAIN },
    Mode { name: "head", method: "HEAD", ..PLAIN },
    Mode { name: "upload", method: "POST", body: b"hello", ..PLAIN },
    Mode { name: "bare post", method: "POST", ..PLAIN },
    Mode { name: "put", method: "PUT", body: b"hello", ..PLAIN },
    Mode { name: "delete", method: "DELETE", ..PLAIN },
];

/// What the client got: status, `Proxy-Status`, the body as far as it came, and whether that was all.
struct Got {
    status: u16,
    told: Vec<String>,
    body: Vec<u8>,
    whole: bool,
}

fn ask(cluster: &Cluster, mode: &Mode, url: &str) -> Got {
    let mut connection = cluster.connect();
    let length = if mode.body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", mode.body.len()) };
    let host = client::host_of(url);
    let head = format!("{} {url} HTTP/{}\r\nHost: {host}\r\n{}{length}\r\n", mode.method, mode.version, mode.fields);
    connection.send([head.as_bytes(), mode.body].concat()).unwrap();
    receive(&mut connection, mode.method)
}

fn receive(connection: &mut Connection, method: &str) -> Got {
    let (head, _) = connection.final_head().expect("a head comes, whatever the origin does");
    let mut body = Vec::new();
    let whole = connection.body(method, &head, |piece| body.extend_from_slice(piece)).is_ok();
    Got { status: client::status_of(&head), told: head.members("proxy-status"), body, whole }
}

/// An origin that has behaved so far, and then does what the row says.
fn origin(row: &'static Row, mode: &Mode) -> Origin {
    let (origin, before) = (Origin::start(), mode.before);
    let asked = Mutex::new(0);
    origin.on("/x*", move |x: &mut Exchange| {
        let first = std::mem::replace(&mut *asked.lock().unwrap(), 1) == 0;
        match before.filter(|_| first) {
            Some(fields) => {
                x.hang_up();
                x.reply(200, &format!("{fields}Connection: close\r\n"), "before")
            }
            None => {
                x.whole_body()?;
                x.hang_up();
                (row.act)(x)
            }
        }
    });
    origin
}

fn check(cluster: &Cluster, row: &'static Row, mode: &Mode) {
    let origin = origin(row, mode);
    let url = origin.url("/x");
    let mut asked = 1;
    if mode.before.is_some() {
        assert_eq!(ask(cluster, &PLAIN, &url).status, 200, "{}", row.name);
        asked += 1;
    }
    let got = ask(cluster, mode, &url);
    let what = format!(
        "{}, {}: {} {:?} {} bytes, whole: {}",
        row.name,
        mode.name,
        got.status,
        got.told,
        got.body.len(),
        got.whole
    );
    let told = |tokens: &[&str]| {
        tokens.iter().any(|t| {
            got.told.last().is_some_and(|m| m.contains(&format!("error={t};")) || m.ends_with(&format!("error={t}")))
        })
    };
    match row.expect {
        Expect::Error(status, tokens) => {
            assert!(got.whole && told(tokens), "{what}");
            assert_eq!(got.status, status, "{what}");
        }
        Expect::Broken(body, tokens) if got.status == 200 => {
            assert!(!got.whole, "it is seen to be broken: {what}");
            assert!(got.told.is_empty() || told(tokens), "{what}");
            if row.name.contains("reset") {
                assert!(body().starts_with(&got.body), "nothing is made up: {what}");
            } else {
                assert!(got.body == body(), "what came is passed on: {what}");
            }
            assert!(!row.small || told(tokens), "a small body's end is known when its head goes out: {what}");
        }
        Expect::Broken(body, tokens) => {
            assert!(got.whole && got.status == 502 && told(tokens), "{what}");
            assert!(body().is_empty() || row.name.contains("reset"), "what came is passed on: {what}");
        }
    }
    assert_eq!(origin.count("/x"), asked, "how often the origin was asked: {what}");
}

/// Walks the table while somebody watches that nobody else is harmed.
fn walk(cluster: &Cluster) {
    let held = Origin::start();
    held.on("/held/*", |x| x.reply(200, "Cache-Control: max-age=3600\r\n", "held"));
    let urls: Vec<String> = (0..30).map(|i| held.url(&format!("/held/{i}"))).collect();
    urls.iter().for_each(|url| assert_eq!(cluster.get(url).status, 200));
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for mode in MODES {
            let failed = &failed;
            scope.spawn(move || {
                for row in ROWS {
                    if row.exists(mode.method) {
                        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(cluster, row, mode)));
                        if done.is_err() {
                            failed.lock().unwrap().push(format!("{}, {}", row.name, mode.name));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} cells: {failed:#?}", failed.len());
    unharmed(cluster, &urls, &held);
}

/// No node was suspected, nothing moved, and nothing that is held was validated.
fn unharmed(cluster: &Cluster, urls: &[String], held: &Origin) {
    let nodes = cluster.manage("GET", "/v1/nodes", "").text().matches("\"id\"").count() as u64;
    assert_eq!(cluster.metric("ringhold_node_up"), nodes);
    assert_eq!(cluster.metric("ringhold_front_failovers_total"), 0);
    for url in urls {
        assert!(cluster.get(url).is_hit(), "{url}");
    }
    assert_eq!(held.count("/held/*"), urls.len());
    let said = cluster.said();
    for harm in ["its keys go to the next owner", "is not reachable", "is silent"] {
        assert!(!said.contains(harm), "{harm}:\n{said}");
    }
}

/// What is waited for in vain is short, but longer than a busy machine makes anybody wait who is well.
fn setup() -> Setup {
    Setup::default()
        .unhurried()
        .set("timeouts", "first_byte", "2s")
        .set("timeouts", "origin_silence", "2s")
        .set("timeouts", "client_silence", "2s")
        .set("timeouts", "small_body", "1s")
}

#[test]
fn an_origins_failure_is_the_origins_wherever_in_the_message_it_happens() {
    walk(&setup().start());
}

#[test]
fn the_same_with_nodes_on_tcp() {
    let nodes = ["r1", "r2", "r3"].map(|id| (id, Standalone::start(id, &setup())));
    let setup = nodes.iter().fold(setup().nodes(0), |setup, (id, node)| setup.node_at(id, &node.address.to_string()));
    let cluster = setup.start();
    until_true("all are up", PATIENCE, || cluster.metric("ringhold_node_up") == 3);
    walk(&cluster);
}

#[test]
fn the_rows_of_the_origin() {
    let walked = Walk::of("origin");
    let cluster = setup().set("timeouts", "connect", "2s").set("log", "access", "json").start();
    walk(&cluster);
    let mut cells = 0;
    for act in ROWS {
        let row = walked.row(act.when());
        for method in row.methods.iter().filter(|method| act.exists(method)) {
            let (origin, path) = (origin(act, &PLAIN), table::path());
            let url = format!("{}{path}", origin.url("/x"));
            let scene = Scene { cluster: &cluster, origin: &origin };
            walked.check(row, method, &scene.ask_for(row, method, &url), act.name);
            cells += 1;
        }
    }
    println!("{cells} cells of {} kinds", ROWS.len());
    let origin = Origin::start();
    let scene = Scene { cluster: &cluster, origin: &origin };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    walked.each("refuses", |row, method| scene.ask_for(row, method, &format!("http://{closed}{}", table::path())));
    let full = Full::start();
    walked.each("does not accept", |row, method| {
        scene.ask_for(row, method, &format!("http://{}{}", full.address, table::path()))
    });
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/idle*", move |_| held.wait());
    walked.each("takes nothing of an upload", |row, method| {
        let url = origin.url(&format!("/idle{}", table::path()));
        scene.by(row, &url, |client| {
            let mut upload = client.stream().try_clone().unwrap();
            let head = format!("{method} {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 64 << 20);
            thread::spawn(move || {
                upload.write_all(head.as_bytes()).and_then(|()| upload.write_all(&vec![0; 64 << 20]))
            });
            table::Got::next(client, method)
        })
    });
    gate.open();
    stands_in(&walked, &scene);
    origin.on("/more*", |x| x.raw("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhellomore"));
    walked.each("says more after the body", |row, method| {
        let seen = scene.ask(row, method, &format!("/more{}", table::path()));
        assert_eq!(cluster.get(&origin.url("/more")).text(), "hello", "nor does the next get it");
        seen
    });
    walked.done();
}

/// What is stored and may be used in place of an error is, wherever an origin breaks off before a byte of it was passed on.
fn stands_in(walked: &Walk, scene: &Scene<'_>) {
    let acts: [fn(&mut Exchange) -> io::Result<()>; 5] = [
        |x| x.begin_sized("", 1000),
        |x| x.begin_sized("", 1_000_000),
        |x| x.begin_chunked(""),
        |x| x.begin_chunked("").and_then(|()| x.raw("X\r\n")),
        |x| x.begin_sized("", 1000).and_then(|()| x.raw("some")),
    ];
    for act in acts {
        walked.each("breaks off between head and body, and what is stored may stand in", |row, method| {
            let path = table::path();
            let asked = Mutex::new(0);
            scene.origin.on(&path, move |x| match std::mem::replace(&mut *asked.lock().unwrap(), 1) {
                0 => x.reply(200, "Cache-Control: max-age=0, stale-if-error=60\r\n", "stored"),
                _ => {
                    x.hang_up();
                    act(x)
                }
            });
            assert_eq!(scene.cluster.get(&scene.origin.url(&path)).text(), "stored");
            let seen = scene.ask(row, method, &path);
            let again = scene.cluster.get(&scene.origin.url(&path));
            assert_eq!((again.text(), again.cache_status().contains("fwd=stale")), ("stored".into(), true));
            seen
        });
    }
}

/// Listens, and has no room for another connection.
struct Full {
    address: SocketAddr,
    _socket: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    fn start() -> Full {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let limit = Duration::from_millis(300);
        let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, limit).ok()).collect();
        Full { address, _socket: socket, _waiting: waiting }
    }
}

/// Ends a connection at once, as who is killed does.
fn reset(client: &mut Connection) -> table::Got {
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    table::Got::nothing()
}

fn log_line(cluster: &Cluster, url: &str) -> serde_json::Value {
    until("the line is written", PATIENCE, || {
        cluster.said().lines().rev().find(|line| line.contains(url)).and_then(|line| serde_json::from_str(line).ok())
    })
}
