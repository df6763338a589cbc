//! A part of what is still on its way into a file of the disk: what has come is answered, and the rest of the part as it comes. Of
//! what begins further on the origin is asked.

use super::CacheNode;
use super::answer;
use super::ask::Ask;
use super::body::NodeBody;
use super::collapse::Collapsed;
use super::counters::add;
use super::fill::{Fill, FillStage};
use super::fitting::{fits, is_fresh, is_shared};
use crate::clock;
use crate::policy::ranges::{self, content_range};
use crate::policy::variants::Selection;
use crate::policy::{Ranged, Stored};
use crate::wire::field::Traits;
use crate::wire::status::Fwd;
use crate::wire::view::FieldView;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use std::rc::Rc;

pub fn answer(node: &CacheNode, ask: &Ask) -> Option<Response<NodeBody>> {
    node.disk.as_ref()?;
    let headers = &ask.head.headers;
    let is_plain = ask.head.method == Method::GET && headers.contains_key(header::RANGE);
    if !is_plain || ask.hop.upgrade.is_some() || is_conditional(headers) {
        return None;
    }
    node.fills.of(&ask.key).iter().find_map(|fill| of(node, ask, fill))
}

/// By anything but `If-Range`.
fn is_conditional(headers: &http::HeaderMap) -> bool {
    let mut others = headers.clone();
    others.remove(header::RANGE);
    others.remove(header::IF_RANGE);
    others.has_any(Traits::CONDITION)
}

fn of(node: &CacheNode, ask: &Ask, fill: &Rc<Fill>) -> Option<Response<NodeBody>> {
    let FillStage::Streaming(head) = fill.stage() else { return None };
    if !fill.is_spilled()
        || !is_shared(fill, ask)
        || head.terms.is_for_each()
        || !fits(&head, &Selection::of(&ask.head.headers))
        || !is_fresh(&head, ask)
    {
        return None;
    }
    let length = head.length?;
    let stored = Stored { terms: &head.terms, status: head.status, fields: &head.headers };
    let Ranged::Part(part) = ranges::of(&ask.head, &stored, length, clock::now()) else { return None };
    if part.start >= fill.received() {
        return None;
    }
    let said = HeaderValue::try_from(content_range(Some(&part), length)).ok()?;
    let reader = fill.reader(&head)?.part(part);
    let mut response = answer::filling(node, ask, &head, reader, Fwd::Partial, Collapsed::Collapsed);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response.headers_mut().insert(header::CONTENT_RANGE, said);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    add(&node.counters.collapsed, 1);
    Some(response)
}
