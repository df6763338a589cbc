//! Requests that end here although their target is a URL.

use super::front::Front;
use super::pages;
use crate::net::dial::Dialer;
use crate::net::rules;
use crate::wire::fault::{Fault, Kind};
use crate::wire::target::{Host, Key};
use crate::wire::via;
use crate::wire::view::FieldView;
use http::header::MAX_FORWARDS;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use std::net::{IpAddr, SocketAddr};

/// Whose address a URL has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhoseAddress {
    Admin,
    Proxy,
    Other,
}

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    Onward,
    Here,
}

/// Why a request for this URL goes no further: its address is ours, or one that only clients here may reach.
pub fn refusal(key: &Key, front: &Front, dialer: &Dialer, same_machine: bool) -> Option<Fault> {
    match whose(key, front) {
        WhoseAddress::Admin => Some(pages::use_noproxy(&front.admin.to_string())),
        WhoseAddress::Proxy => Some(looped()),
        WhoseAddress::Other if same_machine => None,
        WhoseAddress::Other => of_machine(key, dialer).map(Dialer::refuse_ours),
    }
}

fn whose(key: &Key, front: &Front) -> WhoseAddress {
    let port = key.port();
    if port == front.admin.port() && is_at(key, front.admin) {
        WhoseAddress::Admin
    } else if front.listen.iter().any(|listen| port == listen.port() && is_at(key, *listen)) {
        WhoseAddress::Proxy
    } else {
        WhoseAddress::Other
    }
}

/// Its host, where that is an address by which others know this machine: what listens there is for clients here alone, which a
/// node on another machine cannot know.
pub fn of_machine(key: &Key, dialer: &Dialer) -> Option<IpAddr> {
    dialer.known(key.host()).filter(|ip| dialer.is_ours(*ip))
}

/// Whether the host is this address; the port was compared.
fn is_at(key: &Key, address: SocketAddr) -> bool {
    let ip = match key.host() {
        Host::Ip(ip) => Some(ip.to_canonical()),
        Host::Name(name) => rules::spelled(name),
    };
    ip.is_some_and(|ip| leads_to(ip, ip.is_loopback() || ip.is_unspecified(), address.ip()))
}

/// Whether who connects to `ip` comes to a listener of ours, which has the same port. `is_own`: it is an address of this machine,
/// of which a listener on every address has all. Who connects to no address in particular comes to loopback.
pub fn leads_to(ip: IpAddr, is_own: bool, listen: IpAddr) -> bool {
    let (ip, listen) = (ip.to_canonical(), listen.to_canonical());
    ip == listen || is_own && listen.is_unspecified() || ip.is_unspecified() && listen.is_loopback()
}

/// RFC 9110 section 7.6.2: `Max-Forwards` of TRACE and OPTIONS, one less when the request goes on.
pub fn last_hop(request: &mut Parts) -> Hops {
    if request.method != Method::TRACE && request.method != Method::OPTIONS {
        return Hops::Onward;
    }
    let Some(value) = request.headers.get(MAX_FORWARDS).and_then(|v| v.to_str().ok()) else { return Hops::Onward };
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Hops::Onward;
    }
    match value.parse::<u64>().unwrap_or(u64::MAX) {
        0 => Hops::Here,
        left => {
            request.headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            Hops::Onward
        }
    }
}

/// Whether a request has passed this proxy before (RFC 9110 section 7.6.3). A hot copy is answered to none that has `Via`.
pub fn comes_round(fields: &(impl FieldView + ?Sized), front: &Front) -> bool {
    via::contains(fields, &front.pseudonym)
}

/// A way that leads back to this proxy.
pub fn looped() -> Fault {
    let detail = "This request comes back to the proxy that it came from: the way to its target is a loop.";
    Fault::us(StatusCode::BAD_GATEWAY, Kind::ProxyLoopDetected, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, max_forwards: &str) -> Parts {
        let request = http::Request::builder().method(method).uri("http://a/").header("max-forwards", max_forwards);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn max_forwards_counts_down_for_trace_and_options_only() {
        for (method, value, hops, after) in [
            ("TRACE", "0", Hops::Here, "0"),
            ("OPTIONS", "0", Hops::Here, "0"),
            ("OPTIONS", "00", Hops::Here, "00"),
            ("OPTIONS", "2", Hops::Onward, "1"),
            ("GET", "0", Hops::Onward, "0"),
            ("TRACE", "x", Hops::Onward, "x"),
            ("TRACE", "99999999999999999999999", Hops::Onward, "18446744073709551614"),
        ] {
            let mut parts = request(method, value);
            assert_eq!(last_hop(&mut parts), hops, "{method} {value}");
            assert_eq!(parts.headers["max-forwards"], after, "{method} {value}");
        }
    }

    #[test]
    fn our_own_addresses_are_recognised_in_every_spelling() {
        let front = |listen: &str| Front::new("t", vec![listen.parse().unwrap()], "127.0.0.1:3129".parse().unwrap());
        for (listen, url, expected) in [
            ("127.0.0.1:3128", "http://127.0.0.1:3129/v1/nodes", WhoseAddress::Admin),
            ("127.0.0.1:3128", "http://localhost:3129/", WhoseAddress::Admin),
            ("127.0.0.1:3128", "http://[::ffff:127.0.0.1]:3129/", WhoseAddress::Admin),
            ("127.0.0.1:3128", "http://127.0.0.1:3128/", WhoseAddress::Proxy),
            ("0.0.0.0:3128", "http://127.0.0.1:3128/", WhoseAddress::Proxy),
            ("127.0.0.1:3128", "http://0.0.0.0:3128/", WhoseAddress::Proxy),
            ("127.0.0.1:3128", "http://[::ffff:0.0.0.0]:3128/", WhoseAddress::Proxy),
            ("127.0.0.1:3128", "http://[::]:3128/", WhoseAddress::Proxy),
            ("127.0.0.1:3128", "http://0.0.0.0:3129/", WhoseAddress::Admin),
            ("127.0.0.1:3128", "http://0:3128/", WhoseAddress::Proxy),
            ("127.0.0.1:3128", "http://0x7f.1:3128/", WhoseAddress::Proxy),
            ("10.0.0.1:3128", "http://0.0.0.0:3128/", WhoseAddress::Other),
            ("127.0.0.1:3128", "http://example.com:3128/", WhoseAddress::Other),
            ("127.0.0.1:3128", "http://127.0.0.1:80/", WhoseAddress::Other),
        ] {
            assert_eq!(whose(&Key::parse(url).unwrap(), &front(listen)), expected, "{url} at {listen}");
        }
    }
}
