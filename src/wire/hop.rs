//! Hop-by-hop fields (RFC 9110 section 7.6.1).

use super::field::{FieldId, Traits};
use super::list;
use super::view::{self, FieldView};
use http::header::{HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue};

/// What the hop-by-hop fields of a message said, before they were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The `Upgrade` field, when `Connection: upgrade` was there too.
    pub upgrade: Option<HeaderValue>,
    /// `TE: trailers` was there.
    pub te_trailers: bool,
}

/// Removes every field that is for this hop only ([`Traits::HOP`]), and all that the lines of `Connection` name.
/// `Content-Length`, `Host`, `Trailer` and the like are never removed because a `Connection` line names them.
pub fn strip(headers: &mut HeaderMap) -> Hop {
    if !headers.has_any(Traits::HOP) {
        return Hop::default();
    }
    let hop = Hop { upgrade: upgrade(headers), te_trailers: list::has_token(headers, FieldId::Te, "trailers") };
    for name in nominated(headers) {
        headers.remove(name);
    }
    view::remove_any(headers, Traits::HOP);
    hop
}

/// Of the protocols that an `Upgrade` field offers, the first that we know: any other would take the connection away from
/// whoever is to understand what is said on it.
pub fn known_protocol(offered: &HeaderValue) -> Option<HeaderValue> {
    let known = list::split(offered.as_bytes()).find(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))?;
    HeaderValue::from_bytes(known).ok()
}

/// Removes from trailers what may not be there: what holds for a hop or the link, and what says where the message ends or
/// goes (RFC 9110 section 6.5.1).
pub fn strip_trailers(trailers: &mut HeaderMap) {
    view::remove_any(trailers, Traits::NOT_IN_TRAILERS.and(Traits::HOP).and(Traits::LINK));
}

/// Removes every field of the link.
pub fn strip_link(headers: &mut HeaderMap) {
    view::remove_any(headers, Traits::LINK);
}

/// Whether a field stays although a `Connection` line names it. "A sender MUST NOT send a connection option
/// corresponding to a field that is intended for all recipients" (RFC 9110 section 7.6.1), so nobody who keeps to the
/// rules loses anything, and a message that does not must not be able to
/// - change where the message ends, what its body is, or whom it is for: two parties would read two messages;
/// - lift a restriction on storing it, make it look younger, or hide what it varies by: the next client would be
///   answered what is not meant for it;
/// - hide that it has been here before.
///
/// Every other field is removed when it is named, `Cookie` and `Authorization` too: who names them might as well have
/// left them out, as long as nothing is decided by them before they are removed.
fn is_for_all_recipients(name: &str) -> bool {
    FieldId::has(name.as_bytes(), Traits::EVERYONE) || name.ends_with("-cache-control") // RFC 9213 section 2
}

/// The fields that the `Connection` lines name and that may be removed for it.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    list::members(headers, FieldId::Connection)
        .filter(|option| !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close"))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !is_for_all_recipients(name.as_str()))
        .collect()
}

/// All lines of `Upgrade` as one. RFC 9110 section 7.8: without the connection option it is not meant for us.
fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(UPGRADE).iter();
    let first = lines.next()?;
    if !list::has_token(headers, FieldId::Connection, "upgrade") {
        return None;
    }
    let mut joined = first.as_bytes().to_vec();
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    HeaderValue::try_from(joined).ok()
}

#[cfg(test)]
#[path = "hop_tests.rs"]
mod tests;
