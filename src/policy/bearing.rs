//! Which fields of a request may change what a fresh stored response means for it.

/// Whether a field with this name has to be understood before a fresh response that varies by nothing may answer a GET
/// (RFC 9111 sections 4 and 5.2.1, RFC 9110 sections 13 and 14). By first letter, because most fields bear on nothing.
pub fn bears_on_fresh(name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'a') => is("authorization"),
        Some(b'c') => is("cache-control") || is("content-length"),
        Some(b'i') => name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-")),
        Some(b'm') => is("max-forwards"),
        Some(b'p') => is("pragma"),
        Some(b'r') => is("range"),
        Some(b't') => is("transfer-encoding"),
        Some(b'v') => is("via"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_ranges_directives_and_credentials_bear_on_a_fresh_response() {
        for name in ["If-None-Match", "if-range", "IF-X", "Range", "Cache-Control", "pragma", "Authorization", "Via"] {
            assert!(bears_on_fresh(name), "{name}");
        }
        for name in ["Host", "Accept", "Cookie", "User-Agent", "Accept-Encoding", "i", "Ranges", ""] {
            assert!(!bears_on_fresh(name), "{name}");
        }
    }
}
