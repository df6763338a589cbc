//! PURE. What keeps web pages out. Where only loopback is served without a proof, the danger is a page in a browser on this
//! machine: it can send requests here, also under a name of its own that it points at 127.0.0.1 (DNS rebinding).

use http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue};
use std::net::{IpAddr, Ipv6Addr};

/// Scripts of other pages get nothing of an answer, whatever type they take it for.
const KEPT_FROM_PAGES: [(HeaderName, &str); 2] = [
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What a front writes into `Host` when it asks a node or another front for something that is no page. A name could be pointed
/// there by a page.
pub const LINK_HOST: &str = "[::1]";

/// Marks an answer as none for the scripts of other pages.
pub fn keep_from_pages(headers: &mut HeaderMap) {
    for (name, value) in &KEPT_FROM_PAGES {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a request to a node or front, which is trusted for its address alone, can be no web page's. The error is a
/// sentence.
pub fn is_from_no_page(headers: &HeaderMap, has_body: bool) -> Result<(), &'static str> {
    match one(headers, &HOST) {
        Some(host) if !is_loopback(host) => {
            Err("without a secret only loopback is served: ask for 127.0.0.1, [::1] or localhost")
        }
        Some(host) if !is_own_origin(headers, host) => Err("a web page of another origin may not ask for this"),
        Some(_) if has_body && !is_json(headers) => Err("a body must be JSON: Content-Type: application/json"),
        Some(_) => Ok(()),
        None => Err("one Host field is needed"),
    }
}

/// The value of a field that is there once.
pub fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.to_str().ok()?;
    if lines.next().is_none() { Some(first) } else { None }
}

/// A name other than localhost may be anyone's, whatever address it has today.
pub fn is_loopback(host: &str) -> bool {
    let Some((name, port)) = split(host) else { return false };
    let port_good = port.bytes().all(|b| b.is_ascii_digit());
    let ip = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    port_good && (ip || name.eq_ignore_ascii_case("localhost"))
}

/// Host without brackets, and port (empty when there is none).
pub fn split(host: &str) -> Option<(&str, &str)> {
    match host.strip_prefix('[') {
        Some(rest) => {
            let (ip, after) = rest.split_once(']')?;
            ip.parse::<Ipv6Addr>().ok()?;
            let port = if after.is_empty() { "" } else { after.strip_prefix(':')? };
            Some((ip, port))
        }
        None => Some(host.split_once(':').unwrap_or((host, ""))),
    }
}

/// Browsers name the page that a request comes from (RFC 6454); other clients do not.
pub fn is_own_origin(headers: &HeaderMap, host: &str) -> bool {
    let own = |origin: &str| {
        origin.split_once("://").is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host)
        })
    };
    headers.get_all(ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(own))
}

/// A page may send other bodies without being asked for permission first.
pub fn is_json(headers: &HeaderMap) -> bool {
    let kind = one(headers, &CONTENT_TYPE).and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_could_send_is_told_from_what_a_front_and_a_shell_send() {
        let own = ("host", "127.0.0.1:5003");
        let json = ("content-type", "application/json");
        for (fields, has_body, expected) in [
            (vec![own], false, true),
            (vec![("host", LINK_HOST)], false, true),
            (vec![("host", "ringhold")], false, false),
            (vec![("host", "ringhold"), ("origin", "http://ringhold")], false, false),
            (vec![("host", "[::1]:5003"), json], true, true),
            (vec![own, ("origin", "http://127.0.0.1:5003")], false, true),
            (vec![own, ("origin", "http://evil.example")], false, false),
            (vec![own, ("origin", "null")], false, false),
            (vec![("host", "evil.example:5003")], false, false),
            (vec![("host", "ringhold:5003")], false, false),
            (vec![("host", "10.0.0.1:5003")], false, false),
            (vec![own, own], false, false),
            (vec![], false, false),
            (vec![own], true, false),
            (vec![own, ("content-type", "text/plain")], true, false),
        ] {
            let headers = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .fold(HeaderMap::new(), |mut headers, (name, value)| {
                    headers.append(name, value);
                    headers
                });
            assert_eq!(is_from_no_page(&headers, has_body).is_ok(), expected, "{fields:?} {has_body}");
        }
    }
}
