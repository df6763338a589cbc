//! Parts of a stored whole (RFC 9110 section 14): 206 with one or several, or 416.

use super::body::{NodeBody, PartsPiece, respond};
use super::random::random;
use super::settled::stored;
use crate::policy::ranges::{content_range, multipart};
use crate::policy::{Part, Ranged, parts};
use crate::store::{Entry, StoredBody};
use crate::wire::date::Timestamp;
use crate::wire::link;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode, request};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The answer to a range request, with the fields of the whole. The fields back: the whole is the answer.
pub fn answer(entry: &Arc<Entry>, mut headers: HeaderMap, wanted: Ranged) -> Result<Response<NodeBody>, HeaderMap> {
    let length = entry.body().len();
    match wanted {
        Ranged::Whole => Err(headers),
        Ranged::Part(part) => {
            set(&mut headers, header::CONTENT_RANGE, content_range(Some(&part), length));
            headers.remove(header::CONTENT_LENGTH);
            let body = NodeBody::Stored(StoredBody::new(entry, part.clone()));
            Ok(respond(StatusCode::PARTIAL_CONTENT, headers, body))
        }
        Ranged::Parts(parts) => Ok(several(entry, headers, &parts)),
        Ranged::Refused => {
            let mut own = refusal(&headers);
            set(&mut own, header::CONTENT_RANGE, content_range(None, length));
            Ok(respond(StatusCode::RANGE_NOT_SATISFIABLE, own, NodeBody::Empty))
        }
    }
}

/// The fields of a 416: it is another response than the stored one, whose freshness, validators and cookies are not its.
fn refusal(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::with_capacity(4);
    for name in [header::CACHE_STATUS, header::ACCEPT_RANGES, link::REACH] {
        for line in headers.get_all(&name) {
            own.append(name.clone(), line.clone());
        }
    }
    own
}

/// The answer to a range request from a stored part that has it.
pub fn of_part(
    entry: &Arc<Entry>,
    part: &Part,
    mut headers: HeaderMap,
    req: &request::Parts,
    now: Timestamp,
) -> Response<NodeBody> {
    let wanted = parts::wanted(req, &stored(entry), part, now).unwrap_or_else(|| part.at.clone());
    set(&mut headers, header::CONTENT_RANGE, content_range(Some(&wanted), part.whole));
    let (at, end) = (wanted.start - part.at.start, wanted.end - part.at.start);
    let body = NodeBody::Stored(StoredBody::new(entry, at..end));
    respond(StatusCode::PARTIAL_CONTENT, headers, body)
}

fn several(entry: &Arc<Entry>, mut headers: HeaderMap, parts: &[Range<u64>]) -> Response<NodeBody> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let boundary = format!("{:016x}{:016x}", random(), random());
    let frame = multipart(parts, entry.body().len(), kind, &boundary);
    set(&mut headers, header::CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}"));
    headers.remove(header::CONTENT_LENGTH);
    let mut pieces = VecDeque::with_capacity(parts.len() * 2 + 1);
    for (head, part) in frame.heads.into_iter().zip(parts) {
        pieces.push_back(PartsPiece::Text(head.into()));
        pieces.push_back(PartsPiece::Of(StoredBody::new(entry, part.clone())));
    }
    pieces.push_back(PartsPiece::Text(frame.tail.into()));
    respond(StatusCode::PARTIAL_CONTENT, headers, NodeBody::Pieces(pieces))
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
