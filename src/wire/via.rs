//! `Via` (RFC 9110 section 7.6.3).

use super::field::FieldId;
use super::list;
use super::view::FieldView;
use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

/// Appends our member, for example `1.1 ringhold-3fa9c1`. `version` is that of the message as received.
pub fn append(headers: &mut HeaderMap, version: Version, pseudonym: &str) {
    headers.append(VIA, member(version, pseudonym));
}

/// Our member by itself, for who adds it often and wants to make it once.
pub fn member(version: Version, pseudonym: &str) -> HeaderValue {
    let version = protocol_version(version);
    let mut text = String::with_capacity(version.len() + 1 + pseudonym.len());
    text.push_str(version);
    text.push(' ');
    text.push_str(pseudonym);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("1.1 ringhold"))
}

/// Whether a message has passed here before: some member's received-by is this pseudonym.
pub fn contains(fields: &(impl FieldView + ?Sized), pseudonym: &str) -> bool {
    fields.all(FieldId::Via).flat_map(list::split_with_comments).any(|member| received_by(member, pseudonym))
}

/// `[ protocol-name "/" ] protocol-version RWS received-by [ RWS comment ]`
fn received_by(member: &[u8], pseudonym: &str) -> bool {
    let mut words = member.split(|byte| matches!(byte, b' ' | b'\t' | b'(')).filter(|word| !word.is_empty());
    words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(pseudonym.as_bytes()))
}

fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::{append, contains};
    use http::Version;
    use http::header::{HeaderMap, HeaderValue, VIA};

    #[test]
    fn our_member_comes_after_those_of_others() {
        // RFC 9110 section 7.6.3
        let mut map = HeaderMap::new();
        map.append(VIA, HeaderValue::from_static("1.0 fred"));
        append(&mut map, Version::HTTP_11, "ringhold-1");
        append(&mut map, Version::HTTP_10, "ringhold-2");
        assert_eq!(map.get_all(VIA).iter().collect::<Vec<_>>(), ["1.0 fred", "1.1 ringhold-1", "1.0 ringhold-2"]);
    }

    #[test]
    fn a_pseudonym_that_is_no_field_value_does_no_harm() {
        let mut map = HeaderMap::new();
        append(&mut map, Version::HTTP_11, "a\r\nb: c");
        assert_eq!(map[VIA], "1.1 ringhold");
    }

    #[test]
    fn we_recognise_ourselves_and_nobody_else() {
        let table: &[(&[&'static str], bool, &str)] = &[
            (&[], false, "no Via"),
            (&["1.1 ringhold-1"], true, "RFC 9110 7.6.3"),
            (&["HTTP/1.1 RINGHOLD-1 (note)"], true, "with protocol name and comment, in any letter case"),
            (&["1.0 fred", "1.1 a, 1.1\tringhold-1"], true, "any line, any member"),
            (&["1.1 ringhold-1(note)"], true, "a comment without its space"),
            (&["1.1 ringhold-12", "1.1 xringhold-1", "1.1 ringhold-1:80"], false, "other names"),
            (&["ringhold-1"], false, "a member without a protocol"),
            (&["1.1 a (x, 1.1 ringhold-1)"], false, "within a comment"),
            (&[r"1.1 a (x (y) \), 1.1 ringhold-1, z)"], false, "RFC 9110 5.6.5: nested and quoted"),
            (&["1.1 a (x, 1.1 ringhold-1"], true, "a comment that does not end hides nothing"),
            (&["1.1 a \"x, 1.1 ringhold-1"], true, "no quoted strings here"),
        ];
        for (lines, expected, why) in table {
            let map: HeaderMap = lines.iter().map(|line| (VIA, HeaderValue::from_static(line))).collect();
            assert_eq!(contains(&map, "ringhold-1"), *expected, "{lines:?} ({why})");
        }
    }
}
