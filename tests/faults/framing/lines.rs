//! The lines of an origin's head: what browsers and curl show is shown, and what could be framing is refused.

use super::{NO_STORE, one_node};
use crate::support::{Cluster, Origin, Response, Setup};

fn answers(cluster: &Cluster, url: &str) -> [Response; 3] {
    ["", "", "Connection: close\r\n"].map(|fields| cluster.ask("GET", url, fields, b""))
}

#[test]
fn a_blank_before_the_colon_and_lines_that_are_none_cost_nobody_the_page() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, (lines, kept)) in [
        ("X-Name : value\r\n", Some("value")),
        ("X-Name\t: value\r\n", Some("value")),
        ("X-Name: value\r\n folded\r\n\tagain\r\n", Some("value folded again")),
        ("X-Name:\r\n value\r\n", Some("value")),
        ("no colon here\r\nX-Name: value\r\n", Some("value")),
        (": nameless\r\nX-Name: value\r\n", Some("value")),
        ("X(odd): a\r\nX-Name: value\r\n", Some("value")),
        ("X Y: a\r\nX-Name: value\r\n", Some("value")),
        ("X-Odd: a\u{1}b\r\nX-Name: value\r\n", Some("value")),
        ("X-Odd: a\0b\r\nX-Name: value\r\n", Some("value")),
        ("X-Odd: a\rb\r\nX-Name: value\r\n", Some("value")),
        ("X\u{7}Odd: a\r\nX-Name: value\r\n", Some("value")),
        (" leading: blank\r\nX-Name: value\r\n", Some("value")),
    ]
    .into_iter()
    .enumerate()
    {
        for cache in ["max-age=60", "no-store"] {
            let path = format!("/{i}/{cache}");
            origin.on(&path, move |x| {
                x.raw(format!("HTTP/1.1 200 OK\r\n{lines}Cache-Control: {cache}\r\nContent-Length: 4\r\n\r\npage"))
            });
            for answer in answers(&cluster, &origin.url(&path)) {
                assert_eq!((answer.status, answer.text().as_str()), (200, "page"), "{lines:?}");
                assert_eq!(answer.get("x-name").as_deref(), kept, "{lines:?}: {:?}", answer.head);
                let odd = |(name, value): &(String, Vec<u8>)| {
                    let bytes = name.bytes().chain(value.iter().copied());
                    name.contains(['(', ' ']) || bytes.into_iter().any(|b| b < 32 && b != b'\t')
                };
                assert!(!answer.head.fields.iter().any(odd), "{lines:?}: {:?}", answer.head);
            }
        }
    }
}

#[test]
fn a_line_that_could_be_framing_is_an_error_of_the_origin() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, lines) in [
        "Content-Length : 4\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length:\r\n 4\r\n",
        "Transfer-Encoding: a\r\n chunked\r\n",
        "Content-Length 4\r\n",
        "Transfer-Encoding chunked\r\n",
        "Content-Length\u{b}: 4\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "Transfer\0-Encoding: chunked\r\n",
        "Transfer-Encoding: chun\u{1}ked\r\n",
        " Content-Length: 4\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{i}");
        origin.on(&path, move |x| {
            x.hang_up();
            x.raw(format!("HTTP/1.1 200 OK\r\n{NO_STORE}{lines}\r\n4\r\npage\r\n0\r\n\r\n"))
        });
        for answer in answers(&cluster, &origin.url(&path)) {
            assert_eq!(answer.status, 502, "{lines:?}: {}", answer.text());
        }
    }
}

#[test]
fn what_was_to_restrict_storing_and_cannot_be_read_is_not_stored() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (i, lines) in ["Cache-Control: private\u{1}\r\n", "Vary: Coo\u{1}kie\r\n", "Cache-Control no-store\r\n"]
        .into_iter()
        .enumerate()
    {
        let path = format!("/{i}");
        origin.on(&path, move |x| {
            x.raw(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{lines}Content-Length: 4\r\n\r\npage"))
        });
        let [first, second, _] = answers(&cluster, &origin.url(&path));
        assert_eq!((first.status, second.is_hit()), (200, false), "{lines:?}");
    }
}

#[test]
fn icy_is_http_1_0() {
    let (origin, cluster) = (Origin::start(), one_node());
    origin.on("/radio", |x| {
        x.hang_up();
        x.raw("ICY 200 OK\r\nicy-name: radio\r\nContent-Type: audio/mpeg\r\n\r\nmusic")
    });
    for answer in answers(&cluster, &origin.url("/radio")) {
        assert_eq!((answer.status, answer.text().as_str()), (200, "music"));
        assert_eq!(answer.get("icy-name").as_deref(), Some("radio"));
    }
}

#[test]
fn a_reason_phrase_goes_on_as_it_came() {
    let (origin, cluster) = (Origin::start(), one_node());
    for (path, line) in [("/a", "200 Fine"), ("/b", "299 Odd but good"), ("/c", "404 "), ("/d", "299 "), ("/e", "200")]
    {
        for cache in ["no-store", "max-age=60"] {
            let path = format!("{path}/{cache}");
            origin.on(&path, move |x| {
                x.raw(format!("HTTP/1.1 {line}\r\nDate: x\r\nCache-Control: {cache}\r\nContent-Length: 4\r\n\r\npage"))
            });
            for method in ["GET", "GET", "POST"] {
                let answer = cluster.ask(method, &origin.url(&path), "", if method == "POST" { b"x" } else { b"" });
                let reason = answer.head.line.splitn(3, ' ').nth(2).unwrap_or("").to_owned();
                assert!(!answer.head.line.contains("none"), "{line}: {}", answer.head.line);
                if !answer.is_hit() {
                    assert_eq!(reason, line.get(4..).unwrap_or_default(), "{line} {cache} {method}");
                }
            }
        }
    }
}

#[test]
fn a_401_is_not_stored() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("hot", "memory", "16MiB").start());
    origin.on("/in", |x| match x.head.has("authorization") {
        true => x.reply(200, NO_STORE, "welcome"),
        false => x.reply(401, "Cache-Control: public, max-age=60\r\nWWW-Authenticate: Basic realm=a\r\n", "who?"),
    });
    for _ in 0..3 {
        assert_eq!(cluster.get(&origin.url("/in")).status, 401);
    }
    assert_eq!(cluster.ask("GET", &origin.url("/in"), "Authorization: Basic YTpi\r\n", b"").text(), "welcome");
    assert_eq!(origin.count("/in"), 4);
}
