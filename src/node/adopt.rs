//! What another node is about to give up is fetched from there while it is (docs/link.md, Hand-over at the end). No origin
//! is asked, and nobody waits for it.

use super::CacheNode;
use super::ask::{Ask, Asker};
use super::body::NodeBody;
use super::peer::RemotePeer;
use super::{answer, collapse};
use crate::clock;
use crate::cluster::membership::heirs::{Adopt, Adopted, Giver, HeldAnswer, Takers};
use crate::config::Address;
use crate::net::serve::ClientBody;
use crate::policy::Decision;
use crate::store::Entry;
use crate::wire::target::Key;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A batch of invalidations, or of what is to be adopted, is at most this large.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// So many are fetched at once.
const AT_ONCE: usize = 8;
/// A node that did not answer in time is left alone for a moment; what is to be had there is tried again so often.
const TRIES: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

/// Fetches a batch; answers when that is done.
pub async fn serve(node: &Rc<CacheNode>, request: Request<ClientBody>) -> Response<NodeBody> {
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the list could not be read\n");
    };
    let Ok(Adopt { id, address, held }) = serde_json::from_slice(&body.to_bytes()) else {
        return answer::text(StatusCode::BAD_REQUEST, "an id, an address and a list are expected\n");
    };
    let Ok(address) = address.parse::<Address>() else {
        return answer::text(StatusCode::BAD_REQUEST, "that is not an address\n");
    };
    let (from, queue) = (Rc::new((id, address)), Rc::new(RefCell::new(held.into_iter())));
    let done = Rc::new(Cell::new(0));
    let work = || {
        let (node, from, queue, done) = (node.clone(), from.clone(), queue.clone(), done.clone());
        async move {
            loop {
                let Some(held) = queue.borrow_mut().next() else { return };
                let is_here = adopt(&node, &from, &held).await;
                done.set(done.get() + usize::from(is_here));
            }
        }
    };
    let workers: Vec<_> = (0..AT_ONCE).map(|_| tokio::task::spawn_local(work())).collect();
    for worker in workers {
        let _ = worker.await;
    }
    answer::json(StatusCode::OK, &Adopted { adopted: done.get() })
}

/// Whether it is here in the end.
async fn adopt(node: &Rc<CacheNode>, (id, address): &(String, Address), held: &HeldAnswer) -> bool {
    let Some(key) = Key::parse(&held.url).ok() else { return false };
    let peer = RemotePeer::at(id, address.clone(), &key);
    let Some(ask) = question(key, &peer, held) else { return false };
    for _ in 0..TRIES {
        if is_fresh(node, &ask) {
            return true;
        }
        if !node.peers.is_left_alone(&peer) && !node.fills.runs(&ask.key) {
            return collapse::adopt(node, &ask).await == collapse::Adoption::Stored;
        }
        sleep(PAUSE).await;
    }
    false
}

fn is_fresh(node: &CacheNode, ask: &Ask) -> bool {
    let Some(shelf) = node.store.get(&ask.key) else { return false };
    let Some(entry) = node.selected(ask, &shelf) else { return false };
    matches!(node.decide(ask, Some(&entry), Some(&shelf), clock::now()), Decision::Serve { .. })
}

/// Hands over what this node holds; answers when that is done.
pub async fn hand_over(node: &Rc<CacheNode>, request: Request<ClientBody>) -> Response<NodeBody> {
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the list could not be read\n");
    };
    let read = serde_json::from_slice::<Takers>(&body.to_bytes()).ok();
    let Some((address, heirs)) = read.and_then(|takers| Some((takers.from.parse().ok()?, takers.heirs()?))) else {
        return answer::text(StatusCode::BAD_REQUEST, "who takes over is expected\n");
    };
    let giver = Giver { id: &node.id, address: &address, secrets: &node.config.cluster };
    let given = giver.give(&heirs, held(node), node.config.timeouts.drain).await;
    answer::json(StatusCode::OK, &given)
}

/// A request that selects it.
fn question(key: Key, peer: &RemotePeer, held: &HeldAnswer) -> Option<Ask> {
    let mut request = Request::get(key.as_str()).body(()).ok()?;
    for (name, value) in held.selecting.split('\n').filter_map(|line| line.split_once(':')) {
        request.headers_mut().append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    let (head, ()) = request.into_parts();
    let peer = Some(peer.clone());
    Some(Ask { peer, background: true, ..Ask::new(key, head, Asker::Front, held.local) })
}

/// What this node can hand over: what is fresh, and not in doubt; the most recently used first.
pub fn held(node: &CacheNode) -> Vec<Arc<Entry>> {
    let now = clock::now();
    let is_good = |entry: &Entry| {
        entry.part().is_none()
            && !entry.body().is_far()
            && entry.terms.is_reusable(now)
            && entry.terms.received >= node.doubted_before.get()
    };
    let mut all: Vec<_> = node.store.all().filter(|entry| is_good(entry)).collect();
    all.sort_by_key(|entry| Reverse(entry.used()));
    all
}
