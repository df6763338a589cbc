//! Choosing a stored language although the `Accept-Language` is another one (section 4.1).

use crate::wire::field::FieldId;
use crate::wire::list;
use crate::wire::view::FieldView;

/// The language with the highest weight, if there is one alone (RFC 9110 section 12.5.4).
pub(super) fn favourite(request: &(impl FieldView + ?Sized)) -> Option<&[u8]> {
    let mut best: Option<(&[u8], u16)> = None;
    let mut alone = false;
    for member in list::members(request, FieldId::AcceptLanguage) {
        let (tag, weight) = weighted(member)?;
        match best {
            Some((_, most)) if weight < most => {}
            Some((_, most)) if weight == most => alone = false,
            _ => (best, alone) = (Some((tag, weight)), true),
        }
    }
    best.filter(|(tag, weight)| alone && *weight > 0 && *tag != b"*").map(|(tag, _)| tag)
}

/// A tag and its weight in thousandths; `None` when it is not written as section 12.4.2 of RFC 9110 says.
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.splitn(2, |&b| b == b';');
    let tag = list::trim(parts.next()?);
    let Some(weight) = parts.next() else { return Some((tag, 1000)) };
    let value = list::trim(weight);
    let digits = value.strip_prefix(b"q=").or_else(|| value.strip_prefix(b"Q="))?;
    let (whole, fraction) = match digits {
        [b'0'] => (0, &b""[..]),
        [b'1'] => (1, &b""[..]),
        [b'0', b'.', fraction @ ..] => (0, fraction),
        [b'1', b'.', fraction @ ..] => (1, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = [100, 10, 1].iter().zip(fraction).map(|(unit, b)| unit * u16::from(b - b'0')).sum::<u16>();
    Some((tag, (whole * 1000 + thousandths).min(1000)))
}
