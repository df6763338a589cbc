//! The request of a background refresh (RFC 5861 section 3): for everyone, made of that of whom it was noticed by.

use super::terms::{Marks, Terms};
use crate::wire::field::{FieldId, Traits};
use crate::wire::view;
use http::{Method, request};

/// The same request without what was only for its own answer, as a GET. What a stored response is selected by stays.
pub fn for_everyone(req: &request::Parts, terms: &Terms) -> request::Parts {
    let mut parts = req.clone();
    parts.method = Method::GET;
    view::remove_where(&mut parts.headers, |name| is_for_one(FieldId::of(name.as_str().as_bytes()), terms));
    parts
}

/// Whether a field is only for its own answer: conditions, range, what the request said about reuse. `Authorization` too, but
/// for a response that may be stored all the same (section 3.5).
pub fn is_for_one(id: FieldId, terms: &Terms) -> bool {
    match id {
        FieldId::Expect => true,
        FieldId::Authorization => !terms.marks.has(Marks::PUBLIC),
        _ => id.is(Traits::CONDITION.and(Traits::REUSE)),
    }
}
