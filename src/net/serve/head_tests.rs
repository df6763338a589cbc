use super::*;

fn limits() -> ServerLimits {
    ServerLimits { head: 1024, ..ServerLimits::of(&crate::config::Config::default()) }
}

fn seen<T>(text: &str, look: impl FnOnce(Read<'_>) -> T) -> T {
    let (mut slots, mut ids) = slots();
    look(read(text.as_bytes(), &limits(), &mut slots, &mut ids))
}

fn is_alone(text: &str) -> bool {
    seen(text, |read| matches!(read, Read::Head(head) if head.is_alone()))
}

fn said(text: &str) -> Result<Says, HeadRefusal> {
    seen(text, |read| match read {
        Read::Head(head) => Ok(head.says),
        Read::Refused(why) => Err(why),
        Read::Partial | Read::TooFewSlots => panic!("{text:?} is not read"),
    })
}

#[test]
fn a_request_is_alone_that_has_no_content_and_leaves_its_connection_as_it_is() {
    for (fields, expected) in [
        ("", true),
        ("Connection: Keep-Alive\r\n", true),
        ("Connection: close\r\n", true),
        ("TE: trailers\r\nConnection: TE\r\n", true),
        ("Accept: */*\r\nCache-Control: no-cache\r\nRange: bytes=0-1\r\nTest: 1\r\nUser-Agent: u\r\n", true),
        ("Content-Length: 0\r\n", true),
        ("Upgrade: h2c\r\n", true),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("Connection: keep-alive, x\r\n", false),
        ("Content-Length: 1\r\n", false),
        ("Transfer-Encoding: chunked\r\n", false),
    ] {
        assert_eq!(is_alone(&format!("GET http://a/b HTTP/1.1\r\nHost: a\r\n{fields}\r\n")), expected, "{fields}");
    }
    assert!(is_alone("GET / HTTP/1.0\r\n\r\n") && !is_alone("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(!is_alone("GET / HTTP/1.1\r\nHost: a\r\n"), "not all of it is there");
}

#[test]
fn fields_are_seen_by_what_they_are_in_order() {
    let text = "GET / HTTP/1.1\r\nHOST: a\r\nX-A: 1\r\naccept-Encoding: b\r\nx-a: 2\r\nRinghold-New: c\r\n\r\n";
    with_head(text, |head| {
        let ids: Vec<FieldId> = head.ids().collect();
        assert_eq!(ids, [FieldId::Host, FieldId::Other, FieldId::AcceptEncoding, FieldId::Other, FieldId::LinkOther]);
        assert_eq!(head.named(&HeaderName::from_static("x-a")).collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head.first(FieldId::AcceptEncoding), Some(&b"b"[..]));
        assert!(head.has_any(Traits::LINK) && !head.has_any(Traits::BEARS));
    });
}

#[test]
fn a_head_says_how_the_content_of_its_request_ends() {
    for (fields, expected) in [
        ("", Ok(BodyLength::None)),
        ("Content-Length: 0\r\n", Ok(BodyLength::None)),
        ("Content-Length: 5\r\n", Ok(BodyLength::Sized(5))),
        ("Content-Length: 5\r\nContent-Length: 05\r\n", Ok(BodyLength::Sized(5))),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(())),
        ("Content-Length: 5, 5\r\n", Err(())),
        ("Content-Length: +5\r\n", Err(())),
        ("Content-Length: \r\n", Err(())),
        ("Content-Length: 18446744073709551616\r\n", Err(())),
        ("Transfer-Encoding: Chunked\r\n", Ok(BodyLength::Chunked)),
        ("Transfer-Encoding: gzip, chunked\r\n", Ok(BodyLength::Chunked)),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Ok(BodyLength::Chunked)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(())),
        ("Transfer-Encoding: xchunked\r\n", Err(())),
        ("Transfer-Encoding: \r\n", Err(())),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Ok(BodyLength::Chunked)),
    ] {
        let said = said(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(said.map(|says| says.content).map_err(drop), expected, "{fields}");
    }
    assert!(said("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    assert!(said("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().noted.two_ends);
}

#[test]
fn a_head_says_what_becomes_of_its_connection() {
    let of = |version: &str, fields: &str| said(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
    assert!(of("1.1", "Connection: x, Close\r\n").close);
    assert!(of("1.0", "").old && !of("1.0", "").keep_alive && of("1.0", "Connection: keep-alive\r\n").keep_alive);
    assert!(of("1.1", "Connection: upgrade\r\nUpgrade: x\r\n").upgrade);
    assert!(!of("1.1", "Connection: upgrade\r\n").upgrade && !of("1.1", "Upgrade: x\r\n").upgrade);
    assert!(of("1.1", "Expect: 100-Continue\r\n").expects && !of("1.0", "Expect: 100-continue\r\n").expects);
    assert!(of("1.1", "Expect: x, 100-continue\r\n").expects && !of("1.1", "Expect: x\r\n").expects);
    assert!(of("1.1", "TE: gzip, trailers\r\n").trailers && !of("1.1", "TE: gzip\r\n").trailers);
}

#[test]
fn the_target_of_options_may_have_no_path() {
    for (line, expected) in [
        ("OPTIONS http://a:80 HTTP/1.1", true),
        ("OPTIONS HTTP://a HTTP/1.1", true),
        ("OPTIONS http://a/ HTTP/1.1", false),
        ("OPTIONS http://a?b HTTP/1.1", false),
        ("OPTIONS http:// HTTP/1.1", false),
        ("OPTIONS * HTTP/1.1", false),
        ("GET http://a HTTP/1.1", false),
    ] {
        assert_eq!(said(&format!("{line}\r\nHost: a\r\n\r\n")).unwrap().noted.pathless, expected, "{line}");
    }
}

#[test]
fn a_head_that_is_too_much_or_none_is_refused_as_soon_as_that_is_known() {
    let many = "A: b\r\n".repeat(limits().fields + 1);
    let mut slots: Vec<_> = (0..limits().fields).map(|_| MaybeUninit::uninit()).collect();
    let mut ids = vec![FieldId::Other; limits().fields];
    let long = ServerLimits { head: 1 << 20, ..limits() };
    let text = format!("GET / HTTP/1.1\r\n{many}\r\n");
    let read = super::read(text.as_bytes(), &long, &mut slots, &mut ids);
    assert!(matches!(read, Read::Refused(HeadRefusal::TooManyFields)));
    assert_eq!(said(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(1024))), Err(HeadRefusal::TooLong));
    assert_eq!(said(&format!("GET /{}", "b".repeat(1024))), Err(HeadRefusal::TooLong));
    assert!(matches!(said("GET / HTTP/1.1\r\nA : b\r\n"), Err(HeadRefusal::Malformed(_))));
    assert!(matches!(said("\u{16}\u{3}\u{1}"), Err(HeadRefusal::Malformed(_))));
}

#[test]
fn a_head_of_many_fields_lives_on_with_all_of_them() {
    let text = format!("GET http://a/b HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(FIELDS + 20));
    let parts = RequestHead::parts(text.as_bytes()).expect("it is a request");
    assert_eq!(parts.headers.len(), FIELDS + 21);
}
