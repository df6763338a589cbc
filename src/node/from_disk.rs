//! What memory does not have and the disk may: read before a request is decided, and put into memory again.

use super::CacheNode;
use super::ask::{Ask, Asker};
use super::begun::{self, Else};
use super::body::NodeBody;
use super::collapse::{self, Adoption};
use super::fill::Fate;
use crate::store::{Entry, FarGone, Shelf};
use crate::wire::fault::Kind;
use http::Response;
use std::rc::Rc;
use std::sync::Arc;

/// What lies on disk under the URL, where memory has nothing that the request selects (`is_missing`).
pub async fn where_missing(node: &Rc<CacheNode>, ask: &Ask, is_missing: bool) -> Option<Shelf> {
    match is_missing && node.on_disk(&ask.key) {
        // It is rare, and a future is as large as the largest that it may wait for.
        true => Box::pin(bring(node, ask)).await,
        false => None,
    }
}

/// An answer whose body lies in a file, as far as it can be begun.
pub async fn begun(
    node: &CacheNode,
    ask: &Ask,
    entry: &Arc<Entry>,
    response: Response<NodeBody>,
) -> Result<Response<NodeBody>, FarGone> {
    let disk = node.disk.as_ref().ok_or(FarGone::Lost)?;
    if !entry.far().is_some_and(|far| disk.has_body(&ask.key, far.number())) {
        node.store.take_out(&ask.key, entry);
        return Err(FarGone::Lost);
    }
    disk.used(&ask.key);
    // Its first piece is there by then, or late.
    let wait = 2 * node.config.timeouts.disk;
    let begun = begun::begin(&node.id, response, ask.asker == Asker::Front, wait, Else::Another).await;
    begun.map_err(|fault| match fault.kind {
        Kind::ConnectionReadTimeout => FarGone::Late,
        // It is there all the same.
        Kind::ConnectionLimitReached => FarGone::Lacking,
        _ => {
            node.store.take_out(&ask.key, entry);
            disk.body_is_gone(&ask.key, entry);
            FarGone::Lost
        }
    })
}

/// As far as it may be answered with; of many who ask one reads. `None`: nothing lies there.
async fn bring(node: &Rc<CacheNode>, ask: &Ask) -> Option<Shelf> {
    let disk = node.disk.as_ref()?;
    if disk.joins(&ask.key).await
        && let Some(shelf) = node.store.get(&ask.key)
    {
        return Some(shelf);
    }
    let began = node.begins();
    let (found, _reading) = disk.read(&ask.key).await?;
    // While this node was away another stood in for it, and may have got a newer one: whoever asks, and for whatever of it.
    let asks = ask.peer.as_ref().is_some_and(|peer| !peer.owns);
    let adopted = match found.iter().find(|entry| disk.is_of_before(entry)).filter(|_| asks) {
        Some(entry) => collapse::adopt(node, &Ask { peer: ask.peer.clone(), ..ask.for_everyone(&entry.terms) }).await,
        None => Adoption::Unknown,
    };
    if adopted == Adoption::Stored {
        return node.store.get(&ask.key);
    }
    if node.fate(began, &ask.key) == Fate::Forget {
        return None;
    }
    let mut shelf = node.store.get(&ask.key);
    let newer = shelf.clone();
    // As they came: a whole takes the place of what was there of its variant, and a part is put to the parts that it touches.
    for entry in found.into_iter().rev() {
        let is_as_good = adopted == Adoption::Lacking;
        let entry = if is_as_good { node.as_of_now(ask, &entry).unwrap_or(entry) } else { entry };
        // What memory has meanwhile is newer than what is found.
        if newer.as_ref().is_some_and(|newer| newer.has_variant(&entry)) {
            continue;
        }
        shelf = Some(match shelf {
            Some(shelf) => shelf.with(entry.clone(), node.store.limits()),
            None => Shelf::One(Arc::clone(&entry)),
        });
        if entry.body().is_far() || entry.body().len() <= node.config.cache.max_object {
            node.store.put(&ask.key, entry);
        }
    }
    shelf
}
