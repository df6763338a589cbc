//! PURE. Words as a shell reads them.

/// In quotes where it needs them (POSIX shell, section 2.2.2).
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:=,@%+-".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// A command of these words.
pub fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_might_read_otherwise_is_quoted() {
        for (word, written) in [
            ("/a/b-c_d.pem", "/a/b-c_d.pem"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(x)`y`\"z\"", "'$(x)`y`\"z\"'"),
            ("it's", "'it'\\''s'"),
            ("~", "'~'"),
        ] {
            assert_eq!(quoted(word), written);
        }
    }
}
