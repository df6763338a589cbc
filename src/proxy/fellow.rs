//! Another front on one connection of this one's clients: it has TLS taken up, each proves to the other that it knows the
//! cluster's secret, and only then something is told (docs/link.md, From front to front).

use super::https::place::HandshakePlace;
use super::record::Record;
use super::reply::{Reply, ReplyContent};
use super::worker::Client;
use super::{answer, pages, told, tunnel};
use crate::net::challenge::{Challenge, PROOF_LIMIT};
use crate::net::listen::Stream;
use crate::net::serve::{ByRequest, ClientBody, Upgrade};
use crate::wire::fault::Fault;
use crate::wire::proof::{HELLO, LINK, PROVE};
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE, VIA};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use std::cell::Cell;
use std::rc::Rc;
use tokio::time::timeout;

/// See the module.
struct Fellow {
    client: Rc<Client>,
    challenge: Challenge,
    proved: Cell<bool>,
}

/// Whether somebody wants to be one. No web page can say so, and no proxy passes it on.
pub fn is_greeting(client: &Client, request: &Parts) -> bool {
    let asks = request.method == Method::GET && request.uri == HELLO;
    let is_able = client.worker.front.id.is_some() && client.worker.config.cluster.secret.is_some();
    let says = request.headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes() == LINK.as_bytes());
    asks && says && is_able && client.inside.is_none() && !request.headers.contains_key(VIA)
}

/// 101, and what comes then is TLS.
pub fn take_up(
    client: &Rc<Client>,
    upgrade: Option<Upgrade>,
    record: &mut Option<Record>,
) -> Result<Response<Reply>, Fault> {
    let upgrade = upgrade.ok_or_else(tunnel::cannot)?;
    let place = HandshakePlace::take(client.source).map_err(|_| busy())?;
    let fellow = Rc::new(Fellow { client: client.clone(), challenge: Challenge::default(), proved: Cell::new(false) });
    client.worker.connections.spawn(async move {
        let taken = upgrade.taken().await;
        shake_hands(fellow, taken).await;
        drop(place);
    });
    let mut page = Response::new(ReplyContent::empty());
    *page.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    page.headers_mut().insert(UPGRADE, HeaderValue::from_static(LINK));
    Ok(answer::own_answer(page, None, false, record.take()))
}

fn busy() -> Fault {
    Fault::denied("As many handshakes as one client may have are under way.")
}

async fn shake_hands(fellow: Rc<Fellow>, taken: Option<(Stream, Bytes)>) {
    let Some((Stream::Tcp(socket), said)) = taken else { return };
    let worker = fellow.client.worker.clone();
    match timeout(worker.config.timeouts.header, fellow.challenge.take_up(socket, said)).await {
        Ok(Ok(session)) => {
            let serve = move |request| ask(fellow.clone(), request);
            worker.connections.serve(Stream::Tls(Box::new(session)), ByRequest(serve));
        }
        Ok(Err(e)) => tracing::debug!("a handshake of another front failed: {e}"),
        Err(_) => tracing::debug!("a handshake of another front came to no end"),
    }
}

/// The steps of the proof, and then what it tells.
async fn ask(fellow: Rc<Fellow>, request: Request<ClientBody>) -> Response<Reply> {
    let (request, body) = request.into_parts();
    let answered = match (&request.method, request.uri.path()) {
        (&Method::GET, HELLO) => fellow.hello(),
        (&Method::POST, PROVE) => fellow.prove(body).await,
        _ if fellow.proved.get() && told::is_telling(&fellow.client, &request) => {
            told::hear(&fellow.client, &request, body).await
        }
        _ => Err(denied()),
    };
    match answered {
        Ok(page) => answer::own_answer(page, None, false, None),
        Err(fault) => {
            let mut refused = answer::fault(&fellow.client, &fault, false, None);
            refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            refused
        }
    }
}

impl Fellow {
    fn hello(&self) -> Result<Response<ReplyContent>, Fault> {
        let id = self.client.worker.front.id.as_deref().ok_or_else(denied)?;
        // Its TLS is its own: there is no process before it that a proof could have been for.
        let hello = self.challenge.hello(id, 0).map_err(|_| denied())?;
        written(&hello)
    }

    async fn prove(&self, body: ClientBody) -> Result<Response<ReplyContent>, Fault> {
        let config = &self.client.worker.config;
        let id = self.client.worker.front.id.as_deref().ok_or_else(denied)?;
        let body = timeout(config.timeouts.header, Limited::new(body, PROOF_LIMIT).collect()).await;
        let theirs = body.ok().and_then(Result::ok).and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        let proved = self.challenge.answer(&config.cluster, id, 0, theirs.as_ref()).ok_or_else(denied)?;
        self.proved.set(true);
        written(&proved)
    }
}

fn denied() -> Fault {
    Fault::denied("Only another front of the cluster may say so.")
}

fn written(said: &impl serde::Serialize) -> Result<Response<ReplyContent>, Fault> {
    serde_json::to_vec(said).map(pages::json).map_err(|_| denied())
}
