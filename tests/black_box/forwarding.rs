//! Messages pass through whole: every method and framing, and nothing of one hop on the next.

use crate::support::framing::Framing;
use crate::support::*;

const NO_STORE: &str = "Cache-Control: no-store\r\n";

fn one_node() -> Cluster {
    Setup::default().nodes(1).start()
}

#[test]
fn a_connection_to_an_origin_is_used_again_for_its_time_and_then_opened_anew() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("timeouts", "origin_age", "300ms").start());
    origin.on("/o", |x| x.reply(200, NO_STORE, "whole"));
    let (mut client, mut asked) = (cluster.connect(), 0);
    // By then its name may mean another machine.
    until_true("it was opened anew twice", PATIENCE, || {
        assert_eq!(client.get(&origin.url("/o")).text(), "whole");
        asked += 1;
        origin.connections() > 2
    });
    assert!(asked > origin.connections(), "{asked}");
}

#[test]
fn every_method_reaches_the_origin() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/m", |x| {
        let body = x.whole_body()?;
        let said = format!("{} {}", x.method(), body.len());
        x.reply(200, NO_STORE, said)
    });
    let mut client = cluster.connect();
    for (method, body) in
        [("GET", ""), ("HEAD", ""), ("POST", "abc"), ("PUT", "abcd"), ("PATCH", "a"), ("DELETE", ""), ("REPORT", "xy")]
    {
        let answer = client.ask(method, &origin.url("/m"), "", body.as_bytes());
        assert_eq!(answer.status, 200, "{method}");
        let said = if method == "HEAD" { String::new() } else { format!("{method} {}", body.len()) };
        assert_eq!(answer.text(), said);
        assert_eq!(origin.heads("/m").pop().unwrap().word(0), method);
    }
}

#[test]
fn options_and_trace_stop_where_max_forwards_says() {
    // RFC 9110 section 7.6.2
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/m", |x| x.reply(200, "Allow: GET\r\n", ""));
    for method in ["OPTIONS", "TRACE"] {
        let answer = cluster.ask(method, &origin.url("/m"), "Max-Forwards: 0\r\n", b"");
        assert!(answer.status < 500, "{method}: {}", answer.head.line);
        assert_eq!(origin.count("/m"), 0, "{method} was forwarded");
    }
    assert_eq!(cluster.ask("OPTIONS", &origin.url("/m"), "Max-Forwards: 5\r\n", b"").status, 200);
    assert_eq!(origin.heads("/m")[0].get("max-forwards").as_deref(), Some("4"));
}

#[test]
fn a_client_of_http_1_0_gets_a_plain_answer_and_the_end_of_the_connection() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/chunked", |x| {
        x.begin_chunked(NO_STORE)?;
        x.chunk("one ")?;
        x.chunk("two")?;
        x.end_chunked("")
    });
    let mut client = cluster.connect();
    client.send(format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/chunked"))).unwrap();
    let answer = client.response("GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "one two"));
    assert!(!answer.head.has("transfer-encoding"), "RFC 9112 section 6.1: no chunks for HTTP/1.0");
    assert!(client.closes_within(PATIENCE));
    assert!(origin.heads("/chunked")[0].get("via").unwrap().starts_with("1.0 "), "Via tells the version as received");
}

#[test]
fn a_connection_carries_many_requests() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/k/*", |x| {
        let said = x.target().to_owned();
        x.reply(200, NO_STORE, said)
    });
    let mut client = cluster.connect();
    for i in 0..100 {
        let path = format!("/k/{i}");
        assert_eq!(client.get(&origin.url(&path)).text(), path);
    }
    assert!(origin.connections() <= 2, "connections to the origin are kept too: {}", origin.connections());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/p/*", |x| {
        let said = x.target().to_owned();
        x.reply(200, NO_STORE, said)
    });
    let mut client = cluster.connect();
    let get = |i: u32| format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.url(&format!("/p/{i}")), origin.address);
    client.send((0..20).map(get).collect::<String>()).unwrap();
    for i in 0..20 {
        assert_eq!(client.response("GET").unwrap().text(), format!("/p/{i}"));
    }
}

#[test]
fn bodies_pass_chunked_and_sized_in_both_directions() {
    let (origin, cluster) = (Origin::start(), one_node());
    let body = noise::Noise::bytes(1, 300_000);
    let sent = body.clone();
    origin.on("/up", Exchange::digest);
    origin.on("/sized", {
        let sent = sent.clone();
        move |x| x.reply(200, NO_STORE, &sent)
    });
    origin.on("/chunked", move |x| {
        x.begin_chunked(NO_STORE)?;
        sent.chunks(7919).try_for_each(|chunk| x.chunk(chunk))?;
        x.end_chunked("")
    });
    let mut client = cluster.connect();
    let wanted = format!("{} {}", body.len(), noise::sha256_of(1, body.len() as u64));
    assert_eq!(client.ask("POST", &origin.url("/up"), "", &body).text(), wanted);
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", origin.url("/up"));
    client.send(head).unwrap();
    for chunk in body.chunks(5000) {
        client.send(format!("{:x}\r\n", chunk.len())).unwrap();
        client.send(chunk).unwrap();
        client.send("\r\n").unwrap();
    }
    client.send("0\r\n\r\n").unwrap();
    assert_eq!(client.response("POST").unwrap().text(), wanted);
    let sized = client.get(&origin.url("/sized"));
    assert_eq!(sized.framing, Framing::Sized(body.len() as u64));
    assert!(sized.body == body);
    let chunked = client.get(&origin.url("/chunked"));
    assert_eq!(chunked.framing, Framing::Chunked);
    assert!(chunked.body == body);
}

#[test]
fn an_answer_that_ends_with_its_connection_arrives_whole() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/close", |x| {
        x.hang_up();
        x.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nuntil the end")
    });
    for _ in 0..2 {
        assert_eq!(cluster.get(&origin.url("/close")).text(), "until the end");
    }
    assert_eq!(origin.count("/close"), 1, "it ended in order, so it was whole (RFC 9112 section 8)");
}

#[test]
fn bytes_flow_before_the_message_is_complete() {
    let (origin, cluster) = (Origin::start(), one_node());
    let gate = Gate::default();
    origin.on("/down", {
        let gate = gate.clone();
        move |x| {
            x.begin_sized(NO_STORE, 6)?;
            x.raw("abc")?;
            gate.wait()?;
            x.raw("def")
        }
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/down"), "", b"").unwrap();
    client.head().unwrap();
    assert_eq!(client.read_exact(3).unwrap(), b"abc");
    gate.open();
    assert_eq!(client.read_exact(3).unwrap(), b"def");

    let (first, all) = (Gate::default(), Gate::default());
    origin.on("/up", {
        let (first, all) = (first.clone(), all.clone());
        move |x| {
            x.body(|_| first.open())?;
            all.open();
            x.reply(200, NO_STORE, "")
        }
    });
    client.send(format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc", origin.url("/up"))).unwrap();
    first.wait().expect("the origin has the first half before the second is sent");
    client.send("def").unwrap();
    assert_eq!(client.response("PUT").unwrap().status, 200);
}

#[test]
fn trailers_are_kept_both_ways() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/t", |x| {
        let trailers = x.body(|_| {})?;
        let sum = head::all(&trailers, "x-sum").join(",");
        x.begin_chunked(&format!("{NO_STORE}Trailer: X-Back\r\n"))?;
        x.chunk("body")?;
        x.end_chunked(&format!("X-Back: {sum}!\r\n"))
    });
    let mut client = cluster.connect();
    let fields = "Host: x\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n";
    let url = origin.url("/t");
    client.send(format!("POST {url} HTTP/1.1\r\n{fields}\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")).unwrap();
    let answer = client.response("POST").unwrap();
    assert_eq!(answer.text(), "body");
    assert_eq!(head::all(&answer.trailers, "x-back"), ["42!"]);
}

#[test]
fn fields_of_one_hop_end_there_whichever_connection_line_names_them() {
    // RFC 9110 section 7.6.1
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/h", |x| {
        let fields =
            "Connection: X-R1\r\nConnection: keep-alive, X-R2\r\nKeep-Alive: timeout=5\r\nX-R1: a\r\nX-R2: b\r\n";
        x.reply(200, &format!("{NO_STORE}{fields}X-R3: c\r\nX-R3: d\r\n"), "")
    });
    let fields = "Connection: keep-alive, X-One\r\nConnection: x-two,,\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n\
        Proxy-Authorization: Basic eDp5\r\nTE: trailers, deflate\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nX-Three: 4\r\n";
    let answer = cluster.ask("GET", &origin.url("/h"), fields, b"");
    let asked = &origin.heads("/h")[0];
    for name in ["x-one", "x-two", "keep-alive", "proxy-connection", "proxy-authorization"] {
        assert!(!asked.has(name), "{name} reached the origin");
    }
    assert!(!asked.lists("te", "deflate"));
    assert_eq!(asked.all("x-three"), ["3", "4"]);
    for name in ["x-r1", "x-r2"] {
        assert!(!answer.head.has(name), "{name} reached the client");
    }
    assert_eq!(answer.head.all("x-r3"), ["c", "d"]);
}

#[test]
fn a_connection_line_cannot_remove_the_framing() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/f", Exchange::digest);
    let answer = cluster.ask("POST", &origin.url("/f"), "Connection: content-length, host\r\n", b"hello");
    assert_eq!(answer.text(), format!("5 {}", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"));
}

#[test]
fn link_fields_of_the_program_stay_inside() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/l", |x| x.reply(200, &format!("{NO_STORE}Ringhold-Reach: local\r\n"), ""));
    let answer = cluster.ask("GET", &origin.url("/l"), "Ringhold-Client: remote\r\nRinghold-Else: x\r\n", b"");
    let inside = |head: &Head| head.fields.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("ringhold-"));
    assert_eq!(answer.status, 200);
    assert!(!inside(&answer.head) && !inside(&origin.heads("/l")[0]));
}

#[test]
fn via_names_us_in_both_directions_after_those_before_us() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/v", |x| x.reply(200, &format!("{NO_STORE}Via: 1.1 gate\r\n"), ""));
    let answer = cluster.ask("GET", &origin.url("/v"), "Via: 1.0 fred\r\n", b"");
    let asked = origin.heads("/v")[0].all("via").join(", ");
    assert!(asked.starts_with("1.0 fred, 1.1 ringhold-"), "{asked}");
    assert_eq!(asked.matches("ringhold-").count(), 1, "one member for the whole cluster: {asked}");
    let back = answer.head.all("via").join(", ");
    assert!(back.starts_with("1.1 gate, 1.1 ringhold-"), "{back}");
    assert!(!origin.heads("/v")[0].has("x-forwarded-for"));
}

#[test]
fn a_missing_date_is_added_and_a_given_one_kept() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/without", |x| x.reply(200, NO_STORE, ""));
    origin.on("/with", |x| x.reply(200, &format!("{NO_STORE}Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), ""));
    let added = cluster.get(&origin.url("/without")).head.all("date");
    assert!(added.len() == 1 && added[0].ends_with(" GMT"), "{added:?}");
    assert_eq!(cluster.get(&origin.url("/with")).head.all("date"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
}

#[test]
fn the_target_wins_over_a_host_that_disagrees() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/host", |x| x.reply(200, NO_STORE, ""));
    let mut client = cluster.connect();
    client.send(format!("GET {} HTTP/1.1\r\nHost: other.example\r\n\r\n", origin.url("/host"))).unwrap();
    assert_eq!(client.response("GET").unwrap().status, 200);
    assert_eq!(origin.heads("/host")[0].all("host"), [origin.address.to_string()]);
}

#[test]
fn cookies_odd_bytes_and_compressed_bodies_arrive_untouched() {
    let (origin, cluster) = (Origin::start(), one_node());
    let all: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let body = all.clone();
    origin.on("/b", move |x| {
        let mut head =
            format!("HTTP/1.1 200 OK\r\n{NO_STORE}Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len());
        head += "Set-Cookie: a=1; Path=/, x\r\nset-cookie: b=2\r\nSet-Cookie: c=\"3, 4\"\r\nX-Odd: caf";
        x.raw([head.as_bytes(), b"\xe9 \xff\r\nX-Empty:\r\n\r\n", &body].concat())
    });
    let answer = cluster.ask("GET", &origin.url("/b"), "Accept-Encoding: gzip\r\n", b"");
    assert!(answer.body == all);
    assert_eq!(answer.head.all("set-cookie"), ["a=1; Path=/, x", "b=2", "c=\"3, 4\""]);
    assert_eq!(answer.head.all("content-encoding"), ["gzip"]);
    assert_eq!(answer.head.all("x-odd"), ["caf\u{e9} \u{ff}"]);
    assert_eq!(answer.head.all("x-empty"), [""]);
    assert_eq!(origin.heads("/b")[0].all("accept-encoding"), ["gzip"]);
}

#[test]
fn an_answer_to_head_has_the_length_and_no_body() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/head", |x| x.reply(200, NO_STORE, "12345"));
    let mut client = cluster.connect();
    let answer = client.ask("HEAD", &origin.url("/head"), "", b"");
    assert_eq!(answer.get("content-length").as_deref(), Some("5"));
    assert_eq!(client.get(&origin.url("/head")).text(), "12345", "the connection is still in step");
}

#[test]
fn answers_without_a_body_pass() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/204", |x| x.reply_empty(204, "X-A: 1\r\n"));
    origin.on("/304", |x| x.reply_empty(304, "ETag: \"a\"\r\n"));
    let mut client = cluster.connect();
    assert_eq!(client.get(&origin.url("/204")).status, 204);
    assert_eq!(client.ask("GET", &origin.url("/304"), "If-None-Match: \"a\"\r\n", b"").status, 304);
    assert_eq!(client.get(&origin.url("/204")).get("x-a").as_deref(), Some("1"));
}

#[test]
fn an_origin_that_refuses_is_502_and_said_so() {
    let cluster = one_node();
    let refused = {
        let origin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        origin.local_addr().unwrap()
    };
    let answer = cluster.get(&format!("http://{refused}/"));
    assert_eq!(answer.status, 502);
    assert!(answer.has_error("connection_refused"), "{:?}", answer.head);
}

#[test]
fn a_name_that_does_not_exist_is_a_dns_error() {
    let answer = one_node().get("http://no-such-host.invalid/");
    assert!([502, 504].contains(&answer.status), "{}", answer.head.line);
    assert!(answer.head.all("proxy-status").join("").contains("error=dns_"), "{:?}", answer.head);
}
