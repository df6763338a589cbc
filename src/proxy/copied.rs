//! The hot copy on a request's way: made of what passes, and kept for longer where its node says so.

use super::hot::{self, Copy, CopyCandidate, Found, Generation};
use super::link::{Head, NodeAnswer, NodeContent as Body, NodePool};
use super::outcome::CacheResult;
use super::own;
use super::reply::Capture;
use super::worker::Client;
use crate::clock;
use crate::policy;
use crate::wire::hop;
use crate::wire::status;
use crate::wire::target::Key;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use std::sync::Arc;

/// What a request has to do with the hot copy.
pub enum Watch {
    /// It is switched off, or this request is not one that others could share.
    Aside,
    /// The state of the copies when the request came, and when that was: what is made invalid meanwhile is not copied.
    Since(Generation),
    /// The same, and the copy of which the node is asked whether it still holds.
    Again(Generation, Arc<Copy>),
    /// Its answer is not copied, but may show that a copy is outdated.
    Head,
}

impl Watch {
    /// `is_own`: the answer is for this client alone, whatever a node says of it.
    pub fn of(client: &Client, request: &Parts, is_own: bool) -> Watch {
        match &client.worker.hot {
            Some(hot) if !is_own && policy::requests::may_lead(request) => Watch::Since(hot.since()),
            Some(_) if !is_own && request.method == Method::HEAD => Watch::Head,
            _ => Watch::Aside,
        }
    }

    /// The same for a request that others could share by its bytes, and that no copy answers.
    pub fn since(client: &Client, key: &Key) -> Watch {
        let Some(hot) = client.worker.hot.as_ref().filter(|_| !key.is_addressed()) else { return Watch::Aside };
        let since = hot.since();
        if client.worker.unlikely.has(key.hash()) {
            return Watch::Since(since);
        }
        match hot.find(key.hash(), key.as_str().as_bytes()) {
            Found::AskAgain(copy) => Watch::Again(since, copy),
            Found::Copy | Found::Nothing => Watch::Since(since),
        }
    }

    /// Whether a node's answer is to be copied on its way to the client; an answer that is no hit outdates the copy.
    pub fn capture(
        &self,
        client: &Client,
        key: &Key,
        request: impl FnOnce() -> Option<Parts>,
        answer: &NodeAnswer,
        pool: &NodePool,
    ) -> Option<Box<Capture>> {
        let hot = client.worker.hot.as_ref().filter(|_| !matches!(self, Watch::Aside))?;
        let head = &answer.head;
        if CacheResult::said(head.fields.verdict()) != CacheResult::Hit {
            client.worker.unlikely.note(key.hash());
            hot.outdated(key);
            return None;
        }
        client.worker.unlikely.forget(key.hash());
        let since = self.asked()?;
        let ttl = head.fields.verdict().and_then(status::ttl)?;
        let length = match &answer.content {
            Body::Full(bytes) => Some(bytes.len() as u64),
            Body::Stream(body) => body.size_hint().exact(),
            Body::Switched(..) => None,
        };
        if !hot::is_copyable(head.status) || !hot.wants(key, length) {
            return None;
        }
        let candidate = candidate(client, since, key, request()?, head, ttl, pool);
        Some(Box::new(Capture::new(hot.clone(), candidate)))
    }

    /// The copy, kept for longer, where a node has confirmed that it still holds the same.
    pub fn renew(
        &self,
        client: &Client,
        key: &Key,
        request: impl FnOnce() -> Option<Parts>,
        answer: &NodeAnswer,
        pool: &NodePool,
    ) -> Option<Arc<Copy>> {
        let (&Watch::Again(since, ref copy), Some(hot)) = (self, &client.worker.hot) else { return None };
        let is_same = answer.head.status == StatusCode::NOT_MODIFIED;
        let verdict = answer.head.fields.verdict();
        if !is_same || CacheResult::said(verdict) != CacheResult::Hit {
            return None;
        }
        let ttl = verdict.and_then(status::ttl)?;
        hot.renew(candidate(client, since, key, request()?, &answer.head, ttl, pool), copy, clock::now())
    }

    fn asked(&self) -> Option<Generation> {
        match self {
            Watch::Aside | Watch::Head => None,
            Watch::Since(since) | Watch::Again(since, _) => Some(*since),
        }
    }
}

fn candidate(
    client: &Client,
    since: Generation,
    key: &Key,
    request: Parts,
    head: &Head,
    ttl: u64,
    pool: &NodePool,
) -> CopyCandidate {
    let (mut response, ()) = Response::new(()).into_parts();
    response.status = head.status;
    response.headers = head.fields.map();
    hop::strip(&mut response.headers);
    let (key, node) = (key.clone(), pool.node.id.as_str().into());
    // To a node on another machine this machine's address is one like others.
    let local = head.local || own::of_machine(&key, &client.worker.dialer).is_some();
    CopyCandidate { since, key, request, response, node, local, ttl }
}
