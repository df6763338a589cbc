//! A client's body, on its way to the link.

use super::link::Framing;
use crate::net::http1::Upload;
use crate::net::serve::ClientBody;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http_body::Body;

/// How the body is framed on the link, and whether the client waits for `100 Continue` before it sends it.
pub fn framing(request: &Parts, body: &ClientBody) -> (Framing, bool) {
    if body.is_end_stream() {
        // `Content-Length: 0` says that there is no body where one was to be expected.
        let said = request.headers.contains_key(CONTENT_LENGTH);
        return (if said { Framing::Sized(0) } else { Framing::None }, false);
    }
    let framing = body.size_hint().exact().map_or(Framing::Chunked, Framing::Sized);
    let expects = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let expect = request.version == Version::HTTP_11 && request.headers.get_all(EXPECT).iter().any(expects);
    (framing, expect)
}

pub fn of(body: ClientBody, framing: Framing) -> Option<Box<Upload>> {
    let chunked = match framing {
        Framing::None | Framing::Sized(0) => return None,
        Framing::Sized(_) => false,
        Framing::Chunked => true,
    };
    Some(Box::new(Upload::new(Box::pin(body), chunked)))
}
