//! The spine of the front: one request, from its head to the head of its answer.

use super::link::{self, Answer, Pool, Said};
use super::outcome::{Cache, Record, Source, Verdict};
use super::pass::Pass;
use super::reply::{Capture, Content, Reply};
use super::worker::Client;
use super::{access, copied, hit, own, pages, relay, told, tunnel, upload};
use crate::clock;
use crate::cluster::views::{Outdated, Report};
use crate::net::dial::Dialer;
use crate::net::serve::{self, Asked, ClientBody, Given, Noted, Service, Step, Upgrade};
use crate::policy;
use crate::wire::fault::{Blame, Fault, Kind, Whose};
use crate::wire::field::FieldId;
use crate::wire::length::BodyLength;
use crate::wire::target::{Key, Target};
use crate::wire::{connection_auth, hop, list, status, target, via};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, UPGRADE, VIA};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// So long an answer that invalidates waits for the other nodes to know.
const UNTIL_TOLD: Duration = Duration::from_millis(500);

/// Answers the requests of one connection.
pub struct Serving(pub Rc<Client>);

impl Service for Serving {
    type Body = Reply;

    /// What has a hot copy is answered at once; all else is waited for.
    fn begin(&self, request: &Asked<'_>, out: &mut Vec<u8>) -> Step<Reply> {
        let client = &self.0;
        let short = serve::allows_short();
        if let Some((head, body)) = short.then(|| hit::at_once(client, request, out)).flatten() {
            return Step::Answer(head, body);
        }
        if let Some(pass) = short.then(|| Pass::of(client.clone(), request)).flatten() {
            return Step::Finish(Box::pin(pass.relay()));
        }
        match request.request() {
            Ok(request) => Step::Finish(Box::pin(finish(client.clone(), request))),
            Err(why) => Step::Refuse(why),
        }
    }
}

/// Answers one request, whatever it is.
async fn finish(client: Rc<Client>, request: Request<ClientBody>) -> Given<Reply> {
    let (request, body) = request.into_parts();
    let head_only = request.method == Method::HEAD;
    let mut record = Some(client.worker.record(client.peer, &request).of_client(body.interim()));
    // Boxed, because a future is as large as the largest that it may wait for.
    let answer = Box::pin(answer(&client, request, body, &mut record)).await;
    Given::Response(answer.unwrap_or_else(|fault| self::fault(&client, &fault, head_only, record.take())))
}

/// Answers one request of a client that may not use the proxy; another front may speak from anywhere.
pub async fn turn_away(client: Rc<Client>, request: Request<ClientBody>) -> Response<Reply> {
    let (request, body) = request.into_parts();
    let head_only = request.method == Method::HEAD;
    let record = client.worker.record(client.peer, &request);
    let heard = match told::is_telling(&client, &request) {
        true => told::hear(&client, &request, body).await,
        false => Err(access::stranger()),
    };
    let mut answer = match heard {
        Ok(page) => own_answer(page, None, false, Some(record)),
        Err(fault) => self::fault(&client, &fault, head_only, Some(record)),
    };
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// An error that we answer with.
pub fn fault(client: &Client, fault: &Fault, head_only: bool, record: Option<Record>) -> Response<Reply> {
    tracing::debug!(kind = fault.kind.token(), "{fault}");
    let page = pages::error(&client.worker.front.pseudonym, fault);
    own_answer(page, Some(fault.blame()), head_only, record)
}

async fn answer(
    client: &Rc<Client>,
    mut request: Parts,
    mut body: ClientBody,
    record: &mut Option<Record>,
) -> Result<Response<Reply>, Fault> {
    refuse_hosts(&request)?;
    let noted = request.extensions.remove::<Noted>().unwrap_or_default();
    refuse_codings(&request, noted)?;
    refuse_loops(client, &request)?;
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
            return Box::pin(tunnel::connect(client, &host, port, upgrade, record)).await;
        }
        Target::Origin => {
            let (page, blame) = to_the_proxy_itself(client, &request);
            return Ok(own_answer(page, blame, request.method == Method::HEAD, record.take()));
        }
        Target::Asterisk => pages::options(),
    };
    Ok(own_answer(page, None, request.method == Method::HEAD, record.take()))
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
    let tie = match connection_auth::is_in_request(&request.headers) {
        true => Some(client.ties.make(&key)),
        false => client.ties.get(&key),
    };
    let watch = copied::Watch::of(client, &request, hop.upgrade.is_some() || tie.is_some() || has_content);
    let interim = (request.version > Version::HTTP_10).then(|| body.interim());
    let upgrade = body.take_upgrade();
    let mut upload = upload::of(body, framing);
    // RFC 9110 section 7.8: not in HTTP/1.0.
    let offered = hop.upgrade.as_ref().filter(|_| upload.is_none() && request.version > Version::HTTP_10);
    let protocol = offered.and_then(hop::known_protocol);
    let asked = link::Request {
        interim: interim.as_ref(),
        method: &request.method,
        key: &key,
        said: Said::Map(&request.headers),
        version: request.version,
        from: client.source,
        local: client.peer.same_machine,
        te_trailers: hop.te_trailers,
        upgrade: protocol.as_ref(),
        framing,
        expect,
        forwarded_for: client.forwarded_for(),
        peer: None,
        instead: false,
        held: false,
        doubtful: false,
        tie: tie.as_ref(),
        pathless,
    };
    let plain = policy::requests::may_ask_peer(&request);
    let place = relay::asked(&client.worker, &asked, plain);
    let (answer, pool) = relay::relay(&client.worker, &asked, &mut upload, place).await?;
    if !plain {
        renewed(client, &key, &answer, &pool).await;
    }
    if !request.method.is_safe() {
        Box::pin(invalidate(client, &request.method, &key, &answer, &pool)).await;
    }
    if answer.head.challenges {
        client.ties.make(&key);
    }
    let capture = watch.capture(client, &key, || Some(request), &answer, &pool);
    let ends = tie.is_some() && !answer.head.keep && answer.head.status != StatusCode::SWITCHING_PROTOCOLS;
    let mut response = deliver(client, answer, &pool, upgrade, capture, record);
    if ends {
        // What was logged in has ended, and so does the client's own.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Makes a node's answer the client's.
pub fn deliver(
    client: &Rc<Client>,
    answer: Answer,
    pool: &Rc<Pool>,
    upgrade: Option<Upgrade>,
    capture: Option<Box<Capture>>,
    record: &mut Option<Record>,
) -> Response<Reply> {
    let worker = &client.worker;
    let Answer { head, content } = answer;
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
        let (cache, blame) = (Cache::of(&parts.headers), head.blame);
        record.decide(Verdict { status: parts.status, source: Source::Node, cache, blame });
        record.note(&pool.node.id, status::last_member(&parts.headers));
    }
    let reply = match content {
        link::Content::Full(bytes) => Reply::capturing(Content::Full(bytes), record.take(), capture),
        link::Content::Stream(body) => Reply::capturing(Content::Node(body), record.take(), capture),
        link::Content::Switched(conn, early) => {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = hop.upgrade {
                parts.headers.insert(UPGRADE, protocol);
            }
            tunnel::switch(client, upgrade, conn, early, record)
        }
    };
    Response::from_parts(parts, reply)
}

/// RFC 9111 section 4.4: other nodes own what `Location` names, or hold copies from a time when they stood in for the
/// owner. The client has its answer when they know, so that it cannot then get what it has just changed.
async fn invalidate(client: &Client, method: &Method, key: &Key, answer: &Answer, pool: &Pool) {
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.headers) = (answer.head.status, answer.head.fields.map());
    let keys = policy::invalidates(method, key, &parts);
    let groups = policy::groups::invalidated(method, &parts);
    forget(client, key, &keys, &groups);
    let mut what: Vec<Outdated> = keys.iter().map(|key| Outdated::Url(key.as_str().to_owned())).collect();
    if !groups.is_empty() {
        let (origin, groups) = (format!("{}://{}", key.scheme(), key.authority()), groups.clone());
        what.push(Outdated::Groups { origin, groups });
    }
    // Also where one node has the whole ring: one that is off it, and drains, is asked by that one.
    if what.is_empty() {
        return;
    }
    tell(client, what, pool).await;
    // Meanwhile another node may have answered with what it held.
    forget(client, key, &keys, &groups);
}

/// A reload, or another request that went to the owner alone, has got a newer answer than others may hold who are asked in
/// the owner's place. The client has it when they have dropped theirs, so that nobody who comes after it gets an older one.
pub async fn renewed(client: &Client, key: &Key, answer: &Answer, pool: &Pool) {
    if !answer.head.fields.verdict().is_some_and(status::is_stored) {
        return;
    }
    forget(client, key, std::slice::from_ref(key), &[]);
    // One that is still coming is not yet what the owner answers others with.
    if answer.small_body().is_some() && client.worker.front.doubled.has(key.hash()) {
        let what = vec![Outdated::Renewed { renewed: key.as_str().to_owned() }];
        Box::pin(tell(client, what, pool)).await;
        // Meanwhile another node may have answered with what it held.
        forget(client, key, std::slice::from_ref(key), &[]);
    }
}

/// Tells the other nodes and fronts, and waits until they know.
async fn tell(client: &Client, what: Vec<Outdated>, pool: &Pool) {
    let (told, done) = oneshot::channel();
    client.worker.report(Report::Invalidated { what, by: pool.node.clone(), told });
    // Ended by the sender being dropped, or not: a node that does not answer holds up nobody for long.
    _ = timeout(UNTIL_TOLD, done).await;
}

/// Drops the front's own copies.
fn forget(client: &Client, of: &Key, keys: &[Key], groups: &[String]) {
    if let Some(hot) = &client.worker.hot {
        keys.iter().for_each(|key| hot.forget(key));
        hot.forget_groups(of, groups, clock::now());
    }
}

fn refuse_loops(client: &Client, request: &Parts) -> Result<(), Fault> {
    if request.headers.contains_key(VIA) && via::contains(&request.headers, &client.worker.front.pseudonym) {
        return Err(looped());
    }
    Ok(())
}

/// A way that leads back to this proxy.
pub fn looped() -> Fault {
    let detail = "This request comes back to the proxy that it came from: the way to its target is a loop.";
    Fault::us(StatusCode::BAD_GATEWAY, Kind::ProxyLoopDetected, detail)
}

/// RFC 9112 section 3.2: one Host line, which HTTP/1.0 may do without. The target decides all the same.
fn refuse_hosts(request: &Parts) -> Result<(), Fault> {
    match request.headers.get_all(HOST).iter().count() {
        1 => Ok(()),
        0 if request.version < Version::HTTP_11 => Ok(()),
        0 => Err(Fault::bad_request("The request has no Host field, which HTTP/1.1 demands.")),
        _ => Err(Fault::bad_request("The request has more than one Host field.")),
    }
}

/// RFC 9112 section 6.1: only `chunked`, once. That one is undone; what is left of another could not be told from
/// the content once the field is gone.
fn refuse_codings(request: &Parts, noted: Noted) -> Result<(), Fault> {
    if noted.two_ends {
        return Err(Fault::bad_request("The request has both a length and a transfer coding (RFC 9112 section 6.3)."));
    }
    let mut codings = list::members(&request.headers, FieldId::TransferEncoding);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => {
            let detail = "The only transfer coding of a request is chunked, once.";
            Err(Fault::client(StatusCode::NOT_IMPLEMENTED, Kind::HttpRequestError, detail))
        }
    }
}

/// What of absolute-form is not relayed: https, our own addresses, and requests that end here.
fn page_of_ours(client: &Client, key: &Key, request: &mut Parts) -> Result<Option<Response<Content>>, Fault> {
    if key.scheme() != "http" {
        let detail = "https:// is fetched through a tunnel (CONNECT): set https_proxy to this proxy's http:// address.";
        return Err(Fault::bad_request(detail));
    }
    match own::whose(key, &client.worker.front) {
        own::Whose::Admin => return Err(pages::use_noproxy(&client.worker.front.admin.to_string())),
        own::Whose::Proxy => return Err(looped()),
        own::Whose::Other => {}
    }
    if !client.peer.same_machine
        && let Some(ip) = own::of_machine(key, &client.worker.dialer)
    {
        return Err(Dialer::refuse_ours(ip));
    }
    Ok(match own::last_hop(request) {
        own::Hops::Onward => None,
        own::Hops::Here if request.method == Method::TRACE => Some(pages::trace(request)),
        own::Hops::Here => Some(pages::options()),
    })
}

/// Origin-form: the proxy is asked as a server. Its only resource is the page at `/`.
fn to_the_proxy_itself(client: &Client, request: &Parts) -> (Response<Content>, Option<Blame>) {
    let front = &client.worker.front;
    let asked = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let (address, admin) = (asked.map_or_else(|| front.address(), str::to_owned), front.admin.to_string());
    let page = match (&request.method, request.uri.path_and_query().map(|target| target.as_str())) {
        (&Method::GET | &Method::HEAD, Some("/")) => pages::help(StatusCode::OK, &request.headers, &address, &admin),
        (&Method::OPTIONS, Some("/")) => pages::options(),
        (&Method::TRACE, Some("/")) => pages::trace(request),
        _ => {
            let page = pages::not_here(&front.pseudonym, &request.headers, &address, &admin);
            return (page, Some(Blame::new(Whose::Client, Kind::HttpRequestError)));
        }
    };
    (page, None)
}

/// An answer that we make ourselves: a page, or an error.
fn own_answer(
    page: Response<Content>,
    blame: Option<Blame>,
    head_only: bool,
    record: Option<Record>,
) -> Response<Reply> {
    let (mut parts, mut content) = page.into_parts();
    let mut record = record;
    if let Some(record) = &mut record {
        let source = if blame.is_some() { Source::Error } else { Source::Page };
        record.decide(Verdict { status: parts.status, source, cache: Cache::Unknown, blame });
    }
    if let (true, Content::Full(bytes)) = (head_only, &content) {
        parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
        content = Content::empty();
    }
    Response::from_parts(parts, Reply::new(content, record))
}
