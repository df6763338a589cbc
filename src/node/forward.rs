//! Requests that the cache does not answer: every method but GET and HEAD, those with a body, and those of a connection that
//! belongs to one client.

use super::CacheNode;
use super::answer;
use super::ask::Ask;
use super::body::NodeBody;
use super::collapse::{Collapsed, keep};
use super::counters::add;
use super::exchange::exchange;
use super::fill::{Fate, FillHead};
use super::forgotten::FetchMoment;
use super::settled::Settled;
use crate::net::serve::ClientBody;
use crate::policy;
use crate::wire::fault::Fault;
use crate::wire::status::Fwd;
use http::{Response, response};
use std::rc::Rc;

/// Passes the request on, streaming both ways.
pub async fn serve(node: &Rc<CacheNode>, ask: Ask, body: Option<ClientBody>) -> Result<Response<NodeBody>, Fault> {
    let began = node.begins();
    let settled = exchange(node, &ask, body, None, began).await?;
    add(&node.counters.forwarded, 1);
    answered(node, &ask, settled, began, Fwd::Method).await
}

/// What came back is the answer; what it makes invalid is forgotten before it is seen (RFC 9111 section 4.4).
pub async fn answered(
    node: &Rc<CacheNode>,
    ask: &Ask,
    settled: Settled,
    began: FetchMoment,
    fwd: Fwd,
) -> Result<Response<NodeBody>, Fault> {
    match settled {
        Settled::Through(response, reach, why) => {
            let (head, body) = response.into_parts();
            if invalidate(node, ask, &head).await {
                node.later().await;
            }
            let fwd = if ask.pins.is_some() { Fwd::Bypass } else { fwd };
            Ok(answer::through(node, ask, Response::from_parts(head, body), reach, fwd, why))
        }
        // The answer to a POST that later GETs of the same URL may have (RFC 9110 section 9.3.3).
        Settled::Store(head, body) => {
            // Before its own effect, which is not about itself, and once more after the wait for that.
            let fate = node.fate(began, &ask.key);
            let waits = invalidate(node, ask, &parts(&head)).await;
            let began = node.begins();
            if waits {
                node.later().await;
            }
            let fate = if fate == Fate::Store { node.fate(began, &ask.key) } else { fate };
            let (head, reader) = keep(node, ask, head, body, fate)?;
            Ok(answer::filling(node, ask, &head, reader, fwd, Collapsed::Own))
        }
        Settled::Validated(_) | Settled::Owners | Settled::Stands => Err(super::fill::vanished()),
    }
}

fn parts(head: &FillHead) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.headers) = (head.status, head.headers.clone());
    parts
}

/// Whether groups became invalid, so that whoever tells of it has to wait for a moment ([`CacheNode::later`]).
async fn invalidate(node: &CacheNode, ask: &Ask, response: &response::Parts) -> bool {
    let keys = policy::invalidates(&ask.head.method, &ask.key, response);
    keys.iter().for_each(|key| _ = node.invalidate(key));
    let groups = policy::groups::invalidated(&ask.head.method, response);
    if !groups.is_empty() {
        node.invalidate_groups(&ask.key, &groups);
    }
    if !keys.is_empty() || !groups.is_empty() {
        node.until_kept().await;
    }
    !groups.is_empty()
}
