//! Requests: their targets, their content, and what is written down of them.

use super::{NO_STORE, one_node};
use crate::support::standalone::Standalone;
use crate::support::{Connection, Origin, PATIENCE, Setup, until_true};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread;

#[test]
fn a_request_with_a_doubtful_framing_is_refused_and_ends_its_connection() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/*", |x| x.reply(200, NO_STORE, "page"));
    for (i, fields) in [
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let (path, mut client) = (format!("/{i}"), cluster.connect());
        let head = format!("POST {} HTTP/1.1\r\nHost: x\r\n{fields}\r\n", origin.url(&path));
        client.send(format!("{head}5\r\nhello\r\n0\r\n\r\n")).unwrap();
        let answer = client.response("POST").unwrap();
        assert!(matches!(answer.status, 400 | 501), "{fields}: {}", answer.status);
        assert!(answer.head.lists("connection", "close"), "{fields}: {:?}", answer.head);
        assert!(client.closes_within(PATIENCE), "{fields}");
        assert_eq!(origin.count(&path), 0, "{fields}");
    }
}

#[test]
fn options_without_a_path_is_for_the_server_itself() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("*", |x| {
        let said = x.target().to_owned();
        x.reply(200, "Allow: GET\r\n", said)
    });
    let host = origin.url("");
    let mut client = cluster.connect();
    for (target, expected) in [
        (host.clone(), "*"),
        (format!("{host}/"), "/"),
        (format!("{host}/*"), "/*"),
        (format!("{host}?a"), "/?a"),
        (host.clone(), "*"),
    ] {
        assert_eq!(client.ask("OPTIONS", &target, "", b"").text(), expected, "{target}");
    }
    assert_eq!(client.get(&host).text(), "/");
    // A head that comes in two parts.
    client.send(format!("OPTIONS {host}")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    client.send(" HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(client.response("OPTIONS").unwrap().text(), "*");
}

#[test]
fn a_get_with_content_is_passed_on_with_it_and_neither_stored_nor_shared() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("hot", "memory", "16MiB").start());
    origin.on("/q", |x| {
        let said = x.whole_body()?;
        x.reply(200, "Cache-Control: max-age=60\r\n", said)
    });
    let mut client = cluster.connect();
    for text in ["one", "two"] {
        let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n", origin.url("/q"));
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\n{text}\r\n0\r\n\r\n")).unwrap();
        assert_eq!(client.response("GET").unwrap().text(), text);
        client.send(format!("{head}Content-Length: 3\r\n\r\n{text}")).unwrap();
        assert_eq!(client.response("GET").unwrap().text(), text);
    }
    for _ in 0..4 {
        assert_eq!(client.get(&origin.url("/q")).text(), "", "nothing of it was stored");
    }
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n", origin.url("/q"));
    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n0\r\n\r\n")).unwrap();
    assert_eq!(client.response("GET").unwrap().text(), "new", "what is stored does not answer it");
}

#[test]
fn what_scripts_write_in_a_target_passes_escaped() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("*", |x| {
        let said = x.target().to_owned();
        x.reply(200, "Cache-Control: max-age=60\r\n", said)
    });
    let raw = "/a\"b<c>d`e{f}g|h\\i^j?q=\"<>`{}|\\^%7B..";
    let escaped = "/a%22b%3Cc%3Ed%60e%7Bf%7Dg%7Ch%5Ci%5Ej?q=%22%3C%3E%60%7B%7D%7C%5C%5E%7B..";
    for (method, fields) in
        [("GET", ""), ("GET", "Connection: close\r\n"), ("POST", "Content-Length: 0\r\n"), ("DELETE", "")]
    {
        let answer = cluster.ask(method, &origin.url(raw), fields, b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, escaped), "{method} {fields}");
    }
    cluster.get(&origin.url(escaped));
    assert!(cluster.get(&origin.url(raw)).is_hit(), "it is one page, however it is written");
    let mut client = cluster.connect();
    client.send(format!("GET {} HTTP/1.0\r\n\r\n", origin.url(raw))).unwrap();
    assert_eq!(client.response("GET").unwrap().text(), escaped);
}

#[test]
fn a_line_of_the_access_log_is_one_line_whatever_a_client_writes() {
    let (origin, cluster) =
        (Origin::start(), Setup::default().nodes(1).set("log", "access", "text").set("log", "queries", true).start());
    origin.on("*", |x| x.reply(200, "Cache-Control: no-store\r\n", ""));
    let host = origin.url("");
    for target in ["/\"q\\", "/\u{85}x", "/\u{2028}y\u{2029}", "/\u{e9}", "/?a=\"b\u{9b}31m"] {
        let mut client = cluster.connect();
        client.send(format!("GET {host}{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).unwrap();
        let _ = client.read_to_end();
    }
    cluster.get(&origin.url("/last"));
    until_true("the last line is there", PATIENCE, || cluster.said().contains("/last"));
    let said = cluster.said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(" GET ") || line.contains("\"GET ")).collect();
    assert_eq!(lines.len(), 6, "{said}");
    for line in lines {
        assert!(line.chars().all(|c| (' '..='~').contains(&c)), "{line:?}");
        let inside = line.split_once("\"GET ").unwrap().1.split_once(" HTTP/1").unwrap().0;
        assert!(!inside.replace("\\\\", "").replace("\\\"", "").contains('"'), "{line}");
    }
}

/// An origin that refuses an upload by its head, and ends the connection: at once, which resets it, or when all was read.
fn refusing_origin(hears_out: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || -> io::Result<()> {
                let mut read = Vec::new();
                while !read.windows(4).any(|four| four == b"\r\n\r\n") {
                    let mut some = [0; 512];
                    let n = stream.read(&mut some)?;
                    read.extend_from_slice(&some[..n]);
                }
                let answer = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large";
                stream.write_all(answer.as_bytes())?;
                if hears_out {
                    stream.shutdown(Shutdown::Write)?;
                    io::copy(&mut stream, &mut io::sink())?;
                }
                Ok(())
            });
        }
    });
    address
}

#[test]
fn who_uploads_too_much_is_told_so_by_the_origin_every_time() {
    const SIZE: usize = 8 * 1024 * 1024;
    let cluster = one_node();
    let (piece, body) = (vec![b'x'; 64 * 1024], vec![b'x'; SIZE]);
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
    for (hears_out, chunked) in [(false, false), (false, true), (true, false), (true, true)] {
        let origin = refusing_origin(hears_out);
        for round in 0..20 {
            let mut client = cluster.connect();
            let framing = match chunked {
                true => "Transfer-Encoding: chunked".to_owned(),
                false => format!("Content-Length: {SIZE}"),
            };
            client.send(format!("POST http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\n{framing}\r\n\r\n")).unwrap();
            // Most clients read nothing before they have sent all, or cannot send any more.
            let _ = match chunked {
                true => (0..SIZE / piece.len())
                    .try_for_each(|_| client.send(&chunk))
                    .and_then(|()| client.send("0\r\n\r\n")),
                false => client.send(&body),
            };
            let case = format!("round {round}, hears out: {hears_out}, chunked: {chunked}");
            let answer = client.response("POST").unwrap_or_else(|e| panic!("{case}: {e}"));
            assert_eq!((answer.status, answer.text().as_str()), (413, "too large"), "{case}: {:?}", answer.head);
        }
    }
}

#[test]
fn a_node_that_is_asked_itself_refuses_what_a_front_refuses() {
    let origin = Origin::start();
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    let node = Standalone::start("n1", &Setup::default());
    let cluster = Setup::default().nodes(1).set("hot", "memory", "16MiB").start();
    let url = origin.url("/page");
    // So that the short ways would answer: a hot copy, what is stored.
    for to in [node.address, cluster.proxy] {
        (0..6).for_each(|_| assert_eq!(Connection::to(to).get(&url).status, 200));
    }
    for (method, lines, expected) in [
        ("GET", "Host: a b/@", 400),
        ("GET", "Host: me@x", 400),
        ("GET", "Host: x\r\nHost: x", 400),
        ("GET", "Host: x\r\nHost: y", 400),
        ("GET", "Accept: a", 400),
        ("HEAD", "Host: a/b", 400),
        ("POST", "Host: x\r\nTransfer-Encoding: gzip, chunked", 501),
        ("POST", "Host: x\r\nTransfer-Encoding: chunked, chunked", 501),
        ("POST", "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400),
    ] {
        for to in [node.address, cluster.proxy] {
            let mut client = Connection::to(to);
            let body = if method == "POST" { "5\r\nhello\r\n0\r\n\r\n" } else { "" };
            client.send(format!("{method} {url} HTTP/1.1\r\n{lines}\r\n\r\n{body}")).unwrap();
            assert_eq!(client.response(method).unwrap().status, expected, "{method} {lines}");
        }
    }
}
