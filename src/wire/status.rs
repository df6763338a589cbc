//! `Cache-Status` (RFC 9211) and `Proxy-Status` (RFC 9209) members.

use super::fault::Fault;
use http::HeaderValue;

/// Why a request was forwarded (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fwd {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Miss,
    Request,
    Stale,
    Partial,
}

/// One member of `Cache-Status`, ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    pub hit: bool,
    pub fwd: Option<Fwd>,
    pub fwd_status: Option<u16>,
    pub stored: bool,
    pub collapsed: bool,
    /// Remaining freshness in seconds; negative when stale.
    pub ttl: Option<i64>,
    /// Free text for people, for example why it was not stored.
    pub detail: Option<std::borrow::Cow<'static, str>>,
}

impl CacheStatus {
    /// `n1; hit; ttl=30` as a field value; `cache` is the node's id (written as a token where it can be, else a string).
    pub fn to_value(&self, cache: &str) -> HeaderValue {
        let _ = cache;
        todo!()
    }
}

/// `ringhold; error=connection_timeout; details="…"` for an error answer that we make.
pub fn proxy_status(proxy: &str, fault: &Fault) -> HeaderValue {
    let _ = (proxy, fault);
    todo!()
}
