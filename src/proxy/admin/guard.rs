//! PURE. Who may ask. Without a token only loopback is served, and there the danger is a web page in a browser on this
//! machine: it can send requests here, also under a name of its own that it points at 127.0.0.1.

use super::problem::Problem;
use super::route::Thing;
use crate::config::Secret;
use crate::net::web;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, StatusCode, request};

/// Whether this request may be answered. `has_body`: a body comes with it.
pub fn check(token: Option<&Secret>, head: &request::Parts, thing: &Thing<'_>, has_body: bool) -> Result<(), Problem> {
    let host = host(head)?;
    match token {
        Some(token) if !thing.is_open() => bearer(head, token)?,
        Some(_) => {}
        None if web::is_loopback(host) => {}
        None => {
            return Err(Problem::forbidden(
                "without a token only loopback is served: ask for 127.0.0.1, [::1] or localhost, or set [admin] token",
            ));
        }
    }
    own_origin(head, host)?;
    if has_body { json_only(head) } else { Ok(()) }
}

/// RFC 9112 section 3.2: exactly one `Host`; and the forms of a target that are for proxies are not for here.
fn host(head: &request::Parts) -> Result<&str, Problem> {
    if head.method == Method::CONNECT || head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(Problem::bad_request("this is the admin address, not the proxy: do not set it as a proxy"));
    }
    web::one(&head.headers, &HOST).ok_or_else(|| Problem::bad_request("one Host field is needed"))
}

fn bearer(head: &request::Parts, token: &Secret) -> Result<(), Problem> {
    let credentials = web::one(&head.headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
    match credentials {
        Some((scheme, sent)) if scheme.eq_ignore_ascii_case("bearer") && same(sent.trim(), &token.0) => Ok(()),
        _ => Err(Problem::unauthorized()),
    }
}

/// Takes as long for a token that is nearly right as for one that is not.
fn same(sent: &str, token: &str) -> bool {
    let difference = sent.bytes().zip(token.bytes()).fold(0, |d, (a, b)| std::hint::black_box(d | (a ^ b)));
    sent.len() == token.len() && difference == 0
}

fn own_origin(head: &request::Parts, host: &str) -> Result<(), Problem> {
    match web::is_own_origin(&head.headers, host) {
        true => Ok(()),
        false => Err(Problem::forbidden("a web page of another origin may not use the admin API")),
    }
}

fn json_only(head: &request::Parts) -> Result<(), Problem> {
    match web::is_json(&head.headers) {
        true => Ok(()),
        false => {
            let detail = "a body must be JSON: Content-Type: application/json";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn ask(token: Option<&str>, target: &str, fields: &[(&str, &str)], has_body: bool) -> Result<(), u16> {
        let mut request = Request::builder().method("POST").uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let token = token.map(|t| Secret(t.to_owned()));
        let thing = if target == "/healthz" { Thing::Health } else { Thing::Nodes };
        check(token.as_ref(), &head, &thing, has_body).map_err(|p| p.status.as_u16())
    }

    #[test]
    fn without_a_token_the_host_is_loopback() {
        let good = ["127.0.0.1", "127.0.0.1:3129", "localhost:1", "LocalHost", "[::1]:3129", "[::1]", "127.8.9.1:2"];
        let bad =
            ["evil.example", "evil.example:3129", "127.0.0.1.evil.example", "localhost.evil", "0.0.0.0", "10.0.0.1"];
        let odd = ["", "[::1", "[::1]x", "[localhost]:1", "127.0.0.1:x", "::1", "127.1", "user@localhost"];
        for host in good {
            assert_eq!(ask(None, "/v1/nodes", &[("host", host)], false), Ok(()), "{host}");
        }
        for host in bad.iter().chain(&odd) {
            assert_eq!(ask(None, "/v1/nodes", &[("host", host)], false), Err(403), "{host}");
            assert_eq!(ask(None, "/healthz", &[("host", host)], false), Err(403), "{host}");
        }
        assert_eq!(ask(None, "/v1/nodes", &[], false), Err(400), "no Host");
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(ask(None, "/v1/nodes", &two, false), Err(400), "two Hosts");
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let cases = [
            ("http://localhost:3129", Ok(())),
            ("HTTP://localhost:3129", Err(403)),
            ("http://LOCALHOST:3129", Ok(())),
            ("https://localhost:3129", Ok(())),
            ("http://localhost:8000", Err(403)),
            ("http://localhost", Err(403)),
            ("http://evil.example", Err(403)),
            ("null", Err(403)),
            ("", Err(403)),
        ];
        for (origin, expected) in cases {
            let fields = [("host", "localhost:3129"), ("origin", origin)];
            assert_eq!(ask(None, "/v1/nodes", &fields, false), expected, "{origin}");
        }
        let two = [("host", "localhost:3129"), ("origin", "http://localhost:3129"), ("origin", "http://evil.example")];
        assert_eq!(ask(None, "/v1/nodes", &two, false), Err(403));
    }

    #[test]
    fn a_body_is_json() {
        let cases = [
            ("application/json", Ok(())),
            ("Application/JSON; charset=utf-8", Ok(())),
            ("text/plain", Err(415)),
            ("application/x-www-form-urlencoded", Err(415)),
            ("text/plain; application/json", Err(415)),
        ];
        for (kind, expected) in cases {
            let fields = [("host", "localhost"), ("content-type", kind)];
            assert_eq!(ask(None, "/v1/nodes", &fields, true), expected, "{kind}");
        }
        assert_eq!(ask(None, "/v1/nodes", &[("host", "localhost")], true), Err(415));
        assert_eq!(ask(None, "/v1/nodes", &[("host", "localhost")], false), Ok(()));
    }

    #[test]
    fn with_a_token_it_is_the_token_that_counts() {
        let cases = [
            (Some("Bearer secret"), Ok(())),
            (Some("bearer secret"), Ok(())),
            (Some("Bearer secre"), Err(401)),
            (Some("Bearer secret2"), Err(401)),
            (Some("Bearer"), Err(401)),
            (Some("Basic secret"), Err(401)),
            (Some("secret"), Err(401)),
            (None, Err(401)),
        ];
        for (credentials, expected) in cases {
            let mut fields = vec![("host", "ringhold.example")];
            fields.extend(credentials.map(|c| ("authorization", c)));
            assert_eq!(ask(Some("secret"), "/v1/nodes", &fields, false), expected, "{credentials:?}");
            assert_eq!(ask(Some("secret"), "/healthz", &fields, false), Ok(()), "{credentials:?}");
        }
    }

    #[test]
    fn the_admin_address_is_no_proxy() {
        let fields = [("host", "localhost")];
        assert_eq!(ask(None, "http://localhost/v1/nodes", &fields, false), Err(400));
        assert_eq!(ask(None, "http://example.com/", &fields, false), Err(400));
    }
}
