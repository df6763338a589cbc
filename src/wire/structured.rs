//! Structured field values (RFC 9651), as far as we write them.

use http::HeaderValue;

/// Where a value is written to: first a [`usize`], which measures it, then the buffer, so that one allocation is enough.
pub trait Out {
    fn put(&mut self, text: &str);
}

impl Out for usize {
    fn put(&mut self, text: &str) {
        *self += text.len();
    }
}

impl Out for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// Something that can be written as a field value.
pub trait Write {
    fn write(&self, out: &mut impl Out);
}

/// The value of a field with this one member.
pub fn value(member: &impl Write) -> HeaderValue {
    let mut length = 0;
    member.write(&mut length);
    let mut text = String::with_capacity(length);
    member.write(&mut text);
    // All that is written is visible ASCII and spaces, so the other branch is never taken.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("ringhold"))
}

/// A token where the text can be one, else a string (RFC 9651 sections 4.1.7 and 4.1.6).
pub fn token_or_string(out: &mut impl Out, text: &str) {
    if is_token(text) { out.put(text) } else { string(out, text) }
}

/// A string; what it cannot hold (RFC 9651 section 3.3.3) becomes a question mark.
pub fn string(out: &mut impl Out, text: &str) {
    out.put("\"");
    for character in text.chars() {
        match character {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            ' '..='~' => out.put(character.encode_utf8(&mut [0; 4])),
            _ => out.put("?"),
        }
    }
    out.put("\"");
}

/// An integer; RFC 9651 section 3.3.1 allows it 15 digits.
pub fn integer(out: &mut impl Out, number: i64) {
    const MOST: i64 = 999_999_999_999_999;
    out.put(itoa::Buffer::new().format(number.clamp(-MOST, MOST)));
}

/// RFC 9651 section 3.3.4
fn is_token(text: &str) -> bool {
    let [first, rest @ ..] = text.as_bytes() else { return false };
    (first.is_ascii_alphabetic() || *first == b'*') && rest.iter().all(|byte| is_token_byte(*byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{integer, string, token_or_string};

    #[test]
    fn names_are_tokens_where_they_can_be() {
        let table = [
            ("n1", "n1"),
            ("*", "*"),
            ("proxy.example:80/a", "proxy.example:80/a"),
            ("1n", "\"1n\""),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a;b", "\"a;b\""),
        ];
        for (text, expected) in table {
            let mut out = String::new();
            token_or_string(&mut out, text);
            assert_eq!(out, expected, "RFC 9651 section 3.3.4");
        }
    }

    #[test]
    fn strings_are_escaped_and_kept_to_ascii() {
        let mut out = String::new();
        string(&mut out, "a\"b\\c\r\nü\u{7f}");
        assert_eq!(out, r#""a\"b\\c????""#, "RFC 9651 section 4.1.6");
    }

    #[test]
    fn integers_have_at_most_fifteen_digits() {
        for (number, expected) in [(0, "0"), (-5, "-5"), (i64::MAX, "999999999999999"), (i64::MIN, "-999999999999999")]
        {
            let mut out = String::new();
            integer(&mut out, number);
            assert_eq!(out, expected, "RFC 9651 section 3.3.1");
        }
    }
}
