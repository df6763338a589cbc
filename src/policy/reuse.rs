//! What to do with a request, given what is stored (section 4).

use super::storable::has_content;
use super::terms::Marks;
use super::{Decision, Fields, Stored, Terms, freshness};
use crate::wire::cache_control::{CacheControl, Set};
use crate::wire::date::Timestamp;
use crate::wire::list;
use crate::wire::status::Fwd;
use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode, request};

/// How long after its end of freshness a response is still served when the origin cannot be reached (section 4.2.4),
/// where nothing in the response forbids or says otherwise.
pub const UNREACHABLE_GRACE: u64 = 60 * 60 * 1000;

/// Whether this request may share its fetch with others: a GET without body, Range, conditions, `Authorization` or
/// `no-store`.
pub fn may_lead(req: &request::Parts) -> bool {
    const OWN: [HeaderName; 7] = [
        header::RANGE,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_MATCH,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::AUTHORIZATION,
    ];
    req.method == Method::GET
        && !OWN.iter().any(|name| req.headers.contains_key(name))
        && !has_content(&req.headers)
        && !CacheControl::read(&req.headers).has(Set::NO_STORE)
}

/// What to do with `req`, given the selected stored response.
pub fn decide<F: Fields + ?Sized>(req: &request::Parts, stored: Option<Stored<'_, F>>, now: Timestamp) -> Decision {
    match stored {
        Some(Stored { terms, .. }) if now < terms.fresh_until && is_plain(req) => {
            Decision::Serve { ttl: terms.ttl(now) }
        }
        Some(Stored { terms, .. }) => consider(req, terms, now),
        None => contact(&Wishes::of(&req.headers), Decision::Forward { fwd: miss(&req.method) }),
    }
}

/// The common request: nothing in it bears on whether a fresh response may answer it.
fn is_plain(req: &request::Parts) -> bool {
    let headers = &req.headers;
    matches!(req.method, Method::GET | Method::HEAD)
        && !headers.contains_key(header::CACHE_CONTROL)
        && !headers.contains_key(header::PRAGMA)
        && !headers.contains_key(header::IF_MATCH)
        && !headers.contains_key(header::IF_UNMODIFIED_SINCE)
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
}

fn consider(req: &request::Parts, terms: &Terms, now: Timestamp) -> Decision {
    let wishes = Wishes::of(&req.headers);
    if !matches!(req.method, Method::GET | Method::HEAD) {
        return contact(&wishes, Decision::Forward { fwd: Fwd::Method });
    }
    // Only an origin can judge these conditions (RFC 9110 section 13.2.2), and only it can judge a body.
    if for_the_origin(&req.headers) {
        return contact(&wishes, Decision::Forward { fwd: Fwd::Request });
    }
    let ttl = terms.ttl(now);
    match reuse(&wishes, terms, now) {
        Reuse::Fresh | Reuse::Accepted => Decision::Serve { ttl },
        Reuse::Meanwhile => Decision::ServeStale { ttl },
        Reuse::Refused(fwd) => contact(&wishes, Decision::Validate { fwd, ttl }),
    }
}

enum Reuse {
    Fresh,
    /// Stale, and the client said that it takes it so.
    Accepted,
    /// Stale, and the origin said that it may be served while it is validated.
    Meanwhile,
    Refused(Fwd),
}

fn reuse(wishes: &Wishes, terms: &Terms, now: Timestamp) -> Reuse {
    let fresh = now < terms.fresh_until;
    // RFC 8246 section 2: a fresh immutable response is validated for `no-cache` only.
    let max_age = wishes.max_age.filter(|_| !(fresh && terms.marks.has(Marks::IMMUTABLE)));
    let left = terms.expires().millis_since(now);
    if wishes.no_cache || max_age.is_some_and(|limit| freshness::age(terms, now) > limit) {
        return Reuse::Refused(if fresh { Fwd::Request } else { Fwd::Stale });
    }
    if wishes.min_fresh.is_some_and(|least| left < least) {
        return Reuse::Refused(if fresh { Fwd::Request } else { Fwd::Stale });
    }
    match terms.staleness(now) {
        _ if fresh => Reuse::Fresh,
        _ if terms.never_stale() => Reuse::Refused(Fwd::Stale), // section 4.2.4
        stale if wishes.max_stale.is_some_and(|most| stale <= most) => Reuse::Accepted, // section 5.2.1.2
        stale if stale <= u64::from(terms.stale_while_revalidate) * 1000 && terms.stale_while_revalidate > 0 => {
            Reuse::Meanwhile // RFC 5861 section 3
        }
        _ => Reuse::Refused(Fwd::Stale),
    }
}

/// What would need the origin is a 504 under `only-if-cached` (section 5.2.1.7).
fn contact(wishes: &Wishes, otherwise: Decision) -> Decision {
    if wishes.only_if_cached { Decision::OnlyIfCached } else { otherwise }
}

fn miss(method: &Method) -> Fwd {
    if matches!(*method, Method::GET | Method::HEAD) { Fwd::UriMiss } else { Fwd::Method }
}

fn for_the_origin(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_UNMODIFIED_SINCE) || has_content(headers)
}

/// What a request says about reuse (section 5.2.1); `max_age` in seconds, the others in milliseconds.
struct Wishes {
    no_cache: bool,
    only_if_cached: bool,
    max_age: Option<u64>,
    min_fresh: Option<u64>,
    max_stale: Option<u64>,
}

impl Wishes {
    fn of(headers: &HeaderMap) -> Wishes {
        let cc = CacheControl::read(headers);
        // `Pragma` counts only where `Cache-Control` is absent (section 5.4).
        let pragma = !cc.present && list::has_token(headers, &header::PRAGMA, "no-cache");
        let millis = |seconds: u32| if seconds == u32::MAX { u64::MAX } else { u64::from(seconds) * 1000 };
        Wishes {
            no_cache: cc.has(Set::NO_CACHE) || pragma,
            only_if_cached: cc.has(Set::ONLY_IF_CACHED),
            max_age: cc.max_age.map(u64::from),
            min_fresh: cc.min_fresh.map(millis),
            max_stale: cc.max_stale.map(millis),
        }
    }
}

/// How a request to the origin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Refused, reset, timed out, no address.
    Unreachable,
    /// It answered with this status.
    Status(StatusCode),
}

/// Whether a stored response may answer although its validation failed (RFC 5861 section 4; section 4.2.4): then its
/// remaining freshness in seconds, negative when stale.
pub fn stale_if_error(req: &request::Parts, terms: &Terms, failure: Failure, now: Timestamp) -> Option<i64> {
    let cc = CacheControl::read(&req.headers);
    let pragma = !cc.present && list::has_token(&req.headers, &header::PRAGMA, "no-cache");
    let readable = matches!(req.method, Method::GET | Method::HEAD) && !for_the_origin(&req.headers);
    if !readable || terms.always_validate() || cc.has(Set::NO_CACHE) || pragma {
        return None;
    }
    let said = u64::from(terms.stale_if_error.max(cc.stale_if_error.unwrap_or(0))) * 1000;
    let window = match failure {
        Failure::Unreachable => said.max(UNREACHABLE_GRACE),
        Failure::Status(status) if matches!(status.as_u16(), 500 | 502..=504) => said,
        Failure::Status(_) => return None,
    };
    let fresh = terms.is_fresh(now) && (said > 0 || failure == Failure::Unreachable);
    let stale = !terms.is_fresh(now) && !terms.never_stale() && window > 0 && terms.staleness(now) <= window;
    (fresh || stale).then(|| terms.ttl(now))
}
