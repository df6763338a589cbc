//! Request targets (RFC 9112 section 3.2) and the key that is hashed onto the ring and compared in the cache.

use super::fault::Fault;
use http::{Method, Uri};
use std::net::IpAddr;

/// The cache key of a URL: scheme, authority (lower case, default port dropped, IPv6 canonical), path and query.
/// Percent-encoding and dots are untouched; the fragment is dropped; user information is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: Box<str>,
    authority: std::ops::Range<u32>,
}

/// The host of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

impl Key {
    /// From an absolute-form target. Errors are the client's fault (400) and name the cure.
    pub fn from_uri(uri: &Uri) -> Result<Key, Fault> {
        let _ = uri;
        todo!()
    }
    /// From text, as a person or the admin API writes it.
    pub fn parse(url: &str) -> Result<Key, Fault> {
        let _ = url;
        todo!()
    }
    /// The whole normalised URL, for example `http://example.com/a?b`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Host and, where it is not the default, port: what `Host` carries.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.start as usize..self.authority.end as usize]
    }
    /// Path and query, never empty.
    pub fn path_and_query(&self) -> &str {
        &self.text[self.authority.end as usize..]
    }
    pub fn scheme(&self) -> &str {
        todo!()
    }
    pub fn host(&self) -> Host<'_> {
        todo!()
    }
    pub fn port(&self) -> u16 {
        todo!()
    }
    /// 64-bit xxh3 of the text: the store's key (the ring hashes the text by itself, as configured).
    pub fn hash(&self) -> u64 {
        todo!()
    }
    /// Resolves a reference (`Location`, `Content-Location`) against this key (RFC 3986 section 5); `None` if invalid.
    pub fn join(&self, reference: &str) -> Option<Key> {
        let _ = reference;
        todo!()
    }
    /// Same scheme, host and port.
    pub fn same_origin(&self, other: &Key) -> bool {
        self.scheme() == other.scheme() && self.authority() == other.authority()
    }
}

/// The four forms of a request target.
#[derive(Debug)]
pub enum Target {
    /// `GET http://host/path`: proxying.
    Absolute(Key),
    /// `CONNECT host:port`; the host as written, without brackets.
    Authority { host: Box<str>, port: u16 },
    /// `GET /path`: a request to ringhold itself.
    Origin,
    /// `OPTIONS *`
    Asterisk,
}

/// Reads a request target. Errors are the client's (400).
pub fn classify(method: &Method, uri: &Uri) -> Result<Target, Fault> {
    let _ = (method, uri);
    todo!()
}
