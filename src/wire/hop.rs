//! Hop-by-hop fields (RFC 9110 section 7.6.1).

use http::{HeaderMap, HeaderValue};

/// What the hop-by-hop fields of a message said, before they were removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The `Upgrade` field, when `Connection: upgrade` was there too.
    pub upgrade: Option<HeaderValue>,
    /// `TE: trailers` was there.
    pub te_trailers: bool,
}

/// Removes every field that is for this hop only: `Connection` and all that its lines name, `Keep-Alive`,
/// `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`, `Proxy-Authorization`, `Proxy-Authenticate`,
/// `Proxy-Authentication-Info`.
/// `Content-Length`, `Host`, `Trailer` and the like are never removed because a `Connection` line names them.
pub fn strip(headers: &mut HeaderMap) -> Hop {
    let _ = headers;
    todo!()
}
