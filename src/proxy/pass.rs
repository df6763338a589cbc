//! A request passed on from bytes to bytes: its field lines go to the node, and the node's to the client, without a map of
//! either. The steps are those of `service`, which takes over where an answer is not as plain.

use super::copied::Watch;
use super::hot::{Copy, Generation, RUNS_OUT};
use super::link::{self, NodeAnswer, NodeContent as Body, NodePool, Said, verbatim};
use super::outcome::{AnswerEnd, AnswerSource, CacheResult, Verdict};
use super::record::Record;
use super::renewing::Renewal;
use super::reply::Reply;
use super::route::RingQuery;
use super::worker::Client;
use super::{answer, effects, own, relay};
use crate::clock;
use crate::net::serve::{Finished, Interim, Payload, RequestHead, ServiceRequest as Asking};
use crate::policy;
use crate::wire::connection_auth;
use crate::wire::fault::Fault;
use crate::wire::field::FieldId;
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use bytes::Bytes;
use http::header::IF_NONE_MATCH;
use http::{Method, StatusCode, Version};
use http_body_util::BodyExt;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::timeout;

const HIT: &[u8] = b"hit";

/// A request on its way.
pub struct Pass {
    client: Rc<Client>,
    key: Key,
    /// The field lines for the node.
    lines: Vec<u8>,
    watch: Watch,
    /// Something in it could change the answer.
    special: bool,
    /// The whole head, where a copy may be made of the answer.
    head: Bytes,
    /// `None`, as the record: no client waits.
    interim: Option<Interim>,
    version: Version,
    record: Option<Record>,
}

impl Pass {
    /// `None`: it goes the long way. `special`: something in it could change the answer.
    pub fn of(client: Rc<Client>, request: &Asking<'_>) -> Option<Pass> {
        let logs_in = |value| connection_auth::authorizes(value);
        let is_fit = *request.method() == Method::GET
            && request.is_alone()
            && !request.takes_trailers()
            && request.first(FieldId::ContentLength).is_none()
            && client.ties.is_empty()
            && request.first(FieldId::Host).is_some()
            && !request.all(FieldId::Authorization).any(logs_in)
            && !own::comes_round(&**request, &client.worker.front);
        if !is_fit {
            return None;
        }
        let special = !policy::requests::may_ask_peer(&**request);
        let watch = |key: &Key| if special { Watch::Aside } else { Watch::since(&client, key) };
        let mut pass = Pass::new(client.clone(), request, watch)?;
        let interim = request.interim();
        let record = client.record_of(request).of_client(interim.clone());
        (pass.special, pass.interim, pass.record) = (special, Some(interim), Some(record));
        Some(pass)
    }

    /// To be asked by nobody's wish but ours whether `copy`, which has just answered the request, still holds.
    pub fn ahead(client: Rc<Client>, request: &RequestHead<'_>, since: Generation, copy: &Arc<Copy>) -> Option<Pass> {
        Pass::new(client, request, |_| Watch::Again(since, copy.clone()))
    }

    fn new(client: Rc<Client>, request: &RequestHead<'_>, watch: impl FnOnce(&Key) -> Watch) -> Option<Pass> {
        let worker = &client.worker;
        let key = Key::read(request.target()).ok()?;
        if own::refusal(&key, &worker.front, &worker.dialer, client.peer.same_machine).is_some() {
            return None;
        }
        let watch = watch(&key);
        let head = match watch {
            Watch::Aside | Watch::Head => Bytes::new(),
            Watch::Since(_) | Watch::Again(..) => Bytes::copy_from_slice(request.bytes()),
        };
        let mut lines = Vec::with_capacity(request.bytes().len());
        request.lines().for_each(|(_, name, value)| Said::line(name, value, &mut lines));
        let version = request.version();
        Some(Pass { client, key, lines, watch, special: false, head, interim: None, version, record: None })
    }

    /// Asks for the copy's sake alone, and no longer than a new one could be made of the answer.
    pub async fn alone(self) {
        let asked = async {
            if let Finished::Response(response) = self.relay().await {
                let mut body = response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
        };
        _ = timeout(RUNS_OUT, asked).await;
    }

    /// Asks the node that owns its key.
    pub async fn relay(mut self) -> Finished<Reply> {
        let renewal = self.special.then(|| Renewal::of(&self.client.worker.front.renewing, self.key.hash()));
        let (answer, pool) = match self.ask().await {
            PassAnswer::Same(head, body) => return self.confirmed(head, body),
            PassAnswer::Node(Ok(answered)) => answered,
            PassAnswer::Node(Err(fault)) => {
                let mut response = answer::fault(&self.client, &fault, false, self.record.take());
                answer::close_with_ties(&self.client, &mut response);
                return Finished::Response(response);
            }
        };
        let client = &self.client;
        if answer.head.challenges && self.version < Version::HTTP_2 {
            client.ties.make(&self.key);
        }
        if let Some(renewal) = renewal {
            let unfinished = Box::pin(effects::renewed(client, &self.key, &answer, &pool, renewal)).await;
            self.record.iter_mut().zip(unfinished).for_each(|(record, unfinished)| record.hold(unfinished));
        }
        let request = || RequestHead::parts(&self.head);
        let capture = self.watch.capture(client, &self.key, request, &answer, &pool);
        let via = client.worker.shared.via(answer.head.version);
        // A small body is written together with its head.
        let room = answer.small_body().map_or(0, Bytes::len);
        match (&answer, verbatim(answer.head.status, &answer.head.fields, via, room)) {
            (NodeAnswer { head, content: Body::Full(body) }, Some(bytes)) if !client.ties.have_ended() => {
                if let Some(capture) = capture {
                    capture.push(body);
                    capture.finish();
                }
                let cache = CacheResult::said(head.fields.verdict());
                if cache == CacheResult::Hit {
                    client.worker.held.note(self.key.hash());
                }
                if let Some(mut record) = self.record.take() {
                    let blame = head.blame;
                    record.decide(Verdict { status: head.status, source: AnswerSource::Node, cache, blame });
                    record.note(&pool.node.id, || head.fields.verdict());
                    record.sent(body.len());
                    record.end(AnswerEnd::Complete);
                }
                Finished::Bytes(bytes, body.clone().into())
            }
            _ => {
                let mut response = answer::deliver(client, answer, &pool, None, capture, &mut self.record);
                answer::close_with_ties(client, &mut response);
                Finished::Response(response)
            }
        }
    }

    /// Until the head of an answer is there. What is rare is boxed, because a future is as large as the largest that it may wait
    /// for.
    async fn ask(&self) -> PassAnswer {
        let client = &self.client;
        let (said, from) = (Said::Lines(&self.lines), client.source);
        let asked = link::Request::new(&Method::GET, &self.key, said, self.version, from, &client.said);
        let (interim, forwarded_for) = (self.interim.as_ref(), client.forwarded_for());
        let asked = link::Request { interim, forwarded_for, ..asked };
        let place = relay::asked(client, &asked, !self.special);
        if let Watch::Again(_, copy) = &self.watch
            && let Some(answered) = Box::pin(self.again(copy, &asked, place)).await
        {
            return answered;
        }
        if !self.special
            && let Some(held) = relay::held(client, &asked, place)
            && let Some(answered) = Box::pin(held).await
        {
            return PassAnswer::Node(Ok(answered));
        }
        PassAnswer::Node(Box::pin(relay::relay(client, &asked, &mut None, place)).await)
    }

    /// Asks whether a node still holds what `copy` is of, fresh; it answers at once (`only-if-cached`). `None`: the node has to be
    /// asked in the ordinary way.
    async fn again(&self, copy: &Copy, asked: &link::Request<'_>, place: RingQuery) -> Option<PassAnswer> {
        let client = &self.client;
        let tag = copy.tag().filter(|_| copy.entry().mark.allows(client.peer.same_machine))?;
        let mut lines = self.lines.clone();
        Said::line(IF_NONE_MATCH.as_str(), tag, &mut lines);
        let asked = link::Request { said: Said::Lines(&lines), held: true, ..*asked };
        let (answer, pool) = relay::relay(client, &asked, &mut None, place).await.ok()?;
        let request = || RequestHead::parts(&self.head);
        let mut head = Vec::with_capacity(512);
        let renewed = self.watch.renew(client, &self.key, request, &answer, &pool);
        match renewed.and_then(|copy| copy.write(clock::now(), false, &mut head)) {
            Some((_, body)) => Some(PassAnswer::Same(head, body)),
            None if answer.head.status == StatusCode::NOT_MODIFIED => None,
            None if CacheResult::said(answer.head.fields.verdict()) == CacheResult::Hit => {
                Some(PassAnswer::Node(Ok((answer, pool))))
            }
            None => None,
        }
    }

    /// The node's answer, with the body that is here.
    fn confirmed(mut self, head: Vec<u8>, body: Payload) -> Finished<Reply> {
        if let (Some(mut record), Watch::Again(_, copy)) = (self.record.take(), &self.watch) {
            let (status, cache) = (copy.entry().status, CacheResult::Hit);
            record.decide(Verdict { status, source: AnswerSource::Node, cache, blame: None });
            record.note(&copy.node, || Some(HIT));
            record.sent(body.len());
            record.end(AnswerEnd::Complete);
        }
        Finished::Bytes(head, body)
    }
}

/// How a request that is passed on is answered.
enum PassAnswer {
    /// By the copy, which still holds.
    Same(Vec<u8>, Payload),
    Node(Result<(NodeAnswer, Rc<NodePool>), Fault>),
}
