//! PURE. A request's fields as they would be in HTTP/1.1: what comes behind this sees no other.
//!
//! | HTTP/2 (RFC 9113 section 8.3.1) | HTTP/1.1 |
//! | --- | --- |
//! | `:method` | the method |
//! | `:scheme` | none; another than https is refused |
//! | `:authority` | `Host`; a `host` field that names another is refused. Whether it is the tunnel's is asked there, as of any other |
//! | `:path` | the target: a path, or `*` for OPTIONS |
//! | lines of `cookie` | one line (section 8.2.3) |
//! | content without `content-length` | `Transfer-Encoding: chunked` |

use crate::wire::target::Key;
use crate::wire::written::{field, put};
use http::header::{COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

const SCHEME: &str = "https";

/// The head; what is malformed is refused. `ends`: nothing follows it.
pub(super) fn head(request: &Parts, ends: bool) -> Result<Vec<u8>, &'static str> {
    let Parts { method, uri, headers, .. } = request;
    let mut out = Vec::with_capacity(512);
    if *method == Method::CONNECT {
        let authority = uri.authority().ok_or("it has no :authority")?;
        put(&mut out, &[b"CONNECT ", authority.as_str().as_bytes(), b" HTTP/1.1\r\n"]);
    } else {
        if uri.scheme_str().is_some_and(|scheme| scheme != SCHEME) {
            return Err("its :scheme is not that of its connection, https");
        }
        let path = if has_path(uri) { uri.path_and_query().map_or("", |path| path.as_str()) } else { "" };
        if !(path.starts_with('/') || path == "*" && *method == Method::OPTIONS) {
            return Err("its :path is none");
        }
        put(&mut out, &[method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    }
    match uri.authority() {
        Some(authority) => {
            let authority = authority.as_str();
            if headers.get_all(HOST).iter().any(|host| !is_same(host.as_bytes(), authority.as_bytes())) {
                return Err("its host field is not its :authority");
            }
            field(&mut out, HOST.as_str().as_bytes(), authority.as_bytes());
        }
        None => {
            headers.get_all(HOST).iter().for_each(|host| field(&mut out, HOST.as_str().as_bytes(), host.as_bytes()))
        }
    }
    for (name, value) in headers.iter().filter(|(name, _)| **name != HOST && **name != COOKIE) {
        field(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    cookie(headers, &mut out);
    if !ends && !headers.contains_key(http::header::CONTENT_LENGTH) {
        field(&mut out, b"transfer-encoding", b"chunked");
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

/// Without an authority the library asks for none.
fn has_path(uri: &Uri) -> bool {
    uri.authority().is_some() || uri.clone().into_parts().path_and_query.is_some()
}

fn cookie(headers: &HeaderMap, out: &mut Vec<u8>) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if let Some(first) = crumbs.next() {
        put(out, &[COOKIE.as_str().as_bytes(), b": ", first.as_bytes()]);
        crumbs.for_each(|crumb| put(out, &[b"; ", crumb.as_bytes()]));
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether two are the same authority, however they are written.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let root = |authority: &[u8]| {
        let url = [SCHEME.as_bytes(), b"://", authority, b"/"].concat();
        Key::read(&url).ok().filter(|key| key.path_and_query() == "/").map(|key| key.root().to_owned())
    };
    a == b || root(a).is_some_and(|a| root(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// As the library reads them: without an authority there is no scheme.
    fn asked(method: &str, uri: &str, fields: &[(&str, &str)], ends: bool) -> Result<String, &'static str> {
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        head(&parts, ends).map(|head| String::from_utf8(head).unwrap())
    }

    #[test]
    fn a_request_has_the_head_that_it_would_have_in_http_1() {
        for (method, uri, fields, ends, expected) in [
            ("GET", "https://a.example/x?y", &[][..], true, "GET /x?y HTTP/1.1\r\nhost: a.example\r\n\r\n"),
            (
                "GET",
                "https://a.example/",
                &[("host", "A.example:443"), ("accept", "*/*")],
                true,
                "GET / HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\n\r\n",
            ),
            ("GET", "/x", &[("host", "a.example")], true, "GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n"),
            ("GET", "/x", &[], true, "GET /x HTTP/1.1\r\n\r\n"),
            (
                "GET",
                "https://a.example/",
                &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")],
                true,
                "GET / HTTP/1.1\r\nhost: a.example\r\nx: y\r\ncookie: a=1; b=2; c=3\r\n\r\n",
            ),
            (
                "POST",
                "https://a.example/",
                &[],
                false,
                "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (
                "POST",
                "https://a.example/",
                &[("content-length", "5")],
                false,
                "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\n",
            ),
            ("OPTIONS", "*", &[("host", "a.example")], true, "OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n"),
            ("CONNECT", "a.example:443", &[], true, "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n"),
        ] {
            assert_eq!(asked(method, uri, fields, ends).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_request_that_contradicts_itself_is_refused() {
        for (method, uri, fields) in [
            ("GET", "http://a.example/", &[][..]),
            ("GET", "https://a.example/", &[("host", "b.example")]),
            ("GET", "https://a.example/", &[("host", "a.example"), ("host", "b.example")]),
            ("GET", "https://a.example/", &[("host", "a.example:8443")]),
            ("GET", "https://a.example/", &[("host", "a.example/?")]),
            ("GET", "https://a.example/", &[("host", "")]),
            ("GET", "*", &[("host", "a.example")]),
        ] {
            assert!(asked(method, uri, fields, true).is_err(), "{method} {uri} {fields:?}");
        }
    }
}
