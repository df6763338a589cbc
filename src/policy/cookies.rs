//! What cookies have to do with storing what came by https: there they say who somebody is, and origins write for that.
//!
//! By http a `Set-Cookie` is stored where the response says itself that it may be reused (RFC 9111 section 7.3). By https it
//! never is, and who is known by a `Cookie` is no reason to believe that the answer is for others as well.

use super::reason::NotStored;
use super::terms::{Marks, Terms};
use crate::wire::field::FieldId;
use crate::wire::view::{FieldView, RequestView};
use http::{HeaderMap, header};

/// Whether the answer to this request, which may be stored on these terms, may be so where it came by https.
pub fn allow(req: &(impl RequestView + ?Sized), terms: &Terms) -> Result<(), NotStored> {
    let for_everyone = terms.marks.has(Marks::PUBLIC) || terms.marks.has(Marks::S_MAXAGE);
    match req.fields().has(FieldId::Cookie) && !for_everyone {
        true => Err(NotStored::Cookie),
        false => Ok(()),
    }
}

/// Takes out what only the client whose request was sent is to see.
pub fn withhold(headers: &mut HeaderMap) -> HeaderMap {
    let mut withheld = HeaderMap::new();
    for line in headers.get_all(header::SET_COOKIE) {
        withheld.append(header::SET_COOKIE, line.clone());
    }
    headers.remove(header::SET_COOKIE);
    withheld
}
