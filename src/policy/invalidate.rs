//! What an answer to an unsafe method makes invalid (section 4.4).

use crate::wire::target::Key;
use http::header;
use http::{Method, StatusCode, response};

/// The URLs that an answer to an unsafe method makes invalid (section 4.4): none on an error answer; the target;
/// `Location` and `Content-Location` of the same origin.
pub fn invalidates(method: &Method, target: &Key, res: &response::Parts) -> Vec<Key> {
    if !is_unsafe(method, res.status) {
        return Vec::new();
    }
    let mut keys = vec![target.clone()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        for line in res.headers.get_all(name) {
            let key = line.to_str().ok().and_then(|reference| target.join(reference));
            keys.extend(key.filter(|key| key.same_origin(target)));
        }
    }
    let mut seen = Vec::new();
    keys.retain(|key| {
        let new = !seen.contains(key);
        seen.push(key.clone());
        new
    });
    keys
}

/// Whether an answer is that of an unsafe method, and no error.
pub(super) fn is_unsafe(method: &Method, status: StatusCode) -> bool {
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// The safe methods of the IANA registry; what is not known counts as unsafe.
fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PRI" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}
