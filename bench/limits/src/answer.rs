//! Paths of the benchmark's origin, `/c/k10/17`: whether it may be cached, how large it is, and which one of its kind.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

pub type Answer = Response<Full<Bytes>>;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub control: &'static str,
    /// It depends on `Accept-Encoding`.
    pub varies: bool,
    pub size: usize,
}

/// None where the benchmark asks no such thing.
pub fn kind(path: &str) -> Option<Kind> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let (control, varies) = match segments.next()? {
        "c" => ("public, max-age=36000", false),
        "v" => ("public, max-age=36000", true),
        "n" => ("no-store", false),
        _ => return None,
    };
    let size = match segments.next()? {
        "k1" => 1 << 10,
        "k10" => 10 << 10,
        "k100" => 100 << 10,
        "m1" => 1 << 20,
        _ => return None,
    };
    Some(Kind { control, varies, size })
}

/// The fields that nginx sends with a file, but for `Date`: hyper writes the current one, and an old one would make stale at
/// once what may be stored.
pub fn origin_fields(kind: Kind) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(12);
    for (name, value) in [
        (header::SERVER, "nginx/1.22.1"),
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::LAST_MODIFIED, "Sat, 01 Nov 2025 11:00:00 GMT"),
        (header::ETAG, "\"6905e8f0-400\""),
        (header::CACHE_CONTROL, kind.control),
        (header::ACCEPT_RANGES, "bytes"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    if kind.varies {
        fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(kind.size));
    fields
}

/// The same, and what ringhold adds on a hit.
pub fn hit_fields(kind: Kind) -> HeaderMap {
    let mut fields = origin_fields(kind);
    for (name, value) in [
        (header::DATE, "Sat, 01 Nov 2025 12:00:00 GMT"),
        (header::AGE, "17"),
        (header::VIA, "1.1 ringhold"),
        (HeaderName::from_static("cache-status"), "n1; hit; ttl=35983"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields
}

/// Bytes that do not compress, the same at every start.
pub fn body(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.take(size).collect()
}

pub fn answer(fields: HeaderMap, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.headers_mut() = fields;
    answer
}

pub fn not_found() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"no such kind\n")));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}

/// Of the body of a 200; anything else is not what was asked for.
pub fn length(response: &httparse::Response) -> Option<usize> {
    if response.code != Some(200) {
        return None;
    }
    let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    std::str::from_utf8(field.value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_how_large_and_whether_it_may_be_stored() {
        let stored = |varies| Some(Kind { control: "public, max-age=36000", varies, size: 10240 });
        assert_eq!((kind("/c/k10/7"), kind("/v/k10/7")), (stored(false), stored(true)));
        assert_eq!(kind("/n/k1/7").map(|kind| kind.control), Some("no-store"));
        for other in ["/", "/c", "/x/k1/1", "/c/k2/1", ""] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
