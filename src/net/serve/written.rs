//! PURE. How the head of an answer is written (RFC 9112).

use crate::wire::length::BodyLength;
use crate::wire::written::{field, status_line};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, response};
use hyper::ext::ReasonPhrase;

/// Whether the answer is the last on its connection.
pub(super) fn says_close(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// How an answer is written.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) framing: BodyLength,
    /// Its connection ends with it.
    pub(super) close: bool,
    /// And hears out first what may be on its way.
    pub(super) lingers: bool,
    /// HTTP/1.0 is told that it does not.
    pub(super) keep: bool,
    /// Its connection is another's from then on, so nothing is said of its content.
    pub(super) hands_over: bool,
}

/// Appends the head of an answer. `date`: added where the service set none.
pub(super) fn write_head(answer: &response::Parts, shape: Shape, date: Option<&[u8]>, out: &mut Vec<u8>) {
    let Shape { framing, close, keep, hands_over, .. } = shape;
    let said = answer.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    status_line(out, answer.status, said);
    let sized = matches!(framing, BodyLength::None | BodyLength::Sized(_))
        && answer.status != StatusCode::NO_CONTENT
        && !hands_over;
    let (mut length, mut dated, mut closes) = (false, date.is_none(), !close);
    for (name, value) in &answer.headers {
        match *name {
            CONTENT_LENGTH if !sized || std::mem::replace(&mut length, true) => continue,
            TRANSFER_ENCODING => continue,
            DATE => dated = true,
            CONNECTION => closes = closes || says_close(&answer.headers),
            _ => {}
        }
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    match framing {
        BodyLength::Sized(n) if !length => field(out, b"content-length", itoa::Buffer::new().format(n).as_bytes()),
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    out.extend_from_slice(connection_line(!closes, keep));
    if let Some(date) = date.filter(|_| !dated) {
        field(out, b"date", date);
    }
    out.extend_from_slice(b"\r\n");
}

/// The line that says what becomes of the connection, where one is needed. `close`: it ends; `keep`: HTTP/1.0 is told that it does
/// not.
pub(super) fn connection_line(close: bool, keep: bool) -> &'static [u8] {
    match (close, keep) {
        (true, _) => b"connection: close\r\n",
        (false, true) => b"connection: keep-alive\r\n",
        (false, false) => b"",
    }
}

#[cfg(test)]
#[path = "written_tests.rs"]
mod tests;
