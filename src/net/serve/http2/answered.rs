//! PURE. The head of an answer, as it is written for HTTP/1.1, as one of HTTP/2 (RFC 9113 section 8.2.2).

use crate::wire::answer::decode::{Bounds, head};
use crate::wire::hop;
use bytes::Bytes;
use http::Response;

/// Heads of our own have no bounds.
const BOUNDS: Bounds = Bounds { bytes: usize::MAX, fields: 8192 };

/// The head that these bytes begin with, without what is for one hop. `None`: they are none.
pub(super) fn of(bytes: Bytes) -> Option<(Response<()>, Bytes)> {
    let (read, length) = head(&bytes, BOUNDS, true).ok()??;
    let mut answer = Response::new(());
    *answer.status_mut() = read.status;
    *answer.headers_mut() = read.fields.map();
    hop::strip(answer.headers_mut());
    Some((answer, bytes.slice(length..)))
}
