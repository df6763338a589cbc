//! What a browser asks and an origin answers, to measure with.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request, response};
use ringhold::lab::policy::variants::selecting_by;
use ringhold::lab::policy::{Decision, Ranged, Stored, Terms, decide, ranges};
use ringhold::lab::wire::Timestamp;
use std::hint::black_box;

pub const NOW: Timestamp = Timestamp(1_767_225_600_000);
pub const LATER: Timestamp = Timestamp(NOW.0 + 5_000);

/// What a browser sends, `Host` and `Proxy-Connection` gone.
pub const ASKED: [(&str, &str); 12] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "de,en-US;q=0.7,en;q=0.3"),
    ("accept-encoding", "gzip, deflate"),
    ("referer", "http://example.com/"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("upgrade-insecure-requests", "1"),
    ("sec-gpc", "1"),
    ("dnt", "1"),
    ("priority", "u=0, i"),
    ("cache-control", "max-age=3600, max-stale=60"),
    ("if-none-match", "\"0123456789abcdef\", W/\"fedcba9876543210\""),
];

const ANSWERED: [(&str, &str); 12] = [
    ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ("server", "nginx"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "1024"),
    ("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT"),
    ("etag", "\"0123456789abcdee\""),
    ("cache-control", "public, max-age=600, stale-while-revalidate=30, stale-if-error=86400"),
    ("expires", "Thu, 01 Jan 2026 00:10:00 GMT"),
    ("vary", "Accept-Encoding"),
    ("accept-ranges", "bytes"),
    ("x-content-type-options", "nosniff"),
    ("strict-transport-security", "max-age=63072000"),
];

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

pub fn asked(lines: &[(&'static str, &'static str)]) -> request::Parts {
    let (mut parts, ()) = Request::get("http://example.com/a").body(()).expect("a request").into_parts();
    parts.headers = fields(lines);
    parts
}

pub fn answered() -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers = fields(&ANSWERED);
    parts
}

/// A response as it is stored.
pub fn stored<'a>(terms: &'a Terms, answer: &'a response::Parts) -> Stored<'a, HeaderMap> {
    Stored { terms, status: StatusCode::OK, fields: &answer.headers }
}

/// All that is asked about a request that says something, of a response that varies.
pub fn general(request: &request::Parts, stored: Stored<'_, HeaderMap>) -> (Option<Box<[u8]>>, Decision, bool, Ranged) {
    let variant = selecting_by(black_box(b"Accept-Encoding"), &request.headers);
    let confirmed = stored.is_not_modified(&request.headers, LATER);
    let ranged = ranges::of(request, &stored, 1024, LATER);
    (variant, decide(request, Some(stored), black_box(LATER)), confirmed, ranged)
}
