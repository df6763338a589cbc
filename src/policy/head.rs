//! What the answer to a HEAD says about the stored answer to a GET (section 4.3.5).

use super::reason::NotStored;
use super::targeted::Rules;
use super::terms::Terms;
use super::validate::freshen;
use crate::wire::date::{Moment, Timestamp};
use crate::wire::view::RequestView;
use http::{HeaderMap, StatusCode, header, response};

/// What a HEAD did to a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEffect {
    /// It is the same response: its fields were updated in place.
    Freshened(Terms),
    /// It is another one now, or may no longer be stored.
    Invalidated,
    /// Nothing can be said.
    None,
}

/// What the answer to a HEAD makes of a stored response with this status and a body of `length` bytes.
pub fn after_head(
    rules: &Rules,
    req: &(impl RequestView + ?Sized),
    (status, length): (StatusCode, u64),
    stored: &mut HeaderMap,
    head: &response::Parts,
    sent: Timestamp,
    received: impl Into<Moment>,
) -> HeadEffect {
    if head.status != StatusCode::OK {
        return HeadEffect::None;
    }
    // A 200 says nothing of how long a stored 404 or 301 is good for, but that it is no longer so.
    if status != StatusCode::OK || !same(stored, length, &head.headers) {
        return HeadEffect::Invalidated;
    }
    let mut updated = stored.clone();
    match freshen(rules, req, status, &mut updated, &head.headers, sent, received).terms {
        Ok(terms) => {
            *stored = updated;
            HeadEffect::Freshened(terms)
        }
        Err(reason) if NotStored::is_the_requests(&reason) => HeadEffect::None,
        Err(_) => HeadEffect::Invalidated,
    }
}

/// Every validator and length that the HEAD gives must be that of what is stored.
fn same(stored: &HeaderMap, length: u64, head: &HeaderMap) -> bool {
    let validators = [header::ETAG, header::LAST_MODIFIED];
    let agree = validators.iter().all(|name| head.get(name).is_none_or(|value| stored.get(name) == Some(value)));
    let lengths = head.get_all(header::CONTENT_LENGTH).iter();
    agree && lengths.into_iter().all(|line| line.as_bytes() == length.to_string().as_bytes())
}
