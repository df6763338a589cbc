//! What memory has of a large body, written into a file of the disk.

use super::disk::Tier;
use super::spill::Spill;
use crate::store::Entry;
use crate::store::disk::{ForgottenUrl, Skipped};
use crate::wire::target::Key;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::timeout;

/// Whether its body is to lie in a file of its own, and is in memory alone.
pub fn is_to_be_copied(disk: &Tier, entry: &Entry) -> bool {
    let body = entry.body();
    entry.may_lie_on_disk() && !body.is_far() && body.len() > disk.longest()
}

/// What memory has is written into a file, beside all else: of an answer that was confirmed, or was put together of parts.
pub fn copy(disk: &Rc<Tier>, key: &Key, entry: &Arc<Entry>, before: Option<ForgottenUrl>) {
    drop(tokio::task::spawn_local(copied(disk.clone(), key.clone(), entry.clone(), before)));
}

/// It is answered with from memory once more, so it did not come for once alone.
pub fn put_again(disk: &Rc<Tier>, entry: &Arc<Entry>) {
    match is_to_be_copied(disk, entry) {
        true => entry.url().iter().for_each(|key| copy(disk, key, entry, None)),
        false => disk.put_again(entry),
    }
}

/// What is purged or replaced from this call on, before any of it is done, is not kept.
pub fn copied(
    disk: Rc<Tier>,
    key: Key,
    entry: Arc<Entry>,
    before: Option<ForgottenUrl>,
) -> impl Future<Output = ()> + 'static {
    let since = disk.stamp(&key);
    async move {
        let spill = match Spill::begin(&disk, &key, &entry.terms, entry.body().len()) {
            Ok(spill) => spill,
            Err(Skipped::First) => return entry.wait_to_come_again(),
            Err(_) => return,
        };
        for piece in entry.body().pieces() {
            spill.write(&piece);
            if timeout(disk.patience(), spill.until_less_waits()).await.is_err() {
                return;
            }
        }
        if spill.finish(disk.patience()).await
            && disk.stamp(&key) == since
            && disk.put_apart(&key, &entry, spill.number(), before)
        {
            spill.keep();
        }
    }
}
