//! The answer to a client: a node's, a page of ours, or an error.

use super::link::{self, NodeAnswer, NodePool};
use super::outcome::{AnswerSource, CacheResult, Verdict};
use super::record::Record;
use super::reply::{Capture, Reply, ReplyContent};
use super::worker::Client;
use super::{pages, tunnel};
use crate::net::serve::Upgrade;
use crate::wire::fault::{Blame, Fault};
use crate::wire::{hop, status};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE, VIA};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use std::rc::Rc;

/// An error that we answer with.
pub fn fault(client: &Client, fault: &Fault, head_only: bool, record: Option<Record>) -> Response<Reply> {
    tracing::debug!(kind = fault.kind.token(), "{fault}");
    let page = pages::error(&client.worker.front.pseudonym, fault);
    own_answer(page, Some(fault.blame()), head_only, record)
}

/// Says that it is the last where what the client has logged in on has ended, or where it is to come back by another connection.
pub fn close_with_ties(client: &Client, response: &mut Response<Reply>) {
    if client.ties.have_ended() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Makes a node's answer the client's.
pub fn deliver(
    client: &Rc<Client>,
    answer: NodeAnswer,
    pool: &Rc<NodePool>,
    upgrade: Option<Upgrade>,
    capture: Option<Box<Capture>>,
    record: &mut Option<Record>,
) -> Response<Reply> {
    let worker = &client.worker;
    let NodeAnswer { head, content } = answer;
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = head.status;
    parts.headers = head.fields.map();
    if head.status.canonical_reason().map(str::as_bytes) != Some(head.fields.reason())
        && let Ok(reason) = ReasonPhrase::try_from(head.fields.reason())
    {
        parts.extensions.insert(reason);
    }
    let hop = hop::strip(&mut parts.headers);
    parts.headers.append(VIA, worker.shared.via(head.version).clone());
    if let Some(record) = record {
        let (cache, blame) = (CacheResult::of(&parts.headers), head.blame);
        record.decide(Verdict { status: parts.status, source: AnswerSource::Node, cache, blame });
        record.note(&pool.node.id, || status::last_member(&parts.headers));
    }
    let reply = match content {
        link::NodeContent::Full(bytes) => Reply::capturing(ReplyContent::Full(bytes), record.take(), capture),
        link::NodeContent::Stream(body) => Reply::capturing(ReplyContent::Node(body), record.take(), capture),
        link::NodeContent::Switched(conn, early) => {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = hop.upgrade {
                parts.headers.insert(UPGRADE, protocol);
            }
            tunnel::switch(client, upgrade, *conn, early, record)
        }
    };
    Response::from_parts(parts, reply)
}

/// An answer that we make ourselves: a page, or an error.
pub fn own_answer(
    page: Response<ReplyContent>,
    blame: Option<Blame>,
    head_only: bool,
    record: Option<Record>,
) -> Response<Reply> {
    let (mut parts, mut content) = page.into_parts();
    let mut record = record;
    if let Some(record) = &mut record {
        let source = if blame.is_some() { AnswerSource::Error } else { AnswerSource::Page };
        record.decide(Verdict { status: parts.status, source, cache: CacheResult::Unknown, blame });
    }
    if let (true, ReplyContent::Full(bytes)) = (head_only, &content) {
        parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
        content = ReplyContent::empty();
    }
    Response::from_parts(parts, Reply::new(content, record))
}
