//! The spine of the front: one request, from its head to the head of its answer.

use super::answer::{self, own_answer};
use super::https::intercept;
use super::https::interception::Greeted;
use super::onward::{Onward, OnwardRequest as Answered};
use super::outcome::{AnswerEnd, AnswerSource, CacheResult, Verdict};
use super::pass::Pass;
use super::record::Record;
use super::reply::{Reply, ReplyContent};
use super::worker::Client;
use super::{access, copied, fellow, hit, own, pages, told, tunnel, upload};
use crate::net::serve::{self, ClientBody, Finished, Noted, Service, ServiceRequest, ServiceStep, Upgrade};
use crate::wire::fault::{Blame, Fault, Kind, Whose};
use crate::wire::length::BodyLength;
use crate::wire::target::{Key, Target};
use crate::wire::{connection_auth, hop, target};
use http::header::{CONNECTION, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Answers the requests of one connection.
pub struct FrontService(pub Rc<Client>);

impl Service for FrontService {
    type Body = Reply;

    /// What has a hot copy is answered at once; all else is waited for.
    fn begin(&self, request: &ServiceRequest<'_>, out: &mut Vec<u8>) -> ServiceStep<Reply> {
        let Some(inside) = &self.0.inside else { return ask(&self.0, request, out) };
        self.0.greeted.iter().for_each(Greeted::asks);
        match inside.target(request) {
            Ok(target) => request.aimed(&target, |request| ask(&self.0, request, out)),
            Err(fault) => {
                let (client, head_only) = (self.0.clone(), *request.method() == Method::HEAD);
                let record = Some(client.record_of(request));
                ServiceStep::Finish(Box::pin(async move {
                    Finished::Response(answer::fault(&client, &fault, head_only, record))
                }))
            }
        }
    }

    fn heard(&self) {
        self.0.greeted.iter().for_each(Greeted::asks);
    }

    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.ties.poll_ended(cx)
    }

    fn refused(&self, fault: &Fault) {
        let mut record = self.0.record_of_none();
        let (status, blame) = (fault.status, Some(fault.blame()));
        record.decide(Verdict { status, source: AnswerSource::Error, cache: CacheResult::Unknown, blame });
        record.sent(serve::text_of_refusal(fault).len());
        record.end(AnswerEnd::Complete);
    }
}

/// A request whose target says where it goes, or one to the proxy itself.
fn ask(client: &Rc<Client>, request: &ServiceRequest<'_>, out: &mut Vec<u8>) -> ServiceStep<Reply> {
    let short = serve::allows_short();
    if let Some((head, body)) = short.then(|| hit::at_once(client, request, out)).flatten() {
        return ServiceStep::Answer(head, body);
    }
    if let Some(pass) = short.then(|| Pass::of(client.clone(), request)).flatten() {
        return ServiceStep::Finish(Box::pin(pass.relay()));
    }
    match request.request() {
        Ok(request) => ServiceStep::Finish(Box::pin(finish(client.clone(), request))),
        Err(why) => ServiceStep::Refuse(why),
    }
}

/// Answers one request, whatever it is.
async fn finish(client: Rc<Client>, request: Request<ClientBody>) -> Finished<Reply> {
    let (request, body) = request.into_parts();
    let (head_only, tunnels) = (request.method == Method::HEAD, request.method == Method::CONNECT);
    let mut record = Some(client.record(&request).of_client(body.interim()));
    // Boxed, because a future is as large as the largest that it may wait for.
    let answer = Box::pin(answer(&client, request, body, &mut record)).await;
    let mut response = answer.unwrap_or_else(|fault| answer::fault(&client, &fault, head_only, record.take()));
    if !tunnels {
        answer::close_with_ties(&client, &mut response);
    }
    Finished::Response(response)
}

/// Answers one request of a client that may not use the proxy; another front may speak from anywhere.
pub async fn turn_away(client: Rc<Client>, request: Request<ClientBody>) -> Response<Reply> {
    let (request, mut body) = request.into_parts();
    let head_only = request.method == Method::HEAD;
    let mut record = Some(client.record(&request));
    if fellow::is_greeting(&client, &request)
        && let Ok(taken) = fellow::take_up(&client, body.take_upgrade(), &mut record)
    {
        return taken;
    }
    let heard = match told::is_telling(&client, &request) {
        true => told::hear(&client, &request, body).await,
        false => Err(access::stranger()),
    };
    let mut answer = match heard {
        Ok(page) => own_answer(page, None, false, record),
        Err(fault) => answer::fault(&client, &fault, head_only, record),
    };
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn answer(
    client: &Rc<Client>,
    mut request: Parts,
    mut body: ClientBody,
    record: &mut Option<Record>,
) -> Result<Response<Reply>, Fault> {
    let noted = request.extensions.remove::<Noted>().unwrap_or_default();
    noted.refuse()?;
    if own::comes_round(&request.headers, &client.worker.front) {
        return Err(own::looped());
    }
    if told::is_telling(client, &request) {
        return Ok(own_answer(told::hear(client, &request, body).await?, None, false, record.take()));
    }
    let page = match target::classify(&request.method, &request.uri)? {
        Target::Absolute(key) => match page_of_ours(client, &key, &mut request)? {
            None => return forward(client, key, request, (body, noted.pathless), record).await,
            Some(page) => page,
        },
        Target::Authority { host, port } => {
            let upgrade = body.take_upgrade();
            return connect(client, (&host, port), upgrade, record).await;
        }
        Target::Origin if fellow::is_greeting(client, &request) => {
            return fellow::take_up(client, body.take_upgrade(), record);
        }
        Target::Origin => {
            let (page, blame) = to_the_proxy_itself(client, &request);
            return Ok(own_answer(page, blame, request.method == Method::HEAD, record.take()));
        }
        Target::Asterisk => pages::options(),
    };
    Ok(own_answer(page, None, request.method == Method::HEAD, record.take()))
}

/// A tunnel, or an answer in the host's name.
async fn connect(
    client: &Rc<Client>,
    (host, port): (&str, u16),
    upgrade: Option<Upgrade>,
    record: &mut Option<Record>,
) -> Result<Response<Reply>, Fault> {
    let upgrade = upgrade.ok_or_else(tunnel::cannot)?;
    access::may_connect(port, client.peer, &client.worker.config.access)?;
    match intercept::listed(client, host, port) {
        Some(Ok(listed)) => {
            let serve = |stream, client: Rc<Client>| {
                let connections = client.worker.connections.clone();
                connections.serve_agreed(stream, FrontService(client));
            };
            Ok(listed.take(upgrade, record.take(), serve))
        }
        Some(Err(why)) => {
            intercept::note(client, why, record);
            Box::pin(tunnel::connect(client, host, port, upgrade, record)).await
        }
        None => Box::pin(tunnel::connect(client, host, port, upgrade, record)).await,
    }
}

/// Relays a request to the node that owns its key.
async fn forward(
    client: &Rc<Client>,
    key: Key,
    mut request: Parts,
    (mut body, pathless): (ClientBody, bool),
    record: &mut Option<Record>,
) -> Result<Response<Reply>, Fault> {
    let hop = hop::strip(&mut request.headers);
    let (framing, expect) = upload::framing(&request, &body);
    let has_content = !matches!(framing, BodyLength::None | BodyLength::Sized(0));
    // Of HTTP/2 nobody logs in on a connection ([`crate::net::serve`]).
    let can_tie = request.version < Version::HTTP_2;
    let tie = match connection_auth::is_in_request(&request.headers) {
        true => Some(client.ties.make(&key)),
        false => client.ties.get(&key),
    };
    let is_own = hop.upgrade.is_some() || tie.is_some() || has_content || key.is_addressed();
    let watch = copied::Watch::of(client, &request, is_own);
    let (interim, upgrade) = (body.interim(), body.take_upgrade());
    let upload = upload::of(body, framing);
    let onward = Onward { key, request, hop, framing, expect, pathless, interim, tie, upload };
    let Answered { key, request, answer, pool, unfinished } = match onward.request.method.is_safe() {
        true => onward.ask(client).await?,
        false => onward.ask_to_its_end(client).await?,
    };
    record.iter_mut().zip(unfinished).for_each(|(record, unfinished)| record.hold(unfinished));
    if answer.head.challenges && can_tie {
        client.ties.make(&key);
    }
    let capture = watch.capture(client, &key, || Some(request), &answer, &pool);
    Ok(answer::deliver(client, answer, &pool, upgrade, capture, record))
}

/// What of absolute-form is not relayed: our own addresses, and requests that end here.
fn page_of_ours(client: &Client, key: &Key, request: &mut Parts) -> Result<Option<Response<ReplyContent>>, Fault> {
    let worker = &client.worker;
    own::refusal(key, &worker.front, &worker.dialer, client.peer.same_machine).map_or(Ok(()), Err)?;
    Ok(match own::last_hop(request) {
        own::Hops::Onward => None,
        own::Hops::Here if request.method == Method::TRACE => Some(pages::trace(request)),
        own::Hops::Here => Some(pages::options()),
    })
}

/// Origin-form: the proxy is asked as a server. It has the page at `/`, and what clients are to trust.
fn to_the_proxy_itself(client: &Client, request: &Parts) -> (Response<ReplyContent>, Option<Blame>) {
    let front = &client.worker.front;
    let asked = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let (address, admin) = (asked.map_or_else(|| front.address(), str::to_owned), front.admin.to_string());
    let page = match (&request.method, request.uri.path_and_query().map(|target| target.as_str())) {
        (&Method::GET | &Method::HEAD, Some("/")) => {
            pages::help(StatusCode::OK, &request.headers, &address, &admin, &front.authorities())
        }
        (&Method::GET | &Method::HEAD, Some(pages::ROOTS)) if front.leaves.is_some() => pages::roots(front.roots()),
        (&Method::OPTIONS, Some("/")) => pages::options(),
        (&Method::TRACE, Some("/")) => pages::trace(request),
        _ => {
            let page = pages::not_here(&front.pseudonym, &request.headers, &address, &admin);
            return (page, Some(Blame::new(Whose::Client, Kind::HttpRequestError)));
        }
    };
    (page, None)
}
