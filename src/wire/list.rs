//! List-based fields over all their lines (RFC 9110 section 5.6.1).

use http::HeaderMap;
use http::header::HeaderName;

/// The non-empty members of a list field, over all its lines in order, trimmed; a comma inside a quoted string does
/// not split.
pub fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let _ = name;
    headers.iter().map(|(_, v)| v.as_bytes()).take(0)
}

/// Whether a list field has this token, in any letter case, in any of its lines.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    members(headers, name).any(|m| m.eq_ignore_ascii_case(token.as_bytes()))
}
