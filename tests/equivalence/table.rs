//! The cases. A column that is meant to differ has its entry in `difference.rs`. Lifetimes are multiples of 100 seconds
//! (`seen.rs`).

use super::case::Content::{Awaited, Chunked, Sized};
use super::case::Expect::*;
use super::case::{Ask, Case, End, ask, case, four, get};
use crate::support::Exchange;
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

/// Methods and spellings.
fn requests() -> Vec<Case> {
    let to = |line| four(get("").line(line));
    vec![
        case(
            "HEAD",
            four(ask("HEAD", "")),
            store,
            vec![Status(&[200; 4]), Body(&[""; 4]), Has(4, "content-length: 8")],
        ),
        case(
            "HEAD of what is stored",
            vec![get(""), ask("HEAD", ""), get(""), ask("HEAD", "")],
            store,
            vec![Asked(&[1; 4]), Body(&["answer 0", "", "answer 0", ""]), Has(4, "content-length: 8")],
        ),
        case(
            "OPTIONS",
            four(ask("OPTIONS", "Max-Forwards: 5\r\n")),
            |x, _| x.reply(200, "Allow: GET\r\n", ""),
            vec![Has(1, "allow: GET"), Sent("max-forwards: 4")],
        ),
        case("OPTIONS that ends here", vec![ask("OPTIONS", "Max-Forwards: 0\r\n"); 2], pass, vec![Asked(&[0, 0])])
            .front_only(CHECKED),
        case(
            "TRACE that ends here",
            vec![ask("TRACE", "Max-Forwards: 0\r\nCookie: a\r\n"); 2],
            pass,
            vec![Asked(&[0, 0])],
        )
        .front_only(CHECKED),
        case("DELETE", four(ask("DELETE", "")), echo, vec![Status(&[200; 4]), Asked(&[1, 2, 3, 4])]),
        case("a method that nobody knows", four(ask("BREW", "")), echo, vec![Status(&[200; 4])]),
        case("a method in lower case is another", four(ask("get", "")), echo, vec![Status(&[200; 4])]),
        case("a query", to("{url}?a=b%20c HTTP/{v}\r\nHost: {host}\r\n"), store, vec![Asked(&[1; 4])]),
        case(
            "dots and escapes stay",
            to("{url}/../%7Ea/%2e;b HTTP/{v}\r\nHost: {host}\r\n"),
            echo,
            vec![Status(&[200; 4])],
        ),
        case(
            "a scheme in capitals",
            to("{SCHEME}://{host}{path} HTTP/{v}\r\nHost: {host}\r\n"),
            store,
            vec![Asked(&[1; 4])],
        ),
        case(
            "the target decides, not Host",
            to("{url} HTTP/{v}\r\nHost: other.example\r\n"),
            store,
            vec![Asked(&[1; 4])],
        )
        .inside(ONE_HOST, vec![Status(&[421; 4]), Asked(&[0; 4])]),
        case("no Host", to("{url} HTTP/{v}\r\n"), store, vec![Status(&[400; 4])])
            .text_only(AUTHORITY)
            .new_only("HTTP/1.0 may do without (RFC 9112 section 3.2)"),
        case("two Hosts", to("{url} HTTP/{v}\r\nHost: {host}\r\nHost: {host}\r\n"), store, vec![Status(&[400; 4])])
            .text_only(AUTHORITY),
        case(
            "user information",
            to("{scheme}://me@{host}{path} HTTP/{v}\r\nHost: {host}\r\n"),
            store,
            vec![Asked(&[0; 4])],
        )
        .front_only(CHECKED)
        .text_only(USER_INFORMATION)
        .inside(ONE_HOST, vec![Status(&[421; 4]), Asked(&[0; 4])]),
        case("a path alone", to("{path} HTTP/{v}\r\nHost: {host}\r\n"), store, vec![Asked(&[0; 4])])
            .front_only(CONTROL)
            .inside("a path is what servers are asked for", vec![Status(&[200; 4]), Asked(&[1; 4])]),
        case(
            "lines that end with LF",
            four(get("X-A: b\n").line("{url} HTTP/{v}\nHost: {host}\n")),
            store,
            vec![Asked(&[1; 4]), Sent("x-a: b")],
        )
        .text_only(NO_LINES),
        case(
            "values in odd spaces",
            four(get("X-A:b\r\nX-B: \t b  c \t\r\nX-C:\r\nX-D: \"a, b\"\r\nX-E: \u{e9}\u{ff}\r\n")),
            pass,
            vec![Sent("x-a: b"), Sent("x-b: b  c"), Sent("x-c: "), Sent("x-e: \u{e9}\u{ff}")],
        )
        .text_only(NO_LINES),
        case(
            "lines of one name",
            four(get("X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n")),
            pass,
            vec![Sent("x-a: 1"), Sent("x-a: 3")],
        ),
        case("a space before the colon", vec![get("X-A : b\r\n"); 2], pass, vec![Status(&[400; 2])])
            .text_only(NO_LINES)
            .uncounted(2),
        case("no colon", vec![get("nothing\r\n"); 2], pass, vec![Status(&[400; 2])]).text_only(NO_LINES).uncounted(2),
        case("80 fields", four(get(EIGHTY)), pass, vec![Status(&[200; 4]), Sent("x: y")]),
        case(
            "a version that does not exist",
            vec![get("").line("{url} HTTP/1.7\r\nHost: {host}\r\n"); 2],
            pass,
            vec![],
        )
        .text_only(NO_LINES)
        .uncounted(2)
        .new_only("it has a version of its own"),
    ]
}

const EIGHTY: &str = "X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n\
    X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n";

fn credentials() -> Vec<Case> {
    vec![
        case(
            "Authorization",
            four(get("Authorization: Basic YTpi\r\n")),
            store,
            vec![Asked(&[1, 2, 3, 4]), Sent("authorization: Basic YTpi")],
        ),
        case(
            "Authorization that may be shared",
            four(get("Authorization: Basic YTpi\r\n")),
            |x, n| x.reply(200, "Cache-Control: public, max-age=1000\r\n", format!("answer {n}")),
            vec![Asked(&[1; 4])],
        ),
        case(
            "Authorization after others",
            vec![get(""), get("Authorization: Basic YTpi\r\n"), get(""), get("")],
            store,
            vec![Status(&[200; 4])],
        ),
        case(
            "cookies",
            four(get("Cookie: a=b\r\nCookie: c=d\r\n")),
            store,
            vec![Asked(&[1; 4]), Sent("cookie: a=b"), Sent("cookie: c=d")],
        )
        .inside(COOKIES, vec![Asked(&[1, 2, 3, 4]), Sent("cookie: a=b"), Sent("cookie: c=d")]),
        case(
            "cookies, and an answer for everybody",
            four(get("Cookie: a=b\r\nCookie: c=d\r\n")),
            |x, n| x.reply(200, "Cache-Control: public, max-age=1000\r\n", format!("answer {n}")),
            vec![Asked(&[1; 4]), Sent("cookie: a=b")],
        ),
        case(
            "cookies, and an answer for caches",
            four(get("Cookie: a=b\r\n")),
            |x, n| x.reply(200, "Cache-Control: s-maxage=1000\r\n", format!("answer {n}")),
            vec![Asked(&[1; 4]), Sent("cookie: a=b")],
        ),
        case(
            "Set-Cookie",
            four(get("")),
            |x, n| {
                x.reply(
                    200,
                    "Cache-Control: max-age=1000\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
                    format!("answer {n}"),
                )
            },
            vec![Has(1, "set-cookie: a=1"), Has(1, "set-cookie: b=2"), Has(4, "set-cookie: a=1")],
        ),
        case(
            "Set-Cookie, not stored",
            four(get("")),
            |x, n| x.reply(200, "Cache-Control: no-store\r\nSet-Cookie: a=1\r\n", format!("answer {n}")),
            vec![Has(1, "set-cookie: a=1"), Has(4, "set-cookie: a=1")],
        ),
        case(
            "Set-Cookie when it is found to be the same",
            vec![get(""), get("Cache-Control: no-cache\r\n"), get("Cache-Control: no-cache\r\n"), get("")],
            |x, n| {
                let fields = format!("Cache-Control: max-age=1000\r\nETag: \"a\"\r\nSet-Cookie: a={n}\r\n");
                match x.head.has("if-none-match") {
                    true => x.reply_empty(304, &fields),
                    false => x.reply(200, &fields, "answer"),
                }
            },
            vec![Asked(&[1, 2, 3, 3]), Has(1, "set-cookie: a=0"), Has(2, "set-cookie: a=1"), Has(4, "set-cookie: a=2")],
        ),
        case(
            "Proxy-Authorization",
            four(get("Proxy-Authorization: Basic YTpi\r\n")),
            store,
            vec![Asked(&[1; 4]), SentNot("proxy-authorization")],
        ),
        case(
            "401",
            four(get("")),
            |x, n| x.reply(401, "WWW-Authenticate: Basic realm=\"a\"\r\n", format!("answer {n}")),
            vec![Status(&[401; 4]), Has(1, "www-authenticate: Basic realm=\"a\"")],
        ),
    ]
}

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

/// Statuses and framings.
fn answers() -> Vec<Case> {
    vec![
        case(
            "204",
            four(get("")),
            |x, _| x.reply_empty(204, "Cache-Control: max-age=1000\r\n"),
            vec![Status(&[204; 4])],
        ),
        case(
            "304 that nobody asked for",
            four(get("")),
            |x, _| x.reply_empty(304, "ETag: \"a\"\r\nCache-Control: no-store\r\n"),
            vec![Status(&[304; 4])],
        ),
        case(
            "301, stored",
            four(get("")),
            |x, _| x.reply(301, "Cache-Control: max-age=1000\r\nLocation: /there\r\n", "there"),
            vec![Status(&[301; 4]), Asked(&[1; 4]), Has(4, "location: /there")],
        ),
        case(
            "302",
            four(get("")),
            |x, _| x.reply(302, "Location: /there\r\n", "there"),
            vec![Status(&[302; 4]), Asked(&[1, 2, 3, 4])],
        ),
        case(
            "404, stored",
            four(get("")),
            |x, _| x.reply(404, "Cache-Control: max-age=1000\r\n", "gone"),
            vec![Status(&[404; 4]), Asked(&[1; 4])],
        ),
        case(
            "503",
            four(get("")),
            |x, _| x.reply(503, "Retry-After: 9\r\n", "busy"),
            vec![Status(&[503; 4]), Asked(&[1, 2, 3, 4]), Has(4, "retry-after: 9")],
        ),
        case("599", four(get("")), |x, _| x.reply(599, "Cache-Control: no-store\r\n", "odd"), vec![Status(&[599; 4])]),
        case(
            "a reason of its own",
            four(get("")),
            |x, n| x.raw(format!("HTTP/1.1 200 Very Well\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n{n}")),
            vec![Status(&[200; 4])],
        ),
        case(
            "chunked",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: max-age=1000\r\n")?;
                x.chunk("hel")?;
                x.chunk("lo")?;
                x.end_chunked("")
            },
            vec![Body(&["hello"; 4]), Asked(&[1; 4])],
        )
        .open_ended(),
        case(
            "chunked, not stored",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\n")?;
                x.chunk("hel")?;
                x.chunk("lo")?;
                x.end_chunked("")
            },
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "chunked, 100 KiB",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\n")?;
                x.chunk("k".repeat(100 << 10))?;
                x.end_chunked("")
            },
            vec![Status(&[200; 4])],
        )
        .open_ended(),
        case(
            "until the end",
            four(get("")),
            |x, _| until_close(x, "Cache-Control: max-age=1000\r\n", "hello"),
            vec![Body(&["hello"; 4]), Asked(&[1; 4])],
        )
        .open_ended(),
        case(
            "until the end, not stored",
            four(get("")),
            |x, _| until_close(x, "Cache-Control: no-store\r\n", "hello"),
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "of HTTP/1.0",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.raw("HTTP/1.0 200 OK\r\nCache-Control: max-age=1000\r\nContent-Length: 5\r\n\r\nhello")
            },
            vec![Body(&["hello"; 4]), Asked(&[1; 4]), Has(1, "via: 1.1 ringhold")],
        ),
        case(
            "one length twice",
            four(get("")),
            |x, _| {
                let head =
                    "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n";
                x.raw(format!("{head}hello"))
            },
            vec![Status(&[200; 4]), Body(&["hello"; 4])],
        ),
        case(
            "trailers",
            four(get("TE: trailers\r\nConnection: TE\r\n")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\nTrailer: X-Sum\r\n")?;
                x.chunk("hello")?;
                x.end_chunked("X-Sum: 5\r\nContent-Length: 9\r\nRinghold-X: y\r\n")
            },
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "trailers that nobody asked for",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\nTrailer: X-Sum\r\n")?;
                x.chunk("hello")?;
                x.end_chunked("X-Sum: 5\r\n")
            },
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "trailers of what is stored",
            four(get("TE: trailers\r\nConnection: TE\r\n")),
            |x, _| {
                x.begin_chunked("Cache-Control: max-age=1000\r\nTrailer: X-Sum\r\n")?;
                x.chunk("hello")?;
                x.end_chunked("X-Sum: 5\r\n")
            },
            vec![Body(&["hello"; 4]), Asked(&[1; 4])],
        )
        .open_ended(),
        case(
            "interim answers",
            four(get("")),
            |x, n| {
                x.raw("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x-gone\r\nX-Gone: a\r\nRinghold-X: b\r\n\r\n")?;
                x.reply(200, "Cache-Control: no-store\r\n", format!("answer {n}"))
            },
            vec![Interim(1, &[102, 103]), Interim(4, &[102, 103])],
        ),
        case(
            "an interim answer before what is stored",
            four(get("")),
            |x, n| {
                x.raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
                x.reply(200, "Cache-Control: max-age=1000\r\n", format!("answer {n}"))
            },
            vec![Interim(1, &[103]), Interim(2, &[]), Asked(&[1; 4])],
        ),
        case(
            "stale while it is renewed",
            vec![get(""); 2],
            |x, n| {
                x.reply(
                    200,
                    "Cache-Control: max-age=1000, stale-while-revalidate=1000\r\nAge: 1000\r\nETag: \"a\"\r\n",
                    format!("answer {n}"),
                )
            },
            vec![Body(&["answer 0", "answer 0"])],
        )
        .background(2),
        case(
            "an old copy in place of an error",
            four(get("")),
            |x, n| match n {
                0 => x.reply(200, "Cache-Control: max-age=0, stale-if-error=1000\r\n", "good"),
                _ => x.reply(500, "", "bad"),
            },
            vec![Status(&[200; 4]), Body(&["good"; 4]), Asked(&[1, 2, 3, 4])],
        ),
    ]
}

fn uploads() -> Vec<Case> {
    let post = |content| vec![ask("POST", "Content-Type: text/plain\r\n").content(content); 3];
    vec![
        case("POST", post(Sized("body")), echo, vec![Status(&[200; 3]), Asked(&[1, 2, 3])]),
        case("POST of nothing", post(Sized("")), echo, vec![Status(&[200; 3])]),
        case("POST, chunked", post(Chunked(&["bo", "dy"], "")), echo, vec![Status(&[200; 3])]).new_only(NO_CHUNKS),
        case(
            "POST with trailers",
            post(Chunked(&["body"], "X-Sum: 4\r\nRinghold-X: a\r\n")),
            echo,
            vec![Status(&[200; 3])],
        )
        .new_only(NO_CHUNKS),
        case("POST, and 100", post(Awaited("body")), echo, vec![Status(&[200; 3])]),
        case("PUT", vec![ask("PUT", "").content(Sized("body")); 3], echo, vec![Status(&[200; 3])]),
        case("GET with content", vec![get("").content(Sized("body")); 3], store, vec![Status(&[200; 3])]),
        case(
            "POST makes the stored invalid",
            vec![get(""), get(""), ask("POST", "").content(Sized("a")), get("")],
            store,
            vec![Status(&[200; 4]), Asked(&[1, 1, 2, 3]), Body(&["answer 0", "answer 0", "answer 1", "answer 2"])],
        ),
        case(
            "POST that fails leaves the stored",
            vec![get(""), get(""), ask("POST", "").content(Sized("a")), get("")],
            |x, n| match x.method() {
                "POST" => x.reply(500, "", "bad"),
                _ => store(x, n),
            },
            vec![Status(&[200, 200, 500, 200]), Asked(&[1, 1, 2, 2])],
        ),
        case(
            "an answer before the upload",
            vec![ask("POST", "").content(Awaited("body")); 2],
            |x, _| x.reply(413, "Connection: close\r\n", "too large"),
            vec![Status(&[413; 2])],
        )
        .early(),
        case("both a length and a coding", both(), echo, vec![Status(&[400; 2]), Asked(&[0, 0])])
            .text_only(NO_HOP)
            .new_only(NO_CHUNKS),
        case(
            "a coding that is not chunked",
            vec![ask("POST", "Transfer-Encoding: gzip, chunked\r\n").content(Sized("")); 2],
            echo,
            vec![Asked(&[0, 0])],
        )
        .text_only(NO_HOP)
        .new_only(NO_CHUNKS),
    ]
}

fn both() -> Vec<Ask> {
    vec![ask("POST", "Content-Length: 9\r\n").content(Chunked(&["body"], "")); 2]
}

/// Answers that break off, and what is none.
fn broken() -> Vec<Case> {
    vec![
        case("no answer", four(get("")), hangs_up, vec![Status(&[502; 4])]),
        case("a reset", four(get("")), |x, _| x.reset(), vec![Status(&[502; 4])]),
        case(
            "half a head",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.raw("HTTP/1.1 200 OK\r\nCache-Con")
            },
            vec![Status(&[502; 4])],
        ),
        case(
            "half a body",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.begin_sized("Cache-Control: max-age=1000\r\n", 9)?;
                x.raw("hello")
            },
            vec![Ends(1, End::Cut)],
        )
        .open_ended(),
        case(
            "no body",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.begin_sized("Cache-Control: no-store\r\n", 9)
            },
            vec![],
        )
        .open_ended(),
        case(
            "half a chunk",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.begin_chunked("Cache-Control: no-store\r\n")?;
                x.raw("9\r\nhello")
            },
            vec![Ends(1, End::Cut)],
        )
        .open_ended(),
        case("no HTTP", four(get("")), |x, _| x.raw("220 mail.example.com ESMTP\r\n\r\n"), vec![Status(&[502; 4])]),
        case(
            "two lengths",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
            vec![Status(&[502; 4])],
        ),
        case(
            "another coding",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            vec![Status(&[502; 4])],
        ),
        case(
            "a line without a colon is passed over",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 0\r\n\r\n"),
            vec![Status(&[200; 4])],
        ),
        case("HEAD that is not answered", vec![ask("HEAD", ""); 2], hangs_up, vec![Status(&[502; 2])]),
    ]
}

fn hangs_up(x: &mut Exchange, _: usize) -> Done {
    x.hang_up();
    Ok(())
}
