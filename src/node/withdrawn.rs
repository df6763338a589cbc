//! What is stored, and is not so any more by an answer that may not be stored itself (RFC 9111 section 4.3.3): it is dropped when that
//! answer is known not to break off at once, and before its client has it, so that nobody gets the old one after it.

use super::CacheNode;
use super::ask::Ask;
use super::counters::add;
use super::origin::OriginBody;
use super::settled::Unstored;
use crate::clock;
use crate::policy;
use crate::store::Entry;
use crate::wire::date::Timestamp;
use crate::wire::target::Key;
use http::{HeaderMap, Method, Response, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::time::timeout;

/// See the module. It goes with the answer.
#[derive(Clone)]
pub struct Withdrawal {
    key: Key,
    /// When the question was: what was asked for after that is newer.
    sent: Timestamp,
    /// What selects the variant that the answer says it is, and the request's fields; `None`: it speaks for all of its URL.
    variant: Option<(Box<[u8]>, HeaderMap)>,
}

impl Withdrawal {
    /// By an answer that is not stored for this reason. `None`: there is nothing of its URL, or that stays as it is.
    pub fn by(
        node: &CacheNode,
        ask: &Ask,
        response: &Response<OriginBody>,
        why: Unstored,
        sent: Timestamp,
    ) -> Option<Withdrawal> {
        let (key, asked) = (&ask.key, &ask.head.headers);
        let has_credentials = asked.contains_key(header::AUTHORIZATION) || asked.contains_key(header::COOKIE);
        // What a content-addressed store has is the same for ever: it speaks of who asks.
        let says_so = ask.head.method == Method::GET && !key.is_addressed();
        if !says_so || !why.outdates(response.status(), has_credentials) {
            return None;
        }
        if !node.store.holds(key) && !on_disk(node, key, None) && node.fills.streaming(key).is_empty() {
            return None;
        }
        // `*` tells nothing apart that could be stored.
        let selecting = response.headers().contains_key(header::VARY).then_some(());
        let selecting = selecting.and_then(|()| policy::variants::selecting(response.headers(), asked));
        let variant = selecting.map(|selecting| (selecting, asked.clone()));
        Some(Withdrawal { key: key.clone(), sent, variant })
    }

    /// The answer has come. Whoever gets it has to wait for this.
    pub async fn carry_out(self, node: &CacheNode) {
        let Withdrawal { key, sent, variant } = self;
        let shelf = node.store.get(&key);
        let entries = shelf.iter().flat_map(|shelf| shelf.entries().iter());
        let is_older = |entry: &&Arc<Entry>| entry.terms.asked() <= sent;
        let older: Vec<_> = match &variant {
            None => entries.filter(is_older).collect(),
            Some((_, asked)) => shelf.iter().flat_map(|shelf| shelf.matching(asked, true)).filter(is_older).collect(),
        };
        // All fetches that began before: which variant they bring is not known of all.
        let comes = node.fills.forget_older(&key, clock::now().millis_since(sent));
        let on_disk = on_disk(node, &key, variant.as_ref().map(|(selecting, _)| &**selecting));
        if older.is_empty() && !comes && !on_disk {
            return;
        }
        node.forgotten.borrow_mut().note(key.hash());
        // Another node may have it still, and does not know that it must not.
        node.peers.bar(&key);
        older.iter().for_each(|entry| node.store.take_out(&key, entry));
        // Other variants with it, and what is newer: those are in memory, or fetched again.
        if let Some(disk) = node.disk.as_ref().filter(|_| on_disk) {
            disk.forget(&key);
        }
        add(&node.counters.invalidated, 1);
        node.until_kept().await;
    }
}

/// Whether the disk has it. While its index is not read, or it has failed, nobody knows: were that taken for a yes, each answer that
/// is not stored would be one that ends something.
fn on_disk(node: &CacheNode, key: &Key, selecting: Option<&[u8]>) -> bool {
    node.disk.as_ref().is_some_and(|disk| disk.has(key) && disk.outdates(key, selecting))
}

/// The same where nobody waits for the answer, which is let go.
pub async fn by_what_nobody_reads(node: &CacheNode, mut response: Response<OriginBody>) {
    let Some(withdrawal) = response.extensions_mut().remove::<Withdrawal>() else { return };
    let begun = timeout(node.config.timeouts.small_body, response.into_body().frame()).await;
    if !matches!(begun, Ok(Some(Err(_)))) {
        withdrawal.carry_out(node).await;
    }
}
