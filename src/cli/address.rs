//! Addresses to connect to.

use crate::config::Address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where to connect to, to reach what listens on `listen`.
pub(super) fn reachable(listen: SocketAddr) -> Option<SocketAddr> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (listen.port() != 0).then(|| SocketAddr::new(ip, listen.port()))
}

/// What can be connected to.
pub(super) fn host_and_port(option: &str, text: &str) -> Result<(), String> {
    let address = text.parse::<Address>().ok().filter(|address| address.port().is_some());
    let usual = if option == "--admin" { "127.0.0.1:3129" } else { "127.0.0.1:3128" };
    address.map(|_| ()).ok_or_else(|| format!("{option}: `{text}` is no host with a port; write for example {usual}"))
}
