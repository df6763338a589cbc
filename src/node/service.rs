//! The spine of a node: one request from its head to its answer, a named step a line.

use super::CacheNode;
use super::ask::{Ask, Asker};
use super::begun::Else;
use super::body::NodeBody;
use super::caller::{Caller, ProofStep, Standing};
use super::collapse::{Got, alone, join_or_lead, lead_alone, past_stored};
use super::counters::add;
use super::hit::{self, Look};
use super::incoming::IncomingRequest;
use super::pass::NodePass;
use super::{allowed, answer, asked, begun, control, forward, from_disk, midway, refresh, upgrade};
use crate::clock;
use crate::net::http1::Pool;
use crate::net::serve::{self, ClientBody, Finished, Service, ServiceRequest, ServiceStep, Upgrade, outlive};
use crate::net::web;
use crate::policy::{self, Decision, Failure};
use crate::store::{Entry, FarGone};
use crate::wire::fault::{Fault, Whose};
use crate::wire::link;
use crate::wire::status::{CacheStatus, Fwd};
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How often a request looks into the store again because a fetch that it waited for came to nothing.
const LOOKS: usize = 8;

/// An origin that breaks off before anything of its answer was sent is as one whose gateway says so.
const BROKE_OFF: Failure = Failure::Status(StatusCode::BAD_GATEWAY);

/// Answers the requests of one connection.
pub struct NodeService {
    node: Rc<CacheNode>,
    caller: Rc<Caller>,
    /// The origin that was last asked for what is never stored.
    last: RefCell<Option<Rc<Pool>>>,
}

impl NodeService {
    pub fn new(node: Rc<CacheNode>, caller: Rc<Caller>) -> NodeService {
        NodeService { node, caller, last: RefCell::default() }
    }
}

impl Service for NodeService {
    type Body = NodeBody;

    /// What is stored and fresh is answered at once; all else is waited for.
    fn begin(&self, request: &ServiceRequest<'_>, out: &mut Vec<u8>) -> ServiceStep<NodeBody> {
        let (node, caller) = (&self.node, &self.caller);
        let look = || hit::look(node, request, caller.standing(), out);
        // In another spelling the scheme is no key's.
        let may_look = serve::allows_short() && caller.may_ask(request.target().starts_with(b"https:"));
        match may_look.then(look).unwrap_or(Look::Ask) {
            Look::Hit(head, body) => return ServiceStep::Answer(head, body),
            Look::Ask => {}
            Look::Absent(hash) => {
                let pass = |why| NodePass::of(node.clone(), &self.last, request, caller.standing(), why);
                if let Some(pass) = node.uncacheable.alone(hash).and_then(pass) {
                    return ServiceStep::Finish(Box::pin(pass.relay()));
                }
            }
        }
        match request.request() {
            Ok(request) => ServiceStep::Finish(Box::pin(finish(node.clone(), caller.clone(), request))),
            Err(why) => ServiceStep::Refuse(why),
        }
    }

    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.caller.pins().poll_ended(cx)
    }
}

/// Never fails: a fault is an answer too.
async fn finish(node: Rc<CacheNode>, caller: Rc<Caller>, request: Request<ClientBody>) -> Finished<NodeBody> {
    // What is rare is boxed here and below: a future is as large as the largest that it may wait for.
    if request.uri().authority().is_none() {
        return Finished::Response(Box::pin(ours(&node, &caller, request)).await);
    }
    Finished::Response(match caller.standing() {
        Standing::Stranger => caller.turn_away(&node),
        _ => trusted(&node, &caller, request).await,
    })
}

/// What is asked of the node itself: a step of the proof, or control.
async fn ours(node: &Rc<CacheNode>, caller: &Caller, request: Request<ClientBody>) -> Response<NodeBody> {
    let mut response = match (caller.objection(&request), ProofStep::of(&request), caller.standing()) {
        (Some(why), ..) => caller.refuse(node, why),
        (None, Some(step), _) => caller.step(node, step, request).await,
        (None, None, Standing::Stranger) => caller.turn_away(node),
        (None, None, _) => trusted(node, caller, request).await,
    };
    web::keep_from_pages(response.headers_mut());
    response
}

async fn trusted(node: &Rc<CacheNode>, caller: &Caller, request: Request<ClientBody>) -> Response<NodeBody> {
    match IncomingRequest::read(request, caller, clock::now()) {
        Ok(IncomingRequest::Control(request)) => Box::pin(control::serve(node, request, caller.is_vouched())).await,
        Ok(IncomingRequest::Proxy { ask, body, upgrade }) => {
            let pins = ask.pins.clone();
            let (told, from_node) = (ask.asker == Asker::Front, ask.from_node);
            let renews = told && !from_node && !policy::requests::may_ask_peer(&ask.head);
            let was_lent = renews && node.lent.may_have_had(ask.key.hash());
            let otherwise = if ask.head.method.is_safe() { Else::Nothing } else { Else::Head };
            let answered = match from_node {
                true => Ok(Box::pin(asked::serve(node, &Rc::new(ask))).await),
                false => proxy(node, ask, body, upgrade).await,
            };
            let mut response = answer::begun(node, answered, told, otherwise).await;
            if was_lent {
                response.headers_mut().insert(link::OWNER, HeaderValue::from_static(link::LENT));
            }
            if pins.is_some_and(|pins| pins.have_ended()) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // What the client has logged in on has ended, and so does its own.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
        Err(fault) => answer::fault(node, &fault),
    }
}

async fn proxy(
    node: &Rc<CacheNode>,
    ask: Ask,
    body: Option<ClientBody>,
    upgrade: Option<Upgrade>,
) -> Result<Response<NodeBody>, Fault> {
    add(&node.counters.requests, 1);
    match upgrade {
        Some(upgrade) => Box::pin(upgrade::serve(node, ask, body, upgrade)).await,
        None if body.is_none() && ask.pins.is_none() && matches!(ask.head.method, Method::GET | Method::HEAD) => {
            cached(node, Rc::new(ask)).await
        }
        None => match ask.interim.clone().filter(|_| !ask.head.method.is_safe()) {
            Some(client) => {
                let asker = node.clone();
                let asking = async move { forward::serve(&asker, ask, body).await };
                let spawn = |work| drop(tokio::task::spawn_local(work));
                outlive(client, asking, spawn).await.unwrap_or_else(|| Err(super::fill::vanished()))
            }
            None => Box::pin(forward::serve(node, ask, body)).await,
        },
    }
}

/// GET and HEAD: lookup, decide, then serve or ask the origin.
async fn cached(node: &Rc<CacheNode>, mut ask: Rc<Ask>) -> Result<Response<NodeBody>, Fault> {
    let mut shares = true;
    for _ in 0..LOOKS {
        let mut shelf = node.store.get(&ask.key);
        let mut entry = shelf.as_ref().and_then(|shelf| node.selected(&ask, shelf));
        let mut from = CameFrom::Memory;
        if let Some(found) = from_disk::where_missing(node, &ask, entry.is_none()).await {
            (entry, from) = (node.selected(&ask, &found), CameFrom::Disk);
            shelf = Some(found);
        }
        let now = clock::now();
        let is_good = |entry: &Entry| entry.terms.is_lent(now) && !ask.is_outlived(&entry.terms);
        let unlent = ask.is_instead() && entry.take_if(|entry| !is_good(entry)).is_some();
        shelf = shelf.filter(|_| !unlent);
        let (stale, fwd) = match node.decide(&ask, entry.as_deref(), shelf.as_ref(), now) {
            Decision::Serve { ttl } => match hit(node, &ask, entry.as_ref(), ttl, from)? {
                response if response.body().may_break() => {
                    match begun_hit(node, &ask, entry.as_ref(), response).await {
                        Ok(response) => return Ok(response),
                        Err(FarGone::Lost) => continue,
                        Err(FarGone::Late | FarGone::Lacking) => break,
                    }
                }
                response => return Ok(response),
            },
            Decision::ServeStale { ttl } => {
                entry.iter().for_each(|entry| refresh::begin(node, &ask, entry));
                return hit(node, &ask, entry.as_ref(), ttl, from);
            }
            Decision::OnlyIfCached => return Ok(answer::only_if_cached(node)),
            Decision::Validate { fwd, .. } => (entry, fwd),
            Decision::Forward { fwd } => match node.begun(&ask, shelf.as_ref(), now) {
                Some(part) => (Some(part), Fwd::Partial),
                None => (None, if unlent { Fwd::Stale } else { fwd }),
            },
        };
        if let Some(response) = midway::answer(node, &ask) {
            return Ok(response);
        }
        let got = Box::pin(fetch(node, &ask, stale.clone(), shares)).await;
        let in_place = |failed| instead(node, &ask, failed, stale.as_ref(), fwd);
        if let Some(response) = failure(&got).and_then(in_place) {
            return Ok(response);
        }
        shares &= !matches!(got, Ok(Got::Released | Got::Erring(_)));
        let of_peer = matches!(&got, Ok(Got::Filling(head, ..)) if head.peer.is_some());
        let Some(response) = answer::got(node, &ask, got?, fwd) else { continue };
        let has_other = may_stand_in(node, &ask, BROKE_OFF, stale.as_ref()).is_some();
        if !of_peer && !has_other {
            return Ok(response);
        }
        // Where it breaks off before anything of it was sent, there is another answer.
        let (status, told, wait) = (response.status(), ask.asker == Asker::Front, node.config.timeouts.small_body);
        let fault = match Box::pin(begun::begin(&node.id, response, told, wait, Else::Another)).await {
            Ok(response) => return Ok(response),
            Err(fault) => fault,
        };
        match fault.whose {
            Whose::Origin => {
                let failed = (BROKE_OFF, Some(status.as_u16()));
                return in_place(failed).ok_or(fault);
            }
            Whose::Peer => {
                add(&node.counters.peer_failures, 1);
                if ask.is_instead() {
                    return Ok(answer::ask_the_owner());
                }
                ask = Rc::new(ask.without_peer());
            }
            _ => return Err(fault),
        }
    }
    if ask.is_instead() {
        return Ok(answer::ask_the_owner());
    }
    let got = Box::pin(past_stored(node, &ask)).await?;
    answer::got(node, &ask, got, Fwd::Miss).ok_or_else(super::fill::vanished)
}

async fn fetch(node: &Rc<CacheNode>, ask: &Rc<Ask>, stale: Option<Arc<Entry>>, shares: bool) -> Result<Got, Fault> {
    let (is_each, may_lead) =
        (stale.as_ref().is_some_and(|stale| stale.terms.is_for_each()), policy::requests::may_lead(&ask.head));
    if !shares || is_each || !may_lead {
        return alone(node, ask, stale).await;
    }
    if ask.key.is_addressed() {
        return match allowed::read_along(node, ask).await? {
            Some(got) => Ok(got),
            None => lead_alone(node, ask).await,
        };
    }
    match node.uncacheable.holds(&ask.key) {
        true => alone(node, ask, stale).await,
        false => join_or_lead(node, ask, stale).await,
    }
}

/// How the origin failed, and with which status.
fn failure(got: &Result<Got, Fault>) -> Option<(Failure, Option<u16>)> {
    match got {
        Err(fault) if fault.whose == Whose::Origin && fault.status.is_server_error() && !fault.kind.is_of_tls() => {
            Some((Failure::Unreachable, None))
        }
        Ok(Got::Through(response, ..)) if response.status().is_server_error() => {
            Some((Failure::Status(response.status()), Some(response.status().as_u16())))
        }
        Ok(Got::Erring(status)) => Some((Failure::Status(*status), Some(status.as_u16()))),
        _ => None,
    }
}

/// The stale entry, where the origin failed and the policy allows it (RFC 5861 section 4, RFC 9111 section 4.2.4).
fn instead(
    node: &CacheNode,
    ask: &Ask,
    (failure, fwd_status): (Failure, Option<u16>),
    stale: Option<&Arc<Entry>>,
    fwd: Fwd,
) -> Option<Response<NodeBody>> {
    let (entry, ttl) = may_stand_in(node, ask, failure, stale)?;
    add(&node.counters.hits, 1);
    let status = CacheStatus { fwd: Some(fwd), fwd_status, ttl: Some(ttl), ..CacheStatus::default() };
    Some(answer::stored(node, ask, entry, &status, clock::now()))
}

/// What may be answered in place of such a failure, and how long it is still fresh.
fn may_stand_in<'a>(
    node: &CacheNode,
    ask: &Ask,
    failure: Failure,
    stale: Option<&'a Arc<Entry>>,
) -> Option<(&'a Arc<Entry>, i64)> {
    let entry = stale.filter(|entry| entry.part().is_none() || !ask.wants_the_whole())?;
    let ttl = policy::stale_if_error(&ask.head, &node.terms(ask, entry), failure, clock::now())?;
    Some((entry, ttl))
}

/// A hit whose body is read while it is sent.
async fn begun_hit(
    node: &Rc<CacheNode>,
    ask: &Ask,
    entry: Option<&Arc<Entry>>,
    response: Response<NodeBody>,
) -> Result<Response<NodeBody>, FarGone> {
    let entry = entry.ok_or(FarGone::Lost)?;
    // It is rare, and a future is as large as the largest that it may wait for.
    Box::pin(from_disk::begun(node, ask, entry, response)).await
}

/// Where a stored response was when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CameFrom {
    Memory,
    Disk,
}

fn hit(
    node: &CacheNode,
    ask: &Ask,
    entry: Option<&Arc<Entry>>,
    ttl: i64,
    from: CameFrom,
) -> Result<Response<NodeBody>, Fault> {
    let entry = entry.ok_or_else(super::fill::vanished)?;
    add(&node.counters.hits, 1);
    let now = clock::now();
    node.touch(entry, now);
    let detail = (from == CameFrom::Disk || entry.body().is_far()).then(|| "disk".into());
    if let Some(disk) = node.disk.as_ref().filter(|_| detail.is_some()) {
        disk.count_hit();
    }
    let status = CacheStatus { hit: true, ttl: Some(ttl), detail, ..CacheStatus::default() };
    Ok(answer::stored(node, ask, entry, &status, now))
}
