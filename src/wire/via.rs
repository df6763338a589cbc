//! `Via` (RFC 9110 section 7.6.3).

use http::{HeaderMap, Version};

/// Appends our member, for example `1.1 ringhold-3fa9c1`. `version` is that of the message as received.
pub fn append(headers: &mut HeaderMap, version: Version, pseudonym: &str) {
    let _ = (headers, version, pseudonym);
    todo!()
}

/// Whether a message has passed here before: some member's received-by is this pseudonym.
pub fn contains(headers: &HeaderMap, pseudonym: &str) -> bool {
    let _ = (headers, pseudonym);
    todo!()
}
