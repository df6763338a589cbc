//! Validates in the background what was just served stale (RFC 5861 section 3): each variant once, whoever else asks
//! meanwhile and however.

use super::CacheNode;
use super::ask::Ask;
use super::collapse::{Got, join_or_lead};
use super::fill::{Fate, Sharing};
use super::forgotten::FetchMoment;
use super::refreshes::Variant;
use super::withdrawn;
use crate::clock::tick;
use crate::store::Entry;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Begins one for what this request was answered with, unless it is not its turn.
pub fn begin(node: &Rc<CacheNode>, ask: &Ask, stale: &Arc<Entry>) {
    let variant = variant(ask, stale);
    if !node.refreshes.begin(variant, tick()) {
        return;
    }
    let running = RefreshGuard { node: node.clone(), variant, renewed: Cell::new(false) };
    let (ask, stale, began) = (Rc::new(ask.for_everyone(&stale.terms)), stale.clone(), node.begins());
    tokio::task::spawn_local(async move { running.renewed.set(renew(&running.node, &ask, stale, began).await) });
}

/// Whether it could not be renewed just now: the origin is left alone for a moment.
pub fn rests(node: &CacheNode, ask: &Ask, stale: Option<&Entry>) -> bool {
    stale.is_some_and(|stale| node.refreshes.rests(variant(ask, stale), tick()))
}

/// It could not be renewed by who has waited for that.
pub fn failed(node: &CacheNode, ask: &Ask, stale: Option<&Entry>) {
    stale.into_iter().for_each(|stale| node.refreshes.failed(variant(ask, stale), tick()));
}

async fn renew(node: &Rc<CacheNode>, ask: &Rc<Ask>, stale: Arc<Entry>, began: FetchMoment) -> bool {
    // It was purged before this task had its turn: there is nothing to be renewed.
    if node.fate(began, &ask.key) == Fate::Forget {
        return false;
    }
    match join_or_lead(node, ask, Some(stale)).await {
        Ok(Got::Filling(_, reader, _)) if reader.fate() == Fate::Store => reader.follow_to_the_end().await,
        Ok(Got::Validated(confirmed, _)) => confirmed.kept == Sharing::Stored,
        // Whoever answers there has not proved to be the origin: what that one has said is not answered in its place.
        Err(fault) if fault.kind.is_of_tls() => {
            node.store.remove(&ask.key);
            false
        }
        Ok(Got::Through(response, ..)) => {
            withdrawn::by_what_nobody_reads(node, response).await;
            false
        }
        _ => false,
    }
}

/// Ends its turn however its task ends.
struct RefreshGuard {
    node: Rc<CacheNode>,
    variant: Variant,
    renewed: Cell<bool>,
}

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        self.node.refreshes.end(self.variant, self.renewed.get(), tick());
    }
}

fn variant(ask: &Ask, entry: &Entry) -> Variant {
    let mut hash = Xxh3::new();
    for text in [entry.key(), entry.vary(), entry.selecting()] {
        hash.update(&text.len().to_le_bytes());
        hash.update(text);
    }
    hash.update(&[entry.mark as u8]);
    Variant { hash: hash.digest(), origin: ask.key.origin_hash() }
}
