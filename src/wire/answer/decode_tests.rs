use super::*;

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 100 };

fn read(text: &str) -> Result<Option<(Head, usize)>, &'static str> {
    head(&Bytes::copy_from_slice(text.as_bytes()), BOUNDS, false)
}

#[test]
fn a_head_that_lives_on_holds_nothing_of_a_long_body_that_came_with_it() {
    for (behind, alone) in [(0, false), (BEHIND, false), (BEHIND + 1, true)] {
        let text = format!("HTTP/1.1 200 OK\r\nEtag: \"a\"\r\nContent-Length: 99999\r\n\r\n{}", "b".repeat(behind));
        let buffer = Bytes::from(text.into_bytes());
        let (map, _) = head(&buffer, BOUNDS, false).unwrap().map(|(head, n)| (head.fields.map(), n)).unwrap();
        assert_eq!((map["etag"].as_bytes(), buffer.is_unique()), (&b"\"a\""[..], alone), "{behind}");
    }
}

#[test]
fn the_end_of_a_body_follows_rfc_9112_section_6_3() {
    for (fields, expected) in [
        ("Content-Length: 5\r\n", Ok((BodyLength::Sized(5), true))),
        ("Content-Length: 5, 5\r\n", Ok((BodyLength::Sized(5), true))),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok((BodyLength::Sized(5), true))),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err("two different lengths")),
        ("Content-Length: +5\r\n", Err("malformed Content-Length")),
        ("Content-Length: 99999999999999999999\r\n", Err("malformed Content-Length")),
        ("Content-Length: 18446744073709551615\r\n", Err("malformed Content-Length")),
        ("Content-Length: 9223372036854775808\r\n", Err("malformed Content-Length")),
        ("Content-Length: 9223372036854775807\r\n", Ok((BodyLength::Sized(i64::MAX as u64), true))),
        ("Transfer-Encoding: chunked\r\n", Ok((BodyLength::Chunked, true))),
        ("Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n", Ok((BodyLength::Chunked, false))),
        ("Transfer-Encoding: noise\r\n", Ok((BodyLength::UntilClose, false))),
        ("Transfer-Encoding: chunked,\r\n", Ok((BodyLength::Chunked, true))),
        ("Transfer-Encoding: \r\nTransfer-Encoding: chunked\r\n", Ok((BodyLength::Chunked, true))),
        ("Transfer-Encoding: ,\r\n", Ok((BodyLength::UntilClose, false))),
        ("Transfer-Encoding: xchunked\r\n", Err("a transfer coding other than chunked")),
        ("Transfer-Encoding: chunked;q=1\r\n", Err("a transfer coding other than chunked")),
        ("Transfer-Encoding: noise, chunked\r\n", Err("a transfer coding other than chunked")),
        ("Transfer-Encoding: noise\r\nContent-Length: 5\r\n", Err("a transfer coding other than chunked")),
        ("Transfer-Encoding: gzip, chunked\r\n", Err("a transfer coding other than chunked")),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err("a transfer coding other than chunked")),
        ("", Ok((BodyLength::UntilClose, false))),
        ("Connection: close\r\nContent-Length: 1\r\n", Ok((BodyLength::Sized(1), false))),
        ("Connection: close, keep-alive\r\nContent-Length: 1\r\n", Ok((BodyLength::Sized(1), false))),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\nbody");
        let got = read(&text).map(|h| h.map(|(h, _)| (h.ends, h.keep)));
        assert_eq!(got, expected.map(Some), "{fields}");
    }
}

#[test]
fn a_connection_of_http_1_0_goes_on_where_that_is_said() {
    for (fields, keep) in [
        ("Content-Length: 1\r\n", false),
        ("Content-Length: 1\r\nConnection: Keep-Alive\r\n", true),
        ("Content-Length: 1\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
        ("Connection: keep-alive\r\n", false),
    ] {
        let (head, _) = read(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n")).unwrap().unwrap();
        assert_eq!(head.keep, keep, "{fields}");
    }
}

#[test]
fn noise_before_what_looks_like_chunks_is_an_error() {
    let read = |content: &str| {
        read(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n{content}")).map(|head| head.is_some())
    };
    for (content, expected) in [
        ("5\r\nhello", Err(OTHER_CODING)),
        ("a0;x", Err(OTHER_CODING)),
        ("hello", Ok(true)),
        ("5 apples", Ok(true)),
        ("\r\n", Ok(true)),
        ("", Ok(false)),
        ("5", Ok(false)),
        ("01234567012345678", Ok(true)),
    ] {
        assert_eq!(read(content), expected, "{content:?}");
    }
}

#[test]
fn some_answers_have_no_body_whatever_they_say() {
    for status in ["204 No", "304 No", "101 Sw", "100 Co"] {
        let (head, _) = read(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n")).unwrap().unwrap();
        assert_eq!(head.ends, BodyLength::None, "{status}");
    }
}

#[test]
fn a_head_is_partial_at_every_offset_but_the_last() {
    let text =
        "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nRinghold-Reach: local\r\nContent-Length: 0\r\n\r\n";
    for cut in 0..text.len() {
        assert!(read(&text[..cut]).unwrap().is_none(), "{cut}");
    }
    let (head, length) = read(text).unwrap().unwrap();
    assert_eq!(length, text.len());
    assert_eq!(head.fields.map().get_all("set-cookie").iter().count(), 2);
    assert!(!head.fields.map().contains_key("ringhold-reach"));
}

#[test]
fn a_head_with_a_bare_lf_is_read_and_does_not_go_on_as_it_is() {
    for text in [
        "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 1\n\r\n",
        "HTTP/1.1 200 OK\r\nDate: d\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 1\r\n\n",
        "HTTP/1.1 200 OK\nDate: d\nContent-Length: 1\n\n",
    ] {
        let (head, length) = read(text).unwrap().unwrap();
        assert_eq!((head.ends, length), (BodyLength::Sized(1), text.len()), "{text:?}");
        assert_eq!(head.fields.map().get("date").unwrap(), "d", "{text:?}");
        assert_eq!(head.fields.map().get("content-length").unwrap(), "1", "{text:?}");
        assert!(!head.fields.write(&mut Vec::new()), "{text:?}");
    }
}

#[test]
fn heads_beyond_the_limits_are_refused() {
    assert!(read(&format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(5000))).is_err());
    assert!(read(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101))).is_err());
    assert!(read(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(100))).unwrap().is_some());
}

#[test]
fn noise_is_an_error_and_never_a_panic() {
    for noise in [
        "GET / HTTP/1.1\r\n\r\n",
        "\0\0\0\0\0\0\0\0\0\0",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 000 x\r\n\r\n",
        "220 mail\r\n",
    ] {
        assert!(read(noise).is_err(), "{noise:?}");
    }
}
