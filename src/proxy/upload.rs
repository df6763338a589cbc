//! A client's body, on its way to the link.

use crate::net::http1::Upload;
use crate::net::serve::ClientBody;
use crate::wire::length::BodyLength;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::Body;

/// How the body is framed on the link, and whether the client waits for `100 Continue` before it sends it.
pub fn framing(request: &Parts, body: &ClientBody) -> (BodyLength, bool) {
    if body.is_end_stream() {
        // `Content-Length: 0` says that there is no body where one was to be expected.
        let said = request.headers.contains_key(CONTENT_LENGTH);
        return (if said { BodyLength::Sized(0) } else { BodyLength::None }, false);
    }
    let framing = body.size_hint().exact().map_or(BodyLength::Chunked, BodyLength::Sized);
    (framing, body.expects())
}

pub fn of(body: ClientBody, framing: BodyLength) -> Option<Box<Upload>> {
    if matches!(framing, BodyLength::None | BodyLength::Sized(0)) {
        return None;
    }
    Some(Box::new(Upload::new(Box::pin(body), framing == BodyLength::Chunked)))
}
