//! The admin API: `docs` are the README's. In the order of a request: `guard` (may this be asked?), `route` (what is
//! asked?), then `nodes`, `ring`, `cluster`, `cache`, `metrics` or `pac`; `problem`: what went wrong.

mod cache;
mod cluster;
mod guard;
mod metrics;
mod nodes;
mod pac;
mod problem;
mod query;
mod ring;
mod route;
#[cfg(test)]
mod tests;

use super::hot::Hot;
use super::https::interception::Interception;
use super::https::{folder, start};
use super::metrics::FrontCounters;
use super::pages::CERTIFICATE;
use crate::clock;
use crate::cluster::{ControlPlane, NO_NODES};
use crate::config::Config;
use crate::net::drain::Shutdown;
use crate::net::listen::Listener;
use crate::net::serve::{ByRequest, ClientBody, Connections, ServerLimits, Sweeper};
use crate::net::shares::{ClientId, Seat, Seats, Taken};
use crate::net::trust;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use problem::{AdminReply, Problem, json, reply};
use route::{RESET, Thing, Verb};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// No change of a node needs more.
const MAX_BODY: usize = 64 * 1024;
const MAX_CONNECTIONS: usize = 256;
/// So long a connection that was told to give way may take.
const GIVING_WAY: Duration = Duration::from_millis(200);
/// For the answers that are under way when it ends.
const DRAIN: Duration = Duration::from_secs(1);

/// What the answers are made of.
struct Admin {
    cluster: Arc<ControlPlane>,
    counters: Vec<Arc<FrontCounters>>,
    hot: Option<Arc<Hot>>,
    /// `None`: no https is intercepted.
    https: Option<Arc<Interception>>,
    config: Config,
    /// Where the API is reached, as bound.
    address: String,
}

/// Serves the admin API until `shutdown`. Must run inside a local runtime. `config` holds the addresses that were bound.
pub async fn serve(
    listener: Listener,
    cluster: Arc<ControlPlane>,
    counters: Vec<Arc<FrontCounters>>,
    hot: Option<Arc<Hot>>,
    https: Option<Arc<Interception>>,
    config: &Config,
    mut shutdown: Shutdown,
) {
    let limits = ServerLimits { head: 32 * 1024, fields: 64, farewell: Duration::ZERO, ..ServerLimits::of(config) };
    let connections = Connections::new(Sweeper::start(limits, shutdown.clone()));
    let seats = Seats::new(MAX_CONNECTIONS);
    let address = listener.address().to_string();
    let admin = Rc::new(Admin { cluster, counters, hot, https, config: config.clone(), address });
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept_with(async || connections.close_longest_idle(None)) => accepted,
            () = shutdown.begun() => break,
        };
        let Some(seat) = seat(&seats, &connections, ClientId::of(&peer)).await else { continue };
        // The configuration asks for a token on every other address; here it is made sure of.
        if !trust::may_see_admin(peer, admin.config.admin.token.is_some()) {
            continue;
        }
        let (admin, seat) = (admin.clone(), Rc::new(seat));
        let answer = move |request| {
            let (admin, _seat) = (admin.clone(), seat.clone());
            async move { admin.answer(request).await }
        };
        connections.serve(stream, ByRequest(answer));
    }
    drop(listener);
    connections.drained(DRAIN).await;
}

/// Who has been idle for longest gives way. `None`: nobody is, and the client has its share.
async fn seat(seats: &Seats, connections: &Connections, source: ClientId) -> Option<Seat> {
    for _ in 0..8 {
        let of = match seats.take(source) {
            Ok(seat) => return Some(seat),
            Err(taken) => (taken == Taken::ByItself).then_some(source),
        };
        if !connections.close_longest_idle(of) {
            return None;
        }
        _ = timeout(GIVING_WAY, seats.freed()).await;
    }
    None
}

impl Admin {
    async fn answer(&self, request: Request<ClientBody>) -> AdminReply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reply = self.respond(request).await.unwrap_or_else(Problem::into_reply);
        tracing::debug!(%method, path, status = reply.status().as_u16(), "admin");
        reply
    }

    async fn respond(&self, request: Request<ClientBody>) -> Result<AdminReply, Problem> {
        let (head, body) = request.into_parts();
        // What cannot be found is guarded as well: a stranger learns nothing.
        let thing = route::thing(head.uri.path());
        let guarded = thing.as_ref().unwrap_or(&Thing::Index);
        guard::check(self.config.admin.token.as_ref(), &head, guarded, !body.is_end_stream())?;
        let thing = thing?;
        let verb = thing.verb(&head.method)?;
        let query = head.uri.query();
        match (thing, verb) {
            (Thing::Nodes, Verb::Post) => self.add_node(read(body).await?).await,
            (Thing::Nodes, _) => Ok(self.nodes()),
            (Thing::Node(RESET), Verb::Post) => self.reset_nodes().await,
            (Thing::Node(id), Verb::Patch) => self.change_node(id, read(body).await?).await,
            (Thing::Node(id), Verb::Delete) => self.remove_node(id, query).await,
            (Thing::Node(id), _) => self.node(id),
            (Thing::Ring, _) => Ok(self.ring()),
            (Thing::Owner, _) => self.owner(query),
            (Thing::Explain, _) => self.explain(query).await,
            (Thing::Cache, _) => self.purge(query).await,
            (Thing::Cluster, _) => Ok(self.overview()),
            (Thing::Metrics, _) => Ok(self.metrics().await),
            (Thing::ProxyPac, _) => Ok(self.pac(&head.headers)),
            (Thing::Roots, _) => self.roots(),
            (Thing::Health, _) => Ok(json(StatusCode::OK, &json!({"status": "ok"}))),
            (Thing::Readiness, _) => self.readiness(),
            (Thing::Index, _) => Ok(index()),
        }
    }

    fn roots(&self) -> Result<AdminReply, Problem> {
        match &self.https {
            None => Err(Problem::new(StatusCode::NOT_FOUND, "no https is cached here: set [https] hosts")),
            Some(https) => Ok(reply(StatusCode::OK, CERTIFICATE, folder::roots(https.leaves().authorities()))),
        }
    }

    fn readiness(&self) -> Result<AdminReply, Problem> {
        let readiness = self.cluster.readiness();
        if readiness.up == 0 {
            let detail = match readiness.nodes {
                0 => format!("there are no nodes: {NO_NODES}"),
                nodes => format!("none of {nodes} nodes is up"),
            };
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        let mut ready = json!({"status": "ready", "up": readiness.up, "nodes": readiness.nodes});
        let authorities = self.https.iter().flat_map(|https| start::ends(https.leaves().authorities(), clock::wall()));
        let notes: Vec<String> = authorities.collect();
        if !notes.is_empty() {
            ready["notes"] = notes.into();
        }
        Ok(json(StatusCode::OK, &ready))
    }
}

fn index() -> AdminReply {
    json(StatusCode::OK, &json!({"name": "ringhold", "version": env!("CARGO_PKG_VERSION"), "endpoints": route::INDEX}))
}

/// A body of JSON.
async fn read<T: DeserializeOwned>(body: ClientBody) -> Result<T, Problem> {
    let bytes =
        Limited::new(body, MAX_BODY).collect().await.map_err(|e| match e.downcast_ref::<LengthLimitError>() {
            Some(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {MAX_BODY} bytes here")),
            None => Problem::bad_request("the body broke off"),
        })?;
    parse(&bytes.to_bytes())
}

fn parse<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|e| Problem::bad_request(format!("the body: {e}")))
}
