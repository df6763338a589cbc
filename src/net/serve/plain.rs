//! PURE. What a plain request is, and how its answer is written (RFC 9112).
//!
//! Nearly all that a cache is asked is a GET without content that says nothing about its connection. Such a request
//! needs no protocol machine: it is parsed in one go, and its answer has one of three framings.

use super::Limits;
use crate::wire::target;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Uri, request, response};
use http_body::SizeHint;
use hyper::ext::ReasonPhrase;
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// A head with more fields is not plain.
pub(super) const FIELDS: usize = 64;

/// Room for the fields of a head.
pub(super) type Slots<'a> = [MaybeUninit<httparse::Header<'a>>; FIELDS];

/// A GET with `HTTP/1.1`, without content, that leaves its connection as it is.
#[derive(Debug)]
pub struct Plain<'a> {
    pub target: &'a [u8],
    pub fields: &'a [httparse::Header<'a>],
    /// The whole head.
    pub head: &'a [u8],
}

/// The plain request that `input` begins with. `None`: it is another one, not all of it is there, or it is too large.
pub(super) fn parse<'a>(input: &'a [u8], limits: &Limits, slots: &'a mut Slots<'a>) -> Option<Plain<'a>> {
    read(input, slots).filter(|plain| plain.head.len() <= limits.head && plain.fields.len() <= limits.fields)
}

fn read<'a>(input: &'a [u8], slots: &'a mut Slots<'a>) -> Option<Plain<'a>> {
    if !input.starts_with(b"GET ") {
        return None;
    }
    let mut request = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(length)) = request.parse_with_uninit_headers(input, slots) else { return None };
    let target = request.path?.as_bytes();
    if request.version != Some(1) || !request.headers.iter().all(leaves_the_connection) {
        return None;
    }
    Some(Plain { target, fields: request.headers, head: &input[..length] })
}

/// By first letter, because most fields say nothing about the connection.
fn leaves_the_connection(field: &httparse::Header<'_>) -> bool {
    let is = |other: &str| field.name.eq_ignore_ascii_case(other);
    let about = match field.name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'c') => is("content-length") || (is("connection") && !field.value.eq_ignore_ascii_case(b"keep-alive")),
        Some(b'e') => is("expect"),
        Some(b'h') => is("http2-settings"),
        Some(b't') => is("te") || is("transfer-encoding") || is("trailer"),
        Some(b'u') => is("upgrade"),
        _ => false,
    };
    !about
}

impl Plain<'_> {
    /// The parts of a request whose head was plain once; `None` where it is not, or its target is none.
    pub fn parts(head: &[u8]) -> Option<request::Parts> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS];
        Some(read(head, &mut slots)?.request()?.into_parts().0)
    }

    /// The same for a service; `None` where its target is none. Its parts share one copy of the head.
    pub(super) fn request(&self) -> Option<Request<()>> {
        let head = Bytes::copy_from_slice(self.head);
        let part = |part: &[u8]| {
            let start = part.as_ptr() as usize - self.head.as_ptr() as usize;
            head.slice(start..start + part.len())
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = match target::escaped(self.target) {
            Cow::Borrowed(target) => Uri::from_maybe_shared(part(target)).ok()?,
            Cow::Owned(target) => Uri::try_from(target).ok()?,
        };
        let mut headers = HeaderMap::with_capacity(self.fields.len() + 2);
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_maybe_shared(part(field.value)).ok()?);
        }
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// How the content of an answer is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the fields say.
    None,
    Sized(u64),
    Chunked,
}

impl Framing {
    /// What the service said in `Content-Length` counts, then what its body knows of itself.
    pub(super) fn of(answer: &response::Parts, body: &SizeHint) -> Framing {
        let said = answer.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        match (answer.status, said.or(body.exact())) {
            (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _) => Framing::None,
            (_, Some(length)) => Framing::Sized(length),
            (_, None) => Framing::Chunked,
        }
    }
}

/// Whether the answer is the last on its connection.
pub(super) fn says_close(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Appends the head of an answer. `date`: added where the service set none.
pub(super) fn write_head(
    answer: &response::Parts,
    framing: Framing,
    close: bool,
    date: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(answer.status.as_str().as_bytes());
    out.push(b' ');
    let said = answer.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    out.extend_from_slice(said.or(answer.status.canonical_reason().map(str::as_bytes)).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    let sized = framing != Framing::Chunked && answer.status != StatusCode::NO_CONTENT;
    let (mut length, mut dated, mut closes) = (false, date.is_none(), !close);
    for (name, value) in &answer.headers {
        match *name {
            CONTENT_LENGTH if !sized || std::mem::replace(&mut length, true) => continue,
            TRANSFER_ENCODING => continue,
            DATE => dated = true,
            CONNECTION => closes = closes || says_close(&answer.headers),
            _ => {}
        }
        field(out, name.as_str(), value.as_bytes());
    }
    match framing {
        Framing::Sized(n) if !length => field(out, "content-length", itoa::Buffer::new().format(n).as_bytes()),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    if !closes {
        out.extend_from_slice(b"connection: close\r\n");
    }
    if let Some(date) = date.filter(|_| !dated) {
        field(out, "date", date);
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The first line of a chunk (RFC 9112 section 7.1).
pub(super) fn chunk(length: usize, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to memory does not fail.
    let _ = write!(out, "{length:x}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<(String, usize)> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS];
        let limits = Limits { head: 1024, ..Limits::of(&crate::config::Config::default()) };
        let plain = parse(text.as_bytes(), &limits, &mut slots)?;
        Some((String::from_utf8(plain.target.to_vec()).unwrap(), plain.head.len()))
    }

    #[test]
    fn only_what_says_nothing_about_its_connection_is_plain() {
        for (fields, expected) in [
            ("", true),
            ("Connection: Keep-Alive\r\n", true),
            ("Accept: */*\r\nCache-Control: no-cache\r\nRange: bytes=0-1\r\nTest: 1\r\nUser-Agent: u\r\n", true),
            ("Connection: close\r\n", false),
            ("Connection: keep-alive, x\r\n", false),
            ("Content-Length: 0\r\n", false),
            ("Transfer-Encoding: chunked\r\n", false),
            ("TE: trailers\r\n", false),
            ("Expect: 100-continue\r\n", false),
            ("Upgrade: h2c\r\n", false),
            ("HTTP2-Settings: x\r\n", false),
        ] {
            let text = format!("GET http://a/b HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            assert_eq!(plain(&text), expected.then(|| ("http://a/b".into(), text.len())), "{fields}");
        }
        for text in ["GET / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET", "\0"]
        {
            assert_eq!(plain(text), None, "{text}");
        }
        let fields = "A: b\r\n".repeat(FIELDS);
        assert!(plain(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).is_some());
        assert!(plain(&format!("GET / HTTP/1.1\r\n{fields}A: b\r\n\r\n")).is_none());
        assert!(plain(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(1024))).is_none());
    }

    fn head(status: u16, fields: &[(&'static str, &'static str)], body: SizeHint, close: bool) -> String {
        let (mut parts, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
        for (name, value) in fields {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        let mut out = Vec::new();
        write_head(&parts, Framing::of(&parts, &body), close, Some(b"now"), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_says_how_its_content_ends() {
        let five = || SizeHint::with_exact(5);
        for (status, fields, body, close, expected) in [
            (200, &[][..], five(), false, "200 OK\r\ncontent-length: 5\r\ndate: now\r\n\r\n"),
            (
                200,
                &[("date", "then")],
                five(),
                true,
                "200 OK\r\ndate: then\r\ncontent-length: 5\r\nconnection: close\r\n\r\n",
            ),
            (
                200,
                &[("connection", "close")],
                five(),
                true,
                "200 OK\r\nconnection: close\r\ncontent-length: 5\r\ndate: now\r\n\r\n",
            ),
            (
                200,
                &[("content-length", "7")],
                SizeHint::default(),
                false,
                "200 OK\r\ncontent-length: 7\r\ndate: now\r\n\r\n",
            ),
            (
                200,
                &[("content-length", "5"), ("content-length", "5")],
                five(),
                false,
                "200 OK\r\ncontent-length: 5\r\ndate: now\r\n\r\n",
            ),
            (
                200,
                &[("transfer-encoding", "gzip")],
                SizeHint::default(),
                false,
                "200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n",
            ),
            (204, &[("content-length", "0")], SizeHint::with_exact(0), false, "204 No Content\r\ndate: now\r\n\r\n"),
            (
                304,
                &[("content-length", "9")],
                SizeHint::with_exact(0),
                false,
                "304 Not Modified\r\ncontent-length: 9\r\ndate: now\r\n\r\n",
            ),
        ] {
            assert_eq!(head(status, fields, body, close), format!("HTTP/1.1 {expected}"));
        }
    }
}
