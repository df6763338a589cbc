//! Moves a body from the origin into a fill, and the whole of it into the store.

use super::CacheNode;
use super::body::blame;
use super::counters::add;
use super::fill::{Fate, Fill, FillHead, FillStage, PartPlace};
use super::large;
use super::outdone;
use super::settled::Unstored;
use super::source::FillSource;
use crate::account;
use crate::net::serve::BoxError;
use crate::policy::{Marks, Part};
use crate::store::disk::ForgottenUrl;
use crate::store::{Entry, Then};
use crate::wire::fault::{Blame, Kind, Whose};
use crate::wire::https::content::{Digest, DigestCheck};
use crate::wire::target::Key;
use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// The memory for pieces that are to be stored is taken in blocks of at most this many bytes.
const BLOCK: usize = 256 * 1024;
/// And for pieces that only pass through: small enough to stay with the allocator, for the next ones.
const PASSING_BLOCK: usize = 64 * 1024;
/// The block for a body of unknown length.
const UNSIZED_BLOCK: usize = 16 * 1024;

/// Runs until the body is whole and stored, or broken. Dropping it breaks the fill (see [`FillGuard`]).
pub async fn pump(ending: FillGuard, head: Rc<FillHead>, body: FillSource) {
    let (node, fill) = (ending.node.clone(), ending.fill.clone());
    let before = supersede(&node, &fill, &head).await;
    let mut check = check(&fill, &head);
    match flow(&node, &fill, &head, body, check.as_mut()).await {
        Ok(trailers) if is_all(&fill, &head) => {
            if check.is_some_and(|check| !check.holds()) {
                leave(&node, &fill);
            }
            finish(&node, &fill, &head, trailers, before).await;
        }
        ended => {
            add(&node.counters.broken_fills, 1);
            // A body that ends in order, but not where it should, is the origin's too.
            let blame = ended.err().map_or(Blame::new(Whose::Origin, Kind::HttpResponseIncomplete), |e| blame(&e));
            fill.broken(blame);
        }
    }
}

/// Of what is kept for others only where it is what its URL names.
fn check(fill: &Fill, head: &FillHead) -> Option<DigestCheck> {
    let key = Key::parse(&fill.key).ok().filter(|_| head.terms.marks.has(Marks::ADDRESSED))?;
    key.digest().map(Digest::check)
}

/// It is not what its URL names: whoever has asked for it has got it, and nobody else does.
fn leave(node: &CacheNode, fill: &Fill) {
    if let Ok(key) = Key::parse(&fill.key) {
        tracing::debug!("not stored: the SHA-256 of {} is another than its URL names", fill.key);
        node.uncacheable.note(&key, Unstored::OtherContent, Then::AsBefore);
    }
    fill.set_fate(Fate::Forget);
}

/// Before anybody gets anything of it: what is on disk must not come back when they have the last of it.
async fn supersede(node: &CacheNode, fill: &Fill, head: &FillHead) -> Option<ForgottenUrl> {
    // What completes a part that is there is not newer than that.
    let completes = head.seed.as_ref().is_some_and(|seed| seed.spill.is_some());
    if node.disk.is_none() || fill.fate() == Fate::Forget || completes {
        return None;
    }
    let varies = head.headers.contains_key(http::header::VARY) && head.status != StatusCode::PARTIAL_CONTENT;
    node.supersede(&Key::parse(&fill.key).ok()?, varies.then_some(&*head.selecting)).await
}

async fn flow(
    node: &CacheNode,
    fill: &Fill,
    head: &FillHead,
    mut body: FillSource,
    mut check: Option<&mut DigestCheck>,
) -> Result<Option<HeaderMap>, BoxError> {
    let mut block = BytesMut::new();
    let mut trailers = None;
    seed(fill, head, PartPlace::Before, &mut block);
    let mut next = body.frame().await;
    while let Some(frame) = next {
        match frame?.into_data().map_err(Frame::into_trailers) {
            Ok(data) => {
                if fill.received() + data.len() as u64 > large::most(node, fill) {
                    forget(node, fill);
                }
                check.iter_mut().for_each(|check| check.read(&data));
                copy(&data, &mut block, head.length, fill);
                if node.disk.is_some() && large::tend(node, fill, head) == Fate::Forget {
                    forget(node, fill);
                }
                if account::is_over() {
                    drop(data);
                    node.make_room().await;
                }
                poll_fn(|cx| fill.poll_room(node.config.cache.max_object, cx)).await;
            }
            Err(Ok(fields)) => trailers = Some(fields),
            Err(Err(_)) => {}
        }
        // What is whole is stored before anybody has read the last of it: who has may ask again, and get no older one.
        next = match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
            Poll::Ready(None) => None,
            Poll::Ready(more) => {
                turn().await;
                more
            }
            Poll::Pending => body.frame().await,
        };
    }
    seed(fill, head, PartPlace::Behind, &mut block);
    Ok(trailers)
}

/// Lets all others have theirs after each piece: what comes quickly, from one origin or from many, is not to fill the memory
/// before those who take it have been asked.
async fn turn() {
    let mut had = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A rest that was sent in chunks may be shorter or longer than it said.
fn is_all(fill: &Fill, head: &FillHead) -> bool {
    head.seed.is_none() || head.length == Some(fill.received())
}

/// What is stored already, where it belongs. It is copied, because an entry's bytes are counted by themselves.
fn seed(fill: &Fill, head: &FillHead, place: PartPlace, block: &mut BytesMut) {
    if let Some(seed) = head.seed.as_ref().filter(|seed| seed.place == place) {
        seed.entry.body().pieces().iter().for_each(|piece| copy(piece, block, head.length, fill));
    }
}

/// The one copy: out of the connection's read buffer (which a slice would keep alive) into memory of the fill's own.
fn copy(mut data: &[u8], block: &mut BytesMut, length: Option<u64>, fill: &Fill) {
    while !data.is_empty() {
        if block.capacity() == 0 {
            let left = length.map_or(UNSIZED_BLOCK as u64, |length| length.saturating_sub(fill.received()));
            let most = if fill.fate() == Fate::Store { BLOCK } else { PASSING_BLOCK };
            *block = BytesMut::with_capacity(usize::try_from(left).unwrap_or(most).clamp(data.len().min(most), most));
        }
        let n = data.len().min(block.capacity());
        block.extend_from_slice(&data[..n]);
        fill.push(block.split().freeze());
        data = &data[n..];
    }
}

/// It turned out to be too large to store: the next request for it does not wait for this one. But where the disk gave up, the next
/// may be stored.
fn forget(node: &CacheNode, fill: &Fill) {
    if fill.fate() == Fate::Store {
        let (why, then) = match fill.spill() {
            Some(_) => (Unstored::LeftByDisk, Then::AsBefore),
            None => (Unstored::TooLarge, Then::Alone),
        };
        outdone::unkept(node, fill, why, then);
    }
    fill.set_fate(Fate::Forget);
}

/// The body is whole: what is still wanted is stored, and everyone reads on from the entry.
async fn finish(
    node: &Rc<CacheNode>,
    fill: &Fill,
    head: &FillHead,
    trailers: Option<HeaderMap>,
    before: Option<ForgottenUrl>,
) {
    let Ok(key) = Key::parse(&fill.key) else { return fill.complete(None, trailers) };
    if fill.fate() == Fate::Forget || outdone::at_its_end(node, &key, head, fill.lent) {
        return fill.complete(None, trailers);
    }
    let mut headers = head.headers.clone();
    // Trailers went to those who read along; they are not stored (RFC 9111 section 3.1 allows it).
    headers.remove(http::header::TRAILER);
    if fill.is_large() {
        let entry = large::stored(node, fill, head, (&key, &headers), before).await;
        add(&node.counters.stored, u64::from(entry.is_some()));
        return fill.complete(entry, trailers);
    }
    let Some(entry) = entry(fill, head, &key, headers) else { return fill.complete(None, trailers) };
    let entry = Arc::new(entry);
    add(&node.counters.stored, 1);
    match fill.spill() {
        // It is not asked twice for one answer.
        None if fill.was_refused() => {
            node.keep_in_memory(&key, &entry);
            node.replaced(&key, &entry, before);
            entry.wait_to_come_again();
            fill.complete(Some(entry), trailers);
        }
        None => {
            node.keep(&key, &entry, before);
            fill.complete(Some(entry), trailers);
        }
        Some(spill) => {
            node.keep_in_memory(&key, &entry);
            fill.complete(Some(entry.clone()), trailers);
            large::kept(node, fill, &key, &entry, (&spill, before)).await;
        }
    }
}

/// `None` for a 206 whose content is not what its `Content-Range` says.
fn entry(fill: &Fill, head: &FillHead, key: &Key, mut headers: HeaderMap) -> Option<Entry> {
    let part = match head.status {
        StatusCode::PARTIAL_CONTENT => Some(Part::of(&headers, fill.received())?),
        _ => None,
    };
    if part.is_some() {
        headers.remove(http::header::CONTENT_RANGE);
        headers.remove(http::header::CONTENT_LENGTH);
    }
    let part = part.filter(|part| !part.is_whole());
    let status = if part.is_some() { head.status } else { whole(head.status) };
    let entry = Entry::new(key, status, &headers, &head.selecting, head.terms, head.mark, fill.pieces());
    Some(match part {
        Some(part) => entry.part_of_whole(part),
        None => entry,
    })
}

/// A 206 that brought everything is stored as a 200.
fn whole(status: StatusCode) -> StatusCode {
    if status == StatusCode::PARTIAL_CONTENT { StatusCode::OK } else { status }
}

/// Takes a fill out of the table when its task ends, however it ends: done, aborted, or by a panic.
pub struct FillGuard {
    pub node: Rc<CacheNode>,
    pub fill: Rc<Fill>,
    hash: u64,
}

impl FillGuard {
    pub fn new(node: &Rc<CacheNode>, fill: &Rc<Fill>, key: &Key) -> FillGuard {
        FillGuard { node: node.clone(), fill: fill.clone(), hash: key.hash() }
    }
}

impl Drop for FillGuard {
    fn drop(&mut self) {
        if self.fill.is_asking() {
            add(&self.node.counters.abandoned_fills, 1);
        }
        if !large::keeps_begin(&self.node, &self.fill) {
            self.node.fills.remove(self.hash, &self.fill);
        }
        self.fill.settle(FillStage::Gone);
        self.fill.broken(Blame::new(Whose::Us, Kind::ProxyInternalError));
    }
}
