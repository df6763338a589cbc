//! One request to one node and the head of its answer, with the whole body where it is small.

use super::acquire::{Want, acquire};
use super::body::Body;
use super::chunked::{Chunked, Step};
use super::conn::Conn;
use super::control::Phase;
use super::decode::{Ends, Head};
use super::{Broken, InFlight, Pool, Request, Upload};
use crate::clock::{self, Tick};
use crate::proxy::outcome::Cache;
use crate::wire::answer::fields::Length;
use crate::wire::hop;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::timeout;

/// A body up to this size is waited for (for [`crate::config::Timeouts::small_body`]) before its head is passed on, so
/// that a node's death midway costs the client nothing.
pub const SMALL: u64 = 16 * 1024;

/// What a node answered.
pub struct Answer {
    pub head: Head,
    pub content: Content,
}

impl Answer {
    /// The body, where it is there and small.
    pub fn small_body(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Full(body) if body.len() as u64 <= SMALL => Some(body),
            _ => None,
        }
    }
}

/// What comes after the head.
pub enum Content {
    /// All of it; the connection is back in its pool.
    Full(Bytes),
    Stream(Box<Body>),
    /// 101: the connection speaks another protocol now; the bytes are its first.
    Switched(Conn, Bytes),
}

/// Sends `request` on a connection of `pool`. `upload` is taken from once the node wants it.
pub async fn exchange(
    pool: &Rc<Pool>,
    request: &Request<'_>,
    upload: &mut Option<Upload>,
    want: Want,
) -> Result<Answer, Broken> {
    let load = InFlight::new(pool);
    let movable = upload.is_none() && request.method.is_idempotent();
    let mut conn = match request.tie.and_then(|tie| tie.take(pool)) {
        Some(conn) => conn,
        None => acquire(pool, want, request.from).await?,
    };
    conn.tie = request.tie.cloned();
    conn.send(request, movable).await?;
    let asked = if movable { pool.sample() } else { None };
    let mut early = Bytes::new();
    let mut head = match upload {
        None => final_head(&mut conn, &mut early, request).await?,
        Some(body) => Box::pin(head_beside(&mut conn, &mut early, request, body)).await?,
    };
    pool.node.note_answer();
    if let Some(asked) = asked {
        note_hit(pool, &head, asked);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        if request.upgrade.is_none() {
            return Err(Broken::Protocol("an upgrade that nobody asked for"));
        }
        conn.link.control.enter(Phase::Resting);
        return Ok(Answer { head, content: Content::Switched(conn, early) });
    }
    let upload = upload.take().filter(|upload| !upload.is_done());
    // Refused before it began (Expect): the node still waits for the body on this connection, or knows that none comes.
    let refused = upload.as_ref().is_some_and(Upload::is_untouched) && request.expect;
    head.keep &= !refused;
    let upload = upload.filter(|_| !refused);
    content(conn, head, early, upload, load).await
}

/// How long a hit takes is what a node is judged by; anything else may have waited for an origin.
pub fn note_hit(pool: &Pool, head: &Head, asked: Tick) {
    if Cache::said(head.fields.verdict()) == Cache::Hit {
        let now = clock::tick();
        pool.node.pace.note_hit(now, now.since(asked));
    } else {
        pool.sample_again();
    }
}

/// Reads heads until one that is final (or 101).
async fn final_head(conn: &mut Conn, early: &mut Bytes, request: &Request<'_>) -> Result<Head, Broken> {
    poll_fn(|cx| poll_final(conn, cx, early, request)).await
}

fn poll_final(
    conn: &mut Conn,
    cx: &mut Context<'_>,
    early: &mut Bytes,
    request: &Request<'_>,
) -> Poll<Result<Head, Broken>> {
    loop {
        match conn.poll_head(cx, early, *request.method == Method::HEAD) {
            Poll::Ready(Ok(head)) if is_interim(&head) => {
                conn.link.control.touch();
                pass_on(head, request);
            }
            other => return other,
        }
    }
}

/// Waits for `100 Continue`; a final head that comes in its place.
async fn go_ahead(conn: &mut Conn, early: &mut Bytes, request: &Request<'_>) -> Result<Option<Head>, Broken> {
    loop {
        let head = poll_fn(|cx| conn.poll_head(cx, early, false)).await?;
        match head.status {
            StatusCode::CONTINUE => return Ok(None),
            _ if is_interim(&head) => pass_on(head, request),
            _ => return Ok(Some(head)),
        }
    }
}

/// RFC 9110 section 15.2: interim responses are forwarded, but for the `100 Continue` that was asked for on the link: the
/// client's own is sent when its body is read.
fn pass_on(head: Head, request: &Request<'_>) {
    if let Some(interim) = request.interim.filter(|_| !(request.expect && head.status == StatusCode::CONTINUE)) {
        let mut headers = head.fields.map();
        hop::strip(&mut headers);
        interim.send(head.status, &headers);
    }
}

pub fn is_interim(head: &Head) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

/// The same with a body to send: at once, or when the node says `100 Continue` (or says nothing for a while).
async fn head_beside(
    conn: &mut Conn,
    early: &mut Bytes,
    request: &Request<'_>,
    upload: &mut Upload,
) -> Result<Head, Broken> {
    if request.expect && upload.is_untouched() {
        let wait = conn.slot.pool().shared.timeouts.expect_continue;
        match timeout(wait, go_ahead(conn, early, request)).await {
            Ok(Ok(Some(head))) => return Ok(head),
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(e)) => return Err(e),
        }
    }
    conn.link.control.enter(Phase::Sending);
    poll_fn(|cx| {
        let sent = upload.poll(conn, cx);
        if sent.is_ready() && conn.link.control.phase() == Phase::Sending {
            conn.link.control.enter(Phase::Head { movable: false });
        }
        match (poll_final(conn, cx, early, request), sent) {
            (Poll::Pending, Poll::Ready(Err(e))) => Poll::Ready(Err(e)),
            (head, _) => head,
        }
    })
    .await
}

async fn content(
    mut conn: Conn,
    mut head: Head,
    mut early: Bytes,
    upload: Option<Upload>,
    load: InFlight,
) -> Result<Answer, Broken> {
    if upload.is_none() {
        if let Ends::After(size) = head.ends
            && size <= SMALL
            && (early.len() as u64) < size
        {
            early = Box::pin(gather(&mut conn, early, size as usize)).await?;
        }
        if let Some(body) = whole(&mut head, &mut early) {
            if head.keep && early.is_empty() {
                conn.give_back();
            }
            return Ok(Answer { head, content: Content::Full(body) });
        }
    }
    if head.ends == Ends::Chunked
        && let Some(length) = head.told_length
    {
        head.fields.set_length(Length::Once(length));
    }
    let body = Body::new(conn, &head, early, upload, load);
    Ok(Answer { head, content: Content::Stream(Box::new(body)) })
}

/// Waits for the rest of a small body; what is there when the wait is over is passed on as it is.
async fn gather(conn: &mut Conn, early: Bytes, size: usize) -> Result<Bytes, Broken> {
    let wait = conn.slot.pool().shared.timeouts.small_body;
    let mut buf = BytesMut::from(early);
    buf.reserve(size - buf.len());
    let rest = poll_fn(|cx| {
        while buf.len() < size {
            match conn.poll_piece(cx, &mut buf) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(Broken::Died { .. })) => return Poll::Ready(Err(Broken::Cut)),
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
        Ends::None | Ends::After(0) => Some(Bytes::new()),
        Ends::After(size) if early.len() as u64 >= size => Some(early.split_to(size as usize)),
        Ends::Chunked => {
            let (body, used) = whole_chunked(early).filter(|(body, _)| is_as_told(head, body))?;
            drop(early.split_to(used));
            Some(body)
        }
        Ends::After(_) | Ends::Closed => None,
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
