//! What a node knows to be not storable is passed on from bytes to bytes, without a map of its fields (src/node/pass.rs). Its
//! answers, and what the origin is asked, are those of the long way.

use crate::support::standalone::Standalone;
use crate::support::*;

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As a front asks for a client on this machine.
const FRONT: &str = "Ringhold-Client: local\r\nX-Case: y\r\n";
/// The same, with a field that means nothing here and takes the long way.
const LONG: &str = "Ringhold-Client: local\r\nX-Case: y\r\nPragma: x\r\n";
const NO_STORE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: no-store\r\n";

type Row = (&'static str, fn(&mut Exchange) -> io::Result<()>);

/// Name and what the origin does.
const ROWS: &[Row] = &[
    ("length", |x| x.reply(200, &format!("{NO_STORE}X-Case: z\r\n"), "hello")),
    ("empty", |x| x.reply(200, NO_STORE, "")),
    ("private", |x| {
        x.reply(404, "Date: d\r\nCache-Control: max-age=9, Private\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x")
    }),
    ("no date", |x| x.reply(200, "Cache-Control: no-store\r\n", "hello")),
    ("no directive", |x| x.reply(200, "Date: d\r\n", "hello")),
    ("two lines", |x| x.reply(200, "Date: d\r\nCache-Control: a\r\nCache-Control: no-store\r\n", "hello")),
    ("understood", |x| x.reply(200, &format!("{NO_STORE}Cache-Control: must-understand, max-age=9\r\n"), "hello")),
    ("set-cookie", |x| x.reply(200, "Date: d\r\nSet-Cookie: a\r\n", "hello")),
    ("vary", |x| x.reply(200, "Date: d\r\nCache-Control: max-age=60\r\nVary: *\r\n", "hello")),
    ("storable", |x| x.reply(200, "Date: d\r\nCache-Control: max-age=60\r\n", "hello")),
    ("hop", |x| {
        let fields =
            "Keep-Alive: 5\r\nRinghold-Reach: remote\r\nRinghold-X: y\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n";
        x.reply(200, &format!("{NO_STORE}{fields}Proxy-Connection: close\r\n"), "hello")
    }),
    ("few of a hop", |x| x.reply(200, &format!("{NO_STORE}Keep-Alive: 5\r\nConnection: close\r\n"), "hello")),
    ("named", |x| x.reply(200, &format!("{NO_STORE}Connection: x-gone\r\nX-Gone: y\r\n"), "hello")),
    ("status 204", |x| x.reply_empty(204, NO_STORE)),
    ("status 204 with a length", |x| x.reply_empty(204, &format!("{NO_STORE}Content-Length: 5\r\n"))),
    ("status 304", |x| x.reply_empty(304, NO_STORE)),
    ("status 206", |x| x.reply(206, &format!("{NO_STORE}Content-Range: bytes 0-4/9\r\n"), "hello")),
    ("status 412", |x| x.reply(412, NO_STORE, "hello")),
    ("status 503", |x| x.reply(503, &format!("{NO_STORE}Retry-After: 9\r\n"), "hello")),
    ("status 599", |x| x.reply(599, NO_STORE, "hello")),
    ("chunked", |x| {
        x.begin_chunked(NO_STORE)?;
        x.chunk("hel")?;
        x.chunk("lo")?;
        x.end_chunked("")
    }),
    ("chunked at once", |x| {
        x.raw(format!("HTTP/1.1 200 X\r\n{NO_STORE}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"))
    }),
    ("until close", |x| {
        x.hang_up();
        x.raw(format!("HTTP/1.1 200 X\r\n{NO_STORE}\r\nhello"))
    }),
    ("HTTP/1.0", |x| {
        x.hang_up();
        x.raw(format!("HTTP/1.0 200 X\r\n{NO_STORE}Content-Length: 5\r\n\r\nhello"))
    }),
    ("large", |x| {
        x.begin_sized(NO_STORE, 300_000)?;
        x.noise(7, 300_000)
    }),
    ("medium", |x| {
        x.begin_sized(NO_STORE, 12_000)?;
        x.noise(7, 12_000)
    }),
    ("in pieces", |x| {
        let answer = format!("HTTP/1.1 200 X\r\n{NO_STORE}Content-Length: 5\r\n\r\nhello");
        x.drip(answer.as_bytes(), 12, Duration::from_millis(60))
    }),
    ("interim", |x| {
        x.raw("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\nConnection: x\r\nX: y\r\n\r\n")?;
        x.reply(200, NO_STORE, "hello")
    }),
    // What is left says no length, so its body ends with the connection.
    ("malformed", |x| {
        x.hang_up();
        x.raw("HTTP/1.1 200 X\r\nno colon\r\n\r\n")
    }),
    ("not HTTP", |x| x.raw("220 mail.example.com ESMTP\r\n")),
    ("two lengths", |x| {
        x.raw(format!("HTTP/1.1 200 X\r\n{NO_STORE}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"))
    }),
    ("one length twice", |x| {
        x.raw(format!("HTTP/1.1 200 X\r\n{NO_STORE}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"))
    }),
    ("other coding", |x| {
        x.raw(format!("HTTP/1.1 200 X\r\n{NO_STORE}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"))
    }),
    ("too long", |x| x.raw(format!("HTTP/1.1 200 X\r\nA: {}\r\n\r\n", "a".repeat(200_000)))),
    ("too many", |x| x.raw(format!("HTTP/1.1 200 X\r\n{}\r\n", "A: b\r\n".repeat(200)))),
    ("closes", |x| {
        x.hang_up();
        Ok(())
    }),
    ("closes in its head", |x| {
        x.hang_up();
        x.raw("HTTP/1.1 200 X\r\nCache-Con")
    }),
    ("resets", |x| x.reset()),
    ("closes in its body", |x| {
        x.hang_up();
        x.begin_sized(NO_STORE, 9)?;
        x.raw("hello")
    }),
    ("closes in a chunk", |x| {
        x.hang_up();
        x.begin_chunked(NO_STORE)?;
        x.raw("9\r\nhello")
    }),
    ("more than its length", |x| {
        x.raw(format!("HTTP/1.1 200 X\r\n{NO_STORE}Content-Length: 5\r\n\r\nhello, and more"))
    }),
];

/// The first answer for each path is not to be stored; then comes what the row says.
fn serve_rows(origin: &Origin) {
    for (name, answer) in ROWS {
        let primed = Mutex::new(HashSet::new());
        origin.on(&format!("{}*", path(name)), move |x| {
            let first = primed.lock().unwrap().insert(x.target().to_owned());
            if first { x.reply(200, NO_STORE, "first") } else { answer(x) }
        });
    }
}

fn path(name: &str) -> String {
    format!("/{}/", name.replace([' ', '.', '/'], "-"))
}

fn node(setup: Setup) -> Standalone {
    Standalone::start("n1", &setup)
}

/// Asks for what is known, from now on, to be not storable.
fn prime(node: &Standalone, url: &str) {
    assert_eq!(Connection::to(node.address).ask("GET", url, FRONT, b"").text(), "first");
}

/// All of an answer that a client can see: names in lower case, `Date` only as being there.
fn seen(answer: io::Result<Response>) -> Result<String, io::ErrorKind> {
    let answer = answer.map_err(|e| e.kind())?;
    let mut fields: Vec<_> = answer.head.fields.iter().map(line).collect();
    fields.sort();
    let body = if answer.body.len() > 100 { format!("{} bytes", answer.body.len()) } else { answer.text() };
    let (framing, trailers, interim) = (answer.framing, answer.trailers, answer.interim);
    Ok(format!("{} {fields:#?} {body} {framing:?} {trailers:?} {interim:?}", answer.head.line))
}

fn line((name, value): &(String, Vec<u8>)) -> String {
    let value =
        if name.eq_ignore_ascii_case("date") { "…".into() } else { String::from_utf8_lossy(value).into_owned() };
    format!("{}: {value}", name.to_lowercase())
}

#[test]
fn an_answer_is_the_same_either_way() {
    let (origin, node) = (Origin::start(), node(Setup::default()));
    serve_rows(&origin);
    for (name, _) in ROWS {
        let ask = |way: &str, fields: &str| {
            let url = origin.url(&format!("{}{way}", path(name)));
            prime(&node, &url);
            keep(&node, &origin);
            let answer = seen(Connection::to(node.address).try_ask("GET", &url, fields, b""));
            (answer, origin.count(&format!("{}{way}", path(name))))
        };
        assert_eq!(ask("short", FRONT), ask("long", LONG), "{name}");
    }
}

#[test]
fn what_the_origin_is_asked_is_the_same_either_way() {
    let (origin, node) = (Origin::start(), node(Setup::default()));
    serve_rows(&origin);
    let url = origin.url("/length/a?b=c%20d");
    prime(&node, &url);
    let rows =
        ["", "Accept: */*\r\nCookie: a=b\r\nCookie: c\r\nVia: 1.1 front\r\n", "Keep-Alive: 5\r\nRinghold-X: y\r\n"];
    for fields in rows {
        let mut heads = [FRONT, LONG].map(|way| {
            let answer = Connection::to(node.address).ask("GET", &url, &format!("{way}{fields}"), b"");
            assert_eq!(answer.text(), "hello");
            let head = origin.heads("/length/a?b=c%20d").pop().unwrap();
            let mut lines: Vec<_> = head.fields.iter().map(line).filter(|line| line != "pragma: x").collect();
            lines.sort();
            (head, lines)
        });
        // Only the long way reads the names.
        assert!(heads[0].0.fields.iter().any(|(name, _)| name == "X-Case"), "{:?}", heads[0].0);
        assert!(heads[1].0.fields.iter().any(|(name, _)| name == "x-case"), "{:?}", heads[1].0);
        let ((short, lines), (long, expected)) = (std::mem::take(&mut heads[0]), std::mem::take(&mut heads[1]));
        assert_eq!((short.line, lines), (long.line, expected), "{fields}");
    }
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let (origin, node) = (Origin::start(), node(Setup::default()));
    serve_rows(&origin);
    let names = ["length", "empty", "chunked", "large", "interim", "status 204", "storable"];
    let urls = names.map(|name| origin.url(&path(name)));
    urls.iter().for_each(|url| prime(&node, url));
    let before = origin.connections();
    let mut client = Connection::to(node.address);
    for _ in 0..3 {
        for url in &urls {
            client.ask("GET", url, FRONT, b"");
        }
    }
    assert_eq!(origin.connections(), before, "the long way has one already");
    assert_eq!(origin.count(&path("storable")), 2, "stored when it could be, and answered from the store since");
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_and_nobody_sees_it() {
    let (origin, node) = (Origin::start(), node(Setup::default()));
    for how in [|x: &mut Exchange| x.hang_up(), |x: &mut Exchange| x.reset().unwrap()] {
        origin.on("/*", move |x| {
            x.reply(200, NO_STORE, "first")?;
            how(x);
            Ok(())
        });
        let url = origin.url("/page");
        for _ in 0..20 {
            let answer = Connection::to(node.address).ask("GET", &url, FRONT, b"");
            assert_eq!((answer.status, answer.text().as_str()), (200, "first"));
        }
    }
}

#[test]
fn what_an_origin_says_unasked_on_a_kept_connection_answers_nothing() {
    let (origin, node) = (Origin::start(), node(Setup::default()));
    origin.on("/*", |x| {
        let target = x.target().to_owned();
        // In one write: what comes after the next request was sent cannot be told from its answer.
        let (answer, unasked) = (target.len(), "HTTP/1.1 408 Too slow\r\nContent-Length: 0\r\n\r\n");
        x.raw(format!("HTTP/1.1 200 OK\r\n{NO_STORE}Content-Length: {answer}\r\n\r\n{target}{unasked}"))
    });
    for _ in 0..10 {
        for path in ["/a", "/b"] {
            let answer = Connection::to(node.address).ask("GET", &origin.url(path), FRONT, b"");
            assert_eq!((answer.status, answer.text().as_str()), (200, path));
        }
    }
}

#[test]
fn an_origin_that_says_nothing_is_given_up_in_time() {
    let setup = Setup::default().set("timeouts", "first_byte", "300ms").set("timeouts", "origin_silence", "300ms");
    let (origin, node) = (Origin::start(), node(setup));
    serve_rows(&origin);
    let (silent, stalled) = (Gate::default(), Gate::default());
    for (name, gate) in [("/silent/*", silent.clone()), ("/stalled/*", stalled.clone())] {
        let primed = Mutex::new(HashSet::new());
        origin.on(name, move |x| {
            if primed.lock().unwrap().insert(x.target().to_owned()) {
                return x.reply(200, NO_STORE, "first");
            }
            if name == "/stalled/*" {
                x.begin_sized(NO_STORE, 9)?;
                x.raw("hello")?;
            }
            gate.wait()
        });
    }
    for path in ["/silent/", "/stalled/"] {
        let answers = [("short", FRONT), ("long", LONG)].map(|(way, fields)| {
            let url = origin.url(&format!("{path}{way}"));
            prime(&node, &url);
            // A connection that has been kept for longer than the limit is as good as new.
            keep(&node, &origin);
            seen(Connection::to(node.address).try_ask("GET", &url, fields, b""))
        });
        assert_eq!(answers[0], answers[1], "{path}");
        assert!(path == "/stalled/" || answers[0].as_ref().is_ok_and(|a| a.contains("504")), "{answers:?}");
    }
    silent.open();
    stalled.open();
}

/// Leaves a kept connection behind.
fn keep(node: &Standalone, origin: &Origin) {
    for _ in 0..2 {
        let answer = Connection::to(node.address).ask("GET", &origin.url("/length/kept"), FRONT, b"");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn requests_beyond_the_connections_of_an_origin_wait_for_one() {
    let setup = Setup::default().set("limits", "origin_connections", 1);
    let (origin, node) = (Origin::start(), node(setup));
    let (gate, at_once, most) = (Gate::default(), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (held, seen) = (gate.clone(), most.clone());
    origin.on("/*", move |x| {
        if x.target() == "/held" && x.head.has("x-wait") {
            held.wait()?;
        }
        seen.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        at_once.fetch_sub(1, Ordering::SeqCst);
        x.reply(200, NO_STORE, "first")
    });
    let (held, other) = (origin.url("/held"), origin.url("/other"));
    prime(&node, &held);
    prime(&node, &other);
    let mut first = Connection::to(node.address);
    first.request("GET", &held, &format!("{FRONT}X-Wait: y\r\n"), b"").unwrap();
    origin.until_asked("/held", 2);
    let mut second = Connection::to(node.address);
    second.request("GET", &other, FRONT, b"").unwrap();
    second.patience(Duration::from_millis(200));
    assert!(second.head().is_err(), "there is no connection for it");
    gate.open();
    assert_eq!(first.response("GET").unwrap().text(), "first");
    second.patience(PATIENCE);
    assert_eq!(second.response("GET").unwrap().text(), "first");
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn what_only_this_machine_may_reach_is_for_nobody_else_either_way() {
    let (origin, node) = (Origin::start(), node(Setup::default()));
    serve_rows(&origin);
    let url = origin.url("/length/a");
    prime(&node, &url);
    let local = Connection::to(node.address).ask("GET", &url, FRONT, b"");
    assert_eq!(local.get("ringhold-reach").as_deref(), Some("local"));
    let before = origin.count("/length/a");
    let answers = ["", "Pragma: x\r\n"].map(|more| {
        let fields = format!("Ringhold-Client: remote\r\n{more}");
        seen(Connection::to(node.address).try_ask("GET", &url, &fields, b"")).unwrap()
    });
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("403") && answers[0].contains("destination_ip_prohibited"), "{}", answers[0]);
    assert_eq!(origin.count("/length/a"), before);
}
