//! Interim responses (RFC 9110 section 15.2). They are optional, and the connection writes them before anything else.

use super::says::Says;
use super::state::ConnState;
use crate::wire::written::{field, status_line};
use http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Sends interim responses to whoever waits for the answer to one request. Does nothing once that answer has begun, or
/// its connection is gone.
#[derive(Clone, Debug)]
pub struct Interim {
    state: Arc<ConnState>,
    /// Which request of the connection it was.
    exchange: u32,
    /// Whether its sender knows them: HTTP/1.0 has none (RFC 9110 section 15.2).
    known: bool,
}

impl Interim {
    /// For the exchange that is about to begin.
    pub(super) fn of_next(state: &Arc<ConnState>, says: &Says) -> Interim {
        Interim { state: state.clone(), exchange: state.exchange().wrapping_add(1), known: !says.old }
    }

    /// Whether the connection was ended because its peer took nothing, or sent nothing, for too long.
    pub fn has_stalled(&self) -> bool {
        self.state.has_stalled()
    }

    /// All of the request has come, and has been read.
    pub(super) fn has_sent_all(&self) -> bool {
        !self.state.is_uploading()
    }

    /// `status` is 1xx, but not 101.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        if self.known && status.is_informational() {
            self.state.say_meanwhile(self.exchange, || message(status, headers));
        }
    }

    /// The client may send its body.
    pub(super) fn go_on(&self) {
        self.send(StatusCode::CONTINUE, &HeaderMap::new());
    }
}

fn message(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut message = Vec::with_capacity(256);
    status_line(&mut message, status, None);
    // RFC 9110 section 8.6, RFC 9112 section 6.1: there is nothing whose end they could tell.
    let is_framing = |name: &HeaderName| *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING;
    for (name, value) in headers.iter().filter(|(name, _)| !is_framing(name)) {
        field(&mut message, name.as_str().as_bytes(), value.as_bytes());
    }
    message.extend_from_slice(b"\r\n");
    message
}
