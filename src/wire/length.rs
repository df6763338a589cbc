//! PURE. How the content of a message is delimited (RFC 9112 section 6.3).

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, whatever the fields say.
    #[default]
    None,
    Sized(u64),
    Chunked,
    /// All until the connection ends: answers only.
    UntilClose,
}

/// What `Content-Length` says in a head that was read or made before, so there is one line of it at most.
pub fn said(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
