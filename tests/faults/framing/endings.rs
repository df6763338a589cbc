//! What tells an old client, or one that still sends, how an answer and its connection end.

use super::NO_STORE;
use crate::support::{Cluster, Connection, Head, Origin, PATIENCE, Setup};
use std::io;

/// Asks as HTTP/1.0 and reads by its rules: the head, the body, and whether its end was in order.
fn ask(client: &mut Connection, method: &str, url: &str, fields: &str) -> (Head, Vec<u8>, io::Result<()>) {
    client.send(format!("{method} {url} HTTP/1.0\r\n{fields}\r\n")).unwrap();
    let head = client.head().unwrap();
    assert!(!head.has("transfer-encoding"), "RFC 9112 section 6.1: {head:?}");
    let bodiless = method == "HEAD" || matches!(head.word(1), "204" | "304");
    let keeps = head.lists("connection", "keep-alive");
    assert!(!(keeps && head.lists("connection", "close")), "{head:?}");
    if bodiless {
        return (head, Vec::new(), Ok(()));
    }
    if let Some(length) = head.get("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        let mut got = 0;
        while got < body.len() {
            match client.read(&mut body[got..]) {
                Ok(0) => return (head, body[..got].to_vec(), Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => got += n,
                Err(e) => return (head, body[..got].to_vec(), Err(e)),
            }
        }
        return (head, body, Ok(()));
    }
    assert!(!keeps, "a kept connection needs a length: {head:?}");
    match client.read_to_end() {
        Ok(body) => (head, body, Ok(())),
        Err(e) => (head, Vec::new(), Err(e)),
    }
}

fn pages(origin: &Origin) {
    origin.on("/sized/*", |x| x.reply(200, NO_STORE, "page"));
    origin.on("/hot", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    origin.on("/hotchunks", |x| {
        x.begin_chunked("Cache-Control: max-age=60\r\n")?;
        x.chunk("pa")?;
        x.chunk("ge")?;
        x.end_chunked("")
    });
    origin.on("/chunks", |x| {
        x.begin_chunked(NO_STORE)?;
        x.chunk("pa")?;
        std::thread::sleep(std::time::Duration::from_millis(50));
        x.chunk("ge")?;
        x.end_chunked("X-Sum: 1\r\n")
    });
    origin.on("/close", |x| {
        x.hang_up();
        x.raw(format!("HTTP/1.0 200 OK\r\n{NO_STORE}\r\npage"))
    });
    origin.on("/204", |x| x.reply_empty(204, NO_STORE));
    origin.on("/304", |x| x.reply_empty(304, "ETag: \"a\"\r\n"));
}

#[test]
fn http_1_0_clients_are_promised_what_is_kept() {
    let origin = Origin::start();
    pages(&origin);
    for hot in ["0", "16MiB"] {
        let cluster = Setup::default().nodes(1).set("hot", "memory", hot).start();
        for path in ["/hot", "/hotchunks"] {
            (0..4).for_each(|_| assert_eq!(cluster.get(&origin.url(path)).text(), "page"));
        }
        for fields in ["", "Connection: keep-alive\r\n", "Connection: close\r\n"] {
            for (method, path) in [
                ("GET", "/sized/a"),
                ("GET", "/hot"),
                ("GET", "/hotchunks"),
                ("GET", "/chunks"),
                ("GET", "/close"),
                ("HEAD", "/sized/a"),
                ("HEAD", "/chunks"),
                ("HEAD", "/close"),
                ("HEAD", "/hot"),
                ("GET", "/204"),
                ("GET", "/304"),
            ] {
                let mut client = cluster.connect();
                let (head, body, end) = ask(&mut client, method, &origin.url(path), fields);
                end.unwrap_or_else(|e| panic!("{method} {path} {fields}: {e}"));
                let empty = method == "HEAD" || matches!(path, "/204" | "/304");
                assert_eq!(body, if empty { &b""[..] } else { b"page" }, "{method} {path} {fields}");
                let kept = head.lists("connection", "keep-alive");
                assert!(!kept || fields.contains("keep-alive"), "not asked for: {method} {path} {head:?}");
                match kept {
                    true => assert_eq!(ask(&mut client, "GET", &origin.url("/sized/b"), fields).1, b"page"),
                    false => assert!(client.closes_within(PATIENCE), "{method} {path} {fields} {head:?}"),
                }
            }
            for target in ["GET /", "GET http://127.0.0.1:1/", "OPTIONS *"] {
                let (method, url) = target.split_once(' ').unwrap();
                let mut client = cluster.connect();
                let (head, _, end) = ask(&mut client, method, url, fields);
                end.unwrap();
                if !head.lists("connection", "keep-alive") {
                    assert!(client.closes_within(PATIENCE), "{target} {fields}");
                }
            }
        }
    }
}

#[test]
fn an_old_client_sees_that_a_body_broke_off() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    let large = "x".repeat(40_000);
    for cache in ["no-store", "max-age=60"] {
        let text = large.clone();
        origin.on(&format!("/chunks/{cache}"), move |x| {
            x.hang_up();
            x.begin_chunked(&format!("Cache-Control: {cache}\r\n"))?;
            x.chunk(&text)
        });
        let text = large.clone();
        origin.on(&format!("/sized/{cache}"), move |x| {
            x.hang_up();
            x.begin_sized(&format!("Cache-Control: {cache}\r\n"), 50_000)?;
            x.raw(&text)
        });
    }
    for path in ["/chunks/no-store", "/chunks/max-age=60", "/sized/no-store", "/sized/max-age=60"] {
        for fields in ["", "Connection: keep-alive\r\n"] {
            let (head, body, end) = ask(&mut cluster.connect(), "GET", &origin.url(path), fields);
            assert!(end.is_err() || head.word(1) == "502", "{path} {fields}: {head:?} {}", body.len());
        }
    }
}

fn begin_upload(cluster: &Cluster, url: &str, fields: &str) -> Connection {
    let mut client = cluster.connect();
    client.send(format!("POST {url} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).unwrap();
    client
}

#[test]
fn an_answer_that_ends_the_connection_before_the_upload_was_read_says_so() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/early", |x| {
        x.hang_up();
        x.reply(413, NO_STORE, "too much")
    });
    let refused = "http://127.0.0.1:1/".to_owned();
    for url in [origin.url("/early"), refused, "/".to_owned(), "https://a/".to_owned()] {
        for fields in [
            "Content-Length: 100000\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 9\r\nExpect: 100-continue\r\n",
        ] {
            let mut client = begin_upload(&cluster, &url, fields);
            if fields.contains("100000") {
                client.send("part").unwrap();
            } else if fields.contains("chunked") {
                client.send("4\r\npart\r\n").unwrap();
            }
            let answer = client.response("POST").unwrap();
            assert!(answer.status >= 200, "{url}");
            assert!(answer.head.lists("connection", "close"), "{url} {fields}: {:?}", answer.head);
        }
    }
    origin.on("/ok", |x| x.digest());
    let mut client = cluster.connect();
    for _ in 0..3 {
        let answer = client.ask("POST", &origin.url("/ok"), "", b"all of it");
        assert!(!answer.head.lists("connection", "close"), "what was read whole ends nothing: {:?}", answer.head);
    }
}
