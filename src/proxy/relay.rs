//! Asks the owners of a key, in order, until one answers.

use super::effects;
use super::link::{self, LinkError, NodeAnswer, NodePool, Said};
use super::renewing::Renewal;
use super::route::{self, RingQuery, Where};
use super::tenure::tenure;
use super::worker::{Client, Worker};
use crate::clock::tick;
use crate::cluster::views::{Node, Report};
use crate::net::dial;
use crate::net::http1::Upload;
use crate::net::prove::turns_away;
use crate::wire::fault::{Blame, Fault, Kind};
use crate::wire::length::BodyLength;
use crate::wire::link::OwnerWord;
use crate::wire::tenure::Tenure;
use http::{Method, StatusCode};
use link::Want;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// At how many nodes a request may break something that was alive before it came: at each it is asked once more on a new
/// connection, and what breaks two of them is not repeated.
const BREAKS: usize = 2;

/// So much later the same node is asked once more: one that is about to be gone takes connections for a moment still, and
/// what it breaks then says nothing of the request.
const AGAIN: Duration = Duration::from_millis(20);

/// What is to be done after a failed attempt.
#[derive(Debug, PartialEq, Eq)]
enum AfterFailure {
    /// Nothing of the request was acted on, or it may be repeated.
    Another,
    GiveUp,
}

/// Relays to the owner, or to the next that is up; an upload is never sent twice once a byte of it was taken. Also says
/// which pool answered.
pub async fn relay(
    client: &Client,
    request: &link::Request<'_>,
    upload: &mut Option<Box<Upload>>,
    asked: RingQuery,
) -> Result<(NodeAnswer, Rc<NodePool>), Fault> {
    let worker = &client.worker;
    let routing = worker.routing();
    if !routing.view.may_carry(request.key) {
        return Err(client.in_clear());
    }
    if request.tie.is_some()
        && let Some(answered) = Box::pin(tied(worker, request, upload)).await?
    {
        heed(client, request, &answered.0);
        return Ok(answered);
    }
    if is_get(request) && request.tie.is_none() {
        try_out(worker, request, &asked);
    }
    let has_body = upload.is_some();
    let (mut breaks, mut lost, mut passed) = (0, None, None);
    for candidate in route::candidates(&routing.view, asked) {
        let Some(pool) = routing.pools.get(candidate.index) else { continue };
        worker.shared.counters.detours.add(u64::from(candidate.instead_of.is_some()));
        let (view, key, place) = (&routing.view, request.key, asked.place);
        // Only a GET is stored, so only a GET is worth asking for.
        let is_shared = passed.is_none() && is_get(request) && request.tie.is_none() && !request.key.is_addressed();
        let peer = is_shared.then(|| route::peer(view, key, place, candidate)).flatten();
        let (peer, peer_since) = peer.map_or((None, None), |(node, since)| (Some(node), since));
        let reads = matches!(*request.method, Method::GET | Method::HEAD) && request.tie.is_none();
        let can_ask = asked.proved || pool.node.address.is_private();
        let tenure = || match passed {
            Some(_) => Some(Tenure::NEW),
            None => tenure(view, key, place, candidate, (can_ask, peer_since), tick().0),
        };
        let tenure = reads.then(tenure).flatten();
        let doubtful = pool.node.is_doubtful();
        let instead = candidate.instead_of.is_some();
        if instead {
            worker.front.doubled.note(request.key.hash());
        }
        let request = &link::Request { peer, tenure, doubtful, ..*request };
        let broken = match attempt(worker, pool, request, upload).await {
            // It has nothing of the owner's, which comes next.
            Ok(answer) if instead && answer.head.owner == Some(OwnerWord::Ask) => {
                worker.shared.counters.sent_on.add(1);
                continue;
            }
            Ok(answer) => {
                heed(client, request, &answer);
                if let Some(passed) = passed {
                    Box::pin(effects::stood_in(client, request.key, &answer, pool, passed)).await;
                }
                return Ok((answer, pool.clone()));
            }
            Err(broken) => broken,
        };
        tracing::debug!(node = %pool.node.id, "{} {}: the node {broken}", request.method, request.key.as_str());
        blame(worker, pool, &broken);
        breaks += usize::from(!matches!(broken, LinkError::Unreachable(_) | LinkError::Abandoned));
        // Of one that is gone all was taken.
        let untouched = !has_body || upload.as_deref().is_some_and(Upload::is_untouched);
        if next(&broken, request, untouched) == AfterFailure::GiveUp || breaks >= BREAKS {
            return Err(fault(&broken, &pool.node));
        }
        worker.shared.counters.failovers.add(1);
        if broken.is_of_connection() {
            lost = Some(fault(&broken, &pool.node));
        }
        // Of one that is not up it is known since when others answer in its place.
        let is_lost = broken.is_of_connection() || broken.is_of_greeting();
        if reads && !instead && is_lost && pool.node.is_up() {
            passed = passed.or_else(|| Some(Renewal::of(&worker.front.renewing, request.key.hash())));
        }
    }
    // Somebody is there, and has perhaps done what was asked.
    Err(lost.unwrap_or_else(|| nobody(asked.place)))
}

/// An owner that was slow shows whether it still is by what it holds of what others are asked for in its place. Nobody is answered
/// with that: it may be older than what those have.
fn try_out(worker: &Worker, request: &link::Request<'_>, asked: &RingQuery) {
    let routing = worker.routing();
    let on_trial = route::on_trial(&routing.view, asked);
    let Some(pool) = on_trial.and_then(|index| routing.pools.get(index)).cloned() else { return };
    let (key, said, client) = (request.key.clone(), request.said.lines(), request.client.to_vec());
    let (version, from, limit) = (request.version, request.from, worker.config.timeouts.first_byte);
    worker.connections.spawn(async move {
        let asked = link::Request::new(&Method::HEAD, &key, Said::Lines(&said), version, from, &client);
        let request = link::Request { held: true, ..asked };
        _ = timeout(limit, link::exchange(&pool, &request, &mut None, Want::Any)).await;
    });
}

/// What an answer says of the origin.
fn heed(client: &Client, request: &link::Request<'_>, answer: &NodeAnswer) {
    if answer.head.blame.is_some_and(Blame::is_of_tls) {
        client.distrust(request.key);
    }
}

/// On the connection that the client has logged in on. `None`: on whatever connection.
async fn tied(
    worker: &Worker,
    request: &link::Request<'_>,
    upload: &mut Option<Box<Upload>>,
) -> Result<Option<(NodeAnswer, Rc<NodePool>)>, Fault> {
    link::exchange_tied(request, upload).await.map_err(|(broken, pool)| {
        pool.iter().for_each(|pool| blame(worker, pool, &broken));
        pool.map_or_else(|| parted(&broken), |pool| fault(&broken, &pool.node))
    })
}

fn is_get(request: &link::Request<'_>) -> bool {
    *request.method == Method::GET && request.framing == BodyLength::None
}

/// Where the key belongs, and how much of the traffic it is. `plain`: nothing in it bears on whether what is stored may answer
/// it. Whatever else there is goes to the owner alone, so that only that one renews.
pub fn asked(client: &Client, request: &link::Request<'_>, plain: bool) -> RingQuery {
    let worker = &client.worker;
    // All that is asked of an origin on one client's own connection is asked of one node.
    let text = if request.tie.is_some() { request.key.root() } else { request.key.as_str() };
    let view = &worker.routing().view;
    let place = route::place(view, worker.dialer.known(request.key.host()));
    let position = view.ring.position(text);
    // Of a store that each client asks itself nobody lends, and nobody has what another holds.
    let plain = plain && !request.key.is_addressed();
    let (is_alone, factor) = (worker.front.renewing.has(request.key.hash()), worker.config.ring.load_factor);
    let heat =
        if plain && !is_alone && is_get(request) && request.tie.is_none() { worker.heat(position) } else { None };
    // What the node could not ask the owner for would be stored there all the same.
    let is_spilled = plain && is_get(request) || !matches!(*request.method, Method::GET | Method::HEAD);
    let factor = if is_spilled && !is_alone { factor } else { 0.0 };
    RingQuery { position, place, heat, factor, proved: worker.config.cluster.secret.is_some() }
}

/// What the owner holds, where it answered with a small hit lately (see [`link::held`]). `None`, at once or later: it has to be
/// asked in the ordinary way, as has everybody else.
pub fn held<'a>(
    client: &'a Client,
    request: &'a link::Request<'_>,
    asked: RingQuery,
) -> Option<impl Future<Output = Option<(NodeAnswer, Rc<NodePool>)>> + 'a> {
    let worker = &client.worker;
    if !worker.held.has(request.key.hash()) {
        return None;
    }
    let routing = worker.routing();
    if !routing.view.may_carry(request.key) {
        return None;
    }
    let owner = route::candidates(&routing.view, asked).next().filter(|first| first.instead_of.is_none())?;
    // Who is alone shares no write and no read, and who may hold what has been purged is not asked for that.
    let is_fit = |node: &Node| node.load.load(Ordering::Relaxed) > 0 && !node.is_doubtful();
    let pool = routing.pools.get(owner.index).filter(|pool| is_fit(&pool.node))?.clone();
    let (view, key) = (&routing.view, request.key);
    let has_another = || tenure(view, key, asked.place, owner, (true, None), tick().0).is_some();
    if route::peer(view, key, asked.place, owner).is_some() || has_another() {
        return None;
    }
    let waiting = link::held(&pool, &link::Request { held: true, ..*request })?;
    Some(async move {
        let answer = waiting.await;
        if answer.is_none() {
            worker.held.forget(request.key.hash());
        }
        answer.map(|answer| (answer, pool))
    })
}

/// One node, twice where the connection was lost: that makes the connection doubtful, and not the node.
async fn attempt(
    worker: &Worker,
    pool: &Rc<NodePool>,
    request: &link::Request<'_>,
    upload: &mut Option<Box<Upload>>,
) -> Result<NodeAnswer, LinkError> {
    let repeatable = upload.is_none() && request.method.is_idempotent();
    let want = if repeatable { Want::Any } else { Want::Alive };
    let broken = match link::exchange(pool, request, upload, want).await {
        Err(broken) if broken.is_of_greeting() || (repeatable && broken.is_of_connection()) => broken,
        result => return result,
    };
    tracing::debug!(node = %pool.node.id, "asked again on a new connection: the node {broken}");
    blame(worker, pool, &broken);
    sleep(AGAIN).await;
    // Boxed, as all that is rare: a future is as large as the largest that it may wait for.
    Box::pin(link::exchange(pool, request, upload, Want::New)).await
}

/// Tells the control plane what the link has shown.
fn blame(worker: &Worker, pool: &Rc<NodePool>, broken: &LinkError) {
    match broken {
        LinkError::Unreachable(e) if turns_away(e) => {
            pool.close_idle();
            // Others see it as well: one report is enough.
            if pool.node.set_up(false, tick().0) {
                worker.report(Report::Refused(pool.node.clone()));
            }
        }
        // Its neighbours in the pool may be dead as well, and what answers now may be another process: a probe will tell.
        LinkError::Unreachable(_) | LinkError::Died { .. } | LinkError::Cut | LinkError::Protocol(_) => {
            pool.close_idle();
            worker.report(Report::Suspect(pool.node.clone()));
        }
        LinkError::Lacking(_) | LinkError::Abandoned | LinkError::Full => {}
        LinkError::Client(_) | LinkError::Told(_) | LinkError::Parted => {}
    }
}

/// `untouched`: nothing of its body, if it has one, was taken.
fn next(broken: &LinkError, request: &link::Request<'_>, untouched: bool) -> AfterFailure {
    match broken {
        LinkError::Full | LinkError::Client(_) | LinkError::Told(_) | LinkError::Lacking(_) | LinkError::Parted => {
            AfterFailure::GiveUp
        }
        // Not a byte was sent.
        LinkError::Unreachable(_) if untouched => AfterFailure::Another,
        // RFC 9110 section 9.2.2: only what is idempotent may be repeated when nobody knows how far it came.
        _ if untouched && request.method.is_idempotent() => AfterFailure::Another,
        _ => AfterFailure::GiveUp,
    }
}

fn fault(broken: &LinkError, node: &Node) -> Fault {
    let detail = format!("The cache node {} {broken}.", node.id);
    let blame = broken.blame();
    match broken {
        LinkError::Full => Fault::us(StatusCode::SERVICE_UNAVAILABLE, blame.kind, detail),
        LinkError::Client(e) => Fault::bad_request(format!("The request body broke off: {e}.")),
        LinkError::Lacking(lack) => dial::lacking(*lack, &node.address.to_string()),
        LinkError::Unreachable(_) => Fault::node(blame.kind, detail),
        LinkError::Parted => parted(broken),
        LinkError::Told(_) => Fault { detail: detail.into(), ..blame.fault() },
        // Not 503, after which it may be sent again: nobody knows how far it came.
        LinkError::Died { .. } | LinkError::Abandoned | LinkError::Cut | LinkError::Protocol(_) => {
            Fault { status: StatusCode::BAD_GATEWAY, ..Fault::node(blame.kind, detail) }
        }
    }
}

fn parted(broken: &LinkError) -> Fault {
    let detail = "The origin's connection that the client had logged in on has ended: log in again on a new one.";
    Fault { detail: detail.into(), ..broken.blame().fault() }
}

fn nobody(place: Where) -> Fault {
    let detail = match place {
        Where::Anywhere | Where::Beside(_) => "No cache node can answer at the moment. Try again in a second.",
        Where::ThisMachine => {
            "No cache node on this machine can answer at the moment, and others cannot reach its loopback."
        }
    };
    Fault::node(Kind::DestinationUnavailable, detail)
}
