//! Why a response was not stored, in sentences for people.

use crate::wire::status::Fwd;

/// Why a response may not be stored; each names the field that forbade it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    Method,
    /// A GET with a body.
    RequestContent,
    Status,
    RequestNoStore,
    NoStore,
    Private,
    Authorization,
    VaryStar,
    NoFreshness,
    /// Not fresh, and without a validator.
    Stale,
    /// Every reuse would need a validation, and it has no validator.
    NoCacheWithoutValidator,
    SetCookie,
    /// By https, whoever is known by it.
    Cookie,
    Partial,
    MustUnderstand,
    /// What is not there yet, at a host where it may be a moment later.
    NotFound,
    /// Of a content-addressed store, and not all of a content.
    NotContent,
    /// Of such a store, which could not be asked whether another client may have it.
    ContentWithoutValidator,
}

/// What to do with a request for which something is stored (or not).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the store as it is (a 304 to the client's own condition is [`Stored::is_not_modified`]'s matter).
    Serve { ttl: i64 },
    /// Answer from the store although it is stale, and validate it once in the background (RFC 5861 section 3).
    ServeStale { ttl: i64 },
    /// Ask the origin whether what is stored is still good.
    Validate { fwd: Fwd, ttl: i64 },
    /// Pass it on.
    Forward { fwd: Fwd },
    /// `only-if-cached` and nothing usable: 504.
    OnlyIfCached,
}

impl NotStored {
    /// One sentence that cites the section of RFC 9111: usable in `Cache-Status; detail=` and explanations.
    pub fn reason(&self) -> &'static str {
        match self {
            NotStored::Method => {
                "only answers to GET are stored, and to a POST with explicit freshness and its own URL as Content-Location (RFC 9111 section 3)"
            }
            NotStored::RequestContent => "the GET had a body, which is no part of the key (RFC 9110 section 9.3.1)",
            NotStored::Status => "answers with this status are not stored (RFC 9111 section 3)",
            NotStored::RequestNoStore => "Cache-Control of the request says no-store (RFC 9111 section 5.2.1.5)",
            NotStored::NoStore => "Cache-Control of the response says no-store (RFC 9111 section 5.2.2.5)",
            NotStored::Private => "Cache-Control of the response says private (RFC 9111 section 5.2.2.7)",
            NotStored::Authorization => {
                "the request had Authorization, and Cache-Control of the response says neither public, must-revalidate nor s-maxage (RFC 9111 section 3.5)"
            }
            NotStored::VaryStar => {
                "Vary of the response has *, or a member that is no field name (RFC 9111 section 4.1)"
            }
            NotStored::NoFreshness => {
                "the response says neither how long it is fresh (max-age, s-maxage, Expires) nor has it a Last-Modified or ETag, or its status is one that only the first allows to store (RFC 9111 section 3)"
            }
            NotStored::Stale => {
                "the response was stale when it came, and has no ETag or Last-Modified to validate it with (RFC 9111 section 4.3.1)"
            }
            NotStored::NoCacheWithoutValidator => {
                "Cache-Control of the response says no-cache, and it has no ETag or Last-Modified to validate it with (RFC 9111 section 5.2.2.4)"
            }
            NotStored::SetCookie => {
                "the response has Set-Cookie and no explicit freshness that allows reuse (RFC 9111 section 7.3)"
            }
            NotStored::Cookie => {
                "the request had a Cookie, by https, and Cache-Control of the response says neither public nor s-maxage"
            }
            NotStored::Partial => "the response is a part (206) of a whole that is not stored (RFC 9111 section 3.3)",
            NotStored::MustUnderstand => {
                "Cache-Control says must-understand, and this status is not understood (RFC 9111 section 5.2.2.3)"
            }
            NotStored::NotFound => {
                "nothing is there now, and at this host it may be a moment later (its preset's rule)"
            }
            NotStored::NotContent => {
                "its URL names a content by its SHA-256, of which only the whole is stored (200 to a GET; its preset's rule)"
            }
            NotStored::ContentWithoutValidator => {
                "its URL names a content by its SHA-256, and it has no ETag or Last-Modified to ask the store with whether another client may have it (its preset's rule)"
            }
        }
    }

    /// What whoever runs the origin (or sends the request) can do to have it stored, where something can be done.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            NotStored::RequestContent => "send the GET without a body",
            NotStored::RequestNoStore => "without no-store in the request it may be stored",
            NotStored::NoStore => {
                "if it only has to be checked each time, send no-cache and an ETag in place of no-store"
            }
            NotStored::Private => "if it is the same for everyone, send public or s-maxage in place of private",
            NotStored::Authorization => {
                "if it is the same for everyone, send public, or s-maxage with a number of seconds"
            }
            NotStored::VaryStar => "name the request fields that the response depends on, in place of *",
            NotStored::NoFreshness => "send max-age with a number of seconds, or an ETag to check it with",
            NotStored::Stale => "send a longer max-age than the Age that it comes with, or an ETag to check it with",
            NotStored::NoCacheWithoutValidator => {
                "send an ETag, so that it can be checked without being sent again; or max-age in place of no-cache"
            }
            NotStored::SetCookie => {
                "if everyone may get that cookie, send max-age too; no-cache=\"set-cookie\" has all but the cookie stored"
            }
            NotStored::Cookie => "if it is the same for everyone, send public, or s-maxage with a number of seconds",
            NotStored::Partial => "send one part only, with a Content-Range that tells the length of the whole",
            NotStored::ContentWithoutValidator => {
                "send an ETag, so that others can be let have it without being sent it again"
            }
            NotStored::Method
            | NotStored::Status
            | NotStored::MustUnderstand
            | NotStored::NotFound
            | NotStored::NotContent => return None,
        })
    }

    /// Whether it was the request, not the response, that forbade it: what is stored may then stay as it was.
    pub fn is_the_requests(&self) -> bool {
        matches!(
            self,
            NotStored::Method
                | NotStored::RequestContent
                | NotStored::RequestNoStore
                | NotStored::Authorization
                | NotStored::Cookie
        )
    }
}
