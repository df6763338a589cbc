//! The cases. A column that is meant to differ has its entry in `difference.rs`. Lifetimes are multiples of 100 seconds
//! (`seen.rs`).

#[path = "table/answers.rs"]
mod answers;
#[path = "table/requests.rs"]
mod requests;

use super::case::Content::{Awaited, Chunked, Sized};
use super::case::Expect::*;
use super::case::{Ask, Case, End, ask, case, four, get};
use crate::support::Exchange;
use answers::{answers, broken};
use requests::{credentials, requests, uploads};
use std::io;

type Done = io::Result<()>;

const TRUSTED: &str = "on loopback a node believes whoever asks to be a front (docs/link.md, Trust on TCP)";
const NO_CHUNKS: &str = "HTTP/1.0 has no transfer codings (RFC 9112 section 6.1)";
const ONE_BY_ONE: &str = "without `keep-alive` a connection of HTTP/1.0 ends with its first answer";
const STREAMS: &str = "HTTP/2 has a stream for each request, and nothing to wait in line for";
const NO_LINES: &str =
    "HTTP/2 has fields by their length, not lines of text, and tells no version (RFC 9113 section 8)";
const NO_HOP: &str =
    "HTTP/2 has no fields of a hop: who sends one is reset (RFC 9113 section 8.2.2; tests/black_box/http2/table.rs)";
const USER_INFORMATION: &str = "RFC 9113 section 8.3.1: there is no user information in an authority";
const AUTHORITY: &str = "HTTP/2 has `:authority`, once (RFC 9113 section 8.3.1; tests/black_box/http2/table.rs)";
const CONTROL: &str = "what has no absolute target is control at a node (docs/link.md)";
const PARTS: &str = "parts of a representation are not written to a disk (docs/disk.md)";
const ONE_HOST: &str = "inside a tunnel there is one host, and 421 for others (docs/https.md)";
const COOKIES: &str = "of https is kept for others what says so, where the request had a cookie (docs/https.md)";
const CHECKED: &str = "a node leaves it to its front to refuse that";

fn store(x: &mut Exchange, n: usize) -> Done {
    x.reply(200, "Cache-Control: max-age=1000\r\n", format!("answer {n}"))
}

fn pass(x: &mut Exchange, n: usize) -> Done {
    x.reply(200, "Cache-Control: no-store\r\n", format!("answer {n}"))
}

/// What was asked with, to the letter.
fn echo(x: &mut Exchange, n: usize) -> Done {
    let fields = format!("Cache-Control: no-store\r\nX-Number: {n}\r\n");
    x.reply(200, &fields, format!("{} {}", x.method(), x.target()))
}

fn aged(x: &mut Exchange, n: usize) -> Done {
    x.reply(200, "Cache-Control: max-age=1000\r\nAge: 300\r\n", format!("answer {n}"))
}

/// By the request's condition.
fn tagged(x: &mut Exchange, n: usize) -> Done {
    let fields = "Cache-Control: max-age=1000\r\nETag: \"a\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    match x.head.get("if-none-match").is_some_and(|tags| tags.contains("\"a\"")) {
        true => x.reply_empty(304, fields),
        false => x.reply(200, fields, format!("tagged {n}")),
    }
}

/// Ten bytes, or the part that was asked for.
fn ranged(x: &mut Exchange, _: usize) -> Done {
    let fields = "Cache-Control: max-age=1000\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\n";
    match x.head.get("range").as_deref() {
        Some("bytes=2-4") => x.reply(206, &format!("{fields}Content-Range: bytes 2-4/10\r\n"), "234"),
        _ => x.reply(200, fields, "0123456789"),
    }
}

fn vary(x: &mut Exchange, n: usize) -> Done {
    let coding = x.head.get("accept-encoding").unwrap_or("identity".into());
    let fields = "Cache-Control: max-age=1000\r\nVary: Accept-Encoding\r\n";
    x.reply(200, &format!("{fields}Content-Encoding: {coding}\r\n"), format!("{coding} {n}"))
}

fn until_close(x: &mut Exchange, fields: &str, body: &str) -> Done {
    x.hang_up();
    x.raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}"))
}

pub fn cases() -> Vec<Case> {
    let groups =
        [plain(), requests(), credentials(), directives(), conditions(), fields(), answers(), uploads(), broken()];
    groups.into_iter().flatten().collect()
}

/// What is asked most.
fn plain() -> Vec<Case> {
    vec![
        case("stored", four(get("")), store, vec![Status(&[200; 4]), Asked(&[1; 4]), Body(&["answer 0"; 4])]),
        case(
            "not stored",
            four(get("")),
            pass,
            vec![Status(&[200; 4]), Asked(&[1, 2, 3, 4]), Body(&["answer 0", "answer 1", "answer 2", "answer 3"])],
        ),
        case(
            "a browser's twelve fields",
            four(get("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
                 Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
                 Accept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate\r\n\
                 Referer: http://example.com/\r\nConnection: keep-alive\r\nCookie: session=0123; theme=dark\r\n\
                 Upgrade-Insecure-Requests: 1\r\nSec-GPC: 1\r\nDNT: 1\r\nPriority: u=0, i\r\n")),
            store,
            vec![
                Asked(&[1; 4]),
                Sent("Cookie: session=0123; theme=dark"),
                Sent("Accept-Encoding: gzip, deflate"),
                SentNot("connection"),
            ],
        )
        .inside(COOKIES, vec![Asked(&[1, 2, 3, 4]), Sent("Cookie: session=0123; theme=dark"), SentNot("connection")]),
        case(
            "20 KiB, stored",
            four(get("")),
            |x, _| x.reply(200, "Cache-Control: max-age=1000\r\n", "k".repeat(20 << 10)),
            vec![Asked(&[1; 4])],
        ),
        case(
            "20 KiB, not stored",
            four(get("")),
            |x, _| x.reply(200, "Cache-Control: no-store\r\n", "k".repeat(20 << 10)),
            vec![Asked(&[1, 2, 3, 4])],
        ),
        case(
            "300 KiB with a tag",
            four(get("")),
            |x, _| x.reply(200, "Cache-Control: max-age=1000\r\nETag: \"k\"\r\n", "k".repeat(300 << 10)),
            vec![Asked(&[1; 4])],
        ),
        case(
            "empty",
            four(get("")),
            |x, _| x.reply(200, "Cache-Control: max-age=1000\r\n", ""),
            vec![Body(&[""; 4]), Asked(&[1; 4])],
        ),
        case("pipelined", four(get("")), store, vec![Body(&["answer 0"; 4])])
            .text_only(STREAMS)
            .pipelined()
            .new_only(ONE_BY_ONE),
        case("pipelined and not stored", four(get("")), pass, vec![Status(&[200; 4])])
            .text_only(STREAMS)
            .pipelined()
            .new_only(ONE_BY_ONE),
    ]
}

const EIGHTY: &str = "X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n";

/// `Cache-Control` of both sides, and what has its place.
fn directives() -> Vec<Case> {
    let said = |fields: &'static str| vec![get(""), get(fields), get(fields), get("")];
    vec![
        case("the request says no-cache", said("Cache-Control: no-cache\r\n"), tagged, vec![Asked(&[1, 2, 3, 3])]),
        case("the request says Pragma", said("Pragma: no-cache\r\n"), tagged, vec![Asked(&[1, 2, 3, 3])]),
        case("the request says no-store", four(get("Cache-Control: no-store\r\n")), store, vec![Asked(&[1, 2, 3, 4])]),
        case("the request says max-age", said("Cache-Control: MAX-AGE=900\r\n"), aged, vec![Asked(&[1; 4])]),
        case(
            "the request says a shorter max-age",
            said("Cache-Control: max-age=200\r\n"),
            aged,
            vec![Asked(&[1, 2, 3, 3])],
        ),
        case(
            "the request says min-fresh",
            said("Cache-Control: min-fresh=2000\r\n"),
            store,
            vec![Asked(&[1, 2, 3, 3])],
        ),
        case(
            "the request says only-if-cached",
            vec![get("Cache-Control: only-if-cached\r\n"), get(""), get("Cache-Control: only-if-cached\r\n"), get("")],
            store,
            vec![Status(&[504, 200, 200, 200]), Asked(&[0, 1, 1, 1])],
        ),
        case(
            "private",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: Private, max-age=1000\r\n", format!("answer {n}")),
            vec![Asked(&[1, 2, 3, 4])],
        ),
        case(
            "no-cache",
            four(get("")),
            |x, n| match x.head.has("if-none-match") {
                true => x.reply_empty(304, "Cache-Control: no-cache\r\nETag: \"a\"\r\n"),
                false => x.reply(200, "Cache-Control: no-cache\r\nETag: \"a\"\r\n", format!("answer {n}")),
            },
            vec![Asked(&[1, 2, 3, 4]), Body(&["answer 0"; 4])],
        ),
        case(
            "stale at once",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: max-age=0, must-revalidate\r\nETag: \"a\"\r\n", format!("answer {n}")),
            vec![Asked(&[1, 2, 3, 4])],
        ),
        case(
            "s-maxage, in odd spelling",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: MAX-AGE=0 , ,S-MaxAge=\"1000\"\r\n", format!("answer {n}")),
            vec![Asked(&[1; 4])],
        ),
        case(
            "Cache-Control on two lines",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: max-age=1000\r\nCache-Control: no-store\r\n", format!("answer {n}")),
            vec![Asked(&[1, 2, 3, 4])],
        ),
        case(
            "Expires",
            four(get("")),
            |x, n| x.reply(200, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nExpires: 0\r\n", format!("answer {n}")),
            vec![Asked(&[1, 2, 3, 4])],
        ),
        case(
            "it has an age",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: max-age=1000\r\nAge: 300\r\n", format!("answer {n}")),
            vec![Asked(&[1; 4]), Has(2, "age: 300")],
        ),
        case(
            "immutable",
            said("Cache-Control: max-age=200\r\n"),
            |x, n| x.reply(200, "Cache-Control: max-age=1000, immutable\r\nAge: 300\r\n", format!("answer {n}")),
            vec![Asked(&[1; 4])],
        ),
        case("nothing said", four(get("")), |x, n| x.reply(200, "", format!("answer {n}")), vec![Asked(&[1, 2, 3, 4])]),
        case("Vary", [GZIP, GZIP, GZIP, GZIP].map(get).to_vec(), vary, vec![Asked(&[1; 4])]),
        case("Vary, and several forms", [GZIP, BR, GZIP, BR].map(get).to_vec(), vary, vec![Asked(&[1, 2, 2, 2])]),
        case(
            "Vary, and the field is missing",
            [GZIP, "", GZIP, ""].map(get).to_vec(),
            vary,
            vec![Asked(&[1, 2, 2, 2])],
        ),
        case(
            "Vary, in another spelling",
            ["accept-encoding:gzip\r\n", GZIP, "Accept-Encoding:   gzip\r\n", GZIP].map(get).to_vec(),
            vary,
            vec![Asked(&[1; 4])],
        ),
        case(
            "Vary: *",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: max-age=1000\r\nVary: *\r\n", format!("answer {n}")),
            vec![Asked(&[1, 2, 3, 4])],
        ),
        case(
            "Vary, and Cookie",
            ["Cookie: a\r\n", "Cookie: b\r\n", "Cookie: a\r\n", "Cookie: b\r\n"].map(get).to_vec(),
            |x, n| x.reply(200, "Cache-Control: max-age=1000\r\nVary: Cookie\r\n", format!("answer {n}")),
            vec![Asked(&[1, 2, 2, 2])],
        )
        .inside(COOKIES, vec![Asked(&[1, 2, 3, 4])]),
    ]
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";
const BR: &str = "Accept-Encoding: br\r\n";

fn conditions() -> Vec<Case> {
    let then = |fields: &'static str| vec![get(""), get(fields), get(fields), get(fields)];
    vec![
        case(
            "If-None-Match that holds",
            then("If-None-Match: \"a\"\r\n"),
            tagged,
            vec![Status(&[200, 304, 304, 304]), Asked(&[1; 4])],
        ),
        case(
            "If-None-Match, weak and of several",
            then("If-None-Match: \"x\", W/\"a\"\r\n"),
            tagged,
            vec![Status(&[200, 304, 304, 304])],
        ),
        case("If-None-Match that does not hold", then("If-None-Match: \"b\"\r\n"), tagged, vec![Status(&[200; 4])]),
        case("If-None-Match: *", then("If-None-Match: *\r\n"), tagged, vec![Status(&[200, 304, 304, 304])]),
        case(
            "If-Modified-Since",
            then("If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n"),
            tagged,
            vec![Status(&[200, 304, 304, 304])],
        ),
        case("If-Match", then("If-Match: \"b\"\r\n"), tagged, vec![Asked(&[1, 2, 3, 4])]),
        case(
            "a condition before anything is stored",
            four(get("If-None-Match: \"a\"\r\n")),
            tagged,
            vec![Status(&[304; 4])],
        ),
        case(
            "Range of what is stored",
            then("Range: bytes=2-4\r\n"),
            ranged,
            vec![
                Status(&[200, 206, 206, 206]),
                Body(&["0123456789", "234", "234", "234"]),
                Has(4, "content-range: bytes 2-4/10"),
            ],
        ),
        case(
            "Range from the start",
            four(get("Range: bytes=2-4\r\n")),
            ranged,
            vec![Status(&[206; 4]), Body(&["234"; 4])],
        )
        .memory_only(PARTS),
        case(
            "Range of the last",
            then("Range: bytes=-3\r\n"),
            ranged,
            vec![Body(&["0123456789", "789", "789", "789"])],
        ),
        case("Range that is none", then("Range: bytes=20-\r\n"), ranged, vec![Status(&[200, 416, 416, 416])]),
        case("Range of two parts", then("Range: bytes=0-1,3-4\r\n"), ranged, vec![]),
        case(
            "If-Range that holds",
            then("Range: bytes=2-4\r\nIf-Range: \"a\"\r\n"),
            ranged,
            vec![Status(&[200, 206, 206, 206])],
        ),
        case(
            "If-Range that does not hold",
            then("Range: bytes=2-4\r\nIf-Range: \"b\"\r\n"),
            ranged,
            vec![Status(&[200; 4])],
        ),
    ]
}

/// Of the hop, of the way, and of strangers.
fn fields() -> Vec<Case> {
    vec![
        case("Connection: close", four(get("Connection: close\r\n")), store, vec![
            Asked(&[1; 4]),
            SentNot("connection"),
            Ends(1, End::Closed),
        ]).text_only(NO_HOP),
        case("Connection: keep-alive", four(get("Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n")), store, vec![
            Asked(&[1; 4]),
            SentNot("connection"),
            SentNot("keep-alive"),
            Ends(1, End::Kept),
        ]).text_only(NO_HOP),
        case("Proxy-Connection", four(get("Proxy-Connection: keep-alive\r\n")), pass, vec![SentNot("proxy-connection")]).text_only(NO_HOP),
        case("Connection names a field", four(get("Connection: keep-alive, X-Gone\r\nX-Gone: a\r\nX-Here: b\r\n")), pass, vec![
            SentNot("x-gone"),
            Sent("x-here: b"),
        ]).text_only(NO_HOP),
        case(
            "Connection names what is for everyone",
            four(get("Connection: Host, Cache-Control, Via\r\nCache-Control: no-store\r\nVia: 1.1 other\r\n")),
            store,
            vec![Sent("cache-control: no-store"), Sent("via: 1.1 other"), Asked(&[1, 2, 3, 4])],
        ).text_only(NO_HOP),
        case("Connection names what was decided by", four(get("Connection: Authorization\r\nAuthorization: Basic a\r\n")), store, vec![
            SentNot("authorization"),
        ]).text_only(NO_HOP),
        case("TE", four(get("TE: trailers, gzip\r\nConnection: TE\r\n")), pass, vec![Status(&[200; 4])]).text_only(NO_HOP),
        case("Upgrade that nobody knows", four(get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n")), pass, vec![
            SentNot("upgrade"),
            SentNot("http2-settings"),
        ]).text_only(NO_HOP),
        case("Keep-Alive alone", four(get("Keep-Alive: 5\r\n")), pass, vec![SentNot("keep-alive")]).text_only(NO_HOP),
        case("Via of another", four(get("Via: 1.0 other (a, b)\r\n")), store, vec![Sent("via: 1.0 other (a, b)")]),
        case("a loop", vec![get("Via: 1.1 other, 1.1 Ringhold\r\n"); 2], store, vec![Status(&[502; 2]), Asked(&[0, 0])])
            .front_only(CHECKED),
        case("a condition that nobody knows", four(get("If-Foo: x\r\n")), store, vec![Sent("if-foo: x"), Asked(&[1; 4])]),
        case("Max-Forwards on a GET", four(get("Max-Forwards: 0\r\n")), store, vec![Sent("max-forwards: 0")]),
        case("Expect that nobody knows", vec![get("Expect: a-miracle\r\n"); 2], pass, vec![]),
        case("a length without content", four(get("Content-Length: 0\r\n")), store, vec![Status(&[200; 4])]),
        case(
            "link fields of a stranger",
            four(get(
                "Ringhold-Client: remote\r\nRinghold-Peer: n9 127.0.0.1:1\r\nringhold-asker: n9\r\nRinghold-Pinned: yes\r\n\
                 Ringhold-: a\r\nRinghold-X: b\r\nX-Ringhold: c\r\n",
            )),
            store,
            vec![
                Status(&[200; 4]),
                Asked(&[1; 4]),
                Sent("x-ringhold: c"),
                SentNot("ringhold-client"),
                SentNot("ringhold-peer"),
                SentNot("ringhold-"),
                SentNot("ringhold-x"),
            ],
        )
        .front_only(TRUSTED),
        case(
            "link fields of a stranger, not stored",
            four(get("Ringhold-Client: remote\r\nRinghold-: a\r\nRinghold-X: b\r\nringhold: c\r\n")),
            pass,
            vec![Status(&[200; 4]), Sent("ringhold: c"), SentNot("ringhold-"), SentNot("ringhold-x")],
        )
        .front_only(TRUSTED),
        case(
            "an origin's fields of its hop",
            four(get("")),
            |x, n| {
                let fields = "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nConnection: X-Gone\r\nX-Gone: a\r\nUpgrade: h2c\r\n";
                x.reply(200, &format!("Cache-Control: no-store\r\n{fields}"), format!("answer {n}"))
            },
            vec![HasNot(1, "x-gone"), HasNot(2, "keep-alive"), HasNot(2, "proxy-authenticate"), HasNot(2, "upgrade")],
        ),
        case(
            "an origin's fields of its hop, stored",
            four(get("")),
            |x, n| {
                let fields = "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nConnection: X-Gone\r\nX-Gone: a\r\nX-Here: b\r\n";
                x.reply(200, &format!("Cache-Control: max-age=1000\r\n{fields}"), format!("answer {n}"))
            },
            vec![HasNot(1, "x-gone"), HasNot(2, "keep-alive"), HasNot(4, "proxy-authenticate"), Has(4, "x-here: b")],
        ),
        case(
            "an origin's link fields",
            four(get("")),
            |x, n| {
                let fields = "Ringhold-Reach: remote\r\nRinghold-Length: 3\r\nRinghold-Fault: us dns_error\r\nRinghold-: a\r\n";
                x.reply(200, &format!("Cache-Control: max-age=1000\r\n{fields}"), format!("answer {n}"))
            },
            vec![HasNot(1, "ringhold-reach"), HasNot(2, "ringhold-length"), HasNot(3, "ringhold-"), Asked(&[1; 4])],
        ),
        case(
            "an origin's link fields, not stored",
            four(get("")),
            |x, n| {
                let fields = "Ringhold-Reach: remote\r\nRinghold-Length: 3\r\nRinghold-Fault: us dns_error\r\nRinghold-: a\r\n";
                x.reply(200, &format!("Cache-Control: no-store\r\n{fields}"), format!("answer {n}"))
            },
            vec![HasNot(1, "ringhold-reach"), HasNot(2, "ringhold-fault"), HasNot(3, "ringhold-"), HasNot(4, "ringhold-length")],
        ),
        case(
            "what other caches said",
            four(get("")),
            |x, n| {
                let fields = "Cache-Status: cdn; hit; ttl=30\r\nVia: 1.1 cdn\r\nProxy-Status: cdn; received-status=200\r\n";
                x.reply(200, &format!("Cache-Control: max-age=1000\r\n{fields}"), format!("answer {n}"))
            },
            vec![Has(4, "via: 1.1 cdn"), Has(4, "proxy-status: cdn; received-status=200")],
        ),
        case(
            "another service for the same",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: max-age=1000\r\nAlt-Svc: h3=\":443\"\r\n", format!("answer {n}")),
            vec![Has(1, "alt-svc: h3=\":443\""), Has(4, "alt-svc: h3=\":443\""), Asked(&[1; 4])],
        ),
        case(
            "values in odd spaces, in an answer",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 Fine\r\nCache-Control:max-age=1000\r\nX-A:  \t b  c \t\r\nX-B:\r\nContent-Length:2\r\n\r\nok"),
            vec![Has(4, "x-a: b  c"), Has(4, "x-b: ")],
        ),
    ]
}

fn both() -> Vec<Ask> {
    vec![ask("POST", "Content-Length: 9\r\n").content(Chunked(&["body"], "")); 2]
}
