//! What an answer says of its connection, by what its request was (RFC 9112 sections 6.3, 9.3 and 9.6; RFC 9931).

use super::state::State;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::ext::ReasonPhrase;

/// What a request asks of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    old: bool,
    keep: bool,
    connect: bool,
    head: bool,
}

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Open,
    Close,
    /// The same, and the end of the connection is the end of the answer.
    CloseDelimits,
}

impl Manners {
    pub(super) fn of<B>(request: &Request<B>) -> Manners {
        let old = request.version() < Version::HTTP_11;
        Manners {
            old,
            keep: !old || (says(request.headers(), "keep-alive") && !says(request.headers(), "close")),
            connect: request.method() == Method::CONNECT,
            head: request.method() == Method::HEAD,
        }
    }

    /// Has the answer say what becomes of the connection.
    pub(super) fn settle<B: Body>(self, response: &mut Response<B>, state: &State) -> After {
        let status = response.status();
        if status.canonical_reason().is_none() && response.extensions().get::<ReasonPhrase>().is_none() {
            // hyper has a word of its own for that, which is none of the origin's.
            response.extensions_mut().insert(ReasonPhrase::from_static(b""));
        }
        let granted = self.connect && status.is_success();
        if granted || status == StatusCode::SWITCHING_PROTOCOLS {
            return After::Open;
        }
        if self.connect {
            // What follows was meant for somebody else (RFC 9931 section 4): it is read and thrown away.
            state.body_given_up();
        }
        let is_last = self.connect || state.is_uploading() || says(response.headers(), "close");
        let bodiless = self.head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let sized = bodiless
            || response.headers().contains_key(CONTENT_LENGTH)
            || response.body().size_hint().exact().is_some();
        let after = match (self.old, is_last || !self.keep, sized) {
            (true, _, false) => After::CloseDelimits,
            (true, false, true) | (false, false, _) => After::Open,
            (_, true, _) => After::Close,
        };
        match (after, self.old) {
            (After::Open, false) => {}
            (After::Open, true) => set(response, "keep-alive"),
            (_, false) => set(response, "close"),
            (_, true) => {
                set(response, "close");
                // Else hyper adds `keep-alive`.
                *response.version_mut() = Version::HTTP_10;
            }
        }
        after
    }
}

fn set<B>(response: &mut Response<B>, option: &'static str) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static(option));
}

fn says(headers: &HeaderMap, option: &str) -> bool {
    crate::wire::list::has_token(headers, &CONNECTION, option)
}
