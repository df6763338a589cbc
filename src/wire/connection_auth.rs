//! PURE. Schemes that authenticate a connection, and not a request: NTLM, and Negotiate as Windows uses it (RFC 4559, and its
//! section 6 on proxies). What an origin answers on such a connection is for one client alone.

use super::field::FieldId;
use super::list;
use super::view::FieldView;

/// Whether a value of `Authorization` is of such a scheme.
pub fn authorizes(value: &[u8]) -> bool {
    let scheme = value.trim_ascii().split(|byte| matches!(byte, b' ' | b'\t' | b',')).next().unwrap_or_default();
    [&b"NTLM"[..], b"Negotiate"].iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Whether a line of `WWW-Authenticate` asks for such a scheme: each member may begin with one.
pub fn challenges(value: &[u8]) -> bool {
    list::split(value).any(authorizes)
}

/// The same of a request's fields.
pub fn is_in_request(fields: &(impl FieldView + ?Sized)) -> bool {
    fields.all(FieldId::Authorization).any(authorizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntlm_and_negotiate_are_known_wherever_they_stand() {
        for (value, expected) in [
            ("NTLM", true),
            ("ntlm TlRM", true),
            ("Negotiate", true),
            ("Basic realm=\"a\", NTLM", true),
            ("Digest realm=\"NTLM, Negotiate\"", false),
            ("Bearer NTLM", false),
            ("NTLMx", false),
            ("", false),
        ] {
            assert_eq!(challenges(value.as_bytes()), expected, "{value}");
        }
        assert!(authorizes(b" Negotiate YII=") && !authorizes(b"Basic YTpi") && !authorizes(b"Basic, NTLM"));
    }
}
