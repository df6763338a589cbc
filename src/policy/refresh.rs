//! The request of a background refresh (RFC 5861 section 3): for everyone, made of that of whom it was noticed by.

use super::Terms;
use super::terms::Marks;
use super::validate::CONDITIONS;
use http::header;
use http::{Method, request};

/// The same request without what was only for its own answer: conditions, range, what it said about reuse; as a GET.
/// `Authorization` goes too, but for a response that may be stored all the same (section 3.5). What a stored response is
/// selected by stays.
pub fn for_everyone(req: &request::Parts, terms: &Terms) -> request::Parts {
    let mut parts = req.clone();
    parts.method = Method::GET;
    let said = [header::CACHE_CONTROL, header::PRAGMA, header::EXPECT, header::CONTENT_LENGTH];
    for name in CONDITIONS.iter().chain(&said) {
        parts.headers.remove(name);
    }
    if !terms.marks.has(Marks::PUBLIC) {
        parts.headers.remove(header::AUTHORIZATION);
    }
    parts
}
