//! PURE. The names that interception is for, and that a certificate can be made for.

use super::super::authority::Host;
use std::fmt;
use std::net::IpAddr;

/// The port of an entry that names none.
pub const HTTPS: u16 = 443;
/// Of a DNS name, in text (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Names in lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Exact(Box<str>),
    /// Every name below this one, at any depth, and not this one itself: `*.corp.example`.
    Below(Box<str>),
    Ip(IpAddr),
}

impl Name {
    /// A name, an address (IPv6 without brackets), or `*.name`. `None`: neither.
    pub fn parse(text: &str) -> Option<Name> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            let somewhere = !ip.is_unspecified() && !ip.is_multicast();
            return somewhere.then(|| Name::Ip(ip.to_canonical()));
        }
        match text.strip_prefix("*.") {
            Some(parent) => dns(parent).map(Name::Below),
            None => dns(text).map(Name::Exact),
        }
    }

    pub fn covers(&self, host: Host<'_>) -> bool {
        match (self, host) {
            (Name::Exact(own), Host::Name(host)) => **own == *host,
            (Name::Below(parent), Host::Name(host)) => is_below(host, parent),
            (Name::Ip(own), Host::Ip(ip)) => *own == ip.to_canonical(),
            _ => false,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Exact(name) => f.write_str(name),
            Name::Below(parent) => write!(f, "*.{parent}"),
            Name::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Whether `host` has at least one label before `parent`.
pub fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).and_then(|front| front.strip_suffix('.')).is_some_and(|front| !front.is_empty())
}

/// A name that a certificate can be made for (RFC 5280 section 4.2.1.6: the preferred syntax, and underscores, which hosts do
/// have), in lower case.
fn dns(text: &str) -> Option<Box<str>> {
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends in a number is an address to some, or a misspelt one (WHATWG URL, "ends in a number").
    let last = text.rsplit('.').next().unwrap_or("");
    let is_name = text.len() <= LONGEST_NAME
        && text.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && !last.to_ascii_lowercase().starts_with("0x");
    is_name.then(|| text.to_ascii_lowercase().into())
}
