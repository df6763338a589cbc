//! What holds for the byte parsers whatever comes. Asked of some thousand inputs in every test run, and of as many as one
//! likes by the fuzz targets (`fuzz/README.md`).

use crate::net::serve;
use crate::wire::answer::chunked::{Chunked, Step};
use crate::wire::answer::decode::{self, Bounds, Head};
use crate::wire::answer::fields::verbatim;
use crate::wire::fault::Blame;
use crate::wire::field::{FieldId, Traits};
use crate::wire::link;
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 100 };
/// So many places are tried at which an input may have been cut in two.
const CUTS: usize = 48;

/// The head of an answer reads the same however much of what follows has come, and what is passed on of it reads as what
/// came, without what is not the client's.
pub fn answer_head(text: &[u8]) {
    for bodiless in [false, true] {
        let whole = decode::head(&Bytes::copy_from_slice(text), BOUNDS, bodiless);
        for cut in cuts(text.len()) {
            let part = decode::head(&Bytes::copy_from_slice(&text[..cut]), BOUNDS, bodiless);
            match (&part, &whole) {
                (Ok(None), _) => {}
                (Ok(Some((part, used))), Ok(Some((head, all)))) => {
                    assert_eq!((used, part.status, part.ends, part.keep), (all, head.status, head.ends, head.keep));
                    assert!(cut >= *used, "no byte is used that has not come");
                }
                (Err(part), Err(whole)) => assert_eq!(part, whole, "what is none stays none, by the same reason"),
                (part, whole) => panic!("cut at {cut}: {part:?}, whole: {whole:?}"),
            }
        }
        if let Ok(Some((head, _))) = whole {
            passed_on(&head);
        }
    }
}

fn passed_on(head: &Head) {
    let is_ours = |name: &str| FieldId::has(name.as_bytes(), Traits::LINK);
    assert!(head.fields.map().keys().all(|name| !is_ours(name.as_str())), "fields of the link go no further");
    let via = HeaderValue::from_static("1.1 us");
    let Some(lines) = verbatim(head.status, &head.fields, &via, 0) else { return };
    // As a client reads it that knows no more than the RFC.
    let again = decode::head(&Bytes::from(lines), Bounds { bytes: usize::MAX, ..BOUNDS }, true);
    let (again, _) = again.expect("what is passed on is a head").expect("and it is whole");
    assert_eq!(again.status, head.status);
    let mut expected = head.fields.map();
    let hop: Vec<_> =
        expected.keys().filter(|name| FieldId::has(name.as_str().as_bytes(), Traits::HOP)).cloned().collect();
    hop.iter().for_each(|name| drop(expected.remove(name)));
    expected.append("via", via);
    assert_eq!(again.fields.map_of_link(), expected);
}

/// A chunked body comes to the same content and the same end in whatever pieces it arrives.
pub fn chunked(text: &[u8]) {
    for decoder in [Chunked::new, Chunked::of_link] {
        let whole = decoded(decoder(256), [text]);
        assert!(whole.content.len() <= text.len());
        for cut in cuts(text.len()) {
            let (front, back) = text.split_at(cut);
            assert_eq!(decoded(decoder(256), [front, back]), whole, "cut at {cut}");
        }
    }
}

#[derive(Debug, PartialEq)]
struct Decoded {
    content: Vec<u8>,
    end: DecodedEnd,
}

#[derive(Debug, PartialEq)]
enum DecodedEnd {
    None,
    Over(Option<HeaderMap>, Vec<u8>),
    Told(Blame),
    Malformed(&'static str),
}

fn decoded<'a>(mut decoder: Chunked, parts: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let (mut content, mut end) = (Vec::new(), DecodedEnd::None);
    for part in parts {
        match &mut end {
            DecodedEnd::None => {}
            DecodedEnd::Over(_, rest) => {
                rest.extend_from_slice(part);
                continue;
            }
            DecodedEnd::Told(_) | DecodedEnd::Malformed(_) => break,
        }
        let mut input = Bytes::copy_from_slice(part);
        end = loop {
            match decoder.step(&mut input) {
                Ok(Step::More) => break DecodedEnd::None,
                Ok(Step::Data(data)) => content.extend_from_slice(&data),
                Ok(Step::End(trailers)) => break DecodedEnd::Over(trailers, input.to_vec()),
                Ok(Step::Broken(blame)) => break DecodedEnd::Told(blame),
                Err(why) => break DecodedEnd::Malformed(why),
            }
        };
    }
    Decoded { content, end }
}

/// The head of a request reads the same however much of what follows has come; its fields are known by their names; and it is
/// a request, or refused.
pub fn request_head(text: &[u8]) {
    let read = |input: &[u8]| serve::look_at(input, |head| (head.bytes().to_vec(), head.version(), head.is_alone()));
    let whole = read(text);
    for cut in cuts(text.len()) {
        match (read(&text[..cut]), &whole) {
            (Ok(None), _) => {}
            (part, whole) => assert_eq!(part, *whole, "cut at {cut}"),
        }
    }
    _ = serve::look_at(text, |head| {
        for (id, name, _) in head.lines() {
            assert_eq!(id, FieldId::of(name.as_bytes()), "{name}");
        }
        let ids = head.ids().fold(Traits::NONE, |all, id| all.and(id.traits()));
        assert!(!head.has(Traits::HOP) || ids.any(Traits::HOP));
        serve::RequestHead::parts(head.bytes())
    });
}

/// A target reads as the text that it is; its key is its own key, and the parts of it are the whole.
pub fn target(text: &[u8]) {
    let (read, parsed) = (Key::read(text).ok(), std::str::from_utf8(text).ok().and_then(|text| Key::parse(text).ok()));
    assert_eq!(read, parsed, "short or long, it is one key");
    let Some(key) = read else { return };
    assert_eq!(Key::read(key.as_str().as_bytes()).ok().as_ref(), Some(&key));
    assert_eq!([key.root(), key.path_and_query()].concat(), key.as_str());
    assert_eq!(format!("{}://{}", key.scheme(), key.authority()), key.root());
    assert!(key.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    let port = http::Uri::try_from(key.as_str()).ok().and_then(|uri| uri.port_u16());
    assert_eq!(Some(key.port()), port.or(Some(if key.scheme() == "https" { 443 } else { 80 })));
}

/// Fields of the link say one thing, which is written back as it was read.
pub fn link_field(value: &[u8]) {
    if let Some(blame) = Blame::read(value) {
        assert_eq!(blame.to_string().as_bytes(), value);
    }
    if let Some((id, address)) = link::introduced(value)
        && let Some(again) = link::introduction(id, address)
    {
        assert_eq!(again.as_bytes(), value);
    }
}

/// Where an input is cut: everywhere where it is short.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length / CUTS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Bytes that often are nearly right: words of the grammar, some noise between them.
    fn nearly(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            12 => select(words).prop_map(|word| word.as_bytes().to_vec()),
            1 => vec(any::<u8>(), 0..4),
        ];
        vec(word, 0..most).prop_map(|words| words.concat())
    }

    const ANSWER: &[&str] = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200\r\n",
        "HTTP/1.0 304 x\r\n",
        "HTTP/1.1 204 No\n",
        "HTTP/1.1 101 \r\n",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Content-Length: 5\r\n",
        "content-length:5,5\r\n",
        "Content-Length: 6\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: x\r\n",
        "Connection: close\r\n",
        "Connection: X, keep-alive\r\n",
        "X: y\r\n",
        "X : y\r\n",
        " folded\r\n",
        "Cache-Control: max-age=1\r\n",
        "Ringhold-Reach: local\r\n",
        "Ringhold-Length: 7\r\n",
        "Cache-Status: n1; hit\r\n",
        "Via: 1.1 a\r\n",
        "WWW-Authenticate: NTLM\r\n",
        "\r\n",
        "\n",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "\t",
        "\0",
    ];
    const REQUEST: &[&str] = &[
        "GET http://a.example/ HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "POST http://a.example/b?c HTTP/1.1\r\n",
        "\r\n",
        "OPTIONS http://a HTTP/1.1\r\n",
        "CONNECT a:443 HTTP/1.1\r\n",
        "GET http://a.example/ HTTP/1.1\n",
        "Host: a\r\n",
        "Host: b\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close, x\r\n",
        "Connection: \"\r\n",
        "Upgrade: websocket\r\n",
        "Expect: 100-continue\r\n",
        "TE: trailers\r\n",
        "Accept-Encoding: br\r\n",
        "If-Anything: x\r\n",
        "\n",
        "x",
        ": ",
    ];
    const CHUNKED: &[&str] = &[
        "5\r\nhello\r\n",
        "5;a=b\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "0\r\n",
        "00\r\n",
        "\r\n",
        "A: b\r\n",
        "\n",
        "!origin connection_terminated\r\n",
        "!node x\r\n",
        "ffffffffffffffff\r\n",
        "a",
        ";",
        "\"",
        "Transfer-Encoding: x\r\n",
        " \t",
    ];
    const TARGET: &[&str] = &[
        "http://",
        "https://",
        "HTTP://",
        "a.example",
        "A.Example",
        "[::1]",
        "[::1",
        "127.0.0.1",
        ":80",
        ":443",
        ":8080",
        ":",
        ":99999",
        "/",
        "/a",
        "?b=c",
        "#d",
        "%20",
        "%zz",
        "@",
        "u:p@",
        " ",
        "\u{e4}",
        "{}",
        "|",
        "..",
        "//",
    ];
    const LINK: &[&str] = &[
        "origin",
        "node",
        "us",
        " ",
        "connection_terminated",
        "dns_error",
        "n1",
        "unix:/run/n1.sock",
        "h:1",
        "\u{e4}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn an_answers_head_reads_the_same_in_any_pieces(text in nearly(ANSWER, 12)) {
            answer_head(&text);
        }

        #[test]
        fn a_requests_head_reads_the_same_in_any_pieces(text in nearly(REQUEST, 12)) {
            request_head(&text);
        }

        #[test]
        fn a_chunked_body_reads_the_same_in_any_pieces(text in nearly(CHUNKED, 10)) {
            chunked(&text);
        }

        #[test]
        fn a_target_is_one_key_however_it_is_read(text in nearly(TARGET, 6)) {
            target(&text);
        }

        #[test]
        fn a_field_of_the_link_is_written_as_it_was_read(value in nearly(LINK, 5)) {
            link_field(&value);
        }
    }
}
