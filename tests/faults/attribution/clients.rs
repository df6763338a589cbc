//! Rows of the client.

use super::table::{Got, Row, Scene, Seen, Walk, body, path};
use super::{reset, setup};
use crate::support::{Connection, Exchange, Origin, PATIENCE, client, until_true};
use std::io;

fn silent(x: &mut Exchange) -> io::Result<()> {
    x.until_closed()
}

fn large(x: &mut Exchange) -> io::Result<()> {
    x.whole_body()?;
    x.begin_sized("Cache-Control: no-store\r\n", 64 << 20)?;
    x.noise(1, 64 << 20)
}

/// What a client sends before it breaks off.
fn begin(method: &str, url: &str, fields: &str) -> String {
    format!("{method} {url} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", client::host_of(url))
}

#[test]
fn the_rows_of_the_client() {
    let walk = Walk::of("client");
    let cluster = setup().set("log", "access", "json").start();
    let origin = Origin::start();
    let scene = Scene { cluster: &cluster, origin: &origin };
    let on = |act: fn(&mut Exchange) -> io::Result<()>| {
        let path = path();
        origin.on(&path, act);
        (origin.url(&path), path)
    };
    walk.each("its head is malformed", |row, method| {
        let (url, _) = on(silent);
        scene.by(row, &url, |client| {
            client.send(begin(method, &url, "Host: another\r\n")).unwrap();
            Got::next(client, method)
        })
    });
    walk.each("leaves before the answer", |row, method| {
        let (url, path) = on(|x| x.whole_body().and_then(|_| x.until_closed()));
        scene.by(row, &url, |client| {
            client.request(method, &url, "", body(method)).unwrap();
            origin.until_asked(&path, 1);
            reset(client)
        })
    });
    walk.each("its upload is malformed", |row, method| {
        let (url, path) = on(|x| x.whole_body().map(drop));
        scene.by(row, &url, |client| {
            client.send(begin(method, &url, "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n").unwrap();
            origin.until_asked(&path, 1);
            client.send("ZZ\r\n").unwrap();
            Got::next(client, method)
        })
    });
    walk.each("breaks off its upload", |row, method| {
        let (url, path) = on(|x| x.whole_body().map(drop));
        scene.by(row, &url, |client| {
            client.send(begin(method, &url, "Content-Length: 10\r\n") + "hello").unwrap();
            origin.until_asked(&path, 1);
            reset(client)
        })
    });
    let takes_nothing = |row: &Row, method: &str, stay: bool| -> Seen {
        let (url, _) = on(large);
        scene.by(row, &url, |client| {
            client.request(method, &url, "", body(method)).unwrap();
            let (head, _) = client.final_head().unwrap();
            if stay {
                until_true("the front has given up", PATIENCE, || {
                    cluster.said().lines().any(|line| line.contains(&url) && line.contains("client-silent"))
                });
                return Got::of(&head, client.body(method, &head, |_| {}).is_ok());
            }
            reset(client);
            Got::of(&head, false)
        })
    };
    walk.each("leaves within the answer", |row, method| takes_nothing(row, method, false));
    walk.each("takes nothing for `client_silence`", |row, method| takes_nothing(row, method, true));
    super::slow::walk(&walk);
    walk.done();
}

#[test]
fn a_client_that_is_done_sending_and_gone_is_noticed_when_it_is_answered() {
    let cluster = setup().set("log", "access", "json").start();
    let origin = Origin::start();
    origin.on("/x", |x| x.reply(200, "Cache-Control: no-store\r\n", vec![b'x'; 1 << 20]));
    let mut client: Connection = cluster.connect();
    client.request("GET", &origin.url("/x"), "", b"").unwrap();
    drop(client);
    let line = super::log_line(&cluster, &origin.url("/x"));
    assert_eq!((&line["end"], &line["fault"]), (&"client-left".into(), &"client".into()), "{line}");
}

#[test]
fn a_client_that_has_all_of_an_early_answer_and_goes_has_done_nothing_wrong() {
    let cluster = setup().set("log", "access", "json").start();
    let origin = Origin::start();
    for (n, rest) in
        ["Content-Length: 0\r\n\r\n", "Content-Length: 2\r\n\r\nno", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
            .into_iter()
            .enumerate()
    {
        let path = format!("/early-{n}");
        origin.on(&path, move |x| {
            x.raw(format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=a\r\n{rest}"))?;
            x.until_closed()
        });
        let url = origin.url(&path);
        let mut client = cluster.connect();
        client.send(begin("POST", &url, "Content-Length: 50000000\r\n") + &"x".repeat(100_000)).unwrap();
        assert_eq!(client.response("POST").unwrap().status, 401);
        drop(client);
        let line = super::log_line(&cluster, &url);
        assert_eq!((&line["end"], &line["fault"]), (&"complete".into(), &serde_json::Value::Null), "{line}");
    }
}

#[test]
fn what_is_no_request_is_logged_and_counted_as_its_clients_fault() {
    let cluster = setup().set("log", "access", "json").start();
    let metric = |name: &str| {
        let metrics = cluster.manage("GET", "/metrics", "").text();
        metrics.lines().find_map(|line| line.strip_prefix(name).map(|n| n.trim().to_owned()))
    };
    let faults = "ringhold_front_faults_total{fault=\"client\",error=\"http_request_error\"}";
    for (n, (bytes, status)) in [
        ("hello there\r\n\r\n".to_owned(), 400),
        (format!("GET http://a/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000)), 431),
        ("GET http://a/ HTTP/2.0\r\n\r\n".to_owned(), 505),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = cluster.connect();
        _ = client.send(bytes);
        assert_eq!(client.response("GET").unwrap().status, status);
        until_true("it is logged", PATIENCE, || {
            let said = cluster.said();
            let line = said.lines().rev().find(|line| line.contains("\"url\":\"-\""));
            let line = line.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            line.is_some_and(|line| line["status"] == status && line["fault"] == "client" && line["end"] == "complete")
        });
        assert_eq!(metric(faults), Some((n + 1).to_string()), "it is counted");
    }
}
