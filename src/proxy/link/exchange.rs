//! One request to one node and the head of its answer, with the whole body where it is small.

use super::acquire::{Want, acquire};
use super::body::LinkBody;
use super::broken::LinkError;
use super::conn::NodeConn;
use super::control::Phase;
use super::encode::Request;
use super::pool::{InFlight, NodePool};
use super::tie::Tie;
use crate::clock::{self, Tick};
use crate::net::http1::{READ, Upload};
use crate::proxy::outcome::CacheResult;
use crate::wire::answer::chunked::{Chunked, Step};
use crate::wire::answer::decode::Head;
use crate::wire::answer::fields::Length;
use crate::wire::length::BodyLength;
use crate::wire::status;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::timeout;

/// A body up to this size is waited for (for [`crate::config::Timeouts::small_body`]) before its head is passed on, so
/// that a node's death midway costs the client nothing.
pub const SMALL: u64 = 16 * 1024;
/// A longer body is known to be one when its URL is asked for again.
const LARGE: u64 = READ as u64;
/// With the head of such an answer no more is read: what comes behind it is copied once more.
const AHEAD: usize = 4 * 1024;

/// What a node answered.
pub struct NodeAnswer {
    pub head: Head,
    pub content: NodeContent,
}

impl NodeAnswer {
    /// The body, where it is there and small.
    pub fn small_body(&self) -> Option<&Bytes> {
        match &self.content {
            NodeContent::Full(body) if body.len() as u64 <= SMALL => Some(body),
            _ => None,
        }
    }
}

/// What comes after the head.
pub enum NodeContent {
    /// All of it; the connection is back in its pool.
    Full(Bytes),
    Stream(Box<LinkBody>),
    /// 101: the connection speaks another protocol now; the bytes are its first. Boxed, because every answer is as large as this one.
    Switched(Box<NodeConn>, Bytes),
}

/// Sends `request` on a connection of `pool`. `upload` is taken from once the node wants it.
pub async fn exchange(
    pool: &Rc<NodePool>,
    request: &Request<'_>,
    upload: &mut Option<Box<Upload>>,
    want: Want,
) -> Result<NodeAnswer, LinkError> {
    // Who waits for a connection is part of the load as well.
    let load = InFlight::new(pool);
    let mut conn = acquire(pool, want, request.from).await?;
    let begun = begin(&mut conn, request, upload).await?;
    Ok(answer(conn, begun, load))
}

/// The same on the connection that the client has logged in on, where there is one: on no other, whoever owns what by now.
/// Else with the pool of whoever failed.
pub async fn exchange_tied(
    request: &Request<'_>,
    upload: &mut Option<Box<Upload>>,
) -> Result<Option<(NodeAnswer, Rc<NodePool>)>, (LinkError, Option<Rc<NodePool>>)> {
    let taken = request.tie.map_or(Ok(None), Tie::take).map_err(|broken| (broken, None))?;
    let Some((link, slot, tied)) = taken else { return Ok(None) };
    let (pool, mut conn) = (slot.pool().clone(), NodeConn::new(link, slot));
    conn.tie = Some(tied);
    let request = &Request { doubtful: pool.node.is_doubtful(), ..*request };
    let load = InFlight::new(&pool);
    match begin(&mut conn, request, upload).await {
        Ok(begun) => Ok(Some((answer(conn, begun, load), pool))),
        Err(broken) => Err((broken, Some(pool))),
    }
}

/// An answer as far as it has come.
struct BegunAnswer {
    head: Head,
    /// What has come of its body.
    early: Bytes,
    /// What is still to be sent.
    upload: Option<Box<Upload>>,
}

/// Until the head of the answer is there, or all of it where it is small.
async fn begin(
    conn: &mut NodeConn,
    request: &Request<'_>,
    upload: &mut Option<Box<Upload>>,
) -> Result<BegunAnswer, LinkError> {
    let pool = &conn.slot.pool().clone();
    let movable = upload.is_none() && request.method.is_idempotent();
    conn.send(request, movable).await?;
    let (large, hash) = (&pool.shared.large, request.key.hash());
    // Within TLS nothing passes by.
    if large.has(hash) && request.key.scheme() == "http" {
        conn.link.http.read_ahead(AHEAD);
    }
    let asked = if movable { pool.sample() } else { None };
    if let Some(upload) = upload.as_mut().filter(|upload| request.expect && upload.is_untouched()) {
        upload.hold_back(pool.shared.timeouts.expect_continue);
    }
    let mut head = poll_fn(|cx| conn.poll_head(cx, request, upload)).await?;
    let mut early = std::mem::take(conn.link.http.early());
    pool.node.note_answer();
    if let Some(asked) = asked {
        note_hit(pool, &head, asked);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        if request.upgrade.is_none() {
            return Err(LinkError::Protocol("an upgrade that nobody asked for"));
        }
        conn.link.control.enter(Phase::Resting);
        return Ok(BegunAnswer { head, early, upload: None });
    }
    let mut upload = upload.take();
    // Where the node takes no more of it, it takes no other request either.
    head.keep &= upload.take_if(|upload| upload.has_ended()).is_none_or(|upload| upload.is_done());
    // Refused before it began (Expect): the node still waits for the body on this connection, or knows that none comes.
    let refused = upload.as_deref().is_some_and(Upload::is_untouched) && request.expect;
    head.keep &= !refused;
    if let Some(tie) = request.tie {
        tie.tie(&mut conn.tie, head.keep);
    }
    match head.ends {
        BodyLength::Sized(size) if size > LARGE => _ = large.note(hash),
        BodyLength::Sized(_) => large.forget(hash),
        _ => {}
    }
    let upload = upload.filter(|_| !refused);
    if let BodyLength::Sized(size) = head.ends
        && size <= SMALL
        && (early.len() as u64) < size
        && upload.is_none()
    {
        early = Box::pin(gather(conn, early, size as usize)).await?;
    }
    Ok(BegunAnswer { head, early, upload })
}

/// How long a hit in memory takes is what a node is judged by; anything else may have waited for an origin, or for a disk.
pub fn note_hit(pool: &NodePool, head: &Head, asked: Tick) {
    let verdict = head.fields.verdict();
    if CacheResult::said(verdict) == CacheResult::Hit && !verdict.is_some_and(status::is_from_disk) {
        let now = clock::tick();
        pool.node.pace.note_hit(now, now.since(asked));
    } else {
        pool.sample_again();
    }
}

/// With the body, where all of it is in `early`; else it is read as it is asked for.
fn answer(conn: NodeConn, begun: BegunAnswer, load: InFlight) -> NodeAnswer {
    let BegunAnswer { mut head, mut early, upload } = begun;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return NodeAnswer { head, content: NodeContent::Switched(Box::new(conn), early) };
    }
    if upload.is_none()
        && let Some(body) = whole(&mut head, &mut early)
    {
        if head.keep && early.is_empty() {
            conn.give_back();
        }
        return NodeAnswer { head, content: NodeContent::Full(body) };
    }
    if head.ends == BodyLength::Chunked
        && let Some(length) = head.told_length
    {
        head.fields.set_length(Length::Once(length));
    }
    let body = LinkBody::new(conn, &head, early, upload, load);
    NodeAnswer { head, content: NodeContent::Stream(Box::new(body)) }
}

/// Waits for the rest of a small body; what is there when the wait is over is passed on as it is.
async fn gather(conn: &mut NodeConn, early: Bytes, size: usize) -> Result<Bytes, LinkError> {
    let wait = conn.slot.pool().shared.timeouts.small_body;
    let mut buf = BytesMut::from(early);
    buf.reserve(size - buf.len());
    let rest = poll_fn(|cx| {
        while buf.len() < size {
            let left = size - buf.len();
            match conn.poll_piece(cx, &mut buf, left) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(LinkError::Died { .. })) => {
                    return Poll::Ready(Err(LinkError::Cut));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    });
    match timeout(wait, rest).await {
        Ok(Err(e)) => Err(e),
        Ok(Ok(())) | Err(_) => Ok(buf.freeze()),
    }
}

/// The body, when all of it is in `early`; what is left there is not part of it.
fn whole(head: &mut Head, early: &mut Bytes) -> Option<Bytes> {
    match head.ends {
        BodyLength::None | BodyLength::Sized(0) => Some(Bytes::new()),
        BodyLength::Sized(size) if early.len() as u64 >= size => Some(early.split_to(size as usize)),
        BodyLength::Chunked => {
            let (body, used) = whole_chunked(early).filter(|(body, _)| is_as_told(head, body))?;
            drop(early.split_to(used));
            Some(body)
        }
        BodyLength::Sized(_) | BodyLength::UntilClose => None,
    }
}

fn is_as_told(head: &Head, body: &Bytes) -> bool {
    head.told_length.is_none_or(|length| length == body.len() as u64)
}

/// A chunked body that is complete and has no trailers: it goes on with a length.
fn whole_chunked(early: &Bytes) -> Option<(Bytes, usize)> {
    if !early.ends_with(b"0\r\n\r\n") {
        return None;
    }
    let mut input = early.clone();
    let mut decoder = Chunked::new(2);
    let mut body: Option<BytesMut> = None;
    let mut first = Bytes::new();
    loop {
        match decoder.step(&mut input).ok()? {
            Step::More | Step::End(Some(_)) | Step::Broken(_) => return None,
            Step::Data(data) if first.is_empty() => first = data,
            Step::Data(data) => body.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&data),
            Step::End(None) => return Some((body.map_or(first, BytesMut::freeze), early.len() - input.len())),
        }
    }
}
