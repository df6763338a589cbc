//! Which stored response a request selects (section 4.1).

use super::language;
use crate::wire::field::{FieldId, Traits};
use crate::wire::list;
use crate::wire::view::FieldView;
use http::HeaderMap;
use http::header::HeaderName;
use std::cell::{Cell, OnceCell, RefCell};
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
    has_looked: Cell<bool>,
    known: RefCell<Vec<Known>>,
    favourite: OnceCell<Option<&'a [u8]>>,
}

/// A `Vary` and what is selected under it.
type Known = (Box<[u8]>, Option<Rc<[u8]>>);

impl<'a, F: FieldView + ?Sized> Selection<'a, F> {
    pub fn of(request: &'a F) -> Selection<'a, F> {
        Selection { request, has_looked: Cell::new(false), known: RefCell::default(), favourite: OnceCell::new() }
    }

    /// Whether it selects what is stored under this `Vary`, with these selecting fields. The first is compared as it is:
    /// mostly there is no other.
    pub fn selects(&self, vary: &[u8], selecting: &[u8]) -> bool {
        match self.has_looked.replace(true) {
            false => is_selected_by(self.request, selecting),
            true => self.under(vary).is_some_and(|selected| *selected == *selecting),
        }
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
        field(name.as_str().as_bytes(), request, &mut out);
    }
    // A copy: to give back what is too much of a small allocation costs the allocator more.
    out.as_slice().into()
}

/// Whether a request has the same selecting fields.
fn is_selected_by(request: &(impl FieldView + ?Sized), selecting: &[u8]) -> bool {
    let mut own = Vec::with_capacity(selecting.len() + 64);
    selecting.split_inclusive(|byte| *byte == b'\n').all(|line| {
        let name = line.split(|byte| matches!(byte, b':' | b'\n')).next().unwrap_or_default();
        own.clear();
        field(name, request, &mut own);
        own == line
    })
}

/// `name:value` and a line feed, which no value contains; an absent field has no colon, so it is not an empty one. `name` in
/// lower case.
fn field(name: &[u8], request: &(impl FieldView + ?Sized), out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    let id = FieldId::of(name);
    if !id.stands_for_many() {
        lines(id, request.all(id), out);
    } else if let Ok(name) = HeaderName::from_lowercase(name) {
        lines(id, request.named(&name), out);
    }
    out.push(b'\n');
}

fn lines<'a>(id: FieldId, mut lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    match (lines.next(), lines.next()) {
        (None, _) => {}
        (Some(only), None) => value(id, &[only], out),
        (Some(first), Some(second)) => value(id, &[first, second].into_iter().chain(lines).collect::<Vec<_>>(), out),
    }
}

fn value(id: FieldId, lines: &[&[u8]], out: &mut Vec<u8>) {
    out.push(b':');
    let members = || lines.iter().copied().flat_map(list::split);
    let has_preferences = matches!(id, FieldId::AcceptEncoding | FieldId::AcceptLanguage);
    if !has_preferences || !preferences(members(), out) {
        combined(lines, is_list(id), out);
    }
}

/// Whether a comma in a field's value may stand between two lines: then nobody can tell whether there was white space
/// beside it, which is optional where lines are combined (RFC 9110 section 5.3). Not in fields that are known to have one
/// value.
fn is_list(id: FieldId) -> bool {
    !id.is(Traits::SINGLE)
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
/// 12.5.4): lower case, no white space, sorted, `q=1` left out. `false`, and nothing: it is too long.
fn preferences<'a>(members: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let (mut spans, mut count) = ([(0, 0); MOST_PREFERENCES], 0);
    for member in members {
        let from = out.len();
        preference(member, out);
        let Some(span) = spans.get_mut(count) else {
            out.truncate(start);
            return false;
        };
        (*span, count) = ((from, out.len()), count + 1);
    }
    let spans = &mut spans[..count];
    spans.sort_unstable_by(|a, b| out[a.0..a.1].cmp(&out[b.0..b.1]));
    let end = out.len();
    for n in 0..spans.len() {
        let (from, to) = spans[n];
        let is_repeated = n.checked_sub(1).is_some_and(|before| out[spans[before].0..spans[before].1] == out[from..to]);
        if !is_repeated {
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_within(from..to);
        }
    }
    out.drain(start..end);
    true
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
