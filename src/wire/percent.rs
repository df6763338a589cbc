//! Percent-encoding of one query parameter's value (RFC 3986 section 2.1), as the control and admin APIs use it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but what is unreserved (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `+` stands for itself: URLs are no forms.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `None` where a `%` does not encode, or what comes out is not UTF-8.
pub fn decode_strictly(text: &str) -> Option<String> {
    let encodes =
        |after: &str| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let decoded = || percent_decode_str(text).decode_utf8().ok();
    text.split('%').skip(1).all(encodes).then(decoded)?.map(Into::into)
}

pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_again() {
        for url in ["http://h/a?b=c&d=e%20f", "http://[::1]:8/ü", "a+b", ""] {
            assert_eq!(decode(&encode(url)), url);
            assert_eq!(decode_strictly(&encode(url)).as_deref(), Some(url));
        }
    }

    #[test]
    fn a_value_keeps_only_unreserved_characters() {
        assert_eq!(encode("http://a.example/b c?d=e&f=ä~#"), "http%3A%2F%2Fa.example%2Fb%20c%3Fd%3De%26f%3D%C3%A4~%23");
    }
}
