//! What a request costs before and after the decision: its key, its head, and the entry that is stored and gives its fields
//! back.

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use ringhold::lab::config::{CacheConfig, Eviction};
use ringhold::lab::net::RequestHead;
use ringhold::lab::policy::{Rules, Terms, storable};
use ringhold::lab::store::{Entry, Mark, ShelfLimits, Store};
use ringhold::lab::wire::HeadLimits;
use ringhold::lab::wire::Key;
use ringhold::lab::wire::Timestamp;
use ringhold::lab::wire::Traits;
use std::hint::black_box;
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_767_225_600_000);
const URL: &str = "http://static.example.com/assets/7f3a/index.html?v=17";

/// As a browser with a proxy set sends it.
const HEAD: &str = "GET http://static.example.com/assets/7f3a/index.html?v=17 HTTP/1.1\r\n\
    Host: static.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: de,en-US;q=0.7,en;q=0.3\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Referer: http://static.example.com/\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-GPC: 1\r\n\
    DNT: 1\r\n\
    Priority: u=0, i\r\n\r\n";

const ANSWERED: [(&str, &str); 12] = [
    ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ("server", "nginx"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "1024"),
    ("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT"),
    ("etag", "\"0123456789abcdee\""),
    ("cache-control", "public, max-age=600"),
    ("expires", "Thu, 01 Jan 2026 00:10:00 GMT"),
    ("accept-ranges", "bytes"),
    ("x-request-id", "0123456789abcdef"),
    ("x-content-type-options", "nosniff"),
    ("strict-transport-security", "max-age=63072000"),
];

fn fields() -> HeaderMap {
    ANSWERED.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

fn terms() -> Terms {
    let (request, ()) = Request::get(URL).body(()).expect("a request").into_parts();
    let (mut response, ()) = Response::new(()).into_parts();
    response.headers = fields();
    storable(&Rules::default(), &request, &response, NOW, NOW).expect("it may be stored")
}

fn entry(key: &Key, fields: &HeaderMap, terms: Terms, body: &Bytes) -> Entry {
    Entry::new(key, StatusCode::OK, fields, &[], terms, Mark::Anyone, vec![body.clone()])
}

fn reading(c: &mut Criterion) {
    c.bench_function("the key of a target that is its own", |b| b.iter(|| Key::read(black_box(URL.as_bytes()))));
    let odd = URL.replace("static.example.com", "Static.Example.COM:80");
    c.bench_function("the key of a target to be rewritten", |b| b.iter(|| Key::read(black_box(odd.as_bytes()))));
    c.bench_function("a head of 11 fields", |b| b.iter(|| RequestHead::parts(black_box(HEAD.as_bytes()))));
}

fn storing(c: &mut Criterion) {
    let (key, fields, terms, body) = (Key::parse(URL).expect("a key"), fields(), terms(), Bytes::from(vec![7; 1024]));
    let stored = entry(&key, &fields, terms, &body);
    c.bench_function("an entry built, 12 fields and 1 KiB", |b| {
        b.iter(|| entry(black_box(&key), black_box(&fields), terms, &body))
    });
    c.bench_function("an entry renewed, 12 fields and 1 KiB", |b| {
        b.iter(|| black_box(&stored).renewed(&fields, terms, Mark::Anyone, &key, &[]))
    });
    c.bench_function("its fields as a map", |b| b.iter(|| black_box(&stored).headers(3)));
    let mut head = Vec::with_capacity(4096);
    c.bench_function("its fields as they are sent", |b| {
        b.iter(|| {
            head.clear();
            black_box(&stored).write_fields(Traits::NONE, &mut head);
            head.len()
        })
    });
}

fn finding(c: &mut Criterion) {
    let (memory, eviction) = (64 << 20, Eviction::TinyLfu);
    let config = CacheConfig { memory, max_object: memory, in_flight: memory, eviction, targeted: Vec::new() };
    let limits = ShelfLimits { variants: 32, head: HeadLimits { bytes: 65_536, fields: 100 } };
    let (store, fields, terms, body) = (Store::new(&config, limits), fields(), terms(), Bytes::from(vec![7; 1024]));
    let keys: Vec<Key> = (0..1000).filter_map(|n| Key::parse(&format!("{URL}{n}")).ok()).collect();
    keys.iter().for_each(|key| store.put(key, Arc::new(entry(key, &fields, terms, &body))));
    let mut n = 0;
    c.bench_function("an entry found among 1,000", |b| {
        b.iter(|| {
            n = (n + 1) % keys.len();
            store.get(black_box(&keys[n])).is_some()
        })
    });
}

criterion_group!(benches, reading, storing, finding);
criterion_main!(benches);
