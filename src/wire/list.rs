//! List-based fields over all their lines (RFC 9110 section 5.6.1).

use super::field::FieldId;
use super::view::FieldView;

/// The non-empty members of a list field, over all its lines in order, trimmed; a comma inside a quoted string does
/// not split.
pub fn members(fields: &(impl FieldView + ?Sized), id: FieldId) -> impl Iterator<Item = &[u8]> {
    fields.all(id).flat_map(split)
}

/// The members of a list of entity tags (`If-Match`, `If-None-Match`), in which a backslash is an ordinary character
/// (RFC 9110 section 8.8.3).
pub fn entity_tags(fields: &(impl FieldView + ?Sized), id: FieldId) -> impl Iterator<Item = &[u8]> {
    fields.all(id).flat_map(|line| ListMembers::new(line, Opaque::EntityTags))
}

/// The members of one line, as [`members`] reads it.
pub fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    ListMembers::new(line, Opaque::Quoted)
}

/// The members of one line of a field that has comments in parentheses in place of quoted strings (`Via`).
pub fn split_with_comments(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    ListMembers::new(line, Opaque::Comments)
}

/// Whether a list field has this token, in any letter case, in any of its lines.
pub fn has_token(fields: &(impl FieldView + ?Sized), id: FieldId, token: &str) -> bool {
    members(fields, id).any(|m| m.eq_ignore_ascii_case(token.as_bytes()))
}

/// Without optional white space (space and tab, RFC 9110 section 5.6.3) at both ends.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// What a comma may hide in.
#[derive(Clone, Copy)]
enum Opaque {
    /// RFC 9110 section 5.6.4
    Quoted,
    /// RFC 9110 section 8.8.3
    EntityTags,
    /// RFC 9110 section 5.6.5
    Comments,
    /// Since something was opened that nothing closes: from there on, what opens is an ordinary character, so that it
    /// cannot hide a `no-store` behind it, and so that a line is scanned at most twice.
    Nothing,
}

struct ListMembers<'a> {
    rest: &'a [u8],
    opaque: Opaque,
}

impl<'a> ListMembers<'a> {
    fn new(rest: &'a [u8], opaque: Opaque) -> Self {
        ListMembers { rest, opaque }
    }

    /// Where the member at the front of `rest` ends: at its comma, or at the end of the line.
    fn end(&mut self) -> usize {
        let mut at = 0;
        while let Some(plain) = self.rest[at..].iter().position(|b| matches!(b, b',' | b'"' | b'(')) {
            at += plain;
            let close = match (self.rest[at], self.opaque) {
                (b',', _) => return at,
                (b'"', Opaque::Quoted) => closing_quote(self.rest, at + 1, 2),
                (b'"', Opaque::EntityTags) => closing_quote(self.rest, at + 1, 1),
                (b'(', Opaque::Comments) => closing_parenthesis(self.rest, at + 1),
                _ => Some(at),
            };
            match close {
                Some(close) => at = close,
                None => self.opaque = Opaque::Nothing,
            }
            at += 1;
        }
        self.rest.len()
    }
}

/// `backslash` is how many bytes one takes: two where it escapes the next.
fn closing_quote(line: &[u8], mut at: usize, backslash: usize) -> Option<usize> {
    loop {
        match line.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += backslash,
            _ => at += 1,
        }
    }
}

fn closing_parenthesis(line: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1;
    loop {
        match line.get(at)? {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at),
            b')' => depth -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
}

impl<'a> Iterator for ListMembers<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = self.end();
            let member = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{entity_tags, has_token, members, split};
    use crate::wire::field::FieldId;
    use http::header::{CONNECTION, HeaderMap, HeaderValue, IF_NONE_MATCH};

    fn headers(name: http::HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    fn text<'a>(found: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        found.map(|m| std::str::from_utf8(m).unwrap()).collect()
    }

    #[test]
    fn a_line_splits_at_commas_outside_quotes() {
        // (line, members, section of RFC 9110)
        let table: &[(&str, &[&str], &str)] = &[
            ("", &[], "5.6.1.2"),
            (",", &[], "5.6.1.2"),
            ("foo ,bar,", &["foo", "bar"], "5.6.1.2"),
            ("foo , ,bar,charlie", &["foo", "bar", "charlie"], "5.6.1.2"),
            (" \ta\t , b ", &["a", "b"], "5.6.3"),
            (r#"a="1,2", b"#, &[r#"a="1,2""#, "b"], "5.6.4"),
            (r#"a="\",", b"#, &[r#"a="\",""#, "b"], "5.6.4"),
            (r#"a="\\", b"#, &[r#"a="\\""#, "b"], "5.6.4"),
            (r#""",x"#, &[r#""""#, "x"], "5.6.4"),
            (r#"a="b, no-store"#, &[r#"a="b"#, "no-store"], "an unclosed quote hides nothing"),
            (r#"a="b\", no-store"#, &[r#"a="b\""#, "no-store"], "an escaped quote closes nothing"),
            (r#"a="b\"#, &[r#"a="b\"#], "a line may end in a backslash"),
        ];
        for (line, expected, section) in table {
            assert_eq!(text(split(line.as_bytes())), *expected, "{line:?} ({section})");
        }
    }

    #[test]
    fn all_lines_of_a_field_are_read_in_order() {
        let map = headers(CONNECTION, &["close, a", "", "b"]);
        assert_eq!(text(members(&map, FieldId::Connection)), ["close", "a", "b"]);
    }

    #[test]
    fn a_token_is_found_in_any_line_and_any_letter_case() {
        let map = headers(CONNECTION, &["keep-alive", "foo, UpGrade"]);
        assert!(has_token(&map, FieldId::Connection, "upgrade"));
        assert!(!has_token(&map, FieldId::Connection, "up"));
    }

    #[test]
    fn a_backslash_in_an_entity_tag_escapes_nothing() {
        let map = headers(IF_NONE_MATCH, &[r#""a\", W/"b,c""#]);
        assert_eq!(text(entity_tags(&map, FieldId::IfNoneMatch)), [r#""a\""#, r#"W/"b,c""#]);
    }

    #[test]
    fn a_line_full_of_quotes_takes_linear_time() {
        let line = r#"\""#.repeat(500_000);
        assert_eq!(split(line.as_bytes()).count(), 1);
    }
}
