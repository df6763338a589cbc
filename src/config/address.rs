//! How a node is reached, as text.

use super::model::Address;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Linux keeps 108 bytes for a socket's path, the closing zero included.
const MAX_UNIX_PATH: usize = 107;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(p) => write!(f, "unix:{}", p.display()),
            Address::Tcp(a) => f.write_str(a),
        }
    }
}

/// Errors are a sentence that names the cure.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        match text.strip_prefix("unix:") {
            Some(path) => unix(path),
            None => split_host_port(text).map(|_| Address::Tcp(text.to_owned())).ok_or_else(|| {
                format!("`{text}` is not an address; write `host:port`, `[2001:db8::1]:port` or `unix:/path`")
            }),
        }
    }
}

fn unix(path: &str) -> Result<Address, String> {
    if path.is_empty() || path.contains('\0') {
        return Err("a Unix socket needs a path; write `unix:/path`".to_owned());
    }
    if path.len() > MAX_UNIX_PATH {
        return Err(format!("the path of a Unix socket has at most {MAX_UNIX_PATH} bytes; choose a shorter one"));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

/// Splits `host:port`; the brackets of an IPv6 address are gone.
fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|_| (inner, port));
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (!host.is_empty() && host.bytes().all(is_name)).then_some((host, port))
}

impl Address {
    /// Reached without leaving this machine, as far as its text tells.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp(text) => split_host_port(text).is_some_and(|(host, _)| is_local_host(host)),
        }
    }

    /// What is said there is heard by nobody else, however it is said: it is a Unix socket. On TCP, loopback included, that takes
    /// TLS.
    pub fn is_private(&self) -> bool {
        matches!(self, Address::Unix(_))
    }

    /// The host without brackets, where there is one.
    pub fn host(&self) -> Option<&str> {
        match self {
            Address::Unix(_) => None,
            Address::Tcp(text) => split_host_port(text).map(|(host, _)| host),
        }
    }

    /// The IP address, in its one spelling; `None` where the host is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host()?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Unix(_) => None,
            Address::Tcp(text) => split_host_port(text).map(|(_, port)| port),
        }
    }
}

impl Address {
    /// Whether whoever connects there reaches what listens on `listen`, as far as the text tells.
    pub fn is_at(&self, listen: SocketAddr) -> bool {
        let Some((host, port)) = self.host().zip(self.port()) else { return false };
        let ours = listen.ip().to_canonical();
        let here = ours.is_loopback() || ours.is_unspecified();
        let same = host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical() == ours);
        port != 0 && port == listen.port() && (same || (here && is_local_host(host)))
    }
}

fn is_local_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// Loopback, also when written as an IPv4-mapped IPv6 address.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        let rows: [(&str, bool); 7] = [
            ("unix:/run/n1.sock", true),
            ("127.0.0.1:5001", true),
            ("LocalHost:5001", true),
            ("[::1]:5001", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.7:5003", false),
            ("cache-2.example_1.org:0", false),
        ];
        for (text, local) in rows {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_local(), local, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "host", ":80", "host:", "host:65536", "host:+1", "::1:80", "[::1]", "[x]:1", "a b:1", "unix:"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!(format!("unix:/{}", "x".repeat(107)).parse::<Address>().is_err());
    }
}
