//! HTTP/2 inside the TLS of a host that is answered for: the same requests and answers as by HTTP/1.1 (RFC 9113).

#[path = "http2/bounds.rs"]
mod bounds;
#[path = "http2/held.rs"]
mod held;
#[path = "http2/table.rs"]
mod table;
#[path = "http2/trailers.rs"]
mod trailers;

use crate::support::*;

const KEEP: &str = "Cache-Control: max-age=60\r\n";

#[test]
fn a_client_of_http_2_is_answered_from_the_cache() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, &format!("{KEEP}Alt-Svc: h3=\":443\"\r\nX-A: b\r\n"), "page"));
    for protocols in [&["h2", "http/1.1"][..], &["h2"]] {
        let client = Http2::over(stage.inside(&stage.client(protocols)));
        for _ in 0..2 {
            let answer = client.get(&stage.url("/page"));
            assert_eq!((answer.status, answer.text().as_str()), (200, "page"));
            assert_eq!(answer.get("x-a").as_deref(), Some("b"));
            assert_eq!(answer.get("content-length").as_deref(), Some("4"));
            for dropped in ["alt-svc", "connection", "transfer-encoding", "keep-alive"] {
                assert_eq!(answer.get(dropped), None, "{dropped}");
            }
        }
        assert!(client.get(&stage.url("/page")).is_hit());
    }
    assert_eq!(stage.origin.count("/page"), 1);
    let asked = &stage.origin.heads("/page")[0];
    assert_eq!(asked.line, "GET /page HTTP/1.1");
    let via = asked.get("via").unwrap();
    assert!(via.starts_with("2.0 ringhold-"), "{via}");
    stage.until_logged(&format!("GET {} HTTP/2.0", stage.url("/page")));
    let metrics = stage.cluster.manage("GET", "/metrics", "").text();
    assert!(metrics.contains("ringhold_front_tls_connections_total{http_version=\"2\"} 2\n"), "{metrics}");
    // The same URL by absolute form and HTTP/1.1 is the same.
    assert!(stage.cluster.get(&stage.url("/page")).is_hit());
}

#[test]
fn hot_copies_are_answered_at_once() {
    let stage = Intercepted::with(|setup, _| setup.set("hot", "memory", "64MiB"));
    let long = "x".repeat(300_000);
    let content = long.clone();
    stage.origin.on("/page", move |x| x.reply(200, KEEP, &content));
    let client = stage.http2();
    let is_hot = || stage.cluster.metric("ringhold_front_hot_hits_total") > 0;
    until_true("the hot copy answers", PATIENCE, || client.get(&stage.url("/page")).text() == long && is_hot());
    let head = client.ask("HEAD", &stage.url("/page"), &[], b"").unwrap();
    assert_eq!((head.status, head.get("content-length").as_deref(), head.body.len()), (200, Some("300000"), 0));
    assert_eq!(stage.origin.count("/page"), 1);
}

#[test]
fn answers_without_content_and_parts_are_as_they_are_by_http_1() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, &format!("{KEEP}ETag: \"a\"\r\n"), "0123456789"));
    stage.origin.on("/none", |x| x.reply_empty(204, ""));
    stage.origin.on("/chunked", |x| {
        x.begin_chunked(KEEP)?;
        x.chunk("some")?;
        x.end_chunked("")
    });
    let client = stage.http2();
    let ask = |method, path: &str, fields: &[(&str, &str)]| client.ask(method, &stage.url(path), fields, b"").unwrap();
    let head = ask("HEAD", "/page", &[]);
    assert_eq!((head.status, head.get("content-length").as_deref(), head.body.len()), (200, Some("10"), 0));
    assert_eq!(ask("GET", "/page", &[]).text(), "0123456789");
    let part = ask("GET", "/page", &[("range", "bytes=2-4")]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.get("content-range").as_deref(), Some("bytes 2-4/10"));
    let same = ask("GET", "/page", &[("if-none-match", "\"a\"")]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    let none = ask("GET", "/none", &[]);
    assert_eq!((none.status, none.get("content-length"), none.body.len()), (204, None, 0));
    for _ in 0..2 {
        assert_eq!(ask("GET", "/chunked", &[]).text(), "some");
    }
    assert_eq!(ask("OPTIONS", "/page", &[("max-forwards", "0")]).status, 204);
}

#[test]
fn uploads_pass_whether_their_length_is_known_or_not() {
    let stage = Intercepted::new();
    stage.origin.on("/digest", |x| x.digest());
    let client = stage.http2();
    let content: Vec<u8> = (0..700_000u32).map(|n| n as u8).collect();
    let length = content.len().to_string();
    let mut known = client.begin("POST", &stage.url("/digest"), &[("content-length", &length)], false).unwrap();
    known.send(&content, true).unwrap();
    let known = known.answer().unwrap().whole().unwrap();
    let mut unknown = client.begin("PUT", &stage.url("/digest"), &[], false).unwrap();
    unknown.send(&content, false).unwrap();
    unknown.send(b"", true).unwrap();
    let unknown = unknown.answer().unwrap().whole().unwrap();
    assert!(known.text().starts_with("700000 "), "{}", known.text());
    assert_eq!(known.text(), unknown.text());
    let heads = stage.origin.heads("/digest");
    assert_eq!((heads[0].get("content-length"), heads[0].get("transfer-encoding")), (Some(length), None));
    assert_eq!(heads[1].get("content-length"), None);
    assert_eq!(heads[1].get("transfer-encoding").as_deref(), Some("chunked"));
    // Nothing to be sent, and said so.
    let empty = client.ask("POST", &stage.url("/digest"), &[("content-length", "0")], b"").unwrap();
    assert!(empty.text().starts_with("0 "));
}

#[test]
fn trailers_pass_both_ways() {
    let stage = Intercepted::new();
    stage.origin.on("/trailers", |x| {
        let sent = x.body(|_| {})?;
        assert_eq!(sent, [("x-sum".to_owned(), b"7".to_vec())]);
        x.begin_chunked("Trailer: X-End\r\n")?;
        x.chunk("some")?;
        x.end_chunked("X-End: here\r\n")
    });
    let client = stage.http2();
    for (fields, expected) in [(&[("te", "trailers")][..], 1), (&[], 0)] {
        let mut stream = client.begin("POST", &stage.url("/trailers"), fields, false).unwrap();
        stream.send(b"content", false).unwrap();
        stream.send_trailers(&[("x-sum", "7")]);
        let answer = stream.answer().unwrap().whole().unwrap();
        assert_eq!(answer.text(), "some");
        assert_eq!(answer.trailers.len(), expected, "{:?}", answer.trailers);
    }
}

#[test]
fn crumbs_of_cookies_are_one_field_behind_it() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, "Cache-Control: no-store\r\n", "page"));
    let client = stage.http2();
    client.ask("GET", &stage.url("/page"), &[("cookie", "a=1"), ("cookie", "b=2"), ("x-y", "z")], b"").unwrap();
    let head = &stage.origin.heads("/page")[0];
    assert_eq!(head.get("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(head.get("x-y").as_deref(), Some("z"));
}

#[test]
fn interim_responses_are_passed_on() {
    let stage = Intercepted::new();
    stage.origin.on("/early", |x| {
        x.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
        x.reply(200, "", "page")
    });
    stage.origin.on("/upload", |x| x.digest());
    let client = stage.http2();
    let answer = client.get(&stage.url("/early"));
    assert_eq!((answer.status, answer.interim.as_slice()), (200, &[103][..]));
    let url = stage.url("/upload");
    let mut upload = client.begin("POST", &url, &[("expect", "100-continue"), ("content-length", "3")], false).unwrap();
    upload.send(b"abc", true).unwrap();
    assert!(upload.answer().unwrap().whole().unwrap().text().starts_with("3 "));
}

#[test]
fn a_request_is_for_the_host_of_its_tunnel_alone() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let ask = |method, url: &str, fields: &[(&str, &str)]| client.ask(method, url, fields, b"").unwrap();
    let (url, host) = (stage.url("/page"), stage.host());
    assert_eq!(ask("GET", "https://other.example/page", &[]).status, 421);
    assert_eq!(ask("GET", &url, &[("host", "other.example")]).status, 400);
    assert_eq!(ask("GET", &url, &[("host", &host.to_uppercase())]).status, 200);
    assert_eq!(ask("GET", &url.replace("https:", "http:"), &[]).status, 400);
    assert_eq!(ask("CONNECT", &host, &[]).status, 400);
    // None of that ends the connection.
    assert!(client.get(&url).is_hit());
    assert_eq!(client.end(), None);
}

#[test]
fn a_client_that_gives_up_a_request_has_left() {
    let stage = Intercepted::new();
    let gate = Gate::default();
    let held = gate.clone();
    stage.origin.on("/slow", move |_| held.wait());
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let stream = client.begin("GET", &stage.url("/slow"), &[], true).unwrap();
    stage.origin.until_asked("/slow", 1);
    stream.reset();
    stage.until_logged("client-left");
    gate.open();
    assert_eq!(client.get(&stage.url("/page")).text(), "page");
}

#[test]
fn a_body_that_breaks_off_is_reset_and_comes_to_no_end() {
    let stage = Intercepted::new();
    for (path, chunked) in [("/chunked", true), ("/sized", false)] {
        stage.origin.on(path, move |x| {
            if chunked {
                x.begin_chunked(KEEP)?;
                x.chunk(vec![1; 100_000])?;
            } else {
                x.begin_sized(KEEP, 1_000_000)?;
                x.noise(1, 100_000)?;
            }
            x.cut();
            Ok(())
        });
    }
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    for path in ["/chunked", "/sized"] {
        let broken = client.ask("GET", &stage.url(path), &[], b"").unwrap_err();
        assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}: {broken}");
    }
    stage.until_logged("origin-broke");
    assert_eq!(client.get(&stage.url("/page")).text(), "page");
}

#[test]
fn an_answer_may_come_before_all_of_its_request() {
    let stage = Intercepted::new();
    stage.origin.on("/early", |x| {
        x.reply(403, "Connection: close\r\n", "not that")?;
        x.hang_up();
        Ok(())
    });
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let mut upload = client.begin("POST", &stage.url("/early"), &[("content-length", "10000000")], false).unwrap();
    upload.send(&[7; 1000], false).unwrap();
    let answer = upload.answer().unwrap().whole().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (403, "not that"));
    assert_eq!(client.get(&stage.url("/page")).text(), "page");
}

#[test]
fn a_login_that_holds_for_a_connection_is_sent_to_http_1() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let refused = client.ask("GET", &stage.url("/page"), &[("authorization", "NTLM TlRM")], b"").unwrap_err();
    assert_eq!(refused.reason(), Some(h2::Reason::HTTP_1_1_REQUIRED), "{refused}");
    assert_eq!(client.get(&stage.url("/page")).text(), "page");
}

#[test]
fn curl_speaks_it() {
    if !tools::wanted("HTTP/2 by curl", &["curl"]) {
        return;
    }
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    stage.origin.on("/digest", |x| x.digest());
    let (proxy, ca) = (format!("http://{}", stage.cluster.proxy), stage.ca());
    let curl = |arguments: &[&str], path: &str| {
        let mut curl = std::process::Command::new("curl");
        curl.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        curl.args(["-sSf", "--http2", "--noproxy", "", "-x", &proxy, "-w", " %{http_version}", "--cacert"]);
        tools::succeed(curl.arg(&ca).args(arguments).arg(stage.url(path)))
    };
    for _ in 0..2 {
        assert_eq!(curl(&[], "/page"), b"page 2");
    }
    assert_eq!(stage.origin.count("/page"), 1);
    let upload = String::from_utf8(curl(&["--data-binary", &"x".repeat(50_000)], "/digest")).unwrap();
    assert!(upload.starts_with("50000 ") && upload.ends_with(" 2"), "{upload}");
}
