//! May a response be stored (section 3), and on what terms?

use super::reason::NotStored;
use super::targeted::Rules;
use super::terms::{LifetimeSource, Marks, Terms};
use super::{freshness, parts, targeted, vary};
use crate::wire::cache_control::{self, CacheControl, Set};
use crate::wire::date::{Moment, Timestamp};
use crate::wire::field::{FieldId, Traits};
use crate::wire::hop;
use crate::wire::https::preset::Keep;
use crate::wire::target::Key;
use crate::wire::view::{FieldView, RequestView, ResponseView};
use http::{HeaderMap, Method, StatusCode, header};

/// Whether a response may be stored, and on what terms; or why not. `sent` and `received` are the times of the exchange.
/// The answer to a POST that may be stored is stored for later GETs (RFC 9110 section 9.3.3).
pub fn storable(
    rules: &Rules,
    req: &(impl RequestView + ?Sized),
    res: &(impl ResponseView + ?Sized),
    sent: Timestamp,
    received: impl Into<Moment>,
) -> Result<Terms, NotStored> {
    let received = received.into();
    request_allows(req, res)?;
    if res.status() == StatusCode::PARTIAL_CONTENT && !parts::is_one(req, res) {
        return Err(NotStored::Partial); // section 3.3
    }
    let age = || freshness::initial_age(res.fields(), sent, received);
    let authorized = req.fields().has(FieldId::Authorization);
    let terms = terms(rules, authorized, res.status(), res.fields(), age, received)?.asked_at(sent);
    match req.method() == Method::POST && (!terms.source.is_explicit() || rules.keep == Keep::Addressed) {
        true => Err(NotStored::Method),
        false => Ok(terms),
    }
}

/// Why the answer to a plain GET (no content, no directives) is not stored, where its only `Cache-Control` line alone says
/// so. `None`: [`storable`] knows.
pub fn forbidden(rules: &Rules, status: StatusCode, cache_control: &[u8]) -> Option<NotStored> {
    if !rules.targeted.is_empty() || status == StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let cc = CacheControl::of(cache_control);
    status_allows(status, &cc).ok()?;
    directives_allow(&cc).err().filter(|_| !cc.has(Set::MUST_UNDERSTAND))
}

/// The part that a 304 asks again of the response that it freshened. `authorized`: the request had `Authorization`.
pub(super) fn terms(
    rules: &Rules,
    authorized: bool,
    status: StatusCode,
    fields: &(impl FieldView + ?Sized),
    age: impl FnOnce() -> u64,
    received: Moment,
) -> Result<Terms, NotStored> {
    let (cc, targeted) = targeted::governing(rules, fields);
    status_allows(status, &cc)?;
    if rules.keep == Keep::Found && matches!(status.as_u16(), 404 | 410) {
        return Err(NotStored::NotFound);
    }
    if rules.keep == Keep::Addressed && status != StatusCode::OK {
        return Err(NotStored::NotContent);
    }
    directives_allow(&cc)?;
    if !vary::is_selectable(fields) {
        return Err(NotStored::VaryStar);
    }
    let terms = measure(rules, &cc, targeted, status, fields, age(), received);
    // Section 3, last condition but one: a validator alone is not enough.
    if !terms.source.is_explicit() && !freshness::heuristically_cacheable(status) && !cc.has(Set::PUBLIC) {
        return Err(NotStored::NoFreshness);
    }
    worth_storing(&terms, &cc, fields)?;
    // Last: what the response forbids counts whoever asks, and a 304 that forbids it ends what is stored.
    credentials_allow(authorized, &cc)?;
    Ok(terms)
}

/// Whether the response itself, for whatever request, says that it is not to be stored for others.
pub(super) fn forbids(rules: &Rules, fields: &(impl FieldView + ?Sized)) -> bool {
    directives_allow(&targeted::governing(rules, fields).0).is_err()
}

fn request_allows(req: &(impl RequestView + ?Sized), res: &(impl ResponseView + ?Sized)) -> Result<(), NotStored> {
    match *req.method() {
        // A body would have to be part of the key: who sends one with a GET could choose what others read.
        Method::GET if has_content(req.fields()) => return Err(NotStored::RequestContent),
        Method::GET => {}
        Method::POST if is_its_own_result(req, res) => {}
        _ => return Err(NotStored::Method),
    }
    match CacheControl::read(req.fields()).has(Set::NO_STORE) {
        true => Err(NotStored::RequestNoStore), // section 5.2.1.5
        false => Ok(()),
    }
}

/// The answer to a POST is what a GET of the same URL would get when its `Content-Location` is that URL (RFC 9110
/// section 9.3.3).
fn is_its_own_result(req: &(impl RequestView + ?Sized), res: &(impl ResponseView + ?Sized)) -> bool {
    let mut lines = res.fields().all(FieldId::ContentLocation);
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let (Some(key), Some(reference)) = (key(req), visible(line)) else { return false };
    res.status() == StatusCode::OK && key.join(reference).is_some_and(|location| location == key)
}

fn key(req: &(impl RequestView + ?Sized)) -> Option<Key> {
    Key::from_uri(&req.uri()?).ok()
}

/// Of a field value whose characters are all visible, or white space.
fn visible(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')))
}

/// Whether a message announces a body.
pub(super) fn has_content(fields: &(impl FieldView + ?Sized)) -> bool {
    let announced =
        || fields.has(FieldId::TransferEncoding) || fields.all(FieldId::ContentLength).any(|length| length != b"0");
    fields.has_any(Traits::ENDS) && announced()
}

fn status_allows(status: StatusCode, cc: &CacheControl) -> Result<(), NotStored> {
    match status.as_u16() {
        100..=199 | 304 => Err(NotStored::Status),
        // These answer one request's fields or connection, which are not in the key; 401 and 407 its credentials.
        401 | 407 | 412 | 416 | 417 | 421 | 425 | 426 | 431 => Err(NotStored::Status),
        _ if cc.has(Set::MUST_UNDERSTAND) && !understood(status) => Err(NotStored::MustUnderstand), // section 5.2.2.3
        _ => Ok(()),
    }
}

/// The statuses whose caching rules are implemented here (section 5.2.2.3).
fn understood(status: StatusCode) -> bool {
    freshness::heuristically_cacheable(status) || matches!(status.as_u16(), 302 | 303 | 307)
}

fn directives_allow(cc: &CacheControl) -> Result<(), NotStored> {
    // `no-store` beside a `must-understand` that is understood is for caches that do not know it (section 5.2.2.3).
    if cc.has(Set::NO_STORE) && !cc.has(Set::MUST_UNDERSTAND) {
        return Err(NotStored::NoStore); // section 5.2.2.5
    }
    if cc.has(Set::PRIVATE) {
        return Err(NotStored::Private); // section 5.2.2.7
    }
    Ok(())
}

fn credentials_allow(authorized: bool, cc: &CacheControl) -> Result<(), NotStored> {
    let shared = cc.has(Set::PUBLIC) || cc.has(Set::MUST_REVALIDATE) || cc.s_maxage.is_some();
    if authorized && !shared {
        return Err(NotStored::Authorization); // section 3.5
    }
    Ok(())
}

fn measure(
    rules: &Rules,
    cc: &CacheControl,
    targeted: bool,
    status: StatusCode,
    fields: &(impl FieldView + ?Sized),
    age: u64,
    received: Moment,
) -> Terms {
    let (lifetime, source) = match freshness::lifetime(cc, !targeted, status, fields, received) {
        (_, LifetimeSource::Heuristic) if rules.keep == Keep::Validate => (0, LifetimeSource::Nothing),
        measured => measured,
    };
    let marks = Marks::NONE
        .when(cc.has(Set::NO_CACHE), Marks::NO_CACHE)
        .when(cc.has(Set::MUST_REVALIDATE), Marks::MUST_REVALIDATE)
        .when(cc.has(Set::PROXY_REVALIDATE), Marks::PROXY_REVALIDATE)
        .when(cc.s_maxage.is_some(), Marks::S_MAXAGE)
        .when(cc.has(Set::IMMUTABLE), Marks::IMMUTABLE)
        .when(cc.has(Set::PUBLIC), Marks::PUBLIC)
        .when(targeted, Marks::TARGETED)
        .when(fields.has(FieldId::CacheGroups), Marks::GROUPED)
        .when(rules.keep == Keep::Addressed, Marks::ADDRESSED)
        .when(has_validator(fields), Marks::VALIDATOR);
    // In this order nothing is lost to saturation, however large the `Age`.
    let expires = Timestamp(received.at.0.saturating_add(lifetime).saturating_sub(age));
    Terms {
        born: Timestamp(received.at.0.saturating_sub(age)),
        received: received.at,
        waited: 0,
        lifetime,
        fresh_until: if marks.has(Marks::NO_CACHE.and(Marks::ADDRESSED)) { Timestamp(0) } else { expires },
        stale_while_revalidate: cc.stale_while_revalidate.unwrap_or(0),
        stale_if_error: cc.stale_if_error.unwrap_or(0),
        source,
        marks,
    }
}

pub(super) fn has_validator(fields: &(impl FieldView + ?Sized)) -> bool {
    fields.has(FieldId::Etag) || fields.has(FieldId::LastModified)
}

/// Section 3, last condition, and section 7.3.
fn worth_storing(terms: &Terms, cc: &CacheControl, fields: &(impl FieldView + ?Sized)) -> Result<(), NotStored> {
    let window = u64::from(terms.stale_while_revalidate.max(terms.stale_if_error)) * 1000;
    let withheld = || cache_control::withheld(fields).contains(&header::SET_COOKIE);
    if fields.has(FieldId::SetCookie) && !is_for_everyone(terms, cc) && !withheld() {
        return Err(NotStored::SetCookie);
    }
    let usable = !terms.always_validate() && terms.expires().0.saturating_add(window) > terms.received.0;
    match usable || terms.marks.has(Marks::VALIDATOR) {
        true => Ok(()),
        false if terms.marks.has(Marks::ADDRESSED) => Err(NotStored::ContentWithoutValidator),
        false if terms.always_validate() => Err(NotStored::NoCacheWithoutValidator),
        false if terms.source == LifetimeSource::Nothing => Err(NotStored::NoFreshness),
        false => Err(NotStored::Stale),
    }
}

/// Whether the origin said itself, not by a guess, that it may be reused: then its `Set-Cookie` may be (section 7.3).
fn is_for_everyone(terms: &Terms, cc: &CacheControl) -> bool {
    let lifetime = terms.lifetime > 0 && terms.source != LifetimeSource::Heuristic && !terms.always_validate();
    cc.has(Set::PUBLIC) || lifetime
}

/// Whether the fields of a 304, without those that are stored, allow to store the `Set-Cookie` beside them.
pub(super) fn shares_its_cookie(rules: &Rules, status: StatusCode, headers: &HeaderMap, received: Moment) -> bool {
    let (cc, targeted) = targeted::governing(rules, headers);
    is_for_everyone(&measure(rules, &cc, targeted, status, headers, 0, received), &cc)
}

/// The fields to store of a response: without hop-by-hop fields, `Age`, what `no-cache` and `private` withhold, and
/// the link's own (section 3.1); dated by its arrival where it has no date. Changes `headers` in place; gives back what only the client that was waiting for this
/// response is to see: `Age` as it came, and what is withheld.
pub fn storable_fields(headers: &mut HeaderMap, received: impl Into<Moment>) -> HeaderMap {
    hop::strip(headers);
    hop::strip_link(headers);
    let mut withheld = HeaderMap::new();
    for name in cache_control::withheld(headers).into_iter().chain([header::AGE]) {
        for line in headers.get_all(&name) {
            withheld.append(name.clone(), line.clone());
        }
        headers.remove(&name);
    }
    freshness::ensure_date(headers, received.into());
    withheld
}
