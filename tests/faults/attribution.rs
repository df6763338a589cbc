//! Whose fault it was: what an origin does wrong is the origin's, wherever in the message it happens.

#[path = "attribution/others.rs"]
mod others;
#[path = "attribution/rows.rs"]
mod rows;

use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, Exchange, Origin, PATIENCE, Setup, client, until, until_true};
use rows::{Expect, ROWS, Row};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::thread;

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
    origin.on("/x", move |x: &mut Exchange| {
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
        for modes in MODES.chunks(MODES.len().div_ceil(4)) {
            let failed = &failed;
            scope.spawn(move || {
                for (row, mode) in ROWS.iter().flat_map(|row| modes.iter().map(move |mode| (row, mode))) {
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

fn setup() -> Setup {
    Setup::default()
        .unhurried()
        .set("timeouts", "first_byte", "700ms")
        .set("timeouts", "origin_silence", "700ms")
        .set("timeouts", "client_silence", "700ms")
        .set("timeouts", "small_body", "150ms")
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
fn the_same_with_the_access_log_on_which_says_whose_fault_it_was() {
    let cluster = setup().set("log", "access", "json").start();
    walk(&cluster);
    for row in ROWS.iter().filter(|row| row.exists("GET")) {
        let origin = origin(row, &PLAIN);
        let url = origin.url("/x");
        ask(&cluster, &PLAIN, &url);
        let line = log_line(&cluster, &url);
        let (Expect::Error(_, tokens) | Expect::Broken(_, tokens)) = row.expect;
        assert_eq!(line["fault"], "origin", "{}: {line}", row.name);
        assert!(tokens.contains(&line["source"].as_str().unwrap()), "{}: {line}", row.name);
        let end = line["end"].as_str().unwrap();
        assert!(["complete", "origin-broke"].contains(&end), "{}: {line}", row.name);
    }
    let faults = cluster.manage("GET", "/metrics", "").text();
    let blamed: Vec<&str> = faults.lines().filter(|line| line.starts_with("ringhold_front_faults_total{")).collect();
    assert!(blamed.iter().any(|line| line.contains("fault=\"origin\"")), "{blamed:#?}");
    assert!(!blamed.iter().any(|line| line.contains("fault=\"node\"")), "{blamed:#?}");
}

fn log_line(cluster: &Cluster, url: &str) -> serde_json::Value {
    until("the line is written", PATIENCE, || {
        cluster.said().lines().rev().find(|line| line.contains(url)).and_then(|line| serde_json::from_str(line).ok())
    })
}
