//! A fresh hit, decided from numbers (at most 0.25 µs), and the general path (12 request and 12 response fields, at most
//! 2 µs).

use criterion::{Criterion, criterion_group, criterion_main};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request, response};
use ringhold::policy::{Rules, Stored, Terms, decide, explain, not_modified, ranges, selecting_by, storable};
use ringhold::wire::date::Timestamp;
use std::hint::black_box;

const NOW: Timestamp = Timestamp(1_767_225_600_000);
const LATER: Timestamp = Timestamp(NOW.0 + 5_000);

/// What a browser sends, `Host` and `Proxy-Connection` gone.
const ASKED: [(&str, &str); 12] = [
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

fn asked(lines: &[(&'static str, &'static str)]) -> request::Parts {
    let (mut parts, ()) = Request::get("http://example.com/a").body(()).expect("a request").into_parts();
    parts.headers = fields(lines);
    parts
}

fn answered() -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers = fields(&ANSWERED);
    parts
}

fn benches(c: &mut Criterion) {
    let (plain, full, answer, rules) = (asked(&ASKED[..10]), asked(&ASKED), answered(), Rules::default());
    let terms: Terms = storable(&rules, &plain, &answer, NOW, NOW).expect("it may be stored");
    let stored = || Stored { terms: &terms, status: StatusCode::OK, fields: &answer.headers };
    c.bench_function("a fresh hit, 10 request fields", |b| {
        b.iter(|| decide(black_box(&plain), Some(black_box(stored())), black_box(LATER)))
    });
    c.bench_function("the general path, 12 and 12 fields", |b| {
        b.iter(|| {
            let request = black_box(&full);
            let variant = selecting_by(black_box(b"Accept-Encoding"), &request.headers);
            let decision = decide(request, Some(black_box(stored())), black_box(LATER));
            let confirmed = not_modified(&request.headers, &stored(), LATER);
            (variant, decision, confirmed, ranges(request, &stored(), 1024, LATER))
        })
    });
    c.bench_function("may it be stored, 12 and 12 fields", |b| {
        b.iter(|| storable(black_box(&rules), black_box(&full), black_box(&answer), NOW, LATER))
    });
    c.bench_function("explained", |b| b.iter(|| explain(black_box(&full), Some(stored()), black_box(LATER))));
}

criterion_group!(policy, benches);
criterion_main!(policy);
