//! Halves of connections: a client that has sent its whole request and closed its half is answered, and one that is
//! answered early may go on sending.

use crate::support::*;
use std::thread::sleep;
use std::time::Duration;

const LATE: Duration = Duration::from_millis(800);

/// Sends bytes, closes its half, and reads all that comes.
fn half_closed(to: std::net::SocketAddr, bytes: &str) -> String {
    let mut client = Connection::to(to);
    client.send(bytes).unwrap();
    client.finish_sending();
    String::from_utf8_lossy(&client.read_to_end().unwrap_or_default()).into_owned()
}

#[test]
fn a_request_that_was_read_whole_is_answered_though_its_client_sends_no_more() {
    let (origin, cluster) = (Origin::start(), Setup::default().set("hot", "memory", "8MiB").start());
    for (path, fields) in [("/none", "Cache-Control: no-store\r\n"), ("/kept", "Cache-Control: max-age=60\r\n")] {
        origin.on(path, move |x| {
            x.whole_body()?;
            sleep(LATE);
            x.reply(200, fields, "the answer")
        });
    }
    origin.on("/slow/*", |x| {
        x.begin_chunked("Cache-Control: no-store\r\n")?;
        for piece in ["the ", "ans", "wer"] {
            sleep(LATE);
            x.chunk(piece)?;
        }
        x.end_chunked("")
    });
    let host = origin.address;
    let proxied = |method: &str, path: &str, rest: &str| format!("{method} http://{host}{path} {rest}");
    let own = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", cluster.proxy);
    let admin = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", cluster.admin);
    let plain = format!("HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let closing = format!("HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let upload = format!("HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx");
    let rows = [
        (cluster.proxy, proxied("GET", "/none", &plain), "the answer"),
        (cluster.proxy, proxied("GET", "/none", &plain), "the answer"),
        (cluster.proxy, proxied("GET", "/none", &closing), "the answer"),
        (cluster.proxy, proxied("GET", "/kept", &plain), "the answer"),
        (cluster.proxy, proxied("GET", "/kept", &plain), "the answer"),
        (cluster.proxy, proxied("GET", "/kept", &closing), "the answer"),
        (cluster.proxy, proxied("GET", "/none", "HTTP/1.0\r\n\r\n"), "the answer"),
        (cluster.proxy, proxied("HEAD", "/none", &plain), "HTTP/1.1 200"),
        (cluster.proxy, proxied("POST", "/none", &upload), "the answer"),
        (cluster.proxy, proxied("GET", "/slow/1", &plain), "wer\r\n0\r\n"),
        (cluster.proxy, proxied("GET", "/slow/1", &plain), "wer\r\n0\r\n"),
        (cluster.proxy, proxied("GET", "/slow/2", &closing), "wer\r\n0\r\n"),
        (cluster.proxy, own, "HTTP/1.1 200"),
        (cluster.admin, admin, "HTTP/1.1 200"),
        (
            cluster.proxy,
            format!("{}{}", proxied("GET", "/none", &plain), proxied("GET", "/kept", &plain)),
            "the answerHTTP/1.1 200",
        ),
    ];
    for (to, bytes, expected) in rows {
        let got = half_closed(to, &bytes);
        assert!(got.contains(expected), "{bytes:?}: {got:?}");
    }
}

#[test]
fn a_client_that_was_answered_early_may_go_on_sending() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/full", |x| {
        x.reply(413, "Cache-Control: no-store\r\nConnection: close\r\n", "too much")?;
        x.hang_up();
        Ok(())
    });
    let mut client = cluster.connect();
    let pieces = 30;
    client.request("POST", &origin.url("/full"), &format!("Content-Length: {}\r\n", pieces * 1000), b"").unwrap();
    // Reads nothing before it has sent all, in three seconds and more.
    for n in 0..pieces {
        client.send([b'x'; 1000]).unwrap_or_else(|e| panic!("piece {n}: {e}"));
        sleep(LATE / 7);
    }
    assert_eq!(client.response("POST").map(|answer| answer.status).unwrap(), 413);
}

#[test]
fn an_origin_that_has_begun_to_answer_may_wait_for_the_rest_of_an_upload() {
    let cluster = Setup::default().nodes(1).set("timeouts", "origin_silence", "500ms").start();
    let origin = Origin::start();
    origin.on("/early", |x| {
        x.begin_chunked("Cache-Control: no-store\r\n")?;
        x.chunk("begun, ")?;
        x.body(|_| {})?;
        x.chunk("and done")?;
        x.end_chunked("")
    });
    let mut client = cluster.connect();
    let url = origin.url("/early");
    client.send(format!("POST {url} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")).unwrap();
    for _ in 0..12 {
        client.send("5\r\npiece\r\n").unwrap();
        sleep(Duration::from_millis(150));
    }
    client.send("0\r\n\r\n").unwrap();
    assert_eq!(client.response("POST").unwrap().text(), "begun, and done");
}

#[test]
fn a_node_that_was_stopped_for_a_while_looks_at_what_has_come_before_it_calls_anybody_late() {
    let (cluster, origin) = (Setup::default().nodes(1).set("timeouts", "first_byte", "1s").start(), Origin::start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/late", move |x| {
        x.whole_body()?;
        held.wait()?;
        x.reply(200, "Cache-Control: no-store\r\n", "in time")
    });
    let mut client = cluster.connect();
    client.request("POST", &origin.url("/late"), "", b"x").unwrap();
    origin.until_asked("/late", 1);
    cluster.signal_node("n1", rustix::process::Signal::STOP);
    gate.open();
    sleep(Duration::from_millis(1500));
    cluster.signal_node("n1", rustix::process::Signal::CONT);
    let answer = client.response("POST").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "in time"));
}
