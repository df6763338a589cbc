use super::super::manners::body_length;
use super::super::says::Says;
use super::*;
use http::HeaderValue;
use http_body::SizeHint;

fn head(status: u16, fields: &[(&'static str, &'static str)], body: SizeHint, says: Says, close: bool) -> String {
    let (mut parts, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
    for (name, value) in fields {
        parts.headers.append(*name, HeaderValue::from_static(value));
    }
    let (framing, keep) = (body_length(&parts, &body, &says), says.old && !close);
    let mut out = Vec::new();
    write_head(
        &parts,
        Shape { framing, close, lingers: false, keep, hands_over: says.connect },
        Some(b"now"),
        &mut out,
    );
    String::from_utf8(out).unwrap()
}

#[test]
fn a_head_says_how_the_content_of_an_answer_ends() {
    let five = || SizeHint::with_exact(5);
    let unknown = SizeHint::default;
    let (new, old) = (Says::default(), Says { old: true, ..Says::default() });
    let (to_head, connect) = (Says { head: true, ..new }, Says { connect: true, ..new });
    for (status, fields, body, says, close, expected) in [
        (200, &[][..], five(), new, false, "200 OK\r\ncontent-length: 5\r\ndate: now\r\n\r\n"),
        (
            200,
            &[("date", "then")],
            five(),
            new,
            true,
            "200 OK\r\ndate: then\r\ncontent-length: 5\r\nconnection: close\r\n\r\n",
        ),
        (
            200,
            &[("connection", "close")],
            five(),
            new,
            true,
            "200 OK\r\nconnection: close\r\ncontent-length: 5\r\ndate: now\r\n\r\n",
        ),
        (200, &[("content-length", "7")], unknown(), new, false, "200 OK\r\ncontent-length: 7\r\ndate: now\r\n\r\n"),
        (
            200,
            &[("content-length", "5"), ("content-length", "5")],
            five(),
            new,
            false,
            "200 OK\r\ncontent-length: 5\r\ndate: now\r\n\r\n",
        ),
        (
            200,
            &[("transfer-encoding", "gzip")],
            unknown(),
            new,
            false,
            "200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n",
        ),
        (204, &[("content-length", "0")], SizeHint::with_exact(0), new, false, "204 No Content\r\ndate: now\r\n\r\n"),
        (
            304,
            &[("content-length", "9")],
            SizeHint::with_exact(0),
            new,
            false,
            "304 Not Modified\r\ncontent-length: 9\r\ndate: now\r\n\r\n",
        ),
        (200, &[], five(), old, false, "200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\ndate: now\r\n\r\n"),
        (200, &[], unknown(), old, true, "200 OK\r\nconnection: close\r\ndate: now\r\n\r\n"),
        (
            200,
            &[("content-length", "9")],
            SizeHint::with_exact(0),
            to_head,
            false,
            "200 OK\r\ncontent-length: 9\r\ndate: now\r\n\r\n",
        ),
        (200, &[("content-length", "9")], five(), connect, false, "200 OK\r\ndate: now\r\n\r\n"),
    ] {
        assert_eq!(head(status, fields, body, says, close), format!("HTTP/1.1 {expected}"));
    }
}
