//! What an answer to an unsafe method makes invalid (section 4.4).

use crate::wire::field::FieldId;
use crate::wire::target::{Key, visible_ascii};
use crate::wire::view::{FieldView, ResponseView};
use http::{Method, StatusCode};

/// The URLs that an answer to an unsafe method makes invalid (section 4.4): none on an error answer; the target;
/// `Location` and `Content-Location` of the same origin.
pub fn invalidates(method: &Method, target: &Key, res: &(impl ResponseView + ?Sized)) -> Vec<Key> {
    if !is_unsafe(method, res.status()) {
        return Vec::new();
    }
    let mut keys = vec![target.clone()];
    for id in [FieldId::Location, FieldId::ContentLocation] {
        // Each has one value (RFC 9110 sections 8.7 and 10.2.2).
        if let Some(line) = res.fields().first(id) {
            let key = target.join(&without_user(&visible_ascii(line)));
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

/// A reference without user information, which is no part of what it names (RFC 9110 section 4.2.4), nor of a key.
fn without_user(reference: &str) -> String {
    let (scheme, rest) = match reference.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => (scheme, rest),
        _ => return reference.to_owned(),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    [scheme, "//", host, path].concat()
}

/// Whether an answer is that of an unsafe method, and no error.
pub(super) fn is_unsafe(method: &Method, status: StatusCode) -> bool {
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// The safe methods of the IANA registry; what is not known counts as unsafe.
fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PRI" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}
