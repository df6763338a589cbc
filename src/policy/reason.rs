//! Why a response was not stored, in sentences for people.

use super::NotStored;

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
                "the response says neither how long it is fresh (max-age, s-maxage, Expires) nor has it a Last-Modified or ETag (RFC 9111 section 3)"
            }
            NotStored::Stale => {
                "the response was stale when it came, or says no-cache, and has no ETag or Last-Modified to validate it with (RFC 9111 section 4.3.1)"
            }
            NotStored::SetCookie => {
                "the response has Set-Cookie and no explicit freshness that allows reuse (RFC 9111 section 7.3)"
            }
            NotStored::Partial => "the response is a part (206) of a whole that is not stored (RFC 9111 section 3.3)",
            NotStored::MustUnderstand => {
                "Cache-Control says must-understand, and this status is not understood (RFC 9111 section 5.2.2.3)"
            }
        }
    }

    /// Whether it was the request, not the response, that forbade it: what is stored may then stay as it was.
    pub fn is_the_requests(&self) -> bool {
        matches!(
            self,
            NotStored::Method | NotStored::RequestContent | NotStored::RequestNoStore | NotStored::Authorization
        )
    }
}
