//! `/proxy.pac`: what a browser or a system can be pointed at to find the proxy.

use super::Admin;
use super::problem::{AdminReply, Problem, reply};
use crate::cluster::membership::zk::FrontPeer;
use crate::config::{Address, is_local};
use crate::net::web;
use http::header::HOST;
use http::{HeaderMap, StatusCode};
use std::net::{Ipv6Addr, SocketAddr};

impl Admin {
    pub fn pac(&self, headers: &HeaderMap) -> AdminReply {
        match self.cluster.keeper() {
            None => file(&self.config.proxy.listen, headers),
            Some(keeper) => listed(&keeper.fronts(), &keeper.host, headers),
        }
    }
}

/// All fronts that can be used by whoever asks: a proxy on loopback is for this machine only.
fn listed(fronts: &[FrontPeer], host: &str, headers: &HeaderMap) -> AdminReply {
    let here = is_local(host) || asked_by(headers).is_some_and(|host| is_local(host.trim_matches(['[', ']'])));
    // Only what can be nothing but a host and a port gets into the script: these come over the network.
    let is_of_use = |peer: &&FrontPeer| {
        let address = peer.record.proxy.parse::<Address>();
        address.is_ok_and(|address| matches!(address, Address::Tcp(_)) && (here || !address.is_local()))
    };
    script(fronts.iter().filter(is_of_use).map(|peer| peer.record.proxy.as_str()))
}

/// Names the first of the proxy's addresses; where that is "every address", the one by which we were asked.
fn file(listen: &[SocketAddr], headers: &HeaderMap) -> AdminReply {
    let Some(listen) = listen.first() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the proxy listens nowhere").into_reply();
    };
    let host = match listen.ip() {
        ip if ip.is_unspecified() => asked_by(headers).unwrap_or_else(|| "localhost".to_owned()),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    script([format!("{host}:{}", listen.port()).as_str()].into_iter())
}

/// Lists these fronts, beginning with the one that the URL's hash (FNV-1a) says: the URLs spread over the fronts, and a
/// browser whose first front is dead tries the next one by itself.
fn script<'a>(fronts: impl Iterator<Item = &'a str>) -> AdminReply {
    let list: Vec<String> = fronts.map(|front| format!("\"PROXY {front}\"")).collect();
    if list.is_empty() {
        let detail = "no front can be reached from elsewhere: set [proxy] listen to an address that others reach";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_reply();
    }
    let script = format!(
        "function FindProxyForURL(url, host) {{\n  \
           if (host === \"localhost\" || host === \"[::1]\" || host === \"::1\" || \
             shExpMatch(host, \"127.*\") || shExpMatch(host, \"*.localhost\")) return \"DIRECT\";\n  \
           var fronts = [{}], hash = 2166136261, i;\n  \
           for (i = 0; i < url.length; i++) {{\n    \
             hash ^= url.charCodeAt(i);\n    \
             hash = (hash + (hash << 1) + (hash << 4) + (hash << 7) + (hash << 8) + (hash << 24)) >>> 0;\n  \
           }}\n  \
           i = hash % fronts.length;\n  \
           return fronts.slice(i).concat(fronts.slice(0, i)).join(\"; \");\n}}\n",
        list.join(", ")
    );
    reply(StatusCode::OK, "application/x-ns-proxy-autoconfig", script)
}

/// Only what can be nothing but a host gets into the script.
fn asked_by(headers: &HeaderMap) -> Option<String> {
    let (host, _) = web::split(headers.get(HOST)?.to_str().ok()?)?;
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{host}]"));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::membership::zk::record::FrontRecord;
    use http::HeaderValue;
    use http_body_util::BodyExt;

    fn answer(listen: &str, host: &str) -> String {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        text(file(&[listen.parse().unwrap()], &headers))
    }

    fn text(reply: AdminReply) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        String::from_utf8(runtime.block_on(reply.into_body().collect()).unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_script_names_an_address_that_can_be_reached() {
        let cases = [
            ("127.0.0.1:3128", "localhost:3129", "\"PROXY 127.0.0.1:3128\""),
            ("[::1]:3128", "localhost:3129", "\"PROXY [::1]:3128\""),
            ("0.0.0.0:3128", "proxy.example:3129", "\"PROXY proxy.example:3128\""),
            ("[::]:3128", "[2001:db8::1]:3129", "\"PROXY [2001:db8::1]:3128\""),
            ("0.0.0.0:3128", "\"; alert(1); \"", "\"PROXY localhost:3128\""),
        ];
        for (listen, host, expected) in cases {
            let script = answer(listen, host);
            assert!(script.contains(expected), "{script}");
            assert!(!script.contains("alert"), "{script}");
            assert_eq!(script.matches("DIRECT").count(), 1, "only this machine is asked past the proxy: {script}");
        }
    }

    /// The script that whoever asks by `host` gets from a front among others that is reached by `advertised`.
    fn together(proxies: &[(&str, bool)], advertised: &str, host: &str) -> String {
        let peer = |(proxy, own): &(&str, bool)| {
            let (admin, version) = (String::new(), String::new());
            let record =
                FrontRecord { proxy: (*proxy).to_owned(), admin, epoch: 1, leads: false, boot: 0, tls: false, version };
            FrontPeer { id: "f".to_owned(), record, own: *own }
        };
        let fronts: Vec<FrontPeer> = proxies.iter().map(peer).collect();
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        text(listed(&fronts, advertised, &headers))
    }

    #[test]
    fn nothing_but_addresses_gets_into_the_script() {
        for good in ["10.0.0.7:3128", "[2001:db8::1]:3128", "proxy.example:3128"] {
            assert!(together(&[(good, false)], "h", "h:1").contains(&format!("[\"PROXY {good}\"]")));
        }
        for bad in ["", "\"; alert(1); \"", "unix:/x", "h:1\\", "h", "h:1 ; DIRECT"] {
            let script = together(&[(bad, false), ("10.0.0.7:3128", false)], "h", "h:1");
            assert!(script.contains("[\"PROXY 10.0.0.7:3128\"]"), "{bad}: {script}");
        }
    }

    #[test]
    fn a_proxy_on_loopback_is_listed_for_its_own_machine_only() {
        let fronts = [("127.0.0.1:3128", true), ("10.0.0.8:3128", false)];
        let both = "[\"PROXY 127.0.0.1:3128\", \"PROXY 10.0.0.8:3128\"]";
        assert!(together(&fronts, "10.0.0.7", "localhost:3129").contains(both));
        assert!(together(&fronts, "10.0.0.7", "[::1]:3129").contains(both));
        assert!(together(&fronts, "127.0.0.1", "10.0.0.7:3129").contains(both), "all are on one machine");
        assert!(together(&fronts, "10.0.0.7", "10.0.0.7:3129").contains("[\"PROXY 10.0.0.8:3128\"]"));
        assert!(together(&fronts[..1], "10.0.0.7", "10.0.0.7:3129").contains("\"status\":503"), "rather than nothing");
    }
}
