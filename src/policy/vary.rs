//! Which stored response a request selects (section 4.1).

use super::language;
use crate::wire::field::{FieldId, Traits};
use crate::wire::list;
use crate::wire::view::FieldView;
use http::HeaderMap;
use http::header::{self, HeaderName};
use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// The selecting fields of a request under a response's `Vary`, normalised (section 4.1): two requests with the same
/// value select the same variant. Empty: no `Vary`. `None`: `Vary: *`.
pub fn selecting(vary: &(impl FieldView + ?Sized), request: &(impl FieldView + ?Sized)) -> Option<Box<[u8]>> {
    Some(select(&names(list::members(vary, FieldId::Vary))?, request))
}

/// Whether there are requests that select a response with this `Vary`.
pub(super) fn is_selectable(vary: &(impl FieldView + ?Sized)) -> bool {
    names(list::members(vary, FieldId::Vary)).is_some()
}

/// The same, from the stored value of `Vary` (all lines joined by commas).
pub fn selecting_by(vary: &[u8], request: &(impl FieldView + ?Sized)) -> Option<Box<[u8]>> {
    Some(select(&names(list::split(vary))?, request))
}

/// What one request selects, worked out once for each `Vary` that is met, however many variants have it.
pub struct Selection<'a, F: FieldView + ?Sized = HeaderMap> {
    request: &'a F,
    known: RefCell<Vec<Known>>,
    favourite: OnceCell<Option<&'a [u8]>>,
}

/// A `Vary` and what is selected under it.
type Known = (Box<[u8]>, Option<Rc<[u8]>>);

impl<'a, F: FieldView + ?Sized> Selection<'a, F> {
    pub fn of(request: &'a F) -> Selection<'a, F> {
        Selection { request, known: RefCell::default(), favourite: OnceCell::new() }
    }

    /// As [`selecting_by`].
    pub fn under(&self, vary: &[u8]) -> Option<Rc<[u8]>> {
        if let Some((_, selected)) = self.known.borrow().iter().find(|(known, _)| **known == *vary) {
            return selected.clone();
        }
        let selected = selecting_by(vary, self.request).map(Rc::from);
        self.known.borrow_mut().push((vary.into(), selected.clone()));
        selected
    }

    pub(super) fn favourite(&self) -> Option<&'a [u8]> {
        *self.favourite.get_or_init(|| language::favourite(self.request))
    }
}

/// So many fields a `Vary` names at most; one with more is a `*`, because each request would pay for them.
const MOST_NAMES: usize = 64;
/// The same with repetitions.
const MOST_MEMBERS: usize = 16 * MOST_NAMES;
/// A list with more members is taken as it stands: to bring it into order would cost more than the answer that it selects.
const MOST_PREFERENCES: usize = 64;

/// A member that is no field name is a `*`: nobody can tell what it meant.
fn names<'a>(members: impl Iterator<Item = &'a [u8]>) -> Option<Vec<HeaderName>> {
    let valid = |member: &[u8]| HeaderName::from_bytes(member).ok().filter(|name| name.as_str() != "*");
    let mut names = members.take(MOST_MEMBERS + 1).map(valid).collect::<Option<Vec<_>>>()?;
    if names.len() > MOST_MEMBERS {
        return None;
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    (names.len() <= MOST_NAMES).then_some(names)
}

fn select(names: &[HeaderName], request: &(impl FieldView + ?Sized)) -> Box<[u8]> {
    let mut out = Vec::with_capacity(64);
    for name in names {
        field(name, request, &mut out);
    }
    // A copy: to give back what is too much of a small allocation costs the allocator more.
    out.as_slice().into()
}

/// `name:value` and a line feed, which no value contains; an absent field has no colon, so it is not an empty one.
fn field(name: &HeaderName, request: &(impl FieldView + ?Sized), out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    let mut lines = request.named(name);
    match (lines.next(), lines.next()) {
        (None, _) => {}
        (Some(only), None) => value(name, &[only], out),
        (Some(first), Some(second)) => value(name, &[first, second].into_iter().chain(lines).collect::<Vec<_>>(), out),
    }
    out.push(b'\n');
}

fn value(name: &HeaderName, lines: &[&[u8]], out: &mut Vec<u8>) {
    out.push(b':');
    let members = || lines.iter().copied().flat_map(list::split);
    let is_short = || members().nth(MOST_PREFERENCES).is_none();
    match *name {
        header::ACCEPT_ENCODING | header::ACCEPT_LANGUAGE if is_short() => preferences(members(), out),
        _ => combined(lines, is_list(name), out),
    }
}

/// Whether a comma in a field's value may stand between two lines: then nobody can tell whether there was white space
/// beside it, which is optional where lines are combined (RFC 9110 section 5.3). Not in fields that are known to have one
/// value.
fn is_list(name: &HeaderName) -> bool {
    !FieldId::has(name.as_str().as_bytes(), Traits::SINGLE)
}

/// The lines of a field as one (RFC 9110 section 5.2), without white space around them; of a list also none around its
/// commas outside quoted strings.
fn combined(lines: &[&[u8]], is_list: bool, out: &mut Vec<u8>) {
    for (n, line) in lines.iter().enumerate() {
        if n > 0 {
            out.extend_from_slice(if is_list { b"," } else { b", " });
        }
        match is_list {
            true => squeeze(line, out),
            false => out.extend_from_slice(list::trim(line)),
        }
    }
}

fn squeeze(line: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = list::trim(line);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'"' {
            let close = quoted_end(tail);
            out.push(byte);
            out.extend_from_slice(&tail[..close]);
            rest = &tail[close..];
        } else if byte == b',' {
            while out.len() > start && matches!(out.last(), Some(b' ' | b'\t')) {
                out.pop();
            }
            out.push(byte);
            rest = list::trim(tail);
        } else {
            out.push(byte);
        }
    }
}

/// The length of a quoted string after its first quote, with the closing one; all of it when nothing closes it.
fn quoted_end(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A list with weights whose members are tokens in any letter case and any order (RFC 9110 sections 12.4.2, 12.5.3,
/// 12.5.4): lower case, no white space, sorted, `q=1` left out.
fn preferences<'a>(members: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(64);
    let mut sorted: Vec<Range<usize>> = Vec::with_capacity(8);
    for member in members {
        let start = text.len();
        preference(member, &mut text);
        sorted.push(start..text.len());
    }
    sorted.sort_unstable_by(|a, b| text[a.clone()].cmp(&text[b.clone()]));
    sorted.dedup_by(|a, b| text[a.clone()] == text[b.clone()]);
    for (n, member) in sorted.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&text[member]);
    }
}

fn preference(member: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(member.iter().filter(|b| !matches!(b, b' ' | b'\t')).map(u8::to_ascii_lowercase));
    let Some(weight) = out[start..].windows(3).position(|w| w == b";q=").map(|at| start + at + 3) else { return };
    if out[weight..].contains(&b'.') {
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
    if &out[weight..] == b"1" {
        out.truncate(weight - 3);
    }
}

/// Whether a stored variant answers a request whose only difference to its own is `Accept-Language`: when its
/// `Content-Language` is the one language that the request likes best. `vary` is the stored value of `Vary`,
/// `selected` what [`selecting`] gave for the variant's own request.
pub fn speaks<F: FieldView + ?Sized>(
    vary: &[u8],
    selected: &[u8],
    content_language: &[u8],
    wanted: &Selection<'_, F>,
) -> bool {
    if !wanted.favourite().is_some_and(|tag| tag.eq_ignore_ascii_case(list::trim(content_language))) {
        return false;
    }
    let Some(wanted) = wanted.under(vary) else { return false };
    let others = |line: &&[u8]| !line.starts_with(b"accept-language:");
    let both = |text: &[u8]| text.split(|&b| b == b'\n').any(|line| !others(&line));
    let rest = |text| <[u8]>::split(text, |&b| b == b'\n').filter(others);
    both(selected) && both(&wanted) && rest(selected).eq(rest(&wanted))
}
