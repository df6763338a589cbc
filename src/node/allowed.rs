//! Reading along what a content-addressed store sends to another client: once the store has said, to this one's own URL, that it
//! may have the same.

use super::CacheNode;
use super::answered::Answered;
use super::ask::Ask;
use super::collapse::{Collapsed, Got, own};
use super::fill::{Fate, Fill, FillHead, FillStage};
use super::fitting::{fits, is_shared, may_fit};
use super::outgoing::outgoing;
use crate::policy::variants::Selection;
use crate::policy::{self, Stored};
use crate::wire::fault::Fault;
use http::StatusCode;
use std::rc::Rc;
use tokio::time::timeout;

/// `None`: nothing is on its way that could be read along; it has to be asked for alone.
pub async fn read_along(node: &Rc<CacheNode>, ask: &Rc<Ask>) -> Result<Option<Got>, Fault> {
    if !policy::requests::may_lead(&ask.head) {
        return Ok(None);
    }
    let began = node.begins();
    let Some(fill) = under_way(node, ask) else { return Ok(None) };
    // Who began it may leave meanwhile.
    let _ticket = fill.ticket();
    // The store is asked about what it has answered with: so that answer is waited for, as all wait for another's.
    let Ok(FillStage::Streaming(head)) = timeout(node.config.timeouts.collapse, fill.outcome()).await else {
        return Ok(None);
    };
    if !is_open(node, &fill, &head, ask) {
        return Ok(None);
    }
    let (mut headers, upload) = outgoing(node, ask, None);
    let streamed = Stored { terms: &head.terms, status: head.status, fields: &head.headers };
    if !streamed.validation(&mut headers) {
        return Ok(None);
    }
    let answered = Answered::to(node, ask, &headers, upload).await?;
    if answered.head.status != StatusCode::NOT_MODIFIED {
        return own(node, ask, answered.plainly(node, ask), began).map(Some);
    }
    let reader = if fill.fate() == Fate::Store { fill.reader(&head) } else { None };
    // What was purged, or has come to its end, is looked for again.
    Ok(Some(reader.map_or(Got::Again, |reader| Got::Filling(head, reader, Collapsed::Collapsed))))
}

fn under_way(node: &CacheNode, ask: &Ask) -> Option<Rc<Fill>> {
    let wanted = Selection::of(&ask.head.headers);
    node.fills.of(&ask.key).into_iter().find(|fill| match fill.stage() {
        _ if !is_shared(fill, ask) => false,
        FillStage::Asking => may_fit(fill, &wanted) && fill.age() < node.config.timeouts.collapse,
        FillStage::Streaming(head) => is_open(node, fill, &head, ask),
        _ => false,
    })
}

/// Whether it is what this request selects, and moves.
fn is_open(node: &CacheNode, fill: &Fill, head: &FillHead, ask: &Ask) -> bool {
    fits(head, &Selection::of(&ask.head.headers)) && !fill.is_quiet(node.config.timeouts.collapse)
}
