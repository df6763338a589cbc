//! Rows of the peer: who owned a URL before is asked, and fails.

use super::nodes::{handing_over, owned_by};
use super::table::{Scene, Walk};
use crate::support::Exchange;
use std::io;
use std::time::Duration;

const HIT: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Status: f1; hit; ttl=60\r\nAge: 0\r\n";

fn sized(length: usize, body: &[u8]) -> Vec<u8> {
    [format!("{HIT}Content-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}

fn told(line: &str) -> Vec<u8> {
    let head = format!("{HIT}Ringhold-Length: 100000\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", 50_000);
    [head.as_bytes(), &[b'x'; 50_000], b"\r\n", line.as_bytes()].concat()
}

#[test]
fn the_rows_of_the_peer() {
    let walk = Walk::of("peer");
    let acts: [(&str, fn(&mut Exchange) -> io::Result<()>); 10] = [
        ("is silent before its head", |x| x.until_closed()),
        ("a connection is lost before its head", |_| Ok(())),
        ("a connection is lost within its head", |x| x.raw("HTTP/1.1 200 OK\r\nContent-Le")),
        ("a connection is lost within a small body", |x| x.raw(sized(1000, &[b'x'; 500]))),
        ("a connection is lost between head and body", |x| x.raw(sized(1000, b""))),
        ("a connection is lost between head and body", |x| {
            x.raw(sized(100_000, b""))?;
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        }),
        ("a connection is lost within the body", |x| x.raw(sized(100_000, &[b'x'; 50_000]))),
        ("a connection is lost within the body", |x| x.raw(told(""))),
        ("is silent within the body", |x| x.raw(sized(100_000, &[b'x'; 50_000])).and_then(|()| x.until_closed())),
        ("says within the body that the origin broke off", |x| x.raw(told("!origin http_response_incomplete\r\n"))),
    ];
    for (when, act) in acts {
        walk.each(when, |row, method| {
            let (fake, cluster, origin) = handing_over(act);
            let path = owned_by(&cluster, &origin, "n4");
            let seen = Scene { cluster: &cluster, origin: &origin }.ask(row, method, &path);
            let asked = fake.node.heads("http://*").iter().filter(|head| head.has("ringhold-asker")).count();
            assert!(asked > 0, "it was asked");
            seen
        });
    }
    walk.done();
}

#[test]
fn what_a_peer_hands_over_with_its_length_told_is_stored_with_it() {
    let (_fake, cluster, origin) = handing_over(|x| {
        x.raw(told(""))?;
        std::thread::sleep(Duration::from_millis(300));
        x.chunk([b'x'; 50_000])?;
        x.end_chunked("")
    });
    let url = origin.url(&owned_by(&cluster, &origin, "n4"));
    for _ in 0..2 {
        let answer = cluster.get(&url);
        assert_eq!((answer.status, answer.body.len()), (200, 100_000));
        assert_eq!(answer.get("content-length").as_deref(), Some("100000"));
    }
    assert!(cluster.get(&url).is_hit());
    assert_eq!(origin.count("/*"), 0);
}
