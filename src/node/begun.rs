//! The beginning of an answer whose body may break off: what is known by then is said in the head, and the rest so that
//! the front is told whose fault it was (docs/link.md, Whose fault it was).

use super::body::{Begun, NodeBody, PartsRest, Patience, SMALL};
use crate::wire::fault::{Blame, Fault};
use crate::wire::status::{self, proxy_status};
use crate::wire::{length, link};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use http_body::Body;
use std::collections::VecDeque;
use std::time::Duration;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What is to be done where an answer is known to break off before anything of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Else {
    /// It is sent as far as it came; where nothing of its body did, an error is.
    Nothing,
    /// It is sent as far as it came, its head at least: that says what has been changed, which others have to forget.
    Head,
    /// Another answer takes its place: a first piece of it is waited for, however long it is to be.
    Another,
}

/// Waits for what can be known at once of an answer's body: it may be an error before anything is sent, or said in the head.
/// `node`: by whose name; `told`: a front asks, or a node, and is told how the body ends.
pub async fn begin(
    node: &str,
    response: Response<NodeBody>,
    told: bool,
    wait: Duration,
    otherwise: Else,
) -> Result<Response<NodeBody>, Fault> {
    if !response.body().may_break() || response.body().is_end_stream() {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let length = length::said(&head.headers).or(body.size_hint().exact());
    let (pieces, rest, sized) = (VecDeque::new(), PartsRest::More(Box::new(body)), length.is_some());
    let mut begun = Begun { pieces, gathered: 0, rest, sized, told };
    let patience = match otherwise {
        _ if length.is_some_and(|length| length <= SMALL) => Patience::All,
        Else::Another => Patience::First,
        Else::Nothing | Else::Head => Patience::None,
    };
    begun.gather(patience, wait).await;
    match begun.rest {
        PartsRest::Broken(blame) if otherwise == Else::Another => return Err(blame.fault()),
        PartsRest::Broken(blame) if begun.pieces.is_empty() && otherwise == Else::Nothing => return Err(blame.fault()),
        PartsRest::Broken(blame) => {
            say(node, blame, told, &mut head.headers);
            status::drop_stored(&mut head.headers);
        }
        PartsRest::Over => begun.told = false,
        PartsRest::More(_) => {}
    }
    if begun.told
        && let Some(length) = length
    {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.insert(link::LENGTH, HeaderValue::from(length));
    }
    Ok(Response::from_parts(head, NodeBody::Begun(begun)))
}

/// Says how an answer ends before it begins (RFC 9209 section 2.3.2: not only for answers that we make).
fn say(node: &str, blame: Blame, told: bool, headers: &mut HeaderMap) {
    headers.append(PROXY_STATUS, proxy_status(node, &blame.fault()));
    if told {
        mark(blame, headers);
    }
}

/// Says whose fault an answer tells of, for the front's log.
pub fn mark(blame: Blame, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(blame.to_string()) {
        headers.insert(link::FAULT, value);
    }
}
