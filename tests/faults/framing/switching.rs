//! CONNECT, `Upgrade` and trailers: what may not pass does not.

use super::{NO_STORE, one_node};
use crate::support::{Origin, PATIENCE};

#[test]
fn what_follows_a_refused_connect_is_not_carried_out() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/hidden", |x| x.reply(200, NO_STORE, "carried out"));
    let url = origin.url("/hidden");
    for target in ["127.0.0.1:1", "nowhere", "127.0.0.1"] {
        let mut client = cluster.connect();
        let hidden = format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{hidden}")).unwrap();
        let answer = client.response("CONNECT").unwrap();
        assert!(answer.status >= 400 && answer.head.lists("connection", "close"), "{target}: {:?}", answer.head);
        assert!(client.closes_within(PATIENCE), "{target}");
        let mut client = cluster.connect();
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).unwrap();
        let answer = client.response("CONNECT").unwrap();
        let _ = client.send(&hidden);
        assert!(answer.head.lists("connection", "close"), "{target}");
        assert!(client.response("GET").is_err(), "{target}");
    }
    assert_eq!(origin.count("/hidden"), 0);
}

#[test]
fn only_a_known_protocol_is_asked_for() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/*", |x| x.reply(200, NO_STORE, "page"));
    for (i, (offered, passed)) in [
        ("websocket, h2c", vec!["websocket"]),
        ("h2c, WebSocket", vec!["websocket"]),
        ("h2c\r\nUpgrade: websocket", vec!["websocket"]),
        ("websocket,websocket", vec!["websocket"]),
        ("h2c", vec![]),
        ("TLS/1.0", vec![]),
        ("HTTP/2.0, h2c", vec![]),
        ("", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{i}");
        let fields = format!("Connection: upgrade\r\nUpgrade: {offered}\r\n");
        assert_eq!(cluster.ask("GET", &origin.url(&path), &fields, b"").text(), "page", "{offered}");
        let asked = &origin.heads(&path)[0];
        let got: Vec<String> = asked.members("upgrade").iter().map(|m| m.to_ascii_lowercase()).collect();
        assert_eq!(got, passed, "{offered}: {asked:?}");
        assert_eq!(asked.lists("connection", "upgrade"), !passed.is_empty(), "{offered}");
    }
}

#[test]
fn an_origin_that_switches_to_what_nobody_asked_for_has_failed() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, protocol) in ["h2c", "websocket, h2c", "ws"].into_iter().enumerate() {
        let path = format!("/{i}");
        origin.on(&path, move |x| {
            x.hang_up();
            x.raw(format!("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\nPRI"))
        });
        let fields = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        let answer = cluster.ask("GET", &origin.url(&path), fields, b"");
        assert_eq!((answer.status, answer.has_error("http_upgrade_failed")), (502, true), "{protocol}");
        assert_eq!(origin.count(&path), 1, "{protocol}");
    }
}

#[test]
fn fields_of_the_link_do_not_pass_as_trailers() {
    let (origin, cluster) = (Origin::start(), one_node());
    let trailers = "X-Sum: 1\r\nRinghold-Client: local\r\nRinghold-Reach: local\r\nContent-Length: 9\r\nConnection: x\r\n\
                    Set-Cookie: one=client\r\nAlt-Svc: h3=\":443\"\r\n";
    origin.on("/up", |x| {
        let seen = x.body(|_| {})?;
        let names: Vec<String> = seen.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        x.reply(200, NO_STORE, names.join(","))
    });
    for cache in ["no-store", "max-age=60"] {
        origin.on(&format!("/down/{cache}"), move |x| {
            x.begin_chunked(&format!("Cache-Control: {cache}\r\nTrailer: X-Sum, Ringhold-Reach, Ringhold-Client\r\n"))?;
            x.chunk("body")?;
            x.end_chunked(trailers)
        });
    }
    let mut client = cluster.connect();
    let url = origin.url("/up");
    let head = format!(
        "POST {url} HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum, Ringhold-Client\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.send(format!("{head}1\r\nx\r\n0\r\n{trailers}\r\n")).unwrap();
    assert_eq!(client.response("POST").unwrap().text(), "x-sum");
    for path in ["/down/no-store", "/down/no-store", "/down/max-age=60"] {
        let answer = cluster.ask("GET", &origin.url(path), "TE: trailers\r\nConnection: TE\r\n", b"");
        let names: Vec<String> = answer.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert_eq!((answer.text().as_str(), names.join(",").as_str()), ("body", "x-sum"), "{path}");
    }
}
