//! Who is at the other end of a connection, and the proof that makes a front of a stranger (`docs/link.md`).

use super::CacheNode;
use super::answer;
use super::answer::json;
use super::body::NodeBody;
use super::counters::add;
use crate::net::challenge::{Challenge, PROOF_LIMIT};
use crate::net::http1::Pins;
use crate::net::listen::{Peer, Stream};
use crate::net::serve::ClientBody;
use crate::net::shares::{ClientId, Seat};
pub use crate::net::trust::Standing;
use crate::net::{trust, web};
use crate::wire::fault::Fault;
use crate::wire::proof::{HELLO, PROVE};
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::timeout;

/// One a connection: what was proved on one says nothing of the next from the same address.
pub struct Caller {
    peer: Peer,
    challenge: Challenge,
    proved: Cell<bool>,
    standing: Cell<Standing>,
    has_spoken: Cell<bool>,
    /// Connections to origins that belong to this one.
    pins: Rc<Pins>,
    /// What it takes of the node's room: as a connection, and as a stranger until it has proved something.
    _seat: Option<Seat>,
    as_stranger: Cell<Option<StrangersPlace>>,
}

/// What who has proved nothing takes; `freed` hears of its end.
pub struct StrangersPlace {
    freed: Rc<Notify>,
}

impl StrangersPlace {
    pub fn new(freed: Rc<Notify>) -> StrangersPlace {
        StrangersPlace { freed }
    }
}

impl Drop for StrangersPlace {
    fn drop(&mut self) {
        self.freed.notify_one();
    }
}

/// The two requests of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofStep {
    Hello,
    Prove,
}

impl ProofStep {
    /// `None`: the request is about something else.
    pub fn of<B>(request: &Request<B>) -> Option<ProofStep> {
        let origin_form = request.uri().authority().is_none();
        match (request.method(), request.uri().path()) {
            (&Method::GET, HELLO) if origin_form => Some(ProofStep::Hello),
            (&Method::POST, PROVE) if origin_form => Some(ProofStep::Prove),
            _ => None,
        }
    }
}

impl Caller {
    /// `has_secret`: the cluster has one.
    pub fn new(peer: Peer, has_secret: bool) -> Caller {
        let standing = Cell::new(trust::at_node(peer, has_secret, false));
        let (challenge, proved, has_spoken, as_stranger) = Default::default();
        Caller { peer, challenge, proved, standing, has_spoken, pins: Rc::default(), _seat: None, as_stranger }
    }

    /// The same, for as long as it is here.
    pub fn with(self, seat: Seat) -> Caller {
        Caller { _seat: Some(seat), ..self }
    }

    /// Its place, until it has proved something.
    pub fn takes(&self, place: StrangersPlace) {
        self.as_stranger.set(Some(place));
    }

    pub fn has_spoken(&self) -> bool {
        self.has_spoken.get()
    }

    pub fn standing(&self) -> Standing {
        self.standing.get()
    }

    /// Takes TLS up where it begins so. For who has to prove who it is.
    pub async fn meet(&self, stream: Stream) -> io::Result<Stream> {
        self.challenge.meet(stream, || self.has_spoken.set(true)).await
    }

    /// Why a request in origin-form is not answered although its peer is trusted. Whatever has come through a proxy comes
    /// from whoever uses that; and who is trusted for its address alone may be a browser.
    pub fn objection<B: Body>(&self, request: &Request<B>) -> Option<&'static str> {
        if request.headers().contains_key(header::VIA) {
            return Some(
                "this came through a proxy, and cache nodes are controlled by the fronts of their cluster alone",
            );
        }
        let has_body = !request.body().is_end_stream();
        match self.is_vouched() || self.standing() == Standing::Stranger {
            true => None,
            false => web::is_from_no_page(request.headers(), has_body).err(),
        }
    }

    /// Nobody but a front of ours, or who may do all that we may, can be at the other end. Everyone who has an account on
    /// this machine reaches its loopback; whom such a caller names as a node would be believed what it answers.
    pub fn is_vouched(&self) -> bool {
        self.peer.addr.is_none() || self.proved.get()
    }

    /// Whether a front may ask for a URL of this scheme here: for what is https where nobody else hears it.
    pub fn may_ask(&self, is_https: bool) -> bool {
        !is_https || self.is_unheard()
    }

    /// Nobody else hears what is said here. Whom TLS was agreed on with is known once it has proved itself.
    pub fn is_unheard(&self) -> bool {
        self.peer.addr.is_none() || self.proved.get() && self.challenge.is_in_tls()
    }

    /// Who asks here for itself.
    pub fn client(&self) -> ClientId {
        Some(ClientId::of(&self.peer)).filter(|client| *client != ClientId::OURS).unwrap_or(ClientId::NOBODY)
    }

    /// Connections to origins that end with this one.
    pub fn pins(&self) -> &Rc<Pins> {
        &self.pins
    }

    /// Takes one step of the proof.
    pub async fn step(&self, node: &CacheNode, step: ProofStep, request: Request<ClientBody>) -> Response<NodeBody> {
        self.has_spoken.set(true);
        match step {
            ProofStep::Hello => self.hello(node),
            ProofStep::Prove => self.prove(node, request).await,
        }
    }

    fn hello(&self, node: &CacheNode) -> Response<NodeBody> {
        match self.challenge.hello(&node.id, node.boot) {
            Ok(hello) => json(StatusCode::OK, &json!(hello)),
            Err(e) => {
                tracing::error!("no random numbers: {e}");
                self.refuse(node, "this node has no random numbers, so nobody can prove anything to it")
            }
        }
    }

    async fn prove(&self, node: &CacheNode, request: Request<ClientBody>) -> Response<NodeBody> {
        // The sweeper sets a front no limit for its bodies; a stranger has one.
        let body = Limited::new(request.into_body(), PROOF_LIMIT).collect();
        let body = timeout(node.config.timeouts.header, body).await.ok().and_then(Result::ok);
        let prove = body.and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        let proved = self.challenge.answer(&node.config.cluster, &node.id, node.boot, prove.as_ref());
        let Some(proved) = proved else {
            return self
                .refuse(node, "this proves nothing: set the same `[cluster] secret` on the front and on this node");
        };
        self.proved.set(true);
        self.standing.set(trust::at_node(self.peer, true, true));
        drop(self.as_stranger.take());
        json(StatusCode::OK, &json!(proved))
    }

    /// For all that a stranger asks.
    pub fn turn_away(&self, node: &CacheNode) -> Response<NodeBody> {
        self.refuse(node, "this is a ringhold cache node, for the fronts of its cluster: ask one of those")
    }

    /// 403 and the end of the connection.
    pub fn refuse(&self, node: &CacheNode, detail: &'static str) -> Response<NodeBody> {
        add(&node.counters.strangers, 1);
        let total = node.counters.strangers.get();
        // Ever more rarely, so that nobody can fill the log.
        if total.is_power_of_two() {
            tracing::info!(peer = ?self.peer.addr, total, "refused a stranger: {detail}");
        }
        let mut response = answer::fault(node, &Fault::denied(detail));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
