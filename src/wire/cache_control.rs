//! The directives of `Cache-Control` (RFC 9111 section 5.2), of a request or a response, over all their lines.

use super::field::{FieldId, Traits};
use super::list;
use super::view::FieldView;
use http::header::HeaderName;

/// Directives without a number, as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u16);

impl Set {
    pub const NO_STORE: Set = Set(1);
    /// Without field names.
    pub const NO_CACHE: Set = Set(1 << 1);
    /// Without field names.
    pub const PRIVATE: Set = Set(1 << 2);
    pub const PUBLIC: Set = Set(1 << 3);
    pub const MUST_REVALIDATE: Set = Set(1 << 4);
    pub const PROXY_REVALIDATE: Set = Set(1 << 5);
    pub const MUST_UNDERSTAND: Set = Set(1 << 6);
    pub const IMMUTABLE: Set = Set(1 << 7);
    pub const ONLY_IF_CACHED: Set = Set(1 << 8);

    pub fn has(self, other: Set) -> bool {
        self.0 & other.0 != 0
    }
    pub fn add(&mut self, other: Set) {
        self.0 |= other.0;
    }
}

/// What a `Cache-Control` field says. Numbers are seconds; the first of several counts (section 4.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    pub set: Set,
    /// A value that is not a number counts as zero: stale, not unlimited (section 4.2.1).
    pub max_age: Option<u32>,
    /// As for `max_age`.
    pub s_maxage: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
    pub min_fresh: Option<u32>,
    /// `u32::MAX` where the client gave no number: any staleness.
    pub max_stale: Option<u32>,
    /// Whether the message has the field at all.
    pub present: bool,
}

/// The largest number of seconds (section 1.2.2).
pub const MAX_SECONDS: u32 = 1 << 31;

impl CacheControl {
    /// Reads the `Cache-Control` lines of a message.
    pub fn read(fields: &(impl FieldView + ?Sized)) -> CacheControl {
        let mut cc = CacheControl::default();
        fields.all(FieldId::CacheControl).for_each(|line| cc.add(line));
        cc
    }

    /// The same of one line that is all there is.
    pub fn of(line: &[u8]) -> CacheControl {
        let mut cc = CacheControl::default();
        cc.add(line);
        cc
    }

    fn add(&mut self, line: &[u8]) {
        self.present = true;
        list::split(line).for_each(|member| self.take(Directive::parse(member)));
    }

    pub fn has(&self, set: Set) -> bool {
        self.set.has(set)
    }

    /// Adds one directive; unknown ones are ignored (section 5.2.3).
    pub fn take(&mut self, d: Directive<'_>) {
        if let Some(bit) = d.bit() {
            self.set.add(bit);
            return;
        }
        let name = d.name;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            self.max_age = self.max_age.or(Some(d.seconds().unwrap_or(0)));
        } else if is("s-maxage") {
            self.s_maxage = self.s_maxage.or(Some(d.seconds().unwrap_or(0)));
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = self.stale_while_revalidate.or(d.seconds());
        } else if is("stale-if-error") {
            self.stale_if_error = self.stale_if_error.or(d.seconds());
        } else if is("min-fresh") {
            self.min_fresh = self.min_fresh.or(d.seconds());
        } else if is("max-stale") {
            let any = matches!(d.value, Argument::None).then_some(u32::MAX);
            self.max_stale = self.max_stale.or(any).or(d.seconds());
        }
    }
}

/// One directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive<'a> {
    pub name: &'a [u8],
    pub value: Argument<'a>,
}

/// The argument of a directive: recipients accept a token and a quoted string alike (section 5.2).
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    None,
    Text(&'a [u8]),
    /// White space around `=`, or a quote that nothing closes: never a number.
    Malformed,
}

impl<'a> Directive<'a> {
    pub fn parse(member: &'a [u8]) -> Directive<'a> {
        let Some(at) = member.iter().position(|&b| b == b'=') else {
            return Directive { name: member, value: Argument::None };
        };
        let (name, value) = (&member[..at], &member[at + 1..]);
        let bare = list::trim(name);
        let value = match value {
            _ if bare.len() < name.len() || list::trim(value).len() < value.len() => Argument::Malformed,
            [b'"', inner @ .., b'"'] => Argument::Text(inner),
            [b'"', ..] => Argument::Malformed,
            token => Argument::Text(token),
        };
        Directive { name: bare, value }
    }

    /// The argument as seconds; more than can be counted is [`MAX_SECONDS`] (section 1.2.2).
    pub fn seconds(&self) -> Option<u32> {
        match self.value {
            Argument::Text(text) => seconds(text),
            _ => None,
        }
    }

    /// The field names that limit `no-cache` or `private` to these fields (sections 5.2.2.4 and 5.2.2.7). `None` when
    /// the directive is for the whole response: also when its argument is not a list of names, or names a field that
    /// the cache itself reads.
    pub fn field_names(&self) -> Option<Vec<HeaderName>> {
        let Argument::Text(text) = self.value else { return None };
        let names = list::split(text).map(|name| HeaderName::from_bytes(name).ok().filter(|name| !is_essential(name)));
        names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
    }

    fn is(&self, known: &str) -> bool {
        self.name.eq_ignore_ascii_case(known.as_bytes())
    }

    /// A directive that forbids or demands counts with whatever argument.
    fn bit(&self) -> Option<Set> {
        let whole = |set| if self.field_names().is_none() { set } else { Set::default() };
        Some(match self.name.len() {
            8 if self.is("no-store") => Set::NO_STORE,
            8 if self.is("no-cache") => whole(Set::NO_CACHE),
            7 if self.is("private") => whole(Set::PRIVATE),
            6 if self.is("public") => Set::PUBLIC,
            15 if self.is("must-revalidate") => Set::MUST_REVALIDATE,
            16 if self.is("proxy-revalidate") => Set::PROXY_REVALIDATE,
            15 if self.is("must-understand") => Set::MUST_UNDERSTAND,
            9 if self.is("immutable") => Set::IMMUTABLE,
            14 if self.is("only-if-cached") => Set::ONLY_IF_CACHED,
            _ => return None,
        })
    }
}

/// The fields that `no-cache="…"` and `private="…"` in `Cache-Control` name: not to be stored.
pub fn withheld(fields: &(impl FieldView + ?Sized)) -> Vec<HeaderName> {
    list::members(fields, FieldId::CacheControl)
        .map(Directive::parse)
        .filter(|d| d.is("no-cache") || d.is("private"))
        .filter_map(|d| d.field_names())
        .flatten()
        .collect()
}

/// `delta-seconds`: digits only. Saturates (section 1.2.2).
pub fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum = text.iter().fold(0u64, |sum, b| (sum * 10 + u64::from(b - b'0')).min(u64::from(MAX_SECONDS)));
    u32::try_from(sum).ok()
}

fn is_essential(name: &HeaderName) -> bool {
    FieldId::has(name.as_str().as_bytes(), Traits::ESSENTIAL)
}

#[cfg(test)]
mod tests {
    use super::{CacheControl, MAX_SECONDS, Set, withheld};
    use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

    fn read(lines: &[&'static str]) -> CacheControl {
        CacheControl::read(&map(lines))
    }

    fn map(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|l| (CACHE_CONTROL, HeaderValue::from_static(l))).collect()
    }

    #[test]
    fn seconds_are_digits_and_nothing_else() {
        // (line, max-age, section of RFC 9111)
        let table: &[(&'static str, Option<u32>, &str)] = &[
            ("max-age=3600", Some(3600), "5.2.2.1"),
            ("MaX-aGe=3600", Some(3600), "5.2: names in any letter case"),
            ("max-age=\"3600\"", Some(3600), "5.2: both forms"),
            ("max-age=003600", Some(3600), "1.2.2"),
            ("max-age='3600'", Some(0), "4.2.1: invalid is stale"),
            ("max-age=-3600", Some(0), "4.2.1"),
            ("max-age=+1", Some(0), "1.2.2: no sign"),
            ("max-age=3600.5", Some(0), "4.2.1"),
            ("max-age=a3600", Some(0), "4.2.1"),
            ("max-age=3600a", Some(0), "4.2.1"),
            ("max-age=", Some(0), "4.2.1"),
            ("max-age", Some(0), "4.2.1"),
            ("max-age =3600", Some(0), "4.2.1"),
            ("max-age= 3600", Some(0), "4.2.1"),
            ("max-age=\"1", Some(0), "4.2.1"),
            ("max-age=2147483649", Some(MAX_SECONDS), "1.2.2"),
            ("max-age=99999999999999999999999999", Some(MAX_SECONDS), "1.2.2"),
            ("max-age=1, max-age=1800", Some(1), "4.2.1: the first"),
            ("max-age=a, max-age=1800", Some(0), "4.2.1"),
            ("x=\"max-age=3600\", max-age=1", Some(1), "5.6.4 of RFC 9110"),
            ("x=\"max-age=3600\"", None, "5.6.4 of RFC 9110"),
            ("foobar, max-age=7", Some(7), "5.2.3"),
        ];
        for (line, expected, section) in table {
            assert_eq!(read(&[line]).max_age, *expected, "{line} ({section})");
        }
    }

    #[test]
    fn a_directive_is_found_in_any_line_and_any_letter_case() {
        let cc = read(&["max-age=9", "a=\"b, c\" , nO-StOrE", "pUbLiC"]);
        assert!(cc.has(Set::NO_STORE) && cc.has(Set::PUBLIC) && !cc.has(Set::PRIVATE));
    }

    #[test]
    fn no_cache_and_private_with_names_are_for_these_fields_only() {
        // (line, for the whole response, fields withheld, section of RFC 9111)
        let table: &[(&'static str, bool, &[&str], &str)] = &[
            ("private", true, &[], "5.2.2.7"),
            ("private=\"a, B\"", false, &["a", "b"], "5.2.2.7"),
            ("private=a", false, &["a"], "5.2: both forms"),
            ("private=\"\"", true, &[], "an empty list limits nothing"),
            ("private=\"a b\"", true, &[], "not a field name"),
            ("private=\"vary\"", true, &[], "what the cache reads cannot be left out"),
            ("private=\"a", true, &[], "an unclosed quote"),
            ("private=\"a\", private", true, &["a"], "4.2.1: the most restrictive"),
        ];
        for (line, whole, fields, section) in table {
            assert_eq!(read(&[line]).has(Set::PRIVATE), *whole, "{line} ({section})");
            assert_eq!(withheld(&map(&[line])), *fields, "{line} ({section})");
        }
    }

    #[test]
    fn max_stale_without_a_number_is_any() {
        assert_eq!(read(&["max-stale"]).max_stale, Some(u32::MAX));
        assert_eq!(read(&["max-stale=5"]).max_stale, Some(5));
        assert_eq!(read(&["max-stale=x"]).max_stale, None);
    }
}
