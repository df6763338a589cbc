//! How old a response is, and how long it is fresh (section 4.2).

use super::terms::LifetimeSource;
use crate::wire::cache_control::{self, CacheControl, Set};
use crate::wire::date::{self, Moment, Timestamp};
use crate::wire::field::FieldId;
use crate::wire::list;
use crate::wire::view::FieldView;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};

/// The longest lifetime that is guessed from `Last-Modified`: one day.
const HEURISTIC_CEILING: u64 = 24 * 60 * 60 * 1000;

/// `corrected_initial_age` (section 4.2.3), in milliseconds.
pub(super) fn initial_age(fields: &(impl FieldView + ?Sized), sent: Timestamp, received: Moment) -> u64 {
    // `Date` was cut to a second when it was written: only what is older than that second is surely age.
    let apparent = date(fields, FieldId::Date, received).map_or(0, |d| received.at.millis_since(d).saturating_sub(999));
    let corrected = age_value(fields).saturating_add(received.at.millis_since(sent));
    apparent.max(corrected)
}

/// `Age` in milliseconds: the first member of the first line; what is not a number is ignored (section 5.1).
fn age_value(fields: &(impl FieldView + ?Sized)) -> u64 {
    let first = fields.first(FieldId::Age).and_then(|line| line.split(|&b| b == b',').next());
    let seconds = first.and_then(|member| cache_control::seconds(list::trim(member)));
    u64::from(seconds.unwrap_or(0)) * 1000
}

/// Freshness lifetime in milliseconds, and what gave it (section 4.2.1). `expires` is whether `Expires` counts: not
/// beside a targeted field (RFC 9213 section 2.1).
pub(super) fn lifetime(
    cc: &CacheControl,
    expires: bool,
    status: StatusCode,
    fields: &(impl FieldView + ?Sized),
    received: Moment,
) -> (u64, LifetimeSource) {
    if let Some(seconds) = cc.s_maxage {
        return (u64::from(seconds) * 1000, LifetimeSource::SMaxage);
    }
    if let Some(seconds) = cc.max_age {
        return (u64::from(seconds) * 1000, LifetimeSource::MaxAge);
    }
    let generated = date(fields, FieldId::Date, received).unwrap_or(received.at);
    if expires && fields.has(FieldId::Expires) {
        // A date that is none, `0` above all, is in the past (section 5.3).
        let until = date(fields, FieldId::Expires, received);
        return (until.map_or(0, |until| until.millis_since(generated)), LifetimeSource::Expires);
    }
    heuristic(cc, status, fields, generated, received)
}

/// Section 4.2.2: only where the status or `public` allows it, only from `Last-Modified`.
fn heuristic(
    cc: &CacheControl,
    status: StatusCode,
    fields: &(impl FieldView + ?Sized),
    generated: Timestamp,
    received: Moment,
) -> (u64, LifetimeSource) {
    let allowed = heuristically_cacheable(status) || cc.has(Set::PUBLIC);
    // Whoever writes `Pragma: no-cache` in a response means this (section 5.4 leaves it open).
    let refused = !cc.present && list::has_token(fields, FieldId::Pragma, "no-cache");
    match date(fields, FieldId::LastModified, received) {
        Some(modified) if allowed && !refused => {
            ((generated.millis_since(modified) / 10).min(HEURISTIC_CEILING), LifetimeSource::Heuristic)
        }
        _ => (0, LifetimeSource::Nothing),
    }
}

/// RFC 9110 section 15.1.
pub(super) fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The first line of a date field, on the clock that entries age by.
pub(super) fn date(fields: &(impl FieldView + ?Sized), id: FieldId, received: Moment) -> Option<Timestamp> {
    date::parse(fields.first(id)?, received.wall).map(|date| received.aging(date))
}

/// Gives a response without `Date` the time at which it arrived (RFC 9110 section 6.6.1).
pub(super) fn ensure_date(headers: &mut HeaderMap, received: Moment) {
    if !headers.contains_key(header::DATE)
        && let Ok(value) = HeaderValue::from_bytes(&date::format(received.wall))
    {
        headers.insert(header::DATE, value);
    }
}
