//! Percent-encoding of one query parameter's value (RFC 3986 section 2.1), as the control and admin APIs use it.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// `+` stands for itself: URLs are no forms.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_again() {
        for url in ["http://h/a?b=c&d=e%20f", "http://[::1]:8/ü", "a+b", ""] {
            assert_eq!(decode(&encode(url)), url);
        }
    }
}
