//! PURE. What becomes of a connection after an answer (RFC 9112 sections 6.3, 9.3 and 9.6; RFC 9931).

use super::says::Says;
use super::written::{Shape, connection_line, says_close};
use crate::wire::length::{self, BodyLength};
use http::{StatusCode, response};
use http_body::SizeHint;

/// What the connection knows when an answer's head is to be written.
#[derive(Clone, Copy)]
pub(super) struct ConnStanding {
    /// No request can follow: the process ends, or the peer has closed its half.
    pub(super) is_last: bool,
    /// Of the request's body something has not been read.
    pub(super) is_uploading: bool,
}

/// Whether a request was the last on its connection, however it is answered.
pub(super) fn ends(asked: &Says, standing: ConnStanding) -> bool {
    asked.close || (asked.old && !asked.keep_alive) || standing.is_last || standing.is_uploading
}

/// Has a head that ends at `end` of `out`, and says nothing of its connection, say what has to be said.
pub(super) fn say(asked: &Says, close: bool, end: usize, out: &mut Vec<u8>) {
    let line = connection_line(close, asked.old);
    // Before the empty line.
    if let Some(at) = end.checked_sub(2).filter(|at| !line.is_empty() && *at <= out.len()) {
        out.splice(at..at, line.iter().copied());
    }
}

/// How an answer is written, and what becomes of its connection.
pub(super) fn settle(answer: &response::Parts, body: &SizeHint, asked: &Says, standing: ConnStanding) -> Shape {
    let status = answer.status;
    let hands_over = status == StatusCode::SWITCHING_PROTOCOLS || (asked.connect && status.is_success());
    let framing = body_length(answer, body, asked);
    // What follows a refused CONNECT was meant for somebody else (RFC 9931 section 4).
    let is_refused = asked.connect;
    let ends = ends(asked, standing) || framing == BodyLength::UntilClose;
    // What is on its way already then is read and dropped: closed with that unread, the answer is lost (RFC 9112 section 9.6).
    let is_unasked = is_refused || says_close(&answer.headers);
    let close = !hands_over && (ends || is_unasked);
    Shape { framing, close, lingers: close && is_unasked, keep: asked.old && !close && !hands_over, hands_over }
}

/// Of an answer. What the service said in `Content-Length` counts, then what its body knows of itself.
pub(super) fn body_length(answer: &response::Parts, body: &SizeHint, asked: &Says) -> BodyLength {
    match (answer.status, length::said(&answer.headers).or(body.exact())) {
        (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS, _) => BodyLength::None,
        _ if asked.head || (asked.connect && answer.status.is_success()) => BodyLength::None,
        (_, Some(length)) => BodyLength::Sized(length),
        // HTTP/1.0 knows no chunks.
        (_, None) if asked.old => BodyLength::UntilClose,
        (_, None) => BodyLength::Chunked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_on_where_both_sides_know_where_the_answer_ends() {
        let new = Says::default();
        let old = Says { old: true, ..new };
        let (sized, unknown) = (SizeHint::with_exact(5), SizeHint::default());
        let free = ConnStanding { is_last: false, is_uploading: false };
        for (status, body, asked, standing, close, keep) in [
            (200, &sized, new, free, false, false),
            (200, &unknown, new, free, false, false),
            (200, &sized, Says { close: true, ..new }, free, true, false),
            (200, &sized, new, ConnStanding { is_last: true, ..free }, true, false),
            (200, &sized, new, ConnStanding { is_uploading: true, ..free }, true, false),
            (200, &sized, old, free, true, false),
            (200, &sized, Says { keep_alive: true, ..old }, free, false, true),
            (200, &unknown, Says { keep_alive: true, ..old }, free, true, false),
            (304, &unknown, Says { keep_alive: true, ..old }, free, false, true),
            (101, &unknown, Says { upgrade: true, ..new }, free, false, false),
            (426, &sized, Says { upgrade: true, ..new }, free, false, false),
            (200, &sized, Says { connect: true, ..new }, free, false, false),
            (403, &sized, Says { connect: true, ..new }, free, true, false),
        ] {
            let (parts, ()) = http::Response::builder().status(status).body(()).unwrap().into_parts();
            let shape = settle(&parts, body, &asked, standing);
            assert_eq!((shape.close, shape.keep), (close, keep), "{status} {asked:?}");
        }
    }

    #[test]
    fn a_connection_lingers_whose_client_has_not_asked_for_its_end() {
        let (new, body) = (Says::default(), SizeHint::with_exact(5));
        let free = ConnStanding { is_last: false, is_uploading: false };
        for (status, says_close, asked, lingers) in [
            (200, false, new, false),
            (200, false, Says { close: true, ..new }, false),
            (403, true, new, true),
            (403, false, Says { connect: true, ..new }, true),
            (403, true, Says { connect: true, ..new }, true),
            (200, false, Says { connect: true, ..new }, false),
            (101, true, Says { upgrade: true, ..new }, false),
        ] {
            let mut builder = http::Response::builder().status(status);
            if says_close {
                builder = builder.header("connection", "close");
            }
            let (parts, ()) = builder.body(()).unwrap().into_parts();
            assert_eq!(settle(&parts, &body, &asked, free).lingers, lingers, "{status} {says_close} {asked:?}");
        }
    }
}
