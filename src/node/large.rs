//! Bodies that lie in files of their own on the disk: when one is begun, while it comes, and what is made of it.

use super::CacheNode;
use super::filed::{copied, is_to_be_copied};
use super::fill::{Fate, Fill, FillHead, FillStage};
use super::settled::Unstored;
use super::spill::Spill;
use crate::policy::{Marks, Part, parts};
use crate::store::disk::ForgottenUrl;
use crate::store::{Entry, Mark, Then};
use crate::wire::target::Key;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, StatusCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Whether the disk may keep an answer with so many bytes of body, of which memory does not keep all.
pub fn could_hold(node: &CacheNode, status: StatusCode, mark: Mark, bytes: u64) -> bool {
    let disk = node.disk.as_ref().filter(|_| mark == Mark::Anyone);
    // Of a part no file is made while it comes.
    disk.is_some_and(|disk| {
        disk.could_hold(bytes) && (status != StatusCode::PARTIAL_CONTENT || bytes <= disk.longest())
    })
}

/// Before anybody gets anything of it: of a body that is known to be longer than a record a file is begun. What neither memory nor
/// disk can take is not stored.
pub fn begin(node: &CacheNode, fill: &Fill, head: &FillHead) {
    if let Some(begun) = head.seed.as_ref().and_then(|seed| seed.spill.as_ref()) {
        return fill.resume(begun);
    }
    let Some(length) = head.length.filter(|_| node.disk.is_some() && fill.fate() == Fate::Store) else { return };
    spill(node, fill, head, length);
    if length > node.config.cache.max_object {
        match fill.is_spilled() {
            true => fill.grows_large(),
            false if length > most(node, fill) => {
                if let Ok(key) = Key::parse(&fill.key) {
                    node.uncacheable.note(&key, Unstored::TooLarge, Then::Alone);
                }
                fill.set_fate(Fate::Forget);
            }
            false => {}
        }
    }
}

/// Begins a file for it, where it is longer than a record and the disk takes it.
fn spill(node: &CacheNode, fill: &Fill, head: &FillHead, bytes: u64) {
    let Some(disk) = node.disk.as_ref().filter(|disk| bytes > disk.longest()) else { return };
    if fill.spill().is_some() || fill.was_refused() || !could_hold(node, head.status, head.mark, bytes) {
        return;
    }
    let Ok(key) = Key::parse(&fill.key) else { return };
    match Spill::begin(disk, &key, &head.terms, bytes) {
        Ok(spill) => fill.spill_into(spill),
        Err(_) => fill.refused(),
    }
}

/// The most that a fill may bring and still be stored.
pub fn most(node: &CacheNode, fill: &Fill) -> u64 {
    let in_memory = node.config.cache.max_object;
    match &node.disk {
        Some(_) if fill.is_spilled() => u64::MAX,
        // A record is made of what memory has.
        Some(disk) if !fill.was_refused() && disk.could_hold(disk.longest()) => in_memory.max(disk.longest() + RECORD),
        _ => in_memory,
    }
}

/// What comes at a time: beyond a record, a file is begun.
const RECORD: u64 = 1024 * 1024;

/// After each piece. [`Fate::Forget`]: it can be stored no more.
pub fn tend(node: &CacheNode, fill: &Fill, head: &FillHead) -> Fate {
    if fill.fate() == Fate::Forget {
        fill.let_go_of_written();
        return Fate::Store;
    }
    spill(node, fill, head, fill.received());
    if fill.is_spilled() && !fill.is_large() && fill.received() > node.config.cache.max_object {
        fill.grows_large();
    }
    fill.let_go_of_written();
    if fill.is_large() && !fill.is_spilled() { Fate::Forget } else { Fate::Store }
}

/// The entry of a body that is whole and that memory does not have: its head in memory, its body on the disk.
pub async fn stored(
    node: &Rc<CacheNode>,
    fill: &Fill,
    head: &FillHead,
    (key, headers): (&Key, &HeaderMap),
    before: Option<ForgottenUrl>,
) -> Option<Arc<Entry>> {
    let (disk, spill) = (node.disk.as_ref()?, fill.spill()?);
    // Who has read the last of it may ask again before it is written, and joins this fill: there is nothing older.
    node.store.remove(key);
    if !spill.finish(disk.patience()).await || fill.fate() == Fate::Forget {
        return None;
    }
    let none: Vec<Bytes> = Vec::new();
    let entry = Entry::new(key, head.status, headers, &head.selecting, head.terms, head.mark, none);
    let entry = Arc::new(entry.with_far(spill.body()?));
    if !disk.put_apart(key, &entry, spill.number(), node.replaced(key, &entry, before)) {
        return None;
    }
    spill.keep();
    node.keep_in_memory(key, &entry);
    Some(entry)
}

/// A body that has broken off, or that nobody waits for any more: what the disk has of it is kept as a part, where that can be
/// completed (RFC 9111 section 3.3). Whether it is, by and by: until then others do not find the fill, and a purge does.
pub fn keeps_begin(node: &Rc<CacheNode>, fill: &Rc<Fill>) -> bool {
    let FillStage::Streaming(head) = fill.stage() else { return false };
    let (Some(whole), Some(disk), Some(spill)) = (head.length, node.disk.clone(), fill.spill()) else { return false };
    let Ok(key) = Key::parse(&fill.key) else { return false };
    let is_of_use = fill.fate() == Fate::Store && !fill.is_whole() && head.status == StatusCode::OK;
    // Of a part nobody can tell whether it is what its URL names.
    let is_checked = head.terms.marks.has(Marks::ADDRESSED);
    let is_completable = parts::strong(&head.headers).is_some() && fill.received() < whole && !is_checked;
    // What else is there may be a newer version.
    let is_alone = (spill.is_resumed() || !disk.has(&key)) && !has_other(node, &key, &spill);
    // A process that ends waits for nothing of that.
    if node.shutdown.has_begun()
        || !is_of_use
        || !is_completable
        || !is_alone
        || !spill.is_alive()
        || fill.received() <= disk.longest()
    {
        return false;
    }
    fill.set_apart(true);
    let (node, fill) = (node.clone(), fill.clone());
    drop(tokio::task::spawn_local(async move {
        let since = disk.stamp(&key);
        if spill.finish(disk.patience()).await
            && fill.fate() == Fate::Store
            && disk.stamp(&key) == since
            && let Some(part) = begin_of(&head, &key, &spill, whole)
            && disk.put_apart(&key, &part, spill.number(), None)
        {
            spill.keep();
            node.keep_in_memory(&key, &part);
        }
        node.fills.remove(key.hash(), &fill);
    }));
    true
}

/// Whether memory has something of this URL but the part that was gone on with.
fn has_other(node: &CacheNode, key: &Key, spill: &Spill) -> bool {
    let is_it = |entry: &Arc<Entry>| entry.far().is_some_and(|far| far.number() == spill.number());
    node.store.get(key).is_some_and(|shelf| !shelf.entries().iter().all(is_it))
}

fn begin_of(head: &FillHead, key: &Key, spill: &Spill, whole: u64) -> Option<Arc<Entry>> {
    let body = spill.begin_of_body()?;
    let part = Part { at: 0..body.length(), whole };
    let mut headers = head.headers.clone();
    [TRAILER, CONTENT_LENGTH].iter().for_each(|name| _ = headers.remove(name));
    let none: Vec<Bytes> = Vec::new();
    let entry = Entry::new(key, StatusCode::PARTIAL_CONTENT, &headers, &head.selecting, head.terms, head.mark, none);
    (!part.at.is_empty() && !part.is_whole()).then(|| Arc::new(entry.part_of_whole(part).with_far(body)))
}

/// What memory has is kept on disk too, where it is still wanted when all of it is written.
pub async fn kept(
    node: &Rc<CacheNode>,
    fill: &Fill,
    key: &Key,
    entry: &Arc<Entry>,
    (spill, before): (&Spill, Option<ForgottenUrl>),
) {
    let Some(disk) = &node.disk else { return };
    if !spill.finish(disk.patience()).await || fill.fate() == Fate::Forget || !entry.may_lie_on_disk() {
        return;
    }
    if disk.put_apart(key, entry, spill.number(), node.replaced(key, entry, before)) {
        spill.keep();
    }
}

/// At the end of the process: what memory alone has, as far as there is time.
pub async fn flush(node: &CacheNode, time: Duration) {
    let Some(disk) = &node.disk else { return };
    let all = async {
        for entry in node.store.all().filter(|entry| is_to_be_copied(disk, entry)) {
            if let Some(key) = entry.url().filter(|key| !disk.has(key)) {
                copied(disk.clone(), key, entry, None).await;
            }
        }
    };
    let _ = timeout(time, all).await;
}
