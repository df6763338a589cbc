//! Error answers: problem details (RFC 9457).

use crate::cluster::membership::members::{ChangeError, ChangeRefusal};
use crate::net::web;
use crate::wire::fault::Fault;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::borrow::Cow;

pub type AdminReply = Response<Full<Bytes>>;

/// What went wrong: a status, and a sentence that names the cure.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: Cow<'static, str>,
    field: Option<(HeaderName, &'static str)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { status, detail: detail.into(), field: None }
    }

    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// `allow`: the methods that there are.
    pub fn method(allow: &'static str) -> Problem {
        let detail = format!("here are {allow} only");
        Problem { field: Some((ALLOW, allow)), ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    pub fn unauthorized() -> Problem {
        let detail = "send \"Authorization: Bearer TOKEN\" with the token of [admin] in the configuration";
        let field = Some((WWW_AUTHENTICATE, "Bearer realm=\"ringhold admin\""));
        Problem { field, ..Problem::new(StatusCode::UNAUTHORIZED, detail) }
    }

    pub fn into_reply(self) -> AdminReply {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body =
            json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail});
        let mut reply = reply(self.status, "application/problem+json", format!("{body}\n"));
        if let Some((name, value)) = self.field {
            reply.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        reply
    }
}

/// An answer that nobody keeps.
pub fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> AdminReply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    web::keep_from_pages(reply.headers_mut());
    reply
}

pub fn json(status: StatusCode, body: &Value) -> AdminReply {
    reply(status, "application/json", format!("{body}\n"))
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::Unavailable(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why),
            ChangeError::NotSaved { .. } => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<ChangeRefusal> for Problem {
    fn from(refusal: ChangeRefusal) -> Problem {
        let status = match refusal {
            ChangeRefusal::Unknown(_) => StatusCode::NOT_FOUND,
            ChangeRefusal::Duplicate(_)
            | ChangeRefusal::AddressTaken { .. }
            | ChangeRefusal::Leaving(_)
            | ChangeRefusal::CannotSpawn(_) => StatusCode::CONFLICT,
            ChangeRefusal::Bad(_)
            | ChangeRefusal::Weight { .. }
            | ChangeRefusal::TooManyPoints { .. }
            | ChangeRefusal::TooManySpawned { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Problem::new(status, refusal.to_string())
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::new(fault.status, fault.detail)
    }
}
