//! What is stored, and is not so any more by an answer that may not be stored itself (RFC 9111 section 4.3.3): it is dropped when that
//! answer is known not to break off at once, and before its client has it, so that nobody gets the old one after it.

use super::CacheNode;
use super::ask::Ask;
use super::counters::add;
use super::origin::OriginBody;
use super::settled::Unstored;
use crate::policy;
use crate::store::Entry;
use crate::wire::date::Timestamp;
use crate::wire::target::Key;
use http::{Method, Response, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::time::timeout;

/// See the module. It goes with the answer.
#[derive(Clone)]
pub struct Withdrawal {
    key: Key,
    /// When the question was: what was received after that is newer.
    sent: Timestamp,
    /// Of the variant that the answer says it is; `None`: it speaks for all of its URL.
    variant: Option<(Box<[u8]>, Vec<Arc<Entry>>)>,
}

impl Withdrawal {
    /// By an answer that is not stored for this reason. `None`: nothing of its URL is stored, or that stays as it is.
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
        let shelf = node.store.get(key);
        if shelf.is_none() && !node.on_disk(key) {
            return None;
        }
        // `*` tells nothing apart that could be stored.
        let selecting = response.headers().contains_key(header::VARY).then_some(());
        let selecting = selecting.and_then(|()| policy::variants::selecting(response.headers(), asked));
        let variant = selecting.map(|selecting| {
            let matching = shelf.iter().flat_map(|shelf| shelf.matching(asked, true)).cloned().collect();
            (selecting, matching)
        });
        Some(Withdrawal { key: key.clone(), sent, variant })
    }

    /// The answer has come. Whoever gets it has to wait for this.
    pub async fn carry_out(self, node: &CacheNode) {
        let shelf = node.store.get(&self.key);
        let is_older = |entry: &&Arc<Entry>| entry.terms.received <= self.sent;
        let is_all_older = shelf.iter().flat_map(|shelf| shelf.entries()).all(|entry| is_older(&entry));
        match &self.variant {
            None if is_all_older => _ = node.invalidate(&self.key),
            None => self.take_out(node, shelf.iter().flat_map(|shelf| shelf.entries()).filter(is_older)),
            Some((_, entries)) => self.take_out(node, entries.iter().filter(is_older)),
        }
        if let (Some(disk), Some((selecting, _)), true) = (&node.disk, &self.variant, is_all_older)
            && disk.outdates(&self.key, Some(selecting))
        {
            disk.forget(&self.key);
        }
        node.until_kept().await;
    }

    fn take_out<'a>(&self, node: &CacheNode, entries: impl Iterator<Item = &'a Arc<Entry>>) {
        entries.for_each(|entry| node.store.take_out(&self.key, entry));
        // Another node may have them still, and does not know that it must not.
        node.peers.bar(&self.key);
        add(&node.counters.invalidated, 1);
    }
}

/// The same where nobody waits for the answer, which is let go.
pub async fn by_what_nobody_reads(node: &CacheNode, mut response: Response<OriginBody>) {
    let Some(withdrawal) = response.extensions_mut().remove::<Withdrawal>() else { return };
    let begun = timeout(node.config.timeouts.small_body, response.into_body().frame()).await;
    if !matches!(begun, Ok(Some(Err(_)))) {
        withdrawal.carry_out(node).await;
    }
}
