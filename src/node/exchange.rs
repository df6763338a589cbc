//! One question to the origin, and what its answer means for the cache.

use super::CacheNode;
use super::answered::Answered;
use super::ask::Ask;
use super::complete;
use super::confirm;
use super::fill::Fate;
use super::forgotten::FetchMoment;
use super::outgoing::outgoing;
use super::settled::{Settled, Unstored, stored};
use super::withdrawn::Withdrawal;
use crate::clock;
use crate::net::serve::ClientBody;
use crate::policy::{self, Failure};
use crate::store::Entry;
use crate::wire::fault::Fault;
use http::{Method, StatusCode, header};
use std::sync::Arc;

/// Asks the origin. `stale` is to be validated (its validators then stand in place of the client's conditions) or, where
/// it is a part, to be completed. `began`: when that was looked up; what became invalid since is not stored again.
pub async fn exchange(
    node: &CacheNode,
    ask: &Ask,
    body: Option<ClientBody>,
    stale: Option<&Arc<Entry>>,
    began: FetchMoment,
) -> Result<Settled, Fault> {
    let sent = clock::now();
    let mut settled = ask_origin(node, ask, body, stale, began).await?;
    if let Settled::Through(response, _, why) = &mut settled
        && let Some(withdrawal) = Withdrawal::by(node, ask, response, *why, sent)
    {
        response.extensions_mut().insert(withdrawal);
    }
    Ok(settled)
}

async fn ask_origin(
    node: &CacheNode,
    ask: &Ask,
    body: Option<ClientBody>,
    stale: Option<&Arc<Entry>>,
    began: FetchMoment,
) -> Result<Settled, Fault> {
    let completes = ask.wants_the_whole() && !ask.background;
    let part = stale.and_then(|entry| Some((entry, entry.part().filter(|_| completes)?)));
    if let Some(settled) = match part {
        Some((entry, part)) => complete::exchange(node, ask, entry, part).await?,
        None => None,
    } {
        return Ok(settled);
    }
    let (mut headers, upload) = outgoing(node, ask, body);
    let stale = stale.filter(|_| part.is_none());
    let validating = stale.filter(|entry| stored(entry).validation(&mut headers));
    if let Some(range) = ask.head.headers.get(header::RANGE).filter(|_| keeps_range(ask)) {
        headers.insert(header::RANGE, range.clone());
    }
    let answered = Answered::to(node, ask, &headers, upload).await?;
    let fate = if answered.outdone { Fate::Forget } else { node.fate(began, &ask.key) };
    // What a store says to a HEAD is of its copy: the content of that URL is always the same.
    if ask.head.method == Method::HEAD && ask.pins.is_none() && !ask.key.is_addressed() {
        confirm::heed(node, ask, stale, &answered, fate);
        node.until_kept().await;
    }
    if answered.head.status == StatusCode::NOT_MODIFIED
        && let Some(entry) = validating
    {
        let confirmed = confirm::by(node, ask, entry, &answered, fate);
        node.until_kept().await;
        return confirmed.map(Settled::Validated);
    }
    Ok(match stale.is_some_and(|entry| stands_in(node, ask, entry, answered.head.status)) {
        true => answered.through(Unstored::Failed),
        false => answered.plainly(node, ask),
    })
}

/// Whether what is validated is asked for in part, where it is not the same (RFC 9110 section 13.2.2). A content-addressed store has
/// nothing newer that would be wanted whole, and may have signed for that range alone.
fn keeps_range(ask: &Ask) -> bool {
    ask.key.is_addressed() && !ask.head.headers.contains_key(header::IF_RANGE)
}

/// Whether a stored response is kept in place of an error of the origin, even of one that may be stored: where it may
/// answer instead, this request or others (RFC 5861 section 4), and where nobody waits for what is to renew it (RFC 9111
/// section 4.3.3).
fn stands_in(node: &CacheNode, ask: &Ask, entry: &Entry, status: StatusCode) -> bool {
    let allowed = || {
        let (terms, now) = (node.terms(ask, entry), clock::now());
        let this = policy::stale_if_error(&ask.head, &terms, Failure::Status(status), now).is_some();
        this || policy::outlasts(&terms, status, now)
    };
    status.is_server_error() && (ask.background || allowed())
}
