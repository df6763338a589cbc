//! Limits on everything that a stranger controls, each with a clear answer; and no bytes that end a process.

use crate::support::noise::Noise;
use crate::support::*;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

fn small_limits() -> Setup {
    let setup = Setup::default().nodes(1).set("limits", "head", "4KiB").set("limits", "fields", 20);
    let setup = setup.set("timeouts", "header", "300ms").set("timeouts", "idle", "600ms");
    setup.set("timeouts", "client_silence", "300ms").set("timeouts", "origin_silence", "300ms")
}

/// Sends bytes on a new connection; the answer, when there is one.
fn answer_to(cluster: &Cluster, bytes: impl AsRef<[u8]>) -> Option<Response> {
    let mut client = cluster.connect();
    let _ = client.send(bytes);
    client.patience(SOON);
    client.response("GET").ok()
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let cluster = small_limits().start();
    let long = format!("GET http://x.invalid/ HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(5000));
    let many = format!("GET http://x.invalid/ HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(30));
    let endless = format!("GET http://x.invalid/ HTTP/1.1\r\nX: {}", "x".repeat(5000));
    for bytes in [long, many, endless] {
        let answer = answer_to(&cluster, &bytes).unwrap_or_else(|| panic!("no answer to {bytes:.60}"));
        assert_eq!(answer.status, 431, "{bytes:.60}");
        assert!(answer.has_error("http_request_error"), "{:?}", answer.head);
    }
}

#[test]
fn a_target_that_is_too_long_is_refused() {
    let cluster = small_limits().start();
    let answer = answer_to(&cluster, format!("GET http://x.invalid/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(5000)));
    assert!([414, 431].contains(&answer.expect("an answer").status));
}

#[test]
fn a_head_that_does_not_end_is_408() {
    let cluster = small_limits().start();
    let mut client = cluster.connect();
    client.send("GET http://x.invalid/ HTTP/1.1\r\nHost:").unwrap();
    let answer = client.response("GET").unwrap();
    assert_eq!(answer.status, 408);
    assert!(answer.head.has("proxy-status"), "{:?}", answer.head);
    assert!(client.closes_within(SOON));
}

#[test]
fn an_idle_connection_is_closed() {
    let cluster = small_limits().start();
    let mut fresh = cluster.connect();
    assert!(fresh.closes_within(SOON), "one that never asked");
    let origin = Origin::start();
    let mut used = cluster.connect();
    assert_eq!(used.get(&origin.url("/")).status, 404);
    assert!(used.closes_within(SOON), "one that asked and went quiet");
}

#[test]
fn a_body_that_stalls_is_given_up() {
    let (origin, cluster) = (Origin::start(), small_limits().start());
    origin.on("/up", Exchange::digest);
    let mut client = cluster.connect();
    client.send(format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", origin.url("/up"))).unwrap();
    if let Ok(answer) = client.response("PUT") {
        assert!((400..600).contains(&answer.status), "{}", answer.head.line);
    }
    assert!(client.closes_within(SOON));
}

#[test]
fn an_origin_that_says_nothing_is_504() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("timeouts", "first_byte", "300ms").start());
    origin.on("/mute", |x| x.until_closed());
    let answer = cluster.get(&origin.url("/mute"));
    assert_eq!(answer.status, 504);
    assert!(answer.head.has("proxy-status"), "{:?}", answer.head);
}

#[test]
fn an_origin_that_stalls_midway_is_a_broken_transfer() {
    let (origin, cluster) = (Origin::start(), small_limits().start());
    origin.on("/stall", |x| {
        x.begin_sized("Cache-Control: max-age=60\r\n", 100)?;
        x.raw("half")?;
        x.until_closed()
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/stall"), "", b"").unwrap();
    assert!(client.response("GET").is_err());
}

#[test]
fn connections_beyond_the_limit_wait_or_are_told_but_are_not_forgotten() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("limits", "connections", 4).start());
    origin.on("/", |x| x.reply(200, "", "ok"));
    let mut four: Vec<_> = (0..4).map(|_| cluster.connect()).collect();
    four.iter_mut().for_each(|c| assert_eq!(c.get(&origin.url("/")).status, 200));
    let mut fifth = cluster.connect();
    let _ = fifth.request("GET", &origin.url("/"), "", b"");
    drop(four);
    let status = fifth.response("GET").map(|answer| answer.status);
    assert!(matches!(status, Ok(200 | 503)), "{status:?}");
    until_true("there is room again", SOON, || {
        cluster.connect().try_ask("GET", &origin.url("/"), "", b"").is_ok_and(|a| a.status == 200)
    });
}

#[test]
fn malformed_requests_are_refused_and_the_next_client_is_served() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "ok"));
    let url = origin.url("/up");
    let post = |fields: &str| format!("POST {url} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", origin.address);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let cases: Vec<(&str, String, &[u16])> = vec![
        ("two hosts (9112 3.2)", format!("GET {url} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), &[400]),
        ("no host (9112 3.2)", format!("GET {url} HTTP/1.1\r\n\r\n"), &[400]),
        ("a folded line (9112 5.2)", format!("GET {url} HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"), &[400]),
        ("a space before the colon (9112 5.1)", format!("GET {url} HTTP/1.1\r\nHost : a\r\n\r\n"), &[400]),
        ("a field without a name", format!("GET {url} HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"), &[400]),
        ("a NUL in a value (9110 5.5)", format!("GET {url} HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"), &[400]),
        ("two lengths (9112 6.3)", post("Content-Length: 1\r\nContent-Length: 2\r\n") + "ab", &[400]),
        ("a list of lengths", post("Content-Length: 1, 2\r\n") + "ab", &[400]),
        ("a signed length (9110 8.6)", post("Content-Length: +1\r\n") + "a", &[400]),
        ("a length that overflows", post("Content-Length: 99999999999999999999\r\n"), &[400, 413]),
        ("an unknown coding (9112 6.1)", post("Transfer-Encoding: gzip\r\n"), &[400, 501]),
        ("chunked twice (9112 6.1)", post("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n", &[400, 501]),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip\r\n") + "0\r\n\r\n", &[400, 501]),
        ("user information (9110 4.2.4)", get("http://me:pw@x.invalid/"), &[400]),
        ("no host (9110 4.2.1)", get("http:///path"), &[400]),
        ("a port that is none", get("http://x.invalid:99999/"), &[400]),
        ("another scheme", get("ftp://x.invalid/"), &[400, 501]),
        ("CONNECT without a port (9112 3.2.3)", "CONNECT x.invalid HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[400]),
        ("CONNECT with a path", "CONNECT http://x.invalid:443/ HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[400]),
        ("another version (9110 15.6.6)", format!("GET {url} HTTP/3.7\r\nHost: a\r\n\r\n"), &[400, 505]),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), &[400, 505]),
        ("no request at all", "hello there\r\n\r\n".into(), &[400]),
        ("the beginning of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".into(), &[400]),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, statuses) in cases {
        match answer_to(&cluster, &bytes) {
            Some(answer) if statuses.contains(&answer.status) && answer.head.has("proxy-status") => {}
            Some(answer) => wrong.push(format!("{name}: {} {:?}", answer.head.line, answer.head.all("proxy-status"))),
            None => wrong.push(format!("{name}: no answer")),
        }
        assert_eq!(cluster.get(&url).text(), "ok", "after {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(origin.heads("*").iter().all(|head| head.word(0) == "GET"), "something of a refused request got through");
}

#[test]
fn a_length_beside_chunks_is_refused_or_obeyed_by_nobody() {
    // RFC 9112 section 6.1: chunks count, the length goes, and the connection ends with the answer.
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/*", Exchange::digest);
    let fields = "Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n";
    let hidden = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", origin.url("/hidden"));
    let mut client = cluster.connect();
    client.send(format!("POST {} HTTP/1.1\r\n{fields}\r\n2\r\nab\r\n0\r\n\r\n{hidden}", origin.url("/up"))).unwrap();
    let answer = client.response("POST").unwrap();
    if answer.status != 400 {
        assert!(answer.text().starts_with("2 "), "{}", answer.text());
        assert!(origin.heads("/up").iter().all(|head| !(head.has("content-length") && head.has("transfer-encoding"))));
    }
    assert!(client.closes_within(SOON), "the connection stays open");
    assert_eq!(origin.count("/hidden"), 0, "what follows such a message is not trusted");
}

#[test]
fn a_bad_chunk_ends_the_upload_and_nothing_else() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/up", Exchange::digest);
    for chunk in ["zz\r\n", "-1\r\n", "5\r\nhelloworld\r\n", "fffffffffffffffff\r\n", "1\nx\r\n"] {
        let url = origin.url("/up");
        let head = format!("POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        if let Some(answer) = answer_to(&cluster, format!("{head}{chunk}0\r\n\r\n")) {
            assert!((400..600).contains(&answer.status), "{chunk:?}: {}", answer.head.line);
        }
        assert!(cluster.ask("POST", &url, "", b"x").text().starts_with("1 "));
    }
}

#[test]
fn messages_are_framed_anew_so_that_nothing_hides_in_them() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/*", Exchange::digest);
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let url = origin.url("/up");
    let chunk = format!("{:x};ext=\"\r\n\"\r\n", hidden.len());
    for start in [chunk, format!("{:X}; a=b\r\n", hidden.len()), format!("000{:x}\r\n", hidden.len())] {
        let body = format!("{start}{hidden}\r\n0\r\n\r\n");
        let head = format!("POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        let _ = answer_to(&cluster, head + &body);
    }
    assert_eq!(cluster.ask("POST", &url, "", hidden.as_bytes()).status, 200);
    assert_eq!(origin.count("/hidden"), 0);
}

#[test]
fn garbage_ends_no_process() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/*", Exchange::digest);
    let pids = cluster.pids();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        origin.url("/g")
    );
    let mut clients = Vec::new();
    for seed in 0..400_u64 {
        let noise = Noise::bytes(seed, 64 + seed);
        let mut bytes = request.clone().into_bytes();
        match seed % 4 {
            0 => bytes = noise,
            1 => bytes.truncate(seed as usize % request.len()),
            _ => noise.chunks(8).take(1 + seed as usize % 5).for_each(|n| {
                let at = usize::from(n[0]) % bytes.len();
                bytes[at] = n[1];
            }),
        }
        let mut connection = cluster.connect();
        let _ = connection.send(&bytes);
        connection.finish_sending();
        clients.push(connection);
        if clients.len() == 50 {
            clients.iter_mut().for_each(|c| assert!(c.closes_within(SOON), "a client that is done was left hanging"));
            clients.clear();
        }
    }
    assert_eq!(cluster.ask("POST", &origin.url("/g"), "", b"x").status, 200);
    assert_eq!(cluster.pids(), pids);
}

#[test]
fn garbage_from_an_origin_is_502_and_ends_no_process() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let pids = cluster.pids();
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2_000_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let cases = [
        "garbage\r\n\r\n",
        "\0\0\0\0",
        "HTTP/1.1 99999 X\r\n\r\n",
        "HTTP/1.1 20 X\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        &large,
        &many,
    ];
    for (i, bytes) in cases.iter().enumerate() {
        let path = format!("/bad/{i}");
        let bytes = bytes.to_string();
        origin.on(&path, move |x| {
            x.hang_up();
            x.raw(&bytes)
        });
        let answer = cluster.get(&origin.url(&path));
        assert_eq!(answer.status, 502, "{:.60}", cases[i]);
        assert!(answer.head.has("proxy-status"), "{:?}", answer.head);
    }
    assert_eq!(cluster.pids(), pids);
}
