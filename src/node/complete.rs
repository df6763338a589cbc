//! Completing a stored part: only what is missing is asked for (RFC 9111 sections 3.3 and 3.4).

use super::CacheNode;
use super::answered::Answered;
use super::ask::Ask;
use super::fill::{FillHead, PartPlace, Seed};
use super::outgoing::outgoing;
use super::settled::{Settled, mark, stored};
use super::source::FillSource;
use super::spill::Spill;
use crate::policy::groups::Named;
use crate::policy::{self, Part};
use crate::store::Entry;
use crate::wire::fault::Fault;
use http::{StatusCode, header};
use std::rc::Rc;
use std::sync::Arc;

/// Asks for what a stored part misses. `None` where what came does not fit it: then the whole is to be asked for.
pub async fn exchange(node: &CacheNode, ask: &Ask, entry: &Arc<Entry>, part: &Part) -> Result<Option<Settled>, Fault> {
    let Some(missing) = policy::parts::rest(&stored(entry), part) else { return Ok(None) };
    let spill = match &node.disk {
        Some(disk) if entry.body().is_far() => Spill::resume(disk, &ask.key, entry, part.whole).map(Rc::new),
        _ => None,
    };
    // What lies in a file is completed there, from its last whole block on.
    let missing = match &spill {
        Some(spill) => spill.readable()..part.whole,
        None if entry.body().is_far() || part.whole > node.config.cache.max_object => return Ok(None),
        None => missing,
    };
    let (mut headers, _) = outgoing(node, ask, None);
    policy::parts::completion(&stored(entry), &missing, part.whole, &mut headers);
    let answered = Answered::to(node, ask, &headers, None).await?;
    match answered.head.status {
        StatusCode::PARTIAL_CONTENT
            if policy::parts::completes(&stored(entry), &missing, part.whole, &answered.head) =>
        {
            Ok(completed(node, ask, (entry, spill), part, answered))
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_MODIFIED => {
            // Not to be tried each time, where the whole may not be stored.
            node.store.take_out(&ask.key, entry);
            node.disk.iter().for_each(|disk| _ = disk.forget(&ask.key));
            Ok(None)
        }
        _ => Ok(Some(answered.settle(node, ask))),
    }
}

/// The whole, of which the body brings only the rest.
fn completed(
    node: &CacheNode,
    ask: &Ask,
    (entry, spill): (&Arc<Entry>, Option<Rc<Spill>>),
    part: &Part,
    answered: Answered,
) -> Option<Settled> {
    let mut headers = entry.headers(answered.head.headers.len() + 1);
    let fresh = &answered.head.headers;
    let (sent, received) = (answered.sent, answered.received);
    let all = policy::freshen(&node.rules.of(&ask.key), &ask.head, StatusCode::OK, &mut headers, fresh, sent, received);
    let (terms, withheld) = (all.terms.ok()?, all.withheld);
    if !node.origins.allows(&headers) {
        return None;
    }
    headers.insert(header::CONTENT_LENGTH, part.whole.into());
    let selecting = policy::variants::selecting(&headers, &ask.head.headers)?;
    let place = if part.at.start == 0 { PartPlace::Before } else { PartPlace::Behind };
    let groups = Named::of(&ask.key, &headers);
    let head = FillHead {
        status: StatusCode::OK,
        reason: None,
        headers,
        withheld,
        terms,
        sent,
        groups,
        mark: entry.mark.and(mark(answered.reach)),
        selecting,
        length: Some(part.whole),
        seed: Some(Box::new(Seed { entry: entry.clone(), place, spill })),
        peer: None,
        outdone: answered.outdone,
    };
    Some(Settled::Store(head, FillSource::Origin(answered.body)))
}
