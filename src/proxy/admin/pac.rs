//! `/proxy.pac`: what a browser or a system can be pointed at to find the proxy.

use super::guard;
use super::problem::{Problem, Reply, reply};
use http::header::HOST;
use http::{HeaderMap, StatusCode};
use std::net::{Ipv6Addr, SocketAddr};

/// Names the first of the proxy's addresses; where that is "every address", the one by which we were asked.
pub fn file(listen: &[SocketAddr], headers: &HeaderMap) -> Reply {
    let Some(listen) = listen.first() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the proxy listens nowhere").into_reply();
    };
    let host = match listen.ip() {
        ip if ip.is_unspecified() => asked_by(headers).unwrap_or_else(|| "localhost".to_owned()),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let port = listen.port();
    let script = format!(
        "function FindProxyForURL(url, host) {{\n  \
           if (host === \"localhost\" || host === \"[::1]\" || host === \"::1\" || \
             shExpMatch(host, \"127.*\") || shExpMatch(host, \"*.localhost\")) return \"DIRECT\";\n  \
           return \"PROXY {host}:{port}; DIRECT\";\n}}\n"
    );
    reply(StatusCode::OK, "application/x-ns-proxy-autoconfig", script)
}

/// Only what can be nothing but a host gets into the script.
fn asked_by(headers: &HeaderMap) -> Option<String> {
    let (host, _) = guard::split(headers.get(HOST)?.to_str().ok()?)?;
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{host}]"));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http_body_util::BodyExt;

    fn script(listen: &str, host: &str) -> String {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        let body = file(&[listen.parse().unwrap()], &headers).into_body();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        String::from_utf8(runtime.block_on(body.collect()).unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_script_names_an_address_that_can_be_reached() {
        let cases = [
            ("127.0.0.1:3128", "localhost:3129", "PROXY 127.0.0.1:3128;"),
            ("[::1]:3128", "localhost:3129", "PROXY [::1]:3128;"),
            ("0.0.0.0:3128", "proxy.example:3129", "PROXY proxy.example:3128;"),
            ("[::]:3128", "[2001:db8::1]:3129", "PROXY [2001:db8::1]:3128;"),
            ("0.0.0.0:3128", "\"; alert(1); \"", "PROXY localhost:3128;"),
        ];
        for (listen, host, expected) in cases {
            let script = script(listen, host);
            assert!(script.contains(expected), "{script}");
            assert!(!script.contains("alert"), "{script}");
        }
    }
}
