//! What to do with a request, given what is stored (section 4).

use super::reason::Decision;
use super::storable::has_content;
use super::terms::{Marks, Stored, Terms};
use crate::wire::cache_control::{CacheControl, Set};
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use crate::wire::list;
use crate::wire::status::Fwd;
use crate::wire::view::{FieldView, RequestView};
use http::{Method, StatusCode};

/// How long after its end of freshness a response is still served when the origin cannot be reached (section 4.2.4),
/// where nothing in the response forbids or says otherwise.
pub const UNREACHABLE_GRACE: u64 = 60 * 60 * 1000;

/// Whether something in a request has to be understood before a fresh response that varies by nothing may answer a GET
/// (RFC 9111 sections 4 and 5.2.1, RFC 9110 sections 13 and 14).
pub fn bears_on_fresh(request: &(impl FieldView + ?Sized)) -> bool {
    request.has_any(Traits::BEARS)
}

/// Whether this request may share its fetch with others: a GET without body, Range, conditions, `Authorization` or
/// `no-store`.
pub fn may_lead(req: &(impl RequestView + ?Sized)) -> bool {
    // What makes an answer its own bears on a fresh one too, and most requests have nothing that does.
    req.method() == Method::GET && (!bears_on_fresh(req.fields()) || !is_its_own(req.fields()))
}

/// Whether its answer is for one request, or for one client.
fn is_its_own(fields: &(impl FieldView + ?Sized)) -> bool {
    fields.has_any(Traits::CONDITION)
        || fields.has(FieldId::Authorization)
        || has_content(fields)
        || CacheControl::read(fields).has(Set::NO_STORE)
}

/// Whether another node of the cluster may be asked for what this request is for: a GET that may share its fetch, and that
/// says nothing of how fresh it wants it.
pub fn may_ask_peer(req: &(impl RequestView + ?Sized)) -> bool {
    may_lead(req) && is_plain(req)
}

/// What to do with `req`, given the selected stored response.
pub fn decide<F: FieldView + ?Sized>(
    req: &(impl RequestView + ?Sized),
    stored: Option<Stored<'_, F>>,
    now: Timestamp,
) -> Decision {
    match stored.map(|stored| stored.terms) {
        Some(terms) if terms.is_reusable(now) && is_plain(req) => Decision::Serve { ttl: terms.ttl(now) },
        terms => judge(req, terms, now).0,
    }
}

/// The same, in a sentence that cites the section.
pub fn explain<F: FieldView + ?Sized>(
    req: &(impl RequestView + ?Sized),
    stored: Option<Stored<'_, F>>,
    now: Timestamp,
) -> &'static str {
    judge(req, stored.map(|stored| stored.terms), now).1
}

/// The common request: nothing in it bears on whether a fresh response may answer it. One pass over its names is
/// cheaper than a look-up of each that matters.
fn is_plain(req: &(impl RequestView + ?Sized)) -> bool {
    is_answered_from_store(req.method()) && !req.fields().has_any(Traits::REUSE)
}

fn is_answered_from_store(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn judge(req: &(impl RequestView + ?Sized), terms: Option<&Terms>, now: Timestamp) -> (Decision, &'static str) {
    let asked = ReuseContext {
        reads: is_answered_from_store(req.method()),
        for_the_origin: for_the_origin(req.fields()),
        wishes: Wishes::of(req.fields()),
    };
    asked.judge(terms, now)
}

/// What bears on the decision.
struct ReuseContext {
    /// GET or HEAD.
    reads: bool,
    for_the_origin: bool,
    wishes: Wishes,
}

impl ReuseContext {
    fn judge(&self, terms: Option<&Terms>, now: Timestamp) -> (Decision, &'static str) {
        let wishes = &self.wishes;
        if !self.reads {
            let why = "only GET and HEAD are answered from the store (RFC 9111 section 4)";
            return contact(wishes, Decision::Forward { fwd: Fwd::Method }, why);
        }
        let Some(terms) = terms else {
            let why = "nothing is stored that the request selects (RFC 9111 section 4)";
            return contact(wishes, Decision::Forward { fwd: Fwd::UriMiss }, why);
        };
        if self.for_the_origin {
            let why = "If-Match, If-Unmodified-Since or a body is for the origin to judge (RFC 9110 section 13.2.2)";
            return contact(wishes, Decision::Forward { fwd: Fwd::Request }, why);
        }
        let ttl = terms.ttl(now);
        match reuse(wishes, terms, now) {
            Reuse::Yes(why) => (Decision::Serve { ttl }, why),
            Reuse::Meanwhile(why) => (Decision::ServeStale { ttl }, why),
            Reuse::No(fwd, why) => contact(wishes, Decision::Validate { fwd, ttl }, why),
        }
    }
}

enum Reuse {
    Yes(&'static str),
    /// Stale, and the origin said that it may be served while it is validated.
    Meanwhile(&'static str),
    No(Fwd, &'static str),
}

fn reuse(wishes: &Wishes, terms: &Terms, now: Timestamp) -> Reuse {
    let fresh = terms.is_reusable(now);
    let fwd = if fresh { Fwd::Request } else { Fwd::Stale };
    // RFC 8246 section 2: a fresh immutable response is validated for `no-cache` only.
    let max_age = wishes.max_age.filter(|_| !(fresh && terms.marks.has(Marks::IMMUTABLE)));
    if wishes.no_cache {
        return Reuse::No(fwd, "the request says no-cache (RFC 9111 section 5.2.1.4)");
    }
    if max_age.is_some_and(|limit| terms.age(now) > limit) {
        return Reuse::No(fwd, "it is older than the max-age of the request (RFC 9111 section 5.2.1.1)");
    }
    if wishes.min_fresh.is_some_and(|least| terms.expires().millis_since(now) < least) {
        return Reuse::No(fwd, "it is fresh for less than the min-fresh of the request (RFC 9111 section 5.2.1.3)");
    }
    if fresh { Reuse::Yes("it is fresh (RFC 9111 section 4.2)") } else { reuse_stale(wishes, terms, now) }
}

/// Section 4.2.4.
fn reuse_stale(wishes: &Wishes, terms: &Terms, now: Timestamp) -> Reuse {
    let stale = terms.staleness(now);
    if terms.marks.has(Marks::INVALIDATED) {
        return Reuse::No(Fwd::Stale, "it was invalidated by an unsafe method, or purged (RFC 9111 section 4.4)");
    }
    if terms.marks.has(Marks::ADDRESSED) {
        let why = "its URL names the content by its SHA-256: whether this client may have it, the store says to its own URL, each time";
        return Reuse::No(Fwd::Stale, why);
    }
    if terms.marks.has(Marks::NO_CACHE) {
        return Reuse::No(Fwd::Stale, "the response says no-cache (RFC 9111 section 5.2.2.4)");
    }
    if terms.never_stale() {
        let why = "it is stale, and must-revalidate, proxy-revalidate or s-maxage forbids stale answers (RFC 9111 section 4.2.4)";
        return Reuse::No(Fwd::Stale, why);
    }
    if wishes.max_stale.is_some_and(|most| stale <= most) {
        return Reuse::Yes("it is stale, within the max-stale of the request (RFC 9111 section 5.2.1.2)");
    }
    let window = u64::from(terms.stale_while_revalidate) * 1000;
    // `min-fresh` asked for a fresh one, and so did `max-age` without a `max-stale` that is met (section 5.2.1.1).
    let wants_fresh = wishes.min_fresh.is_some() || wishes.max_age.is_some();
    if window > 0 && stale <= window && !wants_fresh && terms.marks.has(Marks::LENT) {
        let why = "it is stale, and the node that lent it may have answered with a newer one (docs/link.md, One owner)";
        return Reuse::No(Fwd::Stale, why);
    }
    if window > 0 && stale <= window && !wants_fresh {
        return Reuse::Meanwhile("it is stale, within its stale-while-revalidate (RFC 5861 section 3)");
    }
    Reuse::No(Fwd::Stale, "it is stale (RFC 9111 section 4.2)")
}

/// What would need the origin is a 504 under `only-if-cached` (section 5.2.1.7).
fn contact(wishes: &Wishes, otherwise: Decision, why: &'static str) -> (Decision, &'static str) {
    match wishes.only_if_cached {
        true => (Decision::OnlyIfCached, "the request says only-if-cached (RFC 9111 section 5.2.1.7)"),
        false => (otherwise, why),
    }
}

fn for_the_origin(fields: &(impl FieldView + ?Sized)) -> bool {
    let judges = || fields.has(FieldId::IfMatch) || fields.has(FieldId::IfUnmodifiedSince) || has_content(fields);
    fields.has_any(Traits::FOR_ORIGIN) && judges()
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
    fn of(fields: &(impl FieldView + ?Sized)) -> Wishes {
        let cc = CacheControl::read(fields);
        // `Pragma` counts only where `Cache-Control` is absent (section 5.4).
        let pragma = !cc.present && list::has_token(fields, FieldId::Pragma, "no-cache");
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
pub fn stale_if_error(
    req: &(impl RequestView + ?Sized),
    terms: &Terms,
    failure: Failure,
    now: Timestamp,
) -> Option<i64> {
    let fields = req.fields();
    let cc = CacheControl::read(fields);
    let pragma = !cc.present && list::has_token(fields, FieldId::Pragma, "no-cache");
    let readable = is_answered_from_store(req.method()) && !for_the_origin(fields);
    if !readable || terms.always_validate() || cc.has(Set::NO_CACHE) || pragma {
        return None;
    }
    let said = terms.stale_if_error.max(cc.stale_if_error.unwrap_or(0));
    may_stand_in(terms, said, failure, now).then(|| terms.ttl(now))
}

/// Whether such an answer does not take the place of a stored response, whoever got it: others may still have that in its
/// stead (RFC 5861 section 4).
pub fn outlasts(terms: &Terms, answer: StatusCode, now: Timestamp) -> bool {
    !terms.always_validate() && may_stand_in(terms, terms.stale_if_error, Failure::Status(answer), now)
}

/// `said`: the seconds of the `stale-if-error` that counts.
fn may_stand_in(terms: &Terms, said: u32, failure: Failure, now: Timestamp) -> bool {
    let said = u64::from(said) * 1000;
    let window = match failure {
        Failure::Unreachable => said.max(UNREACHABLE_GRACE),
        Failure::Status(status) if matches!(status.as_u16(), 500 | 502..=504) => said,
        Failure::Status(_) => return false,
    };
    match terms.is_fresh(now) {
        true => said > 0 || failure == Failure::Unreachable,
        false => !terms.never_stale() && window > 0 && terms.staleness(now) <= window,
    }
}
