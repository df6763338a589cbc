//! Methods and spellings, credentials, and bodies of requests.

use super::*;

/// Methods and spellings.
pub fn requests() -> Vec<Case> {
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

pub fn credentials() -> Vec<Case> {
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

pub fn uploads() -> Vec<Case> {
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
