//! Validation: the client's conditions answered from the store, ours put to the origin, and what its 304 changes
//! (sections 4.3 and 3.2).

use super::parts::combine;
use super::reason::NotStored;
use super::targeted::Rules;
use super::terms::{Stored, Terms};
use super::{freshness, storable};
use crate::wire::cache_control::{CacheControl, Set};
use crate::wire::date::{self, Moment, Timestamp};
use crate::wire::field::{FieldId, Traits};
use crate::wire::view::{self, FieldView, RequestView};
use crate::wire::{hop, list};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

impl<F: FieldView + ?Sized> Stored<'_, F> {
    /// Whether the client's own condition (`If-None-Match`, else `If-Modified-Since`; RFC 9110 section 13.2.2) makes the
    /// answer from the store a 304.
    pub fn is_not_modified(&self, req: &(impl FieldView + ?Sized), now: Timestamp) -> bool {
        // Conditions are for what would be a success without them (RFC 9110 section 13.2.1).
        if !self.status.is_success() {
            return false;
        }
        if req.has(FieldId::IfNoneMatch) {
            let etag = self.fields.first(FieldId::Etag);
            let matches = |tag: &[u8]| tag == b"*" || etag.is_some_and(|etag| opaque(tag) == opaque(etag));
            return list::entity_tags(req, FieldId::IfNoneMatch).any(matches);
        }
        unmodified_since(req, self, now)
    }

    /// Puts the validators of a stored response on a request as conditions (section 4.3.1), in place of the client's own;
    /// a range goes too, so that the answer is whole. False when it has none: then the request goes out without condition.
    pub fn validation(&self, req: &mut HeaderMap) -> bool {
        view::remove_any(req, Traits::CONDITION);
        let mut any = false;
        for (validator, condition) in
            [(FieldId::Etag, header::IF_NONE_MATCH), (FieldId::LastModified, header::IF_MODIFIED_SINCE)]
        {
            let value = self.fields.first(validator).filter(|value| !value.is_empty());
            if let Some(Ok(value)) = value.map(HeaderValue::from_bytes) {
                req.insert(condition, value);
                any = true;
            }
        }
        any
    }
}

/// RFC 9110 section 13.1.3; what stands for a missing `Last-Modified` is said in section 4.3.2.
fn unmodified_since(
    req: &(impl FieldView + ?Sized),
    stored: &Stored<'_, impl FieldView + ?Sized>,
    now: Timestamp,
) -> bool {
    let mut lines = req.all(FieldId::IfModifiedSince);
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Some(since) = date::parse(line, now) else { return false };
    let read = |id| stored.fields.first(id).and_then(|value| date::parse(value, now));
    let modified = match stored.fields.first(FieldId::LastModified) {
        Some(_) => read(FieldId::LastModified),
        None => read(FieldId::Date).or(Some(stored.terms.received)),
    };
    modified.is_some_and(|modified| modified <= since)
}

/// An entity tag for the weak comparison (RFC 9110 section 8.8.3.2): without `W/` and, as some write it, without quotes.
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    match tag {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    }
}

/// What a 304 made of a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshened {
    /// Its new terms. On an error what is stored is to be dropped, or left as it was where
    /// [`NotStored::is_the_requests`] says so.
    pub terms: Result<Terms, NotStored>,
    /// When it was generated, as far as is known now; also where it may not be stored.
    pub born: Timestamp,
    /// What only the client that was waiting for this 304 is to see, in place of stored fields of those names.
    pub withheld: HeaderMap,
}

/// What a 304 makes of a stored response (section 3.2): its fields, updated in place, and its new terms. The updated
/// fields answer this request, whether they may be stored or not. `Vary` may have changed: select anew.
pub fn freshen(
    rules: &Rules,
    req: &(impl RequestView + ?Sized),
    status: StatusCode,
    stored: &mut HeaderMap,
    not_modified: &HeaderMap,
    sent: Timestamp,
    received: impl Into<Moment>,
) -> Freshened {
    let fields = req.fields();
    let asked = RequestTraits {
        authorized: fields.has(FieldId::Authorization),
        no_store: CacheControl::read(fields).has(Set::NO_STORE),
    };
    asked.freshen(rules, status, stored, not_modified, sent, received.into())
}

/// What of the request bears on what its 304 may be stored as.
struct RequestTraits {
    authorized: bool,
    no_store: bool,
}

impl RequestTraits {
    fn freshen(
        &self,
        rules: &Rules,
        status: StatusCode,
        stored: &mut HeaderMap,
        not_modified: &HeaderMap,
        sent: Timestamp,
        received: Moment,
    ) -> Freshened {
        // Its `Connection` names fields of its own only, not stored ones.
        let mut fresh = not_modified.clone();
        hop::strip(&mut fresh);
        let mut withheld = HeaderMap::new();
        // What was said of the stored response was not said of a cookie that comes now (section 7.3).
        if fresh.contains_key(header::SET_COOKIE) && !storable::shares_its_cookie(rules, status, &fresh, received) {
            take(&mut fresh, &header::SET_COOKIE, &mut withheld);
        }
        let age = freshness::initial_age(&fresh, sent, received);
        combine(stored, &fresh, received);
        let terms =
            storable::terms(rules, self.authorized, status, stored, || age, received).map(|terms| terms.asked_at(sent));
        let mut own = storable::storable_fields(stored, received);
        own.remove(header::AGE);
        for name in own.keys().filter(|name| !withheld.contains_key(*name)).cloned().collect::<Vec<_>>() {
            take(&mut own, &name, &mut withheld);
        }
        let born = Timestamp(received.at.0.saturating_sub(age));
        Freshened { terms: self.allow(terms), born, withheld }
    }

    /// What the response forbids comes before what this request forbids: it counts for all who come after.
    fn allow(&self, terms: Result<Terms, NotStored>) -> Result<Terms, NotStored> {
        match terms {
            Err(why) if !why.is_the_requests() => Err(why),
            _ if self.no_store => Err(NotStored::RequestNoStore), // section 5.2.1.5
            terms => terms,
        }
    }
}

fn take(headers: &mut HeaderMap, name: &HeaderName, into: &mut HeaderMap) {
    for line in headers.get_all(name) {
        into.append(name, line.clone());
    }
    headers.remove(name);
}
