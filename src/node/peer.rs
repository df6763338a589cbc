//! Asking another node before the origin (docs/link.md, Peer ask): whom, when, and what its answer is good for.

use super::Node;
use super::ask::Ask;
use super::barred::{Barred, origin};
use super::counters::add;
use super::exchange::Answered;
use super::fill::{Fill, Head};
use super::line::Line;
use crate::clock::{Tick, tick};
use crate::config::{Address, Cluster, Config};
use crate::net::http1::{self, Answer, Question};
use crate::net::rules::Reach;
use crate::policy;
use crate::wire::answer::decode::Bounds;
use crate::wire::date::Timestamp;
use crate::wire::fault::Whose;
use crate::wire::length::BodyLength;
use crate::wire::target::Key;
use crate::wire::{link, status};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// The body of another node's answer.
pub type PeerBody = Box<http1::Body>;

/// A node that waits for the head of its own fetch says so this often.
pub const SIGN: Duration = Duration::from_millis(150);
/// So much later than the node that has the origin's word on the other side.
const MARGIN: Duration = Duration::from_secs(1);
/// Other nodes that are known at once; more than any hand-over has.
const LINES: usize = 1024;

/// A node that the front has named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub id: Box<str>,
    pub address: Address,
    /// It is the owner, in whose place this node is asked: it renews for both.
    pub owns: bool,
}

impl Peer {
    /// From `Ringhold-Peer` and `Ringhold-Owner`.
    pub fn read(headers: &HeaderMap) -> Option<Peer> {
        let (id, address) = link::introduced(headers.get(link::PEER)?.as_bytes())?;
        Some(Peer { id: id.into(), address: address.parse().ok()?, owns: headers.contains_key(link::OWNER) })
    }
}

/// The other nodes, as this one knows them.
pub struct Peers {
    lines: RefCell<HashMap<Peer, Rc<Line>>>,
    barred: RefCell<Barred>,
    limits: Rc<Limits>,
}

/// What holds for each of them.
pub struct Limits {
    /// Its secrets are proved on new connections.
    pub cluster: Cluster,
    pub connections: usize,
    pub idle: Duration,
    pub http: Rc<http1::Limits>,
    /// To the head of the answer, or the first sign of a node that waits for it itself.
    answer: Duration,
    /// From one sign to the next.
    sign: Duration,
    /// To the head of the answer, however many signs there are.
    first_byte: Duration,
}

impl Peers {
    pub fn new(config: &Config) -> Peers {
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        let head = usize::try_from(limits.head).unwrap_or(usize::MAX);
        let first_byte = timeouts.first_byte;
        let http = http1::Limits {
            // With room for what a node adds, as in the front.
            bounds: Bounds { bytes: head.max(8192).saturating_add(4096), fields: limits.fields + 32 },
            answer: first_byte,
            take: first_byte,
            give: first_byte,
            // A node that hands over what its own origin sends may be as quiet as that, and says so itself first.
            silence: timeouts.origin_silence + MARGIN,
        };
        let limits = Limits {
            cluster: config.cluster.clone(),
            connections: limits.node_connections,
            idle: timeouts.idle / 2,
            http: Rc::new(http),
            answer: timeouts.peer,
            sign: timeouts.probe.max(2 * SIGN),
            first_byte,
        };
        Peers { lines: RefCell::default(), barred: RefCell::default(), limits: Rc::new(limits) }
    }

    /// A URL became invalid here: other nodes may not know it yet.
    pub fn bar(&self, key: &Key) {
        self.barred.borrow_mut().bar(key.hash(), tick().0);
    }

    /// Something of an origin did.
    pub fn bar_origin(&self, of: &Key) {
        self.barred.borrow_mut().bar(origin(of), tick().0);
    }

    /// When it did, where that is not long ago.
    fn barred(&self, key: &Key) -> Option<Tick> {
        let (barred, now) = (self.barred.borrow(), tick().0);
        barred.since(key.hash(), now).max(barred.since(origin(key), now)).map(Tick)
    }

    /// Closes connections that have been idle for too long, and forgets nodes without any.
    pub fn sweep(&self) {
        let now = tick();
        self.lines.borrow_mut().retain(|_, line| line.sweep(now));
    }

    /// It did not answer in time lately.
    pub fn is_left_alone(&self, peer: &Peer) -> bool {
        self.lines.borrow().get(peer).is_some_and(|line| line.is_left_alone(tick()))
    }

    /// `None`: it is left alone for now.
    fn line(&self, peer: &Peer) -> Option<Rc<Line>> {
        let mut lines = self.lines.borrow_mut();
        if let Some(line) = lines.get(peer) {
            return Some(line.clone()).filter(|line| !line.is_left_alone(tick()));
        }
        if lines.len() >= LINES {
            return None;
        }
        let line = Rc::new(Line::new(peer.clone(), self.limits.clone()));
        lines.insert(peer.clone(), line.clone());
        Some(line)
    }
}

/// What the named node has of what is asked for, or fetches where it is the owner, to be stored here as an origin's answer
/// is. `None`: ask the origin.
pub async fn ask(node: &Node, ask: &Ask, fill: &Fill) -> Option<(Head, PeerBody)> {
    let peer = ask.peer.as_ref().filter(|_| policy::requests::may_ask_peer(&ask.head))?;
    let barred = node.peers.barred(&ask.key);
    if barred.is_some() && !peer.owns {
        return None;
    }
    let line = node.peers.line(peer)?;
    add(&node.counters.peer_asks, 1);
    fill.set_asks_peer(true);
    let (sent, asked) = (crate::clock::now(), tick());
    let answer = answer(node, ask, peer, &line).await;
    fill.set_asks_peer(false);
    let Some(answer) = answer else {
        tracing::debug!(peer = &*peer.id, "no answer to the question for {}", ask.key.as_str());
        line.failed(tick());
        add(&node.counters.peer_failures, 1);
        return None;
    };
    line.answered();
    let (response, ends) = answer.into_response(Whose::Peer);
    let age = age(&response);
    // What it fetched before something became invalid here may be what it has not been told of yet.
    let is_later = |since: Tick| age.is_some_and(|age| asked.0.saturating_sub(age) > since.0);
    if !barred.is_none_or(is_later) {
        return None;
    }
    let (mut head, body) = useful(node, ask, response, ends, sent)?;
    // No later than there: or this one's would seem to be fresh when that one has a newer one.
    if let Some(age) = age {
        head.terms = head.terms.born_at(Timestamp(sent.0.saturating_sub(age)));
    }
    head.peer = Some(peer.id.clone());
    add(&node.counters.peer_hits, 1);
    Some((head, body))
}

/// In milliseconds, as the other node says.
fn age<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(link::AGE)?.to_str().ok()?.parse().ok()
}

/// The answer, when it comes in time.
async fn answer(node: &Node, ask: &Ask, peer: &Peer, line: &Line) -> Option<Answer> {
    let (limits, heard, head) = (&node.peers.limits, Cell::new(0), question(node, ask, peer));
    let question =
        Question { head: &head, bodiless: false, idempotent: true, interim: &|_| heard.set(tick().0), message: None };
    let exchanged = line.exchange(&question);
    // Where nobody waits, a busy node has more time. So has an owner: who asks the origin beside it gives newer pages than it
    // does, or older ones.
    let first = if ask.background || peer.owns { limits.sign.max(limits.answer) } else { limits.answer };
    timeout(limits.first_byte, hearing(exchanged, &heard, first, limits.sign)).await.ok().flatten()
}

/// `None` when there is neither an answer nor a sign of it for too long, or the exchange failed.
async fn hearing<T, E>(
    exchanged: impl Future<Output = Result<T, E>>,
    heard: &Cell<u64>,
    first: Duration,
    sign: Duration,
) -> Option<T> {
    let mut exchanged = std::pin::pin!(exchanged);
    let mut wait = first;
    loop {
        if let Ok(done) = timeout(wait, exchanged.as_mut()).await {
            return done.ok();
        }
        let silent = tick().since(Tick(heard.get()));
        wait = sign.checked_sub(silent).filter(|left| !left.is_zero())?;
    }
}

fn question(node: &Node, ask: &Ask, peer: &Peer) -> Vec<u8> {
    let mut headers: HeaderMap = ask.head.headers.clone();
    if !peer.owns {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("only-if-cached"));
    }
    if let Ok(host) = HeaderValue::from_str(ask.key.authority()) {
        headers.insert(header::HOST, host);
    }
    // The other node believes `local` only from its own machine, so nothing leaves it that is not for others.
    let client = if ask.same_machine { link::LOCAL } else { link::REMOTE };
    headers.insert(link::CLIENT, HeaderValue::from_static(client));
    if let Ok(id) = HeaderValue::from_str(&node.id) {
        headers.insert(link::ASKER, id);
    }
    http1::head(&Method::GET, ask.key.as_str(), &headers, None)
}

/// A fresh hit or a fill that is read along, where it may be stored here too; whatever else came is dropped.
fn useful(
    node: &Node,
    ask: &Ask,
    response: Response<PeerBody>,
    ends: BodyLength,
    sent: Timestamp,
) -> Option<(Head, PeerBody)> {
    if !status::last_member(response.headers()).is_some_and(status::is_from_cache) {
        return None;
    }
    let local = response.headers().get(link::REACH).is_some_and(|reach| reach == link::LOCAL);
    let reach = if local { Reach::SameMachine } else { Reach::Anyone };
    // A node says how long its bodies are: one that ends with its connection is one that was cut off.
    let answered = Answered::new(response, ends, reach, sent);
    let mut answered = Some(answered).filter(|answered| !answered.ends_with_connection())?;
    // Its verdict was for this one exchange; what caches before it have said stays.
    status::drop_last_line(&mut answered.head.headers);
    let head = answered.storable_head(node, ask).ok()?;
    Some((head, answered.body))
}
