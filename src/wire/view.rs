//! PURE. Messages as they are looked at, wherever their fields lie: in a block of bytes, in a stored entry, in a map.

use super::field::{FieldId, Traits};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri, request, response};

/// The fields of a message.
pub trait FieldView {
    /// The values of all lines with this name, in order. Not for one that [stands for many](FieldId::stands_for_many).
    fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]>;

    /// The same for a name that may be any.
    fn named<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;

    /// What is known of each line; of several with one name perhaps once.
    fn ids(&self) -> impl Iterator<Item = FieldId>;

    /// The first line with this name.
    fn first(&self, id: FieldId) -> Option<&[u8]> {
        self.all(id).next()
    }

    fn has(&self, id: FieldId) -> bool {
        self.first(id).is_some()
    }

    /// Whether any line has one of these traits.
    fn has_any(&self, traits: Traits) -> bool {
        self.ids().any(|id| id.is(traits))
    }
}

impl FieldView for HeaderMap {
    fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        self.get_all(id.header()).into_iter().map(HeaderValue::as_bytes)
    }

    fn named<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }

    fn ids(&self) -> impl Iterator<Item = FieldId> {
        self.keys().map(|name| FieldId::of(name.as_str().as_bytes()))
    }

    fn has_any(&self, traits: Traits) -> bool {
        FieldId::any_has(self.keys().map(|name| name.as_str().as_bytes()), traits)
    }

    fn has(&self, id: FieldId) -> bool {
        self.contains_key(id.header())
    }

    fn first(&self, id: FieldId) -> Option<&[u8]> {
        self.get(id.header()).map(HeaderValue::as_bytes)
    }
}

/// Removes every field for whose name this says so.
pub fn remove_where(headers: &mut HeaderMap, condemned: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&condemned) {
        return;
    }
    let names: Vec<HeaderName> = headers.keys().filter(|name| condemned(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Removes every field with one of these traits.
pub fn remove_any(headers: &mut HeaderMap, traits: Traits) {
    remove_where(headers, |name| FieldId::has(name.as_str().as_bytes(), traits));
}

/// A request.
pub trait RequestView {
    type Fields: FieldView + ?Sized;

    fn method(&self) -> &Method;
    fn fields(&self) -> &Self::Fields;
    /// The URL that it is for; `None` where that is none.
    fn uri(&self) -> Option<Uri>;
}

/// The head of a response.
pub trait ResponseView {
    type Fields: FieldView + ?Sized;

    fn status(&self) -> StatusCode;
    fn fields(&self) -> &Self::Fields;
}

impl RequestView for request::Parts {
    type Fields = HeaderMap;

    fn method(&self) -> &Method {
        &self.method
    }
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
    fn uri(&self) -> Option<Uri> {
        Some(self.uri.clone())
    }
}

impl ResponseView for response::Parts {
    type Fields = HeaderMap;

    fn status(&self) -> StatusCode {
        self.status
    }
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
}
